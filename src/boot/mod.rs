//! From the loader to `main::start`: entry, symbols the compiler wants.

use core::arch::global_asm;

global_asm!(include_str!("entry.s"));
global_asm!(include_str!("memory.s"));
// The names by which compiled code calls the routines of memory.s.
global_asm!(
    ".section .text.boot_aliases, \"ax\", @progbits",
    ".globl memcpy, memmove, memset, memcmp, bcmp",
    ".set memcpy, postern_memcpy",
    ".set memmove, postern_memmove",
    ".set memset, postern_memset",
    ".set memcmp, postern_memcmp",
    ".set bcmp, postern_memcmp",
);

/// Called by entry.s in 64-bit mode, on the main stack, with the physical address of the PVH start info.
#[unsafe(no_mangle)]
extern "C" fn boot_start(start_info: u32) -> ! {
    crate::start(start_info)
}

/// Named by the prebuilt core for unwinding, which never happens here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Called by landing pads in unoptimised builds; nothing lands there.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("unwinding")
}
