//! The names and addresses of hosts.

use core::net::Ipv4Addr;

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

/// Whether a host can have `address` in the network with this `mask`; [`u32::MAX`] where the network is not known
/// (RFC 1122 §3.2.1.3). In a network of one or two addresses a host can have each of them (RFC 3021).
pub fn is_host(address: Ipv4Addr, mask: u32) -> bool {
    let host = address.to_bits() & !mask;
    let small = mask.count_zeros() < 2;
    !(address.is_loopback() || address.is_multicast() || address.is_broadcast() || address.is_unspecified())
        && (small || (host != 0 && host != !mask))
}

/// Whether `mask` is that of a network: ones, then zeros (RFC 4632 §5.1).
pub fn is_mask(mask: u32) -> bool {
    mask != 0 && mask.leading_ones() + mask.trailing_zeros() == 32
}

/// Whether `router` can be the router of the host `address` in the network with this `mask`: another host there.
pub fn is_router(router: Ipv4Addr, address: Ipv4Addr, mask: u32) -> bool {
    (router.to_bits() ^ address.to_bits()) & mask == 0 && router != address && is_host(router, mask)
}
