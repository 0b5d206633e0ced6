//! Blind spoofers, floods and routers: what the guard lets through.

use std::collections::{HashMap, VecDeque};

use embedded_io_async::Write;
use smoltcp::wire::{ArpOperation, DhcpPacket, TcpControl};

use super::frames::{SYN_ACK, Sent, arp, handshake, handshake_from, ipv4, lonely, segments, tcp};
use super::*;
use crate::net::guard::tests::smoltcp_draws;

const FRIEND: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 50);

fn friend(port: u16) -> SocketAddrV4 {
    SocketAddrV4::new(FRIEND, port)
}

/// The frames that a host has sent.
type Frames = Rc<RefCell<Vec<Vec<u8>>>>;

/// A host with a listener at port 7, and a peer in the ARP cache.
fn listening(plan: Plan) -> (World, Frames, Rc<TcpListener>) {
    let (mut world, sent) = lonely(plan);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    world.hosts[0].port.deliver(arp(ArpOperation::Request, FRIEND));
    world.settle();
    (world, sent, listener)
}

fn deliver(world: &mut World, sent: &RefCell<Vec<Vec<u8>>>, frame: Vec<u8>) -> Vec<Sent> {
    segments(sent);
    world.hosts[0].port.deliver(frame);
    world.settle();
    segments(sent)
}

fn state(world: &World, peer: SocketAddrV4) -> Option<State> {
    let mut state = None;
    world.netif(0).for_each_connection(|connection| {
        if connection.peer == peer.into() {
            state = Some(connection.state);
        }
    });
    state
}

#[test]
fn sequence_numbers_do_not_follow_from_other_connections() {
    // By port; `order`: in which order the connections come.
    let numbers = |order: &[u16]| -> HashMap<u16, u32> {
        let (mut world, sent, _listener) = listening(PLAN);
        let start = world.now;
        let mut numbers = HashMap::new();
        for &port in order {
            let now = world.now;
            let answers = deliver(&mut world, &sent, tcp(friend(port), 7, TcpControl::Syn, 5, None, b""));
            // Without the clock.
            let clock = ((now / 4) - (start / 4)) as u32;
            numbers.insert(port, (answers[0].seq as u32).wrapping_sub(clock));
        }
        numbers
    };
    let forward: Vec<u16> = (3000..3200).collect();
    let backward: Vec<u16> = forward.iter().rev().copied().collect();
    let (one, other) = (numbers(&forward), numbers(&backward));
    // A generator gives other numbers in another order; a hash does not. (The time of a frame is known to some 100 us.)
    for (port, number) in &one {
        assert!(other[port].wrapping_sub(*number).wrapping_add(100) < 200, "{port}");
    }
    let mut highest: Vec<u32> = one.values().map(|number| number >> 16).collect();
    highest.sort();
    highest.dedup();
    assert!(highest.len() > 190, "{}", highest.len());
}

#[test]
fn the_same_ends_move_forward_in_time() {
    let (mut world, sent, _listener) = listening(PLAN);
    let syn = |world: &mut World| {
        let answers = deliver(world, &sent, tcp(friend(1), 7, TcpControl::Syn, 5, None, b""));
        deliver(world, &sent, tcp(friend(1), 7, TcpControl::Rst, 6, None, b""));
        answers[0].seq
    };
    let first = syn(&mut world);
    world.pass(1_000_000);
    let second = syn(&mut world);
    assert!((250_000..250_100).contains(&second.wrapping_sub(first)));
}

#[test]
fn connections_of_ours_have_unpredictable_numbers_and_ports() {
    let begun = |key: [u8; 16]| {
        let mut world = World::new(&[]);
        let from = world.add(Config { key, ..config(0) }, PLAN);
        let sent: Frames = Rc::default();
        let seen = sent.clone();
        world.tap = Some(Box::new(move |frame| {
            seen.borrow_mut().push(frame.to_vec());
            true
        }));
        world.hosts[0].port.deliver(arp(ArpOperation::Request, FRIEND));
        world.settle();
        let netif = world.netif(from);
        for _ in 0..6 {
            world.spawn(async move {
                let _ = netif.connect(friend(80).into(), Duration::from_secs(1)).await;
            });
        }
        world.settle();
        segments(&sent)
            .iter()
            .map(|syn| (syn.from_port, syn.seq))
            .collect::<Vec<_>>()
    };
    let (one, other) = (begun([1; 16]), begun([2; 16]));
    assert_eq!((one.len(), other.len()), (6, 6));
    for ports in [&one, &other] {
        // Not one after the other.
        assert!(ports.windows(2).all(|pair| pair[1].0 != pair[0].0.wrapping_add(1)));
    }
    assert!(one.iter().all(|begun| !other.contains(begun)));
}

#[test]
fn dhcp_transactions_do_not_follow_from_each_other() {
    let mut world = World::new(&[]);
    let found: Rc<RefCell<Vec<u32>>> = Rc::default();
    let seen = found.clone();
    world.tap = Some(Box::new(move |frame| {
        if frame.get(36..38) == Some(&[0, 67]) {
            let packet = DhcpPacket::new_checked(&frame[42..]).unwrap();
            seen.borrow_mut().push(packet.transaction_id());
        }
        true
    }));
    let key = [9; 16];
    world.add(
        Config {
            address: Address::Dhcp,
            key,
            ..config(0)
        },
        PLAN,
    );
    world.pass(20_000_000);
    let found = found.borrow();
    assert!(found.len() > 3, "{found:?}");
    // Each from a seed of its own. The first draw is the slot table's.
    let secret = Secret::new(key);
    secret.draw();
    for transaction in found.iter() {
        assert_eq!(*transaction, smoltcp_draws(secret.draw()));
    }
}

#[test]
fn only_an_exact_reset_closes_a_connection() {
    let (mut world, sent, listener) = listening(PLAN);
    let (seq, ack) = handshake(&mut world, &sent, friend(1), 7).unwrap();
    let _stream = now_or_never(listener.accept()).unwrap();
    // Unread data count, acknowledged or not.
    deliver(
        &mut world,
        &sent,
        tcp(friend(1), 7, TcpControl::Psh, seq, Some(ack), b"hello"),
    );
    let next = seq + 5;
    let reset = |seq| tcp(friend(1), 7, TcpControl::Rst, seq, None, b"");
    for ahead in [1, 1000, 30_000] {
        world.pass(1_100_000);
        let answers = deliver(&mut world, &sent, reset(next + ahead));
        let [challenge] = &answers[..] else {
            panic!("{answers:?}")
        };
        assert_eq!(
            (challenge.flags, challenge.seq, challenge.ack),
            ((false, true, false, false), ack, next)
        );
        // Not more than one a second.
        for _ in 0..100 {
            assert_eq!(deliver(&mut world, &sent, reset(next + ahead)), []);
        }
    }
    for outside in [next - 1, next - 6, next + 40_000, next ^ i32::MIN] {
        world.pass(1_100_000);
        assert_eq!(deliver(&mut world, &sent, reset(outside)), []);
    }
    assert_eq!(state(&world, friend(1)), Some(State::Established));
    let counters = world.netif(0).counters();
    assert_eq!(
        (counters.challenges, counters.challenges_withheld, counters.rst_ignored),
        (3, 300, 4)
    );
    deliver(&mut world, &sent, reset(next));
    assert_eq!(world.netif(0).counters().reset, 1);
    assert_eq!(state(&world, friend(1)), Some(State::Closed));
}

#[test]
fn the_exact_number_of_a_reset_counts_what_was_read_and_a_fin() {
    let (mut world, sent, listener) = listening(PLAN);
    let (seq, ack) = handshake(&mut world, &sent, friend(1), 7).unwrap();
    let mut stream = now_or_never(listener.accept()).unwrap();
    deliver(
        &mut world,
        &sent,
        tcp(friend(1), 7, TcpControl::Psh, seq, Some(ack), b"hello"),
    );
    let stream = world.run(async move {
        stream.read_with(|bytes| (bytes.len().min(3), ())).await.unwrap();
        stream.write_all(b"answer").await.unwrap();
        stream
    });
    let acked = Some(ack.wrapping_add(6));
    deliver(
        &mut world,
        &sent,
        tcp(friend(1), 7, TcpControl::Fin, seq + 5, acked, b"!"),
    );
    assert_eq!(state(&world, friend(1)), Some(State::CloseWait));
    deliver(
        &mut world,
        &sent,
        tcp(friend(1), 7, TcpControl::Rst, seq + 8, None, b""),
    );
    assert_eq!(state(&world, friend(1)), Some(State::CloseWait));
    deliver(
        &mut world,
        &sent,
        tcp(friend(1), 7, TcpControl::Rst, seq + 7, None, b""),
    );
    assert_eq!(state(&world, friend(1)), Some(State::Closed));
    drop(stream);
    // One of ours: the number of the peer's SYN is the base.
    let mut world = World::new(&[PLAN, PLAN]);
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    let (client, server) = world.pair(1, 0, &listener);
    drop(server);
    world.settle();
    assert_eq!(world.netif(1).counters().reset, 1);
    drop(client);
}

#[test]
fn a_syn_on_an_open_connection_is_challenged_and_a_restarted_peer_resets_it() {
    let (mut world, sent, listener) = listening(PLAN);
    let (seq, ack) = handshake(&mut world, &sent, friend(1), 7).unwrap();
    let stream = now_or_never(listener.accept()).unwrap();
    for number in [seq, seq + 1000, seq ^ i32::MIN] {
        world.pass(1_100_000);
        let answers = deliver(&mut world, &sent, tcp(friend(1), 7, TcpControl::Syn, number, None, b""));
        let [challenge] = &answers[..] else {
            panic!("{answers:?}")
        };
        assert_eq!(
            (challenge.flags, challenge.seq, challenge.ack),
            ((false, true, false, false), ack, seq)
        );
        assert_eq!(
            deliver(&mut world, &sent, tcp(friend(1), 7, TcpControl::Syn, number, None, b"")),
            []
        );
        assert_eq!(state(&world, friend(1)), Some(State::Established));
    }
    // RFC 9293 §3.5.1: the peer resets with the number of the acknowledgement, and its next SYN opens.
    deliver(&mut world, &sent, tcp(friend(1), 7, TcpControl::Rst, seq, None, b""));
    drop(stream);
    world.settle();
    assert!(handshake(&mut world, &sent, friend(1), 7).is_some());
}

#[test]
fn an_old_syn_does_not_reopen_time_wait_and_a_later_one_does() {
    let (mut world, sent, listener) = listening(PLAN);
    let (seq, ack) = handshake_from(&mut world, &sent, friend(1), 7, 5000).unwrap();
    let mut server = now_or_never(listener.accept()).unwrap();
    server.shutdown();
    world.settle();
    deliver(
        &mut world,
        &sent,
        tcp(friend(1), 7, TcpControl::Fin, seq, Some(ack.wrapping_add(1)), b""),
    );
    assert_eq!(state(&world, friend(1)), Some(State::TimeWait));
    for old in [5000, 1, seq, seq + 1] {
        let answers = deliver(&mut world, &sent, tcp(friend(1), 7, TcpControl::Syn, old, None, b""));
        assert!(answers.iter().all(|answer| !answer.flags.0), "{answers:?}");
        assert_eq!(state(&world, friend(1)), Some(State::TimeWait));
        assert_eq!(world.netif(0).status().half_open, 0);
    }
    let (_, again) = handshake_from(&mut world, &sent, friend(1), 7, seq + 2).unwrap();
    // Beyond all that the old connection has sent (RFC 9293 §3.6.1).
    assert!(again.wrapping_sub(ack) > 1, "{again} {ack}");
}

/// An ICMP error of a router about the packet in `frame`.
fn too_big(frame: &[u8], mtu: u16, change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut message = vec![3, 4, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(&frame[14..14 + 28]);
    change(&mut message);
    let sum: u32 = message
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(Ipv4Addr::new(10, 0, 2, 2), address(0), IpProtocol::Icmp, &message)
}

#[test]
fn a_packet_too_big_for_its_path_is_sent_again_without_dont_fragment() {
    let (mut world, sent, listener) = listening(PLAN);
    handshake(&mut world, &sent, friend(1), 7).unwrap();
    let mut server = now_or_never(listener.accept()).unwrap();
    sent.borrow_mut().clear();
    let server = world.run(async move {
        server.write_all(&[7; 2000]).await.unwrap();
        server
    });
    world.settle();
    let frames = sent.borrow().clone();
    assert!(frames[0].len() > 1000 && frames[0][20] == 0x40);
    // Of another sequence number, connection, or size; or with a next network that takes as much.
    let wrong: [fn(&mut [u8]); 5] = [
        |message| message[8 + 24] ^= 0x80,
        |message| message[8 + 20] ^= 1,
        |message| message[8 + 19] ^= 1,
        |message| message[8 + 12] ^= 1,
        |message| message[6..8].copy_from_slice(&1500_u16.to_be_bytes()),
    ];
    for change in wrong {
        deliver(&mut world, &sent, too_big(&frames[0], 1280, change));
    }
    let counters = world.netif(0).counters();
    assert_eq!((counters.path_mtu, counters.path_mtu_ignored), (0, 4), "{counters:?}");
    sent.borrow_mut().clear();
    world.pass(1_500_000);
    // Still not fragmented.
    assert!(
        sent.borrow()
            .iter()
            .all(|frame| frame[12..14] == [8, 6] || frame[20] == 0x40)
    );
    assert!(!sent.borrow().is_empty());
    deliver(&mut world, &sent, too_big(&frames[0], 1280, |_| ()));
    assert_eq!(world.netif(0).counters().path_mtu, 1);
    sent.borrow_mut().clear();
    world.pass(5_000_000);
    let again: Vec<_> = sent
        .borrow()
        .iter()
        .filter(|frame| frame[12..14] == [8, 0])
        .cloned()
        .collect();
    assert!(!again.is_empty());
    assert!(again.iter().all(|frame| frame[20] & 0x40 == 0));
    let mut numbers: Vec<_> = again.iter().map(|frame| [frame[18], frame[19]]).collect();
    numbers.sort();
    numbers.dedup();
    assert_eq!(numbers.len(), again.len());
    drop(server);
}

/// A SYN from the n-th address.
fn syn(number: u32) -> Vec<u8> {
    let source = SocketAddrV4::new(Ipv4Addr::from(0xc000_0200 + number), 1024);
    tcp(source, 7, TcpControl::Syn, 9, None, b"")
}

/// A flood of `rate` frames a second, and honest clients 100 ms away: how many of 100 handshakes succeed. The table of
/// half-open connections is the smallest.
fn honest_among(rate: i64, frame: impl Fn(u32) -> Vec<u8>) -> (usize, World) {
    let plan = Plan {
        large: 128,
        small: 0,
        large_buffer: 1 << 10,
        half_open: 0,
        ..PLAN
    };
    let (mut world, sent, listener) = listening(plan);
    let accepted = Rc::new(RefCell::new(Vec::new()));
    let all = accepted.clone();
    world.spawn(async move {
        loop {
            let stream = listener.accept().await;
            stream.mark_established();
            all.borrow_mut().push(stream);
        }
    });
    let start = world.now;
    // Two seconds of flood alone fill the table.
    let mut due: VecDeque<(i64, Vec<u8>)> = VecDeque::new();
    let mut honest = 0;
    for number in 0..5 * rate {
        let now = start + number * 1_000_000 / rate;
        world.now = world.now.max(now);
        world.hosts[0].port.deliver(frame(number as u32));
        if honest < 100 && now - start >= 2_000_000 + honest * 20_000 {
            let from = friend(2000 + honest as u16);
            world.hosts[0].port.deliver(tcp(from, 7, TcpControl::Syn, 9, None, b""));
            honest += 1;
        }
        while due.front().is_some_and(|(at, _)| *at <= now) {
            world.hosts[0].port.deliver(due.pop_front().unwrap().1);
        }
        world.settle();
        for answer in segments(&sent) {
            if *answer.to.ip() == FRIEND && answer.flags == SYN_ACK {
                let ack = Some(answer.seq.wrapping_add(1));
                due.push_back((now + 100_000, tcp(answer.to, 7, TcpControl::None, 10, ack, b"")));
            }
        }
    }
    let count = accepted.borrow().len();
    accepted.borrow_mut().clear();
    (count, world)
}

#[test]
fn ninety_five_of_a_hundred_handshakes_succeed_in_a_flood_of_five_thousand_syns_a_second() {
    let (count, mut world) = honest_among(5_000, syn);
    println!("{count} of 100");
    assert!(count >= 95, "{count}");
    assert_eq!(world.netif(0).status().half_open, MIN_HALF_OPEN);
    world.pass(30_000_000);
    let status = world.netif(0).status();
    assert_eq!((status.half_open, status.free, status.slots), (0, 128, 128));
}

#[test]
fn a_flood_of_pings_fragments_and_datagrams_is_harmless() {
    let (count, mut world) = honest_among(10_000, |number| {
        let (source, to) = (FRIEND, address(0));
        match number % 3 {
            // An echo request (RFC 792); its checksum is right without any other field.
            0 => ipv4(source, to, IpProtocol::Icmp, &[8, 0, 0xf7, 0xff, 0, 0, 0, 0]),
            1 => {
                let mut fragment = ipv4(source, to, IpProtocol::Udp, &[0; 64]);
                fragment[20] = 0x20;
                insert_checksums(&mut fragment);
                fragment
            }
            // To a port that is closed, from 1024.
            _ => ipv4(source, to, IpProtocol::Udp, &[4, 0, 0, 9, 0, 8, 0, 0]),
        }
    });
    println!("{count} of 100");
    assert!(count >= 95, "{count}");
    let fragments = world.netif(0).counters().fragment;
    assert!(fragments > 16_000, "{fragments}");
    world.pass(30_000_000);
    let status = world.netif(0).status();
    assert_eq!((status.half_open, status.free, status.slots), (0, 128, 128));
}

#[test]
fn a_handshake_takes_its_slot_and_its_buffers_when_it_is_complete() {
    let (mut world, sent, listener) = listening(PLAN);
    for port in 0..100 {
        deliver(
            &mut world,
            &sent,
            tcp(friend(1000 + port), 7, TcpControl::Syn, 1, None, b""),
        );
    }
    let status = world.netif(0).status();
    assert_eq!((status.half_open, status.free), (100, PLAN.slots()));
    // The last segment of the handshake may carry data.
    let answers = deliver(&mut world, &sent, tcp(friend(1), 7, TcpControl::Syn, 1, None, b""));
    let ack = answers[0].seq.wrapping_add(1);
    // What acknowledges something else is reset, and does no harm; nor does an RST with another number.
    let answers = deliver(
        &mut world,
        &sent,
        tcp(friend(1), 7, TcpControl::None, 2, Some(ack ^ 1), b""),
    );
    assert_eq!((answers[0].flags.2, answers[0].seq), (true, ack ^ 1));
    deliver(&mut world, &sent, tcp(friend(1), 7, TcpControl::Rst, 3, None, b""));
    // A SYN with another number is answered as the first one.
    let answers = deliver(&mut world, &sent, tcp(friend(1), 7, TcpControl::Syn, 77, None, b""));
    assert_eq!(
        (answers[0].flags, answers[0].seq, answers[0].ack),
        (SYN_ACK, ack.wrapping_sub(1), 2)
    );
    deliver(
        &mut world,
        &sent,
        tcp(friend(1), 7, TcpControl::Psh, 2, Some(ack), b"hello"),
    );
    let mut stream = now_or_never(listener.accept()).unwrap();
    assert_eq!(stream.readable(), 5);
    let status = world.netif(0).status();
    assert_eq!((status.half_open, status.free), (100, PLAN.slots() - 1));
    // Its sequence numbers are those of the SYN-ACK.
    sent.borrow_mut().clear();
    world.run(async move { stream.write_all(b"x").await.unwrap() });
    world.settle();
    let answers = segments(&sent);
    assert_eq!((answers[0].seq, answers[0].ack), (ack, 7));
}
