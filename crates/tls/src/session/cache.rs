//! A client's cache for one session.

use core::cell::{Cell, RefCell};

use crate::crypto::hash::HashOutput;
use crate::crypto::suite::CipherSuite;
use crate::pki::verify::PeerIdentity;
use crate::registry::ProtocolVersion;

/// The longest time that a client stores a ticket, and uses a session after its full handshake, in seconds: seven days
/// (RFC 8446 §4.6.1). In TLS 1.2, where the lifetime is only a hint (RFC 5077 §5.6), the same bound applies.
pub const MAX_TICKET_AGE: u32 = 604_800;
/// The longest ticket that a client stores, in bytes ([`SessionCache::oversized`]).
pub const MAX_TICKET: usize = 1536;

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

#[cfg(all(test, feature = "tls12"))]
mod tests;
