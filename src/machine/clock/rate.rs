//! The rate of the TSC, by CPUID, by the hypervisor, or measured.

use super::{TICKS, kvm, tsc};
use crate::machine::acpi::PmTimer;
use crate::machine::cpu;
use crate::machine::interrupts::{self, timer};
use core::fmt;
use x86_64::instructions::port::Port;

/// Where the rate of the TSC comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Not known yet.
    None,
    /// CPUID leaf 0x15: the ratio to a known crystal.
    Crystal,
    /// Leaf 0x40000010: the hypervisor's word.
    Hypervisor,
    /// By kvm-clock.
    Kvm,
    /// Measured against the ACPI PM timer.
    PmTimer,
    /// Measured against channel 2 of the PIT.
    Pit,
    /// CPUID leaf 0x16: the nominal frequency.
    Nominal,
    /// Measured against the local APIC's timer, whose clock is taken for 1 GHz, as in QEMU and KVM.
    Apic,
    /// Nothing to measure against: 1 GHz is a guess.
    Guess,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "not measured",
            Self::Crystal => "by CPUID",
            Self::Hypervisor => "by the hypervisor",
            Self::Kvm => "by kvm-clock",
            Self::PmTimer => "measured by the PM timer",
            Self::Pit => "measured by the PIT",
            Self::Nominal => "nominal",
            Self::Apic => "measured by the APIC timer",
            Self::Guess => "guessed",
        })
    }
}

/// Frequency of the ACPI PM timer (ACPI 6.5, 4.8.2.1).
const PM_HZ: u64 = 3_579_545;
/// Frequency of the PIT (Intel 8254).
const PIT_HZ: u64 = 1_193_182;
/// How long to measure, in microseconds.
const MEASURE: u64 = 2000;
/// How often to look at a reference that may stand still.
const POLLS_MAX: u32 = 1_000_000;
pub(super) const GHZ: u64 = 1_000_000_000;

/// The rate of the TSC, where it comes from, and that of the local APIC's timer.
pub(super) fn calibrate(pm_timer: Option<PmTimer>) -> (u64, Source, Option<u64>) {
    let reported = reported_rate();
    let apic = interrupts::is_ready();
    // The APIC's timer needs measuring in any case, unless the hypervisor reports its rate as well.
    if let Some((rate, Source::Hypervisor)) = reported {
        let bus = cpu::leaf(0x4000_0010)
            .map(|leaf| u64::from(leaf.ebx) * 1000)
            .filter(|&bus| bus != 0);
        return (rate, Source::Hypervisor, bus.filter(|_| apic).map(|bus| bus / 16));
    }
    if apic {
        timer::start_counting();
    }
    let measured = pm_timer
        .and_then(|pm_timer| measure_pm(pm_timer).map(|measured| (measured, Source::PmTimer)))
        .or_else(|| measure_pit().map(|measured| (measured, Source::Pit)));
    let result = match (reported, measured) {
        (Some((rate, source @ (Source::Crystal | Source::Kvm))), measured) => {
            let apic_rate = measured.and_then(|(measured, _)| measured.apic_rate());
            (
                rate,
                source,
                apic_rate.or_else(|| apic.then(|| measure_apic_by_tsc(rate))?),
            )
        }
        (_, Some((measured, source))) => (measured.rate, source, measured.apic_rate()),
        (Some((rate, source)), None) => (rate, source, apic.then(|| measure_apic_by_tsc(rate)).flatten()),
        (None, None) if apic => match measure_apic() {
            Some(rate) => (rate, Source::Apic, Some(GHZ / 16)),
            None => (GHZ, Source::Guess, None),
        },
        (None, None) => (GHZ, Source::Guess, None),
    };
    if apic {
        timer::stop();
    }
    (result.0, result.1, result.2.filter(|_| apic))
}

/// The rate measured once more against the PM timer, for four seconds and so to about a millionth.
pub(super) async fn refined(pm_timer: PmTimer) -> Option<u64> {
    embassy_time::Timer::after_millis(500).await;
    let start = sample(|| pm_timer.read());
    // Well within the 4.68 s in which the timer's 24 bits wrap.
    embassy_time::Timer::after_millis(4000).await;
    let end = sample(|| pm_timer.read());
    scaled(end.0 - start.0, PM_HZ, pm_timer.between(start.1, end.1))
}

/// The rate in CPUID (Intel SDM volume 3, 20.7.3; VMware's timing leaf, which KVM has as well).
fn reported_rate() -> Option<(u64, Source)> {
    if cpu::hypervisor().is_some()
        && let Some(leaf) = cpu::leaf(0x4000_0010)
        && leaf.eax != 0
    {
        return Some((u64::from(leaf.eax) * 1000, Source::Hypervisor));
    }
    if let Some(rate) = kvm::rate() {
        return Some((rate, Source::Kvm));
    }
    if let Some(leaf) = cpu::leaf(0x15)
        && leaf.eax != 0
        && let Some(rate) = scaled(leaf.ecx.into(), leaf.ebx.into(), leaf.eax.into())
    {
        return Some((rate, Source::Crystal));
    }
    let nominal = cpu::leaf(0x16)
        .map(|leaf| u64::from(leaf.eax & 0xffff) * 1_000_000)
        .filter(|&rate| rate != 0);
    nominal.map(|rate| (rate, Source::Nominal))
}

/// `value * multiplier / divisor`, if that is a plausible rate.
fn scaled(value: u64, multiplier: u64, divisor: u64) -> Option<u64> {
    plausible((u128::from(value) * u128::from(multiplier)).checked_div(divisor.into())?)
}

/// `rate`, if it is one that a TSC can have: 10 MHz to 100 GHz.
pub(super) fn plausible(rate: u128) -> Option<u64> {
    u64::try_from(rate)
        .ok()
        .filter(|rate| (10_000_000..100 * GHZ).contains(rate))
}

/// A measurement against a reference.
struct Measured {
    rate: u64,
    cycles: u64,
    /// How far the local APIC's timer counted in these cycles.
    apic: u32,
}

impl Measured {
    fn apic_rate(&self) -> Option<u64> {
        let rate = u128::from(self.apic) * u128::from(self.rate) / u128::from(self.cycles.max(1));
        u64::try_from(rate).ok().filter(|&rate| rate > TICKS)
    }
}

fn measure_pm(pm_timer: PmTimer) -> Option<Measured> {
    let wanted = PM_HZ * MEASURE / TICKS;
    let start = sample(|| pm_timer.read());
    let apic = timer::counted();
    for _ in 0..POLLS_MAX {
        if pm_timer.between(start.1, pm_timer.read()) >= wanted {
            let end = sample(|| pm_timer.read());
            let apic = timer::counted() - apic;
            let cycles = end.0 - start.0;
            let rate = scaled(cycles, PM_HZ, pm_timer.between(start.1, end.1))?;
            return Some(Measured { rate, cycles, apic });
        }
    }
    None
}

/// Channel 2 in mode 0 (8254 datasheet): its output, at bit 5 of port 0x61, rises when it has counted down.
fn measure_pit() -> Option<Measured> {
    let count = (PIT_HZ * MEASURE / TICKS) as u16;
    let [low, high] = count.to_le_bytes();
    let (mut gate, mut command, mut data) = (Port::<u8>::new(0x61), Port::<u8>::new(0x43), Port::<u8>::new(0x42));
    // SAFETY: the PC's PIT and its gate. Channel 2 beeps at the most, and the speaker is off (bit 1).
    unsafe {
        let gates = gate.read();
        if gates == 0xff {
            return None;
        }
        gate.write(gates & !3 | 1);
        command.write(0b1011_0000);
        data.write(low);
        data.write(high);
        let (start, apic) = (tsc(), timer::counted());
        // Up already: there is no PIT.
        if gate.read() & 0x20 != 0 {
            return None;
        }
        for _ in 0..POLLS_MAX {
            if gate.read() & 0x20 != 0 {
                let cycles = tsc() - start;
                let apic = timer::counted() - apic;
                let rate = scaled(cycles, PIT_HZ, count.into())?;
                return Some(Measured { rate, cycles, apic });
            }
        }
    }
    None
}

fn measure_apic() -> Option<u64> {
    let wanted = (GHZ / 16 * MEASURE / TICKS) as u32;
    let start = sample(timer::counted);
    for _ in 0..POLLS_MAX {
        if timer::counted().wrapping_sub(start.1) >= wanted {
            let end = sample(timer::counted);
            return scaled(end.0 - start.0, GHZ / 16, end.1.wrapping_sub(start.1).into());
        }
    }
    None
}

/// The rate of the local APIC's timer by the TSC, whose rate is known: where there is neither PM timer nor PIT.
fn measure_apic_by_tsc(rate: u64) -> Option<u64> {
    let wanted = rate * MEASURE / TICKS;
    let (start, apic) = (tsc(), timer::counted());
    for _ in 0..POLLS_MAX {
        core::hint::spin_loop();
        let cycles = tsc() - start;
        if cycles >= wanted {
            let apic = timer::counted() - apic;
            return Measured { rate, cycles, apic }.apic_rate();
        }
    }
    None
}

/// The TSC and a reference at the same moment: the reading that took the shortest of a few.
fn sample(read: impl Fn() -> u32) -> (u64, u32) {
    let readings = core::array::from_fn::<_, 4, _>(|_| {
        let before = tsc();
        let value = read();
        let took = tsc() - before;
        (took, before + took / 2, value)
    });
    let best = readings.iter().min_by_key(|reading| reading.0).unwrap_or(&readings[0]);
    (best.1, best.2)
}

impl PmTimer {
    fn read(&self) -> u32 {
        // SAFETY: the PM timer exists by ACPI; reading it changes nothing.
        unsafe { Port::<u32>::new(self.port).read() }
    }

    fn between(&self, start: u32, end: u32) -> u64 {
        let mask = if self.wide { u32::MAX } else { 0x00ff_ffff };
        u64::from(end.wrapping_sub(start) & mask)
    }
}

#[cfg(test)]
mod tests;
