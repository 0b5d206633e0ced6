//! Validation of SYN, RST and ICMP ahead of smoltcp, and half-open connections.
//!
//! smoltcp has one socket, with its buffers, for each SYN, draws initial sequence numbers from a predictable
//! generator, obeys every RST in the window and reads no ICMP errors. Hence this module answers SYNs itself from a
//! [`Table`] of half-open connections. When a handshake completes, [`replay`] brings a socket to where it would be had
//! it answered the SYN. Sequence numbers and ports come from a [`Secret`]. Segments of open connections pass without a
//! further lookup: only RST and SYN are looked at ([`check`]).
//!
//! Everything here is keyed by `IpAddress`: both families share one table.

mod check;
mod packet;
mod replay;
mod secret;

#[cfg(test)]
pub(super) mod tests;

use smoltcp::wire::{EthernetAddress, IpEndpoint};

pub(super) use check::{Action, TooBig, check, is_in_flight, rcv_nxt, snd_max, snd_una};
pub(super) use packet::{MAX_LEN, Offer, SynOptions, probe, reset, syn_ack};
pub(super) use replay::{connect, replay};
pub(super) use secret::{Flow, Secret, after};

/// Entries of one bucket of the table.
const WAYS: usize = 8;
/// The least half-open connections of an interface: at 5,000 SYNs a second, 500 come in a round trip of 100 ms, on average
/// two in each bucket.
pub(super) const MIN_HALF_OPEN: usize = 2048;
/// The most half-open connections of an interface.
pub(super) const MAX_HALF_OPEN: usize = 32_768;
/// The table is swept in so many parts, one each [`SWEEP`].
const PARTS: usize = 4;
/// How often a part of the table is swept, in microseconds.
const SWEEP: i64 = 100_000;
/// A SYN-ACK is sent again when its entry is so old, in milliseconds (RFC 6298 §2.1, §5.5: 1 s, then doubled).
const RESEND: [u32; 2] = [1_000, 3_000];
/// SYN-ACKs that one sweep sends again.
pub(super) const RESEND_BURST: usize = 64;

const _: () = assert!(size_of::<HalfOpen>() <= 48);

/// A connection whose SYN was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HalfOpen {
    /// The peer.
    pub(super) remote: IpEndpoint,
    /// Our port; 0: the entry is free.
    pub(super) local_port: u16,
    /// Where the SYN came from, and its answer goes to.
    pub(super) mac: EthernetAddress,
    /// The peer's initial sequence number.
    pub(super) irs: u32,
    /// Ours.
    pub(super) iss: u32,
    /// When the SYN came, in milliseconds since boot.
    born: u32,
    /// The options of the SYN.
    pub(super) options: SynOptions,
    /// How often the SYN-ACK was sent again.
    resent: u8,
    /// The number of our address: see [`Flow::number`].
    pub(super) number: u8,
}

impl HalfOpen {
    /// An entry for a SYN.
    pub(super) fn new(flow: &Flow, mac: EthernetAddress, irs: u32, iss: u32, options: SynOptions, now: i64) -> Self {
        Self {
            remote: flow.remote,
            local_port: flow.local.port,
            mac,
            irs,
            iss,
            born: millis(now),
            options,
            resent: 0,
            number: flow.number,
        }
    }

    /// A free entry.
    pub(super) const fn free() -> Self {
        Self {
            remote: IpEndpoint {
                addr: smoltcp::wire::IpAddress::Ipv4(core::net::Ipv4Addr::UNSPECIFIED),
                port: 0,
            },
            local_port: 0,
            mac: EthernetAddress([0; 6]),
            irs: 0,
            iss: 0,
            born: 0,
            options: SynOptions::NONE,
            resent: 0,
            number: 0,
        }
    }

    fn is_free(&self) -> bool {
        self.local_port == 0
    }

    /// Its age in microseconds: the round-trip time when the handshake completes.
    pub(super) fn age(&self, now: i64) -> i64 {
        i64::from(millis(now).wrapping_sub(self.born)) * 1_000
    }
}

fn millis(micros: i64) -> u32 {
    (micros / 1_000) as u32
}

/// The result of a sweep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// The SYN-ACK of this entry is to be sent again.
    Resend(HalfOpen),
    /// An entry's time was up.
    Expired,
}

/// The half-open connections: a hash table whose bucket evicts one of its own when it is full.
pub(super) struct Table {
    entries: &'static mut [HalfOpen],
    len: usize,
    /// How long an entry lives, in milliseconds.
    lifetime: u32,
    part: usize,
    sweep_at: i64,
}

impl Table {
    /// An empty table; `lifetime` in microseconds.
    pub(super) fn new(entries: &'static mut [HalfOpen], lifetime: i64) -> Self {
        Self {
            entries,
            len: 0,
            lifetime: millis(lifetime),
            part: 0,
            sweep_at: i64::MAX,
        }
    }

    /// How many connections are half open.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// When the next sweep is due, in microseconds.
    pub(super) fn sweep_at(&self) -> i64 {
        self.sweep_at
    }

    /// The entry of a connection.
    pub(super) fn find(&mut self, flow: &Flow) -> Option<HalfOpen> {
        if self.len == 0 {
            return None;
        }
        self.bucket(flow).iter().find(|entry| is_of(entry, flow)).copied()
    }

    /// Adds an entry for a connection that has none. True if another entry had to go: the oldest in the bucket, since an
    /// honest peer answers soon. No peer can choose the bucket, whose number is a keyed hash.
    pub(super) fn insert(&mut self, flow: &Flow, entry: HalfOpen, now: i64) -> bool {
        let age = |old: &HalfOpen| match old.is_free() {
            true => u64::MAX,
            false => millis(now).wrapping_sub(old.born).into(),
        };
        let Some(place) = self.bucket(flow).iter_mut().max_by_key(|old| age(old)) else {
            return false;
        };
        let evicted = !core::mem::replace(place, entry).is_free();
        self.len += usize::from(!evicted);
        if self.sweep_at == i64::MAX {
            self.sweep_at = now.saturating_add(SWEEP);
        }
        evicted
    }

    /// Removes the entry of a connection.
    pub(super) fn remove(&mut self, flow: &Flow) {
        if let Some(entry) = self.bucket(flow).iter_mut().find(|entry| is_of(entry, flow)) {
            *entry = HalfOpen::free();
            self.len -= 1;
        }
        self.rest();
    }

    /// Removes all entries.
    pub(super) fn clear(&mut self) {
        self.entries.fill(HalfOpen::free());
        self.len = 0;
        self.rest();
    }

    /// Looks at a part of the table if it is time: which entries have expired, and whose SYN-ACK is to be sent again.
    /// None is sent again while more than half of the table is taken: a flood would be reflected three times.
    pub(super) fn sweep(&mut self, now: i64, mut due: impl FnMut(Due)) {
        if now < self.sweep_at {
            return;
        }
        self.sweep_at = now.saturating_add(SWEEP);
        let size = self.entries.len().div_ceil(PARTS);
        let start = self.part * size;
        self.part = (self.part + 1) % PARTS;
        let mut left = if self.len > self.entries.len() / 2 {
            0
        } else {
            RESEND_BURST
        };
        let mut expired = 0;
        for entry in self.entries.iter_mut().skip(start).take(size) {
            if entry.is_free() {
                continue;
            }
            let age = millis(now).wrapping_sub(entry.born);
            if age >= self.lifetime {
                *entry = HalfOpen::free();
                expired += 1;
                due(Due::Expired);
            } else if left > 0 && RESEND.get(usize::from(entry.resent)).is_some_and(|&at| age >= at) {
                entry.resent += 1;
                left -= 1;
                due(Due::Resend(*entry));
            }
        }
        self.len -= expired;
        self.rest();
    }

    fn rest(&mut self) {
        if self.len == 0 {
            self.sweep_at = i64::MAX;
        }
    }

    fn bucket(&mut self, flow: &Flow) -> &mut [HalfOpen] {
        let buckets = (self.entries.len() / WAYS).max(1);
        let start = flow.bucket() % buckets * WAYS;
        self.entries.get_mut(start..start + WAYS).unwrap_or_default()
    }
}

fn is_of(entry: &HalfOpen, flow: &Flow) -> bool {
    entry.local_port == flow.local.port && entry.number == flow.number && entry.remote == flow.remote
}
