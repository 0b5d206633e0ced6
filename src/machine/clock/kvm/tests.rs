use super::*;
use core::cell::Cell;

/// A TSC of 3 GHz: KVM halves the cycles and counts 2/3 ns each.
const FACTOR: u32 = 2_863_311_530;
const TSC: u64 = 0x12_3456_789a;
const WORDS: [u32; 8] = [6, 0, TSC as u32, (TSC >> 32) as u32, 500, 2, FACTOR, 0xff];

#[test]
fn the_date_is_that_of_the_start_plus_what_the_clock_shows() {
    let clock = Parameters::of(WORDS).unwrap();
    assert!(clock.rate.abs_diff(3_000_000_000) <= 2, "{}", clock.rate);
    let shown = (2 << 32) + 500;
    assert_eq!((clock.nanos(TSC), clock.nanos(0)), (Some(shown), Some(shown)));
    let later = clock.nanos(TSC + 3 * NANOS).unwrap() - shown;
    assert!(later.abs_diff(NANOS) < 10, "{later}");
    let date = date_of(1_800_000_000, 999_999_999, &clock, TSC).unwrap();
    assert_eq!(date, (1_800_000_000 * NANOS + 999_999_999 + shown) / 1000);
    // Wherever the shift puts the cycles.
    for (shift, factor) in [(1i8, 715_827_882), (0, 1_431_655_765), (-1, FACTOR)] {
        let clock = Parameters::of([2, 0, 0, 0, 0, 0, factor, u32::from(shift as u8)]).unwrap();
        let second = clock.nanos(clock.rate).unwrap();
        assert!(second.abs_diff(NANOS) < 10, "{shift}: {second}");
    }
}

#[test]
fn a_machine_that_was_stopped_gets_the_date_of_the_host() {
    // The clock and the TSC stood still for an hour; at the next request the start is an hour later.
    let clock = Parameters::of(WORDS).unwrap();
    let date = |start| date_of(start, 0, &clock, TSC + 5).unwrap();
    assert_eq!(date(1_800_003_600) - date(1_800_000_000), 3_600_000_000);
}

#[test]
fn what_is_being_written_is_read_again_and_not_for_ever() {
    // Odd at first; then another version after the other words than before; then whole.
    let versions = Cell::new(&[3, 4, 6, 8, 8][..]);
    let load = |word| {
        let (&version, rest) = versions.get().split_first().unwrap();
        if word > 0 {
            return 100 * version + word as u32;
        }
        versions.set(rest);
        version
    };
    assert_eq!(snapshot::<3>(load, || 7), Some(([8, 801, 802], 7)));
    assert_eq!(versions.get(), [] as [u32; 0]);
    for version in [0, 1, u32::MAX] {
        let reads = Cell::new(0);
        let load = |word| {
            reads.set(reads.get() + 1);
            if word == 0 { version } else { 5 }
        };
        assert_eq!(snapshot::<3>(load, || 7), None);
        assert_eq!(reads.get(), ATTEMPTS * 3);
    }
    // A version that changes each time.
    let version = Cell::new(0);
    let load = |_| {
        version.set(version.get() + 2);
        version.get()
    };
    assert_eq!(snapshot::<3>(load, || 7), None);
}

#[test]
fn what_cannot_be_is_refused() {
    let with = |factor, shift: i8| Parameters::of([2, 0, 0, 0, 0, 0, factor, u32::from(shift as u8)]);
    assert!(with(FACTOR, -1).is_some());
    // No factor, a rate of 1 Hz or of terahertz, a shift beyond the word.
    for (factor, shift) in [
        (0, 0),
        (FACTOR, 31),
        (1, 0),
        (FACTOR, -30),
        (FACTOR, 33),
        (1, 127),
        (1, -128),
    ] {
        assert_eq!(with(factor, shift), None, "{factor} {shift}");
    }
    let clock = Parameters::of(WORDS).unwrap();
    assert_eq!(date_of(1_800_000_000, 1_000_000_000, &clock, TSC), None);
    let full = [2, 0, 0, 0, u32::MAX, u32::MAX, FACTOR, 0xff];
    let full = Parameters::of(full).unwrap();
    assert_eq!((full.nanos(0), full.nanos(6)), (Some(u64::MAX), None));
    assert_eq!(date_of(1, 0, &full, 0), None);
    assert!(clock.nanos(u64::MAX).is_some());
}

#[test]
fn only_kvm_that_offers_it_is_asked() {
    assert!(is_offered("KVMKVMKVM", 0x0100_0009));
    assert!(!is_offered("KVMKVMKVM", 1));
    assert!(!is_offered("TCGTCGTCGTCG", u32::MAX));
}
