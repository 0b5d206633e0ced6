//! A hostile host on the link.

use super::*;

#[test]
fn advertisements_that_are_not_valid_change_nothing() {
    let mut host = Lonely::ready(true);
    let good = prefix(PREFIX, 64, 0xc0, DAY, DAY);
    let head = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let whole = [&head[..], &good].concat();
    let mut wrong_sum = icmp(ROUTER, ALL_NODES, 255, &whole);
    wrong_sum[56] ^= 1;
    let mut code = whole.clone();
    code[1] = 1;
    let empty_option = [&whole[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat();
    let long_option = [&whole[..], &[1, 2, 0, 0, 0, 0, 0, 0]].concat();
    for frame in [
        icmp(ROUTER, ALL_NODES, 254, &whole),
        icmp(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), ALL_NODES, 255, &whole),
        icmp(ROUTER, ALL_NODES, 255, &code),
        icmp(ROUTER, ALL_NODES, 255, &empty_option),
        icmp(ROUTER, ALL_NODES, 255, &long_option),
        icmp(ROUTER, ALL_NODES, 255, &whole[..12]),
        wrong_sum,
    ] {
        assert!(host.deliver(frame).is_empty());
        assert_eq!(host.world.netif(0).status().router, None);
    }
    assert_eq!(host.counters().dropped(), 7);
    // A valid one whose options are of no use.
    let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    let multicast = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0);
    for option in [
        prefix(PREFIX, 48, 0xc0, DAY, DAY),
        prefix(PREFIX, 64, 0x80, DAY, DAY),
        prefix(PREFIX, 64, 0xc0, 60, 61),
        prefix(PREFIX, 64, 0xc0, 0, 0),
        prefix(link_local, 64, 0xc0, DAY, DAY),
        prefix(multicast, 64, 0xc0, DAY, DAY),
        prefix(Ipv6Addr::UNSPECIFIED, 64, 0xc0, DAY, DAY),
        [5, 1, 0, 0, 0, 0, 4, 0].to_vec(),
        [5, 1, 0, 0, 0, 1, 0, 0].to_vec(),
        [25, 1, 0, 0, 0, 0, 0, 9].to_vec(),
        [31, 2, 0, 0, 0, 0, 0, 9, 1, b'x', 0, 0, 0, 0, 0, 0].to_vec(),
    ] {
        host.deliver(advertisement(ROUTER, 1800, core::slice::from_ref(&option)));
        host.world.pass(2 * SECOND);
        assert_eq!(host.addresses().len(), 1, "{option:?}");
        assert_eq!(host.world.netif(0).shared.ipv6.get().mtu, 1500);
    }
}

#[test]
fn what_routers_can_claim_is_bounded() {
    let mut host = Lonely::ready(true);
    for round in 0..200_u16 {
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, round);
        let prefixes: Vec<_> = (0..20)
            .map(|number| {
                prefix(
                    Ipv6Addr::new(0x2001, 0xdb8, round, number, 0, 0, 0, 0),
                    64,
                    0xc0,
                    DAY,
                    DAY,
                )
            })
            .collect();
        let servers: Vec<u8> = (0..10)
            .flat_map(|number| Ipv6Addr::new(0x2001, 0xdb8, 9, round, 0, 0, 0, number).octets())
            .collect();
        let dns = [&[25, 21, 0, 0, 0, 0, 9, 9][..], &servers].concat();
        host.deliver(advertisement(router, 1800, &[prefixes.concat(), dns]));
    }
    host.world.pass(3 * SECOND);
    assert_eq!(host.addresses().len(), 3);
    assert_eq!(host.world.netif(0).dns_servers().count(), 3);
    // The first stay.
    let status = host.world.netif(0).status();
    assert_eq!(status.router, Some(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 0)));
    assert_eq!(status.ipv6[2].unwrap().0.segments()[2..4], [0, 0]);
}

#[test]
fn a_lifetime_is_not_shortened_below_two_hours() {
    let mut host = Lonely::ready(true);
    let advertise = |host: &mut Lonely, valid| {
        host.deliver(advertisement(ROUTER, 1800, &[prefix(PREFIX, 64, 0xc0, valid, 0)]));
        host.world.pass(2 * SECOND);
    };
    advertise(&mut host, DAY);
    assert_eq!(host.addresses().len(), 2);
    // An attack: at once is in two hours.
    advertise(&mut host, 1);
    host.world.pass(7100 * SECOND);
    assert_eq!(host.addresses().len(), 2);
    // And not later than that if it is repeated.
    advertise(&mut host, 1);
    host.world.pass(100 * SECOND);
    assert_eq!(host.addresses().len(), 1);
    // Longer counts.
    advertise(&mut host, 10);
    advertise(&mut host, 7000);
    host.world.pass(6900 * SECOND);
    assert_eq!(host.addresses().len(), 2);
}

#[test]
fn a_duplicate_address_is_replaced_twice_and_then_given_up() {
    // Each kind of objection.
    for (objections, expected) in [(1, 1), (2, 1), (3, 0)] {
        let mut host = Lonely::new(settings(0, false));
        let mut tried = Vec::new();
        for round in 0..objections {
            let frames = core::mem::take(&mut *host.sent.borrow_mut());
            let probe = frames
                .iter()
                .filter_map(|frame| message(frame))
                .rfind(|(_, body)| body[0] == 135);
            let (group, body) = probe.unwrap();
            let target = target(&body);
            tried.push(target);
            let objection = match round {
                0 => neighbor_advertisement(target, ALL_NODES, target, PEER, 0x20),
                _ => neighbor_solicitation(Ipv6Addr::UNSPECIFIED, group, target),
            };
            // Not deliver: it forgets what is sent.
            host.world.hosts[0].port.deliver(objection);
            host.world.settle();
        }
        host.world.pass(3 * SECOND);
        assert_eq!(host.addresses().len(), expected, "{objections}");
        assert!(host.addresses().iter().all(|address| !tried.contains(address)));
        tried.dedup();
        assert_eq!(tried.len(), objections);
    }
}

#[test]
fn solicitations_are_answered_and_teach_nothing() {
    let mut host = Lonely::ready(false);
    let own = host.own();
    let answers = host.deliver(neighbor_solicitation(FRIEND, own, own));
    let (to, body) = message(&answers[0]).unwrap();
    assert_eq!((to, body[0], body[4]), (FRIEND, 136, 0x60));
    assert_eq!(answers[0][..6], PEER);
    // Another host probes the address: it is told, and all with it.
    let group = Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | own.to_bits() & 0xff_ffff);
    let answers = host.deliver(neighbor_solicitation(Ipv6Addr::UNSPECIFIED, group, own));
    assert_eq!(message(&answers[0]).unwrap().0, ALL_NODES);
    assert!(host.deliver(neighbor_solicitation(FRIEND, group, FRIEND)).is_empty());
    let mut far = neighbor_solicitation(FRIEND, own, own);
    far[21] = 254;
    assert!(host.deliver(far).is_empty());
    // A flood of other neighbours leaves the one alone that is talked to.
    let (seq, ack) = host.handshake(FRIEND, 4000, own);
    for number in 0..500 {
        let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 2, number);
        assert_eq!(host.deliver(neighbor_solicitation(other, own, own)).len(), 1);
    }
    let answers = host.deliver(tcp(FRIEND, 4000, own, TcpControl::Psh, seq, Some(ack), b"x"));
    assert_eq!(kinds(&answers), [0; 0]);
    assert!(
        answers
            .iter()
            .filter_map(|frame| segment(frame))
            .any(|(_, parsed)| parsed.3 == b"x")
    );
}

#[test]
fn advertisements_that_nothing_asked_for_move_no_neighbour() {
    const OTHER: [u8; 6] = [2, 0, 0, 0, 6, 6];
    let mut host = Lonely::ready(false);
    let own = host.own();
    let (seq, ack) = host.handshake(FRIEND, 4000, own);
    for flags in [0, 0x20, 0x60] {
        host.deliver(neighbor_advertisement(FRIEND, own, FRIEND, OTHER, flags));
    }
    host.deliver(neighbor_advertisement(FRIEND, ALL_NODES, FRIEND, OTHER, 0x20));
    // A redirect.
    let body = [
        &[137, 0, 0, 0, 0, 0, 0, 0][..],
        &ROUTER.octets(),
        &FRIEND.octets(),
        &[2, 1],
        &OTHER,
    ]
    .concat();
    host.deliver(icmp(ROUTER, own, 255, &body));
    assert_eq!(host.counters().discovery, 5);
    let answers = host.deliver(tcp(FRIEND, 4000, own, TcpControl::Psh, seq, Some(ack), b"x"));
    assert!(
        answers
            .iter()
            .filter_map(|frame| segment(frame))
            .all(|(to, _)| to == PEER)
    );
    // One that was asked for counts, but not twice.
    let netif = host.world.netif(0);
    let absent = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77);
    let remote = SocketAddr::new(absent.into(), 9);
    host.world.spawn(async move {
        let _ = netif.connect(remote, Duration::from_secs(3)).await;
    });
    host.world.settle();
    let answers = host.deliver(neighbor_advertisement(absent, own, absent, OTHER, 0x60));
    assert!(
        answers
            .iter()
            .filter_map(|frame| segment(frame))
            .any(|(to, parsed)| to == OTHER && parsed.0.0)
    );
    host.deliver(neighbor_advertisement(absent, own, absent, PEER, 0x60));
    assert_eq!(host.counters().discovery, 6);
}

#[test]
fn extension_headers_and_fragments_are_dropped_and_counted() {
    let mut host = Lonely::ready(false);
    let own = host.own();
    for protocol in [
        IpProtocol::HopByHop,
        IpProtocol::Ipv6Route,
        IpProtocol::Ipv6Opts,
        IpProtocol::Ipv6Frag,
    ] {
        let payload = [58, 0, 1, 4, 0, 0, 0, 0, 128, 0, 0, 0, 0, 0, 0, 0];
        assert!(host.deliver(ipv6(FRIEND, own, protocol, 64, &payload)).is_empty());
    }
    let counters = host.counters();
    assert_eq!((counters.extension, counters.fragment), (3, 1));
    // An MLD query is the exception, answered once a second.
    let mut body = [&[130, 0, 0, 0, 0, 0, 0, 0][..], &[0; 20]].concat();
    Icmpv6Packet::new_unchecked(&mut body[..]).fill_checksum(&ROUTER, &ALL_NODES);
    let query = [&[58, 0, 5, 2, 0, 0, 1, 0][..], &body].concat();
    let query = ipv6(ROUTER, ALL_NODES, IpProtocol::HopByHop, 1, &query);
    let answers = host.deliver(query.clone());
    assert_eq!((answers.len(), answers[0][62], answers[0][20]), (1, 143, 0));
    assert!(host.deliver(query).is_empty());
}

#[test]
fn a_flood_of_syns_leaves_a_handshake_its_place() {
    let mut host = Lonely::ready(false);
    let own = host.own();
    for number in 0..20_000_u32 {
        let from = Ipv6Addr::from_bits(FRIEND.to_bits() + (1 << 40) + u128::from(number));
        host.world.hosts[0]
            .port
            .deliver(tcp(from, 9, own, TcpControl::Syn, 7, None, b""));
        if number % 50 == 0 {
            host.world.settle();
        }
    }
    host.world.settle();
    host.handshake(FRIEND, 4000, own);
    assert_eq!(host.counters().accepted, 1);
    assert_eq!(host.counters().solicitations, 0, "none of them is asked for");
}

#[test]
fn the_known_router_stays_where_it_is() {
    const OTHER: [u8; 6] = [2, 0, 0, 0, 6, 6];
    let mut host = Lonely::ready(true);
    host.deliver(usual());
    host.world.pass(2 * SECOND);
    let global = host.addresses()[1];
    // Again: smoltcp forgets its neighbours when an address is new.
    host.deliver(usual());
    let far = Ipv6Addr::new(0x2001, 0xdb8, 0xff, 0, 0, 0, 0, 7);
    let (seq, ack) = host.handshake(far, 4000, global);
    let solicitation = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &global.octets(), &[1, 1], &OTHER].concat();
    for mut frame in [
        advertisement(ROUTER, 1800, &[[&[1, 1][..], &OTHER].concat()]),
        neighbor_advertisement(ROUTER, global, ROUTER, OTHER, 0x60),
        neighbor_advertisement(ROUTER, ALL_NODES, ROUTER, OTHER, 0xa0),
        icmp(ROUTER, global, 255, &solicitation),
    ] {
        frame[6..12].copy_from_slice(&OTHER);
        host.deliver(frame);
    }
    let answers = host.deliver(tcp(far, 4000, global, TcpControl::Psh, seq, Some(ack), b"x"));
    let places: Vec<_> = answers.iter().filter_map(|frame| Some(segment(frame)?.0)).collect();
    assert!(!places.is_empty() && places.iter().all(|to| *to == PEER), "{places:?}");
}

#[test]
fn a_flood_of_advertisements_that_contradict_each_other_loses_no_neighbour() {
    let mut host = Lonely::ready(true);
    host.deliver(usual());
    host.world.pass(2 * SECOND);
    let global = host.addresses()[1];
    let near = Ipv6Addr::from_bits(PREFIX.to_bits() | 9);
    let (mut seq, mut ack) = host.handshake(near, 4000, global);
    let server = |last, lifetime: u32| {
        let server = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, last);
        [&[25, 3, 0, 0][..], &lifetime.to_be_bytes(), &server.octets()].concat()
    };
    for round in 0..1000_u16 {
        let odd = u32::from(round % 2);
        let answers = host.deliver(advertisement(
            ROUTER,
            (odd * 1800) as u16,
            &[
                prefix(PREFIX, 64, if odd == 1 { 0xc0 } else { 0x40 }, odd * DAY, odd * 60),
                [5, 1, 0, 0, 0, 0, 5, 0x78 + odd as u8].to_vec(),
                server(round, odd * 60),
                server(round.wrapping_sub(1), 0),
            ],
        ));
        assert!(answers.is_empty(), "{round}: {answers:?}");
        if round % 100 == 0 {
            let answers = host.deliver(tcp(near, 4000, global, TcpControl::Psh, seq, Some(ack), b"x"));
            assert_eq!(kinds(&answers), [0; 0], "no neighbour is asked for");
            let echoed = answers
                .iter()
                .filter_map(|frame| segment(frame))
                .any(|(_, parsed)| parsed.3 == b"x");
            assert!(echoed, "{round}");
            (seq, ack) = (seq + 1, ack + 1);
        }
    }
    assert_eq!(host.addresses().len(), 2);
    assert!(host.world.netif(0).dns_servers().count() <= 3);
}

#[test]
fn an_objection_to_every_probe_leaves_no_address_and_ends() {
    let mut host = Lonely::new(settings(0, true));
    let mut probes = 0;
    for round in 0..600 {
        let frames = core::mem::take(&mut *host.sent.borrow_mut());
        for (group, body) in frames
            .iter()
            .filter_map(|frame| message(frame))
            .filter(|(_, body)| body[0] == 135)
        {
            probes += 1;
            let target = target(&body);
            let objection = match probes % 2 {
                0 => neighbor_advertisement(target, ALL_NODES, target, PEER, 0x20),
                _ => neighbor_solicitation(Ipv6Addr::UNSPECIFIED, group, target),
            };
            host.world.hosts[0].port.deliver(objection);
            host.world.settle();
        }
        // A prefix does not begin anew either.
        host.world.hosts[0].port.deliver(usual());
        host.world.settle();
        if round % 10 == 0 {
            host.world.pass(SECOND / 2);
        }
    }
    assert_eq!((probes, host.addresses().len()), (3, 0));
    // A prefix whose addresses are all objected to.
    let mut host = Lonely::ready(true);
    let mut probes = 0;
    for round in 0..100_u16 {
        let network = Ipv6Addr::new(0x2001, 0xdb8, 0, round, 0, 0, 0, 0);
        let mut frames = host.deliver(advertisement(ROUTER, 1800, &[prefix(network, 64, 0xc0, DAY, DAY)]));
        host.world.pass(SECOND / 100);
        frames.extend(core::mem::take(&mut *host.sent.borrow_mut()));
        for _ in 0..4 {
            let targets: Vec<_> = core::mem::take(&mut frames)
                .iter()
                .filter_map(|frame| message(frame))
                .filter(|(_, body)| body[0] == 135)
                .map(|(_, body)| target(&body))
                .collect();
            for target in targets {
                probes += 1;
                frames.extend(host.deliver(neighbor_advertisement(target, ALL_NODES, target, PEER, 0x20)));
                host.world.pass(SECOND / 100);
                frames.extend(core::mem::take(&mut *host.sent.borrow_mut()));
            }
        }
    }
    assert_eq!(
        (probes, host.addresses().len()),
        (6, 1),
        "two places, three identifiers each"
    );
}

#[test]
fn messages_of_the_link_with_another_hop_limit_change_nothing() {
    let mut host = Lonely::new(settings(0, true));
    let probe = host.sent.borrow().iter().find_map(|frame| message(frame)).unwrap();
    let own = target(&probe.1);
    let deliver = |host: &mut Lonely, mut frame: Vec<u8>| {
        for hop_limit in [0, 1, 64, 254] {
            let dropped = host.counters().dropped();
            frame[21] = hop_limit;
            host.deliver(frame.clone());
            assert_eq!(host.counters().dropped(), dropped + 1);
        }
    };
    deliver(&mut host, neighbor_solicitation(Ipv6Addr::UNSPECIFIED, probe.0, own));
    deliver(&mut host, neighbor_advertisement(own, ALL_NODES, own, PEER, 0x20));
    host.world.pass(2 * SECOND);
    assert_eq!(host.addresses(), [own]);
    deliver(&mut host, neighbor_solicitation(FRIEND, own, own));
    deliver(&mut host, usual());
    host.world.pass(2 * SECOND);
    assert_eq!((host.addresses().len(), host.world.netif(0).status().router), (1, None));
}

#[test]
fn chains_of_headers_and_atomic_fragments_are_dropped_whatever_they_carry() {
    let mut host = Lonely::ready(true);
    let own = host.own();
    let syn = tcp(FRIEND, 4000, own, TcpControl::Syn, 1000, None, b"");
    let advertisement = usual();
    for (upper, from, to, packet) in [(6, FRIEND, own, &syn), (58, ROUTER, ALL_NODES, &advertisement)] {
        // The same message, behind headers of each kind: 0 hop-by-hop, 43 routing, 44 fragment, 51 authentication,
        // 60 destination, 135 mobility, 139 HIP, 140 shim6, 59 none.
        for chain in [
            &[44][..],
            &[0],
            &[60],
            &[43],
            &[51],
            &[59],
            &[135],
            &[139],
            &[140],
            &[0, 43, 60, 44],
            &[60; 100],
        ] {
            let kinds = chain.iter().skip(1).chain([&upper]);
            // Of 8 bytes each; a fragment header with offset 0 and no more to come is an atomic fragment (RFC 6946).
            let headers: Vec<u8> = kinds.flat_map(|&next| [next, 0, 0, 0, 0, 0, 0, 0]).collect();
            let payload = [&headers, &packet[54..]].concat();
            let frame = ipv6(from, to, IpProtocol::from(chain[0]), 255, &payload);
            assert!(host.deliver(frame).is_empty(), "{chain:?}");
        }
    }
    host.world.pass(2 * SECOND);
    let status = host.world.netif(0).status();
    assert_eq!((status.half_open, status.router, host.addresses().len()), (0, None, 1));
    let counters = host.counters();
    assert_eq!((counters.fragment, counters.dropped()), (2, 22));
}

#[test]
fn a_flood_of_everything_leaves_an_echo_its_place() {
    let mut host = Lonely::ready(true);
    host.deliver(usual());
    host.world.pass(2 * SECOND);
    let own = host.own();
    let (seq, ack) = host.handshake(FRIEND, 4000, own);
    let mut sent = 0;
    for number in 0..2000_u16 {
        let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 7, number);
        for frame in [
            neighbor_solicitation(other, own, own),
            neighbor_solicitation(other, own, FRIEND),
            neighbor_advertisement(other, own, other, PEER, 0x60),
            advertisement(other, 1800, &[prefix(other, 64, 0xc0, DAY, DAY)]),
            icmp(other, own, 255, &[137; 40]),
            icmp(other, own, 255, &[1; 60]),
        ] {
            sent += host.deliver(frame).len();
        }
    }
    assert_eq!(sent, 2000, "an answer to each solicitation, and nothing else");
    let answers = host.deliver(tcp(FRIEND, 4000, own, TcpControl::Psh, seq, Some(ack), b"x"));
    assert_eq!(kinds(&answers), [0; 0]);
    assert!(
        answers
            .iter()
            .filter_map(|frame| segment(frame))
            .any(|(_, parsed)| parsed.3 == b"x")
    );
}
