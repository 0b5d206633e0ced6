//! The PC: memory, interrupts, clocks, PCI, serial, entropy, panic and power.
//!
//! `boot` brings the CPU to 64-bit mode and hands over the loader's information; everything after that is here. One CPU,
//! no preemption: interrupts set flags, and the main loop of [`executor`] does the rest.

pub mod acpi;
pub mod boot_info;
pub mod clock;
pub mod cpu;
pub mod descriptors;
pub mod entropy;
pub mod executor;
pub mod fault;
pub mod interrupts;
mod machine_check;
pub mod memory;
pub mod multiboot2;
pub mod paging;
pub mod panic;
pub mod pci;
pub mod power;
pub mod rtc;
pub mod serial;
pub mod virtio_mmio;

#[cfg(test)]
mod memory_routines;
