//! The image: boot, bring-up, tasks.
#![no_std]
#![no_main]

mod boot;
mod host;
mod memory;
mod settings;

use boot::Boot;
use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_time::Duration;
use host::Machine;
use memory::{Memory, Plan};
use postern::client::{Client, Protocol};
use postern::config::Config;
use postern::crypto;
use postern::endpoint::traces::Traces;
use postern::machine::{clock, cpu, entropy, executor, fault, interrupts, panic, pci, power, rtc, serial};
use postern::net::Kind;
use postern::net::{self, Netif, TcpListener, TcpStream};
use postern::nic::{self, PciCard};
use postern::pki::text::Count;
use postern::selftest;
use postern::serve::{IDLE_TIMEOUT, IDLE_TIMEOUT_DIALLED, Limits, Service, WorkerSlot};
use postern::shell::secure::{SESSION_SLOTS, SessionSlot, Takeover, secure_server};
use postern::{log, shell};
use settings::{Store, Tls};

fn main(boot: Boot) -> ! {
    let Boot {
        info,
        acpi,
        arena,
        module,
    } = boot;
    let mut memory = Memory(arena);
    if let Ok(buffer) = memory.buffer(serial::OUTPUT_BUFFER) {
        serial::set_buffer(buffer);
    }
    log::init(serial::write);
    power::init(&acpi, info.has_word("exit-device"));
    let apic = interrupts::init(&acpi);
    clock::init(&acpi);
    introduce(&info, &memory);
    if let Err(error) = apic.and_then(|()| serial::enable_interrupts()) {
        ::log::warn!("serial console is polled: {error}");
    }
    if let Some(fault) = info.module_fault {
        ::log::warn!("boot module refused: {fault}");
    }
    // Before any connection, whose own frames leave too little stack for it.
    crypto::prepare();
    let config = settings::load(module, &mut memory);
    if config.vmm.panic_reboot {
        panic::set_policy(panic::Policy::Reset);
    }
    let mut functions = pci::scan();
    entropy::init(&functions, &acpi, &mut memory.0);
    report_entropy();
    let cards = nic::probe(&mut functions, &mut memory.0, info.ram_bytes());
    let store = match Store::new(config, &mut memory) {
        Ok(store) => store,
        Err(error) => panic!("{error}: give the machine more memory (-m)"),
    };
    if let Some(name) = info.value_of("fault") {
        fault::provoke(name);
    }
    let ram = info.ram_bytes();
    executor::run(
        |spawner| {
            if let Err(error) = start(spawner, config, store, cards, memory, ram) {
                ::log::error!("{error}: give the machine more memory (-m)");
            }
        },
        || {
            nic::INTERRUPTS
                .iter()
                .fold(false, |any, interrupt| interrupt.poll() | any)
        },
        || {
            let ask = |any, interrupt: &nic::Interrupt| interrupt.before_sleep() | any;
            nic::INTERRUPTS.iter().fold(false, ask)
        },
    )
}

/// Says what this is and where it runs.
fn introduce(info: &postern::machine::boot_info::BootInfo, memory: &Memory) {
    ::log::info!("postern {}", env!("POSTERN_VERSION"));
    match cpu::hypervisor() {
        Some(hypervisor) => ::log::info!("cpu: {} under {hypervisor}, {}", cpu::brand(), cpu::Features),
        None => ::log::info!("cpu: {}, {}", cpu::brand(), cpu::Features),
    }
    ::log::info!("clock: {}", clock::Description);
    match clock::unix_time() {
        Ok(now) => ::log::info!("date: {}", rtc::Date::of(now)),
        Err(error) => ::log::warn!("date: {error}"),
    }
    let (all, free) = (info.ram_bytes() / 1024, memory.0.left() / 1024);
    ::log::info!("memory: {all} KiB, {free} KiB free");
}

fn report_entropy() {
    for (source, (state, bytes)) in entropy::Source::ALL.iter().zip(entropy::status().sources) {
        ::log::info!("entropy: {} {state}, {}", source.name(), Count(bytes, "byte"));
    }
    if let Err(error) = entropy::rng() {
        ::log::error!("{error}");
    }
}

/// Divides the memory and spawns every task.
fn start(
    spawner: Spawner,
    config: &'static Config,
    store: &'static Store,
    cards: heapless::Vec<(&'static str, PciCard), { nic::MAX_CARDS }>,
    mut memory: Memory,
    ram: u64,
) -> Result<(), memory::Short> {
    let dbgsh = settings::secure_shell(config, store, cards.len(), &mut memory)?;
    let plan = Plan::of(&memory, config.echo.connections, cards.len());
    let netifs = bring_up(spawner, config, cards, &plan, &mut memory)?;
    let desks = memory.slice(plan.connections, |_| WorkerSlot::<TcpStream>::new())?;
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let limits = Limits {
        handshake: settings::seconds(config.tls.handshake_timeout),
        idle: config.echo.idle_timeout.map_or(IDLE_TIMEOUT, seconds),
        idle_dialled: config.echo.idle_timeout.map_or(IDLE_TIMEOUT_DIALLED, seconds),
        per_address: config.echo.connections_per_address.map(usize::from),
        ..Limits::default()
    };
    let service: &'static Service<Netif> = memory.value(Service::new(netifs, desks, limits))?;
    settings::set_tls(service, store);
    let traces: &'static Traces = plan.traces(&mut memory)?;
    let pages: &'static Traces = plan.traces(&mut memory)?;
    // A page is about its own connection, and wants it narrated whatever the shell wants.
    pages.switch(true);
    let mut workers = plan.workers(store, &mut memory)?;
    memory.spawn(spawner, "echo worker", plan.connections, |_| {
        work(service, store, (traces, pages), workers.next())
    })?;
    let mut test = Some(settings::selftest_buffer(store, &mut memory)?);
    let test_desk: &'static selftest::Desk = memory.value(selftest::Desk::new())?;
    let mut buffers = Some(settings::client_buffers(store, &mut memory)?);
    let plain_client: &'static Client = memory.value(Client::new(Kind::Plain))?;
    let tls_client: &'static Client = memory.value(Client::new(Kind::Tls))?;
    let proxy = settings::proxy(config, &mut memory)?;
    if let Some(proxy) = proxy {
        service.set_proxy(proxy);
        plain_client.set_proxy(proxy);
        tls_client.set_proxy(proxy);
    }
    let machine: &'static Machine = memory.value(Machine {
        netifs,
        service,
        plain_client,
        tls_client,
        proxy,
        selftest: test_desk,
        traces,
        store,
        telnet_reload: config.vmm.telnet_reload,
        ram,
        free: memory.0.left(),
    })?;

    memory.spawn(spawner, "echo listener", 1, |_| service.listen())?;
    memory.spawn(spawner, "reverse dialler", 1, |_| service.dial(settings::seed))?;
    memory.spawn(spawner, "plain client", 1, |_| run_plain_client(plain_client, netifs))?;
    memory.spawn(spawner, "TLS client", 1, |_| {
        run_tls_client(tls_client, machine, buffers.take())
    })?;
    memory.spawn(spawner, "serial shell", 1, |_| shell::serial(serial::Console, machine))?;
    memory.spawn(spawner, "clock", 1, |_| clock::maintain())?;
    memory.spawn(spawner, "serial port", 1, |_| serial::poll())?;
    memory.spawn(spawner, "entropy", 1, |_| entropy::keep_fresh())?;
    if config.vmm.telnet_dbgsh {
        memory.spawn(spawner, "telnet shell", netifs.len(), |n| {
            telnet(netifs.get(n), machine)
        })?;
    }
    for (netif, slots) in netifs.iter().zip(dbgsh) {
        let port = config.vmm.tls_dbgsh;
        match netif.listen_reserved(port, RESERVED) {
            Ok(listener) => {
                // A slot is for those who begin a handshake.
                let (listener, takeover) = (&*memory.value(listener.defer())?, &*memory.value(Takeover::new())?);
                let mut slots = slots.into_iter();
                memory.spawn(spawner, "TLS shell", SESSION_SLOTS, |n| {
                    secure_shell(listener, machine, slots.next(), takeover, n)
                })?;
                ::log::info!("debug shell over TLS on port {port} of {}", netif.name());
            }
            Err(error) => ::log::error!("debug shell over TLS on port {port} of {}: {error}", netif.name()),
        }
    }
    if let (Some(settings), Some(&netif)) = (
        net::syslog::Settings::from_config(&config.vmm.tty_syslog),
        netifs.first(),
    ) {
        memory.spawn(spawner, "syslog", 1, |_| settings::send_log(netif, settings))?;
    }
    memory.spawn(spawner, "self-test", 1, |_| {
        open(machine, config, test.take(), plan.connections)
    })?;
    Ok(())
}

/// Opens the configured ports and dials, after a self-test if one is wanted; then tests whenever the shell asks.
async fn open(
    machine: &'static Machine,
    config: &'static Config,
    buffer: Option<&'static mut [u8]>,
    connections: usize,
) {
    let (Some(buffer), Some(mut changes)) = (buffer, machine.store.changes()) else {
        return;
    };
    let (service, netifs, desk, store) = (machine.service, machine.netifs, machine.selftest, machine.store);
    let test = async |tls: Tls<'_>| settings::selftest(&tls, buffer).run(desk).await.failed == 0;
    let fit = !config.tls.selftest || store.with(test).await;
    for (kind, port) in [
        (Kind::Tls, config.echo.tls_port),
        (Kind::Plain, config.echo.plain_port),
        (Kind::Https, config.echo.https_port),
    ] {
        if port == 0 {
            continue;
        }
        if kind != Kind::Plain && !fit {
            ::log::error!("{} on port {port} not started: the self-test failed", kind.server());
        } else if let Err(error) = service.start(kind, port, None) {
            ::log::error!("{} on port {port} not started: {error}", kind.server());
        }
    }
    ::log::info!(
        "ready after {} ms, {} at a time",
        clock::now() / 1000,
        Count::of(connections, "connection")
    );
    log::booted();
    join(settings::dial(config, netifs, service, fit), async {
        loop {
            let test = async |tls: Tls<'_>| {
                let changed = async {
                    changes.changed().await;
                };
                settings::selftest(&tls, buffer).serve(desk, changed).await;
            };
            store.with(test).await;
        }
    })
    .await;
}

/// Makes an interface of each card, and a task for each.
fn bring_up(
    spawner: Spawner,
    config: &'static Config,
    cards: heapless::Vec<(&'static str, PciCard), { nic::MAX_CARDS }>,
    plan: &Plan,
    memory: &mut Memory,
) -> Result<&'static [Netif], memory::Short> {
    let mut netifs = heapless::Vec::<Netif, { nic::MAX_CARDS }>::new();
    for (number, (name, card)) in cards.into_iter().enumerate() {
        let settings = net::Config {
            // The idle loop watches the card.
            spin: embassy_time::Duration::from_ticks(0),
            dns: config.ip.dns.filter(|_| number == 0),
            ..net::Config::new(name, settings::address(config, number), settings::key())
        };
        match net::open(card, settings, plan.net(number), memory) {
            Ok((netif, runner)) => {
                let mut runner = Some(runner);
                memory.spawn(spawner, "network interface", 1, |_| serve(runner.take()))?;
                let _ = netifs.push(netif);
            }
            Err(error) => ::log::error!("{name}: {error}"),
        }
    }
    Ok(memory.value(netifs)?)
}

/// The task of an interface.
async fn serve(runner: Option<net::Runner<PciCard>>) {
    if let Some(mut runner) = runner {
        runner.run().await;
    }
}

/// The task of an echo worker.
async fn work(
    service: &'static Service<Netif>,
    store: &'static Store,
    traces: (&'static Traces, &'static Traces),
    buffers: Option<[&'static mut [u8]; 2]>,
) {
    let (Some([inbound, outbound]), Some(desk)) = (buffers, service.take_slot()) else {
        return;
    };
    loop {
        let serve = async |tls: Tls<'_>| {
            let mut worker = settings::worker(&tls, traces, [&mut *inbound, &mut *outbound]);
            service.work_at(desk, &mut worker).await;
        };
        store.with(serve).await;
    }
}

/// The task of the plain echo client.
async fn run_plain_client(client: &'static Client, netifs: &'static [Netif]) {
    loop {
        client.run(netifs, Protocol::<entropy::Rng>::Plain).await;
    }
}

/// The task of the TLS echo client.
async fn run_tls_client(client: &'static Client, machine: &'static Machine, buffers: Option<[&'static mut [u8]; 2]>) {
    let Some([inbound, outbound]) = buffers else { return };
    loop {
        let run = async |tls: Tls<'_>| {
            let protocol = settings::client_protocol(&tls, machine.traces, [&mut *inbound, &mut *outbound]);
            client.run(machine.netifs, protocol).await;
        };
        machine.store.with(run).await;
    }
}

/// Connections that a debug shell has places for, however many the echo servers have.
const RESERVED: usize = 4;

/// A slot of the debug shell over TLS.
async fn secure_shell(
    listener: &'static TcpListener,
    machine: &'static Machine,
    buffers: Option<[&'static mut [u8]; 2]>,
    takeover: &'static Takeover,
    number: usize,
) {
    let (Some([inbound, outbound]), Some(mut changes)) = (buffers, machine.store.changes()) else {
        return;
    };
    loop {
        let serve = async |tls: Tls<'_>| {
            let changed = async {
                changes.changed().await;
            };
            let (config, rng) = match settings::session_slot(&tls) {
                Ok(slot) => slot,
                Err(why) => {
                    ::log::error!("debug shell over TLS: {why}");
                    return changed.await;
                }
            };
            let slot = SessionSlot {
                config,
                clock: settings::now,
                rng,
                inbound: &mut *inbound,
                outbound: &mut *outbound,
            };
            secure_server(listener, machine, slot, takeover, number, changed).await;
        };
        machine.store.with(serve).await;
    }
}

/// The debug shell on telnet. Its places are kept for it, however many connections the echo servers have.
async fn telnet(netif: Option<&'static Netif>, machine: &'static Machine) {
    const PORT: u16 = 23;
    let Some(netif) = netif else { return };
    match netif.listen_reserved(PORT, RESERVED) {
        Ok(listener) => shell::telnet_server(&listener, machine).await,
        Err(error) => ::log::error!(
            "no debug shell on {}: {error} for so little memory: give the machine more (-m)",
            netif.name()
        ),
    }
}
