//! ML-KEM-768 (FIPS 203), the post-quantum half of X25519MLKEM768.
//!
//! Its matrices need tens of kilobytes of stack; functions of their own release it when they return. Seeds and shared keys
//! are plain arrays, which are borrowed, or wiped where they are returned by value.

use ml_kem::kem::{Decapsulate as _, Encapsulate as _, KeyExport as _, KeyInit as _};
use ml_kem::{DecapsulationKey, EncapsulationKey, MlKem768};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::CryptoError;
use super::kx::{PublicValue, SharedSecret};

/// The length of an encapsulation key, in bytes.
pub(super) const ENCAPSULATION_KEY: usize = 1184;
/// The length of a ciphertext, in bytes.
pub(super) const CIPHERTEXT: usize = 1088;

/// The seed from which the private key is expanded for each use; wiped when dropped.
pub(super) type Seed = Zeroizing<ml_kem::Seed>;

pub(super) fn seed(rng: &mut dyn CryptoRng) -> Seed {
    let mut seed = Zeroizing::new(ml_kem::Seed::default());
    rng.fill_bytes(&mut seed);
    seed
}

#[inline(never)]
pub(super) fn put_encapsulation_key(seed: &Seed, public: &mut PublicValue) {
    let key = DecapsulationKey::<MlKem768>::new(seed);
    public.push(&key.encapsulation_key().to_bytes());
}

/// Writes the ciphertext to `public`.
#[inline(never)]
pub(super) fn encapsulate(
    key: &[u8],
    rng: &mut dyn CryptoRng,
    public: &mut PublicValue,
) -> Result<SharedSecret, CryptoError> {
    let key = key.try_into().map_err(|_| CryptoError)?;
    // This includes the modulus check (FIPS 203 §7.2).
    let key = EncapsulationKey::<MlKem768>::new(key).map_err(|_| CryptoError)?;
    let (ciphertext, shared) = key.encapsulate_with_rng(rng);
    let shared = Zeroizing::new(shared);
    public.push(&ciphertext);
    Ok(SharedSecret::new(&shared))
}

#[inline(never)]
pub(super) fn decapsulate(seed: &Seed, ciphertext: &[u8]) -> Result<SharedSecret, CryptoError> {
    let ciphertext = ciphertext.try_into().map_err(|_| CryptoError)?;
    let key = DecapsulationKey::<MlKem768>::new(seed);
    let shared = Zeroizing::new(key.decapsulate(ciphertext));
    Ok(SharedSecret::new(&shared))
}

#[cfg(test)]
mod tests;
