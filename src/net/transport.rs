//! The traits through which services use a network.
//!
//! The services are generic over them, so that they run on the host over in-memory pipes and in the image over the
//! streams of [`crate::net`]. One executor runs all tasks: shared state is in `Cell`s, never borrowed across an await.
#![expect(
    async_fn_in_trait,
    reason = "one executor on one core: no future is sent to another thread"
)]

use core::fmt;
use core::net::SocketAddr;

use embassy_time::Duration;
use embedded_io_async::{Read, Write};

use crate::net;
use crate::net::dns::{Addresses, Family};

/// The kind of a service, and of its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// TLS over TCP.
    Tls,
    /// TCP alone.
    Plain,
    /// HTTP over TLS: no echo, but the page that shows the connection which delivers it.
    Https,
}

impl Kind {
    /// The interface that serves it, for messages.
    pub const fn server(self) -> &'static str {
        match self {
            Kind::Tls => "tls echo server",
            Kind::Plain => "plain echo server",
            Kind::Https => "https server",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Tls => "tls",
            Kind::Plain => "plain",
            Kind::Https => "https",
        })
    }
}

/// A TCP connection, as the services use it. Reads and writes are cancel-safe; a read of 0 bytes is the peer's FIN.
///
/// Dropping it sends RST, unless the write side was shut: then what was written and FIN are delivered without an owner,
/// for a bounded time, and what the peer still sends is thrown away, so that no reset overtakes what was written last.
pub trait Transport: Read + Write {
    /// The reading half.
    type Reader<'a>: Read<Error = Self::Error>
    where
        Self: 'a;
    /// The writing half.
    type Writer<'a>: Write<Error = Self::Error>
    where
        Self: 'a;

    /// The other end.
    fn peer(&self) -> SocketAddr;
    /// Our end.
    fn local(&self) -> SocketAddr;
    /// Protects the connection from eviction by the network when its slots run out.
    fn mark_established(&self);
    /// Both halves, usable at the same time.
    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>);
    /// Sends FIN after what is queued.
    fn shutdown(&mut self);
    /// Waits until all is acknowledged, FIN included, or the connection is gone.
    async fn drained(&mut self);
}

/// A listening port; dropping it closes the port.
pub trait Listener {
    /// The type of its connections.
    type Stream: Transport;
    /// The next connection. Cancel-safe.
    async fn accept(&self) -> Self::Stream;
    /// How many connections wait to be accepted.
    fn waiting(&self) -> usize;
}

/// A network interface, as the services use it.
pub trait Network {
    /// Its listening ports.
    type Listener: Listener<Stream = Self::Stream>;
    /// Its connections.
    type Stream: Transport;

    /// The interface's name, such as `vm0`.
    fn name(&self) -> &'static str;
    /// Starts listening on `port`.
    fn listen(&self, port: u16) -> Result<Self::Listener, net::ListenError>;
    /// Opens a connection; waits at most `timeout`.
    async fn connect(&self, remote: SocketAddr, timeout: Duration) -> Result<Self::Stream, net::ConnectError>;
    /// The addresses of a host in one family, at least one; `nonce` is to be different each time.
    async fn resolve(&self, name: &str, family: Family, nonce: u64) -> Result<Addresses, net::ResolveError>;
    /// Whether the interface has an address from which it can reach hosts of the family beyond its link.
    fn has_address(&self, family: Family) -> bool;
}

/// Finds an interface by its name, or the first one where none is asked for.
pub fn find_network<'a, N: Network>(networks: &'a [N], name: Option<&str>) -> Option<&'a N> {
    match name {
        None => networks.first(),
        Some(name) => networks.iter().find(|network| network.name() == name),
    }
}

impl Network for net::Netif {
    type Listener = net::TcpListener;
    type Stream = net::TcpStream;

    fn name(&self) -> &'static str {
        self.name()
    }
    fn listen(&self, port: u16) -> Result<net::TcpListener, net::ListenError> {
        self.listen(port)
    }
    async fn connect(&self, remote: SocketAddr, timeout: Duration) -> Result<net::TcpStream, net::ConnectError> {
        self.connect(remote, timeout).await
    }
    async fn resolve(&self, name: &str, family: Family, nonce: u64) -> Result<Addresses, net::ResolveError> {
        self.resolve(name, family, nonce).await
    }
    fn has_address(&self, family: Family) -> bool {
        self.has_address(family)
    }
}

impl Listener for net::TcpListener {
    type Stream = net::TcpStream;

    async fn accept(&self) -> net::TcpStream {
        self.accept().await
    }
    fn waiting(&self) -> usize {
        self.waiting()
    }
}

impl Transport for net::TcpStream {
    type Reader<'a> = net::ReadHalf<'a>;
    type Writer<'a> = net::WriteHalf<'a>;

    fn peer(&self) -> SocketAddr {
        self.peer()
    }
    fn local(&self) -> SocketAddr {
        self.local()
    }
    fn mark_established(&self) {
        self.mark_established();
    }
    fn split(&mut self) -> (net::ReadHalf<'_>, net::WriteHalf<'_>) {
        self.split()
    }
    fn shutdown(&mut self) {
        self.shutdown();
    }
    async fn drained(&mut self) {
        self.drained().await;
    }
}

impl<S: Transport> Transport for &mut S {
    type Reader<'a>
        = S::Reader<'a>
    where
        Self: 'a;
    type Writer<'a>
        = S::Writer<'a>
    where
        Self: 'a;

    fn peer(&self) -> SocketAddr {
        (**self).peer()
    }
    fn local(&self) -> SocketAddr {
        (**self).local()
    }
    fn mark_established(&self) {
        (**self).mark_established();
    }
    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>) {
        (**self).split()
    }
    fn shutdown(&mut self) {
        (**self).shutdown();
    }
    async fn drained(&mut self) {
        (**self).drained().await;
    }
}
