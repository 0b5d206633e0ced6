//! The fields of ClientHello and ServerHello.

use postern_tls::trace::views::HELLO_RETRY_REQUEST_RANDOM;

use super::Meaning;
use super::extensions::{Sender, extensions};
use super::walk::{Walk, code, count, number, numbers, vector8};
use crate::names;

const SESSION_ID: &str = "Formerly the name of a session to resume. In TLS 1.3 it makes the connection look like a \
                          resumption of TLS 1.2; the server echoes it (RFC 8446 §D.4).";
const COMPRESSION: &str = "Compression before encryption reveals secrets by their length (CRIME); only \"null\" is \
                           left.";

pub(super) fn client_hello(walk: &mut Walk<'_, '_>) {
    walk.leaf(
        2,
        "legacy_version",
        |bytes| code(bytes, names::version),
        "The highest version, up to TLS 1.2. TLS 1.3 is offered in supported_versions.",
    );
    walk.leaf(
        32,
        "random",
        |_| Meaning::None,
        "32 random bytes, which make each handshake unique (RFC 8446 §4.1.2).",
    );
    vector8(walk, "legacy_session_id", |_| Meaning::None, SESSION_ID);
    let length = number(walk.rest.get(..2).unwrap_or_default());
    walk.group(
        "cipher_suites",
        count(length / 2, "offered"),
        "How records can be protected, most preferred first. Those of TLS 1.3 name an AEAD and a hash, those of TLS 1.2 \
         the key exchange and the signature as well.",
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
        walk.word("method", "", |byte| match byte {
            0 => Some("null"),
            _ => Some("obsolete"),
        });
    }
    walk.depth = 0;
    extensions(walk, Sender::Client);
}

pub(super) fn server_hello(walk: &mut Walk<'_, '_>) {
    walk.leaf(
        2,
        "legacy_version",
        |bytes| code(bytes, names::version),
        "The version, if it is TLS 1.2; TLS 1.3 is chosen in supported_versions.",
    );
    let retry = walk.rest.starts_with(&HELLO_RETRY_REQUEST_RANDOM);
    if retry {
        walk.leaf(
            32,
            "random",
            |_| Meaning::Words("HelloRetryRequest"),
            "Not random: the SHA-256 of \"HelloRetryRequest\" makes this ServerHello one (RFC 8446 §4.1.3).",
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
            "32 random bytes of the server. A server that supports TLS 1.3 but negotiates an older version ends them in \
             \"DOWNGRD\", by which a client detects a downgrade attack (RFC 8446 §4.1.3).",
        );
    }
    vector8(walk, "legacy_session_id_echo", |_| Meaning::None, SESSION_ID);
    walk.leaf(
        2,
        "cipher_suite",
        |bytes| code(bytes, names::suite),
        "The server's choice of those offered.",
    );
    walk.word("legacy_compression_method", COMPRESSION, |byte| match byte {
        0 => Some("null"),
        _ => None,
    });
    if !walk.rest.is_empty() {
        extensions(walk, if retry { Sender::Retry } else { Sender::Server });
    }
}
