//! Frames of neighbour discovery and MLD, as they are sent and received.

use core::net::Ipv6Addr;

use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, Icmpv6Message, Icmpv6Packet, IpProtocol,
    Ipv6Packet, Ipv6Repr,
};

use super::super::filter::Reason;
use super::local::{MAX_ADDRESSES, solicited_node};

/// All nodes of the link (RFC 4291 §2.7.1).
pub(super) const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
/// All routers of the link.
const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
/// All MLDv2-capable routers (RFC 3810 §11).
const ALL_MLD_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16);
/// Ethernet and IPv6 headers, in bytes.
const HEADERS: usize = 14 + 40;
/// What makes a message one of the link (RFC 4861 §7.1): no router can have forwarded it.
const HOP_LIMIT: u8 = 255;
/// The longest frame made here: an MLD report.
const MAX_LEN: usize = HEADERS + 8 + 8 + MAX_ADDRESSES * 20;

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;

/// A frame made here.
pub(super) struct Message {
    bytes: [u8; MAX_LEN],
    len: usize,
}

impl Message {
    /// An ICMPv6 message: `body` is all of it but the checksum, with the place for that.
    fn icmp(macs: (EthernetAddress, EthernetAddress), from: Ipv6Addr, to: Ipv6Addr, body: &[&[u8]]) -> Self {
        let mut message = Self {
            bytes: [0; MAX_LEN],
            len: HEADERS,
        };
        message.headers(macs, (from, to), IpProtocol::Icmpv6, HOP_LIMIT);
        for part in body {
            message.push(part);
        }
        message.finish((from, to), HEADERS);
        message
    }

    fn headers(
        &mut self,
        (source, destination): (EthernetAddress, EthernetAddress),
        (from, to): (Ipv6Addr, Ipv6Addr),
        next_header: IpProtocol,
        hop_limit: u8,
    ) {
        let mut frame = EthernetFrame::new_unchecked(&mut self.bytes[..]);
        EthernetRepr {
            src_addr: source,
            dst_addr: destination,
            ethertype: EthernetProtocol::Ipv6,
        }
        .emit(&mut frame);
        Ipv6Repr {
            src_addr: from,
            dst_addr: to,
            next_header,
            payload_len: 0,
            hop_limit,
        }
        .emit(&mut Ipv6Packet::new_unchecked(frame.payload_mut()));
    }

    fn push(&mut self, part: &[u8]) {
        if let Some(place) = self.bytes.get_mut(self.len..self.len + part.len()) {
            place.copy_from_slice(part);
            self.len += part.len();
        }
    }

    /// Writes the length, and the checksum of the ICMPv6 message that begins at `icmp`.
    fn finish(&mut self, (from, to): (Ipv6Addr, Ipv6Addr), icmp: usize) {
        let len = (self.len - HEADERS) as u16;
        if let Some(field) = self.bytes.get_mut(18..20) {
            field.copy_from_slice(&len.to_be_bytes());
        }
        if let Some(message) = self.bytes.get_mut(icmp..self.len) {
            Icmpv6Packet::new_unchecked(message).fill_checksum(&from, &to);
        }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The Ethernet address of a multicast group (RFC 2464 §7).
fn group(address: Ipv6Addr) -> EthernetAddress {
    let [.., a, b, c, d] = address.octets();
    EthernetAddress([0x33, 0x33, a, b, c, d])
}

fn option(kind: u8, mac: EthernetAddress) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac.0;
    [kind, 1, a, b, c, d, e, f]
}

/// A neighbour solicitation (RFC 4861 §4.3). `from` is `None` in duplicate address detection (RFC 4862 §5.4.2).
pub(super) fn neighbor_solicitation(mac: EthernetAddress, from: Option<Ipv6Addr>, target: Ipv6Addr) -> Message {
    let to = solicited_node(target);
    let option = option(SOURCE_LINK_LAYER, mac);
    let option = if from.is_some() { &option[..] } else { &[] };
    Message::icmp(
        (mac, group(to)),
        from.unwrap_or(Ipv6Addr::UNSPECIFIED),
        to,
        &[&[135, 0, 0, 0, 0, 0, 0, 0], &target.octets(), option],
    )
}

/// A neighbour advertisement (RFC 4861 §4.4) for `target`, to the sender of a solicitation, `None` if that had no address.
pub(super) fn neighbor_advertisement(
    (mac, peer): (EthernetAddress, EthernetAddress),
    target: Ipv6Addr,
    to: Option<Ipv6Addr>,
) -> Message {
    const SOLICITED: u8 = 0x40;
    const OVERRIDE: u8 = 0x20;
    let (flags, destination) = match to {
        Some(_) => (SOLICITED | OVERRIDE, peer),
        None => (OVERRIDE, group(ALL_NODES)),
    };
    Message::icmp(
        (mac, destination),
        target,
        to.unwrap_or(ALL_NODES),
        &[
            &[136, 0, 0, 0, flags, 0, 0, 0],
            &target.octets(),
            &option(TARGET_LINK_LAYER, mac),
        ],
    )
}

/// An advertisement from which smoltcp learns that `target` is at `peer`; with `replace` even if it knows another place.
pub(super) fn neighbor((mac, peer): (EthernetAddress, EthernetAddress), target: Ipv6Addr, replace: bool) -> Message {
    Message::icmp(
        (peer, mac),
        target,
        ALL_NODES,
        &[
            &[136, 0, 0, 0, u8::from(replace) << 5, 0, 0, 0],
            &target.octets(),
            &option(TARGET_LINK_LAYER, peer),
        ],
    )
}

/// A router solicitation (RFC 4861 §4.1).
pub(super) fn router_solicitation(mac: EthernetAddress, from: Ipv6Addr) -> Message {
    Message::icmp(
        (mac, group(ALL_ROUTERS)),
        from,
        ALL_ROUTERS,
        &[&[133, 0, 0, 0, 0, 0, 0, 0], &option(SOURCE_LINK_LAYER, mac)],
    )
}

/// An MLDv2 report (RFC 3810 §5.2) that the solicited-node groups of `addresses` are listened to, for switches that
/// forward multicasts only to listeners. `from`: the link-local address, if there is one yet.
pub(super) fn listener_report(
    mac: EthernetAddress,
    from: Option<Ipv6Addr>,
    addresses: impl Iterator<Item = Ipv6Addr> + Clone,
) -> Message {
    const CHANGE_TO_EXCLUDE_MODE: u8 = 4;
    let from = from.unwrap_or(Ipv6Addr::UNSPECIFIED);
    let mut message = Message {
        bytes: [0; MAX_LEN],
        len: HEADERS,
    };
    let addresses = addresses.take(MAX_ADDRESSES);
    message.headers(
        (mac, group(ALL_MLD_ROUTERS)),
        (from, ALL_MLD_ROUTERS),
        IpProtocol::HopByHop,
        1,
    );
    // Router alert (RFC 2711), and padding.
    message.push(&[IpProtocol::Icmpv6.into(), 0, 5, 2, 0, 0, 1, 0]);
    message.push(&[143, 0, 0, 0, 0, 0, 0, addresses.clone().count() as u8]);
    for address in addresses {
        message.push(&[CHANGE_TO_EXCLUDE_MODE, 0, 0, 0]);
        message.push(&solicited_node(address).octets());
    }
    message.finish((from, ALL_MLD_ROUTERS), HEADERS + 8);
    message
}

/// A received message of neighbour discovery whose IPv6 header and checksum were verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Received<'a> {
    /// The sender's Ethernet address.
    pub(super) mac: EthernetAddress,
    pub(super) from: Ipv6Addr,
    pub(super) to: Ipv6Addr,
    pub(super) kind: Icmpv6Message,
    /// From the ICMPv6 header on.
    pub(super) body: &'a [u8],
}

impl<'a> Received<'a> {
    /// Verifies what all messages have in common (RFC 4861 §6.1.2, §7.1): hop limit, code, length, options.
    pub(super) fn parse(frame: &'a [u8]) -> Result<Self, Reason> {
        let frame = EthernetFrame::new_checked(frame).map_err(|_| Reason::TooShort)?;
        let packet = Ipv6Packet::new_checked(frame.payload()).map_err(|_| Reason::Malformed)?;
        let body = packet.payload();
        let message = Icmpv6Packet::new_checked(body).map_err(|_| Reason::Malformed)?;
        let received = Self {
            mac: frame.src_addr(),
            from: packet.src_addr(),
            to: packet.dst_addr(),
            kind: message.msg_type(),
            body,
        };
        if packet.hop_limit() != HOP_LIMIT || message.msg_code() != 0 {
            return Err(Reason::Discovery);
        }
        let mut rest = body.get(received.fixed_len()..).ok_or(Reason::Malformed)?;
        while !rest.is_empty() {
            (_, _, rest) = next_option(rest).ok_or(Reason::Malformed)?;
        }
        if !received.mac.is_unicast() {
            return Err(Reason::Discovery);
        }
        Ok(received)
    }

    /// The length of the message without its options, in bytes.
    fn fixed_len(&self) -> usize {
        match self.kind {
            Icmpv6Message::RouterAdvert => 16,
            _ => 24,
        }
    }

    /// The options: type, and all that follows the length.
    pub(super) fn options(&self) -> impl Iterator<Item = (u8, &'a [u8])> + use<'a> {
        let mut rest = self.body.get(self.fixed_len()..).unwrap_or_default();
        core::iter::from_fn(move || {
            let (kind, data, after) = next_option(rest)?;
            rest = after;
            Some((kind, data))
        })
    }

    /// The target of a solicitation or an advertisement.
    pub(super) fn target(&self) -> Ipv6Addr {
        let octets = self.body.get(8..24).and_then(|octets| octets.first_chunk::<16>());
        octets.map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from(*octets))
    }

    /// The byte at `at` of the fixed part.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.body.get(at).copied().unwrap_or(0)
    }

    /// The sender's address that a solicitation or a router advertisement names.
    pub(super) fn source_link_layer(&self) -> Option<EthernetAddress> {
        self.link_layer(SOURCE_LINK_LAYER)
    }

    /// The address that an advertisement names.
    pub(super) fn target_link_layer(&self) -> Option<EthernetAddress> {
        self.link_layer(TARGET_LINK_LAYER)
    }

    fn link_layer(&self, kind: u8) -> Option<EthernetAddress> {
        let (_, data) = self.options().find(|(found, _)| *found == kind)?;
        Some(EthernetAddress(*data.first_chunk()?)).filter(|mac| mac.is_unicast() && mac.0 != [0; 6])
    }
}

/// The first option: its type, the data after the length, and the options that follow. `None` if its length is 0 or runs
/// past the end.
fn next_option(options: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[kind, len], _) = options.split_first_chunk()?;
    let (option, rest) = options.split_at_checked(usize::from(len) * 8)?;
    Some((kind, option.get(2..)?, rest))
}

/// The target of a neighbour solicitation that smoltcp has made.
pub(in crate::net) fn solicited(frame: &[u8]) -> Option<Ipv6Addr> {
    if frame.get(12..14) != Some(&[0x86, 0xdd]) || frame.get(20) != Some(&58) || frame.get(54) != Some(&135) {
        return None;
    }
    Some(Ipv6Addr::from(*frame.get(62..)?.first_chunk::<16>()?))
}
