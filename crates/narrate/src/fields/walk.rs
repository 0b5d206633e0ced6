//! A cursor over the bytes of a structure that shows each field that it passes.

use super::{Item, ItemKind, Meaning};

/// A cursor that shows what it passes.
pub(super) struct Walk<'t, 'v> {
    pub(super) rest: &'t [u8],
    pub(super) depth: u8,
    pub(super) kind: ItemKind,
    pub(super) visit: &'v mut dyn FnMut(&Item<'_>),
}

impl<'t> Walk<'t, '_> {
    /// The next `count` bytes, or as many as there are.
    pub(super) fn take(&mut self, count: usize) -> &'t [u8] {
        let (bytes, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        bytes
    }

    /// A field of `count` bytes. A truncated one is shown as far as it goes.
    pub(super) fn leaf(
        &mut self,
        count: usize,
        name: &'static str,
        meaning: impl FnOnce(&'t [u8]) -> Meaning<'t>,
        note: &'static str,
    ) {
        let bytes = self.take(count);
        if bytes.is_empty() {
            return;
        }
        let meaning = if bytes.len() == count {
            meaning(bytes)
        } else {
            Meaning::Words("truncated")
        };
        (self.visit)(&Item {
            depth: self.depth,
            kind: self.kind,
            name,
            bytes,
            meaning,
            note,
        });
    }

    /// A byte whose values have names.
    pub(super) fn word(&mut self, what: &'static str, note: &'static str, name: fn(u8) -> Option<&'static str>) {
        let meaning = |bytes: &[u8]| {
            bytes
                .first()
                .and_then(|&byte| name(byte))
                .map_or(Meaning::None, Meaning::Words)
        };
        self.leaf(1, what, meaning, note);
    }

    pub(super) fn group(&mut self, name: &'static str, meaning: Meaning<'t>, note: &'static str) {
        (self.visit)(&Item {
            depth: self.depth,
            kind: ItemKind::Group,
            name,
            bytes: &[],
            meaning,
            note,
        });
    }

    pub(super) fn computed(&mut self, name: &'static str, bytes: &'t [u8], meaning: Meaning<'t>, note: &'static str) {
        (self.visit)(&Item {
            depth: self.depth,
            kind: ItemKind::Computed,
            name,
            bytes,
            meaning,
            note,
        });
    }

    /// The next `count` bytes by themselves, one group deeper; those that `inside` leaves are shown as they are.
    pub(super) fn inner(&mut self, count: usize, inside: impl FnOnce(&mut Walk<'t, '_>)) {
        let bytes = self.take(count);
        let mut walk = Walk {
            rest: bytes,
            depth: self.depth.saturating_add(1),
            kind: self.kind,
            visit: &mut *self.visit,
        };
        inside(&mut walk);
        walk.finish();
    }

    /// The bytes that are left.
    pub(super) fn finish(&mut self) {
        let left = self.rest.len();
        self.leaf(left, "further bytes", |_| Meaning::None, "Their meaning is unknown.");
    }

    /// A length of `width` bytes; returns it.
    pub(super) fn length(&mut self, width: usize, name: &'static str) -> usize {
        let value = number(self.rest.get(..width).unwrap_or_default());
        self.leaf(width, name, length, "");
        value
    }
}

/// A number of up to four bytes in network order.
pub(crate) fn number(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take(4)
        .fold(0, |value, &byte| value << 8 | usize::from(byte))
}

pub(super) fn number16(bytes: &[u8]) -> u16 {
    bytes.first_chunk().map_or(0, |&bytes| u16::from_be_bytes(bytes))
}

/// A count of things.
pub(super) fn count(number: usize, of: &'static str) -> Meaning<'static> {
    Meaning::Count(u64::try_from(number).unwrap_or(u64::MAX), of)
}

pub(super) fn low(number: u16) -> u8 {
    let [_, low] = number.to_be_bytes();
    low
}

pub(super) fn length(bytes: &[u8]) -> Meaning<'_> {
    Meaning::Length(number(bytes))
}

/// The name of a number of one or two bytes.
pub(super) fn code<'t>(bytes: &[u8], name: impl FnOnce(u16) -> Option<&'static str>) -> Meaning<'t> {
    let value = match bytes {
        &[byte] => byte.into(),
        bytes => number16(bytes),
    };
    name(value).map_or(Meaning::Unknown(value.into()), Meaning::Words)
}

/// A vector with a length of one byte, shown as one field.
pub(super) fn vector8<'t>(
    walk: &mut Walk<'t, '_>,
    name: &'static str,
    meaning: impl FnOnce(&'t [u8]) -> Meaning<'t>,
    note: &'static str,
) {
    let length = walk.length(1, "length");
    walk.leaf(length, name, meaning, note);
}

/// The same with two bytes.
pub(super) fn vector16<'t>(
    walk: &mut Walk<'t, '_>,
    name: &'static str,
    meaning: impl FnOnce(&'t [u8]) -> Meaning<'t>,
    note: &'static str,
) {
    let length = walk.length(2, "length");
    walk.leaf(length, name, meaning, note);
}

/// A vector with a length of `width` bytes, its items read by `item` as long as there are any.
pub(super) fn list<'t>(
    walk: &mut Walk<'t, '_>,
    width: usize,
    name: &'static str,
    mut item: impl FnMut(&mut Walk<'t, '_>),
) {
    let length = walk.length(width, name);
    walk.inner(length, |list| {
        while !list.rest.is_empty() {
            item(list);
        }
    });
}

/// Numbers of two bytes, as many as there are.
pub(super) fn numbers(walk: &mut Walk<'_, '_>, what: &'static str, name: fn(u16) -> Option<&'static str>) {
    while !walk.rest.is_empty() {
        walk.leaf(2, what, |bytes| code(bytes, name), "");
    }
}
