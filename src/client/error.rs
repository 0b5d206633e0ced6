//! Errors of the client.

use core::fmt;
use embassy_time::Duration;

use crate::dial::DialError;
use crate::net;
use crate::pki::text::Text;
use crate::tls;

/// Bytes that can be sent at a time.
pub const MESSAGE: usize = 512;

/// How long sending may take.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the client could not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientError {
    /// No connection is open, nor was any that ended by itself.
    NotConnected,
    /// No connection is open any more, for this reason.
    Ended(Ended),
    /// A connection is open, to there.
    Connected(Text<64>),
    /// No certificate can give the expected name.
    NotAName,
    /// The host could not be reached.
    Dial(DialError),
    /// TLS is unavailable, for this reason.
    NoTls(&'static str),
    /// The TLS handshake failed.
    Handshake(Ended),
    /// The TLS handshake took longer than this.
    HandshakeTimedOut(Duration),
    /// The message has more than [`MESSAGE`] bytes.
    TooLong,
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NotConnected => f.write_str("not connected"),
            ClientError::Ended(why) => write!(f, "no longer connected: {why}"),
            ClientError::Connected(remote) => {
                write!(f, "already connected to {remote}; use 'client close' first")
            }
            ClientError::NotAName => f.write_str("not a host name or IP address"),
            ClientError::Dial(error) => error.fmt(f),
            ClientError::NoTls(why) => f.write_str(why),
            ClientError::Handshake(Ended::Closed | Ended::Tls(tls::Error::Truncated)) => {
                f.write_str("the server closed the connection during the TLS handshake")
            }
            ClientError::Handshake(why) => why.fmt(f),
            ClientError::HandshakeTimedOut(after) => {
                write!(f, "TLS handshake not finished within {} s", after.as_secs())
            }
            ClientError::TooLong => write!(f, "message longer than {MESSAGE} bytes"),
        }
    }
}

impl core::error::Error for ClientError {}

impl From<DialError> for ClientError {
    fn from(error: DialError) -> Self {
        ClientError::Dial(error)
    }
}

/// How a connection ended that we did not close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The server closed it in order: with FIN, and over TLS with close_notify before it.
    Closed,
    /// TCP failed.
    Tcp(net::Error),
    /// TLS failed: a rule was broken, or the server sent an alert.
    Tls(tls::Error),
    /// The server stopped reading for [`SEND_TIMEOUT`].
    Stalled,
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Ended::Closed => f.write_str("the server closed the connection"),
            Ended::Tcp(error) => error.fmt(f),
            Ended::Tls(tls::Error::AlertReceived(alert)) => write!(f, "the server refused: {alert}"),
            Ended::Tls(tls::Error::Truncated) => {
                f.write_str("the server closed the connection without close_notify; the data may be truncated")
            }
            Ended::Tls(error) => error.fmt(f),
            Ended::Stalled => write!(f, "the server stopped reading for {} s", SEND_TIMEOUT.as_secs()),
        }
    }
}

impl From<net::Error> for Ended {
    fn from(error: net::Error) -> Self {
        Ended::Tcp(error)
    }
}

impl From<tls::StreamError<net::Error>> for Ended {
    fn from(error: tls::StreamError<net::Error>) -> Self {
        match error {
            tls::StreamError::Tls(error) => Ended::Tls(error),
            tls::StreamError::Transport(error) => Ended::Tcp(error),
            tls::StreamError::WriteZero => Ended::Tcp(net::Error::Closed),
        }
    }
}
