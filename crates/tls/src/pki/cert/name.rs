//! Distinguished names (RFC 5280 §4.1.2.4).

use core::fmt::{self, Write};

use der::asn1::ObjectIdentifier;
use der::{Decode, Reader, SliceReader, Tag};

use super::{CertError, outer, rest, sequence, tagged};
use crate::pki::text::{Hex, needs_escape};

/// The most relative distinguished names in a name.
pub const MAX_RDNS: usize = 32;

/// A distinguished name (§4.1.2.4).
///
/// Displayed by RFC 4514, most specific part first: `CN=localhost,O=Postern`. Control characters are escaped too, so that
/// a name from an untrusted peer can be shown on a terminal.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name<'a> {
    /// Its DER. Equal bytes are equal names (§7.1 would fold case and blanks too; webpki and this compare bytes).
    pub der: &'a [u8],
}

impl<'a> Name<'a> {
    /// Reads a name of at most [`MAX_RDNS`] parts.
    pub(in super::super) fn read(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        let name = Self::read_any(reader)?;
        if name.rdns().count() > MAX_RDNS {
            return Err(Tag::Sequence.length_error().into());
        }
        Ok(name)
    }

    /// Reads the name in the named field of a certificate.
    pub(super) fn read_field(reader: &mut SliceReader<'a>, field: &'static str) -> Result<Self, CertError> {
        let name = Self::read_any(reader).map_err(|_| CertError::Malformed(field))?;
        if name.rdns().count() > MAX_RDNS {
            return Err(CertError::TooManyRdns(field));
        }
        Ok(name)
    }

    fn read_any(reader: &mut SliceReader<'a>) -> der::Result<Self> {
        let name = Self {
            der: reader.tlv_bytes()?,
        };
        let (mut rdns, _) = outer(name.der)?;
        while !rdns.is_finished() {
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

    /// Whether it has no parts.
    pub fn is_empty(&self) -> bool {
        self.rdns().next().is_none()
    }

    /// The most specific common name. `None` also if it contains other characters than ASCII.
    pub fn common_name(&self) -> Option<&'a str> {
        let mut found = None;
        for mut rdn in self.rdns() {
            while let (false, Ok((oid, value))) = (rdn.is_finished(), attribute(&mut rdn)) {
                if oid == COMMON_NAME {
                    found = Some(value);
                }
            }
        }
        let (UTF8_STRING | PRINTABLE_STRING | IA5_STRING | TELETEX_STRING, value) = any(found?)? else {
            return None;
        };
        core::str::from_utf8(value).ok().filter(|text| text.is_ascii())
    }

    /// The relative distinguished names, in the order of the DER.
    fn rdns(&self) -> impl Iterator<Item = SliceReader<'a>> {
        let mut rdns = outer(self.der).ok().map(|(rdns, _)| rdns);
        core::iter::from_fn(move || rdns.as_mut().and_then(|rdns| set(rdns).ok()))
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, number) in (0..self.rdns().count()).rev().enumerate() {
            let Some(mut rdn) = self.rdns().nth(number) else {
                continue;
            };
            let mut separator = if place == 0 { "" } else { "," };
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

/// id-at-commonName (§4.1.2.4).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The attribute types with short names (RFC 4514 §3), and emailAddress, which OpenSSL shows too.
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

fn set<'a>(reader: &mut SliceReader<'a>) -> der::Result<SliceReader<'a>> {
    tagged(reader, Tag::Set)
}

/// An AttributeTypeAndValue (§4.1.2.4): the type, and the value as DER.
fn attribute<'a>(reader: &mut SliceReader<'a>) -> der::Result<(ObjectIdentifier, &'a [u8])> {
    let mut inner = sequence(reader)?;
    let (oid, value) = (ObjectIdentifier::decode(&mut inner)?, rest(&inner)?);
    match any(value) {
        Some(_) => Ok((oid, value)),
        None => Err(Tag::Sequence.value_error().into()),
    }
}

/// The tag and content of the only element in `der`. The `der` crate does not support UniversalString, one of the types
/// of a DirectoryString (§4.1.2.4).
fn any(der: &[u8]) -> Option<(u8, &[u8])> {
    let (&tag, der) = der.split_first()?;
    let (&first, der) = der.split_first()?;
    let (length, content) = match first {
        ..=0x7f => (usize::from(first), der),
        0x81 => {
            let (&length, content) = der.split_first().filter(|(length, _)| **length >= 0x80)?;
            (usize::from(length), content)
        }
        0x82 => {
            let (&length, content) = der.split_first_chunk().filter(|(length, _)| length[0] != 0)?;
            (usize::from(u16::from_be_bytes(length)), content)
        }
        _ => return None,
    };
    // String tags have one byte.
    (tag & 0x1f != 0x1f && tag != 0 && content.len() == length).then_some((tag, content))
}

/// The tags of strings (X.680 §8.4).
const UTF8_STRING: u8 = 12;
const NUMERIC_STRING: u8 = 18;
const PRINTABLE_STRING: u8 = 19;
const TELETEX_STRING: u8 = 20;
const IA5_STRING: u8 = 22;
const VISIBLE_STRING: u8 = 26;
const UNIVERSAL_STRING: u8 = 28;
const BMP_STRING: u8 = 30;

/// `CN=localhost`, or `1.2.3=#0c0161` if type or value have no text form (RFC 4514 §2.3, §2.4).
fn write_attribute(f: &mut fmt::Formatter<'_>, oid: ObjectIdentifier, der: &[u8]) -> fmt::Result {
    let (tag, bytes) = any(der).ok_or(fmt::Error)?;
    match ATTRIBUTES.iter().find(|(known, _)| *known == oid) {
        Some((_, name)) => write!(f, "{name}=")?,
        None => write!(f, "{oid}=")?,
    }
    match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING | NUMERIC_STRING | VISIBLE_STRING => {
            if let Ok(text) = core::str::from_utf8(bytes) {
                return write_escaped(f, text.chars());
            }
        }
        // T.61 in name, Latin-1 in practice.
        TELETEX_STRING => return write_escaped(f, bytes.iter().copied().map(char::from)),
        BMP_STRING if bytes.len() % 2 == 0 => {
            let units = bytes
                .chunks_exact(2)
                .map(|pair| pair.iter().fold(0, |unit, &byte| unit << 8 | u16::from(byte)));
            return write_escaped(
                f,
                char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)),
            );
        }
        // UTF-32, big-endian (X.690 §8.23.7).
        UNIVERSAL_STRING if bytes.len() % 4 == 0 => {
            let (units, _) = bytes.as_chunks();
            let letters = units.iter().map(|&unit| char::from_u32(u32::from_be_bytes(unit)));
            return write_escaped(f, letters.map(|letter| letter.unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        _ => {}
    }
    write!(f, "#{}", Hex(der))
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
            _ if needs_escape(letter) => {
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
