//! The interface's address: fixed or leased, and the link that it depends on.

use core::net::Ipv4Addr;

use smoltcp::iface::{Config as InterfaceConfig, Interface};
use smoltcp::socket::dhcpv4;
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Cidr, Ipv6Cidr};

use super::super::device::{Egress, Scratch};
use super::super::filter::Reason;
use super::super::{Address, DhcpState, Shared, arp, dhcp};
use super::{Card, CloseReason, Link, NEVER, Runner};

/// After the link came back the leased address is used for so long without a new lease, in microseconds: connections
/// outlive a cable that was pulled for a moment.
const LINK_GRACE_PERIOD: i64 = 30_000_000;

impl<C: Card> Runner<C> {
    /// Follows the link, and sets the fixed address at the first poll.
    pub(super) fn watch_link(&mut self, now: i64) {
        let link = self.card.link();
        let came_up = matches!(link, Link::Up(_)) && !matches!(self.shared.link.get(), Link::Up(_));
        self.shared.link.set(link);
        if core::mem::take(&mut self.fresh)
            && let Address::Static {
                address,
                prefix,
                gateway,
            } = self.config.address
        {
            // Whether the link is up already or not: it costs one frame and may save a peer a second.
            self.set_address(Some(Ipv4Cidr::new(address, prefix)), gateway);
        } else if came_up {
            self.announce();
        }
        if came_up {
            self.link_up(now);
            if let Some(handle) = self.shared.dhcp {
                self.shared
                    .common
                    .borrow_mut()
                    .get_mut::<dhcpv4::Socket<'_>>(handle)
                    .reset();
                if self.shared.address.get().is_some() {
                    // Not later, however often the link comes and goes.
                    self.grace = self.grace.min(now.saturating_add(LINK_GRACE_PERIOD));
                }
            }
            self.shared.common_dirty.set(true);
        }
        if now >= self.grace {
            self.grace = NEVER;
            log::warn!(
                "{}: no new lease after the link came back: address removed",
                self.shared.name
            );
            self.set_address(None, None);
        }
    }

    fn set_address(&mut self, cidr: Option<Ipv4Cidr>, gateway: Option<Ipv4Addr>) {
        let shared = self.shared;
        let before = shared.address.replace(cidr);
        shared.gateway.set(gateway);
        self.update_address();
        if before.map(|cidr| cidr.address()) != cidr.map(|cidr| cidr.address()) {
            self.close_all(|local| matches!(local, IpAddress::Ipv4(_)));
        }
        if let Some(cidr) = cidr {
            match gateway {
                Some(gateway) => log::info!("{}: address {cidr}, gateway {gateway}", shared.name),
                None => log::info!("{}: address {cidr}, no gateway", shared.name),
            }
            self.announce();
            shared.configured.borrow_mut().wake();
        }
    }

    /// Ends the connections of the local addresses that are `gone`.
    pub(super) fn close_all(&mut self, gone: impl Fn(IpAddress) -> bool) {
        let pool = &self.shared.pool;
        self.half_open.clear();
        // smoltcp closes them when it next wants to send and finds the address gone.
        for (index, slot) in pool.iter() {
            if slot.key.get().is_some_and(|key| gone(key.local.addr)) {
                slot.end.set(CloseReason::Down);
                pool.mark_quietly(index);
            }
        }
    }

    /// Sets smoltcp's addresses and routes to the current ones.
    pub(super) fn update_address(&mut self) {
        let shared = self.shared;
        let ipv6 = shared.ipv6.get();
        let v4 = shared.address.get().map(IpCidr::Ipv4).into_iter();
        let v6 = ipv6
            .iter()
            .map(|assigned| Ipv6Cidr::new(assigned.address, assigned.prefix).into());
        let current = v4.chain(v6);
        // smoltcp forgets its neighbours with this: not for each advertisement of a router.
        if !current.clone().eq(self.iface.ip_addrs().iter().copied()) {
            self.iface.update_ip_addrs(|addresses| {
                addresses.clear();
                for cidr in current {
                    let _ = addresses.push(cidr); // there are five at most
                }
            });
        }
        match shared.gateway.get() {
            Some(gateway) => {
                let _ = self.iface.routes_mut().add_default_ipv4_route(gateway);
            }
            None => {
                let _ = self.iface.routes_mut().remove_default_ipv4_route();
            }
        }
        match ipv6.router {
            Some(router) => {
                let _ = self.iface.routes_mut().add_default_ipv6_route(router);
            }
            None => {
                let _ = self.iface.routes_mut().remove_default_ipv6_route();
            }
        }
    }

    /// Creates smoltcp's interface again, with another seed. Its neighbours are asked for again.
    pub(super) fn reseed(&mut self) {
        self.iface = interface(&mut self.card, &mut self.scratch, self.shared);
        self.update_address();
    }

    fn announce(&mut self) {
        let Some(cidr) = self.shared.address.get() else { return };
        arp::announce(&mut self.card, cidr.address());
        if let Some(gateway) = self.shared.gateway.get() {
            // Most first packets come through it, and the answer to the first one need not wait then.
            arp::request(&mut self.card, cidr.address(), gateway);
        }
    }

    /// Takes a message of the DHCP server at this address in.
    pub(super) fn dhcp_reply(&mut self, server: Ipv4Addr, now: i64) {
        let Some(frame) = self.card.received() else { return };
        let name = self.shared.name;
        match self.dhcp.check(frame.bytes, self.mac, now) {
            Ok(removed) => {
                if removed {
                    let least = dhcp::MIN_RENEWAL;
                    let text =
                        format_args!("{name}: ignored T1 and T2 from DHCP server {server}: shorter than {least} s");
                    self.dhcp_faults.log(log::Level::Warn, text);
                }
                self.feed_common(now);
            }
            Err(reason) => {
                if let Reason::Dhcp(fault) = reason
                    && fault != dhcp::Fault::Unexpected
                {
                    let text = format_args!("{name}: refused reply from DHCP server {server}: {fault}");
                    self.dhcp_faults.log(log::Level::Warn, text);
                }
                self.shared.count(|counters| counters.drop_frame(reason));
                self.card.release();
            }
        }
    }

    /// Does what a change of the lease asks for.
    pub(super) fn follow_lease(&mut self, change: dhcp::Change) {
        let shared = self.shared;
        match change {
            dhcp::Change::Leased { cidr, router, servers } => {
                self.grace = NEVER;
                shared.resolver.lease(servers);
                shared.dhcp_state.set(DhcpState::Bound);
                if let Err(Some(router)) = router {
                    let text = format_args!("{}: ignored router {router}: not another host of {cidr}", shared.name);
                    self.dhcp_faults.log(log::Level::Warn, text);
                }
                self.set_address(Some(cidr), router.ok());
            }
            dhcp::Change::Lost => {
                shared.resolver.lease([None; 3]);
                shared.dhcp_state.set(DhcpState::Searching);
                if shared.address.get().is_some() && self.grace == NEVER {
                    log::warn!("{}: lease lost", shared.name);
                    self.set_address(None, None);
                }
            }
        }
    }
}

/// smoltcp's interface, with a new seed.
pub(super) fn interface<C: Card>(card: &mut C, scratch: &mut Scratch, shared: &Shared) -> Interface {
    let mut settings = InterfaceConfig::new(HardwareAddress::Ethernet(EthernetAddress(card.mac())));
    settings.random_seed = shared.secret.draw();
    Interface::new(settings, &mut Egress::new(card, scratch), Instant::from_micros(0))
}
