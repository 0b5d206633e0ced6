//! The settings requested by flags.

use postern_tls::Versions;
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::sign::SignatureScheme;
use postern_tls::crypto::suite::CipherSuite;

/// A certificate chain and its key, as paths of PEM files.
#[derive(Default, Clone)]
pub struct Credential {
    pub chain: String,
    pub key: String,
}

/// The settings of one connection.
#[derive(Default, Clone)]
pub struct Settings {
    pub port: u16,
    pub shim_id: u64,
    pub ipv6: bool,
    pub resume_count: u32,
    pub resumption_delay: u64,

    pub server: bool,
    pub min_version: u16,
    pub max_version: u16,
    pub no_tls12: bool,
    pub no_tls13: bool,
    pub suites: Vec<CipherSuite>,
    pub groups: Vec<Group>,
    pub schemes: Vec<SignatureScheme>,
    /// Those of our own signatures. The engine has no such setting, so that a test with another choice is not one for it.
    pub own_schemes: Vec<u16>,
    pub protocols: Vec<Vec<u8>>,
    pub extended_master_secret: bool,
    pub no_ticket: bool,
    pub host_name: Option<String>,

    /// Those of `-new-x509-credential`.
    pub credentials: Vec<Credential>,
    pub default_credential: Credential,
    pub trust: Option<String>,
    pub request_certificate: bool,
    pub require_certificate: bool,
    pub verify_fail: bool,
    /// A client verifies the server in any case; this is whether the test wants it to.
    pub verify_peer: bool,

    /// Bytes come one at a time.
    pub dribble: bool,
    pub read_size: usize,
    pub writes_first: bool,
    pub first_write: Option<String>,
    pub first_writes: usize,
    pub reads_before_write_is_sent: bool,
    pub shuts_down: bool,
    pub awaits_close_notify: bool,
    pub write_many_sizes: bool,
    pub export_traffic_secrets: bool,

    pub expect: Expected,
}

/// What the connection has to be like.
#[derive(Default, Clone)]
pub struct Expected {
    pub version: Option<u16>,
    pub suite: Option<u16>,
    pub group: Option<u16>,
    pub scheme: Option<u16>,
    pub protocol: Option<String>,
    pub offered_protocols: Option<String>,
    pub server_name: Option<String>,
    pub no_server_name: bool,
    pub peer_certificate: Option<String>,
    pub no_peer_certificate: bool,
    pub credential: Option<i32>,
    pub retry: Option<bool>,
    pub session_miss: bool,
    pub ticket_renewal: bool,
    pub no_session: bool,
    pub never_done: bool,
    pub messages: Option<String>,
}

impl Settings {
    /// The versions that are left, if the engine has any of them.
    pub fn versions(&self) -> Option<Versions> {
        let allows =
            |version: u16| self.min_version <= version && (self.max_version == 0 || version <= self.max_version);
        match (allows(0x0303) && !self.no_tls12, allows(0x0304) && !self.no_tls13) {
            (true, true) => Some(Versions::Both),
            (false, true) => Some(Versions::Tls13),
            (true, false) => Some(Versions::Tls12),
            (false, false) => None,
        }
    }
}
