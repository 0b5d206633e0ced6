//! Invalid frames are dropped, counted by kind, and have no effect on other peers.

use smoltcp::wire::{EthernetProtocol, Ipv4Packet, TcpControl, TcpPacket};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::common::machine::{Setup, nic_is_virtio};
use super::common::pki::USER_NETWORK;
use super::common::telnet::Telnet;
use super::common::wire::Wire;
use super::common::{noise, poll};

const GHOST: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 2, 77), 4000);

/// The counters of the card and the stack, by name.
fn counters(shell: &mut Telnet) -> BTreeMap<String, u64> {
    let text = shell.command("counters");
    let counters = text.lines().filter_map(|line| {
        let (name, count) = line.trim().rsplit_once(' ')?;
        Some((name.trim().to_owned(), count.parse().ok()?))
    });
    counters.collect()
}

fn plain_echo() -> String {
    format!("{USER_NETWORK}.echo = {{ .plain_port = 10008 }},\n")
}

fn assert_echoes(wire: &Wire) {
    assert_eq!(
        super::echo::plain(wire.forward(10008), b"still here".to_vec()),
        b"still here"
    );
}

/// Sends a frame ten times, and waits until that counter has grown by ten.
fn assert_counted(shell: &mut Telnet, wire: &Wire, what: &str, frame: &[u8], counter: &str) {
    let before = counters(shell);
    let mut last = Vec::new();
    for _ in 0..10 {
        wire.send(frame);
    }
    poll(what, || {
        let now = counters(shell);
        let grown = now
            .into_iter()
            .map(|(name, count)| (count - before.get(&name).unwrap_or(&0), name));
        let grown: Vec<_> = grown.filter(|(more, _)| *more > 0).collect();
        if grown != last {
            // Shown if the test fails.
            println!("{what}: {grown:?}");
        }
        last = grown;
        let more = last
            .iter()
            .find(|(_, name)| name == counter)
            .map_or(0, |(more, _)| *more);
        assert!(more <= 10, "{what}: {counter} grew by {more}");
        (more == 10).then_some(())
    });
}

#[test]
fn each_kind_of_bad_frame_is_dropped_and_counted() {
    let wire = Wire::new();
    let _machine = Setup::new().wire(wire.address()).defconfig(plain_echo()).ready();
    wire.connected();
    let mut shell = Telnet::connect(wire.forward(23));
    let good = wire.segment(GHOST, 10008, |segment| segment.control = TcpControl::Syn);
    // Offsets: Ethernet header 14, IPv4 header 20.
    let changed = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        frame
    };
    // The same, with the checksum of the IPv4 header made right again.
    let mended = |changes: &[(usize, u8)]| {
        let mut frame = good.clone();
        changes.iter().for_each(|&(at, value)| frame[at] = value);
        Ipv4Packet::new_unchecked(&mut frame[14..]).fill_checksum();
        frame
    };
    // And that of the TCP segment.
    let all_mended = |at: usize, value: u8| {
        let mut frame = mended(&[(at, value)]);
        let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
        let (from, to) = (packet.src_addr().into(), packet.dst_addr().into());
        TcpPacket::new_unchecked(packet.payload_mut()).fill_checksum(&from, &to);
        frame
    };
    // ICMP: the card looks at the checksum of its header only.
    const ICMP: (usize, u8) = (23, 1);
    let oversized = [&good[..], &vec![0; 1600 - good.len()]].concat();
    // The 82574L looks at IPv4, TCP and UDP itself. QEMU's virtio device at the end of a cable looks at nothing: its driver
    // drops what is cut short, and the stack verifies the checksums.
    let by_card = |e1000e, virtio| if nic_is_virtio() { virtio } else { e1000e };
    for (what, frame, counter) in [
        ("an oversized frame", oversized, "in, damaged"),
        (
            "a wrong checksum in the IPv4 header",
            changed(24, !good[24]),
            by_card("in, wrong checksum", "wrong checksum"),
        ),
        (
            "a wrong TCP checksum",
            changed(50, !good[50]),
            by_card("in, wrong checksum", "wrong checksum"),
        ),
        (
            "a segment that is cut short",
            mended(&[(17, 30)]),
            by_card("in, wrong checksum", "malformed"),
        ),
        (
            "a header longer than the packet",
            changed(14, 0x4f),
            by_card("in, wrong checksum", "in, damaged"),
        ),
        (
            "a packet longer than its frame",
            mended(&[ICMP, (17, 0xff)]),
            "in, damaged",
        ),
        (
            "a packet shorter than its header",
            mended(&[ICMP, (17, 4)]),
            "in, damaged",
        ),
        ("IPv4 that says it is 6", mended(&[(14, 0x65)]), "malformed"),
        (
            "a TCP header longer than the segment",
            all_mended(46, 0xf0),
            "malformed",
        ),
        ("a fragment", mended(&[(20, 0x20)]), "fragments"),
        (
            "an IPv6 packet longer than its frame",
            wire.frame(EthernetProtocol::Ipv6, &[0x60; 40]),
            "malformed",
        ),
        (
            "neither IP nor ARP",
            wire.frame(EthernetProtocol::Unknown(0x88cc), &[0x60; 40]),
            "unknown protocol",
        ),
        ("a multicast source", all_mended(26, 224), "wrong source"),
        ("another's address", all_mended(33, 99), "not for us"),
    ] {
        assert_counted(&mut shell, &wire, what, &frame, counter);
    }
    // None of them has opened a connection; the unmodified frame does.
    assert_eq!(
        wire.seen_within(std::time::Duration::ZERO, |segment| segment.to == GHOST)
            .map(|_| ()),
        None
    );
    wire.send(&good);
    wire.seen("a SYN-ACK", |segment| {
        segment.to == GHOST && segment.control == TcpControl::Syn
    });
    assert_echoes(&wire);
}

#[test]
fn noise_on_the_cable_has_no_effect() {
    let wire = Wire::new();
    let _machine = Setup::new().wire(wire.address()).defconfig(plain_echo()).ready();
    wire.connected();
    let good = wire.segment(GHOST, 10008, |segment| segment.control = TcpControl::Syn);
    let bytes = noise(21, 64 * 1024);
    for turn in 0..3000 {
        let at = turn * 13 % (bytes.len() - 2048);
        let mut frame = good.clone();
        match turn % 3 {
            // Noise behind a good Ethernet header.
            0 => {
                frame.truncate(14);
                frame.extend_from_slice(&bytes[at..at + usize::from(bytes[at]) * 5]);
            }
            // A good frame with three bytes changed.
            1 => (0..3).for_each(|n| frame[14 + usize::from(bytes[at + n]) % 40] = bytes[at + 8 + n]),
            // A good frame cut short.
            // But not to zero bytes: QEMU treats an empty datagram as the end of the cable.
            _ => frame.truncate(1 + usize::from(bytes[at]) % good.len()),
        }
        wire.send(&frame);
        if turn % 500 == 499 {
            assert_echoes(&wire);
        }
    }
}

#[test]
fn a_delayed_wire_has_that_round_trip_time() {
    let wire = Wire::new();
    let _machine = Setup::new().wire(wire.address()).defconfig(plain_echo()).ready();
    wire.connected();
    assert_echoes(&wire);
    wire.delay(std::time::Duration::from_millis(200));
    let start = std::time::Instant::now();
    assert_echoes(&wire);
    // The handshake takes one, the echo another; more if anything is late.
    assert!(start.elapsed() >= std::time::Duration::from_millis(200));
    wire.delay(std::time::Duration::ZERO);
    assert_echoes(&wire);
}
