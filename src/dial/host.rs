//! Hosts, and why a TCP connection to one failed.

use core::fmt;
use core::net::Ipv4Addr;

use embassy_time::Duration;

use crate::net::ConnectError;

/// How long connecting may take.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A host, as it is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// By its address.
    Address(Ipv4Addr),
    /// By its name.
    Name(&'a str),
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// Writes why connecting failed.
pub(super) fn write_connect_error(error: &ConnectError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match error {
        ConnectError::Refused => f.write_str("connection refused"),
        ConnectError::TimedOut => write!(f, "no answer within {} s", CONNECT_TIMEOUT.as_secs()),
        ConnectError::Unreachable => f.write_str("no address yet, or no route to the host"),
        ConnectError::NoNeighbor => write!(
            f,
            "no answer to ARP within {} s: the host or its gateway is down",
            CONNECT_TIMEOUT.as_secs()
        ),
        ConnectError::NoIpv6 => f.write_str("IPv6 is off on this interface"),
        ConnectError::NoSlot => f.write_str("all connections of the interface are in use"),
        ConnectError::NoLink => f.write_str("the link is down"),
    }
}
