//! A TLS configuration: certificates, keys, and the roles made of them.

use embassy_time::{Duration, Instant};

use super::time::{now, seconds};
use crate::config::{self, Choice as _, Config, Ders, Identities, MAX_CERTIFICATES, MAX_IDENTITIES};
use crate::crypto::key::SigningKey;
use crate::machine::{clock, entropy};
use crate::pki::cert::{Certificate, Date};
use crate::pki::crl::{self, Crl};
use crate::pki::text::{Count, Hex};
use crate::pki::verify::{MAX_ANCHORS, MAX_CRLS, Mode, PeerIdentity, SignedCrls, Trust};
use crate::serve::tls::Mutual;
use crate::tls::{self, ClientAuth, ClientConfig, KeyLog, ServerConfig, Tickets};

/// A configuration with its keys, ready to be used.
pub struct TlsConfig {
    pub(super) config: ConfigRef,
    /// 0 is the one of the start.
    pub(super) number: u32,
    pub(super) since: Instant,
    pub(super) server: Result<Identities<MAX_IDENTITIES>, &'static str>,
    pub(super) client: Result<Identities<1>, &'static str>,
    tickets: Option<Tickets>,
    /// `.tls.root_certs` of the start, which all configurations share; or why there are none.
    pub(super) roots: Result<&'static [&'static [u8]], &'static str>,
    /// The revocation lists whose signatures were verified: of the trust in clients, and of that in servers.
    signed_crls: [SignedCrls; 2],
    rng: Result<entropy::Rng, &'static str>,
}

/// A configuration that is never replaced, or one that may be.
pub(super) enum ConfigRef {
    First(&'static Config),
    Later(&'static mut Config),
}

/// Why a configuration that is no longer used serves nothing.
const WIPED: &str = "the keys of this configuration were wiped";

impl TlsConfig {
    pub(super) fn new(config: ConfigRef, roots: Result<&'static [&'static [u8]], &'static str>) -> Self {
        Self {
            config,
            number: 0,
            since: Instant::MIN,
            server: Err(WIPED),
            client: Err(WIPED),
            tickets: None,
            roots,
            signed_crls: Default::default(),
            rng: Err(WIPED),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        match &self.config {
            ConfigRef::First(config) => config,
            ConfigRef::Later(config) => config,
        }
    }

    /// Reads the keys, and verifies the revocation lists.
    pub(super) fn prepare(&mut self) {
        self.since = Instant::now();
        self.signed_crls = self.verify_crls();
        self.rng = ready();
        let Ok(mut rng) = self.rng else { return };
        self.server = self.config().server().map_err(|_| UNUSABLE);
        self.client = self.config().client().map_err(|_| UNUSABLE);
        self.tickets = Tickets::new(&mut rng, now().now).ok();
    }

    /// Wipes the keys.
    pub(super) fn wipe(&mut self) {
        match &mut self.config {
            // Other tasks read it; of its keys only those in no text are secrets of this machine.
            ConfigRef::First(config) => config.boot_keys.wipe(),
            ConfigRef::Later(config) => config.reset(),
        }
        (self.server, self.client, self.tickets) = (Err(WIPED), Err(WIPED), None);
    }

    /// The TLS roles that this machine has with it.
    pub(super) fn roles(&self) -> Roles<'_> {
        Roles {
            handshake: self.handshake_timeout(),
            parts: self.parts(),
        }
    }

    /// How long a handshake may take.
    fn handshake_timeout(&self) -> Duration {
        seconds(self.config().tls.handshake_timeout)
    }

    fn parts(&self) -> Result<Parts<'_>, &'static str> {
        let rng = self.rng?;
        let [of_clients, of_servers] = self.signed_crls;
        let trust = self.trust()?.map(|trust| trust.with_signed_crls(of_clients));
        let servers = self.trust_in_servers(trust);
        Ok(Parts {
            tls_config: self,
            rng,
            trust,
            dialled: trust.map(Trust::with_servers_allowed),
            servers: servers.map(|trust| Some(trust?.with_signed_crls(of_servers))),
            server: identities(&self.server, &self.config().tls.srv_cert),
            client: identities(&self.client, &self.config().tls.cli_cert),
        })
    }

    /// The revocation lists that a configured CA has signed: of the trust in clients, and of that in servers. Handshakes
    /// need not verify their signatures again.
    fn verify_crls(&self) -> [SignedCrls; 2] {
        let clients = self.trust().ok().flatten();
        let servers = self.trust_in_servers(clients).ok().flatten();
        [clients, servers].map(|trust| trust.map_or(SignedCrls::default(), |trust| trust.signed_crls()))
    }

    /// The trust in peers, if a CA is configured.
    fn trust(&self) -> Result<Option<Trust<'_>>, &'static str> {
        let tls = &self.config().tls;
        if tls.ca_cert.is_empty() {
            return Ok(None);
        }
        let mode = match tls.verify {
            config::Verify::Pinned => Mode::Pinned,
            config::Verify::Strict | config::Verify::Pki => Mode::Strict,
        };
        let mut trust = Trust::new(&tls.ca_cert).with_crls(&tls.crl).with_mode(mode);
        if !tls.allow.is_empty() {
            trust = trust.with_allowed(&tls.allow);
        }
        trust.check().map_err(|_| UNTRUSTED)?;
        Ok(Some(trust))
    }

    /// The trust in servers: that in all peers, and `.tls.root_certs`.
    fn trust_in_servers<'a>(&'a self, trust: Option<Trust<'a>>) -> Result<Option<Trust<'a>>, &'static str> {
        let roots = self.roots?;
        if roots.is_empty() {
            return Ok(trust);
        }
        let only_roots = || Trust::new(&[]).with_crls(&self.config().tls.crl);
        let trust = trust.unwrap_or_else(only_roots).with_roots(roots);
        trust.check().map_err(|_| UNTRUSTED)?;
        Ok(Some(trust))
    }
}

/// The TLS roles of this machine.
pub struct Roles<'a> {
    /// How long a handshake may take.
    pub handshake: Duration,
    /// What they are made of; or why there is none.
    pub(super) parts: Result<Parts<'a>, &'static str>,
}

/// Trust and identities.
pub(super) struct Parts<'a> {
    tls_config: &'a TlsConfig,
    rng: entropy::Rng,
    /// The trust in peers, if a CA is configured.
    trust: Option<Trust<'a>>,
    /// The same for hosts that are dialled by address alone, and served.
    dialled: Option<Trust<'a>>,
    servers: Result<Option<Trust<'a>>, &'static str>,
    server: Result<heapless::Vec<tls::Identity<'a>, MAX_IDENTITIES>, &'static str>,
    client: Result<heapless::Vec<tls::Identity<'a>, 1>, &'static str>,
}

/// A TLS server.
#[derive(Clone, Copy)]
pub struct ServerRole<'a> {
    /// Its configuration.
    pub config: ServerConfig<'a>,
    /// Where both sides must authenticate, whatever `.tls.client_auth` is; or why that is impossible.
    pub mutual: Result<Mutual<'a>, &'static str>,
    /// Its generator.
    pub rng: entropy::Rng,
}

/// A TLS client.
#[derive(Clone, Copy)]
pub struct ClientRole<'a> {
    /// Its configuration, without a name: each connection sets its own.
    pub config: ClientConfig<'a>,
    /// The same for fetching a configuration, which trusts `.tls.ca_cert` alone; or why there is none.
    pub fetch: Result<ClientConfig<'a>, &'static str>,
    /// Whether a server must have a certificate for the address by which it is dialled, where no name is given.
    pub named: bool,
    /// Its generator.
    pub rng: entropy::Rng,
}

// What the configuration holds can be used.
const _: () = assert!(MAX_CERTIFICATES <= MAX_ANCHORS && config::MAX_CRLS <= MAX_CRLS);

const UNTRUSTED: &str = "a CA certificate or revocation list cannot be used: see the boot log";
/// Why nothing is served with a key that was made at boot.
pub(super) const AWAITS_CERTIFICATE: &str =
    "no certificate for the server's key yet; have the request that `tls csr` prints signed, then use `tls reload`";
/// Why there is no generator, and no key.
pub(super) const NO_ENTROPY: &str =
    "no entropy: use a CPU with RDRAND (-cpu max) or an entropy device (-device virtio-rng-pci)";
pub(super) const UNUSABLE: &str = "a certificate or private key cannot be used: see the boot log";

/// Puts chains and keys together.
fn identities<'a, const N: usize>(
    found: &'a Result<Identities<N>, &'static str>,
    ders: &'a Ders,
) -> Result<heapless::Vec<tls::Identity<'a>, N>, &'static str> {
    let found = found.as_ref().map_err(|why| *why)?;
    let mut identities = heapless::Vec::new();
    for part in &found.parts {
        let key = found.keys.get(part.key).ok_or(UNUSABLE)?;
        let chain = ders.part(part.certificates.clone());
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

impl Roles<'_> {
    /// The trust of both, if a CA is configured.
    pub fn trust(&self) -> Option<&Trust<'_>> {
        self.parts.as_ref().ok()?.trust.as_ref()
    }

    /// A server.
    ///
    /// # Errors
    /// Why it is none.
    pub fn server(&self) -> Result<ServerRole<'_>, &'static str> {
        let parts = self.parts.as_ref().map_err(|why| *why)?;
        let (config, trust) = (parts.tls_config.config(), parts.trust.as_ref());
        if config.awaits_certificate() {
            return Err(AWAITS_CERTIFICATE);
        }
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
        let tickets = parts.tls_config.tickets.as_ref().ok_or("tickets cannot be sealed")?;
        let server = ServerConfig::new(identities, now())
            .map_err(|_| UNUSABLE)?
            .with_key_log(key_log(config));
        let mutual = match (trust, parts.dialled.as_ref(), identities.first()) {
            // A peer is served also if it is the server in TLS.
            (Some(trust), Some(dialled), Some(identity)) => {
                let client = ClientConfig::new(dialled, None, now())
                    .with_identity(*identity)
                    .with_key_log(key_log(config));
                // No tickets: each of these connections is verified afresh.
                let server = server.with_client_auth(ClientAuth::Required(trust));
                Ok(Mutual { server, client })
            }
            _ => Err("no CA is configured to verify the peer with: .tls.ca_cert is empty"),
        };
        Ok(ServerRole {
            config: server.with_client_auth(client_auth).with_tickets(tickets),
            mutual,
            rng: parts.rng,
        })
    }

    /// A client.
    ///
    /// # Errors
    /// Why it is none.
    pub fn client(&self) -> Result<ClientRole<'_>, &'static str> {
        let parts = self.parts.as_ref().map_err(|why| *why)?;
        let config = parts.tls_config.config();
        let trust = parts.servers.as_ref().map_err(|why| *why)?.as_ref();
        let trust = trust.ok_or("no CA is configured to verify servers with: .tls.ca_cert is empty")?;
        let identities = parts.client.as_ref().map_err(|why| *why)?;
        let under = |trust| {
            let client = ClientConfig::new(trust, None, now()).with_key_log(key_log(config));
            identities
                .first()
                .map_or(client, |identity| client.with_identity(*identity))
        };
        let own = parts.trust.as_ref().map(under);
        Ok(ClientRole {
            config: under(trust),
            fetch: own.ok_or("no CA is configured to verify the host with: .tls.ca_cert is empty"),
            named: config.tls.verify == config::Verify::Pki,
            rng: parts.rng,
        })
    }

    /// Logs what TLS serves and trusts.
    pub(super) fn announce(&self, tls_config: &TlsConfig) {
        let config = tls_config.config();
        if tls_config.rng.is_ok() && config.tls.keylog {
            ::log::warn!(target: crate::log::SECURITY, "tls: .tls.keylog is 1: a reader of this log can decrypt every connection");
        }
        if self.server().is_ok() {
            chains(&tls_config.server, &config.tls.srv_cert, &mut |leaf, key, _| {
                log_chain("serving", leaf, key);
            });
            ::log::info!("tls: client authentication {}", config.tls.client_auth.name());
        }
        if self.client().is_ok() {
            chains(&tls_config.client, &config.tls.cli_cert, &mut |leaf, key, _| {
                log_chain("client is", leaf, key);
            });
        }
        if self.server().is_ok() || self.client().is_ok() {
            log_trust(config);
        }
    }
}

/// Logs the subject of a chain, and until when it is valid.
fn log_chain(role: &str, leaf: &[u8], key: &SigningKey) {
    let Ok(whose) = PeerIdentity::from_leaf(leaf) else {
        return;
    };
    let (subject, until) = (whose.subject, Date(whose.not_after));
    let level = if whose.not_after < now().now {
        ::log::Level::Warn
    } else {
        ::log::Level::Info
    };
    ::log::log!(level, "tls: {role} {subject}, {}, valid until {until}", key.algorithm());
}

/// Random numbers, if there are any; and the clock must be right.
fn ready() -> Result<entropy::Rng, &'static str> {
    let rng = entropy::rng().map_err(|_| NO_ENTROPY)?;
    match clock::unix_time() {
        Ok(_) => Ok(rng),
        Err(clock::DateError::NoClock) => Err("no date: the machine has no real-time clock"),
        Err(clock::DateError::BeforeBuild(_)) => Err("the real-time clock is wrong: its date is before the build"),
    }
}

/// Logs how certificates of peers are verified, and which lists are out of date.
fn log_trust(config: &Config) {
    let (cas, lists) = (config.tls.ca_cert.len(), config.tls.crl.len());
    ::log::info!(
        "tls: trusts {}, {} verification, {}",
        Count::of(cas, "CA"),
        config.tls.verify.name(),
        Count::of(lists, "revocation list")
    );
    let allowed = config.tls.allow.lines().count();
    if allowed > 0 {
        let entries = if allowed == 1 { "entry" } else { "entries" };
        ::log::info!("tls: client allow-list has {allowed} {entries}");
    }
    for der in config.tls.crl.iter() {
        let Ok(crl) = Crl::from_der(der) else { continue };
        // A list may have expired while the machine was off.
        if let Err(error) = crl::check(der, core::iter::empty(), now().now) {
            ::log::warn!(
                "tls: certificates of {} are refused until .tls.crl has another list: {error}",
                crl.issuer
            );
        }
        if !is_configured(config, &crl) {
            ::log::warn!(
                "tls: the revocation list of {} is not of a configured CA: it applies only to certificates issued by an \
                 intermediate of that name",
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

/// The beginning of the key log's lines.
pub const KEY_LOG: &str = "keylog: ";

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
