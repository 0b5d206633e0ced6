//! Unsupported name forms in nameConstraints (RFC 5280 §4.2.1.10).
//!
//! webpki processes constraints on DNS names and IP addresses. A certificate with a name of any other constrained form is
//! refused (§4.2.1.10: "the application MUST either process the constraint or reject the certificate"), and so is every
//! certificate below a CA that constrains directory names, since every subject is one. This module finds such forms to
//! report the reason.

use der::{Decode as _, Header, Reader as _, SliceReader, Tag};

use super::cert::{Certificate, context, outer, sequence};
use super::work::Work;

/// The forms of a GeneralName (§4.2.1.6), by the number of their tag.
const FORMS: [&str; 9] = [
    "otherName",
    "rfc822Name",
    "dNSName",
    "x400Address",
    "directoryName",
    "ediPartyName",
    "uniformResourceIdentifier",
    "iPAddress",
    "registeredID",
];
/// The forms that webpki compares: dNSName and iPAddress.
const SUPPORTED: u16 = 1 << 2 | 1 << 7;
/// The form of every subject.
const DIRECTORY_NAME: u16 = 1 << 4;

/// A name form that `constraints`, the value of a nameConstraints extension, constrains and that one of the certificates
/// `below` has, but that cannot be compared. Each name is read once.
pub(super) fn unsupported_form(constraints: &[u8], below: &[&[u8]], work: &Work) -> Option<&'static str> {
    let constrained = constrained_forms(constraints, work) & !SUPPORTED;
    if constrained == 0 {
        return None;
    }
    let certificates = below.iter().filter_map(|der| Certificate::from_der(der).ok());
    let given = certificates.fold(DIRECTORY_NAME, |forms, certificate| {
        forms | given_forms(&certificate, work)
    });
    let number = (constrained & given).trailing_zeros();
    FORMS.get(usize::try_from(number).ok()?).copied()
}

/// The forms of the subtrees of `constraints`, as a bit set. webpki refuses what cannot be parsed.
fn constrained_forms(constraints: &[u8], work: &Work) -> u16 {
    let mut forms = 0;
    let Ok((mut fields, _)) = outer(constraints) else {
        return forms;
    };
    for number in [0, 1] {
        let Ok(subtrees) = context(&mut fields, true, number) else {
            return forms;
        };
        let Some(mut subtrees) = subtrees else { continue };
        while !subtrees.is_finished() {
            let Some(form) = sequence(&mut subtrees).ok().and_then(|mut base| form(&mut base, work)) else {
                return forms;
            };
            forms |= form;
        }
    }
    forms
}

/// The forms of the names in subjectAltName.
fn given_forms(certificate: &Certificate<'_>, work: &Work) -> u16 {
    let mut forms = 0;
    let Ok(mut names) = SliceReader::new(certificate.alternative_names()) else {
        return forms;
    };
    while !names.is_finished() {
        let Some(form) = form(&mut names, work) else { break };
        forms |= form;
    }
    forms
}

/// Reads a GeneralName and returns the bit of its form.
fn form(reader: &mut SliceReader<'_>, work: &Work) -> Option<u16> {
    work.add_name();
    let header = Header::decode(reader).ok()?;
    let Tag::ContextSpecific { number, .. } = header.tag() else {
        return None;
    };
    reader.read_slice(header.length()).ok()?;
    1_u16
        .checked_shl(number.0)
        .filter(|_| (number.0 as usize) < FORMS.len())
}
