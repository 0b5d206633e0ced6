//! Times as the configuration and the certificates want them.

use embassy_time::Duration;
use postern::machine::clock;
use postern::pki::verify::Clock;

/// The time by which certificates are judged. A clock that is wrong tells a time that no certificate outlives.
pub(crate) fn now() -> Clock {
    Clock {
        now: clock::unix_time().unwrap_or(0),
        floor: clock::BUILT,
    }
}

/// A number of seconds.
pub(crate) fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}
