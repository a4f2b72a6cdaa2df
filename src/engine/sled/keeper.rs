//! The two threads behind the writer. The *keeper* makes the next volume in
//! time, writes the marks and moves starts by retention; the *janitor* seals,
//! deletes and copies volumes, which may take seconds.

use super::{
    ballast,
    catalog::{Partition, TopicState},
    copy,
    meta::{Change, VolumeState},
    retention, seal,
    store::{MIN_ROLL_BYTES, Store},
    volume::VolumeId,
};
use crate::{
    domain::Offset,
    engine::{EngineError, Health},
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::Ordering,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

/// How often the keeper looks whether the next volume is due.
const LOOK: Duration = Duration::from_millis(20);
/// How often marks are written and retention is enforced.
const ROUND: Duration = Duration::from_secs(1);
/// How often the janitor looks for work.
const SWEEP: Duration = Duration::from_millis(100);
/// Entries of the table that one round forgets: a short hold of its lock.
const EXPIRE: usize = 20_000;

/// Runs until `stop` says so or its sender is gone.
pub(super) fn keeper(store: &Arc<Store>, stop: &Receiver<()>) {
    let mut last = Instant::now();
    // Whether the space was there at the last look: files are looked at seldom.
    let mut kept = false;
    while stop.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
        step("preparing the next volume", || prepare_if_due(store));
        let well = matches!(*store.health.read(), Health::Ready);
        if well && !kept {
            let (data, reserve) = (&store.config.data_dir, store.config.reserve_bytes);
            step("keeping space", || {
                kept = ballast::take(data, reserve)?;
                Ok(())
            });
        }
        // At once when it is well again, which it may not be now.
        kept &= well;
        if last.elapsed() >= ROUND {
            last = Instant::now();
            kept = false;
            step("writing the marks", || store.store_marks(false));
            let data = &store.config.data_dir;
            step("keeping space", || ballast::hold(data));
            if store.meta.failed() {
                step("opening the catalogue anew", || {
                    ballast::without(data, || store.reopen_meta())
                });
            }
            step("enforcing retention", || enforce_retention(store));
            step("the round", || {
                round(store);
                Ok(())
            });
        }
    }
}

/// Runs until `stop` says so or its sender is gone.
pub(super) fn janitor(store: &Arc<Store>, stop: &Receiver<()>) {
    while stop.recv_timeout(SWEEP) == Err(RecvTimeoutError::Timeout) {
        for id in store.volumes.in_state(VolumeState::Sealing) {
            // In order, one by one: what is sealed is read before what is not.
            if !step("sealing a volume", || seal::seal(store, id)) {
                break;
            }
        }
        for id in store.volumes.in_state(VolumeState::Deleting) {
            step("deleting a volume", || seal::finish_deletion(store, id));
        }
        step("giving disk back", || reap(store));
    }
}

/// Does a step of the work; false if it failed.
fn step(what: &str, work: impl FnOnce() -> Result<(), EngineError>) -> bool {
    let done = super::guard::catch(work);
    if let Err(error) = &done {
        tracing::error!(%error, "{what} failed; it is tried again");
        // A disk that is full stays so for a while.
        std::thread::park_timeout(ROUND);
    }
    done.is_ok()
}

fn prepare_if_due(store: &Store) -> Result<(), EngineError> {
    let well = matches!(*store.health.read(), Health::Ready);
    if !well || store.prepared.lock().is_some() {
        return Ok(());
    }
    let bytes = store.roll.bytes.load(Ordering::Relaxed);
    let due = store.active_len.load(Ordering::Relaxed) >= bytes / 5 * 4;
    if due || store.roll.now.load(Ordering::Relaxed) { seal::prepare(store) } else { Ok(()) }
}

fn round(store: &Store) {
    let now = (store.clock)();
    store.roll.bytes.store(store.roll_bytes(), Ordering::Relaxed);
    store.table.write().expire(now, EXPIRE);
    store.volumes.close_idle();
    for topic in store.catalog.all() {
        topic.partitions.iter().for_each(Partition::forget_idle);
    }
    let Some(row) = store.volumes.active_id().and_then(|id| store.volumes.row(id)) else { return };
    let long =
        store.active_len.load(Ordering::Relaxed) >= MIN_ROLL_BYTES.min(store.config.roll_bytes);
    let old = store.roll_age().is_some_and(|age| now.since(row.created) >= age);
    if long && (old || active_is_dead(store)) {
        store.roll.now.store(true, Ordering::Relaxed);
    }
}

fn active_is_dead(store: &Store) -> bool {
    let mut live = 0;
    for topic in store.catalog.all() {
        for partition in &topic.partitions {
            let shared = partition.shared.read();
            live += shared.active.extent.live_bytes(shared.start);
        }
    }
    retention::mostly_dead(live, store.active_bytes.load(Ordering::Relaxed))
}

/// Moves the starts of all partitions to where their topic's settings say.
pub(super) fn enforce_retention(store: &Store) -> Result<(), EngineError> {
    let now = (store.clock)();
    let _admin = store.admin.lock();
    let mut change = Change::default();
    let mut moves = vec![];
    for topic in store.catalog.all() {
        let config = topic.topic().config.clone();
        if config.retention_ms.is_none() && config.retention_bytes.is_none() {
            continue;
        }
        for (index, partition) in topic.partitions.iter().enumerate() {
            let shared = partition.shared.read();
            // What is not synced may yet be lost; a start beyond it would lie.
            let synced = Offset(partition.synced.load(Ordering::Acquire));
            let start = retention::retained_start(&shared, &config, now).min(synced);
            if start > shared.start {
                change.start(partition.place, start, shared.trimmed_to);
                moves.push((topic.clone(), index, start));
            }
        }
    }
    if moves.is_empty() {
        return Ok(());
    }
    store.meta.commit(change)?;
    for (topic, index, start) in moves {
        move_start(&topic.partitions[index], start);
        store.meters.retention_moves.inc();
    }
    Ok(())
}

fn move_start(partition: &Partition, start: Offset) {
    let mut shared = partition.shared.write();
    shared.start = shared.start.max(start);
}

/// Deletes sealed volumes in which nothing is alive, and copies those in which
/// little is.
fn reap(store: &Store) -> Result<(), EngineError> {
    let topics: Vec<Arc<TopicState>> = store.catalog.all();
    let live: BTreeMap<VolumeId, u64> = retention::live_by_volume(&topics);
    let mut sealed = vec![];
    for (id, row) in store.volumes.rows() {
        match (live.get(&id), row.state) {
            (None, VolumeState::Sealed | VolumeState::Lost) => {
                // Said in the marks first: a start beyond it is durable.
                store.store_marks(false)?;
                let mut change = Change::default();
                copy::drop_dead(store, id, &mut change);
                seal::delete(store, id, change)?;
            }
            (Some(live), VolumeState::Sealed) => sealed.push((id, *live, row.bytes)),
            _ => {}
        }
    }
    // One that cannot be read is left as it is: whoever reads it is told.
    sealed.retain(|(id, _, _)| !store.unreadable.lock().contains(id));
    let worth = retention::worth_copying(&sealed, store.config.roll_bytes);
    if worth.is_empty() || store.may_write().is_err() {
        return Ok(());
    }
    let copied = copy::copy(store, &worth);
    if matches!(copied, Err(EngineError::Damaged(_))) {
        store.unreadable.lock().extend(worth);
    }
    copied
}
