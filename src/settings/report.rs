//! The report of the shell's command `tls`.

use core::fmt::{self, Display, Write};

use crate::config::{Choice as _, Config};
use crate::pki::cert::{Certificate, Date};
use crate::pki::crl::Crl;
use crate::pki::own::Role;
use crate::pki::text::{Count, Hex};

use super::boot_keys;
use super::time::now;
use super::tls_config::{AWAITS_CERTIFICATE, TlsConfig, chains, is_configured};

/// `.verify`, `.client_auth`, `.handshake_timeout`.
pub(super) fn rules(tls_config: &TlsConfig, out: &mut dyn Write) -> fmt::Result {
    let tls = &tls_config.config().tls;
    writeln!(
        out,
        "{} verification, client authentication {}, {} s for a handshake",
        tls.verify.name(),
        tls.client_auth.name(),
        tls.handshake_timeout
    )
}

/// The server's chains.
pub(super) fn server(tls_config: &TlsConfig, out: &mut dyn Write) -> fmt::Result {
    let config = tls_config.config();
    let ders = &config.tls.srv_cert;
    if config.awaits_certificate() {
        let why = tls_config.roles().server().err().unwrap_or(AWAITS_CERTIFICATE);
        writeln!(out, "serves nothing: {why}")?;
        return boot_key(config, Role::Server, out);
    }
    if ders.is_empty() {
        return writeln!(out, "serves nothing: no certificate is configured");
    }
    let mut result = Ok(());
    chains(&tls_config.server, ders, &mut |leaf, key, count| {
        let more = MoreIn(count);
        let own =
            config.is_generated(Role::Server) && Certificate::from_der(leaf).is_ok_and(|leaf| leaf.is_self_issued());
        let own = if own { ", self-signed" } else { "" };
        result = result.and_then(|()| writeln!(out, "serves {}, {}{own}{more}", Whose(leaf), key.algorithm()));
    });
    result?;
    boot_key(config, Role::Server, out)
}

/// The hash of a key that was made at boot.
fn boot_key(config: &Config, role: Role, out: &mut dyn Write) -> fmt::Result {
    match boot_keys::hash_of(config, role) {
        Some((_, hash)) => writeln!(out, "{} key made at boot: {hash}", boot_keys::name(role)),
        None => Ok(()),
    }
}

/// The client's chain.
pub(super) fn client(tls_config: &TlsConfig, out: &mut dyn Write) -> fmt::Result {
    let mut result = Ok(());
    let ders = &tls_config.config().tls.cli_cert;
    chains(&tls_config.client, ders, &mut |leaf, key, count| {
        let more = MoreIn(count);
        result = result.and_then(|()| writeln!(out, "client shows {}, {}{more}", Whose(leaf), key.algorithm()));
    });
    result?;
    boot_key(tls_config.config(), Role::Client, out)
}

/// The n-th CA, if there is one.
pub(super) fn authority(tls_config: &TlsConfig, n: usize, out: &mut dyn Write) -> fmt::Result {
    match tls_config.config().tls.ca_cert.iter().nth(n) {
        Some(der) => writeln!(out, "trusts {}", Whose(der)),
        None => Ok(()),
    }
}

/// How many of `.tls.root_certs` there are.
pub(super) fn roots(tls_config: &TlsConfig, out: &mut dyn Write) -> fmt::Result {
    match tls_config.roots {
        Ok([]) => Ok(()),
        Ok(roots) => writeln!(out, "trusts {} for servers", Count::of(roots.len(), "more CA")),
        Err(why) => writeln!(out, "trusts no CA for servers: {why}"),
    }
}

/// The n-th revocation list, if there is one.
pub(super) fn list(tls_config: &TlsConfig, n: usize, out: &mut dyn Write) -> fmt::Result {
    let der = tls_config.config().tls.crl.iter().nth(n);
    let Some(Ok(crl)) = der.map(Crl::from_der) else {
        return Ok(());
    };
    write!(out, "revocation list")?;
    if let Some(number) = crl.number {
        write!(out, " {number}")?;
    }
    write!(out, " of {}", crl.issuer)?;
    if !is_configured(tls_config.config(), &crl) {
        out.write_str(" (no configured CA; it may be that of an intermediate)")?;
    }
    let expiry = crl.expiry();
    if expiry.0 <= now().now {
        writeln!(out, ", expired {expiry}: certificates of that CA are refused")
    } else if crl.next_update.is_some() {
        writeln!(out, ", next update {expiry}")
    } else {
        writeln!(out, ", without next update: expires {expiry}")
    }
}

/// `CN=localhost, serial 07, valid until 2027-01-02`.
struct Whose<'a>(&'a [u8]);

impl Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(certificate) = Certificate::from_der(self.0) else {
            return f.write_str("a certificate that cannot be read");
        };
        write!(f, "{}, serial ", certificate.subject)?;
        let serial = match certificate.serial {
            // The sign of a number whose first bit is set.
            [0, rest @ ..] if !rest.is_empty() => rest,
            serial => serial,
        };
        Hex(serial).fmt(f)?;
        let Date(until) = certificate.not_after;
        let verdict = if until < now().now { "expired" } else { "valid until" };
        write!(f, ", {verdict} {}", certificate.not_after)
    }
}

/// The certificates after a leaf in its chain.
struct MoreIn(usize);

impl Display for MoreIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 | 1 => Ok(()),
            2 => f.write_str(", with 1 intermediate"),
            count => write!(f, ", with {} intermediates", count - 1),
        }
    }
}
