//! Certificates of servers and clients that are refused, each for its own reason and with its own alert.

use std::time::Duration;

use postern::pki::verify::{CertificateError, ServerName, Trust};
use postern::tls::error::PeerMisbehaved;
use postern::tls::{AlertDescription as Alert, ClientAuth, ClientConfig, Error, Identity, Versions};
use postern_peers::clock;
use postern_peers::middle::{Item, Middle, between};
use postern_peers::world::{Authority, Kind, Party, leak, of};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, SerialNumber};

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];

fn time(seconds: u64) -> rcgen::CertificateParams {
    let mut params = CertificateParams::default();
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    params
}

/// What is wrong with a certificate, and what is to be said of it.
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
                faults(world.authority, "somebody", ExtendedKeyUsagePurpose::ServerAuth)
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
                                PeerMisbehaved::WrongSignatureScheme(_) | PeerMisbehaved::WrongSignature
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
fn clients_that_are_let_in() {
    let world = of(Kind::P256);
    let trust = trust(world.authority);
    for versions in BOTH {
        let client = ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock()).with_versions(versions);
        let server = world.server.server();
        let known = client.with_identity(world.client.identity());
        for (client, auth, expected) in [
            (known, ClientAuth::Required(trust), Some("CN=somebody".to_owned())),
            (known, ClientAuth::Optional(trust), Some("CN=somebody".to_owned())),
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
        // Nobody, where somebody is wanted (RFC 8446 §4.4.2.4, RFC 5246 §7.4.6).
        between(client, server.with_client_auth(ClientAuth::Required(trust)), |middle| {
            middle.run(|_, item| vec![item]);
            let tls13 = versions == Versions::Tls13;
            let alert = if tls13 {
                Alert::CERTIFICATE_REQUIRED
            } else {
                Alert::HANDSHAKE_FAILURE
            };
            middle
                .server
                .failed(PeerMisbehaved::NoClientCertificate { tls13 }, alert);
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
            let error = PeerMisbehaved::UnexpectedHandshake(11);
            middle.server.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
    }
}
