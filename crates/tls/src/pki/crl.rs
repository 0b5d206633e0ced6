//! Parsing and checks of revocation lists, versions 1 and 2 (RFC 5280 §5).

use core::fmt;

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader, Tag};

use super::cert::{
    AUTHORITY_KEY_ID, Certificate, Date, Extension, Name, context, extension, has_critical, key_id, octets, outer,
    rest, sequence, serial, time,
};
use super::error::CertificateError;
use super::signed;
use super::text::Hex;
use super::usage::Usage;
use super::work::Work;

/// The greatest age of a list without nextUpdate, in days. RFC 5280 §5.1.2.5 requires nextUpdate, but `openssl ca` can
/// omit it.
pub const MAX_AGE: u64 = 30;
/// How far the clock of an issuer may be ahead of ours, in seconds: the tolerance for notBefore of certificates and for
/// thisUpdate of revocation lists and OCSP responses. The ends, notAfter and nextUpdate, have none.
pub const CLOCK_SKEW: u64 = 300;
const DAY: u64 = 24 * 60 * 60;

/// A revocation list, parsed from its DER.
pub struct Crl<'a> {
    /// 1 or 2.
    pub version: u8,
    /// The issuer.
    pub issuer: Name<'a>,
    /// thisUpdate.
    pub this_update: Date,
    /// nextUpdate, if present: the list expires then.
    pub next_update: Option<Date>,
    /// cRLNumber, if present.
    pub number: Option<CrlNumber<'a>>,
    /// The content of revokedCertificates.
    revoked: &'a [u8],
    /// Why it cannot be used, if so.
    pub unsupported: Option<Unsupported>,
    /// The identifier of the signing key, if present.
    authority_key_id: Option<&'a [u8]>,
    /// The value of issuingDistributionPoint: which of several lists of one CA it is (§5.2.5).
    distribution_point: Option<&'a [u8]>,
    pub(super) tbs: &'a [u8],
    pub(super) signature_algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> Crl<'a> {
    /// Parses a list, except for its entries.
    ///
    /// # Errors
    /// [`CertificateError::MalformedCrl`].
    pub fn from_der(der: &'a [u8]) -> Result<Self, CertificateError> {
        Self::read(der).map_err(|_| CertificateError::MalformedCrl)
    }

    fn read(der: &'a [u8]) -> der::Result<Self> {
        let (mut list, trailing) = outer(der)?;
        SliceReader::new(trailing)?.finish()?;
        let tbs = list.tlv_bytes()?;
        let signature_algorithm = list.tlv_bytes()?;
        let signature = octets(&mut list)?;
        list.finish()?;

        let (mut r, _) = outer(tbs)?;
        let version = match Tag::peek(&r)? {
            Tag::Integer if u8::decode(&mut r)? == 1 => 2,
            Tag::Integer => return Err(Tag::Integer.value_error().into()),
            _ => 1,
        };
        if r.tlv_bytes()? != signature_algorithm {
            return Err(Tag::Sequence.value_error().into());
        }
        let issuer = Name::read(&mut r)?;
        let this_update = time(&mut r)?;
        let next = |r: &SliceReader<'_>| {
            if r.is_finished() {
                Ok(None)
            } else {
                Tag::peek(r).map(Some)
            }
        };
        let next_update = match next(&r)? {
            Some(Tag::UtcTime | Tag::GeneralizedTime) => Some(time(&mut r)?),
            _ => None,
        };
        let revoked = match next(&r)? {
            Some(Tag::Sequence) => rest(&sequence(&mut r)?)?,
            _ => &[],
        };
        let (mut unsupported, mut number) = (None, None);
        let (mut authority_key_id, mut distribution_point) = (None, None);
        if version == 2
            && let Some(mut wrapper) = context(&mut r, true, 0)?
        {
            let mut extensions = sequence(&mut wrapper)?;
            while !extensions.is_finished() {
                let Extension {
                    oid,
                    critical: must,
                    value,
                } = extension(&mut extensions)?;
                let found = match oid {
                    CRL_NUMBER => {
                        number = Some(CrlNumber::read(value)?);
                        None
                    }
                    AUTHORITY_KEY_ID => {
                        authority_key_id = key_id(value);
                        None
                    }
                    DELTA_CRL_INDICATOR => Some(Unsupported::Delta),
                    ISSUING_DISTRIBUTION_POINT => {
                        distribution_point = Some(value);
                        scope(value)?
                    }
                    _ => must.then_some(Unsupported::CriticalExtension(oid)),
                };
                unsupported = unsupported.or(found);
            }
            wrapper.finish()?;
        }
        r.finish()?;
        Ok(Self {
            version,
            issuer,
            this_update,
            next_update,
            number,
            revoked,
            unsupported,
            authority_key_id,
            distribution_point,
            tbs,
            signature_algorithm,
            signature,
        })
    }

    /// Whether `ca` may have signed it: the names match, and the key identifiers if both have one (§5.2.1).
    pub(super) fn may_be_by(&self, ca: &Certificate<'_>) -> bool {
        let ids = self.authority_key_id.zip(ca.subject_key_id());
        self.issuer == ca.subject && ids.is_none_or(|(wanted, given)| wanted == given)
    }

    /// Whether its type is supported and it is current at `now`. [`Crl::check_signature`] checks its signature.
    ///
    /// # Errors
    /// [`CertificateError::UnsupportedCrl`], [`CertificateError::CrlExpired`], [`CertificateError::CrlTooOld`],
    /// [`CertificateError::CrlNotYetValid`].
    pub(super) fn check_current(&self, now: u64) -> Result<(), CertificateError> {
        if let Some(why) = self.unsupported {
            return Err(CertificateError::UnsupportedCrl(why));
        }
        let this_update = self.this_update.0;
        if this_update > now.saturating_add(CLOCK_SKEW) {
            return Err(CertificateError::CrlNotYetValid { this_update, now });
        }
        match self.next_update {
            Some(Date(next_update)) if now >= next_update => Err(CertificateError::CrlExpired { next_update, now }),
            None if now.saturating_sub(this_update) > MAX_AGE * DAY => {
                Err(CertificateError::CrlTooOld { this_update, now })
            }
            _ => Ok(()),
        }
    }

    /// The last second at which [`Crl::check_current`] gives the same result as at `now`, for a list that it does not refuse
    /// for its age.
    pub(super) fn unchanged_until(&self, now: u64) -> u64 {
        let Date(this_update) = self.this_update;
        let begins = this_update.saturating_sub(CLOCK_SKEW);
        if now < begins {
            begins.saturating_sub(1)
        } else {
            self.expiry().0.saturating_sub(1)
        }
    }

    /// The first second at which it has expired: nextUpdate, or after [`MAX_AGE`] days if it has none.
    #[must_use]
    pub const fn expiry(&self) -> Date {
        match self.next_update {
            Some(next_update) => next_update,
            None => Date(self.this_update.0.saturating_add(MAX_AGE * DAY + 1)),
        }
    }

    /// Checks that `ca` signed it and may sign lists (§6.3.3 f, g).
    ///
    /// # Errors
    /// [`CertificateError::CrlBadSignature`], [`CertificateError::CrlUnsupportedSignature`],
    /// [`CertificateError::CrlIssuerMayNotSign`], [`CertificateError::TooComplex`].
    pub(super) fn check_signature(&self, ca: &Certificate<'_>, work: &Work) -> Result<(), CertificateError> {
        let spki = ca.public_key.der;
        signed::verify(self.signature_algorithm, spki, self.tbs, self.signature, work).map_err(
            |error| match error {
                CertificateError::BadSignature => CertificateError::CrlBadSignature,
                CertificateError::UnsupportedSignatureAlgorithm => CertificateError::CrlUnsupportedSignature,
                other => other,
            },
        )?;
        // A certificate of version 1 or 2 has no basicConstraints; one of version 3 must be a CA's.
        if !ca.is_ca() || !Usage::of(ca)?.may_sign_crls() {
            return Err(CertificateError::CrlIssuerMayNotSign);
        }
        Ok(())
    }

    /// Checks that one of `cas`, in DER, signed it. `None` if none of them has its issuer's name.
    pub(super) fn check_signers<'c>(
        &self,
        cas: impl Iterator<Item = &'c [u8]>,
        work: &Work,
    ) -> Option<Result<(), CertificateError>> {
        let mut verdict = None;
        for ca in cas.filter_map(|der| Certificate::from_der(der).ok()) {
            let found = match self.may_be_by(&ca) {
                true => self.check_signature(&ca, work),
                false if self.issuer == ca.subject => Err(CertificateError::CrlBadSignature),
                false => continue,
            };
            // Of two CAs with the same name, the error of the one that signed is the relevant one.
            match (found, verdict) {
                (Ok(()), _) => return Some(Ok(())),
                (Err(CertificateError::CrlBadSignature), Some(_)) => {}
                (Err(error), _) => verdict = Some(Err(error)),
            }
        }
        verdict
    }

    /// Reads all entries.
    ///
    /// # Errors
    /// [`CertificateError::MalformedCrl`], or [`CertificateError::UnsupportedCrl`] if an entry has a critical extension.
    pub fn check_entries(&self) -> Result<(), CertificateError> {
        // No serial number is empty.
        self.find(&[]).map(|_| ())
    }

    /// Whether both are from the same CA and `other` is newer: by thisUpdate, and by cRLNumber if both have one and belong
    /// to the same series, which has one key and one distribution point (§5.2.3).
    pub fn is_older_than(&self, other: &Crl<'_>) -> bool {
        let ids = self.authority_key_id.zip(other.authority_key_id);
        let same_series =
            self.distribution_point == other.distribution_point && ids.is_none_or(|(ours, theirs)| ours == theirs);
        let numbers = self.number.zip(other.number).filter(|_| same_series);
        let older = self.this_update < other.this_update || numbers.is_some_and(|(ours, theirs)| ours < theirs);
        self.issuer == other.issuer && older
    }

    /// Whether the list is from the issuer of `certificate` and contains it.
    #[cfg(feature = "ocsp")]
    pub(super) fn lists(&self, certificate: &Certificate<'_>) -> Result<bool, CertificateError> {
        let found = self.issuer == certificate.issuer && self.find(certificate.serial)?;
        Ok(found)
    }

    /// Looks for a serial number; reads all entries, so that a malformed one is always an error.
    pub(super) fn find(&self, wanted: &[u8]) -> Result<bool, CertificateError> {
        let malformed = |_| CertificateError::MalformedCrl;
        let mut reader = SliceReader::new(self.revoked).map_err(malformed)?;
        let mut found = false;
        while !reader.is_finished() {
            let mut entry = sequence(&mut reader).map_err(malformed)?;
            found |= serial(&mut entry).map_err(malformed)? == wanted;
            let _revoked_at = time(&mut entry).map_err(malformed)?;
            if self.version == 2 && !entry.is_finished() {
                let mut extensions = sequence(&mut entry).map_err(malformed)?;
                // For example certificateIssuer: the entry is then for another CA's certificate (§5.3.3).
                if has_critical(&mut extensions).map_err(malformed)? {
                    return Err(CertificateError::UnsupportedCrl(Unsupported::CriticalEntry));
                }
            }
            entry.finish().map_err(malformed)?;
        }
        Ok(found)
    }
}

/// Checks a configured list, in DER, as handshakes will use it at `now` (seconds since 1970): type, dates, entries, and
/// the signature if one of the configured CAs `cas` has the name of the list's issuer. A list does not need a cRLNumber.
///
/// # Errors
/// Why it cannot be used.
pub fn check<'c>(der: &[u8], cas: impl Iterator<Item = &'c [u8]>, now: u64) -> Result<CrlIssuer, CertificateError> {
    let crl = Crl::from_der(der)?;
    crl.check_current(now)?;
    crl.check_entries()?;
    match crl.check_signers(cas, &Work::default()) {
        Some(verdict) => verdict.map(|()| CrlIssuer::Configured),
        None => Ok(CrlIssuer::Unknown),
    }
}

/// The issuer of a configured list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrlIssuer {
    /// A configured CA, which signed it.
    Configured,
    /// Another CA. The list is used if a peer sends an intermediate of that name; its signature is verified then.
    Unknown,
}

/// Why the type of a list is not supported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsupported {
    /// It contains only the changes since another list (RFC 5280 §5.2.4).
    Delta,
    /// It covers certificates of other CAs too (§5.2.5).
    Indirect,
    /// It covers only some revocation reasons (§5.2.5).
    SomeReasons,
    /// It covers attribute certificates (§5.2.5).
    AttributeCertificates,
    /// It has an unsupported critical extension (§5.2).
    CriticalExtension(ObjectIdentifier),
    /// One of its entries has a critical extension (§5.3).
    CriticalEntry,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delta => "delta CRL",
            Self::Indirect => "indirect CRL",
            Self::SomeReasons => "CRL limited to some reasons",
            Self::AttributeCertificates => "CRL for attribute certificates",
            Self::CriticalExtension(oid) => return write!(f, "critical extension {oid}"),
            Self::CriticalEntry => "critical extension in an entry",
        })
    }
}

/// The restriction that an issuingDistributionPoint (§5.2.5) places on a list. The place of publication does not matter,
/// nor whether it covers only CA certificates or only others: a listed certificate is revoked.
fn scope(der: &[u8]) -> der::Result<Option<Unsupported>> {
    let (mut fields, _) = outer(der)?;
    let _name = context(&mut fields, true, 0)?;
    let _user = context(&mut fields, false, 1)?;
    let _ca = context(&mut fields, false, 2)?;
    let reasons = context(&mut fields, false, 3)?;
    let indirect = context(&mut fields, false, 4)?;
    let attribute = context(&mut fields, false, 5)?;
    fields.finish()?;
    let set = |field: &Option<SliceReader<'_>>| field.as_ref().is_some_and(|value| rest(value) != Ok(&[0]));
    Ok(if set(&indirect) {
        Some(Unsupported::Indirect)
    } else if reasons.is_some() {
        Some(Unsupported::SomeReasons)
    } else if set(&attribute) {
        Some(Unsupported::AttributeCertificates)
    } else {
        None
    })
}

/// id-ce-deltaCRLIndicator (§5.2.4).
const DELTA_CRL_INDICATOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.27");
/// id-ce-issuingDistributionPoint (§5.2.5).
const ISSUING_DISTRIBUTION_POINT: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.28");
/// id-ce-cRLNumber.
const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");

/// cRLNumber (RFC 5280 §5.2.3). Displayed in decimal, or in hexadecimal with a leading 0x if it is very long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrlNumber<'a> {
    /// Big-endian, without leading zeros.
    digits: &'a [u8],
}

impl<'a> CrlNumber<'a> {
    fn read(der: &'a [u8]) -> der::Result<Self> {
        let mut reader = SliceReader::new(der)?;
        let mut digits = serial(&mut reader)?;
        reader.finish()?;
        while let [0, rest @ ..] = digits {
            digits = rest;
        }
        Ok(Self { digits })
    }
}

impl PartialOrd for CrlNumber<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for CrlNumber<'_> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        let key = |number: &Self| (number.digits.len(), number.digits);
        key(self).cmp(&key(other))
    }
}

impl fmt::Display for CrlNumber<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.len() <= size_of::<u64>() {
            let number = self
                .digits
                .iter()
                .fold(0, |number, digit| number << 8 | u64::from(*digit));
            return number.fmt(f);
        }
        write!(f, "0x{}", Hex(self.digits))
    }
}

#[cfg(test)]
mod tests;
