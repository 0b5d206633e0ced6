//! Revocation lists: what a CRL says (RFC 5280 §5), of version 1 as well as 2. Nothing is verified here.

use der::{Decode as _, Reader as _, SliceReader, Tag};

use super::cert::{Certificate, Date, Name, context, has_critical, octets, outer, rest, sequence, serial, time};
use super::error::CertificateError;

/// A revocation list, read from its DER.
pub struct Crl<'a> {
    /// 1 or 2.
    pub version: u8,
    /// Who has made it.
    pub issuer: Name<'a>,
    /// When the next one is due, if it says so: then this one is out of date.
    pub next_update: Option<Date>,
    /// The content of revokedCertificates.
    revoked: &'a [u8],
    /// Whether it has a critical extension, none of which is understood here.
    pub(super) critical: bool,
    pub(super) tbs: &'a [u8],
    pub(super) signature_algorithm: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl<'a> Crl<'a> {
    /// Reads a list; the entries in it are not looked at yet.
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

    /// Reads all entries.
    ///
    /// # Errors
    /// [`CertificateError::MalformedCrl`], or [`CertificateError::UnsupportedCrl`] if one has a critical extension.
    pub fn check_entries(&self) -> Result<(), CertificateError> {
        // No serial number is empty.
        self.find(&[]).map(|_| ())
    }

    /// Whether the list is that of the issuer of `certificate`, and the certificate is on it.
    pub(super) fn lists(&self, certificate: &Certificate<'_>) -> Result<bool, CertificateError> {
        let found = self.issuer == certificate.issuer && self.find(certificate.serial)?;
        Ok(found)
    }

    /// Looks for a serial number; reads all entries, so that none may be malformed.
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
