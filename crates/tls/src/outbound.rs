//! The sending direction: from handshake messages and data to records.

use core::ops::Range;

use super::alert::{self, AlertDescription};
use super::codec::Writer;
use super::error::{Error, Misuse};
use super::flight::Flight;
use super::link::Link;
use super::msg::{Emit, KeyUpdate};
use super::record::{HEADER_LEN, Header, MAX_OVERHEAD, MAX_PLAINTEXT, RecordKey};
use super::registry::ContentType;
use super::schedule::TrafficSecret;
use super::trace::{self, DATA_SHOWN, Tracer};
use super::transcript::Transcript;

/// The smallest outbound buffer, in bytes. It must also hold a whole flight of the handshake, which is checked when the
/// connection is created: see [`super::config::ServerConfig::flight_len`].
pub const MIN_OUTBOUND: usize = 1024;

/// The space reserved for a KeyUpdate and two alerts, protected.
pub(crate) const RESERVE: usize = 3 * (HEADER_LEN + MAX_OVERHEAD) + 5 + 2 + 2;

/// The outbound buffer: records to be sent.
///
/// `start <= end <= buffer.len()`
pub(crate) struct Outbound<'b> {
    buffer: &'b mut [u8],
    start: usize,
    end: usize,
    key: Option<RecordKey>,
    /// The most content in a record.
    max_fragment: usize,
    /// Whether the next message is an initial ClientHello, whose records have another version.
    initial: bool,
    /// The start of the stored handshake messages, which end at the end of the buffer; `None` if none are stored.
    kept: Option<usize>,
    /// Whether close_notify or a fatal alert has been queued: nothing may follow.
    closed: bool,
    trace: Option<Tracer<'b>>,
}

impl<'b> Outbound<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            start: 0,
            end: 0,
            key: None,
            max_fragment: MAX_PLAINTEXT,
            initial: false,
            kept: None,
            closed: false,
            trace: None,
        }
    }

    /// Reports everything queued from now on to `trace`.
    pub(crate) fn set_trace(&mut self, trace: Option<Tracer<'b>>) {
        self.trace = trace;
    }

    /// The records to be sent.
    pub(crate) fn pending(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// Marks the first `count` bytes of [`Outbound::pending`] as sent.
    pub(crate) fn sent(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        }
    }

    /// Limits the content of later records to `content` bytes.
    pub(crate) fn limit_fragments(&mut self, content: usize) {
        self.max_fragment = self.max_fragment.min(content.max(1));
    }

    /// Uses the key of `secret` from the next record on.
    // Expanding a key needs kilobytes of stack, separate from the rest of a handshake.
    #[inline(never)]
    pub(crate) fn set_key(&mut self, secret: TrafficSecret) -> Result<(), Error> {
        self.key = Some(RecordKey::new(secret)?);
        Ok(())
    }

    #[cfg(feature = "tls12")]
    /// Uses a key of TLS 1.2 from the next record on.
    #[inline(never)] // as above
    pub(crate) fn set_tls12_key(&mut self, key: &super::record::PendingKey) -> Result<(), Error> {
        self.key = Some(RecordKey::new_tls12(key)?);
        Ok(())
    }

    /// Queues a flight in as few records as possible, and adds its messages to `transcript`. Returns what `write` does.
    pub(crate) fn flight<R>(
        &mut self,
        transcript: &mut Transcript,
        write: impl FnOnce(&mut Flight<'_, '_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let trace = self.trace;
        self.handshake(|writer| write(&mut Flight::new(writer, Some(transcript), trace)))
    }

    /// Queues a message after the handshake, which is in no transcript.
    pub(crate) fn message(&mut self, message: &impl Emit) -> Result<(), Error> {
        let trace = self.trace;
        self.handshake(|writer| Flight::new(writer, None, trace).add(message))
    }

    /// Queues an initial ClientHello.
    pub(crate) fn initial_hello<R>(
        &mut self,
        transcript: &mut Transcript,
        write: impl FnOnce(&mut Flight<'_, '_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        self.initial = true;
        let result = self.flight(transcript, write);
        self.initial = false;
        result
    }

    /// Stores the handshake messages from now on, sent and received, at the end of the buffer: a CertificateVerify of TLS 1.2
    /// signs them (RFC 5246 §7.4.8), with some schemes not by a hash. They are dropped if records need their room.
    pub(crate) fn keep_messages(&mut self) {
        self.kept = Some(self.buffer.len());
    }

    /// Drops the stored messages.
    pub(crate) fn forget_messages(&mut self) {
        self.kept = None;
    }

    /// Stores a received message.
    pub(crate) fn keep_received(&mut self, message: &[u8]) {
        let Some(place) = self.make_room_to_keep(message.len(), self.end.saturating_add(RESERVE)) else {
            return;
        };
        match self.buffer.get_mut(place) {
            Some(space) => space.copy_from_slice(message),
            None => self.kept = None,
        }
    }

    /// All handshake messages so far, if they are stored and had room.
    pub(crate) fn kept_messages(&self) -> Option<&[u8]> {
        self.buffer.get(self.kept?..)
    }

    /// Whether messages of `length` bytes fit as records, and as stored messages too.
    pub(crate) fn could_keep(&self, length: usize) -> bool {
        let records = length.div_ceil(self.max_fragment).saturating_add(1);
        let overhead = records.saturating_mul(HEADER_LEN + MAX_OVERHEAD);
        let taken = length
            .saturating_mul(2)
            .saturating_add(overhead)
            .saturating_add(RESERVE);
        self.kept.is_some_and(|kept| self.end.saturating_add(taken) <= kept)
    }

    /// The range at which to store a message of `length` bytes; all are dropped if it would begin below `least`.
    fn make_room_to_keep(&mut self, length: usize, least: usize) -> Option<Range<usize>> {
        let kept = self.kept.take()?;
        let start = kept.checked_sub(length).filter(|start| *start >= least)?;
        self.buffer.copy_within(kept.., start);
        self.kept = Some(start);
        Some(self.buffer.len().saturating_sub(length)..self.buffer.len())
    }

    fn handshake<R>(&mut self, write: impl FnOnce(&mut Writer<'_>) -> Result<R, Error>) -> Result<R, Error> {
        if self.closed {
            return Err(Misuse::WriteAfterClose.into());
        }
        let start = self.content_start();
        let space = self.buffer.get_mut(start..).unwrap_or_default();
        let mut writer = Writer::new(space);
        let result = write(&mut writer)?;
        let length = writer.len();
        self.keep_sent(start, length);
        self.seal_all(ContentType::HANDSHAKE, length)?;
        Ok(result)
    }

    /// Stores the messages that were written at `start`, unless their records need the room.
    fn keep_sent(&mut self, start: usize, length: usize) {
        let records = length.div_ceil(self.max_fragment).max(1);
        let end = start.saturating_add(length);
        let least = end.saturating_add(records.saturating_mul(HEADER_LEN + MAX_OVERHEAD));
        if let Some(place) = self.make_room_to_keep(length, least) {
            self.buffer.copy_within(start..end, place.start);
        }
    }

    /// Queues the change_cipher_spec of the middlebox compatibility mode (RFC 8446 §D.4).
    pub(crate) fn change_cipher_spec(&mut self) -> Result<(), Error> {
        // No signature follows it.
        self.forget_messages();
        let end = self.end.saturating_add(HEADER_LEN + 1);
        let record = self.buffer.get_mut(self.end..end).ok_or(NO_SPACE)?;
        let (header, content) = record.split_at_mut(HEADER_LEN);
        header.copy_from_slice(&Header::emit(ContentType::CHANGE_CIPHER_SPEC, 1));
        content.copy_from_slice(&[1]);
        if let Some(trace) = self.trace {
            trace::record_sent(trace, None, ContentType::CHANGE_CIPHER_SPEC, record, &[1]);
        }
        self.end = end;
        Ok(())
    }

    /// Queues what is due, then as much of `data` as fits into one record and the buffer. Returns the number of bytes; 0 if
    /// something must be sent first.
    pub(crate) fn write(&mut self, link: &Link, data: &[u8]) -> Result<usize, Error> {
        self.settle(link);
        if let Some(error) = link.failure() {
            return Err(error);
        }
        if self.closed {
            return Err(Misuse::WriteAfterClose.into());
        }
        if link.key_update_due() && !data.is_empty() {
            if !self.has_room_for_key_update() {
                return Ok(0);
            }
            link.set_key_update_due(false);
            self.key_update()?;
        }
        self.data(data)
    }

    /// Queues the alerts that are due to what the other direction has received. A refusal remains due until there is room
    /// for it.
    pub(crate) fn settle(&mut self, link: &Link) {
        if link.refusal_due() && self.warn(AlertDescription::NO_RENEGOTIATION) {
            link.set_refusal_due(false);
        }
        if let Some(error) = link.failure() {
            self.fail(&error);
        }
    }

    /// Queues close_notify and closes this direction.
    pub(crate) fn close(&mut self) {
        self.alert(AlertDescription::CLOSE_NOTIFY);
    }

    /// Closes this direction because of `error`, with its alert, if any.
    pub(crate) fn fail(&mut self, error: &Error) {
        match error.alert() {
            Some(alert) => self.alert(alert),
            None => self.closed = true,
        }
    }

    fn data(&mut self, data: &[u8]) -> Result<usize, Error> {
        self.forget_messages();
        if let Some(key) = self.key.as_ref().filter(|key| key.exhausted()) {
            // RFC 8446 §5.5: the limit includes the KeyUpdate.
            if !self.has_room_for_key_update() {
                return Ok(0);
            }
            if !key.is_tls13() {
                // TLS 1.2 has no KeyUpdate: the last record under this key closes this direction, after some 390 GB in 24
                // million records.
                self.alert(AlertDescription::CLOSE_NOTIFY);
                return Err(Error::KeyLimit);
            }
            self.key_update()?;
        }
        let length = data
            .len()
            .min(self.max_fragment)
            .min(self.room().saturating_sub(HEADER_LEN + MAX_OVERHEAD));
        // A partial record is wasteful if a full one would fit into the empty buffer.
        if length == 0 || (self.end > 0 && length < data.len().min(self.max_fragment)) {
            return Ok(0);
        }
        let start = self.content_start();
        let space = self
            .buffer
            .get_mut(start..start.saturating_add(length))
            .ok_or(NO_SPACE)?;
        space.copy_from_slice(data.get(..length).ok_or(NO_SPACE)?);
        self.seal_all(ContentType::APPLICATION_DATA, length)?;
        Ok(length)
    }

    /// Whether a KeyUpdate fits and leaves room for an alert.
    fn has_room_for_key_update(&self) -> bool {
        self.buffer.len().saturating_sub(self.end) >= RESERVE
    }

    /// Queues a KeyUpdate that requests none in return, and changes to the next key (RFC 8446 §4.6.3).
    fn key_update(&mut self) -> Result<(), Error> {
        self.message(&KeyUpdate { requested: false })?;
        let next = self
            .key
            .as_ref()
            .ok_or(Error::Internal("no key to update"))?
            .next_secret()?;
        self.set_key(next)
    }

    /// Queues an alert and closes this direction, unless it is closed already.
    fn alert(&mut self, description: AlertDescription) {
        if self.closed {
            return;
        }
        self.closed = true;
        self.send_alert(description);
    }

    /// Queues a warning alert. Returns false if something must be sent first.
    #[must_use]
    fn warn(&mut self, description: AlertDescription) -> bool {
        if self.closed {
            return true;
        }
        if self.buffer.len().saturating_sub(self.end) < RESERVE {
            return false;
        }
        self.send_alert(description);
        true
    }

    fn send_alert(&mut self, description: AlertDescription) {
        self.forget_messages();
        let start = self.content_start();
        if let Some(content) = self.buffer.get_mut(start..start.saturating_add(2)) {
            content.copy_from_slice(&[alert::level(description), description.0]);
            // The reserve has room for it; otherwise the alert is omitted.
            let _ = self.seal_all(ContentType::ALERT, 2);
        }
    }

    /// The position of the next record's content.
    fn content_start(&self) -> usize {
        let prefix = self.key.as_ref().map_or(0, RecordKey::prefix);
        self.end.saturating_add(HEADER_LEN.saturating_add(prefix))
    }

    /// The number of bytes that application data may use now.
    fn room(&self) -> usize {
        self.buffer.len().saturating_sub(self.end.saturating_add(RESERVE))
    }

    /// Makes records of the content at `content_start`. If it is too long for one record, the later fragments are first moved
    /// to their final positions, then each is protected in order.
    fn seal_all(&mut self, content: ContentType, length: usize) -> Result<(), Error> {
        let overhead = HEADER_LEN.saturating_add(self.key.as_ref().map_or(0, RecordKey::overhead));
        let fragment = self.max_fragment;
        let count = length.div_ceil(fragment).max(1);
        let first = self.content_start();
        // Sums up to the length of the buffer do not overflow below.
        let whole = count.saturating_mul(overhead).saturating_add(length);
        if self.end.saturating_add(whole) > self.buffer.len() {
            return Err(NO_SPACE);
        }
        for index in (1..count).rev() {
            let before = index.saturating_mul(fragment);
            let from = first.saturating_add(before);
            let size = fragment.min(length.saturating_sub(before));
            let to = from.saturating_add(index.saturating_mul(overhead));
            self.buffer.copy_within(from..from.saturating_add(size), to);
        }
        for index in 0..count {
            let size = fragment.min(length.saturating_sub(index.saturating_mul(fragment)));
            let record = self.buffer.get_mut(self.end..).ok_or(NO_SPACE)?;
            // The part of the plaintext that a trace shows.
            let mut shown = heapless::Vec::<u8, DATA_SHOWN>::new();
            if self.trace.is_some() {
                let at = HEADER_LEN.saturating_add(self.key.as_ref().map_or(0, RecordKey::prefix));
                shown.extend(record.iter().copied().skip(at).take(size.min(DATA_SHOWN)));
            }
            let number = self.key.as_ref().map_or(0, RecordKey::number);
            let whole = match &mut self.key {
                Some(key) => key.seal(content, size, record)?,
                None => {
                    let header = match self.initial {
                        true => Header::emit_initial(size),
                        false => Header::emit(content, size),
                    };
                    record.get_mut(..HEADER_LEN).ok_or(NO_SPACE)?.copy_from_slice(&header);
                    HEADER_LEN.saturating_add(size)
                }
            };
            if let Some(trace) = self.trace {
                let record = record.get(..whole).unwrap_or_default();
                trace::record_sent(
                    trace,
                    self.key.as_ref().map(|key| (key, number)),
                    content,
                    record,
                    &shown,
                );
            }
            self.end = self.end.saturating_add(whole);
        }
        Ok(())
    }
}

/// The buffer is smaller than a flight, which is checked when the connection is created.
const NO_SPACE: Error = Error::Internal("outbound buffer too small");

#[cfg(all(test, feature = "default"))]
mod tests;
