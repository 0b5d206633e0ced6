//! The echo client: one connection, driven from the shell, that outlives the session which opened it.
//!
//! * [`Client`] is what sessions ask, and whose task does it; there is one for plain TCP and one for TLS.
//! * [`Speech`] is what it speaks: TCP alone, or TLS with the client role's buffers.
//! * [`ClientError`] is why something could not be done, and [`Ended`] why a connection is no more.
//! * [`fetch`] reads a text over TLS, as `tls reload` wants it.

mod channel;
mod error;
pub mod fetch;
mod remote;
mod task;
#[cfg(test)]
mod tests;

pub use channel::{SESSIONS, Speech, TlsClient, outbound_len};
pub use error::{ClientError, Ended, MESSAGE, SEND_TIMEOUT};
pub use remote::{MAX_NAME, Session, Target};
pub use task::Client;
