use super::*;
use crate::crypto::key::SigningKey;
use crate::pki::verify::{Clock, Trust};

#[test]
fn a_ticket_does_not_get_around_the_list() {
    let key = rcgen::KeyPair::generate().unwrap();
    let key = SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap();
    let chain: [&[u8]; 1] = [&[0]];
    let identities = [Identity::new(&chain, &key).unwrap()];
    let clock = Clock { now: 100, floor: 0 };
    let server = ServerConfig::new(&identities, clock).unwrap();
    let alice = PeerIdentity {
        fingerprint: [7; 32],
        not_after: 100,
        subject: Text::new("CN=alice"),
    };
    let hash = std::format!("{}", alice.key());
    let trust = Trust::new(&[]);
    let suffices = |trust: &Trust<'_>| {
        [ClientAuth::Optional(trust), ClientAuth::Required(trust)]
            .map(|auth| session_suffices(&server.with_client_auth(auth), Some(&alice)))
    };
    assert_eq!(suffices(&trust), [true; 2], "there is no list");
    for allowed in ["CN=alice", hash.as_str()] {
        assert_eq!(
            suffices(&trust.with_allowed(&std::format!("CN=bob\n{allowed}"))),
            [true; 2]
        );
    }
    for allowed in ["CN=bob", "CN=alice,O=x", &hash[..20]] {
        assert_eq!(suffices(&trust.with_allowed(allowed)), [false; 2], "{allowed}");
    }
    let later = server.with_clock(Clock { now: 101, floor: 0 });
    assert!(!session_suffices(
        &later.with_client_auth(ClientAuth::Required(&trust)),
        Some(&alice)
    ));
}
