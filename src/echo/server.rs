//! The echo service: listening ports, workers, and who is let in when all workers are busy.
//!
//! One task runs [`Service::listen`], which accepts for all ports. As many tasks as memory allows run
//! [`Service::work`], each with its own TLS buffers; a worker serves one connection at a time, from whichever port. An
//! accepted connection goes straight to an idle worker. If there is none, the oldest connection that has not come to
//! anything yet makes room, so that stalled peers, however many, never keep a willing one out; if all are established,
//! the newcomer is refused.

use core::cell::Cell;
use core::fmt;
use core::net::SocketAddrV4;

use embassy_futures::join::join_array;
use embassy_futures::select::{Either, select};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, with_timeout};
use embedded_io_async::{BufRead, Error as _, ErrorKind, Write};

use super::limit::Limiter;
use super::pump::{Buffered, End, pump};
use super::registry::{Description, Entry, Guard, State};
use super::tally::Tally;
use super::{Kind, Listener, Network, Transport, find_network};
use crate::net::ListenError;

/// Ports that can be listened on at a time.
pub const LISTENERS: usize = 8;

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From accepting a TLS connection to the end of its handshake.
    pub handshake: Duration,
    /// Without a byte read, or without a byte taken by the peer.
    pub idle: Duration,
    /// From our end of the conversation to the peer's, and for what is in flight to be acknowledged.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            handshake: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            linger: Duration::from_secs(2),
        }
    }
}

/// The TLS server role with the buffers of one worker.
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
    /// Makes the handshake. On failure the alert is written and flushed before this returns; the caller ends the
    /// output, drains the input, and sets the deadline (the future may be dropped at any point).
    async fn accept<'a>(&'a mut self, stream: &'a mut S) -> Result<Self::Session<'a>, Self::Error>;
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
    /// The writing half.
    type Writer<'a>: Write<Error = Self::Error>
    where
        Self: 'a;

    /// What was negotiated.
    fn description(&self) -> Description;
    /// [`Transport::mark_established`] on the stream beneath.
    fn mark_established(&self);
    /// Both halves, usable at the same time.
    fn split(&mut self) -> (Self::Reader<'_>, Self::Writer<'_>);
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

struct Job<S> {
    stream: S,
    kind: Kind,
}

/// What a place for a listening port is used for.
#[derive(Clone, Copy)]
struct Port {
    kind: Kind,
    port: u16,
    netif: &'static str,
    stopping: bool,
}

struct Slot<L> {
    port: Cell<Option<Port>>,
    listener: Signal<NoopRawMutex, L>,
    stop: Signal<NoopRawMutex, ()>,
    stopped: Signal<NoopRawMutex, ()>,
}

/// The service. `N` are the interfaces it listens on.
pub struct Service<N: Network + 'static> {
    networks: &'static [N],
    desks: &'static [Desk<N::Stream>],
    slots: [Slot<N::Listener>; LISTENERS],
    limits: Limits,
    tally: Tally,
    tls: Cell<Result<(), &'static str>>,
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
            slots: core::array::from_fn(slot),
            limits,
            tally: Tally::new(),
            tls: Cell::new(Err("TLS is not set up yet")),
            failures: Limiter::new(20, Duration::from_millis(500)),
        }
    }

    /// Says whether TLS can be served, and if not, why (`no entropy: ...`, `no server certificate configured: ...`).
    pub fn set_tls(&self, ready: Result<(), &'static str>) {
        self.tls.set(ready);
    }

    /// Starts listening. On success connections are accepted from now on.
    pub fn start(&self, kind: Kind, port: u16, netif: Option<&str>) -> Result<(), StartError> {
        if kind == Kind::Tls {
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
        slot.port.set(Some(Port {
            kind,
            port,
            netif: network.name(),
            stopping: false,
        }));
        slot.stop.reset();
        slot.stopped.reset();
        slot.listener.signal(listener);
        ::log::info!("{kind} echo server listens on port {port} of {}", network.name());
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
            slot.stopped.wait().await;
            ::log::info!("{kind} echo server on port {port} of {} stopped", running.netif);
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
        self.live().fold(self.tally.echoed.get(), |sum, entry| {
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

    /// Serves connections for ever. Each worker task runs this, with TLS buffers of its own. Workers are to be started
    /// before ports.
    pub async fn work<T: Secure<N::Stream>>(&self, tls: &mut T) -> ! {
        let Some(desk) = self.desks.iter().find(|desk| !desk.staffed.replace(true)) else {
            ::log::error!("more echo workers than places");
            core::future::pending::<()>().await;
            unreachable!("pending never ends")
        };
        loop {
            if !desk.mailbox.signaled() {
                desk.idle.set(true);
            }
            let job = desk.mailbox.wait().await;
            self.serve(&desk.entry, job, tls).await;
        }
    }

    async fn accept_from(&self, n: usize) {
        let Some(slot) = self.slots.get(n) else { return };
        loop {
            let listener = slot.listener.wait().await;
            while let (Some(Port { kind, .. }), Either::First(stream)) =
                (slot.port.get(), select(listener.accept(), slot.stop.wait()).await)
            {
                self.admit(Job { stream, kind });
            }
            drop(listener);
            slot.port.set(None);
            slot.stopped.signal(());
        }
    }

    /// Hands a connection to a worker, or refuses it. Never waits: what is accepted is served or gone.
    fn admit(&self, job: Job<N::Stream>) {
        self.tally.accepted.one();
        if let Some(desk) = self.desks.iter().find(|desk| desk.idle.get()) {
            desk.idle.set(false);
            desk.mailbox.signal(job);
            return;
        }
        let evictable = self
            .desks
            .iter()
            .filter(|desk| desk.staffed.get() && !desk.mailbox.signaled());
        let oldest = evictable
            .filter_map(|desk| Some((desk.entry.evictable()?, desk)))
            .min_by_key(|(since, _)| *since);
        match oldest {
            Some((_, desk)) => {
                desk.entry.evict();
                desk.mailbox.signal(job);
            }
            None => {
                self.tally.refused.one();
                self.complain(
                    job.stream.peer(),
                    format_args!("refused: all {} workers are busy", self.capacity()),
                );
                job.stream.abort();
            }
        }
    }

    async fn serve<T: Secure<N::Stream>>(&self, entry: &Entry, job: Job<N::Stream>, tls: &mut T) {
        let Job { mut stream, kind } = job;
        let peer = stream.peer();
        let guard = entry.occupy(kind, stream.local().port(), peer);
        let ended = match select(guard.evicted(), self.converse(&guard, kind, &mut stream, tls)).await {
            Either::First(()) => {
                self.tally.evicted.one();
                let age = Instant::now().saturating_duration_since(guard.since()).as_millis();
                self.complain(
                    peer,
                    format_args!("makes room for a newer connection after {age} ms without result"),
                );
                Ended::Lost
            }
            Either::Second(ended) => ended,
        };
        if let Ended::Lost = ended {
            stream.abort();
        }
        self.tally.echoed.add(guard.flow().echoed());
    }

    /// The conversation and, if it ends in order, its end.
    async fn converse<T: Secure<N::Stream>>(
        &self,
        guard: &Guard<'_>,
        kind: Kind,
        stream: &mut N::Stream,
        tls: &mut T,
    ) -> Ended {
        let ended = match kind {
            Kind::Plain => self.plain(guard, stream, tls.scratch()).await,
            Kind::Tls => self.secure(guard, stream, tls).await,
        };
        if let Ended::InOrder = ended {
            guard.advance(State::Closing);
            stream.shutdown();
            // The peer's last bytes are taken off, so that no reset overtakes what it has still to read.
            let _ = with_timeout(self.limits.linger, async {
                let mut rest = [0; 64];
                while let Ok(1..) = embedded_io_async::Read::read(stream, &mut rest).await {}
                stream.drained().await;
            })
            .await;
        }
        ended
    }

    async fn plain(&self, guard: &Guard<'_>, stream: &mut N::Stream, buffer: &mut [u8]) -> Ended {
        // The first bytes tell a peer that means it from one that only connected.
        let first = match with_timeout(self.limits.idle, embedded_io_async::Read::read(stream, buffer)).await {
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return self.failed(guard.peer(), transport_cause(error.kind()), &error),
            Err(_) => return self.failed(guard.peer(), "idle", &format_args!("nothing sent")),
        };
        stream.mark_established();
        guard.advance(State::Established);
        let (reader, mut writer) = stream.split();
        let mut reader = Buffered::new(reader, buffer, first);
        if first == 0 {
            // The end came at once.
            self.tally.finished.one();
            return Ended::InOrder;
        }
        let end = pump(&mut reader, &mut writer, self.limits.idle, guard.flow()).await;
        self.pumped(guard.peer(), end, |error| transport_cause(error.kind()))
    }

    async fn secure<T: Secure<N::Stream>>(&self, guard: &Guard<'_>, stream: &mut N::Stream, tls: &mut T) -> Ended {
        let peer = guard.peer();
        let mut session = match with_timeout(self.limits.handshake, tls.accept(stream)).await {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => {
                self.tally.fault(T::cause(&error));
                self.complain(peer, format_args!("handshake failed: {error}"));
                // The alert is on its way; let it arrive.
                return Ended::InOrder;
            }
            Err(_) => {
                let seconds = self.limits.handshake.as_secs();
                return self.failed(
                    peer,
                    "handshake deadline",
                    &format_args!("handshake not finished in {seconds} s"),
                );
            }
        };
        self.tally.handshakes.one();
        session.mark_established();
        guard.advance(State::Established);
        guard.describe(session.description());
        let end = {
            let (mut reader, mut writer) = session.split();
            pump(&mut reader, &mut writer, self.limits.idle, guard.flow()).await
        };
        if matches!(end, End::Finished | End::Idle) {
            guard.advance(State::Closing);
            let _ = with_timeout(self.limits.linger, session.close()).await;
        }
        self.pumped(peer, end, T::cause)
    }

    fn pumped<E: fmt::Display>(&self, peer: SocketAddrV4, end: End<E, E>, cause: fn(&E) -> &'static str) -> Ended {
        let idle = self.limits.idle.as_secs();
        match end {
            End::Finished => {
                self.tally.finished.one();
                Ended::InOrder
            }
            End::Idle => {
                self.failed(peer, "idle", &format_args!("nothing came for {idle} s"));
                Ended::InOrder
            }
            End::Stalled => self.failed(peer, "stalled", &format_args!("nothing was taken for {idle} s")),
            End::Read(error) | End::Write(error) => {
                self.tally.fault(cause(&error));
                self.complain(peer, format_args!("connection failed: {error}"));
                // An alert may be on its way; a connection that is gone makes this end at once.
                Ended::InOrder
            }
        }
    }

    fn failed(&self, peer: SocketAddrV4, cause: &'static str, why: &dyn fmt::Display) -> Ended {
        self.tally.fault(cause);
        self.complain(peer, format_args!("{why}"));
        Ended::Lost
    }

    /// Logs what a peer did, but no flood of it.
    fn complain(&self, peer: SocketAddrV4, what: fmt::Arguments<'_>) {
        self.failures.log(::log::Level::Warn, format_args!("{peer}: {what}"));
    }
}

/// How a conversation ended.
enum Ended {
    /// Close the connection properly.
    InOrder,
    /// Reset it.
    Lost,
}

fn transport_cause(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ConnectionReset => "connection reset",
        ErrorKind::TimedOut => "connection timed out",
        ErrorKind::NotConnected | ErrorKind::ConnectionAborted => "connection closed",
        _ => "connection failed",
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{FakeNetwork, Half, Stream, beside, settle};
    use super::*;
    use crate::net;
    use crate::testing::block_on;
    use embedded_io_async::Read;
    use std::boxed::Box;
    use std::string::{String, ToString};
    use std::vec::Vec;

    /// "TLS" whose handshake is the byte `H`, and whose close_notify is the byte `C`.
    struct FakeTls(Vec<u8>);

    struct FakeSession<'a> {
        stream: &'a mut Stream,
        scratch: &'a mut [u8],
    }

    impl Secure<Stream> for FakeTls {
        type Error = net::Error;
        type Session<'a> = FakeSession<'a>;

        fn scratch(&mut self) -> &mut [u8] {
            &mut self.0
        }
        async fn accept<'a>(&'a mut self, stream: &'a mut Stream) -> Result<FakeSession<'a>, net::Error> {
            let mut hello = [0];
            stream.read(&mut hello).await?;
            match &hello {
                b"H" => Ok(FakeSession {
                    stream,
                    scratch: &mut self.0,
                }),
                _ => {
                    stream.write_all(b"A").await?;
                    Err(net::Error::Closed)
                }
            }
        }
        fn cause(_: &net::Error) -> &'static str {
            "no hello"
        }
    }

    impl Session for FakeSession<'_> {
        type Error = net::Error;
        type Reader<'a>
            = Buffered<'a, Half>
        where
            Self: 'a;
        type Writer<'a>
            = Half
        where
            Self: 'a;

        fn description(&self) -> Description {
            Description {
                version: "TLSv1.3",
                suite: "FAKE",
                group: "NONE",
            }
        }
        fn mark_established(&self) {
            self.stream.mark_established();
        }
        fn split(&mut self) -> (Buffered<'_, Half>, Half) {
            let (reader, writer) = self.stream.split();
            (Buffered::new(reader, self.scratch, 0), writer)
        }
        async fn close(&mut self) -> Result<(), net::Error> {
            self.stream.write_all(b"C").await
        }
    }

    const SHORT: Duration = Duration::from_millis(30);

    /// A service with so many workers, and a peer's view of it.
    fn served<T>(
        workers: usize,
        limits: Limits,
        work: impl AsyncFnOnce(&Service<FakeNetwork>, &FakeNetwork) -> T,
    ) -> T {
        let network = FakeNetwork::default();
        let desks: Vec<_> = (0..workers).map(|_| Desk::new()).collect();
        let service = Service::new(std::vec![network.clone()].leak(), desks.leak(), limits);
        service.set_tls(Ok(()));
        let mut tasks: Vec<core::pin::Pin<Box<dyn Future<Output = ()> + '_>>> = std::vec![];
        for _ in 0..workers {
            tasks.push(Box::pin(async {
                service.work(&mut FakeTls(std::vec![0; 256])).await;
            }));
        }
        tasks.push(Box::pin(async {
            service.listen().await;
        }));
        block_on(beside(
            async {
                settle().await;
                work(&service, &network).await
            },
            tasks,
        ))
    }

    async fn say(peer: &Stream, text: &str) -> String {
        peer.say(text);
        settle().await;
        peer.arrived()
    }

    #[test]
    fn several_ports_of_both_kinds() {
        served(3, Limits::default(), async |service, network| {
            service.start(Kind::Plain, 7, None).unwrap();
            service.start(Kind::Plain, 8, Some("vm0")).unwrap();
            service.start(Kind::Tls, 10007, None).unwrap();
            let (a, b) = (network.dial(7, 100).unwrap(), network.dial(8, 100).unwrap());
            let c = network.dial(10007, 100).unwrap();
            assert_eq!(
                (say(&a, "one").await, say(&b, "two").await),
                ("one".into(), "two".into())
            );
            assert_eq!(say(&c, "Hthree").await, "three");
            let lines: Vec<_> = service.live().map(ToString::to_string).collect();
            assert!(lines[0].contains(":7     plain established in 3 out 3"), "{lines:?}");
            assert!(lines[2].ends_with("TLSv1.3 FAKE NONE"), "{lines:?}");
            assert_eq!(
                (service.port(Kind::Plain, 1), service.port(Kind::Tls, 1)),
                (Some((8, "vm0")), None)
            );
            assert_eq!(service.echoed(), 11);
            let mut out = String::new();
            let mut at = Some(0);
            while let Some(from) = at {
                at = service.write_connection(from, &mut out);
            }
            assert_eq!(out.lines().count(), 3);
        });
    }

    #[test]
    fn half_close_is_answered_with_the_rest_and_the_end() {
        served(1, Limits::default(), async |service, network| {
            service.start(Kind::Tls, 10007, None).unwrap();
            service.start(Kind::Plain, 7, None).unwrap();
            for (port, said, heard) in [
                (10007, "Hlast words", "last wordsC"),
                (7, "last words", "last words"),
                (7, "", ""),
            ] {
                let mut peer = network.dial(port, 100).unwrap();
                peer.say(said);
                peer.shutdown();
                settle().await;
                assert_eq!(peer.arrived(), heard);
                assert!(peer.finished() && !peer.was_reset(), "port {port}");
                settle().await;
                assert_eq!(service.live().count(), 0);
            }
            assert_eq!(
                (service.tally().finished.get(), service.tally().handshakes.get()),
                (3, 1)
            );
            assert_eq!(service.tally().echoed.get(), 20);
        });
    }

    #[test]
    fn starting_says_what_is_in_the_way() {
        served(1, Limits::default(), async |service, _| {
            service.start(Kind::Plain, 7, None).unwrap();
            assert_eq!(
                service.start(Kind::Tls, 7, None).unwrap_err().to_string(),
                "port 7 is already in use"
            );
            assert_eq!(
                service.start(Kind::Plain, 9, Some("vm1")),
                Err(StartError::NoSuchInterface)
            );
            service.set_tls(Err("no entropy: the CPU has neither RDSEED nor RDRAND"));
            let reason = service.start(Kind::Tls, 10007, None).unwrap_err().to_string();
            assert_eq!(reason, "no entropy: the CPU has neither RDSEED nor RDRAND");
            for port in 1000..1007 {
                service.start(Kind::Plain, port, None).unwrap();
            }
            assert_eq!(service.start(Kind::Plain, 7, None), Err(StartError::InUse(7)));
            assert_eq!(service.start(Kind::Plain, 1007, None), Err(StartError::TooMany));
        });
    }

    #[test]
    fn a_stopped_port_is_closed_and_its_connections_go_on() {
        served(2, Limits::default(), async |service, network| {
            service.start(Kind::Plain, 7, None).unwrap();
            let peer = network.dial(7, 100).unwrap();
            assert_eq!(say(&peer, "a").await, "a");
            assert_eq!(service.stop(Kind::Tls, 7).await, Err(StopError::NotRunning(7)));
            service.stop(Kind::Plain, 7).await.unwrap();
            assert!(network.dial(7, 100).is_none());
            assert_eq!(service.port(Kind::Plain, 0), None);
            assert_eq!(say(&peer, "b").await, "b");
            service.start(Kind::Plain, 7, None).unwrap();
            assert_eq!(say(&network.dial(7, 100).unwrap(), "c").await, "c");
            // Stopped before the task has seen the start.
            service.start(Kind::Plain, 8, None).unwrap();
            service.stop(Kind::Plain, 8).await.unwrap();
            assert!(network.dial(8, 100).is_none());
        });
    }

    #[test]
    fn one_beyond_the_cap_is_refused_and_the_rest_go_on() {
        served(2, Limits::default(), async |service, network| {
            service.start(Kind::Plain, 7, None).unwrap();
            let peers: Vec<_> = (0..2).map(|_| network.dial(7, 100).unwrap()).collect();
            for peer in &peers {
                assert_eq!(say(peer, "x").await, "x");
                assert!(peer.established_there());
            }
            let beyond = network.dial(7, 100).unwrap();
            settle().await;
            assert!(beyond.was_reset());
            assert_eq!(service.tally().refused.get(), 1);
            for peer in &peers {
                assert_eq!(say(peer, "y").await, "y");
            }
            drop(peers);
            settle().await;
            assert_eq!(say(&network.dial(7, 100).unwrap(), "z").await, "z");
            assert_eq!(service.tally().faults("connection reset"), 2);
        });
    }

    #[test]
    fn any_number_of_silent_peers_keeps_nobody_out() {
        served(4, Limits::default(), async |service, network| {
            service.start(Kind::Tls, 10007, None).unwrap();
            let good = network.dial(10007, 100).unwrap();
            assert_eq!(say(&good, "Hello").await, "ello");
            let mut silent = Vec::new();
            for n in 0..1000 {
                silent.push(network.dial(10007, 100).unwrap());
                if n % 100 == 0 {
                    settle().await;
                }
            }
            let late = network.dial(10007, 100).unwrap();
            assert_eq!(say(&late, "Hi").await, "i");
            assert_eq!(say(&good, "still").await, "still");
            assert_eq!(silent.iter().filter(|peer| !peer.was_reset()).count(), 2);
            let tally = service.tally();
            assert_eq!(
                (tally.accepted.get(), tally.evicted.get() + tally.refused.get()),
                (1002, 998)
            );
            assert!(
                tally.refused.get() > 0,
                "bursts beyond what can be evicted at once are refused"
            );
        });
    }

    #[test]
    fn a_failed_handshake_leaves_its_alert_and_is_counted() {
        served(
            1,
            Limits {
                linger: SHORT,
                ..Limits::default()
            },
            async |service, network| {
                service.start(Kind::Tls, 10007, None).unwrap();
                let peer = network.dial(10007, 100).unwrap();
                assert_eq!(say(&peer, "GET / HTTP/1.0").await, "A");
                assert!(peer.finished() && !peer.was_reset());
                assert_eq!(service.tally().faults("no hello"), 1);
                // Its worker lingers, and makes room at once for somebody new.
                assert_eq!(say(&network.dial(10007, 100).unwrap(), "Hi").await, "i");
            },
        );
    }

    #[test]
    fn deadlines_free_the_worker() {
        let limits = Limits {
            handshake: SHORT,
            idle: SHORT,
            linger: SHORT,
        };
        served(1, limits, async |service, network| {
            service.start(Kind::Tls, 10007, None).unwrap();
            service.start(Kind::Plain, 7, None).unwrap();
            let gone = async |peer: &Stream| {
                while !peer.was_reset() && !peer.finished() {
                    embassy_futures::yield_now().await;
                }
                while service.live().count() > 0 {
                    embassy_futures::yield_now().await;
                }
            };
            let silent = network.dial(10007, 100).unwrap();
            gone(&silent).await;
            let idle = network.dial(10007, 100).unwrap();
            idle.say("Habc");
            gone(&idle).await;
            assert_eq!(idle.arrived(), "abcC");
            let stalled = network.dial(7, 10).unwrap();
            stalled.say([b'x'; 100]);
            gone(&stalled).await;
            assert!(stalled.was_reset());
            let tally = service.tally();
            assert_eq!(
                ["handshake deadline", "idle", "stalled"].map(|cause| tally.faults(cause)),
                [1, 1, 1]
            );
        });
    }
}
