//! From bytes to knowledge: what a volume that was not sealed holds of each
//! partition.

use super::{
    catalog::{ActivePart, Partition, TopicState, WriteHead},
    keyed,
    keys::Place,
    state::{self, Table},
    store::Store,
    volume::{IndexEntry, Volume},
};
use crate::{
    domain::{EpochStart, Offset, Timestamp},
    engine::EngineError,
};
use std::sync::atomic::Ordering;

/// What a volume holds of `place`; `next` is where it begins if it holds
/// nothing. The walk begins at the last entry of the index, so it is short.
pub(super) fn scan(
    volume: &Volume,
    place: Place,
    next: Offset,
) -> Result<(ActivePart, WriteHead), EngineError> {
    let mut part = ActivePart::empty(volume.id, next);
    let mut head = WriteHead { next, last_append: Timestamp::MIN, ..WriteHead::default() };
    let Some((_, first)) = volume.batch_at(place, Offset::ZERO)? else {
        return Ok((part, head));
    };
    part.index = volume.index(place)?;
    part.extent.first_append = first.appended;
    let from = part.index.last().copied().unwrap_or(IndexEntry {
        offset: first.base,
        newest_before: Timestamp::MIN,
        appended: first.appended,
        bytes_before: 0,
    });
    part.extent.first = first.base;
    part.extent.end = from.offset;
    part.extent.bytes = from.bytes_before;
    part.extent.newest = from.newest_before;
    while let Some((value, batch)) = volume.batch_at(place, part.extent.end)? {
        if batch.base > part.extent.end {
            return Err(gap(volume, place, part.extent.end, batch.base));
        }
        // An entry of the index may lie inside a value that was merged later.
        let corrupt = |_| gap(volume, place, batch.base, batch.end());
        let Some(batch) = batch.from_offset(part.extent.end).map_err(corrupt)? else {
            return Err(gap(volume, place, part.extent.end, batch.end()));
        };
        part.grow(&batch, value.newest);
        // `grow` takes an empty part's first batch for its beginning.
        part.extent.first = first.base;
        part.extent.first_append = first.appended;
        head.since_index += batch.body.len() as u64;
    }
    head.next = part.extent.end;
    head.last_append = part.extent.last_append;
    Ok((part, head))
}

fn gap(volume: &Volume, place: Place, expected: Offset, found: Offset) -> EngineError {
    EngineError::Damaged(format!(
        "volume {}, topic #{}, partition {}: offsets {expected} to {} are missing",
        volume.id,
        place.topic,
        place.partition,
        found.minus(1)
    ))
}

/// Applies the table's changes that a volume holds, in order. Returns the last
/// sequence number.
pub(super) fn replay_state(volume: &Volume, table: &mut Table) -> Result<u64, EngineError> {
    let mut after = None;
    let mut last = 0;
    loop {
        let rows = volume.state_changes(after)?;
        let Some((key, _)) = rows.last() else { return Ok(last) };
        after = Some(*key);
        for (key, value) in rows {
            last = super::keys::parse_state(&key).unwrap_or(last);
            let changes = state::unpack(&value).ok_or_else(|| {
                EngineError::Damaged(format!("volume {}: a change of the table", volume.id))
            })?;
            changes.into_iter().for_each(|c| table.apply(c));
        }
    }
}

/// Takes what the reopened active volume holds, for every partition. Where
/// readers had seen more than survived, a new epoch begins.
pub(super) fn take_over(store: &Store, volume: &Volume) -> Result<(), EngineError> {
    let _admin = store.admin.lock();
    for topic in store.catalog.all() {
        for partition in &topic.partitions {
            take_over_partition(store, volume, &topic, partition)?;
        }
    }
    let mut table = store.table.write();
    replay_state(volume, &mut table).map(drop)
}

fn take_over_partition(
    store: &Store,
    volume: &Volume,
    topic: &TopicState,
    partition: &Partition,
) -> Result<(), EngineError> {
    let begins = partition.shared.read().extents.last().map(|e| e.end);
    let begins = begins.unwrap_or_else(|| partition.shared.read().start);
    let (part, head) = scan(volume, partition.place, begins)?;
    let tail = head.next;
    partition.forget_recent();
    if topic.topic().config.keyed {
        *partition.postings.lock() = keyed::recover(volume, partition.place, &part)?;
    }
    *partition.head.lock() = head;
    let mut shared = partition.shared.write();
    if tail < shared.tail {
        let epoch = shared.epoch().next();
        shared.epochs.retain(|e| e.first < tail);
        shared.epochs.push(EpochStart { epoch, first: tail });
        let mut change = super::meta::Change::default();
        change.epochs(partition.place, &shared.epochs);
        store.meta.commit(change)?;
    }
    shared.active = part;
    drop(shared);
    partition.synced.store(tail.0, Ordering::Release);
    partition.show(tail);
    Ok(())
}
