//! Tests of the sending side.

use super::*;
use crate::crypto::aead::AeadAlgorithm;
use crate::crypto::suite::CipherSuite;
use crate::record::{PendingKey, Protected};
use crate::registry::HandshakeType;

fn key(suite: CipherSuite) -> RecordKey {
    RecordKey::new(TrafficSecret::new(suite, &[7; 48][..suite.hash().output_len()])).unwrap()
}

/// Opens every record that waits, with `key`, and takes them off.
fn opened(outbound: &mut Outbound<'_>, key: &mut RecordKey) -> Vec<(ContentType, Vec<u8>)> {
    let mut bytes = outbound.pending().to_vec();
    outbound.sent(bytes.len());
    let mut records = Vec::new();
    let mut rest = &mut bytes[..];
    while !rest.is_empty() {
        let header = Header::parse(rest, Protected::Tls13).unwrap().unwrap();
        let (record, after) = rest.split_at_mut(HEADER_LEN + header.length);
        let (content, range) = key.open(header, &mut record[HEADER_LEN..]).unwrap();
        records.push((content, record[HEADER_LEN..][range].to_vec()));
        if content == ContentType::HANDSHAKE {
            *key = RecordKey::new(key.next_secret().unwrap()).unwrap();
        }
        rest = after;
    }
    records
}

#[test]
fn a_key_is_replaced_before_its_limit_is_passed() {
    for suite in [CipherSuite::Aes128GcmSha256, CipherSuite::Aes256GcmSha384] {
        let mut buffer = [0; 1024];
        let mut outbound = Outbound::new(&mut buffer);
        let limit = suite.aead().record_limit();
        let mut sealer = key(suite);
        let mut opener = key(suite);
        sealer.set_sequence(limit - 2);
        opener.set_sequence(limit - 2);
        outbound.key = Some(sealer);
        for text in [b"one", b"two", b"six"] {
            assert_eq!(outbound.data(text), Ok(3));
        }
        let data = |text: &[u8]| (ContentType::APPLICATION_DATA, text.to_vec());
        assert_eq!(
            opened(&mut outbound, &mut opener),
            [
                data(b"one"),
                // RFC 8446 §5.5: the KeyUpdate itself is the last record that the key protects.
                (ContentType::HANDSHAKE, vec![HandshakeType::KEY_UPDATE.0, 0, 0, 1, 0]),
                data(b"two"),
                data(b"six"),
            ]
        );
    }
}

#[test]
fn a_key_of_tls12_ends_with_close_notify_at_its_limit() {
    for aead in [AeadAlgorithm::Aes128Gcm, AeadAlgorithm::Aes256Gcm] {
        let new = || {
            let pending = PendingKey::new(aead, &[7; 32][..aead.key_len()], &[8; 4]).unwrap();
            let mut key = RecordKey::new_tls12(&pending).unwrap();
            key.set_sequence(aead.record_limit() - 2);
            key
        };
        let mut buffer = [0; 1024];
        let mut outbound = Outbound::new(&mut buffer);
        outbound.key = Some(new());
        assert_eq!(outbound.data(b"last"), Ok(4));
        assert_eq!(outbound.data(b"over"), Err(Error::KeyLimit));
        assert!(outbound.closed);
        // No KeyUpdate, which there is not in TLS 1.2.
        let (mut opener, mut bytes) = (new(), outbound.pending().to_vec());
        let mut records = Vec::new();
        let mut rest = &mut bytes[..];
        while !rest.is_empty() {
            let header = Header::parse(rest, Protected::Tls12).unwrap().unwrap();
            let (record, after) = rest.split_at_mut(HEADER_LEN + header.length);
            let (content, range) = opener.open(header, &mut record[HEADER_LEN..]).unwrap();
            records.push((content, record[HEADER_LEN..][range].to_vec()));
            rest = after;
        }
        assert_eq!(
            records,
            [
                (ContentType::APPLICATION_DATA, b"last".to_vec()),
                (ContentType::ALERT, vec![1, 0]),
            ]
        );
    }
}

#[test]
fn an_alert_and_a_key_update_find_room_however_full_the_buffer_is() {
    let suite = CipherSuite::ChaCha20Poly1305Sha256;
    let text = [0x5a; 4096];
    for size in (MIN_OUTBOUND..MIN_OUTBOUND + 120).step_by(7) {
        for length in [1, 2, 10, 22, 23, 24, 25, 100, 500, 900, 4096] {
            let mut buffer = vec![0; size];
            let mut outbound = Outbound::new(&mut buffer);
            outbound.key = Some(key(suite));
            let mut count = 0;
            loop {
                match outbound.data(&text[..length]).unwrap() {
                    0 => break,
                    taken => count += taken,
                }
            }
            assert!(count > 0);
            assert!(outbound.has_room_for_key_update());
            outbound.key_update().unwrap();
            outbound.alert(AlertDescription::BAD_RECORD_MAC);
            let records = opened(&mut outbound, &mut key(suite));
            let sent: usize = records
                .iter()
                .filter(|record| record.0 == ContentType::APPLICATION_DATA)
                .map(|record| record.1.len())
                .sum();
            assert_eq!(sent, count);
            let [.., update, alert] = &records[..] else { panic!() };
            assert_eq!(
                *update,
                (ContentType::HANDSHAKE, vec![HandshakeType::KEY_UPDATE.0, 0, 0, 1, 0])
            );
            assert_eq!(*alert, (ContentType::ALERT, vec![2, 20]));
        }
    }
}

#[test]
fn a_flight_longer_than_a_record_comes_out_whole() {
    let sealer = |protected| match protected {
        Protected::No => None,
        Protected::Tls13 => Some(key(CipherSuite::Aes128GcmSha256)),
        Protected::Tls12 => {
            let pending = PendingKey::new(AeadAlgorithm::Aes128Gcm, &[7; 16], &[8; 4]).unwrap();
            RecordKey::new_tls12(&pending).ok()
        }
    };
    let text: Vec<u8> = (0..MAX_PLAINTEXT * 3).map(|index| (index / 251) as u8).collect();
    for length in [
        0,
        1,
        MAX_PLAINTEXT - 1,
        MAX_PLAINTEXT,
        MAX_PLAINTEXT + 1,
        2 * MAX_PLAINTEXT,
        3 * MAX_PLAINTEXT - 5,
    ] {
        for protected in [Protected::No, Protected::Tls13, Protected::Tls12] {
            let overhead = HEADER_LEN + sealer(protected).map_or(0, |key| key.overhead());
            let records = length.div_ceil(MAX_PLAINTEXT).max(1);
            let mut buffer = vec![0; length + records * overhead];
            let mut outbound = Outbound::new(&mut buffer);
            let mut opener = sealer(protected);
            outbound.key = sealer(protected);
            outbound
                .handshake(|writer| writer.bytes(&text[..length]).map_err(|_| NO_SPACE))
                .unwrap();
            let mut bytes = outbound.pending().to_vec();
            let mut rest = &mut bytes[..];
            let mut back = Vec::new();
            while !rest.is_empty() {
                let header = Header::parse(rest, protected).unwrap().unwrap();
                let (record, after) = rest.split_at_mut(HEADER_LEN + header.length);
                let payload = &mut record[HEADER_LEN..];
                let content = match &mut opener {
                    Some(key) => key.open(header, payload).unwrap().1,
                    None => 0..header.length,
                };
                back.extend_from_slice(&payload[content]);
                rest = after;
            }
            assert!(back == text[..length]);
            // One byte less and it does not fit, which is an error and no panic.
            let mut buffer = vec![0; length + records * overhead - 1];
            let mut outbound = Outbound::new(&mut buffer);
            outbound.key = sealer(protected);
            outbound
                .handshake(|writer| writer.bytes(&text[..length]).map_err(|_| NO_SPACE))
                .unwrap_err();
        }
    }
}

#[test]
fn nothing_follows_the_last_alert() {
    let mut buffer = [0; 1024];
    let mut outbound = Outbound::new(&mut buffer);
    outbound.alert(AlertDescription::CLOSE_NOTIFY);
    outbound.alert(AlertDescription::DECODE_ERROR);
    assert!(outbound.closed);
    let late = outbound.handshake(|writer| writer.bytes(&[2, 0, 0, 0]).map_err(|_| NO_SPACE));
    assert_eq!(late, Err(Misuse::WriteAfterClose.into()));
    assert_eq!(outbound.pending(), [21, 3, 3, 0, 2, 1, 0]);
}
