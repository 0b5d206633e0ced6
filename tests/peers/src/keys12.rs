//! The record protection of TLS 1.2 (RFC 5288, RFC 7905).

use ring::aead;

use crate::hello::record;

/// The keys of one direction.
pub(crate) struct Keys12 {
    key: aead::LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

impl Keys12 {
    /// For the first record.
    pub(crate) fn new(algorithm: &'static aead::Algorithm, key: &[u8], iv: &[u8]) -> Self {
        Self {
            key: aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key).unwrap()),
            iv: iv.to_vec(),
            sequence: 0,
        }
    }

    /// Nonce, explicit part of it, and additional data for the next record.
    fn next(&mut self, content: u8, length: usize) -> (aead::Nonce, Vec<u8>, Vec<u8>) {
        let number = self.sequence.to_be_bytes();
        self.sequence += 1;
        let (nonce, explicit) = if self.iv.len() == 4 {
            ([&self.iv[..], &number].concat(), number.to_vec())
        } else {
            let mut nonce = self.iv.clone();
            nonce[4..]
                .iter_mut()
                .zip(number)
                .for_each(|(byte, number)| *byte ^= number);
            (nonce, Vec::new())
        };
        let [high, low] = (length as u16).to_be_bytes();
        let aad = [&number[..], &[content, 3, 3, high, low]].concat();
        let nonce = aead::Nonce::assume_unique_for_key(nonce.try_into().unwrap());
        (nonce, explicit, aad)
    }

    pub(crate) fn seal(&mut self, content: u8, text: &[u8]) -> Vec<u8> {
        let (nonce, explicit, aad) = self.next(content, text.len());
        let mut text = text.to_vec();
        self.key
            .seal_in_place_append_tag(nonce, aead::Aad::from(aad), &mut text)
            .unwrap();
        record(content, &[explicit, text].concat())
    }

    pub(crate) fn open(&mut self, bytes: &[u8]) -> (u8, Vec<u8>) {
        let explicit = if self.iv.len() == 4 { 8 } else { 0 };
        let (nonce, sent, aad) = self.next(bytes[0], bytes.len() - 5 - explicit - 16);
        // The sequence number is what we use.
        assert_eq!(bytes[5..5 + explicit], sent);
        let mut text = bytes[5 + explicit..].to_vec();
        let length = self
            .key
            .open_in_place(nonce, aead::Aad::from(aad), &mut text)
            .unwrap()
            .len();
        text.truncate(length);
        (bytes[0], text)
    }
}
