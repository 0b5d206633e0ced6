//! Chains as RFC 5280 has them, judged by webpki, its verdicts put into our words.

use core::net::IpAddr;
use core::time::Duration;

use rustls_pki_types::{CertificateDer, DnsName, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, Error, KeyUsage, VerifiedPath, anchor_from_trusted_cert};

use super::cert::{Certificate, subject};
use super::error::CertificateError;
use super::name::{self, ServerName};
use super::revocation;
use super::text::Text;
use super::usage::Usage;
use super::verify::{MAX_ANCHORS, MAX_CHAIN, MAX_ROOTS, Purpose, Trust, Vouched};
use super::work::Work;
use crate::crypto::verify::ALGORITHMS;

/// The most CAs that there are to judge by.
const MAX_CAS: usize = MAX_ANCHORS + MAX_ROOTS;

/// Judges a chain. `leaf` is its first certificate, already read.
pub(super) fn judge<'t, 'c>(
    trust: &Trust<'t>,
    chain: &[&'c [u8]],
    leaf: &Certificate<'_>,
    purpose: Purpose<'_>,
    now: u64,
    work: &Work,
) -> Result<Vouched<'t, 'c>, CertificateError> {
    let ders: heapless::Vec<CertificateDer<'_>, MAX_CHAIN> =
        chain.iter().map(|der| CertificateDer::from(*der)).collect();
    let (leaf_der, intermediates) = ders.split_first().ok_or(CertificateError::EmptyChain)?;
    let candidates = candidates(trust, chain);
    let anchor_ders: heapless::Vec<CertificateDer<'_>, MAX_CAS> =
        candidates.iter().map(|der| CertificateDer::from(*der)).collect();
    let mut anchors: heapless::Vec<TrustAnchor<'_>, MAX_CAS> = heapless::Vec::new();
    for der in &anchor_ders {
        let anchor = anchor_from_trusted_cert(der).map_err(|_| CertificateError::MalformedTrustAnchor)?;
        anchors.push(anchor).map_err(|_| CertificateError::TooManyConfigured)?;
    }
    let usage = match purpose {
        Purpose::Server(_) => KeyUsage::server_auth(),
        Purpose::Client => KeyUsage::client_auth(),
    };

    let explain = |error| explain(error, chain, leaf, purpose, now);
    let end_entity = EndEntityCert::try_from(leaf_der).map_err(explain)?;
    let time = UnixTime::since_unix_epoch(Duration::from_secs(now));
    let path = end_entity
        .verify_for_usage(ALGORITHMS, &anchors, intermediates, time, usage, None, Some(&may_issue))
        .map_err(explain)?;
    let root = anchors
        .iter()
        .zip(&candidates)
        .find(|(anchor, _)| core::ptr::eq(*anchor, path.anchor()))
        .map(|(_, der)| *der)
        .ok_or(CertificateError::MalformedTrustAnchor)?;
    check_crls(trust, root, &path, leaf, now, work)?;
    if !Usage::of(leaf)?.may_sign() {
        return Err(CertificateError::KeyMayNotSign);
    }
    let vouched = Vouched {
        root,
        leaf: chain.first().copied().unwrap_or_default(),
        issuer: signer(&path, chain),
        work: work.clone(),
    };
    let Purpose::Server(Some(wanted)) = purpose else {
        return Ok(vouched);
    };
    let mismatch = || name::mismatch(leaf, wanted, false);
    let wanted = match wanted {
        ServerName::Dns(name) => DnsName::try_from(name).map_err(|_| mismatch())?.into(),
        ServerName::Ip(IpAddr::V4(ip)) => rustls_pki_types::Ipv4Addr::from(ip.octets()).into(),
        ServerName::Ip(IpAddr::V6(ip)) => rustls_pki_types::Ipv6Addr::from(ip.segments()).into(),
    };
    end_entity
        .verify_is_valid_for_subject_name(&wanted)
        .map(|()| vouched)
        .map_err(|error| match error {
            Error::CertNotValidForName(_) => mismatch(),
            other => explain(other),
        })
}

/// Who has signed the leaf of a path that webpki has built: the first of its intermediates, `None` for its anchor.
fn signer<'c>(path: &VerifiedPath<'_>, chain: &[&'c [u8]]) -> Option<&'c [u8]> {
    let first = path.intermediate_certificates().next()?.der();
    chain.iter().copied().find(|der| *der == first.as_ref())
}

/// The configured CAs, and of the further ones those that have issued something in the chain, going by the name.
#[inline(never)] // what it needs of the stack is not to lie below webpki, which needs the most
fn candidates<'t>(trust: &Trust<'t>, chain: &[&[u8]]) -> heapless::Vec<&'t [u8], MAX_CAS> {
    let mut found: heapless::Vec<&[u8], MAX_CAS> = trust.anchors().iter().copied().take(MAX_ANCHORS).collect();
    if trust.roots().is_empty() {
        return found;
    }
    let issuers: heapless::Vec<&[u8], MAX_CHAIN> = chain
        .iter()
        .filter_map(|der| Certificate::from_der(der).ok())
        .map(|certificate| certificate.issuer.der)
        .take(MAX_CHAIN)
        .collect();
    let has_issued = |root: &[u8]| subject(root).is_some_and(|subject| issuers.contains(&subject));
    let roots = trust.roots().iter().copied().filter(|root| has_issued(root));
    found.extend(roots.take(MAX_ROOTS));
    found
}

/// Refuses a path in which a CA may not sign certificates (RFC 5280 §6.1.4 n), which webpki does not look at.
fn may_issue(path: &VerifiedPath<'_>) -> Result<(), Error> {
    let fit = |der: CertificateDer<'_>| Certificate::from_der(&der).is_ok_and(|issuer| !lacks_cert_sign(&issuer));
    if path.intermediate_certificates().all(|issuer| fit(issuer.der())) {
        Ok(())
    } else {
        Err(Error::EndEntityUsedAsCa)
    }
}

fn lacks_cert_sign(issuer: &Certificate<'_>) -> bool {
    Usage::of(issuer).is_ok_and(|usage| !usage.may_sign_certificates())
}

/// Asks all lists about every certificate of a path that webpki has built.
#[inline(never)] // as above
fn check_crls(
    trust: &Trust<'_>,
    root: &[u8],
    path: &VerifiedPath<'_>,
    leaf: &Certificate<'_>,
    now: u64,
    work: &Work,
) -> Result<(), CertificateError> {
    if trust.crls().is_empty() {
        return Ok(());
    }
    let mut ders: heapless::Vec<CertificateDer<'_>, MAX_CHAIN> = heapless::Vec::new();
    for intermediate in path.intermediate_certificates() {
        ders.push(intermediate.der())
            .map_err(|_| CertificateError::PathTooLong)?;
    }
    let mut certificate = leaf.clone();
    for der in &ders {
        revocation::check(trust, &certificate, der, now, work)?;
        certificate = Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
    }
    revocation::check(trust, &certificate, root, now, work)
}

/// Our word for webpki's, with the facts that webpki does not give without a heap.
#[inline(never)] // as above
#[allow(deprecated)] // the old forms of two errors, should webpki still use them
fn explain(error: Error, chain: &[&[u8]], leaf: &Certificate<'_>, purpose: Purpose<'_>, now: u64) -> CertificateError {
    let mut certificates = chain.iter().filter_map(|der| Certificate::from_der(der).ok());
    match error {
        Error::CertExpired { not_after, .. } => CertificateError::Expired {
            not_after: not_after.as_secs(),
            now,
        },
        Error::CertNotValidYet { not_before, .. } => CertificateError::NotYetValid {
            not_before: not_before.as_secs(),
            now,
        },
        Error::UnsupportedCertVersion => CertificateError::V1Certificate,
        Error::CaUsedAsEndEntity => CertificateError::CaUsedAsEndEntity,
        Error::EndEntityUsedAsCa => {
            let mut issuers = certificates.skip(1);
            match issuers.find(|issuer| issuer.ca != Some(true) || lacks_cert_sign(issuer)) {
                Some(issuer) if issuer.ca == Some(true) => CertificateError::CaMayNotIssue {
                    subject: Text::of(issuer.subject),
                },
                culprit => CertificateError::NotACa {
                    subject: Text::of(culprit.unwrap_or(leaf.clone()).subject),
                },
            }
        }
        Error::UnknownIssuer => CertificateError::UnknownIssuer {
            issuer: unknown_issuer(chain, leaf),
        },
        Error::InvalidSignatureForPublicKey => CertificateError::BadSignature,
        Error::UnsupportedSignatureAlgorithm
        | Error::UnsupportedSignatureAlgorithmContext(_)
        | Error::UnsupportedSignatureAlgorithmForPublicKey
        | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => CertificateError::UnsupportedSignatureAlgorithm,
        Error::UnsupportedCriticalExtension => CertificateError::UnsupportedCriticalExtension,
        Error::RequiredEkuNotFound | Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => {
            let purpose = purpose.oid();
            certificates
                .find_map(|certificate| Usage::of(&certificate).ok().filter(|usage| !usage.is_for(purpose)))
                .map_or(CertificateError::Malformed, |usage| usage.wrong_purpose(purpose))
        }
        Error::NameConstraintViolation => CertificateError::NameConstraintViolation,
        Error::PathLenConstraintViolated | Error::MaximumPathDepthExceeded => CertificateError::PathTooLong,
        Error::MaximumSignatureChecksExceeded
        | Error::MaximumPathBuildCallsExceeded
        | Error::MaximumNameConstraintComparisonsExceeded => CertificateError::TooComplex,
        _ => CertificateError::Malformed,
    }
}

/// Follows the chain upwards as far as it goes.
fn unknown_issuer(chain: &[&[u8]], leaf: &Certificate<'_>) -> Text {
    let mut last = leaf.clone();
    for _ in 0..MAX_CHAIN {
        let next = chain
            .iter()
            .skip(1)
            .filter_map(|der| Certificate::from_der(der).ok())
            .find(|issuer| issuer.subject == last.issuer && issuer.public_key != last.public_key);
        match next {
            Some(issuer) => last = issuer,
            None => break,
        }
    }
    Text::of(last.issuer)
}
