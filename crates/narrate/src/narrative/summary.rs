//! The outcome of a connection.

use postern_tls::record::HEADER_LEN;
use postern_tls::trace::{Event, Milestone, Record, views};
use postern_tls::{ContentType, HandshakeType};

use super::Narrative;
use crate::{fields, names};

/// The outcome of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary<'t> {
    /// Whether this side is the server.
    pub server: bool,
    /// The version, as OpenSSL writes it; empty before it is chosen.
    pub version: &'static str,
    /// The cipher suite's name; likewise.
    pub suite: &'static str,
    /// The group of the key exchange; empty where there was none.
    pub group: &'static str,
    /// The scheme of the server's signature; empty in a resumption.
    pub scheme: &'static str,
    /// The server name that the client asked for.
    pub server_name: &'t [u8],
    /// The protocol agreed upon by ALPN; empty if there is none, or if EncryptedExtensions were not recorded.
    pub protocol: &'t [u8],
    /// Whether it took a HelloRetryRequest.
    pub retried: bool,
    /// Whether a session was resumed.
    pub resumed: bool,
    /// Whether both sides sent certificates.
    pub mutual: bool,
    /// Whether secrets are shown, because they are logged anyway.
    pub secrets: bool,
    /// Whether the handshake was completed.
    pub done: bool,
    /// Why the connection failed; empty if it did not.
    pub failure: &'t str,
    /// The number of events that did not fit into the log.
    pub lost: u32,
    /// Handshake bytes of the client and of the server, with headers and protection of their records.
    pub bytes: (usize, usize),
}

impl<'t> Narrative<'t> {
    /// The outcome of the connection.
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
                    self.add_message(whole, of_client, &mut summary);
                    if views::kind(whole) == HandshakeType::CERTIFICATE && whole.len() > 8 {
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
                Event::Milestone(Milestone::Done) => summary.done = true,
                Event::Milestone(Milestone::Failed { reason }) => summary.failure = reason,
                Event::Milestone(Milestone::Shared { group }) => {
                    summary.group = names::group(group).unwrap_or_default();
                }
                Event::Milestone(Milestone::Secret { value, .. }) => summary.secrets |= !value.is_empty(),
                Event::Milestone(_) => {}
            }
        }
        summary.mutual = certificates == (true, true);
        summary
    }

    fn add_message(&self, whole: &'t [u8], of_client: bool, summary: &mut Summary<'t>) {
        match views::kind(whole) {
            HandshakeType::CLIENT_HELLO => {
                let hello = views::client_hello(whole).ok();
                summary.server_name = hello.and_then(|hello| hello.server_name).unwrap_or_default();
            }
            HandshakeType::SERVER_HELLO => {
                let Ok(hello) = views::server_hello(whole) else { return };
                summary.version = self.version.openssl_name();
                summary.suite = names::suite(hello.suite).unwrap_or_default();
                summary.retried |= hello.retry;
                summary.protocol = hello.protocol.unwrap_or(summary.protocol);
            }
            HandshakeType::ENCRYPTED_EXTENSIONS => {
                let protocol = views::encrypted_extensions(whole).ok().flatten();
                summary.protocol = protocol.unwrap_or_default();
            }
            HandshakeType::CERTIFICATE_VERIFY | HandshakeType::SERVER_KEY_EXCHANGE if !of_client => {
                let scheme = views::signature_scheme(whole).ok();
                summary.scheme = scheme.and_then(|scheme| names::scheme(scheme.0)).unwrap_or_default();
            }
            _ => {}
        }
    }
}
