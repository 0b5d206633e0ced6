//! The client's protocols: TCP alone, or TLS.

use embassy_time::{Duration, Instant};
use embedded_io_async::{Read, Write};
use rand_core::CryptoRng;

use super::error::{ClientError, Ended};
use super::remote::{Name, Negotiated, Remote};
use crate::dial::Host;
use crate::endpoint::traces::{Narrators, Traces};
use crate::endpoint::{Description, Endpoint, HandshakeError, wipe};
use crate::net::{self, Transport};
use crate::pki::verify::{Clock, ServerName};
use crate::tls::session::MAX_TICKET;
use crate::tls::{ClientConfig, Connection, MIN_OUTBOUND, SessionCache};

/// Servers whose TLS sessions are kept for resumption.
pub const SESSIONS: usize = 4;

/// The protocol of a client over a connection.
pub enum Protocol<'b, R> {
    /// TCP alone.
    Plain,
    /// TLS over TCP.
    Tls(TlsClient<'b, R>),
    /// TLS, which is unavailable for this reason (`no entropy: ...`, `no CA is configured: ...`).
    Unable(&'static str),
}

/// The TLS client role with its buffers.
pub struct TlsClient<'b, R> {
    config: ClientConfig<'b>,
    clock: fn() -> Clock,
    handshake: Duration,
    rng: R,
    inbound: &'b mut [u8],
    outbound: &'b mut [u8],
    sessions: Sessions,
    named: bool,
    traces: Option<&'static Traces>,
    /// Where the present connection is narrated.
    narrators: Narrators,
}

impl<'b, R: CryptoRng> TlsClient<'b, R> {
    /// A client for `config`, to which each connection adds the expected name and the time of `clock`. A handshake
    /// times out after `handshake`.
    ///
    /// `inbound` holds at least [`crate::tls::MIN_INBOUND`] bytes ([`crate::tls::FULL_INBOUND`] for full records), and
    /// `outbound` [`outbound_len`].
    pub fn new(
        config: ClientConfig<'b>,
        clock: fn() -> Clock,
        handshake: Duration,
        rng: R,
        inbound: &'b mut [u8],
        outbound: &'b mut [u8],
    ) -> Self {
        TlsClient {
            config,
            clock,
            handshake,
            rng,
            inbound,
            outbound,
            sessions: Sessions::default(),
            named: false,
            traces: None,
            narrators: Narrators::default(),
        }
    }

    /// Where no name is asked for, the certificate has to give the address that was dialled, if `named`.
    pub fn with_names(self, named: bool) -> Self {
        TlsClient { named, ..self }
    }

    /// Narrates connections to `traces` while that is on.
    pub fn with_traces(self, traces: &'static Traces) -> Self {
        TlsClient {
            traces: Some(traces),
            ..self
        }
    }

    async fn handshake<'a, S: Transport<Error = net::Error>>(
        &'a mut self,
        stream: S,
        remote: &'a Remote,
        name: Option<&'a Name>,
    ) -> Result<(Channel<'a, S>, Negotiated), ClientError> {
        let server_name = match name {
            None if self.named => Some(match remote.host.get() {
                Host::Address(address) => ServerName::Ip(address),
                Host::Name(name) => ServerName::parse(name).ok_or(ClientError::NotAName)?,
            }),
            None => None,
            Some(name) => Some(ServerName::parse(name).ok_or(ClientError::NotAName)?),
        };
        let sessions = self.sessions.of(remote, name);
        let mut config = self.config.with_name(server_name).with_clock((self.clock)());
        if let Some(sessions) = sessions {
            config = config.with_sessions(sessions);
        }
        let peer = stream.peer();
        self.narrators.shell = self.traces.and_then(|traces| traces.begin(peer, None));
        if !self.narrators.is_empty() {
            config = config.with_trace(&self.narrators);
        }
        let connection = Connection::client(config, self.inbound, self.outbound, &mut self.rng)
            .map_err(|_| ClientError::NoTls("not enough memory for the TLS client (use a larger -m)"))?;
        let mut endpoint = Endpoint::new(stream, connection, None);
        let deadline = Instant::now().saturating_add(self.handshake);
        match endpoint.handshake(&mut self.rng, deadline).await {
            Ok(()) => {}
            Err(HandshakeError::Failed(error)) => return Err(ClientError::Handshake(error.into())),
            Err(HandshakeError::TimedOut) => {
                endpoint.shutdown();
                return Err(ClientError::HandshakeTimedOut(self.handshake));
            }
        }
        if let Some(proof) = endpoint.proof() {
            ::log::debug!("tls client: {remote}: authenticated as {proof}");
        }
        let session = Negotiated {
            description: Description::of(endpoint.info()),
            named: server_name.is_some(),
        };
        let mut ticket_log = TicketLog { remote, sessions };
        ticket_log.check();
        Ok((Channel::Tls(endpoint, ticket_log), session))
    }
}

/// The bytes of outbound buffer that a client for `config` needs.
pub fn outbound_len(config: &ClientConfig<'_>) -> usize {
    config.flight_len().max(MIN_OUTBOUND)
}

impl<R: CryptoRng> Protocol<'_, R> {
    /// Overwrites what the last connection has left in its buffers.
    pub(super) fn wipe(&mut self) {
        if let Protocol::Tls(tls) = self {
            wipe(tls.inbound);
            wipe(tls.outbound);
        }
    }

    /// Why it is unavailable.
    pub(super) fn obstacle(&self) -> Option<&'static str> {
        match self {
            Protocol::Unable(why) => Some(why),
            _ => None,
        }
    }

    /// Opens the conversation on a connection. What is agreed upon comes with it, if that is anything.
    pub(super) async fn open<'a, S: Transport<Error = net::Error>>(
        &'a mut self,
        stream: S,
        remote: &'a Remote,
        name: Option<&'a Name>,
    ) -> Result<(Channel<'a, S>, Option<Negotiated>), ClientError> {
        match self {
            Protocol::Plain => Ok((Channel::Plain(stream), None)),
            Protocol::Tls(tls) => {
                let (channel, session) = tls.handshake(stream, remote, name).await?;
                Ok((channel, Some(session)))
            }
            Protocol::Unable(why) => Err(ClientError::NoTls(why)),
        }
    }
}

/// An open connection.
pub(super) enum Channel<'a, S> {
    /// TCP alone.
    Plain(S),
    /// TLS over TCP.
    Tls(Endpoint<'a, S>, TicketLog<'a>),
}

/// Logs that a ticket was too long to be stored, once a connection.
pub(super) struct TicketLog<'a> {
    pub(super) remote: &'a Remote,
    /// `None`: nothing is stored, or that was logged.
    pub(super) sessions: Option<&'a SessionCache>,
}

impl TicketLog<'_> {
    pub(super) fn check(&mut self) {
        let Some(length) = self.sessions.and_then(SessionCache::oversized) else {
            return;
        };
        self.sessions = None;
        let remote = self.remote;
        ::log::info!(
            "tls client: {remote}: ticket of {length} bytes not stored (limit {MAX_TICKET}), so it resumes no session"
        );
    }
}

impl<S: Transport<Error = net::Error>> Channel<'_, S> {
    /// Reads what has come, at least one byte; 0: the end. Cancel-safe.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Ended> {
        Ok(match self {
            Channel::Plain(stream) => stream.read(buffer).await?,
            Channel::Tls(stream, ticket_log) => {
                let result = stream.read(buffer).await;
                // TLS 1.3: they come with the data.
                ticket_log.check();
                result?
            }
        })
    }

    /// Sends all of `text`.
    pub(super) async fn send(&mut self, text: &[u8]) -> Result<(), Ended> {
        match self {
            Channel::Plain(stream) => send(stream, text).await,
            Channel::Tls(stream, _) => send(stream, text).await,
        }
    }

    /// Ends our side, as far as the peer takes it within `timeout`.
    pub(super) async fn close(mut self, timeout: Duration) {
        match &mut self {
            Channel::Plain(stream) => stream.shutdown(),
            Channel::Tls(endpoint, _) => endpoint.close(timeout).await,
        }
    }
}

async fn send<W: Write>(stream: &mut W, mut text: &[u8]) -> Result<(), Ended>
where
    Ended: From<W::Error>,
{
    while !text.is_empty() {
        match stream.write(text).await? {
            0 => return Err(net::Error::Closed.into()),
            count => text = text.get(count..).unwrap_or_default(),
        }
    }
    Ok(stream.flush().await?)
}

/// The TLS sessions to resume, each with the server that it was made with and the name that was asked for there: what
/// was verified for one name does not hold for another.
#[derive(Default)]
struct Sessions {
    servers: [CachedServer; SESSIONS],
    /// The next place to be replaced.
    oldest: usize,
}

#[derive(Default)]
struct CachedServer {
    server: Option<(Remote, Option<Name>)>,
    cache: SessionCache,
}

impl Sessions {
    /// The place for that server.
    fn of(&mut self, remote: &Remote, name: Option<&Name>) -> Option<&SessionCache> {
        let wanted = |place: &CachedServer| {
            let server = place.server.as_ref();
            server.is_some_and(|(address, asked)| (address, asked.as_ref()) == (remote, name))
        };
        let index = self.servers.iter().position(wanted).unwrap_or_else(|| {
            let index = self.oldest;
            self.oldest = (self.oldest + 1) % SESSIONS;
            if let Some(place) = self.servers.get_mut(index) {
                place.cache.clear();
                place.server = Some((remote.clone(), name.cloned()));
            }
            index
        });
        self.servers.get(index).map(|place| &place.cache)
    }
}
