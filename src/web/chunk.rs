//! A part of a page, made while the page is sent.

use core::fmt::Write as _;

/// The content of one chunk, in bytes. With its frame it goes out in one record.
pub(super) const CHUNK: usize = 2048;
/// The frame of a chunk: its length in four digits, two ends of line.
const FRAME: usize = 4 + 2 + 2;

/// Takes up a part of what is written into it: so many bytes are passed over, then as many are kept as fit.
pub(super) struct Chunk {
    /// With room for the frame at both ends.
    bytes: heapless::Vec<u8, { CHUNK + FRAME }>,
    skip: usize,
    /// There was more than fits.
    pub(super) over: bool,
}

impl Chunk {
    pub(super) fn new() -> Self {
        let mut bytes = heapless::Vec::new();
        // There is room.
        let _ = bytes.extend_from_slice(b"0000\r\n");
        Self {
            bytes,
            skip: 0,
            over: false,
        }
    }

    /// How many bytes are kept so far.
    pub(super) fn len(&self) -> usize {
        self.bytes.len().saturating_sub(6)
    }

    /// Passes over so many bytes of what is written next.
    pub(super) fn skip(&mut self, count: usize) {
        self.skip = count;
    }

    /// The chunk with its frame (RFC 9112 §7.1), or without; nothing if nothing is kept.
    pub(super) fn framed(&mut self, framed: bool) -> &[u8] {
        let length = self.len();
        if length == 0 || !framed {
            return self.bytes.get(6..).unwrap_or_default();
        }
        let mut digits = heapless::String::<8>::new();
        let _ = write!(digits, "{length:04x}");
        for (to, from) in self.bytes.iter_mut().zip(digits.bytes()) {
            *to = from;
        }
        let _ = self.bytes.extend_from_slice(b"\r\n");
        &self.bytes
    }
}

impl core::fmt::Write for Chunk {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let bytes = text.as_bytes();
        let Some(kept) = bytes.get(self.skip..) else {
            self.skip = self.skip.saturating_sub(bytes.len());
            return Ok(());
        };
        self.skip = 0;
        let room = CHUNK.saturating_sub(self.len());
        let fits = kept.get(..room.min(kept.len())).unwrap_or_default();
        let _ = self.bytes.extend_from_slice(fits);
        if fits.len() < kept.len() {
            // The formatter need not go on.
            self.over = true;
            return Err(core::fmt::Error);
        }
        Ok(())
    }
}
