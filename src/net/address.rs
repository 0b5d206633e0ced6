//! How an interface gets its addresses.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::config;

/// How an interface gets its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// From a DHCP server.
    Dhcp,
    /// A fixed one.
    Static {
        /// The address.
        address: Ipv4Addr,
        /// The length of the network's prefix in bits, 0 to 32.
        prefix: u8,
        /// The router; `None`: no way out of the network.
        gateway: Option<Ipv4Addr>,
    },
}

/// How an interface gets its IPv6 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ipv6 {
    /// It has none: IPv6 is neither sent nor accepted.
    #[default]
    Off,
    /// It has a link-local address, and those of [`Ipv6Config`].
    On(Ipv6Config),
}

/// The addresses of an interface beside its link-local one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Config {
    /// Whether it takes addresses, routers and DNS servers from router advertisements (RFC 4862, RFC 4861, RFC 8106).
    pub slaac: bool,
    /// A fixed address.
    pub fixed: Option<Ipv6Static>,
    /// The secret of RFC 7217 §5 from which, with the card's address and the network, interface identifiers are made. The
    /// same secret gives the same addresses at every boot.
    pub stable_key: [u8; 16],
}

/// A fixed IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ipv6Static {
    /// The address.
    pub address: Ipv6Addr,
    /// The length of the network's prefix in bits, 0 to 128.
    pub prefix: u8,
    /// The router; `None`: those that advertise themselves, if [`Ipv6Config::slaac`] is set.
    pub gateway: Option<Ipv6Addr>,
}

/// Why an address cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// The address is no host's: unspecified, broadcast, multicast or loopback.
    NotAHost,
    /// The netmask has a one after a zero.
    NotAMask,
    /// The gateway is not in the network, is no host's address, or is the address itself.
    Gateway,
}

impl core::fmt::Display for AddressError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::NotAHost => "ipaddr is not the address of a host",
            Self::NotAMask => "netmask has a one after a zero, or none",
            Self::Gateway => "gateway is not the address of another host in the network",
        })
    }
}

impl core::error::Error for AddressError {}

impl Address {
    /// The address that the configuration asks for.
    pub fn from_config(ip: &config::Ip) -> Result<Self, AddressError> {
        if ip.use_dhcp {
            return Ok(Self::Dhcp);
        }
        let mask = u32::from(ip.netmask);
        if !config::is_mask(mask) {
            return Err(AddressError::NotAMask);
        }
        let prefix = mask.count_ones() as u8;
        if !config::is_host(ip.ipaddr, mask) {
            return Err(AddressError::NotAHost);
        }
        if ip
            .gateway
            .is_some_and(|gateway| !config::is_router(gateway, ip.ipaddr, mask))
        {
            return Err(AddressError::Gateway);
        }
        Ok(Self::Static {
            address: ip.ipaddr,
            prefix,
            gateway: ip.gateway,
        })
    }
}
