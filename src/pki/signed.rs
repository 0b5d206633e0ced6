//! Signatures on what CAs sign: certificates and revocation lists.

use der::Reader as _;
use rustls_pki_types::alg_id;

use super::cert::{octets, outer, rest, serial};
use super::error::CertificateError;
use crate::crypto::verify::ALGORITHMS;

/// Verifies that the key in `spki` has signed `message`. `algorithm` is the AlgorithmIdentifier of the signature; both are
/// DER. The error is [`CertificateError::BadSignature`] or [`CertificateError::UnsupportedSignatureAlgorithm`].
pub(super) fn verify(algorithm: &[u8], spki: &[u8], message: &[u8], signature: &[u8]) -> Result<(), CertificateError> {
    let malformed = |_| CertificateError::UnsupportedSignatureAlgorithm;
    let algorithm = content(algorithm).map_err(malformed)?;
    let (key_algorithm, key) = public_key(spki).map_err(malformed)?;
    let found = ALGORITHMS
        .iter()
        .find(|known| {
            known.signature_alg_id().as_ref() == algorithm && known.public_key_alg_id().as_ref() == key_algorithm
        })
        .ok_or(CertificateError::UnsupportedSignatureAlgorithm)?;
    found
        .verify_signature(key, message, signature)
        .map_err(|_| CertificateError::BadSignature)
}

/// Whether signatures by this key could be verified at all, as far as its kind and size tell.
pub(super) fn is_supported(spki: &[u8]) -> bool {
    let Ok((algorithm, key)) = public_key(spki) else {
        return false;
    };
    let known = ALGORITHMS
        .iter()
        .any(|known| known.public_key_alg_id().as_ref() == algorithm);
    let is_rsa = algorithm == alg_id::RSA_ENCRYPTION.as_ref();
    known && (!is_rsa || rsa_bits(key).is_ok_and(|bits| (2048..=4096).contains(&bits)))
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
