//! The receiving direction: from bytes to records, messages and data.

use core::ops::Range;

use super::alert::AlertDescription;
use super::codec::Reader;
use super::error::{Error, InvalidMessage, PeerMisbehaved};
use super::msg::{HANDSHAKE_HEADER_LEN, max_message};
use super::record::{HEADER_LEN, Header, MAX_EXPANSION, MAX_PLAINTEXT, Protected, RecordKey};
use super::registry::{ContentType, HandshakeType};
use super::schedule::TrafficSecret;
use super::trace::{self, Tracer};

/// The smallest inbound buffer, in bytes. It must hold the hello and the certificates of the peer, and every record;
/// with less than [`FULL_INBOUND`] the engine requests smaller records (RFC 8449).
pub const MIN_INBOUND: usize = 4096;
/// The length of an inbound buffer that holds every valid record, in bytes. To accept a Certificate or CertificateRequest
/// of more than 16 KiB, up to [`MAX_CERTIFICATE_MESSAGE`](super::msg::MAX_CERTIFICATE_MESSAGE), it must be larger by the
/// length of the message.
pub const FULL_INBOUND: usize = HEADER_LEN + MAX_PLAINTEXT + MAX_EXPANSION;

/// The most consecutive records without effect: empty ones, change_cipher_spec, warnings.
const MAX_IDLE_RECORDS: u8 = 32;
/// The most early data that is skipped, in bytes on the wire, so that empty records count too. The tickets of this engine
/// allow none, but those of other servers commonly allow 2^14 bytes of content (RFC 8446 §4.2.10).
const MAX_SKIPPED_EARLY_DATA: usize = 2 * MAX_PLAINTEXT;

/// The content of a processed record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Received {
    /// Handshake bytes were added: see [`Inbound::message`].
    Handshake,
    /// Application data: see [`Inbound::data`].
    Data,
    /// An alert.
    Alert {
        /// Whether its level is "warning", which matters only in TLS 1.2.
        warning: bool,
        /// The description.
        description: AlertDescription,
    },
    /// Nothing for the caller.
    Nothing,
}

/// How an unprotected change_cipher_spec is handled.
pub(crate) enum ChangeCipherSpec {
    /// It is refused.
    Refuse,
    /// It is dropped, as TLS 1.3 requires between the first ClientHello and the peer's Finished (RFC 8446 §5).
    Drop,
    /// It must precede the next handshake message, and changes to this key (RFC 5246 §7.1).
    #[cfg(feature = "tls12")]
    Await(super::record::PendingKey),
}

/// The most content accepted in a record, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ContentLimit {
    /// By `record_size_limit`, which does not apply to unprotected records (RFC 8449 §4).
    Protected(usize),
    /// By `max_fragment_length`, which applies to the handshake too (RFC 6066 §4).
    All(usize),
}

/// How rejected early data is recognized (RFC 8446 §4.2.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SkipEarlyData {
    No,
    /// After a HelloRetryRequest: all protected records up to the second ClientHello.
    UntilClientHello(usize),
    /// Otherwise: all records that do not decrypt, up to the first that does.
    UntilDecrypted(usize),
}

/// The inbound buffer. It contains, in this order and each possibly empty: assembled handshake bytes, the application
/// data of one record, and received bytes that have not been processed.
///
/// `messages.start <= messages.end <= data.start <= data.end <= raw.start <= raw.end <= buffer.len()`
pub(crate) struct Inbound<'b> {
    buffer: &'b mut [u8],
    messages: Range<usize>,
    data: Range<usize>,
    raw: Range<usize>,
    key: Option<RecordKey>,
    change_cipher_spec: ChangeCipherSpec,
    /// Whether alerts may be unprotected although there is a key: until a record has authenticated.
    plain_alerts: bool,
    /// Whether application data is allowed, even an empty record of it (RFC 8446 §2: not before Finished).
    allow_data: bool,
    /// The most content in a protected record, padding included, in bytes.
    max_content: usize,
    /// The most content in an unprotected record, in bytes.
    max_plain: usize,
    skip: SkipEarlyData,
    idle_records: u8,
    /// Whether the transport has ended.
    ended: bool,
    trace: Option<Tracer<'b>>,
}

impl<'b> Inbound<'b> {
    pub(crate) fn new(buffer: &'b mut [u8]) -> Self {
        Self {
            buffer,
            messages: 0..0,
            data: 0..0,
            raw: 0..0,
            key: None,
            change_cipher_spec: ChangeCipherSpec::Refuse,
            plain_alerts: false,
            allow_data: false,
            max_content: MAX_PLAINTEXT,
            max_plain: MAX_PLAINTEXT,
            skip: SkipEarlyData::No,
            idle_records: 0,
            ended: false,
            trace: None,
        }
    }

    /// Reports everything received from now on to `trace`.
    pub(crate) fn set_trace(&mut self, trace: Option<Tracer<'b>>) {
        self.trace = trace;
    }

    /// The trace, if there is one.
    pub(crate) fn trace(&self) -> Option<Tracer<'b>> {
        self.trace
    }

    /// The space for received bytes. Empty only while there is data to be consumed.
    pub(crate) fn space(&mut self) -> &mut [u8] {
        if self.data.is_empty() {
            let front = self.messages.end;
            self.data = front..front;
            if self.raw.is_empty() {
                self.raw = front..front;
            } else if self.buffer.len().saturating_sub(self.raw.end) < self.missing() {
                self.buffer.copy_within(self.raw.clone(), front);
                self.raw = front..front.saturating_add(self.raw.len());
            }
        }
        self.buffer.get_mut(self.raw.end..).unwrap_or_default()
    }

    /// Marks the first `count` bytes of [`Inbound::space`] as received.
    pub(crate) fn received(&mut self, count: usize) {
        self.raw.end = self.raw.end.saturating_add(count).min(self.buffer.len());
    }

    /// The application data.
    pub(crate) fn data(&self) -> &[u8] {
        self.buffer.get(self.data.clone()).unwrap_or_default()
    }

    /// Removes `count` bytes from the front of the application data.
    pub(crate) fn consume(&mut self, count: usize) {
        self.data.start = self.data.start.saturating_add(count).min(self.data.end);
    }

    /// The first complete handshake message, header included.
    pub(crate) fn message(&self) -> Result<Option<&[u8]>, Error> {
        let assembled = self.buffer.get(self.messages.clone()).unwrap_or_default();
        let Some(header) = assembled.first_chunk::<HANDSHAKE_HEADER_LEN>() else {
            return Ok(None);
        };
        let length = Reader::new(&header[1..], "Handshake")
            .u24()?
            .saturating_add(HANDSHAKE_HEADER_LEN);
        let kind = HandshakeType(header[0]);
        let limit = self.longest_message(kind);
        if length > limit {
            return Err(InvalidMessage::HandshakeTooLong { kind, length, limit }.into());
        }
        Ok(assembled.get(..length))
    }

    /// Removes the first message, of `length` bytes.
    pub(crate) fn consume_message(&mut self, length: usize) {
        self.messages.start = self.messages.start.saturating_add(length).min(self.messages.end);
        // Moves the rest to the front: usually no more than a part of the next message.
        self.buffer.copy_within(self.messages.clone(), 0);
        self.messages = 0..self.messages.len();
    }

    /// Whether handshake bytes follow the first message, of `length` bytes.
    pub(crate) fn has_more_than(&self, length: usize) -> bool {
        self.messages.len() > length
    }

    /// Whether a handshake message is incomplete.
    pub(crate) fn in_message(&self) -> bool {
        !self.messages.is_empty()
    }

    /// Marks the transport as ended.
    pub(crate) fn received_end(&mut self) {
        self.ended = true;
    }

    /// Whether the transport has ended.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Uses the key of `secret` from the next record on.
    // Expanding a key needs kilobytes of stack, separate from the rest of a handshake.
    #[inline(never)]
    pub(crate) fn set_key(&mut self, secret: TrafficSecret) -> Result<(), Error> {
        self.key = Some(RecordKey::new(secret)?);
        Ok(())
    }

    /// Uses the next generation of the key from the next record on (RFC 8446 §7.2).
    pub(crate) fn update_key(&mut self) -> Result<(), Error> {
        let next = self
            .key
            .as_ref()
            .ok_or(Error::Internal("no key to update"))?
            .next_secret()?;
        self.set_key(next)
    }

    /// Sets how unprotected change_cipher_spec records are handled.
    pub(crate) fn on_change_cipher_spec(&mut self, rule: ChangeCipherSpec) {
        self.change_cipher_spec = rule;
    }

    /// Whether a change_cipher_spec must precede the next handshake message.
    pub(crate) fn awaits_change_cipher_spec(&self) -> bool {
        !matches!(
            self.change_cipher_spec,
            ChangeCipherSpec::Refuse | ChangeCipherSpec::Drop
        )
    }

    /// Allows unprotected alerts, until a record has authenticated.
    pub(crate) fn allow_plain_alerts(&mut self) {
        self.plain_alerts = true;
    }

    /// Allows application data.
    pub(crate) fn allow_data(&mut self) {
        self.allow_data = true;
    }

    /// The value of `record_size_limit` (RFC 8449 §4): the most content of a record that always fits into the buffer, in
    /// bytes.
    pub(crate) fn record_limit(&self) -> u16 {
        let content = self
            .buffer
            .len()
            .saturating_sub(HEADER_LEN + MAX_EXPANSION)
            .min(MAX_PLAINTEXT);
        // At most 2^14.
        u16::try_from(content).unwrap_or(u16::MAX)
    }

    /// Refuses records with more content from now on.
    pub(crate) fn limit_content(&mut self, limit: ContentLimit) {
        match limit {
            ContentLimit::Protected(limit) => self.max_content = limit,
            ContentLimit::All(limit) => (self.max_content, self.max_plain) = (limit, limit),
        }
    }

    /// Skips protected records from now on, up to the second ClientHello.
    pub(crate) fn skip_early_data_until_client_hello(&mut self) {
        self.skip = SkipEarlyData::UntilClientHello(MAX_SKIPPED_EARLY_DATA);
    }

    /// Skips records that do not decrypt from now on, up to the first that does.
    pub(crate) fn skip_early_data_until_decrypted(&mut self) {
        self.skip = SkipEarlyData::UntilDecrypted(MAX_SKIPPED_EARLY_DATA);
    }

    /// Processes the next record. `Ok(None)` if it is incomplete, or while there is data to be consumed.
    pub(crate) fn next(&mut self) -> Result<Option<Received>, Error> {
        if !self.data.is_empty() {
            return Ok(None);
        }
        let raw = self.buffer.get(self.raw.clone()).unwrap_or_default();
        let protected = match (&self.key, self.skip) {
            (Some(key), _) if !key.is_tls13() => Protected::Tls12,
            (Some(_), _) | (None, SkipEarlyData::UntilClientHello(_)) => Protected::Tls13,
            (None, _) => Protected::No,
        };
        let Some(header) = Header::parse(raw, protected)? else {
            return Ok(None);
        };
        let whole = HEADER_LEN.saturating_add(header.length);
        if self.messages.is_empty() && whole > self.buffer.len() {
            return Err(InvalidMessage::RecordTooLong(header.length).into());
        }
        if self.messages.end.saturating_add(whole) > self.buffer.len() {
            // The rest of a message, and what follows it in the record.
            return Err(InvalidMessage::HandshakeTooLong {
                kind: HandshakeType(self.buffer.get(self.messages.start).copied().unwrap_or_default()),
                length: self.messages.len().saturating_add(header.length),
                limit: self.buffer.len().saturating_sub(HEADER_LEN),
            }
            .into());
        }
        if raw.len() < whole {
            return Ok(None);
        }
        let start = self.raw.start;
        let end = start.saturating_add(whole);
        let payload = start.saturating_add(HEADER_LEN)..end;
        self.raw.start = end;

        // The key of this record; a change_cipher_spec may replace it.
        let key = self
            .key
            .as_ref()
            .map(|key| (key.is_tls13(), key.prefix(), key.number()));
        let opened = self.unprotect(header, payload.clone());
        if let Some(trace) = self.trace {
            let record = self.buffer.get(start..end);
            let opened = opened.as_ref().ok().cloned().flatten();
            trace::record_received(trace, key, record.unwrap_or_default(), opened);
        }
        let Some((content, range)) = opened? else {
            return Ok(Some(Received::Nothing));
        };
        let range = payload.start.saturating_add(range.start)..payload.start.saturating_add(range.end);
        self.deliver(content, range).map(Some)
    }

    /// The inner type of a record and the range of its content in the payload; `None` if it is to be skipped.
    fn unprotect(
        &mut self,
        header: Header,
        payload: Range<usize>,
    ) -> Result<Option<(ContentType, Range<usize>)>, Error> {
        let whole = HEADER_LEN.saturating_add(header.length);
        let bytes = self.buffer.get_mut(payload).unwrap_or_default();
        let unexpected = PeerMisbehaved::UnexpectedRecord(header.content);
        match (header.content, &mut self.key) {
            (_, Some(key)) if !key.is_tls13() => {
                let (content, range) = key.open(header, bytes)?;
                check_length(range.len(), self.max_content)?;
                Ok(Some((content, range)))
            }
            (ContentType::CHANGE_CIPHER_SPEC, _) => {
                let valid = *bytes == [1];
                self.take_change_cipher_spec(valid)?;
                Ok(None)
            }
            (ContentType::APPLICATION_DATA, Some(key)) => match (key.open(header, bytes), self.skip) {
                (Err(Error::PeerMisbehaved(PeerMisbehaved::BadRecordMac)), SkipEarlyData::UntilDecrypted(left)) => {
                    let left = left.checked_sub(whole).ok_or(PeerMisbehaved::TooMuchEarlyData)?;
                    self.skip = SkipEarlyData::UntilDecrypted(left);
                    Ok(None)
                }
                (result, _) => {
                    self.skip = SkipEarlyData::No;
                    // The peer has the keys: it protects its alerts (RFC 8446 §6).
                    self.plain_alerts = false;
                    // Padding counts towards the limit; the content type, which `max_content` excludes, does not.
                    let inner = header.length.saturating_sub(key.overhead());
                    let opened = result?;
                    check_length(inner, self.max_content)?;
                    Ok(Some(opened))
                }
            },
            // A client that cannot process the server's flight has no keys to protect its alert with.
            (ContentType::ALERT, Some(_)) if self.plain_alerts => Ok(Some((header.content, 0..header.length))),
            (_, Some(_)) => Err(unexpected.into()),
            (ContentType::APPLICATION_DATA, None) => match self.skip {
                SkipEarlyData::UntilClientHello(left) => {
                    let left = left.checked_sub(whole).ok_or(PeerMisbehaved::TooMuchEarlyData)?;
                    self.skip = SkipEarlyData::UntilClientHello(left);
                    Ok(None)
                }
                _ => Err(unexpected.into()),
            },
            (content, None) => {
                check_length(header.length, self.max_plain)?;
                if content == ContentType::HANDSHAKE {
                    self.skip = SkipEarlyData::No;
                }
                Ok(Some((content, 0..header.length)))
            }
        }
    }

    fn take_change_cipher_spec(&mut self, valid: bool) -> Result<(), Error> {
        // RFC 8446 §5: exactly this byte.
        if !valid {
            return Err(PeerMisbehaved::UnexpectedRecord(ContentType::CHANGE_CIPHER_SPEC).into());
        }
        if self.in_message() {
            return Err(PeerMisbehaved::InterleavedHandshake.into());
        }
        match core::mem::replace(&mut self.change_cipher_spec, ChangeCipherSpec::Refuse) {
            ChangeCipherSpec::Refuse => Err(PeerMisbehaved::UnexpectedRecord(ContentType::CHANGE_CIPHER_SPEC).into()),
            ChangeCipherSpec::Drop => {
                self.change_cipher_spec = ChangeCipherSpec::Drop;
                self.idle_record()
            }
            #[cfg(feature = "tls12")]
            ChangeCipherSpec::Await(key) => {
                self.key = Some(RecordKey::new_tls12(&key)?);
                Ok(())
            }
        }
    }

    fn deliver(&mut self, content: ContentType, range: Range<usize>) -> Result<Received, Error> {
        if content != ContentType::HANDSHAKE && self.in_message() {
            return Err(PeerMisbehaved::InterleavedHandshake.into());
        }
        if content == ContentType::APPLICATION_DATA && !self.allow_data {
            return Err(PeerMisbehaved::UnexpectedRecord(content).into());
        }
        if range.is_empty() {
            // RFC 8446 §5.1, §5.4: only application data may be empty.
            if content != ContentType::APPLICATION_DATA {
                return Err(InvalidMessage::EmptyRecord.into());
            }
            self.idle_record()?;
            return Ok(Received::Nothing);
        }
        match content {
            ContentType::HANDSHAKE => {
                let end = self.messages.end.saturating_add(range.len());
                self.buffer.copy_within(range, self.messages.end);
                self.messages.end = end;
                self.data = end..end;
                self.idle_records = 0;
                Ok(Received::Handshake)
            }
            ContentType::APPLICATION_DATA => {
                self.idle_records = 0;
                self.data = range;
                Ok(Received::Data)
            }
            ContentType::ALERT => {
                // RFC 8446 §5.1: an alert is never fragmented nor coalesced.
                match self.buffer.get(range) {
                    Some(&[level, description]) => {
                        self.idle_record()?;
                        Ok(Received::Alert {
                            warning: level == 1,
                            description: AlertDescription(description),
                        })
                    }
                    _ => Err(InvalidMessage::IllegalValue("Alert").into()),
                }
            }
            // A protected change_cipher_spec is not allowed (RFC 8446 §5).
            _ => Err(PeerMisbehaved::UnexpectedRecord(content).into()),
        }
    }

    fn idle_record(&mut self) -> Result<(), Error> {
        self.idle_records = self.idle_records.saturating_add(1);
        if self.idle_records > MAX_IDLE_RECORDS {
            Err(PeerMisbehaved::TooManyEmptyRecords.into())
        } else {
            Ok(())
        }
    }

    /// The least number of bytes until the current record is complete.
    fn missing(&self) -> usize {
        let raw = self.buffer.get(self.raw.clone()).unwrap_or_default();
        let whole = match raw.first_chunk::<HEADER_LEN>() {
            Some(&[.., high, low]) => HEADER_LEN.saturating_add(u16::from_be_bytes([high, low]).into()),
            None => HEADER_LEN,
        };
        whole.saturating_sub(raw.len())
    }

    /// The longest handshake message of a type that can be assembled, in bytes: its last byte may be in a record of its
    /// own, whose header needs room too.
    fn longest_message(&self, kind: HandshakeType) -> usize {
        let room = self.buffer.len().saturating_sub(HEADER_LEN + MAX_EXPANSION);
        room.min(max_message(kind))
    }
}

fn check_length(length: usize, limit: usize) -> Result<(), Error> {
    if length > limit {
        return Err(InvalidMessage::RecordTooLong(length).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
