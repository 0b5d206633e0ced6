use super::*;

fn every_vector(primitive: Primitive) {
    let report = Report::of(primitive, &crate_data().unwrap()).unwrap();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    let differences = report.differences(EXPECTED);
    assert!(differences.is_empty(), "{differences:#?}");
}

macro_rules! tests {
    ($($name:ident: $primitive:ident,)*) => {
        $(
            #[test]
            fn $name() {
                every_vector(Primitive::$primitive);
            }
        )*

        #[test]
        fn every_primitive_has_its_test() {
            assert_eq!(Primitive::ALL, [$(Primitive::$primitive),*]);
        }
    };
}

tests! {
    aes_gcm: AesGcm,
    chacha20_poly1305: ChaCha20Poly1305,
    x25519: X25519,
    ecdh: Ecdh,
    ml_kem_768: MlKem768,
    hmac: Hmac,
    hkdf: Hkdf,
    ecdsa: Ecdsa,
    ed25519: Ed25519,
    rsa_pkcs1: RsaPkcs1,
    rsa_pss: RsaPss,
    rsa_signing: RsaSigning,
    other_files: Other,
}
