//! A split virtqueue (virtio 1.2 §2.7), apart from any register.
//!
//! Descriptor `i` always has buffer `i`, and all buffers of a queue have one direction. The used ring, which the device
//! writes, is validated: an index that runs ahead, a descriptor that the device does not have or a length beyond the
//! buffer is [`Broken`], and the driver resets the device.
//!
//! # Ordering
//!
//! All indices and flags are atomic words, which the device reads and writes too. A descriptor is stored before the
//! index that shows it (`Release`), and the used index is loaded before the element and the buffer (`Acquire`). Between
//! the store of an index or flag and the load of the other side's flag or index stands a full fence, since the x86 may
//! take a load before an earlier store: without it each side could miss the other's last word.

use core::sync::atomic::{AtomicU16, Ordering, fence};

use super::super::dma::{BUFFER_SIZE, Buffers, Descriptors, DmaMemory, Words};
use super::super::ring::MAX_DESCRIPTORS;
use super::transport::QueueAddress;

/// Descriptor flag: the device writes to the buffer.
pub(in crate::nic) const WRITE: u64 = 2;
/// Available ring, flags: the device need not interrupt.
pub(in crate::nic) const NO_INTERRUPT: u16 = 1;
/// Used ring, flags: the driver need not notify.
pub(in crate::nic) const NO_NOTIFY: u16 = 1;

// Places in both rings, in words.
pub(in crate::nic) const FLAGS: usize = 0;
pub(in crate::nic) const INDEX: usize = 1;
pub(in crate::nic) const ELEMENTS: usize = 2;

/// The device has written what no device may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// The direction of a queue's buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The device writes to them.
    Receive,
    /// The device reads them.
    Transmit,
}

/// A queue and its buffers.
pub(super) struct Queue {
    direction: Direction,
    table: Descriptors,
    available: Words,
    used: Words,
    buffers: Buffers,
    /// Number of descriptors in use: as many of those there are as the device can have, a power of two.
    len: u16,
    /// The index after the last element of the available ring, and as the device knows it.
    next: u16,
    published: u16,
    /// The index of the next element of the used ring.
    seen: u16,
    /// The descriptors in the available ring that were not published yet.
    queued: Set,
    /// The descriptors that the device has.
    lent: Set,
    outstanding: u16,
}

impl Queue {
    /// Bytes of shared memory that a queue of `len` descriptors takes beside its buffers, at most.
    pub(super) const fn bytes(len: usize) -> usize {
        let table = len * 16;
        let available = 6 + 2 * len;
        let used = 6 + 8 * len;
        // Alignment to 128, 4 and 4 bytes.
        table + 128 + available + 4 + used + 4
    }

    /// A queue of `len` descriptors, a power of two up to [`MAX_DESCRIPTORS`], and its buffers, out of `memory`.
    pub(super) fn new(memory: &mut DmaMemory, len: usize, direction: Direction) -> Option<Self> {
        let table = memory.descriptors(len)?;
        let available = memory.words(ELEMENTS + len + 1)?;
        let used = memory.words(ELEMENTS + 4 * len + 1)?;
        Some(Self {
            direction,
            table,
            available,
            used,
            buffers: memory.buffers(len)?,
            len: u16::try_from(len).ok()?,
            next: 0,
            published: 0,
            seen: 0,
            queued: Set::default(),
            lent: Set::default(),
            outstanding: 0,
        })
    }

    /// Starts over, with the device reset: no more than `max` descriptors, none of them the device's. The device does
    /// not interrupt.
    pub(super) fn reset(&mut self, max: u16) -> QueueAddress {
        // Both are powers of two; a device with another maximum gets the next one below.
        let max = max.checked_ilog2().map_or(0, |bits| 1 << bits);
        self.len = max.min(self.table.ring.len() as u16);
        (self.next, self.published, self.seen, self.outstanding) = (0, 0, 0, 0);
        (self.queued, self.lent) = (Set::default(), Set::default());
        for word in self.available.words.iter().chain(self.used.words) {
            word.store(0, Ordering::Relaxed);
        }
        self.set_interrupts(false);
        QueueAddress {
            len: self.len,
            table: self.table.address,
            available: self.available.address,
            used: self.used.address,
        }
    }

    /// Number of descriptors.
    pub(super) fn len(&self) -> u16 {
        self.len
    }

    /// Descriptors that the device has.
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding.into()
    }

    /// Descriptors returned since the reset, modulo 65,536.
    pub(super) fn returned(&self) -> u16 {
        self.seen
    }

    /// Buffer `id`, unless it is queued or the device has it.
    pub(super) fn buffer(&mut self, id: u16) -> Option<&mut [u8; BUFFER_SIZE]> {
        if !self.is_own(id) {
            return None;
        }
        // SAFETY: the device does not have the descriptor: it was never published, or the used ring has it back.
        Some(unsafe { self.buffers.get(usize::from(id)) })
    }

    /// Queues the first `len` bytes of buffer `id` for the device, which sees it once it is published. Without effect
    /// unless the buffer is the driver's.
    pub(super) fn lend(&mut self, id: u16, len: usize) {
        let index = usize::from(id);
        let Some(descriptor) = self.table.ring.get(index).filter(|_| self.is_own(id)) else {
            return;
        };
        let flags = match self.direction {
            Direction::Receive => WRITE,
            Direction::Transmit => 0,
        };
        descriptor.low.store(self.buffers.address(index), Ordering::Relaxed);
        let high = len.min(BUFFER_SIZE) as u64 | flags << 32;
        descriptor.high.store(high, Ordering::Relaxed);
        let at = ELEMENTS + usize::from(self.next & (self.len - 1));
        self.available.words[at].store(id, Ordering::Relaxed);
        self.next = self.next.wrapping_add(1);
        self.queued.insert(id);
    }

    /// Descriptors queued and not yet published.
    pub(super) fn unpublished(&self) -> u16 {
        self.next.wrapping_sub(self.published)
    }

    /// Shows the device what was queued. Whether there was anything and the device wants a notification of it.
    pub(super) fn publish(&mut self) -> bool {
        if self.published == self.next {
            return false;
        }
        self.outstanding += self.unpublished();
        self.lent.move_from(&mut self.queued, self.len);
        self.published = self.next;
        self.available.words[INDEX].store(self.next, Ordering::Release);
        fence(Ordering::SeqCst);
        self.used.words[FLAGS].load(Ordering::Relaxed) & NO_NOTIFY == 0
    }

    /// The oldest descriptor that the device has returned, and how many bytes it has written to the buffer.
    pub(super) fn take(&mut self) -> Result<Option<(u16, usize)>, Broken> {
        // Acquire: element and buffer are read after the index.
        let ahead = self.index().load(Ordering::Acquire).wrapping_sub(self.seen);
        if ahead == 0 {
            return Ok(None);
        }
        if ahead > self.outstanding {
            return Err(Broken);
        }
        let at = ELEMENTS + 4 * usize::from(self.seen & (self.len - 1));
        let element = |half: usize| {
            let word = |place: usize| u32::from(self.used.words[at + place].load(Ordering::Relaxed));
            word(2 * half) | word(2 * half + 1) << 16
        };
        let id = u16::try_from(element(0)).map_err(|_| Broken)?;
        if !self.lent.contains(id) {
            return Err(Broken);
        }
        let written = match self.direction {
            Direction::Receive => element(1) as usize,
            // Many devices set it for buffers that they only read (§2.7.8.2), so it is ignored there.
            Direction::Transmit => 0,
        };
        if written > BUFFER_SIZE {
            return Err(Broken);
        }
        self.seen = self.seen.wrapping_add(1);
        self.lent.remove(id);
        self.outstanding -= 1;
        Ok(Some((id, written)))
    }

    /// Whether the device interrupts when it returns a descriptor.
    pub(super) fn set_interrupts(&mut self, on: bool) {
        let flags = if on { 0 } else { NO_INTERRUPT };
        self.available.words[FLAGS].store(flags, Ordering::Relaxed);
        if on {
            // The caller looks at the used ring after this.
            fence(Ordering::SeqCst);
        }
    }

    /// The used ring's index, and the value that it had when last looked at.
    pub(super) fn watched(&self) -> (&'static AtomicU16, u16) {
        (self.index(), self.seen)
    }

    fn index(&self) -> &'static AtomicU16 {
        &self.used.words[INDEX]
    }

    fn is_own(&self, id: u16) -> bool {
        id < self.len && !self.queued.contains(id) && !self.lent.contains(id)
    }
}

/// A set of descriptors.
#[derive(Default)]
struct Set([u64; MAX_DESCRIPTORS / 64]);

impl Set {
    fn contains(&self, id: u16) -> bool {
        let word = self.0.get(usize::from(id / 64));
        word.is_some_and(|word| word >> (id % 64) & 1 == 1)
    }

    fn insert(&mut self, id: u16) {
        if let Some(word) = self.0.get_mut(usize::from(id / 64)) {
            *word |= 1 << (id % 64);
        }
    }

    fn remove(&mut self, id: u16) {
        if let Some(word) = self.0.get_mut(usize::from(id / 64)) {
            *word &= !(1 << (id % 64));
        }
    }

    /// Takes all of `other`, whose members are below `len`.
    fn move_from(&mut self, other: &mut Self, len: u16) {
        let words = usize::from(len).div_ceil(64);
        for (word, other) in self.0.iter_mut().zip(&mut other.0).take(words) {
            *word |= core::mem::take(other);
        }
    }
}

#[cfg(test)]
mod tests;
