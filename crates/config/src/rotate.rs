//! What replaces a part of a configuration while the machine runs.

use heapless::VecView;

use super::grammar::{self, Lexer, Located};
use super::{Config, Ders, Error, Fault, Key, MAX_CERTIFICATES, MAX_CRLS, Path, PemSource};
use postern_tls::pki::crl::Crl;
use postern_tls::pki::pem::{self, PemError, PemFault};

/// Whether a text is PEM by itself, rather than a defconfig, where PEM stands in strings.
pub fn is_pem(text: &[u8]) -> bool {
    let mut lines = text.split(|byte| matches!(byte, b'\r' | b'\n'));
    lines.any(pem::is_begin)
}

impl Config {
    /// Takes all but `.tls` from `other`, for [`Config::check`] to judge `.tls` by.
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
        to.client_auth = from.client_auth;
        to.verify = from.verify;
        to.handshake_timeout = from.handshake_timeout;
        to.keylog = from.keylog;
        to.selftest = from.selftest;
    }

    /// Takes PEM blocks (RFC 7468) by their labels: certificates become `.tls.srv_cert`, private keys `.tls.srv_key`,
    /// revocation lists `.tls.crl`. Of what there is no block in `text` nothing is changed.
    ///
    /// # Errors
    /// When a block is broken, of another label, or does not fit; or when there is none.
    pub fn take_pem(&mut self, text: &[u8]) -> Result<(), Error> {
        let lexer = Lexer { text, at: 0 };
        let [mut certificates, mut keys, mut crls] = [None; 3];
        for block in pem::blocks(text) {
            let block = block.map_err(|error| fault(&lexer, None, grammar::located(error)))?;
            let first = match block.label {
                label if is_certificate(label) => &mut certificates,
                label if is_key(label) => &mut keys,
                label if is_crl(label) => &mut crls,
                "EC PARAMETERS" => continue,
                _ => {
                    let error = block.error(PemFault::NotForReload);
                    return Err(fault(&lexer, None, grammar::located(error)));
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
            return Err(fault(&lexer, None, grammar::located(error)));
        }
        // Places of what is not in this text are none.
        self.places = super::Places::default();
        if let Some(at) = certificates {
            let path = Path::SrvCert;
            self.places.set(path, lexer.position(at));
            let blocks = only(text, is_certificate);
            let filled = self.tls.srv_cert.fill(blocks, MAX_CERTIFICATES);
            filled.map_err(|located| fault(&lexer, Some(path), located))?;
        }
        if let Some(at) = keys {
            let path = Path::SrvKey;
            self.places.set(path, lexer.position(at));
            let filled = grammar::fill(&mut self.tls.srv_key, only(text, is_key));
            filled.map_err(|located| fault(&lexer, Some(path), located))?;
        }
        if let Some(at) = crls {
            let path = Path::Crl;
            self.places.set(path, lexer.position(at));
            let filled = self.tls.crl.fill(only(text, is_crl), MAX_CRLS);
            filled.map_err(|located| fault(&lexer, Some(path), located))?;
        }
        Ok(())
    }
}

impl Config {
    /// Sees to the revocation lists of a configuration that is to follow `running`. Where [`Config::take_pem`] has found
    /// some, those of other CAs stay in force beside them.
    ///
    /// # Errors
    /// When a list is not of today, or older than the one in force, or there are too many.
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
                // What cannot be read is refused by `check`.
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

impl Ders {
    /// Whether there is room for one more.
    fn push(&mut self, der: &[u8], most: usize) -> bool {
        let before = self.der.len();
        let fits =
            self.len() < most && self.der.extend_from_slice(der).is_ok() && self.ends.push(self.der.len()).is_ok();
        if !fits {
            self.der.truncate(before);
        }
        fits
    }

    fn copy(&mut self, from: &Ders) {
        self.clear();
        // The same capacities: it fits.
        let _ = self.der.extend_from_slice(&from.der);
        let _ = self.ends.extend_from_slice(&from.ends);
    }
}

/// Each in its place, so that no copy is left elsewhere.
fn copy_keys(to: &mut VecView<Key>, from: &[Key]) {
    to.clear();
    for key in from {
        // The same capacities: it fits.
        let _ = to.push(Key::empty());
        if let Some(copy) = to.last_mut() {
            let _ = copy.der.extend_from_slice(&key.der);
            let _ = copy.label.push_str(&key.label);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::boxed::Box;
    use std::format;
    use std::string::ToString;

    fn pair(name: &str) -> (std::string::String, std::string::String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new([name.to_string()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn pem_is_told_from_a_defconfig() {
        let (certificate, _) = pair("a.test");
        assert!(is_pem(certificate.as_bytes()));
        assert!(is_pem(format!("Certificate:\r\n  Data:\r\n{certificate}").as_bytes()));
        assert!(!is_pem(b".tls = { .srv_cert =\n  \"-----BEGIN CERTIFICATE-----\\n\" }"));
        assert!(is_pem(format!("\u{feff}  {certificate}").as_bytes()));
        assert!(!is_pem(b""));
    }

    #[test]
    fn blocks_go_where_their_labels_say_and_the_rest_stays() {
        let ((first, first_key), (second, second_key)) = (pair("a.test"), pair("b.test"));
        let mut running = Box::new(Config::new());
        running.take_pem(format!("{first}{first_key}").as_bytes()).unwrap();
        running.tls.ca_cert.copy(&running.tls.srv_cert);
        running.tls.handshake_timeout = Some(7);
        running.check(1_790_000_000, 1_700_000_000).unwrap();
        let mut next = Box::new(Config::new());
        next.take_tls(&running);
        assert_eq!(next.tls.srv_cert.len(), 1);
        assert_eq!(next.tls.handshake_timeout, Some(7));
        next.take_pem(format!("{second_key}{second}").as_bytes()).unwrap();
        next.check(1_790_000_000, 1_700_000_000).unwrap();
        assert_ne!(next.tls.srv_cert.der, running.tls.srv_cert.der);
        assert_eq!(next.tls.ca_cert.der, running.tls.ca_cert.der);
        // A certificate without its new key is told from where it stands.
        next.take_tls(&running);
        next.take_pem(format!("for you:\n{second}").as_bytes()).unwrap();
        let error = next.check(1_790_000_000, 1_700_000_000).unwrap_err().to_string();
        assert!(error.contains(".tls.srv_key: "), "{error}");
    }

    #[test]
    fn the_key_log_stays_off_where_the_machine_sends_syslog() {
        let mut running = Box::new(Config::new());
        running.vmm.tty_syslog.enable = true;
        running.vmm.tty_syslog.dst_ipaddr = Some([10, 0, 0, 1].into());
        let mut next = Box::new(Config::new());
        next.parse(b".tls = { .keylog = 1 }", &mut crate::Scratch::new())
            .unwrap();
        next.take_rest(&running);
        let error = next.check(1_790_000_000, 1_700_000_000).unwrap_err().to_string();
        assert!(error.contains(".tls.keylog: "), "{error}");
    }

    #[test]
    fn a_list_takes_the_place_of_an_older_one_of_its_ca_alone() {
        let cas: std::vec::Vec<_> = (["a", "b", "c"].map(std::string::String::from).into_iter())
            .chain((0..MAX_CRLS).map(|number| number.to_string()))
            .map(|name| {
                let mut params = rcgen::CertificateParams::default();
                params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
                params.distinguished_name.push(rcgen::DnType::CommonName, name.as_str());
                let issuer = rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap());
                (name, issuer.unwrap())
            })
            .collect();
        let of_year = |name: &str, number: u64, year: i32| {
            let (_, issuer) = cas.iter().find(|(other, _)| other == name).unwrap();
            let list = rcgen::CertificateRevocationListParams {
                this_update: rcgen::date_time_ymd(year, 1, 1),
                next_update: rcgen::date_time_ymd(2120, 1, 1),
                crl_number: number.into(),
                issuing_distribution_point: None,
                revoked_certs: std::vec::Vec::new(),
                key_identifier_method: rcgen::KeyIdMethod::Sha256,
            };
            list.signed_by(issuer).unwrap().pem().unwrap()
        };
        let list = |name: &str, number: u64| of_year(name, number, 2020);
        let numbers = |config: &Config| -> std::vec::Vec<_> {
            let crls = config.tls.crl.iter().map(|der| Crl::from_der(der).unwrap());
            crls.map(|crl| format!("{} {}", crl.issuer, crl.number.unwrap()))
                .collect()
        };
        let mut running = Box::new(Config::new());
        running.take_pem((list("a", 5) + &list("b", 1)).as_bytes()).unwrap();
        let mut next = Box::new(Config::new());
        let mut paste = |running: &Config, text: &str| {
            next.take_tls(running);
            next.take_pem(text.as_bytes()).unwrap();
            next.keep_crls(running, true, 1_790_000_000)
                .map_err(|error| error.to_string())?;
            Ok(numbers(&next))
        };
        assert_eq!(paste(&running, &list("a", 6)).unwrap(), ["CN=a 6", "CN=b 1"]);
        assert_eq!(paste(&running, &list("a", 5)).unwrap(), ["CN=a 5", "CN=b 1"]);
        assert_eq!(paste(&running, &list("c", 0)).unwrap(), ["CN=c 0", "CN=a 5", "CN=b 1"]);
        // What is no list leaves the lists alone.
        let (certificate, key) = pair("a.test");
        assert_eq!(paste(&running, &(certificate + &key)).unwrap(), ["CN=a 5", "CN=b 1"]);
        let older: Result<_, std::string::String> = paste(&running, &(list("c", 1) + &list("a", 4)));
        let why = ".tls.crl: revocation list 2 is older than the one of that CA which is in force";
        assert!(older.unwrap_err().contains(why));
        // thisUpdate counts as well as the number.
        let older: Result<_, std::string::String> = paste(&running, &of_year("a", 6, 2019));
        assert!(older.unwrap_err().contains("revocation list 1 is older"));
        assert_eq!(paste(&running, &of_year("a", 5, 2021)).unwrap(), ["CN=a 5", "CN=b 1"]);
        // Of several lists of one CA the newest counts, so that the same ones can be loaded again.
        let several = of_year("a", 5, 2020) + &of_year("a", 6, 2021);
        running.take_pem(several.as_bytes()).unwrap();
        assert_eq!(paste(&running, &several).unwrap(), ["CN=a 5", "CN=a 6"]);
        assert!(paste(&running, &of_year("a", 5, 2020)).is_err());
        let many: std::string::String = (0..MAX_CRLS).map(|n| list(&format!("{n}"), 1)).collect();
        running.take_pem(many.as_bytes()).unwrap();
        assert_eq!(paste(&running, &list("0", 2)).unwrap().len(), MAX_CRLS);
        let why = paste(&running, &list("a", 1)).unwrap_err();
        assert!(why.contains("Keep the revocation lists that are needed"), "{why}");
    }

    #[test]
    fn broken_and_foreign_blocks_are_named_with_their_place() {
        let (certificate, _) = pair("a.test");
        let mut config = Box::new(Config::new());
        let foreign = format!("{certificate}-----BEGIN PUBLIC KEY-----\nAQID\n-----END PUBLIC KEY-----\n");
        let line = certificate.lines().count() + 1;
        let error = config.take_pem(foreign.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{line}:1: ")), "{error}");
        let cut = &certificate[..certificate.len() - 40];
        assert!(config.take_pem(cut.as_bytes()).is_err());
        let wrong = certificate.replacen("MII", "M?I", 1);
        let error = config.take_pem(wrong.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("2:2: .tls.srv_cert: "), "{error}");
        // It is no string of a configuration.
        assert!(error.ends_with("block 1). Copy the PEM again, whole"), "{error}");
        assert!(config.take_pem(b"-----BEGIN X").is_err());
        assert!(config.take_pem(b"").is_err());
    }
}
