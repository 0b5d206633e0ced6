//! Virtio devices on MMIO (virtio 1.2 §4.2): where they are.
//!
//! No bus lists them. Their places come from the command line, in Linux's words (`virtio_mmio.device=512@0xfeb00000:5`),
//! which Firecracker and QEMU's microvm without ACPI add themselves, and from the DSDT.

use super::acpi::Acpi;
use super::boot_info::BootInfo;
use super::memory::{Range, Registers};
use super::paging::MapError;
use core::fmt;
use heapless::Vec;

/// The most devices that are found; QEMU's microvm has up to 24.
pub const MAX_DEVICES: usize = 32;

/// Device ID of a network card (virtio 1.2 §5).
pub const NETWORK: u32 = 1;
/// Device ID of an entropy device.
pub const ENTROPY: u32 = 4;

/// Bytes of a device's registers before its own configuration.
const CONFIG: u64 = 0x100;
/// The most bytes that a device is believed to have.
const MAX_LEN: u64 = 1 << 16;
/// "virt"
const MAGIC: u32 = 0x7472_6976;

// Registers (§4.2.2).
const MAGIC_VALUE: usize = 0x00;
const VERSION: usize = 0x04;
const DEVICE_ID: usize = 0x08;

/// Where a device is said to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its registers.
    pub range: Range,
    /// The input of the I/O APICs where its interrupt arrives.
    pub input: u32,
}

/// A device with the modern interface.
#[derive(Debug)]
pub struct Device {
    registers: Registers,
    id: u32,
    place: Place,
}

impl Device {
    /// Its kind, such as [`NETWORK`].
    pub fn id(&self) -> u32 {
        self.id
    }

    /// The input of the I/O APICs where its interrupt arrives.
    pub fn input(&self) -> u32 {
        self.place.input
    }

    /// Its physical address.
    pub fn address(&self) -> u64 {
        self.place.range.start
    }

    /// Its registers, 256 bytes and its own configuration.
    pub fn registers(&self) -> &Registers {
        &self.registers
    }

    /// Its registers, for its driver.
    pub fn into_registers(self) -> Registers {
        self.registers
    }
}

/// Finds the devices that command line and ACPI name. What cannot be used is logged. To be called once.
pub fn scan(info: &BootInfo, acpi: &Acpi) -> Vec<Device, MAX_DEVICES> {
    let mut places = Vec::new();
    for word in info.values_of("virtio_mmio.device") {
        let added = parse(word).and_then(|place| add(&mut places, place, info));
        if let Err(fault) = added {
            log::warn!("virtio_mmio.device={word}: {fault}");
        }
    }
    for &place in &acpi.virtio {
        if let Err(fault) = add(&mut places, place, info) {
            log::warn!("virtio device at {:#x}: {fault}", place.range.start);
        }
    }
    let mut devices = Vec::new();
    for place in places {
        match open(place) {
            // There is room: as many as places.
            Ok(Some(device)) => drop(devices.push(device)),
            Ok(None) => {}
            Err(fault) => log::warn!("virtio device at {:#x}: {fault}", place.range.start),
        }
    }
    devices
}

/// Why a place has no device that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Syntax,
    BadRange,
    InRam,
    Overlaps,
    TooMany,
    Map(MapError),
    NoDevice,
    Legacy,
    Version(u32),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax => f.write_str("expected SIZE@ADDRESS:IRQ, such as 512@0xfeb00000:5"),
            Self::BadRange => f.write_str("expected 264 bytes to 64 KiB at a multiple of 8"),
            Self::InRam => f.write_str("this is RAM"),
            Self::Overlaps => f.write_str("overlaps another device"),
            Self::TooMany => write!(f, "not used (limit: {MAX_DEVICES})"),
            Self::Map(error) => error.fmt(f),
            Self::NoDevice => f.write_str("there is no virtio device"),
            Self::Legacy => f.write_str(
                "it has the legacy interface: add `-global virtio-mmio.force-legacy=false` to QEMU's options",
            ),
            Self::Version(version) => write!(f, "interface version {version} is not supported (only 2)"),
        }
    }
}

/// `SIZE@ADDRESS:IRQ`, and perhaps `:ID`, as for Linux's module `virtio_mmio`.
fn parse(word: &str) -> Result<Place, Fault> {
    let place = || {
        let (size, rest) = word.split_once('@')?;
        let (address, rest) = rest.split_once(':')?;
        let irq = match rest.split_once(':') {
            Some((irq, id)) => number(id).map(|_| irq)?,
            None => rest,
        };
        let start = number(address)?;
        let range = Range::new(start, start.checked_add(number(size)?)?);
        Some(Place {
            range,
            input: number(irq)?.try_into().ok()?,
        })
    };
    place().ok_or(Fault::Syntax)
}

/// A number as Linux's `memparse` reads it: decimal, or hexadecimal after `0x`, and K, M or G.
fn number(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 10),
        b'M' | b'm' => (&text[..text.len() - 1], 20),
        b'G' | b'g' => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let (digits, radix) = match digits.strip_prefix("0x").or(digits.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (digits, 10),
    };
    // A sign is no digit.
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()?.checked_mul(1 << shift)
}

fn add(places: &mut Vec<Place, MAX_DEVICES>, place: Place, info: &BootInfo) -> Result<(), Fault> {
    let range = place.range;
    if range.len() < CONFIG + 8 || range.len() > MAX_LEN || !range.start.is_multiple_of(8) || range.start == 0 {
        return Err(Fault::BadRange);
    }
    if info.ram.iter().any(|ram| ram.overlaps(range.pages())) {
        return Err(Fault::InRam);
    }
    // Command line and ACPI may name the same device.
    if places.iter().any(|other| other.range.start == range.start) {
        return Ok(());
    }
    if places.iter().any(|other| other.range.overlaps(range)) {
        return Err(Fault::Overlaps);
    }
    places.push(place).map_err(|_| Fault::TooMany)
}

/// The device at `place`. `None` if its registers stand for no device (§4.2.2.2).
fn open(place: Place) -> Result<Option<Device>, Fault> {
    // SAFETY: command line or ACPI name it as a device, it is not RAM, and drivers give the device no memory but that of
    // their queues.
    let registers = unsafe { Registers::map(place.range) }.map_err(Fault::Map)?;
    Ok(identify(&registers)?.map(|id| Device { registers, id, place }))
}

/// The device's ID, if it is one with the modern interface.
fn identify(registers: &Registers) -> Result<Option<u32>, Fault> {
    if registers.read(MAGIC_VALUE) != MAGIC {
        return Err(Fault::NoDevice);
    }
    let id = registers.read(DEVICE_ID);
    match registers.read(VERSION) {
        _ if id == 0 => Ok(None),
        1 => Err(Fault::Legacy),
        2 => Ok(Some(id)),
        version => Err(Fault::Version(version)),
    }
}

#[cfg(test)]
mod tests;
