//! RSA signatures: the only algorithm here that needs a heap.
//!
//! The arithmetic is that of the `rsa` crate, of which 0.10 is still a release candidate. It exponentiates in constant
//! time, blinds with a random base, and checks each signature against the public key before it is returned.
//!
//! Heap, in bytes, as measured by `tests/footprint`: a 2048-bit key occupies 3,272 and needs 4,912 to be parsed, a
//! signature needs 6,464, a verification 6,763; with 4096 bits 6,344, 9,520, 12,864 and 13,419. All of it except the key is
//! freed before the call returns, so an arena holds the keys and one computation at a time.

use rand_core::CryptoRng;
use rsa::pkcs1::UintRef;
use rsa::pkcs1::der::Decode as _;
use rsa::{BoxedUint, Pkcs1v15Sign, Pss, RsaPrivateKey, RsaPublicKey};
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::CryptoError;
use super::hash::HashOutput;
use super::key::{MAX_RSA_BITS, MIN_RSA_BITS};
use super::sign::{Signature, SignatureScheme};

/// The longest public exponent, in bytes; the `rsa` crate allows 33 bits of them.
const MAX_EXPONENT: usize = 8;

/// Signs `message` with an RSA `scheme`.
pub(super) fn sign(
    key: &RsaPrivateKey,
    scheme: SignatureScheme,
    message: &[u8],
    rng: &mut dyn CryptoRng,
) -> Result<Signature, CryptoError> {
    use SignatureScheme::*;
    let signature = match scheme {
        RsaPssRsaeSha256 => key.sign_with_rng(rng, Pss::<Sha256>::new(), &Sha256::digest(message)),
        RsaPssRsaeSha384 => key.sign_with_rng(rng, Pss::<Sha384>::new(), &Sha384::digest(message)),
        RsaPssRsaeSha512 => key.sign_with_rng(rng, Pss::<Sha512>::new(), &Sha512::digest(message)),
        RsaPkcs1Sha256 => key.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)),
        RsaPkcs1Sha384 => key.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message)),
        RsaPkcs1Sha512 => key.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message)),
        _ => return Err(CryptoError),
    };
    let signature = signature.map_err(|_| CryptoError)?;
    Signature::from_slice(&signature).map_err(|_| CryptoError)
}

/// Signs a message by its hash: that of [`SignatureScheme::prehash`].
pub(super) fn sign_prehashed(
    key: &RsaPrivateKey,
    scheme: SignatureScheme,
    hash: &HashOutput,
    rng: &mut dyn CryptoRng,
) -> Result<Signature, CryptoError> {
    use SignatureScheme::*;
    let signature = match scheme {
        RsaPssRsaeSha256 => key.sign_with_rng(rng, Pss::<Sha256>::new(), hash.as_ref()),
        RsaPssRsaeSha384 => key.sign_with_rng(rng, Pss::<Sha384>::new(), hash.as_ref()),
        RsaPkcs1Sha256 => key.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha256>(), hash.as_ref()),
        RsaPkcs1Sha384 => key.sign_with_rng(rng, Pkcs1v15Sign::new::<Sha384>(), hash.as_ref()),
        _ => return Err(CryptoError),
    };
    let signature = signature.map_err(|_| CryptoError)?;
    Signature::from_slice(&signature).map_err(|_| CryptoError)
}

/// Verifies a signature over a message by its hash: that of [`SignatureScheme::prehash`].
pub(super) fn verify_prehashed(
    key: &[u8],
    scheme: SignatureScheme,
    hash: &HashOutput,
    signature: &[u8],
) -> Result<(), CryptoError> {
    use SignatureScheme::*;
    let key = public_key(key)?;
    let verdict = match scheme {
        RsaPssRsaeSha256 => key.verify(Pss::<Sha256>::new(), hash.as_ref(), signature),
        RsaPssRsaeSha384 => key.verify(Pss::<Sha384>::new(), hash.as_ref(), signature),
        RsaPkcs1Sha256 => key.verify(Pkcs1v15Sign::new::<Sha256>(), hash.as_ref(), signature),
        RsaPkcs1Sha384 => key.verify(Pkcs1v15Sign::new::<Sha384>(), hash.as_ref(), signature),
        _ => return Err(CryptoError),
    };
    verdict.map_err(|_| CryptoError)
}

/// Verifies a signature with an RSA `scheme`. `key` is an `RSAPublicKey` (RFC 8017 §A.1.1) of 2048 to 4096 bits; the salt
/// of PSS is as long as the hash, as TLS (RFC 8446 §4.2.3) and the identifiers in certificates require.
pub(super) fn verify(key: &[u8], scheme: SignatureScheme, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    use SignatureScheme::*;
    let key = public_key(key)?;
    let verdict = match scheme {
        RsaPssRsaeSha256 => key.verify(Pss::<Sha256>::new(), &Sha256::digest(message), signature),
        RsaPssRsaeSha384 => key.verify(Pss::<Sha384>::new(), &Sha384::digest(message), signature),
        RsaPssRsaeSha512 => key.verify(Pss::<Sha512>::new(), &Sha512::digest(message), signature),
        RsaPkcs1Sha256 => key.verify(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message), signature),
        RsaPkcs1Sha384 => key.verify(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message), signature),
        RsaPkcs1Sha512 => key.verify(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message), signature),
        _ => return Err(CryptoError),
    };
    verdict.map_err(|_| CryptoError)
}

/// Parses a public key, and checks its sizes before anything is computed or allocated.
fn public_key(der: &[u8]) -> Result<RsaPublicKey, CryptoError> {
    let key = rsa::pkcs1::RsaPublicKey::<UintRef<'_>>::from_der(der).map_err(|_| CryptoError)?;
    let (modulus, exponent) = (key.modulus.as_bytes(), key.public_exponent.as_bytes());
    if modulus.len() > MAX_RSA_BITS / 8 || exponent.len() > MAX_EXPONENT {
        return Err(CryptoError);
    }
    let number = |bytes: &[u8]| {
        let bits = u32::try_from(bytes.len().saturating_mul(8)).map_err(|_| CryptoError)?;
        BoxedUint::from_be_slice(bytes, bits).map_err(|_| CryptoError)
    };
    RsaPublicKey::new_with_size_limits(number(modulus)?, number(exponent)?, MIN_RSA_BITS..=MAX_RSA_BITS)
        .map_err(|_| CryptoError)
}
