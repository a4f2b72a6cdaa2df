//! One commit in the making: requests in, one batch for sled out, with what is
//! to be shown and answered once it is durable. Offsets are given here.

use super::{
    catalog::{Catalog, TopicState},
    config::{INDEX_BYTES, SMALL_BYTES, VALUE_BYTES},
    idempotency, keys,
    merge::Merge,
    rows::{Beside, Records, rows},
    state::{self, Change, Entry, RawKey, Table},
    value,
    volume::IndexEntry,
};
use crate::{
    domain::{Durability, Offset, PackedRecords, PartitionId, RecordBatch, Timestamp},
    engine::{Append, Appended, AppendedPart, EngineError, Idempotency},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::sync::oneshot;

/// Where an answer goes.
pub(super) type ReplyTo<T> = oneshot::Sender<Result<T, EngineError>>;

/// An answer that is ready but for durability.
pub(super) enum Reply {
    Appended(ReplyTo<Appended>, Appended),
    Done(ReplyTo<()>),
}

impl Reply {
    /// Sends it, or `error` in its stead. Who no longer waits is not missed.
    pub(super) fn send(self, error: Option<&EngineError>) {
        match (self, error) {
            (Reply::Appended(to, answer), None) => drop(to.send(Ok(answer))),
            (Reply::Done(to), None) => drop(to.send(Ok(()))),
            (Reply::Appended(to, _), Some(error)) => drop(to.send(Err(error.clone()))),
            (Reply::Done(to), Some(error)) => drop(to.send(Err(error.clone()))),
        }
    }
}

/// A tail that moves.
pub(super) struct Show {
    pub(super) topic: Arc<TopicState>,
    pub(super) partition: PartitionId,
    pub(super) tail: Offset,
    /// Whether readers may see it before it is synced.
    pub(super) early: bool,
}

/// What one commit does.
#[derive(Default)]
pub(super) struct Commit {
    /// The records: all behind what is visible.
    pub(super) records: Records,
    /// Fences that come first. They need not be kept.
    pub(super) fences: Vec<(keys::Place, Offset)>,
    /// Everything else: it counts together with the last of the records.
    pub(super) beside: Beside,
    pub(super) shows: Vec<Show>,
    /// Answers that wait for the sync.
    pub(super) synced: Vec<Reply>,
    /// Answers that only wait for the commit.
    pub(super) early: Vec<Reply>,
    /// Changes of the table, which take effect when they are durable.
    pub(super) changes: Vec<Change>,
    /// What may be merged once all is answered.
    pub(super) merges: Vec<Merge>,
    /// Packed bytes of the records, before compression.
    pub(super) raw_bytes: u64,
    /// Postings of some partition are to become a run.
    pub(super) postings_due: bool,
}

/// The records of one partition, of all requests of the commit.
struct Staged {
    topic: Arc<TopicState>,
    partition: PartitionId,
    base: Offset,
    count: u32,
    body: Vec<u8>,
}

/// What a commit is planned with.
pub(super) struct Planner<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) table: &'a Table,
    /// Entries that are applied but not durable yet.
    pub(super) pending: &'a mut HashMap<RawKey, Option<Entry>>,
    pub(super) now: Timestamp,
    /// Idempotency keys that may be remembered.
    pub(super) named_max: usize,
    /// Other entries that the table may hold.
    pub(super) table_max: usize,
}

/// A request that was planned.
enum Planned {
    New(Appended),
    Repeat(Appended),
}

/// A commit while requests are still added.
pub(super) struct Draft<'a> {
    commit: Commit,
    staged: BTreeMap<keys::Place, Staged>,
    encoder: &'a mut value::Encoder,
}

impl<'a> Draft<'a> {
    pub(super) fn new(encoder: &'a mut value::Encoder) -> Draft<'a> {
        Draft { commit: Commit::default(), staged: BTreeMap::new(), encoder }
    }

    /// Adds an append; a refusal is answered at once.
    pub(super) fn append(
        &mut self,
        planner: &mut Planner<'_>,
        append: Append,
        reply: ReplyTo<Appended>,
    ) {
        let durability = append.durability;
        match self.plan(planner, append) {
            Err(error) => drop(reply.send(Err(error))),
            Ok(Planned::New(answer) | Planned::Repeat(answer)) => {
                let to = match durability {
                    Durability::Synced => &mut self.commit.synced,
                    Durability::Buffered => &mut self.commit.early,
                };
                to.push(Reply::Appended(reply, answer));
            }
        }
    }

    fn plan(&mut self, planner: &mut Planner<'_>, append: Append) -> Result<Planned, EngineError> {
        let topic = planner.catalog.find(&append.topic)?;
        if let Some(named) = &append.idempotency
            && let Some(repeat) = planner.remembered(append.topic.id, named)?
        {
            return Ok(Planned::Repeat(repeat));
        }
        for (partition, _) in &append.parts {
            topic.partition(*partition)?;
        }
        let mut parts = Vec::with_capacity(append.parts.len());
        for (partition, records) in append.parts {
            parts.push(self.stage(&topic, partition, records)?);
        }
        let answer = Appended { parts, appended: planner.now, repeated: false };
        if let Some(named) = &append.idempotency {
            let key = idempotency::key(append.topic.id, &named.key);
            let value = idempotency::encode(&named.digest, &answer).into();
            let expires = Some(planner.now.plus(named.ttl));
            self.change(planner, Change { key, entry: Some(Entry { value, expires }) });
        }
        Ok(Planned::New(answer))
    }

    /// Takes a part's records in and gives them their offsets.
    fn stage(
        &mut self,
        topic: &Arc<TopicState>,
        partition: PartitionId,
        records: PackedRecords,
    ) -> Result<AppendedPart, EngineError> {
        let home = topic.partition(partition)?;
        let count = records.count();
        let staged = self.staged.entry(home.place).or_insert_with(|| Staged {
            topic: topic.clone(),
            partition,
            base: home.head.lock().next,
            count: 0,
            body: vec![],
        });
        let base = staged.base.plus(u64::from(staged.count));
        staged.count += count;
        if staged.body.is_empty() {
            staged.body = records.into_body();
        } else {
            staged.body.extend_from_slice(records.body());
        }
        let epoch = home.shared.read().epoch();
        Ok(AppendedPart { partition, base, count, epoch })
    }

    /// Adds changes of the table.
    pub(super) fn put(
        &mut self,
        planner: &mut Planner<'_>,
        changes: Vec<Change>,
        reply: ReplyTo<()>,
    ) {
        if planner.overflows(&changes) {
            drop(reply.send(Err(EngineError::TableFull(planner.table_max))));
            return;
        }
        for change in changes {
            self.change(planner, change);
        }
        self.commit.synced.push(Reply::Done(reply));
    }

    /// Adds one who only waits for the sync of all before.
    pub(super) fn barrier(&mut self, reply: ReplyTo<()>) {
        self.commit.synced.push(Reply::Done(reply));
    }

    fn change(&mut self, planner: &mut Planner<'_>, change: Change) {
        planner.pending.insert(change.key.clone(), change.entry.clone());
        self.commit.changes.push(change);
    }

    /// Packs everything. `sequence` is the number of this commit.
    pub(super) fn finish(mut self, now: Timestamp, sequence: u64) -> Result<Commit, EngineError> {
        for (place, staged) in std::mem::take(&mut self.staged) {
            self.pack(place, staged, now)?;
        }
        for (i, value) in state::pack(&self.commit.changes).into_iter().enumerate() {
            self.commit.beside.insert(&keys::state(sequence, i as u16), value);
        }
        Ok(self.commit)
    }

    fn pack(
        &mut self,
        place: keys::Place,
        staged: Staged,
        now: Timestamp,
    ) -> Result<(), EngineError> {
        let corrupt = |e| EngineError::Unavailable(format!("records were packed wrongly: {e}"));
        let all = RecordBatch {
            base: staged.base,
            count: staged.count,
            appended: now,
            body: staged.body.into(),
        };
        let home = staged.topic.partition(staged.partition)?;
        let mut head = home.head.lock();
        let mut shared = home.shared.write();
        let pieces = all.split(VALUE_BYTES).map_err(corrupt)?;
        let small = match pieces.as_slice() {
            [one] if one.body.len() < SMALL_BYTES => Some(one),
            _ => None,
        };
        let waited = head.take_small(small);
        // One alone is as good where it is.
        if waited.len() > 1 {
            let (topic, partition) = (staged.topic.clone(), staged.partition);
            self.commit.merges.push(Merge { topic, partition, small: waited });
        }
        let small = small.is_some();
        if !small {
            let lasts: Vec<_> = pieces.iter().map(|piece| piece.end().minus(1)).collect();
            let keyed = staged.topic.topic.read().config.keyed;
            let fences = head.fencing.ahead_of(all.base, &lasts, keyed);
            self.commit.fences.extend(fences.into_iter().map(|at| (place, at)));
        }
        for piece in pieces {
            let (rows, span) =
                rows(place, &piece, small, self.encoder, &mut head.packing).map_err(corrupt)?;
            let active = &mut shared.active;
            if head.since_index >= INDEX_BYTES || active.is_empty() {
                let entry = IndexEntry {
                    offset: piece.base,
                    newest_before: active.extent.newest,
                    appended: now,
                    bytes_before: active.extent.bytes,
                };
                self.commit.beside.insert(&keys::index(place, piece.base), entry.encode());
                active.index.push(entry);
                head.since_index = 0;
            }
            head.since_index += piece.body.len() as u64;
            active.grow(&piece, span.1);
            self.commit.records.add(rows);
        }
        self.commit.records.begins.push((place, all.base));
        home.keep(&all);
        if staged.topic.topic.read().config.keyed {
            let mut postings = home.postings.lock();
            postings.add(&all).map_err(corrupt)?;
            self.commit.postings_due |= postings.is_due();
        }
        self.commit.raw_bytes += all.body.len() as u64;
        head.next = all.end();
        head.last_append = now;
        let early = staged.topic.topic.read().config.durability == Durability::Buffered;
        let (tail, partition) = (all.end(), staged.partition);
        drop((head, shared));
        self.commit.shows.push(Show { topic: staged.topic, partition, tail, early });
        Ok(())
    }
}

impl Planner<'_> {
    /// Idempotency keys that are remembered.
    fn named(&self) -> usize {
        self.table.named() + self.pending.keys().filter(|k| idempotency::is_key(k)).count()
    }

    /// Whether the table would hold more than it may, idempotency keys aside.
    fn overflows(&self, changes: &[Change]) -> bool {
        let mut after: HashMap<&RawKey, bool> =
            self.pending.iter().map(|(key, entry)| (key, entry.is_some())).collect();
        after.extend(changes.iter().map(|c| (&c.key, c.entry.is_some())));
        after.retain(|key, _| !idempotency::is_key(key));
        let there = |key: &RawKey| self.table.get(key, self.now).is_some();
        let added = after.iter().filter(|(key, set)| **set && !there(key)).count();
        let removed = after.iter().filter(|(key, set)| !**set && there(key)).count();
        let now = self.table.len() - self.table.named();
        added > removed && now + added - removed > self.table_max
    }

    fn remembered(
        &self,
        topic: crate::domain::TopicId,
        named: &Idempotency,
    ) -> Result<Option<Appended>, EngineError> {
        let key = idempotency::key(topic, &named.key);
        let entry = match self.pending.get(&key) {
            Some(entry) => entry.as_ref().filter(|e| e.expires.is_none_or(|at| at > self.now)),
            None => self.table.get(&key, self.now),
        };
        let Some(entry) = entry else {
            let full = self.named() >= self.named_max;
            return if full { Err(EngineError::IdempotencyFull(self.named_max)) } else { Ok(None) };
        };
        let (digest, answer) = idempotency::decode(&entry.value)
            .ok_or_else(|| EngineError::Damaged("an idempotency key's entry".to_owned()))?;
        if digest == named.digest {
            Ok(Some(answer))
        } else {
            Err(EngineError::IdempotencyConflict)
        }
    }
}
