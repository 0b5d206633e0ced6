//! ClientHello (RFC 8446 §4.1.2): everything about it is checked once, here.

use super::extension;
use crate::crypto::hash::{HashAlgorithm, HashOutput, Hasher};
use crate::tls::codec::{Reader, U16List};
use crate::tls::error::{Error, InvalidMessage, PeerMisbehaved};

/// A ClientHello whose every structure has been checked.
#[derive(Debug, Clone)]
pub struct ClientHello<'a> {
    /// `legacy_version`.
    pub legacy_version: u16,
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
    /// Whether `pre_shared_key` is there.
    pub offers_psk: bool,
    /// Whether `psk_key_exchange_modes` is there.
    pub has_psk_modes: bool,
    /// Whether `early_data` is there.
    pub early_data: bool,
    extensions: Extensions<'a>,
}

impl<'a> ClientHello<'a> {
    /// Checks the body of a ClientHello.
    ///
    /// # Errors
    /// Malformed structures, an extension that comes twice, `pre_shared_key` elsewhere than at the end.
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(body, "ClientHello");
        let legacy_version = reader.u16()?;
        let random = reader.array()?;
        let session_id = reader.vector8()?;
        if session_id.len() > 32 {
            return Err(InvalidMessage::IllegalValue("legacy_session_id").into());
        }
        let cipher_suites = U16List::parse(reader.vector16()?, "cipher_suites")?;
        let compression_methods = reader.vector8()?;
        if compression_methods.is_empty() {
            return Err(InvalidMessage::IllegalValue("legacy_compression_methods").into());
        }
        // TLS 1.2 and before may do without the whole block (RFC 5246 §7.4.1.2).
        let extensions = Extensions::parse(if reader.is_empty() { &[] } else { reader.vector16()? })?;
        reader.finish()?;

        let mut hello = Self {
            legacy_version,
            random,
            session_id,
            cipher_suites,
            compression_methods,
            server_name: None,
            supported_groups: None,
            signature_algorithms: None,
            supported_versions: None,
            key_shares: None,
            offers_psk: false,
            has_psk_modes: false,
            early_data: false,
            extensions,
        };
        for (kind, body) in extensions.iter() {
            // RFC 8446 §4.2.11: pre_shared_key is the last extension.
            if hello.offers_psk {
                return Err(PeerMisbehaved::PskNotLast.into());
            }
            hello.note(kind, body)?;
        }
        Ok(hello)
    }

    /// The hash of all that may not change between the first and the second ClientHello (RFC 8446 §4.1.2).
    pub(crate) fn unchanging_part(&self) -> HashOutput {
        let mut hasher = Hasher::new(HashAlgorithm::Sha256);
        hasher.update(&self.legacy_version.to_be_bytes());
        hasher.update(self.random);
        for vector in [self.session_id, self.cipher_suites.as_bytes(), self.compression_methods] {
            hasher.update(&vector.len().to_be_bytes());
            hasher.update(vector);
        }
        for (kind, body) in self.extensions.iter() {
            let may_change = [
                extension::KEY_SHARE,
                extension::PRE_SHARED_KEY,
                extension::EARLY_DATA,
                extension::COOKIE,
                extension::PADDING,
            ];
            if !may_change.contains(&kind) {
                hasher.update(&kind.to_be_bytes());
                hasher.update(&body.len().to_be_bytes());
                hasher.update(body);
            }
        }
        hasher.finish()
    }

    fn note(&mut self, kind: u16, body: &'a [u8]) -> Result<(), Error> {
        match kind {
            extension::SERVER_NAME => self.server_name = parse_server_name(body)?,
            extension::SUPPORTED_GROUPS => self.supported_groups = Some(list16(body, "supported_groups")?),
            extension::SIGNATURE_ALGORITHMS => {
                self.signature_algorithms = Some(list16(body, "signature_algorithms")?);
            }
            extension::SUPPORTED_VERSIONS => {
                let mut reader = Reader::new(body, "supported_versions");
                self.supported_versions = Some(U16List::parse(reader.vector8()?, "supported_versions")?);
                reader.finish()?;
            }
            extension::KEY_SHARE => self.key_shares = Some(KeyShares::parse(body)?),
            extension::PSK_KEY_EXCHANGE_MODES => {
                let mut reader = Reader::new(body, "psk_key_exchange_modes");
                if reader.vector8()?.is_empty() {
                    return Err(InvalidMessage::IllegalValue("psk_key_exchange_modes").into());
                }
                reader.finish()?;
                self.has_psk_modes = true;
            }
            extension::PRE_SHARED_KEY => {
                check_pre_shared_key(body)?;
                self.offers_psk = true;
            }
            extension::EARLY_DATA => {
                Reader::new(body, "early_data").finish()?;
                self.early_data = true;
            }
            extension::COOKIE => {
                let mut reader = Reader::new(body, "cookie");
                if reader.vector16()?.is_empty() {
                    return Err(InvalidMessage::IllegalValue("cookie").into());
                }
                reader.finish()?;
            }
            // GREASE (RFC 8701) and whatever else we do not know (RFC 8446 §4.1.2).
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
        let mut reader = Reader::new(body, "key_share");
        let shares = Self(reader.vector16()?);
        reader.finish()?;
        let mut entries = Reader::new(shares.0, "KeyShareEntry");
        while !entries.is_empty() {
            entries.u16()?;
            if entries.vector16()?.is_empty() {
                return Err(InvalidMessage::IllegalValue("key_exchange").into());
            }
        }
        // "Clients MUST NOT offer multiple KeyShareEntry values for the same group."
        if let Some(group) = first_duplicate(shares.iter().map(|(group, _)| group)) {
            return Err(PeerMisbehaved::DuplicateKeyShare(group).into());
        }
        Ok(shares)
    }

    /// The groups and their public values, in the client's order.
    pub fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> + Clone {
        let mut reader = Reader::new(self.0, "KeyShareEntry");
        // Entries were checked to be whole when the extension was parsed.
        core::iter::from_fn(move || {
            let group = reader.u16().ok()?;
            Some((group, reader.vector16().ok()?))
        })
    }

    /// A group that has a share but does not stand in `groups`, if there is one (RFC 8446 §4.2.8).
    pub(crate) fn first_outside(self, groups: U16List<'_>) -> Option<u16> {
        first_outside(self.iter().map(|(group, _)| group), groups)
    }

    /// The public value for `group`.
    pub fn get(self, group: u16) -> Option<&'a [u8]> {
        self.iter()
            .find_map(|(other, public)| (other == group).then_some(public))
    }
}

/// A block of extensions, checked to be whole and without duplicates.
#[derive(Debug, Clone, Copy)]
struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    fn parse(block: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(block, "extensions");
        while !reader.is_empty() {
            reader.u16()?;
            reader.vector16()?;
        }
        let extensions = Self(block);
        // RFC 8446 §4.2: "There MUST NOT be more than one extension of the same type".
        if let Some(kind) = first_duplicate(extensions.iter().map(|(kind, _)| kind)) {
            return Err(PeerMisbehaved::DuplicateExtension(kind).into());
        }
        Ok(extensions)
    }

    fn iter(self) -> impl Iterator<Item = (u16, &'a [u8])> + Clone {
        let mut reader = Reader::new(self.0, "extensions");
        core::iter::from_fn(move || {
            let kind = reader.u16().ok()?;
            Some((kind, reader.vector16().ok()?))
        })
    }
}

/// A set of the numbers of one window out of all 16-bit numbers. A hello can hold thousands of them: window by window
/// every question about them is answered in linear time and little space.
struct Window {
    number: usize,
    bits: [u8; Window::SIZE / 8],
}

impl Window {
    const SIZE: usize = 8192;

    fn all() -> impl Iterator<Item = Self> {
        (0..=usize::from(u16::MAX) / Self::SIZE).map(|number| Self {
            number,
            bits: [0; Self::SIZE / 8],
        })
    }

    fn covers(&self, number: u16) -> bool {
        usize::from(number) / Self::SIZE == self.number
    }

    fn contains(&self, number: u16) -> bool {
        let number = usize::from(number) % Self::SIZE;
        self.bits
            .get(number / 8)
            .is_some_and(|byte| byte & (1 << (number % 8)) != 0)
    }

    fn insert(&mut self, number: u16) {
        let number = usize::from(number) % Self::SIZE;
        if let Some(byte) = self.bits.get_mut(number / 8) {
            *byte |= 1 << (number % 8);
        }
    }
}

/// A number that comes more than once.
fn first_duplicate(numbers: impl Iterator<Item = u16> + Clone) -> Option<u16> {
    Window::all().find_map(|mut window| {
        numbers.clone().find(|&number| {
            let duplicate = window.covers(number) && window.contains(number);
            if window.covers(number) {
                window.insert(number);
            }
            duplicate
        })
    })
}

/// A number that `all` does not hold.
fn first_outside(numbers: impl Iterator<Item = u16> + Clone, all: U16List<'_>) -> Option<u16> {
    Window::all().find_map(|mut window| {
        all.iter().for_each(|number| {
            if window.covers(number) {
                window.insert(number);
            }
        });
        numbers
            .clone()
            .find(|&number| window.covers(number) && !window.contains(number))
    })
}

fn list16<'a>(body: &'a [u8], what: &'static str) -> Result<U16List<'a>, Error> {
    let mut reader = Reader::new(body, what);
    let list = U16List::parse(reader.vector16()?, what)?;
    reader.finish()?;
    Ok(list)
}

/// `server_name` (RFC 6066 §3): at most one name of each type; only host names are known.
fn parse_server_name(body: &[u8]) -> Result<Option<&[u8]>, Error> {
    const HOST_NAME: u8 = 0;
    let mut reader = Reader::new(body, "server_name");
    let mut names = Reader::new(reader.vector16()?, "server_name");
    reader.finish()?;
    if names.is_empty() {
        return Err(InvalidMessage::IllegalValue("server_name").into());
    }
    let mut host_name = None;
    while !names.is_empty() {
        let kind = names.u8()?;
        let name = names.vector16()?;
        if kind == HOST_NAME {
            if name.is_empty() {
                return Err(InvalidMessage::IllegalValue("server_name").into());
            }
            if host_name.replace(name).is_some() {
                return Err(PeerMisbehaved::IllegalParameter("server_name").into());
            }
        }
    }
    Ok(host_name)
}

/// `pre_shared_key` (RFC 8446 §4.2.11): identities and as many binders.
fn check_pre_shared_key(body: &[u8]) -> Result<(), Error> {
    let mut reader = Reader::new(body, "pre_shared_key");
    let mut identities = Reader::new(reader.vector16()?, "PskIdentity");
    let mut binders = Reader::new(reader.vector16()?, "PskBinderEntry");
    reader.finish()?;
    let mut count = 0_usize;
    while !identities.is_empty() {
        if identities.vector16()?.is_empty() {
            return Err(InvalidMessage::IllegalValue("PskIdentity").into());
        }
        identities.take(4)?; // obfuscated_ticket_age
        count += 1;
    }
    let mut binder_count = 0_usize;
    while !binders.is_empty() {
        if binders.vector8()?.len() < 32 {
            return Err(InvalidMessage::IllegalValue("PskBinderEntry").into());
        }
        binder_count += 1;
    }
    if count == 0 {
        return Err(InvalidMessage::IllegalValue("pre_shared_key").into());
    }
    if count != binder_count {
        return Err(PeerMisbehaved::IllegalParameter("pre_shared_key").into());
    }
    Ok(())
}
