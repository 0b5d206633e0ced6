//! The client against servers at the other end of an in-memory network, TLS ones included.

use super::*;
use crate::crypto::key::SigningKey;
use crate::dial::{DialError, Host};
use crate::net::fake::{FakeNetwork, Stream, beside, connection, settle};
use crate::net::{ConnectError, Kind, Transport as _};
use crate::pki::verify::{Clock, Trust};
use crate::testing::Rng;
use crate::testing::block_on;
use crate::tls::{self, ClientAuth, ClientConfig, Connection, FULL_INBOUND, Identity, ServerConfig, Tickets, Versions};
use embassy_futures::select::{Either, select};
use embassy_time::Duration;
use embedded_io_async::{Read, Write};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use std::boxed::Box;
use std::cell::{Cell, RefCell};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::string::{String, ToString};
use std::vec::Vec;

const REMOTE: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 0, 2, 2), 10007);
const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(30);
/// 2026-01-01 00:00:00 UTC.
const NOW: u64 = 1_767_225_600;

fn clock() -> Clock {
    Clock {
        now: NOW,
        floor: NOW - 86_400,
    }
}

fn to(name: Option<&str>) -> Target<'_> {
    Target {
        host: Host::Address(*REMOTE.ip()),
        port: REMOTE.port(),
        name,
        netif: None,
        direct: false,
    }
}

fn with_plain<T>(network: &FakeNetwork, work: impl AsyncFnOnce(&Client) -> T) -> T {
    let client = Client::new(Kind::Plain);
    let networks = [network.clone()];
    block_on(beside(
        work(&client),
        vec![Box::pin(async {
            client.run(&networks, Speech::<Rng>::Plain).await;
        })],
    ))
}

/// A CA, and the certificates that it has issued.
struct Ca(CertifiedIssuer<'static, KeyPair>);

/// A certificate chain with its key.
struct Credentials {
    chain: [Vec<u8>; 1],
    key: SigningKey,
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Ca(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, subject: &str, last_year: i32) -> Credentials {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["echo.example".to_string()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, subject);
        (params.not_before, params.not_after) = (date_time_ymd(2024, 1, 1), date_time_ymd(last_year, 2, 1));
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Credentials {
            chain: [certificate.der().to_vec()],
            key: SigningKey::from_der("PRIVATE KEY", &key.serialize_der()).unwrap(),
        }
    }
}

/// What the server at the other end is like.
struct Server<'a> {
    credentials: &'a Credentials,
    versions: Versions,
    auth: ClientAuth<'a>,
    tickets: Tickets,
    /// How connections ended: by close_notify, or with an error; and which client proved to be whom.
    ends: RefCell<Vec<Result<(), tls::Error>>>,
    clients: RefCell<Vec<Option<String>>>,
}

impl<'a> Server<'a> {
    fn new(credentials: &'a Credentials, versions: Versions) -> Self {
        Server {
            credentials,
            versions,
            auth: ClientAuth::Off,
            tickets: Tickets::new(&mut Rng(9 << 40), NOW).unwrap(),
            ends: RefCell::default(),
            clients: RefCell::default(),
        }
    }

    /// Echoes on every connection that is opened, one after the other.
    async fn run(&self, network: &FakeNetwork) {
        for seed in 100.. {
            let mut stream = loop {
                match network.answered() {
                    Some(stream) => break stream,
                    None => embassy_futures::yield_now().await,
                }
            };
            let end = self.serve(&mut stream, seed).await;
            self.ends.borrow_mut().push(end);
            stream.shutdown();
        }
    }

    async fn serve(&self, stream: &mut Stream, seed: u64) -> Result<(), tls::Error> {
        let chain = [&self.credentials.chain[0][..]];
        let identities = [Identity::new(&chain, &self.credentials.key).unwrap()];
        let config = ServerConfig::new(&identities, clock())
            .unwrap()
            .with_versions(self.versions)
            .with_client_auth(self.auth)
            .with_tickets(&self.tickets);
        let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
        let connection = Connection::server(config, &mut inbound, &mut outbound).unwrap();
        let mut stream = tls::Stream::new(stream, connection);
        let tls_error = |error| match error {
            tls::StreamError::Tls(error) => error,
            other => panic!("{other}"),
        };
        stream.handshake(&mut Rng(seed << 32)).await.map_err(tls_error)?;
        let peer = stream.info().peer.map(|peer| peer.subject.as_str().to_string());
        self.clients.borrow_mut().push(peer);
        let mut buffer = vec![0; 20_000];
        loop {
            match stream.read(&mut buffer).await.map_err(tls_error)? {
                0 => break,
                count => stream.write_all(&buffer[..count]).await.map_err(tls_error)?,
            }
            stream.flush().await.map_err(tls_error)?;
        }
        stream.close().await.map_err(tls_error)
    }
}

/// A network where `server` answers, if there is one, and a client that trusts `ca` (and has `identity`).
fn with_tls<T>(
    ca: &Ca,
    identity: Option<&Credentials>,
    server: Option<&Server<'_>>,
    handshake: Duration,
    work: impl AsyncFnOnce(&Client, &FakeNetwork) -> T,
) -> T {
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
    with_buffers(ca, identity, server, handshake, [&mut inbound, &mut outbound], work)
}

/// The same with these buffers.
fn with_buffers<T>(
    ca: &Ca,
    identity: Option<&Credentials>,
    server: Option<&Server<'_>>,
    handshake: Duration,
    [inbound, outbound]: [&mut [u8]; 2],
    work: impl AsyncFnOnce(&Client, &FakeNetwork) -> T,
) -> T {
    let anchors = [&ca.0.der()[..]];
    let trust = Trust::new(&anchors);
    let chain = identity.map(|credentials| [&credentials.chain[0][..]]);
    let identity = identity
        .zip(chain.as_ref())
        .map(|(credentials, chain)| Identity::new(chain, &credentials.key).unwrap());
    let config = ClientConfig::new(&trust, None, clock());
    let config = match identity {
        Some(identity) => config.with_identity(identity),
        None => config,
    };
    let tls = TlsClient::new(config, clock, handshake, Rng(1), inbound, outbound);
    let (client, network) = (Client::new(Kind::Tls), FakeNetwork::default());
    let networks = [network.clone()];
    block_on(beside(
        work(&client, &network),
        vec![
            Box::pin(async {
                client.run(&networks, Speech::Tls(tls)).await;
            }),
            Box::pin(async {
                match server {
                    Some(server) => server.run(&network).await,
                    None => core::future::pending().await,
                }
            }),
        ],
    ))
}

async fn heard(peer: &mut Stream) -> String {
    settle().await;
    peer.arrived()
}

async fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        embassy_futures::yield_now().await;
    }
}

fn status(client: &Client) -> String {
    let mut out = String::new();
    client.write_status(&mut out).unwrap();
    out
}

/// The lines of the log that come after the one with `mark`.
fn logged_after(mark: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut at = 0;
    while let Some(line) = crate::log::read_from(at) {
        at = line.number + 1;
        lines.push(line.text.as_str().to_string());
    }
    let from = lines.iter().position(|line| line.contains(mark)).unwrap();
    lines.split_off(from + 1)
}

#[test]
fn plain_connects_sends_and_closes() {
    let network = FakeNetwork::default();
    with_plain(&network, async |client| {
        assert_eq!(client.send(b"x").await, Err(ClientError::NotConnected));
        assert_eq!(status(client), "");
        assert_eq!(client.connect(to(None)).await, Ok(None));
        assert!(client.is_connected());
        let mut peer = network.answered().unwrap();
        assert_eq!(client.send(b"Hello, BitVisor!\n").await, Ok(()));
        assert_eq!(heard(&mut peer).await, "Hello, BitVisor!\n");
        assert_eq!(
            status(client),
            "plain echo client connected to 10.0.2.2:10007, in 0 out 17, 0 s\n"
        );
        assert_eq!(client.close().await, Ok(()));
        assert!(peer.finished());
        assert_eq!(
            (client.is_connected(), client.close().await),
            (false, Err(ClientError::NotConnected))
        );
    });
}

#[test]
fn a_proxy_is_used_unless_it_is_not_wanted() {
    let network = FakeNetwork::default();
    with_plain(&network, async |client| {
        let named = Target {
            host: Host::Name("echo.example"),
            ..to(None)
        };
        assert_eq!(client.connect(named).await, Err(ClientError::NotLookedUp));
        client.set_proxy(crate::dial::proxy::testing::proxy());
        assert_eq!(
            client.connect(Target { direct: true, ..named }).await,
            Err(ClientError::NotLookedUp)
        );
        let play = async |answer: &str| {
            until(|| !network.is_quiet()).await;
            let peer = network.answered().unwrap();
            settle().await;
            let asked = peer.arrived();
            peer.say(answer);
            (peer, asked)
        };
        let (refused, _) = embassy_futures::join::join(client.connect(to(None)), play("HTTP/1.1 403 No\r\n\r\n")).await;
        assert_eq!(refused.unwrap_err().to_string(), "the proxy refused: 403 No");
        let opened = "HTTP/1.1 200 OK\r\n\r\n";
        let (connected, (mut peer, asked)) = embassy_futures::join::join(client.connect(named), play(opened)).await;
        assert_eq!(connected, Ok(None));
        assert!(asked.starts_with("CONNECT echo.example:10007 HTTP/1.1\r\n"), "{asked}");
        assert_eq!(client.send(b"x").await, Ok(()));
        assert_eq!(heard(&mut peer).await, "x");
        let there = "echo.example:10007 through the proxy";
        assert_eq!(
            status(client),
            std::format!("plain echo client connected to {there}, in 0 out 1, 0 s\n")
        );
        let error = client.connect(to(None)).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&std::format!("still connected to {there}; ")),
            "{error}"
        );
        client.close().await.unwrap();
        client
            .connect(Target {
                direct: true,
                ..to(None)
            })
            .await
            .unwrap();
        assert_eq!(network.answered().unwrap().arrived(), "");
        assert!(status(client).contains(" connected to 10.0.2.2:10007, "));
    });
}

#[test]
fn failures_are_named() {
    let network = FakeNetwork::default();
    with_plain(&network, async |client| {
        let long = "x".repeat(40);
        let via = |netif| Target {
            netif: Some(netif),
            ..to(None)
        };
        let absent = Err(DialError::NoSuchInterface.into());
        assert_eq!(client.connect(via("vm7")).await, absent);
        assert_eq!(client.connect(via(&long)).await, absent);
        assert_eq!(
            client.connect(to(Some(&"x".repeat(254)))).await,
            Err(ClientError::NotAName)
        );
        for (error, text) in [
            (ConnectError::Refused, "connection refused"),
            (ConnectError::TimedOut, "no answer within 10 s"),
            (ConnectError::Unreachable, "no address yet, or no route to there"),
            (
                ConnectError::NoNeighbor,
                "no answer to ARP within 10 s: the host is down, or the gateway to it",
            ),
        ] {
            network.refuse(error);
            assert_eq!(client.connect(via("vm0")).await.unwrap_err().to_string(), text);
        }
        assert_eq!(client.send(&[0; MESSAGE + 1]).await, Err(ClientError::TooLong));
    });
}

#[test]
fn an_open_connection_is_left_alone_and_the_peers_end_is_noticed() {
    let network = FakeNetwork::default();
    with_plain(&network, async |client| {
        client.connect(to(None)).await.unwrap();
        let first = network.answered().unwrap();
        let error = client.connect(to(None)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "still connected to 10.0.2.2:10007; 'client close' ends that"
        );
        assert!(!first.finished() && network.answered().is_none());
        client.close().await.unwrap();
        client.connect(to(None)).await.unwrap();
        let mut second = network.answered().unwrap();
        assert!(first.finished() && !second.finished());
        // What cannot come about hurts nobody.
        let nowhere = Target {
            netif: Some("vm7"),
            ..to(None)
        };
        assert_eq!(client.connect(nowhere).await, Err(DialError::NoSuchInterface.into()));
        assert!(client.is_connected());
        second.say(b"some\r\ntext \x1b[2J\n\xff");
        second.shutdown();
        settle().await;
        assert_eq!(client.flow(), (0, 17));
        assert!(!client.is_connected());
        assert_eq!(client.send(b"x").await, Err(ClientError::Ended(Ended::Closed)));
        assert_eq!(
            status(client),
            "plain echo client not connected: 10.0.2.2:10007, in 17 out 0, 0 s ago: the server closed the connection\n"
        );
        client.connect(to(None)).await.unwrap();
        drop(network.answered());
        settle().await;
        assert_eq!(
            client.send(b"x").await.unwrap_err().to_string(),
            "not connected any more: connection reset by peer"
        );
    });
}

#[test]
fn a_request_whose_asker_has_gone_confuses_nobody() {
    let network = FakeNetwork::default();
    with_plain(&network, async |client| {
        client.connect(to(None)).await.unwrap();
        // The client gets the request; the asker does not wait for the answer.
        let _ = select(client.close(), settle()).await;
        let mut asked = Box::pin(client.connect(to(None)));
        let _ = embassy_futures::poll_once(asked.as_mut());
        drop(asked);
        assert_eq!(client.send(b"x").await, Err(ClientError::NotConnected));
    });
}

#[test]
fn what_comes_is_logged_line_by_line_in_bounded_amounts() {
    crate::log::init(|_| {});
    let network = FakeNetwork::default();
    with_plain(&network, async |client| {
        client.connect(to(None)).await.unwrap();
        let mut peer = network.answered().unwrap();
        ::log::info!("mark one");
        peer.say("Test 123 Message from server.\nand \x1b[2J more\n");
        settle().await;
        let lines = logged_after("mark one");
        let own: Vec<_> = lines
            .iter()
            .map(String::as_str)
            .filter(|line| ["Received.", "Test 123 Message from server.", "and \\u{1b}[2J more"].contains(line))
            .collect();
        assert!(
            own.windows(3)
                .any(|window| window == ["Received.", "Test 123 Message from server.", "and \\u{1b}[2J more"]),
            "{lines:?}"
        );
        // A long line in pieces that the log does not cut.
        peer.say("ü\u{7}x".repeat(100));
        settle().await;
        let long: Vec<_> = logged_after("mark one")
            .into_iter()
            .filter(|line| line.contains("\\u{7}x"))
            .collect();
        assert!(
            long.len() >= 3 && long.iter().all(|line| !line.contains('…')),
            "{long:?}"
        );
        assert_eq!(long.concat().matches('ü').count(), 100);
        ::log::info!("mark two");
        for _ in 0..1000 {
            peer.say("f1ood\n".repeat(100));
            settle().await;
        }
        peer.shutdown();
        until(|| !client.is_connected()).await;
        assert_eq!(client.flow().1, 44 + 400 + 600_000);
        let shown = logged_after("mark two");
        let shown = shown.iter().filter(|line| line.as_str() == "f1ood").count();
        assert!((50..1000).contains(&shown), "{shown}");
    });
}

#[test]
fn tls_of_both_versions_connects_sends_resumes_and_closes() {
    let ca = Ca::new("Our CA");
    let credentials = ca.issue("the server", 2027);
    for (versions, version) in [(Versions::Both, "TLSv1.3"), (Versions::Tls12, "TLSv1.2")] {
        let server = Server::new(&credentials, versions);
        with_tls(&ca, None, Some(&server), LONG, async |client, _| {
            let session = client.connect(to(Some("echo.example"))).await.unwrap().unwrap();
            assert_eq!(
                (session.description.version, session.description.resumed),
                (version, false)
            );
            assert_eq!(session.description.subject.unwrap().as_str(), "CN=the server");
            assert!(session.named && !session.to_string().contains("no name"));
            client.send(b"Hello, BitVisor with TLS!\n").await.unwrap();
            until(|| client.flow() == (26, 26)).await;
            let status = status(client);
            assert!(
                status.starts_with("tls echo client connected to 10.0.2.2:10007, in 26 out 26, ")
                    && status.contains(", server CN=the server, sha256:")
                    && status.contains(&std::format!("\n  {version} {} ", session.description.suite)),
                "{status}"
            );
            client.close().await.unwrap();
            until(|| server.ends.borrow().len() == 1).await;
            // Another name is another server, and no name is none of them.
            let session = client.connect(to(Some("echo.example"))).await.unwrap().unwrap();
            assert!(session.description.resumed && session.to_string().contains(", resumed, server CN=the server"));
            client.send(b"again").await.unwrap();
            until(|| client.flow() == (5, 5)).await;
            client.close().await.unwrap();
            let session = client.connect(to(None)).await.unwrap().unwrap();
            assert!(
                !session.description.resumed && session.to_string().ends_with("CN=the server (no name was asked for)")
            );
            client.send(b"any").await.unwrap();
            until(|| client.flow() == (3, 3)).await;
            client.close().await.unwrap();
            until(|| server.ends.borrow().len() == 3).await;
            assert_eq!(*server.ends.borrow(), [Ok(()); 3]);
        });
    }
}

#[test]
fn buffers_are_overwritten_after_a_connection() {
    let ca = Ca::new("Our CA");
    let (credentials, expired) = (ca.issue("the server", 2027), ca.issue("the server", 2025));
    for versions in [Versions::Both, Versions::Tls12] {
        for (credentials, verified) in [(&credentials, true), (&expired, false)] {
            let server = Server::new(credentials, versions);
            let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
            let buffers = [&mut inbound[..], &mut outbound];
            with_buffers(&ca, None, Some(&server), LONG, buffers, async |client, _| {
                assert_eq!(client.connect(to(None)).await.is_ok(), verified);
                if verified {
                    client.send(b"a secret").await.unwrap();
                    until(|| client.flow() == (8, 8)).await;
                    client.close().await.unwrap();
                }
            });
            let left = [inbound, outbound].map(|buffer| buffer.iter().filter(|byte| **byte != 0).count());
            assert_eq!(left, [0, 0], "{versions:?} {verified}");
        }
    }
}

#[test]
fn buffers_of_a_fetch_are_overwritten_where_it_is_given_up() {
    let ca = Ca::new("Our CA");
    let credentials = ca.issue("the server", 2027);
    let server = Server::new(&credentials, Versions::Both);
    let anchors = [&ca.0.der()[..]];
    let trust = Trust::new(&anchors);
    let (near, mut far) = connection(40_000, 10007, 1 << 16);
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
    let config = ClientConfig::new(&trust, None, clock());
    let (buffers, mut text) = ([&mut inbound[..], &mut outbound], [0; 100]);
    let fetching = crate::client::fetch::fetch(near, config, Rng(1), buffers, &mut text);
    let connected = until(|| !server.clients.borrow().is_empty());
    // It waits for the text when it is cancelled.
    let served = select(server.serve(&mut far, 100), connected);
    assert!(matches!(
        block_on(select(fetching, served)),
        Either::Second(Either::Second(()))
    ));
    let left = [inbound, outbound].map(|buffer| buffer.iter().filter(|byte| **byte != 0).count());
    assert_eq!(left, [0, 0]);
}

#[test]
fn a_certificate_that_does_not_verify_is_refused_by_its_own_words() {
    let (ca, other) = (Ca::new("Our CA"), Ca::new("Another CA"));
    let (good, expired, foreign) = (
        ca.issue("good", 2027),
        ca.issue("expired", 2024),
        other.issue("foreign", 2027),
    );
    for versions in [Versions::Both, Versions::Tls12] {
        for (credentials, name, text, alert) in [
            (
                &foreign,
                None,
                "issuer unknown: CN=Another CA",
                tls::AlertDescription::UNKNOWN_CA,
            ),
            (
                &expired,
                None,
                "certificate expired 2024-02-01",
                tls::AlertDescription::CERTIFICATE_EXPIRED,
            ),
            (
                &good,
                Some("other.example"),
                "certificate is not for other.example, but for echo.example",
                tls::AlertDescription::BAD_CERTIFICATE,
            ),
            (
                &good,
                Some("10.0.2.2"),
                "certificate is not for 10.0.2.2, but for echo.example",
                tls::AlertDescription::BAD_CERTIFICATE,
            ),
        ] {
            let server = Server::new(credentials, versions);
            with_tls(&ca, None, Some(&server), LONG, async |client, _| {
                let error = client.connect(to(name)).await.unwrap_err();
                assert!(error.to_string().starts_with(text), "{error}");
                until(|| !server.ends.borrow().is_empty()).await;
                assert_eq!(*server.ends.borrow(), [Err(tls::Error::AlertReceived(alert))]);
                assert_eq!(
                    (client.is_connected(), client.send(b"x").await),
                    (false, Err(ClientError::NotConnected))
                );
            });
        }
    }
}

#[test]
fn a_server_that_wants_a_certificate_gets_it_or_its_refusal_is_told() {
    let ca = Ca::new("Our CA");
    let (credentials, mine) = (ca.issue("the server", 2027), ca.issue("the client", 2027));
    let anchors = [&ca.0.der()[..]];
    let trust = Trust::new(&anchors);
    for versions in [Versions::Tls13, Versions::Tls12] {
        let mut server = Server::new(&credentials, versions);
        server.auth = ClientAuth::Required(&trust);
        with_tls(&ca, Some(&mine), Some(&server), LONG, async |client, _| {
            client.connect(to(None)).await.unwrap();
            client.send(b"it is me").await.unwrap();
            until(|| client.flow() == (8, 8)).await;
        });
        assert_eq!(*server.clients.borrow(), [Some("CN=the client".to_string())]);
        with_tls(&ca, None, Some(&server), LONG, async |client, _| {
            let refusal = match client.connect(to(None)).await {
                // The refusal comes after our last word of the handshake.
                Ok(_) => {
                    until(|| !client.is_connected()).await;
                    let status = status(client);
                    assert!(
                        status.ends_with(": the server refused: certificate_required\n"),
                        "{status}"
                    );
                    client.send(b"x").await.unwrap_err().to_string()
                }
                Err(error) => error.to_string(),
            };
            let expected = match versions {
                Versions::Tls12 => "the server refused: handshake_failure",
                _ => "not connected any more: the server refused: certificate_required",
            };
            assert_eq!(refusal, expected);
        });
    }
}

#[test]
fn what_is_no_tls_server_is_found_out() {
    let ca = Ca::new("Our CA");
    // Somebody who only listens.
    with_tls(&ca, None, None, SHORT, async |client, network| {
        let error = client.connect(to(None)).await.unwrap_err();
        assert_eq!(error, ClientError::HandshakeTimedOut(SHORT));
        let peer = network.answered().unwrap();
        assert!(peer.finished() && !peer.was_reset());
    });
    let answered = |reaction: fn(Stream) -> Option<Stream>| {
        with_tls(&ca, None, None, LONG, async |client, network| {
            let answer = async {
                settle().await;
                let peer = reaction(network.answered().unwrap());
                core::future::pending::<()>().await;
                drop(peer);
            };
            match select(client.connect(to(None)), answer).await {
                Either::First(connected) => connected.unwrap_err().to_string(),
                Either::Second(()) => unreachable!(),
            }
        })
    };
    assert_eq!(
        answered(|mut peer| {
            peer.shutdown();
            Some(peer)
        }),
        "the server closed the connection in the TLS handshake"
    );
    assert_eq!(answered(|_| None), "connection reset by peer");
    assert_eq!(
        answered(|peer| {
            peer.say("HTTP/1.1 400 Bad Request\r\n\r\n");
            Some(peer)
        }),
        "not TLS: a record cannot begin with byte 0x48"
    );
    assert_eq!(
        answered(|peer| {
            peer.say([21, 3, 3, 0, 2, 2, 70]);
            Some(peer)
        }),
        "the server refused: protocol_version"
    );
}

#[test]
fn opening_can_be_given_up() {
    let ca = Ca::new("Our CA");
    let credentials = ca.issue("the server", 2027);
    let server = Server::new(&credentials, Versions::Both);
    with_tls(&ca, None, None, LONG, async |client, network| {
        let begin = async || {
            let _ = select(client.connect(to(None)), settle()).await;
            assert_eq!(status(client), "tls echo client connecting to 10.0.2.2:10007\n");
            network.answered().unwrap()
        };
        // Who asked has gone, and the server says nothing.
        let silent = begin().await;
        assert_eq!(client.close().await, Ok(()));
        assert!(silent.was_reset());
        assert_eq!(status(client), "");
        let silent = begin().await;
        let mut asked = Box::pin(client.connect(to(None)));
        let served = async {
            settle().await;
            let mut stream = network.answered().unwrap();
            server.serve(&mut stream, 7).await
        };
        match select(asked.as_mut(), served).await {
            Either::First(connected) => assert!(connected.unwrap().is_some()),
            Either::Second(end) => panic!("{end:?}"),
        }
        assert!(silent.was_reset());
    });
}

#[test]
fn an_end_without_close_notify_is_told_from_one_with() {
    let ca = Ca::new("Our CA");
    let credentials = ca.issue("the server", 2027);
    let chain = [&credentials.chain[0][..]];
    for cut in [true, false] {
        with_tls(&ca, None, None, LONG, async |client, network| {
            let connected = Cell::new(false);
            let serving = async {
                settle().await;
                let mut stream = network.answered().unwrap();
                let identities = [Identity::new(&chain, &credentials.key).unwrap()];
                let config = ServerConfig::new(&identities, clock()).unwrap();
                let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 20_000]);
                let connection = Connection::server(config, &mut inbound, &mut outbound).unwrap();
                {
                    let mut stream = tls::Stream::new(&mut stream, connection);
                    stream.handshake(&mut Rng(5 << 40)).await.unwrap();
                    until(|| connected.get()).await;
                    stream.write_all(b"bye").await.unwrap();
                    stream.flush().await.unwrap();
                    if !cut {
                        stream.close().await.unwrap();
                    }
                }
                stream.shutdown();
                core::future::pending::<()>().await;
            };
            let asking = async {
                client.connect(to(None)).await.unwrap();
                connected.set(true);
                until(|| !client.is_connected()).await;
                (client.flow().1, client.send(b"x").await.unwrap_err().to_string())
            };
            let expected = if cut {
                "not connected any more: the server ended the connection without close_notify; what came may be cut short"
            } else {
                "not connected any more: the server closed the connection"
            };
            match select(asking, serving).await {
                Either::First(told) => assert_eq!(told, (3, expected.to_string())),
                Either::Second(()) => unreachable!(),
            }
        });
    }
}

#[test]
fn what_tls_lacks_is_said_before_anybody_is_called() {
    let network = FakeNetwork::default();
    let client = Client::new(Kind::Tls);
    let networks = [network.clone()];
    let why = "no CA is configured: .tls.ca_cert is empty";
    block_on(beside(
        async {
            assert_eq!(client.connect(to(None)).await, Err(ClientError::NoTls(why)));
            assert!(network.answered().is_none());
            assert_eq!(client.close().await, Err(ClientError::NotConnected));
        },
        vec![Box::pin(async {
            client.run(&networks, Speech::<Rng>::Unable(why)).await;
        })],
    ));
}
