//! A host that is dialled repeatedly, and its status.

use core::cell::{Cell, RefCell};
use core::fmt;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::signal::Signal;
use embassy_time::{Duration, Instant};

use crate::config::{MAX_NETIF, MAX_REVERSES, Role};
use crate::dial::{Authority, Host, OwnedHost};
use crate::log::Limiter;
use crate::net::{Flow, Kind};
use crate::pki::text::Text;

/// Reverse connections at a time.
pub const REVERSES: usize = MAX_REVERSES;

/// Messages about a reverse target that are logged at once; then one a minute.
const FAILURE_BURST: u32 = 6;
/// The same for peers that are served, and the ends of their connections.
const SERVED_BURST: u32 = 60;

/// One host that is dialled, or none.
pub(super) struct ReverseTarget {
    pub(super) plan: RefCell<Option<ReversePlan>>,
    pub(super) start: Signal<NoopRawMutex, ()>,
    pub(super) stop: Signal<NoopRawMutex, ()>,
    pub(super) stopped: Signal<NoopRawMutex, ()>,
    pub(super) stopping: Cell<bool>,
    /// The number of this use of the reverse target.
    pub(super) run: Cell<u32>,
    /// The number of the present connection, or else the last: one that goes on after its reverse target was stopped
    /// must not be taken for another's.
    pub(super) connection: Cell<u32>,
    /// The present connection has ended.
    pub(super) ended: Signal<NoopRawMutex, TryOutcome>,
    /// Whether it was established, and whether it has failed.
    pub(super) served_now: Cell<bool>,
    pub(super) faulted_now: Cell<bool>,
    pub(super) state: Cell<ReverseState>,
    pub(super) tries: Cell<u64>,
    served: Cell<u64>,
    /// Why the last try that failed did, and when.
    fault: Cell<Option<(Instant, Text<160>)>>,
    /// Failures and successes apart: many failures must not hide which peers are served.
    log: Limiter,
    talk: Limiter,
}

#[derive(Debug, Clone)]
pub(super) struct ReversePlan {
    pub(super) kind: Kind,
    pub(super) host: OwnedHost,
    pub(super) netif: heapless::String<MAX_NETIF>,
    pub(super) port: u16,
    pub(super) every: Duration,
    pub(super) role: Role,
    pub(super) through: bool,
}

/// `tls reverse to 10.0.2.2:20001`, or that and `through the proxy`.
impl fmt::Display for ReversePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let through = if self.through { " through the proxy" } else { "" };
        write!(
            f,
            "{} reverse to {}{through}",
            self.kind,
            Authority(self.host.get(), self.port)
        )
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) enum ReverseState {
    /// Connecting, or in the handshake.
    Dialling,
    /// Serving since then the subject of this certificate.
    Serving(Instant, Option<Text<96>>),
    /// The next try is then.
    Pausing(Instant),
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TryOutcome {
    /// The host was not reached, or no worker was free.
    Unreached,
    /// The host answered, but the connection was not established.
    Refused,
    /// The host was served.
    Served,
}

/// The reverse target for which a connection was dialled.
#[derive(Clone, Copy)]
pub(super) struct Dialled {
    pub(super) reverse: usize,
    pub(super) number: u32,
    pub(super) role: Role,
}

impl ReverseTarget {
    pub(super) fn new() -> Self {
        ReverseTarget {
            plan: RefCell::new(None),
            start: Signal::new(),
            stop: Signal::new(),
            stopped: Signal::new(),
            stopping: Cell::new(false),
            run: Cell::new(0),
            connection: Cell::new(0),
            ended: Signal::new(),
            served_now: Cell::new(false),
            faulted_now: Cell::new(false),
            state: Cell::new(ReverseState::Dialling),
            tries: Cell::new(0),
            served: Cell::new(0),
            fault: Cell::new(None),
            log: Limiter::new(FAILURE_BURST, Duration::from_secs(60)),
            talk: Limiter::new(SERVED_BURST, Duration::from_secs(60)),
        }
    }

    /// The connection with that number.
    pub(super) fn call(&self, number: u32) -> OutgoingCall<'_> {
        OutgoingCall { reverse: self, number }
    }

    pub(super) fn begin(&self, plan: ReversePlan) {
        self.run.set(self.run.get().wrapping_add(1));
        self.stop.reset();
        self.stopping.set(false);
        self.tries.set(0);
        self.served.set(0);
        self.fault.set(None);
        self.state.set(ReverseState::Dialling);
        self.plan.replace(Some(plan));
        self.start.signal(());
    }

    pub(super) fn end(&self) {
        // A connection that is still open does not report here any more.
        self.connection.set(self.connection.get().wrapping_add(1));
        if let Some(plan) = self.plan.take() {
            ::log::info!("{plan}: stopped");
        }
        self.stopped.signal(());
    }

    pub(super) fn goes_to(&self, kind: Kind, host: Host<'_>, port: u16) -> bool {
        let plan = self.plan.borrow();
        plan.as_ref()
            .is_some_and(|plan| (plan.kind, plan.host.get(), plan.port) == (kind, host, port))
    }

    pub(super) fn failed(&self, why: fmt::Arguments<'_>) {
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
}

/// A connection to a reverse target, about which its worker reports. Reports are dropped once the target was stopped.
#[derive(Clone, Copy)]
pub(super) struct OutgoingCall<'a> {
    reverse: &'a ReverseTarget,
    number: u32,
}

impl OutgoingCall<'_> {
    fn reverse(&self) -> Option<&ReverseTarget> {
        Some(self.reverse).filter(|reverse| reverse.connection.get() == self.number)
    }

    /// The other end is served from now on.
    pub(super) fn established(&self, subject: Option<Text<96>>) {
        let Some(reverse) = self.reverse() else { return };
        reverse.served_now.set(true);
        reverse.state.set(ReverseState::Serving(Instant::now(), subject));
        reverse.served.set(reverse.served.get().saturating_add(1));
        match subject {
            Some(subject) => reverse.report(::log::Level::Info, format_args!("serving {}", subject.as_str())),
            None => reverse.report(::log::Level::Info, format_args!("serving")),
        }
    }

    /// It has failed.
    pub(super) fn failed(&self, why: fmt::Arguments<'_>) {
        if let Some(reverse) = self.reverse() {
            reverse.failed(why);
        }
    }

    /// It is over.
    pub(super) fn ended(&self, flow: &Flow) {
        let Some(reverse) = self.reverse() else { return };
        let (received, echoed) = (flow.received(), flow.echoed());
        let (served, faulted) = (reverse.served_now.get(), reverse.faulted_now.get());
        if served && !faulted {
            let how = format_args!("peer closed the connection, in {received} out {echoed}");
            reverse.report(::log::Level::Info, how);
        }
        // A server of TLS 1.3 can refuse our certificate after our handshake is done.
        reverse.ended.signal(match served && (received > 0 || !faulted) {
            true => TryOutcome::Served,
            false => TryOutcome::Refused,
        });
    }
}

/// As whole lines of together at most 1,024 bytes.
impl fmt::Display for ReverseTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.plan.borrow();
        let Some(plan) = plan.as_ref() else { return Ok(()) };
        write!(f, "{plan}, every {} s: ", plan.every.as_secs())?;
        let now = Instant::now();
        match self.state.get() {
            ReverseState::Dialling => write!(f, "dialling")?,
            ReverseState::Serving(since, subject) => {
                write!(f, "serving")?;
                if let Some(subject) = subject {
                    write!(f, " {}", subject.as_str())?;
                }
                write!(f, " for {} s", now.saturating_duration_since(since).as_secs())?;
            }
            ReverseState::Pausing(until) => {
                // Rounded up: it is not over yet.
                let left = until.saturating_duration_since(now).as_millis().div_ceil(1000);
                write!(f, "next try in {left} s")?;
            }
        }
        let (tries, served) = (self.tries.get(), self.served.get());
        writeln!(f, ", tries: {tries}, served: {served}")?;
        match self.fault.get() {
            Some((when, why)) => {
                let ago = now.saturating_duration_since(when).as_secs();
                writeln!(f, "  last failure {ago} s ago: {}", why.as_str())
            }
            None => Ok(()),
        }
    }
}
