//! What either side is, what it trusts and what it allows.

use core::net::IpAddr;

use super::msg::certificate::{CertificateRequestTls12, CertificateRequestTls13, CertificateTls13, CertificateVerify};
use super::msg::client_hello::Offer;
use super::msg::server_hello::{
    Answers, EncryptedExtensions, HelloRetryRequest, ServerHelloTls12, ServerHelloTls13, Tls12Answers,
};
use super::msg::ticket::{TicketTls12, TicketTls13};
use super::msg::tls12::{ClientKeyExchange, ServerHelloDone};
use super::msg::{Emit as _, Finished};
use super::outbound::RESERVE;
use super::record::{HEADER_LEN, MAX_OVERHEAD, MIN_FRAGMENT};
use super::registry::{NamedScheme, ProtocolVersion};
use super::server::TICKETS;
use super::session::{MAX_TICKET, SessionCache};
use super::tickets::{MAX_OWN_TICKET, Tickets};
use super::tls12::MAX_PARAMS;
use super::trace::Trace;
use crate::crypto::hash::{HashAlgorithm, HashOutput, Hasher, MAX_HASH};
use crate::crypto::key::SigningKey;
use crate::crypto::kx::{Group, MAX_PUBLIC};
use crate::crypto::sign::{MAX_SIGNATURE, SignatureScheme};
use crate::crypto::suite::CipherSuite;
use crate::pki::verify::{Clock, ServerName, Trust};

/// A certificate chain in DER, leaf first, with the private key of the leaf.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    pub(crate) chain: &'a [&'a [u8]],
    pub(crate) key: &'a SigningKey,
}

impl<'a> Identity<'a> {
    /// # Errors
    /// When the chain is empty, or longer than 64 KiB.
    pub fn new(chain: &'a [&'a [u8]], key: &'a SigningKey) -> Result<Self, ConfigError> {
        if chain.is_empty() {
            return Err(ConfigError::NoCertificate);
        }
        if chain.iter().map(|certificate| certificate.len() + 5).sum::<usize>() > 0xffff {
            return Err(ConfigError::ChainTooLong);
        }
        Ok(Self { chain, key })
    }

    /// The certificates in DER, leaf first.
    pub fn chain(&self) -> &'a [&'a [u8]] {
        self.chain
    }

    /// The private key of the leaf.
    pub fn key(&self) -> &'a SigningKey {
        self.key
    }

    /// The length of its Certificate message in bytes, in TLS 1.3, where it is longer.
    pub(crate) fn message_len(&self) -> usize {
        let message = CertificateTls13 {
            context: &[],
            chain: self.chain,
        };
        message.encoded_len()
    }
}

/// Which versions are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// TLS 1.3 and TLS 1.2, the former wherever the peer can.
    #[default]
    Both,
    /// TLS 1.3 only.
    Tls13,
    /// TLS 1.2 only.
    Tls12,
}

impl Versions {
    pub(crate) fn tls13(self) -> bool {
        self != Self::Tls12
    }

    pub(crate) fn tls12(self) -> bool {
        self != Self::Tls13
    }

    pub(crate) fn contains(self, version: ProtocolVersion) -> bool {
        match version {
            ProtocolVersion::TLS13 => self.tls13(),
            ProtocolVersion::TLS12 => self.tls12(),
            _ => false,
        }
    }

    pub(crate) fn highest(self) -> ProtocolVersion {
        match self {
            Self::Both | Self::Tls13 => ProtocolVersion::TLS13,
            Self::Tls12 => ProtocolVersion::TLS12,
        }
    }

    pub(crate) fn lowest(self) -> ProtocolVersion {
        match self {
            Self::Both | Self::Tls12 => ProtocolVersion::TLS12,
            Self::Tls13 => ProtocolVersion::TLS13,
        }
    }
}

/// Whether a server asks its clients for certificates, and whose it trusts.
#[derive(Debug, Clone, Copy, Default)]
pub enum ClientAuth<'a> {
    /// Not asked.
    #[default]
    Off,
    /// Asked; who has none is let in, who has a bad one is not.
    Optional(&'a Trust<'a>),
    /// Asked, and nobody is let in without.
    Required(&'a Trust<'a>),
}

impl<'a> ClientAuth<'a> {
    pub(crate) fn trust(&self) -> Option<&'a Trust<'a>> {
        match self {
            Self::Off => None,
            Self::Optional(trust) | Self::Required(trust) => Some(trust),
        }
    }
}

/// Where the secrets of a connection are written for an analyser, in the NSS key log format's terms.
///
/// Whoever has them can read the connection: this is for debugging only.
pub trait KeyLog {
    /// One line: `label client_random secret`.
    fn log(&self, label: &str, client_random: &[u8; 32], secret: &[u8]);
}

/// What both sides choose from.
#[derive(Clone, Copy)]
pub(crate) struct Preferences<'a> {
    pub(crate) versions: Versions,
    pub(crate) suites: &'a [CipherSuite],
    pub(crate) groups: &'a [Group],
    pub(crate) schemes: &'a [SignatureScheme],
    pub(crate) protocols: &'a [&'a [u8]],
    pub(crate) require_extended_master_secret: bool,
    pub(crate) clock: Clock,
    pub(crate) key_log: Option<&'a dyn KeyLog>,
    pub(crate) trace: Option<&'a dyn Trace>,
}

impl Preferences<'_> {
    fn new(clock: Clock) -> Self {
        Self {
            versions: Versions::Both,
            suites: &CipherSuite::ALL,
            groups: &Group::ALL,
            schemes: &SignatureScheme::ALL,
            protocols: &[],
            require_extended_master_secret: true,
            clock,
            key_log: None,
            trace: None,
        }
    }
}

impl Preferences<'_> {
    /// Whether a ClientHello has something to list.
    pub(crate) fn check_client(&self) -> Result<(), ConfigError> {
        let tls13 = self.versions.tls13();
        let offered = |suite: &CipherSuite| self.versions.contains(suite.version());
        if !self.suites.iter().any(offered) {
            return Err(ConfigError::NothingToOffer("cipher suite"));
        }
        if !self.groups.iter().any(|group| tls13 || group.in_tls12()) {
            return Err(ConfigError::NothingToOffer("group"));
        }
        self.check_schemes(self.versions.highest())?;
        self.check_protocols()
    }

    /// Whether a CertificateRequest has something to list, in one version at least.
    pub(crate) fn check_request(&self) -> Result<(), ConfigError> {
        self.check_schemes(self.versions.lowest())
    }

    fn check_schemes(&self, highest: ProtocolVersion) -> Result<(), ConfigError> {
        match self.schemes.iter().any(|scheme| scheme.may_be_offered(highest)) {
            true => Ok(()),
            false => Err(ConfigError::NothingToOffer("signature scheme")),
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
        /// With this time.
        pub fn with_clock(mut self, clock: Clock) -> Self {
            self.preferences.clock = clock;
            self
        }

        /// Only these versions.
        pub fn with_versions(mut self, versions: Versions) -> Self {
            self.preferences.versions = versions;
            self
        }

        /// Only these suites, the preferred first. Those of a version that is not spoken do not count.
        pub fn with_suites(mut self, suites: &'a [CipherSuite]) -> Self {
            self.preferences.suites = suites;
            self
        }

        /// Only these groups, the preferred first.
        pub fn with_groups(mut self, groups: &'a [Group]) -> Self {
            self.preferences.groups = groups;
            self
        }

        /// Only these schemes for the peer's signature, the preferred first.
        pub fn with_schemes(mut self, schemes: &'a [SignatureScheme]) -> Self {
            self.preferences.schemes = schemes;
            self
        }

        /// These application protocols (RFC 7301), the preferred first. With none, ALPN is left alone.
        pub fn with_protocols(mut self, protocols: &'a [&'a [u8]]) -> Self {
            self.preferences.protocols = protocols;
            self
        }

        /// Whether peers of TLS 1.2 must use the extended master secret, as is the default: without it two connections can
        /// be made to have the same keys (RFC 7627 §1). Where it is not required, handshakes without it get no ticket.
        pub fn with_extended_master_secret_required(mut self, required: bool) -> Self {
            self.preferences.require_extended_master_secret = required;
            self
        }

        /// Writes the secrets of the connections to `key_log`, or, as is the default, nowhere.
        pub fn with_key_log(mut self, key_log: Option<&'a dyn KeyLog>) -> Self {
            self.preferences.key_log = key_log;
            self
        }

        /// Tells `trace` what the connection does.
        pub fn with_trace(mut self, trace: &'a dyn Trace) -> Self {
            self.preferences.trace = Some(trace);
            self
        }
    };
}

/// A server's identities and preferences.
#[derive(Clone, Copy)]
pub struct ServerConfig<'a> {
    pub(crate) identities: &'a [Identity<'a>],
    pub(crate) client_auth: ClientAuth<'a>,
    pub(crate) tickets: Option<&'a Tickets>,
    pub(crate) preferences: Preferences<'a>,
}

impl<'a> ServerConfig<'a> {
    /// A server with these identities, of which the first that suits the client is used, and every version, suite and
    /// group in our order; without tickets and client authentication.
    ///
    /// # Errors
    /// When there is no identity.
    pub fn new(identities: &'a [Identity<'a>], clock: Clock) -> Result<Self, ConfigError> {
        if identities.is_empty() {
            return Err(ConfigError::NoCertificate);
        }
        Ok(Self {
            identities,
            client_auth: ClientAuth::Off,
            tickets: None,
            preferences: Preferences::new(clock),
        })
    }

    preference_setters!();

    /// With `identity` alone.
    pub fn with_identity(self, identity: &'a Identity<'a>) -> Self {
        Self {
            identities: core::slice::from_ref(identity),
            ..self
        }
    }

    /// The identities, in the order of preference.
    pub fn identities(&self) -> &'a [Identity<'a>] {
        self.identities
    }

    /// Asks clients for certificates.
    pub fn with_client_auth(self, client_auth: ClientAuth<'a>) -> Self {
        Self { client_auth, ..self }
    }

    /// Issues tickets, and resumes sessions with them. A ticket is good under the client authentication, trust and
    /// application protocols under which it was issued; with any other it leads to a full handshake.
    pub fn with_tickets(self, tickets: &'a Tickets) -> Self {
        Self {
            tickets: Some(tickets),
            ..self
        }
    }

    /// A digest of what a session rests on besides its own content: the additional data of the tickets.
    pub(crate) fn session_context(&self) -> HashOutput {
        let mut hasher = Hasher::new(HashAlgorithm::Sha256);
        hasher.update(match self.client_auth {
            ClientAuth::Off => &[0],
            ClientAuth::Optional(_) => &[1],
            ClientAuth::Required(_) => &[2],
        });
        // At most 255 bytes each (RFC 7301 §3.1).
        for protocol in self.preferences.protocols {
            hasher.update(&protocol.len().to_be_bytes());
            hasher.update(protocol);
        }
        // No protocol is as long.
        hasher.update(&usize::MAX.to_be_bytes());
        if let Some(trust) = self.client_auth.trust() {
            trust.digest(&mut hasher);
        }
        hasher.finish()
    }

    /// The most bytes that one flight of this server can take: what the outbound buffer has to hold.
    pub fn flight_len(&self) -> usize {
        let Preferences { groups, schemes, .. } = self.preferences;
        // What has one length whatever its value, and with the longest values what is chosen later.
        let (random, session_id) = (&[0; 32], &[0; 32][..]);
        let (suite, group) = (CipherSuite::Aes128GcmSha256, Group::X25519);
        let answers = Answers {
            protocol: self.preferences.protocols.iter().copied().max_by_key(|name| name.len()),
            record_size_limit: Some(0),
            max_fragment_length: Some(512),
            server_name: true,
        };
        let chain = self.identities.iter().max_by_key(|identity| identity.message_len());
        let certificate = chain.map_or(0, Identity::message_len);
        let signed = CERTIFICATE_VERIFY.encoded_len().saturating_add(MAX_SIGNATURE);
        let key_share = (group, &[][..]);
        let psk = Some(0);
        let ticket = TicketTls13 {
            nonce: &[0],
            ..TicketTls13::default()
        };
        let tls13 = [
            // It may still wait to be sent when the second ClientHello comes.
            HelloRetryRequest {
                session_id,
                suite,
                group,
            }
            .encoded_len(),
            ServerHelloTls13 {
                random,
                session_id,
                suite,
                key_share,
                psk,
            }
            .encoded_len(),
            MAX_PUBLIC,
            EncryptedExtensions {
                groups: Some(groups),
                answers: &answers,
            }
            .encoded_len(),
            CertificateRequestTls13 { schemes }.encoded_len(),
            certificate,
            signed,
            FINISHED.encoded_len(),
            MAX_HASH,
            usize::from(TICKETS).saturating_mul(ticket.encoded_len().saturating_add(MAX_OWN_TICKET)),
        ];
        let tls12 = [
            ServerHelloTls12 {
                random,
                session_id,
                suite,
                answers: &Tls12Answers {
                    extended_master_secret: true,
                    renegotiation_info: true,
                    session_ticket: true,
                    ec_point_formats: true,
                    common: answers,
                },
            }
            .encoded_len(),
            certificate,
            // ServerKeyExchange: what is signed comes before the signature.
            signed,
            MAX_PARAMS,
            CertificateRequestTls12 {
                schemes: schemes.iter().copied(),
            }
            .encoded_len(),
            ServerHelloDone.encoded_len(),
            TicketTls12::default().encoded_len(),
            MAX_OWN_TICKET,
            FINISHED.encoded_len(),
            MAX_HASH,
        ];
        with_protection(sum(&tls13).max(sum(&tls12)))
    }
}

/// A client's trust and preferences.
#[derive(Clone, Copy)]
pub struct ClientConfig<'a> {
    pub(crate) trust: &'a Trust<'a>,
    pub(crate) name: Option<ServerName<'a>>,
    pub(crate) identity: Option<Identity<'a>>,
    pub(crate) sessions: Option<&'a SessionCache>,
    pub(crate) preferences: Preferences<'a>,
}

impl<'a> ClientConfig<'a> {
    /// A client that trusts `trust` and asks for `name`; with `None` any certificate under that trust will do.
    pub fn new(trust: &'a Trust<'a>, name: Option<ServerName<'a>>, clock: Clock) -> Self {
        Self {
            trust,
            name,
            identity: None,
            sessions: None,
            preferences: Preferences::new(clock),
        }
    }

    preference_setters!();

    /// Asks for `name`; with `None` any certificate under the trust will do.
    pub fn with_name(self, name: Option<ServerName<'a>>) -> Self {
        Self { name, ..self }
    }

    /// Authenticates with this identity where a server asks.
    pub fn with_identity(self, identity: Identity<'a>) -> Self {
        Self {
            identity: Some(identity),
            ..self
        }
    }

    /// Resumes the session in `sessions`, and puts new ones there.
    pub fn with_sessions(self, sessions: &'a SessionCache) -> Self {
        Self {
            sessions: Some(sessions),
            ..self
        }
    }

    /// A digest of what the peer of a session was verified by: the trust, and the name that was asked for.
    pub(crate) fn session_context(&self) -> HashOutput {
        let mut hasher = Hasher::new(HashAlgorithm::Sha256);
        let mut add = |kind: u8, name: &[u8]| {
            hasher.update(&[kind]);
            hasher.update(&name.len().to_be_bytes());
            hasher.update(name);
        };
        match self.name {
            None => add(0, &[]),
            Some(ServerName::Ip(IpAddr::V4(address))) => add(1, &address.octets()),
            Some(ServerName::Ip(IpAddr::V6(address))) => add(1, &address.octets()),
            Some(ServerName::Dns(name)) => add(2, name.as_bytes()),
        }
        self.trust.digest(&mut hasher);
        hasher.finish()
    }

    /// The name in `server_name`: without a trailing dot (RFC 6066 §3).
    pub(crate) fn server_name(&self) -> Option<&'a str> {
        match self.name {
            Some(ServerName::Dns(name)) => Some(name.strip_suffix('.').unwrap_or(name)),
            _ => None,
        }
    }

    /// The most bytes that one flight of this client can take: what the outbound buffer has to hold.
    pub fn flight_len(&self) -> usize {
        let hello = Offer {
            random: &[0; 32],
            session_id: &[0; 32],
            versions: self.preferences.versions,
            suites: self.preferences.suites,
            groups: self.preferences.groups,
            schemes: self.preferences.schemes,
            server_name: self.server_name(),
            protocols: self.preferences.protocols,
            record_size_limit: 0,
            key_pairs: &[],
            cookie: Some(&[]),
            session_ticket: Some(&[]),
            psk: Some((&[], 0, MAX_HASH)),
        };
        const KEY_SHARE: usize = 2 + 2 + MAX_PUBLIC;
        let hello = sum(&[hello.encoded_len(), KEY_SHARES * KEY_SHARE, MAX_TICKET]);
        let no_chain = CertificateTls13 {
            context: &[],
            chain: &[],
        };
        let second = sum(&[
            self.identity
                .map_or_else(|| no_chain.encoded_len(), |identity| identity.message_len()),
            CERTIFICATE_VERIFY.encoded_len(),
            MAX_SIGNATURE,
            ClientKeyExchange { public: &[] }.encoded_len(),
            MAX_PUBLIC,
            FINISHED.encoded_len(),
            MAX_HASH,
        ]);
        // The first hello, which has no cookie, may still wait to be sent.
        with_protection(sum(&[hello, sum(&[hello, COOKIE]).max(second)]))
    }
}

/// The most key shares in a ClientHello: of a hybrid group, and of one that TLS 1.2 has as well.
const KEY_SHARES: usize = 2;

/// A cookie for which there is room in a client's second hello in any case, in bytes; a longer one, up to the 2^16-1 of
/// RFC 8446 §4.2.2, is returned where the outbound buffer has the room.
const COOKIE: usize = 1024;

/// Messages whose lengths are counted without the one value that they have.
const CERTIFICATE_VERIFY: CertificateVerify<'_> = CertificateVerify {
    scheme: NamedScheme(0),
    signature: &[],
};
const FINISHED: Finished<'_> = Finished { verify_data: &[] };

fn sum(lengths: &[usize]) -> usize {
    lengths.iter().fold(0, |sum, length| sum.saturating_add(*length))
}

/// The length of a flight with headers and protection: a few records more than its length asks for, and
/// change_cipher_spec; behind it the reserve. The records are as small as the peer may want them.
fn with_protection(content: usize) -> usize {
    let records = content.div_ceil(MIN_FRAGMENT).saturating_add(4);
    sum(&[
        content,
        records.saturating_mul(HEADER_LEN + MAX_OVERHEAD),
        2 * (HEADER_LEN + 1),
        RESERVE,
    ])
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
    /// None of the named kind is configured for the enabled versions, and an empty list may not be sent
    /// (RFC 8446 §4.1.2, §4.2.3, §4.2.7).
    NothingToOffer(&'static str),
    /// An application protocol has this many bytes, not 1 to 255 (RFC 7301 §3.1).
    ProtocolLength(usize),
    /// The hello could not be made; the text says why.
    Hello(&'static str),
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("no server certificate is configured"),
            Self::ChainTooLong => f.write_str("the certificate chain is longer than 64 KiB"),
            Self::InboundTooSmall(least) => write!(f, "the inbound buffer needs {least} bytes"),
            Self::OutboundTooSmall(least) => write!(f, "the outbound buffer needs {least} bytes"),
            Self::NothingToOffer(what) => write!(f, "no {what} is configured for the enabled versions"),
            Self::ProtocolLength(length) => write!(f, "an application protocol has {length} bytes, not 1 to 255"),
            Self::Hello(why) => f.write_str(why),
        }
    }
}

impl core::error::Error for ConfigError {}

#[cfg(test)]
mod tests;
