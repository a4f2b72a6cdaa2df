//! A partition's batches in their order, out of the two parts of a volume that
//! hold them: small ones wait in a part of their own until they are merged into
//! a full one. So what churns lies in leaves that are small, and what is there
//! to stay is written once.

use super::{
    guard,
    keys::{self, Place},
    value,
};
use crate::{
    domain::{Offset, RecordBatch},
    engine::EngineError,
};
use std::ops::Range;

/// A walk over a partition's batches. To be kept short: sled keeps each leaf
/// that was looked at meanwhile.
pub(super) struct Scan<'a> {
    db: &'a ::sled::Db,
    place: Place,
    /// What ends before the first of these was handed out.
    left: Range<Offset>,
    small: Rows,
    full: Rows,
    /// Whether nothing was handed out since it was looked for in both parts.
    fresh: bool,
}

/// One of the two parts, from a key on.
struct Rows {
    rows: ::sled::Iter,
    head: Option<(Offset, ::sled::IVec)>,
    /// sled would look for the end again, from the root of its tree.
    ended: bool,
}

impl<'a> Scan<'a> {
    /// The batches from the one that holds the first of `offsets` on, or the
    /// next one behind it: those that end within.
    pub(super) fn new(db: &'a ::sled::Db, place: Place, offsets: Range<Offset>) -> Scan<'a> {
        let small = Rows::small(db, place, &offsets);
        let full = Rows::full(db, place, &offsets);
        Scan { db, place, left: offsets, small, full, fresh: true }
    }

    /// The next batch, and how many bytes were read for it.
    pub(super) fn next(
        &mut self,
    ) -> Result<Option<(value::Head, RecordBatch, usize)>, EngineError> {
        while !self.left.is_empty() {
            let from = self.left.start;
            // Where a full one holds the offset, nothing else need be looked at.
            if let Some((last, bytes)) = self.full.take_if_holds(from)? {
                return self.hand_out(last, &bytes).map(Some);
            }
            if self.fresh {
                // What is merged is with the full ones before it leaves the
                // small ones: looked for there again, and only after the small
                // ones, it is in one of the two. In both, the full one has
                // what the small ones have lost.
                let base = |(_, bytes): &(Offset, ::sled::IVec)| value::base(bytes);
                let small = self.small.peek(from)?.map(base);
                self.full = Rows::full(self.db, self.place, &self.left);
                let full = self.full.peek(from)?.map(base);
                let rows = match (small, full) {
                    (Some(small), Some(full)) if full <= small => &mut self.full,
                    (Some(_), _) => &mut self.small,
                    (None, _) => &mut self.full,
                };
                let Some((last, bytes)) = rows.head.take() else { return Ok(None) };
                return self.hand_out(last, &bytes).map(Some);
            }
            if let Some((last, bytes)) = self.small.take_if_holds(from)? {
                return self.hand_out(last, &bytes).map(Some);
            }
            // What lies here may have been merged since it was looked for.
            *self = Scan::new(self.db, self.place, self.left.clone());
        }
        Ok(None)
    }

    fn hand_out(
        &mut self,
        last: Offset,
        bytes: &::sled::IVec,
    ) -> Result<(value::Head, RecordBatch, usize), EngineError> {
        let (head, batch) = self.decode(last, bytes)?;
        self.left.start = last.plus(1);
        self.fresh = false;
        Ok((head, batch, bytes.len()))
    }

    fn decode(
        &self,
        last: Offset,
        bytes: &::sled::IVec,
    ) -> Result<(value::Head, RecordBatch), EngineError> {
        let mut failed = None;
        let more = |i| {
            let key = keys::record(self.place, last, i);
            self.db.get(key).map_err(|e| failed.insert(guard::error(&e)).to_string())
        };
        let (head, batch) = value::decode(bytes, more)
            .map_err(|what| failed.unwrap_or(EngineError::Damaged(what)))?;
        if head.count == 0 || head.last() != last {
            return Err(EngineError::Damaged("a value is not what its key says".to_owned()));
        }
        Ok((head, batch))
    }
}

impl Rows {
    fn small(db: &::sled::Db, place: Place, offsets: &Range<Offset>) -> Rows {
        let from = keys::small(place, offsets.start);
        let to = keys::small(place, offsets.end.minus(1));
        Rows { rows: db.range(from..=to), head: None, ended: false }
    }

    fn full(db: &::sled::Db, place: Place, offsets: &Range<Offset>) -> Rows {
        let from = keys::record(place, offsets.start, 0);
        let to = keys::record(place, offsets.end.minus(1), u16::MAX);
        Rows { rows: db.range(from..=to), head: None, ended: false }
    }

    /// The next row, if its batch holds the offset `from`.
    fn take_if_holds(
        &mut self,
        from: Offset,
    ) -> Result<Option<(Offset, ::sled::IVec)>, EngineError> {
        let holds = |(_, bytes): &(Offset, ::sled::IVec)| {
            value::base(bytes).is_some_and(|base| base <= from)
        };
        let found = self.peek(from)?.is_some_and(holds);
        Ok(if found { self.head.take() } else { None })
    }

    /// The first row whose batch ends at `from` or later, without taking it.
    fn peek(&mut self, from: Offset) -> Result<Option<&(Offset, ::sled::IVec)>, EngineError> {
        self.head.take_if(|(last, _)| *last < from);
        while self.head.is_none() && !self.ended {
            let Some(row) = self.rows.next() else {
                self.ended = true;
                break;
            };
            let (key, bytes) = row.map_err(|e| guard::error(&e))?;
            let damaged = |what: &str| EngineError::Damaged(what.to_owned());
            let (last, chunk) =
                keys::parse_batch(&key).ok_or_else(|| damaged("a malformed key"))?;
            // Fences, and what belongs to a batch that was handed out.
            if keys::is_fence(chunk) || last < from {
                continue;
            }
            if chunk != 0 {
                return Err(damaged("the beginning of a large record is missing"));
            }
            self.head = Some((last, bytes));
        }
        Ok(self.head.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::{super::rows::rows, *};
    use crate::domain::{PartitionId, TopicId};

    const PLACE: Place = Place { topic: TopicId(1), partition: PartitionId(2) };

    fn insert(into: &mut ::sled::Batch, batch: &RecordBatch, small: bool) {
        let (mut encoder, mut packing) = Default::default();
        let (rows, _) = rows(PLACE, batch, small, &mut encoder, &mut packing).unwrap();
        rows.for_each(|(key, value)| into.insert(&key, value));
    }

    fn records(base: u64, count: u32) -> RecordBatch {
        RecordBatch::of_text(base, count, 9)
    }

    /// A store that has small batches of two records each at `small`.
    fn store(small: Range<u64>) -> ::sled::Db {
        let db = ::sled::Config::new().temporary(true).flush_every_ms(None).open().unwrap();
        let mut batch = ::sled::Batch::default();
        small.step_by(2).for_each(|base| insert(&mut batch, &records(base, 2), true));
        db.apply_batch(batch).unwrap();
        db
    }

    /// Merges the small batches of `small`, as the writer does.
    fn merge(db: &::sled::Db, small: Range<u64>) {
        merge_without(db, small.clone());
        remove(db, small);
    }

    /// The first half of it: the full one is there, and the small ones still are.
    fn merge_without(db: &::sled::Db, small: Range<u64>) {
        let mut batch = ::sled::Batch::default();
        let count = (small.end - small.start) as u32;
        insert(&mut batch, &records(small.start, count), false);
        db.apply_batch(batch).unwrap();
    }

    fn remove(db: &::sled::Db, small: Range<u64>) {
        let removed = |base| db.remove(keys::small(PLACE, Offset(base + 1))).unwrap();
        small.step_by(2).for_each(|base| assert!(removed(base).is_some()));
    }

    fn scan(db: &::sled::Db, from: u64) -> Scan<'_> {
        Scan::new(db, PLACE, Offset(from)..Offset(u64::MAX))
    }

    /// First and last offsets of what comes next.
    fn next(scan: &mut Scan<'_>) -> Option<(u64, u64)> {
        let (_, batch, _) = scan.next().unwrap()?;
        Some((batch.base.0, batch.end().0 - 1))
    }

    fn rest(scan: &mut Scan<'_>) -> Vec<(u64, u64)> {
        std::iter::from_fn(|| next(scan)).collect()
    }

    #[test]
    fn small_batches_and_full_ones_come_in_one_order() {
        let db = store(0..4);
        let mut batch = ::sled::Batch::default();
        insert(&mut batch, &records(4, 10), false);
        insert(&mut batch, &records(14, 2), true);
        insert(&mut batch, &records(16, 3), false);
        db.apply_batch(batch).unwrap();
        assert_eq!(rest(&mut scan(&db, 0)), [(0, 1), (2, 3), (4, 13), (14, 15), (16, 18)]);
        assert_eq!(rest(&mut scan(&db, 13)), [(4, 13), (14, 15), (16, 18)]);
        assert_eq!(rest(&mut scan(&db, 19)), []);
        let mut within = Scan::new(&db, PLACE, Offset(3)..Offset(16));
        assert_eq!(rest(&mut within), [(2, 3), (4, 13), (14, 15)]);
    }

    #[test]
    fn what_is_merged_meanwhile_is_missed_by_no_scan() {
        // Of so many leaves that none is looked at twice.
        let far = 200;
        for taken in 0..far / 2 {
            let db = store(0..far);
            let mut batch = ::sled::Batch::default();
            // What both parts have next is known before the other changes.
            insert(&mut batch, &records(far + 2, 3), false);
            db.apply_batch(batch).unwrap();
            let mut scan = scan(&db, 0);
            (0..taken).for_each(|n| assert_eq!(next(&mut scan), Some((2 * n, 2 * n + 1))));
            merge(&db, 0..far);
            let mut batch = ::sled::Batch::default();
            insert(&mut batch, &records(far, 2), true);
            db.apply_batch(batch).unwrap();
            let mut at = 2 * taken;
            for (base, last) in rest(&mut scan) {
                assert!(base <= at && last >= at, "{taken} taken: {base}-{last} at {at}");
                at = last + 1;
            }
            assert_eq!(at, far + 5, "{taken} taken");
        }
    }

    #[test]
    fn small_batches_that_were_merged_may_be_left_behind() {
        for removed in 0..=4 {
            let db = store(10..20);
            merge_without(&db, 10..18);
            remove(&db, 10..10 + 2 * removed);
            for from in 0..18 {
                assert_eq!(rest(&mut scan(&db, from)), [(10, 17), (18, 19)], "{removed} {from}");
            }
        }
    }

    #[test]
    fn the_next_batch_behind_a_gap_is_found_from_within_it() {
        let db = store(10..12);
        assert_eq!(next(&mut scan(&db, 3)), Some((10, 11)));
        let mut scan = scan(&db, 0);
        assert_eq!((next(&mut scan), next(&mut scan)), (Some((10, 11)), None));
        let mut batch = ::sled::Batch::default();
        insert(&mut batch, &records(20, 5), false);
        db.apply_batch(batch).unwrap();
        assert_eq!(next(&mut scan), Some((20, 24)));
    }
}
