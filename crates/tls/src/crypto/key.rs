//! Private keys: parsing from DER and matching with certificates.

use core::fmt;

use der::Decode;
#[cfg(feature = "ed25519")]
use der::asn1::OctetStringRef;
#[cfg(feature = "request")]
use p256::elliptic_curve::Generate as _;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef};
#[cfg(feature = "request")]
use rand_core::CryptoRng;
use sec1::{EcParameters, EcPrivateKey};

/// The group secp256r1 (RFC 8422 §5.1.1).
pub(crate) const SECP256R1: u16 = 23;
/// The group secp384r1 (RFC 8422 §5.1.1).
pub(crate) const SECP384R1: u16 = 24;

/// id-ecPublicKey (RFC 5480 §2.1.1).
pub(crate) const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// secp256r1, that is, P-256 (RFC 5480 §2.1.1.1).
pub(crate) const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// secp384r1, that is, P-384 (RFC 5480 §2.1.1.1).
pub(crate) const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// id-Ed25519 (RFC 8410 §3).
pub(crate) const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// rsaEncryption (RFC 8017 §A.1).
pub(crate) const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The shortest accepted RSA modulus, in bits.
pub const MIN_RSA_BITS: usize = 2048;
/// The longest accepted RSA modulus, for which buffers are sized, in bits.
pub const MAX_RSA_BITS: usize = 4096;

/// Algorithms and curves that are known but not supported (RFC 8017 §A.1, RFC 4055 §1.2, RFC 8410 §3, RFC 5480 §2.1.1.1).
const UNSUPPORTED: [(ObjectIdentifier, &str); 8] = [
    (RSA, "RSA"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10"), "RSA-PSS"),
    (ObjectIdentifier::new_unwrap("1.3.101.113"), "Ed448"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), "P-521"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.10"), "secp256k1"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.1"), "DSA"),
    (P384, "P-384"),
    (ED25519, "Ed25519"),
];

/// A private key that can sign. The secret is wiped from memory on drop.
#[derive(Clone)]
pub enum SigningKey {
    /// ECDSA on P-256.
    EcdsaP256(p256::ecdsa::SigningKey),
    /// ECDSA on P-384.
    #[cfg(feature = "p384")]
    EcdsaP384(p384::ecdsa::SigningKey),
    /// Ed25519 (RFC 8032).
    #[cfg(feature = "ed25519")]
    Ed25519(ed25519_dalek::SigningKey),
    /// RSA of 2048 to 4096 bits. The only key that needs a heap. Its arithmetic is that of a release candidate
    /// (`rsa` 0.10.0-rc): constant-time exponentiation, blinded, and checked against faults before it is returned.
    #[cfg(feature = "rsa")]
    Rsa(rsa::RsaPrivateKey),
}

impl SigningKey {
    /// A new key: ECDSA on P-256 (FIPS 186-5 §A.2).
    #[cfg(feature = "request")]
    pub fn generate(rng: &mut dyn CryptoRng) -> Self {
        Self::EcdsaP256(p256::SecretKey::generate_from_rng(rng).into())
    }

    /// Reads a key from the DER inside a PEM block labelled `label`: `PRIVATE KEY` is PKCS#8 (RFC 5208, RFC 5958),
    /// `EC PRIVATE KEY` is SEC 1 (RFC 5915), `RSA PRIVATE KEY` is PKCS#1 (RFC 8017 §A.1.2). A public key inside must
    /// belong to the private one.
    pub fn from_der(label: &str, der: &[u8]) -> Result<Self, KeyError> {
        match label {
            "PRIVATE KEY" => Self::pkcs8(&PrivateKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?),
            "EC PRIVATE KEY" => Self::ec(der, None),
            "RSA PRIVATE KEY" => Self::rsa(der),
            "DSA PRIVATE KEY" => Err(KeyError::Unsupported("DSA")),
            "ENCRYPTED PRIVATE KEY" => Err(KeyError::Encrypted),
            _ => Err(KeyError::Label),
        }
    }

    fn pkcs8(info: &PrivateKeyInfoRef<'_>) -> Result<Self, KeyError> {
        let key = info.private_key.as_bytes();
        match info.algorithm.oid {
            EC_PUBLIC_KEY => {
                let curve = info.algorithm.parameters_oid();
                Self::ec(key, Some(curve.map_err(|_| KeyError::Unsupported(EXPLICIT_CURVE))?))
            }
            #[cfg(feature = "ed25519")]
            ED25519 if info.algorithm.parameters.is_none() => {
                Self::ed25519(key, info.public_key.map(|public| public.as_bytes()))
            }
            #[cfg(feature = "ed25519")]
            ED25519 => Err(KeyError::Malformed),
            // RFC 8017 §A.1 requires NULL; some omit it.
            RSA if info.algorithm.parameters.is_none_or(|any| any.is_null()) => Self::rsa(key),
            RSA => Err(KeyError::Malformed),
            other => Err(unsupported(other, "this algorithm")),
        }
    }

    /// Reads an `ECPrivateKey` (RFC 5915 §3). `curve` is the one in the PKCS#8 around it; the inner one must agree.
    fn ec(der: &[u8], curve: Option<ObjectIdentifier>) -> Result<Self, KeyError> {
        let key = EcPrivateKey::from_der(der).map_err(|_| KeyError::Malformed)?;
        let inner = key.parameters.and_then(EcParameters::named_curve);
        let oid = match (curve, inner) {
            (Some(outer), Some(inner)) if outer != inner => return Err(KeyError::Malformed),
            (Some(oid), _) | (None, Some(oid)) => oid,
            (None, None) => return Err(KeyError::Malformed),
        };
        match oid {
            P256 => {
                let secret = p256::SecretKey::try_from(key).map_err(|_| KeyError::Invalid)?;
                Ok(Self::EcdsaP256(secret.into()))
            }
            #[cfg(feature = "p384")]
            P384 => {
                let secret = p384::SecretKey::try_from(key).map_err(|_| KeyError::Invalid)?;
                Ok(Self::EcdsaP384(secret.into()))
            }
            other => Err(unsupported(other, "this elliptic curve")),
        }
    }

    /// Reads a `CurvePrivateKey` (RFC 8410 §7); `public` is the public key beside it, if there is one.
    #[cfg(feature = "ed25519")]
    fn ed25519(key: &[u8], public: Option<Option<&[u8]>>) -> Result<Self, KeyError> {
        let seed = <&OctetStringRef>::from_der(key).map_err(|_| KeyError::Malformed)?;
        let seed = seed.as_bytes().try_into().map_err(|_| KeyError::Malformed)?;
        let key = ed25519_dalek::SigningKey::from_bytes(seed);
        match public {
            Some(public) if public != Some(key.verifying_key().as_bytes()) => Err(KeyError::Invalid),
            _ => Ok(Self::Ed25519(key)),
        }
    }

    /// Reads an `RSAPrivateKey` (RFC 8017 §A.1.2) of two primes.
    #[cfg(feature = "rsa")]
    fn rsa(der: &[u8]) -> Result<Self, KeyError> {
        use rsa::pkcs1::{RsaPrivateKey, UintRef, Version};
        let key = RsaPrivateKey::<UintRef<'_>>::from_der(der).map_err(|_| KeyError::Malformed)?;
        if key.version() != Version::TwoPrime {
            return Err(KeyError::Unsupported("multi-prime RSA"));
        }
        let bits = bit_length(key.modulus.as_bytes());
        if !(MIN_RSA_BITS..=MAX_RSA_BITS).contains(&bits) {
            return Err(KeyError::RsaSize(bits));
        }
        let key = rsa::RsaPrivateKey::try_from(key).map_err(|_| KeyError::Invalid)?;
        Ok(Self::Rsa(key))
    }

    #[cfg(not(feature = "rsa"))]
    fn rsa(_: &[u8]) -> Result<Self, KeyError> {
        Err(KeyError::Unsupported("RSA"))
    }

    /// The type of the key: `ECDSA P-256`.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::EcdsaP256(_) => "ECDSA P-256",
            #[cfg(feature = "p384")]
            Self::EcdsaP384(_) => "ECDSA P-384",
            #[cfg(feature = "ed25519")]
            Self::Ed25519(_) => "Ed25519",
            #[cfg(feature = "rsa")]
            Self::Rsa(_) => "RSA",
        }
    }

    /// The curve of an ECDSA key, as the IANA number of the group (RFC 8422 §5.1.1).
    pub const fn curve(&self) -> Option<u16> {
        match self {
            Self::EcdsaP256(_) => Some(SECP256R1),
            #[cfg(feature = "p384")]
            Self::EcdsaP384(_) => Some(SECP384R1),
            #[cfg(any(feature = "ed25519", feature = "rsa"))]
            _ => None,
        }
    }

    /// Whether `spki_der`, the SubjectPublicKeyInfo of a certificate (RFC 5280 §4.1.2.7), holds the public half of
    /// this key. Compressed points are accepted (RFC 5480 §2.2).
    pub fn public_key_matches(&self, spki_der: &[u8]) -> bool {
        let Ok(spki) = SubjectPublicKeyInfoRef::from_der(spki_der) else {
            return false;
        };
        let (oids, Some(theirs)) = (spki.algorithm.oids(), spki.subject_public_key.as_bytes()) else {
            return false;
        };
        match self {
            Self::EcdsaP256(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                oids == Ok((EC_PUBLIC_KEY, Some(P256)))
                    && p256::PublicKey::from_sec1_bytes(theirs).is_ok_and(|theirs| theirs.to_sec1_point(false) == point)
            }
            #[cfg(feature = "p384")]
            Self::EcdsaP384(key) => {
                let point = key.verifying_key().to_sec1_point(false);
                oids == Ok((EC_PUBLIC_KEY, Some(P384)))
                    && p384::PublicKey::from_sec1_bytes(theirs).is_ok_and(|theirs| theirs.to_sec1_point(false) == point)
            }
            #[cfg(feature = "ed25519")]
            Self::Ed25519(key) => oids == Ok((ED25519, None)) && theirs == key.verifying_key().as_bytes(),
            #[cfg(feature = "rsa")]
            Self::Rsa(key) => {
                use rsa::traits::PublicKeyParts as _;
                rsa::pkcs1::RsaPublicKey::<rsa::pkcs1::UintRef<'_>>::from_der(theirs).is_ok_and(|theirs| {
                    spki.algorithm.oid == RSA
                        && without_zeros(&key.n().to_be_bytes()) == without_zeros(theirs.modulus.as_bytes())
                        && without_zeros(&key.e().to_be_bytes()) == without_zeros(theirs.public_exponent.as_bytes())
                })
            }
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
    /// This algorithm or curve is not supported.
    Unsupported(&'static str),
    /// The key is encrypted with a passphrase.
    Encrypted,
    /// The PEM label is not a private key's.
    Label,
    /// The DER is malformed or inconsistent.
    Malformed,
    /// The number is not a private key of its curve, the public key does not match it, or the numbers of an RSA key are
    /// inconsistent.
    Invalid,
    /// The RSA modulus has this many bits: less than [`MIN_RSA_BITS`] or more than [`MAX_RSA_BITS`].
    RsaSize(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(name) if name.starts_with("this ") => write!(f, "keys of {name} are not supported yet"),
            Self::Unsupported(name) => write!(f, "{name} keys are not supported yet"),
            Self::Encrypted => f.write_str("the key is encrypted with a passphrase"),
            Self::Label => f.write_str("this is not a private key"),
            Self::Malformed => f.write_str("the DER of the key is malformed"),
            Self::Invalid => f.write_str("the key is not valid on its curve, or its public key does not match"),
            Self::RsaSize(bits) => {
                write!(
                    f,
                    "RSA keys of {bits} bits are not supported ({MIN_RSA_BITS} to {MAX_RSA_BITS} are)"
                )
            }
        }
    }
}

impl core::error::Error for KeyError {}

/// The number of bits of a big-endian number.
#[cfg(feature = "rsa")]
fn bit_length(number: &[u8]) -> usize {
    let number = without_zeros(number);
    let first = number.first().map_or(0, |first| first.leading_zeros() as usize);
    number.len().saturating_mul(8).saturating_sub(first)
}

/// The big-endian number without leading zeros.
#[cfg(feature = "rsa")]
fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// The name of a key with explicit curve parameters.
const EXPLICIT_CURVE: &str = "explicit-curve";

/// The error for `oid`, with its name if it is known.
fn unsupported(oid: ObjectIdentifier, otherwise: &'static str) -> KeyError {
    let known = UNSUPPORTED.iter().find(|(known, _)| *known == oid);
    KeyError::Unsupported(known.map_or(otherwise, |(_, name)| name))
}

#[cfg(all(test, feature = "default"))]
mod tests;
