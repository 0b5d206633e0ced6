//! Checks of RST, SYN and ICMP errors against the connection that they name.

use smoltcp::socket::tcp::State;

use super::super::filter::Segment;
use super::super::slots::{ConnectionKey, TcpSlot};
use super::after;

/// The decision on a segment of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Action {
    /// The socket gets it.
    Deliver,
    /// Nothing.
    Drop,
    /// It is answered with a challenge ACK.
    Challenge,
    /// It opens a new connection in the place of this one.
    Reopen,
}

/// Validates a segment that may be a blind spoofer's: RST (RFC 5961 §3.2) and SYN (§4.2).
pub(in crate::net) fn check(slot: &TcpSlot, segment: &Segment) -> Action {
    if !segment.syn && !segment.rst {
        return Action::Deliver;
    }
    let state = slot.state.get();
    if matches!(
        state,
        State::Closed | State::Listen | State::SynSent | State::SynReceived
    ) {
        // smoltcp compares the acknowledgement with its SYN.
        return Action::Deliver;
    }
    let ahead = segment.seq.wrapping_sub(rcv_nxt(slot));
    if segment.rst {
        let window = slot.with(|socket| socket.recv_capacity().saturating_sub(socket.recv_queue()));
        match ahead as usize {
            0 => Action::Deliver,
            ahead if ahead < window => Action::Challenge,
            _ => Action::Drop,
        }
    } else if state == State::TimeWait && segment.opens && after(segment.seq, rcv_nxt(slot)) {
        // RFC 9293 §3.6.1; RFC 6191 §2 without timestamps.
        Action::Reopen
    } else {
        Action::Challenge
    }
}

/// The next sequence number expected from the peer (RCV.NXT).
pub(in crate::net) fn rcv_nxt(slot: &TcpSlot) -> u32 {
    let fin = matches!(
        slot.state.get(),
        State::CloseWait | State::LastAck | State::Closing | State::TimeWait
    );
    let unread = slot.with(|socket| socket.recv_queue());
    slot.irs
        .get()
        .wrapping_add(1)
        .wrapping_add(slot.bytes_in.get() as u32)
        .wrapping_add(unread as u32)
        .wrapping_add(fin.into())
}

/// Our first sequence number that is not acknowledged (SND.UNA).
pub(in crate::net) fn snd_una(slot: &TcpSlot) -> u32 {
    let fin = matches!(slot.state.get(), State::FinWait2 | State::TimeWait);
    snd_end(slot)
        .wrapping_sub(slot.with(|socket| socket.send_queue()) as u32)
        .wrapping_add(fin.into())
}

/// No sequence number of ours after this one was used: with all that was written, and a FIN.
pub(in crate::net) fn snd_max(slot: &TcpSlot) -> u32 {
    snd_end(slot).wrapping_add(1)
}

/// The sequence number after what the owner has written.
fn snd_end(slot: &TcpSlot) -> u32 {
    slot.iss.get().wrapping_add(1).wrapping_add(slot.bytes_out.get() as u32)
}

/// A router's report that a packet of ours was too big (ICMP "fragmentation needed", RFC 1191 §4; ICMPv6 "packet too
/// big", RFC 8201).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct TooBig {
    /// The connection of the quoted packet.
    pub(in crate::net) key: ConnectionKey,
    /// Its sequence number.
    pub(in crate::net) seq: u32,
    /// Its length.
    pub(in crate::net) len: u32,
    /// The MTU of the next network; 0 from an old router (RFC 1191 §5).
    pub(in crate::net) mtu: u32,
}

/// Whether the report is of a packet that is under way on this connection (RFC 5927 §4.1, §7.2): a blind spoofer would
/// have to guess it.
pub(in crate::net) fn is_in_flight(slot: &TcpSlot, report: &TooBig) -> bool {
    let pending = slot.with(|socket| socket.send_queue()) as u32;
    report.seq.wrapping_sub(snd_una(slot)) < pending && report.mtu < report.len
}
