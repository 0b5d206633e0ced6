//! Verdicts on chains of certificates: who a peer is, and whether to believe it.
//!
//! Checked are the signatures up to a configured CA, dates, purposes, constraints, critical extensions, revocation by the
//! configured lists, and the name where one is expected. No memory is allocated (but by RSA, see feature `rsa`).
//! A client must besides be on the list of those who are allowed, where there is one.
//! The dates of the configured CAs themselves are not looked at here: being configured, they are trusted as they are
//! (RFC 5280 §6.1.1 d).

use der::asn1::ObjectIdentifier;

use super::allow::{KEY_HASH_TEXT, KeyHash, MAX_ALLOWED_SUBJECT, looks_like_key};
use super::anchor::{Anchor, AnchorFault};
use super::cert::Certificate;
pub use super::error::CertificateError;
pub use super::limits::{MAX_ANCHORS, MAX_CHAIN, MAX_CRLS, MAX_ROOTS};
pub use super::name::ServerName;
use super::text::Text;
use super::work::Work;
use super::{anchor, crl, name, pinned, signed, strict, usage, validity};
use crate::crypto::hash::{HashAlgorithm, Hasher};

/// Whom to trust, and how far.
#[derive(Debug, Clone, Copy)]
pub struct Trust<'a> {
    anchors: &'a [&'a [u8]],
    roots: &'a [&'a [u8]],
    crls: &'a [&'a [u8]],
    signed_crls: SignedCrls,
    mode: Mode,
    allowed: Option<&'a [&'a str]>,
    servers_too: bool,
}

/// Which revocation lists of a [`Trust`] one of its CAs has signed: [`Trust::signed_crls`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SignedCrls(u8);

const _: () = assert!(MAX_CRLS <= u8::BITS as usize);

impl SignedCrls {
    const NONE: Self = Self(0);

    /// The bit of the list with that number, from 0.
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

/// How chains are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Mode {
    /// As RFC 5280 and RFC 9525 have it: X.509 v3, names in subjectAltName, leaves that are no CA.
    #[default]
    Strict,
    /// Besides, a leaf that a configured CA has signed itself may be X.509 v1, have its name in CN if there is no
    /// subjectAltName, and say CA:TRUE. All else is checked as in [`Mode::Strict`].
    Pinned,
}

impl<'a> Trust<'a> {
    /// Trust in these CAs: certificates in DER, self-signed or not, v1 or v3; at most [`MAX_ANCHORS`].
    pub const fn new(anchors: &'a [&'a [u8]]) -> Self {
        Self {
            anchors,
            roots: &[],
            crls: &[],
            signed_crls: SignedCrls::NONE,
            mode: Mode::Strict,
            allowed: None,
            servers_too: false,
        }
    }

    /// With further CAs, by which chains are always judged as in [`Mode::Strict`]: as many as there are, for only those
    /// are looked at that bear the name of an issuer in the chain. [`root_fault`] tells which of them are of use.
    pub const fn with_roots(self, roots: &'a [&'a [u8]]) -> Self {
        let signed_crls = SignedCrls::NONE;
        Self {
            roots,
            signed_crls,
            ..self
        }
    }

    /// With revocation lists in DER (RFC 5280 §5; v1 or v2), at most [`MAX_CRLS`]. A list must be signed by the issuer it
    /// names, and be up to date when it is asked. An issuer without a list has revoked nothing.
    pub const fn with_crls(self, crls: &'a [&'a [u8]]) -> Self {
        let signed_crls = SignedCrls::NONE;
        Self {
            crls,
            signed_crls,
            ..self
        }
    }

    /// Verifies the signature of each revocation list by the configured CAs, for [`Trust::with_signed_crls`]. To be called
    /// once, where the configuration is loaded.
    pub fn signed_crls(&self) -> SignedCrls {
        let cas = || self.anchors.iter().chain(self.roots).copied();
        let is_signed = |der: &[u8]| {
            let crl = crl::Crl::from_der(der).ok()?;
            crl.check_signers(cas(), &Work::default())?.ok()
        };
        let crls = self.crls.iter().take(MAX_CRLS).enumerate();
        let signed = crls.filter(|(_, der)| is_signed(der).is_some());
        SignedCrls(signed.fold(0, |bits, (number, _)| bits | SignedCrls::bit(number)))
    }

    /// With what [`Trust::signed_crls`] has returned for the same CAs and lists: verdicts then do not verify the
    /// signatures of these lists again, nor spend their signature checks on them.
    pub const fn with_signed_crls(self, signed_crls: SignedCrls) -> Self {
        Self { signed_crls, ..self }
    }

    /// With another mode than [`Mode::Strict`].
    pub const fn with_mode(self, mode: Mode) -> Self {
        Self { mode, ..self }
    }

    /// Clients are let in only if they are on this list: by the subject of their certificate, whole and as
    /// [`PeerIdentity::subject`] has it (RFC 4514, of at most [`MAX_ALLOWED_SUBJECT`] bytes), or by their key, as
    /// [`KeyHash`] displays it. Servers are not concerned, but with [`Trust::with_servers_allowed`].
    pub const fn with_allowed(self, allowed: &'a [&'a str]) -> Self {
        Self {
            allowed: Some(allowed),
            ..self
        }
    }

    /// The list of [`Trust::with_allowed`] is for servers as well. It has to be where the part that a peer takes in TLS says
    /// nothing of who serves whom, or else one who is not on the list would take the other part.
    pub const fn with_servers_allowed(self) -> Self {
        Self {
            servers_too: true,
            ..self
        }
    }

    /// Whether a client that has proved to be this one is let in.
    pub fn allows(&self, client: &PeerIdentity) -> bool {
        let key = Text::<KEY_HASH_TEXT>::of(client.key());
        self.allowed.is_none_or(|allowed| {
            let mut whole = allowed.iter().filter(|entry| entry.len() <= MAX_ALLOWED_SUBJECT);
            // What looks like a key is never a subject: that is the peer's to choose, where it is an alternative name.
            whole.any(|entry| match looks_like_key(entry) {
                true => *entry == key.as_str(),
                false => *entry == client.subject.as_str(),
            })
        })
    }

    /// Adds to `hasher` all that a verdict depends on, except for the list of clients, which [`Trust::allows`] is asked
    /// about again: of two equal digests, equal chains get equal verdicts at one time.
    pub(crate) fn digest(&self, hasher: &mut Hasher) {
        let mut add = |bytes: &[u8]| {
            hasher.update(&(bytes.len() as u64).to_be_bytes());
            hasher.update(bytes);
        };
        add(&[self.mode as u8, self.servers_too.into()]);
        for list in [self.anchors, self.roots, self.crls] {
            add(&list.len().to_be_bytes());
            list.iter().for_each(|der| add(der));
        }
        let servers = self.allowed.filter(|_| self.servers_too).unwrap_or_default();
        servers.iter().for_each(|entry| add(entry.as_bytes()));
    }

    /// Whether the configured CAs and lists can be read at all: what configuration ought to refuse before a peer does.
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
        for der in self.anchors {
            Certificate::from_der(der).map_err(|_| CertificateError::MalformedTrustAnchor)?;
        }
        for der in self.crls {
            crl::Crl::from_der(der)?;
        }
        Ok(())
    }

    /// Judges `chain`, certificates in DER as the peer has sent them, its own first.
    ///
    /// # Errors
    /// The first thing that is wrong. In [`Mode::Pinned`], where the leaf names a configured CA as its issuer, that is
    /// what the pinned rule finds; else what the strict one does.
    pub fn verify(&self, chain: &[&[u8]], purpose: Purpose<'_>, clock: Clock) -> Result<(), CertificateError> {
        self.find_root(chain, purpose, clock).map(|_| ())
    }

    /// As [`Trust::verify`], and gives the CA that has vouched for the chain: a certificate in DER, one of those that this
    /// trust was made of.
    ///
    /// # Errors
    /// Those of [`Trust::verify`].
    pub fn find_root(&self, chain: &[&[u8]], purpose: Purpose<'_>, clock: Clock) -> Result<&'a [u8], CertificateError> {
        self.vouch(chain, purpose, clock).map(|vouched| vouched.root)
    }

    /// As [`Trust::find_root`], and tells what else there is to ask about a server's certificate: an OCSP response that
    /// comes stapled to it.
    ///
    /// # Errors
    /// Those of [`Trust::verify`].
    pub fn vouch<'c>(
        &self,
        chain: &[&'c [u8]],
        purpose: Purpose<'_>,
        clock: Clock,
    ) -> Result<Vouched<'a, 'c>, CertificateError> {
        self.vouch_counted(chain, purpose, clock, &Work::default())
    }

    /// As [`Trust::vouch`], and counts the work; it is added to what is in `work` already.
    pub(crate) fn vouch_counted<'c>(
        &self,
        chain: &[&'c [u8]],
        purpose: Purpose<'_>,
        clock: Clock,
        work: &Work,
    ) -> Result<Vouched<'a, 'c>, CertificateError> {
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
        let vouched = self.judge(chain, &leaf, purpose, now, work)?;
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
        Ok(vouched)
    }

    fn judge<'c>(
        &self,
        chain: &[&'c [u8]],
        leaf: &Certificate<'_>,
        purpose: Purpose<'_>,
        now: u64,
        work: &Work,
    ) -> Result<Vouched<'a, 'c>, CertificateError> {
        let error = match strict::judge(self, chain, leaf, purpose, now, work) {
            Ok(vouched) => return Ok(vouched),
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
        match pinned::judge(self, (leaf_der, leaf), purpose, now, work) {
            pinned::Verdict::Good(root) => Ok(Vouched {
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

    /// Those by which the pinned rule may judge.
    pub(super) const fn anchors(&self) -> &'a [&'a [u8]] {
        self.anchors
    }

    pub(super) const fn mode(&self) -> Mode {
        self.mode
    }

    pub(super) const fn roots(&self) -> &'a [&'a [u8]] {
        self.roots
    }

    pub(super) const fn crls(&self) -> &'a [&'a [u8]] {
        self.crls
    }

    /// Whether the list with that number, from 0, is known to be signed by a configured CA.
    pub(super) fn is_signed_crl(&self, number: usize) -> bool {
        self.signed_crls.contains(number)
    }
}

/// What has been found of a chain that is good.
#[derive(Debug, Clone)]
pub struct Vouched<'a, 'c> {
    /// The CA that has vouched for it: a certificate in DER, one of those that the trust was made of.
    pub root: &'a [u8],
    #[cfg_attr(not(feature = "ocsp"), expect(dead_code))]
    pub(super) leaf: &'c [u8],
    /// Who has signed the leaf, if that is not the root: one of the chain.
    #[cfg_attr(not(feature = "ocsp"), expect(dead_code))]
    pub(super) issuer: Option<&'c [u8]>,
    /// The last second of what it rests on, since 1970-01-01 00:00:00 UTC: the certificates of the path below the CA, and
    /// the revocation lists of their issuers.
    pub valid_until: u64,
    /// What that has cost.
    pub work: Work,
}

/// What a peer is to be, which its certificate must be good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// A server, of this name if it matters.
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

/// The time, and how far it can be believed. In seconds since 1970-01-01 00:00:00 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Clock {
    /// What the clock shows.
    pub now: u64,
    /// When this was built: a clock that shows an earlier time is wrong.
    pub floor: u64,
}

/// Who a peer is: what is kept of its certificate for as long as the session lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerIdentity {
    /// SHA-256 of its SubjectPublicKeyInfo.
    pub fingerprint: [u8; 32],
    /// The last second of its certificate's life, since 1970-01-01 00:00:00 UTC.
    pub not_after: u64,
    /// The subject of its certificate, or the first name in subjectAltName where that is empty.
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

    /// The hash of its key: an identity that outlives its certificates, and that nobody can claim without the key.
    pub const fn key(&self) -> KeyHash {
        KeyHash(self.fingerprint)
    }
}

/// What makes a certificate of no use for [`Trust::with_roots`] at `now`, if something does. Its own signature is not
/// looked at: that it is configured is what makes it a root (RFC 5280 §6.1).
pub fn root_fault(der: &[u8], now: u64) -> Option<RootFault> {
    let Ok(root) = Certificate::from_der(der) else {
        return Some(RootFault::Malformed);
    };
    let standing = anchor::check_certificate(&root);
    if standing == Ok(Anchor::Leaf) {
        return Some(RootFault::NotACa);
    }
    if now > root.not_after.0 {
        return Some(RootFault::Expired);
    }
    standing.err().map(RootFault::Anchor)
}

/// What makes a certificate of no use as a root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootFault {
    /// It cannot be read.
    Malformed,
    /// It does not say that it is a CA.
    NotACa,
    /// Its time is over.
    Expired,
    /// No configured CA is of use like this.
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

/// The subject of a certificate for people to read, as [`PeerIdentity::subject`]. Nothing is verified.
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

/// Whether a certificate of ours gives the name `host` (a DNS name or an IP address): in subjectAltName, or as the common
/// name if it has none. A wildcard stands for the left-most label.
pub fn matches_name(leaf_der: &[u8], host: &str) -> bool {
    let (Ok(leaf), Some(host)) = (Certificate::from_der(leaf_der), ServerName::parse(host)) else {
        return false;
    };
    name::gives(&leaf, host)
}

#[cfg(test)]
mod tests;
