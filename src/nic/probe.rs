//! The search for cards on PCI, and their resources.

use heapless::Vec;

use super::e1000e::DEVICE;
use super::regs::BAR_MIN;
use super::{BUFFER_SIZE, Config, E1000e, Error, Interrupt, RingSizes, Signal};
use crate::machine::interrupts;
use crate::machine::memory::{Arena, Registers};
use crate::machine::pci::{Function, MAX_FUNCTIONS};

/// The most cards that are used; further ones are reported and left alone.
pub const MAX_CARDS: usize = 2;

/// A card on PCI.
pub type PciCard = E1000e<Registers>;

const NAMES: [&str; MAX_CARDS] = ["vm0", "vm1"];
const HANDLERS: [fn(); MAX_CARDS] = [|| INTERRUPTS[0].raise(), || INTERRUPTS[1].raise()];

/// What the interrupts of `vm0` and `vm1` raise. The idle loop may poll them.
pub static INTERRUPTS: [Interrupt; MAX_CARDS] = [const { Interrupt::new() }; MAX_CARDS];

/// Takes the network cards out of `functions` and brings them up, in the order of their places: `vm0`, `vm1`. Each
/// shares memory from `arena` with its driver, according to the `ram` that the machine has in all, in bytes. What does
/// not work is logged, with what to do about it, and so is it if there is no card at all. To be called once.
pub fn probe(
    functions: &mut Vec<Function, MAX_FUNCTIONS>,
    arena: &mut Arena,
    ram: u64,
) -> Vec<(&'static str, PciCard), MAX_CARDS> {
    let mut cards = Vec::new();
    let mut found = 0;
    while let Some(at) = functions.iter().position(|function| function.id() == DEVICE) {
        let function = functions.remove(at);
        let Some(&name) = NAMES.get(found) else {
            log::warn!("network card at {}: not used (limit: {MAX_CARDS})", function.address());
            continue;
        };
        match open(
            &function,
            name,
            arena,
            RingSizes::for_ram(ram),
            &INTERRUPTS[found],
            HANDLERS[found],
        ) {
            // There is room: as many cards as names.
            Ok(card) => drop(cards.push((name, card))),
            Err(error) => log::error!("{name}: {error} (PCI {})", function.address()),
        }
        found += 1;
    }
    if found == 0 {
        log::error!("{}", Error::NotFound);
    }
    cards
}

/// Brings up the card at `function`. `handler` is to raise `interrupt`.
pub fn open(
    function: &Function,
    name: &'static str,
    arena: &mut Arena,
    rings: RingSizes,
    interrupt: &'static Interrupt,
    handler: fn(),
) -> Result<PciCard, Error> {
    // On a link that saves power the 82574L can lose completions, and hang.
    function.disable_aspm();
    // SAFETY: `E1000e` has the card read and write nothing but the memory in its `Config`.
    let registers = unsafe { function.bar(0) }.map_err(Error::Pci)?;
    if registers.len() < BAR_MIN {
        return Err(Error::NoRegisters);
    }
    let memory = arena.dma(rings.bytes(), BUFFER_SIZE).map_err(|error| Error::Memory {
        needed: rings.bytes(),
        given: error.largest,
    })?;
    let vector = interrupts::allocate().map_err(Error::Interrupt)?;
    vector.call(handler);
    let signal = match function.enable_msix(0, &vector) {
        Ok(()) => Signal::MsiX,
        Err(_) => function.enable_msi(&vector).map(|()| Signal::Msi).map_err(Error::Pci)?,
    };
    let config = Config {
        name,
        rings,
        memory: memory.into(),
        signal,
        interrupt,
    };
    E1000e::new(registers, config, || function.enable_bus_master())
}
