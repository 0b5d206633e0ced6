//! Our server against rustls's client, in memory.

use postern_peers::{Pki, config, echo, exchange, rng};
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::{Connection, FULL_INBOUND, Progress};
use rustls::crypto::ring;

/// Those that rustls has with ring.
const GROUPS: [Group; 3] = [Group::X25519, Group::Secp256r1, Group::Secp384r1];

#[test]
fn every_suite_and_group_with_and_without_a_retry() {
    let pki = Pki::new();
    let chain = [&pki.server[..]];
    for suite in CipherSuite::TLS13 {
        for group in GROUPS {
            for first in GROUPS {
                for chunk in [1, 7, 100_000] {
                    let mut provider = ring::default_provider();
                    provider
                        .cipher_suites
                        .retain(|other| u16::from(other.suite()) == suite.id());
                    let mut groups: Vec<_> = ring::ALL_KX_GROUPS.to_vec();
                    // The client sends a share for its first group only; another choice of ours makes a retry.
                    groups.sort_by_key(|other| u16::from(other.name()) != first.id());
                    provider.kx_groups = groups;
                    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND + 2048], vec![0; 17000]);
                    let config = config(&chain, &pki).with_groups(std::slice::from_ref(&group));
                    let mut server = Connection::server(config, &mut inbound, &mut outbound).unwrap();
                    let mut client = pki.client(provider);
                    let mut rng = rng(1);
                    let progress = exchange(&mut client, &mut server, &mut rng, chunk).unwrap();
                    assert_eq!(progress, Progress::NeedInput);
                    assert!(!client.is_handshaking() && !server.is_handshaking());
                    assert_eq!(server.info().suite, Some(suite));
                    assert_eq!(server.info().group, Some(group));
                    assert_eq!(server.info().retried, group != first);
                    echo(&mut client, &mut server, &mut rng, b"ping");
                    echo(&mut client, &mut server, &mut rng, &vec![0x5a; 200_000]);
                    client.send_close_notify();
                    assert_eq!(
                        exchange(&mut client, &mut server, &mut rng, chunk),
                        Ok(Progress::Closed)
                    );
                }
            }
        }
    }
}
