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

/// Algorithms and curves that have a name here but no code yet (RFC 8017 A.1, RFC 4055 §1.2, RFC 8410 §3, RFC 5480 §2.1.1.1).
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
