//! OCSP responses, by hand with each field wrong, and by `openssl ocsp`.

use std::format;
use std::time::{SystemTime, UNIX_EPOCH};

use super::*;
use crate::pki::ocsp::MAX_RESPONDER_CERTIFICATES;
use crate::pki::staple::{CLOCK_SKEW, MAX_AGE, requires_staple};

const SHA1: &[u8] = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
const SHA256: &[u8] = b"\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00";
const BASIC: &[u8] = b"\x06\x09\x2b\x06\x01\x05\x05\x07\x30\x01\x01";
/// An unknown extension.
const CRITICAL: &[u8] = b"\x30\x0b\x06\x03\x2a\x03\x04\x01\x01\xff\x04\x01\x00";
const HARMLESS: &[u8] = b"\x30\x08\x06\x03\x2a\x03\x04\x04\x01\x00";
/// The day before [`NOW`], and the day after.
const YESTERDAY: &[u8] = b"\x18\x0f20251231000000Z";
const TOMORROW: &[u8] = b"\x18\x0f20260102000000Z";
const GOOD: &[u8] = &[0x80, 0];
const UNKNOWN: &[u8] = &[0x82, 0];
const SERIAL: &[u8] = &[0x10, 1];

/// The status of a certificate: a good answer, to be modified.
struct Made {
    algorithm: &'static [u8],
    issuer: Vec<u8>,
    key: Vec<u8>,
    serial: Vec<u8>,
    status: Vec<u8>,
    this_update: Vec<u8>,
    /// With its tag.
    next_update: Vec<u8>,
    extensions: Vec<u8>,
}

impl Made {
    fn about(issuer: &[u8]) -> Self {
        let issuer = Certificate::from_der(issuer).unwrap();
        Self {
            algorithm: SHA256,
            issuer: HashAlgorithm::Sha256.hash(issuer.subject.der).as_ref().to_vec(),
            key: HashAlgorithm::Sha256.hash(issuer.public_key.bits).as_ref().to_vec(),
            serial: SERIAL.to_vec(),
            status: GOOD.to_vec(),
            this_update: YESTERDAY.to_vec(),
            next_update: element(0xa0, &[TOMORROW]),
            extensions: Vec::new(),
        }
    }

    fn der(&self) -> Vec<u8> {
        let (issuer, key) = (element(4, &[&self.issuer]), element(4, &[&self.key]));
        let id = element(0x30, &[self.algorithm, &issuer, &key, &element(2, &[&self.serial])]);
        element(
            0x30,
            &[
                &id,
                &self.status,
                &self.this_update,
                &self.next_update,
                &self.extensions,
            ],
        )
    }
}

/// ResponderID by name.
fn by_name(certificate: &[u8]) -> Vec<u8> {
    element(0xa1, &[Certificate::from_der(certificate).unwrap().subject.der])
}

/// A ResponseData with these answers.
fn data(responder: &[u8], answers: &[&[u8]], extensions: &[u8]) -> Vec<u8> {
    element(0x30, &[responder, YESTERDAY, &element(0x30, answers), extensions])
}

/// An OCSPResponse around `data`, signed with `key`.
fn respond(data: &[u8], key: &KeyPair, certificates: &[&[u8]]) -> Vec<u8> {
    let key = SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap();
    let signature = key
        .sign(SignatureScheme::EcdsaSecp256r1Sha256, data, &mut Rng(1))
        .unwrap();
    let certificates = match certificates {
        [] => Vec::new(),
        some => element(0xa0, &[&element(0x30, some)]),
    };
    successful(&element(
        0x30,
        &[data, ECDSA_SHA256, &element(3, &[&[0], &signature]), &certificates],
    ))
}

fn successful(basic: &[u8]) -> Vec<u8> {
    let bytes = element(0x30, &[BASIC, &element(4, &[basic])]);
    element(0x30, &[&[0x0a, 1, 0], &element(0xa0, &[&bytes])])
}

/// A CA, a leaf issued by it, and responses about the leaf.
struct World {
    root: Ca,
    leaf: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let root = root(|_| {});
        let leaf = leaf(&root, |_| {});
        Self { root, leaf }
    }

    fn answer(&self, change: impl FnOnce(&mut Made)) -> Vec<u8> {
        let mut made = Made::about(self.root.der());
        change(&mut made);
        made.der()
    }

    /// A response by the CA itself.
    fn response(&self, change: impl FnOnce(&mut Made)) -> Vec<u8> {
        let answer = self.answer(change);
        respond(&data(&by_name(self.root.der()), &[&answer], &[]), self.root.key(), &[])
    }

    fn check_staple(&self, staple: &[u8]) -> Result<(), String> {
        check_staple(&self.root, &[&self.leaf], Some(staple), CLOCK)
    }

    fn refuses(&self, staple: &[u8], words: &str) {
        let expected = format!("stapled OCSP response refused: {words}");
        assert_eq!(self.check_staple(staple), Err(expected));
    }
}

/// The result in both modes, which must agree, immediately and by a later check.
fn check_staple(root: &Ca, chain: &[&[u8]], staple: Option<&[u8]>, clock: Clock) -> Result<(), String> {
    check_staple_with(Trust::new(&[&root.der()[..]]), chain, staple, clock)
}

fn check_staple_with(trust: Trust<'_>, chain: &[&[u8]], staple: Option<&[u8]>, clock: Clock) -> Result<(), String> {
    let verdicts = [Mode::Strict, Mode::Pinned].map(|mode| {
        let trust = trust.with_mode(mode);
        let verified = trust.verify_chain(chain, ANY_SERVER, clock).unwrap();
        let verdict = verified.check_staple(staple, &trust, clock);
        let staple_check = verified.staple_check().unwrap();
        assert_eq!(staple_check.check(staple, &trust, clock), verdict);
        verdict.map_err(|error| error.to_string())
    });
    assert_eq!(verdicts[0], verdicts[1]);
    verdicts[0].clone()
}

#[test]
fn valid_responses_pass() {
    let world = World::new();
    let key = Certificate::from_der(world.root.der()).unwrap().public_key.bits;
    let by_key = element(0xa2, &[&element(4, &[&crate::pki::staple::sha1(key)])]);
    for responder in [by_name(world.root.der()), by_key] {
        let answer = world.answer(|_| {});
        let other = world.answer(|made| made.serial = Vec::from([0x10, 2]));
        let revoked = world.answer(|made| {
            made.serial = Vec::from([0x10, 3]);
            made.status = element(0xa1, &[YESTERDAY]);
        });
        let harmless = element(0xa1, &[&element(0x30, &[HARMLESS])]);
        for answers in [
            &[&answer[..]][..],
            &[&other, &answer],
            &[&answer, &revoked],
            &[&answer, &answer],
        ] {
            for extensions in [&[][..], &harmless] {
                let staple = respond(&data(&responder, answers, extensions), world.root.key(), &[]);
                assert_eq!(world.check_staple(&staple), Ok(()));
            }
        }
    }
    assert_eq!(
        world.check_staple(&world.response(|made| made.next_update.clear())),
        Ok(())
    );
    let extended = |made: &mut Made| made.extensions = element(0xa1, &[&element(0x30, &[HARMLESS])]);
    assert_eq!(world.check_staple(&world.response(extended)), Ok(()));
    // Hashes of SHA-1, which is what most responders use.
    let root = Certificate::from_der(world.root.der()).unwrap();
    let (name, key) = (root.subject.der, root.public_key.bits);
    let old = |made: &mut Made| {
        made.algorithm = SHA1;
        (made.issuer, made.key) = (
            crate::pki::staple::sha1(name).to_vec(),
            crate::pki::staple::sha1(key).to_vec(),
        );
    };
    assert_eq!(world.check_staple(&world.response(old)), Ok(()));
}

/// The issuer is the one that signed the leaf, wherever its certificate is.
#[test]
fn the_issuer_is_that_of_the_path() {
    let root = root(|_| {});
    let one = intermediate("One", &root, |_| {});
    let leaf = leaf(&one, |_| {});
    let by = |signer: &Ca, about: &Ca| {
        let answer = Made::about(about.der()).der();
        respond(&data(&by_name(signer.der()), &[&answer], &[]), signer.key(), &[])
    };
    let stranger = intermediate("Two", &root, |_| {});
    let chain = [&leaf[..], stranger.der(), one.der(), root.der()];
    assert_eq!(check_staple(&root, &chain, Some(&by(&one, &one)), CLOCK), Ok(()));
    for (signer, words) in [
        (&root, "it was not signed by the certificate's issuer"),
        (&stranger, "it was not signed by the certificate's issuer"),
    ] {
        let said = check_staple(&root, &chain, Some(&by(signer, &one)), CLOCK);
        assert_eq!(said, Err(format!("stapled OCSP response refused: {words}")));
    }
    let said = check_staple(&root, &chain, Some(&by(&one, &root)), CLOCK);
    assert!(said.unwrap_err().ends_with("it is for another certificate"));
    let below = intermediate("Below", &one, |_| {});
    let far = super::leaf(&below, |_| {});
    let long = [&far[..], one.der(), below.der()];
    assert_eq!(check_staple(&root, &long, Some(&by(&below, &below)), CLOCK), Ok(()));
    assert!(check_staple(&root, &long, Some(&by(&one, &below)), CLOCK).is_err());
    // A certificate of the same name as the issuer's, for another key.
    let double = intermediate("One", &root, |_| {});
    let chain = [&leaf[..], double.der(), one.der()];
    assert_eq!(check_staple(&root, &chain, Some(&by(&one, &one)), CLOCK), Ok(()));
    let said = check_staple(&root, &chain, Some(&by(&double, &one)), CLOCK);
    assert!(said.unwrap_err().ends_with("its signature is not the responder's"));
}

#[test]
fn revoked_certificates_are_refused_with_date_and_reason() {
    let world = World::new();
    for (reason, words) in [
        (&[][..], ""),
        (&[0xa0, 3, 0x0a, 1, 0], ""),
        (&[0xa0, 3, 0x0a, 1, 1], " (keyCompromise)"),
        (&[0xa0, 3, 0x0a, 1, 6], " (certificateHold)"),
        (&[0xa0, 3, 0x0a, 1, 10], " (aACompromise)"),
        (&[0xa0, 3, 0x0a, 1, 99], ""),
    ] {
        let staple = world.response(|made| made.status = element(0xa1, &[YESTERDAY, reason]));
        let said = world.check_staple(&staple).unwrap_err();
        assert_eq!(
            said,
            format!("certificate revoked 2025-12-31{words} according to the stapled OCSP response: serial number 1001")
        );
    }
    // A good status does not override a bad one.
    let (good, bad) = (
        world.answer(|_| {}),
        world.answer(|made| made.status = element(0xa1, &[YESTERDAY])),
    );
    for answers in [[&good[..], &bad], [&bad, &good]] {
        let staple = respond(&data(&by_name(world.root.der()), &answers, &[]), world.root.key(), &[]);
        assert!(
            world
                .check_staple(&staple)
                .unwrap_err()
                .starts_with("certificate revoked ")
        );
    }
    let unknown = world.response(|made| made.status = UNKNOWN.to_vec());
    world.refuses(&unknown, "the responder does not know the certificate");
}

#[test]
fn responses_for_other_certificates_are_refused() {
    let world = World::new();
    let words = "it is for another certificate";
    world.refuses(&world.response(|made| made.serial = Vec::from([0x10, 2])), words);
    world.refuses(&world.response(|made| made.issuer[3] ^= 1), words);
    world.refuses(&world.response(|made| made.key[3] ^= 1), words);
    world.refuses(&world.response(|made| made.key.truncate(20)), words);
    // SHA-384, which is not supported; SHA-1 for hashes of another length.
    let other = b"\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02";
    world.refuses(&world.response(|made| made.algorithm = other), words);
    world.refuses(&world.response(|made| made.algorithm = SHA1), words);
    let none = respond(&data(&by_name(world.root.der()), &[], &[]), world.root.key(), &[]);
    world.refuses(&none, words);
}

#[test]
fn responses_must_be_current() {
    let world = World::new();
    let at = |staple: &[u8], now: u64| check_staple(&world.root, &[&world.leaf], Some(staple), Clock { now, floor: 0 });
    let (from, until) = (NOW - DAY, NOW + DAY);
    let staple = world.response(|_| {});
    assert_eq!(at(&staple, from), Ok(()));
    assert_eq!(at(&staple, until), Ok(()));
    // The responder's clock may be a little ahead.
    assert_eq!(at(&staple, from - CLOCK_SKEW), Ok(()));
    let refused = "stapled OCSP response refused: it";
    assert_eq!(
        at(&staple, from - CLOCK_SKEW - 1),
        Err(format!(
            "{refused} is not valid before 2025-12-31 (it is 2025-12-30 now)"
        ))
    );
    assert_eq!(
        at(&staple, until + 1),
        Err(format!(
            "{refused} expired 2026-01-02 00:00:00 UTC (it is 2026-01-02 00:00:01 UTC now)"
        ))
    );
    // An old response cannot report a revocation either, since it may have been lifted.
    let revoked = world.response(|made| made.status = element(0xa1, &[YESTERDAY]));
    assert!(at(&revoked, until + 1).unwrap_err().contains("expired"));
    // Without nextUpdate it is valid for this long.
    let open = world.response(|made| made.next_update.clear());
    assert_eq!(at(&open, from + MAX_AGE * DAY), Ok(()));
    assert_eq!(
        at(&open, from + MAX_AGE * DAY + 1),
        Err(format!(
            "{refused} has no nextUpdate and was issued 2025-12-31 (it is 2026-01-07 now)"
        ))
    );
}

#[test]
fn other_signers_are_refused() {
    let world = World::new();
    let stranger = root(|params| params.distinguished_name = named("Stranger"));
    let answer = world.answer(|_| {});
    let as_stranger = data(&by_name(stranger.der()), &[&answer], &[]);
    let words = "it was not signed by the certificate's issuer";
    world.refuses(&respond(&as_stranger, stranger.key(), &[]), words);
    world.refuses(&respond(&as_stranger, world.root.key(), &[]), words);
    world.refuses(
        &respond(&as_stranger, stranger.key(), &[stranger.der()]),
        "the responder's certificate was not signed by the server certificate's issuer",
    );
    // It claims to be the issuer.
    let double = root(|_| {});
    let as_root = data(&by_name(world.root.der()), &[&answer], &[]);
    let words = "its signature is not the responder's";
    for certificates in [&[][..], &[&double.der()[..]]] {
        world.refuses(&respond(&as_root, double.key(), certificates), words);
    }
    // Signed with an unknown algorithm, and with ECDSA and SHA-1.
    for algorithm in [
        &b"\x30\x05\x06\x03\x2a\x03\x04"[..],
        b"\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01",
    ] {
        let basic = element(0x30, &[&as_root, algorithm, &element(3, &[&[0, 1, 2]])]);
        world.refuses(&successful(&basic), "it is signed with an unsupported algorithm or key");
    }
}

#[test]
fn authorised_responders_may_sign() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let certify = |issuer: &Ca, change: &dyn Fn(&mut CertificateParams)| {
        let mut params = CertificateParams::default();
        params.distinguished_name = named("Responder");
        params.serial_number = Some(SerialNumber::from(0x77));
        params.extended_key_usages = Vec::from([ExtendedKeyUsagePurpose::OcspSigning]);
        (params.not_before, params.not_after) = (date_time_ymd(2025, 12, 1), date_time_ymd(2026, 2, 1));
        change(&mut params);
        params.signed_by(&key, issuer).unwrap().der().to_vec()
    };
    let answer = world.answer(|_| {});
    let by = |certificate: &[u8]| respond(&data(&by_name(certificate), &[&answer], &[]), &key, &[certificate]);
    let good = certify(&world.root, &|_| {});
    assert_eq!(world.check_staple(&by(&good)), Ok(()));
    // By the hash of its key, and after others.
    let bits = Certificate::from_der(&good).unwrap().public_key.bits;
    let by_key = data(
        &element(0xa2, &[&element(4, &[&crate::pki::staple::sha1(bits)])]),
        &[&answer],
        &[],
    );
    assert_eq!(
        world.check_staple(&respond(&by_key, &key, &[world.root.der(), &[0x30, 0], &good])),
        Ok(())
    );
    // This many are read.
    let mut many: Vec<&[u8]> = std::vec![world.root.der(); MAX_RESPONDER_CERTIFICATES];
    many.push(&good);
    world.refuses(
        &respond(&by_key, &key, &many),
        "it was not signed by the certificate's issuer",
    );
    many.remove(0);
    assert_eq!(world.check_staple(&respond(&by_key, &key, &many)), Ok(()));

    let other = KeyPair::generate().unwrap();
    world.refuses(
        &respond(&data(&by_name(&good), &[&answer], &[]), &other, &[&good]),
        "its signature is not the responder's",
    );
    let for_others = "the responder's certificate is not for OCSP signing";
    let unstated = certify(&world.root, &|params| params.extended_key_usages.clear());
    world.refuses(&by(&unstated), for_others);
    let server = certify(&world.root, &|params| {
        params.extended_key_usages = Vec::from([ExtendedKeyUsagePurpose::ServerAuth]);
    });
    world.refuses(&by(&server), for_others);
    let any = certify(&world.root, &|params| {
        params.extended_key_usages = Vec::from([ExtendedKeyUsagePurpose::Any]);
    });
    world.refuses(&by(&any), for_others);
    let cannot_sign = certify(&world.root, &|params| {
        params.key_usages = Vec::from([KeyUsagePurpose::KeyAgreement]);
    });
    world.refuses(&by(&cannot_sign), for_others);
    let odd = certify(&world.root, &|params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 2, 3, 4], Vec::from([5, 0]));
        extension.set_criticality(true);
        params.custom_extensions = Vec::from([extension]);
    });
    world.refuses(&by(&odd), "it has an unsupported critical extension");
    let expired = certify(&world.root, &|params| params.not_after = date_time_ymd(2025, 12, 31));
    world.refuses(
        &by(&expired),
        "the responder's certificate expired 2025-12-31 (it is 2026-01-01 now)",
    );
    let early = certify(&world.root, &|params| params.not_before = date_time_ymd(2026, 1, 2));
    world.refuses(
        &by(&early),
        "the responder's certificate is not valid before 2026-01-02 (it is 2026-01-01 now)",
    );

    // Other issuers of its certificate: a CA under the issuer, a CA of its name, the responder itself.
    let strange = "the responder's certificate was not signed by the server certificate's issuer";
    let below = intermediate("Below", &world.root, |_| {});
    world.refuses(&by(&certify(&below, &|_| {})), strange);
    world.refuses(&by(&certify(&root(|_| {}), &|_| {})), strange);
    let same_key = KeyPair::try_from(world.root.key().serialize_der()).unwrap();
    let alias = CertifiedIssuer::self_signed(ca_params("Alias"), same_key).unwrap();
    world.refuses(&by(&certify(&alias, &|_| {})), strange);
    let mut tampered = good.clone();
    let last = tampered.len() - 1;
    tampered[last] ^= 1;
    world.refuses(&by(&tampered), strange);
    let lists = [
        revocation::list(&world.root, &[&[0x77]], |_| {}),
        revocation::list(&world.root, &[&[0x78]], |_| {}),
    ];
    for (list, verdict) in lists.iter().zip([
        Err("stapled OCSP response refused: the responder's certificate was revoked".to_string()),
        Ok(()),
    ]) {
        let (anchors, crls): ([&[u8]; 1], [&[u8]; 1]) = ([world.root.der()], [list]);
        let trust = Trust::new(&anchors).with_crls(&crls);
        assert_eq!(
            check_staple_with(trust, &[&world.leaf], Some(&by(&good)), CLOCK),
            verdict
        );
    }
}

#[test]
fn unusable_responses_are_refused() {
    let world = World::new();
    for (number, name) in [
        (1, "malformedRequest"),
        (2, "internalError"),
        (3, "tryLater"),
        (5, "sigRequired"),
        (6, "unauthorized"),
    ] {
        world.refuses(
            &[0x30, 3, 0x0a, 1, number],
            &format!("the responder returned an error ({name})"),
        );
    }
    let malformed = |staple: &[u8], what: &str| world.refuses(staple, &format!("malformed ({what})"));
    malformed(&[], "not a DER SEQUENCE");
    malformed(b"garbage", "not a DER SEQUENCE");
    malformed(&[0x30, 3, 0x0a, 1, 4], "responseStatus");
    malformed(&[0x30, 3, 2, 1, 0], "responseStatus");
    malformed(&[0x30, 3, 0x0a, 1, 0], "responseBytes");
    let good = world.response(|_| {});
    malformed(&[&good[..], &[0]].concat(), "bytes after its end");
    let wrapped = |kind: &[u8], basic: &[u8]| {
        let bytes = element(0x30, &[kind, &element(4, &[basic])]);
        element(0x30, &[&[0x0a, 1, 0], &element(0xa0, &[&bytes])])
    };
    world.refuses(&wrapped(&[6, 3, 42, 3, 4], &[]), "its type is not supported");
    malformed(&wrapped(BASIC, &[]), "BasicOCSPResponse");
    // All of this is signed by the right key.
    let sign = |data: &[u8]| respond(data, world.root.key(), &[]);
    let (id, answer) = (by_name(world.root.der()), world.answer(|_| {}));
    let answers = element(0x30, &[&answer]);
    let version = |number| element(0x30, &[&[0xa0, 3, 2, 1, number], &id, YESTERDAY, &answers]);
    assert_eq!(world.check_staple(&sign(&version(0))), Ok(()));
    for data in [
        version(1),
        element(0x30, &[YESTERDAY, &answers]),
        element(0x30, &[&[0xa2, 2, 5, 0], YESTERDAY, &answers]),
        element(0x30, &[&id, b"\x17\x0d251231000000Z", &answers]),
        element(0x30, &[&id, b"\x18\x1120251231000000.5Z", &answers]),
        element(0x30, &[&id, YESTERDAY]),
        element(0x30, &[&id, YESTERDAY, &answers, &[5, 0]]),
    ] {
        malformed(&sign(&data), "BasicOCSPResponse");
    }
    let answered = |answer: &[u8]| sign(&data(&id, &[answer], &[]));
    for change in [
        (|made| made.status = Vec::from([0x80, 1, 0])) as fn(&mut Made),
        |made| made.status = Vec::from([0x83, 0]),
        |made| made.status = Vec::from([0xa1, 0]),
        |made| made.status = Vec::new(),
        |made| made.status = element(0xa1, &[YESTERDAY, &[0xa0, 4, 0x0a, 2, 0, 1]]),
        |made| made.this_update = Vec::new(),
        |made| made.next_update = TOMORROW.to_vec(),
        |made| made.next_update = element(0xa0, &[TOMORROW, TOMORROW]),
        |made| made.serial = Vec::new(),
        |made| made.algorithm = &[5, 0],
        |made| made.extensions = Vec::from([5, 0]),
    ] {
        malformed(&answered(&world.answer(change)), "SingleResponse");
        // Also after a good one.
        let staple = sign(&data(&id, &[&answer, &world.answer(change)], &[]));
        malformed(&staple, "SingleResponse");
    }
    let critical = element(0xa1, &[&element(0x30, &[HARMLESS, CRITICAL])]);
    let words = "it has an unsupported critical extension";
    world.refuses(&sign(&data(&id, &[&answer], &critical)), words);
    let of_one = world.answer(|made| made.extensions = element(0xa1, &[&element(0x30, &[CRITICAL])]));
    world.refuses(&answered(&of_one), words);
}

/// No changed or truncated response passes with a status that its signer did not state.
#[test]
fn no_changed_byte_passes() {
    let world = World::new();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Responder");
    params.extended_key_usages = Vec::from([ExtendedKeyUsagePurpose::OcspSigning]);
    let delegate = params.signed_by(&key, &world.root).unwrap();
    let answer = world.answer(|_| {});
    let delegated = respond(
        &data(&by_name(delegate.der()), &[&answer], &[]),
        &key,
        &[delegate.der()],
    );
    let revoked = world.response(|made| made.status = element(0xa1, &[YESTERDAY]));
    let anchors: [&[u8]; 1] = [world.root.der()];
    let trust = Trust::new(&anchors);
    let leaf: [&[u8]; 1] = [&world.leaf];
    let staple_check = trust
        .verify_chain(&leaf, ANY_SERVER, CLOCK)
        .unwrap()
        .staple_check()
        .unwrap();
    let mut tried = 0;
    for (staple, good) in [(world.response(|_| {}), true), (delegated, true), (revoked, false)] {
        assert_eq!(staple_check.check(Some(&staple), &trust, CLOCK).is_ok(), good);
        for length in 0..staple.len() {
            assert!(staple_check.check(Some(&staple[..length]), &trust, CLOCK).is_err());
        }
        for at in 0..staple.len() {
            for value in [staple[at] ^ 1, staple[at] ^ 0x80, !staple[at], 0, 0xff, 0x30] {
                if value == staple[at] {
                    continue;
                }
                let mut changed = staple.clone();
                changed[at] = value;
                let verdict = staple_check.check(Some(&changed), &trust, CLOCK);
                assert!(
                    matches!(verdict, Err(CertificateError::Staple(_))),
                    "{at} {value}: {verdict:?}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 5000, "{tried}");
}

/// A certificate with these features (RFC 7633).
fn featured(root: &Ca, features: &[u8], critical: bool) -> Vec<u8> {
    leaf(root, |params| {
        let mut extension = CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], features.to_vec());
        extension.set_criticality(critical);
        params.custom_extensions = Vec::from([extension]);
    })
}

#[test]
fn some_certificates_require_a_response() {
    let root = root(|_| {});
    let staple = respond(
        &data(&by_name(root.der()), &[&Made::about(root.der()).der()], &[]),
        root.key(),
        &[],
    );
    let missing = Err("certificate requires a stapled OCSP response, but none was sent".to_string());
    for (features, required) in [
        (&b"\x30\x03\x02\x01\x05"[..], true),
        (b"\x30\x06\x02\x01\x11\x02\x01\x05", true),
        (b"\x30\x03\x02\x01\x11", false),
        (b"\x30\x04\x02\x02\x05\x05", false),
        (b"\x30\x00", false),
        // A malformed extension may be the requirement.
        (b"\x05\x00", true),
        (b"\x30\x00\x00", true),
        (b"\x30\x03\x04\x01\x05", true),
    ] {
        let leaf = featured(&root, features, false);
        assert_eq!(requires_staple(&leaf), required, "{features:?}");
        let expected = if required { missing.clone() } else { Ok(()) };
        assert_eq!(check_staple(&root, &[&leaf], None, CLOCK), expected);
        assert_eq!(check_staple(&root, &[&leaf], Some(&staple), CLOCK), Ok(()));
        assert!(check_staple(&root, &[&leaf], Some(&[0x30, 3, 0x0a, 1, 3]), CLOCK).is_err());
        // Clients are not asked for it.
        accepted(&root, &[&leaf], Purpose::Client);
    }
    let plain = leaf(&root, |_| {});
    assert!(!requires_staple(&plain) && !requires_staple(b"garbage"));
    assert_eq!(check_staple(&root, &[&plain], None, CLOCK), Ok(()));

    // Critical, which RFC 7633 §4.1 advises against: webpki cannot be configured to accept it.
    let leaf = featured(&root, b"\x30\x03\x02\x01\x05", true);
    assert_eq!(
        strict(&root, &[&leaf], ANY_SERVER),
        Err(CertificateError::UnsupportedCriticalExtension)
    );
    let anchors: [&[u8]; 1] = [root.der()];
    let trust = Trust::new(&anchors).with_mode(Mode::Pinned);
    let chain: [&[u8]; 1] = [&leaf];
    let verified = trust.verify_chain(&chain, ANY_SERVER, CLOCK).unwrap();
    assert_eq!(
        verified.check_staple(None, &trust, CLOCK),
        Err(CertificateError::NoStaple)
    );
    assert_eq!(verified.check_staple(Some(&staple), &trust, CLOCK), Ok(()));
}

const EXTENSIONS: &str = "\
[ leaf ]
subjectAltName = DNS:localhost
tlsfeature = status_request
[ responder ]
extendedKeyUsage = OCSPSigning
";

/// Responses of `openssl ocsp`, with keys that `genpkey` makes of `algorithm`.
fn openssl_answers(algorithm: &str) {
    let dir = Dir::new();
    dir.write("extensions", EXTENSIONS);
    dir.openssl(&format!("genpkey -algorithm {algorithm} -out ca.key"));
    dir.openssl("req -x509 -new -key ca.key -out ca.pem -subj /CN=Root -days 30");
    for name in ["leaf", "responder"] {
        dir.openssl(&format!("genpkey -algorithm {algorithm} -out {name}.key"));
        dir.openssl(&format!("req -new -key {name}.key -out {name}.csr -subj /CN={name}"));
        dir.openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 20 -extfile extensions \
             -extensions {name} -out {name}.pem"
        ));
    }
    let der = |name: &str| {
        dir.openssl(&format!("x509 -in {name}.pem -outform DER -out {name}.der"));
        dir.read(&format!("{name}.der"))
    };
    let (ca, leaf) = (der("ca"), der("leaf"));
    let serial = Certificate::from_der(&leaf).unwrap().serial;
    let serial: String = serial.iter().map(|byte| format!("{byte:02X}")).collect();
    let serial = serial.trim_start_matches("00");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let clock = Clock { now, floor: NOW };
    let anchors: [&[u8]; 1] = [&ca];
    let ask = |index: &str, options: &str| {
        dir.write("index.txt", index);
        dir.openssl(&format!(
            "ocsp -index index.txt -CA ca.pem {options} -issuer ca.pem -cert leaf.pem -respout response.der -noverify"
        ));
        check_staple_with(Trust::new(&anchors), &[&leaf], Some(&dir.read("response.der")), clock)
    };
    let valid = format!("V\t491231235959Z\t\t{serial}\tunknown\t/CN=leaf\n");
    let revoked = format!("R\t491231235959Z\t260102030405Z,keyCompromise\t{serial}\tunknown\t/CN=leaf\n");
    let by_ca = "-rsigner ca.pem -rkey ca.key";
    for options in [
        format!("{by_ca} -ndays 3"),
        format!("{by_ca} -nmin 5 -resp_key_id"),
        format!("{by_ca} -ndays 3 -sha256 -resp_no_certs"),
        by_ca.to_string(),
        format!("-rsigner responder.pem -rkey responder.key -ndays 3 {}", ""),
        "-rsigner responder.pem -rkey responder.key -ndays 3 -resp_key_id -sha256".to_string(),
    ] {
        assert_eq!(ask(&valid, &options), Ok(()), "{options}");
        assert_eq!(
            ask(&revoked, &options),
            Err(format!(
                "certificate revoked 2026-01-02 (keyCompromise) according to the stapled OCSP response: serial number {serial}"
            ))
        );
        let unknown = "V\t491231235959Z\t\t01\tunknown\t/CN=other\n";
        assert_eq!(
            ask(unknown, &options).unwrap_err(),
            "stapled OCSP response refused: the responder does not know the certificate"
        );
    }
    // A certificate that may not sign responses, and a hash function that is not allowed.
    let said = ask(&valid, "-rsigner leaf.pem -rkey leaf.key -ndays 3").unwrap_err();
    assert!(said.ends_with("is not for OCSP signing"), "{said}");
    if !algorithm.contains("ED25519") {
        let said = ask(&valid, &format!("{by_ca} -rmd sha1")).unwrap_err();
        assert!(said.ends_with("an unsupported algorithm or key"), "{said}");
    }
}

#[test]
fn openssl_answers_with_ecdsa() {
    openssl_answers("EC -pkeyopt ec_paramgen_curve:P-256");
}

#[test]
fn openssl_answers_with_ed25519() {
    openssl_answers("ED25519");
}

#[cfg(feature = "rsa")]
#[test]
fn openssl_answers_with_rsa() {
    openssl_answers("RSA -pkeyopt rsa_keygen_bits:2048");
}
