//! Verification of signatures in handshakes and certificates.

use der::Decode as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use p256::pkcs8::SubjectPublicKeyInfoRef;
use rustls_pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest as _, Sha512};

use super::CryptoError;
use super::hash::{HashAlgorithm, HashOutput};
#[cfg(feature = "ed25519")]
use super::key::ED25519;
#[cfg(feature = "rsa")]
use super::key::RSA;
use super::key::{EC_PUBLIC_KEY, P256, P384, SECP256R1, SECP384R1};
#[cfg(feature = "rsa")]
use super::sign::Authentication;
use super::sign::SignatureScheme;
use crate::registry::ProtocolVersion;

/// Verifies the signature of a handshake. `spki` is the signer's SubjectPublicKeyInfo in DER (RFC 5280 §4.1.2.7).
///
/// In TLS 1.3 an ECDSA scheme determines hash and curve (RFC 8446 §4.2.3); in TLS 1.2 only the hash, and the curve may
/// be P-256 or P-384 (RFC 8422 §5.10). PKCS#1 v1.5 is refused in TLS 1.3.
///
/// # Errors
/// If the signature is wrong; if the key is malformed, does not fit the scheme, or is RSA of less than 2048 or more than
/// 4096 bits; if the scheme is not for this version; and if that kind of key is not compiled in.
pub fn verify(
    scheme: SignatureScheme,
    version: ProtocolVersion,
    spki: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), CryptoError> {
    let (check, key) = choose(scheme, version, spki)?;
    check.run(key, message, signature)
}

/// As [`verify`] in TLS 1.2, for the hash of a message: that of [`SignatureScheme::prehash`].
///
/// # Errors
/// Those of [`verify`], and if the scheme needs the message itself.
pub fn verify_prehashed(
    scheme: SignatureScheme,
    spki: &[u8],
    hash: &HashOutput,
    signature: &[u8],
) -> Result<(), CryptoError> {
    let expected = scheme.prehash().ok_or(CryptoError)?;
    if hash.as_ref().len() != expected.output_len() {
        return Err(CryptoError);
    }
    let (check, key) = choose(scheme, ProtocolVersion::TLS12, spki)?;
    check.run_prehashed(key, hash, signature)
}

/// Whether a scheme fits the type of the key in `spki`, as in [`verify`]; RSA's size is not checked.
pub fn fits(scheme: SignatureScheme, version: ProtocolVersion, spki: &[u8]) -> bool {
    choose(scheme, version, spki).is_ok()
}

/// The curve of the ECDSA key in `spki`, if it is one, as the IANA number of the group.
pub fn curve(spki: &[u8]) -> Option<u16> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki).ok()?;
    match spki.algorithm.oids().ok()? {
        (EC_PUBLIC_KEY, Some(P256)) => Some(SECP256R1),
        (EC_PUBLIC_KEY, Some(P384)) => Some(SECP384R1),
        _ => None,
    }
}

/// The check for a scheme and a key, and the content of subjectPublicKey.
fn choose(scheme: SignatureScheme, version: ProtocolVersion, spki: &[u8]) -> Result<(Check, &[u8]), CryptoError> {
    use SignatureScheme::*;
    let tls13 = version.is_tls13();
    let spki = SubjectPublicKeyInfoRef::from_der(spki).map_err(|_| CryptoError)?;
    let key = spki.subject_public_key.as_bytes().ok_or(CryptoError)?;
    let kind = match spki.algorithm.oid {
        EC_PUBLIC_KEY => match spki.algorithm.parameters_oid().map_err(|_| CryptoError)? {
            P256 => Key::P256,
            #[cfg(feature = "p384")]
            P384 => Key::P384,
            _ => return Err(CryptoError),
        },
        #[cfg(feature = "ed25519")]
        ED25519 if spki.algorithm.parameters.is_none() => Key::Ed25519,
        #[cfg(feature = "rsa")]
        RSA if spki.algorithm.parameters.is_some_and(|any| any.is_null()) => Key::Rsa,
        _ => return Err(CryptoError),
    };
    if tls13 && !scheme.in_tls13() {
        return Err(CryptoError);
    }
    let check = match (scheme, kind) {
        (EcdsaSecp256r1Sha256, Key::P256) => Check::P256(EcdsaHash::Sha256),
        #[cfg(feature = "tls12")]
        (EcdsaSecp384r1Sha384, Key::P256) if !tls13 => Check::P256(EcdsaHash::Sha384),
        #[cfg(feature = "tls12")]
        (EcdsaSecp521r1Sha512, Key::P256) => Check::P256(EcdsaHash::Sha512),
        #[cfg(feature = "p384")]
        (EcdsaSecp256r1Sha256, Key::P384) if !tls13 => Check::P384(EcdsaHash::Sha256),
        #[cfg(feature = "p384")]
        (EcdsaSecp384r1Sha384, Key::P384) => Check::P384(EcdsaHash::Sha384),
        #[cfg(all(feature = "tls12", feature = "p384"))]
        (EcdsaSecp521r1Sha512, Key::P384) => Check::P384(EcdsaHash::Sha512),
        #[cfg(feature = "ed25519")]
        (Ed25519, Key::Ed25519) => Check::Ed25519,
        #[cfg(feature = "rsa")]
        (rsa, Key::Rsa) if rsa.authentication() == Authentication::Rsa => Check::Rsa(rsa),
        #[allow(unreachable_patterns, reason = "with one scheme and one kind of key")]
        _ => return Err(CryptoError),
    };
    Ok((check, key))
}

/// The algorithms of signatures on certificates and revocation lists, for webpki, by feature.
pub static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[
    &Algorithm {
        check: Check::P256(EcdsaHash::Sha256),
        key: alg_id::ECDSA_P256,
        signature: alg_id::ECDSA_SHA256,
    },
    &Algorithm {
        check: Check::P256(EcdsaHash::Sha384),
        key: alg_id::ECDSA_P256,
        signature: alg_id::ECDSA_SHA384,
    },
    &Algorithm {
        check: Check::P256(EcdsaHash::Sha512),
        key: alg_id::ECDSA_P256,
        signature: alg_id::ECDSA_SHA512,
    },
    #[cfg(feature = "p384")]
    &Algorithm {
        check: Check::P384(EcdsaHash::Sha256),
        key: alg_id::ECDSA_P384,
        signature: alg_id::ECDSA_SHA256,
    },
    #[cfg(feature = "p384")]
    &Algorithm {
        check: Check::P384(EcdsaHash::Sha384),
        key: alg_id::ECDSA_P384,
        signature: alg_id::ECDSA_SHA384,
    },
    #[cfg(feature = "p384")]
    &Algorithm {
        check: Check::P384(EcdsaHash::Sha512),
        key: alg_id::ECDSA_P384,
        signature: alg_id::ECDSA_SHA512,
    },
    #[cfg(feature = "ed25519")]
    &Algorithm {
        check: Check::Ed25519,
        key: alg_id::ED25519,
        signature: alg_id::ED25519,
    },
    #[cfg(feature = "rsa")]
    &rsa(SignatureScheme::RsaPkcs1Sha256, alg_id::RSA_PKCS1_SHA256),
    #[cfg(feature = "rsa")]
    &rsa(SignatureScheme::RsaPkcs1Sha384, alg_id::RSA_PKCS1_SHA384),
    #[cfg(feature = "rsa")]
    &rsa(SignatureScheme::RsaPkcs1Sha512, alg_id::RSA_PKCS1_SHA512),
    // Absent parameters must be accepted too (RFC 4055 §5).
    #[cfg(feature = "rsa")]
    &rsa(
        SignatureScheme::RsaPkcs1Sha256,
        bare(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b"),
    ),
    #[cfg(feature = "rsa")]
    &rsa(
        SignatureScheme::RsaPkcs1Sha384,
        bare(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c"),
    ),
    #[cfg(feature = "rsa")]
    &rsa(
        SignatureScheme::RsaPkcs1Sha512,
        bare(b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d"),
    ),
    #[cfg(feature = "rsa")]
    &rsa(SignatureScheme::RsaPssRsaeSha256, alg_id::RSA_PSS_SHA256),
    #[cfg(feature = "rsa")]
    &rsa(SignatureScheme::RsaPssRsaeSha384, alg_id::RSA_PSS_SHA384),
    #[cfg(feature = "rsa")]
    &rsa(SignatureScheme::RsaPssRsaeSha512, alg_id::RSA_PSS_SHA512),
];

/// The type of the key in a SubjectPublicKeyInfo.
enum Key {
    P256,
    #[cfg(feature = "p384")]
    P384,
    #[cfg(feature = "ed25519")]
    Ed25519,
    #[cfg(feature = "rsa")]
    Rsa,
}

/// One way to verify a signature.
#[derive(Debug)]
enum Check {
    P256(EcdsaHash),
    #[cfg(feature = "p384")]
    P384(EcdsaHash),
    #[cfg(feature = "ed25519")]
    Ed25519,
    /// An RSA scheme.
    #[cfg(feature = "rsa")]
    Rsa(SignatureScheme),
}

/// The hash of an ECDSA signature.
#[derive(Debug, Clone, Copy)]
enum EcdsaHash {
    Sha256,
    Sha384,
    Sha512,
}

impl Check {
    /// `key` is the content of subjectPublicKey.
    fn run(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        match self {
            Self::P256(hash) => hash.of(message, |hash| verify_p256(key, hash, signature)),
            #[cfg(feature = "p384")]
            Self::P384(hash) => hash.of(message, |hash| verify_p384(key, hash, signature)),
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => verify_ed25519(key, message, signature),
            #[cfg(feature = "rsa")]
            Self::Rsa(scheme) => super::rsa::verify(key, *scheme, message, signature),
        }
    }

    /// As above, with the hash of the message.
    fn run_prehashed(&self, key: &[u8], hash: &HashOutput, signature: &[u8]) -> Result<(), CryptoError> {
        match self {
            Self::P256(_) => verify_p256(key, hash.as_ref(), signature),
            #[cfg(feature = "p384")]
            Self::P384(_) => verify_p384(key, hash.as_ref(), signature),
            #[cfg(feature = "ed25519")]
            Self::Ed25519 => Err(CryptoError),
            #[cfg(feature = "rsa")]
            Self::Rsa(scheme) => super::rsa::verify_prehashed(key, *scheme, hash, signature),
        }
    }
}

impl EcdsaHash {
    /// Calls `then` with the hash of `message`.
    fn of<R>(self, message: &[u8], then: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Sha256 => then(HashAlgorithm::Sha256.hash(message).as_ref()),
            Self::Sha384 => then(HashAlgorithm::Sha384.hash(message).as_ref()),
            Self::Sha512 => then(&Sha512::digest(message)),
        }
    }
}

// Each curve needs kilobytes of stack: separate functions keep their frames apart.

#[inline(never)]
fn verify_p256(key: &[u8], hash: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| CryptoError)?;
    let signature = p256::ecdsa::Signature::from_der(signature).map_err(|_| CryptoError)?;
    key.verify_prehash(hash, &signature).map_err(|_| CryptoError)
}

#[cfg(feature = "p384")]
#[inline(never)]
fn verify_p384(key: &[u8], hash: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    let key = p384::ecdsa::VerifyingKey::from_sec1_bytes(key).map_err(|_| CryptoError)?;
    let signature = p384::ecdsa::Signature::from_der(signature).map_err(|_| CryptoError)?;
    key.verify_prehash(hash, &signature).map_err(|_| CryptoError)
}

#[cfg(feature = "ed25519")]
#[inline(never)]
fn verify_ed25519(key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
    let key = key.try_into().map_err(|_| CryptoError)?;
    let key = ed25519_dalek::VerifyingKey::from_bytes(key).map_err(|_| CryptoError)?;
    let signature = ed25519_dalek::Signature::from_slice(signature).map_err(|_| CryptoError)?;
    // Strict: points of small order, which fit several messages, are refused (RFC 8032 §8.9 leaves it open).
    key.verify_strict(message, &signature).map_err(|_| CryptoError)
}

/// A [`Check`], and its identifiers in certificates.
#[derive(Debug)]
struct Algorithm {
    check: Check,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
}

/// The content of an AlgorithmIdentifier without parameters: the identifier alone.
#[cfg(feature = "rsa")]
const fn bare(oid: &'static [u8]) -> AlgorithmIdentifier {
    AlgorithmIdentifier::from_slice(oid)
}

#[cfg(feature = "rsa")]
const fn rsa(scheme: SignatureScheme, signature: AlgorithmIdentifier) -> Algorithm {
    Algorithm {
        check: Check::Rsa(scheme),
        key: alg_id::RSA_ENCRYPTION,
        signature,
    }
}

impl SignatureVerificationAlgorithm for Algorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        self.check.run(key, message, signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.key
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.signature
    }
}

#[cfg(all(test, feature = "default"))]
mod tests;
