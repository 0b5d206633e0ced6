//! The shell's TLS client with servers that staple OCSP responses, or should.

use std::path::PathBuf;
use std::process::Command;

use rcgen::{CertificateParams, CustomExtension, DnType, KeyPair};

use super::client::{connected, converse, echoctl_tls, refused, s_server};
use super::common::Scratch;
use super::common::machine::Setup;
use super::common::pki::{USER_NETWORK, strings};
use super::identities::Ca;

/// A certificate with that serial number, which requires a stapled response (RFC 7633).
fn demanding(ca: &Ca, serial: u64, key: &KeyPair) -> String {
    let mut params = CertificateParams::new(["server.test".to_owned()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, "server.test");
    params.serial_number = Some(serial.into());
    let features = vec![0x30, 3, 2, 1, 5];
    params.custom_extensions = vec![CustomExtension::from_oid_content(
        &[1, 3, 6, 1, 5, 5, 7, 1, 24],
        features,
    )];
    params.signed_by(key, &ca.0).unwrap().pem()
}

/// The file with the CA's OCSP response for `certificate`, by that line of its index.
fn response(ca: &Ca, scratch: &Scratch, name: &str, certificate: &str, index: &str) -> PathBuf {
    let path = scratch.path(name);
    let file = |name: &str, content: &str| scratch.file(name, content);
    let output = Command::new("openssl")
        .args(["ocsp", "-ndays", "3", "-noverify", "-index"])
        .arg(file("index.txt", index))
        .arg("-CA")
        .arg(file("ca.pem", &ca.0.pem()))
        .arg("-rsigner")
        .arg(scratch.path("ca.pem"))
        .arg("-rkey")
        .arg(file("ca.key", &ca.0.key().serialize_pem()))
        .arg("-issuer")
        .arg(scratch.path("ca.pem"))
        .arg("-cert")
        .arg(file("about.pem", certificate))
        .arg("-respout")
        .arg(&path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    path
}

#[test]
fn stapled_responses_are_verified_and_missing_ones_refused() {
    let (ca, key, scratch) = (Ca::new(), KeyPair::generate().unwrap(), Scratch::new());
    let (plain, demanding) = (ca.issue("server.test", 7, &key), demanding(&ca, 8, &key));
    let end = "491231235959Z";
    let revoked = format!("R\t{end}\t260102030405Z,keyCompromise\t07\tunknown\t/CN=server.test\n");
    let revoked = response(&ca, &scratch, "revoked.der", &plain, &revoked);
    let good = format!("V\t{end}\t\t08\tunknown\t/CN=server.test\n");
    let good = response(&ca, &scratch, "good.der", &demanding, &good);
    let later = scratch.file("later.der", [0x30, 3, 0x0a, 1, 3]);

    let text = format!("{USER_NETWORK}.tls = {{ .ca_cert =\n{} }}", strings(&ca.0.pem()));
    let machine = Setup::new().ports(&[23]).defconfig(text).ready();
    let mut shell = echoctl_tls(&machine);
    let server = |certificate: &str, staple: Option<&PathBuf>, version: &str| {
        let staple = staple.map(|path| ["-status_file", path.to_str().unwrap()]);
        let arguments: Vec<&str> = [version].into_iter().chain(staple.into_iter().flatten()).collect();
        s_server(
            scratch.file("server.pem", certificate),
            scratch.file("server.key", key.serialize_pem()),
            &arguments,
        )
    };
    for version in ["-tls1_2", "-tls1_3"] {
        for (certificate, staple, words, alert) in [
            (
                &plain,
                Some(&revoked),
                "certificate revoked 2026-01-02 (keyCompromise) according to the stapled OCSP response: serial number 07",
                "alert certificate revoked",
            ),
            (
                &plain,
                Some(&good),
                "stapled OCSP response refused: it is for another certificate",
                "bad certificate status response",
            ),
            (
                &plain,
                Some(&later),
                "stapled OCSP response refused: the responder returned an error (tryLater)",
                "bad certificate status response",
            ),
            (
                &demanding,
                None,
                "certificate requires a stapled OCSP response, but none was sent",
                "alert certificate unknown",
            ),
        ] {
            let (peer, port) = server(certificate, staple, version);
            assert_eq!(refused(&mut shell, port, ""), format!("{words}."));
            peer.err.wait_for(alert);
            machine.wait_for(&format!("warning: tls client: 10.0.2.2:{port}: {words}\r\n"));
        }
        let (mut peer, port) = server(&demanding, Some(&good), version);
        for resumed in [false, true] {
            let agreed = connected(&mut shell, port, " name=server.test");
            assert_eq!(agreed.contains(", resumed, "), resumed, "{agreed}");
            converse(&machine, &mut shell, &mut peer);
            assert_eq!(shell.command("client close"), "Done.\n");
        }
        let (_peer, port) = server(&plain, None, version);
        connected(&mut shell, port, "");
        assert_eq!(shell.command("client close"), "Done.\n");
    }
    let log = machine.ask("log");
    let confirmed = log
        .lines()
        .filter(|line| line.ends_with(", by CN=CA of a test, confirmed by OCSP"));
    assert_eq!(confirmed.count(), 2, "{log}");
}
