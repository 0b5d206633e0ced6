//! The opening of a TCP connection: Happy Eyeballs, version 2 (RFC 8305).
//!
//! The addresses of a name are asked for in both families at once. Attempts begin with the first IPv6 address, or with
//! IPv4 when its answer has been there for [`RESOLUTION_DELAY`] and that of IPv6 has not; each further one, of the other
//! family in turn, when an attempt fails or after [`ATTEMPT_DELAY`]. The first connection wins, and dropping the other
//! attempts frees their slots. A family of which the interface has no address is left out (RFC 6724 §6, rule 1).

use core::fmt;
use core::future::{pending, poll_fn};
use core::net::{IpAddr, SocketAddr};
use core::pin::{Pin, pin};
use core::task::Poll;

use embassy_futures::select::{Either3, select3};
use embassy_time::{Duration, Instant, Timer};

use super::host::{CONNECT_TIMEOUT, Host};
use crate::net::{Addresses, ConnectError, Family, Network, ResolveError};

/// How long IPv4 addresses wait for the answer about IPv6 (RFC 8305 §3).
pub const RESOLUTION_DELAY: Duration = Duration::from_millis(50);

/// The time from the beginning of one attempt to the next (RFC 8305 §5).
pub const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The most addresses of a name that are tried, and the most connection slots taken at a time.
pub const MAX_ATTEMPTS: usize = 4;

/// Opens a connection to `host`. `random` returns an unpredictable number, another one each time.
pub(super) async fn open<N: Network>(
    network: &N,
    host: Host<'_>,
    port: u16,
    random: impl Fn() -> u64,
) -> Result<N::Stream, OpenError> {
    let name = match host {
        Host::Name(name) => name,
        Host::Address(address) => {
            let connected = network.connect(SocketAddr::new(address, port), CONNECT_TIMEOUT).await;
            return connected.map_err(|error| OpenError::Connect(address, error));
        }
    };
    let resolve = |family| network.resolve(name, family, random());
    let [v6, v4] = FAMILIES.map(|family| network.has_address(family));
    // Without any address the resolver's error says so.
    let mut questions = [
        pin!(v6.then(|| resolve(Family::V6))),
        pin!((v4 || !v6).then(|| resolve(Family::V4))),
    ];
    let mut attempts = [pin!(None), pin!(None), pin!(None), pin!(None)];
    let mut race = Race::new();
    loop {
        if let Some((number, address)) = race.begin(Instant::now())
            && let Some(attempt) = attempts.get_mut(number)
        {
            attempt.set(Some(network.connect(SocketAddr::new(address, port), CONNECT_TIMEOUT)));
        }
        let due = race.due();
        if !is_open(&attempts) && due.is_none() && (race.is_full() || !is_open(&questions)) {
            return Err(race.error(port));
        }
        let delay = async {
            match due {
                Some(due) => Timer::at(due).await,
                None => pending().await,
            }
        };
        let event = select3(first(&mut attempts), first(&mut questions), delay).await;
        match event {
            Either3::First((_, Ok(stream))) => return Ok(stream),
            Either3::First((number, Err(error))) => race.fail(number, error, Instant::now()),
            Either3::Second((number, answer)) => {
                let [v6, _] = &questions;
                race.answer(number, answer, v6.is_some(), Instant::now());
            }
            Either3::Third(()) => {}
        }
    }
}

/// Whether one of these futures is not done.
fn is_open<F>(futures: &[Pin<&mut Option<F>>]) -> bool {
    futures.iter().any(|future| future.is_some())
}

/// The number and output of the first of these futures that is done; it becomes `None`.
async fn first<F: Future>(futures: &mut [Pin<&mut Option<F>>]) -> (usize, F::Output) {
    poll_fn(|context| {
        for (number, slot) in futures.iter_mut().enumerate() {
            if let Some(future) = slot.as_mut().as_pin_mut()
                && let Poll::Ready(output) = future.poll(context)
            {
                slot.set(None);
                return Poll::Ready((number, output));
            }
        }
        Poll::Pending
    })
    .await
}

/// Both families, in the order in which they are preferred.
const FAMILIES: [Family; 2] = [Family::V6, Family::V4];

/// The addresses of one family, of which so many were tried.
#[derive(Default)]
struct Candidates {
    addresses: Addresses,
    tried: usize,
    error: Option<ResolveError>,
}

impl Candidates {
    fn peek(&self) -> Option<IpAddr> {
        self.addresses.get(self.tried).copied()
    }
}

/// The decisions of the race, without I/O and without a clock. Families are numbered as in [`FAMILIES`], attempts from 0.
struct Race {
    candidates: [Candidates; 2],
    /// The family of the next attempt, if it has addresses left.
    turn: usize,
    /// When the next attempt may begin.
    due: Instant,
    attempts: heapless::Vec<(IpAddr, Option<ConnectError>), MAX_ATTEMPTS>,
}

impl Race {
    fn new() -> Self {
        Race {
            candidates: Default::default(),
            turn: 0,
            due: Instant::MIN,
            attempts: heapless::Vec::new(),
        }
    }

    /// The number and address of the attempt that begins now, if one does.
    fn begin(&mut self, now: Instant) -> Option<(usize, IpAddr)> {
        self.due().filter(|&due| due <= now)?;
        let other = 1 - self.turn;
        let family = [self.turn, other]
            .into_iter()
            .find(|&family| self.peek(family).is_some())?;
        let address = self.peek(family)?;
        let number = self.attempts.len();
        self.attempts.push((address, None)).ok()?;
        if let Some(candidates) = self.candidates.get_mut(family) {
            candidates.tried += 1;
        }
        self.turn = 1 - family;
        self.due = now + ATTEMPT_DELAY;
        Some((number, address))
    }

    fn peek(&self, family: usize) -> Option<IpAddr> {
        self.candidates.get(family)?.peek()
    }

    /// When the next attempt begins; `None`: there is no address for one.
    fn due(&self) -> Option<Instant> {
        let left = self.candidates.iter().any(|candidates| candidates.peek().is_some());
        (left && !self.is_full()).then_some(self.due)
    }

    /// Whether no further address is tried.
    fn is_full(&self) -> bool {
        self.attempts.is_full()
    }

    /// Takes the answer about a family; `v6_open` states whether the one about IPv6 is still to come.
    fn answer(&mut self, family: usize, answer: Result<Addresses, ResolveError>, v6_open: bool, now: Instant) {
        if let Some(candidates) = self.candidates.get_mut(family) {
            match answer {
                Ok(addresses) => candidates.addresses = addresses,
                Err(error) => candidates.error = Some(error),
            }
        }
        if self.attempts.is_empty() {
            self.due = if v6_open { now + RESOLUTION_DELAY } else { now };
        }
    }

    /// Takes the failure of an attempt, after which the next begins at once.
    fn fail(&mut self, number: usize, error: ConnectError, now: Instant) {
        if let Some((_, failure)) = self.attempts.get_mut(number) {
            *failure = Some(error);
        }
        self.due = now;
    }

    /// Why there is no connection.
    fn error(&self, port: u16) -> OpenError {
        let [v6, v4] = &self.candidates;
        let mut failures = Failures {
            list: [None; MAX_ATTEMPTS],
            port,
        };
        for (slot, (address, failure)) in failures.list.iter_mut().zip(&self.attempts) {
            *slot = failure.map(|error| (*address, error));
        }
        match (v6.error, v4.error) {
            _ if !self.attempts.is_empty() => OpenError::Attempts(failures),
            (Some(ResolveError::NoAddress(_)), Some(ResolveError::NoAddress(_))) => OpenError::NoAddress,
            (Some(error), None | Some(ResolveError::NoAddress(_))) | (_, Some(error)) => OpenError::Resolve(error),
            (None, None) => OpenError::NoAddress,
        }
    }
}

/// Why no TCP connection came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenError {
    /// The addresses of the host are not known.
    Resolve(ResolveError),
    /// The name exists, but has no address of either family.
    NoAddress,
    /// This address, by which the host was dialled, was not reached.
    Connect(IpAddr, ConnectError),
    /// None of the addresses of the name was reached.
    Attempts(Failures),
}

/// The failed attempts at the addresses of a name, in the order in which they began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failures {
    list: [Option<(IpAddr, ConnectError)>; MAX_ATTEMPTS],
    port: u16,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Resolve(error) => error.fmt(f),
            OpenError::NoAddress => f.write_str("host has neither an IPv4 nor an IPv6 address"),
            OpenError::Connect(address, error) => write_failure(*address, *error, f),
            OpenError::Attempts(failures) => {
                let mut separator = "";
                for &(address, error) in failures.list.iter().flatten() {
                    f.write_str(separator)?;
                    write_failure(address, error, f)?;
                    write!(f, " ({})", SocketAddr::new(address, failures.port))?;
                    separator = "; ";
                }
                Ok(())
            }
        }
    }
}

impl core::error::Error for OpenError {}

/// Writes why an address was not reached.
fn write_failure(address: IpAddr, error: ConnectError, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let seconds = CONNECT_TIMEOUT.as_secs();
    match error {
        ConnectError::Refused => f.write_str("connection refused"),
        ConnectError::TimedOut => write!(f, "no answer within {seconds} s"),
        ConnectError::Unreachable => f.write_str("no address yet, or no route to the host"),
        ConnectError::NoNeighbor => {
            let protocol = if address.is_ipv4() { "ARP" } else { "neighbor discovery" };
            write!(
                f,
                "no answer to {protocol} within {seconds} s: the host or its gateway is down"
            )
        }
        ConnectError::NoIpv6 => f.write_str("IPv6 is off on this interface"),
        ConnectError::NoSlot => f.write_str("all connections of the interface are in use"),
        ConnectError::NoLink => f.write_str("the link is down"),
    }
}

#[cfg(test)]
mod tests;
