//! Time: the TSC as clock, the local APIC's timer as alarm, the RTC for the date.
//!
//! The TSC's rate is taken from CPUID where the CPU or the hypervisor reports it, else it is measured for two
//! milliseconds at boot against the ACPI PM timer or the PIT, and once more, at leisure, by [`maintain`].
//! The date is read at boot and, by [`maintain`], every ten seconds: the TSC need not count while the machine is
//! stopped, suspended or saved in a snapshot. It is that of kvm-clock where KVM offers it, else that of the RTC, else that
//! of the command line, which is not read again.

use super::acpi::{Acpi, PmTimer};
use super::interrupts::{self, timer};
use super::{cpu, rtc};
use core::arch::x86_64::_rdtsc;
use core::cell::{Cell, RefCell};
use core::fmt;
use core::task::Waker;
use critical_section::Mutex;
use date::Epoch;
use embassy_futures::join::join;
use embassy_time_queue_utils::Queue;

mod date;
mod kvm;
mod rate;

pub use rate::Source;

/// Ticks of the clock in a second: the tick is the microsecond.
pub const TICKS: u64 = 1_000_000;
/// Seconds since 1970 at which this was built.
pub const BUILT: u64 = parse(env!("POSTERN_BUILD_TIME"));
/// How far behind the build the date may be without being called wrong, in seconds: clocks that run on local time.
pub const TOLERANCE: u64 = 24 * 60 * 60;

/// Where the date comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DateSource {
    Rtc,
    Kvm,
    CommandLine,
}

impl fmt::Display for DateSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rtc => "the RTC",
            Self::Kvm => "kvm-clock",
            Self::CommandLine => "the command line",
        })
    }
}

/// The date is unknown.
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
            Self::NoClock => f.write_str("no clock with a date: add `date=2026-11-30T21:00:00Z` to the command line"),
            Self::BeforeBuild(now) => write!(
                f,
                "the clock is wrong: {} is before the build date",
                rtc::Date::of(*now)
            ),
        }
    }
}

impl core::error::Error for DateError {}

/// Starts the clock at 0, sets the alarm up, and reads the date. `given` is that of the command line, as in
/// `2026-11-30T21:00:00Z` or in seconds since 1970, for a machine without a clock.
pub fn init(acpi: &Acpi, given: Option<&str>) {
    let pm_timer = acpi.pm_timer;
    kvm::init();
    let (rate, source, apic) = rate::calibrate(pm_timer);
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
            date_source: DateSource::Rtc,
            century: acpi.century,
        };
    });
    let given = given.and_then(|text| {
        let date = date::parse(text);
        if date.is_none() {
            log::warn!("date={text}: expected a date such as 2026-11-30T21:00:00Z, or seconds since 1970");
        }
        Some((Epoch::new(date? * TICKS, now()), DateSource::CommandLine))
    });
    if let Some((date, source)) = read_date().or(given) {
        change(|clock| (clock.date, clock.date_source) = (Some(date), source));
    }
}

/// Microseconds since the clock was started; 0 before that.
#[inline]
pub fn now() -> u64 {
    clock().scale.ticks(tsc())
}

/// Seconds since 1970, UTC (or whatever the RTC is set to).
pub fn unix_time() -> Result<u64, DateError> {
    let date = clock().date.ok_or(DateError::NoClock)?;
    check_date(date.at(now()))
}

/// The rate of the TSC in Hz.
pub fn rate() -> u64 {
    clock().rate
}

/// The parts of the clock, for display: the TSC, its rate, and where the date comes from.
#[derive(Debug, Clone, Copy)]
pub struct Description;

impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clock { rate, source, .. } = clock();
        // Without the bit its rate may change with the CPU's, and it may stop in sleep (Intel SDM volume 3, 18.17.1).
        let kind = if cpu::has("nonstop_tsc") {
            "invariant"
        } else {
            "not invariant"
        };
        write!(f, "TSC of {} kHz, {source}, {kind}", rate / 1000)?;
        match (clock().date, clock().date_source) {
            (Some(_), source @ DateSource::CommandLine) => write!(f, "; date by {source}"),
            (Some(_), source) => write!(f, "; date by {source}, read every {DATE_INTERVAL} s"),
            (None, _) => f.write_str("; no date"),
        }
    }
}

/// The TSC itself.
#[inline]
pub fn tsc() -> u64 {
    // SAFETY: every CPU with 64-bit mode has it, and nothing forbids it here.
    unsafe { _rdtsc() }
}

/// Follows the RTC or kvm-clock, and measures the rate of the TSC once more. To be run as a task.
pub async fn maintain() {
    join(refine(), follow_clock()).await;
}

/// Reads the date now and then.
async fn follow_clock() {
    find_edge().await;
    // Without a clock at boot there is none to look for later: each look takes long where nothing responds.
    while clock().date.is_some() && clock().date_source != DateSource::CommandLine {
        embassy_time::Timer::after_secs(DATE_INTERVAL).await;
        if let Some(rate) = kvm::rate().filter(|_| clock().source == Source::Kvm) {
            set_rate(rate);
        }
        // After a stop the date is behind by up to a second still.
        if follow() > TICKS {
            find_edge().await;
        }
    }
}

/// Finds the edge of the RTC's second. kvm-clock's date needs none.
async fn find_edge() {
    if clock().date.is_some() && clock().date_source == DateSource::Rtc {
        date::find_edge(
            async || embassy_time::Timer::after_micros(date::EDGE_INTERVAL).await,
            follow,
        )
        .await;
    }
}

/// Brings the date up to date. Returns by how much it was behind, in microseconds.
fn follow() -> u64 {
    let (Some((reading, source)), Some(date)) = (read_date(), clock().date) else {
        return 0;
    };
    change(|clock| (clock.date, clock.date_source) = (Some(date.advanced_to(reading)), source));
    date.behind(reading)
}

fn read_date() -> Option<(Epoch, DateSource)> {
    if let Some(micros) = kvm::date() {
        return Some((Epoch::new(micros, now()), DateSource::Kvm));
    }
    let seconds = rtc::read(clock().century)?;
    Some((Epoch::new(seconds * TICKS, now()), DateSource::Rtc))
}

/// Measures the TSC once more where the first measurement was a short one.
async fn refine() {
    let Some(pm_timer) = clock().pm_timer.filter(|_| clock().source == Source::PmTimer) else {
        return;
    };
    let Some(rate) = rate::refined(pm_timer).await else {
        return;
    };
    // A change of more than a percent is not a refinement: something stopped one of the two clocks meanwhile.
    if rate.abs_diff(clock().rate) < clock().rate / 100 {
        set_rate(rate);
    }
}

fn set_rate(rate: u64) {
    change(|clock| {
        let tsc = tsc();
        clock.scale = Scale::new(tsc, clock.scale.ticks(tsc), rate);
        clock.rate = rate;
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
    // Armed again each time: an alarm may come a little early, or, where the count has a limit, much too early.
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

/// How often the date is read, in seconds: how long it can be behind after the machine was stopped.
const DATE_INTERVAL: u64 = 10;
#[derive(Clone, Copy)]
struct Clock {
    scale: Scale,
    rate: u64,
    source: Source,
    pm_timer: Option<PmTimer>,
    alarm: Alarm,
    date: Option<Epoch>,
    date_source: DateSource,
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
    date_source: DateSource::Rtc,
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

fn check_date(now: u64) -> Result<u64, DateError> {
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
mod tests;
