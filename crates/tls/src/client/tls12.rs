//! The TLS 1.2 client (RFC 5246 §7.3): ECDHE, AEADs, extended master secret, tickets.

use super::{Common, State, check_server, choose_scheme, take_answers, trusted};
use crate::crypto::hash::HashOutput;
use crate::crypto::kx::{Group, KeyPair};
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::handshake::{Context, LastMessage, Message, PeerKey};
use crate::msg::server_hello::ServerHello;
use crate::msg::ticket::NewSessionTicket;
use crate::msg::tls12::ServerKeyExchange;
use crate::msg::{self, certificate, tls12};
use crate::pki::staple::Question;
use crate::pki::verify::PeerIdentity;
use crate::record::RecordKey;
use crate::registry::{ExtensionType, ProtocolVersion};
use crate::session::{ClientSession, TICKET_LIFETIME};
use crate::tls12::{MASTER_SECRET, MasterSecret, Side, VERIFY_DATA, signed_params};
use crate::trace::{Fact, Secret};

/// The most bytes of ServerHelloDone and ClientKeyExchange together.
const FLIGHT: usize = 4 + 4 + 1 + 97;

/// What runs through the handshake from the ServerHello on.
struct Agreed<'a> {
    common: Common<'a>,
    suite: CipherSuite,
    server_random: [u8; 32],
    extended: bool,
    /// Whether the server will send a ticket.
    ticket: bool,
    /// Whether the server may send the status of its certificate.
    status: bool,
    identity: Option<PeerIdentity>,
    /// The last second of the session.
    session_end: u64,
}

/// The client after ServerHello.
pub(crate) struct ExpectCertificate<'a>(Agreed<'a>);

/// The client with the server's certificate in hand, verified.
pub(crate) struct ExpectServerKeyExchange<'a> {
    agreed: Agreed<'a>,
    key: PeerKey,
    /// What is still to be asked about the certificate, as the server may send its status.
    question: Option<Question>,
}

/// The client with the server's share in hand.
pub(crate) struct ExpectDone<'a> {
    agreed: Agreed<'a>,
    group: Group,
    public: heapless::Vec<u8, 97>,
    /// Whether our certificate was asked for, and the scheme that we shall sign with if there is one.
    request: Option<Option<SignatureScheme>>,
}

/// The client that waits for the server's change_cipher_spec and Finished.
pub(crate) struct ExpectFinished<'a> {
    agreed: Agreed<'a>,
    master: MasterSecret,
    /// The server's direction's key, used from its change_cipher_spec on.
    server_key: Option<RecordKey>,
    /// Our own direction's key, unless our Finished is out already, as in a full handshake.
    client_key: Option<RecordKey>,
    /// The ticket that the server has sent, and its lifetime in seconds.
    new_ticket: Option<(u32, heapless::Vec<u8, { crate::session::MAX_TICKET }>)>,
    /// The session that is resumed: it stays good when no new ticket comes.
    old: Option<ClientSession>,
}

/// Takes a ServerHello of TLS 1.2.
pub(super) fn server_hello<'a>(
    mut common: Common<'a>,
    session: Option<ClientSession>,
    suite: CipherSuite,
    hello: &ServerHello<'_>,
    message: Message<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<Option<State<'a>>, Error> {
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
    let mut agreed = Agreed {
        common,
        suite,
        server_random: *hello.random,
        extended: answers.extended_master_secret,
        ticket: answers.session_ticket,
        status: hello.status,
        identity: None,
        session_end: 0,
    };
    // RFC 5077 §3.4: our session ID given back tells that the ticket was taken. Without a ticket there is nothing that
    // it could stand for: it is the one of RFC 8446 §D.4, which a server of TLS 1.2 has never seen.
    let echoed = hello.session_id == agreed.common.session_id;
    let session = session.filter(|session| session.version == ProtocolVersion::TLS12);
    if echoed && session.is_none() {
        return Err(PeerMisbehaved::IllegalParameter("session_id").into());
    }
    let Some(session) = session.filter(|_| echoed) else {
        if !agreed.extended && agreed.common.config.preferences.require_extended_master_secret {
            return Err(PeerIncompatible::ExtendedMasterSecret.into());
        }
        return Ok(Some(State::Certificate12(ExpectCertificate(agreed))));
    };
    if session.suite != suite {
        return Err(PeerMisbehaved::Unoffered("cipher suite").into());
    }
    // RFC 7627 §5.3: only sessions with an extended master secret are kept.
    if !agreed.extended {
        return Err(PeerMisbehaved::ChangedMasterSecret.into());
    }
    let secret = session.secret.as_ref().first_chunk::<MASTER_SECRET>();
    let master = MasterSecret::resumed(suite, secret.ok_or(Error::Internal("session without a secret"))?);
    agreed.identity = session.identity;
    agreed.session_end = session.expires;
    context.info.resumed = true;
    agreed.common.config.preferences.tell(Fact::Resumed);
    let (client, server) = agreed.keys(&master, &[])?;
    let state = ExpectFinished {
        agreed,
        master,
        server_key: Some(server),
        client_key: Some(client),
        new_ticket: None,
        old: Some(session),
    };
    state.wait(message, context)
}

impl<'a> Agreed<'a> {
    /// The record keys of client and server. `hash` is the transcript hash that went into the master secret.
    fn keys(&self, master: &MasterSecret, hash: &[u8]) -> Result<(RecordKey, RecordKey), Error> {
        let log = &self.common.config.preferences;
        log.log_secret(Secret::Master, &self.common.random, master.as_bytes(), hash);
        master.record_keys(&self.common.random, &self.server_random)
    }

    /// change_cipher_spec and Finished, by which our direction changes to `key`.
    fn send_finished(
        &mut self,
        master: &MasterSecret,
        key: RecordKey,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        context.outbound.change_cipher_spec()?;
        context.outbound.set_key(key);
        let transcript = &mut self.common.transcript;
        let hash = transcript.hash(self.suite.hash())?;
        let verify_data = master.verify_data(Side::Client, &hash);
        context.outbound.flight(transcript, |flight| {
            flight.add(|writer| msg::finished(writer, &verify_data))
        })?;
        let hash = hash.as_ref();
        let preferences = &self.common.config.preferences;
        preferences.tell(Fact::Finished { sent: true, hash });
        Ok(())
    }
}

impl<'a> ExpectCertificate<'a> {
    pub(super) fn certificate(
        self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let mut agreed = self.0;
        let chain = certificate::parse_tls12(message.body())?;
        let (identity, session_end, vouched) = check_server(&agreed.common.config, &chain, context)?;
        let leaf = chain.first().ok_or(PeerMisbehaved::NoServerCertificate)?;
        let key = PeerKey::of(leaf)?;
        key.check_curve(agreed.common.config.preferences.groups)?;
        agreed.identity = Some(identity);
        agreed.session_end = session_end;
        agreed.common.transcript.add(message.whole);
        if agreed.status {
            return Ok(Some(State::StatusOrKeyExchange(ExpectServerKeyExchange {
                agreed,
                key,
                question: Some(vouched.question()?),
            })));
        }
        let config = &agreed.common.config;
        vouched.answered(None, config.trust, config.preferences.clock)?;
        trusted(config, &identity, false, context);
        Ok(Some(State::ServerKeyExchange(ExpectServerKeyExchange {
            agreed,
            key,
            question: None,
        })))
    }
}

impl<'a> ExpectServerKeyExchange<'a> {
    pub(super) fn certificate_status(
        mut self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let staple = certificate::parse_status(message.body())?;
        self.answer(Some(staple), context)?;
        self.agreed.common.transcript.add(message.whole);
        Ok(Some(State::ServerKeyExchange(self)))
    }

    /// Takes the server's answer where one is open.
    fn answer(&mut self, staple: Option<&[u8]>, context: &mut Context<'_, 'a>) -> Result<(), Error> {
        let config = &self.agreed.common.config;
        let (Some(question), Some(identity)) = (&self.question, &self.agreed.identity) else {
            return Ok(());
        };
        question.answered(staple, config.trust, config.preferences.clock)?;
        trusted(config, identity, staple.is_some(), context);
        self.question = None;
        Ok(())
    }

    pub(super) fn server_key_exchange(
        mut self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        // RFC 6066 §8: the server may leave the status out even so.
        self.answer(None, context)?;
        let agreed = &mut self.agreed;
        let preferences = agreed.common.config.preferences;
        let exchange = ServerKeyExchange::parse(message.body())?;
        let offered = |group: &Group| group.in_tls12() && preferences.groups.contains(group);
        let group = Group::from_id(exchange.group)
            .filter(offered)
            .ok_or(PeerMisbehaved::Unoffered("group"))?;
        // The suite promises a kind of signature (RFC 8422 §2).
        let offered = |scheme: &SignatureScheme| scheme.may_be_offered(preferences.versions.highest());
        let scheme = SignatureScheme::from_id(exchange.scheme).filter(offered);
        let kind = scheme.map(SignatureScheme::authentication);
        if kind != agreed.suite.authentication() {
            return Err(PeerMisbehaved::WrongSignatureScheme(exchange.scheme).into());
        }
        // Before the signature: it covers a share of any length, but none of ours is longer.
        let public = heapless::Vec::from_slice(exchange.public);
        let public = public.map_err(|_| PeerMisbehaved::InvalidKeyShare(group.name()))?;
        let content = signed_params(&agreed.common.random, &agreed.server_random, exchange.params)?;
        let signature = (exchange.scheme, exchange.signature);
        context.info.scheme = Some(
            self.key
                .check(preferences.schemes, ProtocolVersion::TLS12, signature, &content)?,
        );
        context.info.group = Some(group);
        agreed.common.transcript.add(message.whole);
        Ok(Some(State::DoneOrRequest(ExpectDone {
            agreed: self.agreed,
            group,
            public,
            request: None,
        })))
    }
}

impl<'a> ExpectDone<'a> {
    pub(super) fn certificate_request(
        mut self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let request = certificate::parse_request_tls12(message.body())?;
        let config = &self.agreed.common.config;
        // Some schemes sign the messages themselves (RFC 5246 §7.4.8), for which there has to be room.
        let flight = config.identity.map_or(0, |identity| identity.message_len()) + FLIGHT;
        let whole = context.outbound.could_keep(flight);
        let usable = |scheme: &SignatureScheme| whole || scheme.prehash().is_some();
        self.request = Some(choose_scheme(
            config,
            &request,
            ProtocolVersion::TLS12,
            usable,
            context.info,
        ));
        self.agreed.common.transcript.add(message.whole);
        Ok(Some(State::Done(self)))
    }

    pub(super) fn done(
        self,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        tls12::parse_server_hello_done(message.body())?;
        let Self {
            mut agreed,
            group,
            public,
            request,
        } = self;
        agreed.common.transcript.add(message.whole);
        let pair = KeyPair::generate(group, context.rng);
        let preferences = agreed.common.config.preferences;
        super::tell_key_pair(&preferences, &pair);
        let premaster = pair
            .complete(&public)
            .map_err(|_| PeerMisbehaved::InvalidKeyShare(group.name()))?;
        let identity = agreed.common.config.identity.zip(request.flatten());
        let Agreed {
            common,
            suite,
            server_random,
            extended,
            ..
        } = &mut agreed;
        let Common { transcript, random, .. } = common;
        context.outbound.flight(transcript, |flight| {
            if request.is_some() {
                let chain = identity.map_or(&[][..], |(identity, _)| identity.chain);
                flight.add(|writer| certificate::certificate_tls12(writer, chain))?;
            }
            flight.add(|writer| tls12::client_key_exchange(writer, pair.public_value().as_ref()))
        })?;
        let session_hash = transcript.hash(suite.hash())?;
        let (master, covered) = if *extended {
            let master = MasterSecret::extended(*suite, premaster.as_ref(), &session_hash);
            (master, session_hash.as_ref())
        } else {
            let master = MasterSecret::plain(*suite, premaster.as_ref(), random, server_random);
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
                flight.add(|writer| certificate::certificate_verify(writer, scheme, &signature))
            })?;
        }
        preferences.tell(Fact::Shared { group: group.id() });
        let (client, server) = agreed.keys(&master, covered)?;
        agreed.send_finished(&master, client, context)?;
        let state = ExpectFinished {
            agreed,
            master,
            server_key: Some(server),
            client_key: None,
            new_ticket: None,
            old: None,
        };
        state.wait(*message, context)
    }
}

impl<'a> ExpectFinished<'a> {
    /// Waits for the promised ticket, or for change_cipher_spec.
    fn wait(mut self, message: Message<'_>, context: &mut Context<'_, 'a>) -> Result<Option<State<'a>>, Error> {
        if self.agreed.ticket {
            return Ok(Some(State::Ticket12(self)));
        }
        let message = message.last()?;
        if let Some(key) = self.server_key.take() {
            context.change.key_at_change_cipher_spec(message, key);
        }
        Ok(Some(State::Finished12(self)))
    }

    pub(super) fn ticket(
        mut self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let config = &self.agreed.common.config;
        let (lifetime, ticket) = NewSessionTicket::parse_tls12(message.body())?;
        self.agreed.common.transcript.add(message.whole);
        // RFC 5077 §3.3: an empty one means that there is none after all.
        if let (Some(sessions), false, true) = (config.sessions, ticket.is_empty(), self.agreed.extended) {
            self.new_ticket = sessions.fit(ticket).map(|ticket| (lifetime, ticket));
        }
        self.agreed.ticket = false;
        self.wait(message, context)
    }

    pub(super) fn finished(
        self,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let Self {
            mut agreed,
            master,
            client_key,
            new_ticket,
            old,
            ..
        } = self;
        let verify_data = msg::parse_finished(message.body(), VERIFY_DATA)?;
        let hash = agreed.common.transcript.hash(agreed.suite.hash())?;
        if !master.is_finished(Side::Server, &hash, verify_data) {
            return Err(PeerMisbehaved::WrongFinished.into());
        }
        context.info.peer = agreed.identity;
        let hash = hash.as_ref();
        let preferences = &agreed.common.config.preferences;
        preferences.tell(Fact::Finished { sent: false, hash });
        agreed.common.transcript.add(message.whole);
        if let Some(key) = client_key {
            agreed.send_finished(&master, key, context)?;
        }
        if let (Some(sessions), true) = (agreed.common.config.sessions, agreed.extended) {
            let now = agreed.common.config.preferences.clock.now;
            match (new_ticket, old) {
                (Some((lifetime, ticket)), _) => sessions.store(ClientSession {
                    version: ProtocolVersion::TLS12,
                    suite: agreed.suite,
                    secret: HashOutput::new(master.as_bytes()),
                    ticket,
                    // RFC 5077 §3.3: zero leaves it to us.
                    lifetime: if lifetime == 0 { TICKET_LIFETIME } else { lifetime },
                    age_add: 0,
                    received: now,
                    expires: agreed.session_end,
                    context: agreed.common.config.session_context(),
                    identity: agreed.identity,
                }),
                (None, Some(old)) => sessions.store(old),
                (None, None) => {}
            }
        }
        Ok(None)
    }
}
