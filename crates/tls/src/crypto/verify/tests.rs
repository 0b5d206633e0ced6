//! Signatures of the engine, OpenSSL and the RFCs, and wrong encodings.

use std::vec::Vec;

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData, SigningKey as _};

use super::super::key::SigningKey;
use super::super::suite::Authentication;
use super::*;
use crate::registry::ProtocolVersion;
use crate::support::{Dir, Rng, element, unhex};

const MESSAGE: &[u8] = b"a handshake";

fn p256_spki(point: &[u8]) -> Vec<u8> {
    let algorithm = unhex("3013 0607 2a8648ce3d0201 0608 2a8648ce3d030107");
    element(0x30, &[&algorithm, &element(3, &[&[0], point])])
}

fn p384_spki(point: &[u8]) -> Vec<u8> {
    let algorithm = unhex("3010 0607 2a8648ce3d0201 0605 2b81040022");
    element(0x30, &[&algorithm, &element(3, &[&[0], point])])
}

fn ed25519_spki(key: &[u8]) -> Vec<u8> {
    element(0x30, &[&unhex("3005 0603 2b6570"), &element(3, &[&[0], key])])
}

/// An INTEGER for a positive number.
fn integer(number: &[u8]) -> Vec<u8> {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let number = &number[zeros..];
    let sign: &[u8] = if number.first().is_none_or(|first| first & 0x80 != 0) {
        &[0]
    } else {
        &[]
    };
    element(2, &[sign, number])
}

fn ecdsa(r: &str, s: &str) -> Vec<u8> {
    element(0x30, &[&integer(&unhex(r)), &integer(&unhex(s))])
}

/// Every key that can be made without RSA, and its public half.
fn keys() -> Vec<(SigningKey, Vec<u8>)> {
    [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519]
        .into_iter()
        .map(|algorithm| {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let key = SigningKey::from_der("PRIVATE KEY", pair.serialized_der()).unwrap();
            (key, pair.subject_public_key_info())
        })
        .collect()
}

#[test]
fn schemes_have_their_iana_numbers() {
    let ids = SignatureScheme::ALL.map(|scheme| scheme.id());
    let rsa: &[u16] = if cfg!(feature = "rsa") {
        &[0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601]
    } else {
        &[]
    };
    assert_eq!(ids[..], [&[0x0403, 0x0807, 0x0503], rsa, &[0x0603]].concat());
    for scheme in SignatureScheme::ALL {
        assert_eq!(SignatureScheme::from_id(scheme.id()), Some(scheme));
        let tls12 = scheme.name().starts_with("rsa_pkcs1") || scheme == SignatureScheme::EcdsaSecp521r1Sha512;
        assert_eq!(scheme.in_tls13(), !tls12);
    }
    assert_eq!(SignatureScheme::from_id(0x0201), None);
}

#[test]
fn only_unchanged_signatures_verify() {
    for (key, spki) in keys() {
        assert_eq!(key.authentication(), Authentication::Ecdsa);
        let mut all = SignatureScheme::ALL.to_vec();
        all.retain(|scheme| !key.schemes(ProtocolVersion::TLS12).contains(scheme));
        for &scheme in key.schemes(ProtocolVersion::TLS12) {
            let signature = key.sign(scheme, MESSAGE, &mut Rng(1)).unwrap();
            let others = key
                .schemes(ProtocolVersion::TLS12)
                .iter()
                .filter(|other| **other != scheme);
            for other in others {
                assert!(
                    verify(*other, ProtocolVersion::TLS12, &spki, MESSAGE, &signature).is_err(),
                    "{other}"
                );
            }
            for version in [ProtocolVersion::TLS13, ProtocolVersion::TLS12] {
                if version.is_tls13() && !key.schemes(ProtocolVersion::TLS13).contains(&scheme) {
                    assert!(
                        verify(scheme, ProtocolVersion::TLS13, &spki, MESSAGE, &signature).is_err(),
                        "{scheme}"
                    );
                    continue;
                }
                verify(scheme, version, &spki, MESSAGE, &signature).unwrap();
                assert!(verify(scheme, version, &spki, b"another", &signature).is_err());
                assert!(verify(scheme, version, &spki, MESSAGE, &[]).is_err());
                assert!(verify(scheme, version, &spki, MESSAGE, &[&signature[..], &[0]].concat()).is_err());
                for at in 0..signature.len() {
                    let mut broken = signature.clone();
                    broken[at] ^= 1;
                    assert!(
                        verify(scheme, version, &spki, MESSAGE, &broken).is_err(),
                        "{scheme} {at}"
                    );
                }
                for wrong in &all {
                    assert!(verify(*wrong, version, &spki, MESSAGE, &signature).is_err(), "{wrong}");
                }
            }
            for (_, other) in keys() {
                assert!(verify(scheme, ProtocolVersion::TLS13, &other, MESSAGE, &signature).is_err());
            }
        }
        for wrong in all {
            assert!(key.sign(wrong, MESSAGE, &mut Rng(1)).is_err());
        }
    }
}

#[test]
fn ecdsa_is_hedged() {
    let (key, _) = &keys()[0];
    let sign = |seed| key.sign(SignatureScheme::EcdsaSecp256r1Sha256, MESSAGE, &mut Rng(seed));
    assert_eq!(sign(1), sign(1));
    assert_ne!(sign(1), sign(2));
}

#[test]
fn only_before_tls_13_may_hash_and_curve_differ() {
    let dir = Dir::new();
    dir.write("message", MESSAGE);
    for (curve, hash, scheme, right) in [
        ("P-256", "sha256", SignatureScheme::EcdsaSecp256r1Sha256, true),
        ("P-256", "sha384", SignatureScheme::EcdsaSecp384r1Sha384, false),
        ("P-384", "sha256", SignatureScheme::EcdsaSecp256r1Sha256, false),
        ("P-384", "sha384", SignatureScheme::EcdsaSecp384r1Sha384, true),
    ] {
        dir.openssl(&std::format!(
            "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out key.pem"
        ));
        dir.openssl("pkey -in key.pem -pubout -outform DER -out public.der");
        dir.openssl(&std::format!("dgst -{hash} -sign key.pem -out signature message"));
        let (spki, signature) = (dir.read("public.der"), dir.read("signature"));
        verify(scheme, ProtocolVersion::TLS12, &spki, MESSAGE, &signature).unwrap();
        assert_eq!(
            verify(scheme, ProtocolVersion::TLS13, &spki, MESSAGE, &signature).is_ok(),
            right
        );

        // The same for certificates, where algorithm and key are separate.
        let fitting = ALGORITHMS.iter().filter(|algorithm| {
            let key = &spki[spki.len() - if curve == "P-256" { 65 } else { 97 }..];
            algorithm.verify_signature(key, MESSAGE, &signature).is_ok()
        });
        assert_eq!(fitting.count(), 1);
    }
}

/// RFC 8032 §7.1, tests 1 to 3.
#[test]
fn ed25519_vectors() {
    for (public, message, signature) in [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let spki = ed25519_spki(&unhex(public));
        let (message, mut signature) = (unhex(message), unhex(signature));
        verify(
            SignatureScheme::Ed25519,
            ProtocolVersion::TLS13,
            &spki,
            &message,
            &signature,
        )
        .unwrap();

        // S + L instead of S (RFC 8032 §8.4).
        let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
        let mut carry = 0;
        for (digit, add) in signature[32..].iter_mut().zip(order) {
            carry += u16::from(*digit) + u16::from(add);
            *digit = carry as u8;
            carry >>= 8;
        }
        assert!(
            verify(
                SignatureScheme::Ed25519,
                ProtocolVersion::TLS13,
                &spki,
                &message,
                &signature
            )
            .is_err()
        );
    }
    // A key of small order would verify every message: R = 1, S = 0.
    let mut neutral = [0; 64];
    neutral[0] = 1;
    assert!(
        verify(
            SignatureScheme::Ed25519,
            ProtocolVersion::TLS13,
            &ed25519_spki(&neutral[..32]),
            b"any",
            &neutral
        )
        .is_err()
    );
}

/// RFC 6979 §A.2.5: P-256, message "sample", SHA-256 and SHA-384.
const P256_POINT: &str = "04 60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6
                             7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299";
const P256_R: &str = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716";
const P256_S: &str = "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8";

#[test]
fn ecdsa_vectors() {
    use SignatureScheme::*;
    let p256 = p256_spki(&unhex(P256_POINT));
    verify(
        EcdsaSecp256r1Sha256,
        ProtocolVersion::TLS13,
        &p256,
        b"sample",
        &ecdsa(P256_R, P256_S),
    )
    .unwrap();
    let sha384 = ecdsa(
        "0EAFEA039B20E9B42309FB1D89E213057CBF973DC0CFC8F129EDDDC800EF7719",
        "4861F0491E6998B9455193E34E7B0D284DDD7149A74B95B9261F13ABDE940954",
    );
    verify(EcdsaSecp384r1Sha384, ProtocolVersion::TLS12, &p256, b"sample", &sha384).unwrap();

    // RFC 6979 §A.2.6: P-384, SHA-384.
    let p384 = p384_spki(&unhex(
        "04 EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64DEF8F0EA9055866064A254515480BC13
            8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1288B231C3AE0D4FE7344FD2533264720",
    ));
    let signature = ecdsa(
        "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C81A648152E44ACF96E36DD1E80FABE46",
        "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94FA329C145786E679E7B82C71A38628AC8",
    );
    verify(
        EcdsaSecp384r1Sha384,
        ProtocolVersion::TLS13,
        &p384,
        b"sample",
        &signature,
    )
    .unwrap();
    assert!(verify(EcdsaSecp384r1Sha384, ProtocolVersion::TLS13, &p384, b"test", &signature).is_err());
}

#[test]
fn ecdsa_signatures_have_one_encoding() {
    let spki = p256_spki(&unhex(P256_POINT));
    let passes = |signature: &[u8]| {
        verify(
            SignatureScheme::EcdsaSecp256r1Sha256,
            ProtocolVersion::TLS13,
            &spki,
            b"sample",
            signature,
        )
        .is_ok()
    };
    let (r, s) = (integer(&unhex(P256_R)), integer(&unhex(P256_S)));
    let (raw_r, raw_s) = (unhex(P256_R), unhex(P256_S));
    let order = unhex("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
    assert!(passes(&element(0x30, &[&r, &s])));
    let zero: &[u8] = &[2, 1, 0];
    for (what, signature) in [
        ("r = 0", element(0x30, &[zero, &s])),
        ("s = 0", element(0x30, &[&r, zero])),
        ("both 0", element(0x30, &[zero, zero])),
        ("r = n", element(0x30, &[&integer(&order), &s])),
        ("s = n", element(0x30, &[&r, &integer(&order)])),
        ("r = 1, s = 1", element(0x30, &[&[2, 1, 1], &[2, 1, 1]])),
        ("empty integer", element(0x30, &[&[2, 0], &s])),
        ("negative r", element(0x30, &[&element(2, &[&raw_r]), &s])),
        ("negative s", element(0x30, &[&r, &element(2, &[&raw_s])])),
        ("padded r", element(0x30, &[&element(2, &[&[0, 0], &raw_r]), &s])),
        ("a third integer", element(0x30, &[&r, &s, zero])),
        ("one integer", element(0x30, &[&r])),
        ("trailing zero", [element(0x30, &[&r, &s]), Vec::from([0])].concat()),
        ("a set", element(0x31, &[&r, &s])),
        ("fixed width", [&raw_r[..], &raw_s].concat()),
        ("nothing", Vec::new()),
        (
            "long length",
            [&[0x30, 0x81, (r.len() + s.len()) as u8][..], &r, &s].concat(),
        ),
        ("indefinite length", [&[0x30, 0x80][..], &r, &s, &[0, 0]].concat()),
    ] {
        assert!(!passes(&signature), "{what}");
    }
}

#[test]
fn keys_are_read_strictly() {
    let signature = ecdsa(P256_R, P256_S);
    let passes = |spki: &[u8]| {
        verify(
            SignatureScheme::EcdsaSecp256r1Sha256,
            ProtocolVersion::TLS13,
            spki,
            b"sample",
            &signature,
        )
        .is_ok()
    };
    let point = unhex(P256_POINT);
    let good = p256_spki(&point);
    assert!(passes(&good));
    for cut in 0..good.len() {
        assert!(!passes(&good[..cut]));
    }
    assert!(!passes(&[&good[..], &[0]].concat()));
    assert!(!passes(&p384_spki(&point)));
    assert!(!passes(&ed25519_spki(&point[1..33])));
    let mut off_curve = point.clone();
    off_curve[64] ^= 1;
    for bad in [
        &off_curve[..],
        &point[1..],
        &[0],
        &[],
        &[&[6][..], &point[1..]].concat(),
    ] {
        assert!(!passes(&p256_spki(bad)));
    }
    // rsaEncryption around a point
    let algorithm = unhex("300d 0609 2a864886f70d010101 0500");
    assert!(!passes(&element(0x30, &[&algorithm, &element(3, &[&[0], &point])])));
}

#[test]
fn certificate_algorithms_are_all_there() {
    let rsa = if cfg!(feature = "rsa") { 9 } else { 0 };
    assert_eq!(ALGORITHMS.len(), 7 + rsa);
    let pair = KeyPair::generate().unwrap();
    let signature = pair.sign(MESSAGE).unwrap();
    let key = pair.public_key_raw();
    let good: Vec<_> = ALGORITHMS
        .iter()
        .filter(|algorithm| algorithm.verify_signature(key, MESSAGE, &signature).is_ok())
        .map(|algorithm| (algorithm.public_key_alg_id(), algorithm.signature_alg_id()))
        .collect();
    assert_eq!(good, [(alg_id::ECDSA_P256, alg_id::ECDSA_SHA256)]);
}

#[cfg(feature = "rsa")]
mod rsa {
    use super::*;
    use crate::support::rsa_key;

    #[test]
    fn signatures_interoperate_with_openssl() {
        let dir = Dir::new();
        dir.write("message", MESSAGE);
        for bits in [2048, 4096] {
            dir.write("key.der", rsa_key(bits));
            dir.openssl("pkey -inform DER -in key.der -out key.pem");
            dir.openssl("pkey -in key.pem -pubout -outform DER -out public.der");
            dir.openssl("pkey -in key.pem -pubout -out public.pem");
            let spki = dir.read("public.der");
            let key = SigningKey::from_der("PRIVATE KEY", rsa_key(bits)).unwrap();
            assert_eq!(
                (key.schemes(ProtocolVersion::TLS12).len(), key.authentication()),
                (6, Authentication::Rsa)
            );
            for &scheme in key.schemes(ProtocolVersion::TLS12) {
                let hash = scheme.name().rsplit('_').next().unwrap();
                let options = match scheme.in_tls13() {
                    true => std::format!("-{hash} -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest"),
                    false => std::format!("-{hash}"),
                };
                let ours = key.sign(scheme, MESSAGE, &mut Rng(7)).unwrap();
                assert_eq!(ours.len() * 8, bits);
                dir.write("ours", &ours);
                dir.openssl(&std::format!(
                    "dgst {options} -verify public.pem -signature ours message"
                ));

                dir.openssl(&std::format!("dgst {options} -sign key.pem -out theirs message"));
                for signature in [&ours[..], &dir.read("theirs")] {
                    verify(scheme, ProtocolVersion::TLS12, &spki, MESSAGE, signature).unwrap();
                    assert_eq!(
                        verify(scheme, ProtocolVersion::TLS13, &spki, MESSAGE, signature).is_ok(),
                        scheme.in_tls13()
                    );
                    assert!(verify(scheme, ProtocolVersion::TLS12, &spki, b"another", signature).is_err());
                    for at in [0, 1, signature.len() / 2, signature.len() - 1] {
                        let mut broken = signature.to_vec();
                        broken[at] ^= 1;
                        assert!(verify(scheme, ProtocolVersion::TLS12, &spki, MESSAGE, &broken).is_err());
                    }
                    assert!(verify(scheme, ProtocolVersion::TLS12, &spki, MESSAGE, &signature[1..]).is_err());
                    assert!(
                        verify(
                            scheme,
                            ProtocolVersion::TLS12,
                            &spki,
                            MESSAGE,
                            &[&[0][..], signature].concat()
                        )
                        .is_err()
                    );
                    for other in SignatureScheme::ALL.into_iter().filter(|other| *other != scheme) {
                        assert!(verify(other, ProtocolVersion::TLS12, &spki, MESSAGE, signature).is_err());
                    }
                }
            }
            assert!(key.sign(SignatureScheme::Ed25519, MESSAGE, &mut Rng(7)).is_err());
            // PSS is salted, PKCS#1 has one signature for a message.
            let sign = |scheme, seed| key.sign(scheme, MESSAGE, &mut Rng(seed)).unwrap();
            assert_ne!(
                sign(SignatureScheme::RsaPssRsaeSha256, 1),
                sign(SignatureScheme::RsaPssRsaeSha256, 2)
            );
            assert_eq!(
                sign(SignatureScheme::RsaPkcs1Sha256, 1),
                sign(SignatureScheme::RsaPkcs1Sha256, 2)
            );
        }
    }

    #[test]
    fn salt_of_another_length_and_keys_of_other_sizes_are_refused() {
        let dir = Dir::new();
        dir.write("message", MESSAGE);
        let verdict = |bits: usize, salt: &str| {
            dir.openssl(&std::format!("genrsa -out key.pem {bits}"));
            dir.openssl("pkey -in key.pem -pubout -outform DER -out public.der");
            dir.openssl(&std::format!(
                "dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:{salt} -sign key.pem -out s message"
            ));
            verify(
                SignatureScheme::RsaPssRsaeSha256,
                ProtocolVersion::TLS13,
                &dir.read("public.der"),
                MESSAGE,
                &dir.read("s"),
            )
        };
        assert!(verdict(2048, "digest").is_ok());
        assert!(verdict(2056, "digest").is_ok());
        for (bits, salt) in [
            (2048, "20"),
            (2048, "max"),
            (1024, "digest"),
            (2047, "digest"),
            (4104, "digest"),
        ] {
            assert!(verdict(bits, salt).is_err(), "{bits} {salt}");
        }
    }
}
