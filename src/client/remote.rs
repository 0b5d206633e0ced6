//! The other end of the client's connection.

use core::fmt;

use crate::dial::{Authority, Host, OwnedHost};
use crate::endpoint::Description;
use crate::net::dns;

/// The longest expected name, in bytes.
pub const MAX_NAME: usize = dns::MAX_NAME;

pub(super) type Name = heapless::String<MAX_NAME>;

/// Where to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectOptions<'a> {
    /// The host. The proxy looks up its name, if there is one.
    pub host: Host<'a>,
    /// The port.
    pub port: u16,
    /// The name (or address) that the server's certificate has to give; `None`: it may give any. TLS only.
    pub name: Option<&'a str>,
    /// The interface; `None`: the first.
    pub netif: Option<&'a str>,
    /// Not through the proxy, if there is one.
    pub direct: bool,
}

/// The other end of a connection. Displayed as `10.0.2.2:10009`, or `10.0.2.2:10009 through the proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) host: OwnedHost,
    pub(super) port: u16,
    pub(super) through: bool,
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let through = if self.through { " through the proxy" } else { "" };
        write!(f, "{}{through}", Authority(self.host.get(), self.port))
    }
}

/// The negotiated parameters of a TLS connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Negotiated {
    /// Version, suite and group, whether a session was resumed, and the server's identity.
    pub description: Description,
    /// Whether the certificate had to give a certain name.
    pub named: bool,
}

impl fmt::Display for Negotiated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Description {
            version,
            suite,
            group,
            resumed,
            subject,
            ..
        } = self.description;
        write!(f, "{version} {suite}")?;
        if !group.is_empty() {
            write!(f, " {group}")?;
        }
        if resumed {
            f.write_str(", resumed")?;
        }
        if let Some(server) = subject {
            write!(f, ", server {}", server.as_str())?;
        }
        if !self.named {
            f.write_str(" (no name verified)")?;
        }
        Ok(())
    }
}
