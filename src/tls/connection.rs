//! The connection without its transport: bytes in, bytes out, data either way.

use core::cell::Cell;

use rand_core::CryptoRng;

use super::alert::AlertDescription;
use super::config::{ConfigError, ServerConfig};
use super::error::{Error, InvalidMessage, PeerMisbehaved};
use super::inbound::{Inbound, MIN_INBOUND, Received};
use super::msg::{HANDSHAKE_HEADER_LEN, KEY_UPDATE};
use super::outbound::{MIN_OUTBOUND, Outbound};
use super::server;
use crate::crypto::kx::Group;
use crate::crypto::suite::CipherSuite;

/// How many KeyUpdates may come in a row without data between them.
const MAX_KEY_UPDATES: u8 = 32;

/// What was agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Info {
    /// The cipher suite, once chosen.
    pub suite: Option<CipherSuite>,
    /// The group of the key exchange, once chosen.
    pub group: Option<Group>,
    /// Whether it took a HelloRetryRequest.
    pub retried: bool,
}

impl Info {
    /// The version's name: there is only this one.
    pub const fn version(&self) -> &'static str {
        "TLSv1.3"
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
    sender: Sender<'a>,
    link: Link,
    handshake: Handshake<'a>,
    info: Info,
}

// Held inline: there is no heap.
#[allow(clippy::large_enum_variant)]
enum Handshake<'a> {
    Server(server::State<'a>),
    Done,
    Failed,
}

impl<'a> Connection<'a> {
    /// A connection that waits for a ClientHello.
    ///
    /// # Errors
    /// When `inbound` is smaller than [`MIN_INBOUND`] bytes, or `outbound` smaller than [`MIN_OUTBOUND`] or than
    /// [`ServerConfig::flight_len`].
    pub fn server(
        config: ServerConfig<'a>,
        inbound: &'a mut [u8],
        outbound: &'a mut [u8],
    ) -> Result<Self, ConfigError> {
        let least = config.flight_len().max(MIN_OUTBOUND);
        if inbound.len() < MIN_INBOUND {
            return Err(ConfigError::InboundTooSmall(MIN_INBOUND));
        }
        if outbound.len() < least {
            return Err(ConfigError::OutboundTooSmall(least));
        }
        Ok(Self {
            receiver: Receiver {
                inbound: Inbound::new(inbound),
                key_updates: 0,
                end: None,
            },
            sender: Sender {
                outbound: Outbound::new(outbound),
            },
            link: Link::default(),
            handshake: Handshake::Server(server::State::ClientHello(config)),
            info: Info::default(),
        })
    }

    /// What was agreed upon so far.
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Whether the handshake is still under way (or has failed).
    pub fn is_handshaking(&self) -> bool {
        !matches!(self.handshake, Handshake::Done)
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
        let result = self.step(rng);
        if let Err(error) = &result {
            self.handshake = Handshake::Failed;
            self.receiver.end = Some(Err(*error));
            self.sender.fail(error);
        }
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
        let (_, sender, link) = self.split()?;
        sender.write(link, data)
    }

    /// The bytes that are to be sent.
    pub fn pending(&self) -> &[u8] {
        self.sender.pending()
    }

    /// `count` bytes of [`Connection::pending`] have been sent.
    pub fn sent(&mut self, count: usize) {
        self.sender.sent(count);
    }

    /// Ends our side with `close_notify` (RFC 8446 §6.1). Data may still come.
    pub fn close(&mut self) {
        self.sender.close();
    }

    /// The two directions, which from now on need nothing of each other but the [`Link`] between them.
    ///
    /// # Errors
    /// While the handshake is under way, and after a failure, which it gives again.
    pub(crate) fn split(&mut self) -> Result<(&mut Receiver<'a>, &mut Sender<'a>, &Link), Error> {
        match (&self.handshake, self.receiver.end) {
            (Handshake::Done, _) => Ok((&mut self.receiver, &mut self.sender, &self.link)),
            (_, Some(Err(error))) => Err(error),
            _ => Err(Error::Internal("no data before the handshake is done")),
        }
    }

    fn step(&mut self, rng: &mut dyn CryptoRng) -> Result<Progress, Error> {
        loop {
            if matches!(self.handshake, Handshake::Done) {
                return self.receiver.advance(&self.link);
            }
            if let Some(end) = self.receiver.end {
                return end.map(|()| Progress::Closed);
            }
            if let Some(message) = self.receiver.inbound.message()? {
                let length = message.len();
                let state = match core::mem::replace(&mut self.handshake, Handshake::Failed) {
                    Handshake::Server(state) => state,
                    Handshake::Done | Handshake::Failed => return Err(Error::Internal("no handshake under way")),
                };
                let mut context = server::Context {
                    outbound: &mut self.sender.outbound,
                    rng: &mut *rng,
                    info: &mut self.info,
                };
                let step = state.handle(message, &mut context)?;
                self.receiver.inbound.consume_message(length);
                self.receiver.change(step.inbound)?;
                self.handshake = match step.state {
                    Some(state) => Handshake::Server(state),
                    None => Handshake::Done,
                };
                continue;
            }
            match self.receiver.inbound.next()? {
                None if self.receiver.transport_ended() => return Err(Error::Truncated),
                None => return Ok(Progress::NeedInput),
                Some(Received::Handshake | Received::Nothing) => {}
                // No application data before the peer's Finished.
                Some(Received::Data) => {
                    return Err(PeerMisbehaved::UnexpectedRecord(ContentTypeNumber::APPLICATION_DATA).into());
                }
                Some(Received::Alert(AlertDescription::USER_CANCELED)) => {}
                Some(Received::Alert(alert)) => return Err(Error::AlertReceived(alert)),
            }
        }
    }
}

struct ContentTypeNumber;

impl ContentTypeNumber {
    const APPLICATION_DATA: u8 = super::record::ContentType::ApplicationData as u8;
}

/// What the two directions tell each other.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// The peer asked for a KeyUpdate of ours, due before the next data (RFC 8446 §4.6.3).
    key_update_due: Cell<bool>,
    /// The receiver failed with this; the sender owes the peer the alert.
    failure: Cell<Option<Error>>,
}

impl Link {
    pub(crate) fn fail(&self, error: Error) {
        self.failure.set(Some(error));
    }
}

/// The receiving direction.
pub(crate) struct Receiver<'a> {
    inbound: Inbound<'a>,
    key_updates: u8,
    /// How it ended: with `close_notify`, or by an error.
    end: Option<Result<(), Error>>,
}

impl Receiver<'_> {
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
                self.end = Some(Err(*error));
                link.fail(*error);
            }
        }
        result
    }

    fn step(&mut self, link: &Link) -> Result<Progress, Error> {
        loop {
            if let Some(message) = self.inbound.message()? {
                let length = message.len();
                let kind = message.first().copied().unwrap_or_default();
                let request = match (kind, message.get(HANDSHAKE_HEADER_LEN..).unwrap_or_default()) {
                    (KEY_UPDATE, &[request]) => request,
                    (KEY_UPDATE, []) => return Err(InvalidMessage::MissingData("KeyUpdate").into()),
                    (KEY_UPDATE, _) => return Err(InvalidMessage::TrailingData("KeyUpdate").into()),
                    (kind, _) => return Err(PeerMisbehaved::UnexpectedHandshake(kind).into()),
                };
                self.inbound.consume_message(length);
                self.key_update(request, link)?;
                continue;
            }
            match self.inbound.next()? {
                None if self.transport_ended() => return Err(Error::Truncated),
                None => return Ok(Progress::NeedInput),
                Some(Received::Handshake | Received::Nothing) => {}
                Some(Received::Data) => {
                    self.key_updates = 0;
                    return Ok(Progress::Data);
                }
                Some(Received::Alert(AlertDescription::CLOSE_NOTIFY)) => return Ok(Progress::Closed),
                Some(Received::Alert(AlertDescription::USER_CANCELED)) => {}
                Some(Received::Alert(alert)) => return Err(Error::AlertReceived(alert)),
            }
        }
    }

    fn key_update(&mut self, request: u8, link: &Link) -> Result<(), Error> {
        self.key_updates += 1;
        if self.key_updates > MAX_KEY_UPDATES {
            return Err(PeerMisbehaved::TooManyKeyUpdates.into());
        }
        match request {
            0 => {}
            1 => link.key_update_due.set(true),
            _ => return Err(PeerMisbehaved::IllegalParameter("KeyUpdateRequest").into()),
        }
        self.inbound.update_key()
    }

    fn change(&mut self, change: server::InboundChange) -> Result<(), Error> {
        match change {
            server::InboundChange::Retry { early_data } => {
                if self.inbound.in_message() {
                    return Err(PeerMisbehaved::MessageAcrossKeyChange.into());
                }
                self.inbound.tolerate_ccs(true);
                if early_data {
                    self.inbound.skip_early_data_until_client_hello();
                }
            }
            server::InboundChange::Handshake { key, early_data } => {
                self.inbound.tolerate_ccs(true);
                self.inbound.set_key(key)?;
                if early_data {
                    self.inbound.skip_early_data_until_decrypted();
                }
            }
            server::InboundChange::Traffic { key } => {
                self.inbound.tolerate_ccs(false);
                self.inbound.set_key(key)?;
                self.inbound.allow_data();
            }
        }
        Ok(())
    }

    fn transport_ended(&self) -> bool {
        self.inbound.ended()
    }
}

/// The sending direction.
pub(crate) struct Sender<'a> {
    outbound: Outbound<'a>,
}

impl Sender<'_> {
    pub(crate) fn pending(&self) -> &[u8] {
        self.outbound.pending()
    }

    pub(crate) fn sent(&mut self, count: usize) {
        self.outbound.sent(count);
    }

    pub(crate) fn write(&mut self, link: &Link, data: &[u8]) -> Result<usize, Error> {
        self.settle(link);
        if let Some(error) = link.failure.get() {
            return Err(error);
        }
        if self.outbound.is_closed() {
            return Err(Error::Internal("the connection is closed for writing"));
        }
        if link.key_update_due.get() && !data.is_empty() {
            if !self.outbound.has_room_for_key_update() {
                return Ok(0);
            }
            link.key_update_due.set(false);
            self.outbound.key_update()?;
        }
        self.outbound.data(data)
    }

    /// Queues the alert that is owed for a failure of the other direction.
    pub(crate) fn settle(&mut self, link: &Link) {
        if let Some(error) = link.failure.get() {
            self.fail(&error);
        }
    }

    pub(crate) fn close(&mut self) {
        self.outbound.alert(AlertDescription::CLOSE_NOTIFY);
    }

    fn fail(&mut self, error: &Error) {
        match error.alert() {
            Some(alert) => self.outbound.alert(alert),
            None => self.outbound.close_silently(),
        }
    }
}
