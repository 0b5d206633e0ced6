//! Machines of other hypervisors: microvm, and stand-ins by QEMU.

use std::time::{SystemTime, UNIX_EPOCH};

use super::common::baked_ca;
use super::common::machine::Setup;
use super::common::tls;
use super::virtio;

/// What Firecracker leaves out, beside ACPI tables.
pub(super) const FIRECRACKER: &str = "acpi=off,rtc=off,pic=off,pit=off";

/// A date for machines without a clock.
pub(super) fn date() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("date={}", now.as_secs())
}

#[test]
fn a_stand_in_for_firecracker_serves() {
    let entropy = ["-device", "virtio-rng-device", "-smp", "2"];
    let machine = Setup::new()
        .microvm(FIRECRACKER)
        .arguments(&entropy)
        .word(&date())
        .ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
    let text = machine.console().text();
    for line in [
        "date by the command line",
        "entropy: virtio-rng healthy",
        "vm0: link up, 1000 Mbit/s",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert!(!text.contains("serial console is polled"), "{text}");
    let ip = machine.ask("ip");
    assert!(ip.contains("vm0: link up, 1000 Mbit/s, 10.0.2.15/24"), "{ip}");
}

#[test]
fn page_client_and_reverse_connection_work_on_a_microvm() {
    virtio::assert_further_services(Setup::new().microvm(FIRECRACKER).word(&date()));
}

#[test]
fn the_entropy_device_of_a_microvm_suffices() {
    let machine = Setup::new()
        .microvm(FIRECRACKER)
        .cpu("max,rdrand=off,rdseed=off")
        .arguments(&["-device", "virtio-rng-device"])
        .word(&date())
        .ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn a_stand_in_for_cloud_hypervisor_serves() {
    let machine = Setup::new()
        .virtio()
        .arguments(&["-smp", "2", "-global", "virtio-net-pci.disable-legacy=on"])
        .arguments(&["-device", "virtio-rng-pci,disable-legacy=on"])
        .ready();
    tls::assert_serves(machine.at(10007), &baked_ca());
    let text = machine.console().text();
    assert!(text.contains("entropy: virtio-rng healthy"), "{text}");
}

#[test]
fn two_cards_and_the_second_io_apic_of_a_microvm_work() {
    let machine = Setup::new()
        .microvm("ioapic2=on")
        .second_card()
        .microvm("ioapic2=on")
        .ready();
    machine.wait_for("vm1: address 10.0.2.15/24");
    tls::assert_serves(machine.at(10007), &baked_ca());
}

#[test]
fn a_microvm_with_acpi_restarts_and_switches_itself_off() {
    let mut machine = Setup::new().microvm("").no_exit_device().restarts().ready();
    let mark = machine.console().mark();
    machine.type_in("\rreboot\r");
    let mark = machine.console().wait_from(mark, "Rebooting.");
    machine.console().wait_from(mark, "ready after ");
    machine.type_in("\rpoweroff\r");
    machine.wait_for("Switching off.");
    assert_eq!(machine.wait(), 0);
}

#[test]
fn a_microvm_without_acpi_restarts_but_cannot_switch_itself_off() {
    let setup = || Setup::new().microvm(FIRECRACKER).word(&date()).no_exit_device();
    let mut machine = setup().ready();
    machine.type_in("\rreboot\r");
    machine.wait_for("Rebooting.");
    assert_eq!(machine.wait(), 0);
    let mut machine = setup().ready();
    machine.type_in("\rpoweroff\r");
    machine.wait_for("The machine cannot switch itself off.");
}

#[test]
fn without_a_date_the_remedy_is_logged() {
    let machine = Setup::new().microvm(FIRECRACKER).boot();
    machine.wait_for("date: no clock with a date: add `date=2026-11-30T21:00:00Z` to the command line");
    let machine = Setup::new().microvm(FIRECRACKER).word("date=today").boot();
    machine.wait_for("date=today: expected a date such as 2026-11-30T21:00:00Z");
}

#[test]
fn devices_that_cannot_be_used_are_reported_with_the_remedy() {
    let legacy = ["-netdev", "user,id=net0", "-device", "virtio-net-device,netdev=net0"];
    let machine = Setup::new().board("microvm").no_card().arguments(&legacy).boot();
    machine.wait_for("it has the legacy interface: add `-global virtio-mmio.force-legacy=false` to QEMU's options");
    let machine = Setup::new()
        .word("virtio_mmio.device=512@0x100000:5")
        .word("virtio_mmio.device=512@0xfeb00000")
        .word("virtio_mmio.device=4K@0xd0000000:5")
        .boot();
    machine.wait_for("virtio_mmio.device=512@0x100000:5: this is RAM");
    machine.wait_for("virtio_mmio.device=512@0xfeb00000: expected SIZE@ADDRESS:IRQ");
    machine.wait_for("virtio device at 0xd0000000: there is no virtio device");
    machine.wait_for("ready after ");
}
