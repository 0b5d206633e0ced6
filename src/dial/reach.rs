//! The opening of a connection, direct or through a proxy.

use core::net::SocketAddr;

use super::error::DialError;
use super::host::{CONNECT_TIMEOUT, Host};
#[cfg(doc)]
use super::proxy::EXCHANGE_TIMEOUT;
use super::proxy::Proxy;
use crate::net::{self, Network, Transport};

/// Opens a connection to `host`, through `proxy` if there is one. `random` returns an unpredictable number.
///
/// # Errors
/// See [`DialError`]; at the latest after [`CONNECT_TIMEOUT`] and [`EXCHANGE_TIMEOUT`], and what looking up a name may
/// take.
pub async fn reach<N: Network>(
    network: &N,
    proxy: Option<&Proxy>,
    host: Host<'_>,
    port: u16,
    random: impl FnOnce() -> u64,
) -> Result<N::Stream, DialError>
where
    N::Stream: Transport<Error = net::Error>,
{
    if let Some(proxy) = proxy {
        return proxy.tunnel(network, host, port).await.map_err(DialError::Proxy);
    }
    let address = match host {
        Host::Address(address) => address,
        Host::Name(name) => net::resolve_v4(network, name, random())
            .await
            .map_err(DialError::Resolve)?,
    };
    let remote = SocketAddr::new(address.into(), port);
    network
        .connect(remote, CONNECT_TIMEOUT)
        .await
        .map_err(DialError::Connect)
}
