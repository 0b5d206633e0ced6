//! A server's configuration.

use super::{CERTIFICATE_VERIFY, ConfigError, FINISHED, Identity, KeyLog, Preferences, Versions, sum, with_protection};
use crate::crypto::hash::{HashAlgorithm, HashOutput, Hasher, MAX_HASH};
use crate::crypto::kx::{Group, MAX_PUBLIC};
use crate::crypto::sign::{MAX_SIGNATURE, SignatureScheme};
use crate::crypto::suite::CipherSuite;
use crate::msg::Emit as _;
#[cfg(feature = "tls12")]
use crate::msg::certificate::CertificateRequestTls12;
use crate::msg::certificate::CertificateRequestTls13;
use crate::msg::server_hello::{Answers, EncryptedExtensions, HelloRetryRequest, ServerHelloTls13};
#[cfg(feature = "tls12")]
use crate::msg::server_hello::{ServerHelloTls12, Tls12Answers};
#[cfg(feature = "tls12")]
use crate::msg::ticket::TicketTls12;
use crate::msg::ticket::TicketTls13;
#[cfg(feature = "tls12")]
use crate::msg::tls12::ServerHelloDone;
use crate::pki::verify::{Clock, Trust};
use crate::server::{TICKETS, VerifyClient, verify_client};
use crate::tickets::{MAX_OWN_TICKET, Tickets};
#[cfg(feature = "tls12")]
use crate::tls12::MAX_PARAMS;

/// Whether a server requests certificates of its clients, and how it verifies them.
#[derive(Debug, Clone, Copy, Default)]
pub enum ClientAuth<'a> {
    /// No certificate is requested.
    #[default]
    Off,
    /// A certificate is requested. Clients without one are accepted; an invalid one is refused.
    Optional(&'a Trust<'a>),
    /// A certificate is requested and required.
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

/// A server's identities and preferences.
#[derive(Clone, Copy)]
pub struct ServerConfig<'a> {
    pub(crate) identities: &'a [Identity<'a>],
    pub(crate) client_auth: ClientAuth<'a>,
    /// Set together with `client_auth`: a program that never requests certificates does not link their
    /// verification.
    pub(crate) verify_client: Option<VerifyClient>,
    pub(crate) tickets: Option<&'a Tickets>,
    pub(crate) preferences: Preferences<'a>,
}

impl<'a> ServerConfig<'a> {
    /// A server that uses the first of these identities that suits the client, and all versions, suites and groups in
    /// default order; without tickets and client authentication.
    ///
    /// # Errors
    /// If there is no identity.
    pub fn new(identities: &'a [Identity<'a>], clock: Clock) -> Result<Self, ConfigError> {
        if identities.is_empty() {
            return Err(ConfigError::NoCertificate);
        }
        Ok(Self {
            identities,
            client_auth: ClientAuth::Off,
            verify_client: None,
            tickets: None,
            preferences: Preferences::new(clock),
        })
    }

    preference_setters!();

    /// A server with `identity` alone.
    pub fn with_identity(self, identity: &'a Identity<'a>) -> Self {
        Self {
            identities: core::slice::from_ref(identity),
            ..self
        }
    }

    /// The identities, in order of preference.
    pub fn identities(&self) -> &'a [Identity<'a>] {
        self.identities
    }

    /// Sets the authentication of clients.
    pub fn with_client_auth(self, client_auth: ClientAuth<'a>) -> Self {
        Self {
            client_auth,
            verify_client: Some(verify_client),
            ..self
        }
    }

    /// Issues tickets, and resumes sessions with them. A ticket is valid only with the client authentication, trust and
    /// application protocols with which it was issued; otherwise the handshake is a full one.
    pub fn with_tickets(self, tickets: &'a Tickets) -> Self {
        Self {
            tickets: Some(tickets),
            ..self
        }
    }

    /// A digest of the configuration that a session depends on: the additional data of the tickets.
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
        // No protocol has this length.
        hasher.update(&usize::MAX.to_be_bytes());
        if let Some(trust) = self.client_auth.trust() {
            trust.digest(&mut hasher);
        }
        hasher.finish()
    }

    /// The length of this server's longest flight, in bytes: the outbound buffer must hold it.
    pub fn flight_len(&self) -> usize {
        let Preferences { groups, schemes, .. } = self.preferences;
        // Messages of fixed length, and those that depend on later choices with their longest values.
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
            // It may not have been sent yet when the second ClientHello is received.
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
        let content = sum(&tls13);
        #[cfg(feature = "tls12")]
        let content = content.max(sum(&[
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
            // ServerKeyExchange has the signed parameters before the signature.
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
        ]));
        with_protection(content)
    }
}
