//! The defconfig: its grammar, its keys, its errors.
//!
//! One parser, used by build.rs (feature `build`), at boot and for a reload.
//! A defconfig has the form that BitVisor's has, C designated initialisers:
//!
//! ```text
//! .ip = {
//!     .use_dhcp = 0,
//!     .ipaddr = { 10, 0, 2, 15 },
//! },
//! .tls = { .srv_cert = "-----BEGIN CERTIFICATE-----\n" "MIIC...\n" "-----END CERTIFICATE-----\n" },
//! ```
//!
//! [`Config::parse`] reads the text, [`Config::check`] then judges what the values mean: whether a key belongs to its
//! certificate, whether dates have passed. Each [`Error`] says where, which key, what is wrong and what to do.

#![cfg_attr(not(any(test, feature = "build")), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(unreachable_pub)]

#[cfg(feature = "build")]
pub mod bake;
mod bundle;
mod certificates;
mod check;
mod error;
mod escape;
mod grammar;
mod host;
mod keys;
mod proxy;
mod rotate;
#[cfg(test)]
mod tests;
#[cfg(feature = "build")]
mod throwaway;

use core::net::Ipv4Addr;

use heapless::string::StringView;
use heapless::{String, Vec, VecView};
use zeroize::Zeroize;

pub use bundle::Bundle;
pub use certificates::{Identities, Part};
pub use error::{At, Error, Fault, FileFault, Found, Name, PemSource};
pub use grammar::{Files, Scratch};
pub use host::{MAX_NAME, is_host, is_mask, is_name, is_router};
pub use keys::{Kind, Path, Position};
use postern_tls::pki::allow::MAX_ALLOWED_SUBJECT;
pub use proxy::{MAX_PASSWORD, MAX_USER, Proxy, Secret};
pub use rotate::is_pem;

/// The most bytes of a defconfig.
pub const MAX_TEXT: usize = 512 * 1024;
/// The most bytes of one value's strings, joined, and of a file that a `_file` key names.
pub const MAX_STRING: usize = 32 * 1024;
/// The most bytes of DER that the certificates, or the revocation lists, of one key may take together.
pub const MAX_DER: usize = 16 * 1024;
/// The most certificates of one key.
pub const MAX_CERTIFICATES: usize = 16;
/// The most certificates of a bundle.
pub const MAX_ROOTS: usize = 256;
/// The most bytes of DER that a certificate of a bundle may take.
pub const MAX_ROOT_DER: usize = 4096;
/// The most revocation lists.
pub const MAX_CRLS: usize = 8;
/// The most identities of the server: chains of certificates, and private keys.
pub const MAX_IDENTITIES: usize = 4;
/// The most bytes of DER that a private key may take (PKCS#8 of RSA-4096: 2374).
pub const MAX_KEY_DER: usize = 2560;
/// The most reverse connections.
pub const MAX_REVERSES: usize = 8;
/// The most clients that can be allowed by name.
pub const MAX_ALLOWED: usize = 16;
/// The most bytes of an interface's name.
pub const MAX_NETIF: usize = 16;

/// The whole configuration, with every default filled in.
#[derive(Debug)]
pub struct Config {
    /// `.vmm`: the machine and its debug shell.
    pub vmm: Vmm,
    /// `.ip`: the address of `vm0`.
    pub ip: Ip,
    /// `.proxy`: the HTTP proxy through which is dialled.
    pub proxy: Proxy,
    /// `.tls`: certificates and keys.
    pub tls: Tls,
    /// `.echo`: what starts at boot, and its limits.
    pub echo: Echo,
    /// Where each key stands in the text.
    pub places: Places,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults. (Some 84 KiB: meant for a static.)
    pub const fn new() -> Self {
        Self {
            vmm: Vmm {
                telnet_dbgsh: false,
                telnet_reload: false,
                tls_dbgsh: 0,
                tty_syslog: Syslog {
                    enable: false,
                    src_ipaddr: None,
                    dst_ipaddr: None,
                },
                panic_reboot: false,
            },
            ip: Ip {
                use_dhcp: true,
                ipaddr: Ipv4Addr::UNSPECIFIED,
                netmask: Ipv4Addr::UNSPECIFIED,
                gateway: None,
                dns: None,
            },
            proxy: Proxy::new(),
            tls: Tls {
                srv_cert: Ders::new(),
                srv_key: Vec::new(),
                ca_cert: Ders::new(),
                root_certs: Bundle::new(),
                cli_cert: Ders::new(),
                cli_key: Vec::new(),
                client_auth: ClientAuth::Off,
                allow: Vec::new(),
                verify: Verify::Pinned,
                crl: Ders::new(),
                handshake_timeout: None,
                keylog: false,
                selftest: false,
            },
            echo: Echo {
                tls_port: 0,
                plain_port: 0,
                https_port: 0,
                connections: None,
                connections_per_address: None,
                idle_timeout: None,
                reverse: Vec::new(),
            },
            places: Places {
                at: [None; Path::COUNT],
            },
        }
    }

    /// Puts the defaults back, in place.
    pub fn reset(&mut self) {
        self.vmm = Vmm::default();
        self.ip = Ip::default();
        self.proxy = Proxy::default();
        // By hand, for its size: an empty one made elsewhere would go over the stack.
        let Tls {
            srv_cert,
            srv_key,
            ca_cert,
            root_certs,
            cli_cert,
            cli_key,
            client_auth,
            allow,
            verify,
            crl,
            handshake_timeout,
            keylog,
            selftest,
        } = &mut self.tls;
        *root_certs = Bundle::new();
        for ders in [srv_cert, ca_cert, cli_cert, crl] {
            ders.clear();
        }
        srv_key.clear();
        cli_key.clear();
        allow.clear();
        *client_auth = ClientAuth::default();
        *verify = Verify::default();
        *handshake_timeout = None;
        *keylog = false;
        *selftest = false;
        self.echo = Echo::default();
        self.places = Places::default();
    }
}

impl Config {
    /// Where the value of `path` is kept. This is the one place that says which key is which field. Keys of a list are
    /// those of its last group.
    pub fn slot(&mut self, path: Path) -> Slot<'_> {
        match path {
            Path::Vmm | Path::TtySyslog | Path::Ip | Path::Proxy | Path::Tls | Path::Echo => Slot::Group,
            Path::TelnetDbgsh => Slot::Flag(&mut self.vmm.telnet_dbgsh),
            Path::TelnetReload => Slot::Flag(&mut self.vmm.telnet_reload),
            Path::TlsDbgsh => Slot::Port(&mut self.vmm.tls_dbgsh),
            Path::SyslogEnable => Slot::Flag(&mut self.vmm.tty_syslog.enable),
            Path::SyslogSrc => Slot::OptionalAddress(&mut self.vmm.tty_syslog.src_ipaddr),
            Path::SyslogDst => Slot::OptionalAddress(&mut self.vmm.tty_syslog.dst_ipaddr),
            Path::PanicReboot => Slot::Flag(&mut self.vmm.panic_reboot),
            Path::UseDhcp => Slot::Flag(&mut self.ip.use_dhcp),
            Path::Ipaddr => Slot::Address(&mut self.ip.ipaddr),
            Path::Netmask => Slot::Address(&mut self.ip.netmask),
            Path::Gateway => Slot::OptionalAddress(&mut self.ip.gateway),
            Path::Dns => Slot::OptionalAddress(&mut self.ip.dns),
            Path::ProxyIpaddr | Path::ProxyHost | Path::ProxyPort | Path::ProxyUser | Path::ProxyPassword => {
                self.proxy.slot(path)
            }
            Path::SrvCert => Slot::Ders(&mut self.tls.srv_cert),
            Path::SrvKey => Slot::Keys(&mut self.tls.srv_key),
            Path::CaCert => Slot::Ders(&mut self.tls.ca_cert),
            Path::RootCerts => Slot::Bundle(&mut self.tls.root_certs),
            Path::RootCertsFile => self.slot(Path::RootCerts),
            Path::Allow => Slot::Subjects(&mut self.tls.allow),
            Path::CliCert => Slot::Ders(&mut self.tls.cli_cert),
            Path::CliKey => Slot::Keys(&mut self.tls.cli_key),
            Path::Crl => Slot::Ders(&mut self.tls.crl),
            Path::SrvCertFile => self.slot(Path::SrvCert),
            Path::SrvKeyFile => self.slot(Path::SrvKey),
            Path::CaCertFile => self.slot(Path::CaCert),
            Path::CliCertFile => self.slot(Path::CliCert),
            Path::CliKeyFile => self.slot(Path::CliKey),
            Path::CrlFile => self.slot(Path::Crl),
            Path::ClientAuth => Slot::Choice(&mut self.tls.client_auth),
            Path::Verify => Slot::Choice(&mut self.tls.verify),
            Path::Keylog => Slot::Flag(&mut self.tls.keylog),
            Path::Selftest => Slot::Flag(&mut self.tls.selftest),
            Path::HandshakeTimeout => Slot::Number(&mut self.tls.handshake_timeout),
            Path::TlsPort => Slot::Port(&mut self.echo.tls_port),
            Path::PlainPort => Slot::Port(&mut self.echo.plain_port),
            Path::HttpsPort => Slot::Port(&mut self.echo.https_port),
            Path::Connections => Slot::Limit(&mut self.echo.connections),
            Path::PerAddress => Slot::Limit(&mut self.echo.connections_per_address),
            Path::IdleTimeout => Slot::Number(&mut self.echo.idle_timeout),
            Path::Reverse => Slot::Reverses(&mut self.echo.reverse),
            Path::ReverseIpaddr
            | Path::ReverseHost
            | Path::ReversePort
            | Path::ReverseEvery
            | Path::ReverseNetif
            | Path::ReversePlain
            | Path::ReverseDirect
            | Path::ReverseRole => self.echo.reverse.last_mut().map_or(Slot::Group, |last| last.slot(path)),
        }
    }
}

/// The place of a value in a [`Config`].
pub enum Slot<'a> {
    /// No value: further keys.
    Group,
    /// 0 or 1.
    Flag(&'a mut bool),
    /// A port; 0: none.
    Port(&'a mut u16),
    /// A limit; 0 is `None`.
    Limit(&'a mut Option<u16>),
    /// A number that has a default.
    Number(&'a mut Option<u32>),
    /// An address.
    Address(&'a mut Ipv4Addr),
    /// An address; 0.0.0.0 is `None`.
    OptionalAddress(&'a mut Option<Ipv4Addr>),
    /// One of several words.
    Choice(&'a mut dyn Choice),
    /// Certificates, or revocation lists.
    Ders(&'a mut Ders),
    /// A bundle of certificates.
    Bundle(&'a mut Bundle),
    /// Private keys; as many as fit.
    Keys(&'a mut VecView<Key>),
    /// A name; empty: none.
    Name(&'a mut StringView),
    /// Subjects, or hashes of keys.
    Subjects(&'a mut Vec<Subject, MAX_ALLOWED>),
    /// A text; as much as fits.
    Text(&'a mut VecView<u8>),
    /// Reverse connections.
    Reverses(&'a mut Vec<Reverse, MAX_REVERSES>),
}

/// A value that is one of several words.
pub trait Choice {
    /// The word.
    fn name(&self) -> &'static str;
    /// Becomes what `name` says, if that is one of the words.
    fn choose(&mut self, name: &str) -> bool;
}

macro_rules! choice {
    ($(#[$meta:meta])* $type:ident { $($(#[$doc:meta])* $name:ident $word:literal,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        pub enum $type {
            $($(#[$doc])* $name,)*
        }

        impl $type {
            /// The words, in the order of the enumeration.
            pub const NAMES: &'static [&'static str] = &[$($word),*];
        }

        impl Choice for $type {
            fn name(&self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            fn choose(&mut self, name: &str) -> bool {
                match name {
                    $($word => *self = Self::$name,)*
                    _ => return false,
                }
                true
            }
        }
    };
}

choice! {
    /// Whether the server asks its clients for certificates.
    ClientAuth {
        /// Not asked.
        #[default]
        Off "off",
        /// Asked; who has none is let in, who has a bad one is not.
        Optional "optional",
        /// Asked, and nobody is let in without.
        Required "required",
    }
}

choice! {
    /// By which rule certificates of peers are judged.
    Verify {
        /// As in strict, and besides what simple tools make: a leaf that a configured CA has signed itself may be X.509
        /// v1, have its name in CN alone, and say CA:TRUE.
        #[default]
        Pinned "pinned",
        /// As RFC 5280 and RFC 9525 have it.
        Strict "strict",
        /// As in strict, and a server has to prove the name, or the address, by which it is dialled.
        Pki "pki",
    }
}

choice! {
    /// Who is the TLS server of a connection that was dialled from here.
    Role {
        /// Whoever did not speak first: a peer that says nothing for a second wants to be spoken to.
        #[default]
        Either "either",
        /// We are, as where we are dialled.
        Server "server",
        /// The peer is, since it listened.
        Client "client",
    }
}

/// Where each key stands in the text.
#[derive(Debug, Clone)]
pub struct Places {
    at: [Option<Position>; Path::COUNT],
}

impl Places {
    /// Where the key starts, at its dot, if it is set.
    pub fn get(&self, path: Path) -> Option<Position> {
        self.at.get(path as usize).copied().flatten()
    }

    /// Notes where the key starts.
    fn set(&mut self, path: Path, position: Position) {
        if let Some(place) = self.at.get_mut(path as usize) {
            *place = Some(position);
        }
    }

    /// Forgets where the keys directly in the group `parent` start.
    fn forget(&mut self, parent: Path) {
        for path in Path::children(Some(parent)) {
            if let Some(place) = self.at.get_mut(path as usize) {
                *place = None;
            }
        }
    }
}

impl Default for Places {
    fn default() -> Self {
        Self {
            at: [None; Path::COUNT],
        }
    }
}

/// `.vmm`.
#[derive(Debug, Clone, Default)]
pub struct Vmm {
    /// `.telnet_dbgsh`: the debug shell on telnet (guest port 23).
    pub telnet_dbgsh: bool,
    /// `.telnet_reload`: the shell on telnet may replace the TLS configuration (`tls reload`) and show secrets.
    pub telnet_reload: bool,
    /// `.tls_dbgsh`: the port of the debug shell over TLS; 0: none.
    pub tls_dbgsh: u16,
    /// `.tty_syslog`: the log as UDP syslog.
    pub tty_syslog: Syslog,
    /// `.panic_reboot`: after a panic restart the machine (1) instead of halting (0).
    pub panic_reboot: bool,
}

/// `.vmm.tty_syslog`.
#[derive(Debug, Clone, Default)]
pub struct Syslog {
    /// `.enable`.
    pub enable: bool,
    /// `.src_ipaddr`: the address to send from; `None` (0.0.0.0): the interface's own.
    pub src_ipaddr: Option<Ipv4Addr>,
    /// `.dst_ipaddr`: where the syslog server is.
    pub dst_ipaddr: Option<Ipv4Addr>,
}

/// `.ip`.
#[derive(Debug, Clone)]
pub struct Ip {
    /// `.use_dhcp`.
    pub use_dhcp: bool,
    /// `.ipaddr`.
    pub ipaddr: Ipv4Addr,
    /// `.netmask`.
    pub netmask: Ipv4Addr,
    /// `.gateway`; `None` (0.0.0.0): no way out of the subnet.
    pub gateway: Option<Ipv4Addr>,
    /// `.dns`: the server to ask for the addresses of names; `None` (0.0.0.0): the one that DHCP names, if any.
    pub dns: Option<Ipv4Addr>,
}

impl Default for Ip {
    fn default() -> Self {
        Self {
            use_dhcp: true,
            ipaddr: Ipv4Addr::UNSPECIFIED,
            netmask: Ipv4Addr::UNSPECIFIED,
            gateway: None,
            dns: None,
        }
    }
}

/// `.tls`.
#[derive(Debug, Default)]
pub struct Tls {
    /// `.srv_cert`: the server's certificate chains, one after the other, each leaf first: see [`Config::server`].
    pub srv_cert: Ders,
    /// `.srv_key`: its private keys.
    pub srv_key: Vec<Key, MAX_IDENTITIES>,
    /// `.ca_cert`: the CAs that are trusted.
    pub ca_cert: Ders,
    /// `.root_certs`: further CAs, by which servers are judged, always strictly.
    pub root_certs: Bundle,
    /// `.cli_cert`: the client's certificate chain, leaf first: see [`Config::client`].
    pub cli_cert: Ders,
    /// `.cli_key`: its private key.
    pub cli_key: Vec<Key, 1>,
    /// `.client_auth`: whether the server asks its clients for certificates.
    pub client_auth: ClientAuth,
    /// `.allow`: the subjects of the clients that are let in, or the hashes of their keys; empty: all whose certificates
    /// are good.
    pub allow: Vec<Subject, MAX_ALLOWED>,
    /// `.verify`: by which rule certificates of peers are judged.
    pub verify: Verify,
    /// `.crl`: revocation lists of the CAs.
    pub crl: Ders,
    /// `.handshake_timeout`: seconds from TCP connection to finished TLS handshake (default 10).
    pub handshake_timeout: Option<u32>,
    /// `.keylog`: the secrets of every connection go to the log.
    pub keylog: bool,
    /// `.selftest`: TLS is tested before the echo and HTTPS ports open.
    pub selftest: bool,
}

/// One of `.tls.allow`: a subject, or `sha256:` and the hash of a key.
pub type Subject = String<MAX_ALLOWED_SUBJECT>;

/// What the PEM of one key holds, certificates or revocation lists, as DER, one after the other.
#[derive(Debug, Default)]
pub struct Ders {
    /// All of them, joined.
    der: Vec<u8, MAX_DER>,
    /// Where each one ends in `der`.
    ends: Vec<usize, MAX_CERTIFICATES>,
}

impl Ders {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            der: Vec::new(),
            ends: Vec::new(),
        }
    }

    /// Takes all of them out.
    pub fn clear(&mut self) {
        self.der.clear();
        self.ends.clear();
    }

    /// In the order of the PEM.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&end| {
            let certificate = self.der.get(start..end);
            start = end;
            certificate
        })
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// A private key. Wiped from memory on drop.
pub struct Key {
    /// The DER.
    pub der: Vec<u8, MAX_KEY_DER>,
    /// The PEM's label: `PRIVATE KEY`, `EC PRIVATE KEY`, `RSA PRIVATE KEY` and so on.
    pub label: String<24>,
}

impl Drop for Key {
    fn drop(&mut self) {
        self.der.as_mut_slice().zeroize();
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Key({})", self.label)
    }
}

/// `.echo`.
#[derive(Debug, Clone, Default)]
pub struct Echo {
    /// `.tls_port`: the TLS echo that starts at boot; 0: none.
    pub tls_port: u16,
    /// `.plain_port`: the plain echo that starts at boot; 0: none.
    pub plain_port: u16,
    /// `.https_port`: the HTTPS server that starts at boot, whose page shows its own connection; 0: none.
    pub https_port: u16,
    /// `.connections`: the most echo connections at a time; `None` (0): as many as the memory allows, at most 1024.
    pub connections: Option<u16>,
    /// `.connections_per_address`: the most of these with one address; `None` (0): no limit of its own.
    pub connections_per_address: Option<u16>,
    /// `.idle_timeout`: seconds without a byte before a connection is closed (default 300; 3600 if the machine dialled it).
    pub idle_timeout: Option<u32>,
    /// `.reverse`: whom to dial, and serve.
    pub reverse: Vec<Reverse, MAX_REVERSES>,
}

/// One of `.echo.reverse`.
#[derive(Debug, Clone, Default)]
pub struct Reverse {
    /// `.ipaddr`: whom to dial.
    pub ipaddr: Option<Ipv4Addr>,
    /// `.host`: or by name.
    pub host: String<MAX_NAME>,
    /// `.port`: at which port.
    pub port: u16,
    /// `.every`: seconds between one try and the next (default 10).
    pub every: Option<u32>,
    /// `.netif`: through which interface; empty: the first.
    pub netif: String<MAX_NETIF>,
    /// `.plain`: without TLS.
    pub plain: bool,
    /// `.direct`: not through `.proxy`.
    pub direct: bool,
    /// `.role`: who is the TLS server.
    pub role: Role,
}

impl Reverse {
    fn slot(&mut self, path: Path) -> Slot<'_> {
        match path {
            Path::ReverseIpaddr => Slot::OptionalAddress(&mut self.ipaddr),
            Path::ReverseHost => Slot::Name(&mut self.host),
            Path::ReversePort => Slot::Port(&mut self.port),
            Path::ReverseEvery => Slot::Number(&mut self.every),
            Path::ReverseNetif => Slot::Name(&mut self.netif),
            Path::ReversePlain => Slot::Flag(&mut self.plain),
            Path::ReverseDirect => Slot::Flag(&mut self.direct),
            Path::ReverseRole => Slot::Choice(&mut self.role),
            _ => Slot::Group, // not of this list
        }
    }
}
