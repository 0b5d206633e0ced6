//! Boot: entry, page tables, stacks, and the symbols that compiled code needs.

pub(crate) mod symbols;

use core::arch::global_asm;
use core::slice;
use postern::machine::acpi::Acpi;
use postern::machine::boot_info::{BootInfo, PhysicalMemory};
use postern::machine::memory::{self, Arena, PAGE, Range};
use postern::machine::paging::{Mapper, MemoryKind};
use postern::machine::{cpu, descriptors, multiboot2, serial};

/// The arguments of `main`: the reports of loader and ACPI, the RAM that is free, and the boot module's bytes.
pub(crate) struct Boot {
    pub(crate) info: BootInfo,
    pub(crate) acpi: Acpi,
    pub(crate) arena: Arena,
    pub(crate) module: Option<&'static [u8]>,
}

global_asm!(include_str!("entry.s"));
// The routines of memory.s, and the names by which compiled code calls them.
global_asm!(
    include_str!("memory.s"),
    ".globl memcpy, memmove, memset, memcmp, bcmp",
    ".set memcpy, postern_memcpy",
    ".set memmove, postern_memmove",
    ".set memset, postern_memset",
    ".set memcmp, postern_memcmp",
    ".set bcmp, postern_memcmp",
);

// From the linker script: only their addresses mean anything.
unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __data_start: u8;
    static __stacks_start: u8;
    static __interrupt_stack_bottom: u8;
    static __interrupt_stack_top: u8;
    static __fault_stack_bottom: u8;
    static __fault_stack_top: u8;
    static __double_fault_stack_bottom: u8;
    static __double_fault_stack_top: u8;
    static __nmi_stack_bottom: u8;
    static __nmi_stack_top: u8;
    static __main_stack_bottom: u8;
    static __main_stack_top: u8;
}

/// The range between two symbols of the linker script.
macro_rules! between {
    ($start:ident, $end:ident) => {
        Range::new((&raw const $start).addr() as u64, (&raw const $end).addr() as u64)
    };
}

/// Called by entry.s in 64-bit mode, on the main stack, with the first 4 GiB mapped one to one, and with what the
/// loader left in EBX and EAX: the physical address of its information, and a magic number if it is a Multiboot2 loader.
///
/// # Safety
///
/// Called once, in that state, with what the loader left.
#[unsafe(no_mangle)]
unsafe extern "C" fn boot_start(start_info: u32, magic: u32) -> ! {
    // First, so that any failure can be reported.
    serial::init();
    let image = between!(__image_start, __image_end);
    let info = match magic {
        multiboot2::MAGIC => BootInfo::parse_multiboot2(&Low, start_info.into(), image),
        _ => BootInfo::parse(&Low, start_info.into(), image),
    };
    let info = match info {
        Ok(info) => info,
        Err(error) => panic!("cannot boot: {error}"),
    };
    // SAFETY: the caller's promise; the image is where the linker put it.
    crate::main(unsafe { prepare(info, image) })
}

/// Page tables, stacks and interrupt table of our own.
///
/// # Safety
///
/// `info` is what the loader reported, `image` is where the image is, and this is called once.
unsafe fn prepare(info: BootInfo, image: Range) -> Boot {
    let taken = [Some(image), info.module];
    let taken: heapless::Vec<Range, 2> = taken.into_iter().flatten().collect();
    // SAFETY: this is the RAM that the memory map calls usable, without image and module; what the loader left there
    // is read no more. It is mapped below; until then only page tables are taken, from the first 4 GiB.
    let mut arena = unsafe { Arena::new(&info.ram, &taken) };
    let stacks = descriptors::Stacks {
        interrupt: between!(__interrupt_stack_bottom, __interrupt_stack_top),
        fault: between!(__fault_stack_bottom, __fault_stack_top),
        double_fault: between!(__double_fault_stack_bottom, __double_fault_stack_top),
        nmi: between!(__nmi_stack_bottom, __nmi_stack_top),
        main: between!(__main_stack_bottom, __main_stack_top),
    };
    match map(&info, image, &mut arena, stacks) {
        // SAFETY: all memory in use is mapped as it is used: see `map`.
        Ok(mapper) => unsafe { switch_to(mapper) },
        Err(error) => panic!("cannot boot: {error}"),
    }
    // SAFETY: the stacks are those of the linker script, mapped just now; nothing else uses them.
    if let Err(error) = unsafe { descriptors::init(&mut arena, stacks) } {
        panic!("cannot boot: {error}");
    }
    let module = info.module.map(|module| {
        // SAFETY: RAM by the memory map, mapped, apart from the image, and kept out of the arena: nothing writes it.
        unsafe { slice::from_raw_parts(module.start as *const u8, module.len() as usize) }
    });
    // SAFETY: as the loader reported, and no driver runs yet. Image, module and what the arena hands out lie in RAM.
    let acpi = unsafe { Acpi::read(&info.ram, info.rsdp) };
    Boot {
        info,
        acpi,
        arena,
        module,
    }
}

/// Tables for the image, each part with its permissions, and for all other RAM. The guard pages between the stacks are
/// left out.
fn map(
    info: &BootInfo,
    image: Range,
    arena: &mut Arena,
    stacks: descriptors::Stacks,
) -> Result<Mapper, &'static dyn core::fmt::Display> {
    let large = cpu::has("pdpe1gb");
    let pages = Mapper::pages_for(&info.ram, large, image.len() / (512 * PAGE) + 2 + DEVICE_TABLES);
    let spare = arena
        .bytes((pages * PAGE) as usize, PAGE as usize)
        .map_err(|_| &"no RAM for page tables" as _)?;
    let start = memory::physical(spare.as_ptr());
    let spare = Range::new(start, start + pages * PAGE);
    if spare.end > Low::END {
        return Err(&"no RAM for page tables within the first 4 GiB");
    }
    // SAFETY: from the arena just now, and within what is mapped.
    let mapper = unsafe { Mapper::new(spare, large) };
    let mut mapper = mapper.map_err(|_| &"no RAM for page tables" as _)?;
    let text = between!(__text_start, __text_end);
    let parts = [
        (Range::new(image.start, text.start), MemoryKind::ReadOnly),
        (text, MemoryKind::Code),
        (between!(__data_start, __stacks_start), MemoryKind::Data),
        (stacks.interrupt, MemoryKind::Data),
        (stacks.fault, MemoryKind::Data),
        (stacks.double_fault, MemoryKind::Data),
        (stacks.nmi, MemoryKind::Data),
        (stacks.main, MemoryKind::Data),
    ];
    let ram = info.ram.iter().flat_map(|ram| {
        let (below, above) = ram.without(image);
        [below, above]
            .into_iter()
            .flatten()
            .map(|range| (range, MemoryKind::Data))
    });
    for (range, kind) in parts.into_iter().chain(ram) {
        mapper.map(range, kind).map_err(|_| &"too few page tables" as _)?;
    }
    Ok(mapper)
}

/// Pages for tables that map devices and firmware tables later.
const DEVICE_TABLES: u64 = 16;

/// Loads the tables. Write protection (CR0.WP) and no-execute (EFER.NXE) are on since entry.s.
///
/// # Safety
///
/// They map all memory that is in use, one to one, and permit what is done there.
unsafe fn switch_to(mapper: Mapper) {
    // SAFETY: the caller's promise.
    unsafe { core::arch::asm!("mov cr3, {}", in(reg) mapper.root(), options(nostack, preserves_flags)) };
    // SAFETY: the instruction before has made them the current ones.
    unsafe { memory::set_mapper(mapper) };
}

/// Physical memory as far as the tables of entry.s map it.
struct Low;

impl Low {
    const END: u64 = 4 << 30;
}

impl PhysicalMemory for Low {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let end = address.checked_add(len as u64)?;
        if address == 0 || end > Self::END {
            return None;
        }
        // SAFETY: mapped; nothing writes there while the start info is read, since the only code that runs is its parser,
        // and that writes to the stack alone, which the start info cannot be on: what is read there would be garbage
        // and be refused, but never be a reference.
        Some(unsafe { slice::from_raw_parts(address as *const u8, len) })
    }
}
