//! The primitive of each vector file, and why other files do not apply.

use crate::report::Outcome;
use crate::vectors::Object;
use crate::{aead, kx, mac, signature};

/// Runs one vector of a group. An error is a failure: a wrong value, or two ways in the engine that differ.
pub type Run = fn(group: Object<'_>, vector: Object<'_>) -> Result<Outcome, String>;

/// A primitive of the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Primitive {
    AesGcm,
    ChaCha20Poly1305,
    X25519,
    Ecdh,
    MlKem768,
    Hmac,
    Hkdf,
    Ecdsa,
    Ed25519,
    RsaPkcs1,
    RsaPss,
    RsaSigning,
    /// None.
    Other,
}

impl Primitive {
    pub const ALL: [Self; 13] = [
        Self::AesGcm,
        Self::ChaCha20Poly1305,
        Self::X25519,
        Self::Ecdh,
        Self::MlKem768,
        Self::Hmac,
        Self::Hkdf,
        Self::Ecdsa,
        Self::Ed25519,
        Self::RsaPkcs1,
        Self::RsaPss,
        Self::RsaSigning,
        Self::Other,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::AesGcm => "AES-GCM",
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
            Self::X25519 => "X25519",
            Self::Ecdh => "ECDH on P-256 and P-384",
            Self::MlKem768 => "ML-KEM-768",
            Self::Hmac => "HMAC",
            Self::Hkdf => "HKDF",
            Self::Ecdsa => "ECDSA, verification",
            Self::Ed25519 => "Ed25519, verification",
            Self::RsaPkcs1 => "RSA PKCS#1 v1.5, verification",
            Self::RsaPss => "RSA-PSS, verification",
            Self::RsaSigning => "RSA PKCS#1 v1.5, signing",
            Self::Other => "Other files",
        }
    }
}

/// What to do with a file.
#[derive(Clone, Copy)]
pub enum Plan {
    Run(Run),
    NotApplicable(&'static str),
}

use Plan::{NotApplicable, Run as Vectors};
use Primitive::*;

const BARE: &str = "keys in SubjectPublicKeyInfo, PEM or JWK: key shares are bare values (RFC 8446 §4.2.8.2)";
const CURVE: &str = "curve that the engine does not have";
const HASH: &str = "hash that no cipher suite of the engine has";
const RSA_ENCRYPTION: &str = "RSA encryption: the engine has no RSA key exchange";
const ALGORITHM: &str = "algorithm that the engine does not have";

/// The plans by file name, without `_test.json`. `*` stands for anything; the first match counts.
const PLANS: &[(&str, Primitive, Plan)] = &[
    ("aes_gcm", AesGcm, Vectors(aead::aes_gcm)),
    ("chacha20_poly1305", ChaCha20Poly1305, Vectors(aead::chacha20_poly1305)),
    ("x25519", X25519, Vectors(kx::x25519)),
    ("x25519_*", X25519, NotApplicable(BARE)),
    ("ecdh_secp256r1", Ecdh, Vectors(kx::ecdh)),
    ("ecdh_secp256r1_ecpoint", Ecdh, Vectors(kx::ecdh)),
    ("ecdh_secp384r1", Ecdh, Vectors(kx::ecdh)),
    ("ecdh_secp384r1_ecpoint", Ecdh, Vectors(kx::ecdh)),
    ("ecdh_secp256r1_*", Ecdh, NotApplicable(BARE)),
    ("ecdh_secp384r1_*", Ecdh, NotApplicable(BARE)),
    ("ecdh_*", Other, NotApplicable(CURVE)),
    ("mlkem_768", MlKem768, Vectors(kx::decapsulate)),
    ("mlkem_768_encaps", MlKem768, Vectors(kx::encapsulate)),
    ("mlkem_768_keygen_seed", MlKem768, Vectors(kx::generate)),
    (
        "mlkem_768_semi_expanded_decaps",
        MlKem768,
        NotApplicable("expanded decapsulation keys: the engine keeps seeds"),
    ),
    (
        "mlkem_*",
        Other,
        NotApplicable("ML-KEM-512 and 1024: the engine has no such group"),
    ),
    ("hmac_sha256", Hmac, Vectors(mac::hmac_sha256)),
    ("hmac_sha384", Hmac, Vectors(mac::hmac_sha384)),
    ("hmac_*", Other, NotApplicable(HASH)),
    ("hkdf_sha256", Hkdf, Vectors(mac::hkdf_sha256)),
    ("hkdf_sha384", Hkdf, Vectors(mac::hkdf_sha384)),
    ("hkdf_*", Other, NotApplicable(HASH)),
    ("ecdsa_secp256r1_*", Ecdsa, Vectors(signature::ecdsa)),
    ("ecdsa_secp384r1_*", Ecdsa, Vectors(signature::ecdsa)),
    ("ecdsa_*", Other, NotApplicable(CURVE)),
    ("ed25519", Ed25519, Vectors(signature::ed25519)),
    ("rsa_signature_*", RsaPkcs1, Vectors(signature::rsa_pkcs1)),
    ("rsa_pss_*", RsaPss, Vectors(signature::rsa_pss)),
    ("rsa_pkcs1_*_sig_gen", RsaSigning, Vectors(signature::rsa_sign)),
    ("rsa_pkcs1_*", Other, NotApplicable(RSA_ENCRYPTION)),
    ("rsa_oaep_*", Other, NotApplicable(RSA_ENCRYPTION)),
    ("rsa_three_primes_oaep_*", Other, NotApplicable(RSA_ENCRYPTION)),
    ("ec_prime_order_curves", Other, NotApplicable(CURVE)),
    ("ed448", Other, NotApplicable(CURVE)),
    ("x448*", Other, NotApplicable(CURVE)),
    ("a128cbc_hs256", Other, NotApplicable(ALGORITHM)),
    ("a192cbc_hs384", Other, NotApplicable(ALGORITHM)),
    ("a256cbc_hs512", Other, NotApplicable(ALGORITHM)),
    ("aead_aes_siv_cmac", Other, NotApplicable(ALGORITHM)),
    ("aegis*", Other, NotApplicable(ALGORITHM)),
    ("aes_*", Other, NotApplicable(ALGORITHM)),
    ("aria_*", Other, NotApplicable(ALGORITHM)),
    ("ascon*", Other, NotApplicable(ALGORITHM)),
    ("bls_*", Other, NotApplicable(ALGORITHM)),
    ("c2sp_chunked_encryption_*", Other, NotApplicable(ALGORITHM)),
    ("camellia_*", Other, NotApplicable(ALGORITHM)),
    ("dsa_*", Other, NotApplicable(ALGORITHM)),
    ("json_web_*", Other, NotApplicable(ALGORITHM)),
    ("kmac*", Other, NotApplicable(ALGORITHM)),
    ("mldsa_*", Other, NotApplicable(ALGORITHM)),
    ("morus*", Other, NotApplicable(ALGORITHM)),
    ("pbes2_*", Other, NotApplicable(ALGORITHM)),
    ("pbkdf2_*", Other, NotApplicable(ALGORITHM)),
    ("primality", Other, NotApplicable(ALGORITHM)),
    ("seed_*", Other, NotApplicable(ALGORITHM)),
    ("siphash*", Other, NotApplicable(ALGORITHM)),
    ("sm4_*", Other, NotApplicable(ALGORITHM)),
    ("vmac_*", Other, NotApplicable(ALGORITHM)),
    ("xchacha20_poly1305", Other, NotApplicable(ALGORITHM)),
];

/// The primitive of a file, and what to do with it. A file that has no plan is one to decide about.
pub fn plan(file: &str) -> Option<(Primitive, Plan)> {
    let (_, primitive, plan) = PLANS.iter().find(|(pattern, ..)| matches(pattern, file))?;
    Some((*primitive, *plan))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, end)) => name
            .strip_prefix(start)
            .is_some_and(|rest| end.is_empty() || rest.ends_with(end)),
    }
}
