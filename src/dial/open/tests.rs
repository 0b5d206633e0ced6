//! The order and the times of attempts, on a network of scripted hosts.

use super::*;
use crate::net::ListenError;
use crate::net::fake::{FakeListener, Stream, connection};
use crate::testing::block_on;
use std::cell::{Cell, RefCell};
use std::string::{String, ToString};
use std::vec::Vec;

/// The answer about a family, after so many milliseconds.
type Answer = (u64, Result<&'static [&'static str], ResolveError>);

/// A network with one name. Addresses that are not among `hosts` do not answer.
struct Hosts {
    v6: Option<Answer>,
    v4: Answer,
    hosts: &'static [(&'static str, u64, Option<ConnectError>)],
    begin: Instant,
    /// The addresses that were tried, and after how many milliseconds.
    tried: RefCell<Vec<(String, u64)>>,
    connecting: Cell<usize>,
    asked: RefCell<Vec<u64>>,
}

/// Counts an attempt for as long as it lives.
struct Attempt<'a>(&'a Cell<usize>);

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl Network for Hosts {
    type Listener = FakeListener;
    type Stream = Stream;

    fn name(&self) -> &'static str {
        "vm0"
    }
    fn listen(&self, _: u16) -> Result<FakeListener, ListenError> {
        Err(ListenError::InvalidPort)
    }
    async fn connect(&self, remote: SocketAddr, timeout: Duration) -> Result<Stream, ConnectError> {
        assert_eq!(timeout, CONNECT_TIMEOUT);
        let address = remote.ip().to_string();
        self.connecting.set(self.connecting.get() + 1);
        let _attempt = Attempt(&self.connecting);
        let host = self.hosts.iter().find(|(host, ..)| *host == address);
        self.tried
            .borrow_mut()
            .push((address, self.begin.elapsed().as_millis()));
        let Some((_, after, error)) = host else {
            return pending().await;
        };
        Timer::after_millis(*after).await;
        match error {
            Some(error) => Err(*error),
            None => Ok(connection(remote.port(), 50_000, 100).0),
        }
    }
    async fn resolve(&self, _: &str, family: Family, nonce: u64) -> Result<Addresses, ResolveError> {
        self.asked.borrow_mut().push(nonce);
        let (after, answer) = match family {
            Family::V6 => self.v6.unwrap(),
            Family::V4 => self.v4,
        };
        Timer::after_millis(after).await;
        answer.map(|addresses| addresses.iter().map(|address| address.parse().unwrap()).collect())
    }
    fn has_address(&self, family: Family) -> bool {
        family == Family::V4 || self.v6.is_some()
    }
}

const V6: &[&str] = &["2001:db8::1", "2001:db8::2", "2001:db8::3"];
const V4: &[&str] = &["192.0.2.1", "192.0.2.2", "192.0.2.3"];

/// What came of it, and which addresses were tried.
fn run(
    v6: Option<Answer>,
    v4: Answer,
    hosts: &'static [(&'static str, u64, Option<ConnectError>)],
) -> (Result<(), String>, Vec<(String, u64)>) {
    let network = Hosts {
        v6,
        v4,
        hosts,
        begin: Instant::now(),
        tried: RefCell::default(),
        connecting: Cell::new(0),
        asked: RefCell::default(),
    };
    let nonce = Cell::new(0);
    let random = || {
        nonce.set(nonce.get() + 1);
        nonce.get()
    };
    let opened = block_on(open(&network, Host::Name("a.example"), 443, random));
    assert_eq!(network.connecting.get(), 0, "the losers free their slots");
    assert_eq!(
        *network.asked.borrow(),
        (1..=1 + u64::from(v6.is_some())).collect::<Vec<_>>()
    );
    (
        opened.map(drop).map_err(|error| error.to_string()),
        network.tried.take(),
    )
}

/// Each address with the range of milliseconds in which it was to be tried.
fn assert_tried(tried: &[(String, u64)], expected: &[(&str, core::ops::Range<u64>)]) {
    assert_eq!(tried.len(), expected.len(), "{tried:?}");
    for ((address, at), (expected, range)) in tried.iter().zip(expected) {
        assert!(address == expected && range.contains(at), "{tried:?}");
    }
}

#[test]
fn ipv6_is_preferred_and_waited_for_a_moment() {
    let hosts = &[("2001:db8::1", 20, None), ("192.0.2.1", 0, None)];
    for (v6, v4) in [(0, 0), (0, 300), (30, 0)] {
        let (opened, tried) = run(Some((v6, Ok(V6))), (v4, Ok(V4)), hosts);
        assert_eq!(opened, Ok(()));
        assert_tried(&tried, &[("2001:db8::1", v6..v6 + 20)]);
    }
    let (opened, tried) = run(Some((400, Ok(V6))), (10, Ok(V4)), hosts);
    assert_eq!(opened, Ok(()));
    assert_tried(&tried, &[("192.0.2.1", 60..90)]);
    // A name without IPv6 addresses waits for nothing.
    let none = Err(ResolveError::NoAddress(Family::V6));
    let (opened, tried) = run(Some((0, none)), (10, Ok(V4)), hosts);
    assert_eq!(opened, Ok(()));
    assert_tried(&tried, &[("192.0.2.1", 10..40)]);
}

#[test]
fn a_silent_address_costs_the_delay_and_a_refusal_nothing() {
    let (opened, tried) = run(Some((0, Ok(V6))), (0, Ok(V4)), &[("192.0.2.1", 20, None)]);
    assert_eq!(opened, Ok(()));
    assert_tried(&tried, &[("2001:db8::1", 0..30), ("192.0.2.1", 250..290)]);
    let hosts = &[
        ("2001:db8::1", 10, Some(ConnectError::Refused)),
        ("192.0.2.1", 20, None),
    ];
    let (opened, tried) = run(Some((0, Ok(V6))), (0, Ok(V4)), hosts);
    assert_eq!(opened, Ok(()));
    assert_tried(&tried, &[("2001:db8::1", 0..30), ("192.0.2.1", 10..60)]);
    // The one that began first may still win.
    let (opened, tried) = run(Some((0, Ok(V6))), (0, Ok(V4)), &[("2001:db8::1", 300, None)]);
    assert_eq!(opened, Ok(()));
    assert_tried(&tried, &[("2001:db8::1", 0..30), ("192.0.2.1", 250..290)]);
}

#[test]
fn families_alternate_and_each_failure_is_reported() {
    let hosts = &[
        ("2001:db8::1", 0, Some(ConnectError::Refused)),
        ("192.0.2.1", 0, Some(ConnectError::NoNeighbor)),
        ("2001:db8::2", 0, Some(ConnectError::NoNeighbor)),
        ("192.0.2.2", 0, Some(ConnectError::NoSlot)),
        ("2001:db8::3", 0, None),
    ];
    let (opened, tried) = run(Some((0, Ok(V6))), (0, Ok(V4)), hosts);
    let order = tried.iter().map(|(address, _)| address.as_str()).collect::<Vec<_>>();
    assert_eq!(
        order,
        ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"],
        "no more than four"
    );
    assert_eq!(
        opened.unwrap_err(),
        "connection refused ([2001:db8::1]:443); no answer to ARP within 10 s: the host or its gateway is down \
         (192.0.2.1:443); no answer to neighbor discovery within 10 s: the host or its gateway is down \
         ([2001:db8::2]:443); all connections of the interface are in use (192.0.2.2:443)"
    );
}

#[test]
fn a_late_answer_is_used_when_all_others_have_failed() {
    let hosts = &[("192.0.2.1", 0, Some(ConnectError::Refused)), ("2001:db8::1", 0, None)];
    let (opened, tried) = run(Some((150, Ok(V6))), (0, Ok(&["192.0.2.1"])), hosts);
    assert_eq!(opened, Ok(()));
    assert_tried(&tried, &[("192.0.2.1", 50..80), ("2001:db8::1", 150..190)]);
}

#[test]
fn without_an_ipv6_address_only_ipv4_is_asked_for() {
    let (opened, tried) = run(None, (0, Ok(V4)), &[("192.0.2.1", 0, None)]);
    assert_eq!(opened, Ok(()));
    assert_tried(&tried, &[("192.0.2.1", 0..30)]);
    let (opened, _) = run(None, (0, Err(ResolveError::NoAddress(Family::V4))), &[]);
    assert_eq!(opened.unwrap_err(), "host has no IPv4 address");
}

#[test]
fn what_the_resolver_lacks_is_reported() {
    let server = IpAddr::from([10, 0, 2, 3]);
    let no_address = |family| ResolveError::NoAddress(family);
    let timeout = ResolveError::TimedOut(server);
    for (v6, v4, expected) in [
        (
            no_address(Family::V6),
            no_address(Family::V4),
            "host has neither an IPv4 nor an IPv6 address",
        ),
        (ResolveError::NoSuchName, ResolveError::NoSuchName, "host not found"),
        (timeout, no_address(Family::V4), "no answer from DNS server 10.0.2.3"),
        (no_address(Family::V6), timeout, "no answer from DNS server 10.0.2.3"),
    ] {
        let (opened, tried) = run(Some((0, Err(v6))), (0, Err(v4)), &[]);
        assert_eq!(opened, Err(expected.to_string()));
        assert!(tried.is_empty());
    }
}

#[test]
fn an_address_is_tried_alone() {
    let error = OpenError::Connect([10, 0, 2, 2].into(), ConnectError::TimedOut);
    assert_eq!(error.to_string(), "no answer within 10 s");
    // Results that hold it are moved often.
    assert!(size_of::<OpenError>() <= 96, "{}", size_of::<OpenError>());
}
