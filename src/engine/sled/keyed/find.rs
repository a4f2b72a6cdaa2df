//! Reading by key: what the runs and the memory say, and then the records.

use super::{hash, run::Run};
use crate::{
    domain::{Offset, RecordBatch},
    engine::{
        EngineError, ReadBudget, ReadChunk,
        sled::{
            catalog::{Partition, Shared},
            keys::Place,
            meta::VolumeState,
            read::{in_range, moved_meanwhile},
            store::Store,
            volume::{Extent, Volume},
        },
    },
};
use bytes::Bytes;
use std::collections::HashSet;

/// Volumes that one call looks into.
const VOLUMES: usize = 8;
/// Records that have a key's hash and not the key, packed bytes of their
/// batches: one call looks at no more of them.
const MISSED_BYTES: usize = 4 << 20;

/// As [`crate::engine::Engine::next_with_keys`]; `None` where records were
/// written before there was an index. Blocks.
pub(in crate::engine::sled) fn find(
    store: &Store,
    partition: &Partition,
    from: Offset,
    keys: &[Bytes],
    budget: ReadBudget,
) -> Result<Option<ReadChunk>, EngineError> {
    let mut hashes: Vec<u32> = keys.iter().map(|key| hash(key)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let keys: HashSet<&[u8]> = keys.iter().map(AsRef::as_ref).collect();
    moved_meanwhile(store, || {
        // The records first: whatever is noted later is of others.
        let shared = partition.shared.read().clone();
        in_range(&shared, from)?;
        let (noted_from, recent) = {
            let noted = partition.postings.lock();
            (noted.base, noted.matching(&hashes, from))
        };
        let search = Search {
            store,
            place: partition.place,
            keys: &keys,
            hashes: &hashes,
            noted_from,
            recent: &recent,
            out: ReadChunk { batches: vec![], next: from },
            records: budget.records.max(1),
            bytes: budget.bytes,
            missed: 0,
        };
        search.run(&shared)
    })
}

struct Search<'a> {
    store: &'a Store,
    place: Place,
    keys: &'a HashSet<&'a [u8]>,
    hashes: &'a [u32],
    /// From here on the postings are in memory: `recent`.
    noted_from: Offset,
    recent: &'a [Offset],
    out: ReadChunk,
    /// What is left of the budget.
    records: u32,
    bytes: usize,
    /// Bytes of batches that were read in vain.
    missed: usize,
}

/// How far one step came.
#[derive(PartialEq, Eq)]
enum Came {
    /// To the end of what it looked at.
    Through,
    /// To the end of the budget.
    Full,
    /// To records of which there is no index.
    NoIndex,
}

impl Search<'_> {
    fn run(mut self, shared: &Shared) -> Result<Option<ReadChunk>, EngineError> {
        let from = self.out.next;
        let ahead: Vec<Extent> = shared.all_extents().filter(|e| e.end > from).collect();
        for extent in ahead.into_iter().take(VOLUMES) {
            if self.out.next >= shared.tail {
                break;
            }
            if let Some(to) = self.lost(&extent) {
                // Told by the read that begins there.
                let here = self.out.next == from;
                return if here { Err(EngineError::Lost { to }) } else { Ok(Some(self.out)) };
            }
            match self.extent(&extent, extent.end.min(shared.tail))? {
                Came::Through => {}
                Came::NoIndex if self.out.next == from => return Ok(None),
                Came::Full | Came::NoIndex => break,
            }
        }
        Ok(Some(self.out))
    }

    /// Where what is lost ends, if the next record is.
    fn lost(&self, extent: &Extent) -> Option<Offset> {
        if self.out.next < extent.first {
            return Some(extent.first);
        }
        let row = self.store.volumes.row(extent.volume)?;
        (row.state == VolumeState::Lost).then_some(extent.end)
    }

    fn extent(&mut self, extent: &Extent, upto: Offset) -> Result<Came, EngineError> {
        let volume = self.store.volumes.get(extent.volume)?;
        let in_runs = upto.min(self.noted_from);
        while self.out.next < in_runs {
            let run = Run::behind(&volume, self.place, self.out.next)?;
            let Some(run) = run.filter(|run| run.base <= self.out.next) else {
                return Ok(Came::NoIndex);
            };
            let end = run.end.min(in_runs);
            let offsets = run.offsets(&volume, self.place, self.hashes)?;
            if self.take(&volume, &offsets, end)? == Came::Full {
                return Ok(Came::Full);
            }
        }
        self.take(&volume, self.recent, upto)
    }

    /// Takes those of `offsets` that are next, up to `end`.
    fn take(
        &mut self,
        volume: &Volume,
        offsets: &[Offset],
        end: Offset,
    ) -> Result<Came, EngineError> {
        let begin = offsets.partition_point(|at| *at < self.out.next);
        let mut held: Option<RecordBatch> = None;
        for at in offsets[begin..].iter().take_while(|at| **at < end) {
            let batch = match held.take().filter(|batch| *at < batch.end()) {
                Some(batch) => batch,
                None => self.batch(volume, *at)?,
            };
            let (one, read) = (self.record(&batch, *at)?, batch.body.len());
            held = Some(batch);
            let Some(one) = one else {
                self.missed += read;
                if self.missed > MISSED_BYTES {
                    self.out.next = at.plus(1);
                    return Ok(Came::Full);
                }
                continue;
            };
            let room = self.records > 0 && self.bytes >= one.body.len();
            if !room && !self.out.batches.is_empty() {
                self.out.next = *at;
                return Ok(Came::Full);
            }
            self.records = self.records.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(one.body.len());
            self.out.next = one.end();
            self.out.batches.push(one);
        }
        self.out.next = self.out.next.max(end);
        Ok(Came::Through)
    }

    fn batch(&self, volume: &Volume, at: Offset) -> Result<RecordBatch, EngineError> {
        let found = volume.batch_at(self.place, at)?.filter(|(head, _)| head.base <= at);
        volume.read_scattered(found.as_ref().map_or(0, |(_, batch)| batch.body.len()));
        found.map(|(_, batch)| batch).ok_or_else(|| self.missing(at))
    }

    /// The record at `at` alone, if it has one of the keys and not only a hash
    /// of theirs.
    fn record(&self, batch: &RecordBatch, at: Offset) -> Result<Option<RecordBatch>, EngineError> {
        let corrupt = |_| self.missing(at);
        let Some(rest) = batch.from_offset(at).map_err(corrupt)? else {
            return Err(self.missing(at));
        };
        let one = rest.truncated(1).map_err(corrupt)?;
        let wanted = match one.iter().next() {
            Some(record) => {
                let (_, record) = record.map_err(corrupt)?;
                record.key.is_some_and(|key| self.keys.contains(key))
            }
            None => false,
        };
        Ok(wanted.then_some(one))
    }

    fn missing(&self, at: Offset) -> EngineError {
        EngineError::Damaged(format!(
            "topic #{}, partition {}: offset {at} is in no volume",
            self.place.topic, self.place.partition
        ))
    }
}
