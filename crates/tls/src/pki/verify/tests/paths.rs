//! Path building: bounds against hostile peers, and results.

use super::*;
use crate::pki::limits::{MAX_INTERMEDIATES, MAX_SAME_NAME, MAX_SIGNATURES};
use crate::pki::work::Work;

/// The most candidates considered in one verification: each signature leads to at most one certificate.
const MAX_STEPS: u32 = (MAX_SIGNATURES + 1) * (MAX_CHAIN + MAX_ANCHORS + MAX_ROOTS) as u32;

/// The result in both modes, and the larger cost.
fn counted(trust: Trust<'_>, chain: &[&[u8]]) -> (Result<(), String>, Work) {
    let verdicts = [Mode::Strict, Mode::Pinned].map(|mode| {
        let work = Work::default();
        let verdict = trust
            .with_mode(mode)
            .verify_chain_counted(chain, ANY_SERVER, CLOCK, &work);
        assert!(work.signatures() <= MAX_SIGNATURES, "{work:?}");
        assert!(work.steps() <= MAX_STEPS, "{work:?}");
        let sent: usize = chain.iter().map(|der| der.len()).sum();
        assert!(work.hashed() <= sent * MAX_SIGNATURES as usize, "{work:?}");
        (verdict.map(drop).map_err(|error| error.to_string()), work)
    });
    assert_eq!(verdicts[0].0, verdicts[1].0);
    let [_, pinned] = verdicts;
    pinned
}

pub(super) fn by(root: &Ca, chain: &[&[u8]]) -> (Result<(), String>, Work) {
    counted(Trust::new(&[&root.der()[..]]), chain)
}

pub(super) fn wrong(text: &str) -> Result<(), String> {
    Err(text.to_string())
}

/// `count` CAs with the same name and separate keys, all with the same issuer name.
fn namesakes(count: usize, issuer: &Ca) -> Vec<Ca> {
    (0..count).map(|_| intermediate("Same", issuer, |_| {})).collect()
}

#[test]
fn a_path_costs_a_signature_for_each_certificate() {
    let root = root(|_| {});
    let mut cas = Vec::from([root]);
    for number in 1..=MAX_INTERMEDIATES {
        let name = std::format!("Intermediate {number}");
        cas.push(intermediate(&name, &cas[number - 1], |_| {}));
    }
    for (length, ca) in cas.iter().enumerate() {
        let leaf = leaf(ca, |_| {});
        // The peer chooses the order, and may send other certificates.
        let mut chain = Vec::from([&leaf[..]]);
        chain.extend(cas[1..=length].iter().map(|ca| ca.der().as_ref()));
        for _ in 0..2 {
            let (verdict, work) = by(&cas[0], &chain);
            assert_eq!((verdict, work.signatures()), (Ok(()), length as u32 + 1));
            chain[1..].reverse();
        }
    }
    let six = intermediate("Intermediate 6", &cas[MAX_INTERMEDIATES], |_| {});
    let leaf = leaf(&six, |_| {});
    let mut chain = Vec::from([&leaf[..], six.der()]);
    chain.extend(cas[1..].iter().map(|ca| ca.der().as_ref()));
    assert_eq!(
        by(&cas[0], &chain).0,
        wrong("more than 5 intermediate certificates below a configured CA")
    );
}

#[test]
fn same_name_certificates_do_not_multiply() {
    let root = root(|_| {});
    // Each could have issued any other, but none did.
    let pretenders: Vec<Ca> = (1..MAX_CHAIN).map(|_| super::root(|_| {})).collect();
    let leaf = leaf(&pretenders[0], |_| {});
    let mut chain = Vec::from([&leaf[..]]);
    chain.extend(pretenders.iter().map(|ca| ca.der().as_ref()));
    let complex = wrong("certificate takes more than 8 signature checks to verify");
    assert!(by(&root, &chain).0.is_err());
    // A chain of CAs with the same name and key identifier, each signed by the next.
    let mut tower = Vec::from([super::root(|_| {})]);
    for number in 1..MAX_CHAIN {
        tower.push(intermediate("Root", &tower[number - 1], |_| {}));
    }
    let leaf = super::leaf(&tower[MAX_CHAIN - 1], |_| {});
    for reverse in [false, true] {
        let mut chain = Vec::from([&leaf[..]]);
        chain.extend(tower[1..].iter().map(|ca| ca.der().as_ref()));
        if reverse {
            chain[1..].reverse();
        }
        let (verdict, _) = by(&tower[0], &chain);
        assert!(verdict.is_err());
        let (verdict, _) = by(&root, &chain);
        assert!(verdict.is_err());
    }
    // The right one is the ninth.
    let cas = namesakes(MAX_CHAIN - 1, &root);
    let below = super::leaf(&cas[MAX_CHAIN - 2], |_| {});
    let mut chain = Vec::from([&below[..]]);
    chain.extend(cas.iter().map(|ca| ca.der().as_ref()));
    assert_eq!(by(&root, &chain).0, complex);
    // With key identifiers it is found at once.
    let identified = |name: &str, issuer: &Ca| {
        intermediate(name, issuer, |params| {
            params.use_authority_key_identifier_extension = true;
        })
    };
    let cas: Vec<Ca> = (1..MAX_CHAIN).map(|_| identified("Same", &root)).collect();
    let below = super::leaf(&cas[MAX_CHAIN - 2], |params| {
        params.use_authority_key_identifier_extension = true;
    });
    let mut chain = Vec::from([&below[..]]);
    chain.extend(cas.iter().map(|ca| ca.der().as_ref()));
    let (verdict, work) = by(&root, &chain);
    assert_eq!((verdict, work.signatures()), (Ok(()), 2));
}

/// Nine levels of CAs that all sign each other: the number of paths is exponential in the levels.
#[test]
fn levels_of_two_cas_do_not_multiply() {
    let root = root(|params| params.distinguished_name = named("Elsewhere"));
    let key = KeyPair::generate().unwrap().serialize_der();
    let storey = |number: usize, issuer: &Ca| {
        let mut params = ca_params(&std::format!("Storey {number}"));
        params.serial_number = None;
        CertifiedIssuer::signed_by(params, KeyPair::try_from(&key[..]).unwrap(), issuer).unwrap()
    };
    let top = super::root(|params| params.distinguished_name = named("Top"));
    let mut cas: Vec<Ca> = Vec::new();
    for number in 0..4 {
        for _ in 0..2 {
            let issuer = if number == 0 { &top } else { &cas[2 * number - 1] };
            let ca = storey(number, issuer);
            cas.push(ca);
        }
    }
    let leaf = leaf(&cas[7], |_| {});
    let mut chain = Vec::from([&leaf[..]]);
    chain.extend(cas.iter().map(|ca| ca.der().as_ref()));
    let (verdict, work) = by(&root, &chain);
    assert_eq!(
        (verdict, work.signatures()),
        (
            wrong("certificate takes more than 8 signature checks to verify"),
            MAX_SIGNATURES
        )
    );
    assert_eq!(by(&top, &chain).0, Ok(()));
}

#[test]
fn lists_and_responses_are_counted() {
    let root = root(|_| {});
    let one = intermediate("One", &root, |_| {});
    let leaf = leaf(&one, |_| {});
    let crls: Vec<Vec<u8>> = [&root, &one].map(|ca| revocation::list(ca, &[], |_| {})).into();
    let crls: Vec<&[u8]> = crls.iter().map(|crl| &crl[..]).collect();
    let anchors: [&[u8]; 1] = [root.der()];
    let chain: [&[u8]; 2] = [&leaf, one.der()];
    let (verdict, work) = counted(Trust::new(&anchors).with_crls(&crls), &chain);
    assert_eq!((verdict, work.signatures()), (Ok(()), 4));
    let size = |der: &[u8]| Certificate::from_der(der).unwrap().tbs.len();
    let lists: usize = crls.iter().map(|crl| crl::Crl::from_der(crl).unwrap().tbs.len()).sum();
    assert_eq!(work.hashed(), size(&leaf) + size(one.der()) + lists);
    // The maximum number of lists of one CA.
    let many = [crls[0]; MAX_CRLS];
    assert_eq!(
        counted(Trust::new(&anchors).with_crls(&many), &chain).0,
        wrong("certificate takes more than 8 signature checks to verify")
    );
}

#[test]
fn lists_with_known_signatures_cost_no_checks() {
    let root = root(|_| {});
    let one = intermediate("One", &root, |_| {});
    let leaf = leaf(&one, |_| {});
    let namesake = super::root(|_| {});
    let lists = |issuer: &Ca, serials: &[&[u8]]| revocation::list(issuer, serials, |_| {});
    let (empty, below, forged) = (lists(&root, &[]), lists(&one, &[]), lists(&namesake, &[]));
    let anchors: [&[u8]; 1] = [root.der()];
    let chain: [&[u8]; 2] = [&leaf, one.der()];
    let verdict = |crls: &[&[u8]], anchors: &[&[u8]]| {
        let trust = Trust::new(anchors).with_crls(crls);
        let (verdict, work) = counted(trust.with_signed_crls(trust.signed_crls()), &chain);
        (verdict, work.signatures())
    };
    // The maximum number of lists of one CA, one of which revokes.
    let mut many = [&empty[..]; MAX_CRLS];
    assert_eq!(verdict(&many, &anchors), (Ok(()), 2));
    let one_serial = Certificate::from_der(one.der()).unwrap().serial;
    let revoking = lists(&root, &[one_serial]);
    many[MAX_CRLS - 1] = &revoking;
    assert!(
        verdict(&many, &anchors)
            .0
            .unwrap_err()
            .starts_with("certificate revoked: ")
    );
    // The list of a CA that is not configured is verified with the path, and cannot be replaced by another.
    assert_eq!(verdict(&[&empty, &below], &anchors), (Ok(()), 3));
    assert_eq!(
        verdict(&[&empty, &forged], &anchors).0,
        wrong("revocation list's signature is not its issuer's")
    );
    // The result applies only to these lists and CAs.
    let trust = Trust::new(&anchors).with_crls(&many[..1]);
    let known = trust.with_signed_crls(trust.signed_crls());
    assert_eq!(counted(known, &chain).1.signatures(), 2);
    for forgotten in [known.with_crls(&many[..1]), known.with_roots(&[])] {
        assert_eq!(counted(forgotten, &chain).1.signatures(), 3);
    }
}

#[test]
fn another_path_is_tried_if_the_first_is_refused() {
    let root = root(|_| {});
    let other = super::root(|params| params.distinguished_name = named("Other"));
    let key = KeyPair::generate().unwrap().serialize_der();
    let one = |issuer: &Ca, change: fn(&mut CertificateParams)| {
        let mut params = ca_params("One");
        change(&mut params);
        CertifiedIssuer::signed_by(params, KeyPair::try_from(&key[..]).unwrap(), issuer).unwrap()
    };
    let expired = one(&root, |params| params.not_after = date_time_ymd(2025, 2, 1));
    let (good, stray) = (one(&root, |_| {}), one(&other, |_| {}));
    let leaf = leaf(&good, |_| {});
    let (expired, good, stray): (&[u8], &[u8], &[u8]) = (expired.der(), good.der(), stray.der());
    for chain in [
        &[&leaf[..], expired, good][..],
        &[&leaf, stray, good],
        &[&leaf, good, expired],
    ] {
        assert_eq!(by(&root, chain).0, Ok(()));
    }
    assert_eq!(
        by(&root, &[&leaf, expired, stray]).0,
        wrong("certificate expired 2025-02-01 (it is 2026-01-01 now)")
    );
}

/// A CA with a new key issues a certificate for it with the old one (RFC 5280 §6.1.4 l).
#[test]
fn self_issued_certificates_are_not_counted() {
    let root = root(|_| {});
    let narrow = |issuer: &Ca, name: &str, change: fn(&mut CertificateParams)| {
        intermediate(name, issuer, |params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            change(params);
        })
    };
    let one = narrow(&root, "One", |_| {});
    let new = narrow(&one, "One", |_| {});
    let leaf = leaf(&new, |_| {});
    let chain: [&[u8]; 3] = [&leaf, new.der(), one.der()];
    let (verdict, work) = by(&root, &chain);
    assert_eq!((verdict, work.signatures()), (Ok(()), 3));
    assert_eq!(by(&root, &[&leaf, one.der(), new.der()]).0, Ok(()));
    // The root itself may have done so.
    let root_key = intermediate("Root", &root, |_| {});
    let below = super::leaf(&root_key, |_| {});
    assert_eq!(by(&root, &[&below, root_key.der()]).0, Ok(()));
    // Its constraints still apply.
    let expired = narrow(&one, "One", |params| params.not_after = date_time_ymd(2025, 2, 1));
    let code = narrow(&one, "One", |params| {
        params.extended_key_usages = Vec::from([ExtendedKeyUsagePurpose::CodeSigning]);
    });
    let constrained = narrow(&one, "One", |params| params.name_constraints = Some(only_example()));
    for (ca, text) in [
        (expired, "certificate expired 2025-02-01 (it is 2026-01-01 now)"),
        (code, "certificate is for code signing, not for server authentication"),
        (
            constrained,
            "issuer has unsupported name constraints (of a self-issued certificate): CN=One",
        ),
    ] {
        let leaf = super::leaf(&ca, |_| {});
        assert_eq!(by(&root, &[&leaf, ca.der(), one.der()]).0, wrong(text));
    }
    // A counted intermediate is still one too many, and a wrong signature is refused.
    let two = narrow(&new, "Two", |_| {});
    let leaf = super::leaf(&two, |_| {});
    assert_eq!(
        by(&root, &[&leaf, two.der(), new.der(), one.der()]).0,
        wrong("certificate chain is longer than allowed: pathLenConstraint 0 of CN=One")
    );
    let forged = narrow(
        &super::root(|params| params.distinguished_name = named("One")),
        "One",
        |_| {},
    );
    let leaf = super::leaf(&forged, |_| {});
    assert_eq!(
        by(&root, &[&leaf, forged.der(), one.der()]).0,
        wrong("certificate's signature is not its issuer's")
    );
    // At most two may have the same name.
    let mut cas = Vec::from([intermediate("One", &root, |_| {})]);
    for number in 0..MAX_SAME_NAME {
        cas.push(intermediate("One", &cas[number], |_| {}));
    }
    let leaf = super::leaf(&cas[MAX_SAME_NAME], |_| {});
    let mut chain = Vec::from([&leaf[..]]);
    chain.extend(cas.iter().map(|ca| ca.der().as_ref()));
    assert_eq!(
        by(&root, &chain).0,
        wrong("more than 2 intermediate certificates with the same name: CN=One")
    );
}

#[test]
fn configured_cas_are_limited_by_their_extensions() {
    let issued = |change: fn(&mut CertificateParams)| {
        let ca = root(change);
        let leaf = leaf(&ca, |_| {});
        by(&ca, &[&leaf]).0
    };
    assert_eq!(issued(|_| {}), Ok(()));
    assert_eq!(
        issued(|params| params.is_ca = IsCa::ExplicitNoCa),
        wrong("configured CA cannot be used: CN=Root: it is not a CA (basicConstraints)")
    );
    assert_eq!(
        issued(|params| params.is_ca = IsCa::NoCa),
        wrong("configured CA cannot be used: CN=Root: it is not a CA (basicConstraints)")
    );
    assert_eq!(
        issued(|params| params.extended_key_usages = Vec::from([ExtendedKeyUsagePurpose::ClientAuth])),
        wrong("certificate is for client authentication, not for server authentication")
    );
    let text = "configured CA cannot be used: CN=Root: it may not sign certificates (keyUsage lacks keyCertSign)";
    assert_eq!(
        issued(|params| params.key_usages = Vec::from([KeyUsagePurpose::CrlSign])),
        wrong(text)
    );
    let unknown = |params: &mut CertificateParams| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], Vec::from([5, 0]));
        extension.set_criticality(true);
        params.custom_extensions = Vec::from([extension]);
    };
    assert_eq!(
        issued(unknown),
        wrong("configured CA cannot be used: CN=Root: it has an unsupported critical extension (1.2.3.4)")
    );
    // pathLenConstraint
    let ca = root(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    assert_eq!(by(&ca, &[&leaf(&ca, |_| {})]).0, Ok(()));
    let one = intermediate("One", &ca, |_| {});
    assert_eq!(
        by(&ca, &[&leaf(&one, |_| {}), one.der()]).0,
        wrong("certificate chain is longer than allowed: pathLenConstraint 0 of CN=Root")
    );
}

/// A configured certificate that is not a CA is trusted as the peer's own.
#[test]
fn a_configured_leaf_is_pinned() {
    let ca = root(|_| {});
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_string()]).unwrap();
    params.distinguished_name = named("localhost");
    let by_itself = params.self_signed(&key).unwrap().der().to_vec();
    let by_ca = leaf(&ca, |_| {});
    let verdict = |mode, leaf: &[u8]| {
        let anchors: [&[u8]; 1] = [leaf];
        let trust = Trust::new(&anchors).with_mode(mode);
        trust.verify(&[leaf], server("localhost"), CLOCK)
    };
    assert_eq!(verdict(Mode::Pinned, &by_itself), Ok(()));
    assert_eq!(verdict(Mode::Strict, &by_itself), Ok(()));
    assert_eq!(verdict(Mode::Pinned, &by_ca), Ok(()));
    assert!(matches!(
        verdict(Mode::Strict, &by_ca),
        Err(CertificateError::UnknownIssuer { .. })
    ));
    // Only this very certificate: not another with the same key and name.
    let mut params = params.clone();
    params.serial_number = Some(SerialNumber::from(Vec::from([7])));
    let twin = params.self_signed(&key).unwrap().der().to_vec();
    for mode in [Mode::Strict, Mode::Pinned] {
        let anchors: [&[u8]; 1] = [&by_itself];
        let verdict = Trust::new(&anchors).with_mode(mode).verify(&[&twin], ANY_SERVER, CLOCK);
        assert!(
            matches!(verdict, Err(CertificateError::UnusableAnchor { .. })),
            "{verdict:?}"
        );
    }
    // And it must be valid like any other.
    let anchors: [&[u8]; 1] = [&by_ca];
    let pinned = Trust::new(&anchors).with_mode(Mode::Pinned);
    assert!(matches!(
        pinned.verify(&[&by_ca], server("elsewhere"), CLOCK),
        Err(CertificateError::NotValidForName { .. })
    ));
    let late = Clock {
        now: NOW + 3 * 365 * DAY,
        floor: NOW,
    };
    assert!(matches!(
        pinned.verify(&[&by_ca], ANY_SERVER, late),
        Err(CertificateError::Expired { .. })
    ));
}

#[test]
fn unsupported_constraints_are_named() {
    let subtree = |form: u8, value: &[u8]| element(0xa0, &[&element(0x30, &[&element(form, &[value])])]);
    let directory = element(0xa4, &[&element(0x30, &[])]);
    let directory = element(0x30, &[&element(0xa0, &[&element(0x30, &[&directory])])]);
    let mail = element(0x30, &[&subtree(0x81, b"example.com")]);
    let constrained = |value: Vec<u8>| {
        root(|params| {
            let mut extension = CustomExtension::from_oid_content(&[2, 5, 29, 30], value);
            extension.set_criticality(true);
            params.custom_extensions = Vec::from([extension]);
        })
    };
    let text = |form: &str| {
        wrong(&std::format!(
            "issuer has unsupported name constraints ({form}): CN=Root"
        ))
    };
    let ca = constrained(directory);
    assert_eq!(by(&ca, &[&leaf(&ca, |_| {})]).0, text("directoryName"));
    let ca = constrained(mail);
    assert_eq!(by(&ca, &[&leaf(&ca, |_| {})]).0, Ok(()));
    let leaf = leaf(&ca, |params| {
        let name = rcgen::SanType::Rfc822Name("a@example.com".try_into().unwrap());
        params.subject_alt_names.push(name);
    });
    assert_eq!(by(&ca, &[&leaf]).0, text("rfc822Name"));
}

/// Following the advice helps.
#[test]
fn advice_is_given_where_it_helps() {
    let (ca, stranger) = (
        root(|_| {}),
        root(|params| params.distinguished_name = named("Stranger")),
    );
    let one = intermediate("One", &ca, |_| {});
    let text = |chain: &[&[u8]]| strict(&ca, chain, ANY_SERVER).unwrap_err().to_string();
    for advised in [
        v1(&ca, "x", THESE_YEARS),
        intermediate("Leaf", &ca, |params| params.key_usages.clear())
            .der()
            .to_vec(),
    ] {
        assert!(text(&[&advised]).ends_with(", or choose pinned verification"));
        assert_eq!(pinned(&ca, &[&advised], ANY_SERVER), Ok(()));
    }
    for (issued, chain) in [
        (v1(&one, "x", THESE_YEARS), one.der().as_ref()),
        (intermediate("Leaf", &one, |_| {}).der().to_vec(), one.der()),
    ] {
        let text = text(&[&issued, chain]);
        assert!(text.contains("reissue it with") && !text.contains("pinned"), "{text}");
    }
    for (issued, chain) in [
        (stranger.der().to_vec(), None),
        (v1(&stranger, "x", THESE_YEARS), None),
        (v1(&stranger, "x", THESE_YEARS), Some(stranger.der().as_ref())),
    ] {
        let chain: Vec<&[u8]> = core::iter::once(&issued[..]).chain(chain).collect();
        refused(&ca, &chain, ANY_SERVER, "issuer unknown: CN=Stranger");
    }
}
