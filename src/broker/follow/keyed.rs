//! The readers of single keys in one partition, found by key: a record costs
//! one look, however many readers there are, and wakes those that want it.

use super::{
    FOUND_BYTES, FOUND_RECORDS,
    budget::{Budget, weight},
};
use crate::{
    broker::SharedBatch,
    domain::{CorruptRecord, Offset, Position, RecordBatch},
};
use bytes::Bytes;
use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};
use tokio::sync::Notify;

/// Up to this size a record is copied for its readers, lest one record keep
/// the whole batch in memory that it came in.
const COPIED_BYTES: usize = 4 << 10;

/// The keys that a reader is confined to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::broker) struct KeySet(Arc<[Bytes]>);

impl KeySet {
    /// Each key once. `None` if there is none: then all records are wanted.
    pub(in crate::broker) fn new(mut keys: Vec<Bytes>) -> Option<KeySet> {
        keys.sort_unstable();
        keys.dedup();
        (!keys.is_empty()).then(|| KeySet(keys.into()))
    }

    pub(in crate::broker) fn keys(&self) -> &[Bytes] {
        &self.0
    }

    pub(in crate::broker) fn has(&self, key: &[u8]) -> bool {
        match &*self.0 {
            [only] => only == key,
            keys => keys.binary_search_by(|known| known.as_ref().cmp(key)).is_ok(),
        }
    }
}

/// Those to be woken, after the lock.
pub(super) type Wakes = Vec<Arc<Notify>>;

/// A reader that waits for records with its keys.
pub(super) struct Slot {
    pub(super) keys: KeySet,
    /// Records before it are none of its.
    pub(super) from: Offset,
    /// What was found and not taken yet, one record each.
    pub(super) found: VecDeque<Arc<SharedBatch>>,
    bytes: usize,
    /// Where it has to go on by itself: what was found from here on is not
    /// kept for it.
    pub(super) missed: Option<Offset>,
    wake: Arc<Notify>,
}

/// All of them, and how far the partition was looked through for them.
pub(super) struct Keyed {
    slots: HashMap<u64, Slot>,
    by_key: HashMap<Bytes, Vec<u64>>,
    next_id: u64,
    /// All records before it were looked at.
    pub(super) at: Position,
    /// Whether somebody looks through what comes.
    pub(super) driven: bool,
    budget: Arc<Budget>,
}

impl Keyed {
    pub(super) fn new(budget: Arc<Budget>) -> Keyed {
        Keyed {
            slots: HashMap::new(),
            by_key: HashMap::new(),
            next_id: 0,
            at: Position { epoch: crate::domain::Epoch(0), next: Offset::ZERO },
            driven: false,
            budget,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    pub(super) fn insert(&mut self, keys: KeySet, from: Offset, wake: Arc<Notify>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        for key in keys.keys() {
            self.by_key.entry(key.clone()).or_default().push(id);
        }
        let found = VecDeque::new();
        self.slots.insert(id, Slot { keys, from, found, bytes: 0, missed: None, wake });
        id
    }

    pub(super) fn remove(&mut self, id: u64) {
        let Some(slot) = self.slots.remove(&id) else { return };
        self.budget.give_back(slot.bytes);
        for key in slot.keys.keys() {
            let Some(ids) = self.by_key.get_mut(key) else { continue };
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_key.remove(key);
            }
        }
    }

    pub(super) fn slot(&self, id: u64) -> Option<&Slot> {
        self.slots.get(&id)
    }

    /// Takes the first `count` records that were found for a reader.
    pub(super) fn take(&mut self, id: u64, count: usize) -> Vec<Arc<SharedBatch>> {
        let Some(slot) = self.slots.get_mut(&id) else { return vec![] };
        let taken: Vec<_> = slot.found.drain(..count).collect();
        let bytes = taken.iter().map(|shared| weight(&shared.batch)).sum::<usize>();
        slot.bytes -= bytes;
        self.budget.give_back(bytes);
        taken
    }

    /// Looks through a batch that begins where the last one ended; who is to
    /// be woken is added to `wakes`.
    pub(super) fn look_through(
        &mut self,
        batch: &RecordBatch,
        wakes: &mut Wakes,
    ) -> Result<(), CorruptRecord> {
        let Keyed { slots, by_key, budget, .. } = self;
        batch.for_each_key(|key, single| {
            let Some(ids) = key.and_then(|key| by_key.get(key)) else { return };
            let mut record = single();
            if record.body.len() <= COPIED_BYTES {
                record.body = Bytes::copy_from_slice(&record.body);
            }
            let record = Arc::new(SharedBatch::shared(record));
            for id in ids {
                let Some(slot) = slots.get_mut(id) else { continue };
                if slot.offer(&record, budget) {
                    wakes.push(Arc::clone(&slot.wake));
                }
            }
        })?;
        self.at.next = batch.end();
        Ok(())
    }

    /// All go on by themselves from where they are: what was found for them
    /// is not to be given any more, or they could not be served. Goes on
    /// looking at `at`.
    pub(super) fn start_over(&mut self, at: Position) -> Wakes {
        let old = std::mem::replace(&mut self.at, at);
        let slots = self.slots.values_mut();
        slots.map(|slot| slot.miss(old.next, &self.budget)).collect()
    }

    /// What is before `start` is not to be given any more.
    pub(super) fn trim(&mut self, start: Offset) -> Wakes {
        let at = self.at.next;
        let old = |slot: &Slot| slot.found.front().is_some_and(|found| found.batch.base < start);
        let slots = self.slots.values_mut().filter(|slot| old(slot));
        slots.map(|slot| slot.miss(at, &self.budget)).collect()
    }

    /// Everybody, as when the topic is gone.
    pub(super) fn everybody(&self) -> Wakes {
        self.slots.values().map(|slot| Arc::clone(&slot.wake)).collect()
    }
}

impl Slot {
    /// Keeps a record for the reader. Whether it is to be woken.
    fn offer(&mut self, record: &Arc<SharedBatch>, budget: &Budget) -> bool {
        let (offset, bytes) = (record.batch.base, weight(&record.batch));
        if offset < self.from || self.missed.is_some() {
            return false;
        }
        let first = self.found.is_empty();
        let full = self.found.len() >= FOUND_RECORDS || self.bytes + bytes > FOUND_BYTES;
        // The first one counts alone, so that a large record is not always
        // read from the store.
        if (full && !first) || budget.is_full() {
            self.missed = Some(offset);
            return first;
        }
        self.bytes += bytes;
        budget.take(bytes);
        self.found.push_back(Arc::clone(record));
        first
    }

    /// Its place, if all before `at` was looked at.
    pub(super) fn place(&self, at: Offset) -> Offset {
        let found = self.found.front().map(|found| found.batch.base);
        found.or(self.missed).unwrap_or(at.max(self.from))
    }

    fn miss(&mut self, at: Offset, budget: &Budget) -> Arc<Notify> {
        self.missed = Some(self.place(at));
        self.found.clear();
        budget.give_back(std::mem::take(&mut self.bytes));
        Arc::clone(&self.wake)
    }
}

impl Drop for Keyed {
    fn drop(&mut self) {
        self.slots.values().for_each(|slot| self.budget.give_back(slot.bytes));
    }
}
