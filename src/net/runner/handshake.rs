//! TCP handshakes, and segments that belong to no socket.

use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::IpAddress;

use super::super::guard::{self, Action, Due, Flow, HalfOpen, SynOptions, TooBig};
use super::{Card, Cause, Class, ConnectRequest, OneFrame, Runner, Segment, Taken, TcpSlot};

/// A connection sends at most one challenge ACK in so long, in microseconds (RFC 5961 §7). The limit is the connection's:
/// a common one would reveal to each peer about the others'.
const CHALLENGE: i64 = 1_000_000;

impl<C: Card> Runner<C> {
    /// Takes a TCP segment in.
    pub(super) fn segment(&mut self, segment: Segment, now: i64) {
        let shared = self.shared;
        let pool = &shared.pool;
        let Some((index, slot)) = pool
            .find(segment.key)
            .and_then(|index| Some((index, pool.slot(index)?)))
        else {
            return self.unmatched(segment, None, now);
        };
        match guard::check(slot, &segment) {
            Action::Deliver => {
                let connecting = slot.state.get() == State::SynSent;
                self.feed(now, &mut slot.set.borrow_mut());
                if connecting && segment.syn {
                    slot.irs.set(segment.seq);
                }
                self.settle(index, slot, Cause::Segment);
                pool.mark_quietly(index);
            }
            Action::Drop => {
                shared.count(|counters| counters.rst_ignored += 1);
                self.card.release();
            }
            Action::Challenge => {
                self.card.release();
                self.challenge(slot, &segment, now);
            }
            Action::Reopen => {
                let floor = guard::snd_max(slot);
                if slot.owned.get() {
                    pool.unhash(index);
                } else {
                    pool.release(index);
                }
                self.unmatched(segment, Some(floor), now);
            }
        }
    }

    /// A segment without a connection: of a handshake, or stray. `floor`: see [`Flow::iss`].
    fn unmatched(&mut self, segment: Segment, floor: Option<u32>, now: i64) {
        let shared = self.shared;
        let answered = if segment.opens {
            self.syn(&segment, floor, now)
        } else if self.finish(&segment, now) {
            true
        } else {
            shared.count(|counters| counters.stray += 1);
            false
        };
        if !answered {
            match segment.key.remote.addr {
                // No TCP socket is there: smoltcp answers with RST, unless it is one.
                IpAddress::Ipv4(_) => self.feed_common(now),
                IpAddress::Ipv6(_) => self.reset(),
            }
        }
    }

    /// Answers a SYN. False if it is to be refused.
    fn syn(&mut self, segment: &Segment, floor: Option<u32>, now: i64) -> bool {
        let shared = self.shared;
        let Some(listener) = shared.pool.listener_at(segment.key.local.port) else {
            shared.count(|counters| counters.no_listener += 1);
            return false;
        };
        if shared.pool.take(listener) == Taken::Full {
            shared.count(|counters| counters.no_slot += 1);
            return false;
        }
        let flow = self.flow(segment);
        let offered = self.card.received().and_then(|frame| SynOptions::of(frame.bytes));
        self.card.release();
        let Some((mac, options)) = offered else {
            shared.count(|counters| counters.malformed += 1);
            return true;
        };
        // An entry is not replaced by another SYN, which a spoofer may have sent: to a peer that has restarted this
        // answer is a challenge (RFC 5961 §4.2).
        let entry = self.half_open.find(&flow).unwrap_or_else(|| {
            let entry = HalfOpen::new(&flow, mac, segment.seq, flow.iss(now, floor), options, now);
            if self.half_open.insert(&flow, entry, now) {
                shared.count(|counters| counters.evicted_half_open += 1);
            }
            entry
        });
        self.syn_ack(&entry);
        true
    }

    fn flow(&self, segment: &Segment) -> Flow {
        let key = segment.key;
        let mut flow = self.shared.secret.flow(key.local, key.remote);
        flow.number = self.shared.number(key.local.addr).unwrap_or(0);
        flow
    }

    fn syn_ack(&mut self, entry: &HalfOpen) {
        let Some(local) = self.shared.numbered(entry.number) else {
            return;
        };
        let mut frame = [0; guard::MAX_LEN];
        let len = guard::syn_ack(&mut frame, self.mac, local, entry, self.offer, self.shared.mtu(local));
        if self.send(frame.get(..len).unwrap_or_default()) {
            self.turned = true;
        }
    }

    /// Sends a frame made here. It is lost if the card has no buffer.
    fn send(&mut self, frame: &[u8]) -> bool {
        let sent = self
            .card
            .send(frame.len(), |buffer| buffer.copy_from_slice(frame))
            .is_some();
        if !sent {
            self.shared.count(|counters| counters.no_buffer += 1);
        }
        sent
    }

    /// Takes in a segment of a half-open connection. False if there is none, or it is to be answered with RST.
    fn finish(&mut self, segment: &Segment, now: i64) -> bool {
        let shared = self.shared;
        if self.half_open.len() == 0 {
            return false;
        }
        let flow = self.flow(segment);
        let Some(entry) = self.half_open.find(&flow) else {
            return false;
        };
        let ahead = segment.seq.wrapping_sub(entry.irs.wrapping_add(1));
        if segment.rst {
            // RFC 5961 §3.2: only the exact number counts.
            if ahead == 0 {
                self.half_open.remove(&flow);
            } else {
                shared.count(|counters| counters.rst_ignored += 1);
            }
            self.card.release();
            return true;
        }
        if segment.ack != Some(entry.iss.wrapping_add(1)) {
            // RFC 9293 §3.10.7.4: an acknowledgement of something never sent.
            return false;
        }
        if segment.syn || ahead >= self.offer.window() {
            self.card.release();
            self.syn_ack(&entry);
            return true;
        }
        self.half_open.remove(&flow);
        let Some(listener) = shared.pool.listener_at(segment.key.local.port) else {
            return false;
        };
        let index = match shared.pool.take(listener) {
            Taken::Free(index) => index,
            Taken::Victim(index, class) => {
                self.evict(index, class, now);
                index
            }
            Taken::Full => {
                shared.count(|counters| counters.no_slot += 1);
                return false;
            }
        };
        match shared.pool.slot(index) {
            Some(slot) => self.establish((index, slot), listener, segment, (&flow, &entry), now),
            None => false,
        }
    }

    /// Gives a free slot to a connection whose handshake is complete.
    fn establish(
        &mut self,
        (index, slot): (u16, &'static TcpSlot),
        listener: u8,
        segment: &Segment,
        (flow, entry): (&Flow, &HalfOpen),
        now: i64,
    ) -> bool {
        let shared = self.shared;
        let pool = &shared.pool;
        if slot.with(|socket| socket.listen(flow.local)).is_err() {
            return false;
        }
        let scale = self.offer.scales();
        guard::replay(&mut slot.set.borrow_mut(), flow, entry, scale, &mut self.scratch, now);
        pool.enlist(index, Class::Unmarked, listener, segment.key, now);
        slot.irs.set(entry.irs);
        slot.iss.set(entry.iss);
        slot.path_mtu.set(shared.mtu(segment.key.local.addr));
        self.learn_peer(segment.key.remote.addr, entry.mac, now);
        self.feed(now, &mut slot.set.borrow_mut());
        let state = slot.with(|socket| socket.state());
        if matches!(state, State::Established | State::CloseWait) {
            slot.state.set(state);
            shared.count(|counters| counters.accepted += 1);
            slot.deadline.set(self.silence(slot));
            pool.schedule(slot);
            pool.make_ready(index);
            pool.mark_quietly(index);
        } else {
            // A segment that smoltcp takes for malformed.
            pool.release(index);
        }
        true
    }

    /// Has smoltcp acknowledge where the connection stands (RFC 5961 §3.2, §4.2). The peer, if the segment was its own,
    /// then sends an RST with the exact number.
    fn challenge(&mut self, slot: &'static TcpSlot, segment: &Segment, now: i64) {
        let shared = self.shared;
        if now < slot.challenge_at.get() {
            shared.count(|counters| counters.challenges_withheld += 1);
            return;
        }
        slot.challenge_at.set(now.saturating_add(CHALLENGE));
        shared.count(|counters| counters.challenges += 1);
        let flow = self.flow(segment);
        let mut probe = [0; guard::MAX_LEN];
        let (rcv_nxt, snd_una) = (guard::rcv_nxt(slot), guard::snd_una(slot));
        let len = guard::probe(&mut probe, self.mac, &flow, rcv_nxt, snd_una);
        let mut device = OneFrame::new(probe.get(..len).unwrap_or_default(), &mut self.scratch);
        self.iface
            .poll_ingress_single(Instant::from_micros(now), &mut device, &mut slot.set.borrow_mut());
        let reply = device.reply();
        self.reply(reply, now);
    }

    /// Follows a router's report that a packet was too big: the connection goes on without the "don't fragment" bit, as
    /// RFC 1191 §3 allows, or over IPv6 with its segments split. (smoltcp's segment size cannot be changed.)
    pub(super) fn too_big(&self, report: &TooBig) {
        let shared = self.shared;
        let slot = shared
            .pool
            .find(report.key)
            .and_then(|index| shared.pool.slot(index))
            .filter(|slot| guard::is_in_flight(slot, report));
        match (slot, report.key.remote.addr) {
            (Some(slot), IpAddress::Ipv6(_)) => {
                // It is no more than a packet's length, and no less than the least MTU of IPv6.
                slot.path_mtu.set(slot.path_mtu.get().min(report.mtu as u16));
                shared.count(|counters| counters.path_mtu += 1);
            }
            (Some(slot), _) if slot.identification.get().is_none() => {
                slot.identification.set(Some(shared.secret.draw() as u16));
                shared.count(|counters| counters.path_mtu += 1);
            }
            (Some(_), _) => {}
            (None, _) => shared.count(|counters| counters.path_mtu_ignored += 1),
        }
    }

    /// Looks after the half-open connections.
    pub(super) fn sweep(&mut self, now: i64) {
        let shared = self.shared;
        let mut resend = heapless::Vec::<HalfOpen, { guard::RESEND_BURST }>::new();
        self.half_open.sweep(now, |due| match due {
            Due::Expired => shared.count(|counters| counters.half_open_expired += 1),
            Due::Resend(entry) => {
                let _ = resend.push(entry); // A sweep finds no more than fit.
            }
        });
        for entry in &resend {
            self.syn_ack(entry);
        }
        shared.half_open.set(self.half_open.len());
    }

    /// Begins a connection of ours.
    pub(super) fn begin(&mut self, slot: &TcpSlot, request: ConnectRequest, now: i64) {
        let ConnectRequest { timeout } = request;
        let key = slot.key.get().filter(|key| self.shared.is_own(key.local.addr));
        let begun = key.is_some_and(|key| {
            slot.path_mtu.set(self.shared.mtu(key.local.addr));
            let flow = self.shared.secret.flow(key.local, key.remote);
            slot.iss.set(flow.iss(now, None));
            slot.with(|socket| guard::connect(socket, &flow, slot.iss.get(), &mut self.scratch, now))
                .is_ok()
        });
        if begun {
            slot.state.set(State::SynSent);
            slot.deadline.set(now.saturating_add(timeout));
        } else {
            slot.end.set(super::CloseReason::Down);
            // Wakes the task that waits.
            slot.with(|socket| socket.abort());
        }
    }
}
