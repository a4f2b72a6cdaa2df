//! The life of a volume around its time as the active one: prepared ahead,
//! sealed behind, deleted in the end. Every step is durable before the next
//! relies on it.

use super::{
    ballast::BALLAST_BYTES,
    copy, disk, guard, keys,
    meta::{Change, VolumeRow, VolumeState},
    state,
    store::Store,
    volume::{Volume, VolumeId},
};
use crate::engine::{EngineError, Health};
use std::{fs, path::Path, time::Instant};

/// Free space that sealing waits for: sled's snapshot and the state, many
/// times over.
const SEAL_BYTES: u64 = 16 << 20;

/// Makes the next volume, so that rolling is only a change of the catalogue:
/// listed as prepared, made beside, made durable, named, opened.
pub(super) fn prepare(store: &Store) -> Result<(), EngineError> {
    let id = reserve(store)?;
    let made = make(store, id);
    if made.is_err() {
        discard(store, id);
    }
    *store.prepared.lock() = Some(made?);
    Ok(())
}

fn make(store: &Store, id: VolumeId) -> Result<Volume, EngineError> {
    let dir = store.volumes.dir(id);
    let beside = dir.with_extension("new");
    let made = Volume::open(id, &beside, Volume::active(&store.config))?;
    let mut marker = ::sled::Batch::default();
    marker.insert(keys::MARKER, &id.0.to_be_bytes()[..]);
    made.apply(marker)?;
    made.sync()?;
    drop(made);
    publish(&beside, &dir)?;
    Volume::open(id, &dir, Volume::active(&store.config))
}

/// Takes back a volume that could not be made. What cannot be removed now is
/// removed when the store is opened.
pub(super) fn discard(store: &Store, id: VolumeId) {
    let dir = store.volumes.dir(id);
    let mut change = Change::default();
    change.remove_volume(id);
    let gone = disk::remove_dir(&dir.with_extension("new")).and_then(|()| disk::remove_dir(&dir));
    let _admin = store.admin.lock();
    let gone = gone.and_then(|()| store.meta.commit(change));
    if let Err(error) = gone {
        tracing::warn!(volume = %id, %error, "a volume that was not made is left behind");
    }
    store.volumes.forget_row(id);
}

/// Gives a volume that was made beside its name, durably.
pub(super) fn publish(beside: &Path, dir: &Path) -> Result<(), EngineError> {
    disk::sync_files(beside)?;
    fs::rename(beside, dir).map_err(|e| disk::at(dir, &e))?;
    dir.parent().map_or(Ok(()), disk::sync_dir)
}

/// Lists a new volume as prepared, durably, and returns its number.
pub(super) fn reserve(store: &Store) -> Result<VolumeId, EngineError> {
    let _admin = store.admin.lock();
    let row = VolumeRow::new(VolumeState::Prepared, (store.clock)());
    let id = store.volumes.reserve_id(row);
    let mut change = Change::default();
    change.volume(id, &row);
    let listed = store.meta.commit(change);
    if listed.is_err() {
        store.volumes.forget_row(id);
    }
    listed.map(|()| id)
}

/// Seals a volume that takes no more writes: synced, closed, opened once more
/// without flusher so that sled writes its snapshot, its extents listed.
pub(super) fn seal(store: &Store, id: VolumeId) -> Result<(), EngineError> {
    let began = Instant::now();
    // While it is open it can be read, disk full or not; closed, it needs
    // space to be opened again.
    // What was given up to be read on is not for this.
    let well = matches!(*store.health.read(), Health::Ready);
    let need = if well { SEAL_BYTES } else { SEAL_BYTES + BALLAST_BYTES };
    disk::need_free(&store.config.data_dir, need)?;
    if let Some(volume) = store.volumes.sealing(id) {
        // The writer synced it before it rolled; sled may remember a full disk.
        if let Err(error) = volume.sync() {
            tracing::warn!(volume = %id, %error, "a volume to be sealed could not be synced again");
        }
    }
    store.volumes.close(id);
    let sealed = settle(store, id);
    if sealed.is_ok() {
        store.meters.seal_seconds.observe_time(began.elapsed());
        tracing::info!(volume = %id, took = ?began.elapsed(), "sealed a volume");
    }
    store.volumes.reopen(id);
    sealed
}

fn settle(store: &Store, id: VolumeId) -> Result<(), EngineError> {
    let dir = store.volumes.dir(id);
    snapshot(store, id, &dir)?;
    let table = store.table.read().snapshot();
    state::store(&store.state_path(), &table)?;
    // No topic is deleted between the look at its extents and their listing.
    let _admin = store.admin.lock();
    let mut change = Change::default();
    let mut living = 0;
    for topic in store.catalog.all() {
        for partition in &topic.partitions {
            let shared = partition.shared.read();
            for extent in shared.extents.iter().filter(|e| e.volume == id) {
                change.extent(partition.place, extent);
                living += extent.bytes;
            }
        }
    }
    let row = store.volumes.row(id);
    let created = row.map_or((store.clock)(), |row| row.created);
    // What was deleted before is in it all the same, and may be worth a copy.
    let bytes = row.map_or(0, |row| row.bytes).max(living);
    let len = disk::len(&dir.join("db"));
    let row = VolumeRow { state: VolumeState::Sealed, created, len, bytes };
    change.volume(id, &row);
    store.meta.commit(change)?;
    store.volumes.set_row(id, row);
    Ok(())
}

/// Has sled write its snapshot, so that later openings are short, and makes
/// the files durable.
pub(super) fn snapshot(store: &Store, id: VolumeId, dir: &Path) -> Result<(), EngineError> {
    drop(Volume::open(id, dir, Volume::sealed(&store.config))?);
    guard::let_go(dir)?;
    disk::sync_files(dir)
}

/// Removes a volume in which nothing is alive: said durably, then closed, its
/// directory removed, its row forgotten.
pub(super) fn delete(store: &Store, id: VolumeId, mut change: Change) -> Result<(), EngineError> {
    let created = store.volumes.row(id).map_or((store.clock)(), |row| row.created);
    let row = VolumeRow::new(VolumeState::Deleting, created);
    change.volume(id, &row);
    {
        let _admin = store.admin.lock();
        store.meta.commit(change)?;
        store.volumes.set_row(id, row);
    }
    copy::forget_dead(store, id);
    finish_deletion(store, id)
}

/// Goes on with a deletion that was said.
pub(super) fn finish_deletion(store: &Store, id: VolumeId) -> Result<(), EngineError> {
    store.volumes.close(id);
    disk::remove_dir(&store.volumes.dir(id))?;
    let mut change = Change::default();
    change.remove_volume(id);
    {
        let _admin = store.admin.lock();
        store.meta.commit(change)?;
        store.volumes.forget_row(id);
    }
    store.volumes.reopen(id);
    store.meters.volumes_deleted.inc();
    Ok(())
}
