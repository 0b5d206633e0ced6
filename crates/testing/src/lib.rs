//! Shared by the tests of the machine on the host.
#![deny(unsafe_code)]

#[expect(unsafe_code, reason = "the critical-section contract is an unsafe trait")]
mod host;
pub mod lists;
/// The engine's own helpers, which are part of its package.
#[path = "../../tls/tests/support/mod.rs"]
mod support;

pub use host::{block_on, pass};
pub use support::{Rng, Script, check_table, rsa_key, unhex};
