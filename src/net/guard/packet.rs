//! Segments of the guard: SYN-ACKs, replayed SYNs, and challenge ACKs.

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr, IpAddress, IpEndpoint, IpProtocol, IpRepr,
    Ipv4Packet, Ipv6Packet, TcpControl, TcpPacket, TcpRepr, TcpSeqNumber,
};

use super::{Flow, HalfOpen};
use crate::nic::MAX_FRAME;

/// An Ethernet header, in bytes.
pub(super) const ETHERNET: usize = 14;
/// The largest IP packet of an interface.
pub(super) const MTU: usize = MAX_FRAME - ETHERNET;
/// The most bytes of a frame made here: Ethernet, IPv6, TCP and its options of a SYN.
pub(in crate::net) const MAX_LEN: usize = ETHERNET + 40 + 20 + 12;
/// A hop limit that crosses any network (RFC 1700).
const HOP_LIMIT: u8 = 64;

/// The options of a SYN that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct SynOptions {
    /// Maximum segment size; 0: not given.
    mss: u16,
    window: u16,
    /// [`NO_SCALE`]: not given. (As an option it would take another byte of each half-open connection.)
    scale: u8,
    sack: bool,
}

/// No window scale: none is above 14 (RFC 7323 §2.3).
const NO_SCALE: u8 = u8::MAX;

impl SynOptions {
    /// Nothing.
    pub(super) const NONE: Self = Self {
        mss: 0,
        window: 0,
        scale: NO_SCALE,
        sack: false,
    };

    /// The options of the SYN in a frame that was verified, and the Ethernet address it came from. `None` if it has a
    /// malformed option, or no station's address.
    pub(in crate::net) fn of(frame: &[u8]) -> Option<(EthernetAddress, Self)> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let (from, to, segment) = parse(&frame)?;
        let syn = TcpRepr::parse(&segment, &from, &to, &ChecksumCapabilities::ignored()).ok()?;
        let options = Self {
            mss: syn.max_seg_size.unwrap_or(0),
            window: syn.window_len,
            scale: syn.window_scale.unwrap_or(NO_SCALE),
            sack: syn.sack_permitted,
        };
        frame.src_addr().is_unicast().then_some((frame.src_addr(), options))
    }

    fn scale(self) -> Option<u8> {
        Some(self.scale).filter(|&scale| scale != NO_SCALE)
    }
}

/// The options of an interface's SYN-ACKs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Offer {
    /// The window: what the smallest slot can take.
    window: u16,
    /// The window scale, where all slots have the same (it cannot be changed later).
    shift: Option<u8>,
}

impl Offer {
    /// For slots with buffers of these sizes.
    pub(in crate::net) fn of(large: usize, small: usize) -> Self {
        // As smoltcp computes it.
        let shift = |size: usize| (usize::BITS - size.leading_zeros()).saturating_sub(16) as u8;
        Self {
            window: u16::try_from(large.min(small)).unwrap_or(u16::MAX),
            shift: (shift(large) == shift(small)).then_some(shift(large)),
        }
    }

    /// Whether windows may be scaled.
    pub(in crate::net) fn scales(&self) -> bool {
        self.shift.is_some()
    }

    /// The window.
    pub(in crate::net) fn window(&self) -> u32 {
        self.window.into()
    }
}

/// The addresses and the TCP segment in a frame.
fn parse<'a>(frame: &EthernetFrame<&'a [u8]>) -> Option<(IpAddress, IpAddress, TcpPacket<&'a [u8]>)> {
    let (from, to, segment) = match frame.ethertype() {
        EthernetProtocol::Ipv6 => {
            let packet = Ipv6Packet::new_checked(frame.payload()).ok()?;
            (packet.src_addr().into(), packet.dst_addr().into(), packet.payload())
        }
        _ => {
            let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
            (packet.src_addr().into(), packet.dst_addr().into(), packet.payload())
        }
    };
    Some((from, to, TcpPacket::new_checked(segment).ok()?))
}

/// The RST that answers the segment in a frame (RFC 9293 §3.10.7.1), to where that came from; its length. `None` if it is
/// one itself.
pub(in crate::net) fn reset(bytes: &mut [u8; MAX_LEN], received: &[u8]) -> Option<usize> {
    let received = EthernetFrame::new_checked(received).ok()?;
    let (from, to, stray) = parse(&received)?;
    if stray.rst() || !received.src_addr().is_unicast() {
        return None;
    }
    let (own, peer) = (
        IpEndpoint::new(to, stray.dst_port()),
        IpEndpoint::new(from, stray.src_port()),
    );
    let mut reset = segment(own, peer, 0);
    reset.control = TcpControl::Rst;
    if stray.ack() {
        reset.seq_number = stray.ack_number();
    } else {
        reset.ack_number = Some(stray.seq_number() + stray.segment_len());
    }
    Some(frame(
        bytes,
        (received.dst_addr(), received.src_addr()),
        to,
        from,
        &reset,
    ))
}

fn segment(from: IpEndpoint, to: IpEndpoint, seq: u32) -> TcpRepr<'static> {
    TcpRepr {
        src_port: from.port,
        dst_port: to.port,
        control: TcpControl::None,
        seq_number: TcpSeqNumber(seq as i32),
        ack_number: None,
        window_len: 0,
        window_scale: None,
        max_seg_size: None,
        sack_permitted: false,
        sack_ranges: [None; 3],
        timestamp: None,
        payload: &[],
    }
}

/// Writes an IP packet and returns its length.
fn emit(bytes: &mut [u8], from: IpAddress, to: IpAddress, segment: &TcpRepr<'_>) -> usize {
    let checksums = ChecksumCapabilities::ignored();
    let packet = IpRepr::new(from, to, IpProtocol::Tcp, segment.buffer_len(), HOP_LIMIT);
    let (header, len) = (packet.header_len(), packet.buffer_len());
    packet.emit(&mut *bytes, &checksums);
    if let Some(rest) = bytes.get_mut(header..len) {
        segment.emit(&mut TcpPacket::new_unchecked(rest), &from, &to, &checksums);
    }
    len
}

/// Writes a frame and returns its length. The card inserts the checksums.
fn frame(
    bytes: &mut [u8],
    macs: (EthernetAddress, EthernetAddress),
    from: IpAddress,
    to: IpAddress,
    segment: &TcpRepr<'_>,
) -> usize {
    EthernetRepr {
        src_addr: macs.0,
        dst_addr: macs.1,
        ethertype: match from {
            IpAddress::Ipv4(_) => EthernetProtocol::Ipv4,
            IpAddress::Ipv6(_) => EthernetProtocol::Ipv6,
        },
    }
    .emit(&mut EthernetFrame::new_unchecked(&mut *bytes));
    ETHERNET
        + bytes
            .get_mut(ETHERNET..)
            .map_or(0, |rest| emit(rest, from, to, segment))
}

/// The SYN of `entry`, as an IP packet; its length.
pub(super) fn syn(bytes: &mut [u8], flow: &Flow, entry: &HalfOpen, scale: bool) -> usize {
    let options = entry.options;
    let mut syn = segment(flow.remote, flow.local, entry.irs);
    syn.control = TcpControl::Syn;
    syn.window_len = options.window;
    syn.window_scale = options.scale().filter(|_| scale);
    syn.max_seg_size = Some(options.mss).filter(|&mss| mss > 0);
    syn.sack_permitted = options.sack;
    emit(bytes, flow.remote.addr, flow.local.addr, &syn)
}

/// The answer to the SYN of `entry`, as a frame: what smoltcp would answer; its length. `mtu`: the largest packet that the
/// link carries.
pub(in crate::net) fn syn_ack(
    bytes: &mut [u8; MAX_LEN],
    mac: EthernetAddress,
    local: IpAddress,
    entry: &HalfOpen,
    offer: Offer,
    mtu: u16,
) -> usize {
    let options = entry.options;
    let from = IpEndpoint::new(local, entry.local_port);
    let mut answer = segment(from, entry.remote, entry.iss);
    answer.control = TcpControl::Syn;
    answer.ack_number = Some(TcpSeqNumber(entry.irs.wrapping_add(1) as i32));
    answer.window_len = offer.window;
    answer.window_scale = options.scale().and(offer.shift);
    answer.sack_permitted = options.sack;
    let headers = match local {
        IpAddress::Ipv4(_) => 20 + 20,
        IpAddress::Ipv6(_) => 40 + 20,
    };
    answer.max_seg_size = Some(mtu - headers);
    frame(bytes, (mac, entry.mac), local, entry.remote.addr, &answer)
}

/// A frame from the peer which smoltcp answers with an acknowledgement at once, as it stands: one byte of data before the
/// window; its length.
pub(in crate::net) fn probe(
    bytes: &mut [u8; MAX_LEN],
    mac: EthernetAddress,
    flow: &Flow,
    rcv_nxt: u32,
    snd_una: u32,
) -> usize {
    let mut probe = segment(flow.remote, flow.local, rcv_nxt.wrapping_sub(1));
    probe.ack_number = Some(TcpSeqNumber(snd_una as i32));
    probe.payload = &[0];
    // smoltcp does not look at the source; a station's address it must be.
    frame(bytes, (mac, mac), flow.remote.addr, flow.local.addr, &probe)
}
