//! Clients without TLS or with unusable hellos: alerts and log lines.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::common::machine::{Machine, Setup};
use super::common::tls::{self, Alert, Hello, read_alert, record};
use super::common::{LIMIT, baked_ca, noise};

/// Sends this and expects that alert, and this text in the log after the peer's address.
fn assert_refused(machine: &Machine, name: &str, sent: &[u8], alert: Alert, logged: &str) {
    let mark = machine.console().mark();
    let mut stream = TcpStream::connect(machine.at(10007)).unwrap();
    stream.write_all(sent).unwrap();
    assert_eq!(read_alert(&mut stream), alert, "{name}");
    let end = machine.console().wait_from(mark, logged);
    let said = machine.console().text_from(mark);
    let line = said[..end - mark].rsplit('\n').next().unwrap();
    assert!(line.contains("warning: 10.0.2.2:"), "{name}: {line}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn each_wrong_hello_gets_its_alert_and_a_line_in_the_log() {
    let machine = Setup::new().ready();
    let hello = Hello::default;
    let old = |legacy_version| {
        Hello {
            legacy_version,
            versions: vec![],
            ..hello()
        }
        .record()
    };
    let mut ssl2 = vec![0x80, 0x2e, 1, 0, 2];
    ssl2.extend_from_slice(&[0; 43]);
    let long = [&[22, 3, 1, 0x48, 0x01][..], &[0; 100]].concat();
    for (name, sent, alert, logged) in [
        (
            "HTTP",
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            Alert::UNEXPECTED_MESSAGE,
            "not TLS: this is an HTTP request",
        ),
        (
            "noise",
            [&[0x99][..], &noise(11, 500)].concat(),
            Alert::UNEXPECTED_MESSAGE,
            "not TLS: a record cannot begin with byte 0x99",
        ),
        ("SSL 2", ssl2, Alert::UNEXPECTED_MESSAGE, "not TLS: "),
        (
            "TLS 1.0",
            old(0x0301),
            Alert::PROTOCOL_VERSION,
            "no common version: the peer offers at most TLS 1.0",
        ),
        (
            "TLS 1.1",
            old(0x0302),
            Alert::PROTOCOL_VERSION,
            "no common version: the peer offers at most TLS 1.1",
        ),
        (
            "TLS 1.2 without extended master secret",
            old(0x0303),
            Alert::HANDSHAKE_FAILURE,
            "TLS 1.2 without extended_master_secret",
        ),
        (
            "1.1 in supported_versions",
            Hello {
                versions: vec![0x0302, 0x0301],
                ..hello()
            }
            .record(),
            Alert::PROTOCOL_VERSION,
            "no common version: the peer offers at most TLS 1.1",
        ),
        (
            "SSL 3",
            old(0x0300),
            Alert::PROTOCOL_VERSION,
            "SSL 3.0 is not supported",
        ),
        (
            "too long a record",
            long,
            Alert::RECORD_OVERFLOW,
            "record of 18433 bytes is over the limit",
        ),
        (
            "no suite",
            Hello {
                suites: vec![0x1304, 0x00ff],
                ..hello()
            }
            .record(),
            Alert::HANDSHAKE_FAILURE,
            "no common cipher suite",
        ),
        (
            "no group",
            Hello {
                groups: vec![0x001e],
                ..hello()
            }
            .record(),
            Alert::HANDSHAKE_FAILURE,
            "no common group",
        ),
        (
            "a Finished",
            record(22, &[20, 0, 0, 1, 0]),
            Alert::UNEXPECTED_MESSAGE,
            "unexpected handshake message of type finished (20)",
        ),
        (
            "data",
            record(23, b"hello"),
            Alert::UNEXPECTED_MESSAGE,
            "unexpected record of type application_data (23)",
        ),
        (
            "a hello cut short",
            record(22, &[1, 0, 0, 4, 3, 3, 0, 0]),
            Alert::DECODE_ERROR,
            "ends too early",
        ),
        (
            "an endless hello",
            record(22, &[1, 0xff, 0xff, 0xff, 3, 3]),
            Alert::DECODE_ERROR,
            "handshake message client_hello (1) of 16777219 bytes is over the limit of 16384 bytes",
        ),
        (
            "an empty record",
            record(22, &[]),
            Alert::UNEXPECTED_MESSAGE,
            "empty record",
        ),
    ] {
        assert_refused(&machine, name, &sent, alert, logged);
    }
    tls::assert_serves(machine.at(10007), &baked_ca());
    let status = machine.ask("status");
    assert!(status.contains("connections: 0 of "), "{status}");
}

#[test]
fn openssl_without_a_common_version_gets_an_alert() {
    let machine = Setup::new().ready();
    for (version, ciphers, alert) in [
        ("-tls1_1", "ALL:@SECLEVEL=0", "alert protocol version"),
        ("-tls1_2", "ECDHE-ECDSA-AES128-SHA256", "alert handshake failure"),
        ("-tls1_2", "AES128-GCM-SHA256", "alert handshake failure"),
    ] {
        // Security level 0, otherwise OpenSSL would not even try.
        let mut client = tls::s_client(machine.at(10007), &baked_ca(), [version, "-cipher", ciphers]);
        assert!(!client.wait().success());
        let said = client.err.text();
        assert!(said.contains(alert), "{said}");
    }
}

#[test]
fn all_kinds_of_noise_are_survived() {
    let machine = Setup::new().ready();
    for seed in 0..64 {
        let mut stream = TcpStream::connect(machine.at(10007)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut noise = noise(seed, 3000);
        // Half of them look like a record, a quarter like a hello.
        if seed % 2 == 0 {
            noise[..5].copy_from_slice(&[22, 3, 1, 0x05, 0x00]);
        }
        if seed % 4 == 0 {
            noise[5..9].copy_from_slice(&[1, 0, 4, 0xfc]);
        }
        let _ = stream.write_all(&noise);
        let _ = stream.shutdown(Shutdown::Write);
        // The connection ends in either way.
        let _ = stream.read_to_end(&mut Vec::new());
    }
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn a_hello_in_one_byte_segments_is_understood() {
    let machine = Setup::new().ready();
    assert_answered(machine.at(10007), &Hello::default().record(), 1);
}

#[test]
fn a_hello_in_one_byte_records_is_understood() {
    let machine = Setup::new().ready();
    let records: Vec<u8> = Hello::default()
        .message()
        .iter()
        .flat_map(|&byte| record(22, &[byte]))
        .collect();
    assert_answered(machine.at(10007), &records, usize::MAX);
}

/// Sends this in separate segments of `size` bytes and expects a ServerHello.
fn assert_answered(address: SocketAddr, hello: &[u8], size: usize) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    for piece in hello.chunks(size.min(hello.len())) {
        stream.write_all(piece).unwrap();
    }
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!((answer[0], answer[5]), (22, 2), "{answer:02x?}");
}
