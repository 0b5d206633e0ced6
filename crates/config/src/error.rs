//! The faults of a defconfig; their texts are in `message`.

use heapless::String;

use super::keys::{Kind, Path, Position};
use postern_tls::crypto::key::KeyError;
use postern_tls::pki::anchor::AnchorFault;
use postern_tls::pki::cert::{CertError, Date};
use postern_tls::pki::error::CertificateError;
use postern_tls::pki::pem::PemError;

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
    /// The error with the name of its file.
    pub fn at<'a>(&'a self, file: &'a str) -> At<'a> {
        At { file, error: self }
    }
}

/// An [`Error`] with the name of its file.
#[derive(Debug, Clone, Copy)]
pub struct At<'a> {
    pub(super) file: &'a str,
    pub(super) error: &'a Error,
}

impl core::error::Error for Error {}

/// What is wrong with a defconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The text is longer than [`MAX_TEXT`](super::MAX_TEXT).
    TextTooLong,
    /// A byte that begins nothing.
    StrayByte(u8),
    /// A string without its closing quotation mark on the same line.
    UnterminatedString,
    /// A comment without its `*/`.
    UnterminatedComment,
    /// A backslash and what is no escape of C (C11 §6.4.4.4).
    Escape,
    /// A value's strings are longer than [`MAX_STRING`](super::MAX_STRING) together.
    StringTooLong,
    /// Something else was expected here.
    Expected {
        /// What was expected.
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
    /// The text is not an address, or not one of a family that the key takes.
    Address {
        /// As it is written.
        word: Name,
        /// What the key takes.
        kind: Kind,
    },
    /// An address has not four parts.
    AddressLength(usize),
    /// The PEM is broken.
    Pem(PemError, PemSource),
    /// A PEM block that cannot be loaded into a running machine.
    NotForReload {
        /// Which, from 1.
        number: usize,
    },
    /// The value is not one of the words that the key accepts.
    Choice {
        /// As it is written.
        word: Name,
        /// What the key takes.
        kind: Kind,
    },
    /// More certificates or revocation lists than this many.
    TooMany(usize),
    /// The DER of the certificates or revocation lists is longer than [`MAX_DER`](super::MAX_DER) together.
    DerTooLong,
    /// More than [`MAX_IDENTITIES`](super::MAX_IDENTITIES) private keys.
    TooManyKeys,
    /// The DER of the private key is longer than [`MAX_KEY_DER`](super::MAX_KEY_DER).
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
    /// A certificate is twice in one chain, or begins two.
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
    /// A revocation list is older than the current one of the same CA.
    OlderCrl {
        /// Which, from 1.
        number: usize,
    },
    /// A revocation list is of a CA that is not configured, and that has as many already as a handshake verifies.
    TooManyOfOneCa {
        /// Which, from 1.
        number: usize,
    },
    /// Clients are to be asked for certificates, but there is no CA to verify them with.
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
    /// The clock is before the build, so that dates cannot be verified.
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
    /// The address is that of a network, a broadcast, the loopback or a multicast group, or an IPv4-mapped one.
    NotAHost,
    /// The machine's own IPv6 address is link-local.
    LinkLocal,
    /// The ones of the netmask are not all to the left.
    Netmask,
    /// The gateway is not in the subnet.
    GatewayOutside,
    /// An IPv6 gateway, and no address of the machine.
    GatewayWithoutAddress,
    /// The gateway is the machine itself.
    GatewayIsSelf,
    /// The port is taken.
    PortTaken {
        /// By which key's service.
        by: Path,
    },
    /// `.tls.keylog` together with syslog.
    KeyLogToSyslog,
    /// Syslog is enabled, but no server is configured.
    NoSyslogServer,
    /// A list has something else than groups in braces in it.
    NotInBraces(Found),
    /// A list has more than so many groups.
    TooManyGroups(usize),
    /// This can be neither the subject of a certificate nor the hash of a key.
    NotASubject(Name),
    /// The same client is allowed twice.
    AllowedTwice,
    /// There are more than [`MAX_ALLOWED`](super::MAX_ALLOWED) of them.
    TooManyAllowed,
    /// Clients are not asked for the certificates that the list is about.
    AllowWithoutAuth,
    /// This can be neither a DNS name nor an IP address in a certificate.
    NotAnAlternative(Name),
    /// The same name is on the list twice.
    NameTwice,
    /// There are more than [`MAX_NAMES`](super::MAX_NAMES) of them, or they are too long together.
    TooManyNames,
    /// This cannot be the subject of a request.
    NotRequestable(Name),
    /// The server's key is made at boot, and there are no names for its request.
    RequestWithoutNames,
    /// The client's key is made at boot, and there is no subject for its request.
    RequestWithoutSubject,
    /// What concerns keys made at boot, where there is none.
    OnlyForBootKey,
    /// There is a certificate for a key that is yet to be made.
    CertificateBeforeKey,
    /// The certificate is not for the key that was made at boot.
    NotForBootKey,
    /// A key would have to be made in a running machine.
    MadeAtBoot,
    /// Neither a host nor an interface can have this name.
    NotAName(Name),
    /// A reverse connection, or the proxy, has neither address nor name.
    NoHostToDial,
    /// A reverse connection, or the proxy, has both.
    TwoHostsToDial,
    /// Reverse connections over TLS, and no CA to verify the peer with.
    ReverseWithoutCa,
    /// A reverse connection, or the proxy, has no port.
    NoPortToDial,
    /// The text is longer than so many bytes.
    LongerThan(usize),
    /// The text has control characters in it, or is no UTF-8.
    NotText,
    /// The user's name contains a colon, which would end it (RFC 7617 §2).
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
    /// It is larger than [`MAX_STRING`](super::MAX_STRING).
    TooLarge,
    /// Another reason, by the operating system's number for it.
    System(i32),
}

/// A piece of the text, cut to a length that can be shown.
pub type Name = String<40>;

/// What was found instead of what was expected.
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

/// As much of `text` as can be shown.
pub(super) fn name(text: &str) -> Name {
    let mut name = Name::new();
    let fits = text.chars().try_for_each(|letter| name.push(letter)).is_ok();
    if !fits {
        name.truncate(name.capacity() - 3);
        let _ = name.push_str("...");
    }
    name
}
