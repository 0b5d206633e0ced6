//! The content of a server's ticket.

use crate::codec::{Full, Reader, Writer};
use crate::crypto::hash::{HashAlgorithm, HashOutput, MAX_HASH};
use crate::crypto::mac::constant_time_eq;
use crate::crypto::suite::CipherSuite;
use crate::error::InvalidMessage;
use crate::pki::text::Text;
use crate::pki::verify::PeerIdentity;
use crate::registry::ProtocolVersion;

/// The greatest length of an encoded session, in bytes.
pub(crate) const MAX_STATE: usize = 2 + 2 + 1 + MAX_HASH + 8 + 8 + 32 + 1 + 32 + 8 + 1 + SUBJECT;
/// The longest subject stored in a session, in bytes.
const SUBJECT: usize = 96;

/// The state that a server needs to resume a session.
pub(crate) struct SessionState {
    pub(crate) version: ProtocolVersion,
    pub(crate) suite: CipherSuite,
    /// The PSK of TLS 1.3 or the (extended) master secret of TLS 1.2.
    pub(crate) secret: HashOutput,
    /// In seconds since 1970.
    pub(crate) issued: u64,
    /// The last second of the session, since 1970: [`super::SESSION_LIFETIME`] after the full handshake, or earlier if the
    /// certificates or lists verified then expire earlier. Resumptions do not change it.
    pub(crate) expires: u64,
    /// The hash of the server name that the client requested.
    pub(crate) server_name: HashOutput,
    /// The client's identity, if it authenticated.
    pub(crate) identity: Option<PeerIdentity>,
}

/// The hash that represents the server name in a session.
pub(crate) fn server_name_hash(name: Option<&[u8]>) -> HashOutput {
    HashAlgorithm::Sha256.hash(name.unwrap_or_default())
}

impl SessionState {
    pub(crate) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.u16(self.version.0)?;
        writer.u16(self.suite.id())?;
        writer.nested8(|writer| writer.bytes(self.secret.as_ref()))?;
        writer.bytes(&self.issued.to_be_bytes())?;
        writer.bytes(&self.expires.to_be_bytes())?;
        writer.bytes(self.server_name.as_ref())?;
        let Some(identity) = &self.identity else {
            return writer.u8(0);
        };
        writer.u8(1)?;
        writer.bytes(&identity.fingerprint)?;
        writer.bytes(&identity.not_after.to_be_bytes())?;
        writer.nested8(|writer| writer.bytes(identity.subject.as_str().as_bytes()))
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, InvalidMessage> {
        Reader::all(bytes, "ticket", Self::read)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, InvalidMessage> {
        let version = ProtocolVersion(reader.u16()?);
        let suite = CipherSuite::from_id(reader.u16()?).ok_or(InvalidMessage::IllegalValue("ticket"))?;
        let secret = HashOutput::new(reader.vector8()?);
        let issued = u64::from_be_bytes(*reader.array()?);
        let expires = u64::from_be_bytes(*reader.array()?);
        let server_name = HashOutput::new(reader.take(32)?);
        let identity = if reader.u8()? == 0 {
            None
        } else {
            Some(PeerIdentity {
                fingerprint: *reader.array()?,
                not_after: u64::from_be_bytes(*reader.array()?),
                subject: Text::new(core::str::from_utf8(reader.vector8()?).unwrap_or_default()),
            })
        };
        Ok(Self {
            version,
            suite,
            secret,
            issued,
            expires,
            server_name,
            identity,
        })
    }

    /// Whether the session is for this server name.
    pub(crate) fn is_for(&self, server_name: Option<&[u8]>) -> bool {
        constant_time_eq(self.server_name.as_ref(), server_name_hash(server_name).as_ref())
    }
}
