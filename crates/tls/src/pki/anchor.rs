//! Checks of configured CAs.
//!
//! Handshakes, the check of a configuration and the choice among the roots of a distribution use the same function, so
//! that a CA accepted at configuration is one that handshakes can use. The extensions of a CA certificate limit it
//! (RFC 5937 §3.2, which RFC 5280 §6.2 leaves to the implementation): basicConstraints with pathLenConstraint, keyUsage,
//! extendedKeyUsage, critical extensions. Its dates (RFC 5280 §6.1.1 d) and its own signature do not.

use core::fmt;

use der::asn1::ObjectIdentifier;

use super::cert::{CertError, Certificate};
use super::signed::{self, KeyFault};
use super::usage::{CLIENT, SERVER, Usage};

/// The role of a configured certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    /// A CA: it may issue certificates.
    Ca,
    /// X.509 v3 without CA:TRUE in basicConstraints (RFC 5280 §4.2.1.9): it issues nothing, and only a peer that presents
    /// this very certificate is trusted.
    Leaf,
}

/// Why a configured certificate cannot be used to verify any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnchorFault {
    /// It cannot be read.
    Malformed(CertError),
    /// Its key has an unsupported type or size.
    Key(KeyFault),
    /// It is not a CA ([`Anchor::Leaf`]), but is named as the issuer of another certificate.
    NotACa,
    /// Its keyUsage lacks keyCertSign (RFC 5280 §4.2.1.3).
    MayNotIssue,
    /// Its extendedKeyUsage has neither serverAuth nor clientAuth (§4.2.1.12).
    Purpose,
    /// It has an unsupported critical extension (§4.2).
    CriticalExtension(ObjectIdentifier),
}

/// Checks a configured CA certificate, in DER, as each handshake will use it.
///
/// For `.tls.ca_cert`, where [`Anchor::Leaf`] should cause a warning. Dates are not checked.
///
/// # Errors
/// Why it cannot be used.
pub fn check(der: &[u8]) -> Result<Anchor, AnchorFault> {
    let certificate = Certificate::from_der(der).map_err(AnchorFault::Malformed)?;
    check_certificate(&certificate)
}

/// [`check`] for a parsed certificate.
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
            Self::CriticalExtension(oid) => write!(f, "it has an unsupported critical extension ({oid})"),
        }
    }
}

impl core::error::Error for AnchorFault {}
