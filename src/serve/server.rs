//! The echo service: listening ports, workers, and evictions.
//!
//! One task runs [`Service::listen`], which accepts for all ports. As many tasks as memory allows run
//! [`Service::work_at`], each with its own TLS buffers; a worker serves one connection at a time, from whichever port.
//! An accepted connection goes straight to an idle worker. If there is none, the oldest connection that is not
//! established yet is evicted, so that stalled peers, however many, never block others for long; then an established
//! one, as `share` chooses it. If all of these are in use, the newcomer is refused.

use core::cell::Cell;

use embassy_futures::join::join_array;
use embassy_futures::select::select;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer, with_deadline, with_timeout};

use super::limits::Limits;
use super::port::{LISTENERS, Port, PortSlot, StartError, StopError};
use super::registry::{ConnectionState, Entry, Eviction};
use super::reverse_target::{REVERSES, ReverseTarget};
use super::share;
use super::slot::{Job, WorkerSlot};
use super::tally::Tally;
use crate::dial::Proxy;
use crate::log::Limiter;
use crate::net::{Kind, ListenError, Listener, Network, Transport, find_network};
use crate::pki::text::{Count, Text};

/// The service. `N` are the interfaces it listens on.
pub struct Service<N: Network + 'static> {
    pub(super) networks: &'static [N],
    workers: &'static [WorkerSlot<N::Stream>],
    /// The hosts that are dialled.
    pub(super) reverses: [ReverseTarget; REVERSES],
    ports: [PortSlot<N::Listener>; LISTENERS],
    /// How often a port was opened.
    runs: Cell<u32>,
    pub(super) limits: Cell<Limits>,
    pub(super) tally: Tally,
    tls: Cell<Result<(), &'static str>>,
    pub(super) mutual: Cell<Result<(), &'static str>>,
    pub(super) proxy: Cell<Option<&'static Proxy>>,
    /// A worker is free, or a connection will not be evicted.
    pub(super) changed: Signal<NoopRawMutex, ()>,
    /// Failures and refusals, which any peer can cause at will.
    pub(super) failures: Limiter,
}

impl<N: Network> Service<N> {
    /// A service without ports and workers. Each of `workers` is for one worker and so for one connection at a time.
    pub fn new(networks: &'static [N], workers: &'static [WorkerSlot<N::Stream>], limits: Limits) -> Self {
        let place = |_| PortSlot {
            port: Cell::new(None),
            listener: Signal::new(),
            stop: Signal::new(),
            stopped: Signal::new(),
        };
        Service {
            networks,
            workers,
            reverses: core::array::from_fn(|_| ReverseTarget::new()),
            ports: core::array::from_fn(place),
            runs: Cell::new(0),
            limits: Cell::new(limits),
            tally: Tally::new(),
            tls: Cell::new(Err("TLS is not set up yet")),
            mutual: Cell::new(Err("TLS is not set up yet")),
            proxy: Cell::new(None),
            changed: Signal::new(),
            failures: Limiter::new(20, Duration::from_millis(500)),
        }
    }

    /// Sets whether TLS can be served, and if not, why (`no entropy: ...`, `no server certificate configured: ...`).
    pub fn set_tls(&self, ready: Result<(), &'static str>) {
        self.tls.set(ready);
    }

    /// Sets whether mutual TLS can be served on connections that are opened from here, and if not, why.
    pub fn set_mutual_tls(&self, ready: Result<(), &'static str>) {
        self.mutual.set(ready);
    }

    /// Has connections that are opened from now on go through `proxy`.
    pub fn set_proxy(&self, proxy: &'static Proxy) {
        self.proxy.set(Some(proxy));
    }

    /// Has every worker in [`Service::work_at`] return as soon as it is idle, to come back with another TLS;
    /// connections that begin from now on are served with that. Handshakes may take so long from now on.
    pub fn renew(&self, handshake: Duration) {
        self.limits.set(Limits {
            handshake,
            ..self.limits.get()
        });
        self.workers.iter().for_each(|slot| slot.renewed.signal(()));
    }

    /// Starts listening. On success connections are accepted from now on.
    pub fn start(&self, kind: Kind, port: u16, netif: Option<&str>) -> Result<(), StartError> {
        if kind != Kind::Plain {
            self.tls.get().map_err(StartError::NoTls)?;
        }
        let absent = if self.networks.is_empty() {
            StartError::NoInterface
        } else {
            StartError::NoSuchInterface
        };
        let network = find_network(self.networks, netif).ok_or(absent)?;
        let place = self.ports.iter().find(|place| place.port.get().is_none());
        let listener = network.listen(port).map_err(|error| match error {
            ListenError::InUse => StartError::InUse(port),
            ListenError::InvalidPort => StartError::InvalidPort,
            ListenError::TooMany => StartError::TooMany,
        })?;
        // Asked last: a port in use is the better reason where both hold.
        let place = place.ok_or(StartError::TooMany)?;
        let run = self.runs.get().wrapping_add(1);
        self.runs.set(run);
        place.port.set(Some(Port {
            kind,
            port,
            netif: network.name(),
            stopping: false,
            run,
        }));
        place.stop.reset();
        place.listener.signal(listener);
        let server = kind.server();
        ::log::info!("{server} listens on port {port} of {}", network.name());
        Ok(())
    }

    /// Stops listening, on all interfaces. On return the port is closed; connections go on.
    pub async fn stop(&self, kind: Kind, port: u16) -> Result<(), StopError> {
        let mut found = false;
        for place in &self.ports {
            let Some(running) = place.port.get() else { continue };
            if running.stopping || (running.kind, running.port) != (kind, port) {
                continue;
            }
            found = true;
            place.port.set(Some(Port {
                stopping: true,
                ..running
            }));
            place.stop.signal(());
            let run = running.run;
            ended(&place.stopped, || place.port.get().is_none_or(|port| port.run != run)).await;
            ::log::info!("{} on port {port} of {} stopped", kind.server(), running.netif);
        }
        if found {
            Ok(())
        } else {
            Err(StopError::NotRunning(port))
        }
    }

    /// The n-th port of that kind that is listened on, with its interface.
    pub fn port(&self, kind: Kind, n: usize) -> Option<(u16, &'static str)> {
        let ports = self.ports.iter().filter_map(|place| place.port.get());
        ports
            .filter(|port| !port.stopping && port.kind == kind)
            .map(|port| (port.port, port.netif))
            .nth(n)
    }

    /// The counters.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Bytes sent back so far, by ended and live connections.
    pub fn echoed(&self) -> u64 {
        let live = self.live().filter(|entry| entry.kind() != Kind::Https);
        live.fold(self.tally.echoed.get(), |sum, entry| {
            sum.saturating_add(entry.flow().echoed())
        })
    }

    /// How many connections can be served at a time: the workers that run.
    pub fn capacity(&self) -> usize {
        self.workers.iter().filter(|slot| slot.staffed.get()).count()
    }

    /// The live connections.
    pub fn live(&self) -> impl Iterator<Item = &Entry> {
        self.workers
            .iter()
            .map(|slot| &slot.entry)
            .filter(|entry| entry.state() != ConnectionState::Vacant)
    }

    /// Accepts on all ports, for ever. One task runs this.
    pub async fn listen(&self) -> ! {
        join_array(core::array::from_fn::<_, LISTENERS, _>(|n| self.accept_from(n))).await;
        core::future::pending().await
    }

    /// Takes a place for a worker, if one is left. Workers are to be started before ports.
    pub fn take_slot(&self) -> Option<&WorkerSlot<N::Stream>> {
        let slot = self.workers.iter().find(|slot| !slot.staffed.replace(true));
        if slot.is_none() {
            ::log::error!("more echo workers than worker slots");
        }
        slot
    }

    async fn accept_from(&self, n: usize) {
        let Some(place) = self.ports.get(n) else { return };
        loop {
            let listener = place.listener.wait().await;
            let accepting = async {
                while let Some(Port { kind, .. }) = place.port.get() {
                    let stream = listener.accept().await;
                    self.tally.accepted.one();
                    let dialled = None;
                    if let Err(job) = self.hand_over(Job { stream, kind, dialled }).await {
                        self.tally.refused.one();
                        let why = match self.limit(&job) {
                            Some(most) => Text::of(format_args!("its address has {}", Count::of(most, "connection"))),
                            None => self.busy(),
                        };
                        let why = format_args!("{}: refused: {why}", job.stream.peer());
                        self.failures.log(::log::Level::Warn, why);
                        // Dropping it sends RST.
                        drop(job);
                    }
                }
            };
            select(accepting, place.stop.wait()).await;
            drop(listener);
            place.port.set(None);
            place.stopped.signal(());
        }
    }

    /// Hands a connection to a worker; gives it back if all are busy and none may be evicted.
    pub(super) async fn hand_over(&self, job: Job<N::Stream>) -> Result<(), Job<N::Stream>> {
        loop {
            match self.find_worker(Instant::now(), &job) {
                Placement::Worker(slot) => {
                    slot.idle.set(false);
                    slot.entry
                        .reserve(job.kind, job.stream.local().port(), job.stream.peer());
                    slot.mailbox.signal(job);
                    return Ok(());
                }
                Placement::Until(moment) if job.dialled.is_none() => {
                    let _ = with_deadline(moment, self.changed.wait()).await;
                }
                // Another task waits for the signal, and only one can; the dialler has time.
                Placement::Until(moment) => Timer::at(moment).await,
                Placement::Full => return Err(job),
            }
        }
    }

    /// Why a connection was given back.
    pub(super) fn busy(&self) -> Text<48> {
        Text::of(format_args!("all {} workers are busy", self.capacity()))
    }

    /// The most connections with the newcomer's address, if there are as many.
    fn limit(&self, job: &Job<N::Stream>) -> Option<usize> {
        let most = self.limits.get().per_address.filter(|_| job.dialled.is_none())?;
        let newcomer = share::origin(job.stream.peer());
        let count = self
            .live()
            .filter(|entry| share::origin(entry.peer()) == newcomer)
            .count();
        (count >= most).then_some(most)
    }

    /// Where a new connection may go. Requests an eviction, if that is what it takes.
    fn find_worker(&self, now: Instant, job: &Job<N::Stream>) -> Placement<'_, N::Stream> {
        let newcomer = share::origin(job.stream.peer());
        let limited = self.limit(job).is_some();
        if let Some(slot) = self.workers.iter().find(|slot| slot.idle.get() && !limited) {
            return Placement::Worker(slot);
        }
        // The fallback, without a signal.
        let soon = now.saturating_add(Duration::from_millis(20));
        let entries = || {
            self.workers
                .iter()
                .filter(|slot| slot.staffed.get())
                .map(|slot| &slot.entry)
        };
        if entries().any(Entry::is_asked) {
            return Placement::Until(soon);
        }
        // Beyond its limit an address evicts its own connections.
        let eligible = |entry: &&Entry| !limited || share::origin(entry.peer()) == newcomer;
        let ripe = |entry: &&Entry| {
            entry.state() != ConnectionState::Established && entry.evictable_from().is_some_and(|from| from <= now)
        };
        if let Some(entry) = entries()
            .filter(eligible)
            .filter(ripe)
            .min_by_key(|entry| (entry.state(), entry.since()))
        {
            entry.evict(Eviction::Idle);
            return Placement::Until(soon);
        }
        // A silent one can be evicted in a moment; established ones stay while there is one.
        let silent = entries()
            .filter(eligible)
            .any(|entry| entry.state() == ConnectionState::Silent);
        if job.dialled.is_none()
            && !silent
            && let Some((entry, why)) = share::choose(|| entries().filter(eligible), newcomer, now)
        {
            entry.evict(why);
            return Placement::Until(soon);
        }
        // Other addresses do not wait behind one that is at its limit.
        match limited || entries().all(|entry| entry.state() == ConnectionState::Established) {
            true => Placement::Full,
            false => Placement::Until(soon),
        }
    }
}

/// Waits until `over`. `signal` wakes it; another task may take it, or begin again before this one runs.
pub(super) async fn ended(signal: &Signal<NoopRawMutex, ()>, over: impl Fn() -> bool) {
    const RECHECK: Duration = Duration::from_millis(20);
    while !over() {
        let _ = with_timeout(RECHECK, signal.wait()).await;
    }
}

/// The place found for a new connection.
enum Placement<'a, S> {
    /// An idle worker.
    Worker(&'a WorkerSlot<S>),
    /// Ask again when something has changed, or then.
    Until(Instant),
    /// All are established.
    Full,
}
