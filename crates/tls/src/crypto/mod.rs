//! Suites, groups and signature schemes on RustCrypto's algorithms.
//!
//! The rest of the engine names algorithms by the enumerations of this module, never by a crate. Everything is chosen at
//! run time, held inline, and wiped when dropped; nothing allocates, except RSA (feature `rsa`).

pub mod aead;
pub mod hash;
pub mod key;
pub mod kx;
pub mod mac;
#[cfg(feature = "mlkem")]
mod mlkem;
#[cfg(feature = "rsa")]
mod rsa;
pub mod sign;
pub mod suite;
pub mod verify;

/// Computes the table of P-256's base point (feature `tables`). Otherwise the first use does, which takes tens of kilobytes
/// of stack inside a connection. Call it once at start, where the stack is still shallow. Without that feature it does
/// nothing.
pub fn prepare() {
    #[cfg(feature = "tables")]
    {
        use p256::elliptic_curve::Group as _;
        core::hint::black_box(p256::ProjectivePoint::mul_by_generator(&p256::Scalar::ONE));
    }
}

/// The bytes did not verify, or an input was outside what the algorithm is defined for.
///
/// It carries no details on purpose: a peer must not learn which check of an authenticated decryption failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CryptoError;

impl core::fmt::Display for CryptoError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("cryptographic check failed")
    }
}

impl core::error::Error for CryptoError {}
