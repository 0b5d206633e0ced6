//! Interrupts: local and I/O APIC, device vectors, and dispatch.
//!
//! An interrupt only sets a flag (see `descriptors`). The main loop lets interrupts in at two places alone, between
//! two rounds of tasks and while it sleeps, and then runs what belongs to the flags that are set: wakers and handlers
//! are called like any other code, never in the middle of something.
//!
//! The local APIC is used in the mode in which firmware left it: through memory (xAPIC) or MSRs (x2APIC).

use super::acpi::Acpi;
use super::descriptors::{ANY_PENDING, FIRST_UNUSED_VECTOR, FIRST_VECTOR, PENDING, SPURIOUS_VECTOR, UNUSED, VECTORS};
use super::memory::{Range, Registers};
use super::paging::MapError;
use core::cell::RefCell;
use core::fmt;
use core::sync::atomic::Ordering;
use core::task::Waker;
use critical_section::Mutex;
use embassy_sync::waitqueue::WakerRegistration;
use x86_64::instructions::port::Port;
use x86_64::registers::model_specific::Msr;

/// Why there is no interrupt to be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// There is no local APIC, or not yet.
    NoApic,
    /// There is no I/O APIC, or it has no such input.
    NoInput,
    /// The input of the I/O APIC has another interrupt.
    InputTaken,
    /// All vectors are taken.
    NoVector,
    /// The controller's registers cannot be mapped.
    Map(MapError),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoApic => f.write_str("no local APIC"),
            Self::NoInput => f.write_str("no I/O APIC input"),
            Self::InputTaken => f.write_str("its I/O APIC input is in use"),
            Self::NoVector => f.write_str("no free interrupt vector"),
            Self::Map(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for Error {}

/// An interrupt vector of a driver's own. It is never given back.
#[derive(Debug)]
pub struct Interrupt(usize);

/// The address and data that a device writes to raise an interrupt (MSI, MSI-X).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The address (Intel SDM volume 3, 12.11.1).
    pub address: u64,
    /// The data (12.11.2): the vector, edge-triggered.
    pub data: u32,
}

/// Takes a vector.
pub fn allocate() -> Result<Interrupt, Error> {
    if !is_ready() {
        return Err(Error::NoApic);
    }
    with(|state| {
        let index = state.used;
        let line = state.lines.get_mut(index).ok_or(Error::NoVector)?;
        *line = Line::new();
        state.used += 1;
        Ok(Interrupt(index))
    })
}

/// Takes a vector and has `handler` called by the main loop whenever the ISA interrupt `irq` came in.
pub fn allocate_isa(irq: u8, handler: fn()) -> Result<Interrupt, Error> {
    let input = IO_APICS.with(|io_apics| Some(io_apics.as_ref()?.isa(irq)));
    route(input.ok_or(Error::NoInput)?, handler)
}

/// Takes a vector and has `handler` called by the main loop whenever an interrupt came in at `input` of the I/O APICs,
/// edge-triggered.
pub fn allocate_input(input: u32, handler: fn()) -> Result<Interrupt, Error> {
    let edge = Input {
        number: input,
        active_low: false,
        level: false,
    };
    route(edge, handler)
}

fn route(input: Input, handler: fn()) -> Result<Interrupt, Error> {
    let interrupt = allocate()?;
    interrupt.call(handler);
    let vector = interrupt.vector();
    IO_APICS.with(|io_apics| io_apics.as_ref().ok_or(Error::NoInput)?.route(input, vector))?;
    Ok(interrupt)
}

impl Interrupt {
    /// Has `waker` woken when the interrupt comes in next. The last one registered counts.
    pub fn register(&self, waker: &Waker) {
        with(|state| {
            if let Some(line) = state.lines.get_mut(self.0) {
                line.waker.register(waker);
            }
        });
    }

    /// Has `handler` called, by the main loop, whenever the interrupt came in.
    pub fn call(&self, handler: fn()) {
        with(|state| {
            if let Some(line) = state.lines.get_mut(self.0) {
                line.handler = Some(handler);
            }
        });
    }

    /// How often it came in (several times between two rounds of the main loop count once).
    pub fn count(&self) -> u64 {
        with(|state| state.lines.get(self.0).map_or(0, |line| line.count))
    }

    /// The data for the device to write.
    pub fn message(&self) -> Message {
        Message {
            address: 0xfee0_0000 | u64::from(apic_id() & 0xff) << 12,
            data: self.vector().into(),
        }
    }

    /// The vector's number.
    pub fn vector(&self) -> u8 {
        FIRST_VECTOR + self.0 as u8
    }
}

/// Sets the local APIC up, masks all inputs of the I/O APICs, and silences the old interrupt controllers.
pub fn init(acpi: &Acpi) -> Result<(), Error> {
    // SAFETY: the PC's two 8259A: all inputs masked (OCW1).
    unsafe {
        Port::<u8>::new(0x21).write(0xff);
        Port::<u8>::new(0xa1).write(0xff);
    }
    if super::cpu::leaf(1).is_none_or(|leaf| leaf.edx >> 9 & 1 == 0) {
        return Err(Error::NoApic);
    }
    // SAFETY: the CPU has an APIC, so it has this MSR.
    let base = unsafe { Msr::new(IA32_APIC_BASE).read() };
    let lapic = if base & APIC_BASE_X2APIC != 0 {
        LocalApic::Msr
    } else {
        let start = base & 0x000f_ffff_ffff_f000;
        // SAFETY: the APIC's registers, by its own word. An APIC touches no memory.
        let registers = unsafe { Registers::map(Range::new(start, start + 0x1000)) }.map_err(Error::Map)?;
        // SAFETY: switching it on, where it is.
        unsafe { Msr::new(IA32_APIC_BASE).write(base | APIC_BASE_ENABLE) };
        LocalApic::Memory(registers)
    };
    LOCAL_APIC.set(Some(lapic));
    for input in [LVT_TIMER, LVT_LINT0, LVT_ERROR] {
        write(input, LVT_MASKED);
    }
    // NMI ends in a panic with the location: for one that hangs (`nmi` in QEMU's monitor).
    write(LVT_LINT1, LVT_NMI);
    write(TASK_PRIORITY, 0);
    write(SPURIOUS, SPURIOUS_ENABLE | u32::from(SPURIOUS_VECTOR));
    let mut all = heapless::Vec::new();
    for io_apic in &acpi.io_apics {
        let start = u64::from(io_apic.address);
        // SAFETY: the I/O APIC's registers, by ACPI's word. An I/O APIC touches no memory.
        let registers = unsafe { Registers::map(Range::new(start, start + 0x20)) }.map_err(Error::Map)?;
        // There is room: as many as ACPI's.
        let _ = all.push((io_apic.first_input, registers));
    }
    if all.is_empty() {
        // SAFETY: where a PC without ACPI has its only I/O APIC (MultiProcessor Specification 1.4, 3.6.6).
        let registers = unsafe { Registers::map(Range::new(IO_APIC, IO_APIC + 0x20)) };
        if let Some(registers) = registers.ok().filter(is_io_apic) {
            let _ = all.push((0, registers));
        }
    }
    for (_, registers) in &all {
        // Firmware may have left inputs that interrupt.
        mask_all(registers);
    }
    IO_APICS.set(Some(IoApics {
        all,
        overrides: acpi.overrides.clone(),
    }));
    Ok(())
}

/// Interrupts that came in at vectors that nothing uses: how many, and the vector of the last one that the local APIC
/// delivered.
pub fn unexpected() -> (u64, Option<u8>) {
    let (count, last) = with(|state| (state.unexpected, state.last_unexpected));
    (count + UNUSED.load(Ordering::Relaxed), last)
}

/// Has the local APIC interrupt at `vector`: for a test.
pub(super) fn send_to_self(vector: u8) {
    write(COMMAND, COMMAND_TO_SELF | u32::from(vector));
}

/// Lets interrupts in that are waiting, for a moment.
#[inline]
pub(super) fn window() {
    // SAFETY: interrupts only set flags. NOP: interrupts come in after the instruction that follows STI.
    unsafe { core::arch::asm!("sti", "nop", "cli", options(nostack)) };
}

/// Sleeps until an interrupt came in. One that came before is not missed: STI takes effect after HLT has begun.
#[inline]
pub(super) fn sleep() {
    // SAFETY: as in `window`.
    unsafe { core::arch::asm!("sti", "hlt", "cli", options(nostack)) };
}

/// Acknowledges what came in, wakes and calls what waits for it. Returns whether there was any from a device, rather than
/// from the timer.
pub(super) fn dispatch() -> bool {
    if ANY_PENDING.load(Ordering::Relaxed) == 0 {
        return false;
    }
    // No interrupt comes in between: they are masked here.
    ANY_PENDING.store(0, Ordering::Relaxed);
    acknowledge_unused();
    let mut any = false;
    for (index, pending) in PENDING.iter().enumerate() {
        if pending.load(Ordering::Relaxed) == 0 {
            continue;
        }
        pending.store(0, Ordering::Relaxed);
        write(END_OF_INTERRUPT, 0);
        let handler = with(|state| {
            let line = state.lines.get_mut(index)?;
            if index >= state.used {
                state.unexpected += 1;
                state.last_unexpected = Some(FIRST_VECTOR + index as u8);
            }
            line.count += 1;
            line.waker.wake();
            line.handler
        });
        if let Some(handler) = handler {
            handler();
        }
        any |= index != TIMER;
    }
    any
}

/// Acknowledges what came in at vectors that nothing uses. Only what the local APIC delivered is in service there: the
/// stub cannot know, and an acknowledgement too many would be another interrupt's.
fn acknowledge_unused() {
    let acknowledged = UNUSED.load(Ordering::Relaxed);
    if with(|state| core::mem::replace(&mut state.unused_seen, acknowledged)) == acknowledged {
        return;
    }
    for vector in in_service(read) {
        // The highest one is acknowledged first, and what devices have comes below.
        write(END_OF_INTERRUPT, 0);
        with(|state| state.last_unexpected = Some(vector));
    }
}

/// The unused vectors that are in service, by the registers that `read` reads.
fn in_service(read: impl Fn(usize) -> u32) -> impl Iterator<Item = u8> {
    let words: [u32; 8] = core::array::from_fn(|word| match word {
        // Vectors below have handlers of their own.
        0..2 => 0,
        _ => read(IN_SERVICE + 16 * word),
    });
    let unused = FIRST_UNUSED_VECTOR..SPURIOUS_VECTOR;
    unused.filter(move |&vector| words[usize::from(vector / 32)] >> (vector % 32) & 1 == 1)
}

/// The timer of the local APIC.
pub(super) mod timer {
    use super::*;

    /// Lets it count down from `count`, in the APIC's clock divided by 16, to one interrupt.
    pub(in crate::machine) fn start(count: u32) {
        write(TIMER_DIVIDE, DIVIDE_BY_16);
        write(LVT_TIMER, u32::from(FIRST_VECTOR) + TIMER as u32);
        write(TIMER_INITIAL, count);
    }

    /// Prepares it for [`start_deadline`].
    pub(in crate::machine) fn use_deadline() {
        write(LVT_TIMER, LVT_TSC_DEADLINE | (u32::from(FIRST_VECTOR) + TIMER as u32));
    }

    /// An interrupt when the TSC reaches `tsc`.
    pub(in crate::machine) fn start_deadline(tsc: u64) {
        // SAFETY: only called where CPUID has TSC_DEADLINE (`clock`).
        unsafe { Msr::new(IA32_TSC_DEADLINE).write(tsc) };
    }

    /// Lets it count down from the top without an interrupt, to see how fast it is.
    pub(in crate::machine) fn start_counting() {
        write(TIMER_DIVIDE, DIVIDE_BY_16);
        write(LVT_TIMER, LVT_MASKED);
        write(TIMER_INITIAL, u32::MAX);
    }

    /// How far it has counted since [`start_counting`].
    pub(in crate::machine) fn counted() -> u32 {
        u32::MAX - read(TIMER_CURRENT)
    }

    /// Stops it.
    pub(in crate::machine) fn stop() {
        write(TIMER_INITIAL, 0);
    }
}

/// Whether there is a local APIC in use.
pub(super) fn is_ready() -> bool {
    LOCAL_APIC.with(|lapic| lapic.is_some())
}

/// The line of the timer. It takes no part in the allocation.
const TIMER: usize = VECTORS - 1;

struct Line {
    waker: WakerRegistration,
    handler: Option<fn()>,
    count: u64,
}

impl Line {
    const fn new() -> Self {
        Self {
            waker: WakerRegistration::new(),
            handler: None,
            count: 0,
        }
    }
}

struct State {
    lines: [Line; TIMER],
    used: usize,
    /// Interrupts for lines that are not used.
    unexpected: u64,
    /// [`UNUSED`] when it was last looked at.
    unused_seen: u64,
    last_unexpected: Option<u8>,
}

static STATE: Mutex<RefCell<State>> = Mutex::new(RefCell::new(State {
    lines: [const { Line::new() }; TIMER],
    used: 0,
    unexpected: 0,
    unused_seen: 0,
    last_unexpected: None,
}));

fn with<R>(f: impl FnOnce(&mut State) -> R) -> R {
    critical_section::with(|cs| f(&mut STATE.borrow_ref_mut(cs)))
}

/// Something that is set once, at boot.
struct Once<T>(Mutex<RefCell<Option<T>>>);

impl<T> Once<T> {
    const fn new() -> Self {
        Self(Mutex::new(RefCell::new(None)))
    }

    fn set(&self, value: Option<T>) {
        critical_section::with(|cs| *self.0.borrow_ref_mut(cs) = value);
    }

    fn with<R>(&self, f: impl FnOnce(&Option<T>) -> R) -> R {
        critical_section::with(|cs| f(&self.0.borrow_ref(cs)))
    }
}

static LOCAL_APIC: Once<LocalApic> = Once::new();
static IO_APICS: Once<IoApics> = Once::new();

/// How the local APIC is reached.
enum LocalApic {
    Memory(Registers),
    Msr,
}

const IA32_APIC_BASE: u32 = 0x1b;
const APIC_BASE_X2APIC: u64 = 1 << 10;
const APIC_BASE_ENABLE: u64 = 1 << 11;
const IA32_TSC_DEADLINE: u32 = 0x6e0;
/// MSR of the register at offset 0 (Intel SDM volume 3, 12.12.1.2); the next is that at offset 16.
const X2APIC_MSR: u32 = 0x800;

// Registers of the local APIC, as offsets (Intel SDM volume 3, table 12-1).
const ID: usize = 0x20;
const TASK_PRIORITY: usize = 0x80;
const END_OF_INTERRUPT: usize = 0xb0;
const SPURIOUS: usize = 0xf0;
/// Eight registers, 16 bytes apart, with a bit for each vector.
const IN_SERVICE: usize = 0x100;
const COMMAND: usize = 0x300;
const LVT_TIMER: usize = 0x320;
const LVT_LINT0: usize = 0x350;
const LVT_LINT1: usize = 0x360;
const LVT_ERROR: usize = 0x370;
const TIMER_INITIAL: usize = 0x380;
const TIMER_CURRENT: usize = 0x390;
const TIMER_DIVIDE: usize = 0x3e0;

const COMMAND_TO_SELF: u32 = 1 << 18;
const LVT_NMI: u32 = 0b100 << 8;
const LVT_MASKED: u32 = 1 << 16;
const LVT_TSC_DEADLINE: u32 = 2 << 17;
const SPURIOUS_ENABLE: u32 = 1 << 8;
const DIVIDE_BY_16: u32 = 0b0011;

fn read(register: usize) -> u32 {
    LOCAL_APIC.with(|lapic| match lapic {
        Some(LocalApic::Memory(registers)) => registers.read(register),
        // SAFETY: a register of the APIC, which is in x2APIC mode.
        Some(LocalApic::Msr) => unsafe { Msr::new(X2APIC_MSR + (register >> 4) as u32).read() as u32 },
        None => 0,
    })
}

fn write(register: usize, value: u32) {
    LOCAL_APIC.with(|lapic| match lapic {
        Some(LocalApic::Memory(registers)) => registers.write(register, value),
        // SAFETY: as in `read`; what is written here makes interrupts for vectors that have a stub, and nothing else.
        Some(LocalApic::Msr) => unsafe { Msr::new(X2APIC_MSR + (register >> 4) as u32).write(value.into()) },
        None => {}
    });
}

fn apic_id() -> u32 {
    let id = read(ID);
    LOCAL_APIC.with(|lapic| {
        if matches!(lapic, Some(LocalApic::Msr)) {
            id
        } else {
            id >> 24
        }
    })
}

/// The I/O APIC's registers (Intel 82093AA datasheet): one at a time, chosen by an index and seen through a window.
trait Indexed {
    fn read(&self, register: u32) -> u32;
    fn write(&self, register: u32, value: u32);
}

impl Indexed for Registers {
    fn read(&self, register: u32) -> u32 {
        self.write(INDEX, register);
        self.read(WINDOW)
    }

    fn write(&self, register: u32, value: u32) {
        self.write(INDEX, register);
        self.write(WINDOW, value);
    }
}

/// Address of the first I/O APIC of a PC.
const IO_APIC: u64 = 0xfec0_0000;
const INDEX: usize = 0x00;
const WINDOW: usize = 0x10;
const VERSION: u32 = 0x01;
/// Two registers for each input.
const REDIRECTION: u32 = 0x10;
const REDIRECTION_MASKED: u32 = 1 << 16;
/// The last input that there can be: the index has eight bits.
const MAX_INPUT: u32 = (0xff - REDIRECTION) / 2;

fn last_input(io_apic: &impl Indexed) -> u32 {
    (io_apic.read(VERSION) >> 16 & 0xff).min(MAX_INPUT)
}

/// Whether there is one: versions are 0x10 to 0x2f, and where nothing answers all bits are ones or zeros.
fn is_io_apic(registers: &Registers) -> bool {
    let io_apic: &dyn Indexed = registers;
    (0x10..0x30).contains(&(io_apic.read(VERSION) & 0xff))
}

/// Masks all inputs.
fn mask_all(io_apic: &impl Indexed) {
    for input in 0..=last_input(io_apic) {
        io_apic.write(REDIRECTION + 2 * input, REDIRECTION_MASKED);
    }
}

/// An input of the I/O APICs, numbered through all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Input {
    number: u32,
    active_low: bool,
    level: bool,
}

/// The I/O APICs, each with the number of its first input.
struct IoApics<R = Registers> {
    all: heapless::Vec<(u32, R), { super::acpi::MAX_IO_APICS }>,
    overrides: heapless::Vec<super::acpi::Override, { super::acpi::MAX_OVERRIDES }>,
}

impl<R: Indexed> IoApics<R> {
    /// The input of an ISA interrupt.
    fn isa(&self, irq: u8) -> Input {
        let found = self.overrides.iter().find(|o| o.irq == irq);
        found.map_or(
            Input {
                number: irq.into(),
                active_low: false,
                level: false,
            },
            |o| Input {
                number: o.input,
                active_low: o.active_low,
                level: o.level,
            },
        )
    }

    fn route(&self, input: Input, vector: u8) -> Result<(), Error> {
        let own = |(first, io_apic): &(u32, R)| {
            let own = input.number.checked_sub(*first)?;
            (own <= last_input(io_apic)).then_some(own)
        };
        let mut found = self.all.iter().filter_map(|each| Some((own(each)?, &each.1)));
        let (own, io_apic) = found.next().ok_or(Error::NoInput)?;
        let register = REDIRECTION + 2 * own;
        if io_apic.read(register) & REDIRECTION_MASKED == 0 {
            return Err(Error::InputTaken);
        }
        let entry = u32::from(vector) | u32::from(input.active_low) << 13 | u32::from(input.level) << 15;
        io_apic.write(register + 1, apic_id() << 24);
        io_apic.write(register, entry);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
