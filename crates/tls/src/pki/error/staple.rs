//! Why a stapled OCSP response is refused.

use core::fmt;

use super::{CertificateError, apart};

/// Why an OCSP response that came stapled to a certificate cannot be relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StapleFault {
    /// The DER of what is named here is broken.
    Malformed(&'static str),
    /// The responder had no answer, but this to say (RFC 6960 §4.2.1).
    Unsuccessful(&'static str),
    /// It is of another kind than id-pkix-ocsp-basic.
    UnsupportedKind,
    /// It, or the certificate of the responder, has a critical extension that is not understood.
    CriticalExtension,
    /// Nothing in it is about the certificate.
    OtherCertificate,
    /// The responder does not know the certificate.
    UnknownCertificate,
    /// It is not of today, but of later.
    NotYetValid {
        /// When it will be true.
        this_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// It is out of date.
    Expired {
        /// When there was to be a newer one.
        next_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// It does not say when there will be a newer one, and is older than [`crate::pki::staple::MAX_AGE`].
    TooOld {
        /// When it was true.
        this_update: u64,
        /// What the clock shows.
        now: u64,
    },
    /// Its signature is not that of whom it names.
    BadSignature,
    /// It, or the certificate of the responder, is signed with an algorithm, or a kind or size of key, that is not
    /// supported.
    UnsupportedSignatureAlgorithm,
    /// It was signed neither by the issuer of the certificate nor by anybody whose certificate came along.
    UnknownResponder,
    /// The certificate of the responder is not by the issuer of the certificate in question.
    StrangeResponder,
    /// The certificate of the responder does not state the purpose of signing OCSP responses (RFC 6960 §4.2.2.2).
    ResponderMayNotSign,
    /// The certificate of the responder is not valid yet.
    ResponderNotYetValid {
        /// The first second of its life.
        not_before: u64,
        /// What the clock shows.
        now: u64,
    },
    /// The certificate of the responder has expired.
    ResponderExpired {
        /// The last second of its life.
        not_after: u64,
        /// What the clock shows.
        now: u64,
    },
    /// The certificate of the responder is on a revocation list.
    ResponderRevoked,
}

impl fmt::Display for StapleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut dated = |words: &str, date: u64, now: u64| {
            let [date, now] = apart(date, now);
            write!(f, "{words} {date} (it is {now} now)")
        };
        match *self {
            Self::Malformed(what) => write!(f, "malformed ({what})"),
            Self::Unsuccessful(status) => write!(f, "the responder had no answer ({status})"),
            Self::UnsupportedKind => f.write_str("it is of a kind that is not supported"),
            Self::CriticalExtension => f.write_str("it has a critical extension that is not understood"),
            Self::OtherCertificate => f.write_str("it is about another certificate"),
            Self::UnknownCertificate => f.write_str("the responder does not know the certificate"),
            Self::NotYetValid { this_update, now } => dated("it is not valid before", this_update, now),
            Self::Expired { next_update, now } => dated("it expired", next_update, now),
            Self::TooOld { this_update, now } => {
                dated("it does not say how long it is good, and is of", this_update, now)
            }
            Self::BadSignature => f.write_str("its signature is not that of the responder"),
            Self::UnsupportedSignatureAlgorithm => {
                f.write_str("it is signed with an algorithm or key that is not supported")
            }
            Self::UnknownResponder => f.write_str("it was not signed by the certificate's issuer"),
            Self::StrangeResponder => {
                f.write_str("the responder's certificate was not signed by the issuer of the server's")
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
