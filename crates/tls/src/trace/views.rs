//! Received messages, read again by the parsers of the handshake.
//!
//! Each function takes a whole handshake message, header included, and fails where the handshake would: what it returns
//! is from a message that the engine has checked.

use crate::crypto::aead::NONCE_LEN;
use crate::crypto::suite::CipherSuite;
use crate::error::Error;
pub use crate::msg::HANDSHAKE_HEADER_LEN;
use crate::msg::certificate::CertificateVerify;
pub use crate::msg::client_hello::{ClientHello, KeyShares};
use crate::msg::server_hello::{self, Answers};
use crate::msg::tls12::ServerKeyExchange;
use crate::registry::{HandshakeType, NamedScheme, ProtocolVersion};
use crate::schedule::TrafficSecret;

/// The `random` that makes a ServerHello a HelloRetryRequest (RFC 8446 §4.1.3).
pub const HELLO_RETRY_REQUEST_RANDOM: [u8; 32] = server_hello::HELLO_RETRY_REQUEST_RANDOM;

/// The choices of a server in its ServerHello or HelloRetryRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerHello<'m> {
    /// The version: that in `supported_versions` if it is there, else that in the hello itself.
    pub version: ProtocolVersion,
    /// The number of the cipher suite.
    pub suite: u16,
    /// Whether it is a HelloRetryRequest.
    pub retry: bool,
    /// The protocol chosen by ALPN, in TLS 1.2.
    pub protocol: Option<&'m [u8]>,
}

/// The type of a message; 0 of an empty one.
pub fn kind(whole: &[u8]) -> HandshakeType {
    HandshakeType(whole.first().copied().unwrap_or_default())
}

/// Reads a ClientHello.
///
/// # Errors
/// Those of the parser.
pub fn client_hello(whole: &[u8]) -> Result<ClientHello<'_>, Error> {
    ClientHello::parse(body(whole))
}

/// Reads a ServerHello or HelloRetryRequest.
///
/// # Errors
/// Those of the parser.
pub fn server_hello(whole: &[u8]) -> Result<ServerHello<'_>, Error> {
    let hello = server_hello::ServerHello::parse(body(whole))?;
    Ok(ServerHello {
        version: hello.selected_version.unwrap_or(hello.version),
        suite: hello.suite,
        retry: hello.is_retry(),
        protocol: hello.tls12.common.protocol,
    })
}

/// Reads EncryptedExtensions: the protocol chosen by ALPN.
///
/// # Errors
/// Those of the parser.
pub fn encrypted_extensions(whole: &[u8]) -> Result<Option<&[u8]>, Error> {
    Ok(Answers::parse_encrypted_extensions(body(whole))?.protocol)
}

/// Reads a CertificateVerify or a ServerKeyExchange: the signature scheme.
///
/// # Errors
/// Those of the parser.
pub fn signature_scheme(whole: &[u8]) -> Result<NamedScheme, Error> {
    Ok(match kind(whole) {
        HandshakeType::SERVER_KEY_EXCHANGE => ServerKeyExchange::parse(body(whole))?.signed.scheme,
        _ => CertificateVerify::parse(body(whole))?.scheme,
    })
}

/// Derives the record key and IV from a traffic secret of TLS 1.3 (RFC 8446 §7.3). `key` is as long as the key of the
/// suite's AEAD.
///
/// # Errors
/// When `key` is longer than HKDF can make it.
pub fn record_key(
    suite: CipherSuite,
    traffic_secret: &[u8],
    key: &mut [u8],
    iv: &mut [u8; NONCE_LEN],
) -> Result<(), Error> {
    let secret = TrafficSecret::new(suite, traffic_secret);
    secret.expand("key", key)?;
    secret.expand("iv", iv)
}

fn body(whole: &[u8]) -> &[u8] {
    whole.get(HANDSHAKE_HEADER_LEN..).unwrap_or_default()
}
