//! X.509 certificates (RFC 5280 §4): what one says. Nothing is verified here.

use core::fmt::{self, Write};
use core::net::IpAddr;
use core::time::Duration;

use der::asn1::{AnyRef, BitStringRef, GeneralizedTime, ObjectIdentifier, UtcTime};
use der::{DateTime, Decode, Header, Reader, SliceReader, Tag, TagNumber};

/// The most extensions of a certificate.
pub const MAX_EXTENSIONS: usize = 32;
/// The most relative distinguished names in a name.
pub const MAX_RDNS: usize = 32;

/// A certificate, read from its DER. Borrows from it, and holds only what is well-formed.
#[derive(Debug, Clone)]
pub struct Certificate<'a> {
    /// 1, 2 or 3 (§4.1.2.1).
    pub version: u8,
    /// The serial number: the bytes of a big-endian two's complement number, at least one (§4.1.2.2).
    pub serial: &'a [u8],
    /// Who has signed it.
    pub issuer: Name<'a>,
    /// Whose it is.
    pub subject: Name<'a>,
    /// The first second of its life.
    pub not_before: Date,
    /// The last second of its life.
    pub not_after: Date,
    /// The public key.
    pub public_key: PublicKey<'a>,
    /// basicConstraints, if there are any (§4.2.1.9): whether it is a CA.
    pub ca: Option<bool>,
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
        let issuer = Name::read(r).map_err(|_| Malformed("issuer"))?;
        let (not_before, not_after) = validity(r).map_err(|_| Malformed("validity"))?;
        let subject = Name::read(r).map_err(|_| Malformed("subject"))?;
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

    /// The subject's DNS names and IP addresses (subjectAltName, §4.2.1.6). Names of other kinds are left out.
    pub fn alternatives(&self) -> impl Iterator<Item = Alternative<'a>> {
        let mut reader = SliceReader::new(self.alternatives).ok();
        core::iter::from_fn(move || {
            let reader = reader.as_mut()?;
            while !reader.is_finished() {
                // `read_extensions` has seen to it that this succeeds.
                if let Some(name) = Alternative::read(reader).ok()? {
                    return Some(name);
                }
            }
            None
        })
    }

    /// The extensions (§4.2), in the order of the DER.
    pub(super) fn extensions(&self) -> impl Iterator<Item = Extension<'a>> {
        let mut reader = SliceReader::new(self.extensions).ok();
        // `read_extensions` has seen to it that all of them can be read.
        core::iter::from_fn(move || {
            reader
                .as_mut()
                .filter(|reader| !reader.is_finished())
                .and_then(|reader| extension(reader).ok())
        })
    }

    /// Whether `now` is within its life.
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
                    self.ca = Some(basic_constraints(value).map_err(|_| Malformed("basicConstraints"))?)
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

/// A point in time: seconds since 1970-01-01 00:00:00 UTC, without leap seconds.
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

/// A distinguished name (§4.1.2.4).
///
/// Displayed as RFC 4514 says, most specific part first: `CN=localhost,O=Postern`. Control characters are escaped too,
/// so that a name can be shown on a terminal whoever made it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    /// Its DER. Equal bytes are equal names (§7.1 would fold case and blanks too; webpki and this compare bytes).
    pub der: &'a [u8],
}

impl<'a> Name<'a> {
    pub(super) fn read(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        let name = Self {
            der: reader.tlv_bytes()?,
        };
        let mut count = 0;
        let (mut rdns, _) = outer(name.der)?;
        while !rdns.is_finished() {
            count += 1;
            if count > MAX_RDNS {
                return Err(Tag::Sequence.length_error().into());
            }
            let mut rdn = set(&mut rdns)?;
            // SET SIZE (1..MAX)
            loop {
                attribute(&mut rdn)?;
                if rdn.is_finished() {
                    break;
                }
            }
        }
        Ok(name)
    }

    /// Whether it has no parts at all.
    pub fn is_empty(&self) -> bool {
        self.rdns().next().is_none()
    }

    /// The common name: of several the most specific. `None` as well if it has other characters than ASCII.
    pub fn common_name(&self) -> Option<&'a str> {
        let mut found = None;
        for mut rdn in self.rdns() {
            while let (false, Ok((oid, value))) = (rdn.is_finished(), attribute(&mut rdn)) {
                if oid == COMMON_NAME {
                    found = AnyRef::from_der(value).ok();
                }
            }
        }
        let value = found.filter(|value| {
            let tag = value.header().tag();
            matches!(
                tag,
                Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::TeletexString
            )
        })?;
        core::str::from_utf8(value.value()).ok().filter(|text| text.is_ascii())
    }

    /// The relative distinguished names, in the order of the DER.
    fn rdns(&self) -> impl Iterator<Item = SliceReader<'a>> {
        let mut rdns = outer(self.der).ok().map(|(rdns, _)| rdns);
        core::iter::from_fn(move || rdns.as_mut().and_then(|rdns| set(rdns).ok()))
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.rdns().count();
        for number in (0..count).rev() {
            let Some(mut rdn) = self.rdns().nth(number) else {
                continue;
            };
            let mut separator = if number + 1 == count { "" } else { "," };
            while let (false, Ok((oid, value))) = (rdn.is_finished(), attribute(&mut rdn)) {
                f.write_str(separator)?;
                write_attribute(f, oid, value)?;
                separator = "+";
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// A public key (§4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// The whole SubjectPublicKeyInfo, as DER.
    pub der: &'a [u8],
    /// The algorithm.
    pub algorithm: ObjectIdentifier,
    /// The curve, or whatever identifier the algorithm has for a parameter.
    pub parameter: Option<ObjectIdentifier>,
    /// The key itself: the bits of subjectPublicKey.
    pub bits: &'a [u8],
}

impl<'a> PublicKey<'a> {
    fn read(reader: &mut SliceReader<'a>) -> der::Result<Self> {
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

/// One of the names that subjectAltName gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alternative<'a> {
    /// A DNS name, perhaps with a wildcard. ASCII, but otherwise as it was written.
    Dns(&'a str),
    /// An IP address.
    Ip(IpAddr),
}

impl<'a> Alternative<'a> {
    /// Reads a GeneralName; `None` if it is of a kind that is not wanted here.
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

/// Why a certificate cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertError {
    /// The DER of what is named here is broken.
    Malformed(&'static str),
    /// Outside and inside of the signature it names different algorithms (§4.1.1.2).
    SignatureAlgorithms,
    /// An extension occurs twice (§4.2).
    RepeatedExtension,
    /// It has more than [`MAX_EXTENSIONS`].
    TooManyExtensions,
}

impl fmt::Display for CertError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(f, "malformed ({what})"),
            Self::SignatureAlgorithms => f.write_str("it names two signature algorithms"),
            Self::RepeatedExtension => f.write_str("it has an extension twice"),
            Self::TooManyExtensions => write!(f, "it has more than {MAX_EXTENSIONS} extensions"),
        }
    }
}

impl core::error::Error for CertError {}

/// id-ce-basicConstraints (§4.2.1.9).
pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
/// id-ce-subjectAltName (§4.2.1.6).
pub(super) const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// id-at-commonName (§4.1.2.4).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The attribute types that have short names (RFC 4514 §3), and emailAddress, which people expect to see.
const ATTRIBUTES: [(ObjectIdentifier, &str); 10] = [
    (COMMON_NAME, "CN"),
    (ObjectIdentifier::new_unwrap("2.5.4.7"), "L"),
    (ObjectIdentifier::new_unwrap("2.5.4.8"), "ST"),
    (ObjectIdentifier::new_unwrap("2.5.4.10"), "O"),
    (ObjectIdentifier::new_unwrap("2.5.4.11"), "OU"),
    (ObjectIdentifier::new_unwrap("2.5.4.6"), "C"),
    (ObjectIdentifier::new_unwrap("2.5.4.9"), "STREET"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.25"), "DC"),
    (ObjectIdentifier::new_unwrap("0.9.2342.19200300.100.1.1"), "UID"),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.1"), "emailAddress"),
];

/// The subject of a certificate as DER, without a look at the rest: for the search in a large bundle.
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

/// The content of the SEQUENCE at the front of `der`, and what comes after it.
pub(super) fn outer(der: &[u8]) -> der::Result<(SliceReader<'_>, &[u8])> {
    let mut reader = SliceReader::new(der)?;
    let content = sequence(&mut reader)?;
    let rest = reader.read_slice(reader.remaining_len())?;
    Ok((content, rest))
}

/// What `reader` has not read yet.
pub(super) fn rest<'a>(reader: &SliceReader<'a>) -> der::Result<&'a [u8]> {
    let mut reader = reader.clone();
    reader.read_slice(reader.remaining_len())
}

pub(super) fn sequence<'a>(reader: &mut SliceReader<'a>) -> der::Result<SliceReader<'a>> {
    tagged(reader, Tag::Sequence)
}

fn set<'a>(reader: &mut SliceReader<'a>) -> der::Result<SliceReader<'a>> {
    tagged(reader, Tag::Set)
}

fn tagged<'a>(reader: &mut SliceReader<'a>, tag: Tag) -> der::Result<SliceReader<'a>> {
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
        0..=2 => Ok(number + 1),
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

pub(super) fn time(reader: &mut SliceReader<'_>) -> der::Result<Date> {
    let duration = match Tag::peek(reader)? {
        Tag::UtcTime => UtcTime::decode(reader)?.to_unix_duration(),
        _ => GeneralizedTime::decode(reader)?.to_unix_duration(),
    };
    Ok(Date(duration.as_secs()))
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

fn basic_constraints(der: &[u8]) -> der::Result<bool> {
    let (mut inner, rest) = outer(der)?;
    let ca = Option::<bool>::decode(&mut inner)?.unwrap_or(false);
    let _path_length = Option::<u32>::decode(&mut inner)?;
    inner.finish()?;
    SliceReader::new(rest)?.finish()?;
    Ok(ca)
}

/// Checks GeneralNames, and takes off the SEQUENCE around them.
fn alternatives(der: &[u8]) -> der::Result<&[u8]> {
    let (mut inner, rest) = outer(der)?;
    SliceReader::new(rest)?.finish()?;
    let names = self::rest(&inner)?;
    while !inner.is_finished() {
        Alternative::read(&mut inner)?;
    }
    Ok(names)
}

/// An AttributeTypeAndValue (§4.1.2.4): the type, and the value as DER.
fn attribute<'a>(reader: &mut SliceReader<'a>) -> der::Result<(ObjectIdentifier, &'a [u8])> {
    let mut inner = sequence(reader)?;
    let pair = (ObjectIdentifier::decode(&mut inner)?, inner.tlv_bytes()?);
    inner.finish()?;
    Ok(pair)
}

/// `CN=localhost`, or `1.2.3=#0c0161` where type or value have no text form (RFC 4514 §2.3, §2.4).
fn write_attribute(f: &mut fmt::Formatter<'_>, oid: ObjectIdentifier, der: &[u8]) -> fmt::Result {
    let value = AnyRef::from_der(der).map_err(|_| fmt::Error)?;
    match ATTRIBUTES.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => write!(f, "{name}=")?,
        None => write!(f, "{oid}=")?,
    }
    let bytes = value.value();
    match value.header().tag() {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            if let Ok(text) = core::str::from_utf8(bytes) {
                return write_escaped(f, text.chars());
            }
        }
        // T.61 in name, Latin-1 in practice.
        Tag::TeletexString => return write_escaped(f, bytes.iter().copied().map(char::from)),
        Tag::BmpString if bytes.len() % 2 == 0 => {
            let units = bytes
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |unit, &byte| unit << 8 | u16::from(byte)));
            return write_escaped(
                f,
                char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)),
            );
        }
        _ => {}
    }
    f.write_char('#')?;
    for byte in der {
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

/// Writes a value with the escapes of RFC 4514 §2.4.
fn write_escaped(f: &mut fmt::Formatter<'_>, text: impl Iterator<Item = char>) -> fmt::Result {
    let mut text = text.peekable();
    let mut first = true;
    while let Some(letter) = text.next() {
        let last = text.peek().is_none();
        match letter {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => write!(f, "\\{letter}")?,
            ' ' if first || last => f.write_str("\\ ")?,
            '#' if first => f.write_str("\\#")?,
            _ if letter.is_control() => {
                for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
                    write!(f, "\\{byte:02X}")?;
                }
            }
            _ => f.write_char(letter)?,
        }
        first = false;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    use rcgen::{
        BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, KeyPair, PublicKeyData,
        SanType, date_time_ymd,
    };

    use super::*;

    /// A certificate made by rcgen, as `change` wants it.
    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> (Vec<u8>, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        change(&mut params);
        (params.self_signed(&key).unwrap().der().to_vec(), key)
    }

    /// A DER element.
    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = match content.len() {
            length @ ..0x80 => Vec::from([length as u8]),
            length @ ..0x100 => Vec::from([0x81, length as u8]),
            length => Vec::from([0x82, (length >> 8) as u8, length as u8]),
        };
        [&[tag][..], &length, &content].concat()
    }

    const ALGORITHM: &[u8] = &[0x30, 3, 6, 1, 42];
    const KEY: &[u8] = &[0x30, 9, 0x30, 3, 6, 1, 42, 3, 2, 0, 1];
    const DATES: &[u8] = b"\x30\x1e\x17\x0d260101000000Z\x17\x0d270101000000Z";
    const NO_NAME: &[u8] = &[0x30, 0];
    const SERIAL: &[u8] = &[2, 1, 5];

    /// A certificate from the parts of its tbsCertificate.
    fn assemble(parts: &[&[u8]]) -> Vec<u8> {
        element(0x30, &[&element(0x30, parts), ALGORITHM, &[3, 2, 0, 9]])
    }

    fn named(name: &[u8]) -> String {
        let der = assemble(&[SERIAL, ALGORITHM, NO_NAME, DATES, name, KEY]);
        Certificate::from_der(&der).unwrap().subject.to_string()
    }

    /// A name of one part.
    fn name(attributes: &[(&[u8], u8, &[u8])]) -> Vec<u8> {
        let attributes: Vec<_> = attributes
            .iter()
            .map(|(oid, tag, value)| element(0x30, &[&element(6, &[oid]), &element(*tag, &[value])]))
            .collect();
        element(0x31, &[&attributes.concat()])
    }

    const CN: &[u8] = &[0x55, 4, 3];

    #[test]
    fn everything_is_read() {
        let (der, key) = certificate(|params| {
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CountryName, "JP");
            params.distinguished_name.push(DnType::OrganizationName, "Acme, Inc.");
            params.distinguished_name.push(DnType::CommonName, "localhost");
            (params.not_before, params.not_after) = (date_time_ymd(2024, 2, 29), date_time_ymd(2055, 1, 1));
            params.serial_number = Some(Vec::from([1, 2, 3]).into());
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
            params.subject_alt_names = Vec::from([
                SanType::DnsName("localhost".try_into().unwrap()),
                SanType::Rfc822Name("a@b".try_into().unwrap()),
                SanType::IpAddress(Ipv4Addr::LOCALHOST.into()),
                SanType::IpAddress(Ipv6Addr::LOCALHOST.into()),
            ]);
        });
        let certificate = Certificate::from_der(&der).unwrap();
        assert_eq!((certificate.version, certificate.serial), (3, &[1, 2, 3][..]));
        assert_eq!(certificate.subject.to_string(), "CN=localhost,O=Acme\\, Inc.,C=JP");
        assert_eq!(certificate.issuer, certificate.subject);
        assert_eq!(certificate.not_before, Date(1_709_164_800));
        assert_eq!(
            format!("{} {:#}", certificate.not_before, certificate.not_after),
            "2024-02-29 2055-01-01 00:00:00 UTC"
        );
        assert_eq!(certificate.public_key.der, key.subject_public_key_info());
        assert_eq!(certificate.public_key.bits, key.public_key_raw());
        assert_eq!(certificate.public_key.algorithm.to_string(), "1.2.840.10045.2.1");
        assert_eq!(
            certificate.public_key.parameter.unwrap().to_string(),
            "1.2.840.10045.3.1.7"
        );
        assert_eq!(certificate.ca, Some(true));
        assert_eq!(
            certificate.alternatives().collect::<Vec<_>>(),
            [
                Alternative::Dns("localhost"),
                Alternative::Ip(Ipv4Addr::LOCALHOST.into()),
                Alternative::Ip(Ipv6Addr::LOCALHOST.into())
            ]
        );
        assert!(certificate.is_valid_at(certificate.not_before) && certificate.is_valid_at(certificate.not_after));
        assert!(!certificate.is_valid_at(Date(certificate.not_before.0 - 1)));
        assert!(!certificate.is_valid_at(Date(certificate.not_after.0 + 1)));

        use p256::ecdsa::signature::Verifier;
        let verifier = p256::ecdsa::VerifyingKey::from_sec1_bytes(certificate.public_key.bits).unwrap();
        let signature = p256::ecdsa::Signature::from_der(certificate.signature).unwrap();
        verifier.verify(certificate.tbs, &signature).unwrap();
    }

    #[test]
    fn a_leaf_without_extensions_is_read() {
        let (der, _) = certificate(|_| {});
        let read = Certificate::from_der(&der).unwrap();
        assert_eq!((read.ca, read.alternatives().count()), (None, 0));
        let der = assemble(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY]);
        let read = Certificate::from_der(&der).unwrap();
        assert_eq!((read.version, read.ca, read.public_key.parameter), (1, None, None));
        assert!(read.subject.is_empty());
    }

    #[test]
    fn names_are_shown_as_rfc_4514_says() {
        let one = |tag, value| named(&element(0x30, &[&name(&[(CN, tag, value)])]));
        assert_eq!(one(0x0c, b"a+b\"c<d>e;f\\g=h"), "CN=a\\+b\\\"c\\<d\\>e\\;f\\\\g=h");
        assert_eq!(one(0x13, b" # "), "CN=\\ #\\ ");
        assert_eq!(one(0x13, b"#1"), "CN=\\#1");
        assert_eq!(one(0x13, b" "), "CN=\\ ");
        assert_eq!(
            one(0x0c, "Lučić\u{9b}31m\n\0".as_bytes()),
            "CN=Lučić\\C2\\9B31m\\0A\\00"
        );
        assert_eq!(one(0x14, b"caf\xe9"), "CN=café");
        assert_eq!(one(0x1e, &[0x4e, 0x2d, 0, 0x41]), "CN=中A");
        assert_eq!(one(0x0c, b"\xff"), "CN=#0c01ff");
        assert_eq!(one(0x04, b"\x01"), "CN=#040101");
        assert_eq!(named(NO_NAME), "");
        let unknown = name(&[(&[42, 3], 0x13, b"x")]);
        let pair = name(&[(CN, 0x13, b"x"), (&[0x55, 4, 11], 0x13, b"y")]);
        assert_eq!(named(&element(0x30, &[&unknown, &pair])), "CN=x+OU=y,1.2.3=x");
    }

    #[test]
    fn dates_are_checked() {
        let read = |dates: &[u8]| {
            let der = assemble(&[SERIAL, ALGORITHM, NO_NAME, &element(0x30, &[dates]), NO_NAME, KEY]);
            Certificate::from_der(&der).map(|read| (read.not_before.0, read.not_after.0))
        };
        let bad = Err(CertError::Malformed("validity"));
        assert_eq!(
            read(b"\x17\x0d700101000000Z\x17\x0d491231235959Z"),
            Ok((0, 2_524_607_999))
        );
        assert_eq!(
            read(b"\x17\x0d991231235959Z\x18\x0f99991231235959Z"),
            Ok((946_684_799, 253_402_300_799))
        );
        for dates in [
            &b"\x17\x0d240230000000Z\x17\x0d491231235959Z"[..],
            b"\x17\x0d230229000000Z\x17\x0d491231235959Z",
            b"\x17\x0d241301000000Z\x17\x0d491231235959Z",
            b"\x17\x0d240101240000Z\x17\x0d491231235959Z",
            b"\x17\x0b2401010000Z\x17\x0d491231235959Z",
            b"\x17\x0d2401010000+0\x17\x0d491231235959Z",
            b"\x17\x0d2401010000-1Z\x17\x0d491231235959Z",
            b"\x17\x0d240101000000Z",
            b"\x17\x0d240101000000Z\x17\x0d491231235959Z\x05\x00",
            b"\x18\x1120240101000000.5Z\x17\x0d491231235959Z",
        ] {
            assert_eq!(read(dates), bad, "{}", String::from_utf8_lossy(dates));
        }
        assert_eq!(Date(u64::MAX).to_string(), "after the year 9999");
    }

    #[test]
    fn each_part_that_is_wrong_is_named() {
        let fault = |parts: &[&[u8]]| Certificate::from_der(&assemble(parts)).unwrap_err();
        let malformed = CertError::Malformed;
        assert_eq!(Certificate::from_der(&[]).unwrap_err(), malformed("not a DER SEQUENCE"));
        let good = assemble(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY]);
        assert_eq!(
            Certificate::from_der(&[&good[..], &[0]].concat()).unwrap_err(),
            malformed("bytes after its end")
        );
        assert_eq!(
            fault(&[&[0xa0, 3, 2, 1, 3], SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY]),
            malformed("version")
        );
        for serial in [&[2, 0][..], &[2, 2, 0, 1], &[2, 2, 0xff, 0x80], &[4, 1, 1]] {
            assert_eq!(
                fault(&[serial, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY]),
                malformed("serialNumber")
            );
        }
        let other = [0x30, 3, 6, 1, 43];
        assert_eq!(
            fault(&[SERIAL, &other, NO_NAME, DATES, NO_NAME, KEY]),
            CertError::SignatureAlgorithms
        );
        for name in [
            &[0x30, 2, 0x31, 0][..],
            &[0x31, 0],
            &[0x30, 2, 0x30, 0],
            &[0x30, 0x80, 0, 0],
        ] {
            assert_eq!(
                fault(&[SERIAL, ALGORITHM, name, DATES, NO_NAME, KEY]),
                malformed("issuer")
            );
            assert_eq!(
                fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, name, KEY]),
                malformed("subject")
            );
        }
        let long = element(0x30, &[&name(&[(CN, 0x13, b"x")]).repeat(MAX_RDNS + 1)]);
        assert_eq!(
            fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, &long, KEY]),
            malformed("subject")
        );
        let odd = [0x30, 9, 0x30, 3, 6, 1, 42, 3, 2, 1, 0];
        assert_eq!(
            fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, &odd]),
            malformed("subjectPublicKeyInfo")
        );
        assert_eq!(
            fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY, &[5, 0]]),
            malformed("unknown fields")
        );
        // Extensions in a certificate of version 1.
        assert_eq!(
            fault(&[SERIAL, ALGORITHM, NO_NAME, DATES, NO_NAME, KEY, &[0xa3, 2, 0x30, 0]]),
            malformed("unknown fields")
        );
    }

    #[test]
    fn extensions_are_checked() {
        let with = |extensions: Vec<CustomExtension>| {
            let (der, _) = certificate(|params| params.custom_extensions = extensions);
            Certificate::from_der(&der).map(|read| read.ca)
        };
        let extension = |oid: &[u64], value: &[u8]| CustomExtension::from_oid_content(oid, value.to_vec());
        let other = |number| extension(&[1, 2, 3, number], &[5, 0]);
        assert_eq!(with(Vec::from([other(1), other(2)])), Ok(None));
        assert_eq!(with(Vec::from([other(1), other(1)])), Err(CertError::RepeatedExtension));
        let many = (0..=MAX_EXTENSIONS as u64).map(other).collect();
        assert_eq!(with(many), Err(CertError::TooManyExtensions));
        let constraints = |value: &[u8]| with(Vec::from([extension(&[2, 5, 29, 19], value)]));
        assert_eq!(constraints(&[0x30, 0]), Ok(Some(false)));
        assert_eq!(constraints(&[0x30, 3, 1, 1, 0xff]), Ok(Some(true)));
        for bad in [&[0x30, 3, 1, 1, 1][..], &[5, 0], &[0x30, 0, 0], &[0x30, 2, 5, 0]] {
            assert_eq!(constraints(bad), Err(CertError::Malformed("basicConstraints")));
        }
        let alternatives = |value: &[u8]| with(Vec::from([extension(&[2, 5, 29, 17], value)]));
        assert_eq!(alternatives(&[0x30, 3, 0x82, 1, b'a']), Ok(None));
        for bad in [
            &[0x30, 3, 0x82, 1, 0xff][..],
            &[0x30, 5, 0x87, 3, 1, 2, 3],
            &[0x30, 2, 5, 0],
            &[0x30, 2, 0x82, 1],
        ] {
            assert_eq!(
                alternatives(bad),
                Err(CertError::Malformed("subjectAltName")),
                "{bad:?}"
            );
        }
    }

    /// Cut short or changed anywhere, a certificate is read or refused, and what was read can be shown.
    #[test]
    fn no_bytes_make_it_panic() {
        let (der, _) = certificate(|params| {
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
            params.subject_alt_names = Vec::from([SanType::DnsName("localhost".try_into().unwrap())]);
        });
        for length in 0..der.len() {
            assert!(Certificate::from_der(&der[..length]).is_err());
        }
        let mut read = 0;
        for at in 0..der.len() {
            for value in [
                0x00,
                0x01,
                0x30,
                0x7f,
                0x80,
                0x84,
                0xa0,
                0xff,
                der[at] ^ 1,
                der[at].wrapping_add(1),
            ] {
                let mut changed = der.clone();
                changed[at] = value;
                if let Ok(certificate) = Certificate::from_der(&changed) {
                    read += 1;
                    let shown = format!("{certificate:?} {} {:#}", certificate.subject, certificate.not_after);
                    assert!(!shown.contains(['\n', '\u{1b}']));
                    assert!(certificate.alternatives().count() <= 1);
                }
            }
        }
        assert!(read > 100, "{read}");
    }
}
