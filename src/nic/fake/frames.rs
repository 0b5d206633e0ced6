//! Frames from 10.0.2.2 to 10.0.2.15, and fe80::2 to fe80::15, with good checksums.

use smoltcp::wire::{Icmpv4Packet, IpAddress, Ipv4Address, Ipv4Packet, Ipv6Address, TcpPacket, UdpPacket};

use super::MAC;

const FROM: Ipv4Address = Ipv4Address::new(10, 0, 2, 2);
const TO: Ipv4Address = Ipv4Address::new(10, 0, 2, 15);
const FROM_6: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const TO_6: Ipv6Address = Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x15);

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

fn ipv6(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([protocol, 64]);
    packet.extend(FROM_6.octets());
    packet.extend(TO_6.octets());
    packet.extend(payload);
    ethernet(0x86dd, &packet)
}

fn tcp_segment(payload: &[u8], from: IpAddress, to: IpAddress) -> Vec<u8> {
    let mut segment = [4, 210, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x18, 0x20, 0, 0, 0, 0, 0].to_vec();
    segment.extend(payload);
    TcpPacket::new_checked(&mut segment).unwrap().fill_checksum(&from, &to);
    segment
}

pub(in crate::nic) fn tcp(payload: &[u8]) -> Vec<u8> {
    ipv4(6, &[], &tcp_segment(payload, FROM.into(), TO.into()))
}

pub(in crate::nic) fn tcp_with_ip_options(payload: &[u8]) -> Vec<u8> {
    ipv4(6, &[1, 1, 1, 0], &tcp_segment(payload, FROM.into(), TO.into()))
}

pub(in crate::nic) fn tcp6(payload: &[u8]) -> Vec<u8> {
    ipv6(6, &tcp_segment(payload, FROM_6.into(), TO_6.into()))
}

fn datagram(payload: &[u8], from: IpAddress, to: IpAddress) -> Vec<u8> {
    let mut datagram = [4, 210, 2, 2].to_vec();
    datagram.extend((8 + payload.len() as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    UdpPacket::new_checked(&mut datagram).unwrap().fill_checksum(&from, &to);
    datagram
}

pub(in crate::nic) fn udp(payload: &[u8]) -> Vec<u8> {
    ipv4(17, &[], &datagram(payload, FROM.into(), TO.into()))
}

pub(in crate::nic) fn udp6(payload: &[u8]) -> Vec<u8> {
    ipv6(17, &datagram(payload, FROM_6.into(), TO_6.into()))
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
