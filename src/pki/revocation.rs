//! Revocation: asks the lists about a certificate (RFC 5280 §6.3).
//!
//! In strict mode webpki judges by lists of version 2 as well, but not by all: it knows no version 1, which is what
//! `openssl ca -gencrl` makes unless it is told otherwise; it leaves out lists whose distribution point is none of the
//! certificate's, or is no URI; and it does not ask whether a configured CA may sign lists. Nor does it look at leaves
//! that only pinned verification takes. So all lists are asked here.

use super::cert::{Certificate, Date};
use super::crl::Crl;
use super::error::CertificateError;
use super::signed;
use super::text::Text;
use super::usage::Usage;

/// Asks those of `crls` that the issuer of `certificate` has made: each must be genuine, current and without the
/// certificate, and without critical extensions unless they are `understood`. `issuer` is the issuer's certificate.
pub(super) fn check(
    crls: &[&[u8]],
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    now: u64,
    understood: impl Fn(&Crl<'_>) -> bool,
) -> Result<(), CertificateError> {
    for der in crls {
        let crl = Crl::from_der(der)?;
        if crl.issuer != certificate.issuer {
            continue;
        }
        signed::verify(crl.signature_algorithm, issuer.public_key.der, crl.tbs, crl.signature).map_err(|error| {
            match error {
                CertificateError::BadSignature => CertificateError::CrlBadSignature,
                other => other,
            }
        })?;
        if let Some(Date(next_update)) = crl.next_update
            && now >= next_update
        {
            return Err(CertificateError::CrlExpired { next_update, now });
        }
        if !Usage::of(issuer)?.may_sign_crls() {
            return Err(CertificateError::CrlIssuerMayNotSign);
        }
        if crl.critical && !understood(&crl) {
            return Err(CertificateError::UnsupportedCrl);
        }
        if crl.find(certificate.serial)? {
            return Err(revoked(certificate));
        }
    }
    Ok(())
}

/// [`CertificateError::Revoked`].
pub(super) fn revoked(certificate: &Certificate<'_>) -> CertificateError {
    CertificateError::Revoked {
        serial: digits(certificate.serial),
    }
}

/// A serial number in hexadecimal.
pub(super) fn digits(serial: &[u8]) -> Text {
    struct Hex<'a>(&'a [u8]);
    impl core::fmt::Display for Hex<'_> {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
        }
    }
    // The zero that keeps a number positive is none of its digits.
    Text::of(Hex(match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    }))
}
