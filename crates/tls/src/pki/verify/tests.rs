//! Chains by rcgen, by hand and by OpenSSL: valid ones, and every refusal.

use std::string::{String, ToString};
use std::vec::Vec;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CidrSubnet,
    CrlDistributionPoint, CrlIssuingDistributionPoint, CrlScope, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, NameConstraints,
    RevokedCertParams, SerialNumber, date_time_ymd,
};

use super::*;
use crate::crypto::key::SigningKey;
use crate::crypto::sign::SignatureScheme;
use crate::pki::cert::CertError;
use crate::pki::crl::CLOCK_SKEW;
use crate::support::{Dir, Rng, element};

mod configured;
mod costly;
mod openssl;
mod paths;
mod revocation;
#[cfg(feature = "ocsp")]
mod staple;
mod trust;

/// 2026-01-01 00:00:00 UTC.
const NOW: u64 = 1_767_225_600;
const DAY: u64 = 86_400;
const CLOCK: Clock = Clock {
    now: NOW,
    floor: NOW - DAY,
};
const ANY_SERVER: Purpose<'static> = Purpose::Server(None);

type Ca = CertifiedIssuer<'static, KeyPair>;

fn server(name: &str) -> Purpose<'_> {
    Purpose::Server(Some(ServerName::parse(name).unwrap()))
}

fn named(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = Vec::from([KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
    params
}

fn root(change: impl FnOnce(&mut CertificateParams)) -> Ca {
    let mut params = ca_params("Root");
    change(&mut params);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn intermediate(name: &str, issuer: &Ca, change: impl FnOnce(&mut CertificateParams)) -> Ca {
    let mut params = ca_params(name);
    change(&mut params);
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), issuer).unwrap()
}

/// A certificate for localhost, valid in 2025 and 2026, modified by `change`.
fn leaf(issuer: &Ca, change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    params.distinguished_name = named("leaf");
    params.serial_number = Some(SerialNumber::from(Vec::from([0x10, 0x01])));
    (params.not_before, params.not_after) = (date_time_ymd(2025, 1, 1), date_time_ymd(2027, 1, 1));
    change(&mut params);
    params
        .signed_by(&KeyPair::generate().unwrap(), issuer)
        .unwrap()
        .der()
        .to_vec()
}

fn strict(ca: &Ca, chain: &[&[u8]], purpose: Purpose<'_>) -> Result<(), CertificateError> {
    Trust::new(&[&ca.der()[..]]).verify(chain, purpose, CLOCK)
}

fn pinned(ca: &Ca, chain: &[&[u8]], purpose: Purpose<'_>) -> Result<(), CertificateError> {
    Trust::new(&[&ca.der()[..]])
        .with_mode(Mode::Pinned)
        .verify(chain, purpose, CLOCK)
}

/// Both modes refuse, with this text.
fn refused(ca: &Ca, chain: &[&[u8]], purpose: Purpose<'_>, text: &str) {
    assert_eq!(strict(ca, chain, purpose).unwrap_err().to_string(), text);
    assert_eq!(pinned(ca, chain, purpose).unwrap_err().to_string(), text, "pinned");
}

fn accepted(ca: &Ca, chain: &[&[u8]], purpose: Purpose<'_>) {
    assert_eq!(strict(ca, chain, purpose), Ok(()));
    assert_eq!(pinned(ca, chain, purpose), Ok(()), "pinned");
}

/// A certificate or revocation list around `tbs`, signed by `ca` with ecdsa-with-SHA256.
fn signed(ca: &Ca, tbs: &[&[u8]]) -> Vec<u8> {
    let tbs = element(0x30, tbs);
    let key = SigningKey::from_der("PRIVATE KEY", &ca.key().serialize_der()).unwrap();
    let signature = key
        .sign(SignatureScheme::EcdsaSecp256r1Sha256, &tbs, &mut Rng(1))
        .unwrap();
    element(0x30, &[&tbs, ECDSA_SHA256, &element(3, &[&[0], &signature])])
}

const ECDSA_SHA256: &[u8] = b"\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02";

/// A certificate of version 1: the subject has the common name `name`.
fn v1(ca: &Ca, name: &str, dates: &[u8]) -> Vec<u8> {
    let spare = leaf(ca, |params| params.distinguished_name = named(name));
    let spare = Certificate::from_der(&spare).unwrap();
    let dates = element(0x30, &[dates]);
    let (issuer, subject, key) = (spare.issuer.der, spare.subject.der, spare.public_key.der);
    signed(ca, &[&[2, 2, 0x10, 1], ECDSA_SHA256, issuer, &dates, subject, key])
}

const THESE_YEARS: &[u8] = b"\x17\x0d250101000000Z\x17\x0d270101000000Z";

#[test]
fn valid_leaves_pass() {
    let root = root(|_| {});
    let names = ["localhost", "*.example.com", "10.0.2.15", "fec0::15"].map(|name| name.to_string());
    let names = CertificateParams::new(names).unwrap().subject_alt_names;
    let leaf = leaf(&root, |params| params.subject_alt_names = names);
    for purpose in [ANY_SERVER, Purpose::Client] {
        accepted(&root, &[&leaf], purpose);
    }
    for name in [
        "localhost",
        "LOCALHOST",
        "localhost.",
        "www.example.com",
        "10.0.2.15",
        "fec0::15",
        "FEC0:0::15",
    ] {
        accepted(&root, &[&leaf], server(name));
        assert!(matches_name(&leaf, name), "{name}");
    }
    let present = "localhost, *.example.com, 10.0.2.15, fec0::15";
    for name in ["example.com", "a.www.example.com", "10.0.2.16", "::1", "leaf"] {
        refused(
            &root,
            &[&leaf],
            server(name),
            &std::format!("certificate does not match {name}: it is for {present}"),
        );
        assert!(!matches_name(&leaf, name), "{name}");
    }
    assert!(!matches_name(&leaf, "no name") && !matches_name(&[], "localhost"));
    // An invalid name matches nothing.
    let odd = Purpose::Server(Some(ServerName::Dns("local host")));
    refused(
        &root,
        &[&leaf],
        odd,
        &std::format!("certificate does not match local host: it is for {present}"),
    );
}

#[test]
fn chains_with_intermediates_pass_in_any_order() {
    let root = root(|_| {});
    let (one, other) = (
        intermediate("One", &root, |_| {}),
        tests::root(|params| {
            params.distinguished_name = named("Other");
        }),
    );
    let two = intermediate("Two", &one, |_| {});
    let leaf = leaf(&two, |_| {});
    let (one, two, other): (&[u8], &[u8], &[u8]) = (one.der(), two.der(), other.der());
    for chain in [
        &[&leaf[..], two, one][..],
        &[&leaf, one, two],
        &[&leaf, two, one, root.der(), other],
    ] {
        accepted(&root, chain, server("localhost"));
    }
    refused(&root, &[&leaf, two], ANY_SERVER, "issuer unknown: CN=One");
    refused(&root, &[&leaf, one], ANY_SERVER, "issuer unknown: CN=Two");
    refused(&root, &[&leaf], ANY_SERVER, "issuer unknown: CN=Two");
    // An intermediate can be a trust anchor.
    assert_eq!(Trust::new(&[other, two]).verify(&[&leaf], ANY_SERVER, CLOCK), Ok(()));
}

#[cfg(feature = "default")]
#[test]
fn keys_of_all_kinds_pass() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let key = || KeyPair::generate_for(algorithm).unwrap();
        let root = CertifiedIssuer::self_signed(ca_params("Root"), key()).unwrap();
        let one = CertifiedIssuer::signed_by(ca_params("One"), key(), &root).unwrap();
        let leaf = leaf(&one, |_| {});
        accepted(&root, &[&leaf, one.der()], server("localhost"));
    }
}

#[test]
fn dates_are_exact_to_the_second() {
    let root = root(|_| {});
    let leaf = leaf(&root, |_| {});
    let at = |now| {
        let clock = Clock { now, floor: 0 };
        let trust = [root.der().as_ref()];
        let verdicts = [Mode::Strict, Mode::Pinned]
            .map(|mode| Trust::new(&trust).with_mode(mode).verify(&[&leaf], ANY_SERVER, clock));
        assert_eq!(verdicts[0], verdicts[1]);
        verdicts[0]
    };
    let (not_before, not_after) = (1_735_689_600, 1_798_761_600);
    assert_eq!((at(not_before), at(not_after)), (Ok(()), Ok(())));
    // The clock of the issuer may be ahead.
    assert_eq!(at(not_before - CLOCK_SKEW), Ok(()));
    let (early, late) = (not_before - CLOCK_SKEW - 1, not_after + 1);
    assert_eq!(at(early), Err(CertificateError::NotYetValid { not_before, now: early }));
    assert_eq!(at(late), Err(CertificateError::Expired { not_after, now: late }));
    assert_eq!(
        at(early).unwrap_err().to_string(),
        "certificate not valid before 2025-01-01 (it is 2024-12-31 now)"
    );
    assert_eq!(
        at(late + DAY).unwrap_err().to_string(),
        "certificate expired 2027-01-01 (it is 2027-01-02 now)"
    );
    // Within one day the time of day is shown.
    assert_eq!(
        at(late).unwrap_err().to_string(),
        "certificate expired 2027-01-01 00:00:00 UTC (it is 2027-01-01 00:00:01 UTC now)"
    );
    // An intermediate expires as well.
    let one = intermediate("One", &root, |params| params.not_after = date_time_ymd(2024, 2, 1));
    let below = tests::leaf(&one, |_| {});
    refused(
        &root,
        &[&below, one.der()],
        ANY_SERVER,
        "certificate expired 2024-02-01 (it is 2026-01-01 now)",
    );
    // And it may begin a little later than the leaf.
    let one = intermediate("One", &root, |params| {
        params.not_before = date_time_ymd(2025, 1, 1) + core::time::Duration::from_secs(CLOCK_SKEW);
    });
    let below = tests::leaf(&one, |_| {});
    let anchors = [root.der().as_ref()];
    let at = |now| Trust::new(&anchors).verify(&[&below, one.der()], ANY_SERVER, Clock { now, floor: 0 });
    let now = not_before - 1;
    assert_eq!(at(not_before), Ok(()));
    let begins = not_before + CLOCK_SKEW;
    assert_eq!(
        at(now),
        Err(CertificateError::NotYetValid {
            not_before: begins,
            now
        })
    );
    let v1 = v1(&root, "x", b"\x17\x0d240101000000Z\x17\x0d250101000000Z");
    assert_eq!(
        pinned(&root, &[&v1], ANY_SERVER).unwrap_err().to_string(),
        "certificate expired 2025-01-01 (it is 2026-01-01 now)"
    );
}

#[test]
fn a_wrong_clock_and_a_wrong_configuration_are_named() {
    let root = root(|_| {});
    let leaf = leaf(&root, |_| {});
    let verify = |anchors: &[&[u8]], chain: &[&[u8]], now| {
        let clock = Clock { now, floor: NOW };
        let error = Trust::new(anchors).verify(chain, ANY_SERVER, clock);
        error.map_err(|error| error.to_string())
    };
    let anchor: &[u8] = root.der();
    let wrong = |text: &str| Err(text.to_string());
    assert_eq!(verify(&[anchor], &[&leaf], NOW), Ok(()));
    assert_eq!(
        verify(&[anchor], &[&leaf], 0),
        wrong("the clock is wrong: it shows 1970-01-01, before this build of 2026-01-01, so dates cannot be checked")
    );
    assert_eq!(verify(&[anchor], &[], NOW), wrong("no certificate was sent"));
    assert_eq!(
        verify(&[], &[&leaf], NOW),
        wrong("no CA certificate is configured to verify against")
    );
    assert_eq!(
        verify(&[anchor, &leaf[1..]], &[&leaf], NOW),
        wrong("a configured CA certificate is malformed")
    );
    assert_eq!(verify(&[anchor; MAX_ANCHORS], &[&leaf], NOW), Ok(()));
    assert_eq!(
        verify(&[anchor; MAX_ANCHORS + 1], &[&leaf], NOW),
        wrong("too many CA certificates or revocation lists are configured")
    );
    assert_eq!(
        verify(&[anchor], &[&leaf[..leaf.len() - 1]], NOW),
        wrong("certificate malformed (not a DER SEQUENCE)")
    );
    assert_eq!(
        verify(&[anchor], &[&[]], NOW),
        wrong("certificate malformed (not a DER SEQUENCE)")
    );
}

#[test]
fn other_issuers_are_unknown() {
    let root = root(|_| {});
    let other = tests::root(|params| params.distinguished_name = named("Somebody\u{1b}[2J else"));
    let leaf = leaf(&other, |_| {});
    refused(&root, &[&leaf], ANY_SERVER, "issuer unknown: CN=Somebody\\1B[2J else");
    refused(
        &root,
        &[&leaf, other.der()],
        ANY_SERVER,
        "issuer unknown: CN=Somebody\\1B[2J else",
    );
    let v1 = v1(&other, "x", THESE_YEARS);
    assert_eq!(
        pinned(&root, &[&v1], ANY_SERVER).unwrap_err().to_string(),
        "issuer unknown: CN=Somebody\\1B[2J else"
    );
    // The same name, but another key.
    let namesake = tests::root(|_| {});
    let leaf = tests::leaf(&namesake, |_| {});
    refused(
        &root,
        &[&leaf],
        ANY_SERVER,
        "certificate's signature is not its issuer's",
    );
    // With both configured each chain finds its own.
    for anchors in [[root.der().as_ref(), namesake.der()], [namesake.der(), root.der()]] {
        for mode in [Mode::Strict, Mode::Pinned] {
            let trust = Trust::new(&anchors).with_mode(mode);
            assert_eq!(trust.verify(&[&leaf], ANY_SERVER, CLOCK), Ok(()));
            assert_eq!(
                trust
                    .verify(&[&leaf], server("a.example"), CLOCK)
                    .unwrap_err()
                    .to_string(),
                "certificate does not match a.example: it is for localhost"
            );
        }
    }
}

#[test]
fn tampered_certificates_are_refused() {
    let root = root(|_| {});
    let one = intermediate("One", &root, |_| {});
    let text = "certificate's signature is not its issuer's";
    let (direct, below) = (leaf(&root, |_| {}), leaf(&one, |_| {}));
    // The last byte is in the signature; the common name is in what was signed.
    let signature = |der: &[u8]| {
        let mut der = der.to_vec();
        *der.last_mut().unwrap() ^= 1;
        der
    };
    let content = |der: &[u8], name: &str| {
        let at = der
            .windows(name.len())
            .rposition(|window| window == name.as_bytes())
            .unwrap();
        let mut der = der.to_vec();
        der[at] ^= 1;
        der
    };
    for tampered in [
        signature(&direct),
        content(&direct, "localhost"),
        content(&direct, "leaf"),
    ] {
        refused(&root, &[&tampered], ANY_SERVER, text);
    }
    let tampered = signature(&v1(&root, "x", THESE_YEARS));
    assert_eq!(pinned(&root, &[&tampered], ANY_SERVER).unwrap_err().to_string(), text);
    accepted(&root, &[&below, one.der()], ANY_SERVER);
    refused(&root, &[&signature(&below), one.der()], ANY_SERVER, text);
    refused(&root, &[&below, &signature(one.der())], ANY_SERVER, text);
    // Any one bit anywhere: never accepted, never a panic.
    for at in 0..direct.len() {
        let mut tampered = direct.clone();
        tampered[at] ^= 1 << (at % 8);
        for verdict in [
            strict(&root, &[&tampered], ANY_SERVER),
            pinned(&root, &[&tampered], ANY_SERVER),
        ] {
            assert!(verdict.is_err(), "{at}");
        }
    }
}

#[test]
fn purposes_are_enforced() {
    let root = root(|_| {});
    let with =
        |purposes: &[ExtendedKeyUsagePurpose]| leaf(&root, |params| params.extended_key_usages = purposes.to_vec());
    use ExtendedKeyUsagePurpose::*;
    let (for_server, for_client) = (
        with(&[ServerAuth]),
        with(&[ClientAuth, CodeSigning, Other(Vec::from([1, 2, 3]))]),
    );
    accepted(&root, &[&for_server], ANY_SERVER);
    accepted(&root, &[&for_client], Purpose::Client);
    refused(
        &root,
        &[&for_server],
        Purpose::Client,
        "certificate is for server authentication, not for client authentication",
    );
    refused(
        &root,
        &[&for_client],
        ANY_SERVER,
        "certificate is for client authentication, code signing, 1.2.3, not for server authentication",
    );
    refused(
        &root,
        &[&with(&[Any])],
        ANY_SERVER,
        "certificate is for any purpose, not for server authentication",
    );
    let one = intermediate("One", &root, |params| {
        params.extended_key_usages = Vec::from([ClientAuth]);
    });
    refused(
        &root,
        &[&leaf(&one, |_| {}), one.der()],
        ANY_SERVER,
        "certificate is for client authentication, not for server authentication",
    );
    let encipher = leaf(&root, |params| {
        params.key_usages = Vec::from([KeyUsagePurpose::KeyEncipherment]);
    });
    refused(
        &root,
        &[&encipher],
        ANY_SERVER,
        "certificate's keyUsage does not include digitalSignature",
    );
    let sign = leaf(&root, |params| {
        params.key_usages = Vec::from([KeyUsagePurpose::DigitalSignature]);
    });
    accepted(&root, &[&sign], ANY_SERVER);
}

#[test]
fn pinned_accepts_certificates_of_simple_tools() {
    let root = root(|_| {});
    let v1 = v1(&root, "www.example.com", THESE_YEARS);
    assert_eq!(
        strict(&root, &[&v1], ANY_SERVER).unwrap_err().to_string(),
        "certificate is X.509 version 1, without extensions: reissue it with a subjectAltName \
         (openssl x509 -req needs -extfile beside -extensions), or choose pinned verification"
    );
    for purpose in [ANY_SERVER, Purpose::Client, server("www.example.com")] {
        assert_eq!(pinned(&root, &[&v1], purpose), Ok(()));
    }
    assert!(matches_name(&v1, "WWW.example.com") && !matches_name(&v1, "example.com"));
    assert_eq!(
        pinned(&root, &[&v1], server("localhost")).unwrap_err().to_string(),
        "certificate does not match localhost: it is for CN=www.example.com"
    );

    let ca = leaf(&root, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert_eq!(
        strict(&root, &[&ca], ANY_SERVER).unwrap_err().to_string(),
        "certificate is a CA certificate: reissue it with basicConstraints CA:FALSE, or choose pinned verification"
    );
    assert_eq!(pinned(&root, &[&ca], server("localhost")), Ok(()));
    assert!(pinned(&root, &[&ca], server("leaf")).is_err());

    let common = |name: &'static str| {
        leaf(&root, |params| {
            params.distinguished_name = named(name);
            params.subject_alt_names.clear();
        })
    };
    let cn = common("a.example");
    assert_eq!(
        strict(&root, &[&cn], server("a.example")).unwrap_err().to_string(),
        "certificate does not match a.example: it has no subjectAltName (CN is ignored)"
    );
    assert_eq!(pinned(&root, &[&cn], server("a.example")), Ok(()));
    assert_eq!(pinned(&root, &[&common("10.0.2.15")], server("10.0.2.15")), Ok(()));
    // The guide's CN is an asterisk, which matches no name.
    assert!(pinned(&root, &[&common("*")], server("localhost")).is_err());
    // With a subjectAltName of any form the common name is ignored.
    let email = leaf(&root, |params| {
        params.distinguished_name = named("a.example");
        params.subject_alt_names = Vec::from([rcgen::SanType::Rfc822Name("a@b".try_into().unwrap())]);
    });
    assert!(!matches_name(&email, "a.example"));
    assert!(pinned(&root, &[&email], server("a.example")).is_err());
}

#[test]
fn pinned_applies_only_to_direct_issuance() {
    let root = root(|_| {});
    let tolerated = leaf(&root, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    // CA:TRUE is tolerated on a leaf, but chains with an intermediate are verified strictly.
    let one = intermediate("One", &root, |_| {});
    let ca = leaf(&one, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    refused(
        &root,
        &[&ca, one.der()],
        ANY_SERVER,
        "certificate is a CA certificate: reissue it with basicConstraints CA:FALSE",
    );
    // No advice on pinning is given if the issuer is unknown.
    let stranger = tests::root(|params| params.distinguished_name = named("Stranger"));
    assert_eq!(
        pinned(&root, &[stranger.der()], ANY_SERVER).unwrap_err().to_string(),
        "issuer unknown: CN=Stranger"
    );
    // A v1 certificate as intermediate is not a CA, whatever it has signed.
    let fake = CertifiedIssuer::signed_by(ca_params("Fake"), KeyPair::generate().unwrap(), &root).unwrap();
    let below = leaf(&fake, |_| {});
    let issuer = Certificate::from_der(fake.der()).unwrap();
    let dates = element(0x30, &[THESE_YEARS]);
    let v1 = signed(
        &root,
        &[
            &[2, 1, 9],
            ECDSA_SHA256,
            issuer.issuer.der,
            &dates,
            issuer.subject.der,
            issuer.public_key.der,
        ],
    );
    accepted(&root, &[&below, fake.der()], ANY_SERVER);
    for verdict in [
        strict(&root, &[&below, &v1], ANY_SERVER),
        pinned(&root, &[&below, &v1], ANY_SERVER),
    ] {
        assert_eq!(
            verdict.unwrap_err().to_string(),
            "issuer is X.509 version 1 and therefore not a CA: CN=Fake"
        );
    }
    // A CA with name constraints is used only through webpki.
    let narrow = tests::root(|params| params.name_constraints = Some(only_example()));
    let leaf = leaf(&narrow, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    assert_eq!(
        pinned(&narrow, &[&leaf], ANY_SERVER),
        Err(CertificateError::CaUsedAsEndEntity { pinned: false })
    );
    assert_eq!(pinned(&root, &[&tolerated], ANY_SERVER), Ok(()));
}

fn only_example() -> NameConstraints {
    let fec0 = core::net::Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0).octets();
    NameConstraints {
        permitted_subtrees: Vec::from([
            GeneralSubtree::DnsName("example.com".into()),
            GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([10, 0, 2, 0], 24)),
            GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(fec0, 64)),
        ]),
        excluded_subtrees: Vec::new(),
    }
}

#[test]
fn constraints_are_enforced() {
    let unlimited = root(|_| {});
    let limited = root(|params| params.name_constraints = Some(only_example()));
    let one = intermediate("One", &unlimited, |params| {
        params.name_constraints = Some(only_example());
    });
    for (root, issuer, rest) in [(&limited, &limited, None), (&unlimited, &one, Some(one.der().as_ref()))] {
        for (name, good) in [
            ("a.example.com", true),
            ("10.0.2.9", true),
            ("fec0::9", true),
            ("localhost", false),
            ("10.0.3.9", false),
            ("fec0:0:0:1::9", false),
        ] {
            let leaf = leaf(issuer, |params| {
                params.subject_alt_names = CertificateParams::new([name.to_string()]).unwrap().subject_alt_names;
            });
            let chain: Vec<&[u8]> = [Some(&leaf[..]), rest].into_iter().flatten().collect();
            match good {
                true => accepted(root, &chain, server(name)),
                false => refused(
                    root,
                    &chain,
                    server(name),
                    "certificate has a name outside its issuer's name constraints",
                ),
            }
        }
    }

    let one = intermediate("One", &unlimited, |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    accepted(&unlimited, &[&leaf(&one, |_| {}), one.der()], ANY_SERVER);
    let two = intermediate("Two", &one, |_| {});
    let text = "certificate chain is longer than allowed: pathLenConstraint 0 of CN=One";
    refused(
        &unlimited,
        &[&leaf(&two, |_| {}), two.der(), one.der()],
        ANY_SERVER,
        text,
    );
    let leaf = leaf(&unlimited, |_| {});
    accepted(&unlimited, &[&leaf[..]; MAX_CHAIN], ANY_SERVER);
    let text = "11 certificates were sent (at most 10 are accepted)";
    refused(&unlimited, &[&leaf[..]; MAX_CHAIN + 1], ANY_SERVER, text);
}

#[test]
fn leaves_may_not_issue() {
    let root = root(|_| {});
    let fake = intermediate("Fake", &root, |params| params.is_ca = IsCa::ExplicitNoCa);
    refused(
        &root,
        &[&leaf(&fake, |_| {}), fake.der()],
        ANY_SERVER,
        "issuer is not a CA: CN=Fake",
    );
    let fake = intermediate("Fake", &root, |params| params.is_ca = IsCa::NoCa);
    refused(
        &root,
        &[&leaf(&fake, |_| {}), fake.der()],
        ANY_SERVER,
        "issuer is not a CA: CN=Fake",
    );
}

#[test]
fn cas_whose_key_may_not_sign_may_not_issue() {
    let root = root(|_| {});
    let key = KeyPair::generate().unwrap().serialize_der();
    let one = |usages: &[KeyUsagePurpose]| {
        let mut params = ca_params("One");
        params.key_usages = usages.to_vec();
        let key = KeyPair::try_from(&key[..]).unwrap();
        CertifiedIssuer::signed_by(params, key, &root).unwrap()
    };
    let (unfit, fit) = (
        one(&[KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign]),
        one(&[KeyUsagePurpose::KeyCertSign]),
    );
    let below = leaf(&unfit, |_| {});
    let text = "issuer may not sign certificates (keyUsage lacks keyCertSign): CN=One";
    refused(&root, &[&below, unfit.der()], ANY_SERVER, text);
    let two = intermediate("Two", &unfit, |_| {});
    refused(&root, &[&leaf(&two, |_| {}), two.der(), unfit.der()], ANY_SERVER, text);
    // Another certificate of the same CA is found; without keyUsage everything is allowed.
    accepted(&root, &[&below, unfit.der(), fit.der()], ANY_SERVER);
    accepted(&root, &[&below, one(&[]).der()], ANY_SERVER);
}

#[test]
fn unknown_critical_extensions_are_refused() {
    let root = root(|_| {});
    let with = |critical| {
        leaf(&root, |params| {
            let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], Vec::from([5, 0]));
            extension.set_criticality(critical);
            params.custom_extensions = Vec::from([extension]);
        })
    };
    accepted(&root, &[&with(false)], ANY_SERVER);
    refused(
        &root,
        &[&with(true)],
        ANY_SERVER,
        "certificate has an unsupported critical extension",
    );
}

/// A leaf must not have them (RFC 5280 §4.2.1.10).
#[test]
fn critical_name_constraints_of_a_leaf_are_refused() {
    let root = root(|_| {});
    let with = |critical| {
        leaf(&root, |params| {
            let permitted = element(0xa0, &[&element(0x30, &[&element(0x82, &[b"localhost"])])]);
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], element(0x30, &[&permitted]));
            extension.set_criticality(critical);
            params.custom_extensions = Vec::from([extension]);
        })
    };
    accepted(&root, &[&with(false)], ANY_SERVER);
    refused(
        &root,
        &[&with(true)],
        ANY_SERVER,
        "certificate has an unsupported critical extension",
    );
}

#[test]
fn identities_are_read() {
    let root = root(|_| {});
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    params.distinguished_name = named("a client");
    params.not_after = date_time_ymd(2027, 1, 1);
    let der = params.signed_by(&key, &root).unwrap().der().to_vec();
    let identity = PeerIdentity::from_leaf(&der).unwrap();
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    assert_eq!(leaf_public_key(&der), Ok(&spki[..]));
    assert_eq!(&identity.fingerprint, HashAlgorithm::Sha256.hash(&spki).as_ref());
    assert_eq!(
        (identity.subject.as_str(), identity.not_after),
        ("CN=a client", 1_798_761_600)
    );
    params.distinguished_name = DistinguishedName::new();
    let der = params.signed_by(&key, &root).unwrap().der().to_vec();
    assert_eq!(PeerIdentity::from_leaf(&der).unwrap().subject.as_str(), "localhost");
    let malformed = CertificateError::Malformed(CertError::Malformed("not a DER SEQUENCE"));
    assert_eq!(leaf_public_key(&der[1..]), Err(malformed));
    assert_eq!(PeerIdentity::from_leaf(&[]), Err(malformed));
}

#[test]
fn further_roots_verify_strictly() {
    let (ca, other) = (root(|_| {}), root(|params| params.distinguished_name = named("Other")));
    let (anchors, roots): ([&[u8]; 1], [&[u8]; 1]) = ([ca.der()], [other.der()]);
    let trust = Trust::new(&anchors).with_mode(Mode::Pinned).with_roots(&roots);
    let good = leaf(&other, |_| {});
    assert_eq!(trust.verify(&[&good], server("localhost"), CLOCK), Ok(()));
    // Pinned verification does not apply to these roots.
    let lenient = |issuer: &Ca| {
        leaf(issuer, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        })
    };
    assert_eq!(trust.verify(&[&lenient(&ca)], ANY_SERVER, CLOCK), Ok(()));
    assert_eq!(
        trust.verify(&[&lenient(&other)], ANY_SERVER, CLOCK),
        Err(CertificateError::CaUsedAsEndEntity { pinned: false })
    );
    // Without them the issuer is unknown; and they suffice without other CAs.
    assert!(matches!(
        Trust::new(&anchors).verify(&[&good], ANY_SERVER, CLOCK),
        Err(CertificateError::UnknownIssuer { .. })
    ));
    assert_eq!(
        Trust::new(&[]).with_roots(&roots).verify(&[&good], ANY_SERVER, CLOCK),
        Ok(())
    );
    // Any number of them; a malformed one is skipped.
    let many = [&[roots[0]; 200][..], &[b"no certificate"]].concat();
    assert_eq!(
        Trust::new(&[]).with_roots(&many).verify(&[&good], ANY_SERVER, CLOCK),
        Ok(())
    );
}

#[test]
fn clients_are_allowed_by_subject_or_by_key() {
    let ca = root(|_| {});
    let anchors: [&[u8]; 1] = [ca.der()];
    let subject = |name: &str, more: &[(DnType, &str)]| {
        let mut subject = named(name);
        more.iter().for_each(|(kind, value)| subject.push(kind.clone(), *value));
        leaf(&ca, |params| params.distinguished_name = subject)
    };
    let alice = subject("alice", &[]);
    let identity = PeerIdentity::from_leaf(&alice).unwrap();
    let key = identity.key().to_string();
    let verify = |allowed: &[&str], leaf: &[u8]| {
        let allowed = allowed.join("\n");
        let trust = Trust::new(&anchors).with_allowed(&allowed);
        let verdict = trust.verify(&[leaf], Purpose::Client, CLOCK);
        assert_eq!(verdict.is_ok(), trust.allows(&PeerIdentity::from_leaf(leaf).unwrap()));
        // It does not apply to servers.
        assert_eq!(trust.verify(&[leaf], ANY_SERVER, CLOCK), Ok(()));
        verdict
    };
    for allowed in [&["CN=alice"][..], &["CN=bob", "CN=alice"], &[&key]] {
        assert_eq!(verify(allowed, &alice), Ok(()), "{allowed:?}");
    }
    let refused = |subject: &str| {
        Err(CertificateError::NotAllowed {
            subject: Text::new(subject),
        })
    };
    for allowed in [
        &[][..],
        &["CN=bob"],
        &["alice"],
        &["cn=alice"],
        &["CN=alice,O=x"],
        &["CN=alic"],
        &[&key[..20]],
    ] {
        assert_eq!(verify(allowed, &alice), refused("CN=alice"), "{allowed:?}");
    }
    // A name cannot be mistaken for two, nor a long name for another.
    assert_eq!(
        verify(&["O=x,CN=alice"], &subject("alice", &[(DnType::OrganizationName, "x")])),
        Ok(())
    );
    assert_eq!(
        verify(&["O=x,CN=alice"], &subject("alice,O=x", &[])),
        refused("CN=alice\\,O=x")
    );
    let long = subject(&"x".repeat(200), &[]);
    let cut = PeerIdentity::from_leaf(&long).unwrap().subject;
    assert_eq!(verify(&[cut.as_str()], &long), refused(cut.as_str()));
    // An alternative name is not a subject, whatever its text.
    let imitation = leaf(&ca, |params| {
        params.distinguished_name = DistinguishedName::new();
        params.subject_alt_names = Vec::from([rcgen::SanType::DnsName("CN=alice".try_into().unwrap())]);
    });
    assert_eq!(PeerIdentity::from_leaf(&imitation).unwrap().subject.as_str(), "");
    assert!(verify(&["CN=alice"], &imitation).is_err());
    // Nor is it a key, in either case: any client with a free choice of names could claim it.
    for entry in [key.clone(), key.to_uppercase(), key.replacen("sha", "Sha", 1)] {
        let imitation = leaf(&ca, |params| {
            params.distinguished_name = DistinguishedName::new();
            params.subject_alt_names = Vec::from([rcgen::SanType::DnsName(entry.as_str().try_into().unwrap())]);
        });
        let identity = PeerIdentity::from_leaf(&imitation).unwrap();
        assert_eq!(identity.subject.as_str(), entry);
        assert_eq!(verify(&[&entry], &imitation), refused(&entry), "{entry}");
    }
    // With servers included, it applies to them.
    let both = Trust::new(&anchors).with_allowed("CN=alice").with_servers_allowed();
    for purpose in [Purpose::Client, ANY_SERVER] {
        assert_eq!(both.verify(&[&alice], purpose, CLOCK), Ok(()));
        assert_eq!(both.verify(&[&subject("bob", &[])], purpose, CLOCK), refused("CN=bob"));
    }
    // The list does not make an invalid certificate valid.
    let expired = leaf(&ca, |params| {
        params.distinguished_name = named("alice");
        params.not_after = date_time_ymd(2025, 6, 1);
    });
    assert!(matches!(
        verify_expired(&anchors, &expired),
        Err(CertificateError::Expired { .. })
    ));
}

fn verify_expired(anchors: &[&[u8]], leaf: &[u8]) -> Result<(), CertificateError> {
    Trust::new(anchors)
        .with_allowed("CN=alice")
        .verify(&[leaf], Purpose::Client, CLOCK)
}

/// An address in a dNSName is named with its form.
#[test]
fn an_address_as_a_dns_name_does_not_match() {
    let root = root(|_| {});
    let leaf = leaf(&root, |params| {
        let name = rcgen::SanType::DnsName("10.0.2.2".try_into().unwrap());
        params.subject_alt_names = Vec::from([name]);
    });
    let text = "certificate does not match 10.0.2.2: it is for 10.0.2.2 as a DNS name";
    refused(&root, &[&leaf], server("10.0.2.2"), text);
}

/// Dates that rustls-webpki does not support are named, and accepted elsewhere.
#[test]
fn dates_before_1970_are_accepted_or_named() {
    let early = |params: &mut CertificateParams| params.not_before = date_time_ymd(1955, 1, 1);
    let root = root(early);
    assert_eq!(strict(&root, &[&leaf(&root, |_| {})], ANY_SERVER), Ok(()));
    let text = "certificate refused: its validity begins before 1970, which is supported only for configured CAs";
    let leaf = leaf(&root, early);
    assert_eq!(strict(&root, &[&leaf], ANY_SERVER).unwrap_err().to_string(), text);
    assert_eq!(pinned(&root, &[&leaf], ANY_SERVER), Ok(()));
    let many = tests::leaf(&root, |params| {
        params.custom_extensions = (0..40)
            .map(|number| CustomExtension::from_oid_content(&[1, 2, 3, number], Vec::from([5, 0])))
            .collect();
    });
    refused(
        &root,
        &[&many],
        ANY_SERVER,
        "certificate refused: it has more than 32 extensions",
    );
}

#[test]
fn errors_are_small() {
    assert!(
        size_of::<CertificateError>() <= 200,
        "{}",
        size_of::<CertificateError>()
    );
    assert_eq!(size_of::<PeerIdentity>(), 144);
    assert_eq!(size_of::<Trust<'_>>(), 120);
}
