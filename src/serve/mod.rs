//! The echo service: what is received goes back, over plain TCP and over TLS.
//!
//! * [`Service`] has the listening ports, the workers, and evictions when all workers are busy; `worker` serves a
//!   connection.
//! * [`pump`] copies one stream to another under back-pressure.
//! * [`tls`] fits [`crate::tls`] to it.
//! * [`reverse`] dials out and has the service serve the connection.
//! * [`registry`] is the table of live connections that `status` shows; [`tally`] counts what happened, for `counters`.
//! * [`request_line`] recognizes an HTTP request that a web page has sent to a port which is not a web server's.
#![expect(
    async_fn_in_trait,
    reason = "one executor on one core: no future is sent to another thread"
)]

mod limits;
mod port;
pub mod pump;
pub mod registry;
pub mod request_line;
pub mod reverse;
mod reverse_target;
mod server;
mod session;
mod share;
mod slot;
pub mod tally;
pub mod tls;
mod worker;

#[cfg(test)]
mod tests;

pub use limits::{IDLE_TIMEOUT, IDLE_TIMEOUT_DIALLED, Limits};
pub use port::{LISTENERS, StartError, StopError};
pub use reverse_target::REVERSES;
pub use server::Service;
pub use session::{AcceptedSession, TlsAcceptor};
pub use slot::WorkerSlot;
