//! A filter of received frames ahead of the stack.
//!
//! Whatever smoltcp would drop silently is dropped here, with a named count. This is also where the checksums are
//! verified that the card could not verify, and where a TCP segment gets the key by which its connection is found.

use core::net::Ipv4Addr;

use smoltcp::wire::{
    ArpPacket, EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv4DstUnreachable, Icmpv4Message, Icmpv4Packet,
    IpAddress, IpEndpoint, IpProtocol, Ipv4Cidr, Ipv4Packet, TcpPacket, UdpPacket,
};

mod ipv6;

use super::guard::TooBig;
use super::ipv6::Ipv6State;
use super::slots::ConnectionKey;
use super::{dhcp, is_host};
use crate::nic::MAX_FRAME;

/// The decision on a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing, for this reason.
    Drop(Reason),
    /// ARP for us, from this address.
    Arp(Ipv4Addr),
    /// ICMP or UDP: for the sockets that are not TCP.
    Common,
    /// A message of IPv6 neighbour discovery.
    Discovery,
    /// An MLD query.
    MldQuery,
    /// An ICMPv6 echo request.
    Echo,
    /// A message from the DHCP server at this address.
    Dhcp(Ipv4Addr),
    /// ICMP: a packet of ours was too big for its path.
    TooBig(TooBig),
    /// A TCP segment.
    Tcp(Segment),
}

/// Why a frame was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reason {
    /// Shorter than an Ethernet header.
    TooShort,
    /// Longer than an Ethernet frame may be.
    TooLong,
    /// Another Ethernet or IP address.
    NotForUs,
    /// Neither ARP nor IP, or a protocol above IPv6 that nothing here speaks.
    Protocol,
    /// A header that is cut short or contradicts itself.
    Malformed,
    /// A wrong checksum.
    Checksum,
    /// A fragment: not reassembled here.
    Fragment,
    /// A source address that no host can have.
    Source,
    /// A DHCP reply that cannot be accepted.
    Dhcp(dhcp::Fault),
    /// An extension header of IPv6.
    Extension,
    /// A message of neighbour discovery that is not valid or was not asked for, or a redirect.
    Discovery,
}

/// A TCP segment for our address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment {
    /// Which connection it belongs to.
    pub(super) key: ConnectionKey,
    /// Whether it opens a connection: SYN, and neither ACK, RST nor FIN.
    pub(super) opens: bool,
    /// Whether it has SYN.
    pub(super) syn: bool,
    /// Whether it has RST.
    pub(super) rst: bool,
    /// Its sequence number.
    pub(super) seq: u32,
    /// Its acknowledgement.
    pub(super) ack: Option<u32>,
}

/// The addresses that a frame is compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct LocalAddr<'a> {
    /// Our Ethernet address.
    pub(super) mac: EthernetAddress,
    /// Our address and mask.
    pub(super) address: Option<Ipv4Cidr>,
    /// Whether an address is leased: DHCP answers may come to an address that is not ours yet.
    pub(super) dhcp: bool,
    /// Our IPv6 addresses.
    pub(super) ipv6: &'a Ipv6State,
}

/// Classifies one frame. `verified`: the card has checked its IPv4, TCP and UDP checksums.
pub(super) fn classify(frame: &[u8], verified: bool, local: &LocalAddr<'_>) -> Verdict {
    match inspect(frame, verified, local) {
        Ok(verdict) => verdict,
        Err(reason) => Verdict::Drop(reason),
    }
}

fn inspect(frame: &[u8], verified: bool, local: &LocalAddr<'_>) -> Result<Verdict, Reason> {
    if frame.len() > MAX_FRAME {
        return Err(Reason::TooLong);
    }
    let frame = EthernetFrame::new_checked(frame).map_err(|_| Reason::TooShort)?;
    let to = frame.dst_addr();
    if to == local.mac || to.is_broadcast() {
        return match frame.ethertype() {
            EthernetProtocol::Arp => arp(frame.payload(), local),
            EthernetProtocol::Ipv4 => ipv4(frame.payload(), verified, local),
            EthernetProtocol::Ipv6 if local.ipv6.on => ipv6::inspect(frame.payload(), verified, local.ipv6),
            _ => Err(Reason::Protocol),
        };
    }
    // RFC 2464 §7.
    let group = matches!(to.0, [0x33, 0x33, ..]) && frame.ethertype() == EthernetProtocol::Ipv6;
    if group && local.ipv6.on {
        return ipv6::inspect(frame.payload(), verified, local.ipv6);
    }
    Err(Reason::NotForUs)
}

fn arp(payload: &[u8], local: &LocalAddr<'_>) -> Result<Verdict, Reason> {
    let packet = ArpPacket::new_checked(payload).map_err(|_| Reason::Malformed)?;
    // RFC 826: Ethernet (1), IPv4 (0x0800), addresses of 6 and 4 bytes. Only then do the fields have their length.
    if packet.hardware_len() != 6 || packet.protocol_len() != 4 {
        return Err(Reason::Malformed);
    }
    let address = |bytes: &[u8]| {
        <[u8; 4]>::try_from(bytes)
            .map(Ipv4Addr::from)
            .map_err(|_| Reason::Malformed)
    };
    let (from, to) = (
        address(packet.source_protocol_addr())?,
        address(packet.target_protocol_addr())?,
    );
    match local.address {
        Some(cidr) if cidr.address() == to => Ok(Verdict::Arp(from)),
        _ => Err(Reason::NotForUs),
    }
}

fn ipv4(payload: &[u8], verified: bool, local: &LocalAddr<'_>) -> Result<Verdict, Reason> {
    let packet = Ipv4Packet::new_checked(payload).map_err(|_| Reason::Malformed)?;
    if packet.version() != 4 {
        return Err(Reason::Malformed);
    }
    if !verified && !packet.verify_checksum() {
        return Err(Reason::Checksum);
    }
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err(Reason::Fragment);
    }
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let ours = local.address.map(|cidr| cidr.address());
    let broadcast = to.is_broadcast() || local.address.and_then(|cidr| cidr.broadcast()) == Some(to);
    // RFC 1122 §3.2.1.3. Beyond that an unspecified source would end as the destination of our answer, which smoltcp
    // asserts never to happen (a DHCP server's address is taken from here).
    if !is_host(from, local.address) || Some(from) == ours {
        return Err(Reason::Source);
    }
    match packet.next_header() {
        IpProtocol::Tcp => {
            if Some(to) != ours {
                return Err(Reason::NotForUs);
            }
            tcp(packet.payload(), verified, (from.into(), to.into()))
        }
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(packet.payload()).map_err(|_| Reason::Malformed)?;
            let dhcp = local.dhcp && datagram.src_port() == 67 && datagram.dst_port() == 68;
            if Some(to) != ours && !broadcast && !dhcp {
                return Err(Reason::NotForUs);
            }
            if !verified && !datagram.verify_checksum(&from.into(), &to.into()) {
                return Err(Reason::Checksum);
            }
            if datagram.dst_port() == 0 {
                return Err(Reason::Malformed);
            }
            Ok(if dhcp { Verdict::Dhcp(from) } else { Verdict::Common })
        }
        IpProtocol::Icmp => {
            if Some(to) != ours {
                return Err(Reason::NotForUs);
            }
            let message = Icmpv4Packet::new_checked(packet.payload()).map_err(|_| Reason::Malformed)?;
            if !message.verify_checksum() {
                return Err(Reason::Checksum);
            }
            if message.msg_type() == Icmpv4Message::DstUnreachable
                && message.msg_code() == u8::from(Icmpv4DstUnreachable::FragRequired)
            {
                return Ok(too_big(packet.payload(), to).map_or(Verdict::Common, Verdict::TooBig));
            }
            Ok(Verdict::Common)
        }
        // smoltcp answers those with "protocol unreachable".
        _ if Some(to) == ours => Ok(Verdict::Common),
        _ => Err(Reason::NotForUs),
    }
}

fn tcp(payload: &[u8], verified: bool, (from, to): (IpAddress, IpAddress)) -> Result<Verdict, Reason> {
    let segment = TcpPacket::new_checked(payload).map_err(|_| Reason::Malformed)?;
    if !verified && !segment.verify_checksum(&from, &to) {
        return Err(Reason::Checksum);
    }
    if segment.src_port() == 0 || segment.dst_port() == 0 {
        return Err(Reason::Malformed);
    }
    Ok(Verdict::Tcp(Segment {
        key: ConnectionKey {
            remote: IpEndpoint::new(from, segment.src_port()),
            local: IpEndpoint::new(to, segment.dst_port()),
        },
        opens: segment.syn() && !segment.ack() && !segment.rst() && !segment.fin(),
        syn: segment.syn(),
        rst: segment.rst(),
        seq: segment.seq_number().0 as u32,
        ack: segment.ack().then(|| segment.ack_number().0 as u32),
    }))
}

/// Reads a router's report that a segment sent from `own` was too big. It quotes the IPv4 header and at least 8 bytes
/// more (RFC 792). `None` if the quoted packet is another one.
fn too_big(message: &[u8], own: Ipv4Addr) -> Option<TooBig> {
    let word = |bytes: &[u8], at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let quoted = message.get(8..)?;
    let segment = quoted.get(usize::from(quoted.first()? & 0xf) * 4..)?;
    let address = |at: usize| Some(Ipv4Addr::from(*quoted.get(at..)?.first_chunk::<4>()?));
    if *quoted.get(9)? != IpProtocol::Tcp.into() || address(12)? != own {
        return None;
    }
    Some(TooBig {
        key: ConnectionKey {
            remote: IpEndpoint::new(address(16)?.into(), word(segment, 2)?),
            local: IpEndpoint::new(own.into(), word(segment, 0)?),
        },
        seq: u32::from_be_bytes(*segment.get(4..)?.first_chunk()?),
        len: word(quoted, 2)?.into(),
        mtu: word(message, 6)?.into(),
    })
}
