//! PCI: enumeration of functions, their BARs, and their interrupts.
//!
//! Configuration space is reached through the ports of mechanism #1 (PCI 3.0, 3.2.2.3.2), which every chipset with
//! PCI has; its first 256 bytes hold all that is needed here. Firmware has given the BARs their addresses.
//!
//! The types of `virtio-drivers` serve here too, its enumeration does not: it reads all eight functions of a device
//! without the multi-function bit, ignores bridges, follows a circular capability list for ever, and switches decoding off
//! and on for each BAR.

use super::interrupts::Interrupt;
use super::memory::{Range, Registers};
use super::paging::MapError;
use core::cell::OnceCell;
use core::fmt;
use heapless::Vec;
use virtio_drivers::transport::pci::bus::{ConfigurationAccess, DeviceFunction};
use x86_64::instructions::port::Port;

/// The most functions that are found; further ones are ignored.
pub const MAX_FUNCTIONS: usize = 64;

/// A function of a PCI device. There is one of these for each: its owner drives the device.
#[derive(Debug)]
pub struct Function {
    address: DeviceFunction,
    vendor: u16,
    device: u16,
    /// The bridge that leads to its bus; none on bus 0.
    bridge: Option<DeviceFunction>,
    bars: OnceCell<[Result<Range, Error>; BARS]>,
}

/// Why a BAR or an interrupt cannot be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// There is no such BAR, or it is one for I/O ports.
    NoMemoryBar(u8),
    /// Firmware has given the BAR no address.
    Unassigned(u8),
    /// It cannot be mapped.
    Map(MapError),
    /// The function has no such capability.
    NoCapability,
    /// The MSI-X table has no such entry, or lies outside its BAR.
    BadTable,
    /// Registers of the device are not within this BAR, or not aligned to 32 bits.
    OutsideBar(u8),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMemoryBar(bar) => write!(f, "BAR {bar} is not a memory BAR"),
            Self::Unassigned(bar) => write!(f, "BAR {bar} has no address from firmware"),
            Self::Map(error) => error.fmt(f),
            Self::NoCapability => f.write_str("the device has no such capability"),
            Self::BadTable => f.write_str("the MSI-X table is outside its BAR"),
            Self::OutsideBar(bar) => write!(f, "the registers are outside BAR {bar}"),
        }
    }
}

impl core::error::Error for Error {}

/// Finds all functions. To be called once: each call makes another owner of each.
pub fn scan() -> Vec<Function, MAX_FUNCTIONS> {
    let mut found = Vec::new();
    if is_present() {
        // The bridges that lead to the buses; bus 0 is the root.
        let mut bridges = [None; 256];
        for bus in 0..=255u8 {
            let bridge = bridges[usize::from(bus)];
            if bus == 0 || bridge.is_some() {
                scan_bus(bus, bridge, &mut found, |next, at| {
                    bridges[usize::from(next)] = Some(at);
                });
            }
        }
    }
    found
}

impl Function {
    /// Where it is.
    pub fn address(&self) -> DeviceFunction {
        self.address
    }

    /// Vendor ID and device ID.
    pub fn id(&self) -> (u16, u16) {
        (self.vendor, self.device)
    }

    /// Reads 32 bits of configuration space at `at`, rounded down to a multiple of 4.
    pub fn read(&self, at: u8) -> u32 {
        read(self.address, at)
    }

    /// The memory behind a BAR (0 to 5), mapped uncached, with memory decoding switched on.
    ///
    /// # Safety
    ///
    /// The caller drives the device so that it touches no memory but what it was given.
    pub unsafe fn bar(&self, index: u8) -> Result<Registers, Error> {
        let range = self.memory_bar(index)?;
        // SAFETY: passed on.
        unsafe { self.map(range) }
    }

    /// The `len` bytes of memory from `offset` on behind a BAR, mapped as by [`Function::bar`].
    ///
    /// # Safety
    ///
    /// As for [`Function::bar`].
    pub unsafe fn registers(&self, bar: u8, offset: u32, len: u32) -> Result<Registers, Error> {
        let whole = self.memory_bar(bar)?;
        let start = whole.start.saturating_add(u64::from(offset));
        let range = Range::new(start, start.saturating_add(u64::from(len)));
        if !whole.contains(range) || !offset.is_multiple_of(4) {
            return Err(Error::OutsideBar(bar));
        }
        // SAFETY: passed on.
        unsafe { self.map(range) }
    }

    /// Maps a part of the memory behind a BAR.
    ///
    /// # Safety
    ///
    /// As for [`Function::bar`].
    unsafe fn map(&self, range: Range) -> Result<Registers, Error> {
        self.set_command(COMMAND_MEMORY, 0);
        // SAFETY: a BAR belongs to its device; the caller guarantees the rest.
        unsafe { Registers::map(range) }.map_err(Error::Map)
    }

    /// Lets the device access memory. Only after it was reset: firmware may have left it running.
    pub fn enable_bus_master(&self) {
        self.set_command(COMMAND_BUS_MASTER, 0);
    }

    /// Where in configuration space the first capability `id` is.
    pub fn capability(&self, id: u8) -> Option<u8> {
        capability(&Ports, self.address, id)
    }

    /// Where in configuration space the capabilities `id` are.
    pub fn capabilities(&self, id: u8) -> impl Iterator<Item = u8> {
        capabilities(&Ports, self.address).filter_map(move |(at, header)| (header as u8 == id).then_some(at))
    }

    /// Keeps the link to the device from saving power by itself (ASPM), at both of its ends.
    pub fn disable_aspm(&self) {
        // The lower end first (PCIe 3.0, 5.4.1.3).
        for address in [Some(self.address), self.bridge].into_iter().flatten() {
            disable_aspm(&mut Ports, address);
        }
    }

    /// Has the device raise `interrupt` by MSI, and no INTx any more.
    pub fn enable_msi(&self, interrupt: &Interrupt) -> Result<(), Error> {
        let at = self.capability(CAPABILITY_MSI).ok_or(Error::NoCapability)?;
        let message = interrupt.message();
        let control = self.read(at);
        write(self.address, at + 4, message.address as u32);
        let data = if control & MSI_64_BIT != 0 {
            write(self.address, at + 8, (message.address >> 32) as u32);
            at + 12
        } else {
            at + 8
        };
        write(self.address, data, message.data);
        // One vector of those it could have.
        write(self.address, at, control & !MSI_VECTORS | MSI_ENABLE);
        self.set_command(COMMAND_INTX_DISABLE, 0);
        Ok(())
    }

    /// Has entry `entry` of the device's MSI-X table raise `interrupt`, and no INTx any more. Entries that were not
    /// set up stay masked.
    pub fn enable_msix(&self, entry: u16, interrupt: &Interrupt) -> Result<(), Error> {
        let at = self.capability(CAPABILITY_MSIX).ok_or(Error::NoCapability)?;
        let control = self.read(at);
        if u32::from(entry) > control >> 16 & MSIX_LAST_ENTRY {
            return Err(Error::BadTable);
        }
        let table = self.read(at + 4);
        let bar = self.memory_bar((table & 7) as u8)?;
        let start = bar.start + u64::from(table & !7) + 16 * u64::from(entry);
        let range = Range::new(start, start + 16);
        if !bar.contains(range) {
            return Err(Error::BadTable);
        }
        self.set_command(COMMAND_MEMORY | COMMAND_INTX_DISABLE, 0);
        // SAFETY: the entry of the table, by the device's own account; it makes the device send the message, which is that of
        // a vector with a handler.
        let registers = unsafe { Registers::map(range) }.map_err(Error::Map)?;
        let message = interrupt.message();
        registers.write(0, message.address as u32);
        registers.write(4, (message.address >> 32) as u32);
        registers.write(8, message.data);
        registers.write(12, 0);
        write(self.address, at, control & !MSIX_MASK_ALL | MSIX_ENABLE);
        Ok(())
    }

    /// The addresses behind a BAR.
    fn memory_bar(&self, index: u8) -> Result<Range, Error> {
        let bars = self.bars.get_or_init(|| self.probe());
        bars.get(usize::from(index))
            .copied()
            .unwrap_or(Err(Error::NoMemoryBar(index)))
    }

    /// Finds the addresses and sizes of all BARs, once for all: decoding is off meanwhile, and switching it takes a
    /// virtual machine a millisecond.
    fn probe(&self) -> [Result<Range, Error>; BARS] {
        let mut bars = core::array::from_fn(|index| Err(Error::NoMemoryBar(index as u8)));
        if read(self.address, HEADER_TYPE) >> 16 & 0x7f != 0 {
            // A bridge has other things there.
            return bars;
        }
        let command = self.read(COMMAND) as u16;
        self.set_command(0, COMMAND_MEMORY | COMMAND_IO);
        let probe = |at| {
            let old = read(self.address, at);
            write(self.address, at, u32::MAX);
            let mask = read(self.address, at);
            write(self.address, at, old);
            (old, mask)
        };
        let mut upper_half = false;
        for (index, bar) in (0u8..).zip(&mut bars) {
            if core::mem::replace(&mut upper_half, false) {
                continue;
            }
            let at = BAR_0 + 4 * index;
            let low = probe(at);
            upper_half = index < 5 && low.0 & (BAR_IO | BAR_WIDTH) == BAR_64_BIT;
            let high = if upper_half { probe(at + 4) } else { (0, u32::MAX) };
            *bar = bar_range(index, low, high);
        }
        self.set_command(command & (COMMAND_MEMORY | COMMAND_IO), 0);
        bars
    }

    fn set_command(&self, set: u16, clear: u16) {
        // Bits of the status register above are cleared by ones: zeros leave them.
        let command = self.read(COMMAND) as u16;
        write(self.address, COMMAND, u32::from(command & !clear | set));
    }
}

/// Configuration space, through the ports of mechanism #1.
pub(super) struct Ports;

impl ConfigurationAccess for Ports {
    fn read_word(&self, at: DeviceFunction, register: u8) -> u32 {
        read(at, register)
    }

    fn write_word(&mut self, at: DeviceFunction, register: u8, value: u32) {
        write(at, register, value);
    }

    unsafe fn unsafe_clone(&self) -> Self {
        Self
    }
}

/// The most capabilities that fit.
const MAX_CAPABILITIES: usize = 48;

/// The capabilities of a function: where each is, and its first word.
fn capabilities(space: &impl ConfigurationAccess, address: DeviceFunction) -> impl Iterator<Item = (u8, u32)> {
    let next = |header: u32| Some((header >> 8) as u8 & !3).filter(|&at| at >= 0x40);
    let listed = space.read_word(address, COMMAND) >> 16 & STATUS_CAPABILITIES != 0;
    let mut at = listed
        .then(|| space.read_word(address, CAPABILITIES) << 8)
        .and_then(next);
    // Bounded, since a faulty list may be a circle.
    (0..MAX_CAPABILITIES).map_while(move |_| {
        let here = at?;
        let header = space.read_word(address, here);
        at = next(header);
        Some((here, header))
    })
}

fn capability(space: &impl ConfigurationAccess, address: DeviceFunction, id: u8) -> Option<u8> {
    capabilities(space, address).find_map(|(at, header)| (header as u8 == id).then_some(at))
}

fn disable_aspm(space: &mut impl ConfigurationAccess, address: DeviceFunction) {
    let Some(at) = capability(space, address, CAPABILITY_PCIE) else {
        return;
    };
    // A function integrated into the root complex has no link.
    if matches!(space.read_word(address, at) >> PCIE_TYPE_SHIFT & 0xf, 9 | 10) {
        return;
    }
    let Some(at) = at.checked_add(PCIE_LINK_CONTROL) else {
        return;
    };
    // Bits of the link status above are cleared by ones: zeros leave them.
    let control = space.read_word(address, at) & 0xffff;
    if control & LINK_ASPM != 0 {
        space.write_word(address, at, control & !LINK_ASPM);
    }
}

/// Reads 32 bits of configuration space.
fn read(address: DeviceFunction, at: u8) -> u32 {
    // SAFETY: mechanism #1; reading configuration space changes nothing.
    unsafe {
        Port::<u32>::new(CONFIG_ADDRESS).write(selector(address, at));
        Port::<u32>::new(CONFIG_DATA).read()
    }
}

/// Writes 32 bits of configuration space.
fn write(address: DeviceFunction, at: u8, value: u32) {
    // SAFETY: mechanism #1. Callers write registers whose meaning they know, and keep BARs where firmware put them.
    unsafe {
        Port::<u32>::new(CONFIG_ADDRESS).write(selector(address, at));
        Port::<u32>::new(CONFIG_DATA).write(value);
    }
}

/// BARs of an ordinary function.
const BARS: usize = 6;

const CONFIG_ADDRESS: u16 = 0xcf8;
const CONFIG_DATA: u16 = 0xcfc;
const CONFIG_ENABLE: u32 = 1 << 31;

// Offsets in configuration space (PCI 3.0, 6.1).
const ID: u8 = 0x00;
const COMMAND: u8 = 0x04;
const HEADER_TYPE: u8 = 0x0c;
const BAR_0: u8 = 0x10;
const BRIDGE_BUSES: u8 = 0x18;
const CAPABILITIES: u8 = 0x34;

const COMMAND_IO: u16 = 1 << 0;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_BUS_MASTER: u16 = 1 << 2;
const COMMAND_INTX_DISABLE: u16 = 1 << 10;
const STATUS_CAPABILITIES: u32 = 1 << 4;

const BAR_IO: u32 = 1;
const BAR_WIDTH: u32 = 0b110;
const BAR_64_BIT: u32 = 0b100;

const CAPABILITY_MSI: u8 = 0x05;
const MSI_ENABLE: u32 = 1 << 16;
const MSI_VECTORS: u32 = 0b111 << 20;
const MSI_64_BIT: u32 = 1 << 23;

const CAPABILITY_PCIE: u8 = 0x10;
/// In the first word: device or port type (PCIe 3.0, 7.8.2).
const PCIE_TYPE_SHIFT: u32 = 20;
/// Link Control (7.8.7), from the capability on.
const PCIE_LINK_CONTROL: u8 = 0x10;
/// L0s and L1.
const LINK_ASPM: u32 = 0b11;

const CAPABILITY_MSIX: u8 = 0x11;
const MSIX_LAST_ENTRY: u32 = 0x7ff;
const MSIX_MASK_ALL: u32 = 1 << 30;
const MSIX_ENABLE: u32 = 1 << 31;

fn selector(address: DeviceFunction, at: u8) -> u32 {
    let DeviceFunction { bus, device, function } = address;
    CONFIG_ENABLE
        | u32::from(bus) << 16
        | u32::from(device & 31) << 11
        | u32::from(function & 7) << 8
        | u32::from(at & !3)
}

fn is_present() -> bool {
    // SAFETY: the address register of mechanism #1 reads back what was written; a machine without PCI has nothing here.
    unsafe {
        let mut port = Port::<u32>::new(CONFIG_ADDRESS);
        port.write(CONFIG_ENABLE);
        port.read() == CONFIG_ENABLE
    }
}

fn scan_bus(
    bus: u8,
    bridge: Option<DeviceFunction>,
    found: &mut Vec<Function, MAX_FUNCTIONS>,
    mut leads_to: impl FnMut(u8, DeviceFunction),
) {
    for device in 0..32 {
        for function in 0..8 {
            let address = DeviceFunction { bus, device, function };
            let id = read(address, ID);
            if id as u16 == 0xffff {
                if function == 0 {
                    break;
                }
                continue;
            }
            let header = read(address, HEADER_TYPE) >> 16;
            if header & 0x7f == 1 {
                // The bus behind a bridge has a higher number, if firmware has given it one.
                let secondary = (read(address, BRIDGE_BUSES) >> 8) as u8;
                if secondary > bus {
                    leads_to(secondary, address);
                }
            }
            // Full: what comes is ignored.
            let _ = found.push(Function {
                address,
                vendor: id as u16,
                device: (id >> 16) as u16,
                bridge,
                bars: OnceCell::new(),
            });
            if function == 0 && header & 0x80 == 0 {
                break;
            }
        }
    }
}

/// The range of a BAR from its value and its answer to all ones, low and high half (PCI 3.0, 6.2.5.1).
fn bar_range(index: u8, low: (u32, u32), high: (u32, u32)) -> Result<Range, Error> {
    if low.0 & BAR_IO != 0 || low.1 & !0xf == 0 {
        return Err(Error::NoMemoryBar(index));
    }
    let address = u64::from(high.0) << 32 | u64::from(low.0 & !0xf);
    let mask = u64::from(high.1) << 32 | u64::from(low.1 & !0xf);
    let size = (!mask).wrapping_add(1);
    if address == 0 {
        return Err(Error::Unassigned(index));
    }
    match address.checked_add(size) {
        Some(end) if size.is_power_of_two() => Ok(Range::new(address, end)),
        _ => Err(Error::NoMemoryBar(index)),
    }
}

#[cfg(test)]
mod tests;
