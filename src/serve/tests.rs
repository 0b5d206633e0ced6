//! The echo service as its peers see it.

mod reverse;

use super::pump::Buffered;
use super::registry::{Entry, SILENT};
use super::{AcceptedSession, Limits, Service, StartError, StopError, TlsAcceptor, WorkerSlot};
use crate::config::Role;
use crate::endpoint::{Description, HandshakeError};
use crate::net::fake::{FakeNetwork, Half, Stream, beside, settle};
use crate::net::{self, Kind, Transport};
use crate::testing::block_on;
use embassy_time::{Duration, Instant, with_deadline, with_timeout};
use embedded_io_async::{Read, Write};
use std::boxed::Box;
use std::string::{String, ToString};
use std::vec::Vec;

/// "TLS" whose handshake is the byte `H`, and whose close_notify is the byte `C`.
struct FakeTls(Vec<u8>);

struct FakeSession<'a> {
    stream: &'a mut Stream,
    scratch: &'a mut [u8],
}

impl TlsAcceptor<Stream> for FakeTls {
    type Error = net::Error;
    type Session<'a> = FakeSession<'a>;

    fn scratch(&mut self) -> &mut [u8] {
        &mut self.0
    }
    async fn accept<'a>(
        &'a mut self,
        stream: &'a mut Stream,
        entry: &'a Entry,
        dialled: Option<Role>,
        deadline: Instant,
    ) -> Result<FakeSession<'a>, HandshakeError<net::Error>> {
        if dialled == Some(Role::Client) {
            stream.write_all(b"M").await?;
        }
        let mut hello = [0];
        let read = with_deadline(deadline, stream.read(&mut hello)).await;
        read.map_err(|_| HandshakeError::TimedOut)??;
        entry.last_read().set(Instant::now());
        match &hello {
            b"H" => Ok(FakeSession {
                stream,
                scratch: &mut self.0,
            }),
            _ => {
                stream.write_all(b"A").await?;
                Err(net::Error::Closed.into())
            }
        }
    }
    fn cause(_: &net::Error) -> &'static str {
        "no hello"
    }
    fn wipe(&mut self) {
        self.0.fill(0);
    }
}

impl AcceptedSession for FakeSession<'_> {
    type Error = net::Error;
    type Reader<'a>
        = Buffered<'a, Half>
    where
        Self: 'a;
    type Writer<'a>
        = Half
    where
        Self: 'a;

    fn description(&self) -> Description {
        Description {
            version: "TLSv1.3",
            suite: "FAKE",
            group: "NONE",
            ..Description::default()
        }
    }
    fn page(&self) -> Option<crate::endpoint::traces::Narrator> {
        None
    }
    fn mark_established(&mut self) {
        self.stream.mark_established();
    }
    fn split(&mut self) -> Result<(Buffered<'_, Half>, Half), net::Error> {
        let (reader, writer) = self.stream.split();
        Ok((Buffered::new(reader, self.scratch, 0), writer))
    }
    async fn close(&mut self, timeout: Duration) {
        let _ = with_timeout(timeout, self.stream.write_all(b"C")).await;
        self.stream.shutdown();
    }
}

const SHORT: Duration = Duration::from_millis(30);

/// A service with so many workers, and a peer's view of it.
fn served<T>(workers: usize, limits: Limits, work: impl AsyncFnOnce(&Service<FakeNetwork>, &FakeNetwork) -> T) -> T {
    let network = FakeNetwork::default();
    let slots: Vec<_> = (0..workers).map(|_| WorkerSlot::new()).collect();
    let service = Service::new(std::vec![network.clone()].leak(), slots.leak(), limits);
    service.set_tls(Ok(()));
    service.set_mutual_tls(Ok(()));
    let mut tasks: Vec<core::pin::Pin<Box<dyn Future<Output = ()> + '_>>> = std::vec![];
    for _ in 0..workers {
        tasks.push(Box::pin(async {
            let slot = service.take_slot().unwrap();
            loop {
                service.work_at(slot, &mut FakeTls(std::vec![0; 256])).await;
            }
        }));
    }
    tasks.push(Box::pin(async {
        service.listen().await;
    }));
    tasks.push(Box::pin(async {
        service.dial(|| 0).await;
    }));
    block_on(beside(
        async {
            settle().await;
            work(&service, &network).await
        },
        tasks,
    ))
}

/// A service with one worker, whose buffer is seen each time that the worker is renewed.
fn served_with(
    limits: Limits,
    work: impl AsyncFnOnce(&Service<FakeNetwork>, &FakeNetwork, &core::cell::Cell<Option<Vec<u8>>>),
) {
    let network = FakeNetwork::default();
    let workers = std::vec![WorkerSlot::new()].leak();
    let service = Service::new(std::vec![network.clone()].leak(), workers, limits);
    service.set_tls(Ok(()));
    let seen = core::cell::Cell::new(None);
    let tasks: Vec<core::pin::Pin<Box<dyn Future<Output = ()> + '_>>> = std::vec![
        Box::pin(async {
            let slot = service.take_slot().unwrap();
            let mut tls = FakeTls(std::vec![0; 256]);
            loop {
                service.work_at(slot, &mut tls).await;
                seen.set(Some(tls.0.clone()));
            }
        }),
        Box::pin(async {
            service.listen().await;
        }),
    ];
    block_on(beside(
        async {
            settle().await;
            work(&service, &network, &seen).await;
        },
        tasks,
    ));
}

async fn say(peer: &Stream, text: &str) -> String {
    peer.say(text);
    settle().await;
    peer.arrived()
}

#[test]
fn several_ports_of_both_kinds() {
    served(3, Limits::default(), async |service, network| {
        service.start(Kind::Plain, 7, None).unwrap();
        service.start(Kind::Plain, 8, Some("vm0")).unwrap();
        service.start(Kind::Tls, 10007, None).unwrap();
        let (a, b) = (network.dial(7, 100).unwrap(), network.dial(8, 100).unwrap());
        let c = network.dial(10007, 100).unwrap();
        assert_eq!(
            (say(&a, "one").await, say(&b, "two").await),
            ("one".into(), "two".into())
        );
        assert_eq!(say(&c, "Hthree").await, "three");
        let lines: Vec<_> = service.live().map(ToString::to_string).collect();
        assert!(lines[0].contains(":7     plain established in 3 out 3"), "{lines:?}");
        assert!(lines[2].ends_with("TLSv1.3 FAKE NONE"), "{lines:?}");
        assert_eq!(
            (service.port(Kind::Plain, 1), service.port(Kind::Tls, 1)),
            (Some((8, "vm0")), None)
        );
        assert_eq!(service.echoed(), 11);
        assert_eq!(lines.len(), 3);
    });
}

#[test]
fn half_close_is_answered_with_the_rest_and_the_end() {
    served(1, Limits::default(), async |service, network| {
        service.start(Kind::Tls, 10007, None).unwrap();
        service.start(Kind::Plain, 7, None).unwrap();
        for (port, said, heard) in [
            (10007, "Hlast words", "last wordsC"),
            (7, "last words", "last words"),
            (7, "", ""),
        ] {
            let mut peer = network.dial(port, 100).unwrap();
            peer.say(said);
            peer.shutdown();
            settle().await;
            assert_eq!(peer.arrived(), heard);
            assert!(peer.finished() && !peer.was_reset(), "port {port}");
            settle().await;
            assert_eq!(service.live().count(), 0);
        }
        assert_eq!(
            (service.tally().finished.get(), service.tally().handshakes.get()),
            (3, 1)
        );
        assert_eq!(service.tally().echoed.get(), 20);
    });
}

#[test]
fn each_failed_start_has_its_reason() {
    served(1, Limits::default(), async |service, _| {
        service.start(Kind::Plain, 7, None).unwrap();
        assert_eq!(
            service.start(Kind::Tls, 7, None).unwrap_err().to_string(),
            "port 7 is already in use"
        );
        assert_eq!(
            service.start(Kind::Plain, 9, Some("vm1")),
            Err(StartError::NoSuchInterface)
        );
        service.set_tls(Err("no entropy: the CPU has neither RDSEED nor RDRAND"));
        let reason = service.start(Kind::Tls, 10007, None).unwrap_err().to_string();
        assert_eq!(reason, "no entropy: the CPU has neither RDSEED nor RDRAND");
        for port in 1000..1007 {
            service.start(Kind::Plain, port, None).unwrap();
        }
        assert_eq!(service.start(Kind::Plain, 7, None), Err(StartError::InUse(7)));
        assert_eq!(service.start(Kind::Plain, 1007, None), Err(StartError::TooMany));
    });
}

#[test]
fn a_stopped_port_is_closed_and_its_connections_go_on() {
    served(2, Limits::default(), async |service, network| {
        service.start(Kind::Plain, 7, None).unwrap();
        let peer = network.dial(7, 100).unwrap();
        assert_eq!(say(&peer, "a").await, "a");
        assert_eq!(service.stop(Kind::Tls, 7).await, Err(StopError::NotRunning(7)));
        service.stop(Kind::Plain, 7).await.unwrap();
        assert!(network.dial(7, 100).is_none());
        assert_eq!(service.port(Kind::Plain, 0), None);
        assert_eq!(say(&peer, "b").await, "b");
        service.start(Kind::Plain, 7, None).unwrap();
        assert_eq!(say(&network.dial(7, 100).unwrap(), "c").await, "c");
        // Stopped before the task has seen the start.
        service.start(Kind::Plain, 8, None).unwrap();
        service.stop(Kind::Plain, 8).await.unwrap();
        assert!(network.dial(8, 100).is_none());
    });
}

#[test]
fn a_connection_above_the_limit_is_refused_and_the_others_continue() {
    served(2, Limits::default(), async |service, network| {
        service.start(Kind::Plain, 7, None).unwrap();
        let peers: Vec<_> = (0..2).map(|_| network.dial(7, 100).unwrap()).collect();
        for peer in &peers {
            assert_eq!(say(peer, "x").await, "x");
            assert!(peer.established_there());
        }
        let beyond = network.dial(7, 100).unwrap();
        settle().await;
        assert!(beyond.was_reset());
        assert_eq!(service.tally().refused.get(), 1);
        for peer in &peers {
            assert_eq!(say(peer, "y").await, "y");
        }
        drop(peers);
        settle().await;
        assert_eq!(say(&network.dial(7, 100).unwrap(), "z").await, "z");
        assert_eq!(service.tally().faults("connection reset"), 2);
    });
}

#[test]
fn any_number_of_silent_peers_locks_nothing_out() {
    served(4, Limits::default(), async |service, network| {
        service.start(Kind::Tls, 10007, None).unwrap();
        let good = network.dial(10007, 100).unwrap();
        assert_eq!(say(&good, "Hello").await, "ello");
        let silent: Vec<_> = (0..60).map(|_| network.dial(10007, 100).unwrap()).collect();
        let late = network.dial(10007, 100).unwrap();
        late.say("Hi");
        let mut heard = String::new();
        while heard.is_empty() {
            embassy_futures::yield_now().await;
            heard = late.arrived();
        }
        assert_eq!((heard.as_str(), say(&good, "still").await.as_str()), ("i", "still"));
        assert_eq!(silent.iter().filter(|peer| !peer.was_reset()).count(), 2);
        let tally = service.tally();
        assert_eq!(
            [&tally.accepted, &tally.evicted, &tally.refused].map(|count| count.get()),
            [62, 58, 0]
        );
    });
}

#[test]
fn a_peer_that_has_just_spoken_is_not_evicted() {
    served(1, Limits::default(), async |service, network| {
        service.start(Kind::Tls, 10007, None).unwrap();
        let first = network.dial(10007, 100).unwrap();
        settle().await;
        // Older than every timeout, but its first bytes have arrived when it is asked to close.
        let since = service.live().next().unwrap().since();
        while since.elapsed() < SILENT {
            embassy_futures::yield_now().await;
        }
        first.say("Hello");
        let second = network.dial(10007, 100).unwrap();
        settle().await;
        assert_eq!(first.arrived(), "ello");
        settle().await;
        assert!(second.was_reset());
        assert_eq!((service.tally().evicted.get(), service.tally().refused.get()), (0, 1));
    });
}

#[test]
fn stopping_a_port_does_not_wait_for_a_place() {
    served(1, Limits::default(), async |service, network| {
        service.start(Kind::Tls, 10007, None).unwrap();
        let first = network.dial(10007, 100).unwrap();
        settle().await;
        service.live().next().unwrap().last_read().set(Instant::now());
        let second = network.dial(10007, 100).unwrap();
        settle().await;
        assert!(!second.was_reset(), "a handshake is under way: it waits");
        service.stop(Kind::Tls, 10007).await.unwrap();
        assert!(second.was_reset());
        assert_eq!(say(&first, "Hello").await, "ello");
    });
}

#[test]
fn a_failed_handshake_leaves_its_alert_and_is_counted() {
    served(
        1,
        Limits {
            goodbye: SHORT,
            ..Limits::default()
        },
        async |service, network| {
            service.start(Kind::Tls, 10007, None).unwrap();
            let peer = network.dial(10007, 100).unwrap();
            assert_eq!(say(&peer, "GET / HTTP/1.0").await, "A");
            assert!(peer.finished() && !peer.was_reset());
            assert_eq!(service.tally().faults("no hello"), 1);
            // Its worker lingers, and makes room at once for a new connection.
            assert_eq!(say(&network.dial(10007, 100).unwrap(), "Hi").await, "i");
        },
    );
}

#[test]
fn deadlines_free_the_worker() {
    let limits = Limits {
        handshake: SHORT,
        idle: SHORT,
        goodbye: SHORT,
        ..Limits::default()
    };
    served(1, limits, async |service, network| {
        service.start(Kind::Tls, 10007, None).unwrap();
        service.start(Kind::Plain, 7, None).unwrap();
        let gone = async |peer: &Stream| {
            while !peer.was_reset() && !peer.finished() {
                embassy_futures::yield_now().await;
            }
            while service.live().count() > 0 {
                embassy_futures::yield_now().await;
            }
        };
        let silent = network.dial(10007, 100).unwrap();
        gone(&silent).await;
        let idle = network.dial(10007, 100).unwrap();
        idle.say("Habc");
        gone(&idle).await;
        assert_eq!(idle.arrived(), "abcC");
        let stalled = network.dial(7, 10).unwrap();
        stalled.say([b'x'; 100]);
        gone(&stalled).await;
        assert!(stalled.was_reset());
        let tally = service.tally();
        assert_eq!(
            ["handshake deadline", "idle", "stalled"].map(|cause| tally.faults(cause)),
            [1, 1, 1]
        );
    });
}

/// An established connection of its own address, which has just moved a byte.
async fn busy(network: &FakeNetwork, host: u8) -> Stream {
    let peer = network.dial_from([10, 0, 3, host].into(), 7, 100).unwrap();
    assert_eq!(say(&peer, "x").await, "x");
    peer
}

#[test]
fn an_idle_connection_makes_room_when_all_workers_are_busy() {
    served(2, Limits::default(), async |service, network| {
        service.start(Kind::Plain, 7, None).unwrap();
        let (first, second) = (busy(network, 1).await, busy(network, 2).await);
        let refused = network.dial(7, 100).unwrap();
        settle().await;
        assert!(refused.was_reset() && !first.was_reset());
        embassy_time::Timer::after(super::registry::IDLE).await;
        assert_eq!(say(&second, "y").await, "y");
        let third = busy(network, 3).await;
        assert!(first.was_reset() && !second.was_reset() && !third.was_reset());
        let tally = service.tally();
        assert_eq!(
            (
                tally.evicted_established.get(),
                tally.evicted.get(),
                tally.refused.get()
            ),
            (1, 0, 1)
        );
    });
}

#[test]
fn an_address_with_most_connections_makes_room_even_if_none_is_idle() {
    served(4, Limits::default(), async |service, network| {
        service.start(Kind::Plain, 7, None).unwrap();
        let mut many = Vec::new();
        for _ in 0..3 {
            many.push(busy(network, 1).await);
        }
        let other = busy(network, 2).await;
        let newcomer = busy(network, 3).await;
        assert_eq!(many.iter().filter(|peer| peer.was_reset()).count(), 1);
        assert!(many[0].was_reset() && !other.was_reset() && !newcomer.was_reset());
        // The address itself gains nothing by one more.
        let more = network.dial_from([10, 0, 3, 1].into(), 7, 100).unwrap();
        settle().await;
        assert!(more.was_reset());
        assert_eq!(
            (say(&other, "y").await, say(&newcomer, "z").await),
            ("y".into(), "z".into())
        );
    });
}

#[test]
fn an_address_has_no_more_connections_than_it_may() {
    let limits = Limits {
        per_address: Some(2),
        ..Limits::default()
    };
    served(4, limits, async |service, network| {
        service.start(Kind::Plain, 7, None).unwrap();
        let (first, second) = (busy(network, 1).await, busy(network, 1).await);
        let third = network.dial_from([10, 0, 3, 1].into(), 7, 100).unwrap();
        settle().await;
        assert!(third.was_reset(), "although two workers are idle");
        let other = busy(network, 2).await;
        embassy_time::Timer::after(super::registry::IDLE).await;
        assert_eq!(say(&second, "y").await, "y");
        let _third = busy(network, 1).await;
        assert!(first.was_reset() && !second.was_reset() && !other.was_reset());
    });
}

#[test]
fn an_address_at_its_limit_keeps_no_other_waiting() {
    let limits = Limits {
        per_address: Some(2),
        ..Limits::default()
    };
    served(4, limits, async |service, network| {
        service.start(Kind::Tls, 7, None).unwrap();
        // Two that make no room yet, one beyond the limit, and behind it one of another address.
        let [_first, _second, third, _other] =
            [1, 1, 1, 2].map(|host| network.dial_from([10, 0, 3, host].into(), 7, 100).unwrap());
        settle().await;
        assert!(third.was_reset());
        assert_eq!(service.live().count(), 3);
    });
}

#[test]
fn a_port_that_is_restarted_at_once_has_been_stopped() {
    served(1, Limits::default(), async |service, network| {
        service.start(Kind::Plain, 7, None).unwrap();
        service.reverse(Kind::Plain, reverse::to(reverse::HOME, 7)).unwrap();
        settle().await;
        // Polled first: it starts again before the other sees the stop.
        let restart = async {
            while service.start(Kind::Plain, 7, None).is_err() {
                embassy_futures::yield_now().await;
            }
        };
        embassy_futures::join::join(restart, async { service.stop(Kind::Plain, 7).await.unwrap() }).await;
        let redial = async {
            while service.reverse(Kind::Plain, reverse::to(reverse::HOME, 7)).is_err() {
                embassy_futures::yield_now().await;
            }
        };
        let stop = async { service.reverse_stop(Kind::Plain, None).await.unwrap() };
        embassy_futures::join::join(redial, stop).await;
        assert_eq!(service.reverses(Kind::Plain), 1);
        assert!(network.dial(7, 100).is_some());
    });
}

#[test]
fn nothing_of_a_connection_stays_in_the_buffers_of_its_worker() {
    served_with(Limits::default(), async |service, network, seen| {
        service.start(Kind::Plain, 7, None).unwrap();
        service.start(Kind::Tls, 10007, None).unwrap();
        for port in [7, 10007] {
            let long = "x".repeat(1000);
            for text in ["secret", "GET /secret HTTP/1.1\r\nCookie: secret\r\n", &long] {
                let peer = network.dial(port, 2000).unwrap();
                let answer = say(&peer, &std::format!("H{text}")).await;
                assert!(
                    answer.trim_start_matches('H') == text || text.starts_with("GET"),
                    "{answer}"
                );
                drop(peer);
                settle().await;
                service.renew(Duration::from_secs(1));
                settle().await;
                assert_eq!(seen.take(), Some(std::vec![0; 256]), "port {port}");
            }
        }
    });
}
