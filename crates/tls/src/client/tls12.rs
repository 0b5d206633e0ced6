//! The TLS 1.2 client (RFC 5246 §7.3): ECDHE, AEADs, EMS, tickets.

use super::{Common, check_server, choose_scheme, chosen_suite, take_answers, trusted};
use crate::crypto::hash::HashOutput;
use crate::crypto::kx::{Group, KeyPair, PublicValue};
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::handshake::{Context, LastMessage, Message, PeerKey, Progress, unoffered};
use crate::msg::Finished;
use crate::msg::certificate::{self, CertificateTls12, CertificateVerify};
use crate::msg::server_hello::{DOWNGRADE_BELOW_TLS12, DOWNGRADE_TO_TLS12, ServerHello};
use crate::msg::ticket::TicketTls12;
use crate::msg::tls12::{ClientKeyExchange, ServerHelloDone, ServerKeyExchange};
use crate::pki::staple::StapleCheck;
use crate::pki::verify::{DerList, PeerIdentity};
use crate::record::PendingKey;
use crate::registry::{ExtensionType, HandshakeType, ProtocolVersion};
use crate::session::{ClientSession, TICKET_LIFETIME};
use crate::tls12::{MASTER_SECRET, MasterSecret, Side, VERIFY_DATA, signed_params};
use crate::trace::{Milestone, Secret};

/// The most bytes of ServerHelloDone and ClientKeyExchange together.
const FLIGHT: usize = 4 + 4 + 1 + 97;

/// The handshake from the ServerHello on.
pub(super) struct Handshake {
    suite: CipherSuite,
    server_random: [u8; 32],
    extended: bool,
    /// Whether the server has announced a ticket that it has not sent yet.
    ticket: bool,
    /// Whether the server may send the status of its certificate.
    status: bool,
    identity: Option<PeerIdentity>,
    /// The last second of the session.
    session_end: u64,
    state: State,
}

/// A state of the handshake, named after the expected message.
enum State {
    Certificate,
    /// ServerKeyExchange, or before it CertificateStatus if the status was requested.
    ServerKeyExchange(ExpectServerKeyExchange),
    /// ServerHelloDone, or CertificateRequest before it.
    Done(ExpectDone),
    /// Finished, or before it the announced ticket.
    Finished(ExpectFinished),
}

/// The client after the server's certificate, which is verified.
struct ExpectServerKeyExchange {
    key: PeerKey,
    /// The pending check of the certificate's status, if the server may send it.
    staple_check: Option<StapleCheck>,
}

/// The client after the server's key exchange.
struct ExpectDone {
    group: Group,
    public: heapless::Vec<u8, 97>,
    /// `Some` if a certificate was requested, with the scheme to sign with, if any.
    request: Option<Option<SignatureScheme>>,
}

/// The client before the server's change_cipher_spec and Finished.
struct ExpectFinished {
    master: MasterSecret,
    /// The key of the server's records, used from its change_cipher_spec on.
    server_key: Option<PendingKey>,
    /// The key of the client's records, unless the client's Finished was sent already, as in a full handshake.
    client_key: Option<PendingKey>,
}

/// Handles a ServerHello of TLS 1.2.
#[inline(never)]
pub(super) fn server_hello<'a>(
    common: &mut Common<'a>,
    hello: &ServerHello<'_>,
    message: Message<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<Handshake, Error> {
    // RFC 8446 §4.1.3.
    let sentinel = hello.random.last_chunk();
    if common.config.preferences.versions.tls13()
        && (sentinel == Some(&DOWNGRADE_TO_TLS12) || sentinel == Some(&DOWNGRADE_BELOW_TLS12))
    {
        return Err(PeerMisbehaved::Downgrade.into());
    }
    if let Some(kind) = hello.only_tls13 {
        return Err(PeerMisbehaved::MisplacedExtension(kind).into());
    }
    if hello.key_share.is_some() {
        return Err(PeerMisbehaved::MisplacedExtension(ExtensionType::KEY_SHARE).into());
    }
    let suite = chosen_suite(common, hello, ProtocolVersion::TLS12)?;
    let answers = &hello.tls12;
    if hello.renegotiated {
        return Err(PeerMisbehaved::RenegotiationInfo.into());
    }
    if answers.session_ticket && common.config.sessions.is_none() {
        return Err(PeerMisbehaved::UnofferedExtension(ExtensionType::SESSION_TICKET).into());
    }
    take_answers(&common.config, &answers.common, ProtocolVersion::TLS12, context)?;
    context.change.refuse_change_cipher_spec();
    context.info.version = Some(ProtocolVersion::TLS12);
    context.info.suite = Some(suite);
    common.transcript.add(message.whole);
    let mut handshake = Handshake {
        suite,
        server_random: *hello.random,
        extended: answers.extended_master_secret,
        ticket: answers.session_ticket,
        status: hello.status,
        identity: None,
        session_end: 0,
        state: State::Certificate,
    };
    // RFC 5077 §3.4: an echoed session ID means that the ticket was accepted. Without a ticket it is that of
    // RFC 8446 §D.4, which no TLS 1.2 server can have issued.
    let echoed = hello.session_id == common.session_id;
    let session = common.session.as_ref();
    let session = session.filter(|session| session.version == ProtocolVersion::TLS12);
    if echoed && session.is_none() {
        return Err(PeerMisbehaved::IllegalParameter("session_id").into());
    }
    let Some(session) = session.filter(|_| echoed) else {
        if !handshake.extended && common.config.preferences.require_extended_master_secret {
            return Err(PeerIncompatible::ExtendedMasterSecret.into());
        }
        common.session = None;
        return Ok(handshake);
    };
    if session.suite != suite {
        let (from, to) = (session.suite.named(), suite.named());
        return Err(PeerMisbehaved::ChangedSuite { from, to }.into());
    }
    // RFC 7627 §5.3: only sessions with an extended master secret are stored.
    if !handshake.extended {
        return Err(PeerMisbehaved::ChangedMasterSecret.into());
    }
    let secret = session.secret.as_ref().first_chunk::<MASTER_SECRET>();
    let master = MasterSecret::resumed(suite, secret.ok_or(Error::Internal("session without a secret"))?);
    handshake.identity = session.identity;
    handshake.session_end = session.expires;
    context.info.resumed = true;
    common.config.preferences.record(Milestone::Resumed);
    let (client, server) = handshake.keys(common, &master, &[])?;
    handshake.state = State::Finished(ExpectFinished {
        master,
        server_key: Some(server),
        client_key: Some(client),
    });
    handshake.await_finished(message, context)?;
    Ok(handshake)
}

impl Handshake {
    /// Handles a message.
    pub(super) fn handle<'a>(
        &mut self,
        common: &mut Common<'a>,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Progress, Error> {
        // All legal transitions, and the messages that must end their record.
        match (&self.state, message.kind()) {
            (State::Certificate, HandshakeType::CERTIFICATE) => self.certificate(common, message, context)?,
            (State::ServerKeyExchange(state), HandshakeType::CERTIFICATE_STATUS) if state.staple_check.is_some() => {
                self.certificate_status(common, message, context)?;
            }
            (State::ServerKeyExchange(_), HandshakeType::SERVER_KEY_EXCHANGE) => {
                self.server_key_exchange(common, message, context)?;
            }
            (State::Done(state), HandshakeType::CERTIFICATE_REQUEST) if state.request.is_none() => {
                self.certificate_request(common, message, context)?;
            }
            // The client sends next, so the message must end the server's flight.
            (State::Done(_), HandshakeType::SERVER_HELLO_DONE) => self.done(common, message.last()?, context)?,
            (State::Finished(_), HandshakeType::NEW_SESSION_TICKET) if self.ticket => {
                self.new_session_ticket(common, message, context)?;
            }
            (State::Finished(_), HandshakeType::FINISHED) if !self.ticket => {
                self.finished(common, message.last()?, context)?;
                return Ok(Progress::Done);
            }
            _ => return Err(message.unexpected()),
        }
        Ok(Progress::Continues)
    }

    /// The record keys of client and server. `hash` is the transcript hash of the master secret.
    fn keys(&self, common: &Common<'_>, master: &MasterSecret, hash: &[u8]) -> Result<(PendingKey, PendingKey), Error> {
        let log = &common.config.preferences;
        log.log_secret(Secret::Master, &common.random, master.as_bytes(), hash);
        master.record_keys(&common.random, &self.server_random)
    }

    #[inline(never)] // as each of the following: keeps their stack frames apart
    fn certificate(
        &mut self,
        common: &mut Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let chain = certificate::parse_tls12(message.body())?;
        let config = &common.config;
        let (identity, session_end, verified) = check_server(config, &chain, context)?;
        let leaf = chain.first().ok_or(PeerMisbehaved::NoServerCertificate)?;
        let key = PeerKey::of(leaf)?;
        key.check_curve(config.preferences.groups)?;
        self.identity = Some(identity);
        self.session_end = session_end;
        let staple_check = if self.status {
            Some(verified.staple_check()?)
        } else {
            verified.check_staple(None, config.trust, config.preferences.clock)?;
            trusted(config, &identity, false, context);
            None
        };
        self.state = State::ServerKeyExchange(ExpectServerKeyExchange { key, staple_check });
        common.transcript.add(message.whole);
        Ok(())
    }

    #[inline(never)]
    fn certificate_status(
        &mut self,
        common: &mut Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let staple = certificate::parse_status(message.body())?;
        self.answer(common, Some(staple), context)?;
        common.transcript.add(message.whole);
        Ok(())
    }

    /// Handles the certificate's status, or its absence, if it was requested.
    #[inline(never)]
    fn answer(
        &mut self,
        common: &Common<'_>,
        staple: Option<&[u8]>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let config = &common.config;
        let State::ServerKeyExchange(state) = &mut self.state else {
            return Ok(());
        };
        let (Some(staple_check), Some(identity)) = (&state.staple_check, &self.identity) else {
            return Ok(());
        };
        staple_check.check(staple, config.trust, config.preferences.clock)?;
        trusted(config, identity, staple.is_some(), context);
        state.staple_check = None;
        Ok(())
    }

    #[inline(never)]
    fn server_key_exchange(
        &mut self,
        common: &mut Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        // RFC 6066 §8: the server may omit the status nevertheless.
        self.answer(common, None, context)?;
        let State::ServerKeyExchange(ExpectServerKeyExchange { key, .. }) = &self.state else {
            return Err(message.unexpected());
        };
        let preferences = &common.config.preferences;
        let ServerKeyExchange { params, signed } = ServerKeyExchange::parse(message.body())?;
        let offered = |group: &Group| group.in_tls12() && preferences.groups.contains(group);
        let group = Group::from_id(params.group.0)
            .filter(offered)
            .ok_or(PeerMisbehaved::UnofferedGroup(params.group))?;
        // The suite determines the kind of signature (RFC 8422 §2).
        let highest = preferences.versions.highest();
        let offered = preferences.schemes.iter().copied();
        let offered = offered.filter(|scheme| scheme.may_be_offered(highest));
        let scheme = offered.clone().find(|scheme| scheme.named() == signed.scheme);
        let scheme = scheme.ok_or_else(|| unoffered(signed.scheme, offered))?;
        if Some(scheme.authentication()) != self.suite.authentication() {
            return Err(PeerMisbehaved::WrongSignatureScheme(signed.scheme).into());
        }
        // Before the signature, which may cover a share of any length; no supported group has a longer one.
        let public = heapless::Vec::from_slice(params.public);
        let public = public.map_err(|_| PeerMisbehaved::InvalidKeyShare(group.named()))?;
        let content = signed_params(&common.random, &self.server_random, params.encoded)?;
        context.info.scheme = Some(key.check(preferences.schemes, ProtocolVersion::TLS12, signed, &content)?);
        context.info.group = Some(group);
        self.state = State::Done(ExpectDone {
            group,
            public,
            request: None,
        });
        common.transcript.add(message.whole);
        Ok(())
    }

    #[inline(never)]
    fn certificate_request(
        &mut self,
        common: &mut Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let State::Done(state) = &mut self.state else {
            return Err(message.unexpected());
        };
        let request = certificate::parse_request_tls12(message.body())?;
        let config = &common.config;
        // Some schemes sign the messages themselves (RFC 5246 §7.4.8), which must fit into the buffer.
        let certificate = config.identity.map_or(0, |identity| identity.message_len());
        let flight = certificate.saturating_add(FLIGHT);
        let whole = context.outbound.could_keep(flight);
        let usable = |scheme: &SignatureScheme| whole || scheme.prehash().is_some();
        state.request = Some(choose_scheme(
            config,
            &request,
            ProtocolVersion::TLS12,
            usable,
            context.info,
        ));
        common.transcript.add(message.whole);
        Ok(())
    }

    #[inline(never)]
    fn done(
        &mut self,
        common: &mut Common<'_>,
        message: LastMessage<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        ServerHelloDone::parse(message.body())?;
        let State::Done(ExpectDone { group, public, request }) = &self.state else {
            return Err(message.unexpected());
        };
        let (group, request) = (*group, *request);
        common.transcript.add(message.whole);
        let pair = KeyPair::generate(group, context.rng);
        let preferences = common.config.preferences;
        super::record_key_pair(&preferences, &pair);
        let premaster = pair
            .complete(public)
            .map_err(|_| PeerMisbehaved::InvalidKeyShare(group.named()))?;
        let identity = common.config.identity.zip(request.flatten());
        let transcript = &mut common.transcript;
        let share: PublicValue = pair.public_value();
        context.outbound.flight(transcript, |flight| {
            if request.is_some() {
                let chain = identity.map_or(DerList::from(&[]), |(identity, _)| identity.chain);
                flight.add(&CertificateTls12 { chain })?;
            }
            flight.add(&ClientKeyExchange { public: share.as_ref() })
        })?;
        let session_hash = transcript.hash(self.suite.hash())?;
        let (master, covered) = if self.extended {
            let master = MasterSecret::extended(self.suite, premaster.as_ref(), &session_hash);
            (master, session_hash.as_ref())
        } else {
            let master = MasterSecret::plain(self.suite, premaster.as_ref(), &common.random, &self.server_random);
            (master, &[][..])
        };
        if let Some((identity, scheme)) = identity {
            let signature = match scheme.prehash() {
                Some(hash) => {
                    let hash = transcript.hash(hash)?;
                    identity.key.sign_prehashed(scheme, &hash, context.rng)
                }
                None => {
                    let messages = context.outbound.kept_messages();
                    let messages = messages.ok_or(Error::Internal("no room for the messages to be signed"))?;
                    identity.key.sign(scheme, messages, context.rng)
                }
            };
            let signature = signature.map_err(|_| Error::Internal("the private key did not sign"))?;
            context.outbound.flight(transcript, |flight| {
                flight.add(&CertificateVerify {
                    scheme: scheme.named(),
                    signature: &signature,
                })
            })?;
        }
        preferences.record(Milestone::Shared { group: group.id() });
        let (client, server) = self.keys(common, &master, covered)?;
        self.send_finished(common, &master, &client, context)?;
        self.state = State::Finished(ExpectFinished {
            master,
            server_key: Some(server),
            client_key: None,
        });
        self.await_finished(*message, context)
    }

    /// Sends change_cipher_spec and Finished, and changes the sending direction to `key`.
    #[inline(never)]
    fn send_finished(
        &self,
        common: &mut Common<'_>,
        master: &MasterSecret,
        key: &PendingKey,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        context.outbound.change_cipher_spec()?;
        context.outbound.set_tls12_key(key)?;
        let transcript = &mut common.transcript;
        let hash = transcript.hash(self.suite.hash())?;
        let verify_data = master.verify_data(Side::Client, &hash);
        context.outbound.flight(transcript, |flight| {
            flight.add(&Finished {
                verify_data: &verify_data,
            })
        })?;
        let hash = hash.as_ref();
        let preferences = &common.config.preferences;
        preferences.record(Milestone::Finished { sent: true, hash });
        Ok(())
    }

    /// Expects change_cipher_spec next, unless the announced ticket precedes it.
    fn await_finished(&mut self, message: Message<'_>, context: &mut Context<'_, '_>) -> Result<(), Error> {
        if self.ticket {
            return Ok(());
        }
        let message = message.last()?;
        if let State::Finished(state) = &mut self.state
            && let Some(key) = state.server_key.take()
        {
            context.change.key_at_change_cipher_spec(message, key);
        }
        Ok(())
    }

    #[inline(never)]
    fn new_session_ticket(
        &mut self,
        common: &mut Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let State::Finished(state) = &self.state else {
            return Err(message.unexpected());
        };
        let config = &common.config;
        let TicketTls12 { lifetime, ticket } = TicketTls12::parse(message.body())?;
        common.transcript.add(message.whole);
        // RFC 5077 §3.3: an empty ticket means that there is none.
        if let (Some(sessions), false, true) = (config.sessions, ticket.is_empty(), self.extended)
            && let Some(ticket) = sessions.fit(ticket)
        {
            common.session = Some(ClientSession {
                version: ProtocolVersion::TLS12,
                suite: self.suite,
                secret: HashOutput::new(state.master.as_bytes()),
                ticket,
                // RFC 5077 §3.3: zero means unspecified.
                lifetime: if lifetime == 0 { TICKET_LIFETIME } else { lifetime },
                age_add: 0,
                received: config.preferences.clock.now,
                expires: self.session_end,
                context: config.session_context(),
                identity: self.identity,
            });
        }
        self.ticket = false;
        self.await_finished(message, context)
    }

    #[inline(never)]
    fn finished(
        &mut self,
        common: &mut Common<'_>,
        message: LastMessage<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let State::Finished(ExpectFinished { master, client_key, .. }) = &self.state else {
            return Err(message.unexpected());
        };
        let Finished { verify_data } = Finished::parse(message.body(), VERIFY_DATA)?;
        let hash = common.transcript.hash(self.suite.hash())?;
        if !master.is_finished(Side::Server, &hash, verify_data) {
            return Err(PeerMisbehaved::WrongFinished.into());
        }
        context.info.peer = self.identity;
        let hash = hash.as_ref();
        common
            .config
            .preferences
            .record(Milestone::Finished { sent: false, hash });
        common.transcript.add(message.whole);
        if let Some(key) = client_key {
            self.send_finished(common, master, key, context)?;
        }
        // A resumed session remains valid if there is no new ticket.
        if let (Some(sessions), true) = (common.config.sessions, self.extended)
            && let Some(session) = common.session.take()
        {
            sessions.store(session);
        }
        Ok(())
    }
}
