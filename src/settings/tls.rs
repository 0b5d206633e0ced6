//! From the configuration to what TLS wants: identities, trust, or why there is none.

use postern::config::{self, Choice as _, Config, Ders, Identities, MAX_IDENTITIES, Scratch};
use postern::echo::secure::Mutual;
use postern::machine::{clock, entropy};
use postern::pki::cert::Date;
use postern::pki::crl::Crl;
use postern::pki::verify::{MAX_ANCHORS, MAX_CRLS, Mode, PeerIdentity, Trust, root_fault, subject_of};
use postern::tls::{self, ClientAuth, ClientConfig, KeyLog, ServerConfig, Tickets};

use super::now;
use crate::memory::Memory;

/// What TLS is made of.
pub(crate) struct Tls {
    /// The server's part, or why none can be served.
    pub(crate) server: Result<Identity, &'static str>,
    /// The client's part, or why there is none.
    pub(crate) client: Result<Client, &'static str>,
    /// Whom both trust, if a CA is configured.
    pub(crate) trust: Option<&'static Trust<'static>>,
}

/// What the TLS server is made of.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) config: ServerConfig<'static>,
    /// Where both sides must prove who they are, whatever `.tls.client_auth` says; or why that cannot be.
    pub(crate) mutual: Result<Mutual<'static>, &'static str>,
    pub(crate) rng: entropy::Rng,
}

/// What the TLS client is made of.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    /// Any name will do: each connection asks for its own.
    pub(crate) config: ClientConfig<'static>,
    /// Whether a server has to prove the address by which it is dialled, where no name is asked for.
    pub(crate) named: bool,
    pub(crate) rng: entropy::Rng,
}

// What the configuration holds can be used.
const _: () = assert!(config::MAX_CERTIFICATES <= MAX_ANCHORS && config::MAX_CRLS <= MAX_CRLS);

const SHORT: &str = "not enough memory for the certificates";
const UNUSABLE: &str = "a certificate or private key cannot be used: see the log of the start";

/// Makes what TLS needs, and says what that is.
pub(crate) fn prepare(config: &'static Config, memory: &mut Memory) -> Tls {
    let parts = ready().and_then(|rng| Ok((rng, trust(config, memory)?)));
    let (rng, trust) = match parts {
        Ok(parts) => parts,
        Err(why) => {
            return Tls {
                server: Err(why),
                client: Err(why),
                trust: None,
            };
        }
    };
    if config.tls.keylog {
        ::log::warn!("tls: .tls.keylog is 1: whoever reads this log can decrypt every connection");
    }
    let tls = Tls {
        server: server(config, trust, rng, memory),
        client: client(config, trust, rng, memory),
        trust,
    };
    if tls.server.is_ok() || tls.client.is_ok() {
        report_trust(config);
    }
    tls
}

/// Random numbers, if there are any; and the clock must be right.
fn ready() -> Result<entropy::Rng, &'static str> {
    let rng = entropy::rng().map_err(
        |_| "no entropy: give the machine a CPU with RDRAND (-cpu max) or an entropy device (-device virtio-rng-pci)",
    )?;
    match clock::unix_time() {
        Ok(_) => Ok(rng),
        Err(clock::DateError::NoClock) => Err("no date: the machine has no real-time clock"),
        Err(clock::DateError::BeforeBuild(_)) => Err("the real-time clock is wrong: its date is before the build's"),
    }
}

/// Whom to trust, if a CA is configured.
fn trust(config: &'static Config, memory: &mut Memory) -> Result<Option<&'static Trust<'static>>, &'static str> {
    if config.tls.ca_cert.is_empty() {
        return Ok(None);
    }
    let mode = match config.tls.verify {
        config::Verify::Pinned => Mode::Pinned,
        config::Verify::Strict | config::Verify::Pki => Mode::Strict,
    };
    let mut trust = Trust::new(list(&config.tls.ca_cert, memory)?)
        .with_crls(list(&config.tls.crl, memory)?)
        .with_mode(mode);
    if !config.tls.allow.is_empty() {
        let mut iter = config.tls.allow.iter();
        let allowed = memory.slice(config.tls.allow.len(), |_| {
            iter.next().map_or("", |subject| subject.as_str())
        });
        trust = trust.with_allowed(allowed.map_err(|_| SHORT)?);
    }
    checked(trust, memory).map(Some)
}

/// By whom servers are judged: by whom everybody is, and by `.tls.root_certs`.
fn roots(
    config: &'static Config,
    trust: Option<&'static Trust<'static>>,
    memory: &mut Memory,
) -> Result<Option<&'static Trust<'static>>, &'static str> {
    if config.tls.root_certs.is_empty() {
        return Ok(trust);
    }
    let trust = match trust {
        Some(trust) => *trust,
        None => Trust::new(&[]).with_crls(list(&config.tls.crl, memory)?),
    };
    checked(trust.with_roots(usable(config, memory)?), memory).map(Some)
}

/// Those of the bundle that can be used; says which cannot.
fn usable(config: &Config, memory: &mut Memory) -> Result<&'static [&'static [u8]], &'static str> {
    // As many as a person wants to read of.
    const MOST: usize = 8;
    let bundle = &config.tls.root_certs;
    if bundle.ders().is_empty() {
        return Err("not enough memory for .tls.root_certs");
    }
    let mut skipped = 0;
    let mut usable = heapless::Vec::<&'static [u8], { config::MAX_ROOTS }>::new();
    for der in bundle.ders() {
        let Some(fault) = root_fault(der, now().now) else {
            let _ = usable.push(der); // there are no more of them than fit
            continue;
        };
        skipped += 1;
        if skipped <= MOST {
            ::log::warn!("tls: .tls.root_certs: {} is left out: {fault}", subject_of(der));
        }
    }
    if skipped > 0 {
        ::log::warn!("tls: .tls.root_certs: {skipped} of {} are left out", bundle.len());
    }
    if usable.is_empty() && config.tls.ca_cert.is_empty() {
        return Err("no CA is left to judge servers by: none of .tls.root_certs can be used");
    }
    ::log::info!(
        "tls: of servers trusts {} more CA{}",
        usable.len(),
        plural(usable.len())
    );
    let mut iter = usable.iter().copied();
    let list = memory.slice(usable.len(), |_| iter.next().unwrap_or_default());
    Ok(list.map_err(|_| SHORT)?)
}

/// Puts the bundle of `config`, which was read from `text`, into memory of its own.
pub(crate) fn keep_roots(config: &mut Config, text: &[u8], scratch: &mut Scratch, memory: &mut Memory) {
    let bundle = &mut config.tls.root_certs;
    if bundle.is_empty() {
        return;
    }
    let space = memory.buffer(bundle.der_len());
    let ders = memory.slice(bundle.len(), |_| &[][..]);
    let (Ok(mut space), Ok(ders)) = (space, ders) else {
        ::log::error!(
            ".tls.root_certs: {} certificates of together {} KiB do not fit into the memory: give the machine more (-m)",
            bundle.len(),
            bundle.der_len() / 1024
        );
        return;
    };
    let mut places = ders.iter_mut();
    let result = bundle.read(text, scratch, &mut |der| {
        let parts = core::mem::take(&mut space).split_at_mut_checked(der.len());
        // There is as much room as was counted.
        let (Some(place), Some((mine, rest))) = (places.next(), parts) else {
            return;
        };
        mine.copy_from_slice(der);
        (*place, space) = (mine, rest);
    });
    match result {
        Ok(()) => bundle.keep(ders),
        // It was read from the same text before.
        Err(error) => ::log::error!("{}", error.at("defconfig")),
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// Keeps what can be used.
fn checked(trust: Trust<'static>, memory: &mut Memory) -> Result<&'static Trust<'static>, &'static str> {
    trust
        .check()
        .map_err(|_| "a CA certificate or revocation list cannot be used: see the log of the start")?;
    Ok(memory.value(trust).map_err(|_| SHORT)?)
}

fn server(
    config: &'static Config,
    trust: Option<&'static Trust<'static>>,
    mut rng: entropy::Rng,
    memory: &mut Memory,
) -> Result<Identity, &'static str> {
    if config.tls.srv_cert.is_empty() {
        return Err("no server certificate is configured: .tls.srv_cert and .tls.srv_key are empty");
    }
    let client_auth = match (config.tls.client_auth, trust) {
        (config::ClientAuth::Off, _) => ClientAuth::Off,
        (config::ClientAuth::Optional, Some(trust)) => ClientAuth::Optional(trust),
        (config::ClientAuth::Required, Some(trust)) => ClientAuth::Required(trust),
        (_, None) => return Err("clients cannot be asked for certificates: .tls.ca_cert is empty"),
    };
    let found = config.server().map_err(|_| UNUSABLE)?;
    let identities = identities::<MAX_IDENTITIES>(found, &config.tls.srv_cert, "serving", memory)?;
    ::log::info!("tls: client authentication {}", config.tls.client_auth.name());
    let tickets = Tickets::new(&mut rng, now().now).map_err(|_| "tickets cannot be sealed")?;
    let tickets = memory.value(tickets).map_err(|_| SHORT)?;
    let mut server = ServerConfig::new(identities, now()).map_err(|_| UNUSABLE)?;
    if config.tls.keylog {
        server = server.with_key_log(&LogSecrets);
    }
    let mutual = match (trust, identities.first()) {
        (Some(trust), Some(identity)) => {
            // Whoever is there is served, also as the server in TLS.
            let judge = &*memory.value(trust.with_servers_allowed()).map_err(|_| SHORT)?;
            let mut client = ClientConfig::new(judge, None, now()).with_identity(*identity);
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

fn client(
    config: &'static Config,
    trust: Option<&'static Trust<'static>>,
    rng: entropy::Rng,
    memory: &mut Memory,
) -> Result<Client, &'static str> {
    let trust =
        roots(config, trust, memory)?.ok_or("no CA is configured to judge servers by: .tls.ca_cert is empty")?;
    let found = config.client().map_err(|_| UNUSABLE)?;
    let identities = identities::<1>(found, &config.tls.cli_cert, "client is", memory)?;
    let mut client = ClientConfig::new(trust, None, now());
    if let Some(identity) = identities.first() {
        client = client.with_identity(*identity);
    }
    if config.tls.keylog {
        client = client.with_key_log(&LogSecrets);
    }
    let named = config.tls.verify == config::Verify::Pki;
    Ok(Client {
        config: client,
        named,
        rng,
    })
}

/// Puts chains and keys together, and says of each what it is.
fn identities<const N: usize>(
    found: Identities<N>,
    chain: &'static Ders,
    role: &str,
    memory: &mut Memory,
) -> Result<&'static [tls::Identity<'static>], &'static str> {
    let certificates = list(chain, memory)?;
    let keys = &*memory.value(found.keys).map_err(|_| SHORT)?;
    let mut identities = heapless::Vec::<tls::Identity<'static>, N>::new();
    for part in &found.parts {
        let chain = certificates.get(part.certificates.clone()).unwrap_or_default();
        let (Some(leaf), Some(key)) = (chain.first(), keys.get(part.key)) else {
            return Err(UNUSABLE);
        };
        let identity = tls::Identity::new(chain, key).map_err(|_| "a certificate chain is longer than 64 KiB")?;
        let whose = PeerIdentity::from_leaf(leaf).map_err(|_| UNUSABLE)?;
        let (subject, until) = (whose.subject, Date(whose.not_after));
        let level = if whose.not_after < now().now {
            ::log::Level::Warn
        } else {
            ::log::Level::Info
        };
        ::log::log!(level, "tls: {role} {subject}, {}, good until {until}", key.algorithm());
        let _ = identities.push(identity); // there are no more parts than fit
    }
    Ok(memory.value(identities).map_err(|_| SHORT)?)
}

fn list(ders: &'static Ders, memory: &mut Memory) -> Result<&'static [&'static [u8]], &'static str> {
    let mut iter = ders.iter();
    let list = memory.slice(ders.len(), |_| iter.next().unwrap_or_default());
    Ok(list.map_err(|_| SHORT)?)
}

/// Says by what certificates of peers are judged, and which lists are out of date.
fn report_trust(config: &Config) {
    let (cas, lists) = (config.tls.ca_cert.len(), config.tls.crl.len());
    ::log::info!(
        "tls: trusts {cas} CA{}, {} verification, {lists} revocation list{}",
        plural(cas),
        config.tls.verify.name(),
        plural(lists)
    );
    let allowed = config.tls.allow.len();
    if allowed > 0 {
        ::log::info!("tls: of clients lets in {allowed} by name or key");
    }
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
