//! The echo service: listening ports, workers, and who is let in when all workers are busy.
//!
//! One task runs [`Service::listen`], which accepts for all ports. As many tasks as memory allows run
//! [`Service::work_at`], each with its own TLS buffers; a worker serves one connection at a time, from whichever port. An
//! accepted connection goes straight to an idle worker. If there is none, the oldest connection that has not come to
//! anything yet makes room, so that stalled peers, however many, never keep a willing one out for long; then an established
//! one, as `share` chooses it. If all of these are in use, the newcomer is refused.

use core::cell::Cell;
use core::fmt;
use core::ops::Deref;
use core::pin::pin;

use embassy_futures::join::join_array;
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer, with_deadline, with_timeout};
use embedded_io_async::{BufRead, Error as _, ErrorKind, Write};

use super::pump::{Buffered, End, pump};
use super::registry::{Description, Entry, Eviction, Guard, State};
use super::request_line::RequestLine;
use super::reverse::{Call, Dialled, Line, REVERSES};
use super::share;
use super::tally::Tally;
use crate::config::Role;
use crate::dial::proxy::Proxy;
use crate::endpoint::traces::Narrator;
use crate::endpoint::wipe;
use crate::log::Limiter;
use crate::net::{Kind, ListenError, Listener, Network, Transport, find_network};
use crate::pki::text::{Count, Text};
use crate::web;

/// Ports that can be listened on at a time.
pub const LISTENERS: usize = 8;

/// The default of [`Limits::idle`]: minutes, so that a forgotten connection does not occupy a worker for long.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(300);

/// The default of [`Limits::idle_dialled`]: whom the machine has chosen does not occupy a worker against its will.
pub const IDLE_TIMEOUT_DIALLED: Duration = Duration::from_secs(3600);

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From accepting a TLS connection to the end of its handshake.
    pub handshake: Duration,
    /// Without a byte read, or without a byte taken by the peer.
    pub idle: Duration,
    /// The same on a connection that was opened from here.
    pub idle_dialled: Duration,
    /// Connections at a time with one address; `None`: as many as there are workers.
    pub per_address: Option<usize>,
    /// For the peer to take our last words: what is left of the echo, and close_notify.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshake: Duration::from_secs(10),
            idle: IDLE_TIMEOUT,
            idle_dialled: IDLE_TIMEOUT_DIALLED,
            per_address: None,
            goodbye: Duration::from_secs(2),
        }
    }
}

/// TLS with the buffers of one worker.
pub trait Secure<S: Transport> {
    /// What can go wrong, in the handshake and after.
    type Error: embedded_io_async::Error;
    /// A connection after its handshake.
    type Session<'a>: Session<Error = Self::Error>
    where
        Self: 'a,
        S: 'a;

    /// Memory that is unused between sessions; plain connections use it.
    fn scratch(&mut self) -> &mut [u8];
    /// Overwrites what the last session has left in memory.
    fn wipe(&mut self);
    /// Makes the handshake, and calls [`Entry::heard`] when bytes have come. On failure the alert is sent
    /// before this returns; the caller ends the output, and sets the deadline: the future may be dropped at any point.
    ///
    /// `dialled` says of a connection that was opened from here which role is taken in it; on such a one the peer must
    /// prove who it is, whatever is configured for those who connect here.
    async fn accept<'a>(
        &'a mut self,
        stream: &'a mut S,
        entry: &'a Entry,
        dialled: Option<Role>,
    ) -> Result<Self::Session<'a>, Self::Error>;
    /// A short name for the kind of error, by which it is counted.
    fn cause(error: &Self::Error) -> &'static str;
}

/// A TLS connection after its handshake.
pub trait Session {
    /// What can go wrong.
    type Error: embedded_io_async::Error;
    /// The reading half: at its end, the peer has sent close_notify.
    type Reader<'a>: BufRead<Error = Self::Error>
    where
        Self: 'a;
    /// The writing half. After the reading half has failed, a flush sends the alert.
    type Writer<'a>: Write<Error = Self::Error>
    where
        Self: 'a;

    /// What was negotiated.
    fn description(&self) -> Description;
    /// The subject of the certificate by which the peer proved who it is, if it did.
    fn subject(&self) -> Option<Text<96>> {
        None
    }
    /// Where the connection was narrated for the page that shows it, if it was.
    fn page(&self) -> Option<Narrator>;
    /// [`Transport::mark_established`] on the stream beneath.
    fn mark_established(&mut self);
    /// Both halves, usable at the same time.
    fn split(&mut self) -> Result<(Self::Reader<'_>, Self::Writer<'_>), Self::Error>;
    /// Sends close_notify and flushes.
    async fn close(&mut self) -> Result<(), Self::Error>;
}

/// Why a server could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartError {
    /// Somebody listens there already.
    InUse(u16),
    /// Port 0.
    InvalidPort,
    /// All [`LISTENERS`] places, or the network's own, are taken.
    TooMany,
    /// No interface has that name.
    NoSuchInterface,
    /// There is no interface at all.
    NoInterface,
    /// TLS cannot be served; the reason was given to [`Service::set_tls`].
    NoTls(&'static str),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::InUse(port) => write!(f, "port {port} is already in use"),
            StartError::InvalidPort => f.write_str("port 0 cannot be listened on"),
            StartError::TooMany => f.write_str("too many ports are listened on; stop one first"),
            StartError::NoSuchInterface => f.write_str("there is no network interface of that name"),
            StartError::NoInterface => f.write_str("there is no network interface"),
            StartError::NoTls(reason) => f.write_str(reason),
        }
    }
}

impl core::error::Error for StartError {}

/// Why a server could not be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopError {
    /// None of that kind runs on that port.
    NotRunning(u16),
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StopError::NotRunning(port) => write!(f, "no server of this kind is running on port {port}"),
        }
    }
}

impl core::error::Error for StopError {}

/// A worker's place: what `status` shows of it, and where connections are handed to it.
pub struct Desk<S> {
    entry: Entry,
    mailbox: Signal<NoopRawMutex, Job<S>>,
    /// The worker is to come back with another TLS.
    renewed: Signal<NoopRawMutex, ()>,
    /// A worker has taken this place.
    staffed: Cell<bool>,
    /// The worker waits, and nothing is in the mailbox.
    idle: Cell<bool>,
}

impl<S> Desk<S> {
    /// An empty place.
    pub const fn new() -> Self {
        Desk {
            entry: Entry::new(),
            mailbox: Signal::new(),
            renewed: Signal::new(),
            staffed: Cell::new(false),
            idle: Cell::new(false),
        }
    }
}

impl<S> Default for Desk<S> {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) struct Job<S> {
    pub(super) stream: S,
    pub(super) kind: Kind,
    /// Set where the connection was opened from here.
    pub(super) dialled: Option<Dialled>,
}

/// A connection, and for whom its worker has it.
struct Visit<'a> {
    guard: Guard<'a>,
    /// Where it is reported, if it was opened from here; and which role is taken in TLS.
    call: Option<(Call<'a>, Role)>,
}

impl Visit<'_> {
    /// What looks for an HTTP request where the peer has connected to the machine: a web page may have made it do so.
    fn watch(&self) -> Option<RequestLine> {
        self.call.is_none().then(RequestLine::new)
    }
}

impl<'a> Deref for Visit<'a> {
    type Target = Guard<'a>;

    fn deref(&self) -> &Guard<'a> {
        &self.guard
    }
}

/// What a place for a listening port is used for.
#[derive(Clone, Copy)]
struct Port {
    kind: Kind,
    port: u16,
    netif: &'static str,
    stopping: bool,
    /// Tells the uses of a place apart.
    run: u32,
}

struct Slot<L> {
    port: Cell<Option<Port>>,
    listener: Signal<NoopRawMutex, L>,
    stop: Signal<NoopRawMutex, ()>,
    stopped: Signal<NoopRawMutex, ()>,
}

/// The service. `N` are the interfaces it listens on.
pub struct Service<N: Network + 'static> {
    pub(super) networks: &'static [N],
    desks: &'static [Desk<N::Stream>],
    /// Whom we dial.
    pub(super) lines: [Line; REVERSES],
    slots: [Slot<N::Listener>; LISTENERS],
    /// How often a port was opened.
    runs: Cell<u32>,
    limits: Cell<Limits>,
    tally: Tally,
    tls: Cell<Result<(), &'static str>>,
    pub(super) mutual: Cell<Result<(), &'static str>>,
    pub(super) proxy: Cell<Option<&'static Proxy>>,
    /// A worker is free, or a connection has shown that it will not make room.
    changed: Signal<NoopRawMutex, ()>,
    /// Failures and refusals, which a stranger can cause at will.
    failures: Limiter,
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

    /// Serves connections at that place until [`Service::renew`], and then to the end of the connection at hand. Each
    /// worker task runs this again and again, with TLS buffers of its own.
    pub async fn work_at<T: Secure<N::Stream>>(&self, desk: &Desk<N::Stream>, tls: &mut T) {
        desk.renewed.reset();
        loop {
            if !desk.mailbox.signaled() {
                desk.idle.set(true);
                self.changed.signal(());
            }
            // In this order: a connection that has come after the renewal waits in the mailbox for the other TLS.
            match select(desk.renewed.wait(), desk.mailbox.wait()).await {
                Either::First(()) => return,
                Either::Second(job) => {
                    let kind = job.kind;
                    self.serve(&desk.entry, job, tls).await;
                    match kind {
                        // What has come lies at the beginning.
                        Kind::Plain => {
                            let len = usize::try_from(desk.entry.flow().received()).unwrap_or(usize::MAX);
                            let scratch = tls.scratch();
                            let len = len.min(scratch.len());
                            wipe(scratch.get_mut(..len).unwrap_or_default());
                        }
                        Kind::Tls | Kind::Https => tls.wipe(),
                    }
                }
            }
        }
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
                        job.stream.abort();
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

    async fn serve<T: Secure<N::Stream>>(&self, entry: &Entry, job: Job<N::Stream>, tls: &mut T) {
        let Job {
            mut stream,
            kind,
            dialled,
        } = job;
        let call = dialled.and_then(|dialled| Some((self.lines.get(dialled.line)?.call(dialled.number), dialled.role)));
        let visit = Visit {
            guard: entry.occupy(kind, stream.local().port(), stream.peer()),
            call,
        };
        if visit.call.is_some() {
            visit.mark_dialled();
        }
        let ended = {
            let mut conversation = pin!(self.converse(&visit, kind, &mut stream, tls));
            loop {
                // In this order: what has arrived meanwhile speaks for the connection.
                match select(conversation.as_mut(), visit.asked()).await {
                    Either::First(ended) => break ended,
                    Either::Second(why) if visit.yields(why) => break Ended::Evicted(why),
                    Either::Second(_) => self.changed.signal(()),
                }
            }
        };
        if let Ended::Evicted(why) = ended {
            let state = visit.state();
            match state {
                State::Established => self.tally.evicted_established.one(),
                _ => self.tally.evicted.one(),
            }
            let why = match (why, state) {
                (Eviction::Share, _) => "its address has the most connections",
                (_, State::Established) => "idle",
                (_, State::Silent) => "nothing received",
                (_, State::Handshake) => "handshake not finished",
                (_, State::Closing | State::Vacant) => "closing",
            };
            let age = visit.since().elapsed().as_millis();
            self.complain(
                &visit,
                format_args!("evicted for a newer connection after {age} ms ({why})"),
            );
        }
        if kind != Kind::Https {
            self.tally.echoed.add(visit.flow().echoed());
        }
        if let Some((call, _)) = visit.call {
            call.ended(visit.flow());
        }
        match ended {
            // Without an owner, the rest of the words and the end are delivered yet.
            Ended::InOrder => stream.shutdown(),
            Ended::Evicted(_) if visit.state() == State::Closing => stream.shutdown(),
            Ended::Evicted(_) | Ended::Lost => stream.abort(),
        }
    }

    async fn converse<T: Secure<N::Stream>>(
        &self,
        visit: &Visit<'_>,
        kind: Kind,
        stream: &mut N::Stream,
        tls: &mut T,
    ) -> Ended {
        match kind {
            Kind::Plain => self.plain(visit, stream, tls.scratch()).await,
            Kind::Tls | Kind::Https => self.secure(visit, stream, tls).await,
        }
    }

    async fn plain(&self, visit: &Visit<'_>, stream: &mut N::Stream, buffer: &mut [u8]) -> Ended {
        if let Some((call, _)) = visit.call {
            call.established(None);
        }
        // The first bytes tell a peer that means it from one that only connected.
        let first = match with_timeout(self.idle(visit), embedded_io_async::Read::read(stream, buffer)).await {
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return self.failed(visit, transport_cause(error.kind()), &error),
            Err(_) => return self.failed(visit, "idle", &format_args!("nothing sent")),
        };
        stream.mark_established();
        self.established(visit);
        let (reader, mut writer) = stream.split();
        let mut reader = Buffered::new(reader, buffer, first);
        if first == 0 {
            // The end came at once.
            self.tally.finished.one();
            return Ended::InOrder;
        }
        let end = pump(&mut reader, &mut writer, self.idle(visit), visit.flow(), visit.watch()).await;
        self.pumped(visit, end, |error| transport_cause(error.kind()))
    }

    async fn secure<T: Secure<N::Stream>>(&self, visit: &Visit<'_>, stream: &mut N::Stream, tls: &mut T) -> Ended {
        let role = visit.call.map(|(_, role)| role);
        let mut session = match with_timeout(self.limits.get().handshake, tls.accept(stream, &visit.guard, role)).await
        {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => {
                self.tally.fault(T::cause(&error));
                self.complain(visit, format_args!("handshake failed: {error}"));
                return Ended::InOrder;
            }
            Err(_) => {
                let seconds = self.limits.get().handshake.as_secs();
                return self.failed(
                    visit,
                    "handshake deadline",
                    &format_args!("handshake not finished in {seconds} s"),
                );
            }
        };
        self.tally.handshakes.one();
        session.mark_established();
        self.established(visit);
        visit.describe(session.description());
        if let Some((call, _)) = visit.call {
            call.established(session.subject());
        }
        let page = session.page();
        let end = match session.split() {
            Ok((mut reader, mut writer)) => {
                let end = match visit.kind() {
                    Kind::Https => web::serve(&mut reader, &mut writer, page, &self.limits.get(), visit).await,
                    _ => pump(&mut reader, &mut writer, self.idle(visit), visit.flow(), visit.watch()).await,
                };
                if let End::Read(_) = end {
                    // The alert that says why.
                    visit.advance(State::Closing);
                    let _ = with_timeout(self.limits.get().goodbye, writer.flush()).await;
                }
                end
            }
            Err(error) => End::Read(error),
        };
        // A browser that has connected in advance may change its mind, and says no goodbye then.
        let end = match end {
            End::Read(error) if visit.kind() == Kind::Https && T::cause(&error) == NO_GOODBYE => End::Finished,
            end => end,
        };
        if matches!(end, End::Finished | End::Idle | End::Http) {
            visit.advance(State::Closing);
            let _ = with_timeout(self.limits.get().goodbye, session.close()).await;
        }
        self.pumped(visit, end, T::cause)
    }

    fn idle(&self, visit: &Visit<'_>) -> Duration {
        let limits = self.limits.get();
        if visit.call.is_some() {
            limits.idle_dialled
        } else {
            limits.idle
        }
    }

    fn established(&self, visit: &Visit<'_>) {
        visit.advance(State::Established);
        // If all are now, whoever waits for a place waits in vain.
        self.changed.signal(());
    }

    fn pumped<E: fmt::Display>(&self, visit: &Visit<'_>, end: End<E, E>, cause: fn(&E) -> &'static str) -> Ended {
        let idle = self.idle(visit).as_secs();
        match end {
            End::Finished => {
                self.tally.finished.one();
                Ended::InOrder
            }
            End::Idle => {
                self.failed(visit, "idle", &format_args!("nothing came for {idle} s"));
                Ended::InOrder
            }
            End::Http => {
                self.failed(visit, "HTTP on an echo port", &"HTTP request on an echo port");
                Ended::InOrder
            }
            End::Displaced => self.failed(
                visit,
                "page evicted",
                &"evicted for another page: the answer is read too slowly",
            ),
            End::Stalled if visit.kind() == Kind::Https => {
                let seconds = web::DELIVERY.min(self.limits.get().idle).as_secs();
                self.failed(
                    visit,
                    "stalled",
                    &format_args!("the answer was not taken in {seconds} s"),
                )
            }
            End::Stalled => self.failed(visit, "stalled", &format_args!("nothing was taken for {idle} s")),
            End::Read(error) | End::Write(error) => {
                self.tally.fault(cause(&error));
                self.complain(visit, format_args!("connection failed: {error}"));
                // An alert may be on its way; a connection that is gone makes this end at once.
                Ended::InOrder
            }
        }
    }

    fn failed(&self, visit: &Visit<'_>, cause: &'static str, why: &dyn fmt::Display) -> Ended {
        self.tally.fault(cause);
        self.complain(visit, format_args!("{why}"));
        Ended::Lost
    }

    /// Logs what a peer did, but no flood of it.
    fn complain(&self, visit: &Visit<'_>, what: fmt::Arguments<'_>) {
        match visit.call {
            Some((call, _)) => call.failed(what),
            None => self
                .failures
                .log(::log::Level::Warn, format_args!("{}: {what}", visit.peer())),
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

/// How a conversation ended.
enum Ended {
    /// Close the connection properly.
    InOrder,
    /// Reset it.
    Lost,
    /// It makes room for another.
    Evicted(Eviction),
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

/// The cause of an end without close_notify.
pub(super) const NO_GOODBYE: &str = "no close_notify";

pub(super) fn transport_cause(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionReset => "connection reset",
        ErrorKind::TimedOut => "connection timed out",
        ErrorKind::NotConnected | ErrorKind::ConnectionAborted => "connection closed",
        _ => "connection failed",
    }
}
