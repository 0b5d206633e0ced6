//! A PKI by `pki/wizard`: created, rotated, revoked, loaded as a boot module.

use std::path::Path;
use std::process::Command;

use super::common::Scratch;
use super::common::machine::{Machine, Setup};
use super::common::tls::{echo, s_client};
use super::common::wizard::{Wizard, end};

/// The machine, with the wizard's configuration for `server`.
fn boot(wizard: &Wizard, more: &[&str]) -> Machine {
    let (text, _) = wizard.run(&[&["defconfig", "pki", "server"], more].concat());
    let machine = Setup::new().defconfig(text).ready();
    machine.wait_for("tls: serving CN=server, ");
    machine
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

const VERSIONS: [&str; 2] = ["-tls1_3", "-tls1_2"];

/// A client of this PKI is served, in both versions, by the certificate with this serial number.
fn assert_admitted(machine: &Machine, ca: &Path, identity: &[String], serial: &str) {
    assert_admitted_by(&VERSIONS, machine, ca, identity, serial);
}

fn assert_admitted_by(versions: &[&str], machine: &Machine, ca: &Path, identity: &[String], serial: &str) {
    let scratch = Scratch::new();
    for version in versions {
        let arguments = [&[*version], &words(identity)[..]].concat();
        let line = format!("hello in {version}\n");
        let mut client = s_client(machine.at(10007), ca, &arguments);
        client.out.wait_for("Verification: OK");
        client.out.wait_for("Verified peername: localhost");
        client.write(line.as_bytes());
        client.out.wait_for(&format!("\n{line}"));
        // s_client has printed the server's certificate.
        let shown = client.out.text();
        let pem = &shown[shown.find("-----BEGIN").unwrap()..];
        let sent = scratch.file("sent.pem", pem);
        let mut openssl = Command::new("openssl");
        let (_, text, err) = end(openssl.args(["x509", "-noout", "-serial", "-in"]).arg(sent));
        assert_eq!(text.trim(), format!("serial={serial}"), "{err}");
    }
}

/// A client is refused, in both versions, and the machine logs why.
fn assert_refused(machine: &Machine, ca: &Path, identity: &[String], alerts: [&str; 2], why: &str) {
    for (version, alert) in VERSIONS.into_iter().zip(alerts) {
        let arguments = [&[version], &words(identity)[..]].concat();
        let mut client = s_client(machine.at(10007), ca, &arguments);
        client.err.wait_for(alert);
        client.wait();
    }
    machine.wait_for(why);
}

#[test]
fn the_wizard_s_certificates_are_served_with_every_key_type() {
    for (kind, called) in [
        ("p256", "ECDSA P-256"),
        ("p384", "ECDSA P-384"),
        ("ed25519", "Ed25519"),
        ("rsa2048", "RSA"),
    ] {
        let wizard = Wizard::init(&["--key", kind]);
        wizard.run(&["server", "pki", "server"]);
        wizard.run(&["client", "pki", "alice"]);
        wizard.run(&["crl", "pki"]);
        let machine = boot(&wizard, &["--client", "alice", "--client-auth", "required"]);
        machine.wait_for(&format!("tls: serving CN=server, {called}, valid until "));
        machine.wait_for("tls: client authentication required");
        machine.wait_for("tls: trusts 1 CA, strict verification, 1 revocation list");
        let (ca, alice) = (wizard.file("ca.pem"), wizard.identity("alice"));
        assert_admitted_by(&VERSIONS, &machine, &ca, &alice, &wizard.serial("server"));
    }
}

#[test]
fn clients_without_a_certificate_of_this_pki_are_refused() {
    let (wizard, other) = (Wizard::init(&[]), Wizard::init(&[]));
    wizard.run(&["server", "pki", "server"]);
    wizard.run(&["client", "pki", "alice"]);
    wizard.run(&["peer", "pki", "paul"]);
    other.run(&["client", "pki", "alice"]);
    let ca = wizard.file("ca.pem");
    let machine = boot(&wizard, &["--client-auth", "required"]);
    for name in ["alice", "paul"] {
        assert_admitted(&machine, &ca, &wizard.identity(name), &wizard.serial("server"));
    }
    let required = ["alert certificate required", "alert handshake failure"];
    assert_refused(&machine, &ca, &[], required, "the client sent no certificate");
    let unknown = ["alert unknown ca"; 2];
    let stranger = other.identity("alice");
    assert_refused(&machine, &ca, &stranger, unknown, "issuer unknown: CN=session CA ");
    // A server's certificate is not a client's.
    let server = wizard.identity("server");
    let why = "certificate is for server authentication, not for client authentication";
    assert_refused(&machine, &ca, &server, ["alert "; 2], why);
    // A client that trusts another CA refuses the machine.
    let alice = wizard.identity("alice");
    let mut misled = s_client(machine.at(10007), &other.file("ca.pem"), words(&alice));
    misled.err.wait_for("certificate verify failed");
    misled.wait();
}

#[test]
fn a_rotated_certificate_is_accepted_by_clients_of_the_ca() {
    let wizard = Wizard::init(&[]);
    wizard.run(&["server", "pki", "server"]);
    wizard.run(&["client", "pki", "alice"]);
    // The clients' credentials, which do not change below.
    let ca = wizard.scratch.path("trusted.pem");
    std::fs::copy(wizard.file("ca.pem"), &ca).unwrap();
    let alice = wizard.identity("alice");
    let mut serials = vec![wizard.serial("server")];
    assert_admitted(&boot(&wizard, &["--client-auth", "required"]), &ca, &alice, &serials[0]);
    for change in [
        &["rotate", "pki", "server"][..],
        &["rotate", "pki", "server", "--key=p384"],
    ] {
        wizard.run(change);
        let serial = wizard.serial("server");
        assert!(!serials.contains(&serial));
        assert_admitted(&boot(&wizard, &["--client-auth", "required"]), &ca, &alice, &serial);
        serials.push(serial);
    }
}

#[test]
fn revoked_clients_are_refused_from_the_next_boot_on() {
    let wizard = Wizard::init(&[]);
    wizard.run(&["server", "pki", "server"]);
    for name in ["alice", "bob"] {
        wizard.run(&["client", "pki", name]);
    }
    let ca = wizard.file("ca.pem");
    let [alice, bob] = ["alice", "bob"].map(|name| wizard.identity(name));
    let serial = wizard.serial("server");
    let machine = boot(&wizard, &["--client-auth", "required"]);
    machine.wait_for("tls: trusts 1 CA, strict verification, 0 revocation lists");
    assert_admitted(&machine, &ca, &alice, &serial);

    wizard.run(&["revoke", "pki", "alice", "keyCompromise"]);
    // Not yet: the machine has the old list.
    assert_admitted(&machine, &ca, &alice, &serial);
    let machine = boot(&wizard, &["--client-auth", "required"]);
    machine.wait_for("tls: trusts 1 CA, strict verification, 1 revocation list");
    let revoked = ["alert certificate revoked"; 2];
    let old = wizard.serial("alice");
    let why = format!("certificate revoked: serial number {old}");
    assert_refused(&machine, &ca, &alice, revoked, &why);
    assert_admitted(&machine, &ca, &bob, &serial);
    // A new key and certificate for the same name are accepted; the old ones are not.
    wizard.run(&["rotate", "pki", "alice"]);
    assert_admitted(&machine, &ca, &wizard.identity("alice"), &serial);
    let alice = wizard.identity(&format!("old/alice-{old}"));
    assert_refused(&machine, &ca, &alice, revoked, &why);
    assert_eq!(
        echo(machine.at(10007), &ca, &words(&bob), b"still here\n".to_vec()),
        b"still here\n"
    );
}
