//! What a server is and what it allows.

use super::record::{HEADER_LEN, OVERHEAD};
use crate::crypto::hash::MAX_HASH;
use crate::crypto::key::SigningKey;
use crate::crypto::kx::{Group, MAX_PUBLIC};
use crate::crypto::sign::MAX_SIGNATURE;
use crate::crypto::suite::CipherSuite;

/// A server's identity and preferences. Borrowed by every connection that is being made.
#[derive(Debug, Clone, Copy)]
pub struct ServerConfig<'a> {
    pub(crate) chain: &'a [&'a [u8]],
    pub(crate) key: &'a SigningKey,
    pub(crate) suites: &'a [CipherSuite],
    pub(crate) groups: &'a [Group],
}

impl<'a> ServerConfig<'a> {
    /// A server with a certificate chain in DER, leaf first (RFC 8446 §4.4.2), and the private key of the leaf;
    /// with every suite and group, in our order.
    ///
    /// # Errors
    /// When the chain is empty, or longer than a handshake message can be.
    pub fn new(chain: &'a [&'a [u8]], key: &'a SigningKey) -> Result<Self, ConfigError> {
        if chain.is_empty() {
            return Err(ConfigError::NoCertificate);
        }
        if chain.iter().map(|certificate| certificate.len() + 5).sum::<usize>() > 0xffff {
            return Err(ConfigError::ChainTooLong);
        }
        Ok(Self {
            chain,
            key,
            suites: &CipherSuite::ALL,
            groups: &Group::ALL,
        })
    }

    /// Only these suites, the preferred first.
    pub fn with_suites(self, suites: &'a [CipherSuite]) -> Self {
        Self { suites, ..self }
    }

    /// Only these groups, the preferred first.
    pub fn with_groups(self, groups: &'a [Group]) -> Self {
        Self { groups, ..self }
    }

    /// The most bytes that one flight of this server can take, and the alert that may have to follow it before any of
    /// it is sent: what the outbound buffer has to hold.
    pub fn flight_len(&self) -> usize {
        // A HelloRetryRequest may still wait to be sent when the second ClientHello comes.
        const HELLO_RETRY_REQUEST: usize = HEADER_LEN + 4 + 2 + 32 + 33 + 2 + 1 + 2 + 6 + 6;
        const SERVER_HELLO: usize = HELLO_RETRY_REQUEST + 2 + MAX_PUBLIC;
        const CHANGE_CIPHER_SPEC: usize = HEADER_LEN + 1;
        const ALERT: usize = HEADER_LEN + 2 + OVERHEAD;
        const FIXED: usize = HELLO_RETRY_REQUEST + SERVER_HELLO + CHANGE_CIPHER_SPEC + ALERT;
        let encrypted_extensions = 4 + 2 + 4 + 2 + 2 * self.groups.len();
        let certificate = 4
            + 1
            + 3
            + self
                .chain
                .iter()
                .map(|certificate| 3 + certificate.len() + 2)
                .sum::<usize>();
        let certificate_verify = 4 + 2 + 2 + MAX_SIGNATURE;
        let finished = 4 + MAX_HASH;
        let protected = encrypted_extensions + certificate + certificate_verify + finished;
        let records = protected.div_ceil(super::record::MAX_PLAINTEXT);
        FIXED + protected + records * (HEADER_LEN + OVERHEAD)
    }
}

/// Why a configuration cannot serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigError {
    /// The certificate chain is empty.
    NoCertificate,
    /// The certificate chain is longer than 64 KiB.
    ChainTooLong,
    /// The inbound buffer is smaller than this many bytes.
    InboundTooSmall(usize),
    /// The outbound buffer is smaller than this many bytes.
    OutboundTooSmall(usize),
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("no server certificate is configured"),
            Self::ChainTooLong => f.write_str("the certificate chain is longer than 64 KiB"),
            Self::InboundTooSmall(least) => write!(f, "the inbound buffer needs {least} bytes"),
            Self::OutboundTooSmall(least) => write!(f, "the outbound buffer needs {least} bytes"),
        }
    }
}

impl core::error::Error for ConfigError {}
