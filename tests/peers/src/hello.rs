//! ClientHellos of any kind, correct ones and others.

/// `server_name` (RFC 6066 §3).
pub const SERVER_NAME: u16 = 0;
/// `supported_groups` (RFC 8446 §4.2.7).
pub const SUPPORTED_GROUPS: u16 = 10;
/// `signature_algorithms` (§4.2.3).
pub const SIGNATURE_ALGORITHMS: u16 = 13;
/// `padding` (RFC 7685).
pub const PADDING: u16 = 21;
/// `pre_shared_key` (RFC 8446 §4.2.11).
pub const PRE_SHARED_KEY: u16 = 41;
/// `early_data` (§4.2.10).
pub const EARLY_DATA: u16 = 42;
/// `supported_versions` (§4.2.1).
pub const SUPPORTED_VERSIONS: u16 = 43;
/// `cookie` (§4.2.2).
pub const COOKIE: u16 = 44;
/// `psk_key_exchange_modes` (§4.2.9).
pub const PSK_KEY_EXCHANGE_MODES: u16 = 45;
/// `key_share` (§4.2.8).
pub const KEY_SHARE: u16 = 51;

/// X25519's number.
pub const X25519: u16 = 0x001d;
/// P-256's number.
pub const SECP256R1: u16 = 0x0017;

/// A ClientHello, field by field.
#[derive(Debug, Clone)]
pub struct Hello {
    /// `legacy_version`.
    pub version: u16,
    /// `random`.
    pub random: [u8; 32],
    /// `legacy_session_id`.
    pub session_id: Vec<u8>,
    /// `cipher_suites`.
    pub suites: Vec<u16>,
    /// `legacy_compression_methods`.
    pub compression: Vec<u8>,
    /// Type and body of each extension, in order.
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// A correct one that offers everything we have, with these key shares.
    pub fn new(shares: &[(u16, &[u8])]) -> Self {
        Self {
            version: 0x0303,
            random: [0x52; 32],
            session_id: vec![0x1d; 32],
            suites: vec![0x1301, 0x1302, 0x1303],
            compression: vec![0],
            extensions: vec![
                (SERVER_NAME, server_name(b"localhost")),
                (SUPPORTED_VERSIONS, vec![2, 3, 4]),
                (SUPPORTED_GROUPS, numbers16(&[X25519, SECP256R1])),
                (SIGNATURE_ALGORITHMS, numbers16(&[0x0403, 0x0804])),
                (PSK_KEY_EXCHANGE_MODES, vec![1, 1]),
                (KEY_SHARE, key_shares(shares)),
            ],
        }
    }

    /// The same with this extension, in the place of the one of that type or at the end.
    pub fn with(mut self, kind: u16, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        match self.extensions.iter_mut().find(|extension| extension.0 == kind) {
            Some(extension) => extension.1 = body,
            None => self.extensions.push((kind, body)),
        }
        self
    }

    /// The same with another extension at the end, whether there is one of that type or not.
    pub fn and(mut self, kind: u16, body: impl Into<Vec<u8>>) -> Self {
        self.extensions.push((kind, body.into()));
        self
    }

    /// The same without the extension of that type.
    pub fn without(mut self, kind: u16) -> Self {
        self.extensions.retain(|extension| extension.0 != kind);
        self
    }

    /// The same with a change.
    pub fn changed(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// The handshake message.
    pub fn message(&self) -> Vec<u8> {
        let mut extensions = Vec::new();
        for (kind, body) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend(vector16(body));
        }
        let mut body = Vec::new();
        body.extend(self.version.to_be_bytes());
        body.extend(self.random);
        body.extend(vector8(&self.session_id));
        body.extend(numbers16(&self.suites));
        body.extend(vector8(&self.compression));
        body.extend(vector16(&extensions));
        message(1, &body)
    }

    /// The handshake message in one record.
    pub fn record(&self) -> Vec<u8> {
        record(22, &self.message())
    }
}

/// An unprotected record.
pub fn record(content: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [&[content, 3, 3], &length[..], payload].concat()
}

/// A handshake message.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let [.., high, middle, low] = body.len().to_be_bytes();
    [&[kind, high, middle, low], body].concat()
}

/// A vector with a length of one byte.
pub fn vector8(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A vector with a length of two bytes.
pub fn vector16(bytes: &[u8]) -> Vec<u8> {
    [&u16::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A vector of 16-bit numbers with a length of two bytes.
pub fn numbers16(numbers: &[u16]) -> Vec<u8> {
    let bytes: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    vector16(&bytes)
}

/// The body of `server_name`.
pub fn server_name(name: &[u8]) -> Vec<u8> {
    vector16(&[&[0][..], &vector16(name)].concat())
}

/// The body of `key_share`.
pub fn key_shares(shares: &[(u16, &[u8])]) -> Vec<u8> {
    let mut entries = Vec::new();
    for (group, public) in shares {
        entries.extend(group.to_be_bytes());
        entries.extend(vector16(public));
    }
    vector16(&entries)
}

/// The body of `pre_shared_key` with one identity.
pub fn pre_shared_key(identity: &[u8], binder: &[u8]) -> Vec<u8> {
    let identities = [&vector16(identity)[..], &[0; 4]].concat();
    [vector16(&identities), vector16(&vector8(binder))].concat()
}
