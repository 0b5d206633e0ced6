use std::vec::Vec;

use super::*;

const TWO: &[u8] = b"subject=CN = one\n-----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n\
    issuer=CN = two, - ----\r\n-----BEGIN CERTIFICATE-----\r\nBAUG\r\nBw==\r\n-----END CERTIFICATE-----";

fn decode(block: &Block<'_>) -> Result<Vec<u8>, PemError> {
    let mut out = [0; 256];
    let length = block.decode(&mut out)?;
    Ok(out[..length].to_vec())
}

fn fault(text: &[u8]) -> (PemFault, usize, usize) {
    let error = match certificates(text)
        .map(|block| decode(&block?))
        .collect::<Result<Vec<_>, _>>()
    {
        Ok(decoded) => panic!("{decoded:?}"),
        Err(error) => error,
    };
    (error.fault, error.number, error.offset)
}

#[test]
fn finds_every_block_between_other_text() {
    let found: Vec<_> = blocks(TWO).map(Result::unwrap).collect();
    assert_eq!(
        found
            .iter()
            .map(|block| (block.number, block.offset))
            .collect::<Vec<_>>(),
        [(1, 17), (2, 101)]
    );
    assert_eq!(decode(&found[0]), Ok([1, 2, 3].to_vec()));
    assert_eq!(decode(&found[1]), Ok([4, 5, 6, 7].to_vec()));
    assert_eq!(certificates(TWO).count(), 2);
}

#[test]
fn white_space_is_ignored() {
    let plain = "-----BEGIN X-----\nAQIDBAUGBwgJ\n-----END X-----\n";
    for text in [
        plain.into(),
        plain.replace('\n', "\r\n"),
        plain.replace('\n', "\r"),
        // Blanks at the ends of lines, and in front of them.
        plain.replace('\n', " \t\n"),
        std::format!("    {}", plain.replace('\n', "\n    ")),
        // Lines of uneven length, and empty ones.
        plain.replace("BAU", "BA\nU"),
        plain.replace("BAUG", "\n\nBAUG\n"),
        plain.replace("X-----\n", "X-----\n\n"),
        plain.replace("BAUG", " B\tA U\u{b}G "),
        // Byte order marks, of two files in one.
        std::format!("\u{feff}{plain}\u{feff}{plain}"),
    ] {
        let found: Vec<_> = blocks(text.as_bytes()).map(|block| decode(&block.unwrap())).collect();
        assert!(!found.is_empty(), "{text:?}");
        assert!(found.iter().all(|der| *der == Ok((1..=9).collect())), "{text:?}");
    }
    // More than is decoded at a time.
    for length in [46, 47, 48, 49, 96, 97, 200] {
        let der: Vec<u8> = (0..length).collect();
        let mut space = [0; 300];
        let base64 = Base64::encode(&der, &mut space).unwrap();
        let text = std::format!("-----BEGIN X-----\n{base64}\n-----END X-----\n");
        assert_eq!(decode(&blocks(text.as_bytes()).next().unwrap().unwrap()), Ok(der));
    }
}

#[test]
fn faults_have_block_and_position() {
    assert_eq!(fault(b""), (PemFault::NoCertificate, 0, 0));
    assert_eq!(fault(b"AQID"), (PemFault::NoCertificate, 0, 0));
    assert_eq!(fault(b"x -----BEGIN CERTIFICATE-----\n"), (PemFault::Begin, 1, 2));
    assert_eq!(fault(b"-----BEGIN CERTIFICATE----\n"), (PemFault::Begin, 1, 0));
    assert_eq!(fault(b"-----BEGIN CERTIFICATE-----AQID\n"), (PemFault::Begin, 1, 0));
    assert_eq!(fault(b"-----BEGIN CERTIFICATE-----"), (PemFault::NoEnd, 1, 0));
    assert_eq!(
        fault(b"-----BEGIN CERTIFICATE-----\nAQID\n-----END CERT-----\n"),
        (PemFault::End, 1, 33)
    );
    assert_eq!(
        fault(b"-----BEGIN CERTIFICATE-----\nAQID-----END CERTIFICATE-----\n"),
        (PemFault::End, 1, 32)
    );
    assert_eq!(
        fault(b"-----BEGIN KEY-----\nAQID\n-----END KEY-----\n"),
        (PemFault::NotACertificate, 1, 0)
    );
    let without_end = [&TWO[..50], TWO].concat();
    assert_eq!(fault(&without_end), (PemFault::NoEnd, 1, 17));
    for broken in ["AQ$D", "AQ D$", "AQID\nAQ$D", "AQID\n\nAQ$D"] {
        let text = std::format!("-----BEGIN CERTIFICATE-----\n{broken}\n-----END CERTIFICATE-----\n");
        let at = 28 + text[28..].find('$').unwrap();
        assert_eq!(fault(text.as_bytes()), (PemFault::Base64, 1, at), "{text}");
    }
    for broken in [
        "",
        " \n",
        "A",
        "AQI",
        "AQ==AQ==",
        "AR==",
        &("AQID".repeat(15) + "AQ==AQID"),
    ] {
        let text = std::format!("-----BEGIN CERTIFICATE-----\n{broken}\n-----END CERTIFICATE-----\n");
        assert_eq!(fault(text.as_bytes()), (PemFault::Base64, 1, 0), "{text}");
    }
    let mut small = [0; 2];
    let block = blocks(TWO).next().unwrap().unwrap();
    assert_eq!(block.decode(&mut small).unwrap_err().fault, PemFault::TooLong);
    assert!(is_end(b" -----END X") && !is_end(b"x -----END X") && is_begin(b"\xef\xbb\xbf\t-----BEGIN X"));
}

#[test]
fn nothing_follows_an_error() {
    let mut blocks = blocks(b"-----BEGIN X-----\n-----BEGIN Y-----\nAQID\n-----END Y-----\n");
    assert!(blocks.next().unwrap().is_err());
    assert!(blocks.next().is_none());
}

#[test]
fn revocation_lists_and_keys_are_found() {
    let list = b"-----BEGIN X509 CRL-----\nAQID\n-----END X509 CRL-----\n";
    assert_eq!(crls(&list.repeat(3)).map(Result::unwrap).count(), 3);
    let faults = |result: &mut dyn Iterator<Item = Result<Block<'_>, PemError>>| {
        let faults: Vec<_> = result
            .filter_map(|block| block.err().map(|error| error.fault))
            .collect();
        faults
    };
    assert_eq!(faults(&mut crls(b"")), [PemFault::NoCrl]);
    assert_eq!(faults(&mut crls(TWO)), [PemFault::NotACrl, PemFault::NotACrl]);
    let key = b"-----BEGIN PRIVATE KEY-----\nAQID\n-----END PRIVATE KEY-----\n";
    let all = [&key[..], TWO, b"\n", key].concat();
    let found: Vec<_> = private_keys(&all).map(|block| block.unwrap().number).collect();
    assert_eq!(found, [1, 4]);
    assert_eq!(faults(&mut private_keys(TWO)), [PemFault::NoKey]);
    assert_eq!(faults(&mut private_keys(list)), [PemFault::NotAKey]);
}

#[test]
fn a_private_key_is_found_beside_certificates() {
    let key = b"-----BEGIN EC PARAMETERS-----\nAQID\n-----END EC PARAMETERS-----\n\
        -----BEGIN EC PRIVATE KEY-----\nBAUG\n-----END EC PRIVATE KEY-----\n";
    let all = [TWO, b"\n", key].concat();
    let block = private_key(&all).unwrap();
    assert_eq!((block.label, block.number), ("EC PRIVATE KEY", 4));
    assert_eq!(
        private_key(&[&all[..], key].concat()).unwrap_err().fault,
        PemFault::SecondKey
    );
    assert_eq!(private_key(TWO).unwrap_err().fault, PemFault::NoKey);
    let public = b"-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n";
    assert_eq!(private_key(public).unwrap_err().fault, PemFault::NotAKey);
    let old = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAQID\n\
        -----END RSA PRIVATE KEY-----\n";
    assert_eq!(
        decode(&private_key(old).unwrap()).unwrap_err().fault,
        PemFault::Encrypted
    );
}
