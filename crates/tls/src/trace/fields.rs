//! Records and messages taken apart, for reading: every byte once, in order, whatever the bytes are.

use core::fmt;

use extensions::{Whose, certificate_status, extensions};

use super::{Protection, Record, names};
use crate::alert::AlertDescription;
use crate::msg::server_hello::HELLO_RETRY_REQUEST_RANDOM;
use crate::pki::cert::Certificate;
use crate::pki::verify::PeerIdentity;
use crate::registry::{ContentType, HandshakeType, ProtocolVersion};

mod extensions;

/// One thing that is shown of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'t> {
    /// How deep in groups it stands.
    pub depth: u8,
    /// What it is.
    pub sort: Sort,
    /// What the RFC calls it.
    pub name: &'static str,
    /// Its bytes; a group has none of its own.
    pub bytes: &'t [u8],
    /// What the bytes say.
    pub meaning: Meaning<'t>,
    /// What it is for; may be empty.
    pub note: &'static str,
}

/// What an item is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// The name over those that follow and stand deeper.
    Group,
    /// Bytes of a record's header and protection.
    Record,
    /// Bytes of a message, or of what else a record holds.
    Wire,
    /// What was computed, and never was on the wire as it stands.
    Computed,
}

/// What bytes say, to be displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning<'t> {
    /// Nothing that could be put into words.
    None,
    /// These words.
    Words(&'static str),
    /// A number that no registry here knows.
    Unknown(u32),
    /// A length in bytes.
    Length(usize),
    /// A number, and what it counts.
    Count(u64, &'static str),
    /// A text of the peer's; displayed with everything but graphic ASCII escaped.
    Text(&'t [u8]),
    /// A text of ours.
    Told(&'t str),
    /// The distinguished name of this certificate's subject.
    Subject(&'t [u8]),
    /// From when to when this certificate is good.
    Validity(&'t [u8]),
}

impl fmt::Display for Meaning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => Ok(()),
            Self::Words(words) => f.write_str(words),
            Self::Told(text) => f.write_str(text),
            Self::Unknown(number) => write!(f, "{number:#06x}, unknown here"),
            Self::Length(1) => f.write_str("1 byte follows"),
            Self::Length(length) => write!(f, "{length} bytes follow"),
            Self::Count(number, "") => write!(f, "{number}"),
            Self::Count(number, unit) => {
                // The unit's first word is a plural, or no noun.
                let (noun, rest) = unit.split_at(unit.find(' ').unwrap_or(unit.len()));
                let noun = if number == 1 {
                    noun.strip_suffix('s').unwrap_or(noun)
                } else {
                    noun
                };
                write!(f, "{number} {noun}{rest}")
            }
            Self::Text(text) => {
                f.write_str("\"")?;
                text.escape_ascii()
                    .try_for_each(|byte| write!(f, "{}", char::from(byte)))?;
                f.write_str("\"")
            }
            Self::Subject(der) => match PeerIdentity::from_leaf(der) {
                Ok(identity) => identity.subject.fmt(f),
                Err(_) => f.write_str("a certificate that cannot be read"),
            },
            Self::Validity(der) => match Certificate::from_der(der) {
                Ok(Certificate {
                    not_before, not_after, ..
                }) => write!(f, "from {not_before} to {not_after}"),
                Err(_) => Ok(()),
            },
        }
    }
}

/// Takes a record's header and protection apart.
pub(super) fn record(record: &Record<'_>, visit: &mut dyn FnMut(&Item<'_>)) {
    let mut walk = Walk {
        rest: record.header,
        depth: 0,
        sort: Sort::Record,
        visit,
    };
    walk.group(
        "record header",
        Meaning::None,
        match record.protection {
            Protection::None => "",
            Protection::Tls13 => {
                "Every protected record of TLS 1.3 calls itself application data of TLS 1.2, so that boxes in between \
                 leave it alone; what it truly is stands encrypted behind its content (RFC 8446 §5.2)."
            }
            Protection::Tls12 => "In TLS 1.2 the type of a protected record stays readable.",
            Protection::Unknown => "We have no key for this record, and skip it.",
        },
    );
    walk.depth = 1;
    walk.leaf(1, "type", |bytes| code(bytes, |kind| ContentType(low(kind)).name()), "");
    walk.leaf(
        2,
        "legacy_record_version",
        |bytes| code(bytes, names::version),
        "TLS 1.2 for ever, or TLS 1.0 in a first ClientHello: no one is to look at it any more (RFC 8446 §5.1).",
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
            "The part of the nonce that TLS 1.2 sends along for AES-GCM (RFC 5288 §3).",
        );
    }
    walk.computed(
        "record number",
        &[],
        Meaning::Count(record.number, "under its key"),
        "It is not sent: both sides count. It goes into the nonce, so that a record that is missing, moved or sent \
         twice does not decrypt (RFC 8446 §5.3).",
    );
    if record.protection == Protection::Tls13 {
        walk.computed(
            "true content type",
            &[],
            record
                .content
                .name()
                .map_or(Meaning::Unknown(record.content.0.into()), Meaning::Words),
            "The last byte of what was encrypted that is not zero (RFC 8446 §5.2).",
        );
    }
    if record.padding > 0 {
        walk.computed(
            "padding",
            &[],
            Meaning::Count(record.padding.into(), "zeros"),
            "They hide how long the content is (RFC 8446 §5.4).",
        );
    }
    walk.rest = record.tag;
    walk.leaf(
        record.tag.len(),
        "authentication tag",
        |_| Meaning::None,
        "Whoever changes a bit of the record on its way makes this wrong, and the connection ends (bad_record_mac).",
    );
}

/// Takes the content of a record that holds no handshake messages apart.
pub(super) fn content(record: &Record<'_>, visit: &mut dyn FnMut(&Item<'_>)) {
    let mut walk = Walk {
        rest: record.text,
        depth: 0,
        sort: Sort::Wire,
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
            walk.leaf(
                1,
                "level",
                |bytes| match bytes {
                    [1] => Meaning::Words("warning"),
                    [2] => Meaning::Words("fatal"),
                    _ => Meaning::None,
                },
                "In TLS 1.3 it means nothing any more: what an alert does follows from its description (RFC 8446 §6).",
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
                "The front of it; the rest is not kept."
            } else {
                ""
            };
            walk.leaf(shown, "data", Meaning::Text, note);
        }
    }
    walk.finish();
}

/// Takes a handshake message apart, as it is to be read in `version`.
pub(super) fn message(whole: &[u8], version: ProtocolVersion, visit: &mut dyn FnMut(&Item<'_>)) {
    let mut walk = Walk {
        rest: whole,
        depth: 0,
        sort: Sort::Wire,
        visit,
    };
    let kind = HandshakeType(whole.first().copied().unwrap_or_default());
    walk.group("handshake header", Meaning::None, "");
    walk.depth = 1;
    walk.leaf(
        1,
        "msg_type",
        |bytes| code(bytes, |kind| HandshakeType(low(kind)).name()),
        "",
    );
    walk.leaf(3, "length", length, "");
    walk.depth = 0;
    match (kind, version.is_tls13()) {
        (HandshakeType::CLIENT_HELLO, _) => client_hello(&mut walk),
        (HandshakeType::SERVER_HELLO, _) => server_hello(&mut walk),
        (HandshakeType::NEW_SESSION_TICKET, true) => ticket_tls13(&mut walk),
        (HandshakeType::NEW_SESSION_TICKET, false) => ticket_tls12(&mut walk),
        (HandshakeType::ENCRYPTED_EXTENSIONS, _) => extensions(&mut walk, Whose::Server),
        (HandshakeType::CERTIFICATE, _) => certificates(&mut walk, version),
        (HandshakeType::SERVER_KEY_EXCHANGE, _) => server_key_exchange(&mut walk),
        (HandshakeType::CERTIFICATE_REQUEST, true) => {
            vector8(&mut walk, "certificate_request_context", |_| Meaning::None, CONTEXT);
            extensions(&mut walk, Whose::Server);
        }
        (HandshakeType::CERTIFICATE_REQUEST, false) => request_tls12(&mut walk),
        (HandshakeType::CERTIFICATE_VERIFY, _) => signature(&mut walk),
        (HandshakeType::CLIENT_KEY_EXCHANGE, _) => vector8(
            &mut walk,
            "ecdh_Yc",
            |_| Meaning::None,
            "The client's public key for the key exchange.",
        ),
        (HandshakeType::CERTIFICATE_STATUS, _) => certificate_status(&mut walk),
        (HandshakeType::FINISHED, _) => {
            let rest = walk.rest.len();
            walk.leaf(rest, "verify_data", |_| Meaning::None, "");
        }
        (HandshakeType::KEY_UPDATE, _) => walk.leaf(
            1,
            "request_update",
            |bytes| match bytes {
                [0] => Meaning::Words("update_not_requested"),
                [1] => Meaning::Words("update_requested"),
                _ => Meaning::None,
            },
            "Whether the other side is to change its key as well.",
        ),
        _ => {}
    }
    walk.finish();
}

/// A cursor that tells what it passes.
struct Walk<'t, 'v> {
    rest: &'t [u8],
    depth: u8,
    sort: Sort,
    visit: &'v mut dyn FnMut(&Item<'_>),
}

impl<'t> Walk<'t, '_> {
    /// The next `count` bytes, or as many as there are.
    fn take(&mut self, count: usize) -> &'t [u8] {
        let (bytes, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// A field of `count` bytes. What is cut short is told as far as it goes.
    fn leaf(
        &mut self,
        count: usize,
        name: &'static str,
        meaning: impl FnOnce(&'t [u8]) -> Meaning<'t>,
        note: &'static str,
    ) {
        let bytes = self.take(count);
        if bytes.is_empty() {
            return;
        }
        let meaning = if bytes.len() == count {
            meaning(bytes)
        } else {
            Meaning::Words("cut short")
        };
        (self.visit)(&Item {
            depth: self.depth,
            sort: self.sort,
            name,
            bytes,
            meaning,
            note,
        });
    }

    fn group(&mut self, name: &'static str, meaning: Meaning<'t>, note: &'static str) {
        (self.visit)(&Item {
            depth: self.depth,
            sort: Sort::Group,
            name,
            bytes: &[],
            meaning,
            note,
        });
    }

    fn computed(&mut self, name: &'static str, bytes: &'t [u8], meaning: Meaning<'t>, note: &'static str) {
        (self.visit)(&Item {
            depth: self.depth,
            sort: Sort::Computed,
            name,
            bytes,
            meaning,
            note,
        });
    }

    /// The next `count` bytes by themselves, one deeper; what `inside` leaves of them is told as it is.
    fn inner(&mut self, count: usize, inside: impl FnOnce(&mut Walk<'t, '_>)) {
        let bytes = self.take(count);
        let mut walk = Walk {
            rest: bytes,
            depth: self.depth.saturating_add(1),
            sort: self.sort,
            visit: &mut *self.visit,
        };
        inside(&mut walk);
        walk.finish();
    }

    /// What is left.
    fn finish(&mut self) {
        let left = self.rest.len();
        self.leaf(
            left,
            "further bytes",
            |_| Meaning::None,
            "Nothing is known of them here.",
        );
    }

    /// A length of `width` bytes, told as such.
    fn length(&mut self, width: usize, name: &'static str) -> usize {
        let value = number(self.rest.get(..width).unwrap_or_default());
        self.leaf(width, name, length, "");
        value
    }
}

/// A number in network order, as far as it goes.
pub(super) fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take(4)
        .fold(0, |value, &byte| value << 8 | usize::from(byte))
}

pub(super) fn number16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |&bytes| u16::from_be_bytes(bytes))
}

/// So many of them.
fn count(number: usize, of: &'static str) -> Meaning<'static> {
    Meaning::Count(u64::try_from(number).unwrap_or(u64::MAX), of)
}

fn low(number: u16) -> u8 {
    let [_, low] = number.to_be_bytes();
    low
}

fn length(bytes: &[u8]) -> Meaning<'_> {
    Meaning::Length(number(bytes))
}

/// The name of a number of one or two bytes.
fn code<'t>(bytes: &[u8], name: impl FnOnce(u16) -> Option<&'static str>) -> Meaning<'t> {
    let value = match bytes {
        &[byte] => byte.into(),
        bytes => number16(bytes),
    };
    name(value).map_or(Meaning::Unknown(value.into()), Meaning::Words)
}

/// A vector with a length of one byte and nothing to be taken apart in it.
fn vector8<'t>(
    walk: &mut Walk<'t, '_>,
    name: &'static str,
    meaning: impl FnOnce(&'t [u8]) -> Meaning<'t>,
    note: &'static str,
) {
    let length = walk.length(1, "length");
    walk.leaf(length, name, meaning, note);
}

/// The same with two bytes.
fn vector16<'t>(
    walk: &mut Walk<'t, '_>,
    name: &'static str,
    meaning: impl FnOnce(&'t [u8]) -> Meaning<'t>,
    note: &'static str,
) {
    let length = walk.length(2, "length");
    walk.leaf(length, name, meaning, note);
}

/// Numbers of two bytes, as many as there are.
fn numbers(walk: &mut Walk<'_, '_>, what: &'static str, name: fn(u16) -> Option<&'static str>) {
    while !walk.rest.is_empty() {
        walk.leaf(2, what, |bytes| code(bytes, name), "");
    }
}

const CONTEXT: &str = "Empty in a handshake (RFC 8446 §4.3.2).";
const SESSION_ID: &str = "Once it named a session to resume. In TLS 1.3 it is there so that the connection looks like \
                          one of TLS 1.2 that is resumed; the server gives it back (RFC 8446 §D.4).";
const COMPRESSION: &str = "Compressing before encrypting gave secrets away by their length (CRIME), so that \"null\" is \
                           all that is left.";

fn client_hello(walk: &mut Walk<'_, '_>) {
    walk.leaf(
        2,
        "legacy_version",
        |bytes| code(bytes, names::version),
        "The highest version, up to TLS 1.2. From TLS 1.3 on it stands in supported_versions.",
    );
    walk.leaf(
        32,
        "random",
        |_| Meaning::None,
        "32 random bytes, which make every handshake different from every other (RFC 8446 §4.1.2).",
    );
    vector8(walk, "legacy_session_id", |_| Meaning::None, SESSION_ID);
    let length = number(walk.rest.get(..2).unwrap_or_default());
    walk.group(
        "cipher_suites",
        count(length / 2, "offered"),
        "How records can be protected, the client's favourite first. Those of TLS 1.3 name an AEAD and a hash, those of \
         TLS 1.2 the key exchange and the signature as well.",
    );
    walk.depth = 1;
    let length = walk.length(2, "length");
    walk.depth = 0;
    walk.inner(length, |list| numbers(list, "suite", names::suite));
    let length = number(walk.rest.get(..1).unwrap_or_default());
    walk.group("legacy_compression_methods", Meaning::None, COMPRESSION);
    walk.depth = 1;
    walk.length(1, "length");
    for _ in 0..length {
        walk.leaf(
            1,
            "method",
            |bytes| match bytes {
                [0] => Meaning::Words("null"),
                _ => Meaning::Words("one of old"),
            },
            "",
        );
    }
    walk.depth = 0;
    extensions(walk, Whose::Client);
}

fn server_hello(walk: &mut Walk<'_, '_>) {
    walk.leaf(
        2,
        "legacy_version",
        |bytes| code(bytes, names::version),
        "The version, if it is TLS 1.2; that of TLS 1.3 stands in supported_versions.",
    );
    let retry = walk.rest.starts_with(&HELLO_RETRY_REQUEST_RANDOM);
    if retry {
        walk.leaf(
            32,
            "random",
            |_| Meaning::Words("HelloRetryRequest"),
            "Not random at all: the SHA-256 of \"HelloRetryRequest\" makes this ServerHello one (RFC 8446 §4.1.3).",
        );
    } else {
        walk.leaf(
            32,
            "random",
            |bytes| match bytes.last_chunk() {
                Some(b"DOWNGRD\x01") => Meaning::Words("ends in \"DOWNGRD\", 1"),
                Some(b"DOWNGRD\x00") => Meaning::Words("ends in \"DOWNGRD\", 0"),
                _ => Meaning::None,
            },
            "32 random bytes of the server's. A server of TLS 1.3 that is brought to an older version ends them in \
             \"DOWNGRD\", by which a client finds out that somebody meddled (RFC 8446 §4.1.3).",
        );
    }
    vector8(walk, "legacy_session_id_echo", |_| Meaning::None, SESSION_ID);
    walk.leaf(
        2,
        "cipher_suite",
        |bytes| code(bytes, names::suite),
        "The one that the server has chosen of those offered.",
    );
    walk.leaf(
        1,
        "legacy_compression_method",
        |bytes| match bytes {
            [0] => Meaning::Words("null"),
            _ => Meaning::None,
        },
        COMPRESSION,
    );
    if !walk.rest.is_empty() {
        extensions(walk, if retry { Whose::Retry } else { Whose::Server });
    }
}

fn certificates(walk: &mut Walk<'_, '_>, version: ProtocolVersion) {
    if version.is_tls13() {
        vector8(walk, "certificate_request_context", |_| Meaning::None, CONTEXT);
    }
    let length = walk.length(3, "certificate_list length");
    let depth = walk.depth;
    walk.inner(length, |list| {
        list.depth = depth;
        let mut leaf = true;
        while !list.rest.is_empty() {
            let length = number(list.rest.get(..3).unwrap_or_default());
            let der = list.rest.get(3..3 + length).unwrap_or_default();
            list.group(
                "certificate",
                Meaning::Subject(der),
                if leaf {
                    "The sender's own certificate: whose its public key is, in the word of the CA that signed it \
                     (RFC 5280)."
                } else {
                    "That of the CA which signed the one before."
                },
            );
            leaf = false;
            list.depth = depth.saturating_add(1);
            let length = list.length(3, "length");
            list.depth = depth;
            list.inner(length, |body| certificate(body, der));
            if version.is_tls13() {
                list.depth = depth.saturating_add(1);
                extensions(list, Whose::Server);
                list.depth = depth;
            }
        }
    });
}

/// A certificate in DER, as far as its outer structure goes.
fn certificate<'t>(walk: &mut Walk<'t, '_>, der: &'t [u8]) {
    let header = der_header(walk.rest);
    walk.leaf(header, "Certificate", |_| Meaning::Words("SEQUENCE"), "");
    let header = der_header(walk.rest);
    walk.leaf(
        header,
        "tbsCertificate",
        |_| Meaning::Words("SEQUENCE"),
        "What the CA has signed.",
    );
    if walk.rest.first() == Some(&0xa0) {
        let length = der_len(walk.rest);
        walk.leaf(length, "version", |_| Meaning::Words("v3"), "");
    }
    for (name, note) in [
        ("serialNumber", "The CA's number for it, by which it can be revoked."),
        ("signature", "The algorithm of the CA's signature."),
        ("issuer", "Who signed it."),
        ("validity", ""),
        ("subject", "Whose it is."),
        (
            "subjectPublicKeyInfo",
            "The public key that the certificate is all about.",
        ),
    ] {
        let length = der_len(walk.rest);
        walk.leaf(
            length,
            name,
            |_| match name {
                "validity" => Meaning::Validity(der),
                "subject" => Meaning::Subject(der),
                _ => Meaning::None,
            },
            note,
        );
    }
    if walk.rest.first() == Some(&0xa3) {
        let length = der_len(walk.rest);
        walk.leaf(
            length,
            "extensions",
            |_| Meaning::None,
            "The names it is good for (subjectAltName), what the key may do, and so on.",
        );
    }
    let length = der_len(walk.rest);
    walk.leaf(length, "signatureAlgorithm", |_| Meaning::None, "");
    let length = der_len(walk.rest);
    walk.leaf(length, "signatureValue", |_| Meaning::None, "The CA's signature.");
}

/// How long the tag and length of a DER value are.
fn der_header(bytes: &[u8]) -> usize {
    match bytes.get(1) {
        Some(&long @ 0x81..=0x84) => 2 + usize::from(long & 0x7f),
        _ => 2,
    }
}

/// How long a DER value is with its header.
fn der_len(bytes: &[u8]) -> usize {
    let header = der_header(bytes);
    let length = match bytes.get(2..header) {
        Some([]) | None => bytes.get(1).copied().unwrap_or_default().into(),
        Some(long) => number(long),
    };
    header.saturating_add(length)
}

fn signature(walk: &mut Walk<'_, '_>) {
    walk.leaf(2, "algorithm", |bytes| code(bytes, names::scheme), "");
    vector16(
        walk,
        "signature",
        |_| Meaning::None,
        "Made with the private key that belongs to the certificate.",
    );
}

fn server_key_exchange(walk: &mut Walk<'_, '_>) {
    walk.leaf(
        1,
        "curve_type",
        |bytes| match bytes {
            [3] => Meaning::Words("named_curve"),
            _ => Meaning::None,
        },
        "",
    );
    walk.leaf(2, "named_curve", |bytes| code(bytes, names::group), "");
    vector8(
        walk,
        "public",
        |_| Meaning::Words("public key"),
        "The server's public key for the key exchange, made for this connection alone.",
    );
    signature(walk);
}

fn request_tls12(walk: &mut Walk<'_, '_>) {
    let length = walk.length(1, "types length");
    walk.inner(length, |list| {
        while !list.rest.is_empty() {
            list.leaf(
                1,
                "certificate_type",
                |bytes| match bytes {
                    [1] => Meaning::Words("rsa_sign"),
                    [64] => Meaning::Words("ecdsa_sign"),
                    _ => Meaning::Words("one of old"),
                },
                "",
            );
        }
    });
    let length = walk.length(2, "algorithms length");
    walk.inner(length, |list| numbers(list, "scheme", names::scheme));
    vector16(walk, "certificate_authorities", |_| Meaning::None, "");
}

fn lifetime(walk: &mut Walk<'_, '_>) {
    walk.leaf(
        4,
        "ticket_lifetime",
        |bytes| count(number(bytes), "seconds"),
        "How long the ticket is good for; at most seven days (RFC 8446 §4.6.1).",
    );
}

const TICKET: &str = "What the server wants to remember of this session, sealed under a key that it alone has: it keeps \
                      nothing itself. The client cannot read it.";

fn ticket_tls13(walk: &mut Walk<'_, '_>) {
    lifetime(walk);
    walk.leaf(
        4,
        "ticket_age_add",
        |_| Meaning::None,
        "Random: added to the age that the client will name, so that nobody can tell by it which tickets belong \
         together.",
    );
    vector8(
        walk,
        "ticket_nonce",
        |_| Meaning::None,
        "Makes a key of its own for each ticket: PSK = HKDF-Expand-Label(resumption_master_secret, \"resumption\", \
         ticket_nonce).",
    );
    vector16(walk, "ticket", |_| Meaning::None, TICKET);
    extensions(walk, Whose::Server);
}

fn ticket_tls12(walk: &mut Walk<'_, '_>) {
    lifetime(walk);
    vector16(walk, "ticket", |_| Meaning::None, TICKET);
}
