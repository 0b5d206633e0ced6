//! Client authentication: accepted and refused clients, alerts and log lines.

use std::path::Path;
use std::process::Command;

use postern::tls::{AlertDescription, ClientConfig, Error, Versions};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, date_time_ymd};

use super::common::machine::{Machine, Setup};
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::common::process::Process;
use super::common::tls::s_client;
use super::common::{Scratch, poll};
use super::engine::{self, Peer};
use super::identities::Ca;

/// A CA that has revoked the serial number 7, a server of it, and clients.
struct World {
    ca: Ca,
    /// The key of all certificates.
    key: KeyPair,
    scratch: Scratch,
    machine: Machine,
}

impl World {
    /// `tls` goes into the group of that name.
    fn new(tls: &str) -> Self {
        Self::with_key(KeyPair::generate().unwrap(), tls)
    }

    fn with_key(key: KeyPair, tls: &str) -> Self {
        let (ca, scratch) = (Ca::new(), Scratch::new());
        let text = format!(
            "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.ca_cert =\n{},\n.crl =\n{},\n{tls} }}",
            strings(&ca.issue("server.test", 1, &key)),
            strings(&key.serialize_pem()),
            strings(&ca.0.pem()),
            // The maximum number of lists of one CA: handshakes verify none of their signatures.
            strings(&ca.revoke(7).repeat(8)),
        );
        scratch.file("ca.pem", ca.0.pem());
        scratch.file("client.key", key.serialize_pem());
        let machine = Setup::new().defconfig(text).ready();
        Self {
            ca,
            key,
            scratch,
            machine,
        }
    }

    /// A client's certificate.
    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        params.signed_by(&self.key, &self.ca.0).unwrap().pem()
    }

    /// The hash of the common key, computed by OpenSSL.
    fn key_hash(&self) -> String {
        let command = format!(
            "openssl pkey -in {} -pubout -outform DER | sha256sum",
            self.scratch.path("client.key").display()
        );
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        format!("sha256:{}", text.split(' ').next().unwrap())
    }

    /// A client with that certificate.
    fn client(&self, certificate: Option<&str>, arguments: &[&str]) -> Process {
        let file = |path: &Path| path.to_str().unwrap().to_owned();
        let mut all: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        if let Some(certificate) = certificate {
            all.extend(["-cert".into(), file(&self.scratch.file("client.pem", certificate))]);
            all.extend(["-key".into(), file(&self.scratch.path("client.key"))]);
        }
        s_client(self.machine.at(10007), &self.scratch.path("ca.pem"), all)
    }

    /// The client is accepted, and its line of `status` ends like this.
    fn assert_admitted(&self, mut client: Process, ending: &str) {
        client.write(b"let me in\n");
        client.out.wait_for("\nlet me in\n");
        let status = self.machine.ask("status");
        let line = status.lines().find(|line| line.contains(" established "));
        // The hash of its key follows its name.
        let key = if ending.contains("CN=") {
            format!(" {}", &self.key_hash()[..7 + 16])
        } else {
            String::new()
        };
        let ending = format!("{ending}{key}");
        assert!(line.is_some_and(|line| line.ends_with(&ending)), "{ending:?}: {status}");
        client.write(b"Q\n");
        assert!(client.wait().success());
        poll("the end of the connection", || {
            self.machine.ask("status").contains("connections: 0 of ").then_some(())
        });
    }

    /// A client with that certificate is refused, with that alert and that text in the log.
    fn assert_refused(&self, certificate: Option<&str>, option: &str, alert: &str, words: &str) {
        let mark = self.machine.console().mark();
        let mut client = self.client(certificate, &[option]);
        client.err.wait_for(&format!("alert {alert}"));
        client.wait();
        let words = format!(": handshake failed: {words}");
        self.machine.console().wait_from(mark, &words);
    }

    /// A client with a certificate whose key it does not have.
    fn assert_thief_is_refused(&self, certificate: &str, versions: Versions) {
        let thief = engine::identity(certificate, &KeyPair::generate().unwrap().serialize_pem());
        let trust = engine::trust(&self.ca.0.pem());
        let config = ClientConfig::new(trust, None, engine::clock()).with_identity(thief);
        let mark = self.machine.console().mark();
        let mut thief = Peer::client(self.machine.at(10007), config.with_versions(versions));
        // In TLS 1.3 a client finishes before it is verified.
        let refusal = thief.handshake().and_then(|()| thief.read());
        assert_eq!(refusal, Err(Error::AlertReceived(AlertDescription::DECRYPT_ERROR)));
        let words = ": handshake failed: the signature was not made with the key in the certificate";
        self.machine.console().wait_from(mark, words);
    }
}

#[test]
fn clients_need_a_valid_certificate_and_its_key() {
    let world = World::new(".client_auth = \"required\", .verify = \"strict\", .keylog = 1");
    let good = world.issue("good.test", |_| {});
    let expired = world.issue("expired.test", |params| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2024, 2, 1));
    });
    let early = world.issue("early.test", |params| params.not_before = date_time_ymd(2200, 1, 1));
    let revoked = world.issue("revoked.test", |params| params.serial_number = Some(7.into()));
    let server = world.issue("server.test", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let mut params = CertificateParams::new(["stranger.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "stranger.test");
    let (other, own) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let mut their_ca = CertificateParams::default();
    their_ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    their_ca.distinguished_name.push(DnType::CommonName, "Another CA");
    let their_ca = rcgen::CertifiedIssuer::self_signed(their_ca, other).unwrap();
    let stranger = params.signed_by(&world.key, &their_ca).unwrap().pem();
    let alone = params.self_signed(&own).unwrap().pem();
    for (option, versions, none) in [
        ("-tls1_3", Versions::Tls13, "certificate required"),
        ("-tls1_2", Versions::Tls12, "handshake failure"),
    ] {
        let keys = world.scratch.path("keys");
        let _ = std::fs::remove_file(&keys);
        let (keys, session) = (keys.to_str().unwrap(), world.scratch.path("session"));
        let session = session.to_str().unwrap();
        let arguments = [option, "-keylogfile", keys, "-sess_out", session];
        world.assert_admitted(world.client(Some(&good), &arguments), " CN=good.test");
        let said = format!(": authenticated as CN=good.test, {}", world.key_hash());
        assert!(world.machine.ask("log").contains(&said), "{said}");
        // A ticket carries the client's identity.
        let again = world.client(Some(&good), &[option, "-keylogfile", keys, "-sess_in", session]);
        world.assert_admitted(again, " resumed CN=good.test");
        assert_secrets_are_logged(&world.machine, &std::fs::read_to_string(keys).unwrap());

        for (certificate, alert, words) in [
            (None, none, "the client sent no certificate, which is required here"),
            (Some(&expired), "certificate expired", "certificate expired 2024-02-01"),
            (
                Some(&early),
                "certificate expired",
                "certificate not valid before 2200-01-01",
            ),
            (
                Some(&revoked),
                "certificate revoked",
                "certificate revoked: serial number 07",
            ),
            (Some(&stranger), "unknown ca", "issuer unknown: CN=Another CA"),
            (
                Some(&server),
                "unsupported certificate",
                "certificate is for server authentication, not for client authentication",
            ),
        ] {
            world.assert_refused(certificate.map(String::as_str), option, alert, words);
        }
        world.assert_thief_is_refused(&good, versions);
    }
    // A self-signed certificate is refused like one of another CA.
    let alone = engine::identity(&alone, &own.serialize_pem());
    let config = ClientConfig::new(engine::trust(&world.ca.0.pem()), None, engine::clock()).with_identity(alone);
    let mut alone = Peer::client(world.machine.at(10007), config);
    let refusal = alone.handshake().and_then(|()| alone.read());
    assert_eq!(refusal, Err(Error::AlertReceived(AlertDescription::UNKNOWN_CA)));
    world.assert_admitted(world.client(Some(&good), &[]), " CN=good.test");
}

/// Whether the log has the same secrets as OpenSSL's key log, line for line.
fn assert_secrets_are_logged(machine: &Machine, openssl: &str) {
    // That one is for exporters, which are not supported.
    let lines = openssl
        .lines()
        .filter(|line| !line.starts_with('#') && !line.starts_with("EXPORTER_SECRET "));
    let mut count = 0;
    for line in lines {
        machine.wait_for(&format!("] keylog: {line}\r\n"));
        count += 1;
    }
    assert!(count >= 2, "{openssl}");
}

#[test]
fn optional_certificates_must_be_valid_if_sent() {
    let world = World::new(".client_auth = \"optional\"");
    world.machine.wait_for("tls: client authentication optional");
    let good = world.issue("good.test", |_| {});
    let revoked = world.issue("revoked.test", |params| params.serial_number = Some(7.into()));
    for (option, versions, group) in [
        ("-tls1_3", Versions::Tls13, " x25519"),
        ("-tls1_2", Versions::Tls12, " x25519"),
    ] {
        world.assert_admitted(world.client(None, &[option]), group);
        world.assert_admitted(world.client(Some(&good), &[option]), " CN=good.test");
        let words = "certificate revoked: serial number 07";
        world.assert_refused(Some(&revoked), option, "certificate revoked", words);
        world.assert_thief_is_refused(&good, versions);
    }
}

#[test]
fn only_clients_on_the_allow_list_are_accepted() {
    let named = World::new(
        ".client_auth = \"required\", .verify = \"strict\", .allow = { \"CN=alice\", \"O=Example,CN=bob\" }",
    );
    named.machine.wait_for("tls: client allow-list has 2 entries");
    let organization =
        |params: &mut CertificateParams| params.distinguished_name.push(DnType::OrganizationName, "Example");
    let (alice, bob) = (named.issue("alice", |_| {}), named.issue("bob", organization));
    let (mallory, other) = (named.issue("mallory", |_| {}), named.issue("alice,O=Example", |_| {}));
    for option in ["-tls1_3", "-tls1_2"] {
        named.assert_admitted(named.client(Some(&alice), &[option]), " CN=alice");
        named.assert_admitted(named.client(Some(&bob), &[option]), " O=Example,CN=bob");
        for (certificate, subject) in [(&mallory, "CN=mallory"), (&other, "CN=alice\\,O=Example")] {
            let words = format!("not on the list of allowed clients: {subject}");
            named.assert_refused(Some(certificate), option, "access denied", &words);
        }
    }

    // By key: the name does not matter, nor does a new certificate. (All certificates here have the same key.)
    let hash = named.key_hash();
    let key = named.key.serialize_pem();
    let same = World::with_key(
        KeyPair::from_pem(&key).unwrap(),
        &format!(".client_auth = \"optional\", .allow = {{ \"{hash}\" }}"),
    );
    let (first, renewed) = (same.issue("carol", |_| {}), same.issue("carol, renewed", |_| {}));
    same.assert_admitted(same.client(Some(&first), &[]), " CN=carol");
    same.assert_admitted(same.client(Some(&renewed), &[]), " CN=carol\\, renewed");
    same.assert_admitted(same.client(None, &["-tls1_3"]), " x25519");
    // The same name with another key is a different client.
    let other = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["carol".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "carol");
    let impostor = params.signed_by(&other, &same.ca.0).unwrap().pem();
    let identity = engine::identity(&impostor, &other.serialize_pem());
    let config = ClientConfig::new(engine::trust(&same.ca.0.pem()), None, engine::clock()).with_identity(identity);
    let mut impostor = Peer::client(same.machine.at(10007), config);
    let refusal = impostor.handshake().and_then(|()| impostor.read());
    assert_eq!(refusal, Err(Error::AlertReceived(AlertDescription::ACCESS_DENIED)));
    same.machine.wait_for("not on the list of allowed clients: CN=carol");
}
