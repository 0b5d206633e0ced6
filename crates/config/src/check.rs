//! Checks of addresses, the proxy and ports (of certificates: `certificates`).

use super::Config;
use super::error::{Error, Fault};
use super::host::{is_host, is_host_address, is_host6, is_mask, is_on_link6, is_router, is_router6};
use super::keys::{Path, Position};
use postern_tls::pki::cert::Date;

/// Where telnet listens (RFC 854).
const TELNET: u16 = 23;

impl Config {
    /// Verifies what [`Config::parse`] has read. The first fault is returned, in the order addresses, proxy, ports,
    /// certificates.
    ///
    /// `now` is the present time, and `built` when the build was, both in seconds since 1970 (UTC). A clock that is
    /// before the build is an error where there are certificates, for their dates cannot be verified then. The dates of
    /// revocation lists are left to [`Config::check_list_dates`].
    pub fn check(&self, now: u64, built: u64) -> Result<(), Error> {
        self.check_addresses()?;
        self.check_ip6()?;
        self.check_proxy()?;
        self.check_ports()?;
        self.check_certificates(Date(now), Date(built))
    }

    fn check_addresses(&self) -> Result<(), Error> {
        let syslog = &self.vmm.tty_syslog;
        if syslog.enable && syslog.dst_ipaddr.is_none() {
            return Err(self.error(Path::SyslogEnable, Fault::NoSyslogServer));
        }
        if syslog.enable && self.tls.keylog {
            return Err(self.error(Path::Keylog, Fault::KeyLogToSyslog));
        }
        let addresses = [
            (Path::SyslogSrc, syslog.src_ipaddr),
            (Path::SyslogDst, syslog.dst_ipaddr),
        ];
        for (path, address) in addresses.into_iter().filter(|_| syslog.enable) {
            if address.is_some_and(|address| !is_host_address(address)) {
                return Err(self.error(path, Fault::NotAHost));
            }
        }
        let ip = &self.ip;
        if ip.dns.is_some_and(|server| !is_host(server, u32::MAX)) {
            return Err(self.error(Path::Dns, Fault::NotAHost));
        }
        if ip.use_dhcp {
            // DHCP by default, beside an address: the address is meant.
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
        if !is_mask(mask) {
            return Err(self.error(Path::Netmask, Fault::Netmask));
        }
        if !is_host(ip.ipaddr, mask) {
            return Err(self.error(Path::Ipaddr, Fault::NotAHost));
        }
        match ip.gateway {
            Some(gateway) if gateway == ip.ipaddr => Err(self.error(Path::Gateway, Fault::GatewayIsSelf)),
            Some(gateway) if !is_router(gateway, ip.ipaddr, mask) => {
                Err(self.error(Path::Gateway, Fault::GatewayOutside))
            }
            None if ip
                .dns
                .is_some_and(|server| (server.to_bits() ^ ip.ipaddr.to_bits()) & mask != 0) =>
            {
                Err(self.error(Path::Dns, Fault::NoWayToDns))
            }
            _ => Ok(()),
        }
    }

    fn check_ip6(&self) -> Result<(), Error> {
        let ip = &self.ip6;
        let fault = match (ip.ipaddr, ip.gateway, ip.dns) {
            (Some(own), ..) if own.is_unicast_link_local() => Some((Path::Ip6addr, Fault::LinkLocal)),
            (Some(own), ..) if !is_host6(own, ip.prefix) => Some((Path::Ip6addr, Fault::NotAHost)),
            (Some(own), Some(gateway), _) if own == gateway => Some((Path::Gateway6, Fault::GatewayIsSelf)),
            (None, Some(_), _) => Some((Path::Gateway6, Fault::GatewayWithoutAddress)),
            (own, Some(gateway), _) if !is_router6(gateway, own, ip.prefix) => {
                Some((Path::Gateway6, Fault::GatewayOutside))
            }
            (_, _, Some(server)) if !is_host6(server, 128) => Some((Path::Dns6, Fault::NotAHost)),
            (own, None, Some(server)) if !ip.use_slaac && !is_on_link6(server, own, ip.prefix) => {
                Some((Path::Dns6, Fault::NoWayToDns))
            }
            _ => None,
        };
        fault.map_or(Ok(()), |(path, fault)| Err(self.error(path, fault)))
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
            (None, "", _) => Err(self.error(Path::Proxy, Fault::NoHostToDial)),
            (Some(_), host, _) if !host.is_empty() => Err(self.error(Path::Proxy, Fault::TwoHostsToDial)),
            (_, _, 0) => Err(self.error(Path::Proxy, Fault::NoPortToDial)),
            (Some(address), ..) if !is_host_address(address) => Err(self.error(Path::ProxyIpaddr, Fault::NotAHost)),
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
