//! The status of an interface, for the debug shell.

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use smoltcp::socket::tcp::State;

use super::Netif;
use super::filter::Reason;
use super::ipv6::MAX_ADDRESSES;
use super::slots::Class;
use crate::nic::{Link, Stats};

/// Where DHCP stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpState {
    /// The address is fixed.
    Off,
    /// No lease yet, or none any more.
    Searching,
    /// A lease is held and renewed.
    Bound,
}

/// The state of an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    /// Its name.
    pub name: &'static str,
    /// Its link.
    pub link: Link,
    /// Its address and the length of its network's prefix in bits.
    pub address: Option<(Ipv4Addr, u8)>,
    /// The router.
    pub gateway: Option<Ipv4Addr>,
    /// Its IPv6 addresses, and the lengths of their networks' prefixes in bits; 128 if no network is on the link.
    pub ipv6: [Option<(Ipv6Addr, u8)>; MAX_ADDRESSES],
    /// The IPv6 router.
    pub router: Option<Ipv6Addr>,
    /// Where DHCP stands.
    pub dhcp: DhcpState,
    /// Connection slots, all of them.
    pub slots: usize,
    /// Slots without a connection.
    pub free: usize,
    /// Handshakes that peers have begun and not finished: they have no slots yet.
    pub half_open: usize,
    /// Connections that are open and not marked as established.
    pub unmarked: usize,
    /// Connections marked as established, ours included.
    pub established: usize,
    /// Connections that are being closed without an owner, TIME_WAIT included.
    pub closing: usize,
    /// The card's counters.
    pub card: Stats,
}

/// A listening port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerInfo {
    /// The port.
    pub port: u16,
    /// Slots kept for it.
    pub reserved: usize,
    /// Slots that serve it.
    pub used: usize,
    /// Connections waiting to be accepted.
    pub waiting: usize,
}

/// A connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The number of its slot.
    pub slot: u16,
    /// Our port.
    pub local_port: u16,
    /// The other end.
    pub peer: SocketAddr,
    /// Its TCP state.
    pub state: State,
    /// Whether it is marked as established.
    pub established: bool,
    /// Whether we opened it.
    pub outbound: bool,
    /// Bytes that the owner has read.
    pub bytes_in: u64,
    /// Bytes that the owner has written.
    pub bytes_out: u64,
    /// Bytes received and not yet read.
    pub unread: usize,
    /// Bytes written and not yet acknowledged.
    pub unsent: usize,
    /// Its age in seconds.
    pub age: u64,
}

/// The counters of an interface since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Frames received.
    pub frames: u64,
    /// Of those dropped: shorter than an Ethernet header.
    pub too_short: u64,
    /// Longer than an Ethernet frame may be.
    pub too_long: u64,
    /// For another Ethernet or IP address.
    pub not_for_us: u64,
    /// Neither ARP nor IP, or a protocol above IPv6 that is not spoken here.
    pub protocol: u64,
    /// With a header that is cut short or contradicts itself.
    pub malformed: u64,
    /// IPv6 packets with extension headers.
    pub extension: u64,
    /// Messages of neighbour discovery that are not valid or were not asked for, and redirects.
    pub discovery: u64,
    /// With a wrong checksum.
    pub checksum: u64,
    /// Fragments.
    pub fragment: u64,
    /// From an address that no host can have.
    pub source: u64,
    /// DHCP replies that were not expected, or leased what no host can use.
    pub dhcp: u64,
    /// Answers and data that found no free buffer in the card (both are sent again in time).
    pub no_buffer: u64,
    /// Connections accepted from peers: handshake finished.
    pub accepted: u64,
    /// Connections that we opened.
    pub connected: u64,
    /// SYNs for ports without a listener.
    pub no_listener: u64,
    /// SYNs refused because every slot held an established connection.
    pub no_slot: u64,
    /// Segments for connections that do not exist, answered with RST.
    pub stray: u64,
    /// Finished connections (TIME_WAIT, FIN_WAIT_2) evicted for new ones.
    pub evicted_done: u64,
    /// Half-open connections evicted for new ones.
    pub evicted_half_open: u64,
    /// Connections without an owner, still closing, evicted for new ones.
    pub evicted_orphan: u64,
    /// Open connections that were not marked as established, evicted for new ones.
    pub evicted_unmarked: u64,
    /// Half-open connections whose time was up.
    pub half_open_expired: u64,
    /// Closing connections without an owner whose time was up.
    pub orphan_expired: u64,
    /// Connections that peers have reset.
    pub reset: u64,
    /// Connections whose peers did not answer any more.
    pub timed_out: u64,
    /// ARP requests sent because a connection waited for its neighbour.
    pub arp_requests: u64,
    /// Neighbour solicitations sent because a connection waited for its neighbour.
    pub solicitations: u64,
    /// Datagrams that did not fit into the queue.
    pub udp_dropped: u64,
    /// RSTs without the exact sequence number that were not answered.
    pub rst_ignored: u64,
    /// Challenge ACKs sent, in answer to SYNs and inexact RSTs on open connections.
    pub challenges: u64,
    /// Challenge ACKs not sent: at most one a second goes out for each connection.
    pub challenges_withheld: u64,
    /// Connections that go on without "don't fragment", or with smaller segments, because a packet was too big for its
    /// path.
    pub path_mtu: u64,
    /// Reports of a too big packet that was not under way.
    pub path_mtu_ignored: u64,
}

impl Counters {
    /// Every counter with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        [
            ("frames", self.frames),
            ("too short", self.too_short),
            ("too long", self.too_long),
            ("not for us", self.not_for_us),
            ("unknown protocol", self.protocol),
            ("malformed", self.malformed),
            ("extension headers", self.extension),
            ("neighbour discovery refused", self.discovery),
            ("wrong checksum", self.checksum),
            ("fragments", self.fragment),
            ("wrong source", self.source),
            ("DHCP replies refused", self.dhcp),
            ("no transmit buffer", self.no_buffer),
            ("accepted", self.accepted),
            ("connected", self.connected),
            ("no listener", self.no_listener),
            ("no slot", self.no_slot),
            ("stray segments", self.stray),
            ("evicted, done", self.evicted_done),
            ("evicted, half open", self.evicted_half_open),
            ("evicted, closing", self.evicted_orphan),
            ("evicted, unmarked", self.evicted_unmarked),
            ("half open, expired", self.half_open_expired),
            ("closing, expired", self.orphan_expired),
            ("reset by peer", self.reset),
            ("timed out", self.timed_out),
            ("ARP requests", self.arp_requests),
            ("neighbour solicitations", self.solicitations),
            ("datagrams dropped", self.udp_dropped),
            ("RST ignored", self.rst_ignored),
            ("challenge ACKs", self.challenges),
            ("challenge ACKs withheld", self.challenges_withheld),
            ("path MTU reports", self.path_mtu),
            ("path MTU reports ignored", self.path_mtu_ignored),
        ]
        .into_iter()
    }

    /// Frames dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        [
            self.too_short,
            self.too_long,
            self.not_for_us,
            self.protocol,
            self.malformed,
            self.extension,
            self.discovery,
            self.checksum,
            self.fragment,
            self.source,
            self.dhcp,
        ]
        .iter()
        .fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn evict(&mut self, class: Class) {
        *match class {
            Class::Orphan => &mut self.evicted_orphan,
            Class::Unmarked => &mut self.evicted_unmarked,
            _ => &mut self.evicted_done,
        } += 1;
    }

    pub(super) fn drop_frame(&mut self, reason: Reason) {
        *match reason {
            Reason::TooShort => &mut self.too_short,
            Reason::TooLong => &mut self.too_long,
            Reason::NotForUs => &mut self.not_for_us,
            Reason::Protocol => &mut self.protocol,
            Reason::Malformed => &mut self.malformed,
            Reason::Checksum => &mut self.checksum,
            Reason::Fragment => &mut self.fragment,
            Reason::Source => &mut self.source,
            Reason::Dhcp(_) => &mut self.dhcp,
            Reason::Extension => &mut self.extension,
            Reason::Discovery => &mut self.discovery,
        } += 1;
    }
}

impl Netif {
    /// The interface's counters.
    pub fn counters(&self) -> Counters {
        *self.shared.counters.borrow()
    }

    /// The state of the interface.
    pub fn status(&self) -> Status {
        let shared = self.shared;
        let count = |class| shared.pool.count(class);
        let ipv6 = shared.ipv6.get();
        Status {
            name: shared.name,
            link: shared.link.get(),
            address: shared.address.get().map(|cidr| (cidr.address(), cidr.prefix_len())),
            gateway: shared.gateway.get(),
            ipv6: ipv6
                .addresses
                .map(|assigned| Some((assigned?.address, assigned?.prefix))),
            router: ipv6.router,
            dhcp: shared.dhcp_state.get(),
            slots: shared.pool.len(),
            free: count(Class::FreeLarge) + count(Class::FreeSmall),
            half_open: shared.half_open.get(),
            unmarked: count(Class::Unmarked),
            established: count(Class::Marked),
            closing: count(Class::Done) + count(Class::Orphan),
            card: shared.card.get(),
        }
    }

    /// Calls `f` for each listening port.
    pub fn for_each_listener(&self, mut f: impl FnMut(ListenerInfo)) {
        for listener in self
            .shared
            .pool
            .listeners
            .iter()
            .filter(|listener| listener.port.get() != 0)
        {
            f(ListenerInfo {
                port: listener.port.get(),
                reserved: usize::from(listener.reserved.get()),
                used: usize::from(listener.used.get()),
                waiting: listener.ready(),
            });
        }
    }

    /// Calls `f` for each connection, closing ones included, in the order of their slots.
    pub fn for_each_connection(&self, mut f: impl FnMut(ConnectionInfo)) {
        for (index, slot) in self.shared.pool.iter() {
            let Some(key) = slot.key.get() else { continue };
            let (state, unread, unsent) =
                slot.with(|socket| (socket.state(), socket.recv_queue(), socket.send_queue()));
            f(ConnectionInfo {
                slot: index,
                local_port: key.local.port,
                peer: key.remote.into(),
                state,
                established: slot.class() == Class::Marked,
                outbound: slot.outbound.get(),
                bytes_in: slot.bytes_in.get(),
                bytes_out: slot.bytes_out.get(),
                unread,
                unsent,
                age: (self.shared.now.get().saturating_sub(slot.since.get()) / 1_000_000).max(0) as u64,
            });
        }
    }
}
