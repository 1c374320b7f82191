//! The newest offset of each key in a range of the log, in a bounded piece of memory.
//!
//! ```text
//! slots   | hash 128 bit | offset i64 |  open addressing, linear probing, at most 4 of 5 slots used
//! ```
//!
//! Keys are not kept, only their hash, so two keys with the same 128 bits would be taken for one and the
//! older record of the two would be lost. The hash is XXH3-128 with a seed that the caller draws anew for
//! every cleaning. One map holds at most some 2^31 keys: the chance that any two of them meet by accident
//! is below 2^62 / 2^129 = 2^-67 (Kafka rests on the same sum with MD5). XXH3 is no cryptographic hash; who
//! wants to make two of his own keys meet has to know the seed, which never leaves the process, and would
//! lose only a record that he may overwrite anyway.
//!
//! All cleanings share one [`KeyMapBudget`]. A map takes what its range can need, or what is left; a range
//! with more keys than its map has room for is cleaned in several passes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::position::Offset;

/// The memory of all key maps together, unless the setting says otherwise.
pub const KEY_MAP_BYTES_DEFAULT: usize = 64 << 20;
/// A map smaller than this (some 35,000 keys) would make too many passes; a cleaning waits instead.
const LEASE_BYTES_MIN: usize = 1 << 20;
const SLOT_BYTES: usize = size_of::<Slot>();
/// Of so many slots …
const LOAD_OF: usize = 5;
/// … so many are used: a miss then probes 13 neighbouring slots on average, five cache lines.
const LOAD_USED: usize = 4;

/// The memory that all key maps share. Cleanings on several threads take their parts from it.
#[derive(Debug)]
pub struct KeyMapBudget {
    bytes_max: usize,
    used_bytes: AtomicUsize,
}

impl KeyMapBudget {
    /// A budget of this many bytes.
    pub fn new(bytes_max: usize) -> Arc<KeyMapBudget> {
        Arc::new(KeyMapBudget {
            bytes_max,
            used_bytes: AtomicUsize::new(0),
        })
    }

    /// The bytes in use now.
    pub fn used_bytes(&self) -> usize {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Takes `wanted_bytes` or what is left; `None` if too little is left to be of use.
    fn lease(self: &Arc<KeyMapBudget>, wanted_bytes: usize) -> Option<Lease> {
        let least = wanted_bytes.min(LEASE_BYTES_MIN).min(self.bytes_max);
        let mut bytes = 0;
        self.used_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                bytes = wanted_bytes.min(self.bytes_max.saturating_sub(used));
                (bytes >= least && bytes >= SLOT_BYTES * LOAD_OF).then(|| used + bytes)
            })
            .ok()?;
        let budget = Arc::clone(self);
        Some(Lease { budget, bytes })
    }
}

/// A part of the budget, given back when dropped.
#[derive(Debug)]
struct Lease {
    budget: Arc<KeyMapBudget>,
    bytes: usize,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget
            .used_bytes
            .fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: [u64; 2],
    /// [`FREE`] or the offset.
    offset: i64,
}

const FREE: i64 = -1;

/// The newest offset of each key seen.
#[derive(Debug)]
pub(super) struct KeyMap {
    slots: Vec<Slot>,
    keys: usize,
    keys_max: usize,
    seed: u64,
    _lease: Lease,
}

impl KeyMap {
    /// A map for at most `keys` keys, smaller if the budget has less; `None` if it has too little.
    pub(super) fn new(budget: &Arc<KeyMapBudget>, keys: u64, seed: u64) -> Option<KeyMap> {
        let wanted = usize::try_from(keys).unwrap_or(usize::MAX).max(LOAD_USED);
        let slots = wanted.div_ceil(LOAD_USED).saturating_mul(LOAD_OF);
        let lease = budget.lease(slots.saturating_mul(SLOT_BYTES))?;
        let free = Slot {
            hash: [0; 2],
            offset: FREE,
        };
        let slots = vec![free; lease.bytes / SLOT_BYTES];
        Some(KeyMap {
            keys_max: slots.len() / LOAD_OF * LOAD_USED,
            slots,
            keys: 0,
            seed,
            _lease: lease,
        })
    }

    /// Notes that `key` was written at `offset`, later than all before. `false` if there is no room for
    /// another key; the map is then complete up to this record.
    pub(super) fn put(&mut self, key: &[u8], offset: Offset) -> bool {
        let hash = self.hash(key);
        let at = self.find(hash);
        let is_new = self.slots[at].offset == FREE;
        if is_new && self.keys == self.keys_max {
            return false;
        }
        self.keys += usize::from(is_new);
        self.slots[at] = Slot {
            hash,
            offset: offset.0,
        };
        true
    }

    /// The newest offset of `key` in the range that was put in.
    pub(super) fn newest(&self, key: &[u8]) -> Option<Offset> {
        let slot = self.slots[self.find(self.hash(key))];
        (slot.offset != FREE).then_some(Offset(slot.offset))
    }

    /// The number of keys.
    pub(super) fn keys(&self) -> usize {
        self.keys
    }

    /// The memory it takes.
    pub(super) fn size_bytes(&self) -> usize {
        self.slots.len() * SLOT_BYTES
    }

    fn hash(&self, key: &[u8]) -> [u64; 2] {
        let hash = xxh3_128_with_seed(key, self.seed).to_be_bytes();
        let (high, low) = hash.split_at(8);
        [high, low].map(|half| u64::from_be_bytes(half.try_into().expect("half of 16 bytes")))
    }

    /// The slot of this hash, or the free one where it belongs. At least one slot in five is free.
    fn find(&self, hash: [u64; 2]) -> usize {
        let slots = self.slots.len();
        let scaled = (u128::from(hash[0]) * slots as u128) >> 64;
        let mut at = usize::try_from(scaled).expect("below the number of slots");
        while self.slots[at].offset != FREE && self.slots[at].hash != hash {
            at += 1;
            if at == slots {
                at = 0;
            }
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn newest_offset_of_each_key_is_found() {
        let budget = KeyMapBudget::new(1 << 20);
        let mut map = KeyMap::new(&budget, 1000, 7).unwrap();
        let mut model = HashMap::new();
        for offset in 0..5000_i64 {
            let key = format!("key-{}", offset.wrapping_mul(7919) % 997);
            assert!(map.put(key.as_bytes(), Offset(offset)));
            model.insert(key, Offset(offset));
        }
        for (key, offset) in &model {
            assert_eq!(map.newest(key.as_bytes()), Some(*offset));
        }
        assert_eq!(map.newest(b"other"), None);
        assert_eq!(map.keys(), model.len());
    }

    #[test]
    fn full_map_takes_known_keys_only() {
        let budget = KeyMapBudget::new(SLOT_BYTES * 5);
        let mut map = KeyMap::new(&budget, 1 << 40, 7).unwrap();
        for key in 0..4_u8 {
            assert!(map.put(&[key], Offset(key.into())));
        }
        assert!(!map.put(&[4], Offset(4)));
        assert!(map.put(&[3], Offset(5)));
        assert_eq!(map.newest(&[3]), Some(Offset(5)));
        assert_eq!(map.newest(&[4]), None);
    }

    #[test]
    fn budget_is_shared_and_given_back() {
        let budget = KeyMapBudget::new(3 << 20);
        let first = KeyMap::new(&budget, 60_000, 1).unwrap();
        assert!(first.size_bytes() <= budget.used_bytes());
        let second = KeyMap::new(&budget, u64::MAX, 1).unwrap();
        assert!(first.size_bytes() + second.size_bytes() <= 3 << 20);
        assert!(KeyMap::new(&budget, u64::MAX, 1).is_none());
        drop((first, second));
        assert_eq!(budget.used_bytes(), 0);
    }
}
