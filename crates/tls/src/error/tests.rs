use super::*;

#[test]
fn an_offer_of_unknown_versions_is_no_version_zero() {
    let error = PeerIncompatible::Version(None).to_string();
    assert_eq!(error, "no common version: the peer offers none that is known here");
}

#[test]
#[cfg(any(feature = "p384", feature = "tls12"))]
fn an_unoffered_choice_is_shown_with_the_offer() {
    use crate::crypto::sign::SignatureScheme;
    let offered = SchemeSet::of([
        SignatureScheme::EcdsaSecp384r1Sha384,
        SignatureScheme::EcdsaSecp256r1Sha256,
    ]);
    let scheme = NamedScheme::RSA_PKCS1_SHA256;
    assert_eq!(
        PeerMisbehaved::UnofferedSignatureScheme { scheme, offered }.to_string(),
        "signature scheme rsa_pkcs1_sha256 was not offered (offered: ecdsa_secp256r1_sha256, ecdsa_secp384r1_sha384)"
    );
    assert_eq!(
        PeerMisbehaved::UnofferedSuite(NamedSuite(0xc013)).to_string(),
        "the server chose TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, which was not offered"
    );
    assert_eq!(
        PeerMisbehaved::UnofferedSuite(NamedSuite(0xffff)).to_string(),
        "the server chose cipher suite 0xffff, which was not offered"
    );
}
