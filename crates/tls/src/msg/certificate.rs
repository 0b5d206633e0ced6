//! Certificate, CertificateStatus, CertificateVerify, CertificateRequest.

use super::client_hello::OCSP;
use super::{Emit, Extensions, emit_extension, list16, not_empty};
use crate::codec::{Full, Reader, U16List, Writer};
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::Authentication;
use crate::error::{Error, InvalidMessage, PeerMisbehaved};
pub(crate) use crate::pki::limits::MAX_CHAIN;
use crate::pki::verify::{DerList, issuer_of};
use crate::registry::{ExtensionType, HandshakeType, NamedScheme, ProtocolVersion};

/// The certificates of a chain, leaf first.
pub(crate) type Chain<'a> = heapless::Vec<&'a [u8], MAX_CHAIN>;

/// Certificate of TLS 1.3 (RFC 8446 §4.4.2).
pub(crate) struct CertificateTls13<'a> {
    /// The context of the CertificateRequest.
    pub(crate) context: &'a [u8],
    /// In DER, leaf first.
    pub(crate) chain: DerList<'a>,
}

impl Emit for CertificateTls13<'_> {
    const KIND: HandshakeType = HandshakeType::CERTIFICATE;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.nested8(|writer| writer.bytes(self.context))?;
        writer.nested24(|writer| {
            self.chain.iter().try_for_each(|certificate| {
                writer.nested24(|writer| writer.bytes(certificate))?;
                writer.nested16(|_| Ok(()))
            })
        })
    }
}

/// Certificate of TLS 1.2 (RFC 5246 §7.4.2).
pub(crate) struct CertificateTls12<'a> {
    /// In DER, leaf first.
    pub(crate) chain: DerList<'a>,
}

impl Emit for CertificateTls12<'_> {
    const KIND: HandshakeType = HandshakeType::CERTIFICATE;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.nested24(|writer| {
            self.chain
                .iter()
                .try_for_each(|certificate| writer.nested24(|writer| writer.bytes(certificate)))
        })
    }
}

/// Parses a Certificate of TLS 1.3, whose context must be `context`. The chain may be empty.
///
/// `asked`: whether the status of certificates was requested. The OCSP response of the first certificate is returned;
/// those of others are parsed and ignored.
pub(crate) fn parse_tls13<'a>(
    body: &'a [u8],
    context: &[u8],
    asked: bool,
) -> Result<(Chain<'a>, Option<&'a [u8]>), Error> {
    let list = Reader::all(body, "Certificate", |reader| {
        if reader.vector8()? != context {
            return Err(PeerMisbehaved::IllegalParameter("certificate_request_context").into());
        }
        Ok::<_, Error>(reader.vector24()?)
    })?;
    let mut entries = Reader::new(list, "CertificateEntry");
    let (mut chain, mut staple) = (Chain::new(), None);
    while !entries.is_empty() {
        push(&mut chain, entries.vector24()?)?;
        let extensions = Extensions::parse(entries.vector16()?)?.only(&[ExtensionType::STATUS_REQUEST])?;
        for (kind, body) in extensions.iter() {
            // No other extension was offered that is answered here (RFC 8446 §4.4.2).
            if kind != ExtensionType::STATUS_REQUEST || !asked {
                return Err(PeerMisbehaved::UnofferedExtension(kind).into());
            }
            let response = parse_status(body)?;
            if chain.len() == 1 {
                staple = Some(response);
            }
        }
    }
    Ok((chain, staple))
}

/// Parses a CertificateStatus (RFC 6066 §8), a message of TLS 1.2 and an extension of TLS 1.3: the OCSP response.
pub(crate) fn parse_status(body: &[u8]) -> Result<&[u8], InvalidMessage> {
    let response = Reader::all(body, "CertificateStatus", |reader| {
        if reader.u8()? != OCSP {
            return Err(InvalidMessage::IllegalValue("status_type"));
        }
        reader.vector24()
    })?;
    not_empty(response, "OCSPResponse")
}

/// Parses a Certificate of TLS 1.2. The chain may be empty.
pub(crate) fn parse_tls12(body: &[u8]) -> Result<Chain<'_>, Error> {
    let list = Reader::all(body, "Certificate", |reader| reader.vector24())?;
    let mut entries = Reader::new(list, "ASN.1Cert");
    let mut chain = Chain::new();
    while !entries.is_empty() {
        push(&mut chain, entries.vector24()?)?;
    }
    Ok(chain)
}

fn push<'a>(chain: &mut Chain<'a>, certificate: &'a [u8]) -> Result<(), Error> {
    chain
        .push(not_empty(certificate, "Certificate")?)
        .map_err(|_| Error::from(PeerMisbehaved::ChainTooLong))
}

/// A digitally-signed struct (RFC 5246 §4.7), which is the whole content of CertificateVerify (RFC 8446 §4.4.3,
/// RFC 5246 §7.4.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CertificateVerify<'a> {
    pub(crate) scheme: NamedScheme,
    pub(crate) signature: &'a [u8],
}

impl<'a> CertificateVerify<'a> {
    /// Parses the body of a CertificateVerify.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, InvalidMessage> {
        Reader::all(body, "CertificateVerify", Self::read)
    }

    /// Reads the struct within another message.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, InvalidMessage> {
        Ok(Self {
            scheme: NamedScheme(reader.u16()?),
            signature: reader.vector16()?,
        })
    }
}

impl Emit for CertificateVerify<'_> {
    const KIND: HandshakeType = HandshakeType::CERTIFICATE_VERIFY;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.u16(self.scheme.0)?;
        writer.nested16(|writer| writer.bytes(self.signature))
    }
}

/// CertificateRequest of TLS 1.3 (RFC 8446 §4.3.2), with an empty context.
pub(crate) struct CertificateRequestTls13<'a> {
    /// Schemes that TLS 1.3 does not have are omitted.
    pub(crate) schemes: &'a [SignatureScheme],
}

impl Emit for CertificateRequestTls13<'_> {
    const KIND: HandshakeType = HandshakeType::CERTIFICATE_REQUEST;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.nested8(|_| Ok(()))?;
        writer.nested16(|writer| {
            emit_extension(writer, ExtensionType::SIGNATURE_ALGORITHMS, |writer| {
                let mut schemes = self
                    .schemes
                    .iter()
                    .filter(|scheme| scheme.may_be_offered(ProtocolVersion::TLS13));
                writer.nested16(|writer| schemes.try_for_each(|scheme| writer.u16(scheme.id())))
            })
        })
    }
}

/// The requirements of a CertificateRequest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CertificateRequest<'a> {
    /// `certificate_request_context` of TLS 1.3.
    pub(crate) context: &'a [u8],
    /// `certificate_types` of TLS 1.2; TLS 1.3 has only the schemes.
    types: Option<&'a [u8]>,
    pub(crate) schemes: U16List<'a>,
    authorities: &'a [u8],
}

impl CertificateRequest<'_> {
    /// Whether the listed types and authorities allow a chain in DER whose key is of this kind (RFC 5246 §7.4.6,
    /// RFC 8446 §4.4.2.3). If none of the authorities issued a certificate of the chain, the server cannot verify it, and
    /// it is not disclosed.
    pub(crate) fn allows(&self, chain: DerList<'_>, kind: Authentication) -> bool {
        let type_of_key = match kind {
            Authentication::Ecdsa => ECDSA_SIGN,
            #[cfg(feature = "rsa")]
            Authentication::Rsa => RSA_SIGN,
        };
        let by_type = self.types.is_none_or(|types| types.contains(&type_of_key));
        let mut authorities = Reader::new(self.authorities, AUTHORITIES);
        // Parsing has checked that all of them are complete.
        let mut named = core::iter::from_fn(|| authorities.vector16().ok());
        let issued = |name: &[u8]| chain.iter().any(|certificate| issuer_of(certificate) == Some(name));
        by_type && (self.authorities.is_empty() || named.any(issued))
    }
}

const AUTHORITIES: &str = "certificate_authorities";

/// Checks a list of distinguished names, each of at least one byte (RFC 5246 §7.4.4, RFC 8446 §4.2.4).
fn check_authorities(list: &[u8]) -> Result<(), InvalidMessage> {
    let mut names = Reader::new(list, AUTHORITIES);
    while !names.is_empty() {
        not_empty(names.vector16()?, AUTHORITIES)?;
    }
    Ok(())
}

/// Parses a CertificateRequest of TLS 1.3.
pub(crate) fn parse_request_tls13(body: &[u8]) -> Result<CertificateRequest<'_>, Error> {
    let (context, extensions) = Reader::all(body, "CertificateRequest", |reader| -> Result<_, Error> {
        let context = reader.vector8()?;
        let extensions = Extensions::parse(reader.vector16()?)?.only(&[
            ExtensionType::STATUS_REQUEST,
            ExtensionType::SIGNATURE_ALGORITHMS,
            ExtensionType::CERTIFICATE_AUTHORITIES,
            ExtensionType::SIGNATURE_ALGORITHMS_CERT,
        ])?;
        Ok((context, extensions))
    })?;
    let find = |wanted| {
        extensions
            .iter()
            .find_map(|(kind, body)| (kind == wanted).then_some(body))
    };
    let schemes = find(ExtensionType::SIGNATURE_ALGORITHMS);
    let schemes = schemes.ok_or(PeerMisbehaved::MissingExtension(ExtensionType::SIGNATURE_ALGORITHMS))?;
    let mut authorities: &[u8] = &[];
    if let Some(body) = find(ExtensionType::CERTIFICATE_AUTHORITIES) {
        // authorities<3..2^16-1> (RFC 8446 §4.2.4).
        authorities = not_empty(Reader::all(body, AUTHORITIES, |reader| reader.vector16())?, AUTHORITIES)?;
        check_authorities(authorities)?;
    }
    Ok(CertificateRequest {
        context,
        types: None,
        schemes: list16(schemes, "signature_algorithms")?,
        authorities,
    })
}

/// `rsa_sign` (RFC 5246 §7.4.4).
const RSA_SIGN: u8 = 1;
/// `ecdsa_sign`, which covers EdDSA too (RFC 8422 §5.5).
const ECDSA_SIGN: u8 = 64;

/// CertificateRequest of TLS 1.2 (RFC 5246 §7.4.4), without CAs.
pub(crate) struct CertificateRequestTls12<I> {
    pub(crate) schemes: I,
}

impl<I: Iterator<Item = SignatureScheme> + Clone> Emit for CertificateRequestTls12<I> {
    const KIND: HandshakeType = HandshakeType::CERTIFICATE_REQUEST;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.nested8(|writer| writer.bytes(&[ECDSA_SIGN, RSA_SIGN]))?;
        writer.nested16(|writer| self.schemes.clone().try_for_each(|scheme| writer.u16(scheme.id())))?;
        writer.nested16(|_| Ok(()))
    }
}

/// Parses a CertificateRequest of TLS 1.2.
pub(crate) fn parse_request_tls12(body: &[u8]) -> Result<CertificateRequest<'_>, InvalidMessage> {
    Reader::all(body, "CertificateRequest", |reader| {
        let types = not_empty(reader.vector8()?, "certificate_types")?;
        let schemes = U16List::parse(reader.vector16()?, "supported_signature_algorithms")?;
        let authorities = reader.vector16()?;
        check_authorities(authorities)?;
        Ok(CertificateRequest {
            context: &[],
            types: Some(types),
            schemes,
            authorities,
        })
    })
}
