//! Hosts, by name or by address, and how they are written.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use embassy_time::Duration;

use crate::config::MAX_NAME;

/// How long connecting to an address may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A host, as it is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// By its address.
    Address(IpAddr),
    /// By its name.
    Name(&'a str),
}

impl<'a> Host<'a> {
    /// A configured host: its address, or else its name.
    pub fn of(address: Option<IpAddr>, name: &'a str) -> Self {
        address.map_or(Host::Name(name), Host::Address)
    }

    /// Its name, if it is dialled by that.
    pub fn name(self) -> Option<&'a str> {
        match self {
            Host::Name(name) => Some(name),
            Host::Address(_) => None,
        }
    }
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// A host and its port: `10.0.2.2:443`, `[2001:db8::1]:443`, `a.example:443` (RFC 3986 §3.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a>(pub Host<'a>, pub u16);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Authority(Host::Address(address), port) => SocketAddr::new(address, port).fmt(f),
            Authority(Host::Name(name), port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A [`Host`] with its own copy of the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedHost {
    /// `None`: by its name.
    address: Option<IpAddr>,
    name: heapless::String<MAX_NAME>,
}

impl OwnedHost {
    /// Copies a host; `None` if its name is longer than [`MAX_NAME`].
    pub fn new(host: Host<'_>) -> Option<Self> {
        let (address, name) = match host {
            Host::Address(address) => (Some(address), ""),
            Host::Name(name) => (None, name),
        };
        let name = name.try_into().ok()?;
        Some(OwnedHost { address, name })
    }

    /// The host.
    pub fn get(&self) -> Host<'_> {
        Host::of(self.address, &self.name)
    }
}

#[cfg(test)]
mod tests;
