//! The client's handshake: its states, and the messages allowed in each.

#[cfg(feature = "tls12")]
mod tls12;
mod tls13;

use rand_core::CryptoRng;

use super::codec::{Reader, Writer};
use super::config::{ClientConfig, Preferences};
use super::connection::Info;
use super::error::{Error, PeerIncompatible, PeerMisbehaved};
use super::handshake::{Context, LastMessage, Message, Progress};
use super::inbound::ContentLimit;
use super::msg::Emit as _;
use super::msg::certificate::{CertificateRequest, Chain};
use super::msg::client_hello::Offer;
use super::msg::server_hello::{Answers, ServerHello};
use super::outbound::Outbound;
use super::registry::{ExtensionType, HandshakeType, NamedGroup, NamedSuite, ProtocolVersion};
use super::schedule::KeySchedule;
use super::session::{ClientSession, MAX_TICKET_AGE};
use super::trace::Milestone;
use super::transcript::Transcript;
use crate::crypto::kx::{Group, KeyPair, SharedSecret};
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::pki::verify::{PeerIdentity, Purpose, ServerName, VerifiedChain, subject_of};

/// A client's handshake.
pub(crate) struct Handshake<'a> {
    common: Common<'a>,
    state: State,
}

/// The state of the handshake: a ServerHello is expected, then the messages of its version.
enum State {
    /// ServerHello or HelloRetryRequest.
    ServerHello(ExpectServerHello),
    Tls13(tls13::Handshake),
    #[cfg(feature = "tls12")]
    Tls12(tls12::Handshake),
}

impl<'a> Handshake<'a> {
    /// A handshake that has not started.
    pub(crate) fn new(config: ClientConfig<'a>, record_limit: u16) -> Self {
        Self {
            common: Common {
                config,
                transcript: Transcript::new(),
                random: [0; 32],
                session_id: [0; 32],
                session: None,
            },
            state: State::ServerHello(ExpectServerHello {
                key_pairs: heapless::Vec::new(),
                record_limit,
                retried: None,
            }),
        }
    }

    /// Sends the ClientHello.
    pub(crate) fn start(&mut self, outbound: &mut Outbound<'_>, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        self.take_session();
        let Self { common, state } = self;
        let State::ServerHello(state) = state else {
            return Err(Error::Internal("the handshake has already started"));
        };
        let preferences = &common.config.preferences;
        rng.fill_bytes(&mut common.random);
        // As recommended in RFC 8446 §D.4; in TLS 1.2 its echo indicates a resumption by ticket (RFC 5077 §3.4).
        rng.fill_bytes(&mut common.session_id);
        if preferences.versions.tls13() {
            // The preferred group; and, if that is the large hybrid, which some servers do not support, the next one.
            let mut groups = preferences.groups.iter().copied();
            let first = groups.next();
            let second = groups.next().filter(|_| first.is_some_and(|group| !group.in_tls12()));
            let groups = [first, second].into_iter().flatten();
            state
                .key_pairs
                .extend(groups.map(|group| KeyPair::generate(group, rng)));
        }
        state
            .key_pairs
            .iter()
            .for_each(|pair| record_key_pair(preferences, pair));
        if common.config.identity.is_some() && preferences.versions.tls12() {
            outbound.keep_messages();
        }
        state.send(common, None, outbound)
    }

    /// Takes the session to be resumed out of the cache, if it may be offered.
    #[inline(never)] // keeps the ticket off the stack while keys are generated
    fn take_session(&mut self) {
        let config = &self.common.config;
        let (versions, suites) = (config.preferences.versions, config.preferences.suites);
        let offered = |session: &ClientSession| suites.contains(&session.suite) && versions.contains(session.version);
        self.common.session = config
            .sessions
            .and_then(|sessions| sessions.take(config.preferences.clock.now, || config.session_context()))
            .filter(offered);
    }

    /// Whether the version is TLS 1.2, or may still become so.
    pub(crate) fn may_be_tls12(&self) -> bool {
        match &self.state {
            State::ServerHello(state) => state.retried.is_none() && self.common.config.preferences.versions.tls12(),
            #[cfg(feature = "tls12")]
            State::Tls12(_) => true,
            State::Tls13(_) => false,
        }
    }

    /// Handles a message.
    pub(crate) fn handle(&mut self, message: Message<'_>, context: &mut Context<'_, 'a>) -> Result<Progress, Error> {
        match (&mut self.state, message.kind()) {
            (State::ServerHello(state), HandshakeType::SERVER_HELLO) => {
                if let Some(next) = state.server_hello(&mut self.common, message, context)? {
                    self.state = next;
                }
                Ok(Progress::Continues)
            }
            (State::ServerHello(_), _) => Err(message.unexpected()),
            (State::Tls13(handshake), _) => handshake.handle(&mut self.common, message, context),
            #[cfg(feature = "tls12")]
            (State::Tls12(handshake), _) => handshake.handle(&mut self.common, message, context),
        }
    }
}

/// The data of the whole handshake.
struct Common<'a> {
    config: ClientConfig<'a>,
    transcript: Transcript,
    random: [u8; 32],
    session_id: [u8; 32],
    /// The offered session; later the resumed one, or that of a ticket sent by a TLS 1.2 server.
    session: Option<ClientSession>,
}

/// The client after its ClientHello.
struct ExpectServerHello {
    key_pairs: heapless::Vec<KeyPair, 2>,
    record_limit: u16,
    /// The suite and group of the HelloRetryRequest.
    retried: Option<(CipherSuite, Option<Group>)>,
}

/// The ClientHello does not end with room for its binder.
const NO_BINDERS: Error = Error::Internal("ClientHello without room for its binder");

impl ExpectServerHello {
    /// Sends the first or second ClientHello.
    fn send(&self, common: &mut Common<'_>, cookie: Option<&[u8]>, outbound: &mut Outbound<'_>) -> Result<(), Error> {
        let Common {
            config,
            transcript,
            random,
            session_id,
            session,
        } = common;
        let preferences = &config.preferences;
        let ticket = |version| {
            session
                .as_ref()
                .filter(|session| session.version == version)
                .map(|session| (session, &session.ticket[..]))
        };
        let psk = ticket(ProtocolVersion::TLS13);
        let tls12_ticket = ticket(ProtocolVersion::TLS12);
        // An empty extension requests a ticket.
        let session_ticket = config
            .sessions
            .map(|_| tls12_ticket.map_or(&[][..], |(_, ticket)| ticket));
        let now = preferences.clock.now;
        let offer = Offer {
            random,
            // Empty with neither TLS 1.3 nor a ticket (RFC 5246 §7.4.1.2).
            session_id: match preferences.versions.tls13() || tls12_ticket.is_some() {
                true => &session_id[..],
                false => &[],
            },
            versions: preferences.versions,
            suites: preferences.suites,
            groups: preferences.groups,
            schemes: preferences.schemes,
            server_name: config.server_name(),
            protocols: preferences.protocols,
            record_size_limit: self.record_limit.saturating_add(preferences.versions.tls13().into()),
            key_pairs: &self.key_pairs,
            cookie,
            session_ticket,
            psk: psk.map(|(session, ticket)| {
                let age = now.saturating_sub(session.received).saturating_mul(1000);
                let age = u32::try_from(age).unwrap_or(u32::MAX);
                (
                    ticket,
                    age.wrapping_add(session.age_add),
                    session.suite.hash().output_len(),
                )
            }),
        };
        let before = psk.map(|(session, _)| (session, transcript.clone()));
        let write = |writer: &mut Writer<'_>| -> Result<(), Error> {
            offer.emit(writer)?;
            match before {
                Some((session, before)) => write_binder(writer, session, before),
                None => Ok(()),
            }
        };
        match self.retried {
            None => outbound.initial_hello(transcript, |flight| flight.add_written(write)),
            Some(_) => outbound.flight(transcript, |flight| flight.add_written(write)),
        }
    }

    /// The state after a ServerHello; `None` after a HelloRetryRequest, after which a ServerHello is still expected.
    #[inline(never)] // keeps its stack frame out of the following messages
    fn server_hello<'a>(
        &mut self,
        common: &mut Common<'a>,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State>, Error> {
        let hello = ServerHello::parse(message.body())?;
        let versions = common.config.preferences.versions;
        if hello.compression != 0 {
            return Err(PeerMisbehaved::UnofferedCompression(hello.compression).into());
        }
        match hello.selected_version {
            Some(ProtocolVersion::TLS13) if versions.tls13() => {
                if hello.version != ProtocolVersion::TLS12 {
                    return Err(PeerMisbehaved::IllegalParameter("legacy_version").into());
                }
                if hello.session_id != common.session_id {
                    return Err(PeerMisbehaved::IllegalParameter("legacy_session_id_echo").into());
                }
                if let Some(kind) = hello.only_tls12 {
                    return Err(PeerMisbehaved::MisplacedExtension(kind).into());
                }
                context.outbound.forget_messages();
                let suite = chosen_suite(common, &hello, ProtocolVersion::TLS13)?;
                let message = message.last()?;
                if hello.is_retry() {
                    self.retry(common, &hello, suite, message, context)?;
                    return Ok(None);
                }
                let shared = self.shared_secret(&hello, suite, context)?;
                tls13::server_hello(common, &hello, suite, &shared, message, context)
                    .map(|state| Some(State::Tls13(state)))
            }
            Some(_) => Err(PeerMisbehaved::IllegalParameter("selected_version").into()),
            #[cfg(feature = "tls12")]
            None if hello.version == ProtocolVersion::TLS12 && versions.tls12() => {
                // A HelloRetryRequest exists only in TLS 1.3.
                if self.retried.is_some() || hello.is_retry() {
                    return Err(PeerMisbehaved::IllegalParameter("selected_version").into());
                }
                tls12::server_hello(common, &hello, message, context).map(|state| Some(State::Tls12(state)))
            }
            None => Err(PeerIncompatible::Version(Some(hello.version)).into()),
        }
    }

    /// Answers a HelloRetryRequest (RFC 8446 §4.1.4).
    fn retry<'a>(
        &mut self,
        common: &mut Common<'a>,
        hello: &ServerHello<'_>,
        suite: CipherSuite,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        if self.retried.is_some() {
            return Err(message.unexpected());
        }
        if hello.psk.is_some() {
            return Err(PeerMisbehaved::MisplacedExtension(ExtensionType::PRE_SHARED_KEY).into());
        }
        let preferences = common.config.preferences;
        let group = match hello.key_share {
            Some(&[high, low]) => {
                let named = NamedGroup(u16::from_be_bytes([high, low]));
                let group = Group::from_id(named.0).filter(|group| preferences.groups.contains(group));
                let group = group.ok_or(PeerMisbehaved::UnofferedGroup(named))?;
                // It must be a group without a share in the first ClientHello.
                if self.key_pairs.iter().any(|pair| pair.group() == group) {
                    return Err(PeerMisbehaved::IllegalParameter("selected_group").into());
                }
                self.key_pairs.clear();
                let pair = KeyPair::generate(group, context.rng);
                record_key_pair(&preferences, &pair);
                let _ = self.key_pairs.push(pair);
                Some(group)
            }
            Some(_) => return Err(super::error::InvalidMessage::IllegalValue("key_share").into()),
            // A retry that changes nothing is illegal.
            None if hello.cookie.is_none() => return Err(PeerMisbehaved::IllegalParameter("HelloRetryRequest").into()),
            // With only a cookie the server may choose any of the shares.
            None => None,
        };
        common.transcript.replace_by_message_hash(suite.hash())?;
        common.transcript.add(message.whole);
        // A session with another hash cannot be resumed with this suite (RFC 8446 §4.1.4). A TLS 1.2 ticket stays in the
        // ClientHello: session_ticket must not change (§4.1.2).
        let fits =
            |session: &ClientSession| session.version != ProtocolVersion::TLS13 || session.suite.hash() == suite.hash();
        if !common.session.as_ref().is_some_and(fits) {
            common.session = None;
        }
        context.info.retried = true;
        context.change.drop_change_cipher_spec();
        context.outbound.change_cipher_spec()?;
        self.retried = Some((suite, group));
        self.send(common, hello.cookie, context.outbound)
    }

    /// The shared secret of the TLS 1.3 key exchange.
    fn shared_secret(
        &self,
        hello: &ServerHello<'_>,
        suite: CipherSuite,
        context: &mut Context<'_, '_>,
    ) -> Result<SharedSecret, Error> {
        if hello.cookie.is_some() {
            return Err(PeerMisbehaved::MisplacedExtension(ExtensionType::COOKIE).into());
        }
        let share = hello
            .key_share
            .ok_or(PeerMisbehaved::MissingExtension(ExtensionType::KEY_SHARE))?;
        let (group, public) = Reader::all(share, "KeyShareEntry", |reader| {
            Ok::<_, Error>((NamedGroup(reader.u16()?), reader.vector16()?))
        })?;
        let pair = self.key_pairs.iter().find(|pair| pair.group().named() == group);
        let pair = pair.ok_or(PeerMisbehaved::UnofferedGroup(group))?;
        if let Some((promised, group)) = self.retried {
            if promised != suite {
                let (from, to) = (promised.named(), suite.named());
                return Err(PeerMisbehaved::ChangedSuite { from, to }.into());
            }
            if let Some(promised) = group.filter(|promised| *promised != pair.group()) {
                let (from, to) = (promised.named(), pair.group().named());
                return Err(PeerMisbehaved::ChangedGroup { from, to }.into());
            }
        }
        context.info.group = Some(pair.group());
        let shared = pair.complete(public);
        Ok(shared.map_err(|_| PeerMisbehaved::InvalidKeyShare(pair.group().named()))?)
    }
}

fn chosen_suite(common: &Common<'_>, hello: &ServerHello<'_>, version: ProtocolVersion) -> Result<CipherSuite, Error> {
    let offered = |suite: &CipherSuite| suite.version() == version && common.config.preferences.suites.contains(suite);
    Ok(CipherSuite::from_id(hello.suite)
        .filter(offered)
        .ok_or(PeerMisbehaved::UnofferedSuite(NamedSuite(hello.suite)))?)
}

/// Writes the binder of a session into the room at the end of the ClientHello (RFC 8446 §4.2.11.2). `before` is the
/// transcript without that message.
fn write_binder(writer: &mut Writer<'_>, session: &ClientSession, mut before: Transcript) -> Result<(), Error> {
    let hash = session.suite.hash();
    let binders = hash.output_len().saturating_add(2 + 1);
    let covered = writer.len().checked_sub(binders).ok_or(NO_BINDERS)?;
    before.add(writer.since(0)?.get(..covered).ok_or(NO_BINDERS)?);
    let key = KeySchedule::early(session.suite, Some(session.secret.as_ref())).binder()?;
    let binder = key.verify_data(&before.hash(hash)?)?;
    let place = writer.written_mut().split_at_mut_checked(covered.saturating_add(2 + 1));
    let (_, place) = place.ok_or(NO_BINDERS)?;
    if place.len() != binder.as_ref().len() {
        return Err(NO_BINDERS);
    }
    place.copy_from_slice(binder.as_ref());
    Ok(())
}

/// The scheme to sign with: the best of the client's key that the server lists and that is `usable`. If there is none, or
/// if the request does not allow the certificate, `info` records it.
fn choose_scheme(
    config: &ClientConfig<'_>,
    request: &CertificateRequest<'_>,
    version: ProtocolVersion,
    usable: impl Fn(&SignatureScheme) -> bool,
    info: &mut Info<'_>,
) -> Option<SignatureScheme> {
    let identity = config.identity.as_ref()?;
    let usable = |scheme: &SignatureScheme| request.schemes.contains(scheme.id()) && usable(scheme);
    let allowed = request.allows(identity.chain, identity.key.authentication());
    let scheme = identity
        .key
        .schemes(version)
        .iter()
        .copied()
        .find(usable)
        .filter(|_| allowed);
    info.no_own_scheme = scheme.is_none();
    scheme
}

fn record_key_pair(preferences: &Preferences<'_>, pair: &KeyPair) {
    // Skipped without a trace, since it computes the public value.
    if preferences.trace.is_some() {
        preferences.record(Milestone::KeyPair {
            group: pair.group().id(),
            public: pair.public_value().as_ref(),
        });
    }
}

/// Verifies a server's chain, except for its stapled status. Returns its identity and the end of the session.
fn check_server<'a, 'c>(
    config: &ClientConfig<'a>,
    chain: &Chain<'c>,
    context: &mut Context<'_, '_>,
) -> Result<(PeerIdentity, u64, VerifiedChain<'a, 'c>), Error> {
    let leaf = chain.first().ok_or(PeerMisbehaved::NoServerCertificate)?;
    let purpose = Purpose::Server(config.name);
    let verified = config.trust.verify_chain(chain, purpose, config.preferences.clock)?;
    context.info.root = Some(subject_of(verified.root));
    let now = config.preferences.clock.now;
    let expires = verified.valid_until.min(now.saturating_add(MAX_TICKET_AGE.into()));
    Ok((PeerIdentity::from_leaf(leaf)?, expires, verified))
}

/// Records that the server's certificate is trusted; `stapled`: with a valid OCSP response.
fn trusted(config: &ClientConfig<'_>, identity: &PeerIdentity, stapled: bool, context: &mut Context<'_, '_>) {
    if stapled {
        config.preferences.record(Milestone::Stapled);
    }
    let subject = identity.subject.as_str();
    config.preferences.record(Milestone::Trusted { subject });
    context.info.stapled = stapled;
}

/// Processes the server's answers to the extensions that both versions have.
fn take_answers<'a>(
    config: &ClientConfig<'a>,
    answers: &Answers<'_>,
    version: ProtocolVersion,
    context: &mut Context<'_, 'a>,
) -> Result<(), Error> {
    if answers.server_name && !matches!(config.name, Some(ServerName::Dns(_))) {
        return Err(PeerMisbehaved::UnofferedExtension(ExtensionType::SERVER_NAME).into());
    }
    if let Some(protocol) = answers.protocol {
        if config.preferences.protocols.is_empty() {
            return Err(PeerMisbehaved::UnofferedExtension(ExtensionType::ALPN).into());
        }
        let ours = config.preferences.protocols.iter().find(|ours| **ours == protocol);
        let ours = ours.ok_or(PeerMisbehaved::UnofferedProtocol)?;
        context.info.protocol = Some(ours);
    }
    if let Some(limit) = answers.record_size_limit {
        // In TLS 1.3 the limit counts the content type (RFC 8449 §4).
        context
            .outbound
            .limit_fragments(usize::from(limit).saturating_sub(version.is_tls13().into()));
        // The ClientHello counted the content type, for TLS 1.3; a TLS 1.2 server may use that byte for content.
        let uncounted = !version.is_tls13() && config.preferences.versions.tls13();
        let ours = usize::from(context.record_limit).saturating_add(uncounted.into());
        context.change.max_content = Some(ContentLimit::Protected(ours));
    }
    Ok(())
}
