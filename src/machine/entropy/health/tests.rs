use super::*;
use chacha20::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

#[test]
fn a_good_source_passes() {
    let mut health = Health::new();
    let mut rng = ChaCha20Rng::from_seed([7; 32]);
    let mut samples = [0; 4096];
    for _ in 0..256 {
        rng.fill_bytes(&mut samples);
        assert_eq!(health.test(&samples), Ok(()));
    }
}

#[test]
fn a_source_that_is_stuck_fails_just_at_the_cutoff() {
    let stuck = [0xff; REPETITIONS as usize];
    let (last, fewer) = stuck.split_last().unwrap();
    let mut health = Health::new();
    assert_eq!(health.test(&[1, 2, 3]), Ok(()));
    assert_eq!(health.test(fewer), Ok(()));
    assert_eq!(health.test(&[*last]), Err(Fault::Repetition));
    assert_eq!(Health::new().test(&[0; START_UP]), Err(Fault::Repetition));
}

#[test]
fn a_source_that_favours_one_sample_fails_just_at_the_cutoff() {
    // Every fourth sample is the same: 78 of them in 309.
    let biased = |n: u32| if n.is_multiple_of(4) { 0 } else { (n % 251) as u8 + 1 };
    let samples: Vec<u8> = (0..4 * (PROPORTION - 1) + 1).map(biased).collect();
    let (last, fewer) = samples.split_last().unwrap();
    let mut health = Health::new();
    assert_eq!(health.test(fewer), Ok(()));
    assert_eq!(health.test(&[*last]), Err(Fault::Proportion));
}

#[test]
fn a_window_forgets_the_one_before() {
    // 70 times in each window is suspicious, and not enough.
    let samples = |n: u32| {
        if n % WINDOW < 140 && n.is_multiple_of(2) {
            0
        } else {
            (n % 251) as u8 + 1
        }
    };
    let samples: Vec<u8> = (0..4 * WINDOW).map(samples).collect();
    assert_eq!(Health::new().test(&samples), Ok(()));
}

#[test]
fn the_cutoff_of_the_proportion_test_is_the_quantile_it_should_be() {
    let p = f64::powi(2.0, -4);
    let mut term = f64::powi(1.0 - p, WINDOW as i32);
    let mut terms = Vec::new();
    for k in 0..=WINDOW {
        terms.push(term);
        term *= f64::from(WINDOW - k) / f64::from(k + 1) * p / (1.0 - p);
    }
    let above = |k: u32| terms[k as usize + 1..].iter().rev().sum::<f64>();
    let rate = f64::powi(2.0, -40);
    assert!(above(PROPORTION - 1) <= rate && above(PROPORTION - 2) > rate);
}
