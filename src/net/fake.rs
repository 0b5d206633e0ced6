//! In-memory connections, listeners and networks for host tests.

use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;

use core::future::poll_fn;
use core::task::Poll;

use embassy_time::Duration;
use embedded_io_async::{ErrorType, Read, Write};

use super::dns::{Addresses, Family};
use super::transport::{Listener, Network, Transport};
use crate::net::{ConnectError, Error, ListenError, ResolveError};

/// One direction of a connection. No waker is used: the tests' executor polls continuously.
#[derive(Default)]
struct Pipe {
    bytes: RefCell<VecDeque<u8>>,
    capacity: usize,
    fin: Cell<bool>,
    reset: Cell<bool>,
}

impl Pipe {
    fn new(capacity: usize) -> Rc<Self> {
        Rc::new(Pipe {
            capacity,
            ..Pipe::default()
        })
    }

    async fn read(&self, buf: &mut [u8]) -> Result<usize, Error> {
        poll_fn(|_| {
            let mut bytes = self.bytes.borrow_mut();
            if self.reset.get() {
                return Poll::Ready(Err(Error::Reset));
            }
            if buf.is_empty() || (bytes.is_empty() && self.fin.get()) {
                return Poll::Ready(Ok(0));
            }
            if bytes.is_empty() {
                return Poll::Pending;
            }
            let count = buf.len().min(bytes.len());
            for (slot, byte) in buf.iter_mut().zip(bytes.drain(..count)) {
                *slot = byte;
            }
            Poll::Ready(Ok(count))
        })
        .await
    }

    async fn write(&self, buf: &[u8]) -> Result<usize, Error> {
        poll_fn(|_| {
            let mut bytes = self.bytes.borrow_mut();
            if self.reset.get() {
                return Poll::Ready(Err(Error::Reset));
            }
            if self.fin.get() {
                return Poll::Ready(Err(Error::Closed));
            }
            let room = self.capacity - bytes.len();
            if room == 0 && !buf.is_empty() {
                return Poll::Pending;
            }
            let count = buf.len().min(room);
            bytes.extend(&buf[..count]);
            Poll::Ready(Ok(count))
        })
        .await
    }
}

/// One end of an in-memory connection.
pub(crate) struct Stream {
    input: Rc<Pipe>,
    output: Rc<Pipe>,
    peer: SocketAddr,
    local: SocketAddr,
    shut: bool,
    /// Set by `mark_established`, seen from both ends.
    established: Rc<Cell<bool>>,
}

/// The address that tests call from; the port distinguishes them.
pub(crate) const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2));

/// A connection whose buffers hold `capacity` bytes each way: the caller's end and the listener's end.
pub(crate) fn connection(peer_port: u16, local_port: u16, capacity: usize) -> (Stream, Stream) {
    let (there, back) = (Pipe::new(capacity), Pipe::new(capacity));
    let peer = SocketAddr::new(PEER, peer_port);
    let local = SocketAddr::new(Ipv4Addr::new(10, 0, 2, 15).into(), local_port);
    let caller = Stream {
        input: back.clone(),
        output: there.clone(),
        peer: local,
        local: peer,
        shut: false,
        established: Rc::default(),
    };
    let established = caller.established.clone();
    let listener = Stream {
        input: there,
        output: back,
        peer,
        local,
        shut: false,
        established,
    };
    (caller, listener)
}

impl Stream {
    /// All that has arrived, as text; for looking at what the other end has said so far.
    pub(crate) fn arrived(&self) -> String {
        String::from_utf8_lossy(&self.input.bytes.borrow_mut().drain(..).collect::<Vec<_>>()).into_owned()
    }

    /// Puts bytes on their way without waiting.
    pub(crate) fn say(&self, bytes: impl AsRef<[u8]>) {
        self.output.bytes.borrow_mut().extend(bytes.as_ref());
    }

    /// Whether either end has marked the connection as established.
    pub(crate) fn established_there(&self) -> bool {
        self.established.get()
    }

    /// Whether the other end has closed its direction (FIN).
    pub(crate) fn finished(&self) -> bool {
        self.input.fin.get()
    }

    /// Whether the other end has reset the connection.
    pub(crate) fn was_reset(&self) -> bool {
        self.input.reset.get()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.shut {
            self.output.reset.set(true);
            self.input.reset.set(true);
        }
    }
}

impl ErrorType for Stream {
    type Error = Error;
}
impl Read for Stream {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.input.read(buf).await
    }
}
impl Write for Stream {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.output.write(buf).await
    }
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// A half of a [`Stream`].
pub(crate) struct Half(Rc<Pipe>);
impl ErrorType for Half {
    type Error = Error;
}
impl Read for Half {
    async fn read(&mut self, buf: &mut [u8]) -> Result<usize, Error> {
        self.0.read(buf).await
    }
}
impl Write for Half {
    async fn write(&mut self, buf: &[u8]) -> Result<usize, Error> {
        self.0.write(buf).await
    }
    async fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

impl Transport for Stream {
    type Reader<'a> = Half;
    type Writer<'a> = Half;

    fn peer(&self) -> SocketAddr {
        self.peer
    }
    fn local(&self) -> SocketAddr {
        self.local
    }
    fn mark_established(&self) {
        self.established.set(true);
    }
    fn split(&mut self) -> (Half, Half) {
        (Half(self.input.clone()), Half(self.output.clone()))
    }
    fn shutdown(&mut self) {
        self.shut = true;
        self.output.fin.set(true);
    }
    async fn drained(&mut self) {
        poll_fn(
            |_| match self.output.bytes.borrow().is_empty() || self.output.reset.get() {
                true => Poll::Ready(()),
                false => Poll::Pending,
            },
        )
        .await;
    }
}

/// Connections that wait to be accepted.
type Backlog = Rc<RefCell<VecDeque<Stream>>>;

#[derive(Default)]
struct Wire {
    listening: RefCell<Vec<(u16, Backlog)>>,
    outbound: RefCell<VecDeque<Stream>>,
    refuse: Cell<Option<ConnectError>>,
    hang: Cell<bool>,
    next_port: Cell<u16>,
}

/// A network on which tests play the peer.
#[derive(Clone, Default)]
pub(crate) struct FakeNetwork(Rc<Wire>);

/// Its listening port.
pub(crate) struct FakeListener {
    port: u16,
    wire: Rc<Wire>,
    backlog: Backlog,
}

impl FakeNetwork {
    /// Connects to a listening port, as a peer; `None` without a listener there.
    pub(crate) fn dial(&self, port: u16, capacity: usize) -> Option<Stream> {
        self.dial_from(PEER, port, capacity)
    }

    /// The same from another address.
    pub(crate) fn dial_from(&self, address: IpAddr, port: u16, capacity: usize) -> Option<Stream> {
        let listening = self.0.listening.borrow();
        let (_, backlog) = listening.iter().find(|(listening, _)| *listening == port)?;
        self.0.next_port.set(self.0.next_port.get().max(40_000) + 1);
        let (mut caller, mut listener) = connection(self.0.next_port.get(), port, capacity);
        caller.local.set_ip(address);
        listener.peer.set_ip(address);
        backlog.borrow_mut().push_back(listener);
        Some(caller)
    }

    /// The peer's end of the oldest connection that was opened from here.
    pub(crate) fn answered(&self) -> Option<Stream> {
        self.0.outbound.borrow_mut().pop_front()
    }

    /// Whether every host called has answered.
    pub(crate) fn is_quiet(&self) -> bool {
        self.0.outbound.borrow().is_empty()
    }

    /// Makes connecting fail from now on.
    pub(crate) fn refuse(&self, why: ConnectError) {
        self.0.refuse.set(Some(why));
    }

    /// Makes connecting take for ever from now on.
    pub(crate) fn hang(&self) {
        self.0.hang.set(true);
    }

    /// Lets connections come about again.
    pub(crate) fn admit(&self) {
        self.0.refuse.set(None);
    }
}

impl Network for FakeNetwork {
    type Listener = FakeListener;
    type Stream = Stream;

    fn name(&self) -> &'static str {
        "vm0"
    }
    fn listen(&self, port: u16) -> Result<FakeListener, ListenError> {
        let mut listening = self.0.listening.borrow_mut();
        if listening.iter().any(|(taken, _)| *taken == port) {
            return Err(ListenError::InUse);
        }
        let backlog = Backlog::default();
        listening.push((port, Rc::clone(&backlog)));
        Ok(FakeListener {
            port,
            wire: self.0.clone(),
            backlog,
        })
    }
    async fn connect(&self, remote: SocketAddr, _: Duration) -> Result<Stream, ConnectError> {
        if let Some(why) = self.0.refuse.get() {
            return Err(why);
        }
        if self.0.hang.get() {
            core::future::pending::<()>().await;
        }
        let (mut caller, listener) = connection(50_000, remote.port(), 4096);
        caller.peer = remote;
        self.0.outbound.borrow_mut().push_back(listener);
        Ok(caller)
    }
    async fn resolve(&self, name: &str, family: Family, _: u64) -> Result<Addresses, ResolveError> {
        match (name, family) {
            ("home.example", Family::V4) => Ok(Addresses::from_iter([PEER])),
            ("home.example", Family::V6) => Err(ResolveError::NoAddress(family)),
            ("silent.example", _) => Err(ResolveError::NoServer),
            _ => Err(ResolveError::NoSuchName),
        }
    }
    fn has_address(&self, family: Family) -> bool {
        family == Family::V4
    }
}

impl Drop for FakeListener {
    fn drop(&mut self) {
        self.wire.listening.borrow_mut().retain(|(port, _)| *port != self.port);
    }
}

impl Listener for FakeListener {
    type Stream = Stream;
    async fn accept(&self) -> Stream {
        poll_fn(|_| match self.backlog.borrow_mut().pop_front() {
            Some(stream) => Poll::Ready(stream),
            None => Poll::Pending,
        })
        .await
    }
    fn waiting(&self) -> usize {
        self.backlog.borrow().len()
    }
}

/// Polls the futures given, in turn, until the first of them is done; the rest are servers that never are.
pub(crate) async fn beside<T>(
    work: impl Future<Output = T>,
    servers: Vec<core::pin::Pin<Box<dyn Future<Output = ()> + '_>>>,
) -> T {
    let mut work = Box::pin(work);
    let mut servers = servers;
    poll_fn(move |context| {
        for server in &mut servers {
            let _ = server.as_mut().poll(context);
        }
        work.as_mut().poll(context)
    })
    .await
}

/// Lets everything else run for a few rounds.
pub(crate) async fn settle() {
    for _ in 0..20 {
        embassy_futures::yield_now().await;
    }
}
