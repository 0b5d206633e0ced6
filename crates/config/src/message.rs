//! The texts of faults: cause, then remedy.

use core::fmt;

use super::error::{At, Error, Fault, FileFault, Found, PemSource};
use super::keys::{Kind, Path};
use super::{MAX_ALLOWED, MAX_DER, MAX_IDENTITIES, MAX_KEY_DER, MAX_NAMES, MAX_STRING, MAX_TEXT};
use postern_tls::crypto::key::KeyError;
use postern_tls::pki::allow::MAX_ALLOWED_SUBJECT;
use postern_tls::pki::anchor::AnchorFault;
use postern_tls::pki::cert::Date;
use postern_tls::pki::crl::MAX_AGE;
use postern_tls::pki::error::CertificateError;
use postern_tls::pki::limits::MAX_CRLS_OF_INTERMEDIATE;
use postern_tls::pki::pem::PemFault;

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.position)?;
        if let Some(key) = self.key {
            write!(f, "{key}")?;
        }
        if let Fault::UnknownKey(name) = &self.fault {
            write!(f, ".{name}")?;
        }
        if self.key.is_some() || matches!(self.fault, Fault::UnknownKey(_)) {
            f.write_str(": ")?;
        }
        self.fault.write(f, self.key)
    }
}

impl Fault {
    /// Cause and remedy, as sentences; the last without its full stop.
    #[expect(clippy::too_many_lines, reason = "a flat table")]
    fn write(&self, f: &mut fmt::Formatter<'_>, key: Option<Path>) -> fmt::Result {
        let partner = || key.and_then(Path::partner).map_or("", Path::as_str);
        match self {
            Self::TextTooLong => write!(
                f,
                "the text is longer than {} KiB. Remove what is not needed, such as text between certificates",
                MAX_TEXT / 1024
            ),
            Self::StrayByte(byte) => {
                match byte {
                    0x21..=0x7e => write!(f, "`{}`", char::from(*byte))?,
                    _ => write!(f, "the byte 0x{byte:02x}")?,
                }
                f.write_str(
                    " means nothing here. Remove it; text goes between quotation marks, a comment after `//` or `#`",
                )
            }
            Self::UnterminatedString => f.write_str(
                "the string is not closed on its line. Close it with `\"`; a longer text is several strings, one per line",
            ),
            Self::UnterminatedComment => f.write_str("the comment is not closed. Close it with `*/`"),
            Self::Escape => f.write_str(
                "this is not an escape sequence of C. Write `\\n` for a new line and `\\\\` for a backslash",
            ),
            Self::StringTooLong => write!(
                f,
                "the strings are longer than {} KiB together. {PEM_ALONE}",
                MAX_STRING / 1024
            ),
            Self::Expected { expected, found } => write!(
                f,
                "expected {expected}, found {found}. Settings have the form `.name = value,`"
            ),
            Self::MissingComma => f.write_str("a comma is missing after this value. Put a comma here"),
            Self::UnclosedBrace { opened } => write!(f, "the `{{` at {opened} is not closed. Add a `}}`"),
            Self::AfterEnd(found) => write!(
                f,
                "{found} follows the end of the configuration. Move it inside the braces, or remove it"
            ),
            Self::UnknownKey(name) => unknown_key(f, key, name),
            Self::Duplicate { first } => write!(f, "this is set twice, first at {first}. Keep one of the two"),
            Self::BothForms { other, first } => {
                write!(f, "`{other}` at {first} sets the same. Keep one of the two")
            }
            Self::Type { kind, found } => {
                write!(f, "expected {kind}, found {found}. ")?;
                kind.write_help(f, key)
            }
            Self::Number(number) => write!(
                f,
                "`{number}` is not a number. Write it decimal (10), hexadecimal (0x0a) or octal (012)"
            ),
            Self::Range { number, kind } => {
                write!(f, "{number} is out of range: expected {kind}. Choose a number in that range")
            }
            Self::AddressElement(number) => write!(
                f,
                "{number} does not fit into an address. Each of the four numbers is from 0 to 255"
            ),
            Self::Address { word, kind } => {
                write!(f, "expected {kind}, found \"{word}\". ")?;
                kind.write_help(f, key)
            }
            Self::AddressLength(count) => {
                write!(f, "an address has four parts, this one has {count}. ")?;
                Kind::Address.write_help(f, key)
            }
            Self::Pem(error, source) => {
                match source {
                    PemSource::File { name, line } if error.number > 0 => write!(f, "line {line} of {name}: {error}. ")?,
                    _ => write!(f, "{error}. ")?,
                }
                pem_remedy(f, error.fault, source, key)
            }
            Self::NotForReload { number } => write!(
                f,
                "this PEM block is neither a certificate, nor a private key, nor a revocation list (block {number}). \
                 Leave it out"
            ),
            Self::Choice { word, kind } => write!(f, "\"{word}\" is not known: expected {kind}. Write one of these"),
            Self::TooMany(most) => write!(
                f,
                "there are more than {most} PEM blocks in it. {}",
                blocks_remedy(key)
            ),
            Self::DerTooLong => write!(
                f,
                "its PEM blocks take more than {MAX_DER} bytes together. {}",
                blocks_remedy(key)
            ),
            Self::TooManyKeys => write!(
                f,
                "there are more than {MAX_IDENTITIES} private keys in it. Keep those that are needed: one of each kind \
                 will do"
            ),
            Self::KeyTooLong => write!(
                f,
                "the private key takes more than {MAX_KEY_DER} bytes. Use a key of another kind, or a smaller one; RSA \
                 keys go up to 4096 bits"
            ),
            Self::NoFiles => write!(
                f,
                "files can be named at build time only: at boot there is no file system. Put the PEM itself into `{}`",
                key.and_then(Path::other_form).map_or("", Path::as_str)
            ),
            Self::FileName => f.write_str(
                "this cannot be the name of a file. Name a PEM file, relative to the directory of this defconfig",
            ),
            Self::File { name, fault } => write!(f, "cannot read {name}: {fault}"),
            Self::Certificate { number, error }
            | Self::Anchor {
                number,
                error: AnchorFault::Malformed(error),
            } => write!(
                f,
                "certificate {number} is broken: {error}. Use X.509 certificates as `openssl req -x509` and `openssl \
                 x509` make them"
            ),
            Self::Crl { number, error } => crl_fault(f, *number, error),
            Self::Anchor { number, error } => {
                write!(f, "certificate {number} cannot be used as a CA: {error}. Remove it")
            }
            Self::NotACa(number) => write!(
                f,
                "certificate {number} is not a CA certificate (it lacks basicConstraints CA:TRUE): it only trusts a peer \
                 that presents exactly this certificate. Configure its issuer to trust other certificates as well"
            ),
            Self::Refusable { number, error } => write!(
                f,
                "peers will refuse certificate {number}: {error}. {}",
                reissue_remedy(error, key)
            ),
            Self::WeakSignature { number, hash } => write!(
                f,
                "peers will refuse certificate {number}: it is signed with {hash}. {REISSUE}"
            ),
            Self::MissingIssuer { number, other } => write!(
                f,
                "certificate {number} is sent without its issuer, certificate {other}, which is in another chain. Put \
                 the issuer after it as well"
            ),
            Self::Twice { number, first } => {
                write!(f, "certificate {number} is the same as certificate {first}. Remove it")
            }
            Self::ChainSignature(number) => write!(
                f,
                "certificate {number} was not signed by the key of certificate {}, which has the name of its issuer. Use \
                 the issuer's certificate for the key that has signed it",
                number.saturating_add(1)
            ),
            Self::OlderCrl { number } => write!(
                f,
                "revocation list {number} is older than the current one of that CA. {NEWEST}"
            ),
            Self::TooManyOfOneCa { number } => write!(
                f,
                "revocation list {number} is one too many: its CA is not configured, and of such a CA handshakes verify \
                 {MAX_CRLS_OF_INTERMEDIATE}. {NEWEST}"
            ),
            Self::CrlWithoutCa => {
                f.write_str("no CA is configured for this revocation list. Set `.tls.ca_cert` as well")
            }
            Self::ClientAuthWithoutCa => {
                f.write_str("there is no CA to verify client certificates with. Set `.tls.ca_cert` as well")
            }
            Self::Expired { number, date } => write!(
                f,
                "certificate {number} expired {date}. Renew it; a longer life is `openssl x509 -days N`"
            ),
            Self::NotYetValid { number, date, now } => write!(
                f,
                "certificate {number} is not valid before {date:#}, and now is {now:#}. Wait until then, set the clock, \
                 or have the certificate issued again"
            ),
            Self::Clock { now, built } => write!(
                f,
                "the clock reads {now:#}, but the build is of {built:#}: dates cannot be verified. Set the machine's \
                 clock"
            ),
            Self::CertificateWithoutKey => write!(
                f,
                "there is no private key for this certificate. Set `{}` as well",
                partner()
            ),
            Self::KeyWithoutCertificate => write!(
                f,
                "there is no certificate for this private key. Set `{}` as well",
                partner()
            ),
            Self::Key(number, error) => {
                if let Some(number) = number {
                    write!(f, "private key {number}: ")?;
                }
                write!(f, "{error}. {}", key_remedy(error))
            }
            Self::KeyAlone(number) => write!(
                f,
                "none of the certificates belongs to private key {number}. Put its certificate into `{}`, or remove the \
                 key",
                partner()
            ),
            Self::KeyMismatch => f.write_str(
                "this private key does not belong to the certificate. Use the key with which the request for the \
                 certificate was made",
            ),
            Self::LeafNotFirst(number) => write!(
                f,
                "certificate 1 belongs to none of the private keys, but certificate {number} does. Put that certificate \
                 first, then the one that issued it, and so on"
            ),
            Self::ChainOrder(number) => write!(
                f,
                "certificate {number} was not issued by certificate {}. Order them: the leaf first, then the one that \
                 issued it, and so on",
                number.saturating_add(1)
            ),
            Self::Stray(number) => write!(
                f,
                "certificate {number} has not issued the one before it, and belongs to none of the private keys. If it \
                 begins a chain of its own, its private key is missing in `{}`",
                partner()
            ),
            Self::TooManyIdentities(most) => {
                match most {
                    1 => f.write_str("there is more than one chain of certificates in it. ")?,
                    most => write!(f, "there are more than {most} chains of certificates in it. ")?,
                }
                f.write_str("Keep those that are needed: one for each kind of key will do")
            }
            Self::NoWayToDns if key == Some(Path::Dns6) => f.write_str(
                "the DNS server is outside the prefix, and there is no router. Set `.ip6.gateway` as well, or \
                 `.ip6.use_slaac` to 1",
            ),
            Self::NoWayToDns => f.write_str(
                "the DNS server is outside the subnet, and there is no gateway. Set `.ip.gateway` as well, or `.ip.dns` \
                 to `{ 0, 0, 0, 0 }` for none",
            ),
            Self::NoAddress => write!(f, "without DHCP the machine has no address. {}", address_remedy(None)),
            Self::NoNetmask => f.write_str(
                "without DHCP the machine has no netmask. Set `.ip.netmask`, or `.ip.use_dhcp` to 1",
            ),
            Self::AddressWithDhcp => f.write_str(
                "this address is not used: DHCP assigns another. Set `.ip.use_dhcp` to 0 as well, or to 1 if DHCP is \
                 meant",
            ),
            Self::NotAHost => write!(f, "a machine cannot have this address. {}", address_remedy(key)),
            Self::LinkLocal => f.write_str(
                "this address is valid on its link only, where the machine makes one by itself. Use a global or unique \
                 local address (RFC 4193), or `\"\"` for none",
            ),
            Self::Netmask => f.write_str(
                "the netmask has a hole in it. Write ones, then zeroes, like `{ 255, 255, 255, 0 }`",
            ),
            Self::GatewayOutside if key == Some(Path::Gateway6) => write!(
                f,
                "the gateway is neither link-local nor inside the prefix of `.ip6.ipaddr`. {ROUTER6}"
            ),
            Self::GatewayIsSelf if key == Some(Path::Gateway6) => {
                write!(f, "the gateway is the machine itself. {ROUTER6}")
            }
            Self::GatewayOutside => write!(
                f,
                "the gateway is outside the subnet of `.ip.ipaddr` and `.ip.netmask`. {ROUTER}"
            ),
            Self::GatewayIsSelf => write!(f, "the gateway is the machine itself. {ROUTER}"),
            Self::GatewayWithoutAddress => f.write_str(
                "this gateway is not used: without `.ip6.ipaddr` routers are those that advertise themselves. Set \
                 `.ip6.ipaddr` as well, or `\"\"` for none",
            ),
            Self::PortTaken { by } => {
                match by {
                    Path::TelnetDbgsh => f.write_str("port 23 is taken by `.vmm.telnet_dbgsh`. ")?,
                    by => write!(f, "this port is taken by `{by}`. ")?,
                }
                f.write_str("Choose another port, or 0 for none")
            }
            Self::KeyLogToSyslog => f.write_str(
                "syslog would send the secrets of every connection unencrypted. Set `.tls.keylog` or \
                 `.vmm.tty_syslog.enable` to 0",
            ),
            Self::NoSyslogServer => {
                f.write_str("syslog is enabled, but no server is set. Set `.vmm.tty_syslog.dst_ipaddr`")
            }
            Self::NotInBraces(found) => {
                write!(f, "expected a group in braces, found {found}. ")?;
                Kind::List.write_help(f, key)
            }
            Self::TooManyGroups(most) => write!(
                f,
                "there are more than {most} groups in it. Keep those that are needed; the shell can start others in \
                 their place"
            ),
            Self::NotASubject(text) => write!(
                f,
                "\"{text}\" is neither the subject of a certificate nor the hash of a key. Write the whole subject as \
                 `status` and the log show it, such as `\"CN=alice,O=Example\"` (at most 93 bytes), or `\"sha256:...\"` \
                 with the 64 hexadecimal digits of the hash"
            ),
            Self::AllowedTwice => f.write_str("this client is already on the list. Remove it"),
            Self::TooManyAllowed => write!(
                f,
                "there are more than {MAX_ALLOWED} clients on the list. Allow them by a CA of their own instead"
            ),
            Self::AllowWithoutAuth => f.write_str(
                "clients are not asked for certificates. Set `.tls.client_auth = \"required\"` (or \"optional\"), or \
                 remove `.tls.allow`",
            ),
            Self::NotAnAlternative(name) => write!(
                f,
                "\"{name}\" is neither a host name nor an IP address. Write a name of letters, digits, hyphens and dots, or \
                 an address: `\"echo.example\"`, `\"10.0.2.15\"`, `\"2001:db8::15\"`"
            ),
            Self::NameTwice => f.write_str("this name is already on the list. Remove it"),
            Self::TooManyNames => write!(
                f,
                "there are more than {MAX_NAMES} names on the list, or they are too long together. Keep those by which \
                 clients connect"
            ),
            Self::NotRequestable(text) => write!(
                f,
                "\"{text}\" cannot be the subject of a request. Write CN, OU, O, L, ST and C, the most specific first, \
                 without blanks around commas, such as `\"CN=machine,O=Example\"` (at most {MAX_ALLOWED_SUBJECT} bytes)"
            ),
            Self::RequestWithoutNames => f.write_str(
                "there are no names to request the server's certificate for. Set `.tls.names = { \"echo.example\", }` to \
                 those by which clients connect",
            ),
            Self::RequestWithoutSubject => f.write_str(
                "there is no subject to request the client's certificate for. Set `.tls.subject = \"CN=machine\"`",
            ),
            Self::OnlyForBootKey => write!(
                f,
                "this concerns only keys that are made at boot. Set `{}` as well, or remove this",
                match key {
                    Some(Path::Subject) => ".tls.srv_key` or `.tls.cli_key` to `\"generate\"",
                    _ => ".tls.srv_key = \"generate\"",
                }
            ),
            Self::CertificateBeforeKey => write!(
                f,
                "a certificate cannot be for a key that is yet to be made. Remove it and load the certificate with `tls \
                 reload` after each boot, or set `{}` to its private key",
                partner()
            ),
            Self::NotForBootKey => f.write_str(
                "the certificate is not for the key that was made at this boot. Sign the request that `tls csr` prints now",
            ),
            Self::MadeAtBoot => f.write_str(
                "keys are made at boot, and the current configuration has none of these. Restart with this configuration \
                 as the boot module, or give the private key",
            ),
            Self::NotAName(name) => write!(
                f,
                "\"{name}\" is not a valid name. Write letters, digits, hyphens and dots; an address goes into `.ipaddr`"
            ),
            Self::ReverseWithoutCa => f.write_str(
                "there is no CA to verify the peer with. Set `.tls.ca_cert` as well, or `.plain = 1` to do without TLS",
            ),
            Self::NoHostToDial => f.write_str("there is no host to dial. Set `.ipaddr` or `.host`, and `.port`"),
            Self::TwoHostsToDial => {
                f.write_str("both an address and a name are set. Keep one of `.ipaddr` and `.host`")
            }
            Self::NoPortToDial => f.write_str("there is no port to dial. Set `.port` to where the peer listens"),
            Self::LongerThan(most) => write!(f, "this is longer than {most} bytes. {PRINTABLE}"),
            Self::NotText => write!(
                f,
                "there are control characters in it, or bytes that are not UTF-8. {PRINTABLE}"
            ),
            Self::ColonInUser => f.write_str(
                "there is a colon in it, at which the password would begin. Use a user name without one (RFC 7617 §2)",
            ),
            Self::UserWithoutPassword => write!(f, "there is no password for this user. Set `{}` as well", partner()),
            Self::PasswordWithoutUser => write!(f, "there is no user for this password. Set `{}` as well", partner()),
        }
    }
}

const PEM_ALONE: &str = "Keep only the PEM blocks, without the text between them";
const REISSUE: &str = "Have it reissued by a CA that peers accept";
const NEWEST: &str = "Use the newest list of that CA";
const ROUTER: &str = "Use the router's address, or `{ 0, 0, 0, 0 }` for none";
const ROUTER6: &str = "Use the router's address, or `\"\"` for none";
const PRINTABLE: &str = "Use the login that the proxy expects: a short text of letters, digits and signs";

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file")?,
            Self::Denied => f.write_str("permission denied")?,
            Self::TooLarge => {
                return write!(f, "it is larger than {} KiB. {PEM_ALONE}", MAX_STRING / 1024);
            }
            Self::System(number) => write!(f, "error {number} of the operating system")?,
        }
        f.write_str(". Put the PEM file there, or correct the name: it is relative to the directory of this defconfig")
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end of the text"),
            Self::Mark(mark) => write!(f, "`{mark}`"),
            Self::Text => f.write_str("a string"),
            Self::Number(number) => write!(f, "the number {number}"),
            Self::Word(word) => write!(f, "`{word}`"),
        }
    }
}

fn unknown_key(f: &mut fmt::Formatter<'_>, group: Option<Path>, name: &str) -> fmt::Result {
    f.write_str("there is no such key. ")?;
    if let Some(nearest) = Path::nearest(group, name) {
        return write!(f, "Did you mean `{nearest}`?");
    }
    f.write_str("There are")?;
    for (number, path) in Path::children(group).enumerate() {
        write!(f, "{} `{path}`", if number == 0 { "" } else { "," })?;
    }
    Ok(())
}

/// Where there are too many certificates or revocation lists.
fn blocks_remedy(key: Option<Path>) -> &'static str {
    match key {
        Some(Path::CaCert | Path::CaCertFile | Path::RootCerts | Path::RootCertsFile) => {
            "Keep the certificate authorities that are needed"
        }
        Some(Path::Crl | Path::CrlFile) => "Keep the revocation lists that are needed",
        _ => "Keep the leaf certificates and their intermediates; roots can be left out",
    }
}

fn address_remedy(key: Option<Path>) -> &'static str {
    match key {
        Some(Path::Dns) => "Use the address of a DNS server, or `{ 0, 0, 0, 0 }` for none",
        Some(Path::Dns6) => "Use the address of a DNS server, or `\"\"` for none",
        Some(Path::ProxyIpaddr) => "Use the address of the proxy",
        Some(Path::SyslogDst) => "Use the address of the syslog server",
        Some(Path::SyslogSrc) => "Use an address of the machine, or `{ 0, 0, 0, 0 }` for its own",
        Some(Path::Reverse) => "Use the address of the host to dial",
        Some(Path::Ip6addr) => "Use a global or unique local address (RFC 4193), or `\"\"` for none",
        _ => "Set `.ip.ipaddr` to the machine's own, or `.ip.use_dhcp` to 1",
    }
}

/// How a certificate of our own comes to be accepted.
fn reissue_remedy(error: &CertificateError, key: Option<Path>) -> &'static str {
    match (error, key) {
        (CertificateError::WrongPurpose { .. }, Some(Path::CliCert | Path::CliCertFile)) => {
            "Reissue it with extendedKeyUsage clientAuth, or without any"
        }
        (CertificateError::WrongPurpose { .. }, _) => "Reissue it with extendedKeyUsage serverAuth, or without any",
        (CertificateError::KeyMayNotSign, _) => "Reissue it with keyUsage digitalSignature, or without any",
        (CertificateError::UnsupportedCriticalExtension, _) => {
            "Reissue it without that extension, or with it not critical"
        }
        _ => REISSUE,
    }
}

fn key_remedy(error: &KeyError) -> &'static str {
    match error {
        KeyError::Unsupported(_) => {
            "Use ECDSA on P-256: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
        }
        KeyError::Encrypted => DECRYPT,
        KeyError::RsaSize(_) => "Create a new one: `openssl genpkey -algorithm RSA` makes one of 2048 bits",
        _ => "Create a new one: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
    }
}

const DECRYPT: &str = "Decrypt it first: `openssl pkey -in FILE -out NEWFILE`";

/// The fault of a revocation list, and its remedy.
fn crl_fault(f: &mut fmt::Formatter<'_>, number: usize, error: &CertificateError) -> fmt::Result {
    const COMPLETE: &str = "Use a complete list of one CA, as `openssl ca -gencrl` makes it";
    write!(f, "revocation list {number} ")?;
    match *error {
        CertificateError::MalformedCrl => write!(f, "is broken. {COMPLETE}"),
        CertificateError::UnsupportedCrl(kind) => write!(f, "is not supported: {kind}. {COMPLETE}"),
        CertificateError::CrlBadSignature => {
            f.write_str("was not signed by the CA that it names. Use the list of this CA, or remove it")
        }
        CertificateError::CrlUnsupportedSignature => f.write_str(
            "is signed with an algorithm or key that is not supported. Have the CA sign it with SHA-256, SHA-384 or \
             SHA-512: `openssl ca -gencrl -md sha256`",
        ),
        CertificateError::CrlIssuerMayNotSign => f.write_str(
            "is signed by a CA that may not sign revocation lists (keyUsage lacks cRLSign). Give the CA's certificate \
             keyUsage cRLSign, or remove the list",
        ),
        CertificateError::CrlExpired { next_update, now } => write!(
            f,
            "expired {:#} (it is {:#} now). {NEWEST}",
            Date(next_update),
            Date(now)
        ),
        CertificateError::CrlNotYetValid { this_update, now } => write!(
            f,
            "is not valid before {:#} (it is {:#} now). Wait until then, or set the clock",
            Date(this_update),
            Date(now)
        ),
        CertificateError::CrlTooOld { this_update, now } => write!(
            f,
            "has no nextUpdate and is more than {MAX_AGE} days old: issued {:#} (it is {:#} now). {NEWEST}",
            Date(this_update),
            Date(now)
        ),
        error => write!(f, "cannot be used: {error}. {COMPLETE}"),
    }
}

fn pem_remedy(f: &mut fmt::Formatter<'_>, fault: PemFault, source: &PemSource, key: Option<Path>) -> fmt::Result {
    let strings = *source == PemSource::Strings;
    let label = match fault {
        PemFault::NoCertificate | PemFault::NotACertificate => "CERTIFICATE",
        PemFault::NoCrl | PemFault::NotACrl => "X509 CRL",
        PemFault::NoKey | PemFault::NotAKey => "PRIVATE KEY",
        PemFault::SecondKey => return f.write_str("Keep the one that belongs to the certificate"),
        PemFault::Begin | PemFault::End if strings => {
            return f.write_str("Each line of the PEM is a line of its own: as strings, each ends in `\\n`");
        }
        PemFault::Begin | PemFault::End => {
            return f.write_str("Put it on a line of its own, with five dashes on both sides");
        }
        PemFault::NoEnd => {
            return f.write_str("Copy the PEM whole, from `-----BEGIN` to the last dashes of `-----END`");
        }
        PemFault::Base64 if strings => {
            return f.write_str("Copy the PEM again, whole; as strings, each line ends in `\\n`");
        }
        PemFault::Base64 => return f.write_str("Copy the PEM again, whole"),
        PemFault::Encrypted => return f.write_str(DECRYPT),
        PemFault::TooLong => return f.write_str("Keep only the certificates and the key that are needed"),
    };
    let path = key.map_or("", Path::as_str);
    write!(f, "`{path}` takes PEM blocks that begin with `-----BEGIN {label}-----`")?;
    match label {
        "PRIVATE KEY" => f.write_str(", or \"generate\""),
        _ => Ok(()),
    }
}
