//! Tests of the sources' pool and of the generator.

use super::*;

fn noise(len: usize, seed: u8) -> Vec<u8> {
    let mut noise = std::vec![0; len];
    ChaCha20Rng::from_seed([seed; 32]).fill_bytes(&mut noise);
    noise
}

fn pool_with(source: Source) -> Pool {
    let mut pool = Pool::new();
    pool.present(source, true);
    pool
}

#[test]
fn without_a_source_there_is_no_seed() {
    let mut pool = Pool::new();
    pool.seed(b"extra");
    assert_eq!(pool.seeded, 0);
    let mut pool = pool_with(Source::Rdrand);
    pool.add(Source::Rdrand, &noise(START_UP - 1, 1));
    pool.seed(b"extra");
    assert_eq!((pool.seeded, pool.is_starting(Source::Rdrand)), (0, true));
    pool.add(Source::Rdrand, &noise(1, 2));
    pool.seed(b"extra");
    assert_eq!(
        (pool.seeded, pool.meters[Source::Rdrand as usize].state),
        (1, State::Healthy)
    );
}

#[test]
fn a_source_that_fails_is_not_taken_in_nor_asked_again() {
    let mut pool = pool_with(Source::Rdrand);
    pool.add(Source::Rdrand, &[0xff; START_UP]);
    pool.seed(&[]);
    assert_eq!((pool.seeded, pool.credit), (0, 0));
    assert!(pool.gathered.is_none() && !pool.is_usable(Source::Rdrand));
    assert_eq!(
        pool.meters[Source::Rdrand as usize].state,
        State::Failed(Fault::Repetition)
    );
    // Another one makes up for it.
    pool.present(Source::Virtio, true);
    pool.add(Source::Virtio, &noise(START_UP, 3));
    pool.seed(&[]);
    assert_eq!(pool.seeded, 1);
}

#[test]
fn a_later_failure_leaves_the_generator_as_it_is() {
    let mut pool = pool_with(Source::Rdseed);
    pool.add(Source::Rdseed, &noise(START_UP, 1));
    pool.seed(&[]);
    let key = pool.generator.key;
    pool.add(Source::Rdseed, &[7; 64]);
    pool.seed(&[]);
    assert_eq!((pool.seeded, pool.generator.key), (1, key));
}

#[test]
fn each_seed_depends_on_all_that_came_before() {
    let key = |parts: &[(Source, &[u8])], extra: &[u8]| {
        let mut pool = Pool::new();
        for &(source, bytes) in parts {
            if !pool.is_usable(source) {
                pool.present(source, true);
            }
            pool.add(source, bytes);
        }
        pool.seed(extra);
        assert_eq!(pool.seeded, 1);
        pool.generator.key
    };
    let (a, b) = (noise(START_UP, 1), noise(START_UP, 2));
    let keys = [
        key(&[(Source::Rdseed, &a)], b""),
        key(&[(Source::Rdrand, &a)], b""),
        key(&[(Source::Rdseed, &b)], b""),
        key(&[(Source::Rdseed, &a)], b"x"),
        key(&[(Source::Rdseed, &a), (Source::Rdrand, &b)], b""),
    ];
    for (index, one) in keys.iter().enumerate() {
        assert!(keys[..index].iter().all(|other| other != one));
    }
    assert_eq!(keys[0], key(&[(Source::Rdseed, &a)], b""));
    let mut generator = Generator::new();
    generator.seed(b"first");
    let first = generator.key;
    generator.seed(b"second");
    let mut other = Generator::new();
    other.seed(b"second");
    assert!(generator.key != first && generator.key != other.key);
}

#[test]
fn each_use_has_a_key_of_its_own() {
    let mut generator = Generator::new();
    generator.seed(b"seed");
    let mut keys = std::vec![generator.key];
    let mut all = Vec::new();
    for len in [0, 1, 479, 480, 1040] {
        let mut part = std::vec![0; len];
        // Even if nothing is fresh.
        generator.fill(&mut part, [0; 3], &[0; FRESH]);
        all.extend(part);
        assert!(!keys.contains(&generator.key));
        keys.push(generator.key);
    }
    assert_eq!((generator.given, generator.since_seed), (2000, 2000));
    let mut health = Health::new();
    assert_eq!(health.test(&all), Ok(()));
    assert!(all.windows(32).all(|window| keys.iter().all(|key| key != window)));
}

/// What a machine that is resumed from the one snapshot draws.
fn resumed(tsc: u64, fresh: u8, generation: u64) -> ([u8; 32], Pool) {
    let mut pool = pool_with(Source::Rdrand);
    pool.add(Source::Rdrand, &noise(START_UP, 1));
    pool.seed(&[]);
    let mut out = [0; 32];
    pool.fill(&mut out, 1, |_, bytes| {
        bytes.copy_from_slice(&noise(bytes.len(), 2));
        true
    });
    // Here the snapshot is taken.
    assert_eq!(pool.has_new_generation([generation, 0]), generation != 0);
    assert!(!pool.has_new_generation([generation, 0]));
    pool.fill(&mut out, tsc, |source, bytes| {
        assert_eq!(source, Source::Rdrand);
        bytes.copy_from_slice(&noise(bytes.len(), fresh));
        true
    });
    (out, pool)
}

#[test]
fn machines_resumed_from_one_snapshot_draw_different_numbers() {
    let (one, pool) = resumed(2, 3, 0);
    assert_eq!(one, resumed(2, 3, 0).0);
    assert_ne!(one, resumed(2, 4, 0).0);
    assert_ne!(one, resumed(3, 3, 0).0);
    assert_ne!(one, resumed(2, 3, 1).0);
    assert_eq!((pool.bare, pool.fresh_source()), (0, Some(Source::Rdrand)));
    let bytes = pool.meters[Source::Rdrand as usize].bytes;
    assert_eq!(bytes, (START_UP + 2 * FRESH) as u64);
}

#[test]
fn uses_with_nothing_fresh_are_counted() {
    // Only a device, which is not asked at each use.
    let mut pool = pool_with(Source::Virtio);
    pool.add(Source::Virtio, &noise(START_UP, 1));
    pool.seed(&[]);
    pool.fill(&mut [0; 8], 1, |_, _| panic!("nothing can be asked"));
    assert_eq!((pool.bare, pool.fresh_source()), (1, None));
    // A source that gives nothing, and one that fails: the generator goes on from its seed.
    let mut pool = pool_with(Source::Rdrand);
    pool.add(Source::Rdrand, &noise(START_UP, 1));
    pool.seed(&[]);
    pool.fill(&mut [0; 8], 1, |_, _| false);
    assert_eq!((pool.bare, pool.fresh_source()), (1, Some(Source::Rdrand)));
    pool.fill(&mut [0; 8], 1, |_, bytes| {
        bytes.fill(7);
        true
    });
    assert_eq!((pool.bare, pool.fresh_source()), (2, None));
    let state = pool.meters[Source::Rdrand as usize].state;
    assert_eq!(state, State::Failed(Fault::Repetition));
}
