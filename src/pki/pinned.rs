//! The one narrow rule beside webpki: a leaf that a configured CA has signed itself.
//!
//! It is there for certificates as simple tools make them: X.509 version 1, with a common name and no subjectAltName, or
//! with CA:TRUE. With nothing between leaf and CA there is little that can go wrong, and that little is checked here.

use super::cert::Certificate;
use super::error::CertificateError;
use super::usage::Usage;
use super::verify::{Purpose, Trust};
use super::work::Work;
use super::{name, revocation, signed};

/// What the rule says of a leaf.
pub(super) enum Verdict<'t> {
    /// No configured CA has the name of its issuer, or that CA has name constraints, which only webpki knows: not a case
    /// for this rule.
    NotApplicable,
    /// It is good, by this CA.
    Good(&'t [u8]),
    /// It is refused.
    Refused(CertificateError),
}

/// Judges a leaf by its CA alone. CA:TRUE is tolerated, as nothing below the leaf is looked at.
pub(super) fn judge<'t>(
    trust: &Trust<'t>,
    leaf: &Certificate<'_>,
    purpose: Purpose<'_>,
    now: u64,
    work: &Work,
) -> Verdict<'t> {
    let mut verdict = Verdict::NotApplicable;
    for der in trust.anchors() {
        let applies = Certificate::from_der(der)
            .ok()
            .filter(|issuer| issuer.subject == leaf.issuer)
            .filter(|issuer| Usage::of(issuer).is_ok_and(|usage| !usage.name_constraints));
        let Some(issuer) = applies else { continue };
        match check(trust, leaf, (der, &issuer), purpose, now, work) {
            Ok(()) => return Verdict::Good(der),
            Err(error) => {
                // Of two CAs of one name, the one that has signed knows better what is wrong.
                if !matches!((&verdict, error), (Verdict::Refused(_), CertificateError::BadSignature)) {
                    verdict = Verdict::Refused(error);
                }
            }
        }
    }
    verdict
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
    let (not_before, not_after) = (leaf.not_before.0, leaf.not_after.0);
    if now < not_before {
        return Err(CertificateError::NotYetValid { not_before, now });
    }
    if now > not_after {
        return Err(CertificateError::Expired { not_after, now });
    }
    revocation::check(trust, leaf, der, now, work)?;
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
        Purpose::Server(Some(wanted)) if !name::gives(leaf, wanted) => Err(name::mismatch(leaf, wanted, true)),
        _ => Ok(()),
    }
}
