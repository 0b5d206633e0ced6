//! The keys that a defconfig may hold: their names, kinds and limits.

use core::fmt;

use super::{ClientAuth, MAX_PASSWORD, MAX_USER, Role, Verify};

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column, in characters, from 1. A tab counts as one.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// What a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Further keys, in braces.
    Group,
    /// Any number of groups, up to [`MAX_REVERSES`](super::MAX_REVERSES), in braces again.
    List,
    /// A whole number from the first to the second, both included. A switch is 0 or 1.
    Number(u32, u32),
    /// An IPv4 address, `{ 10, 0, 2, 15 }`.
    Address,
    /// Certificates, as PEM in strings.
    Certificates,
    /// A bundle of certificates, as PEM in strings: more of them than elsewhere.
    Bundle,
    /// Revocation lists, as PEM in strings.
    Crls,
    /// Private keys, as PEM in strings.
    PrivateKeys,
    /// One of these words, in a string.
    Choice(&'static [&'static str]),
    /// The name of a file that holds what the key of that path takes.
    File(Path),
    /// A name, in a string.
    Name,
    /// Subjects or hashes of keys, each in a string, up to [`MAX_ALLOWED`](super::MAX_ALLOWED), in braces.
    Subjects,
    /// A text of at most so many bytes, in a string.
    Text(usize),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group => f.write_str("keys in braces, like `{ .name = value, }`"),
            Self::List => f.write_str("groups in braces, like `{ { .name = value, }, }`"),
            Self::Subjects => f.write_str("strings in braces, like `{ \"CN=alice\", }`"),
            Self::Name => f.write_str("a name in a string, like `\"vm0\"`"),
            Self::Text(most) => write!(f, "a text of at most {most} bytes in a string"),
            Self::Number(0, 1) => f.write_str("0 or 1"),
            Self::Number(min, max) => write!(f, "a number from {min} to {max}"),
            Self::Address => f.write_str("an address, like `{ 10, 0, 2, 15 }`"),
            Self::Choice(words) => {
                let last = words.len().saturating_sub(1);
                for (number, word) in words.iter().enumerate() {
                    let before = match number {
                        0 => "",
                        _ if number == last => " or ",
                        _ => ", ",
                    };
                    write!(f, "{before}\"{word}\"")?;
                }
                Ok(())
            }
            Self::Certificates | Self::Bundle | Self::Crls | Self::PrivateKeys => {
                f.write_str("PEM in strings, like `\"-----BEGIN ...\\n\" \"...\\n\"`")
            }
            Self::File(_) => f.write_str("the name of a PEM file in a string, like `\"pki/server.pem\"`"),
        }
    }
}

/// One day in seconds.
const DAY: u32 = 24 * 60 * 60;

macro_rules! keys {
    ($($name:ident $path:literal $kind:expr;)*) => {
        /// A key, by its whole path.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Path {
            $(#[doc = concat!("`", $path, "`.")] $name,)*
        }

        impl Path {
            /// Every key, in the order in which groups are read best.
            pub const ALL: &'static [Path] = &[$(Path::$name),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The path as it is written: `.tls.srv_key`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Path::$name => $path),* }
            }

            /// What the key takes.
            pub const fn kind(self) -> Kind {
                match self { $(Path::$name => $kind),* }
            }
        }
    };
}

keys! {
    Vmm ".vmm" Kind::Group;
    TelnetDbgsh ".vmm.telnet_dbgsh" Kind::Number(0, 1);
    TelnetReload ".vmm.telnet_reload" Kind::Number(0, 1);
    TlsDbgsh ".vmm.tls_dbgsh" Kind::Number(0, 65535);
    TtySyslog ".vmm.tty_syslog" Kind::Group;
    SyslogEnable ".vmm.tty_syslog.enable" Kind::Number(0, 1);
    SyslogSrc ".vmm.tty_syslog.src_ipaddr" Kind::Address;
    SyslogDst ".vmm.tty_syslog.dst_ipaddr" Kind::Address;
    PanicReboot ".vmm.panic_reboot" Kind::Number(0, 1);
    Ip ".ip" Kind::Group;
    UseDhcp ".ip.use_dhcp" Kind::Number(0, 1);
    Ipaddr ".ip.ipaddr" Kind::Address;
    Netmask ".ip.netmask" Kind::Address;
    Gateway ".ip.gateway" Kind::Address;
    Dns ".ip.dns" Kind::Address;
    Proxy ".proxy" Kind::Group;
    ProxyIpaddr ".proxy.ipaddr" Kind::Address;
    ProxyHost ".proxy.host" Kind::Name;
    ProxyPort ".proxy.port" Kind::Number(0, 65535);
    ProxyUser ".proxy.user" Kind::Text(MAX_USER);
    ProxyPassword ".proxy.password" Kind::Text(MAX_PASSWORD);
    Tls ".tls" Kind::Group;
    SrvCert ".tls.srv_cert" Kind::Certificates;
    SrvCertFile ".tls.srv_cert_file" Kind::File(Path::SrvCert);
    SrvKey ".tls.srv_key" Kind::PrivateKeys;
    SrvKeyFile ".tls.srv_key_file" Kind::File(Path::SrvKey);
    CaCert ".tls.ca_cert" Kind::Certificates;
    CaCertFile ".tls.ca_cert_file" Kind::File(Path::CaCert);
    RootCerts ".tls.root_certs" Kind::Bundle;
    RootCertsFile ".tls.root_certs_file" Kind::File(Path::RootCerts);
    CliCert ".tls.cli_cert" Kind::Certificates;
    CliCertFile ".tls.cli_cert_file" Kind::File(Path::CliCert);
    CliKey ".tls.cli_key" Kind::PrivateKeys;
    CliKeyFile ".tls.cli_key_file" Kind::File(Path::CliKey);
    ClientAuth ".tls.client_auth" Kind::Choice(ClientAuth::NAMES);
    Allow ".tls.allow" Kind::Subjects;
    Verify ".tls.verify" Kind::Choice(Verify::NAMES);
    Crl ".tls.crl" Kind::Crls;
    CrlFile ".tls.crl_file" Kind::File(Path::Crl);
    HandshakeTimeout ".tls.handshake_timeout" Kind::Number(1, 3600);
    Keylog ".tls.keylog" Kind::Number(0, 1);
    Selftest ".tls.selftest" Kind::Number(0, 1);
    Echo ".echo" Kind::Group;
    TlsPort ".echo.tls_port" Kind::Number(0, 65535);
    PlainPort ".echo.plain_port" Kind::Number(0, 65535);
    HttpsPort ".echo.https_port" Kind::Number(0, 65535);
    Connections ".echo.connections" Kind::Number(0, 1024);
    PerAddress ".echo.connections_per_address" Kind::Number(0, 1024);
    IdleTimeout ".echo.idle_timeout" Kind::Number(1, 30 * DAY);
    Reverse ".echo.reverse" Kind::List;
    ReverseIpaddr ".echo.reverse.ipaddr" Kind::Address;
    ReverseHost ".echo.reverse.host" Kind::Name;
    ReversePort ".echo.reverse.port" Kind::Number(1, 65535);
    ReverseEvery ".echo.reverse.every" Kind::Number(1, DAY);
    ReverseNetif ".echo.reverse.netif" Kind::Name;
    ReversePlain ".echo.reverse.plain" Kind::Number(0, 1);
    ReverseDirect ".echo.reverse.direct" Kind::Number(0, 1);
    ReverseRole ".echo.reverse.role" Kind::Choice(Role::NAMES);
}

impl Path {
    /// The key `name` of the group `parent` (`None`: of the whole).
    pub fn find(parent: Option<Path>, name: &str) -> Option<Path> {
        Self::children(parent).find(|path| path.name() == name)
    }

    /// The keys directly in the group `parent` (`None`: of the whole).
    pub fn children(parent: Option<Path>) -> impl Iterator<Item = Path> {
        Self::ALL
            .iter()
            .copied()
            .filter(move |path| path.parent_str() == parent.map_or("", Path::as_str))
    }

    /// The last part of the path: `srv_key`.
    pub fn name(self) -> &'static str {
        self.as_str().rsplit('.').next().unwrap_or_default()
    }

    /// The group around this key.
    pub fn parent(self) -> Option<Path> {
        Self::ALL
            .iter()
            .copied()
            .find(|path| path.as_str() == self.parent_str())
    }

    /// The `_file` form of this key, or the key of which this is the `_file` form.
    pub fn other_form(self) -> Option<Path> {
        match self.kind() {
            Kind::File(path) => Some(path),
            _ => Self::ALL.iter().copied().find(|path| path.kind() == Kind::File(self)),
        }
    }

    /// Of a private key its certificate, of a certificate its private key, in the form that holds the PEM itself; of a
    /// user the password, and of a password the user.
    pub fn partner(self) -> Option<Path> {
        Some(match self {
            Self::SrvCert | Self::SrvCertFile => Self::SrvKey,
            Self::SrvKey | Self::SrvKeyFile => Self::SrvCert,
            Self::CliCert | Self::CliCertFile => Self::CliKey,
            Self::CliKey | Self::CliKeyFile => Self::CliCert,
            Self::ProxyUser => Self::ProxyPassword,
            Self::ProxyPassword => Self::ProxyUser,
            _ => return None,
        })
    }

    /// The key that was probably meant by `name` in the group `parent`: one of the same name elsewhere, else one whose
    /// name differs by less than half.
    pub fn nearest(parent: Option<Path>, name: &str) -> Option<Path> {
        let home = parent.map_or("", Path::as_str);
        let score = |path: &Path| 2 * distance(path.name(), name) + usize::from(path.parent_str() != home);
        let best = Self::ALL.iter().copied().min_by_key(score)?;
        (distance(best.name(), name) * 2 < best.name().len().max(name.len())).then_some(best)
    }

    fn parent_str(self) -> &'static str {
        self.as_str().rsplit_once('.').map_or("", |(parent, _)| parent)
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The longest name for which [`distance`] is exact.
const MAX_NAME: usize = 32;

/// How many letters must be changed, put in or taken out to make `b` of `a` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let mut row = [0; MAX_NAME + 1];
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let (Some(row), true) = (row.get_mut(..=a.len()), b.len() <= MAX_NAME) else {
        return usize::MAX / 4;
    };
    for (at, cell) in row.iter_mut().enumerate() {
        *cell = at;
    }
    for (line, letter) in b.iter().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        let mut cells = row.iter_mut();
        if let Some(first) = cells.next() {
            *first = left;
        }
        for (cell, other) in cells.zip(a) {
            let above = *cell;
            left = (diagonal + usize::from(letter != other)).min(above + 1).min(left + 1);
            diagonal = above;
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}
