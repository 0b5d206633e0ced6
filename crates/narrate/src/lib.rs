//! The events of a TLS connection as text.
//!
//! The engine reports to a [`Trace`](postern_tls::trace::Trace) what it does. An [`EventLog`] records those events, bytes
//! and all, in a bounded buffer: nothing is parsed while the handshake runs, so that narrating can neither change nor
//! break it. A [`Narrative`] reads the log afterwards, [`Step`] by step, each with its [`Item`]s: every byte of every
//! message with its name and meaning, in the order and the words of the RFCs. [`Lines`] prints a narrative as text.
//!
//! What a message agreed upon is read with the engine's own parsers ([`postern_tls::trace::views`]). Its fields are
//! walked here, byte by byte: they have to be shown of malformed and truncated messages too, which those parsers reject.
//!
//! Secrets are in the events only where the configuration has a [`KeyLog`](postern_tls::KeyLog) as well.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![warn(unreachable_pub)]

mod fields;
mod log;
mod names;
mod narrative;
#[cfg(test)]
mod tests;
mod text;

pub use fields::{Item, ItemKind, Meaning};
pub use log::{EventLog, Events, MAX_DATA_RECORDS, RESERVE};
pub use narrative::{Actor, Narrative, Step, Steps, Summary};
pub use text::Lines;
