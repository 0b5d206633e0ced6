//! Segments, exception stacks, and the interrupt table.

use super::machine_check::{self, MachineCheck};
use super::memory::{Arena, OutOfMemory, Range};
use core::arch::{global_asm, naked_asm};
use core::cell::Cell;
use core::fmt;
use critical_section::Mutex;
use x86_64::VirtAddr;
use x86_64::instructions::segmentation::{CS, DS, ES, SS, Segment};
use x86_64::instructions::tables::load_tss;
use x86_64::registers::control::Cr2;
use x86_64::structures::gdt::{Descriptor, GlobalDescriptorTable};
use x86_64::structures::idt::InterruptDescriptorTable;
use x86_64::structures::tss::TaskStateSegment;

/// The first interrupt vector of devices; those below are exceptions.
pub(super) const FIRST_VECTOR: u8 = 32;
/// How many vectors devices (and the timer) may have.
pub(super) const VECTORS: usize = 32;
/// The first of the vectors that nothing uses. Firmware may have left a device that has one.
pub(super) const FIRST_UNUSED_VECTOR: u8 = FIRST_VECTOR + VECTORS as u8;
/// The vector of interrupts that vanished before they were taken. They are not acknowledged.
pub(super) const SPURIOUS_VECTOR: u8 = 0xff;

/// The stacks, each with an unmapped page below it.
#[derive(Debug, Clone, Copy)]
pub struct Stacks {
    /// Interrupts: nothing is ever pushed there but what the CPU pushes.
    pub interrupt: Range,
    /// Exceptions other than the two below.
    pub fault: Range,
    /// Double faults.
    pub double_fault: Range,
    /// NMI and machine checks.
    pub nmi: Range,
    /// Everything else.
    pub main: Range,
}

/// Loads segments, interrupt stacks and interrupt table of our own.
///
/// # Safety
///
/// The stacks are mapped, writable, and used by nothing else. To be called once, on the main stack.
pub unsafe fn init(arena: &mut Arena, stacks: Stacks) -> Result<(), OutOfMemory> {
    critical_section::with(|cs| STACKS.borrow(cs).set(Some(stacks)));
    // SAFETY: mapped, and far enough below what is in use; whatever runs on this stack comes later.
    unsafe { paint(below_this_frame(stacks.main)) };
    let tss = arena.value(TaskStateSegment::new())?;
    // Compiled code keeps data below the stack pointer (the red zone), where the CPU would push the interrupt frame:
    // so every vector switches stacks.
    for (index, stack) in [stacks.interrupt, stacks.fault, stacks.double_fault, stacks.nmi]
        .iter()
        .enumerate()
    {
        tss.interrupt_stack_table[index] = VirtAddr::new_truncate(stack.end);
    }
    let gdt = arena.value(GlobalDescriptorTable::new())?;
    let code = gdt.append(Descriptor::kernel_code_segment());
    let data = gdt.append(Descriptor::kernel_data_segment());
    let task = gdt.append(Descriptor::tss_segment(tss));
    gdt.load();
    // SAFETY: the selectors are of the table just loaded, of the same flat segments as before.
    unsafe {
        CS::set_reg(code);
        for set in [DS::set_reg, ES::set_reg, SS::set_reg] {
            set(data);
        }
        load_tss(task);
    }
    let idt = arena.value(InterruptDescriptorTable::new())?;
    fill(idt);
    idt.load();
    machine_check::init();
    Ok(())
}

/// Bytes of the main stack that were ever used, and its size. What a frame reserves without writing it counts only if
/// something deeper was written.
pub fn main_stack() -> (usize, usize) {
    let Some(stacks) = critical_section::with(|cs| STACKS.borrow(cs).get()) else {
        return (0, 0);
    };
    let size = stacks.main.len() as usize;
    // SAFETY: the stack is mapped.
    (size - unsafe { painted(stacks.main) }, size)
}

/// The fill pattern of unused stack. It is not zero, since buffers on the stack are full of zeroes.
const PAINT: u64 = 0x5057_5057_5057_5057;

/// The part of `stack` below the present frame, at a distance that no helper called from it reaches.
fn below_this_frame(stack: Range) -> Range {
    let frame = 0u64;
    let here = (&raw const frame).addr() as u64;
    let end = here.saturating_sub(super::memory::PAGE).clamp(stack.start, stack.end);
    Range::new(stack.start, end & !7)
}

/// Fills `range`, which begins and ends at multiples of 8.
///
/// # Safety
///
/// It is mapped, writable, and unused.
unsafe fn paint(range: Range) {
    for address in (range.start..range.end).step_by(8) {
        // SAFETY: the caller's promise; volatile, since the compiler must not reason about memory below the stack pointer.
        unsafe { (address as *mut u64).write_volatile(PAINT) };
    }
}

/// Bytes at the beginning of `range` that are as [`paint`] left them.
///
/// # Safety
///
/// The range is mapped.
unsafe fn painted(range: Range) -> usize {
    let untouched = (range.start..range.end).step_by(8).take_while(|&address| {
        // SAFETY: the caller's promise; volatile as above.
        unsafe { (address as *const u64).read_volatile() == PAINT }
    });
    8 * untouched.count()
}

/// Set by the stub of each device vector, and by nothing else; cleared by `interrupts::dispatch`.
pub(super) static PENDING: [core::sync::atomic::AtomicU8; VECTORS] =
    [const { core::sync::atomic::AtomicU8::new(0) }; VECTORS];

/// Set together with any of [`PENDING`], or with [`UNUSED`].
pub(super) static ANY_PENDING: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(0);

/// How many interrupts came in at vectors that nothing uses. The stub of those sets [`ANY_PENDING`] as well.
pub(super) static UNUSED: core::sync::atomic::AtomicU64 = core::sync::atomic::AtomicU64::new(0);

static STACKS: Mutex<Cell<Option<Stacks>>> = Mutex::new(Cell::new(None));

const IST_INTERRUPT: u16 = 0;
const IST_FAULT: u16 = 1;
const IST_DOUBLE_FAULT: u16 = 2;
const IST_NMI: u16 = 3;

/// The distance between two stubs, in bytes.
const STUB: u64 = 16;

// Device interrupts set their flags and return. They touch no register, no lock and no data but the flags: code in the
// main loop can never be interrupted by code, so there is no preemption to guard against anywhere.
global_asm!(
    ".section .text.postern_interrupt_stubs, \"ax\", @progbits",
    ".globl postern_interrupt_stubs",
    ".p2align 4",
    "postern_interrupt_stubs:",
    ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
    ".p2align 4",
    "mov byte ptr [rip + {pending} + \\n], 1",
    "mov byte ptr [rip + {any}], 1",
    "iretq",
    ".endr",
    // Exceptions leave vector, error code (0 where the CPU pushes none) and the CPU's frame to `exception`.
    ".section .text.postern_exception_stubs, \"ax\", @progbits",
    ".globl postern_exception_stubs",
    ".p2align 4",
    "postern_exception_stubs:",
    ".irp n, 0,1,2,3,4,5,6,7,9,15,16,18,19,20,22,23,24,25,26,27,28,31",
    ".org postern_exception_stubs + 16 * \\n",
    "push 0",
    "push \\n",
    "jmp {common}",
    ".endr",
    ".section .text.postern_exception_stubs_with_code, \"ax\", @progbits",
    ".globl postern_exception_stubs_with_code",
    ".p2align 4",
    "postern_exception_stubs_with_code:",
    ".irp n, 8,10,11,12,13,14,17,21,29,30",
    ".org postern_exception_stubs_with_code + 16 * \\n",
    "push \\n",
    "jmp {common}",
    ".endr",
    pending = sym PENDING,
    any = sym ANY_PENDING,
    common = sym exception_common,
);

unsafe extern "C" {
    static postern_interrupt_stubs: u8;
    static postern_exception_stubs: u8;
    static postern_exception_stubs_with_code: u8;
}

#[unsafe(naked)]
extern "C" fn exception_common() -> ! {
    naked_asm!(
        "cld",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {exception}",
        "ud2",
        exception = sym exception,
    )
}

#[unsafe(naked)]
extern "C" fn unused() {
    naked_asm!(
        "inc qword ptr [rip + {unused}]",
        "mov byte ptr [rip + {any}], 1",
        "iretq",
        unused = sym UNUSED,
        any = sym ANY_PENDING,
    )
}

#[unsafe(naked)]
extern "C" fn spurious() {
    naked_asm!("iretq")
}

fn fill(idt: &mut InterruptDescriptorTable) {
    let plain =
        |vector: u64| VirtAddr::new_truncate((&raw const postern_exception_stubs).addr() as u64 + STUB * vector);
    let coded = |vector: u64| {
        VirtAddr::new_truncate((&raw const postern_exception_stubs_with_code).addr() as u64 + STUB * vector)
    };
    let device = |index: u64| VirtAddr::new_truncate((&raw const postern_interrupt_stubs).addr() as u64 + STUB * index);
    // SAFETY: every address is that of a stub for just that vector, which returns with IRETQ or not at all; the stacks
    // are distinct, so that a fault in one handler does not run over another's frame.
    unsafe {
        idt.divide_error.set_handler_addr(plain(0)).set_stack_index(IST_FAULT);
        idt.debug.set_handler_addr(plain(1)).set_stack_index(IST_FAULT);
        idt.non_maskable_interrupt
            .set_handler_addr(plain(2))
            .set_stack_index(IST_NMI);
        idt.breakpoint.set_handler_addr(plain(3)).set_stack_index(IST_FAULT);
        idt.overflow.set_handler_addr(plain(4)).set_stack_index(IST_FAULT);
        idt.bound_range_exceeded
            .set_handler_addr(plain(5))
            .set_stack_index(IST_FAULT);
        idt.invalid_opcode.set_handler_addr(plain(6)).set_stack_index(IST_FAULT);
        idt.device_not_available
            .set_handler_addr(plain(7))
            .set_stack_index(IST_FAULT);
        idt.double_fault
            .set_handler_addr(coded(8))
            .set_stack_index(IST_DOUBLE_FAULT);
        idt.invalid_tss.set_handler_addr(coded(10)).set_stack_index(IST_FAULT);
        idt.segment_not_present
            .set_handler_addr(coded(11))
            .set_stack_index(IST_FAULT);
        idt.stack_segment_fault
            .set_handler_addr(coded(12))
            .set_stack_index(IST_FAULT);
        idt.general_protection_fault
            .set_handler_addr(coded(13))
            .set_stack_index(IST_FAULT);
        idt.page_fault.set_handler_addr(coded(14)).set_stack_index(IST_FAULT);
        idt.x87_floating_point
            .set_handler_addr(plain(16))
            .set_stack_index(IST_FAULT);
        idt.alignment_check
            .set_handler_addr(coded(17))
            .set_stack_index(IST_FAULT);
        idt.machine_check.set_handler_addr(plain(18)).set_stack_index(IST_NMI);
        idt.simd_floating_point
            .set_handler_addr(plain(19))
            .set_stack_index(IST_FAULT);
        idt.virtualization
            .set_handler_addr(plain(20))
            .set_stack_index(IST_FAULT);
        idt.cp_protection_exception
            .set_handler_addr(coded(21))
            .set_stack_index(IST_FAULT);
        idt.hv_injection_exception
            .set_handler_addr(plain(28))
            .set_stack_index(IST_FAULT);
        idt.vmm_communication_exception
            .set_handler_addr(coded(29))
            .set_stack_index(IST_FAULT);
        idt.security_exception
            .set_handler_addr(coded(30))
            .set_stack_index(IST_FAULT);
        for index in 0..VECTORS as u8 {
            idt[FIRST_VECTOR + index]
                .set_handler_addr(device(index.into()))
                .set_stack_index(IST_INTERRUPT);
        }
        let unused = VirtAddr::from_ptr(unused as *const ());
        for vector in FIRST_UNUSED_VECTOR..SPURIOUS_VECTOR {
            idt[vector].set_handler_addr(unused).set_stack_index(IST_INTERRUPT);
        }
        let spurious = VirtAddr::from_ptr(spurious as *const ());
        idt[SPURIOUS_VECTOR]
            .set_handler_addr(spurious)
            .set_stack_index(IST_INTERRUPT);
    }
}

/// The stack frame that the stubs and the CPU leave.
#[repr(C)]
#[derive(Debug)]
struct Frame {
    vector: u64,
    code: u64,
    rip: u64,
    cs: u64,
    flags: u64,
    rsp: u64,
    ss: u64,
}

extern "C" fn exception(frame: &Frame) -> ! {
    // A fault that is no page fault leaves an old address there.
    let address = Cr2::read_raw();
    let stacks = critical_section::with(|cs| STACKS.borrow(cs).get());
    let check = if frame.vector == 18 {
        machine_check::find()
    } else {
        None
    };
    let report = Report {
        frame,
        address,
        stacks,
        check,
    };
    panic!("{report}")
}

struct Report<'a> {
    frame: &'a Frame,
    address: u64,
    stacks: Option<Stacks>,
    check: Option<MachineCheck>,
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let frame = self.frame;
        if matches!(frame.vector, 8 | 14)
            && let Some(stack) = self.stacks.and_then(|stacks| stacks.guarding(self.address))
        {
            write!(f, "stack overflow ({stack} stack): ")?;
        }
        write!(f, "exception {} ({})", frame.vector, name(frame.vector))?;
        write!(
            f,
            ", error code {:#x}, rip {:#x}, rsp {:#x}",
            frame.code, frame.rip, frame.rsp
        )?;
        if frame.vector == 14 {
            let access = match frame.code {
                code if code & 16 != 0 => "execution",
                code if code & 2 != 0 => "write",
                _ => "read",
            };
            let why = if frame.code & 1 != 0 {
                "not permitted"
            } else {
                "nothing there"
            };
            write!(f, ", {access} at {:#x}: {why}", self.address)?;
        }
        if let Some(check) = self.check {
            write!(f, ", {check}")?;
        }
        // Bytes 10 and 11 of the report say where CR2 pointed, also where it need not matter.
        if frame.vector == 8 {
            write!(f, ", cr2 {:#x}", self.address)?;
        }
        Ok(())
    }
}

impl Stacks {
    /// The stack below which `address` lies, within the unmapped page.
    fn guarding(&self, address: u64) -> Option<&'static str> {
        let stacks = [
            ("interrupt", self.interrupt),
            ("fault", self.fault),
            ("double fault", self.double_fault),
            ("NMI", self.nmi),
            ("main", self.main),
        ];
        let below = |stack: Range| Range::new(stack.start - super::memory::PAGE, stack.start);
        let found = stacks
            .into_iter()
            .find(|&(_, stack)| below(stack).contains(Range::new(address, address + 1)));
        found.map(|(name, _)| name)
    }
}

/// The exceptions' names (Intel SDM volume 3, table 7-1).
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "divide error",
        1 => "debug",
        2 => "non-maskable interrupt",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range exceeded",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid TSS",
        11 => "segment not present",
        12 => "stack-segment fault",
        13 => "general protection",
        14 => "page fault",
        16 => "x87 floating-point",
        17 => "alignment check",
        18 => "machine check",
        19 => "SIMD floating-point",
        20 => "virtualization",
        21 => "control protection",
        28 => "hypervisor injection",
        29 => "VMM communication",
        30 => "security",
        _ => "reserved",
    }
}

#[cfg(test)]
mod tests;
