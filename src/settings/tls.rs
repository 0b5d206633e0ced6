//! From the configuration to what TLS wants: identities, trust, or why there is none.

use embassy_time::Duration;
use postern::config::{self, Choice as _, Config, Ders, Identities, MAX_CERTIFICATES, MAX_IDENTITIES};
use postern::crypto::key::SigningKey;
use postern::echo::secure::Mutual;
use postern::machine::{clock, entropy};
use postern::pki::cert::Date;
use postern::pki::crl::Crl;
use postern::pki::verify::{MAX_ANCHORS, MAX_CRLS, Mode, PeerIdentity, Trust};
use postern::tls::{self, ClientAuth, ClientConfig, KeyLog, ServerConfig};

use super::store::Generation;
use super::{now, seconds};

/// What TLS is made of.
#[derive(Clone, Copy)]
pub(crate) struct Tls<'a> {
    /// The server's part, or why none can be served.
    pub(crate) server: Result<Identity<'a>, &'static str>,
    /// The client's part, or why there is none.
    pub(crate) client: Result<Client<'a>, &'static str>,
    /// Whom both trust, if a CA is configured.
    pub(crate) trust: Option<&'a Trust<'a>>,
    /// How long a handshake may take.
    pub(crate) handshake: Duration,
}

/// What the TLS server is made of.
#[derive(Clone, Copy)]
pub(crate) struct Identity<'a> {
    pub(crate) config: ServerConfig<'a>,
    /// Where both sides must prove who they are, whatever `.tls.client_auth` says; or why that cannot be.
    pub(crate) mutual: Result<Mutual<'a>, &'static str>,
    pub(crate) rng: entropy::Rng,
}

/// What the TLS client is made of.
#[derive(Clone, Copy)]
pub(crate) struct Client<'a> {
    /// Any name will do: each connection asks for its own.
    pub(crate) config: ClientConfig<'a>,
    pub(crate) rng: entropy::Rng,
}

// What the configuration holds can be used.
const _: () = assert!(MAX_CERTIFICATES <= MAX_ANCHORS && config::MAX_CRLS <= MAX_CRLS);

pub(crate) const UNUSABLE: &str = "a certificate or private key cannot be used: see the log of the start";

/// The certificates of a configuration, one by one.
pub(crate) struct Lists<'g> {
    srv: List<'g>,
    cli: List<'g>,
    ca: List<'g>,
    crl: List<'g>,
}

type List<'g> = heapless::Vec<&'g [u8], MAX_CERTIFICATES>;

/// What is made of [`Lists`] and keys.
pub(crate) struct Parts<'l> {
    trust: Result<Option<Trust<'l>>, &'static str>,
    server: Result<heapless::Vec<tls::Identity<'l>, MAX_IDENTITIES>, &'static str>,
    client: Result<heapless::Vec<tls::Identity<'l>, 1>, &'static str>,
}

impl<'g> Lists<'g> {
    pub(crate) fn of(generation: Option<&'g Generation>) -> Self {
        let list = |ders: fn(&config::Tls) -> &Ders| match generation {
            Some(generation) => ders(&generation.config().tls).iter().collect(),
            None => List::new(),
        };
        Self {
            srv: list(|tls| &tls.srv_cert),
            cli: list(|tls| &tls.cli_cert),
            ca: list(|tls| &tls.ca_cert),
            crl: list(|tls| &tls.crl),
        }
    }

    pub(crate) fn parts<'l>(&'l self, generation: Option<&'l Generation>) -> Parts<'l> {
        let Some(generation) = generation else {
            return Parts {
                trust: Err(UNUSABLE),
                server: Err(UNUSABLE),
                client: Err(UNUSABLE),
            };
        };
        Parts {
            trust: self.trust(generation.config()),
            server: identities(&generation.server, &self.srv),
            client: identities(&generation.client, &self.cli),
        }
    }

    /// Whom to trust, if a CA is configured.
    fn trust(&self, config: &Config) -> Result<Option<Trust<'_>>, &'static str> {
        if self.ca.is_empty() {
            return Ok(None);
        }
        let mode = match config.tls.verify {
            config::Verify::Pinned => Mode::Pinned,
            config::Verify::Strict => Mode::Strict,
        };
        let trust = Trust::new(&self.ca).with_crls(&self.crl).with_mode(mode);
        trust
            .check()
            .map_err(|_| "a CA certificate or revocation list cannot be used: see the log of the start")?;
        Ok(Some(trust))
    }
}

/// Puts chains and keys together.
fn identities<'l, const N: usize>(
    found: &'l Result<Identities<N>, &'static str>,
    list: &'l List<'_>,
) -> Result<heapless::Vec<tls::Identity<'l>, N>, &'static str> {
    let found = found.as_ref().map_err(|why| *why)?;
    let mut identities = heapless::Vec::new();
    for part in &found.parts {
        let chain = list.get(part.certificates.clone()).unwrap_or_default();
        let key = found.keys.get(part.key).ok_or(UNUSABLE)?;
        let identity = tls::Identity::new(chain, key).map_err(|_| "a certificate chain is longer than 64 KiB")?;
        let _ = identities.push(identity); // there are no more parts than fit
    }
    Ok(identities)
}

/// The chains of a role: leaf, key, and how many certificates.
pub(super) fn chains<const N: usize>(
    found: &Result<Identities<N>, &'static str>,
    ders: &Ders,
    each: &mut dyn FnMut(&[u8], &SigningKey, usize),
) {
    for part in found.iter().flat_map(|found| &found.parts) {
        let key = found.as_ref().ok().and_then(|found| found.keys.get(part.key));
        if let (Some(leaf), Some(key)) = (ders.iter().nth(part.certificates.start), key) {
            each(leaf, key, part.certificates.len());
        }
    }
}

impl<'a> Tls<'a> {
    pub(crate) fn of(generation: Option<&'a Generation>, parts: &'a Parts<'a>) -> Self {
        let none = |why| Self {
            server: Err(why),
            client: Err(why),
            trust: None,
            handshake: seconds(None, HANDSHAKE),
        };
        let Some(generation) = generation else {
            return none(UNUSABLE);
        };
        let ready = generation
            .rng
            .and_then(|rng| Ok((rng, parts.trust.as_ref().map_err(|why| *why)?)));
        let (rng, trust) = match ready {
            Ok((rng, trust)) => (rng, trust.as_ref()),
            Err(why) => return none(why),
        };
        Self {
            server: server(generation, trust, parts, rng),
            client: client(generation, trust, parts, rng),
            trust,
            handshake: handshake(&generation.config().tls),
        }
    }

    /// Says what TLS is made of.
    pub(crate) fn announce(&self, generation: &Generation) {
        let config = generation.config();
        if generation.rng.is_ok() && config.tls.keylog {
            ::log::warn!("tls: .tls.keylog is 1: whoever reads this log can decrypt every connection");
        }
        if self.server.is_ok() {
            chains(&generation.server, &config.tls.srv_cert, &mut |leaf, key, _| {
                say("serving", leaf, key)
            });
            ::log::info!("tls: client authentication {}", config.tls.client_auth.name());
        }
        if self.client.is_ok() {
            chains(&generation.client, &config.tls.cli_cert, &mut |leaf, key, _| {
                say("client is", leaf, key)
            });
        }
        if self.server.is_ok() || self.client.is_ok() {
            report_trust(config);
        }
    }
}

/// Says of a chain whose it is, and until when.
fn say(role: &str, leaf: &[u8], key: &SigningKey) {
    let Ok(whose) = PeerIdentity::from_leaf(leaf) else {
        return;
    };
    let (subject, until) = (whose.subject, Date(whose.not_after));
    let level = if whose.not_after < now().now {
        ::log::Level::Warn
    } else {
        ::log::Level::Info
    };
    ::log::log!(level, "tls: {role} {subject}, {}, good until {until}", key.algorithm());
}

/// How long a handshake may take.
pub(super) fn handshake(tls: &config::Tls) -> Duration {
    seconds(tls.handshake_timeout, HANDSHAKE)
}

/// How long a handshake may take where nothing is configured, in seconds.
const HANDSHAKE: u32 = 10;

/// Random numbers, if there are any; and the clock must be right.
pub(super) fn ready() -> Result<entropy::Rng, &'static str> {
    let rng = entropy::rng().map_err(
        |_| "no entropy: give the machine a CPU with RDRAND (-cpu max) or an entropy device (-device virtio-rng-pci)",
    )?;
    match clock::unix_time() {
        Ok(_) => Ok(rng),
        Err(clock::DateError::NoClock) => Err("no date: the machine has no real-time clock"),
        Err(clock::DateError::BeforeBuild(_)) => Err("the real-time clock is wrong: its date is before the build's"),
    }
}

fn server<'a>(
    generation: &'a Generation,
    trust: Option<&'a Trust<'a>>,
    parts: &'a Parts<'a>,
    rng: entropy::Rng,
) -> Result<Identity<'a>, &'static str> {
    let config = generation.config();
    if config.tls.srv_cert.is_empty() {
        return Err("no server certificate is configured: .tls.srv_cert and .tls.srv_key are empty");
    }
    let client_auth = match (config.tls.client_auth, trust) {
        (config::ClientAuth::Off, _) => ClientAuth::Off,
        (config::ClientAuth::Optional, Some(trust)) => ClientAuth::Optional(trust),
        (config::ClientAuth::Required, Some(trust)) => ClientAuth::Required(trust),
        (_, None) => return Err("clients cannot be asked for certificates: .tls.ca_cert is empty"),
    };
    let identities = parts.server.as_ref().map_err(|why| *why)?;
    let tickets = generation.tickets.as_ref().ok_or("tickets cannot be sealed")?;
    let mut server = ServerConfig::new(identities, now()).map_err(|_| UNUSABLE)?;
    if config.tls.keylog {
        server = server.with_key_log(&LogSecrets);
    }
    let mutual = match (trust, identities.first()) {
        (Some(trust), Some(identity)) => {
            let mut client = ClientConfig::new(trust, None, now()).with_identity(*identity);
            if config.tls.keylog {
                client = client.with_key_log(&LogSecrets);
            }
            // No tickets: each of these connections is judged anew.
            let server = server.with_client_auth(ClientAuth::Required(trust));
            Ok(Mutual { server, client })
        }
        _ => Err("no CA is configured to judge the other end by: .tls.ca_cert is empty"),
    };
    Ok(Identity {
        config: server.with_client_auth(client_auth).with_tickets(tickets),
        mutual,
        rng,
    })
}

fn client<'a>(
    generation: &'a Generation,
    trust: Option<&'a Trust<'a>>,
    parts: &'a Parts<'a>,
    rng: entropy::Rng,
) -> Result<Client<'a>, &'static str> {
    let trust = trust.ok_or("no CA is configured to judge servers by: .tls.ca_cert is empty")?;
    let identities = parts.client.as_ref().map_err(|why| *why)?;
    let mut client = ClientConfig::new(trust, None, now());
    if let Some(identity) = identities.first() {
        client = client.with_identity(*identity);
    }
    if generation.config().tls.keylog {
        client = client.with_key_log(&LogSecrets);
    }
    Ok(Client { config: client, rng })
}

/// Says by what certificates of peers are judged, and which lists are out of date.
fn report_trust(config: &Config) {
    let (cas, lists) = (config.tls.ca_cert.len(), config.tls.crl.len());
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    ::log::info!(
        "tls: trusts {cas} CA{}, {} verification, {lists} revocation list{}",
        plural(cas),
        config.tls.verify.name(),
        plural(lists)
    );
    for crl in config.tls.crl.iter().filter_map(|der| Crl::from_der(der).ok()) {
        if let Some(date) = crl.next_update.filter(|date| date.0 <= now().now) {
            let issuer = crl.issuer;
            ::log::warn!(
                "tls: the revocation list of {issuer} expired {date}: until .tls.crl has a new one, certificates of that \
                 CA are refused"
            );
        }
    }
}

/// Writes secrets to the log, in the NSS key log format, each line behind `keylog: `.
struct LogSecrets;

impl KeyLog for LogSecrets {
    fn log(&self, label: &str, client_random: &[u8; 32], secret: &[u8]) {
        ::log::info!("keylog: {label} {} {}", Hex(client_random), Hex(secret));
    }
}

struct Hex<'a>(&'a [u8]);

impl core::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
