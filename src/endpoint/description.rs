//! The negotiated parameters of a TLS connection, and its peer.

use crate::pki::allow::KeyHash;
use crate::pki::text::Text;
use crate::tls::Info;

/// The negotiated parameters by their registered names, and the peer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Description {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// Such as `TLS_AES_128_GCM_SHA256`.
    pub suite: &'static str,
    /// Such as `X25519`.
    pub group: &'static str,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// The subject of the peer's certificate, if it has authenticated.
    pub subject: Option<Text<96>>,
    /// The hash of the key with which it has proved that.
    pub key: Option<KeyHash>,
}

impl Description {
    /// Of a connection whose handshake is done.
    pub fn of(info: &Info<'_>) -> Self {
        Description {
            version: info.version_name(),
            suite: info.suite.map_or("", |suite| suite.name()),
            group: info.group.map_or("", |group| group.name()),
            resumed: info.resumed,
            subject: info.peer.map(|peer| peer.subject),
            key: info.peer.map(|peer| peer.key()),
        }
    }
}
