//! One partition that is followed: its ring, how that is filled, and the
//! readers of single keys.

use super::{
    FILL, Hubs,
    keyed::Keyed,
    ring::{Ring, Taken},
};
use crate::{
    broker::reader::Room,
    domain::{CorruptRecord, Epoch, Offset, PartitionId, PartitionView, RecordBatch},
    engine::{Engine, Topic},
};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio::sync::Notify;

/// What the followers of one partition share.
pub(in crate::broker) struct Hub {
    hubs: Arc<Hubs>,
    pub(super) topic: Arc<Topic>,
    pub(super) partition: PartitionId,
    pub(super) state: Mutex<State>,
    /// Held by the one reader that reads for all what is not in memory.
    loading: tokio::sync::Mutex<()>,
    /// Tells the driver that a reader of keys has left.
    pub(super) left: Notify,
}

pub(super) struct State {
    pub(super) ring: Ring,
    pub(super) keyed: Keyed,
}

/// What a reader gets of the ring.
pub(in crate::broker) enum Took {
    /// These; perhaps nothing, if there is no room for the next.
    Some(Taken),
    /// It stands where the ring ends, and the engine has what follows in its
    /// store alone: one reads it, for all.
    AtEnd,
    /// Not what it needs.
    Elsewhere,
}

impl Hub {
    pub(super) fn new(hubs: Arc<Hubs>, topic: Arc<Topic>, partition: PartitionId) -> Hub {
        let ring = Ring::new(Arc::clone(&hubs.rings));
        let keyed = Keyed::new(Arc::clone(&hubs.found));
        Hub {
            hubs,
            topic,
            partition,
            state: Mutex::new(State { ring, keyed }),
            loading: tokio::sync::Mutex::new(()),
            left: Notify::new(),
        }
    }

    /// What a reader at `from` comes to, if it is in memory. `epoch` is the
    /// newest that it knows: what was written in another is not for it, before
    /// it has looked at what became of its place.
    pub(in crate::broker) fn take(
        &self,
        engine: &dyn Engine,
        from: Offset,
        epoch: Epoch,
        room: Room,
        stop: Option<Offset>,
    ) -> Result<Took, CorruptRecord> {
        let mut state = self.state.lock();
        if !state.ring.has(from) {
            self.fill(&mut state.ring, engine, from);
        }
        let of_epoch = state.ring.epoch() == Some(epoch);
        let took = if of_epoch && state.ring.has(from) {
            Took::Some(state.ring.take(from, room, stop)?)
        } else if of_epoch && state.ring.end() == from {
            Took::AtEnd
        } else {
            Took::Elsewhere
        };
        drop(state);
        self.hubs.make_room();
        Ok(took)
    }

    /// Adds what the engine has in memory, from the end of the ring on, or
    /// from `from` on if there is a gap between. Answers the partition as it
    /// was before; `None` if there is none.
    pub(super) fn fill(
        &self,
        ring: &mut Ring,
        engine: &dyn Engine,
        from: Offset,
    ) -> Option<PartitionView> {
        // Seen before the read: no record is taken for one of a newer epoch
        // than it was written in.
        let view = engine.partition(&self.topic, self.partition).ok()?;
        let epoch = view.epoch();
        ring.trim(view.start);
        let of_epoch = ring.epoch() == Some(epoch);
        if of_epoch && from < ring.end() {
            return Some(view);
        }
        // All of the ring is of one epoch.
        if from < view.start || view.epoch_of(from) != epoch {
            return Some(view);
        }
        if !of_epoch {
            ring.reset(epoch, from);
        }
        self.fill_from_end(ring, engine, view.tail);
        if ring.end() < from {
            ring.reset(epoch, from);
            self.fill_from_end(ring, engine, view.tail);
        }
        Some(view)
    }

    fn fill_from_end(&self, ring: &mut Ring, engine: &dyn Engine, tail: Offset) {
        if ring.end() >= tail {
            return;
        }
        let chunk = engine.read_recent(&self.topic, self.partition, ring.end(), FILL);
        let Some(chunk) = chunk.filter(|chunk| chunk.next > ring.end()) else { return };
        chunk.batches.into_iter().for_each(|batch| ring.push(batch));
        ring.pass(chunk.next);
    }

    /// Whose turn it is to read for all what follows the ring: it has the turn
    /// until it drops it. Others wait here, and find it in the ring.
    pub(in crate::broker) async fn turn_to_load(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.loading.lock().await
    }

    /// Adds batches that were read from the store from `from` on, if the ring
    /// still ends there.
    pub(in crate::broker) fn add(
        &self,
        from: Offset,
        epoch: Epoch,
        batches: &[RecordBatch],
        next: Offset,
    ) {
        let mut state = self.state.lock();
        let ring = &mut state.ring;
        let adjoins = batches.first().is_none_or(|first| first.base >= from);
        if ring.epoch() == Some(epoch) && ring.end() == from && adjoins {
            batches.iter().for_each(|batch| ring.push(batch.clone()));
            ring.pass(next);
        }
        drop(state);
        self.hubs.make_room();
    }

    pub(super) fn trim(&self, start: Offset) {
        let wakes = {
            let mut state = self.state.lock();
            state.ring.trim(start);
            state.keyed.trim(start)
        };
        wakes.iter().for_each(|wake| wake.notify_one());
    }

    pub(super) fn forget_idle(&self) {
        // One that is being looked at is not idle.
        if let Some(mut state) = self.state.try_lock() {
            state.ring.forget_idle();
        }
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.hubs.forget(self.topic.id, self.partition);
    }
}
