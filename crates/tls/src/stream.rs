//! A connection over an async transport.

use core::borrow::BorrowMut;
use core::future::poll_fn;
use core::task::Poll;

use embedded_io_async::{BufRead, ErrorKind, ErrorType, Read, Write};
use rand_core::CryptoRng;

use super::connection::{Connection, Info, Progress};
use super::error::Error;
use super::handshake::Handshake;
use super::link::Link;
use super::outbound::Outbound;
use super::receiver::Receiver;

/// TLS over `T`.
///
/// Reads and writes are cancel-safe if those of `T` are: a dropped future loses and repeats nothing, and the read or write
/// may be tried again. Written data is buffered; [`Write::flush`] sends it.
///
/// After an error the alert has been sent, unless `T` failed. The owner then shuts down the write side of
/// [`Stream::transport`] and reads until its end, for a bounded time, so that a reset does not overtake the alert.
pub struct Stream<'a, T, H = Handshake<'a>> {
    transport: T,
    connection: Connection<'a, H>,
}

impl<'a, T: Read + Write, H: BorrowMut<Handshake<'a>>> Stream<'a, T, H> {
    /// Joins a connection and a transport. Nothing is sent or received yet.
    pub fn new(transport: T, connection: Connection<'a, H>) -> Self {
        Self { transport, connection }
    }

    /// The negotiated parameters.
    pub fn info(&self) -> &Info<'a> {
        self.connection.info()
    }

    /// The transport below.
    pub fn transport(&mut self) -> &mut T {
        &mut self.transport
    }

    /// Runs the handshake to its end, yielding to other tasks after each message.
    ///
    /// # Errors
    /// Of the protocol, with the alert sent, or of the transport.
    pub async fn handshake(&mut self, rng: &mut dyn CryptoRng) -> Result<(), StreamError<T::Error>> {
        while self.connection.is_handshaking() {
            let result = self.connection.advance_by_message(rng).transpose();
            let Some(result) = result else {
                // Pending data is sent together with the answer to the next message of the peer's flight, if there is one.
                match self.connection.is_handshaking() {
                    true => yield_now().await,
                    false => self.flush().await?,
                }
                continue;
            };
            let flushed = self.flush().await;
            match result? {
                Progress::NeedInput if self.connection.is_handshaking() => {}
                _ => {
                    flushed?;
                    continue;
                }
            }
            flushed?;
            match self
                .transport
                .read(self.connection.space())
                .await
                .map_err(StreamError::Transport)?
            {
                0 => self.connection.received_end(),
                count => self.connection.received(count),
            }
        }
        Ok(())
    }

    /// Closes the sending direction: sends buffered data and `close_notify`. Reading may continue.
    ///
    /// # Errors
    /// Of the transport.
    pub async fn close(&mut self) -> Result<(), StreamError<T::Error>> {
        self.connection.close();
        self.flush().await
    }

    /// The two directions as halves that can be used at the same time. `halves` splits the transport likewise.
    ///
    /// # Errors
    /// When the handshake is not done, or its error if it failed.
    pub fn split<'s, R: Read, W: Write>(
        &'s mut self,
        halves: impl FnOnce(&'s mut T) -> (R, W),
    ) -> Result<(ReadHalf<'s, 'a, R>, WriteHalf<'s, 'a, W>), Error> {
        let (receiver, sender, link) = self.connection.split()?;
        let (reader, writer) = halves(&mut self.transport);
        Ok((
            ReadHalf {
                receiver,
                link,
                transport: reader,
            },
            WriteHalf {
                sender,
                link,
                transport: writer,
            },
        ))
    }
}

impl<T: ErrorType, H> ErrorType for Stream<'_, T, H> {
    type Error = StreamError<T::Error>;
}

impl<'a, T: Read + Write, H: BorrowMut<Handshake<'a>>> Read for Stream<'a, T, H> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        read_from(self, buffer).await
    }
}

impl<'a, T: Read + Write, H: BorrowMut<Handshake<'a>>> BufRead for Stream<'a, T, H> {
    async fn fill_buf(&mut self) -> Result<&[u8], Self::Error> {
        let result = async {
            loop {
                let (receiver, sender, link) = self.connection.split()?;
                let progress = receiver.advance(link)?;
                // A peer that requested a renegotiation may send nothing more until it has received the refusal. If
                // there is no room for that, there is once pending data has been sent.
                while link.refusal_due() {
                    sender.settle(link);
                    while !sender.pending().is_empty() {
                        send(sender, &mut self.transport).await?;
                    }
                    self.transport.flush().await.map_err(StreamError::Transport)?;
                }
                if progress != Progress::NeedInput {
                    return Ok(());
                }
                receive(receiver, &mut self.transport).await?;
            }
        }
        .await;
        if let Err(error) = result {
            // The read has already failed; its error is reported whether or not the alert can be sent.
            let _ = self.flush().await;
            return Err(error);
        }
        Ok(self.connection.data())
    }

    fn consume(&mut self, count: usize) {
        self.connection.consume(count);
    }
}

impl<'a, T: Read + Write, H: BorrowMut<Handshake<'a>>> Write for Stream<'a, T, H> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Self::Error> {
        let (_, sender, link) = self.connection.split()?;
        write(sender, link, &mut self.transport, data).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        if let Ok((_, sender, link)) = self.connection.split() {
            sender.settle(link);
        }
        while !self.connection.pending().is_empty() {
            let count = self
                .transport
                .write(self.connection.pending())
                .await
                .map_err(StreamError::Transport)?;
            if count == 0 {
                return Err(StreamError::WriteZero);
            }
            self.connection.sent(count);
        }
        self.transport.flush().await.map_err(StreamError::Transport)
    }
}

/// The receiving direction of a [`Stream`].
pub struct ReadHalf<'s, 'a, R> {
    receiver: &'s mut Receiver<'a>,
    link: &'s Link,
    transport: R,
}

impl<R: ErrorType> ErrorType for ReadHalf<'_, '_, R> {
    type Error = StreamError<R::Error>;
}

impl<R: Read> Read for ReadHalf<'_, '_, R> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        read_from(self, buffer).await
    }
}

impl<R: Read> BufRead for ReadHalf<'_, '_, R> {
    async fn fill_buf(&mut self) -> Result<&[u8], Self::Error> {
        fill(self.receiver, self.link, &mut self.transport).await?;
        Ok(self.receiver.data())
    }

    fn consume(&mut self, count: usize) {
        self.receiver.consume(count);
    }
}

/// The sending direction of a [`Stream`]. When the [`ReadHalf`] has failed, the next write or flush here sends the
/// alert, and a write fails with the same error.
pub struct WriteHalf<'s, 'a, W> {
    sender: &'s mut Outbound<'a>,
    link: &'s Link,
    transport: W,
}

impl<W: Write> WriteHalf<'_, '_, W> {
    /// Closes the sending direction: sends buffered data and `close_notify`.
    ///
    /// # Errors
    /// Of the transport.
    pub async fn close(&mut self) -> Result<(), StreamError<W::Error>> {
        self.sender.settle(self.link);
        self.sender.close();
        self.flush().await
    }
}

impl<W: ErrorType> ErrorType for WriteHalf<'_, '_, W> {
    type Error = StreamError<W::Error>;
}

impl<W: Write> Write for WriteHalf<'_, '_, W> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Self::Error> {
        write(self.sender, self.link, &mut self.transport, data).await
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        self.sender.settle(self.link);
        while !self.sender.pending().is_empty() {
            send(self.sender, &mut self.transport).await?;
        }
        self.transport.flush().await.map_err(StreamError::Transport)
    }
}

/// Why a read or write failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamError<E> {
    /// The protocol.
    Tls(Error),
    /// The transport below.
    Transport(E),
    /// The transport accepted no bytes.
    WriteZero,
}

impl<E> From<Error> for StreamError<E> {
    fn from(error: Error) -> Self {
        Self::Tls(error)
    }
}

impl<E: core::fmt::Display> core::fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tls(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
            Self::WriteZero => f.write_str("the transport accepts no more bytes"),
        }
    }
}

impl<E: core::error::Error> core::error::Error for StreamError<E> {}

impl<E: embedded_io_async::Error> embedded_io_async::Error for StreamError<E> {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Tls(Error::AlertReceived(_)) => ErrorKind::ConnectionAborted,
            Self::Tls(_) => ErrorKind::InvalidData,
            Self::Transport(error) => error.kind(),
            Self::WriteZero => ErrorKind::WriteZero,
        }
    }
}

/// Yields to other tasks once.
async fn yield_now() {
    let mut given = false;
    poll_fn(|context| {
        if given {
            return Poll::Ready(());
        }
        given = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn read_from<B: BufRead>(reader: &mut B, buffer: &mut [u8]) -> Result<usize, B::Error> {
    if buffer.is_empty() {
        return Ok(0);
    }
    let data = reader.fill_buf().await?;
    let count = data.len().min(buffer.len());
    for (to, from) in buffer.iter_mut().zip(data) {
        *to = *from;
    }
    reader.consume(count);
    Ok(count)
}

/// Receives until there is data or the end.
async fn fill<R: Read>(
    receiver: &mut Receiver<'_>,
    link: &Link,
    transport: &mut R,
) -> Result<(), StreamError<R::Error>> {
    while receiver.advance(link)? == Progress::NeedInput {
        receive(receiver, transport).await?;
    }
    Ok(())
}

async fn receive<R: Read>(receiver: &mut Receiver<'_>, transport: &mut R) -> Result<(), StreamError<R::Error>> {
    // Only bytes that have been read are consumed, so a dropped read loses nothing.
    match transport.read(receiver.space()).await.map_err(StreamError::Transport)? {
        0 => receiver.received_end(),
        count => receiver.received(count),
    }
    Ok(())
}

/// Protects some of `data`, after sending pending data. Protected data counts as written, and nothing is awaited after
/// that, so a dropped write has either written nothing or returned.
async fn write<W: Write>(
    sender: &mut Outbound<'_>,
    link: &Link,
    transport: &mut W,
    data: &[u8],
) -> Result<usize, StreamError<W::Error>> {
    if data.is_empty() {
        return Ok(0);
    }
    loop {
        match sender.write(link, data) {
            Ok(0) => {}
            Ok(count) => return Ok(count),
            Err(error) => {
                // The write's error is reported whether or not its alert can be sent.
                while !sender.pending().is_empty() && send(sender, transport).await.is_ok() {}
                let _ = transport.flush().await;
                return Err(error.into());
            }
        }
        if sender.pending().is_empty() {
            return Err(Error::Internal("outbound buffer too small for a record").into());
        }
        while !sender.pending().is_empty() {
            send(sender, transport).await?;
        }
    }
}

async fn send<W: Write>(sender: &mut Outbound<'_>, transport: &mut W) -> Result<(), StreamError<W::Error>> {
    match transport
        .write(sender.pending())
        .await
        .map_err(StreamError::Transport)?
    {
        0 => Err(StreamError::WriteZero),
        count => {
            sender.sent(count);
            Ok(())
        }
    }
}

#[cfg(all(test, feature = "client", feature = "server", feature = "tls12", feature = "trace"))]
mod tests;
