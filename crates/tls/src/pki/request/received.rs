//! Parsing of certificate requests (RFC 2986), for a CA.

use der::asn1::ObjectIdentifier;
use der::{Decode as _, Reader as _, SliceReader, Tag};

use crate::pki::cert::{
    Alternative, BASIC_CONSTRAINTS, CertError, Name, PublicKey, SUBJECT_ALT_NAME, algorithm, alternatives,
    basic_constraints, context, each_alternative, extension, octets, outer, sequence, tagged,
};
use crate::pki::error::CertificateError;
use crate::pki::signed;
use crate::pki::work::Work;

/// extensionRequest (RFC 2985 §5.4.2).
const EXTENSION_REQUEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");

/// A certificate request, parsed from its DER and borrowing from it. What it asks for is for the CA to decide upon.
#[derive(Debug, Clone)]
pub struct ReceivedRequest<'a> {
    /// The subject.
    pub subject: Name<'a>,
    /// The public key.
    pub public_key: PublicKey<'a>,
    /// Whether basicConstraints asks for a CA (RFC 5280 §4.2.1.9).
    pub ca: bool,
    /// The content of subjectAltName: GeneralNames.
    alternatives: &'a [u8],
    /// The signed part, as DER.
    info: &'a [u8],
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> ReceivedRequest<'a> {
    /// Reads a CertificationRequest (RFC 2986 §4.2). `der` must hold it and nothing else. Its signature is left to
    /// [`ReceivedRequest::verify`].
    ///
    /// # Errors
    /// [`CertError::Malformed`] or [`CertError::RepeatedExtension`].
    pub fn from_der(der: &'a [u8]) -> Result<Self, CertError> {
        use CertError::Malformed;
        let (mut outer, rest) = outer(der).map_err(|_| Malformed("not a DER SEQUENCE"))?;
        if !rest.is_empty() {
            return Err(Malformed("bytes after its end"));
        }
        let info = outer.tlv_bytes().map_err(|_| Malformed("certificationRequestInfo"))?;
        let signature_algorithm = outer.tlv_bytes().map_err(|_| Malformed("signatureAlgorithm"))?;
        algorithm(signature_algorithm).map_err(|_| Malformed("signatureAlgorithm"))?;
        let signature = octets(&mut outer).map_err(|_| Malformed("signature"))?;
        outer.finish().map_err(|_| Malformed("bytes after its signature"))?;

        let (mut reader, _) = self::outer(info).map_err(|_| Malformed("certificationRequestInfo"))?;
        if u8::decode(&mut reader) != Ok(0) {
            return Err(Malformed("version"));
        }
        let mut request = Self {
            subject: Name::read(&mut reader).map_err(|_| Malformed("subject"))?,
            public_key: PublicKey::read(&mut reader).map_err(|_| Malformed("subjectPKInfo"))?,
            ca: false,
            alternatives: &[],
            info,
            signature_algorithm,
            signature,
        };
        let attributes = context(&mut reader, true, 0).map_err(|_| Malformed("attributes"))?;
        reader.finish().map_err(|_| Malformed("unknown fields"))?;
        let mut attributes = attributes.ok_or(Malformed("attributes"))?;
        let mut found = false;
        while !attributes.is_finished() {
            let value = extension_request(&mut attributes).map_err(|_| Malformed("attributes"))?;
            if let Some(mut extensions) = value {
                if core::mem::replace(&mut found, true) {
                    return Err(CertError::RepeatedExtension);
                }
                request.read_extensions(&mut extensions)?;
            }
        }
        Ok(request)
    }

    fn read_extensions(&mut self, extensions: &mut SliceReader<'a>) -> Result<(), CertError> {
        use CertError::Malformed;
        let (mut has_names, mut has_constraints) = (false, false);
        while !extensions.is_finished() {
            let extension = extension(extensions).map_err(|_| Malformed("extensionRequest"))?;
            let seen = match extension.oid {
                BASIC_CONSTRAINTS => {
                    (self.ca, _) = basic_constraints(extension.value).map_err(|_| Malformed("basicConstraints"))?;
                    &mut has_constraints
                }
                SUBJECT_ALT_NAME => {
                    self.alternatives = alternatives(extension.value).map_err(|_| Malformed("subjectAltName"))?;
                    &mut has_names
                }
                _ => continue,
            };
            if core::mem::replace(seen, true) {
                return Err(CertError::RepeatedExtension);
            }
        }
        Ok(())
    }

    /// The names in subjectAltName; `None` for one that is neither a DNS name nor an IP address.
    pub fn names(&self) -> impl Iterator<Item = Option<Alternative<'a>>> {
        each_alternative(self.alternatives)
    }

    /// Verifies that the private half of the public key signed the request (RFC 2986 §3).
    ///
    /// # Errors
    /// [`CertificateError::BadSignature`], or [`CertificateError::UnsupportedSignatureAlgorithm`], also for an RSA key of a
    /// size that is not supported.
    pub fn verify(&self) -> Result<(), CertificateError> {
        let spki = self.public_key.der;
        signed::verify(
            self.signature_algorithm,
            spki,
            self.info,
            self.signature,
            &Work::default(),
        )
    }
}

/// The extensions in an Attribute (RFC 2986 §4.1), if it is extensionRequest.
fn extension_request<'a>(attributes: &mut SliceReader<'a>) -> der::Result<Option<SliceReader<'a>>> {
    let mut attribute = sequence(attributes)?;
    let oid = ObjectIdentifier::decode(&mut attribute)?;
    let mut values = tagged(&mut attribute, Tag::Set)?;
    attribute.finish()?;
    if oid != EXTENSION_REQUEST {
        return Ok(None);
    }
    let extensions = sequence(&mut values)?;
    values.finish()?;
    Ok(Some(extensions))
}
