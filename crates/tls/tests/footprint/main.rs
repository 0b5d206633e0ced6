//! The engine's use of the heap (RSA only), the stack and its caller's memory.

#[expect(unsafe_code, reason = "the global allocator")]
mod allocator;
mod heap;
mod lent;
mod pair;
#[expect(unsafe_code, reason = "painting the stack")]
mod stack;
#[path = "../support/mod.rs"]
mod support;
mod table;
