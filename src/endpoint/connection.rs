//! A TLS connection from its handshake to its end.

use core::cell::Cell;
use core::fmt;

use embassy_time::{Duration, Instant, with_deadline, with_timeout};
use embedded_io_async::{ErrorType, Read, Write};
use rand_core::CryptoRng;

use crate::net::Transport;
use crate::tls::{Connection, Error, Info, ReadHalf, Stream, StreamError, WriteHalf};

/// One end of a TLS connection over `S`. Dropping it resets the connection, unless it was shut.
pub struct Endpoint<'a, S> {
    stream: Stream<'a, Watched<'a, S>>,
}

/// Why there is no connection after a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError<E> {
    /// It failed. The alert was sent, as far as the peer took it, and the output is shut.
    Failed(E),
    /// It was not finished at the deadline.
    TimedOut,
}

impl<E> From<E> for HandshakeError<E> {
    fn from(error: E) -> Self {
        HandshakeError::Failed(error)
    }
}

impl<'a, S: Transport> Endpoint<'a, S> {
    /// An end before its handshake. `last_read` is when bytes of the peer last came.
    pub fn new(transport: S, connection: Connection<'a>, last_read: Option<&'a Cell<Instant>>) -> Self {
        let stream = Stream::new(Watched { transport, last_read }, connection);
        Endpoint { stream }
    }

    /// Runs the handshake. The future may be dropped at any point.
    ///
    /// # Errors
    /// See [`HandshakeError`].
    pub async fn handshake(
        &mut self,
        rng: &mut dyn CryptoRng,
        deadline: Instant,
    ) -> Result<(), HandshakeError<StreamError<S::Error>>> {
        let result = with_deadline(deadline, self.stream.handshake(rng)).await;
        if self.info().no_own_scheme {
            let server = self.transport().peer();
            ::log::warn!("{server}: own certificate has no scheme, type or issuer that the server accepts");
        }
        let result = result.map_err(|_| HandshakeError::TimedOut)?;
        if result.is_err() {
            // The alert is on its way, and a reset must not overtake it: the rest happens without an owner.
            self.shutdown();
        }
        Ok(result?)
    }

    /// The negotiated parameters.
    pub fn info(&self) -> &Info<'a> {
        self.stream.info()
    }

    /// How the peer proved its identity, for the log: its certificate and its root, if it has sent one.
    pub fn proof(&self) -> Option<impl fmt::Display> {
        self.info().peer.is_some().then_some(Proof(self.info()))
    }

    /// The connection beneath.
    pub fn transport(&mut self) -> &mut S {
        &mut self.stream.transport().transport
    }

    /// Both halves, usable at the same time.
    ///
    /// # Errors
    /// When the handshake is not done, or has failed.
    pub fn split(&mut self) -> Result<Halves<'_, 'a, S>, Error> {
        self.stream.split(|watched| watched.transport.split())
    }

    /// Ends the output: with close_notify, as far as the peer takes it within `timeout`, and FIN.
    pub async fn close(&mut self, timeout: Duration) {
        // Whether close_notify gets out or not, FIN is next.
        let _ = with_timeout(timeout, self.stream.close()).await;
        self.shutdown();
    }

    /// Ends the output with FIN after what is queued, an alert perhaps.
    pub fn shutdown(&mut self) {
        self.transport().shutdown();
    }
}

/// The two directions of an [`Endpoint`].
pub type Halves<'s, 'a, S> = (
    ReadHalf<'s, 'a, <S as Transport>::Reader<'s>>,
    WriteHalf<'s, 'a, <S as Transport>::Writer<'s>>,
);

impl<S: ErrorType> ErrorType for Endpoint<'_, S> {
    type Error = StreamError<S::Error>;
}

impl<S: Read + Write> Read for Endpoint<'_, S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        self.stream.read(buffer).await
    }
}

impl<S: Read + Write> Write for Endpoint<'_, S> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Self::Error> {
        self.stream.write(data).await
    }
    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.stream.flush().await
    }
}

/// `CN=a.example, <hash of the key>, by CN=Root`.
struct Proof<'i, 'a>(&'i Info<'a>);

impl fmt::Display for Proof<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(peer) = self.0.peer {
            write!(f, "{}, {}", peer.subject, peer.key())?;
        }
        if let Some(root) = self.0.root {
            write!(f, ", by {root}")?;
            if self.0.stapled {
                f.write_str(", confirmed by OCSP")?;
            }
        }
        Ok(())
    }
}

/// A connection that notes when something has come.
struct Watched<'a, S> {
    transport: S,
    last_read: Option<&'a Cell<Instant>>,
}

impl<S: ErrorType> ErrorType for Watched<'_, S> {
    type Error = S::Error;
}

impl<S: Read> Read for Watched<'_, S> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, S::Error> {
        let count = self.transport.read(buffer).await?;
        if let Some(last_read) = self.last_read.filter(|_| count > 0) {
            last_read.set(Instant::now());
        }
        Ok(count)
    }
}

impl<S: Write> Write for Watched<'_, S> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, S::Error> {
        self.transport.write(data).await
    }
    async fn flush(&mut self) -> Result<(), S::Error> {
        self.transport.flush().await
    }
}
