//! Listening ports, their accept queues, and the tasks that wait in `accept`.

use core::cell::Cell;
use core::task::Waker;

use super::list::{Links, List};
use super::{Class, NEVER, NO_LISTENER, Pool, TcpSlot};

/// The most connections of a deferred listener that have sent nothing yet: a first flight is right behind the handshake.
const MAX_SILENT: usize = 8;

/// A listening port.
pub(in crate::net) struct Listener {
    /// 0: the entry is free.
    pub(in crate::net) port: Cell<u16>,
    /// So many slots are always kept for it.
    pub(in crate::net) reserved: Cell<u16>,
    /// So many slots serve it now.
    pub(in crate::net) used: Cell<u16>,
    /// Connections are accepted when they have sent something, not before.
    pub(in crate::net) deferred: Cell<bool>,
    ready: List,
    waiting: List,
}

impl Listener {
    pub(super) fn new() -> Self {
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
    pub(super) fn owed(&self) -> usize {
        usize::from(self.reserved.get().saturating_sub(self.used.get()))
    }

    /// Connections ready to be accepted.
    pub(in crate::net) fn ready(&self) -> usize {
        self.ready.len()
    }
}

/// A task that waits in `accept`.
pub(in crate::net) struct Waiter {
    pub(super) links: Links,
    /// Where it waits; [`NO_LISTENER`] once it has been woken.
    listener: Cell<u8>,
    waker: Cell<Option<Waker>>,
}

impl Waiter {
    pub(in crate::net) fn new() -> Self {
        Self {
            links: Links::new(),
            listener: Cell::new(NO_LISTENER),
            waker: Cell::new(None),
        }
    }
}

impl Pool {
    pub(in crate::net) fn listener(&self, index: u8) -> Option<&Listener> {
        self.listeners.get(usize::from(index))
    }

    pub(in crate::net) fn listener_at(&self, port: u16) -> Option<u8> {
        let mut all = (0..NO_LISTENER).zip(&self.listeners);
        all.find(|(_, listener)| listener.port.get() == port)
            .map(|(index, _)| index)
    }

    /// Puts a finished handshake into the accept queue and wakes one task that waits for it; where the listener wants to
    /// hear something first, only when it has.
    pub(in crate::net) fn make_ready(&self, index: u16) {
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

    /// Resets the oldest connection to a deferred listener that has sent nothing, if there are too many of them.
    fn limit_silent(&self, listener: u8) {
        let silent = |slot: &TcpSlot| {
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

    pub(super) fn unready(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        if slot.ready.replace(false)
            && let Some(listener) = self.listener(slot.listener.get())
        {
            listener.ready.remove(index, |i| self.ready_links(i));
        }
    }

    pub(in crate::net) fn next_ready(&self, listener: u8) -> Option<u16> {
        let index = self.listener(listener)?.ready.pop(|i| self.ready_links(i))?;
        self.slot(index)?.ready.set(false);
        Some(index)
    }

    fn wake_waiter(&self, listener: u8) {
        let Some(from) = self.listener(listener) else { return };
        if let Some(index) = from.waiting.pop(|i| self.waiter_links(i))
            && let Some(waiter) = self.waiters.get(usize::from(index))
        {
            waiter.listener.set(NO_LISTENER);
            if let Some(waker) = waiter.waker.take() {
                waker.wake();
            }
        } else if let Some(waker) = self.overflow.take() {
            waker.wake();
        }
    }

    /// Makes the task wait for a connection to `listener`, at the place `waiter` which it has or gets.
    pub(in crate::net) fn wait(&self, listener: u8, waiter: &mut Option<u16>, waker: &Waker) {
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
    pub(in crate::net) fn stop_waiting(&self, listener: u8, index: u16) {
        let Some(place) = self.waiters.get(usize::from(index)) else {
            return;
        };
        place.waker.set(None);
        let woken = place.listener.replace(NO_LISTENER) == NO_LISTENER;
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
}
