//! HMAC (RFC 2104) and HKDF (RFC 5869) over the hash of a suite.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Sha256, Sha384};
use subtle::ConstantTimeEq as _;

use super::CryptoError;
use super::hash::{HashAlgorithm, HashOutput};

/// HMAC of the parts of `message`, one after the other.
pub fn hmac(algorithm: HashAlgorithm, key: &[u8], message: &[&[u8]]) -> HashOutput {
    // HMAC takes keys of any length (RFC 2104 §3), so `new_from_slice` has no failing case; `zero` is unreachable.
    macro_rules! compute {
        ($hash:ty) => {
            match Hmac::<$hash>::new_from_slice(key) {
                Ok(mut mac) => {
                    for part in message {
                        mac.update(part);
                    }
                    // It may be a secret.
                    HashOutput::new(&zeroize::Zeroizing::new(mac.finalize().into_bytes()))
                }
                Err(_) => HashOutput::zero(algorithm.output_len()),
            }
        };
    }
    match algorithm {
        HashAlgorithm::Sha256 => compute!(Sha256),
        HashAlgorithm::Sha384 => compute!(Sha384),
    }
}

/// HKDF-Extract (RFC 5869 §2.2): a pseudorandom key from input keying material.
pub fn hkdf_extract(algorithm: HashAlgorithm, salt: &[u8], ikm: &[u8]) -> HashOutput {
    hmac(algorithm, salt, &[ikm])
}

/// HKDF-Expand (RFC 5869 §2.3) into the whole of `okm`.
///
/// # Errors
/// When `prk` is shorter than the hash's output or `okm` longer than 255 times it.
pub fn hkdf_expand(algorithm: HashAlgorithm, prk: &[u8], info: &[&[u8]], okm: &mut [u8]) -> Result<(), CryptoError> {
    macro_rules! expand {
        ($hash:ty) => {
            hkdf::Hkdf::<$hash>::from_prk(prk)
                .map_err(|_| CryptoError)?
                .expand_multi_info(info, okm)
                .map_err(|_| CryptoError)
        };
    }
    match algorithm {
        HashAlgorithm::Sha256 => expand!(Sha256),
        HashAlgorithm::Sha384 => expand!(Sha384),
    }
}

/// Whether two byte strings are the same, in time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests;
