//! The record layer's header and protection (RFC 8446 §5).

use core::ops::Range;

use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::error::{Error, InvalidMessage, PeerMisbehaved};
use super::registry::{ContentType, ProtocolVersion};
use super::schedule::TrafficSecret;
#[cfg(feature = "tls12")]
use crate::crypto::aead::AeadAlgorithm;
use crate::crypto::aead::{AeadKey, MAX_KEY_LEN, NONCE_LEN, TAG_LEN};

/// The length of a record's header, in bytes.
pub const HEADER_LEN: usize = 5;
/// The most content in one record, in bytes (RFC 8446 §5.1).
pub const MAX_PLAINTEXT: usize = 1 << 14;
/// The lowest limit that a peer may set on the content of a record, in bytes: a `record_size_limit` of 64, which in
/// TLS 1.3 counts the content type (RFC 8449 §4).
pub(crate) const MIN_FRAGMENT: usize = 63;
/// The most that protection may add to the content of a record, in bytes (RFC 8446 §5.2).
pub const MAX_EXPANSION: usize = 256;
/// The most that our own protection adds to a record's content, in bytes: explicit nonce and tag of TLS 1.2.
pub const MAX_OVERHEAD: usize = EXPLICIT_NONCE + TAG_LEN;

/// The protection of received records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protected {
    No,
    Tls13,
    Tls12,
}

/// A checked record header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) content: ContentType,
    pub(crate) version: ProtocolVersion,
    pub(crate) length: usize,
}

impl Header {
    /// Checks as much of a header as was received, so that what is not TLS is refused at its first byte.
    /// `Ok(None)` if more bytes are needed.
    pub(crate) fn parse(bytes: &[u8], protected: Protected) -> Result<Option<Self>, InvalidMessage> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        let content = ContentType(first);
        if !content.is_handled() {
            return match looks_like_http(bytes) {
                Some(true) => Err(InvalidMessage::Http),
                None => Ok(None),
                Some(false) => Err(InvalidMessage::ContentType(first)),
            };
        }
        // Only the major version is checked (RFC 8446 §5.1), which distinguishes TLS from other protocols.
        if let Some(&major) = bytes.get(1)
            && major != 3
        {
            let minor = bytes.get(2).copied().unwrap_or_default();
            return Err(InvalidMessage::RecordVersion(ProtocolVersion(u16::from_be_bytes([
                major, minor,
            ]))));
        }
        let Some(&[_, major, minor, high, low]) = bytes.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        // TLS 1.2 allows an expansion of 2048 bytes (RFC 5246 §6.2.3), but none of its AEADs uses it.
        let limit = match (protected, content) {
            (Protected::Tls13, ContentType::APPLICATION_DATA) | (Protected::Tls12, _) => MAX_PLAINTEXT + MAX_EXPANSION,
            _ => MAX_PLAINTEXT,
        };
        if length > limit {
            return Err(InvalidMessage::RecordTooLong(length));
        }
        Ok(Some(Self {
            content,
            version: ProtocolVersion(u16::from_be_bytes([major, minor])),
            length,
        }))
    }

    /// The header of a record to be sent. `legacy_record_version` is that of TLS 1.2 (RFC 8446 §5.1).
    pub(crate) fn emit(content: ContentType, length: usize) -> [u8; HEADER_LEN] {
        let [.., high, low] = length.to_be_bytes();
        [content.0, 3, 3, high, low]
    }

    /// The header of an initial ClientHello, where the version is that of TLS 1.0: all clients send it, and middleboxes
    /// expect it (RFC 8446 §5.1, RFC 5246 §E.1).
    pub(crate) fn emit_initial(length: usize) -> [u8; HEADER_LEN] {
        let [content, .., high, low] = Self::emit(ContentType::HANDSHAKE, length);
        [content, 3, 1, high, low]
    }
}

/// Whether the first bytes are those of an HTTP request; `None` if there are too few of them to decide.
fn looks_like_http(bytes: &[u8]) -> Option<bool> {
    let mut undecided = false;
    for method in [
        &b"GET "[..],
        b"POST ",
        b"HEAD ",
        b"PUT ",
        b"OPTIONS ",
        b"CONNECT ",
        b"DELETE ",
    ] {
        let common = method.len().min(bytes.len());
        if method.get(..common) == bytes.get(..common) {
            if common == method.len() {
                return Some(true);
            }
            undecided = true;
        }
    }
    if undecided { None } else { Some(false) }
}

/// One direction's record protection, of TLS 1.3 or of TLS 1.2.
pub(crate) struct RecordKey {
    key: AeadKey,
    iv: Iv,
    sequence: u64,
    kind: Kind,
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Iv([u8; NONCE_LEN]);

/// The part that differs between the versions.
enum Kind {
    /// The secret from which that of the next key is derived (RFC 8446 §7.2).
    Tls13(TrafficSecret),
    /// The number of nonce bytes in the record: eight with AES-GCM, beside four bytes of salt (RFC 5288 §3), otherwise
    /// none (RFC 7905 §2).
    #[cfg(feature = "tls12")]
    Tls12(usize),
}

#[cfg(feature = "tls12")]
/// A key of TLS 1.2 that is not in use yet. It is expanded at its first use: expanded, it is ten times as large.
pub(crate) struct PendingKey {
    aead: AeadAlgorithm,
    key: Zeroizing<[u8; MAX_KEY_LEN]>,
    iv: Iv,
}

#[cfg(feature = "tls12")]
impl PendingKey {
    /// Stores key and IV as derived by TLS 1.2 (RFC 5246 §6.3); `iv` has [`tls12_iv_len`] bytes.
    pub(crate) fn new(aead: AeadAlgorithm, key: &[u8], iv: &[u8]) -> Result<Self, Error> {
        let mut pending = Self {
            aead,
            key: Zeroizing::new([0; MAX_KEY_LEN]),
            iv: Iv([0; NONCE_LEN]),
        };
        let place = pending
            .key
            .get_mut(..key.len())
            .filter(|place| place.len() == aead.key_len());
        place.ok_or(WRONG_LENGTH)?.copy_from_slice(key);
        pending
            .iv
            .0
            .get_mut(..iv.len())
            .ok_or(WRONG_LENGTH)?
            .copy_from_slice(iv);
        Ok(pending)
    }
}

impl RecordKey {
    /// Derives key and IV from a traffic secret (RFC 8446 §7.3).
    pub(crate) fn new(secret: TrafficSecret) -> Result<Self, Error> {
        let suite = secret.suite();
        let mut bytes = Zeroizing::new([0; MAX_KEY_LEN]);
        let mut iv = Iv([0; NONCE_LEN]);
        let key = bytes.get_mut(..suite.aead().key_len()).ok_or(WRONG_LENGTH)?;
        secret.expand("key", key)?;
        secret.expand("iv", &mut iv.0)?;
        let key = AeadKey::new(suite.aead(), key).map_err(|_| WRONG_LENGTH)?;
        Ok(Self {
            key,
            iv,
            sequence: 0,
            kind: Kind::Tls13(secret),
        })
    }

    #[cfg(feature = "tls12")]
    /// Expands a key of TLS 1.2.
    pub(crate) fn new_tls12(pending: &PendingKey) -> Result<Self, Error> {
        let aead = pending.aead;
        let key = pending.key.get(..aead.key_len()).ok_or(WRONG_LENGTH)?;
        let key = AeadKey::new(aead, key).map_err(|_| WRONG_LENGTH)?;
        Ok(Self {
            key,
            iv: Iv(pending.iv.0),
            sequence: 0,
            kind: Kind::Tls12(NONCE_LEN.checked_sub(tls12_iv_len(aead)).ok_or(WRONG_LENGTH)?),
        })
    }

    /// The secret of the next generation of this key (RFC 8446 §7.2).
    pub(crate) fn next_secret(&self) -> Result<TrafficSecret, Error> {
        match &self.kind {
            Kind::Tls13(secret) => secret.next_generation(),
            #[cfg(feature = "tls12")]
            Kind::Tls12(_) => Err(Error::Internal("TLS 1.2 keys are not updated")),
        }
    }

    /// The number of the next record under this key.
    pub(crate) fn number(&self) -> u64 {
        self.sequence
    }

    pub(crate) fn is_tls13(&self) -> bool {
        matches!(self.kind, Kind::Tls13(_))
    }

    /// Whether the next record is the last that this key may protect (RFC 8446 §5.5): it must be a KeyUpdate.
    pub(crate) fn exhausted(&self) -> bool {
        self.sequence.saturating_add(1) >= self.key.algorithm().record_limit()
    }

    /// The number of bytes that protection inserts between header and content.
    pub(crate) fn prefix(&self) -> usize {
        match self.kind {
            Kind::Tls13(_) => 0,
            #[cfg(feature = "tls12")]
            Kind::Tls12(explicit) => explicit,
        }
    }

    /// The number of bytes that protection adds to the content, without the header.
    pub(crate) fn overhead(&self) -> usize {
        match self.kind {
            Kind::Tls13(_) => 1 + TAG_LEN,
            #[cfg(feature = "tls12")]
            Kind::Tls12(explicit) => explicit.saturating_add(TAG_LEN),
        }
    }

    /// Protects the record whose content is `record[HEADER_LEN + prefix..][..length]`, in place, and returns the
    /// length of the whole record. `record` must have at least [`HEADER_LEN`] + `length` + [`RecordKey::overhead`] bytes.
    pub(crate) fn seal(&mut self, content: ContentType, length: usize, record: &mut [u8]) -> Result<usize, Error> {
        const NO_SPACE: Error = Error::Internal("no space for the record");
        let payload_length = length.saturating_add(self.overhead());
        let whole = payload_length.saturating_add(HEADER_LEN);
        let (head, body) = record
            .get_mut(..whole)
            .and_then(|record| record.split_first_chunk_mut::<HEADER_LEN>())
            .ok_or(NO_SPACE)?;
        let (nonce_part, body) = body.split_at_mut_checked(self.prefix()).ok_or(NO_SPACE)?;
        let (text, tag) = body.split_last_chunk_mut::<TAG_LEN>().ok_or(NO_SPACE)?;
        // The sequence number is a valid explicit nonce, since it never repeats (RFC 5288 §3).
        nonce_part.copy_from_slice(self.sequence.to_be_bytes().get(..nonce_part.len()).ok_or(NO_SPACE)?);
        *tag = if self.is_tls13() {
            *head = Header::emit(ContentType::APPLICATION_DATA, payload_length);
            *text.last_mut().ok_or(NO_SPACE)? = content.0;
            self.key.seal(&self.nonce(self.sequence), head, text)
        } else {
            *head = Header::emit(content, payload_length);
            self.key
                .seal(&self.nonce(self.sequence), &self.tls12_aad(content, length), text)
        }
        .map_err(|_| Error::Internal("record too long for its protection"))?;
        self.advance()?;
        Ok(whole)
    }

    /// Removes the protection of a record's payload, in place. Returns its inner content type and the range of its
    /// content in `payload`.
    pub(crate) fn open(&mut self, header: Header, payload: &mut [u8]) -> Result<(ContentType, Range<usize>), Error> {
        let prefix = self.prefix();
        let (nonce_part, body) = payload
            .split_at_mut_checked(prefix)
            .ok_or(PeerMisbehaved::BadRecordMac)?;
        let (text, tag) = body
            .split_last_chunk_mut::<TAG_LEN>()
            .ok_or(PeerMisbehaved::BadRecordMac)?;
        let explicit = nonce_part
            .first_chunk()
            .map_or(self.sequence, |&nonce| u64::from_be_bytes(nonce));
        let nonce = self.nonce(explicit);
        if !self.is_tls13() {
            let aad = self.tls12_aad(header.content, text.len());
            self.key
                .open(&nonce, &aad, text, tag)
                .map_err(|_| PeerMisbehaved::BadRecordMac)?;
            self.advance()?;
            if text.len() > MAX_PLAINTEXT {
                return Err(InvalidMessage::RecordTooLong(text.len()).into());
            }
            return Ok((header.content, prefix..prefix.saturating_add(text.len())));
        }
        let [major, minor] = header.version.0.to_be_bytes();
        let [.., high, low] = header.length.to_be_bytes();
        let aad = [header.content.0, major, minor, high, low];
        self.key
            .open(&nonce, &aad, text, tag)
            .map_err(|_| PeerMisbehaved::BadRecordMac)?;
        self.advance()?;
        // TLSInnerPlaintext (RFC 8446 §5.2): content, content type, zeros; the last two count towards the limit.
        if text.len() > MAX_PLAINTEXT + 1 {
            return Err(InvalidMessage::RecordTooLong(text.len()).into());
        }
        let length = text
            .iter()
            .rposition(|&byte| byte != 0)
            .ok_or(InvalidMessage::NoInnerContentType)?;
        let content = ContentType(text.get(length).copied().unwrap_or_default());
        if !content.is_handled() {
            return Err(PeerMisbehaved::UnexpectedRecord(content).into());
        }
        Ok((content, 0..length))
    }

    /// The per-record nonce: RFC 8446 §5.3, RFC 7905 §2; with an explicit part RFC 5288 §3, where the bytes under the
    /// explicit part are zero, so that exclusive-or is concatenation.
    fn nonce(&self, number: u64) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv.0;
        for (byte, number) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= number;
        }
        nonce
    }

    /// RFC 5246 §6.2.3.3: sequence number, type, version, and length of the content.
    fn tls12_aad(&self, content: ContentType, length: usize) -> [u8; 13] {
        let [a, b, c, d, e, f, g, h] = self.sequence.to_be_bytes();
        let [.., high, low] = length.to_be_bytes();
        [a, b, c, d, e, f, g, h, content.0, 3, 3, high, low]
    }

    /// Sequence numbers do not wrap (RFC 8446 §5.3).
    fn advance(&mut self) -> Result<(), Error> {
        self.sequence = self
            .sequence
            .checked_add(1)
            .ok_or(Error::Internal("sequence numbers used up"))?;
        Ok(())
    }

    /// Protects the first `length` bytes after the header unchanged: content, content type and padding.
    #[cfg(test)]
    pub(crate) fn seal_inner(&mut self, length: usize, record: &mut [u8]) -> Result<(), Error> {
        let header = Header::emit(ContentType::APPLICATION_DATA, length + TAG_LEN);
        record[..HEADER_LEN].copy_from_slice(&header);
        let (inner, tag) = record[HEADER_LEN..].split_at_mut(length);
        let sealed = self.key.seal(&self.nonce(self.sequence), &header, inner);
        tag[..TAG_LEN].copy_from_slice(&sealed.map_err(|_| WRONG_LENGTH)?);
        self.advance()
    }

    /// Sets the sequence number.
    #[cfg(test)]
    pub(crate) fn set_sequence(&mut self, sequence: u64) {
        self.sequence = sequence;
    }
}

/// The explicit part of a TLS 1.2 AES-GCM nonce, in bytes (RFC 5288 §3).
const EXPLICIT_NONCE: usize = 8;

#[cfg(feature = "tls12")]
/// The length of the IV that TLS 1.2 derives for an AEAD, in bytes (RFC 5288 §3, RFC 7905 §2).
pub(crate) const fn tls12_iv_len(aead: AeadAlgorithm) -> usize {
    match aead {
        AeadAlgorithm::Aes128Gcm | AeadAlgorithm::Aes256Gcm => NONCE_LEN - EXPLICIT_NONCE,
        #[cfg(feature = "chacha")]
        AeadAlgorithm::ChaCha20Poly1305 => NONCE_LEN,
    }
}

const WRONG_LENGTH: Error = Error::Internal("key of the wrong length");

impl core::fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "RecordKey({:?}, record {})", self.key, self.sequence)
    }
}

#[cfg(all(test, feature = "default"))]
mod tests;
