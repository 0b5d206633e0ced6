//! The configuration of clients and servers.

use super::msg::certificate::{CertificateTls13, CertificateVerify};
use super::msg::{Emit as _, Finished};
use super::outbound::RESERVE;
use super::record::{HEADER_LEN, MAX_OVERHEAD, MIN_FRAGMENT};
use super::registry::{NamedScheme, ProtocolVersion};
use super::trace::Tracer;
use crate::crypto::key::SigningKey;
use crate::crypto::kx::Group;
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::pki::verify::{Clock, DerList};

/// A certificate chain in DER, leaf first, with the private key of the leaf.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    pub(crate) chain: DerList<'a>,
    pub(crate) key: &'a SigningKey,
}

impl<'a> Identity<'a> {
    /// # Errors
    /// If the chain is empty or longer than 64 KiB.
    pub fn new(chain: impl Into<DerList<'a>>, key: &'a SigningKey) -> Result<Self, ConfigError> {
        let chain = chain.into();
        if chain.is_empty() {
            return Err(ConfigError::NoCertificate);
        }
        // Each entry has the length of the certificate and that of its extensions (RFC 8446 §4.4.2).
        let entries = chain.iter().map(|certificate| certificate.len().saturating_add(3 + 2));
        if entries.fold(0, usize::saturating_add) > 0xffff {
            return Err(ConfigError::ChainTooLong);
        }
        Ok(Self { chain, key })
    }

    /// The certificates in DER, leaf first.
    pub fn chain(&self) -> DerList<'a> {
        self.chain
    }

    /// The private key of the leaf.
    pub fn key(&self) -> &'a SigningKey {
        self.key
    }

    /// The length of its Certificate message in bytes, in the longer form of TLS 1.3.
    pub(crate) fn message_len(&self) -> usize {
        let message = CertificateTls13 {
            context: &[],
            chain: self.chain,
        };
        message.encoded_len()
    }
}

/// The enabled protocol versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// TLS 1.3 and TLS 1.2; TLS 1.3 where the peer supports it.
    #[cfg(feature = "tls12")]
    #[cfg_attr(feature = "tls12", default)]
    Both,
    /// TLS 1.3 only.
    #[cfg_attr(not(feature = "tls12"), default)]
    Tls13,
    /// TLS 1.2 only.
    #[cfg(feature = "tls12")]
    Tls12,
}

impl Versions {
    pub(crate) fn tls13(self) -> bool {
        self.contains(ProtocolVersion::TLS13)
    }

    pub(crate) fn tls12(self) -> bool {
        self.contains(ProtocolVersion::TLS12)
    }

    pub(crate) fn contains(self, version: ProtocolVersion) -> bool {
        (self.lowest()..=self.highest()).contains(&version)
    }

    pub(crate) const fn highest(self) -> ProtocolVersion {
        match self {
            #[cfg(feature = "tls12")]
            Self::Tls12 => ProtocolVersion::TLS12,
            _ => ProtocolVersion::TLS13,
        }
    }

    pub(crate) const fn lowest(self) -> ProtocolVersion {
        match self {
            Self::Tls13 => ProtocolVersion::TLS13,
            #[cfg(feature = "tls12")]
            _ => ProtocolVersion::TLS12,
        }
    }
}

/// A sink for the secrets of connections, in the terms of the NSS key log format.
///
/// The secrets decrypt the connection: use this for debugging only.
pub trait KeyLog {
    /// Logs one line: `label client_random secret`.
    fn log(&self, label: &str, client_random: &[u8; 32], secret: &[u8]);
}

/// The preferences that clients and servers share.
#[derive(Clone, Copy)]
pub(crate) struct Preferences<'a> {
    pub(crate) versions: Versions,
    pub(crate) suites: &'a [CipherSuite],
    pub(crate) groups: &'a [Group],
    pub(crate) schemes: &'a [SignatureScheme],
    pub(crate) protocols: &'a [&'a [u8]],
    #[cfg(feature = "tls12")]
    pub(crate) require_extended_master_secret: bool,
    pub(crate) clock: Clock,
    pub(crate) key_log: Option<&'a dyn KeyLog>,
    pub(crate) trace: Option<Tracer<'a>>,
}

impl Preferences<'_> {
    fn new(clock: Clock) -> Self {
        Self {
            versions: Versions::default(),
            suites: &CipherSuite::ALL,
            groups: &Group::ALL,
            schemes: &SignatureScheme::ALL,
            protocols: &[],
            #[cfg(feature = "tls12")]
            require_extended_master_secret: true,
            clock,
            key_log: None,
            trace: None,
        }
    }
}

impl Preferences<'_> {
    /// Checks that the ClientHello has no empty list.
    #[cfg(feature = "client")]
    pub(crate) fn check_client(&self) -> Result<(), ConfigError> {
        let tls13 = self.versions.tls13();
        let offered = |suite: &CipherSuite| self.versions.contains(suite.version());
        if !self.suites.iter().any(offered) {
            return Err(ConfigError::NoCipherSuite);
        }
        if !self.groups.iter().any(|group| tls13 || group.in_tls12()) {
            return Err(ConfigError::NoGroup);
        }
        self.check_schemes(self.versions.highest())?;
        self.check_protocols()
    }

    /// Checks that the CertificateRequest has no empty list, in at least one enabled version.
    #[cfg(feature = "server")]
    pub(crate) fn check_request(&self) -> Result<(), ConfigError> {
        self.check_schemes(self.versions.lowest())
    }

    fn check_schemes(&self, highest: ProtocolVersion) -> Result<(), ConfigError> {
        match self.schemes.iter().any(|scheme| scheme.may_be_offered(highest)) {
            true => Ok(()),
            false => Err(ConfigError::NoSignatureScheme),
        }
    }

    /// RFC 7301 §3.1: `opaque ProtocolName<1..2^8-1>`.
    pub(crate) fn check_protocols(&self) -> Result<(), ConfigError> {
        let mut lengths = self.protocols.iter().map(|protocol| protocol.len());
        match lengths.find(|length| !(1..=255).contains(length)) {
            None => Ok(()),
            Some(length) => Err(ConfigError::ProtocolLength(length)),
        }
    }
}

macro_rules! preference_setters {
    () => {
        /// Sets the clock.
        pub fn with_clock(mut self, clock: Clock) -> Self {
            self.preferences.clock = clock;
            self
        }

        /// Enables only these versions.
        pub fn with_versions(mut self, versions: Versions) -> Self {
            self.preferences.versions = versions;
            self
        }

        /// Enables only these suites, in order of preference. Suites of a disabled version are ignored.
        pub fn with_suites(mut self, suites: &'a [CipherSuite]) -> Self {
            self.preferences.suites = suites;
            self
        }

        /// Enables only these groups, in order of preference.
        pub fn with_groups(mut self, groups: &'a [Group]) -> Self {
            self.preferences.groups = groups;
            self
        }

        /// Accepts only these schemes for the peer's signature, in order of preference.
        pub fn with_schemes(mut self, schemes: &'a [SignatureScheme]) -> Self {
            self.preferences.schemes = schemes;
            self
        }

        /// Sets the application protocols (RFC 7301), in order of preference. Without any, ALPN is not used.
        pub fn with_protocols(mut self, protocols: &'a [&'a [u8]]) -> Self {
            self.preferences.protocols = protocols;
            self
        }

        /// Sets whether TLS 1.2 requires the extended master secret, which is the default: without it an attacker can make
        /// two connections have the same keys (RFC 7627 §1). If it is optional, handshakes without it get no ticket.
        #[cfg(feature = "tls12")]
        pub fn with_extended_master_secret_required(mut self, required: bool) -> Self {
            self.preferences.require_extended_master_secret = required;
            self
        }

        /// Writes the secrets of the connections to `key_log`; by default they are not written.
        pub fn with_key_log(mut self, key_log: Option<&'a dyn KeyLog>) -> Self {
            self.preferences.key_log = key_log;
            self
        }

        /// Reports what the connection does to `trace`.
        #[cfg(feature = "trace")]
        pub fn with_trace(mut self, trace: &'a dyn crate::trace::Trace) -> Self {
            self.preferences.trace = Some(trace);
            self
        }
    };
}

#[cfg(feature = "client")]
mod client;
#[cfg(feature = "server")]
mod server;

#[cfg(feature = "client")]
pub use client::ClientConfig;
#[cfg(feature = "server")]
pub use server::{ClientAuth, ServerConfig};

/// Messages whose length is counted separately from the one variable field that they have.
const CERTIFICATE_VERIFY: CertificateVerify<'_> = CertificateVerify {
    scheme: NamedScheme(0),
    signature: &[],
};
const FINISHED: Finished<'_> = Finished { verify_data: &[] };

fn sum(lengths: &[usize]) -> usize {
    lengths.iter().fold(0, |sum, length| sum.saturating_add(*length))
}

/// The length of a flight with headers and protection, in the smallest records that a peer can request, with a few
/// records more for key changes, two change_cipher_specs, and the reserve.
fn with_protection(content: usize) -> usize {
    let records = content.div_ceil(MIN_FRAGMENT).saturating_add(4);
    sum(&[
        content,
        records.saturating_mul(HEADER_LEN + MAX_OVERHEAD),
        2 * (HEADER_LEN + 1),
        RESERVE,
    ])
}

/// Why a configuration cannot be used.
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
    /// No cipher suite is configured for the enabled versions, and an empty list may not be sent (RFC 8446 §4.1.2).
    NoCipherSuite,
    /// No group is configured for the enabled versions (RFC 8446 §4.2.7).
    NoGroup,
    /// No signature scheme is configured for the enabled versions (RFC 8446 §4.2.3).
    NoSignatureScheme,
    /// An application protocol has this many bytes, not 1 to 255 (RFC 7301 §3.1).
    ProtocolLength(usize),
    /// The ClientHello could not be written; the text is the reason.
    Hello(&'static str),
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("no server certificate is configured"),
            Self::ChainTooLong => f.write_str("the certificate chain is longer than 64 KiB"),
            Self::InboundTooSmall(least) => write!(f, "the inbound buffer needs {least} bytes"),
            Self::OutboundTooSmall(least) => write!(f, "the outbound buffer needs {least} bytes"),
            Self::NoCipherSuite => f.write_str("no cipher suite is configured for the enabled versions"),
            Self::NoGroup => f.write_str("no group is configured for the enabled versions"),
            Self::NoSignatureScheme => f.write_str("no signature scheme is configured for the enabled versions"),
            Self::ProtocolLength(length) => write!(f, "an application protocol has {length} bytes, not 1 to 255"),
            Self::Hello(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(all(test, feature = "default"))]
mod tests;
