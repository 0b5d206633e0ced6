//! The IPv6 addresses of an interface, and the choice among them.

use core::net::Ipv6Addr;

use smoltcp::wire::Ipv6Cidr;

/// A link-local address, a fixed one, and two from router advertisements.
pub(in crate::net) const MAX_ADDRESSES: usize = 4;
/// DNS servers from router advertisements.
pub(in crate::net) const MAX_SERVERS: usize = 3;

/// An address that is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Assigned {
    pub(in crate::net) address: Ipv6Addr,
    /// Of the network that is on the link, in bits; 128: none is.
    pub(in crate::net) prefix: u8,
    /// Whether new connections may use it (RFC 4862 §5.5.4).
    pub(in crate::net) preferred: bool,
}

/// What the rest of the interface needs to know about IPv6: a copy, replaced when it changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct Ipv6State {
    /// Whether IPv6 is configured.
    pub(in crate::net) on: bool,
    pub(in crate::net) addresses: [Option<Assigned>; MAX_ADDRESSES],
    /// The default router.
    pub(in crate::net) router: Option<Ipv6Addr>,
    pub(in crate::net) servers: [Option<Ipv6Addr>; MAX_SERVERS],
    /// The largest packet, in bytes.
    pub(in crate::net) mtu: u16,
}

impl Ipv6State {
    /// IPv6 is off, or has no address yet.
    pub(in crate::net) const fn new(on: bool) -> Self {
        Self {
            on,
            addresses: [None; MAX_ADDRESSES],
            router: None,
            servers: [None; MAX_SERVERS],
            mtu: super::MAX_MTU,
        }
    }

    pub(in crate::net) fn iter(&self) -> impl Iterator<Item = Assigned> + Clone + use<> {
        self.addresses.into_iter().flatten()
    }

    /// Whether `address` is one of the interface's.
    pub(in crate::net) fn has(&self, address: Ipv6Addr) -> bool {
        self.number(address).is_some()
    }

    /// The place of an address in the list.
    pub(in crate::net) fn number(&self, address: Ipv6Addr) -> Option<usize> {
        self.addresses
            .iter()
            .position(|assigned| assigned.is_some_and(|assigned| assigned.address == address))
    }

    /// Whether there is an address that is valid beyond the link.
    pub(in crate::net) fn is_configured(&self) -> bool {
        self.iter().any(|assigned| !is_link_local(assigned.address))
    }

    /// The address to send from (RFC 6724 §5: rules 2, 3 and 8).
    pub(in crate::net) fn source(&self, to: Ipv6Addr) -> Option<Ipv6Addr> {
        let fits = |assigned: &Assigned| is_link_local(assigned.address) == is_link_local(to);
        let common = |assigned: &Assigned| (assigned.address.to_bits() ^ to.to_bits()).leading_zeros().min(64);
        let best = self
            .iter()
            .filter(fits)
            .max_by_key(|assigned| (assigned.preferred, common(assigned)));
        best.map(|assigned| assigned.address)
    }

    /// Where a packet to `to` goes first; `None` without a route.
    pub(in crate::net) fn next_hop(&self, to: Ipv6Addr) -> Option<Ipv6Addr> {
        self.source(to)?;
        let on_link = |assigned: Assigned| Ipv6Cidr::new(assigned.address, assigned.prefix).contains_addr(&to);
        match self.iter().any(on_link) {
            true => Some(to),
            false => self.router,
        }
    }
}

/// Whether an address is of the link alone (RFC 4291 §2.5.6).
pub(in crate::net) fn is_link_local(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local()
}

/// Whether a host can have `address`: not unspecified, loopback or multicast, and no IPv4 address in disguise (RFC 4291
/// §2.5.5).
pub(in crate::net) fn is_host(address: Ipv6Addr) -> bool {
    !address.is_multicast() && address.to_bits() >> 64 != 0
}

/// The solicited-node multicast address (RFC 4291 §2.7.1).
pub(in crate::net) fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let base = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 0).to_bits();
    Ipv6Addr::from_bits(base | address.to_bits() & 0xff_ffff)
}
