//! Types shared by the handshakes of both roles and versions.

use core::marker::PhantomData;

use rand_core::CryptoRng;

#[cfg(feature = "client")]
use super::client;
#[cfg(feature = "client")]
use super::config::ClientConfig;
use super::config::Preferences;
#[cfg(feature = "server")]
use super::config::ServerConfig;
use super::connection::Info;
use super::error::{Error, PeerIncompatible, PeerMisbehaved};
use super::inbound::{ChangeCipherSpec, ContentLimit, Inbound};
use super::msg::HANDSHAKE_HEADER_LEN;
use super::msg::certificate::CertificateVerify;
use super::outbound::Outbound;
#[cfg(feature = "tls12")]
use super::record::PendingKey;
#[cfg(feature = "tls12")]
use super::registry::NamedGroup;
use super::registry::{HandshakeType, NamedScheme, ProtocolVersion};
use super::schedule::TrafficSecret;
#[cfg(feature = "server")]
use super::server;
#[cfg(feature = "client")]
use super::session::SessionCache;
use super::trace::{Event, Milestone, Secret};
#[cfg(feature = "tls12")]
use crate::crypto::kx::Group;
use crate::crypto::sign::{SchemeSet, SignatureScheme};
use crate::crypto::verify;
use crate::pki::verify::leaf_public_key;

/// A whole handshake message.
#[derive(Clone, Copy)]
pub(crate) struct Message<'m> {
    /// The message with its header, as the transcript hashes it.
    pub(crate) whole: &'m [u8],
    /// Whether more handshake bytes follow it in its record.
    pub(crate) followed: bool,
}

impl<'m> Message<'m> {
    /// The type.
    pub(crate) fn kind(self) -> HandshakeType {
        HandshakeType(self.whole.first().copied().unwrap_or_default())
    }

    /// The content after the header.
    pub(crate) fn body(self) -> &'m [u8] {
        self.whole.get(HANDSHAKE_HEADER_LEN..).unwrap_or_default()
    }

    /// Checks that the message ends its record, as is required before a key change (RFC 8446 §5.1) and where the other
    /// side sends next. Call it before the message is processed.
    ///
    /// # Errors
    /// If more follows it.
    pub(crate) fn last(self) -> Result<LastMessage<'m>, Error> {
        if self.followed {
            return Err(PeerMisbehaved::MessageAcrossKeyChange.into());
        }
        Ok(LastMessage(self))
    }

    /// The error for a message that is not allowed in this state.
    pub(crate) fn unexpected(self) -> Error {
        PeerMisbehaved::UnexpectedHandshake(self.kind()).into()
    }
}

/// A message that ends its record: keys change only after such a message ([`Change::key`]).
#[derive(Clone, Copy)]
pub(crate) struct LastMessage<'m>(Message<'m>);

impl<'m> core::ops::Deref for LastMessage<'m> {
    type Target = Message<'m>;

    fn deref(&self) -> &Message<'m> {
        &self.0
    }
}

/// What a state uses besides the message.
pub(crate) struct Context<'x, 'b> {
    pub(crate) outbound: &'x mut Outbound<'b>,
    pub(crate) rng: &'x mut dyn CryptoRng,
    pub(crate) info: &'x mut Info<'b>,
    pub(crate) change: &'x mut Change<'b>,
    /// The most content that is accepted in one record, in bytes; at most that of the largest record.
    pub(crate) record_limit: u16,
}

/// Changes to the receiving direction made by a step.
#[derive(Default)]
pub(crate) struct Change<'a> {
    key: Option<TrafficSecret>,
    change_cipher_spec: Option<ChangeCipherSpec>,
    /// Whether the peer may not have the keys yet, so that its alerts may be unprotected.
    pub(crate) plain_alerts: bool,
    pub(crate) skip_early_data: Option<SkipEarlyData>,
    /// The new limit on the content of records.
    pub(crate) max_content: Option<ContentLimit>,
    /// What a client needs for later tickets.
    pub(crate) resumption: Option<Resumption<'a>>,
}

impl<'a> Change<'a> {
    /// Uses the key of `secret` from the next record on. No part of a message may span the change (RFC 8446 §5.1).
    pub(crate) fn key(&mut self, _after: LastMessage<'_>, secret: TrafficSecret) {
        self.key = Some(secret);
    }

    #[cfg(feature = "tls12")]
    /// Uses `key` from the next change_cipher_spec on, which must come next (RFC 5246 §7.1).
    pub(crate) fn key_at_change_cipher_spec(&mut self, _after: LastMessage<'_>, key: PendingKey) {
        self.change_cipher_spec = Some(ChangeCipherSpec::Await(key));
    }

    /// Ignores unprotected change_cipher_spec records from now on.
    pub(crate) fn drop_change_cipher_spec(&mut self) {
        self.change_cipher_spec = Some(ChangeCipherSpec::Drop);
    }

    /// Refuses unprotected change_cipher_spec records from now on.
    pub(crate) fn refuse_change_cipher_spec(&mut self) {
        self.change_cipher_spec = Some(ChangeCipherSpec::Refuse);
    }

    /// Applies the changes, and returns what later tickets need.
    pub(crate) fn apply(self, inbound: &mut Inbound<'_>) -> Result<Option<Resumption<'a>>, Error> {
        if let Some(secret) = self.key {
            inbound.set_key(secret)?;
        }
        if let Some(rule) = self.change_cipher_spec {
            inbound.on_change_cipher_spec(rule);
        }
        if self.plain_alerts {
            inbound.allow_plain_alerts();
        }
        match self.skip_early_data {
            Some(SkipEarlyData::UntilClientHello) => inbound.skip_early_data_until_client_hello(),
            Some(SkipEarlyData::UntilDecrypted) => inbound.skip_early_data_until_decrypted(),
            None => {}
        }
        if let Some(limit) = self.max_content {
            inbound.limit_content(limit);
        }
        Ok(self.resumption)
    }
}

/// See RFC 8446 §4.2.10.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SkipEarlyData {
    UntilClientHello,
    UntilDecrypted,
}

/// What a client needs for the tickets of TLS 1.3 that follow the handshake; a server needs nothing.
#[cfg(not(feature = "client"))]
pub(crate) struct Resumption<'a>(core::convert::Infallible, PhantomData<&'a ()>);

/// What a client needs for the tickets of TLS 1.3 that follow the handshake.
#[cfg(feature = "client")]
pub(crate) struct Resumption<'a> {
    pub(crate) sessions: &'a SessionCache,
    pub(crate) secret: TrafficSecret,
    /// In seconds since 1970.
    pub(crate) now: u64,
    pub(crate) identity: Option<crate::pki::verify::PeerIdentity>,
    /// The last second of the session.
    pub(crate) expires: u64,
    pub(crate) context: crate::crypto::hash::HashOutput,
}

/// The state of a handshake, which a connection needs only until the handshake is done.
///
/// By default it is part of the [`Connection`](super::Connection). A caller with many connections provides it instead
/// (`&mut Handshake`, or a guard of a pool), for the duration of the handshake: see
/// [`Connection::server_in`](super::Connection::server_in). Secrets are wiped when the handshake is done or has failed, and
/// when this is dropped. If a connection is dropped during the handshake, a borrowed state keeps its secrets until it is
/// used again or dropped.
pub struct Handshake<'a> {
    role: Role<'a>,
}

// Messages change the state in place: moving it from state to state would put several copies on the stack.
enum Role<'a> {
    None(PhantomData<&'a ()>),
    #[cfg(feature = "server")]
    Server(server::Handshake<'a>),
    #[cfg(feature = "client")]
    Client(client::Handshake<'a>),
}

impl<'a> Handshake<'a> {
    /// A state without a handshake.
    pub const fn new() -> Self {
        Self {
            role: Role::None(PhantomData),
        }
    }

    #[cfg(feature = "server")]
    pub(crate) fn start_server(&mut self, config: ServerConfig<'a>) {
        self.role = Role::Server(server::Handshake::new(config));
    }

    #[cfg(feature = "client")]
    /// Sends the ClientHello.
    pub(crate) fn start_client(
        &mut self,
        config: ClientConfig<'a>,
        record_limit: u16,
        outbound: &mut Outbound<'_>,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), Error> {
        self.role = Role::Client(client::Handshake::new(config, record_limit));
        match &mut self.role {
            Role::Client(handshake) => handshake.start(outbound, rng),
            _ => Err(Error::Internal("no handshake of a client")),
        }
    }

    /// Drops and wipes everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::new();
    }

    /// Whether this is a client's handshake that uses TLS 1.2 or may still choose it.
    pub(crate) fn is_client_of_tls12(&self) -> bool {
        match &self.role {
            #[cfg(feature = "client")]
            Role::Client(handshake) => handshake.may_be_tls12(),
            _ => false,
        }
    }

    /// Handles a message. After an error the handshake cannot be used any more.
    #[cfg_attr(
        not(any(feature = "client", feature = "server")),
        allow(unused_variables, reason = "neither role is built")
    )]
    pub(crate) fn handle(&mut self, message: Message<'_>, context: &mut Context<'_, 'a>) -> Result<Progress, Error> {
        match &mut self.role {
            Role::None(_) => Err(Error::Internal("no handshake in progress")),
            #[cfg(feature = "server")]
            Role::Server(handshake) => handshake.handle(message, context),
            #[cfg(feature = "client")]
            Role::Client(handshake) => handshake.handle(message, context),
        }
    }
}

impl Default for Handshake<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Handshake<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self.role {
            Role::None(_) => "Handshake(none)",
            #[cfg(feature = "server")]
            Role::Server(_) => "Handshake(server)",
            #[cfg(feature = "client")]
            Role::Client(_) => "Handshake(client)",
        })
    }
}

/// The progress of the handshake after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// More messages are needed.
    Continues,
    /// The handshake is done.
    Done,
}

/// The public key in a peer's certificate, stored until its signature is received.
pub(crate) struct PeerKey {
    spki: heapless::Vec<u8, MAX_SPKI>,
    /// A function pointer, so that servers without client authentication, which never create a `PeerKey`, do not link it.
    verify: Verify,
}

type Verify = fn(&[u8], SignatureScheme, ProtocolVersion, Signed<'_>, &[u8]) -> Result<(), Error>;

/// What a signature covers.
#[derive(Clone, Copy)]
enum Signed<'s> {
    Message(&'s [u8]),
    #[cfg(feature = "tls12")]
    Hash(&'s crate::crypto::hash::HashOutput),
}

/// The longest SubjectPublicKeyInfo, in bytes: RSA-4096 needs 550.
const MAX_SPKI: usize = 600;

impl PeerKey {
    /// Copies the key from a certificate in DER.
    pub(crate) fn of(certificate: &[u8]) -> Result<Self, Error> {
        let spki = leaf_public_key(certificate)?;
        Ok(Self {
            spki: heapless::Vec::from_slice(spki).map_err(|_| PeerMisbehaved::KeyTooLong)?,
            verify,
        })
    }

    #[cfg(feature = "tls12")]
    /// Checks that an ECDSA key is on one of the offered curves: in TLS 1.2 supported_groups covers certificates too
    /// (RFC 8422 §5.1.1, §5.3).
    pub(crate) fn check_curve(&self, groups: &[Group]) -> Result<(), Error> {
        match verify::curve(&self.spki) {
            Some(curve) if !groups.iter().any(|group| group.id() == curve) => {
                Err(PeerMisbehaved::UnofferedCurve(NamedGroup(curve)).into())
            }
            _ => Ok(()),
        }
    }

    /// Verifies a signature, whose scheme must be one of `offered`.
    pub(crate) fn check(
        &self,
        offered: &[SignatureScheme],
        version: ProtocolVersion,
        signed: CertificateVerify<'_>,
        message: &[u8],
    ) -> Result<SignatureScheme, Error> {
        let offered = offered
            .iter()
            .copied()
            .filter(|offer| !version.is_tls13() || offer.in_tls13());
        let scheme = offered
            .clone()
            .find(|offer| offer.named() == signed.scheme)
            .ok_or_else(|| unoffered(signed.scheme, offered))?;
        (self.verify)(&self.spki, scheme, version, Signed::Message(message), signed.signature)?;
        Ok(scheme)
    }

    #[cfg(feature = "tls12")]
    /// Verifies a TLS 1.2 signature of an offered scheme over a message of which only the hash is available.
    pub(crate) fn check_prehashed(
        &self,
        scheme: SignatureScheme,
        signature: &[u8],
        hash: &crate::crypto::hash::HashOutput,
    ) -> Result<(), Error> {
        let signed = Signed::Hash(hash);
        (self.verify)(&self.spki, scheme, ProtocolVersion::TLS12, signed, signature)
    }
}

/// Verifies the signature of a handshake.
fn verify(
    spki: &[u8],
    scheme: SignatureScheme,
    version: ProtocolVersion,
    signed: Signed<'_>,
    signature: &[u8],
) -> Result<(), Error> {
    // A scheme for another kind of key is an illegal parameter, not a wrong signature (RFC 8446 §4.4.3).
    if !verify::fits(scheme, version, spki) {
        return Err(PeerMisbehaved::WrongSignatureScheme(scheme.named()).into());
    }
    let result = match signed {
        Signed::Message(message) => verify::verify(scheme, version, spki, message, signature),
        #[cfg(feature = "tls12")]
        Signed::Hash(hash) => verify::verify_prehashed(scheme, spki, hash, signature),
    };
    Ok(result.map_err(|_| PeerMisbehaved::WrongSignature)?)
}

/// The error for a signature whose scheme was not offered.
pub(crate) fn unoffered(scheme: NamedScheme, offered: impl Iterator<Item = SignatureScheme>) -> PeerMisbehaved {
    PeerMisbehaved::UnofferedSignatureScheme {
        scheme,
        offered: SchemeSet::of(offered),
    }
}

impl<'a> Preferences<'a> {
    /// Reports a milestone to the trace, if there is one.
    pub(crate) fn record(&self, milestone: Milestone<'_>) {
        if let Some(trace) = self.trace {
            trace.event(&Event::Milestone(milestone));
        }
    }

    /// Writes a secret to the key log, if there is one, and reports it to the trace: by name, and with its value only if
    /// there is a key log. `hash` is the transcript hash that it was derived with.
    pub(crate) fn log_secret(&self, secret: Secret, client_random: &[u8; 32], value: &[u8], hash: &[u8]) {
        if let Some(key_log) = self.key_log {
            key_log.log(secret.label(), client_random, value);
        }
        let value = if self.key_log.is_some() { value } else { &[] };
        self.record(Milestone::Secret { secret, hash, value });
    }

    /// Chooses a protocol by the server's preference (RFC 7301 §3.2); `None` if either side does not use ALPN.
    pub(crate) fn choose_protocol(
        &self,
        offered: Option<super::msg::client_hello::Protocols<'_>>,
    ) -> Result<Option<&'a [u8]>, Error> {
        let Some(offered) = offered else { return Ok(None) };
        if self.protocols.is_empty() {
            return Ok(None);
        }
        let common = self
            .protocols
            .iter()
            .find(|ours| offered.iter().any(|theirs| theirs == **ours));
        Ok(Some(common.ok_or(PeerIncompatible::Protocol)?))
    }
}
