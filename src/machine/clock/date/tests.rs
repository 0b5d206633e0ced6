use super::*;
use crate::testing::block_on;
use core::cell::Cell;

const START: u64 = 1_800_000_000;
const BOOT: Epoch = Epoch::new(START * TICKS, TICKS / 2);

fn reading(after: u64, uptime: u64) -> Epoch {
    Epoch::new((START + after) * TICKS, uptime)
}

#[test]
fn the_date_catches_up_after_a_stop() {
    // The RTC has gone on for an hour, the TSC for a minute.
    let rtc = reading(3600, 60 * TICKS);
    let date = BOOT.advanced_to(rtc);
    assert_eq!(BOOT.at(60 * TICKS), START + 59);
    assert_eq!(BOOT.behind(rtc), 3541 * TICKS - TICKS / 2);
    assert_eq!(date.at(60 * TICKS), START + 3600);
    assert_eq!(date.at(61 * TICKS), START + 3601);
    // The next minute changes nothing more.
    assert_eq!(date.advanced_to(reading(3660, 120 * TICKS)), date);
    assert_eq!(date.behind(reading(3660, 120 * TICKS)), 0);
}

#[test]
fn the_date_never_goes_backwards() {
    // An RTC that was set back by more than a minute.
    let past = Epoch::new(0, 60 * TICKS);
    assert_eq!(BOOT.advanced_to(past), BOOT);
    assert_eq!(BOOT.advanced_to(reading(0, 61 * TICKS)), BOOT);
    // Over any series of readings, ahead or behind.
    let (mut date, mut last) = (BOOT, START);
    for (uptime, after) in [(1, 1), (2, 1), (3, 900), (4, 880), (5, 901), (6, 903), (7, 0), (8, 850)] {
        for part in [0, 1, TICKS / 2, TICKS - 1] {
            let uptime = uptime * TICKS + part;
            date = date.advanced_to(reading(after, uptime));
            assert!(date.at(uptime) >= last, "{uptime}");
            last = date.at(uptime);
        }
    }
}

#[test]
fn the_date_comes_closer_to_the_second_s_edge() {
    // Read at boot 0.9 s after the RTC's second had begun; a minute later, 0.1 s after.
    let later = TICKS / 2 + 59 * TICKS + 200_000;
    let date = BOOT.advanced_to(reading(60, later));
    assert_eq!(date.at(later), START + 60);
    // A reading late in its second does not undo that.
    assert_eq!(date.advanced_to(reading(60, later + 900_000)), date);
}

#[test]
fn a_second_after_the_start_the_edge_is_found() {
    for phase in (0..TICKS).step_by(1001) {
        // The RTC's second had begun that long before the first reading, at uptime 0.
        let rtc = |uptime: u64| Epoch::new((START + (phase + uptime) / TICKS) * TICKS, uptime);
        let (date, uptime, waits) = (Cell::new(rtc(0)), Cell::new(0), Cell::new(0));
        let wait = async || {
            uptime.set(uptime.get() + EDGE_INTERVAL);
            waits.set(waits.get() + 1);
        };
        let follow = || {
            let (before, reading) = (date.get(), rtc(uptime.get()));
            date.set(before.advanced_to(reading));
            before.behind(reading)
        };
        block_on(find_edge(wait, follow));
        let (truth, shown) = (START * TICKS + phase + 9 * TICKS, date.get().micros_at(9 * TICKS));
        assert!(
            shown <= truth && truth - shown <= EDGE_INTERVAL,
            "{phase}: {}",
            truth - shown
        );
        assert!(waits.get() <= 51, "{phase}: {}", waits.get());
    }
}

#[test]
fn a_tsc_that_runs_fast_does_not_carry_the_date_away() {
    // It counts two seconds in one, and the clock is read every ten of its seconds.
    let (mut date, mut last) = (BOOT, START);
    for round in 1..1000 {
        let (uptime, truth) = (10 * round * TICKS, 5 * round);
        date = date.advanced_to(reading(truth, uptime));
        let shown = date.at(uptime);
        assert!(shown >= last && shown <= START + truth + 10, "{round}: {shown}");
        last = shown;
    }
}

#[test]
fn a_date_is_read_as_text_or_as_seconds() {
    for (text, seconds) in [
        ("2026-11-30T21:00:00Z", Some(1_796_072_400)),
        ("1796072400", Some(1_796_072_400)),
        ("1970-01-01T00:00:00Z", Some(0)),
        ("9999-12-31T23:59:59Z", Some(253_402_300_799)),
        ("253402300799", Some(253_402_300_799)),
        ("253402300800", None),
        ("18446744073709551616", None),
        ("2026-02-29T21:00:00Z", None),
        ("2026-11-30T21:00:00", None),
        ("2026-11-30", None),
        ("+5", None),
        ("-5", None),
        ("", None),
        ("now", None),
    ] {
        assert_eq!(parse(text), seconds, "{text}");
    }
}
