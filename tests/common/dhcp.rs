//! A DHCP server at the peer's end of the cable.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{DhcpMessageType, DhcpPacket, DhcpRepr, IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr};
use std::net::Ipv4Addr;

use super::wire::{GATEWAY, MACHINE};

/// Called with the type of each message to the server and the usual reply, which it may change.
pub type DhcpServer = Box<dyn FnMut(DhcpMessageType, &mut DhcpRepr<'_>) + Send>;

/// The reply to an IPv4 packet, as a packet; `None` if it contains no message to a DHCP server.
pub fn reply(packet: &Ipv4Packet<&[u8]>, server: &mut DhcpServer) -> Option<Vec<u8>> {
    let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
    let message = DhcpPacket::new_checked(datagram.payload()).ok()?;
    let question = DhcpRepr::parse(&message).ok()?;
    let mut reply = DhcpRepr {
        message_type: match question.message_type {
            DhcpMessageType::Discover => DhcpMessageType::Offer,
            _ => DhcpMessageType::Ack,
        },
        your_ip: MACHINE,
        server_ip: GATEWAY,
        router: Some(GATEWAY),
        subnet_mask: Some(Ipv4Addr::new(255, 255, 255, 0)),
        requested_ip: None,
        client_identifier: None,
        server_identifier: Some(GATEWAY),
        parameter_request_list: None,
        max_size: None,
        lease_duration: Some(600),
        ..question
    };
    server(question.message_type, &mut reply);
    let udp = UdpRepr {
        src_port: 67,
        dst_port: 68,
    };
    let ip = Ipv4Repr {
        src_addr: GATEWAY,
        dst_addr: MACHINE,
        next_header: IpProtocol::Udp,
        payload_len: udp.header_len() + reply.buffer_len(),
        hop_limit: 64,
    };
    let checksums = ChecksumCapabilities::default();
    let mut bytes = vec![0; ip.buffer_len() + ip.payload_len];
    let mut view = Ipv4Packet::new_unchecked(&mut bytes);
    ip.emit(&mut view, &checksums);
    udp.emit(
        &mut UdpPacket::new_unchecked(view.payload_mut()),
        &GATEWAY.into(),
        &MACHINE.into(),
        reply.buffer_len(),
        |payload| reply.emit(&mut DhcpPacket::new_unchecked(payload)).unwrap(),
        &checksums,
    );
    Some(bytes)
}
