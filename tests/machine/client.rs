//! The TLS client of the debug shell, against the servers of OpenSSL and GnuTLS.

use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
    date_time_ymd,
};

use super::common::machine::{Machine, Setup};
use super::common::pki::{USER_NETWORK, strings};
use super::common::process::Process;
use super::common::telnet::Telnet;
use super::common::{Scratch, poll};

/// A CA, and files with its certificates for servers.
struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    scratch: Scratch,
}

/// A certificate and its key, as PEM.
struct Credentials {
    certificate: String,
    key: String,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
            scratch: Scratch::new(),
        }
    }

    fn issue(&self, subject: &str, change: impl FnOnce(&mut CertificateParams)) -> Credentials {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        Credentials {
            certificate: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A machine that trusts this CA; `more` goes into `.tls`.
    fn machine(&self, more: &str) -> Machine {
        let ca = strings(&self.issuer.pem());
        Setup::new()
            .ports(&[23])
            .defconfig(format!("{USER_NETWORK}.tls = {{\n  .ca_cert =\n{ca},\n{more}}},\n"))
            .ready()
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        self.scratch.file(name, content)
    }

    /// `openssl s_server` with these credentials, and its port.
    fn s_server(&self, credentials: &Credentials, arguments: &[&str]) -> (Process, u16) {
        s_server(
            self.file("server.pem", &credentials.certificate),
            self.file("server.key", &credentials.key),
            arguments,
        )
    }
}

pub fn s_server(certificate: PathBuf, key: PathBuf, arguments: &[&str]) -> (Process, u16) {
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-cert"])
        .arg(certificate);
    let server = Process::start(command.arg("-key").arg(key).args(arguments));
    let port = server.out.wait_until("the port", |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let (_, rest) = text.split_once("ACCEPT 127.0.0.1:")?;
        rest.split_once('\n')?.0.trim().parse().ok()
    });
    (server, port)
}

/// A free port for a server that cannot choose one.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Waits until a server that prints nothing listens.
fn listens(port: u16) {
    poll("a listening server", || {
        TcpStream::connect(("127.0.0.1", port)).ok().map(drop)
    });
}

/// A session at the prompt of the TLS client.
pub fn echoctl_tls(machine: &Machine) -> Telnet {
    let mut shell = machine.shell();
    shell.command("echoctl_tls");
    shell
}

/// Connects and returns the negotiated parameters.
pub fn connected(shell: &mut Telnet, port: u16, more: &str) -> String {
    let answer = shell.command(&format!("client connect 10.0.2.2 {port}{more}"));
    let netif = if more.starts_with(" vm0") { " vm0" } else { "" };
    let start = format!("Connecting to TLS server at 10.0.2.2:{port} (0a000202){netif}\nDone.\n");
    let agreed = answer.strip_prefix(&start);
    agreed.unwrap_or_else(|| panic!("{answer}")).trim_end().to_owned()
}

/// Fails to connect and returns the reason.
pub fn refused(shell: &mut Telnet, port: u16, more: &str) -> String {
    let answer = shell.command(&format!("client connect 10.0.2.2 {port}{more}"));
    let netif = if more.starts_with(" vm0") { " vm0" } else { "" };
    let start = format!("Connecting to TLS server at 10.0.2.2:{port} (0a000202){netif}\nFailed: ");
    let reason = answer.strip_prefix(&start);
    reason.unwrap_or_else(|| panic!("{answer}")).trim_end().to_owned()
}

/// Sends a line and receives one, as in the guide.
pub fn converse(machine: &Machine, shell: &mut Telnet, server: &mut Process) {
    assert_eq!(shell.command("client send"), "Sending a message...\nDone.\n");
    server.out.wait_for("Hello, BitVisor with TLS!\n");
    let mark = machine.console().mark();
    server.write(b"Test 123 Message from server.\n");
    let mark = machine.console().wait_from(mark, "] Received.\r\n");
    machine.console().wait_from(mark, "] Test 123 Message from server.\r\n");
}

#[test]
fn the_guide_s_client_steps_work() {
    let ca = Ca::new("CA of a test");
    let credentials = ca.issue("the server", |_| {});
    let machine = ca.machine("");
    let mut shell = echoctl_tls(&machine);
    for (argument, version) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let (mut server, port) = ca.s_server(&credentials, &[argument]);
        let agreed = connected(&mut shell, port, "");
        assert!(
            agreed.starts_with(&format!("{version} ")) && agreed.ends_with(", server CN=the server (no name verified)"),
            "{agreed}"
        );
        converse(&machine, &mut shell, &mut server);
        let status = machine.ask("status");
        let line = format!("tls echo client connected to 10.0.2.2:{port}, in 30 out 26, ");
        assert!(status.contains(&line) && status.contains(&agreed), "{status}");
        let mut shell_again = echoctl_tls(&machine);
        assert_eq!(shell_again.command("client close"), "Done.\n");
        server.out.wait_for("DONE");
        // Again with the ticket, and with a name.
        shell = shell_again;
        assert!(connected(&mut shell, port, "").contains(", resumed, server CN=the server"));
        converse(&machine, &mut shell, &mut server);
        // A second connect does not affect the open connection.
        let reason = refused(&mut shell, port, " name=localhost");
        assert_eq!(
            reason,
            format!("already connected to 10.0.2.2:{port}; use 'client close' first.")
        );
        converse(&machine, &mut shell, &mut server);
        assert_eq!(shell.command("client close"), "Done.\n");
        assert!(!connected(&mut shell, port, " vm0 name=localhost").contains("resumed"));
        drop(server);
        machine.wait_for(&format!("tls client: 10.0.2.2:{port}: "));
        let gone = shell.command("client send");
        assert!(gone.contains("Failed: no longer connected: "), "{gone}");
    }
}

#[test]
fn servers_with_many_configurations_are_accepted() {
    let ca = Ca::new("CA of a test");
    let credentials = ca.issue("the server", |_| {});
    let machine = ca.machine("");
    let mut shell = echoctl_tls(&machine);
    for (arguments, expected) in [
        (&["-groups", "X25519"][..], "TLSv1.3 TLS_"),
        (&["-groups", "P-384"], " secp384r1,"),
        (&["-groups", "P-256", "-tls1_2"], "TLSv1.2 TLS_ECDHE_ECDSA_"),
        (
            &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
            "TLS_CHACHA20_POLY1305_SHA256",
        ),
        (
            &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384"],
            "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
        ),
    ] {
        let (mut server, port) = ca.s_server(&credentials, arguments);
        let agreed = connected(&mut shell, port, " name=localhost");
        assert!(agreed.contains(expected), "{agreed}");
        converse(&machine, &mut shell, &mut server);
        assert_eq!(shell.command("client close"), "Done.\n");
    }
    // No common version.
    let (_server, port) = ca.s_server(&credentials, &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]);
    assert_eq!(refused(&mut shell, port, ""), "the server refused: protocol_version.");
}

#[test]
fn gnutls_echoes() {
    let ca = Ca::new("CA of a test");
    let credentials = ca.issue("the server", |_| {});
    let machine = ca.machine("");
    let mut shell = echoctl_tls(&machine);
    for (priority, version) in [
        ("NORMAL:-VERS-ALL:+VERS-TLS1.2", "TLSv1.2 "),
        ("NORMAL:-VERS-ALL:+VERS-TLS1.3", "TLSv1.3 "),
    ] {
        let port = free_port();
        let mut command = Command::new("gnutls-serv");
        command.args(["--echo", "--port", &port.to_string(), "--priority", priority]);
        command
            .arg("--x509certfile")
            .arg(ca.file("server.pem", &credentials.certificate));
        command
            .arg("--x509keyfile")
            .arg(ca.file("server.key", &credentials.key));
        let _server = Process::start(&mut command);
        listens(port);
        let agreed = connected(&mut shell, port, " name=localhost");
        assert!(agreed.starts_with(version), "{agreed}");
        let mark = machine.console().mark();
        assert!(shell.command("client send over  there").ends_with("Done.\n"));
        let mark = machine.console().wait_from(mark, "] Received.\r\n");
        machine.console().wait_from(mark, "] over  there\r\n");
        assert_eq!(shell.command("client close"), "Done.\n");
    }
}

#[test]
fn unverifiable_certificates_are_refused_with_the_reason() {
    let (ca, other) = (Ca::new("CA of a test"), Ca::new("Another CA"));
    let machine = ca.machine("");
    let mut shell = echoctl_tls(&machine);
    let good = ca.issue("good", |_| {});
    let expired = ca.issue("expired", |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2024, 2, 1));
    });
    let early = ca.issue("early", |params| params.not_before = date_time_ymd(2200, 1, 1));
    let client = ca.issue("a client", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let foreign = other.issue("foreign", |_| {});
    for version in ["-tls1_2", "-tls1_3"] {
        for (credentials, more, reason, alert) in [
            (&expired, "", "certificate expired 2024-02-01", "certificate expired"),
            (
                &early,
                "",
                "certificate not valid before 2200-01-01",
                "certificate expired",
            ),
            (&foreign, "", "issuer unknown: CN=Another CA.", "unknown ca"),
            (
                &client,
                "",
                "certificate is for client authentication",
                "unsupported certificate",
            ),
            (
                &good,
                " name=other.example",
                "certificate does not match other.example: it is for localhost.",
                "bad certificate",
            ),
        ] {
            let (server, port) = ca.s_server(credentials, &[version]);
            let said = refused(&mut shell, port, more);
            assert!(said.starts_with(reason), "{said}");
            server.err.wait_for(&format!("alert {alert}"));
            machine.wait_for(&format!(
                "tls client: 10.0.2.2:{port}: {reason}",
                reason = reason.trim_end_matches('.')
            ));
        }
    }
    assert!(shell.command("client send").ends_with("Failed: not connected.\n"));
}

#[test]
fn the_client_certificate_is_sent_on_request() {
    let ca = Ca::new("CA of a test");
    let credentials = ca.issue("the server", |_| {});
    let mine = ca.issue("the client", |_| {});
    let ca_file = ca.file("ca.pem", &ca.issuer.pem());
    let ca_file = ca_file.to_str().unwrap();
    let known = ca.machine(&format!(
        "  .cli_cert =\n{},\n  .cli_key =\n{},\n",
        strings(&mine.certificate),
        strings(&mine.key)
    ));
    let unknown = ca.machine("");
    for (version, refusal) in [("-tls1_2", "handshake_failure"), ("-tls1_3", "certificate_required")] {
        let (mut server, port) = ca.s_server(&credentials, &[version, "-Verify", "1", "-CAfile", ca_file]);
        let mut shell = echoctl_tls(&known);
        connected(&mut shell, port, "");
        converse(&known, &mut shell, &mut server);
        assert!(server.out.text().contains("CN = the client"), "{}", server.out.text());
        assert_eq!(shell.command("client close"), "Done.\n");
        // If the server accepts none of our signature schemes, no signature is made, and the log reports it.
        let arguments = [version, "-verify", "1", "-client_sigalgs", "rsa_pss_rsae_sha256"];
        let (_server, other) = ca.s_server(&credentials, &arguments);
        connected(&mut shell, other, "");
        known.wait_for(&format!(
            "10.0.2.2:{other}: own certificate has no scheme, type or issuer that the server accepts"
        ));
        assert_eq!(shell.command("client close"), "Done.\n");
        let mut shell = echoctl_tls(&unknown);
        let answer = shell.command(&format!("client connect 10.0.2.2 {port}"));
        // In TLS 1.3 the refusal follows the client's last handshake message.
        unknown.wait_for(&format!("tls client: 10.0.2.2:{port}: the server refused: {refusal}"));
        if version == "-tls1_2" {
            assert!(
                answer.ends_with(&format!("Failed: the server refused: {refusal}.\n")),
                "{answer}"
            );
        } else {
            let answer = shell.command("client send");
            let expected = format!("Failed: no longer connected: the server refused: {refusal}.\n");
            assert!(answer.ends_with(&expected), "{answer}");
        }
    }
}

#[test]
fn a_ticket_that_is_too_long_is_logged_once_a_connection() {
    let ca = Ca::new("CA of a test");
    let credentials = ca.issue("the server", |_| {});
    // OpenSSL puts the client's certificate into its tickets.
    let long = ca.issue("the client", |params| {
        let names = (0..60).map(|number| format!("name-{number}.long.example").try_into().unwrap());
        params.subject_alt_names.extend(names.map(SanType::DnsName));
    });
    let ca_file = ca.file("ca.pem", &ca.issuer.pem());
    let machine = ca.machine(&format!(
        "  .cli_cert =\n{},\n  .cli_key =\n{},\n",
        strings(&long.certificate),
        strings(&long.key)
    ));
    let mut shell = echoctl_tls(&machine);
    // TLS 1.3 sends two tickets, TLS 1.2 one.
    for version in ["-tls1_3", "-tls1_2"] {
        let arguments = [version, "-Verify", "1", "-CAfile", ca_file.to_str().unwrap()];
        let (mut server, port) = ca.s_server(&credentials, &arguments);
        connected(&mut shell, port, "");
        converse(&machine, &mut shell, &mut server);
        converse(&machine, &mut shell, &mut server);
        assert_eq!(shell.command("client close"), "Done.\n");
        let log = machine.console().text();
        let line = format!("tls client: 10.0.2.2:{port}: ticket of ");
        let lines: Vec<_> = log.lines().filter(|text| text.contains(&line)).collect();
        assert_eq!(lines.len(), 1, "{log}");
        assert!(
            lines[0].ends_with(" bytes not stored (limit 1536), so it resumes no session"),
            "{}",
            lines[0]
        );
    }
}

#[test]
fn a_flood_from_the_server_is_counted_and_the_shell_continues() {
    const FLOOD: usize = 8 << 20;
    let ca = Ca::new("CA of a test");
    let credentials = ca.issue("the server", |_| {});
    let machine = ca.machine("");
    let mut shell = echoctl_tls(&machine);
    // With -quiet it interprets no input as a command, but does not print its port either.
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}"), "-cert"]);
    command.arg(ca.file("server.pem", &credentials.certificate)).arg("-key");
    let mut server = Process::start(command.arg(ca.file("server.key", &credentials.key)));
    listens(port);
    let _ = connected(&mut shell, port, "");
    let mut input = server.take_stdin();
    let flood = std::thread::spawn(move || {
        // Without the letters that s_server interprets as commands at the start of a line.
        let lines = b"to be and not to be.\n".repeat(FLOOD / 21);
        std::io::Write::write_all(&mut input, &lines).map(|()| (lines.len(), input))
    });
    // Meanwhile commands are answered.
    assert!(shell.command("client send").ends_with("Done.\n"));
    let (count, input) = flood.join().unwrap().unwrap();
    let expected = format!("connected to 10.0.2.2:{port}, in {count} out ");
    poll("the whole flood", || {
        machine.ask("status").contains(&expected).then_some(())
    });
    drop(input);
    let shown = machine.console().text().matches("] to be and not to be.").count();
    assert!(shown > 10 && shown < FLOOD / 21 / 10, "{shown}");
}
