//! The link between a card's interrupt and the task that serves the card.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU8, AtomicU16, AtomicU64, Ordering};
use core::task::Waker;

use embassy_sync::waitqueue::AtomicWaker;

use super::ring::Descriptor;

/// What an interrupt handler and the idle loop need of a card: a counter, a waker, and where the next frame will
/// show. Lives in a `static`; knows no register, so that neither costs an access to the card.
///
/// An idle loop that watches before it sleeps calls [`Interrupt::poll`] meanwhile and [`Interrupt::before_sleep`] at the
/// end. A card's interrupt then stays masked, and its mask untouched, as long as frames keep coming: in a round trip
/// the accesses to unmask and to acknowledge it would be a good part of the whole.
pub struct Interrupt {
    taken: AtomicU64,
    waker: AtomicWaker,
    /// The receive descriptor that the card will be done with next. Null, or from a `&'static` reference.
    next: AtomicPtr<Descriptor>,
    /// The index of a virtqueue's used ring, which changes with the next frame. Null, or from a `&'static` reference.
    index: AtomicPtr<AtomicU16>,
    /// What that index was when last looked at.
    seen: AtomicU16,
    /// `MASKED`, `DEFERRED`, `WANTED` or `UNMASKED`.
    state: AtomicU8,
    /// Whether there is an idle loop that calls `before_sleep`.
    deferring: AtomicBool,
}

/// The card does not interrupt, and no task waits for it.
const MASKED: u8 = 0;
/// A task waits, and will be woken in time to unmask the interrupt.
const DEFERRED: u8 = 1;
/// A task was woken to unmask the interrupt.
const WANTED: u8 = 2;
/// The card interrupts as soon as there is a cause.
const UNMASKED: u8 = 3;

impl Interrupt {
    /// No interrupt yet, and no task to wake.
    pub const fn new() -> Self {
        Self {
            taken: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            next: AtomicPtr::new(null_mut()),
            index: AtomicPtr::new(null_mut()),
            seen: AtomicU16::new(0),
            state: AtomicU8::new(MASKED),
            deferring: AtomicBool::new(false),
        }
    }

    /// To be called by the handler: counts the interrupt and wakes the task that waits for it.
    pub fn raise(&self) {
        // Release, and Acquire in `taken`: a reader of the count sees what the card wrote before the interrupt.
        self.taken.fetch_add(1, Ordering::Release);
        self.state.store(MASKED, Ordering::Relaxed);
        self.waker.wake();
    }

    /// For the idle loop: if a frame has been received, wakes the task as an interrupt would, and returns true.
    pub fn poll(&self) -> bool {
        // SAFETY: null or a shared reference for good (see `next`).
        let next = unsafe { self.next.load(Ordering::Relaxed).as_ref() };
        // SAFETY: null or a shared reference for good (see `expect_index`).
        let index = unsafe { self.index.load(Ordering::Relaxed).as_ref() };
        let moved = |index: &AtomicU16| index.load(Ordering::Relaxed) != self.seen.load(Ordering::Relaxed);
        let received = next.is_some_and(Descriptor::is_received) || index.is_some_and(moved);
        if received {
            self.waker.wake();
        }
        received
    }

    /// For the idle loop, when it is about to sleep: false if it may. Otherwise the task that waits for the card has
    /// been woken to unmask the interrupt, and the loop is to run it and then come here again. At most one such turn
    /// is asked for each time that the task has waited.
    pub fn before_sleep(&self) -> bool {
        self.deferring.store(true, Ordering::Relaxed);
        let deferred = self.state.load(Ordering::Relaxed) == DEFERRED;
        if deferred {
            self.state.store(WANTED, Ordering::Relaxed);
            self.waker.wake();
        }
        deferred
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

    /// Wakes the task that waits for the next interrupt.
    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Has [`Interrupt::poll`] look whether an index still has its value, or at none.
    pub(super) fn expect_index(&self, watched: Option<(&'static AtomicU16, u16)>) {
        let index = watched.map_or(null_mut(), |(index, seen)| {
            self.seen.store(seen, Ordering::Relaxed);
            core::ptr::from_ref(index).cast_mut()
        });
        self.index.store(index, Ordering::Relaxed);
    }

    /// Has `waker` woken by the next interrupt, in place of the one registered before. Whether the card is to unmask
    /// the interrupt now, in which case it counts as unmasked.
    pub(super) fn wait(&self, waker: &Waker) -> bool {
        self.waker.register(waker);
        let state = self.state.load(Ordering::Relaxed);
        let now = state == WANTED || state != UNMASKED && !self.deferring.load(Ordering::Relaxed);
        if now {
            self.state.store(UNMASKED, Ordering::Relaxed);
        } else if state == MASKED {
            self.state.store(DEFERRED, Ordering::Relaxed);
        }
        now
    }

    /// The card was reset: it does not interrupt.
    pub(super) fn masked(&self) {
        self.state.store(MASKED, Ordering::Relaxed);
    }
}

impl Default for Interrupt {
    fn default() -> Self {
        Self::new()
    }
}
