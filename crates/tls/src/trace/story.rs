//! A tape told step by step.

use core::iter::Enumerate;

use zeroize::Zeroizing;

use super::fields::{self, Item, Meaning, Sort};
use super::{Event, Events, Fact, Protection, Record, Secret, names};
use crate::codec::Reader;
use crate::crypto::aead::{MAX_KEY_LEN, NONCE_LEN};
use crate::crypto::hash::HashAlgorithm;
use crate::crypto::suite::CipherSuite;
use crate::msg::HANDSHAKE_HEADER_LEN;
use crate::msg::server_hello::HELLO_RETRY_REQUEST_RANDOM;
use crate::record::HEADER_LEN;
use crate::registry::{ContentType, ExtensionType, HandshakeType, ProtocolVersion, is_grease};
use crate::schedule::TrafficSecret;

/// Who does a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The client sends.
    Client,
    /// The server sends.
    Server,
    /// Nothing is sent: something is computed, or found.
    Nobody,
}

/// A step of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Step<'t> {
    /// Its number, from 1.
    pub number: usize,
    /// Who does it.
    pub by: By,
    /// Whether that is we.
    pub ours: bool,
    /// What it is, in short.
    pub title: &'static str,
    /// What it is, and why.
    pub note: &'static str,
    /// The reason of a failure, else empty.
    pub reason: &'t str,
    /// How long the message or the content is, in bytes.
    pub length: usize,
    /// Whether it went under protection.
    pub protected: bool,
    /// The index of its first event.
    at: usize,
    event: Event<'t>,
}

/// What a connection came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary<'t> {
    /// Whether we are the server.
    pub server: bool,
    /// The version, as OpenSSL writes it; empty before it is chosen.
    pub version: &'static str,
    /// The cipher suite's name; likewise.
    pub suite: &'static str,
    /// The group of the key exchange; empty where there was none.
    pub group: &'static str,
    /// The scheme of the server's signature; empty in a resumption.
    pub scheme: &'static str,
    /// The name that the client asked for.
    pub server_name: &'t [u8],
    /// The protocol that was agreed upon by ALPN; empty for none, or for one that was agreed upon out of our sight.
    pub protocol: &'t [u8],
    /// Whether it took a HelloRetryRequest.
    pub retried: bool,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// Whether both sides sent certificates.
    pub mutual: bool,
    /// Whether secrets are told, because they are logged anyway.
    pub secrets: bool,
    /// Whether the handshake was finished.
    pub done: bool,
    /// Why the connection failed; empty if it did not.
    pub failure: &'t str,
    /// How many events did not find room on the tape.
    pub lost: u32,
    /// Handshake bytes of the client and of the server, headers and protection of their records included.
    pub bytes: (usize, usize),
}

/// The story of one connection.
#[derive(Clone, Copy)]
pub struct Story<'t> {
    events: Events<'t>,
    server: bool,
    version: ProtocolVersion,
    suite: Option<CipherSuite>,
    resumed: bool,
}

impl<'t> Story<'t> {
    /// The story that these events make.
    pub fn of(events: Events<'t>) -> Self {
        let mut story = Self {
            events,
            server: false,
            version: ProtocolVersion::TLS12,
            suite: None,
            resumed: false,
        };
        for event in events {
            match event {
                Event::Fact(Fact::Role { server }) => story.server = server,
                Event::Fact(Fact::Resumed) => story.resumed = true,
                Event::Message { whole, .. } if kind_of(whole) == Some(HandshakeType::SERVER_HELLO) => {
                    let hello = Hello::of(whole);
                    story.suite = hello.suite.and_then(CipherSuite::from_id);
                    story.version = match hello.extension(ExtensionType::SUPPORTED_VERSIONS) {
                        Some([3, 4]) => ProtocolVersion::TLS13,
                        _ => ProtocolVersion::TLS12,
                    };
                }
                _ => {}
            }
        }
        story
    }

    /// What the connection came to.
    pub fn summary(&self) -> Summary<'t> {
        let mut summary = Summary {
            server: self.server,
            resumed: self.resumed,
            lost: self.events.lost(),
            ..Summary::default()
        };
        let mut certificates = (false, false);
        for event in self.events {
            match event {
                Event::Message { sent, whole } => {
                    let of_client = sent != self.server;
                    self.sum_message(whole, of_client, &mut summary);
                    if kind_of(whole) == Some(HandshakeType::CERTIFICATE) && whole.len() > 8 {
                        certificates = (certificates.0 || of_client, certificates.1 || !of_client);
                    }
                }
                Event::Record(Record {
                    sent, header, content, ..
                }) if content == ContentType::HANDSHAKE && !summary.done => {
                    let length = HEADER_LEN + fields::number(header.get(3..).unwrap_or_default());
                    let sum = if sent == self.server {
                        &mut summary.bytes.1
                    } else {
                        &mut summary.bytes.0
                    };
                    *sum += length;
                }
                Event::Record(_) => {}
                Event::Fact(Fact::Done) => summary.done = true,
                Event::Fact(Fact::Failed { why }) => summary.failure = why,
                Event::Fact(Fact::Shared { group }) => summary.group = names::group(group).unwrap_or_default(),
                Event::Fact(Fact::Secret { value, .. }) => summary.secrets |= !value.is_empty(),
                Event::Fact(_) => {}
            }
        }
        summary.mutual = certificates == (true, true);
        summary
    }

    fn sum_message(&self, whole: &'t [u8], of_client: bool, summary: &mut Summary<'t>) {
        match kind_of(whole) {
            Some(HandshakeType::CLIENT_HELLO) => {
                let name = Hello::of(whole).extension(ExtensionType::SERVER_NAME);
                summary.server_name = name.and_then(|name| name.get(5..)).unwrap_or_default();
            }
            Some(HandshakeType::SERVER_HELLO) => {
                let hello = Hello::of(whole);
                summary.version = self.version.openssl_name();
                summary.suite = hello.suite.and_then(names::suite).unwrap_or_default();
                summary.retried |= hello.random == Some(&HELLO_RETRY_REQUEST_RANDOM);
                let protocol = hello.extension(ExtensionType::ALPN);
                summary.protocol = protocol.and_then(|list| list.get(3..)).unwrap_or(summary.protocol);
            }
            Some(HandshakeType::ENCRYPTED_EXTENSIONS) => {
                let block = whole.get(HANDSHAKE_HEADER_LEN + 2..).unwrap_or_default();
                let protocol = find_extension(block, ExtensionType::ALPN);
                summary.protocol = protocol.and_then(|list| list.get(3..)).unwrap_or_default();
            }
            Some(HandshakeType::CERTIFICATE_VERIFY) if !of_client => {
                let scheme = whole.get(HANDSHAKE_HEADER_LEN..).map(fields::number16);
                summary.scheme = scheme.and_then(names::scheme).unwrap_or_default();
            }
            Some(HandshakeType::SERVER_KEY_EXCHANGE) => {
                let body = whole.get(HANDSHAKE_HEADER_LEN..).unwrap_or_default();
                let public = usize::from(body.get(3).copied().unwrap_or_default());
                let scheme = body.get(4 + public..).map(fields::number16);
                summary.scheme = scheme.and_then(names::scheme).unwrap_or_default();
            }
            _ => {}
        }
    }

    /// The steps, in their order.
    pub fn steps(&self) -> Steps<'t> {
        Steps {
            story: *self,
            events: self.events.enumerate(),
            number: 0,
            computing: false,
            first_hello: true,
        }
    }

    /// What was counted of application data: records, and bytes in them.
    pub fn data(&self) -> (u32, u64) {
        self.events.data()
    }

    /// Tells a step: the headers of its records first, then the message or content, then what was computed of it.
    pub fn tell(&self, step: &Step<'t>, visit: &mut dyn FnMut(&Item<'_>)) {
        match step.event {
            Event::Message { sent, whole } => {
                self.records_of(step.at, sent, &mut |record| fields::record(record, visit));
                fields::message(whole, self.version, visit);
                self.facts_about(step.at, sent, whole, visit);
            }
            Event::Record(record) => {
                fields::record(&record, visit);
                fields::content(&record, visit);
            }
            Event::Fact(_) => self.computation(step.at, visit),
        }
    }

    /// The records that a message came or went in, as far as they do not belong to an earlier message.
    fn records_of(&self, at: usize, sent: bool, visit: &mut dyn FnMut(&Record<'t>)) {
        let carries = |record: &Record<'_>| record.content == ContentType::HANDSHAKE && record.sent == sent;
        let is_message = |event: &Event<'_>| matches!(event, Event::Message { sent: other, .. } if *other == sent);
        if !sent {
            let since = self.events.take(at).enumerate().filter(|(_, event)| is_message(event));
            let since = since.last().map_or(0, |(index, _)| index + 1);
            for event in self.events.take(at).skip(since) {
                if let Event::Record(record) = event
                    && carries(&record)
                {
                    visit(&record);
                }
            }
            return;
        }
        let before = self.events.take(at).fold(false, |open, event| match event {
            Event::Record(record) if carries(&record) => false,
            event => open || is_message(&event),
        });
        if before {
            return;
        }
        let mut begun = false;
        for event in self.events.skip(at + 1) {
            match event {
                Event::Record(record) if carries(&record) => {
                    begun = true;
                    visit(&record);
                }
                event if begun && is_message(&event) => return,
                _ => {}
            }
        }
    }

    /// Whether the record that a message ended in was protected: that before it, or behind it if it was sent.
    fn is_protected(&self, at: usize, sent: bool) -> bool {
        let records = |event| match event {
            Event::Record(record) if record.content == ContentType::HANDSHAKE && record.sent == sent => Some(record),
            _ => None,
        };
        let record = if sent {
            self.events.skip(at).find_map(records)
        } else {
            self.events.take(at).filter_map(records).last()
        };
        record.is_some_and(|record| record.protection != Protection::None)
    }

    /// What was computed of a message, or found of it.
    fn facts_about(&self, at: usize, sent: bool, whole: &[u8], visit: &mut dyn FnMut(&Item<'_>)) {
        let Some(kind) = kind_of(whole) else { return };
        let same_kind =
            |event: &Event<'_>| matches!(event, Event::Message { whole, .. } if kind_of(whole) == Some(kind));
        for event in self.events.skip(at + 1).take_while(|event| !same_kind(event)) {
            let Event::Fact(fact) = event else { continue };
            match (kind, fact) {
                (HandshakeType::CERTIFICATE, Fact::Trusted { subject }) if !sent => {
                    visit(&computed(
                        "verdict",
                        &[],
                        Meaning::Told(subject),
                        "The chain leads to a CA that we trust, every signature on the way is good, nothing has expired \
                         or was revoked, and name and purpose fit (RFC 5280).",
                    ));
                    return;
                }
                (HandshakeType::CERTIFICATE, Fact::Stapled) if self.version.is_tls13() && !sent => stapled(visit),
                (HandshakeType::CERTIFICATE_STATUS, Fact::Stapled) if !sent => return stapled(visit),
                (HandshakeType::CERTIFICATE_VERIFY, Fact::Signature { sent: ours, hash }) if ours == sent => {
                    visit(&computed(
                        "transcript hash",
                        hash,
                        self.hash_name(),
                        "Of all handshake messages up to Certificate.",
                    ));
                    visit(&computed(
                        "signed content",
                        &[],
                        Meaning::Words(if sent == self.server {
                            SIGNED_BY_SERVER
                        } else {
                            SIGNED_BY_CLIENT
                        }),
                        "The text says whose signature it is and for what, so that none can be used for something else \
                         (RFC 8446 §4.4.3).",
                    ));
                    return;
                }
                (HandshakeType::FINISHED, Fact::Finished { sent: ours, hash }) if ours == sent => {
                    visit(&computed(
                        "transcript hash",
                        hash,
                        self.hash_name(),
                        "Of all handshake messages before this one.",
                    ));
                    let of_server = sent == self.server;
                    visit(&computed(
                        "verify_data",
                        &[],
                        Meaning::Words(match (self.version.is_tls13(), of_server) {
                            (true, true) => {
                                "HMAC(HKDF-Expand-Label(server_handshake_traffic_secret, \"finished\"), transcript hash)"
                            }
                            (true, false) => {
                                "HMAC(HKDF-Expand-Label(client_handshake_traffic_secret, \"finished\"), transcript hash)"
                            }
                            (false, true) => "PRF(master_secret, \"server finished\", transcript hash)[0..11]",
                            (false, false) => "PRF(master_secret, \"client finished\", transcript hash)[0..11]",
                        }),
                        if sent {
                            "So it was computed."
                        } else {
                            "So it was computed here as well, and is the same: nobody has changed a byte of the \
                             handshake."
                        },
                    ));
                    return;
                }
                (HandshakeType::SERVER_HELLO, Fact::Resumed) => {
                    visit(&computed(
                        "session",
                        &[],
                        Meaning::Words("resumed"),
                        "Both sides know a key from before, by the client's ticket. It stands in for certificates and \
                         signatures, which are not sent again.",
                    ));
                    return;
                }
                _ => {}
            }
        }
    }

    /// A run of computations.
    fn computation(&self, at: usize, visit: &mut dyn FnMut(&Item<'_>)) {
        let mut last_hash = &[][..];
        for (index, event) in self.events.enumerate().skip(at) {
            let fact = match event {
                Event::Fact(Fact::Done | Fact::Failed { .. }) if index > at => return,
                Event::Fact(fact) => fact,
                Event::Message { .. } => return,
                Event::Record(record) if record.content == ContentType::HANDSHAKE => continue,
                Event::Record(_) => return,
            };
            match fact {
                Fact::Role { .. } => return self.offered_keys(visit),
                Fact::KeyPair { group, public } => {
                    let name = names::group(group).map_or(Meaning::Unknown(group.into()), Meaning::Words);
                    visit(&group_item("key pair", name));
                    visit(&inside(computed(
                        "private key",
                        &[],
                        Meaning::Words("kept secret"),
                        "Random, and forgotten when the key exchange is done.",
                    )));
                    visit(&inside(computed(
                        "public key",
                        public,
                        Meaning::None,
                        "Computed from the private key; the way back is believed to be impossible.",
                    )));
                }
                Fact::Shared { group } => self.shared(group, visit),
                Fact::Secret { secret, hash, value } => {
                    let new = hash != last_hash;
                    last_hash = hash;
                    self.secret(secret, if new { hash } else { &[] }, value, visit);
                }
                Fact::Done => {
                    let (records, bytes) = self.events.data();
                    visit(&computed(
                        "application data",
                        &[],
                        Meaning::Count(records.into(), "records up to now"),
                        "",
                    ));
                    visit(&computed("their content", &[], Meaning::Count(bytes, "bytes"), ""));
                    return;
                }
                Fact::Failed { .. } => return,
                Fact::Resumed
                | Fact::Signature { .. }
                | Fact::Finished { .. }
                | Fact::Trusted { .. }
                | Fact::Stapled => {}
            }
        }
    }

    /// Of the client's key pairs a server sees the public halves.
    fn offered_keys(&self, visit: &mut dyn FnMut(&Item<'_>)) {
        let hello = self.events.into_iter().find_map(|event| match event {
            Event::Message { whole, .. } if kind_of(whole) == Some(HandshakeType::CLIENT_HELLO) => {
                Some(Hello::of(whole))
            }
            _ => None,
        });
        let shares = hello.and_then(|hello| hello.extension(ExtensionType::KEY_SHARE));
        let mut reader = Reader::new(shares.unwrap_or_default().get(2..).unwrap_or_default(), "key_share");
        while let (Ok(group), Ok(public)) = (reader.u16(), reader.vector16()) {
            // A share of GREASE is none.
            if is_grease(group) {
                continue;
            }
            let name = names::group(group).map_or(Meaning::Unknown(group.into()), Meaning::Words);
            visit(&group_item("key pair", name));
            visit(&inside(computed(
                "private key",
                &[],
                Meaning::Words("known to the client alone"),
                "",
            )));
            visit(&inside(computed(
                "public key",
                public,
                Meaning::None,
                "As the key_share of the ClientHello will show it.",
            )));
        }
    }

    fn shared(&self, group: u16, visit: &mut dyn FnMut(&Item<'_>)) {
        const KEM: u16 = 0x11ec;
        visit(&computed(
            "shared secret",
            &[],
            Meaning::Words("kept secret"),
            if group == KEM {
                "Two secrets, one after the other: what ML-KEM-768 encapsulates for the client's key, and \
                 X25519(own private key, peer's public key). Both sides come to the same, and nobody else does, be it \
                 with a quantum computer."
            } else {
                "ECDH(own private key, peer's public key). Both sides come to the same, and nobody who only listens \
                 does."
            },
        ));
        if !self.version.is_tls13() {
            return;
        }
        visit(&computed(
            "early_secret",
            &[],
            Meaning::Words("kept secret"),
            if self.resumed {
                "HKDF-Extract(0, PSK): the key that came with the ticket goes in."
            } else {
                "HKDF-Extract(0, 0): no session is resumed, so that no PSK goes in."
            },
        ));
        visit(&computed(
            "handshake_secret",
            &[],
            Meaning::Words("kept secret"),
            "HKDF-Extract(Derive-Secret(early_secret, \"derived\", \"\"), shared secret)",
        ));
    }

    fn secret(&self, secret: Secret, hash: &[u8], value: &[u8], visit: &mut dyn FnMut(&Item<'_>)) {
        let client = matches!(secret, Secret::ClientHandshakeTraffic | Secret::ClientTraffic);
        let application = matches!(secret, Secret::ClientTraffic | Secret::ServerTraffic);
        if application && !hash.is_empty() {
            visit(&computed(
                "master_secret",
                &[],
                Meaning::Words("kept secret"),
                "HKDF-Extract(Derive-Secret(handshake_secret, \"derived\", \"\"), 0)",
            ));
        }
        if !hash.is_empty() {
            let note = match secret {
                Secret::ClientHandshakeTraffic | Secret::ServerHandshakeTraffic => {
                    "Of the messages from ClientHello to ServerHello."
                }
                Secret::ClientTraffic | Secret::ServerTraffic => "Of the messages from ClientHello to server Finished.",
                Secret::Master => "Of the messages from ClientHello to ClientKeyExchange.",
            };
            visit(&computed("transcript hash", hash, self.hash_name(), note));
        }
        let (name, formula) = match secret {
            Secret::ClientHandshakeTraffic => (
                "client_handshake_traffic_secret",
                "HKDF-Expand-Label(handshake_secret, \"c hs traffic\", transcript hash)",
            ),
            Secret::ServerHandshakeTraffic => (
                "server_handshake_traffic_secret",
                "HKDF-Expand-Label(handshake_secret, \"s hs traffic\", transcript hash)",
            ),
            Secret::ClientTraffic => (
                "client_application_traffic_secret_0",
                "HKDF-Expand-Label(master_secret, \"c ap traffic\", transcript hash)",
            ),
            Secret::ServerTraffic => (
                "server_application_traffic_secret_0",
                "HKDF-Expand-Label(master_secret, \"s ap traffic\", transcript hash)",
            ),
            Secret::Master if self.resumed => (
                "master_secret",
                "As it was when the session was made: the ticket has kept it.",
            ),
            Secret::Master if hash.is_empty() => (
                "master_secret",
                "PRF(shared secret, \"master secret\", client random + server random)",
            ),
            Secret::Master => (
                "master_secret",
                "PRF(shared secret, \"extended master secret\", transcript hash) (RFC 7627 §4)",
            ),
        };
        let meaning = if value.is_empty() {
            Meaning::Words("kept secret")
        } else {
            Meaning::Words("shown, because secrets are logged")
        };
        visit(&computed(name, value, meaning, formula));
        if secret == Secret::Master {
            visit(&computed(
                "record keys",
                &[],
                Meaning::Words("kept secret"),
                "PRF(master_secret, \"key expansion\", server random + client random): a key and an IV for each \
                 direction (RFC 5246 §6.3).",
            ));
            return;
        }
        let (Some(suite), false) = (self.suite, value.is_empty()) else {
            visit(&computed(
                if client {
                    "client's key and iv"
                } else {
                    "server's key and iv"
                },
                &[],
                Meaning::Words("kept secret"),
                "HKDF-Expand-Label(that secret, \"key\", \"\") and \"iv\" (RFC 8446 §7.3)",
            ));
            return;
        };
        let secret = TrafficSecret::new(suite, value);
        let mut key = Zeroizing::new([0; MAX_KEY_LEN]);
        let mut iv = Zeroizing::new([0; NONCE_LEN]);
        let key = key.get_mut(..suite.aead().key_len()).unwrap_or_default();
        if secret.expand("key", key).is_ok() && secret.expand("iv", &mut *iv).is_ok() {
            visit(&computed(
                if client { "client's key" } else { "server's key" },
                key,
                Meaning::None,
                "HKDF-Expand-Label(that secret, \"key\", \"\")",
            ));
            visit(&computed(
                if client { "client's iv" } else { "server's iv" },
                &*iv,
                Meaning::None,
                "HKDF-Expand-Label(that secret, \"iv\", \"\")",
            ));
        }
    }

    fn hash_name(&self) -> Meaning<'static> {
        match self.suite.map(CipherSuite::hash) {
            Some(HashAlgorithm::Sha256) => Meaning::Words("SHA-256"),
            Some(HashAlgorithm::Sha384) => Meaning::Words("SHA-384"),
            None => Meaning::None,
        }
    }

    fn sender(&self, sent: bool) -> By {
        if sent == self.server { By::Server } else { By::Client }
    }
}

/// The steps of a story.
pub struct Steps<'t> {
    story: Story<'t>,
    events: Enumerate<Events<'t>>,
    number: usize,
    /// The last step was a computation, to which more may belong.
    computing: bool,
    first_hello: bool,
}

impl<'t> Iterator for Steps<'t> {
    type Item = Step<'t>;

    fn next(&mut self) -> Option<Step<'t>> {
        loop {
            let (at, event) = self.events.next()?;
            if let Some(mut step) = self.begin(at, event) {
                self.number += 1;
                step.number = self.number;
                return Some(step);
            }
        }
    }
}

impl<'t> Steps<'t> {
    /// The step that begins with this event, if one does.
    fn begin(&mut self, at: usize, event: Event<'t>) -> Option<Step<'t>> {
        let story = self.story;
        let mut step = Step {
            number: 0,
            by: By::Nobody,
            ours: false,
            title: "",
            note: "",
            reason: "",
            length: 0,
            protected: false,
            at,
            event,
        };
        match event {
            Event::Message { sent, whole } => {
                self.computing = false;
                step.by = story.sender(sent);
                step.ours = sent;
                step.length = whole.len();
                step.protected = story.is_protected(at, sent);
                (step.title, step.note) = self.message(whole, step.by);
            }
            Event::Record(record) => {
                if record.content == ContentType::HANDSHAKE && (record.sent || !self.is_left_over(at)) {
                    return None;
                }
                self.computing = false;
                step.by = story.sender(record.sent);
                step.ours = record.sent;
                step.length = record.length.into();
                step.protected = record.protection != Protection::None;
                (step.title, step.note) = other_record(&record, step.by, story.version);
            }
            Event::Fact(fact) => {
                (step.title, step.note) = match fact {
                    Fact::Role { server: true } if self.has_shares() => (
                        "Client key generation",
                        "Before it says a word the client makes a key pair for each group in which it offers a key \
                         exchange. (This side can only know of it from the ClientHello.)",
                    ),
                    Fact::KeyPair { .. } | Fact::Shared { .. } | Fact::Secret { .. } if self.computing => return None,
                    Fact::KeyPair { .. } if story.server => (
                        "Server key generation",
                        "The server makes a key pair of its own, in the group that it has chosen.",
                    ),
                    Fact::KeyPair { .. } => (
                        "Client key generation",
                        "The client makes a key pair for each group in which it offers a key exchange, for this \
                         connection alone.",
                    ),
                    Fact::Shared { .. } => ("Calculation of keys", HANDSHAKE_KEYS),
                    Fact::Secret { secret, .. } => match secret {
                        Secret::ClientHandshakeTraffic | Secret::ServerHandshakeTraffic => {
                            ("Calculation of the handshake keys", HANDSHAKE_KEYS)
                        }
                        Secret::ClientTraffic | Secret::ServerTraffic => (
                            "Calculation of the application keys",
                            "Both sides derive the keys for application data, from the same secrets and a transcript \
                             that now reaches to the server's Finished.",
                        ),
                        Secret::Master => (
                            "Calculation of the master secret",
                            "Both sides derive the master secret, and the keys of either direction from it.",
                        ),
                    },
                    Fact::Done => (
                        "Handshake done",
                        "Each side has seen proof that the other holds the same keys and has seen the same messages. \
                         From here on there is application data.",
                    ),
                    Fact::Failed { why } => {
                        step.reason = why;
                        ("Failed", "The connection is over, for this reason:")
                    }
                    _ => return None,
                };
                self.computing = matches!(fact, Fact::KeyPair { .. } | Fact::Shared { .. } | Fact::Secret { .. });
            }
        }
        Some(step)
    }

    /// Whether a received handshake record at `at` brought no message to its end.
    fn is_left_over(&self, at: usize) -> bool {
        let later = self.story.events.skip(at + 1);
        !later
            .into_iter()
            .any(|event| matches!(event, Event::Message { sent: false, .. }))
    }

    fn has_shares(&self) -> bool {
        self.story.events.into_iter().any(|event| {
            matches!(event, Event::Message { whole, .. } if kind_of(whole) == Some(HandshakeType::CLIENT_HELLO)
                && Hello::of(whole).extension(ExtensionType::KEY_SHARE).is_some_and(|shares| shares.len() > 2))
        })
    }

    fn message(&mut self, whole: &[u8], by: By) -> (&'static str, &'static str) {
        let tls13 = self.story.version.is_tls13();
        let first =
            kind_of(whole) == Some(HandshakeType::CLIENT_HELLO) && core::mem::replace(&mut self.first_hello, false);
        match (HandshakeType(whole.first().copied().unwrap_or_default()), by) {
            (HandshakeType::HELLO_REQUEST, _) => (
                "HelloRequest",
                "The server asks for a new handshake. It does not get one.",
            ),
            (HandshakeType::CLIENT_HELLO, _)
                if first && Hello::of(whole).extension(ExtensionType::KEY_SHARE).is_none() =>
            {
                (
                    "ClientHello",
                    "The client says hello: which versions, cipher suites and groups it can do, and whom it wants to \
                     reach.",
                )
            }
            (HandshakeType::CLIENT_HELLO, _) if first => (
                "ClientHello",
                "The client says hello: which versions, cipher suites and groups it can do, whom it wants to reach, \
                 and, so that no round trip is lost, its public keys for the key exchange.",
            ),
            (HandshakeType::CLIENT_HELLO, _) => (
                "ClientHello, once more",
                "The same hello, but for what the server has asked to be different. In the transcript a hash stands for \
                 the first one from now on (RFC 8446 §4.4.1).",
            ),
            (HandshakeType::SERVER_HELLO, _) if Hello::of(whole).random == Some(&HELLO_RETRY_REQUEST_RANDOM) => (
                "HelloRetryRequest",
                "The server could speak with this client, but not with the key shares that it has sent: it is to say \
                 hello again, with a share for this group.",
            ),
            (HandshakeType::SERVER_HELLO, _) if tls13 => (
                "ServerHello",
                "The server says hello back: which of what the client offered it has chosen, and its own public key. \
                 With that both sides can compute the same keys; every message that follows is encrypted.",
            ),
            (HandshakeType::SERVER_HELLO, _) => (
                "ServerHello",
                "The server says hello back: which of what the client offered it has chosen.",
            ),
            (HandshakeType::NEW_SESSION_TICKET, _) => (
                "NewSessionTicket",
                "A ticket for the next time: with it the client can resume the session, without certificates and \
                 signatures.",
            ),
            (HandshakeType::ENCRYPTED_EXTENSIONS, _) => (
                "EncryptedExtensions",
                "The server's answers to extensions that have nothing to do with the keys: the first message that only \
                 the two of them can read.",
            ),
            (HandshakeType::CERTIFICATE, By::Server) => (
                "Certificate",
                "The server shows its certificate, and those that lead from it to a CA which the client should know.",
            ),
            (HandshakeType::CERTIFICATE, _) => (
                "Client's Certificate",
                "The client was asked, and shows its certificate; or an empty list, if it has none.",
            ),
            (HandshakeType::SERVER_KEY_EXCHANGE, _) => (
                "ServerKeyExchange",
                "The server's public key for the key exchange, signed with the key of its certificate together with \
                 both randoms: nobody else can have made it, and not for another connection (RFC 8422 §5.4).",
            ),
            (HandshakeType::CERTIFICATE_REQUEST, _) => (
                "CertificateRequest",
                "The server wants to know who the client is, by its certificate.",
            ),
            (HandshakeType::SERVER_HELLO_DONE, _) => ("ServerHelloDone", "The server has said its part of the hello."),
            (HandshakeType::CERTIFICATE_VERIFY, By::Server) => (
                "CertificateVerify",
                "Anybody can show a certificate. The signature proves that this server has the private key that \
                 belongs to it, and ties it to this very connection: it covers every message so far.",
            ),
            (HandshakeType::CERTIFICATE_VERIFY, _) => (
                "Client's CertificateVerify",
                "The proof that the client has the private key of its certificate, tied to this very connection.",
            ),
            (HandshakeType::CLIENT_KEY_EXCHANGE, _) => (
                "ClientKeyExchange",
                "The client's public key for the key exchange. With that both sides can compute the same keys.",
            ),
            (HandshakeType::CERTIFICATE_STATUS, _) => (
                "CertificateStatus",
                "What the server got from its CA's OCSP responder: that its certificate has not been revoked. So the client \
                 need not ask there itself, nor tell anybody whom it talks to.",
            ),
            (HandshakeType::FINISHED, By::Server) => (
                "Server Finished",
                "A checksum of the whole handshake under a key that only the two of them can know. If anybody had \
                 changed a byte on the way, it would not match.",
            ),
            (HandshakeType::FINISHED, _) => (
                "Client Finished",
                "The client's checksum of the whole handshake. With it the server knows as well that all is as it \
                 should be.",
            ),
            (HandshakeType::KEY_UPDATE, _) => (
                "KeyUpdate",
                "From its next record on the sender uses a new key, which stems from the old one.",
            ),
            _ => ("Handshake message", "A message that has no name here."),
        }
    }
}

/// A record that holds no handshake messages, or not a whole one.
fn other_record(record: &Record<'_>, by: By, version: ProtocolVersion) -> (&'static str, &'static str) {
    match (record.content, by) {
        _ if record.protection == Protection::Unknown => (
            "Record that cannot be read",
            "Either it is early data, sent along with a hello under a key that was not accepted, and is skipped; or \
             somebody has changed it, and then the connection ends here.",
        ),
        (ContentType::CHANGE_CIPHER_SPEC, _) if version.is_tls13() => (
            "ChangeCipherSpec",
            "It does nothing. TLS 1.3 sends it so that it looks like a resumption of TLS 1.2 to boxes on the way that \
             would stop what they do not know (RFC 8446 §D.4).",
        ),
        (ContentType::CHANGE_CIPHER_SPEC, _) => (
            "ChangeCipherSpec",
            "From its next record on the sender protects everything with the new keys.",
        ),
        (ContentType::ALERT, _) if record.text == [1, 0] || record.text == [2, 0] => (
            "Alert: close_notify",
            "The sender will say no more. Without it nobody could tell the end from a line that was cut.",
        ),
        (ContentType::ALERT, _) => ("Alert", "The sender has something to object."),
        (ContentType::HANDSHAKE, _) => ("Handshake record", "The message in it did not come to its end."),
        (_, By::Client) => (
            "Application data: ping",
            "What all this was for: the client's data, the ping, which nobody else can read or change.",
        ),
        (_, _) => (
            "Application data: pong",
            "The server's data, the pong, protected with the server's keys.",
        ),
    }
}

const HANDSHAKE_KEYS: &str = "Both sides now have the other's public key, and compute the same secrets from it. What \
                              comes next is encrypted with these keys.";
const SIGNED_BY_SERVER: &str = "64 blanks, \"TLS 1.3, server CertificateVerify\", a zero byte, transcript hash";
const SIGNED_BY_CLIENT: &str = "64 blanks, \"TLS 1.3, client CertificateVerify\", a zero byte, transcript hash";

fn stapled(visit: &mut dyn FnMut(&Item<'_>)) {
    visit(&computed(
        "stapled OCSP response",
        &[],
        Meaning::Words("good"),
        "It is about this very certificate, of today, and signed by the one who issued it, or by a responder whom that one \
         has named (RFC 6960 §3.2).",
    ));
}

fn computed<'i>(name: &'static str, bytes: &'i [u8], meaning: Meaning<'i>, note: &'static str) -> Item<'i> {
    Item {
        depth: 0,
        sort: Sort::Computed,
        name,
        bytes,
        meaning,
        note,
    }
}

fn inside(item: Item<'_>) -> Item<'_> {
    Item { depth: 1, ..item }
}

fn group_item<'i>(name: &'static str, meaning: Meaning<'i>) -> Item<'i> {
    Item {
        depth: 0,
        sort: Sort::Group,
        name,
        bytes: &[],
        meaning,
        note: "",
    }
}

/// The type of a message.
fn kind_of(whole: &[u8]) -> Option<HandshakeType> {
    whole.first().copied().map(HandshakeType)
}

/// The fixed part of a hello of either side, as far as it can be read.
struct Hello<'t> {
    random: Option<&'t [u8; 32]>,
    suite: Option<u16>,
    extensions: &'t [u8],
}

impl<'t> Hello<'t> {
    fn of(whole: &'t [u8]) -> Self {
        let mut hello = Self {
            random: None,
            suite: None,
            extensions: &[],
        };
        let _ = hello.read(whole);
        hello
    }

    fn read(&mut self, whole: &'t [u8]) -> Result<(), crate::error::InvalidMessage> {
        let mut reader = Reader::new(whole.get(HANDSHAKE_HEADER_LEN..).unwrap_or_default(), "hello");
        reader.u16()?;
        self.random = Some(reader.array()?);
        reader.vector8()?;
        if kind_of(whole) == Some(HandshakeType::CLIENT_HELLO) {
            reader.vector16()?;
            reader.vector8()?;
        } else {
            self.suite = Some(reader.u16()?);
            reader.u8()?;
        }
        self.extensions = reader.vector16()?;
        Ok(())
    }

    fn extension(&self, kind: ExtensionType) -> Option<&'t [u8]> {
        find_extension(self.extensions, kind)
    }
}

/// The body of an extension in a block of them.
fn find_extension(block: &[u8], kind: ExtensionType) -> Option<&[u8]> {
    let mut reader = Reader::new(block, "extensions");
    while let (Ok(found), Ok(body)) = (reader.u16(), reader.vector16()) {
        if found == kind.0 {
            return Some(body);
        }
    }
    None
}
