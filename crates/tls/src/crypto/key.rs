//! Private keys: parsing from DER and matching with certificates.

use core::fmt;

use der::Decode;
#[cfg(feature = "ed25519")]
use der::asn1::OctetStringRef;
use p256::elliptic_curve::sec1::ToSec1Point;
use p256::pkcs8::{ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef};
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
#[allow(clippy::large_enum_variant)] // a server has one or two
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
}
