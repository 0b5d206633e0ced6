//! The ARP that smoltcp does not do: announcements and immediate requests.
//!
//! smoltcp answers requests and resolves neighbours, but with one request a second for the whole interface, so that a
//! flood from addresses that do not exist would keep a real newcomer waiting. Hence a connection that waits for a
//! neighbour has its own request sent here.

use core::net::Ipv4Addr;

use smoltcp::wire::{ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr};

use crate::nic::Card;

/// Ethernet header and ARP packet, in bytes. The card pads frames to the minimum.
const LEN: usize = 14 + 28;

/// Announces that `address` is ours (RFC 5227, 3: an ARP request for it, from it). A host with a packet waiting
/// for us sends it now instead of after his next request.
pub(super) fn announce(card: &mut impl Card, address: Ipv4Addr) -> bool {
    request(card, address, address)
}

/// Sends an ARP request for `target`.
pub(super) fn request(card: &mut impl Card, address: Ipv4Addr, target: Ipv4Addr) -> bool {
    let mac = EthernetAddress(card.mac());
    let arp = ArpRepr::EthernetIpv4 {
        operation: ArpOperation::Request,
        source_hardware_addr: mac,
        source_protocol_addr: address,
        target_hardware_addr: EthernetAddress([0; 6]),
        target_protocol_addr: target,
    };
    let ethernet = EthernetRepr {
        src_addr: mac,
        dst_addr: EthernetAddress::BROADCAST,
        ethertype: EthernetProtocol::Arp,
    };
    let sent = card.send(LEN, |bytes| {
        let mut frame = EthernetFrame::new_unchecked(bytes);
        ethernet.emit(&mut frame);
        arp.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
    });
    sent.is_some()
}
