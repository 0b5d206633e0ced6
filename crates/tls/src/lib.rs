//! A TLS engine without an operating system: server and client, 1.3 and 1.2.
//!
//! Read first: RFC 8446 (TLS 1.3), above all §4 (handshake), §5 (records), §6 (alerts), §7.1 (key schedule) and
//! the appendices D.4 (middleboxes) and E.5 (old versions).
//!
//! There are two layers. [`Connection`] is the protocol as a state machine over two buffers of the caller, without
//! input or output of its own; the tests, the fuzzers and the benches drive it. [`Stream`] runs it over any
//! [`embedded_io_async`] transport. Neither has a clock, a random number generator or memory of its own.
//!
//! Only `codec`, `record` and `msg` read bytes from the peer; what they return has been checked. Cryptography is in
//! [`crypto`], certificates and their verification are in [`pki`]. Those two use nothing of the protocol but the
//! numbers and names in [`registry`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(all(feature = "client", feature = "server", feature = "tls12", feature = "ocsp")),
    allow(
        dead_code,
        unused_macros,
        reason = "the roles and versions share parsers and helpers of which each uses only some; the full build checks that all are used"
    )
)]
#![deny(missing_docs)]
// Lengths and counters come from the peer: each operation on them names what happens on overflow.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]
#![warn(unreachable_pub)]

pub mod alert;
#[cfg(feature = "client")]
mod client;
mod codec;
pub mod config;
mod connection;
pub mod crypto;
pub mod error;
mod flight;
mod handshake;
mod inbound;
mod link;
pub mod msg;
mod outbound;
pub mod pki;
mod receiver;
pub mod record;
pub mod registry;
#[cfg(all(test, feature = "client", feature = "server"))]
mod rfc8448;
mod schedule;
#[cfg(feature = "server")]
mod server;
pub mod session;
pub mod stream;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
mod support;
#[cfg(feature = "server")]
mod tickets;
#[cfg(feature = "tls12")]
mod tls12;
#[cfg(feature = "trace")]
pub mod trace;
#[cfg(not(feature = "trace"))]
mod trace;
mod transcript;

pub use alert::AlertDescription;
#[cfg(feature = "client")]
pub use config::ClientConfig;
#[cfg(feature = "server")]
pub use config::{ClientAuth, ServerConfig};
pub use config::{ConfigError, Identity, KeyLog, Versions};
pub use connection::{Connection, Info, Progress};
pub use error::Error;
pub use handshake::Handshake;
pub use inbound::{FULL_INBOUND, MIN_INBOUND};
pub use outbound::MIN_OUTBOUND;
pub use registry::{ContentType, ExtensionType, HandshakeType, NamedGroup, NamedScheme, NamedSuite, ProtocolVersion};
#[cfg(feature = "client")]
pub use session::SessionCache;
#[cfg(feature = "server")]
pub use session::Tickets;
pub use stream::{ReadHalf, Stream, StreamError, WriteHalf};
