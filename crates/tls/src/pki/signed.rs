//! Signatures on what CAs sign: certificates and revocation lists.

use core::fmt;

use der::Reader as _;
use rustls_pki_types::alg_id;

use super::cert::{octets, outer, rest, serial};
use super::error::CertificateError;
use super::work::Work;
use crate::crypto::key::{MAX_RSA_BITS, MIN_RSA_BITS};
use crate::crypto::verify::ALGORITHMS;

/// Verifies that the key in `spki` has signed `message`. `algorithm` is the AlgorithmIdentifier of the signature; both are
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

/// Why no signature by a key can be verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFault {
    /// It is neither P-256, P-384, Ed25519 nor RSA.
    Kind,
    /// It is RSA with so many bits.
    RsaBits(usize),
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind if cfg!(feature = "rsa") => {
                f.write_str("is of a kind that is not supported (P-256, P-384, Ed25519 and RSA are)")
            }
            Self::Kind => f.write_str("is of a kind that is not supported (P-256, P-384 and Ed25519 are)"),
            Self::RsaBits(bits) => {
                write!(
                    f,
                    "is RSA with {bits} bits ({MIN_RSA_BITS} to {MAX_RSA_BITS} are supported)"
                )
            }
        }
    }
}

/// Why no signature by this key could be verified, as far as its kind and size tell.
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
    if algorithm != alg_id::RSA_ENCRYPTION.as_ref() {
        return None;
    }
    match rsa_bits(key) {
        Ok(MIN_RSA_BITS..=MAX_RSA_BITS) => None,
        Ok(bits) => Some(KeyFault::RsaBits(bits)),
        Err(_) => Some(KeyFault::Kind),
    }
}

/// The length of the modulus (RFC 8017 §A.1.1).
fn rsa_bits(key: &[u8]) -> der::Result<usize> {
    let modulus = serial(&mut outer(key)?.0)?;
    let zeros = modulus.iter().take_while(|&&byte| byte == 0).count();
    let digits = modulus.get(zeros..).unwrap_or_default();
    let first = digits.first().map_or(0, |byte| byte.leading_zeros() as usize);
    Ok((digits.len() * 8).saturating_sub(first))
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
