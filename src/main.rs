//! The image: boot, bring-up, tasks.
#![no_std]
#![no_main]

mod boot;

use boot::Boot;
use embassy_executor::Spawner;
use postern::machine::acpi::{Acpi, Firmware};
use postern::machine::{clock, cpu, entropy, executor, fault, interrupts, pci, power, rtc, serial};

fn main(boot: Boot) -> ! {
    let Boot {
        info,
        mut arena,
        module,
    } = boot;
    postern::log::init(serial::write);
    let acpi = Acpi::parse(&Firmware { ram: &info.ram }, info.rsdp);
    power::init(&acpi, info.has_word("exit-device"));
    let apic = interrupts::init(&acpi);
    clock::init(&acpi);
    log::info!("postern {}", env!("CARGO_PKG_VERSION"));
    match cpu::hypervisor() {
        Some(hypervisor) => log::info!("cpu: {} under {hypervisor}, {}", cpu::brand(), cpu::Features),
        None => log::info!("cpu: {}, {}", cpu::brand(), cpu::Features),
    }
    let (rate, source) = clock::rate();
    log::info!("clock: {} kHz ({source:?})", rate / 1000);
    match clock::unix_time() {
        Ok(now) => log::info!("date: {}", rtc::Date::of(now)),
        Err(error) => log::warn!("date: {error}"),
    }
    log::info!(
        "memory: {} KiB, {} KiB free",
        info.ram_bytes() / 1024,
        arena.left() / 1024
    );
    if let Some(fault) = info.module_fault {
        log::warn!("boot module refused: {fault}");
    }
    if let Some(module) = module {
        log::info!("boot module: {} bytes", module.len());
    }
    if let Err(error) = apic.and_then(|()| serial::enable_interrupts()) {
        log::warn!("serial console is polled: {error}");
    }
    let functions = pci::scan();
    for function in &functions {
        let pci::Function {
            address,
            vendor,
            device,
            class,
            ..
        } = function;
        log::debug!("pci {address}: {vendor:04x}:{device:04x} class {class:06x}");
    }
    entropy::init(&functions, &mut arena);
    for (source, (state, bytes)) in entropy::Source::ALL.iter().zip(entropy::status().sources) {
        log::info!("entropy: {} {state}, {bytes} bytes", source.name());
    }
    if let Err(error) = entropy::rng() {
        log::error!("{error}");
    }
    if let Some(name) = info.value_of("fault") {
        fault::provoke(name);
    }
    executor::run(|spawner| spawn(spawner), || false)
}

fn spawn(spawner: Spawner) {
    spawner.spawn(refine_clock().expect("one of each"));
    spawner.spawn(poll_serial().expect("one of each"));
    spawner.spawn(keep_entropy_fresh().expect("one of each"));
    spawner.spawn(demo().expect("one of each"));
}

#[embassy_executor::task]
async fn refine_clock() {
    clock::refine().await;
}

#[embassy_executor::task]
async fn poll_serial() {
    serial::poll_input().await;
}

#[embassy_executor::task]
async fn keep_entropy_fresh() {
    entropy::keep_fresh().await;
}

#[embassy_executor::task]
async fn demo() {
    for _ in 0..3 {
        embassy_time::Timer::after_millis(500).await;
        log::info!("half a second later, {:?}", executor::times());
    }
}
