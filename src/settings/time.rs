//! Times, in the forms that configuration and certificates have.

use crate::machine::clock;
use crate::pki::verify::Clock;
use embassy_time::Duration;

/// The time by which certificates are verified. A clock that is wrong gives a time before any certificate.
pub fn now() -> Clock {
    Clock {
        now: clock::unix_time().unwrap_or(0),
        floor: clock::BUILT,
    }
}

/// A number of seconds.
pub fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}
