//! Addresses, the proxy, the hosts to dial and the syslog server.

use core::fmt::Write as _;
use core::net::IpAddr;

use rand_core::Rng as _;

use super::time::seconds;
use crate::config::Config;
use crate::crypto::hash::{HashAlgorithm, Hasher};
use crate::dial::{self, Proxy};
use crate::log;
use crate::machine::memory::{Arena, OutOfMemory};
use crate::machine::{clock, entropy};
use crate::net::{self, Kind, Netif, syslog};
use crate::pki::text::Count;
use crate::serve::Service;
use crate::serve::reverse;

/// Dials the hosts of `.echo.reverse` with these kinds of echo, once there is an address to dial from; over TLS only if that
/// is `fit`.
pub async fn dial(
    config: &'static Config,
    netifs: &'static [Netif],
    service: &'static Service<Netif>,
    kinds: &[Kind],
    fit: bool,
) {
    if config.echo.reverse.is_empty() {
        return;
    }
    if let Some(netif) = netifs.first() {
        netif.configured().await;
    }
    for (number, wanted) in (1..).zip(&config.echo.reverse) {
        let kind = if wanted.plain { Kind::Plain } else { Kind::Tls };
        if !kinds.contains(&kind) {
            continue;
        }
        let target = reverse::ReverseOptions {
            host: dial::Host::of(wanted.ipaddr, &wanted.host),
            port: wanted.port,
            netif: Some(wanted.netif.as_str()).filter(|name| !name.is_empty()),
            every: seconds(wanted.every),
            role: wanted.role,
            direct: wanted.direct,
        };
        if kind == Kind::Tls && !fit {
            ::log::error!(
                ".echo.reverse {number}: {} is not dialled: the self-test failed",
                dial::Authority(target.host, target.port)
            );
        } else if let Err(error) = service.reverse(kind, target) {
            ::log::error!(
                ".echo.reverse {number}: {} is not dialled: {error}",
                dial::Authority(target.host, target.port)
            );
        }
    }
}

/// The proxy for outgoing connections, if there is one.
///
/// # Errors
/// When the memory does not suffice.
pub fn proxy(config: &Config, arena: &mut Arena) -> Result<Option<&'static Proxy>, OutOfMemory> {
    let Some(proxy) = Proxy::from_config(&config.proxy, seed) else {
        return Ok(None);
    };
    let proxy: &'static Proxy = arena.value(proxy)?;
    let login = if proxy.has_login() { ", with a login" } else { "" };
    ::log::info!("proxy: {proxy}{login}");
    Ok(Some(proxy))
}

/// The address of the card with that number: the first has the configured one, others ask DHCP.
pub fn address(config: &Config, number: usize) -> net::Address {
    if number > 0 {
        return net::Address::Dhcp;
    }
    net::Address::from_config(&config.ip).unwrap_or_else(|error| {
        ::log::error!(".ip: {error}; using DHCP instead");
        net::Address::Dhcp
    })
}

/// The IPv6 addresses of the card with that number: the first has the configured one, if there is one.
pub fn ipv6(config: &Config, number: usize) -> net::Ipv6 {
    let ip = &config.ip6;
    if !ip.enable {
        return net::Ipv6::Off;
    }
    let fixed = ip.ipaddr.filter(|_| number == 0).map(|address| net::Ipv6Static {
        address,
        prefix: ip.prefix,
        gateway: ip.gateway,
    });
    net::Ipv6::On(net::Ipv6Config {
        slaac: ip.use_slaac,
        fixed,
        stable_key: stable_key(config),
    })
}

/// The DNS servers of the card with that number, in the order in which they are asked: only the first card has configured
/// ones.
pub fn dns(config: &Config, number: usize) -> [Option<IpAddr>; 2] {
    let v6 = config.ip6.dns.filter(|_| config.ip6.enable).map(IpAddr::V6);
    [config.ip.dns.map(IpAddr::V4), v6].map(|server| server.filter(|_| number == 0))
}

/// The secret of RFC 7217, from the server's private key, since nothing else is both secret and the same at every boot.
/// Without one, or with one that is made at boot, the interface identifiers are others at every boot.
fn stable_key(config: &Config) -> [u8; 16] {
    let Some(private) = config.tls.srv_key.iter().find(|private| !private.is_generated()) else {
        return key();
    };
    let mut hasher = Hasher::new(HashAlgorithm::Sha256);
    hasher.update(b"postern interface identifiers (RFC 7217)");
    hasher.update(&private.der);
    let hash = hasher.finish();
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

/// A secret for an interface; from the clock where there is no entropy, and therefore no TLS.
pub fn key() -> [u8; 16] {
    let mut key = u128::from(clock::tsc()).to_le_bytes();
    if let Ok(mut rng) = entropy::rng() {
        rng.fill_bytes(&mut key);
    }
    key
}

/// A seed for random intervals and names; from the clock where there is no entropy, and therefore no TLS.
pub fn seed() -> u64 {
    entropy::rng().map_or_else(|_| clock::tsc(), |mut rng| rng.next_u64())
}

/// Sends the log to the syslog server, forever.
pub async fn send_log(netif: Netif, settings: syslog::Settings) {
    let clock = || clock::unix_time().ok();
    match syslog::run(netif, settings, "postern", clock, LogLines { next: 0 }).await {}
}

/// The lines of the log ring, from the first that is left.
struct LogLines {
    next: u64,
}

impl syslog::Source for LogLines {
    async fn next(&mut self, text: &mut heapless::String<{ syslog::MAX_TEXT }>) -> (::log::Level, u64) {
        loop {
            if let Some(line) = log::read_from(self.next) {
                if line.missed > 0 {
                    self.next = line.number;
                    let _ = write!(text, "{} overwritten before being sent", Count(line.missed, "log line"));
                    return (::log::Level::Warn, 0);
                }
                self.next = line.number + 1;
                // A line of the log is shorter than one of syslog may be.
                let _ = text.push_str(&line.text);
                let age = clock::now().saturating_sub(line.uptime.as_micros()) / 1_000_000;
                return (line.level, age);
            }
            log::news(self.next).await;
        }
    }
}
