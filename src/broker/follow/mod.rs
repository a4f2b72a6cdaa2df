//! The newest batches of the partitions that are followed, shared by all who
//! follow them, and the readers of single keys.
//!
//! ```text
//!   engine's newest ──► ring of a partition ──► readers at the tail (each wakes by the tail)
//!                            │
//!                            └─► driver: key ──► the readers of that key, woken one by one
//! ```
//!
//! A ring exists only while somebody follows its partition. Whoever comes
//! first fills it, under a short lock; the rest take the same batches. A reader
//! that the ring overtook reads from the store until it is back in it, so the
//! ring never waits for anybody and holds no record for a slow reader.

mod budget;
mod hub;
mod keyed;
mod live;
mod ring;

pub(super) use hub::{Hub, Took};
pub(super) use keyed::KeySet;
pub(super) use live::{Live, Parked};
pub(super) use ring::Taken;

use crate::{
    domain::{Offset, PartitionId, TopicId},
    engine::{ReadBudget, Topic},
};
use budget::Budget;
use parking_lot::Mutex;
use std::{
    collections::HashMap,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// What one ring holds at most, bytes by `budget::weight`: some 300 KiB of
/// records with two forms of each, or some 100 ms of a fast publisher. A reader
/// that is further behind than that has no use for what is newest.
const RING_BYTES: usize = 1 << 20;
/// And how many batches: single records of a fast publisher.
const RING_BATCHES: usize = 1_024;
/// All rings together: 32 of the fullest. Rings that nobody adds to are given
/// back first, then those that are added to shrink to nothing.
const RINGS_BYTES: usize = 32 << 20;
/// What is found for one reader of keys and waits for it: as much as a client
/// that keeps up lets lie. Beyond, it is read from the ring or the store.
const FOUND_RECORDS: usize = 64;
/// And how many bytes, by `budget::weight`.
const FOUND_BYTES: usize = 128 << 10;
/// What waits for all readers of keys together, bytes by `budget::weight`.
/// Apart from the rings, so that readers who stall take nothing from those.
const ALL_FOUND_BYTES: usize = 16 << 20;
/// What is read into a ring at once: it holds no more.
const FILL: ReadBudget = ReadBudget { records: u32::MAX, bytes: RING_BYTES };

/// Rings are looked at for idle ones every so many times that there is no room.
const LOOK_EVERY: usize = 16;

const _: () = assert!(RING_BYTES * 8 <= RINGS_BYTES && FOUND_BYTES * 8 <= ALL_FOUND_BYTES);

/// The hubs of all partitions that are followed.
pub(super) struct Hubs {
    by_partition: Mutex<HashMap<(TopicId, PartitionId), Weak<Hub>>>,
    rings: Arc<Budget>,
    found: Arc<Budget>,
    /// How often room was wanted.
    wanted: AtomicUsize,
}

impl Default for Hubs {
    fn default() -> Hubs {
        Hubs {
            by_partition: Mutex::default(),
            rings: Arc::new(Budget::new(RINGS_BYTES)),
            found: Arc::new(Budget::new(ALL_FOUND_BYTES)),
            wanted: AtomicUsize::new(0),
        }
    }
}

impl Hubs {
    /// The hub of a partition, made if nobody follows it yet. It is gone with
    /// the last who holds it.
    pub(super) fn hub(self: &Arc<Hubs>, topic: &Arc<Topic>, partition: PartitionId) -> Arc<Hub> {
        let mut hubs = self.by_partition.lock();
        let place = hubs.entry((topic.id, partition)).or_default();
        if let Some(hub) = place.upgrade() {
            return hub;
        }
        let hub = Arc::new(Hub::new(Arc::clone(self), Arc::clone(topic), partition));
        *place = Arc::downgrade(&hub);
        hub
    }

    /// The start of a partition was moved: nobody gets what is before it.
    pub(super) fn trim(&self, topic: TopicId, partition: PartitionId, start: Offset) {
        let hub = self.by_partition.lock().get(&(topic, partition)).and_then(Weak::upgrade);
        if let Some(hub) = hub {
            hub.trim(start);
        }
    }

    /// Takes back what idle rings hold, if all of them hold too much.
    fn make_room(&self) {
        if !self.rings.is_full() || !self.wanted.fetch_add(1, Relaxed).is_multiple_of(LOOK_EVERY) {
            return;
        }
        // Let go of after the lock: the last who drops a hub takes it again.
        let hubs: Vec<_> = self.by_partition.lock().values().filter_map(Weak::upgrade).collect();
        hubs.iter().for_each(|hub| hub.forget_idle());
    }

    fn forget(&self, topic: TopicId, partition: PartitionId) {
        let mut hubs = self.by_partition.lock();
        // Another may have been made since.
        if hubs.get(&(topic, partition)).is_some_and(|hub| hub.strong_count() == 0) {
            hubs.remove(&(topic, partition));
        }
    }

    /// How many partitions are followed, and the bytes of their rings.
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.by_partition.lock().len(), self.rings.taken())
    }
}
