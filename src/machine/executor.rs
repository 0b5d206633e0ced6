//! The main loop: tasks, timers, interrupts, and sleep.
//!
//! One CPU, no preemption: interrupts come in only where this loop lets them (see `interrupts`), so that tasks run to
//! their next `await` undisturbed. When nothing is ready the loop first watches the card for a while, since waking
//! from sleep takes longer than a round trip on a local network, and then sleeps until an interrupt.

mod polls;

use super::{clock, interrupts, serial};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};
use critical_section::Mutex;
use embassy_executor::{Spawner, raw};
pub use polls::{LongPoll, Timed, longest_polls};

/// How long the loop watches the card after the last sign of life before it sleeps, in microseconds.
pub const WATCH: u64 = 500;

/// Runs the machine: `init` spawns the first tasks. When nothing is ready, `idle_poll` is asked again and again, for
/// up to [`WATCH`] after it last said yes or a device last interrupted, whether there is work on the card; if there
/// is, it has woken the task that does it. Interrupts are masked meanwhile, so that the card has no cause to send any.
///
/// When it is about to sleep, `before_sleep` is asked whether something has to be run first, such as the task that is to
/// unmask the card's interrupt.
pub fn run(
    init: impl FnOnce(Spawner),
    mut idle_poll: impl FnMut() -> bool,
    mut before_sleep: impl FnMut() -> bool,
) -> ! {
    let executor = raw::Executor::new(core::ptr::null_mut());
    // SAFETY: this function never returns, so the executor lives as long as everything else.
    let executor: &'static raw::Executor = unsafe { core::mem::transmute(&executor) };
    init(executor.spawner());
    serial::start_buffering();
    let mut watch_until = 0;
    loop {
        clock::wake_expired();
        if READY.swap(false, Ordering::Relaxed) {
            // SAFETY: called here alone, so never within itself.
            unsafe { executor.poll() };
        }
        interrupts::window();
        if interrupts::dispatch() {
            watch_until = clock::now() + WATCH;
        }
        if READY.load(Ordering::Relaxed) {
            continue;
        }
        let now = clock::now();
        let next = clock::next_alarm();
        if watch(&mut idle_poll, watch_until.min(next), now) {
            watch_until = clock::now() + WATCH;
            continue;
        }
        if READY.load(Ordering::Relaxed) || before_sleep() || !clock::arm() {
            continue;
        }
        let before = clock::now();
        interrupts::sleep();
        let slept = clock::now() - before;
        count(|times| times.asleep += slept);
        if interrupts::dispatch() {
            watch_until = clock::now() + WATCH;
        }
    }
}

/// How the loop has spent its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// Asleep, in microseconds.
    pub asleep: u64,
    /// Watching the card, in microseconds.
    pub watching: u64,
}

/// How the loop has spent its time so far. The rest of the uptime it worked.
pub fn times() -> Times {
    critical_section::with(|cs| TIMES.borrow(cs).get())
}

/// To be called by the executor's pender: a task is ready.
pub fn pend() {
    READY.store(true, Ordering::Relaxed);
}

static READY: AtomicBool = AtomicBool::new(false);
static TIMES: Mutex<Cell<Times>> = Mutex::new(Cell::new(Times { asleep: 0, watching: 0 }));

fn count(f: impl FnOnce(&mut Times)) {
    critical_section::with(|cs| {
        let mut times = TIMES.borrow(cs).get();
        f(&mut times);
        TIMES.borrow(cs).set(times);
    });
}

fn watch(idle_poll: &mut impl FnMut() -> bool, until: u64, start: u64) -> bool {
    let mut now = start;
    let mut found = false;
    while now < until && !found {
        found = idle_poll();
        core::hint::spin_loop();
        now = clock::now();
    }
    if now > start {
        count(|times| times.watching += now - start);
    }
    found
}
