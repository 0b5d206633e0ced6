//! Where suites, groups and signature schemes meet RustCrypto.
//!
//! The rest of the engine names algorithms by the enumerations of this room and never by a crate. Everything is
//! chosen at run time, held inline, and wiped when dropped; nothing allocates.

pub mod aead;
pub mod hash;
pub mod key;
pub mod kx;
pub mod mac;
pub mod sign;
pub mod suite;

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
