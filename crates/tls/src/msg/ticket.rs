//! NewSessionTicket of TLS 1.3 and TLS 1.2.

use super::{Emit, Extensions, not_empty};
use crate::codec::{Full, Reader, Writer};
use crate::error::{Error, InvalidMessage};
use crate::registry::{ExtensionType, HandshakeType};

/// NewSessionTicket of TLS 1.3 (RFC 8446 §4.6.1), without early data.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TicketTls13<'a> {
    /// In seconds.
    pub(crate) lifetime: u32,
    pub(crate) age_add: u32,
    pub(crate) nonce: &'a [u8],
    pub(crate) ticket: &'a [u8],
}

impl<'a> TicketTls13<'a> {
    /// Parses the body of a NewSessionTicket.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let read = Reader::all(body, "NewSessionTicket", |reader| -> Result<_, Error> {
            let read = Self {
                lifetime: u32::from_be_bytes(*reader.array()?),
                age_add: u32::from_be_bytes(*reader.array()?),
                nonce: reader.vector8()?,
                ticket: reader.vector16()?,
            };
            // early_data is not supported, and unknown extensions are ignored (RFC 8446 §4.6.1).
            Extensions::parse(reader.vector16()?)?.only(&[ExtensionType::EARLY_DATA])?;
            Ok(read)
        })?;
        not_empty(read.ticket, "ticket")?;
        Ok(read)
    }
}

impl Emit for TicketTls13<'_> {
    const KIND: HandshakeType = HandshakeType::NEW_SESSION_TICKET;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.bytes(&self.lifetime.to_be_bytes())?;
        writer.bytes(&self.age_add.to_be_bytes())?;
        writer.nested8(|writer| writer.bytes(self.nonce))?;
        writer.nested16(|writer| writer.bytes(self.ticket))?;
        writer.nested16(|_| Ok(()))
    }
}

/// NewSessionTicket of TLS 1.2 (RFC 5077 §3.3).
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TicketTls12<'a> {
    /// In seconds.
    pub(crate) lifetime: u32,
    /// May be empty.
    pub(crate) ticket: &'a [u8],
}

impl<'a> TicketTls12<'a> {
    /// Parses the body of a NewSessionTicket.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, InvalidMessage> {
        Reader::all(body, "NewSessionTicket", |reader| {
            Ok(Self {
                lifetime: u32::from_be_bytes(*reader.array()?),
                ticket: reader.vector16()?,
            })
        })
    }
}

impl Emit for TicketTls12<'_> {
    const KIND: HandshakeType = HandshakeType::NEW_SESSION_TICKET;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.bytes(&self.lifetime.to_be_bytes())?;
        writer.nested16(|writer| writer.bytes(self.ticket))
    }
}
