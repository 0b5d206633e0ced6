//! Verification of certificate chains.
//!
//! It checks the signatures up to a configured CA, dates, purposes, constraints, critical extensions, revocation by the
//! configured lists, and the name if one is expected. A client must also be on the allow-list, if there is one. No memory
//! is allocated, except by RSA (feature `rsa`). The dates of configured CAs are not checked here (RFC 5280 §6.1.1 d).

use der::asn1::ObjectIdentifier;

use super::allow::{KEY_HASH_TEXT, KeyHash, MAX_ALLOWED_SUBJECT, looks_like_key};
use super::anchor::{Anchor, AnchorFault};
use super::cert::Certificate;
pub use super::der_list::DerList;
pub use super::error::CertificateError;
pub use super::limits::{MAX_ANCHORS, MAX_CHAIN, MAX_CRLS, MAX_ROOTS};
pub use super::name::ServerName;
use super::text::Text;
use super::work::Work;
use super::{anchor, crl, name, pinned, signed, strict, usage, validity};
use crate::crypto::hash::{HashAlgorithm, Hasher};

/// The trusted CAs, the revocation lists and the rules of verification.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    anchors: DerList<'a>,
    roots: DerList<'a>,
    crls: DerList<'a>,
    signed_crls: SignedCrls,
    mode: Mode,
    allowed: Option<&'a str>,
    servers_too: bool,
}

/// The revocation lists of a [`Trust`] that are known to be signed by one of its CAs: [`Trust::signed_crls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignedCrls(u8);

const _: () = assert!(MAX_CRLS <= u8::BITS as usize);

impl SignedCrls {
    const NONE: Self = Self(0);

    /// The bit of the list with this number, from 0.
    fn bit(number: usize) -> u8 {
        u32::try_from(number)
            .ok()
            .and_then(|number| 1_u8.checked_shl(number))
            .unwrap_or(0)
    }

    pub(super) fn contains(self, number: usize) -> bool {
        self.0 & Self::bit(number) != 0
    }
}

/// The rules by which chains are verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// RFC 5280 and RFC 9525: X.509 v3, names in subjectAltName, leaves that are not CAs.
    #[default]
    Strict,
    /// In addition, a leaf signed directly by a configured CA may be X.509 v1, have its name in CN if it has no
    /// subjectAltName, and have CA:TRUE. Everything else is checked as in [`Mode::Strict`].
    Pinned,
}

impl<'a> Trust<'a> {
    /// Trust in these CAs: certificates in DER, self-signed or not, v1 or v3; at most [`MAX_ANCHORS`].
    pub fn new(anchors: impl Into<DerList<'a>>) -> Self {
        Self {
            anchors: anchors.into(),
            roots: DerList::from(&[]),
            crls: DerList::from(&[]),
            signed_crls: SignedCrls::NONE,
            mode: Mode::Strict,
            allowed: None,
            servers_too: false,
        }
    }

    /// Adds CAs by which chains are always verified as in [`Mode::Strict`]. Their number is not limited, since only those
    /// with the name of an issuer in the chain are considered. [`root_fault`] reports the unusable ones.
    pub fn with_roots(self, roots: impl Into<DerList<'a>>) -> Self {
        let signed_crls = SignedCrls::NONE;
        Self {
            roots: roots.into(),
            signed_crls,
            ..self
        }
    }

    /// Adds revocation lists in DER (RFC 5280 §5; v1 or v2), at most [`MAX_CRLS`]. A list must be signed by the issuer it
    /// names, and be current when it is used. An issuer without a list has revoked nothing.
    pub fn with_crls(self, crls: impl Into<DerList<'a>>) -> Self {
        let signed_crls = SignedCrls::NONE;
        Self {
            crls: crls.into(),
            signed_crls,
            ..self
        }
    }

    /// Verifies the signature of each revocation list by the configured CAs, for [`Trust::with_signed_crls`]. Call it once,
    /// when the configuration is loaded.
    pub fn signed_crls(&self) -> SignedCrls {
        let cas = || self.anchors.iter().chain(self.roots.iter());
        let is_signed = |der: &[u8]| {
            let crl = crl::Crl::from_der(der).ok()?;
            crl.check_signers(cas(), &Work::default())?.ok()
        };
        let crls = self.crls.iter().take(MAX_CRLS).enumerate();
        let signed = crls.filter(|(_, der)| is_signed(der).is_some());
        SignedCrls(signed.fold(0, |bits, (number, _)| bits | SignedCrls::bit(number)))
    }

    /// Takes the result of [`Trust::signed_crls`] for the same CAs and lists, so that verification neither verifies the
    /// signatures of these lists again nor counts them.
    pub const fn with_signed_crls(self, signed_crls: SignedCrls) -> Self {
        Self { signed_crls, ..self }
    }

    /// Sets the mode; the default is [`Mode::Strict`].
    pub const fn with_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Sets the allow-list for clients, one entry a line: the whole subject of the certificate as in
    /// [`PeerIdentity::subject`] (RFC 4514, at most [`MAX_ALLOWED_SUBJECT`] bytes), or the key as [`KeyHash`] displays it.
    /// An empty list allows none. It applies to servers only with [`Trust::with_servers_allowed`].
    pub const fn with_allowed(self, allowed: &'a str) -> Self {
        Self {
            allowed: Some(allowed),
            ..self
        }
    }

    /// Applies the list of [`Trust::with_allowed`] to servers as well. Required where a peer may choose its TLS role:
    /// otherwise a peer that is not on the list could connect as the server.
    pub const fn with_servers_allowed(self) -> Self {
        Self {
            servers_too: true,
            ..self
        }
    }

    /// Whether the allow-list accepts this authenticated client.
    pub fn allows(&self, client: &PeerIdentity) -> bool {
        let key = Text::<KEY_HASH_TEXT>::of(client.key());
        self.allowed.is_none_or(|allowed| {
            let mut whole = allowed
                .lines()
                .filter(|entry| (1..=MAX_ALLOWED_SUBJECT).contains(&entry.len()));
            // An entry that looks like a key is never a subject: a peer may choose any alternative name as its subject.
            whole.any(|entry| match looks_like_key(entry) {
                true => entry == key.as_str(),
                false => entry == client.subject.as_str(),
            })
        })
    }

    /// Adds to `hasher` everything that the result depends on, except for the allow-list of clients, which
    /// [`Trust::allows`] checks again: with equal digests, equal chains get the same result at the same time.
    pub(crate) fn digest(&self, hasher: &mut Hasher) {
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        add(&[self.mode as u8, self.servers_too.into()]);
        for list in [self.anchors, self.roots, self.crls] {
            add(&list.len().to_be_bytes());
            list.iter().for_each(&mut add);
        }
        let servers = self.allowed.filter(|_| self.servers_too).unwrap_or_default();
        add(servers.as_bytes());
    }

    /// Checks that the configured CAs and lists can be parsed, so that a configuration is refused before a peer is.
    ///
    /// # Errors
    /// [`CertificateError::NoTrustAnchors`], [`CertificateError::TooManyConfigured`],
    /// [`CertificateError::MalformedTrustAnchor`] or [`CertificateError::MalformedCrl`].
    pub fn check(&self) -> Result<(), CertificateError> {
        if self.anchors.is_empty() && self.roots.is_empty() {
            return Err(CertificateError::NoTrustAnchors);
        }
        if self.anchors.len() > MAX_ANCHORS || self.crls.len() > MAX_CRLS {
            return Err(CertificateError::TooManyConfigured);
        }
        for der in self.anchors.iter() {
            Certificate::from_der(der).map_err(|_| CertificateError::MalformedTrustAnchor)?;
        }
        for der in self.crls.iter() {
            crl::Crl::from_der(der)?;
        }
        Ok(())
    }

    /// Verifies `chain`, certificates in DER as sent by the peer, its own first.
    ///
    /// # Errors
    /// The first fault. In [`Mode::Pinned`], if the leaf names a configured CA as its issuer, the fault found by the
    /// pinned rule, otherwise that of the strict one.
    pub fn verify(&self, chain: &[&[u8]], purpose: Purpose<'_>, clock: Clock) -> Result<(), CertificateError> {
        self.find_root(chain, purpose, clock).map(|_| ())
    }

    /// As [`Trust::verify`], and returns the CA at the end of the chain: one of the configured certificates, in DER.
    ///
    /// # Errors
    /// Those of [`Trust::verify`].
    pub fn find_root(&self, chain: &[&[u8]], purpose: Purpose<'_>, clock: Clock) -> Result<&'a [u8], CertificateError> {
        self.verify_chain(chain, purpose, clock).map(|verified| verified.root)
    }

    /// As [`Trust::find_root`], and returns what is needed to check a stapled OCSP response.
    ///
    /// # Errors
    /// Those of [`Trust::verify`].
    pub fn verify_chain<'c>(
        &self,
        chain: &[&'c [u8]],
        purpose: Purpose<'_>,
        clock: Clock,
    ) -> Result<VerifiedChain<'a, 'c>, CertificateError> {
        self.verify_chain_counted(chain, purpose, clock, &Work::default())
    }

    /// As [`Trust::verify_chain`], and adds the cost to `work`.
    pub(crate) fn verify_chain_counted<'c>(
        &self,
        chain: &[&'c [u8]],
        purpose: Purpose<'_>,
        clock: Clock,
        work: &Work,
    ) -> Result<VerifiedChain<'a, 'c>, CertificateError> {
        let leaf = chain.first().ok_or(CertificateError::EmptyChain)?;
        self.check()?;
        let Clock { now, floor } = clock;
        if now < floor {
            return Err(CertificateError::ClockWrong { now, floor });
        }
        if chain.len() > MAX_CHAIN {
            return Err(CertificateError::ChainTooLong { sent: chain.len() });
        }
        let leaf = Certificate::from_der(leaf).map_err(CertificateError::Malformed)?;
        let verified = self.verify_by_mode(chain, &leaf, purpose, now, work)?;
        if let Some(fault) = signed::key_fault(leaf.public_key.der) {
            return Err(CertificateError::Key(fault));
        }
        if purpose == Purpose::Client || self.servers_too {
            let client = PeerIdentity::of(&leaf);
            if !self.allows(&client) {
                return Err(CertificateError::NotAllowed {
                    subject: client.subject,
                });
            }
        }
        Ok(verified)
    }

    fn verify_by_mode<'c>(
        &self,
        chain: &[&'c [u8]],
        leaf: &Certificate<'_>,
        purpose: Purpose<'_>,
        now: u64,
        work: &Work,
    ) -> Result<VerifiedChain<'a, 'c>, CertificateError> {
        let error = match strict::verify(self, chain, leaf, purpose, now, work) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        if self.mode == Mode::Strict {
            return Err(error);
        }
        if matches!(
            error,
            CertificateError::TooComplex | CertificateError::TooManyNameComparisons
        ) {
            return Err(error);
        }
        let leaf_der = chain.first().copied().unwrap_or_default();
        match pinned::verify(self, (leaf_der, leaf), purpose, now, work) {
            pinned::Verdict::Good(root) => Ok(VerifiedChain {
                root,
                leaf: leaf_der,
                issuer: None,
                valid_until: validity::end_of(self, &[leaf_der], now),
                work: work.clone(),
            }),
            pinned::Verdict::Refused(reason) => Err(reason),
            pinned::Verdict::NotApplicable => Err(error),
        }
    }

    /// The CAs that the pinned rule may use.
    pub(super) const fn anchors(&self) -> DerList<'a> {
        self.anchors
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) const fn roots(&self) -> DerList<'a> {
        self.roots
    }

    pub(super) const fn crls(&self) -> DerList<'a> {
        self.crls
    }

    /// Whether the list with this number, from 0, is known to be signed by a configured CA.
    pub(super) fn is_signed_crl(&self, number: usize) -> bool {
        self.signed_crls.contains(number)
    }
}

/// The result of verifying a chain.
#[derive(Debug, Clone)]
pub struct VerifiedChain<'a, 'c> {
    /// The CA at its end: one of the configured certificates, in DER.
    pub root: &'a [u8],
    #[cfg_attr(not(feature = "ocsp"), expect(dead_code, reason = "for OCSP alone"))]
    pub(super) leaf: &'c [u8],
    /// The issuer of the leaf, if it is not the root: a certificate of the chain.
    #[cfg_attr(not(feature = "ocsp"), expect(dead_code, reason = "for OCSP alone"))]
    pub(super) issuer: Option<&'c [u8]>,
    /// The last second, since 1970-01-01 00:00:00 UTC, at which the certificates of the path below the CA and the
    /// revocation lists of their issuers are valid.
    pub valid_until: u64,
    /// The cost of the verification.
    pub work: Work,
}

/// The role of the peer, for which its certificate must be valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// A server, with this name if one is expected.
    Server(Option<ServerName<'a>>),
    /// A client.
    Client,
}

impl Purpose<'_> {
    pub(super) const fn oid(&self) -> ObjectIdentifier {
        match self {
            Self::Server(_) => usage::SERVER,
            Self::Client => usage::CLIENT,
        }
    }
}

/// The time and its plausible minimum, in seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// What the clock shows.
    pub now: u64,
    /// The time of the build: a clock that shows an earlier time is wrong.
    pub floor: u64,
}

/// The identity of a peer: the parts of its certificate that are stored with the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerIdentity {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub fingerprint: [u8; 32],
    /// The notAfter of its certificate, in seconds since 1970-01-01 00:00:00 UTC.
    pub not_after: u64,
    /// The subject of its certificate, or the first name in subjectAltName if the subject is empty.
    pub subject: Text<96>,
}

impl PeerIdentity {
    /// The identity in a certificate. Nothing is verified.
    ///
    /// # Errors
    /// [`CertificateError::Malformed`].
    pub fn from_leaf(der: &[u8]) -> Result<Self, CertificateError> {
        let leaf = Certificate::from_der(der).map_err(CertificateError::Malformed)?;
        Ok(Self::of(&leaf))
    }

    fn of(leaf: &Certificate<'_>) -> Self {
        let mut fingerprint = [0; 32];
        let hash = HashAlgorithm::Sha256.hash(leaf.public_key.der);
        for (to, from) in fingerprint.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self {
            fingerprint,
            not_after: leaf.not_after.0,
            subject: name::subject(leaf),
        }
    }

    /// The hash of its key: an identity that outlives its certificates and cannot be claimed without the key.
    pub const fn key(&self) -> KeyHash {
        KeyHash(self.fingerprint)
    }
}

/// Why a certificate cannot be used with [`Trust::with_roots`] at `now`. Its own signature is not checked: being
/// configured makes it a root (RFC 5280 §6.1).
pub fn root_fault(der: &[u8], now: u64) -> Option<RootFault> {
    let Ok(root) = Certificate::from_der(der) else {
        return Some(RootFault::Malformed);
    };
    let role = anchor::check_certificate(&root);
    if role == Ok(Anchor::Leaf) {
        return Some(RootFault::NotACa);
    }
    if now > root.not_after.0 {
        return Some(RootFault::Expired);
    }
    role.err().map(RootFault::Anchor)
}

/// Why a certificate cannot be used as a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootFault {
    /// It is malformed.
    Malformed,
    /// Its basicConstraints lack CA:TRUE.
    NotACa,
    /// It has expired.
    Expired,
    /// It could not be used as a configured CA either.
    Anchor(AnchorFault),
}

impl core::fmt::Display for RootFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Malformed => f.write_str("malformed"),
            Self::NotACa => f.write_str("not a CA"),
            Self::Expired => f.write_str("expired"),
            Self::Anchor(fault) => fault.fmt(f),
        }
    }
}

/// The subject of a certificate as text, as in [`PeerIdentity::subject`]. Nothing is verified.
pub fn subject_of(der: &[u8]) -> Text<96> {
    Certificate::from_der(der).map_or(Text::new("?"), |certificate| name::subject(&certificate))
}

/// The issuer of a certificate, as the DER of its Name. Nothing is verified.
pub(crate) fn issuer_of(der: &[u8]) -> Option<&[u8]> {
    super::cert::issuer(der)
}

/// The SubjectPublicKeyInfo of a certificate, as DER. Nothing is verified.
///
/// # Errors
/// [`CertificateError::Malformed`].
pub fn leaf_public_key(der: &[u8]) -> Result<&[u8], CertificateError> {
    let leaf = Certificate::from_der(der).map_err(CertificateError::Malformed)?;
    Ok(leaf.public_key.der)
}

/// Whether an own certificate contains the name `host` (a DNS name or an IP address): in subjectAltName, or as the common
/// name if it has no subjectAltName. A wildcard matches the left-most label.
pub fn matches_name(leaf_der: &[u8], host: &str) -> bool {
    let (Ok(leaf), Some(host)) = (Certificate::from_der(leaf_der), ServerName::parse(host)) else {
        return false;
    };
    name::matches_certificate(&leaf, host)
}

#[cfg(test)]
mod tests;
