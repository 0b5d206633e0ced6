use super::super::super::cpu::{EXECUTED, has};
use super::*;

#[test]
fn a_use_of_the_generator_executes_no_cpuid() {
    let (rdrand, rdseed) = (has("rdrand"), has("rdseed"));
    let before = EXECUTED.get();
    let mut bytes = [0; 32];
    // RDSEED may run dry in some use.
    assert_eq!(fresh(Source::Rdrand, &mut bytes), rdrand);
    assert!(!fresh(Source::Rdseed, &mut bytes) || rdseed);
    assert_eq!(EXECUTED.get() - before, 0);
}

#[test]
fn a_source_that_gives_nothing_is_given_up() {
    let mut buffer = [0; 20];
    assert!(!fill(&mut buffer, 3, |_| false));
    let tries = core::cell::Cell::new(0u8);
    let third_time = |word: &mut u64| {
        tries.set(tries.get() + 1);
        *word = u64::from_le_bytes([tries.get(); 8]);
        tries.get().is_multiple_of(3)
    };
    assert!(fill(&mut buffer, 3, third_time));
    assert_eq!(buffer, [3, 3, 3, 3, 3, 3, 3, 3, 6, 6, 6, 6, 6, 6, 6, 6, 9, 9, 9, 9]);
    assert!(!fill(&mut buffer, 2, third_time));
}
