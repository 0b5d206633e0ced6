//! The date as a reading of the RTC or of kvm-clock, and the uptime since.

use super::TICKS;

/// How far the date may be ahead of a reading to count as drift of the TSC, in microseconds: the reading is taken then.
/// A clock that is further behind was set back, and is not followed.
pub(super) const DRIFT: u64 = 60 * TICKS;
/// How often the RTC is read to find the edge of its second, in microseconds: how far behind it the date is left.
pub(super) const EDGE_INTERVAL: u64 = 20_000;

/// A date, and the uptime at which it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    /// Microseconds since 1970.
    micros: u64,
    /// In ticks.
    uptime: u64,
    /// What the date was before, in microseconds since 1970: it never goes backwards.
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
mod tests {
    use super::*;
    use crate::testing::block_on;
    use core::cell::Cell;

    const START: u64 = 1_800_000_000;
    const BOOT: Epoch = Epoch::new(START * TICKS, TICKS / 2);

    fn reading(after: u64, uptime: u64) -> Epoch {
        Epoch::new((START + after) * TICKS, uptime)
    }

    #[test]
    fn the_date_catches_up_after_a_stop() {
        // The RTC has gone on for an hour, the TSC for a minute.
        let rtc = reading(3600, 60 * TICKS);
        let date = BOOT.advanced_to(rtc);
        assert_eq!(BOOT.at(60 * TICKS), START + 59);
        assert_eq!(BOOT.behind(rtc), 3541 * TICKS - TICKS / 2);
        assert_eq!(date.at(60 * TICKS), START + 3600);
        assert_eq!(date.at(61 * TICKS), START + 3601);
        // The next minute changes nothing more.
        assert_eq!(date.advanced_to(reading(3660, 120 * TICKS)), date);
        assert_eq!(date.behind(reading(3660, 120 * TICKS)), 0);
    }

    #[test]
    fn the_date_never_goes_backwards() {
        // An RTC that was set back by more than a minute.
        let past = Epoch::new(0, 60 * TICKS);
        assert_eq!(BOOT.advanced_to(past), BOOT);
        assert_eq!(BOOT.advanced_to(reading(0, 61 * TICKS)), BOOT);
        // Over any series of readings, ahead or behind.
        let (mut date, mut last) = (BOOT, START);
        for (uptime, after) in [(1, 1), (2, 1), (3, 900), (4, 880), (5, 901), (6, 903), (7, 0), (8, 850)] {
            for part in [0, 1, TICKS / 2, TICKS - 1] {
                let uptime = uptime * TICKS + part;
                date = date.advanced_to(reading(after, uptime));
                assert!(date.at(uptime) >= last, "{uptime}");
                last = date.at(uptime);
            }
        }
    }

    #[test]
    fn the_date_comes_closer_to_the_second_s_edge() {
        // Read at boot 0.9 s after the RTC's second had begun; a minute later, 0.1 s after.
        let later = TICKS / 2 + 59 * TICKS + 200_000;
        let date = BOOT.advanced_to(reading(60, later));
        assert_eq!(date.at(later), START + 60);
        // A reading late in its second does not undo that.
        assert_eq!(date.advanced_to(reading(60, later + 900_000)), date);
    }

    #[test]
    fn a_second_after_the_start_the_edge_is_found() {
        for phase in (0..TICKS).step_by(1001) {
            // The RTC's second had begun that long before the first reading, at uptime 0.
            let rtc = |uptime: u64| Epoch::new((START + (phase + uptime) / TICKS) * TICKS, uptime);
            let (date, uptime, waits) = (Cell::new(rtc(0)), Cell::new(0), Cell::new(0));
            let wait = async || {
                uptime.set(uptime.get() + EDGE_INTERVAL);
                waits.set(waits.get() + 1);
            };
            let follow = || {
                let (before, reading) = (date.get(), rtc(uptime.get()));
                date.set(before.advanced_to(reading));
                before.behind(reading)
            };
            block_on(find_edge(wait, follow));
            let (truth, shown) = (START * TICKS + phase + 9 * TICKS, date.get().micros_at(9 * TICKS));
            assert!(
                shown <= truth && truth - shown <= EDGE_INTERVAL,
                "{phase}: {}",
                truth - shown
            );
            assert!(waits.get() <= 51, "{phase}: {}", waits.get());
        }
    }

    #[test]
    fn a_tsc_that_runs_fast_does_not_carry_the_date_away() {
        // It counts two seconds in one, and the clock is read every ten of its seconds.
        let (mut date, mut last) = (BOOT, START);
        for round in 1..1000 {
            let (uptime, truth) = (10 * round * TICKS, 5 * round);
            date = date.advanced_to(reading(truth, uptime));
            let shown = date.at(uptime);
            assert!(shown >= last && shown <= START + truth + 10, "{round}: {shown}");
            last = shown;
        }
    }
}
