//! The table of live connections.

use core::cell::Cell;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ops::Deref;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant};

use crate::endpoint::Description;
use crate::net::{Flow, Kind};

/// A silent connection is not evicted for so long: time for a first packet to follow the handshake of TCP.
pub const SILENT: Duration = Duration::from_millis(20);

/// A TLS handshake is not evicted for so long after the last bytes of the peer: a round trip, and the peer's own work.
pub const QUIET: Duration = Duration::from_millis(300);

/// From this age on a TLS handshake may be evicted, whatever trickles in.
pub const HANDSHAKE: Duration = Duration::from_secs(2);

/// An established connection that has moved no byte for so long may be evicted if all workers are busy: a few round
/// trips. With n workers, n / `IDLE` newcomers a second are served.
pub const IDLE: Duration = Duration::from_millis(300);

/// Why a connection is to be evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// It is not established yet, or is idle; it stays if that has changed meanwhile.
    Idle,
    /// The peer's address has more connections than the newcomer's.
    Share,
}

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionState {
    /// There is no connection.
    Vacant,
    /// Everything was sent but the end.
    Closing,
    /// Nothing was received yet.
    Silent,
    /// In the TLS handshake.
    Handshake,
    /// The handshake is done; of a plain connection, bytes have come.
    Established,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ConnectionState::Vacant => "vacant",
            ConnectionState::Closing => "closing",
            ConnectionState::Silent => "silent",
            ConnectionState::Handshake => "handshake",
            ConnectionState::Established => "established",
        })
    }
}

/// A place for one connection. One worker changes it, all tasks may read it.
pub struct Entry {
    state: Cell<ConnectionState>,
    kind: Cell<Kind>,
    peer: Cell<SocketAddr>,
    port: Cell<u16>,
    since: Cell<Instant>,
    /// When bytes last came, in the handshake; [`Instant::MIN`] before the first.
    last_read: Cell<Instant>,
    description: Cell<Description>,
    flow: Flow,
    /// Opened from here: connections to the machine do not evict it.
    dialled: Cell<bool>,
    evict: Signal<NoopRawMutex, Eviction>,
}

impl Entry {
    /// A vacant place.
    pub const fn new() -> Self {
        Entry {
            state: Cell::new(ConnectionState::Vacant),
            kind: Cell::new(Kind::Plain),
            peer: Cell::new(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0)),
            port: Cell::new(0),
            since: Cell::new(Instant::MIN),
            last_read: Cell::new(Instant::MIN),
            description: Cell::new(Description {
                version: "",
                suite: "",
                group: "",
                resumed: false,
                subject: None,
                key: None,
            }),
            flow: Flow::new(),
            dialled: Cell::new(false),
            evict: Signal::new(),
        }
    }

    /// Takes the place for a connection, until the guard is dropped.
    pub fn occupy(&self, kind: Kind, port: u16, peer: SocketAddr) -> Guard<'_> {
        self.reserve(kind, port, peer);
        Guard(self)
    }

    /// Counts the connection from now on: its worker takes the place soon.
    pub(super) fn reserve(&self, kind: Kind, port: u16, peer: SocketAddr) {
        self.dialled.set(false);
        self.state.set(ConnectionState::Silent);
        self.kind.set(kind);
        self.port.set(port);
        self.peer.set(peer);
        self.since.set(Instant::now());
        self.last_read.set(Instant::MIN);
        self.description.set(Description::default());
        self.flow.reset();
        self.evict.reset();
    }

    /// How far the connection has come.
    pub fn state(&self) -> ConnectionState {
        match self.state.get() {
            ConnectionState::Silent if self.last_read.get() > Instant::MIN => ConnectionState::Handshake,
            state => state,
        }
    }

    /// The kind of the port.
    pub fn kind(&self) -> Kind {
        self.kind.get()
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddr {
        self.peer.get()
    }

    /// When the connection was taken up.
    pub fn since(&self) -> Instant {
        self.since.get()
    }

    /// Whether the connection was opened from here.
    pub fn is_dialled(&self) -> bool {
        self.dialled.get()
    }

    /// Bytes received and sent back.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// The negotiated parameters; empty before that, and on plain connections.
    pub fn description(&self) -> Description {
        self.description.get()
    }

    /// When bytes of the peer last came in the handshake, as its [`Endpoint`](crate::endpoint::Endpoint) notes it.
    pub fn last_read(&self) -> &Cell<Instant> {
        &self.last_read
    }

    /// Whether an eviction was requested and is not decided yet.
    pub fn is_asked(&self) -> bool {
        self.evict.signaled()
    }

    /// From when on the connection may be evicted; `None`: never.
    pub fn evictable_from(&self) -> Option<Instant> {
        let since = self.since.get();
        match self.state() {
            ConnectionState::Vacant => None,
            ConnectionState::Established if self.dialled.get() => None,
            ConnectionState::Established => Some(self.flow.moved().saturating_add(IDLE)),
            ConnectionState::Closing => Some(since),
            ConnectionState::Silent => Some(since.saturating_add(SILENT)),
            ConnectionState::Handshake => Some(
                self.last_read
                    .get()
                    .saturating_add(QUIET)
                    .min(since.saturating_add(HANDSHAKE)),
            ),
        }
    }

    /// Requests the eviction. The worker decides: it may just have received something.
    pub fn evict(&self, why: Eviction) {
        self.evict.signal(why);
    }
}

impl Default for Entry {
    fn default() -> Self {
        Self::new()
    }
}

/// One line, for `status`.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut peer = heapless::String::<24>::new();
        // The longest address has 21 characters.
        let _ = fmt::Write::write_fmt(&mut peer, format_args!("{}", self.peer.get()));
        let Description {
            version,
            suite,
            group,
            resumed,
            subject,
            key,
        } = self.description.get();
        write!(
            f,
            "  {peer:<21} :{:<5} {:<5} {:<11}",
            self.port.get(),
            self.kind.get(),
            self.state()
        )?;
        write!(f, " in {} out {}", self.flow.received(), self.flow.echoed())?;
        write!(f, ", {} s", self.since.get().elapsed().as_secs())?;
        [version, suite, group]
            .iter()
            .filter(|name| !name.is_empty())
            .try_for_each(|name| write!(f, " {name}"))?;
        if resumed {
            f.write_str(" resumed")?;
        }
        if let Some(subject) = subject {
            write!(f, " {}", subject.as_str())?;
        }
        key.map_or(Ok(()), |key| write!(f, " {key:.16}"))
    }
}

/// A place taken; gives it back when dropped.
pub struct Guard<'a>(&'a Entry);

impl Guard<'_> {
    /// Sets how far the connection has come.
    pub fn advance(&self, state: ConnectionState) {
        self.0.flow.touch();
        self.0.state.set(state);
    }

    /// Sets what was negotiated.
    pub fn describe(&self, description: Description) {
        self.0.description.set(description);
    }

    /// Notes that the connection was opened from here.
    pub fn mark_dialled(&self) {
        self.0.dialled.set(true);
    }

    /// Waits until an eviction is requested.
    pub async fn asked(&self) -> Eviction {
        self.0.evict.wait().await
    }

    /// Whether the requested eviction still applies.
    pub fn should_evict(&self, why: Eviction) -> bool {
        let from = self.0.evictable_from();
        from.is_some_and(|from| why == Eviction::Share || from <= Instant::now())
    }
}

impl Deref for Guard<'_> {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        self.0
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.state.set(ConnectionState::Vacant);
    }
}

#[cfg(test)]
mod tests;
