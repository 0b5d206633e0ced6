//! The choice of the connection to evict.

use std::vec::Vec;

use embassy_time::Duration;

use super::*;
use crate::endpoint::Description;
use crate::net::Kind;
use crate::pki::text::Text;
use crate::serve::registry::{Guard, IDLE};

fn address(n: usize) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + u32::try_from(n).unwrap()).into()
}

/// Established connections, one for each address, in that order.
fn taken<'a>(table: &'a [Entry], addresses: impl IntoIterator<Item = usize>) -> Vec<Guard<'a>> {
    let occupy = |(entry, n): (&'a Entry, usize)| {
        let guard = entry.occupy(Kind::Plain, 7, SocketAddr::new(address(n), 1));
        guard.advance(ConnectionState::Established);
        guard
    };
    table.iter().zip(addresses).map(occupy).collect()
}

fn table<const N: usize>() -> [Entry; N] {
    core::array::from_fn(|_| Entry::new())
}

#[test]
fn one_address_makes_room_for_others_and_not_for_itself() {
    let table = table::<100>();
    // One has 97, the oldest connections belong to others.
    let guards = taken(&table, [1, 2, 3].into_iter().chain(core::iter::repeat_n(9, 97)));
    let now = Instant::now();
    let chosen =
        |newcomer, now| choose(|| table.iter(), address(newcomer), now).map(|(entry, why)| (entry.peer().ip(), why));
    assert_eq!(chosen(50, now), Some((address(9), Eviction::Share)));
    assert_eq!(chosen(2, now), Some((address(9), Eviction::Share)));
    assert_eq!(chosen(9, now), None, "all of them are busy");
    // Idle, the oldest goes, whatever its address.
    let later = now + IDLE + Duration::from_secs(1);
    assert_eq!(chosen(9, later), Some((address(1), Eviction::Idle)));
    assert_eq!(chosen(50, later), Some((address(9), Eviction::Share)));
    guards.iter().for_each(|guard| guard.mark_dialled());
    assert_eq!(chosen(50, later), None);
}

#[test]
fn among_equals_the_longest_idle_goes_first_and_authenticated_peers_last() {
    let table = table::<40>();
    let guards = taken(&table, 0..40);
    let now = Instant::now();
    let chosen = |now| choose(|| table.iter(), address(50), now).map(|(entry, why)| (entry.peer().ip(), why));
    assert_eq!(chosen(now), None);
    let later = now + IDLE;
    assert_eq!(chosen(later), Some((address(0), Eviction::Idle)));
    guards[0].describe(Description {
        subject: Some(Text::new("CN=known")),
        ..Description::default()
    });
    assert_eq!(chosen(later), Some((address(1), Eviction::Idle)));
}

#[test]
fn an_address_with_more_than_a_quarter_is_found_in_any_order() {
    let table = table::<360>();
    for step in [1, 7, 37, 91] {
        // Every third is of the same.
        let order = |n: usize| (n * step) % 360;
        let _guards = taken(
            &table,
            (0..360).map(|n| if order(n) % 3 == 0 { 1000 } else { order(n) }),
        );
        assert_eq!(heaviest(&|| table.iter()), Some((address(1000), 120)), "{step}");
    }
    // Four clients of one address among many are not too many.
    let _guards = taken(&table, (0..360).map(|n| if n < 4 { 1000 } else { n }));
    assert_eq!(heaviest(&|| table.iter()), None);
}

#[test]
fn an_ipv6_network_counts_as_one_address() {
    let table = table::<8>();
    let guards: Vec<_> = table
        .iter()
        .zip(1..)
        .map(|(entry, host)| {
            let network = if host > 4 { host } else { 1 };
            let address = Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host);
            let guard = entry.occupy(Kind::Plain, 7, SocketAddr::new(address.into(), 1));
            guard.advance(ConnectionState::Established);
            guard
        })
        .collect();
    let of = |network| {
        origin(SocketAddr::new(
            Ipv6Addr::new(0x2001, 0xdb8, 0, network, 9, 9, 9, 9).into(),
            1,
        ))
    };
    assert_eq!(heaviest(&|| table.iter()), Some((of(1), 4)));
    let chosen = choose(|| table.iter(), of(20), Instant::now()).map(|(entry, why)| (origin(entry.peer()), why));
    assert_eq!(chosen, Some((of(1), Eviction::Share)));
    drop(guards);
}
