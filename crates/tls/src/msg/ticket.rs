//! NewSessionTicket, of both versions.

use super::{Extensions, emit, not_empty};
use crate::codec::{Full, Reader, Writer};
use crate::error::{Error, InvalidMessage};
use crate::registry::{ExtensionType, HandshakeType};

/// NewSessionTicket of TLS 1.3 (RFC 8446 §4.6.1), without early data. Lifetime in seconds.
pub(crate) fn emit_tls13(
    writer: &mut Writer<'_>,
    lifetime: u32,
    age_add: u32,
    nonce: &[u8],
    ticket: &[u8],
) -> Result<(), Full> {
    emit(writer, HandshakeType::NEW_SESSION_TICKET, |writer| {
        writer.bytes(&lifetime.to_be_bytes())?;
        writer.bytes(&age_add.to_be_bytes())?;
        writer.nested8(|writer| writer.bytes(nonce))?;
        writer.nested16(|writer| writer.bytes(ticket))?;
        writer.nested16(|_| Ok(()))
    })
}

/// NewSessionTicket of TLS 1.2 (RFC 5077 §3.3). Lifetime in seconds.
pub(crate) fn emit_tls12(writer: &mut Writer<'_>, lifetime: u32, ticket: &[u8]) -> Result<(), Full> {
    emit(writer, HandshakeType::NEW_SESSION_TICKET, |writer| {
        writer.bytes(&lifetime.to_be_bytes())?;
        writer.nested16(|writer| writer.bytes(ticket))
    })
}

/// A checked NewSessionTicket of TLS 1.3.
#[derive(Debug)]
pub(crate) struct NewSessionTicket<'a> {
    /// In seconds.
    pub(crate) lifetime: u32,
    pub(crate) age_add: u32,
    pub(crate) nonce: &'a [u8],
    pub(crate) ticket: &'a [u8],
}

impl<'a> NewSessionTicket<'a> {
    pub(crate) fn parse_tls13(body: &'a [u8]) -> Result<Self, Error> {
        let read = Reader::all(body, "NewSessionTicket", |reader| -> Result<_, Error> {
            let read = Self {
                lifetime: u32::from_be_bytes(*reader.array()?),
                age_add: u32::from_be_bytes(*reader.array()?),
                nonce: reader.vector8()?,
                ticket: reader.vector16()?,
            };
            // early_data is not used here, and unknown ones are to be ignored (RFC 8446 §4.6.1).
            Extensions::parse(reader.vector16()?)?.only(&[ExtensionType::EARLY_DATA])?;
            Ok(read)
        })?;
        not_empty(read.ticket, "ticket")?;
        Ok(read)
    }

    /// Of TLS 1.2: lifetime in seconds and ticket, which may be empty (RFC 5077 §3.3).
    pub(crate) fn parse_tls12(body: &'a [u8]) -> Result<(u32, &'a [u8]), InvalidMessage> {
        Reader::all(body, "NewSessionTicket", |reader| {
            Ok((u32::from_be_bytes(*reader.array()?), reader.vector16()?))
        })
    }
}
