//! The DHCP client: smoltcp's, with what it leaves to us: checking what was leased, and links that come and go.

use core::net::Ipv4Addr;

use smoltcp::socket::dhcpv4::{Event, RetryConfig, Socket};
use smoltcp::time::Duration;
use smoltcp::wire::Ipv4Cidr;

use super::dns::Servers;
use super::is_host;

/// A client that asks again sooner than smoltcp's would: a boot often overtakes its link.
pub(super) fn socket() -> Socket<'static> {
    let mut retry = RetryConfig::default();
    retry.discover_timeout = Duration::from_secs(3);
    retry.initial_request_timeout = Duration::from_secs(2);
    let mut socket = Socket::new();
    socket.set_retry_config(retry);
    socket
}

/// What has become of the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// A lease, new or changed: address, router, and who is to be asked for names.
    Leased(Ipv4Cidr, Option<Ipv4Addr>, Servers),
    /// No lease any more.
    Lost,
    /// The server leased an address that no host can have.
    Nonsense(Ipv4Addr),
}

/// The last change since the last call.
pub(super) fn poll(socket: &mut Socket<'_>) -> Option<Change> {
    Some(match socket.poll()? {
        Event::Deconfigured => Change::Lost,
        Event::Configured(lease) => {
            let cidr = lease.address;
            if !is_host(cidr.address(), Some(cidr)) {
                return Some(Change::Nonsense(cidr.address()));
            }
            // A router that is no host, or not on our network, could never be asked for by ARP (smoltcp asserts it).
            let router = lease
                .router
                .filter(|&router| is_host(router, Some(cidr)) && cidr.contains_addr(&router));
            let mut servers = lease
                .dns_servers
                .iter()
                .copied()
                .filter(|&server| is_host(server, Some(cidr)));
            Change::Leased(cidr, router, core::array::from_fn(|_| servers.next()))
        }
    })
}
