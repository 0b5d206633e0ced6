//! IPv6: neighbour discovery, and what follows from it.

use core::net::Ipv6Addr;

use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, EthernetFrame, Icmpv6Message, Icmpv6Packet, IpAddress, Ipv6Packet};

use super::super::Shared;
use super::super::guard;
use super::super::ipv6::Neighbor;
use super::{Card, OneFrame, Runner};

/// A hop limit that crosses any network.
const HOP_LIMIT: u8 = 64;

/// Sends frames made here. Those that find no buffer are lost.
fn sender<'a, C: Card>(card: &'a mut C, shared: &'a Shared) -> impl FnMut(&[u8]) + 'a {
    |frame| {
        if card.send(frame.len(), |buffer| buffer.copy_from_slice(frame)).is_none() {
            shared.count(|counters| counters.no_buffer += 1);
        }
    }
}

impl<C: Card> Runner<C> {
    /// Does what is due, and follows the changes.
    pub(super) fn discover(&mut self, now: i64) {
        if let Some(discovery) = &mut self.discovery {
            discovery.tick(now, &mut sender(&mut self.card, self.shared));
            self.follow_discovery(now);
        }
    }

    /// Notifies neighbour discovery that the link is up.
    pub(super) fn link_up(&mut self, now: i64) {
        if let Some(discovery) = &mut self.discovery {
            discovery.link_up(now, &mut sender(&mut self.card, self.shared));
            self.discovery_at = now;
        }
    }

    /// Takes a message of neighbour discovery in.
    pub(super) fn discovery_message(&mut self, now: i64) {
        // What is sent goes through the scratch buffer: the card lends one frame at a time.
        let (mut answer, mut len) = ([0; MAX_ANSWER], 0);
        let result = match (&mut self.discovery, self.card.received()) {
            (Some(discovery), Some(frame)) => discovery.receive(frame.bytes, now, &mut |frame| {
                if let Some(place) = answer.get_mut(..frame.len()) {
                    place.copy_from_slice(frame);
                    len = frame.len();
                }
            }),
            _ => Ok(None),
        };
        self.card.release();
        if len > 0 {
            sender(&mut self.card, self.shared)(answer.get(..len).unwrap_or_default());
        }
        match result {
            Ok(neighbor) => {
                self.follow_discovery(now);
                if let Some(neighbor) = neighbor {
                    self.learn(neighbor, now);
                }
            }
            Err(reason) => self.shared.count(|counters| counters.drop_frame(reason)),
        }
    }

    pub(super) fn mld_query(&mut self, now: i64) {
        self.card.release();
        if let Some(discovery) = &mut self.discovery {
            discovery.query(now, &mut sender(&mut self.card, self.shared));
        }
    }

    /// Applies what has changed, to smoltcp as well.
    fn follow_discovery(&mut self, now: i64) {
        let shared = self.shared;
        let Some(discovery) = &self.discovery else { return };
        self.discovery_at = discovery.next(now);
        let state = discovery.state(now);
        let before = shared.ipv6.replace(state);
        if state == before {
            return;
        }
        self.update_address();
        if before.iter().any(|assigned| !state.has(assigned.address)) {
            self.close_all(|local| matches!(local, IpAddress::Ipv6(address) if !state.has(address)));
        }
        if state.is_configured() {
            shared.configured.borrow_mut().wake();
        }
        // Questions may wait for a server or a route.
        shared.common_dirty.set(true);
    }

    /// Has smoltcp learn of a neighbour, and lets connections that waited for it go on.
    pub(super) fn learn(&mut self, neighbor: Neighbor, now: i64) {
        let Some(discovery) = &self.discovery else { return };
        let mut frame = [0; MAX_ANSWER];
        let len = discovery.teach(neighbor, &mut frame);
        let mut device = OneFrame::new(frame.get(..len).unwrap_or_default(), &mut self.scratch);
        let mut common = self.shared.common.borrow_mut();
        self.iface
            .poll_ingress_single(Instant::from_micros(now), &mut device, &mut common);
        drop(common);
        self.shared.common_dirty.set(true);
        self.unblock(neighbor.address.into());
    }

    /// The peer at this address has completed a handshake by way of `mac`: it is there, if it is on the link.
    pub(super) fn learn_peer(&mut self, peer: IpAddress, mac: EthernetAddress, now: i64) {
        if let IpAddress::Ipv6(address) = peer
            && self.shared.next_hop(peer) == Some(peer)
        {
            let asked = false;
            self.learn(Neighbor { address, mac, asked }, now);
        }
    }

    /// Records that smoltcp has asked for a neighbour.
    pub(super) fn solicited(&mut self, neighbor: Option<Ipv6Addr>, now: i64) {
        if let (Some(neighbor), Some(discovery)) = (neighbor, &mut self.discovery) {
            discovery.asked(neighbor, now);
        }
    }

    /// Asks for a neighbour.
    pub(super) fn solicit(&mut self, neighbor: Ipv6Addr, now: i64) {
        if let Some(discovery) = &mut self.discovery {
            discovery.ask(neighbor, now, &mut sender(&mut self.card, self.shared));
            self.shared.count(|counters| counters.solicitations += 1);
        }
    }

    /// Answers an echo request to where it came from (RFC 4443 §4.2). No neighbour is looked up: none is learned by it.
    pub(super) fn echo(&mut self) {
        let mut len = 0;
        if let Some(frame) = self.card.received() {
            len = answer_echo(frame.bytes, &mut self.scratch).unwrap_or(0);
        }
        self.card.release();
        if let Some(answer) = self.scratch.get(..len).filter(|answer| !answer.is_empty()) {
            sender(&mut self.card, self.shared)(answer);
        }
    }

    /// Answers a stray segment over IPv6 with RST, to where it came from.
    pub(super) fn reset(&mut self) {
        let mut bytes = [0; guard::MAX_LEN];
        let len = self
            .card
            .received()
            .and_then(|frame| guard::reset(&mut bytes, frame.bytes));
        self.card.release();
        if let Some(answer) = len.and_then(|len| bytes.get(..len)) {
            sender(&mut self.card, self.shared)(answer);
        }
    }
}

/// The most bytes of a frame that neighbour discovery sends in answer: an advertisement.
const MAX_ANSWER: usize = 14 + 40 + 32;

/// Writes the answer to an echo request; its length.
fn answer_echo(request: &[u8], place: &mut [u8]) -> Option<usize> {
    let len = {
        let frame = EthernetFrame::new_checked(request).ok()?;
        14 + Ipv6Packet::new_checked(frame.payload()).ok()?.total_len()
    };
    let answer = place.get_mut(..len)?;
    answer.copy_from_slice(request.get(..len)?);
    let mut frame = EthernetFrame::new_unchecked(answer);
    let (from, to) = (frame.src_addr(), frame.dst_addr());
    if !from.is_unicast() {
        return None;
    }
    frame.set_dst_addr(from);
    frame.set_src_addr(to);
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    let (from, to) = (packet.src_addr(), packet.dst_addr());
    packet.set_dst_addr(from);
    packet.set_src_addr(to);
    packet.set_hop_limit(HOP_LIMIT);
    let mut message = Icmpv6Packet::new_unchecked(packet.payload_mut());
    message.set_msg_type(Icmpv6Message::EchoReply);
    message.fill_checksum(&to, &from);
    Some(len)
}
