//! Outgoing TCP connections.

use core::future::poll_fn;
use core::net::SocketAddr;
use core::task::Poll;

use embassy_time::Duration;
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::super::slots::{Class, CloseReason, ConnectRequest, ConnectionKey, NEVER, NO_LISTENER, Taken};
use super::super::{ConnectError, Shared};
use super::TcpStream;
use crate::nic::Link;

/// The first of the ephemeral ports. The whole range makes them hardest to guess (RFC 6056 §3.2).
const EPHEMERAL: u16 = 1024;

/// Opens a connection.
pub(in crate::net) async fn connect(
    shared: &'static Shared,
    remote: SocketAddr,
    timeout: Duration,
) -> Result<TcpStream, ConnectError> {
    if !matches!(shared.link.get(), Link::Up(_)) {
        return Err(ConnectError::NoLink);
    }
    if remote.is_ipv6() && !shared.ipv6.get().on {
        return Err(ConnectError::NoIpv6);
    }
    let remote = IpEndpoint::from(remote);
    let local = shared.source(remote.addr).ok_or(ConnectError::Unreachable)?;
    if remote.port == 0 || shared.is_own(remote.addr) || shared.next_hop(remote.addr).is_none() {
        return Err(ConnectError::Unreachable);
    }
    let pool = &shared.pool;
    let index = match pool.take(NO_LISTENER) {
        Taken::Free(index) => index,
        Taken::Victim(index, class @ Class::Done) => {
            pool.release(index);
            shared.count(|counters| counters.evict(class));
            index
        }
        Taken::Victim(..) | Taken::Full => return Err(ConnectError::NoSlot),
    };
    let slot = pool.slot(index).ok_or(ConnectError::NoSlot)?;
    let key = free_key(shared, local, remote).ok_or(ConnectError::NoSlot)?;
    pool.enlist(index, Class::Connecting, NO_LISTENER, key, shared.now.get());
    slot.request.set(Some(ConnectRequest {
        timeout: i64::try_from(timeout.as_micros()).unwrap_or(NEVER),
    }));
    // From here on a dropped future gives the slot back.
    let stream = TcpStream::of(shared, index, slot).ok_or(ConnectError::NoSlot)?;
    pool.mark(index);
    poll_fn(|context| {
        let Some(slot) = stream.slot() else {
            return Poll::Ready(Err(ConnectError::Unreachable));
        };
        if slot.class() == Class::Marked {
            return Poll::Ready(Ok(()));
        }
        match slot.end.get() {
            CloseReason::None => {
                slot.with(|socket| socket.register_recv_waker(context.waker()));
                Poll::Pending
            }
            CloseReason::Reset => Poll::Ready(Err(ConnectError::Refused)),
            CloseReason::TimedOut => Poll::Ready(Err(ConnectError::TimedOut)),
            CloseReason::Unreachable => Poll::Ready(Err(ConnectError::NoNeighbor)),
            CloseReason::Down => Poll::Ready(Err(ConnectError::Unreachable)),
        }
    })
    .await?;
    Ok(stream)
}

/// A local port from which there is no connection to `remote` yet: the first after one drawn at random (RFC 6056 §3.3.1).
fn free_key(shared: &Shared, local: IpAddress, remote: IpEndpoint) -> Option<ConnectionKey> {
    let count = u16::MAX - EPHEMERAL;
    let first = (shared.secret.draw() % (u64::from(count) + 1)) as u16;
    let ports = (first..=count).chain(0..first).map(|number| EPHEMERAL + number);
    ports
        .map(|port| ConnectionKey {
            remote,
            local: IpEndpoint::new(local, port),
        })
        .find(|&key| shared.pool.find(key).is_none() && shared.pool.listener_at(key.local.port).is_none())
}
