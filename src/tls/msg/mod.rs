//! Handshake messages: a checked view of each that comes, and an emitter for each that goes.

pub mod client_hello;
pub(crate) mod server_hello;

use super::codec::{Full, Writer};

/// `client_hello` (RFC 8446 §4).
pub(crate) const CLIENT_HELLO: u8 = 1;
/// `server_hello`.
pub(crate) const SERVER_HELLO: u8 = 2;
/// `encrypted_extensions`.
pub(crate) const ENCRYPTED_EXTENSIONS: u8 = 8;
/// `certificate`.
pub(crate) const CERTIFICATE: u8 = 11;
/// `certificate_verify`.
pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
/// `finished`.
pub(crate) const FINISHED: u8 = 20;
/// `key_update`.
pub(crate) const KEY_UPDATE: u8 = 24;
/// `message_hash`, which is never sent (RFC 8446 §4.4.1).
pub(crate) const MESSAGE_HASH: u8 = 254;

/// The length of a handshake message's header, in bytes: type and length.
pub(crate) const HANDSHAKE_HEADER_LEN: usize = 4;

/// Extension types (RFC 8446 §4.2 and the IANA registry).
pub(crate) mod extension {
    pub(crate) const SERVER_NAME: u16 = 0;
    pub(crate) const SUPPORTED_GROUPS: u16 = 10;
    pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(crate) const PADDING: u16 = 21;
    pub(crate) const PRE_SHARED_KEY: u16 = 41;
    pub(crate) const EARLY_DATA: u16 = 42;
    pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
    pub(crate) const COOKIE: u16 = 44;
    pub(crate) const PSK_KEY_EXCHANGE_MODES: u16 = 45;
    pub(crate) const KEY_SHARE: u16 = 51;
}

/// Writes a handshake message with its header.
pub(crate) fn emit(
    writer: &mut Writer<'_>,
    kind: u8,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    writer.u8(kind)?;
    writer.nested24(body)
}

/// Writes an extension with its header.
pub(crate) fn emit_extension(
    writer: &mut Writer<'_>,
    kind: u16,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    writer.u16(kind)?;
    writer.nested16(body)
}
