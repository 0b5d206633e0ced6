//! The defconfig: its keys, grammar, checks and errors.
//!
//! One parser, used by build.rs (feature `build`), at boot and for a reload.
//! A defconfig has the form that BitVisor's has, C designated initialisers:
//!
//! ```text
//! .ip = {
//!     .use_dhcp = 0,
//!     .ipaddr = { 10, 0, 2, 15 },
//! },
//! .tls = { .srv_cert = "-----BEGIN CERTIFICATE-----\n" "MIIC...\n" "-----END CERTIFICATE-----\n" },
//! ```
//!
//! One table of keys, in `keys`, has the path, kind, range, default and field of each. [`Config::parse`] reads the text by
//! it, the build writes it by it; [`Config::check`] then verifies what the values mean: whether a key belongs to its
//! certificate, whether dates have passed. Each [`Error`] has a position, a key, a cause and a remedy.

#![cfg_attr(not(any(test, feature = "build")), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(unreachable_pub)]

#[cfg(feature = "build")]
pub mod bake;
mod boot_key;
mod bundle;
mod certificates;
mod check;
mod ders;
mod error;
mod escape;
mod host;
mod keys;
mod lexer;
mod message;
mod model;
mod parser;
mod proxy;
mod rotate;
#[cfg(test)]
mod tests;
#[cfg(feature = "build")]
mod throwaway;
mod value;
#[cfg(feature = "build")]
mod write;

use heapless::String;

pub use boot_key::{BootKeys, MAX_REQUEST};
pub use bundle::Bundle;
pub use certificates::{Identities, Part};
pub use ders::{Ders, Key};
pub use error::{At, Error, Fault, FileFault, Found, Name, PemSource};
pub use host::{MAX_NAME, alternative, is_host, is_host_address, is_host6, is_mask, is_name, is_router, is_router6};
pub use keys::{Kind, Path, Position};
pub use model::{Config, Echo, Ip, Ip6, Places, Reverse, Syslog, Tls, Vmm};
pub use parser::{Files, Scratch};
use postern_tls::pki::allow::MAX_ALLOWED_SUBJECT;
pub use proxy::{MAX_PASSWORD, MAX_USER, Proxy, Secret};
pub use rotate::is_pem;
pub use value::{Choice, ClientAuth, Role, Verify};

/// `.tls.allow`, one client a line: a subject, or `sha256:` and the hash of a key.
pub type Allowed = String<{ MAX_ALLOWED * (MAX_ALLOWED_SUBJECT + 1) }>;

/// `.tls.names`, one a line.
pub type Names = String<512>;

/// `.tls.subject`.
pub type Subject = String<MAX_ALLOWED_SUBJECT>;

/// The most bytes of a defconfig.
pub const MAX_TEXT: usize = 512 * 1024;
/// The most bytes of one value's strings, joined, and of a file that a `_file` key names.
pub const MAX_STRING: usize = 32 * 1024;
/// The most bytes of DER that the certificates, or the revocation lists, of one key may take together.
pub const MAX_DER: usize = 16 * 1024;
/// The most certificates of one key.
pub const MAX_CERTIFICATES: usize = 16;
/// The most certificates of a bundle.
pub const MAX_ROOTS: usize = 256;
/// The most bytes of DER that a certificate of a bundle may take.
pub const MAX_ROOT_DER: usize = 4096;
/// The most revocation lists.
pub const MAX_CRLS: usize = 8;
/// The most identities of the server: chains of certificates, and private keys.
pub const MAX_IDENTITIES: usize = 4;
/// The most bytes of DER that a private key may take (PKCS#8 of RSA-4096: 2374).
pub const MAX_KEY_DER: usize = 2560;
/// The most reverse connections.
pub const MAX_REVERSES: usize = 8;
/// The most clients of `.tls.allow`.
pub const MAX_ALLOWED: usize = 16;
/// The most names of `.tls.names`.
pub const MAX_NAMES: usize = 16;
/// The most bytes of an interface's name.
pub const MAX_NETIF: usize = 16;
