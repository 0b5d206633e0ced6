//! Listening ports, and the future that accepts a connection.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use embassy_time::Duration;

use super::super::slots::NO_LISTENER;
use super::super::{ListenError, Shared};
use super::{TcpStream, orphan};

/// A connection to a deferred listener may say nothing for so long: see [`TcpListener::defer`].
pub(in crate::net) const SILENT_PEER_TIMEOUT: Duration = Duration::from_secs(10);

/// A listening port. Dropping it closes the port; connections already accepted go on.
pub struct TcpListener {
    shared: &'static Shared,
    index: u8,
    port: u16,
}

impl TcpListener {
    /// The next connection (in the order in which their handshakes finished). Cancel-safe. Several tasks may wait; each
    /// connection wakes one. (Up to as many as there are slots, and 32 more; beyond that they keep each other awake.)
    pub async fn accept(&self) -> TcpStream {
        Accept {
            listener: self,
            waiter: None,
        }
        .await
    }

    /// Has connections accepted only when they have sent something (or ended), as Linux's TCP_DEFER_ACCEPT does: silent ones
    /// wait without an owner, for at most `SILENT_PEER_TIMEOUT`, and are the first to be evicted.
    pub fn defer(self) -> Self {
        if let Some(listener) = self.shared.pool.listener(self.index) {
            listener.deferred.set(true);
        }
        self
    }

    /// How many connections wait to be accepted.
    pub fn waiting(&self) -> usize {
        self.shared
            .pool
            .listener(self.index)
            .map_or(0, |listener| listener.ready())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    pub(in crate::net) fn new(shared: &'static Shared, port: u16, reserved: usize) -> Result<Self, ListenError> {
        if port == 0 {
            return Err(ListenError::InvalidPort);
        }
        let pool = &shared.pool;
        if pool.listener_at(port).is_some() {
            return Err(ListenError::InUse);
        }
        let promised: usize = pool
            .listeners
            .iter()
            .map(|listener| usize::from(listener.reserved.get()))
            .sum();
        if promised.saturating_add(reserved) > pool.len() {
            return Err(ListenError::TooMany);
        }
        let index = pool.listener_at(0).ok_or(ListenError::TooMany)?;
        let listener = pool.listener(index).ok_or(ListenError::TooMany)?;
        listener.port.set(port);
        listener.reserved.set(reserved as u16);
        listener.used.set(0);
        listener.deferred.set(false);
        Ok(Self { shared, index, port })
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        let pool = &self.shared.pool;
        while let Some(ready) = pool.next_ready(self.index) {
            self.discard(ready);
        }
        for (_, slot) in pool.iter().filter(|(_, slot)| slot.listener.get() == self.index) {
            slot.listener.set(NO_LISTENER);
        }
        if let Some(listener) = pool.listener(self.index) {
            listener.port.set(0);
            listener.reserved.set(0);
            listener.used.set(0);
        }
    }
}

impl TcpListener {
    /// Resets a connection that will not be accepted any more.
    fn discard(&self, index: u16) {
        if let Some(slot) = self.shared.pool.slot(index) {
            slot.with(|socket| socket.abort());
            orphan(self.shared, index, slot);
        }
    }
}

/// Waits for a connection.
struct Accept<'a> {
    listener: &'a TcpListener,
    /// The place in the queue of waiting tasks.
    waiter: Option<u16>,
}

impl Future for Accept<'_> {
    type Output = TcpStream;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TcpStream> {
        let TcpListener { shared, index, .. } = *self.listener;
        while let Some(ready) = shared.pool.next_ready(index) {
            if let Some(slot) = shared.pool.slot(ready)
                && let Some(stream) = TcpStream::of(shared, ready, slot)
            {
                return Poll::Ready(stream);
            }
        }
        shared.pool.wait(index, &mut self.waiter, context.waker());
        Poll::Pending
    }
}

impl Drop for Accept<'_> {
    fn drop(&mut self) {
        if let Some(waiter) = self.waiter.take() {
            self.listener.shared.pool.stop_waiting(self.listener.index, waiter);
        }
    }
}
