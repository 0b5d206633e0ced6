//! A connection as a state machine, without a transport.

use core::borrow::BorrowMut;

use rand_core::CryptoRng;

use super::alert::AlertDescription;
#[cfg(feature = "client")]
use super::config::ClientConfig;
use super::config::ConfigError;
#[cfg(feature = "server")]
use super::config::ServerConfig;
use super::error::{Error, Misuse, PeerMisbehaved};
use super::handshake::{self, Change, Context, Handshake};
use super::inbound::{Inbound, MIN_INBOUND};
use super::link::Link;
use super::msg;
use super::outbound::{MIN_OUTBOUND, Outbound};
use super::receiver::{Incoming, Receiver};
use super::registry::{ContentType, HandshakeType, ProtocolVersion};
use super::trace::{self, Event, Milestone, Tracer};
use crate::crypto::kx::Group;
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::pki::text::Text;
use crate::pki::verify::PeerIdentity;

/// The number of HelloRequests ignored in one handshake: more than a server's flights have messages.
const MAX_HELLO_REQUESTS: u8 = 16;

/// The negotiated parameters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Info<'a> {
    /// The version, once chosen.
    pub version: Option<ProtocolVersion>,
    /// The cipher suite, once chosen.
    pub suite: Option<CipherSuite>,
    /// The group of the key exchange, once chosen; `None` in a TLS 1.2 resumption.
    pub group: Option<Group>,
    /// The scheme of the server's signature; `None` in a resumption.
    pub scheme: Option<SignatureScheme>,
    /// Whether there was a HelloRetryRequest.
    pub retried: bool,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// Whether the server requested a certificate that the client's own does not match (schemes, types or authorities), so
    /// that none was sent.
    pub no_own_scheme: bool,
    /// The authenticated identity of the peer, if any. `None` until its Finished has been verified.
    pub peer: Option<PeerIdentity>,
    /// The subject of the CA at the end of the peer's chain; `None` in a resumption. Valid once the handshake is done.
    pub root: Option<Text<96>>,
    /// Whether the server stapled an OCSP response, which was verified and has the status good.
    pub stapled: bool,
    /// The application protocol (ALPN, RFC 7301): one of the configured ones.
    pub protocol: Option<&'a [u8]>,
    /// On a server: the name requested by the client (RFC 6066 §3), with everything but graphic ASCII escaped. A DNS
    /// name, which has at most 253 bytes, is complete; a longer text ends in `…`.
    pub server_name: Option<Text<255>>,
}

impl Info<'_> {
    /// The name that OpenSSL gives to the version; empty before it is chosen.
    pub const fn version_name(&self) -> &'static str {
        match self.version {
            Some(version) => version.openssl_name(),
            None => "",
        }
    }
}

/// What the caller of a connection does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Receive more bytes from the peer.
    NeedInput,
    /// Read the received data: [`Connection::data`] and [`Connection::consume`].
    Data,
    /// Nothing more: the peer has sent `close_notify`.
    Closed,
}

/// One TLS connection as a state machine, independent of sockets, clocks and tasks.
///
/// The caller moves the bytes: it copies received ones to [`Connection::space`] and calls [`Connection::received`], it
/// sends those in [`Connection::pending`] and calls [`Connection::sent`], and after either it calls
/// [`Connection::advance`]. After an error, and only then, `pending` ends with an alert: send it, shut down the write
/// side, and read and discard what the peer still sends, so that a reset does not overtake the alert.
///
/// Both buffers belong to the caller. Nothing is allocated and nothing panics, whatever the peer sends.
///
/// `H` holds the state of the handshake: either inline, so that the connection is as large after the handshake as during
/// it, or in a [`Handshake`] borrowed from the caller ([`Connection::server_in`], [`Connection::client_in`]), by reference
/// or as the guard of a pool. It is dropped as soon as the handshake is done or has failed. (An enum would be as large as
/// its largest variant, so an idle connection can be small only if its handshake is stored elsewhere.)
pub struct Connection<'a, H = Handshake<'a>> {
    receiver: Receiver<'a>,
    outbound: Outbound<'a>,
    link: Link,
    /// `Some` during the handshake.
    handshake: Option<H>,
    done: bool,
    info: Info<'a>,
    record_limit: u16,
}

impl<'a> Connection<'a> {
    #[cfg(feature = "server")]
    /// A server's connection, which waits for a ClientHello.
    ///
    /// # Errors
    /// If `inbound` is smaller than [`MIN_INBOUND`] bytes, or `outbound` smaller than [`MIN_OUTBOUND`] or than
    /// [`ServerConfig::flight_len`]; and if the configuration has an empty list for CertificateRequest or an application
    /// protocol of an invalid length.
    pub fn server(
        config: ServerConfig<'a>,
        inbound: &'a mut [u8],
        outbound: &'a mut [u8],
    ) -> Result<Self, ConfigError> {
        Self::server_in(Handshake::new(), config, inbound, outbound)
    }

    #[cfg(feature = "client")]
    /// A client's connection, with its ClientHello in [`Connection::pending`].
    ///
    /// # Errors
    /// If `inbound` is smaller than [`MIN_INBOUND`] bytes, or `outbound` smaller than [`MIN_OUTBOUND`] or than
    /// [`ClientConfig::flight_len`]; if the configuration has an empty list for the ClientHello or an application protocol
    /// of an invalid length; and if the ClientHello cannot be written.
    pub fn client(
        config: ClientConfig<'a>,
        inbound: &'a mut [u8],
        outbound: &'a mut [u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, ConfigError> {
        Self::client_in(Handshake::new(), config, inbound, outbound, rng)
    }
}

impl<'a, H: BorrowMut<Handshake<'a>>> Connection<'a, H> {
    #[cfg(feature = "server")]
    /// As [`Connection::server`], with the state of the handshake in `handshake`.
    ///
    /// # Errors
    /// As those of [`Connection::server`].
    pub fn server_in(
        handshake: H,
        config: ServerConfig<'a>,
        inbound: &'a mut [u8],
        outbound: &'a mut [u8],
    ) -> Result<Self, ConfigError> {
        if config.client_auth.trust().is_some() {
            config.preferences.check_request()?;
        }
        config.preferences.check_protocols()?;
        let trace = config.preferences.trace;
        let mut connection = Self::new(handshake, config.flight_len(), true, trace, inbound, outbound)?;
        if config.client_auth.trust().is_some() && config.preferences.versions.tls12() {
            connection.outbound.keep_messages();
        }
        if let Some(handshake) = &mut connection.handshake {
            handshake.borrow_mut().start_server(config);
        }
        Ok(connection)
    }

    #[cfg(feature = "client")]
    /// As [`Connection::client`], with the state of the handshake in `handshake`.
    ///
    /// # Errors
    /// As those of [`Connection::client`].
    pub fn client_in(
        handshake: H,
        config: ClientConfig<'a>,
        inbound: &'a mut [u8],
        outbound: &'a mut [u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, ConfigError> {
        config.preferences.check_client()?;
        let trace = config.preferences.trace;
        let mut connection = Self::new(handshake, config.flight_len(), false, trace, inbound, outbound)?;
        if let Some(handshake) = &mut connection.handshake {
            let started =
                handshake
                    .borrow_mut()
                    .start_client(config, connection.record_limit, &mut connection.outbound, rng);
            started.map_err(|error| match error {
                Error::Internal(why) => ConfigError::Hello(why),
                _ => ConfigError::Hello("the hello could not be made"),
            })?;
        }
        if config.preferences.versions.tls13() {
            // RFC 8446 §5: allowed at any time after the first ClientHello has been sent.
            connection
                .receiver
                .inbound
                .on_change_cipher_spec(super::inbound::ChangeCipherSpec::Drop);
        }
        Ok(connection)
    }

    fn new(
        handshake: H,
        flight_len: usize,
        server: bool,
        trace: Option<Tracer<'a>>,
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
            trace.event(&Event::Milestone(Milestone::Role { server }));
        }
        let record_limit = inbound.record_limit();
        Ok(Self {
            receiver: Receiver::new(inbound, server),
            outbound,
            link: Link::default(),
            handshake: Some(handshake),
            done: false,
            info: Info::default(),
            record_limit,
        })
    }

    /// The parameters negotiated so far.
    pub fn info(&self) -> &Info<'a> {
        &self.info
    }

    /// Whether the handshake is in progress or has failed.
    pub fn is_handshaking(&self) -> bool {
        !self.done
    }

    /// The space for received bytes. Empty only while there is data to be consumed.
    pub fn space(&mut self) -> &mut [u8] {
        self.receiver.inbound.space()
    }

    /// Marks the first `count` bytes of [`Connection::space`] as received.
    pub fn received(&mut self, count: usize) {
        self.receiver.inbound.received(count);
    }

    /// Marks the peer's byte stream as ended. The next [`Connection::advance`] returns what that means.
    pub fn received_end(&mut self) {
        self.receiver.received_end();
    }

    /// Processes received records until there is data or more bytes are needed.
    ///
    /// # Errors
    /// The connection has failed; [`Connection::pending`] ends with the alert for the error. Every further call returns the
    /// same error.
    pub fn advance(&mut self, rng: &mut dyn CryptoRng) -> Result<Progress, Error> {
        loop {
            if let Some(progress) = self.advance_by_message(rng)? {
                return Ok(progress);
            }
        }
    }

    /// As [`Connection::advance`], for at most one handshake message, after which it returns `None`: a message can cost
    /// a key exchange and a signature, or the verification of a chain, and other tasks should run between two of them.
    ///
    /// # Errors
    /// As those of [`Connection::advance`].
    pub(crate) fn advance_by_message(&mut self, rng: &mut dyn CryptoRng) -> Result<Option<Progress>, Error> {
        let result = self.step(rng);
        if let Err(error) = &result {
            if !matches!(self.receiver.end, Some(Err(_))) {
                trace::record_failure(self.receiver.inbound.trace(), error);
            }
            self.end_handshake(false);
            self.receiver.end = Some(Err(*error));
            self.outbound.fail(error);
        }
        // A peer that requested a renegotiation may send nothing more until it has received the refusal.
        self.outbound.settle(&self.link);
        result
    }

    /// The received data.
    pub fn data(&self) -> &[u8] {
        self.receiver.data()
    }

    /// Marks the first `count` bytes of [`Connection::data`] as read.
    pub fn consume(&mut self, count: usize) {
        self.receiver.consume(count);
    }

    /// Protects as much of `data` as fits, at most one record, and returns the number of bytes: 0 if the pending bytes
    /// must be sent first.
    ///
    /// # Errors
    /// Before the handshake is done, after [`Connection::close`], and after a failure, whose error it returns again.
    pub fn write(&mut self, data: &[u8]) -> Result<usize, Error> {
        let (_, outbound, link) = self.split()?;
        outbound.write(link, data)
    }

    /// The bytes to be sent.
    pub fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    /// Marks the first `count` bytes of [`Connection::pending`] as sent.
    pub fn sent(&mut self, count: usize) {
        self.outbound.sent(count);
    }

    /// Closes the sending direction with `close_notify` (RFC 8446 §6.1). Data may still be received.
    pub fn close(&mut self) {
        self.outbound.close();
    }

    /// Splits the connection into its directions, which from now on share only the [`Link`] between them.
    ///
    /// # Errors
    /// During the handshake, and after a failure, whose error it returns again.
    pub(crate) fn split(&mut self) -> Result<(&mut Receiver<'a>, &mut Outbound<'a>, &Link), Error> {
        match (self.done, self.receiver.end) {
            (true, _) => Ok((&mut self.receiver, &mut self.outbound, &self.link)),
            (_, Some(Err(error))) => Err(error),
            _ => Err(Misuse::HandshakeNotDone.into()),
        }
    }

    /// Wipes the state of the handshake and releases it.
    fn end_handshake(&mut self, done: bool) {
        if let Some(handshake) = &mut self.handshake {
            handshake.borrow_mut().clear();
        }
        self.handshake = None;
        self.done = done;
    }

    fn step(&mut self, rng: &mut dyn CryptoRng) -> Result<Option<Progress>, Error> {
        loop {
            if self.done {
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
                // Inbound returns no data before the handshake is done.
                Incoming::Data => return Err(PeerMisbehaved::UnexpectedRecord(ContentType::APPLICATION_DATA).into()),
                Incoming::CloseNotify => return Err(Error::AlertReceived(AlertDescription::CLOSE_NOTIFY)),
            }
        }
    }

    /// Whether the next message was a HelloRequest in a client's handshake, which is ignored and not part of the
    /// transcript (RFC 5246 §7.4.1.1).
    fn takes_hello_request(&mut self) -> Result<bool, Error> {
        let message = self.receiver.message()?;
        let handshake = self.handshake.as_ref();
        let ignored = handshake.is_some_and(|handshake| handshake.borrow().is_client_of_tls12());
        if message.kind() != HandshakeType::HELLO_REQUEST || !ignored {
            return Ok(false);
        }
        msg::empty(message.body(), "HelloRequest")?;
        let length = message.whole.len();
        self.receiver.renegotiations = self.receiver.renegotiations.saturating_add(1);
        if self.receiver.renegotiations > MAX_HELLO_REQUESTS {
            return Err(PeerMisbehaved::TooManyRenegotiations.into());
        }
        self.receiver.inbound.consume_message(length);
        Ok(true)
    }

    /// Passes the next message to the handshake.
    #[inline(never)] // keeps its stack frame out of the callers that process records
    fn handle_message(&mut self, rng: &mut dyn CryptoRng) -> Result<(), Error> {
        let message = self.receiver.message()?;
        // RFC 5246 §7.1: change_cipher_spec precedes the message that is protected with the new key.
        if self.receiver.inbound.awaits_change_cipher_spec() {
            return Err(message.unexpected());
        }
        if message.kind() != HandshakeType::CERTIFICATE_VERIFY {
            self.outbound.keep_received(message.whole);
        }
        let Some(handshake) = &mut self.handshake else {
            return Err(Error::Internal("no handshake in progress"));
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
        let progress = handshake.borrow_mut().handle(message, &mut context)?;
        self.receiver.inbound.consume_message(length);
        self.receiver.version = self.info.version;
        if let Some(resumption) = change.apply(&mut self.receiver.inbound)? {
            self.receiver.resumption = Some(resumption);
        }
        if progress == handshake::Progress::Done {
            if let Some(trace) = self.receiver.inbound.trace() {
                trace.event(&Event::Milestone(Milestone::Done));
            }
            self.receiver.renegotiations = 0;
            self.receiver.inbound.allow_data();
            self.end_handshake(true);
        }
        Ok(())
    }
}
