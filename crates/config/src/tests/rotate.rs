//! Another configuration of TLS, pasted or fetched.

use crate::*;
use postern_tls::pki::crl::Crl;
use std::boxed::Box;
use std::format;
use std::string::ToString;

fn pair(name: &str) -> (std::string::String, std::string::String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([name.to_string()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

#[test]
fn pem_is_told_from_a_defconfig() {
    let (certificate, _) = pair("a.test");
    assert!(is_pem(certificate.as_bytes()));
    assert!(is_pem(format!("Certificate:\r\n  Data:\r\n{certificate}").as_bytes()));
    assert!(!is_pem(b".tls = { .srv_cert =\n  \"-----BEGIN CERTIFICATE-----\\n\" }"));
    assert!(is_pem(format!("\u{feff}  {certificate}").as_bytes()));
    assert!(!is_pem(b""));
}

#[test]
fn blocks_go_where_their_labels_say_and_the_rest_stays() {
    let ((first, first_key), (second, second_key)) = (pair("a.test"), pair("b.test"));
    let mut running = Box::new(Config::new());
    running.take_pem(format!("{first}{first_key}").as_bytes()).unwrap();
    running.tls.ca_cert.copy(&running.tls.srv_cert);
    running.tls.handshake_timeout = 7;
    running.check(1_790_000_000, 1_700_000_000).unwrap();
    let mut next = Box::new(Config::new());
    next.take_tls(&running);
    assert_eq!(next.tls.srv_cert.len(), 1);
    assert_eq!(next.tls.handshake_timeout, 7);
    next.take_pem(format!("{second_key}{second}").as_bytes()).unwrap();
    next.check(1_790_000_000, 1_700_000_000).unwrap();
    assert_ne!(next.tls.srv_cert, running.tls.srv_cert);
    assert_eq!(next.tls.ca_cert, running.tls.ca_cert);
    // A certificate without its new key is recognized by its position.
    next.take_tls(&running);
    next.take_pem(format!("for you:\n{second}").as_bytes()).unwrap();
    let error = next.check(1_790_000_000, 1_700_000_000).unwrap_err().to_string();
    assert!(error.contains(".tls.srv_key: "), "{error}");
}

#[test]
fn the_key_log_stays_off_where_the_machine_sends_syslog() {
    let mut running = Box::new(Config::new());
    running.vmm.tty_syslog.enable = true;
    running.vmm.tty_syslog.dst_ipaddr = Some([10, 0, 0, 1].into());
    let mut next = Box::new(Config::new());
    next.parse(b".tls = { .keylog = 1 }", &mut Scratch::new()).unwrap();
    next.take_rest(&running);
    let error = next.check(1_790_000_000, 1_700_000_000).unwrap_err().to_string();
    assert!(error.contains(".tls.keylog: "), "{error}");
}

#[test]
fn a_list_takes_the_place_of_an_older_one_of_its_ca_alone() {
    let cas: Vec<_> = (["a", "b", "c"].map(std::string::String::from).into_iter())
        .chain((0..MAX_CRLS).map(|number| number.to_string()))
        .map(|name| {
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name.as_str());
            let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap());
            (name, issuer.unwrap())
        })
        .collect();
    let of_year = |name: &str, number: u64, year: i32| {
        let (_, issuer) = cas.iter().find(|(other, _)| other == name).unwrap();
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(year, 1, 1),
            next_update: rcgen::date_time_ymd(2120, 1, 1),
            crl_number: number.into(),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(issuer).unwrap().pem().unwrap()
    };
    let list = |name: &str, number: u64| of_year(name, number, 2020);
    let numbers = |config: &Config| -> Vec<_> {
        let crls = config.tls.crl.iter().map(|der| Crl::from_der(der).unwrap());
        crls.map(|crl| format!("{} {}", crl.issuer, crl.number.unwrap()))
            .collect()
    };
    let mut running = Box::new(Config::new());
    running.take_pem((list("a", 5) + &list("b", 1)).as_bytes()).unwrap();
    let mut next = Box::new(Config::new());
    let mut paste = |running: &Config, text: &str| {
        next.take_tls(running);
        next.take_pem(text.as_bytes()).unwrap();
        next.keep_crls(running, true, 1_790_000_000)
            .map_err(|error| error.to_string())?;
        Ok(numbers(&next))
    };
    assert_eq!(paste(&running, &list("a", 6)).unwrap(), ["CN=a 6", "CN=b 1"]);
    assert_eq!(paste(&running, &list("a", 5)).unwrap(), ["CN=a 5", "CN=b 1"]);
    assert_eq!(paste(&running, &list("c", 0)).unwrap(), ["CN=c 0", "CN=a 5", "CN=b 1"]);
    // What is no list leaves the lists alone.
    let (certificate, key) = pair("a.test");
    assert_eq!(paste(&running, &(certificate + &key)).unwrap(), ["CN=a 5", "CN=b 1"]);
    let older: Result<_, std::string::String> = paste(&running, &(list("c", 1) + &list("a", 4)));
    let why = ".tls.crl: revocation list 2 is older than the current one of that CA";
    assert!(older.unwrap_err().contains(why));
    // thisUpdate counts as well as the number.
    let older: Result<_, std::string::String> = paste(&running, &of_year("a", 6, 2019));
    assert!(older.unwrap_err().contains("revocation list 1 is older"));
    assert_eq!(paste(&running, &of_year("a", 5, 2021)).unwrap(), ["CN=a 5", "CN=b 1"]);
    // Of several lists of one CA the newest counts, so that the same ones can be loaded again.
    let several = of_year("a", 5, 2020) + &of_year("a", 6, 2021);
    running.take_pem(several.as_bytes()).unwrap();
    assert_eq!(paste(&running, &several).unwrap(), ["CN=a 5", "CN=a 6"]);
    assert!(paste(&running, &of_year("a", 5, 2020)).is_err());
    let many: std::string::String = (0..MAX_CRLS).map(|n| list(&format!("{n}"), 1)).collect();
    running.take_pem(many.as_bytes()).unwrap();
    assert_eq!(paste(&running, &list("0", 2)).unwrap().len(), MAX_CRLS);
    let why = paste(&running, &list("a", 1)).unwrap_err();
    assert!(why.contains("Keep the revocation lists that are needed"), "{why}");
}

#[test]
fn broken_and_foreign_blocks_are_named_with_their_place() {
    let (certificate, _) = pair("a.test");
    let mut config = Box::new(Config::new());
    let foreign = format!("{certificate}-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n");
    let line = certificate.lines().count() + 1;
    let error = config.take_pem(foreign.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{line}:1: ")), "{error}");
    let cut = &certificate[..certificate.len() - 40];
    assert!(config.take_pem(cut.as_bytes()).is_err());
    let wrong = certificate.replacen("MII", "M?I", 1);
    let error = config.take_pem(wrong.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("2:2: .tls.srv_cert: "), "{error}");
    // It is no string of a configuration.
    assert!(error.ends_with("block 1). Copy the PEM again, whole"), "{error}");
    assert!(config.take_pem(b"-----BEGIN X").is_err());
    assert!(config.take_pem(b"").is_err());
}
