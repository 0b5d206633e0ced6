//! Records that must be refused: errors and alerts.

use postern_peers::client::Client;
use postern_peers::hello::{Hello, X25519, message, record};
use postern_peers::probe::{Buffers, Probe};
use postern_peers::server_config;
use postern_tls::error::{InvalidMessage, PeerMisbehaved};
use postern_tls::{AlertDescription as Alert, ContentType, Error, HandshakeType, Progress};

/// What a test does with a client and its server.
type Scene<'x> = &'x dyn Fn(&mut Client, &mut Probe<'_>);

/// The server has sent its flight and waits for Finished.
fn before_finished(scene: Scene<'_>) {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::new(X25519);
    client.hello(&mut probe);
    scene(&mut client, &mut probe);
}

/// The handshake is done.
fn established(scene: Scene<'_>) {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::new(X25519);
    client.handshake(&mut probe);
    scene(&mut client, &mut probe);
}

/// Both.
fn protected(scene: Scene<'_>) {
    before_finished(scene);
    established(scene);
}

/// `bytes` are refused with an alert under the server's keys.
#[track_caller]
fn refused(client: &mut Client, probe: &mut Probe<'_>, bytes: &[u8], error: impl Into<Error>, alert: Alert) {
    probe.refuses(client.read.as_mut(), bytes, error, alert);
}

/// The inner plaintext `inner`, protected, is refused.
#[track_caller]
fn inner_refused(client: &mut Client, probe: &mut Probe<'_>, inner: &[u8], error: impl Into<Error>, alert: Alert) {
    let record = client.seal_inner(inner);
    refused(client, probe, &record, error, alert);
}

const UNEXPECTED: Alert = Alert::UNEXPECTED_MESSAGE;
const OVERFLOW: Alert = Alert::RECORD_OVERFLOW;
const FATAL: [u8; 2] = [2, 40];

#[test]
fn lengths_over_the_limit() {
    // RFC 8446 §5.1: plaintext.
    for content in [20, 21, 22, 23] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let error = InvalidMessage::RecordTooLong(16385);
        probe.refuses(None, &[content, 3, 3, 0x40, 0x01], error, OVERFLOW);
    }
    // §5.2: ciphertext; the header is enough.
    protected(&|client, probe| {
        let error = InvalidMessage::RecordTooLong(16384 + 257);
        refused(client, probe, &[23, 3, 3, 0x41, 0x01], error, OVERFLOW);
    });
    // §5.2, §5.4: the inner plaintext, with and without padding.
    for content in [16385, 16384, 1000, 0] {
        protected(&move |client, probe| {
            let inner = [&vec![1; content][..], &[23], &vec![0; 16385 - content]].concat();
            let error = InvalidMessage::RecordTooLong(16386);
            inner_refused(client, probe, &inner, error, OVERFLOW);
        });
    }
    protected(&|client, probe| {
        let error = InvalidMessage::RecordTooLong(16384 + 240);
        inner_refused(client, probe, &[1; 16384 + 240], error, OVERFLOW);
    });
    // As long as a record may be, but of no tag that fits.
    protected(&|client, probe| {
        let bytes = record(23, &[0; 16384 + 256]);
        refused(
            client,
            probe,
            &bytes,
            PeerMisbehaved::BadRecordMac,
            Alert::BAD_RECORD_MAC,
        );
    });
}

#[test]
fn records_that_do_not_authenticate() {
    let bad = |client: &mut Client, probe: &mut Probe<'_>, bytes: &[u8]| {
        refused(
            client,
            probe,
            bytes,
            PeerMisbehaved::BadRecordMac,
            Alert::BAD_RECORD_MAC,
        );
    };
    for length in [0, 1, 15, 16, 17] {
        protected(&move |client, probe| bad(client, probe, &record(23, &vec![0; length])));
    }
    for at in [2, 5, 20, 5 + 3, 5 + 3 + 15] {
        established(&move |client, probe| {
            let mut record = client.seal(23, b"ab");
            let at = at.min(record.len() - 1);
            record[at] ^= 1;
            bad(client, probe, &record);
        });
    }
    // Replayed, left out, out of order, and under the keys of before.
    established(&|client, probe| {
        let record = client.seal(23, b"once");
        probe.feed(&record).unwrap();
        bad(client, probe, &record);
    });
    established(&|client, probe| {
        client.seal(23, b"lost");
        let record = client.seal(23, b"found");
        bad(client, probe, &record);
    });
    before_finished(&|client, probe| {
        let finished = client.finished.clone();
        let record = client.seal(22, &finished);
        probe.feed(&record).unwrap();
        let late = client.seal(23, b"under the handshake's keys");
        bad(client, probe, &late);
    });
    before_finished(&|client, probe| {
        let early = client.traffic.as_mut().unwrap().seal(23, b"before Finished");
        bad(client, probe, &early);
    });
    // The server's own record, sent back.
    established(&|client, probe| {
        probe.write(b"mirror").unwrap();
        let own = probe.record().unwrap();
        client.read.as_mut().unwrap().open(&own).unwrap();
        bad(client, probe, &own);
    });
}

#[test]
fn inner_plaintext_without_a_type() {
    // RFC 8446 §5.4.
    for length in [0, 1, 100, 16385] {
        protected(&move |client, probe| {
            inner_refused(
                client,
                probe,
                &vec![0; length],
                InvalidMessage::NoInnerContentType,
                UNEXPECTED,
            );
        });
    }
}

#[test]
fn inner_types_that_may_not_be() {
    for kind in (1..=255).filter(|kind| !(21..24).contains(kind)) {
        protected(&move |client, probe| {
            let error = PeerMisbehaved::UnexpectedRecord(ContentType(kind));
            inner_refused(client, probe, &[1, kind], error, UNEXPECTED);
        });
    }
}

#[test]
fn empty_records() {
    // RFC 8446 §5.1, §5.4: of handshake and alert type there are none, padded or not.
    for kind in [21, 22] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        probe.refuses(None, &record(kind, &[]), InvalidMessage::EmptyRecord, UNEXPECTED);
        for zeros in [0, 1, 1000] {
            protected(&move |client, probe| {
                let inner = [&[kind][..], &vec![0; zeros]].concat();
                inner_refused(client, probe, &inner, InvalidMessage::EmptyRecord, UNEXPECTED);
            });
        }
    }
    // Empty data is allowed (it hides traffic), but not without end.
    established(&|client, probe| {
        for _ in 0..3 {
            for _ in 0..32 {
                let record = client.seal(23, &[]);
                assert_eq!(probe.feed(&record), Ok(Progress::NeedInput));
            }
            let record = client.seal(23, b"x");
            assert_eq!(probe.feed(&record), Ok(Progress::NeedInput));
        }
        let flood: Vec<u8> = (0..33).flat_map(|_| client.seal(23, &[])).collect();
        refused(client, probe, &flood, PeerMisbehaved::TooManyEmptyRecords, UNEXPECTED);
    });
}

#[test]
fn data_before_finished() {
    for text in [&b"data"[..], b""] {
        before_finished(&|client, probe| {
            let record = client.seal(23, text);
            refused(
                client,
                probe,
                &record,
                PeerMisbehaved::UnexpectedRecord(ContentType::APPLICATION_DATA),
                UNEXPECTED,
            );
        });
    }
    for text in [&b"data"[..], b""] {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        probe.refuses(
            None,
            &record(23, text),
            PeerMisbehaved::UnexpectedRecord(ContentType::APPLICATION_DATA),
            UNEXPECTED,
        );
    }
}

#[test]
fn plain_records_once_there_are_keys() {
    for (kind, payload) in [(22, &message(20, &[0; 32])[..]), (22, &message(24, &[0])), (22, &[1])] {
        protected(&|client, probe| {
            let bytes = record(kind, payload);
            refused(
                client,
                probe,
                &bytes,
                PeerMisbehaved::UnexpectedRecord(ContentType::HANDSHAKE),
                UNEXPECTED,
            );
        });
    }
    established(&|client, probe| {
        let bytes = record(21, &FATAL);
        refused(
            client,
            probe,
            &bytes,
            PeerMisbehaved::UnexpectedRecord(ContentType::ALERT),
            UNEXPECTED,
        );
    });
    established(&|client, probe| {
        let bytes = record(21, &[1, 0]);
        refused(
            client,
            probe,
            &bytes,
            PeerMisbehaved::UnexpectedRecord(ContentType::ALERT),
            UNEXPECTED,
        );
    });
    // Before Finished an alert may be plain: the client may have failed before it had keys.
    before_finished(&|_, probe| {
        let error = Error::AlertReceived(Alert::HANDSHAKE_FAILURE);
        assert_eq!(probe.feed(&record(21, &FATAL)), Err(error));
        probe.is_over(error);
    });
    // Once a record has authenticated it had them: anybody can have sent a plain one (RFC 8446 §6).
    for alert in [FATAL, [1, 0], [1, 90]] {
        before_finished(&|client, probe| {
            let first = client.finished[..7].to_vec();
            let mut bytes = client.seal(22, &first);
            assert_eq!(probe.feed(&bytes), Ok(Progress::NeedInput));
            bytes = record(21, &alert);
            refused(
                client,
                probe,
                &bytes,
                PeerMisbehaved::UnexpectedRecord(ContentType::ALERT),
                UNEXPECTED,
            );
        });
    }
}

#[test]
fn content_types_that_there_are_not() {
    for kind in [0, 19, 24, 25, 255] {
        protected(&move |client, probe| {
            let error = InvalidMessage::ContentType(kind);
            refused(client, probe, &[kind, 3, 3, 0, 1, 0], error, UNEXPECTED);
        });
    }
}

#[test]
fn change_cipher_spec() {
    let ccs = record(20, &[1]);
    let unexpected = PeerMisbehaved::UnexpectedRecord(ContentType::CHANGE_CIPHER_SPEC);
    // RFC 8446 §5: not before the first ClientHello, not amid it, not after Finished.
    let mut buffers = Buffers::new();
    Probe::new(server_config(), &mut buffers).refuses(None, &ccs, unexpected, UNEXPECTED);
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let half = record(22, &Hello::new(&[]).message()[..20]);
    let interleaved = PeerMisbehaved::InterleavedHandshake;
    probe.refuses(None, &[&half[..], &ccs].concat(), interleaved, UNEXPECTED);
    established(&|client, probe| refused(client, probe, &ccs, unexpected, UNEXPECTED));
    // In between it is dropped, if it is the one that there is.
    before_finished(&|client, probe| {
        assert_eq!(probe.feed(&ccs.repeat(2)), Ok(Progress::NeedInput));
        let finished = client.finish();
        assert_eq!(probe.feed(&finished), Ok(Progress::NeedInput));
        assert!(!probe.server.is_handshaking());
    });
    for wrong in [&[][..], &[0], &[2], &[1, 1], &[1, 0], &[1; 16384]] {
        before_finished(&|client, probe| {
            refused(client, probe, &record(20, wrong), unexpected, UNEXPECTED);
        });
    }
    // Protected it never is; `inner_types_that_may_not_be` has more of that.
    for inner in [&[1, 20][..], &[20], &[1, 20, 0]] {
        protected(&|client, probe| {
            let error: Error = if inner == [20] {
                InvalidMessage::EmptyRecord.into()
            } else {
                unexpected.into()
            };
            inner_refused(client, probe, inner, error, UNEXPECTED);
        });
    }
    // Not between the fragments of a message.
    before_finished(&|client, probe| {
        let first = client.seal(22, &[20, 0, 0]);
        let error = PeerMisbehaved::InterleavedHandshake;
        refused(client, probe, &[&first[..], &ccs].concat(), error, UNEXPECTED);
    });
    // Not without end.
    before_finished(&|client, probe| {
        let error = PeerMisbehaved::TooManyEmptyRecords;
        refused(client, probe, &ccs.repeat(33), error, UNEXPECTED);
    });
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut client = Client::with_hello(Hello::new(&[]), None);
    let hello = client.hello_record();
    probe.feed(&hello).unwrap();
    client.read_retry(&mut probe);
    assert_eq!(probe.feed(&ccs.repeat(32)), Ok(Progress::NeedInput));
    probe.refuses(None, &ccs, PeerMisbehaved::TooManyEmptyRecords, UNEXPECTED);
}

#[test]
fn records_between_the_fragments_of_a_message() {
    // RFC 8446 §5.1.
    for kind in [21, 23] {
        for text in [&[][..], &FATAL, &[1, 0]] {
            protected(&|client, probe| {
                let first = client.seal(22, &[20]);
                let second = client.seal(kind, text);
                // Data has no place before Finished anyway.
                let error = PeerMisbehaved::InterleavedHandshake;
                refused(client, probe, &[first, second].concat(), error, UNEXPECTED);
            });
        }
    }
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let half = record(22, &Hello::new(&[]).message()[..20]);
    let bytes = [half, record(21, &FATAL)].concat();
    probe.refuses(None, &bytes, PeerMisbehaved::InterleavedHandshake, UNEXPECTED);
}

#[test]
fn finished() {
    let decrypt_error = |client: &mut Client, probe: &mut Probe<'_>, finished: &[u8]| {
        let record = client.seal(22, finished);
        refused(
            client,
            probe,
            &record,
            PeerMisbehaved::WrongFinished,
            Alert::DECRYPT_ERROR,
        );
    };
    for at in [4, 20, 35] {
        before_finished(&|client, probe| {
            let mut finished = client.finished.clone();
            finished[at] ^= 0x80;
            decrypt_error(client, probe, &finished);
        });
    }
    before_finished(&|client, probe| decrypt_error(client, probe, &message(20, &[0; 32])));
    for length in [0, 1, 12, 31, 33, 48, 64] {
        before_finished(&|client, probe| {
            let record = client.seal(22, &message(20, &vec![7; length]));
            let error = if length < 32 {
                InvalidMessage::MissingData("Finished")
            } else {
                InvalidMessage::TrailingData("Finished")
            };
            refused(client, probe, &record, error, Alert::DECODE_ERROR);
        });
    }
    // Too long for any buffer.
    before_finished(&|client, probe| {
        let record = client.seal(22, &[20, 0xff, 0xff, 0xff]);
        let error = InvalidMessage::HandshakeTooLong {
            kind: HandshakeType::FINISHED,
            length: 0x0100_0003,
            limit: 16384,
        };
        refused(client, probe, &record, error, Alert::DECODE_ERROR);
    });
}

#[test]
fn other_messages_in_the_place_of_finished() {
    for kind in (0..=255).filter(|&kind| kind != 20) {
        before_finished(&|client, probe| {
            let record = client.seal(22, &message(kind, &[0]));
            let error = PeerMisbehaved::UnexpectedHandshake(HandshakeType(kind));
            refused(client, probe, &record, error, UNEXPECTED);
        });
    }
}

#[test]
fn something_after_finished_in_its_record() {
    // RFC 8446 §5.1: keys change after Finished, so its record ends there.
    for rest in [&[24][..], &message(24, &[0]), &message(4, &[0; 9]), &[0; 100]] {
        before_finished(&|client, probe| {
            let messages = [&client.finished[..], rest].concat();
            let record = client.seal(22, &messages);
            let error = PeerMisbehaved::MessageAcrossKeyChange;
            refused(client, probe, &record, error, UNEXPECTED);
            assert!(probe.server.is_handshaking());
        });
    }
    // In records of their own, all at once: data and close_notify right behind Finished.
    before_finished(&|client, probe| {
        let bytes = [client.finish(), client.seal(23, b"at once"), client.seal(21, &[1, 0])].concat();
        assert_eq!(probe.feed(&bytes), Ok(Progress::Closed));
        assert_eq!(probe.data, b"at once");
    });
}

#[test]
fn an_alert_finds_room_behind_the_longest_flight() {
    use postern_peers::clock;
    use postern_tls::crypto::{kx::Group, suite::CipherSuite};
    use postern_tls::{Identity, ServerConfig};
    let pki = postern_peers::pki();
    let groups = [Group::Secp256r1, Group::X25519];
    let suites = [CipherSuite::Aes256GcmSha384];
    for size in (1..64).chain([500, 16000, 16300, 16384, 16500, 33000, 60000]) {
        let filler = vec![0x30; size];
        for chain in [
            vec![&pki.server[..], &filler],
            vec![&filler[..]],
            vec![&filler[..1]; size.min(60)],
        ] {
            let identities = [Identity::new(&chain, &pki.key).unwrap()];
            let config = ServerConfig::new(&identities, clock())
                .unwrap()
                .with_groups(&groups)
                .with_suites(&suites);
            let mut buffers = Buffers::sized(postern_tls::FULL_INBOUND, config.flight_len().max(1024));
            let mut probe = Probe::new(config, &mut buffers);
            // Both hellos and nonsense in one go: nothing is sent in between.
            let first = Hello::new(&[]);
            let pair = postern_peers::client::KeyPair::new(groups[0].id());
            let second = Hello::new(&[(pair.group, &pair.public)]);
            let bytes = [first.record(), second.record(), vec![99]].concat();
            assert_eq!(probe.feed(&bytes), Err(InvalidMessage::ContentType(99).into()));
            let mut records = Vec::new();
            while let Some(record) = probe.record() {
                records.push(record);
            }
            // An alert of 2 bytes under protection, as the last.
            assert_eq!(records.last().unwrap()[..5], [23, 3, 3, 0, 2 + 17], "{size}");
        }
    }
}
