//! The names and addresses of hosts.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use postern_tls::pki::cert::Alternative;

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

/// A name for subjectAltName (RFC 5280 §4.2.1.6): a DNS name, whose first part may be `*`, or an IP address.
pub fn alternative(text: &str) -> Option<Alternative<'_>> {
    if let Ok(address) = text.parse() {
        return Some(Alternative::Ip(address));
    }
    let host = text.strip_prefix("*.").unwrap_or(text);
    (is_name(host) && !host.contains('_')).then_some(Alternative::Dns(text))
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

/// Whether a host can have `address` in a network with a prefix of so many bits; 128 where the network is not known. In
/// others than point-to-point links (RFC 6164) the address with only the prefix is that of the routers (RFC 4291 §2.6.1).
/// IPv4-mapped and IPv4-compatible addresses are those of no host on the wire.
pub fn is_host6(address: Ipv6Addr, prefix: u8) -> bool {
    let bits = address.to_bits();
    let interface = bits & u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
    let embeds_v4 = bits >> 32 == 0 || address.to_ipv4_mapped().is_some();
    !(embeds_v4 || address.is_multicast()) && (prefix >= 127 || interface != 0)
}

/// Whether a host can have `address`, of either family, in a network that is not known.
pub fn is_host_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_host(address, u32::MAX),
        IpAddr::V6(address) => is_host6(address, 128),
    }
}

/// Whether `other` is on the link of the host `address` with a prefix of so many bits; `None`: it has only its
/// link-local one.
pub(super) fn is_on_link6(other: Ipv6Addr, address: Option<Ipv6Addr>, prefix: u8) -> bool {
    let differing = |address: Ipv6Addr| (other.to_bits() ^ address.to_bits()).leading_zeros();
    other.is_unicast_link_local() || address.is_some_and(|address| differing(address) >= prefix.into())
}

/// Whether `router` can be the router of the host `address` with a prefix of so many bits: another host on its link.
pub fn is_router6(router: Ipv6Addr, address: Option<Ipv6Addr>, prefix: u8) -> bool {
    is_host6(router, 128) && is_on_link6(router, address, prefix) && Some(router) != address
}
