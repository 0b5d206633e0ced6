//! The TLS 1.2 server (RFC 5246 §7.3): ECDHE, AEADs, EMS, tickets.

use super::{Common, Credentials, answers, session_end, session_suffices, ticket_lifetime};
use crate::config::{Identity, ServerConfig};
use crate::crypto::hash::HashOutput;
use crate::crypto::kx::{Group, KeyPair};
use crate::crypto::sign::{MAX_SIGNATURE, SignatureScheme};
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerIncompatible, PeerMisbehaved};
use crate::handshake::{Context, LastMessage, Message, PeerKey, Progress, unoffered};
use crate::msg::Finished;
use crate::msg::certificate::{CertificateRequestTls12, CertificateTls12, CertificateVerify};
use crate::msg::client_hello::ClientHello;
use crate::msg::server_hello::{DOWNGRADE_TO_TLS12, ServerHelloTls12, Tls12Answers};
use crate::msg::ticket::TicketTls12;
use crate::msg::tls12::{ClientKeyExchange, EcdhParams, ServerHelloDone, ServerKeyExchange};
use crate::pki::verify::PeerIdentity;
use crate::record::PendingKey;
use crate::registry::{HandshakeType, ProtocolVersion};
use crate::session::{SessionState, server_name_hash};
use crate::tls12::{MASTER_SECRET, MAX_PARAMS, MasterSecret, Side, VERIFY_DATA, signed_params};
use crate::trace::{Milestone, Secret};

/// The most bytes of the server's flight with a CertificateRequest, without its certificates.
const FLIGHT: usize = 1024 + MAX_SIGNATURE;
/// The most bytes of a client's Certificate and ClientKeyExchange for which all messages are stored. If they are longer,
/// a signature over the messages themselves is refused.
const CLIENT_FLIGHT: usize = 2048;

/// The handshake from the ServerHello on.
pub(super) struct Handshake {
    suite: CipherSuite,
    client_random: [u8; 32],
    server_random: [u8; 32],
    server_name: HashOutput,
    extended: bool,
    /// Whether a ticket precedes the server's Finished.
    ticket: bool,
    identity: Option<PeerIdentity>,
    /// The last second of the session.
    session_end: u64,
    state: State,
}

/// A state of the handshake, named after the expected message.
enum State {
    /// Nothing has been sent yet.
    Start,
    /// Certificate, which was requested.
    Certificate(KeyPair),
    /// ClientKeyExchange; with the key of the client's certificate, if it sent one.
    ClientKeyExchange(KeyPair, Option<PeerKey>),
    /// CertificateVerify, with the key of the client's certificate.
    CertificateVerify(MasterSecret, PeerKey),
    /// change_cipher_spec and Finished; with the key of the server's records, unless the server's Finished was sent
    /// already, as in a resumption.
    Finished(MasterSecret, Option<PendingKey>),
}

/// Answers the ClientHello: with the full handshake's flight, or with a resumption.
#[inline(never)] // keeps its stack frame out of TLS 1.3
pub(super) fn client_hello<'a>(
    common: &mut Common<'a>,
    hello: &ClientHello<'_>,
    message: LastMessage<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<Handshake, Error> {
    let config = &common.config;
    if !hello.compression_methods.contains(&0) {
        return Err(PeerMisbehaved::Compression.into());
    }
    // RFC 8422 §5.1.2.
    if hello.uncompressed_points == Some(false) {
        return Err(PeerMisbehaved::IllegalParameter("ec_point_formats").into());
    }
    // RFC 5746 §3.6.
    if hello.renegotiation_info.is_some_and(|info| !info.is_empty()) {
        return Err(PeerMisbehaved::RenegotiationInfo.into());
    }
    if !hello.extended_master_secret && config.preferences.require_extended_master_secret {
        return Err(PeerIncompatible::ExtendedMasterSecret.into());
    }
    let mut server_random = [0; 32];
    context.rng.fill_bytes(&mut server_random);
    if config.preferences.versions.tls13()
        && let Some(tail) = server_random.last_chunk_mut()
    {
        *tail = DOWNGRADE_TO_TLS12;
    }
    common.transcript.add(message.whole);
    let new = |suite| Handshake {
        suite,
        client_random: *hello.random,
        server_random,
        server_name: server_name_hash(hello.server_name),
        extended: hello.extended_master_secret,
        ticket: hello.session_ticket.is_some() && config.tickets.is_some() && hello.extended_master_secret,
        identity: None,
        session_end: session_end(config),
        state: State::Start,
    };
    if let Some((state, master)) = find_session(config, hello)? {
        let mut handshake = new(master.suite());
        handshake.identity = state.identity;
        // The client may use its ticket until that expires.
        handshake.ticket = false;
        context.info.resumed = true;
        handshake.resume(common, hello, message, master, context)?;
        return Ok(handshake);
    }
    let (suite, credentials) = choose(config, hello)?;
    let group = choose_group(config, hello)?;
    let mut handshake = new(suite);
    handshake.send_flight(common, hello, &credentials, group, context)?;
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
            (State::Certificate(_), HandshakeType::CERTIFICATE) => self.certificate(common, message, context)?,
            (State::ClientKeyExchange(..), HandshakeType::CLIENT_KEY_EXCHANGE) => {
                self.client_key_exchange(common, message, context)?;
            }
            (State::CertificateVerify(..), HandshakeType::CERTIFICATE_VERIFY) => {
                self.certificate_verify(common, message.last()?, context)?;
            }
            (State::Finished(..), HandshakeType::FINISHED) => {
                self.finished(common, message.last()?, context)?;
                return Ok(Progress::Done);
            }
            _ => return Err(message.unexpected()),
        }
        Ok(Progress::Continues)
    }

    #[inline(never)] // as each of the following: keeps their stack frames apart
    fn send_flight<'a>(
        &mut self,
        common: &mut Common<'a>,
        hello: &ClientHello<'_>,
        credentials: &Credentials<'a>,
        group: Group,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        let &Credentials {
            identity,
            scheme,
            named,
        } = credentials;
        context.info.version = Some(ProtocolVersion::TLS12);
        context.info.suite = Some(self.suite);
        context.info.group = Some(group);
        context.info.scheme = Some(scheme);
        let key_pair = KeyPair::generate(group, context.rng);
        let public = key_pair.public_value();
        let asked = common.config.client_auth.trust().is_some();
        // Schemes that sign the messages themselves are requested only if the buffer can store them.
        let whole = context
            .outbound
            .could_keep(identity.message_len().saturating_add(FLIGHT + CLIENT_FLIGHT));
        self.send_server_hello(common, hello, &[], named, context)?;
        common.config.preferences.record(Milestone::KeyPair {
            group: group.id(),
            public: public.as_ref(),
        });
        let rng = &mut *context.rng;
        let Common { config, transcript } = common;
        context.outbound.flight(transcript, |flight| {
            flight.add(&CertificateTls12 { chain: identity.chain })?;
            let mut buffer = [0; MAX_PARAMS];
            let params = EcdhParams::encode(group, public.as_ref(), &mut buffer)?;
            let content = signed_params(&self.client_random, &self.server_random, params.encoded)?;
            let signature = identity
                .key
                .sign(scheme, &content, rng)
                .map_err(|_| Error::Internal("the private key did not sign"))?;
            let signed = CertificateVerify {
                scheme: scheme.named(),
                signature: &signature,
            };
            flight.add(&ServerKeyExchange { params, signed })?;
            if asked {
                let usable = |scheme: &SignatureScheme| whole || scheme.prehash().is_some();
                let mut schemes = config.preferences.schemes.iter().copied().filter(usable).peekable();
                if schemes.peek().is_none() {
                    return Err(Error::Internal(
                        "no room for what the configured signature schemes sign",
                    ));
                }
                flight.add(&CertificateRequestTls12 { schemes })?;
            }
            flight.add(&ServerHelloDone)
        })?;
        self.state = if asked {
            State::Certificate(key_pair)
        } else {
            State::ClientKeyExchange(key_pair, None)
        };
        Ok(())
    }

    #[inline(never)]
    fn resume<'a>(
        &mut self,
        common: &mut Common<'a>,
        hello: &ClientHello<'_>,
        message: LastMessage<'_>,
        master: MasterSecret,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        context.info.version = Some(ProtocolVersion::TLS12);
        context.info.suite = Some(self.suite);
        // RFC 5077 §3.4: echoing the client's session ID means that the ticket was accepted.
        self.send_server_hello(common, hello, hello.session_id, false, context)?;
        common.config.preferences.record(Milestone::Resumed);
        self.log(common, &master, &[]);
        let (client, server) = master.record_keys(&self.client_random, &self.server_random)?;
        self.send_finished(common, &master, &server, context)?;
        context.change.key_at_change_cipher_spec(message, client);
        self.state = State::Finished(master, None);
        Ok(())
    }

    fn send_server_hello<'a>(
        &self,
        common: &mut Common<'a>,
        hello: &ClientHello<'_>,
        session_id: &[u8],
        named: bool,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        let Common { config, transcript } = common;
        let answers = Tls12Answers {
            extended_master_secret: self.extended,
            renegotiation_info: hello.secure_renegotiation(),
            session_ticket: self.ticket,
            // RFC 5246 §7.4.1.4: the ServerHello has only extensions of the ClientHello.
            ec_point_formats: hello.uncompressed_points.is_some(),
            common: answers(config, hello, ProtocolVersion::TLS12, named, context)?,
        };
        let answer = ServerHelloTls12 {
            random: &self.server_random,
            session_id,
            suite: self.suite,
            answers: &answers,
        };
        context.outbound.flight(transcript, |flight| flight.add(&answer))
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
        let hash = common.transcript.hash(self.suite.hash())?;
        let verify_data = master.verify_data(Side::Server, &hash);
        context.outbound.flight(&mut common.transcript, |flight| {
            flight.add(&Finished {
                verify_data: &verify_data,
            })
        })?;
        let hash = hash.as_ref();
        common
            .config
            .preferences
            .record(Milestone::Finished { sent: true, hash });
        Ok(())
    }

    #[inline(never)]
    fn send_ticket(
        &self,
        common: &mut Common<'_>,
        master: &MasterSecret,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let Common { config, transcript } = common;
        let Some(tickets) = config.tickets.filter(|_| self.ticket) else {
            return Ok(());
        };
        let lifetime = ticket_lifetime(config, self.session_end);
        let state = SessionState {
            version: ProtocolVersion::TLS12,
            suite: self.suite,
            secret: HashOutput::new(master.as_bytes()),
            issued: config.preferences.clock.now,
            expires: self.session_end,
            server_name: self.server_name.clone(),
            identity: self.identity,
        };
        // The ServerHello announced it; an empty ticket means that there is none (RFC 5077 §3.3).
        let (lifetime, sealed) = match lifetime {
            Some(lifetime) => (lifetime, tickets.seal(&state, &config.session_context(), context.rng)?),
            None => (0, heapless::Vec::new()),
        };
        context.outbound.flight(transcript, |flight| {
            flight.add(&TicketTls12 {
                lifetime,
                ticket: &sealed,
            })
        })
    }

    /// `hash` is the transcript hash of the master secret.
    fn log(&self, common: &Common<'_>, master: &MasterSecret, hash: &[u8]) {
        let log = &common.config.preferences;
        log.log_secret(Secret::Master, &self.client_random, master.as_bytes(), hash);
    }

    #[inline(never)]
    fn certificate(
        &mut self,
        common: &mut Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let client = common.config.verify_client(message, ProtocolVersion::TLS12, context)?;
        let client_key = client.map(|client| {
            self.identity = Some(client.identity);
            self.session_end = self.session_end.min(client.valid_until);
            client.key
        });
        common.transcript.add(message.whole);
        if let State::Certificate(key_pair) = core::mem::replace(&mut self.state, State::Start) {
            self.state = State::ClientKeyExchange(key_pair, client_key);
        }
        Ok(())
    }

    #[inline(never)]
    fn client_key_exchange(
        &mut self,
        common: &mut Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let State::ClientKeyExchange(key_pair, client_key) = &mut self.state else {
            return Err(message.unexpected());
        };
        if client_key.is_none() {
            message.last()?;
        }
        let client_key = client_key.take();
        let ClientKeyExchange { public } = ClientKeyExchange::parse(message.body())?;
        let group = key_pair.group();
        let premaster = key_pair
            .complete(public)
            .map_err(|_| PeerMisbehaved::InvalidKeyShare(group.named()))?;
        common.transcript.add(message.whole);
        common
            .config
            .preferences
            .record(Milestone::Shared { group: group.id() });
        let master = if self.extended {
            let session_hash = common.transcript.hash(self.suite.hash())?;
            let master = MasterSecret::extended(self.suite, premaster.as_ref(), &session_hash);
            self.log(common, &master, session_hash.as_ref());
            master
        } else {
            let randoms = (&self.client_random, &self.server_random);
            let master = MasterSecret::plain(self.suite, premaster.as_ref(), randoms.0, randoms.1);
            self.log(common, &master, &[]);
            master
        };
        match client_key {
            Some(client_key) => {
                self.state = State::CertificateVerify(master, client_key);
                Ok(())
            }
            None => self.await_finished(master, message.last()?, context),
        }
    }

    #[inline(never)]
    fn certificate_verify(
        &mut self,
        common: &mut Common<'_>,
        message: LastMessage<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let State::CertificateVerify(master, client_key) = &self.state else {
            return Err(message.unexpected());
        };
        let signed = CertificateVerify::parse(message.body())?;
        let transcript = &mut common.transcript;
        let offered = common.config.preferences.schemes;
        let scheme = offered.iter().find(|scheme| scheme.named() == signed.scheme);
        let scheme = *scheme.ok_or_else(|| unoffered(signed.scheme, offered.iter().copied()))?;
        // The signature covers the messages themselves (RFC 5246 §7.4.8), of which only hashes may be stored.
        match scheme.prehash() {
            Some(hash) => {
                let hash = transcript.hash(hash)?;
                client_key.check_prehashed(scheme, signed.signature, &hash)?;
            }
            None => {
                let messages = context.outbound.kept_messages();
                let messages = messages.ok_or(PeerMisbehaved::WrongSignatureScheme(signed.scheme))?;
                client_key.check(offered, ProtocolVersion::TLS12, signed, messages)?;
            }
        }
        context.outbound.forget_messages();
        transcript.add(message.whole);
        let master = master.clone();
        self.await_finished(master, message, context)
    }

    /// Expects change_cipher_spec and Finished next.
    #[inline(never)]
    fn await_finished(
        &mut self,
        master: MasterSecret,
        message: LastMessage<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let (client, server) = master.record_keys(&self.client_random, &self.server_random)?;
        context.change.key_at_change_cipher_spec(message, client);
        self.state = State::Finished(master, Some(server));
        Ok(())
    }

    #[inline(never)]
    fn finished(
        &mut self,
        common: &mut Common<'_>,
        message: LastMessage<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let State::Finished(master, server_key) = &self.state else {
            return Err(message.unexpected());
        };
        let Finished { verify_data } = Finished::parse(message.body(), VERIFY_DATA)?;
        let hash = common.transcript.hash(self.suite.hash())?;
        if !master.is_finished(Side::Client, &hash, verify_data) {
            return Err(PeerMisbehaved::WrongFinished.into());
        }
        context.info.peer = self.identity;
        let hash = hash.as_ref();
        common
            .config
            .preferences
            .record(Milestone::Finished { sent: false, hash });
        common.transcript.add(message.whole);
        if let Some(key) = server_key {
            self.send_ticket(common, master, context)?;
            self.send_finished(common, master, key, context)?;
        }
        Ok(())
    }
}

/// The session of the client's ticket, if it is valid for this connection.
fn find_session(
    config: &ServerConfig<'_>,
    hello: &ClientHello<'_>,
) -> Result<Option<(SessionState, MasterSecret)>, Error> {
    let (Some(tickets), Some(ticket)) = (config.tickets, hello.session_ticket) else {
        return Ok(None);
    };
    let session_context = || config.session_context();
    let Some(state) = tickets.open(ticket, session_context, config.preferences.clock.now) else {
        return Ok(None);
    };
    let fits = state.version == ProtocolVersion::TLS12
        && hello.cipher_suites.contains(state.suite.id())
        && config.preferences.suites.contains(&state.suite)
        && state.is_for(hello.server_name)
        && session_suffices(config, state.identity.as_ref());
    if !fits {
        return Ok(None);
    }
    // RFC 7627 §5.3: only sessions with an extended master secret get a ticket.
    if !hello.extended_master_secret {
        return Err(PeerMisbehaved::ChangedMasterSecret.into());
    }
    let Some(secret) = state.secret.as_ref().first_chunk::<MASTER_SECRET>() else {
        return Ok(None);
    };
    let master = MasterSecret::resumed(state.suite, secret);
    Ok(Some((state, master)))
}

/// Chooses the identity and its scheme, which have precedence, and the first suite that fits them.
fn choose<'a>(config: &ServerConfig<'a>, hello: &ClientHello<'_>) -> Result<(CipherSuite, Credentials<'a>), Error> {
    let suites = config.preferences.suites.iter().copied();
    let common =
        suites.filter(|suite| suite.version() == ProtocolVersion::TLS12 && hello.cipher_suites.contains(suite.id()));
    let suite_for = |identity: &Identity<'a>| {
        let wanted = Some(identity.key.authentication());
        common.clone().find(|suite| suite.authentication() == wanted)
    };
    if !config.identities.iter().any(|identity| suite_for(identity).is_some()) {
        return Err(PeerIncompatible::CipherSuite.into());
    }
    // supported_groups covers certificates too (RFC 8422 §5.1.1, §5.3).
    let fits = |identity: &Identity<'a>| {
        let listed = match (identity.key.curve(), hello.supported_groups) {
            (Some(curve), Some(groups)) => groups.contains(curve),
            _ => true,
        };
        listed && suite_for(identity).is_some()
    };
    if !config.identities.iter().any(fits) {
        return Err(PeerIncompatible::CertificateCurve.into());
    }
    let credentials = super::choose_identity(config, hello, ProtocolVersion::TLS12, |identity| fits(identity))?;
    let suite = suite_for(&credentials.identity).ok_or(PeerIncompatible::CipherSuite)?;
    Ok((suite, credentials))
}

fn choose_group(config: &ServerConfig<'_>, hello: &ClientHello<'_>) -> Result<Group, Error> {
    let groups = config.preferences.groups;
    let common = match hello.supported_groups {
        Some(theirs) => groups
            .iter()
            .find(|group| group.in_tls12() && theirs.contains(group.id())),
        // Without the extension the server may choose any group (RFC 8422 §5.1), but such clients predate X25519.
        None => {
            let old = groups.iter().find(|&&group| group == Group::Secp256r1);
            old.or_else(|| groups.iter().find(|group| group.in_tls12()))
        }
    };
    Ok(*common.ok_or(PeerIncompatible::Group)?)
}
