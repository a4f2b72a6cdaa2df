//! The state table and the idempotency keys: small entries, all in memory,
//! whose changes travel in the same commits as records.
//!
//! A change on disk: 1 byte (1 put, 0 remove), u16 key length, key, and for a
//! put u32 value length, value, i64 expiry in ms (`i64::MIN` = never). Changes
//! are packed into values that start with their CRC-32. When a volume is
//! sealed the whole table is written to the file `state`, so that no sealed
//! volume is needed to know it.

use super::{config::VALUE_BYTES, disk, idempotency};
use crate::{domain::Timestamp, engine::EngineError};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    sync::Arc,
};

/// A key as it is stored: namespace, a zero byte, the key itself.
pub(super) type RawKey = Arc<[u8]>;

/// Joins a namespace and a key.
pub(super) fn raw_key(space: &str, key: &[u8]) -> RawKey {
    [space.as_bytes(), &[0], key].concat().into()
}

/// A value, and when it is forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) value: Arc<[u8]>,
    pub(super) expires: Option<Timestamp>,
}

/// Sets an entry, or removes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) key: RawKey,
    pub(super) entry: Option<Entry>,
}

/// The table in memory.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<RawKey, Entry>,
    /// How many of them are idempotency keys, which have a bound of their own.
    named: usize,
    by_expiry: BTreeSet<(Timestamp, RawKey)>,
}

impl Table {
    pub(super) fn get(&self, key: &[u8], now: Timestamp) -> Option<&Entry> {
        self.entries.get(key).filter(|e| e.expires.is_none_or(|at| at > now))
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many idempotency keys there are.
    pub(super) fn named(&self) -> usize {
        self.named
    }

    /// The entries of a namespace, in order: key without namespace, entry.
    pub(super) fn list(&self, space: &str, now: Timestamp) -> Vec<(Vec<u8>, Entry)> {
        let from = raw_key(space, &[]);
        self.entries
            .range(from.clone()..)
            .take_while(|(key, _)| key.starts_with(&from))
            .filter(|(_, e)| e.expires.is_none_or(|at| at > now))
            .map(|(key, e)| (key[from.len()..].to_vec(), e.clone()))
            .collect()
    }

    pub(super) fn apply(&mut self, change: Change) {
        let old = match change.entry {
            Some(entry) => {
                if let Some(at) = entry.expires {
                    self.by_expiry.insert((at, change.key.clone()));
                }
                let expires = entry.expires;
                let old = self.entries.insert(change.key.clone(), entry);
                self.named += usize::from(old.is_none() && idempotency::is_key(&change.key));
                old.filter(|old| old.expires != expires)
            }
            None => {
                let old = self.entries.remove(&change.key);
                self.named -= usize::from(old.is_some() && idempotency::is_key(&change.key));
                old
            }
        };
        if let Some(at) = old.and_then(|old| old.expires) {
            self.by_expiry.remove(&(at, change.key));
        }
    }

    /// Forgets at most `most` of what has expired.
    pub(super) fn expire(&mut self, now: Timestamp, most: usize) -> usize {
        for done in 0..most {
            match self.by_expiry.first() {
                Some((at, _)) if *at <= now => {}
                _ => return done,
            }
            if let Some((_, key)) = self.by_expiry.pop_first() {
                self.entries.remove(&key);
                self.named -= usize::from(idempotency::is_key(&key));
            }
        }
        most
    }

    /// The whole table as the file `state` holds it.
    pub(super) fn snapshot(&self) -> Vec<u8> {
        let all = self
            .entries
            .iter()
            .map(|(key, entry)| Change { key: key.clone(), entry: Some(entry.clone()) });
        let mut out = vec![0; 4];
        for change in all {
            put(&mut out, &change);
        }
        seal(&mut out);
        out
    }

    /// Reads a table back; `None` when there is no file.
    pub(super) fn load(path: &Path) -> Result<Option<Table>, EngineError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(disk::at(path, &e)),
        };
        let changes = unpack(&bytes)
            .ok_or_else(|| EngineError::Damaged(format!("{} is damaged", path.display())))?;
        let mut table = Table::default();
        changes.into_iter().for_each(|c| table.apply(c));
        Ok(Some(table))
    }
}

/// Writes a snapshot to its file, durably.
pub(super) fn store(path: &Path, snapshot: &[u8]) -> Result<(), EngineError> {
    disk::replace_file(path, snapshot)?;
    path.parent().map_or(Ok(()), disk::sync_dir)
}

fn put(out: &mut Vec<u8>, change: &Change) {
    out.push(u8::from(change.entry.is_some()));
    out.extend_from_slice(&(change.key.len() as u16).to_le_bytes());
    out.extend_from_slice(&change.key);
    if let Some(entry) = &change.entry {
        out.extend_from_slice(&(entry.value.len() as u32).to_le_bytes());
        out.extend_from_slice(&entry.value);
        let at = entry.expires.map_or(i64::MIN, Timestamp::millis);
        out.extend_from_slice(&at.to_le_bytes());
    }
}

fn seal(value: &mut [u8]) {
    let crc = crc32fast::hash(&value[4..]);
    value[..4].copy_from_slice(&crc.to_le_bytes());
}

/// Packs changes into values of bounded size, in order.
pub(super) fn pack(changes: &[Change]) -> Vec<Vec<u8>> {
    let mut values = vec![];
    let mut value = vec![0; 4];
    for change in changes {
        let entry = change.entry.as_ref().map_or(0, |e| e.value.len() + 12);
        if value.len() > 4 && value.len() + change.key.len() + entry + 3 > VALUE_BYTES {
            values.push(std::mem::replace(&mut value, vec![0; 4]));
        }
        put(&mut value, change);
    }
    if value.len() > 4 {
        values.push(value);
    }
    values.iter_mut().for_each(|v| seal(v));
    values
}

/// Reads packed changes; `None` when they are damaged.
pub(super) fn unpack(value: &[u8]) -> Option<Vec<Change>> {
    let (crc, mut rest) = value.split_first_chunk::<4>()?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut changes = vec![];
    while let Some((&kind, after)) = rest.split_first() {
        let (len, after) = after.split_first_chunk::<2>()?;
        let (key, after) = after.split_at_checked(u16::from_le_bytes(*len).into())?;
        rest = after;
        let mut entry = None;
        if kind == 1 {
            let (len, after) = rest.split_first_chunk::<4>()?;
            let (value, after) = after.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            let (at, after) = after.split_first_chunk::<8>()?;
            rest = after;
            let at = i64::from_le_bytes(*at);
            let expires = (at != i64::MIN).then(|| Timestamp::from_millis(at));
            entry = Some(Entry { value: value.into(), expires });
        }
        changes.push(Change { key: key.into(), entry });
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn change() -> impl Strategy<Value = Change> {
        let entry =
            (proptest::collection::vec(any::<u8>(), 0..9_000), proptest::option::of(0i64..99))
                .prop_map(|(value, at)| Entry {
                    value: value.into(),
                    expires: at.map(Timestamp::from_millis),
                });
        ("[a-c]{1,2}", proptest::option::of(entry))
            .prop_map(|(key, entry)| Change { key: raw_key("t", key.as_bytes()), entry })
    }

    proptest! {
        #[test]
        fn changes_come_back_in_order_from_bounded_values(changes in proptest::collection::vec(change(), 0..20)) {
            let values = pack(&changes);
            prop_assert!(values.iter().all(|v| v.len() <= VALUE_BYTES + 100));
            let back: Vec<_> = values.iter().flat_map(|v| unpack(v).unwrap()).collect();
            prop_assert_eq!(back, changes);
        }

        #[test]
        fn a_table_comes_back_from_its_file_and_forgets_in_time(changes in proptest::collection::vec(change(), 0..20)) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("state");
            let mut table = Table::default();
            changes.into_iter().for_each(|c| table.apply(c));
            store(&path, &table.snapshot()).unwrap();
            let back = Table::load(&path).unwrap().unwrap();
            prop_assert_eq!(&back.entries, &table.entries);
            prop_assert_eq!(&back.by_expiry, &table.by_expiry);
            let now = Timestamp::from_millis(50);
            let seen = table.list("t", now).len();
            table.expire(now, usize::MAX);
            prop_assert_eq!(table.len(), seen);
        }
    }
}
