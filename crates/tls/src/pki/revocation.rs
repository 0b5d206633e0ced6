//! Revocation: asks the lists about a certificate (RFC 5280 §6.3).
//!
//! webpki could ask lists as well, but not all: it knows no version 1, which is what `openssl ca -gencrl` makes unless it is
//! told otherwise, no list without cRLNumber; it leaves out lists whose distribution point is none of the certificate's,
//! and does not ask whether a configured CA may sign lists. So all lists are asked here, and here alone.

use super::cert::Certificate;
use super::crl::Crl;
use super::error::CertificateError;
use super::text::Text;
use super::verify::Trust;
use super::work::Work;

/// Asks those lists of `trust` that the issuer of `certificate` has made, and that one of `issuer`, the issuer's
/// certificate in DER, and the configured CAs of its name has signed: each must be genuine, current and without the
/// certificate. One that is not of today does not count if there is another.
pub(super) fn check(
    trust: &Trust<'_>,
    certificate: &Certificate<'_>,
    issuer: &[u8],
    now: u64,
    work: &Work,
) -> Result<(), CertificateError> {
    let mut verdict = Ok(());
    let mut counted = false;
    for (number, der) in trust.crls().iter().enumerate() {
        let crl = Crl::from_der(der)?;
        if crl.issuer != certificate.issuer {
            continue;
        }
        if let Err(error @ CertificateError::CrlNotYetValid { .. }) = crl.check_current(now) {
            verdict = Err(error);
            continue;
        }
        crl.check_current(now)?;
        if !trust.is_signed_crl(number) {
            let others = trust.anchors().iter().copied().filter(|der| *der != issuer);
            let signers = core::iter::once(issuer).chain(others);
            crl.check_signers(signers, work)
                .unwrap_or(Err(CertificateError::CrlBadSignature))?;
        }
        if crl.find(certificate.serial)? {
            return Err(revoked(certificate));
        }
        counted = true;
    }
    if counted { Ok(()) } else { verdict }
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
