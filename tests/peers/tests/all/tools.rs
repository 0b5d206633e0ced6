//! The example server against clients of OpenSSL and GnuTLS, over loopback.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use postern_peers::client::Client;
use postern_peers::hello::{SUPPORTED_VERSIONS, X25519};
use postern_peers::tools::{Server, Tool, argument};

const EXAMPLE: &str = env!("CARGO_BIN_EXE_s_server");

const SUITES: [(&str, &str); 3] = [
    ("TLS_AES_128_GCM_SHA256", "AES-128-GCM"),
    ("TLS_AES_256_GCM_SHA384", "AES-256-GCM"),
    ("TLS_CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
];

fn s_client(server: &Server, more: &[&str]) -> Tool {
    let address = server.address.to_string();
    let arguments = [
        &["s_client", "-connect", &address, "-CAfile", argument(&server.ca)][..],
        &[
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
            "-servername",
            "localhost",
            "-tls1_3",
        ],
        more,
    ];
    Tool::start("openssl", &arguments.concat())
}

#[test]
fn openssl_with_every_suite_and_group() {
    let server = Server::start(EXAMPLE);
    for (suite, _) in SUITES {
        // A share for the first group only: where that is P-521, which we do not have, it takes a HelloRetryRequest.
        for (groups, group) in [
            ("X25519", "x25519"),
            ("P-256", "secp256r1"),
            ("X25519:P-256", "x25519"),
            ("P-256:X25519", "secp256r1"),
            ("P-521:X25519", "x25519"),
            ("P-521:P-256", "secp256r1"),
        ] {
            let mut client = s_client(&server, &["-ciphersuites", suite, "-groups", groups]);
            client.shows("Verify return code: 0 (ok)");
            client.write(b"Hello, Postern!\n");
            // Once it is what was asked for and once what was answered: s_client does not echo its input.
            client.shows("\nHello, Postern!\n");
            let (success, seen) = client.end();
            assert!(success, "{seen}");
            assert!(seen.contains(&format!("New, TLSv1.3, Cipher is {suite}")), "{seen}");
            assert!(seen.contains("Verification: OK"), "{seen}");
            server.says(&format!("TLSv1.3 {suite} {group}"));
            server.says("echoed 16 bytes");
        }
    }
}

#[test]
fn openssl_without_the_compatibility_mode() {
    let server = Server::start(EXAMPLE);
    let mut client = s_client(&server, &["-no_middlebox"]);
    client.shows("Verify return code: 0 (ok)");
    client.write(b"plain and simple\n");
    client.shows("\nplain and simple\n");
    assert!(client.end().0);
    server.says("echoed 17 bytes");
}

/// A mebibyte of lines, none of which is a command to a client.
fn mebibyte() -> Vec<u8> {
    (0..1 << 20)
        .map(|at| {
            if at % 64 == 63 {
                b'\n'
            } else {
                b'a' + (at / 7 % 9) as u8
            }
        })
        .collect()
}

#[test]
fn openssl_echoes_a_mebibyte() {
    let server = Server::start(EXAMPLE);
    let text = mebibyte();
    for (suite, _) in SUITES {
        let mut client = s_client(&server, &["-ciphersuites", suite, "-quiet"]);
        client.write(&text);
        assert!(client.until(|seen| seen.len() >= text.len()) == text);
    }
}

#[test]
fn openssl_updates_its_keys_and_asks_for_ours() {
    let server = Server::start(EXAMPLE);
    let mut client = s_client(&server, &[]);
    client.shows("Verify return code: 0 (ok)");
    for round in 0..3 {
        // 'k' is an update of its own, 'K' one that asks for ours.
        for (more, command) in ["k", "K"].into_iter().enumerate() {
            client.write(format!("{command}\n").as_bytes());
            client.reports("KEYUPDATE", 2 * round + more + 1);
            let text = format!("after {command} {round}\n");
            client.write(text.as_bytes());
            client.shows(&format!("\n{text}"));
        }
    }
    assert!(client.end().0);
    server.says("echoed 60 bytes");
}

#[test]
fn openssl_is_told_why_it_is_refused() {
    let server = Server::start(EXAMPLE);
    for (arguments, alert, said) in [
        (
            &["-tls1_2"][..],
            "alert protocol version",
            "failed: no common version: the peer offers at most TLS 1.2",
        ),
        (
            &["-tls1_3", "-groups", "P-521"],
            "alert handshake failure",
            "failed: no common group",
        ),
        (
            &["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"],
            "alert handshake failure",
            "failed: no common signature scheme",
        ),
        (
            &["-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_SHA256"],
            "alert handshake failure",
            "failed: no common cipher suite",
        ),
    ] {
        let address = server.address.to_string();
        let arguments = [&["s_client", "-connect", &address], arguments].concat();
        let (success, seen) = Tool::start("openssl", &arguments).end();
        assert!(!success && seen.contains(alert), "{seen}");
        server.says(said);
    }
    // Its refusal is reported with the reason.
    let (success, seen) = s_client(&server, &["-verify_hostname", "elsewhere"]).end();
    assert!(!success && seen.contains("ostname mismatch"), "{seen}");
    server.says("failed: the peer refused: bad_certificate");
}

fn gnutls_cli(server: &Server, priority: &str, more: &[&str]) -> Tool {
    let port = server.address.port().to_string();
    let arguments = [
        &[
            "--x509cafile",
            argument(&server.ca),
            "--port",
            &port,
            "--priority",
            priority,
        ][..],
        &["--verify-hostname", "localhost", "--sni-hostname", "localhost"],
        more,
        &["127.0.0.1"],
    ];
    Tool::start("gnutls-cli", &arguments.concat())
}

#[test]
fn gnutls_with_every_suite_and_group() {
    let server = Server::start(EXAMPLE);
    for (suite, cipher) in SUITES {
        // GnuTLS sends shares for its first two groups of different kinds; P-521 alone before ours makes a retry.
        for (groups, group) in [
            ("+GROUP-X25519", "x25519"),
            ("+GROUP-SECP256R1", "secp256r1"),
            ("+GROUP-SECP521R1:+GROUP-SECP256R1", "secp256r1"),
        ] {
            let priority = format!("NORMAL:-VERS-ALL:+VERS-TLS1.3:-CIPHER-ALL:+{cipher}:-GROUP-ALL:{groups}");
            let mut client = gnutls_cli(&server, &priority, &[]);
            client.shows("- Simple Client Mode:");
            client.write(b"Hello, Postern!\n");
            client.shows("\nHello, Postern!\n");
            let (success, seen) = client.end();
            assert!(success, "{seen}");
            assert!(seen.contains("The certificate is trusted"), "{seen}");
            server.says(&format!("TLSv1.3 {suite} {group}"));
            server.says("echoed 16 bytes");
        }
    }
}

#[test]
fn gnutls_echoes_a_mebibyte_and_updates_its_keys() {
    let server = Server::start(EXAMPLE);
    let text = mebibyte();
    let mut client = gnutls_cli(&server, "NORMAL", &["--logfile", "/dev/null", "--inline-commands"]);
    client.write(&text);
    assert!(client.until(|seen| seen.len() >= text.len()) == text);
    client.write(b"^rekey^\n");
    client.write(b"under a new key\n");
    client.shows("\nunder a new key\n");
    assert!(client.end().0);
    server.says("echoed ");
}

#[test]
fn what_a_socket_can_do_to_a_server() {
    let server = Server::start(EXAMPLE);
    let exchange = |bytes: &[u8]| {
        let mut socket = TcpStream::connect(server.address).unwrap();
        socket.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // Our end stays open: the server ends it.
        socket.read_to_end(&mut answer).unwrap();
        answer
    };
    assert_eq!(exchange(b"GET / HTTP/1.0\r\n\r\n"), [21, 3, 3, 0, 2, 2, 10]);
    server.says("failed: not TLS: this is an HTTP request");
    let old = Client::new(X25519).hello.without(SUPPORTED_VERSIONS).record();
    assert_eq!(exchange(&old), [21, 3, 3, 0, 2, 2, 70]);
    server.says("failed: no common version");
    // More input than the server reads does not swallow the alert.
    let flood = [&[22, 3, 1, 0x40, 1][..], &[0; 50_000]].concat();
    assert_eq!(exchange(&flood), [21, 3, 3, 0, 2, 2, 22]);
    server.says("failed: record of 16385 bytes is over the limit");
    // Gone in the middle of the handshake.
    let hello = Client::new(X25519).hello.record();
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.write_all(&hello).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[0], 22);
    server.says("failed: the peer ended the connection without close_notify");
    // One byte in each segment.
    let mut socket = TcpStream::connect(server.address).unwrap();
    socket.set_nodelay(true).unwrap();
    for byte in &hello {
        socket.write_all(&[*byte]).unwrap();
    }
    let mut answer = [0; 5];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer[..3], [22, 3, 3]);
}
