//! Handshake messages: a checked view of each received, a value of each sent.

pub(crate) mod certificate;
pub mod client_hello;
pub(crate) mod server_hello;
pub(crate) mod ticket;
pub(crate) mod tls12;

use super::codec::{Full, Reader, U16List, Writer};
use super::error::{Error, InvalidMessage, PeerMisbehaved};
use super::registry::{ExtensionType, HandshakeType};

/// The longest accepted handshake message of most types, in bytes, header included. RFC 8446 §4 allows 16 MiB.
pub const MAX_MESSAGE: usize = 16 * 1024;
/// The longest accepted Certificate or CertificateRequest, in bytes, header included, if the inbound buffer is large
/// enough: for chains of ten certificates with many names, and the CAs of a large organization.
pub const MAX_CERTIFICATE_MESSAGE: usize = 64 * 1024;

/// The longest accepted message of a type, in bytes, header included.
pub(crate) const fn max_message(kind: HandshakeType) -> usize {
    match kind {
        HandshakeType::CERTIFICATE | HandshakeType::CERTIFICATE_REQUEST => MAX_CERTIFICATE_MESSAGE,
        _ => MAX_MESSAGE,
    }
}

/// The length of a handshake message's header, in bytes: type and length.
pub const HANDSHAKE_HEADER_LEN: usize = 4;

/// A handshake message as a value, to be sent.
pub(crate) trait Emit {
    /// The type of the message.
    const KIND: HandshakeType;

    /// Writes the body of the message.
    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full>;

    /// Writes the message, header included.
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.u8(Self::KIND.0)?;
        writer.nested24(|writer| self.emit_body(writer))
    }

    /// The length of the message in bytes, header included.
    fn encoded_len(&self) -> usize {
        Writer::count(|writer| self.emit(writer))
    }
}

/// Writes an extension with its header.
pub(crate) fn emit_extension(
    writer: &mut Writer<'_>,
    kind: ExtensionType,
    body: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    writer.u16(kind.0)?;
    writer.nested16(body)
}

/// Finished (RFC 8446 §4.4.4, RFC 5246 §7.4.9).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finished<'a> {
    pub(crate) verify_data: &'a [u8],
}

impl<'a> Finished<'a> {
    /// Parses the body of a Finished; `length` is that of `verify_data`.
    pub(crate) fn parse(body: &'a [u8], length: usize) -> Result<Self, InvalidMessage> {
        Reader::all(body, "Finished", |reader| {
            Ok(Self {
                verify_data: reader.take(length)?,
            })
        })
    }
}

impl Emit for Finished<'_> {
    const KIND: HandshakeType = HandshakeType::FINISHED;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.bytes(self.verify_data)
    }
}

/// KeyUpdate (RFC 8446 §4.6.3).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyUpdate {
    /// Whether the receiver must answer with a KeyUpdate of its own.
    pub(crate) requested: bool,
}

impl KeyUpdate {
    /// Parses the body of a KeyUpdate.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Error> {
        match Reader::all(body, "KeyUpdate", |reader| reader.u8())? {
            0 => Ok(Self { requested: false }),
            1 => Ok(Self { requested: true }),
            _ => Err(PeerMisbehaved::IllegalParameter("KeyUpdateRequest").into()),
        }
    }
}

impl Emit for KeyUpdate {
    const KIND: HandshakeType = HandshakeType::KEY_UPDATE;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.u8(self.requested.into())
    }
}

/// A block of complete extensions without duplicates.
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
        if let Some(kind) = first_duplicate(extensions.iter().map(|(kind, _)| kind.0)) {
            return Err(PeerMisbehaved::DuplicateExtension(ExtensionType(kind)).into());
        }
        Ok(extensions)
    }

    /// Checks that no extension is misplaced: of the known ones, only those in `allowed` may occur (RFC 8446 §4.2).
    pub(crate) fn only(self, allowed: &[ExtensionType]) -> Result<Self, Error> {
        let misplaced = |kind: &ExtensionType| kind.is_handled() && !allowed.contains(kind);
        match self.iter().map(|(kind, _)| kind).find(misplaced) {
            Some(kind) => Err(PeerMisbehaved::MisplacedExtension(kind).into()),
            None => Ok(self),
        }
    }

    /// The extensions, in the order of the message.
    pub(crate) fn iter(self) -> impl Iterator<Item = (ExtensionType, &'a [u8])> + Clone {
        let mut reader = Reader::new(self.0, "extensions");
        // Parsing has checked that all of them are complete.
        core::iter::from_fn(move || {
            let kind = ExtensionType(reader.u16().ok()?);
            Some((kind, reader.vector16().ok()?))
        })
    }
}

/// The set of the numbers in one window of the 16-bit range. A hello can have thousands of numbers: passing over them once
/// a window takes linear time and little memory.
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

/// A number that occurs more than once.
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

/// A number that is not in `all`.
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

/// The only protocol in a server's ALPN extension (RFC 7301 §3.1).
pub(crate) fn parse_selected_alpn(body: &[u8]) -> Result<&[u8], InvalidMessage> {
    const WHAT: &str = "application_layer_protocol_negotiation";
    let list = Reader::all(body, WHAT, |reader| reader.vector16())?;
    not_empty(Reader::all(list, WHAT, |reader| reader.vector8())?, WHAT)
}

/// A vector that must not be empty.
pub(crate) fn not_empty<'a>(vector: &'a [u8], what: &'static str) -> Result<&'a [u8], InvalidMessage> {
    if vector.is_empty() {
        return Err(InvalidMessage::IllegalValue(what));
    }
    Ok(vector)
}

/// `legacy_session_id` of either hello: at most 32 bytes (RFC 8446 §4.1.2).
pub(crate) fn parse_session_id<'a>(reader: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], InvalidMessage> {
    let session_id = reader.vector8()?;
    if session_id.len() > 32 {
        return Err(InvalidMessage::IllegalValue(what));
    }
    Ok(session_id)
}

/// `cookie`, which must not be empty (RFC 8446 §4.2.2).
pub(crate) fn parse_cookie(body: &[u8]) -> Result<&[u8], InvalidMessage> {
    not_empty(Reader::all(body, "cookie", |reader| reader.vector16())?, "cookie")
}

/// `renegotiation_info` (RFC 5746 §3.2).
pub(crate) fn parse_renegotiation_info(body: &[u8]) -> Result<&[u8], InvalidMessage> {
    Reader::all(body, "renegotiation_info", |reader| reader.vector8())
}

/// `record_size_limit` (RFC 8449 §4).
pub(crate) fn parse_record_size_limit(body: &[u8]) -> Result<u16, Error> {
    let limit = Reader::all(body, "record_size_limit", |reader| reader.u16())?;
    if limit < 64 {
        return Err(PeerMisbehaved::IllegalParameter("record_size_limit").into());
    }
    Ok(limit)
}

/// A vector of 16-bit numbers with a length of two bytes, which is the whole body of an extension.
pub(crate) fn list16<'a>(body: &'a [u8], what: &'static str) -> Result<U16List<'a>, InvalidMessage> {
    Reader::all(body, what, |reader| U16List::parse(reader.vector16()?, what))
}

/// An extension whose body is empty.
pub(crate) fn empty(body: &[u8], what: &'static str) -> Result<(), InvalidMessage> {
    Reader::all(body, what, |_| Ok(()))
}

#[cfg(all(test, feature = "default"))]
mod tests;
