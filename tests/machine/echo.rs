//! The echo returns every byte, under any load.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;

use super::common::machine::{Machine, Setup};
use super::common::pki::USER_NETWORK;
use super::common::process::Process;
use super::common::tls::{self, s_client};
use super::common::{LIMIT, baked_ca, noise, poll};

/// Sends `data` through a plain echo in both directions at once, closes its side, and returns the whole echo.
pub fn plain(address: SocketAddr, data: Vec<u8>) -> Vec<u8> {
    let mut stream = connect(address);
    let mut writer = stream.try_clone().unwrap();
    let sent = std::thread::spawn(move || {
        writer.write_all(&data).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut echo = Vec::new();
    stream.read_to_end(&mut echo).unwrap();
    sent.join().unwrap();
    echo
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// One message there and back.
fn assert_echoes(stream: &mut TcpStream, message: &[u8]) {
    stream.write_all(message).unwrap();
    let mut echo = vec![0; message.len()];
    stream.read_exact(&mut echo).unwrap();
    assert_eq!(echo, message);
}

/// Compares without printing megabytes.
fn assert_same(left: &[u8], right: &[u8]) {
    let differs = left.iter().zip(right).position(|(left, right)| left != right);
    assert_eq!(
        (left.len(), differs),
        (right.len(), None),
        "length, and where they first differ"
    );
}

#[test]
fn s_client_verifies_and_its_lines_come_back() {
    let machine = Setup::new().ready();
    let mut client = s_client(machine.at(10007), &baked_ca(), [""; 0]);
    client.write(b"a first line\n");
    client.out.wait_for("\na first line\n");
    client.write(b"and a second\n");
    client.out.wait_for("\nand a second\n");
    client.write(b"Q\n");
    assert!(client.wait().success());
    let session = client.out.text();
    for part in [
        "Verification: OK\n",
        "Verified peername: localhost\n",
        "New, TLSv1.3, Cipher is TLS_AES_",
        "Server Temp Key: X25519",
        "Verify return code: 0 (ok)",
    ] {
        assert!(session.contains(part), "{part}: {session}");
    }
    poll("the end in the counters", || {
        machine
            .ask("counters")
            .contains(&counter("connections finished", 1))
            .then_some(())
    });
}

/// A line of `counters`.
fn counter(name: &str, count: u64) -> String {
    format!("  {name:<40} {count}\n")
}

#[test]
fn another_ca_does_not_verify() {
    let machine = Setup::new().ready();
    let scratch = super::common::Scratch::new();
    let other = scratch.file("other.pem", super::common::pki::Pki::new().ca);
    let mut client = s_client(machine.at(10007), &other, [""; 0]);
    assert!(!client.wait().success());
    assert!(client.err.text().contains("verify error"), "{}", client.err.text());
    machine.wait_for("handshake failed: the peer refused: unknown_ca");
    // Other clients are not affected.
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn every_suite_and_group_serves() {
    let machine = Setup::new().ready();
    for arguments in [
        ["-ciphersuites", "TLS_AES_128_GCM_SHA256"],
        ["-ciphersuites", "TLS_AES_256_GCM_SHA384"],
        ["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        ["-groups", "X25519"],
        ["-groups", "P-256"],
        // The key share is for an unsupported group, so that a HelloRetryRequest requests another.
        ["-groups", "P-521:P-256"],
        ["-groups", "X448:X25519"],
    ] {
        let data = noise(7, 100_000);
        assert_same(
            &tls::echo(machine.at(10007), &baked_ca(), &arguments, data.clone()),
            &data,
        );
    }
}

#[test]
fn gnutls_is_served() {
    let machine = Setup::new().ready();
    let mut command = std::process::Command::new("gnutls-cli");
    command
        .arg("--x509cafile")
        .arg(baked_ca())
        .args(["--port", &machine.at(10007).port().to_string(), "localhost"]);
    let mut client = Process::start(&mut command);
    client.out.wait_for("Handshake was completed");
    client.write(b"from GnuTLS\n");
    client.out.wait_for("\nfrom GnuTLS\n");
}

#[test]
fn sixty_four_mib_come_back_over_tls() {
    let machine = Setup::new().ready();
    let data = noise(1, 64 << 20);
    assert_same(&tls::echo(machine.at(10007), &baked_ca(), &[], data.clone()), &data);
}

#[test]
fn sixty_four_mib_come_back_over_plain_tcp() {
    let machine = Setup::new().ready();
    let data = noise(2, 64 << 20);
    assert_same(&plain(machine.at(10008), data.clone()), &data);
}

#[test]
fn after_the_peer_s_fin_the_rest_is_echoed_before_the_fin() {
    let machine = Setup::new().ready();
    let data = noise(3, 300_000);
    assert_same(&plain(machine.at(10008), data.clone()), &data);
    assert_eq!(plain(machine.at(10008), Vec::new()), b"");
}

#[test]
fn keys_are_updated_in_the_middle() {
    let machine = Setup::new().ready();
    let mut client = s_client(machine.at(10007), &baked_ca(), [""; 0]);
    client.write(b"before\n");
    client.out.wait_for("\nbefore\n");
    // K requests new keys of the other side too, k does not. Each command must be read separately.
    let mut mark = 0;
    for (command, word) in [("K", "asked"), ("k", "unasked"), ("K", "again")] {
        client.write(format!("{command}\n").as_bytes());
        mark = client.err.wait_from(mark, "KEYUPDATE\n");
        client.write(format!("{word}\n").as_bytes());
        client.out.wait_for(&format!("{word}\n"));
    }
    client.write(b"Q\n");
    assert!(client.wait().success());
}

#[test]
fn sixty_four_connections_at_a_time_echo() {
    let machine = Setup::new().ready();
    let mut plain: Vec<TcpStream> = (0..64).map(|_| connect(machine.at(10008))).collect();
    for (number, stream) in plain.iter_mut().enumerate() {
        assert_echoes(stream, format!("plain {number}").as_bytes());
    }
    let mut secure: Vec<Process> = (0..64)
        .map(|_| s_client(machine.at(10007), &baked_ca(), ["-quiet"]))
        .collect();
    for (number, client) in secure.iter_mut().enumerate() {
        client.write(format!("TLS {number}\n").as_bytes());
    }
    for (number, client) in secure.iter().enumerate() {
        client.out.wait_for(&format!("TLS {number}\n"));
    }
    // All of them are still connected.
    for (number, stream) in plain.iter_mut().enumerate() {
        assert_echoes(stream, &noise(number as u64, 5000));
    }
    let status = machine.ask("status");
    assert!(status.contains("connections: 128 of "), "{status}");
    let lines = |kind: &str| {
        status
            .lines()
            .filter(|line| line.contains(kind) && line.contains("established"))
            .count()
    };
    assert_eq!((lines(":10007 tls "), lines(":10008 plain ")), (64, 64), "{status}");
    assert!(status.contains(" TLSv1.3 TLS_"), "{status}");
}

#[test]
fn a_peer_that_stops_reading_stalls_no_other_peer() {
    let machine = Setup::new().ready();
    // It writes until its writes block: its echo fills every buffer on the path.
    let mut lazy = connect(machine.at(10008));
    lazy.set_nonblocking(true).unwrap();
    let chunk = noise(4, 64 << 10);
    let mut sent = Vec::new();
    let mut refused = 0;
    poll("the buffers to fill", || {
        match lazy.write(&chunk) {
            Ok(count) => {
                sent.extend_from_slice(&chunk[..count]);
                refused = 0;
            }
            Err(_) => refused += 1,
        }
        (refused > 50).then_some(())
    });
    // And one with TLS, whose output is not read from the pipe.
    let mut lazy_tls = std::process::Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-connect",
            &machine.at(10007).to_string(),
            "-CAfile",
        ])
        .arg(baked_ca())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = lazy_tls.stdin.take().unwrap();
    std::thread::spawn(move || while stdin.write_all(&[b'x'; 8192]).is_ok() {});

    let data = noise(5, 1 << 20);
    for _ in 0..3 {
        assert_same(&plain(machine.at(10008), data.clone()), &data);
        assert_same(&tls::echo(machine.at(10007), &baked_ca(), &[], data.clone()), &data);
    }
    lazy_tls.kill().unwrap();
    lazy_tls.wait().unwrap();
    // It can still resume reading.
    lazy.set_nonblocking(false).unwrap();
    lazy.shutdown(Shutdown::Write).unwrap();
    let mut echo = Vec::new();
    lazy.read_to_end(&mut echo).unwrap();
    assert_same(&echo, &sent);
}

/// A machine for `connections` at a time.
fn capped(connections: u16) -> Machine {
    let pki = super::common::pki::Pki::new();
    let echo = format!(".echo = {{ .tls_port = 10007, .plain_port = 10008, .connections = {connections} }},\n");
    Setup::new()
        .defconfig(format!("{USER_NETWORK}{}{echo}", pki.tls()))
        .ready()
}

#[test]
fn a_connection_above_the_limit_is_refused_and_the_others_continue() {
    let machine = capped(4);
    let mut served: Vec<TcpStream> = (0..4).map(|_| connect(machine.at(10008))).collect();
    for stream in &mut served {
        assert_echoes(stream, b"one of four");
    }
    // No connection is idle meanwhile.
    poll("a refusal", || {
        for stream in &mut served {
            assert_echoes(stream, b"busy");
        }
        let mut fifth = connect(machine.at(10008));
        let _ = fifth.write_all(b"the fifth");
        let mut answer = [0; 16];
        // Reset or closed at once, in either case without a byte.
        assert!(matches!(fifth.read(&mut answer), Ok(0) | Err(_)));
        let refused = machine.console().text().contains(": refused: all 4 workers are busy");
        refused.then_some(())
    });
    for stream in &mut served {
        assert_echoes(stream, b"still here");
    }
    assert!(
        !machine
            .ask("counters")
            .contains(&counter("refused, all workers busy", 0))
    );
    // A closed connection frees its worker.
    served.pop().unwrap().shutdown(Shutdown::Write).unwrap();
    poll("room for another", || {
        let mut stream = connect(machine.at(10008));
        let mut echo = [0; 5];
        stream
            .write_all(b"after")
            .and_then(|()| stream.read_exact(&mut echo))
            .ok()
    });
}

#[test]
fn status_shows_each_connection() {
    let machine = Setup::new().ready();
    let mut stream = connect(machine.at(10008));
    assert_echoes(&mut stream, &[1; 1234]);
    let status = machine.ask("status");
    assert!(status.contains("connections: 1 of "), "{status}");
    let line = status
        .lines()
        .find(|line| line.contains(":10008 plain established"))
        .expect(&status);
    assert!(
        line.trim_start().starts_with("10.0.2.2:") && line.contains(" in 1234 out 1234, "),
        "{line}"
    );
}

#[test]
fn the_ca_file_of_the_throw_away_pki_is_where_the_readme_says() {
    assert_eq!(baked_ca().parent().and_then(Path::file_name).unwrap(), "pki");
    assert!(
        std::fs::read_to_string(baked_ca())
            .unwrap()
            .starts_with("-----BEGIN CERTIFICATE-----")
    );
}
