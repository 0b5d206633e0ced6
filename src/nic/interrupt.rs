//! The link between a card's interrupt and the task that serves the card.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use core::task::Waker;

use embassy_sync::waitqueue::AtomicWaker;

use super::ring::Descriptor;

/// What an interrupt handler and the idle loop need of a card: a counter, whom to wake, and where the next frame will
/// show. Lives in a `static`; knows no register, so that neither costs an access to the card.
pub struct Interrupt {
    taken: AtomicU64,
    waker: AtomicWaker,
    /// The receive descriptor that the card will be done with next. Null, or from a `&'static` reference.
    next: AtomicPtr<Descriptor>,
}

impl Interrupt {
    /// No interrupt yet, and nobody to wake.
    pub const fn new() -> Self {
        Self {
            taken: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            next: AtomicPtr::new(null_mut()),
        }
    }

    /// To be called by the handler: counts the interrupt and wakes the task that waits for it.
    pub fn raise(&self) {
        // Release, and Acquire in `taken`: who sees the count sees what the card wrote before the interrupt.
        self.taken.fetch_add(1, Ordering::Release);
        self.waker.wake();
    }

    /// For the idle loop: if a frame has been received, wakes the task as an interrupt would, and says so.
    pub fn poll(&self) -> bool {
        // SAFETY: null or a shared reference for good (see `next`).
        let next = unsafe { self.next.load(Ordering::Relaxed).as_ref() };
        let received = next.is_some_and(Descriptor::is_received);
        if received {
            self.waker.wake();
        }
        received
    }

    /// Interrupts taken since the start.
    pub fn taken(&self) -> u64 {
        self.taken.load(Ordering::Acquire)
    }

    /// Has [`Interrupt::poll`] look at `descriptor`.
    pub(super) fn expect(&self, descriptor: &'static Descriptor) {
        self.next
            .store(core::ptr::from_ref(descriptor).cast_mut(), Ordering::Relaxed);
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
