//! Network cards: the Intel 82574L ("e1000e"), virtio, and the trait of a card.
//!
//! [`probe`] finds the cards, and [`E1000e`] or [`VirtioNet`] drives each. Below them, each apart from the rest: the
//! registers ([`Registers`], `virtio::transport`), the rings (`ring`, `virtio::queue`), the memory shared with the card
//! ([`DmaMemory`]), and checksums (`checksum`). [`Interrupt`] is all that an interrupt handler or the idle loop needs. Fake
//! cards (`fake`) let everything but the probe run in host tests.
#![deny(clippy::undocumented_unsafe_blocks, unsafe_op_in_unsafe_fn)]

mod checksum;
mod config;
mod dma;
mod e1000e;
#[cfg(test)]
mod fake;
mod hang;
mod interrupt;
mod probe;
mod regs;
mod ring;
mod virtio;

pub use config::{Config, Error, RingSizes, Signal};
pub use dma::{BUFFER_SIZE, DmaMemory};
pub use e1000e::E1000e;
pub use interrupt::Interrupt;
pub use probe::{AnyCard, INTERRUPTS, MAX_CARDS, open, probe};
pub use regs::Registers;
pub use virtio::VirtioNet;

/// What the network stack asks of a network card. Frames are handed over where the card left them, without a copy.
///
/// A card verifies and inserts the IPv4, TCP and UDP checksums: the stack above does neither. A frame that the card
/// found to be damaged never gets here; one that it could not verify arrives with [`Frame::verified`] false.
pub trait Card {
    /// The Ethernet address.
    fn mac(&self) -> [u8; 6];
    /// The state of the link, as last reported by the card.
    fn link(&self) -> Link;
    /// The oldest frame received and not yet released. Called again before [`Card::release`] it gives the same frame.
    fn received(&mut self) -> Option<Frame<'_>>;
    /// Gives the buffer of the oldest frame back to the card, which learns of it in batches, so that it is never left
    /// without buffers for long. Without effect before [`Card::received`] has shown a frame.
    fn release(&mut self);
    /// Whether [`Card::send`] would find a free buffer.
    fn can_send(&mut self) -> bool;
    /// Queues a frame of `len` bytes (at most [`MAX_FRAME`]), written by `fill` straight into the card's buffer, and
    /// has its checksums inserted. `None`, with `fill` not called, when no buffer is free or `len` is out of range.
    fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Option<R>;
    /// Notifies the card of everything queued since the last kick, in one register write; in none if there is nothing.
    fn kick(&mut self);
    /// Gives the card all released buffers at once, however few, and notifies it even if there are none. QEMU takes
    /// this for a reason to look at the other end of its network, where it otherwise notices a connection that has just
    /// been opened, or closed, milliseconds late.
    fn restock(&mut self);
    /// Acknowledges interrupt causes and notes link changes (logging them). Called once per poll of the stack.
    fn service(&mut self);
    /// Registers the waker for the card's next interrupt, and unmasks it. The caller then looks once more.
    fn arm(&mut self, waker: &core::task::Waker);
    /// Counters since the start.
    fn stats(&self) -> Stats;
}

/// The largest Ethernet frame, without FCS, in bytes: 14 of header and 1500 of payload.
pub const MAX_FRAME: usize = 1514;

/// A received frame, where the card left it.
#[derive(Debug)]
pub struct Frame<'a> {
    /// The frame from the destination address on, without FCS.
    pub bytes: &'a mut [u8],
    /// Whether the card has verified every checksum that the frame carries (IPv4 header, TCP, UDP).
    pub verified: bool,
}

/// The state of the link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Link {
    /// No carrier.
    #[default]
    Down,
    /// Carrier, with the speed in Mbit/s; 0 if it is not known.
    Up(u16),
}

impl core::fmt::Display for Link {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Link::Down => f.write_str("link down"),
            Link::Up(0) => f.write_str("link up"),
            Link::Up(speed) => write!(f, "link up, {speed} Mbit/s"),
        }
    }
}

/// Counters of a card since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stats {
    /// Good frames received.
    pub rx_packets: u64,
    /// Bytes in them.
    pub rx_bytes: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes in them.
    pub tx_bytes: u64,
    /// Frames that the card dropped for want of a buffer (missed packets). Always 0 for a virtio card, which does not
    /// count them.
    pub rx_dropped: u64,
    /// Frames dropped because they were damaged, too short or too long.
    pub rx_errors: u64,
    /// Of those, the ones with a wrong IPv4, TCP or UDP checksum.
    pub rx_checksum_errors: u64,
    /// Frames that could not be queued because no transmit buffer was free.
    pub tx_dropped: u64,
    /// Interrupts taken.
    pub interrupts: u64,
}
