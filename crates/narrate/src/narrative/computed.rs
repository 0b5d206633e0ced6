//! What was computed from a message or between messages: verdicts, hashes, keys.

use postern_tls::crypto::aead::{MAX_KEY_LEN, NONCE_LEN};
use postern_tls::registry::is_grease;
use postern_tls::trace::views::{self, KeyShares};
use postern_tls::trace::{Event, Milestone, Secret};
use postern_tls::{ContentType, HandshakeType};
use zeroize::Zeroizing;

use super::Narrative;
use crate::fields::{Item, ItemKind, Meaning};
use crate::names;

const NOT_SHOWN: Meaning<'_> = Meaning::Words("kept secret");
const SIGNED_BY_SERVER: &str = "64 blanks, \"TLS 1.3, server CertificateVerify\", a zero byte, transcript hash";
const SIGNED_BY_CLIENT: &str = "64 blanks, \"TLS 1.3, client CertificateVerify\", a zero byte, transcript hash";

impl<'t> Narrative<'t> {
    /// What was computed from a message, or verified of it.
    pub(super) fn computed_from(&self, at: usize, sent: bool, whole: &[u8], visit: &mut dyn FnMut(&Item<'_>)) {
        let kind = views::kind(whole);
        let same_kind = |event: &Event<'_>| matches!(event, Event::Message { whole, .. } if views::kind(whole) == kind);
        for event in self.events.skip(at + 1).take_while(|event| !same_kind(event)) {
            let Event::Milestone(milestone) = event else { continue };
            match (kind, milestone) {
                (HandshakeType::CERTIFICATE, Milestone::Trusted { subject }) if !sent => {
                    return visit(&computed(
                        "verdict",
                        &[],
                        Meaning::Plain(subject),
                        "The chain leads to a trusted CA, every signature in it is valid, no certificate has expired or \
                         was revoked, and name and purpose match (RFC 5280).",
                    ));
                }
                (HandshakeType::CERTIFICATE, Milestone::Stapled) if self.version.is_tls13() && !sent => stapled(visit),
                (HandshakeType::CERTIFICATE_STATUS, Milestone::Stapled) if !sent => return stapled(visit),
                (HandshakeType::CERTIFICATE_VERIFY, Milestone::Signature { sent: other, hash }) if other == sent => {
                    return self.signed_content(sent, hash, visit);
                }
                (HandshakeType::FINISHED, Milestone::Finished { sent: other, hash }) if other == sent => {
                    return self.verify_data(sent, hash, visit);
                }
                (HandshakeType::SERVER_HELLO, Milestone::Resumed) => {
                    return visit(&computed(
                        "session",
                        &[],
                        Meaning::Words("resumed"),
                        "Both sides have a key from an earlier connection, by the client's ticket. It replaces \
                         certificates and signatures, which are not sent again.",
                    ));
                }
                _ => {}
            }
        }
    }

    fn signed_content(&self, sent: bool, hash: &[u8], visit: &mut dyn FnMut(&Item<'_>)) {
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
            "The text names the signer and the purpose, so that the signature cannot be used for anything else \
             (RFC 8446 §4.4.3).",
        ));
    }

    fn verify_data(&self, sent: bool, hash: &[u8], visit: &mut dyn FnMut(&Item<'_>)) {
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
                "How it was computed."
            } else {
                "It was computed here as well, with the same result: no byte of the handshake was changed."
            },
        ));
    }

    /// A run of computations.
    pub(super) fn computation(&self, at: usize, visit: &mut dyn FnMut(&Item<'_>)) {
        let mut last_hash = &[][..];
        for (index, event) in self.events.enumerate().skip(at) {
            let milestone = match event {
                Event::Milestone(Milestone::Done | Milestone::Failed { .. }) if index > at => return,
                Event::Milestone(milestone) => milestone,
                Event::Message { .. } => return,
                Event::Record(record) if record.content == ContentType::HANDSHAKE => continue,
                Event::Record(_) => return,
            };
            match milestone {
                Milestone::Role { .. } => return self.offered_keys(visit),
                Milestone::KeyPair { group, public } => key_pair(
                    group,
                    public,
                    (NOT_SHOWN, "Random, and erased when the key exchange is complete."),
                    "Computed from the private key; the reverse is believed to be infeasible.",
                    visit,
                ),
                Milestone::Shared { group } => self.shared(group, visit),
                Milestone::Secret { secret, hash, value } => {
                    let new = hash != last_hash;
                    last_hash = hash;
                    self.secret(secret, if new { hash } else { &[] }, value, visit);
                }
                Milestone::Done => {
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
                Milestone::Failed { .. } => return,
                Milestone::Resumed
                | Milestone::Signature { .. }
                | Milestone::Finished { .. }
                | Milestone::Trusted { .. }
                | Milestone::Stapled => {}
            }
        }
    }

    /// The key shares of the first ClientHello.
    pub(super) fn client_shares(&self) -> Option<KeyShares<'t>> {
        let hello = self.events.into_iter().find_map(|event| match event {
            Event::Message { whole, .. } if views::kind(whole) == HandshakeType::CLIENT_HELLO => Some(whole),
            _ => None,
        });
        views::client_hello(hello?).ok()?.key_shares
    }

    /// The client's key pairs as a server sees them: only the public halves.
    fn offered_keys(&self, visit: &mut dyn FnMut(&Item<'_>)) {
        let shares = self.client_shares().into_iter().flat_map(KeyShares::iter);
        for (group, public) in shares.filter(|(group, _)| !is_grease(*group)) {
            key_pair(
                group,
                public,
                (Meaning::Words("known to the client alone"), ""),
                "As in the key_share of the ClientHello.",
                visit,
            );
        }
    }

    fn shared(&self, group: u16, visit: &mut dyn FnMut(&Item<'_>)) {
        const X25519_MLKEM768: u16 = 0x11ec;
        visit(&computed(
            "shared secret",
            &[],
            NOT_SHOWN,
            if group == X25519_MLKEM768 {
                "Two secrets, one after the other: that which ML-KEM-768 encapsulates for the client's key, and \
                 X25519(own private key, peer's public key). Both sides get the same; an eavesdropper does not, even with \
                 a quantum computer."
            } else {
                "ECDH(own private key, peer's public key). Both sides get the same; an eavesdropper does not."
            },
        ));
        if !self.version.is_tls13() {
            return;
        }
        visit(&computed(
            "early_secret",
            &[],
            NOT_SHOWN,
            if self.resumed {
                "HKDF-Extract(0, PSK): from the key that belongs to the ticket."
            } else {
                "HKDF-Extract(0, 0): without a PSK, because no session is resumed."
            },
        ));
        visit(&computed(
            "handshake_secret",
            &[],
            NOT_SHOWN,
            "HKDF-Extract(Derive-Secret(early_secret, \"derived\", \"\"), shared secret)",
        ));
    }

    fn secret(&self, secret: Secret, hash: &[u8], value: &[u8], visit: &mut dyn FnMut(&Item<'_>)) {
        let application = matches!(secret, Secret::ClientTraffic | Secret::ServerTraffic);
        if application && !hash.is_empty() {
            visit(&computed(
                "master_secret",
                &[],
                NOT_SHOWN,
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
        let (name, formula) = self.formula(secret, hash);
        let meaning = if value.is_empty() {
            NOT_SHOWN
        } else {
            Meaning::Words("shown, because secrets are logged")
        };
        visit(&computed(name, value, meaning, formula));
        if secret == Secret::Master {
            visit(&computed(
                "record keys",
                &[],
                NOT_SHOWN,
                "PRF(master_secret, \"key expansion\", server random + client random): a key and an IV for each \
                 direction (RFC 5246 §6.3).",
            ));
        } else {
            self.record_keys(secret, value, visit);
        }
    }

    /// The name of a secret, and how it is computed.
    fn formula(&self, secret: Secret, hash: &[u8]) -> (&'static str, &'static str) {
        match secret {
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
            Secret::Master if self.resumed => ("master_secret", "That of the resumed session, stored in the ticket."),
            Secret::Master if hash.is_empty() => (
                "master_secret",
                "PRF(shared secret, \"master secret\", client random + server random)",
            ),
            Secret::Master => (
                "master_secret",
                "PRF(shared secret, \"extended master secret\", transcript hash) (RFC 7627 §4)",
            ),
        }
    }

    /// The record key and IV that a traffic secret of TLS 1.3 gives.
    fn record_keys(&self, secret: Secret, value: &[u8], visit: &mut dyn FnMut(&Item<'_>)) {
        let client = matches!(secret, Secret::ClientHandshakeTraffic | Secret::ClientTraffic);
        let name = |client_name, server_name| if client { client_name } else { server_name };
        let (Some(suite), false) = (self.suite, value.is_empty()) else {
            visit(&computed(
                name("client's key and iv", "server's key and iv"),
                &[],
                NOT_SHOWN,
                "HKDF-Expand-Label(that secret, \"key\", \"\") and \"iv\" (RFC 8446 §7.3)",
            ));
            return;
        };
        let mut key = Zeroizing::new([0; MAX_KEY_LEN]);
        let mut iv = Zeroizing::new([0; NONCE_LEN]);
        let key = key.get_mut(..suite.aead().key_len()).unwrap_or_default();
        if views::record_key(suite, value, key, &mut iv).is_ok() {
            visit(&computed(
                name("client's key", "server's key"),
                key,
                Meaning::None,
                "HKDF-Expand-Label(that secret, \"key\", \"\")",
            ));
            visit(&computed(
                name("client's iv", "server's iv"),
                &*iv,
                Meaning::None,
                "HKDF-Expand-Label(that secret, \"iv\", \"\")",
            ));
        }
    }
}

fn key_pair(
    group: u16,
    public: &[u8],
    (private, private_note): (Meaning<'static>, &'static str),
    public_note: &'static str,
    visit: &mut dyn FnMut(&Item<'_>),
) {
    visit(&Item {
        depth: 0,
        kind: ItemKind::Group,
        name: "key pair",
        bytes: &[],
        meaning: names::group(group).map_or(Meaning::Unknown(group.into()), Meaning::Words),
        note: "",
    });
    let inside = |item| Item { depth: 1, ..item };
    visit(&inside(computed("private key", &[], private, private_note)));
    visit(&inside(computed("public key", public, Meaning::None, public_note)));
}

fn stapled(visit: &mut dyn FnMut(&Item<'_>)) {
    visit(&computed(
        "stapled OCSP response",
        &[],
        Meaning::Words("good"),
        "It is about this certificate, current, and signed by its issuer or by a responder that the issuer has named \
         (RFC 6960 §3.2).",
    ));
}

fn computed<'i>(name: &'static str, bytes: &'i [u8], meaning: Meaning<'i>, note: &'static str) -> Item<'i> {
    Item {
        depth: 0,
        kind: ItemKind::Computed,
        name,
        bytes,
        meaning,
        note,
    }
}
