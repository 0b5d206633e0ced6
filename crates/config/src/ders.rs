//! Certificates, lists and private keys in DER, as a configuration stores them.

use core::ops::Range;

use heapless::{String, Vec, VecView};
use zeroize::Zeroize;

use super::error::{Fault, Name, PemSource};
use super::lexer::Lexer;
use super::{MAX_CERTIFICATES, MAX_DER, MAX_KEY_DER};
use postern_tls::crypto::key::KeyError;
use postern_tls::pki::der_list::DerList;
use postern_tls::pki::pem::{Block, PemError, PemFault};

/// The PEM blocks of one key, certificates or revocation lists, as DER, one after the other.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ders {
    /// All of them, joined.
    der: Vec<u8, MAX_DER>,
    /// Where each one is in `der`.
    ranges: Vec<Range<usize>, MAX_CERTIFICATES>,
}

impl Ders {
    /// Nothing.
    pub const fn new() -> Self {
        Self {
            der: Vec::new(),
            ranges: Vec::new(),
        }
    }

    /// Removes all of them.
    pub fn clear(&mut self) {
        self.der.clear();
        self.ranges.clear();
    }

    /// In the order of the PEM.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        DerList::from(self).iter()
    }

    /// The elements at the places `part`; none if there are fewer.
    pub fn part(&self, part: Range<usize>) -> DerList<'_> {
        DerList::of_ranges(&self.der, self.ranges.get(part).unwrap_or_default())
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Takes all these blocks, which may be `most`.
    pub(super) fn fill<'p>(
        &mut self,
        blocks: impl Iterator<Item = Result<Block<'p>, PemError>>,
        most: usize,
    ) -> Result<(), Located> {
        self.clear();
        for block in blocks {
            let block = block.map_err(located)?;
            if self.ranges.len() == most {
                return Err((block.offset, Fault::TooMany(most)));
            }
            let start = self.der.len();
            let space = self.der.capacity();
            self.der.resize(space, 0).unwrap_or_default(); // the capacity always fits
            let length = block
                .decode(self.der.get_mut(start..).unwrap_or_default())
                .map_err(|error| match error.fault {
                    PemFault::TooLong => (block.offset, Fault::DerTooLong),
                    _ => located(error),
                })?;
            self.der.truncate(start + length);
            let _ = self.ranges.push(start..start + length); // there is space: see above
        }
        Ok(())
    }

    /// Whether there is room for one more.
    pub(super) fn push(&mut self, der: &[u8], most: usize) -> bool {
        let before = self.der.len();
        let fits = self.len() < most
            && self.der.extend_from_slice(der).is_ok()
            && self.ranges.push(before..self.der.len()).is_ok();
        if !fits {
            self.der.truncate(before);
        }
        fits
    }

    pub(super) fn copy(&mut self, from: &Ders) {
        self.clear();
        // The same capacities: it fits.
        let _ = self.der.extend_from_slice(&from.der);
        let _ = self.ranges.extend_from_slice(&from.ranges);
    }
}

impl<'a> From<&'a Ders> for DerList<'a> {
    fn from(ders: &'a Ders) -> Self {
        Self::of_ranges(&ders.der, &ders.ranges)
    }
}

/// The value of `.tls.srv_key` and `.tls.cli_key` for a key that is made at boot, and the label of its mark.
pub(super) const GENERATE: &str = "generate";

/// A private key, or the mark of one that is made at boot. Wiped from memory on drop.
pub struct Key {
    /// The DER.
    pub der: Vec<u8, MAX_KEY_DER>,
    /// The PEM's label: `PRIVATE KEY`, `EC PRIVATE KEY`, `RSA PRIVATE KEY` and so on.
    pub label: String<24>,
}

impl Drop for Key {
    fn drop(&mut self) {
        self.der.as_mut_slice().zeroize();
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Key({})", self.label)
    }
}

impl Key {
    fn empty() -> Self {
        Self {
            der: Vec::new(),
            label: String::new(),
        }
    }

    /// The mark of a key that is made at boot.
    pub(super) fn generated() -> Self {
        let mut key = Self::empty();
        let _ = key.label.push_str(GENERATE); // it fits
        key
    }

    /// Whether this is the mark of a key that is made at boot.
    pub fn is_generated(&self) -> bool {
        self.label == GENERATE
    }

    /// Takes a private key.
    fn fill(&mut self, block: &Block<'_>) -> Result<(), Located> {
        self.label
            .push_str(block.label)
            .map_err(|_| (block.offset, Fault::Key(None, KeyError::Label)))?;
        let space = self.der.capacity();
        self.der.resize(space, 0).unwrap_or_default(); // the capacity always fits
        let length = block
            .decode(self.der.as_mut_slice())
            .map_err(|error| match error.fault {
                PemFault::TooLong => (block.offset, Fault::KeyTooLong),
                _ => located(error),
            })?;
        self.der.truncate(length);
        Ok(())
    }
}

/// Takes all these private keys.
pub(super) fn fill_keys<'p>(
    keys: &mut VecView<Key>,
    blocks: impl Iterator<Item = Result<Block<'p>, PemError>>,
) -> Result<(), Located> {
    keys.clear();
    for block in blocks {
        let block = block.map_err(located)?;
        let most = keys.capacity();
        if keys.push(Key::empty()).is_err() {
            return Err(match most {
                1 => located(block.error(PemFault::SecondKey)),
                _ => (block.offset, Fault::TooManyKeys),
            });
        }
        // In its place, so that no copy is left elsewhere.
        if let Some(key) = keys.last_mut() {
            key.fill(&block)?;
        }
    }
    Ok(())
}

/// Each in its place, so that no copy is left elsewhere.
pub(super) fn copy_keys(to: &mut VecView<Key>, from: &[Key]) {
    to.clear();
    for key in from {
        // The same capacities: it fits.
        let _ = to.push(Key::empty());
        if let Some(copy) = to.last_mut() {
            let _ = copy.der.extend_from_slice(&key.der);
            let _ = copy.label.push_str(&key.label);
        }
    }
}

/// A fault, and at which byte of the value.
pub(super) type Located = (usize, Fault);

pub(super) fn located(error: PemError) -> Located {
    (error.offset, Fault::Pem(error, PemSource::Strings))
}

/// The fault of a value in a file: the line of its PEM is named.
pub(super) fn in_file(text: &[u8], name: Name, (offset, fault): Located) -> Fault {
    match fault {
        Fault::Pem(error, _) => {
            let line = Lexer { text, at: 0 }.position(offset).line;
            Fault::Pem(error, PemSource::File { name, line })
        }
        fault => fault,
    }
}
