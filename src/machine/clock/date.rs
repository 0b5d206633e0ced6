//! The date as a reading of the RTC and the uptime since.

use super::TICKS;

/// A date, and the uptime at which it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Epoch {
    /// Seconds since 1970.
    pub(super) seconds: u64,
    /// In ticks.
    pub(super) uptime: u64,
}

impl Epoch {
    /// The date at `uptime`, in seconds since 1970.
    pub(super) fn at(self, uptime: u64) -> u64 {
        self.seconds + uptime.saturating_sub(self.uptime) / TICKS
    }

    /// A later reading of the RTC where it is ahead of this date; else this date, which so never goes backwards.
    ///
    /// The seconds of the RTC begin at any moment, and a reading is up to a second behind: each one that is ahead also
    /// brings the date closer to the second's edge.
    pub(super) fn advanced_to(self, reading: Self) -> Self {
        if reading.seconds > self.at(reading.uptime) {
            reading
        } else {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOT: Epoch = Epoch {
        seconds: 1_800_000_000,
        uptime: 500_000,
    };

    fn reading(after: u64, uptime: u64) -> Epoch {
        Epoch {
            seconds: BOOT.seconds + after,
            uptime,
        }
    }

    #[test]
    fn the_date_catches_up_after_a_stop() {
        // The RTC has gone on for an hour, the TSC for a minute.
        let rtc = reading(3600, 60 * TICKS);
        let date = BOOT.advanced_to(rtc);
        assert_eq!(BOOT.at(60 * TICKS), BOOT.seconds + 59);
        assert_eq!(date.at(60 * TICKS), BOOT.seconds + 3600);
        assert_eq!(date.at(61 * TICKS), BOOT.seconds + 3601);
        // The next minute changes nothing more.
        assert_eq!(date.advanced_to(reading(3660, 120 * TICKS)), date);
    }

    #[test]
    fn the_date_never_goes_backwards() {
        for after in [0, 30, 58, 59] {
            assert_eq!(BOOT.advanced_to(reading(after, 60 * TICKS)), BOOT);
        }
        let past = Epoch {
            seconds: 0,
            uptime: 60 * TICKS,
        };
        assert_eq!(BOOT.advanced_to(past), BOOT);
        // Over any series of readings, ahead or behind.
        let (mut date, mut last) = (BOOT, BOOT.seconds);
        for (uptime, after) in [(1, 1), (2, 1), (3, 900), (4, 2), (5, 901), (6, 903), (7, 0)] {
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
        let date = BOOT.advanced_to(reading(60, BOOT.uptime + 59 * TICKS + 200_000));
        assert_eq!(date.at(BOOT.uptime + 59 * TICKS + 200_000), BOOT.seconds + 60);
    }
}
