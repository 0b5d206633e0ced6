//! Deliberate faults for tests of their handlers (command line: `fault=NAME`).

use core::arch::asm;
use core::hint::black_box;

/// Causes the fault `name`, and should not return, but for `interrupt`. An unknown name does nothing.
///
/// * `panic`: panics.
/// * `null`: reads through a null pointer.
/// * `code`: writes where code is.
/// * `constant`: writes where constants are.
/// * `data`: executes data.
/// * `stack`: recurses until the stack is at its end.
/// * `divide`, `opcode`: exceptions of the CPU.
/// * `interrupt`: an interrupt at a vector that nothing uses, as soon as interrupts are let in.
pub fn provoke(name: &str) {
    static CONSTANT: u64 = 1;
    let code = provoke as fn(&str) as *const u8;
    let write = |address: *const u8| {
        // SAFETY: the page tables let nothing be written there; the fault ends in a panic.
        unsafe { asm!("mov byte ptr [{}], 0", in(reg) address, options(nostack)) }
    };
    // SAFETY: each ends in a panic, by the page tables or by the CPU itself, before anything else has happened.
    unsafe {
        match name {
            "panic" => panic!("deliberate panic"),
            "null" => asm!("mov al, byte ptr [{}]", in(reg) 0usize, out("al") _, options(nostack)),
            "code" => write(code),
            "constant" => write((&raw const CONSTANT).cast()),
            "data" => {
                let instruction = [0xc3u8; 16];
                asm!("call {}", in(reg) &raw const instruction, clobber_abi("C"));
            }
            "stack" => {
                black_box(recurse(black_box(1)));
            }
            "divide" => asm!("xor ecx, ecx", "div ecx", out("ecx") _, out("eax") _, out("edx") _),
            "opcode" => asm!("ud2"),
            "interrupt" => super::interrupts::send_to_self(0x41),
            _ => {}
        }
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == 0 { 0 } else { recurse(depth + 1) + frame[0] }
}
