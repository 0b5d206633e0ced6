//! Why a host could not be reached.

use core::fmt;

use super::host::explain;
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
            DialError::NoSuchInterface => f.write_str("there is no such network interface"),
            DialError::Resolve(error) => error.fmt(f),
            DialError::Connect(error) => explain(error, f),
            DialError::Proxy(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DialError {}
