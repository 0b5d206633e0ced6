//! Ephemeral key exchange over the named groups.

use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::sec1::ToSec1Point as _;
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytes, Generate as _, PublicKey};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::CryptoError;
#[cfg(feature = "mlkem")]
use super::mlkem;
use crate::registry::NamedGroup;

/// The length of an X25519 public value, in bytes (RFC 7748).
const X25519: usize = 32;
/// The length of an uncompressed point of P-256 and of P-384, in bytes (RFC 8446 §4.2.8.2).
const SECP256R1: usize = 65;
#[cfg(feature = "p384")]
const SECP384R1: usize = 97;
/// The length of a client's share of X25519MLKEM768, in bytes, which is longer than a server's.
#[cfg(feature = "mlkem")]
const X25519MLKEM768: usize = mlkem::ENCAPSULATION_KEY + X25519;

/// The longest public value of any [`Group`], in bytes.
pub const MAX_PUBLIC: usize = longest(&[
    SECP256R1,
    #[cfg(feature = "p384")]
    SECP384R1,
    #[cfg(feature = "mlkem")]
    X25519MLKEM768,
]);
/// The longest shared secret of any [`Group`], in bytes.
pub const MAX_SHARED: usize = 64;

const fn longest(lengths: &[usize]) -> usize {
    match lengths {
        [] => 0,
        [length, rest @ ..] => {
            let rest = longest(rest);
            if *length > rest { *length } else { rest }
        }
    }
}

super::algorithms! {
    /// A named group (RFC 8446 §4.2.7).
    Group {
        #[cfg(feature = "mlkem")]
        /// X25519 and ML-KEM-768 together (draft-ietf-tls-ecdhe-mlkem): safe as long as either is.
        X25519MlKem768 = 0x11ec "X25519MLKEM768";
        /// X25519 (RFC 7748).
        X25519 = 0x001d "x25519";
        /// NIST P-256.
        Secp256r1 = 0x0017 "secp256r1";
        #[cfg(feature = "p384")]
        /// NIST P-384.
        Secp384r1 = 0x0018 "secp384r1";
    }
}

impl Group {
    /// The IANA number, in its registry.
    pub const fn named(self) -> NamedGroup {
        NamedGroup(self.id())
    }

    /// Whether TLS 1.2 supports it too.
    pub const fn in_tls12(self) -> bool {
        match self {
            #[cfg(feature = "mlkem")]
            Self::X25519MlKem768 => false,
            _ => true,
        }
    }

    /// Answers a peer's public value: generates an ephemeral key and computes the shared secret (RFC 8446 §7.4).
    ///
    /// # Errors
    /// If `peer` is not a public value of the group: if it has the wrong length, is not an uncompressed point on the curve,
    /// is an encapsulation key out of range, or makes the X25519 secret all zero.
    pub fn respond(self, peer: &[u8], rng: &mut dyn CryptoRng) -> Result<(PublicValue, SharedSecret), CryptoError> {
        let mut public = PublicValue::empty();
        let shared = self.respond_into(peer, rng, &mut public)?;
        Ok((public, shared))
    }

    /// As [`Group::respond`], with the public value in the caller's memory: it may be longer than a kilobyte, and returning
    /// it would put several copies on the stack.
    pub(crate) fn respond_into(
        self,
        peer: &[u8],
        rng: &mut dyn CryptoRng,
        public: &mut PublicValue,
    ) -> Result<SharedSecret, CryptoError> {
        #[cfg(feature = "mlkem")]
        if let Self::X25519MlKem768 = self {
            let (key, peer) = peer.split_at_checked(mlkem::ENCAPSULATION_KEY).ok_or(CryptoError)?;
            let shared = mlkem::encapsulate(key, rng, public)?;
            let x25519_shared = Self::X25519.respond_into(peer, rng, public)?;
            return Ok(SharedSecret::joined(shared.as_ref(), x25519_shared.as_ref()));
        }
        let ours = KeyPair::generate(self, rng);
        ours.put_public_value(public);
        ours.complete(peer)
    }
}

impl core::fmt::Display for Group {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.name())
    }
}

/// An ephemeral private key; wiped when dropped.
pub struct KeyPair(Private);

// Held inline: there is no heap. Each kind wipes itself.
#[derive(ZeroizeOnDrop)]
enum Private {
    #[cfg(feature = "mlkem")]
    X25519MlKem768(mlkem::Seed, x25519_dalek::StaticSecret),
    X25519(x25519_dalek::StaticSecret),
    Secp256r1(p256::ecdh::EphemeralSecret),
    #[cfg(feature = "p384")]
    Secp384r1(p384::ecdh::EphemeralSecret),
}

impl KeyPair {
    /// Generates a key.
    pub fn generate(group: Group, rng: &mut dyn CryptoRng) -> Self {
        Self(match group {
            #[cfg(feature = "mlkem")]
            Group::X25519MlKem768 => {
                Private::X25519MlKem768(mlkem::seed(rng), x25519_dalek::StaticSecret::random_from_rng(rng))
            }
            Group::X25519 => Private::X25519(x25519_dalek::StaticSecret::random_from_rng(rng)),
            Group::Secp256r1 => Private::Secp256r1(p256::ecdh::EphemeralSecret::generate_from_rng(rng)),
            #[cfg(feature = "p384")]
            Group::Secp384r1 => Private::Secp384r1(p384::ecdh::EphemeralSecret::generate_from_rng(rng)),
        })
    }

    /// The group.
    pub fn group(&self) -> Group {
        match &self.0 {
            #[cfg(feature = "mlkem")]
            Private::X25519MlKem768(..) => Group::X25519MlKem768,
            Private::X25519(_) => Group::X25519,
            Private::Secp256r1(_) => Group::Secp256r1,
            #[cfg(feature = "p384")]
            Private::Secp384r1(_) => Group::Secp384r1,
        }
    }

    /// The public value to send to the peer.
    pub fn public_value(&self) -> PublicValue {
        let mut public = PublicValue::empty();
        self.put_public_value(&mut public);
        public
    }

    fn put_public_value(&self, public: &mut PublicValue) {
        match &self.0 {
            #[cfg(feature = "mlkem")]
            Private::X25519MlKem768(seed, x25519) => {
                mlkem::put_encapsulation_key(seed, public);
                public.push(x25519_dalek::PublicKey::from(x25519).as_bytes());
            }
            Private::X25519(secret) => public.push(x25519_dalek::PublicKey::from(secret).as_bytes()),
            Private::Secp256r1(secret) => public.push(secret.public_key().to_sec1_point(false).as_bytes()),
            #[cfg(feature = "p384")]
            Private::Secp384r1(secret) => public.push(secret.public_key().to_sec1_point(false).as_bytes()),
        }
    }

    /// Computes the shared secret from the peer's public value (RFC 8446 §7.4).
    ///
    /// # Errors
    /// Those of [`Group::respond`].
    pub fn complete(&self, peer: &[u8]) -> Result<SharedSecret, CryptoError> {
        match &self.0 {
            #[cfg(feature = "mlkem")]
            Private::X25519MlKem768(seed, x25519) => {
                let (ciphertext, peer) = peer.split_at_checked(mlkem::CIPHERTEXT).ok_or(CryptoError)?;
                let shared = mlkem::decapsulate(seed, ciphertext)?;
                let x25519_shared = complete_x25519(x25519, peer)?;
                Ok(SharedSecret::joined(shared.as_ref(), x25519_shared.as_ref()))
            }
            Private::X25519(secret) => complete_x25519(secret, peer),
            Private::Secp256r1(secret) => Ok(SharedSecret::new(
                secret.diffie_hellman(&point(peer)?).raw_secret_bytes(),
            )),
            #[cfg(feature = "p384")]
            Private::Secp384r1(secret) => Ok(SharedSecret::new(
                secret.diffie_hellman(&point(peer)?).raw_secret_bytes(),
            )),
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

/// The point in a peer's public value, in the only form that RFC 8446 §4.2.8.2 permits: uncompressed. Read as its two
/// coordinates, so that no code for compressed points is linked; `from_coordinates` checks that it is on the curve.
fn point<C>(peer: &[u8]) -> Result<PublicKey<C>, CryptoError>
where
    C: CurveArithmetic,
    AffinePoint<C>: AffineCoordinates<FieldRepr = FieldBytes<C>>,
{
    let Some((4, coordinates)) = peer.split_first() else {
        return Err(CryptoError);
    };
    let (x, y) = coordinates.split_at(coordinates.len() / 2);
    let x = x.try_into().map_err(|_| CryptoError)?;
    let y = y.try_into().map_err(|_| CryptoError)?;
    let point = AffinePoint::<C>::from_coordinates(x, y)
        .into_option()
        .ok_or(CryptoError)?;
    PublicKey::from_affine(point).map_err(|_| CryptoError)
}

/// A public value, encoded as in a key share.
#[derive(Debug, Clone)]
pub struct PublicValue {
    bytes: heapless::Vec<u8, MAX_PUBLIC>,
}

impl PublicValue {
    pub(crate) const fn empty() -> Self {
        Self {
            bytes: heapless::Vec::new(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let _ = self.bytes.extend_from_slice(bytes); // every public value above is at most MAX_PUBLIC bytes long
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
    pub(super) fn new(bytes: &[u8]) -> Self {
        Self::joined(bytes, &[])
    }

    fn joined(first: &[u8], second: &[u8]) -> Self {
        let mut secret = Self {
            bytes: [0; MAX_SHARED],
            len: first.len().saturating_add(second.len()).min(MAX_SHARED),
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

#[cfg(test)]
mod tests;
