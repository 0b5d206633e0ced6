//! The table of live connections.

use core::cell::Cell;
use core::fmt;
use core::net::{Ipv4Addr, SocketAddrV4};
use core::ops::Deref;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::Instant;

use super::Kind;
use super::pump::Flow;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody is here.
    Vacant,
    /// Before the end of the TLS handshake, or before the first byte. May be evicted.
    Opening,
    /// It counts.
    Established,
    /// All is said; last packets are awaited. May be evicted.
    Closing,
    /// Evicted, and about to notice.
    Leaving,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            State::Vacant => "vacant",
            State::Opening => "opening",
            State::Established => "established",
            State::Closing => "closing",
            State::Leaving => "leaving",
        })
    }
}

/// What was negotiated, by its registered names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Description {
    /// Such as `TLSv1.3`.
    pub version: &'static str,
    /// Such as `TLS_AES_128_GCM_SHA256`.
    pub suite: &'static str,
    /// Such as `X25519`.
    pub group: &'static str,
}

/// A place for one connection. It belongs to one worker, and everybody may look.
pub struct Entry {
    state: Cell<State>,
    kind: Cell<Kind>,
    peer: Cell<SocketAddrV4>,
    port: Cell<u16>,
    since: Cell<Instant>,
    description: Cell<Description>,
    flow: Flow,
    evict: Signal<NoopRawMutex, ()>,
}

impl Entry {
    /// A vacant place.
    pub const fn new() -> Self {
        Entry {
            state: Cell::new(State::Vacant),
            kind: Cell::new(Kind::Plain),
            peer: Cell::new(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
            port: Cell::new(0),
            since: Cell::new(Instant::MIN),
            description: Cell::new(Description {
                version: "",
                suite: "",
                group: "",
            }),
            flow: Flow::new(),
            evict: Signal::new(),
        }
    }

    /// Takes the place for a connection, until the guard is dropped.
    pub fn occupy(&self, kind: Kind, port: u16, peer: SocketAddrV4) -> Guard<'_> {
        self.state.set(State::Opening);
        self.kind.set(kind);
        self.port.set(port);
        self.peer.set(peer);
        self.since.set(Instant::now());
        self.description.set(Description::default());
        self.flow.reset();
        self.evict.reset();
        Guard(self)
    }

    /// How far the connection has come.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// The other end.
    pub fn peer(&self) -> SocketAddrV4 {
        self.peer.get()
    }

    /// When the connection was taken up.
    pub fn since(&self) -> Instant {
        self.since.get()
    }

    /// Bytes received and sent back.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// What was negotiated; empty before that, and on plain connections.
    pub fn description(&self) -> Description {
        self.description.get()
    }

    /// Since when the connection is there, if it may be evicted.
    pub fn evictable(&self) -> Option<Instant> {
        matches!(self.state.get(), State::Opening | State::Closing).then(|| self.since.get())
    }

    /// Tells the connection to make room.
    pub fn evict(&self) {
        self.state.set(State::Leaving);
        self.evict.signal(());
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
        let Description { version, suite, group } = self.description.get();
        write!(
            f,
            "  {peer:<21} :{:<5} {:<5} {:<11}",
            self.port.get(),
            self.kind.get(),
            self.state.get()
        )?;
        write!(f, " in {} out {}", self.flow.received(), self.flow.echoed())?;
        write!(f, " {} s", self.since.get().elapsed().as_secs())?;
        [version, suite, group]
            .iter()
            .filter(|name| !name.is_empty())
            .try_for_each(|name| write!(f, " {name}"))
    }
}

/// A place taken; gives it back when dropped.
pub struct Guard<'a>(&'a Entry);

impl Guard<'_> {
    /// Says how far the connection has come. An evicted one stays that.
    pub fn advance(&self, state: State) {
        if self.0.state.get() != State::Leaving {
            self.0.state.set(state);
        }
    }

    /// Says what was negotiated.
    pub fn describe(&self, description: Description) {
        self.0.description.set(description);
    }

    /// Waits until the connection is told to make room.
    pub async fn evicted(&self) {
        self.0.evict.wait().await;
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
        self.0.state.set(State::Vacant);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;

    const PEER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 43210);

    #[test]
    fn a_line_tells_all() {
        let entry = Entry::new();
        let guard = entry.occupy(Kind::Tls, 10007, PEER);
        guard.advance(State::Established);
        guard.describe(Description {
            version: "TLSv1.3",
            suite: "TLS_AES_128_GCM_SHA256",
            group: "X25519",
        });
        let line = entry.to_string();
        assert!(
            line.starts_with("  10.0.2.2:43210        :10007 tls   established in 0 out 0 "),
            "{line}"
        );
        assert!(line.ends_with(" s TLSv1.3 TLS_AES_128_GCM_SHA256 X25519"), "{line}");
    }

    #[test]
    fn a_place_is_given_back_and_begins_anew() {
        let entry = Entry::new();
        let guard = entry.occupy(Kind::Tls, 1, PEER);
        assert!(entry.evictable().is_some());
        entry.evict();
        assert_eq!((entry.evictable(), entry.state()), (None, State::Leaving));
        guard.advance(State::Established);
        assert_eq!(entry.state(), State::Leaving);
        drop(guard);
        assert_eq!(entry.state(), State::Vacant);
        let guard = entry.occupy(Kind::Plain, 2, PEER);
        assert!(
            !guard.0.evict.signaled(),
            "the next connection must not pay for the last one"
        );
        guard.advance(State::Established);
        assert_eq!(entry.evictable(), None);
    }
}
