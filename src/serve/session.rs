//! The traits by which the service uses TLS.

use embassy_time::{Duration, Instant};
use embedded_io_async::{BufRead, ErrorKind, Write};

use super::registry::Entry;
use crate::config::Role;
use crate::endpoint::traces::Narrator;
use crate::endpoint::{Description, HandshakeError};
use crate::net::Transport;
use crate::pki::text::Text;

/// TLS with the buffers of one worker.
pub trait TlsAcceptor<S: Transport> {
    /// The errors of the handshake and after.
    type Error: embedded_io_async::Error;
    /// A connection after its handshake.
    type Session<'a>: AcceptedSession<Error = Self::Error>
    where
        Self: 'a,
        S: 'a;

    /// Memory that is unused between sessions; plain connections use it.
    fn scratch(&mut self) -> &mut [u8];
    /// Overwrites what the last session has left in memory.
    fn wipe(&mut self);
    /// Makes the handshake until `deadline`, and sets [`Entry::last_read`] when bytes have come. On failure the alert
    /// is sent before this returns. The future may be dropped at any point.
    ///
    /// `dialled` is the role to take on a connection that was opened from here; on such a one the peer must authenticate,
    /// whatever is configured for clients of the machine.
    async fn accept<'a>(
        &'a mut self,
        stream: &'a mut S,
        entry: &'a Entry,
        dialled: Option<Role>,
        deadline: Instant,
    ) -> Result<Self::Session<'a>, HandshakeError<Self::Error>>;
    /// A short name for the kind of error, by which it is counted.
    fn cause(error: &Self::Error) -> &'static str;
}

/// A TLS connection after its handshake.
pub trait AcceptedSession {
    /// The errors.
    type Error: embedded_io_async::Error;
    /// The reading half: at its end, the peer has sent close_notify.
    type Reader<'a>: BufRead<Error = Self::Error>
    where
        Self: 'a;
    /// The writing half. After the reading half has failed, a flush sends the alert.
    type Writer<'a>: Write<Error = Self::Error>
    where
        Self: 'a;

    /// The negotiated parameters.
    fn description(&self) -> Description;
    /// The subject of the peer's certificate, if it has authenticated.
    fn subject(&self) -> Option<Text<96>> {
        None
    }
    /// Where the connection was narrated for the page that shows it, if it was.
    fn page(&self) -> Option<Narrator>;
    /// [`Transport::mark_established`] on the stream beneath.
    fn mark_established(&mut self);
    /// Both halves, usable at the same time.
    fn split(&mut self) -> Result<(Self::Reader<'_>, Self::Writer<'_>), Self::Error>;
    /// Ends the output: with close_notify, as far as the peer takes it within `timeout`, and FIN.
    async fn close(&mut self, timeout: Duration);
}

/// The cause of an end without close_notify.
pub(super) const NO_CLOSE_NOTIFY: &str = "no close_notify";

pub(super) fn transport_cause(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionReset => "connection reset",
        ErrorKind::TimedOut => "connection timed out",
        ErrorKind::NotConnected | ErrorKind::ConnectionAborted => "connection closed",
        _ => "connection failed",
    }
}
