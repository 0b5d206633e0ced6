//! DMA memory of the card, and its division.

use core::ptr::NonNull;
use core::sync::atomic::AtomicU16;

use super::ring::Descriptor;
use crate::machine::memory::Dma;

/// Size of a frame buffer, in bytes. RCTL.BSIZE has the same value, which therefore never writes past it.
pub const BUFFER_SIZE: usize = 2048;

/// Alignment of a descriptor ring, in bytes; the card ignores the low address bits (82574 datasheet, RDBAL and TDBAL).
const RING_ALIGN: u64 = 128;

/// Alignment of a virtqueue's used ring, in bytes (virtio 1.2 §2.7); the available ring needs less.
const WORDS_ALIGN: u64 = 4;

/// A block of memory shared with the card, physically contiguous.
#[derive(Debug)]
pub struct DmaMemory {
    start: NonNull<u8>,
    len: usize,
    address: u64,
}

// SAFETY: the block is owned (it came as `&'static mut`), so it may move to another thread with its owner.
unsafe impl Send for DmaMemory {}

impl DmaMemory {
    /// Takes `memory`, whose first byte the card finds at bus address `address`.
    ///
    /// # Safety
    ///
    /// `address` is indeed the bus address of `memory`, all of which is contiguous for the card too. Otherwise the
    /// card would overwrite memory of others.
    pub unsafe fn new(memory: &'static mut [u8], address: u64) -> Self {
        Self {
            start: NonNull::from(&mut *memory).cast(),
            len: memory.len(),
            address,
        }
    }

    /// Bytes left in the block.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Parts a ring of `count` descriptors from the block.
    pub(super) fn descriptors(&mut self, count: usize) -> Option<Descriptors> {
        let (start, address) = self.take(count.checked_mul(size_of::<Descriptor>())?, RING_ALIGN)?;
        let start = start.cast::<Descriptor>();
        if !start.is_aligned() {
            return None;
        }
        // SAFETY: `take` gave `count` descriptors' worth of initialised memory, aligned as just checked, that nothing
        // else has. A descriptor is two atomic words, for which every bit pattern is valid, and which the card may
        // change behind the shared reference.
        let ring = unsafe { core::slice::from_raw_parts(start.as_ptr(), count) };
        Some(Descriptors { ring, address })
    }

    /// Parts `count` 16-bit words from the block, for one of the rings of a virtqueue.
    pub(super) fn words(&mut self, count: usize) -> Option<Words> {
        let (start, address) = self.take(count.checked_mul(size_of::<AtomicU16>())?, WORDS_ALIGN)?;
        let start = start.cast::<AtomicU16>();
        if !start.is_aligned() {
            return None;
        }
        // SAFETY: as for descriptors; every bit pattern is a valid word.
        let words = unsafe { core::slice::from_raw_parts(start.as_ptr(), count) };
        Some(Words { words, address })
    }

    /// Parts `count` frame buffers from the block.
    pub(super) fn buffers(&mut self, count: usize) -> Option<Buffers> {
        let (start, address) = self.take(count.checked_mul(BUFFER_SIZE)?, BUFFER_SIZE as u64)?;
        Some(Buffers {
            start: start.cast(),
            count,
            address,
        })
    }

    /// Parts `bytes` from the front, at a bus address that is a multiple of `align`, a power of two.
    fn take(&mut self, bytes: usize, align: u64) -> Option<(NonNull<u8>, u64)> {
        let skip = usize::try_from(self.address.wrapping_neg() & (align - 1)).ok()?;
        let taken = skip.checked_add(bytes)?;
        if taken > self.len {
            return None;
        }
        // SAFETY: skip <= taken <= len, so both stay inside the block or at its end.
        let (start, rest) = unsafe { (self.start.add(skip), self.start.add(taken)) };
        let address = self.address + skip as u64;
        (self.start, self.len, self.address) = (rest, self.len - taken, self.address + taken as u64);
        Some((start, address))
    }
}

impl From<Dma> for DmaMemory {
    fn from(memory: Dma) -> Self {
        let address = memory.physical();
        // SAFETY: that is what `Dma` promises.
        unsafe { Self::new(memory.into_slice(), address) }
    }
}

/// A ring of descriptors in shared memory.
pub(super) struct Descriptors {
    /// The descriptors.
    pub(super) ring: &'static [Descriptor],
    /// Bus address of the first one.
    pub(super) address: u64,
}

/// A ring of 16-bit words in shared memory.
pub(super) struct Words {
    /// The words.
    pub(super) words: &'static [AtomicU16],
    /// Bus address of the first one.
    pub(super) address: u64,
}

/// Frame buffers, one for each descriptor of a ring.
pub(super) struct Buffers {
    start: NonNull<[u8; BUFFER_SIZE]>,
    count: usize,
    address: u64,
}

// SAFETY: the buffers are owned, as `DmaMemory` was.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Bus address of buffer `index`.
    pub(super) fn address(&self, index: usize) -> u64 {
        self.address + (index * BUFFER_SIZE) as u64
    }

    /// Buffer `index`.
    ///
    /// # Safety
    ///
    /// The card does not own the buffer: its descriptor was not handed over, or has come back with DD set.
    pub(super) unsafe fn get(&mut self, index: usize) -> &mut [u8; BUFFER_SIZE] {
        assert!(index < self.count);
        // SAFETY: in bounds; only this value points there, and the card leaves the buffer alone (the caller).
        unsafe { self.start.add(index).as_mut() }
    }
}

#[cfg(test)]
mod tests;
