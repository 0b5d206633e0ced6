//! The client against servers on an in-memory network, with and without TLS.

mod tls;

use super::*;
use crate::dial::{DialError, Host, OpenError};
use crate::net::fake::{FakeNetwork, Stream, beside, connection, settle};
use crate::net::{ConnectError, Kind, ResolveError, Transport as _};
use crate::pki::verify::Clock;
use crate::testing::Rng;
use crate::testing::block_on;
use embassy_futures::select::select;
use embassy_time::Duration;
use embedded_io_async::{Read, Write};
use std::boxed::Box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::string::{String, ToString};
use std::vec::Vec;

const REMOTE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)), 10007);
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

fn to(name: Option<&str>) -> ConnectOptions<'_> {
    ConnectOptions {
        host: Host::Address(REMOTE.ip()),
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
            client.run(&networks, Protocol::<Rng>::Plain, || 0).await;
        })],
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
        let named = ConnectOptions {
            host: Host::Name("echo.example"),
            ..to(None)
        };
        let unknown = Err(DialError::Open(OpenError::Resolve(ResolveError::NoSuchName)).into());
        assert_eq!(client.connect(named).await, unknown);
        client.set_proxy(crate::dial::proxy::testing::proxy());
        assert_eq!(client.connect(ConnectOptions { direct: true, ..named }).await, unknown);
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
            error.starts_with(&std::format!("already connected to {there}; ")),
            "{error}"
        );
        client.close().await.unwrap();
        client
            .connect(ConnectOptions {
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
        let via = |netif| ConnectOptions {
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
            (ConnectError::Unreachable, "no address yet, or no route to the host"),
            (
                ConnectError::NoNeighbor,
                "no answer to ARP within 10 s: the host or its gateway is down",
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
            "already connected to 10.0.2.2:10007; use 'client close' first"
        );
        assert!(!first.finished() && network.answered().is_none());
        client.close().await.unwrap();
        client.connect(to(None)).await.unwrap();
        let mut second = network.answered().unwrap();
        assert!(first.finished() && !second.finished());
        // An impossible event has no effect.
        let nowhere = ConnectOptions {
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
            "no longer connected: connection reset by peer"
        );
    });
}

#[test]
fn a_cancelled_request_confuses_no_later_one() {
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
fn what_tls_lacks_is_reported_before_anything_is_dialled() {
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
            client.run(&networks, Protocol::<Rng>::Unable(why), || 0).await;
        })],
    ));
}
