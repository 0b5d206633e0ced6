//! TLS 1.2: change_cipher_spec, renegotiation, refused hellos and keys.

use postern_peers::clock;
use postern_peers::hello::{
    Hello, SIGNATURE_ALGORITHMS, SUPPORTED_GROUPS, SUPPORTED_VERSIONS, message, numbers16, record, vector8,
};
use postern_peers::middle::{End, Item, Middle, between};
use postern_peers::probe::{Buffers, Probe};
use postern_peers::world::{Kind, World, of};
use postern_tls::crypto::kx::Group;
use postern_tls::error::{InvalidMessage, PeerIncompatible, PeerMisbehaved};
use postern_tls::pki::verify::{PeerIdentity, ServerName, Trust};
use postern_tls::{
    AlertDescription as Alert, ClientConfig, ContentType, Error, HandshakeType, NamedGroup, Progress, ProtocolVersion,
    ServerConfig, Versions,
};

use crate::client_alerts::{client, server, server_hello};
use crate::tickets::{client_hello, without_master_secret};

const EC_POINT_FORMATS: u16 = 11;
const EXTENDED_MASTER_SECRET: u16 = 23;
const RENEGOTIATION_INFO: u16 = 0xff01;
const KEY_SHARE: u16 = 51;

/// Between a client and a server, up to the message of type `kind` from there, which is kept back.
fn up_to(from_client: bool, kind: Option<u8>, test: impl FnOnce(&mut End<'_>, Item)) {
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        let mut kept = None;
        middle.run(|place, item| {
            if place.0 == from_client && (kept.is_some() || item.kind() == kind) {
                kept.get_or_insert(item);
                return vec![];
            }
            vec![item]
        });
        let receiver = if from_client {
            &mut middle.server
        } else {
            &mut middle.client
        };
        assert_eq!(receiver.result, Ok(Progress::NeedInput));
        receiver.outbox.clear();
        test(receiver, kept.unwrap());
    });
}

#[test]
fn change_cipher_spec_too_early() {
    let unexpected = PeerMisbehaved::UnexpectedRecord(ContentType::CHANGE_CIPHER_SPEC);
    // Before each message up to the one after which it is due (RFC 5246 §7.1).
    for (from_client, kind) in [(true, 1), (true, 16), (false, 2), (false, 11), (false, 12), (false, 14)] {
        up_to(from_client, Some(kind), |end, _| {
            end.deliver(Item::ChangeCipherSpec, false);
            end.failed(unexpected, Alert::UNEXPECTED_MESSAGE);
        });
    }
}

#[test]
fn change_cipher_spec_left_out_late_doubled_or_broken() {
    for from_client in [true, false] {
        // Finished without it.
        between(client().with_versions(Versions::Tls12), server(), |middle| {
            middle.run(|place, item| match item {
                Item::ChangeCipherSpec if place.0 == from_client => vec![],
                _ => vec![item],
            });
            let end = if from_client {
                &mut middle.server
            } else {
                &mut middle.client
            };
            let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::FINISHED);
            end.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
        // Twice: the second is protected, and as unexpected.
        up_to(from_client, None, |end, item| {
            assert_eq!(item, Item::ChangeCipherSpec);
            end.deliver(item.clone(), false);
            assert_eq!(end.result, Ok(Progress::NeedInput));
            end.deliver(item, false);
            let error = PeerMisbehaved::UnexpectedRecord(ContentType::CHANGE_CIPHER_SPEC);
            end.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
        // In the clear, it does not authenticate.
        up_to(from_client, None, |end, item| {
            end.deliver(item, false);
            end.feed(&record(20, &[1]));
            end.failed(PeerMisbehaved::BadRecordMac, Alert::BAD_RECORD_MAC);
        });
        for broken in [&[][..], &[0], &[2], &[1, 1]] {
            up_to(from_client, None, |end, _| {
                end.feed(&record(20, broken));
                let error = PeerMisbehaved::UnexpectedRecord(ContentType::CHANGE_CIPHER_SPEC);
                end.failed(error, Alert::UNEXPECTED_MESSAGE);
            });
        }
        // Within a message, and a message that continues after it.
        up_to(from_client, None, |end, _| {
            end.feed(&record(22, &[20, 0, 0]));
            end.deliver(Item::ChangeCipherSpec, false);
            let error = PeerMisbehaved::InterleavedHandshake;
            end.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
        // Data, or anything else, before Finished.
        for (item, error) in [
            (
                Item::Data(b"early".to_vec()),
                PeerMisbehaved::UnexpectedRecord(ContentType::APPLICATION_DATA),
            ),
            (
                Item::Data(vec![]),
                PeerMisbehaved::UnexpectedRecord(ContentType::APPLICATION_DATA),
            ),
            (
                Item::Message(message(16, &[0])),
                PeerMisbehaved::UnexpectedHandshake(HandshakeType::CLIENT_KEY_EXCHANGE),
            ),
            (
                Item::Message(message(4, &[0; 6])),
                PeerMisbehaved::UnexpectedHandshake(HandshakeType::NEW_SESSION_TICKET),
            ),
        ] {
            up_to(from_client, None, |end, ccs| {
                end.deliver(ccs, false);
                end.deliver(item, false);
                end.failed(error, Alert::UNEXPECTED_MESSAGE);
            });
        }
    }
    // The server's turn is over with ServerHelloDone: the client's flight does not go out when more follows.
    up_to(false, Some(14), |end, item| {
        let Item::Message(done) = item else { panic!() };
        end.feed(&record(22, &[&done[..], &[20]].concat()));
        assert_eq!(end.outbox.len(), 1);
        let error = PeerMisbehaved::MessageAcrossKeyChange;
        end.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    // The client's flight in one record with what has to come under the new key.
    up_to(true, Some(16), |end, item| {
        let Item::Message(exchange) = item else { panic!() };
        end.feed(&record(22, &[&exchange[..], &[20, 0, 0, 12]].concat()));
        let error = PeerMisbehaved::MessageAcrossKeyChange;
        end.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
}

#[test]
fn renegotiation_is_declined_and_the_connection_goes_on() {
    let hello = Item::Message(tls12_hello().message());
    let request = Item::Message(message(0, &[]));
    for (to_client, item) in [(false, hello), (true, request)] {
        between(
            client().with_versions(Versions::Tls12),
            server(),
            |middle: &mut Middle<'_>| {
                middle.establish();
                for _ in 0..4 {
                    let end = if to_client {
                        &mut middle.client
                    } else {
                        &mut middle.server
                    };
                    end.deliver(item.clone(), false);
                    assert_eq!(end.result, Ok(Progress::NeedInput));
                    // The refusal does not wait for data: a peer that waits for it would hang (RFC 5246 §7.2.2).
                    assert_eq!(end.outbox.pop_front(), Some(Item::Alert(1, Alert::NO_RENEGOTIATION)));
                    assert!(end.outbox.is_empty());
                    end.write(b"!");
                    assert_eq!(end.outbox.pop_front(), Some(Item::Data(b"!".to_vec())));
                    middle.works();
                }
                // Repetition would keep the peer busy.
                let end = if to_client {
                    &mut middle.client
                } else {
                    &mut middle.server
                };
                end.deliver(item.clone(), false);
                let error = Error::from(PeerMisbehaved::TooManyRenegotiations);
                assert_eq!(end.result, Err(error));
            },
        );
    }
    // With a full buffer the refusal waits for room, and comes after what is in its way.
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        middle.establish();
        let server = &mut middle.server.connection;
        let mut data = 0;
        loop {
            match server.write(&[b'x'; 1000]).unwrap() {
                0 => break,
                count => data += count,
            }
        }
        middle.server.deliver(Item::Message(tls12_hello().message()), false);
        let server = &mut middle.server;
        let mut sent = Vec::new();
        while let Some(item) = server.outbox.pop_front() {
            sent.push(item);
        }
        assert!(sent.contains(&Item::Alert(1, Alert::NO_RENEGOTIATION)), "{sent:?}");
        let received = sent.iter().filter_map(|item| match item {
            Item::Data(data) => Some(data.len()),
            _ => None,
        });
        assert_eq!(received.sum::<usize>(), data);
    });
    // A refusal that finds no room at all stays due until there is some.
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        middle.establish();
        let server = &mut middle.server;
        server.blocked = true;
        for size in [1000, 1] {
            while server.connection.write(&[b'x'; 1000][..size]).unwrap() > 0 {}
        }
        for _ in 0..3 {
            server.deliver(Item::Message(tls12_hello().message()), false);
        }
        server.blocked = false;
        let refusals = |server: &End<'_>| {
            let is_refusal = |item: &&Item| **item == Item::Alert(1, Alert::NO_RENEGOTIATION);
            server.outbox.iter().filter(is_refusal).count()
        };
        server.collect();
        let queued = refusals(server);
        assert!(queued < 3, "there was room for all");
        // The next step queues the one that is due.
        server.deliver(Item::Alert(1, Alert::UNRECOGNIZED_NAME), false);
        assert_eq!(refusals(server), queued + 1);
    });
    // A warning is no end.
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        middle.establish();
        middle.server.deliver(Item::Alert(1, Alert::NO_RENEGOTIATION), false);
        middle.client.deliver(Item::Alert(1, Alert::UNRECOGNIZED_NAME), false);
        middle.works();
        middle.server.deliver(Item::Alert(2, Alert::NO_RENEGOTIATION), false);
        assert_eq!(middle.server.result, Err(Error::AlertReceived(Alert::NO_RENEGOTIATION)));
    });
}

#[test]
fn hello_requests_during_the_handshake() {
    let request = || Item::Message(message(0, &[]));
    // RFC 5246 §7.4.1.1: ignored, and not hashed; before every message of the server's.
    for client in [client(), client().with_versions(Versions::Tls12)] {
        between(client, server().with_versions(Versions::Tls12), |middle| {
            middle.run(|(from_client, _), item| match item {
                Item::Message(_) if !from_client => vec![request(), item],
                _ => vec![item],
            });
            assert!(middle.client.is_established() && middle.server.is_established());
            middle.works();
            // Those of the handshake do not count for what comes after it.
            for _ in 0..4 {
                middle.client.deliver(request(), false);
                assert_eq!(middle.client.result, Ok(Progress::NeedInput));
            }
        });
    }
    // Not without end, and with nothing in them.
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        for _ in 0..16 {
            middle.client.deliver(request(), false);
            assert_eq!(middle.client.result, Ok(Progress::NeedInput));
        }
        middle.client.deliver(request(), false);
        let error = PeerMisbehaved::TooManyRenegotiations;
        middle.client.failed(error, Alert::NO_RENEGOTIATION);
    });
    let error = InvalidMessage::TrailingData("HelloRequest");
    between(client(), server(), |middle| {
        middle.client.deliver(Item::Message(message(0, &[0])), false);
        middle.client.failed(error, Alert::DECODE_ERROR);
    });
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        middle.establish();
        middle.client.deliver(Item::Message(message(0, &[0])), false);
        assert_eq!(middle.client.result, Err(error.into()));
    });
    // There is none in TLS 1.3, nor from a client.
    let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::HELLO_REQUEST);
    between(client().with_versions(Versions::Tls13), server(), |middle| {
        middle.client.deliver(request(), false);
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    between(client(), server(), |middle| {
        middle.run(|(from_client, _), item| match item.kind() {
            Some(8) if !from_client => vec![request(), item],
            _ => vec![item],
        });
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    between(client(), server(), |middle| {
        middle.server.deliver(request(), false);
        middle.server.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
}

#[test]
fn warnings_during_the_handshake() {
    // RFC 6066 §3: a server may say unrecognized_name with a warning before its hello.
    between(client(), server().with_versions(Versions::Tls12), |middle| {
        middle.client.deliver(Item::Alert(1, Alert::UNRECOGNIZED_NAME), false);
        middle.establish();
        middle.works();
    });
    // With TLS 1.3 it is fatal whatever its level (RFC 8446 §6).
    between(client(), server(), |middle| {
        let mut kept = Vec::new();
        middle.run(|(from_client, number), item| {
            if !from_client && number > 1 {
                kept.push(item);
                return vec![];
            }
            vec![item]
        });
        middle.client.deliver(Item::Alert(1, Alert::UNRECOGNIZED_NAME), false);
        assert_eq!(
            middle.client.result,
            Err(Error::AlertReceived(Alert::UNRECOGNIZED_NAME))
        );
    });
}

#[test]
fn records_of_tls12_that_are_changed() {
    for suite in postern_tls::crypto::suite::CipherSuite::TLS12.into_iter().take(3) {
        let suites = [suite];
        let client = client().with_versions(Versions::Tls12).with_suites(&suites);
        // Too short for nonce and tag, and the bytes of a good one changed one after the other.
        for length in [0, 1, 8, 15, 16, 23, 24, 40] {
            between(client, server(), |middle| {
                middle.establish();
                middle.server.feed(&record(23, &vec![0x5a; length]));
                let error = Error::from(PeerMisbehaved::BadRecordMac);
                assert_eq!(middle.server.result, Err(error), "{suite} {length}");
                assert_eq!(error.alert(), Some(Alert::BAD_RECORD_MAC));
            });
        }
        // Content over the limit (RFC 5246 §6.2.1), and as long as it may be.
        between(client, server(), |middle| {
            middle.establish();
            middle.server.deliver(Item::Data(vec![7; 16384]), false);
            assert_eq!(middle.server.result, Ok(Progress::NeedInput));
            middle.server.deliver(Item::Data(vec![7; 16385]), false);
            let error = Error::from(InvalidMessage::RecordTooLong(16385));
            assert_eq!(middle.server.result, Err(error));
            assert_eq!(error.alert(), Some(Alert::RECORD_OVERFLOW));
        });
        // Empty records, and that there is an end to them.
        between(client, server(), |middle| {
            middle.establish();
            for _ in 0..32 {
                middle.server.deliver(Item::Data(vec![]), false);
                assert_eq!(middle.server.result, Ok(Progress::NeedInput));
            }
            middle.server.deliver(Item::Data(vec![]), false);
            assert_eq!(middle.server.result, Err(PeerMisbehaved::TooManyEmptyRecords.into()));
        });
        // The end of the stream without close_notify, and with.
        between(client, server(), |middle| {
            middle.establish();
            middle.server.end();
            assert_eq!(middle.server.result, Err(Error::Truncated));
            middle.client.deliver(Item::Alert(1, Alert::CLOSE_NOTIFY), false);
            assert_eq!(middle.client.result, Ok(Progress::Closed));
            middle.client.end();
            assert_eq!(middle.client.result, Ok(Progress::Closed));
        });
    }
}

#[test]
fn who_lists_no_groups_gets_the_oldest() {
    // X25519 where it is listed, P-256 where nothing is (RFC 8422 §5.1), or else what the server has.
    let bare = tls12_hello().without(SUPPORTED_GROUPS);
    let both = [Group::X25519MlKem768, Group::X25519, Group::Secp256r1];
    for (hello, groups, share) in [
        (tls12_hello(), &both[..], &[3, 0, 0x1d, 32]),
        (bare.clone(), &both, &[3, 0, 0x17, 65]),
        (bare, &both[..2], &[3, 0, 0x1d, 32]),
    ] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server().with_groups(groups), &mut buffers);
        assert_eq!(probe.feed(&hello.record()), Ok(Progress::NeedInput));
        let flight: Vec<u8> = core::iter::from_fn(|| probe.record()).flatten().collect();
        assert!(flight.windows(share.len()).any(|window| window == share), "{share:?}");
    }
}

#[test]
fn curves_of_certificates_are_among_the_groups_of_the_client() {
    // RFC 8422 §5.1.1, §5.3. The list says nothing of other keys.
    let [p256, p384, rsa, ed25519] = [Kind::P256, Kind::P384, Kind::Rsa2048, Kind::Ed25519].map(of);
    const X25519: Group = Group::X25519;
    let run = |worlds: &[&'static World], listed: &[Group]| {
        let identities: Vec<_> = worlds.iter().map(|world| world.server.identity()).collect();
        let anchors: Vec<_> = worlds.iter().map(|world| world.authority.der).collect();
        let trust = Trust::new(&anchors);
        let server = ServerConfig::new(&identities, clock())
            .unwrap()
            .with_versions(Versions::Tls12);
        let client = ClientConfig::new(&trust, Some(ServerName::Dns("localhost")), clock()).with_groups(listed);
        between(client, server, |middle| {
            middle.run(|_, item| vec![item]);
            let shown = worlds.iter().position(|world| {
                let peer = middle.client.connection.info().peer;
                peer == PeerIdentity::from_leaf(world.server.chain[0]).ok()
            });
            (
                shown,
                middle
                    .server
                    .result
                    .err()
                    .filter(|error| !matches!(error, Error::AlertReceived(_))),
            )
        })
    };
    let refused = Some(PeerIncompatible::CertificateCurve.into());
    assert_eq!(run(&[p256], &[X25519]), (None, refused));
    assert_eq!(run(&[p384], &[X25519, Group::Secp256r1]), (None, refused));
    assert_eq!(
        refused.and_then(|error: Error| error.alert()),
        Some(Alert::HANDSHAKE_FAILURE)
    );
    assert_eq!(run(&[p256], &[X25519, Group::Secp256r1]), (Some(0), None));
    // The first identity that fits.
    assert_eq!(run(&[p384, p256], &[X25519, Group::Secp256r1]), (Some(1), None));
    assert_eq!(run(&[p256, rsa], &[X25519]), (Some(1), None));
    assert_eq!(run(&[p256, ed25519], &[X25519]), (Some(1), None));
    // A server that shows it all the same: it has seen another list.
    let client = client().with_versions(Versions::Tls12).with_groups(&[X25519]);
    between(client, server(), |middle| {
        middle.forge = true;
        middle.run(|(from_client, _), item| match item.kind() {
            Some(1) if from_client => vec![item.map(client_hello(|list| {
                let groups = list.iter_mut().find(|(kind, _)| *kind == SUPPORTED_GROUPS).unwrap();
                groups.1 = numbers16(&[0x001d, 0x0017]);
            }))],
            _ => vec![item],
        });
        let error = PeerMisbehaved::UnofferedCurve(NamedGroup::SECP256R1);
        middle.client.failed(error, Alert::ILLEGAL_PARAMETER);
    });
}

#[test]
fn the_extended_master_secret_is_required_unless_the_configuration_says_otherwise() {
    // RFC 7627 §5.2, §5.3.
    let tls12 = client().with_versions(Versions::Tls12);
    let without = |middle: &mut Middle<'_>, kind: u8| {
        middle.forge = true;
        middle.run(|(from_client, _), item| match item.kind() {
            Some(1) if from_client && kind == 1 => vec![item.map(without_master_secret)],
            Some(2) if !from_client && kind == 2 => {
                vec![item.map(server_hello(|list| {
                    list.retain(|(kind, _)| *kind != EXTENDED_MASTER_SECRET);
                }))]
            }
            _ => vec![item],
        });
    };
    let error = PeerIncompatible::ExtendedMasterSecret;
    between(tls12, server(), |middle| {
        without(middle, 1);
        middle.server.failed(error, Alert::HANDSHAKE_FAILURE);
    });
    between(tls12, server(), |middle| {
        without(middle, 2);
        middle.client.failed(error, Alert::HANDSHAKE_FAILURE);
    });
    let allowed = server().with_extended_master_secret_required(false);
    between(tls12.with_extended_master_secret_required(false), allowed, |middle| {
        without(middle, 1);
        assert!(middle.client.is_established() && middle.server.is_established());
        middle.works();
    });
}

/// A ClientHello of TLS 1.2.
fn tls12_hello() -> Hello {
    Hello::new(&[])
        .changed(|hello| hello.suites = vec![0xc02b, 0xc02c, 0xcca9])
        .without(SUPPORTED_VERSIONS)
        .without(KEY_SHARE)
        .with(SUPPORTED_GROUPS, numbers16(&[0x001d, 0x0017]))
        .with(EXTENDED_MASTER_SECRET, [])
        .with(EC_POINT_FORMATS, [1, 0])
        .with(RENEGOTIATION_INFO, [0])
}

#[track_caller]
fn refused_from(server: ServerConfig<'_>, hello: &Hello, error: impl Into<Error>, alert: Alert) {
    let mut buffers = Buffers::new();
    Probe::new(server, &mut buffers).refuses(None, &hello.record(), error, alert);
}

#[track_caller]
fn refused(hello: &Hello, error: impl Into<Error>, alert: Alert) {
    refused_from(server(), hello, error, alert);
}

#[track_caller]
fn accepted(hello: &Hello) -> Vec<u8> {
    let mut buffers = Buffers::new();
    let server = server().with_extended_master_secret_required(false);
    let mut probe = Probe::new(server, &mut buffers);
    assert_eq!(probe.feed(&hello.record()), Ok(Progress::NeedInput));
    let record = probe.record().unwrap();
    assert_eq!(record[0], 22);
    record
}

#[test]
fn hellos_of_tls12_that_are_answered() {
    let hello = tls12_hello();
    let answer = accepted(&hello);
    let has = |answer: &[u8], extension: &[u8]| answer.windows(extension.len()).any(|window| window == extension);
    // The mark that more was possible (RFC 8446 §4.1.3); the extensions that were asked for.
    assert!(has(&answer, b"DOWNGRD\x01"));
    assert!(has(&answer, &[0xff, 1, 0, 1, 0]) && has(&answer, &[0, 23, 0, 0]));
    // Without any extension (RFC 5246 §7.4.1.4.1), it would be SHA-1, which we do not sign with.
    let bare = hello.clone().changed(|hello| hello.extensions.clear());
    refused_from(
        server().with_extended_master_secret_required(false),
        &bare,
        PeerIncompatible::SignatureScheme,
        Alert::HANDSHAKE_FAILURE,
    );
    let bare = bare.with(SIGNATURE_ALGORITHMS, numbers16(&[0x0403]));
    let answer = accepted(&bare);
    assert!(!has(&answer, &[0xff, 1, 0, 1, 0]) && !has(&answer, &[0, 23, 0, 0]));
    // The signalling suite stands for the extension (RFC 5746 §3.6).
    let signalled = bare.changed(|hello| hello.suites.push(0x00ff));
    assert!(has(&accepted(&signalled), &[0xff, 1, 0, 1, 0]));
    // A later legacy_version is none (RFC 8446 §4.2.1).
    accepted(&hello.clone().changed(|hello| hello.version = 0x0304));
    accepted(&hello.changed(|hello| hello.compression = vec![1, 0]));
}

#[test]
fn hellos_of_tls12_that_are_refused() {
    let hello = tls12_hello();
    for version in [0x0301, 0x0302] {
        let hello = hello.clone().changed(|hello| hello.version = version);
        refused(
            &hello,
            PeerIncompatible::Version(Some(ProtocolVersion(version))),
            Alert::PROTOCOL_VERSION,
        );
    }
    refused_from(
        server().with_versions(Versions::Tls13),
        &hello,
        PeerIncompatible::Version(Some(ProtocolVersion::TLS12)),
        Alert::PROTOCOL_VERSION,
    );
    // CBC, RSA key exchange, DHE, RSA signatures, TLS 1.3's suites.
    for suites in [
        vec![0xc009, 0xc00a, 0xc023, 0xc024],
        vec![0x002f, 0x009c],
        vec![0x009e],
        vec![0xc02f],
        vec![0x1301],
    ] {
        let hello = hello.clone().changed(|hello| hello.suites = suites);
        refused(&hello, PeerIncompatible::CipherSuite, Alert::HANDSHAKE_FAILURE);
    }
    let groups = |ids: &[u16]| hello.clone().with(SUPPORTED_GROUPS, numbers16(ids));
    for ids in [&[0x0017][..], &[0x0019, 0x001e], &[0x11ec], &[]] {
        // The server has X25519 only; an empty list is malformed.
        let mut buffers = Buffers::new();
        let result = Probe::new(server(), &mut buffers).feed(&groups(ids).record());
        let error = result.unwrap_err();
        if ids.is_empty() {
            assert_eq!(error.alert(), Some(Alert::DECODE_ERROR));
        } else {
            let expected = match ids.contains(&0x0017) {
                true => PeerIncompatible::Group,
                // Nor the curve of the certificate.
                false => PeerIncompatible::CertificateCurve,
            };
            assert_eq!(error, expected.into());
            assert_eq!(error.alert(), Some(Alert::HANDSHAKE_FAILURE));
        }
    }
    let rsa = hello
        .clone()
        .with(SIGNATURE_ALGORITHMS, numbers16(&[0x0401, 0x0804, 0x0203]));
    refused(&rsa, PeerIncompatible::SignatureScheme, Alert::HANDSHAKE_FAILURE);
    let compressed = hello.clone().changed(|hello| hello.compression = vec![1]);
    refused(&compressed, PeerMisbehaved::Compression, Alert::ILLEGAL_PARAMETER);
    let points = hello.clone().with(EC_POINT_FORMATS, [2, 1, 2]);
    let error = PeerMisbehaved::IllegalParameter("ec_point_formats");
    refused(&points, error, Alert::ILLEGAL_PARAMETER);
    let renegotiating = hello.clone().with(RENEGOTIATION_INFO, vector8(&[3; 12]));
    let error = PeerMisbehaved::RenegotiationInfo;
    refused(&renegotiating, error, Alert::HANDSHAKE_FAILURE);
    let error = InvalidMessage::TrailingData("extended_master_secret");
    refused(
        &hello.clone().with(EXTENDED_MASTER_SECRET, [0]),
        error,
        Alert::DECODE_ERROR,
    );
    // RFC 7507: a fallback that was not needed; where TLS 1.2 is the best, it is.
    let fallback = hello.changed(|hello| hello.suites.push(0x5600));
    let error = PeerMisbehaved::InappropriateFallback;
    refused(&fallback, error, Alert::INAPPROPRIATE_FALLBACK);
    let mut buffers = Buffers::new();
    let server = server().with_versions(Versions::Tls12);
    let mut probe = Probe::new(server, &mut buffers);
    assert_eq!(probe.feed(&fallback.record()), Ok(Progress::NeedInput));
    // And it marks nothing.
    let answer = probe.record().unwrap();
    assert!(!answer.windows(7).any(|window| window == b"DOWNGRD"));
}

#[test]
fn client_key_exchanges_that_are_wrong() {
    const P256: [Group; 1] = [Group::Secp256r1];
    const P384: [Group; 1] = [Group::Secp384r1];
    const X25519: [Group; 1] = [Group::X25519];
    let off_curve = [&[65, 4][..], &[1; 64]].concat();
    for (groups, body, error, alert) in [
        (
            &X25519,
            vec![],
            Error::from(InvalidMessage::MissingData("ClientKeyExchange")),
            Alert::DECODE_ERROR,
        ),
        (
            &X25519,
            vec![0],
            InvalidMessage::IllegalValue("ecdh_Yc").into(),
            Alert::DECODE_ERROR,
        ),
        (
            &X25519,
            [&[32][..], &[9; 33]].concat(),
            InvalidMessage::TrailingData("ClientKeyExchange").into(),
            Alert::DECODE_ERROR,
        ),
        (
            &X25519,
            vector8(&[0; 32]),
            PeerMisbehaved::InvalidKeyShare(NamedGroup::X25519).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            &X25519,
            vector8(&[9; 31]),
            PeerMisbehaved::InvalidKeyShare(NamedGroup::X25519).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            &P256,
            off_curve,
            PeerMisbehaved::InvalidKeyShare(NamedGroup::SECP256R1).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            &P256,
            vector8(&[0]),
            PeerMisbehaved::InvalidKeyShare(NamedGroup::SECP256R1).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            &P384,
            vector8(&[&[2][..], &[1; 48]].concat()),
            PeerMisbehaved::InvalidKeyShare(NamedGroup::SECP384R1).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
    ] {
        let listed = [groups[0], Group::Secp256r1];
        let client = client().with_versions(Versions::Tls12).with_groups(&listed);
        between(client, server().with_groups(groups), |middle| {
            middle.run(|(from_client, _), item| match item.kind() {
                Some(16) if from_client => vec![item.map(|old| old.clone_from(&body))],
                _ => vec![item],
            });
            middle.server.failed(error, alert);
        });
    }
    // The same for the server's, without a valid signature.
    for (groups, length) in [(&X25519, 32), (&P256, 65)] {
        let client = client().with_versions(Versions::Tls12);
        between(client, server().with_groups(groups), |middle| {
            middle.run(|(from_client, _), item| match item.kind() {
                Some(12) if !from_client => vec![item.map(|body| body[4..4 + length].fill(0))],
                _ => vec![item],
            });
            middle
                .client
                .failed(PeerMisbehaved::WrongSignature, Alert::DECRYPT_ERROR);
        });
    }
}
