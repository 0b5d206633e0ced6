//! Counters of the echo service since boot.

use core::cell::Cell;
use core::fmt;

/// Causes counted one by one; more are counted together.
const CAUSES: usize = 48;

/// A number that only grows.
#[derive(Default)]
pub struct Count(Cell<u64>);

impl Count {
    const fn new() -> Self {
        Count(Cell::new(0))
    }
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }
    /// So many more.
    pub fn add(&self, count: u64) {
        self.0.set(self.0.get().saturating_add(count));
    }
    /// The number.
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

/// The counters of the echo services.
pub struct Tally {
    /// Connections accepted by the listeners.
    pub accepted: Count,
    /// Connections refused because all workers were busy with established ones.
    pub refused: Count,
    /// Connections evicted before they were established.
    pub evicted: Count,
    /// Established connections that gave way to newer ones: idle, or of an address with many.
    pub evicted_established: Count,
    /// Handshakes finished.
    pub handshakes: Count,
    /// Connections that ended as both sides wished.
    pub finished: Count,
    /// Bytes sent back, over all connections that have ended.
    pub echoed: Count,
    /// How often each cause ended a connection. Filled from the front.
    causes: [Cell<(&'static str, u64)>; CAUSES],
    other: Count,
}

impl Tally {
    /// All zero.
    pub const fn new() -> Self {
        Tally {
            accepted: Count::new(),
            refused: Count::new(),
            evicted: Count::new(),
            evicted_established: Count::new(),
            handshakes: Count::new(),
            finished: Count::new(),
            echoed: Count::new(),
            causes: [const { Cell::new(("", 0)) }; CAUSES],
            other: Count::new(),
        }
    }

    /// Counts a connection that ended for `cause`.
    pub fn fault(&self, cause: &'static str) {
        let place = self
            .causes
            .iter()
            .find(|place| matches!(place.get(), (name, count) if name == cause || count == 0));
        match place {
            Some(place) => place.set((cause, place.get().1.saturating_add(1))),
            None => self.other.one(),
        }
    }

    /// How often `cause` was counted.
    pub fn faults(&self, cause: &str) -> u64 {
        self.causes
            .iter()
            .map(Cell::get)
            .find(|(name, count)| *name == cause && *count > 0)
            .map_or(0, |(_, count)| count)
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

/// One counter a line, for `counters`.
impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fixed = [
            ("accepted", &self.accepted),
            ("refused, all workers busy", &self.refused),
            ("evicted before established", &self.evicted),
            ("evicted when established", &self.evicted_established),
            ("handshakes finished", &self.handshakes),
            ("connections finished", &self.finished),
            ("bytes echoed", &self.echoed),
        ];
        let causes = self.causes.iter().map(Cell::get).filter(|(_, count)| *count > 0);
        let other = Some(("failed: other", &self.other)).filter(|(_, count)| count.get() > 0);
        fixed
            .into_iter()
            .chain(other)
            .try_for_each(|(name, count)| writeln!(f, "  {name:<40} {}", count.get()))?;
        causes
            .into_iter()
            .try_for_each(|(name, count)| writeln!(f, "  failed: {name:<32} {count}"))
    }
}

#[cfg(test)]
mod tests;
