//! The uses of a certificate, and its critical extensions.

use core::fmt::Write as _;

use der::asn1::{BitStringRef, ObjectIdentifier};
use der::{Decode as _, Reader as _, SliceReader};

use super::cert::{
    AUTHORITY_KEY_ID, BASIC_CONSTRAINTS, CertError, Certificate, SUBJECT_ALT_NAME, SUBJECT_KEY_ID, outer, rest,
};
use super::error::CertificateError;
use super::text::Text;

/// id-ce-keyUsage (RFC 5280 §4.2.1.3).
const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
/// id-ce-extKeyUsage (§4.2.1.12).
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
/// id-ce-nameConstraints (§4.2.1.10).
const NAME_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.30");
/// id-ce-certificatePolicies (§4.2.1.4). No policy is required (§6.1.1 c, e), so any is accepted.
const CERTIFICATE_POLICIES: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.32");
/// id-ce-cRLDistributionPoints (§4.2.1.13): where lists are published, which does not limit the certificate.
const CRL_DISTRIBUTION_POINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.31");

/// The purposes of extendedKeyUsage that have names (§4.2.1.12).
const PURPOSES: [(ObjectIdentifier, &str); 7] = [
    (SERVER, "server authentication"),
    (CLIENT, "client authentication"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.3"), "code signing"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.4"), "e-mail protection"),
    (ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.8"), "time stamping"),
    (OCSP_SIGNING, "OCSP signing"),
    (ObjectIdentifier::new_unwrap("2.5.29.37.0"), "any purpose"),
];
/// id-kp-serverAuth.
pub(super) const SERVER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// id-kp-clientAuth.
pub(super) const CLIENT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// id-kp-OCSPSigning (RFC 6960 §4.2.2.2).
pub(super) const OCSP_SIGNING: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.9");
/// id-pe-tlsfeature (RFC 7633 §6).
pub(super) const TLS_FEATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.1.24");

/// The extensions of a certificate that limit it.
pub(super) struct Usage<'a> {
    /// The first eight bits of keyUsage, the first one highest.
    key_usage: Option<u8>,
    /// The content of extendedKeyUsage: identifiers.
    purposes: Option<&'a [u8]>,
    /// The value of nameConstraints.
    pub(super) name_constraints: Option<&'a [u8]>,
    /// The first unsupported critical extension.
    pub(super) unknown: Option<ObjectIdentifier>,
    /// Whether nameConstraints are critical. A leaf must not have them.
    critical_constraints: bool,
}

const MALFORMED: CertificateError = CertificateError::Malformed(CertError::Malformed("extensions"));

impl<'a> Usage<'a> {
    pub(super) fn of(certificate: &Certificate<'a>) -> Result<Self, CertificateError> {
        let mut usage = Self {
            key_usage: None,
            purposes: None,
            name_constraints: None,
            unknown: None,
            critical_constraints: false,
        };
        for extension in certificate.extensions() {
            match extension.oid {
                KEY_USAGE => {
                    let bits = BitStringRef::from_der(extension.value).map_err(|_| MALFORMED)?;
                    usage.key_usage = Some(bits.raw_bytes().first().copied().unwrap_or(0));
                }
                EXTENDED_KEY_USAGE => {
                    usage.purposes = Some(purposes(extension.value).map_err(|_| MALFORMED)?);
                }
                NAME_CONSTRAINTS => {
                    usage.name_constraints = Some(extension.value);
                    usage.critical_constraints = extension.critical;
                }
                // `staple` checks what the TLS features require of a server's certificate.
                BASIC_CONSTRAINTS | SUBJECT_ALT_NAME | TLS_FEATURE => {}
                CERTIFICATE_POLICIES | CRL_DISTRIBUTION_POINTS | SUBJECT_KEY_ID | AUTHORITY_KEY_ID => {}
                unknown if extension.critical => usage.unknown = usage.unknown.or(Some(unknown)),
                _ => {}
            }
        }
        Ok(usage)
    }

    /// Whether there is a critical extension that is not supported in a leaf.
    pub(super) fn unknown_critical(&self) -> bool {
        self.unknown.is_some() || self.critical_constraints
    }

    /// Whether the key may sign handshakes: digitalSignature is set, or there is no keyUsage.
    pub(super) fn may_sign(&self) -> bool {
        self.key_usage.is_none_or(|bits| bits & 0x80 != 0)
    }

    /// Whether the key may sign certificates: keyCertSign is set, or there is no keyUsage.
    pub(super) fn may_sign_certificates(&self) -> bool {
        self.key_usage.is_none_or(|bits| bits & 0x04 != 0)
    }

    /// Whether the key may sign revocation lists: cRLSign is set, or there is no keyUsage.
    pub(super) fn may_sign_crls(&self) -> bool {
        self.key_usage.is_none_or(|bits| bits & 0x02 != 0)
    }

    /// Whether it may be used for `purpose`: it is listed, or there is no list. As in webpki, "any purpose" does not count.
    pub(super) fn is_for(&self, purpose: ObjectIdentifier) -> bool {
        self.purposes.is_none() || self.purposes().any(|stated| stated == purpose)
    }

    /// Whether `purpose` is listed.
    #[cfg(feature = "ocsp")]
    pub(super) fn states(&self, purpose: ObjectIdentifier) -> bool {
        self.purposes().any(|stated| stated == purpose)
    }

    /// [`CertificateError::WrongPurpose`] for a required `purpose`.
    pub(super) fn wrong_purpose(&self, purpose: ObjectIdentifier) -> CertificateError {
        let name = |wanted| {
            PURPOSES
                .iter()
                .find(|(known, _)| *known == wanted)
                .map(|(_, name)| *name)
        };
        let mut present = Text::new("");
        for (number, stated) in self.purposes().enumerate() {
            let separator = if number == 0 { "" } else { ", " };
            let _ = match name(stated) {
                Some(name) => write!(present, "{separator}{name}"),
                None => write!(present, "{separator}{stated}"),
            };
        }
        CertificateError::WrongPurpose {
            wanted: name(purpose).unwrap_or("this purpose"),
            present: if present.is_empty() {
                Text::new("nothing")
            } else {
                present
            },
        }
    }

    fn purposes(&self) -> impl Iterator<Item = ObjectIdentifier> {
        let mut reader = self.purposes.and_then(|purposes| SliceReader::new(purposes).ok());
        core::iter::from_fn(move || {
            let reader = reader.as_mut().filter(|reader| !reader.is_finished())?;
            ObjectIdentifier::decode(reader).ok()
        })
    }
}

/// Checks an extendedKeyUsage and returns the content of its SEQUENCE.
fn purposes(der: &[u8]) -> der::Result<&[u8]> {
    let (mut inner, trailing) = outer(der)?;
    SliceReader::new(trailing)?.finish()?;
    let purposes = rest(&inner)?;
    while !inner.is_finished() {
        let _: ObjectIdentifier = ObjectIdentifier::decode(&mut inner)?;
    }
    Ok(purposes)
}
