//! What all ends of a TLS connection have in common.
//!
//! * [`Description`] is what it has negotiated.
//! * [`traces`] keeps the narrations of the last TLS connections.
//! * [`wipe`] overwrites a buffer when a connection is over.

mod description;
pub mod traces;

pub use description::Description;

use crate::tls::Info;

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

/// Logs that the server asked for a certificate, and that the own one could not be sent.
pub(crate) fn log_own_certificate(server: impl core::fmt::Display, info: &Info<'_>) {
    if info.no_own_scheme {
        ::log::warn!("{server}: own certificate has no scheme, type or issuer that the server accepts");
    }
}
