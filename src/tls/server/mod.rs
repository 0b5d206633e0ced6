//! The server's side of the handshake: the states, and what each may receive.

mod tls13;

use rand_core::CryptoRng;

use super::config::ServerConfig;
use super::connection::Info;
use super::error::{Error, PeerMisbehaved};
use super::msg::{CLIENT_HELLO, FINISHED, HANDSHAKE_HEADER_LEN};
use super::outbound::Outbound;
use super::record::RecordKey;

/// What a state works with besides the message.
pub(crate) struct Context<'x, 'b> {
    pub(crate) outbound: &'x mut Outbound<'b>,
    pub(crate) rng: &'x mut dyn CryptoRng,
    pub(crate) info: &'x mut Info,
}

/// A state of the handshake, named for the message it waits for. Each holds just what it needs; a message consumes it and yields the next.
// Held inline: there is no heap.
#[allow(clippy::large_enum_variant)]
pub(crate) enum State<'a> {
    /// Waits for the first ClientHello.
    ClientHello(ServerConfig<'a>),
    /// A HelloRetryRequest was sent.
    SecondClientHello(tls13::ExpectSecondClientHello<'a>),
    /// The server's whole flight was sent.
    Finished(tls13::ExpectFinished),
}

/// What a message leads to.
pub(crate) struct Step<'a> {
    /// The next state, `None` when the handshake is done.
    pub(crate) state: Option<State<'a>>,
    /// What changes for the records that come.
    pub(crate) inbound: InboundChange,
}

/// What a step changes about the records that come.
pub(crate) enum InboundChange {
    /// A HelloRetryRequest was sent; early data is skipped if the client said that it sends some.
    Retry {
        /// The ClientHello held `early_data`.
        early_data: bool,
    },
    /// The handshake keys are there.
    Handshake {
        /// For the records that come next.
        key: RecordKey,
        /// The ClientHello held `early_data`.
        early_data: bool,
    },
    /// The handshake is done.
    Traffic {
        /// For the records that come next.
        key: RecordKey,
    },
}

impl<'a> State<'a> {
    /// Takes a whole handshake message, header included.
    pub(crate) fn handle(self, message: &[u8], context: &mut Context<'_, '_>) -> Result<Step<'a>, Error> {
        let kind = message.first().copied().unwrap_or_default();
        let body = message.get(HANDSHAKE_HEADER_LEN..).unwrap_or_default();
        // The legal edges of the server, all of them.
        match (self, kind) {
            (State::ClientHello(config), CLIENT_HELLO) => tls13::client_hello(config, message, body, context),
            (State::SecondClientHello(state), CLIENT_HELLO) => state.client_hello(message, body, context),
            (State::Finished(state), FINISHED) => state.finished(message, body),
            (_, kind) => Err(PeerMisbehaved::UnexpectedHandshake(kind).into()),
        }
    }
}
