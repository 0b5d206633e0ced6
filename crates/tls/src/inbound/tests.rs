//! Records as they come, of any size and in any order.

use super::*;
use crate::crypto::suite::CipherSuite;
use crate::schedule::TrafficSecret;

fn key(byte: u8) -> RecordKey {
    RecordKey::new(TrafficSecret::new(CipherSuite::Aes128GcmSha256, &[byte; 32])).unwrap()
}

fn plain(content: u8, payload: &[u8]) -> Vec<u8> {
    let [.., high, low] = payload.len().to_be_bytes();
    [&[content, 3, 3, high, low], payload].concat()
}

fn sealed(key: &mut RecordKey, content: ContentType, text: &[u8]) -> Vec<u8> {
    let mut record = vec![0; HEADER_LEN + text.len() + key.overhead()];
    record[HEADER_LEN..][..text.len()].copy_from_slice(text);
    key.seal(content, text.len(), &mut record).unwrap();
    record
}

/// Feeds `bytes` as far as there is space and gives what comes of it, up to the first error.
fn feed(inbound: &mut Inbound<'_>, mut bytes: &[u8]) -> Result<Vec<Received>, Error> {
    let mut received = Vec::new();
    while !bytes.is_empty() {
        let space = inbound.space();
        let count = space.len().min(bytes.len());
        assert_ne!(count, 0);
        space[..count].copy_from_slice(&bytes[..count]);
        inbound.received(count);
        bytes = &bytes[count..];
        while let Some(what) = inbound.next()? {
            received.push(what);
            inbound.consume(usize::MAX);
        }
    }
    Ok(received)
}

/// A generator of numbers that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % limit as u64) as usize
    }
}

#[test]
fn there_is_space_whenever_input_is_needed() {
    for seed in 0..60 {
        let mut numbers = Numbers(seed);
        let mut sealer = key(1);
        // Data records of any size, now and then a message that goes over several records.
        let mut wire = Vec::new();
        let (mut data, mut messages) = (Vec::new(), Vec::new());
        for number in 0..20 {
            if numbers.below(3) == 0 {
                let length = numbers.below(MAX_PLAINTEXT - 4);
                let [.., high, low] = length.to_be_bytes();
                let message = [&[24, 0, high, low][..], &vec![number; length]].concat();
                for piece in message.chunks(1 + numbers.below(6000)) {
                    wire.extend(sealed(&mut sealer, ContentType::HANDSHAKE, piece));
                }
                messages.extend(message);
            } else {
                let text = vec![number; numbers.below(MAX_PLAINTEXT + 1)];
                wire.extend(sealed(&mut sealer, ContentType::APPLICATION_DATA, &text));
                data.extend(text);
            }
        }
        let size = FULL_INBOUND + if seed % 2 == 0 { 0 } else { numbers.below(5000) };
        let mut buffer = vec![0; size];
        let mut inbound = Inbound::new(&mut buffer);
        inbound.key = Some(key(1));
        inbound.allow_data();
        let (mut got_data, mut got_messages) = (Vec::new(), Vec::new());
        let mut rest = &wire[..];
        loop {
            while let Some(message) = inbound.message().unwrap() {
                let length = message.len();
                got_messages.extend_from_slice(message);
                inbound.consume_message(length);
            }
            if inbound.next().unwrap().is_none() {
                if rest.is_empty() {
                    break;
                }
                let space = inbound.space();
                assert!(!space.is_empty(), "seed {seed}");
                let count = space.len().min(rest.len()).min(1 + numbers.below(4000));
                space[..count].copy_from_slice(&rest[..count]);
                inbound.received(count);
                rest = &rest[count..];
            }
            while !inbound.data().is_empty() {
                let count = 1 + numbers.below(inbound.data().len());
                got_data.extend_from_slice(&inbound.data()[..count]);
                inbound.consume(count);
            }
        }
        assert!(got_data == data && got_messages == messages, "seed {seed}");
    }
}

#[test]
fn early_data_is_skipped_up_to_a_limit_whatever_its_records_look_like() {
    let setups: [fn(&mut Inbound<'_>); 2] = [
        |inbound| inbound.skip_early_data_until_client_hello(),
        |inbound| {
            inbound.key = Some(key(1));
            inbound.skip_early_data_until_decrypted();
        },
    ];
    for setup in setups {
        // What a client may send whose ticket allowed the usual 2^14 bytes: one record, or many small ones.
        for size in [1, 100, 1024, MAX_PLAINTEXT] {
            let mut buffer = vec![0; FULL_INBOUND];
            let mut inbound = Inbound::new(&mut buffer);
            setup(&mut inbound);
            let mut other = key(2);
            for piece in [0; MAX_PLAINTEXT].chunks(size).take(200) {
                let record = sealed(&mut other, ContentType::APPLICATION_DATA, piece);
                assert_eq!(feed(&mut inbound, &record), Ok(vec![Received::Nothing]));
            }
        }
        // There is an end to it, for records with nothing in them as well.
        for size in [0, 1, 16, 17, 5000, MAX_PLAINTEXT + MAX_EXPANSION] {
            let mut buffer = vec![0; FULL_INBOUND];
            let mut inbound = Inbound::new(&mut buffer);
            setup(&mut inbound);
            let record = plain(23, &vec![0x5a; size]);
            let error = (0..100_000).find_map(|_| feed(&mut inbound, &record).err());
            assert_eq!(error, Some(PeerMisbehaved::TooMuchEarlyData.into()), "{size}");
        }
    }
}

#[test]
fn padding_counts_towards_the_limit_and_plain_records_do_not() {
    // RFC 8449 §4.
    let limit = 100;
    for (content, zeros, fits) in [
        (100, 0, true),
        (1, 99, true),
        (0, 100, true),
        (101, 0, false),
        (100, 1, false),
        (0, 101, false),
    ] {
        let mut buffer = vec![0; FULL_INBOUND];
        let mut inbound = Inbound::new(&mut buffer);
        inbound.key = Some(key(1));
        inbound.allow_data();
        inbound.limit_content(ContentLimit::Protected(limit));
        let inner = [&vec![7; content][..], &[23], &vec![0; zeros]].concat();
        let mut record = vec![0; HEADER_LEN + inner.len() + 16];
        record[HEADER_LEN..][..inner.len()].copy_from_slice(&inner);
        key(1).seal_inner(inner.len(), &mut record).unwrap();
        let error = InvalidMessage::RecordTooLong(content + zeros).into();
        let result = feed(&mut inbound, &record).map(drop);
        assert_eq!(result, if fits { Ok(()) } else { Err(error) }, "{content} {zeros}");
    }
    let mut buffer = vec![0; FULL_INBOUND];
    let mut inbound = Inbound::new(&mut buffer);
    inbound.limit_content(ContentLimit::Protected(limit));
    assert_eq!(feed(&mut inbound, &plain(22, &[1; 101])), Ok(vec![Received::Handshake]));
    // RFC 6066 §4: max_fragment_length holds for them, too.
    let mut buffer = vec![0; FULL_INBOUND];
    let mut inbound = Inbound::new(&mut buffer);
    inbound.limit_content(ContentLimit::All(limit));
    let error = InvalidMessage::RecordTooLong(101).into();
    assert_eq!(feed(&mut inbound, &plain(22, &[1; 101])), Err(error));
}

#[test]
fn skipping_ends_at_the_first_record_that_decrypts() {
    let mut buffer = vec![0; FULL_INBOUND];
    let mut inbound = Inbound::new(&mut buffer);
    inbound.key = Some(key(1));
    inbound.skip_early_data_until_decrypted();
    let early = sealed(&mut key(2), ContentType::APPLICATION_DATA, b"early");
    let finished = sealed(&mut key(1), ContentType::HANDSHAKE, b"finished");
    assert_eq!(feed(&mut inbound, &early), Ok(vec![Received::Nothing]));
    assert_eq!(feed(&mut inbound, &finished), Ok(vec![Received::Handshake]));
    assert_eq!(feed(&mut inbound, &early), Err(PeerMisbehaved::BadRecordMac.into()));
}

#[test]
fn what_does_not_fit_is_refused_at_its_header() {
    let mut buffer = vec![0; FULL_INBOUND];
    let mut inbound = Inbound::new(&mut buffer);
    feed(&mut inbound, &plain(22, &[1, 0, 0x40, 0])).unwrap();
    assert_eq!(
        inbound.message(),
        Err(InvalidMessage::HandshakeTooLong {
            kind: HandshakeType::CLIENT_HELLO,
            length: 4 + MAX_PLAINTEXT,
            limit: MAX_PLAINTEXT
        }
        .into())
    );

    let mut buffer = vec![0; FULL_INBOUND];
    let mut inbound = Inbound::new(&mut buffer);
    feed(&mut inbound, &plain(22, &[&[1, 0, 0x3f, 0xfc][..], &[0; 300]].concat())).unwrap();
    assert_eq!(inbound.message(), Ok(None));
    assert_eq!(
        feed(&mut inbound, &[22, 3, 3, 0x40, 0]),
        Err(InvalidMessage::HandshakeTooLong {
            kind: HandshakeType::CLIENT_HELLO,
            length: 304 + MAX_PLAINTEXT,
            limit: FULL_INBOUND - HEADER_LEN
        }
        .into())
    );
}

#[test]
fn messages_of_each_type_have_a_limit() {
    use crate::msg::{MAX_CERTIFICATE_MESSAGE, MAX_MESSAGE};

    for kind in (0..=255).map(HandshakeType) {
        let limit = match kind {
            HandshakeType::CERTIFICATE | HandshakeType::CERTIFICATE_REQUEST => MAX_CERTIFICATE_MESSAGE,
            _ => MAX_MESSAGE,
        };
        for (size, limit) in [
            (FULL_INBOUND, MAX_MESSAGE),
            (FULL_INBOUND + MAX_CERTIFICATE_MESSAGE, limit),
        ] {
            let mut buffer = vec![0; size];
            for length in [limit, limit + 1] {
                let [.., high, middle, low] = (length - 4).to_be_bytes();
                let mut inbound = Inbound::new(&mut buffer);
                feed(&mut inbound, &plain(22, &[kind.0, high, middle, low])).unwrap();
                let error = InvalidMessage::HandshakeTooLong { kind, length, limit };
                let expected = if length > limit { Err(error.into()) } else { Ok(None) };
                assert_eq!(inbound.message(), expected);
            }
        }
    }
    let error = InvalidMessage::HandshakeTooLong {
        kind: HandshakeType::CERTIFICATE,
        length: 24_000,
        limit: MAX_MESSAGE,
    };
    assert_eq!(
        error.to_string(),
        "handshake message certificate (11) of 24000 bytes is over the limit of 16384 bytes"
    );
}
