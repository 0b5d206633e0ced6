use super::*;
use crate::support::{Script, unhex};

#[test]
fn secrets_are_wiped_when_dropped() {
    fn wiped<T: ZeroizeOnDrop>(value: T) -> T {
        value
    }
    for group in Group::ALL {
        let mut rng = Script((0..=255).cycle().take(1024).collect());
        let private = wiped(KeyPair::generate(group, &mut rng).0);
        let (public, shared) = group
            .respond(KeyPair(private).public_value().as_ref(), &mut rng)
            .unwrap();
        let _ = (public, wiped(shared));
    }
}

/// Answers `peer` with a prepared private key.
fn respond(group: Group, private: &str, peer: &str) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
    let (public, shared) = group.respond(&unhex(peer), &mut Script(unhex(private)))?;
    Ok((public.as_ref().to_vec(), shared.as_ref().to_vec()))
}

#[test]
fn x25519_rfc_7748_5_2() {
    for (scalar, point, product) in [
        (
            "a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
            "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
            "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552",
        ),
        (
            "4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
            "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
            "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957",
        ),
    ] {
        assert_eq!(respond(Group::X25519, scalar, point).unwrap().1, unhex(product));
    }
}

#[test]
fn x25519_rfc_7748_6_1() {
    let alice = "77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a";
    let alice_public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
    let bob = "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb";
    let bob_public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
    let shared = unhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(
        respond(Group::X25519, alice, bob_public),
        Ok((unhex(alice_public), shared.clone()))
    );
    assert_eq!(
        respond(Group::X25519, bob, alice_public),
        Ok((unhex(bob_public), shared))
    );
}

/// The points of small order (RFC 7748 §6.1, RFC 8446 §7.4.2), also with the bit set that is to be ignored.
#[test]
fn x25519_refuses_the_points_of_small_order() {
    for point in [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let mut point = unhex(point);
        for _ in 0..2 {
            let mut rng = Script(vec![0x55; 32]);
            assert_eq!(Group::X25519.respond(&point, &mut rng).err(), Some(CryptoError));
            point[31] |= 0x80;
        }
    }
}

const P256_I: &str = "c88f01f510d9ac3f70a292daa2316de544e9aab8afe84049c62a9c57862d1433";
const P256_GI: &str = "04dad0b65394221cf9b051e1feca5787d098dfe637fc90b9ef945d0c3772581180
    5271a0461cdb8252d61f1c456fa3e59ab1f45b33accf5f58389e0577b8990bb3";
const P256_R: &str = "c6ef9c5d78ae012a011164acb397ce2088685d8f06bf9be0b283ab46476bee53";
const P256_GR: &str = "04d12dfb5289c8d4f81208b70270398c342296970a0bccb74c736fc7554494bf63
    56fbf3ca366cc23e8157854c13c58d6aac23f046ada30f8353e74f33039872ab";
const P256_GIR: &str = "d6840f6b42f6edafd13116e0e12565202fef8e9ece7dce03812464d04b9442de";

#[test]
fn p256_rfc_5903_8_1() {
    let (public, shared) = respond(Group::Secp256r1, P256_R, P256_GI).unwrap();
    assert_eq!((public, shared), (unhex(P256_GR), unhex(P256_GIR)));
    let (public, shared) = respond(Group::Secp256r1, P256_I, P256_GR).unwrap();
    assert_eq!((public, shared), (unhex(P256_GI), unhex(P256_GIR)));
}

#[test]
fn p256_accepts_only_uncompressed_points_of_the_curve() {
    let point = unhex(P256_GI);
    let refused = |bytes: &[u8]| {
        let result = Group::Secp256r1.respond(bytes, &mut Script(unhex(P256_R)));
        assert_eq!(result.err(), Some(CryptoError), "{bytes:02x?}");
    };
    refused(&[]);
    refused(&[0]); // infinity
    refused(&[0; 65]);
    refused(&point[..64]);
    refused(&[&point[..], &[0]].concat());
    let odd = point[64] & 1;
    refused(&[&[2 + odd], &point[1..33]].concat()); // compressed
    refused(&[&[6 + odd], &point[1..]].concat()); // hybrid
    refused(&[&[4], &[0; 64][..]].concat());
    refused(&[&[4], &[0xff; 64][..]].concat()); // coordinates beyond the field
    for at in [1, 32, 33, 64] {
        let mut off_curve = point.clone();
        off_curve[at] ^= 1;
        refused(&off_curve);
    }
}

#[test]
fn x25519_takes_exactly_32_bytes() {
    for length in [0, 31, 33, 65] {
        let mut rng = Script(vec![9; 32]);
        assert_eq!(
            Group::X25519.respond(&vec![9; length], &mut rng).err(),
            Some(CryptoError)
        );
    }
}
