//! Certificate, CertificateStatus, CertificateVerify and CertificateRequest, of both versions.

use super::client_hello::OCSP;
use super::{
    CERTIFICATE, CERTIFICATE_REQUEST, CERTIFICATE_VERIFY, Extensions, emit, emit_extension, extension, list16,
};
use crate::crypto::sign::SignatureScheme;
pub(crate) use crate::pki::limits::MAX_CHAIN;
use crate::tls::codec::{Full, Reader, U16List, Writer};
use crate::tls::error::{Error, InvalidMessage, PeerMisbehaved};

/// The certificates of a chain, leaf first.
pub(crate) type Chain<'a> = heapless::Vec<&'a [u8], MAX_CHAIN>;

/// Certificate of TLS 1.3 (RFC 8446 §4.4.2): `chain` in DER, leaf first.
pub(crate) fn certificate_tls13(writer: &mut Writer<'_>, context: &[u8], chain: &[&[u8]]) -> Result<(), Full> {
    emit(writer, CERTIFICATE, |writer| {
        writer.nested8(|writer| writer.bytes(context))?;
        writer.nested24(|writer| {
            chain.iter().try_for_each(|certificate| {
                writer.nested24(|writer| writer.bytes(certificate))?;
                writer.nested16(|_| Ok(()))
            })
        })
    })
}

/// Certificate of TLS 1.2 (RFC 5246 §7.4.2).
pub(crate) fn certificate_tls12(writer: &mut Writer<'_>, chain: &[&[u8]]) -> Result<(), Full> {
    emit(writer, CERTIFICATE, |writer| {
        writer.nested24(|writer| {
            chain
                .iter()
                .try_for_each(|certificate| writer.nested24(|writer| writer.bytes(certificate)))
        })
    })
}

/// Checks a Certificate of TLS 1.3, whose context has to be `context`. The chain may be empty.
///
/// `asked` tells whether the status of certificates was asked for: the OCSP response that comes with the first is given
/// back. Those with others are read, and left alone.
pub(crate) fn parse_tls13<'a>(
    body: &'a [u8],
    context: &[u8],
    asked: bool,
) -> Result<(Chain<'a>, Option<&'a [u8]>), Error> {
    let mut reader = Reader::new(body, "Certificate");
    if reader.vector8()? != context {
        return Err(PeerMisbehaved::IllegalParameter("certificate_request_context").into());
    }
    let mut entries = Reader::new(reader.vector24()?, "CertificateEntry");
    reader.finish()?;
    let (mut chain, mut staple) = (Chain::new(), None);
    while !entries.is_empty() {
        push(&mut chain, entries.vector24()?)?;
        let extensions = Extensions::parse(entries.vector16()?)?.only(&[extension::STATUS_REQUEST])?;
        for (kind, body) in extensions.iter() {
            // Nothing else was offered that could be answered here (RFC 8446 §4.4.2).
            if kind != extension::STATUS_REQUEST || !asked {
                return Err(PeerMisbehaved::UnofferedExtension.into());
            }
            let response = parse_status(body)?;
            if chain.len() == 1 {
                staple = Some(response);
            }
        }
    }
    Ok((chain, staple))
}

/// Checks a CertificateStatus (RFC 6066 §8), the message of TLS 1.2 and the extension of TLS 1.3: the OCSP response.
pub(crate) fn parse_status(body: &[u8]) -> Result<&[u8], Error> {
    let mut reader = Reader::new(body, "CertificateStatus");
    if reader.u8()? != OCSP {
        return Err(InvalidMessage::IllegalValue("status_type").into());
    }
    let response = reader.vector24()?;
    reader.finish()?;
    if response.is_empty() {
        return Err(InvalidMessage::IllegalValue("OCSPResponse").into());
    }
    Ok(response)
}

/// Checks a Certificate of TLS 1.2. The chain may be empty.
pub(crate) fn parse_tls12(body: &[u8]) -> Result<Chain<'_>, Error> {
    let mut reader = Reader::new(body, "Certificate");
    let mut entries = Reader::new(reader.vector24()?, "ASN.1Cert");
    reader.finish()?;
    let mut chain = Chain::new();
    while !entries.is_empty() {
        push(&mut chain, entries.vector24()?)?;
    }
    Ok(chain)
}

fn push<'a>(chain: &mut Chain<'a>, certificate: &'a [u8]) -> Result<(), Error> {
    if certificate.is_empty() {
        return Err(InvalidMessage::IllegalValue("Certificate").into());
    }
    chain
        .push(certificate)
        .map_err(|_| Error::from(PeerMisbehaved::ChainTooLong))
}

/// CertificateVerify, the same in both versions (RFC 8446 §4.4.3, RFC 5246 §7.4.8).
pub(crate) fn certificate_verify(
    writer: &mut Writer<'_>,
    scheme: SignatureScheme,
    signature: &[u8],
) -> Result<(), Full> {
    emit(writer, CERTIFICATE_VERIFY, |writer| {
        emit_signature(writer, scheme, signature)
    })
}

/// Checks a CertificateVerify: the scheme's number, and the signature.
pub(crate) fn parse_verify(body: &[u8]) -> Result<(u16, &[u8]), Error> {
    let mut reader = Reader::new(body, "CertificateVerify");
    let signature = parse_signature(&mut reader)?;
    reader.finish()?;
    Ok(signature)
}

/// A digitally-signed struct (RFC 5246 §4.7).
pub(crate) fn emit_signature(writer: &mut Writer<'_>, scheme: SignatureScheme, signature: &[u8]) -> Result<(), Full> {
    writer.u16(scheme.id())?;
    writer.nested16(|writer| writer.bytes(signature))
}

/// The same, read.
pub(crate) fn parse_signature<'a>(reader: &mut Reader<'a>) -> Result<(u16, &'a [u8]), InvalidMessage> {
    Ok((reader.u16()?, reader.vector16()?))
}

/// CertificateRequest of TLS 1.3 (RFC 8446 §4.3.2), with an empty context.
pub(crate) fn request_tls13(writer: &mut Writer<'_>, schemes: &[SignatureScheme]) -> Result<(), Full> {
    emit(writer, CERTIFICATE_REQUEST, |writer| {
        writer.nested8(|_| Ok(()))?;
        writer.nested16(|writer| {
            emit_extension(writer, extension::SIGNATURE_ALGORITHMS, |writer| {
                let mut schemes = schemes.iter().filter(|scheme| scheme.may_be_offered(true));
                writer.nested16(|writer| schemes.try_for_each(|scheme| writer.u16(scheme.id())))
            })
        })
    })
}

/// Checks a CertificateRequest of TLS 1.3: the context and the schemes.
pub(crate) fn parse_request_tls13(body: &[u8]) -> Result<(&[u8], U16List<'_>), Error> {
    let mut reader = Reader::new(body, "CertificateRequest");
    let context = reader.vector8()?;
    let extensions = Extensions::parse(reader.vector16()?)?.only(&[
        extension::STATUS_REQUEST,
        extension::SIGNATURE_ALGORITHMS,
        extension::SIGNATURE_ALGORITHMS_CERT,
    ])?;
    reader.finish()?;
    let schemes = extensions
        .iter()
        .find(|(kind, _)| *kind == extension::SIGNATURE_ALGORITHMS)
        .ok_or(PeerMisbehaved::MissingExtension("signature_algorithms"))?;
    Ok((context, list16(schemes.1, "signature_algorithms")?))
}

/// `ecdsa_sign` and `rsa_sign` (RFC 8422 §5.5, RFC 5246 §7.4.4).
const CERTIFICATE_TYPES: [u8; 2] = [64, 1];

/// CertificateRequest of TLS 1.2 (RFC 5246 §7.4.4), naming no CAs.
pub(crate) fn request_tls12(
    writer: &mut Writer<'_>,
    mut schemes: impl Iterator<Item = SignatureScheme>,
) -> Result<(), Full> {
    emit(writer, CERTIFICATE_REQUEST, |writer| {
        writer.nested8(|writer| writer.bytes(&CERTIFICATE_TYPES))?;
        writer.nested16(|writer| schemes.try_for_each(|scheme| writer.u16(scheme.id())))?;
        writer.nested16(|_| Ok(()))
    })
}

/// Checks a CertificateRequest of TLS 1.2: the schemes.
pub(crate) fn parse_request_tls12(body: &[u8]) -> Result<U16List<'_>, Error> {
    let mut reader = Reader::new(body, "CertificateRequest");
    if reader.vector8()?.is_empty() {
        return Err(InvalidMessage::IllegalValue("certificate_types").into());
    }
    let schemes = U16List::parse(reader.vector16()?, "supported_signature_algorithms")?;
    let mut authorities = Reader::new(reader.vector16()?, "certificate_authorities");
    while !authorities.is_empty() {
        authorities.vector16()?;
    }
    reader.finish()?;
    Ok(schemes)
}
