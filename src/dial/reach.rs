//! The opening of a connection, direct or through a proxy.

use super::error::DialError;
#[cfg(doc)]
use super::host::CONNECT_TIMEOUT;
use super::host::Host;
use super::open::open;
#[cfg(doc)]
use super::proxy::EXCHANGE_TIMEOUT;
use super::proxy::Proxy;
use crate::net::{self, Network, Transport};

/// Opens a connection to `host`, through `proxy` if there is one. `random` returns an unpredictable number, another one
/// each time.
///
/// # Errors
/// See [`DialError`]; at the latest after [`CONNECT_TIMEOUT`] and [`EXCHANGE_TIMEOUT`], and what looking up a name may
/// take.
pub async fn reach<N: Network>(
    network: &N,
    proxy: Option<&Proxy>,
    host: Host<'_>,
    port: u16,
    random: impl Fn() -> u64,
) -> Result<N::Stream, DialError>
where
    N::Stream: Transport<Error = net::Error>,
{
    match proxy {
        Some(proxy) => proxy.tunnel(network, host, port).await.map_err(DialError::Proxy),
        None => open(network, host, port, random).await.map_err(DialError::Open),
    }
}
