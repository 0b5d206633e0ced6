//! The real-time clock of the PC (MC146818): a date from eight registers.

use core::fmt;
use core::time::Duration;
use der::DateTime;
use x86_64::instructions::port::Port;

/// Seconds since 1970 by the RTC, or `None` where there is none or it holds no date. `century`: the register that
/// holds the century, or 0.
pub fn read(century: u8) -> Option<u64> {
    // A second reading must be the same, lest the clock was on the move; a clock moves once a second.
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let reading = Registers::read(century)?;
        if last == Some(reading) {
            return reading.decode();
        }
        last = Some(reading);
    }
    None
}

/// A date and time in UTC, displayed like `2024-02-29 23:34:56`.
pub struct Date(DateTime);

impl Date {
    /// The date at `seconds` since 1970, or the last of the year 9999.
    pub fn of(seconds: u64) -> Self {
        Self(DateTime::from_unix_duration(Duration::from_secs(seconds)).unwrap_or(DateTime::INFINITY))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(date) = self;
        write!(f, "{:04}-{:02}-{:02} ", date.year(), date.month(), date.day())?;
        write!(f, "{:02}:{:02}:{:02}", date.hour(), date.minutes(), date.seconds())
    }
}

/// How often to look for two readings that agree.
const ATTEMPTS: u32 = 8;
/// How often to look whether an update has ended; it takes 2 ms at the most, and a look about a microsecond.
const UPDATE_POLLS: u32 = 10_000;
/// Register A: an update is in progress.
const UPDATING: u8 = 0x80;
/// Register B: 24 hours rather than 12.
const HOURS_24: u8 = 0x02;
/// Register B: binary rather than BCD.
const BINARY: u8 = 0x04;
/// The hours register, with 12 hours: afternoon.
const AFTERNOON: u8 = 0x80;

/// The contents of the registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Registers {
    second: u8,
    minute: u8,
    hour: u8,
    day: u8,
    month: u8,
    year: u8,
    century: Option<u8>,
    status_b: u8,
}

impl Registers {
    fn read(century: u8) -> Option<Self> {
        // Such a divider (bits 4 to 6) keeps the clock from running: there is none.
        if cmos(0x0a) == 0xff {
            return None;
        }
        let mut polls = UPDATE_POLLS;
        while cmos(0x0a) & UPDATING != 0 {
            polls -= 1;
            if polls == 0 {
                return None;
            }
        }
        Some(Self {
            second: cmos(0x00),
            minute: cmos(0x02),
            hour: cmos(0x04),
            day: cmos(0x07),
            month: cmos(0x08),
            year: cmos(0x09),
            century: (century != 0).then(|| cmos(century & 0x7f)),
            status_b: cmos(0x0b),
        })
    }

    fn decode(&self) -> Option<u64> {
        let number = |value: u8| {
            if self.status_b & BINARY != 0 {
                return Some(value);
            }
            (value >> 4 <= 9 && value & 15 <= 9).then_some(10 * (value >> 4) + (value & 15))
        };
        let hour = if self.status_b & HOURS_24 != 0 {
            number(self.hour)?
        } else {
            let hour = number(self.hour & !AFTERNOON).filter(|hour| (1..=12).contains(hour))?;
            hour % 12 + if self.hour & AFTERNOON != 0 { 12 } else { 0 }
        };
        // A register without a plausible century: it is this one. A clock of the last century is wrong, and has to be
        // recognised as such.
        let century = self
            .century
            .and_then(number)
            .filter(|century| (19..=21).contains(century))
            .unwrap_or(20);
        let date = DateTime::new(
            100 * u16::from(century) + u16::from(number(self.year).filter(|&year| year < 100)?),
            number(self.month)?,
            number(self.day)?,
            hour,
            number(self.minute)?,
            number(self.second)?,
        );
        Some(date.ok()?.unix_duration().as_secs())
    }
}

fn cmos(register: u8) -> u8 {
    // SAFETY: the PC's RTC; reading registers 0 to 0x7f changes nothing that matters. Bit 7 clear: NMI stays enabled.
    unsafe {
        Port::<u8>::new(0x70).write(register);
        Port::<u8>::new(0x71).read()
    }
}

#[cfg(test)]
mod tests;
