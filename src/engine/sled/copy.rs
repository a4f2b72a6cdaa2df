//! Sealed volumes of which little is alive are copied into a fresh one, so
//! that what is dead gives its disk back; several into one, so that many small
//! volumes do not pile up.

use super::{
    catalog::Partition,
    fence::Fencing,
    keyed::{self, Postings},
    keys,
    meta::{Change, VolumeRow, VolumeState},
    seal,
    store::Store,
    value,
    volume::{Extent, IndexEntry, Volume, VolumeId},
};
use crate::{domain::Offset, engine::EngineError};
use std::sync::Arc;

/// Values in one batch of the copy: few, so that publishers are not held up.
const VALUES: usize = 12;

/// One partition's part, before and after.
struct Moved {
    topic: Arc<super::catalog::TopicState>,
    partition: usize,
    old: Extent,
    new: Extent,
}

/// Copies what is alive in `ids` into one fresh volume and deletes them.
pub(super) fn copy(store: &Store, ids: &[VolumeId]) -> Result<(), EngineError> {
    let to = seal::reserve(store)?;
    let moved = write_copy(store, ids, to).inspect_err(|_| seal::discard(store, to))?;
    // Where this fails the catalogue may name the copy all the same: it stays,
    // unused, until the next start.
    take_over(store, ids, to, &moved)?;
    store.meters.volumes_copied.add(ids.len() as u64);
    ids.iter().try_for_each(|id| seal::finish_deletion(store, *id))
}

fn write_copy(store: &Store, ids: &[VolumeId], to: VolumeId) -> Result<Vec<Moved>, EngineError> {
    let dir = store.volumes.dir(to);
    let beside = dir.with_extension("new");
    let fresh = Volume::open(to, &beside, Volume::active(&store.config))?;
    let mut moved = vec![];
    for topic in store.catalog.all() {
        for (index, partition) in topic.partitions.iter().enumerate() {
            let (start, olds) = {
                let shared = partition.shared.read();
                let of = |e: &&Extent| ids.contains(&e.volume) && e.end > shared.start;
                (shared.start, shared.extents.iter().filter(of).copied().collect::<Vec<_>>())
            };
            for old in olds {
                let keyed = topic.topic().config.keyed;
                let new = copy_extent(store, &fresh, partition, old, start, keyed)?;
                moved.push(Moved { topic: topic.clone(), partition: index, old, new });
            }
        }
    }
    fresh.sync()?;
    drop(fresh);
    seal::snapshot(store, to, &beside)?;
    seal::publish(&beside, &dir)?;
    Ok(moved)
}

fn copy_extent(
    store: &Store,
    fresh: &Volume,
    partition: &Partition,
    old: Extent,
    start: Offset,
    keyed: bool,
) -> Result<Extent, EngineError> {
    let place = partition.place;
    let mut next = start.max(old.first);
    let mut new = Extent { volume: fresh.id, bytes: 0, ..old };
    let mut begun = false;
    let mut index = store.volumes.get(old.volume)?.index(place)?.into_iter().peekable();
    let (mut encoder, mut packing) = (value::Encoder::default(), value::Packing::default());
    let mut fencing = Fencing::default();
    let mut postings = Postings::from(next);
    while next < old.end {
        let mut batch = ::sled::Batch::default();
        let (base, mut lasts) = (next, vec![]);
        let from = store.volumes.get(old.volume)?;
        for _ in 0..VALUES {
            if next >= old.end {
                break;
            }
            let found = from.batch_at(place, next)?.filter(|(head, _)| head.base <= next);
            let (head, records) = found.ok_or_else(|| missing(old.volume, next))?;
            if !begun {
                (new.first, new.first_append, begun) = (records.base, records.appended, true);
                postings = Postings::from(records.base);
            }
            while index.next_if(|e| e.offset < records.base).is_some() {}
            if let Some(entry) = index.next_if(|e| e.offset <= head.last()) {
                let entry = IndexEntry { bytes_before: new.bytes, ..entry };
                batch.insert(&keys::index(place, entry.offset), entry.encode());
            }
            let chunks = encoder.encode(&records, (head.oldest, head.newest), &mut packing);
            lasts.push(head.last());
            for (i, chunk) in chunks.into_iter().enumerate() {
                batch.insert(&keys::record(place, head.last(), i as u16), chunk);
            }
            if keyed {
                let corrupt = |_| missing(old.volume, next);
                postings.add(&records).map_err(corrupt)?;
            }
            new.bytes += records.body.len() as u64;
            next = records.end();
        }
        drop(from);
        for at in fencing.ahead_of(base, &lasts, keyed) {
            fresh.fence(place, at)?;
        }
        fresh.apply(batch)?;
        if keyed && (postings.is_due() || next >= old.end) {
            keyed::write(fresh, place, &postings)?;
            postings.begin_anew();
        }
    }
    Ok(new)
}

fn missing(volume: VolumeId, at: Offset) -> EngineError {
    EngineError::Damaged(format!("volume {volume}: offset {at} is missing"))
}

/// The copies take the place of the originals: in the catalogue in one step,
/// and then for readers.
fn take_over(
    store: &Store,
    ids: &[VolumeId],
    to: VolumeId,
    moved: &[Moved],
) -> Result<(), EngineError> {
    let _admin = store.admin.lock();
    let mut change = Change::default();
    let alive = |m: &&Moved| store.catalog.find(&m.topic.topic()).is_ok();
    for m in moved.iter().filter(alive) {
        let place = m.topic.partitions[m.partition].place;
        change.remove_extent(place, m.old.first);
        change.extent(place, &m.new);
    }
    // Taken together they are as old as the newest of them.
    let created = ids.iter().filter_map(|id| store.volumes.row(*id)).map(|row| row.created).max();
    let created = created.unwrap_or_else(|| (store.clock)());
    let sealed = VolumeRow {
        state: VolumeState::Sealed,
        created,
        len: super::disk::len(&store.volumes.dir(to).join("db")),
        bytes: moved.iter().map(|m| m.new.bytes).sum(),
    };
    let deleting = VolumeRow::new(VolumeState::Deleting, created);
    change.volume(to, &sealed);
    for id in ids {
        change.volume(*id, &deleting);
        drop_dead(store, *id, &mut change);
    }
    store.meta.commit(change)?;
    store.volumes.set_row(to, sealed);
    ids.iter().for_each(|id| store.volumes.set_row(*id, deleting));
    for m in moved {
        let mut shared = m.topic.partitions[m.partition].shared.write();
        for extent in shared.extents.iter_mut().filter(|e| **e == m.old) {
            *extent = m.new;
        }
    }
    ids.iter().for_each(|id| forget_dead(store, *id));
    Ok(())
}

/// Takes the extents of `id` that are dead out of the catalogue.
pub(super) fn drop_dead(store: &Store, id: VolumeId, change: &mut Change) {
    for topic in store.catalog.all() {
        for partition in &topic.partitions {
            let shared = partition.shared.read();
            let dead = |e: &&Extent| e.volume == id && e.end <= shared.start;
            for extent in shared.extents.iter().filter(dead) {
                change.remove_extent(partition.place, extent.first);
            }
        }
    }
}

/// The same in memory.
pub(super) fn forget_dead(store: &Store, id: VolumeId) {
    for topic in store.catalog.all() {
        for partition in &topic.partitions {
            let mut shared = partition.shared.write();
            let start = shared.start;
            shared.extents.retain(|e| e.volume != id || e.end > start);
        }
    }
}
