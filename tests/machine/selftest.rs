//! The self-test, on demand and before the TLS port opens.

use rcgen::KeyPair;

use super::common::machine::Setup;
use super::common::pki::{ECHO, Pki, USER_NETWORK, strings};
use super::common::{Scratch, tls};
use super::identities::Ca;

const CHECKS: [&str; 6] = [
    "known answers of hashes, AEADs and X25519: ok, ",
    "random generator: ok, ",
    "server certificate, ECDSA P-256: ok, ",
    "tls 1.3, embedded-tls against our server, ECDSA P-256: ok, ",
    "tls 1.3, our client against our server, ECDSA P-256: ok, ",
    "tls 1.2, our client against our server, ECDSA P-256: ok, ",
];

#[test]
fn every_check_is_named_at_boot_and_on_demand() {
    let (pki, scratch) = (Pki::new(), Scratch::new());
    let group = pki.tls().replacen(".tls = {", ".tls = { .selftest = 1,", 1);
    let machine = Setup::new().defconfig(format!("{USER_NETWORK}{ECHO}{group}")).ready();
    let console = machine.console().text();
    let opened = console.find("tls echo server listens on port 10007").unwrap();
    let mut at = 0;
    for check in CHECKS {
        let line = format!("self-test: {check}");
        at += console[at..].find(&line).unwrap_or_else(|| panic!("{line}: {console}"));
    }
    at += console[at..].find("self-test: passed, 6 checks, ").unwrap();
    assert!(at < opened, "{console}");
    tls::assert_serves(machine.at(10007), &scratch.file("ca.pem", &pki.ca));

    let shown = machine.ask("selftest");
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines.len(), CHECKS.len() + 1, "{shown}");
    for (line, check) in lines.iter().zip(CHECKS) {
        assert!(line.starts_with(check) && line.ends_with(" ms"), "{shown}");
    }
    assert!(lines[CHECKS.len()].starts_with("passed, 6 checks, "), "{shown}");
}

#[test]
fn a_failed_check_keeps_the_tls_port_closed() {
    let (ca, scratch) = (Ca::new(), Scratch::new());
    let key = KeyPair::generate().unwrap();
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.ca_cert =\n{},\n.crl =\n{},\n\
         .selftest = 1 }}",
        strings(&ca.issue("server.test", 7, &key)),
        strings(&key.serialize_pem()),
        strings(&ca.0.pem()),
        strings(&ca.revoke(7)),
    );
    let machine = Setup::new().defconfig(text).ready();
    let console = machine.console().text();
    assert!(
        console.contains("self-test: server certificate, ECDSA P-256: FAILED, ") && console.contains("revoked"),
        "{console}"
    );
    assert!(
        console.contains("tls echo server on port 10007 not started: the self-test failed"),
        "{console}"
    );
    assert!(console.contains("plain echo server listens on port 10008"), "{console}");
    assert!(!console.contains("tls echo server listens"), "{console}");
    let mut shell = machine.shell();
    let shown = shell.command("selftest");
    assert!(shown.contains("\nFAILED, "), "{shown}");
    // The operator may override it.
    shell.command("echoctl_tls");
    assert_eq!(
        shell.command("server start 10007"),
        "Starting TLS server (Port: 10007)...\nDone.\n"
    );
    tls::assert_serves(machine.at(10007), &scratch.file("ca.pem", ca.0.pem()));
}
