use super::*;
use crate::crypto::suite::CipherSuite;

fn keys(suite: CipherSuite) -> (RecordKey, RecordKey) {
    if suite.version() == ProtocolVersion::TLS12 {
        let (key, iv) = ([8; 32], [9; 12]);
        let (key, iv) = (&key[..suite.aead().key_len()], &iv[..tls12_iv_len(suite.aead())]);
        let make = || RecordKey::new_tls12(&PendingKey::new(suite.aead(), key, iv).unwrap()).unwrap();
        return (make(), make());
    }
    let secret = || TrafficSecret::new(suite, &[7; 48][..suite.hash().output_len()]);
    (RecordKey::new(secret()).unwrap(), RecordKey::new(secret()).unwrap())
}

fn sealed(key: &mut RecordKey, content: ContentType, text: &[u8]) -> Vec<u8> {
    let mut record = vec![0; HEADER_LEN + text.len() + key.overhead()];
    record[HEADER_LEN + key.prefix()..][..text.len()].copy_from_slice(text);
    assert_eq!(key.seal(content, text.len(), &mut record).unwrap(), record.len());
    record
}

fn opened(key: &mut RecordKey, record: &mut [u8]) -> Result<(ContentType, Vec<u8>), Error> {
    let header = Header::parse(
        record,
        if key.is_tls13() {
            Protected::Tls13
        } else {
            Protected::Tls12
        },
    )?
    .unwrap();
    let payload = &mut record[HEADER_LEN..];
    let (content, range) = key.open(header, payload)?;
    Ok((content, payload[range].to_vec()))
}

#[test]
fn records_come_back_in_order_only() {
    for suite in CipherSuite::ALL {
        let (mut sealer, mut opener) = keys(suite);
        let mut first = sealed(&mut sealer, ContentType::APPLICATION_DATA, b"first");
        let mut second = sealed(&mut sealer, ContentType::HANDSHAKE, b"second");
        let replayed = first.clone();
        assert_eq!(
            opened(&mut opener, &mut first),
            Ok((ContentType::APPLICATION_DATA, b"first".to_vec()))
        );
        assert_eq!(
            opened(&mut opener, &mut replayed.clone()),
            Err(Error::PeerMisbehaved(PeerMisbehaved::BadRecordMac))
        );
        assert_eq!(
            opened(&mut opener, &mut second),
            Ok((ContentType::HANDSHAKE, b"second".to_vec()))
        );
    }
}

#[test]
fn the_header_is_authenticated() {
    let (mut sealer, mut opener) = keys(CipherSuite::Aes128GcmSha256);
    let mut record = sealed(&mut sealer, ContentType::APPLICATION_DATA, b"text");
    record[2] = 1;
    assert_eq!(
        opened(&mut opener, &mut record),
        Err(Error::PeerMisbehaved(PeerMisbehaved::BadRecordMac))
    );
}

#[test]
fn nothing_but_padding_is_refused() {
    let (sealer, mut opener) = keys(CipherSuite::Aes128GcmSha256);
    // A content type of zero is padding, too.
    let header = Header::emit(ContentType::APPLICATION_DATA, 4 + TAG_LEN);
    let mut inner = [0; 4];
    let tag = sealer.key.seal(&sealer.nonce(0), &header, &mut inner).unwrap();
    let mut record = [&header[..], &inner, &tag].concat();
    assert_eq!(
        opened(&mut opener, &mut record),
        Err(InvalidMessage::NoInnerContentType.into())
    );
}

#[test]
fn an_inner_plaintext_over_the_limit_is_refused() {
    let (mut sealer, mut opener) = keys(CipherSuite::Aes128GcmSha256);
    let mut record = sealed(&mut sealer, ContentType::APPLICATION_DATA, &[1; MAX_PLAINTEXT]);
    assert_eq!(opened(&mut opener, &mut record).unwrap().1.len(), MAX_PLAINTEXT);
    let mut record = sealed(&mut sealer, ContentType::APPLICATION_DATA, &[1; MAX_PLAINTEXT + 1]);
    assert_eq!(
        opened(&mut opener, &mut record),
        Err(InvalidMessage::RecordTooLong(MAX_PLAINTEXT + 2).into())
    );
}

#[test]
fn sequence_numbers_do_not_wrap() {
    let (mut sealer, _) = keys(CipherSuite::ChaCha20Poly1305Sha256);
    sealer.set_sequence(u64::MAX);
    let mut record = [0; HEADER_LEN + MAX_OVERHEAD];
    assert!(matches!(
        sealer.seal(ContentType::APPLICATION_DATA, 0, &mut record),
        Err(Error::Internal(_))
    ));
}

#[test]
fn what_is_not_tls_is_refused_at_once() {
    assert_eq!(Header::parse(b"", Protected::No), Ok(None));
    assert_eq!(Header::parse(b"GE", Protected::No), Ok(None));
    assert_eq!(
        Header::parse(b"GET / HTTP/1.1", Protected::No),
        Err(InvalidMessage::Http)
    );
    assert_eq!(
        Header::parse(b"GEX", Protected::No),
        Err(InvalidMessage::ContentType(b'G'))
    );
    assert_eq!(
        Header::parse(&[0x80], Protected::No),
        Err(InvalidMessage::ContentType(0x80))
    );
    assert_eq!(
        Header::parse(&[22, 2, 0], Protected::No),
        Err(InvalidMessage::RecordVersion(ProtocolVersion(0x0200)))
    );
    assert_eq!(
        Header::parse(&[22, 3, 1, 0x40, 0x01], Protected::No),
        Err(InvalidMessage::RecordTooLong(0x4001))
    );
    assert_eq!(
        Header::parse(&[23, 3, 3, 0x41, 0x01], Protected::Tls13),
        Err(InvalidMessage::RecordTooLong(0x4101))
    );
    assert!(matches!(
        Header::parse(&[23, 3, 3, 0x41, 0x00], Protected::Tls13),
        Ok(Some(Header { length: 0x4100, .. }))
    ));
}
