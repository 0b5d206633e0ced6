//! The key exchange messages of TLS 1.2 (RFC 8422 §5.4, §5.7).

use super::certificate::{emit_signature, parse_signature};
use super::{emit, empty, not_empty};
use crate::codec::{Full, Reader, Writer};
use crate::crypto::kx::Group;
use crate::crypto::sign::SignatureScheme;
use crate::error::{Error, InvalidMessage, PeerMisbehaved};
use crate::registry::HandshakeType;

/// `named_curve` (RFC 8422 §5.4).
const NAMED_CURVE: u8 = 3;

/// ServerECDHParams.
pub(crate) fn emit_params(writer: &mut Writer<'_>, group: Group, public: &[u8]) -> Result<(), Full> {
    writer.u8(NAMED_CURVE)?;
    writer.u16(group.id())?;
    writer.nested8(|writer| writer.bytes(public))
}

/// ServerKeyExchange around ServerECDHParams.
pub(crate) fn server_key_exchange(
    writer: &mut Writer<'_>,
    params: &[u8],
    scheme: SignatureScheme,
    signature: &[u8],
) -> Result<(), Full> {
    emit(writer, HandshakeType::SERVER_KEY_EXCHANGE, |writer| {
        writer.bytes(params)?;
        emit_signature(writer, scheme, signature)
    })
}

/// ServerHelloDone (RFC 5246 §7.4.5).
pub(crate) fn server_hello_done(writer: &mut Writer<'_>) -> Result<(), Full> {
    emit(writer, HandshakeType::SERVER_HELLO_DONE, |_| Ok(()))
}

/// ClientKeyExchange.
pub(crate) fn client_key_exchange(writer: &mut Writer<'_>, public: &[u8]) -> Result<(), Full> {
    emit(writer, HandshakeType::CLIENT_KEY_EXCHANGE, |writer| {
        writer.nested8(|writer| writer.bytes(public))
    })
}

/// A checked ServerKeyExchange.
#[derive(Debug)]
pub(crate) struct ServerKeyExchange<'a> {
    /// What the signature covers besides the randoms.
    pub(crate) params: &'a [u8],
    pub(crate) group: u16,
    pub(crate) public: &'a [u8],
    pub(crate) scheme: u16,
    pub(crate) signature: &'a [u8],
}

impl<'a> ServerKeyExchange<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        Reader::all(body, "ServerKeyExchange", |reader| {
            if reader.u8()? != NAMED_CURVE {
                return Err(PeerMisbehaved::IllegalParameter("curve_type").into());
            }
            let group = reader.u16()?;
            let public = reader.vector8()?;
            let params = body
                .get(..4 + public.len())
                .ok_or(InvalidMessage::MissingData("ServerKeyExchange"))?;
            let (scheme, signature) = parse_signature(reader)?;
            Ok(Self {
                params,
                group,
                public,
                scheme,
                signature,
            })
        })
    }
}

/// Checks a ClientKeyExchange: the public value.
pub(crate) fn parse_client_key_exchange(body: &[u8]) -> Result<&[u8], InvalidMessage> {
    let public = Reader::all(body, "ClientKeyExchange", |reader| reader.vector8())?;
    not_empty(public, "ecdh_Yc")
}

/// Checks a ServerHelloDone.
pub(crate) fn parse_server_hello_done(body: &[u8]) -> Result<(), InvalidMessage> {
    empty(body, "ServerHelloDone")
}
