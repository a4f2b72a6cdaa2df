//! Cuts what an engine read to the budget and the end that a reader has: an
//! engine answers whole batches, a page promises an exact number.

use crate::{
    broker::SharedBatch,
    domain::{CorruptRecord, Offset, RecordBatch},
    engine::{ReadBudget, ReadChunk},
};
use std::sync::Arc;

/// How much a reader has room for.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Room {
    pub budget: ReadBudget,
    /// Whether one record comes in any case.
    pub least_one: bool,
}

/// A batch, shared or not.
pub(in crate::broker) trait Records {
    fn records(&self) -> &RecordBatch;
}

impl Records for RecordBatch {
    fn records(&self) -> &RecordBatch {
        self
    }
}

impl Records for Arc<SharedBatch> {
    fn records(&self) -> &RecordBatch {
        &self.batch
    }
}

/// Hands out `batches` from `from` on, as far as there is `room`, and before
/// `end`: each as it is (`None`) or the part of it that is taken. Answers the
/// place after the last record if it stopped before the last batch's end.
pub(in crate::broker) fn fit_each<'a, B: Records + 'a>(
    batches: impl Iterator<Item = &'a B>,
    from: Offset,
    room: Room,
    end: Option<Offset>,
    mut take: impl FnMut(&'a B, Option<RecordBatch>),
) -> Result<Option<Offset>, CorruptRecord> {
    let mut left = room.budget;
    let (mut next, mut first) = (from, true);
    for shared in batches {
        let batch = shared.records();
        let cut = if from > batch.base {
            match batch.from_offset(from)? {
                None => continue,
                cut => cut,
            }
        } else {
            None
        };
        let rest = cut.as_ref().unwrap_or(batch);
        let to_end = end.map_or(u64::MAX, |end| end.since(rest.base));
        let most = u64::from(left.records).min(to_end).min(u64::from(rest.count)) as u32;
        let count = within(rest, most, left.bytes, room.least_one && first)?;
        if count == 0 {
            return Ok(Some(next));
        }
        let whole = count == rest.count;
        let part = if whole { cut } else { Some(rest.truncated(count)?) };
        let taken = part.as_ref().unwrap_or(batch);
        left.records -= count;
        left.bytes = left.bytes.saturating_sub(taken.body.len());
        (next, first) = (taken.end(), false);
        take(shared, part);
        if !whole {
            return Ok(Some(next));
        }
    }
    Ok(None)
}

/// `chunk` from `from` on, as far as there is `room`, and before `end`.
pub(super) fn fit(
    chunk: ReadChunk,
    from: Offset,
    room: Room,
    end: Option<Offset>,
) -> Result<ReadChunk, CorruptRecord> {
    let mut batches = Vec::with_capacity(chunk.batches.len());
    let cut = fit_each(chunk.batches.iter(), from, room, end, |batch: &RecordBatch, part| {
        batches.push(part.unwrap_or_else(|| batch.clone()));
    })?;
    // Beyond the last record there may be offsets without any.
    let to_end = || end.map_or(chunk.next, |end| chunk.next.min(end)).max(from);
    Ok(ReadChunk { next: cut.unwrap_or_else(to_end), batches })
}

/// How many records of `batch`, at most `most`, have room in `bytes`. With
/// `least_one` the first has room in any case.
fn within(
    batch: &RecordBatch,
    most: u32,
    bytes: usize,
    least_one: bool,
) -> Result<u32, CorruptRecord> {
    if most == batch.count && batch.body.len() <= bytes {
        return Ok(most);
    }
    let mut used = 0;
    for (n, raw) in (0..most).zip(batch.raw()) {
        used += raw?.1.len();
        if used > bytes && !(least_one && n == 0) {
            return Ok(n);
        }
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(base: u64, count: u32) -> RecordBatch {
        RecordBatch::of_text(base, count, 9)
    }

    /// Offsets of what is left, and the next one, of batches 0-4 and 7-9 with
    /// a gap up to 12. A record has 10 bytes.
    fn fitted(from: u64, records: u32, bytes: usize, end: Option<u64>) -> (Vec<u64>, u64) {
        let chunk = ReadChunk { batches: vec![batch(0, 5), batch(7, 3)], next: Offset(12) };
        let room = Room { budget: ReadBudget { records, bytes }, least_one: true };
        let chunk = fit(chunk, Offset(from), room, end.map(Offset)).unwrap();
        let offsets = chunk.batches.iter().flat_map(RecordBatch::iter);
        (offsets.map(|item| item.unwrap().0.0).collect(), chunk.next.0)
    }

    #[test]
    fn a_budget_that_suffices_leaves_all_and_the_gap_behind_it() {
        assert_eq!(fitted(0, 100, 1_000, None), (vec![0, 1, 2, 3, 4, 7, 8, 9], 12));
        assert_eq!(fitted(3, 5, 1_000, None), (vec![3, 4, 7, 8, 9], 12));
    }

    #[test]
    fn records_are_counted_exactly() {
        assert_eq!(fitted(0, 1, 1_000, None), (vec![0], 1));
        assert_eq!(fitted(0, 6, 1_000, None), (vec![0, 1, 2, 3, 4, 7], 8));
    }

    #[test]
    fn bytes_are_kept_but_for_one_record() {
        assert_eq!(fitted(0, 100, 35, None), (vec![0, 1, 2], 3));
        assert_eq!(fitted(0, 100, 1, None), (vec![0], 1));
    }

    #[test]
    fn nothing_comes_from_beyond_the_end() {
        assert_eq!(fitted(0, 100, 1_000, Some(8)), (vec![0, 1, 2, 3, 4, 7], 8));
        assert_eq!(fitted(0, 100, 1_000, Some(6)), (vec![0, 1, 2, 3, 4], 5));
        assert_eq!(fitted(0, 100, 1_000, Some(11)), (vec![0, 1, 2, 3, 4, 7, 8, 9], 11));
    }
}
