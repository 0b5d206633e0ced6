//! The cipher suites, by their IANA numbers.

use super::aead::AeadAlgorithm;
use super::hash::HashAlgorithm;
pub use super::sign::Authentication;
use crate::registry::{NamedSuite, ProtocolVersion};

macro_rules! suites {
    ($(
        $(#[cfg($cfg:meta)])?
        $variant:ident = $id:literal $name:literal $aead:ident $hash:ident $authentication:expr;
    )*) => {
        super::algorithms! {
            /// A cipher suite of TLS 1.3 (RFC 8446 §B.4) or of TLS 1.2 (RFC 5289, RFC 7905): with forward secrecy and an
            /// AEAD, every one. TLS 1.3 comes first.
            CipherSuite {
                $($(#[cfg($cfg)])? $variant = $id $name;)*
            }
        }

        impl CipherSuite {
            /// The hash of the transcript and of the key schedule.
            pub const fn hash(self) -> HashAlgorithm {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant => HashAlgorithm::$hash,)*
                }
            }

            /// The AEAD of the records.
            pub const fn aead(self) -> AeadAlgorithm {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant => AeadAlgorithm::$aead,)*
                }
            }

            /// The server's signature algorithm in a TLS 1.2 suite; `None` for a suite of TLS 1.3.
            pub const fn authentication(self) -> Option<Authentication> {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant => $authentication,)*
                }
            }
        }
    };
}

suites! {
    Aes128GcmSha256 = 0x1301 "TLS_AES_128_GCM_SHA256" Aes128Gcm Sha256 None;
    Aes256GcmSha384 = 0x1302 "TLS_AES_256_GCM_SHA384" Aes256Gcm Sha384 None;
    #[cfg(feature = "chacha")]
    ChaCha20Poly1305Sha256 = 0x1303 "TLS_CHACHA20_POLY1305_SHA256" ChaCha20Poly1305 Sha256 None;
    #[cfg(feature = "tls12")]
    EcdheEcdsaAes128GcmSha256 = 0xc02b "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" Aes128Gcm Sha256
        Some(Authentication::Ecdsa);
    #[cfg(feature = "tls12")]
    EcdheEcdsaAes256GcmSha384 = 0xc02c "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" Aes256Gcm Sha384
        Some(Authentication::Ecdsa);
    #[cfg(all(feature = "tls12", feature = "chacha"))]
    EcdheEcdsaChaCha20Poly1305Sha256 = 0xcca9 "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" ChaCha20Poly1305 Sha256
        Some(Authentication::Ecdsa);
    #[cfg(all(feature = "tls12", feature = "rsa"))]
    EcdheRsaAes128GcmSha256 = 0xc02f "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" Aes128Gcm Sha256
        Some(Authentication::Rsa);
    #[cfg(all(feature = "tls12", feature = "rsa"))]
    EcdheRsaAes256GcmSha384 = 0xc030 "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" Aes256Gcm Sha384
        Some(Authentication::Rsa);
    #[cfg(all(feature = "tls12", feature = "rsa", feature = "chacha"))]
    EcdheRsaChaCha20Poly1305Sha256 = 0xcca8 "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" ChaCha20Poly1305 Sha256
        Some(Authentication::Rsa);
}

/// How many of the suites are for TLS 1.3.
const TLS13_SUITES: usize = 2 + cfg!(feature = "chacha") as usize;

impl CipherSuite {
    /// The IANA number, in its registry.
    pub const fn named(self) -> NamedSuite {
        NamedSuite(self.id())
    }

    /// The suites of TLS 1.3, in the default order of preference.
    pub const TLS13: [Self; TLS13_SUITES] = *Self::ALL.first_chunk().unwrap();

    /// The suites of TLS 1.2, in the default order of preference.
    #[cfg(feature = "tls12")]
    pub const TLS12: [Self; Self::ALL.len() - TLS13_SUITES] = *Self::ALL.last_chunk().unwrap();

    /// The protocol version of the suite.
    pub const fn version(self) -> ProtocolVersion {
        match self.authentication() {
            None => ProtocolVersion::TLS13,
            Some(_) => ProtocolVersion::TLS12,
        }
    }
}

impl core::fmt::Display for CipherSuite {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}
