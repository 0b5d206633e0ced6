//! How the free memory is divided, once, at boot.

use core::fmt;
use core::future::Future;

use embassy_executor::Spawner;
use embassy_executor::raw::TaskStorage;
use postern::endpoint::traces::{LOG_SIZE, Slot, Traces};
use postern::machine::executor::Timed;
use postern::machine::memory::{Arena, OutOfMemory};
use postern::net;
use postern::serve::secure::INBOUND;
use postern::tls::record::MAX_PLAINTEXT;

use crate::settings::{Identity, Store};

/// The most connections that are ever served at a time.
const MAX_CONNECTIONS: usize = 1024;
/// What a connection takes when memory is no object: large buffers everywhere, in bytes.
const COMFORTABLE: usize = 192 * 1024;
/// What a connection takes at least: its TLS buffers, its task, and a small slot of the first card's, in bytes.
const FRUGAL: usize = WORKER_INBOUND + OUTBOUND + TASK + SLOT * 8 / 7;
/// A small slot: two buffers of 4 KiB, and what goes with them, in bytes; an estimate.
const SLOT: usize = 10 * 1024;
/// Slots of the first card that even a small memory has beyond its connections: for the shell, and whoever is turned away.
const LEAST_SPARE: usize = 6;
/// Connection slots beyond those that the echo servers fill: for peers that come, that go, and for the shell.
const SPARE_SLOTS: usize = 32;
/// The sending side's buffer: a record of the largest size, and what is kept free for alerts.
pub(crate) const OUTBOUND: usize = MAX_PLAINTEXT + 256;
/// The receiving side's buffer: a record of the largest size, and the part of a hello that went before it.
pub(crate) const WORKER_INBOUND: usize = INBOUND + 2048;
/// Connection slots of a second card, which serves the shell and whatever is started there by hand.
const SECOND_CARD_SLOTS: usize = 16;

/// There is not enough memory for the image.
#[derive(Debug)]
pub(crate) struct Short(OutOfMemory);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The free memory.
pub(crate) struct Memory(pub(crate) Arena);

impl Memory {
    /// `count` values for ever, each made by `init` from its index.
    pub(crate) fn slice<T>(&mut self, count: usize, init: impl FnMut(usize) -> T) -> Result<&'static mut [T], Short> {
        self.0.slice(count, init).map_err(Short)
    }

    /// So many bytes for ever.
    pub(crate) fn buffer(&mut self, len: usize) -> Result<&'static mut [u8], Short> {
        self.0.buffer(len).map_err(Short)
    }

    /// A value for ever.
    pub(crate) fn value<T>(&mut self, value: T) -> Result<&'static mut T, Short> {
        self.0.value(value).map_err(Short)
    }

    /// Spawns `count` tasks of the kind `task`, each made from its index.
    pub(crate) fn spawn<F: Future + 'static>(
        &mut self,
        spawner: Spawner,
        task: &'static str,
        count: usize,
        mut make: impl FnMut(usize) -> F,
    ) -> Result<(), Short> {
        let storage: &'static [TaskStorage<Timed<F>>] = self.slice(count, |_| TaskStorage::new())?;
        for (number, place) in storage.iter().enumerate() {
            match place.spawn(|| Timed::new(task, make(number))) {
                Ok(token) => spawner.spawn(token),
                // Each storage is used once.
                Err(error) => ::log::error!("{task} not started: {error}"),
            }
        }
        Ok(())
    }
}

impl net::Arena for Memory {
    fn slice<T: 'static>(&mut self, count: usize, init: impl FnMut(usize) -> T) -> Option<&'static mut [T]> {
        self.0.slice(count, init).ok()
    }

    fn buffer(&mut self, count: usize) -> Option<&'static mut [u8]> {
        self.0.buffer(count).ok()
    }
}

/// How many connections there are, and what they get.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Echo connections at a time.
    pub(crate) connections: usize,
    /// How many connections are narrated for one purpose: the shell's, and the page's.
    logs: usize,
    /// For the sockets of the first card, in bytes.
    network: usize,
}

impl Plan {
    /// Divides what is left between `wanted` connections, or as many as the memory allows, and the sockets of `cards`.
    pub(crate) fn of(memory: &Memory, wanted: Option<u16>, cards: usize) -> Self {
        // For the tasks that are there once, the TLS client and the self-test with their buffers, the first card's
        // smallest table of half-open connections, and what is not worth counting.
        const FIXED: usize = 352 * 1024;
        // A further card: its smallest table, its sockets beside those that come out of the plan, its debug shell.
        const CARD: usize = 320 * 1024;
        // For all at once: two cards, the self-test, the shell over TLS, the page.
        const MORE: usize = 256 * 1024;
        let (logs, more) = if memory.0.largest() < LITTLE {
            (1, 0)
        } else {
            (LOGS, MORE)
        };
        let fixed = FIXED + cards.saturating_sub(1) * CARD + more + 2 * logs * LOG_SIZE;
        let free = memory.0.largest().saturating_sub(fixed);
        let most = (free.saturating_sub(LEAST_SPARE * SLOT) / FRUGAL).clamp(1, MAX_CONNECTIONS);
        let connections = match wanted {
            Some(wanted) => usize::from(wanted).clamp(1, most),
            None => (free / COMFORTABLE).max(MODEST.min(most)).clamp(1, most),
        };
        if let Some(wanted) = wanted.filter(|&wanted| usize::from(wanted) > connections) {
            ::log::warn!(".echo.connections = {wanted}: the memory suffices for {connections}");
        }
        let workers = connections * (WORKER_INBOUND + OUTBOUND + TASK);
        Self {
            connections,
            logs,
            network: free.saturating_sub(workers),
        }
    }

    /// The sockets of the card with that number.
    pub(crate) fn net(&self, number: usize) -> net::Plan {
        match number {
            0 => net::Plan::for_memory(self.network * 7 / 8, self.connections + SPARE_SLOTS),
            _ => net::Plan::for_memory(self.network / 16, SECOND_CARD_SLOTS),
        }
    }

    /// The buffers of the workers, inbound and outbound, for each connection.
    pub(crate) fn workers(
        &self,
        store: &'static Store,
        memory: &mut Memory,
    ) -> Result<impl Iterator<Item = [&'static mut [u8]; 2]> + use<>, Short> {
        let flight = |identity: Identity<'_>| {
            let dialled = identity.mutual.map_or(0, |mutual| mutual.client.flight_len());
            identity.config.flight_len().max(dialled).max(OUTBOUND)
        };
        let outbound = store.look(|tls| tls.server.map_or(0, flight)).max(outbound(store));
        let inbound = self.buffers(WORKER_INBOUND, memory)?;
        let outbound = self.buffers(outbound, memory)?;
        Ok(inbound.zip(outbound).map(|(inbound, outbound)| [inbound, outbound]))
    }

    /// The logs for one purpose.
    pub(crate) fn traces(&self, memory: &mut Memory) -> Result<&'static Traces, Short> {
        let mut buffers = heapless::Vec::<&'static mut [u8], LOGS>::new();
        for _ in 0..self.logs {
            // There is room for as many.
            let _ = buffers.push(memory.0.buffer(LOG_SIZE).map_err(Short)?);
        }
        let mut buffers = buffers.into_iter();
        let slots = memory.slice(self.logs, |_| Slot::new(buffers.next().unwrap_or_default()))?;
        Ok(memory.value(Traces::new(slots))?)
    }

    /// A buffer of `len` bytes for each connection.
    fn buffers(
        &self,
        len: usize,
        memory: &mut Memory,
    ) -> Result<impl Iterator<Item = &'static mut [u8]> + use<>, Short> {
        let mut all = memory.0.buffer(self.connections * len).map_err(Short)?;
        Ok(core::iter::repeat_with(move || {
            let (buffer, rest) = core::mem::take(&mut all).split_at_mut_checked(len).unwrap_or_default();
            all = rest;
            buffer
        }))
    }
}

/// Connections that are narrated where memory is no object.
const LOGS: usize = 4;
/// Below so much memory one has to do, in bytes.
const LITTLE: usize = 4 * 1024 * 1024;

/// The least bytes of any outbound buffer: where the configuration may change it has to hold what others send.
pub(crate) fn outbound(store: &Store) -> usize {
    if store.can_change() { OUTBOUND } else { 0 }
}

/// As many connections as a small memory is asked to serve before it gives each of them more room.
const MODEST: usize = 96;
/// A worker's task and its place, in bytes; an estimate.
const TASK: usize = 22 * 1024;
