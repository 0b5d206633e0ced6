//! The place of a worker, where connections are handed to it.

use core::cell::Cell;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;

use super::registry::Entry;
use super::reverse_target::Dialled;
use crate::net::Kind;

/// A worker's place: what `status` shows of it, and where connections are handed to it.
pub struct WorkerSlot<S> {
    pub(super) entry: Entry,
    pub(super) mailbox: Signal<NoopRawMutex, Job<S>>,
    /// The worker is to come back with another TLS.
    pub(super) renewed: Signal<NoopRawMutex, ()>,
    /// A worker has taken this place.
    pub(super) staffed: Cell<bool>,
    /// The worker waits, and nothing is in the mailbox.
    pub(super) idle: Cell<bool>,
}

impl<S> WorkerSlot<S> {
    /// An empty place.
    pub const fn new() -> Self {
        WorkerSlot {
            entry: Entry::new(),
            mailbox: Signal::new(),
            renewed: Signal::new(),
            staffed: Cell::new(false),
            idle: Cell::new(false),
        }
    }
}

impl<S> Default for WorkerSlot<S> {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) struct Job<S> {
    pub(super) stream: S,
    pub(super) kind: Kind,
    /// Set where the connection was opened from here.
    pub(super) dialled: Option<Dialled>,
}
