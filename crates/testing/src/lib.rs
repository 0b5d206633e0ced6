//! What the tests of the machine share, on the host.
#![deny(unsafe_code)]

#[allow(unsafe_code)] // the critical-section contract is an unsafe trait
mod host;
pub mod lists;
/// The engine's own, which its package has to hold itself.
#[path = "../../tls/tests/support/mod.rs"]
mod support;

pub use host::{block_on, pass};
pub use support::{Rng, Script, check_table, rsa_key, unhex};
