//! The shim under a runner of our own: its flags, and its exit codes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use chacha20::ChaCha20Rng;
use postern_tls::pki::verify::{Clock, ServerName, Trust};
use postern_tls::{ClientConfig, Connection, FULL_INBOUND, Progress};
use rand_core::SeedableRng as _;
use rcgen::{CertificateParams, KeyPair};

/// Certificate and key of `localhost` in the files that the shim reads; the certificate also as DER.
fn credentials(test: &str) -> (PathBuf, Vec<u8>) {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("shim-{test}"));
    fs::create_dir_all(&directory).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = certificate.self_signed(&key).unwrap();
    fs::write(directory.join("certificate.pem"), certificate.pem()).unwrap();
    fs::write(directory.join("key.pem"), key.serialize_pem()).unwrap();
    (directory, certificate.der().to_vec())
}

/// Starts the shim as a server with these flags besides, and is its runner.
fn with_shim(directory: &Path, flags: &[&str], runner: impl FnOnce(&mut TcpStream)) -> Output {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut shim = Command::new(env!("CARGO_BIN_EXE_postern-bogo"));
    shim.args([
        "-port",
        &listener.local_addr().unwrap().port().to_string(),
        "-shim-id",
        "7",
        "-server",
    ]);
    shim.arg("-cert-file").arg(directory.join("certificate.pem"));
    shim.arg("-key-file").arg(directory.join("key.pem"));
    let shim = shim
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let mut id = [0; 8];
    stream.read_exact(&mut id).unwrap();
    assert_eq!(id, 7_u64.to_le_bytes());
    runner(&mut stream);
    drop(stream);
    shim.wait_with_output().unwrap()
}

/// A client that sends a byte and closes; whether it had the byte back, with every bit turned over.
fn echo(stream: &mut TcpStream, certificate: &[u8]) -> bool {
    let anchors = [certificate];
    let trust = Trust::new(&anchors);
    let clock = Clock {
        now: std::time::UNIX_EPOCH.elapsed().unwrap().as_secs(),
        floor: 0,
    };
    let config = ClientConfig::new(&trust, ServerName::parse("localhost"), clock);
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; config.flight_len().max(FULL_INBOUND)]);
    let mut connection = Connection::client(config, &mut inbound, &mut outbound, &mut rng).unwrap();
    let mut written = false;
    loop {
        let count = connection.pending().len();
        stream.write_all(connection.pending()).unwrap();
        connection.sent(count);
        match connection.advance(&mut rng).unwrap() {
            Progress::Data => {
                assert_eq!(connection.data(), [!b'x']);
                connection.consume(1);
                connection.close();
                return stream.write_all(connection.pending()).is_ok();
            }
            Progress::Closed => return false,
            _ if !connection.pending().is_empty() => {}
            _ if !connection.is_handshaking() && !written => {
                assert_eq!(connection.write(b"x").unwrap(), 1);
                written = true;
            }
            _ => {
                let count = stream.read(connection.space()).unwrap();
                if count == 0 {
                    connection.received_end();
                }
                connection.received(count);
            }
        }
    }
}

#[test]
fn flags_lead_to_success_failure_or_a_missing_feature() {
    let (directory, certificate) = credentials("flags");
    // 0x0304 is TLS 1.3, 0x0303 TLS 1.2.
    for (flags, status, err) in [
        (&["-expect-version", "772"][..], 0, ""),
        (&["-expect-version", "771", "-max-version", "771"], 0, ""),
        (&["-expect-version", "771"], 1, "expectation not met: "),
    ] {
        let mut echoed = false;
        let output = with_shim(&directory, flags, |stream| echoed = echo(stream, &certificate));
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{flags:?}: {text}");
        assert!(text.starts_with(err), "{flags:?}: {text}");
        assert_eq!(echoed, status == 0, "{flags:?}");
    }
    // A feature that the engine does not have, and a flag without a meaning.
    for (flag, status) in [("-dtls", 89), ("-other", 1)] {
        let mut shim = Command::new(env!("CARGO_BIN_EXE_postern-bogo"));
        let output = shim.args(["-port", "1", flag]).output().unwrap();
        assert_eq!(output.status.code(), Some(status), "{output:?}");
    }
}

#[test]
fn an_error_of_the_engine_is_printed_and_its_alert_sent() {
    let (directory, _) = credentials("error");
    // A fatal unexpected_message (RFC 8446 §6.2).
    let mut alert = [0; 7];
    let output = with_shim(&directory, &[], |stream| {
        // Application data before a ClientHello.
        stream.write_all(&[23, 3, 3, 0, 1, 0]).unwrap();
        stream.read_exact(&mut alert).unwrap();
    });
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 10]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(!output.stderr.is_empty());
}
