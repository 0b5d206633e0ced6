//! Private keys: types, generation, parsing.

use std::io::Write as _;

use chacha20::ChaCha20Rng;
use postern_tls::pki::pem;
use rand_core::SeedableRng as _;
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256, SignatureAlgorithm,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rsa::pkcs8::EncodePrivateKey as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::{Result, fail};

/// The key types of `--key`, in the order of the help.
pub(crate) const KINDS: [&str; 6] = ["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"];

/// The fault if [`PrivateKey::from_pem`] returns `None`.
pub(crate) const NO_KEY: &str = "not an unencrypted private key in PEM of a type that --key supports";

/// PKCS#8 of an Ed25519 key before its seed (RFC 8410 §7). OpenSSL 3.0 does not read the version with the public key.
const ED25519_PKCS8: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
/// AlgorithmIdentifiers: rsaEncryption, and id-ecPublicKey with each curve.
const RSA: &[u8] = b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";
const P256: &[u8] = b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22";

/// A private key, wiped on drop.
pub(crate) struct PrivateKey(pub(crate) KeyPair);

impl Drop for PrivateKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    match SystemRandom::new().fill(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => fail!("the operating system returned no random numbers"),
    }
}

impl PrivateKey {
    /// A new key of one of [`KINDS`].
    pub(crate) fn generate(kind: &str) -> Result<Self> {
        let seed = Zeroizing::new(random::<32>()?);
        let made = match kind {
            "p256" => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            "p384" => KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384),
            "ed25519" => from_pkcs8(&Zeroizing::new([ED25519_PKCS8, &seed[..]].concat()), &PKCS_ED25519),
            _ => {
                let bits = kind.trim_start_matches("rsa").parse().unwrap_or(2048);
                let key = rsa::RsaPrivateKey::new(&mut ChaCha20Rng::from_seed(*seed), bits);
                match key.map(|key| key.to_pkcs8_der()) {
                    Ok(Ok(der)) => from_pkcs8(der.as_bytes(), &PKCS_RSA_SHA256),
                    _ => fail!("cannot generate an RSA key of {bits} bits"),
                }
            }
        };
        match made {
            Ok(pair) => Ok(Self(pair)),
            Err(error) => fail!("cannot generate a key: {error}"),
        }
    }

    /// Parses a key in PEM: PKCS#8, SEC 1 or PKCS#1. `None` if it is not supported.
    pub(crate) fn from_pem(text: &[u8]) -> Option<Self> {
        let block = pem::private_key(text).ok()?;
        let mut der = Zeroizing::new(vec![0; text.len()]);
        let length = block.decode(&mut der).ok()?;
        let der = der.get(..length)?;
        let algorithms: &[_] = match block.label {
            "PRIVATE KEY" => &[
                (&[][..], &PKCS_ECDSA_P256_SHA256),
                (&[], &PKCS_ECDSA_P384_SHA384),
                (&[], &PKCS_ED25519),
                (&[], &PKCS_RSA_SHA256),
            ],
            "EC PRIVATE KEY" => &[(P256, &PKCS_ECDSA_P256_SHA256), (P384, &PKCS_ECDSA_P384_SHA384)],
            "RSA PRIVATE KEY" => &[(RSA, &PKCS_RSA_SHA256)],
            _ => return None,
        };
        let pair = algorithms.iter().find_map(|(identifier, algorithm)| match identifier {
            [] => from_pkcs8(der, algorithm).ok(),
            identifier => from_pkcs8(&pkcs8(identifier, der)?, algorithm).ok(),
        });
        pair.map(Self)
    }

    /// PKCS#8 in PEM, as `openssl genpkey` writes it.
    pub(crate) fn pem(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.serialize_pem().into_bytes())
    }
}

fn from_pkcs8(der: &[u8], algorithm: &'static SignatureAlgorithm) -> std::result::Result<KeyPair, rcgen::Error> {
    KeyPair::from_pkcs8_der_and_sign_algo(&der.into(), algorithm)
}

/// PKCS#8 (RFC 5208 §5) around a key in its own format.
fn pkcs8(identifier: &[u8], key: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    // DER requires the shortest form of the length.
    let header = |tag: u8, length: usize| {
        let [high, low] = u16::try_from(length).ok()?.to_be_bytes();
        Some(match (high, low) {
            (0, ..0x80) => vec![tag, low],
            (0, _) => vec![tag, 0x81, low],
            _ => vec![tag, 0x82, high, low],
        })
    };
    let octets = header(0x04, key.len())?;
    let version = b"\x02\x01\x00";
    let length = version.len() + identifier.len() + octets.len() + key.len();
    let mut der = Zeroizing::new(Vec::with_capacity(length + 4));
    for part in [&header(0x30, length)?[..], version, identifier, &octets, key] {
        der.write_all(part).ok()?;
    }
    Some(der)
}
