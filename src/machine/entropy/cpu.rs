//! The CPU's own random numbers: RDSEED and RDRAND.

use super::Source;
use core::arch::x86_64::{_rdrand64_step, _rdseed64_step};

/// How often to ask RDRAND before it is taken to be broken (Intel's DRNG guide, 5.2.1).
const RDRAND_ATTEMPTS: u32 = 10;
/// RDSEED may run dry for a while; a pause between attempts is advised (5.3.1).
const RDSEED_ATTEMPTS: u32 = 1000;
/// How often to ask RDSEED at each use of the generator, which has a seed already.
const USE_ATTEMPTS: u32 = 10;

/// Fills `buffer` by RDSEED. False where there is none, or it gives nothing.
pub(super) fn rdseed(buffer: &mut [u8]) -> bool {
    rdseed_within(RDSEED_ATTEMPTS, buffer)
}

fn rdseed_within(attempts: u32, buffer: &mut [u8]) -> bool {
    super::super::cpu::has("rdseed")
        && fill(buffer, attempts, |word| {
            // SAFETY: the CPU has it.
            unsafe { seed_step(word) }
        })
}

/// Fills `buffer` by RDRAND. False where there is none, or it gives nothing.
pub(super) fn rdrand(buffer: &mut [u8]) -> bool {
    super::super::cpu::has("rdrand")
        && fill(buffer, RDRAND_ATTEMPTS, |word| {
            // SAFETY: the CPU has it.
            unsafe { rand_step(word) }
        })
}

/// Fills `buffer` by a source of the CPU, in a few attempts: for each use of the generator. False as above.
pub(super) fn fresh(source: Source, buffer: &mut [u8]) -> bool {
    match source {
        Source::Rdrand => rdrand(buffer),
        Source::Rdseed => rdseed_within(USE_ATTEMPTS, buffer),
        Source::Virtio => false,
    }
}

#[target_feature(enable = "rdseed")]
fn seed_step(word: &mut u64) -> bool {
    _rdseed64_step(word) == 1
}

#[target_feature(enable = "rdrand")]
fn rand_step(word: &mut u64) -> bool {
    _rdrand64_step(word) == 1
}

fn fill(buffer: &mut [u8], attempts: u32, step: impl Fn(&mut u64) -> bool) -> bool {
    buffer.chunks_mut(8).all(|chunk| {
        let mut word = 0;
        let got = (0..attempts).any(|_| {
            let got = step(&mut word);
            if !got {
                core::hint::spin_loop();
            }
            got
        });
        let bytes = word.to_le_bytes();
        chunk.copy_from_slice(bytes.get(..chunk.len()).unwrap_or_default());
        got
    })
}

#[cfg(test)]
mod tests;
