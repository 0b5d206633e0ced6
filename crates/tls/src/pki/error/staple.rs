//! Why a stapled OCSP response is refused.

use core::fmt;

use super::{CertificateError, moments};

/// Why a stapled OCSP response is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StapleFault {
    /// The DER of the named element is malformed.
    Malformed(&'static str),
    /// The responder returned this error status (RFC 6960 §4.2.1).
    Unsuccessful(&'static str),
    /// Its type is not id-pkix-ocsp-basic.
    UnsupportedKind,
    /// It, or the responder's certificate, has an unsupported critical extension.
    CriticalExtension,
    /// It has no entry for the certificate.
    OtherCertificate,
    /// The responder does not know the certificate.
    UnknownCertificate,
    /// It is not valid yet.
    NotYetValid {
        /// Its thisUpdate.
        this_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// It has expired.
    Expired {
        /// Its nextUpdate.
        next_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// It has no nextUpdate, and is older than [`crate::pki::staple::MAX_AGE`].
    TooOld {
        /// Its thisUpdate.
        this_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// It was not signed by the responder that it names.
    BadSignature,
    /// It, or the responder's certificate, is signed with an unsupported algorithm, key type or key size.
    UnsupportedSignatureAlgorithm,
    /// It was signed neither by the certificate's issuer nor by a responder whose certificate it contains.
    UnknownResponder,
    /// The responder's certificate was not issued by the issuer of the certificate in question.
    ForeignResponder,
    /// The responder's certificate is not for OCSP signing (RFC 6960 §4.2.2.2).
    ResponderMayNotSign,
    /// The responder's certificate is not valid yet.
    ResponderNotYetValid {
        /// Its notBefore.
        not_before: u64,
        /// What the clock shows.
        now: u64,
    },
    /// The responder's certificate has expired.
    ResponderExpired {
        /// Its notAfter.
        not_after: u64,
        /// What the clock shows.
        now: u64,
    },
    /// The responder's certificate is revoked.
    ResponderRevoked,
}

impl fmt::Display for StapleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dated = |words: &str, date: u64, now: u64| {
            let [date, now] = moments(date, now);
            write!(f, "{words} {date} (it is {now} now)")
        };
        match *self {
            Self::Malformed(what) => write!(f, "malformed ({what})"),
            Self::Unsuccessful(status) => write!(f, "the responder returned an error ({status})"),
            Self::UnsupportedKind => f.write_str("its type is not supported"),
            Self::CriticalExtension => f.write_str("it has an unsupported critical extension"),
            Self::OtherCertificate => f.write_str("it is for another certificate"),
            Self::UnknownCertificate => f.write_str("the responder does not know the certificate"),
            Self::NotYetValid { this_update, now } => dated("it is not valid before", this_update, now),
            Self::Expired { next_update, now } => dated("it expired", next_update, now),
            Self::TooOld { this_update, now } => dated("it has no nextUpdate and was issued", this_update, now),
            Self::BadSignature => f.write_str("its signature is not the responder's"),
            Self::UnsupportedSignatureAlgorithm => f.write_str("it is signed with an unsupported algorithm or key"),
            Self::UnknownResponder => f.write_str("it was not signed by the certificate's issuer"),
            Self::ForeignResponder => {
                f.write_str("the responder's certificate was not signed by the server certificate's issuer")
            }
            Self::ResponderMayNotSign => f.write_str("the responder's certificate is not for OCSP signing"),
            Self::ResponderNotYetValid { not_before, now } => {
                dated("the responder's certificate is not valid before", not_before, now)
            }
            Self::ResponderExpired { not_after, now } => dated("the responder's certificate expired", not_after, now),
            Self::ResponderRevoked => f.write_str("the responder's certificate was revoked"),
        }
    }
}

impl From<StapleFault> for CertificateError {
    fn from(fault: StapleFault) -> Self {
        Self::Staple(fault)
    }
}
