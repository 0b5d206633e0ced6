//! Configured CAs: what each of them may be used for, and what is wrong with it.
//!
//! Verification, the check of a configuration and the choice among the roots of a distribution use the same function, so
//! that a CA which is accepted at configuration is one that handshakes can use. What a CA certificate says of itself
//! limits it (RFC 5937 §3.2, which RFC 5280 §6.2 leaves to the implementation): basicConstraints with pathLenConstraint,
//! keyUsage, extendedKeyUsage, critical extensions. Its dates do not (RFC 5280 §6.1.1 d), nor does its own signature.

use core::fmt;

use der::asn1::ObjectIdentifier;

use super::cert::{CertError, Certificate};
use super::signed::{self, KeyFault};
use super::usage::{CLIENT, SERVER, Usage};

/// What a configured certificate counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// A CA: it may issue certificates.
    Ca,
    /// X.509 v3 without CA:TRUE in basicConstraints (RFC 5280 §4.2.1.9): it issues nothing. It counts as itself only: a
    /// peer that presents this very certificate is trusted.
    Leaf,
}

/// Why a configured certificate cannot be used to verify any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnchorFault {
    /// It cannot be read.
    Malformed(CertError),
    /// Its key is of a kind or size that is not supported: no signature by it can be verified.
    Key(KeyFault),
    /// It is not a CA ([`Anchor::Leaf`]), but was to vouch for another certificate.
    NotACa,
    /// Its keyUsage lacks keyCertSign (RFC 5280 §4.2.1.3).
    MayNotIssue,
    /// Its extendedKeyUsage has neither serverAuth nor clientAuth (§4.2.1.12).
    Purpose,
    /// It has a critical extension that is not understood (§4.2).
    CriticalExtension(ObjectIdentifier),
}

/// Checks a configured CA certificate, in DER, as each handshake will use it.
///
/// This is for `.tls.ca_cert`, where [`Anchor::Leaf`] deserves a warning: it is no CA. Dates are not looked at.
///
/// # Errors
/// What makes it of no use.
pub fn check(der: &[u8]) -> Result<Anchor, AnchorFault> {
    let certificate = Certificate::from_der(der).map_err(AnchorFault::Malformed)?;
    check_certificate(&certificate)
}

/// The same for one that has been read.
pub(super) fn check_certificate(certificate: &Certificate<'_>) -> Result<Anchor, AnchorFault> {
    let usage = Usage::of(certificate).map_err(|_| AnchorFault::Malformed(CertError::Malformed("extensions")))?;
    if let Some(fault) = signed::key_fault(certificate.public_key.der) {
        return Err(AnchorFault::Key(fault));
    }
    if let Some(oid) = usage.unknown {
        return Err(AnchorFault::CriticalExtension(oid));
    }
    if !usage.is_for(SERVER) && !usage.is_for(CLIENT) {
        return Err(AnchorFault::Purpose);
    }
    if !certificate.is_ca() {
        return Ok(Anchor::Leaf);
    }
    if !usage.may_sign_certificates() {
        return Err(AnchorFault::MayNotIssue);
    }
    Ok(Anchor::Ca)
}

impl fmt::Display for AnchorFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Key(fault) => write!(f, "its key {fault}"),
            Self::NotACa => f.write_str("it is not a CA (basicConstraints)"),
            Self::MayNotIssue => f.write_str("it may not sign certificates (keyUsage lacks keyCertSign)"),
            Self::Purpose => f.write_str("its extendedKeyUsage has neither serverAuth nor clientAuth"),
            Self::CriticalExtension(oid) => write!(f, "it has a critical extension that is not supported ({oid})"),
        }
    }
}

impl core::error::Error for AnchorFault {}
