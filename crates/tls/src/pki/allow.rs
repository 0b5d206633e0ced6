//! Clients by name or by key: how they are written where they are allowed.

use core::fmt;

use super::text::Hex;

/// The longest subject that can be allowed, in bytes: a longer one is cut where it is remembered, and could be taken for
/// another.
pub const MAX_ALLOWED_SUBJECT: usize = 93;

/// The SHA-256 of a SubjectPublicKeyInfo.
///
/// Displayed as `sha256:` and 64 hexadecimal digits; with a precision only so many of these, as in `{:.16}`. OpenSSL
/// gives the same: `openssl x509 -noout -pubkey -in cert.pem | openssl pkey -pubin -outform DER | sha256sum`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyHash(pub [u8; 32]);

/// How long a [`KeyHash`] is as text, in bytes.
pub const KEY_HASH_TEXT: usize = KEY_HASH_PREFIX.len() + 64;
/// What it begins with.
pub const KEY_HASH_PREFIX: &str = "sha256:";

/// Whether an entry of a list of clients is for a key: it begins with [`KEY_HASH_PREFIX`], in letters of either case.
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
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_hash_is_shown_whole_or_in_part() {
        let hash = KeyHash(core::array::from_fn(|at| at as u8));
        let whole = hash.to_string();
        assert_eq!(whole.len(), KEY_HASH_TEXT);
        assert!(whole.starts_with("sha256:000102") && whole.ends_with("1e1f"), "{whole}");
        assert_eq!(std::format!("{hash:.16}"), "sha256:0001020304050607");
    }
}
