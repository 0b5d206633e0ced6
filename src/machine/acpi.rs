//! ACPI: power registers, the PM timer, the interrupt controllers.
//!
//! Nothing is interpreted but fixed tables; a package (`_S5_`), QEMU's VM Generation ID (`VGIA`) and virtio devices
//! (`LNRO0005`) are found by their names. Offsets are those of ACPI 6.5: table header 5.2.6, RSDP 5.2.5.3, FADT 5.2.9,
//! MADT 5.2.12, `_S5_` 7.4.2, resource descriptors 6.4.3.

use super::boot_info::{PhysicalMemory, RootPointer};
use super::memory::{self, Range};
use super::virtio_mmio::{MAX_DEVICES, Place};
use heapless::Vec;

/// The most I/O APICs that are kept. A PC has one for each of its chipsets.
pub const MAX_IO_APICS: usize = 8;
/// The most interrupt source overrides that are kept.
pub const MAX_OVERRIDES: usize = 16;

/// What the tables say of registers that are there to be written. So one that has any comes from the firmware, by
/// [`Acpi::read`]. `Default` is a machine without ACPI.
///
/// ```compile_fail,E0616
/// let mut acpi = postern::machine::acpi::Acpi::default();
/// acpi.century = 0x32;
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Acpi {
    /// The PM timer, 3.579545 MHz.
    pub(super) pm_timer: Option<PmTimer>,
    /// Port of the PM1a control register.
    pub(super) pm1a_control: Option<u16>,
    /// Port of the PM1b control register.
    pub(super) pm1b_control: Option<u16>,
    /// The sleep control register of hardware-reduced ACPI.
    pub(super) sleep_control: Option<Register>,
    /// SLP_TYPa and SLP_TYPb for S5.
    pub(super) s5: Option<(u8, u8)>,
    /// The reset register and what to write there.
    pub(super) reset: Option<(Register, u8)>,
    /// The RTC's register that holds the century; 0: none.
    pub(super) century: u8,
    /// The I/O APICs.
    pub(super) io_apics: Vec<IoApic, MAX_IO_APICS>,
    /// Where virtio devices on MMIO are.
    pub(super) virtio: Vec<Place, MAX_DEVICES>,
    /// Physical address of the VM Generation ID, as QEMU has it; mapped, and outside usable RAM.
    pub(super) generation_id: Option<u64>,
    /// ISA interrupts that are not what they seem.
    pub(super) overrides: Vec<Override, MAX_OVERRIDES>,
}

/// The PM timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PmTimer {
    /// Its port, read as 32 bits.
    pub port: u16,
    /// Whether it counts to 32 bits rather than 24.
    pub wide: bool,
}

/// A register somewhere (Generic Address Structure, 5.2.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    /// In which space.
    pub space: Space,
    /// At which address there.
    pub address: u64,
}

/// An address space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// Physical memory.
    Memory,
    /// I/O ports.
    Io,
}

/// An I/O APIC (5.2.12.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IoApic {
    /// Its physical address.
    pub address: u32,
    /// The number that its first input has in the system.
    pub first_input: u32,
}

/// An ISA interrupt that arrives elsewhere, or otherwise, than by its number (5.2.12.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Override {
    /// The ISA interrupt.
    pub irq: u8,
    /// The input of the I/O APICs where it arrives.
    pub input: u32,
    /// Active low rather than high.
    pub active_low: bool,
    /// Level-triggered rather than edge-triggered.
    pub level: bool,
}

impl Acpi {
    /// Reads the tables of this machine. `ram`: its usable RAM. `rsdp`: the loader's root pointer.
    ///
    /// # Safety
    ///
    /// Both are the loader's. All memory that is ever written lies in `ram`, and no device is in use yet.
    ///
    /// ```compile_fail,E0133
    /// use postern::machine::{acpi::Acpi, boot_info::RootPointer};
    /// fn read() -> Acpi {
    ///     Acpi::read(&[], RootPointer::At(0xfee0_0000))
    /// }
    /// ```
    pub unsafe fn read(ram: &[Range], rsdp: RootPointer) -> Self {
        Self::parse(&Firmware { ram }, rsdp)
    }

    fn parse(memory: &impl PhysicalMemory, rsdp: RootPointer) -> Self {
        let mut acpi = Self::default();
        let Some(rsdp) = root_pointer(memory, &rsdp) else {
            return acpi;
        };
        let (root, entry_size) = match u64_at(rsdp, 24) {
            Some(xsdt) if u8_at(rsdp, 15) >= Some(2) && xsdt != 0 => (Some(xsdt), 8),
            _ => (u32_at(rsdp, 16).map(u64::from), 4),
        };
        let signature = if entry_size == 8 { b"XSDT" } else { b"RSDT" };
        let root = root
            .and_then(|root| table(memory, root))
            .filter(|root| root.starts_with(signature));
        for entry in root
            .and_then(|root| root.get(HEADER..))
            .unwrap_or_default()
            .chunks_exact(entry_size)
        {
            let address = u64_at(entry, 0).or(u32_at(entry, 0).map(u64::from));
            let Some(found) = address.and_then(|address| table(memory, address)) else {
                continue;
            };
            match found.first_chunk() {
                Some(b"FACP") => acpi.read_fadt(memory, found),
                Some(b"APIC") => acpi.read_madt(found),
                Some(b"SSDT") if found.get(16..24) == Some(b"VMGENID\0") => {
                    acpi.generation_id = generation_id(found).filter(|&id| memory.bytes(id, GENERATION_ID).is_some());
                }
                _ => {}
            }
        }
        acpi
    }

    fn read_fadt(&mut self, memory: &impl PhysicalMemory, fadt: &[u8]) {
        let port = |offset| {
            u32_at(fadt, offset)
                .and_then(|port| u16::try_from(port).ok())
                .filter(|&port| port != 0)
        };
        let flags = u32_at(fadt, 112).unwrap_or(0);
        let reduced = flags >> 20 & 1 == 1;
        if !reduced {
            self.pm1a_control = port(64);
            self.pm1b_control = port(68);
            self.pm_timer = port(76).filter(|_| u8_at(fadt, 91) == Some(4)).map(|port| PmTimer {
                port,
                wide: flags >> 8 & 1 == 1,
            });
        } else {
            self.sleep_control = register(fadt, 244);
        }
        self.century = u8_at(fadt, 108).unwrap_or(0);
        if flags >> 10 & 1 == 1 {
            self.reset = register(fadt, 116).zip(u8_at(fadt, 128));
        }
        let dsdt = u64_at(fadt, 140)
            .filter(|&dsdt| dsdt != 0)
            .or(u32_at(fadt, 40).map(u64::from));
        if let Some(dsdt) = dsdt.and_then(|dsdt| table(memory, dsdt)) {
            self.s5 = sleep_types(dsdt);
            self.virtio = virtio_devices(dsdt).collect();
        }
    }

    fn read_madt(&mut self, madt: &[u8]) {
        let mut entries = madt.get(HEADER + 8..).unwrap_or_default();
        while let Some(len) = u8_at(entries, 1).map(usize::from).filter(|&len| len >= 2) {
            let Some((entry, rest)) = entries.split_at_checked(len) else {
                return;
            };
            match u8_at(entry, 0) {
                // I/O APIC
                Some(1) => {
                    if let (Some(address), Some(first_input)) = (u32_at(entry, 4), u32_at(entry, 8)) {
                        let _ = self.io_apics.push(IoApic { address, first_input });
                    }
                }
                // Interrupt source override
                Some(2) => {
                    if let (Some(irq), Some(input), Some(flags)) = (u8_at(entry, 3), u32_at(entry, 4), u8_at(entry, 8))
                    {
                        let _ = self.overrides.push(Override {
                            irq,
                            input,
                            active_low: flags & 3 == 3,
                            level: flags >> 2 & 3 == 3,
                        });
                    }
                }
                _ => {}
            }
            entries = rest;
        }
    }
}

/// The memory in which firmware leaves its tables: anywhere but in the RAM that is ours.
///
/// Made by [`Acpi::read`] alone, whose caller answers for what it reads.
struct Firmware<'a> {
    /// Usable RAM, which is handed out and so is no place for tables.
    ram: &'a [Range],
}

impl PhysicalMemory for Firmware<'_> {
    fn bytes(&self, address: u64, len: usize) -> Option<&[u8]> {
        let range = Range::new(address, address.checked_add(len as u64)?);
        if self.ram.iter().any(|ram| ram.overlaps(range)) {
            return None;
        }
        // SAFETY: not in usable RAM, so that nothing here writes it; only addresses that loader and firmware named are
        // asked for (`Acpi::read`).
        unsafe { memory::firmware(address, len) }
    }
}

/// The bytes of a VM Generation ID.
pub const GENERATION_ID: usize = 16;

/// The size of the header that all tables share.
const HEADER: usize = 36;
/// The most bytes of a table that is read.
const MAX_TABLE: u32 = 1 << 20;
/// Where the root pointer lies on a PC, on a 16-byte boundary (5.2.5.1).
const BIOS_AREA: Range = Range::new(0xe_0000, 0x10_0000);

fn root_pointer<'a>(memory: &'a impl PhysicalMemory, rsdp: &'a RootPointer) -> Option<&'a [u8]> {
    let good = |pointer: &&[u8]| {
        pointer.starts_with(b"RSD PTR ") && pointer.get(..20).is_some_and(|version_1| sum(version_1) == 0)
    };
    let at = |address| memory.bytes(address, 36).filter(good);
    let given = match rsdp {
        RootPointer::Unknown => None,
        RootPointer::At(address) => at(*address),
        RootPointer::Copy(pointer) => Some(&pointer[..]).filter(good),
    };
    if given.is_some() {
        return given;
    }
    let area = memory.bytes(BIOS_AREA.start, BIOS_AREA.len() as usize)?;
    let offsets = (0..area.len()).step_by(16);
    let mut found = offsets.filter(|&offset| area.get(offset..).is_some_and(|rest| rest.starts_with(b"RSD PTR ")));
    found.find_map(|offset| at(BIOS_AREA.start + offset as u64))
}

/// A whole table, if it is there and its checksum is right.
fn table(memory: &impl PhysicalMemory, address: u64) -> Option<&[u8]> {
    let len = u32_at(memory.bytes(address, HEADER)?, 4)?;
    if len < HEADER as u32 || len > MAX_TABLE {
        return None;
    }
    memory.bytes(address, len as usize).filter(|table| sum(table) == 0)
}

/// SLP_TYPa and SLP_TYPb of `Name (_S5_, Package { … })` in AML (ACPI 6.5, 20.2): the name, PackageOp, a length of 1
/// to 4 bytes, the number of elements, and then two small integers.
fn sleep_types(dsdt: &[u8]) -> Option<(u8, u8)> {
    let mut rest = dsdt;
    loop {
        let at = rest.windows(5).position(|window| window == b"_S5_\x12")?;
        rest = rest.get(at + 5..)?;
        let skip = 1 + usize::from(rest.first()? >> 6);
        let elements = rest.get(skip + 1..)?;
        if let Some((a, more)) = small_integer(elements) {
            return Some((a, small_integer(more).map_or(a, |(b, _)| b)));
        }
    }
}

/// The virtio devices of a DSDT, by their resources as QEMU's microvm and Firecracker write them: not far behind the name,
/// and before that of the next one, a fixed memory range of 32 bits (6.4.3.4) and an interrupt (6.4.3.6).
fn virtio_devices(dsdt: &[u8]) -> impl Iterator<Item = Place> {
    const NAME: &[u8] = b"LNRO0005\0";
    const MEMORY: &[u8] = &[0x86, 9, 0];
    const INTERRUPT: &[u8] = &[0x89, 6, 0];
    const FAR: usize = 128;
    let find = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).position(|window| window == what);
    let mut rest = dsdt;
    let devices = core::iter::from_fn(move || {
        rest = rest.get(find(rest, NAME)? + NAME.len()..)?;
        let near = rest.get(..FAR).unwrap_or(rest);
        Some(near.get(..find(near, NAME).unwrap_or(near.len())).unwrap_or_default())
    });
    let place = move |device: &[u8]| {
        let (memory, interrupt) = (find(device, MEMORY)?, find(device, INTERRUPT)?);
        let start = u64::from(u32_at(device, memory + 4)?);
        Some(Place {
            range: Range::new(start, start + u64::from(u32_at(device, memory + 8)?)),
            input: u32_at(device, interrupt + 5)?,
        })
    };
    devices.filter_map(place).take(MAX_DEVICES)
}

/// The address of the VM Generation ID: 40 bytes after that in `Name (VGIA, …)`, a double word, as the table's ADDR method
/// has it (QEMU's docs/specs/vmgenid).
fn generation_id(ssdt: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"\x08VGIA\x0c";
    let at = ssdt.windows(NAME.len()).position(|window| window == NAME)?;
    let blob = u32_at(ssdt, at + NAME.len()).filter(|&blob| blob != 0)?;
    Some(u64::from(blob) + 40).filter(|id| id.is_multiple_of(8))
}

fn small_integer(aml: &[u8]) -> Option<(u8, &[u8])> {
    match aml {
        [0x00, rest @ ..] => Some((0, rest)),
        [0x01, rest @ ..] => Some((1, rest)),
        // SLP_TYPx has three bits.
        [0x0a, value @ 0..=7, rest @ ..] => Some((*value, rest)),
        _ => None,
    }
}

fn register(table: &[u8], at: usize) -> Option<Register> {
    let space = match u8_at(table, at)? {
        0 => Space::Memory,
        1 => Space::Io,
        _ => return None,
    };
    let address = u64_at(table, at + 4).filter(|&address| address != 0)?;
    Some(Register { space, address })
}

fn sum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum, &byte| sum.wrapping_add(byte))
}

fn u8_at(bytes: &[u8], at: usize) -> Option<u8> {
    bytes.get(at).copied()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests;
