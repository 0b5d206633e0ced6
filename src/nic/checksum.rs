//! Checksum offload: insertion on transmit, verification on receive.

use smoltcp::wire::{
    EthernetFrame, EthernetProtocol, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket, checksum,
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
    /// The TCP checksum, in a segment that begins at this offset.
    Tcp(usize),
}

/// The checksums that a card can insert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offload {
    /// Nothing.
    Nothing,
    /// TCP checksums, anywhere.
    Tcp,
    /// IPv4 header and TCP checksums, in IPv4 without options.
    Ipv4Tcp,
}

/// Offset of TCP in a frame with IPv4 and without options.
const TCP: usize = 34;
/// Bytes of an IPv6 header.
const IPV6_HEADER: usize = 40;
/// Offset of the checksum in TCP.
pub(super) const TCP_CHECKSUM: usize = 16;
/// Offset of the checksum in UDP.
const UDP_CHECKSUM: usize = 6;

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

/// Readies the checksum fields of a frame to be sent, whatever they hold, and returns what the card shall insert.
///
/// The card adds what the TCP checksum field holds already, so that must be the sum of the pseudo header; and it sums up
/// to the end of the frame. It knows one layout, IPv4 without options and TCP ([`super::ring::TxRing::push_context`]):
/// in anything else the checksums are computed here: DHCP, syslog, and IPv6 with the 82574L. Those of TCP and UDP are
/// computed in IPv6 without extension headers; ICMPv6 is left as it is.
pub(super) fn prepare(frame: &mut [u8], offload: Offload) -> Insert {
    let mut frame = EthernetFrame::new_unchecked(frame);
    if frame.check_len().is_err() {
        return Insert::Nothing;
    }
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => prepare_ipv4(frame.payload_mut(), offload),
        EthernetProtocol::Ipv6 => prepare_ipv6(frame.payload_mut(), offload),
        _ => Insert::Nothing,
    }
}

fn prepare_ipv6(packet: &mut [u8], offload: Offload) -> Insert {
    let Ok(mut packet) = Ipv6Packet::new_checked(packet) else {
        return Insert::Nothing;
    };
    if packet.version() != 6 {
        return Insert::Nothing;
    }
    let (source, destination, protocol) = (packet.src_addr(), packet.dst_addr(), packet.next_header());
    let exact = packet.total_len() == packet.as_ref().len();
    match protocol {
        IpProtocol::Tcp => {
            let mut tcp = TcpPacket::new_unchecked(packet.payload_mut());
            if tcp.check_len().is_err() {
                return Insert::Nothing;
            }
            if exact && offload == Offload::Tcp {
                let len = tcp.as_ref().len() as u32;
                tcp.set_checksum(checksum::pseudo_header_v6(&source, &destination, protocol, len));
                return Insert::Tcp(MIN_FRAME + IPV6_HEADER);
            }
            tcp.fill_checksum(&IpAddress::Ipv6(source), &IpAddress::Ipv6(destination));
        }
        IpProtocol::Udp => {
            let mut udp = UdpPacket::new_unchecked(packet.payload_mut());
            if udp.check_len().is_ok() {
                udp.fill_checksum(&IpAddress::Ipv6(source), &IpAddress::Ipv6(destination));
            }
        }
        _ => {}
    }
    Insert::Nothing
}

fn prepare_ipv4(packet: &mut [u8], offload: Offload) -> Insert {
    let Ok(mut packet) = Ipv4Packet::new_checked(packet) else {
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
        // The checksum of a fragment is the whole packet's and is unknown here.
        IpProtocol::Tcp | IpProtocol::Udp if !whole => {}
        IpProtocol::Tcp => {
            let mut tcp = TcpPacket::new_unchecked(packet.payload_mut());
            if tcp.check_len().is_ok() {
                if plain && exact && offload != Offload::Nothing {
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
    if plain && offload == Offload::Ipv4Tcp {
        packet.set_checksum(0);
        return insert;
    }
    packet.fill_checksum();
    if insert == Insert::Ipv4Tcp {
        Insert::Tcp(TCP)
    } else {
        Insert::Nothing
    }
}

/// The state of the TCP or UDP checksum of a received frame, according to a virtio device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum L4 {
    /// Not verified.
    Unknown,
    /// Verified, and right.
    Verified,
    /// To be completed, for a frame that never was on a wire: the field has the sum of the pseudo header.
    Partial {
        /// Offset of the first byte that it covers, in the frame.
        start: usize,
        /// Offset of the field, from there on.
        offset: usize,
    },
}

/// Classifies a received frame of a virtio device, which has not looked at the IPv4 header.
pub(super) fn classify_after(frame: &[u8], l4: L4) -> Verdict {
    if frame.len() < MIN_FRAME {
        return Verdict::Damaged;
    }
    let frame = EthernetFrame::new_unchecked(frame);
    match frame.ethertype() {
        EthernetProtocol::Ipv4 => {}
        // It carries no checksum.
        EthernetProtocol::Arp => return Verdict::Good { verified: true },
        EthernetProtocol::Ipv6 => {
            return classify_ipv6(frame.payload(), |protocol| {
                is_complete(l4, protocol, MIN_FRAME + IPV6_HEADER)
            });
        }
        _ => return Verdict::Good { verified: false },
    }
    let Ok(packet) = Ipv4Packet::new_checked(frame.payload()) else {
        return Verdict::Damaged;
    };
    if l4 == L4::Unknown {
        return Verdict::Good { verified: false };
    }
    if !packet.verify_checksum() {
        return Verdict::WrongChecksum;
    }
    let whole = !packet.more_frags() && packet.frag_offset() == 0;
    let start = MIN_FRAME + usize::from(packet.header_len());
    Verdict::Good {
        verified: whole && is_complete(l4, packet.next_header(), start),
    }
}

/// Whether the checksum of a segment or datagram that begins at `start` needs no look.
fn is_complete(l4: L4, protocol: IpProtocol, start: usize) -> bool {
    let offset = match protocol {
        IpProtocol::Tcp => TCP_CHECKSUM,
        IpProtocol::Udp => UDP_CHECKSUM,
        _ => return false,
    };
    l4 == L4::Verified || l4 == L4::Partial { start, offset }
}

/// Classifies an IPv6 packet. `verified` is asked for TCP and UDP without extension headers; what else there may be has to
/// be verified by the stack.
fn classify_ipv6(packet: &[u8], verified: impl FnOnce(IpProtocol) -> bool) -> Verdict {
    let Ok(packet) = Ipv6Packet::new_checked(packet) else {
        return Verdict::Good { verified: false };
    };
    let protocol = packet.next_header();
    Verdict::Good {
        verified: matches!(protocol, IpProtocol::Tcp | IpProtocol::Udp) && verified(protocol),
    }
}

/// Classifies a received frame by the `status` word that the card wrote back with it.
pub(super) fn classify(frame: &[u8], status: u32) -> Verdict {
    const UNVERIFIED: Verdict = Verdict::Good { verified: false };
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
        EthernetProtocol::Ipv6 => return classify_ipv6(frame.payload(), |_| l4),
        _ => return UNVERIFIED,
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
mod tests;
