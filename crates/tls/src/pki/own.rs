//! Checks of the machine's own certificates, as a peer would make them.

use der::asn1::ObjectIdentifier;

use super::cert::{Certificate, algorithm};
use super::error::CertificateError;
use super::signed;
use super::text::Text;
use super::usage::{CLIENT, SERVER, Usage};
use super::work::Work;

/// The peer to which an own certificate is presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Clients.
    Server,
    /// Servers that request one.
    Client,
}

/// Checks the extensions of a leaf: purposes (RFC 5280 §4.2.1.12), that its key may sign handshakes (§4.2.1.3,
/// RFC 8446 §4.4.2.2), and that critical extensions are supported (RFC 5280 §4.2).
///
/// # Errors
/// [`CertificateError::WrongPurpose`], [`CertificateError::KeyMayNotSign`],
/// [`CertificateError::UnsupportedCriticalExtension`] or [`CertificateError::Malformed`].
pub fn check_leaf(leaf: &Certificate<'_>, role: Role) -> Result<(), CertificateError> {
    let usage = Usage::of(leaf)?;
    let purpose = match role {
        Role::Server => SERVER,
        Role::Client => CLIENT,
    };
    if !usage.is_for(purpose) {
        return Err(usage.wrong_purpose(purpose));
    }
    if !usage.may_sign() {
        return Err(CertificateError::KeyMayNotSign);
    }
    match usage.unknown_critical() {
        true => Err(CertificateError::UnsupportedCriticalExtension),
        false => Ok(()),
    }
}

/// Checks that `issuer` signed `certificate` and is a CA that may do so, with `below` intermediates between it and the
/// leaf (RFC 5280 §4.2.1.9, §6.1.4 k to n). Names are not compared.
///
/// # Errors
/// [`CertificateError::BadSignature`] before all others, [`CertificateError::UnsupportedSignatureAlgorithm`],
/// [`CertificateError::NotACa`], [`CertificateError::CaMayNotIssue`], [`CertificateError::PathTooLong`] or
/// [`CertificateError::Malformed`].
pub fn check_link(
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    below: usize,
) -> Result<(), CertificateError> {
    let spki = issuer.public_key.der;
    signed::verify(
        certificate.signature_algorithm,
        spki,
        certificate.tbs,
        certificate.signature,
        &Work::default(),
    )?;
    let subject = Text::of(issuer.subject);
    if !issuer.is_ca() {
        return Err(CertificateError::NotACa { subject });
    }
    if !Usage::of(issuer)?.may_sign_certificates() {
        return Err(CertificateError::CaMayNotIssue { subject });
    }
    match issuer.path_length {
        Some(allowed) if usize::try_from(allowed).is_ok_and(|allowed| below > allowed) => {
            Err(CertificateError::PathTooLong { subject, allowed })
        }
        _ => Ok(()),
    }
}

/// The hash of a certificate's signature, if peers no longer accept it (RFC 9155, RFC 8446 §4.2.3). The signature of a
/// self-issued certificate is ignored.
pub fn weak_hash(certificate: &Certificate<'_>) -> Option<&'static str> {
    if certificate.issuer == certificate.subject {
        return None;
    }
    let (oid, _) = algorithm(certificate.signature_algorithm).ok()?;
    WEAK.iter().find(|(weak, _)| *weak == oid).map(|(_, hash)| *hash)
}

/// The signature algorithms with a weak hash (RFC 3279 §2.2).
const WEAK: [(ObjectIdentifier, &str); 4] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.4"), "MD5"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.5"), "SHA-1"),
    (ObjectIdentifier::new_unwrap("1.2.840.10045.4.1"), "SHA-1"),
    (ObjectIdentifier::new_unwrap("1.2.840.10040.4.3"), "SHA-1"),
];
