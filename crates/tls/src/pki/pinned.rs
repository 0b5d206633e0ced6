//! Pinned verification: a leaf signed directly by a configured CA.
//!
//! It accepts certificates that simple tools make: X.509 version 1, with a common name and no subjectAltName, or with
//! CA:TRUE. With nothing between leaf and CA there is little to check, and all of it is checked here.

use super::anchor::{self, Anchor};
use super::cert::Certificate;
use super::error::CertificateError;
use super::strict::check_dates;
use super::usage::Usage;
use super::verify::{Purpose, Trust};
use super::work::Work;
use super::{name, revocation, signed};

/// The result of pinned verification.
pub(super) enum Verdict<'t> {
    /// No configured CA has the name of its issuer, or that CA has name constraints, which only webpki processes: this
    /// rule does not apply.
    NotApplicable,
    /// It is valid; this CA issued it.
    Good(&'t [u8]),
    /// It is refused.
    Refused(CertificateError),
}

/// Verifies a leaf, in DER and parsed, by its CA alone, or as one that is itself configured. CA:TRUE is tolerated, since
/// nothing below the leaf is accepted.
pub(super) fn verify<'t>(
    trust: &Trust<'t>,
    (leaf_der, leaf): (&[u8], &Certificate<'_>),
    purpose: Purpose<'_>,
    now: u64,
    work: &Work,
) -> Verdict<'t> {
    let mut verdict = Verdict::NotApplicable;
    for der in trust.anchors().iter() {
        let Ok(issuer) = Certificate::from_der(der) else {
            continue;
        };
        let found = if der == leaf_der {
            check_itself(leaf, purpose, now)
        } else if issuer.subject == leaf.issuer && is_usable(&issuer, purpose) {
            check(trust, leaf, (der, &issuer), purpose, now, work)
        } else {
            continue;
        };
        match found {
            Ok(()) => return Verdict::Good(der),
            Err(error) => {
                // Of two CAs with the same name, the error of the one that signed is the relevant one.
                if !matches!((&verdict, error), (Verdict::Refused(_), CertificateError::BadSignature)) {
                    verdict = Verdict::Refused(error);
                }
            }
        }
    }
    verdict
}

/// Whether a CA may issue leaves by this rule: it is usable and has no name constraints.
fn is_usable(ca: &Certificate<'_>, purpose: Purpose<'_>) -> bool {
    let fits = |usage: Usage<'_>| usage.name_constraints.is_none() && usage.is_for(purpose.oid());
    anchor::check_certificate(ca) == Ok(Anchor::Ca) && Usage::of(ca).is_ok_and(fits)
}

fn check(
    trust: &Trust<'_>,
    leaf: &Certificate<'_>,
    (der, issuer): (&[u8], &Certificate<'_>),
    purpose: Purpose<'_>,
    now: u64,
    work: &Work,
) -> Result<(), CertificateError> {
    signed::verify(
        leaf.signature_algorithm,
        issuer.public_key.der,
        leaf.tbs,
        leaf.signature,
        work,
    )?;
    check_dates(leaf, now)?;
    revocation::check(trust, leaf, der, now, work)?;
    check_itself(leaf, purpose, now)
}

/// Checks the leaf alone: enough where this very certificate is configured.
fn check_itself(leaf: &Certificate<'_>, purpose: Purpose<'_>, now: u64) -> Result<(), CertificateError> {
    check_dates(leaf, now)?;
    let usage = Usage::of(leaf)?;
    if usage.unknown_critical() {
        return Err(CertificateError::UnsupportedCriticalExtension);
    }
    if !usage.is_for(purpose.oid()) {
        return Err(usage.wrong_purpose(purpose.oid()));
    }
    if !usage.may_sign() {
        return Err(CertificateError::KeyMayNotSign);
    }
    match purpose {
        Purpose::Server(Some(wanted)) if !name::matches_certificate(leaf, wanted) => {
            Err(name::mismatch(leaf, wanted, true))
        }
        _ => Ok(()),
    }
}
