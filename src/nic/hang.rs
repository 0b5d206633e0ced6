//! A card that has stopped sending.

use embassy_time::{Duration, Instant};

use super::Link;

/// How long frames may wait in a card, while there is a link, before it is taken to hang.
pub(super) const HANG: Duration = Duration::from_secs(2);

/// The progress of a card in which frames wait, and the time since when it has been the same.
#[derive(Default)]
pub(super) struct Watch(Option<(usize, Instant)>);

impl Watch {
    /// The present time, if frames are `outstanding` and the progress has been `done` for too long. It then starts anew.
    pub(super) fn hangs(
        &mut self,
        outstanding: usize,
        done: usize,
        link: Link,
        now: impl FnOnce() -> Instant,
    ) -> Option<Instant> {
        if outstanding == 0 {
            self.0 = None;
            return None;
        }
        let now = now();
        match self.0 {
            // Without a link nothing goes out, and that is no hang.
            Some((before, since)) if before == done && link != Link::Down => {
                if now.saturating_duration_since(since) <= HANG {
                    return None;
                }
                self.0 = Some((done, now));
                Some(now)
            }
            _ => {
                self.0 = Some((done, now));
                None
            }
        }
    }
}
