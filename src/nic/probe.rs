//! The search for cards on PCI and MMIO, and their resources.

use core::task::Waker;

use heapless::Vec;

use super::e1000e::DEVICE;
use super::regs::BAR_MIN;
use super::virtio::{self, MmioTransport, PciTransport, VirtioNet};
use super::{BUFFER_SIZE, Card, Config, DmaMemory, E1000e, Error, Frame, Interrupt, Link, RingSizes, Signal, Stats};
use crate::machine::interrupts;
use crate::machine::memory::{Arena, Registers};
use crate::machine::pci::{self, Function, MAX_FUNCTIONS};
use crate::machine::virtio_mmio::{Device, MAX_DEVICES, NETWORK};

/// The most cards that are used; further ones are reported and left alone.
pub const MAX_CARDS: usize = 2;

/// A card of any kind.
pub enum AnyCard {
    /// An 82574L.
    E1000e(E1000e<Registers>),
    /// A virtio network card on PCI.
    VirtioPci(VirtioNet<PciTransport>),
    /// A virtio network card on MMIO.
    VirtioMmio(VirtioNet<MmioTransport>),
}

/// Does the same with any card.
macro_rules! each {
    ($card:expr, $bound:ident => $result:expr) => {
        match $card {
            AnyCard::E1000e($bound) => $result,
            AnyCard::VirtioPci($bound) => $result,
            AnyCard::VirtioMmio($bound) => $result,
        }
    };
}

impl Card for AnyCard {
    fn mac(&self) -> [u8; 6] {
        each!(self, card => card.mac())
    }

    fn link(&self) -> Link {
        each!(self, card => card.link())
    }

    fn received(&mut self) -> Option<Frame<'_>> {
        each!(self, card => card.received())
    }

    fn release(&mut self) {
        each!(self, card => card.release());
    }

    fn can_send(&mut self) -> bool {
        each!(self, card => card.can_send())
    }

    fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        each!(self, card => card.send(len, fill))
    }

    fn kick(&mut self) {
        each!(self, card => card.kick());
    }

    fn restock(&mut self) {
        each!(self, card => card.restock());
    }

    fn service(&mut self) {
        each!(self, card => card.service());
    }

    fn arm(&mut self, waker: &Waker) {
        each!(self, card => card.arm(waker));
    }

    fn stats(&self) -> Stats {
        each!(self, card => card.stats())
    }
}

/// PCI vendor and device of virtio network cards: transitional, and modern (virtio 1.2 §4.1.2.1).
const VIRTIO: [(u16, u16); 2] = [(0x1af4, 0x1000), (0x1af4, 0x1041)];

const NAMES: [&str; MAX_CARDS] = ["vm0", "vm1"];
const HANDLERS: [fn(); MAX_CARDS] = [|| INTERRUPTS[0].raise(), || INTERRUPTS[1].raise()];

/// What the interrupts of `vm0` and `vm1` raise. The idle loop may poll them.
pub static INTERRUPTS: [Interrupt; MAX_CARDS] = [const { Interrupt::new() }; MAX_CARDS];

/// Takes the network cards out of `functions` and `devices` and brings them up, in that order: `vm0`, `vm1`. Each
/// shares memory from `arena` with its driver, according to the `ram` that the machine has in all, in bytes. What does
/// not work is logged, with what to do about it, and so is it if there is no card at all. To be called once.
pub fn probe(
    functions: &mut Vec<Function, MAX_FUNCTIONS>,
    devices: &mut Vec<Device, MAX_DEVICES>,
    arena: &mut Arena,
    ram: u64,
) -> Vec<(&'static str, AnyCard), MAX_CARDS> {
    let mut cards = Vec::new();
    let mut found = 0;
    let rings = RingSizes::for_ram(ram);
    while let Some(at) = functions.iter().position(|function| is_card(function.id())) {
        let function = functions.remove(at);
        let Some(&name) = NAMES.get(found) else {
            log::warn!("network card at {}: not used (limit: {MAX_CARDS})", function.address());
            continue;
        };
        match open(&function, name, arena, rings, &INTERRUPTS[found], HANDLERS[found]) {
            // There is room: as many cards as names.
            Ok(card) => drop(cards.push((name, card))),
            Err(error) => log::error!("{name}: {error} (PCI {})", function.address()),
        }
        found += 1;
    }
    while let Some(at) = devices.iter().position(|device| device.id() == NETWORK) {
        let device = devices.remove(at);
        let address = device.address();
        let Some(&name) = NAMES.get(found) else {
            log::warn!("network card at {address:#x}: not used (limit: {MAX_CARDS})");
            continue;
        };
        match open_mmio(device, name, arena, rings, &INTERRUPTS[found], HANDLERS[found]) {
            Ok(card) => drop(cards.push((name, card))),
            Err(error) => log::error!("{name}: {error} (at {address:#x})"),
        }
        found += 1;
    }
    if found == 0 {
        log::error!("{}", Error::NotFound);
    }
    cards
}

fn is_card(id: (u16, u16)) -> bool {
    id == DEVICE || VIRTIO.contains(&id)
}

/// Brings up the card at `function`. `handler` is to raise `interrupt`.
pub fn open(
    function: &Function,
    name: &'static str,
    arena: &mut Arena,
    rings: RingSizes,
    interrupt: &'static Interrupt,
    handler: fn(),
) -> Result<AnyCard, Error> {
    if VIRTIO.contains(&function.id()) {
        let transport = PciTransport::new(function).map_err(|error| match error {
            pci::Error::NoCapability => Error::NotModern,
            error => Error::Pci(error),
        })?;
        let memory = allocate(arena, virtio::bytes(rings.rx, rings.tx))?;
        let vector = interrupts::allocate().map_err(Error::Interrupt)?;
        vector.call(handler);
        function.enable_msix(0, &vector).map_err(|error| match error {
            pci::Error::NoCapability => Error::NoMsix,
            error => Error::Pci(error),
        })?;
        let config = Config {
            name,
            rings,
            memory,
            signal: Signal::MsiX,
            interrupt,
        };
        return VirtioNet::new(transport, config, || function.enable_bus_master()).map(AnyCard::VirtioPci);
    }
    // On a link that saves power the 82574L can lose completions, and hang.
    function.disable_aspm();
    // SAFETY: `E1000e` has the card read and write nothing but the memory in its `Config`.
    let registers = unsafe { function.bar(0) }.map_err(Error::Pci)?;
    if registers.len() < BAR_MIN {
        return Err(Error::NoRegisters);
    }
    let memory = allocate(arena, rings.bytes())?;
    let vector = interrupts::allocate().map_err(Error::Interrupt)?;
    vector.call(handler);
    let signal = match function.enable_msix(0, &vector) {
        Ok(()) => Signal::MsiX,
        Err(_) => function.enable_msi(&vector).map(|()| Signal::Msi).map_err(Error::Pci)?,
    };
    let config = Config {
        name,
        rings,
        memory,
        signal,
        interrupt,
    };
    E1000e::new(registers, config, || function.enable_bus_master()).map(AnyCard::E1000e)
}

/// Brings up a virtio card on MMIO. `handler` is to raise `interrupt`.
fn open_mmio(
    device: Device,
    name: &'static str,
    arena: &mut Arena,
    rings: RingSizes,
    interrupt: &'static Interrupt,
    handler: fn(),
) -> Result<AnyCard, Error> {
    let memory = allocate(arena, virtio::bytes(rings.rx, rings.tx))?;
    interrupts::allocate_input(device.input(), handler).map_err(Error::Interrupt)?;
    let config = Config {
        name,
        rings,
        memory,
        signal: Signal::Msi,
        interrupt,
    };
    let transport = MmioTransport::new(device.into_registers());
    VirtioNet::new(transport, config, || {}).map(AnyCard::VirtioMmio)
}

fn allocate(arena: &mut Arena, bytes: usize) -> Result<DmaMemory, Error> {
    let memory = arena.dma(bytes, BUFFER_SIZE).map_err(|error| Error::Memory {
        needed: bytes,
        given: error.largest,
    })?;
    Ok(memory.into())
}
