//! Reasons for refusing a certificate chain.

use core::fmt;

use super::anchor::AnchorFault;
use super::cert::{CertError, Date};
use super::crl::{MAX_AGE, Unsupported};
use super::limits::{MAX_CHAIN, MAX_INTERMEDIATES, MAX_NAME_COMPARISONS, MAX_SAME_NAME, MAX_SIGNATURES};
use super::signed::KeyFault;
use super::text::Text;
#[cfg(feature = "ocsp")]
pub use staple::StapleFault;

#[cfg(feature = "ocsp")]
mod staple;

/// Why a certificate chain is refused, with the facts needed to fix it.
///
/// Points in time are seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateError {
    /// The peer sent no certificate.
    EmptyChain,
    /// No CA is configured, so no chain can be verified.
    NoTrustAnchors,
    /// More CAs or revocation lists are configured than [`super::verify::MAX_ANCHORS`] or
    /// [`super::verify::MAX_CRLS`].
    TooManyConfigured,
    /// A configured CA certificate cannot be read.
    MalformedTrustAnchor,
    /// The clock is earlier than the build: validity dates cannot be checked.
    ClockWrong {
        /// What the clock shows.
        now: u64,
        /// When this was built.
        floor: u64,
    },
    /// More certificates were sent than [`super::verify::MAX_CHAIN`].
    ChainTooLong {
        /// How many.
        sent: usize,
    },
    /// A certificate sent by the peer is not well-formed DER, or is inconsistent.
    Malformed(CertError),
    /// The peer's own certificate is X.509 version 1 (or 2), which has no extensions.
    V1Certificate {
        /// Whether pinned verification would tolerate it.
        pinned: bool,
    },
    /// The peer's own certificate is a CA certificate.
    CaUsedAsEndEntity {
        /// Whether pinned verification would tolerate it.
        pinned: bool,
    },
    /// A certificate was issued by a configured CA that cannot be used ([`super::anchor::check`]).
    UnusableAnchor {
        /// The subject of that CA.
        subject: Text,
        /// What is wrong with it.
        fault: AnchorFault,
    },
    /// The issuer's certificate is X.509 version 1 (or 2), which has no basicConstraints (RFC 5280 §6.1.4 k).
    V1Issuer {
        /// The subject of that issuer.
        subject: Text,
    },
    /// The issuer's key cannot verify signatures.
    IssuerKey {
        /// The subject of that issuer.
        subject: Text,
        /// What is wrong with its key.
        fault: KeyFault,
    },
    /// The key in the peer's certificate cannot verify signatures.
    Key(KeyFault),
    /// The issuer's certificate is not a CA certificate.
    NotACa {
        /// The subject of that issuer.
        subject: Text,
    },
    /// The issuer's key may not sign certificates (keyUsage, RFC 5280 §6.1.4 n).
    CaMayNotIssue {
        /// The subject of that CA.
        subject: Text,
    },
    /// A certificate has expired.
    Expired {
        /// Its notAfter.
        not_after: u64,
        /// What the clock shows.
        now: u64,
    },
    /// A certificate is not valid yet.
    NotYetValid {
        /// Its notBefore.
        not_before: u64,
        /// What the clock shows.
        now: u64,
    },
    /// The chain ends with an issuer that is not a configured CA.
    UnknownIssuer {
        /// That issuer.
        issuer: Text,
    },
    /// The certificate's signature does not verify with its issuer's key.
    BadSignature,
    /// A certificate is signed with an unsupported algorithm, key type or key size.
    UnsupportedSignatureAlgorithm,
    /// A certificate has an unsupported critical extension, so it must be refused (RFC 5280 §4.2).
    UnsupportedCriticalExtension,
    /// A certificate is for other purposes (extendedKeyUsage, RFC 5280 §4.2.1.12).
    WrongPurpose {
        /// The required purpose.
        wanted: &'static str,
        /// The purposes that it lists.
        present: Text<80>,
    },
    /// The certificate is valid, but the peer is not on the allow-list ([`super::verify::Trust::with_allowed`]).
    NotAllowed {
        /// Its subject.
        subject: Text,
    },
    /// The key in the peer's certificate may not sign (keyUsage, RFC 8446 §4.4.2.2).
    KeyMayNotSign,
    /// The certificate does not contain the expected name.
    NotValidForName {
        /// The expected name or address.
        wanted: Text<40>,
        /// The names that the certificate contains; empty if it has no subjectAltName.
        present: Text<64>,
    },
    /// A name is outside the issuer's name constraints (RFC 5280 §4.2.1.10).
    NameConstraintViolation,
    /// A CA has unsupported name constraints, so every certificate with a name of that form is refused.
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
    /// There are more intermediates with the same name than [`super::limits::MAX_SAME_NAME`].
    TooManyOfOneName {
        /// Their subject.
        subject: Text,
    },
    /// Verification needs more than [`MAX_SIGNATURES`] signature checks.
    TooComplex,
    /// Name constraints need more than [`MAX_NAME_COMPARISONS`] comparisons.
    TooManyNameComparisons,
    /// A certificate is revoked by its issuer's list.
    Revoked {
        /// Its serial number, in hexadecimal.
        serial: Text,
    },
    /// A certificate is revoked according to a stapled OCSP response.
    #[cfg(feature = "ocsp")]
    RevokedByResponder {
        /// Its serial number, in hexadecimal.
        serial: Text,
        /// Since when.
        at: u64,
        /// Why, if the response states it (RFC 5280 §5.3.1).
        reason: Option<&'static str>,
    },
    /// A stapled OCSP response is refused.
    #[cfg(feature = "ocsp")]
    Staple(StapleFault),
    /// The server's certificate requires a stapled OCSP response (RFC 7633), and there is none.
    #[cfg(feature = "ocsp")]
    NoStaple,
    /// The issuer's revocation list has expired, so later revocations are unknown.
    CrlExpired {
        /// When the next list was due.
        next_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// A configured revocation list cannot be read.
    MalformedCrl,
    /// A revocation list was not signed by the issuer that it names.
    CrlBadSignature,
    /// A revocation list is signed with an unsupported algorithm, key type or key size.
    CrlUnsupportedSignature,
    /// The type of a revocation list is not supported.
    UnsupportedCrl(Unsupported),
    /// A revocation list is not valid yet.
    CrlNotYetValid {
        /// Its thisUpdate.
        this_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// A revocation list has no nextUpdate and is older than [`super::crl::MAX_AGE`].
    CrlTooOld {
        /// Its thisUpdate.
        this_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// The issuer's certificate does not allow it to sign revocation lists.
    CrlIssuerMayNotSign,
}

impl fmt::Display for CertificateError {
    #[expect(clippy::too_many_lines, reason = "a flat table of texts")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyChain => f.write_str("no certificate was sent"),
            Self::NoTrustAnchors => f.write_str("no CA certificate is configured to verify against"),
            Self::TooManyConfigured => f.write_str("too many CA certificates or revocation lists are configured"),
            Self::MalformedTrustAnchor => f.write_str("a configured CA certificate is malformed"),
            Self::ClockWrong { now, floor } => write!(
                f,
                "the clock is wrong: it shows {}, before this build of {}, so dates cannot be checked",
                Date(*now),
                Date(*floor)
            ),
            Self::ChainTooLong { sent } => {
                write!(f, "{sent} certificates were sent (at most {MAX_CHAIN} are accepted)")
            }
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
                "certificate is a CA certificate: reissue it with basicConstraints CA:FALSE{}",
                or_pinned(*pinned)
            ),
            Self::UnusableAnchor { subject, fault } => write!(f, "configured CA cannot be used: {subject}: {fault}"),
            Self::V1Issuer { subject } => {
                write!(f, "issuer is X.509 version 1 and therefore not a CA: {subject}")
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
                let [not_after, now] = moments(*not_after, *now);
                write!(f, "certificate expired {not_after} (it is {now} now)")
            }
            Self::NotYetValid { not_before, now } => {
                let [not_before, now] = moments(*not_before, *now);
                write!(f, "certificate not valid before {not_before} (it is {now} now)")
            }
            Self::UnknownIssuer { issuer } => write!(f, "issuer unknown: {issuer}"),
            Self::BadSignature => f.write_str("certificate's signature is not its issuer's"),
            Self::UnsupportedSignatureAlgorithm => {
                f.write_str("certificate is signed with an unsupported algorithm or key")
            }
            Self::UnsupportedCriticalExtension => f.write_str("certificate has an unsupported critical extension"),
            Self::WrongPurpose { wanted, present } => {
                write!(f, "certificate is for {present}, not for {wanted}")
            }
            Self::NotAllowed { subject } => write!(f, "not on the list of allowed clients: {subject}"),
            Self::KeyMayNotSign => f.write_str("certificate's keyUsage does not include digitalSignature"),
            Self::NotValidForName { wanted, present } if present.is_empty() => {
                write!(
                    f,
                    "certificate does not match {wanted}: it has no subjectAltName (CN is ignored)"
                )
            }
            Self::NotValidForName { wanted, present } => {
                write!(f, "certificate does not match {wanted}: it is for {present}")
            }
            Self::NameConstraintViolation => {
                f.write_str("certificate has a name outside its issuer's name constraints")
            }
            Self::UnsupportedNameConstraint { subject, form } => {
                write!(f, "issuer has unsupported name constraints ({form}): {subject}")
            }
            Self::PathTooLong { subject, allowed } => write!(
                f,
                "certificate chain is longer than allowed: pathLenConstraint {allowed} of {subject}"
            ),
            Self::TooManyIntermediates => write!(
                f,
                "more than {MAX_INTERMEDIATES} intermediate certificates below a configured CA"
            ),
            Self::TooManyOfOneName { subject } => {
                write!(
                    f,
                    "more than {MAX_SAME_NAME} intermediate certificates with the same name: {subject}"
                )
            }
            Self::TooComplex => write!(
                f,
                "certificate takes more than {MAX_SIGNATURES} signature checks to verify"
            ),
            Self::TooManyNameComparisons => {
                write!(f, "name constraints need more than {MAX_NAME_COMPARISONS} comparisons")
            }
            Self::Revoked { serial } => write!(f, "certificate revoked: serial number {serial}"),
            #[cfg(feature = "ocsp")]
            Self::RevokedByResponder { serial, at, reason } => {
                write!(f, "certificate revoked {}", Date(*at))?;
                if let Some(reason) = reason {
                    write!(f, " ({reason})")?;
                }
                write!(f, " according to the stapled OCSP response: serial number {serial}")
            }
            #[cfg(feature = "ocsp")]
            Self::Staple(fault) => write!(f, "stapled OCSP response refused: {fault}"),
            #[cfg(feature = "ocsp")]
            Self::NoStaple => f.write_str("certificate requires a stapled OCSP response, but none was sent"),
            Self::CrlExpired { next_update, now } => {
                write!(
                    f,
                    "revocation list expired {} (it is {} now)",
                    Date(*next_update),
                    Date(*now)
                )
            }
            Self::MalformedCrl => f.write_str("a configured revocation list is malformed"),
            Self::CrlBadSignature => f.write_str("revocation list's signature is not its issuer's"),
            Self::CrlUnsupportedSignature => {
                f.write_str("revocation list is signed with an unsupported algorithm or key")
            }
            Self::UnsupportedCrl(kind) => write!(f, "revocation list type is not supported ({kind})"),
            Self::CrlNotYetValid { this_update, now } => {
                let [this_update, now] = moments(*this_update, *now);
                write!(f, "revocation list not valid before {this_update} (it is {now} now)")
            }
            Self::CrlTooOld { this_update, now } => write!(
                f,
                "revocation list has no nextUpdate and is more than {MAX_AGE} days old: issued {} (it is {} now)",
                Date(*this_update),
                Date(*now)
            ),
            Self::CrlIssuerMayNotSign => f.write_str("issuer may not sign revocation lists (keyUsage lacks cRLSign)"),
        }
    }
}

impl core::error::Error for CertificateError {}

/// The advice to choose pinned verification, if that helps.
const fn or_pinned(helps: bool) -> &'static str {
    if helps { ", or choose pinned verification" } else { "" }
}

/// Two times, with the time of day if they are on the same day.
fn moments(first: u64, second: u64) -> [Moment; 2] {
    let same_day = first / 86_400 == second / 86_400;
    [first, second].map(|time| Moment { time, same_day })
}

struct Moment {
    time: u64,
    same_day: bool,
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.same_day {
            true => write!(f, "{:#}", Date(self.time)),
            false => write!(f, "{}", Date(self.time)),
        }
    }
}
