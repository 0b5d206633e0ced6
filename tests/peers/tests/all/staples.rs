//! Stapled OCSP responses of rustls, OpenSSL and GnuTLS.
//!
//! A man in the middle makes the faults that none of these servers has.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock};

use postern_peers::hello::message;
use postern_peers::middle::{Item, Middle, between};
use postern_peers::ocsp::{Says, response};
use postern_peers::tools::{Files, Program};
use postern_peers::world::{Authority, Kind, Party, leak, of};
use postern_peers::{clock, drive, rng};
use postern_tls::error::{InvalidMessage, PeerMisbehaved};
use postern_tls::pki::error::StapleFault;
use postern_tls::pki::verify::{CertificateError, Clock, ServerName};
use postern_tls::{
    AlertDescription as Alert, ClientAuth, ClientConfig, Connection, Error, ExtensionType, FULL_INBOUND, HandshakeType,
    Info, Progress, SessionCache, Versions,
};
use rcgen::{CustomExtension, ExtendedKeyUsagePurpose};

use super::client_alerts::{extensions, server_hello};

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];
const DAY: u64 = 24 * 60 * 60;
const TRY_LATER: [u8; 5] = [0x30, 3, 0x0a, 1, 3];

/// A CA, a server of it that has to staple (RFC 7633) and one that need not, and a responder of it.
struct World {
    authority: &'static Authority,
    server: &'static Party,
    demanding: &'static Party,
    responder: &'static Party,
}

fn world() -> &'static World {
    static WORLD: LazyLock<World> = LazyLock::new(|| {
        let authority = Authority::new(Kind::P256, "CA with a responder");
        World {
            authority,
            server: authority.issue(Kind::P256, "localhost"),
            demanding: authority.issue_with(Kind::P256, "localhost", |params| {
                let features = vec![0x30, 3, 2, 1, 5];
                params.custom_extensions = vec![CustomExtension::from_oid_content(
                    &[1, 3, 6, 1, 5, 5, 7, 1, 24],
                    features,
                )];
            }),
            responder: responder(authority, |_| {}),
        }
    });
    &WORLD
}

/// A responder authorised by `authority`, with changes.
fn responder(authority: &Authority, change: impl FnOnce(&mut rcgen::CertificateParams)) -> &'static Party {
    authority.issue_with(Kind::P256, "responder", |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
        change(params);
    })
}

impl World {
    /// The CA's own response for this certificate.
    fn says(&self, about: &Party, says: Says) -> Vec<u8> {
        response(self.authority, &self.authority.credentials(), about, says)
    }

    fn client(&self) -> ClientConfig<'static> {
        ClientConfig::new(self.authority.trust(), Some(ServerName::Dns("localhost")), clock())
    }
}

/// What is wrong, and the alert for it.
type Verdict = Result<(), (fn(&CertificateError) -> bool, Alert)>;

const fn refused(expected: fn(&CertificateError) -> bool) -> Verdict {
    Err((expected, Alert::BAD_CERTIFICATE_STATUS_RESPONSE))
}

/// What a handshake came to.
#[derive(Debug)]
struct Outcome {
    resumed: bool,
    stapled: bool,
    verified: bool,
}

impl From<&Info<'_>> for Outcome {
    fn from(info: &Info<'_>) -> Self {
        Self {
            resumed: info.resumed,
            stapled: info.stapled,
            verified: info.peer.is_some(),
        }
    }
}

#[track_caller]
fn check(what: &str, result: Result<Outcome, Error>, verdict: Verdict, stapled: bool) {
    match (result, verdict) {
        (Ok(info), Ok(())) => {
            assert_eq!(info.stapled, stapled, "{what}");
            assert!(info.verified, "{what}");
        }
        (Err(Error::Certificate(error)), Err((expected, alert))) => {
            assert!(expected(&error), "{what}: {error:?}");
            assert_eq!(Error::from(error).alert(), Some(alert), "{what}");
        }
        (result, _) => panic!("{what}: {result:?}"),
    }
}

/// A server, its stapled response, the time that has passed, and the expected result.
type Case = (&'static str, &'static Party, Option<Vec<u8>>, i64, Verdict);

/// Responses of every kind that OpenSSL can be made to give.
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn cases() -> Vec<Case> {
    let world = world();
    let (server, demanding) = (world.server, world.demanding);
    let by = |signer: &[String; 2]| Some(response(world.authority, signer, server, Says::Good));
    let good = || Some(world.says(server, Says::Good));
    // The same name, but not the same key; another name; below the CA, but by another.
    let double = Authority::new(Kind::P256, "CA with a responder");
    let stranger = Authority::new(Kind::P256, "Another CA");
    let unfit = world.authority.issue(Kind::P256, "responder");
    let old = responder(world.authority, |params| {
        params.not_after = rcgen::date_time_ymd(2026, 1, 1);
    });
    vec![
        ("none", server, None, 0, Ok(())),
        ("good", server, good(), 0, Ok(())),
        ("by a responder", server, by(&world.responder.pem), 0, Ok(())),
        (
            "revoked",
            server,
            Some(world.says(server, Says::Revoked)),
            0,
            Err((
                |error| {
                    matches!(error, CertificateError::RevokedByResponder { at, reason: Some("keyCompromise"), .. }
                        if *at == 1_767_323_045)
                },
                Alert::CERTIFICATE_REVOKED,
            )),
        ),
        (
            "unknown",
            server,
            Some(world.says(server, Says::Unknown)),
            0,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::UnknownCertificate))),
        ),
        (
            "expired",
            server,
            good(),
            10,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::Expired { .. }))),
        ),
        (
            "of tomorrow",
            server,
            good(),
            -1,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::NotYetValid { .. }))),
        ),
        (
            "about another",
            server,
            Some(world.says(demanding, Says::Good)),
            0,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::OtherCertificate))),
        ),
        (
            "by another of this name",
            server,
            by(&double.credentials()),
            0,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::BadSignature))),
        ),
        (
            "by another",
            server,
            by(&stranger.credentials()),
            0,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::ForeignResponder))),
        ),
        (
            "by another's responder",
            server,
            by(&responder(stranger, |_| {}).pem),
            0,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::ForeignResponder))),
        ),
        (
            "by an unauthorised responder",
            server,
            by(&unfit.pem),
            0,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::ResponderMayNotSign))),
        ),
        (
            "by a responder no longer authorised",
            server,
            by(&old.pem),
            0,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::ResponderExpired { .. }))),
        ),
        (
            "try later",
            server,
            Some(TRY_LATER.to_vec()),
            0,
            refused(|error| matches!(error, CertificateError::Staple(StapleFault::Unsuccessful("tryLater")))),
        ),
        (
            "demanded",
            demanding,
            Some(world.says(demanding, Says::Good)),
            0,
            Ok(()),
        ),
        (
            "demanded, and none",
            demanding,
            None,
            0,
            Err((
                |error| matches!(error, CertificateError::NoStaple),
                Alert::CERTIFICATE_UNKNOWN,
            )),
        ),
    ]
}

/// The client's configuration for a case.
fn client(days: i64, versions: Versions) -> ClientConfig<'static> {
    let now = clock().now.saturating_add_signed(days * DAY as i64);
    world()
        .client()
        .with_versions(versions)
        .with_clock(Clock { now, floor: 0 })
}

/// A server of rustls's that staples this.
fn rustls_server(party: &Party, staple: &[u8]) -> Arc<rustls::ServerConfig> {
    let (chain, key) = party.rustls();
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert_with_ocsp(chain, key, staple.to_vec())
        .unwrap();
    config.ticketer = rustls::crypto::ring::Ticketer::new().unwrap();
    Arc::new(config)
}

/// A handshake with it.
fn with_rustls(server: &Arc<rustls::ServerConfig>, client: ClientConfig<'_>) -> Result<Outcome, Error> {
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
    let mut random = rng(1);
    let mut ours = Connection::client(client, &mut inbound, &mut outbound, &mut random).unwrap();
    let mut theirs: rustls::Connection = rustls::ServerConnection::new(server.clone()).unwrap().into();
    let progress = drive(&mut ours, &mut theirs, &mut random, 10_000)?;
    assert_eq!(progress, Progress::NeedInput);
    assert!(!ours.is_handshaking() && !theirs.is_handshaking());
    Ok(ours.info().into())
}

#[test]
fn rustls_staples() {
    for (what, party, staple, days, verdict) in cases() {
        let server = rustls_server(party, staple.as_deref().unwrap_or_default());
        for versions in BOTH {
            let result = with_rustls(&server, client(days, versions));
            check(&format!("{what}, {versions:?}"), result, verdict, staple.is_some());
        }
    }
    // Responses that no responder sends.
    for garbage in [&b"garbage"[..], &[0], &[0x30, 0], &[0x30, 0x80, 0, 0], &[0xff; 3000]] {
        let server = rustls_server(world().server, garbage);
        for versions in BOTH {
            let malformed: Verdict =
                refused(|error| matches!(error, CertificateError::Staple(StapleFault::Malformed(_))));
            check("garbage", with_rustls(&server, client(0, versions)), malformed, false);
        }
    }
}

/// Every byte of a good response in turn.
#[test]
fn a_response_with_a_changed_byte_is_refused() {
    let world = world();
    for signer in [&world.authority.credentials(), &world.responder.pem] {
        let good = response(world.authority, signer, world.server, Says::Good);
        // The certificate of the CA itself, which is not needed, is sent at the end.
        let needed = match signer == &world.responder.pem {
            true => good.len(),
            false => good.len() - world.authority.der.len(),
        };
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 1;
            let versions = BOTH[at % 2];
            match with_rustls(&rustls_server(world.server, &changed), client(0, versions)) {
                Ok(_) => assert!(at >= needed, "{at} of {}", good.len()),
                Err(Error::Certificate(CertificateError::Staple(_))) => {}
                Err(error) => panic!("{at}: {error:?}"),
            }
        }
    }
}

#[test]
fn a_resumption_needs_no_response() {
    let world = world();
    for versions in BOTH {
        let server = rustls_server(world.demanding, &world.says(world.demanding, Says::Good));
        let sessions = SessionCache::new();
        let client = client(0, versions).with_sessions(&sessions);
        for resumed in [false, true, true] {
            let info = with_rustls(&server, client).unwrap();
            assert_eq!((info.resumed, info.stapled), (resumed, !resumed), "{versions:?}");
        }
    }
}

/// A handshake over TCP.
fn over_tcp(address: &str, client: ClientConfig<'_>) -> Result<Outcome, Error> {
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
    let mut random = rng(1);
    let mut connection = Connection::client(client, &mut inbound, &mut outbound, &mut random).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut result = Ok(Progress::NeedInput);
    loop {
        let pending = connection.pending().to_vec();
        stream.write_all(&pending).unwrap();
        connection.sent(pending.len());
        result?;
        if !connection.is_handshaking() {
            return Ok(connection.info().into());
        }
        match stream.read(connection.space()).unwrap() {
            0 => connection.received_end(),
            count => connection.received(count),
        }
        result = connection.advance(&mut random);
    }
}

#[test]
fn openssl_staples() {
    for (what, party, staple, days, verdict) in cases() {
        let files = Files::new();
        let [certificate, key] = files.write_party("server", party);
        let mut arguments = vec![
            "s_server",
            "-accept",
            "127.0.0.1:0",
            "-cert",
            &certificate,
            "-key",
            &key,
        ];
        let path = files.path("response.der");
        if let Some(staple) = &staple {
            std::fs::write(&path, staple).unwrap();
            arguments.extend(["-status_file", &path]);
        }
        let server = Program::start("openssl", &arguments);
        let address = server.says("ACCEPT ");
        for versions in BOTH {
            let result = over_tcp(address.trim_start_matches("ACCEPT "), client(days, versions));
            check(&format!("{what}, {versions:?}"), result, verdict, staple.is_some());
        }
    }
}

#[test]
fn gnutls_staples() {
    for (what, party, staple, days, verdict) in cases() {
        // It looks at what it staples, and takes nothing that is plainly no good.
        let Some(staple) = staple.filter(|_| ["good", "by a responder", "revoked", "demanded"].contains(&what)) else {
            continue;
        };
        let files = Files::new();
        let [certificate, key] = files.write_party("server", party);
        let path = files.path("response.der");
        std::fs::write(&path, &staple).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let number = port.to_string();
        let server = Program::start(
            "gnutls-serv",
            &[
                "--echo",
                "--port",
                &number,
                "--x509certfile",
                &certificate,
                "--x509keyfile",
                &key,
                "--ocsp-response",
                &path,
                "--ignore-ocsp-response-errors",
                "--disable-client-cert",
            ],
        );
        server.says("Echo Server listening on IPv4");
        for versions in BOTH {
            let result = over_tcp(&format!("127.0.0.1:{port}"), client(days, versions));
            check(&format!("{what}, {versions:?}"), result, verdict, true);
        }
    }
}

/// The first entry of a Certificate of TLS 1.3 with these extensions.
fn stapled(list: &[(u16, Vec<u8>)]) -> impl Fn(Item) -> Vec<Item> {
    move |item| {
        vec![item.map(|body| {
            let length = usize::from(body[5]) << 8 | usize::from(body[6]);
            let block = extensions(&[], |all| all.extend_from_slice(list));
            body.splice(7 + length..9 + length, block);
            let total = (body.len() - 4) as u32;
            body[1..4].copy_from_slice(&total.to_be_bytes()[1..]);
        })]
    }
}

/// A CertificateStatus of this type around a response.
fn status(kind: u8, response: &[u8]) -> Vec<u8> {
    let length = (response.len() as u32).to_be_bytes();
    [&[kind][..], &length[1..], response].concat()
}

/// What is wrong with a CertificateStatus, of either version.
fn malformed(response: &[u8]) -> [(Vec<u8>, InvalidMessage); 5] {
    let cut = |by: usize| status(1, response)[..response.len() + 4 - by].to_vec();
    [
        (status(2, response), InvalidMessage::IllegalValue("status_type")),
        (status(1, &[]), InvalidMessage::IllegalValue("OCSPResponse")),
        (cut(1), InvalidMessage::MissingData("CertificateStatus")),
        (vec![], InvalidMessage::MissingData("CertificateStatus")),
        (
            [&status(1, response)[..], &[0]].concat(),
            InvalidMessage::TrailingData("CertificateStatus"),
        ),
    ]
}

/// The client has taken the changed Certificate, and seen by the next message that it was changed.
#[track_caller]
fn taken(middle: &mut Middle<'_>, stapled: bool) {
    assert_eq!(middle.client.connection.info().stapled, stapled);
    middle
        .client
        .failed(PeerMisbehaved::WrongSignature, Alert::DECRYPT_ERROR);
}

#[test]
fn staples_of_tls13_stand_with_the_certificate() {
    let world = world();
    let good = world.says(world.server, Says::Good);
    let run = |list: &[(u16, Vec<u8>)], test: &dyn Fn(&mut Middle<'_>)| {
        between(client(0, Versions::Tls13), world.server.server(), |middle| {
            middle.forge = true;
            let change = stapled(list);
            middle.run(|(from_client, _), item| match item.kind() {
                Some(11) if !from_client => change(item),
                _ => vec![item],
            });
            test(middle);
        });
    };
    run(&[(5, status(1, &good))], &|middle| {
        taken(middle, true);
    });
    for (body, error) in malformed(&good) {
        run(&[(5, body.clone())], &|middle| {
            middle.client.failed(error, Alert::DECODE_ERROR);
        });
    }
    // Beside it, or instead of it, an unsolicited extension: certificate transparency.
    for list in [vec![(18, vec![])], vec![(5, status(1, &good)), (18, vec![])]] {
        run(&list, &|middle| {
            let error = PeerMisbehaved::UnofferedExtension(ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP);
            middle.client.failed(error, Alert::UNSUPPORTED_EXTENSION);
        });
    }
    run(&[(5, status(1, &good)), (5, status(1, &good))], &|middle| {
        let error = PeerMisbehaved::DuplicateExtension(ExtensionType::STATUS_REQUEST);
        middle.client.failed(error, Alert::ILLEGAL_PARAMETER);
    });
    // With another certificate of the chain it does not apply to the first, whatever it is.
    for (staple, error) in [
        (status(1, &good), None),
        (status(1, b"garbage"), None),
        (status(3, &good), Some(InvalidMessage::IllegalValue("status_type"))),
    ] {
        between(client(0, Versions::Tls13), world.server.server(), |middle| {
            middle.forge = true;
            middle.run(|(from_client, _), item| match item.kind() {
                Some(11) if !from_client => vec![item.map(|body| {
                    let der = world.authority.der;
                    let length = (der.len() as u32).to_be_bytes();
                    body.extend([&length[1..], der].concat());
                    body.extend(extensions(&[], |all| all.push((5, staple.clone()))));
                    let total = (body.len() - 4) as u32;
                    body[1..4].copy_from_slice(&total.to_be_bytes()[1..]);
                })],
                _ => vec![item],
            });
            match error {
                Some(error) => middle.client.failed(error, Alert::DECODE_ERROR),
                None => taken(middle, false),
            }
        });
    }
    // There is no message for it, neither before nor behind the certificate.
    for place in [8, 11, 15] {
        between(client(0, Versions::Tls13), world.server.server(), |middle| {
            middle.forge = true;
            middle.run(|(from_client, _), item| match item.kind() {
                Some(kind) if kind == place && !from_client => {
                    vec![item, Item::Message(message(22, &status(1, &good)))]
                }
                _ => vec![item],
            });
            let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::CERTIFICATE_STATUS);
            middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
    }
}

#[test]
fn staples_of_tls12_are_a_message_of_their_own() {
    let world = world();
    let good = status(1, &world.says(world.server, Says::Good));
    // Whether it is promised, and behind which messages it comes.
    let run = |promised: bool, body: &[u8], places: &[u8], test: &dyn Fn(&mut Middle<'_>)| {
        between(client(0, Versions::Tls12), world.server.server(), |middle| {
            middle.forge = true;
            let promise = server_hello(|list| list.push((5, vec![])));
            middle.run(|(from_client, _), item| {
                let kind = item.kind();
                let item = match kind {
                    Some(2) if !from_client && promised => item.map(&promise),
                    _ => item,
                };
                match kind {
                    Some(kind) if places.contains(&kind) && !from_client => {
                        vec![item, Item::Message(message(22, body))]
                    }
                    _ => vec![item],
                }
            });
            test(middle);
        });
    };
    for (places, stapled) in [(&[11][..], true), (&[], false)] {
        run(true, &good, places, &|middle| {
            assert!(middle.client.is_established(), "{:?}", middle.client.result);
            assert_eq!(middle.client.connection.info().stapled, stapled);
            middle.works();
        });
    }
    for (body, error) in malformed(&good[4..]) {
        run(true, &body, &[11], &|middle| {
            middle.client.failed(error, Alert::DECODE_ERROR);
        });
    }
    let misplaced = [
        (true, &[2][..]),
        (true, &[12]),
        (true, &[14]),
        (false, &[11]),
        (false, &[2]),
    ];
    for (promised, places) in misplaced {
        run(promised, &good, places, &|middle| {
            let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::CERTIFICATE_STATUS);
            middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
    }
    // Twice, and instead of the certificate.
    between(client(0, Versions::Tls12), world.server.server(), |middle| {
        let promise = server_hello(|list| list.push((5, vec![])));
        middle.run(|(from_client, _), item| match item.kind() {
            Some(2) if !from_client => vec![item.map(&promise)],
            Some(11) if !from_client => {
                let status = Item::Message(message(22, &good));
                vec![item, status.clone(), status]
            }
            _ => vec![item],
        });
        let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::CERTIFICATE_STATUS);
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    // A promise with something in it (RFC 6066 §8).
    between(client(0, Versions::Tls12), world.server.server(), |middle| {
        let promise = server_hello(|list| list.push((5, vec![1, 0, 0, 0, 0])));
        middle.run(|(from_client, _), item| match item.kind() {
            Some(2) if !from_client => vec![item.map(&promise)],
            _ => vec![item],
        });
        let error = InvalidMessage::TrailingData("status_request");
        middle.client.failed(error, Alert::DECODE_ERROR);
    });
    // And one that demands a staple keeps silent, promise or not.
    for promised in [true, false] {
        between(client(0, Versions::Tls12), world.demanding.server(), |middle| {
            let promise = server_hello(|list| list.push((5, vec![])));
            middle.run(|(from_client, _), item| match item.kind() {
                Some(2) if !from_client && promised => vec![item.map(&promise)],
                _ => vec![item],
            });
            middle.client.failed(
                Error::Certificate(CertificateError::NoStaple),
                Alert::CERTIFICATE_UNKNOWN,
            );
        });
    }
}

#[test]
fn the_status_of_clients_is_not_asked_for() {
    let (world, client) = (world(), of(Kind::P256));
    let trust = client.authority.trust();
    let server = world.server.server().with_client_auth(ClientAuth::Required(trust));
    let config = self::client(0, Versions::Tls13).with_identity(client.client.identity());
    between(config, server, |middle| {
        let list = [(5, status(1, &TRY_LATER))];
        let change = stapled(&list);
        middle.run(|(from_client, _), item| match item.kind() {
            Some(11) if from_client => change(item),
            _ => vec![item],
        });
        let error = PeerMisbehaved::UnofferedExtension(ExtensionType::STATUS_REQUEST);
        middle.server.failed(error, Alert::UNSUPPORTED_EXTENSION);
    });
    // A certificate that demands a staple is good for a client: the demand is one on servers.
    let demanding = leak(
        client
            .authority
            .issue_with(Kind::P256, "client.test", |params| {
                let features = vec![0x30, 3, 2, 1, 5];
                params.custom_extensions = vec![CustomExtension::from_oid_content(
                    &[1, 3, 6, 1, 5, 5, 7, 1, 24],
                    features,
                )];
            })
            .identity(),
    );
    for versions in BOTH {
        between(self::client(0, versions).with_identity(*demanding), server, |middle| {
            middle.establish();
        });
    }
}
