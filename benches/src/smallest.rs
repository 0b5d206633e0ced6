//! The smallest memory in which open connections are served.

use std::io::Result;

use crate::guest::{Guest, Machine, System};
use crate::load::{Protocol, Tls};

/// The most memory that is tried, in MiB; no more than 1,000 connections ever needed.
const MOST: u32 = 256;

/// Prints the least memory in MiB with which each system serves `connections` that are open at the same time.
///
/// # Errors
/// If a system does not serve them with [`MOST`].
pub fn run(machine: &Machine, systems: &[System; 2], connections: usize) -> Result<()> {
    println!("| system | MiB for {connections} TLS connections | opened in | echo on each, median and longest |");
    println!("|---|---|---|---|");
    for (name, system) in ["image", "peer"].iter().zip(systems) {
        let serves = |memory| {
            let machine = Machine {
                memory,
                ..machine.clone()
            };
            let guest = Guest::boot(&machine, system, &[])?;
            guest.connector(Protocol::Tls(Tls::USUAL)).idle(connections)
        };
        let mut figures = serves(MOST)?;
        let (mut fails, mut suffices) = (0, MOST);
        while suffices - fails > 1 {
            let memory = fails.midpoint(suffices);
            match serves(memory) {
                Ok(found) => (suffices, figures) = (memory, found),
                Err(error) => {
                    eprintln!("{name}: -m {memory}: {error}");
                    fails = memory;
                }
            }
        }
        let [opened, median, longest] = figures;
        println!("| {name} | {suffices} | {opened:.1} s | {median:.0} us, {longest:.0} us |");
    }
    Ok(())
}
