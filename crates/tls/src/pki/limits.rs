//! The limits of verification, which README names.

/// The most CAs that can be configured.
pub const MAX_ANCHORS: usize = 16;
/// The most CAs of [`super::verify::Trust::with_roots`] that may have to do with one chain: whose subject one of its
/// issuers is.
pub const MAX_ROOTS: usize = 16;
/// The most revocation lists that can be configured.
pub const MAX_CRLS: usize = 8;
/// The most certificates that a peer may send.
pub const MAX_CHAIN: usize = 10;
/// The most intermediates between the peer's certificate and a configured CA.
pub const MAX_INTERMEDIATES: usize = 5;
/// The most intermediates in a path that have the same subject: two, as when a CA has changed its key (RFC 5280 §3.2).
pub const MAX_OF_ONE_NAME: usize = 2;
/// The most signatures that are verified for one verdict: those of the path, of the revocation lists that are asked about
/// it and are not known to be signed ([`super::verify::Trust::with_signed_crls`]), of a stapled OCSP response and of its
/// responder, and those of candidates that turn out to be the wrong one.
///
/// RFC 5280 sets no limit. Without one a peer chooses the cost: each certificate that it sends may have been issued by
/// each other one of the same name.
pub const MAX_SIGNATURES: u32 = 8;
/// The most revocation lists of one CA that is not configured: its lists are verified with each path, which takes two
/// signature checks besides.
pub const MAX_CRLS_OF_INTERMEDIATE: usize = MAX_SIGNATURES as usize - 2;
/// The most comparisons of a name with a name constraint for one path. The number is that of rustls-webpki, which counts.
pub const MAX_NAME_COMPARISONS: u32 = 250_000;
