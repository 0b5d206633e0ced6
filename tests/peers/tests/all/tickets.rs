//! Tickets and the resumption of sessions, and what comes after a handshake.

use postern_peers::hello::{self, message, pre_shared_key, vector8, vector16};
use postern_peers::middle::{Item, Middle, between};
use postern_peers::world::{Kind, of};
use postern_peers::{clock, rng};
use postern_tls::crypto::kx::Group;
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::error::{InvalidMessage, PeerMisbehaved};
use postern_tls::pki::verify::{Clock, Mode, ServerName, Trust};
use postern_tls::session::{MAX_TICKET, SESSION_LIFETIME, TICKET_LIFETIME};
use postern_tls::{
    AlertDescription as Alert, ClientAuth, ClientConfig, Error, HandshakeType, NamedSuite, Progress, ProtocolVersion,
    ServerConfig, SessionCache, Tickets, Versions,
};

use crate::client_alerts::{client, extensions, server, server_hello};

const BOTH: [Versions; 2] = [Versions::Tls13, Versions::Tls12];

fn tickets() -> Tickets {
    Tickets::new(&mut rng(5), clock().now).unwrap()
}

/// Whether a session was resumed, both ends being content.
#[track_caller]
fn resumes(client: ClientConfig<'_>, server: ServerConfig<'_>) -> bool {
    between(client, server, |middle| {
        middle.establish();
        middle.works();
        let [ours, theirs] = [&middle.client, &middle.server].map(|end| end.connection.info());
        assert_eq!(ours.resumed, theirs.resumed);
        assert!(ours.peer.is_some());
        ours.resumed
    })
}

/// The same clock, so much later.
fn later(seconds: u64) -> Clock {
    let Clock { now, floor } = clock();
    Clock {
        now: now + seconds,
        floor,
    }
}

#[test]
fn sessions_go_on_from_one_to_the_next() {
    for versions in BOTH {
        for suite in CipherSuite::ALL {
            let suites = [suite];
            let fits = (suite.version() == ProtocolVersion::TLS13) == (versions == Versions::Tls13);
            if !fits || suite.authentication() == Some(postern_tls::crypto::suite::Authentication::Rsa) {
                continue;
            }
            let (tickets, sessions) = (tickets(), SessionCache::new());
            let server = server().with_tickets(&tickets).with_suites(&suites);
            let client = client().with_versions(versions).with_sessions(&sessions);
            let what = [(); 4].map(|()| resumes(client, server));
            assert_eq!(what, [false, true, true, true], "{suite}");
            // Without the cache, or with an empty one, it is a full handshake.
            sessions.clear();
            assert!(!resumes(client, server));
        }
    }
}

#[test]
fn tickets_that_nobody_can_open_make_a_full_handshake() {
    for versions in BOTH {
        // Key name, nonce, sealed session, tag: a bit of each; and lengths that no ticket of ours has.
        type Alter<'a> = &'a dyn Fn(&mut Vec<u8>);
        let changes: [Alter<'_>; 7] = [
            &|ticket| ticket[0] ^= 1,
            &|ticket| ticket[20] ^= 1,
            &|ticket| ticket[40] ^= 1,
            &|ticket| *ticket.last_mut().unwrap() ^= 0x80,
            &|ticket| ticket.truncate(1),
            &|ticket| ticket.truncate(44),
            &|ticket| ticket.extend([0; 900]),
        ];
        for change in changes {
            let (tickets, sessions) = (tickets(), SessionCache::new());
            let server = server().with_tickets(&tickets);
            let client = client().with_versions(versions).with_sessions(&sessions);
            between(client, server, |middle| {
                middle.forge = true;
                middle.run(|(from_client, _), item| match item.kind() {
                    Some(4) if !from_client => vec![item.map(|body| {
                        // Lifetime; with TLS 1.3 also age_add and the nonce, and extensions behind.
                        let (at, behind) = if versions == Versions::Tls13 { (10, 2) } else { (4, 0) };
                        let mut ticket = body[at + 2..body.len() - behind].to_vec();
                        change(&mut ticket);
                        let rest = body.split_off(body.len() - behind);
                        body.truncate(at);
                        body.extend(vector16(&ticket));
                        body.extend(rest);
                    })],
                    _ => vec![item],
                });
                assert!(middle.client.is_established() && middle.server.is_established());
            });
            assert!(!sessions.is_empty());
            assert!(!resumes(client, server), "{versions:?}");
            assert!(resumes(client, server), "{versions:?}");
        }
    }
}

#[test]
fn tickets_of_other_servers_and_of_keys_thrown_away() {
    for versions in BOTH {
        let (one, other, sessions) = (
            tickets(),
            Tickets::new(&mut rng(6), clock().now).unwrap(),
            SessionCache::new(),
        );
        let client = client().with_versions(versions).with_sessions(&sessions);
        assert!(!resumes(client, server().with_tickets(&one)));
        assert!(!resumes(client, server().with_tickets(&other)));
        assert!(resumes(client, server().with_tickets(&other)));
        other.revoke(&mut rng(7), clock().now).unwrap();
        assert!(!resumes(client, server().with_tickets(&other)));
        // A server without tickets gives none and takes none.
        assert!(!resumes(client, server()));
        assert!(sessions.is_empty());
    }
}

#[test]
fn tickets_have_their_time() {
    let life = u64::from(TICKET_LIFETIME);
    for versions in BOTH {
        for (client_age, server_age, resumed) in [
            (life - 1, life - 1, true),
            (life - 1, life, true),
            // Either side thinks that it is over; or it is not yet given out.
            (life, 0, false),
            (0, life + 1, false),
            (10 * life, 10 * life, false),
        ] {
            let (tickets, sessions) = (tickets(), SessionCache::new());
            let server = server().with_tickets(&tickets);
            let client = client().with_versions(versions).with_sessions(&sessions);
            assert!(!resumes(client, server));
            let result = resumes(
                client.with_clock(later(client_age)),
                server.with_clock(later(server_age)),
            );
            assert_eq!(result, resumed, "{versions:?} {client_age} {server_age}");
        }
        // The clock went back.
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let server = server().with_tickets(&tickets);
        let client = client().with_versions(versions).with_sessions(&sessions);
        assert!(!resumes(client, server.with_clock(later(100))));
        assert!(!resumes(client, server));
        // Keys change over time: what the last but one sealed is no good, even if it were young.
        assert!(!resumes(client.with_clock(later(life)), server.with_clock(later(life))));
        assert!(resumes(
            client.with_clock(later(2 * life - 1)),
            server.with_clock(later(2 * life - 1))
        ));
    }
}

#[test]
fn psks_do_not_come_or_go_between_two_hellos() {
    // RFC 8446 §4.1.2: only the offers that the suite excludes are removed.
    use CipherSuite::{Aes128GcmSha256, Aes256GcmSha384};
    let groups = [Group::X25519, Group::Secp256r1];
    type Alter = fn(&mut Vec<(u16, Vec<u8>)>);
    let without: Alter = |list| list.retain(|(kind, _)| *kind != 41);
    let other: Alter = |list| list.last_mut().unwrap().1[5] ^= 1;
    let added: Alter = |list| list.push((41, pre_shared_key(b"ticket", &[0; 32])));
    for (number, alter, suite, error) in [
        (1, without, Aes128GcmSha256, Some(PeerMisbehaved::ChangedClientHello)),
        (1, other, Aes128GcmSha256, Some(PeerMisbehaved::ChangedClientHello)),
        // Nothing to resume in the first: our client takes out what the suite of the retry rules out.
        (1, |_| {}, Aes256GcmSha384, None),
        (0, without, Aes128GcmSha256, Some(PeerMisbehaved::ChangedClientHello)),
    ] {
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let client = client()
            .with_sessions(&sessions)
            .with_groups(&groups)
            .with_versions(Versions::Tls13);
        let server = server().with_tickets(&tickets).with_groups(&groups);
        assert!(!resumes(client, server.with_suites(&[Aes128GcmSha256])));
        let suites = [suite];
        between(
            client,
            server.with_suites(&suites).with_groups(&groups[1..]),
            |middle| {
                let mut hellos = 0;
                middle.run(|(from_client, _), item| match item.kind() {
                    Some(1) if from_client => {
                        hellos += 1;
                        vec![if hellos == number + 1 {
                            item.map(client_hello(alter))
                        } else {
                            item
                        }]
                    }
                    _ => vec![item],
                });
                match error {
                    Some(error) => middle.server.failed(error, Alert::ILLEGAL_PARAMETER),
                    None => assert!(middle.server.is_established()),
                }
            },
        );
        // None in the first, one in the second.
        sessions.clear();
        between(client, server.with_groups(&groups[1..]), |middle| {
            let mut hellos = 0;
            middle.run(|(from_client, _), item| match item.kind() {
                Some(1) if from_client => {
                    hellos += 1;
                    vec![if hellos == 2 {
                        item.map(client_hello(added))
                    } else {
                        item
                    }]
                }
                _ => vec![item],
            });
            let error = PeerMisbehaved::ChangedClientHello;
            middle.server.failed(error, Alert::ILLEGAL_PARAMETER);
        });
    }
}

#[test]
fn a_server_name_is_acknowledged_where_it_has_chosen_the_identity() {
    // RFC 6066 §3: an empty server_name in the ServerHello or in EncryptedExtensions; none in a resumption.
    let world = of(Kind::P256);
    for versions in BOTH {
        let acknowledged = |name: Option<&'static str>, sessions: Option<&SessionCache>, server: ServerConfig<'_>| {
            let name = name.map(ServerName::Dns);
            let mut client = ClientConfig::new(world.authority.trust(), None, clock()).with_versions(versions);
            client = client.with_name(name);
            if let Some(sessions) = sessions {
                client = client.with_sessions(sessions);
            }
            let seen = std::cell::RefCell::new(None);
            between(client, server, |middle| {
                middle.run(|(from_client, _), item| {
                    if let (Some(1), true, Some(ServerName::Dns(name))) = (item.kind(), from_client, name) {
                        // Without the trailing dot of a name that is written as a root (§3).
                        client_hello(|list| {
                            let (_, body) = list.iter().find(|(kind, _)| *kind == 0).unwrap();
                            assert_eq!(*body, hello::server_name(name.trim_end_matches('.').as_bytes()));
                        })(&mut body_of(&item));
                    }
                    let look = |list: &mut Vec<(u16, Vec<u8>)>| {
                        let name = list.iter().find(|(kind, _)| *kind == 0);
                        seen.replace(name.map(|(_, body)| body.clone()));
                    };
                    match (versions, item.kind(), from_client) {
                        (Versions::Tls12, Some(2), false) => server_hello(look)(&mut body_of(&item)),
                        (Versions::Tls13, Some(8), false) => drop(extensions(&body_of(&item), look)),
                        _ => {}
                    }
                    vec![item]
                });
                assert!(middle.client.result.is_ok() || name == Some(ServerName::Dns("other.example")));
            });
            seen.into_inner()
        };
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let with_tickets = server().with_tickets(&tickets);
        assert_eq!(acknowledged(Some("localhost"), None, server()), Some(vec![]));
        assert_eq!(acknowledged(None, None, server()), None);
        // Not recognized: the first identity is shown all the same.
        assert_eq!(acknowledged(Some("other.example"), None, server()), None);
        assert_eq!(
            acknowledged(Some("localhost"), Some(&sessions), with_tickets),
            Some(vec![])
        );
        assert_eq!(acknowledged(Some("localhost"), Some(&sessions), with_tickets), None);
        assert_eq!(acknowledged(Some("localhost."), None, server()), Some(vec![]));
    }
}

/// The body of a handshake message.
fn body_of(item: &Item) -> Vec<u8> {
    let Item::Message(message) = item else { panic!() };
    message[4..].to_vec()
}

#[test]
fn a_ticket_of_tls12_stays_in_the_hello_after_a_retry() {
    // RFC 8446 §4.1.2: the server compares, and refuses a hello whose session_ticket has changed.
    let (tickets, sessions) = (tickets(), SessionCache::new());
    let groups = [Group::X25519, Group::Secp256r1];
    let client = client().with_sessions(&sessions).with_groups(&groups);
    let server = server().with_tickets(&tickets).with_groups(&groups);
    assert!(!resumes(client, server.with_versions(Versions::Tls12)));
    between(client, server.with_groups(&groups[1..]), |middle| {
        middle.establish();
        middle.works();
        let info = middle.client.connection.info();
        assert_eq!(
            (info.version_name(), info.retried, info.resumed),
            ("TLSv1.3", true, false)
        );
    });
}

#[test]
fn sessions_belong_to_a_name() {
    let world = of(Kind::P256);
    let names = |params: &mut rcgen::CertificateParams| {
        params
            .subject_alt_names
            .push(rcgen::SanType::DnsName("other.example".try_into().unwrap()));
    };
    let party = world.authority.issue_with(Kind::P256, "localhost", names);
    for versions in BOTH {
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let server = party.server().with_tickets(&tickets);
        let client = |name| {
            ClientConfig::new(world.authority.trust(), name, clock())
                .with_versions(versions)
                .with_sessions(&sessions)
        };
        let [one, other] = ["localhost", "other.example"].map(|name| Some(ServerName::Dns(name)));
        assert!(!resumes(client(one), server));
        assert!(!resumes(client(other), server));
        assert!(resumes(client(other), server));
        assert!(!resumes(client(None), server));
    }
}

#[test]
fn sessions_belong_to_a_version_and_a_suite() {
    let (tickets, sessions) = (tickets(), SessionCache::new());
    let client = client().with_sessions(&sessions);
    let server = server().with_tickets(&tickets);
    // A ticket of TLS 1.2, and a server that has learnt TLS 1.3 since; and the other way round.
    assert!(!resumes(client, server.with_versions(Versions::Tls12)));
    assert!(!resumes(client, server));
    assert!(!resumes(client, server.with_versions(Versions::Tls12)));
    assert!(resumes(client, server.with_versions(Versions::Tls12)));
    // TLS 1.2: the suite has to be the same; TLS 1.3: its hash.
    use CipherSuite::*;
    for (versions, first, second, resumed) in [
        (
            Versions::Tls12,
            EcdheEcdsaAes128GcmSha256,
            EcdheEcdsaAes256GcmSha384,
            false,
        ),
        (
            Versions::Tls12,
            EcdheEcdsaAes128GcmSha256,
            EcdheEcdsaChaCha20Poly1305Sha256,
            false,
        ),
        (Versions::Tls13, Aes128GcmSha256, Aes256GcmSha384, false),
        (Versions::Tls13, Aes128GcmSha256, ChaCha20Poly1305Sha256, true),
    ] {
        sessions.clear();
        let client = client.with_versions(versions);
        let ([first], [second]) = ([[first]], [[second]]);
        assert!(!resumes(client, server.with_suites(&first)));
        assert_eq!(resumes(client, server.with_suites(&second)), resumed, "{second:?}");
    }
}

#[test]
fn sessions_remember_the_client() {
    let world = of(Kind::P256);
    let trust = world.authority.trust();
    for versions in BOTH {
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let client = client()
            .with_versions(versions)
            .with_sessions(&sessions)
            .with_identity(world.client.identity());
        let server = server().with_tickets(&tickets);
        let required = server.with_client_auth(ClientAuth::Required(trust));
        let subject = |server| {
            between(client, server, |middle| {
                middle.establish();
                let info = middle.server.connection.info();
                (info.resumed, info.peer.map(|peer| peer.subject.as_str().to_owned()))
            })
        };
        let somebody = Some("CN=client.test".to_owned());
        assert_eq!(subject(required), (false, somebody.clone()));
        assert_eq!(subject(required), (true, somebody.clone()));
        let optional = server.with_client_auth(ClientAuth::Optional(trust));
        assert_eq!(subject(optional), (false, somebody.clone()));
        assert_eq!(subject(optional), (true, somebody.clone()));
        // A session without client authentication does not carry an earlier identity, nor the other way round.
        assert_eq!(subject(server), (false, None));
        assert_eq!(subject(required), (false, somebody.clone()));
        // Nor does a session outlive the certificate.
        let soon = clock().now + 100;
        let short = world.authority.issue_with(Kind::P256, "client.test", |params| {
            params.not_after = rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(soon);
        });
        let client = client.with_identity(short.identity());
        sessions.clear();
        assert!(!resumes(client, required));
        assert!(resumes(client, required.with_clock(later(100))));
        between(client, required.with_clock(later(101)), |middle| {
            middle.run(|_, item| vec![item]);
            assert!(matches!(middle.server.result, Err(Error::Certificate(_))));
        });
    }
}

#[test]
fn a_session_ends_a_day_after_its_full_handshake() {
    let (step, day) = (u64::from(TICKET_LIFETIME) - 1, u64::from(SESSION_LIFETIME));
    for versions in BOTH {
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let server = server().with_tickets(&tickets);
        let client = client().with_versions(versions).with_sessions(&sessions);
        let at = |now| resumes(client.with_clock(later(now)), server.with_clock(later(now)));
        // Two simulated days, a connection every two hours.
        let full: Vec<u64> = (0..2 * day).step_by(step as usize).filter(|now| !at(*now)).collect();
        let expected: Vec<u64> = match versions {
            Versions::Tls13 => vec![0, 13 * step],
            // There is no new ticket with a resumption of TLS 1.2.
            _ => (0..2 * day).step_by(step as usize).step_by(2).collect(),
        };
        assert_eq!(full, expected, "{versions:?}");
    }
}

#[test]
fn a_session_ends_with_the_certificate_and_the_revocation_list() {
    let (world, start) = (of(Kind::P256), clock());
    let at = |seconds| Clock {
        now: start.now + seconds,
        ..start
    };
    let date = |seconds| rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs(start.now + seconds);
    let issue = |name| {
        let authority = world.authority;
        authority.issue_with(Kind::P256, name, |params| params.not_after = date(1000))
    };
    let (somebody, localhost) = (issue("client.test"), issue("localhost"));
    let lists = [world.authority.revoke_until(99, start.now + 500)];
    let trust = world.authority.trust();
    let listed = trust.with_crls(&lists);
    for versions in BOTH {
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let server = server().with_tickets(&tickets);
        let client = |trust| {
            ClientConfig::new(trust, Some(ServerName::Dns("localhost")), start)
                .with_versions(versions)
                .with_sessions(&sessions)
        };
        // The server announces what is left of the session. A resumption prolongs nothing.
        for (auth, identity, left) in [
            (ClientAuth::Required(trust), somebody.identity(), 1000),
            (ClientAuth::Optional(&listed), world.client.identity(), 499),
        ] {
            let run = |seconds| {
                let mut lifetime = None;
                let client = client(trust).with_identity(identity).with_clock(at(seconds));
                let server = server.with_client_auth(auth).with_clock(at(seconds));
                between(client, server, |middle| {
                    middle.run(|(from_client, _), item| {
                        if let (Item::Message(message), Some(4), false) = (&item, item.kind(), from_client) {
                            lifetime = Some(u32::from_be_bytes(message[4..8].try_into().unwrap()));
                        }
                        vec![item]
                    });
                    assert!(middle.client.is_established() && middle.server.is_established());
                    (middle.server.connection.info().resumed, lifetime)
                })
            };
            sessions.clear();
            assert_eq!(run(0), (false, Some(left as u32)), "{versions:?}");
            let again = (versions == Versions::Tls13).then_some(1);
            assert_eq!(run(left - 1), (true, again), "{versions:?}");
        }
        // The client does not offer a session beyond what it has verified itself.
        for (trust, server, left) in [
            (trust, localhost.server().with_tickets(&tickets), 1000),
            (&listed, server, 499),
        ] {
            sessions.clear();
            assert!(!resumes(client(trust), server.with_clock(start)));
            let resumed = |seconds| resumes(client(trust).with_clock(at(seconds)), server.with_clock(at(seconds)));
            assert!(resumed(left), "{versions:?}");
            between(
                client(trust).with_clock(at(left + 1)),
                server.with_clock(at(left + 1)),
                |middle| {
                    middle.run(|_, item| vec![item]);
                    assert!(
                        matches!(middle.client.result, Err(Error::Certificate(_))),
                        "{versions:?}"
                    );
                },
            );
        }
    }
}

#[test]
fn a_client_that_was_revoked_since_resumes_no_session() {
    let world = of(Kind::P256);
    let revoked = world.authority.issue_with(Kind::P256, "client.test", |params| {
        params.serial_number = Some(rcgen::SerialNumber::from(5_u64));
    });
    let trust = world.authority.trust();
    let lists = [world.authority.revoke(5).0];
    let (listed, other) = (trust.with_crls(&lists), trust.with_allowed("CN=other"));
    for versions in BOTH {
        for changed in [&listed, &other] {
            let (tickets, sessions) = (tickets(), SessionCache::new());
            let server = server().with_tickets(&tickets);
            let client = client().with_versions(versions).with_sessions(&sessions);
            let client = client.with_identity(revoked.identity());
            let with = |trust| server.with_client_auth(ClientAuth::Optional(trust));
            assert!(!resumes(client, with(trust)));
            assert!(resumes(client, with(trust)));
            between(client, with(changed), |middle| {
                middle.run(|_, item| vec![item]);
                assert!(
                    matches!(middle.server.result, Err(Error::Certificate(_))),
                    "{versions:?}"
                );
            });
        }
    }
}

#[test]
fn sessions_belong_to_the_trust_under_which_they_began() {
    let (world, other) = (of(Kind::P256), of(Kind::P384));
    let trust = world.authority.trust();
    let (both, other) = ([world.authority.der, other.authority.der], [other.authority.der]);
    let lists = [world.authority.revoke(99).0];
    let changed = [
        Trust::new(&both),
        trust.with_roots(&other),
        trust.with_crls(&lists),
        trust.with_mode(Mode::Pinned),
    ];
    let protocol: [&[u8]; 1] = [b"http/1.1"];
    for versions in BOTH {
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let server = server().with_tickets(&tickets);
        let optional = server.with_client_auth(ClientAuth::Optional(trust));
        let client = client().with_versions(versions).with_sessions(&sessions);
        let servers = changed
            .iter()
            .map(|trust| server.with_client_auth(ClientAuth::Optional(trust)));
        for changed in servers.chain([server, optional.with_protocols(&protocol)]) {
            sessions.clear();
            assert!(!resumes(client, optional));
            assert!(resumes(client, optional));
            assert!(!resumes(client, changed));
            assert!(!resumes(client, optional), "it has another session now");
        }
        let clients = changed.iter().map(|trust| {
            ClientConfig::new(trust, Some(ServerName::Dns("localhost")), clock())
                .with_versions(versions)
                .with_sessions(&sessions)
        });
        for changed in clients {
            sessions.clear();
            assert!(!resumes(client, server));
            assert!(resumes(client, server));
            assert!(!resumes(changed, server));
        }
    }
}

#[test]
fn a_resumption_that_is_wrong() {
    // The binder does not fit (RFC 8446 §4.2.11).
    let (tickets, sessions) = (tickets(), SessionCache::new());
    let server = server().with_tickets(&tickets);
    let client = client().with_sessions(&sessions);
    assert!(!resumes(client, server));
    between(client, server, |middle| {
        middle.run(|(from_client, _), item| match item.kind() {
            Some(1) if from_client => vec![item.map(|body| *body.last_mut().unwrap() ^= 1)],
            _ => vec![item],
        });
        middle.server.failed(PeerMisbehaved::WrongBinder, Alert::DECRYPT_ERROR);
    });
    // A server that shows a certificate although it resumes, be it the same or another.
    let certificates = BOTH.map(|versions| {
        let mut certificate = None;
        between(client.with_versions(versions), server, |middle| {
            middle.run(|_, item| {
                if item.kind() == Some(11) {
                    certificate = Some(item.clone());
                }
                vec![item]
            });
        });
        certificate.unwrap()
    });
    for (versions, certificate) in BOTH.into_iter().zip(certificates) {
        let client = client.with_versions(versions);
        sessions.clear();
        assert!(!resumes(client, server));
        between(client, server, |middle| {
            middle.forge = true;
            let after = if versions == Versions::Tls13 { 8 } else { 2 };
            middle.run(|(from_client, _), item| match item.kind() {
                Some(kind) if kind == after && !from_client => vec![item, certificate.clone()],
                _ => vec![item],
            });
            let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType::CERTIFICATE);
            middle.client.failed(error, Alert::UNEXPECTED_MESSAGE);
        });
    }
    // TLS 1.2: another suite, or no extended master secret (RFC 7627 §5.3); either way round.
    let client = client.with_versions(Versions::Tls12);
    let primed = || {
        sessions.clear();
        assert!(!resumes(client, server));
    };
    primed();
    between(client, server, |middle| {
        middle.run(|(from_client, _), item| match item.kind() {
            Some(2) if !from_client => vec![item.map(|body| body[67..69].copy_from_slice(&[0xc0, 0x2c]))],
            _ => vec![item],
        });
        let from = NamedSuite::ECDHE_ECDSA_WITH_AES_128_GCM_SHA256;
        let to = NamedSuite::ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;
        let error = PeerMisbehaved::ChangedSuite { from, to };
        middle.client.failed(error, Alert::ILLEGAL_PARAMETER);
    });
    primed();
    between(client, server, |middle| {
        middle.run(|(from_client, _), item| match item.kind() {
            Some(2) if !from_client => vec![item.map(server_hello(|list| list.retain(|(kind, _)| *kind != 23)))],
            _ => vec![item],
        });
        let error = PeerMisbehaved::ChangedMasterSecret;
        middle.client.failed(error, Alert::HANDSHAKE_FAILURE);
    });
    primed();
    let lax = server.with_extended_master_secret_required(false);
    between(client, lax, |middle| {
        middle.run(|(from_client, _), item| match item.kind() {
            Some(1) if from_client => vec![item.map(without_master_secret)],
            _ => vec![item],
        });
        let error = PeerMisbehaved::ChangedMasterSecret;
        middle.server.failed(error, Alert::HANDSHAKE_FAILURE);
    });
}

/// The extensions of a ClientHello, to be changed; the rest of it stays.
pub fn client_hello(change: impl Fn(&mut Vec<(u16, Vec<u8>)>)) -> impl Fn(&mut Vec<u8>) {
    move |body| {
        let suites = 35 + usize::from(body[34]);
        let compression = suites + 2 + usize::from(u16::from_be_bytes([body[suites], body[suites + 1]]));
        let at = compression + 1 + usize::from(body[compression]);
        let block = extensions(&body[at..], &change);
        body.truncate(at);
        body.extend(block);
    }
}

/// Takes `extended_master_secret` out of a ClientHello.
pub fn without_master_secret(body: &mut Vec<u8>) {
    client_hello(|list| list.retain(|(kind, _)| *kind != 23))(body);
}

#[test]
fn without_an_extended_master_secret_there_is_no_ticket() {
    let (tickets, sessions) = (tickets(), SessionCache::new());
    let client = client().with_versions(Versions::Tls12).with_sessions(&sessions);
    let client = client.with_extended_master_secret_required(false);
    let server = server()
        .with_tickets(&tickets)
        .with_extended_master_secret_required(false);
    between(client, server, |middle| {
        middle.forge = true;
        middle.run(|(from_client, _), item| match item.kind() {
            Some(1) if from_client => vec![item.map(without_master_secret)],
            Some(4) => panic!("a ticket"),
            _ => vec![item],
        });
        assert!(middle.client.is_established() && middle.server.is_established());
        middle.works();
    });
    assert!(sessions.is_empty());
}

/// After a handshake with a client that keeps tickets.
fn established(versions: Versions, test: impl FnOnce(&mut Middle<'_>, &SessionCache)) {
    let sessions = SessionCache::new();
    let tickets = Tickets::new(&mut rng(5), clock().now).unwrap();
    let client = client().with_versions(versions).with_sessions(&sessions);
    between(client, server().with_tickets(&tickets), |middle| {
        middle.establish();
        middle.works();
        test(middle, &sessions);
    });
}

fn ticket(lifetime: u32, nonce: &[u8], bytes: &[u8], extensions: &[u8]) -> Item {
    let parts = [
        &lifetime.to_be_bytes()[..],
        &[1, 2, 3, 4],
        &vector8(nonce),
        &vector16(bytes),
        &vector16(extensions),
    ];
    Item::Message(message(4, &parts.concat()))
}

#[test]
fn tickets_by_the_dozen_and_malformed_ones() {
    // A flood has an end; the two that came with the handshake count.
    established(Versions::Tls13, |middle, sessions| {
        for _ in 0..30 {
            middle.client.deliver(ticket(7200, &[9], &[1; 100], &[]), false);
            assert_eq!(middle.client.result, Ok(Progress::NeedInput));
        }
        assert!(!sessions.is_empty());
        middle.client.deliver(ticket(7200, &[9], &[1; 100], &[]), false);
        let error = Error::from(PeerMisbehaved::TooManyTickets);
        assert_eq!(middle.client.result, Err(error));
        assert_eq!(error.alert(), Some(Alert::UNEXPECTED_MESSAGE));
    });
    // What cannot be used is not kept: no lifetime, or too long for us. Unknown extensions mean nothing (§4.6.1).
    established(Versions::Tls13, |middle, sessions| {
        sessions.clear();
        middle.client.deliver(ticket(0, &[], &[1; 10], &[]), false);
        middle.client.deliver(ticket(0, &[], &[1; 5000], &[]), false);
        assert_eq!(sessions.oversized(), None);
        middle
            .client
            .deliver(ticket(7200, &[], &[1; MAX_TICKET + 1], &[]), false);
        assert_eq!(middle.client.result, Ok(Progress::NeedInput));
        assert!(sessions.is_empty());
        assert_eq!(sessions.oversized(), Some(1537));
        middle
            .client
            .deliver(ticket(u32::MAX, &[7; 255], &[1; 10], &[0xfa, 0xfa, 0, 0]), false);
        assert!(!sessions.is_empty());
        middle.works();
    });
    for (item, error) in [
        (
            ticket(7200, &[], &[], &[]),
            Error::from(InvalidMessage::IllegalValue("ticket")),
        ),
        (
            ticket(7200, &[], &[1], &[0, 42, 0]),
            InvalidMessage::MissingData("extensions").into(),
        ),
        (
            ticket(7200, &[], &[1], &[]).map(|body| body.truncate(body.len() - 1)),
            InvalidMessage::MissingData("NewSessionTicket").into(),
        ),
        (
            ticket(7200, &[], &[1], &[]).map(|body| body.push(0)),
            InvalidMessage::TrailingData("NewSessionTicket").into(),
        ),
    ] {
        established(Versions::Tls13, |middle, _| {
            middle.client.deliver(item, false);
            middle.client.collect();
            assert_eq!(middle.client.result, Err(error));
            assert_eq!(error.alert(), Some(Alert::DECODE_ERROR));
        });
    }
    // TLS 1.2 has none after the handshake, and none that was not promised.
    established(Versions::Tls12, |middle, _| {
        middle.client.deliver(ticket(7200, &[], &[1], &[]), false);
        assert_eq!(
            middle.client.result,
            Err(PeerMisbehaved::UnexpectedHandshake(HandshakeType::NEW_SESSION_TICKET).into())
        );
    });
}

#[test]
fn a_ticket_that_is_too_long_is_noted_until_the_next_connection() {
    for versions in BOTH {
        let (tickets, sessions) = (tickets(), SessionCache::new());
        let server = server().with_tickets(&tickets);
        let client = client().with_versions(versions).with_sessions(&sessions);
        // Behind the lifetime; in TLS 1.3 also behind age_add and a nonce of one byte or more, and before the extensions.
        let lengthen = |length: usize| {
            move |body: &mut Vec<u8>| {
                let (at, behind): (usize, &[u8]) = match versions {
                    Versions::Tls13 => (9 + usize::from(body[8]), &[0, 0]),
                    _ => (4, &[]),
                };
                body.truncate(at);
                body.extend(vector16(&vec![1; length]));
                body.extend(behind);
            }
        };
        for (length, noted) in [(MAX_TICKET, None), (MAX_TICKET + 1, Some(1537))] {
            between(client, server, |middle| {
                middle.forge = true;
                middle.run(|(from_client, _), item| match item.kind() {
                    Some(4) if !from_client => vec![item.map(lengthen(length))],
                    _ => vec![item],
                });
                assert!(middle.client.is_established() && middle.server.is_established());
                assert_eq!(sessions.oversized(), noted, "{versions:?}");
                assert_eq!(sessions.is_empty(), noted.is_some());
            });
        }
        assert!(!resumes(client, server), "{versions:?}");
        assert_eq!(sessions.oversized(), None, "{versions:?}");
        assert!(resumes(client, server), "{versions:?}");
    }
}

#[test]
fn what_may_not_come_after_the_handshake() {
    for versions in [Versions::Tls13, Versions::Tls12] {
        for from_client in [true, false] {
            for kind in 0..=255 {
                let allowed: &[u8] = match (versions, from_client) {
                    (Versions::Tls13, true) => &[24],
                    (Versions::Tls13, false) => &[4, 24],
                    // A wish to renegotiate is declined.
                    (_, true) => &[1],
                    (_, false) => &[0],
                };
                if allowed.contains(&kind) || (kind > 30 && kind < 250) {
                    continue;
                }
                established(versions, |middle, _| {
                    let end = if from_client {
                        &mut middle.server
                    } else {
                        &mut middle.client
                    };
                    end.deliver(Item::Message(message(kind, &[0; 8])), false);
                    let error = Error::from(PeerMisbehaved::UnexpectedHandshake(HandshakeType(kind)));
                    assert_eq!(end.result, Err(error));
                    assert_eq!(error.alert(), Some(Alert::UNEXPECTED_MESSAGE));
                });
            }
        }
    }
}
