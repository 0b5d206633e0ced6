//! The parameters of a card's driver, and its errors.

use super::dma::{BUFFER_SIZE, DmaMemory};
use super::interrupt::Interrupt;
use super::ring::{Descriptor, MAX_DESCRIPTORS, MIN_DESCRIPTORS};
use crate::machine::{interrupts, pci};

/// Why a card cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// There is none.
    NotFound,
    /// The card does not answer at its BAR.
    NoRegisters,
    /// The reset did not end.
    ResetTimedOut,
    /// The card has no valid Ethernet address of its own.
    NoMac,
    /// A virtio device has no modern interface.
    NotModern,
    /// A virtio device refuses a part of the features that it offers.
    Features,
    /// A virtio device has no MSI-X.
    NoMsix,
    /// A virtio device has no receive or no transmit queue, or refuses it or its interrupt.
    NoQueue,
    /// The ring sizes are not powers of two from 16 to 1024.
    RingSizes,
    /// The shared memory is too small, or its start is not aligned as its bus address is.
    Memory {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// Its PCI function cannot be set up.
    Pci(pci::Error),
    /// There is no interrupt for it.
    Interrupt(interrupts::Error),
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Error::NotFound => f.write_str(
                "no network card: add `-nic user,model=e1000e` to QEMU, on microvm \
                 `-netdev user,id=net0 -device virtio-net-device,netdev=net0 -global virtio-mmio.force-legacy=false`",
            ),
            Error::NoRegisters => f.write_str("the network card does not answer at BAR 0: power-cycle the machine"),
            Error::ResetTimedOut => f.write_str("the network card did not finish its reset: power-cycle the machine"),
            Error::NoMac => f.write_str(
                "the network card has no Ethernet address: add `mac=52:54:00:12:34:56` to its `-nic` option",
            ),
            Error::NotModern => f.write_str(
                "the virtio network card has no modern interface: remove `disable-modern=on` from its `-device` option",
            ),
            Error::Features => f.write_str(
                "the virtio network card requires a feature that is not supported: \
                 remove options such as `iommu_platform=on` from its `-device` option",
            ),
            Error::NoMsix => f.write_str(
                "the virtio network card has no MSI-X: \
                 replace `-nic` by `-netdev user,id=net0 -device virtio-net-pci,netdev=net0`",
            ),
            Error::NoQueue => f.write_str("the virtio network card refuses its queues: power-cycle the machine"),
            Error::RingSizes => write!(
                f,
                "ring sizes must be powers of two, {MIN_DESCRIPTORS} to {MAX_DESCRIPTORS}"
            ),
            Error::Memory { needed, given } => {
                write!(
                    f,
                    "the network card needs {needed} bytes of memory but was given {given}: use a larger `-m`"
                )
            }
            Error::Pci(error) => write!(f, "the network card's PCI function cannot be used: {error}"),
            Error::Interrupt(error) => write!(f, "the network card has no interrupt: {error}"),
        }
    }
}

impl core::error::Error for Error {}

/// How the card signals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// MSI-X, everything on vector 0.
    MsiX,
    /// MSI, or the interrupt line.
    Msi,
}

/// Numbers of descriptors, each with a buffer of [`BUFFER_SIZE`]. Powers of two from 16 to 1024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RingSizes {
    /// Receive descriptors.
    pub rx: usize,
    /// Transmit descriptors.
    pub tx: usize,
}

impl RingSizes {
    /// What suits a machine with `ram` bytes of memory: 1 MiB of buffers normally, 192 KiB where memory is short.
    pub const fn for_ram(ram: u64) -> Self {
        if ram < 8 << 20 {
            Self { rx: 64, tx: 32 }
        } else {
            Self { rx: 256, tx: 256 }
        }
    }

    /// Bytes of shared memory needed, in a block that is aligned to [`BUFFER_SIZE`].
    pub const fn bytes(self) -> usize {
        let count = self.rx + self.tx;
        (count * size_of::<Descriptor>()).next_multiple_of(BUFFER_SIZE) + count * BUFFER_SIZE
    }

    pub(super) const fn valid(self) -> bool {
        const fn fits(size: usize) -> bool {
            size.is_power_of_two() && size >= MIN_DESCRIPTORS && size <= MAX_DESCRIPTORS
        }
        fits(self.rx) && fits(self.tx)
    }
}

/// What the driver is given besides the registers.
pub struct Config {
    /// The interface's name in the log, such as `vm0`.
    pub name: &'static str,
    /// Sizes of the rings.
    pub rings: RingSizes,
    /// Memory to share with the card, [`RingSizes::bytes`] of it.
    pub memory: DmaMemory,
    /// How the card signals.
    pub signal: Signal,
    /// What the interrupt handler raises.
    pub interrupt: &'static Interrupt,
}
