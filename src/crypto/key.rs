//! Private keys: read from DER, matched against certificates.

use core::fmt;

use der::Decode;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef};
use sec1::{EcParameters, EcPrivateKey};

/// id-ecPublicKey (RFC 5480 §2.1.1).
const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1, that is P-256 (RFC 5480 §2.1.1.1).
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");

/// Algorithms and curves that have a name here but no code yet (RFC 8017 A.1, RFC 8410 §3, RFC 5480 §2.1.1.1).
const UNSUPPORTED: [(ObjectIdentifier, &str); 8] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1"), "RSA"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"), "RSA-PSS"),
    (ObjectIdentifier::new_unwrap("1.3.101.112"), "Ed25519"),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), "P-384"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "secp256k1"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), "DSA"),
];

/// A private key that can sign. The secret is wiped from memory on drop.
pub enum SigningKey {
    /// ECDSA on P-256.
    EcdsaP256(p256::ecdsa::SigningKey),
}

impl SigningKey {
    /// Reads a key from the DER inside a PEM block labelled `label`: `PRIVATE KEY` is PKCS#8 (RFC 5208, RFC 5958),
    /// `EC PRIVATE KEY` is SEC 1 (RFC 5915). A public key inside must belong to the private one.
    pub fn from_der(label: &str, der: &[u8]) -> Result<Self, KeyError> {
        match label {
            "PRIVATE KEY" => {
                let info = PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
                if info.algorithm.oid != EC_PUBLIC_KEY {
                    return Err(unsupported(info.algorithm.oid, "this algorithm"));
                }
                let curve = info
                    .algorithm
                    .parameters_oid()
                    .map_err(|_| KeyError::Unsupported(EXPLICIT_CURVE))?;
                Self::ec(info.private_key.as_bytes(), Some(curve))
            }
            "EC PRIVATE KEY" => Self::ec(der, None),
            "RSA PRIVATE KEY" => Err(KeyError::Unsupported("RSA")),
            "DSA PRIVATE KEY" => Err(KeyError::Unsupported("DSA")),
            "ENCRYPTED PRIVATE KEY" => Err(KeyError::Encrypted),
            _ => Err(KeyError::Label),
        }
    }

    /// Reads an `ECPrivateKey` (RFC 5915 §3). `curve` is what the PKCS#8 around it says; what is inside must agree.
    fn ec(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<Self, KeyError> {
        let key = EcPrivateKey::from_der(der).map_err(|_| KeyError::Malformed)?;
        let inner = key.parameters.and_then(EcParameters::named_curve);
        let oid = match (curve, inner) {
            (Some(outer), Some(inner)) if outer != inner => return Err(KeyError::Malformed),
            (Some(oid), _) | (None, Some(oid)) => oid,
            (None, None) => return Err(KeyError::Malformed),
        };
        if oid != P256 {
            return Err(unsupported(oid, "this elliptic curve"));
        }
        let secret = p256::SecretKey::try_from(key).map_err(|_| KeyError::Invalid)?;
        Ok(Self::EcdsaP256(secret.into()))
    }

    /// The kind of key: `ECDSA P-256`.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::EcdsaP256(_) => "ECDSA P-256",
        }
    }

    /// Whether `spki_der`, the SubjectPublicKeyInfo of a certificate (RFC 5280 §4.1.2.7), holds the public half of
    /// this key. Compressed points count as well (RFC 5480 §2.2).
    pub fn public_key_matches(&self, spki_der: &[u8]) -> bool {
        let Ok(spki) = SubjectPublicKeyInfoRef::from_der(spki_der) else {
            return false;
        };
        match self {
            Self::EcdsaP256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                spki.algorithm.oids() == Ok((EC_PUBLIC_KEY, Some(P256)))
                    && spki
                        .subject_public_key
                        .as_bytes()
                        .and_then(|theirs| p256::PublicKey::from_sec1_bytes(theirs).ok())
                        .is_some_and(|theirs| theirs.to_sec1_point(false) == point)
            }
        }
    }

    /// The key as RustCrypto's type, if it is ECDSA on P-256.
    #[allow(dead_code)] // the build script reads keys but signs nothing
    pub(crate) fn as_ecdsa_p256(&self) -> Option<&p256::ecdsa::SigningKey> {
        match self {
            Self::EcdsaP256(key) => Some(key),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.algorithm())
    }
}

/// Why a private key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// The algorithm or curve named here is known but cannot be used yet.
    Unsupported(&'static str),
    /// The key is encrypted with a passphrase, and there is nobody to type it.
    Encrypted,
    /// The PEM label is not that of a private key.
    Label,
    /// The DER is broken, or contradicts itself.
    Malformed,
    /// The number is not a private key of its curve, or the public key beside it is that of another.
    Invalid,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(name) => write!(f, "{name} keys are not supported yet"),
            Self::Encrypted => f.write_str("the key is encrypted with a passphrase"),
            Self::Label => f.write_str("this is not a private key"),
            Self::Malformed => f.write_str("the DER of the key is broken"),
            Self::Invalid => f.write_str("the key is not valid on its curve, or its public half is that of another"),
        }
    }
}

impl core::error::Error for KeyError {}

/// What a key with spelled-out curve parameters is called.
const EXPLICIT_CURVE: &str = "explicit elliptic curve";

/// The error for `oid`, by name where it has one.
fn unsupported(oid: ObjectIdentifier, otherwise: &'static str) -> KeyError {
    let known = UNSUPPORTED.iter().find(|(known, _)| *known == oid);
    KeyError::Unsupported(known.map_or(otherwise, |(_, name)| name))
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::vec::Vec;

    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData};

    use super::*;

    /// A DER element.
    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = match content.len() {
            length @ ..0x80 => Vec::from([length as u8]),
            length @ ..0x100 => Vec::from([0x81, length as u8]),
            length => Vec::from([0x82, (length >> 8) as u8, length as u8]),
        };
        [&[tag][..], &length, &content].concat()
    }

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
    fn a_generated_key_matches_its_public_key_and_no_other() {
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
            assert_eq!(key.as_ecdsa_p256().unwrap().to_bytes().as_slice(), secret);
            for cut in 0..der.len() {
                assert_eq!(error(label, &der[..cut]), KeyError::Malformed, "{cut}");
            }
            assert_eq!(error(label, &[&der[..], &[0]].concat()), KeyError::Malformed);
        }
    }

    #[test]
    fn what_is_not_supported_is_named() {
        let null = [5, 0];
        for (name, der) in [
            ("RSA", pkcs8(&UNSUPPORTED[0].0, &null, &[0x30, 0])),
            ("RSA-PSS", pkcs8(&UNSUPPORTED[1].0, &[], &[0x30, 0])),
            ("Ed25519", KeyPair::generate_for(&PKCS_ED25519).unwrap().serialize_der()),
            (
                "P-384",
                KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap().serialize_der(),
            ),
            (
                "P-521",
                pkcs8(&EC_PUBLIC_KEY, &oid(&UNSUPPORTED[5].0), &sec1(&[1; 32], None, None)),
            ),
            ("this algorithm", pkcs8(&P256, &null, &[0x30, 0])),
            (
                "this elliptic curve",
                pkcs8(&EC_PUBLIC_KEY, &oid(&EC_PUBLIC_KEY), &sec1(&[1; 32], None, None)),
            ),
            (
                "explicit elliptic curve",
                pkcs8(&EC_PUBLIC_KEY, &[0x30, 0], &sec1(&[1; 32], None, None)),
            ),
        ] {
            assert_eq!(error("PRIVATE KEY", &der), KeyError::Unsupported(name));
        }
        assert_eq!(error("RSA PRIVATE KEY", &[]), KeyError::Unsupported("RSA"));
        assert_eq!(
            error("EC PRIVATE KEY", &sec1(&[1; 32], Some(&UNSUPPORTED[4].0), None)),
            KeyError::Unsupported("P-384")
        );
        assert_eq!(error("ENCRYPTED PRIVATE KEY", &[]), KeyError::Encrypted);
        assert_eq!(error("PUBLIC KEY", &[]), KeyError::Label);
        assert_eq!(
            format!("{}", KeyError::Unsupported("RSA")),
            "RSA keys are not supported yet"
        );
    }

    #[test]
    fn contradictions_and_bad_numbers_are_refused() {
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
        let inner = sec1(&[7; 32], Some(&UNSUPPORTED[4].0), None);
        assert_eq!(
            error("PRIVATE KEY", &pkcs8(&EC_PUBLIC_KEY, &oid(&P256), &inner)),
            KeyError::Malformed
        );
    }
}
