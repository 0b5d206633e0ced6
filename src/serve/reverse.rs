//! Reverse connections: the echo service over connections that it dials itself.
//!
//! As ParaQ's servers do it: a server behind NAT or a firewall phones home. Each reverse target is one host and port.
//! When the connection ends, or none came about, it is dialled again after the interval, give or take an eighth, until
//! it is stopped. A host that answers but refuses the handshake, or is refused, costs both sides a handshake each time:
//! the interval doubles from one such try to the next, up to eight times its length (and no longer than five minutes,
//! unless it is longer itself).
//!
//! The connection itself is served by a worker, like one that was accepted. In TLS both sides must authenticate.

use core::fmt;

use embassy_futures::join::join_array;
use embassy_futures::select::select;
use embassy_time::{Duration, Instant, Timer};

use super::reverse_target::{Dialled, REVERSES, ReversePlan, ReverseState, ReverseTarget, TryOutcome};
use super::server::{Service, ended};
use super::slot::Job;
use crate::config::Role;
use crate::dial::{DialError, Host, OwnedHost, reach};
use crate::net::{self, Kind, Network, Transport, dns, find_network};

/// The interval between tries where none is asked for.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

/// The longest pause to which a shorter interval grows.
const INTERVAL_MAX: Duration = Duration::from_secs(300);

/// The host to dial, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReverseOptions<'a> {
    /// The host: an address, or a name that is looked up for each try.
    pub host: Host<'a>,
    /// The port.
    pub port: u16,
    /// The interface; `None`: the first.
    pub netif: Option<&'a str>,
    /// From the end of one try to the next; at least a second.
    pub every: Duration,
    /// Which side is the TLS server.
    pub role: Role,
    /// Not through the proxy, if there is one.
    pub direct: bool,
}

/// Why a reverse connection could not be started or stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReverseError {
    /// That host and port are dialled already, for this kind of echo.
    Already,
    /// All [`REVERSES`] reverse targets are in use.
    TooMany,
    /// No interface has that name.
    NoSuchInterface,
    /// There is no interface at all.
    NoInterface,
    /// No host can have that name.
    NotAName,
    /// Port 0.
    InvalidPort,
    /// Mutual TLS cannot be served; the reason was given to
    /// [`Service::set_mutual_tls`].
    NoTls(&'static str),
    /// No reverse connection of this kind goes there.
    NotRunning,
}

impl fmt::Display for ReverseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReverseError::Already => f.write_str("already dialling this host; use 'server reverse stop' first"),
            ReverseError::TooMany => write!(f, "too many reverse connections (limit: {REVERSES}); stop one first"),
            ReverseError::NoSuchInterface => f.write_str("no network interface of that name"),
            ReverseError::NoInterface => f.write_str("no network interface"),
            ReverseError::NotAName => f.write_str("invalid host name"),
            ReverseError::InvalidPort => f.write_str("port 0 is not valid"),
            ReverseError::NoTls(reason) => f.write_str(reason),
            ReverseError::NotRunning => f.write_str("no reverse connection of this kind to that host and port"),
        }
    }
}

impl core::error::Error for ReverseError {}

impl<N: Network> Service<N> {
    /// Dials from now on. Success does not imply an answer: [`Service::reverse_targets`] shows what came of it.
    ///
    /// # Errors
    /// See [`ReverseError`].
    pub fn reverse(&self, kind: Kind, target: ReverseOptions<'_>) -> Result<(), ReverseError> {
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
        let host = match target.host {
            Host::Name(name) if !dns::is_name(name) => None,
            host => OwnedHost::new(host),
        };
        let host = host.ok_or(ReverseError::NotAName)?;
        if self
            .reverses
            .iter()
            .any(|reverse| reverse.goes_to(kind, target.host, target.port))
        {
            return Err(ReverseError::Already);
        }
        let free = |reverse: &&ReverseTarget| reverse.plan.borrow().is_none();
        let reverse = self.reverses.iter().find(free).ok_or(ReverseError::TooMany)?;
        let plan = ReversePlan {
            kind,
            host,
            // It is short enough: that of an interface that was found.
            netif: heapless::String::try_from(network.name()).unwrap_or_default(),
            port: target.port,
            every: target.every.max(Duration::from_secs(1)),
            role: target.role,
            through: !target.direct && self.proxy.get().is_some(),
        };
        ::log::info!("{plan}: every {} s, from {}", plan.every.as_secs(), network.name());
        reverse.begin(plan);
        Ok(())
    }

    /// Stops dialling `target`, or all hosts of that kind. Open connections go on until they end.
    ///
    /// # Errors
    /// [`ReverseError::NotRunning`].
    pub async fn reverse_stop(&self, kind: Kind, target: Option<(Host<'_>, u16)>) -> Result<(), ReverseError> {
        let mut found = false;
        for reverse in &self.reverses {
            let meant = match target {
                Some((host, port)) => reverse.goes_to(kind, host, port),
                None => reverse.plan.borrow().as_ref().is_some_and(|plan| plan.kind == kind),
            };
            if meant && !reverse.stopping.replace(true) {
                found = true;
                let run = reverse.run.get();
                reverse.stop.signal(());
                ended(&reverse.stopped, || {
                    reverse.plan.borrow().is_none() || reverse.run.get() != run
                })
                .await;
            }
        }
        found.then_some(()).ok_or(ReverseError::NotRunning)
    }

    /// How many hosts are dialled for that kind of echo.
    pub fn reverses(&self, kind: Kind) -> usize {
        let of_kind = |reverse: &&ReverseTarget| reverse.plan.borrow().as_ref().is_some_and(|plan| plan.kind == kind);
        self.reverses.iter().filter(of_kind).count()
    }

    /// The reverse targets, each displayed as whole lines of together at most 1,024 bytes.
    pub fn reverse_targets(&self) -> impl Iterator<Item = impl fmt::Display> {
        self.reverses.iter().filter(|reverse| reverse.plan.borrow().is_some())
    }

    /// Dials all reverse targets, for ever. One task runs this. `random` returns unpredictable numbers.
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
        let Some(reverse) = self.reverses.get(number) else {
            return;
        };
        loop {
            reverse.start.wait().await;
            select(self.redial(number, reverse, random), reverse.stop.wait()).await;
            reverse.end();
        }
    }

    async fn redial(&self, number: usize, reverse: &ReverseTarget, random: fn() -> u64)
    where
        N::Stream: Transport<Error = net::Error>,
    {
        let Some(plan) = reverse.plan.borrow().clone() else {
            return;
        };
        let mut refusals = 0;
        loop {
            reverse.tries.set(reverse.tries.get().saturating_add(1));
            reverse.state.set(ReverseState::Dialling);
            refusals = match self.try_once(number, reverse, &plan, random).await {
                TryOutcome::Refused => refusals + 1,
                TryOutcome::Unreached | TryOutcome::Served => 0,
            };
            let pause = pause(plan.every, refusals, random());
            reverse
                .state
                .set(ReverseState::Pausing(Instant::now().saturating_add(pause)));
            Timer::after(pause).await;
        }
    }

    /// From dialling to the end of the connection.
    async fn try_once(
        &self,
        number: usize,
        reverse: &ReverseTarget,
        plan: &ReversePlan,
        random: fn() -> u64,
    ) -> TryOutcome
    where
        N::Stream: Transport<Error = net::Error>,
    {
        let unreached = |why: DialError| {
            reverse.failed(format_args!("{why}"));
            TryOutcome::Unreached
        };
        let Some(network) = find_network(self.networks, Some(&plan.netif)) else {
            return unreached(DialError::NoSuchInterface);
        };
        let proxy = self.proxy.get().filter(|_| plan.through);
        let stream = match reach(network, proxy, plan.host.get(), plan.port, random).await {
            Ok(stream) => stream,
            Err(why) => return unreached(why),
        };
        let connection = reverse.connection.get().wrapping_add(1);
        reverse.connection.set(connection);
        reverse.served_now.set(false);
        reverse.faulted_now.set(false);
        reverse.ended.reset();
        let job = Job {
            stream,
            kind: plan.kind,
            dialled: Some(Dialled {
                reverse: number,
                number: connection,
                role: plan.role,
            }),
        };
        match self.hand_over(job).await {
            Ok(()) => reverse.ended.wait().await,
            Err(job) => {
                // Dropping it sends RST.
                drop(job);
                reverse.failed(format_args!("{}", self.busy()));
                TryOutcome::Unreached
            }
        }
    }
}

/// How long to wait before the next try, after so many refusals in a row.
fn pause(every: Duration, refusals: u32, random: u64) -> Duration {
    let doubled = every
        .checked_mul(1 << refusals.saturating_sub(1).min(3))
        .unwrap_or(every);
    let ticks = doubled.min(INTERVAL_MAX).max(every).as_ticks();
    // An eighth to either side.
    let spread = random % (ticks / 4).max(1);
    Duration::from_ticks(ticks.saturating_sub(ticks / 8).saturating_add(spread))
}
