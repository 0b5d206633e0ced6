//! A large `.tls.root_certs`, `.tls.allow` in all services, wrong values.

use std::net::{IpAddr, Ipv4Addr};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType, date_time_ymd};

use super::client::{connected, echoctl_tls, refused, s_server};
use super::common::Scratch;
use super::common::machine::Setup;
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::common::tls::s_client;
use super::identities::Ca;

#[test]
fn the_allow_list_covers_the_shell_and_dialled_hosts() {
    let (ca, key, scratch) = (Ca::new(), KeyPair::generate().unwrap(), Scratch::new());
    let text = format!(
        "{USER_NETWORK}.vmm.tls_dbgsh = 992, .tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.ca_cert =\n{},\n\
         .allow = {{ \"CN=friend.test\" }} }}",
        strings(&ca.issue("server.test", 1, &key)),
        strings(&key.serialize_pem()),
        strings(&ca.0.pem()),
    );
    let machine = Setup::new().ports(&[23, 992]).defconfig(text).ready();
    let (ca_file, key_file) = (
        scratch.file("ca.pem", ca.0.pem()),
        scratch.file("key.pem", key.serialize_pem()),
    );
    for (name, let_in) in [("stranger.test", false), ("friend.test", true)] {
        let certificate = scratch.file("peer.pem", ca.issue(name, 2, &key));
        let arguments = [
            "-quiet",
            "-cert",
            certificate.to_str().unwrap(),
            "-key",
            key_file.to_str().unwrap(),
        ];
        let mark = machine.console().mark();
        let mut shell = s_client(machine.at(992), &ca_file, arguments);
        if let_in {
            shell.out.wait_for("> ");
            let begins = format!("debug shell over TLS opened: CN={name}, sha256:");
            machine.console().wait_from(mark, &begins);
        } else {
            shell.err.wait_for("alert access denied");
            shell.wait();
            let words = format!("debug shell over TLS refused: not on the list of allowed clients: CN={name}");
            machine.console().wait_from(mark, &words);
        }

        // It listens and sends nothing first: the machine becomes the TLS client, and would serve it.
        let trust = ["-Verify", "1", "-CAfile", ca_file.to_str().unwrap()];
        let (server, port) = s_server(certificate.clone(), key_file.clone(), &trust);
        let mark = machine.console().mark();
        let answer = echoctl_tls(&machine).command(&format!("server reverse 10.0.2.2 {port} every 3600"));
        assert!(answer.ends_with("Done.\n"), "{answer}");
        let line = format!("tls reverse to 10.0.2.2:{port}: ");
        if let_in {
            machine.console().wait_from(mark, &format!("{line}serving CN={name}"));
        } else {
            server.err.wait_for("alert access denied");
            let words = format!("{line}handshake failed: not on the list of allowed clients: CN={name}");
            machine.console().wait_from(mark, &words);
        }
    }
}

/// A CA of that name, signed by `issuer` or by itself.
fn authority(name: &str, issuer: Option<&CertifiedIssuer<'static, KeyPair>>) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    match issuer {
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

/// A server's certificate by that CA.
fn server(issuer: &CertifiedIssuer<'static, KeyPair>, name: &str, key: &KeyPair, address: Option<Ipv4Addr>) -> String {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    let address = address.map(|address| SanType::IpAddress(IpAddr::V4(address)));
    params.subject_alt_names.extend(address);
    params.signed_by(key, issuer).unwrap().pem()
}

/// A bundle of roots of at least the size of a distribution's.
fn bundle() -> String {
    std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_else(|_| {
        (0..140)
            .map(|number| authority(&format!("Root {number}"), None).pem())
            .collect()
    })
}

#[test]
fn a_distribution_s_root_bundle_verifies_servers() {
    let (ca, key, scratch) = (Ca::new(), KeyPair::generate().unwrap(), Scratch::new());
    let root = authority("Public root", None);
    let middle = authority("Intermediate", Some(&root));
    let old = {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Old root");
        params.not_after = date_time_ymd(2020, 1, 1);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    };
    let roots = format!("{old}{}{}", bundle(), root.pem());
    let count = roots.matches("-----BEGIN").count();
    assert!(count > 100, "{count}");
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .ca_cert =\n{},\n.root_certs =\n{},\n.verify = \"pki\" }}",
        strings(&ca.0.pem()),
        strings(&roots)
    );
    let machine = Setup::new().ports(&[23]).defconfig(text).ready();
    machine.wait_for("warning: tls: .tls.root_certs: CN=Old root is left out: expired\r\n");
    machine.wait_for(&format!(" of {count} are left out\r\n"));

    let start = |certificate: &str, arguments: &[&str]| {
        let key = scratch.file("server.key", key.serialize_pem());
        s_server(scratch.file("server.pem", certificate), key, arguments)
    };
    let chain = scratch.file("chain.pem", middle.pem());
    let named = server(&middle, "server.test", &key, None);
    let numbered = server(&middle, "server.test", &key, Some(Ipv4Addr::new(10, 0, 2, 2)));
    for version in ["-tls1_3", "-tls1_2"] {
        // The session below, which reads the log, replaces this one.
        let mut shell = echoctl_tls(&machine);
        let arguments = [version, "-cert_chain", chain.to_str().unwrap()];
        let (peer, port) = start(&named, &arguments);
        let said = refused(&mut shell, port, "");
        assert_eq!(said, "certificate does not match 10.0.2.2: it is for server.test.");
        peer.err.wait_for("alert bad certificate");
        assert!(connected(&mut shell, port, " name=server.test").ends_with(", server CN=server.test"));
        assert_eq!(shell.command("client close"), "Done.\n");
        let (_peer, port) = start(&numbered, &arguments);
        assert!(connected(&mut shell, port, "").ends_with(", server CN=server.test"));
        assert_eq!(shell.command("client close"), "Done.\n");
        // The intermediate has to be sent.
        let (_alone, other) = start(&numbered, &[version]);
        assert_eq!(refused(&mut shell, other, ""), "issuer unknown: CN=Intermediate.");
        let log = machine.ask("log");
        let line = log
            .lines()
            .find(|line| line.contains(&format!("tls client: 10.0.2.2:{port}: authenticated as CN=server.test")));
        assert!(line.is_some_and(|line| line.ends_with(", by CN=Public root")), "{log}");
    }
}

#[test]
fn a_bundle_without_a_usable_root_leaves_no_client() {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "No CA");
    let lone = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
    let text = format!(
        "{USER_NETWORK}.tls = {{ .verify = \"pki\", .root_certs =\n{} }}",
        strings(&lone)
    );
    let machine = Setup::new().ports(&[23]).defconfig(text).ready();
    machine.wait_for("tls: .tls.root_certs: CN=No CA is left out: not a CA\r\n");
    let why = "there is no CA to verify servers with: none of .tls.root_certs can be used.";
    let said = refused(&mut echoctl_tls(&machine), 1, "");
    assert!(said.ends_with(why), "{said}");
}

#[test]
fn a_large_bundle_fits_into_a_small_machine() {
    // Including the boot module itself, which is in memory too.
    let text = format!("{USER_NETWORK}{ECHO}.tls = {{ .root_certs =\n{} }}", strings(&bundle()));
    let machine = Setup::new().memory(8).defconfig(text).ready();
    machine.wait_for(" more CAs for servers\r\n");
}

#[test]
fn faults_of_these_keys_are_reported_at_boot() {
    let key = KeyPair::generate().unwrap().serialize_pem();
    let many: String = (0..17).map(|number| format!("\"CN={number}\",")).collect();
    for (text, message) in [
        (
            ".allow = { \"CN=alice\" }",
            ".tls.allow: clients are not asked for certificates. Set `.tls.client_auth",
        ),
        (
            ".allow = { \"\" }",
            ".tls.allow: \"\" is neither the subject of a certificate nor the hash of a key. Write",
        ),
        (".allow = { \"alice\" }", ".tls.allow: \"alice\" is neither the subject"),
        (
            ".allow = { \"CN=cut…\" }",
            "is neither the subject of a certificate nor the hash of a key. Write the whole",
        ),
        (
            ".allow = { \"CN=a\", \"CN=a\" }",
            ".tls.allow: this client is already on the list. Remove it",
        ),
        (
            ".allow = { \"sha256:0123\" }",
            ".tls.allow: \"sha256:0123\" is neither the subject",
        ),
        (
            &format!(".allow = {{ {many} }}"),
            ".tls.allow: there are more than 16 clients on the list.",
        ),
        (
            ".verify = \"web\"",
            ".tls.verify: \"web\" is not known: expected \"pinned\", \"strict\" or \"pki\"",
        ),
        (
            ".root_certs = \"nothing\"",
            ".tls.root_certs: it contains no PEM certificate",
        ),
        (&format!(".root_certs =\n{}", strings(&key)), ".tls.root_certs: "),
        (
            ".root_certs_file = \"roots.pem\"",
            ".tls.root_certs_file: files can be named at build time only",
        ),
    ] {
        let machine = Setup::new().no_card().defconfig(format!(".tls = {{ {text} }}")).boot();
        machine.wait_for("boot module refused: defconfig:");
        machine.wait_for(message);
        machine.wait_for("using the baked configuration");
    }
}
