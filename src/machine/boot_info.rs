//! What the loader tells: memory map, module and command line, checked against lies.
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

/// What the loader told, checked.
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

/// What the loader says of the ACPI root pointer (RSDP).
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
    /// It says that it has so many bytes, which cannot be.
    BadSize(u32),
    /// It does not begin with the magic number.
    BadMagic(u32),
    /// It has no memory map, for instance since it is of version 0.
    NoMemoryMap,
    /// The memory map lies where it cannot be read, or has no entry.
    BadMemoryMap,
    /// The image does not lie within RAM, if the memory map is to be believed.
    ImageOutsideRam,
}

impl fmt::Display for BootInfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("the start info is not where the loader says"),
            Self::BadSize(size) => write!(f, "start info of {size} bytes, which cannot be"),
            Self::BadMagic(magic) => write!(f, "start info with the wrong magic {magic:#x}"),
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
            Self::BadSize(size) => write!(f, "the module has {size} bytes; 1 to {MAX_MODULE} are possible"),
            Self::OutsideRam => f.write_str("the module does not lie within RAM"),
            Self::OverlapsImage => f.write_str("the module lies upon the image"),
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
        let mut words = self.command_line.split_ascii_whitespace();
        words.find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
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
        // What another entry claims is not RAM, even where two entries contradict each other.
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
mod tests {
    use super::*;

    const IMAGE: Range = Range {
        start: 0x10_0000,
        end: 0x18_0000,
    };
    const INFO: usize = 0x6000;
    const MAP: usize = 0x6100;
    const MODULES: usize = 0x6800;
    const LINE: usize = 0x7000;

    struct Low(std::vec::Vec<u8>);

    impl PhysicalMemory for Low {
        fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
            let start = usize::try_from(address).ok()?;
            self.0.get(start..start.checked_add(len)?)
        }
    }

    impl Low {
        fn new(map: &[(u64, u64, u32)]) -> Self {
            let mut low = Self(std::vec![0; 0x8000]);
            low.put(INFO, &MAGIC.to_le_bytes());
            low.put(INFO + 4, &1u32.to_le_bytes());
            low.put(INFO + 40, &(MAP as u64).to_le_bytes());
            low.put(INFO + 48, &(map.len() as u32).to_le_bytes());
            for (index, (start, size, kind)) in map.iter().enumerate() {
                low.put(MAP + 24 * index, &start.to_le_bytes());
                low.put(MAP + 24 * index + 8, &size.to_le_bytes());
                low.put(MAP + 24 * index + 16, &kind.to_le_bytes());
            }
            low
        }

        fn put(&mut self, at: usize, bytes: &[u8]) {
            self.0[at..at + bytes.len()].copy_from_slice(bytes);
        }

        fn module(mut self, start: u64, size: u64) -> Self {
            self.put(INFO + 12, &1u32.to_le_bytes());
            self.put(INFO + 16, &(MODULES as u64).to_le_bytes());
            self.put(MODULES, &start.to_le_bytes());
            self.put(MODULES + 8, &size.to_le_bytes());
            self
        }

        fn line(mut self, line: &[u8]) -> Self {
            self.put(INFO + 24, &(LINE as u64).to_le_bytes());
            self.put(LINE, line);
            self
        }

        fn parse(&self) -> Result<BootInfo, BootInfoError> {
            BootInfo::parse(self, INFO as u64, IMAGE)
        }
    }

    const Q35: &[(u64, u64, u32)] = &[
        (0, 0x9fc00, 1),
        (0x9fc00, 0x400, 2),
        (0xf0000, 0x10000, 2),
        (0x10_0000, 0x7ee_0000, 1),
        (0x7fe_0000, 0x2_0000, 2),
        (0xb000_0000, 0x1000_0000, 2),
    ];

    #[test]
    fn an_ordinary_map_gives_whole_pages_without_the_first() {
        let boot = Low::new(Q35).parse().unwrap();
        let ram = [Range::new(0x1000, 0x9f000), Range::new(0x10_0000, 0x7fe_0000)];
        assert_eq!(boot.ram.as_slice(), ram);
        assert_eq!((boot.unused, boot.module, boot.module_fault), (0, None, None));
        assert_eq!(boot.ram_bytes(), 0x9e000 + 0x7ee_0000);
    }

    #[test]
    fn entries_out_of_order_touching_and_overlapping_are_merged() {
        let map = [
            (0x30_0000, 0x10_0000, 1),
            (0x10_0000, 0x10_0000, 1),
            (0x18_0000, 0x18_0000, 1),
        ];
        let boot = Low::new(&map).parse().unwrap();
        assert_eq!(boot.ram.as_slice(), [Range::new(0x10_0000, 0x40_0000)]);
    }

    #[test]
    fn what_any_entry_reserves_is_not_ram() {
        let map = [
            (0x10_0000, 0x30_0000, 1),
            (0x20_0800, 0x100, 2),
            (0x3f_f000, u64::MAX, 2),
        ];
        let boot = Low::new(&map).parse().unwrap();
        let ram = [Range::new(0x10_0000, 0x20_0000), Range::new(0x20_1000, 0x3f_f000)];
        assert_eq!(boot.ram.as_slice(), ram);
    }

    #[test]
    fn ram_out_of_reach_is_counted_and_not_used() {
        let map = [
            (0x10_0000, 0x40_0000, 1),
            (MAX_ADDRESS - 0x2000, 0x5000, 1),
            (u64::MAX - 5, u64::MAX, 1),
        ];
        let boot = Low::new(&map).parse().unwrap();
        assert_eq!(boot.ram.last(), Some(&Range::new(MAX_ADDRESS - 0x2000, MAX_ADDRESS)));
        assert_eq!(boot.unused, 0x3000);
    }

    #[test]
    fn more_ranges_than_fit_are_counted_and_not_used() {
        let map: std::vec::Vec<_> = (0..40).map(|n| (0x10_0000 + n * 0x20_0000, 0x10_0000, 1)).collect();
        let boot = Low::new(&map).parse().unwrap();
        assert_eq!(boot.ram.len(), MAX_RANGES);
        assert_eq!(boot.unused, (40 - MAX_RANGES as u64) * 0x10_0000);
    }

    #[test]
    fn a_bad_start_info_is_named() {
        let mut low = Low::new(Q35);
        low.put(INFO, &[0]);
        assert_eq!(low.parse().unwrap_err(), BootInfoError::BadMagic(0x336e_c500));
        assert_eq!(
            BootInfo::parse(&low, u64::MAX, IMAGE).unwrap_err(),
            BootInfoError::Unreadable
        );
        let mut low = Low::new(Q35);
        low.put(INFO + 4, &[0]);
        assert_eq!(low.parse().unwrap_err(), BootInfoError::NoMemoryMap);
        let mut low = Low::new(Q35);
        low.put(INFO + 40, &u64::MAX.to_le_bytes());
        assert_eq!(low.parse().unwrap_err(), BootInfoError::BadMemoryMap);
        assert_eq!(Low::new(&[]).parse().unwrap_err(), BootInfoError::BadMemoryMap);
        assert_eq!(Low::new(&Q35[..3]).parse().unwrap_err(), BootInfoError::ImageOutsideRam);
    }

    #[test]
    fn a_module_within_ram_is_found() {
        let boot = Low::new(Q35).module(0x700_0123, 0x1234).parse().unwrap();
        assert_eq!(boot.module, Some(Range::new(0x700_0123, 0x700_1357)));
    }

    #[test]
    fn a_module_that_cannot_be_true_is_refused() {
        let fault = |start, size| Low::new(Q35).module(start, size).parse().unwrap().module_fault.unwrap();
        assert_eq!(fault(0x700_0000, 0), ModuleFault::BadSize(0));
        assert_eq!(fault(0x700_0000, MAX_MODULE + 1), ModuleFault::BadSize(MAX_MODULE + 1));
        assert_eq!(fault(0x7fd_f000, 0x2000), ModuleFault::OutsideRam);
        assert_eq!(fault(0, 0x100), ModuleFault::OutsideRam);
        assert_eq!(fault(u64::MAX, 0x100), ModuleFault::OutsideRam);
        assert_eq!(fault(IMAGE.end - 1, 2), ModuleFault::OverlapsImage);
        let mut low = Low::new(Q35).module(0x700_0000, 1);
        low.put(INFO + 16, &u64::MAX.to_le_bytes());
        assert_eq!(low.parse().unwrap().module_fault, Some(ModuleFault::UnreadableList));
    }

    #[test]
    fn the_command_line_is_cut_cleaned_and_searched() {
        let boot = Low::new(Q35)
            .line(b"a exit-device  log=debug \x1b[2J\0rest")
            .parse()
            .unwrap();
        assert_eq!(boot.command_line, "a exit-device  log=debug ?[2J");
        assert!(boot.has_word("exit-device") && !boot.has_word("exit"));
        assert_eq!((boot.value_of("log"), boot.value_of("lo")), (Some("debug"), None));
        let boot = Low::new(Q35).line(&[b'x'; MAX_COMMAND_LINE + 1]).parse().unwrap();
        assert_eq!(
            (boot.command_line.len(), boot.command_line_cut),
            (MAX_COMMAND_LINE, true)
        );
        let mut low = Low::new(Q35);
        low.put(INFO + 24, &0x7ffeu64.to_le_bytes());
        low.put(0x7ffe, b"ab");
        assert_eq!(low.parse().unwrap().command_line, "ab");
    }
}
