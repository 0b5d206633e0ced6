//! The fields of the extensions of hellos and certificates.

use postern_tls::ExtensionType;

use super::Meaning;
use super::walk::{Walk, code, count, list, number, number16, numbers, vector8, vector16};
use crate::names;

/// The sender of extensions, which decides how some are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Client,
    Server,
    Retry,
}

pub(super) fn extensions(walk: &mut Walk<'_, '_>, sender: Sender) {
    let length = walk.length(2, "extensions length");
    let depth = walk.depth;
    walk.inner(length, |list| {
        list.depth = depth;
        while !list.rest.is_empty() {
            let kind = ExtensionType(number16(list.rest));
            let (name, note) = names::extension(kind);
            list.group(name, Meaning::Words("extension"), note);
            list.depth = depth.saturating_add(1);
            list.leaf(2, "extension_type", |_| Meaning::Count(kind.0.into(), ""), "");
            let length = list.length(2, "length");
            list.depth = depth;
            list.inner(length, |body| extension(body, kind, sender));
        }
    });
}

#[expect(clippy::too_many_lines, reason = "a flat table")]
fn extension(body: &mut Walk<'_, '_>, kind: ExtensionType, sender: Sender) {
    if body.rest.is_empty() {
        return;
    }
    match (kind, sender) {
        (ExtensionType::SERVER_NAME, Sender::Client) => {
            list(body, 2, "list length", |list| {
                list.word("name_type", "", |byte| match byte {
                    0 => Some("host_name"),
                    _ => None,
                });
                vector16(list, "host_name", Meaning::Text, "");
            });
        }
        (ExtensionType::MAX_FRAGMENT_LENGTH, _) => body.leaf(
            1,
            "max_fragment_length",
            |bytes| match bytes {
                [code @ 1..=4] => Meaning::Count(256 << code, "bytes"),
                _ => Meaning::None,
            },
            "",
        ),
        (ExtensionType::STATUS_REQUEST, Sender::Client) => {
            status_type(body);
            vector16(body, "responder_id_list", |_| Meaning::None, "");
            vector16(body, "request_extensions", |_| Meaning::None, "");
        }
        (ExtensionType::STATUS_REQUEST, Sender::Server) => certificate_status(body),
        (ExtensionType::SUPPORTED_GROUPS, _) => {
            list(body, 2, "list length", |list| numbers(list, "group", names::group));
        }
        (ExtensionType::EC_POINT_FORMATS, _) => {
            list(body, 1, "list length", |list| {
                list.word("format", "", |byte| match byte {
                    0 => Some("uncompressed"),
                    1 => Some("ansiX962_compressed_prime"),
                    2 => Some("ansiX962_compressed_char2"),
                    _ => None,
                });
            });
        }
        (ExtensionType::SIGNATURE_ALGORITHMS | ExtensionType::SIGNATURE_ALGORITHMS_CERT, _) => {
            list(body, 2, "list length", |list| numbers(list, "scheme", names::scheme));
        }
        (ExtensionType::ALPN | ExtensionType::APPLICATION_SETTINGS_OLD | ExtensionType::APPLICATION_SETTINGS, _) => {
            list(body, 2, "list length", |list| {
                vector8(list, "protocol", Meaning::Text, "");
            });
        }
        (ExtensionType::COMPRESS_CERTIFICATE, Sender::Client) => {
            list(body, 1, "list length", |list| {
                numbers(list, "algorithm", |number| match number {
                    1 => Some("zlib"),
                    2 => Some("brotli"),
                    3 => Some("zstd"),
                    _ => None,
                });
            });
        }
        (ExtensionType::RECORD_SIZE_LIMIT, _) => body.leaf(
            2,
            "record_size_limit",
            |bytes| Meaning::Count(number16(bytes).into(), "bytes"),
            "",
        ),
        (ExtensionType::SESSION_TICKET, _) => {
            let length = body.rest.len();
            body.leaf(length, "ticket", |_| Meaning::None, "");
        }
        (ExtensionType::PRE_SHARED_KEY, Sender::Client) => psks(body),
        (ExtensionType::PRE_SHARED_KEY, _) => body.leaf(
            2,
            "selected_identity",
            |bytes| Meaning::Count(number16(bytes).into(), ""),
            "The index of the chosen PSK in the client's list: this session is resumed.",
        ),
        (ExtensionType::EARLY_DATA, _) => {
            body.leaf(4, "max_early_data_size", |bytes| count(number(bytes), "bytes"), "");
        }
        (ExtensionType::SUPPORTED_VERSIONS, Sender::Client) => {
            list(body, 1, "list length", |list| numbers(list, "version", names::version));
        }
        (ExtensionType::SUPPORTED_VERSIONS, _) => {
            body.leaf(2, "selected_version", |bytes| code(bytes, names::version), "");
        }
        (ExtensionType::COOKIE, _) => vector16(body, "cookie", |_| Meaning::None, ""),
        (ExtensionType::PSK_KEY_EXCHANGE_MODES, _) => {
            list(body, 1, "list length", |list| {
                list.word("mode", "", |byte| match byte {
                    0 => Some("psk_ke"),
                    1 => Some("psk_dhe_ke"),
                    _ => Some("unknown"),
                });
            });
        }
        (ExtensionType::KEY_SHARE, Sender::Client) => {
            list(body, 2, "list length", share);
        }
        (ExtensionType::KEY_SHARE, Sender::Server) => share(body),
        (ExtensionType::KEY_SHARE, Sender::Retry) => body.leaf(
            2,
            "selected_group",
            |bytes| code(bytes, names::group),
            "The group for which the client has to send a key share.",
        ),
        (ExtensionType::RENEGOTIATION_INFO, _) => vector8(body, "renegotiated_connection", |_| Meaning::None, ""),
        _ => {
            let length = body.rest.len();
            body.leaf(length, "extension_data", |_| Meaning::None, "");
        }
    }
}

fn status_type(walk: &mut Walk<'_, '_>) {
    walk.word("status_type", "", |byte| match byte {
        1 => Some("ocsp"),
        _ => None,
    });
}

/// A CertificateStatus (RFC 6066 §8), as a message and as an extension.
pub(super) fn certificate_status(walk: &mut Walk<'_, '_>) {
    status_type(walk);
    let length = walk.length(3, "length");
    walk.leaf(
        length,
        "OCSPResponse",
        |_| Meaning::None,
        "The answer of the CA, or of a responder that it has authorized: whether the certificate is good, revoked or \
         unknown, the validity period of the answer, and a signature (RFC 6960 §4.2).",
    );
}

fn share(walk: &mut Walk<'_, '_>) {
    walk.leaf(2, "group", |bytes| code(bytes, names::group), "");
    vector16(
        walk,
        "key_exchange",
        |_| Meaning::Words("public key"),
        "The public half of a key pair that is made for this connection alone and erased with it: a recorded connection \
         stays unreadable even if every long-term key is stolen later (forward secrecy).",
    );
}

fn psks(body: &mut Walk<'_, '_>) {
    list(body, 2, "identities length", |list| {
        vector16(
            list,
            "identity",
            |_| Meaning::Words("a ticket"),
            "The ticket as it came from the server, which alone can read it.",
        );
        list.leaf(
            4,
            "obfuscated_ticket_age",
            |_| Meaning::None,
            "The age of the ticket in milliseconds, plus its ticket_age_add.",
        );
    });
    list(body, 2, "binders length", |list| {
        vector8(
            list,
            "binder",
            |_| Meaning::None,
            "HMAC under a key derived from the PSK, over this hello up to here: proof that the client has the PSK \
                 (RFC 8446 §4.2.11.2).",
        );
    });
}
