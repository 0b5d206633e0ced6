//! A man in the middle with the keys of both ends, who can forge any message.
//!
//! Keys and Finished messages are computed with ring from what the ends write to their key logs.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};

use chacha20::ChaCha20Rng;
use postern_tls::{AlertDescription, ClientConfig, Connection, Error, KeyLog, Progress, ProtocolVersion, ServerConfig};
use ring::aead;

use crate::client::{Keys as Keys13, Suite, signed};
use crate::hello::{message, record};
use crate::keys12::Keys12;

/// The secrets of one end, by their labels.
#[derive(Default)]
pub struct Secrets(RefCell<HashMap<String, Vec<u8>>>);

impl KeyLog for Secrets {
    fn log(&self, label: &str, _: &[u8; 32], secret: &[u8]) {
        self.0.borrow_mut().insert(label.to_owned(), secret.to_vec());
    }
}

/// What an end needs to live in.
pub struct Room {
    inbound: Vec<u8>,
    outbound: Vec<u8>,
    secrets: Secrets,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            inbound: vec![0; 20_000],
            outbound: vec![0; 40_000],
            secrets: Secrets::default(),
        }
    }
}

impl Room {
    /// With an outbound buffer of so many bytes.
    pub fn with_outbound(bytes: usize) -> Self {
        Self {
            outbound: vec![0; bytes],
            ..Self::default()
        }
    }
}

/// What goes over the wire, without its protection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A handshake message, header included.
    Message(Vec<u8>),
    /// change_cipher_spec.
    ChangeCipherSpec,
    /// An alert: level and description.
    Alert(u8, AlertDescription),
    /// Application data.
    Data(Vec<u8>),
}

impl Item {
    /// The type of the handshake message, if it is one.
    pub fn kind(&self) -> Option<u8> {
        match self {
            Self::Message(message) => Some(message[0]),
            _ => None,
        }
    }

    /// The content of its record: type and bytes.
    pub fn content(&self) -> (u8, Vec<u8>) {
        match self {
            Self::Message(message) => (22, message.clone()),
            Self::ChangeCipherSpec => (20, vec![1]),
            Self::Alert(level, description) => (21, vec![*level, description.0]),
            Self::Data(data) => (23, data.clone()),
        }
    }

    /// The same with another body, if it is a handshake message.
    pub fn map(self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        match self {
            Self::Message(whole) => {
                let mut body = whole[4..].to_vec();
                change(&mut body);
                Self::Message(message(whole[0], &body))
            }
            other => other,
        }
    }
}

/// A generation of the keys of TLS 1.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epoch {
    /// Those of the handshake.
    Handshake,
    /// The first ones for data.
    Application,
    /// The ones after the present ones (RFC 8446 §7.2).
    Next,
}

/// The record protection of one direction.
enum Keys {
    Tls13(Keys13),
    Tls12(Keys12),
}

/// One end, seen by the one in the middle.
pub struct End<'a> {
    /// The connection itself.
    pub connection: Connection<'a>,
    /// What came of its last step.
    pub result: Result<Progress, Error>,
    /// The data that it has received.
    pub data: Vec<u8>,
    /// Sent bytes that have not been taken yet.
    pub outbox: VecDeque<Item>,
    /// The private key of the other end, ECDSA P-256 as PKCS#8 in DER: with it [`End::fit`] signs.
    pub peer_key: Option<&'a [u8]>,
    /// Whether the transport takes nothing of what it sends.
    pub blocked: bool,
    client: bool,
    secrets: &'a Secrets,
    rng: ChaCha20Rng,
    /// The handshake messages as this end has seen them.
    transcript: Vec<Vec<u8>>,
    incoming: Option<Keys>,
    outgoing: Option<Keys>,
    fragments: Vec<u8>,
}

impl<'a> End<'a> {
    fn new(connection: Connection<'a>, client: bool, secrets: &'a Secrets, rng: ChaCha20Rng) -> Self {
        let mut end = Self {
            connection,
            result: Ok(Progress::NeedInput),
            data: Vec::new(),
            outbox: VecDeque::new(),
            peer_key: None,
            blocked: false,
            client,
            secrets,
            rng,
            transcript: Vec::new(),
            incoming: None,
            outgoing: None,
            fragments: Vec::new(),
        };
        end.collect();
        end
    }

    /// A server, whose configuration has no key log yet.
    pub fn server(config: ServerConfig<'a>, room: &'a mut Room) -> Self {
        let config = config.with_key_log(Some(&room.secrets));
        let connection = Connection::server(config, &mut room.inbound, &mut room.outbound);
        Self::new(connection.unwrap(), false, &room.secrets, crate::rng(2))
    }

    /// A client, likewise. Its hello waits.
    pub fn client(config: ClientConfig<'a>, room: &'a mut Room) -> Self {
        let config = config.with_key_log(Some(&room.secrets));
        let mut rng = crate::rng(3);
        let connection = Connection::client(config, &mut room.inbound, &mut room.outbound, &mut rng);
        Self::new(connection.unwrap(), true, &room.secrets, rng)
    }

    /// Whether TLS 1.3 has been chosen.
    fn is_tls13(&self) -> bool {
        self.connection.info().version == Some(ProtocolVersion::TLS13)
    }

    /// Whether the handshake is done.
    pub fn is_established(&self) -> bool {
        !self.connection.is_handshaking()
    }

    /// Gives it `item`, protected as it expects it; with `forge` as [`End::fit`] has it.
    pub fn deliver(&mut self, item: Item, forge: bool) {
        self.deliver_in_one_record(&[item], forge);
    }

    /// The same with `items`, which have one content type, in one record.
    pub fn deliver_in_one_record(&mut self, items: &[Item], forge: bool) {
        let mut record = (0, Vec::new());
        for item in items {
            let item = if forge { self.fit(item.clone()) } else { item.clone() };
            let (content, text) = item.content();
            record.0 = content;
            record.1.extend(text);
            // RFC 5246 §7.4.1.1: a HelloRequest is no part of the handshake.
            if let Item::Message(message) = item
                && message[0] != 0
            {
                self.transcript.push(message);
            }
        }
        let wire = match record.0 {
            20 if self.is_tls13() => crate::hello::record(20, &record.1),
            content => self.protect(content, &record.1),
        };
        self.feed(&wire);
        // What comes next may be protected by another key.
        match items.last() {
            Some(Item::Message(message)) if message[0] == 20 && self.is_tls13() => {
                if let Some(secret) = self.secret(!self.client, "TRAFFIC_SECRET_0") {
                    self.incoming = Some(Keys::Tls13(Keys13::new(self.suite(), secret)));
                }
            }
            Some(Item::Message(message)) if message[0] == 24 => {
                if let Some(Keys::Tls13(keys)) = &mut self.incoming {
                    keys.update();
                }
            }
            Some(Item::ChangeCipherSpec) if !self.is_tls13() && self.incoming.is_none() => {
                self.incoming = self.keys12(!self.client);
            }
            _ => {}
        }
    }

    /// `item` as this end expects it: a Finished that fits what it has seen, and such a CertificateVerify where there is
    /// a key for it.
    pub fn fit(&self, item: Item) -> Item {
        let fitting = match item.kind() {
            Some(15) => self.certificate_verify(),
            Some(20) => self.finished(),
            _ => None,
        };
        fitting.map_or(item, Item::Message)
    }

    /// A record that is protected as this end expects the next one.
    pub fn protect(&mut self, content: u8, text: &[u8]) -> Vec<u8> {
        if self.incoming.is_none() && self.is_tls13() {
            let secret = self.secret(!self.client, "HANDSHAKE_TRAFFIC_SECRET");
            self.incoming = secret.map(|secret| Keys::Tls13(Keys13::new(self.suite(), secret)));
        }
        match &mut self.incoming {
            Some(Keys::Tls13(keys)) => keys.seal(content, text),
            Some(Keys::Tls12(keys)) => keys.seal(content, text),
            None => record(content, text),
        }
    }

    /// The first record of a generation of keys of TLS 1.3, if this end has logged what they follow from.
    pub fn protect_by(&self, epoch: Epoch, content: u8, text: &[u8]) -> Option<Vec<u8>> {
        let mut keys = match (epoch, &self.incoming) {
            (Epoch::Next, Some(Keys::Tls13(keys))) => keys.next_generation(),
            (Epoch::Next, _) => return None,
            (epoch, _) => {
                let label = match epoch {
                    Epoch::Handshake => "HANDSHAKE_TRAFFIC_SECRET",
                    _ => "TRAFFIC_SECRET_0",
                };
                Keys13::new(self.suite(), self.secret(!self.client, label)?)
            }
        };
        Some(keys.seal(content, text))
    }

    /// Gives it `wire` as it stands.
    pub fn feed(&mut self, mut wire: &[u8]) {
        while !wire.is_empty() && self.result.is_ok() {
            let space = self.connection.space();
            let count = space.len().min(wire.len());
            assert!(count > 0, "no space although all data was consumed");
            space[..count].copy_from_slice(&wire[..count]);
            self.connection.received(count);
            wire = &wire[count..];
            self.advance();
        }
        self.collect();
    }

    /// The byte stream ends.
    pub fn end(&mut self) {
        self.connection.received_end();
        self.advance();
        self.collect();
    }

    /// Sends `text` as data.
    pub fn write(&mut self, text: &[u8]) {
        assert_eq!(self.connection.write(text), Ok(text.len()));
        self.collect();
    }

    /// It has failed with this error, which has this alert, and has sent that at the end of all.
    #[track_caller]
    pub fn failed(&mut self, error: impl Into<Error>, alert: AlertDescription) {
        let error = error.into();
        assert_eq!(self.result, Err(error));
        assert_eq!(error.alert(), Some(alert));
        let last = self.outbox.pop_back();
        assert!(
            matches!(last, Some(Item::Alert(_, last)) if last == alert),
            "{alert}, not {last:?}"
        );
        assert!(!self.is_established());
    }

    fn advance(&mut self) {
        loop {
            self.result = self.connection.advance(&mut self.rng);
            if self.result != Ok(Progress::Data) {
                return;
            }
            let count = self.connection.data().len();
            self.data.extend_from_slice(self.connection.data());
            self.connection.consume(count);
        }
    }

    /// Takes what it sends apart.
    pub fn collect(&mut self) {
        if self.blocked {
            return;
        }
        let wire = self.connection.pending().to_vec();
        self.connection.sent(wire.len());
        let mut wire = &wire[..];
        while let Some(&[content, _, _, high, low]) = wire.first_chunk::<5>() {
            let (record, rest) = wire.split_at(5 + usize::from(u16::from_be_bytes([high, low])));
            wire = rest;
            if self.outgoing.is_none() && content == 23 {
                let secret = self.secret(self.client, "HANDSHAKE_TRAFFIC_SECRET").unwrap();
                self.outgoing = Some(Keys::Tls13(Keys13::new(self.suite(), secret)));
            }
            let (content, text) = match &mut self.outgoing {
                Some(Keys::Tls13(keys)) if content != 20 => keys.open(record).unwrap(),
                Some(Keys::Tls12(keys)) => keys.open(record),
                _ => (content, record[5..].to_vec()),
            };
            match content {
                20 => {
                    if !self.is_tls13() && self.connection.info().suite.is_some() {
                        self.outgoing = self.keys12(self.client);
                    }
                    self.outbox.push_back(Item::ChangeCipherSpec);
                }
                21 => self.outbox.push_back(Item::Alert(text[0], AlertDescription(text[1]))),
                22 => self.take_messages(&text),
                _ => self.outbox.push_back(Item::Data(text)),
            }
        }
    }

    fn take_messages(&mut self, text: &[u8]) {
        self.fragments.extend(text);
        while let Some(&[kind, a, b, c]) = self.fragments.first_chunk::<4>() {
            let length = 4 + u32::from_be_bytes([0, a, b, c]) as usize;
            if self.fragments.len() < length {
                return;
            }
            let message: Vec<u8> = self.fragments.drain(..length).collect();
            self.transcript.push(message.clone());
            self.outbox.push_back(Item::Message(message));
            match (kind, &mut self.outgoing) {
                (20, Some(Keys::Tls13(_))) => {
                    let secret = self.secret(self.client, "TRAFFIC_SECRET_0").unwrap();
                    self.outgoing = Some(Keys::Tls13(Keys13::new(self.suite(), secret)));
                }
                (24, Some(Keys::Tls13(keys))) => keys.update(),
                _ => {}
            }
        }
    }

    fn suite(&self) -> Suite {
        Suite::new(self.connection.info().suite.unwrap().id())
    }

    fn secret(&self, client: bool, label: &str) -> Option<Vec<u8>> {
        let label = format!("{}_{label}", if client { "CLIENT" } else { "SERVER" });
        self.secrets.0.borrow().get(&label).cloned()
    }

    /// What a Finished covers that comes now.
    fn covered(&self) -> Option<Vec<u8>> {
        let mut messages = &self.transcript[..];
        let mut bytes = Vec::new();
        if self.connection.info().retried && messages.len() > 1 {
            // RFC 8446 §4.4.1.
            let suite = Suite::new(self.connection.info().suite?.id());
            bytes = message(254, &suite.hash(&messages[0]));
            messages = &messages[1..];
        }
        bytes.extend(messages.concat());
        Some(bytes)
    }

    /// The CertificateVerify that this end expects from the other.
    fn certificate_verify(&self) -> Option<Vec<u8>> {
        let covered = self.covered()?;
        let content = if self.is_tls13() {
            let role = if self.client { "server" } else { "client" };
            let context = format!("TLS 1.3, {role} CertificateVerify");
            [&[0x20; 64], context.as_bytes(), &[0], &self.suite().hash(&covered)].concat()
        } else {
            covered
        };
        let signature = signed(self.peer_key?, &content);
        let length = (signature.len() as u16).to_be_bytes();
        Some(message(15, &[&[4, 3], &length[..], &signature].concat()))
    }

    /// The Finished that this end expects from the other.
    fn finished(&self) -> Option<Vec<u8>> {
        let bytes = self.covered()?;
        if self.is_tls13() {
            let secret = self.secret(!self.client, "HANDSHAKE_TRAFFIC_SECRET")?;
            return Some(Keys13::new(self.suite(), secret).finished(&bytes));
        }
        let master = self.secret(true, "RANDOM")?;
        let label = if self.client {
            "server finished"
        } else {
            "client finished"
        };
        let suite = self.suite();
        Some(message(20, &prf(suite, &master, label, &suite.hash(&bytes), 12)))
    }

    /// The keys of TLS 1.2 (RFC 5246 §6.3) of client or server.
    fn keys12(&self, client: bool) -> Option<Keys> {
        let master = self.secret(true, "RANDOM")?;
        let random = |kind| {
            let hello = self.transcript.iter().find(|message| message[0] == kind)?;
            Some(hello[6..38].to_vec())
        };
        let suite = self.suite();
        let iv = if suite.aead == &aead::CHACHA20_POLY1305 { 12 } else { 4 };
        let key = suite.aead.key_len();
        let seed = [random(2)?, random(1)?].concat();
        let block = prf(suite, &master, "key expansion", &seed, 2 * (key + iv));
        let (keys, ivs) = block.split_at(2 * key);
        let half = usize::from(!client);
        let (key, iv) = (&keys[half * key..][..key], &ivs[half * iv..][..iv]);
        Some(Keys::Tls12(Keys12::new(suite.aead, key, iv)))
    }
}

/// The PRF of TLS 1.2 (RFC 5246 §5).
fn prf(suite: Suite, secret: &[u8], label: &str, seed: &[u8], length: usize) -> Vec<u8> {
    let seed = [label.as_bytes(), seed].concat();
    let mut a = suite.hmac(secret, &seed);
    let mut out = Vec::new();
    while out.len() < length {
        out.extend(suite.hmac(secret, &[&a[..], &seed].concat()));
        a = suite.hmac(secret, &a);
    }
    out.truncate(length);
    out
}

/// A client and a server with someone in between.
pub struct Middle<'a> {
    /// The client.
    pub client: End<'a>,
    /// The server.
    pub server: End<'a>,
    /// Whether Finished messages, and those of CertificateVerify for which there is a key, are replaced by such as fit
    /// what their receiver has seen.
    pub forge: bool,
    counts: [usize; 2],
}

/// Where an item comes from: from the client, or else the server; and how many came from there before.
pub type Place = (bool, usize);

impl<'a> Middle<'a> {
    /// Between these.
    pub fn new(client: ClientConfig<'a>, server: ServerConfig<'a>, rooms: &'a mut [Room; 2]) -> Self {
        let [client_room, server_room] = rooms;
        Self {
            client: End::client(client, client_room),
            server: End::server(server, server_room),
            forge: false,
            counts: [0; 2],
        }
    }

    /// Passes everything on as `meddle` has it, until nothing more comes. Alerts are passed on in any case.
    pub fn run(&mut self, mut meddle: impl FnMut(Place, Item) -> Vec<Item>) {
        loop {
            let mut moved = false;
            for from_client in [true, false] {
                let (from, to) = if from_client {
                    (&mut self.client, &mut self.server)
                } else {
                    (&mut self.server, &mut self.client)
                };
                while let Some(item) = from.outbox.pop_front() {
                    moved = true;
                    if to.result.is_err() {
                        continue;
                    }
                    if let Item::Alert(..) = item {
                        to.deliver(item, false);
                        continue;
                    }
                    let count = &mut self.counts[usize::from(from_client)];
                    let place = (from_client, *count);
                    *count += 1;
                    for item in meddle(place, item) {
                        // What a failed end still has to say stays where it is.
                        if to.result.is_ok() {
                            to.deliver(item, self.forge);
                        }
                    }
                    if to.result.is_err() {
                        return;
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// Passes everything on unchanged; both ends have to be content.
    #[track_caller]
    pub fn establish(&mut self) {
        self.run(|_, item| vec![item]);
        assert!(
            self.client.is_established() && self.server.is_established(),
            "{:?} {:?}",
            self.client.result,
            self.server.result
        );
    }

    /// Data goes through both ways.
    #[track_caller]
    pub fn works(&mut self) {
        self.client.write(b"to the server");
        self.server.write(b"to the client");
        self.run(|_, item| vec![item]);
        assert_eq!(std::mem::take(&mut self.server.data), b"to the server");
        assert_eq!(std::mem::take(&mut self.client.data), b"to the client");
    }
}

/// What `test` does between these.
pub fn between<T>(client: ClientConfig<'_>, server: ServerConfig<'_>, test: impl FnOnce(&mut Middle<'_>) -> T) -> T {
    test(&mut Middle::new(client, server, &mut Default::default()))
}
