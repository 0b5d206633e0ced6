//! Valid and malformed certificates, names, dates and extensions.

use core::net::{Ipv4Addr, Ipv6Addr};
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, KeyPair, PublicKeyData,
    SanType, date_time_ymd,
};

use super::*;
use crate::support::element;

/// A certificate made by rcgen, modified by `change`.
fn certificate(change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    change(&mut params);
    (params.self_signed(&key).unwrap().der().to_vec(), key)
}

const ALGORITHM: &[u8] = &[0x30, 3, 6, 1, 42];
const KEY: &[u8] = &[0x30, 9, 0x30, 3, 6, 1, 42, 3, 2, 0, 1];
const DATES: &[u8] = b"\x30\x1e\x17\x0d260101000000Z\x17\x0d270101000000Z";
const NO_NAME: &[u8] = &[0x30, 0];
const SERIAL: &[u8] = &[2, 1, 5];

/// A certificate from the parts of its tbsCertificate.
fn assemble(parts: &[&[u8]]) -> Vec<u8> {
    element(0x30, &[&element(0x30, parts), ALGORITHM, &[3, 2, 0, 9]])
}

fn named(name: &[u8]) -> String {
    let der = assemble(&[SERIAL, ALGORITHM, NO_NAME, DATES, name, KEY]);
    Certificate::from_der(&der).unwrap().subject.to_string()
}

/// A name of one part.
fn name(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
    let attributes: Vec<_> = attributes
        .iter()
        .map(|(oid, tag, value)| element(0x30, &[&element(6, &[oid]), &element(*tag, &[value])]))
        .collect();
    element(0x31, &[&attributes.concat()])
}

const CN: &[u8] = &[0x55, 4, 3];

#[test]
fn everything_is_read() {
    let (der, key) = certificate(|params| {
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CountryName, "JP");
        params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
        params.distinguished_name.push(DnType::CommonName, "localhost");
        (params.not_before, params.not_after) = (date_time_ymd(2024, 2, 29), date_time_ymd(2055, 1, 1));
        params.serial_number = Some(Vec::from([1, 2, 3]).into());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
        params.subject_alt_names = Vec::from([
            SanType::DnsName("localhost".try_into().unwrap()),
            SanType::Rfc822Name("a@b".try_into().unwrap()),
            SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
            SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
        ]);
    });
    let certificate = Certificate::from_der(&der).unwrap();
    assert_eq!((certificate.version, certificate.serial), (3, &[1, 2, 3][..]));
    assert_eq!(certificate.subject.to_string(), "CN=localhost,O=Acme\\, Inc.,C=JP");
    assert_eq!(certificate.issuer, certificate.subject);
    assert_eq!(certificate.not_before, Date(1_709_164_800));
    assert_eq!(
        format!("{} {:#}", certificate.not_before, certificate.not_after),
        "2024-02-29 2055-01-01 00:00:00 UTC"
    );
    assert_eq!(certificate.public_key.der, key.subject_public_key_info());
    assert_eq!(certificate.public_key.bits, key.public_key_raw());
    assert_eq!(certificate.public_key.algorithm.to_string(), "1.2.840.10045.2.1");
    assert_eq!(
        certificate.public_key.parameter.unwrap().to_string(),
        "1.2.840.10045.3.1.7"
    );
    assert_eq!(certificate.ca, Some(true));
    assert_eq!(
        certificate.alternatives().collect::<Vec<_>>(),
        [
            Alternative::Dns("localhost"),
            Alternative::Ip(Ipv4Addr::LOCALHOST.into()),
            Alternative::Ip(Ipv6Addr::LOCALHOST.into())
        ]
    );
    assert!(certificate.is_valid_at(certificate.not_before) && certificate.is_valid_at(certificate.not_after));
    assert!(!certificate.is_valid_at(Date(certificate.not_before.0 - 1)));
    assert!(!certificate.is_valid_at(Date(certificate.not_after.0 + 1)));

    use p256::ecdsa::signature::Verifier;
    let verifier = p256::ecdsa::VerifyingKey::from_sec1_bytes(certificate.public_key.bits).unwrap();
    let signature = p256::ecdsa::Signature::from_der(certificate.signature).unwrap();
    verifier.verify(certificate.tbs, &signature).unwrap();
}

#[test]
fn a_leaf_without_extensions_is_parsed() {
    let (der, _) = certificate(|_| {});
    let read = Certificate::from_der(&der).unwrap();
    assert_eq!((read.ca, read.alternatives().count()), (None, 0));
    let der = assemble(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY]);
    let read = Certificate::from_der(&der).unwrap();
    assert_eq!((read.version, read.ca, read.public_key.parameter), (1, None, None));
    assert!(read.subject.is_empty());
}

#[test]
fn names_are_displayed_by_rfc_4514() {
    let one = |tag, value| named(&element(0x30, &[&name(&[(CN, tag, value)])]));
    assert_eq!(one(0x0c, b"a+b\"c<d>e;f\\g=h"), "CN=a\\+b\\\"c\\<d\\>e\\;f\\\\g=h");
    assert_eq!(one(0x13, b" # "), "CN=\\ #\\ ");
    assert_eq!(one(0x13, b"#1"), "CN=\\#1");
    assert_eq!(one(0x13, b" "), "CN=\\ ");
    assert_eq!(
        one(0x0c, "Lučić\u{9b}31m\n\0".as_bytes()),
        "CN=Lučić\\C2\\9B31m\\0A\\00"
    );
    assert_eq!(one(0x14, b"caf\xe9"), "CN=café");
    assert_eq!(one(0x1e, &[0x4e, 0x2d, 0, 0x41]), "CN=中A");
    assert_eq!(one(0x1c, &[0, 1, 0xf6, 0, 0, 0, 0, 0x41]), "CN=😀A");
    assert_eq!(one(0x1c, &[0, 0x11, 0, 0]), "CN=\u{fffd}");
    assert_eq!(one(0x1c, &[0, 0, 1]), "CN=#1c03000001");
    assert_eq!(one(0x0c, &[b'x'; 200]), format!("CN={}", "x".repeat(200)));
    assert_eq!(one(0x0c, &[b'x'; 300]), format!("CN={}", "x".repeat(300)));
    assert_eq!(one(0x0c, b"\xff"), "CN=#0c01ff");
    assert_eq!(one(0x04, b"\x01"), "CN=#040101");
    assert_eq!(named(NO_NAME), "");
    let unknown = name(&[(&[42, 3], 0x13, b"x")]);
    let pair = name(&[(CN, 0x13, b"x"), (&[0x55, 4, 11], 0x13, b"y")]);
    assert_eq!(named(&element(0x30, &[&unknown, &pair])), "CN=x+OU=y,1.2.3=x");
}

#[test]
fn dates_are_checked() {
    let read = |dates: &[u8]| {
        let der = assemble(&[SERIAL, ALGORITHM, NO_NAME, &element(0x30, &[dates]), NO_NAME, KEY]);
        Certificate::from_der(&der).map(|read| (read.not_before.0, read.not_after.0))
    };
    let bad = Err(CertError::Malformed("validity"));
    assert_eq!(
        read(b"\x17\x0d700101000000Z\x17\x0d491231235959Z"),
        Ok((0, 2_524_607_999))
    );
    assert_eq!(
        read(b"\x17\x0d991231235959Z\x18\x0f99991231235959Z"),
        Ok((946_684_799, 253_402_300_799))
    );
    // 1950 to 1999 (RFC 5280 §4.1.2.5.1), and before.
    assert_eq!(read(b"\x17\x0d500101000000Z\x17\x0d691231235959Z"), Ok((0, 0)));
    assert_eq!(read(b"\x18\x0f00010101000000Z\x18\x0f19700101000001Z"), Ok((0, 1)));
    assert_eq!(read(b"\x18\x0f19000228000000Z\x17\x0d690228235959Z"), Ok((0, 0)));
    for never in [
        &b"\x18\x0f19000229000000Z"[..],
        b"\x17\x0d690229000000Z",
        b"\x17\x0d690001000000Z",
    ] {
        assert_eq!(read(&[never, b"\x17\x0d491231235959Z"].concat()), bad);
    }
    for dates in [
        &b"\x17\x0d240230000000Z\x17\x0d491231235959Z"[..],
        b"\x17\x0d230229000000Z\x17\x0d491231235959Z",
        b"\x17\x0d241301000000Z\x17\x0d491231235959Z",
        b"\x17\x0d240101240000Z\x17\x0d491231235959Z",
        b"\x17\x0b2401010000Z\x17\x0d491231235959Z",
        b"\x17\x0d2401010000+0\x17\x0d491231235959Z",
        b"\x17\x0d2401010000-1Z\x17\x0d491231235959Z",
        b"\x17\x0d240101000000Z",
        b"\x17\x0d240101000000Z\x17\x0d491231235959Z\x05\x00",
        b"\x18\x1120240101000000.5Z\x17\x0d491231235959Z",
    ] {
        assert_eq!(read(dates), bad, "{}", String::from_utf8_lossy(dates));
    }
    assert_eq!(Date(u64::MAX).to_string(), "after the year 9999");
}

#[test]
fn each_malformed_part_is_named() {
    let fault = |parts: &[&[u8]]| Certificate::from_der(&assemble(parts)).unwrap_err();
    let malformed = CertError::Malformed;
    assert_eq!(Certificate::from_der(&[]).unwrap_err(), malformed("not a DER SEQUENCE"));
    let good = assemble(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY]);
    assert_eq!(
        Certificate::from_der(&[&good[..], &[0]].concat()).unwrap_err(),
        malformed("bytes after its end")
    );
    assert_eq!(
        fault(&[&[0xa0, 3, 2, 1, 3], SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY]),
        malformed("version")
    );
    for serial in [&[2, 0][..], &[2, 2, 0, 1], &[2, 2, 0xff, 0x80], &[4, 1, 1]] {
        assert_eq!(
            fault(&[serial, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY]),
            malformed("serialNumber")
        );
    }
    let other = [0x30, 3, 6, 1, 43];
    assert_eq!(
        fault(&[SERIAL, &other, NO_NAME, DATES, NO_NAME, KEY]),
        CertError::SignatureAlgorithms
    );
    for name in [
        &[0x30, 2, 0x31, 0][..],
        &[0x31, 0],
        &[0x30, 2, 0x30, 0],
        &[0x30, 0x80, 0, 0],
    ] {
        assert_eq!(
            fault(&[SERIAL, ALGORITHM, name, DATES, NO_NAME, KEY]),
            malformed("issuer")
        );
        assert_eq!(
            fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, name, KEY]),
            malformed("subject")
        );
    }
    let long = element(0x30, &[&name(&[(CN, 0x13, b"x")]).repeat(MAX_RDNS + 1)]);
    assert_eq!(
        fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, &long, KEY]).to_string(),
        "its subject has more than 32 parts"
    );
    assert_eq!(
        fault(&[SERIAL, ALGORITHM, &long, DATES, NO_NAME, KEY]).to_string(),
        "its issuer has more than 32 parts"
    );
    let odd = [0x30, 9, 0x30, 3, 6, 1, 42, 3, 2, 1, 0];
    assert_eq!(
        fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, &odd]),
        malformed("subjectPublicKeyInfo")
    );
    assert_eq!(
        fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY, &[5, 0]]),
        malformed("unknown fields")
    );
    // Extensions in a certificate of version 1.
    assert_eq!(
        fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY, &[0xa3, 2, 0x30, 0]]),
        malformed("unknown fields")
    );
}

#[test]
fn extensions_are_checked() {
    let with = |extensions: Vec<CustomExtension>| {
        let (der, _) = certificate(|params| params.custom_extensions = extensions);
        Certificate::from_der(&der).map(|read| read.ca)
    };
    let extension = |oid: &[u64], value: &[u8]| CustomExtension::from_oid_content(oid, value.to_vec());
    let other = |number| extension(&[1, 2, 3, number], &[5, 0]);
    assert_eq!(with(Vec::from([other(1), other(2)])), Ok(None));
    assert_eq!(with(Vec::from([other(1), other(1)])), Err(CertError::RepeatedExtension));
    let many = (0..=MAX_EXTENSIONS as u64).map(other).collect();
    assert_eq!(with(many), Err(CertError::TooManyExtensions));
    let constraints = |value: &[u8]| with(Vec::from([extension(&[2, 5, 29, 19], value)]));
    assert_eq!(constraints(&[0x30, 0]), Ok(Some(false)));
    assert_eq!(constraints(&[0x30, 3, 1, 1, 0xff]), Ok(Some(true)));
    for bad in [&[0x30, 3, 1, 1, 1][..], &[5, 0], &[0x30, 0, 0], &[0x30, 2, 5, 0]] {
        assert_eq!(constraints(bad), Err(CertError::Malformed("basicConstraints")));
    }
    let alternatives = |value: &[u8]| with(Vec::from([extension(&[2, 5, 29, 17], value)]));
    assert_eq!(alternatives(&[0x30, 3, 0x82, 1, b'a']), Ok(None));
    for bad in [
        &[0x30, 3, 0x82, 1, 0xff][..],
        &[0x30, 5, 0x87, 3, 1, 2, 3],
        &[0x30, 2, 5, 0],
        &[0x30, 2, 0x82, 1],
    ] {
        assert_eq!(
            alternatives(bad),
            Err(CertError::Malformed("subjectAltName")),
            "{bad:?}"
        );
    }
}

/// A truncated or changed certificate is parsed or refused, and a parsed one can be displayed.
#[test]
fn no_bytes_make_it_panic() {
    let (der, _) = certificate(|params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
        params.subject_alt_names = Vec::from([SanType::DnsName("localhost".try_into().unwrap())]);
    });
    for length in 0..der.len() {
        assert!(Certificate::from_der(&der[..length]).is_err());
    }
    let mut read = 0;
    for at in 0..der.len() {
        for value in [
            0x00,
            0x01,
            0x30,
            0x7f,
            0x80,
            0x84,
            0xa0,
            0xff,
            der[at] ^ 1,
            der[at].wrapping_add(1),
        ] {
            let mut changed = der.clone();
            changed[at] = value;
            if let Ok(certificate) = Certificate::from_der(&changed) {
                read += 1;
                let shown = format!("{certificate:?} {} {:#}", certificate.subject, certificate.not_after);
                assert!(!shown.contains(['\n', '\u{1b}']));
                assert!(certificate.alternatives().count() <= 1);
            }
        }
    }
    assert!(read > 100, "{read}");
}
