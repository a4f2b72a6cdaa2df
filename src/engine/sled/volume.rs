//! One volume: a sled database that holds one stretch of time of all
//! partitions, and what the catalogue knows of each partition's part in it.

use super::{
    config::SledConfig,
    disk, fence, guard,
    keys::{self, Place},
    scan::Scan,
    value,
};
use crate::{
    domain::{Offset, RecordBatch, Timestamp},
    engine::EngineError,
};
use serde::{Deserialize, Serialize};
use std::{
    fmt,
    fs::File,
    ops::{ControlFlow, Range},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Values of one leaf, about: what sled reads for one of them.
const LEAF_VALUES: usize = 8;

/// sled's cache counts what it holds with every 64th access to each of its 256
/// parts, and a walk comes to a leaf of a hundred kilobytes but a few times. So
/// the active volume, which cannot be opened anew for it, has each of its values
/// looked for again, once for so many of its bytes: what goes uncounted is a
/// tenth of what it was.
const COUNT_BYTES: usize = 2 << 10;
/// Not before so much was read through it, which is what may go uncounted.
const COUNT_FROM: u64 = 32 << 20;

/// A volume's number; the newest has the highest, copies aside.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub(super) struct VolumeId(pub(super) u64);

impl VolumeId {
    pub(super) fn next(self) -> VolumeId {
        VolumeId(self.0 + 1)
    }

    /// Where the volume lies under the data directory.
    pub(super) fn dir(self, data: &Path) -> PathBuf {
        data.join("vol").join(self.to_string())
    }
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// A partition's part in a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Extent {
    pub(super) volume: VolumeId,
    pub(super) first: Offset,
    /// The offset after the last.
    pub(super) end: Offset,
    /// Packed bytes, before compression.
    pub(super) bytes: u64,
    /// The greatest timestamp.
    pub(super) newest: Timestamp,
    pub(super) first_append: Timestamp,
    pub(super) last_append: Timestamp,
}

impl Extent {
    pub(super) fn encode(&self) -> Vec<u8> {
        let times = [self.newest, self.first_append, self.last_append];
        [self.volume.0, self.end.0, self.bytes]
            .into_iter()
            .chain(times.iter().map(|t| t.millis() as u64))
            .flat_map(u64::to_be_bytes)
            .collect()
    }

    pub(super) fn decode(first: Offset, bytes: &[u8]) -> Option<Extent> {
        let bytes: &[u8; 48] = bytes.try_into().ok()?;
        let mut words = bytes.chunks_exact(8).map(|b| {
            let mut word = [0; 8];
            word.copy_from_slice(b);
            u64::from_be_bytes(word)
        });
        let (volume, end, bytes) = (words.next()?, words.next()?, words.next()?);
        let mut times = words.map(|w| Timestamp::from_millis(w as i64));
        Some(Extent {
            volume: VolumeId(volume),
            first,
            end: Offset(end),
            bytes,
            newest: times.next()?,
            first_append: times.next()?,
            last_append: times.next()?,
        })
    }

    /// How many of its bytes lie at or after `start`, taking records as alike.
    pub(super) fn live_bytes(&self, start: Offset) -> u64 {
        let all = u128::from(self.end.since(self.first).max(1));
        let live = u128::from(self.end.since(start.max(self.first)));
        (u128::from(self.bytes) * live / all) as u64
    }
}

/// An entry of the sparse time index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IndexEntry {
    pub(super) offset: Offset,
    /// The greatest timestamp in this extent before `offset`.
    pub(super) newest_before: Timestamp,
    /// When the record at `offset` was appended.
    pub(super) appended: Timestamp,
    /// Packed bytes of this extent before `offset`.
    pub(super) bytes_before: u64,
}

impl IndexEntry {
    pub(super) fn encode(&self) -> Vec<u8> {
        let times = [self.newest_before.millis() as u64, self.appended.millis() as u64];
        times.into_iter().chain([self.bytes_before]).flat_map(u64::to_be_bytes).collect()
    }

    pub(super) fn decode(offset: Offset, bytes: &[u8]) -> Option<IndexEntry> {
        let bytes: &[u8; 24] = bytes.try_into().ok()?;
        let word = |at: usize| bytes[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        Some(IndexEntry {
            offset,
            newest_before: Timestamp::from_millis(word(0)? as i64),
            appended: Timestamp::from_millis(word(8)? as i64),
            bytes_before: word(16)?,
        })
    }
}

/// A key of the state table's changes, and the packed changes.
pub(super) type StateRow = ([u8; keys::STATE_LEN], Vec<u8>);

/// An open volume.
pub(super) struct Volume {
    pub(super) id: VolumeId,
    db: ::sled::Db,
    log: File,
    path: PathBuf,
    /// Bytes of values that were read since it was opened.
    read: AtomicU64,
    writable: bool,
}

impl Volume {
    /// Opens a volume, or makes it where there is none.
    pub(super) fn open(
        id: VolumeId,
        dir: &Path,
        opening: guard::Opening,
    ) -> Result<Volume, EngineError> {
        let db = guard::open(dir, opening)?;
        let path = dir.join("db");
        let log = File::open(&path).map_err(|e| disk::at(&path, &e))?;
        let (read, writable) = (AtomicU64::new(0), opening.writable);
        Ok(Volume { id, db, log, path, read, writable })
    }

    /// How the active volume is opened.
    pub(super) fn active(config: &SledConfig) -> guard::Opening {
        guard::Opening { cache: config.cache_active, writable: true }
    }

    /// How a sealed volume is opened.
    pub(super) fn sealed(config: &SledConfig) -> guard::Opening {
        guard::Opening { cache: config.cache_sealed, writable: false }
    }

    /// Applies changes, all or none; durable only after [`Volume::sync`].
    pub(super) fn apply(&self, batch: ::sled::Batch) -> Result<(), EngineError> {
        guard::catch(|| self.db.apply_batch(batch).map_err(|e| guard::error(&e)))
    }

    /// Writes one row; durable only after [`Volume::sync`].
    pub(super) fn put(&self, (key, value): &super::rows::Row) -> Result<(), EngineError> {
        guard::catch(|| self.db.insert(key, value.clone()).map(drop).map_err(|e| guard::error(&e)))
    }

    /// Removes one row; durable only after [`Volume::sync`].
    pub(super) fn remove(&self, key: &[u8]) -> Result<(), EngineError> {
        guard::catch(|| self.db.remove(key).map(drop).map_err(|e| guard::error(&e)))
    }

    /// Puts a fence behind `offset`. In steps: a batch would have sled write
    /// what it holds, and a part of a fence is as good as none.
    pub(super) fn fence(&self, place: Place, offset: Offset) -> Result<(), EngineError> {
        guard::catch(|| {
            fence::rows(place, offset)
                .try_for_each(|row| self.db.insert(row, &[]).map(drop))
                .map_err(|e| guard::error(&e))
        })
    }

    /// Makes all that was applied durable. sled's own flush is not enough.
    pub(super) fn sync(&self) -> Result<(), EngineError> {
        guard::catch(|| {
            self.db.flush().map_err(|e| guard::error(&e))?;
            self.log.sync_data().map_err(|e| disk::at(&self.path, &e))
        })
    }

    /// The error that sled keeps since a write failed: it takes no others, and
    /// whoever reads may meet it too.
    pub(super) fn well(&self) -> Result<(), EngineError> {
        self.db.context.global_error().map_err(|e| guard::error(&e))
    }

    /// Undoes an append in several steps that a crash cut short: nothing of it
    /// was visible or answered. Durable when it returns.
    pub(super) fn undo_append(&self) -> Result<(), EngineError> {
        guard::catch(|| {
            let under_way = self.under_way()?;
            if under_way.is_empty() {
                return Ok(());
            }
            for (place, base) in under_way {
                self.remove_all(&keys::small(place, base), &keys::small_end(place))?;
                self.remove_all(&keys::record(place, base, 0), &keys::record_end(place))?;
            }
            self.db.remove(keys::UNDER_WAY).map_err(|e| guard::error(&e))?;
            self.sync()
        })
    }

    /// Where the append began that a crash cut short, if one did: what lies
    /// behind in these partitions does not count.
    pub(super) fn under_way(&self) -> Result<Vec<(Place, Offset)>, EngineError> {
        guard::catch(|| {
            let list = self.db.get(keys::UNDER_WAY).map_err(|e| guard::error(&e))?;
            let rows = list.as_deref().unwrap_or_default().chunks(keys::INDEX_LEN);
            rows.map(|row| {
                keys::parse_index(row).ok_or_else(|| {
                    EngineError::Damaged(format!("volume {}: an append under way", self.id))
                })
            })
            .collect()
        })
    }

    /// Bytes that were read through it: about what sled's cache holds of it at
    /// most, which it counts only now and then.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// The length of the volume's log, bytes.
    pub(super) fn len(&self) -> u64 {
        self.log.metadata().map_or(0, |m| m.len())
    }

    /// The batch that holds `offset`, or the next one behind it, if any.
    pub(super) fn batch_at(
        &self,
        place: Place,
        offset: Offset,
    ) -> Result<Option<(value::Head, RecordBatch)>, EngineError> {
        self.batch_before(place, offset, Offset(u64::MAX))
    }

    /// The same, if the batch ends at `end` or before.
    pub(super) fn batch_before(
        &self,
        place: Place,
        offset: Offset,
        end: Offset,
    ) -> Result<Option<(value::Head, RecordBatch)>, EngineError> {
        let mut found = None;
        self.batches(place, offset..end, |head, batch| {
            found = Some((head, batch));
            Ok(ControlFlow::Break(()))
        })?;
        Ok(found)
    }

    /// Hands over the batches of a partition, from the one that holds the first
    /// of `offsets` on, or the next one behind it: those that end within. Stops
    /// when `take` says so. A batch may begin before the end of the one before
    /// it, where small ones were merged meanwhile.
    pub(super) fn batches(
        &self,
        place: Place,
        offsets: Range<Offset>,
        mut take: impl FnMut(value::Head, RecordBatch) -> Result<ControlFlow<()>, EngineError>,
    ) -> Result<(), EngineError> {
        guard::catch(|| {
            let from = offsets.start;
            let mut scan = Scan::new(&self.db, place, offsets);
            while let Some((head, batch, bytes)) =
                scan.next().map_err(|error| self.located(place, from, error))?
            {
                self.read.fetch_add(bytes as u64, Ordering::Relaxed);
                self.have_counted(place, &batch, bytes)?;
                if take(head, batch)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// Has sled's cache count what a walk brought in.
    fn have_counted(
        &self,
        place: Place,
        batch: &RecordBatch,
        bytes: usize,
    ) -> Result<(), EngineError> {
        if !self.writable || self.bytes_read() < COUNT_FROM {
            return Ok(());
        }
        let key = keys::record(place, batch.end().minus(1), 0);
        for _ in 0..bytes / COUNT_BYTES {
            self.db.contains_key(key).map_err(|e| guard::error(&e))?;
        }
        Ok(())
    }

    /// Notes that values were read here and there, and so whole leaves.
    pub(super) fn read_scattered(&self, bytes: usize) {
        self.read.fetch_add((bytes * fence::KEYED_VALUES) as u64, Ordering::Relaxed);
    }

    /// The entries of a partition's time index here, in order.
    pub(super) fn index(&self, place: Place) -> Result<Vec<IndexEntry>, EngineError> {
        guard::catch(|| {
            let all = keys::index(place, Offset::ZERO)..=keys::index(place, Offset(u64::MAX));
            let read = |row: ::sled::Result<(::sled::IVec, ::sled::IVec)>| {
                let (key, bytes) = row.map_err(|e| guard::error(&e))?;
                keys::parse_index(&key)
                    .and_then(|(_, offset)| IndexEntry::decode(offset, &bytes))
                    .ok_or_else(|| self.damaged(place, Offset::ZERO, "a bad index".to_owned()))
            };
            self.db.range(all).map(read).collect()
        })
    }

    /// The first row from `from` to `to`, both inclusive.
    pub(super) fn first_in(
        &self,
        from: &[u8],
        to: &[u8],
    ) -> Result<Option<(::sled::IVec, ::sled::IVec)>, EngineError> {
        guard::catch(|| {
            let row = self.db.range(from..=to).next().transpose();
            let row = row.map_err(|e| guard::error(&e))?;
            // sled has read the whole leaf for it.
            let read = row.as_ref().map_or(0, |(_, value)| value.len());
            self.read.fetch_add((read * LEAF_VALUES) as u64, Ordering::Relaxed);
            Ok(row)
        })
    }

    /// Removes the rows from `from` to `to`, durably.
    pub(super) fn remove_all(&self, from: &[u8], to: &[u8]) -> Result<(), EngineError> {
        guard::catch(|| {
            while let Some(row) = self.db.range(from..=to).next() {
                let (key, _) = row.map_err(|e| guard::error(&e))?;
                self.db.remove(key).map_err(|e| guard::error(&e))?;
            }
            self.sync()
        })
    }

    /// The state changes of this volume from `after` (exclusive) on, in order,
    /// a bounded number at a time: sequence and packed changes.
    pub(super) fn state_changes(
        &self,
        after: Option<[u8; keys::STATE_LEN]>,
    ) -> Result<Vec<StateRow>, EngineError> {
        guard::catch(|| {
            let from =
                after.map_or_else(|| keys::state(0, 0).to_vec(), |key| [&key[..], &[0]].concat());
            let to = keys::state(u64::MAX, u16::MAX).to_vec();
            let mut rows = vec![];
            for row in self.db.range(from..=to).take(64) {
                let (key, bytes) = row.map_err(|e| guard::error(&e))?;
                let key = key[..].try_into().map_err(|_| {
                    EngineError::Damaged(format!("volume {}: a malformed state key", self.id))
                })?;
                rows.push((key, bytes.to_vec()));
            }
            Ok(rows)
        })
    }

    /// Says where it is damaged.
    fn located(&self, place: Place, offset: Offset, error: EngineError) -> EngineError {
        match error {
            EngineError::Damaged(what) => self.damaged(place, offset, what),
            other => other,
        }
    }

    fn damaged(&self, place: Place, offset: Offset, what: String) -> EngineError {
        EngineError::Damaged(format!(
            "volume {}, topic #{}, partition {}, near offset {offset}: {what}",
            self.id, place.topic, place.partition
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_and_index_entries_come_back() {
        let t = Timestamp::from_millis;
        let extent = Extent {
            volume: VolumeId(3),
            first: Offset(10),
            end: Offset(20),
            bytes: 1_000,
            newest: t(-5),
            first_append: t(6),
            last_append: t(7),
        };
        assert_eq!(Extent::decode(Offset(10), &extent.encode()), Some(extent));
        assert_eq!(extent.live_bytes(Offset(15)), 500);
        assert_eq!(extent.live_bytes(Offset(0)), 1_000);
        let entry = IndexEntry {
            offset: Offset(1),
            newest_before: Timestamp::MIN,
            appended: t(2),
            bytes_before: 3,
        };
        assert_eq!(IndexEntry::decode(Offset(1), &entry.encode()), Some(entry));
    }
}
