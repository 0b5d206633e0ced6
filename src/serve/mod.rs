//! The echo service: what is received goes back, over plain TCP and over TLS.
//!
//! * [`pump`] copies one stream to another under back-pressure.
//! * [`server`] is the service: listening ports, workers, and who is let in when all workers are busy.
//! * [`secure`] fits [`crate::tls`] to it.
//! * [`reverse`] dials out and has the service serve the connection.
//! * [`registry`] is the table of live connections that `status` shows; [`tally`] counts what happened, for `counters`.
//! * [`request_line`] recognizes an HTTP request that a web page has sent to a port which is not a web server's.
#![allow(async_fn_in_trait)] // one executor, one core: no future here is ever sent anywhere

pub mod pump;
pub mod registry;
pub mod request_line;
pub mod reverse;
pub mod secure;
pub mod server;
mod share;
pub mod tally;

#[cfg(test)]
mod tests;
