use super::*;
use crate::testing::block_on;
use embassy_futures::join::join;
use std::boxed::Box;
use std::format;
use std::string::ToString;
use std::vec::Vec;

fn text(args: fmt::Arguments<'_>) -> std::string::String {
    LineText::of(args).to_string()
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
    let fits = "x".repeat(MAX_LINE);
    assert_eq!(text(format_args!("{fits}")), fits);
}

/// All that a log has, from `number` on.
fn lines(log: &Log, mut number: u64) -> Vec<LogLine> {
    let mut lines = Vec::new();
    while let Some(line) = log.read_from(number) {
        assert!(line.number >= number && line.missed == line.number - number);
        number = line.number + 1;
        lines.push(line);
    }
    lines
}

/// A log that has booted, without a line.
fn booted() -> Box<Log> {
    let mut log = Box::new(Log::new());
    log.booted = true;
    log
}

#[test]
fn lines_come_back_in_order_with_their_numbers() {
    let mut log = booted();
    assert_eq!(log.read_from(0), None);
    log.push(Level::Info, 5, "", "one");
    log.push(Level::Error, 1_500_000, SECURITY, "");
    log.push(Level::Info, 6, "", "three");
    let line = log.read_from(0).unwrap();
    assert_eq!(
        (line.number, line.missed, line.level, line.text.as_str()),
        (0, 0, Level::Info, "one")
    );
    assert_eq!(line.to_string(), "[    0.000005] one");
    let line = log.read_from(1).unwrap();
    assert_eq!(
        (line.number, line.text.as_str(), line.uptime),
        (1, "", Duration::from_micros(1_500_000))
    );
    assert_eq!(line.to_string(), "[    1.500000] error: ");
    assert_eq!(log.read_from(2).unwrap().text, "three");
    assert_eq!(log.read_from(3), None);
}

#[test]
fn the_oldest_lines_make_room_and_are_missed() {
    let mut log = booted();
    for n in 0..10_000 {
        log.push(Level::Warn, n, "", &format!("line {n}"));
    }
    let lines = lines(&log, 10);
    assert!(lines[0].number > 9_000 && lines[0].missed == lines[0].number - 10);
    for (line, number) in lines.iter().zip(lines[0].number..) {
        assert_eq!(line.number, number);
        assert_eq!(line.text.as_str(), format!("line {number}"));
        assert_eq!(line.uptime.as_micros(), number);
    }
    assert_eq!(lines.last().unwrap().number, 9_999);
}

#[test]
fn a_line_of_every_length_goes_through_the_ring() {
    let mut log = booted();
    for len in 0..=MAX_LINE {
        let text = "y".repeat(len);
        log.push(Level::Trace, 0, "", &text);
        assert_eq!(log.read_from(len as u64).unwrap().text.as_str(), text);
    }
}

#[test]
fn a_flood_leaves_the_lines_of_the_boot_and_of_security() {
    let mut log = Box::new(Log::new());
    for n in 0..20 {
        log.push(Level::Info, n, "", &format!("boot {n}"));
    }
    log.booted = true;
    for n in 20..100_000 {
        match n {
            1000 | 60_000 => log.push(Level::Info, n, SECURITY, &format!("security {n}")),
            _ => log.push(Level::Warn, n, "", &format!("flood {n}")),
        }
    }
    let lines = lines(&log, 0);
    let texts: Vec<_> = lines.iter().map(|line| line.text.to_string()).collect();
    assert!(
        texts[..20]
            .iter()
            .enumerate()
            .all(|(n, text)| *text == format!("boot {n}"))
    );
    assert_eq!(texts[20..22], ["security 1000", "security 60000"]);
    assert!(texts.len() > 300 && texts[22..].iter().all(|text| text.starts_with("flood ")));
    assert_eq!((lines[20].missed, lines[21].missed), (1000 - 20, 60_000 - 1001));
}

#[test]
fn boot_lines_that_find_no_room_go_on_in_the_rings() {
    let mut log = Box::new(Log::new());
    for n in 0..300 {
        log.push(Level::Info, n, "", &format!("boot {n}"));
    }
    let lines = lines(&log, 0);
    assert_eq!(lines.len(), 300);
    assert!(lines.iter().all(|line| line.missed == 0));
}

// The one test that uses the log itself: it is one for the whole process.
#[test]
fn the_log_reaches_ring_and_console_by_level_and_wakes_waiters() {
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
