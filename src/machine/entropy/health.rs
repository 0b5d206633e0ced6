//! Health tests of an entropy source: repetition count, adaptive proportion.
//!
//! NIST SP 800-90B, 4.4. A sample is a byte. The sources here are conditioned and claim full entropy; the tests assume
//! half of that, 4 bits a sample, and are set so that a source which is as good as assumed fails once in 2^40 samples.

use core::fmt;

/// Samples that a source must pass before it counts (SP 800-90B, 4.3, requirement 2: at least 1024).
pub const START_UP: usize = 1024;

/// How a source failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The same sample came [`REPETITIONS`] times in a row.
    Repetition,
    /// One sample made up [`PROPORTION`] of [`WINDOW`].
    Proportion,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repetition => "repetition count test failed",
            Self::Proportion => "adaptive proportion test failed",
        })
    }
}

/// Cutoff of the repetition count test (4.4.1): 1 + 40 bits / 4 bits.
pub const REPETITIONS: u32 = 11;
/// Window of the adaptive proportion test for samples that are not bits (4.4.2).
pub const WINDOW: u32 = 512;
/// Its cutoff: 1 + the quantile, at 1 - 2^-40, of the binomial distribution of 512 samples with probability 2^-4.
pub const PROPORTION: u32 = 78;

/// Both tests, running.
#[derive(Debug, Clone, Default)]
pub struct Health {
    last: Option<u8>,
    repetitions: u32,
    /// The first sample of the window.
    first: u8,
    /// How often it has come in the window.
    count: u32,
    /// Samples in the window so far, `< WINDOW`.
    seen: u32,
}

impl Health {
    /// Tests that have seen nothing yet.
    pub const fn new() -> Self {
        Self {
            last: None,
            repetitions: 0,
            first: 0,
            count: 0,
            seen: 0,
        }
    }

    /// Takes the next samples.
    pub fn test(&mut self, samples: &[u8]) -> Result<(), Fault> {
        samples.iter().try_for_each(|&sample| self.test_one(sample))
    }

    fn test_one(&mut self, sample: u8) -> Result<(), Fault> {
        self.repetitions = if self.last == Some(sample) {
            self.repetitions + 1
        } else {
            1
        };
        self.last = Some(sample);
        if self.repetitions >= REPETITIONS {
            return Err(Fault::Repetition);
        }
        if self.seen == 0 {
            self.first = sample;
            self.count = 0;
        }
        self.count += u32::from(sample == self.first);
        self.seen = (self.seen + 1) % WINDOW;
        if self.count >= PROPORTION {
            return Err(Fault::Proportion);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
