//! The receiving direction of a connection, during the handshake and after it.

use super::alert::AlertDescription;
use super::connection::Progress;
use super::error::{Error, PeerMisbehaved};
use super::handshake::{Message, Resumption};
use super::inbound::{Inbound, Received};
use super::link::Link;
#[cfg(feature = "client")]
use super::msg::ticket::TicketTls13;
use super::msg::{self, KeyUpdate};
use super::registry::{HandshakeType, ProtocolVersion};
#[cfg(feature = "client")]
use super::schedule::KeySchedule;
#[cfg(feature = "client")]
use super::session::ClientSession;
use super::trace::{self, Event};

/// The most consecutive KeyUpdates without data between them.
const MAX_KEY_UPDATES: u8 = 32;
/// The most tickets that a server may send on one connection.
const MAX_TICKETS: u8 = 32;
/// The most renegotiations that a TLS 1.2 peer may request; all are refused.
const MAX_RENEGOTIATIONS: u8 = 4;

/// What has been received.
pub(crate) enum Incoming {
    /// A whole handshake message: see [`Receiver::message`].
    Message,
    /// Application data.
    Data,
    CloseNotify,
    /// Nothing complete: more bytes are needed.
    NeedInput,
}

/// The receiving direction.
pub(crate) struct Receiver<'a> {
    pub(crate) inbound: Inbound<'a>,
    server: bool,
    pub(crate) version: Option<ProtocolVersion>,
    key_updates: u8,
    tickets: u8,
    pub(crate) renegotiations: u8,
    /// What a client needs to store tickets.
    pub(crate) resumption: Option<Resumption<'a>>,
    /// How it ended: with `close_notify`, or by an error.
    pub(crate) end: Option<Result<(), Error>>,
}

impl<'a> Receiver<'a> {
    pub(crate) fn new(inbound: Inbound<'a>, server: bool) -> Self {
        Self {
            inbound,
            server,
            version: None,
            key_updates: 0,
            tickets: 0,
            renegotiations: 0,
            resumption: None,
            end: None,
        }
    }

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
                trace::record_failure(self.inbound.trace(), error);
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

    /// Processes records until there is something for the caller. Warning alerts that do not end the connection are
    /// ignored. A message must be consumed before the next call.
    pub(crate) fn poll(&mut self) -> Result<Incoming, Error> {
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

    /// The next message.
    pub(crate) fn message(&self) -> Result<Message<'_>, Error> {
        let whole = self.inbound.message()?.ok_or(Error::Internal("no message to read"))?;
        Ok(Message {
            whole,
            followed: self.inbound.has_more_than(whole.len()),
        })
    }

    /// Handles the next message, of those that are allowed after the handshake.
    #[inline(never)] // keeps its stack frame out of the handshake
    fn handle_message(&mut self, link: &Link) -> Result<(), Error> {
        let message = self.message()?;
        let length = message.whole.len();
        let update = match (message.kind(), self.is_tls13(), self.server) {
            (HandshakeType::KEY_UPDATE, true, _) => {
                message.last()?;
                Some(KeyUpdate::parse(message.body())?)
            }
            #[cfg(feature = "client")]
            (HandshakeType::NEW_SESSION_TICKET, true, false) => {
                let ticket = TicketTls13::parse(message.body())?;
                keep(&ticket, self.resumption.as_ref())?;
                self.tickets = self.tickets.saturating_add(1);
                None
            }
            (HandshakeType::HELLO_REQUEST, false, false) | (HandshakeType::CLIENT_HELLO, false, true) => {
                if message.kind() == HandshakeType::HELLO_REQUEST {
                    msg::empty(message.body(), "HelloRequest")?;
                }
                self.renegotiations = self.renegotiations.saturating_add(1);
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
            Some(update) => self.key_update(&update, link),
            None => Ok(()),
        }
    }

    fn key_update(&mut self, update: &KeyUpdate, link: &Link) -> Result<(), Error> {
        self.key_updates = self.key_updates.saturating_add(1);
        if self.key_updates > MAX_KEY_UPDATES {
            return Err(PeerMisbehaved::TooManyKeyUpdates.into());
        }
        if update.requested {
            link.set_key_update_due(true);
        }
        self.inbound.update_key()
    }
}

#[cfg(feature = "client")]
/// Stores the session of a ticket, if the client has a cache.
fn keep(ticket: &TicketTls13<'_>, resumption: Option<&Resumption<'_>>) -> Result<(), Error> {
    let Some(resumption) = resumption else { return Ok(()) };
    // RFC 8446 §4.6.1: zero means that the ticket is to be discarded.
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
