//! IPv6: addresses, neighbours and routers.

mod attacks;

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

/// The target of a solicitation.
fn target(message: &[u8]) -> Ipv6Addr {
    Ipv6Addr::from(<[u8; 16]>::try_from(&message[8..24]).unwrap())
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
    // Without the flag that the prefix is on the link: it stays so.
    host.deliver(advertisement(ROUTER, 1800, &[prefix(PREFIX, 64, 0x40, DAY, 3600)]));
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
fn addresses_are_probed_again_when_the_link_comes_back_and_stay_in_use() {
    let mut host = Lonely::ready(true);
    host.deliver(usual());
    host.world.pass(2 * SECOND);
    let [link_local, global] = host.addresses().try_into().unwrap();
    let (seq, ack) = host.handshake(FRIEND, 4000, link_local);
    let replug = |host: &mut Lonely| {
        host.world.hosts[0].port.link.set(Link::Down);
        host.world.settle();
        host.sent.borrow_mut().clear();
        host.world.hosts[0].port.link.set(Link::Up(1000));
        host.world.settle();
    };
    let probed = |frames: &[Vec<u8>]| -> Vec<Ipv6Addr> {
        let probes = frames.iter().filter(|frame| frame[22..38] == [0; 16]);
        probes.filter_map(|frame| Some(target(&message(frame)?.1))).collect()
    };
    replug(&mut host);
    assert_eq!(probed(&host.sent.borrow()), [link_local, global]);
    let answers = host.deliver(tcp(FRIEND, 4000, link_local, TcpControl::Psh, seq, Some(ack), b"x"));
    assert!(
        answers
            .iter()
            .filter_map(|frame| segment(frame))
            .any(|(_, parsed)| parsed.3 == b"x")
    );
    // It is defended against one who probes it, and its own probe may come back.
    let answers = host.deliver(neighbor_solicitation(FRIEND, link_local, link_local));
    assert_eq!(kinds(&answers), [136]);
    let mut own = neighbor_advertisement(link_local, ALL_NODES, link_local, PEER, 0x20);
    own[6..12].copy_from_slice(&mac(0));
    host.deliver(own);
    host.world.pass(2 * SECOND);
    // Afterwards no advertisement takes an address away.
    host.deliver(neighbor_advertisement(global, ALL_NODES, global, PEER, 0x20));
    assert_eq!(host.addresses(), [link_local, global]);
    // Another host of the new link has one of them.
    replug(&mut host);
    host.deliver(neighbor_advertisement(link_local, ALL_NODES, link_local, PEER, 0x20));
    assert_eq!(host.addresses(), [global]);
    host.world.pass(2 * SECOND);
    let [other, same] = host.addresses().try_into().unwrap();
    assert!(other.is_unicast_link_local() && other != link_local && same == global);
    // And the others that are tried: there is none, until the link is another one.
    replug(&mut host);
    let answers = host.deliver(neighbor_advertisement(other, ALL_NODES, other, PEER, 0x20));
    let third = probed(&answers)[0];
    host.deliver(neighbor_advertisement(third, ALL_NODES, third, PEER, 0x20));
    host.world.pass(2 * SECOND);
    assert_eq!(host.addresses(), [global]);
    replug(&mut host);
    host.world.pass(2 * SECOND);
    assert_eq!(host.addresses(), [link_local, global]);
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
