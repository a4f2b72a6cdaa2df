//! The catalogue: a small sled database of its own. Every change is one atomic
//! batch that is durable when the call returns.
//!
//! | key | value |
//! | --- | --- |
//! | `F` | JSON: format version |
//! | `t` topic u32 | JSON: name, incarnation, settings, creation |
//! | `n` | next topic id, u32 |
//! | `v` volume u64 | JSON: state, creation, length of `db` when sealed |
//! | `x` topic u32, partition u32, first offset u64 | an extent: which volume holds these offsets |
//! | `s` topic u32, partition u32 | start and how far it was trimmed, two u64 |
//! | `e` topic u32, partition u32 | epochs: rows of u32 epoch, u64 first offset |

use super::{
    config::{FORMAT_VERSION, check_format},
    disk, guard,
    keys::Place,
    volume::{Extent, VolumeId},
};
use crate::{
    domain::{
        Epoch, EpochStart, Incarnation, Offset, PartitionId, Timestamp, TopicConfig, TopicId,
        TopicName,
    },
    engine::{EngineError, Topic},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    fs::File,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
};

/// Epochs kept per partition; the oldest go first.
const MAX_EPOCHS: usize = 256;

#[derive(Serialize, Deserialize)]
struct Format {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct TopicRow {
    name: TopicName,
    incarnation: Incarnation,
    config: TopicConfig,
    created: Timestamp,
}

/// Where a volume is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum VolumeState {
    /// Made, or being made; holds nothing that counts.
    Prepared,
    /// Takes writes.
    Active,
    /// Takes no more writes; its extents are not in the catalogue yet.
    Sealing,
    /// Only read.
    Sealed,
    /// Being removed.
    Deleting,
    /// Gone, with a loss that was accepted.
    Lost,
}

/// A volume as the catalogue has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct VolumeRow {
    pub(super) state: VolumeState,
    pub(super) created: Timestamp,
    /// Length of `db` once sealed, bytes.
    pub(super) len: u64,
    /// Packed bytes of all records once sealed, dead ones included.
    pub(super) bytes: u64,
}

/// A partition's start, and how far it was moved by a call.
pub(super) type Start = (Offset, Offset);

/// Changes to the catalogue that are made together.
#[derive(Default)]
pub(super) struct Change(::sled::Batch);

/// The open catalogue.
pub(super) struct Meta {
    /// `None` once closed. Changes are made one at a time.
    db: Mutex<Option<::sled::Db>>,
    log: File,
    dir: PathBuf,
    cache: u64,
    /// A change failed: no other is made until it is opened anew.
    failed: AtomicBool,
}

fn placed(kind: u8, place: Place) -> Vec<u8> {
    let mut key = vec![kind];
    key.extend_from_slice(&place.topic.0.to_be_bytes());
    key.extend_from_slice(&place.partition.0.to_be_bytes());
    key
}

fn extent_key(place: Place, first: Offset) -> Vec<u8> {
    let mut key = placed(b'x', place);
    key.extend_from_slice(&first.0.to_be_bytes());
    key
}

fn place_of(key: &[u8]) -> Option<Place> {
    let topic = u32::from_be_bytes(key.get(1..5)?.try_into().ok()?);
    let partition = u32::from_be_bytes(key.get(5..9)?.try_into().ok()?);
    Some(Place { topic: TopicId(topic), partition: PartitionId(partition) })
}

fn json(row: &impl Serialize) -> Vec<u8> {
    // These rows have string keys and no floats: serialising cannot fail.
    serde_json::to_vec(row).unwrap_or_default()
}

impl Change {
    pub(super) fn topic(&mut self, topic: &Topic) {
        let row = TopicRow {
            name: topic.name.clone(),
            incarnation: topic.incarnation,
            config: topic.config.clone(),
            created: topic.created,
        };
        self.0.insert([&b"t"[..], &topic.id.0.to_be_bytes()].concat(), json(&row));
    }

    pub(super) fn next_topic_id(&mut self, id: TopicId) {
        self.0.insert(b"n".to_vec(), id.0.to_be_bytes().to_vec());
    }

    pub(super) fn remove_topic(&mut self, id: TopicId) {
        self.0.remove([&b"t"[..], &id.0.to_be_bytes()].concat());
    }

    pub(super) fn volume(&mut self, id: VolumeId, row: &VolumeRow) {
        self.0.insert([&b"v"[..], &id.0.to_be_bytes()].concat(), json(row));
    }

    pub(super) fn remove_volume(&mut self, id: VolumeId) {
        self.0.remove([&b"v"[..], &id.0.to_be_bytes()].concat());
    }

    pub(super) fn extent(&mut self, place: Place, extent: &Extent) {
        self.0.insert(extent_key(place, extent.first), extent.encode());
    }

    pub(super) fn remove_extent(&mut self, place: Place, first: Offset) {
        self.0.remove(extent_key(place, first));
    }

    pub(super) fn start(&mut self, place: Place, start: Offset, trimmed_to: Offset) {
        let value = [start.0.to_be_bytes(), trimmed_to.0.to_be_bytes()].concat();
        self.0.insert(placed(b's', place), value);
    }

    pub(super) fn epochs(&mut self, place: Place, epochs: &[EpochStart]) {
        let kept = &epochs[epochs.len().saturating_sub(MAX_EPOCHS)..];
        let row =
            |e: &EpochStart| [&e.epoch.0.to_be_bytes()[..], &e.first.0.to_be_bytes()].concat();
        self.0.insert(placed(b'e', place), kept.iter().flat_map(row).collect::<Vec<u8>>());
    }

    pub(super) fn forget_partition(&mut self, place: Place) {
        self.0.remove(placed(b's', place));
        self.0.remove(placed(b'e', place));
    }
}

impl Meta {
    /// Opens the catalogue, or makes it where there is none.
    pub(super) fn open(dir: &Path, cache: u64) -> Result<Meta, EngineError> {
        let db = guard::open(dir, guard::Opening { cache, writable: true })?;
        let path = dir.join("db");
        let log = File::open(&path).map_err(|e| disk::at(&path, &e))?;
        let failed = AtomicBool::new(false);
        let meta = Meta { db: Mutex::new(Some(db)), log, dir: dir.to_owned(), cache, failed };
        match meta.row::<Format>(b"F")? {
            Some(format) => check_format(format.version)?,
            None => {
                let mut change = Change::default();
                change.0.insert(b"F", json(&Format { version: FORMAT_VERSION }));
                meta.commit(change)?;
                disk::sync_files(dir)?;
            }
        }
        Ok(meta)
    }

    /// Makes a change durable. Where it fails it may be there or not.
    pub(super) fn commit(&self, change: Change) -> Result<(), EngineError> {
        let made = self.with(|db| {
            db.apply_batch(change.0).map_err(|e| guard::error(&e))?;
            db.flush().map_err(|e| guard::error(&e))?;
            self.log.sync_data().map_err(|e| disk::at(Path::new("meta/db"), &e))
        });
        self.failed.fetch_or(made.is_err(), Ordering::Relaxed);
        made
    }

    /// Whether it is to be opened anew.
    pub(super) fn failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Opens the database anew: sled remembers its first full disk for ever.
    pub(super) fn reopen(&self) -> Result<(), EngineError> {
        let mut db = self.db.lock();
        drop(db.take());
        guard::prepare(&self.dir)?;
        guard::inspect(&self.dir)?;
        *db = Some(guard::open(&self.dir, guard::Opening { cache: self.cache, writable: true })?);
        self.failed.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Closes the database; what is asked of it later is refused.
    pub(super) fn close(&self) {
        drop(self.db.lock().take());
    }

    fn with<T>(
        &self,
        f: impl FnOnce(&::sled::Db) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        let db = self.db.lock();
        guard::catch(|| f(db.as_ref().ok_or(EngineError::Closed)?))
    }

    fn row<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, EngineError> {
        self.with(|db| {
            let value = db.get(key).map_err(|e| guard::error(&e))?;
            value.map(|v| parse(&v)).transpose()
        })
    }

    fn rows(&self, kind: u8) -> Result<Vec<(::sled::IVec, ::sled::IVec)>, EngineError> {
        self.with(|db| {
            db.scan_prefix([kind]).collect::<Result<Vec<_>, _>>().map_err(|e| guard::error(&e))
        })
    }

    pub(super) fn topics(&self) -> Result<Vec<Topic>, EngineError> {
        let read = |(key, value): (::sled::IVec, ::sled::IVec)| {
            let id = key[1..].try_into().map_err(|_| bad("a topic's key"))?;
            let row: TopicRow = parse(&value)?;
            Ok(Topic {
                name: row.name,
                id: TopicId(u32::from_be_bytes(id)),
                incarnation: row.incarnation,
                config: row.config,
                created: row.created,
            })
        };
        self.rows(b't')?.into_iter().map(read).collect()
    }

    pub(super) fn next_topic_id(&self) -> Result<TopicId, EngineError> {
        let value = self.with(|db| db.get(b"n").map_err(|e| guard::error(&e)))?;
        let Some(value) = value else { return Ok(TopicId(1)) };
        let id = value[..].try_into().map_err(|_| bad("the next topic id"))?;
        Ok(TopicId(u32::from_be_bytes(id)))
    }

    pub(super) fn volumes(&self) -> Result<Vec<(VolumeId, VolumeRow)>, EngineError> {
        let read = |(key, value): (::sled::IVec, ::sled::IVec)| {
            let id = key[1..].try_into().map_err(|_| bad("a volume's key"))?;
            Ok((VolumeId(u64::from_be_bytes(id)), parse(&value)?))
        };
        self.rows(b'v')?.into_iter().map(read).collect()
    }

    pub(super) fn extents(&self) -> Result<Vec<(Place, Extent)>, EngineError> {
        let read = |(key, value): (::sled::IVec, ::sled::IVec)| {
            let place = place_of(&key).ok_or_else(|| bad("an extent's key"))?;
            let first = key.get(9..17).and_then(|b| b.try_into().ok());
            let first = Offset(u64::from_be_bytes(first.ok_or_else(|| bad("an extent's key"))?));
            Ok((place, Extent::decode(first, &value).ok_or_else(|| bad("an extent"))?))
        };
        self.rows(b'x')?.into_iter().map(read).collect()
    }

    /// Start and how far it was trimmed, by partition.
    pub(super) fn starts(&self) -> Result<Vec<(Place, Start)>, EngineError> {
        let read = |(key, value): (::sled::IVec, ::sled::IVec)| {
            let place = place_of(&key).ok_or_else(|| bad("a start's key"))?;
            let value: [u8; 16] = value[..].try_into().map_err(|_| bad("a start"))?;
            let (start, trimmed) = value.split_at(8);
            let word = |b: &[u8]| b.try_into().map(u64::from_be_bytes).map_err(|_| bad("a start"));
            Ok((place, (Offset(word(start)?), Offset(word(trimmed)?))))
        };
        self.rows(b's')?.into_iter().map(read).collect()
    }

    pub(super) fn epochs(&self) -> Result<Vec<(Place, Vec<EpochStart>)>, EngineError> {
        let read = |(key, value): (::sled::IVec, ::sled::IVec)| {
            let place = place_of(&key).ok_or_else(|| bad("an epoch's key"))?;
            let row = |b: &[u8]| {
                let (epoch, first) = b.split_first_chunk::<4>()?;
                let first = u64::from_be_bytes(first.try_into().ok()?);
                Some(EpochStart { epoch: Epoch(u32::from_be_bytes(*epoch)), first: Offset(first) })
            };
            let rows = value.chunks(12).map(row).collect::<Option<Vec<_>>>();
            Ok((place, rows.ok_or_else(|| bad("a list of epochs"))?))
        };
        self.rows(b'e')?.into_iter().map(read).collect()
    }
}

fn bad(what: &str) -> EngineError {
    EngineError::Damaged(format!("the catalogue holds {what} that cannot be read"))
}

fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(value).map_err(|e| bad(&format!("a row ({e})")))
}
