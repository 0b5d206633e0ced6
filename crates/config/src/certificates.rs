//! Checks of certificates, keys, CAs and lists, by the code of handshakes.
//!
//! Unusable certificates are refused; unwise ones cause a warning ([`Config::warnings`]).

use core::ops::Range;

use heapless::Vec;

use super::error::{Error, Fault};
use super::keys::Path;
use super::parser::Scratch;
use super::{ClientAuth, Config, Ders, Key, MAX_CERTIFICATES, MAX_IDENTITIES};
use postern_tls::crypto::key::SigningKey;
use postern_tls::pki::anchor::{self, Anchor};
use postern_tls::pki::cert::{Certificate, Date};
use postern_tls::pki::crl::{self, CLOCK_SKEW, Crl, CrlIssuer};
use postern_tls::pki::error::CertificateError;
use postern_tls::pki::limits::MAX_CRLS_OF_INTERMEDIATE;
use postern_tls::pki::own::{self, Role};

/// Chains of certificates, with their keys ready to sign.
#[derive(Debug)]
pub struct Identities<const N: usize> {
    /// The private keys, in the order of the configuration.
    pub keys: Vec<SigningKey, N>,
    /// The chains, in the order of the configuration.
    pub parts: Vec<Part, N>,
}

/// A chain of certificates, and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Which of the certificates, by their place in the list, leaf first. Never empty.
    pub certificates: Range<usize>,
    /// Which of [`Identities::keys`] is the leaf's.
    pub key: usize,
}

impl<const N: usize> Identities<N> {
    const fn new() -> Self {
        Self {
            keys: Vec::new(),
            parts: Vec::new(),
        }
    }
}

impl Config {
    /// The server's identities, in the order of `.tls.srv_cert`.
    ///
    /// Several chains may stand there one after the other: a certificate that belongs to one of `.tls.srv_key` begins one,
    /// and its intermediates follow.
    ///
    /// # Errors
    /// The first fault in certificates and keys, or between them. Dates are left to [`Config::check`].
    pub fn server(&self) -> Result<Identities<MAX_IDENTITIES>, Error> {
        self.identities(Path::SrvCert, &self.tls.srv_cert, &self.tls.srv_key)
    }

    /// The client's identity, if it has one.
    ///
    /// # Errors
    /// As of [`Config::server`].
    pub fn client(&self) -> Result<Identities<1>, Error> {
        self.identities(Path::CliCert, &self.tls.cli_cert, &self.tls.cli_key)
    }

    /// Whether there is neither server certificate nor key nor CA: throw-away ones are used then.
    pub fn is_anonymous(&self) -> bool {
        let tls = &self.tls;
        tls.srv_cert.is_empty() && tls.srv_key.is_empty() && tls.ca_cert.is_empty()
    }

    /// Takes the throw-away certificates in `text`, for a configuration that [is anonymous](Config::is_anonymous) and has
    /// been checked. `now` and `built` are as for [`Config::check`].
    ///
    /// # Errors
    /// Those of [`Config::check`]; then the configuration is anonymous as before.
    pub fn take_throw_away(&mut self, text: &[u8], scratch: &mut Scratch, now: u64, built: u64) -> Result<(), Error> {
        let taken = self.parse_more(text, scratch).and_then(|()| self.check(now, built));
        if taken.is_err() {
            let tls = &mut self.tls;
            tls.srv_cert.clear();
            tls.srv_key.clear();
            tls.ca_cert.clear();
        }
        taken
    }

    /// Checks each revocation list as handshakes will use it, but for its dates: its kind, its entries, and the signature,
    /// where its CA is configured. Those of `.tls.root_certs` count once [`Bundle::keep`](super::Bundle::keep) has them.
    ///
    /// # Errors
    /// The first list that cannot be used.
    pub fn check_lists(&self) -> Result<(), Error> {
        self.each_list(|crl| crl.this_update)
    }

    /// Checks that there are no more lists of one CA that is not configured than a handshake verifies.
    fn check_unknown(&self, number: usize, crl: &Crl<'_>) -> Result<(), Error> {
        let lists = self
            .tls
            .crl
            .iter()
            .take(number)
            .filter_map(|der| Crl::from_der(der).ok());
        let roots_are_here = self.tls.root_certs.is_empty() || !self.tls.root_certs.ders().is_empty();
        match lists.filter(|other| other.issuer == crl.issuer).count() {
            count if count > MAX_CRLS_OF_INTERMEDIATE && roots_are_here => {
                Err(self.error(Path::Crl, Fault::TooManyOfOneCa { number }))
            }
            _ => Ok(()),
        }
    }

    /// Checks the dates of each revocation list, which [`Config::check`] leaves alone: a machine that starts when a list
    /// has expired keeps to its configuration, and refuses all certificates of that CA.
    ///
    /// # Errors
    /// The first list that is not of today.
    pub fn check_list_dates(&self, now: u64) -> Result<(), Error> {
        self.each_list(|_| Date(now))
    }

    fn each_list(&self, now: impl Fn(&Crl<'_>) -> Date) -> Result<(), Error> {
        let roots = self.tls.root_certs.ders();
        for (number, der) in (1..).zip(self.tls.crl.iter()) {
            let fault = |error| self.error(Path::Crl, Fault::Crl { number, error });
            let crl = Crl::from_der(der).map_err(fault)?;
            let cas = self.tls.ca_cert.iter().chain(roots.iter().copied());
            match crl::check(der, cas, now(&crl).0).map_err(fault)? {
                CrlIssuer::Configured => {}
                CrlIssuer::Unknown => self.check_unknown(number, &crl)?,
            }
        }
        Ok(())
    }

    /// Calls `each` with what is unwise in a configuration that [`Config::check`] accepts: certificates that peers which
    /// verify as this program does will refuse, and CAs that are none.
    pub fn warnings(&self, each: &mut dyn FnMut(Error)) {
        let tls = &self.tls;
        for (number, der) in (1..).zip(tls.ca_cert.iter()) {
            if anchor::check(der) == Ok(Anchor::Leaf) {
                each(self.error(Path::CaCert, Fault::NotACa(number)));
            }
        }
        if let Ok(found) = self.server() {
            self.warn_of(Path::SrvCert, &tls.srv_cert, &found, Role::Server, each);
        }
        if let Ok(found) = self.client() {
            self.warn_of(Path::CliCert, &tls.cli_cert, &found, Role::Client, each);
        }
    }

    fn warn_of<const N: usize>(
        &self,
        at: Path,
        ders: &Ders,
        found: &Identities<N>,
        role: Role,
        each: &mut dyn FnMut(Error),
    ) {
        for part in &found.parts {
            let chain = || {
                (1..)
                    .zip(certificates(ders))
                    .skip(part.certificates.start)
                    .take(part.certificates.len())
            };
            if let Some((number, leaf)) = chain().next()
                && let Err(error) = own::check_leaf(&leaf, role)
            {
                each(self.error(at, Fault::Refusable { number, error }));
            }
            for (below, (number, certificate)) in chain().enumerate() {
                let issuer = chain().nth(below.saturating_add(1));
                let link = issuer.map_or(Ok(()), |(_, issuer)| own::check_link(&certificate, &issuer, below));
                match (own::weak_hash(&certificate), link) {
                    (Some(hash), _) => each(self.error(at, Fault::WeakSignature { number, hash })),
                    // Others may know that algorithm, or that kind of key.
                    (None, Ok(()) | Err(CertificateError::UnsupportedSignatureAlgorithm)) => {}
                    (None, Err(error)) => each(self.error(at, Fault::Refusable { number, error })),
                }
            }
            // An intermediate that stands in another chain, and is missing in this one.
            if let Some((number, last)) = chain().last()
                && last.issuer != last.subject
                && !self.is_configured(&last)
                && let Some(other) = certificates(ders)
                    .position(|issuer| own::check_link(&last, &issuer, 0).is_ok() && issuer.subject == last.issuer)
                && !part.certificates.contains(&other)
            {
                let other = other.saturating_add(1);
                each(self.error(at, Fault::MissingIssuer { number, other }));
            }
        }
    }

    /// Whether one of `.tls.ca_cert` has the name of the issuer: peers are likely to know it.
    fn is_configured(&self, certificate: &Certificate<'_>) -> bool {
        certificates(&self.tls.ca_cert).any(|ca| ca.subject == certificate.issuer)
    }

    pub(super) fn check_certificates(&self, now: Date, built: Date) -> Result<(), Error> {
        let tls = &self.tls;
        self.check_boot_keys()?;
        self.server()?;
        self.client()?;
        for (number, der) in (1..).zip(tls.ca_cert.iter()) {
            anchor::check(der).map_err(|error| self.error(Path::CaCert, Fault::Anchor { number, error }))?;
        }
        for (path, chain) in [
            (Path::SrvCert, &tls.srv_cert),
            (Path::CliCert, &tls.cli_cert),
            (Path::CaCert, &tls.ca_cert),
        ] {
            self.check_dates(path, chain, now, built)?;
        }
        self.check_lists()?;
        // Clients of the shell over TLS, and hosts that are dialled, are always asked.
        let asks = tls.client_auth != ClientAuth::Off || self.vmm.tls_dbgsh != 0 || !self.echo.reverse.is_empty();
        if !tls.allow.is_empty() && !asks {
            return Err(self.error(Path::Allow, Fault::AllowWithoutAuth));
        }
        if tls.ca_cert.is_empty() {
            let serves = !tls.srv_cert.is_empty() || self.is_generated(Role::Server);
            // Without a server, no client is asked.
            if tls.client_auth != ClientAuth::Off && serves {
                return Err(self.error(Path::ClientAuth, Fault::ClientAuthWithoutCa));
            }
            // These ask whatever is configured for the others.
            if self.vmm.tls_dbgsh != 0 && serves {
                return Err(self.error(Path::TlsDbgsh, Fault::ClientAuthWithoutCa));
            }
            if self.echo.reverse.iter().any(|reverse| !reverse.plain) && serves {
                return Err(self.error(Path::Reverse, Fault::ReverseWithoutCa));
            }
            if !tls.crl.is_empty() && tls.root_certs.is_empty() {
                return Err(self.error(Path::Crl, Fault::CrlWithoutCa));
            }
        }
        Ok(())
    }

    fn check_well_formed(&self, path: Path, chain: &Ders) -> Result<(), Error> {
        for (number, der) in (1..).zip(chain.iter()) {
            Certificate::from_der(der).map_err(|error| self.error(path, Fault::Certificate { number, error }))?;
        }
        Ok(())
    }

    /// Sorts the certificates at `at` into chains, of which each begins with one that belongs to one of `keys`.
    fn identities<const N: usize>(&self, at: Path, chain: &Ders, keys: &[Key]) -> Result<Identities<N>, Error> {
        let at_key = at.partner().unwrap_or(at);
        self.check_well_formed(at, chain)?;
        let mut found = Identities::new();
        let role = if at == Path::CliCert {
            Role::Client
        } else {
            Role::Server
        };
        let is_generated = self.is_generated(role);
        for (number, key) in (1..).zip(keys.iter().filter(|key| !key.is_generated())) {
            let number = Some(number).filter(|_| keys.len() > 1);
            let key = SigningKey::from_der(&key.label, &key.der)
                .map_err(|error| self.error(at_key, Fault::Key(number, error)))?;
            let _ = found.keys.push(key); // there are no more of them than fit
        }
        if let Some(key) = self.boot_key(role) {
            let _ = found.keys.push(key); // it is the only one
        } else if is_generated && !chain.is_empty() {
            return Err(self.error(at, Fault::CertificateBeforeKey));
        }
        let owned = |certificate: &Certificate<'_>| {
            let spki = certificate.public_key.der;
            found.keys.iter().position(|key| key.public_key_matches(spki))
        };
        let owners: Vec<Option<usize>, MAX_CERTIFICATES> =
            certificates(chain).map(|certificate| owned(&certificate)).collect();
        match (chain.is_empty(), keys.is_empty()) {
            (true, true) => return Ok(found),
            (false, true) => return Err(self.error(at, Fault::CertificateWithoutKey)),
            (true, false) if is_generated => return Ok(found),
            (true, false) => return Err(self.error(at_key, Fault::KeyWithoutCertificate)),
            (false, false) => {}
        }
        let is_alone = |key: &SigningKey| certificates(chain).all(|leaf| !key.public_key_matches(leaf.public_key.der));
        if let Some(alone) = found.keys.iter().position(is_alone) {
            if is_generated {
                return Err(self.error(at, Fault::NotForBootKey));
            }
            let fault = match keys.len() {
                1 => Fault::KeyMismatch,
                _ => Fault::KeyAlone(alone.saturating_add(1)),
            };
            return Err(self.error(at_key, fault));
        }
        if let Some(first @ 1..) = owners.iter().position(Option::is_some) {
            return Err(self.error(at, Fault::LeafNotFirst(first.saturating_add(1))));
        }
        for (number, owner) in owners.iter().enumerate() {
            match (owner, found.parts.last_mut()) {
                (Some(key), _) => {
                    let part = Part {
                        certificates: number..number.saturating_add(1),
                        key: *key,
                    };
                    let full = found.parts.push(part).is_err();
                    if full {
                        return Err(self.error(at, Fault::TooManyIdentities(N)));
                    }
                }
                (None, Some(part)) => part.certificates.end = number.saturating_add(1),
                (None, None) => {} // the first has an owner
            }
        }
        if let Some((number, first)) = repeated(chain, &found) {
            return Err(self.error(at, Fault::Twice { number, first }));
        }
        let pairs = certificates(chain).zip(certificates(chain).skip(1));
        for (number, ((certificate, issuer), owner)) in (1..).zip(pairs.zip(owners.iter().skip(1))) {
            if owner.is_none() && certificate.issuer != issuer.subject {
                let fault = match issuer.ca {
                    Some(true) => Fault::ChainOrder(number),
                    _ => Fault::Stray(number.saturating_add(1)),
                };
                return Err(self.error(at, fault));
            }
            if owner.is_none() && own::check_link(&certificate, &issuer, 0) == Err(CertificateError::BadSignature) {
                return Err(self.error(at, Fault::ChainSignature(number)));
            }
        }
        Ok(found)
    }

    fn check_dates(&self, path: Path, chain: &Ders, now: Date, built: Date) -> Result<(), Error> {
        for (number, certificate) in (1..).zip(certificates(chain)) {
            let fault = if now < built {
                Fault::Clock { now, built }
            } else if certificate.not_before.0 > now.0.saturating_add(CLOCK_SKEW) {
                Fault::NotYetValid {
                    number,
                    date: certificate.not_before,
                    now,
                }
            } else if now > certificate.not_after {
                Fault::Expired {
                    number,
                    date: certificate.not_after,
                }
            } else {
                continue;
            };
            return Err(self.error(path, fault));
        }
        Ok(())
    }
}

/// A certificate that stands twice in one chain, or that begins two; and where it stands first. Both from 1.
fn repeated<const N: usize>(chain: &Ders, found: &Identities<N>) -> Option<(usize, usize)> {
    let part = |place: usize| found.parts.iter().find(|part| part.certificates.contains(&place));
    let repeats = |first: usize, second: usize| {
        let leaf = |place| part(place).is_some_and(|part| part.certificates.start == place);
        part(first) == part(second) || (leaf(first) && leaf(second))
    };
    chain.iter().enumerate().find_map(|(second, der)| {
        let mut earlier = chain.iter().take(second).enumerate();
        let (first, _) = earlier.find(|(first, other)| *other == der && repeats(*first, second))?;
        Some((second.saturating_add(1), first.saturating_add(1)))
    })
}

/// The certificates of a chain that has been found well-formed.
fn certificates(chain: &Ders) -> impl Iterator<Item = Certificate<'_>> {
    chain.iter().filter_map(|der| Certificate::from_der(der).ok())
}
