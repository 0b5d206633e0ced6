//! A ring of log lines with their numbers.

use super::{Level, LogLine, MAX_LINE};
use embassy_time::Duration;
use heapless::{Deque, String, Vec};

/// A line on its way into a ring.
pub(super) struct Record<'a> {
    pub(super) number: u64,
    /// In microseconds.
    pub(super) uptime: u64,
    pub(super) level: Level,
    pub(super) text: &'a str,
}

/// Lines one after the other, their numbers rising: number (8 bytes), uptime in microseconds (8), level (1), length (2),
/// text.
pub(super) struct Ring<const N: usize> {
    bytes: Deque<u8, N>,
}

const HEADER: usize = 19;

impl<const N: usize> Ring<N> {
    pub(super) const fn new() -> Self {
        const { assert!(N >= HEADER + MAX_LINE) };
        Self { bytes: Deque::new() }
    }

    /// Whether a line fits beside the present ones.
    pub(super) fn fits(&self, record: &Record<'_>) -> bool {
        HEADER + record.text.len() <= N - self.bytes.len()
    }

    /// Adds a line, for which the oldest make room.
    pub(super) fn push(&mut self, record: &Record<'_>) {
        while !self.fits(record) && !self.bytes.is_empty() {
            for _ in 0..self.size_at(0) {
                self.bytes.pop_front();
            }
        }
        let [low, high] = (record.text.len() as u16).to_le_bytes();
        let header = [record.number.to_le_bytes(), record.uptime.to_le_bytes()];
        let header = header.into_iter().flatten().chain([record.level as u8, low, high]);
        for byte in header.chain(record.text.bytes()) {
            // There is room now.
            let _ = self.bytes.push_back(byte);
        }
    }

    /// The number of the oldest line with number `number` or above.
    pub(super) fn number_from(&self, number: u64) -> Option<u64> {
        self.find(number).map(|at| self.number_at(at))
    }

    /// The line with that number.
    pub(super) fn read(&self, number: u64) -> Option<LogLine> {
        let start = self.find(number).filter(|&at| self.number_at(at) == number)?;
        let mut text = Vec::<u8, MAX_LINE>::new();
        text.extend(
            (start + HEADER..start + self.size_at(start))
                .map(|at| self.byte(at))
                .take(MAX_LINE),
        );
        let level = self.byte(start + 16);
        Some(LogLine {
            number,
            missed: 0,
            uptime: Duration::from_micros(self.word(start + 8)),
            level: Level::iter().find(|&known| known as u8 == level)?,
            // Whole lines of text went in.
            text: String::from_utf8(text).ok()?,
        })
    }

    /// Where the oldest line with number `number` or above begins.
    fn find(&self, number: u64) -> Option<usize> {
        let mut at = 0;
        while at < self.bytes.len() {
            if self.number_at(at) >= number {
                return Some(at);
            }
            at += self.size_at(at);
        }
        None
    }

    fn number_at(&self, at: usize) -> u64 {
        self.word(at)
    }

    /// The size of the line that begins at `at`.
    fn size_at(&self, at: usize) -> usize {
        HEADER + usize::from(u16::from_le_bytes([self.byte(at + 17), self.byte(at + 18)]))
    }

    fn word(&self, at: usize) -> u64 {
        u64::from_le_bytes(core::array::from_fn(|offset| self.byte(at + offset)))
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }
}
