//! The interface's task: frames in, frames out, timers, and sleep.

mod address;
mod discovery;
mod handshake;

use core::future::{pending, poll_fn};
use core::task::Poll;

use embassy_futures::select::select;
use embassy_futures::yield_now;
use embassy_time::{Duration, Timer};
use smoltcp::iface::{Interface, PollResult, SocketSet};
use smoltcp::socket::tcp::State;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, IpAddress};

use super::device::{Egress, OneFrame, Scratch};
use super::filter::{self, LocalAddr, Segment, Verdict};
use super::guard::{Offer, Table};
use super::ipv6::{self, Discovery};
use super::slots::{Class, CloseReason, ConnectRequest, NEVER, Taken, TcpSlot};
use super::{Config, Ipv6, Shared, arp, dhcp};
use crate::log::Limiter;
use crate::nic::{Card, Link, MAX_FRAME};

/// Frames taken in before the answers go out and other tasks have their turn.
const BATCH: usize = 64;
/// Segments that one connection may send before the next one has its turn.
const BURST: usize = 48;
/// When the card has no free buffer, or smoltcp cannot say what it waits for: try again after so long, in microseconds.
const RETRY: i64 = 1_000;
/// The same while the link is down.
const RETRY_NO_LINK: i64 = 100_000;
/// So many faults of DHCP servers are logged at once, then one each interval.
const DHCP_FAULTS: (u32, Duration) = (3, Duration::from_secs(60));

/// The task of an interface.
pub struct Runner<C: Card> {
    card: C,
    config: Config,
    shared: &'static Shared,
    iface: Interface,
    scratch: Scratch,
    mac: EthernetAddress,
    /// Connections whose handshakes peers have begun.
    half_open: Table,
    offer: Offer,
    /// Whether the first poll is still to come.
    fresh: bool,
    /// Whether a connection was served in this round that is opening or closing.
    turned: bool,
    /// When the common sockets want to be polled.
    common_at: i64,
    /// When the grace of an old lease ends.
    grace: i64,
    /// Which replies of DHCP servers count.
    dhcp: dhcp::Guard,
    /// The limit on log lines about DHCP servers.
    dhcp_faults: Limiter,
    /// IPv6, if it is on.
    discovery: Option<Discovery>,
    /// When `discovery` has something to do.
    discovery_at: i64,
}

/// The result of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    /// Whether anything was done, so that there may be more to do at once or soon.
    pub(super) busy: bool,
    /// When the next timer runs out, in microseconds.
    pub(super) next: i64,
}

/// The cause of a change of a socket's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// A segment of the peer's.
    Segment,
    /// A timer or the owner.
    Time,
}

impl<C: Card> Runner<C> {
    /// Serves the interface for ever. One task for each interface, on the thread of the tasks that use it.
    pub async fn run(&mut self) -> ! {
        let spin = self.config.spin.as_micros() as i64;
        let mut last_busy = NEVER;
        loop {
            let now = now();
            let step = self.poll(now);
            if step.busy {
                last_busy = now;
                yield_now().await;
            } else if last_busy != NEVER && now.saturating_sub(last_busy) < spin {
                yield_now().await;
            } else {
                last_busy = NEVER;
                self.sleep(step.next).await;
            }
        }
    }

    /// The card.
    pub fn card(&mut self) -> &mut C {
        &mut self.card
    }

    /// `None` if the card's address is not unicast.
    pub(super) fn new(
        mut card: C,
        config: Config,
        shared: &'static Shared,
        half_open: Table,
        offer: Offer,
    ) -> Option<Self> {
        let mac = EthernetAddress(card.mac());
        if !mac.is_unicast() || mac.0 == [0; 6] {
            return None;
        }
        let mut scratch: Scratch = [0; MAX_FRAME];
        let iface = address::interface(&mut card, &mut scratch, shared);
        Some(Self {
            card,
            config,
            shared,
            iface,
            scratch,
            mac,
            half_open,
            offer,
            fresh: true,
            turned: false,
            common_at: 0,
            grace: NEVER,
            dhcp: dhcp::Guard::default(),
            dhcp_faults: Limiter::new(DHCP_FAULTS.0, DHCP_FAULTS.1),
            discovery: match config.ipv6 {
                Ipv6::Off => None,
                Ipv6::On(settings) => Some(Discovery::new(shared.name, mac, settings)),
            },
            discovery_at: NEVER,
        })
    }

    /// One round: a batch of frames in, due timers, everything that can be sent out.
    pub(super) fn poll(&mut self, now: i64) -> Step {
        let shared = self.shared;
        shared.now.set(now);
        self.card.service();
        self.watch_link(now);
        if self.discovery_at <= now {
            self.discover(now);
        }
        let mut frames = 0;
        while frames < BATCH && self.ingress(now) {
            frames += 1;
        }
        self.timers(now);
        self.sweep(now);
        self.common(now);
        let (served, full) = self.egress(now);
        self.card.kick();
        if core::mem::take(&mut self.turned) {
            self.card.restock();
        }
        shared.card.set(self.card.stats());
        let mut next = shared.pool.next_timer.get().min(self.common_at).min(self.grace);
        next = next.min(self.half_open.sweep_at()).min(self.discovery_at);
        let up = matches!(shared.link.get(), Link::Up(_));
        if full {
            next = next.min(now + if up { RETRY } else { RETRY_NO_LINK });
        }
        Step {
            // A peer that has sent something may get an answer soon.
            busy: frames > 0 || (!full && (served > 0 || shared.pool.dirty() > 0)) || (up && shared.common_dirty.get()),
            next,
        }
    }

    /// Waits for an interrupt of the card, for a task that has something to send, or until `next`.
    async fn sleep(&mut self, next: i64) {
        let Self { card, shared, .. } = self;
        let mut armed = false;
        let woken = poll_fn(|context| {
            if core::mem::replace(&mut armed, true) {
                return Poll::Ready(());
            }
            shared.pool.set_runner(context.waker());
            card.arm(context.waker());
            // A frame received between the last poll and arming has raised no interrupt.
            if card.received().is_some() || card.link() != shared.link.get() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        let timer = async {
            match u64::try_from(next) {
                Ok(next) if next != NEVER as u64 => Timer::at(embassy_time::Instant::from_micros(next)).await,
                _ => pending().await,
            }
        };
        select(woken, timer).await;
    }

    /// Takes one frame in; false if there is none.
    fn ingress(&mut self, now: i64) -> bool {
        let Some(frame) = self.card.received() else {
            return false;
        };
        let ipv6 = self.shared.ipv6.get();
        let local = LocalAddr {
            mac: self.mac,
            address: self.shared.address.get(),
            dhcp: self.shared.dhcp.is_some(),
            ipv6: &ipv6,
        };
        let verdict = filter::classify(frame.bytes, frame.verified, &local);
        self.shared.count(|counters| counters.frames += 1);
        match verdict {
            Verdict::Drop(reason) => {
                self.shared.count(|counters| counters.drop_frame(reason));
                self.card.release();
            }
            Verdict::Arp(from) => {
                self.feed_common(now);
                self.unblock(from.into());
            }
            Verdict::Common => self.feed_common(now),
            Verdict::Discovery => self.discovery_message(now),
            Verdict::MldQuery => self.mld_query(now),
            Verdict::Echo => self.echo(),
            Verdict::Dhcp(server) => self.dhcp_reply(server, now),
            Verdict::TooBig(report) => {
                self.too_big(&report);
                self.card.release();
            }
            Verdict::Tcp(segment) => self.segment(segment, now),
        }
        true
    }

    fn feed_common(&mut self, now: i64) {
        self.feed(now, &mut self.shared.common.borrow_mut());
        self.shared.common_dirty.set(true);
    }

    /// Gives the present frame to `set`, sends the immediate answer, and releases the frame.
    fn feed(&mut self, now: i64, set: &mut SocketSet<'static>) {
        let mut reply = 0;
        if let Some(frame) = self.card.received() {
            let mut device = OneFrame::new(frame.bytes, &mut self.scratch);
            self.iface
                .poll_ingress_single(Instant::from_micros(now), &mut device, set);
            reply = device.reply();
        }
        self.card.release();
        self.reply(reply, now);
    }

    /// Sends an immediate answer of smoltcp's, of `len` bytes; 0: there is none.
    fn reply(&mut self, len: usize, now: i64) {
        if len == 0 {
            return;
        }
        let Some(answer) = self.scratch.get(..len) else { return };
        if self.card.send(len, |buffer| buffer.copy_from_slice(answer)).is_none() {
            self.shared.count(|counters| counters.no_buffer += 1);
        }
        self.solicited(ipv6::solicited(answer), now);
    }

    /// Takes the slot from its connection, and notifies the peer where that is of use: not in TIME_WAIT, and not in a
    /// handshake, where the sender's address may be a third party's.
    fn evict(&mut self, index: u16, class: Class, now: i64) {
        let Some(slot) = self.shared.pool.slot(index) else {
            return;
        };
        if matches!(class, Class::Orphan | Class::Unmarked) {
            slot.with(|socket| socket.abort());
            let mut device = Egress::new(&mut self.card, &mut self.scratch);
            self.iface
                .poll_egress(Instant::from_micros(now), &mut device, &mut slot.set.borrow_mut());
        }
        self.shared.pool.release(index);
        self.shared.count(|counters| counters.evict(class));
    }

    /// An answer came from `neighbour`: connections that waited for it go on.
    fn unblock(&self, neighbour: IpAddress) {
        let pool = &self.shared.pool;
        if pool.blocked.get() == 0 {
            return;
        }
        for (index, slot) in pool.iter().filter(|(_, slot)| slot.blocked.get()) {
            if slot.key.get().and_then(|key| self.shared.next_hop(key.remote.addr)) == Some(neighbour) {
                pool.mark_quietly(index);
            }
        }
    }

    /// Looks after the slots whose time has come. The scan is rare: it waits for the earliest time that any slot had
    /// named, and an active connection's times move away before they come.
    fn timers(&mut self, now: i64) {
        let pool = &self.shared.pool;
        if now < pool.next_timer.get() {
            return;
        }
        let mut next = NEVER;
        for (index, slot) in pool.iter().filter(|(_, slot)| !slot.is_free()) {
            if slot.deadline.get() <= now {
                slot.deadline.set(NEVER);
                self.expire(index, slot, now);
            }
            if slot.poll_at.get() <= now {
                slot.poll_at.set(NEVER);
                pool.mark_quietly(index);
            }
            next = next.min(slot.wake_at());
        }
        pool.next_timer.set(next);
    }

    fn expire(&self, index: u16, slot: &TcpSlot, now: i64) {
        let shared = self.shared;
        match slot.class() {
            Class::Connecting => {
                slot.end.set(if slot.blocked.get() {
                    CloseReason::Unreachable
                } else {
                    CloseReason::TimedOut
                });
                slot.with(|socket| socket.abort());
                shared.pool.mark_quietly(index);
            }
            Class::Orphan if slot.state.get() != State::Closed => {
                shared.count(|counters| counters.orphan_expired += 1);
                slot.with(|socket| socket.abort());
                slot.state.set(State::Closed);
                // A second for the RST to go out.
                slot.deadline.set(now.saturating_add(1_000_000));
                shared.pool.mark_quietly(index);
            }
            Class::Orphan | Class::Done => shared.pool.release(index),
            // It was never accepted: see `silence`.
            Class::Unmarked if !slot.owned.get() => slot.with(|socket| socket.abort()),
            Class::FreeLarge | Class::FreeSmall | Class::Unmarked | Class::Marked => {}
        }
    }

    /// Until when an open connection may say nothing before it is accepted.
    fn silence(&self, slot: &TcpSlot) -> i64 {
        let listener = self.shared.pool.listener(slot.listener.get());
        match listener.is_some_and(|listener| listener.deferred.get()) {
            true => self
                .shared
                .now
                .get()
                .saturating_add(super::tcp::SILENT_PEER_TIMEOUT.as_micros() as i64),
            false => NEVER,
        }
    }

    /// Sends what the common sockets have, and follows the lease.
    fn common(&mut self, now: i64) {
        let shared = self.shared;
        if !matches!(shared.link.get(), Link::Up(_)) {
            // Nothing to send it on. `watch_link` takes it up again.
            self.common_at = NEVER;
            return;
        }
        if !shared.common_dirty.replace(false) && now < self.common_at {
            return;
        }
        let mut set = shared.common.borrow_mut();
        let timestamp = Instant::from_micros(now);
        let mut device = Egress::new(&mut self.card, &mut self.scratch);
        for _ in 0..BURST {
            if self.iface.poll_egress(timestamp, &mut device, &mut set) == PollResult::None {
                break;
            }
        }
        let (sent, solicited) = (device.dhcp, device.solicited);
        let change = shared.dhcp.and_then(|handle| dhcp::poll(set.get_mut(handle)));
        self.common_at = match self.iface.poll_at(timestamp, &set) {
            Some(at) => at.total_micros().max(now.saturating_add(RETRY)),
            None => NEVER,
        };
        drop(set);
        self.solicited(solicited, now);
        if let Some(sent) = sent {
            self.dhcp.sent(sent);
            // The next transaction ID shall not follow from this one.
            self.reseed();
        }
        if let Some(change) = change {
            self.follow_lease(change);
        }
    }

    /// Sends what the dirty slots have: how many slots were served, and whether the card is full.
    fn egress(&mut self, now: i64) -> (usize, bool) {
        let pool = &self.shared.pool;
        let mut served = 0;
        // Slots that become dirty meanwhile wait for the next round.
        for _ in 0..pool.dirty() {
            let Some(index) = pool.next_dirty() else { break };
            let Some(slot) = pool.slot(index).filter(|slot| !slot.is_free()) else {
                continue;
            };
            if self.egress_slot(index, slot, now) {
                pool.mark_quietly(index);
                self.shared.count(|counters| counters.no_buffer += 1);
                return (served, true);
            }
            served += 1;
        }
        (served, false)
    }

    /// Sends what one slot has. True if the card is full.
    fn egress_slot(&mut self, index: u16, slot: &'static TcpSlot, now: i64) -> bool {
        let shared = self.shared;
        let timestamp = Instant::from_micros(now);
        if let Some(request) = slot.request.take() {
            self.begin(slot, request, now);
        }
        let mut device = Egress::new(&mut self.card, &mut self.scratch);
        device.identification = slot.identification.get();
        device.longest = slot.longest();
        let mut more = true;
        {
            let mut set = slot.set.borrow_mut();
            for _ in 0..BURST {
                if self.iface.poll_egress(timestamp, &mut device, &mut set) == PollResult::None {
                    more = false;
                    break;
                }
            }
        }
        let Egress {
            wanted,
            sent,
            asked,
            full,
            identification,
            solicited,
            ..
        } = device;
        slot.identification.set(identification);
        self.solicited(solicited, now);
        let blocked = wanted > sent;
        if blocked {
            if asked == 0 {
                self.ask_for(slot, now);
            }
        } else if sent > 0 {
            shared.pool.set_blocked(slot, false);
        }
        self.settle(index, slot, Cause::Time);
        self.turned |= sent > 0 && slot.state.get() != State::Established;
        if slot.is_free() {
            return full;
        }
        // Not before: an RST waits for a neighbour once, since smoltcp forgets all of them when an address is new.
        if blocked {
            shared.pool.set_blocked(slot, true);
        }
        if more {
            shared.pool.mark_quietly(index);
        }
        slot.poll_at
            .set(match self.iface.poll_at(timestamp, &slot.set.borrow()) {
                Some(at) => at.total_micros().max(now.saturating_add(RETRY)),
                None => NEVER,
            });
        shared.pool.schedule(slot);
        full
    }

    /// smoltcp may not ask for another neighbour yet: we do. (Without a route there is no neighbour to ask for.)
    fn ask_for(&mut self, slot: &TcpSlot, now: i64) {
        let shared = self.shared;
        let hop = slot.key.get().and_then(|key| shared.next_hop(key.remote.addr));
        match hop {
            Some(IpAddress::Ipv4(hop)) => {
                let own = shared.address.get();
                let sent = own.is_some_and(|cidr| arp::request(&mut self.card, cidr.address(), hop));
                shared.count(|counters| counters.arp_requests += u64::from(sent));
            }
            Some(IpAddress::Ipv6(hop)) => self.solicit(hop, now),
            None => {}
        }
    }

    /// Draws the conclusions from a socket's new state.
    fn settle(&self, index: u16, slot: &TcpSlot, cause: Cause) {
        let shared = self.shared;
        let pool = &shared.pool;
        let (state, gone, unread) =
            slot.with(|socket| (socket.state(), socket.remote_endpoint().is_none(), socket.can_recv()));
        let before = slot.state.replace(state);
        match slot.class() {
            Class::FreeLarge | Class::FreeSmall => {}
            Class::Connecting => match state {
                State::SynSent | State::SynReceived => {}
                // Not begun yet: a stray segment came first.
                State::Closed if slot.request.get().is_some() => {}
                State::Closed => self.ended(slot, before, cause),
                _ => {
                    slot.deadline.set(NEVER);
                    pool.reclass(index, Class::Marked);
                    shared.count(|counters| counters.connected += 1);
                }
            },
            Class::Unmarked | Class::Marked => {
                if state == State::Closed {
                    if before != State::Closed {
                        self.ended(slot, before, cause);
                    }
                    if !slot.owned.get() {
                        pool.release(index);
                    } else if gone {
                        pool.unhash(index);
                    }
                } else if cause == Cause::Segment && unread && slot.class() == Class::Unmarked {
                    // Silent connections are evicted first.
                    pool.touch(index);
                }
                if !slot.owned.get() && slot.class() == Class::Unmarked {
                    pool.make_ready(index);
                }
            }
            Class::Orphan | Class::Done => {
                // It has no reader, and unread it would keep the peer from saying FIN.
                slot.with(|socket| {
                    while socket.can_recv()
                        && let Ok(count) = socket.recv(|bytes| (bytes.len(), bytes.len()))
                    {
                        slot.bytes_in.set(slot.bytes_in.get().saturating_add(count as u64));
                    }
                });
                match state {
                    State::TimeWait | State::FinWait2 => pool.reclass(index, Class::Done),
                    // The RST is out, or would have to wait for a neighbour that does not answer.
                    State::Closed if gone || slot.blocked.get() => pool.release(index),
                    _ => {}
                }
            }
        }
    }

    /// Records why an owned connection has ended.
    fn ended(&self, slot: &TcpSlot, before: State, cause: Cause) {
        let clean = matches!(before, State::LastAck | State::Closing | State::TimeWait);
        if slot.end.get() != CloseReason::None || (clean && (cause == Cause::Segment || before == State::TimeWait)) {
            return;
        }
        let (end, counter): (_, fn(&mut super::Counters) -> &mut u64) = match cause {
            Cause::Segment => (CloseReason::Reset, |counters| &mut counters.reset),
            Cause::Time => (CloseReason::TimedOut, |counters| &mut counters.timed_out),
        };
        slot.end.set(end);
        self.shared.count(|counters| *counter(counters) += 1);
    }
}

/// The time since boot, in microseconds.
fn now() -> i64 {
    embassy_time::Instant::now().as_micros() as i64
}
