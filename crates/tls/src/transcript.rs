//! The transcript hash of a handshake (RFC 8446 §4.4.1, RFC 5246 §7.4.9).

use super::error::Error;
use super::registry::HandshakeType;
use crate::crypto::hash::{HashAlgorithm, HashOutput, Hasher, MAX_HASH};

/// Hashes the handshake messages, headers included, in the order in which they were sent.
///
/// Both hash functions run until the suite is known, and in TLS 1.2 until the client's signature has been verified, which
/// may use another hash than the suite.
#[derive(Debug, Clone)]
pub(crate) struct Transcript {
    sha256: Option<Hasher>,
    sha384: Option<Hasher>,
}

impl Transcript {
    /// Hashes with both functions.
    pub(crate) fn new() -> Self {
        Self {
            sha256: Some(Hasher::new(HashAlgorithm::Sha256)),
            sha384: Some(Hasher::new(HashAlgorithm::Sha384)),
        }
    }

    /// Hashes with one function.
    pub(crate) fn with(algorithm: HashAlgorithm) -> Self {
        let mut transcript = Self::new();
        transcript.choose(algorithm);
        transcript
    }

    /// Continues with this function only.
    pub(crate) fn choose(&mut self, algorithm: HashAlgorithm) {
        match algorithm {
            HashAlgorithm::Sha256 => self.sha384 = None,
            HashAlgorithm::Sha384 => self.sha256 = None,
        }
    }

    pub(crate) fn add(&mut self, message: &[u8]) {
        for hasher in [&mut self.sha256, &mut self.sha384].into_iter().flatten() {
            hasher.update(message);
        }
    }

    /// The hash of everything added so far.
    ///
    /// # Errors
    /// If `algorithm` no longer runs: the hash of nothing must never be signed or compared.
    pub(crate) fn hash(&self, algorithm: HashAlgorithm) -> Result<HashOutput, Error> {
        let hasher = match algorithm {
            HashAlgorithm::Sha256 => &self.sha256,
            HashAlgorithm::Sha384 => &self.sha384,
        };
        let hasher = hasher
            .as_ref()
            .ok_or(Error::Internal("transcript hash of another function"))?;
        Ok(hasher.clone().finish())
    }

    /// Replaces the first ClientHello by the synthetic `message_hash` after a HelloRetryRequest (RFC 8446 §4.4.1).
    pub(crate) fn replace_by_message_hash(&mut self, algorithm: HashAlgorithm) -> Result<(), Error> {
        let hash = self.hash(algorithm)?;
        *self = Self::with(algorithm);
        self.add(&[HandshakeType::MESSAGE_HASH.0, 0, 0, algorithm.output_len() as u8]);
        self.add(hash.as_ref());
        Ok(())
    }
}

/// The context string of a server's CertificateVerify (RFC 8446 §4.4.3).
pub(crate) const SERVER_CONTEXT: &str = "TLS 1.3, server CertificateVerify";
/// The context string of a client's CertificateVerify.
pub(crate) const CLIENT_CONTEXT: &str = "TLS 1.3, client CertificateVerify";

/// The longest [`signed_content`], in bytes.
const MAX_SIGNED: usize = 64 + SERVER_CONTEXT.len() + 1 + MAX_HASH;

/// The content that CertificateVerify signs (RFC 8446 §4.4.3).
///
/// # Errors
/// If it is longer than [`MAX_SIGNED`]: a part of it must not be signed.
pub(crate) fn signed_content(context: &str, transcript: &HashOutput) -> Result<heapless::Vec<u8, MAX_SIGNED>, Error> {
    joined([&[0x20; 64], context.as_bytes(), &[0], transcript.as_ref()])
}

/// Concatenates the parts.
///
/// # Errors
/// If they have more than `N` bytes together.
pub(crate) fn joined<const N: usize, const PARTS: usize>(parts: [&[u8]; PARTS]) -> Result<heapless::Vec<u8, N>, Error> {
    let mut whole = heapless::Vec::new();
    for part in parts {
        whole
            .extend_from_slice(part)
            .map_err(|_| Error::Internal("content to be signed is too long"))?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests;
