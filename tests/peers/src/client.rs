//! A TLS 1.3 client on ring's primitives that can misbehave on purpose.

use ring::{aead, agreement, digest, hmac, rand::SystemRandom, signature};

use crate::hello::{Hello, KEY_SHARE, SECP256R1, SUPPORTED_VERSIONS, X25519, key_shares, message};
use crate::probe::Probe;

const ZEROS: [u8; 48] = [0; 48];

/// SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
fn retry_random() -> Vec<u8> {
    digest::digest(&digest::SHA256, b"HelloRetryRequest").as_ref().to_vec()
}

/// A cipher suite.
#[derive(Debug, Clone, Copy)]
pub struct Suite {
    /// The IANA number.
    pub id: u16,
    digest: &'static digest::Algorithm,
    hmac: hmac::Algorithm,
    /// What protects the records.
    pub aead: &'static aead::Algorithm,
}

impl Suite {
    /// The suite with an IANA number.
    pub fn new(id: u16) -> Self {
        let (digest, hmac, aead) = match id {
            0x1301 | 0xc02b | 0xc02f => (&digest::SHA256, hmac::HMAC_SHA256, &aead::AES_128_GCM),
            0x1302 | 0xc02c | 0xc030 => (&digest::SHA384, hmac::HMAC_SHA384, &aead::AES_256_GCM),
            0x1303 | 0xcca8 | 0xcca9 => (&digest::SHA256, hmac::HMAC_SHA256, &aead::CHACHA20_POLY1305),
            _ => panic!("suite {id:#06x}"),
        };
        Self { id, digest, hmac, aead }
    }

    /// The hash of the transcript.
    pub fn hash(&self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.digest, bytes).as_ref().to_vec()
    }

    /// HMAC with that hash.
    pub fn hmac(&self, key: &[u8], message: &[u8]) -> Vec<u8> {
        hmac::sign(&hmac::Key::new(self.hmac, key), message).as_ref().to_vec()
    }

    /// HKDF-Expand-Label (RFC 8446 §7.1) of at most one block.
    fn expand_label(&self, secret: &[u8], label: &str, context: &[u8], length: usize) -> Vec<u8> {
        let mut info = (length as u16).to_be_bytes().to_vec();
        info.push(6 + label.len() as u8);
        info.extend_from_slice(b"tls13 ");
        info.extend_from_slice(label.as_bytes());
        info.push(context.len() as u8);
        info.extend_from_slice(context);
        info.push(1);
        let mut block = self.hmac(secret, &info);
        block.truncate(length);
        block
    }

    pub(crate) fn derive(&self, secret: &[u8], label: &str, transcript: &[u8]) -> Vec<u8> {
        self.expand_label(secret, label, &self.hash(transcript), self.digest.output_len())
    }

    pub(crate) fn zeros(&self) -> &'static [u8] {
        &ZEROS[..self.digest.output_len()]
    }
}

/// The keys of one direction.
pub struct Keys {
    suite: Suite,
    secret: Vec<u8>,
    key: aead::LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Keys {
    /// Those that follow from a traffic secret (RFC 8446 §7.3).
    pub fn new(suite: Suite, secret: Vec<u8>) -> Self {
        let key = suite.expand_label(&secret, "key", &[], suite.aead.key_len());
        let iv = suite.expand_label(&secret, "iv", &[], 12);
        Self {
            suite,
            secret,
            key: aead::LessSafeKey::new(aead::UnboundKey::new(suite.aead, &key).unwrap()),
            iv: iv.try_into().unwrap(),
            sequence: 0,
        }
    }

    /// The next generation (RFC 8446 §7.2).
    pub fn next_generation(&self) -> Self {
        let length = self.secret.len();
        let secret = self.suite.expand_label(&self.secret, "traffic upd", &[], length);
        Self::new(self.suite, secret)
    }

    /// Changes to the next generation.
    pub fn update(&mut self) {
        *self = self.next_generation();
    }

    /// A protected record of `text`.
    pub fn seal(&mut self, content: u8, text: &[u8]) -> Vec<u8> {
        self.seal_inner(&[text, &[content]].concat())
    }

    /// A protected record whose inner plaintext, content type and padding included, is `inner`.
    pub fn seal_inner(&mut self, inner: &[u8]) -> Vec<u8> {
        let length = u16::try_from(inner.len() + 16).unwrap().to_be_bytes();
        let header = [23, 3, 3, length[0], length[1]];
        let mut text = inner.to_vec();
        let nonce = self.nonce();
        self.key
            .seal_in_place_append_tag(nonce, aead::Aad::from(header), &mut text)
            .unwrap();
        [&header[..], &text].concat()
    }

    /// The content type and the content of a protected record.
    pub fn open(&mut self, record: &[u8]) -> Result<(u8, Vec<u8>), ring::error::Unspecified> {
        let (header, payload) = record.split_first_chunk::<5>().unwrap();
        assert_eq!(header[..3], [23, 3, 3], "not a protected record");
        let mut payload = payload.to_vec();
        let nonce = self.nonce();
        let inner = self.key.open_in_place(nonce, aead::Aad::from(*header), &mut payload)?;
        let content = inner.iter().rposition(|&byte| byte != 0).unwrap();
        Ok((inner[content], inner[..content].to_vec()))
    }

    /// The bytes of a Finished message (RFC 8446 §4.4.4).
    pub fn finished(&self, transcript: &[u8]) -> Vec<u8> {
        let key = self
            .suite
            .expand_label(&self.secret, "finished", &[], self.secret.len());
        message(20, &self.suite.hmac(&key, &self.suite.hash(transcript)))
    }

    fn nonce(&mut self) -> aead::Nonce {
        let mut nonce = self.iv;
        for (byte, number) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= number;
        }
        self.sequence += 1;
        aead::Nonce::assume_unique_for_key(nonce)
    }
}

/// A signature with `key`, ECDSA P-256 as PKCS#8 in DER.
pub fn signed(key: &[u8], content: &[u8]) -> Vec<u8> {
    let random = SystemRandom::new();
    let key = signature::EcdsaKeyPair::from_pkcs8(&signature::ECDSA_P256_SHA256_ASN1_SIGNING, key, &random).unwrap();
    key.sign(&random, content).unwrap().as_ref().to_vec()
}

enum Private {
    Ring(&'static agreement::Algorithm, agreement::EphemeralPrivateKey),
    /// An X25519 key that is the same each time.
    Fixed([u8; 32]),
}

/// A key pair for the key exchange.
pub struct KeyPair {
    /// The group's number.
    pub group: u16,
    /// What goes into the key share.
    pub public: Vec<u8>,
    private: Private,
}

impl KeyPair {
    /// A new one.
    pub fn new(group: u16) -> Self {
        let algorithm = match group {
            X25519 => &agreement::X25519,
            SECP256R1 => &agreement::ECDH_P256,
            _ => panic!("group {group:#06x}"),
        };
        let private = agreement::EphemeralPrivateKey::generate(algorithm, &SystemRandom::new()).unwrap();
        Self {
            group,
            public: private.compute_public_key().unwrap().as_ref().to_vec(),
            private: Private::Ring(algorithm, private),
        }
    }

    /// One for X25519 that is the same each time.
    pub fn fixed() -> Self {
        let private = [0x42; 32];
        Self {
            group: X25519,
            public: x25519_dalek::x25519(private, x25519_dalek::X25519_BASEPOINT_BYTES).to_vec(),
            private: Private::Fixed(private),
        }
    }

    pub(crate) fn agree(self, public: &[u8]) -> Vec<u8> {
        match self.private {
            Private::Ring(algorithm, private) => {
                let public = agreement::UnparsedPublicKey::new(algorithm, public);
                agreement::agree_ephemeral(private, &public, <[u8]>::to_vec).unwrap()
            }
            Private::Fixed(private) => x25519_dalek::x25519(private, public.try_into().unwrap()).to_vec(),
        }
    }
}

/// The content of a ServerHello.
#[derive(Debug)]
pub struct ServerHello {
    /// Whether it is a HelloRetryRequest.
    pub retry: bool,
    /// The chosen suite.
    pub suite: u16,
    /// The chosen group.
    pub group: u16,
    /// The server's public value; empty in a HelloRetryRequest.
    pub public: Vec<u8>,
}

impl ServerHello {
    /// Reads the message and checks all that RFC 8446 §4.1.3 fixes.
    pub fn parse(message: &[u8], hello: &Hello) -> Self {
        assert_eq!(message[0], 2);
        let mut body = &message[4..];
        let mut take = |count: usize| {
            let (head, tail) = body.split_at(count);
            body = tail;
            head
        };
        let number = |bytes: &[u8]| u16::from_be_bytes(bytes.try_into().unwrap());
        assert_eq!(number(take(2)), 0x0303);
        let retry = take(32) == retry_random();
        let length = take(1)[0];
        assert_eq!(take(length.into()), hello.session_id);
        let suite = number(take(2));
        assert!(hello.suites.contains(&suite));
        assert_eq!(take(1), [0]);
        let mut left = usize::from(number(take(2)));
        let (mut group, mut public, mut version) = (0, Vec::new(), 0);
        while left > 0 {
            let kind = number(take(2));
            let length = usize::from(number(take(2)));
            left -= 4 + length;
            let value = take(length);
            match kind {
                KEY_SHARE => {
                    group = number(&value[..2]);
                    public = if retry { Vec::new() } else { value[4..].to_vec() };
                }
                SUPPORTED_VERSIONS => version = number(value),
                _ => panic!("extension {kind}"),
            }
        }
        assert_eq!(version, 0x0304);
        assert!(body.is_empty());
        Self {
            retry,
            suite,
            group,
            public,
        }
    }
}

/// A client.
pub struct Client {
    /// Its (last) hello.
    pub hello: Hello,
    /// What it protects its next record with.
    pub write: Option<Keys>,
    /// What the server protects its next record with.
    pub read: Option<Keys>,
    /// Its Finished message, once the server's flight was read.
    pub finished: Vec<u8>,
    /// What follows after its Finished.
    pub traffic: Option<Keys>,
    pair: Option<KeyPair>,
    transcript: Vec<u8>,
}

impl Client {
    /// A client with a share for `group`.
    pub fn new(group: u16) -> Self {
        let pair = KeyPair::new(group);
        let hello = Hello::new(&[(group, &pair.public)]);
        Self::with_hello(hello, Some(pair))
    }

    /// A client that sends `hello`.
    pub fn with_hello(hello: Hello, pair: Option<KeyPair>) -> Self {
        Self {
            hello,
            write: None,
            read: None,
            finished: Vec::new(),
            traffic: None,
            pair,
            transcript: Vec::new(),
        }
    }

    /// The record of the ClientHello.
    pub fn hello_record(&mut self) -> Vec<u8> {
        let record = self.hello.record();
        self.transcript.extend_from_slice(&record[5..]);
        record
    }

    /// Reads a HelloRetryRequest and what belongs to it, and returns the group it asks for.
    pub fn read_retry(&mut self, probe: &mut Probe<'_>) -> u16 {
        let record = probe.record().expect("no HelloRetryRequest");
        assert_eq!(record[0], 22);
        let request = ServerHello::parse(&record[5..], &self.hello);
        assert!(request.retry);
        self.read_change_cipher_spec(probe);
        let suite = Suite::new(request.suite);
        self.transcript = message(254, &suite.hash(&self.transcript));
        self.transcript.extend_from_slice(&record[5..]);
        request.group
    }

    /// The second hello: the first with a new share for `group` in the place of all others.
    pub fn retry(&mut self, group: u16) {
        let pair = KeyPair::new(group);
        self.hello = self.hello.clone().with(KEY_SHARE, key_shares(&[(group, &pair.public)]));
        self.pair = Some(pair);
    }

    /// Reads the server's flight, checks all of it, and makes the keys. `first`: there was no retry before it.
    pub fn read_flight(&mut self, probe: &mut Probe<'_>, first: bool) -> ServerHello {
        let record = probe.record().expect("no ServerHello");
        assert_eq!(record[..3], [22, 3, 3], "{record:?}");
        let hello = ServerHello::parse(&record[5..], &self.hello);
        assert!(!hello.retry);
        self.transcript.extend_from_slice(&record[5..]);
        if first {
            self.read_change_cipher_spec(probe);
        }
        let suite = Suite::new(hello.suite);
        let pair = self.pair.take().unwrap();
        assert_eq!(pair.group, hello.group);
        let shared = pair.agree(&hello.public);
        let early = suite.hmac(suite.zeros(), suite.zeros());
        let handshake = suite.hmac(&suite.derive(&early, "derived", &[]), &shared);
        let master = suite.hmac(&suite.derive(&handshake, "derived", &[]), suite.zeros());
        let mut server = Keys::new(suite, suite.derive(&handshake, "s hs traffic", &self.transcript));
        let client = Keys::new(suite, suite.derive(&handshake, "c hs traffic", &self.transcript));

        let mut flight = Vec::new();
        for kind in [8, 11, 15, 20] {
            let message = loop {
                if let Some(&[_, high, middle, low]) = flight.first_chunk::<4>() {
                    let length = 4 + u32::from_be_bytes([0, high, middle, low]) as usize;
                    if flight.len() >= length {
                        break flight.drain(..length).collect::<Vec<u8>>();
                    }
                }
                let record = probe.record().expect("the flight is cut short");
                let (content, text) = server.open(&record).unwrap();
                assert_eq!(content, 22);
                flight.extend(text);
            };
            assert_eq!(message[0], kind);
            if kind == 15 {
                self.check_signature(suite, &message);
            }
            if kind == 20 {
                assert_eq!(message, server.finished(&self.transcript));
            }
            self.transcript.extend(message);
        }
        assert!(flight.is_empty());
        self.finished = client.finished(&self.transcript);
        self.write = Some(client);
        self.read = Some(Keys::new(
            suite,
            suite.derive(&master, "s ap traffic", &self.transcript),
        ));
        self.traffic = Some(Keys::new(
            suite,
            suite.derive(&master, "c ap traffic", &self.transcript),
        ));
        hello
    }

    /// The record of the Finished; after it come application keys.
    pub fn finish(&mut self) -> Vec<u8> {
        let finished = self.finished.clone();
        let record = self.seal(22, &finished);
        self.write = self.traffic.take();
        record
    }

    /// Runs a whole handshake with `probe`.
    pub fn handshake(&mut self, probe: &mut Probe<'_>) {
        self.hello(probe);
        let finished = self.finish();
        probe.feed(&finished).unwrap();
        assert!(!probe.server.is_handshaking());
        assert!(probe.is_silent());
    }

    /// Sends the ClientHello and reads the server's flight.
    pub fn hello(&mut self, probe: &mut Probe<'_>) {
        let hello = self.hello_record();
        probe.feed(&hello).unwrap();
        self.read_flight(probe, true);
    }

    /// A protected record.
    pub fn seal(&mut self, content: u8, text: &[u8]) -> Vec<u8> {
        self.write.as_mut().unwrap().seal(content, text)
    }

    /// A protected record with this inner plaintext.
    pub fn seal_inner(&mut self, inner: &[u8]) -> Vec<u8> {
        self.write.as_mut().unwrap().seal_inner(inner)
    }

    /// Opens the next record of the server.
    pub fn open(&mut self, probe: &mut Probe<'_>) -> (u8, Vec<u8>) {
        let record = probe.record().expect("the server is silent");
        self.read.as_mut().unwrap().open(&record).unwrap()
    }

    fn read_change_cipher_spec(&self, probe: &mut Probe<'_>) {
        // RFC 8446 §D.4: right after the server's first message, if the client sent a session id.
        if !self.hello.session_id.is_empty() {
            assert_eq!(probe.record().unwrap(), [20, 3, 3, 0, 1, 1]);
        }
    }

    fn check_signature(&self, suite: Suite, message: &[u8]) {
        assert_eq!(message[4..6], [0x04, 0x03]);
        let content = [
            &[0x20; 64][..],
            b"TLS 1.3, server CertificateVerify\0",
            &suite.hash(&self.transcript),
        ]
        .concat();
        signature::UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_ASN1, &crate::pki().public)
            .verify(&content, &message[8..])
            .unwrap();
    }
}
