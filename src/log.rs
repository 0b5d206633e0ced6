//! The log: lines kept for the shell and syslog, and printed on the console.
//!
//! Messages come in by the macros of the `log` crate. Each becomes one line of printable text: control characters,
//! which a peer might have smuggled in, are escaped. Lines are numbered from 0, so that a reader can go on where it
//! stopped, and see how many it missed.
//!
//! Three places keep lines, and reading merges them in order: the lines of the boot, which nothing overwrites; those
//! with the target [`SECURITY`]; and a ring for all others, among them whatever a peer can cause at will. So a peer that
//! floods the log overwrites neither how the machine started nor its security events.

mod limit;
mod ring;

pub use ::log::{Level, LevelFilter};
use core::cell::{Cell, RefCell};
use core::fmt::{self, Write};
use core::future::poll_fn;
use core::panic::PanicInfo;
use core::task::{Poll, Waker};
use critical_section::Mutex;
use embassy_sync::waitqueue::MultiWakerRegistration;
use embassy_time::{Duration, Instant};
use heapless::String;
pub use limit::Limiter;
use ring::{Record, Ring};

use crate::pki::text::Text;

/// The most bytes of text in a line; what is longer ends in `…`.
pub const MAX_LINE: usize = 240;
/// Bytes of lines in the ring, with 19 on top of each line. The oldest make room for the newest.
pub const RING: usize = 16 * 1024;
/// Bytes for the lines of the boot, likewise. The ring takes the rest.
pub const BOOT_RING: usize = 4 * 1024;
/// Bytes for the lines with the target [`SECURITY`], likewise.
pub const SECURITY_RING: usize = 4 * 1024;
/// The target of lines about control of the machine and its trust (`log::warn!(target: log::SECURITY, ...)`).
/// Lines that a peer without credentials can cause are always behind a limiter.
pub const SECURITY: &str = "security";
/// The most tasks that can wait for news at the same time; further ones are woken at once and wait again.
const MAX_WAITING: usize = 4;

/// The text of a line, escaped, and cut when it is full.
type LineText = Text<MAX_LINE>;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number; the first line ever has 0.
    pub number: u64,
    /// Lines between the one that was asked for and this one that are gone.
    pub missed: u64,
    /// The uptime when it was written.
    pub uptime: Duration,
    /// Its level.
    pub level: Level,
    /// Its text.
    pub text: String<MAX_LINE>,
}

impl fmt::Display for LogLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_line(f, self.uptime, self.level, &self.text)
    }
}

/// Starts the log: lines of the console's level and above go to `sink` as well, each with its newline.
pub fn init(sink: fn(&str)) {
    with(|log| log.sink = Some(sink));
    // A second logger would be refused; the first one is this one then.
    let _ = ::log::set_logger(&LOGGER);
    adjust();
}

/// Sets which lines go to the console (default: `Info`).
pub fn set_console_level(level: LevelFilter) {
    critical_section::with(|cs| CONSOLE_LEVEL.borrow(cs).set(level));
    adjust();
}

/// Ends the boot: its lines are kept for good, and later ones go to the rings.
pub fn booted() {
    with(|log| log.booted = true);
}

/// The oldest line there is with number `number` or above. To read on, ask for the number after its own.
pub fn read_from(number: u64) -> Option<LogLine> {
    with(|log| log.read_from(number))
}

/// The number that the next line will have.
pub fn next_number() -> u64 {
    with(|log| log.next)
}

/// Waits until there is a line with number `number` or above. Cancel-safe.
pub async fn news(number: u64) {
    poll_fn(|context| {
        with(|log| {
            if log.next > number {
                return Poll::Ready(());
            }
            log.wait(context.waker());
            Poll::Pending
        })
    })
    .await;
}

/// Puts a panic's message into the ring (the console has it already).
pub(crate) fn panicked(info: &PanicInfo<'_>) {
    // The panic may have come from within this module.
    critical_section::with(|cs| {
        if let Ok(mut log) = LOG.borrow(cs).try_borrow_mut() {
            let message = info.message();
            let text: LineText = match info.location() {
                Some(location) => Text::of(format_args!("panic: {message} at {location}")),
                None => Text::of(format_args!("panic: {message}")),
            };
            log.push(Level::Error, 0, SECURITY, text.as_str());
        }
    });
}

struct Log {
    boot: Ring<BOOT_RING>,
    security: Ring<SECURITY_RING>,
    ring: Ring<RING>,
    /// The number of the next line.
    next: u64,
    booted: bool,
    sink: Option<fn(&str)>,
    waiting: MultiWakerRegistration<MAX_WAITING>,
}

impl Log {
    const fn new() -> Self {
        Self {
            boot: Ring::new(),
            security: Ring::new(),
            ring: Ring::new(),
            next: 0,
            booted: false,
            sink: None,
            waiting: MultiWakerRegistration::new(),
        }
    }

    fn wait(&mut self, waker: &Waker) {
        self.waiting.register(waker);
    }

    fn push(&mut self, level: Level, uptime: u64, target: &str, text: &str) {
        let record = Record {
            number: self.next,
            uptime,
            level,
            text,
        };
        self.next += 1;
        if !self.booted && self.boot.fits(&record) {
            self.boot.push(&record);
        } else if target == SECURITY {
            self.security.push(&record);
        } else {
            self.ring.push(&record);
        }
    }

    fn read_from(&self, number: u64) -> Option<LogLine> {
        let found = [
            self.boot.number_from(number),
            self.security.number_from(number),
            self.ring.number_from(number),
        ];
        let found = found.into_iter().flatten().min()?;
        let line = self.boot.read(found).or_else(|| self.security.read(found));
        let line = line.or_else(|| self.ring.read(found))?;
        Some(LogLine {
            missed: found - number,
            ..line
        })
    }
}

/// All zero, so that the image need not hold its bytes.
static LOG: Mutex<RefCell<Log>> = Mutex::new(RefCell::new(Log::new()));

static CONSOLE_LEVEL: Mutex<Cell<LevelFilter>> = Mutex::new(Cell::new(LevelFilter::Info));
/// Which lines are kept.
const RING_LEVEL: LevelFilter = LevelFilter::Debug;

fn with<R>(f: impl FnOnce(&mut Log) -> R) -> R {
    critical_section::with(|cs| f(&mut LOG.borrow_ref_mut(cs)))
}

fn console_level() -> LevelFilter {
    critical_section::with(|cs| CONSOLE_LEVEL.borrow(cs).get())
}

/// A line for neither ring nor console is not formatted.
fn adjust() {
    ::log::set_max_level(console_level().max(RING_LEVEL));
}

struct Logger;

static LOGGER: Logger = Logger;

impl ::log::Log for Logger {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        metadata.level() <= console_level().max(RING_LEVEL)
    }

    fn log(&self, record: &::log::Record<'_>) {
        let level = record.level();
        // Formatted before anything is borrowed: what is formatted may log in its turn.
        let text = LineText::of(record.args());
        let text = text.as_str();
        let uptime = Instant::now().as_micros();
        let sink = with(|log| {
            if level <= RING_LEVEL {
                log.push(level, uptime, record.target(), text);
                log.waiting.wake();
            }
            log.sink.filter(|_| level <= console_level())
        });
        if let Some(sink) = sink {
            // The time in front takes up to 30 bytes.
            let mut line = String::<{ MAX_LINE + 40 }>::new();
            let _ = write_line(&mut line, Duration::from_micros(uptime), level, text);
            let _ = line.push('\n');
            sink(&line);
        }
    }

    fn flush(&self) {}
}

fn write_line(out: &mut impl Write, uptime: Duration, level: Level, text: &str) -> fmt::Result {
    let micros = uptime.as_micros();
    write!(out, "[{:5}.{:06}] ", micros / 1_000_000, micros % 1_000_000)?;
    match level {
        Level::Error => out.write_str("error: ")?,
        Level::Warn => out.write_str("warning: ")?,
        Level::Info => {}
        Level::Debug => out.write_str("debug: ")?,
        Level::Trace => out.write_str("trace: ")?,
    }
    out.write_str(text)
}

#[cfg(test)]
mod tests;
