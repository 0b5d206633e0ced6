//! The client over TLS.

use super::*;
use crate::crypto::key::SigningKey;
use crate::pki::verify::Trust;
use crate::tls::{self, ClientAuth, ClientConfig, Connection, FULL_INBOUND, Identity, ServerConfig, Tickets, Versions};
use embassy_futures::select::Either;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use std::cell::{Cell, RefCell};

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
    /// How connections ended: by close_notify, or with an error; and the identity that each client proved.
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
                client.run(&networks, Protocol::Tls(tls), || 0).await;
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
            assert!(!session.description.resumed && session.to_string().ends_with("CN=the server (no name verified)"));
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
    let fetching = fetch::fetch(near, config, Rng(1), buffers, &mut text);
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
                "certificate does not match other.example: it is for echo.example",
                tls::AlertDescription::BAD_CERTIFICATE,
            ),
            (
                &good,
                Some("10.0.2.2"),
                "certificate does not match 10.0.2.2: it is for echo.example",
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
fn a_server_that_wants_a_certificate_gets_it_or_its_refusal_is_reported() {
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
                _ => "no longer connected: the server refused: certificate_required",
            };
            assert_eq!(refusal, expected);
        });
    }
}

#[test]
fn what_is_no_tls_server_is_found_out() {
    let ca = Ca::new("Our CA");
    // A peer that only listens.
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
        "the server closed the connection during the TLS handshake"
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
        // The caller has gone, and the server sent nothing.
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
fn an_end_without_close_notify_is_distinguished_from_one_with() {
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
                "no longer connected: the server closed the connection without close_notify; the data may be truncated"
            } else {
                "no longer connected: the server closed the connection"
            };
            match select(asking, serving).await {
                Either::First(outcome) => assert_eq!(outcome, (3, expected.to_string())),
                Either::Second(()) => unreachable!(),
            }
        });
    }
}
