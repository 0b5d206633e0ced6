//! stub
use super::CryptoError;
use super::sign::SignatureScheme;
/// stub
pub fn verify(
    _scheme: SignatureScheme,
    _tls13: bool,
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), CryptoError> {
    use p256::ecdsa::signature::Verifier as _;
    use p256::pkcs8::DecodePublicKey as _;
    let key = p256::PublicKey::from_public_key_der(spki).map_err(|_| CryptoError)?;
    let key = p256::ecdsa::VerifyingKey::from(key);
    let signature = p256::ecdsa::DerSignature::try_from(signature).map_err(|_| CryptoError)?;
    key.verify(message, &signature).map_err(|_| CryptoError)
}

/// stub
pub fn verify_prehashed(
    _scheme: SignatureScheme,
    spki: &[u8],
    hash: &super::hash::HashOutput,
    signature: &[u8],
) -> Result<(), CryptoError> {
    use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
    use p256::pkcs8::DecodePublicKey as _;
    let key = p256::PublicKey::from_public_key_der(spki).map_err(|_| CryptoError)?;
    let key = p256::ecdsa::VerifyingKey::from(key);
    let signature = p256::ecdsa::DerSignature::try_from(signature).map_err(|_| CryptoError)?;
    key.verify_prehash(hash.as_ref(), &signature).map_err(|_| CryptoError)
}
