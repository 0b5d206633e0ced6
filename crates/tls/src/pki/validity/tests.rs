use std::string::ToString as _;
use std::time::Duration;
use std::vec::Vec;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, SerialNumber, date_time_ymd,
};

use crate::pki::crl::CLOCK_SKEW;
use crate::pki::verify::{Clock, Mode, Purpose, Trust};

type Ca = CertifiedIssuer<'static, KeyPair>;

/// A certificate that is valid for this many seconds from 1970 on.
fn params(name: &str, seconds: u64) -> CertificateParams {
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params
}

fn ca_params(name: &str, seconds: u64) -> CertificateParams {
    let mut params = params(name, seconds);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn root(seconds: u64) -> Ca {
    CertifiedIssuer::self_signed(ca_params("root", seconds), KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(name: &str, issuer: &Ca, seconds: u64) -> Ca {
    CertifiedIssuer::signed_by(ca_params(name, seconds), KeyPair::generate().unwrap(), issuer).unwrap()
}

fn leaf(issuer: &Ca, seconds: u64) -> Vec<u8> {
    let certificate = params("leaf", seconds).signed_by(&KeyPair::generate().unwrap(), issuer);
    certificate.unwrap().der().to_vec()
}

fn list(issuer: &Ca, next_update: u64) -> Vec<u8> {
    list_of(issuer, 0, next_update)
}

fn list_of(issuer: &Ca, this_update: u64, next_update: u64) -> Vec<u8> {
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(1970, 1, 1) + Duration::from_secs(this_update),
        next_update: date_time_ymd(1970, 1, 1) + Duration::from_secs(next_update),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: Vec::new(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    list.signed_by(issuer).unwrap().der().to_vec()
}

#[test]
fn the_earliest_end_of_path_and_lists_is_the_end() {
    // The root's dates do not count (RFC 5280 §6.1.1 d).
    let root = root(100);
    let upper = intermediate("upper", &root, 5000);
    let lower = intermediate("lower", &upper, 4000);
    let stranger = intermediate("stranger", &root, 200);
    let anchors: [&[u8]; 1] = [root.der()];
    let until_from = |now: u64, chain: &[&[u8]], lists: &[&[u8]]| {
        let trust = Trust::new(&anchors).with_crls(lists);
        let verified = trust.verify_chain(chain, Purpose::Client, Clock { now, floor: 0 });
        verified.unwrap().valid_until
    };
    let until = |chain: &[&[u8]], lists: &[&[u8]]| until_from(1000, chain, lists);
    let (short, long) = (leaf(&lower, 3000), leaf(&lower, 6000));
    let [upper_der, lower_der, stranger_der]: [&[u8]; 3] = [upper.der(), lower.der(), stranger.der()];
    assert_eq!(until(&[&leaf(&root, 7000)], &[]), 7000);
    // In any order, with other certificates.
    assert_eq!(until(&[&short, lower_der, upper_der], &[]), 3000);
    assert_eq!(until(&[&long, upper_der, stranger_der, lower_der], &[]), 4000);
    // The name of an issuer may occur twice: the certificate of the path counts.
    let old = intermediate("lower", &upper, 10);
    assert_eq!(until(&[&long, old.der(), lower_der, upper_der], &[]), 4000);
    // A list counts for the certificates of its issuer, and expires at its nextUpdate.
    let chain = [&long[..], lower_der, upper_der];
    for (issuer, expected) in [(&lower, 1999), (&upper, 1999), (&root, 1999), (&stranger, 4000)] {
        assert_eq!(until(&chain, &[&list(issuer, 2000)]), expected);
    }
    assert_eq!(until(&chain, &[&list(&root, 2000), &list(&lower, 1500)]), 1499);
    // A list that becomes valid later may change the result then.
    let begins = 3500 + CLOCK_SKEW;
    let (current, later) = (list(&lower, 9000), list_of(&lower, begins, 9000));
    assert_eq!(until_from(3000, &chain, &[&current, &later]), 3499);
    assert_eq!(until_from(3500, &chain, &[&current, &later]), 4000);
}

#[test]
fn a_self_issued_certificate_below_the_root_counts() {
    let root = root(100);
    // The same name, a new key (RFC 5280 §6.1.4 l).
    let renewed = intermediate("root", &root, 2000);
    let long = leaf(&renewed, 6000);
    let anchors: [&[u8]; 1] = [root.der()];
    for mode in [Mode::Strict, Mode::Pinned] {
        let trust = Trust::new(&anchors).with_mode(mode);
        let clock = Clock { now: 1000, floor: 0 };
        let verified = trust.verify_chain(&[&long, renewed.der()], Purpose::Client, clock);
        assert_eq!(verified.unwrap().valid_until, 2000);
    }
}
