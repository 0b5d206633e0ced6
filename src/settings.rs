//! From the configuration to what the rooms want.

use embassy_time::Duration;
use postern::config::{Chain, Config, Scratch};
use postern::echo::client::{Speech, TlsClient, outbound_len};
use postern::log;
use postern::machine::{clock, entropy};
use postern::net::{self, Netif, syslog};
use postern::pki::verify::{Clock, Trust};
use postern::tls::{self, ServerConfig, Tickets};
use rand_core::Rng as _;

use crate::memory::{self, Memory};

/// The configuration that was baked in when the image was built.
const BAKED: &str = include_str!(concat!(env!("OUT_DIR"), "/defconfig.baked"));

/// What the TLS server is made of.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) config: ServerConfig<'static>,
    pub(crate) rng: entropy::Rng,
}

/// The boot module's configuration, if there is one and it is good; else the baked one.
pub(crate) fn load(module: Option<&'static [u8]>, memory: &mut Memory) -> &'static Config {
    // Too large for the stack.
    let places = memory.slice(1, |_| (Config::new(), Scratch::new()));
    let Some((config, scratch)) = places.ok().and_then(|places| places.first_mut()) else {
        panic!("no memory for the configuration: give the machine more (-m)");
    };
    if let Some(text) = module {
        match read(config, text, scratch) {
            Ok(()) => {
                ::log::info!("configured by the boot module ({} bytes)", text.len());
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
    config
}

fn read(config: &mut Config, text: &[u8], scratch: &mut Scratch) -> Result<(), postern::config::Error> {
    config.parse(text, scratch)?;
    match clock::unix_time() {
        Ok(now) => config.check(now, clock::BUILT),
        // Dates cannot be judged by a clock that is wrong; whoever wants TLS is told so.
        Err(_) => config.check(clock::BUILT, clock::BUILT),
    }
}

/// What TLS in either role takes: random numbers and the date.
fn tls_basics() -> Result<entropy::Rng, &'static str> {
    let rng = entropy::rng().map_err(
        |_| "no entropy: give the machine a CPU with RDRAND (-cpu max) or an entropy device (-device virtio-rng-pci)",
    )?;
    if let Err(error) = clock::unix_time() {
        return Err(match error {
            clock::DateError::NoClock => "no date: the machine has no real-time clock",
            clock::DateError::BeforeBuild(_) => "the real-time clock is wrong: its date is before the build's",
        });
    }
    Ok(rng)
}

const SHORT: &str = "not enough memory for the certificates";

/// The identity of the TLS server, or why there is none.
pub(crate) fn identity(config: &'static Config, memory: &mut Memory) -> Result<Identity, &'static str> {
    let rng = tls_basics()?;
    if config.tls.srv_cert.is_empty() {
        return Err("no server certificate is configured: .tls.srv_cert and .tls.srv_key are empty");
    }
    let key = match config.signing_key() {
        Ok(Some(key)) => key,
        _ => return Err("the server's private key cannot be used: see the log of the start"),
    };
    let key = memory.value(key).map_err(|_| SHORT)?;
    let chain = certificates(&config.tls.srv_cert, memory)?;
    let mut rng = rng;
    let identity = tls::Identity::new(chain, key).map_err(|_| "the certificate chain cannot be used")?;
    let identities = memory.value([identity]).map_err(|_| SHORT)?;
    let tickets = Tickets::new(&mut rng, now().now).map_err(|_| "tickets cannot be sealed")?;
    let tickets = memory.value(tickets).map_err(|_| SHORT)?;
    let config = ServerConfig::new(identities, now()).map_err(|_| "the certificate chain cannot be used")?;
    Ok(Identity {
        config: config.with_tickets(tickets),
        rng,
    })
}

/// What the TLS client speaks, or why it cannot.
pub(crate) fn tls_client(config: &'static Config, memory: &mut Memory) -> Speech<'static, entropy::Rng> {
    let client = tls_basics().and_then(|rng| {
        if config.tls.ca_cert.is_empty() {
            return Err("no CA is configured: .tls.ca_cert is empty");
        }
        let trust = Trust::new(certificates(&config.tls.ca_cert, memory)?);
        if let Err(error) = trust.check() {
            ::log::error!(".tls.ca_cert: {error}");
            return Err("the configured CA cannot be used: see the log of the start");
        }
        let trust = memory.value(trust).map_err(|_| SHORT)?;
        let inbound = memory.0.buffer(memory::WORKER_INBOUND).map_err(|_| SHORT)?;
        let outbound = memory.0.buffer(outbound_len(trust, None)).map_err(|_| SHORT)?;
        let handshake = seconds(config.tls.handshake_timeout, 10);
        Ok(TlsClient::new(trust, now, handshake, rng, inbound, outbound))
    });
    match client {
        Ok(client) => Speech::Tls(client),
        Err(why) => Speech::Unable(why),
    }
}

/// The certificates of a PEM, each as a slice of its own.
fn certificates(chain: &'static Chain, memory: &mut Memory) -> Result<&'static [&'static [u8]], &'static str> {
    let mut certificates = chain.iter();
    let all = memory.slice(chain.iter().count(), |_| certificates.next().unwrap_or_default());
    all.map(|all| &*all).map_err(|_| SHORT)
}

/// The time by which certificates are judged. A clock that is wrong tells a time that no certificate outlives.
pub(crate) fn now() -> Clock {
    Clock {
        now: clock::unix_time().unwrap_or(0),
        floor: clock::BUILT,
    }
}

/// The address of the card with that number: the first has the configured one, others ask DHCP.
pub(crate) fn address(config: &Config, number: usize) -> net::Address {
    if number > 0 {
        return net::Address::Dhcp;
    }
    net::Address::from_config(&config.ip).unwrap_or_else(|error| {
        ::log::error!(".ip: {error:?}; asking DHCP instead");
        net::Address::Dhcp
    })
}

/// Where sequence numbers begin. Without entropy the clock has to do; there is no TLS then.
pub(crate) fn seed() -> u64 {
    entropy::rng().map_or_else(|_| clock::tsc(), |mut rng| rng.next_u64())
}

/// A number of seconds, or the default.
pub(crate) fn seconds(configured: Option<u32>, default: u32) -> Duration {
    Duration::from_secs(configured.unwrap_or(default).into())
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
    async fn next(&mut self, text: &mut heapless::String<{ syslog::MAX_TEXT }>) -> ::log::Level {
        loop {
            if let Some(line) = log::read_from(self.next) {
                self.next = line.number + 1;
                // A line of the log is shorter than one of syslog may be.
                let _ = text.push_str(&line.text);
                return line.level;
            }
            log::news(self.next).await;
        }
    }
}
