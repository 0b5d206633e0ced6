//! Page tables: everything one to one, nothing both writable and executable.
//!
//! Unmapped memory faults: the first page (null pointers), the guard page below each stack, and every address
//! at which there is neither RAM nor a device in use.

use super::memory::{PAGE, Range};
use core::fmt;

/// The purpose of a range of memory, which decides the access rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryKind {
    /// Executed and read.
    Code,
    /// Read.
    ReadOnly,
    /// Read and written.
    Data,
    /// Registers of a device: read and written, not cached.
    Device,
}

/// Why a range cannot be mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MapError {
    /// There are no page tables yet.
    NotYet,
    /// It is not whole pages, or lies beyond what four levels can map.
    BadRange,
    /// It has the first page, which stays unmapped.
    FirstPage,
    /// There is something else already at this address.
    Conflict(u64),
    /// No page is left for another table.
    NoTables,
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotYet => f.write_str("no page tables yet"),
            Self::BadRange => f.write_str("address range cannot be mapped"),
            Self::FirstPage => f.write_str("the first page must stay unmapped"),
            Self::Conflict(address) => write!(f, "{address:#x} is already mapped differently"),
            Self::NoTables => f.write_str("no page left for page tables"),
        }
    }
}

impl core::error::Error for MapError {}

/// Four-level page tables (Intel SDM volume 3, 5.5).
#[derive(Debug)]
pub struct Mapper {
    root: *mut Table,
    spare: Range,
    large: bool,
}

// SAFETY: the tables belong to the mapper alone (`new`).
unsafe impl Send for Mapper {}

impl Mapper {
    /// Tables that map nothing, made from the pages of `spare` as they are needed. `large`: the CPU has 1 GiB pages.
    ///
    /// # Safety
    ///
    /// `spare` is whole pages of RAM that nothing else uses, mapped one to one and writable.
    pub unsafe fn new(spare: Range, large: bool) -> Result<Self, MapError> {
        let mut mapper = Self {
            root: core::ptr::null_mut(),
            spare,
            large,
        };
        mapper.root = mapper.table()?;
        Ok(mapper)
    }

    /// Pages that tables for `ram` may need at most: by the GiB, by ragged ends, and `more` for devices.
    pub fn pages_for(ram: &[Range], large: bool, more: u64) -> u64 {
        let gib = |range: &Range| {
            let whole = range.end.div_ceil(GIB) - range.start / GIB;
            if large { whole.min(2) } else { whole }
        };
        2 + ram.iter().map(|range| gib(range) + 2).sum::<u64>() + more
    }

    /// The physical address of the root table, for CR3.
    pub fn root(&self) -> u64 {
        self.root.addr() as u64
    }

    /// Maps `range`, whole pages, one to one. What is mapped for the same purpose already stays as it is.
    pub fn map(&mut self, range: Range, kind: MemoryKind) -> Result<(), MapError> {
        if !(range.start | range.end).is_multiple_of(PAGE) || range.end > 1 << 47 {
            return Err(MapError::BadRange);
        }
        if range.start == 0 && !range.is_empty() {
            return Err(MapError::FirstPage);
        }
        let mut at = range.start;
        while at < range.end {
            at += self.map_one(at, range.end - at, kind)?;
        }
        Ok(())
    }

    /// The purpose of the memory mapped at `address`.
    pub fn lookup(&self, address: u64) -> Option<MemoryKind> {
        let mut table = self.root;
        for level in (0..4).rev() {
            // SAFETY: the root, or a table below it: made by `table`, ours alone.
            let entry = unsafe { (*table).0[index(address, level)] };
            if entry & PRESENT == 0 {
                return None;
            }
            if level == 0 || entry & LARGE != 0 {
                return MemoryKind::ALL.into_iter().find(|kind| kind.flags() == entry & FLAGS);
            }
            table = (entry & ADDRESS) as *mut Table;
        }
        None
    }

    /// Maps the largest page that fits at `at`, and returns its size.
    fn map_one(&mut self, at: u64, len: u64, kind: MemoryKind) -> Result<u64, MapError> {
        let mut table = self.root;
        for level in (0..4).rev() {
            let size = PAGE << (9 * level);
            // SAFETY: the root, or a table below it: made by `table`, ours alone.
            let entry = unsafe { &raw mut (*table).0[index(at, level)] };
            // SAFETY: as above.
            let old = unsafe { entry.read() };
            let leaf = level == 0 || old & LARGE != 0;
            if old & PRESENT != 0 && leaf {
                let same = old & FLAGS == kind.flags();
                // The rest of the page that is there already.
                return if same {
                    Ok((size - at % size).min(len))
                } else {
                    Err(MapError::Conflict(at))
                };
            }
            let fits = at.is_multiple_of(size) && len >= size && (level < 2 || level == 2 && self.large);
            if old & PRESENT == 0 && fits {
                let large = if level == 0 { 0 } else { LARGE };
                // SAFETY: as above. Nothing was mapped here, so no translation of it is cached either.
                unsafe { entry.write(at | kind.flags() | large) };
                return Ok(size);
            }
            if old & PRESENT == 0 {
                let next = self.table()?;
                // SAFETY: as above.
                unsafe { entry.write(next.addr() as u64 | PRESENT | WRITABLE | ACCESSED) };
                table = next;
            } else {
                table = (old & ADDRESS) as *mut Table;
            }
        }
        Err(MapError::BadRange)
    }

    fn table(&mut self) -> Result<*mut Table, MapError> {
        if self.spare.len() < PAGE {
            return Err(MapError::NoTables);
        }
        let table = self.spare.start as *mut Table;
        self.spare.start += PAGE;
        // SAFETY: a page of `spare`: RAM that nothing else uses.
        unsafe { table.write(Table([0; 512])) };
        Ok(table)
    }
}

#[repr(C, align(4096))]
#[derive(Debug)]
struct Table([u64; 512]);

const GIB: u64 = 1 << 30;
const PRESENT: u64 = 1 << 0;
const WRITABLE: u64 = 1 << 1;
const WRITE_THROUGH: u64 = 1 << 3;
const UNCACHED: u64 = 1 << 4;
const ACCESSED: u64 = 1 << 5;
const DIRTY: u64 = 1 << 6;
const LARGE: u64 = 1 << 7;
const NO_EXECUTE: u64 = 1 << 63;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The bits by which one purpose differs from another. Accessed and dirty are set from the start.
const FLAGS: u64 = PRESENT | WRITABLE | WRITE_THROUGH | UNCACHED | ACCESSED | DIRTY | NO_EXECUTE;

impl MemoryKind {
    const ALL: [MemoryKind; 4] = [
        MemoryKind::Code,
        MemoryKind::ReadOnly,
        MemoryKind::Data,
        MemoryKind::Device,
    ];

    const fn flags(self) -> u64 {
        PRESENT
            | ACCESSED
            | DIRTY
            | match self {
                MemoryKind::Code => 0,
                MemoryKind::ReadOnly => NO_EXECUTE,
                MemoryKind::Data => WRITABLE | NO_EXECUTE,
                // Entry 3 of the PAT as it is after reset: strongly uncached.
                MemoryKind::Device => WRITABLE | NO_EXECUTE | UNCACHED | WRITE_THROUGH,
            }
    }
}

fn index(address: u64, level: u32) -> usize {
    (address >> (12 + 9 * level)) as usize & 511
}

#[cfg(test)]
mod tests;
