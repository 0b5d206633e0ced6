//! The echo service: listening ports, workers, and who is let in when all workers are busy.
//!
//! One task runs [`Service::listen`], which accepts for all ports. As many tasks as memory allows run
//! [`Service::work_at`], each with its own TLS buffers; a worker serves one connection at a time, from whichever port. An
//! accepted connection goes straight to an idle worker. If there is none, the oldest connection that has not come to
//! anything yet makes room, so that stalled peers, however many, never keep a willing one out for long; then an established
//! one, as `share` chooses it. If all of these are in use, the newcomer is refused.

use core::cell::Cell;
use core::fmt;

use embassy_futures::join::join_array;
use embassy_futures::select::select;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer, with_deadline, with_timeout};

use super::limits::Limits;
use super::port::{LISTENERS, Port, Slot, StartError, StopError};
use super::registry::{Entry, Eviction, State};
use super::reverse_target::{Line, REVERSES};
use super::share;
use super::slot::{Desk, Job};
use super::tally::Tally;
use crate::dial::Proxy;
use crate::log::Limiter;
use crate::net::{Kind, ListenError, Listener, Network, Transport, find_network};
use crate::pki::text::{Count, Text};

/// The service. `N` are the interfaces it listens on.
pub struct Service<N: Network + 'static> {
    pub(super) networks: &'static [N],
    desks: &'static [Desk<N::Stream>],
    /// Whom we dial.
    pub(super) lines: [Line; REVERSES],
    slots: [Slot<N::Listener>; LISTENERS],
    /// How often a port was opened.
    runs: Cell<u32>,
    pub(super) limits: Cell<Limits>,
    pub(super) tally: Tally,
    tls: Cell<Result<(), &'static str>>,
    pub(super) mutual: Cell<Result<(), &'static str>>,
    pub(super) proxy: Cell<Option<&'static Proxy>>,
    /// A worker is free, or a connection has shown that it will not make room.
    pub(super) changed: Signal<NoopRawMutex, ()>,
    /// Failures and refusals, which a stranger can cause at will.
    pub(super) failures: Limiter,
}

impl<N: Network> Service<N> {
    /// A service without ports and workers. Each of `desks` is for one worker and so for one connection at a time.
    pub fn new(networks: &'static [N], desks: &'static [Desk<N::Stream>], limits: Limits) -> Self {
        let slot = |_| Slot {
            port: Cell::new(None),
            listener: Signal::new(),
            stop: Signal::new(),
            stopped: Signal::new(),
        };
        Service {
            networks,
            desks,
            lines: core::array::from_fn(|_| Line::new()),
            slots: core::array::from_fn(slot),
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

    /// Says whether TLS can be served, and if not, why (`no entropy: ...`, `no server certificate configured: ...`).
    pub fn set_tls(&self, ready: Result<(), &'static str>) {
        self.tls.set(ready);
    }

    /// Says whether TLS can be spoken on connections that are opened from here, where both sides prove who they are; and
    /// if not, why.
    pub fn set_mutual_tls(&self, ready: Result<(), &'static str>) {
        self.mutual.set(ready);
    }

    /// Has connections that are opened from now on go through `proxy`.
    pub fn set_proxy(&self, proxy: &'static Proxy) {
        self.proxy.set(Some(proxy));
    }

    /// Has every worker in [`Service::work_at`] return as soon as it serves nobody, to come back with another TLS;
    /// whoever connects from now on is served with that. Handshakes may take so long from now on.
    pub fn renew(&self, handshake: Duration) {
        self.limits.set(Limits {
            handshake,
            ..self.limits.get()
        });
        self.desks.iter().for_each(|desk| desk.renewed.signal(()));
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
        let slot = self.slots.iter().find(|slot| slot.port.get().is_none());
        let listener = network.listen(port).map_err(|error| match error {
            ListenError::InUse => StartError::InUse(port),
            ListenError::InvalidPort => StartError::InvalidPort,
            ListenError::TooMany => StartError::TooMany,
        })?;
        // Asked last: a port in use is the better reason where both hold.
        let slot = slot.ok_or(StartError::TooMany)?;
        let run = self.runs.get().wrapping_add(1);
        self.runs.set(run);
        slot.port.set(Some(Port {
            kind,
            port,
            netif: network.name(),
            stopping: false,
            run,
        }));
        slot.stop.reset();
        slot.listener.signal(listener);
        let server = kind.server();
        ::log::info!("{server} listens on port {port} of {}", network.name());
        Ok(())
    }

    /// Stops listening, on all interfaces. On return the port is closed; connections go on.
    pub async fn stop(&self, kind: Kind, port: u16) -> Result<(), StopError> {
        let mut found = false;
        for slot in &self.slots {
            let Some(running) = slot.port.get() else { continue };
            if running.stopping || (running.kind, running.port) != (kind, port) {
                continue;
            }
            found = true;
            slot.port.set(Some(Port {
                stopping: true,
                ..running
            }));
            slot.stop.signal(());
            let run = running.run;
            ended(&slot.stopped, || slot.port.get().is_none_or(|port| port.run != run)).await;
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
        let ports = self.slots.iter().filter_map(|slot| slot.port.get());
        ports
            .filter(|port| !port.stopping && port.kind == kind)
            .map(|port| (port.port, port.netif))
            .nth(n)
    }

    /// What was counted.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Bytes sent back so far, by connections that ended and those that go on.
    pub fn echoed(&self) -> u64 {
        let live = self.live().filter(|entry| entry.kind() != Kind::Https);
        live.fold(self.tally.echoed.get(), |sum, entry| {
            sum.saturating_add(entry.flow().echoed())
        })
    }

    /// How many connections can be served at a time: the workers that run.
    pub fn capacity(&self) -> usize {
        self.desks.iter().filter(|desk| desk.staffed.get()).count()
    }

    /// The live connections.
    pub fn live(&self) -> impl Iterator<Item = &Entry> {
        self.desks
            .iter()
            .map(|desk| &desk.entry)
            .filter(|entry| entry.state() != State::Vacant)
    }

    /// Writes the line of the first live connection whose place is `from` or later; gives the place after it.
    pub fn write_connection(&self, from: usize, out: &mut dyn fmt::Write) -> Option<usize> {
        let mut rest = self.desks.iter().enumerate().skip(from);
        let (place, desk) = rest.find(|(_, desk)| desk.entry.state() != State::Vacant)?;
        let _ = writeln!(out, "{}", desk.entry);
        Some(place + 1)
    }

    /// Accepts on all ports, for ever. One task runs this.
    pub async fn listen(&self) -> ! {
        join_array(core::array::from_fn::<_, LISTENERS, _>(|n| self.accept_from(n))).await;
        core::future::pending().await
    }

    /// Takes a place for a worker, if one is left. Workers are to be started before ports.
    pub fn take_desk(&self) -> Option<&Desk<N::Stream>> {
        let desk = self.desks.iter().find(|desk| !desk.staffed.replace(true));
        if desk.is_none() {
            ::log::error!("more echo workers than places");
        }
        desk
    }

    async fn accept_from(&self, n: usize) {
        let Some(slot) = self.slots.get(n) else { return };
        loop {
            let listener = slot.listener.wait().await;
            let accepting = async {
                while let Some(Port { kind, .. }) = slot.port.get() {
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
            select(accepting, slot.stop.wait()).await;
            drop(listener);
            slot.port.set(None);
            slot.stopped.signal(());
        }
    }

    /// Hands a connection to a worker; gives it back if all are busy with connections that will not make room.
    pub(super) async fn hand_over(&self, job: Job<N::Stream>) -> Result<(), Job<N::Stream>> {
        loop {
            match self.find_place(Instant::now(), &job) {
                Place::At(desk) => {
                    desk.idle.set(false);
                    desk.entry
                        .reserve(job.kind, job.stream.local().port(), job.stream.peer());
                    desk.mailbox.signal(job);
                    return Ok(());
                }
                Place::Until(moment) if job.dialled.is_none() => {
                    let _ = with_deadline(moment, self.changed.wait()).await;
                }
                // Another task waits for the signal, and only one can; who dials has time.
                Place::Until(moment) => Timer::at(moment).await,
                Place::Nowhere => return Err(job),
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
        let newcomer = *job.stream.peer().ip();
        let count = self.live().filter(|entry| *entry.peer().ip() == newcomer).count();
        (count >= most).then_some(most)
    }

    /// Where a new connection may go. Asks one that has not come to anything to make room, if that is what it takes.
    fn find_place(&self, now: Instant, job: &Job<N::Stream>) -> Place<'_, N::Stream> {
        let newcomer = *job.stream.peer().ip();
        let limited = self.limit(job).is_some();
        if let Some(desk) = self.desks.iter().find(|desk| desk.idle.get() && !limited) {
            return Place::At(desk);
        }
        // The fallback, should nobody tell.
        let soon = now.saturating_add(Duration::from_millis(20));
        let entries = || {
            self.desks
                .iter()
                .filter(|desk| desk.staffed.get())
                .map(|desk| &desk.entry)
        };
        if entries().any(Entry::is_asked) {
            return Place::Until(soon);
        }
        // Beyond its limit an address makes room for itself.
        let eligible = |entry: &&Entry| !limited || *entry.peer().ip() == newcomer;
        let ripe = |entry: &&Entry| {
            entry.state() != State::Established && entry.evictable_from().is_some_and(|from| from <= now)
        };
        if let Some(entry) = entries()
            .filter(eligible)
            .filter(ripe)
            .min_by_key(|entry| (entry.state(), entry.since()))
        {
            entry.evict(Eviction::Idle);
            return Place::Until(soon);
        }
        // One that has said nothing makes room in a moment; those that are established stay for as long as there are any.
        let silent = entries().filter(eligible).any(|entry| entry.state() == State::Silent);
        if job.dialled.is_none()
            && !silent
            && let Some((entry, why)) = share::choose(|| entries().filter(eligible), newcomer, now)
        {
            entry.evict(why);
            return Place::Until(soon);
        }
        // Other addresses do not wait behind one that is at its limit.
        match limited || entries().all(|entry| entry.state() == State::Established) {
            true => Place::Nowhere,
            false => Place::Until(soon),
        }
    }
}

/// Waits until `over`. `signal` says when to look; another task may take it, or begin anew before this one runs.
pub(super) async fn ended(signal: &Signal<NoopRawMutex, ()>, over: impl Fn() -> bool) {
    const RECHECK: Duration = Duration::from_millis(20);
    while !over() {
        let _ = with_timeout(RECHECK, signal.wait()).await;
    }
}

/// What there is for a new connection.
enum Place<'a, S> {
    /// An idle worker.
    At(&'a Desk<S>),
    /// Ask again when something has changed, or then.
    Until(Instant),
    /// All are established.
    Nowhere,
}
