//! Reading and writing the presentation language of TLS (RFC 8446 §3).

use super::error::{Error, InvalidMessage};

/// A cursor over the bytes of one structure, whose name goes into the errors.
#[derive(Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    /// Reads a whole structure: `read` must consume all of it.
    pub(crate) fn all<T, E: From<InvalidMessage>>(
        bytes: &'a [u8],
        what: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut reader = Self::new(bytes, what);
        let whole = read(&mut reader)?;
        if !reader.is_empty() {
            return Err(InvalidMessage::TrailingData(what).into());
        }
        Ok(whole)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes that have not been read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// The next `count` bytes.
    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8], InvalidMessage> {
        let (head, tail) = self
            .bytes
            .split_at_checked(count)
            .ok_or(InvalidMessage::MissingData(self.what))?;
        self.bytes = tail;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<&'a [u8; N], InvalidMessage> {
        let (head, tail) = self
            .bytes
            .split_first_chunk()
            .ok_or(InvalidMessage::MissingData(self.what))?;
        self.bytes = tail;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, InvalidMessage> {
        Ok(u8::from_be_bytes(*self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16, InvalidMessage> {
        Ok(u16::from_be_bytes(*self.array()?))
    }

    pub(crate) fn u24(&mut self) -> Result<usize, InvalidMessage> {
        let &[high, middle, low] = self.array()?;
        Ok(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    /// A vector with a length of one byte.
    pub(crate) fn vector8(&mut self) -> Result<&'a [u8], InvalidMessage> {
        let length = self.u8()?;
        self.take(length.into())
    }

    /// A vector with a length of two bytes.
    pub(crate) fn vector16(&mut self) -> Result<&'a [u8], InvalidMessage> {
        let length = self.u16()?;
        self.take(length.into())
    }

    /// A vector with a length of three bytes.
    pub(crate) fn vector24(&mut self) -> Result<&'a [u8], InvalidMessage> {
        let length = self.u24()?;
        self.take(length)
    }
}

/// A non-empty list of 16-bit numbers, checked when it was parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct U16List<'a>(&'a [u8]);

impl<'a> U16List<'a> {
    /// Parses the body of a vector, which must hold at least one number and no trailing byte.
    pub(crate) fn parse(bytes: &'a [u8], what: &'static str) -> Result<Self, InvalidMessage> {
        if bytes.is_empty() || !bytes.len().is_multiple_of(2) {
            return Err(InvalidMessage::IllegalValue(what));
        }
        Ok(Self(bytes))
    }

    /// The numbers.
    pub fn iter(self) -> impl Iterator<Item = u16> + 'a {
        self.0.as_chunks::<2>().0.iter().map(|&pair| u16::from_be_bytes(pair))
    }

    /// The list as on the wire, without its length.
    pub(crate) fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether `number` is in the list.
    pub fn contains(self, number: u16) -> bool {
        self.iter().any(|other| other == number)
    }
}

/// The buffer is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

/// A cursor that writes into a buffer, or only counts.
pub(crate) struct Writer<'a> {
    /// `None` for a writer that only counts.
    buffer: Option<&'a mut [u8]>,
    length: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self {
            buffer: Some(buffer),
            length: 0,
        }
    }

    /// The number of bytes that `write` writes, even if a vector is too long for its length field.
    pub(crate) fn count(write: impl FnOnce(&mut Self) -> Result<(), Full>) -> usize {
        let mut writer = Self {
            buffer: None,
            length: 0,
        };
        match write(&mut writer) {
            Ok(()) => writer.length,
            Err(Full) => usize::MAX,
        }
    }

    /// The number of bytes written.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    /// The bytes written from position `start` on.
    ///
    /// # Errors
    /// If fewer bytes have been written: the result goes into transcripts, which must not hash anything else.
    pub(crate) fn since(&self, start: usize) -> Result<&[u8], Error> {
        let buffer = self.buffer.as_deref().unwrap_or_default();
        buffer
            .get(start..self.length)
            .ok_or(Error::Internal("position beyond what was written"))
    }

    /// Everything written so far.
    pub(crate) fn finish(self) -> &'a [u8] {
        let buffer = self.buffer.map(|buffer| &*buffer).unwrap_or_default();
        buffer.get(..self.length).unwrap_or_default()
    }

    /// Everything written so far, mutably.
    pub(crate) fn written_mut(&mut self) -> &mut [u8] {
        let buffer = self.buffer.as_deref_mut().unwrap_or_default();
        buffer.get_mut(..self.length).unwrap_or_default()
    }

    /// Discards everything written from position `length` on.
    pub(crate) fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let end = self.length.checked_add(bytes.len()).ok_or(Full)?;
        self.put(self.length..end, bytes)?;
        self.length = end;
        Ok(())
    }

    /// Overwrites `range` with `bytes`, which have the same length.
    fn put(&mut self, range: core::ops::Range<usize>, bytes: &[u8]) -> Result<(), Full> {
        if let Some(buffer) = &mut self.buffer {
            buffer.get_mut(range).ok_or(Full)?.copy_from_slice(bytes);
        }
        Ok(())
    }

    pub(crate) fn u8(&mut self, number: u8) -> Result<(), Full> {
        self.bytes(&[number])
    }

    pub(crate) fn u16(&mut self, number: u16) -> Result<(), Full> {
        self.bytes(&number.to_be_bytes())
    }

    /// A vector with a length of one byte, whose content `body` writes.
    pub(crate) fn nested8(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        self.nested(1, body)
    }

    /// A vector with a length of two bytes, whose content `body` writes.
    pub(crate) fn nested16(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        self.nested(2, body)
    }

    /// A vector with a length of three bytes, whose content `body` writes.
    pub(crate) fn nested24(&mut self, body: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        self.nested(3, body)
    }

    fn nested(&mut self, width: usize, body: impl FnOnce(&mut Self) -> Result<(), Full>) -> Result<(), Full> {
        let at = self.length;
        self.bytes([0; 3].get(..width).ok_or(Full)?)?;
        let start = self.length;
        body(self)?;
        let length = self.length.checked_sub(start).ok_or(Full)?.to_be_bytes();
        let (high, low) = length.split_at(length.len().saturating_sub(width));
        if self.buffer.is_some() && high.iter().any(|&byte| byte != 0) {
            return Err(Full);
        }
        self.put(at..start, low)
    }
}

#[cfg(test)]
mod tests;
