//! The image: bring-up, then tasks.
#![no_std]
#![no_main]

mod boot;
mod bring_up;
mod tasks;

use boot::Boot;
use postern::config::Config;
use postern::machine::{clock, entropy, executor, fault, interrupts, panic, pci, power, serial, virtio_mmio};
use postern::settings::{self, TlsConfigs};
use postern::{crypto, log, nic};

fn main(boot: Boot) -> ! {
    let Boot {
        info,
        acpi,
        mut arena,
        module,
    } = boot;

    // The console and the log.
    if let Ok(buffer) = arena.buffer(serial::OUTPUT_BUFFER) {
        serial::set_buffer(buffer);
    }
    log::init(serial::write);

    // The PC.
    power::init(&acpi, info.has_word("exit-device"));
    let apic = interrupts::init(&acpi);
    clock::init(&acpi, info.value_of("date"));
    bring_up::log_banner(&info, &arena);
    if let Err(error) = apic.and_then(|()| serial::enable_interrupts()) {
        ::log::warn!("serial console is polled: {error}");
    }

    // The configuration. Before any connection, whose own frames leave too little stack for it: the engine's tables.
    if let Some(fault) = info.module_fault {
        ::log::warn!("boot module refused: {fault}");
    }
    crypto::prepare();
    let config = settings::load(module, &mut arena);
    if config.vmm.panic_reboot {
        panic::set_policy(panic::Policy::Reset);
    }

    // Devices.
    let mut functions = pci::scan();
    let mut devices = virtio_mmio::scan(&info, &acpi);
    entropy::init(&functions, &devices, &acpi, &mut arena);
    bring_up::log_entropy();
    let cards = nic::probe(&mut functions, &mut devices, &mut arena, info.ram_bytes());

    // Keys, then tasks.
    settings::boot_keys::make(config);
    let config: &'static Config = config;
    let tls_configs = match TlsConfigs::new(config, boot::symbols::heap, &mut arena) {
        Ok(tls_configs) => tls_configs,
        Err(error) => panic!("{error} (use a larger -m)"),
    };
    if let Some(name) = info.value_of("fault") {
        fault::provoke(name);
    }
    let ram = info.ram_bytes();
    executor::run(
        |spawner| {
            let started = bring_up::services(spawner, config, tls_configs, cards, &mut arena, ram)
                .and_then(|prepared| tasks::spawn(spawner, config, prepared, &mut arena));
            if let Err(error) = started {
                ::log::error!("{error} (use a larger -m)");
            }
        },
        || {
            let poll = |any, interrupt: &nic::Interrupt| interrupt.poll() | any;
            nic::INTERRUPTS.iter().fold(false, poll)
        },
        || {
            let ask = |any, interrupt: &nic::Interrupt| interrupt.before_sleep() | any;
            nic::INTERRUPTS.iter().fold(false, ask)
        },
    )
}
