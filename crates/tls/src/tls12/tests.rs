use super::*;
use crate::support::unhex;

// The P_SHA256 and P_SHA384 vectors that the TLS working group's list settled on when TLS 1.2 was new.
#[test]
fn prf_sha256_vector() {
    let mut out = [0; 100];
    prf(
        HashAlgorithm::Sha256,
        &unhex("9bbe436ba940f017b17652849a71db35"),
        "test label",
        [&unhex("a0ba9f936cda311827a6f796ffd5198c"), &[]],
        &mut out,
    );
    assert_eq!(
        out.to_vec(),
        unhex(
            "e3f229ba727be17b8d122620557cd453c2aab21d07c3d495329b52d4e61edb5a6b301791e90d35c9c9a46b4e14baf9af0fa022
             f7077def17abfd3797c0564bab4fbc91666e9def9b97fce34f796789baa48082d122ee42c5a72e5a5110fff70187347b66"
        )
    );
}

#[test]
fn prf_sha384_vector() {
    let mut out = [0; 148];
    prf(
        HashAlgorithm::Sha384,
        &unhex("b80b733d6ceefcdc71566ea48e5567df"),
        "test label",
        [&unhex("cd665cf6a8447dd6ff8b27555edb7465"), &[]],
        &mut out,
    );
    assert_eq!(
        out.to_vec(),
        unhex(
            "7b0c18e9ced410ed1804f2cfa34a336a1c14dffb4900bb5fd7942107e81c83cde9ca0faa60be9fe34f82b1233c9146a0e534cb
             400fed2700884f9dc236f80edd8bfa961144c9e8d792eca722a7b32fc3d416d473ebc2c5fd4abfdad05d9184259b5bf8cd4d90
             fa0d31e2dec479e4f1a26066f2eea9a69236a3e52655c9e9aee691c8f3a26854308d5eaa3be85e0990703d73e56f"
        )
    );
}
