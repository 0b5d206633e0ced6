//! Keys that are made at boot, and requests for their certificates.

use crate::config::Config;
use crate::crypto::key::SigningKey;
use crate::log::SECURITY;
use crate::machine::{clock, entropy};
use crate::pki::allow::KeyHash;
use crate::pki::own::Role;
use crate::pki::request::key_hash;

use super::tls_config::{NO_ENTROPY, TlsConfig, UNUSABLE};

/// Makes the keys that `config` asks for, from the machine's entropy, and the server's self-signed certificate. Without
/// entropy there are none, and without a date there is no certificate: TLS is closed then.
pub fn make(config: &mut Config) {
    if ![Role::Server, Role::Client]
        .into_iter()
        .any(|role| config.is_generated(role))
    {
        return;
    }
    let Ok(mut rng) = entropy::rng() else {
        ::log::error!("tls: no keys were made: {NO_ENTROPY}");
        return;
    };
    config.make_boot_keys(&mut rng);
    for role in [Role::Server, Role::Client] {
        if let Some((key, hash)) = hash_of(config, role) {
            let (name, algorithm) = (name(role), key.algorithm());
            ::log::info!(target: SECURITY, "tls: {name} key made at boot: {algorithm}, {hash}");
        }
    }
    let signed = match clock::unix_time() {
        Ok(now) => config.self_sign(now, &mut rng).map_err(|_| UNUSABLE),
        Err(_) => Err("the date is not known"),
    };
    if let Err(why) = signed {
        ::log::error!("tls: .tls.self_signed: no certificate was made: {why}");
    }
}

/// The key of that role that was made at boot, and its hash.
pub(super) fn hash_of(config: &Config, role: Role) -> Option<(SigningKey, KeyHash)> {
    let key = config.boot_key(role)?;
    let hash = key_hash(&key).ok()?;
    Some((key, hash))
}

/// The name of that role in messages.
pub(super) const fn name(role: Role) -> &'static str {
    match role {
        Role::Server => "server",
        Role::Client => "client",
    }
}

impl TlsConfig {
    /// The request for that role in `buffer`, and the hash of its key; or why there is none.
    pub(super) fn request<'b>(&self, role: Role, buffer: &'b mut [u8]) -> Result<(&'b [u8], KeyHash), &'static str> {
        let config = self.config();
        if !config.is_generated(role) {
            return Err(match role {
                Role::Server => "the server's key was not made at boot; set .tls.srv_key = \"generate\" and restart",
                Role::Client => "the client's key was not made at boot; set .tls.cli_key = \"generate\" and restart",
            });
        }
        let mut rng = entropy::rng().map_err(|_| NO_ENTROPY)?;
        let (_, hash) = hash_of(config, role).ok_or(NO_ENTROPY)?;
        match config.request(role, &mut rng, buffer) {
            Some(Ok(der)) => Ok((der, hash)),
            _ => Err(UNUSABLE),
        }
    }
}
