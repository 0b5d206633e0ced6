//! Handshakes in memory, each step on a painted stack; prints the use of each end.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod board;
#[cfg(target_os = "none")]
mod pair;
#[cfg(target_os = "none")]
mod stack;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("this is for a board: cargo test -p postern-board runs it in QEMU");
}
