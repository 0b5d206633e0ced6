//! Two and more stacks on a hub of queues, in a time of their own.
//!
//! Tasks are polled only when their waker was called, so a wake-up that is missing is a test that fails. Time moves when
//! no task has anything to do, to the next timer: nothing here sleeps or measures.

mod arp;
mod dhcp;
mod dns;
mod faults;
mod frames;
mod guard;
mod ipv6;
mod pool;
mod streams;

use core::net::{Ipv6Addr, SocketAddrV4};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use smoltcp::wire::{EthernetFrame, EthernetProtocol, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

use super::*;
use crate::nic::{Frame, MAX_FRAME, Stats};

/// Memory that is never given back.
pub(super) struct Leak;

impl Arena for Leak {
    fn slice<T: 'static>(&mut self, count: usize, init: impl FnMut(usize) -> T) -> Option<&'static mut [T]> {
        Some(Vec::leak((0..count).map(init).collect()))
    }
}

/// What a card and the world share.
#[derive(Default)]
pub(super) struct Port {
    pub(super) rx: RefCell<VecDeque<Vec<u8>>>,
    pub(super) tx: RefCell<VecDeque<Vec<u8>>>,
    pub(super) link: Cell<Link>,
    pub(super) kicks: Cell<usize>,
    pub(super) restocks: Cell<usize>,
    /// How many frames the card can hold before it is kicked.
    pub(super) room: Cell<usize>,
    waker: RefCell<Option<Waker>>,
    /// Whether the card verifies checksums.
    pub(super) verified: Cell<bool>,
}

impl Port {
    pub(super) fn deliver(&self, frame: Vec<u8>) {
        self.rx.borrow_mut().push_back(frame);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

pub(super) struct FakeCard {
    mac: [u8; 6],
    port: Rc<Port>,
    present: Option<Vec<u8>>,
}

impl Card for FakeCard {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }
    fn link(&self) -> Link {
        self.port.link.get()
    }
    fn received(&mut self) -> Option<Frame<'_>> {
        if self.present.is_none() {
            self.present = self.port.rx.borrow_mut().pop_front();
        }
        let verified = self.port.verified.get();
        self.present.as_mut().map(|bytes| Frame { bytes, verified })
    }
    fn release(&mut self) {
        self.present = None;
    }
    fn can_send(&mut self) -> bool {
        self.port.tx.borrow().len() < self.port.room.get()
    }
    fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        if len > MAX_FRAME || !self.can_send() {
            return None;
        }
        let mut frame = vec![0; len];
        let result = fill(&mut frame);
        insert_checksums(&mut frame);
        self.port.tx.borrow_mut().push_back(frame);
        Some(result)
    }
    fn kick(&mut self) {
        self.port.kicks.set(self.port.kicks.get() + 1);
    }
    fn restock(&mut self) {
        self.port.restocks.set(self.port.restocks.get() + 1);
    }
    fn service(&mut self) {}
    fn arm(&mut self, waker: &Waker) {
        *self.port.waker.borrow_mut() = Some(waker.clone());
    }
    fn stats(&self) -> Stats {
        Stats::default()
    }
}

pub(super) fn insert_checksums(frame: &mut [u8]) {
    let mut frame = EthernetFrame::new_unchecked(frame);
    if frame.ethertype() == EthernetProtocol::Ipv6 {
        let Ok(mut packet) = Ipv6Packet::new_checked(frame.payload_mut()) else {
            return;
        };
        let (from, to, protocol) = (packet.src_addr().into(), packet.dst_addr().into(), packet.next_header());
        match protocol {
            IpProtocol::Tcp => TcpPacket::new_unchecked(packet.payload_mut()).fill_checksum(&from, &to),
            IpProtocol::Udp => UdpPacket::new_unchecked(packet.payload_mut()).fill_checksum(&from, &to),
            _ => {}
        }
        return;
    }
    if frame.ethertype() != EthernetProtocol::Ipv4 {
        return;
    }
    let Ok(mut packet) = Ipv4Packet::new_checked(frame.payload_mut()) else {
        return;
    };
    packet.fill_checksum();
    let (from, to, protocol) = (packet.src_addr().into(), packet.dst_addr().into(), packet.next_header());
    match protocol {
        IpProtocol::Tcp if packet.payload_mut().len() >= 20 => {
            TcpPacket::new_unchecked(packet.payload_mut()).fill_checksum(&from, &to);
        }
        IpProtocol::Udp => {
            if let Ok(mut datagram) = UdpPacket::new_checked(packet.payload_mut()) {
                datagram.fill_checksum(&from, &to);
            }
        }
        _ => {}
    }
}

/// A waker that notes that it was called.
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    flag: Arc<Flag>,
    done: bool,
}

/// A host: an interface without its task.
pub(super) struct Host {
    pub(super) netif: Netif,
    pub(super) runner: Runner<FakeCard>,
    pub(super) port: Rc<Port>,
}

/// What the wire does to frames, in parts of a thousand.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    pub(super) lose: u32,
    pub(super) swap: u32,
    pub(super) double: u32,
    pub(super) damage: u32,
}

/// Looks at a frame on the wire; false: it is swallowed.
pub(super) type Tap = Box<dyn FnMut(&[u8]) -> bool>;

/// Hosts on a hub, and the tasks that use them.
pub(super) struct World {
    pub(super) now: i64,
    pub(super) hosts: Vec<Host>,
    tasks: Vec<Task>,
    pub(super) faults: Faults,
    random: u64,
    /// Frames that went over the wire.
    pub(super) frames: usize,
    /// Called with each frame before it goes out to the hosts.
    pub(super) tap: Option<Tap>,
}

pub(super) const PLAN: Plan = Plan {
    large: 8,
    small: 0,
    large_buffer: 32 << 10,
    small_buffer: 4 << 10,
    half_open: 0,
};

pub(super) fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 2, 10 + host as u8)
}

pub(super) fn mac(host: usize) -> [u8; 6] {
    [2, 0, 0, 0, 0, host as u8]
}

pub(super) fn config(host: usize) -> Config {
    let address = Address::Static {
        address: address(host),
        prefix: 24,
        gateway: Some(Ipv4Addr::new(10, 0, 2, 2)),
    };
    Config::new("vm0", address, [host as u8; 16])
}

impl World {
    /// Hosts with a plan each, at [`address`].
    pub(super) fn new(plans: &[Plan]) -> Self {
        let mut world = Self {
            now: 1_000_000,
            hosts: Vec::new(),
            tasks: Vec::new(),
            faults: Faults::default(),
            random: 7,
            frames: 0,
            tap: None,
        };
        for (index, &plan) in plans.iter().enumerate() {
            world.add(config(index), plan);
        }
        world
    }

    pub(super) fn add(&mut self, config: Config, plan: Plan) -> usize {
        let port = Rc::new(Port::default());
        port.link.set(Link::Up(1000));
        port.room.set(256);
        let card = FakeCard {
            mac: mac(self.hosts.len()),
            port: port.clone(),
            present: None,
        };
        let (netif, runner) = open(card, config, plan, &mut Leak).unwrap();
        self.hosts.push(Host { netif, runner, port });
        self.settle();
        self.hosts.len() - 1
    }

    pub(super) fn netif(&self, host: usize) -> Netif {
        self.hosts[host].netif
    }

    pub(super) fn spawn(&mut self, future: impl Future<Output = ()> + 'static) {
        self.tasks.push(Task {
            future: Box::pin(future),
            flag: Arc::new(Flag(AtomicBool::new(true))),
            done: false,
        });
    }

    pub(super) fn random(&mut self, below: u32) -> u32 {
        self.random = self
            .random
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.random >> 33) as u32 % below
    }

    /// One round of everything. Whether anything happened, and when the next timer runs out.
    fn round(&mut self) -> (bool, i64) {
        let mut active = false;
        let mut index = 0;
        while index < self.tasks.len() {
            let task = &mut self.tasks[index];
            if !task.done && task.flag.0.swap(false, Ordering::Relaxed) {
                active = true;
                let waker = Waker::from(task.flag.clone());
                task.done = task.future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
            }
            index += 1;
        }
        self.tasks.retain(|task| !task.done);
        let mut next = i64::MAX;
        for host in &mut self.hosts {
            let step = host.runner.poll(self.now);
            active |= step.busy;
            next = next.min(step.next);
        }
        for from in 0..self.hosts.len() {
            let frames: Vec<_> = self.hosts[from].port.tx.borrow_mut().drain(..).collect();
            active |= !frames.is_empty();
            self.carry(from, frames);
        }
        (active, next)
    }

    fn carry(&mut self, from: usize, mut frames: Vec<Vec<u8>>) {
        for index in 1..frames.len() {
            if self.random(1000) < self.faults.swap {
                frames.swap(index - 1, index);
            }
        }
        for mut frame in frames {
            self.frames += 1;
            if self.random(1000) < self.faults.lose {
                continue;
            }
            if self.random(1000) < self.faults.damage {
                let at = self.random(frame.len() as u32) as usize;
                frame[at] ^= 1 << self.random(8);
            }
            if let Some(tap) = &mut self.tap
                && !tap(&frame)
            {
                continue;
            }
            let copies = if self.random(1000) < self.faults.double { 2 } else { 1 };
            for (to, host) in self.hosts.iter().enumerate().filter(|(to, _)| *to != from) {
                let _ = to;
                for _ in 0..copies {
                    host.port.deliver(frame.clone());
                }
            }
        }
    }

    /// Rounds until no task has anything to do at this time.
    pub(super) fn settle(&mut self) {
        for _ in 0..100_000 {
            if !self.round().0 {
                return;
            }
            self.now += 10;
        }
        panic!("the world does not come to rest");
    }

    /// Lets time pass, and everything happen that is due.
    pub(super) fn pass(&mut self, micros: i64) {
        let end = self.now + micros;
        loop {
            self.settle();
            let (_, next) = self.round();
            if next > end {
                break;
            }
            self.now = next.max(self.now + 1);
        }
        self.now = self.now.max(end);
        self.settle();
    }

    /// Runs the world until `future` is ready: at most an hour of its time.
    pub(super) fn run<T: 'static>(&mut self, future: impl Future<Output = T> + 'static) -> T {
        let result = Rc::new(RefCell::new(None));
        let place = result.clone();
        self.spawn(async move {
            let output = future.await;
            *place.borrow_mut() = Some(output);
        });
        let end = self.now + 3_600_000_000;
        loop {
            let (active, next) = self.round();
            if let Some(output) = result.borrow_mut().take() {
                return output;
            }
            if !active {
                assert!(next < end, "nothing can happen any more");
                self.now = next.max(self.now);
            }
            self.now += 10;
        }
    }

    /// Connects from `from` to `to`; the stream, once `to` has accepted, with the other end.
    pub(super) fn pair(&mut self, from: usize, to: usize, listener: &Rc<TcpListener>) -> (TcpStream, TcpStream) {
        let (client, remote) = (self.netif(from), SocketAddrV4::new(address(to), listener.port()));
        let listener = listener.clone();
        self.run(async move {
            let (ours, theirs) = embassy_futures::join::join(
                client.connect(remote.into(), Duration::from_secs(10)),
                listener.accept(),
            )
            .await;
            (ours.unwrap(), theirs)
        })
    }
}

/// A future polled once.
pub(super) fn now_or_never<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// Bytes without a pattern that a mix-up could hide in.
pub(super) fn pattern(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 56) as u8
        })
        .collect()
}
