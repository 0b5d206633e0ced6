//! An allocator that counts every byte, and that refuses where a test wants it to.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What one thread has on the heap.
#[derive(Clone, Copy, Default, Debug)]
pub struct Heap {
    /// Bytes now.
    pub now: isize,
    /// The most bytes at once.
    pub peak: isize,
    /// How often something was allocated.
    pub calls: usize,
}

thread_local! {
    static HEAP: Cell<Heap> = const { Cell::new(Heap { now: 0, peak: 0, calls: 0 }) };
    static REFUSES: Cell<bool> = const { Cell::new(false) };
}

struct Counting;

// SAFETY: every call is passed on to the system's allocator unchanged, or refused as an allocator may.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = HEAP.try_with(|heap| {
            let Heap { now, peak, calls } = heap.get();
            let now = now + layout.size() as isize;
            heap.set(Heap {
                now,
                peak: peak.max(now),
                calls: calls + 1,
            });
        });
        if REFUSES.try_with(Cell::get) == Ok(true) {
            return std::ptr::null_mut();
        }
        // SAFETY: the caller's promise is ours.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let _ = HEAP.try_with(|heap| {
            let mut count = heap.get();
            count.now -= layout.size() as isize;
            heap.set(count);
        });
        // SAFETY: the caller's promise is ours.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` does to the heap: what it leaves there, the most it has there, how often it asks.
pub fn measure<T>(work: impl FnOnce() -> T) -> (T, Heap) {
    HEAP.set(Heap::default());
    let result = work();
    (result, HEAP.get())
}

/// Runs `work` without a heap: an allocation ends the test program, as Rust does when it is out of memory.
pub fn refusing<T>(work: impl FnOnce() -> T) -> T {
    REFUSES.set(true);
    let result = work();
    REFUSES.set(false);
    result
}
