//! One commit in the making: requests in, one batch for sled out, with what is
//! to be shown and answered once it is durable. Offsets are given here.

use super::{
    catalog::{Catalog, TopicState, WriteHead},
    config::{INDEX_BYTES, SMALL_BYTES, VALUE_BYTES},
    idempotency, keys,
    rows::{Beside, Records, merged, rows},
    state::{self, Change, Entry, RawKey, Table},
    value,
    volume::IndexEntry,
};
use crate::{
    domain::{Durability, Offset, PackedRecords, PartitionId, RecordBatch, Timestamp},
    engine::{Append, Appended, AppendedPart, EngineError, Idempotency},
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};
use tokio::sync::oneshot;

/// About as much as one commit merges behind: it counts towards what goes to
/// sled between two syncs.
const MERGE_BYTES: usize = 128 << 10;

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
    /// Small values that were merged.
    pub(super) merged: u64,
    /// Bytes of what they were merged to.
    pub(super) merged_bytes: usize,
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
        let waited = self.to_merge(&mut head, small);
        let mut lasts = self.merge(place, &waited, &mut head.packing).map_err(corrupt)?;
        let mut base = waited.first().filter(|_| !lasts.is_empty()).map(|first| first.base);
        if small.is_none() {
            base = base.or(Some(all.base));
            lasts.extend(pieces.iter().map(|piece| piece.end().minus(1)));
        }
        // Of what is there to stay: sled's leaves are to end between.
        let fences = base.map(|base| head.fencing.ahead_of(base, &lasts));
        self.commit.fences.extend(fences.into_iter().flatten().map(|at| (place, at)));
        let small = small.is_some();
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

    /// Keeps a small batch in mind that waits to be merged, if `new` is one. To
    /// be merged now are those that waited, if they make a full one or cannot
    /// go on: what comes next is large.
    fn to_merge(&self, head: &mut WriteHead, new: Option<&RecordBatch>) -> Vec<RecordBatch> {
        // A merged record carries its own time: 8 bytes and a longer length.
        let grown = |b: &RecordBatch| b.body.len() + 9 * b.count as usize;
        let held = head.small.iter().map(grown).sum::<usize>();
        let most = if self.merges() { VALUE_BYTES } else { 2 * VALUE_BYTES };
        let goes_on = new.is_some_and(|new| held + grown(new) <= most);
        let waited = if goes_on { vec![] } else { std::mem::take(&mut head.small) };
        // Its bytes alone, not the whole request that they are a part of.
        let own =
            |b: &RecordBatch| RecordBatch { body: Bytes::copy_from_slice(&b.body), ..b.clone() };
        head.small.extend(new.map(own));
        waited
    }

    /// Whether this commit may merge more.
    fn merges(&self) -> bool {
        self.commit.merged_bytes <= MERGE_BYTES
    }

    /// Writes small batches of earlier commits as full ones, together with
    /// their removal, so it is one or the other. Where that would be too much
    /// at once they stay as they are. Returns the last offsets of the full
    /// ones.
    fn merge(
        &mut self,
        place: keys::Place,
        small: &[RecordBatch],
        packing: &mut value::Packing,
    ) -> Result<Vec<Offset>, crate::domain::CorruptRecord> {
        if small.is_empty() || !self.merges() {
            return Ok(vec![]);
        }
        for old in small {
            self.commit.beside.remove(&keys::small(place, old.end().minus(1)));
        }
        let full = merged(small)?.split(VALUE_BYTES)?;
        for batch in &full {
            let (rows, _) = rows(place, batch, false, self.encoder, packing)?;
            rows.for_each(|(key, value)| self.commit.beside.insert(&key, value));
            self.commit.merged_bytes += batch.body.len();
        }
        self.commit.merged += small.len() as u64;
        Ok(full.iter().map(|batch| batch.end().minus(1)).collect())
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
