//! After the handshake: key updates, alerts, the end.

use postern_peers::client::Client;
use postern_peers::hello::{X25519, message, record};
use postern_peers::probe::{Buffers, Probe};
use postern_peers::{echo, exchange, pki, rng, server_config};
use postern_tls::crypto::suite::CipherSuite;
use postern_tls::error::{InvalidMessage, Misuse, PeerMisbehaved};
use postern_tls::{AlertDescription as Alert, Connection, Error, FULL_INBOUND, HandshakeType, Progress};
use rustls::crypto::ring;

fn established(test: impl FnOnce(&mut Client, &mut Probe<'_>)) {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::new(X25519);
    client.handshake(&mut probe);
    test(&mut client, &mut probe);
}

/// Sends a KeyUpdate and changes the key.
fn update(client: &mut Client, request: u8) -> Vec<u8> {
    let record = client.seal(22, &message(24, &[request]));
    client.write.as_mut().unwrap().update();
    record
}

#[test]
fn key_updates() {
    for suite in CipherSuite::TLS13 {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let mut client = Client::new(X25519);
        client.hello.suites = vec![suite.id()];
        client.handshake(&mut probe);
        for generation in 0..100_u8 {
            let bytes = [update(&mut client, 0), client.seal(23, &[generation])].concat();
            assert_eq!(probe.feed(&bytes), Ok(Progress::NeedInput));
            assert_eq!(probe.data.last(), Some(&generation));
            assert!(probe.is_silent());
        }
        // Requests are answered once, before the next data (RFC 8446 §4.6.3), and not by requests.
        for _ in 0..3 {
            let bytes = [update(&mut client, 1), update(&mut client, 1), client.seal(23, b"x")].concat();
            probe.feed(&bytes).unwrap();
            assert!(probe.is_silent());
            probe.write(b"y").unwrap();
            assert_eq!(client.open(&mut probe), (22, message(24, &[0])));
            client.read.as_mut().unwrap().update();
            assert_eq!(client.open(&mut probe), (23, b"y".to_vec()));
            probe.write(b"z").unwrap();
            assert_eq!(client.open(&mut probe), (23, b"z".to_vec()));
            assert!(probe.is_silent());
        }
    }
}

#[test]
fn a_key_update_in_fragments() {
    established(|client, probe| {
        for byte in message(24, &[0]) {
            let record = client.seal(22, &[byte]);
            assert_eq!(probe.feed_by(&record, 1), Ok(Progress::NeedInput));
        }
        client.write.as_mut().unwrap().update();
        let record = client.seal(23, b"next generation");
        probe.feed(&record).unwrap();
        assert_eq!(probe.data, b"next generation");
    });
}

#[test]
fn key_updates_that_are_refused() {
    let refused = |messages: &[u8], error: Error, alert: Alert| {
        established(|client, probe| {
            let record = client.seal(22, messages);
            probe.refuses(client.read.as_mut(), &record, error, alert);
        });
    };
    for request in [2, 3, 128, 255] {
        let error = PeerMisbehaved::IllegalParameter("KeyUpdateRequest");
        refused(&message(24, &[request]), error.into(), Alert::ILLEGAL_PARAMETER);
    }
    let error = InvalidMessage::MissingData("KeyUpdate");
    refused(&message(24, &[]), error.into(), Alert::DECODE_ERROR);
    let error = InvalidMessage::TrailingData("KeyUpdate");
    refused(&message(24, &[0, 0]), error.into(), Alert::DECODE_ERROR);
    // RFC 8446 §5.1: the key changes, so the record has to end.
    for rest in [&[24][..], &message(24, &[0]), &message(24, &[1]), &[0]] {
        let messages = [&message(24, &[0]), rest].concat();
        let error = PeerMisbehaved::MessageAcrossKeyChange;
        refused(&messages, error.into(), Alert::UNEXPECTED_MESSAGE);
    }
    // The old key is gone.
    established(|client, probe| {
        let record = client.seal(22, &message(24, &[0]));
        probe.feed(&record).unwrap();
        let old = client.seal(23, b"old");
        let error = PeerMisbehaved::BadRecordMac;
        probe.refuses(client.read.as_mut(), &old, error, Alert::BAD_RECORD_MAC);
    });
}

#[test]
fn a_flood_of_key_updates() {
    for request in [0, 1] {
        established(|client, probe| {
            for _ in 0..32 {
                let record = update(client, request);
                assert_eq!(probe.feed(&record), Ok(Progress::NeedInput));
            }
            let record = update(client, request);
            let error = PeerMisbehaved::TooManyKeyUpdates;
            probe.refuses(client.read.as_mut(), &record, error, Alert::UNEXPECTED_MESSAGE);
        });
    }
}

#[test]
fn handshake_messages_that_are_over() {
    for kind in (0..=255).filter(|&kind| kind != 24) {
        established(|client, probe| {
            // Renegotiation (1), tickets from a client (4), Finished again (20) and all the others.
            let record = client.seal(22, &message(kind, &[0; 8]));
            let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType(kind));
            probe.refuses(client.read.as_mut(), &record, error, Alert::UNEXPECTED_MESSAGE);
        });
    }
    established(|client, probe| {
        let record = client.seal(22, &[1, 0xff, 0xff, 0xff]);
        let error = InvalidMessage::HandshakeTooLong {
            kind: HandshakeType::CLIENT_HELLO,
            length: 0x0100_0003,
            limit: 16384,
        };
        probe.refuses(client.read.as_mut(), &record, error, Alert::DECODE_ERROR);
    });
}

#[test]
fn alerts() {
    // RFC 8446 §6: fatal whatever the level, except for the two closure alerts; unknown ones too.
    for level in [0, 1, 2, 77] {
        for description in (1..=255).filter(|&description| description != 90) {
            established(|client, probe| {
                let record = client.seal(21, &[level, description]);
                let error = Error::AlertReceived(Alert(description));
                assert_eq!(probe.feed(&record), Err(error));
                probe.is_over(error);
            });
        }
    }
    for broken in [&[2][..], &[1, 0, 0], &[1, 0, 1, 0]] {
        established(|client, probe| {
            let record = client.seal(21, broken);
            let error = InvalidMessage::IllegalValue("Alert");
            probe.refuses(client.read.as_mut(), &record, error, Alert::DECODE_ERROR);
        });
    }
    for level in [1, 2] {
        established(|client, probe| {
            for _ in 0..32 {
                let record = client.seal(21, &[level, 90]);
                assert_eq!(probe.feed(&record), Ok(Progress::NeedInput));
            }
            let record = client.seal(21, &[level, 90]);
            let error = PeerMisbehaved::TooManyEmptyRecords;
            probe.refuses(client.read.as_mut(), &record, error, Alert::UNEXPECTED_MESSAGE);
        });
    }
}

#[test]
fn close_notify_from_the_peer() {
    for level in [1, 2] {
        established(|client, probe| {
            let bytes = [
                client.seal(21, &[1, 90]),
                client.seal(23, b"last"),
                client.seal(21, &[level, 0]),
            ]
            .concat();
            assert_eq!(probe.feed(&bytes), Ok(Progress::Closed));
            assert_eq!(probe.data, b"last");
            // RFC 8446 §6.1: what follows is ignored, even nonsense, and the end of the stream is no truncation.
            assert_eq!(probe.feed(&client.seal(23, b"later")), Ok(Progress::Closed));
            assert_eq!(probe.feed(b"nonsense"), Ok(Progress::Closed));
            assert_eq!(probe.end(), Ok(Progress::Closed));
            assert_eq!(probe.data, b"last");
            // Our own side is still open.
            assert!(probe.is_silent());
            probe.write(b"answer").unwrap();
            probe.server.close();
            probe.server.close();
            assert_eq!(client.open(probe), (23, b"answer".to_vec()));
            assert_eq!(client.open(probe), (21, vec![1, 0]));
            assert!(probe.is_silent());
        });
    }
}

#[test]
fn close_notify_from_us() {
    established(|client, probe| {
        probe.server.close();
        assert_eq!(client.open(probe), (21, vec![1, 0]));
        assert_eq!(probe.write(b"more"), Err(Misuse::WriteAfterClose.into()));
        // Data still arrives, and key updates, which are no longer answered.
        let bytes = [client.seal(23, b"in "), update(client, 1), client.seal(23, b"flight")].concat();
        assert_eq!(probe.feed(&bytes), Ok(Progress::NeedInput));
        assert_eq!(probe.data, b"in flight");
        // No alert follows close_notify.
        let error = Error::from(PeerMisbehaved::BadRecordMac);
        assert_eq!(probe.feed(&record(23, &[0; 30])), Err(error));
        assert!(probe.is_silent());
    });
}

#[test]
fn close_during_the_handshake() {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    probe.server.close();
    assert_eq!(probe.record(), Some(record(21, &[1, 0])));
    let hello = Client::new(X25519).hello_record();
    assert_eq!(probe.feed(&hello), Err(Misuse::WriteAfterClose.into()));
    assert!(probe.is_silent() && probe.server.is_handshaking());
}

#[test]
fn truncation() {
    established(|client, probe| {
        let record = client.seal(23, b"all of this");
        probe.feed(&record).unwrap();
        assert_eq!(probe.end(), Err(Error::Truncated));
        assert_eq!(probe.data, b"all of this");
        probe.is_over(Error::Truncated);
    });
    established(|client, probe| {
        let record = client.seal(23, b"not all of this");
        probe.feed(&record[..record.len() - 1]).unwrap();
        assert_eq!(probe.end(), Err(Error::Truncated));
        assert_eq!(probe.data, b"");
    });
}

#[test]
fn data_of_every_length_both_ways() {
    established(|client, probe| {
        let text: Vec<u8> = (0..20_000_usize).map(|number| (number % 251) as u8).collect();
        for length in (0..300).chain(16_370..16_385) {
            let record = client.seal(23, &text[..length]);
            probe.feed(&record).unwrap();
            assert!(std::mem::take(&mut probe.data) == text[..length]);
            probe.write(&text[..length]).unwrap();
            if length > 0 {
                assert!(client.open(probe) == (23, text[..length].to_vec()));
            }
            assert!(probe.is_silent());
            if length == 299 {
                // Keeps clear of the limit on empty records; this also makes both keys new.
                let record = update(client, 1);
                probe.feed(&record).unwrap();
                probe.write(b"!").unwrap();
                client.open(probe);
                client.read.as_mut().unwrap().update();
                client.open(probe);
            }
        }
        // More than a record at once is as many records as it takes.
        probe.write(&text).unwrap();
        let lengths = [client.open(probe).1.len(), client.open(probe).1.len()];
        assert_eq!(lengths, [16384, 20_000 - 16384]);
    });
}

#[test]
fn rustls_updates_its_keys_and_asks_for_ours() {
    for suite in ring::ALL_CIPHER_SUITES.iter().filter(|suite| suite.tls13().is_some()) {
        let mut provider = ring::default_provider();
        provider.cipher_suites = vec![*suite];
        let mut client = pki().client(provider);
        let (mut inbound, mut outbound) = (vec![0; FULL_INBOUND], vec![0; 17000]);
        let mut server = Connection::server(server_config(), &mut inbound, &mut outbound).unwrap();
        let mut rng = rng(3);
        exchange(&mut client, &mut server, &mut rng, 1000).unwrap();
        for round in 0..40 {
            // rustls asks for our update with its own, and takes it before our next data.
            client.refresh_traffic_keys().unwrap();
            echo(
                &mut client,
                &mut server,
                &mut rng,
                &vec![round; 1 + usize::from(round) * 500],
            );
        }
        client.send_close_notify();
        assert_eq!(exchange(&mut client, &mut server, &mut rng, 10), Ok(Progress::Closed));
    }
}
