//! TCP/IP on smoltcp, as async streams.
//!
//! [`open`] makes two things of a card: a [`Runner`], whose `run` is the interface's task, and a [`Netif`], the handle
//! that everything else copies around. Streams and listeners share the sockets with the runner through cells: all tasks
//! of an interface run on one executor thread, and nothing is borrowed across an `await`.
//!
//! ```text
//!   card ─▶ filter ─▶ table ─▶ guard ─▶ slot: SocketSet of one TCP socket ◀─ TcpStream
//!              │        └─▶ half-open table      ▲ timers, dirty list
//!              ├──▶ common SocketSet: ARP, ICMP, DHCP, DNS, syslog
//!              └──▶ ipv6: neighbour discovery
//! ```
//!
//! What smoltcp leaves open is closed here where that is possible from outside: neighbours are asked for at once, DHCP
//! answers that it would stumble over are kept from it, and `guard` validates SYN, RST and ICMP. A handshake takes no
//! slot until it is complete. A SYN reopens TIME_WAIT if its sequence number is a later one (RFC 9293 §3.6.1); on any
//! other open connection it is answered with a challenge ACK, so that a peer that has restarted resets the old one.
//!
//! Initial sequence numbers are those of RFC 6528: a clock and a keyed hash (SipHash-2-4 with [`Config::key`]) of the
//! connection. Ephemeral ports are drawn at random from the whole range (RFC 6056), and DHCP transaction IDs from a
//! generator that is reseeded for each message. Segments go out with "don't fragment"; a connection whose packet was
//! too big for its path, as an ICMP error that quotes a segment under way reports, goes on without it (RFC 1191 §3), or
//! over IPv6 with smaller segments (RFC 8201).

mod address;
mod arp;
mod device;
mod dhcp;
pub mod dns;
mod error;
#[cfg(test)]
pub(crate) mod fake;
mod filter;
mod flow;
mod guard;
mod ipv6;
mod runner;
mod slots;
mod status;
pub mod syslog;
mod tcp;
mod transport;

#[cfg(test)]
mod tests;

use core::cell::{Cell, RefCell};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use embassy_time::Duration;
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::socket::udp;
use smoltcp::wire::{IpAddress, Ipv4Cidr};

use crate::config;
use crate::nic::{Card, Link};
pub use address::{Address, AddressError, Ipv6, Ipv6Config, Ipv6Static};
pub use dns::{Addresses, Family, ResolveError};
pub use error::{ConnectError, Error, ListenError};
pub use flow::{End, Flow};
use guard::{HalfOpen, MAX_HALF_OPEN, MIN_HALF_OPEN, Offer, Secret, Table};
use ipv6::Ipv6State;
pub use runner::Runner;
use slots::{Class, NONE, Pool, TcpSlot, Waiter};
pub use smoltcp::socket::tcp::State;
pub use status::{ConnectionInfo, Counters, DhcpState, ListenerInfo, Status};
pub use tcp::{ReadHalf, TcpListener, TcpStream, WriteHalf};
pub use transport::{Kind, Listener, Network, Transport, find_network};

/// Whether a host can have `address`, be it in `network` or elsewhere.
fn is_host(address: Ipv4Addr, network: Option<Ipv4Cidr>) -> bool {
    let mask = network
        .filter(|network| network.contains_addr(&address))
        .map_or(u32::MAX, |network| network.netmask().to_bits());
    config::is_host(address, mask)
}

/// How an interface behaves.
#[derive(Debug, Clone, Copy)]
pub struct Config {
    /// Its name, `vm0` for the first card.
    pub name: &'static str,
    /// How it gets its address.
    pub address: Address,
    /// How it gets its IPv6 addresses, if it has any.
    pub ipv6: Ipv6,
    /// The DNS servers, in the order in which they are asked; without any, those from DHCP and router advertisements.
    pub dns: [Option<IpAddr>; 2],
    /// The secret for sequence numbers, ephemeral ports and DHCP transaction IDs: 16 bytes of the entropy source.
    pub key: [u8; 16],
    /// The interval of keep-alive probes to an idle peer.
    pub keepalive: Duration,
    /// A peer that answers nothing for so long is gone.
    pub timeout: Duration,
    /// A handshake that was begun by a peer may take so long.
    pub half_open: Duration,
    /// A connection whose owner has dropped it may take so long to deliver what was written.
    pub linger: Duration,
    /// An acknowledgement waits so long for data to travel with; zero: not at all.
    pub ack_delay: Duration,
    /// After the last frame the runner polls so long before it sleeps. Interrupts under QEMU are up to 128 us late;
    /// a peer that answers within this time needs none.
    pub spin: Duration,
}

impl Config {
    /// The usual times for an interface `name`.
    pub const fn new(name: &'static str, address: Address, key: [u8; 16]) -> Self {
        Self {
            name,
            address,
            ipv6: Ipv6::Off,
            dns: [None; 2],
            key,
            keepalive: Duration::from_secs(20),
            timeout: Duration::from_secs(65),
            half_open: Duration::from_secs(5),
            linger: Duration::from_secs(20),
            ack_delay: Duration::from_millis(10),
            spin: Duration::from_micros(500),
        }
    }
}

/// How many connection slots an interface has, and how large their buffers are.
///
/// A new connection gets large buffers while there are some, so a few connections are fast and many are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Slots with large buffers.
    pub large: usize,
    /// Slots with small buffers.
    pub small: usize,
    /// Bytes of a large buffer; each slot has two, in and out.
    pub large_buffer: usize,
    /// Bytes of a small buffer; each slot has two.
    pub small_buffer: usize,
    /// Connections that may be half open: they have no buffers yet.
    pub half_open: usize,
}

/// Half-open connections get one part in so many of an interface's memory.
const HALF_OPEN_SHARE: usize = 32;

/// The most connection slots of an interface.
pub const MAX_SLOTS: usize = 4096;

impl Plan {
    /// The size of a connection slot without its buffers, in bytes.
    const OVERHEAD: usize = size_of::<TcpSlot>() + size_of::<SocketStorage<'_>>() + size_of::<Waiter>() + 8;
    /// Bytes of a small buffer where memory is scarce.
    const LEAST_BUFFER: usize = 4 << 10;
    /// The least that a connection slot takes, in bytes.
    pub const LEAST_SLOT: usize = 2 * Self::LEAST_BUFFER + Self::OVERHEAD;
    /// The memory of an interface that is not in its slots, in bytes: the smallest table of half-open connections, the
    /// sockets for DHCP, DNS and syslog, and the padding of its allocations.
    pub const FIXED: usize = MIN_HALF_OPEN * size_of::<HalfOpen>()
        + size_of::<Option<Shared>>()
        + COMMON_SOCKETS * size_of::<SocketStorage<'_>>()
        + UDP_QUEUE * size_of::<udp::PacketMetadata>()
        + UDP_BYTES
        + dns::MEMORY
        + EXTRA_WAITERS * size_of::<Waiter>()
        + 256;

    /// Divides `budget` bytes so that `connections` find place, if it is enough for that many. [`Plan::FIXED`] is not
    /// taken from it.
    pub fn for_memory(budget: usize, connections: usize) -> Self {
        let half_open = (budget / HALF_OPEN_SHARE / size_of::<HalfOpen>()).clamp(MIN_HALF_OPEN, MAX_HALF_OPEN);
        let budget = budget.saturating_sub((half_open - MIN_HALF_OPEN) * size_of::<HalfOpen>());
        let overhead = Self::OVERHEAD;
        let (large_buffer, small_buffer) = if budget >= 16 << 20 {
            (64 << 10, 8 << 10)
        } else {
            (32 << 10, Self::LEAST_BUFFER)
        };
        let (per_large, per_small) = (2 * large_buffer + overhead, 2 * small_buffer + overhead);
        let connections = connections.clamp(1, MAX_SLOTS).min((budget / per_small).max(1));
        // All get a small slot first; what is left turns as many as possible into large ones.
        let left = budget.saturating_sub(connections * per_small);
        let large = (left / (per_large - per_small)).min(connections);
        Self {
            large,
            small: connections - large,
            large_buffer,
            small_buffer,
            half_open,
        }
    }

    /// The options of SYN-ACKs, the same for every slot.
    fn offer(&self) -> Offer {
        let large = if self.large > 0 {
            self.large_buffer
        } else {
            self.small_buffer
        };
        let small = if self.small > 0 { self.small_buffer } else { large };
        Offer::of(large, small)
    }

    /// The number of slots.
    pub const fn slots(&self) -> usize {
        self.large + self.small
    }
}

/// Where memory comes from, once, at boot.
pub trait Arena {
    /// `count` values for ever, each made by `init` from its index. `None` when the memory does not suffice.
    fn slice<T: 'static>(&mut self, count: usize, init: impl FnMut(usize) -> T) -> Option<&'static mut [T]>;

    /// `count` bytes for ever, with any content.
    fn buffer(&mut self, count: usize) -> Option<&'static mut [u8]> {
        self.slice(count, |_| 0)
    }
}

/// Why an interface could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// The arena is exhausted.
    Memory,
    /// The plan has no slots, more than [`MAX_SLOTS`], or buffers under 1 KiB or over 1 MiB.
    Plan,
    /// The card's address is no unicast address.
    Mac,
}

impl core::fmt::Display for OpenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Memory => "not enough memory for its connections (use a larger -m)",
            Self::Plan => "no valid layout for its connections",
            Self::Mac => "the card's address is not a unicast address",
        })
    }
}

impl core::error::Error for OpenError {}

/// The sockets for DHCP, syslog, and DNS in either family.
const COMMON_SOCKETS: usize = 4;
/// Datagrams that may wait to be sent, and their bytes.
const UDP_QUEUE: usize = 16;
const UDP_BYTES: usize = 8 * 1024;
/// Places for tasks that wait in `accept`, beyond one for each slot.
const EXTRA_WAITERS: usize = 32;

/// Makes an interface of a card.
pub fn open<C: Card>(
    card: C,
    config: Config,
    plan: Plan,
    arena: &mut impl Arena,
) -> Result<(Netif, Runner<C>), OpenError> {
    let sizes = [plan.large_buffer, plan.small_buffer];
    if plan.slots() == 0 || plan.slots() > MAX_SLOTS || sizes.iter().any(|size| !(1 << 10..=1 << 20).contains(size)) {
        return Err(OpenError::Plan);
    }
    let shared = shared(&config, plan, arena).ok_or(OpenError::Memory)?;
    let half_open = arena
        .slice(plan.half_open.clamp(MIN_HALF_OPEN, MAX_HALF_OPEN), |_| HalfOpen::free())
        .ok_or(OpenError::Memory)?;
    let half_open = Table::new(half_open, config.half_open.as_micros() as i64);
    let netif = Netif { shared };
    let runner = Runner::new(card, config, shared, half_open, plan.offer()).ok_or(OpenError::Mac)?;
    Ok((netif, runner))
}

fn shared(config: &Config, plan: Plan, arena: &mut impl Arena) -> Option<&'static Shared> {
    let count = plan.slots();
    let mut storage = arena.slice(count, |_| SocketStorage::EMPTY)?;
    let mut bytes = arena.buffer(2 * (plan.large * plan.large_buffer + plan.small * plan.small_buffer))?;
    let micros = |duration: Duration| smoltcp::time::Duration::from_micros(duration.as_micros());
    let slots = arena.slice(count, |index| {
        let large = index < plan.large;
        let size = if large { plan.large_buffer } else { plan.small_buffer };
        let mut socket = Socket::new(
            SocketBuffer::new(cut(&mut bytes, size)),
            SocketBuffer::new(cut(&mut bytes, size)),
        );
        socket.set_nagle_enabled(false);
        socket.set_ack_delay((config.ack_delay.as_ticks() > 0).then(|| micros(config.ack_delay)));
        socket.set_keep_alive(Some(micros(config.keepalive)));
        socket.set_timeout(Some(micros(config.timeout)));
        TcpSlot::new(cut(&mut storage, 1), socket, large)
    })?;
    let buckets = arena.slice((2 * count).next_power_of_two(), |_| Cell::new(NONE))?;
    let waiters = arena.slice(count + EXTRA_WAITERS, |_| Waiter::new())?;

    let mut common = SocketSet::new(arena.slice(COMMON_SOCKETS, |_| SocketStorage::EMPTY)?);
    let (no_packets, no_bytes) = (
        arena.slice(0, |_| udp::PacketMetadata::EMPTY)?,
        arena.slice(0, |_| 0u8)?,
    );
    let (packets, bytes) = (
        arena.slice(UDP_QUEUE, |_| udp::PacketMetadata::EMPTY)?,
        arena.slice(UDP_BYTES, |_| 0u8)?,
    );
    let udp = common.add(udp::Socket::new(
        udp::PacketBuffer::new(no_packets, no_bytes),
        udp::PacketBuffer::new(packets, bytes),
    ));
    let dhcp = (config.address == Address::Dhcp).then(|| common.add(dhcp::socket()));
    let askers = [common.add(dns::socket(arena)?), common.add(dns::socket(arena)?)];
    let resolver = dns::Resolver::new(config.dns, askers);

    let secret = Secret::new(config.key);
    let mut shared = Some(Shared {
        name: config.name,
        pool: Pool::new(slots, buckets, waiters, secret.draw()),
        secret,
        half_open: Cell::new(0),
        common: RefCell::new(common),
        udp,
        dhcp,
        resolver,
        common_dirty: Cell::new(true),
        link: Cell::new(Link::Down),
        address: Cell::new(None),
        gateway: Cell::new(None),
        ipv6: Cell::new(Ipv6State::new(config.ipv6 != Ipv6::Off)),
        dhcp_state: Cell::new(if dhcp.is_some() {
            DhcpState::Searching
        } else {
            DhcpState::Off
        }),
        configured: RefCell::new(embassy_sync::waitqueue::MultiWakerRegistration::new()),
        counters: RefCell::new(Counters::default()),
        card: Cell::new(crate::nic::Stats::default()),
        now: Cell::new(0),
        linger: config.linger.as_micros() as i64,
    });
    arena.slice(1, |_| shared.take())?.first()?.as_ref()
}

/// Cuts the first `count` values off (fewer if there are fewer).
fn cut<T>(from: &mut &'static mut [T], count: usize) -> &'static mut [T] {
    let all = core::mem::take(from);
    let (first, rest) = all.split_at_mut(count.min(all.len()));
    *from = rest;
    first
}

/// The state that the runner, the streams and the handles of an interface share.
struct Shared {
    name: &'static str,
    pool: Pool,
    secret: Secret,
    /// How many connections are half open.
    half_open: Cell<usize>,
    common: RefCell<SocketSet<'static>>,
    udp: SocketHandle,
    dhcp: Option<SocketHandle>,
    resolver: dns::Resolver,
    /// Whether something in `common` may have to be sent.
    common_dirty: Cell<bool>,
    link: Cell<Link>,
    address: Cell<Option<Ipv4Cidr>>,
    gateway: Cell<Option<Ipv4Addr>>,
    ipv6: Cell<Ipv6State>,
    dhcp_state: Cell<DhcpState>,
    configured: RefCell<embassy_sync::waitqueue::MultiWakerRegistration<4>>,
    counters: RefCell<Counters>,
    card: Cell<crate::nic::Stats>,
    /// The time of the runner's last poll, in microseconds.
    now: Cell<i64>,
    /// In microseconds.
    linger: i64,
}

impl Shared {
    fn count(&self, count: impl FnOnce(&mut Counters)) {
        count(&mut self.counters.borrow_mut());
    }

    /// Where a packet to `remote` goes first; `None` without a route.
    fn next_hop(&self, remote: IpAddress) -> Option<IpAddress> {
        match remote {
            IpAddress::Ipv4(remote) => {
                let cidr = self.address.get()?;
                let hop = if cidr.contains_addr(&remote) {
                    remote
                } else {
                    self.gateway.get()?
                };
                Some(hop.into())
            }
            IpAddress::Ipv6(remote) => self.ipv6.get().next_hop(remote).map(IpAddress::Ipv6),
        }
    }

    /// The address from which `remote` is reached; `None` if there is none, or no host can have `remote`.
    fn source(&self, remote: IpAddress) -> Option<IpAddress> {
        match remote {
            IpAddress::Ipv4(remote) => {
                let cidr = self.address.get()?;
                is_host(remote, Some(cidr)).then_some(cidr.address().into())
            }
            IpAddress::Ipv6(remote) => {
                let source = self.ipv6.get().source(remote).filter(|_| ipv6::is_host(remote))?;
                Some(source.into())
            }
        }
    }

    /// The largest packet that goes out from this address, in bytes.
    fn mtu(&self, local: IpAddress) -> u16 {
        match local {
            IpAddress::Ipv4(_) => ipv6::MAX_MTU,
            IpAddress::Ipv6(_) => self.ipv6.get().mtu,
        }
    }

    /// Whether the interface has this address.
    fn is_own(&self, address: IpAddress) -> bool {
        self.number(address).is_some()
    }

    /// The number of an address of the interface: see [`guard::Flow::number`].
    fn number(&self, address: IpAddress) -> Option<u8> {
        match address {
            IpAddress::Ipv4(address) => (self.address.get()?.address() == address).then_some(0),
            IpAddress::Ipv6(address) => self.ipv6.get().number(address).map(|number| number as u8 + 1),
        }
    }

    /// The address with this number.
    fn numbered(&self, number: u8) -> Option<IpAddress> {
        match number.checked_sub(1) {
            None => self.address.get().map(|cidr| cidr.address().into()),
            Some(place) => {
                let assigned = self.ipv6.get().addresses.get(usize::from(place)).copied().flatten()?;
                Some(assigned.address.into())
            }
        }
    }
}

/// A handle to one network interface (`vm0`, `vm1`, ...) and its stack.
#[derive(Clone, Copy)]
pub struct Netif {
    shared: &'static Shared,
}

impl Netif {
    /// The interface's name, `vm0` for the first card.
    pub fn name(&self) -> &'static str {
        self.shared.name
    }

    /// Starts listening on `port`. Every connection slot of the interface can serve every listening port.
    pub fn listen(&self, port: u16) -> Result<TcpListener, ListenError> {
        self.listen_reserved(port, 0)
    }

    /// Like [`Netif::listen`], with `reserved` slots that no other port can take: whatever happens there, so many
    /// connections to this one find place. (For the debug shell.)
    pub fn listen_reserved(&self, port: u16, reserved: usize) -> Result<TcpListener, ListenError> {
        TcpListener::new(self.shared, port, reserved)
    }

    /// Opens a connection; waits at most `timeout` for the handshake. It counts as marked (see
    /// [`TcpStream::mark_established`]). Cancel-safe: a dropped attempt gives its slot back.
    pub async fn connect(&self, remote: SocketAddr, timeout: Duration) -> Result<TcpStream, ConnectError> {
        tcp::connect(self.shared, remote, timeout).await
    }

    /// Whether the interface has an address from which it can reach hosts of `family` beyond its link.
    pub fn has_address(&self, family: Family) -> bool {
        match family {
            Family::V4 => self.address().is_some(),
            Family::V6 => self.shared.ipv6.get().is_configured(),
        }
    }

    /// The present IPv4 address, if there is one.
    pub fn address(&self) -> Option<Ipv4Addr> {
        self.shared.address.get().map(|cidr| cidr.address())
    }

    /// Waits until there is an address of either family, not counting a link-local one. At most four tasks at a time
    /// wait efficiently.
    pub async fn configured(&self) {
        core::future::poll_fn(|context| {
            if self.has_address(Family::V4) || self.has_address(Family::V6) {
                return core::task::Poll::Ready(());
            }
            self.shared.configured.borrow_mut().register(context.waker());
            core::task::Poll::Pending
        })
        .await;
    }

    /// How many connections are marked as established.
    pub fn established(&self) -> usize {
        self.shared.pool.count(Class::Marked)
    }

    /// How many connection slots there are.
    pub fn slots(&self) -> usize {
        self.shared.pool.len()
    }
}
