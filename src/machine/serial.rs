//! The serial console, COM1: buffered output, and input for the shell.
//!
//! Until the tasks run, output is synchronous. From then on it waits in a buffer for the port's interrupt, so that a
//! slow reader at the other end delays nothing but the console; lines that find no room are dropped and counted. A
//! panic, a reset and a power-off send what waits first. No wait for the port is unbounded.

mod output;

use super::interrupts;
use core::cell::RefCell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use critical_section::Mutex;
use embassy_sync::waitqueue::WakerRegistration;
use heapless::Deque;
use output::Output;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::{IER, LSR};
use uart_16550::{BaudRate, Config, Uart16550};

/// Bytes received that may wait for a reader; what comes on top is dropped.
pub const RECEIVE_BUFFER: usize = 256;
/// Bytes of output that may wait for the port. Further lines are dropped.
pub const OUTPUT_BUFFER: usize = 8 * 1024;
/// The interrupt line of COM1 on the ISA bus.
pub const IRQ: u8 = 4;
/// How often a synchronous write polls for room before it gives up: the other end does not read. At least 0.1 s.
const STALLED_POLLS: u32 = 100_000;
/// How often it polls in all, so that a reader of single bytes cannot hold up a power-off: at least 1 s. At
/// 115,200 bit/s a full buffer takes 0.7 s.
const DRAIN_POLLS: u32 = 1_000_000;
/// Bytes of a synchronous write that pass through the buffer at a time.
const PIECE: usize = 256;
/// How often one interrupt asks the port for more to do. A FIFO of 16 bytes is sent each time.
const ROUNDS: usize = 16;
/// How often to look for input where the port has no interrupt.
const IDLE_POLL: embassy_time::Duration = embassy_time::Duration::from_millis(20);
/// How often to look for room there while output waits.
const BUSY_POLL: embassy_time::Duration = embassy_time::Duration::from_millis(1);

const COM1: u16 = 0x3f8;

/// Sets the port up: 115,200 bit/s, 8 bits, no parity, FIFO. Without a port there, output goes nowhere.
pub fn init() {
    with(|port| port.present = port.uart.check_present() && port.uart.init(CONFIG).is_ok());
}

/// Enables the port's interrupts.
pub fn enable_interrupts() -> Result<(), interrupts::Error> {
    interrupts::allocate_isa(IRQ, on_interrupt)?;
    with(|port| {
        port.interrupts = true;
        port.enable(true);
    });
    on_interrupt();
    Ok(())
}

/// Has output wait in `buffer`, of [`OUTPUT_BUFFER`] bytes, rather than in the small one of the early boot.
pub fn set_buffer(buffer: &'static mut [u8]) {
    with(|port| port.output.set_buffer(buffer));
}

/// Makes output asynchronous from now on: the main loop runs, which delivers the port's interrupts.
pub(super) fn start_buffering() {
    with(|port| {
        port.buffered = true;
        port.send();
    });
}

/// Queues the lines of `text`, each newline as CR LF; sends them at once until the main loop runs.
pub fn write(text: &str) {
    with(|port| port.write(text));
}

/// Writes from a panic, after what waits: synchronously, and past whatever may be borrowed.
pub(crate) fn write_panic(text: &str) {
    synchronously(|port| {
        // A panic may come before `init`.
        port.present = true;
        port.write(text);
    });
}

/// Sends what waits, and makes output synchronous: the machine is about to end.
pub fn flush() {
    synchronously(|port| {
        port.drain();
        port.wait_until_sent();
    });
}

/// Lines dropped since boot because the other end did not read.
pub fn dropped() -> u64 {
    with(|port| port.output.dropped())
}

/// Polls the port where it has no interrupt. To be run as a task.
pub async fn poll() -> ! {
    loop {
        if with(|port| port.interrupts || !port.present) {
            core::future::pending::<()>().await;
        }
        let busy = with(|port| !port.output.is_empty());
        embassy_time::Timer::after(if busy { BUSY_POLL } else { IDLE_POLL }).await;
        on_interrupt();
    }
}

/// The console as a stream of bytes, just as they come and go. Every handle is the same console; with two readers each
/// byte goes to one of them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Console;

impl embedded_io_async::ErrorType for Console {
    type Error = Infallible;
}

impl embedded_io_async::Read for Console {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let read = poll_fn(|context| {
            with(|port| {
                let mut count = 0;
                for place in &mut *buffer {
                    let Some(byte) = port.received.pop_front() else { break };
                    *place = byte;
                    count += 1;
                }
                if count > 0 {
                    return Poll::Ready(count);
                }
                port.reader.register(context.waker());
                Poll::Pending
            })
        });
        Ok(read.await)
    }
}

impl embedded_io_async::Write for Console {
    async fn write(&mut self, buffer: &[u8]) -> Result<usize, Infallible> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let write = poll_fn(|context| with(|port| port.poll_write(buffer, context.waker())));
        Ok(write.await)
    }

    async fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Port {
    uart: Uart16550<PioBackend>,
    present: bool,
    interrupts: bool,
    /// The port is to announce room, with which an interrupt comes.
    announces_room: bool,
    /// Output waits for the port's interrupt rather than for the port.
    buffered: bool,
    /// The other end has not read for [`STALLED_POLLS`].
    stuck: bool,
    output: Output,
    received: Deque<u8, RECEIVE_BUFFER>,
    reader: WakerRegistration,
    writer: WakerRegistration,
}

const CONFIG: Config = Config {
    baud_rate: BaudRate::Baud115200,
    ..Config::DEFAULT
};

static PORT: Mutex<RefCell<Port>> = Mutex::new(RefCell::new(Port::new()));

fn with<R>(f: impl FnOnce(&mut Port) -> R) -> R {
    critical_section::with(|cs| f(&mut PORT.borrow_ref_mut(cs)))
}

/// Calls `f` with the port, which is synchronous from now on; with another view of it, without what waits, if a panic
/// came while it was in use.
fn synchronously(f: impl FnOnce(&mut Port)) {
    critical_section::with(|cs| match PORT.borrow(cs).try_borrow_mut() {
        Ok(mut port) => {
            if core::mem::take(&mut port.buffered) {
                // Whether the other end reads was last seen at boot.
                port.stuck = false;
            }
            f(&mut port);
        }
        Err(_) => f(&mut Port::new()),
    });
}

fn on_interrupt() {
    with(|port| {
        if !port.present {
            return;
        }
        for _ in 0..ROUNDS {
            port.receive();
            port.send();
            if !port.interrupts || !port.uart.isr().has_pending_interrupt() {
                return;
            }
        }
        // The interrupt is edge-triggered, and its line still high: lower it, or the next would never be seen.
        port.enable(false);
        port.enable(true);
    });
}

impl Port {
    const fn new() -> Self {
        // SAFETY: COM1 is a serial port on every PC; where there is none, nothing is at these ports.
        let uart = match unsafe { Uart16550::new_port(COM1) } {
            Ok(uart) => uart,
            Err(_) => panic!("0x3f8 is a valid port"),
        };
        Self {
            uart,
            present: false,
            interrupts: false,
            announces_room: false,
            buffered: false,
            stuck: false,
            output: Output::new(),
            received: Deque::new(),
            reader: WakerRegistration::new(),
            writer: WakerRegistration::new(),
        }
    }

    /// Enables the interrupts that are wanted, or disables all.
    fn enable(&mut self, enable: bool) {
        let room = if self.announces_room {
            IER::THR_EMPTY
        } else {
            IER::empty()
        };
        let wanted = if enable { IER::DATA_READY | room } else { IER::empty() };
        self.uart.disable_interrupts(IER::all() - wanted);
        self.uart.enable_interrupts(wanted);
    }

    /// Takes what has come in.
    fn receive(&mut self) {
        let mut some = false;
        // At most what fits in the buffer: a port that claims to have input for ever must not stop the machine.
        for _ in 0..RECEIVE_BUFFER {
            let Ok(byte) = self.uart.try_receive_byte() else { break };
            some = true;
            // Full: the byte is dropped, as a terminal without flow control expects.
            let _ = self.received.push_back(byte);
        }
        if some {
            self.reader.wake();
        }
    }

    /// Sends as much as the port takes at once, and has it announce room for the rest.
    fn send(&mut self) {
        if !self.output.is_empty() && self.output.send(|bytes| self.uart.send_bytes(bytes)) > 0 {
            self.stuck = false;
            self.writer.wake();
        }
        let wanted = self.buffered && !self.output.is_empty();
        if self.interrupts && wanted != self.announces_room {
            self.announces_room = wanted;
            self.enable(true);
        }
    }

    fn write(&mut self, text: &str) {
        if !self.present {
            return;
        }
        if self.buffered {
            self.output.push(text.as_bytes());
            self.send();
            return;
        }
        for piece in text.as_bytes().chunks(PIECE) {
            self.drain();
            self.output.push(piece);
        }
        self.drain();
    }

    /// Sends all that waits, as long as the other end reads.
    fn drain(&mut self) {
        let (mut stalled, mut all) = (if self.stuck { 1 } else { STALLED_POLLS }, DRAIN_POLLS);
        while self.present && !self.output.is_empty() && stalled > 0 && all > 0 {
            if self.output.send(|bytes| self.uart.send_bytes(bytes)) > 0 {
                stalled = STALLED_POLLS;
                continue;
            }
            stalled -= 1;
            all -= 1;
            core::hint::spin_loop();
        }
        self.stuck = !self.output.is_empty();
    }

    /// Waits until the port has sent what it has taken.
    fn wait_until_sent(&mut self) {
        let mut polls = if self.present && !self.stuck { STALLED_POLLS } else { 0 };
        while polls > 0 && !self.uart.lsr().contains(LSR::TRANSMITTER_EMPTY) {
            polls -= 1;
            core::hint::spin_loop();
        }
    }

    fn poll_write(&mut self, bytes: &[u8], waker: &Waker) -> Poll<usize> {
        if !self.present {
            return Poll::Ready(bytes.len());
        }
        self.send();
        match self.output.push_session(bytes) {
            0 => {
                // Something waits for room still, and wakes the session when it goes.
                self.writer.register(waker);
                Poll::Pending
            }
            queued => {
                self.send();
                Poll::Ready(queued)
            }
        }
    }
}
