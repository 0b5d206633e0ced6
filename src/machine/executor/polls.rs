//! The longest poll of a task, since boot and recently.
//!
//! Tasks are not preempted: while one runs, nothing else does. None should run for more than 50 ms natively.

use crate::machine::clock;
use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use critical_section::Mutex;

/// Of what the recent longest poll is the longest, in seconds: one or two of these.
const WINDOW: u64 = 60;

/// A poll that took long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LongPoll {
    /// The kind of the task.
    pub task: &'static str,
    /// How long it took, in microseconds.
    pub micros: u64,
}

/// The longest poll since boot, and of the last minute or two.
pub fn longest_polls() -> [LongPoll; 2] {
    let rate = clock::rate();
    let (polls, now) = (with(|polls| *polls), clock::tsc());
    [polls.longest, polls.recent(now, rate)].map(|Sample { task, cycles }| LongPoll {
        task,
        micros: u64::try_from(u128::from(cycles) * 1_000_000 / u128::from(rate.max(1))).unwrap_or(u64::MAX),
    })
}

/// A task whose polls are timed. The cost is that of reading the TSC twice.
pub struct Timed<F> {
    task: &'static str,
    future: F,
}

impl<F> Timed<F> {
    /// Times `future`, a task of the kind `task`.
    pub fn new(task: &'static str, future: F) -> Self {
        Self { task, future }
    }
}

impl<F: Future> Future for Timed<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let task = self.task;
        // SAFETY: the future is pinned with the whole, of which it is the only part that is; there is no `Drop`.
        let future = unsafe { self.map_unchecked_mut(|timed| &mut timed.future) };
        let start = clock::tsc();
        let result = future.poll(context);
        let end = clock::tsc();
        with(|polls| polls.add(task, start, end, clock::rate()));
        result
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    task: &'static str,
    cycles: u64,
}

impl Sample {
    const NONE: Self = Self { task: "", cycles: 0 };

    fn longer(self, other: Self) -> Self {
        if other.cycles > self.cycles { other } else { self }
    }
}

/// Times in cycles of the TSC.
#[derive(Clone, Copy)]
struct Polls {
    longest: Sample,
    /// Of the window that began at `start`, and of the one before.
    current: Sample,
    previous: Sample,
    start: u64,
}

impl Polls {
    const fn new() -> Self {
        Self {
            longest: Sample::NONE,
            current: Sample::NONE,
            previous: Sample::NONE,
            start: 0,
        }
    }

    /// Adds a poll from `start` to `end`, the TSC running at `rate` Hz.
    fn add(&mut self, task: &'static str, start: u64, end: u64, rate: u64) {
        let sample = Sample {
            task,
            cycles: end.saturating_sub(start),
        };
        self.longest = self.longest.longer(sample);
        let window = rate.saturating_mul(WINDOW);
        let age = end.saturating_sub(self.start);
        if age >= window {
            let adjacent = age < window.saturating_mul(2);
            self.previous = if adjacent { self.current } else { Sample::NONE };
            (self.current, self.start) = (Sample::NONE, end);
        }
        self.current = self.current.longer(sample);
    }

    /// The longest of the window at `now` and the one before.
    fn recent(&self, now: u64, rate: u64) -> Sample {
        let age = now.saturating_sub(self.start) / rate.max(1);
        match age / WINDOW {
            0 => self.current.longer(self.previous),
            1 => self.current,
            _ => Sample::NONE,
        }
    }
}

static POLLS: Mutex<Cell<Polls>> = Mutex::new(Cell::new(Polls::new()));

fn with<R>(f: impl FnOnce(&mut Polls) -> R) -> R {
    critical_section::with(|cs| {
        let cell = POLLS.borrow(cs);
        let mut polls = cell.get();
        let result = f(&mut polls);
        cell.set(polls);
        result
    })
}

#[cfg(test)]
mod tests;
