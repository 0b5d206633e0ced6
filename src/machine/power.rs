//! The ways out: exit status for tests, reset, power off.

use super::acpi::{Acpi, Register, Space};
use super::memory::{Range, Registers};
use super::serial;
use core::cell::Cell;
use critical_section::Mutex;
use x86_64::instructions::port::Port;

/// The value written to QEMU's `isa-debug-exit` device at port 0xf4. QEMU then ends with status `2 * value + 1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// All went well: QEMU ends with 33.
    Success = 0x10,
    /// A panic: QEMU ends with 35.
    Panic = 0x11,
    /// A check that was asked for did not pass: QEMU ends with 37.
    Failure = 0x12,
}

/// Notes how this machine is switched off, and whether the command line promises the exit device (`exit-device`).
pub fn init(acpi: &Acpi, exit_device: bool) {
    let sleep = acpi.s5.map(|(a, b)| Sleep {
        pm1a: acpi.pm1a_control.map(|port| (port, a)),
        pm1b: acpi.pm1b_control.map(|port| (port, b)),
        register: acpi.sleep_control.map(|register| (register, a)),
    });
    critical_section::with(|cs| {
        WAYS.borrow(cs).set(Ways {
            exit_device,
            sleep,
            reset: acpi.reset,
        });
    });
}

/// Whether the tests' exit device was promised.
pub fn has_exit_device() -> bool {
    ways().exit_device
}

/// Ends the machine: with `status` where there is an exit device, else by switching it off.
pub fn exit(status: ExitStatus) -> ! {
    serial::flush();
    if ways().exit_device {
        out8(EXIT_PORT, status as u8);
    }
    poweroff()
}

/// Switches the machine off (ACPI state S5). Where that is not possible it stops.
pub fn poweroff() -> ! {
    x86_64::instructions::interrupts::disable();
    serial::flush();
    if let Some(sleep) = ways().sleep {
        // Hardware-reduced ACPI (ACPI 6.5, 4.8.3.7): SLP_TYPx in bits 2 to 4, SLP_EN is bit 5.
        if let Some((register, kind)) = sleep.register {
            write(register, kind << 2 | 1 << 5);
        }
        // PM1 control (ACPI 6.5, 4.8.3.2.1): SLP_TYPx in bits 10 to 12, SLP_EN is bit 13.
        for (port, kind) in [sleep.pm1a, sleep.pm1b].into_iter().flatten() {
            out16(port, u16::from(kind) << 10 | 1 << 13);
        }
    }
    // QEMU's q35, should there have been no ACPI tables.
    out16(0x604, 1 << 13);
    // Firecracker has nothing else, and ends by it.
    if ways().sleep.is_none() {
        out8(KEYBOARD, PULSE_RESET);
    }
    // QEMU ends a moment after these writes, on a busy host a longer one.
    for _ in 0..100 {
        wait();
    }
    serial::write("The machine cannot switch itself off. It has stopped: end it from outside.\n");
    serial::flush();
    halt()
}

/// Restarts the machine (with QEMU's `-no-reboot`: ends it).
pub fn reboot() -> ! {
    x86_64::instructions::interrupts::disable();
    serial::flush();
    if let Some((register, value)) = ways().reset {
        write(register, value);
        wait();
    }
    // The reset control register of the chipset (ICH9 datasheet, 13.7.5): a full reset.
    out8(0xcf9, 0x02);
    out8(0xcf9, 0x06);
    wait();
    // The keyboard controller's pulse on the reset line.
    out8(KEYBOARD, PULSE_RESET);
    wait();
    // A triple fault: no interrupt table, then an exception.
    let empty = x86_64::structures::DescriptorTablePointer {
        limit: 0,
        base: x86_64::VirtAddr::zero(),
    };
    // SAFETY: the machine is to fault now.
    unsafe {
        x86_64::instructions::tables::lidt(&empty);
        core::arch::asm!("ud2", options(noreturn));
    }
}

/// Stops for good, using no CPU time.
pub fn halt() -> ! {
    loop {
        x86_64::instructions::interrupts::disable();
        x86_64::instructions::hlt();
    }
}

const EXIT_PORT: u16 = 0xf4;
/// Command port of the keyboard controller (8042).
const KEYBOARD: u16 = 0x64;
/// Command: pulses the reset line.
const PULSE_RESET: u8 = 0xfe;

#[derive(Clone, Copy)]
struct Ways {
    exit_device: bool,
    sleep: Option<Sleep>,
    reset: Option<(Register, u8)>,
}

/// Where to write which sleep type for S5.
#[derive(Clone, Copy)]
struct Sleep {
    pm1a: Option<(u16, u8)>,
    pm1b: Option<(u16, u8)>,
    register: Option<(Register, u8)>,
}

static WAYS: Mutex<Cell<Ways>> = Mutex::new(Cell::new(Ways {
    exit_device: false,
    sleep: None,
    reset: None,
}));

fn ways() -> Ways {
    critical_section::with(|cs| WAYS.borrow(cs).get())
}

fn write(register: Register, value: u8) {
    match register.space {
        Space::Io => {
            if let Ok(port) = u16::try_from(register.address) {
                out8(port, value);
            }
        }
        Space::Memory => {
            let word = Range::new(register.address, register.address.saturating_add(1));
            // SAFETY: by ACPI this is the register that resets the machine or puts it to sleep.
            if let Ok(register) = unsafe { Registers::map(word) } {
                // SAFETY: mapped just now, one byte.
                unsafe { register.as_ptr().write_volatile(value) };
            }
        }
    }
}

/// Some microseconds, for a reset to take hold.
fn wait() {
    for _ in 0..10_000 {
        core::hint::spin_loop();
    }
}

fn out8(port: u16, value: u8) {
    // SAFETY: one of the ports above, which end the machine or do nothing.
    unsafe { Port::new(port).write(value) };
}

fn out16(port: u16, value: u16) {
    // SAFETY: as in `out8`.
    unsafe { Port::new(port).write(value) };
}
