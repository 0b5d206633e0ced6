//! How long the verdict on a chain may be relied on: what bounds the sessions that rest on it.

use super::cert::{Certificate, Date};
use super::crl::Crl;
use super::verify::Trust;

/// The last second, since 1970-01-01 00:00:00 UTC, at which the path of `certificates`, the CA left out, verifies as at
/// `now`: every certificate is valid until its notAfter, and the list of an issuer up to its nextUpdate (RFC 5280
/// §6.1.3 a, §6.3.3). A list of the future may change the verdict when it begins to count.
#[inline(never)] // what it needs of the stack is not to lie below webpki, which needs the most
pub(super) fn end_of(trust: &Trust<'_>, certificates: &[&[u8]], now: u64) -> u64 {
    let certificates = certificates.iter().filter_map(|der| Certificate::from_der(der).ok());
    let ends = certificates.map(|certificate| {
        let Date(not_after) = certificate.not_after;
        not_after.min(end_of_lists(trust, &certificate, now))
    });
    ends.min().unwrap_or(u64::MAX)
}

/// The last second at which every list of the certificate's issuer counts as it does at `now`.
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
