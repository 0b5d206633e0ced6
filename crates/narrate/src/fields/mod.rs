//! Records and messages divided into fields: every byte once, in order.

mod certificate;
mod extensions;
mod hello;
mod item;
mod keys;
mod record;
mod walk;

use postern_tls::{HandshakeType, ProtocolVersion};

use self::extensions::{Sender, certificate_status, extensions};
pub use self::item::{Item, ItemKind, Meaning};
pub(crate) use self::record::{content, record};
pub(crate) use self::walk::number;
use self::walk::{Walk, code, length, low, vector8};

/// The note of a `certificate_request_context`.
const CONTEXT: &str = "Empty in a handshake (RFC 8446 §4.3.2).";

/// Shows the fields of a handshake message of `version`.
pub(crate) fn message(whole: &[u8], version: ProtocolVersion, visit: &mut dyn FnMut(&Item<'_>)) {
    let mut walk = Walk {
        rest: whole,
        depth: 0,
        kind: ItemKind::Wire,
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
        (HandshakeType::CLIENT_HELLO, _) => hello::client_hello(&mut walk),
        (HandshakeType::SERVER_HELLO, _) => hello::server_hello(&mut walk),
        (HandshakeType::NEW_SESSION_TICKET, true) => keys::ticket_tls13(&mut walk),
        (HandshakeType::NEW_SESSION_TICKET, false) => keys::ticket_tls12(&mut walk),
        (HandshakeType::ENCRYPTED_EXTENSIONS, _) => extensions(&mut walk, Sender::Server),
        (HandshakeType::CERTIFICATE, _) => certificate::certificates(&mut walk, version),
        (HandshakeType::SERVER_KEY_EXCHANGE, _) => keys::server_key_exchange(&mut walk),
        (HandshakeType::CERTIFICATE_REQUEST, true) => {
            vector8(&mut walk, "certificate_request_context", |_| Meaning::None, CONTEXT);
            extensions(&mut walk, Sender::Server);
        }
        (HandshakeType::CERTIFICATE_REQUEST, false) => certificate::request_tls12(&mut walk),
        (HandshakeType::CERTIFICATE_VERIFY, _) => keys::signature(&mut walk),
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
        (HandshakeType::KEY_UPDATE, _) => walk.word(
            "request_update",
            "Whether the other side has to change its key as well.",
            |byte| match byte {
                0 => Some("update_not_requested"),
                1 => Some("update_requested"),
                _ => None,
            },
        ),
        _ => {}
    }
    walk.finish();
}
