//! Reading: from which volume, how much, and by time.

use super::{
    catalog::{Partition, Shared},
    keys::Place,
    meta::VolumeState,
    store::Store,
    volume::Extent,
};
use crate::{
    domain::{Offset, RecordBatch, Timestamp},
    engine::{EngineError, ReadBudget, ReadChunk},
};
use std::ops::ControlFlow;

/// How often a read looks again while volumes come and go.
const LOOKS: usize = 5;

/// Reads from `from` on, within one volume, up to the tail. Blocks.
pub(super) fn read(
    store: &Store,
    partition: &Partition,
    from: Offset,
    budget: ReadBudget,
) -> Result<ReadChunk, EngineError> {
    moved_meanwhile(store, || read_once(store, partition, from, budget))
}

/// Looks again when what was looked for was copied or deleted in between: the
/// volume that it was in is not listed any more.
pub(super) fn moved_meanwhile<T>(
    store: &Store,
    mut look: impl FnMut() -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    for _ in 0..LOOKS {
        let before = store.volumes.changes();
        match look() {
            Err(EngineError::Damaged(_)) if store.volumes.changes() != before => {}
            other => return other,
        }
    }
    look()
}

fn read_once(
    store: &Store,
    partition: &Partition,
    from: Offset,
    budget: ReadBudget,
) -> Result<ReadChunk, EngineError> {
    let (extent, tail) = {
        let shared = partition.shared.read();
        in_range(&shared, from)?;
        if from == shared.tail {
            return Ok(ReadChunk { batches: vec![], next: from });
        }
        (shared.extent_at(from), shared.tail)
    };
    let extent = extent.ok_or_else(|| hole(partition.place, from))?;
    if from < extent.first {
        // A part of the store that is gone lies before this extent.
        return Err(EngineError::Lost { to: extent.first });
    }
    if store.volumes.row(extent.volume).is_some_and(|row| row.state == VolumeState::Lost) {
        return Err(EngineError::Lost { to: extent.end });
    }
    collect(store, partition.place, extent, from..tail, budget)
}

pub(super) fn in_range(shared: &Shared, asked: Offset) -> Result<(), EngineError> {
    if (shared.start..=shared.tail).contains(&asked) {
        return Ok(());
    }
    Err(EngineError::OffsetOutOfRange { asked, start: shared.start, tail: shared.tail })
}

fn hole(place: Place, at: Offset) -> EngineError {
    EngineError::Damaged(format!(
        "topic #{}, partition {}: offset {at} is in no volume",
        place.topic, place.partition
    ))
}

fn collect(
    store: &Store,
    place: Place,
    extent: Extent,
    range: std::ops::Range<Offset>,
    budget: ReadBudget,
) -> Result<ReadChunk, EngineError> {
    let volume = store.volumes.get(extent.volume)?;
    let corrupt = |_| hole(place, range.start);
    let end = range.end.min(extent.end);
    let mut chunk = ReadChunk { batches: vec![], next: range.start };
    let (mut records, mut bytes) = (u64::from(budget.records.max(1)), budget.bytes);
    let mut had_enough = false;
    volume.batches(place, range.start..Offset(u64::MAX), |head, batch| {
        let rest = if head.base <= chunk.next {
            batch.from_offset(chunk.next).map_err(corrupt)?
        } else {
            None
        };
        let Some(batch) = rest else { return Err(hole(place, chunk.next)) };
        had_enough = !chunk.batches.is_empty() && batch.body.len() > bytes;
        if !had_enough {
            let whole = batch.end();
            let batch = fit(batch, end, records, bytes).map_err(corrupt)?;
            records -= u64::from(batch.count);
            bytes = bytes.saturating_sub(batch.body.len());
            chunk.next = batch.end();
            chunk.batches.push(batch);
            had_enough = chunk.next < whole || chunk.next >= end || records == 0 || bytes == 0;
        }
        Ok(if had_enough { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if had_enough { Ok(chunk) } else { Err(hole(place, chunk.next)) }
}

/// The records of `batch` that may still be taken: at least one.
fn fit(
    batch: RecordBatch,
    end: Offset,
    records: u64,
    bytes: usize,
) -> Result<RecordBatch, crate::domain::CorruptRecord> {
    let most = end.since(batch.base).min(records).min(u64::from(u32::MAX)) as u32;
    let batch = batch.truncated(most)?;
    if batch.body.len() <= bytes {
        return Ok(batch);
    }
    let pieces = batch.split(bytes)?;
    Ok(pieces.into_iter().next().unwrap_or(batch))
}

/// The first offset whose record is of `time` or later; the tail if none is.
/// Blocks.
pub(super) fn offset_at(
    store: &Store,
    partition: &Partition,
    time: Timestamp,
) -> Result<Offset, EngineError> {
    moved_meanwhile(store, || offset_once(store, partition, time))
}

fn offset_once(
    store: &Store,
    partition: &Partition,
    time: Timestamp,
) -> Result<Offset, EngineError> {
    let shared = partition.shared.read().clone();
    let candidates = shared
        .all_extents()
        .filter(|e| e.end > shared.start && e.newest >= time)
        .collect::<Vec<_>>();
    for extent in candidates {
        if store.volumes.row(extent.volume).is_some_and(|row| row.state == VolumeState::Lost) {
            continue;
        }
        if let Some(found) = search(store, partition.place, extent, &shared, time)? {
            return Ok(found.min(shared.tail));
        }
    }
    Ok(shared.tail)
}

fn search(
    store: &Store,
    place: Place,
    extent: Extent,
    shared: &Shared,
    time: Timestamp,
) -> Result<Option<Offset>, EngineError> {
    let volume = store.volumes.get(extent.volume)?;
    let mut index = volume.index(place)?;
    // A volume that is a copy may hold several extents.
    index.retain(|e| (extent.first..extent.end).contains(&e.offset));
    // The last entry before which everything is older than `time`.
    let before = index.partition_point(|e| e.newest_before < time);
    let hint =
        before.checked_sub(1).and_then(|at| index.get(at)).map_or(extent.first, |e| e.offset);
    let mut next = hint.max(shared.start).max(extent.first);
    let end = extent.end.min(shared.tail);
    while next < end {
        let Some((head, batch)) = volume.batch_at(place, next)? else { return Ok(None) };
        if head.newest >= time {
            for item in batch.iter() {
                let (offset, record) = item.map_err(|_| hole(place, next))?;
                if offset >= next && record.timestamp >= time {
                    return Ok(Some(offset));
                }
            }
        }
        next = batch.end();
    }
    Ok(None)
}
