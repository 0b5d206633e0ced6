//! Why a chain of certificates is refused.

use core::fmt;

use super::anchor::AnchorFault;
use super::cert::{CertError, Date};
use super::crl::{MAX_AGE, Unsupported};
use super::limits::{MAX_CHAIN, MAX_INTERMEDIATES, MAX_NAME_COMPARISONS, MAX_OF_ONE_NAME, MAX_SIGNATURES};
use super::signed::KeyFault;
use super::text::Text;
#[cfg(feature = "ocsp")]
pub use staple::StapleFault;

#[cfg(feature = "ocsp")]
mod staple;

/// Why a chain of certificates is refused, with the facts that a person needs to put it right.
///
/// Points in time are seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// The peer has sent no certificate.
    EmptyChain,
    /// No CA is configured, so nobody can vouch for anybody.
    NoTrustAnchors,
    /// More CAs or revocation lists are configured than [`super::verify::MAX_ANCHORS`] or
    /// [`super::verify::MAX_CRLS`].
    TooManyConfigured,
    /// A configured CA certificate cannot be read.
    MalformedTrustAnchor,
    /// The clock shows a time before the build: dates cannot be judged.
    ClockWrong {
        /// What the clock shows.
        now: u64,
        /// When the build was.
        floor: u64,
    },
    /// More certificates were sent than [`super::verify::MAX_CHAIN`].
    ChainTooLong {
        /// How many.
        sent: usize,
    },
    /// A certificate of the peer is no well-formed DER, or contradicts itself.
    Malformed(CertError),
    /// The peer's own certificate is X.509 version 1 (or 2), which has no extensions.
    V1Certificate {
        /// Whether pinned verification would tolerate it.
        pinned: bool,
    },
    /// The peer's own certificate is that of a CA.
    CaUsedAsEndEntity {
        /// Whether pinned verification would tolerate it.
        pinned: bool,
    },
    /// A certificate has been issued by a configured CA that cannot be used ([`super::anchor::check`]).
    UnusableAnchor {
        /// The subject of that CA.
        subject: Text,
        /// What is wrong with it.
        fault: AnchorFault,
    },
    /// A certificate has been issued by one of X.509 version 1 (or 2), which has no basicConstraints (RFC 5280 §6.1.4 k).
    V1Issuer {
        /// The subject of that issuer.
        subject: Text,
    },
    /// No signature by the key of an issuer can be verified.
    IssuerKey {
        /// The subject of that issuer.
        subject: Text,
        /// What is wrong with its key.
        fault: KeyFault,
    },
    /// No signature by the key in the peer's certificate can be verified.
    Key(KeyFault),
    /// A certificate has been issued by one that is not that of a CA.
    NotACa {
        /// The subject of that issuer.
        subject: Text,
    },
    /// A certificate has been issued by a CA whose key is not for that (keyUsage, RFC 5280 §6.1.4 n).
    CaMayNotIssue {
        /// The subject of that CA.
        subject: Text,
    },
    /// A certificate has expired.
    Expired {
        /// The last second of its life.
        not_after: u64,
        /// What the clock shows.
        now: u64,
    },
    /// A certificate is not valid yet.
    NotYetValid {
        /// The first second of its life.
        not_before: u64,
        /// What the clock shows.
        now: u64,
    },
    /// The chain ends with an issuer that is none of the configured CAs.
    UnknownIssuer {
        /// That issuer.
        issuer: Text,
    },
    /// The signature on a certificate was not made by the key of its issuer, or the certificate was changed.
    BadSignature,
    /// A certificate is signed with an algorithm, or a kind or size of key, that is not supported.
    UnsupportedSignatureAlgorithm,
    /// A certificate has a critical extension that is not understood, so it must be refused (RFC 5280 §4.2).
    UnsupportedCriticalExtension,
    /// A certificate is for other purposes (extendedKeyUsage, RFC 5280 §4.2.1.12).
    WrongPurpose {
        /// The purpose it is needed for.
        wanted: &'static str,
        /// Those it states.
        present: Text<80>,
    },
    /// The certificate is good, but its subject is not among those who are let in ([`super::verify::Trust::with_allowed`]).
    NotAllowed {
        /// Its subject.
        subject: Text,
    },
    /// The key in the peer's certificate is not for signatures (keyUsage, RFC 8446 §4.4.2.2).
    KeyMayNotSign,
    /// The certificate does not name the peer that was wanted.
    NotValidForName {
        /// The name or address that was wanted.
        wanted: Text<40>,
        /// Those that the certificate gives.
        present: Text<64>,
    },
    /// A CA may not issue certificates with such a name (RFC 5280 §4.2.1.10).
    NameConstraintViolation,
    /// A CA constrains names in a way that is not supported, so that every certificate with such names is refused.
    UnsupportedNameConstraint {
        /// The subject of that CA.
        subject: Text,
        /// The form of the names.
        form: &'static str,
    },
    /// There are more intermediates than a CA allows (RFC 5280 §4.2.1.9).
    PathTooLong {
        /// The subject of that CA.
        subject: Text,
        /// How many it allows.
        allowed: u32,
    },
    /// There are more intermediates than [`super::limits::MAX_INTERMEDIATES`].
    TooManyIntermediates,
    /// There are more intermediates of one name than [`super::limits::MAX_OF_ONE_NAME`].
    TooManyOfOneName {
        /// Their subject.
        subject: Text,
    },
    /// More than [`MAX_SIGNATURES`] signatures would have to be verified.
    TooComplex,
    /// More than [`MAX_NAME_COMPARISONS`] names would have to be compared with name constraints.
    TooManyNameComparisons,
    /// A certificate has been revoked by its issuer.
    Revoked {
        /// Its serial number, in hexadecimal.
        serial: Text,
    },
    /// A stapled OCSP response says that a certificate has been revoked.
    #[cfg(feature = "ocsp")]
    RevokedByResponder {
        /// Its serial number, in hexadecimal.
        serial: Text,
        /// Since when.
        at: u64,
        /// Why, where it is said (RFC 5280 §5.3.1).
        reason: Option<&'static str>,
    },
    /// A stapled OCSP response cannot be relied on.
    #[cfg(feature = "ocsp")]
    Staple(StapleFault),
    /// The server's certificate demands a stapled OCSP response (RFC 7633), and there is none.
    #[cfg(feature = "ocsp")]
    NoStaple,
    /// The issuer's revocation list is out of date, so nobody knows what has been revoked since.
    CrlExpired {
        /// When the next list was due.
        next_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// A configured revocation list cannot be read.
    MalformedCrl,
    /// A revocation list was not signed by the key of the issuer whose name it bears.
    CrlBadSignature,
    /// A revocation list is signed with an algorithm, or a kind or size of key, that is not supported.
    CrlUnsupportedSignature,
    /// A revocation list is of a kind that is not supported.
    UnsupportedCrl(Unsupported),
    /// A revocation list is not of today, but of later.
    CrlNotYetValid {
        /// When it was made, by its own word.
        this_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// A revocation list does not name the time of the next one, and is older than [`super::crl::MAX_AGE`].
    CrlTooOld {
        /// When it was made.
        this_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// The issuer's certificate does not allow it to sign revocation lists.
    CrlIssuerMayNotSign,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyChain => f.write_str("no certificate was sent"),
            Self::NoTrustAnchors => f.write_str("no CA certificate is configured to verify against"),
            Self::TooManyConfigured => f.write_str("too many CA certificates or revocation lists are configured"),
            Self::MalformedTrustAnchor => f.write_str("a configured CA certificate is malformed"),
            Self::ClockWrong { now, floor } => write!(
                f,
                "the clock is wrong: it shows {}, before this build of {}, so dates cannot be judged",
                Date(*now),
                Date(*floor)
            ),
            Self::ChainTooLong { sent } => write!(
                f,
                "{sent} certificates were sent, and more than {MAX_CHAIN} are refused"
            ),
            Self::Malformed(error @ CertError::Malformed(_)) => write!(f, "certificate {error}"),
            Self::Malformed(error) => write!(f, "certificate refused: {error}"),
            Self::V1Certificate { pinned } => write!(
                f,
                "certificate is X.509 version 1, without extensions: reissue it with a subjectAltName \
                 (openssl x509 -req needs -extfile beside -extensions){}",
                or_pinned(*pinned)
            ),
            Self::CaUsedAsEndEntity { pinned } => write!(
                f,
                "certificate is that of a CA: reissue it with basicConstraints CA:FALSE{}",
                or_pinned(*pinned)
            ),
            Self::UnusableAnchor { subject, fault } => write!(f, "configured CA cannot be used: {subject}: {fault}"),
            Self::V1Issuer { subject } => {
                write!(f, "issuer is X.509 version 1, and so not a CA: {subject}")
            }
            Self::IssuerKey { subject, fault } => write!(f, "issuer's key {fault}: {subject}"),
            Self::Key(fault) => write!(f, "certificate's key {fault}"),
            Self::NotACa { subject } => write!(f, "issuer is not a CA: {subject}"),
            Self::CaMayNotIssue { subject } => {
                write!(
                    f,
                    "issuer may not sign certificates (keyUsage lacks keyCertSign): {subject}"
                )
            }
            Self::Expired { not_after, now } => {
                let [not_after, now] = apart(*not_after, *now);
                write!(f, "certificate expired {not_after} (it is {now} now)")
            }
            Self::NotYetValid { not_before, now } => {
                let [not_before, now] = apart(*not_before, *now);
                write!(f, "certificate not valid before {not_before} (it is {now} now)")
            }
            Self::UnknownIssuer { issuer } => write!(f, "issuer unknown: {issuer}"),
            Self::BadSignature => f.write_str("certificate's signature is not that of its issuer"),
            Self::UnsupportedSignatureAlgorithm => {
                f.write_str("certificate is signed with an algorithm or key that is not supported")
            }
            Self::UnsupportedCriticalExtension => {
                f.write_str("certificate has a critical extension that is not understood")
            }
            Self::WrongPurpose { wanted, present } => {
                write!(f, "certificate is not for {wanted}, but for {present}")
            }
            Self::NotAllowed { subject } => write!(f, "not on the list of allowed clients: {subject}"),
            Self::KeyMayNotSign => f.write_str("certificate's keyUsage does not include digitalSignature"),
            Self::NotValidForName { wanted, present } => {
                write!(f, "certificate is not for {wanted}, but for {present}")
            }
            Self::NameConstraintViolation => f.write_str("certificate has a name that its issuer may not give"),
            Self::UnsupportedNameConstraint { subject, form } => {
                write!(f, "issuer constrains names ({form}), which is not supported: {subject}")
            }
            Self::PathTooLong { subject, allowed } => write!(
                f,
                "certificate chain is longer than allowed: pathLenConstraint {allowed} of {subject}"
            ),
            Self::TooManyIntermediates => write!(
                f,
                "more than {MAX_INTERMEDIATES} intermediate certificates up to a configured CA"
            ),
            Self::TooManyOfOneName { subject } => {
                write!(
                    f,
                    "more than {MAX_OF_ONE_NAME} intermediate certificates of one name: {subject}"
                )
            }
            Self::TooComplex => write!(
                f,
                "certificate takes more than {MAX_SIGNATURES} signature checks to verify"
            ),
            Self::TooManyNameComparisons => write!(
                f,
                "name constraints take more than {MAX_NAME_COMPARISONS} comparisons with names"
            ),
            Self::Revoked { serial } => write!(f, "certificate revoked: serial number {serial}"),
            #[cfg(feature = "ocsp")]
            Self::RevokedByResponder { serial, at, reason } => {
                write!(f, "certificate revoked {}", Date(*at))?;
                if let Some(reason) = reason {
                    write!(f, " ({reason})")?;
                }
                write!(f, ", says the stapled OCSP response: serial number {serial}")
            }
            #[cfg(feature = "ocsp")]
            Self::Staple(fault) => write!(f, "stapled OCSP response refused: {fault}"),
            #[cfg(feature = "ocsp")]
            Self::NoStaple => f.write_str("certificate demands a stapled OCSP response, and none came"),
            Self::CrlExpired { next_update, now } => {
                write!(
                    f,
                    "revocation list expired {} (it is {} now)",
                    Date(*next_update),
                    Date(*now)
                )
            }
            Self::MalformedCrl => f.write_str("a configured revocation list is malformed"),
            Self::CrlBadSignature => f.write_str("revocation list's signature is not that of the issuer"),
            Self::CrlUnsupportedSignature => {
                f.write_str("revocation list is signed with an algorithm or key that is not supported")
            }
            Self::UnsupportedCrl(kind) => write!(f, "revocation list is of a kind that is not supported ({kind})"),
            Self::CrlNotYetValid { this_update, now } => {
                let [this_update, now] = apart(*this_update, *now);
                write!(f, "revocation list not valid before {this_update} (it is {now} now)")
            }
            Self::CrlTooOld { this_update, now } => write!(
                f,
                "revocation list names no next update and is more than {MAX_AGE} days old: it is of {} (it is {} now)",
                Date(*this_update),
                Date(*now)
            ),
            Self::CrlIssuerMayNotSign => f.write_str("issuer may not sign revocation lists (keyUsage lacks cRLSign)"),
        }
    }
}

impl core::error::Error for CertificateError {}

/// The advice to choose pinned verification, where that helps.
const fn or_pinned(helps: bool) -> &'static str {
    if helps { ", or choose pinned verification" } else { "" }
}

/// Two times, with the time of day if they are of one day.
fn apart(first: u64, second: u64) -> [Moment; 2] {
    let of_one_day = first / 86_400 == second / 86_400;
    [first, second].map(|time| Moment { time, of_one_day })
}

struct Moment {
    time: u64,
    of_one_day: bool,
}

impl core::fmt::Display for Moment {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.of_one_day {
            true => write!(f, "{:#}", Date(self.time)),
            false => write!(f, "{}", Date(self.time)),
        }
    }
}
