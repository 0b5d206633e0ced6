//! The serial console: its cost, its last lines, and the longest poll of a task.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::common::machine::{Machine, PANIC, Setup};
use super::common::{LIMIT, baked_ca, noise, poll, tls};

/// A serving machine whose console stalls.
fn stalled() -> Machine {
    let machine = Setup::new().unread_console().boot();
    poll("the debug shell", || {
        let mut stream = TcpStream::connect(machine.at(23)).ok()?;
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        (stream.read(&mut [0; 16]).ok()? > 0).then_some(())
    });
    machine
}

#[test]
fn status_names_the_task_with_the_longest_poll() {
    let machine = Setup::new().ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
    let status = machine.ask("status");
    let line = status
        .lines()
        .find(|line| line.starts_with("longest poll: "))
        .expect(&status);
    let kinds = [
        "echo worker",
        "network interface",
        "self-test",
        "telnet shell",
        "TLS client",
        "entropy",
    ];
    let [longest, recent] = line.split("; in the last minute ").collect::<Vec<_>>()[..] else {
        panic!("{line}");
    };
    for part in [longest, recent] {
        assert!(
            kinds.iter().any(|kind| part.contains(&format!(" us ({kind})"))),
            "{line}"
        );
    }
}

/// The lines dropped by the console, by `status`.
fn dropped(machine: &Machine) -> u64 {
    let status = machine.ask("status");
    let count = status.split("console: ").nth(1).and_then(|rest| rest.split(' ').next());
    count.and_then(|count| count.parse().ok()).expect(&status)
}

/// Connections that each leave lines in the log, until the console has dropped some.
fn fill(machine: &Machine) {
    poll("lines to be dropped", || {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(machine.at(10007)).unwrap();
            let _ = stream.write_all(b"this is no ClientHello\r\n");
            stream.set_read_timeout(Some(LIMIT)).unwrap();
            let _ = std::io::copy(&mut stream, &mut std::io::sink());
        }
        (dropped(machine) > 0).then_some(())
    });
}

#[test]
fn an_unread_serial_port_delays_nothing_else() {
    let mut machine = stalled();
    fill(&machine);
    tls::assert_serves(machine.at(10007), &baked_ca());
    let data = noise(1, 8 << 20);
    assert_eq!(super::echo::plain(machine.at(10008), data.clone()), data);
    // The shell on the serial port waits and loses nothing.
    machine.type_in("version\rversion\rip\r");
    let count = dropped(&machine);
    let console = machine.read_console();
    console.wait_for(" dropped]\r\n");
    console.wait_for("> ip\r\n");
    console.wait_for("10.0.2.15/24, gateway 10.0.2.2, DNS");
    let text = console.text();
    assert_eq!(text.matches("\r\npostern 0").count(), 2, "{text}");
    let marked: u64 = text
        .split("[console: ")
        .skip(1)
        .map(|rest| rest.split(' ').next().unwrap().parse::<u64>().unwrap())
        .sum();
    assert!(marked >= count, "{marked} of {count}: {text}");
}

#[test]
fn the_last_line_before_a_power_off_is_written() {
    let mut machine = Setup::new().no_exit_device().ready();
    machine.shell().send(b"poweroff\r\n");
    assert_eq!(machine.wait(), 0);
    machine.console().finish();
    let text = machine.console().text();
    assert!(text.ends_with("] powering off\r\n"), "{text}");
}

#[test]
fn the_last_line_before_a_restart_is_written() {
    let mut machine = Setup::new().no_exit_device().ready();
    machine.shell().send(b"reboot\r\n");
    assert_eq!(machine.wait(), 0);
    machine.console().finish();
    let text = machine.console().text();
    assert!(text.ends_with("] restarting\r\n"), "{text}");
}

/// Pending output is written before the panic's own lines, which are complete.
#[test]
fn the_last_line_before_a_panic_is_written() {
    let mut machine = stalled();
    fill(&machine);
    machine.monitor("stop");
    let console = machine.read_console();
    machine.monitor("nmi");
    machine.monitor("cont");
    assert_eq!(machine.wait(), PANIC);
    console.finish();
    let text = console.text();
    let (before, panic) = text.split_once("\r\npanic: ").expect(&text);
    assert!(before.contains(" dropped]\r\n"), "{text}");
    assert!(panic.starts_with("exception 2 ") && panic.ends_with("\r\n"), "{text}");
    assert_eq!(
        panic.lines().count(),
        1 + usize::from(panic.contains("\r\n  at ")),
        "{text}"
    );
}

/// A power-off waits for a stalled port only for a limited time.
#[test]
fn a_stalled_serial_port_does_not_stop_a_power_off() {
    let mut machine = stalled();
    fill(&machine);
    machine.shell().send(b"poweroff\r\n");
    assert_eq!(machine.wait(), 0);
}
