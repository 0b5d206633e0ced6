//! The limits of verification, as documented in README.

/// The most CAs that can be configured.
pub const MAX_ANCHORS: usize = 16;
/// The most CAs of [`super::verify::Trust::with_roots`] that are considered for one chain: those with the name of an
/// issuer in it.
pub const MAX_ROOTS: usize = 16;
/// The most revocation lists that can be configured.
pub const MAX_CRLS: usize = 8;
/// The most certificates that a peer may send.
pub const MAX_CHAIN: usize = 10;
/// The most intermediates between the peer's certificate and a configured CA.
pub const MAX_INTERMEDIATES: usize = 5;
/// The most intermediates in a path with the same subject: two, for a CA that changed its key (RFC 5280 §3.2).
pub const MAX_SAME_NAME: usize = 2;
/// The most signatures verified for one chain: those of the path, of the revocation lists consulted that are not known to
/// be signed ([`super::verify::Trust::with_signed_crls`]), of a stapled OCSP response and its responder, and of candidates
/// that turn out to be wrong.
///
/// RFC 5280 sets no limit. Without one, a peer chooses the cost: any certificate that it sends may have been issued by
/// any other of the same name.
pub const MAX_SIGNATURES: u32 = 8;
/// The most revocation lists of one CA that is not configured: they are verified with each path, which needs two more
/// signature checks.
pub const MAX_CRLS_OF_INTERMEDIATE: usize = MAX_SIGNATURES as usize - 2;
/// The most comparisons of a name with a name constraint for one path; rustls-webpki sets and counts it.
pub const MAX_NAME_COMPARISONS: u32 = 250_000;
