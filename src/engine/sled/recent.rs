//! The newest batches of a followed partition, kept as they were appended, so
//! that those at the tail need neither the disk nor a decompression.

use super::catalog::Partition;
use crate::{
    domain::{Offset, RecordBatch},
    engine::{ReadBudget, ReadChunk},
};
use std::collections::VecDeque;

/// What one partition keeps at most, bytes.
const RECENT_BYTES: usize = 256 << 10;
/// And how many batches.
const RECENT_BATCHES: usize = 256;

/// Consecutive batches, up to the newest that was appended: the newest may not
/// be visible yet.
#[derive(Default)]
pub(super) struct Recent {
    batches: VecDeque<RecordBatch>,
    bytes: usize,
    /// Nothing was added since the last look.
    idle: bool,
}

impl Recent {
    fn push(&mut self, batch: RecordBatch) {
        if self.batches.back().is_some_and(|last| last.end() != batch.base) {
            self.clear();
        }
        self.idle = false;
        self.bytes += batch.body.len();
        self.batches.push_back(batch);
        while self.bytes > RECENT_BYTES || self.batches.len() > RECENT_BATCHES {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.body.len();
        }
    }

    fn clear(&mut self) {
        *self = Recent::default();
    }

    /// From `from` to `tail`; `None` if it is not all here.
    fn read(&self, from: Offset, tail: Offset, budget: ReadBudget) -> Option<ReadChunk> {
        if self.batches.front()?.base > from || self.batches.back()?.end() < tail {
            return None;
        }
        let mut chunk = ReadChunk { batches: vec![], next: from };
        let (mut records, mut bytes) = (u64::from(budget.records), budget.bytes);
        let first = self.batches.partition_point(|batch| batch.end() <= from);
        for batch in self.batches.range(first..).take_while(|batch| batch.base < tail) {
            let batch = batch.from_offset(from).ok()??;
            let room = records >= u64::from(batch.count) && bytes >= batch.body.len();
            if !room && !chunk.batches.is_empty() {
                break;
            }
            records = records.saturating_sub(batch.count.into());
            bytes = bytes.saturating_sub(batch.body.len());
            chunk.next = batch.end();
            chunk.batches.push(batch);
        }
        Some(chunk)
    }
}

impl Partition {
    /// Keeps what was just appended, if anybody follows.
    pub(super) fn keep(&self, batch: &RecordBatch) {
        if self.tail.receiver_count() > 0 {
            self.recent.lock().push(batch.clone());
        } else {
            self.forget_recent();
        }
    }

    /// What was appended last is not what is there, or nobody wants it.
    pub(super) fn forget_recent(&self) {
        self.recent.lock().clear();
    }

    /// Called now and then: what was not added to since is given back.
    pub(super) fn forget_idle(&self) {
        let mut recent = self.recent.lock();
        if std::mem::replace(&mut recent.idle, true) {
            recent.clear();
        }
    }

    /// See [`crate::engine::Engine::read_recent`].
    pub(super) fn read_recent(&self, from: Offset, budget: ReadBudget) -> Option<ReadChunk> {
        // Held until the end: a recovery may take back what is here.
        let shared = self.shared.read();
        if !(shared.start..shared.tail).contains(&from) {
            return None;
        }
        self.recent.lock().read(from, shared.tail, budget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::sled::{
        catalog::{Shared, WriteHead},
        keys::Place,
        volume::VolumeId,
    };

    fn partition() -> Partition {
        let place =
            Place { topic: crate::domain::TopicId(1), partition: crate::domain::PartitionId(0) };
        Partition::new(place, Shared::new(VolumeId(1)), WriteHead::default())
    }

    const ALL: ReadBudget = ReadBudget { records: 1_000, bytes: 1 << 20 };

    fn bases(chunk: Option<ReadChunk>) -> Option<(Vec<u64>, u64)> {
        chunk.map(|c| (c.batches.iter().map(|b| b.base.0).collect(), c.next.0))
    }

    #[test]
    fn what_is_not_visible_yet_is_not_read() {
        let p = partition();
        let _follower = p.tail.subscribe();
        p.keep(&RecordBatch::of_text(0, 3, 10));
        assert_eq!(bases(p.read_recent(Offset(0), ALL)), None);
        p.keep(&RecordBatch::of_text(3, 2, 10));
        p.show(Offset(3));
        assert_eq!(bases(p.read_recent(Offset(0), ALL)), Some((vec![0], 3)));
        assert_eq!(bases(p.read_recent(Offset(3), ALL)), None);
        p.show(Offset(5));
        assert_eq!(bases(p.read_recent(Offset(1), ALL)), Some((vec![1, 3], 5)));
        let one = ReadBudget { records: 1, bytes: 1 };
        assert_eq!(bases(p.read_recent(Offset(0), one)), Some((vec![0], 3)));
    }

    #[test]
    fn only_the_newest_are_kept_and_only_while_somebody_follows() {
        let p = partition();
        p.keep(&RecordBatch::of_text(0, 1, 10));
        p.show(Offset(1));
        assert_eq!(bases(p.read_recent(Offset(0), ALL)), None);
        let follower = p.tail.subscribe();
        for i in 1..10 {
            p.keep(&RecordBatch::of_text(i, 1, 60_000));
        }
        p.show(Offset(10));
        assert_eq!(bases(p.read_recent(Offset(1), ALL)), None);
        assert_eq!(bases(p.read_recent(Offset(6), ALL)), Some((vec![6, 7, 8, 9], 10)));
        // Larger than all that is kept: nothing is, rather than a part.
        p.keep(&RecordBatch::of_text(10, 1, 300_000));
        p.show(Offset(11));
        assert_eq!(bases(p.read_recent(Offset(9), ALL)), None);
        p.keep(&RecordBatch::of_text(11, 1, 10));
        p.show(Offset(12));
        assert_eq!(bases(p.read_recent(Offset(11), ALL)), Some((vec![11], 12)));
        drop(follower);
        p.keep(&RecordBatch::of_text(12, 1, 10));
        assert_eq!(bases(p.read_recent(Offset(11), ALL)), None);
    }

    #[test]
    fn idle_partitions_give_it_back_and_a_gap_begins_anew() {
        let p = partition();
        let _follower = p.tail.subscribe();
        p.keep(&RecordBatch::of_text(0, 1, 10));
        p.show(Offset(1));
        p.forget_idle();
        assert!(p.read_recent(Offset(0), ALL).is_some());
        p.forget_idle();
        assert_eq!(bases(p.read_recent(Offset(0), ALL)), None);
        p.keep(&RecordBatch::of_text(1, 1, 10));
        p.keep(&RecordBatch::of_text(7, 1, 10));
        p.show(Offset(8));
        assert_eq!(bases(p.read_recent(Offset(1), ALL)), None);
        assert_eq!(bases(p.read_recent(Offset(7), ALL)), Some((vec![7], 8)));
    }
}
