//! The tasks of the image.

use core::cell::OnceCell;

use embassy_executor::Spawner;
use embassy_futures::join::join;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use postern::client::{Client, Protocol};
use postern::config::Config;
use postern::endpoint::traces::Traces;
use postern::host::Machine;
use postern::machine::memory::{Arena, OutOfMemory};
use postern::machine::{clock, entropy, serial};
use postern::memory::{self, task_size};
use postern::net::{self, Kind, Netif, TcpListener};
use postern::nic::{self, AnyCard};
use postern::pki::text::Count;
use postern::serve::Service;
use postern::settings::{self, TlsConfigs};
use postern::shell::tls::{SESSION_SLOTS, SessionSlot, Takeover, secure_server};
use postern::{log, shell};

/// Inbound and outbound.
pub(crate) type BufferPair = [&'static mut [u8]; 2];

/// The parts of the tasks that exist once.
pub(crate) struct Prepared {
    pub(crate) machine: &'static Machine,
    /// Echo connections at a time.
    pub(crate) connections: usize,
    pub(crate) selftest: &'static mut [u8],
    pub(crate) tls_client: BufferPair,
    /// Of each card's session slots.
    pub(crate) secure_shell: heapless::Vec<[BufferPair; SESSION_SLOTS], { nic::MAX_CARDS }>,
}

/// Spawns the tasks that exist once, or once for each interface.
pub(crate) fn spawn(
    spawner: Spawner,
    config: &'static Config,
    prepared: Prepared,
    arena: &mut Arena,
) -> Result<(), OutOfMemory> {
    let Prepared {
        machine, connections, ..
    } = prepared;
    let (service, netifs) = (machine.service, machine.netifs);
    let (mut selftest, mut client) = (Some(prepared.selftest), Some(prepared.tls_client));
    memory::spawn(arena, spawner, "echo listener", 1, |_| service.listen())?;
    memory::spawn(arena, spawner, "reverse dialler", 1, |_| service.dial(settings::seed))?;
    memory::spawn(arena, spawner, "plain client", 1, |_| {
        plain_client(machine.plain_client, netifs)
    })?;
    memory::spawn(arena, spawner, "TLS client", 1, |_| tls_client(machine, client.take()))?;
    memory::spawn(arena, spawner, "serial shell", 1, |_| {
        shell::serial(serial::Console, machine)
    })?;
    memory::spawn(arena, spawner, "clock", 1, |_| clock::maintain())?;
    memory::spawn(arena, spawner, "serial port", 1, |_| serial::poll())?;
    memory::spawn(arena, spawner, "entropy", 1, |_| entropy::keep_fresh())?;
    if config.vmm.telnet_dbgsh {
        memory::spawn(arena, spawner, "telnet shell", netifs.len(), |n| {
            telnet(netifs.get(n), machine)
        })?;
    }
    for (netif, slots) in netifs.iter().zip(prepared.secure_shell) {
        let port: &'static SecurePort = arena.value(SecurePort {
            netif,
            number: config.vmm.tls_dbgsh,
            listener: OnceCell::new(),
            takeover: Takeover::new(),
        })?;
        if machine.tls_configs.awaits_certificate().is_none() {
            port.open();
        }
        let mut slots = slots.into_iter();
        memory::spawn(arena, spawner, "TLS shell", SESSION_SLOTS, |n| {
            secure_shell(port, machine, slots.next(), n)
        })?;
    }
    let syslog = net::syslog::Settings::from_config(&config.vmm.tty_syslog);
    if let (Some(syslog), Some(&netif)) = (syslog, netifs.first()) {
        memory::spawn(arena, spawner, "syslog", 1, |_| settings::send_log(netif, syslog))?;
    }
    memory::spawn(arena, spawner, "self-test", 1, |_| {
        open(machine, config, selftest.take(), connections)
    })
}

/// What [`spawn`] and [`interface`] request of the memory, in bytes.
pub(crate) struct Demand {
    /// All of it.
    pub(crate) total: usize,
    /// The largest request.
    pub(crate) largest: usize,
}

/// The demand of the tasks for so many cards: each once, as it is spawned.
pub(crate) fn demand(config: &Config, cards: usize) -> Demand {
    type Shell = (&'static SecurePort, &'static Machine);
    let (mut total, mut largest) = (0, 0);
    let mut request = |count: usize, size: usize| {
        total += count * size;
        largest = largest.max(size);
    };
    request(1, task_size(&|service: &'static Service<Netif>| service.listen()));
    request(
        1,
        task_size(&|service: &'static Service<Netif>| service.dial(settings::seed)),
    );
    request(1, task_size(&|(client, netifs)| plain_client(client, netifs)));
    request(1, task_size(&|(machine, buffers)| tls_client(machine, buffers)));
    request(
        1,
        task_size(&|machine: &'static Machine| shell::serial(serial::Console, machine)),
    );
    request(1, task_size(&|()| clock::maintain()));
    request(1, task_size(&|()| serial::poll()));
    request(1, task_size(&|()| entropy::keep_fresh()));
    request(1, task_size(&|(netif, settings)| settings::send_log(netif, settings)));
    request(
        1,
        task_size(&|(machine, config, buffer)| open(machine, config, buffer, 0)),
    );
    request(cards, task_size(&interface));
    if config.vmm.telnet_dbgsh {
        // One request for all cards.
        request(1, cards * task_size(&|(netif, machine)| telnet(netif, machine)));
    }
    if config.vmm.tls_dbgsh != 0 {
        let slot = task_size(&|(port, machine): Shell| secure_shell(port, machine, None, 0));
        request(cards, SESSION_SLOTS * slot);
        request(cards, size_of::<SecurePort>());
    }
    Demand { total, largest }
}

/// Opens the configured ports and dials, after a self-test if one is configured; then tests whenever the shell asks.
async fn open(
    machine: &'static Machine,
    config: &'static Config,
    buffer: Option<&'static mut [u8]>,
    connections: usize,
) {
    let (service, requests, tls_configs) = (machine.service, machine.selftest, machine.tls_configs);
    let (Some(buffer), Some(mut changes)) = (buffer, tls_configs.changes()) else {
        return;
    };
    let mut awaits = tls_configs.awaits_certificate().is_some();
    let fit = !config.tls.selftest || is_fit(machine, buffer).await;
    start(machine, config, &[Kind::Tls, Kind::Plain, Kind::Https], fit);
    ::log::info!(
        "ready after {} ms, {} at a time",
        clock::now() / 1000,
        Count::of(connections, "connection")
    );
    log::booted();
    let certified = Signal::<NoopRawMutex, bool>::new();
    let dial = async {
        let netifs = machine.netifs;
        settings::dial(config, netifs, service, &[Kind::Tls, Kind::Plain], fit).await;
        let fit = certified.wait().await;
        settings::dial(config, netifs, service, &[Kind::Tls], fit).await;
    };
    join(dial, async {
        loop {
            // The certificate for a key that was made at boot has come.
            if awaits && tls_configs.in_use().roles().server().is_ok() {
                awaits = false;
                let fit = !config.tls.selftest || is_fit(machine, buffer).await;
                start(machine, config, &[Kind::Tls, Kind::Https], fit);
                certified.signal(fit);
            }
            let tls_config = tls_configs.in_use();
            let roles = tls_config.roles();
            let changed = async {
                changes.changed().await;
            };
            settings::selftest(&roles, buffer).serve(requests, changed).await;
        }
    })
    .await;
}

/// Runs the self-test of the current configuration.
async fn is_fit(machine: &'static Machine, buffer: &mut [u8]) -> bool {
    let tls_config = machine.tls_configs.in_use();
    let roles = tls_config.roles();
    settings::selftest(&roles, buffer).run(machine.selftest).await.failed == 0
}

/// Opens the configured ports of these kinds; those with TLS only if that is `fit`.
fn start(machine: &'static Machine, config: &Config, kinds: &[Kind], fit: bool) {
    for &kind in kinds {
        let port = match kind {
            Kind::Tls => config.echo.tls_port,
            Kind::Plain => config.echo.plain_port,
            Kind::Https => config.echo.https_port,
        };
        if port == 0 {
            continue;
        }
        if kind != Kind::Plain && !fit {
            ::log::error!("{} on port {port} not started: the self-test failed", kind.server());
        } else if let Err(error) = machine.service.start(kind, port, None) {
            ::log::error!("{} on port {port} not started: {error}", kind.server());
        }
    }
}

/// An interface.
pub(crate) async fn interface(runner: Option<net::Runner<AnyCard>>) {
    if let Some(mut runner) = runner {
        runner.run().await;
    }
}

/// An echo worker.
pub(crate) async fn work(
    service: &'static Service<Netif>,
    tls_configs: &'static TlsConfigs,
    traces: (&'static Traces, &'static Traces),
    buffers: Option<BufferPair>,
) {
    let (Some([inbound, outbound]), Some(slot)) = (buffers, service.take_slot()) else {
        return;
    };
    loop {
        let tls_config = tls_configs.in_use();
        let roles = tls_config.roles();
        let mut worker = settings::worker(&roles, traces, [&mut *inbound, &mut *outbound]);
        service.work_at(slot, &mut worker).await;
    }
}

/// The size of an echo worker's task, in bytes.
pub(crate) fn worker_size() -> usize {
    task_size(&|(service, tls_configs, traces, buffers)| work(service, tls_configs, traces, buffers))
}

/// The plain echo client.
async fn plain_client(client: &'static Client, netifs: &'static [Netif]) {
    loop {
        client
            .run(netifs, Protocol::<entropy::Rng>::Plain, settings::seed)
            .await;
    }
}

/// The TLS echo client.
async fn tls_client(machine: &'static Machine, buffers: Option<BufferPair>) {
    let Some([inbound, outbound]) = buffers else { return };
    loop {
        let tls_config = machine.tls_configs.in_use();
        let roles = tls_config.roles();
        let protocol = settings::client_protocol(&roles, machine.traces, [&mut *inbound, &mut *outbound]);
        machine.tls_client.run(machine.netifs, protocol, settings::seed).await;
    }
}

/// Connection slots that are reserved for a debug shell, however many connections the echo servers have.
const RESERVED: usize = 4;

/// The port of the debug shell over TLS on one interface.
struct SecurePort {
    netif: &'static Netif,
    number: u16,
    /// Set once there is a certificate; to nothing if the port cannot be opened.
    listener: OnceCell<Option<TcpListener>>,
    takeover: Takeover,
}

impl SecurePort {
    /// Opens the port, unless it is open.
    fn open(&self) -> Option<&TcpListener> {
        let (port, netif) = (self.number, self.netif);
        let open = || match netif.listen_reserved(port, RESERVED) {
            Ok(listener) => {
                ::log::info!("debug shell over TLS on port {port} of {}", netif.name());
                // A slot is for clients that begin a handshake.
                Some(listener.defer())
            }
            Err(error) => {
                ::log::error!("debug shell over TLS on port {port} of {}: {error}", netif.name());
                None
            }
        };
        self.listener.get_or_init(open).as_ref()
    }
}

/// A session slot of the debug shell over TLS.
async fn secure_shell(
    port: &'static SecurePort,
    machine: &'static Machine,
    buffers: Option<BufferPair>,
    number: usize,
) {
    let (Some([inbound, outbound]), Some(mut changes)) = (buffers, machine.tls_configs.changes()) else {
        return;
    };
    loop {
        let tls_config = machine.tls_configs.in_use();
        let roles = tls_config.roles();
        let changed = async {
            changes.changed().await;
        };
        let (config, rng) = match settings::session_slot(&roles) {
            Ok(slot) => slot,
            Err(why) => {
                // That was logged at boot.
                if machine.tls_configs.awaits_certificate().is_none() {
                    ::log::error!("debug shell over TLS: {why}");
                }
                changed.await;
                continue;
            }
        };
        let Some(listener) = port.open() else { return };
        let slot = SessionSlot {
            config,
            clock: settings::now,
            rng,
            inbound: &mut *inbound,
            outbound: &mut *outbound,
        };
        secure_server(listener, machine, slot, &port.takeover, number, changed).await;
    }
}

/// The debug shell on telnet.
async fn telnet(netif: Option<&'static Netif>, machine: &'static Machine) {
    const PORT: u16 = 23;
    let Some(netif) = netif else { return };
    match netif.listen_reserved(PORT, RESERVED) {
        Ok(listener) => shell::telnet_server(&listener, machine).await,
        // There are as many listening ports as the memory suffices for.
        Err(_) => ::log::error!(
            "no debug shell on {}: not enough memory (use a larger -m)",
            netif.name()
        ),
    }
}
