//! What can be wrong with a defconfig: where, which key, what, and the way out.

use core::fmt;

use heapless::String;

use super::keys::{Kind, Path, Position};
use super::{MAX_ALLOWED, MAX_DER, MAX_IDENTITIES, MAX_KEY_DER, MAX_STRING, MAX_TEXT};
use postern_tls::crypto::key::KeyError;
use postern_tls::pki::anchor::AnchorFault;
use postern_tls::pki::cert::{CertError, Date};
use postern_tls::pki::crl::MAX_AGE;
use postern_tls::pki::error::CertificateError;
use postern_tls::pki::limits::MAX_CRLS_OF_INTERMEDIATE;
use postern_tls::pki::pem::{PemError, PemFault};

/// A fault in a defconfig.
///
/// Displayed as `LINE:COLUMN: .key: what. remedy`, with [`Error::at`] as `FILE:LINE:COLUMN: .key: what. remedy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where.
    pub position: Position,
    /// The key concerned, if there is one; of an unknown key the group around it.
    pub key: Option<Path>,
    /// What is wrong.
    pub fault: Fault,
}

impl Error {
    /// The error as it is shown to a person who has several files.
    pub fn at<'a>(&'a self, file: &'a str) -> At<'a> {
        At { file, error: self }
    }
}

/// An [`Error`] with the name of its file.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    file: &'a str,
    error: &'a Error,
}

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
        self.fault.what(f)?;
        f.write_str(". ")?;
        self.fault.remedy(f, self.key)
    }
}

impl core::error::Error for Error {}

/// What is wrong with a defconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The text is longer than [`MAX_TEXT`].
    TextTooLong,
    /// A byte that begins nothing.
    StrayByte(u8),
    /// A string without its closing quotation mark on the same line.
    UnterminatedString,
    /// A comment without its `*/`.
    UnterminatedComment,
    /// A backslash and what is no escape of C (C11 §6.4.4.4).
    Escape,
    /// A value's strings are longer than [`MAX_STRING`] together.
    StringTooLong,
    /// Something else was due here.
    Expected {
        /// What was due.
        expected: &'static str,
        /// What there is.
        found: Found,
    },
    /// No comma between a value and what follows it.
    MissingComma,
    /// A `{` that is never closed.
    UnclosedBrace {
        /// Where it is.
        opened: Position,
    },
    /// Something after the end of the configuration.
    AfterEnd(Found),
    /// A key that there is not.
    UnknownKey(Name),
    /// The key has been set before.
    Duplicate {
        /// Where.
        first: Position,
    },
    /// The same thing is set by its other form as well.
    BothForms {
        /// The other form.
        other: Path,
        /// Where.
        first: Position,
    },
    /// The value is not of the key's kind.
    Type {
        /// What the key takes.
        kind: Kind,
        /// What there is.
        found: Found,
    },
    /// The digits are not a number of C.
    Number(Name),
    /// The number is too small or too large.
    Range {
        /// As it is written.
        number: Name,
        /// What the key takes.
        kind: Kind,
    },
    /// A part of an address is not between 0 and 255.
    AddressElement(Name),
    /// An address has not four parts.
    AddressLength(usize),
    /// The PEM is broken.
    Pem(PemError, PemSource),
    /// The word is none of those that the key takes.
    Choice {
        /// As it is written.
        word: Name,
        /// What the key takes.
        kind: Kind,
    },
    /// More certificates or revocation lists than this many.
    TooMany(usize),
    /// The DER of the certificates or revocation lists is longer than [`MAX_DER`] together.
    DerTooLong,
    /// More than [`MAX_IDENTITIES`] private keys.
    TooManyKeys,
    /// The DER of the private key is longer than [`MAX_KEY_DER`].
    KeyTooLong,
    /// A `_file` key where there are no files.
    NoFiles,
    /// The name of the file is empty, too long or not text.
    FileName,
    /// The file cannot be read.
    File {
        /// Its name.
        name: Name,
        /// Why.
        fault: FileFault,
    },
    /// A certificate is no X.509 certificate.
    Certificate {
        /// Which of the value's certificates, from 1.
        number: usize,
        /// Why.
        error: CertError,
    },
    /// A revocation list is none, or of a kind that is not supported.
    Crl {
        /// Which of the value's lists, from 1.
        number: usize,
        /// Why.
        error: CertificateError,
    },
    /// A configured CA cannot be used.
    Anchor {
        /// Which of the value's certificates, from 1.
        number: usize,
        /// Why.
        error: AnchorFault,
    },
    /// A warning: this certificate, from 1, stands among the CAs and is none.
    NotACa(usize),
    /// A warning: a peer that verifies as this program does will refuse a certificate of our own.
    Refusable {
        /// Which, from 1.
        number: usize,
        /// Why.
        error: CertificateError,
    },
    /// A warning: the signature on a certificate of our own is made with a hash that peers no longer accept.
    WeakSignature {
        /// Which, from 1.
        number: usize,
        /// The hash.
        hash: &'static str,
    },
    /// A warning: a chain ends with a certificate whose issuer stands in another chain.
    MissingIssuer {
        /// The last of the chain, from 1.
        number: usize,
        /// Its issuer, from 1.
        other: usize,
    },
    /// A certificate stands twice in one chain, or begins two.
    Twice {
        /// Which, from 1.
        number: usize,
        /// Where it stands first, from 1.
        first: usize,
    },
    /// This certificate, from 1, names the one after it as its issuer, but was not signed by its key.
    ChainSignature(usize),
    /// There are revocation lists, but no CA whose they could be.
    CrlWithoutCa,
    /// A revocation list came before the one of the same CA that is in force.
    OlderCrl {
        /// Which, from 1.
        number: usize,
    },
    /// A revocation list is of a CA that is not configured, and that has as many already as a handshake verifies.
    TooManyOfOneCa {
        /// Which, from 1.
        number: usize,
    },
    /// Clients are to be asked for certificates, but there is no CA to judge them by.
    ClientAuthWithoutCa,
    /// A certificate has expired.
    Expired {
        /// Which of the value's certificates, from 1.
        number: usize,
        /// When.
        date: Date,
    },
    /// A certificate is not valid yet.
    NotYetValid {
        /// Which of the value's certificates, from 1.
        number: usize,
        /// When it will be.
        date: Date,
        /// What the clock says.
        now: Date,
    },
    /// The clock is before the image was built, so that no date can be judged.
    Clock {
        /// What the clock says.
        now: Date,
        /// When the image was built.
        built: Date,
    },
    /// There is a certificate but no private key.
    CertificateWithoutKey,
    /// There is a private key but no certificate.
    KeyWithoutCertificate,
    /// A private key cannot be used; which, from 1, where there are several.
    Key(Option<usize>, KeyError),
    /// The private key is that of another certificate.
    KeyMismatch,
    /// This private key of several, from 1, is that of another certificate.
    KeyAlone(usize),
    /// The first certificate that belongs to a private key is this one, from 1, which therefore has to be the first.
    LeafNotFirst(usize),
    /// The issuer of this certificate, from 1, is not the one after it.
    ChainOrder(usize),
    /// This certificate, from 1, neither issued the one before it nor belongs to a private key.
    Stray(usize),
    /// More than so many chains.
    TooManyIdentities(usize),
    /// Static addresses, and a DNS server in another subnet, to which there is no gateway.
    NoWayToDns,
    /// No DHCP, and no address.
    NoAddress,
    /// No DHCP, and no netmask.
    NoNetmask,
    /// There is an address, and DHCP is not switched off.
    AddressWithDhcp,
    /// The address is that of a network, a broadcast, the loopback or a multicast group.
    NotAHost,
    /// The ones of the netmask are not all to the left.
    Netmask,
    /// The gateway is not in the subnet.
    GatewayOutside,
    /// The gateway is the machine itself.
    GatewayIsSelf,
    /// The port is taken.
    PortTaken {
        /// By which key's service.
        by: Path,
    },
    /// `.tls.keylog` together with syslog.
    KeyLogToSyslog,
    /// Syslog is enabled, but there is nobody to send to.
    NoSyslogServer,
    /// A list has something else than groups in braces in it.
    NotInBraces(Found),
    /// A list has more than so many groups.
    TooManyGroups(usize),
    /// This can be neither the subject of a certificate nor the hash of a key.
    NotASubject(Name),
    /// The same client is allowed twice.
    AllowedTwice,
    /// There are more than [`MAX_ALLOWED`] of them.
    TooManyAllowed,
    /// Nobody is asked for a certificate who could be on the list.
    AllowWithoutAuth,
    /// Neither a host nor an interface can have this name.
    NotAName(Name),
    /// A reverse connection, or the proxy, has neither address nor name.
    NobodyToDial,
    /// A reverse connection, or the proxy, has both.
    DialBoth,
    /// Reverse connections over TLS, and no CA to judge the other end by.
    ReverseWithoutCa,
    /// A reverse connection, or the proxy, has no port.
    NoPortToDial,
    /// The text is longer than so many bytes.
    LongerThan(usize),
    /// The text has control characters in it, or is no UTF-8.
    NotText,
    /// The user's name has a colon in it, which ends it on the way to the proxy (RFC 7617 §2).
    ColonInUser,
    /// There is a user, and no password.
    UserWithoutPassword,
    /// There is a password, and no user.
    PasswordWithoutUser,
}

/// Where a PEM text stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PemSource {
    /// In the strings of the configuration.
    Strings,
    /// By itself: the whole text is PEM.
    Text,
    /// In a file that a `_file` key names.
    File {
        /// Its name.
        name: Name,
        /// The line of the fault, from 1.
        line: u32,
    },
}

/// Why a file cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFault {
    /// There is none of this name.
    Missing,
    /// Its permissions forbid it.
    Denied,
    /// It is larger than [`MAX_STRING`].
    TooLarge,
    /// Another reason, by the operating system's number for it.
    System(i32),
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => f.write_str("there is no such file"),
            Self::Denied => f.write_str("permission denied"),
            Self::TooLarge => write!(f, "it is larger than {} KiB", MAX_STRING / 1024),
            Self::System(number) => write!(f, "error {number} of the operating system"),
        }
    }
}

/// A piece of the text, cut to a length that can be shown.
pub type Name = String<40>;

/// What stands somewhere instead of what was due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// The end of the text.
    End,
    /// A punctuation mark.
    Mark(char),
    /// A string.
    Text,
    /// A number.
    Number(Name),
    /// A word.
    Word(Name),
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

impl Fault {
    /// What is wrong, as the beginning of a sentence.
    fn what(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TextTooLong => write!(f, "the text is longer than {} KiB", MAX_TEXT / 1024),
            Self::StrayByte(byte @ 0x21..=0x7e) => write!(f, "`{}` means nothing here", char::from(*byte)),
            Self::StrayByte(byte) => write!(f, "the byte 0x{byte:02x} means nothing here"),
            Self::UnterminatedString => f.write_str("the string is not closed on its line"),
            Self::UnterminatedComment => f.write_str("the comment is not closed"),
            Self::Escape => f.write_str("this is no escape sequence of C"),
            Self::StringTooLong => write!(f, "the strings are longer than {} KiB together", MAX_STRING / 1024),
            Self::Expected { expected, found } => write!(f, "expected {expected}, found {found}"),
            Self::MissingComma => f.write_str("a comma is missing after this value"),
            Self::UnclosedBrace { opened } => write!(f, "the `{{` at {opened} is not closed"),
            Self::AfterEnd(found) => write!(f, "{found} stands after the end of the configuration"),
            Self::UnknownKey(_) => f.write_str("there is no such key"),
            Self::Duplicate { first } => write!(f, "this is set twice, first at {first}"),
            Self::BothForms { other, first } => write!(f, "`{other}` at {first} sets the same"),
            Self::Type { kind, found } => write!(f, "expected {kind}, found {found}"),
            Self::Number(number) => write!(f, "`{number}` is not a number"),
            Self::Range { number, kind } => write!(f, "{number} is out of range: expected {kind}"),
            Self::AddressElement(number) => write!(f, "{number} does not fit into an address"),
            Self::AddressLength(count) => write!(f, "an address has four parts, this one has {count}"),
            Self::Pem(error, PemSource::File { name, line }) if error.number > 0 => {
                write!(f, "line {line} of {name}: {error}")
            }
            Self::Pem(error, _) => write!(f, "{error}"),
            Self::Choice { word, kind } => write!(f, "\"{word}\" is not known: expected {kind}"),
            Self::TooMany(most) => write!(f, "there are more than {most} PEM blocks in it"),
            Self::DerTooLong => write!(f, "its PEM blocks take more than {MAX_DER} bytes together"),
            Self::TooManyKeys => write!(f, "there are more than {MAX_IDENTITIES} private keys in it"),
            Self::KeyTooLong => write!(f, "the private key takes more than {MAX_KEY_DER} bytes"),
            Self::NoFiles => f.write_str("files can be named at build time only: at boot there is no file system"),
            Self::FileName => f.write_str("this cannot be the name of a file"),
            Self::File { name, fault } => write!(f, "cannot read {name}: {fault}"),
            Self::Certificate { number, error } => write!(f, "certificate {number} is broken: {error}"),
            Self::Crl { number, error } => {
                write!(f, "revocation list {number} ")?;
                crl_fault(f, error)
            }
            Self::Anchor {
                number,
                error: AnchorFault::Malformed(error),
            } => write!(f, "certificate {number} is broken: {error}"),
            Self::Anchor { number, error } => write!(f, "certificate {number} cannot be used as a CA: {error}"),
            Self::NotACa(number) => write!(
                f,
                "certificate {number} is not that of a CA (it lacks basicConstraints CA:TRUE): only a peer that presents \
                 this very certificate is trusted"
            ),
            Self::Refusable { number, error } => write!(f, "peers will refuse certificate {number}: {error}"),
            Self::WeakSignature { number, hash } => {
                write!(f, "peers will refuse certificate {number}: it is signed with {hash}")
            }
            Self::MissingIssuer { number, other } => write!(
                f,
                "certificate {number} is sent without its issuer, certificate {other}, which is in another chain"
            ),
            Self::Twice { number, first } => write!(f, "certificate {number} is the same as certificate {first}"),
            Self::ChainSignature(number) => write!(
                f,
                "certificate {number} was not signed by the key of certificate {}, which has the name of its issuer",
                number.saturating_add(1)
            ),
            Self::OlderCrl { number } => {
                write!(
                    f,
                    "revocation list {number} is older than the one of that CA which is in force"
                )
            }
            Self::TooManyOfOneCa { number } => write!(
                f,
                "revocation list {number} is one too many: its CA is not configured, and of such a CA handshakes verify \
                 {MAX_CRLS_OF_INTERMEDIATE}"
            ),
            Self::CrlWithoutCa => f.write_str("there is no CA whose revocation list this could be"),
            Self::ClientAuthWithoutCa => f.write_str("there is no CA to judge the certificates of clients by"),
            Self::Expired { number, date } => write!(f, "certificate {number} expired {date}"),
            Self::NotYetValid { number, date, now } => {
                write!(
                    f,
                    "certificate {number} is not valid before {date:#}, and now is {now:#}"
                )
            }
            Self::Clock { now, built } => {
                write!(
                    f,
                    "the clock says {now:#}, but this was built {built:#}: no date can be judged"
                )
            }
            Self::CertificateWithoutKey => f.write_str("there is no private key for this certificate"),
            Self::KeyWithoutCertificate => f.write_str("there is no certificate for this private key"),
            Self::Key(None, error) => write!(f, "{error}"),
            Self::Key(Some(number), error) => write!(f, "private key {number}: {error}"),
            Self::KeyAlone(number) => write!(f, "none of the certificates belongs to private key {number}"),
            Self::KeyMismatch => f.write_str("this private key does not belong to the certificate"),
            Self::LeafNotFirst(number) => {
                write!(
                    f,
                    "certificate 1 belongs to none of the private keys, but certificate {number} does"
                )
            }
            Self::ChainOrder(number) => {
                write!(
                    f,
                    "certificate {number} was not issued by certificate {}",
                    number.saturating_add(1)
                )
            }
            Self::Stray(number) => {
                write!(
                    f,
                    "certificate {number} has not issued the one before it, and belongs to none of the private keys"
                )
            }
            Self::TooManyIdentities(1) => f.write_str("there is more than one chain of certificates in it"),
            Self::TooManyIdentities(most) => {
                write!(f, "there are more than {most} chains of certificates in it")
            }
            Self::NoWayToDns => f.write_str("the DNS server is outside the subnet, and there is no gateway"),
            Self::NoAddress => f.write_str("without DHCP the machine has no address"),
            Self::NoNetmask => f.write_str("without DHCP the machine has no netmask"),
            Self::AddressWithDhcp => f.write_str("this address is not used, for DHCP gives another"),
            Self::NotAHost => f.write_str("a machine cannot have this address"),
            Self::Netmask => f.write_str("the netmask has a hole in it"),
            Self::GatewayOutside => f.write_str("the gateway is outside the subnet of `.ip.ipaddr` and `.ip.netmask`"),
            Self::GatewayIsSelf => f.write_str("the gateway is the machine itself"),
            Self::PortTaken { by: Path::TelnetDbgsh } => f.write_str("port 23 is taken by `.vmm.telnet_dbgsh`"),
            Self::PortTaken { by } => write!(f, "this port is taken by `{by}`"),
            Self::KeyLogToSyslog => f.write_str("syslog would send the secrets of every connection unencrypted"),
            Self::NoSyslogServer => f.write_str("syslog is enabled, but has nobody to send to"),
            Self::NotInBraces(found) => write!(f, "expected a group in braces, found {found}"),
            Self::TooManyGroups(most) => write!(f, "there are more than {most} groups in it"),
            Self::NotASubject(text) => {
                write!(
                    f,
                    "\"{text}\" is neither the subject of a certificate nor the hash of a key"
                )
            }
            Self::AllowedTwice => f.write_str("this client is on the list already"),
            Self::TooManyAllowed => write!(f, "there are more than {MAX_ALLOWED} clients on the list"),
            Self::AllowWithoutAuth => f.write_str("no client is asked who it is"),
            Self::NotAName(name) => write!(f, "\"{name}\" cannot be the name of one"),
            Self::ReverseWithoutCa => f.write_str("there is no CA to judge the other end by"),
            Self::NobodyToDial => f.write_str("there is nobody to dial"),
            Self::DialBoth => f.write_str("there is an address to dial, and a name as well"),
            Self::NoPortToDial => f.write_str("there is no port to dial"),
            Self::LongerThan(most) => write!(f, "this is longer than {most} bytes"),
            Self::NotText => f.write_str("there are control characters in it, or bytes that are not UTF-8"),
            Self::ColonInUser => f.write_str("there is a colon in it, at which the password would begin"),
            Self::UserWithoutPassword => f.write_str("there is no password for this user"),
            Self::PasswordWithoutUser => f.write_str("there is no user whose password this is"),
        }
    }

    /// The way out, as a sentence without its full stop.
    fn remedy(&self, f: &mut fmt::Formatter<'_>, key: Option<Path>) -> fmt::Result {
        let path = key.map_or("", Path::as_str);
        f.write_str(match self {
            Self::TextTooLong => "Take out what is not needed, such as text between certificates",
            Self::StrayByte(_) => "Take it out; text belongs between quotation marks, a remark behind `//` or `#`",
            Self::UnterminatedString => "Close it with `\"`; a longer text is several strings, one a line",
            Self::UnterminatedComment => "Close it with `*/`",
            Self::Escape => "Write `\\n` for a new line and `\\\\` for a backslash",
            Self::StringTooLong => "Keep to the PEM blocks, without the text between them",
            Self::Expected { .. } => "Settings have the form `.name = value,`",
            Self::MissingComma => "Put a comma here",
            Self::UnclosedBrace { .. } => "Add a `}`",
            Self::AfterEnd(_) => "Move it inside the braces, or take it out",
            Self::UnknownKey(name) => return unknown_key(f, key, name),
            Self::Duplicate { .. } | Self::BothForms { .. } => "Keep one of the two",
            Self::Type { kind: Kind::Group, .. } => {
                let child = Path::children(key).next().map_or("name", Path::name);
                return write!(f, "Write `{path} = {{ .{child} = ..., }}`");
            }
            Self::Type { kind: Kind::List, .. } => return list_remedy(f, path, key),
            Self::Type {
                kind: Kind::Address, ..
            }
            | Self::AddressLength(_) => "Write it as four numbers in braces: `{ 10, 0, 2, 15 }`",
            Self::Type {
                kind: Kind::Number(..), ..
            } => "Write the plain number, without quotation marks or braces",
            Self::Type {
                kind: Kind::Subjects, ..
            } => return write!(f, "Write `{path} = {{ \"CN=alice\", }}`"),
            Self::Type { .. } => "Put it between quotation marks; adjacent strings are joined",
            Self::Number(_) => "Write it decimal (10), hexadecimal (0x0a) or octal (012)",
            Self::Range { .. } => "Choose a number in that range",
            Self::AddressElement(_) => "Each of the four numbers is from 0 to 255",
            Self::Pem(error, source) => return pem_remedy(f, error.fault, source, path),
            Self::Choice { .. } => "Write one of these",
            Self::TooMany(_) | Self::DerTooLong => match key {
                Some(Path::CaCert | Path::CaCertFile | Path::RootCerts | Path::RootCertsFile) => {
                    "Keep the certificate authorities that are needed"
                }
                Some(Path::Crl | Path::CrlFile) => "Keep the revocation lists that are needed",
                _ => "Keep the certificates of one's own and their intermediates; roots can be left out",
            },
            Self::TooManyKeys => "Keep those that are needed: one of each kind will do",
            Self::KeyTooLong => "Use a key of another kind, or a smaller one; RSA keys go up to 4096 bits",
            Self::NoFiles => {
                let other = key.and_then(Path::other_form).map_or("", Path::as_str);
                return write!(f, "Put the PEM itself into `{other}`");
            }
            Self::FileName => "Name a PEM file, relative to the directory of this defconfig",
            Self::File {
                fault: FileFault::TooLarge,
                ..
            } => "Keep to the PEM blocks, without the text between them",
            Self::File { .. } => {
                "Put the PEM file there, or correct the name: it is relative to the directory of this defconfig"
            }
            Self::Certificate { .. } => "Use X.509 certificates as `openssl req -x509` and `openssl x509` make them",
            Self::Crl { error, .. } => crl_remedy(error),
            Self::Anchor {
                error: AnchorFault::Malformed(_),
                ..
            } => "Use X.509 certificates as `openssl req -x509` and `openssl x509` make them",
            Self::Anchor { .. } | Self::Twice { .. } => "Remove it",
            Self::NotACa(_) => "Configure the CA that issued it, if its other certificates are to be accepted",
            Self::Refusable {
                error: CertificateError::WrongPurpose { .. },
                ..
            } => match key {
                Some(Path::CliCert | Path::CliCertFile) => {
                    "Reissue it with extendedKeyUsage clientAuth, or without any"
                }
                _ => "Reissue it with extendedKeyUsage serverAuth, or without any",
            },
            Self::Refusable {
                error: CertificateError::KeyMayNotSign,
                ..
            } => "Reissue it with keyUsage digitalSignature, or without any",
            Self::Refusable {
                error: CertificateError::UnsupportedCriticalExtension,
                ..
            } => "Reissue it without that extension, or with it not critical",
            Self::Refusable { .. } | Self::WeakSignature { .. } => "Have it reissued by a CA that peers accept",
            Self::MissingIssuer { .. } => "Put the issuer after it as well",
            Self::ChainSignature(_) => "Use the issuer's certificate for the key that has signed it",
            Self::OlderCrl { .. } | Self::TooManyOfOneCa { .. } => "Use the newest list of that CA",
            Self::CrlWithoutCa | Self::ClientAuthWithoutCa => "Set `.tls.ca_cert` as well",
            Self::Expired { .. } => "Renew it; a longer life is `openssl x509 -days N`",
            Self::NotYetValid { .. } => "Wait until then, set the clock, or have the certificate issued again",
            Self::Clock { .. } => "Set the machine's clock",
            Self::CertificateWithoutKey
            | Self::KeyWithoutCertificate
            | Self::UserWithoutPassword
            | Self::PasswordWithoutUser => {
                let partner = key.and_then(Path::partner).map_or("", Path::as_str);
                return write!(f, "Set `{partner}` as well");
            }
            Self::Key(_, KeyError::Unsupported(_)) => {
                "Use ECDSA on P-256: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`"
            }
            Self::Key(_, KeyError::Encrypted) => "Decrypt it first: `openssl pkey -in FILE -out NEWFILE`",
            Self::Key(_, KeyError::RsaSize(_)) => {
                "Make it anew: `openssl genpkey -algorithm RSA` makes one of 2048 bits"
            }
            Self::Key(..) => "Make it anew: `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256`",
            Self::KeyMismatch => "Use the key with which the request for the certificate was made",
            Self::KeyAlone(_) => {
                let partner = key.and_then(Path::partner).map_or("", Path::as_str);
                return write!(f, "Put its certificate into `{partner}`, or take the key out");
            }
            Self::LeafNotFirst(_) => "Put that certificate first, then the one that issued it, and so on",
            Self::ChainOrder(_) => "Order them: one's own first, then the one that issued it, and so on",
            Self::Stray(_) => {
                let partner = key.and_then(Path::partner).map_or("", Path::as_str);
                return write!(
                    f,
                    "If it begins a chain of its own, its private key is missing in `{partner}`"
                );
            }
            Self::TooManyIdentities(_) => "Keep those that are needed: one for each kind of key will do",
            Self::NoWayToDns => "Set `.ip.gateway` as well, or `.ip.dns` to `{ 0, 0, 0, 0 }` for none",
            Self::AddressWithDhcp => "Set `.ip.use_dhcp` to 0 as well, or to 1 if DHCP is meant",
            Self::NotAHost if key == Some(Path::Dns) => "Use the address of a DNS server, or `{ 0, 0, 0, 0 }` for none",
            Self::NotAHost if key == Some(Path::ProxyIpaddr) => "Use the address of the proxy",
            Self::NoAddress | Self::NotAHost => "Set `.ip.ipaddr` to the machine's own, or `.ip.use_dhcp` to 1",
            Self::NoNetmask => "Set `.ip.netmask`, or `.ip.use_dhcp` to 1",
            Self::Netmask => "Write ones, then zeroes, like `{ 255, 255, 255, 0 }`",
            Self::GatewayOutside | Self::GatewayIsSelf => "Use the router's address, or `{ 0, 0, 0, 0 }` for none",
            Self::PortTaken { .. } => "Choose another port, or 0 for none",
            Self::KeyLogToSyslog => "Set `.tls.keylog` or `.vmm.tty_syslog.enable` to 0",
            Self::NoSyslogServer => "Set `.vmm.tty_syslog.dst_ipaddr`",
            Self::NotInBraces(_) => return list_remedy(f, path, key),
            Self::TooManyGroups(_) => "Keep those that are needed; the shell can start others in their place",
            Self::NotASubject(_) => {
                "Write the whole subject as `status` and the log show it, such as `\"CN=alice,O=Example\"` (at most 93 \
                 bytes), or `\"sha256:...\"` with the 64 hexadecimal digits of the hash"
            }
            Self::AllowedTwice => "Take it out",
            Self::TooManyAllowed => "Allow them by a CA of their own instead",
            Self::AllowWithoutAuth => {
                "Set `.tls.client_auth = \"required\"` (or \"optional\"), or take `.tls.allow` out"
            }
            Self::NotAName(_) => "Write letters, digits, hyphens and dots; an address goes into `.ipaddr`",
            Self::ReverseWithoutCa => "Set `.tls.ca_cert` as well, or `.plain = 1` to do without TLS",
            Self::NobodyToDial => "Set `.ipaddr` or `.host`, and `.port`",
            Self::DialBoth => "Keep one of `.ipaddr` and `.host`",
            Self::LongerThan(_) | Self::NotText => {
                "Write what the proxy knows you by: a short text of letters, digits and signs"
            }
            Self::ColonInUser => "Have the proxy's keeper give you a name without one: RFC 7617 allows none",
            Self::NoPortToDial => "Set `.port` to where the other end listens",
        })
    }
}

fn list_remedy(f: &mut fmt::Formatter<'_>, path: &str, key: Option<Path>) -> fmt::Result {
    let child = Path::children(key).next().map_or("name", Path::name);
    write!(f, "Write `{path} = {{ {{ .{child} = ..., }}, }}`")
}

fn unknown_key(f: &mut fmt::Formatter<'_>, group: Option<Path>, name: &str) -> fmt::Result {
    if let Some(nearest) = Path::nearest(group, name) {
        return write!(f, "Did you mean `{nearest}`?");
    }
    f.write_str("There are")?;
    for (number, path) in Path::children(group).enumerate() {
        write!(f, "{} `{path}`", if number == 0 { "" } else { "," })?;
    }
    Ok(())
}

/// What is wrong with a revocation list, after its number.
fn crl_fault(f: &mut fmt::Formatter<'_>, error: &CertificateError) -> fmt::Result {
    match *error {
        CertificateError::MalformedCrl => f.write_str("is broken"),
        CertificateError::UnsupportedCrl(kind) => write!(f, "is of a kind that is not supported: {kind}"),
        CertificateError::CrlBadSignature => f.write_str("was not signed by the CA whose name it has"),
        CertificateError::CrlUnsupportedSignature => {
            f.write_str("is signed with an algorithm or key that is not supported")
        }
        CertificateError::CrlIssuerMayNotSign => {
            f.write_str("is signed by a CA that may not sign revocation lists (keyUsage lacks cRLSign)")
        }
        CertificateError::CrlExpired { next_update, now } => {
            write!(f, "expired {:#} (it is {:#} now)", Date(next_update), Date(now))
        }
        CertificateError::CrlNotYetValid { this_update, now } => {
            write!(
                f,
                "is not valid before {:#} (it is {:#} now)",
                Date(this_update),
                Date(now)
            )
        }
        CertificateError::CrlTooOld { this_update, now } => write!(
            f,
            "names no next update and is more than {MAX_AGE} days old: it is of {:#} (it is {:#} now)",
            Date(this_update),
            Date(now)
        ),
        error => write!(f, "cannot be used: {error}"),
    }
}

fn crl_remedy(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::CrlBadSignature => "Use the list that this CA has made, or remove it",
        CertificateError::CrlUnsupportedSignature => {
            "Have the CA sign it with SHA-256, SHA-384 or SHA-512: `openssl ca -gencrl -md sha256`"
        }
        CertificateError::CrlIssuerMayNotSign => "Give the CA's certificate keyUsage cRLSign, or remove the list",
        CertificateError::CrlExpired { .. } | CertificateError::CrlTooOld { .. } => "Use the newest list of that CA",
        CertificateError::CrlNotYetValid { .. } => "Wait until then, or set the clock",
        _ => "Use a complete list of one CA, as `openssl ca -gencrl` makes it",
    }
}

fn pem_remedy(f: &mut fmt::Formatter<'_>, fault: PemFault, source: &PemSource, path: &str) -> fmt::Result {
    let strings = *source == PemSource::Strings;
    f.write_str(match fault {
        PemFault::NoCertificate | PemFault::NotACertificate => {
            return write!(f, "`{path}` takes what stands from `-----BEGIN CERTIFICATE-----` on");
        }
        PemFault::NoCrl | PemFault::NotACrl => {
            return write!(f, "`{path}` takes what stands from `-----BEGIN X509 CRL-----` on");
        }
        PemFault::NoKey | PemFault::NotAKey => {
            return write!(f, "`{path}` takes what stands from `-----BEGIN PRIVATE KEY-----` on");
        }
        PemFault::NotForReload => "Leave it out",
        PemFault::SecondKey => "Keep the one that belongs to the certificate",
        PemFault::Begin | PemFault::End if strings => {
            "Each line of the PEM is a line of its own: as strings, each ends in `\\n`"
        }
        PemFault::Begin | PemFault::End => "Put it on a line of its own, with five dashes on both sides",
        PemFault::NoEnd => "Copy the PEM whole, from `-----BEGIN` to the last dashes of `-----END`",
        PemFault::Base64 if strings => "Copy the PEM again, whole; as strings, each line ends in `\\n`",
        PemFault::Base64 => "Copy the PEM again, whole",
        PemFault::Encrypted => "Decrypt it first: `openssl pkey -in FILE -out NEWFILE`",
        PemFault::TooLong => "Keep to the certificates and the key that are needed",
    })
}
