//! Signatures by CAs on certificates and revocation lists.

use core::fmt;

use der::Reader as _;

use super::cert::{octets, outer, rest};
use super::error::CertificateError;
use super::work::Work;
#[cfg(feature = "rsa")]
use crate::crypto::key::{MAX_RSA_BITS, MIN_RSA_BITS};
use crate::crypto::verify::ALGORITHMS;

/// Verifies that the key in `spki` signed `message`. `algorithm` is the AlgorithmIdentifier of the signature; both are
/// DER. The error is [`CertificateError::BadSignature`], [`CertificateError::UnsupportedSignatureAlgorithm`], or
/// [`CertificateError::TooComplex`].
pub(super) fn verify(
    algorithm: &[u8],
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
    work: &Work,
) -> Result<(), CertificateError> {
    let malformed = |_| CertificateError::UnsupportedSignatureAlgorithm;
    let algorithm = content(algorithm).map_err(malformed)?;
    let (key_algorithm, key) = public_key(spki).map_err(malformed)?;
    let found = ALGORITHMS
        .iter()
        .find(|known| {
            known.signature_alg_id().as_ref() == algorithm && known.public_key_alg_id().as_ref() == key_algorithm
        })
        .filter(|_| key_fault(spki).is_none())
        .ok_or(CertificateError::UnsupportedSignatureAlgorithm)?;
    work.add_signature(message.len())?;
    found
        .verify_signature(key, message, signature)
        .map_err(|_| CertificateError::BadSignature)
}

/// Why a key cannot verify signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// Its type is unknown or not compiled in.
    Kind,
    /// It is an RSA key of this many bits.
    #[cfg(feature = "rsa")]
    RsaBits(usize),
}

/// The types of keys whose signatures can be verified.
const KINDS: &[&str] = &[
    "P-256",
    #[cfg(feature = "p384")]
    "P-384",
    #[cfg(feature = "ed25519")]
    "Ed25519",
    #[cfg(feature = "rsa")]
    "RSA",
];

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind => {
                f.write_str("has an unsupported type (supported: ")?;
                for (index, kind) in KINDS.iter().enumerate() {
                    f.write_str(if index == 0 { "" } else { ", " })?;
                    f.write_str(kind)?;
                }
                f.write_str(")")
            }
            #[cfg(feature = "rsa")]
            Self::RsaBits(bits) => {
                write!(
                    f,
                    "is RSA with {bits} bits ({MIN_RSA_BITS} to {MAX_RSA_BITS} are supported)"
                )
            }
        }
    }
}

/// Why this key cannot verify signatures, judging by its type and size.
pub(super) fn key_fault(spki: &[u8]) -> Option<KeyFault> {
    let Ok((algorithm, key)) = public_key(spki) else {
        return Some(KeyFault::Kind);
    };
    let known = ALGORITHMS
        .iter()
        .any(|known| known.public_key_alg_id().as_ref() == algorithm);
    if !known {
        return Some(KeyFault::Kind);
    }
    size_fault(algorithm, key)
}

#[cfg(not(feature = "rsa"))]
fn size_fault(_: &[u8], _: &[u8]) -> Option<KeyFault> {
    None
}

/// Why the size of an RSA key is not good.
#[cfg(feature = "rsa")]
fn size_fault(algorithm: &[u8], key: &[u8]) -> Option<KeyFault> {
    if algorithm != rustls_pki_types::alg_id::RSA_ENCRYPTION.as_ref() {
        return None;
    }
    match rsa_bits(key) {
        Ok(MIN_RSA_BITS..=MAX_RSA_BITS) => None,
        Ok(bits) => Some(KeyFault::RsaBits(bits)),
        Err(_) => Some(KeyFault::Kind),
    }
}

#[cfg(feature = "rsa")]
/// The length of the modulus (RFC 8017 §A.1.1).
fn rsa_bits(key: &[u8]) -> der::Result<usize> {
    let modulus = super::cert::serial(&mut outer(key)?.0)?;
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    let digits = modulus.get(zeros..).unwrap_or_default();
    let first = digits.first().map_or(0, |byte| byte.leading_zeros() as usize);
    Ok(digits.len().saturating_mul(8).saturating_sub(first))
}

/// The content of the AlgorithmIdentifier, and the key.
fn public_key(spki: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let (mut inner, _) = outer(spki)?;
    let algorithm = content(inner.tlv_bytes()?)?;
    Ok((algorithm, octets(&mut inner)?))
}

fn content(der: &[u8]) -> der::Result<&[u8]> {
    rest(&outer(der)?.0)
}
