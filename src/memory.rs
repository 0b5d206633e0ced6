//! The division of the free memory, once, at boot.

#[cfg(test)]
mod tests;

use core::future::Future;

use embassy_executor::Spawner;
use embassy_executor::raw::TaskStorage;

use crate::endpoint::traces::{LOG_SIZE, Slot, Traces};
use crate::machine::executor::Timed;
use crate::machine::memory::{Arena, OutOfMemory};
use crate::net::{self, TcpStream};
use crate::serve::WorkerSlot;
use crate::serve::tls::INBOUND;
use crate::tls::record::MAX_PLAINTEXT;

/// The most connections that are ever served at a time.
const MAX_CONNECTIONS: usize = 1024;
/// The memory of a connection with large buffers everywhere, in bytes.
const BYTES_PER_CONNECTION_MAX: usize = 192 * 1024;
/// The connections that a small memory is to serve before each of them gets more than the least.
const MODEST_CONNECTIONS: usize = 96;
/// Slots of the first card that even a small memory has beyond its connections: for the shell, and for peers that are
/// refused.
const LEAST_SPARE: usize = 6;
/// Slots of the first card beyond its connections otherwise: for peers that come and go, and for the shell.
const SPARE_SLOTS: usize = 32;
/// Slots of a second card, which serves the shell and what is started there by hand.
const SECOND_CARD_SLOTS: usize = 16;
/// The sending side's buffer: a record of the largest size, and what is kept free for alerts.
pub const OUTBOUND: usize = MAX_PLAINTEXT + 256;
/// The receiving side's buffer: a record of the largest size, and the part of a hello that went before it.
pub const WORKER_INBOUND: usize = INBOUND + 2048;
/// Connections that are narrated for one purpose, where memory is plentiful.
const LOGS: usize = 4;
/// The padding of all allocations beside those of the interfaces, in bytes: some 40, with at most 64 each.
const PADDING: usize = 4 * 1024;
/// Below so much memory one connection is narrated, in bytes.
const SMALL_MEMORY: usize = 4 * 1024 * 1024;

/// How full the heap is, in bytes. What the allocator itself takes is not counted.
#[derive(Debug, Clone, Copy)]
pub struct HeapUse {
    /// The bytes in use.
    pub used: usize,
    /// The most that was ever in use.
    pub peak: usize,
    /// All of it.
    pub size: usize,
}

/// Spawns `count` tasks of the kind `task`, each made from its index.
///
/// # Errors
/// When the memory does not suffice.
pub fn spawn<F: Future + 'static>(
    arena: &mut Arena,
    spawner: Spawner,
    task: &'static str,
    count: usize,
    mut make: impl FnMut(usize) -> F,
) -> Result<(), OutOfMemory> {
    let storage: &'static [TaskStorage<Timed<F>>] = arena.slice(count, |_| TaskStorage::new())?;
    for (number, place) in storage.iter().enumerate() {
        match place.spawn(|| Timed::new(task, make(number))) {
            Ok(token) => spawner.spawn(token),
            // Each storage is used once.
            Err(error) => ::log::error!("{task} not started: {error}"),
        }
    }
    Ok(())
}

/// The memory that [`spawn`] takes for each task of `make`, in bytes.
pub const fn task_size<A, F: Future + 'static>(_: &impl Fn(A) -> F) -> usize {
    size_of::<TaskStorage<Timed<F>>>()
}

impl net::Arena for Arena {
    fn slice<T: 'static>(&mut self, count: usize, init: impl FnMut(usize) -> T) -> Option<&'static mut [T]> {
        Arena::slice(self, count, init).ok()
    }

    fn buffer(&mut self, count: usize) -> Option<&'static mut [u8]> {
        Arena::buffer(self, count).ok()
    }
}

/// How many connections there are, and what they get.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Echo connections at a time.
    pub connections: usize,
    /// How many connections are narrated for one purpose: the shell's, and the page's.
    logs: usize,
    /// The outbound buffer of a worker, in bytes.
    outbound: usize,
    /// For the sockets of the first card, and of each other one, in bytes.
    network: [usize; 2],
}

impl Plan {
    /// Divides `free` bytes, of which `fixed` are needed for other things, between `wanted` connections, or as many as they
    /// suffice for, and the sockets of `cards`. A connection has an outbound buffer of `outbound` bytes, and a task of
    /// `task` bytes.
    pub fn of(free: usize, fixed: usize, wanted: Option<u16>, cards: usize, outbound: usize, task: usize) -> Self {
        let logs = if free < SMALL_MEMORY { 1 } else { LOGS };
        let traces = 2 * (logs * (LOG_SIZE + size_of::<Slot>()) + size_of::<Traces>());
        let free = free.saturating_sub(fixed + traces + cards * net::Plan::FIXED + PADDING);
        let worker = WORKER_INBOUND + outbound + task + size_of::<WorkerSlot<TcpStream>>();
        // With several cards the first gets seven eighths of what the sockets get.
        let others = cards.saturating_sub(1);
        let eighths = if others > 0 { 7 } else { 8 };
        let slot = (net::Plan::LEAST_SLOT * 8).div_ceil(eighths);
        let most = (free.saturating_sub(LEAST_SPARE * slot) / (worker + slot)).clamp(1, MAX_CONNECTIONS);
        let connections = match wanted {
            Some(wanted) => usize::from(wanted).clamp(1, most),
            None => (free / BYTES_PER_CONNECTION_MAX)
                .max(MODEST_CONNECTIONS.min(most))
                .clamp(1, most),
        };
        let sockets = free.saturating_sub(connections * worker);
        let first = sockets / 8 * eighths;
        Self {
            connections,
            logs,
            outbound,
            network: [first, (sockets - first) / others.max(1)],
        }
    }

    /// The sockets of the card with that number.
    pub fn net(&self, number: usize) -> net::Plan {
        let [first, other] = self.network;
        match number {
            0 => net::Plan::for_memory(first, self.connections + SPARE_SLOTS),
            _ => net::Plan::for_memory(other, SECOND_CARD_SLOTS),
        }
    }

    /// The buffers of the workers, inbound and outbound, for each connection.
    ///
    /// # Errors
    /// When the memory does not suffice.
    pub fn workers(
        &self,
        arena: &mut Arena,
    ) -> Result<impl Iterator<Item = [&'static mut [u8]; 2]> + use<>, OutOfMemory> {
        let inbound = self.buffers(WORKER_INBOUND, arena)?;
        let outbound = self.buffers(self.outbound, arena)?;
        Ok(inbound.zip(outbound).map(|(inbound, outbound)| [inbound, outbound]))
    }

    /// The logs for one purpose.
    ///
    /// # Errors
    /// When the memory does not suffice.
    pub fn traces(&self, arena: &mut Arena) -> Result<&'static Traces, OutOfMemory> {
        let mut buffers = heapless::Vec::<&'static mut [u8], LOGS>::new();
        for _ in 0..self.logs {
            let _ = buffers.push(arena.buffer(LOG_SIZE)?); // there are as many as fit
        }
        let mut buffers = buffers.into_iter();
        let slots = arena.slice(self.logs, |_| Slot::new(buffers.next().unwrap_or_default()))?;
        Ok(arena.value(Traces::new(slots))?)
    }

    /// A buffer of `len` bytes for each connection.
    fn buffers(
        &self,
        len: usize,
        arena: &mut Arena,
    ) -> Result<impl Iterator<Item = &'static mut [u8]> + use<>, OutOfMemory> {
        let mut all = arena.buffer(self.connections * len)?;
        Ok(core::iter::repeat_with(move || {
            let (buffer, rest) = core::mem::take(&mut all).split_at_mut_checked(len).unwrap_or_default();
            all = rest;
            buffer
        }))
    }
}
