//! The log: a ring of lines for the shell, and the console.
//!
//! Messages come in by the macros of the `log` crate. Each becomes one line of printable text: control characters,
//! which a peer might have smuggled in, are escaped. Lines are numbered from 0, so that a reader can go on where it
//! stopped, and see how many it missed.

pub use ::log::{Level, LevelFilter};
use core::cell::RefCell;
use core::fmt::{self, Write};
use core::future::poll_fn;
use core::panic::PanicInfo;
use core::task::{Poll, Waker};
use critical_section::Mutex;
use embassy_sync::waitqueue::MultiWakerRegistration;
use embassy_time::{Duration, Instant};
use heapless::{Deque, String};

/// The most bytes of text in a line; what is longer ends in `…`.
pub const MAX_LINE: usize = 240;
/// Bytes of lines that the ring keeps, with 11 on top of each line. The oldest make room for the newest.
pub const RING: usize = 16 * 1024;
/// The most tasks that can wait for news at the same time; further ones are woken at once and wait again.
const MAX_WAITING: usize = 4;

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
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

impl fmt::Display for Line {
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
    with(|log| log.console_level = level);
    adjust();
}

/// Sets which lines the ring keeps (default: `Debug`).
pub fn set_ring_level(level: LevelFilter) {
    with(|log| log.ring.level = level);
    adjust();
}

/// The oldest line there is with number `number` or above. To read on, ask for the number after its own.
pub fn read_from(number: u64) -> Option<Line> {
    with(|log| log.ring.read_from(number))
}

/// The number that the next line will have.
pub fn next_number() -> u64 {
    with(|log| log.ring.next)
}

/// The number of the oldest line that is left; [`next_number`] where there is none.
pub fn oldest_number() -> u64 {
    with(|log| log.ring.oldest)
}

/// Waits until there is a line with number `number` or above. Cancel-safe.
pub async fn news(number: u64) {
    poll_fn(|context| {
        with(|log| {
            if log.ring.next > number {
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
            let mut text = Text::new();
            let _ = write!(text, "panic: {}", info.message());
            if let Some(location) = info.location() {
                let _ = write!(text, " at {location}");
            }
            log.ring.push(Level::Error, 0, &text.finish());
        }
    });
}

struct Log {
    ring: Ring<RING>,
    console_level: LevelFilter,
    sink: Option<fn(&str)>,
    waiting: MultiWakerRegistration<MAX_WAITING>,
}

impl Log {
    fn wait(&mut self, waker: &Waker) {
        self.waiting.register(waker);
    }
}

static LOG: Mutex<RefCell<Log>> = Mutex::new(RefCell::new(Log {
    ring: Ring::new(),
    console_level: LevelFilter::Info,
    sink: None,
    waiting: MultiWakerRegistration::new(),
}));

fn with<R>(f: impl FnOnce(&mut Log) -> R) -> R {
    critical_section::with(|cs| f(&mut LOG.borrow_ref_mut(cs)))
}

/// What neither ring nor console wants is not even formatted.
fn adjust() {
    ::log::set_max_level(with(|log| log.console_level.max(log.ring.level)));
}

struct Logger;

static LOGGER: Logger = Logger;

impl ::log::Log for Logger {
    fn enabled(&self, metadata: &::log::Metadata<'_>) -> bool {
        with(|log| metadata.level() <= log.console_level.max(log.ring.level))
    }

    fn log(&self, record: &::log::Record<'_>) {
        let level = record.level();
        // Formatted before anything is borrowed: what is formatted may log in its turn.
        let mut text = Text::new();
        let _ = text.write_fmt(*record.args());
        let text = text.finish();
        let uptime = Instant::now().as_micros();
        let sink = with(|log| {
            if level <= log.ring.level {
                log.ring.push(level, uptime, &text);
                log.waiting.wake();
            }
            log.sink.filter(|_| level <= log.console_level)
        });
        if let Some(sink) = sink {
            // The time in front takes up to 30 bytes.
            let mut line = String::<{ MAX_LINE + 40 }>::new();
            let _ = write_line(&mut line, Duration::from_micros(uptime), level, &text);
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

/// A line in the making: escaped, and cut when it is full.
struct Text {
    text: String<MAX_LINE>,
    cut: bool,
}

const ELLIPSIS: &str = "…";

impl Text {
    fn new() -> Self {
        Self {
            text: String::new(),
            cut: false,
        }
    }

    fn add(&mut self, piece: &str) {
        self.cut |= self.text.len() + piece.len() > MAX_LINE - ELLIPSIS.len();
        if !self.cut {
            // It fits, as just checked.
            let _ = self.text.push_str(piece);
        }
    }

    fn finish(mut self) -> String<MAX_LINE> {
        if self.cut {
            let _ = self.text.push_str(ELLIPSIS);
        }
        self.text
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if is_harmless(c) {
                self.add(c.encode_utf8(&mut [0; 4]));
            } else {
                let mut escape = String::<12>::new();
                // `\u{10ffff}` is the longest.
                let _ = write!(escape, "{}", c.escape_default());
                self.add(&escape);
            }
            if self.cut {
                break;
            }
        }
        Ok(())
    }
}

/// Whether a terminal shows the character rather than obeying it: no control characters (C0, DEL, C1), line and
/// paragraph separators, or changes of writing direction.
fn is_harmless(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Lines one after the other: uptime in microseconds (8 bytes), level (1), length (2), text.
struct Ring<const N: usize> {
    bytes: Deque<u8, N>,
    /// The number of the oldest line. `oldest <= next`.
    oldest: u64,
    /// The number of the next line.
    next: u64,
    level: LevelFilter,
}

const HEADER: usize = 11;

impl<const N: usize> Ring<N> {
    const fn new() -> Self {
        Self {
            bytes: Deque::new(),
            oldest: 0,
            next: 0,
            level: LevelFilter::Debug,
        }
    }

    fn push(&mut self, level: Level, uptime: u64, text: &str) {
        const { assert!(N >= HEADER + MAX_LINE) };
        let size = HEADER + text.len();
        while N - self.bytes.len() < size && self.oldest < self.next {
            let len = self.size_at(0);
            for _ in 0..len {
                self.bytes.pop_front();
            }
            self.oldest += 1;
        }
        let [low, high] = (text.len() as u16).to_le_bytes();
        let header = uptime.to_le_bytes().into_iter().chain([level as u8, low, high]);
        for byte in header.chain(text.bytes()) {
            // There is room now.
            let _ = self.bytes.push_back(byte);
        }
        self.next += 1;
    }

    fn read_from(&self, number: u64) -> Option<Line> {
        if number >= self.next {
            return None;
        }
        let found = number.max(self.oldest);
        let start = (self.oldest..found).fold(0, |at, _| at + self.size_at(at));
        let header: [u8; HEADER] = core::array::from_fn(|offset| self.byte(start + offset));
        let (uptime, _) = header.split_first_chunk()?;
        let mut text = Text::new();
        let mut bytes = heapless::Vec::<u8, MAX_LINE>::new();
        bytes.extend(
            (start + HEADER..start + self.size_at(start))
                .map(|at| self.byte(at))
                .take(MAX_LINE),
        );
        // Whole lines of text went in.
        text.text.push_str(core::str::from_utf8(&bytes).ok()?).ok()?;
        Some(Line {
            number: found,
            missed: found - number,
            uptime: Duration::from_micros(u64::from_le_bytes(*uptime)),
            level: Level::iter().find(|&level| level as u8 == header[8])?,
            text: text.text,
        })
    }

    /// The size of the line that begins at `at`.
    fn size_at(&self, at: usize) -> usize {
        HEADER + usize::from(u16::from_le_bytes([self.byte(at + 9), self.byte(at + 10)]))
    }

    fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block_on;
    use embassy_futures::join::join;
    use std::string::ToString;

    fn text(args: fmt::Arguments<'_>) -> std::string::String {
        let mut text = Text::new();
        text.write_fmt(args).unwrap();
        text.finish().to_string()
    }

    #[test]
    fn control_characters_are_shown_not_obeyed() {
        let evil = "a\r\nb\x1b[2J\x07\u{9b}31m\u{202e}é\tz\x7f";
        assert_eq!(
            text(format_args!("{evil}")),
            "a\\r\\nb\\u{1b}[2J\\u{7}\\u{9b}31m\\u{202e}é\\tz\\u{7f}"
        );
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let long = "é".repeat(MAX_LINE);
        let cut = text(format_args!("{long}"));
        assert!(cut.len() <= MAX_LINE && cut.ends_with("é…"), "{cut}");
        let escapes = text(format_args!("{}", "\x01".repeat(MAX_LINE)));
        assert!(escapes.ends_with("\\u{1}…"), "{escapes}");
        let fits = "x".repeat(MAX_LINE - ELLIPSIS.len());
        assert_eq!(text(format_args!("{fits}")), fits);
    }

    #[test]
    fn lines_come_back_in_order_with_their_numbers() {
        let mut ring = Ring::<1024>::new();
        assert_eq!(ring.read_from(0), None);
        ring.push(Level::Info, 5, "one");
        ring.push(Level::Error, 1_500_000, "");
        let line = ring.read_from(0).unwrap();
        assert_eq!(
            (line.number, line.missed, line.level, line.text.as_str()),
            (0, 0, Level::Info, "one")
        );
        assert_eq!(line.to_string(), "[    0.000005] one");
        let line = ring.read_from(1).unwrap();
        assert_eq!(
            (line.number, line.text.as_str(), line.uptime),
            (1, "", Duration::from_micros(1_500_000))
        );
        assert_eq!(line.to_string(), "[    1.500000] error: ");
        assert_eq!(ring.read_from(2), None);
    }

    #[test]
    fn the_oldest_lines_make_room_and_are_missed() {
        let mut ring = Ring::<300>::new();
        for n in 0..100 {
            ring.push(Level::Warn, n, &std::format!("line {n}"));
        }
        assert!(ring.bytes.len() <= 300 && ring.oldest > 80, "{}", ring.oldest);
        let line = ring.read_from(10).unwrap();
        assert_eq!((line.number, line.missed), (ring.oldest, ring.oldest - 10));
        let mut number = 0;
        let mut seen = 0;
        while let Some(line) = ring.read_from(number) {
            assert_eq!(line.text.as_str(), std::format!("line {}", line.number));
            assert_eq!(line.uptime.as_micros(), line.number);
            number = line.number + 1;
            seen += 1;
        }
        assert_eq!((number, seen), (100, 100 - ring.oldest));
    }

    #[test]
    fn a_line_of_every_length_goes_through_the_ring() {
        let mut ring = Ring::<{ HEADER + MAX_LINE }>::new();
        for len in 0..=MAX_LINE {
            let text = "y".repeat(len);
            ring.push(Level::Trace, 0, &text);
            assert_eq!(ring.read_from(len as u64).unwrap().text.as_str(), text);
        }
    }

    // The one test that uses the log itself: it is one for the whole process.
    #[test]
    fn the_log_reaches_ring_and_console_by_level_and_wakes_who_waits() {
        static CONSOLE: std::sync::Mutex<std::string::String> = std::sync::Mutex::new(std::string::String::new());
        init(|line| CONSOLE.lock().unwrap().push_str(line));
        let mark = next_number();
        block_on(join(news(mark), async { ::log::info!("for the log test {}", 1) }));
        ::log::debug!("for the log test 2");
        ::log::trace!("for the log test 3");
        set_console_level(LevelFilter::Trace);
        ::log::trace!("for the log test 4");
        set_console_level(LevelFilter::Info);
        let mut number = mark;
        let mut mine = std::vec::Vec::new();
        while let Some(line) = read_from(number) {
            number = line.number + 1;
            if line.text.starts_with("for the log test") {
                mine.push((line.level, line.text.to_string()));
            }
        }
        let expected = [
            (Level::Info, "for the log test 1"),
            (Level::Debug, "for the log test 2"),
        ];
        assert_eq!(mine, expected.map(|(level, text)| (level, text.to_string())));
        let console = CONSOLE.lock().unwrap();
        let shown: std::vec::Vec<_> = console
            .lines()
            .filter(|line| line.contains("for the log test"))
            .collect();
        assert!(
            shown.len() == 2 && shown[0].ends_with("] for the log test 1"),
            "{shown:?}"
        );
        assert!(shown[1].ends_with("] trace: for the log test 4"), "{shown:?}");
    }
}
