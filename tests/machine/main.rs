//! The whole machine: the image in QEMU, and peers that treat it well and badly.
#![cfg(feature = "image")]

#[path = "../common/mod.rs"]
mod common;

mod abuse;
mod boot;
mod client;
mod defconfig;
mod echo;
mod frames;
mod hello;
mod identities;
mod shell;
mod trace;
