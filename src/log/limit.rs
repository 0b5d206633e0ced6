//! A limit on how often an event is logged.

use core::cell::Cell;
use core::fmt;

use embassy_time::{Duration, Instant};

use crate::pki::text::Count;

/// Lets a burst through and then one event an interval; counts the rest.
pub struct Limiter {
    burst: u32,
    interval: Duration,
    /// Events that may pass now, `<= burst`.
    tokens: Cell<u32>,
    /// When the last token was added.
    refilled: Cell<Instant>,
    suppressed: Cell<u64>,
}

impl Limiter {
    /// `burst` events at once, then one every `interval`.
    pub const fn new(burst: u32, interval: Duration) -> Self {
        Limiter {
            burst,
            interval,
            tokens: Cell::new(burst),
            refilled: Cell::new(Instant::MIN),
            suppressed: Cell::new(0),
        }
    }

    /// Whether an event at `now` may pass; if so, how many were held back since the last that did.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let interval = self.interval.as_ticks().max(1);
        let gained = now.as_ticks().saturating_sub(self.refilled.get().as_ticks()) / interval;
        if gained > 0 {
            let tokens = gained.saturating_add(self.tokens.get().into()).min(self.burst.into());
            self.tokens.set(u32::try_from(tokens).unwrap_or(self.burst));
            let whole = gained.saturating_mul(interval);
            self.refilled.set(Instant::from_ticks(
                self.refilled.get().as_ticks().saturating_add(whole),
            ));
        }
        match self.tokens.get().checked_sub(1) {
            Some(left) => {
                self.tokens.set(left);
                Some(self.suppressed.replace(0))
            }
            None => {
                self.suppressed.set(self.suppressed.get().saturating_add(1));
                None
            }
        }
    }

    /// Logs what may pass, and how much could not.
    pub fn log(&self, level: ::log::Level, message: fmt::Arguments<'_>) {
        self.log_as(module_path!(), level, message);
    }

    /// The same with a target. Whether it was logged.
    pub fn log_as(&self, target: &str, level: ::log::Level, message: fmt::Arguments<'_>) -> bool {
        match self.pass(Instant::now()) {
            None => return false,
            Some(0) => ::log::log!(target: target, level, "{message}"),
            Some(held) => {
                let held = Count(held, "message");
                ::log::log!(target: target, level, "{message} ({held} similar messages suppressed)");
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;
