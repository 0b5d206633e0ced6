//! The async stream: futures dropped anywhere, both halves at once, alerts.

use std::convert::Infallible;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use embedded_io_async::{ErrorType, Read, Write};
use postern_peers::pipe::{Peer, Pipe, Transport};
use postern_peers::{pki, rng, server_config};
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::error::{InvalidMessage, Misuse, PeerMisbehaved};
use postern_tls::{AlertDescription as Alert, Connection, Error, FULL_INBOUND, Stream, StreamError};
use rand_core::Rng as _;
use rustls::crypto::ring;

type Failure = StreamError<Infallible>;

fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Runs a future that never waits.
fn finish<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    for _ in 0..10 {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
    panic!("it waits for something");
}

fn client() -> rustls::ClientConnection {
    pki().client(ring::default_provider())
}

/// As small as it may be.
fn small() -> usize {
    server_config().flight_len().max(1024)
}

/// Polls a future that borrows, letting the peer move on whenever it is not ready; `$drop` says whether it is then
/// dropped and created again.
macro_rules! run {
    ($peer:expr, $drop:expr, $future:expr) => {
        'done: loop {
            let mut future = pin!($future);
            loop {
                if let Poll::Ready(output) = poll(future.as_mut()) {
                    break 'done output;
                }
                $peer.turn();
                if $drop() {
                    break;
                }
            }
        }
    };
}

/// Echoes all data, with futures dropped where `drop` returns true. Returns how often it was called.
fn echo(text: &[u8], capacity: usize, outbound: usize, mut drop: impl FnMut(usize) -> bool) -> usize {
    let (mut peer, transport) = Peer::new(client(), capacity, true);
    peer.to_send.extend(text);
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; outbound]);
    let connection = Connection::server(server_config(), &mut inbound, &mut outbound).unwrap();
    let mut stream = Stream::new(transport, connection);
    let mut rng = rng(4);
    let mut polls = 0;
    let mut drop = || {
        polls += 1;
        assert!(polls < 5_000_000, "no progress");
        drop(polls)
    };
    run!(peer, drop, stream.handshake(&mut rng)).unwrap();
    let mut buffer = [0; 700];
    let mut echoed = 0;
    while echoed < text.len() {
        let count = run!(peer, drop, stream.read(&mut buffer)).unwrap();
        assert_ne!(count, 0);
        let mut left = &buffer[..count];
        while !left.is_empty() {
            let count = run!(peer, drop, stream.write(left)).unwrap();
            left = &left[count..];
        }
        if echoed % 3 == 0 {
            run!(peer, drop, stream.flush()).unwrap();
        }
        echoed += count;
    }
    peer.client.send_close_notify();
    assert_eq!(run!(peer, drop, stream.read(&mut buffer)), Ok(0));
    run!(peer, drop, stream.close()).unwrap();
    for _ in 0..100_000 {
        peer.turn();
    }
    assert!(peer.failure.is_none());
    assert!(peer.received == text, "{} bytes of {}", peer.received.len(), text.len());
    polls
}

#[test]
fn a_future_dropped_at_any_single_poll_loses_and_repeats_nothing() {
    let text: Vec<u8> = (0..1500_usize).map(|number| (number % 253) as u8).collect();
    let polls = echo(&text, 100, small(), |_| false);
    assert!(polls > 50);
    for at in 1..=polls {
        echo(&text, 100, small(), |poll| poll == at);
    }
    echo(&text, 100, small(), |_| true);
}

#[test]
fn futures_dropped_at_random_lose_and_repeat_nothing() {
    let mut text = vec![0; 100_000];
    rng(8).fill_bytes(&mut text);
    for (seed, capacity) in [(1, 10), (2, 333), (3, 1 << 14), (4, 1 << 20)] {
        for outbound in [small(), small() + 500, 17_000, 40_000] {
            let mut numbers = rng(seed);
            echo(&text, capacity, outbound, |_| numbers.next_u32().is_multiple_of(3));
        }
    }
}

/// A stream after its handshake, and its peer.
fn with_stream(
    capacity: usize,
    outbound: usize,
    suite: CipherSuite,
    test: impl FnOnce(&mut Stream<'_, Transport>, &mut Peer),
) {
    let mut provider = ring::default_provider();
    provider
        .cipher_suites
        .retain(|other| u16::from(other.suite()) == suite.id());
    let (mut peer, transport) = Peer::new(pki().client(provider), capacity, false);
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; outbound]);
    let connection = Connection::server(server_config(), &mut inbound, &mut outbound).unwrap();
    let mut stream = Stream::new(transport, connection);
    let mut rng = rng(6);
    run!(peer, || false, stream.handshake(&mut rng)).unwrap();
    // The last handshake messages of rustls may still be in transit.
    peer.turn();
    test(&mut stream, &mut peer);
}

const SUITE: CipherSuite = CipherSuite::Aes128GcmSha256;

#[test]
fn both_halves_at_once() {
    const TOTAL: usize = 8 << 20;
    let pattern = |at: usize| (at / 3 + at / 1000) as u8;
    for (suite, capacity, outbound) in [
        (CipherSuite::Aes128GcmSha256, 5000, small()),
        (CipherSuite::Aes256GcmSha384, 20_000, 17_000),
        (CipherSuite::ChaCha20Poly1305Sha256, 1 << 20, 64_000),
    ] {
        with_stream(capacity, outbound, suite, |stream, peer| {
            peer.to_send.extend((0..TOTAL).map(pattern));
            // Keys change on both sides all the while.
            peer.update_every = 300_000;
            let (mut reader, mut writer) = stream.split(Transport::halves).unwrap();
            let mut reading = pin!(async {
                let mut buffer = vec![0; 10_000];
                let mut at = 0;
                loop {
                    match reader.read(&mut buffer).await.unwrap() {
                        0 => break at,
                        count => {
                            assert!(
                                buffer[..count]
                                    .iter()
                                    .enumerate()
                                    .all(|(i, &byte)| byte == pattern(at + i))
                            );
                            at += count;
                        }
                    }
                }
            });
            let mut writing = pin!(async {
                let text: Vec<u8> = (0..TOTAL).map(pattern).collect();
                writer.write_all(&text).await.unwrap();
                writer.close().await.unwrap();
            });
            let (mut read, mut written) = (None, false);
            while read.is_none() || !written || !peer.client.wants_read() && peer.received.len() < TOTAL {
                if read.is_none() {
                    match poll(reading.as_mut()) {
                        Poll::Ready(count) => read = Some(count),
                        Poll::Pending => {}
                    }
                }
                written = written || poll(writing.as_mut()).is_ready();
                peer.turn();
                if peer.to_send.is_empty() {
                    peer.client.send_close_notify();
                }
            }
            peer.turn();
            assert_eq!(read, Some(TOTAL));
            assert!(peer.failure.is_none());
            assert_eq!(peer.received.len(), TOTAL);
            assert!(peer.received.iter().enumerate().all(|(at, &byte)| byte == pattern(at)));
        });
    }
}

/// Something that is no record of the peer's.
const NONSENSE: &[u8] = &[
    23, 3, 3, 0, 20, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20,
];
const BAD_MAC: Error = Error::PeerMisbehaved(PeerMisbehaved::BadRecordMac);

#[track_caller]
fn got_alert(peer: &mut Peer) {
    peer.turn();
    let alert = rustls::Error::AlertReceived(rustls::AlertDescription::BadRecordMac);
    assert_eq!(peer.failure, Some(alert));
}

#[test]
fn the_alert_of_a_failed_read_gets_out_through_the_write_half() {
    // By the next write, the next flush, or the end, whichever comes first.
    for way in 0..3 {
        with_stream(1 << 16, 17_000, SUITE, |stream, peer| {
            peer.inject(NONSENSE);
            let (mut reader, mut writer) = stream.split(Transport::halves).unwrap();
            let mut buffer = [0; 100];
            assert_eq!(
                run!(peer, || false, reader.read(&mut buffer)),
                Err(Failure::Tls(BAD_MAC))
            );
            assert_eq!(
                run!(peer, || false, reader.read(&mut buffer)),
                Err(Failure::Tls(BAD_MAC))
            );
            assert!(peer.failure.is_none());
            match way {
                0 => assert_eq!(run!(peer, || false, writer.write(b"x")), Err(Failure::Tls(BAD_MAC))),
                1 => assert_eq!(run!(peer, || false, writer.flush()), Ok(())),
                _ => assert_eq!(run!(peer, || false, writer.close()), Ok(())),
            }
            got_alert(peer);
            assert_eq!(run!(peer, || false, writer.write(b"x")), Err(Failure::Tls(BAD_MAC)));
        });
    }
}

#[test]
fn a_write_that_waits_while_the_read_half_fails_sends_the_alert_behind_whole_records() {
    with_stream(5000, small(), SUITE, |stream, peer| {
        let (mut reader, mut writer) = stream.split(Transport::halves).unwrap();
        let text = [7; 100_000];
        {
            let mut writing = pin!(writer.write_all(&text));
            for _ in 0..10 {
                assert!(poll(writing.as_mut()).is_pending());
            }
            peer.inject(NONSENSE);
            peer.send();
            let mut buffer = [0; 100];
            let mut reading = pin!(reader.read(&mut buffer));
            assert_eq!(poll(reading.as_mut()), Poll::Ready(Err(Failure::Tls(BAD_MAC))));
            // Now the peer reads again.
            let error = loop {
                peer.turn();
                if let Poll::Ready(result) = poll(writing.as_mut()) {
                    break result;
                }
            };
            assert_eq!(error, Err(Failure::Tls(BAD_MAC)));
        }
        got_alert(peer);
        assert!(!peer.received.is_empty() && peer.received.iter().all(|&byte| byte == 7));
    });
}

#[test]
fn the_alert_of_a_failed_read_gets_out_without_halves() {
    with_stream(1 << 16, 17_000, SUITE, |stream, peer| {
        peer.inject(NONSENSE);
        let mut buffer = [0; 100];
        assert_eq!(
            run!(peer, || false, stream.read(&mut buffer)),
            Err(Failure::Tls(BAD_MAC))
        );
        got_alert(peer);
        assert_eq!(run!(peer, || false, stream.write(b"x")), Err(Failure::Tls(BAD_MAC)));
        assert_eq!(
            run!(peer, || false, stream.read(&mut buffer)),
            Err(Failure::Tls(BAD_MAC))
        );
    });
}

#[test]
fn the_alert_of_a_failed_handshake_gets_out_even_if_its_future_is_dropped() {
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 17_000]);
    let connection = Connection::server(server_config(), &mut inbound, &mut outbound).unwrap();
    let (input, output) = (Pipe::new(100, true), Pipe::new(3, true));
    input.push(b"GET / HTTP/1.0\r\n");
    let mut stream = Stream::new(
        Transport {
            input,
            output: output.clone(),
        },
        connection,
    );
    let mut rng = rng(1);
    let mut sent = Vec::new();
    let error = Failure::Tls(InvalidMessage::Http.into());
    let result = loop {
        let mut handshake = pin!(stream.handshake(&mut rng));
        let mut polls = 0;
        let result = loop {
            polls += 1;
            match poll(handshake.as_mut()) {
                Poll::Ready(result) => break Some(result),
                Poll::Pending if polls == 3 => break None,
                Poll::Pending => {}
            }
        };
        sent.extend(output.take());
        if let Some(result) = result {
            break result;
        }
    };
    assert_eq!(result, Err(error));
    assert_eq!(sent, [21, 3, 3, 0, 2, 2, Alert::UNEXPECTED_MESSAGE.0]);
    // Any further call returns the error.
    let mut buffer = [0; 10];
    assert_eq!(finish(stream.read(&mut buffer)), Err(error));
    assert_eq!(finish(stream.write(b"x")), Err(error));
    assert_eq!(stream.split(Transport::halves).err(), Some(InvalidMessage::Http.into()));
}

#[test]
fn before_the_handshake_there_is_no_data() {
    let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 17_000]);
    let connection = Connection::server(server_config(), &mut inbound, &mut outbound).unwrap();
    let (_, transport) = Peer::new(client(), 100, false);
    let mut stream = Stream::new(transport, connection);
    let mut buffer = [0; 10];
    let misuse = Error::from(Misuse::HandshakeNotDone);
    let refused = Poll::Ready(Err(StreamError::Tls(misuse)));
    assert_eq!(poll(pin!(stream.read(&mut buffer))), refused);
    assert_eq!(poll(pin!(stream.write(b"x"))), refused);
    assert_eq!(stream.split(Transport::halves).err(), Some(misuse));
}

#[test]
fn the_ends_of_a_stream() {
    with_stream(1 << 16, 17_000, SUITE, |stream, peer| {
        let mut buffer = [0; 10];
        // Nothing asked, nothing done.
        assert_eq!(run!(peer, || false, stream.read(&mut [])), Ok(0));
        assert_eq!(run!(peer, || false, stream.write(&[])), Ok(0));
        run!(peer, || false, stream.close()).unwrap();
        assert_eq!(
            run!(peer, || false, stream.write(b"x")),
            Err(StreamError::Tls(Misuse::WriteAfterClose.into()))
        );
        run!(peer, || false, stream.close()).unwrap();
        // Reading continues.
        peer.to_send.extend(b"half");
        assert_eq!(run!(peer, || false, stream.read(&mut buffer)), Ok(4));
        peer.client.send_close_notify();
        assert_eq!(run!(peer, || false, stream.read(&mut buffer)), Ok(0));
        assert_eq!(run!(peer, || false, stream.read(&mut buffer)), Ok(0));
    });
    with_stream(1 << 16, 17_000, SUITE, |stream, peer| {
        let mut buffer = [0; 10];
        peer.to_send.extend(b"cut");
        peer.send();
        stream.transport().input.end();
        assert_eq!(run!(peer, || false, stream.read(&mut buffer)), Ok(3));
        let truncated = Err(Failure::Tls(Error::Truncated));
        assert_eq!(run!(peer, || false, stream.read(&mut buffer)), truncated);
        assert_eq!(run!(peer, || false, stream.write(b"x")), truncated);
    });
}

/// A transport that fails.
struct Broken {
    transport: Transport,
    takes_nothing: bool,
}

impl ErrorType for Broken {
    type Error = embedded_io_async::ErrorKind;
}

impl Read for Broken {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Self::Error> {
        Ok(self.transport.read(buffer).await.unwrap())
    }
}

impl Write for Broken {
    async fn write(&mut self, _: &[u8]) -> Result<usize, Self::Error> {
        if self.takes_nothing {
            Ok(0)
        } else {
            Err(embedded_io_async::ErrorKind::ConnectionReset)
        }
    }

    async fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

#[test]
fn a_transport_that_breaks() {
    for takes_nothing in [true, false] {
        let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 17_000]);
        let connection = Connection::server(server_config(), &mut inbound, &mut outbound).unwrap();
        let (mut peer, transport) = Peer::new(client(), 10_000, false);
        let transport = Broken {
            transport,
            takes_nothing,
        };
        let mut stream = Stream::new(transport, connection);
        let mut rng = rng(1);
        let error = if takes_nothing {
            StreamError::WriteZero
        } else {
            StreamError::Transport(embedded_io_async::ErrorKind::ConnectionReset)
        };
        assert_eq!(run!(peer, || false, stream.handshake(&mut rng)), Err(error));
    }
}
