//! Signatures, verified as those of handshakes and of certificates.

use postern_tls::crypto::key::{KeyError, SigningKey};
use postern_tls::crypto::sign::SignatureScheme;
use postern_tls::crypto::verify;
use rustls_pki_types::{AlgorithmIdentifier, alg_id};

use crate::report::Outcome::{self, Accepted, ByRule, NotApplicable, Refused};
use crate::rng::Script;
use crate::vectors::Object;
use SignatureScheme::*;
use postern_tls::ProtocolVersion;

const HASH: Outcome = NotApplicable("hash that no signature scheme of the engine has (RFC 8446 §4.2.3)");

/// How a kind of signature is named: in handshakes, and in certificates.
struct Names {
    scheme: SignatureScheme,
    /// Whether the scheme is for TLS 1.3, and there for such a key.
    tls13: bool,
    key: AlgorithmIdentifier,
    signature: AlgorithmIdentifier,
}

pub fn ecdsa(group: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let public = group.object("publicKey");
    let (curve, sha) = (public.text("curve")?, group.text("sha")?);
    // RFC 8446 §4.2.3 names hash and curve, RFC 8422 §5.10 only the hash.
    let (scheme, signature, curve_of_tls13) = match sha {
        "SHA-256" => (EcdsaSecp256r1Sha256, alg_id::ECDSA_SHA256, "secp256r1"),
        "SHA-384" => (EcdsaSecp384r1Sha384, alg_id::ECDSA_SHA384, "secp384r1"),
        "SHA-512" => (EcdsaSecp521r1Sha512, alg_id::ECDSA_SHA512, "secp521r1"),
        _ => return Ok(HASH),
    };
    let key = match curve {
        "secp256r1" => alg_id::ECDSA_P256,
        "secp384r1" => alg_id::ECDSA_P384,
        other => return Err(format!("unknown curve {other}")),
    };
    let names = Names {
        scheme,
        tls13: curve == curve_of_tls13,
        key,
        signature,
    };
    let accepted = verify_all(&names, group, &public.bytes("uncompressed")?, vector)?;
    match group.text("type")? {
        "EcdsaP1363Verify" => {
            Outcome::must_refuse("ECDSA signature that is not DER: refused (RFC 8446 §4.2.3)", accepted)
        }
        _ => Ok(accepted.into()),
    }
}

pub fn ed25519(group: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let names = Names {
        scheme: Ed25519,
        tls13: true,
        key: alg_id::ED25519,
        signature: alg_id::ED25519,
    };
    let key = group.object("publicKey").bytes("pk")?;
    Ok(verify_all(&names, group, &key, vector)?.into())
}

pub fn rsa_pkcs1(group: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let Some((scheme, signature)) = pkcs1(group.text("sha")?) else {
        return Ok(HASH);
    };
    let names = Names {
        scheme,
        tls13: false,
        key: alg_id::RSA_ENCRYPTION,
        signature,
    };
    let accepted = verify_all(&names, group, &group.bytes("publicKeyAsn")?, vector)?;
    match group.number("keySize")? {
        2048..=4096 => Ok(accepted.into()),
        _ => Outcome::must_refuse("RSA key of more than 4096 bits: refused", accepted),
    }
}

pub fn rsa_pss(group: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let sha = group.text("sha")?;
    let (scheme, signature, hash_len) = match sha {
        "SHA-256" => (RsaPssRsaeSha256, alg_id::RSA_PSS_SHA256, 32),
        "SHA-384" => (RsaPssRsaeSha384, alg_id::RSA_PSS_SHA384, 48),
        "SHA-512" => (RsaPssRsaeSha512, alg_id::RSA_PSS_SHA512, 64),
        _ => return Ok(HASH),
    };
    let spki = group.bytes("publicKeyDer")?;
    let message = vector.bytes("msg")?;
    if group.text("type")? == "RsassaPssWithParametersVerify" {
        let sig = vector.bytes("sig")?;
        let accepted = [ProtocolVersion::TLS12, ProtocolVersion::TLS13]
            .into_iter()
            .any(|version| verify::verify(scheme, version, &spki, &message, &sig).is_ok());
        return Outcome::must_refuse(
            "key with id-RSASSA-PSS: refused, no scheme rsa_pss_pss (RFC 8446 §4.2.3)",
            accepted,
        );
    }
    let names = Names {
        scheme,
        tls13: true,
        key: alg_id::RSA_ENCRYPTION,
        signature,
    };
    let accepted = verify_all(&names, group, &group.bytes("publicKeyAsn")?, vector)?;
    if group.text("mgf")? != "MGF1" || group.text("mgfSha")? != sha {
        return Outcome::must_refuse("mask generation with another hash: refused (RFC 8446 §4.2.3)", accepted);
    }
    let salt_len = group.number("sLen")?;
    if salt_len != hash_len && vector.text("comment")? == format!("s_len changed to {hash_len}") {
        return match accepted {
            true => Ok(ByRule(
                "salt changed to the length of the hash: accepted (RFC 8446 §4.2.3)",
            )),
            false => Err("refused: salt as long as the hash".into()),
        };
    }
    if salt_len != hash_len {
        return Outcome::must_refuse("salt not as long as the hash: refused (RFC 8446 §4.2.3)", accepted);
    }
    Ok(accepted.into())
}

pub fn rsa_sign(group: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let Some((scheme, _)) = pkcs1(group.text("sha")?) else {
        return Ok(HASH);
    };
    let key = match SigningKey::from_der("PRIVATE KEY", &group.bytes("privateKeyPkcs8")?) {
        Ok(key) => key,
        Err(KeyError::RsaSize(_)) => return Outcome::must_refuse("RSA key of less than 2048 bits: refused", false),
        Err(_) => return Ok(Refused),
    };
    match key.sign(scheme, &vector.bytes("msg")?, &mut Script::new(&[])) {
        Ok(signature) if *signature == *vector.bytes("sig")? => Ok(Accepted),
        Ok(_) => Err("another signature".into()),
        Err(_) => Ok(Refused),
    }
}

fn pkcs1(sha: &str) -> Option<(SignatureScheme, AlgorithmIdentifier)> {
    match sha {
        "SHA-256" => Some((RsaPkcs1Sha256, alg_id::RSA_PKCS1_SHA256)),
        "SHA-384" => Some((RsaPkcs1Sha384, alg_id::RSA_PKCS1_SHA384)),
        "SHA-512" => Some((RsaPkcs1Sha512, alg_id::RSA_PKCS1_SHA512)),
        _ => None,
    }
}

/// Whether the signature is accepted. `key` is the content of subjectPublicKey. All ways have to agree: the handshake of
/// TLS 1.2, that of TLS 1.3 if the scheme is for it, the hash of the message, and a certificate.
fn verify_all(names: &Names, group: Object<'_>, key: &[u8], vector: Object<'_>) -> Result<bool, String> {
    let spki = group.bytes("publicKeyDer")?;
    let (message, signature) = (vector.bytes("msg")?, vector.bytes("sig")?);
    let handshake = |version| verify::verify(names.scheme, version, &spki, &message, &signature).is_ok();
    let (accepted, accepted13) = (handshake(ProtocolVersion::TLS12), handshake(ProtocolVersion::TLS13));
    if accepted13 != (accepted && names.tls13) {
        return Err(format!("accepted in TLS 1.2: {accepted}; in TLS 1.3: {accepted13}"));
    }
    if let Some(hash) = names.scheme.prehash() {
        let hash = hash.hash(&message);
        if verify::verify_prehashed(names.scheme, &spki, &hash, &signature).is_ok() != accepted {
            return Err(format!("accepted with the message: {accepted}; not so with its hash"));
        }
    }
    let algorithm = verify::ALGORITHMS
        .iter()
        .find(|known| known.public_key_alg_id() == names.key && known.signature_alg_id() == names.signature)
        .ok_or("no such algorithm for certificates")?;
    if algorithm.verify_signature(key, &message, &signature).is_ok() != accepted {
        return Err(format!("accepted in handshakes: {accepted}; not so in certificates"));
    }
    Ok(accepted)
}
