//! Opening a store: what is there is looked at before sled may touch it, steps
//! that a crash cut short are finished, and what does not fit is refused.
//!
//! Order: lock → marks → catalogue (looked at, then opened) → volumes against
//! the catalogue → unsealed volumes (looked at, opened, scanned) → tails
//! against the marks → epochs → marks again.

use super::{
    ballast::{self, BALLAST_BYTES},
    catalog::{Catalog, Partition, Shared, TopicState},
    config::{SledConfig, check_format},
    disk, guard,
    keyed::{self, Postings},
    keys::Place,
    loss::{self, Losses},
    marks::Marks,
    meta::{Change, Meta, VolumeRow, VolumeState},
    recover,
    state::{self, Table},
    store::FIRST,
    volume::{Extent, Volume, VolumeId},
};
use crate::{
    domain::{Durability, EpochStart, Offset, Timestamp},
    engine::{EngineError, Topic},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{self, File, TryLockError},
    path::Path,
    sync::Arc,
};

/// Why a store was not opened. Nothing in it was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("{0} is in use by another process: stop it, or name another --data-dir")]
    Locked(String),
    /// It is damaged, or something is missing.
    #[error(
        "the store in {dir} was refused: {what}\nNothing was changed. Restore it from a backup, \
         or start with --accept-loss, which copies the damaged part to {dir}/lost-… first and \
         goes on with what is left."
    )]
    Damaged {
        /// The data directory.
        dir: String,
        /// What is wrong.
        what: String,
    },
    /// The operating system refused something.
    #[error("the store in {dir} cannot be opened: {what}")]
    Io {
        /// The data directory.
        dir: String,
        /// What went wrong.
        what: String,
    },
}

/// A store that was opened, before its threads are started.
pub(super) struct Opened {
    pub(super) lock: File,
    pub(super) meta: Meta,
    pub(super) catalog: Catalog,
    pub(super) rows: BTreeMap<VolumeId, VolumeRow>,
    pub(super) active: Volume,
    pub(super) sealing: HashMap<VolumeId, Arc<Volume>>,
    pub(super) table: Table,
    pub(super) marks: Marks,
    pub(super) last_append: Timestamp,
    pub(super) sequence: u64,
}

/// Opens the store, or makes it where there is none.
pub(super) fn open(config: &SledConfig, now: Timestamp) -> Result<Opened, OpenError> {
    let dir = config.data_dir.display().to_string();
    let refuse = |error| match error {
        EngineError::Damaged(what) => OpenError::Damaged { dir: dir.clone(), what },
        other => OpenError::Io { dir: dir.clone(), what: other.to_string() },
    };
    fs::create_dir_all(&config.data_dir).map_err(|e| refuse(disk::at(&config.data_dir, &e)))?;
    let lock = take_lock(&config.data_dir)?;
    if disk::free_bytes(&config.data_dir).is_ok_and(|free| free < BALLAST_BYTES) {
        ballast::give_up(&config.data_dir).map_err(refuse)?;
    }
    let mut opening = Opening { config, now, losses: Losses::new(config, now) };
    opening.open(lock).map_err(refuse)
}

/// Takes the store's lock; it is held while the file is open.
pub(super) fn take_lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let io = |e: std::io::Error| OpenError::Io {
        dir: dir.display().to_string(),
        what: format!("{}: {e}", path.display()),
    };
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(dir.display().to_string())),
        Err(TryLockError::Error(e)) => Err(io(e)),
    }
}

struct Opening<'a> {
    config: &'a SledConfig,
    now: Timestamp,
    losses: Losses<'a>,
}

impl Opening<'_> {
    fn open(&mut self, lock: File) -> Result<Opened, EngineError> {
        let data = &self.config.data_dir;
        let marks = self.marks()?;
        let meta = self.meta(marks.as_ref())?;
        let rows = self.volumes(&meta)?;
        let topics = meta.topics()?;
        if marks.is_none() && !topics.is_empty() {
            self.losses.accept("marks is missing".to_owned(), None)?;
        }
        let (active, sealing) = self.unsealed(&rows, &topics, marks.as_ref())?;
        let mut table = self.table(&rows)?;
        let mut sequence = 0;
        let mut order: Vec<&Volume> = sealing.values().map(AsRef::as_ref).collect();
        order.sort_by_key(|v| v.id);
        order.push(&active);
        for volume in &order {
            sequence = recover::replay_state(volume, &mut table)?.max(sequence);
        }
        let clean = marks.as_ref().is_some_and(|m| m.clean.is_some());
        let tails = marks.map(|m| m.tails).unwrap_or_default();
        let loaded = Loaded::read(&meta)?;
        let catalog = Catalog::default();
        let mut change = Change::default();
        let mut last_append = Timestamp::MIN;
        for topic in topics {
            let mut partitions = vec![];
            for partition in topic.config.partitions.ids() {
                let place = Place { topic: topic.id, partition };
                let mark = tails.get(&place).copied().unwrap_or_default();
                let mut found = loaded.partition(place, &order)?;
                let short = found.shared.tail < mark;
                if short {
                    let what = format!(
                        "topic '{}', partition {partition}: records {} to {} were synced and are gone",
                        topic.name,
                        found.shared.tail,
                        mark.minus(1)
                    );
                    self.losses.accept(what, Some(active.id))?;
                    self.losses.keep(&active.id.dir(data))?;
                }
                let buffered = topic.config.durability == Durability::Buffered;
                if short || (buffered && !clean) || self.losses.any() {
                    found.new_epoch(place, &mut change);
                }
                last_append = last_append.max(found.head.last_append);
                partitions.push(found.into_partition(place, &topic, &active)?);
            }
            let topic = parking_lot::RwLock::new(Arc::new(topic));
            catalog.insert(Arc::new(TopicState { topic, partitions }));
        }
        meta.commit(change)?;
        disk::sync_dir(data)?;
        let marks = Marks::default();
        Ok(Opened {
            lock,
            meta,
            catalog,
            rows,
            active,
            sealing,
            table,
            marks,
            last_append,
            sequence,
        })
    }

    fn marks(&mut self) -> Result<Option<Marks>, EngineError> {
        let path = self.config.data_dir.join("marks");
        match Marks::load(&path) {
            Err(EngineError::Damaged(what)) => {
                self.losses.accept(what, None)?;
                self.losses.keep(&path)?;
                Ok(None)
            }
            Ok(Some(marks)) => {
                // Before anything else is read, which may lie otherwise.
                check_format(marks.format)?;
                Ok(Some(marks))
            }
            other => other,
        }
    }

    fn meta(&mut self, marks: Option<&Marks>) -> Result<Meta, EngineError> {
        let data = &self.config.data_dir;
        let dir = data.join("meta");
        let volumes = fs::read_dir(data.join("vol")).is_ok_and(|mut d| d.next().is_some());
        if dir.join("db").is_file() {
            guard::prepare(&dir)?;
            if let Some(clean) = marks.and_then(|m| m.clean) {
                not_shorter(&dir, clean.meta_len)?;
            }
            if let Err(EngineError::Damaged(what)) = guard::inspect(&dir) {
                self.losses.accept(what, None)?;
                self.losses.keep(&dir)?;
            }
        } else if volumes || marks.is_some() {
            // Without the catalogue nothing says whose the records are.
            return Err(EngineError::Damaged(format!("{} is missing", dir.join("db").display())));
        }
        let meta = Meta::open(&dir, self.config.cache_meta)?;
        if meta.volumes()?.is_empty() {
            if volumes && marks.is_none() && meta.topics()?.is_empty() {
                // A first start that was cut short, or so it seems: put aside.
                self.losses.put_aside(&data.join("vol"))?;
            } else if volumes {
                return Err(EngineError::Damaged("the catalogue lists no volumes".to_owned()));
            }
            self.first_volume(&meta)?;
        }
        Ok(meta)
    }

    fn first_volume(&self, meta: &Meta) -> Result<(), EngineError> {
        let data = &self.config.data_dir;
        let dir = FIRST.dir(data);
        let beside = dir.with_extension("new");
        let vol = data.join("vol");
        fs::create_dir_all(&vol).map_err(|e| disk::at(&vol, &e))?;
        disk::remove_dir(&beside)?;
        let volume = Volume::open(FIRST, &beside, Volume::active(self.config))?;
        volume.sync()?;
        drop(volume);
        super::seal::publish(&beside, &dir)?;
        disk::sync_dir(data)?;
        let mut change = Change::default();
        change.volume(FIRST, &VolumeRow::new(VolumeState::Active, self.now));
        meta.commit(change)
    }

    /// Holds the directories against the catalogue, and finishes what a crash
    /// cut short.
    fn volumes(&mut self, meta: &Meta) -> Result<BTreeMap<VolumeId, VolumeRow>, EngineError> {
        let vol = self.config.data_dir.join("vol");
        let mut rows: BTreeMap<_, _> = meta.volumes()?.into_iter().collect();
        let mut there = BTreeSet::new();
        for entry in fs::read_dir(&vol).map_err(|e| disk::at(&vol, &e))? {
            let path = entry.map_err(|e| disk::at(&vol, &e))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if name.ends_with(".new") {
                disk::remove_dir(&path)?;
            } else if let Some(id) =
                name.parse().ok().map(VolumeId).filter(|i| i.to_string() == name)
            {
                there.insert(id);
            } else {
                let what = format!("{} is not of this store", path.display());
                return Err(EngineError::Damaged(what));
            }
        }
        if let Some(id) = there.iter().find(|id| !rows.contains_key(id)) {
            return Err(EngineError::Damaged(format!("volume {id} is not in the catalogue")));
        }
        let mut change = Change::default();
        for (id, row) in rows.clone() {
            match row.state {
                VolumeState::Prepared | VolumeState::Deleting => {
                    disk::remove_dir(&id.dir(&self.config.data_dir))?;
                    change.remove_volume(id);
                    rows.remove(&id);
                }
                VolumeState::Sealed => {
                    let len = disk::len(&id.dir(&self.config.data_dir).join("db"));
                    if len < row.len {
                        let what = format!("volume {id} has {len} bytes, {} were sealed", row.len);
                        self.losses.accept(what, Some(id))?;
                        loss::lose_sealed(&self.losses, id, row, &mut rows, &mut change)?;
                    }
                }
                VolumeState::Active | VolumeState::Sealing | VolumeState::Lost => {}
            }
        }
        meta.commit(change)?;
        Ok(rows)
    }

    /// Looks at the volumes that were not sealed and opens them.
    fn unsealed(
        &mut self,
        rows: &BTreeMap<VolumeId, VolumeRow>,
        topics: &[Topic],
        marks: Option<&Marks>,
    ) -> Result<(Volume, HashMap<VolumeId, Arc<Volume>>), EngineError> {
        let mut active = None;
        let mut sealing = HashMap::new();
        for (id, row) in rows {
            if !matches!(row.state, VolumeState::Active | VolumeState::Sealing) {
                continue;
            }
            let dir = id.dir(&self.config.data_dir);
            let looked = self.look(*id, &dir, marks);
            let opened = match looked {
                Err(EngineError::Damaged(what)) => {
                    self.losses.accept(what, Some(*id))?;
                    self.losses.keep(&dir)?;
                    self.salvage(*id, &dir, topics)
                }
                looked => looked.and_then(|()| self.open_unsealed(*id, &dir)),
            };
            let volume = opened?;
            if row.state == VolumeState::Active {
                active = Some(volume);
            } else {
                sealing.insert(*id, Arc::new(volume));
            }
        }
        let active = active.ok_or_else(|| {
            EngineError::Damaged("the catalogue lists no active volume".to_owned())
        })?;
        Ok((active, sealing))
    }

    fn open_unsealed(&self, id: VolumeId, dir: &Path) -> Result<Volume, EngineError> {
        let volume = Volume::open(id, dir, Volume::active(self.config))?;
        volume.undo_append()?;
        Ok(volume)
    }

    /// What can still be read of a damaged volume that was copied aside: all
    /// that sled makes of it, or where it makes nothing of it, an empty one.
    fn salvage(&self, id: VolumeId, dir: &Path, topics: &[Topic]) -> Result<Volume, EngineError> {
        let usable = self.open_unsealed(id, dir).and_then(|volume| {
            for topic in topics {
                for partition in topic.config.partitions.ids() {
                    let place = Place { topic: topic.id, partition };
                    recover::scan(&volume, place, Offset::ZERO)?;
                }
            }
            recover::replay_state(&volume, &mut Table::default())?;
            Ok(volume)
        });
        usable.or_else(|error| {
            tracing::warn!(volume = %id, %error, "nothing of the volume can be read; it begins anew");
            disk::remove_dir(dir)?;
            self.open_unsealed(id, dir)
        })
    }

    fn look(&self, id: VolumeId, dir: &Path, marks: Option<&Marks>) -> Result<(), EngineError> {
        if dir.join("db").is_file() {
            guard::prepare(dir)?;
        }
        if let Some(clean) = marks.and_then(|m| m.clean).filter(|c| c.active == id) {
            not_shorter(dir, clean.active_len)?;
        }
        let walk = guard::inspect(dir)?;
        tracing::debug!(volume = %id, ?walk, "walked the log of an unsealed volume");
        Ok(())
    }

    fn table(&mut self, rows: &BTreeMap<VolumeId, VolumeRow>) -> Result<Table, EngineError> {
        let path = self.config.data_dir.join("state");
        let sealed = rows.values().any(|r| r.state == VolumeState::Sealed);
        match Table::load(&path) {
            Ok(Some(table)) => Ok(table),
            Ok(None) if !sealed => Ok(Table::default()),
            Ok(None) => {
                self.losses.accept(format!("{} is missing", path.display()), None)?;
                Ok(Table::default())
            }
            Err(EngineError::Damaged(what)) => {
                self.losses.accept(what, None)?;
                self.losses.keep(&path)?;
                state::store(&path, &Table::default().snapshot())?;
                Ok(Table::default())
            }
            Err(other) => Err(other),
        }
    }
}

/// sled may lengthen a log when it opens it, but never shortens it then.
pub(super) fn not_shorter(dir: &Path, expected: u64) -> Result<(), EngineError> {
    let file = dir.join("db");
    let len = disk::len(&file);
    if len >= expected {
        return Ok(());
    }
    Err(EngineError::Damaged(format!(
        "{} has {len} bytes, {expected} were left at the clean stop",
        file.display()
    )))
}

/// The catalogue's rows of partitions, by partition.
struct Loaded {
    extents: HashMap<Place, Vec<Extent>>,
    starts: HashMap<Place, (Offset, Offset)>,
    epochs: HashMap<Place, Vec<EpochStart>>,
}

/// A partition as it was found.
struct Found {
    shared: Shared,
    head: super::catalog::WriteHead,
}

impl Loaded {
    fn read(meta: &Meta) -> Result<Loaded, EngineError> {
        let mut extents: HashMap<Place, Vec<Extent>> = HashMap::new();
        for (place, extent) in meta.extents()? {
            extents.entry(place).or_default().push(extent);
        }
        let starts = meta.starts()?.into_iter().collect();
        let epochs = meta.epochs()?.into_iter().collect();
        Ok(Loaded { extents, starts, epochs })
    }

    /// Puts a partition together from the catalogue and the unsealed volumes,
    /// which are in order, the active one last.
    fn partition(&self, place: Place, unsealed: &[&Volume]) -> Result<Found, EngineError> {
        let Some(active) = unsealed.last() else {
            return Err(EngineError::Damaged("no volume takes writes".to_owned()));
        };
        let mut shared = Shared::new(active.id);
        if let Some((start, trimmed_to)) = self.starts.get(&place) {
            (shared.start, shared.trimmed_to) = (*start, *trimmed_to);
        }
        if let Some(epochs) = self.epochs.get(&place).filter(|e| !e.is_empty()) {
            shared.epochs.clone_from(epochs);
        }
        shared.extents = self.extents.get(&place).cloned().unwrap_or_default();
        shared.extents.sort_by_key(|e| e.first);
        let sealed_end = shared.extents.last().map_or(Offset::ZERO, |e| e.end);
        let epoch_first = shared.epochs.last().map_or(Offset::ZERO, |e| e.first);
        let mut next = sealed_end.max(shared.start).max(epoch_first);
        let mut last_append = shared.extents.last().map_or(Timestamp::MIN, |e| e.last_append);
        let mut head = super::catalog::WriteHead::default();
        for volume in unsealed {
            let (part, found) = recover::scan(volume, place, next)?;
            next = found.next.max(next);
            last_append = last_append.max(found.last_append);
            if volume.id == active.id {
                shared.active = part;
                head = found;
            } else if !part.is_empty() {
                shared.extents.push(part.extent);
            }
        }
        (head.next, head.last_append, shared.tail) = (next, last_append, next);
        Ok(Found { shared, head })
    }
}

impl Found {
    fn into_partition(
        self,
        place: Place,
        topic: &Topic,
        active: &Volume,
    ) -> Result<Partition, EngineError> {
        let mut postings = Postings::default();
        if topic.config.keyed {
            postings = keyed::recover(active, place, &self.shared.active)?;
        }
        let mut partition = Partition::new(place, self.shared, self.head);
        *partition.postings.get_mut() = postings;
        Ok(partition)
    }

    /// From here on offsets may be given a second time.
    fn new_epoch(&mut self, place: Place, change: &mut Change) {
        let first = self.shared.tail;
        let epoch = self.shared.epoch().next();
        self.shared.epochs.retain(|e| e.first < first);
        self.shared.epochs.push(EpochStart { epoch, first });
        change.epochs(place, &self.shared.epochs);
    }
}

/// A topic that was just made, as the catalogue has it.
pub(super) fn made(topic: Topic, active: VolumeId) -> Arc<TopicState> {
    Arc::new(TopicState::new(topic, active))
}
