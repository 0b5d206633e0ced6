//! Connection slots: a TCP socket with its buffers each, and which may be given up.
//!
//! Every slot has a smoltcp socket set of its own with one socket in it, so that a segment costs the same with one
//! connection as with a thousand. A slot is at any time in exactly one [`Class`]; each class is a list in the order of
//! arrival, so the oldest member is its head. Cells and indices stand in for pointers: no heap, no `unsafe`.

use core::cell::{Cell, RefCell};
use core::net::SocketAddrV4;
use core::task::Waker;

use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::{Socket, tcp};

/// The index that means "none".
pub(super) const NONE: u16 = u16::MAX;
/// The most listening ports of an interface.
pub(super) const MAX_LISTENERS: usize = 16;
/// The most connections of a deferred listener that have said nothing yet: a first flight is right behind the handshake.
const MAX_SILENT: usize = 8;
/// No listener: a connection that we opened, or whose listener is gone.
pub(super) const NOBODY: u8 = u8::MAX;
/// The time that never comes.
pub(super) const NEVER: i64 = i64::MAX;

/// What tells connections apart. The local address is missing: an interface has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) remote: SocketAddrV4,
    pub(super) local_port: u16,
}

/// What a slot is being used for. The discriminants index the lists.
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
    /// Open, waiting in `accept` or accepted, not yet worth keeping. In the order in which they last said something.
    Unmarked,
    /// Open and marked as one that counts. Never evicted.
    Marked,
    /// Being opened by us.
    Connecting,
}

const CLASSES: usize = 7;

/// Who may be evicted, in this order.
const EVICTABLE: [Class; 3] = [Class::Done, Class::Orphan, Class::Unmarked];

/// How a connection ended, for the owner who asks later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Not yet, or both sides have said FIN.
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
pub(super) struct Request {
    pub(super) key: Key,
    /// How long the handshake may take, in microseconds.
    pub(super) timeout: i64,
}

/// Where a list ends on both sides.
pub(super) struct List {
    head: Cell<u16>,
    tail: Cell<u16>,
    len: Cell<u16>,
}

/// The links of a member of a list.
pub(super) struct Links {
    prev: Cell<u16>,
    next: Cell<u16>,
}

impl List {
    const fn new() -> Self {
        Self {
            head: Cell::new(NONE),
            tail: Cell::new(NONE),
            len: Cell::new(0),
        }
    }

    fn push<'a>(&self, index: u16, links: impl Fn(u16) -> Option<&'a Links>) {
        let Some(own) = links(index) else { return };
        own.prev.set(self.tail.get());
        own.next.set(NONE);
        match links(self.tail.get()) {
            Some(tail) => tail.next.set(index),
            None => self.head.set(index),
        }
        self.tail.set(index);
        self.len.set(self.len.get() + 1);
    }

    /// The caller knows that `index` is in this list.
    fn remove<'a>(&self, index: u16, links: impl Fn(u16) -> Option<&'a Links>) {
        let Some(own) = links(index) else { return };
        let (prev, next) = (own.prev.replace(NONE), own.next.replace(NONE));
        match links(prev) {
            Some(prev) => prev.next.set(next),
            None => self.head.set(next),
        }
        match links(next) {
            Some(next) => next.prev.set(prev),
            None => self.tail.set(prev),
        }
        self.len.set(self.len.get().saturating_sub(1));
    }

    fn pop<'a>(&self, links: impl Fn(u16) -> Option<&'a Links>) -> Option<u16> {
        let head = self.head.get();
        if head == NONE {
            return None;
        }
        self.remove(head, links);
        Some(head)
    }

    fn len(&self) -> usize {
        usize::from(self.len.get())
    }
}

impl Links {
    const fn new() -> Self {
        Self {
            prev: Cell::new(NONE),
            next: Cell::new(NONE),
        }
    }
}

/// A connection slot.
pub(super) struct Slot {
    /// The socket, alone in its set.
    pub(super) set: RefCell<SocketSet<'static>>,
    handle: SocketHandle,
    large: bool,
    pub(super) key: Cell<Option<Key>>,
    /// Whether the table finds the slot by its key.
    hashed: Cell<bool>,
    chain: Cell<u16>,
    class: Cell<Class>,
    links: Links,
    /// In the list of slots that have something to send or to look at.
    dirty: Cell<bool>,
    dirty_links: Links,
    /// In the accept queue of its listener.
    ready: Cell<bool>,
    ready_links: Links,
    /// Counts the uses of the slot, so that a handle can tell whether the slot is still its own.
    pub(super) generation: Cell<u32>,
    pub(super) listener: Cell<u8>,
    /// Whether we opened the connection.
    pub(super) outbound: Cell<bool>,
    /// Whether a stream belongs to it.
    pub(super) owned: Cell<bool>,
    /// Whether the owner has shut the write side.
    pub(super) shut: Cell<bool>,
    pub(super) end: Cell<End>,
    pub(super) request: Cell<Option<Request>>,
    /// Whether it waits for an ARP answer.
    pub(super) blocked: Cell<bool>,
    /// When the socket wants to be polled, in microseconds.
    pub(super) poll_at: Cell<i64>,
    /// When its class runs out, in microseconds.
    pub(super) deadline: Cell<i64>,
    /// The state in which it was last seen.
    pub(super) state: Cell<tcp::State>,
    /// When the connection began, in microseconds.
    pub(super) since: Cell<i64>,
    /// Bytes taken from the socket's receive buffer.
    pub(super) bytes_in: Cell<u64>,
    /// Bytes put into the socket's transmit buffer.
    pub(super) bytes_out: Cell<u64>,
    /// The peer's initial sequence number.
    pub(super) irs: Cell<u32>,
    /// Ours.
    pub(super) iss: Cell<u32>,
    /// No challenge ACK goes out before this, in microseconds.
    pub(super) challenge_at: Cell<i64>,
    /// The last IPv4 identification; `None` while packets must not be fragmented.
    pub(super) identification: Cell<Option<u16>>,
}

impl Slot {
    /// A free slot around `socket`, for which `storage` is the place.
    pub(super) fn new(
        storage: &'static mut [SocketStorage<'static>],
        socket: tcp::Socket<'static>,
        large: bool,
    ) -> Self {
        let mut set = SocketSet::new(storage);
        let handle = set.add(socket);
        Self {
            set: RefCell::new(set),
            handle,
            large,
            key: Cell::new(None),
            hashed: Cell::new(false),
            chain: Cell::new(NONE),
            class: Cell::new(Class::FreeLarge),
            links: Links::new(),
            dirty: Cell::new(false),
            dirty_links: Links::new(),
            ready: Cell::new(false),
            ready_links: Links::new(),
            generation: Cell::new(0),
            listener: Cell::new(NOBODY),
            outbound: Cell::new(false),
            owned: Cell::new(false),
            shut: Cell::new(false),
            end: Cell::new(End::None),
            request: Cell::new(None),
            blocked: Cell::new(false),
            poll_at: Cell::new(NEVER),
            deadline: Cell::new(NEVER),
            state: Cell::new(tcp::State::Closed),
            since: Cell::new(0),
            bytes_in: Cell::new(0),
            bytes_out: Cell::new(0),
            irs: Cell::new(0),
            iss: Cell::new(0),
            challenge_at: Cell::new(0),
            identification: Cell::new(None),
        }
    }

    /// Runs `f` on the socket. `f` must not come back here for the same slot.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut tcp::Socket<'static>) -> R) -> R {
        f(self.set.borrow_mut().get_mut::<tcp::Socket>(self.handle))
    }

    pub(super) fn class(&self) -> Class {
        self.class.get()
    }

    pub(super) fn is_free(&self) -> bool {
        matches!(self.class.get(), Class::FreeLarge | Class::FreeSmall)
    }

    pub(super) fn wake_at(&self) -> i64 {
        self.poll_at.get().min(self.deadline.get())
    }

    /// Brings the socket back to where it was when new. What smoltcp remembers beside the socket (that the last peer's
    /// neighbour did not answer) would otherwise hold up the next connection for a second.
    fn renew(&self) {
        let mut set = self.set.borrow_mut();
        {
            let socket = set.get_mut::<tcp::Socket>(self.handle);
            // Only `listen` clears everything, and only on a socket that is not open.
            socket.abort();
            let _ = socket.listen(1);
            socket.close();
            socket.set_congestion_control(tcp::CongestionControl::Reno);
        }
        if self.blocked.get()
            && let Socket::Tcp(socket) = set.remove(self.handle)
        {
            set.add(socket);
        }
    }
}

/// A listening port.
pub(super) struct Listener {
    /// 0: the entry is free.
    pub(super) port: Cell<u16>,
    /// So many slots are always kept for it.
    pub(super) reserved: Cell<u16>,
    /// So many slots serve it now.
    pub(super) used: Cell<u16>,
    /// Connections are accepted when they have said something, not before.
    pub(super) deferred: Cell<bool>,
    ready: List,
    waiting: List,
}

impl Listener {
    fn new() -> Self {
        Self {
            port: Cell::new(0),
            reserved: Cell::new(0),
            used: Cell::new(0),
            deferred: Cell::new(false),
            ready: List::new(),
            waiting: List::new(),
        }
    }

    /// How many of its reserved slots it does not use.
    fn owed(&self) -> usize {
        usize::from(self.reserved.get().saturating_sub(self.used.get()))
    }

    /// Connections ready to be accepted.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }
}

/// A task that waits in `accept`.
pub(super) struct Waiter {
    links: Links,
    /// Where it waits; [`NOBODY`] once it has been woken.
    listener: Cell<u8>,
    waker: Cell<Option<Waker>>,
}

impl Waiter {
    pub(super) fn new() -> Self {
        Self {
            links: Links::new(),
            listener: Cell::new(NOBODY),
            waker: Cell::new(None),
        }
    }
}

/// What [`Pool::take`] found.
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
    slots: &'static [Slot],
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
    /// The slots with [`Slot::blocked`].
    pub(super) blocked: Cell<usize>,
    runner: Cell<Option<Waker>>,
}

impl Pool {
    /// A pool of free slots. `buckets` is as long as a power of two; `seed` keeps strangers from choosing collisions.
    pub(super) fn new(
        slots: &'static [Slot],
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

    pub(super) fn slot(&self, index: u16) -> Option<&'static Slot> {
        self.slots.get(usize::from(index))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u16, &'static Slot)> {
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

    /// A slot for a new connection to `listener` ([`NOBODY`]: for one of ours), or the one to evict for it.
    ///
    /// What other listeners have reserved and do not use stays free, and nobody's eviction takes a listener below its
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
    pub(super) fn enlist(&self, index: u16, class: Class, listener: u8, key: Key, now: i64) {
        let Some(slot) = self.slot(index) else { return };
        slot.key.set(Some(key));
        slot.listener.set(listener);
        slot.outbound.set(class == Class::Connecting);
        slot.since.set(now);
        slot.bytes_in.set(0);
        slot.bytes_out.set(0);
        slot.challenge_at.set(0);
        slot.identification.set(None);
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
        if let Some(listener) = self.listener(slot.listener.replace(NOBODY)) {
            listener.used.set(listener.used.get().saturating_sub(1));
        }
        slot.renew();
        self.set_blocked(slot, false);
        slot.key.set(None);
        slot.generation.set(slot.generation.get().wrapping_add(1));
        slot.owned.set(false);
        slot.shut.set(false);
        slot.end.set(End::None);
        slot.request.set(None);
        slot.poll_at.set(NEVER);
        slot.deadline.set(NEVER);
        slot.state.set(tcp::State::Closed);
        self.reclass(index, if slot.large { Class::FreeLarge } else { Class::FreeSmall });
    }

    pub(super) fn set_blocked(&self, slot: &Slot, blocked: bool) {
        if slot.blocked.replace(blocked) != blocked {
            let count = self.blocked.get();
            self.blocked
                .set(if blocked { count + 1 } else { count.saturating_sub(1) });
        }
    }

    /// Sets when the slot is to be looked at by itself.
    pub(super) fn schedule(&self, slot: &Slot) {
        self.next_timer.set(self.next_timer.get().min(slot.wake_at()));
    }

    // The table from key to slot: chains through the slots.

    pub(super) fn find(&self, key: Key) -> Option<u16> {
        let mut index = self.bucket(key)?.get();
        while let Some(slot) = self.slot(index) {
            if slot.key.get() == Some(key) {
                return Some(index);
            }
            index = slot.chain.get();
        }
        None
    }

    fn hash(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        let Some(bucket) = slot.key.get().and_then(|key| self.bucket(key)) else {
            return;
        };
        slot.chain.set(bucket.replace(index));
        slot.hashed.set(true);
    }

    /// Makes the slot unfindable: its key is free for another connection.
    pub(super) fn unhash(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        if !slot.hashed.replace(false) {
            return;
        }
        let next = slot.chain.replace(NONE);
        let Some(bucket) = slot.key.get().and_then(|key| self.bucket(key)) else {
            return;
        };
        if bucket.get() == index {
            bucket.set(next);
            return;
        }
        let mut before = bucket.get();
        while let Some(slot) = self.slot(before) {
            if slot.chain.get() == index {
                slot.chain.set(next);
                return;
            }
            before = slot.chain.get();
        }
    }

    fn bucket(&self, key: Key) -> Option<&Cell<u16>> {
        // Multiply and fold, twice (as in splitmix64): enough where the seed is unknown to the peer.
        let mut hash = u64::from(u32::from(*key.remote.ip()))
            | u64::from(key.remote.port()) << 32
            | u64::from(key.local_port) << 48;
        hash ^= self.seed;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        self.buckets.get(hash as usize & self.buckets.len().wrapping_sub(1))
    }

    // Dirty slots, and the runner.

    /// Has the runner look at a slot, and wakes the runner.
    pub(super) fn mark(&self, index: u16) {
        self.mark_quietly(index);
        self.wake();
    }

    /// Has the runner, who is awake, look at a slot.
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

    // Accepting.

    pub(super) fn listener(&self, index: u8) -> Option<&Listener> {
        self.listeners.get(usize::from(index))
    }

    pub(super) fn listener_at(&self, port: u16) -> Option<u8> {
        let mut all = (0..NOBODY).zip(&self.listeners);
        all.find(|(_, listener)| listener.port.get() == port)
            .map(|(index, _)| index)
    }

    /// Puts a finished handshake into the accept queue and wakes one task that waits for it; where the listener wants to
    /// hear something first, only when it has.
    pub(super) fn make_ready(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        let Some(listener) = self.listener(slot.listener.get()) else {
            return;
        };
        if listener.deferred.get() && slot.with(|socket| socket.may_recv() && !socket.can_recv()) {
            self.limit_silent(slot.listener.get());
            return;
        }
        if !slot.ready.replace(true) {
            slot.deadline.set(NEVER);
            listener.ready.push(index, |i| self.ready_links(i));
            self.wake_waiter(slot.listener.get());
        }
    }

    /// Resets the oldest connection to a deferred listener that has said nothing, if there are too many of them.
    fn limit_silent(&self, listener: u8) {
        let silent = |slot: &Slot| {
            let waits = slot.listener.get() == listener && !slot.owned.get() && !slot.ready.get();
            waits && slot.with(|socket| socket.is_open())
        };
        let (mut count, mut oldest) = (0, None);
        let mut index = self.list(Class::Unmarked).head.get();
        while let Some(slot) = self.slot(index) {
            if silent(slot) {
                count += 1;
                oldest = oldest.or(Some((index, slot)));
            }
            index = slot.links.next.get();
        }
        if let Some((index, slot)) = oldest.filter(|_| count > MAX_SILENT) {
            slot.with(|socket| socket.abort());
            self.mark_quietly(index);
        }
    }

    fn unready(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        if slot.ready.replace(false)
            && let Some(listener) = self.listener(slot.listener.get())
        {
            listener.ready.remove(index, |i| self.ready_links(i));
        }
    }

    pub(super) fn next_ready(&self, listener: u8) -> Option<u16> {
        let index = self.listener(listener)?.ready.pop(|i| self.ready_links(i))?;
        self.slot(index)?.ready.set(false);
        Some(index)
    }

    fn wake_waiter(&self, listener: u8) {
        let Some(from) = self.listener(listener) else { return };
        if let Some(index) = from.waiting.pop(|i| self.waiter_links(i))
            && let Some(waiter) = self.waiters.get(usize::from(index))
        {
            waiter.listener.set(NOBODY);
            if let Some(waker) = waiter.waker.take() {
                waker.wake();
            }
        } else if let Some(waker) = self.overflow.take() {
            waker.wake();
        }
    }

    /// Makes the task wait for a connection to `listener`, at the place `waiter` which it has or gets.
    pub(super) fn wait(&self, listener: u8, waiter: &mut Option<u16>, waker: &Waker) {
        if waiter.is_none() {
            *waiter = self.free_waiters.pop(|i| self.waiter_links(i));
        }
        let Some(place) = waiter.and_then(|index| self.waiters.get(usize::from(index))) else {
            if let Some(other) = self.overflow.replace(Some(waker.clone())) {
                other.wake();
            }
            return;
        };
        place.waker.set(Some(waker.clone()));
        if place.listener.get() != listener
            && let (Some(index), Some(to)) = (*waiter, self.listener(listener))
        {
            place.listener.set(listener);
            to.waiting.push(index, |i| self.waiter_links(i));
        }
    }

    /// Gives a place back. If the task was woken for a connection that it does not take, another one is.
    pub(super) fn stop_waiting(&self, listener: u8, index: u16) {
        let Some(place) = self.waiters.get(usize::from(index)) else {
            return;
        };
        place.waker.set(None);
        let woken = place.listener.replace(NOBODY) == NOBODY;
        if !woken && let Some(from) = self.listener(listener) {
            from.waiting.remove(index, |i| self.waiter_links(i));
        }
        self.free_waiters.push(index, |i| self.waiter_links(i));
        if woken && self.listener(listener).is_some_and(|from| from.ready() > 0) {
            self.wake_waiter(listener);
        } else if let Some(waker) = self.overflow.take() {
            waker.wake();
        }
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
