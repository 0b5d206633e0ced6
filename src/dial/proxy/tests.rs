//! Requests to proxies, and their responses, whole and in pieces.

use super::testing::configured as proxy;
use super::*;
use crate::dial::{DialError, reach};
use crate::net::fake::{FakeNetwork, Stream, beside, settle};
use crate::net::{ConnectError, ResolveError};
use crate::testing::block_on;
use std::string::{String, ToString};

/// What is said to an answer that comes a byte at a time, and how much of it is the head; `None`: it goes on.
fn classify(answer: &[u8]) -> (Option<Result<(), String>>, usize) {
    let mut reader = ResponseHead::new();
    for (count, &byte) in (1..).zip(answer) {
        if let Some(verdict) = reader.take(byte) {
            return (Some(verdict.map_err(|error| error.to_string())), count);
        }
    }
    (None, answer.len())
}

fn refusal(answer: &[u8]) -> String {
    classify(answer).0.unwrap().unwrap_err()
}

#[test]
fn a_tunnel_opens_with_the_last_byte_of_the_head_and_no_other() {
    for head in [
        "HTTP/1.1 200 Connection established\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nProxy-agent: tinyproxy/1.11.1\r\n\r\n",
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200\r\n\r\n",
        "HTTP/1.1 299 \r\nX: y\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 None\r\n\r\n",
        // Not empty, the line with the lonely CR.
        "HTTP/1.1 200 OK\r\nX: y\r\nz\r\r\n\r\n",
    ] {
        let mut stream = head.as_bytes().to_vec();
        stream.extend_from_slice(b"\x16\x03\x03\r\n\r\n");
        assert_eq!(classify(&stream), (Some(Ok(())), head.len()), "{head:?}");
        // Cut at each byte there is no verdict yet, and the end would be too early.
        for cut in 0..head.len() {
            assert_eq!(classify(&stream[..cut]), (None, cut), "{head:?}");
            let mut reader = ResponseHead::new();
            for &byte in &stream[..cut] {
                assert!(reader.take(byte).is_none());
            }
            assert_eq!(reader.cut_short(), ProxyError::Closed);
        }
    }
}

#[test]
fn refusals_are_reported_in_the_proxys_words() {
    let wants = "the proxy requires authentication: set .proxy.user and .proxy.password";
    for (head, text) in [
        (
            "HTTP/1.1 403 Forbidden\r\n\r\n<html>",
            "the proxy refused: 403 Forbidden",
        ),
        ("HTTP/1.0 502 Bad Gateway\n\n", "the proxy refused: 502 Bad Gateway"),
        ("HTTP/1.1 503\r\n\r\n", "the proxy refused: 503"),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://x/\r\n\r\n",
            "the proxy refused: 302 Found",
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "the proxy refused: 101 Switching Protocols",
        ),
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
            wants,
        ),
        // Bytes above ASCII in a reason are nothing that can be shown.
        ("HTTP/1.1 500 \u{202e}\r\n\r\n", "the proxy refused: 500"),
    ] {
        assert_eq!(refusal(head.as_bytes()), text, "{head:?}");
    }
    let long = std::format!("HTTP/1.1 500 {}\r\n\r\n", "x".repeat(200));
    assert!(refusal(long.as_bytes()).len() < 100);
    // What refused and hung up in the middle of its head has refused.
    let mut reader = ResponseHead::new();
    assert!(
        b"HTTP/1.1 403 No\r\nServer:"
            .iter()
            .all(|&byte| reader.take(byte).is_none())
    );
    assert_eq!(reader.cut_short().to_string(), "the proxy refused: 403 No");
}

#[test]
fn what_is_no_answer_is_noticed_early() {
    for (bytes, after) in [
        (&b"SSH-2.0-OpenSSH_9.2\r\n"[..], 1),
        (b"220 mail.example ESMTP\r\n", 1),
        (b"\x15\x03\x01\x00\x02\x02\x0a", 1),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", 1),
        (b"HTTP/2.0 200 OK\r\n\r\n", 6),
        (b"HTTP/1.1 2000 OK\r\n\r\n", 18),
        (b"HTTP/1.1 OK\r\n\r\n", 13),
        (b"HTTP/1.1\r\n\r\n", 10),
        (b"HTTP/1.1 200 \x1b[2J\r\n\r\n", 19),
    ] {
        let refused = Some(Err("the proxy's response is not HTTP/1".to_string()));
        assert_eq!(classify(bytes), (refused, after), "{bytes:?}");
    }
    let endless = [b"HTTP/1.1 200 ".to_vec(), b"x".repeat(300)].concat();
    let long = "the proxy's response is longer than 4096 bytes";
    assert_eq!(classify(&endless), (Some(Err(long.into())), MAX_STATUS + 1));
    for filler in [&b"X: y\r\n"[..], b"z", b"\xff\0"] {
        let endless = [b"HTTP/1.1 200 OK\r\n".to_vec(), filler.repeat(6000)].concat();
        assert_eq!(classify(&endless), (Some(Err(long.into())), MAX_HEAD + 1));
    }
    let interim = b"HTTP/1.1 100 Continue\r\n\r\n".repeat(500);
    assert_eq!(classify(&interim), (Some(Err(long.into())), MAX_HEAD + 1));
}

const PLACE: &str = ".ipaddr = { 10, 0, 2, 2 }, .port = 3128,";

/// Reaches a host through a proxy, which `play` plays; what came of it, and what the proxy heard in the end.
fn through<T>(
    keys: &str,
    host: Host<'_>,
    play: impl AsyncFnOnce(Stream, String) -> T,
) -> (Result<Stream, DialError>, T) {
    let (proxy, network) = (proxy(keys).unwrap(), FakeNetwork::default());
    block_on(beside(
        async {
            embassy_futures::join::join(reach(&network, Some(&proxy), host, 10007, || 0), async {
                let mut stream = None;
                while stream.is_none() {
                    embassy_futures::yield_now().await;
                    stream = network.answered();
                }
                settle().await;
                let stream = stream.unwrap();
                let asked = stream.arrived();
                play(stream, asked).await
            })
            .await
        },
        std::vec![],
    ))
}

#[test]
fn a_proxy_is_asked_by_name_or_address_and_what_follows_its_head_is_the_hosts() {
    for (keys, host, expected) in [
        (
            PLACE.to_string(),
            Host::Name("echo.example"),
            "CONNECT echo.example:10007 HTTP/1.1\r\nHost: echo.example:10007\r\n\r\n",
        ),
        (
            ".host = \"home.example\", .port = 3128, .user = \"Aladdin\", .password = \"open sesame\"".to_string(),
            Host::Address([192, 168, 40, 50].into()),
            // The login is the example of RFC 7617 §2.
            "CONNECT 192.168.40.50:10007 HTTP/1.1\r\nHost: 192.168.40.50:10007\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n",
        ),
        (
            ".ipaddr = \"fe80::2\", .port = 3128".to_string(),
            Host::Address("2001:db8::50".parse().unwrap()),
            "CONNECT [2001:db8::50]:10007 HTTP/1.1\r\nHost: [2001:db8::50]:10007\r\n\r\n",
        ),
    ] {
        let (reached, peer) = through(&keys, host, async |peer, asked| {
            assert_eq!(asked, expected);
            peer.say("HTTP/1.1 200 Connection ");
            settle().await;
            peer.say("established\r\nVia: x\r\n\r\n\r\nfirst words");
            settle().await;
            peer
        });
        let stream = reached.unwrap();
        assert_eq!(stream.arrived(), "\r\nfirst words");
        assert!(!peer.was_reset());
    }
}

#[test]
fn a_proxy_that_gives_no_tunnel_loses_the_connection() {
    let login = std::format!("{PLACE} .user = \"a\", .password = \"b\"");
    for (keys, answer, expected) in [
        (PLACE, "HTTP/1.1 407 No\r\n\r\n", ProxyError::WantsLogin),
        (&login, "HTTP/1.1 407 No\r\n\r\n", ProxyError::WrongLogin),
        (&login, "HTTP/1.0 401 No\r\n\r\n", ProxyError::WrongLogin),
        (
            PLACE,
            "HTTP/1.0 401 No\r\n\r\n",
            ProxyError::Refused(401, Text::new("No")),
        ),
        (PLACE, "garbage", ProxyError::NotHttp),
        (PLACE, "", ProxyError::Closed),
        (PLACE, "HTTP/1.1 200 OK\r\n", ProxyError::Closed),
    ] {
        let (reached, ()) = through(keys, Host::Name("echo.example"), async |mut peer, _| {
            peer.say(answer);
            if expected == ProxyError::Closed {
                peer.shutdown();
            }
            while !peer.was_reset() {
                embassy_futures::yield_now().await;
            }
        });
        assert_eq!(reached.err(), Some(DialError::Proxy(expected)), "{answer:?}");
    }
}

#[test]
fn an_unreachable_proxy_and_an_unreachable_host_are_distinguished() {
    let network = FakeNetwork::default();
    let reach =
        |proxy: Option<Proxy>, host| block_on(reach(&network, proxy.as_ref(), Host::Name(host), 7, || 0)).map(drop);
    assert_eq!(
        reach(None, "nowhere.example"),
        Err(DialError::Open(OpenError::Resolve(ResolveError::NoSuchName)))
    );
    let lost = proxy(".host = \"nowhere.example\", .port = 1");
    let error = reach(lost, "home.example").unwrap_err();
    let DialError::Proxy(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.to_string(), "cannot resolve the proxy's name: host not found");
    network.refuse(ConnectError::Refused);
    let error = reach(None, "home.example").unwrap_err();
    assert_eq!(error.to_string(), "connection refused (10.0.2.2:7)");
    let error = reach(proxy(PLACE), "home.example").unwrap_err();
    let DialError::Proxy(error) = error else {
        panic!("{error:?}")
    };
    assert_eq!(error.to_string(), "the proxy: connection refused");
}

#[test]
fn the_login_is_sent_whole_and_never_shown() {
    let (user, password) = ("u".repeat(MAX_USER), "p".repeat(MAX_PASSWORD));
    let longest = proxy(&std::format!("{PLACE} .user = \"{user}\", .password = \"{password}\"")).unwrap();
    let mut decoded = [0; LOGIN];
    let decoded = Base64::decode(longest.login(), &mut decoded).unwrap();
    assert_eq!(decoded, std::format!("{user}:{password}").as_bytes());
    assert!(longest.has_login());
    assert_eq!(
        std::format!("{longest} {longest:?}"),
        "10.0.2.2:3128 Proxy(10.0.2.2:3128)"
    );
    assert!(!proxy(PLACE).unwrap().has_login());
    for none in [
        "",
        ".ipaddr = { 0, 0, 0, 0 }, .host = \"\", .port = 0, .user = \"\", .password = \"\"",
    ] {
        assert!(proxy(none).is_none());
    }
}
