//! The table of keys: the path, kind, range, default and field of each.

use core::fmt;

use super::value::Slot;
use super::{ClientAuth, Config, MAX_PASSWORD, MAX_USER, Reverse, Role, Verify};

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
    /// A whole number: the least, the greatest, and the default. A switch is 0 or 1.
    Number(u32, u32, u32),
    /// An IPv4 address, `{ 10, 0, 2, 15 }`; 0.0.0.0 by default.
    Address,
    /// An IPv6 address in a string, `"2001:db8::15"` (RFC 4291 §2.2); empty by default.
    Address6,
    /// An address of either family, `{ 10, 0, 2, 15 }` or in a string; none by default.
    AnyAddress,
    /// Certificates, as PEM in strings.
    Certificates,
    /// A bundle of certificates, as PEM in strings: more of them than elsewhere.
    Bundle,
    /// Revocation lists, as PEM in strings.
    Crls,
    /// Private keys, as PEM in strings.
    PrivateKeys,
    /// One of these words, in a string; the first by default.
    Choice(&'static [&'static str]),
    /// The name of a file that holds what the key of that path takes.
    File(Path),
    /// A name, in a string.
    Name,
    /// Subjects or hashes of keys, each in a string, up to [`MAX_ALLOWED`](super::MAX_ALLOWED), in braces.
    Subjects,
    /// Names and addresses of hosts, each in a string, up to [`MAX_NAMES`](super::MAX_NAMES), in braces.
    Hosts,
    /// A subject, in a string.
    Subject,
    /// A text of at most so many bytes, in a string.
    Text(usize),
}

impl Kind {
    /// A switch that is off by default.
    const OFF: Self = Self::Number(0, 1, 0);
    /// A switch that is on by default.
    const ON: Self = Self::Number(0, 1, 1);
    /// A port; 0, the default: none.
    const PORT: Self = Self::Number(0, 65535, 0);

    /// How a value of this kind is written, for `path`.
    pub(super) fn write_help(self, f: &mut fmt::Formatter<'_>, path: Option<Path>) -> fmt::Result {
        let name = path.map_or("", Path::as_str);
        let child = || Path::children(path).next().map_or("name", Path::name);
        match self {
            Self::Group => write!(f, "Write `{name} = {{ .{} = ..., }}`", child()),
            Self::List => write!(f, "Write `{name} = {{ {{ .{} = ..., }}, }}`", child()),
            Self::Subjects => write!(f, "Write `{name} = {{ \"CN=alice\", }}`"),
            Self::Hosts => write!(f, "Write `{name} = {{ \"echo.example\", }}`"),
            Self::Address => f.write_str("Write it as four numbers in braces: `{ 10, 0, 2, 15 }`"),
            Self::Address6 => f.write_str("Write it in a string: `\"2001:db8::15\"`, or `\"\"` for none"),
            Self::AnyAddress => {
                f.write_str("Write it as four numbers in braces, `{ 10, 0, 2, 2 }`, or in a string, `\"2001:db8::2\"`")
            }
            Self::Number(..) => f.write_str("Write the plain number, without quotation marks or braces"),
            _ => f.write_str("Put it between quotation marks; adjacent strings are joined"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group => f.write_str("keys in braces, like `{ .name = value, }`"),
            Self::List => f.write_str("groups in braces, like `{ { .name = value, }, }`"),
            Self::Subjects => f.write_str("strings in braces, like `{ \"CN=alice\", }`"),
            Self::Hosts => f.write_str("strings in braces, like `{ \"echo.example\", }`"),
            Self::Subject => f.write_str("a subject in a string, like `\"CN=machine,O=Example\"`"),
            Self::Name => f.write_str("a name in a string, like `\"vm0\"`"),
            Self::Text(most) => write!(f, "a text of at most {most} bytes in a string"),
            Self::Number(0, 1, _) => f.write_str("0 or 1"),
            Self::Number(min, max, _) => write!(f, "a number from {min} to {max}"),
            Self::Address => f.write_str("an address, like `{ 10, 0, 2, 15 }`"),
            Self::Address6 => f.write_str("an IPv6 address in a string, like `\"2001:db8::15\"`"),
            Self::AnyAddress => f.write_str("an address, like `{ 10, 0, 2, 2 }` or `\"2001:db8::2\"`"),
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

/// Each row: the key, its path, its kind, and its field. `n` is the group of a list.
macro_rules! keys {
    (|$config:ident, $n:ident| $($name:ident $path:literal $kind:expr => $slot:expr;)*) => {
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
                use Kind::*;
                match self { $(Path::$name => $kind),* }
            }
        }

        impl Config {
            /// The field of `path`; of a key of a list, that in its group `n`, from 0.
            pub(super) fn slot_of(&mut self, path: Path, n: usize) -> Slot<'_> {
                use Slot::*;
                let ($config, $n) = (self, n);
                match path { $(Path::$name => $slot),* }
            }
        }
    };
}

keys! { |config, n|
    Vmm ".vmm" Group => Group;
    TelnetDbgsh ".vmm.telnet_dbgsh" Kind::OFF => Number(&mut config.vmm.telnet_dbgsh);
    TelnetReload ".vmm.telnet_reload" Kind::OFF => Number(&mut config.vmm.telnet_reload);
    TlsDbgsh ".vmm.tls_dbgsh" Kind::PORT => Number(&mut config.vmm.tls_dbgsh);
    TtySyslog ".vmm.tty_syslog" Group => Group;
    SyslogEnable ".vmm.tty_syslog.enable" Kind::OFF => Number(&mut config.vmm.tty_syslog.enable);
    SyslogSrc ".vmm.tty_syslog.src_ipaddr" AnyAddress => Address(&mut config.vmm.tty_syslog.src_ipaddr);
    SyslogDst ".vmm.tty_syslog.dst_ipaddr" AnyAddress => Address(&mut config.vmm.tty_syslog.dst_ipaddr);
    PanicReboot ".vmm.panic_reboot" Kind::OFF => Number(&mut config.vmm.panic_reboot);
    Ip ".ip" Group => Group;
    UseDhcp ".ip.use_dhcp" Kind::ON => Number(&mut config.ip.use_dhcp);
    Ipaddr ".ip.ipaddr" Address => Address(&mut config.ip.ipaddr);
    Netmask ".ip.netmask" Address => Address(&mut config.ip.netmask);
    Gateway ".ip.gateway" Address => Address(&mut config.ip.gateway);
    Dns ".ip.dns" Address => Address(&mut config.ip.dns);
    Ip6 ".ip6" Group => Group;
    Ip6Enable ".ip6.enable" Kind::ON => Number(&mut config.ip6.enable);
    UseSlaac ".ip6.use_slaac" Kind::ON => Number(&mut config.ip6.use_slaac);
    Ip6addr ".ip6.ipaddr" Address6 => Address(&mut config.ip6.ipaddr);
    Prefix ".ip6.prefix" Number(1, 128, 64) => Number(&mut config.ip6.prefix);
    Gateway6 ".ip6.gateway" Address6 => Address(&mut config.ip6.gateway);
    Dns6 ".ip6.dns" Address6 => Address(&mut config.ip6.dns);
    Proxy ".proxy" Group => Group;
    ProxyIpaddr ".proxy.ipaddr" AnyAddress => Address(&mut config.proxy.ipaddr);
    ProxyHost ".proxy.host" Name => Name(&mut config.proxy.host);
    ProxyPort ".proxy.port" Kind::PORT => Number(&mut config.proxy.port);
    ProxyUser ".proxy.user" Text(MAX_USER) => Text(&mut config.proxy.user.0);
    ProxyPassword ".proxy.password" Text(MAX_PASSWORD) => Text(&mut config.proxy.password.0);
    Tls ".tls" Group => Group;
    SrvCert ".tls.srv_cert" Certificates => Ders(&mut config.tls.srv_cert);
    SrvCertFile ".tls.srv_cert_file" File(Path::SrvCert) => Group;
    SrvKey ".tls.srv_key" PrivateKeys => Keys(&mut config.tls.srv_key);
    SrvKeyFile ".tls.srv_key_file" File(Path::SrvKey) => Group;
    CaCert ".tls.ca_cert" Certificates => Ders(&mut config.tls.ca_cert);
    CaCertFile ".tls.ca_cert_file" File(Path::CaCert) => Group;
    RootCerts ".tls.root_certs" Bundle => Bundle(&mut config.tls.root_certs);
    RootCertsFile ".tls.root_certs_file" File(Path::RootCerts) => Group;
    CliCert ".tls.cli_cert" Certificates => Ders(&mut config.tls.cli_cert);
    CliCertFile ".tls.cli_cert_file" File(Path::CliCert) => Group;
    CliKey ".tls.cli_key" PrivateKeys => Keys(&mut config.tls.cli_key);
    CliKeyFile ".tls.cli_key_file" File(Path::CliKey) => Group;
    Names ".tls.names" Hosts => Lines(&mut config.tls.names);
    Subject ".tls.subject" Subject => Subject(&mut config.tls.subject);
    SelfSigned ".tls.self_signed" Kind::OFF => Number(&mut config.tls.self_signed);
    ClientAuth ".tls.client_auth" Choice(ClientAuth::NAMES) => Choice(&mut config.tls.client_auth);
    Allow ".tls.allow" Subjects => Lines(&mut config.tls.allow);
    Verify ".tls.verify" Choice(Verify::NAMES) => Choice(&mut config.tls.verify);
    Crl ".tls.crl" Crls => Ders(&mut config.tls.crl);
    CrlFile ".tls.crl_file" File(Path::Crl) => Group;
    HandshakeTimeout ".tls.handshake_timeout" Number(1, 3600, 10) => Number(&mut config.tls.handshake_timeout);
    Keylog ".tls.keylog" Kind::OFF => Number(&mut config.tls.keylog);
    Selftest ".tls.selftest" Kind::OFF => Number(&mut config.tls.selftest);
    Echo ".echo" Group => Group;
    TlsPort ".echo.tls_port" Kind::PORT => Number(&mut config.echo.tls_port);
    PlainPort ".echo.plain_port" Kind::PORT => Number(&mut config.echo.plain_port);
    HttpsPort ".echo.https_port" Kind::PORT => Number(&mut config.echo.https_port);
    Connections ".echo.connections" Number(0, 1024, 0) => Number(&mut config.echo.connections);
    PerAddress ".echo.connections_per_address" Number(0, 1024, 0) => Number(&mut config.echo.connections_per_address);
    // Its default depends on which side has dialled.
    IdleTimeout ".echo.idle_timeout" Number(1, 30 * DAY, 0) => Number(&mut config.echo.idle_timeout);
    Reverse ".echo.reverse" List => Reverses(&mut config.echo.reverse);
    ReverseIpaddr ".echo.reverse.ipaddr" AnyAddress => of_reverse(config, n, |reverse| Address(&mut reverse.ipaddr));
    ReverseHost ".echo.reverse.host" Name => of_reverse(config, n, |reverse| Name(&mut reverse.host));
    ReversePort ".echo.reverse.port" Number(1, 65535, 0) => of_reverse(config, n, |reverse| Number(&mut reverse.port));
    ReverseEvery ".echo.reverse.every" Number(1, DAY, 10) => of_reverse(config, n, |reverse| Number(&mut reverse.every));
    ReverseNetif ".echo.reverse.netif" Name => of_reverse(config, n, |reverse| Name(&mut reverse.netif));
    ReversePlain ".echo.reverse.plain" Kind::OFF => of_reverse(config, n, |reverse| Number(&mut reverse.plain));
    ReverseDirect ".echo.reverse.direct" Kind::OFF => of_reverse(config, n, |reverse| Number(&mut reverse.direct));
    ReverseRole ".echo.reverse.role" Choice(Role::NAMES) => of_reverse(config, n, |reverse| Choice(&mut reverse.role));
}

fn of_reverse<'a>(config: &'a mut Config, n: usize, field: impl FnOnce(&'a mut Reverse) -> Slot<'a>) -> Slot<'a> {
    config.echo.reverse.get_mut(n).map_or(Slot::Group, field)
}

impl Path {
    /// The default, of a key that takes a number.
    pub(super) const fn default(self) -> u32 {
        match self.kind() {
            Kind::Number(_, _, default) => default,
            _ => 0,
        }
    }

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

    /// The certificate of a private key and the private key of a certificate, in the form that holds the PEM itself; the
    /// password of a user, and the user of a password.
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

    /// The key that `name` in the group `parent` is likely to mean: one of the same name elsewhere, else one whose name
    /// differs by less than half.
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
