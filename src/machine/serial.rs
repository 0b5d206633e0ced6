//! The serial console: COM1, written synchronously for the log, read and written asynchronously for the shell.

use super::interrupts;
use core::cell::RefCell;
use core::convert::Infallible;
use core::future::poll_fn;
use core::task::{Poll, Waker};
use critical_section::Mutex;
use embassy_sync::waitqueue::WakerRegistration;
use heapless::Deque;
use uart_16550::backend::PioBackend;
use uart_16550::spec::registers::IER;
use uart_16550::{BaudRate, Config, Uart16550};

/// Bytes received that may wait for a reader; what comes on top is dropped.
pub const RECEIVE_BUFFER: usize = 256;
/// The interrupt line of COM1 on the ISA bus.
pub const IRQ: u8 = 4;
/// How often to look for room before a byte is given up: the other end does not read. About 0.1 s at the least.
const PATIENCE: u32 = 100_000;
/// How often to look for input where the port has no interrupt.
const POLL: embassy_time::Duration = embassy_time::Duration::from_millis(20);

const COM1: u16 = 0x3f8;

/// Sets the port up: 115,200 bit/s, 8 bits, no parity, FIFO. Without a port there, output goes nowhere.
pub fn init() {
    with(|port| port.present = port.uart.check_present() && port.uart.init(CONFIG).is_ok());
}

/// Has input announced by interrupt from now on, and output that has to wait as well.
pub fn enable_interrupts() -> Result<(), interrupts::Error> {
    interrupts::allocate_isa(IRQ, on_interrupt)?;
    with(|port| {
        port.interrupts = true;
        port.uart.enable_interrupts(IER::DATA_READY);
    });
    on_interrupt();
    Ok(())
}

/// Writes `text`, each newline as CR LF, and returns when it is with the port. If the other end stops reading, the
/// rest is dropped: the console never holds the machine up.
pub fn write(text: &str) {
    with(|port| port.write_text(text));
}

/// Writes from a panic: past whatever may be borrowed.
pub(crate) fn write_panic(text: &str) {
    let mut port = Port::new();
    port.present = true;
    port.write_text(text);
}

/// Looks for input now and then where the port has no interrupt; else it never does anything. To be run as a task.
pub async fn poll_input() -> ! {
    loop {
        if with(|port| port.interrupts || !port.present) {
            core::future::pending::<()>().await;
        }
        embassy_time::Timer::after(POLL).await;
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
    /// The other end has not read for [`PATIENCE`].
    stuck: bool,
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

fn on_interrupt() {
    with(|port| {
        if !port.present {
            return;
        }
        let mut some = false;
        // At most what fits in the buffer: a port that claims to have input for ever must not stop the machine.
        for _ in 0..RECEIVE_BUFFER {
            let Ok(byte) = port.uart.try_receive_byte() else { break };
            some = true;
            // Full: the byte is dropped, as a terminal without flow control expects.
            let _ = port.received.push_back(byte);
        }
        if some {
            port.reader.wake();
        }
        if port.uart.ready_to_send().is_ok() {
            port.stuck = false;
            if port.interrupts {
                port.uart.disable_interrupts(IER::THR_EMPTY);
            }
            port.writer.wake();
        }
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
            stuck: false,
            received: Deque::new(),
            reader: WakerRegistration::new(),
            writer: WakerRegistration::new(),
        }
    }

    fn write_text(&mut self, text: &str) {
        for line in text.split_inclusive('\n') {
            match line.strip_suffix('\n') {
                Some(line) => {
                    self.write_bytes(line.as_bytes());
                    self.write_bytes(b"\r\n");
                }
                None => self.write_bytes(line.as_bytes()),
            }
        }
    }

    fn write_bytes(&mut self, mut bytes: &[u8]) {
        let mut patience = if self.stuck { 1 } else { PATIENCE };
        while self.present && !bytes.is_empty() {
            let sent = self.uart.send_bytes(bytes);
            bytes = bytes.get(sent..).unwrap_or_default();
            if sent > 0 {
                self.stuck = false;
                continue;
            }
            patience -= 1;
            if patience == 0 {
                self.stuck = true;
                return;
            }
            core::hint::spin_loop();
        }
    }

    fn poll_write(&mut self, bytes: &[u8], waker: &Waker) -> Poll<usize> {
        if !self.present {
            return Poll::Ready(bytes.len());
        }
        let sent = self.uart.send_bytes(bytes);
        if sent > 0 {
            return Poll::Ready(sent);
        }
        self.writer.register(waker);
        if self.interrupts {
            self.uart.enable_interrupts(IER::THR_EMPTY);
        }
        Poll::Pending
    }
}
