//! The choice of the established connection to evict when all workers are busy.
//!
//! Of the address with the most connections, if it has more than a quarter of all and at least two more than the
//! newcomer's, the one that has been idle longest: no single address keeps others out, be its connections idle or not.
//! Otherwise the one that has been idle longest of all, if for at least [`IDLE`](super::registry::IDLE). The order
//! protects the idle connections of others from an address that opens one connection after another. A peer that has
//! shown a certificate goes after all that have not, and a connection that was opened from here never goes. An IPv6
//! network of 64 bits counts as one address.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use embassy_time::Instant;

use super::registry::{ConnectionState, Entry, Eviction};

/// Addresses that are counted at a time: any address with more than a quarter of the connections is among them (Misra
/// and Gries, 1982), with two passes over the table and no memory that grows.
const COUNTERS: usize = 3;

/// Chooses among `entries`, which is called for each pass. `newcomer` is an [`origin`].
pub(super) fn choose<'a, I: Iterator<Item = &'a Entry>>(
    entries: impl Fn() -> I,
    newcomer: IpAddr,
    now: Instant,
) -> Option<(&'a Entry, Eviction)> {
    let own = entries().filter(|entry| is_of(entry, newcomer)).count();
    let most = heaviest(&entries).filter(|(_, count)| *count >= own.saturating_add(2));
    let share = |entry: &&Entry| most.is_some_and(|(address, _)| is_of(entry, address));
    let idle = |entry: &&Entry| entry.evictable_from().is_some_and(|from| from <= now);
    entries()
        .filter(|entry| entry.state() == ConnectionState::Established && !entry.is_dialled())
        .filter(|entry| share(entry) || idle(entry))
        .min_by_key(|entry| {
            (
                entry.description().subject.is_some(),
                !share(entry),
                entry.flow().moved(),
            )
        })
        .map(|entry| (entry, if share(&entry) { Eviction::Share } else { Eviction::Idle }))
}

/// The address with the most connections, if it has more than a quarter of them, and how many it has.
fn heaviest<'a, I: Iterator<Item = &'a Entry>>(entries: &impl Fn() -> I) -> Option<(IpAddr, usize)> {
    let mut counters = [(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0_usize); COUNTERS];
    let live = || {
        entries()
            .filter(|entry| entry.state() != ConnectionState::Vacant)
            .map(|entry| origin(entry.peer()))
    };
    for address in live() {
        if let Some((_, count)) = counters.iter_mut().find(|(of, count)| *count > 0 && *of == address) {
            *count += 1;
        } else if let Some(free) = counters.iter_mut().find(|(_, count)| *count == 0) {
            *free = (address, 1);
        } else {
            counters.iter_mut().for_each(|(_, count)| *count -= 1);
        }
    }
    // A freed place is counted again.
    let mut exact = counters.map(|(address, _)| (address, 0_usize));
    let mut all = 0_usize;
    for address in live() {
        all += 1;
        if let Some((_, count)) = exact.iter_mut().find(|(of, _)| *of == address) {
            *count += 1;
        }
    }
    exact
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .filter(|(_, count)| count.saturating_mul(COUNTERS + 1) > all)
}

fn is_of(entry: &Entry, address: IpAddr) -> bool {
    entry.state() != ConnectionState::Vacant && origin(entry.peer()) == address
}

/// The address by which connections of a peer are counted: its IPv4 address, or its IPv6 network of 64 bits, since a host
/// has as many addresses there as it wants (RFC 4291 §2.5.1).
pub(super) fn origin(peer: SocketAddr) -> IpAddr {
    match peer.ip() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests;
