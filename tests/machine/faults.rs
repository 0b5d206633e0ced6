//! Faults of the CPU, the interrupt controllers and firmware.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use super::common::machine::{READY, Setup};
use super::common::{Scratch, baked_ca, tls};

#[test]
fn a_machine_check_is_reported_and_the_machine_stops() {
    let mut machine = Setup::new().no_exit_device().ready();
    // An uncorrected error (VAL, UC, EN, ADDRV, PCC) in bank 9.
    machine.monitor("mce 0 9 0xb600000000000017 0x5 0xabcd000 0");
    machine.wait_for("panic: exception 18 (machine check), error code 0x0, rip 0x");
    machine.wait_for(", global status 0x5, bank 9: status 0xb600000000000017, address 0xabcd000");
    super::common::poll("the CPU to halt", || {
        machine.monitor("info registers").contains("HLT=1").then_some(())
    });
}

/// An unacknowledged interrupt would block all others.
#[test]
fn an_interrupt_that_nothing_uses_is_acknowledged_and_counted() {
    let machine = Setup::new().word("fault=interrupt").ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
    let status = machine.ask("status");
    assert!(
        status.contains("\ninterrupts: 1 unexpected, the last at vector 0x41\n"),
        "{status}"
    );
}

#[test]
fn io_apic_inputs_left_on_by_firmware_are_masked() {
    let scratch = Scratch::new();
    let socket = scratch.path("qtest");
    let qtest = format!("unix:{},server=on,wait=off", socket.display());
    // -S: the machine does not run until the registers have been written.
    let arguments = ["-S", "-qtest-log", "none", "-qtest", &qtest];
    let mut machine = Setup::new().arguments(&arguments).boot();
    // Input 7 is to interrupt at vector 0x41.
    let mut qtest = BufReader::new(UnixStream::connect(&socket).unwrap());
    for write in ["writel 0xfec00000 0x1e\n", "writel 0xfec00010 0x41\n"] {
        qtest.get_mut().write_all(write.as_bytes()).unwrap();
        let mut reply = String::new();
        qtest.read_line(&mut reply).unwrap();
        assert_eq!(reply, "OK\n");
    }
    let pins = machine.monitor("info pic");
    assert!(!pin(&pins, 7).contains("masked"), "{pins}");
    machine.monitor("cont");
    machine.wait_for(READY);
    let pins = machine.monitor("info pic");
    let masked: Vec<bool> = (0..24).map(|number| pin(&pins, number).contains("masked")).collect();
    // Only the serial port's input is in use.
    let expected: Vec<bool> = (0..24).map(|number| number != 4).collect();
    assert_eq!(masked, expected, "{pins}");
}

/// The line of an input in QEMU's `info pic`.
fn pin(pins: &str, number: u32) -> &str {
    let is_pin = |line: &&str| {
        let mut words = line.split_whitespace();
        (words.next(), words.next()) == (Some("pin"), Some(number.to_string().as_str()))
    };
    pins.lines()
        .find(is_pin)
        .unwrap_or_else(|| panic!("pin {number}: {pins}"))
}
