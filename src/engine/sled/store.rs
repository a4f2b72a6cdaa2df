//! What the engine's threads share: catalogue, volumes, table, health; and the
//! two steps that touch all of them, the roll and the reopening.

use super::{
    catalog::Catalog,
    config::SledConfig,
    disk,
    fence::Fencing,
    guard,
    marks::{CleanStop, Marks},
    meta::{Change, Meta, VolumeRow, VolumeState},
    meters::Meters,
    recover,
    state::Table,
    volume::{Extent, Volume, VolumeId},
    volumes::Volumes,
};
use crate::{
    domain::{Clock, Offset, Timestamp},
    engine::{EngineError, Health},
};
use parking_lot::{Mutex, RwLock};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

/// A volume smaller than this is not rolled because of its age or because
/// what it holds is dead.
pub(super) const MIN_ROLL_BYTES: u64 = 16 << 20;

/// When the active volume is to be rolled.
#[derive(Debug)]
pub(super) struct RollWhen {
    /// At this length of its log.
    pub(super) bytes: AtomicU64,
    /// As soon as the next volume is there.
    pub(super) now: AtomicBool,
}

/// Shared by the writer, the keeper and everybody who calls the engine.
pub(super) struct Store {
    pub(super) config: SledConfig,
    pub(super) clock: Clock,
    pub(super) meta: Meta,
    pub(super) catalog: Catalog,
    pub(super) volumes: Volumes,
    pub(super) table: RwLock<Table>,
    pub(super) health: RwLock<Health>,
    pub(super) meters: Meters,
    /// The next volume, made ahead.
    pub(super) prepared: Mutex<Option<Volume>>,
    pub(super) roll: RollWhen,
    /// Length of the active volume's log, as the writer saw it last.
    pub(super) active_len: AtomicU64,
    /// Packed bytes that were appended to it, those of topics gone since too.
    pub(super) active_bytes: AtomicU64,
    /// Changes of topics are made one at a time.
    pub(super) admin: Mutex<()>,
    pub(super) marks: Mutex<Marks>,
    pub(super) closing: AtomicBool,
    /// Sealed volumes that a copy could not read.
    pub(super) unreadable: Mutex<BTreeSet<VolumeId>>,
}

impl Store {
    pub(super) fn marks_path(&self) -> PathBuf {
        self.config.data_dir.join("marks")
    }

    pub(super) fn state_path(&self) -> PathBuf {
        self.config.data_dir.join("state")
    }

    pub(super) fn set_health(&self, health: Health) {
        *self.health.write() = health;
    }

    /// Whether anything may be written now: the store is well, and the disk
    /// has more than the reserve.
    pub(super) fn may_write(&self) -> Result<(), EngineError> {
        if let Health::ReadOnly(why) | Health::Down(why) = &*self.health.read() {
            return Err(EngineError::Unavailable(why.clone()));
        }
        let free = disk::free_bytes(&self.config.data_dir)?;
        if free < self.config.reserve_bytes {
            return Err(EngineError::OutOfSpace(format!(
                "{} MiB are free and {} MiB are kept in reserve: free some, trim a topic, \
                 or lower --sled-reserve-bytes",
                free >> 20,
                self.config.reserve_bytes >> 20
            )));
        }
        Ok(())
    }

    pub(super) fn note_active_len(&self, len: u64) {
        self.active_len.store(len, Ordering::Relaxed);
    }

    pub(super) fn roll_due(&self, len: u64) -> bool {
        len >= self.roll.bytes.load(Ordering::Relaxed) || self.roll.now.load(Ordering::Relaxed)
    }

    /// Makes `next` the volume that takes writes. Called by the writer between
    /// two commits, with everything synced.
    ///
    /// The catalogue says so, durably, before the first record goes there.
    pub(super) fn roll(&self, next: Volume, now: Timestamp) -> Result<(), EngineError> {
        let Some(old) = self.volumes.active() else { return Ok(()) };
        // Topics are neither made nor deleted between the freezing of the first
        // and the last partition, and the catalogue is not held against what is
        // known while it is ahead of that.
        let _admin = self.admin.lock();
        let sealing = VolumeRow {
            state: VolumeState::Sealing,
            bytes: self.active_bytes.load(Ordering::Relaxed),
            ..self.volumes.row(old.id).unwrap_or(VolumeRow::new(VolumeState::Sealing, now))
        };
        let active = VolumeRow::new(VolumeState::Active, now);
        let rows = [(old.id, sealing), (next.id, active)];
        let mut change = Change::default();
        rows.iter().for_each(|(id, row)| change.volume(*id, row));
        self.meta.commit(change)?;
        let next_id = next.id;
        self.volumes.roll(next, rows);
        self.roll.now.store(false, Ordering::Relaxed);
        self.note_active_len(0);
        self.active_bytes.store(0, Ordering::Relaxed);
        for topic in self.catalog.all() {
            for partition in &topic.partitions {
                let mut head = partition.head.lock();
                head.small.clear();
                head.since_index = 0;
                head.fencing = Fencing::default();
                partition.shared.write().roll(next_id);
            }
        }
        Ok(())
    }

    /// Opens the catalogue anew, after a change failed. That one may be there or
    /// not: what is known here counts, but a topic that is gone there is gone.
    pub(super) fn reopen_meta(&self) -> Result<(), EngineError> {
        let _admin = self.admin.lock();
        self.meta.reopen()?;
        let mut change = Change::default();
        let known: BTreeMap<_, _> = self.volumes.rows().into_iter().collect();
        for (id, _) in self.meta.volumes()? {
            if !known.contains_key(&id) {
                change.remove_volume(id);
            }
        }
        known.iter().for_each(|(id, row)| change.volume(*id, row));
        self.reconcile_topics(&mut change)?;
        self.meta.commit(change)
    }

    /// The part of it that is about topics: their settings, starts, and which
    /// volume has which of their records.
    fn reconcile_topics(&self, change: &mut Change) -> Result<(), EngineError> {
        let topics = self.meta.topics()?;
        for topic in topics.iter().filter(|t| self.catalog.find(t).is_err()) {
            change.remove_topic(topic.id);
        }
        for topic in self.catalog.all().iter().map(|t| t.topic()) {
            if topics.iter().any(|t| t.id == topic.id) {
                change.topic(&topic);
            } else {
                self.catalog.remove(&topic);
            }
        }
        // What a volume holds that is not sealed is found by looking at it.
        let listed = |e: &&Extent| {
            let state = self.volumes.row(e.volume).map(|row| row.state);
            matches!(state, Some(VolumeState::Sealed | VolumeState::Lost | VolumeState::Deleting))
        };
        let mut there: BTreeSet<_> =
            self.meta.extents()?.into_iter().map(|(place, extent)| (place, extent.first)).collect();
        for topic in self.catalog.all() {
            for partition in &topic.partitions {
                let (place, shared) = (partition.place, partition.shared.read());
                change.start(place, shared.start, shared.trimmed_to);
                for extent in shared.extents.iter().filter(listed) {
                    change.extent(place, extent);
                    there.remove(&(place, extent.first));
                }
            }
        }
        there.into_iter().for_each(|(place, first)| change.remove_extent(place, first));
        Ok(())
    }

    /// Opens the active volume anew and takes from it what it holds: after a
    /// full disk, of which sled keeps an error for ever.
    pub(super) fn reopen_active(&self) -> Result<(), EngineError> {
        self.reopen_meta()?;
        self.volumes.replace_active(|id| {
            let dir = self.volumes.dir(id);
            guard::prepare(&dir)?;
            guard::inspect(&dir)?;
            let volume = Volume::open(id, &dir, Volume::active(&self.config))?;
            volume.undo_append()?;
            recover::take_over(self, &volume)?;
            Ok(volume)
        })
    }

    /// Writes down what is durable now.
    pub(super) fn store_marks(&self, clean: bool) -> Result<(), EngineError> {
        let mut held = self.marks.lock();
        let mut tails = std::collections::BTreeMap::new();
        for topic in self.catalog.all() {
            for p in &topic.partitions {
                tails.insert(p.place, Offset(p.synced.load(Ordering::Acquire)));
            }
        }
        let clean = clean.then(|| self.clean_stop()).flatten();
        let marks = Marks { format: super::config::FORMAT_VERSION, clean, tails };
        if marks != *held {
            marks.store(&self.marks_path())?;
            *held = marks;
        }
        Ok(())
    }

    /// The last step of closing, when no thread works any more: everything is
    /// closed, and the marks say so if all was `well`.
    pub(super) fn finish(&self, well: bool) {
        let healthy = matches!(*self.health.read(), Health::Ready);
        drop(self.prepared.lock().take());
        self.volumes.close_all();
        self.meta.close();
        self.set_health(Health::Down("the engine is closed".to_owned()));
        if let Err(error) = self.store_marks(well && healthy) {
            tracing::error!(%error, "the store was not left clean; it is looked at when it is opened");
        }
    }

    fn clean_stop(&self) -> Option<CleanStop> {
        let active = self.volumes.active_id()?;
        let (meta, volume) = (self.config.data_dir.join("meta"), self.volumes.dir(active));
        for dir in [&meta, &volume] {
            if let Err(error) = guard::let_go(dir) {
                tracing::warn!(%error, "the store is not said to be left clean");
                return None;
            }
        }
        let meta_len = disk::len(&meta.join("db"));
        let active_len = disk::len(&volume.join("db"));
        Some(CleanStop { meta_len, active, active_len })
    }

    /// The length at which the active volume is rolled: the setting, an eighth
    /// of the smallest size retention, at least [`MIN_ROLL_BYTES`] unless the
    /// setting itself is smaller.
    pub(super) fn roll_bytes(&self) -> u64 {
        let eighth = |topic: std::sync::Arc<crate::engine::Topic>| {
            let config = &topic.config;
            config.retention_bytes.map(|b| b.saturating_mul(config.partitions.0.into()) / 8)
        };
        let least = self.catalog.all().iter().filter_map(|t| eighth(t.topic())).min();
        let derived = least.unwrap_or(u64::MAX).max(MIN_ROLL_BYTES);
        self.config.roll_bytes.min(derived)
    }

    /// The age at which the active volume is rolled: a tenth of the shortest
    /// time retention.
    pub(super) fn roll_age(&self) -> Option<Duration> {
        let retention =
            |t: &std::sync::Arc<super::catalog::TopicState>| t.topic().config.retention_ms;
        let least = self.catalog.all().iter().filter_map(retention).min()?;
        Some(Duration::from_millis(least / 10))
    }
}

impl VolumeRow {
    pub(super) fn new(state: VolumeState, created: Timestamp) -> VolumeRow {
        VolumeRow { state, created, len: 0, bytes: 0 }
    }
}

/// The row of a new store's first volume.
pub(super) const FIRST: VolumeId = VolumeId(1);
