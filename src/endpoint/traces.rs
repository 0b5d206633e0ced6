//! The event logs of the most recent connections.

use core::cell::Cell;
use core::fmt;
use core::net::SocketAddr;

use embassy_time::{Duration, Instant};

use crate::narrate::{EventLog, Events, Narrative, Summary};
use crate::pki::text::Count;
use crate::tls::trace::{Event, Trace};

/// The size of an event log in bytes: a usual handshake takes half of it.
pub const LOG_SIZE: usize = 12 * 1024;

/// The place of an event log, and the connection that it is of.
pub struct Slot {
    log: EventLog<'static>,
    about: Cell<Option<About>>,
    /// Set while it is being sent, and has to stay as it is: since when, and when the peer last took a part of it.
    held: Cell<Option<(Instant, Instant)>>,
}

impl Slot {
    /// A slot whose log has this memory, about [`LOG_SIZE`] bytes.
    pub fn new(buffer: &'static mut [u8]) -> Self {
        Self {
            log: EventLog::new(buffer),
            about: Cell::new(None),
            held: Cell::new(None),
        }
    }
}

/// A log that is being sent is given to a new connection when the peer has taken nothing for so long: a few round trips.
const STALLED: Duration = Duration::from_millis(500);

/// The same when sending takes so long, whatever the peer takes.
const SLOW: Duration = Duration::from_secs(5);

/// For so long a connection is likely to be in its handshake or request.
const FRESH: Duration = Duration::from_secs(1);

/// The connection that a log is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct About {
    number: u32,
    peer: SocketAddr,
    /// Our own port, where we are the server.
    port: Option<u16>,
    since: Instant,
}

/// As many logs as there is memory for. Each connection takes the oldest that is not held, whatever is in it; but rather
/// than one that began a moment ago, a held one whose peer takes nothing, or not enough.
pub struct Traces {
    slots: &'static [Slot],
    on: Cell<bool>,
    last: Cell<u32>,
}

impl Traces {
    /// With these logs; narrating is off.
    pub fn new(slots: &'static [Slot]) -> Self {
        Self {
            slots,
            on: Cell::new(false),
            last: Cell::new(0),
        }
    }

    /// Switches the narration of new connections on or off. Open ones are not affected.
    pub fn switch(&self, on: bool) {
        self.on.set(on);
    }

    /// Whether connections that begin now are narrated.
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    /// How many connections are kept.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// A log for a connection with `peer` that begins now; `port` is the local one, if this side is the server. `None`
    /// when narrating is off, there is no memory for it, or all logs are held by peers that read them.
    pub fn begin(&'static self, peer: SocketAddr, port: Option<u16>) -> Option<Narrator> {
        self.begin_at(Instant::now(), peer, port)
    }

    fn begin_at(&'static self, now: Instant, peer: SocketAddr, port: Option<u16>) -> Option<Narrator> {
        if !self.on.get() {
            return None;
        }
        let age = |slot: &&Slot| slot.about.get().map_or(0, |about| about.number);
        let fresh = |slot: &&Slot| {
            let about = slot.about.get();
            about.is_some_and(|about| now.saturating_duration_since(about.since) < FRESH)
        };
        let free = self
            .slots
            .iter()
            .filter(|slot| slot.held.get().is_none())
            .min_by_key(age);
        let slot = free
            .filter(|slot| !fresh(slot))
            .or_else(|| self.slowest(now))
            .or(free)?;
        slot.held.set(None);
        let number = self.last.get().wrapping_add(1).max(1);
        self.last.set(number);
        slot.log.clear();
        slot.about.set(Some(About {
            number,
            peer,
            port,
            since: now,
        }));
        Some(Narrator { slot, number })
    }

    /// The held log whose peer has taken nothing for longest, if that, or the whole of sending, takes too long.
    fn slowest(&self, now: Instant) -> Option<&'static Slot> {
        let held = self.slots.iter().filter_map(|slot| Some((slot, slot.held.get()?)));
        held.filter(|(_, (since, taken))| {
            now.saturating_duration_since(*taken) >= STALLED || now.saturating_duration_since(*since) >= SLOW
        })
        .min_by_key(|(_, (_, taken))| *taken)
        .map(|(slot, _)| slot)
    }

    /// The log with the least number that is `from` or more, if there is one.
    pub fn next(&'static self, from: u32) -> Option<Narrator> {
        let numbered = |slot: &'static Slot| {
            let number = slot.about.get()?.number;
            (number >= from).then_some(Narrator { slot, number })
        };
        self.slots
            .iter()
            .filter_map(numbered)
            .min_by_key(|narrator| narrator.number)
    }
}

/// One connection's log, for as long as no later connection has taken it.
#[derive(Clone, Copy)]
pub struct Narrator {
    slot: &'static Slot,
    number: u32,
}

impl Narrator {
    /// The connection's number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Reads the log; `None` when it is another connection's by now.
    pub fn read<T>(&self, read: impl FnOnce(Events<'_>) -> T) -> Option<T> {
        self.about().map(|_| self.slot.log.read(read))
    }

    /// Stops recording, and keeps the log from later connections for as long as this is held; `None` when it is another
    /// connection's by now.
    pub fn hold(&self) -> Option<Held> {
        self.about()?;
        self.slot.log.stop();
        let now = Instant::now();
        self.slot.held.set(Some((now, now)));
        Some(Held(*self))
    }

    /// Overwrites the log, if it is still this connection's, and leaves it to the next.
    pub fn clear(&self) {
        if self.about().is_some() {
            self.slot.about.set(None);
            self.slot.log.clear();
        }
    }

    fn about(&self) -> Option<About> {
        self.slot.about.get().filter(|about| about.number == self.number)
    }
}

/// A log that is not written to until this is dropped, and that no connection takes while its peer reads.
pub struct Held(Narrator);

impl Held {
    /// Whether the log is still this connection's.
    pub fn is_ours(&self) -> bool {
        self.0.about().is_some()
    }

    /// Records that the peer has taken a part; returns whether the log is still this connection's.
    pub fn progress(&self) -> bool {
        let held = self.0.about().and(self.0.slot.held.get());
        if let Some((since, _)) = held {
            self.0.slot.held.set(Some((since, Instant::now())));
        }
        held.is_some()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.about().is_some() {
            self.0.slot.held.set(None);
        }
    }
}

impl Trace for Narrator {
    fn event(&self, event: &Event<'_>) {
        if self.about().is_some() {
            self.slot.log.event(event);
        }
    }
}

/// One line, for the list.
impl fmt::Display for Narrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(About { peer, port, since, .. }) = self.about() else {
            return Ok(());
        };
        write!(f, "{:4}  ", self.number)?;
        match port {
            Some(port) => write!(f, "{peer} -> :{port}")?,
            None => write!(f, "-> {peer}")?,
        }
        write!(f, ", {} s ago: ", since.elapsed().as_secs())?;
        self.slot.log.read(|events| {
            let narrative = Narrative::of(events);
            let Summary {
                version,
                suite,
                group,
                resumed,
                done,
                failure,
                ..
            } = narrative.summary();
            for word in [version, suite, group].iter().filter(|word| !word.is_empty()) {
                write!(f, "{word} ")?;
            }
            if resumed {
                f.write_str("resumed ")?;
            }
            match (failure, done) {
                ("", true) => f.write_str("done")?,
                ("", false) => f.write_str("under way")?,
                (failure, _) => write!(f, "failed: {failure}")?,
            }
            write!(f, ", {}", Count::of(narrative.steps().count(), "step"))
        })
    }
}

/// The logs that a connection is recorded in, if any.
#[derive(Clone, Copy, Default)]
pub(crate) struct Narrators {
    /// For the shell.
    pub(crate) shell: Option<Narrator>,
    /// For the page that shows the connection.
    pub(crate) page: Option<Narrator>,
}

impl Narrators {
    pub(crate) fn is_empty(&self) -> bool {
        self.shell.is_none() && self.page.is_none()
    }
}

impl Trace for Narrators {
    fn event(&self, event: &Event<'_>) {
        for narrator in [&self.shell, &self.page].into_iter().flatten() {
            narrator.event(event);
        }
    }
}

#[cfg(test)]
mod tests;
