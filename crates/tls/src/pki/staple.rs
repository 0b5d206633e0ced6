//! Stapled OCSP responses: whether one vouches for a server's certificate (RFC 6066 §8, RFC 6960 §3.2).
//!
//! A response counts if the issuer of the certificate has signed it, or a responder to whom that issuer has given the
//! right to, and if it is about this certificate and of today. One that came and does not count is a reason to refuse.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader};
use sha1::{Digest as _, Sha1};

use super::cert::{Certificate, outer};
use super::crl::Crl;
use super::error::{CertificateError, StapleFault};
use super::ocsp::{Answer, Responder, Response, Status};
use super::usage::{OCSP_SIGNING, TLS_FEATURE, Usage};
use super::verify::{Clock, Trust, Vouched};
use super::work::Work;
use super::{revocation, signed};
use crate::crypto::hash::HashAlgorithm;

/// How old a response may be that does not say when there will be news, in days.
pub const MAX_AGE: u64 = 7;
pub use super::crl::CLOCK_SKEW;

/// What there is to ask about a certificate, by itself: it outlives the certificates that it was made of.
pub struct Question {
    /// The hashes of the issuer's name and key, and that of the serial number.
    sha1: IssuerHashes<20>,
    sha256: IssuerHashes<32>,
    serial: [u8; 32],
    /// The issuer's SubjectPublicKeyInfo.
    issuer: heapless::Vec<u8, MAX_ISSUER_KEY>,
    demanded: bool,
    /// What the verdict on the chain has cost.
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

/// Who an issuer is, in one of the hash functions of CertID (RFC 6960 §4.1.1).
struct IssuerHashes<const N: usize> {
    name: [u8; N],
    key: [u8; N],
}

impl Question {
    /// About `leaf`, whose signature the key of `issuer` has been seen to have made; certificates in DER.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`], or [`CertificateError::UnsupportedSignatureAlgorithm`] for a key of the issuer's
    /// that is longer than any that is supported.
    pub(super) fn about(leaf: &[u8], issuer: &[u8], work: &Work) -> Result<Self, CertificateError> {
        let malformed = CertificateError::Malformed;
        let demanded = demands_staple(leaf);
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
            demanded,
            work: work.clone(),
        })
    }

    /// Judges the OCSPResponse that came with the certificate, in DER; `None` if none did. `trust` is that by which the
    /// certificate was found good, at the same time.
    ///
    /// # Errors
    /// [`CertificateError::RevokedByResponder`], [`CertificateError::Staple`], [`CertificateError::NoStaple`].
    pub fn answered(&self, staple: Option<&[u8]>, trust: &Trust<'_>, clock: Clock) -> Result<(), CertificateError> {
        match staple {
            Some(staple) => self.judge(staple, trust.crls(), clock.now, &self.work.clone()),
            None if self.demanded => Err(CertificateError::NoStaple),
            None => Ok(()),
        }
    }

    pub(super) fn judge(&self, staple: &[u8], crls: &[&[u8]], now: u64, work: &Work) -> Result<(), CertificateError> {
        let response = Response::from_der(staple)?;
        if response.critical {
            return Err(StapleFault::CriticalExtension.into());
        }
        self.check_signature(&response, crls, now, work)?;
        let mut found = false;
        for answer in response.answers() {
            let answer = answer?;
            if self.is_about(&answer) {
                // It may be there more than once, by different hashes: none may say anything else.
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

    /// The issuer has signed it, or somebody who may for the issuer (RFC 6960 §4.2.2.2).
    fn check_signature(
        &self,
        response: &Response<'_>,
        crls: &[&[u8]],
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
        crls: &[&[u8]],
        now: u64,
        work: &Work,
    ) -> Result<(), CertificateError> {
        if sha256(responder.issuer.der) != self.sha256.name {
            return Err(StapleFault::StrangeResponder.into());
        }
        signed::verify(
            responder.signature_algorithm,
            &self.issuer,
            responder.tbs,
            responder.signature,
            work,
        )
        .map_err(|error| fault(error, StapleFault::StrangeResponder))?;
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
        // They were found genuine and current when the certificate itself was judged by the same issuer's.
        let revoked = |der: &&[u8]| Crl::from_der(der).is_ok_and(|crl| crl.lists(responder) != Ok(false));
        if crls.iter().any(revoked) {
            return Err(StapleFault::ResponderRevoked.into());
        }
        Ok(())
    }
}

impl Vouched<'_, '_> {
    /// What is to be asked about the first certificate, for an answer that comes when the chain is gone.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`] or [`CertificateError::UnsupportedSignatureAlgorithm`], of an issuer that is
    /// odd in what nobody has looked at yet.
    #[inline(never)] // what it needs of the stack is not to lie below webpki, which needs the most
    pub fn question(&self) -> Result<Question, CertificateError> {
        Question::about(self.leaf, self.issuer.unwrap_or(self.root), &self.work)
    }

    /// As [`Question::answered`], for an answer that is there with the chain, or known not to come.
    ///
    /// # Errors
    /// Those of [`Vouched::question`] and [`Question::answered`].
    pub fn answered(&self, staple: Option<&[u8]>, trust: &Trust<'_>, clock: Clock) -> Result<(), CertificateError> {
        match staple {
            Some(_) => self.question()?.answered(staple, trust, clock),
            None if demands_staple(self.leaf) => Err(CertificateError::NoStaple),
            None => Ok(()),
        }
    }
}

/// Whether a certificate demands that an OCSP response comes with it (RFC 7633): it states the TLS feature
/// `status_request`. One that cannot be read demands nothing.
pub fn demands_staple(der: &[u8]) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        let mut features = certificate
            .extensions()
            .filter(|extension| extension.oid == TLS_FEATURE);
        // What is there and cannot be read may well be a demand.
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

/// What is said of the certificate, and when.
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

/// What is said of a signature that was not verified; `bad` if it is wrong.
fn fault(error: CertificateError, bad: StapleFault) -> CertificateError {
    match error {
        CertificateError::BadSignature => bad.into(),
        CertificateError::UnsupportedSignatureAlgorithm => StapleFault::UnsupportedSignatureAlgorithm.into(),
        other => other,
    }
}

/// A name for names and keys, which nobody gains anything by finding a second one for; not for signatures.
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
