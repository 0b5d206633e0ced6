//! Signature schemes, and signing with the private keys of [`super::key`].

use p256::ecdsa::signature::RandomizedSigner as _;
use rand_core::CryptoRng;

use super::CryptoError;
use super::key::SigningKey;
use super::suite::Authentication;

/// The longest signature of any [`SignatureScheme`], in bytes.
pub const MAX_SIGNATURE: usize = 512;
/// A signature, as it stands in CertificateVerify.
pub type Signature = heapless::Vec<u8, MAX_SIGNATURE>;

/// A signature scheme (RFC 8446 §4.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// `ecdsa_secp256r1_sha256`.
    EcdsaSecp256r1Sha256,
}

impl SignatureScheme {
    /// All
    pub const ALL: [Self; 1] = [Self::EcdsaSecp256r1Sha256];
    /// From
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.id() == id)
    }
    /// The IANA number.
    pub const fn id(self) -> u16 {
        match self {
            Self::EcdsaSecp256r1Sha256 => 0x0403,
        }
    }
    /// 13
    pub const fn in_tls13(self) -> bool {
        true
    }
    /// The IANA name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaSecp256r1Sha256 => "ecdsa_secp256r1_sha256",
        }
    }
}

impl SigningKey {
    /// The schemes that this key can sign TLS 1.3 handshakes with, the best first.
    pub fn schemes(&self) -> &'static [SignatureScheme] {
        match self {
            Self::EcdsaP256(_) => &[SignatureScheme::EcdsaSecp256r1Sha256],
        }
    }
    /// A
    pub fn authentication(&self) -> Authentication {
        Authentication::Ecdsa
    }

    /// Signs
    pub fn sign(
        &self,
        scheme: SignatureScheme,
        message: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Signature, CryptoError> {
        match (self, scheme) {
            (Self::EcdsaP256(key), SignatureScheme::EcdsaSecp256r1Sha256) => {
                let signature: p256::ecdsa::DerSignature =
                    key.try_sign_with_rng(rng, message).map_err(|_| CryptoError)?;
                Signature::from_slice(signature.as_bytes()).map_err(|_| CryptoError)
            }
        }
    }
}
