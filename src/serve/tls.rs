//! The TLS engine as the workers of the echo service use it.

use embassy_time::{Duration, Instant, with_deadline};
use rand_core::CryptoRng;

use super::registry::Entry;
use super::session::{AcceptedSession, NO_CLOSE_NOTIFY, TlsAcceptor, transport_cause};
use crate::config::Role;
use crate::endpoint::traces::{Narrator, Narrators, Traces};
use crate::endpoint::{Description, Endpoint, HandshakeError, wipe};
use crate::net::{Kind, Transport};
use crate::pki::text::Text;
use crate::pki::verify::Clock;
use crate::tls::error::{InvalidMessage, PeerIncompatible};
use crate::tls::{
    ClientConfig, ConfigError, Connection, Error, FULL_INBOUND, ReadHalf, ServerConfig, StreamError, WriteHalf,
};
use crate::web;

/// How long a dialled peer may be silent before it is taken for a TLS server, which waits for a ClientHello, where
/// [`Role::Either`] leaves the choice to it.
pub const SILENT_PEER_TIMEOUT: Duration = Duration::from_secs(1);

/// The application protocol of the echo, by ALPN. A client that offers others and not this one, such as a browser, is
/// refused (RFC 7301 §3.2): under the same certificate a browser takes the echo for the page. A client that offers none
/// is served.
pub const PROTOCOLS: &[&[u8]] = &[b"echo"];

/// TLS with the buffers of one worker.
pub struct TlsWorker<'b, R> {
    /// The TLS resources; without them the worker serves plain connections only.
    server: Option<Server<'b, R>>,
    mutual: Option<Mutual<'b>>,
    inbound: &'b mut [u8],
    outbound: &'b mut [u8],
    /// Where connections are narrated, for the shell and for pages.
    traces: Option<(&'static Traces, &'static Traces)>,
    /// Those of the present connection.
    narrators: Narrators,
}

/// The two roles that can be taken on a connection that was opened from here. In either the peer must authenticate.
#[derive(Clone, Copy)]
pub struct Mutual<'b> {
    /// As the server: it requires a certificate.
    pub server: ServerConfig<'b>,
    /// As the client: it has the server's own identity.
    pub client: ClientConfig<'b>,
}

/// A configuration, the clock by which certificates are verified, and a generator.
type Server<'b, R> = (ServerConfig<'b>, fn() -> Clock, R);

impl<'b, R: CryptoRng> TlsWorker<'b, R> {
    /// A worker for `config`; every certificate is verified at the time of `clock`.
    ///
    /// # Errors
    /// When a buffer is smaller than [`Connection::server`] demands.
    pub fn new(
        config: ServerConfig<'b>,
        clock: fn() -> Clock,
        inbound: &'b mut [u8],
        outbound: &'b mut [u8],
        rng: R,
    ) -> Result<Self, ConfigError> {
        Connection::server(config, &mut *inbound, &mut *outbound)?;
        Ok(TlsWorker {
            server: Some((config, clock, rng)),
            mutual: None,
            inbound,
            outbound,
            traces: None,
            narrators: Narrators::default(),
        })
    }

    /// The worker with what it takes for connections that are opened from here. The outbound buffer is to hold
    /// [`ClientConfig::flight_len`] bytes as well.
    pub fn with_mutual(self, mutual: Option<Mutual<'b>>) -> Self {
        TlsWorker { mutual, ..self }
    }

    /// Narrates connections to `shell` while that is on, and those of the HTTPS server to `pages` as well.
    pub fn with_traces(self, shell: &'static Traces, pages: &'static Traces) -> Self {
        TlsWorker {
            traces: Some((shell, pages)),
            ..self
        }
    }

    /// A worker for plain connections, where TLS cannot be served. `buffer` is what it copies through.
    pub fn plain(buffer: &'b mut [u8]) -> Self {
        TlsWorker {
            server: None,
            mutual: None,
            inbound: buffer,
            outbound: &mut [],
            traces: None,
            narrators: Narrators::default(),
        }
    }
}

impl<S: Transport, R: CryptoRng> TlsAcceptor<S> for TlsWorker<'_, R> {
    type Error = StreamError<S::Error>;
    type Session<'a>
        = TlsSession<'a, S>
    where
        Self: 'a,
        S: 'a;

    fn scratch(&mut self) -> &mut [u8] {
        self.inbound
    }

    fn wipe(&mut self) {
        wipe(self.inbound);
        wipe(self.outbound);
        // Nothing but its own connection reads a page. What the shell shows stays.
        if let Some(page) = self.narrators.page.take() {
            page.clear();
        }
    }

    async fn accept<'a>(
        &'a mut self,
        stream: &'a mut S,
        entry: &'a Entry,
        dialled: Option<Role>,
        deadline: Instant,
    ) -> Result<TlsSession<'a, S>, HandshakeError<Self::Error>> {
        let internal = |why| StreamError::Tls(Error::Internal(why));
        let (config, clock, rng) = self.server.as_mut().ok_or(internal("TLS cannot be served"))?;
        let mutual = self.mutual.ok_or(internal("mutual TLS is not set up"));
        let https = entry.kind() == Kind::Https;
        let (peer, port) = (stream.peer(), dialled.is_none().then(|| stream.local().port()));
        self.narrators = self.traces.map_or(Narrators::default(), |(shell, pages)| Narrators {
            shell: shell.begin(peer, port),
            page: if https { pages.begin(peer, port) } else { None },
        });
        let trace = (!self.narrators.is_empty()).then_some(&self.narrators);
        // The peer's first byte, where it was waited for.
        let mut first = None;
        let role = match dialled {
            Some(Role::Either) => {
                let mut byte = [0];
                let silent = Instant::now().saturating_add(SILENT_PEER_TIMEOUT).min(deadline);
                match with_deadline(silent, stream.read(&mut byte)).await {
                    Ok(count) => {
                        if count.map_err(StreamError::Transport)? > 0 {
                            first = byte.first().copied();
                            entry.last_read().set(Instant::now());
                        }
                        Role::Server
                    }
                    Err(_) => Role::Client,
                }
            }
            Some(role) => role,
            None => Role::Server,
        };
        // The buffers were found large enough at the start, for the same configuration.
        let small = |_| internal("buffers too small");
        let connection = if role == Role::Client {
            let mut config = mutual?.client.with_clock(clock());
            if let Some(trace) = trace {
                config = config.with_trace(trace);
            }
            Connection::client(config, self.inbound, self.outbound, rng).map_err(small)?
        } else {
            let config = if dialled.is_some() { mutual?.server } else { *config };
            let mut config = config.with_clock(clock());
            if dialled.is_none() {
                config = config.with_protocols(if https { web::PROTOCOLS } else { PROTOCOLS });
            }
            if let Some(trace) = trace {
                config = config.with_trace(trace);
            }
            let mut connection = Connection::server(config, self.inbound, self.outbound).map_err(small)?;
            if let (Some(byte), Some(space)) = (first, connection.space().first_mut()) {
                *space = byte;
                connection.received(1);
            }
            connection
        };
        let mut endpoint = Endpoint::new(stream, connection, Some(entry.last_read()));
        endpoint.handshake(rng, deadline).await?;
        // Not on the console, which is slower than a peer can come and go.
        if let Some(proof) = endpoint.proof() {
            ::log::debug!("{peer}: authenticated as {proof}");
        }
        Ok(TlsSession(endpoint, self.narrators.page))
    }

    fn cause(error: &Self::Error) -> &'static str {
        match error {
            StreamError::Tls(error) => cause(error),
            StreamError::Transport(error) => transport_cause(embedded_io_async::Error::kind(error)),
            StreamError::WriteZero => "connection failed",
        }
    }
}

/// A TLS connection after its handshake.
pub struct TlsSession<'a, S>(Endpoint<'a, &'a mut S>, Option<Narrator>);

impl<'a, S: Transport> AcceptedSession for TlsSession<'a, S> {
    type Error = StreamError<S::Error>;
    type Reader<'s>
        = ReadHalf<'s, 'a, S::Reader<'s>>
    where
        Self: 's;
    type Writer<'s>
        = WriteHalf<'s, 'a, S::Writer<'s>>
    where
        Self: 's;

    fn description(&self) -> Description {
        Description::of(self.0.info())
    }

    fn subject(&self) -> Option<Text<96>> {
        self.0.info().peer.map(|peer| peer.subject)
    }

    fn page(&self) -> Option<Narrator> {
        self.1
    }

    fn mark_established(&mut self) {
        self.0.transport().mark_established();
    }

    fn split(&mut self) -> Result<(Self::Reader<'_>, Self::Writer<'_>), Self::Error> {
        Ok(self.0.split()?)
    }

    async fn close(&mut self, timeout: Duration) {
        self.0.close(timeout).await;
    }
}

fn cause(error: &Error) -> &'static str {
    match error {
        Error::InvalidMessage(InvalidMessage::Http) => "HTTP on a TLS port",
        Error::InvalidMessage(InvalidMessage::ContentType(_) | InvalidMessage::RecordVersion(_)) => "not TLS",
        Error::InvalidMessage(_) => "invalid TLS message",
        Error::PeerMisbehaved(_) => "TLS protocol violated",
        Error::PeerIncompatible(PeerIncompatible::Version(_)) => "no common TLS version",
        Error::PeerIncompatible(PeerIncompatible::CipherSuite) => "no common cipher suite",
        Error::PeerIncompatible(PeerIncompatible::Group) => "no common group",
        Error::PeerIncompatible(PeerIncompatible::Protocol) => "no common application protocol",
        Error::PeerIncompatible(PeerIncompatible::CertificateCurve) => "curve of the certificate not offered",
        Error::PeerIncompatible(PeerIncompatible::ExtendedMasterSecret) => "no extended master secret",
        Error::PeerIncompatible(_) => "no common signature scheme",
        Error::Certificate(_) => "certificate refused",
        Error::AlertReceived(_) => "alert received",
        Error::Truncated => NO_CLOSE_NOTIFY,
        Error::Internal(_) | Error::Misuse(_) => "internal",
        _ => "other TLS error",
    }
}

/// Bytes of inbound buffer that [`TlsWorker::new`] needs.
pub const INBOUND: usize = FULL_INBOUND;

#[cfg(test)]
mod tests;
