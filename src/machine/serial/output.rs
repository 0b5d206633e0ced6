//! The output queue of the serial port: whole lines, and a count of dropped ones.

use core::fmt::Write as _;
use heapless::String;

/// Bytes of a session's output that may wait at a time. The rest of the buffer belongs to the log.
const SESSION_SHARE: usize = 256;
/// Bytes of the longest marker.
const MARKER: usize = 64;

/// Bytes that may wait before there is a larger buffer.
const EARLY: usize = 1024;

/// A queue of bytes. Log lines that find no room are dropped whole and counted; a session waits instead.
pub(super) struct Output {
    early: [u8; EARLY],
    /// In place of `early`, once there is one.
    buffer: Option<&'static mut [u8]>,
    /// Where in the buffer the oldest byte is.
    start: usize,
    len: usize,
    /// Lines dropped since boot.
    dropped: u64,
    /// Of these, the ones that no marker stands for yet.
    unmarked: u64,
    /// Bytes ever sent.
    sent: u64,
    /// `sent` as it will be after the last byte of a session.
    session_end: u64,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self {
            early: [0; EARLY],
            buffer: None,
            start: 0,
            len: 0,
            dropped: 0,
            unmarked: 0,
            sent: 0,
            session_end: 0,
        }
    }

    /// Uses `buffer` from now on, which is larger than the one so far.
    pub(super) fn set_buffer(&mut self, buffer: &'static mut [u8]) {
        debug_assert!(buffer.len() >= EARLY);
        for (at, place) in buffer.iter_mut().take(self.len).enumerate() {
            let from = (self.start + at) % EARLY;
            *place = self.early.get(from).copied().unwrap_or(0);
        }
        (self.start, self.buffer) = (0, Some(buffer));
    }

    /// Lines dropped since boot.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Queues each line of `text`, its newline as CR LF. After a line was dropped, all are until half of the buffer is
    /// free, so that one marker stands for many lines.
    pub(super) fn push(&mut self, text: &[u8]) {
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            let (line, end): (_, &[u8]) = match line.strip_suffix(b"\n") {
                Some(line) => (line, b"\r\n"),
                None => (line, b""),
            };
            if self.unmarked > 0 || line.len() + end.len() > self.room() {
                self.dropped += 1;
                self.unmarked += 1;
            } else {
                self.extend(line);
                self.extend(end);
            }
        }
    }

    /// Queues the front of a session's output, once its last was sent. Returns how much of it.
    pub(super) fn push_session(&mut self, bytes: &[u8]) -> usize {
        if self.sent < self.session_end {
            return 0;
        }
        let count = bytes.len().min(SESSION_SHARE).min(self.room());
        self.extend(bytes.get(..count).unwrap_or_default());
        if count > 0 {
            self.session_end = self.sent + self.len as u64;
        }
        count
    }

    /// Offers the oldest bytes to `port` once, which returns how many it has taken. Returns that.
    pub(super) fn send(&mut self, port: impl FnOnce(&[u8]) -> usize) -> usize {
        let (start, len) = (self.start, self.len);
        let space = self.space();
        let front = space.get(start..space.len().min(start + len)).unwrap_or_default();
        let count = port(front).min(front.len());
        self.start = (start + count) % space.len().max(1);
        self.len -= count;
        self.sent += count as u64;
        if self.unmarked > 0 && self.room() >= self.len {
            let mut marker = String::<MARKER>::new();
            let lines = if self.unmarked == 1 { "line" } else { "lines" };
            // A count of 20 digits fits.
            let _ = write!(marker, "[console: {} {lines} dropped]\r\n", self.unmarked);
            self.extend(marker.as_bytes());
            self.unmarked = 0;
        }
        count
    }

    fn space(&mut self) -> &mut [u8] {
        self.buffer.as_deref_mut().unwrap_or(&mut self.early)
    }

    fn room(&mut self) -> usize {
        self.space().len() - self.len
    }

    /// Appends what was found to fit.
    fn extend(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let (start, len) = (self.start, self.len);
            let space = self.space();
            if let Some(place) = space.get_mut((start + len) % space.len().max(1)) {
                *place = byte;
                self.len += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests;
