//! What a connection reports while it runs, for a narrator or a debugger.
//!
//! The engine reports an [`Event`] for each record, each handshake message and each computation to the [`Trace`] in the
//! configuration (`with_trace`); without one this costs a comparison for each record. [`views`] reads the messages in
//! the events a second time, with the engine's own parsers.
//!
//! Secrets are in the events only where the configuration has a [`super::KeyLog`] as well.
#![cfg_attr(
    not(feature = "trace"),
    allow(dead_code, unreachable_pub, reason = "without the feature no event is made")
)]

use core::ops::Range;

use super::error::Error;
use super::record::{HEADER_LEN, RecordKey};
use super::registry::ContentType;
use crate::crypto::aead::TAG_LEN;
use crate::pki::text::Text;

#[cfg(all(test, feature = "trace"))]
mod tests;
#[cfg(feature = "trace")]
pub mod views;

/// The most content of a record of application data that is reported of a sent record, in bytes.
pub const DATA_SHOWN: usize = 64;

/// A receiver of what a connection does, while it does it.
pub trait Trace {
    /// `event` has happened. Its bytes are valid during the call only.
    fn event(&self, event: &Event<'_>);
}

/// The receiver of a connection's events.
#[cfg(feature = "trace")]
pub(crate) type Tracer<'a> = &'a dyn Trace;

/// Without the feature there is none: the type has no value, so that all code for events is left out of programs.
#[cfg(not(feature = "trace"))]
#[derive(Clone, Copy)]
pub(crate) struct Tracer<'a>(core::convert::Infallible, core::marker::PhantomData<&'a ()>);

#[cfg(not(feature = "trace"))]
impl Tracer<'_> {
    pub(crate) fn event(self, _: &Event<'_>) {
        match self.0 {}
    }
}

/// Something that happened on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'e> {
    /// A record was received, or queued to be sent.
    Record(Record<'e>),
    /// A handshake message was received, or queued to be sent. The event follows the last record of a received message,
    /// and precedes the first record of a sent one.
    Message {
        /// Whether it was sent.
        sent: bool,
        /// The message with its header.
        whole: &'e [u8],
    },
    /// Something was computed or verified. The event follows that of its message.
    Milestone(Milestone<'e>),
}

/// How a record is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    /// Unprotected.
    None,
    /// An AEAD of TLS 1.3 (RFC 8446 §5.2).
    Tls13,
    /// An AEAD of TLS 1.2 (RFC 5246 §6.2.3.3).
    Tls12,
    /// By a key that this side does not have: early data that is skipped (RFC 8446 §4.2.10).
    Unknown,
}

/// A record of the record layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'e> {
    /// Whether it was sent.
    pub sent: bool,
    /// Its header as it is on the wire.
    pub header: &'e [u8],
    /// How it is protected.
    pub protection: Protection,
    /// Its inner content type, which TLS 1.3 encrypts.
    pub content: ContentType,
    /// The sequence number of the record under its key.
    pub number: u64,
    /// The explicit part of the nonce (TLS 1.2 with AES-GCM), or empty.
    pub nonce: &'e [u8],
    /// The authentication tag, or empty.
    pub tag: &'e [u8],
    /// The zeros after the inner content type, in bytes (RFC 8446 §5.4).
    pub padding: u16,
    /// The length of the content, in bytes.
    pub length: u16,
    /// The decrypted content, or the front of it. Empty for handshake records, whose messages are events.
    pub text: &'e [u8],
}

/// A secret from which keys are derived, by the label of the NSS key log format.
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
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::ClientHandshakeTraffic,
        Self::ServerHandshakeTraffic,
        Self::ClientTraffic,
        Self::ServerTraffic,
        Self::Master,
    ];

    /// The label in the NSS key log format.
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

/// Something that was computed or verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Milestone<'e> {
    /// The role of this side: the first event of a connection.
    Role {
        /// Whether this side is the server.
        server: bool,
    },
    /// This side has made a key pair for the key exchange.
    KeyPair {
        /// The number of the group.
        group: u16,
        /// The public half.
        public: &'e [u8],
    },
    /// The key exchange is complete.
    Shared {
        /// The number of the group.
        group: u16,
    },
    /// A session is resumed.
    Resumed,
    /// A secret was derived.
    Secret {
        /// Its label.
        secret: Secret,
        /// The transcript hash that it was derived with; empty if there is none.
        hash: &'e [u8],
        /// Its value, if the configuration has a key log; otherwise empty.
        value: &'e [u8],
    },
    /// A CertificateVerify of TLS 1.3 was signed or verified.
    Signature {
        /// Whether it was sent by this side.
        sent: bool,
        /// The transcript hash under the signature.
        hash: &'e [u8],
    },
    /// A Finished was computed or verified.
    Finished {
        /// Whether it was sent by this side.
        sent: bool,
        /// The transcript hash under it.
        hash: &'e [u8],
    },
    /// The OCSP response that the server has stapled to its certificate was verified.
    Stapled,
    /// The peer's certificate chain was verified.
    Trusted {
        /// The subject of the leaf.
        subject: &'e str,
    },
    /// The handshake is complete.
    Done,
    /// The connection has failed.
    Failed {
        /// The error.
        reason: &'e str,
    },
}

/// Reports a record to be sent: `record` is the whole of it as sent, `text` the front of its content. `key` comes with the
/// record's sequence number.
pub(super) fn record_sent(
    trace: Tracer<'_>,
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

/// Reports a received record. `key`: whether its key is of TLS 1.3, the length of an explicit nonce, and the record's
/// sequence number. `opened`: the true content type, and the position of the content behind the header.
pub(super) fn record_received(
    trace: Tracer<'_>,
    key: Option<(bool, usize, u64)>,
    record: &[u8],
    opened: Option<(ContentType, Range<usize>)>,
) {
    let (header, payload) = record.split_at_checked(HEADER_LEN).unwrap_or_default();
    let kind = ContentType(header.first().copied().unwrap_or_default());
    // A change_cipher_spec of TLS 1.3 is never protected, an alert need not be.
    let key = key.filter(|(tls13, ..)| !tls13 || kind == ContentType::APPLICATION_DATA);
    let (nonce, tag) = ends(key, payload);
    let mut received = Record {
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
            received.content = content;
            received.length = short(text.len());
            if content != ContentType::HANDSHAKE {
                received.text = text;
            }
            if received.protection == Protection::Tls13 {
                // Content, its type, zeros, tag.
                received.padding = short(payload.len().saturating_sub(range.end.saturating_add(1 + TAG_LEN)));
            }
        }
        None if kind == ContentType::APPLICATION_DATA => {
            received.protection = Protection::Unknown;
            (received.nonce, received.tag) = (&[], &[]);
        }
        None => received.text = payload,
    }
    trace.event(&Event::Record(received));
}

/// Reports the error with which a connection failed.
pub(super) fn record_failure(trace: Option<Tracer<'_>>, error: &Error) {
    let Some(trace) = trace else { return };
    // What does not fit is cut visibly.
    let reason = Text::<MAX_REASON>::of(error);
    trace.event(&Event::Milestone(Milestone::Failed {
        reason: reason.as_str(),
    }));
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
