//! The connection without its transport: bytes in, bytes out, data either way.

use rand_core::CryptoRng;

use super::alert::AlertDescription;
use super::client;
use super::codec::Reader;
use super::config::{ClientConfig, ConfigError, ServerConfig};
use super::error::{Error, Misuse, PeerMisbehaved};
use super::handshake::{self, Change, Context, Handshake, Message, Resumption};
use super::inbound::{ChangeCipherSpec, Inbound, MIN_INBOUND, Received};
use super::link::Link;
use super::msg;
use super::msg::ticket::NewSessionTicket;
use super::outbound::{MIN_OUTBOUND, Outbound};
use super::registry::{ContentType, HandshakeType, ProtocolVersion};
use super::schedule::KeySchedule;
use super::server;
use super::session::ClientSession;
use super::trace::{self, Event, Fact, Trace};
use crate::crypto::kx::Group;
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::pki::text::Text;
use crate::pki::verify::PeerIdentity;

/// How many KeyUpdates may come in a row without data between them.
const MAX_KEY_UPDATES: u8 = 32;
/// How many tickets a server may send on one connection.
const MAX_TICKETS: u8 = 32;
/// How often a TLS 1.2 peer may ask for a renegotiation, which it does not get.
const MAX_RENEGOTIATIONS: u8 = 4;
/// How many HelloRequests are ignored in one handshake: more than a server has messages to put one before.
const MAX_HELLO_REQUESTS: u8 = 16;

/// What was agreed upon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info<'a> {
    /// The version, once chosen.
    pub version: Option<ProtocolVersion>,
    /// The cipher suite, once chosen.
    pub suite: Option<CipherSuite>,
    /// The group of the key exchange, once chosen; none in a resumption of TLS 1.2.
    pub group: Option<Group>,
    /// The scheme of the server's signature; none in a resumption.
    pub scheme: Option<SignatureScheme>,
    /// Whether it took a HelloRetryRequest.
    pub retried: bool,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// Whether the server asked for a certificate and accepts none of the signature schemes of the client's own, so that
    /// none was sent.
    pub no_own_scheme: bool,
    /// The identity that the peer has proved, if any. `None` until its Finished has been verified.
    pub peer: Option<PeerIdentity>,
    /// The subject of the CA that has vouched for the peer; none in a resumption. Good only when the handshake is done.
    pub root: Option<Text<96>>,
    /// Whether an OCSP response that the server had stapled to its certificate was checked and found good.
    pub stapled: bool,
    /// The application protocol (ALPN, RFC 7301): one of those that were configured.
    pub protocol: Option<&'a [u8]>,
    /// Of a server's connection: the name that the client asked for (RFC 6066 §3), everything but graphic ASCII escaped. A
    /// DNS name, of at most 253 bytes, is there as a whole; what is longer ends in `…`.
    pub server_name: Option<Text<255>>,
}

impl Info<'_> {
    /// The version's name, as OpenSSL writes it; empty before it is chosen.
    pub const fn version_name(&self) -> &'static str {
        match self.version {
            Some(version) => version.openssl_name(),
            None => "",
        }
    }
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes from the peer.
    NeedInput,
    /// Data has come: [`Connection::data`] and [`Connection::consume`].
    Data,
    /// The peer has sent `close_notify`; nothing more will come.
    Closed,
}

/// One TLS connection as a state machine, which knows nothing of sockets, clocks or tasks.
///
/// The caller moves bytes: what the peer sent goes into [`Connection::space`] followed by [`Connection::received`];
/// what is in [`Connection::pending`] goes to the peer, followed by [`Connection::sent`]. After either it calls
/// [`Connection::advance`]. On an error, and only then, `pending` holds the last alert: it is to be sent, the write
/// side shut, and what the peer still sends read and dropped, so that a reset does not overtake the alert.
///
/// Both buffers belong to the caller. Nothing is allocated and nothing panics, whatever the peer sends.
pub struct Connection<'a> {
    receiver: Receiver<'a>,
    outbound: Outbound<'a>,
    link: Link,
    phase: Phase<'a>,
    info: Info<'a>,
    record_limit: u16,
}

// Held inline: there is no heap.
#[allow(clippy::large_enum_variant)]
enum Phase<'a> {
    Handshake(Handshake<'a>),
    Done,
    Failed,
}

impl<'a> Connection<'a> {
    /// A connection that waits for a ClientHello.
    ///
    /// # Errors
    /// When `inbound` is smaller than [`MIN_INBOUND`] bytes, or `outbound` smaller than [`MIN_OUTBOUND`] or than
    /// [`ServerConfig::flight_len`]; and when the configuration has nothing to list in CertificateRequest, or an
    /// application protocol of an impossible length.
    pub fn server(
        config: ServerConfig<'a>,
        inbound: &'a mut [u8],
        outbound: &'a mut [u8],
    ) -> Result<Self, ConfigError> {
        if config.client_auth.trust().is_some() {
            config.preferences.check_request()?;
        }
        config.preferences.check_protocols()?;
        let trace = config.preferences.trace;
        let mut connection = Self::new(config.flight_len(), true, trace, inbound, outbound)?;
        if config.client_auth.trust().is_some() && config.preferences.versions.tls12() {
            connection.outbound.keep_messages();
        }
        connection.phase = Phase::Handshake(Handshake::Server(server::Handshake::new(config)));
        Ok(connection)
    }

    /// A connection whose ClientHello waits in [`Connection::pending`].
    ///
    /// # Errors
    /// When `inbound` is smaller than [`MIN_INBOUND`] bytes, or `outbound` smaller than [`MIN_OUTBOUND`] or than
    /// [`ClientConfig::flight_len`]; when the configuration has nothing to list in the ClientHello, or an application
    /// protocol of an impossible length; and when the hello cannot be made.
    pub fn client(
        config: ClientConfig<'a>,
        inbound: &'a mut [u8],
        outbound: &'a mut [u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, ConfigError> {
        config.preferences.check_client()?;
        let trace = config.preferences.trace;
        let mut connection = Self::new(config.flight_len(), false, trace, inbound, outbound)?;
        let outbound = &mut connection.outbound;
        let handshake = client::start(config, connection.record_limit, outbound, rng).map_err(|error| match error {
            Error::Internal(why) => ConfigError::Hello(why),
            _ => ConfigError::Hello("the hello could not be made"),
        })?;
        if config.preferences.versions.tls13() {
            // RFC 8446 §5: at any time after the first ClientHello has been sent.
            connection
                .receiver
                .inbound
                .on_change_cipher_spec(ChangeCipherSpec::Drop);
        }
        connection.phase = Phase::Handshake(Handshake::Client(handshake));
        Ok(connection)
    }

    fn new(
        flight_len: usize,
        server: bool,
        trace: Option<&'a dyn Trace>,
        inbound: &'a mut [u8],
        outbound: &'a mut [u8],
    ) -> Result<Self, ConfigError> {
        let least = flight_len.max(MIN_OUTBOUND);
        if inbound.len() < MIN_INBOUND {
            return Err(ConfigError::InboundTooSmall(MIN_INBOUND));
        }
        if outbound.len() < least {
            return Err(ConfigError::OutboundTooSmall(least));
        }
        let mut inbound = Inbound::new(inbound);
        let mut outbound = Outbound::new(outbound);
        inbound.set_trace(trace);
        outbound.set_trace(trace);
        if let Some(trace) = trace {
            trace.event(&Event::Fact(Fact::Role { server }));
        }
        let record_limit = inbound.record_limit();
        Ok(Self {
            receiver: Receiver {
                inbound,
                server,
                version: None,
                key_updates: 0,
                tickets: 0,
                renegotiations: 0,
                resumption: None,
                end: None,
            },
            outbound,
            link: Link::default(),
            phase: Phase::Failed,
            info: Info::default(),
            record_limit,
        })
    }

    /// What was agreed upon so far.
    pub fn info(&self) -> &Info<'a> {
        &self.info
    }

    /// Whether the handshake is still under way (or has failed).
    pub fn is_handshaking(&self) -> bool {
        !matches!(self.phase, Phase::Done)
    }

    /// Where received bytes go. Empty only while data waits to be consumed.
    pub fn space(&mut self) -> &mut [u8] {
        self.receiver.inbound.space()
    }

    /// `count` bytes were put into [`Connection::space`].
    pub fn received(&mut self, count: usize) {
        self.receiver.inbound.received(count);
    }

    /// The peer's byte stream has ended. The next [`Connection::advance`] tells what that means.
    pub fn received_end(&mut self) {
        self.receiver.received_end();
    }

    /// Processes what has come, until there is data, or nothing more to do.
    ///
    /// # Errors
    /// The connection is over; the alert that belongs to the error stands in [`Connection::pending`]. Every further
    /// call gives the same error.
    pub fn advance(&mut self, rng: &mut dyn CryptoRng) -> Result<Progress, Error> {
        loop {
            if let Some(progress) = self.advance_by_message(rng)? {
                return Ok(progress);
            }
        }
    }

    /// The same for one handshake message at most: `None` after it. The most costly ones take the key exchange and a
    /// signature, or the verification of a chain, and other tasks should get their turn between two of them.
    ///
    /// # Errors
    /// As those of [`Connection::advance`].
    pub(crate) fn advance_by_message(&mut self, rng: &mut dyn CryptoRng) -> Result<Option<Progress>, Error> {
        let result = self.step(rng);
        if let Err(error) = &result {
            if !matches!(self.receiver.end, Some(Err(_))) {
                trace::tell_failure(self.receiver.inbound.trace(), error);
            }
            self.phase = Phase::Failed;
            self.receiver.end = Some(Err(*error));
            self.outbound.fail(error);
        }
        // A peer that asked for a renegotiation waits for the refusal, and may send nothing more until it has come.
        self.outbound.settle(&self.link);
        result
    }

    /// The data that has come.
    pub fn data(&self) -> &[u8] {
        self.receiver.data()
    }

    /// `count` bytes of [`Connection::data`] have been used.
    pub fn consume(&mut self, count: usize) {
        self.receiver.consume(count);
    }

    /// Protects as much of `data` as fits, at most one record, and returns how much that was: 0 when the pending
    /// bytes have to be sent first.
    ///
    /// # Errors
    /// Before the handshake is done, after [`Connection::close`], and after a failure, which it gives again.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        let (_, outbound, link) = self.split()?;
        outbound.write(link, data)
    }

    /// The bytes that are to be sent.
    pub fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// `count` bytes of [`Connection::pending`] have been sent.
    pub fn sent(&mut self, count: usize) {
        self.outbound.sent(count);
    }

    /// Ends our side with `close_notify` (RFC 8446 §6.1). Data may still come.
    pub fn close(&mut self) {
        self.outbound.close();
    }

    /// The two directions, which from now on need nothing of each other but the [`Link`] between them.
    ///
    /// # Errors
    /// While the handshake is under way, and after a failure, which it gives again.
    pub(crate) fn split(&mut self) -> Result<(&mut Receiver<'a>, &mut Outbound<'a>, &Link), Error> {
        match (&self.phase, self.receiver.end) {
            (Phase::Done, _) => Ok((&mut self.receiver, &mut self.outbound, &self.link)),
            (_, Some(Err(error))) => Err(error),
            _ => Err(Misuse::HandshakeNotDone.into()),
        }
    }

    /// Whether a client's handshake is one of TLS 1.2, or may become one.
    fn ignores_hello_requests(&self) -> bool {
        match &self.phase {
            Phase::Handshake(Handshake::Client(handshake)) => handshake.may_be_tls12(),
            _ => false,
        }
    }

    fn step(&mut self, rng: &mut dyn CryptoRng) -> Result<Option<Progress>, Error> {
        loop {
            if matches!(self.phase, Phase::Done) {
                return self.receiver.advance(&self.link).map(Some);
            }
            if let Some(end) = self.receiver.end {
                return end.map(|()| Some(Progress::Closed));
            }
            match self.receiver.poll()? {
                Incoming::Message if self.takes_hello_request()? => {}
                Incoming::Message => {
                    self.handle_message(rng)?;
                    return Ok(None);
                }
                Incoming::NeedInput => return Ok(Some(Progress::NeedInput)),
                // Inbound lets none through before the handshake is done.
                Incoming::Data => return Err(PeerMisbehaved::UnexpectedRecord(ContentType::APPLICATION_DATA).into()),
                Incoming::CloseNotify => return Err(Error::AlertReceived(AlertDescription::CLOSE_NOTIFY)),
            }
        }
    }

    /// Whether the message that waits was a HelloRequest in a client's handshake: it is ignored, and no part of the
    /// transcript (RFC 5246 §7.4.1.1).
    fn takes_hello_request(&mut self) -> Result<bool, Error> {
        let message = self.receiver.message()?;
        if message.kind() != HandshakeType::HELLO_REQUEST || !self.ignores_hello_requests() {
            return Ok(false);
        }
        msg::empty(message.body(), "HelloRequest")?;
        let length = message.whole.len();
        self.receiver.renegotiations += 1;
        if self.receiver.renegotiations > MAX_HELLO_REQUESTS {
            return Err(PeerMisbehaved::TooManyRenegotiations.into());
        }
        self.receiver.inbound.consume_message(length);
        Ok(true)
    }

    /// Gives the message that waits to the handshake.
    #[inline(never)] // what a record needs of the stack is not to lie below it
    fn handle_message(&mut self, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        let message = self.receiver.message()?;
        // RFC 5246 §7.1: change_cipher_spec goes before the message that is protected by what it changes to.
        if self.receiver.inbound.awaits_change_cipher_spec() {
            return Err(message.unexpected());
        }
        if message.kind() != HandshakeType::CERTIFICATE_VERIFY {
            self.outbound.keep_received(message.whole);
        }
        let Phase::Handshake(handshake) = &mut self.phase else {
            return Err(Error::Internal("no handshake under way"));
        };
        let mut change = Change::default();
        let mut context = Context {
            outbound: &mut self.outbound,
            rng,
            info: &mut self.info,
            change: &mut change,
            record_limit: self.record_limit,
        };
        let length = message.whole.len();
        let progress = handshake.handle(message, &mut context)?;
        self.receiver.inbound.consume_message(length);
        self.receiver.version = self.info.version;
        if let Some(resumption) = change.apply(&mut self.receiver.inbound)? {
            self.receiver.resumption = Some(resumption);
        }
        if progress == handshake::Progress::Done {
            if let Some(trace) = self.receiver.inbound.trace() {
                trace.event(&Event::Fact(Fact::Done));
            }
            self.receiver.renegotiations = 0;
            self.receiver.inbound.allow_data();
            self.phase = Phase::Done;
        }
        Ok(())
    }
}

/// What has come.
enum Incoming {
    /// A whole handshake message: see [`Receiver::message`].
    Message,
    /// Application data.
    Data,
    CloseNotify,
    /// Nothing whole: more bytes are needed.
    NeedInput,
}

/// The receiving direction.
pub(crate) struct Receiver<'a> {
    inbound: Inbound<'a>,
    server: bool,
    version: Option<ProtocolVersion>,
    key_updates: u8,
    tickets: u8,
    renegotiations: u8,
    /// What a client needs to keep the tickets that come.
    resumption: Option<Resumption<'a>>,
    /// How it ended: with `close_notify`, or by an error.
    end: Option<Result<(), Error>>,
}

impl<'a> Receiver<'a> {
    pub(crate) fn space(&mut self) -> &mut [u8] {
        self.inbound.space()
    }

    pub(crate) fn received(&mut self, count: usize) {
        self.inbound.received(count);
    }

    pub(crate) fn received_end(&mut self) {
        self.inbound.received_end();
    }

    pub(crate) fn data(&self) -> &[u8] {
        self.inbound.data()
    }

    pub(crate) fn consume(&mut self, count: usize) {
        self.inbound.consume(count);
    }

    /// Processes records after the handshake.
    pub(crate) fn advance(&mut self, link: &Link) -> Result<Progress, Error> {
        if !self.inbound.data().is_empty() {
            return Ok(Progress::Data);
        }
        if let Some(end) = self.end {
            return end.map(|()| Progress::Closed);
        }
        let result = self.step(link);
        match &result {
            Ok(Progress::Closed) => self.end = Some(Ok(())),
            Ok(_) => {}
            Err(error) => {
                trace::tell_failure(self.inbound.trace(), error);
                self.end = Some(Err(*error));
                link.fail(*error);
            }
        }
        result
    }

    fn step(&mut self, link: &Link) -> Result<Progress, Error> {
        loop {
            match self.poll()? {
                Incoming::Message => self.handle_message(link)?,
                Incoming::NeedInput => return Ok(Progress::NeedInput),
                Incoming::Data => {
                    self.key_updates = 0;
                    return Ok(Progress::Data);
                }
                Incoming::CloseNotify => return Ok(Progress::Closed),
            }
        }
    }

    /// Processes records until there is something to be acted on. Warnings that end nothing are passed over. A message has
    /// to be taken before the next call.
    fn poll(&mut self) -> Result<Incoming, Error> {
        loop {
            if let Some(whole) = self.inbound.message()? {
                if let Some(trace) = self.inbound.trace() {
                    trace.event(&Event::Message { sent: false, whole });
                }
                return Ok(Incoming::Message);
            }
            match self.inbound.next()? {
                None if self.inbound.ended() => return Err(Error::Truncated),
                None => return Ok(Incoming::NeedInput),
                Some(Received::Handshake | Received::Nothing) => {}
                Some(Received::Data) => return Ok(Incoming::Data),
                Some(Received::Alert { warning, description }) => match description {
                    AlertDescription::CLOSE_NOTIFY => return Ok(Incoming::CloseNotify),
                    AlertDescription::USER_CANCELED => {}
                    // RFC 5246 §7.2.2: a warning does not end a TLS 1.2 connection.
                    _ if warning && !self.is_tls13() => {}
                    alert => return Err(Error::AlertReceived(alert)),
                },
            }
        }
    }

    fn is_tls13(&self) -> bool {
        self.version == Some(ProtocolVersion::TLS13)
    }

    /// The message that waits.
    fn message(&self) -> Result<Message<'_>, Error> {
        let whole = self.inbound.message()?.ok_or(Error::Internal("no message waits"))?;
        Ok(Message {
            whole,
            followed: self.inbound.has_more_than(whole.len()),
        })
    }

    /// Takes the message that waits: everything that may come after the handshake.
    #[inline(never)] // what a ticket needs of the stack is not to lie below a handshake
    fn handle_message(&mut self, link: &Link) -> Result<(), Error> {
        let message = self.message()?;
        let length = message.whole.len();
        let update = match (message.kind(), self.is_tls13(), self.server) {
            (HandshakeType::KEY_UPDATE, true, _) => {
                message.last()?;
                Some(Reader::all(message.body(), "KeyUpdate", |reader| reader.u8())?)
            }
            (HandshakeType::NEW_SESSION_TICKET, true, false) => {
                let ticket = NewSessionTicket::parse_tls13(message.body())?;
                keep(&ticket, self.resumption.as_ref())?;
                self.tickets += 1;
                None
            }
            (HandshakeType::HELLO_REQUEST, false, false) | (HandshakeType::CLIENT_HELLO, false, true) => {
                if message.kind() == HandshakeType::HELLO_REQUEST {
                    msg::empty(message.body(), "HelloRequest")?;
                }
                self.renegotiations += 1;
                link.set_refusal_due(true);
                None
            }
            _ => return Err(message.unexpected()),
        };
        if self.tickets > MAX_TICKETS {
            return Err(PeerMisbehaved::TooManyTickets.into());
        }
        if self.renegotiations > MAX_RENEGOTIATIONS {
            return Err(PeerMisbehaved::TooManyRenegotiations.into());
        }
        self.inbound.consume_message(length);
        match update {
            Some(request) => self.key_update(request, link),
            None => Ok(()),
        }
    }

    fn key_update(&mut self, request: u8, link: &Link) -> Result<(), Error> {
        self.key_updates += 1;
        if self.key_updates > MAX_KEY_UPDATES {
            return Err(PeerMisbehaved::TooManyKeyUpdates.into());
        }
        match request {
            0 => {}
            1 => link.set_key_update_due(true),
            _ => return Err(PeerMisbehaved::IllegalParameter("KeyUpdateRequest").into()),
        }
        self.inbound.update_key()
    }
}

/// Puts a ticket where the client wants its sessions, if it wants them.
fn keep(ticket: &NewSessionTicket<'_>, resumption: Option<&Resumption<'_>>) -> Result<(), Error> {
    let Some(resumption) = resumption else { return Ok(()) };
    // RFC 8446 §4.6.1: zero means that it is to be discarded.
    if ticket.lifetime == 0 {
        return Ok(());
    }
    let Some(bytes) = resumption.sessions.fit(ticket.ticket) else {
        return Ok(());
    };
    resumption.sessions.store(ClientSession {
        version: ProtocolVersion::TLS13,
        suite: resumption.secret.suite(),
        secret: KeySchedule::ticket_psk(&resumption.secret, ticket.nonce)?,
        ticket: bytes,
        lifetime: ticket.lifetime,
        age_add: ticket.age_add,
        received: resumption.now,
        expires: resumption.expires,
        context: resumption.context.clone(),
        identity: resumption.identity,
    });
    Ok(())
}
