//! Violations by a server and our client's alerts: TLS 1.3 and TLS 1.2.

use postern_peers::hello::{message, numbers16, record, vector8, vector16};
use postern_peers::middle::{Item, between};
use postern_peers::world::{Kind, of};
use postern_peers::{clock, rng};
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::sign::{SchemeSet, SignatureScheme};
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::error::{InvalidMessage, PeerIncompatible, PeerMisbehaved};
use postern_tls::pki::verify::ServerName;
use postern_tls::{
    AlertDescription as Alert, ClientAuth, ClientConfig, Connection, ContentType, Error, ExtensionType, HandshakeType,
    NamedGroup, NamedScheme, NamedSuite, Progress, ProtocolVersion, ServerConfig, Versions,
};

const X25519: [Group; 1] = [Group::X25519];
/// The second is that of the certificates, which TLS 1.2 wants in the list (RFC 8422 §5.1.1).
const LISTED: [Group; 2] = [Group::X25519, Group::Secp256r1];

pub fn client() -> ClientConfig<'static> {
    let trust = of(Kind::P256).authority.trust();
    ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock()).with_groups(&LISTED)
}

pub fn server() -> ServerConfig<'static> {
    of(Kind::P256).server.server().with_groups(&X25519)
}

/// The client refuses the server whose messages of type `kind` are changed like this; with a forged Finished, so that
/// nothing but the change is wrong.
#[track_caller]
fn refused_by(
    client: ClientConfig<'_>,
    server: ServerConfig<'_>,
    kind: u8,
    change: impl Fn(Item) -> Vec<Item>,
    error: impl Into<Error>,
    alert: Alert,
) {
    between(client, server, |middle| {
        middle.forge = true;
        middle.run(|(from_client, _), item| match item.kind() {
            Some(other) if other == kind && !from_client => change(item),
            _ => vec![item],
        });
        middle.client.failed(error, alert);
        assert!(!middle.server.is_established());
    });
}

#[track_caller]
fn refused(versions: Versions, kind: u8, change: impl Fn(&mut Vec<u8>), error: impl Into<Error>, alert: Alert) {
    refused_by(
        client().with_versions(versions),
        server(),
        kind,
        |item| vec![item.map(&change)],
        error,
        alert,
    );
}

/// Where each known extension may stand besides a hello (RFC 8446 §4.2): CertificateRequest, Certificate,
/// NewSessionTicket.
const KNOWN: [(u16, [bool; 3]); 20] = [
    (0, [false; 3]),
    (1, [false; 3]),
    (5, [true, true, false]),
    (10, [false; 3]),
    (11, [false; 3]),
    (13, [true, false, false]),
    (16, [false; 3]),
    (21, [false; 3]),
    (23, [false; 3]),
    (28, [false; 3]),
    (35, [false; 3]),
    (41, [false; 3]),
    (42, [false, false, true]),
    (43, [false; 3]),
    (44, [false; 3]),
    (45, [false; 3]),
    (47, [true, false, false]),
    (50, [true, false, false]),
    (51, [false; 3]),
    (0xff01, [false; 3]),
];

#[test]
fn known_extensions_in_other_messages() {
    let trust = of(Kind::P256).authority.trust();
    let asking = server().with_client_auth(ClientAuth::Optional(trust));
    for (kind, [in_request, in_certificate, in_ticket]) in KNOWN {
        // Only certificate_authorities is looked into.
        let extra = if kind == 47 {
            &[0, 5, 0, 3, 0, 1, 7][..]
        } else {
            &[0, 0]
        };
        let extra = [&kind.to_be_bytes()[..], extra].concat();
        let error = PeerMisbehaved::MisplacedExtension(ExtensionType(kind));
        let request = [&[0][..], &vector16(&[&[0, 13, 0, 4, 0, 2, 4, 3][..], &extra].concat())].concat();
        let client = client().with_versions(Versions::Tls13);
        let change = |item: Item| vec![item.map(|body| body.clone_from(&request))];
        if kind == 13 {
            // It is there already.
        } else if in_request {
            between(client, asking, |middle| {
                middle.run(|(from_client, _), item| match item.kind() {
                    Some(13) if !from_client => change(item),
                    _ => vec![item],
                });
                // It is the server's signature that does not cover the change.
                assert_eq!(
                    middle.client.result,
                    Err(PeerMisbehaved::WrongSignature.into()),
                    "{kind}"
                );
            });
        } else {
            refused_by(client, asking, 13, change, error, Alert::ILLEGAL_PARAMETER);
        }
        if !in_certificate {
            let change = |item: Item| {
                vec![item.map(|body| {
                    // The one entry gets the extension.
                    body.truncate(body.len() - 2);
                    body.extend(vector16(&extra));
                    let list = (body.len() - 4) as u32;
                    body[1..4].copy_from_slice(&list.to_be_bytes()[1..]);
                })]
            };
            refused_by(client, server(), 11, change, error, Alert::ILLEGAL_PARAMETER);
        }
        between(client, server(), |middle| {
            middle.establish();
            let ticket = [&[0, 0, 1, 0, 1, 2, 3, 4, 0][..], &vector16(&[7]), &vector16(&extra)].concat();
            middle.client.deliver(Item::Message(message(4, &ticket)), false);
            if in_ticket {
                assert_eq!(middle.client.result, Ok(Progress::NeedInput), "{kind}");
            } else {
                assert_eq!(middle.client.result, Err(error.into()));
            }
        });
    }
}

/// The extensions of a ServerHello, to be changed; the rest of it stays.
pub fn server_hello(change: impl Fn(&mut Vec<(u16, Vec<u8>)>)) -> impl Fn(&mut Vec<u8>) {
    move |body| {
        let at = 34 + 1 + usize::from(body[34]) + 3;
        let block = extensions(body.get(at..).unwrap_or_default(), &change);
        body.truncate(at);
        body.extend(block);
    }
}

/// Those of EncryptedExtensions.
fn encrypted_extensions(change: impl Fn(&mut Vec<(u16, Vec<u8>)>)) -> impl Fn(&mut Vec<u8>) {
    move |body| *body = extensions(body, &change)
}

/// A block of extensions, with a change.
pub fn extensions(block: &[u8], change: impl Fn(&mut Vec<(u16, Vec<u8>)>)) -> Vec<u8> {
    let mut list = Vec::new();
    let mut rest = block.get(2..).unwrap_or_default();
    while let Some(&[a, b, c, d]) = rest.first_chunk::<4>() {
        let length = usize::from(u16::from_be_bytes([c, d]));
        list.push((u16::from_be_bytes([a, b]), rest[4..4 + length].to_vec()));
        rest = &rest[4 + length..];
    }
    change(&mut list);
    let bytes: Vec<u8> = list
        .iter()
        .flat_map(|(kind, body)| [&kind.to_be_bytes()[..], &vector16(body)].concat())
        .collect();
    vector16(&bytes)
}

/// Where the suite stands in a ServerHello of ours.
fn suite_at(body: &[u8]) -> usize {
    35 + usize::from(body[34])
}

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];

#[test]
fn a_server_hello_that_chooses_what_was_not_offered() {
    for versions in BOTH {
        // A suite that there is not; one of the other version; one of the other kind.
        for suite in [0x1304, 0x0000, 0xc013, 0x002f] {
            let change = |body: &mut Vec<u8>| {
                let at = suite_at(body);
                body[at..at + 2].copy_from_slice(&u16::to_be_bytes(suite));
            };
            let error = PeerMisbehaved::UnofferedSuite(NamedSuite(suite));
            refused(versions, 2, change, error, Alert::ILLEGAL_PARAMETER);
        }
        let compression = |body: &mut Vec<u8>| {
            let at = suite_at(body) + 2;
            body[at] = 1;
        };
        let error = PeerMisbehaved::UnofferedCompression(1);
        refused(versions, 2, compression, error, Alert::ILLEGAL_PARAMETER);
    }
    // The other version's suites.
    let swap = |id: u16| {
        move |body: &mut Vec<u8>| {
            let at = suite_at(body);
            body[at..at + 2].copy_from_slice(&id.to_be_bytes());
        }
    };
    let error = |id| PeerMisbehaved::UnofferedSuite(NamedSuite(id));
    for (versions, id) in [(Versions::Both, 0xc02b), (Versions::Tls12, 0x1301)] {
        refused(versions, 2, swap(id), error(id), Alert::ILLEGAL_PARAMETER);
    }
    // One that we know, but have not offered.
    let only = [CipherSuite::Aes128GcmSha256, CipherSuite::EcdheEcdsaAes128GcmSha256];
    for (versions, id) in [(Versions::Tls13, 0x1303), (Versions::Tls12, 0xcca9)] {
        refused_by(
            client().with_versions(versions).with_suites(&only),
            server(),
            2,
            |item| vec![item.map(swap(id))],
            error(id),
            Alert::ILLEGAL_PARAMETER,
        );
    }
}

#[test]
fn versions_that_were_not_offered() {
    for version in [0x0302, 0x0303, 0x0305, 0x7f1c] {
        let change = server_hello(|list| {
            list.iter_mut().find(|(kind, _)| *kind == 43).unwrap().1 = u16::to_be_bytes(version).to_vec();
        });
        let error = PeerMisbehaved::IllegalParameter("selected_version");
        refused(Versions::Both, 2, change, error, Alert::ILLEGAL_PARAMETER);
    }
    // Without the extension it is legacy_version that counts.
    for (versions, version) in [
        (Versions::Both, 0x0302),
        (Versions::Both, 0x0301),
        (Versions::Both, 0x0304),
        (Versions::Tls13, 0x0303),
    ] {
        let change = |body: &mut Vec<u8>| {
            server_hello(|list| list.retain(|(kind, _)| *kind != 43))(body);
            body[..2].copy_from_slice(&u16::to_be_bytes(version));
        };
        let error = PeerIncompatible::Version(Some(ProtocolVersion(version)));
        refused(versions, 2, change, error, Alert::PROTOCOL_VERSION);
    }
    // TLS 1.2's hello with TLS 1.3 in it, to a client that does not speak that.
    let change = server_hello(|list| list.push((43, vec![3, 4])));
    let error = PeerMisbehaved::IllegalParameter("selected_version");
    refused(Versions::Tls12, 2, change, error, Alert::ILLEGAL_PARAMETER);
    // RFC 8446 §4.1.3: legacy_version is TLS 1.2's.
    for version in [[3, 4], [3, 1], [2, 0]] {
        let change = |body: &mut Vec<u8>| body[..2].copy_from_slice(&version);
        let error = PeerMisbehaved::IllegalParameter("legacy_version");
        refused(Versions::Both, 2, change, error, Alert::ILLEGAL_PARAMETER);
    }
}

#[test]
fn downgrades() {
    for (sentinel, refuse) in [
        (*b"DOWNGRD\x01", true),
        (*b"DOWNGRD\x00", true),
        (*b"DOWNGRD\x02", false),
    ] {
        between(client(), server().with_versions(Versions::Tls12), |middle| {
            middle.run(|(from_client, _), item| match item.kind() {
                Some(2) if !from_client => vec![item.map(|body| body[26..34].copy_from_slice(&sentinel))],
                _ => vec![item],
            });
            if refuse {
                middle
                    .client
                    .failed(PeerMisbehaved::Downgrade, Alert::ILLEGAL_PARAMETER);
            } else {
                // The change itself is noticed.
                assert_eq!(middle.client.result, Err(PeerMisbehaved::WrongSignature.into()));
            }
        });
    }
    // Somebody takes TLS 1.3 out of our hello: the server marks its answer, and we see the mark.
    between(client(), server(), |middle| {
        middle.run(|(from_client, _), item| match item.kind() {
            Some(1) if from_client => vec![item.map(without_tls13)],
            _ => vec![item],
        });
        middle
            .client
            .failed(PeerMisbehaved::Downgrade, Alert::ILLEGAL_PARAMETER);
    });
    // A server without a higher version sets no mark, and a client that offers no higher one does not check.
    for (ours, theirs) in [(Versions::Both, Versions::Tls12), (Versions::Tls12, Versions::Both)] {
        between(client().with_versions(ours), server().with_versions(theirs), |middle| {
            middle.establish();
            assert_eq!(middle.client.connection.info().version_name(), "TLSv1.2");
            middle.works();
        });
    }
}

/// Takes `supported_versions` out of a ClientHello.
fn without_tls13(body: &mut Vec<u8>) {
    let session_id = 35 + usize::from(body[34]);
    let suites = session_id + 2 + usize::from(u16::from_be_bytes([body[session_id], body[session_id + 1]]));
    let at = suites + 1 + usize::from(body[suites]);
    let block = extensions(&body[at..], |list| list.retain(|(kind, _)| *kind != 43));
    body.truncate(at);
    body.extend(block);
}

#[test]
fn alerts_without_protection_after_the_server_hello() {
    // RFC 8446 §6: the server has the keys, and protects its alerts. With TLS 1.2 there are none yet.
    for (alert, fatal) in [([2, 40], true), ([1, 0], true), ([1, 90], false)] {
        for versions in BOTH {
            between(client().with_versions(versions), server(), |middle| {
                middle.run(|(from_client, number), item| match (from_client, number) {
                    (false, 0) | (true, _) => vec![item],
                    _ => vec![],
                });
                middle.client.outbox.clear();
                middle.client.feed(&record(21, &alert));
                if versions == Versions::Tls13 {
                    let error = PeerMisbehaved::UnexpectedRecord(ContentType::ALERT);
                    middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
                } else if fatal {
                    let error = Error::AlertReceived(Alert(alert[1]));
                    assert_eq!(middle.client.result, Err(error));
                } else {
                    assert_eq!(middle.client.result, Ok(Progress::NeedInput));
                }
            });
        }
    }
    // Before it there is no other way.
    between(client(), server(), |middle| {
        middle.client.feed(&record(21, &[2, 70]));
        assert_eq!(middle.client.result, Err(Error::AlertReceived(Alert::PROTOCOL_VERSION)));
    });
}

#[test]
fn change_cipher_spec_before_the_server_hello() {
    // RFC 8446 §5: dropped from the first ClientHello on, but not without end, and only what it has to look like.
    between(client(), server(), |middle| {
        middle.client.feed(&record(20, &[1]).repeat(32));
        assert_eq!(middle.client.result, Ok(Progress::NeedInput));
        middle.establish();
        middle.works();
    });
    between(client(), server(), |middle| {
        middle.client.feed(&record(20, &[1]).repeat(33));
        let error = PeerMisbehaved::TooManyEmptyRecords;
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    let error = PeerMisbehaved::UnexpectedRecord(ContentType::CHANGE_CIPHER_SPEC);
    between(client(), server(), |middle| {
        middle.client.feed(&record(20, &[2]));
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    // With TLS 1.2 it has its place, and only there: once that is chosen, and where nothing else was offered.
    between(client(), server().with_versions(Versions::Tls12), |middle| {
        middle.client.feed(&record(20, &[1]));
        middle.establish();
        middle.works();
    });
    between(client(), server().with_versions(Versions::Tls12), |middle| {
        middle.run(|(from_client, number), item| match (from_client, number) {
            (false, 0) => vec![item, Item::ChangeCipherSpec],
            _ => vec![item],
        });
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        middle.client.feed(&record(20, &[1]));
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
}

#[test]
fn key_shares_that_were_not_asked_for() {
    let share = |group: u16, public: usize| {
        move |list: &mut Vec<(u16, Vec<u8>)>| {
            let share = list.iter_mut().find(|(kind, _)| *kind == 51).unwrap();
            share.1 = [&group.to_be_bytes()[..], &vector16(&vec![0; public])].concat();
        }
    };
    for group in [0x0017, 0x0018, 0x11ec, 0x0019, 0x0100] {
        let error = PeerMisbehaved::UnofferedGroup(NamedGroup(group));
        refused(
            Versions::Tls13,
            2,
            server_hello(share(group, 65)),
            error,
            Alert::ILLEGAL_PARAMETER,
        );
    }
    // RFC 7748 §6.1, RFC 8446 §7.4.2: zeros, and lengths that are wrong.
    for length in [32, 31, 33, 0] {
        let error = PeerMisbehaved::InvalidKeyShare(NamedGroup::X25519);
        refused(
            Versions::Tls13,
            2,
            server_hello(share(0x001d, length)),
            error,
            Alert::ILLEGAL_PARAMETER,
        );
    }
    let missing = server_hello(|list| list.retain(|(kind, _)| *kind != 51));
    let error = PeerMisbehaved::MissingExtension(ExtensionType::KEY_SHARE);
    refused(Versions::Tls13, 2, missing, error, Alert::MISSING_EXTENSION);
}

#[test]
fn session_ids_and_psks_that_were_not_offered() {
    let error = PeerMisbehaved::IllegalParameter("legacy_session_id_echo");
    refused(
        Versions::Tls13,
        2,
        |body| body[40] ^= 1,
        error,
        Alert::ILLEGAL_PARAMETER,
    );
    let none = |body: &mut Vec<u8>| {
        body.drain(35..67);
        body[34] = 0;
    };
    refused(Versions::Tls13, 2, none, error, Alert::ILLEGAL_PARAMETER);
    // TLS 1.2: that of the compatibility mode (RFC 8446 §D.4), which stands for no session.
    between(client(), server().with_versions(Versions::Tls12), |middle| {
        let mut id = Vec::new();
        middle.run(|(from_client, _), item| match item.kind() {
            Some(1) if from_client => {
                let Item::Message(hello) = &item else { panic!() };
                id = hello[38..71].to_vec();
                vec![item]
            }
            Some(2) if !from_client => vec![item.map(|body| drop(body.splice(34..35, id.iter().copied())))],
            _ => vec![item],
        });
        let error = PeerMisbehaved::IllegalParameter("session_id");
        middle.client.failed(error, Alert::ILLEGAL_PARAMETER);
    });
    for number in [0, 1, 0xffff] {
        let psk = server_hello(|list| list.push((41, u16::to_be_bytes(number).to_vec())));
        let error = PeerMisbehaved::UnofferedPsk(number);
        refused(Versions::Tls13, 2, psk, error, Alert::ILLEGAL_PARAMETER);
    }
}

#[test]
fn extensions_that_were_not_offered_or_stand_elsewhere() {
    // RFC 8446 §4.2: unknown ones, and ALPN and max_fragment_length, which this client does not offer.
    for (kind, body) in [
        (0xfafa, vec![]),
        (16, vec![0, 3, 2, b'h', b'2']),
        (1, vec![1]),
        (0x1234, vec![1]),
    ] {
        let add = |list: &mut Vec<(u16, Vec<u8>)>| list.push((kind, body.clone()));
        let error = PeerMisbehaved::UnofferedExtension(ExtensionType(kind));
        refused(
            Versions::Tls13,
            8,
            encrypted_extensions(add),
            error,
            Alert::UNSUPPORTED_EXTENSION,
        );
        refused(
            Versions::Tls12,
            2,
            server_hello(add),
            error,
            Alert::UNSUPPORTED_EXTENSION,
        );
    }
    // TLS 1.2's ticket, without a place to keep it.
    let add = |list: &mut Vec<(u16, Vec<u8>)>| list.push((35, vec![]));
    let error = PeerMisbehaved::UnofferedExtension(ExtensionType::SESSION_TICKET);
    refused(
        Versions::Tls12,
        2,
        server_hello(add),
        error,
        Alert::UNSUPPORTED_EXTENSION,
    );
    // Known ones in the wrong message.
    for (kind, body) in [
        (10, numbers16(&[29])),
        (23, vec![]),
        (0xff01, vec![0]),
        (28, vec![0x40, 0]),
        (0, vec![]),
    ] {
        let add = |list: &mut Vec<(u16, Vec<u8>)>| list.push((kind, body.clone()));
        between(client().with_versions(Versions::Tls13), server(), |middle| {
            middle.run(|(from_client, _), item| match item.kind() {
                Some(2) if !from_client => vec![item.map(server_hello(add))],
                _ => vec![item],
            });
            let error = middle.client.result.unwrap_err();
            assert!(
                matches!(
                    error.alert(),
                    Some(Alert::ILLEGAL_PARAMETER | Alert::UNSUPPORTED_EXTENSION)
                ),
                "{kind}: {error}"
            );
        });
    }
    for (kind, body) in [
        (43, vec![3, 4]),
        (51, vec![0, 29, 0, 0]),
        (41, vec![0, 0]),
        (23, vec![]),
        (5, vec![]),
        (21, vec![]),
        (44, vec![0, 1, 7]),
        (50, numbers16(&[0x0403])),
    ] {
        let add = |list: &mut Vec<(u16, Vec<u8>)>| list.push((kind, body.clone()));
        let error = PeerMisbehaved::MisplacedExtension(ExtensionType(kind));
        refused(
            Versions::Tls13,
            8,
            encrypted_extensions(add),
            error,
            Alert::ILLEGAL_PARAMETER,
        );
    }
    for (kind, body) in [(51, vec![0, 29, 0, 0]), (41, vec![0, 0]), (44, vec![0, 1, 7])] {
        let add = |list: &mut Vec<(u16, Vec<u8>)>| list.push((kind, body.clone()));
        let error = PeerMisbehaved::MisplacedExtension(ExtensionType(kind));
        refused(Versions::Tls12, 2, server_hello(add), error, Alert::ILLEGAL_PARAMETER);
    }
    // Twice the same.
    let double = |list: &mut Vec<(u16, Vec<u8>)>| list.push(list[0].clone());
    between(client().with_versions(Versions::Tls13), server(), |middle| {
        middle.run(|(from_client, _), item| match item.kind() {
            Some(2) if !from_client => vec![item.map(server_hello(double))],
            _ => vec![item],
        });
        assert!(matches!(
            middle.client.result,
            Err(Error::PeerMisbehaved(PeerMisbehaved::DuplicateExtension(_)))
        ));
    });
    // RFC 5746 §3.4.
    let renegotiated = server_hello(|list| {
        let info = list.iter_mut().find(|(kind, _)| *kind == 0xff01).unwrap();
        info.1 = vector8(&[1; 12]);
    });
    let error = PeerMisbehaved::RenegotiationInfo;
    refused(Versions::Tls12, 2, renegotiated, error, Alert::HANDSHAKE_FAILURE);
}

#[test]
fn protocols_that_were_not_offered() {
    let ours: [&[u8]; 2] = [b"h2", b"http/1.1"];
    for (versions, kind) in [(Versions::Tls13, 8), (Versions::Tls12, 2)] {
        for (body, error, alert) in [
            (
                vec![0, 4, 3, b'f', b't', b'p'],
                Error::from(PeerMisbehaved::UnofferedProtocol),
                Alert::ILLEGAL_PARAMETER,
            ),
            (
                vec![0, 6, 2, b'h', b'2', 2, b'h', b'2'],
                InvalidMessage::TrailingData("application_layer_protocol_negotiation").into(),
                Alert::DECODE_ERROR,
            ),
            (
                vec![0, 1, 0],
                InvalidMessage::IllegalValue("application_layer_protocol_negotiation").into(),
                Alert::DECODE_ERROR,
            ),
        ] {
            let add = |list: &mut Vec<(u16, Vec<u8>)>| list.push((16, body.clone()));
            let change = |item: Item| {
                vec![if kind == 8 {
                    item.map(encrypted_extensions(add))
                } else {
                    item.map(server_hello(add))
                }]
            };
            let client = client().with_versions(versions).with_protocols(&ours);
            refused_by(client, server(), kind, change, error, alert);
        }
    }
}

/// A HelloRetryRequest as our server writes it, with these extensions besides the version.
fn retry_request(hello: &Item, list: &[(u16, Vec<u8>)]) -> Item {
    let Item::Message(hello) = hello else { panic!() };
    let random = [
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2,
        0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    ];
    let session_id = &hello[38..39 + usize::from(hello[38])];
    let head = [&[3, 3][..], &random, session_id, &[0x13, 0x01, 0]].concat();
    let block = extensions(&[], |all| {
        all.push((43, vec![3, 4]));
        all.extend_from_slice(list);
    });
    Item::Message(message(2, &[head, block].concat()))
}

#[test]
fn retry_requests_that_are_illegal() {
    let groups = [Group::X25519, Group::Secp256r1];
    let ask = |group: u16| (51, group.to_be_bytes().to_vec());
    let illegal = |what| Error::from(PeerMisbehaved::IllegalParameter(what));
    for (list, error, alert) in [
        // It would change nothing (RFC 8446 §4.1.4).
        (vec![], illegal("HelloRetryRequest"), Alert::ILLEGAL_PARAMETER),
        // There is a share for it already (§4.2.8).
        (vec![ask(0x001d)], illegal("selected_group"), Alert::ILLEGAL_PARAMETER),
        // Not offered, or unknown.
        (
            vec![ask(0x0018)],
            PeerMisbehaved::UnofferedGroup(NamedGroup::SECP384R1).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            vec![ask(0x0019)],
            PeerMisbehaved::UnofferedGroup(NamedGroup::SECP521R1).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            vec![(51, vec![0])],
            InvalidMessage::IllegalValue("key_share").into(),
            Alert::DECODE_ERROR,
        ),
        (
            vec![(44, vec![0, 0])],
            InvalidMessage::IllegalValue("cookie").into(),
            Alert::DECODE_ERROR,
        ),
        (
            vec![ask(0x0017), (41, vec![0, 0])],
            PeerMisbehaved::MisplacedExtension(ExtensionType::PRE_SHARED_KEY).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            vec![ask(0x0017), (23, vec![])],
            PeerMisbehaved::MisplacedExtension(ExtensionType::EXTENDED_MASTER_SECRET).into(),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            vec![ask(0x0017), (0xfafa, vec![])],
            PeerMisbehaved::UnofferedExtension(ExtensionType(0xfafa)).into(),
            Alert::UNSUPPORTED_EXTENSION,
        ),
    ] {
        between(client().with_groups(&groups), server(), |middle| {
            let hello = middle.client.outbox.pop_front().unwrap();
            middle.client.deliver(retry_request(&hello, &list), false);
            middle.client.failed(error, alert);
        });
    }
    // RFC 8446 §5.1: the record ends with it, and no second hello goes out before that is checked.
    between(client().with_groups(&groups), server(), |middle| {
        let hello = middle.client.outbox.pop_front().unwrap();
        let Item::Message(request) = retry_request(&hello, &[ask(0x0017)]) else {
            panic!()
        };
        middle.client.feed(&record(22, &[&request[..], &[2]].concat()));
        assert_eq!(middle.client.outbox.len(), 1);
        let error = PeerMisbehaved::MessageAcrossKeyChange;
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    // Once is enough, whatever the second asks for.
    for second in [ask(0x0017), ask(0x0018), (44, vec![0, 1, 7])] {
        let groups = [Group::X25519, Group::Secp256r1, Group::Secp384r1];
        between(client().with_groups(&groups), server(), |middle| {
            let hello = middle.client.outbox.pop_front().unwrap();
            middle.client.deliver(retry_request(&hello, &[ask(0x0017)]), false);
            middle.client.outbox.clear();
            middle
                .client
                .deliver(retry_request(&hello, std::slice::from_ref(&second)), false);
            let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::SERVER_HELLO);
            middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
    }
    // A client that does not speak TLS 1.3 knows no retry.
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        let hello = middle.client.outbox.pop_front().unwrap();
        middle.client.deliver(retry_request(&hello, &[ask(0x0017)]), false);
        middle.client.failed(
            PeerMisbehaved::IllegalParameter("selected_version"),
            Alert::ILLEGAL_PARAMETER,
        );
    });
}

#[test]
fn a_cookie_comes_back_and_the_promise_of_a_retry_is_kept() {
    let groups = [Group::X25519, Group::Secp256r1];
    let ask = (51, vec![0, 0x17]);
    let cookie = (44, vector16(&[7; 200]));
    between(client().with_groups(&groups), server(), |middle| {
        let first = middle.client.outbox.pop_front().unwrap();
        middle
            .client
            .deliver(retry_request(&first, &[ask.clone(), cookie.clone()]), false);
        assert_eq!(middle.client.result, Ok(Progress::NeedInput));
        assert_eq!(middle.client.outbox.pop_front(), Some(Item::ChangeCipherSpec));
        let Some(Item::Message(second)) = middle.client.outbox.pop_front() else {
            panic!()
        };
        let cookie = [&cookie.0.to_be_bytes()[..], &vector16(&cookie.1)].concat();
        assert!(second.windows(cookie.len()).any(|window| window == cookie));
    });
    // A ServerHello with another suite or group than the retry (§4.1.4, §4.2.8).
    let suites = [CipherSuite::Aes256GcmSha384, CipherSuite::Aes128GcmSha256];
    let server = server().with_groups(&groups[1..]);
    between(client().with_groups(&groups).with_suites(&suites), server, |middle| {
        let mut hellos = 0;
        middle.run(|(from_client, _), item| match item.kind() {
            Some(2) if !from_client => {
                hellos += 1;
                vec![item.map(|body| {
                    let at = suite_at(body);
                    body[at + 1] = if hellos == 1 { 1 } else { 2 };
                })]
            }
            _ => vec![item],
        });
        let (from, to) = (NamedSuite::AES_128_GCM_SHA256, NamedSuite::AES_256_GCM_SHA384);
        let error = PeerMisbehaved::ChangedSuite { from, to };
        middle.client.failed(error, Alert::ILLEGAL_PARAMETER);
    });
    // And one that falls back to TLS 1.2 after it.
    between(client().with_groups(&groups), server, |middle| {
        let mut hellos = 0;
        middle.run(|(from_client, _), item| match item.kind() {
            Some(2) if !from_client => {
                hellos += 1;
                vec![item.map(|body| {
                    if hellos == 2 {
                        server_hello(|list| list.clear())(body);
                    }
                })]
            }
            _ => vec![item],
        });
        let error = PeerMisbehaved::IllegalParameter("selected_version");
        middle.client.failed(error, Alert::ILLEGAL_PARAMETER);
    });
}

#[test]
fn cookies_of_every_length_that_there_is_room_for() {
    // RFC 8446 §4.2.2 allows 2^16-1 bytes; the limit is that of the messages and of the outbound buffer.
    let groups = [Group::X25519, Group::Secp256r1];
    let client = client().with_groups(&groups);
    let trying = |length: usize, buffer: usize, sent: bool| {
        let (mut inbound, mut outbound) = (vec![0; 20_000], vec![0; buffer]);
        let mut random = rng(3);
        let mut connection = Connection::client(client, &mut inbound, &mut outbound, &mut random).unwrap();
        let first = connection.pending().to_vec();
        if sent {
            connection.sent(first.len());
        }
        let cookie = (44, vector16(&vec![7; length]));
        let Item::Message(request) = retry_request(&Item::Message(first[5..].to_vec()), &[cookie]) else {
            panic!()
        };
        let request = record(22, &request);
        connection.space()[..request.len()].copy_from_slice(&request);
        connection.received(request.len());
        let result = connection.advance(&mut random);
        (result, connection.pending().to_vec())
    };
    let least = client.flight_len().max(postern_tls::MIN_OUTBOUND);
    for (length, buffer, sent) in [
        (600, least, false),
        (1024, least, false),
        (4096, least, true),
        (16_000, 40_000, true),
    ] {
        let (result, pending) = trying(length, buffer, sent);
        assert_eq!(result, Ok(Progress::NeedInput), "{length}");
        let needle = vec![7; length.min(500)];
        assert!(pending.windows(needle.len()).any(|window| window == needle), "{length}");
    }
    // No fault of the server's.
    let (result, pending) = trying(16_000, least, true);
    let error = result.unwrap_err();
    assert_eq!(error.alert(), Some(Alert::INTERNAL_ERROR));
    assert!(
        pending.ends_with(&[21, 3, 3, 0, 2, 2, Alert::INTERNAL_ERROR.0]),
        "{error}"
    );
}

#[test]
fn after_a_cookie_alone_the_server_may_take_any_share() {
    let groups = [Group::X25519MlKem768, Group::X25519];
    between(client().with_groups(&groups), server(), |middle| {
        let first = middle.client.outbox.pop_front().unwrap();
        let cookie = (44, vector16(&[7; 20]));
        middle.client.deliver(retry_request(&first, &[cookie]), false);
        assert_eq!(middle.client.result, Ok(Progress::NeedInput));
        // The second share, where the first is what the server would rather have.
        let share = [&[0, 0x1d][..], &vector16(&[9; 32])].concat();
        let Item::Message(mut hello) = retry_request(&first, &[(51, share)]) else {
            panic!()
        };
        hello[6..38].fill(1);
        middle.client.deliver(Item::Message(hello), false);
        assert_eq!(middle.client.result, Ok(Progress::NeedInput));
        assert_eq!(middle.client.connection.info().group, Some(Group::X25519));
    });
}

#[test]
fn only_the_records_of_the_initial_hello_say_another_version() {
    // RFC 8446 §5.1.
    let groups = [Group::X25519, Group::Secp256r1];
    for versions in [Versions::Tls13, Versions::Tls12, Versions::Both] {
        let client = client().with_groups(&groups).with_versions(versions);
        let (mut inbound, mut outbound) = (vec![0; 20_000], vec![0; 40_000]);
        let mut random = rng(3);
        let mut client = Connection::client(client, &mut inbound, &mut outbound, &mut random).unwrap();
        let hello = client.pending().to_vec();
        assert_eq!(hello[..3], [22, 3, 1]);
        client.sent(hello.len());
        // Neither the second hello nor an alert.
        let ask = (51, vec![0, 0x17]);
        let Item::Message(request) = retry_request(&Item::Message(hello[5..].to_vec()), &[ask]) else {
            panic!()
        };
        let request = record(22, &request);
        client.space()[..request.len()].copy_from_slice(&request);
        client.received(request.len());
        assert_eq!(client.advance(&mut random).is_ok(), versions != Versions::Tls12);
        let mut rest = client.pending();
        assert!(!rest.is_empty());
        while let Some(&[_, major, minor, high, low]) = rest.first_chunk::<5>() {
            assert_eq!([major, minor], [3, 3]);
            rest = &rest[5 + usize::from(u16::from_be_bytes([high, low]))..];
        }
    }
}

#[test]
fn a_session_id_is_only_sent_where_it_means_something() {
    let length = |versions| {
        let mut length = None;
        between(client().with_versions(versions), server(), |middle| {
            let Some(Item::Message(hello)) = middle.client.outbox.pop_front() else {
                panic!()
            };
            length = Some(hello[38]);
        });
        length
    };
    assert_eq!(length(Versions::Tls13), Some(32));
    assert_eq!(length(Versions::default()), Some(32));
    assert_eq!(length(Versions::Tls12), Some(0));
}

#[test]
fn groups_in_the_server_hello_of_tls12_are_passed_over() {
    let add = server_hello(|list| list.push((10, numbers16(&[0x001d]))));
    between(client().with_versions(Versions::Tls12), server(), |middle| {
        middle.forge = true;
        middle.run(|(from_client, _), item| match item.kind() {
            Some(2) if !from_client => vec![item.map(&add)],
            _ => vec![item],
        });
        assert!(middle.client.is_established(), "{:?}", middle.client.result);
    });
    let error = PeerMisbehaved::MisplacedExtension(ExtensionType::SUPPORTED_GROUPS);
    refused(Versions::Tls13, 2, add, error, Alert::ILLEGAL_PARAMETER);
}

#[test]
fn a_server_without_a_certificate() {
    // RFC 8446 §4.4.2.4: an empty list is a decode_error; leaving it out is unexpected.
    let error = PeerMisbehaved::NoServerCertificate;
    refused(
        Versions::Tls13,
        11,
        |body| *body = vec![0, 0, 0, 0],
        error,
        Alert::DECODE_ERROR,
    );
    refused(
        Versions::Tls12,
        11,
        |body| *body = vec![0, 0, 0],
        error,
        Alert::DECODE_ERROR,
    );
    // Neither Certificate nor CertificateVerify, and a Finished that fits: what embedded-tls 0.19 accepts.
    between(client().with_versions(Versions::Tls13), server(), |middle| {
        middle.forge = true;
        middle.run(|(from_client, _), item| match item.kind() {
            Some(11 | 15) if !from_client => vec![],
            _ => vec![item],
        });
        let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::FINISHED);
        middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
    });
    // A certificate, but no proof of having its key.
    for (versions, kind, next) in [
        (Versions::Tls13, 15, 20),
        (Versions::Tls12, 12, 14),
        (Versions::Tls12, 11, 12),
    ] {
        refused_by(
            client().with_versions(versions),
            server(),
            kind,
            |_| vec![],
            PeerMisbehaved::UnexpectedHandshake(HandshakeType(next)),
            Alert::UNEXPECTED_MESSAGE,
        );
    }
    // An entry without a certificate, an unsolicited answer, an unexpected context.
    let error = InvalidMessage::IllegalValue("Certificate");
    refused(
        Versions::Tls13,
        11,
        |body| *body = vec![0, 0, 0, 5, 0, 0, 0, 0, 0],
        error,
        Alert::DECODE_ERROR,
    );
    refused(
        Versions::Tls12,
        11,
        |body| *body = vec![0, 0, 3, 0, 0, 0],
        error,
        Alert::DECODE_ERROR,
    );
    let error = PeerMisbehaved::IllegalParameter("certificate_request_context");
    refused(
        Versions::Tls13,
        11,
        |body| {
            body[0] = 1;
            body.insert(1, 7);
        },
        error,
        Alert::ILLEGAL_PARAMETER,
    );
    let stapled = |body: &mut Vec<u8>| {
        // The one entry gets an extension.
        let length = body.len() - 2;
        body.truncate(length);
        body.extend([0, 4, 0, 18, 0, 0]);
        let list = (body.len() - 4) as u32;
        body[1..4].copy_from_slice(&list.to_be_bytes()[1..]);
    };
    let error = PeerMisbehaved::UnofferedExtension(ExtensionType::SIGNED_CERTIFICATE_TIMESTAMP);
    refused(Versions::Tls13, 11, stapled, error, Alert::UNSUPPORTED_EXTENSION);
    // More certificates than anybody needs.
    let many = |entry: Vec<u8>, context: bool| {
        move |body: &mut Vec<u8>| {
            let list = entry.repeat(11);
            let length = (list.len() as u32).to_be_bytes();
            *body = [if context { &[0][..] } else { &[] }, &length[1..], &list].concat();
        }
    };
    let error = PeerMisbehaved::ChainTooLong;
    let entry = vec![0, 0, 2, 0x30, 0, 0, 0];
    refused(
        Versions::Tls13,
        11,
        many(entry.clone(), true),
        error,
        Alert::BAD_CERTIFICATE,
    );
    refused(
        Versions::Tls12,
        11,
        many(entry[..5].to_vec(), false),
        error,
        Alert::BAD_CERTIFICATE,
    );
}

#[test]
fn signatures_that_are_wrong() {
    // The last byte of the signature; the scheme's number.
    let flip = |body: &mut Vec<u8>| *body.last_mut().unwrap() ^= 1;
    let error = PeerMisbehaved::WrongSignature;
    refused(Versions::Tls13, 15, flip, error, Alert::DECRYPT_ERROR);
    refused(Versions::Tls12, 12, flip, error, Alert::DECRYPT_ERROR);
    // Another share than was signed.
    refused(Versions::Tls12, 12, |body| body[10] ^= 1, error, Alert::DECRYPT_ERROR);
    let all = SignatureScheme::ALL.into_iter();
    let offered_tls13 = SchemeSet::of(all.clone().filter(|scheme| scheme.in_tls13()));
    for scheme in [0x0203, 0x0303, 0x0401, 0x0804, 0x0840, 0xffff] {
        let (number, scheme) = (scheme, NamedScheme(scheme));
        let unoffered = |offered| PeerMisbehaved::UnofferedSignatureScheme { scheme, offered };
        let rename = |at: usize| move |body: &mut Vec<u8>| body[at..at + 2].copy_from_slice(&u16::to_be_bytes(number));
        if scheme != NamedScheme::RSA_PSS_RSAE_SHA256 {
            let error = unoffered(offered_tls13);
            refused(Versions::Tls13, 15, rename(0), error, Alert::ILLEGAL_PARAMETER);
        }
        // TLS 1.2 offers those of RSA as well, but not with this suite.
        let error = match scheme {
            NamedScheme::RSA_PKCS1_SHA256 | NamedScheme::RSA_PSS_RSAE_SHA256 => {
                PeerMisbehaved::WrongSignatureScheme(scheme)
            }
            _ => unoffered(SchemeSet::of(all.clone())),
        };
        // Behind the curve, its name and the share.
        refused(Versions::Tls12, 12, rename(4 + 32), error, Alert::ILLEGAL_PARAMETER);
    }
    // Offered, but for keys of another kind: RSA, or another curve.
    for scheme in [0x0804, 0x0503, 0x0807] {
        let rename = |body: &mut Vec<u8>| body[..2].copy_from_slice(&u16::to_be_bytes(scheme));
        let error = PeerMisbehaved::WrongSignatureScheme(NamedScheme(scheme));
        refused(Versions::Tls13, 15, rename, error, Alert::ILLEGAL_PARAMETER);
    }
}

#[test]
fn key_exchanges_of_tls12_that_are_wrong() {
    let error = PeerMisbehaved::IllegalParameter("curve_type");
    refused(Versions::Tls12, 12, |body| body[0] = 1, error, Alert::ILLEGAL_PARAMETER);
    for group in [0x0018, 0x0019, 0x11ec] {
        let error = PeerMisbehaved::UnofferedGroup(NamedGroup(group));
        refused(
            Versions::Tls12,
            12,
            |body| body[1..3].copy_from_slice(&u16::to_be_bytes(group)),
            error,
            Alert::ILLEGAL_PARAMETER,
        );
    }
    // Longer than any of our shares, whatever the signature.
    for length in [98, 255] {
        let longer = |body: &mut Vec<u8>| drop(body.splice(3..36, vector8(&vec![7; length])));
        let error = PeerMisbehaved::InvalidKeyShare(NamedGroup::X25519);
        refused(Versions::Tls12, 12, longer, error, Alert::ILLEGAL_PARAMETER);
    }
    let error = InvalidMessage::TrailingData("ServerHelloDone");
    refused(Versions::Tls12, 14, |body| body.push(0), error, Alert::DECODE_ERROR);
}

#[test]
fn a_wrong_finished() {
    for (versions, length) in [(Versions::Tls13, 32), (Versions::Tls12, 12)] {
        for from_client in [true, false] {
            for at in [0, length - 1] {
                between(client().with_versions(versions), server(), |middle| {
                    middle.run(|place, item| match item.kind() {
                        Some(20) if place.0 == from_client => vec![item.map(|body| body[at] ^= 0x80)],
                        _ => vec![item],
                    });
                    let end = if from_client {
                        &mut middle.server
                    } else {
                        &mut middle.client
                    };
                    end.failed(PeerMisbehaved::WrongFinished, Alert::DECRYPT_ERROR);
                });
            }
        }
    }
}

#[test]
fn a_certificate_is_shown_where_the_request_allows_it() {
    // RFC 5246 §7.4.4, §7.4.6; RFC 8446 §4.2.4, §4.4.2.3.
    let world = of(Kind::P256);
    let asking = server().with_client_auth(ClientAuth::Optional(world.authority.trust()));
    let client = client().with_identity(world.client.identity());
    // The Name of the CA: SEQUENCE, SET, SEQUENCE, OID of commonName, UTF8String.
    let name = |common_name: &str| {
        let tlv = |tag: u8, body: &[u8]| [&[tag, body.len() as u8][..], body].concat();
        let value = [&[6, 3, 0x55, 4, 3][..], &tlv(12, common_name.as_bytes())].concat();
        tlv(0x30, &tlv(0x31, &tlv(0x30, &value)))
    };
    let names = |list: &[&str]| -> Vec<u8> { list.iter().flat_map(|one| vector16(&name(one))).collect() };
    let ours = "Test CA P256";
    for (types, authorities, shown) in [
        (&[64, 1][..], names(&[]), true),
        (&[64], names(&[ours]), true),
        (&[1, 64], names(&["Another CA", ours]), true),
        // No type for ECDSA; an authority that has not issued it.
        (&[1], names(&[]), false),
        (&[1, 2, 65], names(&[ours]), false),
        (&[64], names(&["Another CA"]), false),
        (&[64], names(&["Test CA P25", "Test CA P2566"]), false),
    ] {
        for versions in BOTH {
            let schemes = numbers16(&[0x0403]);
            let body = if versions == Versions::Tls12 {
                [vector8(types), schemes, vector16(&authorities)].concat()
            } else if !types.contains(&64) {
                continue;
            } else {
                let mut list = [&[0, 13][..], &vector16(&schemes)].concat();
                if !authorities.is_empty() {
                    list.extend([&[0, 47][..], &vector16(&vector16(&authorities))].concat());
                }
                [&[0][..], &vector16(&list)].concat()
            };
            between(client.with_versions(versions), asking, |middle| {
                middle.forge = true;
                let mut certificate = None;
                middle.run(|(from_client, _), item| match (item.kind(), from_client) {
                    (Some(13), false) => vec![item.map(|old| old.clone_from(&body))],
                    // The server signs what it has sent.
                    (Some(15), false) => vec![item],
                    (Some(11), true) => {
                        let Item::Message(message) = &item else { panic!() };
                        certificate = Some(message.len() > 100);
                        vec![]
                    }
                    _ => vec![item],
                });
                if versions == Versions::Tls12 {
                    assert_eq!(certificate, Some(shown), "{types:?}");
                } else {
                    assert_eq!(middle.client.result, Err(PeerMisbehaved::WrongSignature.into()));
                }
            });
        }
    }
}

#[test]
fn requests_for_a_certificate_that_are_malformed() {
    let trust = of(Kind::P256).authority.trust();
    let asking = server().with_client_auth(ClientAuth::Optional(trust));
    for (versions, body, error, alert) in [
        (
            Versions::Tls13,
            vec![1, 7, 0, 8, 0, 13, 0, 4, 0, 2, 4, 3],
            Error::from(PeerMisbehaved::IllegalParameter("certificate_request_context")),
            Alert::ILLEGAL_PARAMETER,
        ),
        (
            Versions::Tls13,
            vec![0, 0, 0],
            PeerMisbehaved::MissingExtension(ExtensionType::SIGNATURE_ALGORITHMS).into(),
            Alert::MISSING_EXTENSION,
        ),
        (
            Versions::Tls13,
            vec![0, 0, 8, 0, 13, 0, 4, 0, 2, 4],
            InvalidMessage::MissingData("CertificateRequest").into(),
            Alert::DECODE_ERROR,
        ),
        (
            Versions::Tls13,
            vec![0, 0, 14, 0, 13, 0, 4, 0, 2, 4, 3, 0, 47, 0, 2, 0, 0],
            InvalidMessage::IllegalValue("certificate_authorities").into(),
            Alert::DECODE_ERROR,
        ),
        (
            Versions::Tls13,
            vec![0, 0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 47, 0, 4, 0, 2, 0, 0],
            InvalidMessage::IllegalValue("certificate_authorities").into(),
            Alert::DECODE_ERROR,
        ),
        (
            Versions::Tls12,
            vec![1, 64, 0, 2, 4, 3, 0, 2, 0, 0],
            InvalidMessage::IllegalValue("certificate_authorities").into(),
            Alert::DECODE_ERROR,
        ),
        (
            Versions::Tls12,
            vec![0, 0, 2, 4, 3, 0, 0],
            InvalidMessage::IllegalValue("certificate_types").into(),
            Alert::DECODE_ERROR,
        ),
        (
            Versions::Tls12,
            vec![1, 64, 0, 2, 4, 3, 0, 1, 0],
            InvalidMessage::MissingData("certificate_authorities").into(),
            Alert::DECODE_ERROR,
        ),
    ] {
        refused_by(
            client().with_versions(versions),
            asking,
            13,
            |item| vec![item.map(|old| old.clone_from(&body))],
            error,
            alert,
        );
    }
}
