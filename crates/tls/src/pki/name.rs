//! Peer names and their match with certificates (RFC 9525, RFC 5280 §4.2.1.6).

use core::fmt::{self, Write as _};
use core::net::IpAddr;

use rustls_pki_types::DnsName;

use super::cert::{Alternative, Certificate, SUBJECT_ALT_NAME};
use super::error::CertificateError;
use super::text::Text;

/// The expected name of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerName<'a> {
    /// A DNS name.
    Dns(&'a str),
    /// An IP address.
    Ip(IpAddr),
}

impl<'a> ServerName<'a> {
    /// Reads a DNS name, or an IP address in its text form. `None` if it is neither.
    pub fn parse(text: &'a str) -> Option<Self> {
        match text.parse() {
            Ok(ip) => Some(Self::Ip(ip)),
            Err(_) => DnsName::try_from(text).ok().map(|_| Self::Dns(text)),
        }
    }
}

impl fmt::Display for ServerName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// Whether `name` is in the subjectAltName of `certificate`, or is its common name if it has no subjectAltName.
pub(super) fn matches_certificate(certificate: &Certificate<'_>, name: ServerName<'_>) -> bool {
    if has_alternatives(certificate) {
        certificate.alternatives().any(|alternative| match (alternative, name) {
            (Alternative::Dns(pattern), ServerName::Dns(name)) => matches(pattern, name),
            (Alternative::Ip(given), ServerName::Ip(ip)) => given == ip,
            _ => false,
        })
    } else {
        certificate.subject.common_name().is_some_and(|common| match name {
            ServerName::Dns(name) => matches(common, name),
            ServerName::Ip(ip) => common.parse() == Ok(ip),
        })
    }
}

/// [`CertificateError::NotValidForName`]. `common_name` states whether a common name is accepted.
pub(super) fn mismatch(certificate: &Certificate<'_>, name: ServerName<'_>, common_name: bool) -> CertificateError {
    let mut present = Text::new("");
    let mut separator = "";
    for alternative in certificate.alternatives() {
        let _ = match alternative {
            // An IP address in a dNSName does not match (RFC 9525 §6.2).
            Alternative::Dns(name) if name.parse::<IpAddr>().is_ok() => {
                write!(present, "{separator}{name} as a DNS name")
            }
            Alternative::Dns(name) => write!(present, "{separator}{name}"),
            Alternative::Ip(ip) => write!(present, "{separator}{ip}"),
        };
        separator = ", ";
    }
    if present.is_empty() {
        present = match certificate.subject.common_name() {
            _ if has_alternatives(certificate) => Text::new("no DNS name or IP address"),
            Some(common) if common_name => Text::of(format_args!("CN={common}")),
            _ => present,
        };
    }
    CertificateError::NotValidForName {
        wanted: Text::of(name),
        present,
    }
}

/// The subject of a certificate as text, or its first alternative name if the subject is empty. An alternative name with
/// a `=` is skipped, since it could be mistaken for a subject.
pub(super) fn subject(certificate: &Certificate<'_>) -> Text {
    match certificate.alternatives().next() {
        Some(Alternative::Dns(name)) if certificate.subject.is_empty() && !name.contains('=') => Text::new(name),
        Some(Alternative::Ip(ip)) if certificate.subject.is_empty() => Text::of(ip),
        _ => Text::of(certificate.subject),
    }
}

fn has_alternatives(certificate: &Certificate<'_>) -> bool {
    certificate
        .extensions()
        .any(|extension| extension.oid == SUBJECT_ALT_NAME)
}

/// Whether `name` is the DNS name `pattern`, or one label below it if that begins with `*.` (RFC 9525 §6.3). At least
/// two labels must follow the asterisk. A trailing dot of `name` is ignored.
fn matches(pattern: &str, name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return false;
    }
    match pattern.strip_prefix("*.") {
        Some(parent) => {
            parent.contains('.')
                && name
                    .split_once('.')
                    .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent))
        }
        None => !pattern.contains('*') && pattern.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests;
