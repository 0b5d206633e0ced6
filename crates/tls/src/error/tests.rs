use super::*;

#[test]
fn an_offer_of_unknown_versions_is_no_version_zero() {
    let error = PeerIncompatible::Version(None).to_string();
    assert_eq!(error, "no common version: the peer offers none that is known here");
}
