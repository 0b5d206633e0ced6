//! Suites, groups and signature schemes on RustCrypto's algorithms.
//!
//! The rest of the engine uses algorithms through the enumerations of this module, never a crate directly. Everything is
//! chosen at run time, stored inline, and wiped when dropped; only RSA allocates (feature `rsa`).

/// Defines the enumeration of the supported numbers of a registry, some of them by feature.
macro_rules! algorithms {
    (
        $(#[doc = $head:literal])*
        $type:ident {
            $(
                $(#[cfg($cfg:meta)])?
                $(#[doc = $doc:literal])*
                $variant:ident = $id:literal $name:literal;
            )*
        }
    ) => {
        $(#[doc = $head])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $(
                $(#[cfg($cfg)])?
                #[doc = concat!("`", $name, "`.")]
                $(#[doc = $doc])*
                $variant,
            )*
        }

        impl $type {
            /// All of them, in order of preference.
            pub const ALL: [Self; [$($(#[cfg($cfg)])? $id,)*].len()] = [$($(#[cfg($cfg)])? Self::$variant,)*];

            /// The one with an IANA number.
            pub const fn from_id(id: u16) -> Option<Self> {
                match id {
                    $($(#[cfg($cfg)])? $id => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// The IANA number.
            pub const fn id(self) -> u16 {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant => $id,)*
                }
            }

            /// The IANA name.
            pub const fn name(self) -> &'static str {
                match self {
                    $($(#[cfg($cfg)])? Self::$variant => $name,)*
                }
            }
        }
    };
}
use algorithms;

pub mod aead;
pub mod hash;
pub mod key;
pub mod kx;
pub mod mac;
#[cfg(feature = "mlkem")]
mod mlkem;
#[cfg(feature = "rsa")]
mod rsa;
pub mod sign;
pub mod suite;
pub mod verify;

/// Computes the table of P-256's base point (feature `tables`). Otherwise its first use does, which needs tens of kilobytes
/// of stack inside a connection. Call it once at start, with little on the stack. Without the feature it does nothing.
pub fn prepare() {
    #[cfg(feature = "tables")]
    {
        use p256::elliptic_curve::Group as _;
        core::hint::black_box(p256::ProjectivePoint::mul_by_generator(&p256::Scalar::ONE));
    }
}

/// The bytes did not verify, or an input was outside what the algorithm is defined for.
///
/// It carries no details on purpose: a peer must not learn which check of an authenticated decryption failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CryptoError;

impl core::fmt::Display for CryptoError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("cryptographic check failed")
    }
}

impl core::error::Error for CryptoError {}
