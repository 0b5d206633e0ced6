//! A man in the middle of TLS 1.3 without a private key.

use crate::client::{KeyPair, Keys, Suite};
use crate::hello::{KEY_SHARE, SECP256R1, SUPPORTED_VERSIONS, message, record, vector8, vector16};

/// What he sends in the place of the server's flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flight {
    /// EncryptedExtensions and Finished: neither Certificate nor CertificateVerify.
    Unauthenticated,
    /// The server's own certificates, which everybody can have, but no CertificateVerify.
    Unsigned,
    /// One protected record without anything in it, not even a content type.
    Empty,
}

/// He, as the server that a client takes him for. Keys and Finished are right: they only take a key exchange.
pub struct Impostor {
    flight: Flight,
    /// The certificate that he has seen somewhere.
    certificate: Vec<u8>,
    input: Vec<u8>,
    /// What waits for the client.
    pub output: Vec<u8>,
    transcript: Vec<u8>,
    write: Option<Keys>,
    read: Option<Keys>,
    /// The keys of the client's data.
    traffic: Option<Keys>,
    /// The Finished that the client owes.
    finished: Vec<u8>,
    /// Whether it came: the client believes that the connection is established.
    pub believed: bool,
    /// What the client confided.
    pub heard: Vec<u8>,
    /// The alert that the client sent.
    pub alert: Option<u8>,
}

impl Impostor {
    /// Waits for a ClientHello.
    pub fn new(flight: Flight, certificate: &[u8]) -> Self {
        Self {
            flight,
            certificate: certificate.to_vec(),
            input: Vec::new(),
            output: Vec::new(),
            transcript: Vec::new(),
            write: None,
            read: None,
            traffic: None,
            finished: Vec::new(),
            believed: false,
            heard: Vec::new(),
            alert: None,
        }
    }

    /// Takes bytes of the client's.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        while let Some(&[_, _, _, high, low]) = self.input.first_chunk::<5>() {
            let length = 5 + usize::from(u16::from_be_bytes([high, low]));
            if self.input.len() < length {
                break;
            }
            let record: Vec<u8> = self.input.drain(..length).collect();
            match record[0] {
                20 => {}
                21 => self.alert = Some(record[6]),
                22 => self.answer(&record[5..]),
                _ => self.open(&record),
            }
        }
    }

    /// Says `text` to the client, as the server would.
    pub fn say(&mut self, text: &[u8]) {
        let record = self.write.as_mut().unwrap().seal(23, text);
        self.output.extend(record);
    }

    fn open(&mut self, record: &[u8]) {
        let (content, text) = self.read.as_mut().unwrap().open(record).unwrap();
        match content {
            21 => self.alert = Some(text[1]),
            22 => {
                assert_eq!(text, self.finished);
                self.believed = true;
                self.read = self.traffic.take();
            }
            _ => self.heard.extend(text),
        }
    }

    fn answer(&mut self, hello: &[u8]) {
        let (session_id, theirs) = Self::parse(hello);
        let suite = Suite::new(0x1301);
        let pair = KeyPair::new(SECP256R1);
        let share = [&SECP256R1.to_be_bytes()[..], &vector16(&pair.public)].concat();
        let extensions = [
            [&KEY_SHARE.to_be_bytes()[..], &vector16(&share)].concat(),
            [&SUPPORTED_VERSIONS.to_be_bytes()[..], &vector16(&[3, 4])].concat(),
        ]
        .concat();
        let server_hello = [
            &[3, 3][..],
            &[0x6d; 32],
            &vector8(&session_id),
            &suite.id.to_be_bytes(),
            &[0],
            &vector16(&extensions),
        ]
        .concat();
        let server_hello = message(2, &server_hello);
        self.transcript = [hello, &server_hello].concat();
        self.output.extend(record(22, &server_hello));
        if !session_id.is_empty() {
            self.output.extend(record(20, &[1]));
        }

        let shared = pair.agree(&theirs);
        let early = suite.hmac(suite.zeros(), suite.zeros());
        let handshake = suite.hmac(&suite.derive(&early, "derived", &[]), &shared);
        let master = suite.hmac(&suite.derive(&handshake, "derived", &[]), suite.zeros());
        let mut write = Keys::new(suite, suite.derive(&handshake, "s hs traffic", &self.transcript));
        let read = Keys::new(suite, suite.derive(&handshake, "c hs traffic", &self.transcript));
        if self.flight == Flight::Empty {
            self.output.extend(write.seal_inner(&[]));
            (self.write, self.read) = (Some(write), Some(read));
            return;
        }
        let mut flight = message(8, &vector16(&[]));
        if self.flight == Flight::Unsigned {
            let entry = [&vector24(&self.certificate)[..], &vector16(&[])].concat();
            flight.extend(message(11, &[&vector8(&[])[..], &vector24(&entry)].concat()));
        }
        self.transcript.extend_from_slice(&flight);
        let finished = write.finished(&self.transcript);
        flight.extend_from_slice(&finished);
        self.transcript.extend(finished);
        self.output.extend(write.seal(22, &flight));

        self.finished = read.finished(&self.transcript);
        self.read = Some(read);
        let traffic = |label| Keys::new(suite, suite.derive(&master, label, &self.transcript));
        self.write = Some(traffic("s ap traffic"));
        self.traffic = Some(traffic("c ap traffic"));
    }

    /// The session id and the share for P-256 in a ClientHello.
    fn parse(hello: &[u8]) -> (Vec<u8>, Vec<u8>) {
        assert_eq!(hello[0], 1);
        let mut rest = &hello[4 + 2 + 32..];
        let session_id = vector(&mut rest, 1);
        let suites = vector(&mut rest, 2);
        assert!(suites.chunks(2).any(|suite| suite == [0x13, 0x01]));
        vector(&mut rest, 1);
        let extensions = vector(&mut rest, 2);
        let mut rest = &extensions[..];
        while !rest.is_empty() {
            let kind = take(&mut rest, 2);
            let body = vector(&mut rest, 2);
            if kind == KEY_SHARE.to_be_bytes() {
                let shares = vector(&mut &body[..], 2);
                let mut shares = &shares[..];
                while !shares.is_empty() {
                    let group = take(&mut shares, 2);
                    let public = vector(&mut shares, 2);
                    if group == SECP256R1.to_be_bytes() {
                        return (session_id, public);
                    }
                }
            }
        }
        panic!("no share for P-256")
    }
}

fn take(rest: &mut &[u8], count: usize) -> Vec<u8> {
    let (head, tail) = rest.split_at(count);
    *rest = tail;
    head.to_vec()
}

/// A vector whose length takes that many bytes.
fn vector(rest: &mut &[u8], bytes: usize) -> Vec<u8> {
    let length = take(rest, bytes)
        .iter()
        .fold(0, |length, &byte| length << 8 | usize::from(byte));
    take(rest, length)
}

fn vector24(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[1..], bytes].concat()
}
