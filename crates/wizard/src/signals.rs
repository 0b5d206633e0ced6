//! SIGHUP, SIGINT and SIGTERM, which have no effect once files change.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;

use crate::{Result, Stop};

#[derive(Default)]
struct Signals {
    /// Whether a signal stops the program immediately.
    fatal: Arc<AtomicBool>,
    /// The last signal received while held, or 0.
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
            // Without a handler the default action applies, and the next command removes the abandoned stage.
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

/// The number of [`Held`] values.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Holds signals while it exists.
pub(crate) struct Held(());

/// Holds signals.
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

/// Holds signals until the program ends, so that the exit status reports a completed change.
pub(crate) fn hold_to_the_end() {
    std::mem::forget(hold());
}

/// Fails if a signal was received.
pub(crate) fn check() -> Result<()> {
    match SIGNALS.get().map_or(0, |signals| signals.pending.load(SeqCst)) {
        0 => Ok(()),
        signal => Err(Stop::Signal(u8::try_from(signal).unwrap_or_default())),
    }
}
