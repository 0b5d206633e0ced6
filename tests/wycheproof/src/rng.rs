//! A generator of prepared bytes, so that the keys are those of the vectors.

use std::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// Returns prepared bytes, then those of a counter: a test is repeatable, and rejection sampling ends.
pub struct Script {
    prepared: Vec<u8>,
    counter: u64,
}

impl Script {
    /// A generator that begins with the parts of `prepared`.
    pub fn new(prepared: &[&[u8]]) -> Self {
        Self {
            prepared: prepared.concat(),
            counter: 0,
        }
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        while self.prepared.len() < bytes.len() {
            self.counter += 1;
            // The golden ratio spreads the counter over all bits.
            let word = self.counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            self.prepared.extend(word.to_le_bytes());
        }
        let rest = self.prepared.split_off(bytes.len());
        bytes.copy_from_slice(&self.prepared);
        self.prepared = rest;
        Ok(())
    }
}

impl TryCryptoRng for Script {}
