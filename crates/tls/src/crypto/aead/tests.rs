use super::*;
use crate::support::unhex;

fn check(algorithm: AeadAlgorithm, key: &str, nonce: &str, aad: &str, plain: &[u8], cipher: &str, tag: &str) {
    let key = AeadKey::new(algorithm, &unhex(key)).unwrap();
    let nonce: [u8; 12] = unhex(nonce).try_into().unwrap();
    let (aad, cipher) = (unhex(aad), unhex(cipher));
    let mut text = plain.to_vec();
    let sealed = key.seal(&nonce, &aad, &mut text).unwrap();
    assert_eq!(text, cipher);
    assert_eq!(sealed.as_slice(), unhex(tag));
    key.open(&nonce, &aad, &mut text, &sealed).unwrap();
    assert_eq!(text, plain);

    for bit in 0..TAG_LEN * 8 {
        let mut wrong = sealed;
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(key.open(&nonce, &aad, &mut cipher.clone(), &wrong), Err(CryptoError));
    }
}

// The GCM specification's test cases 4 (AES-128) and 16 (AES-256).
const GCM_PLAIN: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72
    1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
const GCM_AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";

#[test]
fn aes_128_gcm_test_case_4() {
    check(
        AeadAlgorithm::Aes128Gcm,
        "feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        GCM_AAD,
        &unhex(GCM_PLAIN),
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e
         21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
        "5bc94fbc3221a5db94fae95ae7121a47",
    );
}

#[test]
fn aes_256_gcm_test_case_16() {
    check(
        AeadAlgorithm::Aes256Gcm,
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        GCM_AAD,
        &unhex(GCM_PLAIN),
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa
         8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    );
}

#[cfg(feature = "chacha")]
#[test]
fn chacha20_poly1305_rfc_8439_2_8_2() {
    check(
        AeadAlgorithm::ChaCha20Poly1305,
        "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f",
        "070000004041424344454647",
        "50515253c0c1c2c3c4c5c6c7",
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b
         1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc
         3ff4def08e4b7a9de576d26586cec64b6116",
        "1ae10b594f09e26a7e902ecbd0600691",
    );
}

#[test]
fn a_key_of_another_length_is_refused() {
    assert_eq!(
        AeadKey::new(AeadAlgorithm::Aes128Gcm, &[0; 32]).err(),
        Some(CryptoError)
    );
    assert_eq!(
        AeadKey::new(AeadAlgorithm::Aes256Gcm, &[0; 16]).err(),
        Some(CryptoError)
    );
    #[cfg(feature = "chacha")]
    assert_eq!(
        AeadKey::new(AeadAlgorithm::ChaCha20Poly1305, &[0; 31]).err(),
        Some(CryptoError)
    );
}
