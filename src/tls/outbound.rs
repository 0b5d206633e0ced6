//! The sending side: from handshake messages and data to records.

use super::alert::{self, AlertDescription};
use super::codec::Writer;
use super::error::Error;
use super::msg::{self, KEY_UPDATE};
use super::record::{ContentType, HEADER_LEN, Header, MAX_PLAINTEXT, OVERHEAD, RecordKey};

/// The smallest outbound buffer, in bytes. It has to take a whole flight of the handshake, which is checked when the
/// connection is made: see [`super::config::ServerConfig::flight_len`].
pub const MIN_OUTBOUND: usize = 1024;

/// Kept free for what must always find room: a KeyUpdate and an alert, both protected.
const RESERVE: usize = 2 * (HEADER_LEN + OVERHEAD) + 5 + 2;

/// The outbound buffer: records that wait to be sent.
///
/// `start <= end <= buffer.len()`
pub(crate) struct Outbound<'b> {
    buffer: &'b mut [u8],
    start: usize,
    end: usize,
    key: Option<RecordKey>,
    /// The most content in a record.
    max_fragment: usize,
    /// close_notify or a fatal alert has been queued: nothing may follow.
    closed: bool,
}

impl<'b> Outbound<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            start: 0,
            end: 0,
            key: None,
            max_fragment: MAX_PLAINTEXT,
            closed: false,
        }
    }

    /// The records that wait to be sent.
    pub(crate) fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Notes that `count` bytes of [`Outbound::pending`] have been sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Whether nothing more may be written.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Uses `key` from the next record on.
    pub(crate) fn set_key(&mut self, key: RecordKey) {
        self.key = Some(key);
    }

    /// Queues handshake messages, written by `write`, as few records as they fit in. Returns what `write` does.
    pub(crate) fn handshake<R>(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<R, Error>) -> Result<R, Error> {
        let start = self.end + HEADER_LEN;
        let space = self.buffer.get_mut(start..).unwrap_or_default();
        let mut writer = Writer::new(space);
        let result = write(&mut writer)?;
        let length = writer.len();
        self.seal_all(ContentType::Handshake, length)?;
        Ok(result)
    }

    /// Queues the change_cipher_spec of the middlebox compatibility mode (RFC 8446 §D.4).
    pub(crate) fn change_cipher_spec(&mut self) -> Result<(), Error> {
        let record = self
            .buffer
            .get_mut(self.end..self.end + HEADER_LEN + 1)
            .ok_or(NO_SPACE)?;
        let (header, content) = record.split_at_mut(HEADER_LEN);
        header.copy_from_slice(&Header::emit(ContentType::ChangeCipherSpec, 1));
        content.copy_from_slice(&[1]);
        self.end += HEADER_LEN + 1;
        Ok(())
    }

    /// Queues as much of `data` as fits into one record and the buffer, and returns how much that was; 0 when
    /// something has to be sent first.
    pub(crate) fn data(&mut self, data: &[u8]) -> Result<usize, Error> {
        if self.key.as_ref().is_some_and(RecordKey::exhausted) {
            // RFC 8446 §5.5: before the limit, not after it.
            if !self.has_room_for_key_update() {
                return Ok(0);
            }
            self.key_update()?;
        }
        let length = data
            .len()
            .min(self.max_fragment)
            .min(self.room().saturating_sub(HEADER_LEN + OVERHEAD));
        // Part of a record while a whole one would fit an emptied buffer is waste.
        if length == 0 || (self.end > 0 && length < data.len().min(self.max_fragment)) {
            return Ok(0);
        }
        let start = self.end + HEADER_LEN;
        let space = self.buffer.get_mut(start..start + length).ok_or(NO_SPACE)?;
        space.copy_from_slice(data.get(..length).ok_or(NO_SPACE)?);
        self.seal_all(ContentType::ApplicationData, length)?;
        Ok(length)
    }

    /// Whether a KeyUpdate finds room and leaves the reserve for an alert.
    pub(crate) fn has_room_for_key_update(&self) -> bool {
        self.buffer.len().saturating_sub(self.end) >= RESERVE
    }

    /// Queues a KeyUpdate that asks for none in return, and changes to the next key (RFC 8446 §4.6.3).
    pub(crate) fn key_update(&mut self) -> Result<(), Error> {
        const UPDATE_NOT_REQUESTED: u8 = 0;
        self.handshake(|writer| {
            msg::emit(writer, KEY_UPDATE, |writer| writer.u8(UPDATE_NOT_REQUESTED)).map_err(|_| NO_SPACE)
        })?;
        let next = self
            .key
            .as_ref()
            .ok_or(Error::Internal("no key to update"))?
            .next_generation()?;
        self.key = Some(next);
        Ok(())
    }

    /// Queues an alert and closes this side. Nothing happens when it is closed already.
    pub(crate) fn alert(&mut self, description: AlertDescription) {
        if self.closed {
            return;
        }
        self.closed = true;
        let start = self.end + HEADER_LEN;
        if let Some(content) = self.buffer.get_mut(start..start + 2) {
            content.copy_from_slice(&[alert::level(description), description.0]);
            // The reserve makes room for it; without it the peer would have to do without.
            let _ = self.seal_all(ContentType::Alert, 2);
        }
    }

    /// Closes this side without a word.
    pub(crate) fn close_silently(&mut self) {
        self.closed = true;
    }

    /// What application data may use of the buffer now.
    fn room(&self) -> usize {
        self.buffer.len().saturating_sub(self.end + RESERVE)
    }

    /// Makes records of the content that stands at `end + HEADER_LEN`. Where it is too long for one record the later
    /// fragments first move back to where they will stand, then each is protected in order.
    fn seal_all(&mut self, content: ContentType, length: usize) -> Result<(), Error> {
        let overhead = HEADER_LEN + if self.key.is_some() { OVERHEAD } else { 0 };
        let fragment = self.max_fragment;
        let count = length.div_ceil(fragment).max(1);
        let first = self.end;
        if first + count * overhead + length > self.buffer.len() {
            return Err(NO_SPACE);
        }
        for index in (1..count).rev() {
            let from = first + HEADER_LEN + index * fragment;
            let size = fragment.min(length - index * fragment);
            self.buffer
                .copy_within(from..from + size, first + index * (fragment + overhead) + HEADER_LEN);
        }
        for index in 0..count {
            let size = fragment.min(length - index * fragment);
            let record = self.buffer.get_mut(self.end..).ok_or(NO_SPACE)?;
            self.end += match &mut self.key {
                Some(key) => key.seal(content, size, record)?,
                None => {
                    let header = Header::emit(content, size);
                    record.get_mut(..HEADER_LEN).ok_or(NO_SPACE)?.copy_from_slice(&header);
                    HEADER_LEN + size
                }
            };
        }
        Ok(())
    }
}

/// The buffer was smaller than a flight, which is checked when the connection is made.
const NO_SPACE: Error = Error::Internal("outbound buffer too small");
