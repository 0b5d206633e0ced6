//! A virtio device on the PCI bus, by its modern interface (virtio 1.2 §4.1).

use super::transport::{QueueAddress, Transport};
use crate::machine::memory::Registers;
use crate::machine::pci::{Error, Function};

/// The MSI-X table's entry that all causes share.
const ENTRY: u16 = 0;

/// A vendor-specific capability, by which virtio devices show where their registers are (§4.1.4).
const CAPABILITY: u8 = 0x09;
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const DEVICE: u8 = 4;
/// Bytes of the longest of these capabilities, with which it must end within configuration space.
const CAPABILITY_LEN: u8 = 20;

// The common configuration (§4.1.4.3).
const DEVICE_FEATURE_SELECT: usize = 0x00;
const DEVICE_FEATURE: usize = 0x04;
const DRIVER_FEATURE_SELECT: usize = 0x08;
const DRIVER_FEATURE: usize = 0x0c;
const CONFIG_VECTOR: usize = 0x10;
const STATUS: usize = 0x14;
const GENERATION: usize = 0x15;
const QUEUE_SELECT: usize = 0x16;
const QUEUE_SIZE: usize = 0x18;
const QUEUE_VECTOR: usize = 0x1a;
const QUEUE_ENABLE: usize = 0x1c;
const QUEUE_NOTIFY_OFFSET: usize = 0x1e;
const QUEUE_DESCRIPTORS: usize = 0x20;
const QUEUE_DRIVER: usize = 0x28;
const QUEUE_DEVICE: usize = 0x30;
const COMMON_LEN: usize = 0x38;

/// The registers of a device on the PCI bus.
pub struct PciTransport {
    common: Registers,
    device: Registers,
    notify: Registers,
    /// Bytes between the notification registers of two queues whose offsets differ by one.
    multiplier: u32,
    /// Offset of each queue's notification register.
    offsets: [usize; 2],
}

impl PciTransport {
    /// Finds the registers of `function`.
    pub fn new(function: &Function) -> Result<Self, Error> {
        let (common, _) = find(function, COMMON, COMMON_LEN)?;
        let (device, _) = find(function, DEVICE, 8)?;
        let (notify, at) = find(function, NOTIFY, 2)?;
        Ok(Self {
            common,
            device,
            notify,
            multiplier: function.read(at + 16),
            offsets: [0; 2],
        })
    }

    fn write_address(&mut self, at: usize, address: u64) {
        self.common.write(at, address as u32);
        self.common.write(at + 4, (address >> 32) as u32);
    }

    /// The offset of a field of the device's own configuration, if the device has it.
    fn field(&self, at: usize, len: usize) -> Option<usize> {
        let end = at.checked_add(len)?;
        (end <= self.device.len()).then_some(at)
    }
}

/// The first registers of a kind that can be used, of `least` bytes or more, and where their capability is.
fn find(function: &Function, kind: u8, least: usize) -> Result<(Registers, u8), Error> {
    let mut error = Error::NoCapability;
    for at in function.capabilities(CAPABILITY) {
        if at > u8::MAX - CAPABILITY_LEN || (function.read(at) >> 24) as u8 != kind {
            continue;
        }
        let bar = function.read(at + 4) as u8;
        let (offset, len) = (function.read(at + 8), function.read(at + 12));
        // SAFETY: the driver has the device touch no memory but that of its queues.
        match unsafe { function.registers(bar, offset, len) } {
            Ok(registers) if registers.len() >= least => return Ok((registers, at)),
            Ok(_) => error = Error::OutsideBar(bar),
            Err(other) => error = other,
        }
    }
    Err(error)
}

impl Transport for PciTransport {
    fn status(&self) -> u8 {
        self.common.read_u8(STATUS)
    }

    fn set_status(&mut self, status: u8) {
        self.common.write_u8(STATUS, status);
    }

    fn features(&mut self) -> u64 {
        let half = |number: u32| {
            self.common.write(DEVICE_FEATURE_SELECT, number);
            u64::from(self.common.read(DEVICE_FEATURE))
        };
        half(0) | half(1) << 32
    }

    fn accept(&mut self, features: u64) {
        for (number, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.common.write(DRIVER_FEATURE_SELECT, number);
            self.common.write(DRIVER_FEATURE, half);
        }
    }

    fn generation(&self) -> u32 {
        self.common.read_u8(GENERATION).into()
    }

    fn config_u8(&self, at: usize) -> u8 {
        self.field(at, 1).map_or(u8::MAX, |at| self.device.read_u8(at))
    }

    fn config_u16(&self, at: usize) -> u16 {
        self.field(at, 2).map_or(u16::MAX, |at| self.device.read_u16(at))
    }

    fn config_u32(&self, at: usize) -> u32 {
        self.field(at, 4).map_or(u32::MAX, |at| self.device.read(at))
    }

    fn max_descriptors(&mut self, queue: u16) -> u16 {
        self.common.write_u16(QUEUE_SELECT, queue);
        self.common.read_u16(QUEUE_SIZE)
    }

    fn route_config(&mut self) -> bool {
        self.common.write_u16(CONFIG_VECTOR, ENTRY);
        // A device without room for the vector reads back another (§4.1.5.1.2).
        self.common.read_u16(CONFIG_VECTOR) == ENTRY
    }

    fn set_queue(&mut self, queue: u16, at: QueueAddress) -> bool {
        let common = &self.common;
        common.write_u16(QUEUE_SELECT, queue);
        common.write_u16(QUEUE_SIZE, at.len);
        common.write_u16(QUEUE_VECTOR, ENTRY);
        let routed = common.read_u16(QUEUE_VECTOR) == ENTRY;
        let offset = u32::from(common.read_u16(QUEUE_NOTIFY_OFFSET)).checked_mul(self.multiplier);
        let offset = offset.map_or(usize::MAX, |offset| offset as usize);
        let inside = offset.checked_add(2).is_some_and(|end| end <= self.notify.len()) && offset.is_multiple_of(2);
        let Some(place) = self.offsets.get_mut(usize::from(queue)).filter(|_| routed && inside) else {
            return false;
        };
        *place = offset;
        self.write_address(QUEUE_DESCRIPTORS, at.table);
        self.write_address(QUEUE_DRIVER, at.available);
        self.write_address(QUEUE_DEVICE, at.used);
        self.common.write_u16(QUEUE_ENABLE, 1);
        true
    }

    fn notify(&mut self, queue: u16) {
        if let Some(&offset) = self.offsets.get(usize::from(queue)) {
            self.notify.write_u16(offset, queue);
        }
    }

    fn acknowledge(&mut self) {
        // Messages need no answer.
    }
}

#[cfg(test)]
mod tests;
