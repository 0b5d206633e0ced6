//! What the engine takes: of the heap, which only RSA uses, of the stack, and of its caller's memory.

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
