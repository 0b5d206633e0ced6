//! Authenticated encryption, in place, chosen at run time.

use aes_gcm::aead::{AeadInOut, KeyInit};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
#[cfg(feature = "chacha")]
use chacha20poly1305::ChaCha20Poly1305;

use super::CryptoError;

/// The tag of every [`AeadAlgorithm`] here, in bytes.
pub const TAG_LEN: usize = 16;
/// The nonce of every [`AeadAlgorithm`] here, in bytes.
pub const NONCE_LEN: usize = 12;
/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = 32;

/// An AEAD of RFC 5116 (AES-GCM) or RFC 8439.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AeadAlgorithm {
    /// AES-128 in Galois/counter mode.
    Aes128Gcm,
    /// AES-256 in Galois/counter mode.
    Aes256Gcm,
    /// ChaCha20 with Poly1305.
    #[cfg(feature = "chacha")]
    ChaCha20Poly1305,
}

impl AeadAlgorithm {
    /// The length of the key in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            AeadAlgorithm::Aes128Gcm => 16,
            AeadAlgorithm::Aes256Gcm => 32,
            #[cfg(feature = "chacha")]
            AeadAlgorithm::ChaCha20Poly1305 => 32,
        }
    }

    /// The number of full-size records that one key may protect (RFC 8446 §5.5).
    ///
    /// For AES-GCM the RFC gives 2^24.5; ChaCha20-Poly1305 is bounded only by the 64-bit sequence number.
    pub const fn record_limit(self) -> u64 {
        match self {
            AeadAlgorithm::Aes128Gcm | AeadAlgorithm::Aes256Gcm => 23_726_566,
            #[cfg(feature = "chacha")]
            AeadAlgorithm::ChaCha20Poly1305 => u64::MAX,
        }
    }
}

/// A key, expanded and ready; wiped when dropped.
pub enum AeadKey {
    /// For [`AeadAlgorithm::Aes128Gcm`].
    Aes128Gcm(Aes128Gcm),
    /// For [`AeadAlgorithm::Aes256Gcm`].
    Aes256Gcm(Aes256Gcm),
    /// For [`AeadAlgorithm::ChaCha20Poly1305`].
    #[cfg(feature = "chacha")]
    ChaCha20Poly1305(ChaCha20Poly1305),
}

impl AeadKey {
    /// Expands `key`.
    ///
    /// # Errors
    /// When the length of `key` is not [`AeadAlgorithm::key_len`].
    pub fn new(algorithm: AeadAlgorithm, key: &[u8]) -> Result<Self, CryptoError> {
        Ok(match algorithm {
            AeadAlgorithm::Aes128Gcm => Self::Aes128Gcm(Aes128Gcm::new_from_slice(key).map_err(|_| CryptoError)?),
            AeadAlgorithm::Aes256Gcm => Self::Aes256Gcm(Aes256Gcm::new_from_slice(key).map_err(|_| CryptoError)?),
            #[cfg(feature = "chacha")]
            AeadAlgorithm::ChaCha20Poly1305 => {
                Self::ChaCha20Poly1305(ChaCha20Poly1305::new_from_slice(key).map_err(|_| CryptoError)?)
            }
        })
    }

    /// Which algorithm this key is for.
    pub fn algorithm(&self) -> AeadAlgorithm {
        match self {
            Self::Aes128Gcm(_) => AeadAlgorithm::Aes128Gcm,
            Self::Aes256Gcm(_) => AeadAlgorithm::Aes256Gcm,
            #[cfg(feature = "chacha")]
            Self::ChaCha20Poly1305(_) => AeadAlgorithm::ChaCha20Poly1305,
        }
    }

    /// Encrypts `text` in place and returns the tag.
    ///
    /// # Errors
    /// When `text` or `aad` is longer than the algorithm allows (2^36 bytes and more: never a TLS record).
    pub fn seal(&self, nonce: &[u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> Result<[u8; TAG_LEN], CryptoError> {
        macro_rules! seal {
            ($key:expr) => {
                $key.encrypt_inout_detached(&(*nonce).into(), aad, text.into())
                    .map(Into::into)
                    .map_err(|_| CryptoError)
            };
        }
        match self {
            Self::Aes128Gcm(key) => seal!(key),
            Self::Aes256Gcm(key) => seal!(key),
            #[cfg(feature = "chacha")]
            Self::ChaCha20Poly1305(key) => seal!(key),
        }
    }

    /// Verifies `tag` over `aad` and `text`, in constant time, and decrypts `text` in place.
    ///
    /// # Errors
    /// When the tag is wrong. The content of `text` is then unspecified and must not be used.
    pub fn open(
        &self,
        nonce: &[u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), CryptoError> {
        macro_rules! open {
            ($key:expr) => {
                $key.decrypt_inout_detached(&(*nonce).into(), aad, text.into(), &(*tag).into())
                    .map_err(|_| CryptoError)
            };
        }
        match self {
            Self::Aes128Gcm(key) => open!(key),
            Self::Aes256Gcm(key) => open!(key),
            #[cfg(feature = "chacha")]
            Self::ChaCha20Poly1305(key) => open!(key),
        }
    }
}

impl core::fmt::Debug for AeadKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "AeadKey({:?})", self.algorithm())
    }
}

#[cfg(test)]
mod tests;
