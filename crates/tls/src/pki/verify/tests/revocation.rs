//! Revocation lists: of version 2 by rcgen, of version 1 and odd ones by hand.

use super::*;

pub(super) fn list(
    issuer: &Issuer<'_, KeyPair>,
    serials: &[&[u8]],
    change: impl FnOnce(&mut CertificateRevocationListParams),
) -> Vec<u8> {
    let mut params = CertificateRevocationListParams {
        this_update: date_time_ymd(2025, 6, 1),
        next_update: date_time_ymd(2026, 6, 1),
        crl_number: SerialNumber::from(1u64),
        issuing_distribution_point: None,
        revoked_certs: serials
            .iter()
            .map(|serial| RevokedCertParams {
                serial_number: SerialNumber::from(serial.to_vec()),
                revocation_time: date_time_ymd(2025, 6, 1),
                reason_code: None,
                invalidity_date: None,
            })
            .collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    change(&mut params);
    params.signed_by(issuer).unwrap().der().to_vec()
}

const THIS_UPDATE: &[u8] = b"\x17\x0d250601000000Z";
/// For a list without nextUpdate.
const RECENT: &[u8] = b"\x17\x0d251210000000Z";
const V2: &[u8] = &[2, 1, 1];
const NEXT_UPDATE: &[u8] = b"\x17\x0d260601000000Z";

fn entry(serial: &[u8], extensions: &[u8]) -> Vec<u8> {
    element(0x30, &[&element(2, &[serial]), THIS_UPDATE, extensions])
}

/// A list from the fields after the issuer; version 1 unless `version` is given.
fn assemble(ca: &Ca, version: &[u8], fields: &[&[u8]]) -> Vec<u8> {
    let issuer = Certificate::from_der(ca.der()).unwrap().subject.der;
    let fields = fields.concat();
    signed(ca, &[version, ECDSA_SHA256, issuer, &fields])
}

fn with(ca: &Ca, crls: &[&[u8]], chain: &[&[u8]]) -> Result<(), String> {
    let anchors: [&[u8]; 1] = [ca.der()];
    let trust = Trust::new(&anchors).with_crls(crls);
    let verdict = trust.verify(chain, ANY_SERVER, CLOCK);
    assert_eq!(trust.with_mode(Mode::Pinned).verify(chain, ANY_SERVER, CLOCK), verdict);
    verdict.map_err(|error| error.to_string())
}

fn wrong(text: &str) -> Result<(), String> {
    Err(text.to_string())
}

const SERIAL: &[u8] = &[0x10, 1];
const REVOKED: &str = "certificate revoked: serial number 1001";

#[test]
fn lists_of_both_versions_revoke() {
    let root = root(|_| {});
    let leaf = leaf(&root, |_| {});
    let (listed, other) = (entry(SERIAL, &[]), entry(&[0x10, 2], &[]));
    let entries = |entries: &[&[u8]]| element(0x30, entries);
    let old = |revoked: &[u8]| assemble(&root, &[], &[THIS_UPDATE, NEXT_UPDATE, revoked]);
    for (crl, good) in [
        (list(&root, &[&[1], SERIAL], |_| {}), false),
        (list(&root, &[&[1], &[0x10, 2], &[1, 0x10, 1], &[0x10]], |_| {}), true),
        (list(&root, &[], |_| {}), true),
        (old(&entries(&[&other, &listed])), false),
        (old(&entries(&[&other])), true),
        (old(&[]), true),
        (assemble(&root, &[], &[RECENT, &entries(&[&listed])]), false),
        (assemble(&root, &[], &[RECENT]), true),
        (assemble(&root, V2, &[RECENT, NEXT_UPDATE, &entries(&[&listed])]), false),
        (assemble(&root, V2, &[RECENT]), true),
    ] {
        let expected = if good { Ok(()) } else { wrong(REVOKED) };
        assert_eq!(with(&root, &[&crl], &[&leaf]), expected);
        let v1 = v1(&root, "x", THESE_YEARS);
        let anchors: [&[u8]; 1] = [root.der()];
        let verdict = Trust::new(&anchors)
            .with_crls(&[&crl[..]])
            .with_mode(Mode::Pinned)
            .verify(&[&v1], ANY_SERVER, CLOCK);
        assert_eq!(verdict.map_err(|error| error.to_string()), expected);
    }
    // One of several.
    let (empty, full) = (old(&[]), list(&root, &[SERIAL], |_| {}));
    assert_eq!(with(&root, &[&empty, &full], &[&leaf]), wrong(REVOKED));
    // A list of another CA does not apply, although it contains the number.
    let stranger = super::root(|params| params.distinguished_name = named("Stranger"));
    let theirs = list(&stranger, &[SERIAL], |_| {});
    assert_eq!(with(&root, &[&theirs], &[&leaf]), Ok(()));
    assert_eq!(with(&root, &[&theirs, &full], &[&leaf]), wrong(REVOKED));
    // A serial number with its highest bit set is shown without the leading zero.
    let leaf = super::leaf(&root, |params| {
        params.serial_number = Some(Vec::from([0xab, 0xcd]).into());
    });
    let crl = list(&root, &[&[0xab, 0xcd]], |_| {});
    assert_eq!(
        with(&root, &[&crl], &[&leaf]),
        wrong("certificate revoked: serial number ABCD")
    );
}

#[test]
fn intermediates_are_revoked_too() {
    let root = root(|_| {});
    let one = intermediate("One", &root, |params| {
        params.serial_number = Some(Vec::from([0x77]).into());
    });
    let leaf = leaf(&one, |_| {});
    let chain = [&leaf[..], one.der()];
    let old = assemble(
        &root,
        &[],
        &[THIS_UPDATE, NEXT_UPDATE, &element(0x30, &[&entry(&[0x77], &[])])],
    );
    for crl in [list(&root, &[&[0x77]], |_| {}), old] {
        assert_eq!(
            with(&root, &[&crl], &chain),
            wrong("certificate revoked: serial number 77")
        );
    }
    let old = assemble(
        &one,
        &[],
        &[THIS_UPDATE, NEXT_UPDATE, &element(0x30, &[&entry(SERIAL, &[])])],
    );
    for crl in [list(&one, &[SERIAL], |_| {}), old] {
        assert_eq!(with(&root, &[&crl], &chain), wrong(REVOKED));
    }
}

#[test]
fn unusable_lists_are_named() {
    let root = root(|_| {});
    let leaf = leaf(&root, |_| {});
    // Expired
    let text = "revocation list expired 2025-12-31 (it is 2026-01-01 now)";
    let new = list(&root, &[], |params| params.next_update = date_time_ymd(2025, 12, 31));
    let old = assemble(&root, &[], &[THIS_UPDATE, b"\x17\x0d251231000000Z"]);
    for crl in [new, old] {
        assert_eq!(with(&root, &[&crl], &[&leaf]), wrong(text));
    }
    // Signed by another CA with the same name
    let namesake = super::root(|_| {});
    for crl in [list(&namesake, &[], |_| {}), assemble(&namesake, &[], &[RECENT])] {
        assert_eq!(
            with(&root, &[&crl], &[&leaf]),
            wrong("revocation list's signature is not its issuer's")
        );
    }
    // Malformed
    let good = list(&root, &[SERIAL], |_| {});
    for crl in [
        &good[1..],
        &good[..good.len() - 1],
        &[],
        &leaf,
        &assemble(&root, &[2, 1, 0], &[RECENT]),
        &assemble(&root, &[2, 1, 2], &[RECENT]),
        &assemble(&root, &[], &[RECENT, NEXT_UPDATE, &[5, 0]]),
        &assemble(&root, &[], &[RECENT, &element(0x30, &[&element(0x30, &[&[5, 0]])])]),
        // Version 1 has no extensions.
        &assemble(
            &root,
            &[],
            &[RECENT, &element(0x30, &[&entry(SERIAL, &element(0x30, &[]))])],
        ),
        &assemble(&root, &[], &[RECENT, &element(0xa0, &[&element(0x30, &[])])]),
    ] {
        assert_eq!(
            with(&root, &[crl], &[&leaf]),
            wrong("a configured revocation list is malformed"),
            "{crl:02x?}"
        );
    }
    assert_eq!(
        Trust::new(&[&root.der()[..]]).with_crls(&[&good[..]; MAX_CRLS]).check(),
        Ok(())
    );
    assert_eq!(
        Trust::new(&[&root.der()[..]])
            .with_crls(&[&good[..]; MAX_CRLS + 1])
            .check(),
        Err(CertificateError::TooManyConfigured)
    );
    assert_eq!(
        Trust::new(&[&root.der()[..]]).with_crls(&[&good[1..]]).check(),
        Err(CertificateError::MalformedCrl)
    );
    // Delta lists, and indirect ones, with their critical extensions (2.5.29.27 and .28)
    let extension =
        |last: u8, value: &[u8]| element(0x30, &[&[6, 3, 0x55, 0x1d, last], &[1, 1, 0xff], &element(4, &[value])]);
    let number = element(0x30, &[&[6, 3, 0x55, 0x1d, 20], &element(4, &[&[2, 1, 1]])]);
    for (odd, kind) in [
        (extension(27, &[2, 1, 1]), "delta CRL"),
        (extension(28, &[0x30, 3, 0x84, 1, 0xff]), "indirect CRL"),
    ] {
        let extensions = element(0xa0, &[&element(0x30, &[&number, &odd])]);
        let crl = assemble(&root, V2, &[THIS_UPDATE, NEXT_UPDATE, &extensions]);
        assert_eq!(
            with(&root, &[&crl], &[&leaf]),
            wrong(&std::format!("revocation list type is not supported ({kind})"))
        );
    }
}

#[test]
fn issuers_without_crl_sign_may_not_sign_lists() {
    let root = root(|_| {});
    let one = intermediate("One", &root, |params| {
        params.key_usages = Vec::from([KeyUsagePurpose::KeyCertSign]);
    });
    let leaf = leaf(&one, |_| {});
    // rcgen would not sign either: clear its key usage.
    let key = KeyPair::try_from(one.key().serialize_der()).unwrap();
    let mut params = ca_params("One");
    params.key_usages.clear();
    let crl = list(&Issuer::new(params, key), &[], |_| {});
    let old = assemble(&one, &[], &[THIS_UPDATE, NEXT_UPDATE]);
    for crl in [crl, old] {
        assert_eq!(
            with(&root, &[&crl], &[&leaf, one.der()]),
            wrong("issuer may not sign revocation lists (keyUsage lacks cRLSign)")
        );
    }
    // The same applies to configured CAs.
    let root = super::root(|params| params.key_usages = Vec::from([KeyUsagePurpose::KeyCertSign]));
    let leaf = super::leaf(&root, |_| {});
    let mut params = ca_params("Root");
    params.key_usages.clear();
    let key = KeyPair::try_from(root.key().serialize_der()).unwrap();
    let crl = list(&Issuer::new(params, key), &[], |_| {});
    let old = assemble(&root, &[], &[THIS_UPDATE, NEXT_UPDATE]);
    assert_eq!(with(&root, &[], &[&leaf]), Ok(()));
    for crl in [crl, old] {
        assert_eq!(
            with(&root, &[&crl], &[&leaf]),
            wrong("issuer may not sign revocation lists (keyUsage lacks cRLSign)")
        );
    }
}

#[test]
fn listed_certificates_are_revoked_whatever_the_distribution_point() {
    let root = root(|_| {});
    let at = |place: &str| CrlDistributionPoint {
        uris: Vec::from([std::format!("http://{place}.example/crl")]),
    };
    let leaf = leaf(&root, |params| {
        params.crl_distribution_points = Vec::from([at("one")]);
    });
    for scope in [None, Some(CrlScope::UserCertsOnly), Some(CrlScope::CaCertsOnly)] {
        for place in ["one", "two"] {
            let crl = |serials: &[&[u8]]| {
                list(&root, serials, |params| {
                    params.issuing_distribution_point = Some(CrlIssuingDistributionPoint {
                        distribution_point: at(place),
                        scope,
                    });
                })
            };
            // In both modes, and X.509 v1 as well, which only pinned verification takes.
            assert_eq!(
                with(&root, &[&crl(&[SERIAL])], &[&leaf]),
                wrong(REVOKED),
                "{place} {scope:?}"
            );
            assert_eq!(with(&root, &[&crl(&[&[1]])], &[&leaf]), Ok(()), "{place} {scope:?}");
            let v1 = v1(&root, "x", THESE_YEARS);
            let verdict = |crl: &[u8]| {
                let (anchors, crls): ([&[u8]; 1], [&[u8]; 1]) = ([root.der()], [crl]);
                let trust = Trust::new(&anchors).with_crls(&crls).with_mode(Mode::Pinned);
                let verdict = trust.verify(&[&v1], ANY_SERVER, CLOCK);
                verdict.map_err(|error| error.to_string())
            };
            assert_eq!(verdict(&crl(&[SERIAL])), wrong(REVOKED), "{place} {scope:?}");
            assert_eq!(verdict(&crl(&[&[1]])), Ok(()), "{place} {scope:?}");
        }
    }
}

/// Two CAs with the same name, as after a change of keys: the list of either revokes the certificates of both.
#[test]
fn a_list_by_the_ca_s_other_key_counts() {
    let (old, new) = (root(|_| {}), root(|_| {}));
    let leaf = leaf(&old, |_| {});
    let crl = list(&new, &[SERIAL], |_| {});
    let verdict = |anchors: &[&[u8]]| {
        let crls: [&[u8]; 1] = [&crl];
        let verdict = Trust::new(anchors).with_crls(&crls).verify(&[&leaf], ANY_SERVER, CLOCK);
        verdict.map_err(|error| error.to_string())
    };
    assert_eq!(verdict(&[old.der(), new.der()]), wrong(REVOKED));
    assert_eq!(verdict(&[new.der(), old.der()]), wrong(REVOKED));
    assert_eq!(
        verdict(&[old.der()]),
        wrong("revocation list's signature is not its issuer's")
    );
}

#[test]
fn lists_of_the_future_do_not_count() {
    let root = root(|_| {});
    let leaf = leaf(&root, |_| {});
    let future = list(&root, &[SERIAL], |params| {
        params.this_update = date_time_ymd(2026, 1, 2);
    });
    let today = list(&root, &[], |_| {});
    assert_eq!(
        with(&root, &[&future], &[&leaf]),
        wrong("revocation list not valid before 2026-01-02 (it is 2026-01-01 now)")
    );
    assert_eq!(with(&root, &[&future, &today], &[&leaf]), Ok(()));
    assert_eq!(with(&root, &[&today, &future], &[&leaf]), Ok(()));
}
