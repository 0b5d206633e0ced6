//! Resumable sessions: the content of a server's tickets, and the client's cache.

#[cfg(feature = "client")]
mod cache;
#[cfg(feature = "server")]
mod state;

#[cfg(feature = "server")]
pub use super::tickets::Tickets;
#[cfg(feature = "client")]
pub(crate) use cache::ClientSession;
#[cfg(feature = "client")]
pub use cache::{MAX_TICKET, MAX_TICKET_AGE, SessionCache};
#[cfg(feature = "server")]
pub(crate) use state::{MAX_STATE, SessionState, server_name_hash};

/// The time after which a server's session ends, in seconds from its full handshake; tickets issued in a resumption do
/// not prolong it.
pub const SESSION_LIFETIME: u32 = 86_400;
/// The lifetime of a ticket in seconds (RFC 8446 §4.6.1 allows seven days).
pub const TICKET_LIFETIME: u32 = 7200;
