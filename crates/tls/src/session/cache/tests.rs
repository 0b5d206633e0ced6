use super::*;

const NOW: u64 = 1_800_000_000;

fn session(lifetime: u32, expires: u64) -> ClientSession {
    ClientSession {
        version: ProtocolVersion::TLS12,
        suite: CipherSuite::EcdheEcdsaAes128GcmSha256,
        secret: HashOutput::new(&[1; 48]),
        ticket: heapless::Vec::from_slice(&[1; 100]).unwrap(),
        lifetime,
        age_add: 0,
        received: NOW,
        expires,
        context: HashOutput::new(&[1; 32]),
        identity: None,
    }
}

#[test]
fn a_client_uses_no_ticket_older_than_seven_days() {
    const WEEK: u64 = 604_800;
    // What the server says, when the session ends, and until when the client uses it.
    for (lifetime, expires, last) in [
        (u32::MAX, u64::MAX, NOW + WEEK - 1),
        (100, u64::MAX, NOW + 99),
        (u32::MAX, NOW + 50, NOW + 50),
    ] {
        let sessions = SessionCache::new();
        for (now, valid) in [(NOW - 1, false), (NOW, true), (last, true), (last + 1, false)] {
            sessions.store(session(lifetime, expires));
            let taken = sessions.take(now, || HashOutput::new(&[1; 32]));
            assert_eq!(taken.is_some(), valid, "{lifetime} {now}");
            assert!(sessions.is_empty());
        }
        sessions.store(session(lifetime, expires));
        assert!(sessions.take(NOW, || HashOutput::new(&[2; 32])).is_none());
    }
}
