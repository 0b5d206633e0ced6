//! Connections to a host: direct, or through an HTTP proxy.
//!
//! [`reach`] opens a connection to a [`Host`], through a [`Proxy`] if there is one; [`DialError`] is why that failed. A
//! host that is given by its name is tried at several of its addresses, of both families (RFC 8305).

mod error;
mod host;
mod open;
pub mod proxy;
mod reach;

pub use error::DialError;
pub use host::{Authority, CONNECT_TIMEOUT, Host, OwnedHost};
pub use open::{Failures, MAX_ATTEMPTS, OpenError};
pub use proxy::{Proxy, ProxyError};
pub use reach::reach;
