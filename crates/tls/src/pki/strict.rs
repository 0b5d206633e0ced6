//! Path validation by RFC 5280, through webpki.

use core::net::IpAddr;
use core::time::Duration;

use rustls_pki_types::{
    AlgorithmIdentifier, CertificateDer, DnsName, InvalidSignature, SignatureVerificationAlgorithm, TrustAnchor,
    UnixTime,
};
use webpki::{EndEntityCert, Error, KeyUsage};

use super::cert::{CertError, Certificate, outer, rest};
use super::constraints::unsupported_form;
use super::crl::CLOCK_SKEW;
use super::error::CertificateError;
use super::limits::MAX_INTERMEDIATES;
use super::name::{self, ServerName};
use super::path::{Path, Search};
use super::revocation;
use super::text::Text;
use super::usage::Usage;
use super::validity;
use super::verify::{Mode, Purpose, Trust, VerifiedChain};
use super::work::Work;
use crate::crypto::verify::ALGORITHMS;

/// The most signature algorithms.
const MAX_ALGORITHMS: usize = 32;

/// Verifies a chain. `leaf` is its first certificate, already parsed.
pub(super) fn verify<'t, 'c>(
    trust: &Trust<'t>,
    chain: &[&'c [u8]],
    leaf: &Certificate<'_>,
    purpose: Purpose<'_>,
    now: u64,
    work: &Work,
) -> Result<VerifiedChain<'t, 'c>, CertificateError> {
    let mut search = Search::new(trust, chain, work);
    loop {
        let path = search.next()?;
        match check_path(trust, &path, leaf, purpose, now, work) {
            Ok(()) => {
                return Ok(VerifiedChain {
                    root: path.anchor,
                    leaf: chain.first().copied().unwrap_or_default(),
                    issuer: path.certificates.get(1).copied(),
                    valid_until: validity::end_of(trust, &path.certificates, now),
                    work: work.clone(),
                });
            }
            Err(error @ (CertificateError::TooComplex | CertificateError::TooManyNameComparisons)) => {
                return Err(error);
            }
            Err(error) => search.refuse_path(error),
        }
    }
}

/// Checks a path whose signatures have been verified.
fn check_path(
    trust: &Trust<'_>,
    path: &Path<'_, '_>,
    leaf: &Certificate<'_>,
    purpose: Purpose<'_>,
    now: u64,
    work: &Work,
) -> Result<(), CertificateError> {
    check_issuers(path, purpose, now, work)?;
    ask_webpki(trust, path, leaf, purpose, now)?;
    check_crls(trust, path, now, work)?;
    let usage = Usage::of(leaf)?;
    if !usage.may_sign() {
        return Err(CertificateError::KeyMayNotSign);
    }
    // webpki ignores name constraints in a leaf, where they MUST NOT appear (RFC 5280 §4.2.1.10).
    if usage.unknown_critical() {
        return Err(CertificateError::UnsupportedCriticalExtension);
    }
    Ok(())
}

/// Checks what webpki does not: the CA's own limits, and self-issued certificates.
#[inline(never)] // keeps its stack frame out of webpki's callers; webpki needs the most stack
fn check_issuers(path: &Path<'_, '_>, purpose: Purpose<'_>, now: u64, work: &Work) -> Result<(), CertificateError> {
    let mut counted = 0;
    let intermediates = path.certificates.iter().skip(1);
    for (number, der) in intermediates.chain(core::iter::once(&path.anchor)).enumerate() {
        let (below, is_anchor) = path
            .certificates
            .split_at_checked(number.saturating_add(1))
            .map_or((&[][..], true), |(below, above)| (below, above.is_empty()));
        let issuer = Certificate::from_der(der).map_err(CertificateError::Malformed)?;
        let usage = Usage::of(&issuer)?;
        let subject = Text::of(issuer.subject);
        if let Some(allowed) = issuer.path_length.filter(|&allowed| counted > allowed) {
            return Err(CertificateError::PathTooLong { subject, allowed });
        }
        let unsupported = |form| CertificateError::UnsupportedNameConstraint { subject, form };
        let form = |value| unsupported_form(value, below, work);
        if let Some(form) = usage.name_constraints.and_then(form) {
            return Err(unsupported(form));
        }
        // webpki checks all other intermediates.
        let skipped = !is_anchor && issuer.is_self_issued();
        if (is_anchor || skipped) && !usage.is_for(purpose.oid()) {
            return Err(usage.wrong_purpose(purpose.oid()));
        }
        if skipped {
            check_dates(&issuer, now)?;
            if usage.unknown.is_some() {
                return Err(CertificateError::UnsupportedCriticalExtension);
            }
            if usage.name_constraints.is_some() {
                return Err(unsupported("of a self-issued certificate"));
            }
        }
        // A self-issued certificate, for a new key, is not counted (RFC 5280 §6.1.4 l).
        counted = counted.saturating_add(u32::from(!issuer.is_self_issued()));
    }
    Ok(())
}

/// Checks that `now` is within the validity of a certificate (RFC 5280 §6.1.3 a 2), notBefore with a tolerance of
/// [`CLOCK_SKEW`].
pub(super) fn check_dates(certificate: &Certificate<'_>, now: u64) -> Result<(), CertificateError> {
    let (not_before, not_after) = (certificate.not_before.0, certificate.not_after.0);
    if not_before > now.saturating_add(CLOCK_SKEW) {
        return Err(CertificateError::NotYetValid { not_before, now });
    }
    if now > not_after {
        return Err(CertificateError::Expired { not_after, now });
    }
    Ok(())
}

/// A signature that has been verified.
#[derive(Debug)]
struct Signature<'a> {
    key: &'a [u8],
    message: &'a [u8],
    signature: &'a [u8],
}

/// An algorithm for webpki that looks up the signatures already verified.
#[derive(Debug)]
struct Known<'a> {
    algorithm: &'static dyn SignatureVerificationAlgorithm,
    good: &'a [Signature<'a>],
}

impl SignatureVerificationAlgorithm for Known<'_> {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let wanted = |good: &Signature<'_>| (good.key, good.message, good.signature) == (key, message, signature);
        self.good.iter().any(wanted).then_some(()).ok_or(InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.algorithm.signature_alg_id()
    }
}

/// Has webpki validate a single path, whose signatures [`Search`] has verified.
///
/// Self-issued certificates are left out, because webpki would count them (RFC 5280 §6.1.4 l): a signature by the new key
/// stands for one by the old key, which signed the new one. [`check_issuers`] has checked the rest.
fn ask_webpki(
    trust: &Trust<'_>,
    path: &Path<'_, '_>,
    leaf: &Certificate<'_>,
    purpose: Purpose<'_>,
    now: u64,
) -> Result<(), CertificateError> {
    let (leaf_der, above) = path.certificates.split_first().ok_or(CertificateError::EmptyChain)?;
    let (leaf_der, mut child) = (CertificateDer::from(*leaf_der), leaf.clone());
    let mut good: heapless::Vec<Signature<'_>, { MAX_INTERMEDIATES + 1 }> = heapless::Vec::new();
    let mut intermediates: heapless::Vec<CertificateDer<'_>, MAX_INTERMEDIATES> = heapless::Vec::new();
    for der in above {
        let issuer = Certificate::from_der(der).map_err(CertificateError::Malformed)?;
        if issuer.is_self_issued() {
            continue;
        }
        let _ = good.push(by(&issuer, &child)); // a path has no more certificates
        let _ = intermediates.push(CertificateDer::from(*der)); // likewise
        child = issuer;
    }
    let anchor = Certificate::from_der(path.anchor).map_err(|_| CertificateError::MalformedTrustAnchor)?;
    let _ = good.push(by(&anchor, &child)); // likewise
    let malformed = |_| CertificateError::MalformedTrustAnchor;
    let constraints = Usage::of(&anchor)?.name_constraints;
    let anchors = [TrustAnchor {
        subject: content(anchor.subject.der).map_err(malformed)?.into(),
        subject_public_key_info: content(anchor.public_key.der).map_err(malformed)?.into(),
        name_constraints: constraints.map(content).transpose().map_err(malformed)?.map(Into::into),
    }];
    let known: heapless::Vec<Known<'_>, MAX_ALGORITHMS> = ALGORITHMS
        .iter()
        .map(|&algorithm| Known { algorithm, good: &good })
        .collect();
    let algorithms: heapless::Vec<&dyn SignatureVerificationAlgorithm, MAX_ALGORITHMS> = known
        .iter()
        .map(|known| known as &dyn SignatureVerificationAlgorithm)
        .collect();
    let usage = match purpose {
        Purpose::Server(_) => KeyUsage::server_auth(),
        Purpose::Client => KeyUsage::client_auth(),
    };

    let explain = |error| explain(error, trust, path, purpose, now);
    let end_entity = EndEntityCert::try_from(&leaf_der).map_err(explain)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(tolerant_time(path, now)));
    end_entity
        .verify_for_usage(&algorithms, &anchors, &intermediates, time, usage, None, None)
        .map_err(explain)?;
    let Purpose::Server(Some(wanted)) = purpose else {
        return Ok(());
    };
    let mismatch = || name::mismatch(leaf, wanted, false);
    let wanted = match wanted {
        ServerName::Dns(name) => DnsName::try_from(name).map_err(|_| mismatch())?.into(),
        ServerName::Ip(IpAddr::V4(ip)) => rustls_pki_types::Ipv4Addr::from(ip.octets()).into(),
        ServerName::Ip(IpAddr::V6(ip)) => rustls_pki_types::Ipv6Addr::from(ip.segments()).into(),
    };
    end_entity
        .verify_is_valid_for_subject_name(&wanted)
        .map_err(|error| match error {
            Error::CertNotValidForName(_) => mismatch(),
            other => explain(other),
        })
}

/// The time for webpki, which has no tolerance: `now`, or the latest notBefore in the path that [`CLOCK_SKEW`] allows. A
/// certificate that has expired at `now` has expired then too.
#[inline(never)] // keeps its stack frame out of webpki's callers
fn tolerant_time(path: &Path<'_, '_>, now: u64) -> u64 {
    let certificates = path
        .certificates
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok());
    certificates
        .map(|certificate| certificate.not_before.0)
        .filter(|&not_before| not_before <= now.saturating_add(CLOCK_SKEW))
        .fold(now, u64::max)
}

fn by<'a>(issuer: &Certificate<'a>, certificate: &Certificate<'a>) -> Signature<'a> {
    Signature {
        key: issuer.public_key.bits,
        message: certificate.tbs,
        signature: certificate.signature,
    }
}

/// The content of an element.
fn content(der: &[u8]) -> der::Result<&[u8]> {
    rest(&outer(der)?.0)
}

/// Checks every certificate of a path against all lists.
#[inline(never)] // as above
fn check_crls(trust: &Trust<'_>, path: &Path<'_, '_>, now: u64, work: &Work) -> Result<(), CertificateError> {
    let issuers = path.certificates.iter().skip(1).chain(core::iter::once(&path.anchor));
    for (der, issuer) in path.certificates.iter().zip(issuers) {
        let certificate = Certificate::from_der(der).map_err(CertificateError::Malformed)?;
        revocation::check(trust, &certificate, issuer, now, work)?;
    }
    Ok(())
}

/// Maps webpki's errors, adding the facts that webpki does not report without a heap.
#[inline(never)] // as above
#[expect(deprecated, reason = "webpki may still return the old forms of an error")]
fn explain(error: Error, trust: &Trust<'_>, path: &Path<'_, '_>, purpose: Purpose<'_>, now: u64) -> CertificateError {
    let mut certificates = path
        .certificates
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok());
    match error {
        Error::CertExpired { not_after, .. } => CertificateError::Expired {
            not_after: not_after.as_secs(),
            now,
        },
        Error::CertNotValidYet { not_before, .. } => CertificateError::NotYetValid {
            not_before: not_before.as_secs(),
            now,
        },
        Error::UnsupportedCertVersion => CertificateError::V1Certificate {
            pinned: pinning_helps(trust, path),
        },
        Error::CaUsedAsEndEntity => CertificateError::CaUsedAsEndEntity {
            pinned: pinning_helps(trust, path),
        },
        Error::UnsupportedCriticalExtension => CertificateError::UnsupportedCriticalExtension,
        Error::RequiredEkuNotFound | Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            let purpose = purpose.oid();
            certificates
                .find_map(|certificate| Usage::of(&certificate).ok().filter(|usage| !usage.is_for(purpose)))
                .map_or(REFUSED, |usage| usage.wrong_purpose(purpose))
        }
        Error::NameConstraintViolation => CertificateError::NameConstraintViolation,
        Error::MaximumNameConstraintComparisonsExceeded => CertificateError::TooManyNameComparisons,
        Error::BadDerTime if certificates.any(|certificate| certificate.not_before.0 == 0) => {
            CertificateError::Malformed(CertError::Before1970)
        }
        Error::BadDerTime | Error::InvalidCertValidity => CertificateError::Malformed(CertError::Malformed("validity")),
        _ => REFUSED,
    }
}

/// For an error of webpki's that is unknown here.
const REFUSED: CertificateError = CertificateError::Malformed(CertError::Malformed("refused by webpki"));

/// Whether pinned verification would accept the leaf of a path: it is signed directly by a configured CA without name
/// constraints.
fn pinning_helps(trust: &Trust<'_>, path: &Path<'_, '_>) -> bool {
    let unconstrained = |ca: &Certificate<'_>| Usage::of(ca).is_ok_and(|usage| usage.name_constraints.is_none());
    trust.mode() == Mode::Strict
        && path.certificates.len() == 1
        && trust.anchors().iter().any(|der| der == path.anchor)
        && Certificate::from_der(path.anchor).is_ok_and(|ca| unconstrained(&ca))
}
