//! The bounded cost of one verification.

use core::cell::Cell;

use super::error::CertificateError;
use super::limits::MAX_SIGNATURES;

/// The cost of a verification so far.
#[derive(Debug, Clone, Default)]
pub struct Work {
    signatures: Cell<u32>,
    steps: Cell<u32>,
    hashed: Cell<usize>,
    names: Cell<u32>,
}

impl Work {
    /// The number of signatures verified; at most [`MAX_SIGNATURES`].
    pub fn signatures(&self) -> u32 {
        self.signatures.get()
    }

    /// How often a certificate was considered as the issuer of another.
    pub fn steps(&self) -> u32 {
        self.steps.get()
    }

    /// The number of bytes hashed for signatures.
    pub fn hashed(&self) -> usize {
        self.hashed.get()
    }

    /// The number of names read for name constraints, in the constraints and in the certificates below.
    pub fn names(&self) -> u32 {
        self.names.get()
    }

    /// Counts a signature over `bytes` bytes before it is verified.
    ///
    /// # Errors
    /// [`CertificateError::TooComplex`] after [`MAX_SIGNATURES`].
    pub(super) fn add_signature(&self, bytes: usize) -> Result<(), CertificateError> {
        if self.signatures.get() >= MAX_SIGNATURES {
            return Err(CertificateError::TooComplex);
        }
        self.signatures.set(self.signatures.get().saturating_add(1));
        self.hashed.set(self.hashed.get().saturating_add(bytes));
        Ok(())
    }

    /// Counts a candidate.
    pub(super) fn add_step(&self) {
        self.steps.set(self.steps.get().saturating_add(1));
    }

    /// Counts a name that is read for name constraints.
    pub(super) fn add_name(&self) {
        self.names.set(self.names.get().saturating_add(1));
    }
}
