//! Boot information of a Multiboot2 loader, such as GRUB under UEFI firmware.
//!
//! Offsets are those of the Multiboot2 specification, version 2.0, 3.6
//! (<https://www.gnu.org/software/grub/manual/multiboot2/multiboot.html>): a list of tags, in memory that is free RAM by
//! its own memory map, so that everything of use is copied.

use super::boot_info::{BootInfo, BootInfoError, PhysicalMemory, RootPointer, u32_at};
use super::memory::Range;

/// The loader's magic number in EAX.
pub const MAGIC: u32 = 0x36d7_6289;
/// The most bytes that a boot information may have (256 KiB). Under UEFI its larger part is the firmware's memory map.
pub const MAX_SIZE: u32 = 256 << 10;

impl BootInfo {
    /// Reads the Multiboot2 boot information at physical address `at`. `image` is what the image occupies.
    pub fn parse_multiboot2(memory: &impl PhysicalMemory, at: u64, image: Range) -> Result<Self, BootInfoError> {
        let size = u32_at(memory.bytes(at, HEADER).ok_or(BootInfoError::Unreadable)?, 0);
        if !(HEADER as u32..=MAX_SIZE).contains(&size) {
            return Err(BootInfoError::BadSize(size));
        }
        let info = memory.bytes(at, size as usize).ok_or(BootInfoError::Unreadable)?;
        let mut boot = Self::default();
        let map = tag(info, MEMORY_MAP).ok_or(BootInfoError::NoMemoryMap)?;
        let entries = map.get(8..).ok_or(BootInfoError::BadMemoryMap)?;
        boot.read_map(entries, u32_at(map, 0) as usize, image)?;
        for &byte in tag(info, COMMAND_LINE).unwrap_or_default() {
            if byte == 0 {
                break;
            }
            boot.add_to_command_line(byte);
        }
        if let Some(module) = tag(info, MODULE) {
            // A tag that is too short has zeros here: a module without bytes.
            let (start, end) = (u32_at(module, 0), u32_at(module, 4));
            boot.set_module(start.into(), end.saturating_sub(start).into(), image);
        }
        // The new one has the 64-bit address.
        if let Some(rsdp) = tag(info, ACPI_NEW).or_else(|| tag(info, ACPI_OLD)) {
            let mut copy = [0; 36];
            for (to, from) in copy.iter_mut().zip(rsdp) {
                *to = *from;
            }
            boot.rsdp = RootPointer::Copy(copy);
        }
        Ok(boot)
    }
}

/// The size of the information's own header, and of that of each tag.
const HEADER: usize = 8;

// Types of tags.
const END: u32 = 0;
const COMMAND_LINE: u32 = 1;
const MODULE: u32 = 3;
const MEMORY_MAP: u32 = 6;
const ACPI_OLD: u32 = 14;
const ACPI_NEW: u32 = 15;

/// The contents of the first tag of type `kind`, after its header. A tag that does not fit ends the list.
fn tag(info: &[u8], kind: u32) -> Option<&[u8]> {
    let mut rest = info.get(HEADER..)?;
    loop {
        let (found, size) = (u32_at(rest, 0), u32_at(rest, 4) as usize);
        let body = rest.get(HEADER..size)?;
        if found == kind {
            return Some(body);
        }
        if found == END {
            return None;
        }
        // Each begins at a multiple of 8.
        rest = rest.get(size.checked_next_multiple_of(8)?..)?;
    }
}

#[cfg(test)]
mod tests;
