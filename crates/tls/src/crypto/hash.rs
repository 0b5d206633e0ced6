//! The hash functions of the cipher suites, chosen at run time.

use sha2::{Digest as _, Sha256, Sha384};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The longest output of any [`HashAlgorithm`], in bytes.
pub const MAX_HASH: usize = 48;

/// A hash function of FIPS 180-4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl HashAlgorithm {
    /// The length of the output in bytes.
    pub const fn output_len(self) -> usize {
        match self {
            HashAlgorithm::Sha256 => 32,
            HashAlgorithm::Sha384 => 48,
        }
    }

    /// The hash of `data`.
    pub fn hash(self, data: &[u8]) -> HashOutput {
        let mut hasher = Hasher::new(self);
        hasher.update(data);
        hasher.finish()
    }
}

/// A running hash. Cloning it forks it, as transcripts need.
#[derive(Clone)]
pub enum Hasher {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-384.
    Sha384(Sha384),
}

impl Hasher {
    /// An empty hash.
    pub fn new(algorithm: HashAlgorithm) -> Self {
        match algorithm {
            HashAlgorithm::Sha256 => Self::Sha256(Sha256::new()),
            HashAlgorithm::Sha384 => Self::Sha384(Sha384::new()),
        }
    }

    /// The hash function.
    pub fn algorithm(&self) -> HashAlgorithm {
        match self {
            Self::Sha256(_) => HashAlgorithm::Sha256,
            Self::Sha384(_) => HashAlgorithm::Sha384,
        }
    }

    /// Adds `data`.
    pub fn update(&mut self, data: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(data),
            Self::Sha384(hasher) => hasher.update(data),
        }
    }

    /// The hash of everything added.
    pub fn finish(self) -> HashOutput {
        match self {
            Self::Sha256(hasher) => HashOutput::new(&hasher.finalize()),
            Self::Sha384(hasher) => HashOutput::new(&hasher.finalize()),
        }
    }
}

impl core::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Hasher({:?})", self.algorithm())
    }
}

/// The output of a hash or of an HMAC: 32 or 48 bytes, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct HashOutput {
    bytes: [u8; MAX_HASH],
    len: usize,
}

impl HashOutput {
    /// A copy of `bytes`, cut to [`MAX_HASH`] bytes.
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let mut output = Self {
            bytes: [0; MAX_HASH],
            len: bytes.len().min(MAX_HASH),
        };
        for (to, from) in output.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        output
    }

    /// `len` zero bytes (at most [`MAX_HASH`]).
    pub(crate) fn zero(len: usize) -> Self {
        Self {
            bytes: [0; MAX_HASH],
            len: len.min(MAX_HASH),
        }
    }

    pub(crate) fn as_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl AsRef<[u8]> for HashOutput {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl core::fmt::Debug for HashOutput {
    // The bytes may be a secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "HashOutput({} bytes)", self.len)
    }
}

#[cfg(test)]
mod tests;
