//! An end of a TLS connection: its handshake, its end, and what is kept of it.
//!
//! * [`Endpoint`] runs the handshake under its deadline, sends the alert, and ends the connection.
//! * [`Description`] is what it has negotiated.
//! * [`traces`] keeps the narrations of the last TLS connections.
//! * [`wipe`] overwrites a buffer when a connection is over.

mod connection;
mod description;
pub mod traces;

pub use connection::{Endpoint, Halves, HandshakeError};
pub use description::Description;

/// Overwrites a buffer that has held what a peer sent or was sent.
pub fn wipe(buffer: &mut [u8]) {
    buffer.fill(0);
    // The compiler must not take the bytes for unused: the next connection gets the same buffer.
    core::hint::black_box(buffer);
}

/// A buffer that is overwritten when this is dropped: also where the future that uses it is.
pub struct WipedBuffer<'b>(pub &'b mut [u8]);

impl Drop for WipedBuffer<'_> {
    fn drop(&mut self) {
        wipe(self.0);
    }
}

#[cfg(test)]
mod tests;
