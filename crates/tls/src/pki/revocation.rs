//! Revocation by the configured lists (RFC 5280 §6.3).
//!
//! webpki does not accept all lists: it rejects version 1, which `openssl ca -gencrl` makes by default, and lists without
//! cRLNumber; it skips lists whose distribution point does not match the certificate's, and does not check whether a
//! configured CA may sign lists. So all lists are checked here, and webpki is given none.

use super::cert::Certificate;
use super::crl::Crl;
use super::error::CertificateError;
use super::text::Text;
use super::verify::Trust;
use super::work::Work;

/// Checks `certificate` against the lists of its issuer in `trust`. Each must be signed by `issuer`, the issuer's
/// certificate in DER, or by a configured CA of the same name, be current, and not list the certificate. A list that is
/// not current is ignored if there is another.
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
            let others = trust.anchors().iter().filter(|der| *der != issuer);
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
    // A leading zero byte only keeps the number positive.
    Text::of(Hex(match serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    }))
}
