//! Configured CAs and revocation lists, checked as verification will use them.

use super::revocation::list;
use super::*;
use crate::pki::anchor::{self, Anchor, AnchorFault};
use crate::pki::crl::{self, CrlIssuer, Unsupported};
use crate::pki::signed::KeyFault;

fn critical(oid: &[u64], value: &[u8]) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, value.to_vec());
    extension.set_criticality(true);
    extension
}

#[test]
fn a_configured_ca_s_extensions_limit_it() {
    let check = |change: fn(&mut CertificateParams)| anchor::check(root(change).der());
    assert_eq!(check(|_| {}), Ok(Anchor::Ca));
    assert_eq!(
        check(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0))),
        Ok(Anchor::Ca)
    );
    assert_eq!(check(|params| params.key_usages.clear()), Ok(Anchor::Ca));
    assert_eq!(
        check(|params| params.name_constraints = Some(only_example())),
        Ok(Anchor::Ca)
    );
    for not_a_ca in [IsCa::ExplicitNoCa, IsCa::NoCa] {
        let mut params = ca_params("Root");
        params.is_ca = not_a_ca;
        let der = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(anchor::check(der.der()), Ok(Anchor::Leaf));
    }
    let fault = |change: fn(&mut CertificateParams)| check(change).unwrap_err().to_string();
    assert_eq!(
        fault(|params| params.key_usages = Vec::from([KeyUsagePurpose::CrlSign])),
        "it may not sign certificates (keyUsage lacks keyCertSign)"
    );
    assert_eq!(
        fault(|params| params.extended_key_usages = Vec::from([ExtendedKeyUsagePurpose::CodeSigning])),
        "its extendedKeyUsage has neither serverAuth nor clientAuth"
    );
    assert_eq!(
        fault(|params| params.custom_extensions = Vec::from([critical(&[1, 2, 3, 4], &[5, 0])])),
        "it has an unsupported critical extension (1.2.3.4)"
    );
    let good = root(|_| {});
    assert_eq!(
        anchor::check(&good.der()[1..]).unwrap_err().to_string(),
        "malformed (not a DER SEQUENCE)"
    );
}

#[test]
fn cas_whose_keys_cannot_verify_anything_are_found() {
    let dir = Dir::new();
    for (arguments, fault) in [
        #[cfg(feature = "rsa")]
        ("-newkey rsa:1024", KeyFault::RsaBits(1024)),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-521", KeyFault::Kind),
        ("-newkey ed448", KeyFault::Kind),
    ] {
        dir.openssl(&std::format!(
            "req -x509 {arguments} -nodes -subj /CN=Odd -days 3650 -keyout k.pem -outform DER -out c.der"
        ));
        assert_eq!(
            anchor::check(&dir.read("c.der")),
            Err(AnchorFault::Key(fault)),
            "{arguments}"
        );
    }
    #[cfg(feature = "rsa")]
    assert_eq!(
        KeyFault::RsaBits(1024).to_string(),
        "is RSA with 1024 bits (2048 to 4096 are supported)"
    );
}

#[test]
fn lists_are_checked_as_they_will_be_used() {
    let root = root(|_| {});
    let check = |der: &[u8]| crl::check(der, [root.der().as_ref()].into_iter(), NOW);
    assert_eq!(check(&list(&root, &[&[1]], |_| {})), Ok(CrlIssuer::Configured));
    let stranger = super::root(|params| params.distinguished_name = named("Stranger"));
    assert_eq!(check(&list(&stranger, &[], |_| {})), Ok(CrlIssuer::Unknown));
    let namesake = super::root(|_| {});
    assert_eq!(
        check(&list(&namesake, &[], |_| {})),
        Err(CertificateError::CrlBadSignature)
    );
    // With both configured, each list finds its own.
    let both = [root.der().as_ref(), namesake.der().as_ref()];
    for ca in [&root, &namesake] {
        assert_eq!(
            crl::check(&list(ca, &[], |_| {}), both.into_iter(), NOW),
            Ok(CrlIssuer::Configured)
        );
    }
    let expired = list(&root, &[], |params| params.next_update = date_time_ymd(2025, 12, 31));
    assert!(matches!(check(&expired), Err(CertificateError::CrlExpired { .. })));
    let future = list(&root, &[], |params| params.this_update = date_time_ymd(2026, 1, 2));
    assert_eq!(
        check(&future).unwrap_err().to_string(),
        "revocation list not valid before 2026-01-02 (it is 2026-01-01 now)"
    );
    assert_eq!(check(&root.der()[..]), Err(CertificateError::MalformedCrl));
}

/// Lists without cRLNumber, without nextUpdate, and of the kinds that are not supported.
#[test]
fn odd_lists_are_checked_as_they_will_be_used() {
    let root = root(|_| {});
    let check = |fields: &[&[u8]]| {
        let issuer = Certificate::from_der(root.der()).unwrap().subject.der;
        let fields = fields.concat();
        let der = signed(&root, &[&[2, 1, 1], ECDSA_SHA256, issuer, &fields]);
        crl::check(&der, [root.der().as_ref()].into_iter(), NOW)
    };
    let (new, old) = (b"\x17\x0d251210000000Z", b"\x17\x0d251101000000Z");
    let next = b"\x17\x0d260601000000Z";
    assert_eq!(check(&[new, next]), Ok(CrlIssuer::Configured));
    assert_eq!(check(&[old, next]), Ok(CrlIssuer::Configured));
    assert_eq!(check(&[new]), Ok(CrlIssuer::Configured));
    assert_eq!(
        check(&[old]).unwrap_err().to_string(),
        "revocation list has no nextUpdate and is more than 30 days old: issued 2025-11-01 (it is 2026-01-01 now)"
    );
    let with = |oid: &[u8], value: &[u8]| {
        let extension = element(0x30, &[&element(6, &[oid]), &[1, 1, 0xff], &element(4, &[value])]);
        check(&[new, next, &element(0xa0, &[&element(0x30, &[&extension])])])
    };
    let point = [0x55, 0x1d, 28];
    for (oid, value, kind) in [
        (&[0x55, 0x1d, 27][..], &[2, 1, 1][..], Unsupported::Delta),
        (&point, &[0x30, 3, 0x84, 1, 0xff], Unsupported::Indirect),
        (&point, &[0x30, 4, 0x83, 2, 6, 0x40], Unsupported::SomeReasons),
        (&point, &[0x30, 3, 0x85, 1, 0xff], Unsupported::AttributeCertificates),
        (
            &[0x2a, 3, 4],
            &[5, 0],
            Unsupported::CriticalExtension(ObjectIdentifier::new_unwrap("1.2.3.4")),
        ),
    ] {
        assert_eq!(with(oid, value), Err(CertificateError::UnsupportedCrl(kind)));
    }
    for value in [&[0x30, 3, 0x81, 1, 0xff][..], &[0x30, 3, 0x82, 1, 0xff], &[0x30, 0]] {
        assert_eq!(with(&point, value), Ok(CrlIssuer::Configured));
    }
    assert_eq!(with(&point, &[0x30, 1, 0]), Err(CertificateError::MalformedCrl));
}

#[test]
fn cas_that_may_not_sign_lists_are_found() {
    let root = root(|params| params.key_usages = Vec::from([KeyUsagePurpose::KeyCertSign]));
    let mut params = ca_params("Root");
    params.key_usages.clear();
    let key = KeyPair::try_from(root.key().serialize_der()).unwrap();
    let crl = list(&Issuer::new(params, key), &[], |_| {});
    assert_eq!(
        crl::check(&crl, [root.der().as_ref()].into_iter(), NOW),
        Err(CertificateError::CrlIssuerMayNotSign)
    );
}
