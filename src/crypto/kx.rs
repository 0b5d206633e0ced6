//! Ephemeral key exchange over the named groups.

use ml_kem::kem::{Decapsulate as _, Encapsulate as _, KeyExport as _};
use ml_kem::{DecapsulationKey, EncapsulationKey, MlKem768};
use p256::elliptic_curve::{Generate as _, sec1::ToSec1Point as _};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::CryptoError;

/// The length of an X25519 public value, in bytes (RFC 7748).
const X25519: usize = 32;
/// The length of an ML-KEM-768 encapsulation key, in bytes (FIPS 203).
const ENCAPSULATION_KEY: usize = 1184;
/// The length of an ML-KEM-768 ciphertext, in bytes (FIPS 203).
const CIPHERTEXT: usize = 1088;

/// The longest public value of any [`Group`], in bytes.
pub const MAX_PUBLIC: usize = ENCAPSULATION_KEY + X25519;
/// The longest shared secret of any [`Group`], in bytes.
pub const MAX_SHARED: usize = 64;

/// A named group (RFC 8446 §4.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// X25519 and ML-KEM-768 together (draft-ietf-tls-ecdhe-mlkem): safe as long as either is.
    X25519MlKem768,
    /// X25519 (RFC 7748).
    X25519,
    /// NIST P-256.
    Secp256r1,
    /// NIST P-384.
    Secp384r1,
}

impl Group {
    /// All of them, in the order that a side without another wish prefers.
    pub const ALL: [Group; 4] = [Self::X25519MlKem768, Self::X25519, Self::Secp256r1, Self::Secp384r1];

    /// The group with an IANA number.
    pub fn from_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.id() == id)
    }

    /// The IANA number.
    pub const fn id(self) -> u16 {
        match self {
            Self::X25519MlKem768 => 0x11ec,
            Self::X25519 => 0x001d,
            Self::Secp256r1 => 0x0017,
            Self::Secp384r1 => 0x0018,
        }
    }

    /// The IANA name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::X25519MlKem768 => "X25519MLKEM768",
            Self::X25519 => "x25519",
            Self::Secp256r1 => "secp256r1",
            Self::Secp384r1 => "secp384r1",
        }
    }

    /// Whether TLS 1.2 knows it, too.
    pub const fn in_tls12(self) -> bool {
        !matches!(self, Self::X25519MlKem768)
    }

    /// Answers a peer's public value: makes an ephemeral key and computes the shared secret (RFC 8446 §7.4).
    ///
    /// # Errors
    /// When `peer` is not a public value of the group: the wrong length, a point off the curve or in another form than
    /// the uncompressed one, an encapsulation key out of range, or one that makes the X25519 secret all zero.
    pub fn respond(self, peer: &[u8], rng: &mut dyn CryptoRng) -> Result<(PublicValue, SharedSecret), CryptoError> {
        if let Self::X25519MlKem768 = self {
            let (key, peer) = peer.split_at_checked(ENCAPSULATION_KEY).ok_or(CryptoError)?;
            let key = key.try_into().map_err(|_| CryptoError)?;
            // FIPS 203 §7.2: the modulus check is made here.
            let key = EncapsulationKey::<MlKem768>::new(&key).map_err(|_| CryptoError)?;
            let (ciphertext, shared) = key.encapsulate_with_rng(rng);
            let (x25519_public, x25519_shared) = Self::X25519.respond(peer, rng)?;
            return Ok((
                PublicValue::joined(&ciphertext, x25519_public.as_ref()),
                SharedSecret::joined(&shared, x25519_shared.as_ref()),
            ));
        }
        let ours = KeyPair::generate(self, rng);
        let public = ours.public_value();
        Ok((public, ours.complete(peer)?))
    }
}

impl core::fmt::Display for Group {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// An ephemeral private key that waits for the peer's answer; wiped when dropped.
pub struct KeyPair(Private);

// Held inline: there is no heap. ML-KEM's key is kept as the seed that it is made from again.
enum Private {
    X25519MlKem768(ml_kem::Seed, x25519_dalek::StaticSecret),
    X25519(x25519_dalek::StaticSecret),
    Secp256r1(p256::ecdh::EphemeralSecret),
    Secp384r1(p384::ecdh::EphemeralSecret),
}

impl KeyPair {
    /// Makes a key.
    pub fn generate(group: Group, rng: &mut dyn CryptoRng) -> Self {
        Self(match group {
            Group::X25519MlKem768 => {
                let mut seed = ml_kem::Seed::default();
                rng.fill_bytes(&mut seed);
                Private::X25519MlKem768(seed, x25519_dalek::StaticSecret::random_from_rng(rng))
            }
            Group::X25519 => Private::X25519(x25519_dalek::StaticSecret::random_from_rng(rng)),
            Group::Secp256r1 => Private::Secp256r1(p256::ecdh::EphemeralSecret::generate_from_rng(rng)),
            Group::Secp384r1 => Private::Secp384r1(p384::ecdh::EphemeralSecret::generate_from_rng(rng)),
        })
    }

    /// The group.
    pub fn group(&self) -> Group {
        match &self.0 {
            Private::X25519MlKem768(..) => Group::X25519MlKem768,
            Private::X25519(_) => Group::X25519,
            Private::Secp256r1(_) => Group::Secp256r1,
            Private::Secp384r1(_) => Group::Secp384r1,
        }
    }

    /// What goes to the peer.
    pub fn public_value(&self) -> PublicValue {
        match &self.0 {
            Private::X25519MlKem768(seed, x25519) => {
                let key = DecapsulationKey::<MlKem768>::from_seed(*seed);
                PublicValue::joined(
                    &key.encapsulation_key().to_bytes(),
                    x25519_dalek::PublicKey::from(x25519).as_bytes(),
                )
            }
            Private::X25519(secret) => PublicValue::new(x25519_dalek::PublicKey::from(secret).as_bytes()),
            Private::Secp256r1(secret) => PublicValue::new(secret.public_key().to_sec1_point(false).as_bytes()),
            Private::Secp384r1(secret) => PublicValue::new(secret.public_key().to_sec1_point(false).as_bytes()),
        }
    }

    /// Computes the shared secret from the peer's answer (RFC 8446 §7.4).
    ///
    /// # Errors
    /// As those of [`Group::respond`].
    pub fn complete(&self, peer: &[u8]) -> Result<SharedSecret, CryptoError> {
        match &self.0 {
            Private::X25519MlKem768(seed, x25519) => {
                let (ciphertext, peer) = peer.split_at_checked(CIPHERTEXT).ok_or(CryptoError)?;
                let ciphertext = ciphertext.try_into().map_err(|_| CryptoError)?;
                let shared = DecapsulationKey::<MlKem768>::from_seed(*seed).decapsulate(&ciphertext);
                let x25519_shared = complete_x25519(x25519, peer)?;
                Ok(SharedSecret::joined(&shared, x25519_shared.as_ref()))
            }
            Private::X25519(secret) => complete_x25519(secret, peer),
            Private::Secp256r1(secret) => {
                uncompressed(peer, 32)?;
                let peer = p256::PublicKey::from_sec1_bytes(peer).map_err(|_| CryptoError)?;
                Ok(SharedSecret::new(secret.diffie_hellman(&peer).raw_secret_bytes()))
            }
            Private::Secp384r1(secret) => {
                uncompressed(peer, 48)?;
                let peer = p384::PublicKey::from_sec1_bytes(peer).map_err(|_| CryptoError)?;
                Ok(SharedSecret::new(secret.diffie_hellman(&peer).raw_secret_bytes()))
            }
        }
    }
}

impl Drop for KeyPair {
    fn drop(&mut self) {
        // The other kinds wipe themselves.
        if let Private::X25519MlKem768(seed, _) = &mut self.0 {
            seed.zeroize();
        }
    }
}

impl core::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "KeyPair({:?})", self.group())
    }
}

fn complete_x25519(secret: &x25519_dalek::StaticSecret, peer: &[u8]) -> Result<SharedSecret, CryptoError> {
    let peer: [u8; X25519] = peer.try_into().map_err(|_| CryptoError)?;
    let shared = secret.diffie_hellman(&peer.into());
    // RFC 8446 §7.4.2: abort if the result is the all-zero value. Compared in constant time inside.
    if !shared.was_contributory() {
        return Err(CryptoError);
    }
    Ok(SharedSecret::new(shared.as_bytes()))
}

/// RFC 8446 §4.2.8.2: the uncompressed form only. That the point is on the curve is checked where it is read.
fn uncompressed(peer: &[u8], coordinate: usize) -> Result<(), CryptoError> {
    if peer.len() == 1 + 2 * coordinate && peer.first() == Some(&4) {
        Ok(())
    } else {
        Err(CryptoError)
    }
}

/// A public value, as it stands in a key share.
#[derive(Debug, Clone)]
pub struct PublicValue {
    bytes: heapless::Vec<u8, MAX_PUBLIC>,
}

impl PublicValue {
    fn new(bytes: &[u8]) -> Self {
        Self::joined(bytes, &[])
    }

    // Every public value above is at most MAX_PUBLIC bytes long.
    fn joined(first: &[u8], second: &[u8]) -> Self {
        Self {
            bytes: first.iter().chain(second).copied().take(MAX_PUBLIC).collect(),
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
        Self::joined(bytes, &[])
    }

    fn joined(first: &[u8], second: &[u8]) -> Self {
        let mut secret = Self {
            bytes: [0; MAX_SHARED],
            len: (first.len() + second.len()).min(MAX_SHARED),
        };
        for (to, from) in secret.bytes.iter_mut().zip(first.iter().chain(second)) {
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
