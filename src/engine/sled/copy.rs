//! A sealed volume of which little is alive is copied into a fresh one, so
//! that what is dead gives its disk back.

use super::{
    catalog::Partition,
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

/// Copies what is alive in `id` into a volume of its own and deletes `id`.
pub(super) fn copy(store: &Store, id: VolumeId) -> Result<(), EngineError> {
    let to = seal::reserve(store)?;
    let dir = store.volumes.dir(to);
    let beside = dir.with_extension("new");
    let fresh = Volume::open(to, &beside, Volume::active(&store.config))?;
    let mut moved = vec![];
    for topic in store.catalog.all() {
        for (index, partition) in topic.partitions.iter().enumerate() {
            let (start, olds) = {
                let shared = partition.shared.read();
                let of = |e: &&Extent| e.volume == id && e.end > shared.start;
                (shared.start, shared.extents.iter().filter(of).copied().collect::<Vec<_>>())
            };
            for old in olds {
                let new = copy_extent(store, &fresh, partition, old, start)?;
                moved.push(Moved { topic: topic.clone(), partition: index, old, new });
            }
        }
    }
    fresh.sync()?;
    drop(fresh);
    seal::snapshot(store, to, &beside)?;
    seal::publish(&beside, &dir)?;
    take_over(store, id, to, &moved)?;
    store.meters.volumes_copied.inc();
    seal::finish_deletion(store, id)
}

fn copy_extent(
    store: &Store,
    fresh: &Volume,
    partition: &Partition,
    old: Extent,
    start: Offset,
) -> Result<Extent, EngineError> {
    let place = partition.place;
    let mut next = start.max(old.first);
    let mut new = Extent { volume: fresh.id, bytes: 0, ..old };
    let mut begun = false;
    let mut index = store.volumes.get(old.volume)?.index(place)?.into_iter().peekable();
    while next < old.end {
        let mut batch = ::sled::Batch::default();
        let from = store.volumes.get(old.volume)?;
        for _ in 0..VALUES {
            if next >= old.end {
                break;
            }
            let found = from.batch_at(place, next)?.filter(|(head, _)| head.base <= next);
            let (head, records) = found.ok_or_else(|| {
                EngineError::Damaged(format!("volume {}: offset {next} is missing", old.volume))
            })?;
            if !begun {
                (new.first, new.first_append, begun) = (records.base, records.appended, true);
            }
            while index.next_if(|e| e.offset < records.base).is_some() {}
            if let Some(entry) = index.next_if(|e| e.offset <= head.last()) {
                let entry = IndexEntry { bytes_before: new.bytes, ..entry };
                batch.insert(&keys::index(place, entry.offset), entry.encode());
            }
            let chunks = value::encode(&records, (head.oldest, head.newest));
            for (i, chunk) in chunks.into_iter().enumerate() {
                batch.insert(&keys::record(place, head.last(), i as u16), chunk);
            }
            new.bytes += records.body.len() as u64;
            next = records.end();
        }
        drop(from);
        fresh.apply(batch)?;
    }
    Ok(new)
}

/// The copies take the place of the originals: in the catalogue in one step,
/// and then for readers.
fn take_over(store: &Store, id: VolumeId, to: VolumeId, moved: &[Moved]) -> Result<(), EngineError> {
    let _admin = store.admin.lock();
    let mut change = Change::default();
    let alive = |m: &&Moved| store.catalog.find(&m.topic.topic()).is_ok();
    for m in moved.iter().filter(alive) {
        let place = m.topic.partitions[m.partition].place;
        change.remove_extent(place, m.old.first);
        change.extent(place, &m.new);
    }
    let created = store.volumes.row(id).map_or((store.clock)(), |row| row.created);
    let sealed = VolumeRow {
        state: VolumeState::Sealed,
        created,
        len: super::disk::len(&store.volumes.dir(to).join("db")),
        bytes: moved.iter().map(|m| m.new.bytes).sum(),
    };
    let deleting = VolumeRow::new(VolumeState::Deleting, created);
    change.volume(to, &sealed);
    change.volume(id, &deleting);
    drop_dead(store, id, &mut change);
    store.meta.commit(change)?;
    store.volumes.set_row(to, sealed);
    store.volumes.set_row(id, deleting);
    for m in moved {
        let mut shared = m.topic.partitions[m.partition].shared.write();
        for extent in shared.extents.iter_mut().filter(|e| **e == m.old) {
            *extent = m.new;
        }
    }
    forget_dead(store, id);
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
