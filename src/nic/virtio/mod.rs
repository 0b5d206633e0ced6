//! The virtio network card: initialization, and frames in and out.
//!
//! "Virtual I/O Device (VIRTIO) Version 1.2", §5.1. The hot path makes two accesses to the device: a notification for all
//! frames queued ([`Card::kick`]), unless the device looks by itself, and one for 32 buffers returned.
//!
//! Queues and transport are not those of `virtio-drivers`. Its `VirtIONetRaw` negotiates no checksum offload, reads the
//! link once, notifies once a frame, cannot suppress interrupts with the features that it accepts, and can neither see
//! that a device needs a reset nor reset it. Its `VirtQueue` has a fixed size, returns the length in the used ring
//! unchecked, and may lose a notification when an index wraps. Its `PciTransport` routes no MSI-X vector and makes three
//! accesses of a notification.

use core::task::Waker;

use embassy_time::{Duration, Instant};

use super::checksum::{self, Insert, L4, MIN_FRAME, Offload, Verdict};
use super::dma::BUFFER_SIZE;
use super::hang::{HANG, Watch};
use super::interrupt::Interrupt;
use super::ring::{MAX_DESCRIPTORS, MIN_DESCRIPTORS};
use super::{Card, Config, Error, Frame, Link, MAX_FRAME, Stats};
use crate::pki::text::Count;

mod mmio;
mod pci;
pub(super) mod queue;
pub(super) mod transport;

pub(super) use mmio::MmioTransport;
pub(super) use pci::PciTransport;
use queue::{Broken, Direction, Queue};
use transport::*;

/// Bytes of the header before each frame (§5.1.6).
pub(super) const HEADER: usize = 12;
/// Header, flags: the checksum is the sum of the pseudo header, and yet to be completed.
pub(super) const NEEDS_CSUM: u8 = 1;
/// Header, flags: the checksum was verified.
pub(super) const DATA_VALID: u8 = 2;

/// Receive descriptors are returned in batches of this many, or a quarter of a smaller queue.
const RX_BATCH: u16 = 32;

/// The longest time for a reset.
const RESET: Duration = Duration::from_millis(100);

/// The longest pause before a device that has failed again is reset: the first is [`HANG`], each further one twice as
/// long, until the device has worked for this time.
const RETRY_MAX: Duration = Duration::from_secs(64);

/// The most reads of a configuration that keeps changing; the last one counts.
const CONFIG_READS: usize = 8;

/// Bytes of shared memory for queues of `rx` and `tx` descriptors, in a block that is aligned to [`BUFFER_SIZE`].
pub(super) const fn bytes(rx: usize, tx: usize) -> usize {
    let queues = Queue::bytes(rx).next_multiple_of(BUFFER_SIZE) + Queue::bytes(tx).next_multiple_of(BUFFER_SIZE);
    queues + (rx + tx) * BUFFER_SIZE
}

/// A virtio network card.
pub struct VirtioNet<T> {
    name: &'static str,
    transport: T,
    interrupt: &'static Interrupt,
    features: u64,
    mac: [u8; 6],
    link: Link,
    rx: Queue,
    tx: Queue,
    /// Descriptors of the transmit queue that the device does not have.
    free: heapless::Vec<u16, MAX_DESCRIPTORS>,
    /// The oldest frame: classified, counted, and not yet released.
    current: Option<Current>,
    /// A sender has found no free transmit buffer.
    starved: bool,
    health: Health,
    /// When the device may be reset again, if it has failed.
    retry: Instant,
    /// The latest pause before that.
    pause: Duration,
    /// The interrupt count when the link was last looked at.
    serviced: u64,
    watch: Watch,
    stats: Stats,
}

#[derive(Clone, Copy)]
struct Current {
    id: u16,
    len: usize,
    verified: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Working,
    /// The device has written what no device may write, or needs a reset by its own account.
    Broken,
    /// It could not be reset.
    Failed,
}

impl<T: Transport> VirtioNet<T> {
    /// Resets the device behind `transport` and brings it up. From then on it receives, but does not interrupt for that
    /// before [`Card::arm`]. `enable` lets it access memory in its PCI function, and is called after the reset, since
    /// firmware may have left it running.
    pub fn new(transport: T, config: Config, enable: impl FnOnce()) -> Result<Self, Error> {
        let Config {
            name,
            rings,
            mut memory,
            interrupt,
            ..
        } = config;
        if !rings.valid() {
            return Err(Error::RingSizes);
        }
        let too_small = Error::Memory {
            needed: bytes(rings.rx, rings.tx),
            given: memory.len(),
        };
        let mut queues = || {
            Some((
                Queue::new(&mut memory, rings.rx, Direction::Receive)?,
                Queue::new(&mut memory, rings.tx, Direction::Transmit)?,
            ))
        };
        let (rx, tx) = queues().ok_or(too_small)?;
        let mut card = Self {
            name,
            transport,
            interrupt,
            features: 0,
            mac: [0; 6],
            link: Link::Down,
            rx,
            tx,
            free: heapless::Vec::new(),
            current: None,
            starved: false,
            health: Health::Working,
            retry: Instant::MIN,
            pause: HANG / 2,
            serviced: interrupt.taken(),
            watch: Watch::default(),
            stats: Stats::default(),
        };
        card.reset()?;
        enable();
        card.bring_up()?;
        card.log_link();
        Ok(card)
    }

    fn reset(&mut self) -> Result<(), Error> {
        self.transport.set_status(0);
        let start = Instant::now();
        while self.transport.status() != 0 {
            if start.elapsed() > RESET {
                return Err(Error::ResetTimedOut);
            }
            core::hint::spin_loop();
        }
        Ok(())
    }

    /// From reset to frames.
    fn bring_up(&mut self) -> Result<(), Error> {
        self.initialize().inspect_err(|_| {
            let status = self.transport.status();
            self.transport.set_status(status | FAILED);
        })
    }

    /// The steps of §3.1.1 after the reset, and of §5.1.5.
    fn initialize(&mut self) -> Result<(), Error> {
        const READY: u8 = ACKNOWLEDGE | DRIVER | FEATURES_OK;
        self.transport.set_status(ACKNOWLEDGE);
        self.transport.set_status(ACKNOWLEDGE | DRIVER);
        let wanted = F_VERSION_1 | F_MAC | F_STATUS | F_SPEED_DUPLEX | F_CSUM | F_GUEST_CSUM;
        self.features = self.transport.features() & wanted;
        if !self.has(F_VERSION_1) {
            return Err(Error::NotModern);
        }
        self.transport.accept(self.features);
        self.transport.set_status(READY);
        if self.transport.status() & FEATURES_OK == 0 {
            return Err(Error::Features);
        }
        self.mac = self.read_mac()?;
        if !self.transport.route_config() {
            return Err(Error::NoQueue);
        }
        for (number, queue) in [(RECEIVE, &mut self.rx), (TRANSMIT, &mut self.tx)] {
            let at = queue.reset(self.transport.max_descriptors(number));
            if usize::from(at.len) < MIN_DESCRIPTORS || !self.transport.set_queue(number, at) {
                return Err(Error::NoQueue);
            }
        }
        (self.current, self.starved, self.health) = (None, false, Health::Working);
        self.watch = Watch::default();
        self.free.clear();
        self.free.extend(0..self.tx.len());
        self.interrupt.masked();
        self.transport.set_status(READY | DRIVER_OK);
        for id in 0..self.rx.len() {
            self.rx.lend(id, BUFFER_SIZE);
        }
        self.restock();
        self.expect();
        self.link = self.read_link();
        Ok(())
    }

    fn has(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    /// Reads of the configuration what is in several fields, which may change meanwhile (§2.5.1).
    fn consistent<R>(&self, read: impl Fn(&T) -> R) -> R {
        for _ in 1..CONFIG_READS {
            let before = self.transport.generation();
            let result = read(&self.transport);
            if self.transport.generation() == before {
                return result;
            }
        }
        read(&self.transport)
    }

    fn read_mac(&self) -> Result<[u8; 6], Error> {
        if !self.has(F_MAC) {
            return Err(Error::NoMac);
        }
        let mac = self.consistent(|transport| core::array::from_fn(|at| transport.config_u8(CONFIG_MAC + at)));
        if mac == [0; 6] || mac[0] & 1 != 0 {
            return Err(Error::NoMac);
        }
        Ok(mac)
    }

    fn read_link(&self) -> Link {
        self.consistent(|transport| {
            if !self.has(F_STATUS) {
                return Link::Up(0);
            }
            if transport.config_u16(CONFIG_STATUS) & LINK_UP == 0 {
                return Link::Down;
            }
            // All ones, and whatever is faster than any network, is an unknown speed.
            let speed = self.has(F_SPEED_DUPLEX).then(|| transport.config_u32(CONFIG_SPEED));
            Link::Up(speed.and_then(|speed| u16::try_from(speed).ok()).unwrap_or(0))
        })
    }

    fn update_link(&mut self) {
        // One access if nothing has changed.
        let up = !self.has(F_STATUS) || self.transport.config_u16(CONFIG_STATUS) & LINK_UP != 0;
        if up != (self.link != Link::Down) {
            self.set_link(self.read_link());
        }
    }

    fn set_link(&mut self, link: Link) {
        if link != self.link {
            self.link = link;
            self.log_link();
        }
    }

    fn log_link(&self) {
        log::info!("{}: {}", self.name, self.link);
    }

    /// Has the idle loop watch for the next frame.
    fn expect(&self) {
        self.interrupt.expect_index(Some(self.rx.watched()));
    }

    /// Returns a receive buffer to the device, sooner or later.
    fn return_buffer(&mut self, id: u16) {
        self.rx.lend(id, BUFFER_SIZE);
        let full = self.rx.unpublished() >= RX_BATCH.min(self.rx.len() / 4);
        if full && self.health == Health::Working && self.rx.publish() {
            self.transport.notify(RECEIVE);
        }
    }

    fn reclaim(&mut self) {
        // Bounded: each turn ends a descriptor's stay with the device.
        while self.health == Health::Working {
            match self.tx.take() {
                // There is room: as many as descriptors.
                Ok(Some((id, _))) => drop(self.free.push(id)),
                Ok(None) => break,
                Err(Broken) => self.fail(),
            }
        }
    }

    /// The device is not used any more until it was reset, by the next [`Card::service`].
    fn fail(&mut self) {
        if self.health == Health::Working {
            self.health = Health::Broken;
            // The task may have armed the interrupt already, and the device need not raise it any more.
            self.interrupt.wake();
        }
        self.interrupt.expect_index(None);
    }

    /// Resets the device if it does not work, or if frames have been waiting in it for too long.
    fn watch(&mut self, now: impl FnOnce() -> Instant) {
        let outstanding = self.tx.outstanding();
        let now = if self.health == Health::Working {
            let returned = self.tx.returned().into();
            let Some(now) = self.watch.hangs(outstanding, returned, self.link, now) else {
                return;
            };
            log::warn!(
                "{}: transmission stalled ({} waiting): resetting the card",
                self.name,
                Count::of(outstanding, "frame")
            );
            now
        } else {
            let now = now();
            if now < self.retry {
                return;
            }
            log::warn!("{}: the card has failed: resetting it", self.name);
            now
        };
        if self.health != Health::Failed {
            self.stats.tx_dropped += outstanding as u64;
        }
        let recovered = now.saturating_duration_since(self.retry) > RETRY_MAX;
        self.pause = if recovered { HANG } else { RETRY_MAX.min(self.pause * 2) };
        self.retry = now + self.pause;
        let before = self.link;
        match self.reset().and_then(|()| self.bring_up()) {
            Ok(()) if self.link != before => self.log_link(),
            Ok(()) => {}
            Err(error) => {
                log::error!("{}: {error}", self.name);
                self.health = Health::Failed;
                self.fail();
                self.set_link(Link::Down);
            }
        }
    }
}

/// The state of the checksum by the header of a received frame. `None` if the frame is none that was negotiated.
fn checksum_state(header: &[u8; HEADER], features: u64) -> Option<L4> {
    // A segment that is yet to be cut.
    if header[1] != 0 {
        return None;
    }
    let field = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]).into();
    Some(match header[0] {
        _ if features & F_GUEST_CSUM == 0 => L4::Unknown,
        flags if flags & NEEDS_CSUM != 0 => L4::Partial {
            start: field(6),
            offset: field(8),
        },
        flags if flags & DATA_VALID != 0 => L4::Verified,
        _ => L4::Unknown,
    })
}

impl<T: Transport> Card for VirtioNet<T> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn link(&self) -> Link {
        self.link
    }

    fn received(&mut self) -> Option<Frame<'_>> {
        // Bounded: at most a queueful of bad frames is dropped in one go.
        for _ in 0..self.rx.len() {
            if self.current.is_some() || self.health != Health::Working {
                break;
            }
            let taken = self.rx.take();
            self.expect();
            let (id, written) = match taken {
                Ok(taken) => taken?,
                Err(Broken) => {
                    self.fail();
                    return None;
                }
            };
            let buffer = self.rx.buffer(id)?;
            let verdict = match buffer.get(..written).and_then(<[u8]>::split_first_chunk) {
                Some((header, bytes)) if bytes.len() <= MAX_FRAME => checksum_state(header, self.features)
                    .map_or(Verdict::Damaged, |l4| checksum::classify_after(bytes, l4)),
                _ => Verdict::Damaged,
            };
            match verdict {
                Verdict::Good { verified } => {
                    let len = written - HEADER;
                    self.stats.rx_packets += 1;
                    self.stats.rx_bytes += len as u64;
                    self.current = Some(Current { id, len, verified });
                }
                Verdict::Damaged | Verdict::WrongChecksum => {
                    self.stats.rx_errors += 1;
                    self.stats.rx_checksum_errors += u64::from(verdict == Verdict::WrongChecksum);
                    self.return_buffer(id);
                }
            }
        }
        let Current { id, len, verified } = self.current?;
        Some(Frame {
            bytes: self.rx.buffer(id)?.get_mut(HEADER..HEADER + len)?,
            verified,
        })
    }

    fn release(&mut self) {
        if let Some(Current { id, .. }) = self.current.take() {
            self.return_buffer(id);
        }
    }

    fn can_send(&mut self) -> bool {
        if self.health != Health::Working {
            return false;
        }
        if self.free.is_empty() {
            // What is queued must be on its way before it can be waited for.
            self.kick();
            self.reclaim();
        }
        self.starved = self.free.is_empty();
        !self.starved
    }

    fn send<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> Option<R> {
        if !(MIN_FRAME..=MAX_FRAME).contains(&len) {
            return None;
        }
        if !self.can_send() {
            self.stats.tx_dropped += 1;
            return None;
        }
        let offload = if self.has(F_CSUM) {
            Offload::Tcp
        } else {
            Offload::Nothing
        };
        let id = self.free.pop()?;
        let (header, frame) = self.tx.buffer(id)?.split_at_mut(HEADER);
        let frame = frame.get_mut(..len)?;
        let filled = fill(frame);
        header.fill(0);
        if let Insert::Tcp(start) = checksum::prepare(frame, offload) {
            header[0] = NEEDS_CSUM;
            header[6..8].copy_from_slice(&(start as u16).to_le_bytes());
            header[8..10].copy_from_slice(&(checksum::TCP_CHECKSUM as u16).to_le_bytes());
        }
        self.tx.lend(id, HEADER + len);
        self.stats.tx_packets += 1;
        self.stats.tx_bytes += len as u64;
        Some(filled)
    }

    fn kick(&mut self) {
        if self.health == Health::Working && self.tx.publish() {
            self.transport.notify(TRANSMIT);
        }
    }

    fn restock(&mut self) {
        if self.health == Health::Working {
            self.rx.publish();
            // Even if the device does not ask for it: see the trait.
            self.transport.notify(RECEIVE);
        }
    }

    fn service(&mut self) {
        self.reclaim();
        let taken = self.interrupt.taken();
        if taken != self.serviced {
            self.serviced = taken;
            self.rx.set_interrupts(false);
            self.tx.set_interrupts(false);
            self.transport.acknowledge();
            // After the acknowledgement: a change after these reads interrupts again.
            if self.transport.status() & (DRIVER_OK | NEEDS_RESET) != DRIVER_OK {
                self.fail();
            } else {
                self.update_link();
            }
        }
        self.watch(Instant::now);
    }

    fn arm(&mut self, waker: &Waker) {
        if self.interrupt.wait(waker) || self.starved {
            self.rx.set_interrupts(true);
            self.tx.set_interrupts(self.starved);
        }
        if self.health != Health::Working {
            embassy_time_driver::schedule_wake(self.retry.as_ticks(), waker);
        } else if self.starved && self.can_send() {
            waker.wake_by_ref();
        }
    }

    fn stats(&self) -> Stats {
        Stats {
            interrupts: self.interrupt.taken(),
            ..self.stats
        }
    }
}

#[cfg(test)]
mod tests;
