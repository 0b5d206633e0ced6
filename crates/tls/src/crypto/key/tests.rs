use std::format;
use std::vec::Vec;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData};

use super::*;
use crate::support::element;

fn oid(oid: &ObjectIdentifier) -> Vec<u8> {
    element(6, &[oid.as_bytes()])
}

/// A SEC 1 key with the number `secret`, and what may stand behind it.
fn sec1(secret: &[u8; 32], curve: Option<&ObjectIdentifier>, point: Option<&[u8]>) -> Vec<u8> {
    let curve = curve.map(|curve| element(0xa0, &[&oid(curve)])).unwrap_or_default();
    let point = point
        .map(|point| element(0xa1, &[&element(3, &[&[0], point])]))
        .unwrap_or_default();
    element(0x30, &[&[2, 1, 1], &element(4, &[secret]), &curve, &point])
}

fn pkcs8(algorithm: &ObjectIdentifier, parameter: &[u8], key: &[u8]) -> Vec<u8> {
    element(
        0x30,
        &[
            &[2, 1, 0],
            &element(0x30, &[&oid(algorithm), parameter]),
            &element(4, &[key]),
        ],
    )
}

fn error(label: &str, der: &[u8]) -> KeyError {
    SigningKey::from_der(label, der).unwrap_err()
}

#[test]
fn a_generated_key_matches_only_its_public_key() {
    let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let key = SigningKey::from_der("PRIVATE KEY", one.serialized_der()).unwrap();
    assert!(key.public_key_matches(&one.subject_public_key_info()));
    assert!(!key.public_key_matches(&other.subject_public_key_info()));
    assert!(!key.public_key_matches(&KeyPair::generate_for(&PKCS_ED25519).unwrap().subject_public_key_info()));
    assert!(!key.public_key_matches(&[]));
    assert_eq!(format!("{key:?}"), "SigningKey(ECDSA P-256)");
    assert!(one.is_compatible(&PKCS_ECDSA_P256_SHA256));
}

#[test]
fn sec1_and_pkcs8_give_the_same_key() {
    let secret = [7; 32];
    let public = p256::SecretKey::from_slice(&secret).unwrap().public_key();
    let (point, short) = (public.to_sec1_point(false), public.to_sec1_point(true));
    let spki = |point: &[u8]| {
        element(
            0x30,
            &[
                &element(0x30, &[&oid(&EC_PUBLIC_KEY), &oid(&P256)]),
                &element(3, &[&[0], point]),
            ],
        )
    };
    for (label, der) in [
        ("EC PRIVATE KEY", sec1(&secret, Some(&P256), None)),
        ("EC PRIVATE KEY", sec1(&secret, Some(&P256), Some(point.as_bytes()))),
        (
            "PRIVATE KEY",
            pkcs8(&EC_PUBLIC_KEY, &oid(&P256), &sec1(&secret, None, None)),
        ),
        (
            "PRIVATE KEY",
            pkcs8(
                &EC_PUBLIC_KEY,
                &oid(&P256),
                &sec1(&secret, Some(&P256), Some(point.as_bytes())),
            ),
        ),
    ] {
        let key = SigningKey::from_der(label, &der).unwrap();
        assert!(key.public_key_matches(&spki(point.as_bytes())));
        assert!(key.public_key_matches(&spki(short.as_bytes())));
        assert!(matches!(&key, SigningKey::EcdsaP256(key) if key.to_bytes().as_slice() == secret));
        for cut in 0..der.len() {
            assert_eq!(error(label, &der[..cut]), KeyError::Malformed, "{cut}");
        }
        assert_eq!(error(label, &[&der[..], &[0]].concat()), KeyError::Malformed);
    }
}

#[test]
fn every_key_type_is_parsed() {
    for (kind, pair) in [
        ("ECDSA P-256", KeyPair::generate().unwrap()),
        ("ECDSA P-384", KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap()),
        ("Ed25519", KeyPair::generate_for(&PKCS_ED25519).unwrap()),
    ] {
        let key = SigningKey::from_der("PRIVATE KEY", pair.serialized_der()).unwrap();
        assert_eq!(key.algorithm(), kind);
        assert!(key.public_key_matches(&pair.subject_public_key_info()));
        let other = KeyPair::generate_for(pair.algorithm()).unwrap();
        assert!(!key.public_key_matches(&other.subject_public_key_info()));
    }
    let tools = crate::support::Dir::new();
    for (kind, options) in [
        ("ECDSA P-384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384"),
        ("Ed25519", "-algorithm ED25519"),
    ] {
        tools.openssl(&format!("genpkey {options} -out key.pem"));
        tools.openssl("pkcs8 -topk8 -nocrypt -in key.pem -outform DER -out key.der");
        tools.openssl("pkey -inform DER -in key.der -pubout -outform DER -out public.der");
        let key = SigningKey::from_der("PRIVATE KEY", &tools.read("key.der")).unwrap();
        assert_eq!(key.algorithm(), kind);
        assert!(key.public_key_matches(&tools.read("public.der")));
    }
    tools.openssl("ecparam -genkey -noout -name secp384r1 -outform DER -out sec1.der");
    let key = SigningKey::from_der("EC PRIVATE KEY", &tools.read("sec1.der")).unwrap();
    assert_eq!(key.algorithm(), "ECDSA P-384");
}

#[test]
fn ed25519_keys_are_read_strictly() {
    // RFC 8410 §10.3: the seed alone, and with the public key.
    let seed = [0x5a; 32];
    let public = ed25519_dalek::SigningKey::from_bytes(&seed).verifying_key();
    let v2 = |public: &[u8]| {
        let algorithm = element(0x30, &[&oid(&ED25519)]);
        let seed = element(4, &[&element(4, &[&seed])]);
        element(0x30, &[&[2, 1, 1], &algorithm, &seed, &element(0x81, &[&[0], public])])
    };
    let label = "PRIVATE KEY";
    assert!(SigningKey::from_der(label, &pkcs8(&ED25519, &[], &element(4, &[&seed]))).is_ok());
    assert!(SigningKey::from_der(label, &v2(public.as_bytes())).is_ok());
    assert_eq!(error(label, &v2(&[7; 32])), KeyError::Invalid);
    assert_eq!(
        error(label, &pkcs8(&ED25519, &[5, 0], &element(4, &[&seed]))),
        KeyError::Malformed
    );
    for inner in [&seed[..], &element(4, &[&seed[1..]]), &[]] {
        assert_eq!(error(label, &pkcs8(&ED25519, &[], inner)), KeyError::Malformed);
    }
}

#[cfg(feature = "rsa")]
#[test]
fn rsa_keys_of_supported_sizes_are_parsed() {
    use crate::support::{Dir, rsa_key};
    let dir = Dir::new();
    for bits in [2048, 4096] {
        let pkcs8 = rsa_key(bits);
        dir.write("key.der", pkcs8);
        dir.openssl("rsa -inform DER -in key.der -traditional -outform DER -out pkcs1.der");
        dir.openssl("rsa -inform DER -in key.der -pubout -outform DER -out public.der");
        for (label, der) in [
            ("PRIVATE KEY", pkcs8.to_vec()),
            ("RSA PRIVATE KEY", dir.read("pkcs1.der")),
        ] {
            let key = SigningKey::from_der(label, &der).unwrap();
            assert_eq!(format!("{key:?}"), "SigningKey(RSA)");
            assert!(key.public_key_matches(&dir.read("public.der")));
            assert!(!key.public_key_matches(&KeyPair::generate().unwrap().subject_public_key_info()));
            for cut in [0, 1, 20, der.len() / 2, der.len() - 1] {
                assert_eq!(error(label, &der[..cut]), KeyError::Malformed);
            }
            let mut broken = der.clone();
            broken[der.len() / 4] ^= 4;
            assert_eq!(error(label, &broken), KeyError::Invalid);
        }
    }
    for bits in [1024, 2040, 4104] {
        dir.openssl(&format!("genrsa -traditional -out key.pem {bits}"));
        dir.openssl("rsa -in key.pem -traditional -outform DER -out key.der");
        let refusal = error("RSA PRIVATE KEY", &dir.read("key.der"));
        assert_eq!(refusal, KeyError::RsaSize(bits));
        assert_eq!(
            format!("{refusal}"),
            format!("RSA keys of {bits} bits are not supported (2048 to 4096 are)")
        );
    }
    dir.openssl("genrsa -primes 3 -traditional -out key.pem 2048");
    dir.openssl("rsa -in key.pem -traditional -outform DER -out key.der");
    assert_eq!(
        error("RSA PRIVATE KEY", &dir.read("key.der")),
        KeyError::Unsupported("multi-prime RSA")
    );
}

#[test]
fn unsupported_keys_are_named() {
    let null = [5, 0];
    for (name, der) in [
        ("RSA-PSS", pkcs8(&UNSUPPORTED[1].0, &[], &[0x30, 0])),
        ("Ed448", pkcs8(&UNSUPPORTED[2].0, &[], &[4, 0])),
        (
            "P-521",
            pkcs8(&EC_PUBLIC_KEY, &oid(&UNSUPPORTED[3].0), &sec1(&[1; 32], None, None)),
        ),
        ("this algorithm", pkcs8(&P256, &null, &[0x30, 0])),
        (
            "this elliptic curve",
            pkcs8(&EC_PUBLIC_KEY, &oid(&EC_PUBLIC_KEY), &sec1(&[1; 32], None, None)),
        ),
        (
            "explicit-curve",
            pkcs8(&EC_PUBLIC_KEY, &[0x30, 0], &sec1(&[1; 32], None, None)),
        ),
    ] {
        assert_eq!(error("PRIVATE KEY", &der), KeyError::Unsupported(name));
    }
    #[cfg(not(feature = "rsa"))]
    {
        assert_eq!(error("RSA PRIVATE KEY", &[]), KeyError::Unsupported("RSA"));
        let der = pkcs8(&UNSUPPORTED[0].0, &null, &[0x30, 0]);
        assert_eq!(error("PRIVATE KEY", &der), KeyError::Unsupported("RSA"));
    }
    assert_eq!(
        error("EC PRIVATE KEY", &sec1(&[1; 32], Some(&UNSUPPORTED[3].0), None)),
        KeyError::Unsupported("P-521")
    );
    assert_eq!(error("DSA PRIVATE KEY", &[]), KeyError::Unsupported("DSA"));
    assert_eq!(error("ENCRYPTED PRIVATE KEY", &[]), KeyError::Encrypted);
    assert_eq!(error("PUBLIC KEY", &[]), KeyError::Label);
    assert_eq!(
        format!("{}", KeyError::Unsupported("this elliptic curve")),
        "keys of this elliptic curve are not supported yet"
    );
    assert_eq!(
        format!("{}", KeyError::Unsupported("RSA")),
        "RSA keys are not supported yet"
    );
}

#[test]
fn inconsistent_and_invalid_keys_are_refused() {
    let label = "EC PRIVATE KEY";
    assert_eq!(error(label, &sec1(&[0; 32], Some(&P256), None)), KeyError::Invalid);
    assert_eq!(error(label, &sec1(&[0xff; 32], Some(&P256), None)), KeyError::Invalid);
    assert_eq!(error(label, &sec1(&[7; 32], None, None)), KeyError::Malformed);
    let other = p256::SecretKey::from_slice(&[8; 32])
        .unwrap()
        .public_key()
        .to_sec1_point(false);
    assert_eq!(
        error(label, &sec1(&[7; 32], Some(&P256), Some(other.as_bytes()))),
        KeyError::Invalid
    );
    let inner = sec1(&[7; 32], Some(&P384), None);
    assert_eq!(
        error("PRIVATE KEY", &pkcs8(&EC_PUBLIC_KEY, &oid(&P256), &inner)),
        KeyError::Malformed
    );
}
