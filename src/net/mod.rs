//! TCP/IP on smoltcp, as async streams.

use core::net::{Ipv4Addr, SocketAddrV4};

/// A handle to one network interface (`vm0`, `vm1`, ...) and its stack.
#[derive(Clone, Copy)]
pub struct Netif {}

impl Netif {
    /// The interface's name, `vm0` for the first card.
    pub fn name(&self) -> &'static str {
        todo!()
    }
    /// Starts listening on `port`. Every connection slot of the interface can serve every listening port.
    pub fn listen(&self, port: u16) -> Result<TcpListener, ListenError> {
        let _ = port;
        todo!()
    }
    /// Opens a connection; waits at most `timeout` for the handshake.
    pub async fn connect(
        &self,
        remote: SocketAddrV4,
        timeout: embassy_time::Duration,
    ) -> Result<TcpStream, ConnectError> {
        let _ = (remote, timeout);
        todo!()
    }
    /// The present address, if there is one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        todo!()
    }
}

/// Why a port cannot be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenError {
    /// Somebody listens there already.
    InUse,
    /// Port 0.
    InvalidPort,
    /// The table of listening ports is full.
    TooMany,
}

/// Why a connection could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer answered with RST.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The interface has no address yet, or no route to there.
    Unreachable,
    /// All connection slots are taken.
    NoSlot,
    /// The link is down.
    NoLink,
}

/// What went wrong on an open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The peer sent RST.
    Reset,
    /// The peer vanished: keepalives or retransmissions were not answered.
    TimedOut,
    /// We have closed the write side, or aborted.
    Closed,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Error::Reset => "connection reset by peer",
            Error::TimedOut => "connection timed out",
            Error::Closed => "connection closed",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        match self {
            Error::Reset => embedded_io_async::ErrorKind::ConnectionReset,
            Error::TimedOut => embedded_io_async::ErrorKind::TimedOut,
            Error::Closed => embedded_io_async::ErrorKind::NotConnected,
        }
    }
}

/// A listening port. Dropping it closes the port; connections already accepted go on.
pub struct TcpListener {}

impl TcpListener {
    /// The next connection (in the order in which their handshakes finished). Cancel-safe. Several tasks may wait.
    pub async fn accept(&self) -> TcpStream {
        todo!()
    }
    /// The port.
    pub fn port(&self) -> u16 {
        todo!()
    }
}

/// An open connection. Reads and writes are cancel-safe. Dropping it sends FIN if the write side was shut, else RST.
pub struct TcpStream {}

impl TcpStream {
    /// The other end.
    pub fn peer(&self) -> SocketAddrV4 {
        todo!()
    }
    /// Our end.
    pub fn local(&self) -> SocketAddrV4 {
        todo!()
    }
    /// Marks the connection as one that counts: until then it is the first to be evicted when slots run out.
    pub fn mark_established(&self) {
        todo!()
    }
    /// Reading and writing halves, usable at the same time.
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        todo!()
    }
    /// Sends FIN after what is queued. Reading goes on.
    pub fn shutdown(&mut self) {
        todo!()
    }
    /// Waits until everything written, FIN included, is acknowledged, or the connection is gone.
    pub async fn drained(&mut self) {
        todo!()
    }
    /// Sends RST and gives the slot back.
    pub fn abort(self) {
        todo!()
    }
}

/// The reading half.
pub struct ReadHalf<'a>(&'a TcpStream);
/// The writing half.
pub struct WriteHalf<'a>(&'a TcpStream);

macro_rules! todo_io {
    ($($t:ty),*) => {$(
        impl embedded_io_async::ErrorType for $t { type Error = Error; }
    )*};
}
todo_io!(TcpStream, ReadHalf<'_>, WriteHalf<'_>);
impl embedded_io_async::Read for TcpStream {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, Error> {
        todo!()
    }
}
impl embedded_io_async::Write for TcpStream {
    async fn write(&mut self, _: &[u8]) -> Result<usize, Error> {
        todo!()
    }
    async fn flush(&mut self) -> Result<(), Error> {
        todo!()
    }
}
impl embedded_io_async::Read for ReadHalf<'_> {
    async fn read(&mut self, _: &mut [u8]) -> Result<usize, Error> {
        todo!()
    }
}
impl embedded_io_async::Write for WriteHalf<'_> {
    async fn write(&mut self, _: &[u8]) -> Result<usize, Error> {
        todo!()
    }
    async fn flush(&mut self) -> Result<(), Error> {
        todo!()
    }
}
