//! The matrix against OpenSSL and GnuTLS in both roles, with every key.

use std::net::TcpListener;

use postern_peers::tools::{Files, Program, Server, Tool};
use postern_peers::world::{Kind, of};
use postern_tls::ProtocolVersion;
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::suite::CipherSuite;

use super::matrix::{Auth, CLASSIC_GROUPS, Cell, cells};

const S_SERVER: &str = env!("CARGO_BIN_EXE_s_server");
const S_CLIENT: &str = env!("CARGO_BIN_EXE_s_client");

const TEXT: &str = "Hello, Postern!\n";

/// Certificates and keys of a kind, in files.
struct Pki {
    files: Files,
    ca: String,
    server: [String; 2],
    client: [String; 2],
}

impl Pki {
    fn new(kind: Kind) -> Self {
        let (files, world) = (Files::new(), of(kind));
        Self {
            ca: files.write("ca.pem", &world.authority.pem),
            server: files.write_party("server", world.server),
            client: files.write_party("client", world.client),
            files,
        }
    }
}

/// The cells where client authentication is off or required, by what a server has to be started with.
fn servers() -> Vec<(Kind, Auth, Vec<Cell>)> {
    let mut servers: Vec<(Kind, Auth, Vec<Cell>)> = Vec::new();
    for cell in cells(&CLASSIC_GROUPS) {
        if !matches!(cell.auth, Auth::Off | Auth::Required) {
            continue;
        }
        match servers
            .iter_mut()
            .find(|(kind, auth, _)| (*kind, *auth) == (cell.kind, cell.auth))
        {
            Some((.., cells)) => cells.push(cell),
            None => servers.push((cell.kind, cell.auth, vec![cell])),
        }
    }
    // Every kind of key, with and without.
    assert_eq!(servers.len(), 10);
    servers
}

/// The curve of a kind of key. OpenSSL wants it among the client's groups before it shows such a certificate by TLS 1.2.
pub(crate) fn curve(kind: Kind) -> Option<Group> {
    match kind {
        Kind::P256 => Some(Group::Secp256r1),
        Kind::P384 => Some(Group::Secp384r1),
        _ => None,
    }
}

/// OpenSSL's name for a suite.
fn openssl_suite(suite: CipherSuite) -> String {
    match suite.name() {
        name if suite.version() == ProtocolVersion::TLS13 => name.to_owned(),
        name if name.contains("CHACHA20") => {
            let rest = name
                .trim_start_matches("TLS_")
                .replace("_WITH_CHACHA20_POLY1305_SHA256", "");
            format!("{}-CHACHA20-POLY1305", rest.replace('_', "-"))
        }
        name => name
            .trim_start_matches("TLS_")
            .replace("_WITH_AES_", "-AES")
            .replace('_', "-"),
    }
}

fn openssl_group(group: Group) -> &'static str {
    match group {
        Group::X25519 => "X25519",
        Group::Secp256r1 => "P-256",
        Group::Secp384r1 => "P-384",
        group => panic!("OpenSSL 3.0 has no {}", group.name()),
    }
}

/// The arguments of OpenSSL's programs for a cell's version, suite and group.
fn openssl_options(cell: Cell) -> Vec<String> {
    let [version, suites] = match cell.is_tls13() {
        true => ["-tls1_3", "-ciphersuites"],
        false => ["-tls1_2", "-cipher"],
    };
    let mut groups = openssl_group(cell.group).to_owned();
    if let Some(curve) = curve(cell.kind).filter(|curve| !cell.is_tls13() && *curve != cell.group) {
        groups += &format!(":{}", openssl_group(curve));
    }
    [version, suites, &openssl_suite(cell.suite), "-groups", &groups]
        .map(str::to_owned)
        .to_vec()
}

/// GnuTLS's priority string for a cell.
fn gnutls_priority(cell: Cell) -> String {
    let (version, exchange) = match (cell.is_tls13(), cell.suite.name().contains("_RSA_")) {
        (true, _) => ("TLS1.3", ""),
        (false, true) => ("TLS1.2", ":-KX-ALL:+ECDHE-RSA"),
        (false, false) => ("TLS1.2", ":-KX-ALL:+ECDHE-ECDSA"),
    };
    let cipher = match cell.suite.name() {
        name if name.contains("CHACHA20") => "CHACHA20-POLY1305",
        name if name.contains("AES_256") => "AES-256-GCM",
        _ => "AES-128-GCM",
    };
    let mut groups = format!("+GROUP-{}", cell.group.name().to_uppercase());
    if let Some(curve) = curve(cell.kind).filter(|curve| !cell.is_tls13() && *curve != cell.group) {
        groups += &format!(":+GROUP-{}", curve.name().to_uppercase());
    }
    format!("NORMAL:-VERS-ALL:+VERS-{version}{exchange}:-CIPHER-ALL:+{cipher}:-GROUP-ALL:{groups}")
}

/// What our programs say of a connection of that cell.
#[track_caller]
fn assert_agreed(line: &str, cell: Cell, resumed: bool, is_server: bool) {
    let version = if cell.is_tls13() { "TLSv1.3" } else { "TLSv1.2" };
    assert!(
        line.starts_with(&format!("{version} {}", cell.suite.name())),
        "{cell:?}: {line}"
    );
    // A session of TLS 1.2 is resumed without a key exchange.
    let exchanged = cell.is_tls13() || !resumed;
    assert_eq!(
        line.contains(&format!(" {}", cell.group.name())),
        exchanged,
        "{cell:?}: {line}"
    );
    assert_eq!(line.contains(" resumed"), resumed, "{cell:?}: {line}");
    let peer = match (is_server, cell.auth) {
        (false, _) => " peer=CN=localhost",
        (true, Auth::Required) => " peer=CN=client.test",
        (true, _) => "",
    };
    assert_eq!(line.contains(" peer="), !peer.is_empty(), "{cell:?}: {line}");
    assert!(line.ends_with(peer), "{cell:?}: {line}");
}

/// Our server, as the cells of one kind of key and authentication want it, with this group.
fn our_server(kind: Kind, auth: Auth, group: Group) -> (Server, Pki) {
    let pki = Pki::new(kind);
    let [certificate, key] = &pki.server;
    let mut arguments = vec![
        "-cert",
        certificate,
        "-key",
        key,
        "-CAfile",
        &pki.ca,
        "-groups",
        group.name(),
    ];
    if auth == Auth::Required {
        arguments.push("-Verify");
    }
    (Server::start_with(S_SERVER, &arguments, &pki.ca, Files::new()), pki)
}

/// Has `client` make a connection to our server for each cell.
fn with_our_server(mut client: impl FnMut(&Server, &Pki, Cell)) {
    let mut count = 0;
    for (kind, auth, cells) in servers() {
        for group in CLASSIC_GROUPS {
            let cells: Vec<_> = cells.iter().filter(|cell| cell.group == group).collect();
            if cells.is_empty() {
                continue;
            }
            let (server, pki) = our_server(kind, auth, group);
            for cell in cells {
                client(&server, &pki, *cell);
                count += 2;
            }
        }
    }
    println!("{count} connections");
}

/// Our server's line with the negotiated parameters, after it has echoed the text.
#[track_caller]
fn server_agreed(server: &Server, cell: Cell, resumed: bool) {
    let lines = server.says("TLSv1.");
    assert_agreed(lines.last().unwrap(), cell, resumed, true);
}

#[test]
fn openssl_as_the_client() {
    with_our_server(|server, pki, cell| {
        let address = server.address.to_string();
        let session = pki.files.path("session.pem");
        for (resumed, keep) in [(false, "-sess_out"), (true, "-sess_in")] {
            let mut arguments: Vec<String> = ["s_client", "-connect", &address, "-CAfile", &pki.ca, keep, &session]
                .into_iter()
                .chain(["-verify_return_error", "-verify_hostname", "localhost"])
                .map(str::to_owned)
                .collect();
            arguments.extend(openssl_options(cell));
            if cell.auth == Auth::Required {
                let [certificate, key] = &pki.client;
                arguments.extend(["-cert", certificate, "-key", key].map(str::to_owned));
            }
            let mut client = Tool::start("openssl", &arguments);
            client.write(TEXT.as_bytes());
            client.shows(&format!("\n{TEXT}"));
            let (success, seen) = client.end();
            let news = if resumed { "Reused, TLSv1." } else { "New, TLSv1." };
            assert!(success && seen.contains(news), "{cell:?}: {seen}");
            assert!(seen.contains("Verification: OK"), "{cell:?}: {seen}");
            server_agreed(server, cell, resumed);
            server.says("echoed 16 bytes");
        }
    });
}

#[test]
fn gnutls_as_the_client() {
    with_our_server(|server, pki, cell| {
        let port = server.address.port().to_string();
        let priority = gnutls_priority(cell);
        let mut arguments: Vec<&str> = ["--x509cafile", &pki.ca, "--port", &port, "--priority", &priority]
            .into_iter()
            .chain([
                "--verify-hostname",
                "localhost",
                "--resume",
                "--waitresumption",
                "127.0.0.1",
            ])
            .collect();
        if cell.auth == Auth::Required {
            let [certificate, key] = &pki.client;
            arguments.extend(["--x509certfile", certificate, "--x509keyfile", key]);
        }
        // It connects, disconnects, and connects once more with the session.
        let mut client = Tool::start("gnutls-cli", &arguments);
        client.shows("- Simple Client Mode:");
        client.write(TEXT.as_bytes());
        client.shows(&format!("\n{TEXT}"));
        let (success, seen) = client.end();
        assert!(
            success && seen.contains("The certificate is trusted"),
            "{cell:?}: {seen}"
        );
        assert!(seen.contains("This is a resumed session"), "{cell:?}: {seen}");
        for resumed in [false, true] {
            server_agreed(server, cell, resumed);
        }
        server.says("echoed 16 bytes");
    });
}

/// Our client to a server, twice in a row; its output and the echo.
#[track_caller]
fn our_client(address: &str, pki: &Pki, cell: Cell) -> String {
    let version = if cell.is_tls13() { "-tls1_3" } else { "-tls1_2" };
    let mut groups = cell.group.name().to_owned();
    if let Some(curve) = curve(cell.kind).filter(|curve| *curve != cell.group) {
        groups += &format!(",{}", curve.name());
    }
    let mut arguments = vec!["-connect", address, "-CAfile", &pki.ca, "-name", "localhost", version];
    arguments.extend([
        "-groups",
        &groups,
        "-suites",
        cell.suite.name(),
        "-text",
        TEXT,
        "-repeat",
        "1",
    ]);
    if cell.auth == Auth::Required {
        let [certificate, key] = &pki.client;
        arguments.extend(["-cert", certificate, "-key", key]);
    }
    let (success, seen) = Tool::start(S_CLIENT, &arguments).end();
    assert!(success, "{cell:?}: {seen}");
    let lines: Vec<_> = seen.lines().filter(|line| line.starts_with("TLSv1.")).collect();
    let [first, second] = lines[..] else {
        panic!("{cell:?}: {seen}")
    };
    assert_agreed(first, cell, false, false);
    assert_agreed(second, cell, true, false);
    seen
}

#[test]
fn openssl_as_the_server() {
    let mut count = 0;
    for (kind, auth, cells) in servers() {
        let pki = Pki::new(kind);
        for group in CLASSIC_GROUPS {
            let cells: Vec<_> = cells.iter().filter(|cell| cell.group == group).collect();
            let [certificate, key] = &pki.server;
            let mut arguments = vec![
                "s_server",
                "-accept",
                "127.0.0.1:0",
                "-cert",
                certificate,
                "-key",
                key,
                "-rev",
            ];
            // By TLS 1.2 it takes no client's certificate whose curve is not among these.
            let groups = [group].into_iter().chain(curve(kind).filter(|curve| *curve != group));
            let groups = groups.map(openssl_group).collect::<Vec<_>>().join(":");
            arguments.extend(["-groups", &groups]);
            if auth == Auth::Required {
                arguments.extend(["-CAfile", &pki.ca, "-Verify", "1", "-verify_return_error"]);
            }
            let server = Program::start("openssl", &arguments);
            let address = server.says("ACCEPT ");
            for cell in cells {
                let seen = our_client(address.trim_start_matches("ACCEPT "), &pki, *cell);
                let reversed: String = TEXT.trim_end().chars().rev().collect();
                assert_eq!(seen.matches(&reversed).count(), 2, "{cell:?}: {seen}");
                count += 2;
            }
        }
    }
    println!("{count} connections");
}

#[test]
fn gnutls_as_the_server() {
    let mut count = 0;
    for (kind, auth, cells) in servers() {
        let pki = Pki::new(kind);
        let [certificate, key] = &pki.server;
        // Free a moment ago. If it was taken since, the program reports it and the test fails.
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port()
            .to_string();
        let mut arguments = vec![
            "--echo",
            "--port",
            &port,
            "--x509certfile",
            certificate,
            "--x509keyfile",
            key,
        ];
        match auth {
            Auth::Required => {
                arguments.extend(["--x509cafile", &pki.ca, "--require-client-cert", "--verify-client-cert"]);
            }
            _ => arguments.push("--disable-client-cert"),
        }
        let server = Program::start("gnutls-serv", &arguments);
        server.says("Echo Server listening on IPv4");
        for cell in cells {
            let seen = our_client(&format!("127.0.0.1:{port}"), &pki, cell);
            assert_eq!(seen.matches(TEXT).count(), 2, "{cell:?}: {seen}");
            count += 2;
        }
    }
    println!("{count} connections");
}
