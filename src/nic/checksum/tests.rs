use super::super::fake::frames;
use super::super::ring::RX_DD;
use super::*;

const DONE: u32 = RX_DD | RX_EOP;

#[test]
fn tcp_gets_the_pseudo_header_and_the_card_the_rest() {
    let mut frame = frames::tcp(b"hello");
    frame[24..26].fill(0x55);
    frame[50..52].fill(0x55);
    assert_eq!(prepare(&mut frame, Offload::Ipv4Tcp), Insert::Ipv4Tcp);
    assert_eq!(frame[24..26], [0, 0]);
    // 10.0.2.2 + 10.0.2.15 + 6 + 25
    assert_eq!(
        frame[50..52],
        (0x0a00 + 0x0202 + 0x0a00 + 0x020f + 6 + 25u16).to_be_bytes()
    );
}

#[test]
fn what_the_card_does_not_insert_is_summed_here() {
    let blank = |mut frame: Vec<u8>, at: usize| {
        frame[24..26].fill(0x55);
        frame[at..at + 2].fill(0x55);
        frame
    };
    for (good, at) in [(frames::tcp(b"hello"), 50), (frames::udp(b"hello"), 40)] {
        let mut frame = blank(good.clone(), at);
        assert_eq!(prepare(&mut frame, Offload::Nothing), Insert::Nothing);
        assert_eq!(frame, good);
    }
    let good = frames::udp(b"hello");
    let mut frame = blank(good.clone(), 40);
    assert_eq!(prepare(&mut frame, Offload::Tcp), Insert::Nothing);
    assert_eq!(frame, good);
    // Of TCP all but its own checksum, which is the sum of the pseudo header.
    let mut good = frames::tcp(b"hello");
    let mut frame = blank(good.clone(), 50);
    assert_eq!(prepare(&mut frame, Offload::Tcp), Insert::Tcp(34));
    good[50..52].copy_from_slice(&(0x0a00 + 0x0202 + 0x0a00 + 0x020f + 6 + 25u16).to_be_bytes());
    assert_eq!(frame, good);
}

#[test]
fn ipv6_is_summed_here_but_for_tcp_where_the_card_sums_anywhere() {
    for (good, at) in [(frames::tcp6(b"hello"), 70), (frames::udp6(b"hello"), 60)] {
        for offload in [Offload::Nothing, Offload::Ipv4Tcp] {
            let mut frame = good.clone();
            frame[at..at + 2].fill(0x55);
            assert_eq!(prepare(&mut frame, offload), Insert::Nothing);
            assert_eq!(frame, good);
        }
    }
    let mut good = frames::udp6(b"hello");
    let mut frame = good.clone();
    frame[60..62].fill(0x55);
    assert_eq!(prepare(&mut frame, Offload::Tcp), Insert::Nothing);
    assert_eq!(frame, good);
    good = frames::tcp6(b"hello");
    frame = good.clone();
    frame[70..72].fill(0x55);
    assert_eq!(prepare(&mut frame, Offload::Tcp), Insert::Tcp(54));
    // fe80::2 + fe80::15 + 25 + 6
    good[70..72].copy_from_slice(&(0xfd01_u16 + 2 + 0x15 + 25 + 6).to_be_bytes());
    assert_eq!(frame, good);
    // A hop-by-hop header first, and a packet cut short.
    let mut other = frames::tcp6(b"hello");
    other[20] = 0;
    let before = other.clone();
    assert_eq!(prepare(&mut other, Offload::Tcp), Insert::Nothing);
    assert_eq!(other, before);
    for len in 0..74 {
        let mut cut = frames::tcp6(b"hello")[..len].to_vec();
        assert_eq!(prepare(&mut cut, Offload::Tcp), Insert::Nothing);
    }
}

#[test]
fn of_ipv6_only_tcp_and_udp_are_verified_by_a_card() {
    let good = |verified| Verdict::Good { verified };
    for (frame, offset) in [(frames::tcp6(b"hello"), 16), (frames::udp6(b"hello"), 6)] {
        assert_eq!(classify(&frame, DONE | RX_L4CS), good(true));
        assert_eq!(classify(&frame, DONE), good(false));
        assert_eq!(classify(&frame, DONE | RX_L4CS | RX_TCPE), Verdict::WrongChecksum);
        assert_eq!(classify_after(&frame, L4::Verified), good(true));
        assert_eq!(classify_after(&frame, L4::Partial { start: 54, offset }), good(true));
        assert_eq!(classify_after(&frame, L4::Partial { start: 34, offset }), good(false));
        assert_eq!(classify_after(&frame, L4::Unknown), good(false));
        let mut icmp = frame.clone();
        icmp[20] = 58;
        assert_eq!(classify(&icmp, DONE | RX_L4CS), good(false));
        assert_eq!(classify_after(&icmp, L4::Verified), good(false));
        // Cut short, for the stack to drop.
        for len in 14..frame.len() {
            assert_eq!(classify(&frame[..len], DONE | RX_L4CS), good(false));
            assert_eq!(classify_after(&frame[..len], L4::Verified), good(false));
        }
    }
}

#[test]
fn udp_is_summed_here() {
    let mut frame = frames::udp(b"hello");
    let good = frame[40..42].to_vec();
    frame[40..42].fill(0);
    assert_eq!(prepare(&mut frame, Offload::Ipv4Tcp), Insert::Ipv4);
    assert_eq!(frame[24..26], [0, 0]);
    assert_eq!(frame[40..42], good[..]);
}

#[test]
fn a_udp_sum_of_zero_goes_out_as_all_ones() {
    let mut frame = frames::udp(&[0, 0]);
    // The payload word that makes the sum all ones, and its complement zero.
    frame[40..42].fill(0);
    prepare(&mut frame, Offload::Ipv4Tcp);
    let sum = u16::from_be_bytes([frame[40], frame[41]]);
    frame[42..44].copy_from_slice(&sum.to_be_bytes());
    prepare(&mut frame, Offload::Ipv4Tcp);
    assert_eq!(frame[40..42], [0xff, 0xff]);
}

#[test]
fn options_are_summed_here_altogether() {
    let mut frame = frames::tcp_with_ip_options(b"hello");
    let good = frame.clone();
    frame[24..26].fill(0);
    frame[54..56].fill(0xaa);
    assert_eq!(prepare(&mut frame, Offload::Ipv4Tcp), Insert::Nothing);
    assert_eq!(frame, good);
}

#[test]
fn a_padded_tcp_frame_is_summed_here() {
    let mut frame = frames::tcp(b"");
    let good = frame[50..52].to_vec();
    frame[50..52].fill(0);
    frame.extend([1, 2, 3, 4, 5, 6]);
    assert_eq!(prepare(&mut frame, Offload::Ipv4Tcp), Insert::Ipv4);
    assert_eq!(frame[50..52], good[..]);
}

#[test]
fn fragments_and_what_is_not_ipv4_are_left_alone() {
    let mut arp = frames::arp();
    let before = arp.clone();
    assert_eq!(prepare(&mut arp, Offload::Ipv4Tcp), Insert::Nothing);
    assert_eq!(arp, before);

    let mut fragment = frames::tcp(b"hello");
    fragment[20] |= 0x20; // more fragments
    let before = fragment.clone();
    assert_eq!(prepare(&mut fragment, Offload::Ipv4Tcp), Insert::Ipv4);
    assert_eq!(fragment[34..], before[34..]);

    for len in 0..34 {
        let mut cut = frames::tcp(b"hello")[..len].to_vec();
        assert_eq!(prepare(&mut cut, Offload::Ipv4Tcp), Insert::Nothing);
    }
}

#[test]
fn the_cards_errors_count_only_where_it_checked() {
    let frame = frames::tcp(b"hello");
    assert_eq!(
        classify(&frame, DONE | RX_IPCS | RX_L4CS),
        Verdict::Good { verified: true }
    );
    assert_eq!(classify(&frame, DONE | RX_IPCS), Verdict::Good { verified: false });
    assert_eq!(classify(&frame, DONE), Verdict::Good { verified: false });
    assert_eq!(
        classify(&frame, DONE | RX_TCPE | RX_IPE),
        Verdict::Good { verified: false }
    );
    assert_eq!(
        classify(&frame, DONE | RX_IPCS | RX_L4CS | RX_TCPE),
        Verdict::WrongChecksum
    );
    assert_eq!(classify(&frame, DONE | RX_IPCS | RX_IPE), Verdict::WrongChecksum);
    assert_eq!(
        classify(&frame, DONE | RX_IPCS | RX_L4CS | RX_TCPE | RX_IXSM),
        Verdict::Good { verified: false }
    );
    for error in [24, 25, 26, 28, 31] {
        assert_eq!(
            classify(&frame, DONE | RX_IPCS | RX_L4CS | 1 << error),
            Verdict::Damaged
        );
    }
    assert_eq!(classify(&frame, RX_DD | RX_IPCS | RX_L4CS), Verdict::Damaged);
}

#[test]
fn fragments_arp_and_icmp() {
    let mut fragment = frames::tcp(b"hello");
    fragment[20] |= 0x20;
    assert_eq!(
        classify(&fragment, DONE | RX_IPCS | RX_L4CS),
        Verdict::Good { verified: false }
    );
    assert_eq!(classify(&frames::arp(), DONE), Verdict::Good { verified: true });
    assert_eq!(
        classify(&frames::icmp(), DONE | RX_IPCS),
        Verdict::Good { verified: true }
    );
    assert_eq!(classify(&frames::icmp(), DONE), Verdict::Good { verified: false });
}

#[test]
fn packets_cut_short_are_damaged() {
    let frame = frames::tcp(b"hello");
    for len in 0..frame.len() {
        for l4 in [L4::Unknown, L4::Verified] {
            assert_eq!(classify_after(&frame[..len], l4), Verdict::Damaged, "cut to {len}");
        }
        assert_eq!(
            classify(&frame[..len], DONE | RX_IPCS | RX_L4CS),
            Verdict::Damaged,
            "cut to {len}"
        );
    }
}
