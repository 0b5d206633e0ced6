//! Narratives of both roles and versions: complete, correct, and of any bytes.

use std::fmt::Write as _;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use postern_testing::{Script, unhex};
use postern_tls::crypto::key::SigningKey;
use postern_tls::crypto::kx::Group;
use postern_tls::pki::verify::{Clock, ServerName, Trust};
use postern_tls::session::{SessionCache, Tickets};
use postern_tls::trace::{DATA_SHOWN, Event, Milestone, Protection, Record, Secret, Trace};
use postern_tls::{
    ClientAuth, ClientConfig, Connection, ContentType, Identity, KeyLog, MIN_OUTBOUND, Progress, ProtocolVersion,
    ServerConfig, Versions,
};

use super::*;

/// 2030-01-01.
const CLOCK: Clock = Clock {
    now: 1_893_456_000,
    floor: 0,
};

/// A log of so many bytes.
fn event_log(size: usize) -> EventLog<'static> {
    EventLog::new(Vec::leak(vec![0; size]))
}

/// Bytes that look random (SplitMix64).
fn noise(mut seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while bytes.len() < len {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bytes.extend((z ^ (z >> 31)).to_be_bytes());
    }
    bytes
}

/// A CA, and an identity of it for either side.
struct World {
    ca: Vec<u8>,
    server: (Vec<u8>, SigningKey),
    client: (Vec<u8>, SigningKey),
    tickets: Tickets,
    sessions: SessionCache,
}

impl World {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "CA of a trace");
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new([name.to_string()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let certificate = params.signed_by(&key, &ca).unwrap();
            let key = SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap();
            (certificate.der().to_vec(), key)
        };
        Self {
            server: issue("server.test"),
            client: issue("client.test"),
            tickets: Tickets::new(&mut Script(noise(7, 200)), CLOCK.now).unwrap(),
            sessions: SessionCache::default(),
            ca: ca.der().to_vec(),
        }
    }
}

/// How the two sides are set up.
#[derive(Clone, Copy, Default)]
struct How<'a> {
    versions: Versions,
    retry: bool,
    client_auth: bool,
    tickets: bool,
    key_log: Option<&'a dyn KeyLog>,
    wrong_name: bool,
}

/// Runs a connection from hello to close_notify; the client says "ping", the server "pong".
fn run(world: &World, how: How<'_>, server_trace: Option<&dyn Trace>, client_trace: Option<&dyn Trace>) {
    let (chain, cas) = ([&world.server.0[..]], [&world.ca[..]]);
    let client_chain = [&world.client.0[..]];
    let trust = Trust::new(&cas);
    let identities = [Identity::new(&chain, &world.server.1).unwrap()];
    let groups = [Group::Secp384r1];
    let protocols: [&[u8]; 1] = [b"ping-pong"];
    let mut server = ServerConfig::new(&identities, CLOCK)
        .unwrap()
        .with_protocols(&protocols);
    let name = if how.wrong_name { "other.test" } else { "server.test" };
    let mut client = ClientConfig::new(&trust, ServerName::parse(name), CLOCK)
        .with_versions(how.versions)
        .with_protocols(&protocols)
        .with_identity(Identity::new(&client_chain, &world.client.1).unwrap());
    if how.retry {
        server = server.with_groups(&groups);
    }
    if how.client_auth {
        server = server.with_client_auth(ClientAuth::Required(&trust));
    }
    if how.tickets {
        server = server.with_tickets(&world.tickets);
        client = client.with_sessions(&world.sessions);
    }
    (server, client) = (server.with_key_log(how.key_log), client.with_key_log(how.key_log));
    if let Some(trace) = server_trace {
        server = server.with_trace(trace);
    }
    if let Some(trace) = client_trace {
        client = client.with_trace(trace);
    }
    // What is sent fits into buffers that are as large as they have to be.
    let outbound = [server.flight_len(), client.flight_len()];
    let mut buffers = [20_000, outbound[0], 20_000, outbound[1]].map(|size: usize| vec![0; size.max(MIN_OUTBOUND)]);
    let [a, b, c, d] = &mut buffers;
    let (mut server_rng, mut client_rng) = (Script(noise(1, 5000)), Script(noise(2, 5000)));
    let mut server = Connection::server(server, a, b).unwrap();
    let mut client = Connection::client(client, c, d, &mut client_rng).unwrap();
    let mut spoken = false;
    for _ in 0..20 {
        if !client.is_handshaking() && !spoken {
            assert_eq!(client.write(b"ping"), Ok(4));
            spoken = true;
        }
        carry(&mut client, &mut server);
        let heard = server.advance(&mut server_rng);
        if heard == Ok(Progress::Data) {
            assert_eq!(server.data(), b"ping");
            server.consume(4);
            assert_eq!(server.write(b"pong"), Ok(4));
            server.close();
        }
        carry(&mut server, &mut client);
        let answer = client.advance(&mut client_rng);
        if answer == Ok(Progress::Data) {
            assert_eq!(client.data(), b"pong");
            client.consume(4);
            assert_eq!(client.advance(&mut client_rng), Ok(Progress::Closed));
            client.close();
            carry(&mut client, &mut server);
            assert_eq!(server.advance(&mut server_rng), Ok(Progress::Closed));
            return;
        }
        if heard.is_err() {
            break;
        }
    }
    assert!(how.wrong_name);
}

fn carry(from: &mut Connection<'_>, to: &mut Connection<'_>) {
    let bytes = from.pending().to_vec();
    from.sent(bytes.len());
    let space = to.space();
    space[..bytes.len()].copy_from_slice(&bytes);
    to.received(bytes.len());
}

/// Both sides' logs of such a connection.
fn traced(world: &World, how: How<'_>) -> [EventLog<'static>; 2] {
    let logs = [event_log(16_384), event_log(16_384)];
    run(world, how, Some(&logs[0]), Some(&logs[1]));
    for log in &logs {
        assert_eq!(log.read(|events| events.lost()), 0);
    }
    logs
}

/// The handshake messages on a log, each with whether it was sent.
fn messages(log: &EventLog<'_>) -> Vec<(bool, Vec<u8>)> {
    log.read(|events| {
        let message = |event| match event {
            Event::Message { sent, whole } => Some((sent, whole.to_vec())),
            _ => None,
        };
        events.filter_map(message).collect()
    })
}

/// The bytes of messages that the narrative shows, in its order; one entry for a step.
fn shown(log: &EventLog<'_>) -> Vec<Vec<u8>> {
    log.read(|events| {
        let narrative = Narrative::of(events);
        let mut all = Vec::new();
        for step in narrative.steps() {
            let mut bytes = Vec::new();
            narrative.visit_items(&step, &mut |item| {
                if item.kind == ItemKind::Wire {
                    bytes.extend_from_slice(item.bytes);
                }
            });
            all.push(bytes);
        }
        all.retain(|bytes| bytes.len() >= 4);
        all
    })
}

fn text(log: &EventLog<'_>) -> String {
    log.read(|events| {
        let mut text = String::new();
        let more = Lines::of(Narrative::of(events))
            .write(0, usize::MAX, &mut text)
            .unwrap();
        assert!(!more);
        text
    })
}

fn titles(log: &EventLog<'_>) -> Vec<&'static str> {
    log.read(|events| Narrative::of(events).steps().map(|step| step.title).collect())
}

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];

/// Every kind of handshake.
fn kinds() -> impl Iterator<Item = How<'static>> {
    BOTH.into_iter().flat_map(|versions| {
        [(false, false), (true, false), (false, true), (true, true)].map(|(retry, client_auth)| How {
            versions,
            retry,
            client_auth,
            ..How::default()
        })
    })
}

#[test]
fn every_byte_of_every_message_is_shown_once_and_in_order() {
    let world = World::new();
    for how in kinds() {
        let [server, client] = traced(&world, how);
        let (of_server, of_client) = (messages(&server), messages(&client));
        // What one side says that it sent the other says that it received.
        for sent in [false, true] {
            let side = |messages: &[(bool, Vec<u8>)], sent| {
                let wanted = messages.iter().filter(|message| message.0 == sent);
                wanted.map(|message| message.1.clone()).collect::<Vec<_>>()
            };
            assert_eq!(side(&of_server, sent), side(&of_client, !sent));
            assert!(side(&of_server, sent).len() >= 2);
        }
        for (log, messages) in [(&server, of_server), (&client, of_client)] {
            let mut shown = shown(log);
            // The other records with as much to show: ping and pong.
            shown.retain(|bytes| bytes != b"ping" && bytes != b"pong");
            let messages: Vec<_> = messages.into_iter().map(|message| message.1).collect();
            assert_eq!(shown, messages);
        }
    }
}

#[test]
fn the_steps_of_tls13_are_in_the_order_of_the_rfc() {
    let world = World::new();
    let how = How {
        versions: Versions::Tls13,
        tickets: true,
        ..How::default()
    };
    let [server, client] = traced(&world, how);
    assert_eq!(
        titles(&server),
        [
            "Client key generation",
            "ClientHello",
            "Server key generation",
            "ServerHello",
            "ChangeCipherSpec",
            "Calculation of keys",
            "EncryptedExtensions",
            "Certificate",
            "CertificateVerify",
            "Server Finished",
            "Calculation of the application keys",
            "ChangeCipherSpec",
            "Client Finished",
            "NewSessionTicket",
            "NewSessionTicket",
            "Handshake done",
            "Application data: ping",
            "Application data: pong",
            "Alert: close_notify",
            "Alert: close_notify",
        ]
    );
    assert_eq!(
        titles(&client),
        [
            "Client key generation",
            "ClientHello",
            "ServerHello",
            "Calculation of keys",
            "ChangeCipherSpec",
            "ChangeCipherSpec",
            "EncryptedExtensions",
            "Certificate",
            "CertificateVerify",
            "Server Finished",
            "Calculation of the application keys",
            "Client Finished",
            "Handshake done",
            "Application data: ping",
            "NewSessionTicket",
            "NewSessionTicket",
            "Application data: pong",
            "Alert: close_notify",
            "Alert: close_notify",
        ]
    );
}

#[test]
fn the_steps_of_tls12_with_a_client_certificate_and_a_ticket() {
    let world = World::new();
    let how = How {
        versions: Versions::Tls12,
        tickets: true,
        client_auth: true,
        ..How::default()
    };
    let [server, client] = traced(&world, how);
    assert_eq!(
        titles(&server),
        [
            "ClientHello",
            "ServerHello",
            "Server key generation",
            "Certificate",
            "ServerKeyExchange",
            "CertificateRequest",
            "ServerHelloDone",
            "Client's Certificate",
            "ClientKeyExchange",
            "Calculation of keys",
            "Client's CertificateVerify",
            "ChangeCipherSpec",
            "Client Finished",
            "NewSessionTicket",
            "ChangeCipherSpec",
            "Server Finished",
            "Handshake done",
            "Application data: ping",
            "Application data: pong",
            "Alert: close_notify",
            "Alert: close_notify",
        ]
    );
    let (server, client) = (text(&server), text(&client));
    for shown in [
        "= verdict: CN=client.test",
        "extended master secret",
        "PRF(master_secret, \"client finished\", transcript hash)[0..11]",
        "nonce_explicit",
        "selected_group",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "ticket_lifetime: 7200 seconds",
    ] {
        assert_eq!(server.contains(shown), shown != "selected_group", "{shown}\n{server}");
    }
    assert!(client.contains("= verdict: CN=server.test"));
}

#[test]
fn fields_have_their_meanings() {
    let world = World::new();
    let how = How {
        versions: Versions::Tls13,
        retry: true,
        client_auth: true,
        ..How::default()
    };
    let [server, client] = traced(&world, how);
    let (server, client) = (text(&server), text(&client));
    for shown in [
        "01                       msg_type: client_hello",
        "03 03                    legacy_version: TLS 1.2",
        "\"server.test\"",
        "\"ping-pong\"",
        "selected_group: secp384r1",
        "HelloRetryRequest",
        "ClientHello, once more",
        "13 01                    cipher_suite: TLS_AES_128_GCM_SHA256",
        "03 04                    selected_version: TLS 1.3",
        "[certificate: CN=server.test]",
        "algorithm: ecdsa_secp256r1_sha256",
        "64 blanks, \"TLS 1.3, client CertificateVerify\"",
        "64 blanks, \"TLS 1.3, server CertificateVerify\"",
        "= transcript hash: SHA-256",
        "01                       level: warning",
        "00                       description: close_notify",
        "data: \"ping\"",
        "data: \"pong\"",
        "= true content type: alert",
    ] {
        assert!(server.contains(shown), "{shown}\n{server}");
        assert!(client.contains(shown), "{shown}\n{client}");
    }
    assert!(server.contains("= verdict: CN=client.test") && client.contains("= verdict: CN=server.test"));
    // Both sides narrate the same hashes, in their own order.
    let hashes = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        let at = lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.contains("= transcript hash"));
        let mut hashes: Vec<_> = at.map(|(at, _)| lines[at + 1..at + 3].concat()).collect();
        hashes.sort();
        hashes.dedup();
        hashes
    };
    assert_eq!(hashes(&server), hashes(&client));
    // ServerHello, both CertificateVerify, both Finished, application keys.
    assert_eq!(hashes(&server).len(), 6);
}

/// A stapled OCSP response, where either version has it.
#[test]
fn a_staple_is_shown() {
    let status = [&[1, 0, 0, 9][..], b"a staple!"].concat();
    let message = |kind: u8, body: &[u8]| [&[kind, 0, 0, body.len() as u8][..], body].concat();
    let hello = |extensions: &[u8]| {
        let fixed = [&[3, 3][..], &[7; 32], &[0, 0x13, 0x01, 0, 0]].concat();
        message(2, &[&fixed[..], &[extensions.len() as u8], extensions].concat())
    };
    let entry = [&[0, 0, 1, b'x', 0, 17, 0, 5, 0, 13][..], &status].concat();
    let list = [&[0, 0, 0, entry.len() as u8][..], &entry].concat();
    for (messages, place) in [
        (
            [hello(&[0, 43, 0, 2, 3, 4]), message(11, &list)],
            ("Certificate (server", "status_request"),
        ),
        (
            [hello(&[0, 5, 0, 0]), message(22, &status)],
            ("CertificateStatus (server", "status_type"),
        ),
    ] {
        let log = event_log(4096);
        log.event(&Event::Milestone(Milestone::Role { server: false }));
        for whole in &messages {
            log.event(&Event::Message { sent: false, whole });
        }
        log.event(&Event::Milestone(Milestone::Stapled));
        log.event(&Event::Milestone(Milestone::Trusted { subject: "CN=x" }));
        let text = text(&log);
        let (title, name) = place;
        let step = text.split_once(title).unwrap_or_else(|| panic!("{text}")).1;
        for words in [name, "ocsp", "OCSPResponse", "stapled OCSP response", "good"] {
            assert!(step.contains(words), "{words}: {text}");
        }
        assert_eq!(text.matches("stapled OCSP response").count(), 1, "{text}");
        let mut shown = shown(&log);
        shown.retain(|bytes| messages.contains(bytes));
        assert_eq!(shown, messages);
    }
}

#[test]
fn a_summary_has_what_was_agreed() {
    let world = World::new();
    let summaries =
        |how| traced(&world, how).map(|log| log.read(|events| format!("{:?}", Narrative::of(events).summary())));
    for versions in BOTH {
        let how = How {
            versions,
            tickets: true,
            ..How::default()
        };
        // The first makes the session that the second resumes.
        for resumed in [false, true] {
            for summary in summaries(how) {
                assert!(summary.contains(&format!("resumed: {resumed}")), "{summary}");
                assert!(
                    summary.contains("done: true") && summary.contains("failure: \"\""),
                    "{summary}"
                );
                let version = if versions == Versions::Tls13 {
                    "TLSv1.3"
                } else {
                    "TLSv1.2"
                };
                assert!(summary.contains(version), "{summary}");
                let scheme = if resumed {
                    "scheme: \"\""
                } else {
                    "scheme: \"ecdsa_secp256r1_sha256\""
                };
                assert!(summary.contains(scheme), "{summary}");
            }
        }
        world.sessions.clear();
        let [server, _] = traced(&world, how);
        server.read(|events| {
            let summary = Narrative::of(events).summary();
            assert_eq!(
                (summary.server_name, summary.protocol),
                (&b"server.test"[..], &b"ping-pong"[..])
            );
            let group = if versions == Versions::Tls13 {
                "X25519MLKEM768"
            } else {
                "x25519"
            };
            assert_eq!((summary.group, summary.mutual, summary.retried), (group, false, false));
        });
    }
}

#[test]
fn a_resumption_is_shown_as_such() {
    let world = World::new();
    for versions in BOTH {
        let how = How {
            versions,
            tickets: true,
            ..How::default()
        };
        traced(&world, how);
        let logs = traced(&world, how);
        for log in &logs {
            let text = text(log);
            assert!(text.contains("= session: resumed"), "{text}");
            assert!(!text.contains("CertificateVerify"), "{text}");
            assert_eq!(shown(log).len(), messages(log).len() + 2);
        }
        let server = text(&logs[0]);
        match versions {
            Versions::Tls13 => assert!(
                server.contains("selected_identity: 0") && server.contains("HKDF-Extract(0, PSK)"),
                "{server}"
            ),
            _ => assert!(server.contains("stored in the ticket"), "{server}"),
        }
        world.sessions.clear();
    }
}

/// Keeps the secrets that are logged.
#[derive(Default)]
struct Kept(core::cell::RefCell<Vec<(String, Vec<u8>)>>);

impl KeyLog for Kept {
    fn log(&self, label: &str, _: &[u8; 32], secret: &[u8]) {
        self.0.borrow_mut().push((label.into(), secret.to_vec()));
    }
}

#[test]
fn secrets_are_shown_only_where_they_are_logged() {
    let world = World::new();
    for versions in BOTH {
        let kept = Kept::default();
        let how = How {
            versions,
            ..How::default()
        };
        // The random numbers are the same, and so are the secrets.
        let open = traced(
            &world,
            How {
                key_log: Some(&kept),
                ..how
            },
        );
        let secrets = kept.0.take();
        assert_eq!(secrets.len(), if versions == Versions::Tls13 { 8 } else { 2 });
        let closed = traced(&world, how);
        for (logs, shown) in [(open, true), (closed, false)] {
            for log in &logs {
                // Neither the log's bytes nor its text.
                let bytes = log.read(|events| {
                    let mut bytes = Vec::new();
                    for event in events {
                        if let Event::Milestone(Milestone::Secret { value, .. }) = event {
                            bytes.extend_from_slice(value);
                        }
                    }
                    bytes
                });
                let text: String = text(log).split_whitespace().collect();
                for (label, secret) in &secrets {
                    let hex = secret.iter().fold(String::new(), |mut hex, byte| {
                        let _ = write!(hex, "{byte:02x}");
                        hex
                    });
                    // Signatures are random, so that what comes after one may differ between the two runs.
                    let found = bytes.windows(secret.len()).any(|window| window == secret);
                    assert_eq!(text.contains(&hex), found, "{label}");
                    assert!(shown == found, "{label}");
                }
                assert_eq!(bytes.is_empty(), !shown);
            }
        }
    }
}

#[test]
fn keys_are_those_of_rfc_8448() {
    // §3: the server's handshake traffic secret, and the key and IV that stem from it.
    let log = event_log(1000);
    let hello = unhex(
        "020000560303a6af06a4121860dc5e6e60249cd34c95930c8ac5cb1434dac155772ed3e2692800130100002e00330024001d0020c9828876112095
         fe66762bdbf7c672e156d6cc253b833df1dd69b1b04e751f0f002b00020304",
    );
    let value = unhex("b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38");
    let hash = unhex("860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8");
    log.event(&Event::Message {
        sent: false,
        whole: &hello,
    });
    log.event(&Event::Milestone(Milestone::Secret {
        secret: Secret::ServerHandshakeTraffic,
        hash: &hash,
        value: &value,
    }));
    let shown: String = text(&log).split_whitespace().collect();
    for bytes in [
        "b67b7d690cc16c4e75e54213cb2d37b4e9c912bcded9105d42befd59d391ad38",
        "860c06edc07858ee8e78f0e7428c58edd6b43f2ca3e6e95f02ed063cf0e1cad8",
        "3fce516009c21727d0f2e4e86ee403bc",
        "5d313eb2671276ee13000b30",
    ] {
        assert!(shown.contains(bytes), "{bytes}\n{shown}");
    }
}

#[test]
fn a_refusal_is_shown_by_both_sides() {
    let world = World::new();
    for versions in BOTH {
        let logs = [event_log(16_384), event_log(16_384)];
        let how = How {
            versions,
            wrong_name: true,
            ..How::default()
        };
        run(&world, how, Some(&logs[0]), Some(&logs[1]));
        let (server, client) = (text(&logs[0]), text(&logs[1]));
        assert!(server.contains("the peer refused: bad_certificate"), "{server}");
        assert!(server.contains("description: bad_certificate"), "{server}");
        assert!(client.contains("description: bad_certificate"), "{client}");
        assert!(client.contains("02                       level: fatal"), "{client}");
        for log in &logs {
            assert_eq!(titles(log).iter().filter(|title| **title == "Failed").count(), 1);
            log.read(|events| assert!(!Narrative::of(events).summary().failure.is_empty()));
        }
    }
}

#[test]
fn any_bytes_can_be_shown() {
    let world = World::new();
    for how in kinds() {
        let [server, _] = traced(&world, how);
        for (_, message) in messages(&server) {
            let check = |bytes: &[u8]| {
                let mut shown = Vec::new();
                for version in [ProtocolVersion::TLS12, ProtocolVersion::TLS13] {
                    shown.clear();
                    fields::message(bytes, version, &mut |item| {
                        shown.extend_from_slice(item.bytes);
                        let _ = std::format!("{}", item.meaning);
                    });
                    assert_eq!(shown, bytes);
                }
            };
            for length in 0..message.len() {
                check(&message[..length]);
            }
            let random = noise(9, message.len());
            for at in 0..message.len() {
                let mut changed = message.clone();
                changed[at] ^= random[at] | 1;
                check(&changed);
                changed[at] = 0xff;
                check(&changed);
            }
        }
    }
    for kind in 0..=255 {
        let mut bytes = noise(u64::from(kind), 400);
        bytes[..4].copy_from_slice(&[kind, 0, 1, 140]);
        let log = event_log(1200);
        log.event(&Event::Message {
            sent: false,
            whole: &bytes,
        });
        assert_eq!(shown(&log), [bytes]);
        text(&log);
    }
}

#[test]
fn a_log_keeps_what_fits_and_the_end() {
    let world = World::new();
    let how = How {
        versions: Versions::Tls13,
        wrong_name: true,
        ..How::default()
    };
    for size in (0..6000).step_by(37) {
        let logs = [event_log(size), event_log(size)];
        run(&world, how, Some(&logs[0]), Some(&logs[1]));
        for log in &logs {
            let lost = log.read(|events| events.lost());
            assert_eq!(lost == 0, !text(log).contains("did not fit"));
            if size >= RESERVE {
                log.read(|events| assert!(!Narrative::of(events).summary().failure.is_empty(), "{size}"));
            } else {
                assert!(lost > 0);
            }
            log.clear();
            assert_eq!(log.read(|events| events.count()), 0);
        }
    }
}

#[test]
fn much_data_is_counted_and_not_kept() {
    let log = event_log(8000);
    for _ in 0..1000 {
        log.event(&Event::Record(Record {
            sent: false,
            header: &[23, 3, 3, 1, 17],
            protection: Protection::Tls13,
            content: ContentType::APPLICATION_DATA,
            number: 0,
            nonce: &[],
            tag: &[5; 16],
            padding: 0,
            length: 256,
            text: &[b'x'; 256],
        }));
    }
    log.read(|events| {
        assert_eq!((events.data(), events.lost()), ((1000, 256_000), 0));
        assert_eq!(events.count(), usize::try_from(MAX_DATA_RECORDS).unwrap());
    });
    assert!(text(&log).contains(&"x".repeat(DATA_SHOWN)) && !text(&log).contains(&"x".repeat(DATA_SHOWN + 1)));
    log.stop();
    log.event(&Event::Milestone(Milestone::Done));
    log.read(|mut events| assert!(events.all(|event| event != Event::Milestone(Milestone::Done))));
}

#[test]
fn a_narrative_can_be_written_in_pieces_of_any_size() {
    let world = World::new();
    let [server, _] = traced(&world, How::default());
    let whole = text(&server);
    assert!(whole.lines().count() > 200);
    server.read(|events| {
        for count in [1, 7, 100] {
            let (mut pieces, mut from) = (String::new(), 0);
            while Lines::of(Narrative::of(events))
                .write(from, count, &mut pieces)
                .unwrap()
            {
                from += count;
            }
            assert_eq!(pieces, whole);
        }
    });
    // A terminal of 80 columns takes it but for a few long names.
    let long = whole.lines().filter(|line| line.len() > 79).count();
    assert!(long <= 6, "{long}");
}

#[test]
fn a_trace_changes_nothing() {
    /// Observes what passes, and changes nothing.
    struct Count(core::cell::Cell<u32>);
    impl Trace for Count {
        fn event(&self, _: &Event<'_>) {
            self.0.set(self.0.get() + 1);
        }
    }
    let world = World::new();
    for how in kinds() {
        // With the same random numbers the hellos are the same with a trace and without.
        let first = |trace: Option<&dyn Trace>| {
            let cas = [&world.ca[..]];
            let trust = Trust::new(&cas);
            let mut client = ClientConfig::new(&trust, None, CLOCK).with_versions(how.versions);
            if let Some(trace) = trace {
                client = client.with_trace(trace);
            }
            let (mut inbound, mut outbound) = (vec![0; 20_000], vec![0; 20_000]);
            let mut rng = Script(noise(3, 5000));
            let connection = Connection::client(client, &mut inbound, &mut outbound, &mut rng).unwrap();
            connection.pending().to_vec()
        };
        let count = Count(core::cell::Cell::new(0));
        assert_eq!(first(None), first(Some(&count)));
        assert!(count.0.get() > 2);
        run(&world, how, None, None);
    }
}

#[test]
fn one_of_a_unit_is_no_plural() {
    let shown = |number, unit| Meaning::Count(number, unit).to_string();
    assert_eq!(
        [
            shown(1, "bytes"),
            shown(2, "bytes"),
            shown(1, "records up to now"),
            shown(1, "under its key"),
            shown(1, "")
        ],
        ["1 byte", "2 bytes", "1 record up to now", "1 under its key", "1"]
    );
}
