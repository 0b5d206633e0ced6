//! A connection in memory between two futures.

use core::cell::{Cell, RefCell};
use core::convert::Infallible;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;

use embedded_io_async::{ErrorType, Read, Write};

use super::Failure;

/// How many bytes may go back and forth before a test counts as endless. The longest needs a tenth of it.
const MOST_BYTES: usize = 256 * 1024;

/// How many times both sides may be polled without moving a byte: a side gives way after each message of a flight.
const MOST_IDLE_ROUNDS: u32 = 16;

/// The two directions between one side and the other.
///
/// It wakes no task: [`Link::join`] polls both sides for as long as that moves bytes.
pub(super) struct Link<'b> {
    up: RefCell<Pipe<'b>>,
    down: RefCell<Pipe<'b>>,
    moved: Cell<usize>,
}

impl<'b> Link<'b> {
    pub(super) fn new(up: &'b mut [u8], down: &'b mut [u8]) -> Self {
        Self {
            up: RefCell::new(Pipe::new(up)),
            down: RefCell::new(Pipe::new(down)),
            moved: Cell::new(0),
        }
    }

    /// The calling end.
    pub(super) fn caller(&self) -> End<'_, 'b> {
        End {
            incoming: &self.down,
            outgoing: &self.up,
            moved: &self.moved,
        }
    }

    /// The called end.
    pub(super) fn called(&self) -> End<'_, 'b> {
        End {
            incoming: &self.up,
            outgoing: &self.down,
            moved: &self.moved,
        }
    }

    /// Runs both sides to their ends, and gives the failure that came first if there is one, with the time that the
    /// two took of the processor. Other tasks run in between.
    ///
    /// It always ends: when neither side goes on any more, or they go on for too long, that is a failure, too.
    pub(super) async fn join(
        &self,
        micros: fn() -> u64,
        caller: impl Future<Output = Result<(), Failure>>,
        called: impl Future<Output = Result<(), Failure>>,
    ) -> (Result<(), Failure>, u64) {
        let (mut caller, mut called) = (pin!(caller), pin!(called));
        let (mut caller_runs, mut called_runs) = (true, true);
        let mut result = Ok(());
        let mut busy = 0;
        let mut idle = 0;
        poll_fn(|context| {
            let begin = micros();
            let before = self.moved.get();
            let mut ended = false;
            if caller_runs && let Poll::Ready(end) = caller.as_mut().poll(context) {
                (caller_runs, ended) = (false, true);
                result = result.and(end);
                self.caller().hang_up();
            }
            if called_runs && let Poll::Ready(end) = called.as_mut().poll(context) {
                (called_runs, ended) = (false, true);
                result = result.and(end);
                self.called().hang_up();
            }
            busy += micros().saturating_sub(begin);
            if !caller_runs && !called_runs {
                return Poll::Ready((result, busy));
            }
            let moved = ended || self.moved.get() != before;
            idle = if moved { 0 } else { idle + 1 };
            if idle > MOST_IDLE_ROUNDS {
                return Poll::Ready((result.and(Err(Failure::Stalled)), busy));
            }
            if self.moved.get() > MOST_BYTES {
                return Poll::Ready((result.and(Err(Failure::Endless)), busy));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await
    }
}

/// One direction: `buffer[start..end]` is on its way.
struct Pipe<'b> {
    buffer: &'b mut [u8],
    start: usize,
    end: usize,
    /// The writer has gone: the end follows what is on its way.
    ended: bool,
    /// The reader has gone: what is written is dropped.
    dropped: bool,
}

impl<'b> Pipe<'b> {
    fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            start: 0,
            end: 0,
            ended: false,
            dropped: false,
        }
    }

    fn read(&mut self, to: &mut [u8]) -> Poll<usize> {
        let ready = self.buffer.get(self.start..self.end).unwrap_or_default();
        if ready.is_empty() && !self.ended {
            return Poll::Pending;
        }
        let count = copy(to, ready);
        self.start += count;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        Poll::Ready(count)
    }

    fn write(&mut self, from: &[u8]) -> Poll<usize> {
        if self.dropped {
            return Poll::Ready(from.len());
        }
        let space = self.buffer.get_mut(self.end..).unwrap_or_default();
        if space.is_empty() {
            return Poll::Pending;
        }
        let count = copy(space, from);
        self.end += count;
        Poll::Ready(count)
    }
}

fn copy(to: &mut [u8], from: &[u8]) -> usize {
    to.iter_mut().zip(from).map(|(to, from)| *to = *from).count()
}

/// One side's end of a [`Link`].
pub(super) struct End<'l, 'b> {
    incoming: &'l RefCell<Pipe<'b>>,
    outgoing: &'l RefCell<Pipe<'b>>,
    moved: &'l Cell<usize>,
}

impl End<'_, '_> {
    fn hang_up(self) {
        self.outgoing.borrow_mut().ended = true;
        self.incoming.borrow_mut().dropped = true;
    }

    fn count(&self, moved: Poll<usize>) -> Poll<usize> {
        moved.map(|count| {
            self.moved.set(self.moved.get().saturating_add(count));
            count
        })
    }
}

impl ErrorType for End<'_, '_> {
    type Error = Infallible;
}

impl Read for End<'_, '_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        Ok(poll_fn(|_| self.count(self.incoming.borrow_mut().read(buffer))).await)
    }
}

impl Write for End<'_, '_> {
    async fn write(&mut self, data: &[u8]) -> Result<usize, Infallible> {
        if data.is_empty() {
            return Ok(0);
        }
        Ok(poll_fn(|_| self.count(self.outgoing.borrow_mut().write(data))).await)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
