use super::*;

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
