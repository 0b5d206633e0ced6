//! Forms of names in nameConstraints (RFC 5280 §4.2.1.10) that are not supported.
//!
//! Of constraints webpki knows DNS names and IP addresses. A certificate with a name of any other form that is
//! constrained is refused (§4.2.1.10: "the application MUST either process the constraint or reject the certificate"), and
//! so is each one below a CA whose directory names are constrained, as every subject is one. Here this is found, so that
//! the reason can be reported.

use der::{Decode as _, Header, Reader as _, SliceReader, Tag};

use super::cert::{Certificate, context, outer, sequence};

/// The forms of a GeneralName (§4.2.1.6), by the number of their tag.
const FORMS: [&str; 9] = [
    "otherName",
    "rfc822Name",
    DNS_NAME,
    "x400Address",
    DIRECTORY_NAME,
    "ediPartyName",
    "uniformResourceIdentifier",
    IP_ADDRESS,
    "registeredID",
];
const DNS_NAME: &str = "dNSName";
const DIRECTORY_NAME: &str = "directoryName";
const IP_ADDRESS: &str = "iPAddress";

/// The first form of name that `constraints`, the value of a nameConstraints extension, constrains and that one of the
/// certificates `below` has, but that cannot be compared.
pub(super) fn unsupported_form(constraints: &[u8], below: &[&[u8]]) -> Option<&'static str> {
    // What cannot be read is for webpki to refuse.
    let (mut fields, _) = outer(constraints).ok()?;
    for number in [0, 1] {
        let Some(mut subtrees) = context(&mut fields, true, number).ok()? else {
            continue;
        };
        while !subtrees.is_finished() {
            let form = form(&mut sequence(&mut subtrees).ok()?)?;
            let has = |der: &&[u8]| Certificate::from_der(der).is_ok_and(|below| has_form(&below, form));
            match form {
                DNS_NAME | IP_ADDRESS => {}
                DIRECTORY_NAME => return Some(form),
                _ if below.iter().any(has) => return Some(form),
                _ => {}
            }
        }
    }
    None
}

fn has_form(certificate: &Certificate<'_>, wanted: &str) -> bool {
    let Ok(mut names) = SliceReader::new(certificate.alternative_names()) else {
        return false;
    };
    while !names.is_finished() {
        match form(&mut names) {
            Some(form) if form == wanted => return true,
            Some(_) => {}
            None => return false,
        }
    }
    false
}

/// Reads a GeneralName, and gives its form.
fn form(reader: &mut SliceReader<'_>) -> Option<&'static str> {
    let header = Header::decode(reader).ok()?;
    let Tag::ContextSpecific { number, .. } = header.tag() else {
        return None;
    };
    reader.read_slice(header.length()).ok()?;
    FORMS.get(usize::try_from(number.0).ok()?).copied()
}
