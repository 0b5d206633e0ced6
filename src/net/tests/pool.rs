//! Slots under pressure: floods, evictions, reservations, TIME_WAIT.

use embedded_io_async::{Read, Write};
use smoltcp::wire::{ArpOperation, IpEndpoint, TcpControl};

use super::frames::{SYN_ACK, arp, handshake, handshake_from, lonely, segments, tcp};
use super::slots::ConnectionKey;
use super::streams::{echo, exchange};
use super::*;

const FRIEND: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 50);

/// A host in the ARP cache, since it has asked for our address.
fn introduce(world: &mut World) {
    world.hosts[0].port.deliver(arp(ArpOperation::Request, FRIEND));
    world.settle();
}

fn friend(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(FRIEND, port)
}

#[test]
fn a_burst_of_syns_as_large_as_the_pool_is_accepted_at_once() {
    let plan = Plan {
        large: 16,
        small: 48,
        ..PLAN
    };
    let (mut world, sent) = lonely(plan);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    introduce(&mut world);
    sent.borrow_mut().clear();
    for port in 0..64 {
        world.hosts[0]
            .port
            .deliver(tcp(friend(2000 + port), 7, TcpControl::Syn, 5, None, b""));
    }
    world.settle();
    let answers = segments(&sent);
    assert_eq!(answers.len(), 64);
    assert!(answers.iter().all(|answer| answer.flags == SYN_ACK));
    for answer in answers {
        let ack = Some(answer.seq.wrapping_add(1));
        world.hosts[0]
            .port
            .deliver(tcp(answer.to, 7, TcpControl::None, 6, ack, b""));
    }
    world.settle();
    let mut accepted: Vec<_> = (0..64).map(|_| now_or_never(listener.accept()).unwrap()).collect();
    // In the order of their handshakes.
    assert!(accepted.iter().map(|stream| stream.peer().port()).eq(2000..2064));
    assert!(now_or_never(listener.accept()).is_none());
    // All are marked: one more is refused, and the others go on.
    accepted.iter().for_each(TcpStream::mark_established);
    assert_eq!(world.netif(0).established(), 64);
    world.hosts[0]
        .port
        .deliver(tcp(friend(9999), 7, TcpControl::Syn, 5, None, b""));
    world.settle();
    let answers = segments(&sent);
    assert_eq!(
        (answers.len(), answers[0].flags.2, answers[0].to),
        (1, true, friend(9999))
    );
    assert_eq!(world.netif(0).counters().no_slot, 1);
    world.run(async move {
        accepted[63].write_all(b"fine").await.unwrap();
        std::mem::forget(accepted);
    });
    world.settle();
    assert_eq!(segments(&sent)[0].data, b"fine");
}

#[test]
fn after_and_during_a_flood_of_ten_thousand_syns_a_normal_connection_succeeds_at_once() {
    for near in [false, true] {
        let mut world = World::new(&[PLAN, PLAN]);
        let listener = Rc::new(world.netif(0).listen(7).unwrap());
        // With a router at the hand of the tap, or from unused addresses of the network.
        world.hosts[0]
            .port
            .deliver(arp(ArpOperation::Reply, Ipv4Addr::new(10, 0, 2, 2)));
        let flood = |world: &mut World, from: u32, count: u32| {
            for number in from..from + count {
                let source = if near {
                    Ipv4Addr::new(10, 0, 2, 100 + (number % 150) as u8)
                } else {
                    Ipv4Addr::from(0xc000_0200 + number)
                };
                let source = SocketAddrV4::new(source, 1024 + (number / 150) as u16);
                world.hosts[0]
                    .port
                    .deliver(tcp(source, 7, TcpControl::Syn, number as i32, None, b""));
                if number % 100 == 0 {
                    world.settle();
                }
            }
            world.settle();
        };
        flood(&mut world, 0, 10_000);
        let start = world.now;
        let (mut client, server) = world.pair(1, 0, &listener);
        // No timer had to run out for it.
        assert!(world.now - start < 10_000, "{}", world.now - start);
        server.mark_established();
        world.spawn(async move { echo(server).await.unwrap() });
        // An established connection is not touched by the next flood.
        flood(&mut world, 20_000, 1_000);
        assert_eq!(
            world.run(async move { exchange(&mut client, b"hello").await }),
            b"hello"
        );
        let counters = world.netif(0).counters();
        assert!(counters.evicted_half_open >= 8_900, "{counters:?}");
        world.pass(20_000_000);
        let status = world.netif(0).status();
        assert_eq!((status.free, status.half_open), (PLAN.slots(), 0));
    }
}

#[test]
fn a_flood_from_addresses_without_neighbours_does_not_hold_up_a_stranger() {
    // SYN-ACKs go where the SYNs came from: without an ARP request and without waiting.
    let (mut world, sent) = lonely(PLAN);
    let _listener = world.netif(0).listen(7).unwrap();
    for number in 0..100u8 {
        let source = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 100 + number), 9);
        world.hosts[0]
            .port
            .deliver(tcp(source, 7, TcpControl::Syn, 1, None, b""));
    }
    world.settle();
    sent.borrow_mut().clear();
    world.hosts[0]
        .port
        .deliver(tcp(friend(4000), 7, TcpControl::Syn, 1, None, b""));
    world.settle();
    assert!(
        sent.borrow()
            .iter()
            .all(|frame| frame[12..14] == [8, 0] && frame[..6] == frames::PEER)
    );
    assert!(
        segments(&sent)
            .iter()
            .any(|answer| answer.to == friend(4000) && answer.flags == SYN_ACK)
    );
}

#[test]
fn stalled_peers_are_evicted_oldest_first_and_their_owners_see_it() {
    let (mut world, sent) = lonely(PLAN);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    introduce(&mut world);
    let mut streams = Vec::new();
    for port in 0..8 {
        handshake(&mut world, &sent, friend(3000 + port), 7).unwrap();
        streams.push(now_or_never(listener.accept()).unwrap());
    }
    streams[0].mark_established();
    let (mut oldest, read) = (streams.remove(1), Rc::new(Cell::new(None)));
    let result = read.clone();
    world.spawn(async move {
        let mut buffer = [0; 8];
        result.set(Some(oldest.read(&mut buffer).await));
        assert_eq!(oldest.write(b"x").await, Err(Error::Evicted));
        oldest.shutdown();
        oldest.drained().await;
    });
    world.settle();
    assert_eq!(read.get(), None);
    handshake(&mut world, &sent, friend(5000), 7).unwrap();
    assert_eq!(read.get(), Some(Err(Error::Evicted)));
    assert_eq!(
        now_or_never(listener.accept()).map(|stream| stream.peer()),
        Some(friend(5000).into())
    );
    assert_eq!(world.netif(0).counters().evicted_unmarked, 1);
    // The stream that was accepted and dropped made place for the next one; the marked one is still there.
    for port in 0..100 {
        handshake(&mut world, &sent, friend(6000 + port), 7).unwrap();
    }
    assert_eq!(world.netif(0).established(), 1);
    let mut seen = Vec::new();
    world.netif(0).for_each_connection(|connection| seen.push(connection));
    assert!(
        seen.iter()
            .any(|connection| connection.peer == friend(3000).into() && connection.established)
    );
    assert_eq!(seen.iter().filter(|connection| !connection.established).count(), 7);
}

#[test]
fn silent_connections_are_evicted_before_active_ones() {
    let (mut world, sent) = lonely(PLAN);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    introduce(&mut world);
    let mut first = None;
    for port in 0..8 {
        let numbers = handshake(&mut world, &sent, friend(3000 + port), 7).unwrap();
        first.get_or_insert(numbers);
    }
    let (seq, ack) = first.unwrap();
    world.hosts[0]
        .port
        .deliver(tcp(friend(3000), 7, TcpControl::Psh, seq, Some(ack), b"hello"));
    world.settle();
    for port in 0..7 {
        handshake(&mut world, &sent, friend(5000 + port), 7).unwrap();
    }
    assert_eq!(now_or_never(listener.accept()).unwrap().peer(), friend(3000).into());
    assert_eq!(now_or_never(listener.accept()).unwrap().peer(), friend(5000).into());
}

#[test]
fn an_evicted_peer_is_reset() {
    let (mut world, sent) = lonely(Plan { large: 1, ..PLAN });
    let _listener = world.netif(0).listen(7).unwrap();
    introduce(&mut world);
    handshake(&mut world, &sent, friend(1), 7).unwrap();
    sent.borrow_mut().clear();
    world.hosts[0]
        .port
        .deliver(tcp(friend(2), 7, TcpControl::Syn, 1, None, b""));
    world.settle();
    let answers = segments(&sent);
    // A SYN alone evicts no connection.
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!((answer.to, answer.flags), (friend(2), SYN_ACK));
    let ack = Some(answer.seq.wrapping_add(1));
    world.hosts[0]
        .port
        .deliver(tcp(friend(2), 7, TcpControl::None, 2, ack, b""));
    world.settle();
    let answers = segments(&sent);
    assert!(answers.iter().any(|answer| answer.to == friend(1) && answer.flags.2));
}

#[test]
fn half_open_connections_run_out_and_repeat_their_answer_until_then() {
    let (mut world, sent) = lonely(PLAN);
    let _listener = world.netif(0).listen(7).unwrap();
    introduce(&mut world);
    sent.borrow_mut().clear();
    world.hosts[0]
        .port
        .deliver(tcp(friend(1), 7, TcpControl::Syn, 1, None, b""));
    world.pass(4_000_000);
    assert_eq!(world.netif(0).status().half_open, 1);
    assert!(segments(&sent).len() >= 2);
    world.pass(1_500_000);
    assert_eq!(world.netif(0).status().half_open, 0);
    assert_eq!(world.netif(0).counters().half_open_expired, 1);
    // RST in the middle of the handshake: free at once.
    world.hosts[0]
        .port
        .deliver(tcp(friend(1), 7, TcpControl::Syn, 1, None, b""));
    world.settle();
    assert_eq!(world.netif(0).status().half_open, 1);
    world.hosts[0]
        .port
        .deliver(tcp(friend(1), 7, TcpControl::Rst, 2, Some(1), b""));
    world.settle();
    assert_eq!(world.netif(0).status().half_open, 0);
}

#[test]
fn the_shell_is_reachable_however_full_the_echo_is() {
    let (mut world, sent) = lonely(PLAN);
    let echo = Rc::new(world.netif(0).listen(7).unwrap());
    let shell = Rc::new(world.netif(0).listen_reserved(23, 2).unwrap());
    introduce(&mut world);
    // Six established fill what is not reserved.
    let mut kept = Vec::new();
    for port in 0..6 {
        handshake(&mut world, &sent, friend(3000 + port), 7).unwrap();
        let stream = now_or_never(echo.accept()).unwrap();
        stream.mark_established();
        kept.push(stream);
    }
    assert!(handshake(&mut world, &sent, friend(3999), 7).is_none());
    let port = world.hosts[0].port.clone();
    for number in 0..10_000 {
        port.deliver(tcp(friend(4000 + number), 7, TcpControl::Syn, 1, None, b""));
    }
    world.settle();
    assert_eq!(world.netif(0).counters().no_slot, 10_001);
    handshake(&mut world, &sent, friend(100), 23).unwrap();
    let first = now_or_never(shell.accept()).unwrap();
    first.mark_established();
    // Nor does a flood on its own port lock it.
    for number in 0..10_000 {
        port.deliver(tcp(friend(4000 + number), 23, TcpControl::Syn, 1, None, b""));
    }
    world.settle();
    handshake(&mut world, &sent, friend(101), 23).unwrap();
    let second = now_or_never(shell.accept()).unwrap();
    second.mark_established();
    assert_eq!(world.netif(0).established(), 8);
    // What the shell frees is not for the echo.
    drop(second);
    world.settle();
    assert!(handshake(&mut world, &sent, friend(3999), 7).is_none());
    let mut listeners = Vec::new();
    world.netif(0).for_each_listener(|listener| listeners.push(listener));
    let [echo_info, shell_info] = listeners[..] else {
        panic!("{listeners:?}")
    };
    assert_eq!((echo_info.port, echo_info.reserved, echo_info.used), (7, 0, 6));
    assert_eq!((shell_info.port, shell_info.reserved, shell_info.used), (23, 2, 1));
    // More than there is cannot be reserved.
    assert_eq!(world.netif(0).listen_reserved(24, 7).err(), Some(ListenError::TooMany));
    drop(shell);
    drop(first);
    world.settle();
    assert!(handshake(&mut world, &sent, friend(3999), 7).is_some());
}

#[test]
fn a_full_shell_port_evicts_its_own_oldest_not_the_echo_s() {
    let (mut world, sent) = lonely(PLAN);
    let echo = world.netif(0).listen(7).unwrap();
    let shell = world.netif(0).listen_reserved(23, 2).unwrap();
    introduce(&mut world);
    for port in 0..6 {
        handshake(&mut world, &sent, friend(3000 + port), 7).unwrap();
    }
    for port in 0..2 {
        handshake(&mut world, &sent, friend(100 + port), 23).unwrap();
    }
    // The shell has its share: the oldest unmarked connection of a listener above its share is evicted.
    handshake(&mut world, &sent, friend(102), 23).unwrap();
    let mut peers = Vec::new();
    world
        .netif(0)
        .for_each_connection(|connection| peers.push((connection.local_port, connection.peer.port())));
    assert_eq!(peers.iter().filter(|(port, _)| *port == 23).count(), 3);
    assert!(!peers.contains(&(7, 3000)));
    // The echo takes back from the shell only what is beyond its reservation.
    for port in 0..20 {
        handshake(&mut world, &sent, friend(5000 + port), 7).unwrap();
    }
    let mut shells = 0;
    world
        .netif(0)
        .for_each_connection(|connection| shells += usize::from(connection.local_port == 23));
    assert_eq!(shells, 2);
    drop((echo, shell));
}

#[test]
fn a_thousand_connections_in_time_wait_do_not_starve_a_pool_of_eight() {
    let mut world = World::new(&[
        PLAN,
        Plan {
            large: 8,
            small: 8,
            ..PLAN
        },
    ]);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    let start = world.now;
    for round in 0..1000 {
        let (mut client, mut server) = world.pair(1, 0, &listener);
        world.run(async move {
            // We close first, so TIME_WAIT is ours.
            server.write_all(b"bye").await.unwrap();
            server.shutdown();
            assert_eq!(exchange(&mut client, b"").await, b"bye");
            server.drained().await;
            assert_eq!(server.read(&mut [0; 9]).await, Ok(0));
        });
        assert!(round < 20 || world.netif(0).status().closing > 0);
    }
    // Far less than the ten seconds that a single TIME_WAIT takes, for each.
    assert!(world.now - start < 100_000_000);
    assert!(world.netif(0).counters().evicted_done > 900);
    world.pass(25_000_000);
    assert_eq!(world.netif(0).status().free, 8);
}

#[test]
fn a_syn_reopens_a_connection_from_time_wait() {
    let (mut world, sent) = lonely(PLAN);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    introduce(&mut world);
    for round in 0..3 {
        // The same port each time, without a pause.
        let (seq, ack) = handshake_from(&mut world, &sent, friend(4000), 7, 1000 * (round + 1)).unwrap();
        let mut server = now_or_never(listener.accept()).unwrap();
        server.shutdown();
        world.settle();
        assert!(segments(&sent).iter().any(|segment| segment.flags.3));
        let fin = tcp(friend(4000), 7, TcpControl::Fin, seq, Some(ack.wrapping_add(1)), b"");
        world.hosts[0].port.deliver(fin);
        world.settle();
        let mut states = Vec::new();
        world
            .netif(0)
            .for_each_connection(|connection| states.push(connection.state));
        assert_eq!(states, [State::TimeWait]);
        world.run(async move { server.drained().await });
        segments(&sent);
    }
}

#[test]
fn segments_without_a_connection_are_reset_and_resets_are_not() {
    let (mut world, sent) = lonely(PLAN);
    let _listener = world.netif(0).listen(7).unwrap();
    introduce(&mut world);
    for (control, ack, port, answered) in [
        (TcpControl::Syn, None, 8, true),
        (TcpControl::None, Some(9), 7, true),
        (TcpControl::Fin, Some(9), 7, true),
        (TcpControl::Rst, Some(9), 7, false),
        (TcpControl::Rst, None, 8, false),
    ] {
        segments(&sent);
        world.hosts[0].port.deliver(tcp(friend(1), port, control, 77, ack, b""));
        world.settle();
        let answers = segments(&sent);
        assert_eq!(answers.len(), usize::from(answered), "{control:?}");
        assert!(answers.iter().all(|answer| answer.flags.2));
    }
    assert_eq!(world.netif(0).counters().no_listener, 1);
    assert_eq!(world.netif(0).status().free, PLAN.slots());
}

#[test]
fn large_buffers_go_first() {
    let plan = Plan {
        large: 2,
        small: 2,
        ..PLAN
    };
    let mut world = World::new(&[plan, PLAN]);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    let mut room = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..4 {
        let (client, server) = world.pair(1, 0, &listener);
        room.push(server.writable());
        kept.push((client, server));
    }
    assert_eq!(room, [32 << 10, 32 << 10, 4 << 10, 4 << 10]);
}

/// An arena that counts its bytes, each allocation with the padding that it may need.
#[derive(Default)]
struct Counting(usize);

impl Arena for Counting {
    fn slice<T: 'static>(&mut self, count: usize, init: impl FnMut(usize) -> T) -> Option<&'static mut [T]> {
        self.0 += count * size_of::<T>() + align_of::<T>() - 1;
        Leak.slice(count, init)
    }
}

#[test]
fn an_interface_takes_its_budget_and_what_is_fixed() {
    for (budget, connections) in [(64 << 10, 64), (1 << 20, 64), (3 << 20, 64), (16 << 20, 1024)] {
        let plan = Plan::for_memory(budget, connections);
        let settings = Config::new("vm0", Address::Dhcp, [0; 16]);
        let card = FakeCard {
            mac: mac(0),
            port: Rc::default(),
            present: None,
        };
        let mut arena = Counting::default();
        open(card, settings, plan, &mut arena).unwrap();
        let most = budget.max(plan.slots() * Plan::LEAST_SLOT) + Plan::FIXED;
        assert!(arena.0 <= most, "{} of {most}: {plan:?}", arena.0);
        // The least interface takes as much as is computed, but for the padding.
        let least = plan.slots() * Plan::LEAST_SLOT + Plan::FIXED;
        assert!(
            arena.0 + 512 + 8 * plan.slots() > least,
            "{} of {least}: {plan:?}",
            arena.0
        );
    }
}

#[test]
fn plans_fit_their_budget() {
    for (budget, connections) in [
        (64 << 10, 64),
        (1 << 20, 64),
        (3 << 20, 64),
        (16 << 20, 1024),
        (512 << 20, 1024),
    ] {
        let plan = Plan::for_memory(budget, connections);
        let table = (plan.half_open - MIN_HALF_OPEN) * size_of::<HalfOpen>();
        let bytes = table + 2 * (plan.large * plan.large_buffer + plan.small * plan.small_buffer);
        assert!(bytes <= budget, "{plan:?}");
        assert!(plan.slots() == connections || bytes > budget / 2, "{plan:?}");
    }
    assert_eq!(Plan::for_memory(0, 10).slots(), 1);
    assert_eq!(Plan::for_memory(512 << 20, 1024).large, 1024);
    let modest = Plan::for_memory(3 << 20, 64);
    assert!(modest.slots() == 64 && modest.large >= 32, "{modest:?}");
}

#[test]
fn addresses_from_the_configuration_are_checked() {
    let ip = |ipaddr: [u8; 4], netmask: [u8; 4], gateway: Option<[u8; 4]>| {
        let ip = config::Ip {
            use_dhcp: false,
            ipaddr: ipaddr.into(),
            netmask: netmask.into(),
            gateway: gateway.map(Into::into),
            dns: None,
        };
        Address::from_config(&ip)
    };
    let mask = [255, 255, 255, 0];
    assert_eq!(
        ip([10, 0, 2, 15], mask, Some([10, 0, 2, 2])),
        Ok(Address::Static {
            address: Ipv4Addr::new(10, 0, 2, 15),
            prefix: 24,
            gateway: Some(Ipv4Addr::new(10, 0, 2, 2))
        })
    );
    assert_eq!(ip([10, 0, 2, 255], mask, None), Err(AddressError::NotAHost));
    assert_eq!(ip([0, 0, 0, 0], mask, None), Err(AddressError::NotAHost));
    assert_eq!(ip([10, 0, 2, 15], [255, 0, 255, 0], None), Err(AddressError::NotAMask));
    assert_eq!(ip([10, 0, 2, 15], [0, 0, 0, 0], None), Err(AddressError::NotAMask));
    assert_eq!(
        ip([10, 0, 2, 15], mask, Some([10, 0, 3, 2])),
        Err(AddressError::Gateway)
    );
    for gateway in [[10, 0, 2, 255], [10, 0, 2, 0], [10, 0, 2, 15]] {
        assert_eq!(ip([10, 0, 2, 15], mask, Some(gateway)), Err(AddressError::Gateway));
    }
    assert_eq!(ip([10, 0, 2, 0], mask, None), Err(AddressError::NotAHost));
    assert!(ip([10, 0, 2, 0], [255, 255, 255, 254], Some([10, 0, 2, 1])).is_ok());
    assert_eq!(Address::from_config(&config::Ip::default()), Ok(Address::Dhcp));
}

#[test]
fn the_table_finds_what_is_in_it_and_nothing_else() {
    let mut world = World::new(&[Plan {
        large: 0,
        small: 300,
        ..PLAN
    }]);
    let pool = &world.netif(0).shared.pool;
    // Of both families.
    let peer = |number: u32| match number % 2 {
        0 => IpAddress::from(Ipv4Addr::from(0x0a00_0000 + number)),
        _ => IpAddress::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number as u16)),
    };
    let key = |number: u32| ConnectionKey {
        remote: IpEndpoint::new(peer(number / 7), (number % 7) as u16),
        local: IpEndpoint::new(address(0).into(), 7),
    };
    let mut present = std::collections::HashMap::new();
    for step in 0..20_000 {
        let number = world.random(600);
        match present.remove(&number) {
            Some(index) => {
                assert_eq!(pool.find(key(number)), Some(index));
                if step % 3 == 0 {
                    pool.unhash(index);
                    assert_eq!(pool.find(key(number)), None);
                }
                pool.release(index);
            }
            None => {
                if let slots::Taken::Free(index) = pool.take(slots::NO_LISTENER) {
                    pool.enlist(index, Class::Marked, slots::NO_LISTENER, key(number), 0);
                    present.insert(number, index);
                } else {
                    assert_eq!(present.len(), 300);
                }
            }
        }
        assert_eq!(pool.count(Class::FreeSmall) + pool.count(Class::Marked), 300);
        assert_eq!(pool.count(Class::Marked), present.len());
    }
    for number in 0..600 {
        assert_eq!(pool.find(key(number)), present.get(&number).copied());
    }
}

/// By the real clock: a delayed acknowledgement and a lost frame's retransmission need the runner's own timer.
#[test]
fn a_runner_keeps_time_by_itself() {
    let mut ends = Vec::new();
    for index in 0..2 {
        let port = Rc::new(Port::default());
        port.link.set(Link::Up(1000));
        port.room.set(256);
        let card = FakeCard {
            mac: mac(index),
            port: port.clone(),
            present: None,
        };
        ends.push((open(card, config(index), PLAN, &mut Leak).unwrap(), port));
    }
    let ((theirs, mut other), far) = ends.pop().unwrap();
    let ((ours, mut runner), near) = ends.pop().unwrap();
    let listener = theirs.listen(7).unwrap();
    let mut lose = true;
    let wire = async {
        loop {
            for (from, to) in [(&near, &far), (&far, &near)] {
                let frames: Vec<_> = from.tx.borrow_mut().drain(..).collect();
                for frame in frames {
                    // The first SYN gets lost.
                    let syn = frames::parse(&frame).is_some_and(|sent| sent.flags.0);
                    if !(syn && std::mem::take(&mut lose)) {
                        to.deliver(frame);
                    }
                }
            }
            embassy_futures::yield_now().await;
        }
    };
    let work = async {
        let server = async { echo(listener.accept().await).await.unwrap() };
        let client = async {
            let remote = SocketAddrV4::new(address(1), 7);
            let mut stream = ours.connect(remote.into(), Duration::from_secs(30)).await.unwrap();
            assert_eq!(exchange(&mut stream, b"in time").await, b"in time");
        };
        embassy_futures::join::join(server, client).await;
    };
    let all = embassy_futures::select::select4(runner.run(), other.run(), wire, work);
    assert!(matches!(
        crate::testing::block_on(all),
        embassy_futures::select::Either4::Fourth(_)
    ));
}

/// Runners as real tasks, by the real clock, woken only by their wakers. Nothing here may need a timer: the test's
/// clock wakes no task.
#[test]
fn a_sleeping_runner_is_woken_by_frames_and_by_writers() {
    let mut ports = Vec::new();
    let mut netifs = Vec::new();
    let mut world = World::new(&[]);
    for index in 0..2 {
        let port = Rc::new(Port::default());
        port.link.set(Link::Up(1000));
        port.room.set(256);
        let card = FakeCard {
            mac: mac(index),
            port: port.clone(),
            present: None,
        };
        let mut config = config(index);
        config.ack_delay = Duration::from_ticks(0);
        config.spin = Duration::from_ticks(0);
        let (netif, mut runner) = open(card, config, PLAN, &mut Leak).unwrap();
        world.spawn(async move {
            runner.run().await;
        });
        ports.push(port);
        netifs.push(netif);
    }
    let listener = netifs[0].listen(7).unwrap();
    let client = netifs[1];
    let done = Rc::new(Cell::new(false));
    let finished = done.clone();
    let rounds = |world: &mut World| {
        // Tasks alone, and the wire between them.
        let mut idle = 0;
        for _ in 0..1_000_000 {
            let active = world.round().0;
            let mut carried = false;
            for (from, to) in [(0, 1), (1, 0)] {
                let frames: Vec<_> = ports[from].tx.borrow_mut().drain(..).collect();
                carried |= !frames.is_empty();
                frames.into_iter().for_each(|frame| ports[to].deliver(frame));
            }
            idle = if active || carried { 0 } else { idle + 1 };
            if idle > 10 {
                return;
            }
        }
        panic!("a task never sleeps");
    };
    rounds(&mut world);
    world.spawn(async move {
        let stream = listener.accept().await;
        let _ = echo(stream).await;
    });
    world.spawn(async move {
        let mut stream = client
            .connect("10.0.2.10:7".parse().unwrap(), Duration::from_secs(5))
            .await
            .unwrap();
        let data = pattern(300_000, 4);
        assert!(exchange(&mut stream, &data).await == data);
        finished.set(true);
    });
    rounds(&mut world);
    assert!(done.get());
    // One kick a poll, however many frames: far fewer than frames.
    let kicks = ports[0].kicks.get();
    assert!(kicks < 2_000, "{kicks}");
}
