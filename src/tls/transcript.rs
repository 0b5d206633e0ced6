//! The transcript hash of a handshake (RFC 8446 §4.4.1, RFC 5246 §7.4.9).

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

    /// The hash of what has been added so far; `algorithm` must be one that still runs.
    pub(crate) fn hash(&self, algorithm: HashAlgorithm) -> HashOutput {
        let hasher = match algorithm {
            HashAlgorithm::Sha256 => &self.sha256,
            HashAlgorithm::Sha384 => &self.sha384,
        };
        // An empty output matches nothing: whoever asks for the wrong function fails the handshake.
        hasher
            .as_ref()
            .map_or(HashOutput::zero(0), |hasher| hasher.clone().finish())
    }

    /// Replaces the ClientHello that was answered with a HelloRetryRequest by the synthetic `message_hash`.
    pub(crate) fn replace_by_message_hash(&mut self, algorithm: HashAlgorithm) {
        let hash = self.hash(algorithm);
        *self = Self::with(algorithm);
        self.add(&[super::msg::MESSAGE_HASH, 0, 0, algorithm.output_len() as u8]);
        self.add(hash.as_ref());
    }
}

/// The context string of a server's CertificateVerify (RFC 8446 §4.4.3).
pub(crate) const SERVER_CONTEXT: &str = "TLS 1.3, server CertificateVerify";
/// The same of a client's.
pub(crate) const CLIENT_CONTEXT: &str = "TLS 1.3, client CertificateVerify";

/// The longest that [`signed_content`] gets, in bytes.
const MAX_SIGNED: usize = 64 + SERVER_CONTEXT.len() + 1 + MAX_HASH;

/// The content that CertificateVerify signs (RFC 8446 §4.4.3).
pub(crate) fn signed_content(context: &str, transcript: &HashOutput) -> heapless::Vec<u8, MAX_SIGNED> {
    let parts = [&[0x20; 64][..], context.as_bytes(), &[0], transcript.as_ref()];
    parts.into_iter().flatten().copied().take(MAX_SIGNED).collect()
}
