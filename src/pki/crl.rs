//! Revocation lists: what a CRL says (RFC 5280 §5), of version 1 as well as 2. Nothing is verified here.

use core::fmt;

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader, Tag};

use super::cert::{
    Certificate, Date, Extension, Name, context, extension, has_critical, octets, outer, rest, sequence, serial, time,
};
use super::error::CertificateError;

/// A revocation list, read from its DER.
pub struct Crl<'a> {
    /// 1 or 2.
    pub version: u8,
    /// Who has made it.
    pub issuer: Name<'a>,
    /// When the next one is due, if it says so: then this one is out of date.
    pub next_update: Option<Date>,
    /// Its number among the lists of its issuer, if it says so.
    pub number: Option<CrlNumber<'a>>,
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
        let (mut critical, mut number) = (false, None);
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
                critical |= must;
                if oid == CRL_NUMBER {
                    number = Some(CrlNumber::read(value)?);
                }
            }
            wrapper.finish()?;
        }
        r.finish()?;
        Ok(Self {
            version,
            issuer,
            next_update,
            number,
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

    /// Whether both are of the same CA, and `other` came after this.
    pub fn is_older_than(&self, other: &Crl<'_>) -> bool {
        let numbers = self.number.zip(other.number);
        self.issuer == other.issuer && numbers.is_some_and(|(ours, theirs)| ours < theirs)
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

/// id-ce-cRLNumber.
const CRL_NUMBER: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.20");

/// A CA counts its lists (RFC 5280 §5.2.3). Displayed in decimal, or if it is very long in hexadecimal with 0x in front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrlNumber<'a> {
    /// Big-endian, without zeros in front.
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
        f.write_str("0x")?;
        self.digits.iter().try_for_each(|digit| write!(f, "{digit:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::vec::Vec;

    fn list(issuer: &rcgen::CertifiedIssuer<'_, rcgen::KeyPair>, number: &[u8]) -> Vec<u8> {
        let list = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2120, 1, 1),
            crl_number: rcgen::SerialNumber::from_slice(number),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        list.signed_by(issuer).unwrap().der().to_vec()
    }

    #[test]
    fn lists_of_one_ca_have_an_order() {
        let ca = |name: &str| {
            let mut params = rcgen::CertificateParams::default();
            params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            rcgen::CertifiedIssuer::self_signed(params, rcgen::KeyPair::generate().unwrap()).unwrap()
        };
        let (first, second) = (ca("first"), ca("second"));
        let numbers: [&[u8]; 5] = [&[9], &[0x80], &[1, 0], &[0xff; 8], &[1; 12]];
        let lists = numbers.map(|number| list(&first, number));
        let lists: Vec<_> = lists.iter().map(|list| Crl::from_der(list).unwrap()).collect();
        let shown = lists.iter().map(|list| format!("{}", list.number.unwrap()));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            ["9", "128", "256", "18446744073709551615", "0x010101010101010101010101"]
        );
        for (at, list) in lists.iter().enumerate() {
            for (other_at, other) in lists.iter().enumerate() {
                assert_eq!(list.is_older_than(other), at < other_at);
            }
        }
        let other = list(&second, &[200]);
        assert!(!lists[0].is_older_than(&Crl::from_der(&other).unwrap()));
    }
}
