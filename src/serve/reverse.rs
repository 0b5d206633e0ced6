//! Reverse connections: the machine dials out, and serves its echo over the connection that it dialled.
//!
//! As ParaQ's servers do it: a server that nobody can reach phones home. Each line dials one host and port. When the
//! connection ends, or none came about, it is dialled again after the interval, give or take an eighth, until it is
//! stopped. A host that is there but refuses us, or whom we refuse, costs both sides a handshake each time: the interval
//! doubles from one such try to the next, up to eight times its length (and no longer than five minutes, unless it is
//! longer itself).
//!
//! The connection itself is a worker's, as one that was accepted is. In TLS both sides must prove who they are.

use core::fmt;

use embassy_futures::join::join_array;
use embassy_futures::select::select;
use embassy_time::{Duration, Instant, Timer};

use super::reverse_target::{Dialled, Line, Outcome, Plan, REVERSES, State};
use super::server::{Service, ended};
use super::slot::Job;
use crate::config::Role;
use crate::dial::{DialError, Host, reach};
use crate::net::{self, Kind, Network, Transport, dns, find_network};

/// The interval between tries where none is asked for.
pub const EVERY: Duration = Duration::from_secs(10);

/// The longest pause to which a shorter interval grows.
const LONGEST: Duration = Duration::from_secs(300);

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
        let unreached = |why: DialError| {
            line.failed(format_args!("{why}"));
            Outcome::Unreached
        };
        let Some(network) = find_network(self.networks, Some(&plan.netif)) else {
            return unreached(DialError::NoSuchInterface);
        };
        let proxy = self.proxy.get().filter(|_| plan.through);
        let stream = match reach(network, proxy, plan.host(), plan.port, random).await {
            Ok(stream) => stream,
            Err(why) => return unreached(why),
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
                // Dropping it sends RST.
                drop(job);
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
