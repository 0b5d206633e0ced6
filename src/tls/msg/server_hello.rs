//! What a TLS 1.3 server sends, from ServerHello to CertificateVerify.

use super::{
    CERTIFICATE, CERTIFICATE_VERIFY, ENCRYPTED_EXTENSIONS, FINISHED, SERVER_HELLO, emit, emit_extension, extension,
};
use crate::crypto::kx::Group;
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::tls::codec::{Full, Writer};

/// The `random` that makes a ServerHello a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
pub(crate) const HELLO_RETRY_REQUEST_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

const LEGACY_VERSION: u16 = 0x0303;
const TLS13: u16 = 0x0304;

/// ServerHello (RFC 8446 §4.1.3), with a key share.
pub(crate) fn server_hello(
    writer: &mut Writer<'_>,
    random: &[u8; 32],
    session_id: &[u8],
    suite: CipherSuite,
    group: Group,
    key_share: &[u8],
) -> Result<(), Full> {
    hello(writer, random, session_id, suite, |writer| {
        emit_extension(writer, extension::KEY_SHARE, |writer| {
            writer.u16(group.id())?;
            writer.nested16(|writer| writer.bytes(key_share))
        })
    })
}

/// HelloRetryRequest (RFC 8446 §4.1.4), asking for a share of `group`.
pub(crate) fn hello_retry_request(
    writer: &mut Writer<'_>,
    session_id: &[u8],
    suite: CipherSuite,
    group: Group,
) -> Result<(), Full> {
    hello(writer, &HELLO_RETRY_REQUEST_RANDOM, session_id, suite, |writer| {
        emit_extension(writer, extension::KEY_SHARE, |writer| writer.u16(group.id()))
    })
}

/// EncryptedExtensions (RFC 8446 §4.3.1). `groups`: the server's preference, for the client's next connection
/// (RFC 8446 §4.2.7); none where it has nothing to add.
pub(crate) fn encrypted_extensions(writer: &mut Writer<'_>, groups: Option<&[Group]>) -> Result<(), Full> {
    emit(writer, ENCRYPTED_EXTENSIONS, |writer| {
        writer.nested16(|writer| {
            let Some(groups) = groups else { return Ok(()) };
            emit_extension(writer, extension::SUPPORTED_GROUPS, |writer| {
                writer.nested16(|writer| groups.iter().try_for_each(|group| writer.u16(group.id())))
            })
        })
    })
}

/// Certificate (RFC 8446 §4.4.2): `chain` in DER, leaf first.
pub(crate) fn certificate(writer: &mut Writer<'_>, context: &[u8], chain: &[&[u8]]) -> Result<(), Full> {
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

/// CertificateVerify (RFC 8446 §4.4.3).
pub(crate) fn certificate_verify(
    writer: &mut Writer<'_>,
    scheme: SignatureScheme,
    signature: &[u8],
) -> Result<(), Full> {
    emit(writer, CERTIFICATE_VERIFY, |writer| {
        writer.u16(scheme.id())?;
        writer.nested16(|writer| writer.bytes(signature))
    })
}

/// Finished (RFC 8446 §4.4.4).
pub(crate) fn finished(writer: &mut Writer<'_>, verify_data: &[u8]) -> Result<(), Full> {
    emit(writer, FINISHED, |writer| writer.bytes(verify_data))
}

fn hello(
    writer: &mut Writer<'_>,
    random: &[u8; 32],
    session_id: &[u8],
    suite: CipherSuite,
    key_share: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    emit(writer, SERVER_HELLO, |writer| {
        writer.u16(LEGACY_VERSION)?;
        writer.bytes(random)?;
        writer.nested8(|writer| writer.bytes(session_id))?;
        writer.u16(suite.id())?;
        writer.u8(0)?; // legacy_compression_method
        writer.nested16(|writer| {
            // In the order of RFC 8448's traces, which can then be compared byte for byte.
            key_share(writer)?;
            emit_extension(writer, extension::SUPPORTED_VERSIONS, |writer| writer.u16(TLS13))
        })
    })
}
