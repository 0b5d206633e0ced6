//! The Intel 82574L ("e1000e"): initialization, and frames in and out.
//!
//! The hot path reads no register: descriptors show what was received and sent, and an interrupt count shows when to ask
//! for the link. It writes one register for all frames queued ([`Card::kick`]) and one for 32 buffers returned.

use core::cell::Cell;
use core::task::Waker;

use embassy_time::{Duration, Instant};

use super::checksum::{self, MIN_FRAME, Offload, Verdict};
use super::hang::Watch;
use super::interrupt::Interrupt;
use super::regs::*;
use super::ring::{RX_EOP, RxRing, TxRing};
use super::{Card, Config, Error, Frame, Link, MAX_FRAME, Signal, Stats};
use crate::pki::text::Count;

mod reset;

/// PCI vendor and device of the 82574L.
pub(super) const DEVICE: (u16, u16) = (0x8086, 0x10d3);

/// How old the card's own counters may be when [`Card::stats`] returns them. Reading them takes six register reads.
const COUNTERS_AGE: Duration = Duration::from_millis(250);

/// An 82574L network card.
pub struct E1000e<R> {
    name: &'static str,
    registers: R,
    signal: Signal,
    interrupt: &'static Interrupt,
    mac: [u8; 6],
    link: Link,
    rx: RxRing,
    tx: TxRing,
    /// The oldest frame: classified, counted, and not yet released.
    current: Option<Current>,
    /// The descriptors to come, up to the end of a packet, belong to a frame that is being dropped.
    skipping: bool,
    /// A sender has found no free transmit buffer.
    starved: bool,
    /// The interrupt count when the link was last looked at.
    serviced: u64,
    watch: Watch,
    stats: Stats,
    /// What was read from counters that reading clears.
    hardware: Cell<Hardware>,
}

#[derive(Clone, Copy)]
struct Current {
    len: usize,
    verified: bool,
}

/// Bits of ICR and IMS.
struct Causes {
    receive: u32,
    transmit: u32,
    /// A change of the link, an overrun: always unmasked, but for the time until they are looked at.
    other: u32,
}

#[derive(Clone, Copy)]
struct Hardware {
    missed: u64,
    errors: u64,
    read: Instant,
}

impl<R: Registers> E1000e<R> {
    /// Resets the card behind `registers` and brings it up. From then on it receives, but does not interrupt for
    /// that before [`Card::arm`]. `config.signal` is set up in its PCI function; `enable` lets it access memory there, and is called
    /// after the reset, since firmware may have left it running.
    pub fn new(registers: R, config: Config, enable: impl FnOnce()) -> Result<Self, Error> {
        let Config {
            name,
            rings,
            mut memory,
            signal,
            interrupt,
        } = config;
        if !rings.valid() {
            return Err(Error::RingSizes);
        }
        let too_small = Error::Memory {
            needed: rings.bytes(),
            given: memory.len(),
        };
        let mut parts = || {
            let (rx, tx) = (memory.descriptors(rings.rx)?, memory.descriptors(rings.tx)?);
            Some((
                RxRing::new(rx, memory.buffers(rings.rx)?),
                TxRing::new(tx, memory.buffers(rings.tx)?),
            ))
        };
        let (rx, tx) = parts().ok_or(too_small)?;
        let mut card = Self {
            name,
            registers,
            signal,
            interrupt,
            mac: [0; 6],
            link: Link::Down,
            rx,
            tx,
            current: None,
            skipping: false,
            starved: false,
            serviced: interrupt.taken(),
            watch: Watch::default(),
            stats: Stats::default(),
            hardware: Cell::new(Hardware {
                missed: 0,
                errors: 0,
                read: Instant::MIN,
            }),
        };
        card.reset()?;
        card.await_phy();
        enable();
        card.bring_up()?;
        // What the counters say of the time before does not count.
        card.read_hardware(Instant::now());
        card.hardware.set(Hardware {
            missed: 0,
            errors: 0,
            ..card.hardware.get()
        });
        card.link = card.read_link();
        card.log_link();
        Ok(card)
    }

    /// Whether a frame seems to have been received: looks at one descriptor in memory, at no register. The idle loop,
    /// which has no hold of the card, asks [`Interrupt::poll`].
    pub fn has_work(&self) -> bool {
        self.current.is_some() || self.rx.completed().is_some()
    }

    /// No throttling: [`Card::arm`] unmasks for one interrupt, after which the card is polled until there is nothing
    /// left to do. A timer would only delay the first frame of a burst.
    fn set_up_interrupts(&mut self) {
        for delay in [ITR, EITR0, RDTR, RADV, RAID, RSRPD, TIDV, TADV] {
            self.write(delay, 0);
        }
        let ext = self.read(CTRL_EXT) | CTRL_EXT_DRV_LOAD;
        match self.signal {
            Signal::MsiX => {
                // Each message clears and masks its cause, so a handler need not touch the card.
                self.write(IVAR, IVAR_ALL_ON_0);
                self.write(EIAC, ICR_RXQ0 | ICR_TXQ0 | ICR_OTHER);
                self.write(IAM, ICR_RXQ0 | ICR_TXQ0 | ICR_OTHER);
                self.write(CTRL_EXT, ext | CTRL_EXT_EIAME | CTRL_EXT_PBA_CLR);
            }
            Signal::Msi => self.write(CTRL_EXT, ext),
        }
    }

    fn causes(&self) -> Causes {
        match self.signal {
            // The card wants each cause unmasked that is to raise "other"; for QEMU's model "other" suffices.
            Signal::MsiX => Causes {
                receive: ICR_RXQ0,
                transmit: ICR_TXQ0,
                other: ICR_OTHER | ICR_LSC | ICR_RXO,
            },
            Signal::Msi => Causes {
                receive: ICR_RXT0 | ICR_RXDMT0,
                transmit: ICR_TXDW,
                other: ICR_LSC | ICR_RXO,
            },
        }
    }

    fn set_up_receiver(&mut self) {
        let tail = self.rx.reset();
        self.current = None;
        self.skipping = false;
        // The descriptor format must be set before RCTL: some implementations look at it only then, as at the buffer
        // size.
        self.write(RFCTL, RFCTL_EXTEN | RFCTL_ACK_DIS | RFCTL_NO_PROTOCOLS);
        self.write(MRQC, 0);
        self.write(RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL);
        self.write(RXDCTL0, RXDCTL_USUAL);
        self.write(RDBAL0, self.rx.address() as u32);
        self.write(RDBAH0, (self.rx.address() >> 32) as u32);
        self.write(RDLEN0, self.rx.bytes());
        self.write(RDH0, 0);
        self.write(RDT0, 0);
        self.write(RCTL, RCTL_EN | RCTL_MPE | RCTL_BAM | RCTL_SECRC);
        // Only now may the tail move (datasheet 4.6.5).
        self.write(RDT0, tail);
        self.interrupt.expect(self.rx.next());
    }

    fn set_up_transmitter(&mut self) {
        self.tx.reset();
        self.starved = false;
        self.watch = Watch::default();
        self.write(TXDCTL0, TXDCTL_USUAL);
        self.write(TDBAL0, self.tx.address() as u32);
        self.write(TDBAH0, (self.tx.address() >> 32) as u32);
        self.write(TDLEN0, self.tx.bytes());
        self.write(TDH0, 0);
        self.write(TDT0, 0);
        self.write(TIPG, TIPG_USUAL);
        self.write(TCTL, TCTL_EN | TCTL_PSP | TCTL_USUAL);
        self.tx.push_context();
        self.publish();
    }

    fn publish(&mut self) {
        if let Some(tail) = self.tx.publish() {
            self.write(TDT0, tail);
        }
    }

    /// Drops the oldest buffer or gives it back.
    fn release_oldest(&mut self) {
        if let Some(tail) = self.rx.release() {
            self.write(RDT0, tail);
        }
        self.interrupt.expect(self.rx.next());
    }

    fn read_link(&self) -> Link {
        let status = self.read(STATUS);
        if status & STATUS_LU == 0 {
            return Link::Down;
        }
        Link::Up(match status >> STATUS_SPEED_SHIFT & 3 {
            0 => 10,
            1 => 100,
            _ => 1000,
        })
    }

    fn update_link(&mut self) {
        let link = self.read_link();
        if link != self.link {
            self.link = link;
            self.log_link();
        }
    }

    fn log_link(&self) {
        log::info!("{}: {}", self.name, self.link);
    }

    /// Adds up the counters that reading clears. Undersized frames (RUC) are left out: a real card drops them, but
    /// QEMU counts each frame there that it has padded and delivered.
    fn read_hardware(&self, now: Instant) {
        let mut hardware = self.hardware.get();
        hardware.read = now;
        hardware.missed += u64::from(self.read(MPC));
        for register in [CRCERRS, RLEC, RFC, ROC, RJC] {
            hardware.errors += u64::from(self.read(register));
        }
        self.hardware.set(hardware);
    }

    /// Resets the card if frames have been waiting in it for too long.
    fn watch(&mut self, now: impl FnOnce() -> Instant) {
        let outstanding = self.tx.outstanding();
        let Some(now) = self.watch.hangs(outstanding, self.tx.done(), self.link, now) else {
            return;
        };
        log::warn!(
            "{}: transmission stalled ({} waiting): resetting the card",
            self.name,
            Count::of(outstanding, "frame")
        );
        self.stats.tx_dropped += outstanding as u64;
        self.read_hardware(now);
        if let Err(error) = self.reset().and_then(|()| self.bring_up()) {
            log::error!("{}: {error}", self.name);
        }
        self.update_link();
    }

    fn read(&self, register: u32) -> u32 {
        self.registers.read(register)
    }

    fn write(&mut self, register: u32, value: u32) {
        self.registers.write(register, value);
    }
}

impl<R: Registers> Card for E1000e<R> {
    fn mac(&self) -> [u8; 6] {
        self.mac
    }

    fn link(&self) -> Link {
        self.link
    }

    fn received(&mut self) -> Option<Frame<'_>> {
        // Bounded: at most a ringful of bad frames is dropped in one go.
        for _ in 0..self.rx.len() {
            if self.current.is_some() {
                break;
            }
            let (completion, buffer) = self.rx.oldest()?;
            let end = completion.status & RX_EOP != 0;
            if self.skipping || !end {
                // Larger than a buffer: no frame of ours. Counted once, at its end.
                self.skipping = !end;
                self.stats.rx_errors += u64::from(end);
                self.release_oldest();
                continue;
            }
            let verdict = match buffer.get(..completion.len) {
                Some(bytes) if bytes.len() <= MAX_FRAME => checksum::classify(bytes, completion.status),
                _ => Verdict::Damaged,
            };
            match verdict {
                Verdict::Good { verified } => {
                    self.stats.rx_packets += 1;
                    self.stats.rx_bytes += completion.len as u64;
                    self.current = Some(Current {
                        len: completion.len,
                        verified,
                    });
                }
                Verdict::Damaged | Verdict::WrongChecksum => {
                    self.stats.rx_errors += 1;
                    self.stats.rx_checksum_errors += u64::from(verdict == Verdict::WrongChecksum);
                    self.release_oldest();
                }
            }
        }
        let Current { len, verified } = self.current?;
        let (_, buffer) = self.rx.oldest()?;
        Some(Frame {
            bytes: buffer.get_mut(..len)?,
            verified,
        })
    }

    fn release(&mut self) {
        if self.current.take().is_some() {
            self.release_oldest();
        }
    }

    fn can_send(&mut self) -> bool {
        if self.tx.free() == 0 {
            // What is queued must be on its way before it can be waited for.
            self.publish();
            self.tx.reclaim();
        }
        self.starved = self.tx.free() == 0;
        !self.starved
    }

    fn send<T>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> T) -> Option<T> {
        if !(MIN_FRAME..=MAX_FRAME).contains(&len) {
            return None;
        }
        if !self.can_send() {
            self.stats.tx_dropped += 1;
            return None;
        }
        let bytes = self.tx.buffer()?.get_mut(..len)?;
        let filled = fill(bytes);
        let insert = checksum::prepare(bytes, Offload::Ipv4Tcp);
        self.tx.push(len, insert);
        self.stats.tx_packets += 1;
        self.stats.tx_bytes += len as u64;
        Some(filled)
    }

    fn kick(&mut self) {
        self.publish();
    }

    fn restock(&mut self) {
        let tail = self.rx.return_released();
        self.write(RDT0, tail);
    }

    fn service(&mut self) {
        self.tx.reclaim();
        self.watch(Instant::now);
        let taken = self.interrupt.taken();
        if taken == self.serviced {
            return;
        }
        self.serviced = taken;
        // First the cause, then the state: a change after this read interrupts again.
        self.write(ICR, ICR_LSC | ICR_RXO | ICR_OTHER);
        self.update_link();
        self.write(IMS, self.causes().other);
    }

    fn arm(&mut self, waker: &Waker) {
        let Causes { receive, transmit, .. } = self.causes();
        if self.interrupt.wait(waker) || self.starved {
            // What was received until now was polled, and must not interrupt; what comes from here on will, and what
            // comes in between the caller finds by looking once more.
            self.write(ICR, receive | transmit);
            self.write(IMS, receive | if self.starved { transmit } else { 0 });
        }
        if self.starved && self.can_send() {
            waker.wake_by_ref();
        }
    }

    fn stats(&self) -> Stats {
        let now = Instant::now();
        if now.saturating_duration_since(self.hardware.get().read) > COUNTERS_AGE {
            self.read_hardware(now);
        }
        let Hardware { missed, errors, .. } = self.hardware.get();
        Stats {
            rx_dropped: missed,
            rx_errors: self.stats.rx_errors + errors,
            interrupts: self.interrupt.taken(),
            ..self.stats
        }
    }
}

#[cfg(test)]
mod tests;
