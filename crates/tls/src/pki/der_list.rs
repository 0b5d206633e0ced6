//! Lists of certificates or revocation lists, borrowed as they are stored.

use core::ops::Range;

/// Certificates or revocation lists in DER, borrowed in the form in which the caller stores them: each in a slice of its
/// own, or all in one.
#[derive(Debug, Clone, Copy)]
pub struct DerList<'a>(Form<'a>);

#[derive(Debug, Clone, Copy)]
enum Form<'a> {
    Slices(&'a [&'a [u8]]),
    Ranges(&'a [u8], &'a [Range<usize>]),
}

impl<'a> DerList<'a> {
    /// The parts of `der` at these ranges. One that ends beyond it gives an empty part, which cannot be parsed.
    pub const fn of_ranges(der: &'a [u8], ranges: &'a [Range<usize>]) -> Self {
        Self(Form::Ranges(der, ranges))
    }

    /// In order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> + Clone {
        let (slices, der, ranges) = match self.0 {
            Form::Slices(slices) => (slices, &[][..], &[][..]),
            Form::Ranges(der, ranges) => (&[][..], der, ranges),
        };
        let part = move |range: &Range<usize>| der.get(range.clone()).unwrap_or_default();
        slices.iter().copied().chain(ranges.iter().map(part))
    }

    /// The first.
    pub fn first(self) -> Option<&'a [u8]> {
        self.iter().next()
    }

    /// How many there are.
    pub const fn len(self) -> usize {
        match self.0 {
            Form::Slices(slices) => slices.len(),
            Form::Ranges(_, ranges) => ranges.len(),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl<'a, T: AsRef<[&'a [u8]]> + ?Sized> From<&'a T> for DerList<'a> {
    fn from(list: &'a T) -> Self {
        Self(Form::Slices(list.as_ref()))
    }
}
