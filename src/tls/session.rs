//! Sessions to resume: the server's sealed tickets, and the client's memory of them.

use core::cell::RefCell;

use rand_core::CryptoRng;

use super::codec::{Full, Reader, Writer};
use super::error::{Error, InvalidMessage};
use super::msg::{TLS12, TLS13};
use crate::crypto::aead::{AeadAlgorithm, AeadKey, NONCE_LEN, TAG_LEN};
use crate::crypto::hash::{HashAlgorithm, HashOutput, MAX_HASH};
use crate::crypto::mac::constant_time_eq;
use crate::crypto::suite::CipherSuite;
use crate::pki::text::Text;
use crate::pki::verify::PeerIdentity;

/// How long a ticket is good for, in seconds (RFC 8446 §4.6.1 allows seven days).
pub const TICKET_LIFETIME: u32 = 7200;
/// The longest ticket that a client keeps, in bytes; a longer one is not used.
pub const MAX_TICKET: usize = 1536;
/// The longest ticket of ours, in bytes.
pub(crate) const MAX_OWN_TICKET: usize = KEY_NAME + NONCE_LEN + MAX_STATE + TAG_LEN;

/// The name by which a ticket tells the key that sealed it, in bytes.
const KEY_NAME: usize = 16;
/// The longest that a session's encoding gets, in bytes.
const MAX_STATE: usize = 2 + 2 + 1 + MAX_HASH + 8 + 32 + 1 + 32 + 8 + 1 + SUBJECT;
/// The longest subject that a session remembers, in bytes.
const SUBJECT: usize = 96;

/// What a server has to know of a session to resume it.
pub(crate) struct SessionState {
    pub(crate) tls13: bool,
    pub(crate) suite: CipherSuite,
    /// The PSK of TLS 1.3 or the (extended) master secret of TLS 1.2.
    pub(crate) secret: HashOutput,
    /// In seconds since 1970.
    pub(crate) issued: u64,
    /// The hash of the server name that the client asked for.
    pub(crate) server_name: HashOutput,
    /// Who the client is, if it said so.
    pub(crate) identity: Option<PeerIdentity>,
}

/// The hash by which a session remembers the server name.
pub(crate) fn server_name_hash(name: Option<&[u8]>) -> HashOutput {
    HashAlgorithm::Sha256.hash(name.unwrap_or_default())
}

/// The keys that seal a server's tickets: made at the start, known to nobody else, replaced every
/// [`TICKET_LIFETIME`]; the one before still opens what it sealed.
pub struct Tickets {
    keys: RefCell<Keys>,
}

struct Keys {
    current: TicketKey,
    previous: Option<TicketKey>,
    /// When `current` was made, in seconds since 1970.
    since: u64,
}

struct TicketKey {
    name: [u8; KEY_NAME],
    key: AeadKey,
}

impl TicketKey {
    fn generate(rng: &mut dyn CryptoRng) -> Result<Self, Error> {
        const ALGORITHM: AeadAlgorithm = AeadAlgorithm::Aes256Gcm;
        let mut name = [0; KEY_NAME];
        rng.fill_bytes(&mut name);
        let mut bytes = zeroize::Zeroizing::new([0; ALGORITHM.key_len()]);
        rng.fill_bytes(&mut *bytes);
        let key = AeadKey::new(ALGORITHM, &*bytes).map_err(|_| Error::Internal("ticket key"))?;
        Ok(Self { name, key })
    }
}

impl Tickets {
    /// Makes the first key. `now` in seconds since 1970.
    ///
    /// # Errors
    /// Never, with the algorithm used here.
    pub fn new(rng: &mut dyn CryptoRng, now: u64) -> Result<Self, Error> {
        Ok(Self {
            keys: RefCell::new(Keys {
                current: TicketKey::generate(rng)?,
                previous: None,
                since: now,
            }),
        })
    }

    /// Throws all keys away and makes a new one: no ticket given out so far is good any more.
    ///
    /// # Errors
    /// Never, with the algorithm used here.
    pub fn revoke(&self, rng: &mut dyn CryptoRng, now: u64) -> Result<(), Error> {
        let fresh = Keys {
            current: TicketKey::generate(rng)?,
            previous: None,
            since: now,
        };
        *self.keys.borrow_mut() = fresh;
        Ok(())
    }

    /// Seals a session into a ticket.
    pub(crate) fn seal(
        &self,
        state: &SessionState,
        rng: &mut dyn CryptoRng,
    ) -> Result<heapless::Vec<u8, MAX_OWN_TICKET>, Error> {
        const TOO_LONG: Error = Error::Internal("session too long for a ticket");
        let mut keys = self.keys.borrow_mut();
        if state.issued.saturating_sub(keys.since) >= u64::from(TICKET_LIFETIME) {
            let fresh = TicketKey::generate(rng)?;
            keys.previous = Some(core::mem::replace(&mut keys.current, fresh));
            keys.since = state.issued;
        }
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let mut plain = zeroize::Zeroizing::new([0; MAX_STATE]);
        let mut writer = Writer::new(&mut *plain);
        state.emit(&mut writer).map_err(|_| TOO_LONG)?;
        let length = writer.len();
        let plain = plain.get_mut(..length).ok_or(TOO_LONG)?;
        let TicketKey { name, key } = &keys.current;
        let tag = key.seal(&nonce, name, plain).map_err(|_| TOO_LONG)?;
        let mut ticket = heapless::Vec::new();
        for part in [&name[..], &nonce, plain, &tag] {
            ticket.extend_from_slice(part).map_err(|_| TOO_LONG)?;
        }
        Ok(ticket)
    }

    /// Opens a ticket that is one of ours and still good.
    pub(crate) fn open(&self, ticket: &[u8], now: u64) -> Option<SessionState> {
        let (name, rest) = ticket.split_first_chunk::<KEY_NAME>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_LEN>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let keys = self.keys.borrow();
        let key = [Some(&keys.current), keys.previous.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.name == *name)?;
        let mut plain = zeroize::Zeroizing::new([0; MAX_STATE]);
        let plain = plain.get_mut(..sealed.len())?;
        plain.copy_from_slice(sealed);
        key.key.open(nonce, name, plain, tag).ok()?;
        let state = SessionState::parse(plain).ok()?;
        let age = now.checked_sub(state.issued)?;
        (age <= u64::from(TICKET_LIFETIME)).then_some(state)
    }
}

impl core::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tickets")
    }
}

impl SessionState {
    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.u16(if self.tls13 { TLS13 } else { TLS12 })?;
        writer.u16(self.suite.id())?;
        writer.nested8(|writer| writer.bytes(self.secret.as_ref()))?;
        writer.bytes(&self.issued.to_be_bytes())?;
        writer.bytes(self.server_name.as_ref())?;
        let Some(identity) = &self.identity else {
            return writer.u8(0);
        };
        writer.u8(1)?;
        writer.bytes(&identity.fingerprint)?;
        writer.bytes(&identity.not_after.to_be_bytes())?;
        writer.nested8(|writer| writer.bytes(identity.subject.as_str().as_bytes()))
    }

    fn parse(bytes: &[u8]) -> Result<Self, InvalidMessage> {
        const WHAT: &str = "ticket";
        let mut reader = Reader::new(bytes, WHAT);
        let tls13 = reader.u16()? == TLS13;
        let suite = CipherSuite::from_id(reader.u16()?).ok_or(InvalidMessage::IllegalValue(WHAT))?;
        let secret = HashOutput::new(reader.vector8()?);
        let issued = u64::from_be_bytes(*reader.array()?);
        let server_name = HashOutput::new(reader.take(32)?);
        let identity = if reader.u8()? == 0 {
            None
        } else {
            Some(PeerIdentity {
                fingerprint: *reader.array()?,
                not_after: u64::from_be_bytes(*reader.array()?),
                subject: Text::new(core::str::from_utf8(reader.vector8()?).unwrap_or_default()),
            })
        };
        reader.finish()?;
        Ok(Self {
            tls13,
            suite,
            secret,
            issued,
            server_name,
            identity,
        })
    }

    /// Whether the session is for this server name.
    pub(crate) fn is_for(&self, server_name: Option<&[u8]>) -> bool {
        constant_time_eq(self.server_name.as_ref(), server_name_hash(server_name).as_ref())
    }
}

/// A client's memory of one server: the newest ticket, used once.
///
/// One for each server and configuration: what a session proves of the peer was verified with the trust of the
/// connection that got the ticket.
#[derive(Default)]
pub struct SessionCache {
    session: RefCell<Option<ClientSession>>,
}

impl SessionCache {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            session: RefCell::new(None),
        }
    }

    /// Whether there is a session to resume.
    pub fn is_empty(&self) -> bool {
        self.session.borrow().is_none()
    }

    /// Forgets the session.
    pub fn clear(&self) {
        self.session.borrow_mut().take();
    }

    pub(crate) fn store(&self, session: ClientSession) {
        self.session.borrow_mut().replace(session);
    }

    /// Takes the session out, if it is still good at `now` (in seconds since 1970).
    pub(crate) fn take(&self, now: u64) -> Option<ClientSession> {
        let session = self.session.borrow_mut().take()?;
        let age = now.checked_sub(session.received)?;
        let valid = session.identity.is_none_or(|identity| now <= identity.not_after);
        (valid && age < u64::from(session.lifetime)).then_some(session)
    }
}

impl core::fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(
            f,
            "SessionCache({})",
            if self.is_empty() { "empty" } else { "one session" }
        )
    }
}

/// What a client knows of a session.
#[derive(Clone)]
pub(crate) struct ClientSession {
    pub(crate) tls13: bool,
    pub(crate) suite: CipherSuite,
    pub(crate) secret: HashOutput,
    pub(crate) ticket: heapless::Vec<u8, MAX_TICKET>,
    /// In seconds.
    pub(crate) lifetime: u32,
    pub(crate) age_add: u32,
    /// In seconds since 1970.
    pub(crate) received: u64,
    /// Who the server proved to be.
    pub(crate) identity: Option<PeerIdentity>,
}
