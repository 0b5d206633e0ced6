//! Revocation lists: what a CRL says (RFC 5280 §5), of version 1 as well as 2.
//!
//! In strict mode webpki judges by lists of version 2. It knows no version 1, which is what `openssl ca -gencrl` makes
//! unless it is told otherwise; nor does it look at leaves that only pinned verification takes. That is done here.

use der::{Decode as _, Reader as _, SliceReader, Tag};

use super::cert::{Certificate, Date, Name, context, extension, octets, outer, rest, sequence, serial, time};
use super::error::CertificateError;
use super::signed;
use super::text::Text;
use super::usage::Usage;

/// A revocation list, read from its DER.
pub(super) struct Crl<'a> {
    /// 1 or 2.
    pub(super) version: u8,
    issuer: Name<'a>,
    pub(super) next_update: Option<Date>,
    /// The content of revokedCertificates.
    revoked: &'a [u8],
    /// Whether it has a critical extension, none of which is understood here.
    critical: bool,
    tbs: &'a [u8],
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Crl<'a> {
    pub(super) fn from_der(der: &'a [u8]) -> Result<Self, CertificateError> {
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
        let _this_update = time(&mut r)?;
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
        let mut critical = false;
        if version == 2
            && let Some(mut wrapper) = context(&mut r, true, 0)?
        {
            critical = has_critical(&mut sequence(&mut wrapper)?)?;
            wrapper.finish()?;
        }
        r.finish()?;
        Ok(Self {
            version,
            issuer,
            next_update,
            revoked,
            critical,
            tbs,
            signature_algorithm,
            signature,
        })
    }

    /// Whether the list is that of the issuer of `certificate`, and the certificate is on it.
    pub(super) fn lists(&self, certificate: &Certificate<'_>) -> Result<bool, CertificateError> {
        let found = self.issuer == certificate.issuer && self.find(certificate.serial)?;
        Ok(found)
    }

    /// Looks for a serial number; reads all entries, so that none may be malformed.
    fn find(&self, wanted: &[u8]) -> Result<bool, CertificateError> {
        let malformed = |_| CertificateError::MalformedCrl;
        let mut reader = SliceReader::new(self.revoked).map_err(malformed)?;
        let mut found = false;
        while !reader.is_finished() {
            let mut entry = sequence(&mut reader).map_err(malformed)?;
            found |= serial(&mut entry).map_err(malformed)? == wanted;
            let _revoked_at = time(&mut entry).map_err(malformed)?;
            if self.version == 2 && !entry.is_finished() {
                let mut extensions = sequence(&mut entry).map_err(malformed)?;
                // certificateIssuer, for one: then the entry is about somebody else's certificate (§5.3.3).
                if has_critical(&mut extensions).map_err(malformed)? {
                    return Err(CertificateError::UnsupportedCrl);
                }
            }
            entry.finish().map_err(malformed)?;
        }
        Ok(found)
    }
}

/// Asks those of `crls` that the issuer of `certificate` has made and that `wanted` picks: each must be genuine, current
/// and without the certificate. `issuer` is the issuer's certificate.
pub(super) fn check(
    crls: &[&[u8]],
    certificate: &Certificate<'_>,
    issuer: &Certificate<'_>,
    now: u64,
    wanted: impl Fn(&Crl<'_>) -> bool,
) -> Result<(), CertificateError> {
    for der in crls {
        let crl = Crl::from_der(der)?;
        if crl.issuer != certificate.issuer || !wanted(&crl) {
            continue;
        }
        signed::verify(crl.signature_algorithm, issuer.public_key.der, crl.tbs, crl.signature).map_err(|error| {
            match error {
                CertificateError::BadSignature => CertificateError::CrlBadSignature,
                other => other,
            }
        })?;
        if let Some(Date(next_update)) = crl.next_update
            && now >= next_update
        {
            return Err(CertificateError::CrlExpired { next_update, now });
        }
        if !Usage::of(issuer)?.may_sign_crls() {
            return Err(CertificateError::CrlIssuerMayNotSign);
        }
        if crl.critical {
            return Err(CertificateError::UnsupportedCrl);
        }
        if crl.find(certificate.serial)? {
            return Err(revoked(certificate));
        }
    }
    Ok(())
}

/// [`CertificateError::Revoked`].
pub(super) fn revoked(certificate: &Certificate<'_>) -> CertificateError {
    struct Hex<'a>(&'a [u8]);
    impl core::fmt::Display for Hex<'_> {
        fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
            self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
        }
    }
    // The zero that keeps a number positive is none of its digits.
    let serial = match certificate.serial {
        [0, rest @ ..] if !rest.is_empty() => rest,
        all => all,
    };
    CertificateError::Revoked {
        serial: Text::of(Hex(serial)),
    }
}

fn has_critical(extensions: &mut SliceReader<'_>) -> der::Result<bool> {
    let mut critical = false;
    while !extensions.is_finished() {
        critical |= extension(extensions)?.critical;
    }
    Ok(critical)
}
