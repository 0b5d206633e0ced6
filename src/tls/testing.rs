//! What the unit tests of the engine share: hexadecimal, and a generator by script.

use core::convert::Infallible;

use rand_core::{TryCryptoRng, TryRng};

/// The bytes of a hexadecimal text; everything in it that is no digit is skipped.
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

/// A generator that gives prepared bytes, then zeros.
pub(crate) struct Script(pub(crate) Vec<u8>);

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
        let count = bytes.len().min(self.0.len());
        bytes.fill(0);
        bytes[..count].copy_from_slice(&self.0[..count]);
        self.0.drain(..count);
        Ok(())
    }
}

impl TryCryptoRng for Script {}
