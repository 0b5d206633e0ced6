//! Handshake messages: a checked view of each that comes, and an emitter for each that goes.

pub(crate) mod certificate;
pub mod client_hello;
pub(crate) mod server_hello;
pub(crate) mod ticket;
pub(crate) mod tls12;

use super::codec::{Full, Reader, U16List, Writer};
use super::error::{Error, InvalidMessage, PeerMisbehaved};

/// `hello_request` (RFC 5246 §7.4).
pub(crate) const HELLO_REQUEST: u8 = 0;
/// `client_hello` (RFC 8446 §4).
pub(crate) const CLIENT_HELLO: u8 = 1;
/// `server_hello`.
pub(crate) const SERVER_HELLO: u8 = 2;
/// `new_session_ticket`.
pub(crate) const NEW_SESSION_TICKET: u8 = 4;
/// `encrypted_extensions`.
pub(crate) const ENCRYPTED_EXTENSIONS: u8 = 8;
/// `certificate`.
pub(crate) const CERTIFICATE: u8 = 11;
/// `server_key_exchange` (RFC 5246 §7.4).
pub(crate) const SERVER_KEY_EXCHANGE: u8 = 12;
/// `certificate_request`.
pub(crate) const CERTIFICATE_REQUEST: u8 = 13;
/// `server_hello_done` (RFC 5246 §7.4).
pub(crate) const SERVER_HELLO_DONE: u8 = 14;
/// `certificate_verify`.
pub(crate) const CERTIFICATE_VERIFY: u8 = 15;
/// `client_key_exchange` (RFC 5246 §7.4).
pub(crate) const CLIENT_KEY_EXCHANGE: u8 = 16;
/// `certificate_status` (RFC 6066 §8).
pub(crate) const CERTIFICATE_STATUS: u8 = 22;
/// `finished`.
pub(crate) const FINISHED: u8 = 20;
/// `key_update`.
pub(crate) const KEY_UPDATE: u8 = 24;
/// `message_hash`, which is never sent (RFC 8446 §4.4.1).
pub(crate) const MESSAGE_HASH: u8 = 254;

/// The longest handshake message of most types that is accepted, in bytes, header included. RFC 8446 §4 would allow
/// 16 MiB.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// The longest Certificate or CertificateRequest that is accepted, in bytes, header included, by a connection whose
/// inbound buffer is large enough: chains of ten certificates with many names, CAs of a large organization.
pub const MAX_CERTIFICATE_MESSAGE: usize = 64 * 1024;

/// The longest message of a type that is accepted, in bytes, header included.
pub(crate) const fn max_message(kind: u8) -> usize {
    match kind {
        CERTIFICATE | CERTIFICATE_REQUEST => MAX_CERTIFICATE_MESSAGE,
        _ => MAX_MESSAGE,
    }
}

/// The name of a handshake message (RFC 8446 §B.3, RFC 5246 §7.4).
pub(crate) const fn message_name(kind: u8) -> &'static str {
    match kind {
        CLIENT_HELLO => "ClientHello",
        SERVER_HELLO => "ServerHello",
        NEW_SESSION_TICKET => "NewSessionTicket",
        ENCRYPTED_EXTENSIONS => "EncryptedExtensions",
        CERTIFICATE => "Certificate",
        SERVER_KEY_EXCHANGE => "ServerKeyExchange",
        CERTIFICATE_REQUEST => "CertificateRequest",
        CERTIFICATE_VERIFY => "CertificateVerify",
        CLIENT_KEY_EXCHANGE => "ClientKeyExchange",
        CERTIFICATE_STATUS => "CertificateStatus",
        FINISHED => "Finished",
        _ => "handshake message",
    }
}

/// The length of a handshake message's header, in bytes: type and length.
pub(crate) const HANDSHAKE_HEADER_LEN: usize = 4;

/// SSL 3.0.
pub(crate) const SSL3: u16 = 0x0300;
/// TLS 1.2.
pub(crate) const TLS12: u16 = 0x0303;
/// TLS 1.3.
pub(crate) const TLS13: u16 = 0x0304;

/// Extension types (RFC 8446 §4.2 and the IANA registry).
pub(crate) mod extension {
    pub(crate) const SERVER_NAME: u16 = 0;
    pub(crate) const MAX_FRAGMENT_LENGTH: u16 = 1;
    pub(crate) const STATUS_REQUEST: u16 = 5;
    pub(crate) const SUPPORTED_GROUPS: u16 = 10;
    pub(crate) const EC_POINT_FORMATS: u16 = 11;
    pub(crate) const SIGNATURE_ALGORITHMS: u16 = 13;
    pub(crate) const ALPN: u16 = 16;
    pub(crate) const PADDING: u16 = 21;
    pub(crate) const EXTENDED_MASTER_SECRET: u16 = 23;
    pub(crate) const RECORD_SIZE_LIMIT: u16 = 28;
    pub(crate) const SESSION_TICKET: u16 = 35;
    pub(crate) const PRE_SHARED_KEY: u16 = 41;
    pub(crate) const EARLY_DATA: u16 = 42;
    pub(crate) const SUPPORTED_VERSIONS: u16 = 43;
    pub(crate) const COOKIE: u16 = 44;
    pub(crate) const PSK_KEY_EXCHANGE_MODES: u16 = 45;
    pub(crate) const CERTIFICATE_AUTHORITIES: u16 = 47;
    pub(crate) const SIGNATURE_ALGORITHMS_CERT: u16 = 50;
    pub(crate) const KEY_SHARE: u16 = 51;
    pub(crate) const RENEGOTIATION_INFO: u16 = 0xff01;

    /// Whether the extension is known here, and known not to belong into some messages.
    pub(crate) fn is_known(kind: u16) -> bool {
        matches!(
            kind,
            SERVER_NAME
                | MAX_FRAGMENT_LENGTH
                | STATUS_REQUEST
                | SUPPORTED_GROUPS
                | EC_POINT_FORMATS
                | SIGNATURE_ALGORITHMS
                | ALPN
                | PADDING
                | EXTENDED_MASTER_SECRET
                | RECORD_SIZE_LIMIT
                | SESSION_TICKET
                | PRE_SHARED_KEY
                | EARLY_DATA
                | SUPPORTED_VERSIONS
                | COOKIE
                | PSK_KEY_EXCHANGE_MODES
                | CERTIFICATE_AUTHORITIES
                | SIGNATURE_ALGORITHMS_CERT
                | KEY_SHARE
                | RENEGOTIATION_INFO
        )
    }
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

/// Finished (RFC 8446 §4.4.4, RFC 5246 §7.4.9).
pub(crate) fn finished(writer: &mut Writer<'_>, verify_data: &[u8]) -> Result<(), Full> {
    emit(writer, FINISHED, |writer| writer.bytes(verify_data))
}

/// Checks that the body of a Finished has the length that it must have, and returns it.
pub(crate) fn parse_finished(body: &[u8], length: usize) -> Result<&[u8], InvalidMessage> {
    let mut reader = Reader::new(body, "Finished");
    let verify_data = reader.take(length)?;
    reader.finish()?;
    Ok(verify_data)
}

/// A block of extensions, checked to be whole and without duplicates.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    pub(crate) fn parse(block: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(block, "extensions");
        while !reader.is_empty() {
            reader.u16()?;
            reader.vector16()?;
        }
        let extensions = Self(block);
        // RFC 8446 §4.2: "There MUST NOT be more than one extension of the same type".
        if let Some(kind) = first_duplicate(extensions.iter().map(|(kind, _)| kind)) {
            return Err(PeerMisbehaved::DuplicateExtension(kind).into());
        }
        Ok(extensions)
    }

    /// Checks that of the extensions that are known here only those in `allowed` are there (RFC 8446 §4.2).
    pub(crate) fn only(self, allowed: &[u16]) -> Result<Self, Error> {
        let misplaced = |kind: &u16| extension::is_known(*kind) && !allowed.contains(kind);
        match self.iter().map(|(kind, _)| kind).find(misplaced) {
            Some(kind) => Err(PeerMisbehaved::MisplacedExtension(kind).into()),
            None => Ok(self),
        }
    }

    /// The extensions, in their order.
    pub(crate) fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> + Clone {
        let mut reader = Reader::new(self.0, "extensions");
        // They were checked to be whole when the block was parsed.
        core::iter::from_fn(move || {
            let kind = reader.u16().ok()?;
            Some((kind, reader.vector16().ok()?))
        })
    }
}

/// A set of the numbers of one window out of all 16-bit numbers. A hello can hold thousands of them: window by window
/// every question about them is answered in linear time and little space.
struct Window {
    number: usize,
    bits: [u8; Window::SIZE / 8],
}

impl Window {
    const SIZE: usize = 8192;

    fn all() -> impl Iterator<Item = Self> {
        (0..=usize::from(u16::MAX) / Self::SIZE).map(|number| Self {
            number,
            bits: [0; Self::SIZE / 8],
        })
    }

    fn covers(&self, number: u16) -> bool {
        usize::from(number) / Self::SIZE == self.number
    }

    fn contains(&self, number: u16) -> bool {
        let number = usize::from(number) % Self::SIZE;
        self.bits
            .get(number / 8)
            .is_some_and(|byte| byte & (1 << (number % 8)) != 0)
    }

    fn insert(&mut self, number: u16) {
        let number = usize::from(number) % Self::SIZE;
        if let Some(byte) = self.bits.get_mut(number / 8) {
            *byte |= 1 << (number % 8);
        }
    }
}

/// A number that comes more than once.
fn first_duplicate(numbers: impl Iterator<Item = u16> + Clone) -> Option<u16> {
    Window::all().find_map(|mut window| {
        numbers.clone().find(|&number| {
            if !window.covers(number) {
                return false;
            }
            let duplicate = window.contains(number);
            window.insert(number);
            duplicate
        })
    })
}

/// A number that `all` does not hold.
fn first_outside(numbers: impl Iterator<Item = u16> + Clone, all: U16List<'_>) -> Option<u16> {
    Window::all().find_map(|mut window| {
        all.iter().for_each(|number| {
            if window.covers(number) {
                window.insert(number);
            }
        });
        numbers
            .clone()
            .find(|&number| window.covers(number) && !window.contains(number))
    })
}

/// The one protocol in a server's ALPN extension (RFC 7301 §3.1).
pub(crate) fn parse_selected_alpn(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(body, "application_layer_protocol_negotiation");
    let mut list = Reader::new(reader.vector16()?, "application_layer_protocol_negotiation");
    reader.finish()?;
    let protocol = list.vector8()?;
    list.finish()?;
    if protocol.is_empty() {
        return Err(InvalidMessage::IllegalValue("application_layer_protocol_negotiation").into());
    }
    Ok(protocol)
}

/// `record_size_limit` (RFC 8449 §4).
pub(crate) fn parse_record_size_limit(body: &[u8]) -> Result<u16, Error> {
    let mut reader = Reader::new(body, "record_size_limit");
    let limit = reader.u16()?;
    reader.finish()?;
    if limit < 64 {
        return Err(PeerMisbehaved::IllegalParameter("record_size_limit").into());
    }
    Ok(limit)
}

/// A vector with a length of two bytes that is the whole body of an extension and holds 16-bit numbers.
pub(crate) fn list16<'a>(body: &'a [u8], what: &'static str) -> Result<U16List<'a>, Error> {
    let mut reader = Reader::new(body, what);
    let list = U16List::parse(reader.vector16()?, what)?;
    reader.finish()?;
    Ok(list)
}

/// An extension whose body is empty.
pub(crate) fn empty(body: &[u8], what: &'static str) -> Result<(), Error> {
    Ok(Reader::new(body, what).finish()?)
}
