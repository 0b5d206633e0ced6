//! The defconfig: its grammar, its keys, its errors. Used by build.rs and at boot: one parser.

use core::net::Ipv4Addr;
use heapless::{String, Vec};

/// The most bytes of DER that the certificates of one PEM may take together.
pub const MAX_CHAIN_DER: usize = 12 * 1024;
/// The most certificates in one PEM.
pub const MAX_CHAIN: usize = 8;
/// The most bytes of DER that a private key may take (PKCS#8 of RSA-4096: 2374).
pub const MAX_KEY_DER: usize = 2560;

/// The whole configuration, with every default filled in.
#[derive(Debug, Default)]
pub struct Config {
    /// `.vmm`: the machine and its debug shell.
    pub vmm: Vmm,
    /// `.ip`: the address of `vm0`.
    pub ip: Ip,
    /// `.tls`: certificates and keys.
    pub tls: Tls,
    /// `.echo`: what starts at boot, and its limits.
    pub echo: Echo,
}

/// `.vmm`.
#[derive(Debug, Default)]
pub struct Vmm {
    /// `.telnet_dbgsh`: the debug shell on telnet (guest port 23).
    pub telnet_dbgsh: bool,
    /// `.tty_syslog`: the log as UDP syslog.
    pub tty_syslog: Syslog,
    /// `.panic_reboot`: after a panic restart the machine (1) instead of halting (0).
    pub panic_reboot: bool,
}

/// `.vmm.tty_syslog`.
#[derive(Debug, Default)]
pub struct Syslog {
    /// `.enable`.
    pub enable: bool,
    /// `.src_ipaddr`: the address to send from; `None` (0.0.0.0): the interface's own.
    pub src_ipaddr: Option<Ipv4Addr>,
    /// `.dst_ipaddr`: where the syslog server is.
    pub dst_ipaddr: Option<Ipv4Addr>,
}

/// `.ip`.
#[derive(Debug)]
pub struct Ip {
    /// `.use_dhcp`.
    pub use_dhcp: bool,
    /// `.ipaddr`.
    pub ipaddr: Ipv4Addr,
    /// `.netmask`.
    pub netmask: Ipv4Addr,
    /// `.gateway`; `None` (0.0.0.0): no way out of the subnet.
    pub gateway: Option<Ipv4Addr>,
}

impl Default for Ip {
    fn default() -> Self {
        Self {
            use_dhcp: true,
            ipaddr: Ipv4Addr::UNSPECIFIED,
            netmask: Ipv4Addr::UNSPECIFIED,
            gateway: None,
        }
    }
}

/// `.tls`.
#[derive(Debug, Default)]
pub struct Tls {
    /// `.srv_cert`: the server's certificate chain, leaf first, as DER.
    pub srv_cert: Chain,
    /// `.srv_key`: its private key, as the DER inside the PEM, with the PEM's label.
    pub srv_key: Option<Key>,
    /// `.ca_cert`: the CAs that are trusted, as DER.
    pub ca_cert: Chain,
    /// `.handshake_timeout`: seconds from TCP connection to finished TLS handshake (default 10).
    pub handshake_timeout: Option<u32>,
}

/// Certificates of one PEM, as DER, one after the other.
#[derive(Debug, Default)]
pub struct Chain {
    /// All of them, joined.
    pub der: Vec<u8, MAX_CHAIN_DER>,
    /// Where each one ends in `der`.
    pub ends: Vec<usize, MAX_CHAIN>,
}

impl Chain {
    /// The certificates, in the order of the PEM.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        self.ends.iter().filter_map(move |&end| {
            let certificate = self.der.get(start..end);
            start = end;
            certificate
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

/// A private key.
pub struct Key {
    /// The DER.
    pub der: Vec<u8, MAX_KEY_DER>,
    /// The PEM's label: `PRIVATE KEY`, `EC PRIVATE KEY` or `RSA PRIVATE KEY`.
    pub label: String<16>,
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Key({})", self.label)
    }
}

/// `.echo`.
#[derive(Debug, Default)]
pub struct Echo {
    /// `.tls_port`: the TLS echo that starts at boot; 0: none.
    pub tls_port: u16,
    /// `.plain_port`: the plain echo that starts at boot; 0: none.
    pub plain_port: u16,
    /// `.connections`: the most echo connections at a time; `None` (0): as many as the memory allows, at most 1024.
    pub connections: Option<u16>,
    /// `.idle_timeout`: seconds without a byte either way after which an echo connection is closed (default 3600).
    pub idle_timeout: Option<u32>,
}
