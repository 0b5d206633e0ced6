//! The time limits of the echo service.

use embassy_time::Duration;

/// The default of [`Limits::idle`]: minutes, so that a forgotten connection does not occupy a worker for long.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The default of [`Limits::idle_dialled`]: a peer that the machine has chosen may keep its worker.
pub const IDLE_TIMEOUT_DIALLED: Duration = Duration::from_secs(3600);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From accepting a TLS connection to the end of its handshake.
    pub handshake: Duration,
    /// Without a byte read, or without a byte taken by the peer.
    pub idle: Duration,
    /// The same on a connection that was opened from here.
    pub idle_dialled: Duration,
    /// Connections at a time with one address, or one IPv6 network of 64 bits; `None`: as many as there are workers.
    pub per_address: Option<usize>,
    /// For the peer to accept what is left of the echo, and close_notify.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshake: Duration::from_secs(10),
            idle: IDLE_TIMEOUT,
            idle_dialled: IDLE_TIMEOUT_DIALLED,
            per_address: None,
            goodbye: Duration::from_secs(2),
        }
    }
}
