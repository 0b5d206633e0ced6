//! A client's configuration.

use core::net::IpAddr;

use super::{CERTIFICATE_VERIFY, FINISHED, Identity, KeyLog, Preferences, Versions, sum, with_protection};
use crate::crypto::hash::{HashAlgorithm, HashOutput, Hasher, MAX_HASH};
use crate::crypto::kx::{Group, MAX_PUBLIC};
use crate::crypto::sign::{MAX_SIGNATURE, SignatureScheme};
use crate::crypto::suite::CipherSuite;
use crate::msg::Emit as _;
use crate::msg::certificate::CertificateTls13;
use crate::msg::client_hello::Offer;
use crate::msg::tls12::ClientKeyExchange;
use crate::pki::verify::{Clock, DerList, ServerName, Trust};
use crate::session::{MAX_TICKET, SessionCache};

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
    /// A client that verifies servers by `trust` and expects `name`; with `None` it accepts any name.
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

    /// Expects the server name `name`; with `None` any name is accepted.
    pub fn with_name(self, name: Option<ServerName<'a>>) -> Self {
        Self { name, ..self }
    }

    /// Sets the identity for servers that request a certificate.
    pub fn with_identity(self, identity: Identity<'a>) -> Self {
        Self {
            identity: Some(identity),
            ..self
        }
    }

    /// Resumes the session in `sessions`, and stores new ones there.
    pub fn with_sessions(self, sessions: &'a SessionCache) -> Self {
        Self {
            sessions: Some(sessions),
            ..self
        }
    }

    /// A digest of what the peer of a session was verified against: the trust and the expected name.
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

    /// The length of this client's longest flight, in bytes: the outbound buffer must hold it.
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
            chain: DerList::from(&[]),
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
        // The first hello, which has no cookie, may not have been sent yet.
        with_protection(sum(&[hello, sum(&[hello, COOKIE]).max(second)]))
    }
}

/// The most key shares in a ClientHello: one of a hybrid group and one of a group that TLS 1.2 has too.
const KEY_SHARES: usize = 2;

/// The longest cookie that always fits into the second ClientHello, in bytes. A longer one, up to the 2^16-1 of
/// RFC 8446 §4.2.2, is returned if the outbound buffer has room.
const COOKIE: usize = 1024;
