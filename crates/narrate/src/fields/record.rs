//! The fields of records: headers, protection, alerts and data.

use postern_tls::trace::{Protection, Record};
use postern_tls::{AlertDescription, ContentType};

use super::walk::{Walk, code, length, low};
use super::{Item, ItemKind, Meaning};
use crate::names;

/// Shows a record's header and protection.
pub(crate) fn record(record: &Record<'_>, visit: &mut dyn FnMut(&Item<'_>)) {
    let mut walk = Walk {
        rest: record.header,
        depth: 0,
        kind: ItemKind::Record,
        visit,
    };
    walk.group(
        "record header",
        Meaning::None,
        match record.protection {
            Protection::None => "",
            Protection::Tls13 => {
                "Every protected record of TLS 1.3 has the header of application data of TLS 1.2, so that middleboxes let \
                 it pass; its true type is encrypted, behind its content (RFC 8446 §5.2)."
            }
            Protection::Tls12 => "In TLS 1.2 the type of a protected record stays readable.",
            Protection::Unknown => "This side has no key for the record, and skips it.",
        },
    );
    walk.depth = 1;
    walk.leaf(1, "type", |bytes| code(bytes, |kind| ContentType(low(kind)).name()), "");
    walk.leaf(
        2,
        "legacy_record_version",
        |bytes| code(bytes, names::version),
        "Always TLS 1.2, or TLS 1.0 in a first ClientHello; receivers ignore it (RFC 8446 §5.1).",
    );
    walk.leaf(2, "length", length, "");
    walk.finish();
    walk.depth = 0;
    if record.protection == Protection::None || record.protection == Protection::Unknown {
        return;
    }
    walk.group(
        "protection",
        Meaning::None,
        "An AEAD encrypts the content and authenticates header and content, with a nonce that is different for every \
         record.",
    );
    walk.depth = 1;
    if !record.nonce.is_empty() {
        walk.rest = record.nonce;
        walk.leaf(
            record.nonce.len(),
            "nonce_explicit",
            |_| Meaning::None,
            "The part of the nonce that TLS 1.2 sends with the record for AES-GCM (RFC 5288 §3).",
        );
    }
    walk.computed(
        "record number",
        &[],
        Meaning::Count(record.number, "under its key"),
        "It is not sent: both sides count. It is part of the nonce, so that a record that is missing, moved or sent twice \
         does not decrypt (RFC 8446 §5.3).",
    );
    if record.protection == Protection::Tls13 {
        walk.computed(
            "true content type",
            &[],
            record
                .content
                .name()
                .map_or(Meaning::Unknown(record.content.0.into()), Meaning::Words),
            "The last byte of the plaintext that is not zero (RFC 8446 §5.2).",
        );
    }
    if record.padding > 0 {
        walk.computed(
            "padding",
            &[],
            Meaning::Count(record.padding.into(), "zeros"),
            "They hide the length of the content (RFC 8446 §5.4).",
        );
    }
    walk.rest = record.tag;
    walk.leaf(
        record.tag.len(),
        "authentication tag",
        |_| Meaning::None,
        "It no longer matches if a bit of the record is changed on the way, and the connection ends (bad_record_mac).",
    );
}

/// Shows the content of a record without handshake messages.
pub(crate) fn content(record: &Record<'_>, visit: &mut dyn FnMut(&Item<'_>)) {
    let mut walk = Walk {
        rest: record.text,
        depth: 0,
        kind: ItemKind::Wire,
        visit,
    };
    match record.content {
        ContentType::CHANGE_CIPHER_SPEC => walk.leaf(
            1,
            "change_cipher_spec",
            |_| Meaning::None,
            "Always this one byte (RFC 5246 §7.1).",
        ),
        ContentType::ALERT => {
            walk.word(
                "level",
                "Without meaning in TLS 1.3: the effect of an alert follows from its description (RFC 8446 §6).",
                |byte| match byte {
                    1 => Some("warning"),
                    2 => Some("fatal"),
                    _ => None,
                },
            );
            walk.leaf(
                1,
                "description",
                |bytes| match bytes {
                    [number] => AlertDescription(*number)
                        .name()
                        .map_or(Meaning::Unknown((*number).into()), Meaning::Words),
                    _ => Meaning::None,
                },
                "",
            );
        }
        _ => {
            let shown = record.text.len();
            let note = if usize::from(record.length) > shown {
                "The front of it; the rest is not recorded."
            } else {
                ""
            };
            walk.leaf(shown, "data", Meaning::Text, note);
        }
    }
    walk.finish();
}
