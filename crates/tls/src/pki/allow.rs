//! Entries of the client allow-list: subjects and key hashes.

use core::fmt;

use super::text::Hex;

/// The longest subject that can be allowed, in bytes: a longer one is cut when it is stored, and could be mistaken for
/// another.
pub const MAX_ALLOWED_SUBJECT: usize = 93;

/// The SHA-256 of a SubjectPublicKeyInfo.
///
/// Displayed as `sha256:` and 64 hexadecimal digits, or as many as the precision states (`{:.16}`). OpenSSL
/// prints the same: `openssl x509 -noout -pubkey -in cert.pem | openssl pkey -pubin -outform DER | sha256sum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

/// The length of a [`KeyHash`] as text, in bytes.
pub const KEY_HASH_TEXT: usize = KEY_HASH_PREFIX.len() + 64;
/// The prefix of a [`KeyHash`] as text.
pub const KEY_HASH_PREFIX: &str = "sha256:";

/// Whether an entry of the allow-list is a key hash: it begins with [`KEY_HASH_PREFIX`], in either case.
pub fn looks_like_key(entry: &str) -> bool {
    let prefix = entry.get(..KEY_HASH_PREFIX.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(KEY_HASH_PREFIX))
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KEY_HASH_PREFIX)?;
        let digits = f.precision().unwrap_or(64);
        let shown = self.0.get(..digits / 2).unwrap_or(&self.0);
        write!(f, "{}", Hex(shown))
    }
}

#[cfg(test)]
mod tests;
