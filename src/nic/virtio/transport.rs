//! The interface of a virtio transport, and the numbers of driver and transport.

/// A virtio device's registers, over PCI (virtio 1.2 §4.1) or MMIO (§4.2).
///
/// Each access leaves the guest, so the driver makes few of them.
pub trait Transport {
    /// The device status (§2.1).
    fn status(&self) -> u8;
    /// Sets the device status; 0 resets the device.
    fn set_status(&mut self, status: u8);
    /// The features that the device offers.
    fn features(&mut self) -> u64;
    /// Accepts features.
    fn accept(&mut self, features: u64);
    /// A number that is another after each change of the device's own configuration (§2.5).
    fn generation(&self) -> u32;
    /// A byte of the device's own configuration (§5.1.4 for a network card). All ones beyond its end, as below.
    fn config_u8(&self, at: usize) -> u8;
    /// A 16-bit field of the device's own configuration.
    fn config_u16(&self, at: usize) -> u16;
    /// A 32-bit field of the device's own configuration.
    fn config_u32(&self, at: usize) -> u32;
    /// The most descriptors that a queue can have; 0 if there is no such queue.
    fn max_descriptors(&mut self, queue: u16) -> u16;
    /// Routes the interrupt of configuration changes, after a reset. Whether the device has accepted it.
    fn route_config(&mut self) -> bool;
    /// Sets a queue up, routes its interrupt and enables it, after a reset. Whether the device has accepted that.
    fn set_queue(&mut self, queue: u16, at: QueueAddress) -> bool;
    /// Notifies the device of new descriptors in a queue that was set up (§2.7.13.4).
    fn notify(&mut self, queue: u16);
    /// Acknowledges interrupts, where they are not messages.
    fn acknowledge(&mut self);
}

/// The bus addresses of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueAddress {
    /// Number of descriptors, a power of two.
    pub len: u16,
    /// The descriptor table.
    pub table: u64,
    /// The available ring ("driver area").
    pub available: u64,
    /// The used ring ("device area").
    pub used: u64,
}

/// Device status: the guest has noticed the device.
pub(in crate::nic) const ACKNOWLEDGE: u8 = 1;
/// Device status: the guest knows how to drive it.
pub(in crate::nic) const DRIVER: u8 = 2;
/// Device status: the driver is ready.
pub(in crate::nic) const DRIVER_OK: u8 = 4;
/// Device status: the features are agreed on.
pub(in crate::nic) const FEATURES_OK: u8 = 8;
/// Device status: the guest has given the device up.
pub(in crate::nic) const FAILED: u8 = 128;
/// Device status: the device has failed and needs a reset.
pub(in crate::nic) const NEEDS_RESET: u8 = 64;

/// Feature: the device completes TCP and UDP checksums of frames to be sent.
pub(in crate::nic) const F_CSUM: u64 = 1 << 0;
/// Feature: received frames may have their checksum verified, or yet to be completed.
pub(in crate::nic) const F_GUEST_CSUM: u64 = 1 << 1;
/// Feature: the device has an Ethernet address.
pub(in crate::nic) const F_MAC: u64 = 1 << 5;
/// Feature: the configuration has the state of the link.
pub(in crate::nic) const F_STATUS: u64 = 1 << 16;
/// Feature: the device conforms to version 1, that is, has the modern layout.
pub(in crate::nic) const F_VERSION_1: u64 = 1 << 32;
/// Feature: the configuration has the speed of the link.
pub(in crate::nic) const F_SPEED_DUPLEX: u64 = 1 << 63;

/// The receive queue (§5.1.2).
pub(in crate::nic) const RECEIVE: u16 = 0;
/// The transmit queue.
pub(in crate::nic) const TRANSMIT: u16 = 1;

// Offsets in the network device's configuration (§5.1.4).
pub(in crate::nic) const CONFIG_MAC: usize = 0;
pub(in crate::nic) const CONFIG_STATUS: usize = 6;
pub(in crate::nic) const CONFIG_SPEED: usize = 12;
/// Configuration, status: the link is up.
pub(in crate::nic) const LINK_UP: u16 = 1;
