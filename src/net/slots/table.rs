//! The hash table from a connection's addresses to its slot.

use core::cell::Cell;
use core::net::SocketAddrV4;

use super::{NONE, Pool};

/// The key of a connection. It has no local address: an interface has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct ConnectionKey {
    pub(in crate::net) remote: SocketAddrV4,
    pub(in crate::net) local_port: u16,
}

impl Pool {
    pub(in crate::net) fn find(&self, key: ConnectionKey) -> Option<u16> {
        let mut index = self.bucket(key)?.get();
        while let Some(slot) = self.slot(index) {
            if slot.key.get() == Some(key) {
                return Some(index);
            }
            index = slot.chain.get();
        }
        None
    }

    pub(super) fn hash(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        let Some(bucket) = slot.key.get().and_then(|key| self.bucket(key)) else {
            return;
        };
        slot.chain.set(bucket.replace(index));
        slot.hashed.set(true);
    }

    /// Makes the slot unfindable: its key is free for another connection.
    pub(in crate::net) fn unhash(&self, index: u16) {
        let Some(slot) = self.slot(index) else { return };
        if !slot.hashed.replace(false) {
            return;
        }
        let next = slot.chain.replace(NONE);
        let Some(bucket) = slot.key.get().and_then(|key| self.bucket(key)) else {
            return;
        };
        if bucket.get() == index {
            bucket.set(next);
            return;
        }
        let mut before = bucket.get();
        while let Some(slot) = self.slot(before) {
            if slot.chain.get() == index {
                slot.chain.set(next);
                return;
            }
            before = slot.chain.get();
        }
    }

    fn bucket(&self, key: ConnectionKey) -> Option<&Cell<u16>> {
        // Multiply and fold, twice (as in splitmix64): enough where the seed is unknown to the peer.
        let mut hash = u64::from(u32::from(*key.remote.ip()))
            | u64::from(key.remote.port()) << 32
            | u64::from(key.local_port) << 48;
        hash ^= self.seed;
        hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        hash ^= hash >> 31;
        self.buckets.get(hash as usize & self.buckets.len().wrapping_sub(1))
    }
}
