//! The date as a reading of the RTC or of kvm-clock, and the uptime since.

use super::TICKS;
use der::DateTime;

/// How far the date may be ahead of a reading to count as drift of the TSC, in microseconds: the reading is taken then.
/// A clock that is further behind was set back, and is not followed.
pub(super) const DRIFT: u64 = 60 * TICKS;
/// How often the RTC is read to find the edge of its second, in microseconds: how far behind it the date is left.
pub(super) const EDGE_INTERVAL: u64 = 20_000;

/// The date that a text states, in seconds since 1970: as in `2026-11-30T21:00:00Z`, or those seconds. Up to the year 9999.
pub(super) fn parse(text: &str) -> Option<u64> {
    if let Ok(date) = text.parse::<DateTime>() {
        return Some(date.unix_duration().as_secs());
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = text.parse().ok().filter(|_| digits)?;
    (seconds <= DateTime::INFINITY.unix_duration().as_secs()).then_some(seconds)
}

/// A date, and the uptime at which it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    /// Microseconds since 1970.
    micros: u64,
    /// In ticks.
    uptime: u64,
    /// The previous date, in microseconds since 1970: it never goes backwards.
    floor: u64,
}

impl Epoch {
    /// The date `micros`, in microseconds since 1970, read at `uptime`.
    pub(super) const fn new(micros: u64, uptime: u64) -> Self {
        Self {
            micros,
            uptime,
            floor: micros,
        }
    }

    /// The date at `uptime`, in seconds since 1970.
    pub(super) fn at(self, uptime: u64) -> u64 {
        self.micros_at(uptime) / TICKS
    }

    fn micros_at(self, uptime: u64) -> u64 {
        let since = uptime.saturating_sub(self.uptime);
        self.micros.saturating_add(since).max(self.floor)
    }

    /// By how much a later reading is ahead of this date, in microseconds.
    pub(super) fn behind(self, reading: Self) -> u64 {
        reading.micros.saturating_sub(self.micros_at(reading.uptime))
    }

    /// The date after a later reading: the reading where it is ahead, or behind by no more than [`DRIFT`]. In the second
    /// case the date stands still until the reading has caught up.
    ///
    /// The RTC shows whole seconds, and a reading is up to a second behind: each one that is ahead also brings the date
    /// closer to the second's edge, and one that is behind by up to a second changes nothing.
    pub(super) fn advanced_to(self, reading: Self) -> Self {
        let date = self.micros_at(reading.uptime);
        if reading.micros > date {
            reading
        } else if (TICKS + 1..=DRIFT).contains(&(date - reading.micros)) {
            Self { floor: date, ..reading }
        } else {
            self
        }
    }
}

/// Reads the RTC often, until a reading is ahead of the date since the next second has begun; for a second at most.
/// `wait` takes [`EDGE_INTERVAL`]; `follow` reads, and returns by how much the date was behind.
pub(super) async fn find_edge(wait: impl AsyncFn(), follow: impl Fn() -> u64) {
    for _ in 0..=TICKS / EDGE_INTERVAL {
        wait().await;
        if follow() > 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
