use super::*;

const EVENING: Registers = Registers {
    second: 0x56,
    minute: 0x34,
    hour: 0x23,
    day: 0x29,
    month: 0x02,
    year: 0x24,
    century: Some(0x20),
    status_b: HOURS_24,
};
/// 2024-02-29 23:34:56
const SECONDS: u64 = 1_709_249_696;

#[test]
fn bcd_and_binary_decode_to_the_same() {
    assert_eq!(EVENING.decode(), Some(SECONDS));
    let binary = Registers {
        second: 56,
        minute: 34,
        hour: 23,
        day: 29,
        month: 2,
        year: 24,
        century: Some(20),
        status_b: HOURS_24 | BINARY,
    };
    assert_eq!(binary.decode(), Some(SECONDS));
}

#[test]
fn twelve_hours_have_a_morning_and_an_afternoon() {
    let at = |hour| {
        Registers {
            hour,
            status_b: 0,
            ..EVENING
        }
        .decode()
        .map(|s| Date::of(s).0.hour())
    };
    assert_eq!(at(0x12), Some(0));
    assert_eq!(at(0x01), Some(1));
    assert_eq!(at(0x92), Some(12));
    assert_eq!(at(0x91), Some(23));
    assert_eq!((at(0x00), at(0x93)), (None, None));
}

#[test]
fn the_century_is_believed_where_it_makes_sense() {
    let year = |century| {
        Registers {
            century,
            day: 0x01,
            ..EVENING
        }
        .decode()
        .map(|s| Date::of(s).0.year())
    };
    assert_eq!(year(Some(0x21)), Some(2124));
    assert_eq!(
        (year(None), year(Some(0)), year(Some(0xff))),
        (Some(2024), Some(2024), Some(2024))
    );
}

#[test]
fn a_date_of_the_last_century_is_not_moved_into_this_one() {
    let year = |century, year| {
        Registers {
            century,
            year,
            day: 0x01,
            ..EVENING
        }
        .decode()
        .map(|s| Date::of(s).0.year())
    };
    for (register, expected) in [(0x70, 1970), (0x80, 1980), (0x99, 1999)] {
        assert_eq!(year(Some(0x19), register), Some(expected));
    }
    assert_eq!(year(Some(0x19), 0x69), None);
    assert_eq!(year(Some(0x18), 0x24), Some(2024));
}

#[test]
fn what_is_no_date_is_refused() {
    let absent = Registers {
        second: 0xff,
        minute: 0xff,
        hour: 0xff,
        day: 0xff,
        month: 0xff,
        year: 0xff,
        century: Some(0xff),
        status_b: 0xff,
    };
    assert_eq!(absent.decode(), None);
    assert_eq!(Registers { day: 0x30, ..EVENING }.decode(), None);
    assert_eq!(Registers { month: 0x13, ..EVENING }.decode(), None);
    assert_eq!(Registers { month: 0, ..EVENING }.decode(), None);
    assert_eq!(Registers { day: 0, ..EVENING }.decode(), None);
    assert_eq!(
        Registers {
            minute: 0x60,
            ..EVENING
        }
        .decode(),
        None
    );
    assert_eq!(
        Registers {
            second: 0x5a,
            ..EVENING
        }
        .decode(),
        None
    );
}

#[test]
fn dates_and_seconds_go_both_ways() {
    assert_eq!(std::format!("{}", Date::of(SECONDS)), "2024-02-29 23:34:56");
    assert_eq!(std::format!("{}", Date::of(0)), "1970-01-01 00:00:00");
    assert_eq!(std::format!("{}", Date::of(4_107_542_399)), "2100-02-28 23:59:59");
    assert_eq!(std::format!("{}", Date::of(4_107_542_400)), "2100-03-01 00:00:00");
    assert_eq!(std::format!("{}", Date::of(u64::MAX)), "9999-12-31 23:59:59");
    for day in 0..80_000 {
        let seconds = day * 86_400 + 4711;
        let Date(date) = Date::of(seconds);
        let registers = Registers {
            second: date.seconds(),
            minute: date.minutes(),
            hour: date.hour(),
            day: date.day(),
            month: date.month(),
            year: (date.year() % 100) as u8,
            century: Some((date.year() / 100) as u8),
            status_b: HOURS_24 | BINARY,
        };
        assert_eq!(registers.decode(), Some(seconds), "{}", Date(date));
    }
}
