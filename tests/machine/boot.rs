//! Boot, shutdown, panics, and machines with missing devices.

use super::common::machine::{Machine, PANIC, Setup};
use super::common::{baked_ca, tls};

/// Plain echo of a few bytes.
fn assert_echoes_plainly(machine: &Machine) {
    assert_eq!(super::echo::plain(machine.at(10008), b"plain".to_vec()), b"plain");
}

#[test]
fn the_image_reports_its_version_and_serves() {
    let machine = Setup::new().ready();
    let said = machine.console().text();
    for part in [
        "postern 0.",
        "cpu: QEMU TCG CPU",
        "memory: ",
        "entropy: rdrand healthy",
        "vm0: link up, 1000 Mbit/s",
    ] {
        assert!(said.contains(part), "{part}");
    }
    assert!(said.contains("tls echo server listens on port 10007 of vm0"));
    assert!(!said.contains("warning") && !said.contains("error"), "{said}");
    tls::assert_serves(machine.at(10007), &baked_ca());
    assert_echoes_plainly(&machine);
}

/// The image of `cargo build` works too, whichever image the other tests use.
#[test]
fn the_test_build_of_the_image_serves() {
    let machine = Setup::new().image(env!("CARGO_BIN_EXE_postern")).ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn sixteen_mib_are_enough_for_the_default_configuration() {
    let machine = Setup::new().memory(16).ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
    assert_echoes_plainly(&machine);
    assert!(machine.ask("status").contains("connections: 0 of "));
}

/// The memory plan must leave room for everything allocated after the connections.
#[test]
fn with_little_memory_there_are_fewer_connections() {
    for mib in [5, 6, 8, 10, 12] {
        let machine = Setup::new().memory(mib).ready();
        tls::assert_serves(machine.at(10007), &baked_ca());
        assert!(!machine.console().text().contains("out of memory"));
        // There is a slot for each promised connection, and for the shell.
        let status = machine.ask("status");
        let number = |before: &str, after: &str| -> usize {
            let rest = status.split(before).nth(1).expect(&status);
            rest.split(after).next().unwrap().parse().expect(&status)
        };
        let (slots, connections) = (number("slots: ", " in all"), number("connections: 0 of ", "\n"));
        assert!(connections >= 4 && slots > connections, "{status}");
    }
}

#[test]
fn without_entropy_tls_is_refused_with_the_reason() {
    let machine = Setup::new().cpu("qemu64").ready();
    machine.wait_for("entropy: rdrand absent");
    machine.wait_for("no entropy: the CPU has neither RDSEED nor RDRAND, and there is no virtio entropy device");
    let why = "no entropy: use a CPU with RDRAND (-cpu max) or an entropy device (-device virtio-rng-pci)";
    machine.wait_for(&format!("tls echo server on port 10007 not started: {why}"));
    assert_echoes_plainly(&machine);
    let mut shell = machine.shell();
    assert!(shell.command("status").contains("no virtio entropy device: no TLS\n"));
    shell.command("echoctl_tls");
    let answer = shell.command("server start 10007");
    assert_eq!(
        answer,
        format!("Starting TLS server (Port: 10007)...\nFailed: {why}.\n")
    );
}

#[test]
fn an_entropy_device_is_enough_for_tls() {
    let machine = Setup::new()
        .cpu("qemu64")
        .arguments(&["-device", "virtio-rng-pci"])
        .ready();
    machine.wait_for("entropy: virtio-rng healthy");
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn a_clock_before_the_build_disables_tls() {
    let machine = Setup::new().arguments(&["-rtc", "base=2001-02-03T04:05:06"]).ready();
    machine.wait_for("tls echo server on port 10007 not started: the real-time clock is wrong");
    assert_echoes_plainly(&machine);
}

#[test]
fn an_expired_built_in_certificate_is_reported() {
    let machine = Setup::new().arguments(&["-rtc", "base=2041-02-03T04:05:06"]).ready();
    machine.wait_for("certificate 1 expired 20");
    assert_echoes_plainly(&machine);
}

#[test]
fn without_a_card_there_is_still_a_shell() {
    let mut machine = Setup::new().no_card().ready();
    machine.type_in("ip\r");
    machine.wait_for("there is no network card");
    machine.type_in("echoctl\rserver start 7\r");
    machine.wait_for("Failed: no network interface.");
}

#[test]
fn a_small_machine_reports_the_card_without_a_shell() {
    for mib in [6, 7, 8, 10] {
        let machine = Setup::new().memory(mib).second_card().ready();
        if mib == 6 {
            machine.wait_for("error: no debug shell on vm1: not enough memory (use a larger -m)");
        }
        tls::assert_serves(machine.at(10007), &baked_ca());
        assert!(machine.ask("status").contains("vm1: link up"));
        assert!(!machine.console().text().contains("out of memory"));
    }
}

#[test]
fn two_cards_are_two_interfaces() {
    let machine = Setup::new().second_card().ready();
    machine.wait_for("vm1: address 10.0.2.15/24");
    let mut shell = machine.shell();
    let ip = shell.command("ip");
    assert!(ip.contains("vm0: link up") && ip.contains("vm1: link up"), "{ip}");
    assert!(
        ip.lines()
            .any(|line| line.starts_with("vm1: ") && line.ends_with("(DHCP)")),
        "{ip}"
    );
    shell.command("echoctl");
    assert_eq!(
        shell.command("server start 7 vm1"),
        "Starting server (Port:7)...\nDone.\n"
    );
    assert!(
        shell
            .command("server start 7 vm2")
            .ends_with("Failed: no network interface of that name.\nInterfaces: vm0 vm1\n")
    );
    shell.command("");
    assert!(shell.command("status").contains("plain echo server on port 7 of vm1\n"));
}

#[test]
fn link_changes_are_detected() {
    let mut machine = Setup::new().ready();
    machine.monitor("set_link card0 off");
    machine.wait_for("vm0: link down");
    machine.type_in("ip\r");
    machine.wait_for("vm0: link down, ");
    let mark = machine.console().mark();
    machine.monitor("set_link card0 on");
    machine.console().wait_from(mark, "vm0: link up, 1000 Mbit/s");
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn without_a_link_it_boots_and_serves_when_the_link_comes_up() {
    // -S: the machine does not run until the link is down.
    let mut machine = Setup::new().arguments(&["-S"]).boot();
    machine.monitor("set_link card0 off");
    machine.monitor("cont");
    machine.wait_for("ready after ");
    machine.type_in("ip\r");
    machine.wait_for("vm0: link down");
    machine.monitor("set_link card0 on");
    machine.wait_for("vm0: link up, 1000 Mbit/s");
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn microvm_serves() {
    let machine = Setup::new().microvm("").ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn poweroff_ends_the_machine() {
    let mut machine = Setup::new().no_exit_device().ready();
    machine.type_in("\rpoweroff\r");
    machine.wait_for("Switching off.");
    assert_eq!(machine.wait(), 0);
}

#[test]
fn poweroff_on_telnet_ends_the_machine() {
    let mut machine = Setup::new().no_exit_device().ready();
    let mut shell = machine.shell();
    shell.send(b"poweroff\r\n");
    shell.said.wait_for("Switching off.");
    assert_eq!(machine.wait(), 0);
}

#[test]
fn reboot_starts_it_again() {
    let mut machine = Setup::new().no_exit_device().restarts().ready();
    let mark = machine.console().mark();
    machine.type_in("\rreboot\r");
    let mark = machine.console().wait_from(mark, "Rebooting.");
    let mark = machine.console().wait_from(mark, "ready after ");
    machine.console().wait_from(mark, "vm0: address ");
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn a_panic_reports_message_location_and_exit_status() {
    let mut machine = Setup::new().word("fault=panic").boot();
    assert_eq!(machine.wait(), PANIC);
    let said = machine.console().text();
    assert!(said.contains("panic: deliberate panic"), "{said}");
    assert!(said.contains("  at src/machine/fault.rs:"), "{said}");
}

/// Every fault that page tables and CPU can detect is caught and named.
#[test]
fn every_fault_is_caught_and_named() {
    for (fault, name) in [
        ("null", "page fault"),
        ("code", "page fault"),
        ("constant", "page fault"),
        ("data", "page fault"),
        ("stack", "stack"),
        ("divide", "divide"),
        ("opcode", "opcode"),
    ] {
        let mut machine = Setup::new().word(&format!("fault={fault}")).boot();
        assert_eq!(machine.wait(), PANIC, "{fault}");
        let said = machine.console().text();
        let panic = said
            .split("panic: ")
            .nth(1)
            .unwrap_or_else(|| panic!("{fault}: {said}"));
        assert!(panic.contains(name), "{fault}: {panic}");
    }
}

#[test]
fn after_a_panic_the_machine_halts() {
    let mut machine = Setup::new().no_exit_device().word("fault=panic").boot();
    machine.wait_for("panic: deliberate panic");
    machine.wait_for("  at src/machine/fault.rs:");
    // It neither ends nor continues.
    super::common::poll("the CPU to halt", || {
        machine.monitor("info registers").contains("HLT=1").then_some(())
    });
    assert!(!machine.console().text().contains("ready after "));
}

#[test]
fn after_a_panic_the_machine_restarts_if_configured_so() {
    let config = super::common::pki::USER_NETWORK.replace(".telnet_dbgsh = 1,", ".panic_reboot = 1,");
    let mut machine = Setup::new()
        .no_exit_device()
        .word("fault=panic")
        .defconfig(config)
        .boot();
    machine.wait_for("panic: deliberate panic");
    // -no-reboot: a restart is QEMU's end.
    assert_eq!(machine.wait(), 0);
}
