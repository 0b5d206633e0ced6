//! The panic handler: report, then halt, reset, or exit for the tests.

use super::power::{self, ExitStatus};
use super::serial;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// The action after the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The machine stops, so that the message can be read.
    #[default]
    Halt,
    /// The machine restarts.
    Reset,
}

/// Sets what happens after a panic. With the tests' exit device, [`ExitStatus::Panic`] comes before either.
pub fn set_policy(policy: Policy) {
    RESET.store(policy == Policy::Reset, Ordering::Relaxed);
}

/// The panic handler: message and location to console and log ring, then the action of the policy.
pub fn report(info: &PanicInfo<'_>) -> ! {
    x86_64::instructions::interrupts::disable();
    if PANICKING.swap(true, Ordering::Relaxed) {
        serial::write_panic("\npanic within a panic\n");
    } else {
        // The location of an exception is this project's own handler, which adds nothing to the message.
        let _ = write!(Console, "\npanic: {}", info.message());
        if let Some(location) = info.location() {
            let _ = write!(Console, "\n  at {location}");
        }
        let _ = Console.write_str("\n");
        crate::log::panicked(info);
    }
    if power::has_exit_device() {
        power::exit(ExitStatus::Panic);
    }
    if RESET.load(Ordering::Relaxed) {
        power::reboot();
    }
    power::halt()
}

static RESET: AtomicBool = AtomicBool::new(false);
static PANICKING: AtomicBool = AtomicBool::new(false);

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        serial::write_panic(text);
        Ok(())
    }
}
