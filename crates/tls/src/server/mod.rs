//! The server's handshake: its states, and the messages allowed in each.

#[cfg(feature = "tls12")]
mod tls12;
mod tls13;

pub(crate) use tls13::TICKETS;

use super::config::{ClientAuth, Identity, ServerConfig};
use super::error::{Error, PeerIncompatible, PeerMisbehaved};
use super::handshake::{Context, LastMessage, Message, PeerKey, Progress};
use super::inbound::ContentLimit;
use super::msg::certificate;
use super::msg::client_hello::ClientHello;
use super::msg::server_hello::Answers;
use super::registry::{HandshakeType, ProtocolVersion};
use super::session::{SESSION_LIFETIME, TICKET_LIFETIME};
use super::trace::Milestone;
use super::transcript::Transcript;
use crate::crypto::sign::SignatureScheme;
use crate::pki::text::Text;
use crate::pki::verify::{PeerIdentity, Purpose, matches_name, subject_of};

/// A server's handshake.
pub(crate) struct Handshake<'a> {
    common: Common<'a>,
    state: State,
}

/// The data of the whole handshake.
struct Common<'a> {
    config: ServerConfig<'a>,
    transcript: Transcript,
}

/// The state of the handshake: a ClientHello is expected, then the messages of its version.
enum State {
    /// The first ClientHello.
    ClientHello,
    /// TLS 1.3: the ClientHello that answers a HelloRetryRequest.
    SecondClientHello(tls13::ExpectSecondClientHello),
    Tls13(tls13::Handshake),
    #[cfg(feature = "tls12")]
    Tls12(tls12::Handshake),
}

impl<'a> Handshake<'a> {
    /// A handshake that expects a ClientHello.
    pub(crate) fn new(config: ServerConfig<'a>) -> Self {
        let transcript = Transcript::new();
        Self {
            common: Common { config, transcript },
            state: State::ClientHello,
        }
    }

    /// Handles a message.
    pub(crate) fn handle(&mut self, message: Message<'_>, context: &mut Context<'_, 'a>) -> Result<Progress, Error> {
        let Self { common, state } = self;
        match (&mut *state, message.kind()) {
            (State::ClientHello, HandshakeType::CLIENT_HELLO) => {
                client_hello(common, state, message.last()?, context)?;
            }
            (State::SecondClientHello(expect), HandshakeType::CLIENT_HELLO) => {
                *state = State::Tls13(expect.client_hello(common, message.last()?, context)?);
            }
            (State::ClientHello | State::SecondClientHello(_), _) => return Err(message.unexpected()),
            (State::Tls13(handshake), _) => return handshake.handle(common, message, context),
            #[cfg(feature = "tls12")]
            (State::Tls12(handshake), _) => return handshake.handle(common, message, context),
        }
        Ok(Progress::Continues)
    }
}

/// Chooses the version, and continues with its handshake.
#[inline(never)] // keeps its stack frame out of the following messages
fn client_hello<'a>(
    common: &mut Common<'a>,
    state: &mut State,
    message: LastMessage<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<(), Error> {
    let hello = ClientHello::parse(message.body())?;
    context.info.server_name = hello.server_name.map(|name| Text::of(name.escape_ascii()));
    let versions = common.config.preferences.versions;
    // RFC 8446 §E.5.
    if hello.legacy_version <= ProtocolVersion::SSL3 {
        return Err(PeerMisbehaved::Ssl3.into());
    }
    let offers = |version: ProtocolVersion| match hello.supported_versions {
        Some(offered) => offered.contains(version.0),
        None => !version.is_tls13() && hello.legacy_version >= version,
    };
    if offers(ProtocolVersion::TLS13) && versions.tls13() {
        return tls13::client_hello(common, state, &hello, message, context);
    }
    #[cfg(feature = "tls12")]
    if offers(ProtocolVersion::TLS12) && versions.tls12() {
        // RFC 7507 §3.
        if hello.is_fallback() && versions.tls13() {
            return Err(PeerMisbehaved::InappropriateFallback.into());
        }
        *state = State::Tls12(tls12::client_hello(common, &hello, message, context)?);
        return Ok(());
    }
    let highest = match hello.supported_versions {
        Some(offered) => offered
            .iter()
            .map(ProtocolVersion)
            .filter(|version| *version <= ProtocolVersion::TLS13)
            .max(),
        None => Some(hello.legacy_version.min(ProtocolVersion::TLS12)),
    };
    Err(PeerIncompatible::Version(highest).into())
}

/// How the server authenticates.
struct Credentials<'a> {
    identity: Identity<'a>,
    scheme: SignatureScheme,
    /// Whether the client's server_name selected the identity, and is acknowledged (RFC 6066 §3).
    named: bool,
}

/// Chooses the identity for a client, of those that are `suitable` and have a scheme that the client offers: one with
/// the requested name, otherwise the first.
fn choose_identity<'a>(
    config: &ServerConfig<'a>,
    hello: &ClientHello<'_>,
    version: ProtocolVersion,
    suitable: impl Fn(&Identity<'a>) -> bool,
) -> Result<Credentials<'a>, Error> {
    let offered = hello.signature_algorithms;
    let usable = || {
        let suitable = config.identities.iter().filter(|identity| suitable(identity));
        suitable.filter_map(|identity| {
            let mut schemes = identity.key.schemes(version).iter().copied();
            let offered = |scheme: &SignatureScheme| offered.is_some_and(|offered| offered.contains(scheme.id()));
            Some((*identity, schemes.find(offered)?))
        })
    };
    let host = hello.server_name.and_then(|name| core::str::from_utf8(name).ok());
    let named = host.and_then(|host| {
        usable().find(|(identity, _)| identity.chain.first().is_some_and(|leaf| matches_name(leaf, host)))
    });
    let (identity, scheme) = named
        .or_else(|| usable().next())
        .ok_or(PeerIncompatible::SignatureScheme)?;
    Ok(Credentials {
        identity,
        scheme,
        named: named.is_some(),
    })
}

/// The answers to the extensions that both versions have, applied to the connection. `named`: server_name selected the
/// identity; never in a resumption (RFC 6066 §3).
fn answers<'a>(
    config: &ServerConfig<'a>,
    hello: &ClientHello<'_>,
    version: ProtocolVersion,
    named: bool,
    context: &mut Context<'_, 'a>,
) -> Result<Answers<'a>, Error> {
    let protocol = config.preferences.choose_protocol(hello.protocols)?;
    context.info.protocol = protocol;
    let mut answers = Answers {
        protocol,
        server_name: named,
        ..Answers::default()
    };
    if let Some(limit) = hello.record_size_limit {
        // In TLS 1.3 the limit counts the content type (RFC 8449 §4).
        context
            .outbound
            .limit_fragments(usize::from(limit).saturating_sub(version.is_tls13().into()));
        let ours = context.record_limit;
        answers.record_size_limit = Some(ours.saturating_add(version.is_tls13().into()));
        context.change.max_content = Some(ContentLimit::Protected(usize::from(ours)));
    } else if let Some(length) = hello.max_fragment_length {
        // RFC 8449 §5: record_size_limit has precedence. RFC 6066 §4: it applies to both directions.
        context.outbound.limit_fragments(length);
        answers.max_fragment_length = Some(length);
        context.change.max_content = Some(ContentLimit::All(length));
    }
    Ok(answers)
}

/// A client whose chain is verified.
pub(crate) struct VerifiedClient {
    identity: PeerIdentity,
    /// The last second at which the chain is valid.
    valid_until: u64,
    key: PeerKey,
}

/// [`verify_client`], in configurations with client authentication.
pub(crate) type VerifyClient =
    fn(&ServerConfig<'_>, Message<'_>, ProtocolVersion, &mut Context<'_, '_>) -> Result<Option<VerifiedClient>, Error>;

/// Verifies the chain in a client's Certificate message. `None` if it sent no certificate and none is required.
pub(crate) fn verify_client(
    config: &ServerConfig<'_>,
    message: Message<'_>,
    version: ProtocolVersion,
    context: &mut Context<'_, '_>,
) -> Result<Option<VerifiedClient>, Error> {
    let chain = match version {
        #[cfg(feature = "tls12")]
        ProtocolVersion::TLS12 => certificate::parse_tls12(message.body())?,
        _ => certificate::parse_tls13(message.body(), &[], false)?.0,
    };
    let (trust, required) = match config.client_auth {
        ClientAuth::Off => return Err(NOT_ASKED_FOR),
        ClientAuth::Optional(trust) => (trust, false),
        ClientAuth::Required(trust) => (trust, true),
    };
    let Some(leaf) = chain.first() else {
        return if required {
            Err(PeerMisbehaved::NoClientCertificate(version).into())
        } else {
            Ok(None)
        };
    };
    let verified = trust.verify_chain(&chain, Purpose::Client, config.preferences.clock)?;
    context.info.root = Some(subject_of(verified.root));
    let valid_until = verified.valid_until;
    let identity = PeerIdentity::from_leaf(leaf)?;
    let subject = identity.subject.as_str();
    config.preferences.record(Milestone::Trusted { subject });
    Ok(Some(VerifiedClient {
        identity,
        valid_until,
        key: PeerKey::of(leaf)?,
    }))
}

const NOT_ASKED_FOR: Error = Error::Internal("no certificate was requested");

impl ServerConfig<'_> {
    fn verify_client(
        &self,
        message: Message<'_>,
        version: ProtocolVersion,
        context: &mut Context<'_, '_>,
    ) -> Result<Option<VerifiedClient>, Error> {
        let verify = self.verify_client.ok_or(NOT_ASKED_FOR)?;
        verify(self, message, version, context)
    }
}

/// The end of the session of a full handshake without client authentication.
fn session_end(config: &ServerConfig<'_>) -> u64 {
    config.preferences.clock.now.saturating_add(SESSION_LIFETIME.into())
}

/// The lifetime of a ticket issued now for a session that ends at `expires`; `None` if the session has ended.
fn ticket_lifetime(config: &ServerConfig<'_>, expires: u64) -> Option<u32> {
    let left = expires.saturating_sub(config.preferences.clock.now);
    let lifetime = left.min(TICKET_LIFETIME.into());
    u32::try_from(lifetime).ok().filter(|lifetime| *lifetime > 0)
}

/// Whether a session satisfies the current requirements on client authentication.
fn session_suffices(config: &ServerConfig<'_>, identity: Option<&PeerIdentity>) -> bool {
    match (config.client_auth, identity) {
        // Without client authentication, a client is not identified by an earlier handshake either.
        (ClientAuth::Off, identity) => identity.is_none(),
        (ClientAuth::Optional(_), None) => true,
        (ClientAuth::Required(_), None) => false,
        (ClientAuth::Optional(trust) | ClientAuth::Required(trust), Some(identity)) => {
            config.preferences.clock.now <= identity.not_after && trust.allows(identity)
        }
    }
}

#[cfg(test)]
mod tests;
