//! TLS clients for the machine: OpenSSL's `s_client`, and hand-made records.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;

use super::LIMIT;
use super::process::Process;

/// `openssl s_client`, which trusts `ca` and expects `localhost`.
pub fn s_client<A: AsRef<OsStr>>(address: SocketAddr, ca: &Path, arguments: impl IntoIterator<Item = A>) -> Process {
    let mut command = Command::new("openssl");
    command
        .args(["s_client", "-connect", &address.to_string(), "-CAfile"])
        .arg(ca);
    command.args(["-verify_return_error", "-verify_hostname", "localhost"]);
    Process::start(command.args(arguments))
}

/// Sends `data` through a TLS echo, in both directions at once; returns the echo.
pub fn echo(address: SocketAddr, ca: &Path, arguments: &[&str], data: Vec<u8>) -> Vec<u8> {
    // -quiet: no commands in the input, no session in the output.
    let mut client = s_client(address, ca, ["-quiet"].iter().chain(arguments));
    let mut stdin = client.take_stdin();
    let len = data.len();
    let writer = std::thread::spawn(move || stdin.write_all(&data).map(|()| stdin));
    client
        .out
        .wait_until("the whole echo", |bytes| (bytes.len() >= len).then_some(()));
    // Standard input must stay open until here.
    drop(writer.join().unwrap().unwrap());
    client.out.bytes()
}

/// A handshake and a short echo; panics on any failure.
pub fn assert_serves(address: SocketAddr, ca: &Path) {
    assert_eq!(echo(address, ca, &[], b"are you there\n".to_vec()), b"are you there\n");
}

/// The alert with which a server ends a connection: the remaining input must be one fatal, unencrypted alert record and the
/// end.
pub fn read_alert(stream: &mut TcpStream) -> Alert {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an alert, then FIN");
    match bytes[..] {
        [21, 3, _, 0, 2, 2, alert] => Alert(alert),
        _ => panic!("this is no fatal alert: {bytes:02x?}"),
    }
}

/// An alert, by its number (RFC 8446, section 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alert(pub u8);

impl Alert {
    /// unexpected_message.
    pub const UNEXPECTED_MESSAGE: Self = Self(10);
    /// record_overflow.
    pub const RECORD_OVERFLOW: Self = Self(22);
    /// handshake_failure.
    pub const HANDSHAKE_FAILURE: Self = Self(40);
    /// illegal_parameter.
    pub const ILLEGAL_PARAMETER: Self = Self(47);
    /// decode_error.
    pub const DECODE_ERROR: Self = Self(50);
    /// protocol_version.
    pub const PROTOCOL_VERSION: Self = Self(70);
    /// missing_extension.
    pub const MISSING_EXTENSION: Self = Self(109);
}

/// A minimal ClientHello of TLS 1.3, as a handshake message (RFC 8446, section 4.1.2): AES-128-GCM, X25519, ECDSA on
/// P-256.
pub struct Hello {
    /// legacy_version.
    pub legacy_version: u16,
    /// supported_versions; if empty the extension is omitted.
    pub versions: Vec<u16>,
    /// Cipher suites.
    pub suites: Vec<u16>,
    /// supported_groups. The key share is for the first.
    pub groups: Vec<u16>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            legacy_version: 0x0303,
            versions: vec![0x0304],
            suites: vec![0x1301],
            groups: vec![0x001d],
        }
    }
}

impl Hello {
    /// The message.
    pub fn message(&self) -> Vec<u8> {
        let list = |values: &[u16]| values.iter().flat_map(|value| value.to_be_bytes()).collect::<Vec<u8>>();
        let mut extensions = Vec::new();
        let mut extension = |kind: u16, body: &[u8]| {
            extensions.extend_from_slice(&kind.to_be_bytes());
            extensions.extend_from_slice(&vector16(body));
        };
        if !self.versions.is_empty() {
            extension(43, &vector8(&list(&self.versions)));
        }
        extension(10, &vector16(&list(&self.groups)));
        extension(13, &vector16(&list(&[0x0403])));
        let mut share = list(&self.groups[..1]);
        // Any point of Curve25519: the base point.
        share.extend_from_slice(&vector16(&[&[9][..], &[0; 31]].concat()));
        extension(51, &vector16(&share));

        let mut body = self.legacy_version.to_be_bytes().to_vec();
        body.extend_from_slice(&[7; 32]);
        body.extend_from_slice(&vector8(&[5; 32]));
        body.extend_from_slice(&vector16(&list(&self.suites)));
        body.extend_from_slice(&vector8(&[0]));
        body.extend_from_slice(&vector16(&extensions));
        let mut message = vec![1, 0];
        message.extend_from_slice(&vector16(&body));
        message
    }

    /// The message in a record.
    pub fn record(&self) -> Vec<u8> {
        record(22, &self.message())
    }
}

/// An unencrypted record.
pub fn record(content: u8, body: &[u8]) -> Vec<u8> {
    let mut record = vec![content, 3, 1];
    record.extend_from_slice(&vector16(body));
    record
}

fn vector8(body: &[u8]) -> Vec<u8> {
    [&[u8::try_from(body.len()).unwrap()][..], body].concat()
}

fn vector16(body: &[u8]) -> Vec<u8> {
    [&u16::try_from(body.len()).unwrap().to_be_bytes()[..], body].concat()
}
