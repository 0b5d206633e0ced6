//! The errors of a connection, and the alerts that report them to the peer.

use core::fmt;

use super::alert::AlertDescription;
use super::codec::Full;
use super::registry::{
    ContentType, ExtensionType, HandshakeType, NamedGroup, NamedScheme, NamedSuite, ProtocolVersion,
};
use crate::crypto::sign::SchemeSet;
use crate::pki::limits::MAX_CHAIN;
use crate::pki::verify::CertificateError;

/// Why a connection failed. The alert that goes to the peer follows from it ([`Error::alert`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are not what the presentation language of TLS allows.
    InvalidMessage(InvalidMessage),
    /// The message is well formed, but violates the protocol.
    PeerMisbehaved(PeerMisbehaved),
    /// The two sides have no parameters in common.
    PeerIncompatible(PeerIncompatible),
    /// The peer's certificate was refused.
    Certificate(CertificateError),
    /// The peer refused with an alert.
    AlertReceived(AlertDescription),
    /// The peer ended the byte stream without `close_notify` (RFC 8446 §6.1): what was received may be truncated.
    Truncated,
    /// The caller requested what the connection cannot do now.
    Misuse(Misuse),
    /// The key has protected as many records as it may, and TLS 1.2 cannot replace it (RFC 8446 §5.5, RFC 9325 §4.4): this
    /// direction has ended with close_notify.
    KeyLimit,
    /// This side cannot continue; the text is the reason.
    Internal(&'static str),
}

/// How a caller misused a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Misuse {
    /// Data was read or written before the handshake was complete.
    HandshakeNotDone,
    /// Nothing may follow `close_notify` or a fatal alert (RFC 8446 §6.1).
    WriteAfterClose,
}

/// What was wrong with the encoding of a record or a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidMessage {
    /// The first byte of a record is not a content type of TLS.
    ContentType(u8),
    /// The bytes are those of an HTTP request.
    Http,
    /// The version field of a record is none of SSL 3 to TLS 1.3.
    RecordVersion(ProtocolVersion),
    /// A record is longer than its type may be (RFC 8446 §5.1, §5.2), in bytes.
    RecordTooLong(usize),
    /// A record of a type that may not be empty is empty.
    EmptyRecord,
    /// The inner plaintext has no content type: nothing but zeros (RFC 8446 §5.4).
    NoInnerContentType,
    /// A handshake message is longer than messages of its type may be, or than the inbound buffer holds.
    HandshakeTooLong {
        /// Its type.
        kind: HandshakeType,
        /// Its length with the header, in bytes.
        length: usize,
        /// The longest that would have been accepted, in bytes.
        limit: usize,
    },
    /// The named structure ends too early.
    MissingData(&'static str),
    /// The named structure is followed by bytes that do not belong to it.
    TrailingData(&'static str),
    /// The named field has a value that its syntax does not allow.
    IllegalValue(&'static str),
}

/// How a peer broke the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// The record's authentication tag is wrong.
    BadRecordMac,
    /// A record of this content type is not allowed now.
    UnexpectedRecord(ContentType),
    /// A handshake message of this type is not allowed now.
    UnexpectedHandshake(HandshakeType),
    /// Another record is between the fragments of a handshake message (RFC 8446 §5.1).
    InterleavedHandshake,
    /// A handshake message spans a key change (RFC 8446 §5.1).
    MessageAcrossKeyChange,
    /// Too many consecutive records without effect: empty ones, change_cipher_spec, warnings.
    TooManyEmptyRecords,
    /// Too many consecutive KeyUpdates without data between them.
    TooManyKeyUpdates,
    /// Too many tickets on one connection.
    TooManyTickets,
    /// More undecipherable early data than is skipped (RFC 8446 §4.2.10).
    TooMuchEarlyData,
    /// `legacy_version` or another version is that of SSL 3.0 (RFC 8446 §E.5).
    Ssl3,
    /// A message has an extension twice (RFC 8446 §4.2).
    DuplicateExtension(ExtensionType),
    /// `pre_shared_key` is not the last extension (RFC 8446 §4.2.11).
    PskNotLast,
    /// The extension that another requires is missing.
    MissingExtension(ExtensionType),
    /// A key share was offered twice for one group.
    DuplicateKeyShare(NamedGroup),
    /// A key share is for a group that `supported_groups` does not list.
    KeyShareOutsideGroups(NamedGroup),
    /// A key share is not a public value of its group.
    InvalidKeyShare(NamedGroup),
    /// `legacy_compression_methods` is not just "null" (RFC 8446 §4.1.2).
    Compression,
    /// The second ClientHello does not have exactly the requested key share.
    WrongRetryKeyShare,
    /// The second ClientHello differs from the first where it must not (RFC 8446 §4.1.2).
    ChangedClientHello,
    /// The second ClientHello offers early data (RFC 8446 §4.2.10).
    EarlyDataAfterRetry,
    /// The named field has a value that is not allowed there.
    IllegalParameter(&'static str),
    /// The peer's Finished does not match the transcript.
    WrongFinished,
    /// The peer's signature does not verify with the key in its certificate.
    WrongSignature,
    /// The peer signed with a scheme that was not offered.
    UnofferedSignatureScheme {
        /// The scheme of the signature.
        scheme: NamedScheme,
        /// The schemes that were offered.
        offered: SchemeSet,
    },
    /// The peer signed with a scheme that its certificate rules out: by the kind of its key, by the cipher suite that was
    /// chosen for it (RFC 8422 §2), or, in TLS 1.2, by a length that leaves no room to store what is signed.
    WrongSignatureScheme(NamedScheme),
    /// The binder of a PSK does not match the ClientHello (RFC 8446 §4.2.11.2).
    WrongBinder,
    /// The peer answered an extension that was not offered (RFC 8446 §4.2).
    UnofferedExtension(ExtensionType),
    /// An extension is in a message where it is not allowed (RFC 8446 §4.2).
    MisplacedExtension(ExtensionType),
    /// A server chose a cipher suite that was not offered.
    UnofferedSuite(NamedSuite),
    /// A server chose a compression method other than "null" (RFC 8446 §4.1.3).
    UnofferedCompression(u8),
    /// A server chose a group that was not offered.
    UnofferedGroup(NamedGroup),
    /// The key of a server's certificate is on a curve that was not offered (RFC 8422 §5.3).
    UnofferedCurve(NamedGroup),
    /// A server chose a PSK that was not offered, by its number in the offer (RFC 8446 §4.2.11).
    UnofferedPsk(u16),
    /// A server chose an application protocol that was not offered (RFC 7301 §3.2).
    UnofferedProtocol,
    /// A server chose another cipher suite than in the session that it resumes (RFC 5246 §7.4.1.3) or in its
    /// HelloRetryRequest (RFC 8446 §4.1.4).
    ChangedSuite {
        /// The suite of the session or the HelloRetryRequest.
        from: NamedSuite,
        /// The suite of the ServerHello.
        to: NamedSuite,
    },
    /// A server chose another group than in its HelloRetryRequest (RFC 8446 §4.2.8).
    ChangedGroup {
        /// The group of the HelloRetryRequest.
        from: NamedGroup,
        /// The group of the ServerHello.
        to: NamedGroup,
    },
    /// A server that supports TLS 1.3 negotiated TLS 1.2 although TLS 1.3 was offered: the ClientHello was changed in transit
    /// (RFC 8446 §4.1.3).
    Downgrade,
    /// A client fell back to a lower version than both sides support (RFC 7507).
    InappropriateFallback,
    /// `renegotiation_info` is not empty in a first handshake (RFC 5746 §3.4, §3.6).
    RenegotiationInfo,
    /// The extended master secret was negotiated in the session but not in its resumption, or vice versa (RFC 7627 §5.3).
    ChangedMasterSecret,
    /// A server sent no certificate (RFC 8446 §4.4.2.4).
    NoServerCertificate,
    /// The client sent no certificate although one is required, in this version: TLS 1.3 has an alert of its own for it.
    NoClientCertificate(ProtocolVersion),
    /// A chain has too many certificates.
    ChainTooLong,
    /// The public key in a certificate is longer than any supported one.
    KeyTooLong,
    /// The peer requests renegotiation repeatedly.
    TooManyRenegotiations,
}

/// What the two sides do not have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerIncompatible {
    /// No version: the highest known one that the peer offers.
    Version(Option<ProtocolVersion>),
    /// No cipher suite.
    CipherSuite,
    /// No group for the key exchange.
    Group,
    /// The client lists no curve of the server's certificates (RFC 8422 §5.3).
    CertificateCurve,
    /// No signature scheme of the server's certificates.
    SignatureScheme,
    /// No application protocol (ALPN).
    Protocol,
    /// The peer uses TLS 1.2 without the extended master secret (RFC 7627 §5.2, §5.3).
    ExtendedMasterSecret,
}

impl Error {
    /// The alert to be sent to the peer, if any.
    pub fn alert(&self) -> Option<AlertDescription> {
        use AlertDescription as Alert;
        Some(match self {
            Error::InvalidMessage(invalid) => match invalid {
                InvalidMessage::ContentType(_) | InvalidMessage::Http => Alert::UNEXPECTED_MESSAGE,
                InvalidMessage::RecordVersion(_) => Alert::PROTOCOL_VERSION,
                InvalidMessage::RecordTooLong(_) => Alert::RECORD_OVERFLOW,
                InvalidMessage::EmptyRecord | InvalidMessage::NoInnerContentType => Alert::UNEXPECTED_MESSAGE,
                InvalidMessage::HandshakeTooLong { .. } => Alert::DECODE_ERROR,
                InvalidMessage::MissingData(_) | InvalidMessage::TrailingData(_) | InvalidMessage::IllegalValue(_) => {
                    Alert::DECODE_ERROR
                }
            },
            Error::PeerMisbehaved(misbehaved) => match misbehaved {
                PeerMisbehaved::BadRecordMac => Alert::BAD_RECORD_MAC,
                PeerMisbehaved::UnexpectedRecord(_)
                | PeerMisbehaved::UnexpectedHandshake(_)
                | PeerMisbehaved::InterleavedHandshake
                | PeerMisbehaved::MessageAcrossKeyChange
                | PeerMisbehaved::TooManyEmptyRecords
                | PeerMisbehaved::TooManyKeyUpdates
                | PeerMisbehaved::TooManyTickets => Alert::UNEXPECTED_MESSAGE,
                PeerMisbehaved::UnofferedExtension(_) => Alert::UNSUPPORTED_EXTENSION,
                PeerMisbehaved::InappropriateFallback => Alert::INAPPROPRIATE_FALLBACK,
                PeerMisbehaved::RenegotiationInfo | PeerMisbehaved::ChangedMasterSecret => Alert::HANDSHAKE_FAILURE,
                PeerMisbehaved::NoServerCertificate => Alert::DECODE_ERROR,
                PeerMisbehaved::NoClientCertificate(ProtocolVersion::TLS13) => Alert::CERTIFICATE_REQUIRED,
                PeerMisbehaved::NoClientCertificate(_) => Alert::HANDSHAKE_FAILURE,
                PeerMisbehaved::ChainTooLong | PeerMisbehaved::KeyTooLong => Alert::BAD_CERTIFICATE,
                PeerMisbehaved::TooManyRenegotiations => Alert::NO_RENEGOTIATION,
                // RFC 8446 §4.2.10: what cannot be deprotected beyond the skipped amount is an ordinary failure.
                PeerMisbehaved::TooMuchEarlyData => Alert::BAD_RECORD_MAC,
                PeerMisbehaved::Ssl3 => Alert::PROTOCOL_VERSION,
                PeerMisbehaved::MissingExtension(_) => Alert::MISSING_EXTENSION,
                PeerMisbehaved::DuplicateExtension(_)
                | PeerMisbehaved::PskNotLast
                | PeerMisbehaved::DuplicateKeyShare(_)
                | PeerMisbehaved::KeyShareOutsideGroups(_)
                | PeerMisbehaved::InvalidKeyShare(_)
                | PeerMisbehaved::Compression
                | PeerMisbehaved::WrongRetryKeyShare
                | PeerMisbehaved::ChangedClientHello
                | PeerMisbehaved::EarlyDataAfterRetry
                | PeerMisbehaved::UnofferedSignatureScheme { .. }
                | PeerMisbehaved::WrongSignatureScheme(_)
                | PeerMisbehaved::MisplacedExtension(_)
                | PeerMisbehaved::UnofferedSuite(_)
                | PeerMisbehaved::UnofferedCompression(_)
                | PeerMisbehaved::UnofferedGroup(_)
                | PeerMisbehaved::UnofferedCurve(_)
                | PeerMisbehaved::UnofferedPsk(_)
                | PeerMisbehaved::UnofferedProtocol
                | PeerMisbehaved::ChangedSuite { .. }
                | PeerMisbehaved::ChangedGroup { .. }
                | PeerMisbehaved::Downgrade
                | PeerMisbehaved::IllegalParameter(_) => Alert::ILLEGAL_PARAMETER,
                PeerMisbehaved::WrongFinished | PeerMisbehaved::WrongSignature | PeerMisbehaved::WrongBinder => {
                    Alert::DECRYPT_ERROR
                }
            },
            Error::Certificate(refusal) => certificate_alert(refusal),
            Error::PeerIncompatible(incompatible) => match incompatible {
                PeerIncompatible::Version(_) => Alert::PROTOCOL_VERSION,
                PeerIncompatible::Protocol => Alert::NO_APPLICATION_PROTOCOL,
                PeerIncompatible::CipherSuite
                | PeerIncompatible::Group
                | PeerIncompatible::CertificateCurve
                | PeerIncompatible::SignatureScheme
                | PeerIncompatible::ExtendedMasterSecret => Alert::HANDSHAKE_FAILURE,
            },
            Error::Internal(_) => Alert::INTERNAL_ERROR,
            Error::AlertReceived(_) | Error::Truncated | Error::Misuse(_) | Error::KeyLimit => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::InvalidMessage(invalid) => invalid.fmt(f),
            Error::PeerMisbehaved(misbehaved) => misbehaved.fmt(f),
            Error::PeerIncompatible(incompatible) => incompatible.fmt(f),
            Error::Certificate(refusal) => refusal.fmt(f),
            Error::AlertReceived(alert) => write!(f, "the peer refused: {alert}"),
            Error::Truncated => f.write_str("the peer ended the connection without close_notify"),
            Error::Misuse(misuse) => misuse.fmt(f),
            Error::KeyLimit => f.write_str("the key has protected as many records as it may; open a new connection"),
            Error::Internal(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for Error {}

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HandshakeNotDone => "no data before the handshake is done",
            Self::WriteAfterClose => "the connection is closed for writing",
        })
    }
}

impl fmt::Display for InvalidMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ContentType(byte) => write!(f, "not TLS: a record cannot begin with byte {byte:#04x}"),
            Self::Http => f.write_str("not TLS: this is an HTTP request"),
            Self::RecordVersion(version) => write!(f, "not TLS: record version {:#06x}", version.0),
            Self::RecordTooLong(length) => write!(f, "record of {length} bytes is over the limit"),
            Self::EmptyRecord => f.write_str("empty record of a type that may not be empty"),
            Self::NoInnerContentType => f.write_str("encrypted record without a content type inside"),
            Self::HandshakeTooLong { kind, length, limit } => {
                write!(
                    f,
                    "handshake message {kind} of {length} bytes is over the limit of {limit} bytes"
                )
            }
            Self::MissingData(what) => write!(f, "{what} ends too early"),
            Self::TrailingData(what) => write!(f, "{what} has bytes left over"),
            Self::IllegalValue(what) => write!(f, "{what} has an illegal value"),
        }
    }
}

impl fmt::Display for PeerMisbehaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadRecordMac => f.write_str("record does not authenticate"),
            Self::UnexpectedRecord(kind) => write!(f, "unexpected record of type {kind}"),
            Self::UnexpectedHandshake(kind) => write!(f, "unexpected handshake message of type {kind}"),
            Self::InterleavedHandshake => f.write_str("another record between the fragments of a handshake message"),
            Self::MessageAcrossKeyChange => f.write_str("handshake message spans a key change"),
            Self::TooManyEmptyRecords => f.write_str("too many consecutive empty records"),
            Self::TooManyKeyUpdates => f.write_str("too many key updates without data"),
            Self::TooManyTickets => f.write_str("too many session tickets"),
            Self::TooMuchEarlyData => f.write_str("too much early data"),
            Self::Ssl3 => f.write_str("SSL 3.0 is not supported"),
            Self::DuplicateExtension(kind) => write!(f, "duplicate extension {kind}"),
            Self::PskNotLast => f.write_str("pre_shared_key is not the last extension"),
            Self::MissingExtension(kind) => write!(f, "missing extension {kind}"),
            Self::DuplicateKeyShare(group) => write!(f, "duplicate key share for {group}"),
            Self::KeyShareOutsideGroups(group) => {
                write!(f, "key share for {group}, which supported_groups does not list")
            }
            Self::InvalidKeyShare(group) => write!(f, "key share is not a public value of {group}"),
            Self::Compression => f.write_str("compression methods other than null"),
            Self::WrongRetryKeyShare => f.write_str("second ClientHello without the requested key share"),
            Self::ChangedClientHello => f.write_str("second ClientHello differs from the first where it may not"),
            Self::EarlyDataAfterRetry => f.write_str("second ClientHello offers early data"),
            Self::IllegalParameter(what) => write!(f, "{what} has a value that is not allowed"),
            Self::WrongFinished => f.write_str("Finished does not match the handshake"),
            Self::WrongSignature => f.write_str("the signature was not made with the key in the certificate"),
            Self::UnofferedSignatureScheme { scheme, offered } => {
                write!(f, "signature scheme {scheme} was not offered (offered: {offered})")
            }
            Self::WrongSignatureScheme(scheme) => {
                write!(
                    f,
                    "signature scheme {scheme} cannot be used with the peer's certificate"
                )
            }
            Self::WrongBinder => f.write_str("the binder of the ticket does not match the ClientHello"),
            Self::UnofferedExtension(kind) => write!(f, "extension {kind} was not offered"),
            Self::MisplacedExtension(kind) => write!(f, "extension {kind} is not allowed in this message"),
            Self::UnofferedSuite(suite) => write!(f, "the server chose {suite}, which was not offered"),
            Self::UnofferedCompression(method) => {
                write!(f, "the server chose compression method {method}, which was not offered")
            }
            Self::UnofferedGroup(group) => write!(f, "the server chose {group}, which was not offered"),
            Self::UnofferedCurve(group) => write!(
                f,
                "the server's certificate has a key on {group}, which was not offered"
            ),
            Self::UnofferedPsk(number) => write!(f, "the server chose PSK {number}, which was not offered"),
            Self::UnofferedProtocol => f.write_str("the server chose an application protocol that was not offered"),
            Self::ChangedSuite { from, to } => write!(f, "the server changed the cipher suite from {from} to {to}"),
            Self::ChangedGroup { from, to } => write!(f, "the server changed the group from {from} to {to}"),
            Self::Downgrade => f.write_str("downgrade: the server supports TLS 1.3, but negotiated TLS 1.2"),
            Self::InappropriateFallback => f.write_str("the client fell back to a lower version than both support"),
            Self::RenegotiationInfo => f.write_str("renegotiation_info does not fit a first handshake"),
            Self::ChangedMasterSecret => f.write_str("extended_master_secret differs from the resumed session's"),
            Self::NoServerCertificate => f.write_str("the server sent no certificate"),
            Self::NoClientCertificate(_) => f.write_str("the client sent no certificate, which is required here"),
            Self::KeyTooLong => f.write_str("the public key in the certificate is too long"),
            Self::ChainTooLong => write!(f, "more than {MAX_CHAIN} certificates in the chain"),
            Self::TooManyRenegotiations => f.write_str("too many renegotiation requests"),
        }
    }
}

impl fmt::Display for PeerIncompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(None) => f.write_str("no common version: the peer offers none that is known here"),
            Self::Version(Some(version)) => write!(f, "no common version: the peer offers at most {version}"),
            Self::CipherSuite => f.write_str("no common cipher suite"),
            Self::Group => f.write_str("no common group"),
            Self::CertificateCurve => {
                f.write_str("the client does not list the curve of the server's certificate in supported_groups")
            }
            Self::ExtendedMasterSecret => f.write_str("TLS 1.2 without extended_master_secret"),
            Self::SignatureScheme => f.write_str("no common signature scheme for the server's certificates"),
            Self::Protocol => f.write_str("no common application protocol (ALPN)"),
        }
    }
}

/// The alert for a refused certificate (RFC 8446 §6.2). A fault in our own configuration is not disclosed: the peer learns
/// only that its certificate cannot be verified.
fn certificate_alert(refusal: &CertificateError) -> AlertDescription {
    use AlertDescription as Alert;
    use CertificateError as Refusal;
    match refusal {
        Refusal::EmptyChain => Alert::DECODE_ERROR,
        Refusal::NoTrustAnchors
        | Refusal::TooManyConfigured
        | Refusal::MalformedTrustAnchor
        | Refusal::MalformedCrl
        | Refusal::ClockWrong { .. } => Alert::INTERNAL_ERROR,
        Refusal::Expired { .. } | Refusal::NotYetValid { .. } => Alert::CERTIFICATE_EXPIRED,
        Refusal::UnknownIssuer { .. } | Refusal::UnusableAnchor { .. } => Alert::UNKNOWN_CA,
        Refusal::Revoked { .. } => Alert::CERTIFICATE_REVOKED,
        #[cfg(feature = "ocsp")]
        Refusal::RevokedByResponder { .. } => Alert::CERTIFICATE_REVOKED,
        // RFC 6066 §8; one that never came is none that is bad.
        #[cfg(feature = "ocsp")]
        Refusal::Staple(_) => Alert::BAD_CERTIFICATE_STATUS_RESPONSE,
        #[cfg(feature = "ocsp")]
        Refusal::NoStaple => Alert::CERTIFICATE_UNKNOWN,
        Refusal::NotAllowed { .. } => Alert::ACCESS_DENIED,
        Refusal::WrongPurpose { .. }
        | Refusal::KeyMayNotSign
        | Refusal::V1Certificate { .. }
        | Refusal::CaUsedAsEndEntity { .. }
        | Refusal::IssuerKey { .. }
        | Refusal::Key(_)
        | Refusal::UnsupportedNameConstraint { .. }
        | Refusal::UnsupportedSignatureAlgorithm
        | Refusal::UnsupportedCriticalExtension => Alert::UNSUPPORTED_CERTIFICATE,
        Refusal::CrlExpired { .. }
        | Refusal::CrlBadSignature
        | Refusal::CrlUnsupportedSignature
        | Refusal::CrlNotYetValid { .. }
        | Refusal::CrlTooOld { .. }
        | Refusal::UnsupportedCrl(_)
        | Refusal::CrlIssuerMayNotSign => Alert::CERTIFICATE_UNKNOWN,
        _ => Alert::BAD_CERTIFICATE,
    }
}

impl From<CertificateError> for Error {
    fn from(refusal: CertificateError) -> Self {
        Error::Certificate(refusal)
    }
}

/// The outbound buffer holds any flight, which was checked when the connection was made.
impl From<Full> for Error {
    fn from(_: Full) -> Self {
        Error::Internal("outbound buffer too small for the flight")
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Error::Misuse(misuse)
    }
}

impl From<InvalidMessage> for Error {
    fn from(invalid: InvalidMessage) -> Self {
        Error::InvalidMessage(invalid)
    }
}

impl From<PeerMisbehaved> for Error {
    fn from(misbehaved: PeerMisbehaved) -> Self {
        Error::PeerMisbehaved(misbehaved)
    }
}

impl From<PeerIncompatible> for Error {
    fn from(incompatible: PeerIncompatible) -> Self {
        Error::PeerIncompatible(incompatible)
    }
}

#[cfg(test)]
mod tests;
