//! ClientHello (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), checked once, here.

use super::{
    Emit, Extensions, emit_extension, empty, first_duplicate, first_outside, list16, not_empty, parse_cookie,
    parse_record_size_limit, parse_renegotiation_info, parse_session_id,
};
use crate::codec::{Full, Reader, U16List, Writer};
use crate::config::Versions;
use crate::crypto::hash::{HashAlgorithm, HashOutput, Hasher};
use crate::crypto::kx::{Group, KeyPair};
use crate::crypto::sign::SignatureScheme;
use crate::crypto::suite::CipherSuite;
use crate::error::{Error, InvalidMessage, PeerMisbehaved};
use crate::registry::{ExtensionType, HandshakeType, NamedGroup, NamedSuite, ProtocolVersion};

/// `ocsp` (RFC 6066 §8).
pub(super) const OCSP: u8 = 1;
/// `psk_dhe_ke` (RFC 8446 §4.2.9).
const PSK_DHE_KE: u8 = 1;

/// A ClientHello, of which all structures have been checked.
#[derive(Debug, Clone)]
pub struct ClientHello<'a> {
    /// `legacy_version`.
    pub legacy_version: ProtocolVersion,
    /// `random`.
    pub random: &'a [u8; 32],
    /// `legacy_session_id`, at most 32 bytes.
    pub session_id: &'a [u8],
    /// `cipher_suites`.
    pub cipher_suites: U16List<'a>,
    /// `legacy_compression_methods`, at least one.
    pub compression_methods: &'a [u8],
    /// `server_name`: the host name (RFC 6066 §3).
    pub server_name: Option<&'a [u8]>,
    /// `supported_groups`.
    pub supported_groups: Option<U16List<'a>>,
    /// `signature_algorithms`.
    pub signature_algorithms: Option<U16List<'a>>,
    /// `supported_versions`.
    pub supported_versions: Option<U16List<'a>>,
    /// `key_share`.
    pub key_shares: Option<KeyShares<'a>>,
    /// `application_layer_protocol_negotiation` (RFC 7301 §3.1).
    pub protocols: Option<Protocols<'a>>,
    /// `record_size_limit` (RFC 8449 §4).
    pub record_size_limit: Option<u16>,
    /// `max_fragment_length`, in bytes (RFC 6066 §4).
    pub max_fragment_length: Option<usize>,
    /// Whether it has `extended_master_secret` (RFC 7627 §5.1).
    pub extended_master_secret: bool,
    /// `session_ticket` (RFC 5077 §3.2): the ticket, or empty to request one.
    pub session_ticket: Option<&'a [u8]>,
    /// `renegotiation_info`: its content (RFC 5746 §3.2).
    pub renegotiation_info: Option<&'a [u8]>,
    /// `ec_point_formats`: whether it lists the uncompressed one (RFC 8422 §5.1.2).
    pub uncompressed_points: Option<bool>,
    /// `pre_shared_key`.
    pub psks: Option<Psks<'a>>,
    /// `psk_key_exchange_modes`.
    pub psk_modes: Option<&'a [u8]>,
    /// Whether it has `early_data`.
    pub early_data: bool,
    extensions: Extensions<'a>,
}

impl<'a> ClientHello<'a> {
    /// Parses the body of a ClientHello.
    ///
    /// # Errors
    /// If a structure is malformed, an extension occurs twice, or `pre_shared_key` is not the last one.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut hello = Reader::all(body, "ClientHello", Self::read)?;
        for (kind, body) in hello.extensions.iter() {
            // RFC 8446 §4.2.11: pre_shared_key is the last extension.
            if hello.psks.is_some() {
                return Err(PeerMisbehaved::PskNotLast.into());
            }
            hello.read_extension(kind, body)?;
        }
        Ok(hello)
    }

    /// Parses everything but the content of the extensions.
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        Ok(Self {
            legacy_version: ProtocolVersion(reader.u16()?),
            random: reader.array()?,
            session_id: parse_session_id(reader, "legacy_session_id")?,
            cipher_suites: U16List::parse(reader.vector16()?, "cipher_suites")?,
            compression_methods: not_empty(reader.vector8()?, "legacy_compression_methods")?,
            server_name: None,
            supported_groups: None,
            signature_algorithms: None,
            supported_versions: None,
            key_shares: None,
            protocols: None,
            record_size_limit: None,
            max_fragment_length: None,
            extended_master_secret: false,
            session_ticket: None,
            renegotiation_info: None,
            uncompressed_points: None,
            psks: None,
            psk_modes: None,
            early_data: false,
            // Clients of TLS 1.2 and earlier may omit the whole block (RFC 5246 §7.4.1.2).
            extensions: Extensions::parse(if reader.is_empty() { &[] } else { reader.vector16()? })?,
        })
    }

    /// Whether the client supports secure renegotiation, and expects `renegotiation_info` (RFC 5746 §3.6).
    pub(crate) fn secure_renegotiation(&self) -> bool {
        self.renegotiation_info.is_some() || self.cipher_suites.contains(NamedSuite::EMPTY_RENEGOTIATION_INFO_SCSV.0)
    }

    /// Whether this is the retry of a client that failed with a higher version (RFC 7507).
    pub(crate) fn is_fallback(&self) -> bool {
        self.cipher_suites.contains(NamedSuite::FALLBACK_SCSV.0)
    }

    /// Whether the client supports PSKs with a key exchange.
    pub(crate) fn psk_dhe_ke(&self) -> bool {
        self.psk_modes.is_some_and(|modes| modes.contains(&PSK_DHE_KE))
    }

    /// The hash of everything that must not change between the first and second ClientHello (RFC 8446 §4.1.2).
    pub(crate) fn unchanging_part(&self) -> HashOutput {
        let mut hasher = Hasher::new(HashAlgorithm::Sha256);
        hasher.update(&self.legacy_version.0.to_be_bytes());
        hasher.update(self.random);
        for vector in [self.session_id, self.cipher_suites.as_bytes(), self.compression_methods] {
            hasher.update(&vector.len().to_be_bytes());
            hasher.update(vector);
        }
        for (kind, body) in self.extensions.iter() {
            let may_change = [
                ExtensionType::KEY_SHARE,
                ExtensionType::PRE_SHARED_KEY,
                ExtensionType::EARLY_DATA,
                ExtensionType::COOKIE,
                ExtensionType::PADDING,
            ];
            if !may_change.contains(&kind) {
                hasher.update(&kind.0.to_be_bytes());
                hasher.update(&body.len().to_be_bytes());
                hasher.update(body);
            }
        }
        hasher.finish()
    }

    fn read_extension(&mut self, kind: ExtensionType, body: &'a [u8]) -> Result<(), Error> {
        match kind {
            ExtensionType::SERVER_NAME => self.server_name = parse_server_name(body)?,
            ExtensionType::SUPPORTED_GROUPS => self.supported_groups = Some(list16(body, "supported_groups")?),
            ExtensionType::SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = Some(list16(body, "signature_algorithms")?);
            }
            ExtensionType::SIGNATURE_ALGORITHMS_CERT => {
                list16(body, "signature_algorithms_cert")?;
            }
            ExtensionType::SUPPORTED_VERSIONS => {
                let list = Reader::all(body, "supported_versions", |reader| reader.vector8())?;
                self.supported_versions = Some(U16List::parse(list, "supported_versions")?);
            }
            ExtensionType::KEY_SHARE => self.key_shares = Some(KeyShares::parse(body)?),
            ExtensionType::ALPN => self.protocols = Some(Protocols::parse(body)?),
            ExtensionType::RECORD_SIZE_LIMIT => self.record_size_limit = Some(parse_record_size_limit(body)?),
            ExtensionType::MAX_FRAGMENT_LENGTH => {
                let code = Reader::all(body, "max_fragment_length", |reader| reader.u8())?;
                if !(1..=4).contains(&code) {
                    return Err(PeerMisbehaved::IllegalParameter("max_fragment_length").into());
                }
                self.max_fragment_length = Some(256 << code);
            }
            ExtensionType::EXTENDED_MASTER_SECRET => {
                empty(body, "extended_master_secret")?;
                self.extended_master_secret = true;
            }
            ExtensionType::SESSION_TICKET => self.session_ticket = Some(body),
            ExtensionType::RENEGOTIATION_INFO => self.renegotiation_info = Some(parse_renegotiation_info(body)?),
            ExtensionType::EC_POINT_FORMATS => {
                let formats = Reader::all(body, "ec_point_formats", |reader| reader.vector8())?;
                let formats = not_empty(formats, "ec_point_formats")?;
                self.uncompressed_points = Some(formats.contains(&0));
            }
            ExtensionType::PSK_KEY_EXCHANGE_MODES => {
                let modes = Reader::all(body, "psk_key_exchange_modes", |reader| reader.vector8())?;
                self.psk_modes = Some(not_empty(modes, "psk_key_exchange_modes")?);
            }
            ExtensionType::PRE_SHARED_KEY => self.psks = Some(Psks::parse(body)?),
            ExtensionType::EARLY_DATA => {
                empty(body, "early_data")?;
                self.early_data = true;
            }
            ExtensionType::COOKIE => {
                parse_cookie(body)?;
            }
            // GREASE (RFC 8701) and other unknown extensions are ignored (RFC 8446 §4.1.2).
            _ => {}
        }
        Ok(())
    }
}

/// The entries of a `key_share` extension (RFC 8446 §4.2.8).
#[derive(Debug, Clone, Copy)]
pub struct KeyShares<'a>(&'a [u8]);

impl<'a> KeyShares<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let shares = Self(Reader::all(body, "key_share", |reader| reader.vector16())?);
        let mut entries = Reader::new(shares.0, "KeyShareEntry");
        while !entries.is_empty() {
            entries.u16()?;
            not_empty(entries.vector16()?, "key_exchange")?;
        }
        // "Clients MUST NOT offer multiple KeyShareEntry values for the same group."
        if let Some(group) = first_duplicate(shares.iter().map(|(group, _)| group)) {
            return Err(PeerMisbehaved::DuplicateKeyShare(NamedGroup(group)).into());
        }
        Ok(shares)
    }

    /// The groups and their public values, in the client's order.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> + Clone {
        let mut reader = Reader::new(self.0, "KeyShareEntry");
        // Parsing has checked that all entries are complete.
        core::iter::from_fn(move || {
            let group = reader.u16().ok()?;
            Some((group, reader.vector16().ok()?))
        })
    }

    /// A group with a share that is not in `groups`, if there is one (RFC 8446 §4.2.8).
    pub(crate) fn first_outside(self, groups: U16List<'_>) -> Option<u16> {
        first_outside(self.iter().map(|(group, _)| group), groups)
    }

    /// The public value for `group`.
    pub fn get(self, group: u16) -> Option<&'a [u8]> {
        self.iter()
            .find_map(|(other, public)| (other == group).then_some(public))
    }
}

/// `server_name` (RFC 6066 §3): at most one name of each type, of which only host names are defined.
fn parse_server_name(body: &[u8]) -> Result<Option<&[u8]>, Error> {
    const HOST_NAME: u8 = 0;
    let list = Reader::all(body, "server_name", |reader| reader.vector16())?;
    let mut names = Reader::new(not_empty(list, "server_name")?, "server_name");
    let mut host_name = None;
    while !names.is_empty() {
        let kind = names.u8()?;
        let name = names.vector16()?;
        if kind == HOST_NAME && host_name.replace(not_empty(name, "server_name")?).is_some() {
            return Err(PeerMisbehaved::IllegalParameter("server_name").into());
        }
    }
    Ok(host_name)
}

/// The protocols of an ALPN extension (RFC 7301 §3.1).
#[derive(Debug, Clone, Copy)]
pub struct Protocols<'a>(&'a [u8]);

impl<'a> Protocols<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Error> {
        const WHAT: &str = "application_layer_protocol_negotiation";
        let list = Reader::all(body, WHAT, |reader| reader.vector16())?;
        let protocols = Self(not_empty(list, WHAT)?);
        let mut list = Reader::new(protocols.0, WHAT);
        while !list.is_empty() {
            not_empty(list.vector8()?, WHAT)?;
        }
        Ok(protocols)
    }

    /// The protocols, in the client's order of preference.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> {
        let mut reader = Reader::new(self.0, "ProtocolName");
        core::iter::from_fn(move || reader.vector8().ok())
    }
}

/// The identities and binders of `pre_shared_key` (RFC 8446 §4.2.11).
#[derive(Debug, Clone, Copy)]
pub struct Psks<'a> {
    identities: &'a [u8],
    binders: &'a [u8],
}

impl<'a> Psks<'a> {
    fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let psks = Reader::all(body, "pre_shared_key", |reader| -> Result<_, Error> {
            Ok(Self {
                identities: reader.vector16()?,
                binders: reader.vector16()?,
            })
        })?;
        let mut identities = Reader::new(psks.identities, "PskIdentity");
        let mut count = 0_usize;
        while !identities.is_empty() {
            not_empty(identities.vector16()?, "PskIdentity")?;
            identities.take(4)?; // obfuscated_ticket_age
            count = count.saturating_add(1);
        }
        let mut binders = Reader::new(psks.binders, "PskBinderEntry");
        let mut binder_count = 0_usize;
        while !binders.is_empty() {
            if binders.vector8()?.len() < 32 {
                return Err(InvalidMessage::IllegalValue("PskBinderEntry").into());
            }
            binder_count = binder_count.saturating_add(1);
        }
        if binder_count == 0 {
            return Err(InvalidMessage::IllegalValue("binders").into());
        }
        if count == 0 {
            return Err(InvalidMessage::IllegalValue("pre_shared_key").into());
        }
        if count != binder_count {
            return Err(PeerMisbehaved::IllegalParameter("pre_shared_key").into());
        }
        Ok(psks)
    }

    /// The identities, each with its binder.
    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let mut identities = Reader::new(self.identities, "PskIdentity");
        let mut binders = Reader::new(self.binders, "PskBinderEntry");
        core::iter::from_fn(move || {
            let identity = identities.vector16().ok()?;
            identities.take(4).ok()?;
            Some((identity, binders.vector8().ok()?))
        })
    }

    /// The number of bytes at the end of the ClientHello that binders do not cover (RFC 8446 §4.2.11.2).
    pub(crate) fn binders_len(self) -> usize {
        self.binders.len().saturating_add(2)
    }
}

/// A ClientHello to be sent. The one after a HelloRetryRequest differs only in the changed fields.
pub(crate) struct Offer<'a> {
    pub(crate) random: &'a [u8; 32],
    pub(crate) session_id: &'a [u8],
    pub(crate) versions: Versions,
    pub(crate) suites: &'a [CipherSuite],
    pub(crate) groups: &'a [Group],
    pub(crate) schemes: &'a [SignatureScheme],
    pub(crate) server_name: Option<&'a str>,
    pub(crate) protocols: &'a [&'a [u8]],
    pub(crate) record_size_limit: u16,
    pub(crate) key_pairs: &'a [KeyPair],
    pub(crate) cookie: Option<&'a [u8]>,
    /// A TLS 1.2 ticket, or empty to request one.
    pub(crate) session_ticket: Option<&'a [u8]>,
    /// A TLS 1.3 ticket, its obfuscated age, and the length of the binder, which is written as zeros.
    pub(crate) psk: Option<(&'a [u8], u32, usize)>,
}

impl Emit for Offer<'_> {
    const KIND: HandshakeType = HandshakeType::CLIENT_HELLO;

    fn emit_body(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.u16(ProtocolVersion::TLS12.0)?;
        writer.bytes(self.random)?;
        writer.nested8(|writer| writer.bytes(self.session_id))?;
        writer.nested16(|writer| {
            let offered = |suite: &&CipherSuite| self.versions.contains(suite.version());
            self.suites
                .iter()
                .filter(offered)
                .try_for_each(|suite| writer.u16(suite.id()))
        })?;
        writer.nested8(|writer| writer.u8(0))?; // legacy_compression_methods
        writer.nested16(|writer| self.emit_extensions(writer))
    }
}

impl Offer<'_> {
    fn emit_extensions(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        if let Some(name) = self.server_name {
            emit_extension(writer, ExtensionType::SERVER_NAME, |writer| {
                writer.nested16(|writer| {
                    writer.u8(0)?; // host_name
                    writer.nested16(|writer| writer.bytes(name.as_bytes()))
                })
            })?;
        }
        if cfg!(feature = "ocsp") {
            emit_extension(writer, ExtensionType::STATUS_REQUEST, |writer| {
                writer.u8(OCSP)?;
                writer.nested16(|_| Ok(()))?; // responder_id_list
                writer.nested16(|_| Ok(())) // request_extensions
            })?;
        }
        emit_extension(writer, ExtensionType::SUPPORTED_GROUPS, |writer| {
            writer.nested16(|writer| {
                let offered = |group: &&Group| self.versions.tls13() || group.in_tls12();
                self.groups
                    .iter()
                    .filter(offered)
                    .try_for_each(|group| writer.u16(group.id()))
            })
        })?;
        emit_extension(writer, ExtensionType::SIGNATURE_ALGORITHMS, |writer| {
            let highest = self.versions.highest();
            let mut schemes = self.schemes.iter().filter(|scheme| scheme.may_be_offered(highest));
            writer.nested16(|writer| schemes.try_for_each(|scheme| writer.u16(scheme.id())))
        })?;
        if !self.protocols.is_empty() {
            emit_extension(writer, ExtensionType::ALPN, |writer| {
                writer.nested16(|writer| {
                    self.protocols
                        .iter()
                        .try_for_each(|protocol| writer.nested8(|writer| writer.bytes(protocol)))
                })
            })?;
        }
        emit_extension(writer, ExtensionType::RECORD_SIZE_LIMIT, |writer| {
            writer.u16(self.record_size_limit)
        })?;
        if self.versions.tls12() {
            emit_extension(writer, ExtensionType::EC_POINT_FORMATS, |writer| {
                writer.nested8(|writer| writer.u8(0))
            })?;
            emit_extension(writer, ExtensionType::EXTENDED_MASTER_SECRET, |_| Ok(()))?;
            emit_extension(writer, ExtensionType::RENEGOTIATION_INFO, |writer| {
                writer.nested8(|_| Ok(()))
            })?;
            if let Some(ticket) = self.session_ticket {
                emit_extension(writer, ExtensionType::SESSION_TICKET, |writer| writer.bytes(ticket))?;
            }
        }
        if self.versions.tls13() {
            self.emit_tls13_extensions(writer)?;
        }
        Ok(())
    }

    fn emit_tls13_extensions(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        emit_extension(writer, ExtensionType::SUPPORTED_VERSIONS, |writer| {
            writer.nested8(|writer| {
                [ProtocolVersion::TLS13, ProtocolVersion::TLS12]
                    .into_iter()
                    .filter(|version| self.versions.contains(*version))
                    .try_for_each(|version| writer.u16(version.0))
            })
        })?;
        if let Some(cookie) = self.cookie {
            emit_extension(writer, ExtensionType::COOKIE, |writer| {
                writer.nested16(|writer| writer.bytes(cookie))
            })?;
        }
        emit_extension(writer, ExtensionType::PSK_KEY_EXCHANGE_MODES, |writer| {
            writer.nested8(|writer| writer.u8(PSK_DHE_KE))
        })?;
        emit_extension(writer, ExtensionType::KEY_SHARE, |writer| {
            writer.nested16(|writer| {
                self.key_pairs.iter().try_for_each(|pair| {
                    writer.u16(pair.group().id())?;
                    writer.nested16(|writer| writer.bytes(pair.public_value().as_ref()))
                })
            })
        })?;
        // RFC 8446 §4.2.11: it must be the last extension.
        if let Some((identity, age, binder)) = self.psk {
            emit_extension(writer, ExtensionType::PRE_SHARED_KEY, |writer| {
                writer.nested16(|writer| {
                    writer.nested16(|writer| writer.bytes(identity))?;
                    writer.bytes(&age.to_be_bytes())
                })?;
                writer.nested16(|writer| writer.nested8(|writer| (0..binder).try_for_each(|_| writer.u8(0))))
            })?;
        }
        Ok(())
    }
}
