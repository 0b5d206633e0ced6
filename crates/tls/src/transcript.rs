//! The transcript hash of a handshake (RFC 8446 §4.4.1, RFC 5246 §7.4.9).

use super::error::Error;
use super::registry::HandshakeType;
use crate::crypto::hash::{HashAlgorithm, HashOutput, Hasher, MAX_HASH};

/// Hashes the handshake messages, headers included, in the order in which they were sent.
///
/// Until the suite is known, and in TLS 1.2 until the client's signature has been checked, which may use another hash
/// than the suite, both functions run.
#[derive(Debug, Clone)]
pub(crate) struct Transcript {
    sha256: Option<Hasher>,
    sha384: Option<Hasher>,
}

impl Transcript {
    /// With both functions.
    pub(crate) fn new() -> Self {
        Self {
            sha256: Some(Hasher::new(HashAlgorithm::Sha256)),
            sha384: Some(Hasher::new(HashAlgorithm::Sha384)),
        }
    }

    /// With only this one.
    pub(crate) fn with(algorithm: HashAlgorithm) -> Self {
        let mut transcript = Self::new();
        transcript.choose(algorithm);
        transcript
    }

    /// Goes on with only this one.
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

    /// The hash of what has been added so far.
    ///
    /// # Errors
    /// When `algorithm` no longer runs: a hash of nothing must never be signed or compared.
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

    /// Replaces the ClientHello that was answered with a HelloRetryRequest by the synthetic `message_hash`.
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
/// The same of a client's.
pub(crate) const CLIENT_CONTEXT: &str = "TLS 1.3, client CertificateVerify";

/// The longest that [`signed_content`] gets, in bytes.
const MAX_SIGNED: usize = 64 + SERVER_CONTEXT.len() + 1 + MAX_HASH;

/// The content that CertificateVerify signs (RFC 8446 §4.4.3).
///
/// # Errors
/// When it is longer than [`MAX_SIGNED`]: part of it must not be signed for the whole.
pub(crate) fn signed_content(context: &str, transcript: &HashOutput) -> Result<heapless::Vec<u8, MAX_SIGNED>, Error> {
    joined([&[0x20; 64], context.as_bytes(), &[0], transcript.as_ref()])
}

/// The parts one after the other.
///
/// # Errors
/// When they are longer than `N` bytes together.
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
