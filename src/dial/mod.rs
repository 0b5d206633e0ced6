//! Connections to a host: direct, or through an HTTP proxy.
//!
//! [`reach`] opens a connection to a [`Host`], through a [`Proxy`] if there is one; [`DialError`] is why that failed.

mod error;
mod host;
pub mod proxy;
mod reach;

pub use error::DialError;
pub use host::{CONNECT_TIMEOUT, Host};
pub use proxy::{Proxy, ProxyError};
pub use reach::reach;
