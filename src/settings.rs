//! From the configuration to what the rooms want.

mod generation;
mod report;
pub(crate) mod store;
mod time;
pub(crate) mod tls;

use core::fmt::Write as _;

use postern::client::{Protocol, TlsClient, outbound_len};
use postern::config::{Config, Path, Scratch};
use postern::dial::{self, Proxy};
use postern::endpoint::traces::Traces;
use postern::log;
use postern::machine::{clock, entropy};
use postern::net::{self, Kind, Netif, syslog};
use postern::nic;
use postern::pki::text::Count;
use postern::pki::verify::Trust;
use postern::selftest::{self, SelfTest};
use postern::serve::Service;
use postern::serve::reverse;
use postern::serve::secure::TlsWorker;
use postern::shell::secure::SESSION_SLOTS;
use postern::tls::{MIN_OUTBOUND, ServerConfig};
use rand_core::Rng as _;

pub(crate) use self::store::Store;
pub(crate) use self::time::{now, seconds};
pub(crate) use self::tls::{Identity, KEY_LOG, Tls};
use crate::memory::{self, Memory};

/// The configuration that was baked in when the image was built.
const BAKED: &str = include_str!(concat!(env!("OUT_DIR"), "/defconfig.baked"));

/// The throw-away certificates, as members of a defconfig; nothing where the baked configuration has its own.
const THROW_AWAY: &str = include_str!(concat!(env!("OUT_DIR"), "/throwaway.baked"));

/// The boot module's configuration, if there is one and it is good; else the baked one.
pub(crate) fn load(module: Option<&'static [u8]>, memory: &mut Memory) -> &'static Config {
    // Too large for the stack.
    let config = memory.slice(1, |_| Config::new()).map(<[_]>::first_mut);
    let scratch = memory.slice(1, |_| Scratch::new()).map(<[_]>::first_mut);
    let (Ok(Some(config)), Ok(Some(scratch))) = (config, scratch) else {
        panic!("no memory for the configuration: give the machine more (-m)");
    };
    if let Some(text) = module {
        match read(config, text, scratch) {
            Ok(()) => {
                ::log::info!("configured by the boot module ({})", Count::of(text.len(), "byte"));
                lend_throw_away(config, scratch);
                tls::keep_roots(config, text, scratch, memory);
                review(config);
                return config;
            }
            Err(error) => {
                ::log::error!("boot module refused: {}", error.at("defconfig"));
                ::log::error!("the baked configuration serves");
            }
        }
        config.reset();
    }
    if let Err(error) = read(config, BAKED.as_bytes(), scratch) {
        // What was good when it was built can have expired since.
        ::log::error!("baked configuration: {}", error.at("defconfig"));
    }
    tls::keep_roots(config, BAKED.as_bytes(), scratch, memory);
    review(config);
    if !THROW_AWAY.is_empty() {
        ::log::info!("tls: these are throw-away certificates, made by the build: clients trust target/pki/RootCA.pem");
    }
    config
}

/// Has a boot module without certificates serve with the throw-away ones of the build, if that has made any.
fn lend_throw_away(config: &mut Config, scratch: &mut Scratch) {
    // One that names roots has said what it trusts.
    let trusts = config.places.get(Path::RootCerts).is_some();
    if !config.is_anonymous() || trusts || THROW_AWAY.is_empty() {
        return;
    }
    let (now, built) = (clock::unix_time().unwrap_or(clock::BUILT), clock::BUILT);
    match config.take_throw_away(THROW_AWAY.as_bytes(), scratch, now, built) {
        Ok(()) => ::log::warn!(
            "tls: the boot module has no certificates: the throw-away ones of the build serve, and clients of that CA are \
             let in (target/pki/RootCA.pem)"
        ),
        Err(error) => ::log::error!("tls: throw-away certificates: {error}"),
    }
}

/// Reports what is unwise in a configuration, and lists of `.tls.root_certs` that cannot be used, which are known only now.
fn review(config: &Config) {
    if !config.tls.root_certs.is_empty()
        && let Err(error) = config.check_lists()
    {
        ::log::error!("tls: {}", error.at("defconfig"));
    }
    config.warnings(&mut |warning| ::log::warn!("tls: {}", warning.at("defconfig")));
}

fn read(config: &mut Config, text: &[u8], scratch: &mut Scratch) -> Result<(), postern::config::Error> {
    config.parse(text, scratch)?;
    // Dates cannot be judged by a clock that is wrong; whoever wants TLS is told so.
    config.check(clock::unix_time().unwrap_or(clock::BUILT), clock::BUILT)
}

/// Says to the service what it can serve from now on.
pub(crate) fn set_tls(service: &Service<Netif>, store: &'static Store) {
    store.look(|tls| {
        service.set_tls(tls.server.map(drop));
        service.set_mutual_tls(tls.server.and_then(|identity| identity.mutual.map(drop)));
    });
}

/// A worker of the echo service; without TLS where that cannot be served.
pub(crate) fn worker<'a>(
    tls: &Tls<'a>,
    (traces, pages): (&'static Traces, &'static Traces),
    [inbound, outbound]: [&'a mut [u8]; 2],
) -> TlsWorker<'a, entropy::Rng> {
    let Ok(Identity { config, mutual, rng }) = tls.server else {
        return TlsWorker::plain(inbound);
    };
    match TlsWorker::new(config, now, inbound, outbound, rng) {
        Ok(worker) => worker.with_mutual(mutual.ok()).with_traces(traces, pages),
        // The buffers are as large as it asks for: see `memory`.
        Err(error) => {
            ::log::error!("TLS worker: {error}");
            TlsWorker::plain(&mut [])
        }
    }
}

/// The buffers of the TLS client.
pub(crate) fn client_buffers(
    store: &'static Store,
    memory: &mut Memory,
) -> Result<[&'static mut [u8]; 2], memory::Short> {
    let outbound = store.look(|tls| tls.client.map_or(0, |client| outbound_len(&client.config)));
    let outbound = outbound.max(memory::outbound(store));
    Ok([memory.buffer(memory::WORKER_INBOUND)?, memory.buffer(outbound)?])
}

/// What the TLS client speaks, or why it cannot.
pub(crate) fn client_protocol<'a>(
    tls: &Tls<'a>,
    traces: &'static Traces,
    [inbound, outbound]: [&'a mut [u8]; 2],
) -> Protocol<'a, entropy::Rng> {
    match tls.client {
        Ok(tls::Client { config, named, rng, .. }) => Protocol::Tls(
            TlsClient::new(config, now, tls.handshake, rng, inbound, outbound)
                .with_names(named)
                .with_traces(traces),
        ),
        Err(why) => Protocol::Unable(why),
    }
}

/// The buffer of the self-test.
pub(crate) fn selftest_buffer(store: &'static Store, memory: &mut Memory) -> Result<&'static mut [u8], memory::Short> {
    let least = store.look(|tls| selftest::buffer_len(&tls.server.map(|identity| identity.config)));
    // Whatever can be reloaded can be tested, whatever is served at the start.
    let most = match store.can_change() {
        true => selftest::buffer_len_for(memory::OUTBOUND),
        false => 0,
    };
    memory.buffer(least.max(most))
}

/// The self-test of what TLS is made of.
pub(crate) fn selftest<'a>(tls: &Tls<'a>, buffer: &'a mut [u8]) -> SelfTest<'a, entropy::Rng> {
    SelfTest {
        buffer,
        server: tls.server.map(|identity| identity.config),
        trust: tls.trust.copied().unwrap_or(Trust::new(&[])),
        clock: now,
        random: || entropy::rng().map_err(|_| "no entropy"),
        micros: clock::now,
    }
}

/// The buffers of the slots of the debug shell over TLS, for each of so many cards; none where it is not configured, or
/// cannot be.
pub(crate) fn secure_shell(
    config: &Config,
    store: &'static Store,
    cards: usize,
    memory: &mut Memory,
) -> Result<heapless::Vec<[[&'static mut [u8]; 2]; SESSION_SLOTS], { nic::MAX_CARDS }>, memory::Short> {
    let mut all = heapless::Vec::new();
    if config.vmm.tls_dbgsh == 0 {
        return Ok(all);
    }
    let flight = match store.look(|tls| Ok(session_slot(&tls)?.0.flight_len())) {
        Ok(flight) => flight,
        Err(why) => {
            let why: &str = why;
            ::log::error!("debug shell over TLS not started: {why}");
            return Ok(all);
        }
    };
    let outbound = flight.max(MIN_OUTBOUND).max(memory::outbound(store));
    for _ in 0..cards {
        let mut slots = heapless::Vec::<_, SESSION_SLOTS>::new();
        for _ in 0..SESSION_SLOTS {
            let slot = [memory.buffer(memory::WORKER_INBOUND)?, memory.buffer(outbound)?];
            let _ = slots.push(slot); // there are as many as fit
        }
        if let Ok(slots) = slots.into_array() {
            let _ = all.push(slots); // there are no more cards than fit
        }
    }
    Ok(all)
}

/// With what a slot of the debug shell over TLS serves.
pub(crate) fn session_slot<'a>(tls: &Tls<'a>) -> Result<(ServerConfig<'a>, entropy::Rng), &'static str> {
    let identity = tls.server?;
    Ok((identity.mutual?.server, identity.rng))
}

/// Has those dialled whom the configuration names, once there is an address to dial from; over TLS only where that is
/// `fit`.
pub(crate) async fn dial(
    config: &'static Config,
    netifs: &'static [Netif],
    service: &'static Service<Netif>,
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
        let target = reverse::Target {
            host: wanted
                .ipaddr
                .map_or(dial::Host::Name(&wanted.host), dial::Host::Address),
            port: wanted.port,
            netif: Some(wanted.netif.as_str()).filter(|name| !name.is_empty()),
            every: seconds(wanted.every),
            role: wanted.role,
            direct: wanted.direct,
        };
        if kind == Kind::Tls && !fit {
            ::log::error!(
                ".echo.reverse {number}: {}:{} is not dialled: the self-test failed",
                target.host,
                target.port
            );
        } else if let Err(error) = service.reverse(kind, target) {
            ::log::error!(
                ".echo.reverse {number}: {}:{} is not dialled: {error}",
                target.host,
                target.port
            );
        }
    }
}

/// The proxy through which is dialled, if there is one.
pub(crate) fn proxy(config: &Config, memory: &mut Memory) -> Result<Option<&'static Proxy>, memory::Short> {
    let Some(proxy) = Proxy::from_config(&config.proxy, seed) else {
        return Ok(None);
    };
    let proxy: &'static Proxy = memory.value(proxy)?;
    let login = if proxy.has_login() { ", with a login" } else { "" };
    ::log::info!("proxy: {proxy}{login}");
    Ok(Some(proxy))
}

/// The address of the card with that number: the first has the configured one, others ask DHCP.
pub(crate) fn address(config: &Config, number: usize) -> net::Address {
    if number > 0 {
        return net::Address::Dhcp;
    }
    net::Address::from_config(&config.ip).unwrap_or_else(|error| {
        ::log::error!(".ip: {error}; using DHCP instead");
        net::Address::Dhcp
    })
}

/// A secret for an interface. Without entropy the clock has to do; there is no TLS then.
pub(crate) fn key() -> [u8; 16] {
    let mut key = u128::from(clock::tsc()).to_le_bytes();
    if let Ok(mut rng) = entropy::rng() {
        rng.fill_bytes(&mut key);
    }
    key
}

/// A seed for random intervals and names. Without entropy the clock has to do; there is no TLS then.
pub(crate) fn seed() -> u64 {
    entropy::rng().map_or_else(|_| clock::tsc(), |mut rng| rng.next_u64())
}

/// Sends the log to the syslog server, for ever.
pub(crate) async fn send_log(netif: Netif, settings: syslog::Settings) {
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
