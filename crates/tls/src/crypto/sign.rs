//! Signature schemes, and signing with the private keys of [`super::key`].

#[cfg(feature = "ed25519")]
use ed25519_dalek::Signer as _;
use p256::ecdsa::signature::hazmat::RandomizedPrehashSigner as _;
use rand_core::CryptoRng;

use super::CryptoError;
use super::hash::{HashAlgorithm, HashOutput};
use super::key::SigningKey;
use crate::registry::{NamedScheme, ProtocolVersion};

/// The longest signature of any [`SignatureScheme`], in bytes: RSA with 4096 bits.
pub const MAX_SIGNATURE: usize = 512;

/// A signature, encoded as in CertificateVerify.
pub type Signature = heapless::Vec<u8, MAX_SIGNATURE>;

/// The server's signature algorithm in a TLS 1.2 suite (RFC 8422 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// ECDSA or Ed25519.
    Ecdsa,
    /// RSA.
    #[cfg(feature = "rsa")]
    Rsa,
}

macro_rules! schemes {
    ($(
        $(#[cfg($cfg:meta)])?
        $(#[doc = $doc:literal])*
        $variant:ident = $id:literal $name:literal $authentication:ident, prehash: $prehash:expr, tls13: $tls13:expr;
    )*) => {
        super::algorithms! {
            /// A signature scheme (RFC 8446 §4.2.3).
            SignatureScheme {
                $($(#[cfg($cfg)])? $(#[doc = $doc])* $variant = $id $name;)*
            }
        }

        impl SignatureScheme {
            /// The TLS 1.2 suites that use such a signature (RFC 8422 §2, §5.10).
            pub const fn authentication(self) -> Authentication {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant => Authentication::$authentication,)*
                }
            }

            /// The hash that replaces the message, if any: a client's CertificateVerify of TLS 1.2 covers all earlier
            /// messages, of which these two hashes are always available, the messages only if they fit into a buffer.
            pub const fn prehash(self) -> Option<HashAlgorithm> {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant => $prehash,)*
                }
            }

            /// Whether CertificateVerify of TLS 1.3 may use it: PKCS#1 v1.5 is not allowed there (RFC 8446 §4.2.3),
            /// and P-521 is not supported.
            pub const fn in_tls13(self) -> bool {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant => $tls13,)*
                }
            }
        }
    };
}

schemes! {
    /// In TLS 1.2: ECDSA with SHA-256 on any curve.
    EcdsaSecp256r1Sha256 = 0x0403 "ecdsa_secp256r1_sha256" Ecdsa, prehash: Some(HashAlgorithm::Sha256), tls13: true;
    #[cfg(feature = "ed25519")]
    Ed25519 = 0x0807 "ed25519" Ecdsa, prehash: None, tls13: true;
    #[cfg(any(feature = "p384", feature = "tls12"))]
    /// In TLS 1.2: ECDSA with SHA-384 on any curve.
    EcdsaSecp384r1Sha384 = 0x0503 "ecdsa_secp384r1_sha384" Ecdsa, prehash: Some(HashAlgorithm::Sha384), tls13: cfg!(feature = "p384");
    #[cfg(feature = "rsa")]
    RsaPssRsaeSha256 = 0x0804 "rsa_pss_rsae_sha256" Rsa, prehash: Some(HashAlgorithm::Sha256), tls13: true;
    #[cfg(feature = "rsa")]
    RsaPssRsaeSha384 = 0x0805 "rsa_pss_rsae_sha384" Rsa, prehash: Some(HashAlgorithm::Sha384), tls13: true;
    #[cfg(feature = "rsa")]
    RsaPssRsaeSha512 = 0x0806 "rsa_pss_rsae_sha512" Rsa, prehash: None, tls13: true;
    #[cfg(feature = "rsa")]
    /// For TLS 1.2 and for certificates.
    RsaPkcs1Sha256 = 0x0401 "rsa_pkcs1_sha256" Rsa, prehash: Some(HashAlgorithm::Sha256), tls13: false;
    #[cfg(feature = "rsa")]
    /// For TLS 1.2 and for certificates.
    RsaPkcs1Sha384 = 0x0501 "rsa_pkcs1_sha384" Rsa, prehash: Some(HashAlgorithm::Sha384), tls13: false;
    #[cfg(feature = "rsa")]
    /// For TLS 1.2 and for certificates.
    RsaPkcs1Sha512 = 0x0601 "rsa_pkcs1_sha512" Rsa, prehash: None, tls13: false;
    #[cfg(feature = "tls12")]
    /// In TLS 1.2: ECDSA with SHA-512 on any curve (RFC 8422 §5.10). Not for TLS 1.3, where it names P-521.
    EcdsaSecp521r1Sha512 = 0x0603 "ecdsa_secp521r1_sha512" Ecdsa, prehash: None, tls13: false;
}

use SignatureScheme::*;

impl SignatureScheme {
    /// The IANA number, in its registry.
    pub const fn named(self) -> NamedScheme {
        NamedScheme(self.id())
    }

    /// Whether it may be offered if `highest` is the highest version. In TLS 1.3 PKCS#1 v1.5 is offered for certificates,
    /// but an ECDSA scheme implies support for its curve.
    pub const fn may_be_offered(self, highest: ProtocolVersion) -> bool {
        !highest.is_tls13() || self.in_tls13() || !matches!(self.authentication(), Authentication::Ecdsa)
    }
}

impl core::fmt::Display for SignatureScheme {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of signature schemes, held by value in errors.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SchemeSet([bool; SignatureScheme::ALL.len()]);

impl SchemeSet {
    /// The schemes of a list.
    pub fn of(schemes: impl IntoIterator<Item = SignatureScheme>) -> Self {
        let mut set = [false; SignatureScheme::ALL.len()];
        for scheme in schemes {
            for (listed, known) in set.iter_mut().zip(SignatureScheme::ALL) {
                *listed |= known == scheme;
            }
        }
        Self(set)
    }

    /// The schemes, in the default order of preference.
    pub fn iter(self) -> impl Iterator<Item = SignatureScheme> {
        let all = SignatureScheme::ALL.into_iter().zip(self.0);
        all.filter_map(|(scheme, listed)| listed.then_some(scheme))
    }
}

impl core::fmt::Debug for SchemeSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The names, separated by commas.
impl core::fmt::Display for SchemeSet {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for (place, scheme) in self.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            f.write_str(scheme.name())?;
        }
        Ok(())
    }
}

impl SigningKey {
    /// The schemes with which this key can sign handshakes, the best first. In TLS 1.3 an ECDSA scheme determines hash and
    /// curve (RFC 8446 §4.2.3), in TLS 1.2 only the hash (RFC 8422 §5.10).
    pub fn schemes(&self, version: ProtocolVersion) -> &'static [SignatureScheme] {
        match (self, version.is_tls13()) {
            #[cfg(feature = "tls12")]
            (Self::EcdsaP256(_), false) => &[EcdsaSecp256r1Sha256, EcdsaSecp384r1Sha384, EcdsaSecp521r1Sha512],
            (Self::EcdsaP256(_), _) => &[EcdsaSecp256r1Sha256],
            #[cfg(all(feature = "tls12", feature = "p384"))]
            (Self::EcdsaP384(_), false) => &[EcdsaSecp384r1Sha384, EcdsaSecp256r1Sha256, EcdsaSecp521r1Sha512],
            #[cfg(feature = "p384")]
            (Self::EcdsaP384(_), _) => &[EcdsaSecp384r1Sha384],
            #[cfg(feature = "ed25519")]
            (Self::Ed25519(_), _) => &[Ed25519],
            #[cfg(feature = "rsa")]
            (Self::Rsa(_), true) => &[RsaPssRsaeSha256, RsaPssRsaeSha384, RsaPssRsaeSha512],
            #[cfg(feature = "rsa")]
            (Self::Rsa(_), false) => &[
                RsaPssRsaeSha256,
                RsaPssRsaeSha384,
                RsaPssRsaeSha512,
                RsaPkcs1Sha256,
                RsaPkcs1Sha384,
                RsaPkcs1Sha512,
            ],
        }
    }

    /// The TLS 1.2 suites that use the key (RFC 8422 §2, §5.10).
    pub fn authentication(&self) -> Authentication {
        match self {
            #[cfg(feature = "rsa")]
            Self::Rsa(_) => Authentication::Rsa,
            _ => Authentication::Ecdsa,
        }
    }

    /// Signs `message`. ECDSA is hedged: its nonce is derived from key and message (RFC 6979) with `rng` mixed in
    /// (§3.6 there), so that neither a bad generator nor a fault that repeats a computation reveals the key.
    /// RSA takes salt and blinding from `rng`, and checks the result before it is returned; it needs a heap during the
    /// call. Ed25519 uses no randomness.
    ///
    /// # Errors
    /// If `scheme` is not in [`SigningKey::schemes`] for TLS 1.2, or an RSA computation failed.
    pub fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Signature, CryptoError> {
        match (self, scheme) {
            #[cfg(feature = "ed25519")]
            (Self::Ed25519(key), Ed25519) => {
                let signature = key.try_sign(message).map_err(|_| CryptoError)?;
                Signature::from_slice(&signature.to_bytes()).map_err(|_| CryptoError)
            }
            #[cfg(feature = "rsa")]
            (Self::Rsa(key), scheme) => super::rsa::sign(key, scheme, message, rng),
            #[cfg(feature = "tls12")]
            (_, EcdsaSecp521r1Sha512) => self.sign_hash(&<sha2::Sha512 as sha2::Digest>::digest(message), rng),
            _ => {
                let hash = scheme.prehash().ok_or(CryptoError)?;
                self.sign_prehashed(scheme, &hash.hash(message), rng)
            }
        }
    }

    /// As [`SigningKey::sign`], for the hash of a message: that of [`SignatureScheme::prehash`].
    ///
    /// # Errors
    /// Those of [`SigningKey::sign`], and if the scheme needs the message itself.
    pub fn sign_prehashed(
        &self,
        scheme: SignatureScheme,
        hash: &HashOutput,
        rng: &mut dyn CryptoRng,
    ) -> Result<Signature, CryptoError> {
        match (self, scheme) {
            #[cfg(feature = "rsa")]
            (Self::Rsa(key), scheme) => super::rsa::sign_prehashed(key, scheme, hash, rng),
            _ if scheme.authentication() == Authentication::Ecdsa && scheme.prehash().is_some() => {
                self.sign_hash(hash.as_ref(), rng)
            }
            _ => Err(CryptoError),
        }
    }

    /// Signs a hash with ECDSA: as many bits of it as the curve's order has (FIPS 186-5 §6.4.1).
    fn sign_hash(&self, hash: &[u8], rng: &mut dyn CryptoRng) -> Result<Signature, CryptoError> {
        match self {
            Self::EcdsaP256(key) => {
                let signature: p256::ecdsa::DerSignature =
                    key.sign_prehash_with_rng(rng, hash).map_err(|_| CryptoError)?;
                Signature::from_slice(signature.as_bytes()).map_err(|_| CryptoError)
            }
            #[cfg(feature = "p384")]
            Self::EcdsaP384(key) => {
                let signature: p384::ecdsa::DerSignature =
                    key.sign_prehash_with_rng(rng, hash).map_err(|_| CryptoError)?;
                Signature::from_slice(signature.as_bytes()).map_err(|_| CryptoError)
            }
            #[cfg(any(feature = "ed25519", feature = "rsa"))]
            _ => Err(CryptoError),
        }
    }
}

#[cfg(test)]
mod tests;
