//! The TLS 1.3 server (RFC 8446 §2, §4): from ClientHello to the client's Finished.

use super::{
    Credentials, State, answers, check_client, choose_identity, session_end, session_suffices, ticket_lifetime,
};
use crate::codec::U16List;
use crate::config::ServerConfig;
use crate::crypto::hash::{HashAlgorithm, HashOutput};
use crate::crypto::kx::{Group, PublicValue, SharedSecret};
use crate::crypto::mac::constant_time_eq;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::handshake::{Context, LastMessage, Message, PeerKey, SkipEarlyData};
use crate::msg::client_hello::{ClientHello, KeyShares};
use crate::msg::server_hello::Answers;
use crate::msg::{self, certificate, server_hello, ticket};
use crate::pki::verify::PeerIdentity;
use crate::record::RecordKey;
use crate::registry::{ExtensionType, ProtocolVersion};
use crate::schedule::{KeySchedule, TrafficSecret};
use crate::session::{SessionState, server_name_hash};
use crate::trace::{Fact, Secret};
use crate::transcript::{CLIENT_CONTEXT, SERVER_CONTEXT, Transcript, signed_content};

/// How many tickets follow a handshake.
const TICKETS: u8 = 2;
/// How many of a client's PSKs are looked at.
const MAX_PSKS: usize = 4;

/// The server after its HelloRetryRequest.
pub(crate) struct ExpectSecondClientHello<'a> {
    config: ServerConfig<'a>,
    transcript: Transcript,
    suite: CipherSuite,
    group: Group,
    /// What the second ClientHello has to repeat.
    unchanging: HashOutput,
    psks: FirstPsks,
}

/// What `pre_shared_key` of the first ClientHello held. The second may drop PSKs only where the suite rules them out, and
/// may add none (RFC 8446 §4.1.2).
enum FirstPsks {
    /// It was not there.
    Absent,
    /// Nothing that could be resumed with this suite.
    Unfit,
    /// A session that could be: the hash of its identity.
    Fit(HashOutput),
}

impl FirstPsks {
    fn of(config: &ServerConfig<'_>, suite: CipherSuite, hello: &ClientHello<'_>) -> Self {
        if hello.psks.is_none() {
            return Self::Absent;
        }
        match sessions(config, suite, hello).next() {
            Some(session) => Self::Fit(HashAlgorithm::Sha256.hash(session.identity)),
            None => Self::Unfit,
        }
    }

    fn check(&self, second: &ClientHello<'_>) -> Result<(), Error> {
        let kept = match (self, second.psks) {
            (Self::Absent, psks) => psks.is_none(),
            (Self::Unfit, _) => true,
            (Self::Fit(_), None) => false,
            (Self::Fit(first), Some(psks)) => psks
                .iter()
                .any(|(identity, _)| HashAlgorithm::Sha256.hash(identity).as_ref() == first.as_ref()),
        };
        if kept {
            Ok(())
        } else {
            Err(PeerMisbehaved::ChangedClientHello.into())
        }
    }
}

/// The server after its flight with a CertificateRequest.
pub(crate) struct ExpectCertificate<'a>(ExpectFinished<'a>);

/// The server with a client's certificate in hand.
pub(crate) struct ExpectCertificateVerify<'a> {
    key: PeerKey,
    finished: ExpectFinished<'a>,
}

/// The server after its flight.
pub(crate) struct ExpectFinished<'a> {
    config: ServerConfig<'a>,
    transcript: Transcript,
    client_handshake: TrafficSecret,
    client_application: TrafficSecret,
    master: KeySchedule,
    server_name: HashOutput,
    identity: Option<PeerIdentity>,
    /// The last second of the session.
    session_end: u64,
    /// Whether the client can use tickets.
    tickets: bool,
}

/// Answers the first ClientHello: with the whole flight, or with a HelloRetryRequest.
pub(super) fn client_hello<'a>(
    config: ServerConfig<'a>,
    hello: &ClientHello<'_>,
    message: LastMessage<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<Option<State<'a>>, Error> {
    let offer = Offer::check(hello)?;
    let suite = choose_suite(&config, hello)?;
    let (group, public) = choose_group(&config, &offer)?;
    let mut transcript = Transcript::with(suite.hash());
    context.outbound.forget_messages();
    context.info.version = Some(ProtocolVersion::TLS13);
    context.info.suite = Some(suite);
    context.info.group = Some(group);

    let Some(public) = public else {
        transcript.add(message.whole);
        context.info.retried = true;
        transcript.replace_by_message_hash(suite.hash())?;
        context.outbound.flight(&mut transcript, |flight| {
            flight.add(|writer| server_hello::hello_retry_request(writer, hello.session_id, suite, group))
        })?;
        if !hello.session_id.is_empty() {
            context.outbound.change_cipher_spec()?;
        }
        context.change.drop_change_cipher_spec();
        if hello.early_data {
            context.change.skip_early_data = Some(SkipEarlyData::UntilClientHello);
        }
        let unchanging = hello.unchanging_part();
        let psks = FirstPsks::of(&config, suite, hello);
        let state = ExpectSecondClientHello {
            config,
            transcript,
            suite,
            group,
            unchanging,
            psks,
        };
        return Ok(Some(State::SecondClientHello(state)));
    };
    Negotiated {
        config,
        suite,
        group,
        transcript,
        retried: false,
    }
    .send(hello, message, public, context)
}

impl<'a> ExpectSecondClientHello<'a> {
    pub(super) fn client_hello(
        self,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let hello = ClientHello::parse(message.body())?;
        let offer = Offer::check(&hello)?;
        if hello.early_data {
            return Err(PeerMisbehaved::EarlyDataAfterRetry.into());
        }
        // RFC 8446 §4.2.8: exactly one share, of the group that was asked for.
        let mut shares = offer.key_shares.iter();
        let public = match (shares.next(), shares.next()) {
            (Some((group, public)), None) if group == self.group.id() => public,
            _ => return Err(PeerMisbehaved::WrongRetryKeyShare.into()),
        };
        if !constant_time_eq(hello.unchanging_part().as_ref(), self.unchanging.as_ref()) {
            return Err(PeerMisbehaved::ChangedClientHello.into());
        }
        self.psks.check(&hello)?;
        let Self {
            config,
            transcript,
            suite,
            group,
            ..
        } = self;
        Negotiated {
            config,
            suite,
            group,
            transcript,
            retried: true,
        }
        .send(&hello, message, public, context)
    }
}

impl<'a> ExpectCertificate<'a> {
    pub(super) fn certificate(
        self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let mut finished = self.0;
        let (chain, _) = certificate::parse_tls13(message.body(), &[], false)?;
        let identity = check_client(&finished.config, &chain, ProtocolVersion::TLS13, context)?;
        finished.transcript.add(message.whole);
        let Some(((identity, valid_until), leaf)) = identity.zip(chain.first()) else {
            return Ok(Some(State::Finished(finished)));
        };
        let subject = identity.subject.as_str();
        finished.config.preferences.tell(Fact::Trusted { subject });
        // It counts only once the signature has proved that the client has the key; until then nothing is done with it.
        finished.identity = Some(identity);
        finished.session_end = finished.session_end.min(valid_until);
        Ok(Some(State::CertificateVerify(ExpectCertificateVerify {
            key: PeerKey::of(leaf)?,
            finished,
        })))
    }
}

impl<'a> ExpectCertificateVerify<'a> {
    pub(super) fn certificate_verify(mut self, message: Message<'_>) -> Result<Option<State<'a>>, Error> {
        let finished = &mut self.finished;
        let hash = finished.transcript.hash(finished.client_handshake.suite().hash())?;
        let signature = certificate::parse_verify(message.body())?;
        let offered = finished.config.preferences.schemes;
        self.key.check(
            offered,
            ProtocolVersion::TLS13,
            signature,
            &signed_content(CLIENT_CONTEXT, &hash)?,
        )?;
        finished.config.preferences.tell(Fact::Signature {
            sent: false,
            hash: hash.as_ref(),
        });
        finished.transcript.add(message.whole);
        Ok(Some(State::Finished(self.finished)))
    }
}

impl<'a> ExpectFinished<'a> {
    pub(super) fn finished(
        mut self,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let suite = self.client_handshake.suite();
        let verify_data = msg::parse_finished(message.body(), suite.hash().output_len())?;
        let hash = self.transcript.hash(suite.hash())?;
        if !self.client_handshake.is_finished(&hash, verify_data)? {
            return Err(PeerMisbehaved::WrongFinished.into());
        }
        context.info.peer = self.identity;
        let hash = hash.as_ref();
        self.config.preferences.tell(Fact::Finished { sent: false, hash });
        self.transcript.add(message.whole);
        self.send_tickets(suite, context)?;
        context.change.key(message, RecordKey::new(self.client_application)?);
        context.change.refuse_change_cipher_spec();
        Ok(None)
    }

    fn send_tickets(&self, suite: CipherSuite, context: &mut Context<'_, 'a>) -> Result<(), Error> {
        let Some(tickets) = self.config.tickets.filter(|_| self.tickets) else {
            return Ok(());
        };
        let Some(lifetime) = ticket_lifetime(&self.config, self.session_end) else {
            return Ok(());
        };
        let session_context = self.config.session_context();
        let resumption = self
            .master
            .traffic("res master", &self.transcript.hash(suite.hash())?)?;
        let rng = &mut *context.rng;
        for number in 0..TICKETS {
            let nonce = [number];
            let state = SessionState {
                version: ProtocolVersion::TLS13,
                suite,
                secret: KeySchedule::ticket_psk(&resumption, &nonce)?,
                issued: self.config.preferences.clock.now,
                expires: self.session_end,
                server_name: self.server_name.clone(),
                identity: self.identity,
            };
            let ticket = tickets.seal(&state, &session_context, rng)?;
            let mut age_add = [0; 4];
            rng.fill_bytes(&mut age_add);
            context
                .outbound
                .message(|writer| ticket::emit_tls13(writer, lifetime, u32::from_be_bytes(age_add), &nonce, &ticket))?;
        }
        Ok(())
    }
}

/// A session in a client's offer, its binder not checked yet.
struct Offered<'m> {
    identity: &'m [u8],
    binder: &'m [u8],
    resumed: Resumed,
}

/// The sessions of a client's offer that could be resumed with `suite`.
fn sessions<'m>(
    config: &ServerConfig<'_>,
    suite: CipherSuite,
    hello: &ClientHello<'m>,
) -> impl Iterator<Item = Offered<'m>> {
    let psks = hello.psks.filter(|_| hello.psk_dhe_ke());
    let offers = psks.into_iter().flat_map(|psks| (0..).zip(psks.iter().take(MAX_PSKS)));
    offers.filter_map(move |(number, (identity, binder))| {
        let state = config
            .tickets?
            .open(identity, || config.session_context(), config.preferences.clock.now)?;
        let fits = state.version == ProtocolVersion::TLS13
            && state.suite.hash() == suite.hash()
            && state.is_for(hello.server_name)
            && session_suffices(config, state.identity.as_ref());
        fits.then_some(Offered {
            identity,
            binder,
            resumed: Resumed { number, state },
        })
    })
}

/// A session that the client proved to know.
struct Resumed {
    /// Its number in the client's offer.
    number: u16,
    state: SessionState,
}

/// How the server authenticates in a flight.
// Held inline: there is no heap.
#[allow(clippy::large_enum_variant)]
enum Authentication<'a> {
    Resumed(Resumed),
    Certificate(Credentials<'a>),
}

/// Suite and group decided, the flight to be sent.
struct Negotiated<'a> {
    config: ServerConfig<'a>,
    suite: CipherSuite,
    group: Group,
    transcript: Transcript,
    retried: bool,
}

impl<'a> Negotiated<'a> {
    fn send(
        mut self,
        hello: &ClientHello<'_>,
        message: LastMessage<'_>,
        public: &[u8],
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let authentication = match self.find_session(hello, *message)? {
            Some(resumed) => Authentication::Resumed(resumed),
            None => {
                if hello.signature_algorithms.is_none() {
                    return Err(PeerMisbehaved::MissingExtension(ExtensionType::SIGNATURE_ALGORITHMS).into());
                }
                Authentication::Certificate(choose_identity(&self.config, hello, ProtocolVersion::TLS13, |_| true)?)
            }
        };
        let (psk, named) = match &authentication {
            Authentication::Resumed(resumed) => (Some(resumed.state.secret.clone()), false),
            Authentication::Certificate(credentials) => {
                context.info.scheme = Some(credentials.scheme);
                (None, credentials.named)
            }
        };
        self.transcript.add(message.whole);
        let (share, shared) = self
            .group
            .respond(public, context.rng)
            .map_err(|_| PeerMisbehaved::InvalidKeyShare(self.group.name()))?;
        let config = self.config;
        let group = self.group.id();
        config.preferences.tell(Fact::KeyPair {
            group,
            public: share.as_ref(),
        });
        let answers = answers(&config, hello, ProtocolVersion::TLS13, named, context)?;
        let number = match &authentication {
            Authentication::Resumed(resumed) => Some(resumed.number),
            Authentication::Certificate(..) => None,
        };
        self.send_server_hello(hello, &share, number, context)?;

        let hash = self.transcript.hash(self.suite.hash())?;
        let early = KeySchedule::early(self.suite, psk.as_ref().map(AsRef::as_ref));
        let schedule = early.handshake(shared.as_ref())?;
        drop::<SharedSecret>(shared);
        let client_handshake = schedule.traffic("c hs traffic", &hash)?;
        let server_handshake = schedule.traffic("s hs traffic", &hash)?;
        if psk.is_some() {
            config.preferences.tell(Fact::Resumed);
        }
        config.preferences.tell(Fact::Shared { group });
        for (secret, value) in [
            (Secret::ClientHandshakeTraffic, &client_handshake),
            (Secret::ServerHandshakeTraffic, &server_handshake),
        ] {
            let log = &config.preferences;
            log.log_secret(secret, hello.random, value.as_bytes(), hash.as_ref());
        }
        context.outbound.set_key(RecordKey::new(server_handshake.clone())?);
        let asked = self.send_protected_part(&server_handshake, &authentication, &answers, context)?;

        let hash = self.transcript.hash(self.suite.hash())?;
        let master = schedule.master()?;
        let client_application = master.traffic("c ap traffic", &hash)?;
        let server_application = master.traffic("s ap traffic", &hash)?;
        for (secret, value) in [
            (Secret::ClientTraffic, &client_application),
            (Secret::ServerTraffic, &server_application),
        ] {
            let log = &config.preferences;
            log.log_secret(secret, hello.random, value.as_bytes(), hash.as_ref());
        }
        context.outbound.set_key(RecordKey::new(server_application)?);

        context.change.key(message, RecordKey::new(client_handshake.clone())?);
        context.change.drop_change_cipher_spec();
        context.change.plain_alerts = true;
        if hello.early_data {
            context.change.skip_early_data = Some(SkipEarlyData::UntilDecrypted);
        }
        let (identity, session_end) = match authentication {
            Authentication::Resumed(resumed) => {
                context.info.resumed = true;
                (resumed.state.identity, resumed.state.expires)
            }
            Authentication::Certificate(..) => (None, session_end(&config)),
        };
        let finished = ExpectFinished {
            config: self.config,
            transcript: self.transcript,
            client_handshake,
            client_application,
            master,
            server_name: server_name_hash(hello.server_name),
            identity,
            session_end,
            tickets: hello.psk_dhe_ke(),
        };
        Ok(Some(if asked {
            State::Certificate(ExpectCertificate(finished))
        } else {
            State::Finished(finished)
        }))
    }

    /// The first session of the client's offer that is good for this connection, its binder checked
    /// (RFC 8446 §4.2.11).
    fn find_session(&self, hello: &ClientHello<'_>, message: Message<'_>) -> Result<Option<Resumed>, Error> {
        let (Some(session), Some(psks)) = (sessions(&self.config, self.suite, hello).next(), hello.psks) else {
            return Ok(None);
        };
        let covered = message.whole.len().checked_sub(psks.binders_len());
        let covered = covered.and_then(|covered| message.whole.get(..covered));
        let mut transcript = self.transcript.clone();
        transcript.add(covered.ok_or(Error::Internal("binders longer than their ClientHello"))?);
        let key = KeySchedule::early(self.suite, Some(session.resumed.state.secret.as_ref())).binder()?;
        if !key.is_finished(&transcript.hash(self.suite.hash())?, session.binder)? {
            return Err(PeerMisbehaved::WrongBinder.into());
        }
        Ok(Some(session.resumed))
    }

    fn send_server_hello(
        &mut self,
        hello: &ClientHello<'_>,
        share: &PublicValue,
        psk: Option<u16>,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        let mut random = [0; 32];
        context.rng.fill_bytes(&mut random);
        let share = (self.group, share.as_ref());
        context.outbound.flight(&mut self.transcript, |flight| {
            flight.add(|writer| {
                server_hello::server_hello_tls13(writer, &random, hello.session_id, self.suite, share, psk)
            })
        })?;
        // After a HelloRetryRequest it went out already (RFC 8446 §D.4).
        if !self.retried && !hello.session_id.is_empty() {
            context.outbound.change_cipher_spec()?;
        }
        Ok(())
    }

    /// EncryptedExtensions to Finished, together. Returns whether a certificate was asked for.
    fn send_protected_part(
        &mut self,
        server_handshake: &TrafficSecret,
        authentication: &Authentication<'a>,
        answers: &Answers<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<bool, Error> {
        let Self {
            config,
            transcript,
            group,
            suite,
            ..
        } = self;
        let hash = suite.hash();
        let rng = &mut *context.rng;
        let (mut asked, mut signed) = (false, None);
        let finished = context.outbound.flight(transcript, |flight| {
            let groups = config.preferences.groups;
            let groups = if groups.first() == Some(group) {
                None
            } else {
                Some(groups)
            };
            flight.add(|writer| server_hello::encrypted_extensions(writer, groups, answers))?;
            if let Authentication::Certificate(Credentials { identity, scheme, .. }) = authentication {
                if config.client_auth.trust().is_some() {
                    asked = true;
                    let schemes = config.preferences.schemes;
                    if !schemes
                        .iter()
                        .any(|scheme| scheme.may_be_offered(ProtocolVersion::TLS13))
                    {
                        return Err(Error::Internal("no signature scheme of TLS 1.3 is configured"));
                    }
                    flight.add(|writer| certificate::request_tls13(writer, schemes))?;
                }
                flight.add(|writer| certificate::certificate_tls13(writer, &[], identity.chain))?;
                let covered = flight.hash(hash)?;
                let content = signed_content(SERVER_CONTEXT, &covered)?;
                signed = Some(covered);
                let signature = identity
                    .key
                    .sign(*scheme, &content, rng)
                    .map_err(|_| Error::Internal("the private key did not sign"))?;
                flight.add(|writer| certificate::certificate_verify(writer, *scheme, &signature))?;
            }
            let covered = flight.hash(hash)?;
            let verify_data = server_handshake.verify_data(&covered)?;
            flight.add(|writer| msg::finished(writer, verify_data.as_ref()))?;
            Ok(covered)
        })?;
        if let Some(hash) = &signed {
            let hash = hash.as_ref();
            config.preferences.tell(Fact::Signature { sent: true, hash });
        }
        let hash = finished.as_ref();
        config.preferences.tell(Fact::Finished { sent: true, hash });
        Ok(asked)
    }
}

/// What a ClientHello has to hold for a key exchange in TLS 1.3 (RFC 8446 §9.2).
struct Offer<'a> {
    groups: U16List<'a>,
    key_shares: KeyShares<'a>,
}

impl<'a> Offer<'a> {
    fn check(hello: &ClientHello<'a>) -> Result<Self, Error> {
        if hello.compression_methods != [0] {
            return Err(PeerMisbehaved::Compression.into());
        }
        if hello.psks.is_some() && hello.psk_modes.is_none() {
            return Err(PeerMisbehaved::MissingExtension(ExtensionType::PSK_KEY_EXCHANGE_MODES).into());
        }
        let groups = hello
            .supported_groups
            .ok_or(PeerMisbehaved::MissingExtension(ExtensionType::SUPPORTED_GROUPS))?;
        let key_shares = hello
            .key_shares
            .ok_or(PeerMisbehaved::MissingExtension(ExtensionType::KEY_SHARE))?;
        if hello.psks.is_none() && hello.signature_algorithms.is_none() {
            return Err(PeerMisbehaved::MissingExtension(ExtensionType::SIGNATURE_ALGORITHMS).into());
        }
        if let Some(group) = key_shares.first_outside(groups) {
            return Err(PeerMisbehaved::KeyShareOutsideGroups(group).into());
        }
        Ok(Self { groups, key_shares })
    }
}

fn choose_suite(config: &ServerConfig<'_>, hello: &ClientHello<'_>) -> Result<CipherSuite, Error> {
    let common =
        |suite: &CipherSuite| suite.version() == ProtocolVersion::TLS13 && hello.cipher_suites.contains(suite.id());
    Ok(config
        .preferences
        .suites
        .iter()
        .copied()
        .find(common)
        .ok_or(PeerIncompatible::CipherSuite)?)
}

/// The group, and the client's share for it. A group with a share goes before a better one that costs a round trip.
fn choose_group<'m>(config: &ServerConfig<'_>, offer: &Offer<'m>) -> Result<(Group, Option<&'m [u8]>), Error> {
    let common = || {
        config
            .preferences
            .groups
            .iter()
            .copied()
            .filter(|group| offer.groups.contains(group.id()))
    };
    common()
        .find_map(|group| offer.key_shares.get(group.id()).map(|public| (group, Some(public))))
        .or_else(|| common().next().map(|group| (group, None)))
        .ok_or(PeerIncompatible::Group.into())
}
