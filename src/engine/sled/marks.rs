//! The `marks` file: what is known to be durable, kept outside sled, so that a
//! loss inside it is noticed. Replaced about once a second, at a clean stop,
//! and before a deletion is answered.
//!
//! Text, one JSON object on the first line and its CRC-32 on the second.

use super::{disk, keys::Place, volume::VolumeId};
use crate::{
    domain::{Offset, PartitionId, TopicId},
    engine::EngineError,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fs, path::Path};

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Marks {
    /// [`super::config::FORMAT_VERSION`] of the store.
    pub(super) format: u32,
    /// Present after a clean stop: the lengths of the logs that were open.
    pub(super) clean: Option<CleanStop>,
    /// Each partition's synced tail.
    #[serde(with = "tails")]
    pub(super) tails: BTreeMap<Place, Offset>,
}

/// How the store was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CleanStop {
    /// Length of `meta/db`, bytes.
    pub(super) meta_len: u64,
    /// The volume that took writes.
    pub(super) active: VolumeId,
    /// Length of its `db`, bytes.
    pub(super) active_len: u64,
}

impl Marks {
    /// Reads the file; `None` when there is none.
    pub(super) fn load(path: &Path) -> Result<Option<Marks>, EngineError> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(disk::at(path, &e)),
        };
        let damaged = || EngineError::Damaged(format!("{} is damaged", path.display()));
        let text = String::from_utf8(text).map_err(|_| damaged())?;
        let (json, crc) = text.trim_end().split_once('\n').ok_or_else(damaged)?;
        if crc != format!("{:08x}", crc32fast::hash(json.as_bytes())) {
            return Err(damaged());
        }
        serde_json::from_str(json).map(Some).map_err(|_| damaged())
    }

    /// Replaces the file, durably.
    pub(super) fn store(&self, path: &Path) -> Result<(), EngineError> {
        let json = serde_json::to_string(self)
            .map_err(|e| EngineError::Unavailable(format!("marks: {e}")))?;
        let crc = crc32fast::hash(json.as_bytes());
        disk::replace_file(path, format!("{json}\n{crc:08x}\n").as_bytes())?;
        path.parent().map_or(Ok(()), disk::sync_dir)
    }
}

mod tails {
    //! Rows of [topic, partition, tail]: JSON has no keys but strings.
    use super::*;
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        tails: &BTreeMap<Place, Offset>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(tails.iter().map(|(p, tail)| (p.topic.0, p.partition.0, tail.0)))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<BTreeMap<Place, Offset>, D::Error> {
        let rows: Vec<(u32, u32, u64)> = Vec::deserialize(from)?;
        let row = |(topic, partition, tail)| {
            let place = Place { topic: TopicId(topic), partition: PartitionId(partition) };
            (place, Offset(tail))
        };
        Ok(rows.into_iter().map(row).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_an_altered_byte_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("marks");
        assert_eq!(Marks::load(&path).unwrap(), None);
        let place = Place { topic: TopicId(3), partition: PartitionId(1) };
        let clean = CleanStop { meta_len: 5, active: VolumeId(2), active_len: 9 };
        let marks = Marks { format: 1, clean: Some(clean), tails: [(place, Offset(17))].into() };
        marks.store(&path).unwrap();
        assert_eq!(Marks::load(&path).unwrap(), Some(marks));
        let whole = fs::read(&path).unwrap();
        for at in 0..whole.len() - 1 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(Marks::load(&path), Err(EngineError::Damaged(_))), "byte {at}");
        }
    }
}
