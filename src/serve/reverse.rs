//! Reverse connections: the machine dials out, and serves its echo over the connection that it dialled.
//!
//! As ParaQ's servers do it: a server that nobody can reach phones home. Each line dials one host and port. When the
//! connection ends, or none came about, it is dialled again after the interval, give or take an eighth, until it is
//! stopped. A host that is there but refuses us, or whom we refuse, costs both sides a handshake each time: the interval
//! doubles from one such try to the next, up to eight times its length (and no longer than five minutes, unless it is
//! longer itself).
//!
//! The connection itself is a worker's, as one that was accepted is. In TLS both sides must prove who they are.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::net::Ipv4Addr;

use embassy_futures::join::join_array;
use embassy_futures::select::select;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant, Timer};

use super::pump::Flow;
use super::server::{Job, Service, ended};
use crate::client::ClientError;
use crate::config::{MAX_NAME, MAX_NETIF, MAX_REVERSES, Role};
use crate::dial::proxy::reach;
use crate::log::Limiter;
use crate::net::{self, Kind, Network, Transport, dns, find_network};
use crate::pki::text::Text;

/// Reverse connections at a time.
pub const REVERSES: usize = MAX_REVERSES;

/// The interval between tries where none is asked for.
pub const EVERY: Duration = Duration::from_secs(10);

/// The longest pause to which a shorter interval grows.
const LONGEST: Duration = Duration::from_secs(300);

/// Messages about a line that are logged at once; then one a minute.
const BURST: u32 = 6;
/// The same of those served, and of the ends of their connections.
const TALK: u32 = 60;

/// Whom to dial, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The host: an address, or a name that is looked up for each try.
    pub host: Host<'a>,
    /// The port.
    pub port: u16,
    /// The interface; `None`: the first.
    pub netif: Option<&'a str>,
    /// From the end of one try to the next; at least a second.
    pub every: Duration,
    /// Who is the TLS server.
    pub role: Role,
    /// Not through the proxy, if there is one.
    pub direct: bool,
}

/// A host, as it is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host<'a> {
    /// By its address.
    Address(Ipv4Addr),
    /// By its name.
    Name(&'a str),
}

impl fmt::Display for Host<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => f.write_str(name),
        }
    }
}

/// Why nobody is dialled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReverseError {
    /// That host and port are dialled already, for this kind of echo.
    Already,
    /// All [`REVERSES`] lines are in use.
    TooMany,
    /// No interface has that name.
    NoSuchInterface,
    /// There is no interface at all.
    NoInterface,
    /// No host can have that name.
    NotAName,
    /// Port 0.
    InvalidPort,
    /// TLS cannot be spoken with both sides proving who they are; the reason was given to
    /// [`Service::set_mutual_tls`].
    NoTls(&'static str),
    /// Nobody is dialled there.
    NotRunning,
}

impl fmt::Display for ReverseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReverseError::Already => f.write_str("it is dialled already; 'server reverse stop' ends that"),
            ReverseError::TooMany => write!(f, "there are {REVERSES} reverse connections already; stop one first"),
            ReverseError::NoSuchInterface => f.write_str("there is no network interface of that name"),
            ReverseError::NoInterface => f.write_str("there is no network interface"),
            ReverseError::NotAName => f.write_str("no host can have that name"),
            ReverseError::InvalidPort => f.write_str("port 0 cannot be dialled"),
            ReverseError::NoTls(reason) => f.write_str(reason),
            ReverseError::NotRunning => f.write_str("no reverse connection of this kind goes there"),
        }
    }
}

impl core::error::Error for ReverseError {}

impl<N: Network> Service<N> {
    /// Dials from now on. Success says nothing of whether anybody answers: [`Service::write_reverse`] does.
    ///
    /// # Errors
    /// See [`ReverseError`].
    pub fn reverse(&self, kind: Kind, target: Target<'_>) -> Result<(), ReverseError> {
        if kind == Kind::Tls {
            self.mutual.get().map_err(ReverseError::NoTls)?;
        }
        let absent = match self.networks.is_empty() {
            true => ReverseError::NoInterface,
            false => ReverseError::NoSuchInterface,
        };
        let network = find_network(self.networks, target.netif).ok_or(absent)?;
        if target.port == 0 {
            return Err(ReverseError::InvalidPort);
        }
        let (address, name) = match target.host {
            Host::Address(address) => (Some(address), ""),
            Host::Name(name) if dns::is_name(name) => (None, name),
            Host::Name(_) => return Err(ReverseError::NotAName),
        };
        if self
            .lines
            .iter()
            .any(|line| line.goes_to(kind, target.host, target.port))
        {
            return Err(ReverseError::Already);
        }
        let free = |line: &&Line| line.plan.borrow().is_none();
        let line = self.lines.iter().find(free).ok_or(ReverseError::TooMany)?;
        let plan = Plan {
            kind,
            address,
            // Both are short enough: a name of ours, and one of an interface that was found.
            name: heapless::String::try_from(name).unwrap_or_default(),
            netif: heapless::String::try_from(network.name()).unwrap_or_default(),
            port: target.port,
            every: target.every.max(Duration::from_secs(1)),
            role: target.role,
            through: !target.direct && self.proxy.get().is_some(),
        };
        ::log::info!("{plan}: every {} s, from {}", plan.every.as_secs(), network.name());
        line.begin(plan);
        Ok(())
    }

    /// Dials no more: those of that kind that go to `whom`, or all of them. What is open goes on until it ends.
    ///
    /// # Errors
    /// [`ReverseError::NotRunning`].
    pub async fn reverse_stop(&self, kind: Kind, whom: Option<(Host<'_>, u16)>) -> Result<(), ReverseError> {
        let mut found = false;
        for line in &self.lines {
            let meant = match whom {
                Some((host, port)) => line.goes_to(kind, host, port),
                None => line.plan.borrow().as_ref().is_some_and(|plan| plan.kind == kind),
            };
            if meant && !line.stopping.replace(true) {
                found = true;
                let run = line.run.get();
                line.stop.signal(());
                ended(&line.stopped, || line.plan.borrow().is_none() || line.run.get() != run).await;
            }
        }
        found.then_some(()).ok_or(ReverseError::NotRunning)
    }

    /// How many hosts are dialled for that kind of echo.
    pub fn reverses(&self, kind: Kind) -> usize {
        let of_kind = |line: &&Line| line.plan.borrow().as_ref().is_some_and(|plan| plan.kind == kind);
        self.lines.iter().filter(of_kind).count()
    }

    /// Writes for `status` of the first line whose number is `from` or later, as whole lines of text of together at most
    /// 1,024 bytes; gives the number after it.
    pub fn write_reverse(&self, from: usize, out: &mut dyn fmt::Write) -> Option<usize> {
        let mut rest = self.lines.iter().enumerate().skip(from);
        let (number, line) = rest.find(|(_, line)| line.plan.borrow().is_some())?;
        let _ = line.write_status(out);
        Some(number + 1)
    }

    /// Dials all that are to be dialled, for ever. One task runs this. `random` gives numbers that nobody can guess.
    pub async fn dial(&self, random: fn() -> u64) -> !
    where
        N::Stream: Transport<Error = net::Error>,
    {
        join_array(core::array::from_fn::<_, REVERSES, _>(|n| self.dial_on(n, random))).await;
        core::future::pending().await
    }

    async fn dial_on(&self, number: usize, random: fn() -> u64)
    where
        N::Stream: Transport<Error = net::Error>,
    {
        let Some(line) = self.lines.get(number) else { return };
        loop {
            line.start.wait().await;
            select(self.redial(number, line, random), line.stop.wait()).await;
            line.end();
        }
    }

    async fn redial(&self, number: usize, line: &Line, random: fn() -> u64)
    where
        N::Stream: Transport<Error = net::Error>,
    {
        let Some(plan) = line.plan.borrow().clone() else { return };
        let mut refusals = 0;
        loop {
            line.tries.set(line.tries.get().saturating_add(1));
            line.state.set(State::Dialling);
            refusals = match self.try_once(number, line, &plan, random).await {
                Outcome::Refused => refusals + 1,
                Outcome::Unreached | Outcome::Served => 0,
            };
            let pause = pause(plan.every, refusals, random());
            line.state.set(State::Pausing(Instant::now().saturating_add(pause)));
            Timer::after(pause).await;
        }
    }

    /// From dialling to the end of the connection.
    async fn try_once(&self, number: usize, line: &Line, plan: &Plan, random: fn() -> u64) -> Outcome
    where
        N::Stream: Transport<Error = net::Error>,
    {
        let unreached = |why: ClientError| {
            line.failed(format_args!("{why}"));
            Outcome::Unreached
        };
        let Some(network) = find_network(self.networks, Some(&plan.netif)) else {
            return unreached(ClientError::NoSuchInterface);
        };
        let proxy = self.proxy.get().filter(|_| plan.through);
        let stream = match reach(network, proxy, plan.host(), plan.port, random).await {
            Ok(stream) => stream,
            Err(why) => return unreached(why.into()),
        };
        let conversation = line.conversation.get().wrapping_add(1);
        line.conversation.set(conversation);
        line.served_now.set(false);
        line.faulted_now.set(false);
        line.ended.reset();
        let job = Job {
            stream,
            kind: plan.kind,
            dialled: Some(Dialled {
                line: number,
                number: conversation,
                role: plan.role,
            }),
        };
        match self.hand_over(job).await {
            Ok(()) => line.ended.wait().await,
            Err(job) => {
                job.stream.abort();
                line.failed(format_args!("{}", self.busy()));
                Outcome::Unreached
            }
        }
    }
}

/// How long to wait before the next try, after so many refusals in a row.
fn pause(every: Duration, refusals: u32, random: u64) -> Duration {
    let doubled = every
        .checked_mul(1 << refusals.saturating_sub(1).min(3))
        .unwrap_or(every);
    let ticks = doubled.min(LONGEST).max(every).as_ticks();
    // An eighth to either side.
    let spread = random % (ticks / 4).max(1);
    Duration::from_ticks(ticks.saturating_sub(ticks / 8).saturating_add(spread))
}

/// One host that is dialled, or nobody.
pub(super) struct Line {
    plan: RefCell<Option<Plan>>,
    start: Signal<NoopRawMutex, ()>,
    stop: Signal<NoopRawMutex, ()>,
    stopped: Signal<NoopRawMutex, ()>,
    stopping: Cell<bool>,
    /// Tells the uses of the line apart.
    run: Cell<u32>,
    /// The number of the present conversation, or else the last: one that goes on after its line was stopped must not be
    /// taken for another's.
    conversation: Cell<u32>,
    /// The present conversation has ended.
    ended: Signal<NoopRawMutex, Outcome>,
    /// Whether it has come to anything, and whether it has failed.
    served_now: Cell<bool>,
    faulted_now: Cell<bool>,
    state: Cell<State>,
    tries: Cell<u64>,
    served: Cell<u64>,
    /// Why the last try that failed did, and when.
    fault: Cell<Option<(Instant, Text<160>)>>,
    /// What failed, and what came about: the many failures may not hide who is served.
    log: Limiter,
    talk: Limiter,
}

#[derive(Debug, Clone)]
struct Plan {
    kind: Kind,
    /// `None`: by its name.
    address: Option<Ipv4Addr>,
    name: heapless::String<MAX_NAME>,
    netif: heapless::String<MAX_NETIF>,
    port: u16,
    every: Duration,
    role: Role,
    through: bool,
}

impl Plan {
    fn host(&self) -> Host<'_> {
        self.address.map_or(Host::Name(&self.name), Host::Address)
    }
}

/// `tls reverse to 10.0.2.2:20001`, or that and `through the proxy`.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let through = if self.through { " through the proxy" } else { "" };
        write!(f, "{} reverse to {}:{}{through}", self.kind, self.host(), self.port)
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// Connecting, or in the handshake.
    Dialling,
    /// Serving since then, to whom its certificate says.
    Serving(Instant, Option<Text<96>>),
    /// The next try is then.
    Pausing(Instant),
}

/// What a try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// Nobody was there, or we had no place.
    Unreached,
    /// Somebody was there, but it came to nothing.
    Refused,
    /// Somebody was served.
    Served,
}

/// For whom a connection was dialled.
#[derive(Clone, Copy)]
pub(super) struct Dialled {
    pub(super) line: usize,
    pub(super) number: u32,
    pub(super) role: Role,
}

impl Line {
    pub(super) fn new() -> Self {
        Line {
            plan: RefCell::new(None),
            start: Signal::new(),
            stop: Signal::new(),
            stopped: Signal::new(),
            stopping: Cell::new(false),
            run: Cell::new(0),
            conversation: Cell::new(0),
            ended: Signal::new(),
            served_now: Cell::new(false),
            faulted_now: Cell::new(false),
            state: Cell::new(State::Dialling),
            tries: Cell::new(0),
            served: Cell::new(0),
            fault: Cell::new(None),
            log: Limiter::new(BURST, Duration::from_secs(60)),
            talk: Limiter::new(TALK, Duration::from_secs(60)),
        }
    }

    /// The conversation with that number.
    pub(super) fn call(&self, number: u32) -> Call<'_> {
        Call { line: self, number }
    }

    fn begin(&self, plan: Plan) {
        self.run.set(self.run.get().wrapping_add(1));
        self.stop.reset();
        self.stopping.set(false);
        self.tries.set(0);
        self.served.set(0);
        self.fault.set(None);
        self.state.set(State::Dialling);
        self.plan.replace(Some(plan));
        self.start.signal(());
    }

    fn end(&self) {
        // Whatever is open is nobody's from now on.
        self.conversation.set(self.conversation.get().wrapping_add(1));
        if let Some(plan) = self.plan.take() {
            ::log::info!("{plan}: stopped");
        }
        self.stopped.signal(());
    }

    fn goes_to(&self, kind: Kind, host: Host<'_>, port: u16) -> bool {
        let plan = self.plan.borrow();
        plan.as_ref()
            .is_some_and(|plan| (plan.kind, plan.host(), plan.port) == (kind, host, port))
    }

    fn failed(&self, why: fmt::Arguments<'_>) {
        self.faulted_now.set(true);
        self.fault.set(Some((Instant::now(), Text::of(why))));
        self.report(::log::Level::Warn, why);
    }

    fn report(&self, level: ::log::Level, what: fmt::Arguments<'_>) {
        if let Some(plan) = self.plan.borrow().as_ref() {
            let limiter = if level == ::log::Level::Info {
                &self.talk
            } else {
                &self.log
            };
            limiter.log(level, format_args!("{plan}: {what}"));
        }
    }

    fn write_status(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        let plan = self.plan.borrow();
        let Some(plan) = plan.as_ref() else { return Ok(()) };
        write!(out, "{plan}, every {} s: ", plan.every.as_secs())?;
        let now = Instant::now();
        match self.state.get() {
            State::Dialling => write!(out, "dialling")?,
            State::Serving(since, subject) => {
                write!(out, "serving")?;
                if let Some(subject) = subject {
                    write!(out, " {}", subject.as_str())?;
                }
                write!(out, " for {} s", now.saturating_duration_since(since).as_secs())?;
            }
            State::Pausing(until) => {
                // Rounded up: it is not over yet.
                let left = until.saturating_duration_since(now).as_millis().div_ceil(1000);
                write!(out, "next try in {left} s")?;
            }
        }
        let (tries, served) = (self.tries.get(), self.served.get());
        writeln!(out, ", tries: {tries}, served: {served}")?;
        match self.fault.get() {
            Some((when, why)) => {
                let ago = now.saturating_duration_since(when).as_secs();
                writeln!(out, "  last failure {ago} s ago: {}", why.as_str())
            }
            None => Ok(()),
        }
    }
}

/// A conversation on a line, as its worker reports of it. Nobody listens once the line was stopped.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    line: &'a Line,
    number: u32,
}

impl Call<'_> {
    fn line(&self) -> Option<&Line> {
        Some(self.line).filter(|line| line.conversation.get() == self.number)
    }

    /// The other end is served from now on.
    pub(super) fn established(&self, subject: Option<Text<96>>) {
        let Some(line) = self.line() else { return };
        line.served_now.set(true);
        line.state.set(State::Serving(Instant::now(), subject));
        line.served.set(line.served.get().saturating_add(1));
        match subject {
            Some(subject) => line.report(::log::Level::Info, format_args!("serving {}", subject.as_str())),
            None => line.report(::log::Level::Info, format_args!("serving")),
        }
    }

    /// It has failed.
    pub(super) fn failed(&self, why: fmt::Arguments<'_>) {
        if let Some(line) = self.line() {
            line.failed(why);
        }
    }

    /// It is over.
    pub(super) fn ended(&self, flow: &Flow) {
        let Some(line) = self.line() else { return };
        let (received, echoed) = (flow.received(), flow.echoed());
        let (served, faulted) = (line.served_now.get(), line.faulted_now.get());
        if served && !faulted {
            let how = format_args!("the other end has closed the connection, in {received} out {echoed}");
            line.report(::log::Level::Info, how);
        }
        // A server of TLS 1.3 can refuse our certificate after our handshake is done.
        line.ended.signal(match served && (received > 0 || !faulted) {
            true => Outcome::Served,
            false => Outcome::Refused,
        });
    }
}
