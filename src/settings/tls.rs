//! From the configuration to what TLS wants: identities, trust, or why there is none.

use embassy_time::Duration;
use postern::config::{
    self, Choice as _, Config, Ders, Identities, MAX_ALLOWED, MAX_CERTIFICATES, MAX_IDENTITIES, Scratch,
};
use postern::crypto::key::SigningKey;
use postern::machine::{clock, entropy};
use postern::pki::cert::{Certificate, Date};
use postern::pki::crl::{self, Crl};
use postern::pki::text::Hex;
use postern::pki::verify::{MAX_ANCHORS, MAX_CRLS, Mode, PeerIdentity, SignedCrls, Trust, root_fault, subject_of};
use postern::serve::secure::Mutual;
use postern::tls::{self, ClientAuth, ClientConfig, KeyLog, ServerConfig};

use super::generation::Generation;
use super::time::{now, seconds};
use crate::memory::Memory;

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
    /// The same for fetching a configuration: under `.tls.ca_cert` alone; or why there is none.
    pub(crate) fetch: Result<ClientConfig<'a>, &'static str>,
    /// Whether a server has to prove the address by which it is dialled, where no name is asked for.
    pub(crate) named: bool,
    pub(crate) rng: entropy::Rng,
}

// What the configuration holds can be used.
const _: () = assert!(MAX_CERTIFICATES <= MAX_ANCHORS && config::MAX_CRLS <= MAX_CRLS);

const SHORT: &str = "not enough memory for the certificates";
const UNTRUSTED: &str = "a CA certificate or revocation list cannot be used: see the log of the start";
pub(crate) const UNUSABLE: &str = "a certificate or private key cannot be used: see the log of the start";

/// The certificates of a configuration, one by one.
pub(crate) struct Lists<'g> {
    srv: List<'g>,
    cli: List<'g>,
    ca: List<'g>,
    crl: List<'g>,
    allowed: heapless::Vec<&'g str, MAX_ALLOWED>,
    roots: Result<&'static [&'static [u8]], &'static str>,
}

type List<'g> = heapless::Vec<&'g [u8], MAX_CERTIFICATES>;

/// What is made of [`Lists`] and keys.
pub(crate) struct Parts<'l> {
    trust: Result<Option<Trust<'l>>, &'static str>,
    /// The same for those who are dialled by address alone, and served.
    dialled: Option<Trust<'l>>,
    /// By whom servers are judged: by whom everybody is, and by `.tls.root_certs`.
    servers: Result<Option<Trust<'l>>, &'static str>,
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
            allowed: generation.map_or_else(heapless::Vec::new, |generation| {
                generation
                    .config()
                    .tls
                    .allow
                    .iter()
                    .map(|entry| entry.as_str())
                    .collect()
            }),
            roots: generation.map_or(Ok(&[]), |generation| generation.roots),
        }
    }

    pub(crate) fn parts<'l>(&'l self, generation: Option<&'l Generation>) -> Parts<'l> {
        let Some(generation) = generation else {
            return Parts {
                trust: Err(UNUSABLE),
                dialled: None,
                servers: Err(UNUSABLE),
                server: Err(UNUSABLE),
                client: Err(UNUSABLE),
            };
        };
        let [of_clients, of_servers] = generation.signed_crls;
        let signed = |trust: Option<Trust<'l>>, crls| trust.map(|trust| trust.with_signed_crls(crls));
        let trust = self.trust(generation.config()).map(|trust| signed(trust, of_clients));
        let servers = trust.and_then(|trust| self.servers(trust));
        Parts {
            trust,
            dialled: trust.ok().flatten().map(|trust| trust.with_servers_allowed()),
            servers: servers.map(|trust| signed(trust, of_servers)),
            server: identities(&generation.server, &self.srv),
            client: identities(&generation.client, &self.cli),
        }
    }

    /// The revocation lists that a configured CA has signed: of the trust in clients, and of that in servers. Handshakes
    /// need not verify their signatures again.
    pub(crate) fn signed_crls(&self, config: &Config) -> [SignedCrls; 2] {
        let clients = self.trust(config).ok().flatten();
        let servers = self.servers(clients).ok().flatten();
        [clients, servers].map(|trust| trust.map_or(SignedCrls::default(), |trust| trust.signed_crls()))
    }

    /// Whom to trust, if a CA is configured.
    fn trust(&self, config: &Config) -> Result<Option<Trust<'_>>, &'static str> {
        if self.ca.is_empty() {
            return Ok(None);
        }
        let mode = match config.tls.verify {
            config::Verify::Pinned => Mode::Pinned,
            config::Verify::Strict | config::Verify::Pki => Mode::Strict,
        };
        let mut trust = Trust::new(&self.ca).with_crls(&self.crl).with_mode(mode);
        if !self.allowed.is_empty() {
            trust = trust.with_allowed(&self.allowed);
        }
        trust.check().map_err(|_| UNTRUSTED)?;
        Ok(Some(trust))
    }

    /// By whom servers are judged.
    fn servers<'l>(&'l self, trust: Option<Trust<'l>>) -> Result<Option<Trust<'l>>, &'static str> {
        let roots = self.roots?;
        if roots.is_empty() {
            return Ok(trust);
        }
        let trust = trust.unwrap_or(Trust::new(&[]).with_crls(&self.crl)).with_roots(roots);
        trust.check().map_err(|_| UNTRUSTED)?;
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
            handshake: seconds(HANDSHAKE),
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
            client: client(generation, parts, rng),
            trust,
            handshake: handshake(&generation.config().tls),
        }
    }

    /// Says what TLS is made of.
    pub(crate) fn announce(&self, generation: &Generation) {
        let config = generation.config();
        if generation.rng.is_ok() && config.tls.keylog {
            ::log::warn!(target: postern::log::SECURITY, "tls: .tls.keylog is 1: whoever reads this log can decrypt every connection");
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
    seconds(tls.handshake_timeout)
}

/// How long a handshake may take where there is no configuration, in seconds.
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

/// Those of the bundle that can be used; says which cannot.
pub(super) fn usable(config: &Config, memory: &mut Memory) -> Result<&'static [&'static [u8]], &'static str> {
    // As many as a person wants to read of.
    const MOST: usize = 8;
    let bundle = &config.tls.root_certs;
    if bundle.is_empty() {
        return Ok(&[]);
    }
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
        "tls: trusts {} more CA{} for servers",
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

pub(super) fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
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
    let server = ServerConfig::new(identities, now())
        .map_err(|_| UNUSABLE)?
        .with_key_log(key_log(config));
    let mutual = match (trust, parts.dialled.as_ref(), identities.first()) {
        // Whoever is there is served, also as the server in TLS.
        (Some(trust), Some(judge), Some(identity)) => {
            let client = ClientConfig::new(judge, None, now())
                .with_identity(*identity)
                .with_key_log(key_log(config));
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

fn client<'a>(generation: &'a Generation, parts: &'a Parts<'a>, rng: entropy::Rng) -> Result<Client<'a>, &'static str> {
    let trust = parts.servers.as_ref().map_err(|why| *why)?.as_ref();
    let trust = trust.ok_or("no CA is configured to judge servers by: .tls.ca_cert is empty")?;
    let identities = parts.client.as_ref().map_err(|why| *why)?;
    let under = |trust: &'a Trust<'a>| {
        let client = ClientConfig::new(trust, None, now()).with_key_log(key_log(generation.config()));
        match identities.first() {
            Some(identity) => client.with_identity(*identity),
            None => client,
        }
    };
    let own = parts.trust.as_ref().map_err(|why| *why)?.as_ref();
    let named = generation.config().tls.verify == config::Verify::Pki;
    Ok(Client {
        config: under(trust),
        fetch: own
            .map(under)
            .ok_or("no CA is configured to verify the host with: .tls.ca_cert is empty"),
        named,
        rng,
    })
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
    for der in config.tls.crl.iter() {
        let Ok(crl) = Crl::from_der(der) else { continue };
        // A list that expires while the machine is off does not keep it from its configuration.
        if let Err(error) = crl::check(der, core::iter::empty(), now().now) {
            ::log::warn!(
                "tls: certificates of {} are refused until .tls.crl has another list: {error}",
                crl.issuer
            );
        }
        if !is_configured(config, &crl) {
            ::log::warn!(
                "tls: the revocation list of {} is that of no configured CA: it counts for certificates by an intermediate \
                 of that name alone",
                crl.issuer
            );
        }
    }
}

/// Whether the list is that of a CA of the configuration, rather than of one between such a CA and a peer.
pub(super) fn is_configured(config: &Config, crl: &Crl<'_>) -> bool {
    let roots = config.tls.root_certs.ders().iter().copied();
    let mut certificates = config.tls.ca_cert.iter().chain(roots);
    certificates.any(|der| Certificate::from_der(der).is_ok_and(|ca| ca.subject == crl.issuer))
}

/// What the lines of the key log begin with.
pub(crate) const KEY_LOG: &str = "keylog: ";

/// Where secrets are logged, if that is configured.
fn key_log(config: &Config) -> Option<&'static dyn KeyLog> {
    config.tls.keylog.then_some(&LogSecrets)
}

/// Writes secrets to the log, in the NSS key log format, each line behind `keylog: `.
struct LogSecrets;

impl KeyLog for LogSecrets {
    fn log(&self, label: &str, client_random: &[u8; 32], secret: &[u8]) {
        ::log::info!("{KEY_LOG}{label} {} {}", Hex(client_random), Hex(secret));
    }
}
