//! A virtio device on MMIO, by its modern interface (virtio 1.2 §4.2).

use super::transport::{QueueAddress, Transport};
use crate::machine::memory::Registers;

// Registers (§4.2.2), each accessed in 32 bits.
const DEVICE_FEATURES: usize = 0x10;
const DEVICE_FEATURES_SELECT: usize = 0x14;
const DRIVER_FEATURES: usize = 0x20;
const DRIVER_FEATURES_SELECT: usize = 0x24;
const QUEUE_SELECT: usize = 0x30;
const QUEUE_SIZE_MAX: usize = 0x34;
const QUEUE_SIZE: usize = 0x38;
const QUEUE_READY: usize = 0x44;
const QUEUE_NOTIFY: usize = 0x50;
const INTERRUPT_ACKNOWLEDGE: usize = 0x64;
const STATUS: usize = 0x70;
const QUEUE_DESCRIPTORS: usize = 0x80;
const QUEUE_DRIVER: usize = 0x90;
const QUEUE_DEVICE: usize = 0xa0;
const GENERATION: usize = 0xfc;
/// The device's own configuration.
const CONFIG: usize = 0x100;

/// Interrupt causes: a used buffer, and a change of the configuration.
const CAUSES: u32 = 3;

/// The registers of a device on MMIO.
pub struct MmioTransport(Registers);

impl MmioTransport {
    /// The device with these registers, whose interface is modern.
    pub fn new(registers: Registers) -> Self {
        Self(registers)
    }

    fn write_address(&self, at: usize, address: u64) {
        self.0.write(at, address as u32);
        self.0.write(at + 4, (address >> 32) as u32);
    }

    /// The offset of a field of the device's own configuration, if the device has it.
    fn field(&self, at: usize, len: usize) -> Option<usize> {
        let start = CONFIG.checked_add(at)?;
        (start.checked_add(len)? <= self.0.len()).then_some(start)
    }
}

impl Transport for MmioTransport {
    fn status(&self) -> u8 {
        self.0.read(STATUS) as u8
    }

    fn set_status(&mut self, status: u8) {
        self.0.write(STATUS, status.into());
    }

    fn features(&mut self) -> u64 {
        let half = |number: u32| {
            self.0.write(DEVICE_FEATURES_SELECT, number);
            u64::from(self.0.read(DEVICE_FEATURES))
        };
        half(0) | half(1) << 32
    }

    fn accept(&mut self, features: u64) {
        for (number, half) in [(0, features as u32), (1, (features >> 32) as u32)] {
            self.0.write(DRIVER_FEATURES_SELECT, number);
            self.0.write(DRIVER_FEATURES, half);
        }
    }

    fn generation(&self) -> u32 {
        self.0.read(GENERATION)
    }

    fn config_u8(&self, at: usize) -> u8 {
        self.field(at, 1).map_or(u8::MAX, |at| self.0.read_u8(at))
    }

    fn config_u16(&self, at: usize) -> u16 {
        self.field(at, 2).map_or(u16::MAX, |at| self.0.read_u16(at))
    }

    fn config_u32(&self, at: usize) -> u32 {
        self.field(at, 4).map_or(u32::MAX, |at| self.0.read(at))
    }

    fn max_descriptors(&mut self, queue: u16) -> u16 {
        self.0.write(QUEUE_SELECT, queue.into());
        self.0.read(QUEUE_SIZE_MAX).try_into().unwrap_or(u16::MAX)
    }

    fn route_config(&mut self) -> bool {
        // There is one interrupt, for all causes.
        true
    }

    fn set_queue(&mut self, queue: u16, at: QueueAddress) -> bool {
        self.0.write(QUEUE_SELECT, queue.into());
        self.0.write(QUEUE_SIZE, at.len.into());
        self.write_address(QUEUE_DESCRIPTORS, at.table);
        self.write_address(QUEUE_DRIVER, at.available);
        self.write_address(QUEUE_DEVICE, at.used);
        self.0.write(QUEUE_READY, 1);
        self.0.read(QUEUE_READY) == 1
    }

    fn notify(&mut self, queue: u16) {
        self.0.write(QUEUE_NOTIFY, queue.into());
    }

    fn acknowledge(&mut self) {
        // Both causes, unread: the caller looks at everything afterwards. One that is left would keep the interrupt line
        // up, and the next edge would never come.
        self.0.write(INTERRUPT_ACKNOWLEDGE, CAUSES);
    }
}

#[cfg(test)]
mod tests;
