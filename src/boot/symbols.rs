//! Symbols that compiled code and crates expect from the program.

use core::alloc::{GlobalAlloc, Layout};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::Waker;
use postern::machine::{clock, executor, panic};
use postern::memory::HeapUse;
use spinning_top::RawSpinlock;
use talc::TalcLock;
use talc::source::Claim;

#[panic_handler]
fn on_panic(info: &core::panic::PanicInfo<'_>) -> ! {
    panic::report(info)
}

/// Named by the prebuilt core for unwinding, which never happens here.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Called by landing pads in unoptimised builds; nothing lands there.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    panic!("unwinding")
}

/// A task is ready.
#[unsafe(export_name = "__pender")]
fn pender(_context: *mut ()) {
    executor::pend();
}

struct NoPreemption;
critical_section::set_impl!(NoPreemption);

// SAFETY: one CPU, and no code ever interrupts code: interrupt stubs set a flag and return, exceptions do not return
// (see `machine::descriptors`). So every section is critical by itself.
unsafe impl critical_section::Impl for NoPreemption {
    #[inline]
    unsafe fn acquire() -> critical_section::RawRestoreState {
        false
    }

    #[inline]
    unsafe fn release(_: critical_section::RawRestoreState) {}
}

/// The heap, for RSA alone: an arena of fixed size. An RSA-4096 key takes 6 KiB for good (10 KiB while it is read), a
/// signature or its verification 13 KiB for its time (measured in crates/tls/tests/footprint), and one is computed at a time.
#[global_allocator]
static HEAP: Heap = Heap {
    arena: TalcLock::new({
        static mut ARENA: [u8; ARENA_LEN] = [0; ARENA_LEN];
        // SAFETY: nothing else names the array.
        unsafe { Claim::array(&raw mut ARENA) }
    }),
    used: AtomicUsize::new(0),
    peak: AtomicUsize::new(0),
};

/// The length of the arena in bytes.
const ARENA_LEN: usize = 128 * 1024;

/// How full the heap is.
pub(crate) fn heap() -> HeapUse {
    HeapUse {
        used: HEAP.used.load(Relaxed),
        peak: HEAP.peak.load(Relaxed),
        size: ARENA_LEN,
    }
}

/// The arena, and what is taken from it.
struct Heap {
    arena: TalcLock<RawSpinlock, Claim>,
    used: AtomicUsize,
    peak: AtomicUsize,
}

// SAFETY: the arena does everything; here it is only counted.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise is ours.
        let memory = unsafe { self.arena.alloc(layout) };
        if !memory.is_null() {
            let used = self.used.fetch_add(layout.size(), Relaxed) + layout.size();
            self.peak.fetch_max(used, Relaxed);
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        self.used.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's promise is ours.
        unsafe { self.arena.dealloc(memory, layout) }
    }
}

struct Clock;

impl embassy_time_driver::Driver for Clock {
    #[inline]
    fn now(&self) -> u64 {
        clock::now()
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        clock::schedule_wake(at, waker);
    }
}

embassy_time_driver::time_driver_impl!(static CLOCK: Clock = Clock);
