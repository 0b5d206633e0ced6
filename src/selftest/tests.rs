//! Self-tests of good machines and of faulty ones.

use std::sync::atomic::{AtomicU64, Ordering};

use rand_core::{TryCryptoRng, TryRng};
use rcgen::{CertificateParams, CertifiedIssuer, DnType, KeyPair};

use super::*;
use crate::crypto::key::SigningKey;
use crate::testing::block_on;

/// xorshift64*, each with another seed. Good enough to be taken for random here.
struct Numbers(u64);

impl Numbers {
    fn new() -> Result<Self, &'static str> {
        static SEED: AtomicU64 = AtomicU64::new(0x9e37_79b9_7f4a_7c15);
        Ok(Self(SEED.fetch_add(0x2545_f491_4f6c_dd1d, Ordering::Relaxed) | 1))
    }
}

impl TryRng for Numbers {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.try_next_u64()? >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        Ok(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.try_next_u64()?.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Numbers {}

struct Pki {
    ca: Vec<u8>,
    server: Vec<u8>,
    key: SigningKey,
}

impl Pki {
    fn new(key: &KeyPair, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut ca = CertificateParams::new([]).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("Test CA {}", NUMBER.fetch_add(1, Ordering::Relaxed));
        ca.distinguished_name.push(DnType::CommonName, name);
        let issuer = CertifiedIssuer::self_signed(ca, KeyPair::generate().unwrap()).unwrap();
        let mut server = CertificateParams::new(["localhost".to_string()]).unwrap();
        change(&mut server);
        Self {
            server: server.signed_by(key, &issuer).unwrap().der().to_vec(),
            ca: issuer.der().to_vec(),
            key: SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap(),
        }
    }
}

fn clock() -> Clock {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Clock {
        now: since.unwrap().as_secs(),
        floor: 0,
    }
}

fn micros() -> u64 {
    static CLOCK: AtomicU64 = AtomicU64::new(0);
    CLOCK.fetch_add(1, Ordering::Relaxed)
}

/// The lines of a self-test, and its summary.
fn run(
    server: Result<ServerConfig<'_>, &'static str>,
    trust: Trust<'_>,
    random: fn() -> Result<Numbers, &'static str>,
) -> (Vec<String>, Summary) {
    let mut buffer = vec![0; buffer_len(&server)];
    let requests = Requests::new();
    let mut test = SelfTest {
        server,
        trust,
        clock,
        random,
        micros,
        buffer: &mut buffer,
    };
    let summary = block_on(test.run(&requests));
    let lines = (0..).map_while(|n| block_on(requests.outcome(n)));
    let lines: Vec<String> = lines.map(|outcome| outcome.to_string()).collect();
    assert!(
        lines.len() == summary.passed + summary.skipped + summary.failed,
        "{lines:?}"
    );
    (lines, summary)
}

/// The same with one identity.
fn run_one(chain: &[&[u8]], key: &SigningKey, anchors: &[&[u8]]) -> (Vec<String>, Summary) {
    let identities = [Identity::new(chain, key).unwrap()];
    let server = ServerConfig::new(&identities, clock()).unwrap();
    run(Ok(server), Trust::new(anchors), Numbers::new)
}

#[test]
fn a_good_server_passes_with_every_kind_of_key() {
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let pki = Pki::new(&KeyPair::generate_for(algorithm).unwrap(), |_| {});
        let (lines, summary) = run_one(&[&pki.server], &pki.key, &[&pki.ca]);
        assert_eq!(
            (summary.passed, summary.skipped, summary.failed),
            (6, 0, 0),
            "{lines:#?}"
        );
        let kind = pki.key.algorithm();
        let begins = |line: &str, text: String| assert!(line.starts_with(&text), "{line}");
        begins(&lines[2], format!("server certificate, {kind}: ok, "));
        begins(
            &lines[3],
            format!("tls 1.3, embedded-tls against our server, {kind}: ok, "),
        );
        begins(
            &lines[4],
            format!("tls 1.3, our client against our server, {kind}: ok, "),
        );
        begins(
            &lines[5],
            format!("tls 1.2, our client against our server, {kind}: ok, "),
        );
        assert!(summary.to_string().starts_with("passed, 6 checks, "), "{summary}");
    }
}

#[test]
fn rsa_keys_pass() {
    let der = crate::testing::rsa_key(2048);
    let pki = Pki::new(&KeyPair::try_from(der).unwrap(), |_| {});
    let (lines, summary) = run_one(&[&pki.server], &pki.key, &[&pki.ca]);
    assert_eq!((summary.passed, summary.failed), (6, 0), "{lines:#?}");
}

#[test]
fn every_identity_is_tested_whatever_the_server_asks_of_clients() {
    let one = Pki::new(&KeyPair::generate().unwrap(), |_| {});
    let two = Pki::new(&KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap(), |_| {});
    let chains: [&[&[u8]]; 2] = [&[&one.server, &one.ca], &[&two.server]];
    let identities = [
        Identity::new(chains[0], &one.key).unwrap(),
        Identity::new(chains[1], &two.key).unwrap(),
    ];
    let anchors: [&[u8]; 2] = [&one.ca, &two.ca];
    let trust = Trust::new(&anchors);
    let tickets = crate::tls::Tickets::new(&mut Numbers::new().unwrap(), clock().now).unwrap();
    let server = ServerConfig::new(&identities, clock())
        .unwrap()
        .with_client_auth(ClientAuth::Required(&trust))
        .with_versions(Versions::Tls12)
        .with_protocols(&[b"echo"])
        .with_tickets(&tickets);
    let (lines, summary) = run(Ok(server), trust, Numbers::new);
    assert_eq!(
        (summary.passed, summary.skipped, summary.failed),
        (10, 0, 0),
        "{lines:#?}"
    );
    assert!(lines[9].contains("Ed25519: ok"), "{lines:#?}");
}

#[test]
fn a_key_of_another_certificate_fails() {
    let pki = Pki::new(&KeyPair::generate().unwrap(), |_| {});
    let other = SigningKey::from_der("PRIVATE KEY", &KeyPair::generate().unwrap().serialize_der()).unwrap();
    let (lines, summary) = run_one(&[&pki.server], &other, &[&pki.ca]);
    assert_eq!((summary.passed, summary.failed), (3, 3), "{lines:#?}");
    assert_eq!(
        lines[3],
        "tls 1.3, embedded-tls against our server, ECDSA P-256: FAILED, the signature does not verify: \
         does .tls.srv_key belong to .tls.srv_cert?"
    );
    assert!(lines[4].contains("FAILED, our client: "), "{lines:#?}");
    assert!(summary.to_string().starts_with("FAILED, 3 of 6 checks, "), "{summary}");
}

#[test]
fn a_certificate_that_no_client_would_take_fails() {
    let pki = Pki::new(&KeyPair::generate().unwrap(), |server| {
        server.not_before = rcgen::date_time_ymd(2020, 1, 1);
        server.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let (lines, summary) = run_one(&[&pki.server], &pki.key, &[&pki.ca]);
    assert!(
        lines[2].starts_with("server certificate, ECDSA P-256: FAILED, ") && lines[2].contains("2021-01-01"),
        "{lines:#?}"
    );
    assert_eq!(summary.failed, 1, "the handshakes themselves are right: {lines:#?}");
}

#[test]
fn a_certificate_that_requires_a_missing_staple_is_reported() {
    let pki = Pki::new(&KeyPair::generate().unwrap(), |server| {
        let feature = rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 24], vec![0x30, 3, 2, 1, 5]);
        server.custom_extensions = vec![feature];
    });
    let (lines, summary) = run_one(&[&pki.server], &pki.key, &[&pki.ca]);
    assert_eq!(
        (summary.passed, summary.skipped, summary.failed),
        (4, 2, 0),
        "{lines:#?}"
    );
    for line in &lines[4..] {
        let words = ": skipped, the certificate requires a stapled OCSP response, and none is configured";
        assert!(line.ends_with(words), "{line}");
    }
}

#[test]
fn certificates_from_elsewhere_are_compared_with_the_configuration() {
    let pki = Pki::new(&KeyPair::generate().unwrap(), |_| {});
    let other = Pki::new(&KeyPair::generate().unwrap(), |_| {});
    // With its CA at the end of the chain, our own client can verify it.
    for (chain, passed, skipped) in [(&[&pki.server[..], &pki.ca][..], 5, 1), (&[&pki.server[..]], 3, 3)] {
        for anchors in [&[][..], &[&other.ca[..]]] {
            let (lines, summary) = run_one(chain, &pki.key, anchors);
            assert_eq!(
                (summary.passed, summary.skipped, summary.failed),
                (passed, skipped, 0),
                "{lines:#?}"
            );
            assert_eq!(
                lines[2],
                "server certificate, ECDSA P-256: skipped, not issued under .tls.ca_cert"
            );
        }
    }
}

#[test]
fn a_machine_without_server_or_random_numbers_reports_it() {
    let (lines, summary) = run(Err("no entropy"), Trust::new(&[]), || Err("no entropy"));
    assert_eq!(
        (summary.passed, summary.skipped, summary.failed),
        (1, 1, 1),
        "{lines:#?}"
    );
    assert_eq!(lines[1], "random generator: FAILED, no entropy");
    assert_eq!(lines[2], "handshakes with our server: skipped, no entropy");
    let broken = || Err("repeated output");
    assert!(matches!(
        generator::<Numbers>(broken),
        Err(Failure::Generator("repeated output"))
    ));
    // A generator that is stuck: xorshift of 0 stays 0.
    assert!(matches!(generator(|| Ok(Numbers(0))), Err(Failure::Generator(_))));
    assert!(generator(Numbers::new).is_ok());
}

#[test]
fn a_buffer_that_is_too_small_is_no_success() {
    let pki = Pki::new(&KeyPair::generate().unwrap(), |_| {});
    let chain = [&pki.server[..]];
    let identities = [Identity::new(&chain, &pki.key).unwrap()];
    let server = Ok(ServerConfig::new(&identities, clock()).unwrap());
    let anchors = [&pki.ca[..]];
    let mut buffer = vec![0; 5000];
    let mut test = SelfTest {
        server,
        trust: Trust::new(&anchors),
        clock,
        random: Numbers::new,
        micros,
        buffer: &mut buffer,
    };
    let summary = block_on(test.run(&Requests::new()));
    assert_eq!((summary.passed, summary.skipped, summary.failed), (3, 0, 3));
}

#[test]
fn a_request_during_a_self_test_joins_it() {
    let requests = Requests::new();
    let mut test = SelfTest {
        server: Err("none"),
        trust: Trust::new(&[]),
        clock,
        random: Numbers::new,
        micros,
        buffer: &mut [],
    };
    assert!(block_on(requests.outcome(0)).is_none(), "nothing was asked for");
    let asks = async {
        for _ in 0..3 {
            requests.ask();
            requests.ask();
            let mut count = 0;
            while requests.outcome(count).await.is_some() {
                count += 1;
            }
            assert_eq!(count, 3);
        }
    };
    match block_on(select(asks, test.serve(&requests, core::future::pending()))) {
        Either::First(()) => {}
        Either::Second(never) => never,
    }
}
