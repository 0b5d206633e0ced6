//! What stands for the checks of stapled OCSP responses without the feature `ocsp`: none is asked for, and none comes.
//!
//! A certificate that demands one is good without: the demand is on clients that ask (RFC 7633 §4.2.3.1).

use super::error::CertificateError;
use super::verify::{Clock, Trust, Vouched};

/// Nothing to ask about a certificate.
pub(crate) struct Question;

impl Question {
    pub(crate) fn answered(&self, _: Option<&[u8]>, _: &Trust<'_>, _: Clock) -> Result<(), CertificateError> {
        Ok(())
    }
}

impl Vouched<'_, '_> {
    pub(crate) fn question(&self) -> Result<Question, CertificateError> {
        Ok(Question)
    }

    pub(crate) fn answered(&self, _: Option<&[u8]>, _: &Trust<'_>, _: Clock) -> Result<(), CertificateError> {
        Ok(())
    }
}
