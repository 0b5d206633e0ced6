//! Faults on purpose, so that a test can see each of them caught (command line: `fault=NAME`).

use core::hint::black_box;
use core::ptr;

/// Does what `name` says, and should not return. An unknown name does nothing.
///
/// * `panic`: panics.
/// * `null`: reads through a null pointer.
/// * `code`: writes where code is.
/// * `constant`: writes where constants are.
/// * `data`: executes data.
/// * `stack`: recurses until the stack is at its end.
/// * `divide`, `opcode`: exceptions of the CPU.
pub fn provoke(name: &str) {
    static CONSTANT: u64 = 1;
    let code = provoke as fn(&str) as *mut u8;
    // SAFETY: there is none; each is to be stopped by the page tables or the CPU, and to end in a panic.
    unsafe {
        match name {
            "panic" => panic!("a panic on purpose"),
            "null" => {
                black_box(ptr::read_volatile(black_box(ptr::null::<u8>())));
            }
            "code" => ptr::write_volatile(code, 0),
            "constant" => ptr::write_volatile((&raw const CONSTANT).cast_mut(), 0),
            "data" => {
                let mut instruction = [0xc3u8; 16];
                let data = black_box(&raw mut instruction);
                core::arch::asm!("call {}", in(reg) data, clobber_abi("C"));
            }
            "stack" => {
                black_box(recurse(black_box(1)));
            }
            "divide" => core::arch::asm!("xor ecx, ecx", "div ecx", out("ecx") _, out("eax") _, out("edx") _),
            "opcode" => core::arch::asm!("ud2"),
            _ => {}
        }
    }
}

#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    if depth == 0 { 0 } else { recurse(depth + 1) + frame[0] }
}
