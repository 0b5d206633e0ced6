//! Arguments, PEM files, randomness and the time, for both examples.

use std::error::Error;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::net::{Shutdown, TcpStream};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use postern_tls::crypto::key::SigningKey;
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::pki::pem;
use postern_tls::pki::verify::{Clock, Mode, Trust};
use postern_tls::{Info, KeyLog, Versions};
use rand_core::{TryCryptoRng, TryRng};

pub type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The end of a program: what went wrong, for people to read, and status 2 for wrong usage, 1 for anything else.
pub fn end(result: Result<()>, usage: &str) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{error}");
    if error.is::<Misuse>() {
        eprint!("{usage}{}", Options::USAGE);
        return ExitCode::from(2);
    }
    ExitCode::FAILURE
}

/// Wrong usage, and what is wrong with it.
pub fn misuse(what: impl Into<String>) -> Box<dyn Error> {
    Box::new(Misuse(what.into()))
}

#[derive(Debug)]
struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Misuse {}

/// The options that both programs have.
#[derive(Default)]
pub struct Options {
    /// Chains with their keys, from pairs of `-cert` and `-key`.
    pub identities: Vec<(Vec<Vec<u8>>, SigningKey)>,
    pub versions: Versions,
    pub anchors: Vec<Vec<u8>>,
    pub crls: Vec<Vec<u8>>,
    pub mode: Mode,
    pub protocols: Vec<String>,
    pub groups: Option<Vec<Group>>,
    pub suites: Option<Vec<CipherSuite>>,
    key_log: Option<KeyLogFile>,
    /// How much content the peer may put into a record, in bytes.
    pub record_size: Option<usize>,
    certificate: Option<Vec<Vec<u8>>>,
}

impl Options {
    pub const USAGE: &str = "  -help                 print this
  -cert FILE -key FILE  a certificate chain and its private key, PEM
  -tls1_2, -tls1_3      only this version
  -CAfile FILE          trust these CAs, PEM
  -crl FILE             what they have revoked, PEM
  -pinned               take X.509 v1 and the like, signed directly by such a CA
  -alpn A,B             application protocols, the preferred first
  -groups A,B           key exchange groups, the preferred first
  -suites A,B           cipher suites by their registered names, the preferred first
  -record_size N        take no more than N bytes in a record
  -keylogfile FILE      write the secrets there, for an analyser
";

    pub fn key_log(&self) -> Option<&dyn KeyLog> {
        self.key_log.as_ref().map(|file| file as _)
    }

    /// Takes the option `name`, and its value from `arguments`. False if it is none of these.
    pub fn take(&mut self, name: &str, arguments: &mut impl Iterator<Item = String>) -> Result<bool> {
        match name {
            "-tls1_2" => self.versions = Versions::Tls12,
            "-tls1_3" => self.versions = Versions::Tls13,
            "-pinned" => self.mode = Mode::Pinned,
            "-cert" => self.certificate = Some(read_all(&value(name, arguments)?, "CERTIFICATE")?),
            "-key" => {
                let chain = self
                    .certificate
                    .take()
                    .ok_or_else(|| misuse("-key has to follow its -cert"))?;
                self.identities.push((chain, read_key(&value(name, arguments)?)?));
            }
            "-CAfile" => self.anchors.extend(read_all(&value(name, arguments)?, "CERTIFICATE")?),
            "-crl" => self.crls.extend(read_all(&value(name, arguments)?, "X509 CRL")?),
            "-alpn" => self.protocols = value(name, arguments)?.split(',').map(str::to_owned).collect(),
            "-groups" => {
                let find = |name: &str| {
                    Group::ALL
                        .into_iter()
                        .find(|group| group.name().eq_ignore_ascii_case(name))
                };
                let groups: Option<Vec<Group>> = value(name, arguments)?.split(',').map(find).collect();
                let wrong = || misuse("groups are X25519MLKEM768, x25519, secp256r1 and secp384r1");
                self.groups = Some(groups.ok_or_else(wrong)?);
            }
            "-suites" => {
                let find = |name: &str| CipherSuite::ALL.into_iter().find(|suite| suite.name() == name);
                let suites: Option<Vec<CipherSuite>> = value(name, arguments)?.split(',').map(find).collect();
                let wrong = || misuse("a suite is not supported; one is TLS_AES_128_GCM_SHA256");
                self.suites = Some(suites.ok_or_else(wrong)?);
            }
            "-record_size" => self.record_size = Some(number(name, arguments)?),
            "-keylogfile" => {
                let path = value(name, arguments)?;
                let file = File::create(&path).map_err(|error| format!("{path}: {error}"))?;
                self.key_log = Some(KeyLogFile(file));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Once all options are taken: whether nothing is left half said.
    pub fn check(&self) -> Result<()> {
        match self.certificate {
            Some(_) => Err(misuse("-cert has to be followed by its -key")),
            None => Ok(()),
        }
    }

    /// How large the inbound buffer has to be for such records; the longest message has to fit as well.
    pub fn inbound(&self) -> usize {
        const HEADER_AND_EXPANSION: usize = 5 + 256;
        let content = self.record_size.unwrap_or(16384);
        (content + HEADER_AND_EXPANSION).max(postern_tls::MIN_INBOUND)
    }
}

/// The value of an option.
pub fn value(name: &str, arguments: &mut impl Iterator<Item = String>) -> Result<String> {
    arguments.next().ok_or_else(|| misuse(format!("{name} wants a value")))
}

/// The value of an option that takes a number.
pub fn number<T: FromStr<Err: fmt::Display>>(name: &str, arguments: &mut impl Iterator<Item = String>) -> Result<T> {
    let text = value(name, arguments)?;
    text.parse().map_err(|error| misuse(format!("{name} {text}: {error}")))
}

/// Slices, as the engine takes them.
pub fn slices<T: AsRef<[u8]>>(vectors: &[T]) -> Vec<&[u8]> {
    vectors.iter().map(AsRef::as_ref).collect()
}

/// Trust in the configured CAs, which are checked here and now.
pub fn trust<'a>(anchors: &'a [&'a [u8]], crls: &'a [&'a [u8]], mode: Mode) -> Result<Trust<'a>> {
    let trust = Trust::new(anchors).with_crls(crls).with_mode(mode);
    trust.check()?;
    Ok(trust)
}

/// The present time. The engine has no clock of its own.
pub fn clock() -> Result<Clock> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    Ok(Clock { now, floor: 0 })
}

/// What was agreed upon, in a line.
pub fn describe(info: &Info<'_>) -> String {
    let mut text = format!(
        "{} {}",
        info.version_name(),
        info.suite.map(|suite| suite.name()).unwrap_or_default()
    );
    if let Some(group) = info.group {
        text += &format!(" {}", group.name());
    }
    if let Some(scheme) = info.scheme {
        text += &format!(" {scheme}");
    }
    if info.retried {
        text += " retried";
    }
    if info.resumed {
        text += " resumed";
    }
    if let Some(protocol) = info.protocol {
        text += &format!(" alpn={}", String::from_utf8_lossy(protocol));
    }
    if let Some(name) = &info.server_name {
        text += &format!(" name={}", name.as_str());
    }
    if let Some(peer) = &info.peer {
        text += &format!(" peer={}", peer.subject.as_str());
    }
    text
}

/// Ends our direction and reads what the peer still sends, for a while: closing a socket with unread input would
/// reset the connection, and the reset could overtake the alert that says why.
pub fn linger(socket: &mut TcpStream) {
    let _ = socket.shutdown(Shutdown::Write);
    let _ = socket.set_read_timeout(Some(Duration::from_secs(2)));
    let _ = io::copy(&mut socket.take(1 << 20), &mut io::sink());
}

/// The operating system's generator. Without it there can be no TLS, so a failure ends the program.
pub struct SystemRng(File);

impl SystemRng {
    pub fn new() -> Result<Self> {
        Ok(Self(File::open("/dev/urandom")?))
    }
}

impl TryRng for SystemRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> std::result::Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> std::result::Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_ne_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> std::result::Result<(), Self::Error> {
        self.0.read_exact(bytes).expect("/dev/urandom gives bytes");
        Ok(())
    }
}

impl TryCryptoRng for SystemRng {}

/// Secrets in the NSS key log format.
struct KeyLogFile(File);

impl KeyLog for KeyLogFile {
    fn log(&self, label: &str, client_random: &[u8; 32], secret: &[u8]) {
        use std::io::Write as _;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        if let Err(error) = writeln!(&self.0, "{label} {} {}", hex(client_random), hex(secret)) {
            eprintln!("the key log cannot be written: {error}");
        }
    }
}

/// What a PEM file holds under `label`, as DER.
fn read_all(path: &str, label: &str) -> Result<Vec<Vec<u8>>> {
    let text = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let mut found = Vec::new();
    for block in pem::blocks(&text) {
        let block = block.map_err(|error| format!("{path}: {error}"))?;
        if block.label == label {
            found.push(decode(block)?);
        }
    }
    if found.is_empty() {
        return Err(format!("{path}: there is no {label} in it").into());
    }
    Ok(found)
}

fn read_key(path: &str) -> Result<SigningKey> {
    let text = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    let block = pem::private_key(&text).map_err(|error| format!("{path}: {error}"))?;
    Ok(SigningKey::from_der(block.label, &decode(block)?).map_err(|error| format!("{path}: {error}"))?)
}

fn decode(block: pem::Block<'_>) -> Result<Vec<u8>> {
    let mut der = vec![0; 64 << 10];
    let count = block.decode(&mut der)?;
    der.truncate(count);
    Ok(der)
}
