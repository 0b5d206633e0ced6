use super::*;

fn hex(bytes: &[u8]) -> String {
    crate::pki::text::Hex(bytes).to_string()
}

#[test]
fn rfc_4231_test_case_2() {
    let parts: [&[u8]; 2] = [b"what do ya want ", b"for nothing?"];
    assert_eq!(
        hex(hmac(HashAlgorithm::Sha256, b"Jefe", &parts).as_ref()),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        hex(hmac(HashAlgorithm::Sha384, b"Jefe", &parts).as_ref()),
        "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"
    );
}

#[test]
fn rfc_5869_test_case_1() {
    let salt: Vec<u8> = (0..=0x0c).collect();
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    let prk = hkdf_extract(HashAlgorithm::Sha256, &salt, &[0x0b; 22]);
    assert_eq!(
        hex(prk.as_ref()),
        "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
    );
    let mut okm = [0; 42];
    hkdf_expand(HashAlgorithm::Sha256, prk.as_ref(), &[&info], &mut okm).unwrap();
    assert_eq!(
        hex(&okm),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
}

#[test]
fn expand_refuses_what_rfc_5869_does() {
    let mut long = vec![0; 255 * 32 + 1];
    assert!(hkdf_expand(HashAlgorithm::Sha256, &[0; 32], &[], &mut long).is_err());
    assert!(hkdf_expand(HashAlgorithm::Sha256, &[0; 31], &[], &mut [0; 4]).is_err());
}

#[test]
fn comparison_sees_every_byte_and_the_length() {
    assert!(constant_time_eq(b"abc", b"abc"));
    assert!(!constant_time_eq(b"abc", b"abd"));
    assert!(!constant_time_eq(b"abc", b"bbc"));
    assert!(!constant_time_eq(b"abc", b"ab"));
}
