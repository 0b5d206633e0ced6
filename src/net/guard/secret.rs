//! The secret of an interface: unpredictable sequence numbers, ports, seeds.

use core::cell::Cell;
use core::hash::{Hash, Hasher};

use smoltcp::wire::IpEndpoint;

/// The uses of the keyed hash: the same input gives each an independent value.
#[derive(Hash)]
enum Purpose {
    Flow,
    Draw,
}

/// A key that no peer knows. Its hash is SipHash-2-4, a pseudo-random function for short input.
pub(in crate::net) struct Secret {
    key: (u64, u64),
    draws: Cell<u64>,
}

impl Secret {
    /// From 16 bytes of the entropy source.
    pub(in crate::net) fn new(key: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(key);
        Self {
            key: (key as u64, (key >> 64) as u64),
            draws: Cell::new(0),
        }
    }

    /// The next of a series of numbers that cannot be predicted.
    pub(in crate::net) fn draw(&self) -> u64 {
        let number = self.draws.get();
        self.draws.set(number.wrapping_add(1));
        self.hash(Purpose::Draw, number)
    }

    /// A connection, with its hash.
    pub(in crate::net) fn flow(&self, local: IpEndpoint, remote: IpEndpoint) -> Flow {
        Flow {
            local,
            remote,
            number: 0,
            hash: self.hash(Purpose::Flow, (local, remote)),
        }
    }

    #[expect(deprecated, reason = "core promises SipHash-2-4 under this name only")]
    fn hash(&self, purpose: Purpose, value: impl Hash) -> u64 {
        let mut hasher = core::hash::SipHasher::new_with_keys(self.key.0, self.key.1);
        (purpose, value).hash(&mut hasher);
        hasher.finish()
    }
}

/// Both ends of a connection, and their keyed hash.
#[derive(Debug, Clone, Copy)]
pub(in crate::net) struct Flow {
    /// Our end.
    pub(in crate::net) local: IpEndpoint,
    /// The peer's.
    pub(in crate::net) remote: IpEndpoint,
    /// The number of our address: 0 is IPv4, and from 1 on those of IPv6.
    pub(in crate::net) number: u8,
    hash: u64,
}

impl Flow {
    /// The initial sequence number at `now` (RFC 6528 §3: a timer of 4 us and a keyed hash of the connection). `floor`: a
    /// previous connection of the same ends has used the numbers up to it (RFC 9293 §3.6.1).
    pub(in crate::net) fn iss(&self, now: i64, floor: Option<u32>) -> u32 {
        let iss = (self.hash as u32).wrapping_add((now / 4) as u32);
        match floor {
            Some(floor) if !after(iss, floor) => floor.wrapping_add(1 + (self.hash as u32 >> 16)),
            _ => iss,
        }
    }

    /// Chooses the bucket: by bits of the hash that sequence numbers do not show.
    pub(super) fn bucket(&self) -> usize {
        (self.hash >> 32) as usize
    }
}

/// Whether one sequence number comes after another (RFC 9293 §3.4).
pub(in crate::net) fn after(one: u32, other: u32) -> bool {
    (one.wrapping_sub(other) as i32) > 0
}
