//! Stand-ins for the machine: a clock, critical sections, an executor.

use core::future::Future;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use std::cell::Cell;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::{Duration, Instant};

std::thread_local! {
    /// The offset of this thread's clock.
    static AHEAD: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

struct HostCriticalSection;
critical_section::set_impl!(HostCriticalSection);

static LOCK: Mutex<()> = Mutex::new(());

std::thread_local! {
    static HELD: Cell<(usize, Option<MutexGuard<'static, ()>>)> = const { Cell::new((0, None)) };
}

// SAFETY: one process-wide mutex, taken by the outermost section of a thread and released by the same.
unsafe impl critical_section::Impl for HostCriticalSection {
    unsafe fn acquire() -> critical_section::RawRestoreState {
        HELD.with(|held| {
            let (depth, guard) = held.take();
            let guard = guard.or_else(|| Some(LOCK.lock().unwrap_or_else(|poisoned| poisoned.into_inner())));
            held.set((depth + 1, guard));
        });
        false
    }

    unsafe fn release(_: critical_section::RawRestoreState) {
        HELD.with(|held| {
            let (depth, guard) = held.take();
            held.set((depth - 1, if depth == 1 { None } else { guard }));
        });
    }
}

struct HostClock;

impl embassy_time_driver::Driver for HostClock {
    fn now(&self) -> u64 {
        static START: OnceLock<Instant> = OnceLock::new();
        (START.get_or_init(Instant::now).elapsed() + AHEAD.get()).as_micros() as u64
    }

    // `block_on` polls in a loop, so no wake-up is needed.
    fn schedule_wake(&self, _at: u64, _waker: &Waker) {}
}

embassy_time_driver::time_driver_impl!(static CLOCK: HostClock = HostClock);

/// Advances this thread's clock.
pub fn pass(time: Duration) {
    AHEAD.set(AHEAD.get() + time);
}

/// Polls `future` until it is ready; fails the test after 60 s without progress.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    let start = Instant::now();
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "the future did not finish");
        std::thread::sleep(Duration::from_micros(50));
    }
}
