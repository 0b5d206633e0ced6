//! What a configuration means: do keys, dates, addresses and ports fit?

use core::net::Ipv4Addr;
use core::ops::Range;

use heapless::Vec;

use super::error::{Error, Fault};
use super::keys::{Path, Position};
use super::{ClientAuth, Config, Ders, Key, MAX_CERTIFICATES, MAX_IDENTITIES};
use crate::crypto::key::SigningKey;
use crate::pki::cert::{Certificate, Date};
use crate::pki::crl::Crl;

/// Where telnet listens (RFC 854).
const TELNET: u16 = 23;

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
    /// Judges what [`Config::parse`] has read. The first fault is returned, in the order address, proxy, ports, certificates.
    ///
    /// `now` is the present time, and `built` when the build was, both in seconds since 1970 (UTC). A clock that is
    /// before the build is an error where there are certificates, for then no date can be judged.
    pub fn check(&self, now: u64, built: u64) -> Result<(), Error> {
        self.check_addresses()?;
        self.check_proxy()?;
        self.check_ports()?;
        self.check_certificates(Date(now), Date(built))
    }

    /// The server's identities, in the order of `.tls.srv_cert`.
    ///
    /// Several chains may stand there one after the other: a certificate that belongs to one of `.tls.srv_key` begins one,
    /// and its intermediates follow.
    ///
    /// # Errors
    /// The first thing that is wrong with certificates, keys and what is said of one by the other. Dates are left to
    /// [`Config::check`].
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

    fn check_addresses(&self) -> Result<(), Error> {
        let syslog = &self.vmm.tty_syslog;
        if syslog.enable && syslog.dst_ipaddr.is_none() {
            return Err(self.error(Path::SyslogEnable, Fault::NoSyslogServer));
        }
        let ip = &self.ip;
        if ip.dns.is_some_and(|server| !is_host(server, u32::MAX)) {
            return Err(self.error(Path::Dns, Fault::NotAHost));
        }
        if ip.use_dhcp {
            // Said by nobody: whoever gives an address wants to have it.
            let meant = self.places.get(Path::UseDhcp).is_none() && !ip.ipaddr.is_unspecified();
            return match meant {
                true => Err(self.error(Path::Ipaddr, Fault::AddressWithDhcp)),
                false => Ok(()),
            };
        }
        if ip.ipaddr.is_unspecified() {
            return Err(self.error(Path::Ipaddr, Fault::NoAddress));
        }
        if ip.netmask.is_unspecified() {
            return Err(self.error(Path::Netmask, Fault::NoNetmask));
        }
        let mask = ip.netmask.to_bits();
        if mask.leading_ones() + mask.trailing_zeros() != 32 {
            return Err(self.error(Path::Netmask, Fault::Netmask));
        }
        if !is_host(ip.ipaddr, mask) {
            return Err(self.error(Path::Ipaddr, Fault::NotAHost));
        }
        match ip.gateway {
            Some(gateway) if (gateway.to_bits() ^ ip.ipaddr.to_bits()) & mask != 0 || !is_host(gateway, mask) => {
                Err(self.error(Path::Gateway, Fault::GatewayOutside))
            }
            Some(gateway) if gateway == ip.ipaddr => Err(self.error(Path::Gateway, Fault::GatewayIsSelf)),
            None if ip
                .dns
                .is_some_and(|server| (server.to_bits() ^ ip.ipaddr.to_bits()) & mask != 0) =>
            {
                Err(self.error(Path::Dns, Fault::NoWayToDns))
            }
            _ => Ok(()),
        }
    }

    fn check_proxy(&self) -> Result<(), Error> {
        let proxy = &self.proxy;
        let (user, password) = (proxy.user.as_bytes(), proxy.password.as_bytes());
        match (user.is_empty(), password.is_empty()) {
            (false, true) => return Err(self.error(Path::ProxyUser, Fault::UserWithoutPassword)),
            (true, false) => return Err(self.error(Path::ProxyPassword, Fault::PasswordWithoutUser)),
            _ if user.contains(&b':') => return Err(self.error(Path::ProxyUser, Fault::ColonInUser)),
            _ => {}
        }
        match (proxy.ipaddr, proxy.host.as_str(), proxy.port) {
            _ if !proxy.is_set() => Ok(()),
            (None, "", _) => Err(self.error(Path::Proxy, Fault::NobodyToDial)),
            (Some(_), host, _) if !host.is_empty() => Err(self.error(Path::Proxy, Fault::DialBoth)),
            (_, _, 0) => Err(self.error(Path::Proxy, Fault::NoPortToDial)),
            (Some(address), ..) if !is_host(address, u32::MAX) => Err(self.error(Path::ProxyIpaddr, Fault::NotAHost)),
            _ => Ok(()),
        }
    }

    fn check_ports(&self) -> Result<(), Error> {
        let echo = &self.echo;
        let dbgsh = self.vmm.tls_dbgsh;
        if dbgsh == TELNET && self.vmm.telnet_dbgsh {
            return Err(self.error(Path::TlsDbgsh, Fault::PortTaken { by: Path::TelnetDbgsh }));
        }
        let ports = [
            (Path::TlsPort, echo.tls_port),
            (Path::PlainPort, echo.plain_port),
            (Path::HttpsPort, echo.https_port),
        ];
        for (path, port) in ports {
            if port != 0 && port == dbgsh {
                return Err(self.error(path, Fault::PortTaken { by: Path::TlsDbgsh }));
            }
        }
        for (number, (path, port)) in ports.into_iter().enumerate().filter(|(_, (_, port))| *port != 0) {
            if port == TELNET && self.vmm.telnet_dbgsh {
                return Err(self.error(path, Fault::PortTaken { by: Path::TelnetDbgsh }));
            }
            if let Some((by, _)) = ports.into_iter().take(number).find(|(_, other)| *other == port) {
                return Err(self.error(path, Fault::PortTaken { by }));
            }
        }
        Ok(())
    }

    fn check_certificates(&self, now: Date, built: Date) -> Result<(), Error> {
        let tls = &self.tls;
        self.server()?;
        self.client()?;
        self.check_well_formed(Path::CaCert, &tls.ca_cert)?;
        for (path, chain) in [
            (Path::SrvCert, &tls.srv_cert),
            (Path::CliCert, &tls.cli_cert),
            (Path::CaCert, &tls.ca_cert),
        ] {
            self.check_dates(path, chain, now, built)?;
        }
        for (number, der) in (1..).zip(tls.crl.iter()) {
            Crl::from_der(der)
                .and_then(|crl| crl.check_entries())
                .map_err(|error| self.error(Path::Crl, Fault::Crl { number, error }))?;
        }
        // Those who come to the shell over TLS, and those who are dialled, are always asked.
        let asks = tls.client_auth != ClientAuth::Off || self.vmm.tls_dbgsh != 0 || !self.echo.reverse.is_empty();
        if !tls.allow.is_empty() && !asks {
            return Err(self.error(Path::Allow, Fault::AllowWithoutAuth));
        }
        if tls.ca_cert.is_empty() {
            // Where there is no server, there is nobody who asks.
            if tls.client_auth != ClientAuth::Off && !tls.srv_cert.is_empty() {
                return Err(self.error(Path::ClientAuth, Fault::ClientAuthWithoutCa));
            }
            // These ask whatever is configured for the others.
            if self.vmm.tls_dbgsh != 0 && !tls.srv_cert.is_empty() {
                return Err(self.error(Path::TlsDbgsh, Fault::ClientAuthWithoutCa));
            }
            if self.echo.reverse.iter().any(|reverse| !reverse.plain) && !tls.srv_cert.is_empty() {
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
        for (number, key) in (1..).zip(keys) {
            let number = Some(number).filter(|_| keys.len() > 1);
            let key = SigningKey::from_der(&key.label, &key.der)
                .map_err(|error| self.error(at_key, Fault::Key(number, error)))?;
            let _ = found.keys.push(key); // there are no more of them than fit
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
            (true, false) => return Err(self.error(at_key, Fault::KeyWithoutCertificate)),
            (false, false) => {}
        }
        let is_alone = |key: &SigningKey| certificates(chain).all(|leaf| !key.public_key_matches(leaf.public_key.der));
        if let Some(alone) = found.keys.iter().position(is_alone) {
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
        let pairs = certificates(chain).zip(certificates(chain).skip(1));
        for (number, ((certificate, issuer), owner)) in (1..).zip(pairs.zip(owners.iter().skip(1))) {
            if owner.is_none() && certificate.issuer != issuer.subject {
                let fault = match issuer.ca {
                    Some(true) => Fault::ChainOrder(number),
                    _ => Fault::Stray(number.saturating_add(1)),
                };
                return Err(self.error(at, fault));
            }
        }
        Ok(found)
    }

    fn check_dates(&self, path: Path, chain: &Ders, now: Date, built: Date) -> Result<(), Error> {
        for (number, certificate) in (1..).zip(certificates(chain)) {
            let fault = if now < built {
                Fault::Clock { now, built }
            } else if now < certificate.not_before {
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

    /// An error about the value of `path`, at the place where it is set: there, or in its other form, or in the group
    /// around it, or else at the beginning.
    pub(super) fn error(&self, path: Path, fault: Fault) -> Error {
        let candidates = [Some(path), path.other_form(), path.parent()];
        let set = candidates
            .into_iter()
            .flatten()
            .find_map(|path| Some((path, self.places.get(path)?)));
        let (at, position) = set.unwrap_or((path, Position { line: 1, column: 1 }));
        // A key that is missing from its group is named all the same.
        let key = if path.parent() == Some(at) { path } else { at };
        Error {
            position,
            key: Some(key),
            fault,
        }
    }
}

/// The certificates of a chain that has been found well-formed.
fn certificates(chain: &Ders) -> impl Iterator<Item = Certificate<'_>> {
    chain.iter().filter_map(|der| Certificate::from_der(der).ok())
}

/// Whether a machine can have this address in its subnet (RFC 1122 §3.2.1.3). In a subnet of one or two addresses
/// every address is that of a machine (RFC 3021).
fn is_host(address: Ipv4Addr, mask: u32) -> bool {
    let host = address.to_bits() & !mask;
    let small = mask.count_zeros() < 2;
    !(address.is_loopback() || address.is_multicast() || address.is_broadcast() || address.is_unspecified())
        && (small || (host != 0 && host != !mask))
}
