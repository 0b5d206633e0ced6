//! The error of dialling a host.

use core::fmt;

use super::host::write_connect_error;
use super::proxy::ProxyError;
use crate::net::{ConnectError, ResolveError};

/// Why a connection did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialError {
    /// There is no such interface.
    NoSuchInterface,
    /// The address of the host is not known.
    Resolve(ResolveError),
    /// No TCP connection to the host came about.
    Connect(ConnectError),
    /// The proxy gave none.
    Proxy(ProxyError),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::NoSuchInterface => f.write_str("no such network interface"),
            DialError::Resolve(error) => error.fmt(f),
            DialError::Connect(error) => write_connect_error(error, f),
            DialError::Proxy(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DialError {}
