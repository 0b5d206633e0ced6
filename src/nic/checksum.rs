//! Which checksums of a frame the card inserts, and whether it has verified those of another.

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, TcpPacket, UdpPacket, checksum,
};

use super::ring::RX_EOP;

/// Shortest frame that is one: an Ethernet header.
pub(super) const MIN_FRAME: usize = 14;
/// Bytes of an IPv4 header without options.
const IPV4_PLAIN: u8 = 20;

/// Extended receive status: the checksum indications do not count.
const RX_IXSM: u32 = 1 << 2;
/// Extended receive status: the TCP or UDP checksum was verified.
const RX_L4CS: u32 = 1 << 5;
/// Extended receive status: the IPv4 header checksum was verified.
const RX_IPCS: u32 = 1 << 6;
/// Extended receive errors: CRC or alignment, symbol, sequence, carrier extension, RX data.
const RX_DAMAGED: u32 = 1 << 24 | 1 << 25 | 1 << 26 | 1 << 28 | 1 << 31;
/// Extended receive errors: the TCP or UDP checksum is wrong.
const RX_TCPE: u32 = 1 << 29;
/// Extended receive errors: the IPv4 header checksum is wrong.
const RX_IPE: u32 = 1 << 30;

/// What the card is to insert into a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Insert {
    /// Nothing: the frame is complete.
    Nothing,
    /// The IPv4 header checksum.
    Ipv4,
    /// The IPv4 header checksum and the TCP checksum.
    Ipv4Tcp,
}

/// What the card found out about a received frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing wrong with it.
    Good {
        /// Whether all its checksums were verified.
        verified: bool,
    },
    /// Damaged, or cut short.
    Damaged,
    /// A checksum is wrong.
    WrongChecksum,
}

/// Readies the checksum fields of a frame to be sent, whatever they hold, and says what the card shall insert.
///
/// The card adds what the TCP checksum field holds already, so that must be the sum of the pseudo header; and it sums up
/// to the end of the frame. It knows one layout, IPv4 without options and TCP ([`super::ring::TxRing::push_context`]):
/// in anything else the checksums are computed here. Those are rare and small: DHCP, syslog.
pub(super) fn prepare(frame: &mut [u8]) -> Insert {
    let mut frame = EthernetFrame::new_unchecked(frame);
    if frame.check_len().is_err() || frame.ethertype() != EthernetProtocol::Ipv4 {
        return Insert::Nothing;
    }
    let Ok(mut packet) = Ipv4Packet::new_checked(frame.payload_mut()) else {
        return Insert::Nothing;
    };
    if packet.version() != 4 {
        return Insert::Nothing;
    }
    let (source, destination) = (packet.src_addr(), packet.dst_addr());
    let (protocol, plain) = (packet.next_header(), packet.header_len() == IPV4_PLAIN);
    let exact = usize::from(packet.total_len()) == packet.as_ref().len();
    let whole = !packet.more_frags() && packet.frag_offset() == 0;

    let mut insert = Insert::Ipv4;
    match protocol {
        // The checksum of a fragment is the whole packet's and cannot be told from here.
        IpProtocol::Tcp | IpProtocol::Udp if !whole => {}
        IpProtocol::Tcp => {
            let mut tcp = TcpPacket::new_unchecked(packet.payload_mut());
            if tcp.check_len().is_ok() {
                if plain && exact {
                    let len = tcp.as_ref().len() as u32;
                    tcp.set_checksum(checksum::pseudo_header_v4(&source, &destination, protocol, len));
                    insert = Insert::Ipv4Tcp;
                } else {
                    tcp.fill_checksum(&IpAddress::Ipv4(source), &IpAddress::Ipv4(destination));
                }
            }
        }
        IpProtocol::Udp => {
            let mut udp = UdpPacket::new_unchecked(packet.payload_mut());
            if udp.check_len().is_ok() {
                // A sum of 0 goes out as all ones, since 0 would mean "no checksum" (RFC 768).
                udp.fill_checksum(&IpAddress::Ipv4(source), &IpAddress::Ipv4(destination));
            }
        }
        _ => {}
    }
    if plain {
        packet.set_checksum(0);
        insert
    } else {
        packet.fill_checksum();
        Insert::Nothing
    }
}

/// Judges a received frame by the `status` word that the card wrote back with it.
pub(super) fn judge(frame: &[u8], status: u32) -> Verdict {
    const UNJUDGED: Verdict = Verdict::Good { verified: false };
    let checked = if status & RX_IXSM == 0 {
        status & (RX_IPCS | RX_L4CS)
    } else {
        0
    };
    if status & RX_EOP == 0 || status & RX_DAMAGED != 0 || frame.len() < MIN_FRAME {
        return Verdict::Damaged;
    }
    let (ipv4, l4) = (checked & RX_IPCS != 0, checked & RX_L4CS != 0);
    if ipv4 && status & RX_IPE != 0 || l4 && status & RX_TCPE != 0 {
        return Verdict::WrongChecksum;
    }
    let frame = EthernetFrame::new_unchecked(frame);
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {}
        // It carries no checksum.
        EthernetProtocol::Arp => return Verdict::Good { verified: true },
        _ => return UNJUDGED,
    }
    // The card does not compare lengths: a packet that was cut on its way, in a frame that was not.
    let Ok(packet) = Ipv4Packet::new_checked(frame.payload()) else {
        return Verdict::Damaged;
    };
    let whole = !packet.more_frags() && packet.frag_offset() == 0;
    match packet.next_header() {
        IpProtocol::Tcp | IpProtocol::Udp => Verdict::Good {
            verified: ipv4 && l4 && whole,
        },
        _ => Verdict::Good { verified: ipv4 },
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::frames;
    use super::super::ring::RX_DD;
    use super::*;

    const DONE: u32 = RX_DD | RX_EOP;

    #[test]
    fn tcp_gets_the_pseudo_header_and_the_card_the_rest() {
        let mut frame = frames::tcp(b"hello");
        frame[24..26].fill(0x55);
        frame[50..52].fill(0x55);
        assert_eq!(prepare(&mut frame), Insert::Ipv4Tcp);
        assert_eq!(frame[24..26], [0, 0]);
        // 10.0.2.2 + 10.0.2.15 + 6 + 25
        assert_eq!(
            frame[50..52],
            (0x0a00 + 0x0202 + 0x0a00 + 0x020f + 6 + 25u16).to_be_bytes()
        );
    }

    #[test]
    fn udp_is_summed_here() {
        let mut frame = frames::udp(b"hello");
        let good = frame[40..42].to_vec();
        frame[40..42].fill(0);
        assert_eq!(prepare(&mut frame), Insert::Ipv4);
        assert_eq!(frame[24..26], [0, 0]);
        assert_eq!(frame[40..42], good[..]);
    }

    #[test]
    fn a_udp_sum_of_zero_goes_out_as_all_ones() {
        let mut frame = frames::udp(&[0, 0]);
        // The payload word that makes the sum all ones, and its complement zero.
        frame[40..42].fill(0);
        prepare(&mut frame);
        let sum = u16::from_be_bytes([frame[40], frame[41]]);
        frame[42..44].copy_from_slice(&sum.to_be_bytes());
        prepare(&mut frame);
        assert_eq!(frame[40..42], [0xff, 0xff]);
    }

    #[test]
    fn options_are_summed_here_altogether() {
        let mut frame = frames::tcp_with_ip_options(b"hello");
        let good = frame.clone();
        frame[24..26].fill(0);
        frame[54..56].fill(0xaa);
        assert_eq!(prepare(&mut frame), Insert::Nothing);
        assert_eq!(frame, good);
    }

    #[test]
    fn a_padded_tcp_frame_is_summed_here() {
        let mut frame = frames::tcp(b"");
        let good = frame[50..52].to_vec();
        frame[50..52].fill(0);
        frame.extend([1, 2, 3, 4, 5, 6]);
        assert_eq!(prepare(&mut frame), Insert::Ipv4);
        assert_eq!(frame[50..52], good[..]);
    }

    #[test]
    fn fragments_and_what_is_not_ipv4_are_left_alone() {
        let mut arp = frames::arp();
        let before = arp.clone();
        assert_eq!(prepare(&mut arp), Insert::Nothing);
        assert_eq!(arp, before);

        let mut fragment = frames::tcp(b"hello");
        fragment[20] |= 0x20; // more fragments
        let before = fragment.clone();
        assert_eq!(prepare(&mut fragment), Insert::Ipv4);
        assert_eq!(fragment[34..], before[34..]);

        for len in 0..34 {
            let mut cut = frames::tcp(b"hello")[..len].to_vec();
            assert_eq!(prepare(&mut cut), Insert::Nothing);
        }
    }

    #[test]
    fn the_cards_errors_count_only_where_it_checked() {
        let frame = frames::tcp(b"hello");
        assert_eq!(
            judge(&frame, DONE | RX_IPCS | RX_L4CS),
            Verdict::Good { verified: true }
        );
        assert_eq!(judge(&frame, DONE | RX_IPCS), Verdict::Good { verified: false });
        assert_eq!(judge(&frame, DONE), Verdict::Good { verified: false });
        assert_eq!(
            judge(&frame, DONE | RX_TCPE | RX_IPE),
            Verdict::Good { verified: false }
        );
        assert_eq!(
            judge(&frame, DONE | RX_IPCS | RX_L4CS | RX_TCPE),
            Verdict::WrongChecksum
        );
        assert_eq!(judge(&frame, DONE | RX_IPCS | RX_IPE), Verdict::WrongChecksum);
        assert_eq!(
            judge(&frame, DONE | RX_IPCS | RX_L4CS | RX_TCPE | RX_IXSM),
            Verdict::Good { verified: false }
        );
        for error in [24, 25, 26, 28, 31] {
            assert_eq!(judge(&frame, DONE | RX_IPCS | RX_L4CS | 1 << error), Verdict::Damaged);
        }
        assert_eq!(judge(&frame, RX_DD | RX_IPCS | RX_L4CS), Verdict::Damaged);
    }

    #[test]
    fn fragments_arp_and_icmp() {
        let mut fragment = frames::tcp(b"hello");
        fragment[20] |= 0x20;
        assert_eq!(
            judge(&fragment, DONE | RX_IPCS | RX_L4CS),
            Verdict::Good { verified: false }
        );
        assert_eq!(judge(&frames::arp(), DONE), Verdict::Good { verified: true });
        assert_eq!(judge(&frames::icmp(), DONE | RX_IPCS), Verdict::Good { verified: true });
        assert_eq!(judge(&frames::icmp(), DONE), Verdict::Good { verified: false });
    }

    #[test]
    fn packets_cut_short_are_damaged() {
        let frame = frames::tcp(b"hello");
        for len in 0..frame.len() {
            assert_eq!(
                judge(&frame[..len], DONE | RX_IPCS | RX_L4CS),
                Verdict::Damaged,
                "cut to {len}"
            );
        }
    }
}
