//! The harness itself: cases in the formats of both suites, made here.

use base64ct::{Base64, Encoding as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber, date_time_ymd,
};
use serde_json::{Value, json};

use crate::case::{self, Case};
use crate::report::{self, Report};
use crate::verifier;

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str, issuer: Option<&Ca>) -> Ca {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    match issuer {
        Some(issuer) => CertifiedIssuer::signed_by(params, key, issuer).unwrap(),
        None => CertifiedIssuer::self_signed(params, key).unwrap(),
    }
}

fn leaf(issuer: &Ca, days: [u8; 2]) -> rcgen::Certificate {
    let names = ["a.example", "10.0.0.1"].map(String::from);
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.serial_number = Some(SerialNumber::from(7));
    let [not_before, not_after] = days.map(|day| date_time_ymd(2025, 1, day));
    (params.not_before, params.not_after) = (not_before, not_after);
    params.signed_by(&KeyPair::generate().unwrap(), issuer).unwrap()
}

/// A chain of three that is good, as x509-limbo would have it, and the issuer of its leaf.
fn good() -> (Value, Ca) {
    let root = ca("Root", None);
    let one = ca("One", Some(&root));
    let case = json!({
        "id": "sample::good",
        "features": [],
        "validation_kind": "SERVER",
        "trusted_certs": [root.pem()],
        "untrusted_intermediates": [one.pem()],
        "peer_certificate": leaf(&one, [1, 20]).pem(),
        "validation_time": "2025-01-10T00:00:00.999+00:00",
        "expected_result": "SUCCESS",
        "expected_peer_name": { "kind": "DNS", "value": "a.example" },
        "crls": [],
    });
    (case, one)
}

/// The same with some fields changed.
fn with(case: &Value, changes: Value) -> Value {
    let mut case = case.clone();
    for (key, value) in changes.as_object().unwrap() {
        case[key] = value.clone();
    }
    case
}

fn read(cases: &[Value]) -> Vec<Case> {
    case::read(&json!({ "version": 1, "testcases": cases }).to_string()).unwrap()
}

fn report(cases: &[Value], deviations: &str) -> Report {
    Report::new(&read(cases), verifier::engine, &report::deviations(deviations).unwrap())
}

#[test]
fn each_field_of_a_case_counts() {
    let (good, one) = good();
    let crl = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 1, 1),
        next_update: date_time_ymd(2025, 2, 1),
        crl_number: SerialNumber::from(1),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: SerialNumber::from(7),
            revocation_time: date_time_ymd(2025, 1, 2),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let crl = crl.signed_by(&one).unwrap().pem().unwrap();
    let ip = |value: &str| json!({ "expected_peer_name": { "kind": "IP", "value": value } });
    for (changes, verdict) in [
        (json!({}), "accepted"),
        (json!({ "expected_peer_name": null }), "accepted"),
        (ip("10.0.0.1"), "accepted"),
        (ip("10.0.0.2"), "NotValidForName"),
        (
            json!({ "expected_peer_name": { "kind": "DNS", "value": "b.example" } }),
            "NotValidForName",
        ),
        (json!({ "validation_time": "2025-01-20T00:00:01+00:00" }), "Expired"),
        (json!({ "validation_time": null }), "Expired"),
        (json!({ "validation_kind": "CLIENT" }), "WrongPurpose"),
        (json!({ "trusted_certs": [ca("Root", None).pem()] }), "BadSignature"),
        (json!({ "untrusted_intermediates": [] }), "UnknownIssuer"),
        (json!({ "peer_certificate": one.pem() }), "CaUsedAsEndEntity"),
        (json!({ "crls": [crl] }), "Revoked"),
    ] {
        let cases = read(&[with(&good, changes.clone())]);
        let found = verifier::engine(&cases[0]).map_or_else(|error| error, |()| "accepted".into());
        assert!(found.starts_with(verdict), "{changes}: {found}");
        // The other two read the case in the same way.
        assert_eq!(verifier::webpki(&cases[0]).is_ok(), verdict == "accepted", "{changes}");
    }
}

#[test]
fn a_wrong_verdict_has_to_be_listed_and_a_line_needed() {
    let (good, _) = good();
    let wrong_accept = with(&good, json!({ "id": "sample::accept", "expected_result": "FAILURE" }));
    let wrong_refusal = with(&good, json!({ "id": "sample::refusal", "untrusted_intermediates": [] }));
    let listed =
        "# Why\n\nsample::accept | accepted | RFC 5280 §6.1\nsample::refusal | UnknownIssuer | RFC 5280 §6.1\n";
    let cases = [good, wrong_accept, wrong_refusal];
    assert_eq!(report(&cases, "").failures.len(), 2);
    let found = report(&cases, listed);
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    assert_eq!(
        found.to_string(),
        "3 cases: 1 as expected, 1 wrong accepts, 1 wrong refusals, 0 skipped"
    );
    // The outcome counts, and a line that no case needs is a failure.
    for (from, to) in [
        ("accepted", "Expired"),
        ("UnknownIssuer", "Unknown"),
        ("UnknownIssuer", "accepted"),
    ] {
        assert_eq!(report(&cases, &listed.replacen(from, to, 1)).failures.len(), 1);
    }
    assert_eq!(report(&cases[..2], listed).failures.len(), 1);
}

#[test]
fn a_line_needs_an_outcome_and_a_clause() {
    for bad in [
        "a | accepted | RFC 5280",
        "a | accepted",
        "a | accepted | none",
        "a |  | RFC 1 § 1\na | b | RFC 1 §1",
    ] {
        assert!(report::deviations(bad).is_err(), "{bad}");
    }
    assert!(report::deviations(crate::DEVIATIONS).unwrap().len() >= 40);
}

#[test]
fn what_the_engine_does_not_have_is_skipped_and_counted() {
    let (good, _) = good();
    let found = report(&[with(&good, json!({ "features": ["max-chain-depth"] }))], "");
    assert!(found.failures.is_empty() && found.skipped.len() == 1);
    assert_eq!(
        found.to_string(),
        "1 cases: 0 as expected, 0 wrong accepts, 0 wrong refusals, 1 skipped"
    );
}

#[test]
fn the_export_of_bettertls_is_read() {
    let root = ca("Root", None);
    let case = |id: u32, days, hostname: &str, expected: &str| {
        json!({
            "id": id,
            "suite": "pathbuilding",
            "certificates": [Base64::encode_string(leaf(&root, days).der())],
            "hostname": hostname,
            "requiredFeatures": [],
            "expected": expected,
            "failureIsWarning": false,
        })
    };
    let cases = [
        case(0, [1, 20], "a.example", "ACCEPT"),
        case(1, [1, 20], "10.0.0.1", "ACCEPT"),
        case(2, [1, 20], "b.example", "REJECT"),
        // The time is a day after the root's notBefore.
        case(3, [1, 1], "a.example", "REJECT"),
        case(4, [1, 2], "a.example", "ACCEPT"),
    ];
    let export = json!({
        "betterTlsRevision": "",
        "trustRoot": Base64::encode_string(root.der()),
        "suites": { "pathbuilding": { "features": [], "testCases": cases } },
    });
    let cases = case::read(&export.to_string()).unwrap();
    assert_eq!(cases[3].id, "bettertls::pathbuilding::tc3");
    for other in [verifier::engine, verifier::webpki] {
        let found = Report::new(&cases, other, &[]);
        assert!(found.failures.is_empty(), "{:?}", found.failures);
    }
}
