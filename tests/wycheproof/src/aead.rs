//! Authenticated encryption, as records are sealed and opened.

use postern_tls::crypto::aead::{AeadAlgorithm, AeadKey};

use crate::report::Outcome::{self, Accepted, NotApplicable, Refused};
use crate::vectors::Object;

pub fn aes_gcm(group: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    match group.number("keySize")? {
        128 => check(AeadAlgorithm::Aes128Gcm, vector),
        256 => check(AeadAlgorithm::Aes256Gcm, vector),
        _ => {
            let key = vector.bytes("key")?;
            let taken = [AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm]
                .into_iter()
                .any(|algorithm| AeadKey::new(algorithm, &key).is_ok());
            Outcome::must_refuse(
                "key of 192 bits: refused, no cipher suite has it (RFC 8446 §B.4)",
                taken,
            )
        }
    }
}

pub fn chacha20_poly1305(_: Object<'_>, vector: Object<'_>) -> Result<Outcome, String> {
    check(AeadAlgorithm::ChaCha20Poly1305, vector)
}

fn check(algorithm: AeadAlgorithm, vector: Object<'_>) -> Result<Outcome, String> {
    let Ok(nonce) = vector.bytes("iv")?.try_into() else {
        return Ok(NotApplicable("nonce of other than 12 bytes (RFC 8446 §5.3)"));
    };
    let Ok(tag) = vector.bytes("tag")?.try_into() else {
        return Ok(NotApplicable("tag of other than 16 bytes (RFC 5116 §5.1)"));
    };
    let (aad, message, ciphertext) = (vector.bytes("aad")?, vector.bytes("msg")?, vector.bytes("ct")?);
    let key = AeadKey::new(algorithm, &vector.bytes("key")?).map_err(|error| error.to_string())?;

    let mut text = message.clone();
    let sealed = key.seal(&nonce, &aad, &mut text).map_err(|error| error.to_string())?;
    let same = (&text, &sealed) == (&ciphertext, &tag);

    let mut text = ciphertext;
    let opened = key.open(&nonce, &aad, &mut text, &tag);
    match (same, opened) {
        (true, Ok(())) if text == message => Ok(Accepted),
        (false, Err(_)) => Ok(Refused),
        _ => Err(format!("sealed to the same: {same}; opened: {opened:?}")),
    }
}
