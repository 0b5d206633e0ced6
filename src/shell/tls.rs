//! The debug shell over TLS, for clients with a valid certificate.
//!
//! The newest session wins, as on telnet, once its client has authenticated. There are a few [`SessionSlot`]s, each
//! with buffers of its own and a task: one for the session, the others for handshakes meanwhile. A handshake that makes
//! no progress is evicted when another connection waits for a slot.

use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer, with_timeout};
use rand_core::CryptoRng;

use core::cell::Cell;
use core::net::SocketAddr;
use core::pin::pin;

use super::server::{CLOSE_TIMEOUT, HTTP, carry_out, goodbye};
use super::telnet::Telnet;
use super::{Exit, Host, Origin, run};
use crate::endpoint::{Endpoint, HandshakeError, wipe};
use crate::log::Limiter;
use crate::log::SECURITY;
use crate::net::{Listener, Transport};
use crate::pki::verify::Clock;
use crate::tls::{Connection, ServerConfig};

/// How many can be in the handshake or in a session at a time.
pub const SESSION_SLOTS: usize = 3;

/// The longest that a handshake may take.
pub const HANDSHAKE: Duration = Duration::from_secs(5);

/// A handshake is evicted for a connection that waits for a slot when nothing was received for so long: a round trip,
/// and the peer's own work.
pub const QUIET: Duration = Duration::from_millis(500);

/// The same when it has taken so long, whatever was received.
pub const HANDSHAKE_MIN: Duration = Duration::from_secs(2);

/// How often a handshake that may be evicted looks for connections that wait.
const RECHECK: Duration = Duration::from_millis(50);

/// The application protocol, by ALPN: a client that offers others and not this one is refused (RFC 7301 §3.2), so that
/// no browser that has a certificate is brought here.
pub const PROTOCOLS: &[&[u8]] = &[b"telnet"];

/// The resources of one connection.
pub struct SessionSlot<'b, R> {
    /// It requires a certificate; see [`ClientAuth::Required`](crate::tls::ClientAuth::Required).
    pub config: ServerConfig<'b>,
    /// The time at which certificates are verified.
    pub clock: fn() -> Clock,
    /// For keys.
    pub rng: R,
    /// [`FULL_INBOUND`](crate::tls::FULL_INBOUND) bytes: a program may paste a full record.
    pub inbound: &'b mut [u8],
    /// As [`Connection::server`] demands.
    pub outbound: &'b mut [u8],
}

/// The state that the slots share: the client that takes over a session.
pub struct Takeover {
    successor: [Signal<NoopRawMutex, SocketAddr>; SESSION_SLOTS],
    failures: Limiter,
}

impl Takeover {
    /// An empty one.
    pub const fn new() -> Self {
        Takeover {
            successor: [const { Signal::new() }; SESSION_SLOTS],
            failures: Limiter::new(20, Duration::from_secs(1)),
        }
    }
}

impl Default for Takeover {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until the handshake is to be evicted for a connection that waits for a slot.
async fn displaced<L: Listener>(listener: &L, last_read: &Cell<Instant>) {
    let latest = Instant::now().saturating_add(HANDSHAKE_MIN);
    loop {
        let until = last_read.get().saturating_add(QUIET).min(latest);
        match until > Instant::now() {
            true => Timer::at(until).await,
            false if listener.waiting() > 0 => return,
            false => Timer::after(RECHECK).await,
        }
    }
}

/// Serves the slot with that number until `renewed`, and then to the end of the session at hand. Each of
/// [`SESSION_SLOTS`] tasks runs this for the same port, again and again, each time with another configuration in its
/// slot.
pub async fn secure_server<L: Listener, H: Host, R: CryptoRng>(
    listener: &L,
    host: &H,
    mut slot: SessionSlot<'_, R>,
    takeover: &Takeover,
    number: usize,
    renewed: impl Future<Output = ()>,
) {
    let mut renewed = pin!(renewed);
    let Some(ours) = takeover.successor.get(number) else {
        return renewed.await;
    };
    loop {
        // Pasted private keys were in it.
        wipe(slot.inbound);
        wipe(slot.outbound);
        let stream = match select(renewed.as_mut(), listener.accept()).await {
            Either::First(()) => return,
            Either::Second(stream) => stream,
        };
        let peer = stream.peer();
        let refused = |why: &dyn core::fmt::Display| {
            takeover.failures.log(
                ::log::Level::Warn,
                format_args!("{peer}: debug shell over TLS refused: {why}"),
            );
        };
        let config = slot.config.with_clock((slot.clock)()).with_protocols(PROTOCOLS);
        let connection = match Connection::server(config, &mut *slot.inbound, &mut *slot.outbound) {
            Ok(connection) => connection,
            Err(error) => {
                refused(&error);
                continue;
            }
        };
        let last_read = Cell::new(Instant::now());
        let mut endpoint = Endpoint::new(stream, connection, Some(&last_read));
        let deadline = Instant::now().saturating_add(HANDSHAKE);
        let handshake = endpoint.handshake(&mut slot.rng, deadline);
        match select(handshake, displaced(listener, &last_read)).await {
            Either::First(Ok(())) => {}
            Either::First(Err(HandshakeError::Failed(error))) => {
                refused(&error);
                continue;
            }
            Either::First(Err(HandshakeError::TimedOut)) => {
                refused(&format_args!("handshake not finished within {} s", HANDSHAKE.as_secs()));
                continue;
            }
            Either::Second(()) => {
                refused(&"evicted for a newer connection (handshake not finished)");
                continue;
            }
        }
        // A certificate is required, so there is one.
        let Some(whose) = endpoint.info().peer else {
            refused(&"no certificate");
            continue;
        };
        endpoint.transport().mark_established();
        for (_, other) in takeover
            .successor
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != number)
        {
            other.signal(peer);
        }
        ours.reset();
        ::log::info!(
            target: SECURITY,
            "{peer}: debug shell over TLS opened: {}, {}",
            whose.subject,
            whose.key()
        );
        let mut telnet = Telnet::new(endpoint);
        // The session borrows the stream and goes before the stream does. In this order: it prints its prompt before
        // the next one takes over.
        let (words, exit) = match select(run(&mut telnet, host, Origin::Tls), ours.wait()).await {
            Either::Second(next) => {
                ::log::info!(target: SECURITY, "{peer}: debug shell over TLS closed: taken over by {next}");
                (Some("\nanother session has taken over\n"), None)
            }
            Either::First(Ok(exit)) => {
                match exit {
                    Exit::Http => refused(&HTTP),
                    _ => ::log::info!(target: SECURITY, "{peer}: debug shell over TLS closed"),
                }
                (None, Some(exit))
            }
            Either::First(Err(error)) => {
                ::log::info!(target: SECURITY, "{peer}: debug shell over TLS closed: {error}");
                telnet.get_mut().shutdown();
                continue;
            }
        };
        let mut endpoint = goodbye(telnet, words).await;
        endpoint.close(CLOSE_TIMEOUT).await;
        if let Some(Exit::Power(power)) = exit {
            // The network goes down with the machine.
            let _ = with_timeout(CLOSE_TIMEOUT, endpoint.transport().drained()).await;
            carry_out(host, power);
        }
    }
}
