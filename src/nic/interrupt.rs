//! The link between a card's interrupt and the task that serves the card.

use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Waker;

use embassy_sync::waitqueue::AtomicWaker;

/// What an interrupt handler needs of a card: a counter, and whom to wake. Lives in a `static`; knows no register, so
/// that handling an interrupt costs no access to the card.
pub struct Interrupt {
    taken: AtomicU64,
    waker: AtomicWaker,
}

impl Interrupt {
    /// No interrupt yet, and nobody to wake.
    pub const fn new() -> Self {
        Self {
            taken: AtomicU64::new(0),
            waker: AtomicWaker::new(),
        }
    }

    /// To be called by the handler: counts the interrupt and wakes the task that waits for it.
    pub fn raise(&self) {
        // Release, and Acquire in `taken`: who sees the count sees what the card wrote before the interrupt.
        self.taken.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// Interrupts taken since the start.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// Has `waker` woken by the next interrupt, in place of the one registered before.
    pub(super) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}
