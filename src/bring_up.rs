//! Bring-up: the first lines of the boot log, and the division of the memory.

use embassy_executor::Spawner;
use embassy_time::Duration;
use postern::client::Client;
use postern::config::Config;
use postern::endpoint::traces::Traces;
use postern::host::Machine;
use postern::machine::boot_info::BootInfo;
use postern::machine::memory::{Arena, OutOfMemory};
use postern::machine::{clock, cpu, entropy, rtc};
use postern::memory::{self, Plan};
use postern::net::{self, Kind, Netif, TcpStream};
use postern::nic::{self, AnyCard};
use postern::pki::text::Count;
use postern::selftest;
use postern::serve::{IDLE_TIMEOUT, IDLE_TIMEOUT_DIALLED, Limits, Service, WorkerSlot};
use postern::settings::{self, TlsConfigs};

use crate::boot::symbols;
use crate::tasks::{self, Prepared};

/// The network cards that were found, with the names of their interfaces.
pub(crate) type Cards = heapless::Vec<(&'static str, AnyCard), { nic::MAX_CARDS }>;

/// The interfaces.
type Netifs = heapless::Vec<Netif, { nic::MAX_CARDS }>;

/// Logs the version, and the machine that it runs on.
pub(crate) fn log_banner(info: &BootInfo, arena: &Arena) {
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
    let (all, free) = (info.ram_bytes() / 1024, arena.left() / 1024);
    ::log::info!("memory: {all} KiB, {free} KiB free");
}

/// Logs the sources of entropy.
pub(crate) fn log_entropy() {
    for (source, (state, bytes)) in entropy::Source::ALL.iter().zip(entropy::status().sources) {
        ::log::info!("entropy: {} {state}, {}", source.name(), Count(bytes, "byte"));
    }
    if let Err(error) = entropy::rng() {
        ::log::error!("{error}");
    }
}

/// Divides the memory: interfaces, the echo service with its workers, and clients.
pub(crate) fn services(
    spawner: Spawner,
    config: &'static Config,
    tls_configs: &'static TlsConfigs,
    cards: Cards,
    arena: &mut Arena,
    ram: u64,
) -> Result<Prepared, OutOfMemory> {
    let secure_shell = settings::secure_shell(config, tls_configs, cards.len(), arena)?;
    let selftest_buffer = settings::selftest_buffer(tls_configs, arena)?;
    let client_buffers = settings::client_buffers(tls_configs, arena)?;
    let selftest: &'static selftest::Requests = arena.value(selftest::Requests::new())?;
    let plain_client: &'static Client = arena.value(Client::new(Kind::Plain))?;
    let tls_client: &'static Client = arena.value(Client::new(Kind::Tls))?;
    let proxy = settings::proxy(config, arena)?;
    // What is taken after the division.
    let rest = size_of::<Netifs>() + size_of::<Service<Netif>>() + size_of::<Machine>();
    let tasks = tasks::demand(config, cards.len());
    // The buffers are in the largest piece; the tasks use up the others.
    let beside = arena.beside(tasks.largest).min(tasks.total);
    let plan = Plan::of(
        arena.largest() + beside,
        tasks.total + rest,
        config.echo.connections,
        cards.len(),
        settings::worker_outbound(tls_configs),
        tasks::worker_size(),
    );
    if let Some(wanted) = config
        .echo
        .connections
        .filter(|&wanted| usize::from(wanted) > plan.connections)
    {
        ::log::warn!(
            ".echo.connections = {wanted}: the memory suffices for {}",
            plan.connections
        );
    }
    let netifs = interfaces(spawner, config, cards, &plan, arena)?;
    let slots = arena.slice(plan.connections, |_| WorkerSlot::<TcpStream>::new())?;
    let service: &'static Service<Netif> = arena.value(Service::new(netifs, slots, limits(config)))?;
    settings::set_tls(service, tls_configs);
    let traces: &'static Traces = plan.traces(arena)?;
    let pages: &'static Traces = plan.traces(arena)?;
    // A page is about its own connection, and needs it narrated whatever the shell's setting.
    pages.switch(true);
    let mut workers = plan.workers(arena)?;
    memory::spawn(arena, spawner, "echo worker", plan.connections, |_| {
        tasks::work(service, tls_configs, (traces, pages), workers.next())
    })?;
    if let Some(proxy) = proxy {
        service.set_proxy(proxy);
        plain_client.set_proxy(proxy);
        tls_client.set_proxy(proxy);
    }
    let machine = arena.value(Machine {
        netifs,
        service,
        plain_client,
        tls_client,
        proxy,
        selftest,
        traces,
        tls_configs,
        telnet_reload: config.vmm.telnet_reload,
        ram,
        free: arena.left(),
        heap: symbols::heap,
    })?;
    Ok(Prepared {
        machine,
        connections: plan.connections,
        selftest: selftest_buffer,
        tls_client: client_buffers,
        secure_shell,
    })
}

/// The limits of the echo service.
fn limits(config: &Config) -> Limits {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    Limits {
        handshake: settings::seconds(config.tls.handshake_timeout),
        idle: config.echo.idle_timeout.map_or(IDLE_TIMEOUT, seconds),
        idle_dialled: config.echo.idle_timeout.map_or(IDLE_TIMEOUT_DIALLED, seconds),
        per_address: config.echo.connections_per_address.map(usize::from),
        ..Limits::default()
    }
}

/// Makes an interface of each card, and a task for each.
fn interfaces(
    spawner: Spawner,
    config: &'static Config,
    cards: Cards,
    plan: &Plan,
    arena: &mut Arena,
) -> Result<&'static [Netif], OutOfMemory> {
    let mut netifs = Netifs::new();
    for (number, (name, card)) in cards.into_iter().enumerate() {
        let settings = net::Config {
            // The idle loop watches the card.
            spin: Duration::from_ticks(0),
            ipv6: settings::ipv6(config, number),
            dns: settings::dns(config, number),
            ..net::Config::new(name, settings::address(config, number), settings::key())
        };
        match net::open(card, settings, plan.net(number), arena) {
            Ok((netif, runner)) => {
                let mut runner = Some(runner);
                memory::spawn(arena, spawner, "network interface", 1, |_| {
                    tasks::interface(runner.take())
                })?;
                let _ = netifs.push(netif);
            }
            Err(error) => ::log::error!("{name}: {error}"),
        }
    }
    Ok(arena.value(netifs)?)
}
