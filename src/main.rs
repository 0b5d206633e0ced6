//! The image: boot, bring-up, tasks.
#![no_std]
#![no_main]

mod boot;

fn start(_start_info: u32) -> ! {
    let mut uart = unsafe { uart_16550::Uart16550::new_port(0x3f8) }.unwrap();
    let _ = uart.init(uart_16550::Config::default());
    uart.send_bytes_exact(b"hello\r\n");
    loop {
        x86_64::instructions::hlt();
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        x86_64::instructions::hlt();
    }
}
