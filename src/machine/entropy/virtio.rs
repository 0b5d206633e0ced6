//! The random numbers of the host: a virtio entropy device on PCI or MMIO.
//!
//! The driver is that of the `virtio-drivers` crate, except that its own request function waits without end: here a
//! request stays with the device until it is answered, and is looked at now and then.

use super::super::memory::{self, Arena, Dma, PAGE, Range};
use super::super::paging::MemoryKind;
use super::super::pci::{self, Function, Ports};
use super::super::virtio_mmio;
use core::cell::RefCell;
use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use core::slice;
use critical_section::Mutex;
use heapless::Vec;
use virtio_drivers::device::common::Feature;
use virtio_drivers::queue::VirtQueue;
use virtio_drivers::transport::mmio::{MmioTransport, VirtIOHeader};
use virtio_drivers::transport::pci::bus::PciRoot;
use virtio_drivers::transport::pci::{PciTransport, virtio_device_type};
use virtio_drivers::transport::{DeviceStatus, DeviceType, SomeTransport, Transport};
use virtio_drivers::{BufferDirection, Hal};

/// Vendor ID of virtio devices.
const VENDOR: u16 = 0x1af4;
/// Bytes that can be asked for at once.
pub(super) const REQUEST: usize = super::START_UP;
/// The queue of requests (virtio 1.2, 5.4.2).
const QUEUE: u16 = 0;

/// An entropy device, and perhaps a request that it has.
pub(super) struct Device {
    transport: ManuallyDrop<SomeTransport<'static>>,
    queue: VirtQueue<Memory, 8>,
    buffer: Dma,
    /// The request's token, and its length.
    pending: Option<(u16, usize)>,
}

// SAFETY: the pointers within are to memory that belongs to the device and this value alone.
unsafe impl Send for Device {}

/// The first entropy device among `functions` and `devices`, set up. `Err` has the reason why one that is there cannot be
/// used.
pub(super) fn find(
    functions: &[Function],
    devices: &[virtio_mmio::Device],
    arena: &mut Arena,
) -> Option<Result<Device, &'static str>> {
    let is_entropy = |function: &&Function| {
        let (vendor_id, device_id) = function.id();
        let info = virtio_drivers::transport::pci::bus::DeviceFunctionInfo {
            vendor_id,
            device_id,
            class: 0,
            subclass: 0,
            prog_if: 0,
            revision: 0,
            header_type: virtio_drivers::transport::pci::bus::HeaderType::Standard,
        };
        vendor_id == VENDOR && virtio_device_type(&info) == Some(DeviceType::EntropySource)
    };
    if let Some(function) = functions.iter().find(is_entropy) {
        return Some(Device::on_pci(function, arena));
    }
    let device = devices.iter().find(|device| device.id() == virtio_mmio::ENTROPY)?;
    Some(Device::on_mmio(device, arena))
}

impl Device {
    fn on_mmio(device: &virtio_mmio::Device, arena: &mut Arena) -> Result<Self, &'static str> {
        let registers = device.registers();
        let header: NonNull<VirtIOHeader> = registers.as_ptr().cast();
        // SAFETY: the registers of this device, mapped for good, of at least the header's size, and aligned.
        let transport = unsafe { MmioTransport::new(header, registers.len()) };
        let transport = transport.map_err(|_| "no virtio 1.0 interface")?;
        Self::new(transport.into(), arena, || {})
    }

    fn on_pci(function: &Function, arena: &mut Arena) -> Result<Self, &'static str> {
        // All its memory, since the crate takes for granted that mapping succeeds. A BAR that is none is no error.
        for bar in 0..6 {
            // SAFETY: the crate drives the device, with the memory that it got from `Memory` and `request`.
            match unsafe { function.bar(bar) } {
                Ok(_) | Err(pci::Error::NoMemoryBar(_)) => {}
                Err(_) => return Err("memory cannot be mapped"),
            }
        }
        let mut root = PciRoot::new(Ports);
        let transport = PciTransport::new::<Memory, Ports>(&mut root, function.address());
        let transport = transport.map_err(|_| "no virtio 1.0 interface")?;
        Self::new(transport.into(), arena, || function.enable_bus_master())
    }

    /// Sets the device up. `enable` lets it access memory, and is called after its reset.
    fn new(transport: SomeTransport<'static>, arena: &mut Arena, enable: impl FnOnce()) -> Result<Self, &'static str> {
        // Dropping it would wait for a reset, without end.
        let mut transport = ManuallyDrop::new(transport);
        let buffer = arena.dma(REQUEST, 16).map_err(|_| "out of memory")?;
        critical_section::with(|cs| {
            let mut pages = PAGES.borrow_ref_mut(cs);
            for _ in 0..pages.capacity() {
                let page = arena.dma(PAGE as usize, PAGE as usize).map_err(|_| "out of memory")?;
                // There is room for as many.
                let _ = pages.push(page);
            }
            Ok::<(), &'static str>(())
        })?;
        // Not by `begin_init`: Firecracker accepts no two bits at once.
        let driver = DeviceStatus::ACKNOWLEDGE | DeviceStatus::DRIVER;
        for status in [DeviceStatus::empty(), DeviceStatus::ACKNOWLEDGE, driver] {
            transport.set_status(status);
        }
        let features = transport.read_device_features() & Feature::VERSION_1.bits();
        transport.write_driver_features(features);
        transport.set_status(driver | DeviceStatus::FEATURES_OK);
        enable();
        let queue = VirtQueue::new(&mut *transport, QUEUE, false, false).map_err(|_| "no queue")?;
        transport.finish_init();
        let mut device = Self {
            transport,
            queue,
            buffer,
            pending: None,
        };
        // It is asked now and then, not listened to.
        device.queue.set_dev_notify(false);
        Ok(device)
    }

    /// Asks for `len` bytes, at most [`REQUEST`], unless a request is under way.
    pub(super) fn request(&mut self, len: usize) {
        if self.pending.is_some() {
            return;
        }
        let len = len.clamp(1, REQUEST.min(self.buffer.len()));
        // SAFETY: only the device has it, and it has no request.
        let buffer = unsafe { slice::from_raw_parts_mut(self.buffer.as_ptr().as_ptr(), len) };
        // SAFETY: the buffer lives for good, and is not looked at before `answer` has the request back.
        if let Ok(token) = unsafe { self.queue.add(&[], &mut [buffer]) } {
            self.pending = Some((token, len));
            if self.queue.should_notify() {
                self.transport.notify(QUEUE);
            }
        }
    }

    /// The bytes that the device answered with, if it did.
    pub(super) fn answer(&mut self) -> Option<&mut [u8]> {
        let (token, len) = self.pending.filter(|_| self.queue.can_pop())?;
        // SAFETY: `request` gave the device just this; it is done with it when it has an answer.
        let buffer = unsafe { slice::from_raw_parts_mut(self.buffer.as_ptr().as_ptr(), len) };
        // SAFETY: the same buffer as in `request`.
        let got = unsafe { self.queue.pop_used(token, &[], &mut [buffer]) };
        self.pending = None;
        let got = usize::try_from(got.ok()?).ok()?.min(len);
        // SAFETY: as above.
        Some(unsafe { slice::from_raw_parts_mut(self.buffer.as_ptr().as_ptr(), got) })
    }
}

/// Pages for the queue: one for what the driver writes, one for what the device writes.
static PAGES: Mutex<RefCell<Vec<Dma, 2>>> = Mutex::new(RefCell::new(Vec::new()));

struct Memory;

// SAFETY: pages come from the arena, zeroed, aligned and used by nothing else; addresses are the same for the device; the
// BARs were mapped as device memory by `Device::new`.
unsafe impl Hal for Memory {
    fn dma_alloc(pages: usize, _: BufferDirection) -> (u64, NonNull<u8>) {
        let page = critical_section::with(|cs| PAGES.borrow_ref_mut(cs).pop());
        match page {
            Some(page) if pages == 1 => (page.physical(), page.as_ptr()),
            // Address 0 means that there is none.
            _ => (0, NonNull::dangling()),
        }
    }

    unsafe fn dma_dealloc(_: u64, _: NonNull<u8>, _: usize) -> i32 {
        // Memory is never given back.
        0
    }

    unsafe fn mmio_phys_to_virt(address: u64, size: usize) -> NonNull<u8> {
        // Mapped already, so that this cannot fail.
        let _ = memory::map(
            Range::new(address, address.saturating_add(size as u64)),
            MemoryKind::Device,
        );
        NonNull::new(address as *mut u8).unwrap_or(NonNull::dangling())
    }

    unsafe fn share(buffer: NonNull<[u8]>, _: BufferDirection) -> u64 {
        memory::physical(buffer.as_ptr())
    }

    unsafe fn unshare(_: u64, _: NonNull<[u8]>, _: BufferDirection) {}
}
