//! The bytes of a connection each way, and how their exchange ends.

use core::cell::Cell;

use embassy_time::Instant;

/// Bytes that went each way. `echoed <= received` where they are echoed.
pub struct Flow {
    received: Cell<u64>,
    echoed: Cell<u64>,
    /// When the last of them went.
    moved: Cell<Instant>,
}

impl Flow {
    /// Nothing yet.
    pub const fn new() -> Self {
        Flow {
            received: Cell::new(0),
            echoed: Cell::new(0),
            moved: Cell::new(Instant::MIN),
        }
    }
    /// Bytes received.
    pub fn received(&self) -> u64 {
        self.received.get()
    }
    /// Bytes sent back.
    pub fn echoed(&self) -> u64 {
        self.echoed.get()
    }
    /// When a byte last went either way.
    pub fn moved(&self) -> Instant {
        self.moved.get()
    }
    /// Notes that a byte goes now, or might have gone.
    pub(crate) fn touch(&self) {
        self.moved.set(Instant::now());
    }
    /// Replaces the number of bytes received.
    pub(crate) fn set_received(&self, count: u64) {
        self.touch();
        self.received.set(count);
    }
    pub(crate) fn add_received(&self, count: usize) {
        self.touch();
        add(&self.received, count);
    }
    pub(crate) fn add_sent(&self, count: usize) {
        self.touch();
        add(&self.echoed, count);
    }
    pub(crate) fn reset(&self) {
        self.received.set(0);
        self.echoed.set(0);
        self.touch();
    }
}

fn add(counter: &Cell<u64>, count: usize) {
    counter.set(counter.get().saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
}

impl Default for Flow {
    fn default() -> Self {
        Self::new()
    }
}

/// How an exchange ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End<R, W> {
    /// The input ended, and all of it was sent back and flushed.
    Finished,
    /// Nothing came for the idle time.
    Idle,
    /// The peer stopped reading for the idle time.
    Stalled,
    /// The first line is an HTTP request line, and is not sent back.
    Http,
    /// The page that was sent gave way to another's: the peer takes it too slowly.
    Displaced,
    /// Reading failed.
    Read(R),
    /// Writing failed.
    Write(W),
}
