//! Signatures on what CAs sign: certificates and revocation lists.

use der::Reader as _;

use super::cert::{octets, outer, rest};
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

/// The content of the AlgorithmIdentifier, and the key.
fn public_key(spki: &[u8]) -> der::Result<(&[u8], &[u8])> {
    let (mut inner, _) = outer(spki)?;
    let algorithm = content(inner.tlv_bytes()?)?;
    Ok((algorithm, octets(&mut inner)?))
}

fn content(der: &[u8]) -> der::Result<&[u8]> {
    rest(&outer(der)?.0)
}
