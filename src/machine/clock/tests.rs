use super::*;

#[test]
fn the_scale_goes_both_ways() {
    for rate in [10_000_000, 2_999_999_997, 5 * rate::GHZ] {
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
fn a_date_before_the_build_is_named() {
    assert_eq!(check_date(BUILT), Ok(BUILT));
    assert_eq!(check_date(BUILT - TOLERANCE), Ok(BUILT - TOLERANCE));
    assert_eq!(
        check_date(BUILT - TOLERANCE - 1),
        Err(DateError::BeforeBuild(BUILT - TOLERANCE - 1))
    );
    let error = std::format!("{}", DateError::BeforeBuild(86_400));
    assert_eq!(
        error,
        "the clock is wrong: 1970-01-02 00:00:00 is before the build date"
    );
}
