//! Postern: a bare-metal machine that speaks TLS, and the engine inside it.
//!
//! The rooms, and who may call whom (data flows one way, answers come back the same way):
//!
//! ```text
//!   nic ──▶ net ──▶ tls ──▶ echo ◀── shell
//!                  ╱   ╲
//!              crypto  pki
//! ```
//!
//! * [`tls`], [`crypto`] and [`pki`] are the engine. They use nothing else of ours, no heap, no `unsafe` and no
//!   operating system; with `default-features = false` they are all that is built.
//! * `nic` drives the 82574L network card and `machine` the rest of the PC. With `boot`, which belongs to the image
//!   (`main.rs`), they are the only rooms in which `unsafe` is allowed.
//! * `net` is the TCP/IP stack as async streams; `echo` the services; `shell` the debug shell, which drives `echo` and
//!   reads status, and which nothing calls.
//! * `selftest` has the engine shake hands with itself and with another implementation before it serves; it uses the
//!   engine and nothing else of ours.
//! * `config` is the defconfig: one parser for the build and for the boot module. `log` is the log ring.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]
#![deny(missing_docs)]
#![warn(unreachable_pub)]

pub mod crypto;
pub mod pki;
pub mod tls;

#[cfg(feature = "image")]
pub mod config;
#[cfg(feature = "image")]
pub mod echo;
#[cfg(feature = "image")]
pub mod log;
#[cfg(feature = "image")]
#[allow(unsafe_code)] // privileged instructions, memory-mapped devices
pub mod machine;
#[cfg(feature = "image")]
pub mod net;
#[cfg(feature = "image")]
#[allow(unsafe_code)] // registers and DMA memory of the card
pub mod nic;
#[cfg(feature = "image")]
pub mod selftest;
#[cfg(feature = "image")]
pub mod shell;

#[cfg(all(test, feature = "image"))]
mod testing;
