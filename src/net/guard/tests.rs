//! The table on its own, and smoltcp's generator.

use core::net::Ipv4Addr;

use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::wire::{IpEndpoint, TcpPacket};

use super::*;
use crate::nic::MAX_FRAME;

/// What smoltcp draws after its interface was made with `seed`.
pub(in crate::net) fn smoltcp_draws(seed: u64) -> u32 {
    let mut state = seed;
    let mut draw = || {
        state = state.wrapping_mul(0xbb2e_fcec_3c39_611d).wrapping_add(0x7590_ef39);
        (state >> (29 - (state >> 61))) as u32
    };
    while {
        let number = draw();
        (number ^ (number >> 16)) as u16 == 0
    } {}
    draw()
}

fn flow(number: u32) -> Flow {
    let remote = IpEndpoint::new(Ipv4Addr::from(number).into(), 4000);
    let local = IpEndpoint::new(Ipv4Addr::new(10, 0, 2, 15).into(), 7);
    Secret::new([7; 16]).flow(local, remote)
}

fn entry(flow: &Flow, now: i64) -> HalfOpen {
    HalfOpen::new(flow, EthernetAddress([2; 6]), 1, 2, SynOptions::NONE, now)
}

fn table(entries: usize) -> Table {
    Table::new(Vec::leak(vec![HalfOpen::free(); entries]), 5_000_000)
}

#[test]
fn a_socket_begins_with_the_chosen_sequence_number() {
    for iss in [0, 1, 0x1234_5678, 0x7fff_ffff, 0x8000_0000, u32::MAX] {
        let flow = flow(0x0a00_0001);
        let mut storage = [const { smoltcp::iface::SocketStorage::EMPTY }; 1];
        let mut set = smoltcp::iface::SocketSet::new(&mut storage[..]);
        let (mut receive, mut send) = ([0; 4096], [0; 4096]);
        let mut socket = Socket::new(SocketBuffer::new(&mut receive[..]), SocketBuffer::new(&mut send[..]));
        let mut scratch = [0; MAX_FRAME];
        connect(&mut socket, &flow, iss, &mut scratch, 0).unwrap();
        socket.close();
        socket.listen(flow.local).unwrap();
        let handle = set.add(socket);
        let mut entry = entry(&flow, 0);
        entry.iss = iss;
        replay(&mut set, &flow, &entry, true, &mut scratch, 0);
        // The answer to the SYN, which goes nowhere, is still in the scratch buffer.
        let segment = TcpPacket::new_checked(&scratch[20..]).unwrap();
        assert_eq!(
            (segment.syn(), segment.ack(), segment.seq_number().0 as u32),
            (true, true, iss)
        );
        assert_eq!(segment.ack_number().0, 2);
        let state = set.get::<Socket<'_>>(handle).state();
        assert_eq!(state, smoltcp::socket::tcp::State::SynReceived);
    }
}

#[test]
fn a_full_bucket_evicts_its_oldest_entry_and_the_table_empties_itself() {
    let mut table = table(64);
    let mut evicted = 0;
    let bucket = |number: u32| flow(number).bucket() % (64 / WAYS);
    for number in 0..1000 {
        let flow = flow(number);
        assert_eq!(table.find(&flow), None);
        evicted += usize::from(table.insert(
            &flow,
            entry(&flow, i64::from(number) * 1_000),
            i64::from(number) * 1_000,
        ));
        // The last ones of the bucket are there, and no others.
        let others = (0..=number).rev().filter(|other| bucket(*other) == bucket(number));
        for (place, other) in others.enumerate() {
            assert_eq!(table.find(&tests::flow(other)).is_some(), place < WAYS, "{other}");
        }
    }
    assert_eq!((table.len(), evicted), (64, 936));
    let left = (0..1000).find(|&number| table.find(&flow(number)).is_some()).unwrap();
    table.remove(&flow(left));
    table.remove(&flow(left));
    assert_eq!(table.len(), 63);
    let mut expired = 0;
    for sweep in 0..(PARTS as i64) {
        table.sweep(6_000_000 + sweep * SWEEP, |due| {
            expired += usize::from(due == Due::Expired);
        });
    }
    assert_eq!((table.len(), expired, table.sweep_at()), (0, 63, i64::MAX));
}

#[test]
fn a_syn_ack_is_sent_again_twice_and_not_at_all_when_the_table_is_half_full() {
    for (count, expected) in [(1, 2), (32, 64), (60, 0)] {
        let mut table = table(64);
        // As many as buckets let in.
        let mut number = 0;
        while table.len() < count {
            let flow = flow(number);
            table.insert(&flow, entry(&flow, 0), 0);
            number += 1;
        }
        let mut resent = 0;
        for at in 1..50 {
            table.sweep(at * SWEEP, |due| resent += usize::from(matches!(due, Due::Resend(_))));
        }
        assert_eq!(resent, expected, "{count}");
    }
}

#[test]
fn sequence_numbers_depend_on_both_ends_the_secret_and_the_time() {
    let end = |address: u8, port: u16| IpEndpoint::new(Ipv4Addr::new(10, 0, 2, address).into(), port);
    let iss = |key: u8, local, remote, now| Secret::new([key; 16]).flow(local, remote).iss(now, None);
    let first = iss(1, end(1, 7), end(2, 4000), 0);
    assert_eq!(iss(1, end(1, 7), end(2, 4000), 0), first);
    for other in [
        iss(2, end(1, 7), end(2, 4000), 0),
        iss(1, end(3, 7), end(2, 4000), 0),
        iss(1, end(1, 8), end(2, 4000), 0),
        iss(1, end(1, 7), end(3, 4000), 0),
        iss(1, end(1, 7), end(2, 4001), 0),
    ] {
        assert_ne!(other, first);
    }
    // RFC 6528 §3: a number each 4 us.
    assert_eq!(iss(1, end(1, 7), end(2, 4000), 1_000_000).wrapping_sub(first), 250_000);
    // A previous connection that was faster than this clock.
    let floor = first.wrapping_add(500_000);
    let next = Secret::new([1; 16])
        .flow(end(1, 7), end(2, 4000))
        .iss(1_000_000, Some(floor));
    assert!(after(next, floor));
}
