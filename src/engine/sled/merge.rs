//! Small batches of earlier commits become full ones: while nobody waits for an
//! answer, or else along with the next commit. First the full one is put there,
//! and then the small ones go, one by one, so that whoever comes meanwhile waits
//! for no more than a row. What a crash leaves of them is passed over by all who
//! read (see `scan`).

use super::{
    catalog::{TopicState, WriteHead},
    config::VALUE_BYTES,
    keys,
    rows::{Records, merged, rows},
    value,
};
use crate::{
    domain::{CorruptRecord, Offset, PartitionId, RecordBatch},
    engine::EngineError,
};
use bytes::Bytes;
use std::sync::Arc;

/// What the writer merges in one turn, about: it counts towards what goes to
/// sled between two syncs, and others wait for it.
pub(super) const MERGE_BYTES: usize = 128 << 10;
/// Space on the disk, bytes, without which nothing is merged: a merge that a full
/// disk cuts short would keep readers from records that are there.
pub(super) const FREE_TO_MERGE: u64 = 16 << 20;
/// So many merges wait for their turn at most. Beyond that, small batches stay
/// as they are.
pub(super) const MERGES: usize = 256;
/// So many small batches that were merged may wait to be removed while others
/// wait for a commit.
pub(super) const REMOVALS: usize = 1024;

/// Small batches of one partition that follow each other, to be made one.
pub(super) struct Merge {
    pub(super) topic: Arc<TopicState>,
    pub(super) partition: PartitionId,
    pub(super) small: Vec<RecordBatch>,
}

/// What is to be written for merges.
#[derive(Default)]
pub(super) struct Merged {
    /// Fences that come first.
    pub(super) fences: Vec<(keys::Place, Offset)>,
    /// The full batches.
    pub(super) full: Records,
    /// The small ones, which go once those are there.
    pub(super) small: Vec<Removal>,
}

/// A row to be removed, and about what sled writes for that: its leaf without it.
pub(super) type Removal = ([u8; keys::RECORD_LEN], usize);

impl Merged {
    /// Takes a merge in.
    pub(super) fn add(
        &mut self,
        merge: &Merge,
        encoder: &mut value::Encoder,
    ) -> Result<(), EngineError> {
        let corrupt = |e: CorruptRecord| {
            EngineError::Unavailable(format!("records were packed wrongly: {e}"))
        };
        let home = merge.topic.partition(merge.partition)?;
        let place = home.place;
        let full = merged(&merge.small).map_err(corrupt)?;
        let small = |b: &RecordBatch| (keys::small(place, b.end().minus(1)), b.body.len());
        self.small.extend(merge.small.iter().map(small));
        let mut head = home.head.lock();
        let (rows, _) = rows(place, &full, false, encoder, &mut head.packing).map_err(corrupt)?;
        self.full.add(rows);
        let keyed = merge.topic.topic().config.keyed;
        let fences = head.fencing.ahead_of(full.base, &[full.end().minus(1)], keyed);
        self.fences.extend(fences.into_iter().map(|at| (place, at)));
        Ok(())
    }
}

impl WriteHead {
    /// Keeps a small batch in mind that is to be merged, if `new` is one.
    /// Answers those to be merged now: they make a full one, or cannot go on,
    /// since what comes next is large.
    pub(super) fn take_small(&mut self, new: Option<&RecordBatch>) -> Vec<RecordBatch> {
        // A merged record carries its own time: 8 bytes and a longer length.
        let grown = |b: &RecordBatch| b.body.len() + 9 * b.count as usize;
        let held = self.small.iter().map(grown).sum::<usize>();
        let goes_on = new.is_some_and(|new| held + grown(new) <= VALUE_BYTES);
        let waited = if goes_on { vec![] } else { std::mem::take(&mut self.small) };
        // Its bytes alone, not the whole request that they are a part of.
        let own =
            |b: &RecordBatch| RecordBatch { body: Bytes::copy_from_slice(&b.body), ..b.clone() };
        self.small.extend(new.map(own));
        waited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many batches are to be merged with each that comes; `None` is a
    /// large one.
    fn merges(sizes: impl IntoIterator<Item = Option<usize>>) -> Vec<usize> {
        let mut head = WriteHead::default();
        let batch = |size| RecordBatch::of_text(0, 1, size);
        let come = |size: Option<usize>| head.take_small(size.map(batch).as_ref()).len();
        sizes.into_iter().map(come).collect()
    }

    #[test]
    fn small_batches_wait_until_they_make_a_full_one() {
        let of_a_kib = merges(std::iter::repeat_n(Some(1_000), 34));
        let due: Vec<_> = of_a_kib.iter().enumerate().filter(|(_, n)| **n > 0).collect();
        assert_eq!(due, [(16, &16), (32, &16)]);
    }

    #[test]
    fn a_large_batch_ends_the_wait() {
        let some = [Some(10), Some(10), None, None, Some(10), None];
        assert_eq!(merges(some), [0, 0, 2, 0, 0, 1]);
    }
}
