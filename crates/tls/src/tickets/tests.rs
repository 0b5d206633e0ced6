use super::*;
use crate::crypto::suite::CipherSuite;
use crate::registry::ProtocolVersion;
use crate::session::{SESSION_LIFETIME, server_name_hash};

/// A generator that repeats, as in two machines resumed from one snapshot.
fn repeated() -> crate::support::Script {
    crate::support::Script(vec![7; 1024])
}

const NOW: u64 = 1_800_000_000;
const LIFETIME: u64 = TICKET_LIFETIME as u64;

fn session(secret: u8, issued: u64) -> SessionState {
    SessionState {
        version: ProtocolVersion::TLS13,
        suite: CipherSuite::Aes128GcmSha256,
        secret: HashOutput::new(&[secret; 32]),
        issued,
        expires: issued + u64::from(SESSION_LIFETIME),
        server_name: server_name_hash(Some(b"localhost")),
        identity: None,
    }
}

fn context(byte: u8) -> HashOutput {
    HashOutput::new(&[byte; 32])
}

#[test]
fn repeated_random_numbers_reuse_no_nonce() {
    let tickets = Tickets::new(&mut repeated(), NOW).unwrap();
    let seal = |secret, ctx| {
        tickets
            .seal(&session(secret, NOW), &context(ctx), &mut repeated())
            .unwrap()
    };
    let first = seal(1, 1);
    let iv = |ticket: &[u8]| ticket[KEY_NAME..KEY_NAME + SYNTHETIC_IV].to_vec();
    for other in [seal(2, 1), seal(1, 2)] {
        assert_ne!(iv(&first), iv(&other));
        // Under one key stream the two would differ only where their contents do.
        let body = |ticket: &[u8]| ticket[KEY_NAME + SYNTHETIC_IV..].to_vec();
        let same = body(&first).iter().zip(&body(&other)).filter(|(a, b)| a == b).count();
        assert!(same < 16, "{same} bytes are the same");
    }
    assert_eq!(first, seal(1, 1), "the same content gives the same ticket");
    let keys = [1, 2].map(|secret| {
        let ticket = seal(secret, 1);
        let keys = tickets.keys.borrow();
        let iv = iv(&ticket).try_into().unwrap();
        keys.current.as_ref().unwrap().derive(&iv).unwrap().1
    });
    assert_ne!(keys[0], keys[1]);
}

#[test]
fn a_ticket_opens_in_its_context_only() {
    let tickets = Tickets::new(&mut repeated(), NOW).unwrap();
    let ticket = tickets.seal(&session(1, NOW), &context(1), &mut repeated()).unwrap();
    assert!(tickets.open(&ticket, || context(1), NOW).is_some());
    assert!(tickets.open(&ticket, || context(2), NOW).is_none());
    for at in 0..ticket.len() {
        let mut changed = ticket.clone();
        changed[at] ^= 1;
        assert!(tickets.open(&changed, || context(1), NOW).is_none(), "byte {at}");
    }
}

#[test]
fn keys_rotate_by_the_clock_whatever_the_interval() {
    let mut rng = crate::support::Script((0..=255).cycle().take(4096).collect());
    let tickets = Tickets::new(&mut rng, NOW).unwrap();
    let mut seal = |now| tickets.seal(&session(1, now), &context(1), &mut rng).unwrap();
    let held = || {
        let keys = tickets.keys.borrow();
        [&keys.current, &keys.previous].map(|key| key.as_ref().map(|key| key.created - NOW))
    };
    seal(NOW + LIFETIME - 1);
    assert_eq!(held(), [Some(0), None]);
    let second = seal(NOW + LIFETIME);
    assert_eq!(held(), [Some(LIFETIME), Some(0)]);
    // The first key is wiped once its last ticket has expired, even if nothing is sealed.
    assert!(tickets.open(&second, || context(1), NOW + 2 * LIFETIME).is_some());
    assert_eq!(held(), [Some(LIFETIME), None]);
    // After ten idle days no old key remains, neither for sealing nor for opening.
    let idle = NOW + 10 * 86_400;
    assert!(tickets.open(&second, || context(1), idle).is_none());
    assert_eq!(held(), [None, None]);
    seal(idle);
    assert_eq!(held(), [Some(idle - NOW), None]);
    seal(idle + 10 * 86_400);
    assert_eq!(held(), [Some(idle + 10 * 86_400 - NOW), None]);
}

#[test]
fn a_clock_that_was_ahead_does_not_prolong_a_key() {
    let tickets = Tickets::new(&mut repeated(), NOW + 1_000_000).unwrap();
    tickets.seal(&session(1, NOW), &context(1), &mut repeated()).unwrap();
    assert_eq!(tickets.keys.borrow().current.as_ref().unwrap().created, NOW);
}
