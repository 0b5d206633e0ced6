//! IPv6: addresses, neighbours, routers, and attacks on them.

use embedded_io_async::{Read, Write};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{EthernetAddress, EthernetRepr, Icmpv6Packet, Ipv6Repr, TcpControl, TcpRepr, TcpSeqNumber};

use super::frames::PEER;
use super::streams::echo;
use super::*;

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const FRIEND: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const PREFIX: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0);
const DNS: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 0x53);
const SECOND: i64 = 1_000_000;
const DAY: u32 = 86_400;

/// Only IPv6, or both families.
fn settings(host: usize, slaac: bool) -> Config {
    Config {
        ipv6: Ipv6::On(Ipv6Config {
            slaac,
            fixed: None,
            stable_key: [9; 16],
        }),
        ..config(host)
    }
}

/// A packet in a frame from [`PEER`] to host 0, or to a group.
fn ipv6(from: Ipv6Addr, to: Ipv6Addr, protocol: IpProtocol, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; 54 + payload.len()];
    let octets = to.octets();
    EthernetRepr {
        src_addr: EthernetAddress(PEER),
        dst_addr: EthernetAddress(match to.is_multicast() {
            true => [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]],
            false => mac(0),
        }),
        ethertype: EthernetProtocol::Ipv6,
    }
    .emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    Ipv6Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit,
    }
    .emit(&mut Ipv6Packet::new_unchecked(&mut frame[14..]));
    frame[54..].copy_from_slice(payload);
    insert_checksums(&mut frame);
    frame
}

fn icmp(from: Ipv6Addr, to: Ipv6Addr, hop_limit: u8, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    Icmpv6Packet::new_unchecked(&mut body[..]).fill_checksum(&from, &to);
    ipv6(from, to, IpProtocol::Icmpv6, hop_limit, &body)
}

/// An option of a prefix.
fn prefix(prefix: Ipv6Addr, len: u8, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    [
        &[3, 4, len, flags][..],
        &valid.to_be_bytes(),
        &preferred.to_be_bytes(),
        &[0; 4],
        &prefix.octets(),
    ]
    .concat()
}

/// A router advertisement with these options.
fn advertisement(router: Ipv6Addr, lifetime: u16, options: &[Vec<u8>]) -> Vec<u8> {
    let [high, low] = lifetime.to_be_bytes();
    let head = [134, 0, 0, 0, 64, 0, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
    icmp(router, ALL_NODES, 255, &[&head[..], &options.concat()].concat())
}

/// Whole prefix, MTU, DNS server and the router's Ethernet address.
fn usual() -> Vec<u8> {
    let mtu = [5, 1, 0, 0, 0, 0, 0x05, 0x78].to_vec();
    let dns = [&[25, 3, 0, 0][..], &600_u32.to_be_bytes(), &DNS.octets()].concat();
    let source = [&[1, 1][..], &PEER].concat();
    advertisement(ROUTER, 1800, &[source, prefix(PREFIX, 64, 0xc0, DAY, 3600), mtu, dns])
}

fn neighbor_advertisement(from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr, at: [u8; 6], flags: u8) -> Vec<u8> {
    let body = [&[136, 0, 0, 0, flags, 0, 0, 0][..], &target.octets(), &[2, 1], &at].concat();
    icmp(from, to, 255, &body)
}

fn neighbor_solicitation(from: Ipv6Addr, to: Ipv6Addr, target: Ipv6Addr) -> Vec<u8> {
    let source = if from.is_unspecified() {
        vec![]
    } else {
        [&[1, 1][..], &PEER].concat()
    };
    let body = [&[135, 0, 0, 0, 0, 0, 0, 0][..], &target.octets(), &source].concat();
    icmp(from, to, 255, &body)
}

fn tcp(
    from: Ipv6Addr,
    port: u16,
    to: Ipv6Addr,
    control: TcpControl,
    seq: i32,
    ack: Option<i32>,
    data: &[u8],
) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: port,
        dst_port: 7,
        control,
        seq_number: TcpSeqNumber(seq),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 65535,
        window_scale: None,
        max_seg_size: (control == TcpControl::Syn).then_some(1440),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: data,
    };
    let mut segment = vec![0; repr.buffer_len()];
    repr.emit(
        &mut TcpPacket::new_unchecked(&mut segment[..]),
        &from.into(),
        &to.into(),
        &ChecksumCapabilities::ignored(),
    );
    ipv6(from, to, IpProtocol::Tcp, 64, &segment)
}

/// A host on its own, what it has sent, and its frames.
struct Lonely {
    world: World,
    sent: Rc<RefCell<Vec<Vec<u8>>>>,
}

impl Lonely {
    fn new(config: Config) -> Self {
        let mut world = World::new(&[]);
        let sent = Rc::new(RefCell::new(Vec::new()));
        let seen = sent.clone();
        world.tap = Some(Box::new(move |frame| {
            seen.borrow_mut().push(frame.to_vec());
            true
        }));
        world.add(config, PLAN);
        Self { world, sent }
    }

    /// With a link-local address, and an echo on port 7.
    fn ready(slaac: bool) -> Self {
        let mut lonely = Self::new(settings(0, slaac));
        lonely.world.pass(2 * SECOND);
        let listener = lonely.world.netif(0).listen(7).unwrap();
        lonely.world.spawn(async move {
            loop {
                let stream = listener.accept().await;
                let _ = echo(stream).await;
            }
        });
        lonely
    }

    /// What is sent in answer to a frame.
    fn deliver(&mut self, frame: Vec<u8>) -> Vec<Vec<u8>> {
        self.sent.borrow_mut().clear();
        self.world.hosts[0].port.deliver(frame);
        self.world.settle();
        core::mem::take(&mut self.sent.borrow_mut())
    }

    fn addresses(&self) -> Vec<Ipv6Addr> {
        let status = self.world.netif(0).status();
        status.ipv6.into_iter().flatten().map(|(address, _)| address).collect()
    }

    fn own(&self) -> Ipv6Addr {
        self.addresses()[0]
    }

    fn counters(&self) -> Counters {
        self.world.netif(0).counters()
    }

    /// Finishes a handshake by hand; the next sequence numbers of both sides.
    fn handshake(&mut self, from: Ipv6Addr, port: u16, to: Ipv6Addr) -> (i32, i32) {
        let answers = self.deliver(tcp(from, port, to, TcpControl::Syn, 1000, None, b""));
        let (_, answer) = answers.iter().find_map(|frame| segment(frame)).unwrap();
        assert_eq!((answer.0, answer.2), ((true, true, false), 1001), "SYN-ACK");
        let next = answer.1.wrapping_add(1);
        self.deliver(tcp(from, port, to, TcpControl::None, 1001, Some(next), b""));
        (1001, next)
    }
}

/// SYN, ACK and RST, sequence number, acknowledgement, and data.
type Parsed = ((bool, bool, bool), i32, i32, Vec<u8>);

/// The TCP segment of a frame, with its Ethernet destination.
fn segment(frame: &[u8]) -> Option<([u8; 6], Parsed)> {
    if frame[12..14] != [0x86, 0xdd] || frame[20] != 6 {
        return None;
    }
    let packet = Ipv6Packet::new_checked(&frame[14..]).unwrap();
    let tcp = TcpPacket::new_checked(packet.payload()).unwrap();
    assert!(tcp.verify_checksum(&packet.src_addr().into(), &packet.dst_addr().into()));
    let flags = (tcp.syn(), tcp.ack(), tcp.rst());
    let parsed = (flags, tcp.seq_number().0, tcp.ack_number().0, tcp.payload().to_vec());
    Some((frame[..6].try_into().unwrap(), parsed))
}

/// The ICMPv6 message of a frame, with the packet's destination.
fn message(frame: &[u8]) -> Option<(Ipv6Addr, Vec<u8>)> {
    if frame[12..14] != [0x86, 0xdd] || frame[20] != 58 {
        return None;
    }
    let packet = Ipv6Packet::new_checked(&frame[14..]).unwrap();
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    assert!(
        Icmpv6Packet::new_checked(packet.payload())
            .unwrap()
            .verify_checksum(&from, &to)
    );
    Some((to, packet.payload().to_vec()))
}

fn kinds(frames: &[Vec<u8>]) -> Vec<u8> {
    frames.iter().filter_map(|frame| Some(message(frame)?.1[0])).collect()
}

#[test]
fn hosts_on_a_link_talk_without_a_router() {
    let mut world = World::new(&[]);
    for host in 0..2 {
        world.add(settings(host, true), PLAN);
    }
    world.pass(3 * SECOND);
    let address = |world: &World, host: usize| world.netif(host).status().ipv6[0].unwrap().0;
    let (ours, theirs) = (address(&world, 0), address(&world, 1));
    assert!(ours.is_unicast_link_local() && theirs.is_unicast_link_local() && ours != theirs);
    assert!(!world.netif(0).has_address(Family::V6), "link-local alone");
    let listener = world.netif(1).listen(7).unwrap();
    world.spawn(async move {
        loop {
            let stream = listener.accept().await;
            let _ = echo(stream).await;
        }
    });
    let client = world.netif(0);
    let data = pattern(100_000, 3);
    let expected = data.clone();
    let received = world.run(async move {
        let remote = SocketAddr::new(theirs.into(), 7);
        let mut stream = client.connect(remote, Duration::from_secs(5)).await.unwrap();
        assert_eq!((stream.peer(), stream.local().ip()), (remote, ours.into()));
        let (mut reader, mut writer) = stream.split();
        let mut received = vec![0; data.len()];
        let write = async {
            writer.write_all(&data).await.unwrap();
            writer.shutdown();
        };
        let read = async { reader.read_exact(&mut received).await.unwrap() };
        embassy_futures::join::join(write, read).await;
        received
    });
    assert!(received == expected);
    let refused = SocketAddr::new(theirs.into(), 8);
    let result = world.run(async move { client.connect(refused, Duration::from_secs(5)).await.err() });
    assert_eq!(result, Some(ConnectError::Refused));
    let absent = SocketAddr::new(FRIEND.into(), 7);
    let result = world.run(async move { client.connect(absent, Duration::from_secs(5)).await.err() });
    assert_eq!(result, Some(ConnectError::NoNeighbor));
    for bad in [
        "[::1]:7",
        "[ff02::1]:7",
        "[::]:7",
        "[::ffff:10.0.2.2]:7",
        "[2001:db8::1]:7",
    ] {
        let remote = bad.parse().unwrap();
        let result = world.run(async move { client.connect(remote, Duration::from_secs(5)).await.err() });
        assert_eq!(result, Some(ConnectError::Unreachable), "{bad}");
    }
}

#[test]
fn an_interface_without_ipv6_neither_sends_nor_accepts_it() {
    let mut host = Lonely::new(config(0));
    host.world.pass(5 * SECOND);
    assert!(host.sent.borrow().iter().all(|frame| frame[12..14] != [0x86, 0xdd]));
    assert!(host.deliver(usual()).is_empty());
    let counters = host.counters();
    assert_eq!((counters.not_for_us, counters.protocol), (1, 0));
    let netif = host.world.netif(0);
    let remote = SocketAddr::new(FRIEND.into(), 7);
    let result = host
        .world
        .run(async move { netif.connect(remote, Duration::from_secs(1)).await.err() });
    assert_eq!(result, Some(ConnectError::NoIpv6));
}

#[test]
fn a_router_gives_addresses_servers_and_a_route() {
    let mut host = Lonely::new(settings(0, true));
    // Report and probe first, then the address, then the question for routers: three times.
    assert_eq!(kinds(&host.sent.borrow()), [135]);
    host.world.pass(20 * SECOND);
    assert_eq!(kinds(&host.sent.borrow()), [135, 133, 133, 133]);
    let reports = host
        .sent
        .borrow()
        .iter()
        .filter(|frame| frame.len() > 62 && frame[20] == 0 && frame[62] == 143)
        .count();
    assert_eq!(reports, 2);
    host.deliver(usual());
    assert!(host.world.netif(0).dns_servers().eq([IpAddr::V6(DNS)]));
    assert_eq!(host.addresses().len(), 1, "still tentative");
    host.world.pass(2 * SECOND);
    let status = host.world.netif(0).status();
    let (address, len) = status.ipv6[2].unwrap();
    assert_eq!(
        (address.segments()[..4].to_vec(), len),
        (PREFIX.segments()[..4].to_vec(), 64)
    );
    assert_eq!(status.router, Some(ROUTER));
    assert!(host.world.netif(0).has_address(Family::V6));
    assert_eq!(host.world.netif(0).shared.ipv6.get().mtu, 1400);
    // The same at the next boot; another with another secret.
    let identifier = |key, network: Ipv6Addr| {
        let mut config = settings(0, true);
        if let Ipv6::On(ipv6) = &mut config.ipv6 {
            ipv6.stable_key = [key; 16];
        }
        let mut other = Lonely::new(config);
        other.world.pass(2 * SECOND);
        other.deliver(advertisement(ROUTER, 1800, &[prefix(network, 64, 0xc0, DAY, DAY)]));
        other.world.pass(2 * SECOND);
        other.addresses()[1].segments()[4..].to_vec()
    };
    let here = address.segments()[4..].to_vec();
    assert_eq!(identifier(9, PREFIX), here);
    assert_ne!(identifier(8, PREFIX), here);
    assert_ne!(identifier(9, Ipv6Addr::new(0x2001, 0xdb8, 0, 2, 0, 0, 0, 0)), here);
    // The router says farewell, then the rest ends in its time.
    host.deliver(advertisement(ROUTER, 0, &[]));
    assert_eq!(host.world.netif(0).status().router, None);
    host.world.pass(700 * SECOND);
    assert_eq!(host.world.netif(0).dns_servers().count(), 0);
    host.world.pass(i64::from(DAY) * SECOND);
    assert_eq!(host.addresses().len(), 1);
}

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
            let target = Ipv6Addr::from(<[u8; 16]>::try_from(&body[8..24]).unwrap());
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
fn pings_are_answered_to_their_sender_and_nothing_is_answered_for_a_group() {
    let mut host = Lonely::ready(false);
    let own = host.own();
    let ping = [128, 0, 0, 0, 1, 2, 0, 3, b'h', b'i'];
    let answers = host.deliver(icmp(FRIEND, own, 64, &ping));
    let (to, body) = message(&answers[0]).unwrap();
    assert_eq!((to, body[0], &body[4..]), (FRIEND, 129, &ping[4..]));
    assert_eq!((answers.len(), &answers[0][..6]), (1, &PEER[..]));
    let multicast = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 9);
    for frame in [
        icmp(FRIEND, ALL_NODES, 64, &ping),
        icmp(Ipv6Addr::UNSPECIFIED, own, 64, &ping),
        icmp(multicast, own, 64, &ping),
        icmp(own, own, 64, &ping),
        tcp(FRIEND, 5, ALL_NODES, TcpControl::Syn, 1, None, b""),
        tcp(FRIEND, 5, multicast, TcpControl::None, 1, Some(2), b""),
        tcp(multicast, 5, own, TcpControl::Syn, 1, None, b""),
        tcp(Ipv6Addr::UNSPECIFIED, 5, own, TcpControl::Syn, 1, None, b""),
        tcp(Ipv6Addr::LOCALHOST, 5, own, TcpControl::Syn, 1, None, b""),
        ipv6(FRIEND, ALL_NODES, IpProtocol::Udp, 64, &[0, 9, 0, 9, 0, 8, 0, 0]),
        ipv6(FRIEND, own, IpProtocol::Unknown(99), 64, b"12345678"),
    ] {
        assert!(host.deliver(frame.clone()).is_empty(), "{frame:?}");
    }
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
fn a_stray_segment_is_reset_with_the_right_numbers() {
    let mut host = Lonely::ready(false);
    let own = host.own();
    let answers = host.deliver(tcp(FRIEND, 5, own, TcpControl::Fin, 100, Some(700), b"abc"));
    let (to, (flags, seq, _, _)) = segment(&answers[0]).unwrap();
    assert_eq!((to, flags, seq), (PEER, (false, false, true), 700));
    let mut closed = tcp(FRIEND, 5, own, TcpControl::Syn, 100, None, b"");
    closed[57] = 8;
    insert_checksums(&mut closed);
    let answers = host.deliver(closed);
    let (_, (flags, seq, ack, _)) = segment(&answers[0]).unwrap();
    assert_eq!((flags, seq, ack), ((false, true, true), 0, 101));
    assert!(
        host.deliver(tcp(FRIEND, 5, own, TcpControl::Rst, 100, None, b""))
            .is_empty()
    );
    let counters = host.counters();
    assert_eq!((counters.stray, counters.no_listener), (2, 1));
}

#[test]
fn a_packet_too_big_splits_the_segments_of_its_connection() {
    let mut host = Lonely::ready(false);
    let own = host.own();
    let (seq, ack) = host.handshake(FRIEND, 4000, own);
    let data = pattern(1400, 5);
    let answers = host.deliver(tcp(FRIEND, 4000, own, TcpControl::Psh, seq, Some(ack), &data));
    let whole = answers
        .iter()
        .find(|frame| segment(frame).is_some_and(|(_, parsed)| parsed.3.len() == 1400))
        .unwrap();
    let report = |mtu: u32, frame: &[u8]| {
        let body = [&[2, 0, 0, 0][..], &mtu.to_be_bytes(), &frame[14..14 + 48]].concat();
        icmp(ROUTER, own, 64, &body)
    };
    // One that quotes what is not under way, and two sizes that cannot be.
    let mut other = whole.clone();
    other[58] ^= 1;
    host.deliver(report(1280, &other));
    host.deliver(report(1279, whole));
    host.deliver(report(9000, whole));
    assert_eq!((host.counters().path_mtu, host.counters().path_mtu_ignored), (0, 2));
    host.deliver(report(1280, whole));
    assert_eq!(host.counters().path_mtu, 1);
    host.sent.borrow_mut().clear();
    host.world.pass(2 * SECOND);
    let again: Vec<_> = host
        .sent
        .borrow()
        .iter()
        .filter(|frame| segment(frame).is_some())
        .take(2)
        .cloned()
        .collect();
    assert!(again.iter().all(|frame| frame.len() <= 14 + 1280));
    let pieces: Vec<_> = again.iter().map(|frame| segment(frame).unwrap().1).collect();
    assert_eq!(pieces[0].1, ack);
    assert_eq!(pieces[1].1, ack + pieces[0].3.len() as i32);
    assert_eq!([&pieces[0].3[..], &pieces[1].3].concat(), data);
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
fn an_address_that_expires_takes_its_connections_with_it_and_no_others() {
    let mut host = Lonely::ready(true);
    host.deliver(advertisement(ROUTER, 1800, &[prefix(PREFIX, 64, 0xc0, 10, 10)]));
    host.world.pass(2 * SECOND);
    let [link_local, global] = host.addresses().try_into().unwrap();
    host.handshake(FRIEND, 4000, link_local);
    host.handshake(Ipv6Addr::new(0x2001, 0xdb8, 0, 1, 0, 0, 0, 9), 4000, global);
    let open = |host: &Lonely| {
        let mut open = Vec::new();
        host.world
            .netif(0)
            .for_each_connection(|connection| open.push(connection.peer.ip()));
        open
    };
    assert_eq!(open(&host).len(), 2);
    host.world.pass(30 * SECOND);
    assert_eq!(host.addresses(), [link_local]);
    assert_eq!(open(&host), [IpAddr::from(FRIEND)]);
}

#[test]
fn configured_dns_servers_of_both_families_take_precedence() {
    let servers = [IpAddr::V4(Ipv4Addr::new(10, 0, 2, 3)), IpAddr::V6(FRIEND)];
    let mut host = Lonely::new(Config {
        dns: servers.map(Some),
        ..settings(0, true)
    });
    host.world.pass(2 * SECOND);
    host.deliver(usual());
    assert!(host.world.netif(0).dns_servers().eq(servers));
}
