//! The narration of a connection: what was sent and received, and what was computed from what.
//!
//! It has three parts. The engine reports an [`Event`] for each record, each handshake message and each computation, to
//! whoever was put into the configuration as its [`Trace`] (`with_trace`); with nobody there this costs one comparison
//! for each record. A [`Tape`] takes the events down as they are, bytes and all, in a bounded buffer: nothing is parsed
//! while the handshake runs, so that narrating can neither change nor break it. A [`Story`] tells a tape afterwards,
//! step by step, each [`Step`] with its [`Item`]s: every byte of every message with its name and meaning, in the order
//! and the words of the RFCs. [`Lines`] shows a story as text.
//!
//! Secrets are in the events only where the configuration has a [`super::KeyLog`] as well.

use core::ops::Range;

use super::error::Error;
use super::record::{HEADER_LEN, RecordKey};
use super::registry::ContentType;
use crate::crypto::aead::TAG_LEN;
use crate::pki::text::Text;

mod fields;
mod names;
mod story;
mod tape;
#[cfg(test)]
mod tests;
mod text;

pub use fields::{Item, Meaning, Sort};
pub use story::{By, Step, Story, Summary};
pub use tape::{DATA_SHOWN, Events, MAX_DATA_RECORDS, RESERVE, Tape};
pub use text::Lines;

/// Where a connection tells what it does, as it does it.
pub trait Trace {
    /// This has happened. The bytes are there during the call only.
    fn event(&self, event: &Event<'_>);
}

/// Something that happened on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'e> {
    /// A record was received, or made to be sent.
    Record(Record<'e>),
    /// A handshake message was received, or written to be sent. It comes after the last record that it came in, but
    /// before the first record that it goes out in.
    Message {
        /// Whether it was ours.
        sent: bool,
        /// The message with its header.
        whole: &'e [u8],
    },
    /// Something was computed or found. What concerns a message comes after it.
    Fact(Fact<'e>),
}

/// How a record is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Not at all.
    None,
    /// As TLS 1.3 has it (RFC 8446 §5.2).
    Tls13,
    /// As TLS 1.2 has it with an AEAD (RFC 5246 §6.2.3.3).
    Tls12,
    /// By a key that we do not have: early data that is skipped (RFC 8446 §4.2.10).
    Unknown,
}

/// A record of the record layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'e> {
    /// Whether it was ours.
    pub sent: bool,
    /// Its header as it is on the wire.
    pub header: &'e [u8],
    /// How it is protected.
    pub protection: Protection,
    /// Its true content type, which TLS 1.3 hides inside.
    pub content: ContentType,
    /// The number of the record under its key.
    pub number: u64,
    /// The explicit part of the nonce (TLS 1.2 with AES-GCM), or nothing.
    pub nonce: &'e [u8],
    /// The authentication tag, or nothing.
    pub tag: &'e [u8],
    /// Zeros behind the true content type, in bytes (RFC 8446 §5.4).
    pub padding: u16,
    /// How long the content is, in bytes.
    pub length: u16,
    /// The content in the clear, or the front of it. Not that of handshake records: it comes as messages.
    pub text: &'e [u8],
}

/// A secret that keys stem from, by the label of the NSS key log format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secret {
    /// `client_handshake_traffic_secret` (RFC 8446 §7.1).
    ClientHandshakeTraffic,
    /// `server_handshake_traffic_secret`.
    ServerHandshakeTraffic,
    /// `client_application_traffic_secret_0`.
    ClientTraffic,
    /// `server_application_traffic_secret_0`.
    ServerTraffic,
    /// The master secret of TLS 1.2 (RFC 5246 §8.1, RFC 7627 §4).
    Master,
}

impl Secret {
    const ALL: [Self; 5] = [
        Self::ClientHandshakeTraffic,
        Self::ServerHandshakeTraffic,
        Self::ClientTraffic,
        Self::ServerTraffic,
        Self::Master,
    ];

    /// Its label in the NSS key log format.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ClientHandshakeTraffic => "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
            Self::ServerHandshakeTraffic => "SERVER_HANDSHAKE_TRAFFIC_SECRET",
            Self::ClientTraffic => "CLIENT_TRAFFIC_SECRET_0",
            Self::ServerTraffic => "SERVER_TRAFFIC_SECRET_0",
            Self::Master => "CLIENT_RANDOM",
        }
    }
}

/// Something that was computed or found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact<'e> {
    /// Which side we are: the first fact of a connection.
    Role {
        /// Whether we are the server.
        server: bool,
    },
    /// We have made a key pair for the key exchange.
    KeyPair {
        /// The group's number.
        group: u16,
        /// The public half.
        public: &'e [u8],
    },
    /// The key exchange is complete: our private half and the peer's public half have met.
    Shared {
        /// The group's number.
        group: u16,
    },
    /// A session is resumed.
    Resumed,
    /// A secret was derived.
    Secret {
        /// Which.
        secret: Secret,
        /// The transcript hash that went into it; empty where none did.
        hash: &'e [u8],
        /// What it is, where the configuration has a key log; else empty.
        value: &'e [u8],
    },
    /// A CertificateVerify of TLS 1.3 was signed, or found good.
    Signature {
        /// Whether it was ours.
        sent: bool,
        /// The transcript hash under the signature.
        hash: &'e [u8],
    },
    /// A Finished was computed, or found good.
    Finished {
        /// Whether it was ours.
        sent: bool,
        /// The transcript hash under it.
        hash: &'e [u8],
    },
    /// The OCSP response that the server has stapled to its certificate was found good.
    Stapled,
    /// The peer's certificates were found good.
    Trusted {
        /// The subject of the first.
        subject: &'e str,
    },
    /// The handshake is done.
    Done,
    /// The connection has failed.
    Failed {
        /// Why.
        why: &'e str,
    },
}

/// Tells of a record that was made: `record` is how it goes out, `text` the front of its content. The number is that
/// which the key had for it.
pub(super) fn tell_sent(
    trace: &dyn Trace,
    key: Option<(&RecordKey, u64)>,
    content: ContentType,
    record: &[u8],
    text: &[u8],
) {
    let (header, payload) = record.split_at_checked(HEADER_LEN).unwrap_or_default();
    let overhead = key.map_or(0, |(key, _)| key.overhead());
    let text = if content == ContentType::HANDSHAKE { &[] } else { text };
    let key = key.map(|(key, number)| (key.is_tls13(), key.prefix(), number));
    let (nonce, tag) = ends(key, payload);
    trace.event(&Event::Record(Record {
        sent: true,
        header,
        protection: protection(key),
        content,
        number: key.map_or(0, |(.., number)| number),
        nonce,
        tag,
        padding: 0,
        length: short(payload.len().saturating_sub(overhead)),
        text,
    }));
}

/// Tells of a record that came. `key` says of the key that it came under whether it is of TLS 1.3, how long an explicit
/// nonce is, and the record's number; `opened` the true content type and where behind the header the content stands.
pub(super) fn tell_received(
    trace: &dyn Trace,
    key: Option<(bool, usize, u64)>,
    record: &[u8],
    opened: Option<(ContentType, Range<usize>)>,
) {
    let (header, payload) = record.split_at_checked(HEADER_LEN).unwrap_or_default();
    let kind = ContentType(header.first().copied().unwrap_or_default());
    // A change_cipher_spec of TLS 1.3 is never protected, an alert need not be.
    let key = key.filter(|(tls13, ..)| !tls13 || kind == ContentType::APPLICATION_DATA);
    let (nonce, tag) = ends(key, payload);
    let mut told = Record {
        sent: false,
        header,
        protection: protection(key),
        content: kind,
        number: key.map_or(0, |(.., number)| number),
        nonce,
        tag,
        padding: 0,
        length: short(payload.len()),
        text: &[],
    };
    match opened {
        Some((content, range)) => {
            let text = payload.get(range.clone()).unwrap_or_default();
            told.content = content;
            told.length = short(text.len());
            if content != ContentType::HANDSHAKE {
                told.text = text;
            }
            if told.protection == Protection::Tls13 {
                // Content, its type, zeros, tag.
                told.padding = short(payload.len().saturating_sub(range.end + 1 + TAG_LEN));
            }
        }
        None if kind == ContentType::APPLICATION_DATA => {
            told.protection = Protection::Unknown;
            (told.nonce, told.tag) = (&[], &[]);
        }
        None => told.text = payload,
    }
    trace.event(&Event::Record(told));
}

/// Tells why a connection failed.
pub(super) fn tell_failure(trace: Option<&dyn Trace>, error: &Error) {
    let Some(trace) = trace else { return };
    // What does not fit is cut visibly.
    let why = Text::<MAX_REASON>::of(error);
    trace.event(&Event::Fact(Fact::Failed { why: why.as_str() }));
}

/// The longest reason of a failure, in bytes.
const MAX_REASON: usize = 255;

/// The explicit nonce and the authentication tag.
fn ends(key: Option<(bool, usize, u64)>, payload: &[u8]) -> (&[u8], &[u8]) {
    let Some((_, prefix, _)) = key else { return (&[], &[]) };
    let nonce = payload.get(..prefix).unwrap_or_default();
    let tag = payload.last_chunk::<TAG_LEN>().map_or(&[][..], |tag| tag);
    (nonce, tag)
}

fn protection(key: Option<(bool, usize, u64)>) -> Protection {
    match key {
        None => Protection::None,
        Some((true, ..)) => Protection::Tls13,
        Some((false, ..)) => Protection::Tls12,
    }
}

fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}
