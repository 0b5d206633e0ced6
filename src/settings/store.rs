//! The configurations of TLS: the one in force, and those that running connections still use.
//!
//! Each has a place. Who serves or makes connections holds a [`Lease`] on one for as long as they last; a place is used
//! again when nobody holds one on it, and its keys are wiped as soon as that is so. The borrow checker is asked, at run
//! time: a lease is a `Ref`, and a place is written through a `RefMut`.

use core::cell::{Cell, Ref, RefCell};
use core::fmt;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embassy_sync::mutex::{Mutex, MutexGuard};
use embassy_sync::watch::{Receiver, Watch};
use embassy_time::Instant;
use postern::client::outbound_len;
use postern::config::{self, Config, Path, Scratch};
use postern::log::SECURITY;
use postern::machine::clock;
use postern::nic;
use postern::shell::secure::SESSION_SLOTS;
use postern::shell::{Paper, Refused};
use postern::tls::{FULL_INBOUND, Tickets};

use super::generation::{Generation, Text};
use super::report;
use super::time::now;
use super::tls::{Lists, Tls, UNUSABLE, ready, usable};
use crate::boot::symbols::{self, HeapUse};
use crate::memory::{self, Memory, Short};

/// Places for configurations beside the one that the machine starts with.
const PLACES: usize = 3;
/// The most bytes of a text that `tls reload` takes: what any defconfig may have, but for a bundle of CAs, which is not
/// taken up.
const PAPER: usize = 256 * 1024;
/// Free memory from which on there is room for other configurations than the first, in bytes.
const ENOUGH: usize = 6 * 1024 * 1024;
/// What a configuration's RSA keys may take of the heap while they are read and used, in bytes: see `boot::symbols`.
const RSA: usize = 64 * 1024;
/// Tasks that wait for a change: the slots of the debug shell over TLS, and the self-test.
const WAITERS: usize = SESSION_SLOTS * nic::MAX_CARDS + 1;

/// Why there is no `tls reload`.
const TOO_SMALL: &str = "the machine has too little memory for a second configuration: give it more (-m)";

/// Waits for changes.
pub(crate) type Changes = Receiver<'static, NoopRawMutex, u32, WAITERS>;

/// The configurations.
pub(crate) struct Store {
    /// The first is the one of the start, which is never written over.
    places: &'static [Place],
    current: Cell<usize>,
    changes: Watch<NoopRawMutex, u32, WAITERS>,
    /// How often another one was taken.
    count: Cell<u32>,
    /// What is needed to take another one.
    tools: Option<Tools>,
}

/// Inbound and outbound.
type Buffers = [&'static mut [u8]; 2];

struct Tools {
    paper: Mutex<NoopRawMutex, &'static mut [u8]>,
    scratch: RefCell<&'static mut Scratch>,
    /// Inbound and outbound, of the connection by which a configuration is fetched.
    buffers: Mutex<NoopRawMutex, Buffers>,
}

struct Place {
    leases: Cell<usize>,
    generation: RefCell<Generation>,
}

impl Generation {
    /// Reads the keys, and verifies the revocation lists.
    fn prepare(&mut self) {
        self.since = Instant::now();
        let signed_crls = Lists::of(Some(&*self)).signed_crls(self.config());
        self.signed_crls = signed_crls;
        self.rng = ready();
        let Ok(mut rng) = self.rng else { return };
        self.server = self.config().server().map_err(|_| UNUSABLE);
        self.client = self.config().client().map_err(|_| UNUSABLE);
        self.tickets = Tickets::new(&mut rng, now().now).ok();
    }
}

/// The use of a configuration, which does not change meanwhile.
pub(crate) struct Lease {
    /// Set until the lease ends.
    generation: Option<Ref<'static, Generation>>,
    store: &'static Store,
    index: usize,
}

impl Lease {
    fn get(&self) -> Option<&Generation> {
        self.generation.as_deref()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.generation = None;
        let Some(place) = self.store.places.get(self.index) else {
            return;
        };
        let left = place.leases.get().saturating_sub(1);
        place.leases.set(left);
        if left == 0 && self.store.current.get() != self.index {
            self.store.wipe(self.index);
        }
    }
}

impl Store {
    /// The configuration of the start, and places for others if there is memory for them.
    pub(crate) fn new(config: &'static Config, memory: &mut Memory) -> Result<&'static Self, Short> {
        let later = if memory.0.largest() < ENOUGH { 0 } else { PLACES };
        let mut configs = memory.slice(later, |_| Config::new())?.iter_mut();
        let tools = match later {
            0 => None,
            _ => {
                let [scratch] = memory.slice(1, |_| Scratch::new())? else {
                    return Ok(memory.value(Self::of(&[], None))?);
                };
                let paper = memory.buffer(PAPER)?;
                let buffers = [memory.buffer(FULL_INBOUND)?, memory.buffer(memory::OUTBOUND)?];
                Some(Tools {
                    paper: Mutex::new(paper),
                    scratch: RefCell::new(scratch),
                    buffers: Mutex::new(buffers),
                })
            }
        };
        let mut first = Some(config);
        let places = memory.slice(1 + later, |_| {
            let text = match first.take() {
                Some(config) => Text::First(config),
                // There are as many as places.
                None => configs.next().map_or(Text::First(config), Text::Later),
            };
            Place {
                leases: Cell::new(0),
                generation: RefCell::new(Generation::new(text)),
            }
        })?;
        let roots = usable(config, memory);
        for place in places.iter() {
            place.generation.borrow_mut().roots = roots;
        }
        if let Some(place) = places.first() {
            place.generation.borrow_mut().prepare();
        }
        let store: &'static Self = memory.value(Self::of(places, tools))?;
        store.announce_start();
        Ok(store)
    }

    /// Says what TLS is made of from the start on.
    fn announce_start(&'static self) {
        let lease = self.lease();
        let Some(generation) = lease.get() else { return };
        let lists = Lists::of(Some(generation));
        Tls::of(Some(generation), &lists.parts(Some(generation))).announce(generation);
    }

    fn of(places: &'static [Place], tools: Option<Tools>) -> Self {
        Self {
            places,
            current: Cell::new(0),
            changes: Watch::new(),
            count: Cell::new(0),
            tools,
        }
    }

    /// Whether another configuration can be taken.
    pub(crate) fn can_change(&self) -> bool {
        self.tools.is_some()
    }

    /// Tells of changes from now on.
    pub(crate) fn changes(&'static self) -> Option<Changes> {
        self.changes.receiver()
    }

    /// Begins to use the configuration in force.
    fn lease(&'static self) -> Lease {
        let index = self.current.get();
        let place = self.places.get(index);
        if let Some(place) = place {
            place.leases.set(place.leases.get().saturating_add(1));
        }
        Lease {
            // Only what is not in force is written to.
            generation: place.and_then(|place| place.generation.try_borrow().ok()),
            store: self,
            index,
        }
    }

    /// Does `work` with the configuration in force, which stays the same for it.
    pub(crate) async fn with<T>(&'static self, work: impl AsyncFnOnce(Tls<'_>) -> T) -> T {
        let lease = self.lease();
        let lists = Lists::of(lease.get());
        let parts = lists.parts(lease.get());
        work(Tls::of(lease.get(), &parts)).await
    }

    /// The same for what takes no time.
    pub(crate) fn look<T>(&'static self, work: impl FnOnce(Tls<'_>) -> T) -> T {
        let lease = self.lease();
        let lists = Lists::of(lease.get());
        let parts = lists.parts(lease.get());
        work(Tls::of(lease.get(), &parts))
    }

    /// The paper to write a configuration on.
    pub(crate) fn paper(&self) -> Result<Paper<'_>, &'static str> {
        let tools = self.tools.as_ref().ok_or(TOO_SMALL)?;
        Paper::take(&tools.paper)
            .ok_or("another session is reloading the configuration; try again when it has finished")
    }

    /// The buffers to fetch a configuration with.
    pub(crate) fn buffers(&self) -> Option<MutexGuard<'_, NoopRawMutex, Buffers>> {
        self.tools.as_ref()?.buffers.try_lock().ok()
    }

    /// Takes another configuration, in whole or not at all. `out` is told what was ignored, or why it was refused.
    pub(crate) fn replace(&'static self, text: &[u8], out: &mut dyn fmt::Write) -> Result<(), Refused> {
        let refuse = |why: fmt::Arguments<'_>, out: &mut dyn fmt::Write| {
            let _ = out.write_fmt(why);
            Refused
        };
        let Some(tools) = &self.tools else {
            return Err(refuse(format_args!("{TOO_SMALL}"), out));
        };
        let current = self.current.get();
        let free = |place: &&(usize, &Place)| {
            let (index, place) = place;
            *index != 0 && *index != current && place.leases.get() == 0
        };
        let numbered = self.places.iter().enumerate();
        let Some((index, place)) = numbered.clone().find(|place| free(&place)) else {
            let old = numbered.filter(|(index, _)| *index != current && *index != 0);
            let count: usize = old.map(|(_, place)| place.leases.get()).sum();
            let why = format_args!(
                "{} still use configurations before the present one, and there is room for {PLACES}: \
                 close them or wait",
                report::connections(count)
            );
            return Err(refuse(why, out));
        };
        let HeapUse { used, size, .. } = symbols::heap();
        if size.saturating_sub(used) < RSA {
            let why = format_args!(
                "the RSA keys of earlier configurations, which connections still use, leave no memory for others: close \
                 them or wait"
            );
            return Err(refuse(why, out));
        }
        let (Ok(mut generation), Ok(mut scratch)) = (place.generation.try_borrow_mut(), tools.scratch.try_borrow_mut())
        else {
            return Err(refuse(format_args!("another session is at it"), out));
        };
        let generation = &mut *generation;
        let taken = self.take(generation, &mut scratch, text, out);
        if taken.is_err() {
            generation.wipe();
            return taken;
        }
        let number = self.count.get().saturating_add(1);
        self.count.set(number);
        generation.number = number;
        self.current.set(index);
        if self.places.get(current).is_some_and(|place| place.leases.get() == 0) {
            self.wipe(current);
        }
        ::log::info!(target: SECURITY, "tls: configuration {number} is in force for new connections");
        Ok(())
    }

    /// Tells those who wait that another configuration is in force.
    pub(crate) fn announce(&self) {
        self.changes.sender().send(self.count.get());
    }

    fn take(
        &'static self,
        generation: &mut Generation,
        scratch: &mut Scratch,
        text: &[u8],
        out: &mut dyn fmt::Write,
    ) -> Result<(), Refused> {
        let refuse = |why: &dyn fmt::Display, out: &mut dyn fmt::Write| {
            let _ = write!(out, "{why}");
            Refused
        };
        let Text::Later(config) = &mut generation.config else {
            return Err(refuse(&TOO_SMALL, out));
        };
        let running = self.lease();
        let Some(running) = running.get() else {
            return Err(refuse(&"another session is at it", out));
        };
        let pasted = config::is_pem(text);
        if pasted {
            config.reset();
            config.take_tls(running.config());
            config.take_pem(text).map_err(|error| refuse(&error, out))?;
        } else {
            config.parse(text, scratch).map_err(|error| refuse(&error, out))?;
            if config.places.get(Path::Tls).is_none() {
                let why = "there is no .tls in it, nor a PEM block at the beginning of a line";
                return Err(refuse(&why, out));
            }
            if config.tls.srv_cert.is_empty() {
                return Err(refuse(&"there is no .tls.srv_cert in it: nothing could be served", out));
            }
            let others = [
                Path::Vmm,
                Path::Ip,
                Path::Proxy,
                Path::Echo,
                Path::Selftest,
                Path::RootCerts,
            ];
            for other in others.into_iter().filter(|path| config.places.get(*path).is_some()) {
                let _ = writeln!(out, "{other} is ignored: it is taken up at a start only.");
            }
        }
        config.take_rest(running.config());
        let now =
            clock::unix_time().map_err(|_| refuse(&"the real-time clock is wrong: no date can be judged", out))?;
        let kept = config.keep_crls(running.config(), pasted, now);
        let checked = kept.and_then(|()| config.check(now, clock::BUILT));
        checked.map_err(|error| refuse(&error, out))?;
        config.warnings(&mut |warning| {
            ::log::warn!("tls: {warning}");
            let _ = writeln!(out, "Warning: {warning}.");
        });
        generation.prepare();
        let lists = Lists::of(Some(generation));
        let parts = lists.parts(Some(generation));
        let tls = Tls::of(Some(generation), &parts);
        let server = tls.server.map_err(|why| refuse(&why, out))?;
        if let Some(trust) = tls.trust {
            trust.check().map_err(|error| refuse(&error, out))?;
        }
        // No outbound buffer has less where the configuration can change, and the self-test's buffer is for that much.
        let room = memory::OUTBOUND;
        let client = server.mutual.map_or(0, |mutual| mutual.client.flight_len());
        let own = tls.client.map_or(0, |client| outbound_len(&client.config));
        let needed = server.config.flight_len().max(client).max(own);
        if needed > room {
            let why = format_args!(
                "certificate chains too long: need {needed} bytes, but the buffers allocated at boot hold {room}; reboot \
                 with this configuration as the boot module"
            );
            return Err(refuse(&why, out));
        }
        tls.announce(generation);
        Ok(())
    }

    /// Forgets the keys of a configuration that nobody uses any more.
    fn wipe(&self, index: usize) {
        let generation = self.places.get(index).map(|place| place.generation.try_borrow_mut());
        if let Some(Ok(mut generation)) = generation {
            generation.wipe();
        }
    }

    /// Writes that piece of what is served and trusted: see [`postern::shell::Host::report`].
    pub(crate) fn report(&'static self, piece: usize, out: &mut dyn fmt::Write) -> Option<usize> {
        const AUTHORITIES: usize = 3;
        const ROOTS: usize = AUTHORITIES + config::MAX_CERTIFICATES;
        const LISTS: usize = ROOTS + 1;
        let lease = self.lease();
        let generation = lease.get()?;
        let _ = match piece {
            0 => self.write_status(generation, out),
            1 => report::server(generation, out),
            2 => report::client(generation, out),
            AUTHORITIES..ROOTS => report::authority(generation, piece - AUTHORITIES, out),
            ROOTS => report::roots(generation, out),
            _ => {
                report::list(generation, piece - LISTS, out).ok()?;
                return Some(piece + 1).filter(|next| *next < LISTS + config::MAX_CRLS);
            }
        };
        Some(piece + 1)
    }

    /// Which configuration is in force since when, and who uses others.
    fn write_status(&self, generation: &Generation, out: &mut dyn fmt::Write) -> fmt::Result {
        let seconds = generation.since.elapsed().as_secs();
        match generation.number {
            0 => writeln!(out, "configuration 0: of the start, {seconds} s ago")?,
            number => writeln!(out, "configuration {number}: by tls reload, {seconds} s ago")?,
        }
        let current = self.current.get();
        for (_, place) in self.places.iter().enumerate().filter(|(index, _)| *index != current) {
            let (users, generation) = (place.leases.get(), place.generation.try_borrow());
            if let (1.., Ok(generation)) = (users, generation) {
                let number = generation.number;
                writeln!(
                    out,
                    "configuration {number} is still used by {}",
                    report::connections(users)
                )?;
            }
        }
        report::rules(generation, out)
    }
}
