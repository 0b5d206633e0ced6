//! The state that the two directions of a connection share after the handshake.

use core::cell::Cell;

use super::error::Error;

/// What the receiving direction leaves for the sending one.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// The peer asked for a KeyUpdate of ours, due before the next data (RFC 8446 §4.6.3).
    key_update_due: Cell<bool>,
    /// The peer asked for a renegotiation, which is to be declined.
    refusal_due: Cell<bool>,
    /// The receiving direction failed with this; the sending one owes the peer the alert.
    failure: Cell<Option<Error>>,
}

impl Link {
    pub(crate) fn fail(&self, error: Error) {
        self.failure.set(Some(error));
    }

    pub(crate) fn failure(&self) -> Option<Error> {
        self.failure.get()
    }

    pub(crate) fn set_key_update_due(&self, due: bool) {
        self.key_update_due.set(due);
    }

    pub(crate) fn key_update_due(&self) -> bool {
        self.key_update_due.get()
    }

    pub(crate) fn set_refusal_due(&self, due: bool) {
        self.refusal_due.set(due);
    }

    /// Whether a refusal is due, which should not wait for data to be sent.
    pub(crate) fn refusal_due(&self) -> bool {
        self.refusal_due.get()
    }
}
