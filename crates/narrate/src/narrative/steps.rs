//! The division of a connection into steps: their titles and notes.

use core::iter::Enumerate;

use postern_tls::trace::{Event, Milestone, Protection, Record, Secret, views};
use postern_tls::{ContentType, HandshakeType, ProtocolVersion};

use super::{Actor, Narrative, Step};
use crate::log::Events;

/// A title, and what the step is and why.
type Heading = (&'static str, &'static str);

/// The steps of a narrative.
pub struct Steps<'t> {
    narrative: Narrative<'t>,
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
    pub(super) fn of(narrative: Narrative<'t>) -> Self {
        Self {
            narrative,
            events: narrative.events.enumerate(),
            number: 0,
            computing: false,
            first_hello: true,
        }
    }

    /// The step that begins with this event, if one does.
    fn begin(&mut self, at: usize, event: Event<'t>) -> Option<Step<'t>> {
        let narrative = self.narrative;
        let mut step = Step {
            number: 0,
            actor: Actor::Local,
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
                step.actor = narrative.sender(sent);
                step.ours = sent;
                step.length = whole.len();
                step.protected = narrative.is_protected(at, sent);
                (step.title, step.note) = self.message(whole, step.actor);
            }
            Event::Record(record) => {
                if record.content == ContentType::HANDSHAKE && (record.sent || !self.is_left_over(at)) {
                    return None;
                }
                self.computing = false;
                step.actor = narrative.sender(record.sent);
                step.ours = record.sent;
                step.length = record.length.into();
                step.protected = record.protection != Protection::None;
                (step.title, step.note) = other_record(&record, step.actor, narrative.version);
            }
            Event::Milestone(milestone) => {
                (step.title, step.note) = self.milestone(&milestone)?;
                if let Milestone::Failed { reason } = milestone {
                    step.reason = reason;
                }
                self.computing = is_computation(&milestone);
            }
        }
        Some(step)
    }

    /// Whether a received handshake record at `at` was the last of its side and completed no message.
    fn is_left_over(&self, at: usize) -> bool {
        let later = self.narrative.events.skip(at + 1);
        !later
            .into_iter()
            .any(|event| matches!(event, Event::Message { sent: false, .. }))
    }

    fn has_shares(&self) -> bool {
        let shares = self.narrative.client_shares();
        shares.is_some_and(|shares| shares.iter().next().is_some())
    }

    /// The heading of the step that begins with a milestone, if one does.
    fn milestone(&self, milestone: &Milestone<'_>) -> Option<Heading> {
        if self.computing && is_computation(milestone) {
            return None;
        }
        Some(match milestone {
            Milestone::Role { server: true } if self.has_shares() => (
                "Client key generation",
                "Before the first message the client makes a key pair for each group in which it offers a key exchange. \
                 (The server learns of it only from the ClientHello.)",
            ),
            Milestone::KeyPair { .. } if self.narrative.server => (
                "Server key generation",
                "The server makes a key pair of its own, in the group that it has chosen.",
            ),
            Milestone::KeyPair { .. } => (
                "Client key generation",
                "The client makes a key pair for each group in which it offers a key exchange, for this connection \
                 alone.",
            ),
            Milestone::Shared { .. } => ("Calculation of keys", HANDSHAKE_KEYS),
            Milestone::Secret { secret, .. } => match secret {
                Secret::ClientHandshakeTraffic | Secret::ServerHandshakeTraffic => {
                    ("Calculation of the handshake keys", HANDSHAKE_KEYS)
                }
                Secret::ClientTraffic | Secret::ServerTraffic => (
                    "Calculation of the application keys",
                    "Both sides derive the keys for application data, from the same secrets and a transcript that now \
                     includes the server's Finished.",
                ),
                Secret::Master => (
                    "Calculation of the master secret",
                    "Both sides derive the master secret, and from it the keys of either direction.",
                ),
            },
            Milestone::Done => (
                "Handshake done",
                "Each side has proof that the other has the same keys and has seen the same messages. Application data \
                 follows.",
            ),
            Milestone::Failed { .. } => ("Failed", "The connection has ended, for this reason:"),
            _ => return None,
        })
    }

    fn message(&mut self, whole: &[u8], actor: Actor) -> Heading {
        let kind = views::kind(whole);
        match kind {
            HandshakeType::CLIENT_HELLO => {
                let first = core::mem::replace(&mut self.first_hello, false);
                client_hello(whole, first)
            }
            HandshakeType::SERVER_HELLO => {
                let retry = views::server_hello(whole).is_ok_and(|hello| hello.retry);
                server_hello(self.narrative.version, retry)
            }
            kind => other_message(kind, actor),
        }
    }
}

fn is_computation(milestone: &Milestone<'_>) -> bool {
    matches!(
        milestone,
        Milestone::KeyPair { .. } | Milestone::Shared { .. } | Milestone::Secret { .. }
    )
}

fn client_hello(whole: &[u8], first: bool) -> Heading {
    if !first {
        return (
            "ClientHello, once more",
            "The same hello, changed only where the server asked for it. In the transcript a hash now stands for the \
             first one (RFC 8446 §4.4.1).",
        );
    }
    if views::client_hello(whole).is_ok_and(|hello| hello.key_shares.is_some()) {
        (
            "ClientHello",
            "The client begins: the versions, cipher suites and groups that it supports, the server that it wants to \
             reach and, to save a round trip, its public keys for the key exchange.",
        )
    } else {
        (
            "ClientHello",
            "The client begins: the versions, cipher suites and groups that it supports, and the server that it wants \
             to reach.",
        )
    }
}

fn server_hello(version: ProtocolVersion, retry: bool) -> Heading {
    if retry {
        (
            "HelloRetryRequest",
            "The server supports what the client offers, except for the key shares that it has sent: it asks for \
             another hello, with a share for this group.",
        )
    } else if version.is_tls13() {
        (
            "ServerHello",
            "The server answers: its choices from what the client offered, and its own public key. With it both sides \
             can compute the same keys; every message that follows is encrypted.",
        )
    } else {
        (
            "ServerHello",
            "The server answers: its choices from what the client offered.",
        )
    }
}

fn other_message(kind: HandshakeType, actor: Actor) -> Heading {
    match (kind, actor) {
        (HandshakeType::HELLO_REQUEST, _) => (
            "HelloRequest",
            "The server asks for a new handshake. The client declines.",
        ),
        (HandshakeType::NEW_SESSION_TICKET, _) => (
            "NewSessionTicket",
            "A ticket for a later connection: with it the client can resume the session, without certificates and \
             signatures.",
        ),
        (HandshakeType::ENCRYPTED_EXTENSIONS, _) => (
            "EncryptedExtensions",
            "The server's answers to extensions that do not concern the keys: the first message that only the two sides \
             can read.",
        ),
        (HandshakeType::CERTIFICATE, Actor::Server) => (
            "Certificate",
            "The server's certificate, and those that lead from it to a CA that the client should know.",
        ),
        (HandshakeType::CERTIFICATE, _) => (
            "Client's Certificate",
            "The client's certificate, which the server asked for; an empty list if it has none.",
        ),
        (HandshakeType::SERVER_KEY_EXCHANGE, _) => (
            "ServerKeyExchange",
            "The server's public key for the key exchange, signed with the key of its certificate together with both \
             randoms: only this server can have made it, and only for this connection (RFC 8422 §5.4).",
        ),
        (HandshakeType::CERTIFICATE_REQUEST, _) => {
            ("CertificateRequest", "The server asks the client for a certificate.")
        }
        (HandshakeType::SERVER_HELLO_DONE, _) => ("ServerHelloDone", "The server's part of the hello is complete."),
        (HandshakeType::CERTIFICATE_VERIFY, Actor::Server) => (
            "CertificateVerify",
            "A certificate alone proves nothing: anyone can send it. The signature proves that this server has the \
             certificate's private key, and binds it to this connection: it covers every message so far.",
        ),
        (HandshakeType::CERTIFICATE_VERIFY, _) => (
            "Client's CertificateVerify",
            "Proof that the client has the private key of its certificate, bound to this connection.",
        ),
        (HandshakeType::CLIENT_KEY_EXCHANGE, _) => (
            "ClientKeyExchange",
            "The client's public key for the key exchange. With it both sides can compute the same keys.",
        ),
        (HandshakeType::CERTIFICATE_STATUS, _) => (
            "CertificateStatus",
            "The answer of the CA's OCSP responder, fetched by the server: its certificate has not been revoked. The \
             client need not ask the responder, which would then learn what servers it visits.",
        ),
        (HandshakeType::FINISHED, Actor::Server) => (
            "Server Finished",
            "A checksum of the whole handshake under a key that only the two sides have. It would not match if a byte \
             had been changed on the way.",
        ),
        (HandshakeType::FINISHED, _) => (
            "Client Finished",
            "The client's checksum of the whole handshake. With it the server too knows that nothing was changed.",
        ),
        (HandshakeType::KEY_UPDATE, _) => (
            "KeyUpdate",
            "From its next record on the sender uses a new key, derived from the old one.",
        ),
        _ => ("Handshake message", "A message of an unknown type."),
    }
}

/// A record without handshake messages, or without a whole one.
fn other_record(record: &Record<'_>, actor: Actor, version: ProtocolVersion) -> Heading {
    match (record.content, actor) {
        _ if record.protection == Protection::Unknown => (
            "Record that cannot be read",
            "Either it is early data, sent with a hello under a key that was not accepted, and is skipped; or it was \
             changed on the way, and the connection ends here.",
        ),
        (ContentType::CHANGE_CIPHER_SPEC, _) if version.is_tls13() => (
            "ChangeCipherSpec",
            "It has no effect. TLS 1.3 sends it to look like a resumption of TLS 1.2 to middleboxes that block what they \
             do not know (RFC 8446 §D.4).",
        ),
        (ContentType::CHANGE_CIPHER_SPEC, _) => (
            "ChangeCipherSpec",
            "From its next record on the sender protects everything with the new keys.",
        ),
        (ContentType::ALERT, _) if record.text == [1, 0] || record.text == [2, 0] => (
            "Alert: close_notify",
            "The sender sends nothing more. Without it the end could not be told from a cut connection.",
        ),
        (ContentType::ALERT, _) => ("Alert", "The sender reports an error."),
        (ContentType::HANDSHAKE, _) => ("Handshake record", "The message in it is incomplete."),
        (_, Actor::Client) => (
            "Application data: ping",
            "The purpose of the handshake: the client's data, the ping, which only the server can read and which cannot \
             be changed unnoticed.",
        ),
        (_, _) => (
            "Application data: pong",
            "The server's data, the pong, protected with the server's keys.",
        ),
    }
}

const HANDSHAKE_KEYS: &str = "Both sides now have the other's public key, and compute the same secrets from it. What \
                              follows is encrypted with these keys.";
