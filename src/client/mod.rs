//! The echo client: one connection, which outlives its shell session.
//!
//! * [`Client`] takes requests from sessions, and its task carries them out; there is one for plain TCP and one for TLS.
//! * [`Protocol`] is what it runs: TCP alone, or TLS with the client role's buffers.
//! * [`ClientError`] is why something could not be done, and [`Ended`] why a connection is no more.
//! * [`fetch`] reads a text over TLS, as `tls reload` wants it.

mod channel;
mod error;
pub mod fetch;
mod remote;
mod task;
#[cfg(test)]
mod tests;

pub use channel::{Protocol, SESSIONS, TlsClient, outbound_len};
pub use error::{ClientError, Ended, MESSAGE, SEND_TIMEOUT};
pub use remote::{ConnectOptions, MAX_NAME, Negotiated};
pub use task::Client;
