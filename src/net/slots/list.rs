//! Lists of slots and waiters, linked by indices.
//!
//! Cells and indices stand in for pointers: no heap, no `unsafe`.

use core::cell::Cell;

use super::NONE;

/// Where a list ends on both sides.
pub(super) struct List {
    pub(super) head: Cell<u16>,
    tail: Cell<u16>,
    len: Cell<u16>,
}

/// The links of a member of a list.
pub(super) struct Links {
    prev: Cell<u16>,
    pub(super) next: Cell<u16>,
}

impl List {
    pub(super) const fn new() -> Self {
        Self {
            head: Cell::new(NONE),
            tail: Cell::new(NONE),
            len: Cell::new(0),
        }
    }

    pub(super) fn push<'a>(&self, index: u16, links: impl Fn(u16) -> Option<&'a Links>) {
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
    pub(super) fn remove<'a>(&self, index: u16, links: impl Fn(u16) -> Option<&'a Links>) {
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

    pub(super) fn pop<'a>(&self, links: impl Fn(u16) -> Option<&'a Links>) -> Option<u16> {
        let head = self.head.get();
        if head == NONE {
            return None;
        }
        self.remove(head, links);
        Some(head)
    }

    pub(super) fn len(&self) -> usize {
        usize::from(self.len.get())
    }
}

impl Links {
    pub(super) const fn new() -> Self {
        Self {
            prev: Cell::new(NONE),
            next: Cell::new(NONE),
        }
    }
}
