//! The names of hosts.

/// The longest name, in bytes of its text (RFC 1035 §2.3.4: 255 bytes on the wire).
pub const MAX_NAME: usize = 253;
/// The longest part of a name between two dots (RFC 1035 §2.3.4), in bytes.
const MAX_LABEL: usize = 63;

/// Whether a host can have this name: parts of letters, digits, hyphens and underscores, the last of them no number
/// (it would be an address, or meant to be one).
pub fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    let last = name.rsplit('.').next().unwrap_or("");
    name.len() <= MAX_NAME && name.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}
