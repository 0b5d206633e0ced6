//! The errors of listening, connecting, and open connections.

/// Why a port cannot be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenError {
    /// The port has a listener already.
    InUse,
    /// Port 0.
    InvalidPort,
    /// The table of listening ports is full, or there are fewer slots than are reserved by now.
    TooMany,
}

impl core::fmt::Display for ListenError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            ListenError::InUse => "port in use",
            ListenError::InvalidPort => "invalid port",
            ListenError::TooMany => "too many listening ports",
        })
    }
}

impl core::error::Error for ListenError {}

/// Why a connection could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectError {
    /// The peer answered with RST.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The interface has no address yet, or no route to the host.
    Unreachable,
    /// No answer to ARP or neighbour discovery in time: neither the host nor, if it is beyond one, the gateway.
    NoNeighbor,
    /// The address is an IPv6 one, and IPv6 is off.
    NoIpv6,
    /// All connection slots are taken.
    NoSlot,
    /// The link is down.
    NoLink,
}

impl core::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            ConnectError::Refused => "connection refused",
            ConnectError::TimedOut => "connection timed out",
            ConnectError::Unreachable => "host unreachable",
            ConnectError::NoNeighbor => "no answer to ARP or neighbor discovery",
            ConnectError::NoIpv6 => "IPv6 is off",
            ConnectError::NoSlot => "too many connections",
            ConnectError::NoLink => "link down",
        })
    }
}

impl core::error::Error for ConnectError {}

/// An error of an open connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// The peer sent RST.
    Reset,
    /// The peer vanished: keepalives or retransmissions were not answered.
    TimedOut,
    /// We have closed the write side, or aborted.
    Closed,
    /// The slot was needed for another connection before this one was marked as established.
    Evicted,
    /// The interface has lost the address that the connection used.
    AddressLost,
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Error::Reset => "connection reset by peer",
            Error::TimedOut => "connection timed out",
            Error::Closed => "connection closed",
            Error::Evicted => "connection evicted for a newer one",
            Error::AddressLost => "local address lost",
        })
    }
}

impl core::error::Error for Error {}

impl embedded_io_async::Error for Error {
    fn kind(&self) -> embedded_io_async::ErrorKind {
        match self {
            Error::Reset => embedded_io_async::ErrorKind::ConnectionReset,
            Error::TimedOut => embedded_io_async::ErrorKind::TimedOut,
            Error::Closed => embedded_io_async::ErrorKind::NotConnected,
            Error::Evicted | Error::AddressLost => embedded_io_async::ErrorKind::ConnectionAborted,
        }
    }
}
