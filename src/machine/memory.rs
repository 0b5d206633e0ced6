//! Physical memory: ranges, the arena that hands out RAM at boot, device memory.
//!
//! Virtual and physical addresses are the same everywhere. RAM is handed out once, at boot, and never comes back: what
//! a connection, a ring or a table needs is sized by what there is, and nothing can run out later.

use super::paging::{MapError, Mapper, MemoryKind};
use core::cell::RefCell;
use core::mem::MaybeUninit;
use core::ptr::NonNull;
use core::{fmt, slice};
use critical_section::Mutex;
use heapless::Vec;

/// The size of a page, in bytes.
pub const PAGE: u64 = 4096;
/// The most separate ranges of free RAM: those of the memory map, each cut by image and module at the worst.
pub const MAX_FREE: usize = super::boot_info::MAX_RANGES + 4;

/// A range of physical addresses, `start` included, `end` not. `start <= end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// The first address.
    pub start: u64,
    /// The first address that does not belong to it.
    pub end: u64,
}

impl Range {
    /// From `start` up to `end`; empty where `end` comes before `start`.
    pub const fn new(start: u64, end: u64) -> Self {
        Self {
            start,
            end: if end < start { start } else { end },
        }
    }

    /// Its length in bytes.
    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether it has no byte.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether all of `other` lies within.
    pub const fn contains(&self, other: Range) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    /// Whether the two have a byte in common.
    pub const fn overlaps(&self, other: Range) -> bool {
        self.start < other.end && other.start < self.end
    }

    /// The smallest range of whole pages around it.
    pub const fn pages(&self) -> Self {
        Self {
            start: self.start & !(PAGE - 1),
            end: self.end.saturating_add(PAGE - 1) & !(PAGE - 1),
        }
    }

    /// The parts below and above `hole`.
    pub fn without(self, hole: Range) -> (Option<Range>, Option<Range>) {
        let below = Range::new(self.start, self.end.min(hole.start));
        let above = Range::new(self.start.max(hole.end), self.end);
        if hole.is_empty() {
            return (Some(self), None);
        }
        (
            Some(below).filter(|r| !r.is_empty()),
            Some(above).filter(|r| !r.is_empty()),
        )
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// There is not that much free RAM in one piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes that were asked for.
    pub wanted: usize,
    /// The largest piece there is.
    pub largest: usize,
}

impl fmt::Display for OutOfMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "out of memory: {} bytes requested, the largest free block has {}",
            self.wanted, self.largest
        )
    }
}

impl core::error::Error for OutOfMemory {}

/// Free RAM, handed out once and for good.
#[derive(Debug)]
pub struct Arena {
    free: Vec<Range, MAX_FREE>,
}

impl Arena {
    /// An arena over `free` without `taken`. What does not fit into the table of [`MAX_FREE`] ranges is left unused.
    ///
    /// # Safety
    ///
    /// Nothing else uses the RAM in `free` that is not in `taken`, now or later; it is mapped, one to one and writable,
    /// by the time the arena is asked for it.
    pub unsafe fn new(free: &[Range], taken: &[Range]) -> Self {
        let mut left: Vec<Range, MAX_FREE> = free.iter().copied().take(MAX_FREE).collect();
        for hole in taken {
            let before = core::mem::take(&mut left);
            for range in &before {
                let (below, above) = range.without(hole.pages());
                left.extend([below, above].into_iter().flatten().take(MAX_FREE - left.len()));
            }
        }
        Self { free: left }
    }

    /// An arena for tests, over `len` bytes of the host's, which are never freed.
    #[cfg(test)]
    pub fn fake(len: usize) -> Self {
        let start = physical(std::vec![0_u8; len].leak().as_ptr());
        // SAFETY: nothing else uses the leaked bytes.
        unsafe { Self::new(&[Range::new(start, start + len as u64)], &[]) }
    }

    /// `len` bytes, zeroed, at a multiple of `align` (a power of two).
    pub fn bytes(&mut self, len: usize, align: usize) -> Result<&'static mut [u8], OutOfMemory> {
        let memory = self.take(len, align)?;
        memory.fill(MaybeUninit::new(0));
        // SAFETY: every byte was just written.
        Ok(unsafe { slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), len) })
    }

    /// `len` bytes for a buffer, holding whatever the RAM holds. Clearing tens of megabytes would take longer than the
    /// rest of the boot.
    pub fn buffer(&mut self, len: usize) -> Result<&'static mut [u8], OutOfMemory> {
        let memory = self.take(len, 1)?.as_mut_ptr().cast::<u8>();
        // SAFETY: this does nothing; but as far as the compiler knows it may have written the memory that it is given
        // the address of, which therefore holds bytes, if unknown ones.
        unsafe { core::arch::asm!("/* {0} */", in(reg) memory, options(nostack, preserves_flags)) };
        // SAFETY: `take` gave that many bytes to nothing else, for good, and every byte is a valid `u8`.
        Ok(unsafe { slice::from_raw_parts_mut(memory, len) })
    }

    /// `len` values, each made by `init` from its index.
    pub fn slice<T>(&mut self, len: usize, mut init: impl FnMut(usize) -> T) -> Result<&'static mut [T], OutOfMemory> {
        let largest = self.largest();
        let bytes = size_of::<T>().checked_mul(len).ok_or(OutOfMemory {
            wanted: usize::MAX,
            largest,
        })?;
        let memory = self.take(bytes, align_of::<T>())?.as_mut_ptr().cast::<MaybeUninit<T>>();
        // SAFETY: `take` gave that many bytes with that alignment, and to nothing else, for good.
        let memory: &'static mut [MaybeUninit<T>] = unsafe { slice::from_raw_parts_mut(memory, len) };
        for (index, place) in memory.iter_mut().enumerate() {
            place.write(init(index));
        }
        // SAFETY: every element was just written.
        Ok(unsafe { slice::from_raw_parts_mut(memory.as_mut_ptr().cast(), len) })
    }

    /// One value.
    pub fn value<T>(&mut self, value: T) -> Result<&'static mut T, OutOfMemory> {
        let memory = self
            .take(size_of::<T>(), align_of::<T>())?
            .as_mut_ptr()
            .cast::<MaybeUninit<T>>();
        // SAFETY: `take` gave room for a `T`, to nothing else, for good.
        Ok(unsafe { (*memory).write(value) })
    }

    /// `len` bytes, zeroed and physically contiguous, at a multiple of `align` (a power of two), for a device.
    pub fn dma(&mut self, len: usize, align: usize) -> Result<Dma, OutOfMemory> {
        let memory = self.bytes(len, align)?;
        let start = NonNull::from(&mut *memory).cast();
        Ok(Dma { start, len })
    }

    /// Bytes that are left, in all pieces together.
    pub fn left(&self) -> usize {
        self.free.iter().map(|range| range.len() as usize).sum()
    }

    /// Bytes in the largest piece that is left.
    pub fn largest(&self) -> usize {
        self.free.iter().map(|range| range.len() as usize).max().unwrap_or(0)
    }

    /// The least bytes that requests of at most `request` bytes each, enough of them, take from the pieces beside the
    /// largest one: they go there as long as they fit.
    pub fn beside(&self, request: usize) -> usize {
        let usable = |range: &Range| (range.len() as usize).saturating_sub(request);
        let largest = self.free.iter().max_by_key(|range| range.len());
        self.free.iter().map(usable).sum::<usize>() - largest.map_or(0, usable)
    }

    fn take(&mut self, len: usize, align: usize) -> Result<&'static mut [MaybeUninit<u8>], OutOfMemory> {
        debug_assert!(align.is_power_of_two());
        let mask = (align.max(1) as u64).wrapping_sub(1);
        // The first piece that is large enough: low memory, in small pieces, goes to small requests.
        for range in &mut self.free {
            let Some(start) = range.start.checked_add(mask).map(|start| start & !mask) else {
                continue;
            };
            let Some(end) = start
                .checked_add(len as u64)
                .filter(|&end| end <= range.end && start != 0)
            else {
                continue;
            };
            range.start = end;
            // SAFETY: `new`'s caller guarantees that nothing else uses the range; it leaves the free list for good.
            return Ok(unsafe { slice::from_raw_parts_mut(start as *mut MaybeUninit<u8>, len) });
        }
        Err(OutOfMemory {
            wanted: len,
            largest: self.largest(),
        })
    }
}

/// RAM that is shared with a device: physically contiguous, never moved, never given back.
///
/// The device reads and writes it at any time, so that there are no references into it, only pointers.
#[derive(Debug)]
pub struct Dma {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: plain memory, owned by this value.
unsafe impl Send for Dma {}

impl Dma {
    /// Where the processor finds it. Valid for [`Dma::len`] bytes, for good.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.start
    }

    /// Where the device finds it.
    pub fn physical(&self) -> u64 {
        physical(self.start.as_ptr())
    }

    /// Its length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The memory as a slice, for an owner that does not touch what a device may write.
    pub fn into_slice(self) -> &'static mut [u8] {
        // SAFETY: the memory came from `Arena::bytes` as an exclusive slice, and `self` is gone with this call.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

/// The physical address of something in memory.
pub fn physical<T: ?Sized>(pointer: *const T) -> u64 {
    pointer.cast::<u8>().addr() as u64
}

/// Memory-mapped registers of a device. Accesses beyond its end read all ones and write nothing.
#[derive(Debug)]
pub struct Registers {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: registers may be accessed from anywhere; there is one CPU.
unsafe impl Send for Registers {}
// SAFETY: as above; accesses are single volatile loads and stores.
unsafe impl Sync for Registers {}

impl Registers {
    /// The registers at physical addresses `range`, mapped uncached.
    ///
    /// # Safety
    ///
    /// `range` belongs to a device, and the caller drives it so that it touches no memory but what it
    /// was given.
    pub unsafe fn map(range: Range) -> Result<Self, MapError> {
        map(range, MemoryKind::Device)?;
        let start = NonNull::new(range.start as *mut u8).ok_or(MapError::FirstPage)?;
        let len = range.len() as usize;
        Ok(Self { start, len })
    }

    /// Registers that are ordinary memory: for tests of drivers against a fake device.
    pub fn fake(memory: &'static mut [u32]) -> Self {
        let len = size_of_val(memory);
        let start = NonNull::from(memory).cast();
        Self { start, len }
    }

    /// Their length in bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where they begin.
    pub fn as_ptr(&self) -> NonNull<u8> {
        self.start
    }

    /// Reads the 32-bit register at byte offset `at` (a multiple of 4).
    #[inline]
    pub fn read(&self, at: usize) -> u32 {
        self.load(at).unwrap_or(u32::MAX)
    }

    /// Reads the 16-bit register at byte offset `at` (a multiple of 2).
    #[inline]
    pub fn read_u16(&self, at: usize) -> u16 {
        self.load(at).unwrap_or(u16::MAX)
    }

    /// Reads the 8-bit register at byte offset `at`.
    #[inline]
    pub fn read_u8(&self, at: usize) -> u8 {
        self.load(at).unwrap_or(u8::MAX)
    }

    /// Writes the 32-bit register at byte offset `at` (a multiple of 4).
    #[inline]
    pub fn write(&self, at: usize, value: u32) {
        self.store(at, value);
    }

    /// Writes the 16-bit register at byte offset `at` (a multiple of 2).
    #[inline]
    pub fn write_u16(&self, at: usize, value: u16) {
        self.store(at, value);
    }

    /// Writes the 8-bit register at byte offset `at`.
    #[inline]
    pub fn write_u8(&self, at: usize, value: u8) {
        self.store(at, value);
    }

    #[inline]
    fn load<T: Copy>(&self, at: usize) -> Option<T> {
        // SAFETY: `register` checked bounds and alignment; `T` is a plain number.
        self.register(at).map(|register| unsafe { register.read_volatile() })
    }

    #[inline]
    fn store<T: Copy>(&self, at: usize, value: T) {
        if let Some(register) = self.register(at) {
            // SAFETY: `register` checked bounds and alignment; `map`'s caller is responsible for what the device does.
            unsafe { register.write_volatile(value) }
        }
    }

    #[inline]
    fn register<T: Copy>(&self, at: usize) -> Option<NonNull<T>> {
        let fits =
            at.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len) && at.is_multiple_of(size_of::<T>());
        debug_assert!(fits, "register at {at:#x} of {:#x} bytes", self.len);
        // SAFETY: within the region.
        fits.then(|| unsafe { self.start.add(at) }.cast())
    }
}

static MAPPER: Mutex<RefCell<Option<Mapper>>> = Mutex::new(RefCell::new(None));

/// Hands over the page tables, so that devices and firmware tables can be mapped from now on.
///
/// # Safety
///
/// They are the ones in use: what is mapped in them is accessed.
///
/// ```compile_fail,E0133
/// fn hand_over(mapper: postern::machine::paging::Mapper) {
///     postern::machine::memory::set_mapper(mapper);
/// }
/// ```
pub unsafe fn set_mapper(mapper: Mapper) {
    critical_section::with(|cs| MAPPER.borrow_ref_mut(cs).replace(mapper));
}

/// Maps the pages around `range`; what is mapped like that already stays.
pub(super) fn map(range: Range, kind: MemoryKind) -> Result<(), MapError> {
    critical_section::with(|cs| match MAPPER.borrow_ref_mut(cs).as_mut() {
        Some(mapper) => mapper.map(range.pages(), kind),
        None => Err(MapError::NotYet),
    })
}

/// The `len` bytes of firmware tables at physical address `address`, mapped read-only.
///
/// # Safety
///
/// Nothing writes there while the slice lives: it is memory that firmware has left behind.
pub(super) unsafe fn firmware(address: u64, len: usize) -> Option<&'static [u8]> {
    let range = Range::new(address, address.checked_add(len as u64)?);
    map(range, MemoryKind::ReadOnly).ok()?;
    let start = NonNull::new(address as *mut u8)?;
    // SAFETY: mapped above; the caller guarantees the rest.
    Some(unsafe { slice::from_raw_parts(start.as_ptr(), len) })
}

#[cfg(test)]
mod tests;
