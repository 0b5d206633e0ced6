//! Parsing of X.509 certificates (RFC 5280 §4), without verification.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use der::asn1::{AnyRef, BitStringRef, ObjectIdentifier};
use der::{DateTime, Decode, Header, Reader, SliceReader, Tag, TagNumber};

pub use name::{MAX_RDNS, Name};

mod name;

/// The most extensions of a certificate.
pub const MAX_EXTENSIONS: usize = 32;

/// A certificate, parsed from its DER and borrowing from it.
#[derive(Debug, Clone)]
pub struct Certificate<'a> {
    /// 1, 2 or 3 (§4.1.2.1).
    pub version: u8,
    /// The serial number: the bytes of a big-endian two's complement number, at least one (§4.1.2.2).
    pub serial: &'a [u8],
    /// The issuer.
    pub issuer: Name<'a>,
    /// The subject.
    pub subject: Name<'a>,
    /// The first second of its validity.
    pub not_before: Date,
    /// The last second of its validity.
    pub not_after: Date,
    /// The public key.
    pub public_key: PublicKey<'a>,
    /// basicConstraints, if present (§4.2.1.9): whether it is a CA.
    pub ca: Option<bool>,
    /// pathLenConstraint of basicConstraints: how many intermediates may follow.
    pub path_length: Option<u32>,
    /// The signed part, as DER.
    pub tbs: &'a [u8],
    /// The algorithm of the signature, as the DER of an AlgorithmIdentifier.
    pub signature_algorithm: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
    /// The content of subjectAltName: GeneralNames.
    alternatives: &'a [u8],
    /// The content of Extensions.
    extensions: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Reads a certificate. `der` must hold it and nothing else.
    pub fn from_der(der: &'a [u8]) -> Result<Self, CertError> {
        use CertError::Malformed;
        let (mut outer, rest) = outer(der).map_err(|_| Malformed("not a DER SEQUENCE"))?;
        if !rest.is_empty() {
            return Err(Malformed("bytes after its end"));
        }
        let tbs = outer.tlv_bytes().map_err(|_| Malformed("tbsCertificate"))?;
        let signature_algorithm = outer.tlv_bytes().map_err(|_| Malformed("signatureAlgorithm"))?;
        let signature = octets(&mut outer).map_err(|_| Malformed("signatureValue"))?;
        outer.finish().map_err(|_| Malformed("bytes after its signature"))?;

        let (mut tbs_reader, _) = self::outer(tbs).map_err(|_| Malformed("tbsCertificate"))?;
        let r = &mut tbs_reader;
        let version = version(r).map_err(|_| Malformed("version"))?;
        let serial = serial(r).map_err(|_| Malformed("serialNumber"))?;
        if r.tlv_bytes().map_err(|_| Malformed("signature"))? != signature_algorithm {
            return Err(CertError::SignatureAlgorithms);
        }
        algorithm(signature_algorithm).map_err(|_| Malformed("signatureAlgorithm"))?;
        let issuer = Name::read_field(r, "issuer")?;
        let (not_before, not_after) = validity(r).map_err(|_| Malformed("validity"))?;
        let subject = Name::read_field(r, "subject")?;
        let public_key = PublicKey::read(r).map_err(|_| Malformed("subjectPublicKeyInfo"))?;
        let mut certificate = Self {
            version,
            serial,
            issuer,
            subject,
            not_before,
            not_after,
            public_key,
            ca: None,
            path_length: None,
            tbs,
            signature_algorithm,
            signature,
            alternatives: &[],
            extensions: &[],
        };
        for number in [1, 2] {
            if version > 1 {
                let _ = context(r, false, number).map_err(|_| Malformed("unique identifier"))?;
            }
        }
        if version == 3
            && let Some(mut wrapper) = context(r, true, 3).map_err(|_| Malformed("extensions"))?
        {
            let mut extensions = sequence(&mut wrapper).map_err(|_| Malformed("extensions"))?;
            wrapper.finish().map_err(|_| Malformed("extensions"))?;
            certificate.extensions = self::rest(&extensions).map_err(|_| Malformed("extensions"))?;
            certificate.read_extensions(&mut extensions)?;
        }
        tbs_reader.finish().map_err(|_| Malformed("unknown fields"))?;
        Ok(certificate)
    }

    /// The subject's DNS names and IP addresses (subjectAltName, §4.2.1.6). Other names are skipped.
    pub fn alternatives(&self) -> impl Iterator<Item = Alternative<'a>> {
        each_alternative(self.alternatives).flatten()
    }

    /// The extensions (§4.2), in the order of the DER.
    pub(super) fn extensions(&self) -> impl Iterator<Item = Extension<'a>> {
        let mut reader = SliceReader::new(self.extensions).ok();
        // `read_extensions` has checked that all of them can be parsed.
        core::iter::from_fn(move || {
            reader
                .as_mut()
                .filter(|reader| !reader.is_finished())
                .and_then(|reader| extension(reader).ok())
        })
    }

    /// Whether its basicConstraints allow it to issue certificates. Versions 1 and 2 have none: such a certificate is a CA
    /// only if it is configured as one (§6.1.4 k).
    pub fn is_ca(&self) -> bool {
        self.version < 3 || self.ca == Some(true)
    }

    /// Whether issuer and subject are the same (§3.2).
    pub fn is_self_issued(&self) -> bool {
        self.issuer == self.subject
    }

    /// The content of subjectAltName, GeneralNames.
    pub(super) const fn alternative_names(&self) -> &'a [u8] {
        self.alternatives
    }

    /// subjectKeyIdentifier (§4.2.1.2).
    pub(super) fn subject_key_id(&self) -> Option<&'a [u8]> {
        let id = self.find(SUBJECT_KEY_ID)?;
        octet_string(&mut SliceReader::new(id).ok()?).ok()
    }

    /// keyIdentifier of authorityKeyIdentifier (§4.2.1.1).
    pub(super) fn authority_key_id(&self) -> Option<&'a [u8]> {
        key_id(self.find(AUTHORITY_KEY_ID)?)
    }

    fn find(&self, oid: ObjectIdentifier) -> Option<&'a [u8]> {
        let mut extensions = self.extensions();
        extensions
            .find(|extension| extension.oid == oid)
            .map(|extension| extension.value)
    }

    /// Whether `now` is within its validity.
    pub fn is_valid_at(&self, now: Date) -> bool {
        (self.not_before..=self.not_after).contains(&now)
    }

    fn read_extensions(&mut self, reader: &mut SliceReader<'a>) -> Result<(), CertError> {
        use CertError::Malformed;
        let mut seen: heapless::Vec<ObjectIdentifier, MAX_EXTENSIONS> = heapless::Vec::new();
        while !reader.is_finished() {
            let Extension { oid, value, .. } = extension(reader).map_err(|_| Malformed("extensions"))?;
            if seen.contains(&oid) {
                return Err(CertError::RepeatedExtension);
            }
            seen.push(oid).map_err(|_| CertError::TooManyExtensions)?;
            match oid {
                BASIC_CONSTRAINTS => {
                    let (ca, path_length) = basic_constraints(value).map_err(|_| Malformed("basicConstraints"))?;
                    (self.ca, self.path_length) = (Some(ca), path_length);
                }
                SUBJECT_ALT_NAME => {
                    self.alternatives = alternatives(value).map_err(|_| Malformed("subjectAltName"))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A point in time: seconds since 1970-01-01 00:00:00 UTC, without leap seconds. Earlier times count as 0.
///
/// Displayed as `2024-02-01`, and in the alternate form (`{:#}`) as `2024-02-01 12:30:00 UTC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date(pub u64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(time) = DateTime::from_unix_duration(Duration::from_secs(self.0)) else {
            return f.write_str("after the year 9999");
        };
        write!(f, "{:04}-{:02}-{:02}", time.year(), time.month(), time.day())?;
        if f.alternate() {
            write!(f, " {:02}:{:02}:{:02} UTC", time.hour(), time.minutes(), time.seconds())?;
        }
        Ok(())
    }
}

/// A public key (§4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// The whole SubjectPublicKeyInfo, as DER.
    pub der: &'a [u8],
    /// The algorithm.
    pub algorithm: ObjectIdentifier,
    /// The curve, or another identifier that is the algorithm's parameter.
    pub parameter: Option<ObjectIdentifier>,
    /// The key itself: the bits of subjectPublicKey.
    pub bits: &'a [u8],
}

impl<'a> PublicKey<'a> {
    pub(super) fn read(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        let der = reader.tlv_bytes()?;
        let (mut inner, _) = outer(der)?;
        let (algorithm, parameter) = algorithm(inner.tlv_bytes()?)?;
        let bits = octets(&mut inner)?;
        inner.finish()?;
        Ok(Self {
            der,
            algorithm,
            parameter,
            bits,
        })
    }
}

/// A name in subjectAltName.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative<'a> {
    /// A DNS name, possibly with a wildcard. ASCII, otherwise unchanged.
    Dns(&'a str),
    /// An IP address.
    Ip(IpAddr),
}

impl<'a> Alternative<'a> {
    /// Reads a GeneralName; `None` if it is neither a DNS name nor an IP address.
    fn read(reader: &mut SliceReader<'a>) -> der::Result<Option<Self>> {
        let header = Header::decode(reader)?;
        let value = reader.read_slice(header.length())?;
        let error = || der::Error::from(header.tag().value_error());
        match header.tag() {
            Tag::ContextSpecific {
                constructed: false,
                number: TagNumber(2),
            } => {
                let text = core::str::from_utf8(value)
                    .ok()
                    .filter(|text| text.is_ascii())
                    .ok_or_else(error)?;
                Ok(Some(Self::Dns(text)))
            }
            Tag::ContextSpecific {
                constructed: false,
                number: TagNumber(7),
            } => {
                let four = <[u8; 4]>::try_from(value).map(IpAddr::from);
                let ip = four
                    .or_else(|_| <[u8; 16]>::try_from(value).map(IpAddr::from))
                    .map_err(|_| error())?;
                Ok(Some(Self::Ip(ip)))
            }
            Tag::ContextSpecific {
                number: TagNumber(0..=8),
                ..
            } => Ok(None),
            _ => Err(error()),
        }
    }
}

/// Why a certificate cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertError {
    /// The DER of the named element is malformed.
    Malformed(&'static str),
    /// The signature algorithms inside and outside the signed part differ (§4.1.1.2).
    SignatureAlgorithms,
    /// An extension occurs twice (§4.2).
    RepeatedExtension,
    /// It has more than [`MAX_EXTENSIONS`].
    TooManyExtensions,
    /// The name in this field has more than [`MAX_RDNS`] parts.
    TooManyRdns(&'static str),
    /// Its validity begins before 1970, which rustls-webpki does not support.
    Before1970,
}

impl fmt::Display for CertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed ({what})"),
            Self::SignatureAlgorithms => f.write_str("it names two different signature algorithms"),
            Self::RepeatedExtension => f.write_str("it has a duplicate extension"),
            Self::TooManyExtensions => write!(f, "it has more than {MAX_EXTENSIONS} extensions"),
            Self::TooManyRdns(field) => write!(f, "its {field} has more than {MAX_RDNS} parts"),
            Self::Before1970 => {
                f.write_str("its validity begins before 1970, which is supported only for configured CAs")
            }
        }
    }
}

impl core::error::Error for CertError {}

/// id-ce-basicConstraints (§4.2.1.9).
pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
/// id-ce-subjectAltName (§4.2.1.6).
pub(super) const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
/// id-ce-subjectKeyIdentifier (§4.2.1.2).
pub(super) const SUBJECT_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.14");
/// id-ce-authorityKeyIdentifier (§4.2.1.1).
pub(super) const AUTHORITY_KEY_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.35");

/// The issuer of a certificate as DER; the rest is not parsed.
pub(super) fn issuer(der: &[u8]) -> Option<&[u8]> {
    let (mut certificate, _) = outer(der).ok()?;
    let mut r = sequence(&mut certificate).ok()?;
    version(&mut r).ok()?;
    // serialNumber, signature
    for _ in 0..2 {
        r.tlv_bytes().ok()?;
    }
    r.tlv_bytes().ok()
}

/// The subject of a certificate as DER; the rest is not parsed, for the search in a large bundle.
pub(super) fn subject(der: &[u8]) -> Option<&[u8]> {
    let (mut certificate, _) = outer(der).ok()?;
    let mut r = sequence(&mut certificate).ok()?;
    version(&mut r).ok()?;
    // serialNumber, signature, issuer, validity
    for _ in 0..4 {
        r.tlv_bytes().ok()?;
    }
    r.tlv_bytes().ok()
}

/// The content of the SEQUENCE at the front of `der`, and the bytes after it.
pub(super) fn outer(der: &[u8]) -> der::Result<(SliceReader<'_>, &[u8])> {
    let mut reader = SliceReader::new(der)?;
    let content = sequence(&mut reader)?;
    let rest = reader.read_slice(reader.remaining_len())?;
    Ok((content, rest))
}

/// The unread rest of `reader`.
pub(super) fn rest<'a>(reader: &SliceReader<'a>) -> der::Result<&'a [u8]> {
    let mut reader = reader.clone();
    reader.read_slice(reader.remaining_len())
}

pub(super) fn sequence<'a>(reader: &mut SliceReader<'a>) -> der::Result<SliceReader<'a>> {
    tagged(reader, Tag::Sequence)
}

pub(super) fn tagged<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> der::Result<SliceReader<'a>> {
    let header = Header::decode(reader)?;
    header.tag().assert_eq(tag)?;
    SliceReader::new(reader.read_slice(header.length())?)
}

/// The content of the context-specific field `number`, if it is next.
pub(super) fn context<'a>(
    reader: &mut SliceReader<'a>,
    constructed: bool,
    number: u32,
) -> der::Result<Option<SliceReader<'a>>> {
    let tag = Tag::ContextSpecific {
        constructed,
        number: TagNumber(number),
    };
    if reader.is_finished() || Tag::peek(reader)? != tag {
        return Ok(None);
    }
    tagged(reader, tag).map(Some)
}

/// A BIT STRING of whole bytes.
pub(super) fn octets<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    BitStringRef::decode(reader)?
        .as_bytes()
        .ok_or_else(|| Tag::BitString.value_error().into())
}

/// An AlgorithmIdentifier (§4.1.1.2): the algorithm, and the parameter if that is an identifier as well.
pub(super) fn algorithm(der: &[u8]) -> der::Result<(ObjectIdentifier, Option<ObjectIdentifier>)> {
    let (mut reader, _) = outer(der)?;
    let algorithm = ObjectIdentifier::decode(&mut reader)?;
    let parameter = Option::<AnyRef<'_>>::decode(&mut reader)?;
    reader.finish()?;
    Ok((algorithm, parameter.and_then(|parameter| parameter.decode_as().ok())))
}

fn version(reader: &mut SliceReader<'_>) -> der::Result<u8> {
    let Some(mut inner) = context(reader, true, 0)? else {
        return Ok(1);
    };
    let number = u8::decode(&mut inner)?;
    inner.finish()?;
    match number {
        0 => Ok(1),
        1 => Ok(2),
        2 => Ok(3),
        _ => Err(Tag::Integer.value_error().into()),
    }
}

/// The content of an INTEGER in its shortest form (X.690 §8.3.2).
pub(super) fn serial<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    let header = Header::decode(reader)?;
    header.tag().assert_eq(Tag::Integer)?;
    let bytes = reader.read_slice(header.length())?;
    match bytes {
        [] | [0x00, 0x00..=0x7f, ..] | [0xff, 0x80..=0xff, ..] => Err(Tag::Integer.non_canonical_error().into()),
        _ => Ok(bytes),
    }
}

/// Validity (§4.1.2.5).
fn validity(reader: &mut SliceReader<'_>) -> der::Result<(Date, Date)> {
    let mut inner = sequence(reader)?;
    let dates = (time(&mut inner)?, time(&mut inner)?);
    inner.finish()?;
    Ok(dates)
}

/// A Time (§4.1.2.5): UTCTime of the years 1950 to 2049, or GeneralizedTime; to the second, and in UTC.
pub(super) fn time(reader: &mut SliceReader<'_>) -> der::Result<Date> {
    let header = Header::decode(reader)?;
    let error = || der::Error::from(header.tag().value_error());
    let text = reader.read_slice(header.length())?;
    let (century, text) = match (header.tag(), text) {
        (Tag::GeneralizedTime, [first, second, text @ ..]) => (number([*first, *second]).ok_or_else(error)?, text),
        (Tag::UtcTime, [b'5'..=b'9', ..]) => (19, text),
        (Tag::UtcTime, _) => (20, text),
        _ => return Err(error()),
    };
    let (pairs, b"Z") = text.as_chunks() else {
        return Err(error());
    };
    let mut fields = [0; 6];
    if pairs.len() != fields.len() {
        return Err(error());
    }
    for (field, pair) in fields.iter_mut().zip(pairs) {
        *field = number(*pair).ok_or_else(error)?;
    }
    let [year, month, day, hour, minute, second] = fields;
    let year = u16::from(century).saturating_mul(100).saturating_add(year.into());
    // The calendar repeats after 400 years, and `DateTime` begins in 1970.
    let later = if year < 1970 { year.saturating_add(2000) } else { year };
    let time = DateTime::new(later, month, day, hour, minute, second)?;
    Ok(Date(if year < 1970 { 0 } else { time.unix_duration().as_secs() }))
}

/// A number of two digits.
fn number(digits: [u8; 2]) -> Option<u8> {
    let [tens, ones] = digits.map(|digit| digit.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| tens.saturating_mul(10).saturating_add(ones))
}

/// An Extension (§4.2).
pub(super) struct Extension<'a> {
    pub(super) oid: ObjectIdentifier,
    pub(super) critical: bool,
    /// The content of extnValue.
    pub(super) value: &'a [u8],
}

pub(super) fn extension<'a>(reader: &mut SliceReader<'a>) -> der::Result<Extension<'a>> {
    let mut inner = sequence(reader)?;
    let oid = ObjectIdentifier::decode(&mut inner)?;
    let critical = Option::<bool>::decode(&mut inner)?.unwrap_or(false);
    let value = octet_string(&mut inner)?;
    inner.finish()?;
    Ok(Extension { oid, critical, value })
}

pub(super) fn octet_string<'a>(reader: &mut SliceReader<'a>) -> der::Result<&'a [u8]> {
    let header = Header::decode(reader)?;
    header.tag().assert_eq(Tag::OctetString)?;
    reader.read_slice(header.length())
}

/// Whether one of these extensions is critical; all are read.
pub(super) fn has_critical(extensions: &mut SliceReader<'_>) -> der::Result<bool> {
    let mut critical = false;
    while !extensions.is_finished() {
        critical |= extension(extensions)?.critical;
    }
    Ok(critical)
}

pub(super) fn basic_constraints(der: &[u8]) -> der::Result<(bool, Option<u32>)> {
    let (mut inner, rest) = outer(der)?;
    let ca = Option::<bool>::decode(&mut inner)?.unwrap_or(false);
    let path_length = Option::<u32>::decode(&mut inner)?;
    inner.finish()?;
    SliceReader::new(rest)?.finish()?;
    Ok((ca, path_length))
}

/// The keyIdentifier in the value of an authorityKeyIdentifier (§4.2.1.1), which certificates and lists have.
pub(super) fn key_id(value: &[u8]) -> Option<&[u8]> {
    let (mut inner, _) = outer(value).ok()?;
    rest(&context(&mut inner, false, 0).ok()??).ok()
}

/// Checks GeneralNames and returns the content of their SEQUENCE.
pub(super) fn alternatives(der: &[u8]) -> der::Result<&[u8]> {
    let (mut inner, rest) = outer(der)?;
    SliceReader::new(rest)?.finish()?;
    let names = self::rest(&inner)?;
    while !inner.is_finished() {
        Alternative::read(&mut inner)?;
    }
    Ok(names)
}

/// The names in what [`alternatives`] has returned: it has checked that all can be read.
pub(super) fn each_alternative(names: &[u8]) -> impl Iterator<Item = Option<Alternative<'_>>> {
    let mut reader = SliceReader::new(names).ok();
    core::iter::from_fn(move || {
        let reader = reader.as_mut().filter(|reader| !reader.is_finished())?;
        Alternative::read(reader).ok()
    })
}

#[cfg(test)]
mod tests;
