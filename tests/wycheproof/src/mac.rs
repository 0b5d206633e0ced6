//! HMAC and HKDF, the basis of Finished and the key schedule.

use postern_tls::crypto::hash::HashAlgorithm;
use postern_tls::crypto::mac;

use crate::report::Outcome::{self, Accepted, Refused};
use crate::vectors::Object;

pub fn hmac_sha256(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    hmac(HashAlgorithm::Sha256, vector)
}

pub fn hmac_sha384(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    hmac(HashAlgorithm::Sha384, vector)
}

pub fn hkdf_sha256(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    hkdf(HashAlgorithm::Sha256, vector)
}

pub fn hkdf_sha384(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    hkdf(HashAlgorithm::Sha384, vector)
}

fn hmac(algorithm: HashAlgorithm, vector: Object<'_>) -> Result<Outcome, String> {
    let (message, tag) = (vector.bytes("msg")?, vector.bytes("tag")?);
    let key = vector.bytes("key")?;
    let whole = mac::hmac(algorithm, &key, &[&message]);
    let (start, end) = message.split_at(message.len() / 2);
    if mac::hmac(algorithm, &key, &[start, end]).as_ref() != whole.as_ref() {
        return Err("another tag for the message in two parts".into());
    }
    // Some vectors have the first half of the tag.
    let ours = whole.as_ref().get(..tag.len()).ok_or("tag is too long")?;
    match mac::constant_time_eq(ours, &tag) {
        true => Ok(Accepted),
        false => Ok(Refused),
    }
}

fn hkdf(algorithm: HashAlgorithm, vector: Object<'_>) -> Result<Outcome, String> {
    let prk = mac::hkdf_extract(algorithm, &vector.bytes("salt")?, &vector.bytes("ikm")?);
    let mut okm = vec![0; vector.number("size")?];
    match mac::hkdf_expand(algorithm, prk.as_ref(), &[&vector.bytes("info")?], &mut okm) {
        Ok(()) if okm == vector.bytes("okm")? => Ok(Accepted),
        Ok(()) => Err("another output".into()),
        Err(_) => Ok(Refused),
    }
}
