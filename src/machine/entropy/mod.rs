//! Random numbers: tested sources and a generator that fails closed.
//!
//! RDSEED, RDRAND and a virtio entropy device, each watched by health tests ([`health`]), go through SHA-256 into the
//! key of a ChaCha20 generator. The generator erases fast: each time it makes numbers it first makes its next key, and
//! keeps nothing of what it made, so that its state reveals nothing about the past. Sources are mixed in
//! again every ten minutes, and after each MiB. Without a healthy source there is no generator at all ([`NoEntropy`]).
//!
//! Two machines resumed from one snapshot have one state. So each use mixes in the time stamp counter, 32 bytes of
//! RDRAND or RDSEED, and the VM Generation ID; a new ID also has the sources mixed in again. Where the CPU has neither
//! instruction, and the hypervisor no ID, the counter alone has to differ, and `status` reports it.

pub mod health;

mod cpu;
mod generation;
mod virtio;

use super::acpi::Acpi;
use super::memory::Arena;
use super::pci::Function;
use super::virtio_mmio;
use chacha20::ChaCha20Rng;
use core::cell::RefCell;
use core::convert::Infallible;
use core::fmt;
use critical_section::Mutex;
use embassy_time::{Duration, Instant, Timer};
use health::{Fault, Health, START_UP};
use rand_core::{Rng as _, SeedableRng, TryCryptoRng, TryRng};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The generator. All handles share it.
#[derive(Debug, Clone, Copy)]
pub struct Rng(());

/// There is no source of entropy that is present and healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEntropy;

impl fmt::Display for NoEntropy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no entropy: the CPU has neither RDSEED nor RDRAND, and there is no virtio entropy device")
    }
}

impl core::error::Error for NoEntropy {}

/// Where entropy comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The CPU's entropy source.
    Rdseed,
    /// The CPU's generator.
    Rdrand,
    /// The host, by a virtio entropy device.
    Virtio,
}

impl Source {
    /// All of them.
    pub const ALL: [Source; 3] = [Source::Rdseed, Source::Rdrand, Source::Virtio];

    /// Its name, for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rdseed => "rdseed",
            Self::Rdrand => "rdrand",
            Self::Virtio => "virtio-rng",
        }
    }
}

/// How a source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// It does not exist here.
    #[default]
    Absent,
    /// It exists, and has not passed the start-up test yet.
    Starting,
    /// It is in use.
    Healthy,
    /// It failed a health test, and is not used again.
    Failed(Fault),
    /// It exists and gives nothing, or cannot be driven.
    Silent,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => f.write_str("absent"),
            Self::Starting => f.write_str("starting"),
            Self::Healthy => f.write_str("healthy"),
            Self::Failed(fault) => fault.fmt(f),
            Self::Silent => f.write_str("gives nothing"),
        }
    }
}

/// Sources and generator, for `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Each source's state, and the bytes taken from it, in the order of [`Source::ALL`].
    pub sources: [(State, u64); 3],
    /// How often the generator was seeded; 0: there is none.
    pub seeded: u64,
    /// Bytes that it gave.
    pub given: u64,
    /// The source of which something is mixed in at each use.
    pub fresh: Option<Source>,
    /// Uses without anything of a source.
    pub bare: u64,
    /// Whether there is a VM Generation ID, which is mixed in at each use.
    pub has_generation_id: bool,
}

/// The generator, if there is enough entropy for one.
pub fn rng() -> Result<Rng, NoEntropy> {
    with(|pool| if pool.seeded > 0 { Ok(Rng(())) } else { Err(NoEntropy) })
}

/// Finds the sources, tests them, and seeds the generator. A device on the bus is waited for only where the CPU has
/// nothing to offer, and [`VIRTIO_TIMEOUT`] at the most; if it answers later, it counts from then on ([`keep_fresh`]).
pub fn init(functions: &[Function], devices: &[virtio_mmio::Device], acpi: &Acpi, arena: &mut Arena) {
    generation::init(acpi);
    with(|pool| pool.has_new_generation(generation::current()));
    let device = virtio::find(functions, devices, arena);
    with(|pool| {
        pool.present(Source::Rdseed, super::cpu::has("rdseed"));
        pool.present(Source::Rdrand, super::cpu::has("rdrand"));
        pool.present(Source::Virtio, device.is_some());
    });
    match device {
        Some(Ok(mut device)) => {
            device.request(virtio::REQUEST);
            critical_section::with(|cs| DEVICE.borrow_ref_mut(cs).replace(device));
        }
        Some(Err(reason)) => {
            log::warn!("entropy: the virtio device cannot be used: {reason}");
            with(|pool| pool.silent(Source::Virtio));
        }
        None => {}
    }
    gather(START_UP);
    let start = Instant::now();
    while rng().is_err() && with(|pool| pool.is_starting(Source::Virtio)) && start.elapsed() < VIRTIO_TIMEOUT {
        core::hint::spin_loop();
        gather(0);
    }
}

/// Mixes the sources in again, now and then. To be run as a task.
pub async fn keep_fresh() -> ! {
    loop {
        let starting = with(|pool| pool.is_starting(Source::Virtio));
        Timer::after(if starting { RETRY } else { RESEED_AFTER }).await;
        gather(RESEED);
    }
}

/// Sources and generator as they are.
pub fn status() -> Status {
    with(|pool| Status {
        sources: pool.meters.each_ref().map(|meter| (meter.state, meter.bytes)),
        seeded: pool.seeded,
        given: pool.generator.given,
        fresh: pool.fresh_source(),
        bare: pool.bare,
        has_generation_id: pool.generation != [0; 2],
    })
}

impl TryRng for Rng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        if with(|pool| pool.has_new_generation(generation::current())) {
            log::info!("entropy: new VM generation ID, reseeded from all sources");
            gather(RESEED);
        }
        let due = with(|pool| {
            pool.fill(target, super::clock::tsc(), cpu::fresh);
            pool.generator.since_seed > RESEED_BYTES
        });
        if due {
            gather(RESEED);
        }
        Ok(())
    }
}

impl TryCryptoRng for Rng {}

/// How long to wait for a device at boot, where it is the only source.
pub const VIRTIO_TIMEOUT: Duration = Duration::from_millis(250);
/// How often to look for a device's first answer.
const RETRY: Duration = Duration::from_millis(100);
/// How often to mix the sources in again.
const RESEED_AFTER: Duration = Duration::from_secs(600);
/// After how many bytes to mix them in again.
const RESEED_BYTES: u64 = 1 << 20;
/// Bytes to take from each source then: 256 bits, at the 4 bits a byte that the health tests assume.
const RESEED: usize = 64;
/// The least bytes of healthy sources that make a seed: likewise.
const ENOUGH: usize = 64;

/// Bytes of a CPU's source to mix in at each use: 128 bits, at the 4 bits a byte that the health tests assume.
const FRESH: usize = 32;
/// The sources that can give them at once, the faster one first.
const AT_ONCE: [Source; 2] = [Source::Rdrand, Source::Rdseed];

static POOL: Mutex<RefCell<Pool>> = Mutex::new(RefCell::new(Pool::new()));
static DEVICE: Mutex<RefCell<Option<virtio::Device>>> = Mutex::new(RefCell::new(None));

fn with<R>(f: impl FnOnce(&mut Pool) -> R) -> R {
    critical_section::with(|cs| f(&mut POOL.borrow_ref_mut(cs)))
}

/// Takes `len` bytes of each source that can give them at once, what the device has answered, and seeds.
fn gather(len: usize) {
    with(|pool| {
        let mut bytes = [0; START_UP];
        for (source, fill) in [
            (Source::Rdseed, cpu::rdseed as fn(&mut [u8]) -> bool),
            (Source::Rdrand, cpu::rdrand),
        ] {
            let wanted = bytes.get_mut(..len).unwrap_or_default();
            if len > 0 && pool.is_usable(source) {
                if fill(wanted) {
                    pool.add(source, wanted);
                } else {
                    pool.silent(source);
                }
            }
        }
        bytes.zeroize();
        critical_section::with(|cs| {
            if let Some(device) = DEVICE
                .borrow_ref_mut(cs)
                .as_mut()
                .filter(|_| pool.is_usable(Source::Virtio))
            {
                if let Some(answer) = device.answer() {
                    pool.add(Source::Virtio, answer);
                    answer.zeroize();
                }
                // The next one's answer is there when it is time to reseed.
                device.request(if pool.is_starting(Source::Virtio) {
                    virtio::REQUEST
                } else {
                    RESEED
                });
            }
        });
        pool.seed(&super::clock::tsc().to_le_bytes());
    });
}

/// The state of a source.
struct Meter {
    state: State,
    health: Health,
    /// Bytes taken from it, and tested.
    bytes: u64,
}

struct Pool {
    meters: [Meter; 3],
    /// The bytes since the last seed.
    gathered: Option<Sha256>,
    /// Bytes of it that are from healthy sources.
    credit: usize,
    seeded: u64,
    /// Uses without anything of a source.
    bare: u64,
    /// The VM Generation ID at the last use.
    generation: generation::Id,
    generator: Generator,
}

impl Pool {
    const fn new() -> Self {
        const METER: Meter = Meter {
            state: State::Absent,
            health: Health::new(),
            bytes: 0,
        };
        Self {
            meters: [METER; 3],
            gathered: None,
            credit: 0,
            seeded: 0,
            bare: 0,
            generation: [0; 2],
            generator: Generator::new(),
        }
    }

    fn present(&mut self, source: Source, present: bool) {
        self.meters[source as usize].state = if present { State::Starting } else { State::Absent };
    }

    fn silent(&mut self, source: Source) {
        self.meters[source as usize].state = State::Silent;
    }

    fn is_usable(&self, source: Source) -> bool {
        matches!(self.meters[source as usize].state, State::Starting | State::Healthy)
    }

    fn is_starting(&self, source: Source) -> bool {
        self.meters[source as usize].state == State::Starting
    }

    /// Tests what came from a source and takes it in. Until it has passed the start-up test it earns no credit.
    fn add(&mut self, source: Source, bytes: &[u8]) {
        let meter = &mut self.meters[source as usize];
        if let Err(fault) = meter.health.test(bytes) {
            meter.state = State::Failed(fault);
            return;
        }
        meter.bytes += bytes.len() as u64;
        if meter.state == State::Healthy {
            self.credit += bytes.len();
        } else if meter.bytes >= START_UP as u64 {
            meter.state = State::Healthy;
            // All of it was tested now.
            self.credit += meter.bytes as usize;
        }
        let gathered = self.gathered.get_or_insert_with(Sha256::new);
        gathered.update([source as u8]);
        gathered.update((bytes.len() as u64).to_le_bytes());
        gathered.update(bytes);
    }

    /// Makes a new key of the old one and what was gathered, if that is enough. `extra` is mixed in without credit.
    fn seed(&mut self, extra: &[u8]) {
        if self.credit < ENOUGH {
            return;
        }
        let Some(mut gathered) = self.gathered.take() else {
            return;
        };
        gathered.update(extra);
        let mut digest = gathered.finalize();
        self.generator.seed(&digest);
        digest.as_mut_slice().zeroize();
        self.credit = 0;
        self.seeded += 1;
    }

    /// Whether the VM Generation ID is another one than at the last use.
    fn has_new_generation(&mut self, id: generation::Id) -> bool {
        core::mem::replace(&mut self.generation, id) != id
    }

    /// The source to mix in at each use.
    fn fresh_source(&self) -> Option<Source> {
        let healthy = |source: &Source| self.meters[*source as usize].state == State::Healthy;
        AT_ONCE.into_iter().find(healthy)
    }

    /// Makes numbers, after mixing in `tsc`, the VM Generation ID and bytes of the first healthy source that `ask` can read
    /// at once. They are tested like all bytes of a source; one that fails is not used again, and an empty one is skipped.
    fn fill(&mut self, target: &mut [u8], tsc: u64, mut ask: impl FnMut(Source, &mut [u8]) -> bool) {
        let mut fresh = [0; FRESH];
        let mixed = AT_ONCE.into_iter().any(|source| {
            let meter = &mut self.meters[source as usize];
            if meter.state != State::Healthy || !ask(source, &mut fresh) {
                return false;
            }
            if let Err(fault) = meter.health.test(&fresh) {
                meter.state = State::Failed(fault);
                return false;
            }
            meter.bytes += FRESH as u64;
            true
        });
        self.bare += u64::from(!mixed);
        self.generator
            .fill(target, [tsc, self.generation[0], self.generation[1]], &fresh);
        fresh.zeroize();
    }
}

/// ChaCha20 with fast key erasure (<https://blog.cr.yp.to/20170723-random.html>): each use makes a key of the old one and
/// of what is fresh, and of that first the next key, then the numbers. Nothing is made in advance.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Generator {
    key: [u8; 32],
    given: u64,
    since_seed: u64,
}

impl Generator {
    const fn new() -> Self {
        Self {
            key: [0; 32],
            given: 0,
            since_seed: 0,
        }
    }

    fn seed(&mut self, seed: &[u8]) {
        self.mix(b"postern generator", &[seed]);
        self.since_seed = 0;
    }

    /// Derives the next key from the present one and these bytes.
    fn mix(&mut self, label: &[u8], parts: &[&[u8]]) {
        let mut hash = Sha256::new().chain_update(label).chain_update(self.key);
        for part in parts {
            hash.update(part);
        }
        let mut key = hash.finalize();
        self.key.copy_from_slice(&key);
        key.as_mut_slice().zeroize();
    }

    /// `numbers`: the TSC and the VM Generation ID.
    fn fill(&mut self, target: &mut [u8], numbers: [u64; 3], fresh: &[u8; FRESH]) {
        self.given += target.len() as u64;
        self.since_seed += target.len() as u64;
        let [tsc, low, high] = numbers.map(u64::to_le_bytes);
        self.mix(b"postern use", &[&tsc, &low, &high, fresh]);
        // Wiped when it is dropped.
        let mut rng = ChaCha20Rng::from_seed(self.key);
        rng.fill_bytes(&mut self.key);
        rng.fill_bytes(target);
    }
}

#[cfg(test)]
mod tests;
