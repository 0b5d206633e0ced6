//! Where suites, groups and signature schemes meet RustCrypto.
//!
//! The rest of the engine names algorithms by the enumerations of this room and never by a crate. Everything is
//! chosen at run time, held inline, and wiped when dropped; nothing allocates, but RSA (feature `rsa`).

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

/// Computes the table of P-256's base point (feature `tables`), which otherwise the first use does, with tens of kilobytes
/// of stack: more than should be counted on inside a connection. To be called once at start, where the stack is still
/// shallow. Without that feature there is nothing to compute.
pub fn prepare() {
    #[cfg(feature = "tables")]
    {
        use p256::elliptic_curve::Group as _;
        core::hint::black_box(p256::ProjectivePoint::mul_by_generator(&p256::Scalar::ONE));
    }
}

/// The bytes did not verify, or an input was outside what the algorithm is defined for.
///
/// Says no more on purpose: which of an authenticated decryption's checks failed is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CryptoError;

impl core::fmt::Display for CryptoError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("cryptographic check failed")
    }
}

impl core::error::Error for CryptoError {}
