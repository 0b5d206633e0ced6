//! Time: the TSC as the clock, the local APIC's timer as the alarm, the RTC for the date.
//!
//! The TSC's rate is taken from CPUID where the CPU or the hypervisor tells it, else it is measured for two
//! milliseconds at boot against the ACPI PM timer or the PIT, and once more, at leisure, by [`maintain`].
//! The date is read at boot and, by [`maintain`], once a minute: the TSC need not count while the machine is stopped,
//! suspended or saved in a snapshot.

use super::acpi::{Acpi, PmTimer};
use super::interrupts::{self, timer};
use super::{cpu, rtc};
use core::arch::x86_64::_rdtsc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::Waker;
use critical_section::Mutex;
use date::Epoch;
use embassy_time_queue_utils::Queue;
use x86_64::instructions::port::Port;

mod date;

/// Ticks of the clock in a second: the tick is the microsecond.
pub const TICKS: u64 = 1_000_000;
/// Seconds since 1970 at which this was built.
pub const BUILT: u64 = parse(env!("POSTERN_BUILD_TIME"));
/// How far behind the build the date may be without being called wrong, in seconds: clocks that run on local time.
pub const TOLERANCE: u64 = 24 * 60 * 60;

/// Where the rate of the TSC comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Not known yet.
    None,
    /// CPUID leaf 0x15: the ratio to a known crystal.
    Crystal,
    /// Leaf 0x40000010: the hypervisor's word.
    Hypervisor,
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
            Self::PmTimer => "measured by the PM timer",
            Self::Pit => "measured by the PIT",
            Self::Nominal => "nominal",
            Self::Apic => "measured by the APIC timer",
            Self::Guess => "guessed",
        })
    }
}

/// The date cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateError {
    /// There is no real-time clock, or it does not hold a date.
    NoClock,
    /// The date, in seconds since 1970, lies before the build's own.
    BeforeBuild(u64),
}

impl fmt::Display for DateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoClock => f.write_str("there is no clock with a date"),
            Self::BeforeBuild(now) => write!(
                f,
                "the clock is wrong: {} is before this was built",
                rtc::Date::of(*now)
            ),
        }
    }
}

impl core::error::Error for DateError {}

/// Starts the clock at 0, sets the alarm up, and reads the date.
pub fn init(acpi: &Acpi) {
    let pm_timer = acpi.pm_timer;
    let (rate, source, apic) = calibrate(pm_timer);
    let deadline = interrupts::is_ready() && cpu::has("tsc_deadline");
    if deadline {
        timer::use_deadline();
    }
    change(|clock| {
        *clock = Clock {
            scale: Scale::new(tsc(), 0, rate),
            rate,
            source,
            pm_timer,
            alarm: if deadline {
                Alarm::Deadline
            } else {
                apic.map_or(Alarm::None, Alarm::Apic)
            },
            date: None,
            century: acpi.century,
        };
    });
    let date = read_date();
    change(|clock| clock.date = date);
}

/// Microseconds since the clock was started; 0 before that.
#[inline]
pub fn now() -> u64 {
    clock().scale.ticks(tsc())
}

/// Seconds since 1970, UTC (or whatever the RTC is set to).
pub fn unix_time() -> Result<u64, DateError> {
    let date = clock().date.ok_or(DateError::NoClock)?;
    judge(date.at(now()))
}

/// The rate of the TSC in Hz, and where it comes from.
pub fn rate() -> (u64, Source) {
    let clock = clock();
    (clock.rate, clock.source)
}

/// The TSC itself.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: every CPU with 64-bit mode has it, and nothing forbids it here.
    unsafe { _rdtsc() }
}

/// Measures the rate of the TSC once more, then follows the RTC. To be run as a task.
pub async fn maintain() {
    refine().await;
    // Without an RTC at boot there is none to look for later: each look takes long where nothing responds.
    while clock().date.is_some() {
        embassy_time::Timer::after_secs(DATE_INTERVAL).await;
        if let Some(reading) = read_date() {
            change(|clock| clock.date = clock.date.map(|date| date.advanced_to(reading)));
        }
    }
}

fn read_date() -> Option<Epoch> {
    let seconds = rtc::read(clock().century)?;
    Some(Epoch { seconds, uptime: now() })
}

/// Measures the TSC once more against the PM timer, for four seconds and so to about a millionth, where the first
/// measurement was a short one.
async fn refine() {
    let Some(pm_timer) = clock().pm_timer.filter(|_| clock().source == Source::PmTimer) else {
        return;
    };
    embassy_time::Timer::after_millis(500).await;
    let start = sample(|| pm_timer.read());
    // Well within the 4.68 s in which the timer's 24 bits wrap.
    embassy_time::Timer::after_millis(4000).await;
    let end = sample(|| pm_timer.read());
    let cycles = end.0 - start.0;
    let Some(rate) = scaled(cycles, PM_HZ, pm_timer.between(start.1, end.1)) else {
        return;
    };
    change(|clock| {
        // A change of more than a percent is not a refinement: something stopped one of the two clocks meanwhile.
        if rate.abs_diff(clock.rate) < clock.rate / 100 {
            let tsc = tsc();
            clock.scale = Scale::new(tsc, clock.scale.ticks(tsc), rate);
            clock.rate = rate;
        }
    });
}

/// Schedules `waker` to be woken at `at` (microseconds). For the time driver.
pub fn schedule_wake(at: u64, waker: &Waker) {
    critical_section::with(|cs| {
        let mut timers = TIMERS.borrow_ref_mut(cs);
        if timers.queue.schedule_wake(at, waker) {
            // Looking for the earliest takes time with every timer there is; this suffices.
            timers.next = timers.next.min(at);
        }
    });
}

/// Wakes whose time has come.
pub(super) fn wake_expired() {
    critical_section::with(|cs| {
        let mut timers = TIMERS.borrow_ref_mut(cs);
        let now = now();
        if now >= timers.next {
            timers.next = timers.queue.next_expiration(now);
        }
    });
}

/// When the next timer may expire.
pub(super) fn next_alarm() -> u64 {
    critical_section::with(|cs| TIMERS.borrow_ref(cs).next)
}

/// Has the next timer announced by an interrupt. False if its time has come already, so that there is no sleeping.
pub(super) fn arm() -> bool {
    let next = next_alarm();
    let now = now();
    if next <= now {
        return false;
    }
    let Clock { alarm, scale, .. } = clock();
    // Armed anew each time: an alarm may come a little early, or, where the count has a limit, much too early.
    match alarm {
        Alarm::Deadline => timer::start_deadline(scale.tsc(next)),
        Alarm::Apic(_) if next == u64::MAX => timer::stop(),
        Alarm::Apic(hz) => {
            let count = u128::from(next - now) * u128::from(hz) / u128::from(TICKS) + 1;
            timer::start(count.min(u32::MAX.into()) as u32);
        }
        // Without an alarm there is no sleeping.
        Alarm::None => return false,
    }
    true
}

/// How often the RTC is read, in seconds: how long the date can be behind after the machine was stopped.
const DATE_INTERVAL: u64 = 60;
/// Frequency of the ACPI PM timer (ACPI 6.5, 4.8.2.1).
const PM_HZ: u64 = 3_579_545;
/// Frequency of the PIT (Intel 8254).
const PIT_HZ: u64 = 1_193_182;
/// How long to measure, in microseconds.
const MEASURE: u64 = 2000;
/// How often to look at a reference that may stand still.
const PATIENCE: u32 = 1_000_000;
const GHZ: u64 = 1_000_000_000;

#[derive(Clone, Copy)]
struct Clock {
    scale: Scale,
    rate: u64,
    source: Source,
    pm_timer: Option<PmTimer>,
    alarm: Alarm,
    date: Option<Epoch>,
    /// The RTC's register that holds the century, or 0.
    century: u8,
}

#[derive(Clone, Copy)]
enum Alarm {
    None,
    /// The local APIC's timer, with its rate in Hz (divided by 16).
    Apic(u64),
    Deadline,
}

struct Timers {
    queue: Queue,
    /// No timer expires before this. There may be none at it.
    next: u64,
}

static CLOCK: Mutex<Cell<Clock>> = Mutex::new(Cell::new(Clock {
    scale: Scale {
        tsc: 0,
        ticks: 0,
        factor: 0,
        inverse: 0,
    },
    rate: 0,
    source: Source::None,
    pm_timer: None,
    alarm: Alarm::None,
    date: None,
    century: 0,
}));

static TIMERS: Mutex<RefCell<Timers>> = Mutex::new(RefCell::new(Timers {
    queue: Queue::new(),
    next: u64::MAX,
}));

#[inline]
fn clock() -> Clock {
    critical_section::with(|cs| CLOCK.borrow(cs).get())
}

fn change(f: impl FnOnce(&mut Clock)) {
    critical_section::with(|cs| {
        let mut clock = CLOCK.borrow(cs).get();
        f(&mut clock);
        CLOCK.borrow(cs).set(clock);
    });
}

/// From TSC to microseconds and back, by fixed-point factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    /// The TSC at `ticks`.
    tsc: u64,
    ticks: u64,
    /// Ticks a cycle, times 2^32.
    factor: u64,
    /// Cycles a tick, times 2^20.
    inverse: u64,
}

impl Scale {
    fn new(tsc: u64, ticks: u64, rate: u64) -> Self {
        let rate = rate.max(1);
        Self {
            tsc,
            ticks,
            factor: ((u128::from(TICKS) << 32) / u128::from(rate)) as u64,
            inverse: ((u128::from(rate) << 20) / u128::from(TICKS)) as u64,
        }
    }

    #[inline]
    fn ticks(&self, tsc: u64) -> u64 {
        let cycles = tsc.saturating_sub(self.tsc);
        self.ticks + ((u128::from(cycles) * u128::from(self.factor)) >> 32) as u64
    }

    fn tsc(&self, ticks: u64) -> u64 {
        let ticks = ticks.saturating_sub(self.ticks);
        let cycles = (u128::from(ticks) * u128::from(self.inverse)) >> 20;
        self.tsc.saturating_add(u64::try_from(cycles).unwrap_or(u64::MAX))
    }
}

/// The rate of the TSC, where it comes from, and that of the local APIC's timer.
fn calibrate(pm_timer: Option<PmTimer>) -> (u64, Source, Option<u64>) {
    let told = told_rate();
    let apic = interrupts::is_ready();
    // The APIC's timer needs measuring in any case, unless the hypervisor tells its rate as well.
    if let Some((rate, Source::Hypervisor)) = told {
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
    let result = match (told, measured) {
        (Some((rate, Source::Crystal)), measured) => (
            rate,
            Source::Crystal,
            measured.and_then(|(measured, _)| measured.apic_rate()),
        ),
        (_, Some((measured, source))) => (measured.rate, source, measured.apic_rate()),
        (Some((rate, source)), None) => (rate, source, None),
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

/// What CPUID says (Intel SDM volume 3, 20.7.3; VMware's timing leaf, which KVM has as well).
fn told_rate() -> Option<(u64, Source)> {
    if cpu::hypervisor().is_some()
        && let Some(leaf) = cpu::leaf(0x4000_0010)
        && leaf.eax != 0
    {
        return Some((u64::from(leaf.eax) * 1000, Source::Hypervisor));
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

/// `value * multiplier / divisor`, if that is a plausible rate: 10 MHz to 100 GHz.
fn scaled(value: u64, multiplier: u64, divisor: u64) -> Option<u64> {
    let rate = (u128::from(value) * u128::from(multiplier)).checked_div(divisor.into())?;
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
    for _ in 0..PATIENCE {
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
        for _ in 0..PATIENCE {
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
    for _ in 0..PATIENCE {
        if timer::counted().wrapping_sub(start.1) >= wanted {
            let end = sample(timer::counted);
            return scaled(end.0 - start.0, GHZ / 16, end.1.wrapping_sub(start.1).into());
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
        // SAFETY: ACPI says that the PM timer is there; reading it changes nothing.
        unsafe { Port::<u32>::new(self.port).read() }
    }

    fn between(&self, start: u32, end: u32) -> u64 {
        let mask = if self.wide { u32::MAX } else { 0x00ff_ffff };
        u64::from(end.wrapping_sub(start) & mask)
    }
}

fn judge(now: u64) -> Result<u64, DateError> {
    if now.saturating_add(TOLERANCE) < BUILT {
        Err(DateError::BeforeBuild(now))
    } else {
        Ok(now)
    }
}

const fn parse(decimal: &str) -> u64 {
    let digits = decimal.as_bytes();
    let (mut value, mut index) = (0, 0);
    while index < digits.len() {
        assert!(digits[index].is_ascii_digit());
        value = 10 * value + (digits[index] - b'0') as u64;
        index += 1;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_goes_both_ways() {
        for rate in [10_000_000, 2_999_999_997, 5 * GHZ] {
            let scale = Scale::new(1000, 7, rate);
            assert_eq!((scale.ticks(1000), scale.ticks(0)), (7, 7));
            for seconds in [1, 3600, 100 * 365 * 86_400] {
                let ticks = scale.ticks(1000 + rate * seconds) - 7;
                assert!(
                    ticks.abs_diff(seconds * TICKS) <= 1 + seconds * TICKS / 1000,
                    "{rate} {seconds} {ticks}"
                );
                let back = scale.tsc(7 + seconds * TICKS) - 1000;
                assert!(
                    back.abs_diff(rate * seconds) <= rate / TICKS + rate * seconds / 100_000,
                    "{rate} {seconds}"
                );
            }
            assert!(scale.tsc(u64::MAX) >= scale.tsc(u64::MAX / 4));
        }
    }

    #[test]
    fn a_rate_that_cannot_be_is_none() {
        assert_eq!(scaled(24_000_000, 250, 2), Some(3 * GHZ));
        assert_eq!(scaled(24_000_000, 250, 0), None);
        assert_eq!(scaled(0, 250, 2), None);
        assert_eq!(scaled(u64::MAX, u64::MAX, 1), None);
    }

    #[test]
    fn the_pm_timer_wraps() {
        let narrow = PmTimer { port: 0, wide: false };
        assert_eq!(narrow.between(0x00ff_ffff, 1), 2);
        assert_eq!(narrow.between(0xffff_ffff, 1), 2);
        assert_eq!(PmTimer { port: 0, wide: true }.between(0xffff_ffff, 1), 2);
    }

    #[test]
    fn a_date_before_the_build_is_named() {
        assert_eq!(judge(BUILT), Ok(BUILT));
        assert_eq!(judge(BUILT - TOLERANCE), Ok(BUILT - TOLERANCE));
        assert_eq!(
            judge(BUILT - TOLERANCE - 1),
            Err(DateError::BeforeBuild(BUILT - TOLERANCE - 1))
        );
        let error = std::format!("{}", DateError::BeforeBuild(86_400));
        assert_eq!(
            error,
            "the clock is wrong: 1970-01-02 00:00:00 is before this was built"
        );
    }
}
