//! One thing that is shown, and what its bytes mean.

use core::fmt;

use postern_tls::pki::cert::Certificate;
use postern_tls::pki::verify::PeerIdentity;

/// One thing that is shown of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Item<'t> {
    /// The number of groups that it is nested in.
    pub depth: u8,
    /// Where it comes from.
    pub kind: ItemKind,
    /// Its name in the RFC.
    pub name: &'static str,
    /// Its bytes; a group has none of its own.
    pub bytes: &'t [u8],
    /// The meaning of the bytes.
    pub meaning: Meaning<'t>,
    /// Its purpose; may be empty.
    pub note: &'static str,
}

/// Where an item comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// The heading of the items that follow with a greater depth.
    Group,
    /// Bytes of a record's header and protection.
    Record,
    /// Bytes of a message, or of other content of a record.
    Wire,
    /// Something computed, which was not on the wire as such.
    Computed,
}

/// The meaning of bytes, to be displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning<'t> {
    /// None.
    None,
    /// Fixed words.
    Words(&'static str),
    /// A number without a known name.
    Unknown(u32),
    /// A length in bytes.
    Length(usize),
    /// A number, and what it counts.
    Count(u64, &'static str),
    /// A text from the peer; displayed with everything but graphic ASCII escaped.
    Text(&'t [u8]),
    /// A text that has been escaped already.
    Plain(&'t str),
    /// The subject of this certificate in DER.
    Subject(&'t [u8]),
    /// The validity period of this certificate in DER.
    Validity(&'t [u8]),
}

impl fmt::Display for Meaning<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::None => Ok(()),
            Self::Words(words) => f.write_str(words),
            Self::Plain(text) => f.write_str(text),
            Self::Unknown(number) => write!(f, "{number:#06x}, unknown"),
            Self::Length(1) => f.write_str("1 byte follows"),
            Self::Length(length) => write!(f, "{length} bytes follow"),
            Self::Count(number, "") => write!(f, "{number}"),
            Self::Count(number, unit) => {
                // The unit's first word is a plural, or no noun.
                let (noun, rest) = unit.split_at(unit.find(' ').unwrap_or(unit.len()));
                let noun = if number == 1 {
                    noun.strip_suffix('s').unwrap_or(noun)
                } else {
                    noun
                };
                write!(f, "{number} {noun}{rest}")
            }
            Self::Text(text) => {
                f.write_str("\"")?;
                text.escape_ascii()
                    .try_for_each(|byte| write!(f, "{}", char::from(byte)))?;
                f.write_str("\"")
            }
            Self::Subject(der) => match PeerIdentity::from_leaf(der) {
                Ok(identity) => identity.subject.fmt(f),
                Err(_) => f.write_str("a certificate that cannot be read"),
            },
            Self::Validity(der) => match Certificate::from_der(der) {
                Ok(Certificate {
                    not_before, not_after, ..
                }) => write!(f, "from {not_before} to {not_after}"),
                Err(_) => Ok(()),
            },
        }
    }
}
