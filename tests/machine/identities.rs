//! Several identities, client certificates and revocation, as configured.

use std::path::Path;
use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, date_time_ymd,
};

use super::common::machine::Setup;
use super::common::pki::{ECHO, USER_NETWORK, strings};
use super::common::tls::{echo, s_client};
use super::common::{Scratch, poll};

/// A CA and its certificates.
pub(super) struct Ca(pub(super) CertifiedIssuer<'static, KeyPair>);

impl Ca {
    pub(super) fn new() -> Self {
        Self::called("CA of a test")
    }

    pub(super) fn called(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for this name and serial number, for servers and clients.
    pub(super) fn issue(&self, name: &str, serial: u64, key: &KeyPair) -> String {
        let mut params = CertificateParams::new([name.to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.serial_number = Some(serial.into());
        params.not_after = date_time_ymd(2100, 2, 3);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.signed_by(key, &self.0).unwrap().pem()
    }

    /// A revocation list with this serial number on it.
    pub(super) fn revoke(&self, serial: u64) -> String {
        self.revoke_with(1, serial)
    }

    /// A revocation list with a cRLNumber.
    pub(super) fn revoke_with(&self, number: u64, serial: u64) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: serial.into(),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// An RSA key made by OpenSSL.
fn rsa() -> KeyPair {
    let output = Command::new("openssl")
        .args(["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"])
        .output()
        .unwrap();
    assert!(output.status.success());
    KeyPair::from_pem(&String::from_utf8(output.stdout).unwrap()).unwrap()
}

#[test]
fn rsa_and_ecdsa_are_served_side_by_side() {
    let (ca, scratch) = (Ca::new(), Scratch::new());
    let (rsa, p256) = (rsa(), KeyPair::generate().unwrap());
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n}}",
        strings(&[ca.issue("rsa.test", 1, &rsa), ca.issue("ec.test", 2, &p256)].concat()),
        strings(&[p256.serialize_pem(), rsa.serialize_pem()].concat()),
    );
    let machine = Setup::new().defconfig(text).ready();
    machine.wait_for("tls: serving CN=rsa.test, RSA, valid until 2100-02-03");
    machine.wait_for("tls: serving CN=ec.test, ECDSA P-256, valid until 2100-02-03");
    machine.wait_for("tls: client authentication off");
    let trust = scratch.file("ca.pem", ca.0.pem());
    let (rsa, ecdsa) = ("Peer signature type: RSA", "Peer signature type: ECDSA");
    for (arguments, signature) in [
        (
            &["-tls1_3", "-servername", "rsa.test"][..],
            "Peer signature type: RSA-PSS",
        ),
        (&["-tls1_3", "-servername", "ec.test"], ecdsa),
        (&["-tls1_2", "-servername", "rsa.test"], rsa),
        (&["-tls1_2", "-servername", "ec.test"], ecdsa),
        // Without a name, or with another: the first that the client can verify.
        (&["-tls1_3", "-noservername"], rsa),
        (&["-tls1_2", "-servername", "other.test"], rsa),
        (
            &["-tls1_3", "-servername", "rsa.test", "-sigalgs", "ECDSA+SHA256"],
            ecdsa,
        ),
        (
            &["-tls1_2", "-servername", "rsa.test", "-sigalgs", "ECDSA+SHA256"],
            ecdsa,
        ),
        (&["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"], ecdsa),
    ] {
        let mut client = s_client(machine.at(10007), &trust, arguments);
        client.out.wait_for("Verification: OK");
        assert!(
            client.out.text().contains(signature),
            "{arguments:?}: {}",
            client.out.text()
        );
        client.write(b"who is it\n");
        client.out.wait_for("\nwho is it\n");
    }
}

#[test]
fn clients_are_asked_and_revocation_counts() {
    let (ca, scratch) = (Ca::new(), Scratch::new());
    let key = KeyPair::generate().unwrap();
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.ca_cert =\n{},\n.crl =\n{},\n\
         .client_auth = \"required\", .verify = \"strict\", .keylog = 1 }}",
        strings(&ca.issue("server.test", 1, &key)),
        strings(&key.serialize_pem()),
        strings(&ca.0.pem()),
        strings(&ca.revoke(7)),
    );
    let machine = Setup::new().defconfig(text).ready();
    machine.wait_for("tls: .tls.keylog is 1: a reader of this log can decrypt every connection");
    machine.wait_for("tls: client authentication required");
    machine.wait_for("tls: trusts 1 CA, strict verification, 1 revocation list");
    let trust = scratch.file("ca.pem", ca.0.pem());
    let secret = scratch.file("client.key", key.serialize_pem());
    let identity = |name: &str, pem: String| -> Vec<String> {
        let certificate = scratch.file(&format!("{name}.pem"), pem);
        let argument = |path: &Path| path.to_str().unwrap().to_owned();
        vec!["-cert".into(), argument(&certificate), "-key".into(), argument(&secret)]
    };
    let good = identity("good", ca.issue("good.test", 6, &key));
    let revoked = identity("revoked", ca.issue("revoked.test", 7, &key));
    let stranger = identity("stranger", Ca::called("another CA").issue("stranger.test", 6, &key));
    let address = machine.at(10007);
    for version in ["-tls1_3", "-tls1_2"] {
        let with = |identity: &[String]| -> Vec<String> { [&[version.to_owned()], identity].concat() };
        let admitted = with(&good);
        let admitted: Vec<&str> = admitted.iter().map(String::as_str).collect();
        assert_eq!(
            echo(address, &trust, &admitted, b"let me in\n".to_vec()),
            b"let me in\n"
        );
        let none = if version == "-tls1_3" {
            "certificate required"
        } else {
            "handshake failure"
        };
        for (identity, alert) in [
            (&[][..], none),
            (&revoked, "certificate revoked"),
            (&stranger, "unknown ca"),
        ] {
            let mut client = s_client(address, &trust, with(identity));
            client.err.wait_for(alert);
            client.wait();
        }
    }
    let labels = [
        "CLIENT_HANDSHAKE_TRAFFIC_SECRET",
        "SERVER_TRAFFIC_SECRET_0",
        "CLIENT_RANDOM",
    ];
    poll("the secrets in the log", || {
        let log = machine.console().text();
        labels
            .iter()
            .all(|label| log.contains(&format!("keylog: {label} ")))
            .then_some(())
    });
}

/// The guide's client needs only a CA; other faults are reported when the feature is used.
#[test]
fn without_a_ca_client_authentication_is_refused() {
    let ca = Ca::new();
    let key = KeyPair::generate().unwrap();
    let text = format!(
        "{USER_NETWORK}{ECHO}.tls = {{ .srv_cert =\n{},\n.srv_key =\n{},\n.client_auth =\n\"optional\" }}",
        strings(&ca.issue("server.test", 1, &key)),
        strings(&key.serialize_pem()),
    );
    let machine = Setup::new().defconfig(text).boot();
    machine.wait_for(".tls.client_auth: there is no CA to verify client certificates with");
    machine.wait_for("using the baked configuration");
}
