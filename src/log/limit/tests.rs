use super::*;

#[test]
fn a_burst_passes_then_one_an_interval_and_the_rest_is_counted() {
    let limiter = Limiter::new(3, Duration::from_secs(1));
    let at = |ms| limiter.pass(Instant::from_millis(ms));
    assert_eq!(
        [at(10_000), at(10_000), at(10_000), at(10_000), at(10_900)],
        [Some(0), Some(0), Some(0), None, None]
    );
    assert_eq!([at(11_000), at(11_000), at(12_500)], [Some(2), None, Some(1)]);
    assert_eq!(
        [at(60_000), at(60_000), at(60_000), at(60_000)],
        [Some(0), Some(0), Some(0), None]
    );
}
