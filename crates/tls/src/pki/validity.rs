//! The validity period of a verified chain, which bounds its sessions.

use super::cert::{Certificate, Date};
use super::crl::Crl;
use super::verify::Trust;

/// The last second, since 1970-01-01 00:00:00 UTC, at which the path of `certificates`, without the CA, verifies as at
/// `now`: a certificate is valid until its notAfter, and a list until its nextUpdate (RFC 5280 §6.1.3 a, §6.3.3). A list
/// that is not valid yet may change the result when it becomes valid.
#[inline(never)] // keeps its stack frame out of webpki's callers; webpki needs the most stack
pub(super) fn end_of(trust: &Trust<'_>, certificates: &[&[u8]], now: u64) -> u64 {
    let certificates = certificates.iter().filter_map(|der| Certificate::from_der(der).ok());
    let ends = certificates.map(|certificate| {
        let Date(not_after) = certificate.not_after;
        not_after.min(end_of_lists(trust, &certificate, now))
    });
    ends.min().unwrap_or(u64::MAX)
}

/// The last second at which the lists of the certificate's issuer give the same result as at `now`.
fn end_of_lists(trust: &Trust<'_>, certificate: &Certificate<'_>, now: u64) -> u64 {
    let lists = trust.crls().iter().filter_map(|der| Crl::from_der(der).ok());
    lists
        .filter(|list| list.issuer == certificate.issuer)
        .map(|list| list.unchanged_until(now))
        .min()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
