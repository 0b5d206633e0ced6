//! Symbols that compiled code and crates expect somebody to define.

use core::alloc::{GlobalAlloc, Layout};
use core::task::Waker;
use postern::machine::{clock, executor, panic};

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

/// There is no heap. Crates may be built with their `alloc` features all the same, when tests are built beside the
/// image and features are united, and then want an allocator to be named; nothing of them allocates.
struct NoHeap;

#[global_allocator]
static HEAP: NoHeap = NoHeap;

// SAFETY: it gives nothing, so that nothing can be wrong with what it gives.
unsafe impl GlobalAlloc for NoHeap {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
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
