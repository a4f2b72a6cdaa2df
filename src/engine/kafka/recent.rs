//! The newest batches of a followed partition, as the shared reader got them.
//! Offsets have gaps: what is held reaches from one place to another, and there
//! are no other records between.

use crate::{
    domain::{Offset, RecordBatch},
    engine::{ReadBudget, ReadChunk},
};
use std::collections::VecDeque;

/// What one partition keeps at most, bytes.
const RECENT_BYTES: usize = 512 << 10;
/// And how many batches.
const RECENT_BATCHES: usize = 512;

/// All visible records from `from` to `end`.
#[derive(Default)]
pub(super) struct Recent {
    batches: VecDeque<RecordBatch>,
    from: Offset,
    end: Offset,
    bytes: usize,
}

impl Recent {
    /// Adds what was read from `from` up to `end`.
    pub(super) fn push(&mut self, from: Offset, batches: Vec<RecordBatch>, end: Offset) {
        if from != self.end {
            *self = Recent { from, ..Recent::default() };
        }
        self.end = end;
        self.bytes += batches.iter().map(|b| b.body.len()).sum::<usize>();
        self.batches.extend(batches);
        while self.bytes > RECENT_BYTES || self.batches.len() > RECENT_BATCHES {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.body.len();
            self.from = oldest.end();
        }
    }

    /// Holds nothing.
    pub(super) fn clear(&mut self) {
        *self = Recent::default();
    }

    /// From `from` to `tail`; `None` if it is not all here.
    pub(super) fn read(&self, from: Offset, tail: Offset, budget: ReadBudget) -> Option<ReadChunk> {
        if from < self.from || self.end < tail || from >= tail {
            return None;
        }
        let mut chunk = ReadChunk { batches: vec![], next: tail };
        let (mut records, mut bytes) = (u64::from(budget.records), budget.bytes);
        let first = self.batches.partition_point(|batch| batch.end() <= from);
        for batch in self.batches.range(first..).take_while(|batch| batch.base < tail) {
            let batch = batch.from_offset(from).ok()??;
            let room = records >= u64::from(batch.count) && bytes >= batch.body.len();
            if !room && let Some(last) = chunk.batches.last() {
                chunk.next = RecordBatch::end(last);
                return Some(chunk);
            }
            records = records.saturating_sub(batch.count.into());
            bytes = bytes.saturating_sub(batch.body.len());
            chunk.batches.push(batch);
        }
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: ReadBudget = ReadBudget { records: 1_000, bytes: 1 << 20 };

    fn read(recent: &Recent, from: u64, tail: u64, budget: ReadBudget) -> Option<(Vec<u64>, u64)> {
        let chunk = recent.read(Offset(from), Offset(tail), budget)?;
        Some((chunk.batches.iter().map(|b| b.base.0).collect(), chunk.next.0))
    }

    #[test]
    fn a_gap_is_passed_over_and_what_is_not_visible_is_not_read() {
        let mut recent = Recent::default();
        recent.push(Offset(5), vec![RecordBatch::of_text(5, 2, 10)], Offset(7));
        // A marker at 7, and one after 9 that nobody has read yet.
        recent.push(Offset(7), vec![RecordBatch::of_text(8, 1, 10)], Offset(9));
        assert_eq!(read(&recent, 5, 9, ALL), Some((vec![5, 8], 9)));
        assert_eq!(read(&recent, 6, 9, ALL), Some((vec![6, 8], 9)));
        assert_eq!(read(&recent, 7, 9, ALL), Some((vec![8], 9)));
        assert_eq!(read(&recent, 5, 7, ALL), Some((vec![5], 7)));
        assert_eq!(read(&recent, 4, 9, ALL), None);
        assert_eq!(read(&recent, 5, 10, ALL), None);
        assert_eq!(read(&recent, 9, 9, ALL), None);
        let one = ReadBudget { records: 1, bytes: 1 };
        assert_eq!(read(&recent, 5, 9, one), Some((vec![5], 7)));
    }

    #[test]
    fn a_place_that_does_not_adjoin_begins_anew_and_the_oldest_go() {
        let mut recent = Recent::default();
        recent.push(Offset(0), vec![RecordBatch::of_text(0, 1, 10)], Offset(1));
        recent.push(Offset(5), vec![RecordBatch::of_text(5, 1, 10)], Offset(6));
        assert_eq!(read(&recent, 0, 6, ALL), None);
        for at in 6..20 {
            recent.push(Offset(at), vec![RecordBatch::of_text(at, 1, 100_000)], Offset(at + 1));
        }
        assert_eq!(read(&recent, 14, 20, ALL), None);
        assert_eq!(read(&recent, 16, 20, ALL).map(|(bases, _)| bases.len()), Some(4));
    }
}
