//! Keys made at boot: what is configured for them, and their certificates.

use postern_testing::Rng;
use postern_tls::crypto::key::SigningKey;
use postern_tls::pki::cert::Certificate;
use postern_tls::pki::own::Role;
use postern_tls::pki::request::ReceivedRequest;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData, SignatureAlgorithm};

use super::*;

const BOTH: &str = ".tls = { .srv_key = \"generate\", .cli_key = \"generate\", .names = { \"echo.example\", \"10.0.2.15\", }, \
                    .subject = \"CN=machine,O=Example\" }";

/// The configuration of `text` after a boot.
fn booted(text: &str) -> Box<Config> {
    assert_eq!(fault(text), "");
    let mut config = read(text);
    config.make_boot_keys(&mut Rng(1));
    config.self_sign(NOW, &mut Rng(2)).unwrap();
    config.check(NOW, NOW).unwrap();
    config
}

/// A certificate for the key that a request has, in PEM.
fn sign(pki: &Pki, config: &Config, role: Role) -> String {
    let mut buffer = [0; MAX_REQUEST];
    let der = config.request(role, &mut Rng(3), &mut buffer).unwrap().unwrap();
    let request = ReceivedRequest::from_der(der).unwrap();
    request.verify().unwrap();
    certificate(pki, &Point(request.public_key.bits.to_vec()))
}

/// A point of P-256.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

fn certificate(pki: &Pki, key: &impl PublicKeyData) -> String {
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2027, 1, 1));
    params.signed_by(key, &pki.ca).unwrap().pem()
}

/// What `running` becomes by this paste, or what is wrong with it.
fn paste(running: &Config, text: &str) -> Result<Box<Config>, String> {
    let mut next = Box::new(Config::new());
    next.take_tls(running);
    next.take_pem(text.as_bytes())
        .and_then(|()| next.check(NOW, NOW))
        .map_err(|error| error.to_string())?;
    Ok(next)
}

fn hash(key: Option<SigningKey>) -> postern_tls::pki::allow::KeyHash {
    postern_tls::pki::request::key_hash(&key.unwrap()).unwrap()
}

#[test]
fn requests_have_the_configured_names() {
    let config = booted(BOTH);
    assert!(config.awaits_certificate());
    let mut buffer = [0; MAX_REQUEST];
    let mut of = |config: &Config, role| {
        let der = config.request(role, &mut Rng(1), &mut buffer).unwrap().unwrap();
        let request = ReceivedRequest::from_der(der).unwrap();
        request.verify().unwrap();
        let names: Vec<_> = request.names().map(|name| format!("{:?}", name.unwrap())).collect();
        (request.subject.to_string(), names.join(" "))
    };
    let subject = || String::from("CN=machine,O=Example");
    let names = String::from("Dns(\"echo.example\") Ip(10.0.2.15)");
    assert_eq!(of(&config, Role::Server), (subject(), names));
    assert_eq!(of(&config, Role::Client), (subject(), String::new()));
    // Two keys.
    assert_ne!(hash(config.boot_key(Role::Server)), hash(config.boot_key(Role::Client)));
    // Without a subject, the first name.
    let config = booted(".tls = { .srv_key = \"generate\", .names = { \"ECHO.example\", \"2001:DB8::0:15\", } }");
    let names = "Dns(\"echo.example\") Ip(2001:db8::15)";
    assert_eq!(of(&config, Role::Server), ("CN=echo.example".into(), names.into()));
    assert!(
        config
            .request(Role::Client, &mut Rng(1), &mut [0; MAX_REQUEST])
            .is_none()
    );
    // The most names, and a subject of the greatest length.
    let long = "a".repeat(62);
    let names: String = (0..7).map(|n| format!("\"{n}{long}.example\", ")).collect();
    let addresses: String = (0..2).map(|n| format!("\"::{n}\", ")).collect();
    let text = format!(
        ".tls = {{ .srv_key = \"generate\", .names = {{ {names}{addresses} }}, .subject = \"CN={},O=Example,C=JP\", \
         .self_signed = 1 }}",
        "b".repeat(64)
    );
    let config = booted(&text);
    assert_eq!(of(&config, Role::Server).1.split(' ').count(), 9);
    assert!(!config.awaits_certificate());
    // A name that no subject can have.
    let long = "a".repeat(63);
    let config = booted(&format!(
        ".tls = {{ .srv_key = \"generate\", .names = {{ \"{long}.example\" }} }}"
    ));
    assert_eq!(of(&config, Role::Server).0, "");
}

#[test]
fn without_keys_there_is_nothing_to_request_and_no_certificate_fits() {
    let mut config = read(BOTH);
    for role in [Role::Server, Role::Client] {
        assert!(config.is_generated(role) && config.boot_key(role).is_none());
        assert!(config.request(role, &mut Rng(1), &mut [0; MAX_REQUEST]).is_none());
    }
    // Without entropy none is made.
    config.self_sign(NOW, &mut Rng(1)).unwrap();
    assert!(config.awaits_certificate());
    config.make_boot_keys(&mut Rng(1));
    assert!(config.boot_key(Role::Server).is_some());
    config.boot_keys.wipe();
    assert!(config.boot_key(Role::Server).is_none());
}

#[test]
fn a_self_signed_certificate_lasts_until_another_comes() {
    let config = booted(".tls = { .srv_key = \"generate\", .names = { \"a.test\" }, .self_signed = 1 }");
    let found = config.server().unwrap();
    assert_eq!((found.keys.len(), found.parts.len()), (1, 1));
    let own = config.tls.srv_cert.iter().next().unwrap();
    let certificate = Certificate::from_der(own).unwrap();
    assert_eq!(certificate.subject.to_string(), "CN=a.test");
    assert_eq!(certificate.not_before.0, NOW - 3600);
    assert_eq!(certificate.not_after.0, NOW + 30 * 24 * 60 * 60);
    let mut warned = false;
    config.warnings(&mut |_| warned = true);
    assert!(!warned);
    let pki = Pki::new("RootCA");
    let next = paste(&config, &sign(&pki, &config, Role::Server)).unwrap();
    assert_ne!(next.tls.srv_cert, config.tls.srv_cert);
    assert_eq!(hash(next.boot_key(Role::Server)), hash(config.boot_key(Role::Server)));
}

#[test]
fn a_certificate_goes_to_the_identity_whose_key_it_has() {
    let (config, pki) = (booted(BOTH), Pki::new("RootCA"));
    let server = sign(&pki, &config, Role::Server);
    let client = sign(&pki, &config, Role::Client);
    let one = paste(&config, &client).unwrap();
    assert_eq!((one.tls.srv_cert.len(), one.tls.cli_cert.len()), (0, 1));
    assert!(one.awaits_certificate() && one.client().unwrap().parts.len() == 1);
    let both = paste(&one, &format!("{server}{}", pki.ca.pem())).unwrap();
    assert_eq!((both.tls.srv_cert.len(), both.tls.cli_cert.len()), (2, 1));
    assert!(!both.awaits_certificate());
    assert_eq!(both.server().unwrap().parts.len(), 1);
    // A list alone leaves both.
    let list = postern_testing::lists::good(&pki.ca);
    let mut next = Box::new(Config::new());
    next.take_tls(&both);
    next.take_pem(list.as_bytes()).unwrap();
    assert_eq!(next.server().unwrap().parts.len(), 1);
    assert!(next.boot_key(Role::Client).is_some());

    let foreign = certificate(&pki, &KeyPair::generate().unwrap());
    assert_eq!(
        paste(&config, &foreign).unwrap_err(),
        "1:1: .tls.srv_cert: the certificate is not for the key that was made at this boot. Sign the request that `tls \
         csr` prints now"
    );
}

#[test]
fn a_pasted_key_replaces_the_one_made_at_boot() {
    let (config, pki) = (booted(BOTH), Pki::new("RootCA"));
    let key = KeyPair::generate().unwrap();
    let pasted = paste(&config, &(certificate(&pki, &key) + &key.serialize_pem())).unwrap();
    assert!(!pasted.is_generated(Role::Server) && pasted.boot_keys.get(Role::Server).is_none());
    assert!(pasted.is_generated(Role::Client) && pasted.boot_keys.get(Role::Client).is_some());
    // Names stay, for nothing.
    assert_eq!(pasted.tls.names.lines().count(), 2);
    assert!(
        pasted
            .request(Role::Server, &mut Rng(1), &mut [0; MAX_REQUEST])
            .is_none()
    );
}

#[test]
fn a_defconfig_takes_the_keys_of_the_running_machine() {
    let (config, pki) = (booted(BOTH), Pki::new("RootCA"));
    let with = |certificate: &str| {
        let text = BOTH.replace(".cli_key", &format!(".srv_cert =\n{},\n.cli_key", strings(certificate)));
        let mut next = read(&text);
        next.take_boot_keys(&config)
            .and_then(|()| next.check(NOW, NOW))
            .map(|()| next)
    };
    let next = with(&sign(&pki, &config, Role::Server)).unwrap();
    assert_eq!(hash(next.boot_key(Role::Server)), hash(config.boot_key(Role::Server)));
    let foreign = with(&certificate(&pki, &KeyPair::generate().unwrap()));
    assert!(
        foreign
            .unwrap_err()
            .to_string()
            .contains("is not for the key that was made")
    );
    let mut next = read(BOTH);
    let error = next.take_boot_keys(&Config::new()).unwrap_err().to_string();
    assert_eq!(
        error,
        "1:10: .tls.srv_key: keys are made at boot, and the current configuration has none of these. Restart with this \
         configuration as the boot module, or give the private key"
    );
}

#[test]
fn what_is_missing_or_unused_is_named() {
    let pem = strings(&certificate(&Pki::new("RootCA"), &KeyPair::generate().unwrap()));
    let names = ".names = { \"a.test\" }";
    assert_faults(&[
        (
            ".tls.srv_key = \"generate\"",
            "defconfig:1:5: .tls.srv_key: there are no names to request the server's certificate for. Set `.tls.names = { \
             \"echo.example\", }` to those by which clients connect",
        ),
        (
            ".tls = { .srv_key = \"generate\", .names = { } }",
            "defconfig:1:10: .tls.srv_key: there are no names to request the server's certificate for. Set `.tls.names = { \
             \"echo.example\", }` to those by which clients connect",
        ),
        (
            ".tls.cli_key = \"generate\"",
            "defconfig:1:5: .tls.cli_key: there is no subject to request the client's certificate for. Set `.tls.subject = \
             \"CN=machine\"`",
        ),
        (
            &format!(".tls = {{ .srv_key = \"generate\", {names},\n.srv_cert =\n{pem} }}"),
            "defconfig:2:1: .tls.srv_cert: a certificate cannot be for a key that is yet to be made. Remove it and load the \
             certificate with `tls reload` after each boot, or set `.tls.srv_key` to its private key",
        ),
        (
            &format!(".tls = {{ .cli_key = \"generate\", .subject = \"CN=a\",\n.cli_cert =\n{pem} }}"),
            "defconfig:2:1: .tls.cli_cert: a certificate cannot be for a key that is yet to be made. Remove it and load the \
             certificate with `tls reload` after each boot, or set `.tls.cli_key` to its private key",
        ),
        (
            &format!(".tls = {{ {names} }}"),
            "defconfig:1:10: .tls.names: this concerns only keys that are made at boot. Set `.tls.srv_key = \"generate\"` as \
             well, or remove this",
        ),
        (
            ".tls.self_signed = 1",
            "defconfig:1:5: .tls.self_signed: this concerns only keys that are made at boot. Set `.tls.srv_key = \
             \"generate\"` as well, or remove this",
        ),
        (
            ".tls.subject = \"CN=a\"",
            "defconfig:1:5: .tls.subject: this concerns only keys that are made at boot. Set `.tls.srv_key` or `.tls.cli_key` \
             to `\"generate\"` as well, or remove this",
        ),
        (
            &format!(".tls = {{ .srv_key = \"generate\", {names}, .client_auth = \"required\" }}"),
            "defconfig:1:56: .tls.client_auth: there is no CA to verify client certificates with. Set `.tls.ca_cert` as well",
        ),
        (
            ".tls.srv_key = \"Generate\"",
            "defconfig:1:17: .tls.srv_key: it contains no PEM private key. `.tls.srv_key` takes PEM blocks that begin with \
             `-----BEGIN PRIVATE KEY-----`, or \"generate\"",
        ),
    ]);
    assert_eq!(fault(".tls = { .names = { }, .subject = \"\", .self_signed = 0 }"), "");
}

#[test]
fn names_and_subjects_are_checked() {
    let name = |text: &str| fault(&format!(".tls.names = {{ \"ok.test\", \"{text}\" }}"));
    let what = "is neither a host name nor an IP address. Write a name of letters, digits, hyphens and dots, or an address: \
                `\"echo.example\"`, `\"10.0.2.15\"`, `\"2001:db8::15\"`";
    for bad in [
        "",
        "a b",
        "a_b.test",
        "-a",
        "10.0.2",
        "10.0.2.256",
        "2001:db8",
        "a.*.test",
        "**.test",
        "a.test.",
        "https://a",
        "a:1",
    ] {
        assert_eq!(name(bad), format!("defconfig:1:27: .tls.names: \"{bad}\" {what}"));
    }
    let twice = "defconfig:1:27: .tls.names: this name is already on the list. Remove it";
    assert_eq!(name("OK.test"), twice);
    let many: String = (0..17).map(|n| format!("\"a{n}\", ")).collect();
    let long: String = (0..9).map(|n| format!("\"a{n}{}\", ", "b".repeat(58))).collect();
    for list in [many, long] {
        let fault = fault(&format!(".tls.names = {{ {list} }}"));
        let what = "there are more than 16 names on the list, or they are too long together. Keep those by which clients connect";
        assert!(fault.ends_with(what), "{fault}");
    }
    assert_eq!(
        fault(".tls.names = \"a.test\""),
        "defconfig:1:14: .tls.names: expected strings in braces, like `{ \"echo.example\", }`, found a string. Write \
         `.tls.names = { \"echo.example\", }`"
    );
    let config = read(".tls = { .srv_key = \"generate\", .names = { \"*.a.test\", \"::1\" } }");
    assert_eq!(config.tls.names, "*.a.test\n::1\n");
    for bad in [
        "machine",
        "CN=",
        "CN=a, O=b",
        "CN=a+O=b",
        &format!("CN=a,O={}", "b".repeat(65)),
    ] {
        let fault = fault(&format!(".tls.subject = \"{bad}\""));
        assert!(fault.starts_with("defconfig:1:16: .tls.subject: \""), "{fault}");
        assert!(
            fault.ends_with(
                "cannot be the subject of a request. Write CN, OU, O, L, ST and C, the most specific first, without blanks \
                 around commas, such as `\"CN=machine,O=Example\"` (at most 93 bytes)"
            ),
            "{fault}"
        );
    }
    let long = format!(".tls.subject = \"CN={},O={}\"", "a".repeat(50), "b".repeat(40));
    assert!(fault(&long).contains("cannot be the subject"));
    assert_eq!(
        fault(".tls.subject = 1"),
        "defconfig:1:16: .tls.subject: expected a subject in a string, like `\"CN=machine,O=Example\"`, found the number 1. \
         Put it between quotation marks; adjacent strings are joined"
    );
}
