//! Signature schemes, and signing with the private keys of [`super::key`].

use p256::ecdsa::signature::RandomizedSigner as _;
use rand_core::CryptoRng;

use super::CryptoError;
use super::key::SigningKey;

/// The longest signature of any [`SignatureScheme`], in bytes.
pub const MAX_SIGNATURE: usize = 72;

/// A signature, as it stands in CertificateVerify.
pub type Signature = heapless::Vec<u8, MAX_SIGNATURE>;

/// A signature scheme (RFC 8446 §4.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignatureScheme {
    /// `ecdsa_secp256r1_sha256`.
    EcdsaSecp256r1Sha256,
}

impl SignatureScheme {
    /// The IANA number.
    pub const fn id(self) -> u16 {
        match self {
            Self::EcdsaSecp256r1Sha256 => 0x0403,
        }
    }

    /// The IANA name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EcdsaSecp256r1Sha256 => "ecdsa_secp256r1_sha256",
        }
    }
}

impl core::fmt::Display for SignatureScheme {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

impl SigningKey {
    /// The schemes that this key can sign TLS 1.3 handshakes with, the best first.
    pub fn schemes(&self) -> &'static [SignatureScheme] {
        match self {
            Self::EcdsaP256(_) => &[SignatureScheme::EcdsaSecp256r1Sha256],
        }
    }

    /// Signs `message`. ECDSA is hedged: its nonce is derived from key and message (RFC 6979) with `rng` mixed in
    /// (§3.6 there), so that neither a bad generator nor a fault that repeats a computation gives the key away.
    ///
    /// # Errors
    /// When `scheme` is none of [`SigningKey::schemes`].
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
