//! The loader's memory map, module and command line, validated.
//!
//! The structures here are those of the x86/HVM direct boot ABI, version 1 of `hvm_start_info`
//! (<https://xenbits.xen.org/docs/unstable/misc/pvh.html>; field offsets from Xen's `start_info.h`); those of Multiboot2
//! are read in `multiboot2`. The parsers copy all that is small, so that the memory which the loader used can be handed
//! out afterwards.

use super::memory::{PAGE, Range};
use core::fmt;
use heapless::{String, Vec};

/// The most ranges of usable RAM that are kept; further ones are not used.
pub const MAX_RANGES: usize = 24;
/// RAM at or above this physical address (64 GiB) is not used.
pub const MAX_ADDRESS: u64 = 64 << 30;
/// The most bytes of command line that are kept; the rest is cut off.
pub const MAX_COMMAND_LINE: usize = 512;
/// The most bytes a module may have (16 MiB). It is a configuration; anything larger is a mistake.
pub const MAX_MODULE: u64 = 16 << 20;
/// The most entries of the loader's memory map that are read.
const MAX_MAP_ENTRIES: usize = 128;

/// `XEN_HVM_START_MAGIC_VALUE`.
const MAGIC: u32 = 0x336e_c578;
/// `XEN_HVM_MEMMAP_TYPE_RAM`, and `MULTIBOOT_MEMORY_AVAILABLE`.
const TYPE_RAM: u32 = 1;
const START_INFO_SIZE: usize = 56;
const MODULE_ENTRY_SIZE: usize = 32;
const MAP_ENTRY_SIZE: usize = 24;
/// The bytes of an entry of the memory map that are read.
const MAP_ENTRY_MIN: usize = 20;

/// Physical memory, read while the start info is parsed.
pub trait PhysicalMemory {
    /// The `len` bytes at physical address `address`, or `None` when they cannot be read.
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]>;
}

/// The loader's information, validated.
#[derive(Debug, Clone, Default)]
pub struct BootInfo {
    /// Usable RAM: whole pages, ascending, disjoint, without the first page. Image and module lie within.
    pub ram: Vec<Range, MAX_RANGES>,
    /// Bytes of RAM above [`MAX_ADDRESS`], or beyond [`MAX_RANGES`] ranges, that are not used.
    pub unused: u64,
    /// Where the first boot module lies, if there is one.
    pub module: Option<Range>,
    /// Why the boot module that was offered is not used.
    pub module_fault: Option<ModuleFault>,
    /// The command line; a byte that is not printable ASCII is shown as `?`.
    pub command_line: String<MAX_COMMAND_LINE>,
    /// Whether the command line was longer than [`MAX_COMMAND_LINE`].
    pub command_line_cut: bool,
    /// Where the ACPI root pointer is.
    pub rsdp: RootPointer,
}

/// The loader's ACPI root pointer (RSDP).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RootPointer {
    /// Nothing.
    #[default]
    Unknown,
    /// Its physical address.
    At(u64),
    /// It itself; one of version 1, which has 20 bytes, is filled up with zeros.
    Copy([u8; 36]),
}

/// Why there is no usable start info.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BootInfoError {
    /// The start info lies where it cannot be read.
    Unreadable,
    /// Its size, which is impossible.
    BadSize(u32),
    /// It does not begin with the magic number.
    BadMagic(u32),
    /// It has no memory map, for instance since it is of version 0.
    NoMemoryMap,
    /// The memory map lies where it cannot be read, or has no entry.
    BadMemoryMap,
    /// The image does not lie within RAM, by the memory map.
    ImageOutsideRam,
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("no start info at the address that the loader gave"),
            Self::BadSize(size) => write!(f, "start info has an invalid size of {size} bytes"),
            Self::BadMagic(magic) => write!(f, "start info has the wrong magic {magic:#x}"),
            Self::NoMemoryMap => f.write_str("the start info has no memory map"),
            Self::BadMemoryMap => f.write_str("the memory map cannot be read"),
            Self::ImageOutsideRam => f.write_str("the memory map has no RAM where the image is"),
        }
    }
}

/// Why the boot module is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModuleFault {
    /// The list of modules cannot be read.
    UnreadableList,
    /// It has no bytes, or more than [`MAX_MODULE`].
    BadSize(u64),
    /// It does not lie within RAM.
    OutsideRam,
    /// It lies upon the image.
    OverlapsImage,
}

impl fmt::Display for ModuleFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnreadableList => f.write_str("the list of modules cannot be read"),
            Self::BadSize(size) => write!(f, "the module has {size} bytes (allowed: 1 to {MAX_MODULE})"),
            Self::OutsideRam => f.write_str("the module is outside RAM"),
            Self::OverlapsImage => f.write_str("the module overlaps the image"),
        }
    }
}

impl BootInfo {
    /// Reads the start info at physical address `at`. `image` is what the image occupies.
    pub fn parse(memory: &impl PhysicalMemory, at: u64, image: Range) -> Result<Self, BootInfoError> {
        let info = memory.bytes(at, START_INFO_SIZE).ok_or(BootInfoError::Unreadable)?;
        let magic = u32_at(info, 0);
        if magic != MAGIC {
            return Err(BootInfoError::BadMagic(magic));
        }
        if u32_at(info, 4) < 1 {
            return Err(BootInfoError::NoMemoryMap);
        }
        let mut boot = Self::default();
        if let rsdp @ 1.. = u64_at(info, 32) {
            boot.rsdp = RootPointer::At(rsdp);
        }
        let entries = u32_at(info, 48).min(MAX_MAP_ENTRIES as u32) as usize;
        let map = memory.bytes(u64_at(info, 40), entries * MAP_ENTRY_SIZE);
        boot.read_map(map.ok_or(BootInfoError::BadMemoryMap)?, MAP_ENTRY_SIZE, image)?;
        boot.read_command_line(memory, u64_at(info, 24));
        if u32_at(info, 12) > 0 {
            match memory.bytes(u64_at(info, 16), MODULE_ENTRY_SIZE) {
                Some(entry) => boot.set_module(u64_at(entry, 0), u64_at(entry, 8), image),
                None => boot.module_fault = Some(ModuleFault::UnreadableList),
            }
        }
        Ok(boot)
    }

    /// Whether the command line has `word`, between blanks.
    pub fn has_word(&self, word: &str) -> bool {
        self.command_line.split_ascii_whitespace().any(|w| w == word)
    }

    /// The value of the first `name=value` on the command line.
    pub fn value_of(&self, name: &str) -> Option<&str> {
        self.values_of(name).next()
    }

    /// The values of all `name=value` on the command line.
    pub fn values_of(&self, name: &str) -> impl Iterator<Item = &str> {
        let words = self.command_line.split_ascii_whitespace();
        words.filter_map(move |word| word.strip_prefix(name)?.strip_prefix('='))
    }

    /// Bytes of usable RAM.
    pub fn ram_bytes(&self) -> u64 {
        self.ram.iter().map(Range::len).sum()
    }

    fn is_ram(&self, range: Range) -> bool {
        self.ram.iter().any(|ram| ram.contains(range))
    }

    /// Reads the memory map: entries of `size` bytes, which begin with address, length and type in 8, 8 and 4 bytes.
    /// `image` has to lie in the RAM that there is.
    pub(super) fn read_map(&mut self, map: &[u8], size: usize, image: Range) -> Result<(), BootInfoError> {
        if size < MAP_ENTRY_MIN || map.len() < size {
            return Err(BootInfoError::BadMemoryMap);
        }
        let entries = || {
            map.chunks_exact(size).take(MAX_MAP_ENTRIES).map(|bytes| {
                let start = u64_at(bytes, 0);
                (start, start.saturating_add(u64_at(bytes, 8)), u32_at(bytes, 16))
            })
        };
        for (start, end, kind) in entries() {
            // Whole pages inside; never the first page, so that a null pointer points nowhere.
            let start = start.max(PAGE).saturating_add(PAGE - 1) & !(PAGE - 1);
            let usable = end.min(MAX_ADDRESS) & !(PAGE - 1);
            if kind != TYPE_RAM || start >= end {
                continue;
            }
            self.unused += (end & !(PAGE - 1)).saturating_sub(MAX_ADDRESS.max(start));
            if start < usable {
                self.add(Range { start, end: usable });
            }
        }
        // Memory that another entry claims is not RAM, even where two entries contradict each other.
        for (start, end, kind) in entries() {
            if kind != TYPE_RAM && start < end {
                self.remove(Range {
                    start: start & !(PAGE - 1),
                    end: end.saturating_add(PAGE - 1) & !(PAGE - 1),
                });
            }
        }
        if self.is_ram(image) {
            Ok(())
        } else {
            Err(BootInfoError::ImageOutsideRam)
        }
    }

    /// Adds a range, merged with those it touches or overlaps, in ascending order.
    fn add(&mut self, mut range: Range) {
        self.ram.retain(|ram| {
            let touches = ram.start <= range.end && range.start <= ram.end;
            if touches {
                range = Range {
                    start: range.start.min(ram.start),
                    end: range.end.max(ram.end),
                };
            }
            !touches
        });
        let place = self
            .ram
            .iter()
            .position(|ram| ram.start > range.start)
            .unwrap_or(self.ram.len());
        if self.ram.insert(place, range).is_err() {
            self.unused += range.len();
        }
    }

    fn remove(&mut self, hole: Range) {
        let ram = core::mem::take(&mut self.ram);
        for range in &ram {
            let (below, above) = range.without(hole);
            for part in [below, above].into_iter().flatten() {
                if self.ram.push(part).is_err() {
                    self.unused += part.len();
                }
            }
        }
    }

    fn read_command_line(&mut self, memory: &impl PhysicalMemory, at: u64) {
        if at == 0 {
            return;
        }
        for offset in 0..=MAX_COMMAND_LINE as u64 {
            let byte = at
                .checked_add(offset)
                .and_then(|at| memory.bytes(at, 1))
                .and_then(|bytes| bytes.first());
            let Some(&byte) = byte.filter(|&&byte| byte != 0) else {
                return;
            };
            self.add_to_command_line(byte);
        }
    }

    /// Adds a byte to the command line, as it is shown.
    pub(super) fn add_to_command_line(&mut self, byte: u8) {
        let shown = if byte == b' ' || byte.is_ascii_graphic() {
            char::from(byte)
        } else {
            '?'
        };
        if self.command_line.push(shown).is_err() {
            self.command_line_cut = true;
        }
    }

    /// Takes the module of `size` bytes at `start`, or notes why not.
    pub(super) fn set_module(&mut self, start: u64, size: u64, image: Range) {
        match self.check_module(start, size, image) {
            Ok(module) => self.module = Some(module),
            Err(fault) => self.module_fault = Some(fault),
        }
    }

    fn check_module(&self, start: u64, size: u64, image: Range) -> Result<Range, ModuleFault> {
        if size == 0 || size > MAX_MODULE {
            return Err(ModuleFault::BadSize(size));
        }
        let end = start.checked_add(size).ok_or(ModuleFault::OutsideRam)?;
        let module = Range { start, end };
        if !self.is_ram(module) {
            return Err(ModuleFault::OutsideRam);
        }
        if module.overlaps(image) {
            return Err(ModuleFault::OverlapsImage);
        }
        Ok(module)
    }
}

/// The little-endian number at `offset`, 0 where there are not enough bytes (callers have checked the length).
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// As [`u32_at`], of 64 bits.
pub(super) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    bytes
        .get(offset..)
        .and_then(|bytes| bytes.first_chunk())
        .map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests;
