//! The state that the two directions of a connection share after the handshake.

use core::cell::Cell;

use super::error::Error;

/// What the receiving direction leaves to the sending one.
#[derive(Debug, Default)]
pub(crate) struct Link {
    /// The peer requested a KeyUpdate, which is due before the next data (RFC 8446 §4.6.3).
    key_update_due: Cell<bool>,
    /// The peer requested a renegotiation, which is to be refused.
    refusal_due: Cell<bool>,
    /// The error of the receiving direction, for which the sending one must send the alert.
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

    /// Whether a refusal is due, even if there is no data to be sent.
    pub(crate) fn refusal_due(&self) -> bool {
        self.refusal_due.get()
    }
}
