//! The whole configuration.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use heapless::{String, Vec};

use super::keys::{Path, Position};
use super::{
    Allowed, BootKeys, Bundle, ClientAuth, Ders, Key, MAX_IDENTITIES, MAX_NAME, MAX_NETIF, MAX_REVERSES, Names, Proxy,
    Role, Subject, Verify,
};

/// The whole configuration, with every default filled in.
#[derive(Debug)]
pub struct Config {
    /// `.vmm`: the machine and its debug shell.
    pub vmm: Vmm,
    /// `.ip`: the address of `vm0`.
    pub ip: Ip,
    /// `.ip6`: its IPv6 addresses.
    pub ip6: Ip6,
    /// `.proxy`: the HTTP proxy for outgoing connections.
    pub proxy: Proxy,
    /// `.tls`: certificates and keys.
    pub tls: Tls,
    /// `.echo`: what starts at boot, and its limits.
    pub echo: Echo,
    /// Where each key stands in the text.
    pub places: Places,
    /// The private keys that were made at boot.
    pub boot_keys: BootKeys,
}

impl Default for Config {
    fn default() -> Self {
        Self::new()
    }
}

impl Config {
    /// The defaults. (Some 84 KiB: meant for a static; [`Config::reset`] sets them in place.)
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
                use_dhcp: Path::UseDhcp.default() != 0,
                ipaddr: Ipv4Addr::UNSPECIFIED,
                netmask: Ipv4Addr::UNSPECIFIED,
                gateway: None,
                dns: None,
            },
            ip6: Ip6::new(),
            proxy: Proxy::new(),
            tls: Tls {
                srv_cert: Ders::new(),
                srv_key: Vec::new(),
                ca_cert: Ders::new(),
                root_certs: Bundle::new(),
                cli_cert: Ders::new(),
                cli_key: Vec::new(),
                names: Names::new(),
                subject: Subject::new(),
                self_signed: false,
                client_auth: ClientAuth::Off,
                allow: Allowed::new(),
                verify: Verify::Pinned,
                crl: Ders::new(),
                handshake_timeout: Path::HandshakeTimeout.default(),
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
            places: Places::new(),
            boot_keys: BootKeys::new(),
        }
    }
}

/// Where each key stands in the text.
#[derive(Debug, Clone)]
pub struct Places {
    at: [Option<Position>; Path::COUNT],
}

impl Places {
    pub(super) const fn new() -> Self {
        Self {
            at: [None; Path::COUNT],
        }
    }

    /// Where the key starts, at its dot, if it is set.
    pub fn get(&self, path: Path) -> Option<Position> {
        self.at.get(path as usize).copied().flatten()
    }

    /// Notes where the key starts.
    pub(super) fn set(&mut self, path: Path, position: Position) {
        if let Some(place) = self.at.get_mut(path as usize) {
            *place = Some(position);
        }
    }

    /// Forgets where the keys directly in the group `parent` start.
    pub(super) fn forget(&mut self, parent: Path) {
        for path in Path::children(Some(parent)) {
            if let Some(place) = self.at.get_mut(path as usize) {
                *place = None;
            }
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
    pub src_ipaddr: Option<IpAddr>,
    /// `.dst_ipaddr`: where the syslog server is.
    pub dst_ipaddr: Option<IpAddr>,
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
    /// `.dns`: a server to ask for the addresses of names, in turn with [`Ip6::dns`]; if there is neither (0.0.0.0), those that
    /// DHCP and the routers name.
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

/// `.ip6`.
#[derive(Debug, Clone)]
pub struct Ip6 {
    /// `.enable`: IPv6 at all; without it the machine neither sends nor accepts any.
    pub enable: bool,
    /// `.use_slaac`: addresses, router and DNS servers from router advertisements (RFC 4862, RFC 8106).
    pub use_slaac: bool,
    /// `.ipaddr`: a static address beside those; `None`: none.
    pub ipaddr: Option<Ipv6Addr>,
    /// `.prefix`: the length of its prefix, in bits.
    pub prefix: u8,
    /// `.gateway`: the router; `None`: the advertised ones.
    pub gateway: Option<Ipv6Addr>,
    /// `.dns`: a server to ask for the addresses of names, after [`Ip::dns`].
    pub dns: Option<Ipv6Addr>,
}

impl Ip6 {
    pub(super) const fn new() -> Self {
        Self {
            enable: Path::Ip6Enable.default() != 0,
            use_slaac: Path::UseSlaac.default() != 0,
            ipaddr: None,
            prefix: Path::Prefix.default() as u8,
            gateway: None,
            dns: None,
        }
    }
}

impl Default for Ip6 {
    fn default() -> Self {
        Self::new()
    }
}

/// `.tls`.
#[derive(Debug)]
pub struct Tls {
    /// `.srv_cert`: the server's certificate chains, one after the other, each leaf first: see [`Config::server`].
    pub srv_cert: Ders,
    /// `.srv_key`: its private keys.
    pub srv_key: Vec<Key, MAX_IDENTITIES>,
    /// `.ca_cert`: the CAs that are trusted.
    pub ca_cert: Ders,
    /// `.root_certs`: further CAs, for servers alone, always strictly.
    pub root_certs: Bundle,
    /// `.cli_cert`: the client's certificate chain, leaf first: see [`Config::client`].
    pub cli_cert: Ders,
    /// `.cli_key`: its private key.
    pub cli_key: Vec<Key, 1>,
    /// `.names`: the DNS names and addresses for which the server's certificate is requested, one a line.
    pub names: Names,
    /// `.subject`: the subject for which certificates are requested; empty: of the server, its first name.
    pub subject: Subject,
    /// `.self_signed`: the server has a self-signed certificate until it gets another.
    pub self_signed: bool,
    /// `.client_auth`: whether the server asks its clients for certificates.
    pub client_auth: ClientAuth,
    /// `.allow`: the subjects of the clients that are allowed, or the hashes of their keys, one a line; empty: every valid
    /// client.
    pub allow: Allowed,
    /// `.verify`: the rule by which certificates of peers are verified.
    pub verify: Verify,
    /// `.crl`: revocation lists of the CAs.
    pub crl: Ders,
    /// `.handshake_timeout`: seconds from TCP connection to finished TLS handshake.
    pub handshake_timeout: u32,
    /// `.keylog`: the secrets of every connection go to the log.
    pub keylog: bool,
    /// `.selftest`: TLS is tested before the echo and HTTPS ports open.
    pub selftest: bool,
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
    /// `.reverse`: the peers to dial, and serve.
    pub reverse: Vec<Reverse, MAX_REVERSES>,
}

/// One of `.echo.reverse`.
#[derive(Debug, Clone)]
pub struct Reverse {
    /// `.ipaddr`: the peer's address.
    pub ipaddr: Option<IpAddr>,
    /// `.host`: or by name.
    pub host: String<MAX_NAME>,
    /// `.port`: at which port.
    pub port: u16,
    /// `.every`: seconds between one try and the next.
    pub every: u32,
    /// `.netif`: through which interface; empty: the first.
    pub netif: String<MAX_NETIF>,
    /// `.plain`: without TLS.
    pub plain: bool,
    /// `.direct`: not through `.proxy`.
    pub direct: bool,
    /// `.role`: which side is the TLS server.
    pub role: Role,
}

impl Reverse {
    pub(super) const fn new() -> Self {
        Self {
            ipaddr: None,
            host: String::new(),
            port: 0,
            every: Path::ReverseEvery.default(),
            netif: String::new(),
            plain: false,
            direct: false,
            role: Role::Either,
        }
    }
}
