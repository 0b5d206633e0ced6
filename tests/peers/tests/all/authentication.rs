//! Refused certificates of servers and clients: reasons and alerts.

use std::sync::Arc;
use std::time::Duration;

use postern_peers::middle::{Item, Middle, Room, between};
use postern_peers::world::{Authority, Kind, Party, leak, of};
use postern_peers::{clock, drive, rng};
use postern_tls::crypto::sign::SignatureScheme;
use postern_tls::error::PeerMisbehaved;
use postern_tls::pki::verify::{CertificateError, ServerName, Trust};
use postern_tls::{
    AlertDescription as Alert, ClientAuth, ClientConfig, Connection, Error, HandshakeType, Identity, Progress,
    ProtocolVersion, Versions,
};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, SerialNumber};

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];

fn time(seconds: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params
}

/// A fault of a certificate, and the expected error.
type Fault = (&'static str, &'static Party, fn(&CertificateError) -> bool, Alert);

/// Certificates of `authority` for `name` with everything that can be wrong.
fn faults(authority: &Authority, name: &str, wrong_purpose: ExtendedKeyUsagePurpose) -> Vec<Fault> {
    let kind = Kind::P256;
    let now = clock().now;
    let other = Authority::new(kind, "Another CA");
    // The same name, but not the same key.
    let double = Authority::new(kind, "Test CA P256");
    vec![
        (
            "expired",
            authority.issue_with(kind, name, |params| params.not_after = time(now - 10).not_after),
            |error| matches!(error, CertificateError::Expired { .. }),
            Alert::CERTIFICATE_EXPIRED,
        ),
        (
            "not yet valid",
            authority.issue_with(kind, name, |params| params.not_before = time(now + 1000).not_after),
            |error| matches!(error, CertificateError::NotYetValid { .. }),
            Alert::CERTIFICATE_EXPIRED,
        ),
        (
            "another CA",
            other.issue(kind, name),
            |error| matches!(error, CertificateError::UnknownIssuer { issuer } if issuer.as_str() == "CN=Another CA"),
            Alert::UNKNOWN_CA,
        ),
        (
            "a CA of the same name",
            double.issue(kind, name),
            |error| matches!(error, CertificateError::BadSignature),
            Alert::BAD_CERTIFICATE,
        ),
        (
            "another purpose",
            authority.issue_with(kind, name, |params| params.extended_key_usages = vec![wrong_purpose]),
            |error| matches!(error, CertificateError::WrongPurpose { .. }),
            Alert::UNSUPPORTED_CERTIFICATE,
        ),
        (
            "a key that may not sign",
            authority.issue_with(kind, name, |params| {
                params.key_usages = vec![KeyUsagePurpose::KeyAgreement];
            }),
            |error| matches!(error, CertificateError::KeyMayNotSign),
            Alert::UNSUPPORTED_CERTIFICATE,
        ),
        (
            "revoked",
            authority.issue_with(kind, name, |params| {
                params.serial_number = Some(SerialNumber::from(4711_u64));
            }),
            |error| matches!(error, CertificateError::Revoked { .. }),
            Alert::CERTIFICATE_REVOKED,
        ),
    ]
}

/// Trust in this CA that has revoked something.
fn trust(authority: &Authority) -> &'static Trust<'static> {
    let (list, _) = authority.revoke(4711);
    leak(Trust::new(leak([authority.der])).with_crls(leak([list])))
}

#[test]
fn servers_that_are_refused() {
    let authority = of(Kind::P256).authority;
    let trust = trust(authority);
    for versions in BOTH {
        let client = ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock()).with_versions(versions);
        for (what, party, expected, alert) in faults(authority, "localhost", ExtendedKeyUsagePurpose::ClientAuth) {
            between(client, party.server(), |middle| {
                middle.run(|_, item| vec![item]);
                let Err(Error::Certificate(error)) = middle.client.result else {
                    panic!("{what}: {:?}", middle.client.result)
                };
                assert!(expected(&error), "{what}: {error:?}");
                middle.client.failed(error, alert);
                assert!(!middle.server.is_established(), "{what}");
            });
        }
        // Another name, and an address.
        for name in ["elsewhere", "localhost.example", "192.0.2.1", "2001:db8::1"] {
            let name = ServerName::parse(name);
            assert!(name.is_some());
            let client = ClientConfig::new(trust, name, clock()).with_versions(versions);
            between(client, of(Kind::P256).server.server(), |middle| {
                middle.run(|_, item| vec![item]);
                let error = middle.client.result.unwrap_err();
                assert!(
                    matches!(error, Error::Certificate(CertificateError::NotValidForName { .. })),
                    "{error:?}"
                );
                middle.client.failed(error, Alert::BAD_CERTIFICATE);
            });
        }
        // A certificate that was changed on its way, anywhere.
        for at in [20, 100, 200] {
            between(client, of(Kind::P256).server.server(), |middle| {
                middle.run(|(from_client, _), item| match item.kind() {
                    Some(11) if !from_client => vec![item.map(|body| body[at] ^= 1)],
                    _ => vec![item],
                });
                assert!(
                    matches!(middle.client.result, Err(Error::Certificate(_))),
                    "{at} {:?}",
                    middle.client.result
                );
            });
        }
        // And its signature.
        between(client, of(Kind::P256).server.server(), |middle| {
            middle.run(|(from_client, _), item| match item.kind() {
                Some(11) if !from_client => vec![item.map(|body| {
                    let behind = if versions == Versions::Tls13 { 3 } else { 1 };
                    let at = body.len() - behind;
                    body[at] ^= 1;
                })],
                _ => vec![item],
            });
            middle
                .client
                .failed(CertificateError::BadSignature, Alert::BAD_CERTIFICATE);
        });
    }
}

#[test]
fn clients_that_are_refused() {
    let world = of(Kind::P256);
    let trust = trust(world.authority);
    for versions in BOTH {
        let client = ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock()).with_versions(versions);
        for auth in [ClientAuth::Optional(trust), ClientAuth::Required(trust)] {
            let server = world.server.server().with_client_auth(auth);
            for (what, party, expected, alert) in
                faults(world.authority, "client.test", ExtendedKeyUsagePurpose::ServerAuth)
            {
                between(client.with_identity(party.identity()), server, |middle| {
                    middle.run(|_, item| vec![item]);
                    let Err(Error::Certificate(error)) = middle.server.result else {
                        panic!("{what}: {:?}", middle.server.result)
                    };
                    assert!(expected(&error), "{what}: {error:?}");
                    middle.server.failed(error, alert);
                });
            }
            // A stolen certificate without its key.
            let thief = leak(Identity::new(&world.client.chain, &world.server.key).unwrap());
            between(client.with_identity(*thief), server, |middle| {
                middle.run(|_, item| vec![item]);
                middle
                    .server
                    .failed(PeerMisbehaved::WrongSignature, Alert::DECRYPT_ERROR);
            });
            // The proof left out, or signed with a scheme that was not asked for.
            between(client.with_identity(world.client.identity()), server, |middle| {
                middle.forge = true;
                middle.run(|(from_client, _), item| match item.kind() {
                    Some(15) if from_client => vec![],
                    _ => vec![item],
                });
                let error = middle.server.result.unwrap_err();
                assert_eq!(error.alert(), Some(Alert::UNEXPECTED_MESSAGE));
                assert!(!middle.server.is_established());
            });
            for scheme in [0x0203_u16, 0x0807, 0x0401] {
                between(client.with_identity(world.client.identity()), server, |middle| {
                    middle.run(|(from_client, _), item| match item.kind() {
                        Some(15) if from_client => {
                            vec![item.map(|body| body[..2].copy_from_slice(&scheme.to_be_bytes()))]
                        }
                        _ => vec![item],
                    });
                    let error = middle.server.result.unwrap_err();
                    assert!(
                        matches!(
                            error,
                            Error::PeerMisbehaved(
                                PeerMisbehaved::UnofferedSignatureScheme { .. }
                                    | PeerMisbehaved::WrongSignatureScheme(_)
                                    | PeerMisbehaved::WrongSignature
                            )
                        ),
                        "{error:?}"
                    );
                });
            }
        }
    }
}

/// The subject of the client, as the server sees it when all is done.
fn subject(middle: &Middle<'_>) -> Option<String> {
    let peer = middle.server.connection.info().peer;
    peer.map(|peer| peer.subject.as_str().to_owned())
}

#[test]
fn a_server_that_names_other_authorities_does_not_see_our_certificate() {
    // rustls names its trusted CAs; our certificate was issued by another.
    let (world, other) = (of(Kind::P256), of(Kind::P384));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    for (roots, shown) in [(world.authority.roots(), true), (other.authority.roots(), false)] {
        for versions in [Versions::Tls13, Versions::Tls12] {
            let verifier =
                rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots.clone()), provider.clone());
            let (chain, key) = world.server.rustls();
            let server = rustls::ServerConfig::builder_with_provider(provider.clone())
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_client_cert_verifier(verifier.allow_unauthenticated().build().unwrap())
                .with_single_cert(chain, key)
                .unwrap();
            let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap().into();
            let client = ClientConfig::new(world.authority.trust(), None, clock())
                .with_identity(world.client.identity())
                .with_versions(versions);
            let (mut inbound, mut outbound, mut random) = (vec![0; 20_000], vec![0; 40_000], rng(1));
            let mut client = Connection::client(client, &mut inbound, &mut outbound, &mut random).unwrap();
            assert_eq!(
                drive(&mut client, &mut server, &mut random, 10_000),
                Ok(Progress::NeedInput)
            );
            assert!(!client.is_handshaking() && !server.is_handshaking());
            assert_eq!(server.peer_certificates().is_some(), shown, "{versions:?}");
        }
    }
}

#[test]
fn clients_that_are_let_in() {
    let world = of(Kind::P256);
    let trust = trust(world.authority);
    for versions in BOTH {
        let client = ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock()).with_versions(versions);
        let server = world.server.server();
        let known = client.with_identity(world.client.identity());
        for (client, auth, expected) in [
            (known, ClientAuth::Required(trust), Some("CN=client.test".to_owned())),
            (known, ClientAuth::Optional(trust), Some("CN=client.test".to_owned())),
            (known, ClientAuth::Off, None),
            (client, ClientAuth::Optional(trust), None),
            (client, ClientAuth::Off, None),
        ] {
            between(client, server.with_client_auth(auth), |middle| {
                middle.establish();
                middle.works();
                assert_eq!(subject(middle), expected);
            });
        }
        // No certificate, where one is required (RFC 8446 §4.4.2.4, RFC 5246 §7.4.6).
        between(client, server.with_client_auth(ClientAuth::Required(trust)), |middle| {
            middle.run(|_, item| vec![item]);
            let (version, alert) = match versions {
                Versions::Tls13 => (ProtocolVersion::TLS13, Alert::CERTIFICATE_REQUIRED),
                _ => (ProtocolVersion::TLS12, Alert::HANDSHAKE_FAILURE),
            };
            middle
                .server
                .failed(PeerMisbehaved::NoClientCertificate(version), alert);
        });
        // Who was not asked shows no certificate (RFC 8446 §4.4.2).
        let mut certificate = None;
        between(known, server.with_client_auth(ClientAuth::Required(trust)), |middle| {
            middle.run(|(from_client, _), item| {
                if from_client && item.kind() == Some(11) {
                    certificate = Some(item.clone());
                }
                vec![item]
            });
        });
        let certificate = certificate.unwrap();
        between(known, server, |middle| {
            let mut shown = false;
            middle.run(|(from_client, number), item| {
                if from_client && number > 0 && item != Item::ChangeCipherSpec && !shown {
                    shown = true;
                    return vec![certificate.clone(), item];
                }
                vec![item]
            });
            let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::CERTIFICATE);
            middle.server.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
    }
}

#[test]
fn tls12_signs_with_the_hash_that_the_peer_offers() {
    use SignatureScheme::*;
    let expected: [(Kind, &[SignatureScheme]); 4] = [
        (
            Kind::P256,
            &[EcdsaSecp256r1Sha256, EcdsaSecp384r1Sha384, EcdsaSecp521r1Sha512],
        ),
        (
            Kind::P384,
            &[EcdsaSecp384r1Sha384, EcdsaSecp256r1Sha256, EcdsaSecp521r1Sha512],
        ),
        (Kind::Ed25519, &[Ed25519]),
        (
            Kind::Rsa2048,
            &[
                RsaPssRsaeSha256,
                RsaPssRsaeSha384,
                RsaPssRsaeSha512,
                RsaPkcs1Sha256,
                RsaPkcs1Sha384,
                RsaPkcs1Sha512,
            ],
        ),
    ];
    for (kind, schemes) in expected {
        let world = of(kind);
        let trust = world.authority.trust();
        let client =
            ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock()).with_versions(Versions::Tls12);
        for &scheme in schemes {
            let only = [scheme];
            // Of the server's signature, and of the client's; the peer offers no other.
            between(client.with_schemes(&only), world.server.server(), |middle| {
                middle.establish();
                assert_eq!(middle.client.connection.info().scheme, Some(scheme));
            });
            let client = client.with_identity(world.client.identity());
            let server = world
                .server
                .server()
                .with_client_auth(ClientAuth::Required(trust))
                .with_schemes(&only);
            between(client, server, |middle| {
                let mut signed = None;
                middle.run(|(from_client, _), item| {
                    if let (Item::Message(message), Some(15), true) = (&item, item.kind(), from_client) {
                        signed = Some(u16::from_be_bytes([message[4], message[5]]));
                    }
                    vec![item]
                });
                assert_eq!(middle.server.result, Ok(Progress::NeedInput), "{scheme}");
                assert_eq!(signed, Some(scheme.id()));
                assert!(middle.server.connection.info().peer.is_some());
                assert!(!middle.client.connection.info().no_own_scheme);
            });
            // A signature over other messages is refused.
            between(client, server, |middle| {
                middle.run(|(from_client, _), item| match item.kind() {
                    Some(15) if from_client => vec![item.map(|body| *body.last_mut().unwrap() ^= 1)],
                    _ => vec![item],
                });
                middle
                    .server
                    .failed(PeerMisbehaved::WrongSignature, Alert::DECRYPT_ERROR);
            });
        }
    }
}

#[test]
fn a_client_says_that_no_scheme_of_its_own_would_do() {
    let world = of(Kind::P256);
    let trust = world.authority.trust();
    let optional = world.server.server().with_client_auth(ClientAuth::Optional(trust));
    let client = |versions| {
        ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock())
            .with_versions(versions)
            .with_identity(world.client.identity())
    };
    for (versions, scheme, missing) in [
        // In TLS 1.3 a scheme names the curve as well.
        (Versions::Tls13, SignatureScheme::EcdsaSecp384r1Sha384, true),
        (Versions::Tls12, SignatureScheme::EcdsaSecp384r1Sha384, false),
        (Versions::Tls13, SignatureScheme::Ed25519, true),
        (Versions::Tls12, SignatureScheme::Ed25519, true),
        (Versions::Tls12, SignatureScheme::RsaPkcs1Sha256, true),
        (Versions::Tls13, SignatureScheme::EcdsaSecp256r1Sha256, false),
    ] {
        let only = [scheme];
        between(client(versions), optional.with_schemes(&only), |middle| {
            middle.establish();
            assert_eq!(
                middle.client.connection.info().no_own_scheme,
                missing,
                "{versions:?} {scheme}"
            );
            assert_eq!(middle.server.connection.info().peer.is_none(), missing);
        });
    }
}

#[test]
fn messages_that_find_no_room_are_not_to_be_signed() {
    let world = of(Kind::Ed25519);
    let trust = world.authority.trust();
    let client = ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock())
        .with_versions(Versions::Tls12)
        .with_identity(world.client.identity());
    let server = world.server.server().with_client_auth(ClientAuth::Optional(trust));
    for (room, known) in [(server.flight_len(), false), (16_640, true)] {
        let mut rooms = [Room::default(), Room::with_outbound(room)];
        let mut middle = Middle::new(client, server, &mut rooms);
        middle.establish();
        middle.works();
        assert_eq!(middle.client.connection.info().no_own_scheme, !known);
        assert_eq!(middle.server.connection.info().peer.is_some(), known);
    }
    let mut rooms = [Room::with_outbound(client.flight_len()), Room::default()];
    let mut middle = Middle::new(client, server, &mut rooms);
    middle.establish();
    assert!(
        middle.server.connection.info().peer.is_some(),
        "a client's flights are shorter than they may be"
    );
}

#[test]
fn a_hello_that_offers_tls13_does_not_promise_p521() {
    let world = of(Kind::P256);
    let trust = world.authority.trust();
    for (versions, offered) in [
        (Versions::Both, false),
        (Versions::Tls13, false),
        (Versions::Tls12, true),
    ] {
        let client = ClientConfig::new(trust, None, clock()).with_versions(versions);
        let server = world.server.server().with_client_auth(ClientAuth::Optional(trust));
        between(client, server, |middle| {
            let mut seen = 0;
            middle.run(|_, item| {
                // signature_algorithms, or the list in a CertificateRequest.
                if let (Item::Message(message), Some(1 | 13)) = (&item, item.kind()) {
                    seen += 1;
                    let list = [
                        SignatureScheme::RsaPkcs1Sha512.id(),
                        SignatureScheme::EcdsaSecp521r1Sha512.id(),
                    ];
                    let list = list.map(u16::to_be_bytes).concat();
                    assert_eq!(message.windows(4).any(|window| window == list), offered, "{versions:?}");
                }
                vec![item]
            });
            assert_eq!(seen, 2);
        });
    }
}
