//! The transcript hash of a handshake (RFC 8446 §4.4.1).

use crate::crypto::hash::{HashAlgorithm, HashOutput, Hasher};

/// Hashes the handshake messages, headers included, in the order in which they were sent.
#[derive(Debug, Clone)]
pub(crate) struct Transcript(Hasher);

impl Transcript {
    pub(crate) fn new(algorithm: HashAlgorithm) -> Self {
        Self(Hasher::new(algorithm))
    }

    pub(crate) fn add(&mut self, message: &[u8]) {
        self.0.update(message);
    }

    /// The hash of what has been added so far.
    pub(crate) fn hash(&self) -> HashOutput {
        self.0.clone().finish()
    }

    /// Replaces the ClientHello that was answered with a HelloRetryRequest by the synthetic `message_hash`.
    pub(crate) fn replace_by_message_hash(&mut self) {
        let algorithm = self.0.algorithm();
        let hash = self.hash();
        self.0 = Hasher::new(algorithm);
        self.0
            .update(&[super::msg::MESSAGE_HASH, 0, 0, algorithm.output_len() as u8]);
        self.0.update(hash.as_ref());
    }
}
