//! A fake virtio network device for host tests, which checks what the driver does.
//!
//! It walks the virtqueues in the memory that the driver shares with it, and fails the test where a real device would go
//! wrong: a buffer made available twice or outside the shared memory, a queue used before it was set up, an index
//! beyond the queue, an offload that was not negotiated.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::{AtomicU16, Ordering, fence};

use super::super::dma::{BUFFER_SIZE, DmaMemory};
use super::super::interrupt::Interrupt;
use super::super::ring::Descriptor;
use super::super::virtio::queue::{ELEMENTS, FLAGS, INDEX, NO_INTERRUPT, NO_NOTIFY, WRITE};
use super::super::virtio::transport::*;
use super::super::virtio::{self, HEADER, NEEDS_CSUM};
use super::super::{Config, RingSizes, Signal};
use super::{Delivery, MAC, sum};

/// The features of the fake device: those of QEMU's that the driver knows, and two that it does not.
pub(in crate::nic) const OFFERED: u64 =
    F_VERSION_1 | F_MAC | F_STATUS | F_SPEED_DUPLEX | F_CSUM | F_GUEST_CSUM | 1 << 15 | 1 << 29;

/// A handle to the fake device; one is the driver's transport, another stays with the test.
#[derive(Clone)]
pub(in crate::nic) struct FakeVirtio(Rc<RefCell<Device>>);

struct Device {
    memory: (u64, u64),
    interrupt: &'static Interrupt,
    status: u8,
    offered: u64,
    accepted: u64,
    mac: [u8; 6],
    /// Changes of the address still to come, each in the middle of a read.
    changes: u32,
    /// The link's status and speed.
    link: (u16, u32),
    generation: u32,
    /// The most descriptors of each queue.
    max: [u16; 2],
    queues: [Option<FakeQueue>; 2],
    bus_master: bool,
    /// No reset ends.
    stuck: bool,
    /// FEATURES_OK does not stay.
    picky: bool,
    /// No interrupt can be routed.
    no_vectors: bool,
    config_routed: bool,
    /// Frames to be sent stay in the device until `complete`.
    slow: bool,
    sent: Vec<Vec<u8>>,
    notified: [u32; 2],
    /// Accesses by the driver since the last `forget_accesses`.
    accesses: u32,
    /// The steps of the driver, in order.
    steps: Vec<String>,
}

#[derive(Clone, Copy)]
struct FakeQueue {
    at: QueueAddress,
    /// The index of the next available element to take, and of the next used element to write.
    available: u16,
    used: u16,
}

impl FakeVirtio {
    /// A device, and a configuration for its driver with memory that the device may use.
    pub(in crate::nic) fn new(rings: RingSizes) -> (Self, Config) {
        let len = virtio::bytes(rings.rx, rings.tx) + BUFFER_SIZE;
        let memory: &'static mut [u8] = Box::leak(vec![0xa5; len].into_boxed_slice());
        let interrupt: &'static Interrupt = Box::leak(Box::new(Interrupt::new()));
        let address = memory.as_ptr() as u64;
        let device = Device {
            memory: (address, address + len as u64),
            interrupt,
            status: ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK,
            offered: OFFERED,
            accepted: 0,
            mac: MAC,
            changes: 0,
            link: (LINK_UP, 1000),
            generation: 0,
            max: [256; 2],
            queues: [None; 2],
            bus_master: false,
            stuck: false,
            picky: false,
            no_vectors: false,
            config_routed: false,
            slow: false,
            sent: Vec::new(),
            notified: [0; 2],
            accesses: 0,
            steps: Vec::new(),
        };
        // SAFETY: the fake device's bus addresses are the test's own.
        let memory = unsafe { DmaMemory::new(memory, address) };
        (
            Self(Rc::new(RefCell::new(device))),
            Config {
                name: "vm0",
                rings,
                memory,
                signal: Signal::MsiX,
                interrupt,
            },
        )
    }

    /// From now on the device offers these features.
    pub(in crate::nic) fn offer(&self, features: u64) {
        self.0.borrow_mut().offered = features;
    }

    /// The features that the driver has accepted.
    pub(in crate::nic) fn accepted(&self) -> u64 {
        self.0.borrow().accepted
    }

    /// The device's Ethernet address.
    pub(in crate::nic) fn set_mac(&self, mac: [u8; 6]) {
        self.0.borrow_mut().mac = mac;
    }

    /// The address changes in the middle of the next `count` reads, each time to one with the next last digit.
    pub(in crate::nic) fn change_while_read(&self, count: u32) {
        self.0.borrow_mut().changes = count;
    }

    /// The link goes up at `speed`, or down.
    pub(in crate::nic) fn set_link(&self, speed: Option<u32>) {
        let mut device = self.0.borrow_mut();
        device.link = speed.map_or((0, u32::MAX), |speed| (LINK_UP, speed));
        device.config_changed();
    }

    /// The device interrupts, whatever the driver wants.
    pub(in crate::nic) fn interrupt(&self) {
        self.0.borrow().interrupt.raise();
    }

    /// The device reports that it has failed.
    pub(in crate::nic) fn need_reset(&self) {
        let mut device = self.0.borrow_mut();
        device.status |= NEEDS_RESET;
        device.config_changed();
    }

    /// The device has forgotten its driver, and reports a change.
    pub(in crate::nic) fn forget_driver(&self) {
        let mut device = self.0.borrow_mut();
        device.status = 0;
        device.config_changed();
    }

    /// The most descriptors of the receive and transmit queues.
    pub(in crate::nic) fn set_max(&self, max: [u16; 2]) {
        self.0.borrow_mut().max = max;
    }

    /// Whether no reset ends.
    pub(in crate::nic) fn break_reset(&self, stuck: bool) {
        self.0.borrow_mut().stuck = stuck;
    }

    /// From now on the device accepts no features.
    pub(in crate::nic) fn refuse_features(&self) {
        self.0.borrow_mut().picky = true;
    }

    /// From now on the device has no room for an interrupt.
    pub(in crate::nic) fn refuse_vectors(&self) {
        self.0.borrow_mut().no_vectors = true;
    }

    /// The PCI function lets the device access memory.
    pub(in crate::nic) fn enable_bus_master(&self) {
        let mut device = self.0.borrow_mut();
        assert_eq!(device.status, 0, "the device runs before it was reset");
        device.bus_master = true;
    }

    /// Whether frames to be sent stay in the device until [`FakeVirtio::complete`].
    pub(in crate::nic) fn hold(&self, hold: bool) {
        self.0.borrow_mut().slow = hold;
    }

    /// Has the device send `count` frames, or what there is.
    pub(in crate::nic) fn complete(&self, count: usize) {
        self.0.borrow_mut().transmit(count);
    }

    /// Frames sent since the last call.
    pub(in crate::nic) fn sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.0.borrow_mut().sent)
    }

    /// Notifications of a queue since the last call.
    pub(in crate::nic) fn notified(&self, queue: u16) -> u32 {
        std::mem::take(&mut self.0.borrow_mut().notified[usize::from(queue)])
    }

    /// Whether the device wants notifications of a queue.
    pub(in crate::nic) fn want_notifications(&self, queue: u16, wanted: bool) {
        let device = self.0.borrow();
        let flags = if wanted { 0 } else { NO_NOTIFY };
        device
            .word(device.queue(queue).at.used, FLAGS)
            .store(flags, Ordering::SeqCst);
    }

    /// Whether the driver wants interrupts of a queue.
    pub(in crate::nic) fn interrupts_wanted(&self, queue: u16) -> bool {
        let device = self.0.borrow();
        let flags = device.word(device.queue(queue).at.available, FLAGS);
        flags.load(Ordering::SeqCst) & NO_INTERRUPT == 0
    }

    /// Accesses to the device since the last [`FakeVirtio::forget_accesses`].
    pub(in crate::nic) fn accesses(&self) -> u32 {
        self.0.borrow().accesses
    }

    /// Sets the count of accesses to 0.
    pub(in crate::nic) fn forget_accesses(&self) {
        self.0.borrow_mut().accesses = 0;
    }

    /// The steps of the driver since the last call, without reads of configuration and status.
    pub(in crate::nic) fn steps(&self) -> Vec<String> {
        std::mem::take(&mut self.0.borrow_mut().steps)
    }

    /// A frame arrives, with a header that has these flags, if that was negotiated.
    pub(in crate::nic) fn deliver(&self, frame: &[u8], flags: u8) -> Delivery {
        let mut header = [0; HEADER];
        let mut frame = frame.to_vec();
        frame.resize(frame.len().max(60), 0);
        if self.accepted() & F_GUEST_CSUM != 0 {
            header[0] = flags;
        }
        // Without merged buffers it is 1 (§5.1.6.4.1).
        header[10] = 1;
        self.deliver_raw(&header, &frame)
    }

    /// The device stores this header and frame.
    pub(in crate::nic) fn deliver_raw(&self, header: &[u8], frame: &[u8]) -> Delivery {
        let mut device = self.0.borrow_mut();
        if device.link.0 & LINK_UP == 0 {
            return Delivery::Refused;
        }
        let bytes = [header, frame].concat();
        let Some(id) = device.take(RECEIVE) else {
            return Delivery::Missed;
        };
        device.fill(id, &bytes);
        device.put(RECEIVE, u32::from(id), bytes.len() as u32);
        Delivery::Stored
    }

    /// The device writes an element to the used ring, whatever it is.
    pub(in crate::nic) fn put(&self, queue: u16, id: u32, len: u32) {
        self.0.borrow_mut().put(queue, id, len);
    }

    /// The device moves the used ring's index by `ahead` without an element.
    pub(in crate::nic) fn jump(&self, queue: u16, ahead: u16) {
        let mut device = self.0.borrow_mut();
        let used = device.queue(queue).used.wrapping_add(ahead);
        device.queue_mut(queue).used = used;
        let index = device.word(device.queue(queue).at.used, INDEX);
        index.store(used, Ordering::Release);
        device.interrupt_for(queue);
    }

    /// Receive buffers that the device has.
    pub(in crate::nic) fn receive_buffers(&self) -> u16 {
        let device = self.0.borrow();
        let queue = device.queue(RECEIVE);
        let index = device.word(queue.at.available, INDEX).load(Ordering::Acquire);
        index.wrapping_sub(queue.available)
    }
}

impl Transport for FakeVirtio {
    fn status(&self) -> u8 {
        let mut device = self.0.borrow_mut();
        device.accesses += 1;
        device.status
    }

    fn set_status(&mut self, status: u8) {
        let mut device = self.0.borrow_mut();
        device.step(format!("status {status}"));
        if status == 0 {
            device.queues = [None; 2];
            (device.accepted, device.config_routed) = (0, false);
            if !device.stuck {
                device.status = 0;
            }
            return;
        }
        assert_eq!(device.status & !status, 0, "a status bit was cleared");
        let picky = device.picky;
        device.status = if picky { status & !FEATURES_OK } else { status };
        if status & DRIVER_OK != 0 {
            assert!(device.bus_master && device.queues.iter().all(Option::is_some));
        }
    }

    fn features(&mut self) -> u64 {
        let mut device = self.0.borrow_mut();
        assert_eq!(device.status, ACKNOWLEDGE | DRIVER);
        device.step("features".into());
        device.offered
    }

    fn accept(&mut self, features: u64) {
        let mut device = self.0.borrow_mut();
        assert_eq!(device.status, ACKNOWLEDGE | DRIVER);
        assert_eq!(features & !device.offered, 0, "a feature that is not offered");
        device.step("accept".into());
        device.accepted = features;
    }

    fn generation(&self) -> u32 {
        let mut device = self.0.borrow_mut();
        device.accesses += 1;
        device.generation
    }

    fn config_u8(&self, at: usize) -> u8 {
        let mut device = self.0.borrow_mut();
        device.accesses += 1;
        let at = at - CONFIG_MAC;
        let byte = device.mac[at];
        if at == 2 && device.changes > 0 {
            device.changes -= 1;
            device.generation += 1;
            device.mac = device.mac.map(|byte| byte.wrapping_add(2));
        }
        byte
    }

    fn config_u16(&self, at: usize) -> u16 {
        let mut device = self.0.borrow_mut();
        device.accesses += 1;
        assert_eq!(at, CONFIG_STATUS);
        assert_ne!(device.accepted & F_STATUS, 0);
        device.link.0
    }

    fn config_u32(&self, at: usize) -> u32 {
        let mut device = self.0.borrow_mut();
        device.accesses += 1;
        assert_eq!(at, CONFIG_SPEED);
        assert_ne!(device.accepted & F_SPEED_DUPLEX, 0);
        device.link.1
    }

    fn max_descriptors(&mut self, queue: u16) -> u16 {
        self.0.borrow().max[usize::from(queue)]
    }

    fn route_config(&mut self) -> bool {
        let mut device = self.0.borrow_mut();
        device.step("route".into());
        device.config_routed = !device.no_vectors;
        device.config_routed
    }

    fn set_queue(&mut self, queue: u16, at: QueueAddress) -> bool {
        let mut device = self.0.borrow_mut();
        device.step(format!("queue {queue} of {}", at.len));
        assert_eq!(device.status, ACKNOWLEDGE | DRIVER | FEATURES_OK);
        assert!(at.len.is_power_of_two() && at.len <= device.max[usize::from(queue)]);
        assert!(at.table.is_multiple_of(16) && at.available.is_multiple_of(2) && at.used.is_multiple_of(4));
        let len = u64::from(at.len);
        for (address, len) in [
            (at.table, 16 * len),
            (at.available, 6 + 2 * len),
            (at.used, 6 + 8 * len),
        ] {
            device.check_inside(address, len);
        }
        device.queues[usize::from(queue)] = Some(FakeQueue {
            at,
            available: 0,
            used: 0,
        });
        true
    }

    fn notify(&mut self, queue: u16) {
        let mut device = self.0.borrow_mut();
        device.accesses += 1;
        assert_ne!(device.status & DRIVER_OK, 0, "a notification before DRIVER_OK");
        device.notified[usize::from(queue)] += 1;
        device.check_available(queue);
        if queue == TRANSMIT && !device.slow {
            device.transmit(usize::MAX);
        }
    }

    fn acknowledge(&mut self) {}
}

impl Device {
    fn step(&mut self, step: String) {
        self.accesses += 1;
        self.steps.push(step);
    }

    fn queue(&self, queue: u16) -> FakeQueue {
        self.queues[usize::from(queue)].expect("the queue was set up")
    }

    fn queue_mut(&mut self, queue: u16) -> &mut FakeQueue {
        self.queues[usize::from(queue)].as_mut().expect("the queue was set up")
    }

    fn check_inside(&self, address: u64, len: u64) {
        let (start, end) = self.memory;
        assert!(
            address >= start && address.checked_add(len).is_some_and(|last| last <= end),
            "DMA outside the block"
        );
    }

    /// A word of a ring that starts at `address`.
    fn word(&self, address: u64, place: usize) -> &'static AtomicU16 {
        assert!(self.bus_master);
        // SAFETY: the ring is inside the leaked block, as `set_queue` has checked, and the driver shares it.
        unsafe { &*((address + 2 * place as u64) as *const AtomicU16) }
    }

    fn descriptor(&self, queue: u16, id: u16) -> &'static Descriptor {
        let at = self.queue(queue).at;
        assert!(id < at.len, "descriptor out of range");
        // SAFETY: as for words.
        unsafe { &*((at.table + 16 * u64::from(id)) as *const Descriptor) }
    }

    /// The address, length and flags of a descriptor.
    fn buffer(&self, queue: u16, id: u16) -> (u64, u64, u64) {
        let descriptor = self.descriptor(queue, id);
        let (address, high) = (
            descriptor.low.load(Ordering::Relaxed),
            descriptor.high.load(Ordering::Relaxed),
        );
        let (len, flags) = (high & 0xffff_ffff, high >> 32);
        self.check_inside(address, len);
        assert_eq!(flags, if queue == RECEIVE { WRITE } else { 0 });
        (address, len, flags)
    }

    /// All that is available: each descriptor once, each with a buffer of its own.
    fn check_available(&self, queue: u16) {
        let FakeQueue { at, available, .. } = self.queue(queue);
        let index = self.word(at.available, INDEX).load(Ordering::Acquire);
        let count = index.wrapping_sub(available);
        assert!(count <= at.len, "more available than the queue holds");
        let mut seen = std::collections::HashSet::new();
        for step in 0..count {
            let id = self.element(at, available.wrapping_add(step));
            let (address, ..) = self.buffer(queue, id);
            assert!(seen.insert(address), "a buffer twice");
        }
    }

    fn element(&self, at: QueueAddress, index: u16) -> u16 {
        let place = ELEMENTS + usize::from(index % at.len);
        self.word(at.available, place).load(Ordering::Acquire)
    }

    fn take(&mut self, queue: u16) -> Option<u16> {
        let FakeQueue { at, available, .. } = self.queue(queue);
        if self.word(at.available, INDEX).load(Ordering::Acquire) == available {
            return None;
        }
        self.queue_mut(queue).available = available.wrapping_add(1);
        Some(self.element(at, available))
    }

    fn fill(&self, id: u16, bytes: &[u8]) {
        let (address, len, _) = self.buffer(RECEIVE, id);
        let bytes = &bytes[..bytes.len().min(len as usize)];
        // SAFETY: the buffer is inside the leaked block, and by the available ring it is the device's.
        unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), address as *mut u8, bytes.len()) };
    }

    fn put(&mut self, queue: u16, id: u32, len: u32) {
        let FakeQueue { at, used, .. } = self.queue(queue);
        let place = ELEMENTS + 4 * usize::from(used % at.len);
        let halves = [id as u16, (id >> 16) as u16, len as u16, (len >> 16) as u16];
        for (half, value) in halves.into_iter().enumerate() {
            self.word(at.used, place + half).store(value, Ordering::Relaxed);
        }
        let used = used.wrapping_add(1);
        self.queue_mut(queue).used = used;
        self.word(at.used, INDEX).store(used, Ordering::Release);
        self.interrupt_for(queue);
    }

    fn interrupt_for(&self, queue: u16) {
        // The flag is read after the index is stored.
        fence(Ordering::SeqCst);
        let flags = self.word(self.queue(queue).at.available, FLAGS);
        if flags.load(Ordering::Relaxed) & NO_INTERRUPT == 0 {
            self.interrupt.raise();
        }
    }

    fn config_changed(&mut self) {
        self.generation += 1;
        if self.config_routed {
            self.interrupt.raise();
        }
    }

    fn transmit(&mut self, count: usize) {
        for _ in 0..count {
            let Some(id) = self.take(TRANSMIT) else {
                break;
            };
            let (address, len, _) = self.buffer(TRANSMIT, id);
            // SAFETY: inside the leaked block, and by the available ring it is the device's.
            let bytes = unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) };
            self.send(bytes);
            self.put(TRANSMIT, u32::from(id), 0);
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        let (header, frame) = bytes.split_at(HEADER);
        assert!((14..=1514).contains(&frame.len()));
        let mut frame = frame.to_vec();
        let half = |at: usize| usize::from(u16::from_le_bytes([header[at], header[at + 1]]));
        assert_eq!((header[1], half(2), half(4)), (0, 0, 0), "segmentation");
        match header[0] {
            0 => assert_eq!((half(6), half(8)), (0, 0)),
            NEEDS_CSUM => {
                assert_ne!(self.accepted & F_CSUM, 0);
                let (start, at) = (half(6), half(6) + half(8));
                assert!(at + 2 <= frame.len());
                let complement = !sum(&frame[start..]);
                frame[at..at + 2].copy_from_slice(&complement.to_be_bytes());
            }
            flags => panic!("flags {flags}"),
        }
        self.sent.push(frame);
    }
}
