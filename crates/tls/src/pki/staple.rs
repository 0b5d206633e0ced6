//! Checks of stapled OCSP responses (RFC 6066 §8, RFC 6960 §3.2).
//!
//! A response is accepted if it is signed by the issuer of the certificate, or by a responder that the issuer authorised,
//! and if it is current and for this certificate. Any other response is a reason to refuse the certificate.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader};
use sha1::{Digest as _, Sha1};

use super::cert::{Certificate, outer};
use super::crl::Crl;
use super::error::{CertificateError, StapleFault};
use super::ocsp::{Answer, Responder, Response, Status};
use super::usage::{OCSP_SIGNING, TLS_FEATURE, Usage};
use super::verify::{Clock, DerList, Trust, VerifiedChain};
use super::work::Work;
use super::{revocation, signed};
use crate::crypto::hash::HashAlgorithm;

/// The greatest age of a response without nextUpdate, in days.
pub const MAX_AGE: u64 = 7;
pub use super::crl::CLOCK_SKEW;

/// The check of a certificate's OCSP response. It does not borrow from the chain.
pub struct StapleCheck {
    /// The hashes of the issuer's name and key, and that of the serial number.
    sha1: IssuerHashes<20>,
    sha256: IssuerHashes<32>,
    serial: [u8; 32],
    /// The issuer's SubjectPublicKeyInfo.
    issuer: heapless::Vec<u8, MAX_ISSUER_KEY>,
    required: bool,
    /// The cost of verifying the chain.
    work: Work,
}

/// The longest SubjectPublicKeyInfo of an issuer, in bytes: RSA-4096 takes 550.
const MAX_ISSUER_KEY: usize = 600;
const DAY: u64 = 24 * 60 * 60;

/// id-sha1 (RFC 3279 §2.2.1).
const SHA1: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.14.3.2.26");
/// id-sha256 (RFC 5754 §2.2).
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
/// The feature `status_request`: the number of the extension (RFC 7633 §4).
const STATUS_REQUEST: u64 = 5;

/// An issuer's name and key, by one of the hash functions of CertID (RFC 6960 §4.1.1).
struct IssuerHashes<const N: usize> {
    name: [u8; N],
    key: [u8; N],
}

impl StapleCheck {
    /// For `leaf`, whose signature was verified with the key of `issuer`; certificates in DER.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`], or [`CertificateError::UnsupportedSignatureAlgorithm`] if the issuer's key is
    /// longer than any supported one.
    pub(super) fn about(leaf: &[u8], issuer: &[u8], work: &Work) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed;
        let required = requires_staple(leaf);
        let leaf = Certificate::from_der(leaf).map_err(malformed)?;
        let issuer = Certificate::from_der(issuer).map_err(malformed)?;
        let (name, key) = (leaf.issuer.der, issuer.public_key.bits);
        Ok(Self {
            sha1: IssuerHashes {
                name: sha1(name),
                key: sha1(key),
            },
            sha256: IssuerHashes {
                name: sha256(name),
                key: sha256(key),
            },
            serial: sha256(leaf.serial),
            issuer: heapless::Vec::from_slice(issuer.public_key.der)
                .map_err(|_| CertificateError::UnsupportedSignatureAlgorithm)?,
            required,
            work: work.clone(),
        })
    }

    /// Checks the OCSPResponse sent with the certificate, in DER; `None` if there was none. `trust` must be the one that
    /// verified the chain.
    ///
    /// # Errors
    /// [`CertificateError::RevokedByResponder`], [`CertificateError::Staple`], [`CertificateError::NoStaple`].
    pub fn check(&self, staple: Option<&[u8]>, trust: &Trust<'_>, clock: Clock) -> Result<(), CertificateError> {
        match staple {
            Some(staple) => self.check_response(staple, trust.crls(), clock.now, &self.work.clone()),
            None if self.required => Err(CertificateError::NoStaple),
            None => Ok(()),
        }
    }

    pub(super) fn check_response(
        &self,
        staple: &[u8],
        crls: DerList<'_>,
        now: u64,
        work: &Work,
    ) -> Result<(), CertificateError> {
        let response = Response::from_der(staple)?;
        if response.critical {
            return Err(StapleFault::CriticalExtension.into());
        }
        self.check_signature(&response, crls, now, work)?;
        let mut found = false;
        for answer in response.answers() {
            let answer = answer?;
            if self.is_about(&answer) {
                // It may occur more than once, by different hashes; every entry must be good.
                found = true;
                check(&answer, now)?;
            }
        }
        if found {
            Ok(())
        } else {
            Err(StapleFault::OtherCertificate.into())
        }
    }

    fn is_about(&self, answer: &Answer<'_>) -> bool {
        let issuer = (answer.issuer_name, answer.issuer_key);
        let same_issuer = match answer.algorithm {
            SHA1 => issuer == (&self.sha1.name, &self.sha1.key),
            SHA256 => issuer == (&self.sha256.name, &self.sha256.key),
            _ => false,
        };
        same_issuer && sha256(answer.serial) == self.serial
    }

    /// The response is signed by the issuer, or by a responder that it authorised (RFC 6960 §4.2.2.2).
    fn check_signature(
        &self,
        response: &Response<'_>,
        crls: DerList<'_>,
        now: u64,
        work: &Work,
    ) -> Result<(), CertificateError> {
        let by_issuer = match response.responder {
            Responder::Name(name) => sha256(name) == self.sha256.name,
            Responder::Key(key) => key == self.sha1.key,
        };
        if by_issuer {
            return verify(response, &self.issuer, work);
        }
        let names = |certificate: &Certificate<'_>| match response.responder {
            Responder::Name(name) => certificate.subject.der == name,
            Responder::Key(key) => key == sha1(certificate.public_key.bits),
        };
        let mut certificates = response
            .certificates()
            .filter_map(|der| Certificate::from_der(der).ok());
        let responder = certificates.find(names).ok_or(StapleFault::UnknownResponder)?;
        self.check_responder(&responder, crls, now, work)?;
        verify(response, responder.public_key.der, work)
    }

    fn check_responder(
        &self,
        responder: &Certificate<'_>,
        crls: DerList<'_>,
        now: u64,
        work: &Work,
    ) -> Result<(), CertificateError> {
        if sha256(responder.issuer.der) != self.sha256.name {
            return Err(StapleFault::ForeignResponder.into());
        }
        signed::verify(
            responder.signature_algorithm,
            &self.issuer,
            responder.tbs,
            responder.signature,
            work,
        )
        .map_err(|error| fault(error, StapleFault::ForeignResponder))?;
        let usage = Usage::of(responder).map_err(|_| StapleFault::Malformed("certs"))?;
        if !usage.states(OCSP_SIGNING) || !usage.may_sign() {
            return Err(StapleFault::ResponderMayNotSign.into());
        }
        if usage.unknown_critical() {
            return Err(StapleFault::CriticalExtension.into());
        }
        let (not_before, not_after) = (responder.not_before.0, responder.not_after.0);
        if not_before > now.saturating_add(CLOCK_SKEW) {
            return Err(StapleFault::ResponderNotYetValid { not_before, now }.into());
        }
        if now > not_after {
            return Err(StapleFault::ResponderExpired { not_after, now }.into());
        }
        // The lists were found genuine and current when the certificate, which has the same issuer, was verified.
        let revoked = |der: &[u8]| Crl::from_der(der).is_ok_and(|crl| crl.lists(responder) != Ok(false));
        if crls.iter().any(revoked) {
            return Err(StapleFault::ResponderRevoked.into());
        }
        Ok(())
    }
}

impl VerifiedChain<'_, '_> {
    /// The check of an OCSP response that arrives when the chain is no longer in memory.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] or [`CertificateError::UnsupportedSignatureAlgorithm`], for a fault in a field of
    /// the issuer that verification does not read.
    #[inline(never)] // keeps its stack frame out of webpki's callers; webpki needs the most stack
    pub fn staple_check(&self) -> Result<StapleCheck, CertificateError> {
        StapleCheck::about(self.leaf, self.issuer.unwrap_or(self.root), &self.work)
    }

    /// As [`StapleCheck::check`], for a response that was sent with the chain, or is known to be missing.
    ///
    /// # Errors
    /// Those of [`VerifiedChain::staple_check`] and [`StapleCheck::check`].
    pub fn check_staple(&self, staple: Option<&[u8]>, trust: &Trust<'_>, clock: Clock) -> Result<(), CertificateError> {
        match staple {
            Some(_) => self.staple_check()?.check(staple, trust, clock),
            None if requires_staple(self.leaf) => Err(CertificateError::NoStaple),
            None => Ok(()),
        }
    }
}

/// Whether a certificate requires a stapled OCSP response (RFC 7633): it lists the TLS feature `status_request`. One that
/// cannot be parsed requires nothing.
pub fn requires_staple(der: &[u8]) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        let mut features = certificate
            .extensions()
            .filter(|extension| extension.oid == TLS_FEATURE);
        // A malformed extension may be the requirement.
        features.any(|extension| lists_status_request(extension.value).unwrap_or(true))
    })
}

/// Features ::= SEQUENCE OF INTEGER.
fn lists_status_request(der: &[u8]) -> der::Result<bool> {
    let (mut features, trailing) = outer(der)?;
    SliceReader::new(trailing)?.finish()?;
    let mut found = false;
    while !features.is_finished() {
        found |= u64::decode(&mut features)? == STATUS_REQUEST;
    }
    Ok(found)
}

/// Checks the status of the certificate and its dates.
fn check(answer: &Answer<'_>, now: u64) -> Result<(), CertificateError> {
    let this_update = answer.this_update;
    if answer.critical {
        return Err(StapleFault::CriticalExtension.into());
    }
    if this_update > now.saturating_add(CLOCK_SKEW) {
        return Err(StapleFault::NotYetValid { this_update, now }.into());
    }
    match answer.next_update {
        Some(next_update) if now > next_update => return Err(StapleFault::Expired { next_update, now }.into()),
        None if now.saturating_sub(this_update) > MAX_AGE * DAY => {
            return Err(StapleFault::TooOld { this_update, now }.into());
        }
        _ => {}
    }
    match answer.status {
        Status::Good => Ok(()),
        Status::Revoked { at, reason } => Err(CertificateError::RevokedByResponder {
            serial: revocation::digits(answer.serial),
            at,
            reason,
        }),
        Status::Unknown => Err(StapleFault::UnknownCertificate.into()),
    }
}

fn verify(response: &Response<'_>, spki: &[u8], work: &Work) -> Result<(), CertificateError> {
    let signature = response.signature;
    signed::verify(response.signature_algorithm, spki, response.tbs, signature, work)
        .map_err(|error| fault(error, StapleFault::BadSignature))
}

/// Maps the error of a signature check; `bad` stands for a wrong signature.
fn fault(error: CertificateError, bad: StapleFault) -> CertificateError {
    match error {
        CertificateError::BadSignature => bad.into(),
        CertificateError::UnsupportedSignatureAlgorithm => StapleFault::UnsupportedSignatureAlgorithm.into(),
        other => other,
    }
}

/// Only names issuers and keys, for which a collision gains an attacker nothing; not for signatures.
pub(super) fn sha1(data: &[u8]) -> [u8; 20] {
    Sha1::digest(data).into()
}

fn sha256(data: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    for (to, from) in hash.iter_mut().zip(HashAlgorithm::Sha256.hash(data).as_ref()) {
        *to = *from;
    }
    hash
}
