//! Key exchange from both ends: the offer of a share, and the answer.

use postern_tls::crypto::kx::{Group, KeyPair};

use crate::report::Outcome::{self, Accepted, NotApplicable, Refused};
use crate::rng::Script;
use crate::vectors::Object;

/// What stands before the point in a SubjectPublicKeyInfo with a named curve (RFC 5480 §2).
const P256: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
const P384: &[u8] = b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";

/// The X25519 half of the hybrid group, of which there are no vectors: a private key, and the base point.
const OUR_X25519: [u8; 32] = [7; 32];
const THEIR_X25519: [u8; 32] = {
    let mut base_point = [0; 32];
    base_point[0] = 9;
    base_point
};

const ENCAPSULATION_KEY: usize = 1184;
const CIPHERTEXT: usize = 1088;
const SEED: usize = 64;
const SHARED: usize = 32;

pub fn x25519(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    agree(
        Group::X25519,
        &vector.bytes("private")?,
        &vector.bytes("public")?,
        vector,
    )
}

pub fn ecdh(group: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let (curve, prefix, len) = match group.text("curve")? {
        "secp256r1" => (Group::Secp256r1, P256, 32),
        "secp384r1" => (Group::Secp384r1, P384, 48),
        other => return Err(format!("unknown curve {other}")),
    };
    let public = vector.bytes("public")?;
    let peer = match group.text("encoding")? {
        "ecpoint" => &public[..],
        "asn" => match public.strip_prefix(prefix) {
            Some(point) => point,
            None => {
                return Ok(NotApplicable(
                    "SubjectPublicKeyInfo that is malformed or of another curve",
                ));
            }
        },
        other => return Err(format!("unknown encoding {other}")),
    };
    // A number: with leading zeros, or without.
    let number = vector.bytes("private")?;
    let zeros = number.iter().take_while(|&&byte| byte == 0).count();
    let mut private = vec![0; len];
    private
        .get_mut((len + zeros).saturating_sub(number.len())..)
        .filter(|end| end.len() == number.len() - zeros)
        .ok_or("private key is too long")?
        .copy_from_slice(&number[zeros..]);
    agree(curve, &private, peer, vector)
}

/// Both ends with the private key of the vector.
fn agree(group: Group, private: &[u8], peer: &[u8], vector: Object<'_>) -> Result<Outcome, String> {
    let offered = KeyPair::generate(group, &mut Script::new(&[private])).complete(peer);
    let answered = group.respond(peer, &mut Script::new(&[private]));
    match (offered, answered) {
        (Ok(one), Ok((_, other))) => {
            let shared = vector.bytes("shared")?;
            match one.as_ref() == shared && other.as_ref() == shared {
                true => Ok(Accepted),
                false => Err("another shared secret".into()),
            }
        }
        (Err(_), Err(_)) => Ok(Refused),
        _ => Err("accepted by one end only".into()),
    }
}

/// The side that offers the hybrid group.
pub fn decapsulate(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let seed = vector.bytes("seed")?;
    if seed.len() != SEED {
        return Ok(NotApplicable("seed of other than 64 bytes: the engine makes its own"));
    }
    let pair = hybrid(&seed);
    if pair.public_value().as_ref()[..ENCAPSULATION_KEY] != vector.bytes("ek")? {
        return Err("another encapsulation key".into());
    }
    let peer = [&vector.bytes("c")?[..], &THEIR_X25519].concat();
    match pair.complete(&peer) {
        Ok(shared) if shared.as_ref()[..SHARED] == vector.bytes("K")? => Ok(Accepted),
        Ok(_) => Err("another shared key".into()),
        Err(_) => Ok(Refused),
    }
}

/// The side that answers with the hybrid group.
pub fn encapsulate(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let peer = [&vector.bytes("ek")?[..], &THEIR_X25519].concat();
    let mut rng = Script::new(&[&vector.bytes("m")?, &OUR_X25519]);
    match Group::X25519MlKem768.respond(&peer, &mut rng) {
        Ok((public, _)) if public.as_ref()[..CIPHERTEXT] != vector.bytes("c")? => Err("another ciphertext".into()),
        Ok((_, shared)) if shared.as_ref()[..SHARED] != vector.bytes("K")? => Err("another shared key".into()),
        Ok(_) => Ok(Accepted),
        Err(_) => Ok(Refused),
    }
}

/// The key share of the side that offers.
pub fn generate(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    let pair = hybrid(&vector.bytes("seed")?);
    match pair.public_value().as_ref()[..ENCAPSULATION_KEY] == vector.bytes("ek")? {
        true => Ok(Accepted),
        false => Err("another encapsulation key".into()),
    }
}

fn hybrid(seed: &[u8]) -> KeyPair {
    KeyPair::generate(Group::X25519MlKem768, &mut Script::new(&[seed, &OUR_X25519]))
}
