//! The one narrow rule beside webpki: a leaf that a configured CA has signed itself.
//!
//! It is there for certificates as simple tools make them: X.509 version 1, with a common name and no subjectAltName, or
//! with CA:TRUE. With nothing between leaf and CA there is little that can go wrong, and that little is checked here.

use super::anchor::{self, Anchor};
use super::cert::Certificate;
use super::error::CertificateError;
use super::strict::check_dates;
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

/// Judges a leaf, in DER and read, by its CA alone, or as one that is itself configured. CA:TRUE is tolerated, as nothing
/// below the leaf is looked at.
pub(super) fn judge<'t>(
    trust: &Trust<'t>,
    (leaf_der, leaf): (&[u8], &Certificate<'_>),
    purpose: Purpose<'_>,
    now: u64,
    work: &Work,
) -> Verdict<'t> {
    let mut verdict = Verdict::NotApplicable;
    for der in trust.anchors() {
        let Ok(issuer) = Certificate::from_der(der) else {
            continue;
        };
        let found = if *der == leaf_der {
            check_itself(leaf, purpose, now)
        } else if issuer.subject == leaf.issuer && is_usable(&issuer, purpose) {
            check(trust, leaf, (der, &issuer), purpose, now, work)
        } else {
            continue;
        };
        match found {
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

/// Whether a CA may issue leaves by this rule: it does not constrain names, and nothing else is wrong with it.
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

/// Checks a leaf for what it says of itself: all there is to check where this very certificate is configured.
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
        Purpose::Server(Some(wanted)) if !name::gives(leaf, wanted) => Err(name::mismatch(leaf, wanted, true)),
        _ => Ok(()),
    }
}
