//! ServerHello, HelloRetryRequest and EncryptedExtensions.

use super::{
    Emit, Extensions, emit_extension, empty, parse_cookie, parse_record_size_limit, parse_renegotiation_info,
    parse_selected_alpn, parse_session_id,
};
use crate::codec::{Full, Reader, Writer};
use crate::crypto::kx::Group;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, PeerMisbehaved};
use crate::registry::{ExtensionType, HandshakeType, ProtocolVersion};

/// The `random` of a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446 §4.1.3).
pub(crate) const HELLO_RETRY_REQUEST_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11,
    0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// The end of the `random` of a TLS 1.3 server that negotiates TLS 1.2 (RFC 8446 §4.1.3).
pub(crate) const DOWNGRADE_TO_TLS12: [u8; 8] = *b"DOWNGRD\x01";
/// The same for earlier versions (RFC 8446 §4.1.3).
pub(crate) const DOWNGRADE_BELOW_TLS12: [u8; 8] = *b"DOWNGRD\x00";

/// ServerHello of TLS 1.3 (RFC 8446 §4.1.3).
pub(crate) struct ServerHelloTls13<'a> {
    pub(crate) random: &'a [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) suite: CipherSuite,
    pub(crate) key_share: (Group, &'a [u8]),
    /// The index of the chosen PSK.
    pub(crate) psk: Option<u16>,
}

impl Emit for ServerHelloTls13<'_> {
    const KIND: HandshakeType = HandshakeType::SERVER_HELLO;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (group, public) = self.key_share;
        hello(writer, self.random, self.session_id, self.suite, |writer| {
            // In the order of the traces of RFC 8448, so that they can be compared byte for byte.
            emit_extension(writer, ExtensionType::KEY_SHARE, |writer| {
                writer.u16(group.id())?;
                writer.nested16(|writer| writer.bytes(public))
            })?;
            emit_extension(writer, ExtensionType::SUPPORTED_VERSIONS, |writer| {
                writer.u16(ProtocolVersion::TLS13.0)
            })?;
            match self.psk {
                Some(index) => emit_extension(writer, ExtensionType::PRE_SHARED_KEY, |writer| writer.u16(index)),
                None => Ok(()),
            }
        })
    }
}

/// HelloRetryRequest (RFC 8446 §4.1.4).
pub(crate) struct HelloRetryRequest<'a> {
    pub(crate) session_id: &'a [u8],
    pub(crate) suite: CipherSuite,
    /// The group of the requested key share.
    pub(crate) group: Group,
}

impl Emit for HelloRetryRequest<'_> {
    const KIND: HandshakeType = HandshakeType::SERVER_HELLO;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        let random = &HELLO_RETRY_REQUEST_RANDOM;
        hello(writer, random, self.session_id, self.suite, |writer| {
            emit_extension(writer, ExtensionType::KEY_SHARE, |writer| writer.u16(self.group.id()))?;
            emit_extension(writer, ExtensionType::SUPPORTED_VERSIONS, |writer| {
                writer.u16(ProtocolVersion::TLS13.0)
            })
        })
    }
}

/// The extensions of a ServerHello of TLS 1.2.
#[derive(Debug, Default)]
pub(crate) struct Tls12Answers<'a> {
    pub(crate) extended_master_secret: bool,
    pub(crate) renegotiation_info: bool,
    pub(crate) session_ticket: bool,
    pub(crate) ec_point_formats: bool,
    pub(crate) common: Answers<'a>,
}

/// The extensions that servers of both versions answer, in ServerHello or EncryptedExtensions.
#[derive(Debug, Default)]
pub(crate) struct Answers<'a> {
    pub(crate) protocol: Option<&'a [u8]>,
    pub(crate) record_size_limit: Option<u16>,
    /// In bytes.
    pub(crate) max_fragment_length: Option<usize>,
    pub(crate) server_name: bool,
}

impl Answers<'_> {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        if self.server_name {
            emit_extension(writer, ExtensionType::SERVER_NAME, |_| Ok(()))?;
        }
        if let Some(protocol) = self.protocol {
            emit_extension(writer, ExtensionType::ALPN, |writer| {
                writer.nested16(|writer| writer.nested8(|writer| writer.bytes(protocol)))
            })?;
        }
        if let Some(limit) = self.record_size_limit {
            emit_extension(writer, ExtensionType::RECORD_SIZE_LIMIT, |writer| writer.u16(limit))?;
        }
        if let Some(length) = self.max_fragment_length {
            let code = (length / 256).trailing_zeros() as u8;
            emit_extension(writer, ExtensionType::MAX_FRAGMENT_LENGTH, |writer| writer.u8(code))?;
        }
        Ok(())
    }
}

/// ServerHello of TLS 1.2 (RFC 5246 §7.4.1.3).
pub(crate) struct ServerHelloTls12<'a> {
    pub(crate) random: &'a [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) suite: CipherSuite,
    pub(crate) answers: &'a Tls12Answers<'a>,
}

impl Emit for ServerHelloTls12<'_> {
    const KIND: HandshakeType = HandshakeType::SERVER_HELLO;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        let answers = self.answers;
        hello(writer, self.random, self.session_id, self.suite, |writer| {
            if answers.renegotiation_info {
                emit_extension(writer, ExtensionType::RENEGOTIATION_INFO, |writer| {
                    writer.nested8(|_| Ok(()))
                })?;
            }
            if answers.extended_master_secret {
                emit_extension(writer, ExtensionType::EXTENDED_MASTER_SECRET, |_| Ok(()))?;
            }
            if answers.session_ticket {
                emit_extension(writer, ExtensionType::SESSION_TICKET, |_| Ok(()))?;
            }
            if answers.ec_point_formats {
                emit_extension(writer, ExtensionType::EC_POINT_FORMATS, |writer| {
                    writer.nested8(|writer| writer.u8(0))
                })?;
            }
            answers.common.emit(writer)
        })
    }
}

/// EncryptedExtensions (RFC 8446 §4.3.1).
pub(crate) struct EncryptedExtensions<'a> {
    /// The server's preferred groups, for the client's next connection (RFC 8446 §4.2.7); `None` if the first was used.
    pub(crate) groups: Option<&'a [Group]>,
    pub(crate) answers: &'a Answers<'a>,
}

impl Emit for EncryptedExtensions<'_> {
    const KIND: HandshakeType = HandshakeType::ENCRYPTED_EXTENSIONS;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.nested16(|writer| {
            if let Some(groups) = self.groups {
                emit_extension(writer, ExtensionType::SUPPORTED_GROUPS, |writer| {
                    writer.nested16(|writer| groups.iter().try_for_each(|group| writer.u16(group.id())))
                })?;
            }
            self.answers.emit(writer)
        })
    }
}

fn hello(
    writer: &mut Writer<'_>,
    random: &[u8; 32],
    session_id: &[u8],
    suite: CipherSuite,
    extensions: impl FnOnce(&mut Writer<'_>) -> Result<(), Full>,
) -> Result<(), Full> {
    writer.u16(ProtocolVersion::TLS12.0)?;
    writer.bytes(random)?;
    writer.nested8(|writer| writer.bytes(session_id))?;
    writer.u16(suite.id())?;
    writer.u8(0)?; // legacy_compression_method
    let at = writer.len();
    let mut start = at;
    writer.nested16(|writer| {
        start = writer.len();
        extensions(writer)
    })?;
    // RFC 5246 §7.4.1.3: the block is omitted if it is empty, since old clients do not expect it.
    if writer.len() == start {
        writer.truncate(at);
    }
    Ok(())
}

/// A ServerHello or HelloRetryRequest, of which all structures have been checked.
#[derive(Debug)]
pub(crate) struct ServerHello<'a> {
    pub(crate) version: ProtocolVersion,
    pub(crate) random: &'a [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) suite: u16,
    pub(crate) compression: u8,
    pub(crate) selected_version: Option<ProtocolVersion>,
    pub(crate) key_share: Option<&'a [u8]>,
    pub(crate) psk: Option<u16>,
    pub(crate) cookie: Option<&'a [u8]>,
    pub(crate) tls12: Tls12Answers<'a>,
    /// Whether `renegotiation_info` has content, although it must be empty (RFC 5746 §3.4).
    pub(crate) renegotiated: bool,
    /// Whether a CertificateStatus may follow (RFC 6066 §8). Never sent: the server staples no status.
    pub(crate) status: bool,
    /// An extension that a ServerHello may have in TLS 1.2 only, if there is one; and one in TLS 1.3 only.
    pub(crate) only_tls12: Option<ExtensionType>,
    pub(crate) only_tls13: Option<ExtensionType>,
}

impl<'a> ServerHello<'a> {
    /// Parses the body of a ServerHello. It may have only extensions that the client can have offered.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let (mut hello, extensions) = Reader::all(body, "ServerHello", |reader| -> Result<_, Error> {
            let hello = Self {
                version: ProtocolVersion(reader.u16()?),
                random: reader.array()?,
                session_id: parse_session_id(reader, "session_id")?,
                suite: reader.u16()?,
                compression: reader.u8()?,
                selected_version: None,
                key_share: None,
                psk: None,
                cookie: None,
                tls12: Tls12Answers::default(),
                renegotiated: false,
                status: false,
                only_tls12: None,
                only_tls13: None,
            };
            let block = if reader.is_empty() { &[] } else { reader.vector16()? };
            Ok((hello, Extensions::parse(block)?))
        })?;
        for (kind, body) in extensions.iter() {
            hello.read_extension(kind, body)?;
        }
        Ok(hello)
    }

    /// Whether this is a HelloRetryRequest.
    pub(crate) fn is_retry(&self) -> bool {
        *self.random == HELLO_RETRY_REQUEST_RANDOM
    }

    fn read_extension(&mut self, kind: ExtensionType, body: &'a [u8]) -> Result<(), Error> {
        match kind {
            ExtensionType::SUPPORTED_VERSIONS => {
                let version = Reader::all(body, "supported_versions", |reader| reader.u16())?;
                self.selected_version = Some(ProtocolVersion(version));
            }
            ExtensionType::KEY_SHARE => self.key_share = Some(body),
            ExtensionType::PRE_SHARED_KEY => {
                self.psk = Some(Reader::all(body, "pre_shared_key", |reader| reader.u16())?);
                self.only_tls13 = Some(kind);
            }
            ExtensionType::COOKIE => {
                self.cookie = Some(parse_cookie(body)?);
                self.only_tls13 = Some(kind);
            }
            ExtensionType::EXTENDED_MASTER_SECRET => {
                empty(body, "extended_master_secret")?;
                self.tls12.extended_master_secret = true;
                self.only_tls12 = Some(kind);
            }
            ExtensionType::RENEGOTIATION_INFO => {
                self.renegotiated = !parse_renegotiation_info(body)?.is_empty();
                self.tls12.renegotiation_info = true;
                self.only_tls12 = Some(kind);
            }
            ExtensionType::SESSION_TICKET => {
                empty(body, "session_ticket")?;
                self.tls12.session_ticket = true;
                self.only_tls12 = Some(kind);
            }
            ExtensionType::STATUS_REQUEST if cfg!(feature = "ocsp") => {
                empty(body, "status_request")?;
                self.status = true;
                self.only_tls12 = Some(kind);
            }
            ExtensionType::EC_POINT_FORMATS => {
                let formats = Reader::all(body, "ec_point_formats", |reader| reader.vector8())?;
                if !formats.contains(&0) {
                    return Err(PeerMisbehaved::IllegalParameter("ec_point_formats").into());
                }
                self.only_tls12 = Some(kind);
            }
            // It is not allowed here (RFC 8422 §5.2), but some TLS 1.2 servers send it; it is ignored.
            ExtensionType::SUPPORTED_GROUPS => self.only_tls12 = Some(kind),
            _ => {
                self.tls12.common.read_extension(kind, body)?;
                self.only_tls12 = Some(kind);
            }
        }
        Ok(())
    }
}

impl<'a> Answers<'a> {
    /// Parses the body of EncryptedExtensions.
    pub(crate) fn parse_encrypted_extensions(body: &'a [u8]) -> Result<Self, Error> {
        let extensions = Reader::all(body, "EncryptedExtensions", |reader| {
            // early_data and max_fragment_length are allowed here, but were not offered.
            Extensions::parse(reader.vector16()?)?.only(&[
                ExtensionType::SERVER_NAME,
                ExtensionType::MAX_FRAGMENT_LENGTH,
                ExtensionType::SUPPORTED_GROUPS,
                ExtensionType::ALPN,
                ExtensionType::RECORD_SIZE_LIMIT,
                ExtensionType::EARLY_DATA,
            ])
        })?;
        let mut answers = Self::default();
        for (kind, body) in extensions.iter() {
            match kind {
                // The server's preferred groups for later connections (RFC 8446 §4.2.7) are ignored.
                ExtensionType::SUPPORTED_GROUPS => {
                    super::list16(body, "supported_groups")?;
                }
                _ => answers.read_extension(kind, body)?,
            }
        }
        Ok(answers)
    }

    fn read_extension(&mut self, kind: ExtensionType, body: &'a [u8]) -> Result<(), Error> {
        match kind {
            ExtensionType::SERVER_NAME => {
                empty(body, "server_name")?;
                self.server_name = true;
            }
            ExtensionType::ALPN => self.protocol = Some(parse_selected_alpn(body)?),
            ExtensionType::RECORD_SIZE_LIMIT => self.record_size_limit = Some(parse_record_size_limit(body)?),
            // No other extension was offered (RFC 8446 §4.2).
            _ => return Err(PeerMisbehaved::UnofferedExtension(kind).into()),
        }
        Ok(())
    }
}
