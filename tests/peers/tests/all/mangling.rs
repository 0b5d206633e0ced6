//! Valid handshakes, mangled mechanically: no panic, and no false success.

use postern_peers::client::{Client, KeyPair};
use postern_peers::hello::{COOKIE, Hello, PADDING, PRE_SHARED_KEY, X25519, message, pre_shared_key, record};
use postern_peers::probe::{Buffers, Probe};
use postern_peers::{rng, server_config};
use postern_tls::{Error, Progress};
use rand_core::Rng as _;

const DATA: &[u8] = b"some data, and some more under another key";

/// What a client sent from first to last, record by record.
struct Recording {
    records: Vec<Vec<u8>>,
}

/// What came of a replay.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    established: bool,
    data: Vec<u8>,
    result: Result<Progress, Error>,
}

impl Recording {
    fn bytes(&self) -> Vec<u8> {
        self.records.concat()
    }

    /// For each byte, the record that it is in and its place there.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        self.records
            .iter()
            .enumerate()
            .flat_map(|(number, record)| (0..record.len()).map(move |at| (number, at)))
    }

    /// Whether this byte is ignored: the minor version of unprotected records (RFC 8446 §5.1).
    fn is_ignored(&self, (number, at): (usize, usize)) -> bool {
        at == 2 && self.records[number][0] != 23
    }
}

/// The server is the same each time, so what a client once sent fits again.
fn recordings() -> [Recording; 2] {
    [false, true].map(|retry| {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let mut records = Vec::new();
        let mut client = if retry {
            Client::with_hello(Hello::new(&[]), None)
        } else {
            let pair = KeyPair::fixed();
            Client::with_hello(Hello::new(&[(X25519, &pair.public)]), Some(pair))
        };
        let mut send = |probe: &mut Probe<'_>, bytes: Vec<u8>| {
            probe.feed(&bytes).unwrap();
            records.push(bytes);
        };
        let hello = client.hello_record();
        send(&mut probe, hello);
        send_ccs(&mut send, &mut probe, retry);
        if retry {
            let group = client.read_retry(&mut probe);
            client.retry(group);
            let hello = client.hello_record();
            send(&mut probe, hello);
        }
        client.read_flight(&mut probe, !retry);
        send_ccs(&mut send, &mut probe, !retry);
        let finished = client.finish();
        send(&mut probe, finished);
        let (first, second) = DATA.split_at(10);
        let data = client.seal(23, first);
        send(&mut probe, data);
        let update = client.seal(22, &message(24, &[0]));
        send(&mut probe, update);
        client.write.as_mut().unwrap().update();
        let data = client.seal(23, second);
        send(&mut probe, data);
        let close = client.seal(21, &[1, 0]);
        send(&mut probe, close);
        Recording { records }
    })
}

fn send_ccs(send: &mut impl FnMut(&mut Probe<'_>, Vec<u8>), probe: &mut Probe<'_>, really: bool) {
    if really {
        send(probe, record(20, &[1]));
    }
}

fn whole() -> Outcome {
    Outcome {
        established: true,
        data: DATA.to_vec(),
        result: Ok(Progress::Closed),
    }
}

/// Replays `pieces`, each given to the server at once, and then the end of the stream.
fn replay(pieces: &[&[u8]]) -> Outcome {
    let mut buffers = Buffers::new();
    let mut probe = Probe::new(server_config(), &mut buffers);
    let mut result = Ok(Progress::NeedInput);
    let mut established = false;
    for piece in pieces {
        result = probe.feed(piece);
        established |= !probe.server.is_handshaking() || !probe.data.is_empty();
        if result.is_err() {
            break;
        }
    }
    if result.is_ok() {
        result = probe.end();
    }
    if let Err(error) = result {
        assert!(probe.server.data().is_empty());
        // The alert that belongs to it is the last that was sent, in the clear or not.
        let mut last = None;
        while let Some(record) = probe.record() {
            last = Some(record);
        }
        if let Some(alert) = error.alert() {
            let last = last.unwrap();
            assert!(last == [21, 3, 3, 0, 2, 2, alert.0] || last[..5] == [23, 3, 3, 0, 19]);
        }
        probe.is_over(error);
    }
    Outcome {
        established,
        data: std::mem::take(&mut probe.data),
        result,
    }
}

/// Replays something that is not the recording: it may not come out as if it were.
#[track_caller]
fn is_not_taken(bytes: &[u8], what: std::fmt::Arguments<'_>) -> Outcome {
    let outcome = replay(&[bytes]);
    assert!(outcome.result.is_err(), "{what}: {outcome:?}");
    assert!(DATA.starts_with(&outcome.data), "{what}: {outcome:?}");
    outcome
}

#[test]
fn as_it_is_in_every_split() {
    for recording in recordings() {
        let bytes = recording.bytes();
        assert_eq!(replay(&[&bytes]), whole());
        for at in 0..bytes.len() {
            assert_eq!(replay(&[&bytes[..at], &bytes[at..]]), whole(), "split at {at}");
        }
        for size in [1, 2, 3, 4, 5, 6, 7, 11, 64, 100, 255, 256] {
            let pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            assert_eq!(replay(&pieces), whole(), "pieces of {size}");
        }
    }
}

#[test]
fn every_bit_of_every_byte() {
    for recording in recordings() {
        let bytes = recording.bytes();
        let finished = recording.records.len() - 5;
        for (at, place) in recording.places().enumerate() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                if recording.is_ignored(place) {
                    assert_eq!(replay(&[&bytes]), whole());
                    continue;
                }
                let outcome = is_not_taken(&bytes, format_args!("byte {at} bit {bit}"));
                if place.0 <= finished {
                    assert!(!outcome.established, "byte {at} bit {bit}: {outcome:?}");
                    assert!(outcome.data.is_empty());
                }
            }
        }
    }
}

#[test]
fn every_byte_gone_or_twice_or_zero() {
    for recording in recordings() {
        let bytes = recording.bytes();
        for (at, place) in recording.places().enumerate() {
            let gone = [&bytes[..at], &bytes[at + 1..]].concat();
            let twice = [&bytes[..=at], &bytes[at..]].concat();
            is_not_taken(&gone, format_args!("without byte {at}"));
            // Data after close_notify is not read.
            if at + 1 < bytes.len() {
                is_not_taken(&twice, format_args!("byte {at} twice"));
            }
            let mut zero = bytes.clone();
            zero[at] = 0;
            if zero != bytes && !recording.is_ignored(place) {
                is_not_taken(&zero, format_args!("byte {at} zero"));
            }
        }
    }
}

#[test]
fn every_end() {
    for recording in recordings() {
        let bytes = recording.bytes();
        for length in 0..bytes.len() {
            let outcome = is_not_taken(&bytes[..length], format_args!("cut at {length}"));
            assert_eq!(outcome.result, Err(Error::Truncated), "cut at {length}");
        }
        // Records shortened, with a header that knows of it.
        for (number, record) in recording.records.iter().enumerate() {
            for length in 0..record.len() - 5 {
                let mut records = recording.records.clone();
                records[number].truncate(5 + length);
                let header = (length as u16).to_be_bytes();
                records[number][3..5].copy_from_slice(&header);
                is_not_taken(&records.concat(), format_args!("record {number} of {length} bytes"));
            }
        }
    }
}

#[test]
fn records_dropped_repeated_and_out_of_order() {
    let without_ccs =
        |records: &[Vec<u8>]| -> Vec<Vec<u8>> { records.iter().filter(|record| record[0] != 20).cloned().collect() };
    for recording in recordings() {
        let count = recording.records.len();
        let mut variants = Vec::new();
        for first in 0..count {
            let mut dropped = recording.records.clone();
            dropped.remove(first);
            variants.push(dropped);
            for second in 0..count {
                let mut repeated = recording.records.clone();
                repeated.insert(second, recording.records[first].clone());
                variants.push(repeated);
                let mut swapped = recording.records.clone();
                swapped.swap(first, second);
                variants.push(swapped);
                let mut moved = recording.records.clone();
                let record = moved.remove(first);
                moved.insert(second, record);
                variants.push(moved);
            }
        }
        for records in variants {
            let outcome = replay(&[&records.concat()]);
            assert!(DATA.starts_with(&outcome.data));
            if outcome.result.is_ok() {
                // But for change_cipher_spec, or something after the end, it was the recording after all.
                let (mangled, original) = (without_ccs(&records), without_ccs(&recording.records));
                assert!(mangled.starts_with(&original), "{outcome:?}");
                assert_eq!(outcome, whole());
            }
        }
    }
}

#[test]
fn records_cut_in_two_or_joined() {
    for recording in recordings() {
        for (number, record) in recording.records.iter().enumerate() {
            let payload = &record[5..];
            for at in 1..payload.len() {
                let mut records = recording.records.clone();
                let piece = |bytes: &[u8]| postern_peers::hello::record(record[0], bytes);
                records[number] = [piece(&payload[..at]), piece(&payload[at..])].concat();
                let outcome = replay(&[&records.concat()]);
                // Plain handshake records may be cut anywhere; nothing else may.
                assert_eq!(outcome == whole(), record[0] == 22, "record {number} at {at}");
                assert_eq!(outcome.result.is_ok(), record[0] == 22);
            }
        }
    }
}

/// A pseudo-random number below `limit`.
fn below(rng: &mut chacha20::ChaCha20Rng, limit: usize) -> usize {
    rng.next_u32() as usize % limit
}

/// One of the things that go wrong with bytes.
fn mutate(rng: &mut chacha20::ChaCha20Rng, bytes: &mut Vec<u8>) {
    let at = below(rng, bytes.len());
    match below(rng, 7) {
        0 => bytes[at] = rng.next_u32() as u8,
        1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(rng, 5)],
        2 => bytes[at] = bytes[at].wrapping_add(1),
        3 => bytes[at] = bytes[at].wrapping_sub(1),
        4 => {
            let end = bytes.len().min(at + 1 + below(rng, 8));
            bytes.drain(at..end);
            if bytes.is_empty() {
                bytes.push(0);
            }
        }
        5 => {
            let end = bytes.len().min(at + 1 + below(rng, 40));
            let copy = bytes[at..end].to_vec();
            let to = below(rng, bytes.len());
            bytes.splice(to..to, copy);
        }
        _ => {
            let more = vec![rng.next_u32() as u8; below(rng, 20)];
            bytes.splice(at..at, more);
        }
    }
}

#[test]
fn hellos_at_random() {
    let mut rng = rng(2);
    let pair = KeyPair::fixed();
    let hello = Hello::new(&[(X25519, &pair.public)])
        .and(PADDING, [0; 8])
        .and(COOKIE, [0, 1, 9])
        .and(PRE_SHARED_KEY, pre_shared_key(b"ticket", &[3; 32]));
    let body = hello.message()[4..].to_vec();
    let (mut answered, mut refused) = (0, 0);
    for round in 0..30_000 {
        let mut body = body.clone();
        for _ in 0..1 + below(&mut rng, 4) {
            mutate(&mut rng, &mut body);
        }
        // Half of them as they are, the other half with lengths around them that are right again.
        let mut extensions = body.split_off(body.len().min(2 + 32 + 33 + 8 + 2 + 2));
        if round % 2 == 0 && body.len() == 2 + 32 + 33 + 8 + 2 + 2 {
            let at = body.len() - 2;
            body[at..].copy_from_slice(&(extensions.len() as u16).to_be_bytes());
        }
        body.append(&mut extensions);
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        match probe.feed(&record(22, &message(1, &body))) {
            Ok(progress) => {
                assert_eq!(progress, Progress::NeedInput);
                assert!(probe.server.is_handshaking() && !probe.is_silent());
                answered += 1;
            }
            Err(error) => {
                let alert = error.alert().unwrap();
                probe.alerted(None, alert);
                probe.is_over(error);
                refused += 1;
            }
        }
    }
    assert!(
        answered > 1000 && refused > 1000,
        "{answered} answered, {refused} refused"
    );
}

#[test]
fn whole_streams_at_random() {
    let mut rng = rng(5);
    for recording in recordings() {
        let bytes = recording.bytes();
        for _ in 0..3_000 {
            let mut mangled = bytes.clone();
            for _ in 0..1 + below(&mut rng, 3) {
                mutate(&mut rng, &mut mangled);
            }
            let outcome = replay(&[&mangled]);
            assert!(DATA.starts_with(&outcome.data));
        }
    }
    // What is under protection is the peer's to choose as well.
    for _ in 0..3_000 {
        let mut buffers = Buffers::new();
        let mut probe = Probe::new(server_config(), &mut buffers);
        let pair = KeyPair::fixed();
        let hello = Hello::new(&[(X25519, &pair.public)]);
        let mut client = Client::with_hello(hello, Some(pair));
        client.hello(&mut probe);
        if below(&mut rng, 2) == 0 {
            let finished = client.finish();
            probe.feed(&finished).unwrap();
        }
        let mut messages = [client.finished.clone(), message(24, &[1]), vec![1, 0]].concat();
        for _ in 0..4 {
            mutate(&mut rng, &mut messages);
        }
        let cut = below(&mut rng, messages.len());
        for inner in [&messages[..cut], &messages[cut..]] {
            let kind = [20, 21, 22, 23, 0, 24][below(&mut rng, 6)];
            let record = client.seal_inner(&[inner, &[kind]].concat());
            if probe.feed(&record).is_err() {
                break;
            }
        }
    }
}
