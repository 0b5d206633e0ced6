//! SIGHUP, SIGINT and SIGTERM: they end the program until files are written.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::{Result, Stop};

#[derive(Default)]
struct Signals {
    /// Whether a signal ends the program at once.
    fatal: Arc<AtomicBool>,
    /// The last signal that came while it did not; 0 if none did.
    pending: Arc<AtomicUsize>,
}

static SIGNALS: OnceLock<Signals> = OnceLock::new();

/// Installs the handlers. A signal that the parent process ignores, as nohup does, stays ignored.
pub(crate) fn install() {
    let signals = SIGNALS.get_or_init(Signals::default);
    signals.fatal.store(true, SeqCst);
    let ignored = ignored();
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        if ignored >> (signal - 1) & 1 == 0 {
            // Without a handler the default action is left, and the next start removes what that leaves behind.
            let _ = flag::register_conditional_shutdown(signal, 128 + signal, signals.fatal.clone())
                .and_then(|_| flag::register_usize(signal, signals.pending.clone(), signal as usize));
        }
    }
}

/// The mask of ignored signals.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

/// How many [`Held`] there are.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// While one exists, signals wait.
pub(crate) struct Held(());

/// Lets signals wait.
pub(crate) fn hold() -> Held {
    HELD.fetch_add(1, SeqCst);
    if let Some(signals) = SIGNALS.get() {
        signals.fatal.store(false, SeqCst);
    }
    Held(())
}

impl Drop for Held {
    fn drop(&mut self) {
        if HELD.fetch_sub(1, SeqCst) == 1
            && let Some(signals) = SIGNALS.get()
        {
            signals.fatal.store(true, SeqCst);
        }
    }
}

/// Lets signals wait until the program ends: once something was changed, the exit status has to say so.
pub(crate) fn hold_to_the_end() {
    std::mem::forget(hold());
}

/// Fails if a signal has come.
pub(crate) fn check() -> Result<()> {
    match SIGNALS.get().map_or(0, |signals| signals.pending.load(SeqCst)) {
        0 => Ok(()),
        signal => Err(Stop::Signal(u8::try_from(signal).unwrap_or_default())),
    }
}
