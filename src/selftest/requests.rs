//! Requests for a self-test, and its outcomes.

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::task::Poll;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_sync::waitqueue::MultiWakerRegistration;

use super::{MAX_OUTCOMES, Outcome, Summary};

/// How many may wait for outcomes at the same time without asking again and again.
const WAITING: usize = 4;

/// Requests of shell sessions to the task that runs the self-test.
pub struct Requests {
    outcomes: RefCell<heapless::Vec<Outcome, MAX_OUTCOMES>>,
    /// Whether a test is under way, or asked for.
    running: Cell<bool>,
    wanted: Signal<NoopRawMutex, ()>,
    waiting: RefCell<MultiWakerRegistration<WAITING>>,
}

impl Requests {
    /// Nothing has been tested yet.
    pub const fn new() -> Self {
        Self {
            outcomes: RefCell::new(heapless::Vec::new()),
            running: Cell::new(false),
            wanted: Signal::new(),
            waiting: RefCell::new(MultiWakerRegistration::new()),
        }
    }

    /// Asks for a self-test. Where one is under way, that is the one.
    pub fn ask(&self) {
        if !self.running.get() {
            self.begin();
            self.wanted.signal(());
        }
    }

    /// The n-th outcome of the self-test that is under way or was the last, once it is there; `None` where there is
    /// none. Cancel-safe.
    pub async fn outcome(&self, n: usize) -> Option<Outcome> {
        poll_fn(|context| {
            let outcome = self.outcomes.borrow().get(n).copied();
            if outcome.is_some() || !self.running.get() {
                return Poll::Ready(outcome);
            }
            self.waiting.borrow_mut().register(context.waker());
            Poll::Pending
        })
        .await
    }

    /// The sum of the outcomes so far.
    pub fn summary(&self) -> Summary {
        let mut summary = Summary::default();
        self.outcomes.borrow().iter().for_each(|outcome| summary.count(outcome));
        summary
    }

    /// Waits for a request.
    pub(super) async fn wanted(&self) {
        self.wanted.wait().await;
    }

    /// Clears what the last one left.
    pub(super) fn begin(&self) {
        self.outcomes.borrow_mut().clear();
        self.running.set(true);
    }

    pub(super) fn add(&self, outcome: Outcome) {
        // There are places for all.
        let _ = self.outcomes.borrow_mut().push(outcome);
        self.waiting.borrow_mut().wake();
    }

    pub(super) fn end(&self) {
        self.running.set(false);
        self.waiting.borrow_mut().wake();
    }
}

impl Default for Requests {
    fn default() -> Self {
        Self::new()
    }
}
