//! Frames made by hand: whole and broken ones.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetRepr, Icmpv4Packet, Icmpv4Repr, Ipv4Repr, TcpControl,
    TcpRepr, TcpSeqNumber,
};

use super::*;

/// The MAC address of peers that are made by hand.
pub(super) const PEER: [u8; 6] = [2, 0, 0, 0, 8, 8];

pub(super) fn ethernet(protocol: EthernetProtocol, payload: usize) -> Vec<u8> {
    let mut frame = vec![0; 14 + payload];
    EthernetRepr {
        src_addr: EthernetAddress(PEER),
        dst_addr: EthernetAddress(mac(0)),
        ethertype: protocol,
    }
    .emit(&mut EthernetFrame::new_unchecked(&mut frame[..]));
    frame
}

pub(super) fn ipv4(from: Ipv4Addr, to: Ipv4Addr, protocol: IpProtocol, payload: &[u8]) -> Vec<u8> {
    let mut frame = ethernet(EthernetProtocol::Ipv4, 20 + payload.len());
    Ipv4Repr {
        src_addr: from,
        dst_addr: to,
        next_header: protocol,
        payload_len: payload.len(),
        hop_limit: 64,
    }
    .emit(
        &mut Ipv4Packet::new_unchecked(&mut frame[14..]),
        &ChecksumCapabilities::ignored(),
    );
    frame[34..].copy_from_slice(payload);
    insert_checksums(&mut frame);
    frame
}

/// A segment to host 0.
pub(super) fn tcp(
    from: SocketAddrV4,
    port: u16,
    control: TcpControl,
    seq: i32,
    ack: Option<i32>,
    data: &[u8],
) -> Vec<u8> {
    let repr = TcpRepr {
        src_port: from.port(),
        dst_port: port,
        control,
        seq_number: TcpSeqNumber(seq),
        ack_number: ack.map(TcpSeqNumber),
        window_len: 65535,
        window_scale: None,
        max_seg_size: (control == TcpControl::Syn).then_some(1460),
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: data,
    };
    let mut segment = vec![0; repr.buffer_len()];
    let (own, to) = (*from.ip(), address(0));
    repr.emit(
        &mut TcpPacket::new_unchecked(&mut segment[..]),
        &own.into(),
        &to.into(),
        &ChecksumCapabilities::ignored(),
    );
    ipv4(own, to, IpProtocol::Tcp, &segment)
}

/// An answer to an ARP request for `own`, or the request that makes us known to host 0.
pub(super) fn arp(operation: ArpOperation, own: Ipv4Addr) -> Vec<u8> {
    let repr = ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr: EthernetAddress(PEER),
        source_protocol_addr: own,
        target_hardware_addr: EthernetAddress(mac(0)),
        target_protocol_addr: address(0),
    };
    let mut frame = ethernet(EthernetProtocol::Arp, repr.buffer_len());
    repr.emit(&mut ArpPacket::new_unchecked(&mut frame[14..]));
    frame
}

/// A segment that a host sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) to: SocketAddrV4,
    pub(super) from_port: u16,
    pub(super) flags: (bool, bool, bool, bool),
    pub(super) seq: i32,
    pub(super) ack: i32,
    pub(super) data: Vec<u8>,
}

pub(super) const SYN_ACK: (bool, bool, bool, bool) = (true, true, false, false);

pub(super) fn parse(frame: &[u8]) -> Option<Sent> {
    if frame[12..14] != [8, 0] || frame[23] != 6 {
        return None;
    }
    let ip = Ipv4Packet::new_checked(&frame[14..]).unwrap();
    let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
    assert!(ip.verify_checksum() && tcp.verify_checksum(&ip.src_addr().into(), &ip.dst_addr().into()));
    Some(Sent {
        to: SocketAddrV4::new(ip.dst_addr(), tcp.dst_port()),
        from_port: tcp.src_port(),
        flags: (tcp.syn(), tcp.ack(), tcp.rst(), tcp.fin()),
        seq: tcp.seq_number().0,
        ack: tcp.ack_number().0,
        data: tcp.payload().to_vec(),
    })
}

/// A host on its own, and what it has sent.
pub(super) fn lonely(plan: Plan) -> (World, Rc<RefCell<Vec<Vec<u8>>>>) {
    let mut world = World::new(&[plan]);
    let sent = Rc::new(RefCell::new(Vec::new()));
    let seen = sent.clone();
    world.tap = Some(Box::new(move |frame| {
        seen.borrow_mut().push(frame.to_vec());
        true
    }));
    (world, sent)
}

/// The TCP segments among what was sent, which is forgotten.
pub(super) fn segments(sent: &RefCell<Vec<Vec<u8>>>) -> Vec<Sent> {
    sent.borrow_mut().drain(..).filter_map(|frame| parse(&frame)).collect()
}

/// Finishes a handshake by hand; the next sequence numbers of both sides.
pub(super) fn handshake(
    world: &mut World,
    sent: &RefCell<Vec<Vec<u8>>>,
    from: SocketAddrV4,
    port: u16,
) -> Option<(i32, i32)> {
    handshake_from(world, sent, from, port, 1000)
}

/// The same, with an initial sequence number of the peer's.
pub(super) fn handshake_from(
    world: &mut World,
    sent: &RefCell<Vec<Vec<u8>>>,
    from: SocketAddrV4,
    port: u16,
    seq: i32,
) -> Option<(i32, i32)> {
    let host = world.hosts[0].port.clone();
    segments(sent);
    host.deliver(tcp(from, port, TcpControl::Syn, seq, None, b""));
    world.settle();
    let answer = segments(sent)
        .into_iter()
        .find(|answer| answer.to == from && answer.flags == SYN_ACK)?;
    assert_eq!(answer.ack, seq + 1);
    host.deliver(tcp(
        from,
        port,
        TcpControl::None,
        seq + 1,
        Some(answer.seq.wrapping_add(1)),
        b"",
    ));
    world.settle();
    Some((seq + 1, answer.seq.wrapping_add(1)))
}

const FRIEND: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 50);

#[test]
fn ping_is_answered_at_any_size_and_a_damaged_one_is_not() {
    let (mut world, sent) = lonely(PLAN);
    world.hosts[0].port.deliver(arp(ArpOperation::Request, FRIEND));
    world.settle();
    assert!(
        sent.borrow()
            .iter()
            .any(|frame| frame[12..14] == [8, 6] && frame[21] == 2 && frame[..6] == PEER)
    );
    for size in [0, 1, 56, 1472] {
        sent.borrow_mut().clear();
        let data = pattern(size, 3);
        let request = Icmpv4Repr::EchoRequest {
            ident: 7,
            seq_no: 9,
            data: &data,
        };
        let mut message = vec![0; request.buffer_len()];
        request.emit(
            &mut Icmpv4Packet::new_unchecked(&mut message[..]),
            &ChecksumCapabilities::default(),
        );
        let mut frame = ipv4(FRIEND, address(0), IpProtocol::Icmp, &message);
        world.hosts[0].port.deliver(frame.clone());
        world.settle();
        let answers: Vec<_> = sent.borrow_mut().drain(..).collect();
        assert_eq!(answers.len(), 1);
        let ip = Ipv4Packet::new_checked(&answers[0][14..]).unwrap();
        let answer = Icmpv4Packet::new_checked(ip.payload()).unwrap();
        assert!(answer.verify_checksum());
        assert_eq!(
            Icmpv4Repr::parse(&answer, &ChecksumCapabilities::default()),
            Ok(Icmpv4Repr::EchoReply {
                ident: 7,
                seq_no: 9,
                data: &data
            })
        );
        let last = frame.len() - 1;
        frame[last] ^= 1;
        let before = world.netif(0).counters().checksum;
        world.hosts[0].port.deliver(frame);
        world.settle();
        assert!(sent.borrow().is_empty());
        assert_eq!(world.netif(0).counters().checksum, before + 1);
    }
}

#[test]
fn every_kind_of_wrong_frame_is_dropped_and_counted_by_name() {
    let (mut world, sent) = lonely(PLAN);
    let _listener = world.netif(0).listen(7).unwrap();
    let from = SocketAddrV4::new(FRIEND, 4000);
    let syn = || tcp(from, 7, TcpControl::Syn, 1, None, b"");
    let mut frames: Vec<(&str, Vec<u8>)> = vec![
        ("too short", syn()[..13].to_vec()),
        ("too short", Vec::from([0])),
        ("too long", ipv4(FRIEND, address(0), IpProtocol::Tcp, &[0; 1481])),
        ("malformed", syn()[..20].to_vec()),
        ("malformed", syn()[..40].to_vec()),
        ("not for us", ipv4(FRIEND, address(3), IpProtocol::Tcp, &[0; 20])),
        ("not for us", tcp(from, 7, TcpControl::Syn, 1, None, b"")),
        ("unknown protocol", ethernet(EthernetProtocol::Ipv6, 60)),
        ("wrong checksum", syn()),
        ("wrong checksum", syn()),
        ("fragments", syn()),
        ("fragments", syn()),
        ("malformed", syn()),
        ("malformed", ipv4(FRIEND, address(0), IpProtocol::Tcp, &[0; 4])),
        ("malformed", ipv4(FRIEND, address(0), IpProtocol::Udp, &[0; 4])),
        ("malformed", ipv4(FRIEND, address(0), IpProtocol::Icmp, &[0; 1])),
        ("malformed", ethernet(EthernetProtocol::Arp, 10)),
        (
            "malformed",
            tcp(SocketAddrV4::new(FRIEND, 0), 7, TcpControl::Syn, 1, None, b""),
        ),
    ];
    for source in [
        [0, 0, 0, 0],
        [255, 255, 255, 255],
        [224, 0, 0, 9],
        [127, 0, 0, 1],
        [10, 0, 2, 255],
        [10, 0, 2, 10],
    ] {
        let from = SocketAddrV4::new(source.into(), 9);
        frames.push(("wrong source", tcp(from, 7, TcpControl::Syn, 1, None, b"")));
    }
    frames[6].1[5] ^= 1; // Ethernet destination
    frames[8].1[50] ^= 1; // TCP
    frames[9].1[22] ^= 1; // IPv4: time to live
    frames[10].1[20] |= 0x20; // more fragments
    frames[11].1[21] = 4; // fragment offset
    frames[12].1[46] = 0xf0; // TCP data offset beyond the end
    let refill = [10, 11, 12];
    for index in refill {
        insert_checksums(&mut frames[index].1);
    }
    for (name, frame) in frames {
        let count = |world: &World| {
            let counters = world.netif(0).counters();
            let named = counters.iter().find(|(counter, _)| *counter == name).unwrap().1;
            (named, counters.dropped(), counters.frames)
        };
        let before = count(&world);
        world.hosts[0].port.deliver(frame);
        world.settle();
        assert_eq!(count(&world), (before.0 + 1, before.1 + 1, before.2 + 1), "{name}");
    }
    assert!(segments(&sent).is_empty());
    assert_eq!(world.netif(0).status().free, PLAN.slots());
}

#[test]
fn a_card_that_has_verified_is_believed() {
    let (mut world, sent) = lonely(PLAN);
    let _listener = world.netif(0).listen(7).unwrap();
    world.hosts[0].port.deliver(arp(ArpOperation::Request, FRIEND));
    world.hosts[0].port.verified.set(true);
    let mut frame = tcp(SocketAddrV4::new(FRIEND, 5), 7, TcpControl::Syn, 1, None, b"");
    frame[50] ^= 1; // The checksum itself.
    world.hosts[0].port.deliver(frame);
    world.settle();
    assert_eq!(segments(&sent)[0].flags, SYN_ACK);
}

#[test]
fn frames_of_noise_and_damaged_frames_do_no_harm() {
    let (mut world, sent) = lonely(Plan { large: 3, ..PLAN });
    let listener = Rc::new(world.netif(0).listen(7).unwrap());
    let accepting = listener.clone();
    world.spawn(async move {
        loop {
            let stream = accepting.accept().await;
            let _ = streams::echo(stream).await;
        }
    });
    world.hosts[0].port.deliver(arp(ArpOperation::Request, FRIEND));
    let port = world.hosts[0].port.clone();
    // Checksums are not looked at, so that the damage gets as deep as it can.
    port.verified.set(true);
    for round in 0..20_000u32 {
        let from = SocketAddrV4::new(FRIEND, 1000 + (round % 3) as u16);
        let kinds = [
            TcpControl::Syn,
            TcpControl::None,
            TcpControl::Psh,
            TcpControl::Psh,
            TcpControl::Fin,
        ];
        let control = if round % 97 == 0 {
            TcpControl::Rst
        } else {
            kinds[world.random(5) as usize]
        };
        // Half of the segments fit exactly.
        let jitter = world.random(2) as i32;
        let data = pattern(world.random(1400) as usize, u64::from(round));
        // Sequence numbers near those of the live connections, now and then.
        let known = sent
            .borrow()
            .iter()
            .rev()
            .find_map(|frame| parse(frame))
            .filter(|sent| sent.to == from);
        let (seq, ack) = match known {
            Some(known) => (
                known.ack,
                known
                    .seq
                    .wrapping_add(known.data.len() as i32 + i32::from(known.flags.0)),
            ),
            None => (world.random(u32::MAX) as i32, world.random(u32::MAX) as i32),
        };
        let ack = (control != TcpControl::Syn).then_some(ack.wrapping_add(jitter * (world.random(3) as i32 - 1)));
        let mut frame = tcp(
            from,
            7,
            control,
            seq.wrapping_add(jitter * (world.random(3) as i32 - 1)),
            ack,
            &data,
        );
        if round % 3 == 0 {
            for _ in 0..1 + world.random(4) {
                let at = (12 + world.random(frame.len().min(70) as u32 - 12)) as usize;
                frame[at] = world.random(256) as u8;
            }
        }
        if round % 7 == 0 {
            frame.truncate(world.random(frame.len() as u32) as usize);
        }
        if round % 11 == 0 {
            frame = pattern(world.random(1600) as usize, u64::from(round));
            let known = [mac(0), PEER].concat();
            for (byte, known) in frame
                .iter_mut()
                .zip(known.into_iter().chain([8, [0, 6][round as usize % 2]]))
            {
                *byte = known;
            }
        }
        port.deliver(frame);
        if round % 4 == 0 {
            world.settle();
        }
        if round % 500 == 0 {
            world.pass(500_000);
            sent.borrow_mut().clear();
        }
    }
    let counters = world.netif(0).counters();
    assert!(counters.accepted > 10, "{counters:?}");
    port.verified.set(false);
    // The remaining peer is reset by the new one or times out, and service continues.
    world.pass(120_000_000);
    port.deliver(arp(ArpOperation::Request, FRIEND));
    assert!(handshake(&mut world, &sent, SocketAddrV4::new(FRIEND, 9999), 7).is_some());
}
