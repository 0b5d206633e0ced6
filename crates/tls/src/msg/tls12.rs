//! The key exchange messages of TLS 1.2 (RFC 8422 §5.4, §5.7).

use super::certificate::CertificateVerify;
use super::{Emit, empty, not_empty};
use crate::codec::{Full, Reader, Writer};
use crate::crypto::kx::Group;
use crate::error::{Error, InvalidMessage, PeerMisbehaved};
use crate::registry::{HandshakeType, NamedGroup};

/// `named_curve` (RFC 8422 §5.4).
const NAMED_CURVE: u8 = 3;

/// ServerECDHParams (RFC 8422 §5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EcdhParams<'a> {
    pub(crate) group: NamedGroup,
    pub(crate) public: &'a [u8],
    /// The encoded struct, which the signature covers.
    pub(crate) encoded: &'a [u8],
}

impl<'a> EcdhParams<'a> {
    /// Encodes the params into `buffer`.
    pub(crate) fn encode(group: Group, public: &'a [u8], buffer: &'a mut [u8]) -> Result<Self, Full> {
        let group = NamedGroup(group.id());
        let mut writer = Writer::new(buffer);
        writer.u8(NAMED_CURVE)?;
        writer.u16(group.0)?;
        writer.nested8(|writer| writer.bytes(public))?;
        Ok(Self {
            group,
            public,
            encoded: writer.finish(),
        })
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let before = reader.rest();
        if reader.u8()? != NAMED_CURVE {
            return Err(PeerMisbehaved::IllegalParameter("curve_type").into());
        }
        let group = NamedGroup(reader.u16()?);
        let public = reader.vector8()?;
        let length = public.len().saturating_add(1 + 2 + 1);
        let encoded = before.get(..length);
        Ok(Self {
            group,
            public,
            encoded: encoded.ok_or(Error::Internal("parameters longer than their message"))?,
        })
    }
}

/// ServerKeyExchange (RFC 8422 §5.4).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerKeyExchange<'a> {
    pub(crate) params: EcdhParams<'a>,
    /// The signature over the randoms and the params.
    pub(crate) signed: CertificateVerify<'a>,
}

impl<'a> ServerKeyExchange<'a> {
    /// Parses the body of a ServerKeyExchange.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        Reader::all(body, "ServerKeyExchange", |reader| {
            Ok(Self {
                params: EcdhParams::read(reader)?,
                signed: CertificateVerify::read(reader)?,
            })
        })
    }
}

impl Emit for ServerKeyExchange<'_> {
    const KIND: HandshakeType = HandshakeType::SERVER_KEY_EXCHANGE;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.bytes(self.params.encoded)?;
        self.signed.emit_body(writer)
    }
}

/// ServerHelloDone (RFC 5246 §7.4.5).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ServerHelloDone;

impl ServerHelloDone {
    /// Parses the body of a ServerHelloDone.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, InvalidMessage> {
        empty(body, "ServerHelloDone")?;
        Ok(Self)
    }
}

impl Emit for ServerHelloDone {
    const KIND: HandshakeType = HandshakeType::SERVER_HELLO_DONE;

    fn emit_body(&self, _: &mut Writer<'_>) -> Result<(), Full> {
        Ok(())
    }
}

/// ClientKeyExchange (RFC 8422 §5.7).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientKeyExchange<'a> {
    /// Not empty.
    pub(crate) public: &'a [u8],
}

impl<'a> ClientKeyExchange<'a> {
    /// Parses the body of a ClientKeyExchange.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, InvalidMessage> {
        let public = Reader::all(body, "ClientKeyExchange", |reader| reader.vector8())?;
        Ok(Self {
            public: not_empty(public, "ecdh_Yc")?,
        })
    }
}

impl Emit for ClientKeyExchange<'_> {
    const KIND: HandshakeType = HandshakeType::CLIENT_KEY_EXCHANGE;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.nested8(|writer| writer.bytes(self.public))
    }
}
