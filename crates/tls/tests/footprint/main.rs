//! What the engine takes: of the heap, which only RSA uses, of the stack, and of its caller's memory.

// Only what stands between the tests and the memory of the process.
#[allow(unsafe_code)]
mod allocator;
mod heap;
mod lent;
mod pair;
#[allow(unsafe_code)]
mod stack;
#[path = "../support/mod.rs"]
mod support;
mod table;
