//! The plain echo client: one connection, driven from the shell, that outlives the session which opened it.

use core::cell::Cell;
use core::fmt;
use core::net::SocketAddrV4;

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::Mutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, with_timeout};
use embedded_io_async::Read as _;

use super::limit::Limiter;
use super::{Network, Transport, find_network};
use crate::net::{self, ConnectError};

/// How long connecting may take, and sending.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes that can be sent at a time.
pub const MESSAGE: usize = 512;

/// Characters of received text in one line of the log.
const LINE: usize = 160;

/// Longest name of an interface.
const NAME: usize = 16;

/// Why the client could not do it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientError {
    /// No connection is open.
    NotConnected,
    /// The peer does not listen there.
    Refused,
    /// No answer came.
    TimedOut,
    /// The interface has no address, or there is no way to the peer.
    Unreachable,
    /// All connections of the interface are in use.
    NoSlot,
    /// The cable is out.
    NoLink,
    /// There is no such interface.
    NoSuchInterface,
    /// The message has more than [`MESSAGE`] bytes.
    TooLong,
    /// The connection failed while sending.
    Failed(net::Error),
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClientError::NotConnected => f.write_str("not connected"),
            ClientError::Refused => f.write_str("connection refused"),
            ClientError::TimedOut => write!(f, "no answer within {} s", PATIENCE.as_secs()),
            ClientError::Unreachable => f.write_str("no address yet, or no route to there"),
            ClientError::NoSlot => f.write_str("all connections of the interface are in use"),
            ClientError::NoLink => f.write_str("the link is down"),
            ClientError::NoSuchInterface => f.write_str("there is no such network interface"),
            ClientError::TooLong => write!(f, "a message has at most {MESSAGE} bytes"),
            ClientError::Failed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for ClientError {}

impl From<ConnectError> for ClientError {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused => ClientError::Refused,
            ConnectError::TimedOut => ClientError::TimedOut,
            ConnectError::Unreachable => ClientError::Unreachable,
            ConnectError::NoSlot => ClientError::NoSlot,
            ConnectError::NoLink => ClientError::NoLink,
        }
    }
}

#[allow(clippy::large_enum_variant)] // there is no heap
enum Request {
    Connect {
        remote: SocketAddrV4,
        netif: Option<heapless::String<NAME>>,
    },
    Send(heapless::Vec<u8, MESSAGE>),
    Close,
}

/// The client: what sessions ask of it, and the task that does it.
pub struct Client {
    /// Held while one asks; answers are then for that one.
    turn: Mutex<NoopRawMutex, ()>,
    request: Signal<NoopRawMutex, (u32, Request)>,
    answer: Signal<NoopRawMutex, (u32, Result<(), ClientError>)>,
    /// The number of the last request: the answer to one whose asker has gone must not be taken for another's.
    number: Cell<u32>,
    peer: Cell<Option<SocketAddrV4>>,
    received: Limiter,
}

impl Client {
    /// A client without connection.
    pub const fn new() -> Self {
        Client {
            turn: Mutex::new(()),
            request: Signal::new(),
            answer: Signal::new(),
            number: Cell::new(0),
            peer: Cell::new(None),
            received: Limiter::new(50, Duration::from_millis(100)),
        }
    }

    /// Whom the client is connected to.
    pub fn peer(&self) -> Option<SocketAddrV4> {
        self.peer.get()
    }

    /// Connects; a connection that is open is closed first. Cancel-safe, though the connection may come about yet.
    pub async fn connect(&self, remote: SocketAddrV4, netif: Option<&str>) -> Result<(), ClientError> {
        let netif = match netif.map(heapless::String::try_from) {
            None => None,
            Some(Ok(name)) => Some(name),
            Some(Err(_)) => return Err(ClientError::NoSuchInterface),
        };
        self.ask(Request::Connect { remote, netif }).await
    }

    /// Sends `text`, at most [`MESSAGE`] bytes.
    pub async fn send(&self, text: &[u8]) -> Result<(), ClientError> {
        let text = heapless::Vec::from_slice(text).map_err(|_| ClientError::TooLong)?;
        self.ask(Request::Send(text)).await
    }

    /// Closes the connection.
    pub async fn close(&self) -> Result<(), ClientError> {
        self.ask(Request::Close).await
    }

    /// Does what is asked, and logs what comes back, for ever. One task runs this.
    pub async fn run<N: Network>(&self, networks: &[N]) -> !
    where
        N::Stream: Transport<Error = net::Error>,
    {
        let mut stream: Option<N::Stream> = None;
        loop {
            let (number, request) = match &mut stream {
                None => self.request.wait().await,
                Some(open) => {
                    let mut buf = [0; 512];
                    match select(self.request.wait(), open.read(&mut buf)).await {
                        Either::First(request) => request,
                        Either::Second(Ok(count @ 1..)) => {
                            self.log_text(buf.get(..count).unwrap_or_default());
                            continue;
                        }
                        Either::Second(end) => {
                            self.log_end(open.peer(), end.err());
                            self.hang_up(&mut stream);
                            continue;
                        }
                    }
                }
            };
            let answer = match request {
                Request::Connect { remote, netif } => {
                    self.hang_up(&mut stream);
                    self.open(networks, remote, netif.as_deref())
                        .await
                        .map(|open| stream = Some(open))
                }
                Request::Send(text) => match &mut stream {
                    None => Err(ClientError::NotConnected),
                    Some(open) => {
                        let sent = send(open, &text).await;
                        if sent.is_err() {
                            self.hang_up(&mut stream);
                        }
                        sent
                    }
                },
                Request::Close if stream.is_none() => Err(ClientError::NotConnected),
                Request::Close => {
                    self.hang_up(&mut stream);
                    Ok(())
                }
            };
            self.answer.signal((number, answer));
        }
    }

    async fn ask(&self, request: Request) -> Result<(), ClientError> {
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

    async fn open<N: Network>(
        &self,
        networks: &[N],
        remote: SocketAddrV4,
        netif: Option<&str>,
    ) -> Result<N::Stream, ClientError> {
        let network = find_network(networks, netif).ok_or(ClientError::NoSuchInterface)?;
        let stream = network.connect(remote, PATIENCE).await?;
        stream.mark_established();
        self.peer.set(Some(remote));
        ::log::info!("connected to {remote}");
        Ok(stream)
    }

    fn hang_up<S: Transport>(&self, stream: &mut Option<S>) {
        if let Some(mut stream) = stream.take() {
            stream.shutdown();
        }
        self.peer.set(None);
    }

    fn log_end(&self, peer: SocketAddrV4, error: Option<net::Error>) {
        match error {
            None => ::log::info!("{peer}: disconnected"),
            Some(error) => ::log::info!("{peer}: {error}"),
        }
    }

    /// Logs received text as BitVisor does: the word, then the text, a line at a time.
    fn log_text(&self, bytes: &[u8]) {
        self.received.log(::log::Level::Info, format_args!("Received."));
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let mut text = heapless::String::<{ 4 * LINE }>::new();
            let mut length = 0;
            for chunk in line.utf8_chunks() {
                let replacement = if chunk.invalid().is_empty() { "" } else { "\u{fffd}" };
                for c in chunk.valid().chars().chain(replacement.chars()) {
                    if length == LINE {
                        self.received.log(::log::Level::Info, format_args!("{text}"));
                        text.clear();
                        length = 0;
                    }
                    // Four bytes a character: it fits.
                    let _ = text.push(if c.is_control() { '?' } else { c });
                    length += 1;
                }
            }
            self.received.log(::log::Level::Info, format_args!("{text}"));
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

async fn send<S: Transport<Error = net::Error>>(stream: &mut S, mut text: &[u8]) -> Result<(), ClientError> {
    let sending = async {
        while !text.is_empty() {
            match stream.write(text).await? {
                0 => return Err(net::Error::Closed),
                count => text = text.get(count..).unwrap_or_default(),
            }
        }
        stream.flush().await
    };
    with_timeout(PATIENCE, sending)
        .await
        .map_err(|_| ClientError::TimedOut)?
        .map_err(ClientError::Failed)
}

#[cfg(test)]
mod tests {
    use super::super::fake::{FakeNetwork, Stream, beside, settle};
    use super::*;
    use crate::testing::block_on;
    use std::boxed::Box;
    use std::net::Ipv4Addr;
    use std::string::String;

    const REMOTE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 7);

    fn with_client<T>(network: &FakeNetwork, work: impl AsyncFnOnce(&Client) -> T) -> T {
        let client = Client::new();
        let networks = [network.clone()];
        block_on(beside(
            work(&client),
            vec![Box::pin(async {
                client.run(&networks).await;
            })],
        ))
    }

    async fn heard(peer: &mut Stream) -> String {
        settle().await;
        peer.arrived()
    }

    #[test]
    fn connects_sends_and_closes() {
        let network = FakeNetwork::default();
        with_client(&network, async |client| {
            assert_eq!(client.send(b"x").await, Err(ClientError::NotConnected));
            assert_eq!(client.connect(REMOTE, None).await, Ok(()));
            assert_eq!(client.peer(), Some(REMOTE));
            let mut peer = network.answered().unwrap();
            assert_eq!(client.send(b"Hello, BitVisor!\n").await, Ok(()));
            assert_eq!(heard(&mut peer).await, "Hello, BitVisor!\n");
            assert_eq!(client.close().await, Ok(()));
            assert!(peer.finished());
            assert_eq!(
                (client.peer(), client.close().await),
                (None, Err(ClientError::NotConnected))
            );
        });
    }

    #[test]
    fn failures_are_named() {
        let network = FakeNetwork::default();
        with_client(&network, async |client| {
            assert_eq!(
                client.connect(REMOTE, Some("vm7")).await,
                Err(ClientError::NoSuchInterface)
            );
            assert_eq!(
                client.connect(REMOTE, Some(&"x".repeat(40))).await,
                Err(ClientError::NoSuchInterface)
            );
            network.refuse(ConnectError::Refused);
            assert_eq!(client.connect(REMOTE, Some("vm0")).await, Err(ClientError::Refused));
            assert_eq!(client.send(&[0; MESSAGE + 1]).await, Err(ClientError::TooLong));
        });
    }

    #[test]
    fn a_second_connection_replaces_the_first_and_the_peers_end_is_noticed() {
        let network = FakeNetwork::default();
        with_client(&network, async |client| {
            client.connect(REMOTE, None).await.unwrap();
            client.connect(REMOTE, None).await.unwrap();
            let (first, mut second) = (network.answered().unwrap(), network.answered().unwrap());
            assert!(first.finished() && !second.finished());
            second.say(b"some\r\ntext \x1b[2J\n\xff");
            second.shutdown();
            settle().await;
            assert_eq!(client.peer(), None);
            assert_eq!(client.send(b"x").await, Err(ClientError::NotConnected));
        });
    }

    #[test]
    fn a_request_whose_asker_has_gone_confuses_nobody() {
        let network = FakeNetwork::default();
        with_client(&network, async |client| {
            client.connect(REMOTE, None).await.unwrap();
            // The client gets the request; the asker does not wait for the answer.
            let _ = select(client.close(), settle()).await;
            let mut asked = Box::pin(client.connect(REMOTE, None));
            let _ = embassy_futures::poll_once(asked.as_mut());
            drop(asked);
            assert_eq!(client.send(b"x").await, Err(ClientError::NotConnected));
        });
    }
}
