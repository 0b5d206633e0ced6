//! Private keys that the machine makes at boot, and their requests.
//!
//! Such a key is never in a text. The configuration has a mark in its place; the key itself is beside it, where it can be
//! wiped although the configuration is shared.

use core::cell::RefCell;
use core::fmt::Write as _;

use heapless::{String, Vec};

use super::{Config, Error, Fault, Key, MAX_CERTIFICATES, MAX_NAMES, Path, alternative};
use postern_tls::crypto::key::SigningKey;
use postern_tls::pki::cert::{Certificate, Date};
use postern_tls::pki::own::Role;
use postern_tls::pki::request::{Request, RequestError, is_subject};
use rand_core::CryptoRng;

/// The most bytes of a request, or a self-signed certificate, with the most names and the longest subject.
pub const MAX_REQUEST: usize = 1536;

/// How long a self-signed certificate is valid, in seconds.
const SELF_SIGNED_LIFE: u64 = 30 * 24 * 60 * 60;
/// How long before its creation it becomes valid, in seconds, since clocks differ.
const EARLIER: u64 = 60 * 60;

/// The keys that were made at boot, wiped on drop.
#[derive(Debug, Default)]
pub struct BootKeys(RefCell<[Option<SigningKey>; 2]>);

impl BootKeys {
    pub(super) const fn new() -> Self {
        Self(RefCell::new([const { None }; 2]))
    }

    /// Wipes the keys.
    pub fn wipe(&self) {
        // It is borrowed for as long as a copy takes.
        if let Ok(mut keys) = self.0.try_borrow_mut() {
            *keys = [None, None];
        }
    }

    /// Wipes the keys of roles that are not `wanted`.
    pub(super) fn keep(&self, wanted: impl Fn(Role) -> bool) {
        if let Ok(mut keys) = self.0.try_borrow_mut() {
            for (key, role) in keys.iter_mut().zip([Role::Server, Role::Client]) {
                key.take_if(|_| !wanted(role));
            }
        }
    }

    /// A copy of the key of that role, if there is one.
    pub(super) fn get(&self, role: Role) -> Option<SigningKey> {
        self.0.try_borrow().ok()?.get(role as usize)?.clone()
    }

    fn set(&mut self, role: Role, key: Option<SigningKey>) {
        if let Some(place) = self.0.get_mut().get_mut(role as usize) {
            *place = key;
        }
    }

    fn is_matched_by(&self, role: Role, spki: &[u8]) -> bool {
        let keys = self.0.try_borrow();
        keys.is_ok_and(|keys| matches!(keys.get(role as usize), Some(Some(key)) if key.public_key_matches(spki)))
    }
}

impl Config {
    /// The mark or keys of a role.
    fn keys_of(&self, role: Role) -> &[Key] {
        match role {
            Role::Server => &self.tls.srv_key,
            Role::Client => &self.tls.cli_key,
        }
    }

    /// Whether the key of that role is made at boot.
    pub fn is_generated(&self, role: Role) -> bool {
        self.keys_of(role).iter().any(Key::is_generated)
    }

    /// Whether the server has a key that was made at boot, and no certificate for it yet.
    pub fn awaits_certificate(&self) -> bool {
        self.is_generated(Role::Server) && self.tls.srv_cert.is_empty()
    }

    /// The key of that role, if it was made at boot.
    pub fn boot_key(&self, role: Role) -> Option<SigningKey> {
        self.boot_keys.get(role).filter(|_| self.is_generated(role))
    }

    /// Makes the keys that are to be made at boot.
    pub fn make_boot_keys(&mut self, rng: &mut dyn CryptoRng) {
        for role in [Role::Server, Role::Client] {
            if self.is_generated(role) {
                self.boot_keys.set(role, Some(SigningKey::generate(rng)));
            }
        }
    }

    /// Issues the server's certificate by its own key, if that is configured. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// When that fails.
    pub fn self_sign(&mut self, now: u64, rng: &mut dyn CryptoRng) -> Result<(), RequestError> {
        let Some(key) = self.boot_key(Role::Server).filter(|_| self.tls.self_signed) else {
            return Ok(());
        };
        let mut buffer = [0; MAX_REQUEST];
        let dates = [
            Date(now.saturating_sub(EARLIER)),
            Date(now.saturating_add(SELF_SIGNED_LIFE)),
        ];
        let der = self.with_request(Role::Server, |request| request.self_sign(&key, dates, rng, &mut buffer))?;
        self.tls.srv_cert.clear();
        let fits = self.tls.srv_cert.push(der, MAX_CERTIFICATES);
        fits.then_some(()).ok_or(RequestError::TooLong)
    }

    /// The request for a certificate for the key of that role, encoded in `buffer`, which has [`MAX_REQUEST`] bytes. `None`
    /// where no key was made at boot.
    ///
    /// # Errors
    /// When that fails.
    pub fn request<'b>(
        &self,
        role: Role,
        rng: &mut dyn CryptoRng,
        buffer: &'b mut [u8],
    ) -> Option<Result<&'b [u8], RequestError>> {
        let key = self.boot_key(role)?;
        Some(self.with_request(role, |request| request.sign(&key, rng, buffer)))
    }

    /// Calls `sign` with what is to be certified.
    fn with_request<T>(&self, role: Role, sign: impl FnOnce(Request<'_>) -> T) -> T {
        let tls = &self.tls;
        let names: Vec<_, MAX_NAMES> = tls
            .names
            .lines()
            .filter_map(alternative)
            .filter(|_| role == Role::Server)
            .collect();
        // The first name, where there is no subject.
        let mut common_name = String::<68>::new();
        let first = tls.names.lines().next().unwrap_or_default();
        let subject = match (tls.subject.as_str(), role) {
            ("", Role::Server) => {
                // A name that is too long for a subject is in subjectAltName alone.
                let written = write!(common_name, "CN={first}");
                Some(common_name.as_str()).filter(|name| written.is_ok() && is_subject(name))
            }
            (subject, _) => Some(subject),
        };
        sign(Request {
            subject: subject.unwrap_or_default(),
            names: &names,
            role,
        })
    }

    /// Takes the keys that were made at boot from `running`, where the text that was read has their marks.
    ///
    /// # Errors
    /// When there is a mark, and `running` has no such key.
    pub fn take_boot_keys(&mut self, running: &Config) -> Result<(), Error> {
        for (role, path) in [(Role::Server, Path::SrvKey), (Role::Client, Path::CliKey)] {
            let key = running.boot_keys.get(role).filter(|_| self.is_generated(role));
            let is_missing = key.is_none() && self.is_generated(role);
            self.boot_keys.set(role, key);
            if is_missing {
                return Err(self.error(path, Fault::MadeAtBoot));
            }
        }
        Ok(())
    }

    /// Whether this certificate is for the client's key, which was made at boot.
    pub(super) fn is_for_client(&self, der: &[u8]) -> bool {
        self.is_generated(Role::Client)
            && Certificate::from_der(der)
                .is_ok_and(|leaf| self.boot_keys.is_matched_by(Role::Client, leaf.public_key.der))
    }

    /// Checks that there is what requests need, and nothing that only requests need where there are none.
    pub(super) fn check_boot_keys(&self) -> Result<(), Error> {
        let tls = &self.tls;
        let [server, client] = [Role::Server, Role::Client].map(|role| self.is_generated(role));
        if server && tls.names.is_empty() {
            return Err(self.error(Path::SrvKey, Fault::RequestWithoutNames));
        }
        if client && tls.subject.is_empty() {
            return Err(self.error(Path::CliKey, Fault::RequestWithoutSubject));
        }
        for (path, is_unused) in [
            (Path::Names, !tls.names.is_empty() && !server),
            (Path::Subject, !tls.subject.is_empty() && !server && !client),
            (Path::SelfSigned, tls.self_signed && !server),
        ] {
            // A key that was pasted may have replaced the one made at boot.
            if is_unused && self.places.get(path).is_some() {
                return Err(self.error(path, Fault::OnlyForBootKey));
            }
        }
        Ok(())
    }
}
