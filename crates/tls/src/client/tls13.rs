//! The TLS 1.3 client (RFC 8446 §2, §4): from ServerHello to its own Finished.

use super::{Common, State, check_server, choose_scheme, take_answers, trusted};
use crate::crypto::kx::SharedSecret;
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerMisbehaved};
use crate::handshake::{Context, LastMessage, Message, PeerKey, Resumption};
use crate::msg::server_hello::Answers;
use crate::msg::{self, certificate};
use crate::pki::verify::PeerIdentity;
use crate::record::RecordKey;
use crate::registry::ProtocolVersion;
use crate::schedule::{KeySchedule, TrafficSecret};
use crate::session::ClientSession;
use crate::trace::{Fact, Secret};
use crate::transcript::{CLIENT_CONTEXT, SERVER_CONTEXT, signed_content};

/// What runs through the protected part of the handshake.
struct Protected<'a> {
    common: Common<'a>,
    suite: CipherSuite,
    schedule: KeySchedule,
    client_handshake: TrafficSecret,
    server_handshake: TrafficSecret,
    identity: Option<PeerIdentity>,
    /// The last second of the session.
    session_end: u64,
}

/// What a server's CertificateRequest asks for.
struct Request {
    context: heapless::Vec<u8, 255>,
    /// The scheme that we shall sign with; `None`: we have nothing that would do.
    scheme: Option<SignatureScheme>,
}

/// The client after ServerHello.
pub(crate) struct ExpectEncryptedExtensions<'a> {
    protected: Protected<'a>,
    resumed: bool,
}

/// The client that waits for the server's certificate.
pub(crate) struct ExpectCertificate<'a> {
    protected: Protected<'a>,
    request: Option<Request>,
}

/// The client with the server's certificate in hand, verified.
pub(crate) struct ExpectCertificateVerify<'a> {
    protected: Protected<'a>,
    request: Option<Request>,
    key: PeerKey,
}

/// The client that has only the server's Finished to wait for.
pub(crate) struct ExpectFinished<'a> {
    protected: Protected<'a>,
    request: Option<Request>,
}

/// Changes to the handshake keys.
pub(super) fn after_hello<'a>(
    common: Common<'a>,
    suite: CipherSuite,
    shared: &SharedSecret,
    session: Option<ClientSession>,
    message: LastMessage<'_>,
    context: &mut Context<'_, 'a>,
) -> Result<Option<State<'a>>, Error> {
    let psk = session.as_ref().map(|session| session.secret.as_ref());
    let schedule = KeySchedule::early(suite, psk).handshake(shared.as_ref())?;
    let hash = common.transcript.hash(suite.hash())?;
    let client_handshake = schedule.traffic("c hs traffic", &hash)?;
    let server_handshake = schedule.traffic("s hs traffic", &hash)?;
    let preferences = &common.config.preferences;
    if session.is_some() {
        preferences.tell(Fact::Resumed);
    }
    if let Some(group) = context.info.group {
        preferences.tell(Fact::Shared { group: group.id() });
    }
    for (secret, value) in [
        (Secret::ClientHandshakeTraffic, &client_handshake),
        (Secret::ServerHandshakeTraffic, &server_handshake),
    ] {
        preferences.log_secret(secret, &common.random, value.as_bytes(), hash.as_ref());
    }
    context.change.key(message, RecordKey::new(server_handshake.clone())?);
    context.change.drop_change_cipher_spec();
    // With middlebox compatibility ours goes before the first protected record, alerts included (RFC 8446 §D.4); after
    // a HelloRetryRequest it went out before the second hello.
    if !context.info.retried {
        context.outbound.change_cipher_spec()?;
    }
    context.outbound.set_key(RecordKey::new(client_handshake.clone())?);
    let identity = session.as_ref().and_then(|session| session.identity);
    if session.is_some() {
        context.info.resumed = true;
    }
    let protected = Protected {
        common,
        suite,
        schedule,
        client_handshake,
        server_handshake,
        identity,
        session_end: session.as_ref().map_or(0, |session| session.expires),
    };
    Ok(Some(State::EncryptedExtensions(ExpectEncryptedExtensions {
        protected,
        resumed: session.is_some(),
    })))
}

impl<'a> ExpectEncryptedExtensions<'a> {
    pub(super) fn encrypted_extensions(
        mut self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let answers = Answers::parse_encrypted_extensions(message.body())?;
        take_answers(&self.protected.common.config, &answers, ProtocolVersion::TLS13, context)?;
        let protected = &mut self.protected;
        protected.common.transcript.add(message.whole);
        Ok(Some(if self.resumed {
            State::Finished(ExpectFinished {
                protected: self.protected,
                request: None,
            })
        } else {
            State::CertificateOrRequest(ExpectCertificate {
                protected: self.protected,
                request: None,
            })
        }))
    }
}

impl<'a> ExpectCertificate<'a> {
    pub(super) fn certificate_request(
        mut self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let request = certificate::parse_request_tls13(message.body())?;
        // RFC 8446 §4.3.2: empty but in post-handshake authentication.
        if !request.context.is_empty() {
            return Err(PeerMisbehaved::IllegalParameter("certificate_request_context").into());
        }
        let config = &self.protected.common.config;
        let scheme = choose_scheme(config, &request, ProtocolVersion::TLS13, |_| true, context.info);
        self.request = Some(Request {
            context: heapless::Vec::new(),
            scheme,
        });
        self.protected.common.transcript.add(message.whole);
        Ok(Some(State::Certificate(self)))
    }

    pub(super) fn certificate(
        mut self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let (chain, staple) = certificate::parse_tls13(message.body(), &[], cfg!(feature = "ocsp"))?;
        let protected = &mut self.protected;
        let config = &protected.common.config;
        let (identity, session_end, vouched) = check_server(config, &chain, context)?;
        vouched.answered(staple, config.trust, config.preferences.clock)?;
        trusted(config, &identity, staple.is_some(), context);
        let leaf = chain.first().ok_or(PeerMisbehaved::NoServerCertificate)?;
        let key = PeerKey::of(leaf)?;
        protected.identity = Some(identity);
        protected.session_end = session_end;
        protected.common.transcript.add(message.whole);
        let Self { protected, request } = self;
        Ok(Some(State::CertificateVerify(ExpectCertificateVerify {
            protected,
            request,
            key,
        })))
    }
}

impl<'a> ExpectCertificateVerify<'a> {
    pub(super) fn certificate_verify(
        mut self,
        message: Message<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let Protected { common, suite, .. } = &mut self.protected;
        let signature = certificate::parse_verify(message.body())?;
        let hash = common.transcript.hash(suite.hash())?;
        let content = signed_content(SERVER_CONTEXT, &hash)?;
        let scheme = self.key.check(
            common.config.preferences.schemes,
            ProtocolVersion::TLS13,
            signature,
            &content,
        )?;
        context.info.scheme = Some(scheme);
        let hash = hash.as_ref();
        common.config.preferences.tell(Fact::Signature { sent: false, hash });
        common.transcript.add(message.whole);
        let Self { protected, request, .. } = self;
        Ok(Some(State::Finished(ExpectFinished { protected, request })))
    }
}

impl<'a> ExpectFinished<'a> {
    pub(super) fn finished(
        self,
        message: LastMessage<'_>,
        context: &mut Context<'_, 'a>,
    ) -> Result<Option<State<'a>>, Error> {
        let Self { protected, request } = self;
        let Protected {
            mut common,
            suite,
            schedule,
            client_handshake,
            server_handshake,
            identity,
            session_end,
        } = protected;
        let hash = suite.hash();
        let verify_data = msg::parse_finished(message.body(), hash.output_len())?;
        let covered = common.transcript.hash(hash)?;
        if !server_handshake.is_finished(&covered, verify_data)? {
            return Err(PeerMisbehaved::WrongFinished.into());
        }
        context.info.peer = identity;
        common.config.preferences.tell(Fact::Finished {
            sent: false,
            hash: covered.as_ref(),
        });
        common.transcript.add(message.whole);

        // RFC 8446 §7.1: these secrets cover the handshake up to the server's Finished.
        let master = schedule.master()?;
        let covered = common.transcript.hash(hash)?;
        let client = master.traffic("c ap traffic", &covered)?;
        let server = master.traffic("s ap traffic", &covered)?;
        let log = common.config.preferences;
        for (secret, value) in [(Secret::ClientTraffic, &client), (Secret::ServerTraffic, &server)] {
            log.log_secret(secret, &common.random, value.as_bytes(), covered.as_ref());
        }

        send_flight(&mut common, suite, &client_handshake, request, context)?;
        context.outbound.set_key(RecordKey::new(client)?);
        context.change.key(message, RecordKey::new(server)?);
        context.change.refuse_change_cipher_spec();
        if let Some(sessions) = common.config.sessions {
            context.change.resumption = Some(Resumption {
                sessions,
                secret: master.traffic("res master", &common.transcript.hash(hash)?)?,
                now: common.config.preferences.clock.now,
                identity,
                expires: session_end,
                context: common.config.session_context(),
            });
        }
        Ok(None)
    }
}

/// Certificate and CertificateVerify, if asked for, and Finished.
fn send_flight<'a>(
    common: &mut Common<'a>,
    suite: CipherSuite,
    client_handshake: &TrafficSecret,
    request: Option<Request>,
    context: &mut Context<'_, 'a>,
) -> Result<(), Error> {
    let Common { config, transcript, .. } = common;
    let hash = suite.hash();
    let rng = &mut *context.rng;
    let mut signed = None;
    let finished = context.outbound.flight(transcript, |flight| {
        if let Some(Request { context, scheme }) = request {
            let identity = config.identity.zip(scheme);
            let chain = identity.map_or(&[][..], |(identity, _)| identity.chain);
            flight.add(|writer| certificate::certificate_tls13(writer, &context, chain))?;
            if let Some((identity, scheme)) = identity {
                let covered = flight.hash(hash)?;
                let content = signed_content(CLIENT_CONTEXT, &covered)?;
                signed = Some(covered);
                let signature = identity
                    .key
                    .sign(scheme, &content, rng)
                    .map_err(|_| Error::Internal("the private key did not sign"))?;
                flight.add(|writer| certificate::certificate_verify(writer, scheme, &signature))?;
            }
        }
        let covered = flight.hash(hash)?;
        let verify_data = client_handshake.verify_data(&covered)?;
        flight.add(|writer| msg::finished(writer, verify_data.as_ref()))?;
        Ok(covered)
    })?;
    if let Some(hash) = &signed {
        let hash = hash.as_ref();
        config.preferences.tell(Fact::Signature { sent: true, hash });
    }
    let hash = finished.as_ref();
    config.preferences.tell(Fact::Finished { sent: true, hash });
    Ok(())
}
