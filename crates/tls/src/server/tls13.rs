//! The TLS 1.3 server (RFC 8446 §2, §4): from ClientHello to the client's Finished.

mod offer;

use self::offer::{FirstPsks, Offer, Resumed, choose_group, choose_suite, sessions};
use super::{Common, Credentials, answers, choose_identity, session_end, ticket_lifetime};
use crate::crypto::hash::HashOutput;
use crate::crypto::kx::{Group, PublicValue, SharedSecret};
use crate::crypto::mac::constant_time_eq;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerMisbehaved};
use crate::handshake::{Context, LastMessage, Message, PeerKey, Progress, SkipEarlyData};
use crate::msg::Finished;
use crate::msg::certificate::{CertificateRequestTls13, CertificateTls13, CertificateVerify};
use crate::msg::client_hello::ClientHello;
use crate::msg::server_hello::{Answers, EncryptedExtensions, HelloRetryRequest, ServerHelloTls13};
use crate::msg::ticket::TicketTls13;
use crate::pki::verify::PeerIdentity;
use crate::registry::{ExtensionType, HandshakeType, ProtocolVersion};
use crate::schedule::{KeySchedule, TrafficSecret};
use crate::session::{SessionState, server_name_hash};
use crate::trace::{Milestone, Secret};
use crate::transcript::{CLIENT_CONTEXT, SERVER_CONTEXT, signed_content};

/// The number of tickets sent after a handshake.
pub(crate) const TICKETS: u8 = 2;

/// The server after its HelloRetryRequest.
pub(super) struct ExpectSecondClientHello {
    suite: CipherSuite,
    group: Group,
    /// What the second ClientHello must repeat.
    unchanging: HashOutput,
    psks: FirstPsks,
}

/// The handshake from the server's flight on.
pub(super) struct Handshake {
    client_handshake: TrafficSecret,
    client_application: TrafficSecret,
    master: KeySchedule,
    server_name: HashOutput,
    identity: Option<PeerIdentity>,
    /// The last second of the session.
    session_end: u64,
    /// Whether the client can use tickets.
    tickets: bool,
    state: State,
}

/// A state of the handshake, named after the expected message.
enum State {
    /// Certificate, which was requested.
    Certificate,
    /// CertificateVerify, with the key of the client's certificate, which is verified.
    CertificateVerify(PeerKey),
    Finished,
}

/// Answers the first ClientHello: with the whole flight, or with a HelloRetryRequest.
#[inline(never)] // keeps its stack frame out of TLS 1.2
pub(super) fn client_hello<'a>(
    common: &mut Common<'a>,
    state: &mut super::State,
    hello: &ClientHello<'_>,
    message: LastMessage<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<(), Error> {
    let offer = Offer::check(hello)?;
    let suite = choose_suite(&common.config, hello)?;
    let (group, public) = choose_group(&common.config, &offer)?;
    common.transcript.choose(suite.hash());
    context.outbound.forget_messages();
    context.info.version = Some(ProtocolVersion::TLS13);
    context.info.suite = Some(suite);
    context.info.group = Some(group);
    *state = match public {
        Some(public) => {
            let negotiated = Negotiated {
                suite,
                group,
                retried: false,
            };
            super::State::Tls13(negotiated.send(common, hello, message, public, context)?)
        }
        None => super::State::SecondClientHello(retry(common, hello, suite, group, message, context)?),
    };
    Ok(())
}

/// Sends a HelloRetryRequest.
fn retry<'a>(
    common: &mut Common<'a>,
    hello: &ClientHello<'_>,
    suite: CipherSuite,
    group: Group,
    message: LastMessage<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<ExpectSecondClientHello, Error> {
    let Common { config, transcript } = common;
    transcript.add(message.whole);
    context.info.retried = true;
    transcript.replace_by_message_hash(suite.hash())?;
    context.outbound.flight(transcript, |flight| {
        flight.add(&HelloRetryRequest {
            session_id: hello.session_id,
            suite,
            group,
        })
    })?;
    if !hello.session_id.is_empty() {
        context.outbound.change_cipher_spec()?;
    }
    context.change.drop_change_cipher_spec();
    if hello.early_data {
        context.change.skip_early_data = Some(SkipEarlyData::UntilClientHello);
    }
    Ok(ExpectSecondClientHello {
        suite,
        group,
        unchanging: hello.unchanging_part(),
        psks: FirstPsks::of(config, suite, hello),
    })
}

impl ExpectSecondClientHello {
    #[inline(never)] // as above
    pub(super) fn client_hello<'a>(
        &self,
        common: &mut Common<'a>,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Handshake, Error> {
        let hello = ClientHello::parse(message.body())?;
        let offer = Offer::check(&hello)?;
        if hello.early_data {
            return Err(PeerMisbehaved::EarlyDataAfterRetry.into());
        }
        // RFC 8446 §4.2.8: exactly one share, of the requested group.
        let mut shares = offer.key_shares.iter();
        let public = match (shares.next(), shares.next()) {
            (Some((group, public)), None) if group == self.group.id() => public,
            _ => return Err(PeerMisbehaved::WrongRetryKeyShare.into()),
        };
        if !constant_time_eq(hello.unchanging_part().as_ref(), self.unchanging.as_ref()) {
            return Err(PeerMisbehaved::ChangedClientHello.into());
        }
        self.psks.check(&hello)?;
        let negotiated = Negotiated {
            suite: self.suite,
            group: self.group,
            retried: true,
        };
        negotiated.send(common, &hello, message, public, context)
    }
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
            (State::CertificateVerify(key), HandshakeType::CERTIFICATE_VERIFY) => {
                certificate_verify(key, self.client_handshake.suite(), common, message)?;
                self.state = State::Finished;
            }
            (State::Finished, HandshakeType::FINISHED) => {
                self.finished(common, message.last()?, context)?;
                return Ok(Progress::Done);
            }
            _ => return Err(message.unexpected()),
        }
        common.transcript.add(message.whole);
        Ok(Progress::Continues)
    }

    #[inline(never)] // as each of the following: keeps their stack frames apart
    fn certificate(
        &mut self,
        common: &Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let Some(client) = common.config.verify_client(message, ProtocolVersion::TLS13, context)? else {
            self.state = State::Finished;
            return Ok(());
        };
        // It is not used before CertificateVerify has proved possession of the key.
        self.identity = Some(client.identity);
        self.session_end = self.session_end.min(client.valid_until);
        self.state = State::CertificateVerify(client.key);
        Ok(())
    }

    #[inline(never)]
    fn finished<'a>(
        &mut self,
        common: &mut Common<'a>,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        let suite = self.client_handshake.suite();
        let Finished { verify_data } = Finished::parse(message.body(), suite.hash().output_len())?;
        let hash = common.transcript.hash(suite.hash())?;
        if !self.client_handshake.is_finished(&hash, verify_data)? {
            return Err(PeerMisbehaved::WrongFinished.into());
        }
        context.info.peer = self.identity;
        let hash = hash.as_ref();
        common
            .config
            .preferences
            .record(Milestone::Finished { sent: false, hash });
        common.transcript.add(message.whole);
        self.send_tickets(common, context)?;
        context.change.key(message, self.client_application.clone());
        context.change.refuse_change_cipher_spec();
        Ok(())
    }

    fn send_tickets(&self, common: &Common<'_>, context: &mut Context<'_, '_>) -> Result<(), Error> {
        let config = &common.config;
        let suite = self.client_handshake.suite();
        let Some(tickets) = config.tickets.filter(|_| self.tickets) else {
            return Ok(());
        };
        let Some(lifetime) = ticket_lifetime(config, self.session_end) else {
            return Ok(());
        };
        let session_context = config.session_context();
        let resumption = self
            .master
            .traffic("res master", &common.transcript.hash(suite.hash())?)?;
        let rng = &mut *context.rng;
        for number in 0..TICKETS {
            let nonce = [number];
            let state = SessionState {
                version: ProtocolVersion::TLS13,
                suite,
                secret: KeySchedule::ticket_psk(&resumption, &nonce)?,
                issued: config.preferences.clock.now,
                expires: self.session_end,
                server_name: self.server_name.clone(),
                identity: self.identity,
            };
            let ticket = tickets.seal(&state, &session_context, rng)?;
            let mut age_add = [0; 4];
            rng.fill_bytes(&mut age_add);
            context.outbound.message(&TicketTls13 {
                lifetime,
                age_add: u32::from_be_bytes(age_add),
                nonce: &nonce,
                ticket: &ticket,
            })?;
        }
        Ok(())
    }
}

#[inline(never)]
fn certificate_verify(
    key: &PeerKey,
    suite: CipherSuite,
    common: &Common<'_>,
    message: Message<'_>,
) -> Result<(), Error> {
    let hash = common.transcript.hash(suite.hash())?;
    let signed = CertificateVerify::parse(message.body())?;
    let preferences = &common.config.preferences;
    let content = signed_content(CLIENT_CONTEXT, &hash)?;
    key.check(preferences.schemes, ProtocolVersion::TLS13, signed, &content)?;
    let hash = hash.as_ref();
    preferences.record(Milestone::Signature { sent: false, hash });
    Ok(())
}

/// How the server authenticates in its flight.
enum Authentication<'a> {
    Resumed(Resumed),
    Certificate(Credentials<'a>),
}

/// The server before its flight, with suite and group chosen.
struct Negotiated {
    suite: CipherSuite,
    group: Group,
    retried: bool,
}

/// The secrets derived after the ServerHello and after the server's Finished.
struct Secrets {
    client_handshake: TrafficSecret,
    client_application: TrafficSecret,
    master: KeySchedule,
}

impl Negotiated {
    #[inline(never)]
    fn send<'a>(
        &self,
        common: &mut Common<'a>,
        hello: &ClientHello<'_>,
        message: LastMessage<'_>,
        public: &[u8],
        context: &mut Context<'_, 'a>,
    ) -> Result<Handshake, Error> {
        let authentication = self.authentication(common, hello, *message)?;
        if let Authentication::Certificate(credentials) = &authentication {
            context.info.scheme = Some(credentials.scheme);
        }
        common.transcript.add(message.whole);
        let (shared, answers) = self.exchange(common, hello, public, &authentication, context)?;
        let asks =
            matches!(authentication, Authentication::Certificate(_)) && common.config.client_auth.trust().is_some();
        let secrets = self.send_protected(common, hello, &shared, &authentication, &answers, context)?;

        context.change.key(message, secrets.client_handshake.clone());
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
            Authentication::Certificate(..) => (None, session_end(&common.config)),
        };
        Ok(Handshake {
            client_handshake: secrets.client_handshake,
            client_application: secrets.client_application,
            master: secrets.master,
            server_name: server_name_hash(hello.server_name),
            identity,
            session_end,
            tickets: hello.psk_dhe_ke(),
            state: if asks { State::Certificate } else { State::Finished },
        })
    }

    /// Chooses how the server authenticates: by a session if the client offers a valid one, otherwise by a certificate.
    #[inline(never)]
    fn authentication<'a>(
        &self,
        common: &Common<'a>,
        hello: &ClientHello<'_>,
        message: Message<'_>,
    ) -> Result<Authentication<'a>, Error> {
        if let Some(resumed) = self.find_session(common, hello, message)? {
            return Ok(Authentication::Resumed(resumed));
        }
        if hello.signature_algorithms.is_none() {
            return Err(PeerMisbehaved::MissingExtension(ExtensionType::SIGNATURE_ALGORITHMS).into());
        }
        choose_identity(&common.config, hello, ProtocolVersion::TLS13, |_| true).map(Authentication::Certificate)
    }

    /// Completes the key exchange and sends the ServerHello.
    #[inline(never)]
    fn exchange<'a>(
        &self,
        common: &mut Common<'a>,
        hello: &ClientHello<'_>,
        public: &[u8],
        authentication: &Authentication<'a>,
        context: &mut Context<'_, 'a>,
    ) -> Result<(SharedSecret, Answers<'a>), Error> {
        let mut share = PublicValue::empty();
        let shared = self
            .group
            .respond_into(public, context.rng, &mut share)
            .map_err(|_| PeerMisbehaved::InvalidKeyShare(self.group.named()))?;
        common.config.preferences.record(Milestone::KeyPair {
            group: self.group.id(),
            public: share.as_ref(),
        });
        let (number, named) = match authentication {
            Authentication::Resumed(resumed) => (Some(resumed.number), false),
            Authentication::Certificate(credentials) => (None, credentials.named),
        };
        let answers = answers(&common.config, hello, ProtocolVersion::TLS13, named, context)?;
        self.send_server_hello(common, hello, &share, number, context)?;
        Ok((shared, answers))
    }

    /// Changes to the handshake keys, sends what they protect, and changes to the next keys.
    #[inline(never)]
    fn send_protected<'a>(
        &self,
        common: &mut Common<'a>,
        hello: &ClientHello<'_>,
        shared: &SharedSecret,
        authentication: &Authentication<'a>,
        answers: &Answers<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Secrets, Error> {
        let psk = match authentication {
            Authentication::Resumed(resumed) => Some(resumed.state.secret.as_ref()),
            Authentication::Certificate(_) => None,
        };
        let hash = common.transcript.hash(self.suite.hash())?;
        let schedule = KeySchedule::early(self.suite, psk).handshake(shared.as_ref())?;
        let client_handshake = schedule.traffic("c hs traffic", &hash)?;
        let server_handshake = schedule.traffic("s hs traffic", &hash)?;
        let preferences = common.config.preferences;
        if psk.is_some() {
            preferences.record(Milestone::Resumed);
        }
        preferences.record(Milestone::Shared { group: self.group.id() });
        for (secret, value) in [
            (Secret::ClientHandshakeTraffic, &client_handshake),
            (Secret::ServerHandshakeTraffic, &server_handshake),
        ] {
            preferences.log_secret(secret, hello.random, value.as_bytes(), hash.as_ref());
        }
        context.outbound.set_key(server_handshake.clone())?;
        self.send_flight(common, &server_handshake, authentication, answers, context)?;

        let hash = common.transcript.hash(self.suite.hash())?;
        let master = schedule.master()?;
        let client_application = master.traffic("c ap traffic", &hash)?;
        let server_application = master.traffic("s ap traffic", &hash)?;
        for (secret, value) in [
            (Secret::ClientTraffic, &client_application),
            (Secret::ServerTraffic, &server_application),
        ] {
            preferences.log_secret(secret, hello.random, value.as_bytes(), hash.as_ref());
        }
        context.outbound.set_key(server_application)?;
        Ok(Secrets {
            client_handshake,
            client_application,
            master,
        })
    }

    /// The first offered session that is valid for this connection, with its binder verified (RFC 8446 §4.2.11).
    #[inline(never)]
    fn find_session(
        &self,
        common: &Common<'_>,
        hello: &ClientHello<'_>,
        message: Message<'_>,
    ) -> Result<Option<Resumed>, Error> {
        let (Some(session), Some(psks)) = (sessions(&common.config, self.suite, hello).next(), hello.psks) else {
            return Ok(None);
        };
        let covered = message.whole.len().checked_sub(psks.binders_len());
        let covered = covered.and_then(|covered| message.whole.get(..covered));
        let mut transcript = common.transcript.clone();
        transcript.add(covered.ok_or(Error::Internal("binders longer than their ClientHello"))?);
        let key = KeySchedule::early(self.suite, Some(session.resumed.state.secret.as_ref())).binder()?;
        if !key.is_finished(&transcript.hash(self.suite.hash())?, session.binder)? {
            return Err(PeerMisbehaved::WrongBinder.into());
        }
        Ok(Some(session.resumed))
    }

    fn send_server_hello<'a>(
        &self,
        common: &mut Common<'a>,
        hello: &ClientHello<'_>,
        share: &PublicValue,
        psk: Option<u16>,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        let mut random = [0; 32];
        context.rng.fill_bytes(&mut random);
        let answer = ServerHelloTls13 {
            random: &random,
            session_id: hello.session_id,
            suite: self.suite,
            key_share: (self.group, share.as_ref()),
            psk,
        };
        context
            .outbound
            .flight(&mut common.transcript, |flight| flight.add(&answer))?;
        // After a HelloRetryRequest it was sent already (RFC 8446 §D.4).
        if !self.retried && !hello.session_id.is_empty() {
            context.outbound.change_cipher_spec()?;
        }
        Ok(())
    }

    /// Sends the messages from EncryptedExtensions to Finished.
    #[inline(never)]
    fn send_flight<'a>(
        &self,
        common: &mut Common<'a>,
        server_handshake: &TrafficSecret,
        authentication: &Authentication<'a>,
        answers: &Answers<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        let Common { config, transcript } = common;
        let hash = self.suite.hash();
        let rng = &mut *context.rng;
        let mut signed = None;
        let finished = context.outbound.flight(transcript, |flight| {
            let groups = config.preferences.groups;
            let groups = if groups.first() == Some(&self.group) {
                None
            } else {
                Some(groups)
            };
            flight.add(&EncryptedExtensions { groups, answers })?;
            if let Authentication::Certificate(Credentials { identity, scheme, .. }) = authentication {
                if config.client_auth.trust().is_some() {
                    let schemes = config.preferences.schemes;
                    if !schemes
                        .iter()
                        .any(|scheme| scheme.may_be_offered(ProtocolVersion::TLS13))
                    {
                        return Err(Error::Internal("no signature scheme of TLS 1.3 is configured"));
                    }
                    flight.add(&CertificateRequestTls13 { schemes })?;
                }
                flight.add(&CertificateTls13 {
                    context: &[],
                    chain: identity.chain,
                })?;
                let covered = flight.hash(hash)?;
                let content = signed_content(SERVER_CONTEXT, &covered)?;
                signed = Some(covered);
                let signature = identity
                    .key
                    .sign(*scheme, &content, rng)
                    .map_err(|_| Error::Internal("the private key did not sign"))?;
                flight.add(&CertificateVerify {
                    scheme: scheme.named(),
                    signature: &signature,
                })?;
            }
            let covered = flight.hash(hash)?;
            let verify_data = server_handshake.verify_data(&covered)?;
            flight.add(&Finished {
                verify_data: verify_data.as_ref(),
            })?;
            Ok(covered)
        })?;
        if let Some(hash) = &signed {
            let hash = hash.as_ref();
            config.preferences.record(Milestone::Signature { sent: true, hash });
        }
        let hash = finished.as_ref();
        config.preferences.record(Milestone::Finished { sent: true, hash });
        Ok(())
    }
}
