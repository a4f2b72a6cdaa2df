//! The newest batches of one partition, in order and without a gap, within a
//! bound. Knows no lock and no engine.

use super::{
    RING_BATCHES, RING_BYTES,
    budget::{Budget, weight},
};
use crate::{
    broker::{
        SharedBatch,
        reader::{Room, fit_each},
    },
    domain::{CorruptRecord, Epoch, Offset, RecordBatch},
};
use std::{collections::VecDeque, sync::Arc};

/// Batches of one epoch, from `start` to `end`.
pub(super) struct Ring {
    batches: VecDeque<Arc<SharedBatch>>,
    /// The epoch of all of them; `None` before the first look.
    epoch: Option<Epoch>,
    start: Offset,
    /// Where the next batch is to begin.
    end: Offset,
    /// By `weight`.
    bytes: usize,
    budget: Arc<Budget>,
    /// Nothing was added since the last look.
    idle: bool,
}

/// Some of a ring's batches, and the place after them.
pub(in crate::broker) struct Taken {
    pub batches: Vec<Arc<SharedBatch>>,
    pub next: Offset,
}

impl Ring {
    pub(super) fn new(budget: Arc<Budget>) -> Ring {
        Ring {
            batches: VecDeque::new(),
            epoch: None,
            start: Offset::ZERO,
            end: Offset::ZERO,
            bytes: 0,
            budget,
            idle: false,
        }
    }

    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    pub(super) fn end(&self) -> Offset {
        self.end
    }

    pub(super) fn has(&self, at: Offset) -> bool {
        (self.start..self.end).contains(&at)
    }

    /// Empty, of `epoch`, and to go on at `at`.
    pub(super) fn reset(&mut self, epoch: Epoch, at: Offset) {
        self.clear();
        (self.epoch, self.start, self.end) = (Some(epoch), at, at);
    }

    /// Holds nothing, and goes on where it ends.
    pub(super) fn clear(&mut self) {
        self.batches.clear();
        self.budget.give_back(std::mem::take(&mut self.bytes));
        self.start = self.end;
    }

    /// Adds what begins at the end. The oldest make room for it.
    pub(super) fn push(&mut self, batch: RecordBatch) {
        self.end = batch.end();
        self.idle = false;
        self.add(weight(&batch));
        self.batches.push_back(Arc::new(SharedBatch::shared(batch)));
        while self.is_too_large() && self.drop_oldest() {}
    }

    /// The engine read up to `next`: there are no records before it.
    pub(super) fn pass(&mut self, next: Offset) {
        self.end = self.end.max(next);
    }

    fn is_too_large(&self) -> bool {
        // The newest stays, however large it is, unless all together are too
        // large: who follows the tail needs it.
        let own = self.bytes > RING_BYTES || self.batches.len() > RING_BATCHES;
        (own && self.batches.len() > 1) || self.budget.is_full()
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.batches.pop_front() else { return false };
        self.give_back(weight(&oldest.batch));
        self.start = self.batches.front().map_or(self.end, |next| next.batch.base);
        true
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        self.budget.take(bytes);
    }

    fn give_back(&mut self, bytes: usize) {
        self.bytes -= bytes;
        self.budget.give_back(bytes);
    }

    /// Drops what is before `start`, to the record.
    pub(super) fn trim(&mut self, start: Offset) {
        if start <= self.start {
            return;
        }
        while self.batches.front().is_some_and(|oldest| oldest.batch.base < start) {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.give_back(weight(&oldest.batch));
            if let Ok(Some(rest)) = oldest.batch.from_offset(start) {
                self.add(weight(&rest));
                self.batches.push_front(Arc::new(SharedBatch::shared(rest)));
            }
        }
        self.start = start.min(self.end);
    }

    /// Gives all back if nothing was added since the last call.
    pub(super) fn forget_idle(&mut self) {
        if std::mem::replace(&mut self.idle, true) {
            self.clear();
        }
    }

    /// The batches from the one with `from` on.
    pub(super) fn after(&self, from: Offset) -> impl Iterator<Item = &Arc<SharedBatch>> {
        let first = self.batches.partition_point(|shared| shared.batch.end() <= from);
        self.batches.range(first..)
    }

    /// From `from` on, which it has, as far as there is `room`, and before
    /// `stop`.
    pub(super) fn take(
        &self,
        from: Offset,
        room: Room,
        stop: Option<Offset>,
    ) -> Result<Taken, CorruptRecord> {
        let mut batches = vec![];
        let cut = fit_each(self.after(from), from, room, stop, |shared, part| {
            batches.push(match part {
                None => Arc::clone(shared),
                Some(part) => Arc::new(SharedBatch::private(part)),
            });
        })?;
        let next = cut.unwrap_or_else(|| stop.map_or(self.end, |stop| stop.min(self.end)));
        Ok(Taken { batches, next })
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::ReadBudget;

    fn ring(budget: &Arc<Budget>, at: u64) -> Ring {
        let mut ring = Ring::new(Arc::clone(budget));
        ring.reset(Epoch(0), Offset(at));
        ring
    }

    fn taken(ring: &Ring, from: u64, records: u32) -> (Vec<(u64, u32, bool)>, u64) {
        let budget = ReadBudget { records, bytes: 1 << 30 };
        let room = Room { budget, least_one: true };
        let taken = ring.take(Offset(from), room, None).unwrap();
        let told = taken.batches.iter();
        let told = told.map(|b| (b.batch.base.0, b.batch.count, b.is_shared())).collect();
        (told, taken.next.0)
    }

    #[test]
    fn whole_batches_are_shared_and_cut_ones_are_not() {
        let budget = Arc::new(Budget::new(1 << 30));
        let mut ring = ring(&budget, 10);
        for base in [10, 13, 16] {
            ring.push(RecordBatch::of_text(base, 3, 10));
        }
        assert_eq!(taken(&ring, 13, 100), (vec![(13, 3, true), (16, 3, true)], 19));
        assert_eq!(taken(&ring, 11, 4), (vec![(11, 2, false), (13, 2, false)], 15));
        assert!(!ring.has(Offset(9)) && ring.has(Offset(18)) && !ring.has(Offset(19)));
    }

    #[test]
    fn the_oldest_make_room_and_the_newest_stays() {
        let budget = Arc::new(Budget::new(1 << 30));
        let mut ring = ring(&budget, 0);
        for base in 0..5_000 {
            ring.push(RecordBatch::of_text(base, 1, 10));
        }
        assert_eq!((ring.start, ring.end), (Offset(5_000 - RING_BATCHES as u64), Offset(5_000)));
        ring.push(RecordBatch::of_text(5_000, 1, 2 * RING_BYTES));
        assert_eq!((ring.start, ring.end), (Offset(5_000), Offset(5_001)));
        ring.push(RecordBatch::of_text(5_001, 1, 10));
        assert_eq!((ring.start, ring.end), (Offset(5_001), Offset(5_002)));
        drop(ring);
        assert_eq!(budget.taken(), 0);
    }

    #[test]
    fn all_together_hold_no_more_than_their_budget() {
        let budget = Arc::new(Budget::new(100_000));
        let (mut idle, mut busy) = (ring(&budget, 0), ring(&budget, 0));
        (0..30).for_each(|base| idle.push(RecordBatch::of_text(base, 1, 1_000)));
        (0..30).for_each(|base| busy.push(RecordBatch::of_text(base, 1, 1_000)));
        assert!(budget.taken() <= 100_000);
        let before = busy.batches.len();
        idle.forget_idle();
        assert!(!idle.batches.is_empty());
        idle.forget_idle();
        assert!(idle.batches.is_empty() && idle.start == idle.end);
        (30..60).for_each(|base| busy.push(RecordBatch::of_text(base, 1, 1_000)));
        assert!(busy.batches.len() > before);
    }

    #[test]
    fn a_trim_is_exact_to_the_record() {
        let budget = Arc::new(Budget::new(1 << 30));
        let mut ring = ring(&budget, 0);
        ring.push(RecordBatch::of_text(0, 3, 10));
        ring.push(RecordBatch::of_text(3, 3, 10));
        ring.trim(Offset(4));
        assert!(!ring.has(Offset(3)));
        assert_eq!(taken(&ring, 4, 100), (vec![(4, 2, true)], 6));
        ring.trim(Offset(9));
        assert!(!ring.has(Offset(5)) && budget.taken() == 0);
    }
}
