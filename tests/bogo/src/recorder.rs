//! The engine's reports during a connection.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;

use postern_tls::trace::{Event, Trace};
use postern_tls::{ContentType, HandshakeType, KeyLog};

/// Notes the messages, and the secrets of the data.
#[derive(Default)]
pub struct Recorder {
    /// In the format of `-expect-msg-callback`.
    pub messages: RefCell<String>,
    pub client_hello: RefCell<Vec<u8>>,
    pub own_certificate: RefCell<Vec<u8>>,
    /// Of CertificateVerify.
    pub peer_scheme: Cell<Option<u16>>,
    pub own_scheme: Cell<Option<u16>>,
    pub client_secret: RefCell<Vec<u8>>,
    pub server_secret: RefCell<Vec<u8>>,
}

impl Trace for Recorder {
    fn event(&self, event: &Event<'_>) {
        let direction = |sent| if sent { "write" } else { "read" };
        let mut messages = self.messages.borrow_mut();
        match event {
            Event::Message { sent, whole } => {
                let kind = HandshakeType(whole.first().copied().unwrap_or_default());
                let _ = writeln!(messages, "{} hs {}", direction(*sent), kind.0);
                match kind {
                    HandshakeType::CLIENT_HELLO => *self.client_hello.borrow_mut() = whole.to_vec(),
                    HandshakeType::CERTIFICATE_VERIFY => {
                        let scheme = whole.get(4..).and_then(|body| body.first_chunk());
                        let of = if *sent { &self.own_scheme } else { &self.peer_scheme };
                        of.set(scheme.map(|scheme| u16::from_be_bytes(*scheme)));
                    }
                    HandshakeType::CERTIFICATE if *sent => *self.own_certificate.borrow_mut() = whole.to_vec(),
                    _ => {}
                }
            }
            Event::Record(record) => {
                let _ = match (record.content, record.text) {
                    (ContentType::CHANGE_CIPHER_SPEC, _) => writeln!(messages, "{} ccs", direction(record.sent)),
                    (ContentType::ALERT, [level, description, ..]) => {
                        writeln!(messages, "{} alert {level} {description}", direction(record.sent))
                    }
                    _ => Ok(()),
                };
            }
            _ => {}
        }
    }
}

impl KeyLog for Recorder {
    fn log(&self, label: &str, _client_random: &[u8; 32], secret: &[u8]) {
        match label {
            "CLIENT_TRAFFIC_SECRET_0" => *self.client_secret.borrow_mut() = secret.to_vec(),
            "SERVER_TRAFFIC_SECRET_0" => *self.server_secret.borrow_mut() = secret.to_vec(),
            _ => {}
        }
    }
}
