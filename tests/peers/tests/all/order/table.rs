//! The legal order of messages as data (RFC 8446 §A, RFC 5246 §7.3).

use postern_peers::middle::Item;
use postern_tls::error::PeerMisbehaved;
use postern_tls::{AlertDescription as Alert, ContentType, Error, HandshakeType, ProtocolVersion};

/// What can come besides data and alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    HelloRequest,
    ClientHello,
    ServerHello,
    HelloRetryRequest,
    HelloVerifyRequest,
    NewSessionTicket,
    EndOfEarlyData,
    EncryptedExtensions,
    Certificate,
    /// A Certificate without any.
    NoCertificate,
    ServerKeyExchange,
    CertificateRequest,
    ServerHelloDone,
    CertificateVerify,
    ClientKeyExchange,
    Finished,
    CertificateUrl,
    CertificateStatus,
    SupplementalData,
    KeyUpdate,
    CompressedCertificate,
    NextProtocol,
    MessageHash,
    Unknown,
    ChangeCipherSpec,
}

/// Every handshake message, with its type (IANA, "TLS HandshakeType").
pub const MESSAGES: [(Input, u8); 24] = [
    (Input::HelloRequest, 0),
    (Input::ClientHello, 1),
    (Input::ServerHello, 2),
    (Input::HelloRetryRequest, 2),
    (Input::HelloVerifyRequest, 3),
    (Input::NewSessionTicket, 4),
    (Input::EndOfEarlyData, 5),
    (Input::EncryptedExtensions, 8),
    (Input::Certificate, 11),
    (Input::NoCertificate, 11),
    (Input::ServerKeyExchange, 12),
    (Input::CertificateRequest, 13),
    (Input::ServerHelloDone, 14),
    (Input::CertificateVerify, 15),
    (Input::ClientKeyExchange, 16),
    (Input::Finished, 20),
    (Input::CertificateUrl, 21),
    (Input::CertificateStatus, 22),
    (Input::SupplementalData, 23),
    (Input::KeyUpdate, 24),
    (Input::CompressedCertificate, 25),
    (Input::NextProtocol, 67),
    (Input::MessageHash, 254),
    (Input::Unknown, 99),
];

impl Input {
    /// Which one `item` is; `None` for data and alerts.
    pub fn of(item: &Item) -> Option<Self> {
        const RETRY: [u8; 4] = [0xcf, 0x21, 0xad, 0x74];
        let message = match item {
            Item::Message(message) => message,
            Item::ChangeCipherSpec => return Some(Self::ChangeCipherSpec),
            _ => return None,
        };
        match message[..] {
            [2, _, _, _, _, _, a, b, c, d, ..] if [a, b, c, d] == RETRY => Some(Self::HelloRetryRequest),
            [11, _, _, _, 0, 0, 0] | [11, _, _, _, 0, 0, 0, 0] => Some(Self::NoCertificate),
            _ => MESSAGES
                .iter()
                .find(|(_, kind)| *kind == message[0])
                .map(|found| found.0),
        }
    }
}

/// What a receiver waits for. Names with 12 are those of TLS 1.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// The first hello: of TLS 1.3, of TLS 1.2, of either.
    Hello,
    Hello12,
    HelloOfEither,
    SecondHello,
    Extensions,
    ExtensionsOfResumption,
    RequestOrCertificate,
    Certificate,
    CertificateOrNone,
    Verify,
    Finished,
    Connected,
    Certificate12,
    CertificateOrNone12,
    StatusOrExchange12,
    Exchange12,
    /// A ClientKeyExchange after a certificate, with which a signature is due.
    SignedExchange12,
    RequestOrDone12,
    Done12,
    Verify12,
    Ticket12,
    ChangeCipherSpec12,
    Finished12,
    Connected12,
}

/// What protects a state's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protection {
    None,
    Handshake,
    Application,
    Tls12,
}

/// What an unprotected change_cipher_spec does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeCipherSpec {
    Refused,
    /// RFC 8446 §5: from the first ClientHello to the peer's Finished.
    Dropped,
    /// RFC 5246 §7.1.
    Awaited,
}

/// Whether the record of a message has to end with it, because keys change or the other side is to send next
/// (RFC 8446 §5.1).
pub const ENDS: bool = true;
/// See [`ENDS`].
pub const GOES_ON: bool = false;

/// Where an input is legal, where it leads, and whether its record ends there.
pub type Edge = (State, Input, State, bool);

/// What one role receives.
pub struct Table {
    pub states: &'static [(State, Protection, ChangeCipherSpec)],
    pub edges: &'static [Edge],
    /// Messages that are legal by type but not by content.
    pub by_content: &'static [(State, Input, PeerMisbehaved, Alert)],
}

use ChangeCipherSpec::{Awaited, Dropped, Refused};
use Protection::{Application, Handshake, None as Plain, Tls12};

use self::{Input as I, State as S};

pub const CLIENT: Table = Table {
    states: &[
        (S::Hello, Plain, Dropped),
        (S::HelloOfEither, Plain, Dropped),
        (S::Hello12, Plain, Refused),
        (S::SecondHello, Plain, Dropped),
        (S::Extensions, Handshake, Dropped),
        (S::ExtensionsOfResumption, Handshake, Dropped),
        (S::RequestOrCertificate, Handshake, Dropped),
        (S::Certificate, Handshake, Dropped),
        (S::Verify, Handshake, Dropped),
        (S::Finished, Handshake, Dropped),
        (S::Connected, Application, Refused),
        (S::Certificate12, Plain, Refused),
        (S::StatusOrExchange12, Plain, Refused),
        (S::Exchange12, Plain, Refused),
        (S::RequestOrDone12, Plain, Refused),
        (S::Done12, Plain, Refused),
        (S::Ticket12, Plain, Refused),
        (S::ChangeCipherSpec12, Plain, Awaited),
        (S::Finished12, Tls12, Refused),
        (S::Connected12, Tls12, Refused),
    ],
    edges: &[
        (S::Hello, I::ServerHello, S::Extensions, ENDS),
        (S::Hello, I::ServerHello, S::ExtensionsOfResumption, ENDS),
        (S::Hello, I::HelloRetryRequest, S::SecondHello, ENDS),
        (S::HelloOfEither, I::ServerHello, S::Extensions, ENDS),
        (S::HelloOfEither, I::HelloRetryRequest, S::SecondHello, ENDS),
        (S::HelloOfEither, I::ServerHello, S::Certificate12, GOES_ON),
        (S::HelloOfEither, I::HelloRequest, S::HelloOfEither, GOES_ON),
        (S::SecondHello, I::ServerHello, S::Extensions, ENDS),
        (S::SecondHello, I::ServerHello, S::ExtensionsOfResumption, ENDS),
        (S::Extensions, I::EncryptedExtensions, S::RequestOrCertificate, GOES_ON),
        // RFC 8446 §4.3.2: no request where a PSK authenticates.
        (S::ExtensionsOfResumption, I::EncryptedExtensions, S::Finished, GOES_ON),
        (S::RequestOrCertificate, I::CertificateRequest, S::Certificate, GOES_ON),
        (S::RequestOrCertificate, I::Certificate, S::Verify, GOES_ON),
        (S::Certificate, I::Certificate, S::Verify, GOES_ON),
        (S::Verify, I::CertificateVerify, S::Finished, GOES_ON),
        (S::Finished, I::Finished, S::Connected, ENDS),
        (S::Connected, I::NewSessionTicket, S::Connected, GOES_ON),
        (S::Connected, I::KeyUpdate, S::Connected, ENDS),
        // RFC 5246 §7.4.1.1: a HelloRequest may come at any time, and is ignored in a handshake.
        (S::Hello12, I::HelloRequest, S::Hello12, GOES_ON),
        (S::Hello12, I::ServerHello, S::Certificate12, GOES_ON),
        (S::Hello12, I::ServerHello, S::Ticket12, GOES_ON),
        (S::Hello12, I::ServerHello, S::ChangeCipherSpec12, ENDS),
        (S::Certificate12, I::HelloRequest, S::Certificate12, GOES_ON),
        (S::Certificate12, I::Certificate, S::StatusOrExchange12, GOES_ON),
        (S::Certificate12, I::Certificate, S::Exchange12, GOES_ON),
        (S::StatusOrExchange12, I::HelloRequest, S::StatusOrExchange12, GOES_ON),
        (S::StatusOrExchange12, I::CertificateStatus, S::Exchange12, GOES_ON),
        (S::StatusOrExchange12, I::ServerKeyExchange, S::RequestOrDone12, GOES_ON),
        (S::Exchange12, I::HelloRequest, S::Exchange12, GOES_ON),
        (S::Exchange12, I::ServerKeyExchange, S::RequestOrDone12, GOES_ON),
        (S::RequestOrDone12, I::HelloRequest, S::RequestOrDone12, GOES_ON),
        (S::RequestOrDone12, I::CertificateRequest, S::Done12, GOES_ON),
        (S::RequestOrDone12, I::ServerHelloDone, S::Ticket12, ENDS),
        (S::RequestOrDone12, I::ServerHelloDone, S::ChangeCipherSpec12, ENDS),
        (S::Done12, I::HelloRequest, S::Done12, GOES_ON),
        (S::Done12, I::ServerHelloDone, S::Ticket12, ENDS),
        (S::Done12, I::ServerHelloDone, S::ChangeCipherSpec12, ENDS),
        (S::Ticket12, I::HelloRequest, S::Ticket12, GOES_ON),
        (S::Ticket12, I::NewSessionTicket, S::ChangeCipherSpec12, ENDS),
        (S::ChangeCipherSpec12, I::HelloRequest, S::ChangeCipherSpec12, GOES_ON),
        (S::ChangeCipherSpec12, I::ChangeCipherSpec, S::Finished12, ENDS),
        (S::Finished12, I::HelloRequest, S::Finished12, GOES_ON),
        (S::Finished12, I::Finished, S::Connected12, ENDS),
        (S::Connected12, I::HelloRequest, S::Connected12, GOES_ON),
    ],
    by_content: &[
        // RFC 8446 §4.1.3: of the version that it chooses, which was not offered.
        (
            S::Hello12,
            I::HelloRetryRequest,
            PeerMisbehaved::IllegalParameter("selected_version"),
            Alert::ILLEGAL_PARAMETER,
        ),
        // RFC 8446 §4.4.2.4; RFC 5246 §7.4.2 demands it as well, and names no alert.
        (
            S::RequestOrCertificate,
            I::NoCertificate,
            PeerMisbehaved::NoServerCertificate,
            Alert::DECODE_ERROR,
        ),
        (
            S::Certificate,
            I::NoCertificate,
            PeerMisbehaved::NoServerCertificate,
            Alert::DECODE_ERROR,
        ),
        (
            S::Certificate12,
            I::NoCertificate,
            PeerMisbehaved::NoServerCertificate,
            Alert::DECODE_ERROR,
        ),
    ],
};

pub const SERVER: Table = Table {
    states: &[
        (S::Hello, Plain, Refused),
        (S::SecondHello, Plain, Dropped),
        (S::Certificate, Handshake, Dropped),
        (S::CertificateOrNone, Handshake, Dropped),
        (S::Verify, Handshake, Dropped),
        (S::Finished, Handshake, Dropped),
        (S::Connected, Application, Refused),
        (S::Certificate12, Plain, Refused),
        (S::CertificateOrNone12, Plain, Refused),
        (S::Exchange12, Plain, Refused),
        (S::SignedExchange12, Plain, Refused),
        (S::Verify12, Plain, Refused),
        (S::ChangeCipherSpec12, Plain, Awaited),
        (S::Finished12, Tls12, Refused),
        (S::Connected12, Tls12, Refused),
    ],
    edges: &[
        (S::Hello, I::ClientHello, S::SecondHello, ENDS),
        (S::Hello, I::ClientHello, S::Certificate, ENDS),
        (S::Hello, I::ClientHello, S::CertificateOrNone, ENDS),
        (S::Hello, I::ClientHello, S::Finished, ENDS),
        (S::SecondHello, I::ClientHello, S::Certificate, ENDS),
        (S::SecondHello, I::ClientHello, S::Finished, ENDS),
        (S::Certificate, I::Certificate, S::Verify, GOES_ON),
        (S::CertificateOrNone, I::Certificate, S::Verify, GOES_ON),
        (S::CertificateOrNone, I::NoCertificate, S::Finished, GOES_ON),
        (S::Verify, I::CertificateVerify, S::Finished, GOES_ON),
        (S::Finished, I::Finished, S::Connected, ENDS),
        (S::Connected, I::KeyUpdate, S::Connected, ENDS),
        (S::Hello, I::ClientHello, S::Certificate12, ENDS),
        (S::Hello, I::ClientHello, S::CertificateOrNone12, ENDS),
        (S::Hello, I::ClientHello, S::Exchange12, ENDS),
        (S::Hello, I::ClientHello, S::ChangeCipherSpec12, ENDS),
        (S::Certificate12, I::Certificate, S::SignedExchange12, GOES_ON),
        (S::CertificateOrNone12, I::Certificate, S::SignedExchange12, GOES_ON),
        (S::CertificateOrNone12, I::NoCertificate, S::Exchange12, GOES_ON),
        (S::Exchange12, I::ClientKeyExchange, S::ChangeCipherSpec12, ENDS),
        (S::SignedExchange12, I::ClientKeyExchange, S::Verify12, GOES_ON),
        (S::Verify12, I::CertificateVerify, S::ChangeCipherSpec12, ENDS),
        (S::ChangeCipherSpec12, I::ChangeCipherSpec, S::Finished12, ENDS),
        (S::Finished12, I::Finished, S::Connected12, ENDS),
        // A renegotiation, which is declined with a warning (RFC 5746 §4.2, RFC 5246 §7.2.2).
        (S::Connected12, I::ClientHello, S::Connected12, GOES_ON),
    ],
    by_content: &[
        // RFC 8446 §4.4.2.4.
        (
            S::Certificate,
            I::NoCertificate,
            PeerMisbehaved::NoClientCertificate(ProtocolVersion::TLS13),
            Alert::CERTIFICATE_REQUIRED,
        ),
        // RFC 5246 §7.4.6.
        (
            S::Certificate12,
            I::NoCertificate,
            PeerMisbehaved::NoClientCertificate(ProtocolVersion::TLS12),
            Alert::HANDSHAKE_FAILURE,
        ),
    ],
};

impl Table {
    /// What protects a state's records, and what change_cipher_spec does in it.
    pub fn rules(&self, state: State) -> (Protection, ChangeCipherSpec) {
        let rules = self.states.iter().find(|rules| rules.0 == state).unwrap();
        (rules.1, rules.2)
    }

    /// Where `input` leads.
    pub fn next(&self, state: State, input: Input) -> impl Iterator<Item = &'static Edge> {
        let edges = self.edges.iter();
        edges.filter(move |edge| (edge.0, edge.1) == (state, input))
    }

    /// The error and the alert for `input`, or `None` where it is legal.
    pub fn refusal(&self, state: State, input: Input) -> Option<(Error, Alert)> {
        if self.next(state, input).next().is_some() {
            return None;
        }
        let by_content = self.by_content.iter().find(|rule| (rule.0, rule.1) == (state, input));
        if let Some(&(_, _, error, alert)) = by_content {
            return Some((error.into(), alert));
        }
        // RFC 8446 §4, RFC 5246 §7.4: messages in another order are fatal, with unexpected_message.
        let error = match MESSAGES.iter().find(|message| message.0 == input) {
            Some((_, kind)) => PeerMisbehaved::UnexpectedHandshake(HandshakeType(*kind)),
            None => PeerMisbehaved::UnexpectedRecord(ContentType::CHANGE_CIPHER_SPEC),
        };
        Some((error.into(), Alert::UNEXPECTED_MESSAGE))
    }
}
