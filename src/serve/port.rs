//! Listening ports, and why one could not be opened or closed.

use core::cell::Cell;
use core::fmt;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;

use crate::net::Kind;

/// Ports that can be listened on at a time.
pub const LISTENERS: usize = 8;

/// Why a server could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// The port is already in use.
    InUse(u16),
    /// Port 0.
    InvalidPort,
    /// All [`LISTENERS`] places, or the network's own, are taken.
    TooMany,
    /// No interface has that name.
    NoSuchInterface,
    /// There is no interface at all.
    NoInterface,
    /// TLS cannot be served; the reason was given to [`Service::set_tls`](crate::serve::Service::set_tls).
    NoTls(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::InUse(port) => write!(f, "port {port} is already in use"),
            StartError::InvalidPort => f.write_str("port 0 is not valid"),
            StartError::TooMany => f.write_str("too many listening ports; stop one first"),
            StartError::NoSuchInterface => f.write_str("no network interface of that name"),
            StartError::NoInterface => f.write_str("no network interface"),
            StartError::NoTls(reason) => f.write_str(reason),
        }
    }
}

impl core::error::Error for StartError {}

/// Why a server could not be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopError {
    /// None of that kind runs on that port.
    NotRunning(u16),
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopError::NotRunning(port) => write!(f, "no server of this kind is running on port {port}"),
        }
    }
}

impl core::error::Error for StopError {}

/// The use of a place for a listening port.
#[derive(Clone, Copy)]
pub(super) struct Port {
    pub(super) kind: Kind,
    pub(super) port: u16,
    pub(super) netif: &'static str,
    pub(super) stopping: bool,
    /// The number of this use of the place.
    pub(super) run: u32,
}

pub(super) struct PortSlot<L> {
    pub(super) port: Cell<Option<Port>>,
    pub(super) listener: Signal<NoopRawMutex, L>,
    pub(super) stop: Signal<NoopRawMutex, ()>,
    pub(super) stopped: Signal<NoopRawMutex, ()>,
}
