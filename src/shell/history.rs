//! The lines typed before, in a bounded buffer.

/// Bytes of history, one more a line.
const CAPACITY: usize = 1024;

/// Past lines, oldest first, each ended by a line feed, which no line contains.
pub(super) struct History {
    bytes: heapless::Vec<u8, CAPACITY>,
}

impl History {
    pub(super) const fn new() -> Self {
        History {
            bytes: heapless::Vec::new(),
        }
    }

    /// Remembers a line; a repetition of the last is not. The oldest make room.
    pub(super) fn push(&mut self, line: &str) {
        let needed = line.len() + 1;
        if line.trim().is_empty() || needed > CAPACITY || self.back(0) == Some(line) {
            return;
        }
        while CAPACITY - self.bytes.len() < needed {
            let oldest = self
                .bytes
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(self.bytes.len(), |at| at + 1);
            let kept = self.bytes.len() - oldest;
            self.bytes.copy_within(oldest.., 0);
            self.bytes.truncate(kept);
        }
        // It fits: room was made above.
        let _ = self.bytes.extend_from_slice(line.as_bytes());
        let _ = self.bytes.push(b'\n');
    }

    /// The line `back` before the last.
    pub(super) fn back(&self, back: usize) -> Option<&str> {
        let text = core::str::from_utf8(&self.bytes).ok()?;
        text.strip_suffix('\n')?.rsplit('\n').nth(back)
    }
}

#[cfg(test)]
mod tests;
