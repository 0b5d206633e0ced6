//! The filter of IPv6 packets.
//!
//! Extension headers are not needed by anything that is spoken here: packets with any are dropped and counted, fragments
//! among them, but for the hop-by-hop header of MLD queries. Beyond neighbour discovery nothing is taken that is sent to a
//! multicast address, so that no answer goes to a group, or on its behalf.

use core::net::Ipv6Addr;

use smoltcp::wire::{Icmpv6Message, Icmpv6Packet, IpEndpoint, IpProtocol, Ipv6Packet, UdpPacket};

use super::super::guard::TooBig;
use super::super::ipv6::{Ipv6State, MIN_MTU, is_host, is_link_local};
use super::super::slots::ConnectionKey;
use super::{Reason, Verdict, tcp};

/// The length of an IPv6 header, in bytes.
const HEADER: usize = 40;
/// The hop-by-hop header of an MLD query: router alert for MLD (RFC 2711), and padding.
const ROUTER_ALERT: [u8; 6] = [5, 2, 0, 0, 1, 0];

pub(super) fn inspect(payload: &[u8], verified: bool, local: &Ipv6State) -> Result<Verdict, Reason> {
    let packet = Ipv6Packet::new_checked(payload).map_err(|_| Reason::Malformed)?;
    if packet.version() != 6 {
        return Err(Reason::Malformed);
    }
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    // Only duplicate address detection has no source, in a solicitation (RFC 4862 §5.4.2), or ours, in an advertisement.
    let detection = packet.next_header() == IpProtocol::Icmpv6 && to.is_multicast();
    let acceptable = match from.is_unspecified() || local.has(from) {
        true => detection,
        false => is_host(from),
    };
    if !acceptable {
        return Err(Reason::Source);
    }
    let ours = local.has(to);
    match packet.next_header() {
        IpProtocol::Icmpv6 => icmp(&packet, ours, local),
        IpProtocol::Tcp | IpProtocol::Udp if !ours => Err(Reason::NotForUs),
        IpProtocol::Tcp => tcp(packet.payload(), verified, (from.into(), to.into())),
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(packet.payload()).map_err(|_| Reason::Malformed)?;
            // RFC 8200 §8.1: a checksum is a must.
            let sound = datagram.checksum() != 0 && (verified || datagram.verify_checksum(&from.into(), &to.into()));
            match (sound, datagram.dst_port()) {
                (false, _) => Err(Reason::Checksum),
                (true, 0) => Err(Reason::Malformed),
                (true, _) => Ok(Verdict::Common),
            }
        }
        IpProtocol::HopByHop if is_mld_query(&packet) => Ok(Verdict::MldQuery),
        IpProtocol::Ipv6Frag => Err(Reason::Fragment),
        IpProtocol::HopByHop | IpProtocol::Ipv6Route | IpProtocol::Ipv6Opts => Err(Reason::Extension),
        _ => Err(Reason::Protocol),
    }
}

fn icmp(packet: &Ipv6Packet<&[u8]>, ours: bool, local: &Ipv6State) -> Result<Verdict, Reason> {
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    let message = Icmpv6Packet::new_checked(packet.payload()).map_err(|_| Reason::Malformed)?;
    if !message.verify_checksum(&from, &to) {
        return Err(Reason::Checksum);
    }
    match message.msg_type() {
        // Its target may be an address that is not in use yet.
        Icmpv6Message::NeighborSolicit if !local.has(from) => Ok(Verdict::Discovery),
        Icmpv6Message::NeighborAdvert if !from.is_unspecified() => Ok(Verdict::Discovery),
        _ if from.is_unspecified() || local.has(from) => Err(Reason::Source),
        Icmpv6Message::RouterAdvert => Ok(Verdict::Discovery),
        Icmpv6Message::Redirect => Err(Reason::Discovery),
        _ if !ours => Err(Reason::NotForUs),
        Icmpv6Message::EchoRequest => Ok(Verdict::Echo),
        Icmpv6Message::PktTooBig => too_big(packet.payload(), local)
            .map(Verdict::TooBig)
            .ok_or(Reason::Malformed),
        // Other errors end no connection (RFC 5927 §6.1).
        _ => Err(Reason::Protocol),
    }
}

/// Reads a router's report that a segment was too big. It quotes the packet from its IPv6 header on (RFC 4443 §3.2). A
/// report of less than every link carries does not count (RFC 8201 §4).
fn too_big(message: &[u8], local: &Ipv6State) -> Option<TooBig> {
    let word = |bytes: &[u8], at: usize| Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?));
    let mtu = u32::from_be_bytes(*message.get(4..)?.first_chunk()?);
    let quoted = message.get(8..)?;
    let segment = quoted.get(HEADER..)?;
    let address = |at: usize| Some(Ipv6Addr::from(*quoted.get(at..)?.first_chunk::<16>()?));
    let (from, to) = (address(8)?, address(24)?);
    if *quoted.get(6)? != u8::from(IpProtocol::Tcp) || !local.has(from) || mtu < MIN_MTU.into() {
        return None;
    }
    Some(TooBig {
        key: ConnectionKey {
            remote: IpEndpoint::new(to.into(), word(segment, 2)?),
            local: IpEndpoint::new(from.into(), word(segment, 0)?),
        },
        seq: u32::from_be_bytes(*segment.get(4..)?.first_chunk()?),
        len: u32::from(word(quoted, 4)?) + HEADER as u32,
        mtu,
    })
}

/// Whether this is an MLD query (RFC 3810 §5.1, §6.2): from the link, with nothing but a router alert before it.
fn is_mld_query(packet: &Ipv6Packet<&[u8]>) -> bool {
    let Some((header, message)) = packet.payload().split_at_checked(8) else {
        return false;
    };
    packet.hop_limit() == 1
        && is_link_local(packet.src_addr())
        && header.starts_with(&[IpProtocol::Icmpv6.into(), 0])
        && header.ends_with(&ROUTER_ALERT)
        && Icmpv6Packet::new_checked(message).is_ok_and(|message| {
            message.msg_type() == Icmpv6Message::MldQuery
                && message.verify_checksum(&packet.src_addr(), &packet.dst_addr())
        })
}
