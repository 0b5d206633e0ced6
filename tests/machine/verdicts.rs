//! The shell's TLS client with servers that it refuses, or that do not answer.

use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use super::client::{connected, converse, echoctl_tls, refused, s_server};
use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::common::process::Process;
use super::common::tls::s_client;
use super::common::{Scratch, accept};
use super::engine;
use super::identities::Ca;
use super::keys::rsa;

/// A CA that has revoked the serial number 7, and a machine that trusts it in strict mode.
struct World {
    ca: Ca,
    scratch: Scratch,
    machine: Machine,
}

impl World {
    fn new() -> Self {
        let ca = Ca::new();
        let text = format!(
            "{USER_NETWORK}.tls = {{ .ca_cert =\n{},\n.crl =\n{},\n.verify = \"strict\", .handshake_timeout = 2 }}",
            strings(&ca.0.pem()),
            strings(&ca.revoke(7)),
        );
        Self {
            ca,
            scratch: Scratch::new(),
            machine: Setup::new().ports(&[23]).defconfig(text).ready(),
        }
    }

    /// `openssl s_server` with that certificate and key.
    fn server(&self, certificate: &str, key: &KeyPair, arguments: &[&str]) -> (Process, u16) {
        s_server(
            self.scratch.file("server.pem", certificate),
            self.scratch.file("server.key", key.serialize_pem()),
            arguments,
        )
    }
}

#[test]
fn servers_with_special_requirements_are_accepted() {
    let world = World::new();
    let ca = world.scratch.file("ca.pem", world.ca.0.pem());
    let ca = ca.to_str().unwrap();
    let (rsa, large, p256) = (rsa(2048), rsa(4096), KeyPair::generate().unwrap());
    let mut shell = echoctl_tls(&world.machine);
    for (key, arguments, expected) in [
        (
            &rsa,
            &["-tls1_3", "-groups", "X25519"][..],
            ["TLSv1.3 TLS_", " x25519, "],
        ),
        (
            &p256,
            &["-tls1_2", "-groups", "X25519"],
            ["TLSv1.2 TLS_ECDHE_ECDSA_", " x25519, "],
        ),
        (
            &p256,
            &["-tls1_3", "-groups", "P-384"],
            ["TLSv1.3 TLS_", " secp384r1, "],
        ),
        (
            &rsa,
            &["-tls1_2", "-groups", "P-384"],
            ["TLSv1.2 TLS_ECDHE_RSA_", " secp384r1, "],
        ),
        (&rsa, &["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"], ["TLSv1.3 TLS_", ""]),
        (
            &rsa,
            &["-tls1_2", "-sigalgs", "RSA-PSS+SHA384"],
            ["TLSv1.2 TLS_ECDHE_RSA_", ""],
        ),
        (
            &rsa,
            &["-tls1_2", "-sigalgs", "RSA+SHA256"],
            ["TLSv1.2 TLS_ECDHE_RSA_", ""],
        ),
        (&large, &["-tls1_3"], ["TLSv1.3 TLS_", ""]),
        (&large, &["-tls1_2"], ["TLSv1.2 TLS_ECDHE_RSA_", ""]),
        // They request a certificate and accept none.
        (&p256, &["-tls1_3", "-verify", "1", "-CAfile", ca], ["TLSv1.3 TLS_", ""]),
        (
            &p256,
            &["-tls1_2", "-verify", "1", "-CAfile", ca],
            ["TLSv1.2 TLS_ECDHE_ECDSA_", ""],
        ),
    ] {
        let certificate = world.ca.issue("server.test", 1, key);
        let (mut server, port) = world.server(&certificate, key, arguments);
        for resumed in [false, true] {
            let agreed = connected(&mut shell, port, " name=server.test");
            assert!(agreed.starts_with(expected[0]), "{arguments:?}: {agreed}");
            // The group belongs to a key exchange, which TLS 1.2 omits in a resumption.
            let exchange = !resumed || expected[0].starts_with("TLSv1.3");
            assert!(!exchange || agreed.contains(expected[1]), "{arguments:?}: {agreed}");
            let ending = [", server CN=server.test", ", resumed, server CN=server.test"][usize::from(resumed)];
            assert!(agreed.ends_with(ending), "{arguments:?}: {agreed}");
            converse(&world.machine, &mut shell, &mut server);
            assert_eq!(shell.command("client close"), "Done.\n");
        }
        connected(&mut shell, port, " name=server.test");
        // `status` is a command of the first prompt; the connection continues.
        shell.command("");
        let status = shell.command("status");
        let line = status
            .lines()
            .skip_while(|line| !line.contains("echo client connected"))
            .nth(1);
        assert!(
            line.is_some_and(|line| line.contains(", resumed, server CN=")),
            "{status}"
        );
        shell.command("echoctl_tls");
        assert_eq!(shell.command("client close"), "Done.\n");
    }
}

#[test]
fn each_refusal_has_its_own_message_and_alert() {
    let mut world = World::new();
    // No host answers there. That takes time, so it is tried on the other console.
    world.machine.type_in("echoctl\rclient connect 10.0.2.77 7\r");
    let key = KeyPair::generate().unwrap();
    let good = world.ca.issue("server.test", 1, &key);
    let revoked = world.ca.issue("revoked.test", 7, &key);
    let tampered = tamper(&good);
    let nameless = {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "localhost");
        params.signed_by(&key, &world.ca.0).unwrap().pem()
    };
    let numbered = {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "by its number");
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)))];
        params.signed_by(&key, &world.ca.0).unwrap().pem()
    };
    let mut shell = echoctl_tls(&world.machine);
    for version in ["-tls1_2", "-tls1_3"] {
        for (certificate, more, words, alert) in [
            (
                &revoked,
                "",
                "certificate revoked: serial number 07.",
                "certificate revoked",
            ),
            (
                &tampered,
                "",
                "certificate's signature is not its issuer's.",
                "bad certificate",
            ),
            (
                &good,
                " name=10.0.2.2",
                "certificate does not match 10.0.2.2: it is for server.test, localhost.",
                "bad certificate",
            ),
            (
                &numbered,
                " name=10.0.2.3",
                "certificate does not match 10.0.2.3: it is for 10.0.2.2.",
                "bad certificate",
            ),
            (
                &nameless,
                " name=localhost",
                "certificate does not match localhost: it has no subjectAltName (CN is ignored).",
                "bad certificate",
            ),
        ] {
            let (server, port) = world.server(certificate, &key, &[version]);
            let said = refused(&mut shell, port, more);
            assert!(said.starts_with(words), "{said}");
            server.err.wait_for(&format!("alert {alert}"));
            let said = said.strip_suffix('.').unwrap();
            world
                .machine
                .wait_for(&format!("warning: tls client: 10.0.2.2:{port}: {said}\r\n"));
        }
        let (_server, port) = world.server(&numbered, &key, &[version]);
        connected(&mut shell, port, " name=10.0.2.2");
        assert_eq!(shell.command("client close"), "Done.\n");
    }
    without_a_server(&world.machine);
    let words = "no answer to ARP within 10 s: the host or its gateway is down";
    world.machine.wait_for(&format!("Failed: {words}."));
    world
        .machine
        .wait_for(&format!("warning: plain client: 10.0.2.77:7: {words}\r\n"));
}

#[test]
fn with_public_cas_the_server_name_is_checked() {
    let (ca, public, key) = (Ca::new(), Ca::called("A public CA"), KeyPair::generate().unwrap());
    let scratch = Scratch::new();
    scratch.file("key.pem", key.serialize_pem());
    let server =
        |name: &str, certificate: &str| s_server(scratch.file(name, certificate), scratch.path("key.pem"), &[]);
    let machine = |verify: &str| {
        let text = format!(
            "{USER_NETWORK}.tls = {{ .ca_cert =\n{},\n.root_certs =\n{},\n.verify = \"{verify}\" }}",
            strings(&ca.0.pem()),
            strings(&public.0.pem()),
        );
        let machine = Setup::new().ports(&[23]).defconfig(text).ready();
        machine.wait_for("tls: trusts 1 more CA for servers\r\n");
        let tls = machine.shell().command("tls");
        assert!(tls.contains("\ntrusts 1 more CA for servers\n"), "{tls}");
        machine
    };
    let by_name = public.issue("server.test", 1, &key);
    let by_address = {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::IpAddress(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)))];
        params.signed_by(&key, &public.0).unwrap().pem()
    };
    let pki = machine("pki");
    let mut shell = echoctl_tls(&pki);
    let (_named, port) = server("named.pem", &by_name);
    let (_numbered, number) = server("numbered.pem", &by_address);
    let said = refused(&mut shell, port, "");
    assert_eq!(
        said,
        "certificate does not match 10.0.2.2: it is for server.test, localhost."
    );
    let agreed = connected(&mut shell, port, " name=server.test");
    assert!(!agreed.contains("no name verified"), "{agreed}");
    assert_eq!(shell.command("client close"), "Done.\n");
    let agreed = connected(&mut shell, number, "");
    assert!(!agreed.contains("no name verified"), "{agreed}");
    let status = shell.command("");
    assert!(status.is_empty(), "{status}");
    assert!(pki.ask("status").contains(", sha256:"));

    // In the other modes any name is accepted, but the certificate must pass strict verification.
    let pinned = machine("pinned");
    let mut shell = echoctl_tls(&pinned);
    assert!(connected(&mut shell, port, "").contains("(no name verified)"));
    assert_eq!(shell.command("client close"), "Done.\n");
    let lenient = |ca: &Ca| {
        let mut params = CertificateParams::new(["server.test".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "server.test");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.signed_by(&key, &ca.0).unwrap().pem()
    };
    let (_ours, ours) = server("ours.pem", &lenient(&ca));
    let (_theirs, theirs) = server("theirs.pem", &lenient(&public));
    connected(&mut shell, ours, "");
    assert_eq!(shell.command("client close"), "Done.\n");
    let said = refused(&mut shell, theirs, "");
    assert!(said.starts_with("certificate is a CA certificate"), "{said}");
}

#[test]
fn clients_are_not_verified_by_the_server_roots() {
    let (ca, public, key) = (Ca::new(), Ca::called("A public CA"), KeyPair::generate().unwrap());
    let scratch = Scratch::new();
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.ca_cert =\n{},\n.root_certs =\n{},\n\
         .client_auth = \"required\", .verify = \"pki\" }}",
        strings(&ca.issue("server.test", 1, &key)),
        strings(&key.serialize_pem()),
        strings(&ca.0.pem()),
        strings(&public.0.pem()),
    );
    let machine = Setup::new().defconfig(text).ready();
    let key_file = scratch.file("key.pem", key.serialize_pem());
    for (authority, let_in) in [(&ca, true), (&public, false)] {
        let certificate = scratch.file("client.pem", authority.issue("client.test", 2, &key));
        let arguments = [
            "-cert",
            certificate.to_str().unwrap(),
            "-key",
            key_file.to_str().unwrap(),
        ];
        let mut client = s_client(machine.at(10007), &scratch.file("ca.pem", ca.0.pem()), arguments);
        if let_in {
            client.write(b"let me in\n");
            client.out.wait_for("\nlet me in\n");
            client.write(b"Q\n");
        } else {
            client.err.wait_for("alert unknown ca");
        }
        client.wait();
    }
    machine.wait_for("handshake failed: issuer unknown: CN=A public CA");
}

/// Failures of a connection before TLS begins.
fn without_a_server(machine: &Machine) {
    let mut shell = echoctl_tls(machine);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut expect = |words: &str| {
        assert_eq!(refused(&mut shell, port, ""), format!("{words}."));
        machine.wait_for(&format!("warning: tls client: 10.0.2.2:{port}: {words}\r\n"));
    };
    // It accepts and sends nothing.
    expect("TLS handshake not finished within 2 s");
    let silent = accept(&listener);
    drop(silent);
    let server = std::thread::spawn(move || {
        // Closed with the hello unread, it is reset; with the hello read, it just ends.
        let stream = accept(&listener);
        stream.peek(&mut [0]).unwrap();
        drop(stream);
        let mut stream = accept(&listener);
        let mut header = [0; 5];
        std::io::Read::read_exact(&mut stream, &mut header).unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        std::io::Read::read_exact(&mut stream, &mut hello).unwrap();
    });
    expect("connection reset by peer");
    expect("the server closed the connection during the TLS handshake");
    server.join().unwrap();
    expect("connection refused");
    let (_busy, port, _queue) = busy_server();
    let words = "no answer within 10 s";
    assert_eq!(refused(&mut shell, port, ""), format!("{words}."));
    machine.wait_for(&format!("warning: tls client: 10.0.2.2:{port}: {words}\r\n"));
}

/// A server whose listen queue is full, so that its host no longer answers.
fn busy_server() -> (Process, u16, Vec<TcpStream>) {
    let scratch = Scratch::new();
    let key = KeyPair::generate().unwrap();
    let certificate = scratch.file("server.pem", Ca::new().issue("busy", 1, &key));
    // It serves one at a time, and the first in the queue sends nothing.
    let (server, port) = s_server(certificate, scratch.file("server.key", key.serialize_pem()), &[]);
    let mut queue = Vec::new();
    loop {
        // Long enough for a second try.
        match TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(2)) {
            Ok(stream) => queue.push(stream),
            Err(_) => return (server, port, queue),
        }
        assert!(queue.len() < 10_000, "the queue does not fill up");
    }
}

/// The same certificate with a bit of its signature changed.
fn tamper(certificate: &str) -> String {
    let der = engine::der(certificate);
    // The last byte belongs to the signature's second number, so the encoding stays valid.
    *der.last_mut().unwrap() ^= 1;
    let mut text = vec![0; 2 * der.len() + 100];
    pem_rfc7468::encode("CERTIFICATE", pem_rfc7468::LineEnding::LF, der, &mut text)
        .unwrap()
        .to_owned()
}
