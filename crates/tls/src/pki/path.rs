//! The path from the peer's certificate to a CA (RFC 5280 §6, RFC 4158).
//!
//! A peer chooses what it sends, and any certificate might have issued any other, so an unbounded search takes
//! exponential time. This one goes from the leaf upwards, by the name of the issuer and the key identifier if both
//! certificates have one, and verifies each signature before it continues, within the bounds of [`super::limits`].

use super::anchor::{self, Anchor, AnchorFault};
use super::cert::{Certificate, subject};
use super::error::CertificateError;
use super::limits::{MAX_ANCHORS, MAX_CHAIN, MAX_INTERMEDIATES, MAX_ROOTS, MAX_SAME_NAME};
use super::signed;
use super::text::Text;
use super::usage::Usage;
use super::verify::Trust;
use super::work::Work;

/// The most CAs to choose from.
const MAX_CAS: usize = MAX_ANCHORS + MAX_ROOTS;
/// The most certificates in a path, without the CA.
const MAX_PATH: usize = MAX_INTERMEDIATES + 1;

/// A path with verified signatures: the leaf, its intermediates from the leaf upwards, and the CA; in DER.
pub(super) struct Path<'t, 'c> {
    pub(super) certificates: heapless::Vec<&'c [u8], MAX_PATH>,
    pub(super) anchor: &'t [u8],
}

/// A search in progress; each call of [`Search::next`] continues it.
pub(super) struct Search<'t, 'c, 'w> {
    sent: &'w [&'c [u8]],
    cas: heapless::Vec<&'t [u8], MAX_CAS>,
    /// The path so far.
    steps: heapless::Vec<Step, MAX_PATH>,
    /// The most specific reason why there is no (other) path.
    refusal: (Weight, CertificateError),
    work: &'w Work,
}

/// A certificate of the path, and the state of the search for its issuer.
#[derive(Clone, Copy)]
struct Step {
    /// Its index among the certificates sent.
    at: usize,
    /// The next candidate: first the CAs, then the certificates sent.
    next: usize,
}

/// How specific a reason is: the greatest one is reported.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    /// No certificate has the name of the issuer, this many steps above the leaf.
    Unknown(usize),
    /// A candidate has the name, but did not issue the certificate or may not.
    Candidate,
    /// A candidate may be the issuer, but the path would exceed a limit.
    Limit,
    /// The path was complete, but refused.
    Path,
}

impl<'t, 'c, 'w> Search<'t, 'c, 'w> {
    /// A search from the first of `sent` upwards.
    pub(super) fn new(trust: &Trust<'t>, sent: &'w [&'c [u8]], work: &'w Work) -> Self {
        let mut steps = heapless::Vec::new();
        let _ = steps.push(Step { at: 0, next: 0 }); // it has room
        Self {
            sent,
            cas: candidates(trust, sent),
            steps,
            refusal: (Weight::Unknown(0), CertificateError::EmptyChain),
            work,
        }
    }

    /// The next path.
    ///
    /// # Errors
    /// If there is none, the most specific reason; or [`CertificateError::TooComplex`].
    #[inline(never)] // keeps its stack frame out of webpki's callers; webpki needs the most stack
    pub(super) fn next(&mut self) -> Result<Path<'t, 'c>, CertificateError> {
        while let Some(step) = self.steps.last().copied() {
            let der = self.sent.get(step.at).copied().unwrap_or_default();
            let Ok(certificate) = Certificate::from_der(der) else {
                self.steps.pop();
                continue;
            };
            if step.next == 0 {
                let issuer = Text::of(certificate.issuer);
                let weight = Weight::Unknown(self.steps.len());
                self.refuse(weight, CertificateError::UnknownIssuer { issuer });
            }
            match self.climb(&certificate, step)? {
                Climb::Anchor(anchor) => {
                    let path = self.steps.iter().filter_map(|step| self.sent.get(step.at).copied());
                    return Ok(Path {
                        certificates: path.collect(),
                        anchor,
                    });
                }
                Climb::Step(at) => {
                    let _ = self.steps.push(Step { at, next: 0 }); // `check_intermediate` has checked the room
                }
                Climb::Nowhere => {
                    self.steps.pop();
                }
            }
        }
        Err(self.refusal.1)
    }

    /// Records why the path last returned is refused.
    pub(super) fn refuse_path(&mut self, error: CertificateError) {
        self.refuse(Weight::Path, error);
    }

    fn refuse(&mut self, weight: Weight, error: CertificateError) {
        if weight > self.refusal.0 || self.refusal.1 == CertificateError::EmptyChain {
            self.refusal = (weight, error);
        }
    }

    /// Looks for the next issuer of the certificate of the last step.
    fn climb(&mut self, certificate: &Certificate<'_>, step: Step) -> Result<Climb<'t>, CertificateError> {
        let cas = self.cas.len();
        for number in step.next..cas.saturating_add(self.sent.len()) {
            if let Some(last) = self.steps.last_mut() {
                last.next = number.saturating_add(1);
            }
            let (ca, at) = (self.cas.get(number).copied(), number.saturating_sub(cas));
            let Some(der) = ca.or_else(|| self.sent.get(at).copied()) else {
                continue;
            };
            self.work.add_step();
            if subject(der) != Some(certificate.issuer.der) || (ca.is_none() && at == 0) {
                continue;
            }
            let Ok(issuer) = Certificate::from_der(der) else {
                continue;
            };
            let verdict = match ca {
                Some(_) => self.check_anchor(der, &issuer),
                None => self.check_intermediate(at, &issuer),
            };
            let signed = verdict.and_then(|()| self.check_signature(certificate, &issuer));
            match (signed, ca) {
                (Ok(()), Some(anchor)) => return Ok(Climb::Anchor(anchor)),
                (Ok(()), None) => return Ok(Climb::Step(at)),
                (Err(CertificateError::TooComplex), _) => return Err(CertificateError::TooComplex),
                // The candidate is already in the path.
                (Err(CertificateError::UnknownIssuer { .. }), _) => {}
                (
                    Err(error @ (CertificateError::TooManyIntermediates | CertificateError::TooManyOfOneName { .. })),
                    _,
                ) => {
                    self.refuse(Weight::Limit, error);
                }
                (Err(error), _) => self.refuse(Weight::Candidate, error),
            }
        }
        Ok(Climb::Nowhere)
    }

    /// Whether a configured CA may issue the certificate of the last step.
    fn check_anchor(&self, der: &[u8], ca: &Certificate<'_>) -> Result<(), CertificateError> {
        let fault = match anchor::check_certificate(ca) {
            Ok(Anchor::Ca) => return Ok(()),
            Ok(Anchor::Leaf) if self.steps.len() == 1 && self.sent.first() == Some(&der) => return Ok(()),
            Ok(Anchor::Leaf) => AnchorFault::NotACa,
            Err(fault) => fault,
        };
        Err(CertificateError::UnusableAnchor {
            subject: Text::of(ca.subject),
            fault,
        })
    }

    /// Whether a certificate sent by the peer may issue the one of the last step, and fits into the path.
    fn check_intermediate(&self, at: usize, issuer: &Certificate<'_>) -> Result<(), CertificateError> {
        let mut namesakes = 0_usize;
        for step in self.steps.iter().filter(|step| step.at > 0) {
            let der = self.sent.get(step.at).copied().unwrap_or_default();
            let Ok(below) = Certificate::from_der(der) else {
                continue;
            };
            if below.subject != issuer.subject {
                continue;
            }
            if step.at == at || below.public_key == issuer.public_key {
                // A loop (RFC 4158 §5.2).
                return Err(CertificateError::UnknownIssuer {
                    issuer: Text::of(issuer.subject),
                });
            }
            namesakes = namesakes.saturating_add(1);
        }
        let subject = || Text::of(issuer.subject);
        if issuer.version < 3 {
            return Err(CertificateError::V1Issuer { subject: subject() });
        }
        if !issuer.is_ca() {
            return Err(CertificateError::NotACa { subject: subject() });
        }
        if !Usage::of(issuer)?.may_sign_certificates() {
            return Err(CertificateError::CaMayNotIssue { subject: subject() });
        }
        if let Some(fault) = signed::key_fault(issuer.public_key.der) {
            return Err(CertificateError::IssuerKey {
                subject: subject(),
                fault,
            });
        }
        if namesakes >= MAX_SAME_NAME {
            return Err(CertificateError::TooManyOfOneName { subject: subject() });
        }
        if self.steps.is_full() {
            return Err(CertificateError::TooManyIntermediates);
        }
        Ok(())
    }

    fn check_signature(&self, certificate: &Certificate<'_>, issuer: &Certificate<'_>) -> Result<(), CertificateError> {
        let ids = certificate.authority_key_id().zip(issuer.subject_key_id());
        if ids.is_some_and(|(wanted, given)| wanted != given) {
            return Err(CertificateError::BadSignature);
        }
        let (algorithm, spki) = (certificate.signature_algorithm, issuer.public_key.der);
        signed::verify(algorithm, spki, certificate.tbs, certificate.signature, self.work)
    }
}

/// The result of the search for an issuer.
enum Climb<'t> {
    /// A CA.
    Anchor(&'t [u8]),
    /// A certificate that was sent, by index.
    Step(usize),
    /// None.
    Nowhere,
}

/// The configured CAs, and the further roots that have the name of an issuer in the chain.
#[inline(never)] // as above
fn candidates<'t>(trust: &Trust<'t>, chain: &[&[u8]]) -> heapless::Vec<&'t [u8], MAX_CAS> {
    let mut found: heapless::Vec<&[u8], MAX_CAS> = trust.anchors().iter().take(MAX_ANCHORS).collect();
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
    let roots = trust.roots().iter().filter(|root| has_issued(root));
    found.extend(roots.take(MAX_ROOTS));
    found
}
