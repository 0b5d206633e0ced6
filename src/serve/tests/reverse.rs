//! Reverse connections as the dialled hosts see them.

use super::super::reverse::{ReverseError, ReverseOptions};
use super::*;
use crate::dial::Host;
use crate::net::ConnectError;
use crate::serve::REVERSES;
use embassy_time::Timer;
use std::net::{IpAddr, Ipv4Addr};

pub(super) const HOME: Host<'_> = Host::Address(IpAddr::V4(Ipv4Addr::new(10, 0, 2, 2)));
const SECOND: Duration = Duration::from_secs(1);

pub(super) fn to(host: Host<'_>, port: u16) -> ReverseOptions<'_> {
    ReverseOptions {
        host,
        port,
        netif: None,
        every: SECOND,
        role: Role::Either,
        direct: false,
    }
}

/// The other end of the connection that is dialled next.
async fn dialled(network: &FakeNetwork) -> Stream {
    loop {
        match network.answered() {
            Some(peer) => return peer,
            None => Timer::after_millis(1).await,
        }
    }
}

fn status(service: &Service<FakeNetwork>) -> String {
    service.reverse_targets().map(|target| target.to_string()).collect()
}

async fn until(service: &Service<FakeNetwork>, text: &str) -> String {
    loop {
        let status = status(service);
        if status.contains(text) {
            return status;
        }
        Timer::after_millis(1).await;
    }
}

#[test]
fn the_echo_is_served_over_what_was_dialled_and_dialled_again() {
    served(2, Limits::default(), async |service, network| {
        service.reverse(Kind::Tls, to(HOME, 20001)).unwrap();
        let begin = Instant::now();
        for round in 1..=2 {
            let mut peer = dialled(network).await;
            assert!(peer.established_there() || status(service).contains("dialling"));
            assert_eq!(say(&peer, "Hhello").await, "hello");
            let line = std::format!(
                "tls reverse to 10.0.2.2:20001, every 1 s: serving for 0 s, tries: {round}, served: {round}\n"
            );
            assert_eq!(status(service), line);
            peer.shutdown();
            settle().await;
            assert_eq!(peer.arrived(), "C");
            let line = std::format!("every 1 s: next try in 1 s, tries: {round}, served: {round}\n");
            assert!(status(service).ends_with(&line), "{}", status(service));
        }
        assert!(
            begin.elapsed() > Duration::from_millis(800),
            "a pause lies between two tries"
        );
        assert_eq!(service.tally().accepted.get(), 0, "no connection was accepted here");
    });
}

#[test]
fn an_unreachable_host_is_reported_and_tried_again() {
    served(1, Limits::default(), async |service, network| {
        network.refuse(ConnectError::Refused);
        service.reverse(Kind::Plain, to(Host::Name("home.example"), 7)).unwrap();
        let shown = until(service, "next try").await;
        assert!(
            shown.starts_with("plain reverse to home.example:7, every 1 s: next try in 1 s, tries: 1, served: 0\n"),
            "{shown}"
        );
        assert!(shown.ends_with("s ago: connection refused (10.0.2.2:7)\n"), "{shown}");
        network.admit();
        let peer = dialled(network).await;
        assert_eq!(say(&peer, "echo").await, "echo");
        assert!(until(service, "served: 1").await.contains("tries: 2"));
        service
            .reverse(Kind::Plain, to(Host::Name("nowhere.example"), 7))
            .unwrap();
        until(service, "s ago: host not found\n").await;
    });
}

#[test]
fn the_proxy_is_asked_for_each_try() {
    served(1, Limits::default(), async |service, network| {
        service.set_proxy(crate::dial::proxy::testing::proxy());
        service
            .reverse(Kind::Plain, to(Host::Name("nowhere.example"), 7))
            .unwrap();
        let peer = dialled(network).await;
        peer.say("HTTP/1.1 502 Bad Gateway\r\n\r\n");
        let shown = until(service, "next try").await;
        let start = "plain reverse to nowhere.example:7 through the proxy, every 1 s: next try in 1 s, tries: 1, ";
        assert!(shown.starts_with(start), "{shown}");
        assert!(
            shown.ends_with("s ago: the proxy refused: 502 Bad Gateway\n"),
            "{shown}"
        );
        let peer = dialled(network).await;
        settle().await;
        let asked = peer.arrived();
        assert!(asked.starts_with("CONNECT nowhere.example:7 HTTP/1.1\r\n"), "{asked}");
        // The target's first bytes come with the head.
        assert_eq!(say(&peer, "HTTP/1.1 200 OK\r\n\r\necho").await, "echo");
        until(service, "served: 1").await;
        service.reverse_stop(Kind::Plain, None).await.unwrap();
        drop(peer);
        settle().await;
        let direct = ReverseOptions {
            direct: true,
            ..to(HOME, 7)
        };
        service.reverse(Kind::Plain, direct).unwrap();
        let peer = dialled(network).await;
        assert_eq!(say(&peer, "echo").await, "echo");
        assert!(status(service).starts_with("plain reverse to 10.0.2.2:7, every"));
    });
}

#[test]
fn stopping_leaves_what_is_open_alone() {
    served(1, Limits::default(), async |service, network| {
        service.reverse(Kind::Plain, to(HOME, 7)).unwrap();
        let peer = dialled(network).await;
        assert_eq!(say(&peer, "a").await, "a");
        assert_eq!(
            service.reverse_stop(Kind::Tls, None).await,
            Err(ReverseError::NotRunning)
        );
        let other = service.reverse_stop(Kind::Plain, Some((HOME, 8))).await;
        assert_eq!(other, Err(ReverseError::NotRunning));
        service.reverse_stop(Kind::Plain, Some((HOME, 7))).await.unwrap();
        assert_eq!((status(service), service.reverses(Kind::Plain)), (String::new(), 0));
        assert_eq!(say(&peer, "b").await, "b");
        // The next connection to that target is unaffected.
        service.reverse(Kind::Plain, to(HOME, 7)).unwrap();
        assert!(until(service, "next try").await.contains("all 1 workers are busy"));
        drop(peer);
        settle().await;
        assert!(status(service).contains("tries: 1, served: 0\n"));
        service.reverse_stop(Kind::Plain, None).await.unwrap();
        assert_eq!(service.reverses(Kind::Plain), 0);
    });
}

#[test]
fn refusals_are_reported_and_make_the_pause_longer() {
    served(1, Limits::default(), async |service, network| {
        service.reverse(Kind::Tls, to(HOME, 7)).unwrap();
        let mut begin = None;
        // One, one, two seconds; less an eighth, since the random number is 0.
        for least in [0, 800, 800, 1700] {
            let peer = dialled(network).await;
            let since: Option<Instant> = begin.replace(Instant::now());
            assert!(
                since.is_none_or(|since| since.elapsed().as_millis() >= least),
                "{least}"
            );
            peer.say("x");
            until(service, "handshake failed: ").await;
            until(service, "next try").await;
            assert_eq!(peer.arrived(), "A");
        }
        assert!(status(service).contains("tries: 4, served: 0\n"));
    });
}

#[test]
fn the_part_in_tls_is_the_one_that_was_asked_for() {
    served(1, Limits::default(), async |service, network| {
        let role = Role::Client;
        service
            .reverse(Kind::Tls, ReverseOptions { role, ..to(HOME, 7) })
            .unwrap();
        let peer = dialled(network).await;
        settle().await;
        assert_eq!(peer.arrived(), "M", "it sends first");
        assert_eq!(say(&peer, "Hx").await, "x");
    });
}

#[test]
fn what_cannot_be_dialled_is_refused() {
    served(1, Limits::default(), async |service, network| {
        network.refuse(ConnectError::Refused);
        let expect = |target, error| assert_eq!(service.reverse(Kind::Tls, target), Err(error));
        expect(to(HOME, 0), ReverseError::InvalidPort);
        expect(to(Host::Name("a..b"), 1), ReverseError::NotAName);
        let netif = Some("vm9");
        expect(ReverseOptions { netif, ..to(HOME, 1) }, ReverseError::NoSuchInterface);
        for port in 1..=REVERSES as u16 {
            service.reverse(Kind::Tls, to(HOME, port)).unwrap();
        }
        assert_eq!(service.reverse(Kind::Tls, to(HOME, 1)), Err(ReverseError::Already));
        assert_eq!(service.reverse(Kind::Plain, to(HOME, 1)), Err(ReverseError::TooMany));
        assert_eq!(service.reverses(Kind::Tls), REVERSES);
        service.set_mutual_tls(Err("no CA is configured"));
        let error = service.reverse(Kind::Tls, to(HOME, 99)).unwrap_err();
        assert_eq!(error.to_string(), "no CA is configured");
        service.reverse_stop(Kind::Tls, None).await.unwrap();
        assert_eq!(status(service), "");
    });
}

#[test]
fn the_task_that_dials_is_small() {
    served(1, Limits::default(), async |service, _| {
        let size = size_of_val(&service.dial(|| 0));
        assert!(size < 24 * 1024, "{size}");
    });
}
