//! Where suites, groups and signature schemes meet RustCrypto.
//!
//! The rest of the engine names algorithms by the enumerations of this room and never by a crate. Everything is
//! chosen at run time, held inline, and wiped when dropped; nothing allocates, but RSA (feature `rsa`).

pub mod aead;
pub mod hash;
pub mod key;
pub mod kx;
pub mod mac;
#[cfg(feature = "rsa")]
mod rsa;
pub mod sign;
pub mod suite;
#[cfg(test)]
pub(crate) mod test_tools;
pub mod verify;

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
