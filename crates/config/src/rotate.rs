//! Replacing the certificates, keys and revocation lists of a running machine.

use super::ders::{self, Located, copy_keys, fill_keys};
use super::lexer::Lexer;
use super::value::Slot;
use super::{Config, Error, Fault, MAX_CERTIFICATES, MAX_CRLS, MAX_ROOT_DER, Path, PemSource, Places};
use postern_tls::pki::crl::Crl;
use postern_tls::pki::pem::{self, PemError, PemFault};

/// Whether a text is PEM by itself, rather than a defconfig, where PEM stands in strings.
pub fn is_pem(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| matches!(byte, b'\r' | b'\n'));
    lines.any(pem::is_begin)
}

impl Config {
    /// Takes all but `.tls` from `other`, for [`Config::check`] of `.tls`.
    pub fn take_rest(&mut self, other: &Config) {
        self.vmm = other.vmm.clone();
        self.ip = other.ip.clone();
        self.echo = other.echo.clone();
        // The CAs of servers take memory that is found at a start only.
        self.tls.root_certs = other.tls.root_certs;
    }

    /// Takes `.tls` from `other`, without the places.
    pub fn take_tls(&mut self, other: &Config) {
        let (to, from) = (&mut self.tls, &other.tls);
        for (to, from) in [
            (&mut to.srv_cert, &from.srv_cert),
            (&mut to.ca_cert, &from.ca_cert),
            (&mut to.cli_cert, &from.cli_cert),
            (&mut to.crl, &from.crl),
        ] {
            to.copy(from);
        }
        copy_keys(&mut to.srv_key, &from.srv_key);
        copy_keys(&mut to.cli_key, &from.cli_key);
        to.root_certs = from.root_certs;
        to.allow.clone_from(&from.allow);
        to.names.clone_from(&from.names);
        to.subject.clone_from(&from.subject);
        to.self_signed = from.self_signed;
        to.client_auth = from.client_auth;
        to.verify = from.verify;
        to.handshake_timeout = from.handshake_timeout;
        to.keylog = from.keylog;
        to.selftest = from.selftest;
        // It has the same marks.
        let _ = self.take_boot_keys(other);
    }

    /// Takes PEM blocks (RFC 7468) by their labels: certificates become `.tls.srv_cert`, private keys `.tls.srv_key`,
    /// revocation lists `.tls.crl`. Certificates of which the first is for the client's key become `.tls.cli_cert`, if that
    /// key was made at boot. A private key replaces the one that was made at boot, which is wiped. Of what there is no block in `text` nothing is changed.
    ///
    /// # Errors
    /// When a block is broken, of another label, or does not fit; or when there is none.
    pub fn take_pem(&mut self, text: &[u8]) -> Result<(), Error> {
        let lexer = Lexer { text, at: 0 };
        let [mut certificates, mut keys, mut crls] = [None; 3];
        for block in pem::blocks(text) {
            let block = block.map_err(|error| fault(&lexer, None, ders::located(error)))?;
            let first = match block.label {
                label if is_certificate(label) => &mut certificates,
                label if is_key(label) => &mut keys,
                label if is_crl(label) => &mut crls,
                "EC PARAMETERS" => continue,
                _ => {
                    let fault = Fault::NotForReload { number: block.number };
                    return Err(lexer.error(block.offset, fault));
                }
            };
            first.get_or_insert(block.offset);
        }
        if certificates.or(keys).or(crls).is_none() {
            let error = PemError {
                number: 0,
                offset: 0,
                fault: PemFault::NoCertificate,
            };
            return Err(fault(&lexer, None, ders::located(error)));
        }
        // Places of what is not in this text are none.
        self.places = Places::new();
        type IsOfKind = fn(&str) -> bool;
        let found: [(_, _, IsOfKind); 3] = [
            (certificates, self.path_of_certificates(text), is_certificate),
            (keys, Path::SrvKey, is_key),
            (crls, Path::Crl, is_crl),
        ];
        for (at, path, wanted) in found {
            let Some(at) = at else { continue };
            self.places.set(path, lexer.position(at));
            let filled = match self.slot(path) {
                Slot::Ders(ders) if path == Path::Crl => ders.fill(only(text, wanted), MAX_CRLS),
                Slot::Ders(ders) => ders.fill(only(text, wanted), MAX_CERTIFICATES),
                Slot::Keys(keys) => fill_keys(keys, only(text, wanted)),
                _ => Ok(()), // there are no others
            };
            filled.map_err(|located| fault(&lexer, Some(path), located))?;
        }
        self.boot_keys.keep(|role| self.is_generated(role));
        Ok(())
    }

    /// Whose certificates these are, by the first.
    fn path_of_certificates(&self, text: &[u8]) -> Path {
        let mut der = [0; MAX_ROOT_DER];
        let first = only(text, is_certificate).next().and_then(Result::ok);
        let length = first.and_then(|block| block.decode(&mut der).ok()).unwrap_or(0);
        match self.is_for_client(der.get(..length).unwrap_or_default()) {
            true => Path::CliCert,
            false => Path::SrvCert,
        }
    }
}

impl Config {
    /// Merges the revocation lists of a configuration that is to replace `running`. Where [`Config::take_pem`] has found
    /// some, the current ones of other CAs stay beside them.
    ///
    /// # Errors
    /// When a list is not of today, or older than the current one, or there are too many.
    pub fn keep_crls(&mut self, running: &Config, pasted: bool, now: u64) -> Result<(), Error> {
        let is_new = self.places.get(Path::Crl).is_some();
        if is_new {
            self.check_list_dates(now)?;
        }
        // A CA may have several lists. None of the current ones gives way to older ones alone.
        for old in running.tls.crl.iter().filter_map(|der| Crl::from_der(der).ok()) {
            let mut first = None;
            let mut is_followed = false;
            for (number, der) in (1..).zip(self.tls.crl.iter()) {
                // `check` refuses unreadable ones.
                let Some(new) = Crl::from_der(der).ok().filter(|new| new.issuer == old.issuer) else {
                    continue;
                };
                first = first.or(Some(number));
                is_followed |= !new.is_older_than(&old);
            }
            if let Some(number) = first.filter(|_| !is_followed) {
                return Err(self.error(Path::Crl, Fault::OlderCrl { number }));
            }
        }
        if !pasted || !is_new {
            return Ok(());
        }
        for der in running.tls.crl.iter() {
            let replaced = Crl::from_der(der).is_ok_and(|old| {
                let mut new = self.tls.crl.iter().filter_map(|der| Crl::from_der(der).ok());
                new.any(|new| new.issuer == old.issuer)
            });
            if !replaced && !self.tls.crl.push(der, MAX_CRLS) {
                return Err(self.error(Path::Crl, Fault::TooMany(MAX_CRLS)));
            }
        }
        Ok(())
    }
}

/// The blocks of that label.
fn only<'a>(text: &'a [u8], wanted: fn(&str) -> bool) -> impl Iterator<Item = Result<pem::Block<'a>, PemError>> {
    pem::blocks(text).filter(move |block| block.as_ref().map_or(true, |block| wanted(block.label)))
}

fn is_certificate(label: &str) -> bool {
    label == "CERTIFICATE"
}

fn is_crl(label: &str) -> bool {
    label == "X509 CRL"
}

fn is_key(label: &str) -> bool {
    label.ends_with("PRIVATE KEY")
}

fn fault(lexer: &Lexer<'_>, key: Option<Path>, (offset, fault): Located) -> Error {
    let fault = match fault {
        Fault::Pem(error, _) => Fault::Pem(error, PemSource::Text),
        fault => fault,
    };
    Error {
        key,
        ..lexer.error(offset, fault)
    }
}
