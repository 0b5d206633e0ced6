//! How long the verdict on a chain may be relied on: what bounds the sessions that rest on it.

use super::cert::{Certificate, Date};
use super::crl::Crl;
use super::verify::{MAX_CHAIN, Trust};

impl Trust<'_> {
    /// The last second, since 1970-01-01 00:00:00 UTC, at which `chain` can still verify under this trust, `root` being
    /// the CA that it was verified by at `now`: every certificate below the root is valid until its notAfter, and the list
    /// of an issuer up to its nextUpdate (RFC 5280 §6.1.3 a, §6.3.3). A list of the future may change the verdict when it
    /// begins to count.
    pub(crate) fn valid_until(&self, chain: &[&[u8]], root: &[u8], now: u64) -> u64 {
        let certificates = || chain.iter().filter_map(|der| Certificate::from_der(der).ok());
        let root = Certificate::from_der(root).ok();
        let mut until = u64::MAX;
        let mut next = certificates().next();
        for _ in 0..MAX_CHAIN {
            let Some(certificate) = next else { break };
            let Date(not_after) = certificate.not_after;
            until = until.min(not_after).min(self.lists_until(&certificate, now));
            if root.as_ref().is_some_and(|root| root.subject == certificate.issuer) {
                break;
            }
            // Of several certificates of one name the path may hold any; the others need not be valid.
            let issuers = certificates()
                .skip(1)
                .filter(|issuer| issuer.subject == certificate.issuer);
            next = issuers.max_by_key(|issuer| issuer.not_after.0);
        }
        until
    }

    /// The last second at which every list of the certificate's issuer counts as it does at `now`.
    fn lists_until(&self, certificate: &Certificate<'_>, now: u64) -> u64 {
        let lists = self.crls().iter().filter_map(|der| Crl::from_der(der).ok());
        lists
            .filter(|list| list.issuer == certificate.issuer)
            .map(|list| list.unchanged_until(now))
            .min()
            .unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
