//! A server's session tickets (RFC 5077 §4, RFC 8446 §4.6.1).

use core::cell::RefCell;

use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::codec::Writer;
use super::error::Error;
use super::session::{MAX_STATE, SessionState, TICKET_LIFETIME};
use crate::crypto::CryptoError;
use crate::crypto::aead::{AeadAlgorithm, AeadKey, NONCE_LEN, TAG_LEN};
use crate::crypto::hash::{HashAlgorithm, HashOutput};
use crate::crypto::mac::hkdf_expand;

/// The longest ticket that a server issues, in bytes.
pub(crate) const MAX_OWN_TICKET: usize = KEY_NAME + SYNTHETIC_IV + MAX_STATE + TAG_LEN;

/// The name of the key that sealed a ticket, in bytes.
const KEY_NAME: usize = 16;
/// The length of a ticket key, in bytes.
const KEY_LEN: usize = 32;
/// The random part of a synthetic IV's input, in bytes.
const SALT: usize = 16;
/// The length of the input for a ticket's own key and nonce, in bytes.
const SYNTHETIC_IV: usize = 32;
const ALGORITHM: AeadAlgorithm = AeadAlgorithm::Aes256Gcm;

/// The keys that seal a server's tickets. A key seals for [`TICKET_LIFETIME`] and opens for as long again, by the clock at
/// each use, so that idle time counts.
pub struct Tickets {
    keys: RefCell<TicketKeys>,
}

struct TicketKeys {
    current: Option<TicketKey>,
    previous: Option<TicketKey>,
}

struct TicketKey {
    name: [u8; KEY_NAME],
    secret: Zeroizing<[u8; KEY_LEN]>,
    /// In seconds since 1970.
    created: u64,
}

impl TicketKey {
    fn generate(rng: &mut dyn CryptoRng, now: u64) -> Self {
        let (mut name, mut secret) = ([0; KEY_NAME], Zeroizing::new([0; KEY_LEN]));
        rng.fill_bytes(&mut name);
        rng.fill_bytes(&mut *secret);
        Self {
            name,
            secret,
            created: now,
        }
    }

    fn age(&self, now: u64) -> u64 {
        now.saturating_sub(self.created)
    }

    /// A pseudorandom function of salt, context and content, as in SIV (RFC 5297 §2).
    ///
    /// Key and nonce of a ticket are derived from it, so that a repeated random number, as in two machines resumed
    /// from one snapshot, cannot encrypt two contents under one key and nonce: different content gives a different IV
    /// (unless HMAC-SHA256 collides), and the same content under the same context gives the same ticket, which reveals nothing.
    fn synthetic_iv(
        &self,
        salt: &[u8; SALT],
        context: &HashOutput,
        plain: &[u8],
    ) -> Result<[u8; SYNTHETIC_IV], CryptoError> {
        let mut iv = [0; SYNTHETIC_IV];
        // Only the last of these has a variable length.
        let info = [b"ticket iv ", &salt[..], context.as_ref(), plain];
        hkdf_expand(HashAlgorithm::Sha256, &*self.secret, &info, &mut iv)?;
        Ok(iv)
    }

    /// The key and the nonce for the one ticket with this IV.
    fn derive(&self, iv: &[u8; SYNTHETIC_IV]) -> Result<(AeadKey, [u8; NONCE_LEN]), CryptoError> {
        let mut bytes = Zeroizing::new([0; ALGORITHM.key_len() + NONCE_LEN]);
        hkdf_expand(HashAlgorithm::Sha256, &*self.secret, &[b"ticket key", iv], &mut *bytes)?;
        let (key, nonce) = bytes.split_last_chunk().ok_or(CryptoError)?;
        Ok((AeadKey::new(ALGORITHM, key)?, *nonce))
    }
}

impl TicketKeys {
    /// Wipes the keys whose last ticket has expired.
    fn expire(&mut self, now: u64) {
        for slot in [&mut self.current, &mut self.previous] {
            if let Some(key) = slot {
                // A clock that was ahead must not prolong the lifetime of a key.
                key.created = key.created.min(now);
            }
            slot.take_if(|key| key.age(now) >= 2 * u64::from(TICKET_LIFETIME));
        }
    }

    /// The key to seal with; a new one if the current one is too old.
    fn rotate(&mut self, now: u64, rng: &mut dyn CryptoRng) -> &TicketKey {
        self.expire(now);
        let old = self.current.take_if(|key| key.age(now) >= u64::from(TICKET_LIFETIME));
        if old.is_some() {
            self.previous = old;
        }
        self.current.get_or_insert_with(|| TicketKey::generate(rng, now))
    }
}

impl Tickets {
    /// Generates the first key. `now` in seconds since 1970.
    ///
    /// # Errors
    /// None at present.
    pub fn new(rng: &mut dyn CryptoRng, now: u64) -> Result<Self, Error> {
        let keys = TicketKeys {
            current: Some(TicketKey::generate(rng, now)),
            previous: None,
        };
        Ok(Self {
            keys: RefCell::new(keys),
        })
    }

    /// Replaces all keys, so that no ticket issued before can resume a session.
    ///
    /// # Errors
    /// None at present.
    pub fn revoke(&self, rng: &mut dyn CryptoRng, now: u64) -> Result<(), Error> {
        self.keys.replace(Self::new(rng, now)?.keys.into_inner());
        Ok(())
    }

    /// Seals a session into a ticket, which opens only in the same `context`.
    pub(crate) fn seal(
        &self,
        state: &SessionState,
        context: &HashOutput,
        rng: &mut dyn CryptoRng,
    ) -> Result<heapless::Vec<u8, MAX_OWN_TICKET>, Error> {
        const FAILED: Error = Error::Internal("session not sealed into a ticket");
        let mut keys = self.keys.borrow_mut();
        let key = keys.rotate(state.issued, rng);
        let mut salt = [0; SALT];
        rng.fill_bytes(&mut salt);
        let mut plain = Zeroizing::new([0; MAX_STATE]);
        let mut writer = Writer::new(&mut *plain);
        state.emit(&mut writer).map_err(|_| FAILED)?;
        let length = writer.len();
        let plain = plain.get_mut(..length).ok_or(FAILED)?;
        let iv = key.synthetic_iv(&salt, context, plain).map_err(|_| FAILED)?;
        let (sealer, nonce) = key.derive(&iv).map_err(|_| FAILED)?;
        let tag = sealer.seal(&nonce, context.as_ref(), plain).map_err(|_| FAILED)?;
        let mut ticket = heapless::Vec::new();
        for part in [&key.name[..], &iv, plain, &tag] {
            ticket.extend_from_slice(part).map_err(|_| FAILED)?;
        }
        Ok(ticket)
    }

    /// Opens a ticket of this server, if neither it nor its session has expired. `context` is called only for a ticket of
    /// a known key.
    pub(crate) fn open(&self, ticket: &[u8], context: impl FnOnce() -> HashOutput, now: u64) -> Option<SessionState> {
        let (name, rest) = ticket.split_first_chunk::<KEY_NAME>()?;
        let (iv, rest) = rest.split_first_chunk::<SYNTHETIC_IV>()?;
        let (sealed, tag) = rest.split_last_chunk::<TAG_LEN>()?;
        let mut keys = self.keys.borrow_mut();
        keys.expire(now);
        let mut known = [&keys.current, &keys.previous].into_iter().flatten();
        let key = known.find(|key| key.name == *name)?;
        let mut plain = Zeroizing::new([0; MAX_STATE]);
        let plain = plain.get_mut(..sealed.len())?;
        plain.copy_from_slice(sealed);
        let (opener, nonce) = key.derive(iv).ok()?;
        opener.open(&nonce, context().as_ref(), plain, tag).ok()?;
        let state = SessionState::parse(plain).ok()?;
        let age = now.checked_sub(state.issued)?;
        (age <= u64::from(TICKET_LIFETIME) && now <= state.expires).then_some(state)
    }
}

impl core::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Tickets")
    }
}

#[cfg(test)]
mod tests;
