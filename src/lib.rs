//! Postern: a bare-metal machine that serves TLS.
//!
//! The rooms. Data flows one way, answers come back the same way; `tests/rooms.rs` has which room may use which:
//!
//! ```text
//!   nic ──▶ net ──▶ tls ──▶ serve ◀── shell
//! ```
//!
//! * [`tls`] is the engine, the crate `postern-tls`: server and client, with [`crypto`] and [`pki`].
//! * [`narrate`] turns what the engine reports into text, the crate `postern-narrate`.
//! * [`config`] is the defconfig, the crate `postern-config`: one parser for the build and for the boot module.
//! * `nic` drives the 82574L network card and `machine` the rest of the PC. With `boot`, which belongs to the image
//!   (`main.rs`), they are the only rooms in which `unsafe` is allowed.
//! * `net` is the TCP/IP stack as async streams. `dial` reaches a host through it, `endpoint` is an end of a TLS connection.
//! * `serve` is the echo service, and also serves `web`, the HTTPS page; `client` is the echo client. Neither uses the other.
//! * `shell` is the debug shell, which drives both and reads status, and which nothing calls.
//! * `selftest` has the engine shake hands with itself and with another implementation before it serves; it uses the
//!   engine and nothing else of ours.
//! * `log` is the log ring.
//! * `memory` divides the RAM, `settings` turns the configuration into what the rooms take, and `host` is the machine as
//!   the shell sees it.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]
#![deny(missing_docs)]

pub use postern_config as config;
pub use postern_narrate as narrate;
pub use postern_tls as tls;
pub use postern_tls::{crypto, pki};

pub mod client;
pub mod dial;
pub mod endpoint;
pub mod host;
pub mod log;
#[expect(unsafe_code, reason = "privileged instructions and memory-mapped devices")]
pub mod machine;
pub mod memory;
pub mod net;
#[expect(unsafe_code, reason = "registers and DMA memory of the card")]
pub mod nic;
pub mod selftest;
pub mod serve;
pub mod settings;
pub mod shell;
mod web;

#[cfg(test)]
use postern_testing as testing;
