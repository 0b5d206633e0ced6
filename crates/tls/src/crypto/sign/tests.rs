use p256::ecdsa::signature::Verifier as _;

use super::*;
use crate::support::{Script, unhex};

/// The key of RFC 6979 §A.2.5.
fn key() -> (SigningKey, p256::ecdsa::VerifyingKey) {
    let private = unhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721");
    let public = unhex(
        "04 60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6
         7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299",
    );
    (
        SigningKey::EcdsaP256(p256::ecdsa::SigningKey::from_slice(&private).unwrap()),
        p256::ecdsa::VerifyingKey::from_sec1_bytes(&public).unwrap(),
    )
}

#[test]
fn the_verifier_accepts_rfc_6979_a_2_5() {
    let signature = unhex(
        "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716
         f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8",
    );
    let signature = p256::ecdsa::Signature::from_slice(&signature).unwrap();
    key().1.verify(b"sample", &signature).unwrap();
    key().1.verify(b"simple", &signature).unwrap_err();
}

#[test]
fn signatures_verify_are_hedged_and_fit() {
    let (private, public) = key();
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..64 {
        let mut rng = Script(vec![seed; 64]);
        let scheme = EcdsaSecp256r1Sha256;
        let signature = private.sign(scheme, b"sample", &mut rng).unwrap();
        assert!(signature.len() <= MAX_SIGNATURE);
        let der = p256::ecdsa::DerSignature::try_from(&signature[..]).unwrap();
        public.verify(b"sample", &der).unwrap();
        public.verify(b"sampl", &der).unwrap_err();
        assert!(seen.insert(signature), "the generator has no part in the nonce");
    }
}
