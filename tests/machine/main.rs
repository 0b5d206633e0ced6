//! The whole machine: the image in QEMU, with honest and hostile peers.

#[path = "../common/mod.rs"]
mod common;

mod abuse;
mod boot;
mod boot_keys;
mod browser;
mod client;
mod console;
mod dbgsh;
mod defconfig;
mod dhcp;
mod echo;
mod families;
mod faults;
mod frames;
mod guide;
mod hello;
mod identities;
mod ipv6;
mod occupy;
mod paraq;
mod pki;
mod proxy;
mod reload;
mod selftest;
mod shell;
mod suspend;
mod trace;
mod virtio;
mod vmm;

// TLS in all its forms, with peers on the engine where no program suffices.
mod clients;
mod engine;
mod heavy;
mod keys;
mod staples;
mod trust;
mod verdicts;

// Critical sections, which the engine needs for its tables.
use postern_testing as _;
