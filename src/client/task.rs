//! The echo client: requests of sessions, and the task that carries them out.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::IpAddr;
use core::pin::pin;
use core::task::Poll;

use embassy_futures::poll_once;
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, with_timeout};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::channel::{Channel, Protocol};
use super::error::{ClientError, Ended, MESSAGE, SEND_TIMEOUT};
use super::remote::{ConnectOptions, Name, Negotiated, Remote};
use crate::dial::{DialError, Host, OwnedHost, Proxy, reach};
use crate::endpoint::wipe;
use crate::log::Limiter;
use crate::net::{self, Kind, Network, Transport, find_network};
use crate::pki::text::{Count, Text};

/// How long the peer may take to accept close_notify.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of received text in one line of the log, escapes included.
const LINE: usize = 200;

/// Longest name of an interface.
const INTERFACE: usize = 16;

/// The client: requests of sessions, and the task that carries them out.
pub struct Client {
    kind: Kind,
    /// Through which connections go that are not to go straight.
    proxy: Cell<Option<&'static Proxy>>,
    /// Held while one asks; answers are then for that one.
    turn: Mutex<NoopRawMutex, ()>,
    request: Signal<NoopRawMutex, (u32, ClientRequest)>,
    answer: Signal<NoopRawMutex, (u32, Reply)>,
    renewed: Signal<NoopRawMutex, ()>,
    /// The number of the last request: the answer to one whose asker has gone must not be taken for another's.
    number: Cell<u32>,
    /// The peer of the present connection, or else the last.
    remote: RefCell<Option<Remote>>,
    /// Its address, if it was dialled by its name.
    address: Cell<Option<IpAddr>>,
    state: Cell<ClientState>,
    sent: Cell<u64>,
    received: Cell<u64>,
    /// Lines of received text.
    lines: Limiter,
    /// Bytes received and not logged, since the last that were.
    withheld: Cell<u64>,
}

type Reply = Result<Option<Negotiated>, ClientError>;

enum ClientRequest {
    Connect {
        remote: Remote,
        name: Option<Name>,
        netif: Option<heapless::String<INTERFACE>>,
    },
    Send(heapless::Vec<u8, MESSAGE>),
    Close,
}

#[derive(Debug, Clone, Copy)]
enum ClientState {
    /// There was no request yet, or the connection was closed.
    Idle,
    /// A connection is being opened.
    Opening,
    /// A connection is open.
    Open {
        since: Instant,
        session: Option<Negotiated>,
    },
    /// A connection was open, and ended without our doing.
    Ended { at: Instant, why: Ended },
}

impl Client {
    /// A client without connection, for plain TCP or for TLS.
    pub const fn new(kind: Kind) -> Self {
        Client {
            kind,
            proxy: Cell::new(None),
            turn: Mutex::new(()),
            request: Signal::new(),
            answer: Signal::new(),
            renewed: Signal::new(),
            number: Cell::new(0),
            remote: RefCell::new(None),
            address: Cell::new(None),
            state: Cell::new(ClientState::Idle),
            sent: Cell::new(0),
            received: Cell::new(0),
            lines: Limiter::new(100, Duration::from_millis(100)),
            withheld: Cell::new(0),
        }
    }

    /// Has connections go through `proxy` from now on.
    pub fn set_proxy(&self, proxy: &'static Proxy) {
        self.proxy.set(Some(proxy));
    }

    /// Whether a connection is open.
    pub fn is_connected(&self) -> bool {
        matches!(self.state.get(), ClientState::Open { .. })
    }

    /// Bytes sent and received on the present connection, or else the last.
    pub fn flow(&self) -> (u64, u64) {
        (self.sent.get(), self.received.get())
    }

    /// Connects; gives what was agreed upon, if that is anything. A connection that is open is left alone: closing it
    /// is a request of its own. Cancel-safe, though the connection may come about yet.
    pub async fn connect(&self, target: ConnectOptions<'_>) -> Reply {
        let netif = match target.netif.map(heapless::String::try_from) {
            None => None,
            Some(Ok(name)) => Some(name),
            Some(Err(_)) => return Err(DialError::NoSuchInterface.into()),
        };
        let name = match target.name.map(heapless::String::try_from) {
            None => None,
            Some(Ok(name)) => Some(name),
            Some(Err(_)) => return Err(ClientError::NotAName),
        };
        let through = !target.direct && self.proxy.get().is_some();
        let remote = Remote {
            host: OwnedHost::new(target.host).ok_or(ClientError::NotAName)?,
            port: target.port,
            through,
        };
        self.ask(ClientRequest::Connect { remote, name, netif }).await
    }

    /// Sends `text`, at most [`MESSAGE`] bytes. Cancel-safe, though it may be sent yet.
    pub async fn send(&self, text: &[u8]) -> Result<(), ClientError> {
        let text = heapless::Vec::from_slice(text).map_err(|_| ClientError::TooLong)?;
        self.ask(ClientRequest::Send(text)).await.map(drop)
    }

    /// Closes the connection, or cancels opening it. Cancel-safe, though it may be closed yet.
    pub async fn close(&self) -> Result<(), ClientError> {
        self.ask(ClientRequest::Close).await.map(drop)
    }

    /// Writes the connection's part of `status`, as whole lines of together at most 1,024 bytes; nothing
    /// if there never was one.
    pub fn write_status(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let (kind, (sent, received)) = (self.kind, self.flow());
        let remote = self.remote.borrow();
        let Some(remote) = remote.as_ref() else { return Ok(()) };
        match self.state.get() {
            ClientState::Idle => Ok(()),
            ClientState::Opening => writeln!(out, "{kind} echo client connecting to {remote}"),
            ClientState::Open { since, session } => {
                let seconds = since.elapsed().as_secs();
                writeln!(
                    out,
                    "{kind} echo client connected to {remote}{}, in {received} out {sent}, {seconds} s",
                    self.at()
                )?;
                let Some(session) = session else { return Ok(()) };
                write!(out, "  {session}")?;
                match session.description.key {
                    Some(key) => writeln!(out, ", {key:.16}"),
                    None => writeln!(out),
                }
            }
            ClientState::Ended { at, why } => {
                let seconds = at.elapsed().as_secs();
                writeln!(
                    out,
                    "{kind} echo client not connected: {remote}, in {received} out {sent}, {seconds} s ago: {why}"
                )
            }
        }
    }

    /// Has [`Client::run`] return as soon as no connection is open, to come back with another protocol.
    pub fn renew(&self) {
        self.renewed.signal(());
    }

    /// Does what is asked, and logs what comes back, until [`Client::renew`]. One task runs this again and again.
    /// `random` returns unpredictable numbers, with which names are looked up.
    pub async fn run<N: Network, R: CryptoRng>(
        &self,
        networks: &[N],
        mut protocol: Protocol<'_, R>,
        random: fn() -> u64,
    ) where
        N::Stream: Transport<Error = net::Error>,
    {
        self.renewed.reset();
        let mut next: Option<(u32, ClientRequest)> = None;
        loop {
            if let Some(request) = next.take()
                && !self.request.signaled()
            {
                self.request.signal(request);
            }
            // In this order: what is asked for after the renewal is done with the other protocol.
            let (number, request) = match select(self.renewed.wait(), self.request.wait()).await {
                Either::First(()) => return,
                Either::Second(request) => request,
            };
            match request {
                ClientRequest::Connect { remote, name, netif } => {
                    let route = Route {
                        networks,
                        proxy: self.proxy.get().filter(|_| remote.through),
                        remote: &remote,
                        name: name.as_ref(),
                        netif: netif.as_deref(),
                        address: &self.address,
                        random,
                    };
                    next = self.run_connection(number, route, &mut protocol).await;
                    protocol.wipe();
                }
                ClientRequest::Send(_) | ClientRequest::Close => self.answer.signal((number, Err(self.absence()))),
            }
        }
    }

    async fn ask(&self, request: ClientRequest) -> Reply {
        let _turn = self.turn.lock().await;
        let number = self.number.get().wrapping_add(1);
        self.number.set(number);
        self.answer.reset();
        self.request.signal((number, request));
        loop {
            let (answered, answer) = self.answer.wait().await;
            if answered == number {
                return answer;
            }
        }
    }

    /// Why there is no connection.
    fn absence(&self) -> ClientError {
        match self.state.get() {
            ClientState::Ended { why, .. } => ClientError::Ended(why),
            _ => ClientError::NotConnected,
        }
    }

    /// One connection, from opening it to its end. Returns the request that is still to be handled.
    async fn run_connection<N: Network, R: CryptoRng>(
        &self,
        number: u32,
        route: Route<'_, N>,
        protocol: &mut Protocol<'_, R>,
    ) -> Option<(u32, ClientRequest)>
    where
        N::Stream: Transport<Error = net::Error>,
    {
        let Route { networks, remote, .. } = route;
        self.remote.replace(Some(remote.clone()));
        self.address.set(None);
        self.state.set(ClientState::Opening);
        let mut held = None;
        let opened = {
            let mut opening = pin!(open(route, protocol));
            loop {
                // There is another request only if the session of this one has ended.
                match select(opening.as_mut(), self.request.wait()).await {
                    Either::First(opened) => break opened,
                    Either::Second(later @ (_, ClientRequest::Send(_))) => held = Some(later),
                    Either::Second((number, later)) => {
                        ::log::info!("{} client: connecting to {remote} cancelled", self.kind);
                        self.state.set(ClientState::Idle);
                        if matches!(later, ClientRequest::Close) {
                            self.answer.signal((number, Ok(None)));
                            return None;
                        }
                        return Some((number, later));
                    }
                }
            }
        };
        let mut channel = match opened {
            Ok((channel, session)) => {
                self.opened(remote, session);
                self.answer.signal((number, Ok(session)));
                channel
            }
            Err(error) => {
                ::log::warn!("{} client: {remote}: {error}", self.kind);
                self.state.set(ClientState::Idle);
                self.answer.signal((number, Err(error)));
                return held;
            }
        };
        let mut buffer = Zeroizing::new([0; 512]);
        let why = loop {
            let (number, request) = match held.take() {
                Some(request) => request,
                None => match select(self.request.wait(), channel.read(&mut *buffer)).await {
                    Either::First(request) => request,
                    Either::Second(Ok(count @ 1..)) => {
                        self.take(buffer.get(..count).unwrap_or_default());
                        continue;
                    }
                    Either::Second(end) => break end.err().unwrap_or(Ended::Closed),
                },
            };
            // Data received before the request is handled first: it may be the end.
            match poll_once(channel.read(&mut *buffer)) {
                Poll::Pending => {}
                Poll::Ready(Ok(count @ 1..)) => self.take(buffer.get(..count).unwrap_or_default()),
                Poll::Ready(end) => {
                    held = Some((number, request));
                    break end.err().unwrap_or(Ended::Closed);
                }
            }
            match request {
                ClientRequest::Send(mut text) => {
                    let sent = with_timeout(SEND_TIMEOUT, channel.send(&text)).await;
                    let length = text.len();
                    wipe(&mut text);
                    if let Err(why) = sent.unwrap_or(Err(Ended::Stalled)) {
                        self.answer.signal((number, Err(ClientError::Ended(why))));
                        break why;
                    }
                    add(&self.sent, length);
                    self.answer.signal((number, Ok(None)));
                }
                ClientRequest::Connect { netif, .. } if find_network(networks, netif.as_deref()).is_none() => {
                    self.answer.signal((number, Err(DialError::NoSuchInterface.into())));
                }
                ClientRequest::Connect { .. } => {
                    self.answer
                        .signal((number, Err(ClientError::Connected(Text::of(remote)))));
                }
                ClientRequest::Close => {
                    self.closed(remote, "closed");
                    channel.close(CLOSE_TIMEOUT).await;
                    self.answer.signal((number, Ok(None)));
                    return None;
                }
            }
        };
        self.ended(remote, why);
        channel.close(CLOSE_TIMEOUT).await;
        held
    }

    fn opened(&self, remote: &Remote, session: Option<Negotiated>) {
        let since = Instant::now();
        self.state.set(ClientState::Open { since, session });
        self.sent.set(0);
        self.received.set(0);
        self.withheld.set(0);
        match session {
            Some(session) => ::log::info!("{} client: connected to {remote}{}: {session}", self.kind, self.at()),
            None => ::log::info!("{} client: connected to {remote}{}", self.kind, self.at()),
        }
    }

    /// The address of a peer that was dialled by its name: ` (2001:db8::1)`.
    fn at(&self) -> Text<48> {
        match self.address.get() {
            Some(address) => Text::of(format_args!(" ({address})")),
            None => Text::new(""),
        }
    }

    fn closed(&self, remote: &Remote, how: &str) {
        let (sent, received) = self.flow();
        self.state.set(ClientState::Idle);
        ::log::info!("{} client: {remote}: {how}, in {received} out {sent}", self.kind);
    }

    fn ended(&self, remote: &Remote, why: Ended) {
        let (sent, received) = self.flow();
        let at = Instant::now();
        self.state.set(ClientState::Ended { at, why });
        let level = match why {
            Ended::Closed => ::log::Level::Info,
            _ => ::log::Level::Warn,
        };
        ::log::log!(level, "{} client: {remote}: {why}, in {received} out {sent}", self.kind);
    }

    /// Counts and logs what was received, as BitVisor does: the word, then the text, a line at a time.
    fn take(&self, bytes: &[u8]) {
        add(&self.received, bytes.len());
        if !self.may_log() {
            add(&self.withheld, bytes.len());
            return;
        }
        match self.withheld.take() {
            0 => {}
            count => ::log::info!("({} received and not shown)", Count(count, "more byte")),
        }
        ::log::info!("Received.");
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            self.log_line(line);
        }
    }

    fn log_line(&self, line: &[u8]) {
        let mut text = heapless::String::<LINE>::new();
        let (mut size, mut shown) = (0, 0);
        for chunk in line.utf8_chunks() {
            let replacement = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
            for c in chunk.valid().chars().chain(replacement.chars()) {
                // The log escapes what could steer a terminal, and cuts what is too long.
                let takes = if c.is_ascii_graphic() || c == ' ' {
                    1
                } else {
                    c.len_utf8().max(c.escape_default().count())
                };
                if size + takes > LINE {
                    if !self.may_log() {
                        add(&self.withheld, line.len().saturating_sub(shown));
                        return;
                    }
                    ::log::info!("{text}");
                    shown += text.len();
                    text.clear();
                    size = 0;
                }
                // No character is longer than it was counted.
                let _ = text.push(c);
                size += takes;
            }
        }
        if self.may_log() {
            ::log::info!("{text}");
        } else {
            add(&self.withheld, line.len().saturating_sub(shown));
        }
    }

    /// Whether one more line of received text may go to the log.
    fn may_log(&self) -> bool {
        self.lines.pass(Instant::now()).is_some()
    }
}

/// Where a connection goes, and from where.
struct Route<'a, N> {
    networks: &'a [N],
    proxy: Option<&'static Proxy>,
    remote: &'a Remote,
    name: Option<&'a Name>,
    netif: Option<&'a str>,
    /// Where the address is noted that was reached by a name.
    address: &'a Cell<Option<IpAddr>>,
    random: fn() -> u64,
}

async fn open<'a, N: Network, R: CryptoRng>(
    route: Route<'a, N>,
    protocol: &'a mut Protocol<'_, R>,
) -> Result<(Channel<'a, N::Stream>, Option<Negotiated>), ClientError>
where
    N::Stream: Transport<Error = net::Error>,
{
    // A reason that no try can change.
    if let Some(why) = protocol.obstacle() {
        return Err(ClientError::NoTls(why));
    }
    let network = find_network(route.networks, route.netif).ok_or(DialError::NoSuchInterface)?;
    let (host, port) = (route.remote.host.get(), route.remote.port);
    let stream = reach(network, route.proxy, host, port, route.random).await?;
    if let (Host::Name(_), None) = (host, route.proxy) {
        route.address.set(Some(stream.peer().ip()));
    }
    stream.mark_established();
    protocol.open(stream, route.remote, route.name).await
}

fn add(counter: &Cell<u64>, count: usize) {
    counter.set(counter.get().saturating_add(u64::try_from(count).unwrap_or(u64::MAX)));
}
