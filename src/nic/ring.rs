//! The descriptor rings that software and card share, apart from any register.
//!
//! A ring of `n` descriptors is cut in two by an index, the *tail*: from the card's head up to the tail they are the
//! card's, the others ours. Head equal to tail means that the card has none, so it never holds more than `n - 1`.
//!
//! # Ordering
//!
//! A descriptor is two atomic words, which the card reads and writes too. Handing it over and getting it back are
//! each one store and one load:
//!
//! * *Ours to the card's.* The frame is in its buffer, then the descriptor is stored, then the tail goes out to a
//!   register. The x86 does not reorder stores to ordinary memory, nor an uncached store before them (Intel SDM vol. 3,
//!   9.2.2), so only the compiler must be held back: the fence in `publish` does that, and is no instruction.
//! * *The card's to ours.* The card stores a frame before the word with its DD bit (PCI Express posted writes stay in
//!   order). We load that word with `Acquire` and look at the frame only after that; the x86 does not reorder loads.
//!
//! A 64-bit aligned word is read and written in one piece. What we need of a written-back descriptor is all in its
//! second word, so it does not matter that the card may write the two at different times.

use core::sync::atomic::{AtomicU64, Ordering, fence};

use super::checksum::Insert;
use super::dma::{BUFFER_SIZE, Buffers, Descriptors};

/// Most descriptors in a ring.
pub(super) const MAX_DESCRIPTORS: usize = 1024;
/// Fewest descriptors in a ring.
pub(super) const MIN_DESCRIPTORS: usize = 16;

/// Receive descriptors are returned in batches of this many (or a quarter of a smaller ring): each return is a
/// register write, which also makes QEMU go through its queues.
const RX_BATCH: usize = 32;

/// The card reports completion at least every this many transmit descriptors (or a quarter of a smaller ring).
const TX_REPORT: usize = 64;

/// A descriptor: 16 bytes, little-endian (datasheet 7.1.5 and 7.2.2).
#[derive(Debug)]
#[repr(C, align(16))]
pub(super) struct Descriptor {
    pub(super) low: AtomicU64,
    pub(super) high: AtomicU64,
}

impl Descriptor {
    /// Whether the card has written this receive descriptor back.
    pub(super) fn is_received(&self) -> bool {
        self.high.load(Ordering::Relaxed) as u32 & RX_DD != 0
    }
}

/// Extended receive status: Descriptor Done.
pub(super) const RX_DD: u32 = 1 << 0;
/// Extended receive status: End Of Packet.
pub(super) const RX_EOP: u32 = 1 << 1;

/// Transmit command: End Of Packet.
pub(super) const TX_EOP: u64 = 1 << 24;
/// Transmit command: insert the Ethernet CRC.
pub(super) const TX_IFCS: u64 = 1 << 25;
/// Transmit command: Report Status, that is, set DD when done with this descriptor.
pub(super) const TX_RS: u64 = 1 << 27;
/// Transmit command: not a legacy descriptor.
pub(super) const TX_DEXT: u64 = 1 << 29;
/// Transmit descriptor type: data (0 is a context).
pub(super) const TX_DTYP_DATA: u64 = 1 << 20;
/// Transmit status: Descriptor Done.
pub(super) const TX_DD: u64 = 1 << 32;
/// Transmit packet options: insert the IPv4 header checksum.
pub(super) const TX_IXSM: u64 = 1 << 40;
/// Transmit packet options: insert the TCP checksum.
pub(super) const TX_TXSM: u64 = 1 << 41;
/// Context command: the packet is IPv4.
pub(super) const TX_CONTEXT_IP: u64 = 1 << 25;
/// Context command: the packet is TCP.
pub(super) const TX_CONTEXT_TCP: u64 = 1 << 24;

/// The card's report on a receive buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Completion {
    /// Extended status (low bits) and errors (high bits).
    pub(super) status: u32,
    /// Bytes in the buffer, by the card's account.
    pub(super) len: usize,
}

/// The receive ring: descriptor `i` always comes with buffer `i`.
pub(super) struct RxRing {
    ring: Descriptors,
    buffers: Buffers,
    /// Indices are taken modulo the size, a power of two.
    mask: usize,
    /// The next descriptor to look at. From here up to `tail` they are the card's, or done by it.
    next: usize,
    /// The tail as the card knows it.
    tail: usize,
    batch: usize,
}

impl RxRing {
    /// A ring over as many buffers as descriptors, a power of two.
    pub(super) fn new(ring: Descriptors, buffers: Buffers) -> Self {
        let size = ring.ring.len();
        assert!(size.is_power_of_two() && size >= MIN_DESCRIPTORS);
        let mut ring = Self {
            ring,
            buffers,
            mask: size - 1,
            next: 0,
            tail: 0,
            batch: RX_BATCH.min(size / 4),
        };
        ring.reset();
        ring
    }

    /// Resets, with the card stopped: all descriptors are ready, and those up to the tail returned are the card's.
    pub(super) fn reset(&mut self) -> u32 {
        for index in 0..=self.mask {
            self.rewrite(index);
        }
        (self.next, self.tail) = (0, self.mask);
        fence(Ordering::Release);
        self.tail as u32
    }

    /// Bus address of the ring.
    pub(super) fn address(&self) -> u64 {
        self.ring.address
    }

    /// Bytes of descriptors.
    pub(super) fn bytes(&self) -> u32 {
        size_of_val(self.ring.ring) as u32
    }

    /// Number of descriptors.
    pub(super) fn len(&self) -> usize {
        self.mask + 1
    }

    /// The descriptor that is looked at next.
    pub(super) fn next(&self) -> &'static Descriptor {
        &self.ring.ring[self.next]
    }

    /// The card's status of the oldest descriptor, if it is done with it.
    pub(super) fn completed(&self) -> Option<Completion> {
        if self.next == self.tail {
            return None; // all were released and none returned yet: the card has nothing
        }
        // Acquire: the frame is read after DD is seen. Status, errors and length are in this word.
        let word = self.ring.ring[self.next].high.load(Ordering::Acquire);
        let status = word as u32;
        (status & RX_DD != 0).then_some(Completion {
            status,
            len: usize::from((word >> 32) as u16),
        })
    }

    /// The oldest buffer and the card's status of it, if the card is done with it.
    pub(super) fn oldest(&mut self) -> Option<(Completion, &mut [u8; BUFFER_SIZE])> {
        let completion = self.completed()?;
        // SAFETY: the descriptor has come back with DD set.
        Some((completion, unsafe { self.buffers.get(self.next) }))
    }

    /// Releases the oldest buffer. Returns the new tail when the card is to be notified.
    pub(super) fn release(&mut self) -> Option<u32> {
        if self.next == self.tail {
            return None;
        }
        self.rewrite(self.next);
        self.next = (self.next + 1) & self.mask;
        // The slot just released stays behind as the empty one before the head.
        let gathered = self.released().wrapping_sub(self.tail) & self.mask;
        (gathered >= self.batch).then(|| self.return_released())
    }

    /// Returns what has been released, however little: the new tail, which may be the old one.
    pub(super) fn return_released(&mut self) -> u32 {
        self.tail = self.released();
        fence(Ordering::Release);
        self.tail as u32
    }

    /// The value of the tail if every released descriptor were returned.
    fn released(&self) -> usize {
        self.next.wrapping_sub(1) & self.mask
    }

    /// Writes a descriptor for the card to read. The card overwrites it whole, its address included.
    fn rewrite(&self, index: usize) {
        let descriptor = &self.ring.ring[index];
        descriptor.low.store(self.buffers.address(index), Ordering::Relaxed);
        // Release: what was done with the buffer stays before its return.
        descriptor.high.store(0, Ordering::Release);
    }
}

/// The transmit ring: data descriptor `i` always comes with buffer `i`.
pub(super) struct TxRing {
    ring: Descriptors,
    buffers: Buffers,
    /// Indices are taken modulo the size, a power of two.
    mask: usize,
    /// The oldest descriptor that is not known to be done.
    done: usize,
    /// Where the report begins that is being gathered: `done <= open <= next`, going round.
    open: usize,
    /// The next descriptor to fill.
    next: usize,
    /// The tail as the card knows it: `done <= tail <= next`, going round.
    tail: usize,
    /// Most descriptors in a report.
    report: usize,
    /// For each report, at its first descriptor, the last one, which carries RS and so gets DD.
    last: [u16; MAX_DESCRIPTORS],
}

impl TxRing {
    /// A ring over as many buffers as descriptors, a power of two.
    pub(super) fn new(ring: Descriptors, buffers: Buffers) -> Self {
        let size = ring.ring.len();
        assert!(size.is_power_of_two() && (MIN_DESCRIPTORS..=MAX_DESCRIPTORS).contains(&size));
        Self {
            ring,
            buffers,
            mask: size - 1,
            done: 0,
            open: 0,
            next: 0,
            tail: 0,
            report: TX_REPORT.min(size / 4),
            last: [0; MAX_DESCRIPTORS],
        }
    }

    /// Resets, with the card stopped: everything queued is forgotten, head and tail are 0.
    pub(super) fn reset(&mut self) {
        (self.done, self.open, self.next, self.tail) = (0, 0, 0, 0);
    }

    /// Bus address of the ring.
    pub(super) fn address(&self) -> u64 {
        self.ring.address
    }

    /// Bytes of descriptors.
    pub(super) fn bytes(&self) -> u32 {
        size_of_val(self.ring.ring) as u32
    }

    /// Descriptors that can be filled.
    pub(super) fn free(&self) -> usize {
        self.done.wrapping_sub(self.next).wrapping_sub(1) & self.mask
    }

    /// Descriptors that were announced to the card and that it has not reported done.
    pub(super) fn outstanding(&self) -> usize {
        self.tail.wrapping_sub(self.done) & self.mask
    }

    /// The oldest descriptor that is not known to be done.
    pub(super) fn done(&self) -> usize {
        self.done
    }

    /// The buffer to write the next frame into, if one is free.
    pub(super) fn buffer(&mut self) -> Option<&mut [u8; BUFFER_SIZE]> {
        if self.free() == 0 {
            return None;
        }
        // SAFETY: `next` is between the card's descriptors and those it has reported done (or never had).
        Some(unsafe { self.buffers.get(self.next) })
    }

    /// Queues the first `len` bytes of that buffer as a frame; the card inserts what `insert` selects.
    pub(super) fn push(&mut self, len: usize, insert: Insert) {
        let options = match insert {
            Insert::Nothing => 0,
            Insert::Ipv4 => TX_IXSM,
            Insert::Ipv4Tcp => TX_IXSM | TX_TXSM,
            Insert::Tcp(_) => TX_TXSM,
        };
        let command = TX_DEXT | TX_DTYP_DATA | TX_EOP | TX_IFCS | options;
        self.put(self.buffers.address(self.next), command | len.min(BUFFER_SIZE) as u64);
    }

    /// Queues the context descriptor by which the card knows where the checksums of a frame are (datasheet 7.2.6):
    /// it holds for IPv4 without options and TCP in untagged Ethernet frames, and applies until the next one.
    pub(super) fn push_context(&mut self) {
        const IP: u64 = 14; // IPCSS: start of the IPv4 header
        const IP_SUM: u64 = 24; // IPCSO: its checksum
        const IP_END: u64 = 33; // IPCSE: its last byte
        const TCP: u64 = 34; // TUCSS
        const TCP_SUM: u64 = 50; // TUCSO; TUCSE = 0 is the end of the frame
        let places = IP | IP_SUM << 8 | IP_END << 16 | TCP << 32 | TCP_SUM << 40;
        self.put(places, TX_DEXT | TX_CONTEXT_IP | TX_CONTEXT_TCP);
    }

    /// The new tail, if anything was not announced to the card yet.
    pub(super) fn publish(&mut self) -> Option<u32> {
        self.close();
        if self.tail == self.next {
            return None;
        }
        self.tail = self.next;
        fence(Ordering::Release);
        Some(self.tail as u32)
    }

    /// Takes back what the card has reported done. Each turn ends one report, so there are no more than descriptors.
    pub(super) fn reclaim(&mut self) {
        while self.done != self.open {
            let last = usize::from(self.last[self.done]);
            // Acquire: the buffers are written to again only after DD is seen.
            if self.ring.ring[last].high.load(Ordering::Acquire) & TX_DD == 0 {
                break;
            }
            self.done = (last + 1) & self.mask;
        }
    }

    /// Fills the next descriptor, if one is free.
    fn put(&mut self, low: u64, high: u64) {
        if self.free() == 0 {
            return;
        }
        let descriptor = &self.ring.ring[self.next];
        descriptor.low.store(low, Ordering::Relaxed);
        descriptor.high.store(high, Ordering::Release);
        self.next = (self.next + 1) & self.mask;
        if self.next.wrapping_sub(self.open) & self.mask >= self.report {
            self.close();
        }
    }

    /// Ends the report that is being gathered: its last descriptor asks for DD. The card does not have it yet.
    fn close(&mut self) {
        if self.open == self.next {
            return;
        }
        let last = self.next.wrapping_sub(1) & self.mask;
        let high = &self.ring.ring[last].high;
        high.store(high.load(Ordering::Relaxed) | TX_RS, Ordering::Release);
        self.last[self.open] = last as u16;
        self.open = self.next;
    }
}

#[cfg(test)]
mod tests;
