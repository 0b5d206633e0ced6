//! TCP connections as async streams.

mod connect;
mod listener;

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::{Context, Poll};

use embedded_io_async::{ErrorType, Read, Write};
use smoltcp::socket::tcp::{RecvError, Socket, State};

use super::slots::{Class, CloseReason, TcpSlot};
use super::{Error, Shared};
pub(super) use connect::connect;
pub(super) use listener::SILENT_PEER_TIMEOUT;
pub use listener::TcpListener;

/// An open connection. Reads and writes are cancel-safe. Dropping it sends FIN if the write side was shut, else RST.
///
/// After a FIN that way the rest happens without an owner, for at most [`Config::linger`](super::Config::linger): what
/// was written is delivered, and what the peer still sends is thrown away rather than answered with RST, which could
/// overtake our last words.
pub struct TcpStream {
    shared: &'static Shared,
    index: u16,
    generation: u32,
    local: SocketAddr,
    peer: SocketAddr,
}

impl TcpStream {
    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Our end.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Marks the connection as one that counts: until then it is the first to be evicted when slots run out.
    pub fn mark_established(&self) {
        if let Some(slot) = self.slot()
            && slot.class() == Class::Unmarked
        {
            self.shared.pool.reclass(self.index, Class::Marked);
        }
    }

    /// Reading and writing halves, usable at the same time.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        (ReadHalf(self), WriteHalf(self))
    }

    /// Sends FIN after what is queued. Reading goes on.
    pub fn shutdown(&mut self) {
        self.shut();
    }

    /// Waits until everything written, FIN included, is acknowledged, or the connection is gone.
    pub async fn drained(&mut self) {
        poll_fn(|context| self.poll_drained(context)).await;
    }

    /// Sends RST and gives the slot back.
    pub fn abort(self) {
        if let Some(slot) = self.slot() {
            slot.with(|socket| socket.abort());
        }
    }

    /// Waits for data and lends them where they lie: `take` gets a part of them, at least one byte, and returns how many
    /// bytes it has used. `None`: the peer has sent FIN and everything was read.
    ///
    /// `take` must not use this connection.
    pub async fn read_with<R>(&mut self, take: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<Option<R>, Error> {
        self.recv(take).await
    }

    /// Waits for room to write and lends it: `put` gets a part of it, at least one byte, and returns how many bytes it has
    /// written.
    ///
    /// `put` must not use this connection.
    pub async fn write_with<R>(&mut self, put: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        self.send(put).await
    }

    /// Bytes that a read would find now.
    pub fn readable(&self) -> usize {
        self.slot().map_or(0, |slot| slot.with(|socket| socket.recv_queue()))
    }

    /// Bytes that a write would take now.
    pub fn writable(&self) -> usize {
        let room = |socket: &mut Socket<'_>| {
            if socket.may_send() {
                socket.send_capacity().saturating_sub(socket.send_queue())
            } else {
                0
            }
        };
        self.slot().map_or(0, |slot| slot.with(room))
    }

    /// The stream of a slot whose handshake is finished. The slot is owned from now on.
    fn of(shared: &'static Shared, index: u16, slot: &TcpSlot) -> Option<Self> {
        let key = slot.key.get()?;
        slot.owned.set(true);
        Some(Self {
            shared,
            index,
            generation: slot.generation.get(),
            local: key.local.into(),
            peer: key.remote.into(),
        })
    }

    /// The slot, while it is ours.
    fn slot(&self) -> Option<&'static TcpSlot> {
        self.shared
            .pool
            .slot(self.index)
            .filter(|slot| slot.generation.get() == self.generation)
    }

    fn shut(&self) {
        if let Some(slot) = self.slot() {
            slot.shut.set(true);
            slot.with(|socket| socket.close());
            self.shared.pool.mark(self.index);
        }
    }

    fn poll_drained(&self, context: &mut Context<'_>) -> Poll<()> {
        let Some(slot) = self.slot() else {
            return Poll::Ready(());
        };
        slot.with(|socket| {
            let done = match socket.state() {
                State::Closed | State::TimeWait | State::FinWait2 => true,
                // A FIN that is not acknowledged.
                State::FinWait1 | State::LastAck | State::Closing => false,
                _ => socket.send_queue() == 0,
            };
            if done {
                return Poll::Ready(());
            }
            socket.register_send_waker(context.waker());
            Poll::Pending
        })
    }

    async fn recv<R>(&self, take: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<Option<R>, Error> {
        let mut take = Some(take);
        poll_fn(|context| {
            let Some(slot) = self.slot() else {
                return Poll::Ready(Err(Error::Evicted));
            };
            let result = slot.with(|socket| {
                if !socket.can_recv() && socket.may_recv() {
                    socket.register_recv_waker(context.waker());
                    return Poll::Pending;
                }
                Poll::Ready(socket.recv(|bytes| {
                    let (used, result) = match take.take() {
                        Some(take) => take(bytes),
                        None => return (0, None),
                    };
                    let used = used.min(bytes.len());
                    (used, Some((used, result)))
                }))
            });
            let Poll::Ready(result) = result else {
                return Poll::Pending;
            };
            Poll::Ready(match result {
                Ok(Some((used, result))) => {
                    slot.bytes_in.set(slot.bytes_in.get().saturating_add(used as u64));
                    // The window may have grown enough to announce.
                    self.shared.pool.mark(self.index);
                    Ok(Some(result))
                }
                Ok(None) | Err(RecvError::Finished) => Ok(None),
                Err(RecvError::InvalidState) => match slot.end.get() {
                    // TIME_WAIT is over, and smoltcp has forgotten the FIN that led there.
                    CloseReason::None if slot.state.get() == State::Closed => Ok(None),
                    end => Err(error(end)),
                },
            })
        })
        .await
    }

    async fn send<R>(&self, put: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        let mut put = Some(put);
        poll_fn(|context| {
            let Some(slot) = self.slot() else {
                return Poll::Ready(Err(Error::Evicted));
            };
            let result = slot.with(|socket| {
                if socket.may_send() && !socket.can_send() {
                    socket.register_send_waker(context.waker());
                    return Poll::Pending;
                }
                Poll::Ready(socket.send(|room| {
                    let (used, result) = match put.take() {
                        Some(put) => put(room),
                        None => return (0, None),
                    };
                    let used = used.min(room.len());
                    (used, Some((used, result)))
                }))
            });
            let Poll::Ready(result) = result else {
                return Poll::Pending;
            };
            Poll::Ready(match result {
                Ok(Some((used, result))) => {
                    slot.bytes_out.set(slot.bytes_out.get().saturating_add(used as u64));
                    if used > 0 {
                        self.shared.pool.mark(self.index);
                    }
                    Ok(result)
                }
                Ok(None) | Err(_) => Err(error(slot.end.get())),
            })
        })
        .await
    }

    async fn read_some(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut copied = 0;
        let mut copy = |bytes: &mut [u8]| {
            let rest = buffer.get_mut(copied..).unwrap_or_default();
            let count = bytes.len().min(rest.len());
            rest[..count].copy_from_slice(&bytes[..count]);
            copied += count;
            (count, count)
        };
        let first = self.recv(&mut copy).await?.unwrap_or(0);
        // The ring may have wrapped: what is at its beginning is there at once, too.
        let mut second = 0;
        if first > 0
            && let Some(slot) = self.slot()
            && let Ok(count) = slot.with(|socket| {
                if socket.can_recv() {
                    socket.recv(&mut copy)
                } else {
                    Ok(0)
                }
            })
        {
            slot.bytes_in.set(slot.bytes_in.get().saturating_add(count as u64));
            second = count;
        }
        Ok(first + second)
    }

    async fn write_some(&self, bytes: &[u8]) -> Result<usize, Error> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let mut copied = 0;
        let mut copy = |room: &mut [u8]| {
            let rest = bytes.get(copied..).unwrap_or_default();
            let count = room.len().min(rest.len());
            room[..count].copy_from_slice(&rest[..count]);
            copied += count;
            (count, count)
        };
        let first = self.send(&mut copy).await?;
        let mut second = 0;
        if first < bytes.len()
            && let Some(slot) = self.slot()
            && let Ok(count) = slot.with(|socket| {
                if socket.can_send() {
                    socket.send(&mut copy)
                } else {
                    Ok(0)
                }
            })
        {
            slot.bytes_out.set(slot.bytes_out.get().saturating_add(count as u64));
            second = count;
        }
        Ok(first + second)
    }
}

impl Drop for TcpStream {
    fn drop(&mut self) {
        if let Some(slot) = self.slot() {
            if !slot.shut.get() {
                slot.with(|socket| socket.abort());
            }
            orphan(self.shared, self.index, slot);
        }
    }
}

/// Leaves a connection to the runner, which finishes it and releases the slot.
fn orphan(shared: &'static Shared, index: u16, slot: &TcpSlot) {
    slot.owned.set(false);
    // A connection that was never begun is not begun now.
    slot.request.set(None);
    slot.generation.set(slot.generation.get().wrapping_add(1));
    slot.deadline.set(shared.now.get().saturating_add(shared.linger));
    shared.pool.reclass(index, Class::Orphan);
    shared.pool.schedule(slot);
    shared.pool.mark(index);
}

fn error(end: CloseReason) -> Error {
    match end {
        CloseReason::None => Error::Closed,
        CloseReason::Reset => Error::Reset,
        CloseReason::TimedOut | CloseReason::Unreachable => Error::TimedOut,
        CloseReason::Down => Error::AddressLost,
    }
}

/// The reading half.
pub struct ReadHalf<'a>(&'a TcpStream);

/// The writing half.
pub struct WriteHalf<'a>(&'a TcpStream);

impl ReadHalf<'_> {
    /// See [`TcpStream::read_with`].
    pub async fn read_with<R>(&mut self, take: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<Option<R>, Error> {
        self.0.recv(take).await
    }
}

impl WriteHalf<'_> {
    /// See [`TcpStream::write_with`].
    pub async fn write_with<R>(&mut self, put: impl FnOnce(&mut [u8]) -> (usize, R)) -> Result<R, Error> {
        self.0.send(put).await
    }

    /// See [`TcpStream::shutdown`].
    pub fn shutdown(&mut self) {
        self.0.shut();
    }

    /// See [`TcpStream::drained`].
    pub async fn drained(&mut self) {
        poll_fn(|context| self.0.poll_drained(context)).await;
    }
}

impl ErrorType for TcpStream {
    type Error = Error;
}

impl ErrorType for ReadHalf<'_> {
    type Error = Error;
}

impl ErrorType for WriteHalf<'_> {
    type Error = Error;
}

impl Read for TcpStream {
    /// Reads what is there; waits only if nothing is. 0: the peer has sent FIN.
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.read_some(buffer).await
    }
}

impl Read for ReadHalf<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.0.read_some(buffer).await
    }
}

impl Write for TcpStream {
    /// Writes as much as there is room for; waits only if there is none.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.write_some(bytes).await
    }

    /// Returns at once: what is written is sent as soon as the window allows. [`TcpStream::drained`] waits until it has
    /// arrived.
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Write for WriteHalf<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Error> {
        self.0.write_some(bytes).await
    }

    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}
