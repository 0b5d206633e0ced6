//! Connection slots: a TCP socket with its buffers each, and their eviction.
//!
//! Every slot has a smoltcp socket set of its own with one socket in it, so that a segment costs the same with one
//! connection as with a thousand. A slot is at any time in exactly one [`Class`]; each class is a list in the order of
//! arrival, so the oldest member is its head. Cells and indices stand in for pointers: no heap, no `unsafe`.

mod accept;
mod list;
mod slot;
mod table;

use core::cell::Cell;
use core::task::Waker;

use smoltcp::socket::tcp;

pub(super) use accept::{Listener, Waiter};
use list::{Links, List};
pub(super) use slot::TcpSlot;
pub(super) use table::ConnectionKey;

/// The index that means "none".
pub(super) const NONE: u16 = u16::MAX;
/// The most listening ports of an interface.
pub(super) const MAX_LISTENERS: usize = 16;
/// No listener: a connection that we opened, or whose listener is gone.
pub(super) const NO_LISTENER: u8 = u8::MAX;
/// The time that never comes.
pub(super) const NEVER: i64 = i64::MAX;

/// The use of a slot. The discriminants index the lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing; with large buffers.
    FreeLarge,
    /// Nothing; with small buffers.
    FreeSmall,
    /// Finished on both sides as far as our data goes: TIME_WAIT, or FIN_WAIT_2 without an owner.
    Done,
    /// Without an owner, data or FIN still on the way.
    Orphan,
    /// Open, waiting in `accept` or accepted, not yet worth keeping. In the order in which they last sent something.
    Unmarked,
    /// Open and marked as one that counts. Never evicted.
    Marked,
    /// Being opened by us.
    Connecting,
}

const CLASSES: usize = 7;

/// The classes that may be evicted, in this order.
const EVICTABLE: [Class; 3] = [Class::Done, Class::Orphan, Class::Unmarked];

/// How a connection ended, for its owner to read later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CloseReason {
    /// Not yet, or both sides have sent FIN.
    None,
    /// RST.
    Reset,
    /// No answer.
    TimedOut,
    /// We could not even ask: ARP without an answer.
    Unreachable,
    /// Our address is gone.
    Down,
}

/// A connection that the runner is to open.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectRequest {
    /// How long the handshake may take, in microseconds.
    pub(super) timeout: i64,
}

/// The result of [`Pool::take`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// A free slot.
    Free(u16),
    /// A slot that has to be evicted first.
    Victim(u16, Class),
    /// None.
    Full,
}

/// All slots of an interface.
pub(super) struct Pool {
    slots: &'static [TcpSlot],
    buckets: &'static [Cell<u16>],
    seed: u64,
    classes: [List; CLASSES],
    dirty: List,
    pub(super) listeners: [Listener; MAX_LISTENERS],
    waiters: &'static [Waiter],
    free_waiters: List,
    /// Tasks beyond the last waiter: woken whenever a waiter is given back.
    overflow: Cell<Option<Waker>>,
    /// No timer of any slot runs out before this, in microseconds.
    pub(super) next_timer: Cell<i64>,
    /// The slots with [`TcpSlot::blocked`].
    pub(super) blocked: Cell<usize>,
    runner: Cell<Option<Waker>>,
}

impl Pool {
    /// A pool of free slots. `buckets` is as long as a power of two; `seed` keeps peers from choosing collisions.
    pub(super) fn new(
        slots: &'static [TcpSlot],
        buckets: &'static [Cell<u16>],
        waiters: &'static [Waiter],
        seed: u64,
    ) -> Self {
        let pool = Self {
            slots,
            buckets,
            seed,
            classes: [const { List::new() }; CLASSES],
            dirty: List::new(),
            listeners: core::array::from_fn(|_| Listener::new()),
            waiters,
            free_waiters: List::new(),
            overflow: Cell::new(None),
            next_timer: Cell::new(NEVER),
            blocked: Cell::new(0),
            runner: Cell::new(None),
        };
        for (index, slot) in (0..NONE).zip(pool.slots) {
            let class = if slot.large { Class::FreeLarge } else { Class::FreeSmall };
            slot.class.set(class);
            pool.list(class).push(index, |i| pool.links(i));
        }
        for (index, _) in (0..NONE).zip(pool.waiters) {
            pool.free_waiters.push(index, |i| pool.waiter_links(i));
        }
        pool
    }

    pub(super) fn slot(&self, index: u16) -> Option<&'static TcpSlot> {
        self.slots.get(usize::from(index))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &'static TcpSlot)> {
        (0..NONE).zip(self.slots)
    }

    /// The slots of a class.
    pub(super) fn count(&self, class: Class) -> usize {
        self.list(class).len()
    }

    /// All slots.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    // Classes.

    /// Moves a slot to the end of another class.
    pub(super) fn reclass(&self, index: u16, class: Class) {
        let Some(slot) = self.slot(index) else { return };
        if slot.class.get() != class {
            self.list(slot.class.get()).remove(index, |i| self.links(i));
            slot.class.set(class);
            self.list(class).push(index, |i| self.links(i));
        }
    }

    /// Makes a slot the youngest of its class.
    pub(super) fn touch(&self, index: u16) {
        if let Some(slot) = self.slot(index) {
            let list = self.list(slot.class.get());
            list.remove(index, |i| self.links(i));
            list.push(index, |i| self.links(i));
        }
    }

    /// A slot for a new connection to `listener` ([`NO_LISTENER`]: for one of ours), or the one to evict for it.
    ///
    /// What other listeners have reserved and do not use stays free, and only a listener's own eviction takes it below its
    /// reservation but its own.
    pub(super) fn take(&self, listener: u8) -> Taken {
        let within = self.listener(listener).is_some_and(|own| own.owed() > 0);
        let owed = if within {
            0
        } else {
            self.listeners.iter().map(Listener::owed).sum()
        };
        if self.count(Class::FreeLarge) + self.count(Class::FreeSmall) > owed {
            let free = [Class::FreeLarge, Class::FreeSmall];
            if let Some(index) = free
                .iter()
                .map(|&class| self.list(class).head.get())
                .find(|&index| index != NONE)
            {
                return Taken::Free(index);
            }
        }
        for class in EVICTABLE {
            let mut index = self.list(class).head.get();
            while let Some(slot) = self.slot(index) {
                let victim = slot.listener.get();
                if victim == listener
                    || self
                        .listener(victim)
                        .is_none_or(|other| other.used.get() > other.reserved.get())
                {
                    return Taken::Victim(index, class);
                }
                index = slot.links.next.get();
            }
        }
        Taken::Full
    }

    /// Puts a free slot to use for the connection `key`.
    pub(super) fn enlist(&self, index: u16, class: Class, listener: u8, key: ConnectionKey, now: i64) {
        let Some(slot) = self.slot(index) else { return };
        slot.key.set(Some(key));
        slot.listener.set(listener);
        slot.outbound.set(class == Class::Connecting);
        slot.since.set(now);
        slot.bytes_in.set(0);
        slot.bytes_out.set(0);
        slot.challenge_at.set(0);
        slot.identification.set(None);
        slot.path_mtu.set(u16::MAX);
        if let Some(listener) = self.listener(listener) {
            listener.used.set(listener.used.get() + 1);
        }
        self.hash(index);
        self.reclass(index, class);
    }

    /// Gives a slot back. Its owner, if there is one, will find it gone.
    pub(super) fn release(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        if slot.is_free() {
            return;
        }
        self.unhash(index);
        self.unready(index);
        if let Some(listener) = self.listener(slot.listener.replace(NO_LISTENER)) {
            listener.used.set(listener.used.get().saturating_sub(1));
        }
        slot.renew();
        self.set_blocked(slot, false);
        slot.key.set(None);
        slot.generation.set(slot.generation.get().wrapping_add(1));
        slot.owned.set(false);
        slot.shut.set(false);
        slot.end.set(CloseReason::None);
        slot.request.set(None);
        slot.poll_at.set(NEVER);
        slot.deadline.set(NEVER);
        slot.state.set(tcp::State::Closed);
        self.reclass(index, if slot.large { Class::FreeLarge } else { Class::FreeSmall });
    }

    pub(super) fn set_blocked(&self, slot: &TcpSlot, blocked: bool) {
        if slot.blocked.replace(blocked) != blocked {
            let count = self.blocked.get();
            self.blocked
                .set(if blocked { count + 1 } else { count.saturating_sub(1) });
        }
    }

    /// Sets when the slot is to be looked at by itself.
    pub(super) fn schedule(&self, slot: &TcpSlot) {
        self.next_timer.set(self.next_timer.get().min(slot.wake_at()));
    }

    // Dirty slots, and the runner.

    /// Has the runner look at a slot, and wakes the runner.
    pub(super) fn mark(&self, index: u16) {
        self.mark_quietly(index);
        self.wake();
    }

    /// Has the runner, which is awake, look at a slot.
    pub(super) fn mark_quietly(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        if !slot.dirty.replace(true) {
            self.dirty.push(index, |i| self.dirty_links(i));
        }
    }

    pub(super) fn next_dirty(&self) -> Option<u16> {
        let index = self.dirty.pop(|i| self.dirty_links(i))?;
        self.slot(index)?.dirty.set(false);
        Some(index)
    }

    pub(super) fn dirty(&self) -> usize {
        self.dirty.len()
    }

    pub(super) fn wake(&self) {
        if let Some(runner) = self.runner.take() {
            runner.wake();
        }
    }

    pub(super) fn set_runner(&self, waker: &Waker) {
        self.runner.set(Some(waker.clone()));
    }

    fn list(&self, class: Class) -> &List {
        &self.classes[class as usize]
    }

    fn links(&self, index: u16) -> Option<&'static Links> {
        self.slot(index).map(|slot| &slot.links)
    }

    fn dirty_links(&self, index: u16) -> Option<&'static Links> {
        self.slot(index).map(|slot| &slot.dirty_links)
    }

    fn ready_links(&self, index: u16) -> Option<&'static Links> {
        self.slot(index).map(|slot| &slot.ready_links)
    }

    fn waiter_links(&self, index: u16) -> Option<&'static Links> {
        self.waiters.get(usize::from(index)).map(|waiter| &waiter.links)
    }
}
