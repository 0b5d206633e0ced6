//! The TLS 1.3 client (RFC 8446 §2, §4): from ServerHello to its own Finished.

use super::{Common, check_server, choose_scheme, take_answers, trusted};
use crate::crypto::kx::SharedSecret;
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerMisbehaved};
use crate::handshake::{Context, LastMessage, Message, PeerKey, Progress, Resumption};
use crate::msg::Finished;
use crate::msg::certificate::{self, CertificateTls13, CertificateVerify};
use crate::msg::server_hello::{Answers, ServerHello};
use crate::pki::verify::{DerList, PeerIdentity};
use crate::registry::{HandshakeType, ProtocolVersion};
use crate::schedule::{KeySchedule, TrafficSecret};
use crate::trace::{Milestone, Secret};
use crate::transcript::{CLIENT_CONTEXT, SERVER_CONTEXT, signed_content};

/// The handshake from the ServerHello on.
pub(super) struct Handshake {
    suite: CipherSuite,
    schedule: KeySchedule,
    client_handshake: TrafficSecret,
    server_handshake: TrafficSecret,
    identity: Option<PeerIdentity>,
    /// The last second of the session.
    session_end: u64,
    /// `Some` if a certificate was requested, with the scheme to sign with, if any.
    request: Option<Option<SignatureScheme>>,
    state: State,
}

/// A state of the handshake, named after the expected message.
enum State {
    EncryptedExtensions,
    /// Certificate, or CertificateRequest before it.
    CertificateOrRequest,
    /// Certificate, after CertificateRequest.
    Certificate,
    /// CertificateVerify, with the key of the server's certificate, which is verified.
    CertificateVerify(PeerKey),
    Finished,
}

/// Handles a ServerHello and changes to the handshake keys.
#[inline(never)] // keeps its stack frame out of the key exchange
pub(super) fn server_hello<'a>(
    common: &mut Common<'a>,
    hello: &ServerHello<'_>,
    suite: CipherSuite,
    shared: &SharedSecret,
    message: LastMessage<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<Handshake, Error> {
    let offered = common.session.as_ref();
    let offered =
        offered.filter(|session| session.version == ProtocolVersion::TLS13 && session.suite.hash() == suite.hash());
    let session = match (hello.psk, offered) {
        (None, _) => None,
        (Some(0), Some(session)) => Some(session),
        (Some(number), _) => return Err(PeerMisbehaved::UnofferedPsk(number).into()),
    };
    context.info.version = Some(ProtocolVersion::TLS13);
    context.info.suite = Some(suite);
    context.info.resumed = session.is_some();
    common.transcript.choose(suite.hash());
    common.transcript.add(message.whole);

    let psk = session.map(|session| session.secret.as_ref());
    let schedule = KeySchedule::early(suite, psk).handshake(shared.as_ref())?;
    let hash = common.transcript.hash(suite.hash())?;
    let client_handshake = schedule.traffic("c hs traffic", &hash)?;
    let server_handshake = schedule.traffic("s hs traffic", &hash)?;
    let preferences = &common.config.preferences;
    if session.is_some() {
        preferences.record(Milestone::Resumed);
    }
    if let Some(group) = context.info.group {
        preferences.record(Milestone::Shared { group: group.id() });
    }
    for (secret, value) in [
        (Secret::ClientHandshakeTraffic, &client_handshake),
        (Secret::ServerHandshakeTraffic, &server_handshake),
    ] {
        preferences.log_secret(secret, &common.random, value.as_bytes(), hash.as_ref());
    }
    context.change.key(message, server_handshake.clone());
    context.change.drop_change_cipher_spec();
    // For middlebox compatibility it precedes the first protected record, alerts included (RFC 8446 §D.4); after a
    // HelloRetryRequest it was sent before the second ClientHello.
    if !context.info.retried {
        context.outbound.change_cipher_spec()?;
    }
    context.outbound.set_key(client_handshake.clone())?;
    let handshake = Handshake {
        suite,
        schedule,
        client_handshake,
        server_handshake,
        identity: session.and_then(|session| session.identity),
        session_end: session.map_or(0, |session| session.expires),
        request: None,
        state: State::EncryptedExtensions,
    };
    common.session = None;
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
            (State::EncryptedExtensions, HandshakeType::ENCRYPTED_EXTENSIONS) => {
                self.encrypted_extensions(common, message, context)?;
            }
            (State::CertificateOrRequest, HandshakeType::CERTIFICATE_REQUEST) => {
                self.certificate_request(common, message, context)?;
            }
            (State::CertificateOrRequest | State::Certificate, HandshakeType::CERTIFICATE) => {
                self.certificate(common, message, context)?;
            }
            (State::CertificateVerify(key), HandshakeType::CERTIFICATE_VERIFY) => {
                certificate_verify(key, self.suite, common, message, context)?;
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
    fn encrypted_extensions<'a>(
        &mut self,
        common: &mut Common<'a>,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        let answers = Answers::parse_encrypted_extensions(message.body())?;
        take_answers(&common.config, &answers, ProtocolVersion::TLS13, context)?;
        self.state = if context.info.resumed {
            State::Finished
        } else {
            State::CertificateOrRequest
        };
        Ok(())
    }

    #[inline(never)]
    fn certificate_request(
        &mut self,
        common: &Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let request = certificate::parse_request_tls13(message.body())?;
        // RFC 8446 §4.3.2: empty except in post-handshake authentication.
        if !request.context.is_empty() {
            return Err(PeerMisbehaved::IllegalParameter("certificate_request_context").into());
        }
        self.request = Some(choose_scheme(
            &common.config,
            &request,
            ProtocolVersion::TLS13,
            |_| true,
            context.info,
        ));
        self.state = State::Certificate;
        Ok(())
    }

    #[inline(never)]
    fn certificate(
        &mut self,
        common: &Common<'_>,
        message: Message<'_>,
        context: &mut Context<'_, '_>,
    ) -> Result<(), Error> {
        let (chain, staple) = certificate::parse_tls13(message.body(), &[], cfg!(feature = "ocsp"))?;
        let config = &common.config;
        let (identity, session_end, verified) = check_server(config, &chain, context)?;
        verified.check_staple(staple, config.trust, config.preferences.clock)?;
        trusted(config, &identity, staple.is_some(), context);
        self.identity = Some(identity);
        self.session_end = session_end;
        let leaf = chain.first().ok_or(PeerMisbehaved::NoServerCertificate)?;
        self.state = State::CertificateVerify(PeerKey::of(leaf)?);
        Ok(())
    }

    #[inline(never)]
    fn finished<'a>(
        &mut self,
        common: &mut Common<'a>,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<(), Error> {
        let hash = self.suite.hash();
        let Finished { verify_data } = Finished::parse(message.body(), hash.output_len())?;
        let covered = common.transcript.hash(hash)?;
        if !self.server_handshake.is_finished(&covered, verify_data)? {
            return Err(PeerMisbehaved::WrongFinished.into());
        }
        context.info.peer = self.identity;
        common.config.preferences.record(Milestone::Finished {
            sent: false,
            hash: covered.as_ref(),
        });
        common.transcript.add(message.whole);

        // RFC 8446 §7.1: these secrets cover the handshake up to the server's Finished.
        let master = self.schedule.master()?;
        let covered = common.transcript.hash(hash)?;
        let client = master.traffic("c ap traffic", &covered)?;
        let server = master.traffic("s ap traffic", &covered)?;
        let log = common.config.preferences;
        for (secret, value) in [(Secret::ClientTraffic, &client), (Secret::ServerTraffic, &server)] {
            log.log_secret(secret, &common.random, value.as_bytes(), covered.as_ref());
        }

        self.send_flight(common, context)?;
        context.outbound.set_key(client)?;
        context.change.key(message, server);
        context.change.refuse_change_cipher_spec();
        if let Some(sessions) = common.config.sessions {
            context.change.resumption = Some(Resumption {
                sessions,
                secret: master.traffic("res master", &common.transcript.hash(hash)?)?,
                now: common.config.preferences.clock.now,
                identity: self.identity,
                expires: self.session_end,
                context: common.config.session_context(),
            });
        }
        Ok(())
    }

    /// Sends Certificate and CertificateVerify, if requested, and Finished.
    #[inline(never)]
    fn send_flight(&self, common: &mut Common<'_>, context: &mut Context<'_, '_>) -> Result<(), Error> {
        let Common { config, transcript, .. } = common;
        let hash = self.suite.hash();
        let rng = &mut *context.rng;
        let mut signed = None;
        let finished = context.outbound.flight(transcript, |flight| {
            if let Some(scheme) = self.request {
                let identity = config.identity.zip(scheme);
                let chain = identity.map_or(DerList::from(&[]), |(identity, _)| identity.chain);
                flight.add(&CertificateTls13 { context: &[], chain })?;
                if let Some((identity, scheme)) = identity {
                    let covered = flight.hash(hash)?;
                    let content = signed_content(CLIENT_CONTEXT, &covered)?;
                    signed = Some(covered);
                    let signature = identity
                        .key
                        .sign(scheme, &content, rng)
                        .map_err(|_| Error::Internal("the private key did not sign"))?;
                    flight.add(&CertificateVerify {
                        scheme: scheme.named(),
                        signature: &signature,
                    })?;
                }
            }
            let covered = flight.hash(hash)?;
            let verify_data = self.client_handshake.verify_data(&covered)?;
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

#[inline(never)]
fn certificate_verify(
    key: &PeerKey,
    suite: CipherSuite,
    common: &Common<'_>,
    message: Message<'_>,
    context: &mut Context<'_, '_>,
) -> Result<(), Error> {
    let signed = CertificateVerify::parse(message.body())?;
    let hash = common.transcript.hash(suite.hash())?;
    let content = signed_content(SERVER_CONTEXT, &hash)?;
    let preferences = &common.config.preferences;
    let scheme = key.check(preferences.schemes, ProtocolVersion::TLS13, signed, &content)?;
    context.info.scheme = Some(scheme);
    let hash = hash.as_ref();
    preferences.record(Milestone::Signature { sent: false, hash });
    Ok(())
}
