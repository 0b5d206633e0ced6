//! Certificate requests (RFC 2986) and self-signed certificates for own keys.
//!
//! Both are encoded into a buffer of the caller's, from its end to its beginning, so that every length is known when it is
//! written. The key is ECDSA on P-256, as [`SigningKey::generate`] makes it.

mod received;
#[cfg(test)]
mod tests;

use core::fmt::{self, Write as _};
use core::net::IpAddr;
use core::time::Duration;

use der::DateTime;
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

use super::allow::KeyHash;
use super::cert::{Alternative, Date};
use super::own::Role;
use super::text::needs_escape;
use crate::crypto::key::SigningKey;
use crate::crypto::sign::SignatureScheme;

pub use received::ReceivedRequest;

/// What a certificate is requested for.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The subject (RFC 4514), for which [`is_subject`] holds; or empty.
    pub subject: &'a str,
    /// The names in subjectAltName (RFC 5280 §4.2.1.6).
    pub names: &'a [Alternative<'a>],
    /// The purpose of the key (RFC 5280 §4.2.1.12).
    pub role: Role,
}

/// Why a request or a certificate could not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestError {
    /// [`is_subject`] does not hold for the subject.
    Subject,
    /// The key is not ECDSA on P-256.
    Key,
    /// The date is after the year 9999.
    Date,
    /// It does not fit into the buffer.
    TooLong,
    /// The signature could not be computed.
    Signature,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Subject => "the subject is not valid",
            Self::Key => "the key is not ECDSA P-256",
            Self::Date => "the date is after the year 9999",
            Self::TooLong => "the request is too long for its buffer",
            Self::Signature => "the signature could not be computed",
        })
    }
}

impl core::error::Error for RequestError {}

/// SEQUENCE, SET and strings (X.680 §8.4).
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// The attribute types of a subject, id-at (2.5.4) and the last arc (RFC 5280 appendix A.1).
const ATTRIBUTES: [(&str, u8); 6] = [("CN", 3), ("C", 6), ("L", 7), ("ST", 8), ("O", 10), ("OU", 11)];
/// The most bytes of an attribute's value: ub-common-name and its like (RFC 5280 appendix A.1).
const MAX_VALUE: usize = 64;

/// INTEGER 0, the version of a request (RFC 2986 §4.1).
const REQUEST_VERSION: &[u8] = b"\x02\x01\x00";
/// `[0]` around INTEGER 2: version 3 of a certificate (RFC 5280 §4.1.2.1).
const CERTIFICATE_VERSION: &[u8] = b"\xa0\x03\x02\x01\x02";
/// The AlgorithmIdentifier of ecdsa-with-SHA256 (RFC 5758 §3.2).
const ECDSA_WITH_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";
/// The AlgorithmIdentifier of id-ecPublicKey on P-256 (RFC 5480 §2.1.1).
const P256_KEY: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
/// extensionRequest (RFC 2985 §5.4.2).
const EXTENSION_REQUEST: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e";
/// id-ce-subjectAltName (RFC 5280 §4.2.1.6).
const SUBJECT_ALT_NAME: &[u8] = b"\x06\x03\x55\x1d\x11";
/// basicConstraints of a leaf, critical (RFC 5280 §4.2.1.9).
const NOT_A_CA: &[u8] = b"\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00";
/// keyUsage digitalSignature, critical (RFC 5280 §4.2.1.3).
const MAY_SIGN: &[u8] = b"\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80";
/// extKeyUsage of one purpose of id-kp, whose last arc follows (RFC 5280 §4.2.1.12).
const PURPOSE: &[u8] = b"\x30\x13\x06\x03\x55\x1d\x25\x04\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03";

/// The length of a serial number, in bytes; at most 20 are allowed (RFC 5280 §4.1.2.2).
const SERIAL: usize = 16;
/// The bytes of a SubjectPublicKeyInfo of P-256 with an uncompressed point.
const SPKI: usize = 91;

/// Whether `text` is a subject that can be requested: `TYPE=VALUE` of C, ST, L, O, OU and CN, separated by commas, most
/// specific part first (RFC 4514). A value has 1 to 64 bytes, none that RFC 4514 §2.4 would escape; C has two letters.
///
/// A certificate with this subject is displayed as `text`.
pub fn is_subject(text: &str) -> bool {
    text.split(',').all(|part| attribute(part).is_some())
}

/// The last arc of an attribute's type, and its value.
fn attribute(part: &str) -> Option<(u8, &str)> {
    let (name, value) = part.split_once('=')?;
    let (_, arc) = ATTRIBUTES.into_iter().find(|(known, _)| *known == name)?;
    let is_long = !(1..=MAX_VALUE).contains(&value.len());
    let is_escaped = value.starts_with([' ', '#'])
        || value.ends_with(' ')
        || value.contains(['"', '+', ';', '<', '>', '\\', '='])
        || value.contains(needs_escape);
    let is_country = value.len() == 2 && value.bytes().all(|letter| letter.is_ascii_uppercase());
    (!is_long && !is_escaped && (name != "C" || is_country)).then_some((arc, value))
}

/// The hash of the public half of `key`, as allow-lists have it.
///
/// # Errors
/// [`RequestError::Key`].
pub fn key_hash(key: &SigningKey) -> Result<KeyHash, RequestError> {
    let mut buffer = [0; SPKI];
    let mut writer = Writer::new(&mut buffer);
    writer.public_key(key)?;
    Ok(KeyHash(Sha256::digest(writer.written()).into()))
}

impl Request<'_> {
    /// Encodes a CertificationRequest (RFC 2986 §4.2) at the end of `buffer`, with the names and the purpose as
    /// extensionRequest, signed by `key`. Returns its DER.
    ///
    /// # Errors
    /// Any [`RequestError`] but [`RequestError::Date`].
    pub fn sign<'b>(
        &self,
        key: &SigningKey,
        rng: &mut dyn CryptoRng,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], RequestError> {
        signed(key, rng, buffer, |writer| {
            writer.wrap(SEQUENCE, |writer| {
                // attributes, `[0]`
                writer.wrap(0xa0, |writer| {
                    writer.wrap(SEQUENCE, |writer| {
                        writer.wrap(SET, |writer| self.extensions(writer))?;
                        writer.bytes(EXTENSION_REQUEST)
                    })
                })?;
                writer.public_key(key)?;
                self.subject(writer)?;
                writer.bytes(REQUEST_VERSION)
            })
        })
    }

    /// Encodes a certificate of version 3 (RFC 5280 §4.1) that `key` issues to itself, valid from the first to the second
    /// date. Returns its DER, at the end of `buffer`.
    ///
    /// # Errors
    /// Any [`RequestError`].
    pub fn self_sign<'b>(
        &self,
        key: &SigningKey,
        [from, until]: [Date; 2],
        rng: &mut dyn CryptoRng,
        buffer: &'b mut [u8],
    ) -> Result<&'b [u8], RequestError> {
        let mut serial = [0; SERIAL];
        rng.fill_bytes(&mut serial);
        // Positive, and of this length.
        if let Some(first) = serial.first_mut() {
            *first = *first & 0x3f | 0x40;
        }
        signed(key, rng, buffer, |writer| {
            writer.wrap(SEQUENCE, |writer| {
                writer.wrap(0xa3, |writer| self.extensions(writer))?;
                writer.public_key(key)?;
                self.subject(writer)?;
                writer.wrap(SEQUENCE, |writer| {
                    writer.time(until)?;
                    writer.time(from)
                })?;
                self.subject(writer)?;
                writer.bytes(ECDSA_WITH_SHA256)?;
                writer.wrap(0x02, |writer| writer.bytes(&serial))?;
                writer.bytes(CERTIFICATE_VERSION)
            })
        })
    }

    /// The subject, a Name: its least specific part comes first (RFC 4514 §2.1).
    fn subject(&self, writer: &mut Writer<'_>) -> Result<(), RequestError> {
        writer.wrap(SEQUENCE, |writer| {
            let parts = self.subject.split(',').filter(|_| !self.subject.is_empty());
            for part in parts {
                let (arc, value) = attribute(part).ok_or(RequestError::Subject)?;
                // Country is a PrintableString (RFC 5280 appendix A.1).
                let tag = if arc == 6 { PRINTABLE_STRING } else { UTF8_STRING };
                writer.wrap(SET, |writer| {
                    writer.wrap(SEQUENCE, |writer| {
                        writer.wrap(tag, |writer| writer.bytes(value.as_bytes()))?;
                        writer.bytes(&[0x06, 3, 0x55, 4, arc])
                    })
                })?;
            }
            Ok(())
        })
    }

    /// Extensions (RFC 5280 §4.2).
    fn extensions(&self, writer: &mut Writer<'_>) -> Result<(), RequestError> {
        writer.wrap(SEQUENCE, |writer| {
            if !self.names.is_empty() {
                writer.wrap(SEQUENCE, |writer| {
                    writer.wrap(OCTET_STRING, |writer| {
                        writer.wrap(SEQUENCE, |writer| {
                            self.names.iter().rev().try_for_each(|name| writer.name(name))
                        })
                    })?;
                    writer.bytes(SUBJECT_ALT_NAME)
                })?;
            }
            writer.bytes(&[match self.role {
                Role::Server => 1,
                Role::Client => 2,
            }])?;
            writer.bytes(PURPOSE)?;
            writer.bytes(MAY_SIGN)?;
            writer.bytes(NOT_A_CA)
        })
    }
}

/// Encodes what `content` writes, twice: to be signed, and with the signature after it.
fn signed<'b>(
    key: &SigningKey,
    rng: &mut dyn CryptoRng,
    buffer: &'b mut [u8],
    content: impl Fn(&mut Writer<'_>) -> Result<(), RequestError>,
) -> Result<&'b [u8], RequestError> {
    let mut writer = Writer::new(buffer);
    content(&mut writer)?;
    let signature = key
        .sign(SignatureScheme::EcdsaSecp256r1Sha256, writer.written(), rng)
        .map_err(|_| RequestError::Signature)?;
    let mut writer = Writer::new(buffer);
    writer.wrap(SEQUENCE, |writer| {
        writer.bit_string(&signature)?;
        writer.bytes(ECDSA_WITH_SHA256)?;
        content(writer)
    })?;
    let start = writer.start;
    Ok(buffer.get(start..).unwrap_or_default())
}

/// Writes DER (X.690 §10) from the end of a buffer to its beginning.
struct Writer<'a> {
    buffer: &'a mut [u8],
    /// Where what was written begins.
    start: usize,
}

impl<'a> Writer<'a> {
    fn new(buffer: &'a mut [u8]) -> Self {
        let start = buffer.len();
        Self { buffer, start }
    }

    fn written(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// Puts `bytes` before what was written.
    fn bytes(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        let start = self.start.checked_sub(bytes.len()).ok_or(RequestError::TooLong)?;
        let place = self.buffer.get_mut(start..self.start).ok_or(RequestError::TooLong)?;
        place.copy_from_slice(bytes);
        self.start = start;
        Ok(())
    }

    /// Puts what `content` writes into an element with that tag.
    fn wrap(
        &mut self,
        tag: u8,
        content: impl FnOnce(&mut Self) -> Result<(), RequestError>,
    ) -> Result<(), RequestError> {
        let end = self.start;
        content(self)?;
        let length = u16::try_from(end.saturating_sub(self.start)).map_err(|_| RequestError::TooLong)?;
        match length.to_be_bytes() {
            [0, length @ ..0x80] => self.bytes(&[tag, length]),
            [0, length] => self.bytes(&[tag, 0x81, length]),
            [high, low] => self.bytes(&[tag, 0x82, high, low]),
        }
    }

    /// A BIT STRING of whole bytes.
    fn bit_string(&mut self, bytes: &[u8]) -> Result<(), RequestError> {
        self.wrap(BIT_STRING, |writer| {
            writer.bytes(bytes)?;
            writer.bytes(&[0])
        })
    }

    /// The SubjectPublicKeyInfo of a key (RFC 5280 §4.1.2.7).
    fn public_key(&mut self, key: &SigningKey) -> Result<(), RequestError> {
        #[allow(irrefutable_let_patterns, reason = "without features there is no other kind of key")]
        let SigningKey::EcdsaP256(key) = key else {
            return Err(RequestError::Key);
        };
        let point = key.verifying_key().to_sec1_point(false);
        self.wrap(SEQUENCE, |writer| {
            writer.bit_string(point.as_bytes())?;
            writer.bytes(P256_KEY)
        })
    }

    /// A GeneralName (RFC 5280 §4.2.1.6): dNSName or iPAddress.
    fn name(&mut self, name: &Alternative<'_>) -> Result<(), RequestError> {
        match name {
            Alternative::Dns(name) => self.wrap(0x82, |writer| writer.bytes(name.as_bytes())),
            Alternative::Ip(IpAddr::V4(address)) => self.wrap(0x87, |writer| writer.bytes(&address.octets())),
            Alternative::Ip(IpAddr::V6(address)) => self.wrap(0x87, |writer| writer.bytes(&address.octets())),
        }
    }

    /// A Time (RFC 5280 §4.1.2.5): UTCTime until 2049, then GeneralizedTime.
    fn time(&mut self, date: Date) -> Result<(), RequestError> {
        let time = DateTime::from_unix_duration(Duration::from_secs(date.0)).map_err(|_| RequestError::Date)?;
        let mut text = heapless::String::<16>::new();
        write!(
            text,
            "{:04}{:02}{:02}{:02}{:02}{:02}Z",
            time.year(),
            time.month(),
            time.day(),
            time.hour(),
            time.minutes(),
            time.seconds()
        )
        .map_err(|_| RequestError::Date)?;
        let (tag, text) = match text.get(2..).filter(|_| time.year() < 2050) {
            Some(short) => (UTC_TIME, short),
            None => (GENERALIZED_TIME, text.as_str()),
        };
        self.wrap(tag, |writer| writer.bytes(text.as_bytes()))
    }
}
