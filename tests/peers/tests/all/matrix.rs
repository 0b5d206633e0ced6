//! Every version, suite, group and resumption that both sides support, in both roles, against rustls and ourselves.

use std::sync::Arc;

use postern::crypto::kx::Group;
use postern::crypto::suite::{Authentication, CipherSuite};
use postern::pki::verify::{ServerName, Trust};
use postern::tls::{
    ClientAuth, ClientConfig, Connection, FULL_INBOUND, Identity, Progress, ServerConfig, SessionCache, Tickets,
    Versions,
};
use postern_peers::{Pki, clock, drive, drive_ours, rng};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

fn buffers() -> (Vec<u8>, Vec<u8>) {
    (vec![0; FULL_INBOUND + 2048], vec![0; 20000])
}

fn cells() -> impl Iterator<Item = (Versions, CipherSuite, Group)> {
    let of = |tls13| if tls13 { Versions::Tls13 } else { Versions::Tls12 };
    CipherSuite::ALL
        .into_iter()
        .filter(|suite| suite.authentication() != Some(Authentication::Rsa))
        .flat_map(move |suite| {
            let groups = Group::ALL
                .into_iter()
                .filter(move |group| suite.is_tls13() || group.in_tls12());
            groups.map(move |group| (of(suite.is_tls13()), suite, group))
        })
}

fn provider(suite: CipherSuite, group: Group) -> rustls::crypto::CryptoProvider {
    let mut provider = ring::default_provider();
    provider
        .cipher_suites
        .retain(|other| u16::from(other.suite()) == suite.id());
    provider.kx_groups = ring::ALL_KX_GROUPS.to_vec();
    provider.kx_groups.retain(|other| u16::from(other.name()) == group.id());
    provider
}

#[test]
fn our_server_and_rustls_client() {
    let pki = Pki::new();
    let chain = [&pki.server[..]];
    let identities = [Identity::new(&chain, &pki.key).unwrap()];
    for (versions, suite, group) in cells().filter(|(.., group)| *group != Group::X25519MlKem768) {
        let mut random = rng(1);
        let tickets = Tickets::new(&mut random, clock().now).unwrap();
        let config = ServerConfig::new(&identities, clock()).unwrap().with_tickets(&tickets);
        let client = Arc::new(pki.client_config(provider(suite, group), versions == Versions::Tls13));
        for resumed in [false, true, true] {
            let (mut inbound, mut outbound) = buffers();
            let mut server = Connection::server(config, &mut inbound, &mut outbound).unwrap();
            let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
            let mut client = rustls::ClientConnection::new(client.clone(), name).unwrap().into();
            let what = format!("{suite} {group} resumed {resumed}");
            let progress = drive(&mut server, &mut client, &mut random, 100_000);
            assert_eq!(progress, Ok(Progress::NeedInput), "{what}");
            assert!(!client.is_handshaking() && !server.is_handshaking(), "{what}");
            assert_eq!(server.info().suite, Some(suite), "{what}");
            assert_eq!(server.info().resumed, resumed, "{what}");
            if suite.is_tls13() || !resumed {
                assert_eq!(server.info().group, Some(group), "{what}");
            }
        }
    }
}

#[test]
fn our_client_and_rustls_server() {
    let pki = Pki::new();
    let anchors = [&pki.ca[..]];
    let trust = Trust::new(&anchors);
    for (versions, suite, group) in cells().filter(|(.., group)| *group != Group::X25519MlKem768) {
        let server = rustls::ServerConfig::builder_with_provider(Arc::new(provider(suite, group)))
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![CertificateDer::from(pki.server.clone())],
                PrivateKeyDer::try_from(pki.key_der.clone()).unwrap(),
            )
            .unwrap();
        let mut server = server;
        server.ticketer = ring::Ticketer::new().unwrap();
        let server = Arc::new(server);
        let sessions = SessionCache::new();
        let config = ClientConfig::new(&trust, Some(ServerName::Dns("localhost")), clock())
            .with_versions(versions)
            .with_sessions(&sessions);
        let mut random = rng(1);
        for resumed in [false, true, true] {
            let (mut inbound, mut outbound) = buffers();
            let mut client = Connection::client(config, &mut inbound, &mut outbound, &mut random).unwrap();
            let mut server = rustls::ServerConnection::new(server.clone()).unwrap().into();
            let what = format!("{suite} {group} resumed {resumed}");
            let progress = drive(&mut client, &mut server, &mut random, 100_000);
            assert_eq!(progress, Ok(Progress::NeedInput), "{what}");
            assert!(!client.is_handshaking() && !server.is_handshaking(), "{what}");
            assert_eq!(client.info().suite, Some(suite), "{what}");
            assert_eq!(client.info().resumed, resumed, "{what}");
        }
    }
}

#[test]
fn our_client_and_our_server() {
    let pki = Pki::new();
    let anchors = [&pki.ca[..]];
    let trust = Trust::new(&anchors);
    let chain = [&pki.server[..]];
    let identities = [Identity::new(&chain, &pki.key).unwrap()];
    for (versions, suite, group) in cells() {
        for auth in [
            ClientAuth::Off,
            ClientAuth::Optional(&trust),
            ClientAuth::Required(&trust),
        ] {
            let mut random = rng(1);
            let tickets = Tickets::new(&mut random, clock().now).unwrap();
            let (suites, groups) = ([suite], [group]);
            let server_config = ServerConfig::new(&identities, clock())
                .unwrap()
                .with_tickets(&tickets)
                .with_suites(&suites)
                .with_groups(&groups)
                .with_client_auth(auth);
            let sessions = SessionCache::new();
            let client_config = ClientConfig::new(&trust, Some(ServerName::Dns("localhost")), clock())
                .with_sessions(&sessions)
                .with_versions(if group == Group::X25519MlKem768 {
                    versions
                } else {
                    Versions::Both
                })
                .with_identity(identities[0]);
            for resumed in [false, true, true] {
                let (mut inbound, mut outbound) = buffers();
                let mut server = Connection::server(server_config, &mut inbound, &mut outbound).unwrap();
                let (mut inbound, mut outbound) = buffers();
                let mut client = Connection::client(client_config, &mut inbound, &mut outbound, &mut random).unwrap();
                let what = format!("{suite} {group} resumed {resumed} {auth:?}");
                let results = drive_ours(&mut client, &mut server, &mut random);
                // A server that also spoke TLS 1.3 marks its TLS 1.2 hello, which is refused as a downgrade.
                if versions == Versions::Tls12 {
                    assert!(results.0.is_err(), "{what}");
                    break;
                }
                assert_eq!(results, (Ok(Progress::NeedInput), Ok(Progress::NeedInput)), "{what}");
                assert!(!client.is_handshaking() && !server.is_handshaking(), "{what}");
                assert_eq!(server.info().resumed, resumed, "{what}");
                assert_eq!(server.info().peer.is_some(), !matches!(auth, ClientAuth::Off), "{what}");
                exchange(&mut client, &mut server, &mut random);
                exchange(&mut server, &mut client, &mut random);
            }
        }
    }
}

fn exchange(from: &mut Connection<'_>, to: &mut Connection<'_>, random: &mut chacha20::ChaCha20Rng) {
    assert_eq!(from.write(b"ping"), Ok(4));
    let wire = from.pending().to_vec();
    from.sent(wire.len());
    to.space()[..wire.len()].copy_from_slice(&wire);
    to.received(wire.len());
    assert_eq!(to.advance(random), Ok(Progress::Data));
    assert_eq!(to.data(), b"ping");
    to.consume(4);
    assert_eq!(to.advance(random), Ok(Progress::NeedInput));
}
