//! Frames from 10.0.2.2 to 10.0.2.15 with good checksums.

use smoltcp::wire::{Icmpv4Packet, Ipv4Address, Ipv4Packet, TcpPacket, UdpPacket};

use super::MAC;

const FROM: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const TO: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);

fn ethernet(ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = MAC.to_vec();
    frame.extend([0x52, 0x55, 10, 0, 2, 2]);
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

fn ipv4(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header = 20 + options.len();
    let mut packet = vec![0x40 | (header / 4) as u8, 0];
    packet.extend(((header + payload.len()) as u16).to_be_bytes());
    packet.extend([0, 1, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(FROM.octets());
    packet.extend(TO.octets());
    packet.extend(options);
    packet.extend(payload);
    Ipv4Packet::new_checked(&mut packet).unwrap().fill_checksum();
    ethernet(0x0800, &packet)
}

fn tcp_segment(payload: &[u8]) -> Vec<u8> {
    let mut segment = [4, 210, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0].to_vec();
    segment.extend(payload);
    TcpPacket::new_checked(&mut segment)
        .unwrap()
        .fill_checksum(&FROM.into(), &TO.into());
    segment
}

pub(in crate::nic) fn tcp(payload: &[u8]) -> Vec<u8> {
    ipv4(6, &[], &tcp_segment(payload))
}

pub(in crate::nic) fn tcp_with_ip_options(payload: &[u8]) -> Vec<u8> {
    ipv4(6, &[1, 1, 1, 0], &tcp_segment(payload))
}

pub(in crate::nic) fn udp(payload: &[u8]) -> Vec<u8> {
    let mut datagram = [4, 210, 2, 2].to_vec();
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    UdpPacket::new_checked(&mut datagram)
        .unwrap()
        .fill_checksum(&FROM.into(), &TO.into());
    ipv4(17, &[], &datagram)
}

pub(in crate::nic) fn icmp() -> Vec<u8> {
    let mut message = [8, 0, 0, 0, 0, 1, 0, 1, b'p', b'i', b'n', b'g'];
    Icmpv4Packet::new_checked(&mut message).unwrap().fill_checksum();
    ipv4(1, &[], &message)
}

pub(in crate::nic) fn arp() -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x55, 10, 0, 2, 2, 10, 0, 2, 2];
    message.extend([0, 0, 0, 0, 0, 0, 10, 0, 2, 15]);
    ethernet(0x0806, &message)
}
