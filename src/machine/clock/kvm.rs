//! KVM's clock for its guests (kvm-clock): the date, and the rate of the TSC.
//!
//! The registers and structures are those of Linux's Documentation/virt/kvm/x86/msr.rst. The date is the time at which
//! KVM started this machine's clock, which it updates at each request, plus what that clock shows now. It is the
//! host's own date, also after the machine was stopped, suspended or saved.

use super::rate::plausible;
use crate::machine::cpu;
use crate::machine::memory::physical;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use x86_64::registers::model_specific::Msr;

/// `MSR_KVM_WALL_CLOCK_NEW`: where KVM is to write the time of the start.
const WALL_CLOCK: u32 = 0x4b56_4d00;
/// `MSR_KVM_SYSTEM_TIME_NEW`: where KVM is to write the parameters of the clock. Bit 0 switches it on.
const SYSTEM_TIME: u32 = 0x4b56_4d01;
/// The bit of CPUID leaf 0x40000001, EAX: both registers exist (`KVM_FEATURE_CLOCKSOURCE2`). Bit 0
/// stands for their predecessors, which are deprecated. Bit 24 is about several CPUs, and here is one.
const CLOCKSOURCE2: u32 = 1 << 3;
/// How often to read a structure that changes under the reader. KVM writes while this CPU does not run.
const ATTEMPTS: u32 = 8;
const NANOS: u64 = 1_000_000_000;

/// The structures that KVM writes. The alignment keeps each structure within a page.
#[repr(C, align(64))]
struct Shared {
    /// `pvclock_vcpu_time_info`
    time: [AtomicU32; 8],
    /// `pvclock_wall_clock`
    wall: [AtomicU32; 3],
}

static SHARED: Shared = Shared {
    time: [const { AtomicU32::new(0) }; 8],
    wall: [const { AtomicU32::new(0) }; 3],
};
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Switches the clock on where KVM offers it.
pub(super) fn init() {
    let features = cpu::leaf(0x4000_0001).map_or(0, |leaf| leaf.eax);
    if !cpu::hypervisor().is_some_and(|name| is_offered(name.as_str(), features)) {
        return;
    }
    let address = physical(&raw const SHARED.time);
    // SAFETY: KVM has the register, by its own word, and writes to this structure alone, which is there for good.
    unsafe { Msr::new(SYSTEM_TIME).write(address | 1) };
    IS_ON.store(true, Ordering::Relaxed);
}

fn is_offered(hypervisor: &str, features: u32) -> bool {
    hypervisor == "KVMKVMKVM" && features & CLOCKSOURCE2 != 0
}

/// Microseconds since 1970, UTC. `None` without this clock, or if what it shows cannot be.
pub(super) fn date() -> Option<u64> {
    if !IS_ON.load(Ordering::Relaxed) {
        return None;
    }
    // SAFETY: as in `init`.
    unsafe { Msr::new(WALL_CLOCK).write(physical(&raw const SHARED.wall)) };
    let ([_, seconds, nanos], _) = snapshot(|word| load(&SHARED.wall, word), super::tsc)?;
    let (time, tsc) = snapshot(|word| load(&SHARED.time, word), super::tsc)?;
    date_of(seconds, nanos, &Parameters::of(time)?, tsc)
}

/// The rate of the TSC in Hz, likewise.
pub(super) fn rate() -> Option<u64> {
    if !IS_ON.load(Ordering::Relaxed) {
        return None;
    }
    let (time, _) = snapshot(|word| load(&SHARED.time, word), super::tsc)?;
    Parameters::of(time).map(|parameters| parameters.rate)
}

fn load(words: &[AtomicU32], word: usize) -> u32 {
    words.get(word).map_or(0, |word| word.load(Ordering::Acquire))
}

/// The words of a structure, and the TSC at which they held. The first is a version: odd while the others are written,
/// another one afterwards, 0 before they ever were.
fn snapshot<const N: usize>(mut load: impl FnMut(usize) -> u32, tsc: impl Fn() -> u64) -> Option<([u32; N], u64)> {
    for _ in 0..ATTEMPTS {
        let words = core::array::from_fn(&mut load);
        let (version, tsc) = (*words.first()?, tsc());
        if version != 0 && version.is_multiple_of(2) && load(0) == version {
            return Some((words, tsc));
        }
        core::hint::spin_loop();
    }
    None
}

fn date_of(seconds: u32, nanos: u32, clock: &Parameters, tsc: u64) -> Option<u64> {
    if u64::from(nanos) >= NANOS {
        return None;
    }
    let start = u64::from(seconds) * NANOS + u64::from(nanos);
    Some(start.checked_add(clock.nanos(tsc)?)? / 1000)
}

/// How the TSC becomes time.
#[derive(Debug, PartialEq, Eq)]
struct Parameters {
    tsc: u64,
    /// Nanoseconds of the clock at that TSC.
    nanos: u64,
    /// Nanoseconds a cycle, times 2^(32 - `shift`).
    factor: u32,
    shift: i8,
    /// Cycles a second.
    rate: u64,
}

impl Parameters {
    /// Those of a `pvclock_vcpu_time_info`, if there can be such a clock.
    fn of([_version, _, tsc_low, tsc_high, nanos_low, nanos_high, factor, rest]: [u32; 8]) -> Option<Self> {
        let shift = rest.to_le_bytes()[0] as i8;
        // 1 s = rate * 2^shift * factor / 2^32
        let bits = 32i32.checked_sub(shift.into()).filter(|bits| (0..=64).contains(bits))?;
        let rate = (u128::from(NANOS) << bits).checked_div(factor.into())?;
        Some(Self {
            tsc: u64::from(tsc_high) << 32 | u64::from(tsc_low),
            nanos: u64::from(nanos_high) << 32 | u64::from(nanos_low),
            factor,
            shift,
            rate: plausible(rate)?,
        })
    }

    fn nanos(&self, tsc: u64) -> Option<u64> {
        let cycles = u128::from(tsc.saturating_sub(self.tsc));
        let distance = u32::from(self.shift.unsigned_abs());
        // Less than 2^96, for the shift is at most 32.
        let scaled = if self.shift < 0 {
            cycles >> distance
        } else {
            cycles << distance
        };
        u64::try_from((scaled * u128::from(self.factor)) >> 32)
            .ok()?
            .checked_add(self.nanos)
    }
}

#[cfg(test)]
mod tests;
