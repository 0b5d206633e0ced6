//! The error of dialling a host.

use core::fmt;

use super::open::OpenError;
use super::proxy::ProxyError;

/// Why a connection did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialError {
    /// There is no such interface.
    NoSuchInterface,
    /// No TCP connection to the host came about.
    Open(OpenError),
    /// The proxy gave none.
    Proxy(ProxyError),
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DialError::NoSuchInterface => f.write_str("no such network interface"),
            DialError::Open(error) => error.fmt(f),
            DialError::Proxy(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for DialError {}
