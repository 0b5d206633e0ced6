//! What a configuration means: do keys, dates, addresses and ports fit?

use core::net::Ipv4Addr;

use super::error::{Error, Fault};
use super::keys::{Path, Position};
use super::{Chain, Config};
use crate::crypto::key::SigningKey;
use crate::pki::cert::{Certificate, Date};

/// Where telnet listens (RFC 854).
const TELNET: u16 = 23;

impl Config {
    /// Judges what [`Config::parse`] has read. The first fault is returned, in the order address, ports, certificates.
    ///
    /// `now` is the present time, and `built` when the build was, both in seconds since 1970 (UTC). A clock that is
    /// before the build is an error where there are certificates, for then no date can be judged.
    pub fn check(&self, now: u64, built: u64) -> Result<(), Error> {
        self.check_addresses()?;
        self.check_ports()?;
        self.check_certificates(Date(now), Date(built))
    }

    /// The private key, ready to sign, if there is one.
    pub fn signing_key(&self) -> Result<Option<SigningKey>, Error> {
        let Some(key) = &self.tls.srv_key else {
            return Ok(None);
        };
        let key = SigningKey::from_der(&key.label, &key.der);
        key.map(Some)
            .map_err(|error| self.error(Path::SrvKey, Fault::Key(error)))
    }

    fn check_addresses(&self) -> Result<(), Error> {
        let syslog = &self.vmm.tty_syslog;
        if syslog.enable && syslog.dst_ipaddr.is_none() {
            return Err(self.error(Path::SyslogEnable, Fault::NoSyslogServer));
        }
        let ip = &self.ip;
        if ip.use_dhcp {
            return Ok(());
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
            _ => Ok(()),
        }
    }

    fn check_ports(&self) -> Result<(), Error> {
        let echo = &self.echo;
        for (path, port) in [(Path::TlsPort, echo.tls_port), (Path::PlainPort, echo.plain_port)] {
            if port == TELNET && self.vmm.telnet_dbgsh {
                return Err(self.error(path, Fault::PortTaken { by: Path::TelnetDbgsh }));
            }
        }
        if echo.plain_port != 0 && echo.plain_port == echo.tls_port {
            return Err(self.error(Path::PlainPort, Fault::PortTaken { by: Path::TlsPort }));
        }
        Ok(())
    }

    fn check_certificates(&self, now: Date, built: Date) -> Result<(), Error> {
        let tls = &self.tls;
        self.check_well_formed(Path::SrvCert, &tls.srv_cert)?;
        self.check_well_formed(Path::CaCert, &tls.ca_cert)?;
        match (tls.srv_cert.is_empty(), self.signing_key()?) {
            (false, None) => return Err(self.error(Path::SrvCert, Fault::CertificateWithoutKey)),
            (true, Some(_)) => return Err(self.error(Path::SrvKey, Fault::KeyWithoutCertificate)),
            (true, None) => {}
            (false, Some(key)) => {
                let owner = certificates(&tls.srv_cert).position(|leaf| key.public_key_matches(leaf.public_key.der));
                match owner {
                    None => return Err(self.error(Path::SrvKey, Fault::KeyMismatch)),
                    Some(0) => {}
                    Some(before) => {
                        return Err(self.error(Path::SrvCert, Fault::LeafNotFirst(before.saturating_add(1))));
                    }
                }
            }
        }
        let issuers = certificates(&tls.srv_cert).skip(1);
        for (number, (certificate, issuer)) in (1..).zip(certificates(&tls.srv_cert).zip(issuers)) {
            if certificate.issuer != issuer.subject {
                return Err(self.error(Path::SrvCert, Fault::ChainOrder(number)));
            }
        }
        self.check_dates(Path::SrvCert, &tls.srv_cert, now, built)?;
        self.check_dates(Path::CaCert, &tls.ca_cert, now, built)
    }

    fn check_well_formed(&self, path: Path, chain: &Chain) -> Result<(), Error> {
        for (number, der) in (1..).zip(chain.iter()) {
            Certificate::from_der(der).map_err(|error| self.error(path, Fault::Certificate { number, error }))?;
        }
        Ok(())
    }

    fn check_dates(&self, path: Path, chain: &Chain, now: Date, built: Date) -> Result<(), Error> {
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
    fn error(&self, path: Path, fault: Fault) -> Error {
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
fn certificates(chain: &Chain) -> impl Iterator<Item = Certificate<'_>> {
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
