//! What the state topic holds, and what it amounts to: the codec, and the sum
//! of all its records in memory. Pure.
//!
//! | key | value |
//! | --- | --- |
//! | `T` name | JSON: what Kafka has no place for of a topic |
//! | `G` name | JSON: how often topics of that name were seen to vanish, and which was the last |
//! | `P` incarnation (u64 BE) partition (u32 BE) | JSON: how far it was trimmed, its epochs |
//! | `K` incarnation (u64 BE) idempotency key | JSON: the digest, until when, what was answered |
//! | `B` the gateway | nothing: whoever has read it has read all that was committed before |
//! | `E` namespace 0 key | until when (i64 BE, the greatest = for ever), the value |
//!
//! A record without a value takes the entry away. The topic is compacted, so
//! the last record of a key is what counts.

use super::{naming, pool::SLOTS};
use crate::{
    domain::{
        Epoch, EpochStart, IdempotencyKey, Incarnation, Offset, PartitionId, Timestamp, TopicConfig,
    },
    engine::{Appended, AppendedPart, BodyDigest, StateEntry, StateKey},
};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, HashMap};

/// A record of the state topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Note {
    pub key: Vec<u8>,
    pub value: Option<Vec<u8>>,
}

/// What is kept of a topic that a gateway made or altered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TopicNote {
    pub incarnation: Incarnation,
    pub created: Timestamp,
    pub config: TopicConfig,
}

/// What is kept of a name whose topics another program deleted. Its own note, so
/// that one who is late with it does not overwrite what was made since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct GoneNote {
    /// How often that was seen.
    pub times: u32,
    /// Which it was the last time.
    pub last: Incarnation,
}

/// Which topic a name in the cluster stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// One that a gateway made.
    Made(TopicNote),
    /// Another program's; so many of its name have gone.
    Others { times: u32 },
}

/// What is kept of a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartitionNote {
    pub trimmed_to: Offset,
    pub epochs: Vec<EpochStart>,
}

/// A request that was done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeyNote {
    pub digest: BodyDigest,
    /// Which attempt did it.
    pub by: u64,
    pub expires: Timestamp,
    pub appended: Timestamp,
    /// Partition, base, count, epoch.
    pub parts: Vec<(PartitionId, Offset, u32, Epoch)>,
}

impl KeyNote {
    pub(super) fn of(
        (digest, by): (BodyDigest, u64),
        expires: Timestamp,
        appended: Timestamp,
        parts: &[AppendedPart],
    ) -> KeyNote {
        let parts = parts.iter().map(|p| (p.partition, p.base, p.count, p.epoch)).collect();
        KeyNote { digest, by, expires, appended, parts }
    }

    /// What the attempt `by` is answered.
    pub(super) fn answer(&self, by: u64) -> Appended {
        let part = |&(partition, base, count, epoch): &(PartitionId, Offset, u32, Epoch)| {
            AppendedPart { partition, base, count, epoch }
        };
        let parts = self.parts.iter().map(part).collect();
        Appended { parts, appended: self.appended, repeated: self.by != by }
    }
}

fn json<T: Serialize>(value: &T) -> Option<Vec<u8>> {
    // None of the notes can fail to be written.
    serde_json::to_vec(value).ok()
}

pub(super) fn topic_note(name: &str, note: &TopicNote) -> Note {
    Note { key: [b"T", name.as_bytes()].concat(), value: json(note) }
}

pub(super) fn gone_note(name: &str, note: &GoneNote) -> Note {
    Note { key: [b"G", name.as_bytes()].concat(), value: json(note) }
}

pub(super) fn partition_note(of: Incarnation, id: PartitionId, note: &PartitionNote) -> Note {
    let key = [&b"P"[..], &of.0.to_be_bytes(), &id.0.to_be_bytes()].concat();
    Note { key, value: json(note) }
}

pub(super) fn key_note(of: Incarnation, key: &IdempotencyKey, note: Option<&KeyNote>) -> Note {
    let key = [&b"K"[..], &of.0.to_be_bytes(), key.as_str().as_bytes()].concat();
    Note { key, value: note.and_then(json) }
}

/// A place in the topic to wait for.
pub(super) fn barrier(gateway: u64) -> Note {
    Note { key: [&b"B"[..], &gateway.to_be_bytes()].concat(), value: None }
}

pub(super) fn entry_note(key: &StateKey, entry: Option<&StateEntry>) -> Note {
    let until = |e: &StateEntry| e.expires.map_or(i64::MAX, Timestamp::millis).to_be_bytes();
    let value = entry.map(|e| [&until(e)[..], &e.value].concat());
    Note { key: [&b"E"[..], key.space.as_bytes(), b"\0", &key.key].concat(), value }
}

/// Everything that the state topic says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    topics: BTreeMap<String, TopicNote>,
    gone: BTreeMap<String, GoneNote>,
    partitions: HashMap<(Incarnation, PartitionId), PartitionNote>,
    keys: HashMap<(Incarnation, String), KeyNote>,
    table: BTreeMap<(String, Bytes), StateEntry>,
}

/// What a record changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changed {
    /// What is known of topics.
    Topics,
    /// Anything else, or nothing.
    Other,
}

impl Notes {
    /// Takes a record in. `None` if it is none that this version writes: it is
    /// passed over.
    pub(super) fn apply(&mut self, key: &[u8], value: Option<&[u8]>) -> Option<Changed> {
        let (tag, rest) = key.split_first()?;
        match tag {
            b'T' => {
                let name = std::str::from_utf8(rest).ok()?.to_owned();
                put(&mut self.topics, name, value)?;
                return Some(Changed::Topics);
            }
            b'G' => {
                let name = std::str::from_utf8(rest).ok()?.to_owned();
                put(&mut self.gone, name, value)?;
                return Some(Changed::Topics);
            }
            b'P' => {
                let (of, id) = rest.split_first_chunk::<8>()?;
                let id = u32::from_be_bytes(id.try_into().ok()?);
                let place = (Incarnation(u64::from_be_bytes(*of)), PartitionId(id));
                match value {
                    Some(value) => {
                        self.partitions.insert(place, serde_json::from_slice(value).ok()?);
                    }
                    None => drop(self.partitions.remove(&place)),
                }
            }
            b'K' => {
                let (of, key) = rest.split_first_chunk::<8>()?;
                let key = std::str::from_utf8(key).ok()?.to_owned();
                let place = (Incarnation(u64::from_be_bytes(*of)), key);
                match value {
                    Some(value) => {
                        self.keys.insert(place, serde_json::from_slice(value).ok()?);
                    }
                    None => drop(self.keys.remove(&place)),
                }
            }
            b'E' => self.apply_entry(rest, value)?,
            b'B' => {}
            _ => return None,
        }
        Some(Changed::Other)
    }

    fn apply_entry(&mut self, key: &[u8], value: Option<&[u8]>) -> Option<()> {
        let at = memchr::memchr(0, key)?;
        let space = std::str::from_utf8(&key[..at]).ok()?.to_owned();
        let place = (space, Bytes::copy_from_slice(&key[at + 1..]));
        let Some(value) = value else {
            self.table.remove(&place);
            return Some(());
        };
        let (until, value) = value.split_first_chunk::<8>()?;
        let until = i64::from_be_bytes(*until);
        let expires = (until != i64::MAX).then(|| Timestamp::from_millis(until));
        self.table.insert(place, StateEntry { value: Bytes::copy_from_slice(value), expires });
        Some(())
    }

    pub(super) fn named(&self, name: &str) -> Named {
        let gone = self.gone.get(name);
        let went = |made: &&TopicNote| gone.is_some_and(|gone| gone.last == made.incarnation);
        match self.topics.get(name).filter(|made| !went(made)) {
            Some(made) => Named::Made(made.clone()),
            None => Named::Others { times: gone.map_or(0, |gone| gone.times) },
        }
    }

    /// What is to be noted of a name whose topic is gone; `None` if the name
    /// stands for another by now.
    fn vanished(&self, name: &str, raw: &str, last: Incarnation) -> Option<GoneNote> {
        let stands = match self.named(name) {
            Named::Made(made) => made.incarnation,
            Named::Others { times } => naming::of_others(raw, times),
        };
        let times = self.gone.get(name).map_or(0, |gone| gone.times) + 1;
        (stands == last).then_some(GoneNote { times, last })
    }

    pub(super) fn partition(&self, of: Incarnation, id: PartitionId) -> Option<&PartitionNote> {
        self.partitions.get(&(of, id))
    }

    /// What was done under `key`, unless it is forgotten by `now`.
    pub(super) fn key(
        &self,
        of: Incarnation,
        key: &IdempotencyKey,
        now: Timestamp,
    ) -> Option<&KeyNote> {
        let note = self.keys.get(&(of, key.as_str().to_owned()))?;
        (note.expires > now).then_some(note)
    }

    /// How many keys are remembered, those that expired among them.
    pub(super) fn keys(&self) -> usize {
        self.keys.len()
    }

    /// Notes that take away the keys of a shared producer that expired before
    /// `by`, at most `most`.
    pub(super) fn expired_keys(&self, by: Timestamp, slot: usize, most: usize) -> Vec<Note> {
        let expired = self.keys.iter().filter(|(_, note)| note.expires < by);
        let of_slot = expired.filter(|((of, key), _)| naming::slot(*of, key, SLOTS) == slot);
        let notes = of_slot.filter_map(|((of, key), _)| {
            Some(key_note(*of, &IdempotencyKey::new(key).ok()?, None))
        });
        notes.take(most).collect()
    }

    /// Notes that take away the table's entries that expired before `by`.
    pub(super) fn expired_entries(&self, by: Timestamp, most: usize) -> Vec<Note> {
        let entries = self.table.iter().filter(|(_, e)| e.expires.is_some_and(|at| at < by));
        let notes = entries.map(|((space, key), _)| {
            let key = [&b"E"[..], space.as_bytes(), b"\0", key].concat();
            Note { key, value: None }
        });
        notes.take(most).collect()
    }

    /// What is to be noted of a topic that is gone: so, and what was kept of its
    /// partitions and keys taken away. The note of its making stays, and counts no
    /// more: another gateway may be writing the next of that name.
    pub(super) fn to_forget(&self, name: &str, raw: &str, of: Incarnation) -> Vec<Note> {
        let parts = self.partitions.keys().filter(|(i, _)| *i == of).map(|(i, id)| {
            let key = [&b"P"[..], &i.0.to_be_bytes(), &id.0.to_be_bytes()].concat();
            Note { key, value: None }
        });
        let keys = self
            .keys
            .keys()
            .filter(|(i, _)| *i == of)
            .filter_map(|(i, key)| Some(key_note(*i, &IdempotencyKey::new(key).ok()?, None)));
        let gone = self.vanished(name, raw, of).map(|gone| gone_note(name, &gone));
        gone.into_iter().chain(parts).chain(keys).collect()
    }

    pub(super) fn entry(&self, key: &StateKey, now: Timestamp) -> Option<StateEntry> {
        let entry = self.table.get(&(key.space.to_owned(), key.key.clone()))?;
        lives(entry, now).then(|| entry.clone())
    }

    pub(super) fn list(&self, space: &str, now: Timestamp) -> Vec<(Bytes, StateEntry)> {
        let from = (space.to_owned(), Bytes::new());
        let of_space = self.table.range(from..).take_while(|((s, _), _)| s == space);
        let living = of_space.filter(|(_, entry)| lives(entry, now));
        living.map(|((_, key), entry)| (key.clone(), entry.clone())).collect()
    }

    /// How many entries the table would have after `changes`, expired ones
    /// left out.
    pub(super) fn table_after(
        &self,
        changes: &[(StateKey, Option<StateEntry>)],
        now: Timestamp,
    ) -> usize {
        let last: BTreeMap<_, _> =
            changes.iter().map(|(key, entry)| ((key.space, &key.key), entry.is_some())).collect();
        let others = self.table.iter().filter(|((space, key), entry)| {
            lives(entry, now) && !last.contains_key(&(space.as_str(), key))
        });
        others.count() + last.values().filter(|there| **there).count()
    }
}

fn lives(entry: &StateEntry, now: Timestamp) -> bool {
    entry.expires.is_none_or(|expires| expires > now)
}

fn put<T: DeserializeOwned>(
    into: &mut BTreeMap<String, T>,
    name: String,
    value: Option<&[u8]>,
) -> Option<()> {
    match value {
        Some(value) => drop(into.insert(name, serde_json::from_slice(value).ok()?)),
        None => drop(into.remove(&name)),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn applied(notes: &[Note]) -> Notes {
        let mut all = Notes::default();
        for note in notes {
            assert!(all.apply(&note.key, note.value.as_deref()).is_some(), "{note:?}");
        }
        all
    }

    fn state_key(space: &'static str, key: &'static [u8]) -> StateKey {
        StateKey { space, key: Bytes::from_static(key) }
    }

    fn entry(value: &'static str, expires: Option<i64>) -> StateEntry {
        StateEntry { value: value.into(), expires: expires.map(Timestamp::from_millis) }
    }

    #[test]
    fn every_note_comes_back_as_it_was_written() {
        let of = Incarnation(7);
        let topic = TopicNote { incarnation: of, created: NOW, config: TopicConfig::default() };
        let epochs = vec![EpochStart { epoch: Epoch(0), first: Offset(0) }];
        let part = PartitionNote { trimmed_to: Offset(9), epochs };
        let parts = [AppendedPart {
            partition: PartitionId(2),
            base: Offset(5),
            count: 3,
            epoch: Epoch(1),
        }];
        let done =
            KeyNote::of(([9; 16], 1), NOW.plus(std::time::Duration::from_secs(1)), NOW, &parts);
        let key = IdempotencyKey::new("order 1").unwrap();
        let kept = entry("v", Some(5_000));
        let all = applied(&[
            topic_note("a", &topic),
            partition_note(of, PartitionId(1), &part),
            key_note(of, &key, Some(&done)),
            entry_note(&state_key("s", b"\0k"), Some(&kept)),
        ]);
        assert_eq!(all.named("a"), Named::Made(topic));
        assert_eq!(all.partition(of, PartitionId(1)), Some(&part));
        assert_eq!(all.key(of, &key, NOW).unwrap().answer(1).parts, parts);
        assert_eq!(all.entry(&state_key("s", b"\0k"), NOW), Some(kept));
        assert_eq!(all.key(of, &key, Timestamp::from_millis(2_000)), None);
        let mut left = all;
        for note in left.to_forget("a", "a", of) {
            assert!(left.apply(&note.key, note.value.as_deref()).is_some());
        }
        assert_eq!((left.named("a"), left.keys()), (Named::Others { times: 1 }, 0));
        assert_eq!(
            (left.partition(of, PartitionId(1)), left.to_forget("a", "a", of)),
            (None, vec![])
        );
    }

    #[test]
    fn one_who_is_late_to_see_a_topic_vanish_does_not_take_the_next_of_its_name_away() {
        let made = |n| TopicNote {
            incarnation: Incarnation(n),
            created: NOW,
            config: TopicConfig::default(),
        };
        let mut all = applied(&[topic_note("a", &made(1))]);
        let went = all.vanished("a", "a", Incarnation(1)).unwrap();
        let gone = gone_note("a", &went);
        all.apply(&gone.key, gone.value.as_deref());
        assert_eq!(all.named("a"), Named::Others { times: 1 });
        assert_eq!(all.vanished("a", "a", Incarnation(1)), None);
        let of_others = naming::of_others("a", 1);
        assert_eq!(all.vanished("a", "a", of_others).map(|gone| gone.times), Some(2));
        // Another gateway makes it anew, and a third one is late: in either order.
        let again = topic_note("a", &made(2));
        for note in [&again, &gone, &again] {
            all.apply(&note.key, note.value.as_deref());
            if all.topics["a"] == made(2) {
                assert_eq!(all.named("a"), Named::Made(made(2)));
            }
        }
        assert_eq!(all.vanished("a", "a", of_others), None);
        assert_eq!(all.vanished("a", "a", Incarnation(1)), None);
        assert_eq!(all.vanished("a", "a", Incarnation(2)).unwrap().times, 2);
    }

    #[test]
    fn a_namespace_is_listed_alone_and_what_expired_is_not() {
        let all = applied(&[
            entry_note(&state_key("s", b"b"), Some(&entry("1", None))),
            entry_note(&state_key("s", b"a"), Some(&entry("2", Some(999)))),
            entry_note(&state_key("s2", b"a"), Some(&entry("3", None))),
        ]);
        assert_eq!(all.list("s", NOW), [(Bytes::from_static(b"b"), entry("1", None))]);
        let changes = [
            (state_key("s", b"b"), None),
            (state_key("s", b"c"), Some(entry("4", None))),
            (state_key("s", b"c"), None),
        ];
        assert_eq!(all.table_after(&changes, NOW), 1);
        assert_eq!(all.expired_entries(NOW, 10).len(), 1);
    }

    #[test]
    fn what_is_not_a_note_is_passed_over() {
        let mut all = Notes::default();
        for (key, value) in
            [(&b""[..], None), (b"X", None), (b"P1", None), (b"Ta", Some(&b"{"[..])), (b"Ex", None)]
        {
            assert_eq!(all.apply(key, value), None);
        }
        assert_eq!(all, Notes::default());
    }
}
