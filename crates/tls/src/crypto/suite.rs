//! The cipher suites, by their IANA numbers.

use super::aead::AeadAlgorithm;
use super::hash::HashAlgorithm;
pub use super::sign::Authentication;
use crate::registry::ProtocolVersion;

macro_rules! suites {
    ($($variant:ident = $id:literal $name:literal $aead:ident $hash:ident $authentication:expr;)*) => {
        /// A cipher suite of TLS 1.3 (RFC 8446 §B.4) or of TLS 1.2 (RFC 5289, RFC 7905): with forward secrecy and an
        /// AEAD, every one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum CipherSuite {
            $(
                #[doc = concat!("`", $name, "`.")]
                $variant,
            )*
        }

        impl CipherSuite {
            /// The suite with an IANA number.
            pub const fn from_id(id: u16) -> Option<Self> {
                match id {
                    $($id => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The IANA number.
            pub const fn id(self) -> u16 {
                match self {
                    $(Self::$variant => $id,)*
                }
            }

            /// The IANA name.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The hash of the transcript and of the key schedule.
            pub const fn hash(self) -> HashAlgorithm {
                match self {
                    $(Self::$variant => HashAlgorithm::$hash,)*
                }
            }

            /// The AEAD of the records.
            pub const fn aead(self) -> AeadAlgorithm {
                match self {
                    $(Self::$variant => AeadAlgorithm::$aead,)*
                }
            }

            /// What a TLS 1.2 suite says of the server's signature; `None` for a suite of TLS 1.3.
            pub const fn authentication(self) -> Option<Authentication> {
                match self {
                    $(Self::$variant => $authentication,)*
                }
            }
        }
    };
}

suites! {
    Aes128GcmSha256 = 0x1301 "TLS_AES_128_GCM_SHA256" Aes128Gcm Sha256 None;
    Aes256GcmSha384 = 0x1302 "TLS_AES_256_GCM_SHA384" Aes256Gcm Sha384 None;
    ChaCha20Poly1305Sha256 = 0x1303 "TLS_CHACHA20_POLY1305_SHA256" ChaCha20Poly1305 Sha256 None;
    EcdheEcdsaAes128GcmSha256 = 0xc02b "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256" Aes128Gcm Sha256
        Some(Authentication::Ecdsa);
    EcdheEcdsaAes256GcmSha384 = 0xc02c "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384" Aes256Gcm Sha384
        Some(Authentication::Ecdsa);
    EcdheEcdsaChaCha20Poly1305Sha256 = 0xcca9 "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256" ChaCha20Poly1305 Sha256
        Some(Authentication::Ecdsa);
    EcdheRsaAes128GcmSha256 = 0xc02f "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256" Aes128Gcm Sha256
        Some(Authentication::Rsa);
    EcdheRsaAes256GcmSha384 = 0xc030 "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384" Aes256Gcm Sha384
        Some(Authentication::Rsa);
    EcdheRsaChaCha20Poly1305Sha256 = 0xcca8 "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256" ChaCha20Poly1305 Sha256
        Some(Authentication::Rsa);
}

impl CipherSuite {
    /// Those of TLS 1.3, in the order that a side without another wish prefers.
    pub const TLS13: [CipherSuite; 3] = [
        Self::Aes128GcmSha256,
        Self::Aes256GcmSha384,
        Self::ChaCha20Poly1305Sha256,
    ];

    /// Those of TLS 1.2, likewise.
    pub const TLS12: [CipherSuite; 6] = [
        Self::EcdheEcdsaAes128GcmSha256,
        Self::EcdheEcdsaAes256GcmSha384,
        Self::EcdheEcdsaChaCha20Poly1305Sha256,
        Self::EcdheRsaAes128GcmSha256,
        Self::EcdheRsaAes256GcmSha384,
        Self::EcdheRsaChaCha20Poly1305Sha256,
    ];

    /// All of them: TLS 1.3 first.
    pub const ALL: [CipherSuite; 9] = [
        Self::Aes128GcmSha256,
        Self::Aes256GcmSha384,
        Self::ChaCha20Poly1305Sha256,
        Self::EcdheEcdsaAes128GcmSha256,
        Self::EcdheEcdsaAes256GcmSha384,
        Self::EcdheEcdsaChaCha20Poly1305Sha256,
        Self::EcdheRsaAes128GcmSha256,
        Self::EcdheRsaAes256GcmSha384,
        Self::EcdheRsaChaCha20Poly1305Sha256,
    ];

    /// The version that the suite is for.
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
