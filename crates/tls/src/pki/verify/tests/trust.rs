//! Identities by key, and bundles of roots.

use super::*;

#[test]
fn identity_is_the_key_and_not_the_certificate() {
    let (ca, key, other) = (root(|_| {}), KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    let issued = |subject: &str, key: &KeyPair, serial: u8| {
        let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
        params.distinguished_name = named(subject);
        params.serial_number = Some(SerialNumber::from(Vec::from([serial])));
        PeerIdentity::from_leaf(params.signed_by(key, &ca).unwrap().der()).unwrap()
    };
    let first = issued("alice", &key, 1);
    let spki = rcgen::PublicKeyData::subject_public_key_info(&key);
    assert_eq!(first.key().0, HashAlgorithm::Sha256.hash(&spki).as_ref());
    // A renewed certificate, even with another name, has the same identity; another key with the same name does not.
    for renewed in [issued("alice", &key, 2), issued("bob", &key, 3)] {
        assert_eq!(renewed.key(), first.key());
    }
    let namesake = issued("alice", &other, 4);
    assert_eq!(namesake.subject, first.subject);
    assert_ne!(namesake.key(), first.key());
}

/// This many CAs, each with its own key and name.
fn bundle(count: usize) -> Vec<Ca> {
    (0..count)
        .map(|number| root(|params| params.distinguished_name = named(&std::format!("Root {number}"))))
        .collect()
}

#[test]
fn a_large_root_bundle_verifies_chains_with_intermediates() {
    let cas = bundle(150);
    let roots: Vec<&[u8]> = cas.iter().map(|ca| &ca.der()[..]).collect();
    let own = root(|_| {});
    let anchors = [&own.der()[..]];
    let trust = Trust::new(&anchors).with_roots(&roots);
    assert_eq!(trust.check(), Ok(()));
    for number in [0, 77, 149] {
        let middle = intermediate("Intermediate", &cas[number], |_| {});
        let chain = leaf(&middle, |_| {});
        let chain = [&chain[..], middle.der()];
        assert_eq!(trust.find_root(&chain, server("localhost"), CLOCK), Ok(roots[number]));
        assert_eq!(subject_of(roots[number]).as_str(), std::format!("CN=Root {number}"));
        assert!(matches!(
            trust.verify(&chain, server("elsewhere"), CLOCK),
            Err(CertificateError::NotValidForName { .. })
        ));
        // Without the right one, or without any, the issuer is unknown.
        let others: Vec<&[u8]> = roots.iter().copied().filter(|root| *root != roots[number]).collect();
        for trust in [Trust::new(&anchors).with_roots(&others), Trust::new(&anchors)] {
            assert_eq!(
                trust
                    .verify(&chain, server("localhost"), CLOCK)
                    .unwrap_err()
                    .to_string(),
                std::format!("issuer unknown: CN=Root {number}")
            );
        }
        // The intermediate's name is not enough without its certificate.
        let error = trust.verify(&chain[..1], server("localhost"), CLOCK).unwrap_err();
        assert_eq!(error.to_string(), "issuer unknown: CN=Intermediate");
    }
    // For clients only the configured CA counts: a bundle is for servers.
    let good = leaf(&own, |_| {});
    assert_eq!(trust.find_root(&[&good], Purpose::Client, CLOCK), Ok(anchors[0]));
    assert_eq!(Trust::new(&[]).with_roots(&roots).check(), Ok(()));
    assert_eq!(Trust::new(&[]).check(), Err(CertificateError::NoTrustAnchors));
}

#[test]
fn roots_are_never_pinned_to_and_malformed_ones_are_skipped() {
    let ca = root(|_| {});
    let der = &ca.der()[..];
    // As in the guide: the name only in CN.
    let nameless = leaf(&ca, |params| {
        params.subject_alt_names.clear();
        params.distinguished_name = named("localhost");
    });
    let (anchors, roots) = ([der], [&der[1..], &[], der]);
    let pinned = Trust::new(&anchors).with_mode(Mode::Pinned);
    assert_eq!(pinned.find_root(&[&nameless], server("localhost"), CLOCK), Ok(der));
    let bundled = Trust::new(&[]).with_roots(&roots).with_mode(Mode::Pinned);
    assert!(matches!(
        bundled.verify(&[&nameless], server("localhost"), CLOCK),
        Err(CertificateError::NotValidForName { .. })
    ));
    let named = leaf(&ca, |_| {});
    assert_eq!(bundled.find_root(&[&named], server("localhost"), CLOCK), Ok(der));
}

#[cfg(feature = "default")]
#[test]
fn unusable_roots_are_identified() {
    use crate::pki::signed::KeyFault;

    let dir = Dir::new();
    let expired = root(|params| params.not_after = date_time_ymd(2025, 6, 1));
    let end = leaf(&root(|_| {}), |_| {});
    assert_eq!(root_fault(root(|_| {}).der(), NOW), None);
    assert_eq!(root_fault(expired.der(), NOW), Some(RootFault::Expired));
    assert_eq!(root_fault(&end, NOW), Some(RootFault::NotACa));
    assert_eq!(root_fault(&end[1..], NOW), Some(RootFault::Malformed));
    assert_eq!(root_fault(&[], NOW), Some(RootFault::Malformed));
    let key = |fault| RootFault::Anchor(AnchorFault::Key(fault));
    // SHA-1 in its own signature does not matter, but its key does.
    for (arguments, fault) in [
        #[cfg(feature = "rsa")]
        ("-newkey rsa:2048 -sha1", None),
        #[cfg(feature = "rsa")]
        ("-newkey rsa:4096", None),
        #[cfg(feature = "rsa")]
        ("-newkey rsa:1024", Some(key(KeyFault::RsaBits(1024)))),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-521", Some(key(KeyFault::Kind))),
        ("-newkey ec -pkeyopt ec_paramgen_curve:P-384", None),
    ] {
        let line =
            std::format!("req -x509 {arguments} -nodes -subj /CN=Odd -days 3650 -keyout k.pem -outform DER -out c.der");
        dir.openssl(&line);
        assert_eq!(root_fault(&dir.read("c.der"), NOW), fault, "{arguments}");
    }
}
