//! A fake 82574L for host tests, which checks what the driver does.
//!
//! It walks the descriptor rings in the memory that the driver shares with it, and fails the test where a real card
//! would go wrong: a descriptor handed over twice or without its address, a buffer outside the shared memory, a tail
//! past the head, a transmit checksum field without its seed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use super::dma::{BUFFER_SIZE, DmaMemory};
use super::interrupt::Interrupt;
use super::regs::*;
use super::ring::*;
use super::{Config, RingSizes, Signal};

pub(super) mod frames;
mod phy;
pub(super) mod virtio;

/// The fake card's own address.
pub(super) const MAC: [u8; 6] = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];

/// Where a frame from the wire ended up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// In the driver's memory.
    Stored,
    /// Nowhere: the driver had left no buffer.
    Missed,
    /// Nowhere: not for this card, too long, or no link.
    Refused,
}

/// Counts how often it was woken.
#[derive(Default)]
pub(super) struct Count(AtomicUsize);

impl Count {
    /// Wake-ups since the last call.
    pub(super) fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A handle to the fake card; one is the driver's registers, another stays with the test.
#[derive(Clone)]
pub(super) struct Fake(Rc<RefCell<Card>>);

struct Card {
    registers: HashMap<u32, u32>,
    accesses: HashMap<(bool, u32), u32>,
    memory: (u64, u64),
    interrupt: &'static Interrupt,
    signal: Signal,
    speed: Option<u16>,
    mac: Option<[u8; 6]>,
    present: bool,
    bus_master: bool,
    stuck: bool,
    /// Requests for the PHY's bus until firmware releases it; after a reset the card itself has it for three.
    mdio_busy: u32,
    /// The PHY's control register, and transfers until its reset bit clears itself. `None`: there is no PHY.
    phy: Option<(u32, u32)>,
    /// Frames to be sent stay in the card until `complete`.
    slow: bool,
    sent: Vec<Vec<u8>>,
    context: Option<u64>,
    /// Causes for which an MSI was sent and which have not been cleared since.
    signalled: u32,
    /// Reads of MDIC until the transfer has ended.
    transfer: u32,
}

impl Fake {
    /// A card, and a configuration for its driver with memory that the card may use.
    pub(super) fn new(rings: RingSizes, signal: Signal) -> (Self, Config) {
        let len = rings.bytes() + BUFFER_SIZE;
        let memory: &'static mut [u8] = Box::leak(vec![0xa5; len].into_boxed_slice());
        let interrupt: &'static Interrupt = Box::leak(Box::new(Interrupt::new()));
        let address = memory.as_ptr() as u64;
        let card = Card {
            registers: HashMap::new(),
            accesses: HashMap::new(),
            memory: (address, address + len as u64),
            interrupt,
            signal,
            speed: Some(1000),
            mac: Some(MAC),
            present: true,
            bus_master: false,
            stuck: false,
            mdio_busy: 2,
            phy: Some((PHY_RESET | 0x1140, 5)),
            slow: false,
            sent: Vec::new(),
            context: None,
            signalled: 0,
            transfer: 0,
        };
        // SAFETY: the fake card's bus addresses are the test's own.
        let memory = unsafe { DmaMemory::new(memory, address) };
        (
            Self(Rc::new(RefCell::new(card))),
            Config {
                name: "vm0",
                rings,
                memory,
                signal,
                interrupt,
            },
        )
    }

    /// The link goes up at `speed`, or down.
    pub(super) fn set_link(&self, speed: Option<u16>) {
        let mut card = self.0.borrow_mut();
        card.speed = speed;
        card.cause(ICR_LSC);
    }

    /// What stands in the EEPROM as the card's address.
    pub(super) fn set_mac(&self, mac: Option<[u8; 6]>) {
        self.0.borrow_mut().mac = mac;
    }

    /// From now on, no reset ends.
    pub(super) fn break_reset(&self) {
        self.0.borrow_mut().stuck = true;
    }

    /// The PCI function lets the card access memory.
    pub(super) fn enable_bus_master(&self) {
        let mut card = self.0.borrow_mut();
        assert_eq!(card.get(RCTL) | card.get(TCTL), 0, "the card runs before it was reset");
        card.bus_master = true;
    }

    /// From now on, all registers read as ones.
    pub(super) fn remove(&self) {
        self.0.borrow_mut().present = false;
    }

    /// Whether frames to be sent stay in the card until [`Fake::complete`].
    pub(super) fn hold(&self, hold: bool) {
        self.0.borrow_mut().slow = hold;
    }

    /// Has the card process `count` transmit descriptors, or what there is.
    pub(super) fn complete(&self, count: usize) {
        self.0.borrow_mut().transmit(count);
    }

    /// Frames sent since the last call.
    pub(super) fn sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.borrow_mut().sent)
    }

    /// Reads since the last [`Fake::forget_accesses`].
    pub(super) fn reads(&self) -> u32 {
        self.0
            .borrow()
            .accesses
            .iter()
            .filter(|((write, _), _)| !write)
            .map(|(_, count)| count)
            .sum()
    }

    /// Writes to `register` since the last [`Fake::forget_accesses`].
    pub(super) fn writes(&self, register: u32) -> u32 {
        self.0.borrow().accesses.get(&(true, register)).copied().unwrap_or(0)
    }

    /// Writes to any register since the last [`Fake::forget_accesses`].
    pub(super) fn all_writes(&self) -> u32 {
        self.0
            .borrow()
            .accesses
            .iter()
            .filter(|((write, _), _)| *write)
            .map(|(_, count)| count)
            .sum()
    }

    /// Sets the count of accesses to 0.
    pub(super) fn forget_accesses(&self) {
        self.0.borrow_mut().accesses.clear();
    }

    /// The present value of a register, without any effect.
    pub(super) fn peek(&self, register: u32) -> u32 {
        self.0.borrow().get(register)
    }

    /// A frame (without CRC) arrives.
    pub(super) fn deliver(&self, frame: &[u8]) -> Delivery {
        let mut card = self.0.borrow_mut();
        let mut frame = frame.to_vec();
        frame.resize(frame.len().max(60), 0);
        let own = card.mac.is_some_and(|mac| frame.starts_with(&mac));
        let multicast = card.get(RCTL) & RCTL_MPE != 0 && frame[0] & 1 != 0;
        let accepted = own || multicast || frame.starts_with(&[0xff; 6]);
        if card.speed.is_none() || card.get(RCTL) & RCTL_EN == 0 || !accepted {
            return Delivery::Refused;
        }
        if frame.len() > 1518 {
            card.count(ROC);
            return Delivery::Refused;
        }
        let status = card.receive_status(&frame);
        card.store(&[(&frame, frame.len() as u16, status | RX_EOP)])
    }

    /// The card stores `parts`, a descriptor each, with the length and status (beside DD) that it claims.
    pub(super) fn deliver_parts(&self, parts: &[(&[u8], u16, u32)]) -> Delivery {
        self.0.borrow_mut().store(parts)
    }

    /// A frame arrives with a wrong CRC.
    pub(super) fn deliver_wrong_crc(&self) {
        self.0.borrow_mut().count(CRCERRS);
    }

    /// Receive descriptors that the card has.
    pub(super) fn receive_buffers(&self) -> usize {
        self.0.borrow().receive_buffers()
    }
}

impl Registers for Fake {
    fn read(&self, offset: u32) -> u32 {
        let mut card = self.0.borrow_mut();
        *card.accesses.entry((false, offset)).or_default() += 1;
        let value = card.get(offset);
        match offset {
            // A read clears everything, which would lose causes.
            ICR => panic!("ICR was read"),
            RDH0 | TDH0 => panic!("a head register was read"),
            MDIC if card.transfer > 0 => {
                card.transfer -= 1;
                return value & !MDIC_READY;
            }
            CRCERRS..0x4200 => drop(card.registers.insert(offset, 0)),
            _ => {}
        }
        value
    }

    fn write(&mut self, offset: u32, value: u32) {
        let mut card = self.0.borrow_mut();
        assert!(offset < BAR_MIN as u32 && offset.is_multiple_of(4));
        *card.accesses.entry((true, offset)).or_default() += 1;
        let old = card.get(offset);
        match offset {
            CTRL if value & CTRL_RST != 0 => return card.reset(value),
            ICR => {
                card.registers.insert(ICR, old & !value);
                card.signalled &= !value;
                return card.fire();
            }
            IMS => {
                card.registers.insert(IMS, old | value);
                return card.fire();
            }
            IMC => {
                let mask = card.get(IMS) & !value;
                card.registers.insert(IMS, mask);
                return;
            }
            RCTL if value & RCTL_EN != 0 => {
                assert_eq!(value & (3 << 16 | 1 << 25), 0, "buffers are 2048 bytes");
                assert_ne!(
                    card.get(RFCTL) & RFCTL_EXTEN,
                    0,
                    "the descriptor format is latched here"
                );
                assert!(card.get(RDLEN0) > 0 && card.get(RDLEN0).is_multiple_of(128));
                assert!(card.get(RDBAL0).is_multiple_of(128));
            }
            EXTCNF_CTRL if value & !old & EXTCNF_MDIO_SW_OWNERSHIP != 0 && card.mdio_busy > 0 => {
                card.mdio_busy -= 1;
                return;
            }
            MDIC => return card.transfer(value),
            RDT0 => card.take_returned(old, value),
            TDT0 => {
                let size = card.get(TDLEN0) / 16;
                assert!(value < size, "TDT out of range");
                let (head, queued) = (card.get(TDH0), (value + size - old) % size);
                assert!((old + size - head) % size + queued < size, "TDT past the head");
            }
            _ => {}
        }
        card.registers.insert(offset, value);
        if offset == TDT0 && !card.slow {
            card.transmit(usize::MAX);
        }
    }
}

impl Card {
    fn get(&self, register: u32) -> u32 {
        if !self.present {
            return u32::MAX;
        }
        let value = self.registers.get(&register).copied().unwrap_or(0);
        match register {
            STATUS => {
                let speed = match self.speed {
                    None => 0,
                    Some(10) => STATUS_LU,
                    Some(100) => STATUS_LU | 1 << STATUS_SPEED_SHIFT,
                    Some(_) => STATUS_LU | 2 << STATUS_SPEED_SHIFT,
                };
                let master = self.get(CTRL) & CTRL_GIO_MASTER_DISABLE == 0;
                speed | if master { STATUS_GIO_MASTER_ENABLE } else { 0 }
            }
            EECD => EECD_AUTO_RD,
            _ => value,
        }
    }

    fn count(&mut self, register: u32) {
        *self.registers.entry(register).or_default() += 1;
    }

    fn reset(&mut self, ctrl: u32) {
        assert_eq!(
            self.get(CTRL) & CTRL_GIO_MASTER_DISABLE,
            CTRL_GIO_MASTER_DISABLE,
            "reset with transfers under way"
        );
        let asked = self.accesses.get(&(true, EXTCNF_CTRL)).copied().unwrap_or(0);
        assert!(
            self.get(EXTCNF_CTRL) & EXTCNF_MDIO_SW_OWNERSHIP != 0 || asked >= 10_000,
            "reset while firmware may be using the PHY"
        );
        // From here on the card configures the PHY.
        self.mdio_busy = self.mdio_busy.max(3);
        self.registers.clear();
        (self.context, self.signalled) = (None, 0);
        if self.stuck {
            self.registers.insert(CTRL, ctrl);
            return;
        }
        // Causes may be set, and throttling is on, when a reset ends.
        self.registers.extend([
            (
                CTRL,
                ctrl & !CTRL_RST | CTRL_RESERVED_CLEAR | CTRL_FRCSPD | CTRL_FRCDPX | 1,
            ),
            (ITR, 500),
            (EITR0, 500),
            (ICR, ICR_LSC),
            (RDTR, 32),
            (EXTCNF_CTRL, 1 << 3),
            (CTRL_EXT, CTRL_EXT_RESERVED_CLEAR | 1 << 19),
            (TARC0, TARC_RESERVED_CLEAR | 1 << 10 | 3),
            (GCR, 7),
        ]);
        for index in 0..MTA_LEN {
            self.registers.insert(MTA + 4 * index, 0xdead_beef);
        }
        if let Some(mac) = self.mac {
            self.registers
                .insert(RAL0, u32::from_le_bytes([mac[0], mac[1], mac[2], mac[3]]));
            self.registers
                .insert(RAH0, u32::from(mac[4]) | u32::from(mac[5]) << 8 | RAH_AV);
        }
    }

    fn cause(&mut self, causes: u32) {
        // Only a cause that is unmasked itself counts as "other".
        let other = if causes & self.get(IMS) & (ICR_LSC | ICR_RXO) != 0 {
            ICR_OTHER
        } else {
            0
        };
        *self.registers.entry(ICR).or_default() |= causes | other;
        self.fire();
    }

    fn fire(&mut self) {
        let pending = self.get(ICR) & self.get(IMS);
        match self.signal {
            Signal::MsiX => {
                for cause in [ICR_RXQ0, ICR_TXQ0, ICR_OTHER] {
                    if pending & cause != 0 {
                        assert_eq!(self.get(IVAR), IVAR_ALL_ON_0);
                        let clear = self.get(EIAC) & cause;
                        let masked = self.get(IAM) & cause;
                        assert_ne!(self.get(CTRL_EXT) & CTRL_EXT_EIAME, 0);
                        *self.registers.entry(ICR).or_default() &= !clear;
                        *self.registers.entry(IMS).or_default() &= !masked;
                        self.interrupt.raise();
                    }
                }
            }
            Signal::Msi => {
                if pending & !self.signalled != 0 {
                    self.signalled |= pending;
                    self.interrupt.raise();
                }
            }
        }
    }

    /// A descriptor in shared memory.
    fn descriptor(&self, base: u32, index: u32) -> &'static Descriptor {
        let address = u64::from(self.get(base)) | u64::from(self.get(base + 4)) << 32;
        let address = self.check(address + u64::from(index) * 16, 16);
        // SAFETY: the address is inside the leaked block, 16-byte aligned, and the driver shares it.
        unsafe { &*(address as *const Descriptor) }
    }

    fn check(&self, address: u64, len: u64) -> u64 {
        assert!(self.bus_master);
        let (start, end) = self.memory;
        assert!(
            address >= start && address.checked_add(len).is_some_and(|last| last <= end),
            "DMA outside the block"
        );
        address
    }

    fn receive_buffers(&self) -> usize {
        let size = self.get(RDLEN0) / 16;
        ((self.get(RDT0) + size - self.get(RDH0)) % size) as usize
    }

    /// The driver moves the tail: what it hands over must be ready, and the card's own descriptors stay the card's.
    fn take_returned(&self, old: u32, new: u32) {
        let size = self.get(RDLEN0) / 16;
        assert!(new < size, "RDT out of range");
        if self.get(RCTL) & RCTL_EN == 0 {
            assert_eq!(new, 0, "the tail moves after the receiver is on");
            return;
        }
        let returned = (new + size - old) % size;
        assert!(
            self.receive_buffers() + (returned as usize) < size as usize,
            "RDT past the head"
        );
        for step in 0..returned {
            let index = (old + step) % size;
            let descriptor = self.descriptor(RDBAL0, index);
            assert_eq!(
                descriptor.high.load(Ordering::Acquire),
                0,
                "descriptor {index} is not clean"
            );
            let address = self.check(descriptor.low.load(Ordering::Relaxed), BUFFER_SIZE as u64);
            for other in (0..size).filter(|other| *other != index) {
                assert_ne!(
                    self.descriptor(RDBAL0, other).low.load(Ordering::Relaxed),
                    address,
                    "a buffer twice"
                );
            }
        }
    }

    fn receive_status(&self, frame: &[u8]) -> u32 {
        if frame[12..14] != [8, 0] || frame[14] >> 4 != 4 {
            return 0;
        }
        let header = usize::from(frame[14] & 15) * 4;
        let total = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
        let mut status = 0;
        if self.get(RXCSUM) & RXCSUM_IPOFL != 0 && 14 + header <= frame.len() {
            status |= 1 << 6;
            if sum(&frame[14..14 + header]) != 0xffff {
                status |= 1 << 30;
            }
        }
        let fragment = u16::from_be_bytes([frame[20], frame[21]]) & 0x3fff != 0;
        let tcp = frame[23] == 6;
        if self.get(RXCSUM) & RXCSUM_TUOFL == 0 || fragment || !(tcp || frame[23] == 17) || total < header {
            return status;
        }
        let Some(segment) = frame.get(14 + header..14 + total) else {
            return status;
        };
        if !tcp && segment.len() >= 8 && segment[6..8] == [0, 0] {
            return status; // without a checksum
        }
        let mut all = frame[26..34].to_vec();
        all.extend([0, frame[23]]);
        all.extend((segment.len() as u16).to_be_bytes());
        all.extend(segment);
        status |= if tcp { 1 << 5 } else { 1 << 5 | 1 << 4 };
        if sum(&all) != 0xffff {
            status |= 1 << 29;
        }
        status
    }

    fn store(&mut self, parts: &[(&[u8], u16, u32)]) -> Delivery {
        let size = self.get(RDLEN0) / 16;
        if self.receive_buffers() < parts.len() {
            self.count(MPC);
            self.cause(ICR_RXO);
            return Delivery::Missed;
        }
        for (bytes, len, status) in parts {
            let head = self.get(RDH0);
            let descriptor = self.descriptor(RDBAL0, head);
            assert_eq!(descriptor.high.load(Ordering::Acquire), 0);
            let address = self.check(descriptor.low.load(Ordering::Relaxed), BUFFER_SIZE as u64);
            let bytes = &bytes[..bytes.len().min(BUFFER_SIZE)];
            // SAFETY: the buffer is inside the leaked block, and the descriptor says that it is the card's.
            unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
            descriptor.low.store(u64::MAX, Ordering::Relaxed);
            let word = u64::from(*len) << 32 | u64::from(status | RX_DD);
            descriptor.high.store(word, Ordering::Release);
            self.registers.insert(RDH0, (head + 1) % size);
        }
        let cause = if self.signal == Signal::MsiX {
            ICR_RXQ0
        } else {
            ICR_RXT0
        };
        self.cause(cause);
        Delivery::Stored
    }

    fn transmit(&mut self, count: usize) {
        let size = self.get(TDLEN0) / 16;
        let mut causes = 0;
        for _ in 0..count {
            let head = self.get(TDH0);
            if head == self.get(TDT0) || self.get(TCTL) & TCTL_EN == 0 {
                break;
            }
            let descriptor = self.descriptor(TDBAL0, head);
            let word = descriptor.high.load(Ordering::Acquire);
            assert_eq!(word & TX_DD, 0, "transmit descriptor {head} is not clean");
            assert_ne!(word & TX_DEXT, 0);
            if word & TX_DTYP_DATA == 0 {
                self.context = Some(descriptor.low.load(Ordering::Relaxed));
            } else {
                self.send(descriptor.low.load(Ordering::Relaxed), word);
            }
            if word & TX_RS != 0 {
                descriptor.high.store(word | TX_DD, Ordering::Release);
                causes |= if self.signal == Signal::MsiX {
                    ICR_TXQ0
                } else {
                    ICR_TXDW
                };
            }
            self.registers.insert(TDH0, (head + 1) % size);
        }
        self.cause(causes);
    }

    fn send(&mut self, address: u64, word: u64) {
        let len = word & 0xf_ffff;
        assert!((14..=1514).contains(&len));
        assert_eq!(word & (TX_EOP | TX_IFCS), TX_EOP | TX_IFCS);
        let address = self.check(address, len);
        // SAFETY: inside the leaked block, and the descriptor says that it is the card's.
        let mut frame = unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) }.to_vec();
        let context = self.context.unwrap_or(0);
        let byte = |shift: u32| (context >> shift & 0xff) as usize;
        let mut insert = |start: usize, at: usize, end: usize| {
            assert!(
                start < at && at + 2 <= end && end <= frame.len(),
                "no context, or not for this frame"
            );
            let complement = !sum(&frame[start..end]);
            frame[at..at + 2].copy_from_slice(&complement.to_be_bytes());
        };
        if word & TX_IXSM != 0 {
            insert(byte(0), byte(8), (context >> 16 & 0xffff) as usize + 1);
        }
        if word & TX_TXSM != 0 {
            assert_eq!(context >> 48, 0, "to the end of the frame");
            insert(byte(32), byte(40), len as usize);
        }
        self.sent.push(frame);
    }
}

/// The one's complement sum of big-endian words (RFC 1071).
fn sum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
