//! Ephemeral key exchange over the named groups.

use p256::elliptic_curve::{Generate as _, sec1::ToSec1Point as _};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::CryptoError;

/// The longest public value of any [`Group`], in bytes.
pub const MAX_PUBLIC: usize = 65;
/// The longest shared secret of any [`Group`], in bytes.
pub const MAX_SHARED: usize = 32;

/// A named group (RFC 8446 §4.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// X25519 (RFC 7748).
    X25519,
    /// NIST P-256.
    Secp256r1,
}

impl Group {
    /// All of them, in the order that a server without another wish prefers.
    pub const ALL: [Group; 2] = [Self::X25519, Self::Secp256r1];

    /// The group with an IANA number.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.id() == id)
    }

    /// The IANA number.
    pub const fn id(self) -> u16 {
        match self {
            Self::X25519 => 0x001d,
            Self::Secp256r1 => 0x0017,
        }
    }

    /// The IANA name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519 => "x25519",
            Self::Secp256r1 => "secp256r1",
        }
    }

    /// Answers a peer's public value: makes an ephemeral key and computes the shared secret (RFC 8446 §7.4).
    ///
    /// # Errors
    /// When `peer` is not a public value of the group: the wrong length, a point off the curve or in another form than
    /// the uncompressed one, or one that makes the X25519 secret all zero.
    pub fn respond(self, peer: &[u8], rng: &mut dyn CryptoRng) -> Result<(PublicValue, SharedSecret), CryptoError> {
        match self {
            Self::X25519 => {
                let peer: [u8; 32] = peer.try_into().map_err(|_| CryptoError)?;
                let ours = x25519_dalek::EphemeralSecret::random_from_rng(rng);
                let public = x25519_dalek::PublicKey::from(&ours);
                let shared = ours.diffie_hellman(&peer.into());
                // RFC 8446 §7.4.2: abort if the result is the all-zero value. Compared in constant time inside.
                if !shared.was_contributory() {
                    return Err(CryptoError);
                }
                Ok((
                    PublicValue::new(public.as_bytes()),
                    SharedSecret::new(shared.as_bytes()),
                ))
            }
            Self::Secp256r1 => {
                // RFC 8446 §4.2.8.2: the uncompressed form only, and the point is checked to be on the curve.
                if peer.len() != 65 || peer.first() != Some(&4) {
                    return Err(CryptoError);
                }
                let peer = p256::PublicKey::from_sec1_bytes(peer).map_err(|_| CryptoError)?;
                let ours = p256::ecdh::EphemeralSecret::generate_from_rng(rng);
                let public = ours.public_key().to_sec1_point(false);
                let shared = ours.diffie_hellman(&peer);
                Ok((
                    PublicValue::new(public.as_bytes()),
                    SharedSecret::new(shared.raw_secret_bytes()),
                ))
            }
        }
    }
}

impl core::fmt::Display for Group {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// A public value, as it stands in a key share.
#[derive(Debug, Clone)]
pub struct PublicValue {
    bytes: heapless::Vec<u8, MAX_PUBLIC>,
}

impl PublicValue {
    fn new(bytes: &[u8]) -> Self {
        // Every public value above is at most MAX_PUBLIC bytes long.
        Self {
            bytes: heapless::Vec::from_slice(bytes).unwrap_or_default(),
        }
    }
}

impl AsRef<[u8]> for PublicValue {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A shared secret; wiped when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SharedSecret {
    bytes: [u8; MAX_SHARED],
    len: usize,
}

impl SharedSecret {
    fn new(bytes: &[u8]) -> Self {
        let mut secret = Self {
            bytes: [0; MAX_SHARED],
            len: bytes.len().min(MAX_SHARED),
        };
        for (to, from) in secret.bytes.iter_mut().zip(bytes) {
            *to = *from;
        }
        secret
    }
}

impl AsRef<[u8]> for SharedSecret {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl core::fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("SharedSecret")
    }
}
