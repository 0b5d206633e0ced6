//! Resumable sessions: the content of a server's tickets, and the client's cache.

use core::cell::{Cell, RefCell};

use super::codec::{Full, Reader, Writer};
use super::error::InvalidMessage;
use super::registry::ProtocolVersion;
pub use super::tickets::{TICKET_LIFETIME, Tickets};
use crate::crypto::hash::{HashAlgorithm, HashOutput, MAX_HASH};
use crate::crypto::mac::constant_time_eq;
use crate::crypto::suite::CipherSuite;
use crate::pki::text::Text;
use crate::pki::verify::PeerIdentity;

/// The time after which a server's session ends, in seconds from its full handshake; tickets issued in a resumption do
/// not prolong it.
pub const SESSION_LIFETIME: u32 = 86_400;
/// The longest time that a client stores a ticket, and uses a session after its full handshake, in seconds: seven days
/// (RFC 8446 §4.6.1). In TLS 1.2, where the lifetime is only a hint (RFC 5077 §5.6), the same bound applies.
pub const MAX_TICKET_AGE: u32 = 604_800;
/// The longest ticket that a client stores, in bytes ([`SessionCache::oversized`]).
pub const MAX_TICKET: usize = 1536;

/// The greatest length of an encoded session, in bytes.
pub(super) const MAX_STATE: usize = 2 + 2 + 1 + MAX_HASH + 8 + 8 + 32 + 1 + 32 + 8 + 1 + SUBJECT;
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
    /// The last second of the session, since 1970: [`SESSION_LIFETIME`] after the full handshake, or earlier if the
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
    pub(super) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
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

    pub(super) fn parse(bytes: &[u8]) -> Result<Self, InvalidMessage> {
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

/// A client's cache for one server: the newest ticket, used once.
///
/// Use one for each server. A session is used only with the trust and the server name of the connection that received
/// the ticket, and ends [`MAX_TICKET_AGE`] after its full handshake, or earlier if what was verified then expires.
#[derive(Default)]
pub struct SessionCache {
    session: RefCell<Option<ClientSession>>,
    /// The length of a ticket that was too long, or 0.
    oversized: Cell<u16>,
}

impl SessionCache {
    /// An empty cache.
    pub const fn new() -> Self {
        Self {
            session: RefCell::new(None),
            oversized: Cell::new(0),
        }
    }

    /// The length in bytes of a ticket that was not stored because it is longer than [`MAX_TICKET`]: the last one of the
    /// newest connection. The session it stands for cannot be resumed.
    pub fn oversized(&self) -> Option<u16> {
        Some(self.oversized.get()).filter(|length| *length > 0)
    }

    /// Whether there is a session to resume.
    pub fn is_empty(&self) -> bool {
        self.session.borrow().is_none()
    }

    /// Removes the session.
    pub fn clear(&self) {
        // Dropped in place, which wipes its secret.
        *self.session.borrow_mut() = None;
    }

    pub(crate) fn store(&self, session: ClientSession) {
        *self.session.borrow_mut() = Some(session);
    }

    /// The ticket, if it is short enough to be stored; otherwise its length is recorded.
    pub(crate) fn fit(&self, ticket: &[u8]) -> Option<heapless::Vec<u8, MAX_TICKET>> {
        let fitting = heapless::Vec::from_slice(ticket).ok();
        if fitting.is_none() {
            self.oversized.set(u16::try_from(ticket.len()).unwrap_or(u16::MAX));
        }
        fitting
    }

    /// Takes the session out for a new connection, if it is still valid at `now` (in seconds since 1970) and its peer was
    /// verified in the same `context`.
    pub(crate) fn take(&self, now: u64, context: impl FnOnce() -> HashOutput) -> Option<ClientSession> {
        self.oversized.set(0);
        let session = self.session.borrow().clone()?;
        self.clear();
        let age = now.checked_sub(session.received)?;
        let lifetime = session.lifetime.min(MAX_TICKET_AGE);
        let valid = age < u64::from(lifetime) && now <= session.expires;
        (valid && session.context.as_ref() == context().as_ref()).then_some(session)
    }
}

impl core::fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "SessionCache({})",
            if self.is_empty() { "empty" } else { "one session" }
        )
    }
}

/// The state that a client needs to resume a session.
#[derive(Clone)]
pub(crate) struct ClientSession {
    pub(crate) version: ProtocolVersion,
    pub(crate) suite: CipherSuite,
    pub(crate) secret: HashOutput,
    pub(crate) ticket: heapless::Vec<u8, MAX_TICKET>,
    /// The lifetime stated by the server, in seconds.
    pub(crate) lifetime: u32,
    pub(crate) age_add: u32,
    /// In seconds since 1970.
    pub(crate) received: u64,
    /// The last second of the session, since 1970.
    pub(crate) expires: u64,
    /// The `session_context` of the client's configuration at the full handshake.
    pub(crate) context: HashOutput,
    /// The server's identity.
    pub(crate) identity: Option<PeerIdentity>,
}

#[cfg(test)]
mod tests;
