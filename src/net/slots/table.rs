//! The hash table from a connection's addresses to its slot.

use core::cell::Cell;
use smoltcp::wire::{IpAddress, IpEndpoint};

use super::{NONE, Pool};

/// The key of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) struct ConnectionKey {
    pub(in crate::net) remote: IpEndpoint,
    pub(in crate::net) local: IpEndpoint,
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
        let ports = u64::from(key.remote.port) << 32 | u64::from(key.local.port) << 48;
        let hash = match key.remote.addr {
            IpAddress::Ipv4(address) => mix(self.seed ^ (u64::from(u32::from(address)) | ports)),
            IpAddress::Ipv6(address) => {
                let bits = address.to_bits();
                let [high, low] = [(bits >> 64) as u64, bits as u64];
                mix(mix(mix(self.seed ^ high) ^ low) ^ ports)
            }
        };
        self.buckets.get(hash as usize & self.buckets.len().wrapping_sub(1))
    }
}

/// Multiplies and folds, twice (as in splitmix64): enough where the seed is unknown to the peer.
fn mix(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}
