//! An engine and the reference engine are driven with the same random
//! operations, and every answer is compared.
//!
//! What may differ is left out of the comparison: topic ids and incarnations,
//! epochs, how records are cut into batches, and the count of bytes. Engines
//! with gaps in their offsets cannot be compared in this way.

use super::{
    Harness, Log, TestTime,
    fixture::{ALL, name, soon},
    model_ops::{Change, Op, PartSize, ops},
    records::{Plain, Seen},
};
use crate::domain::{
    IdempotencyKey, Offset, PartitionCount, PartitionId, Timestamp, TopicConfig, limits,
};
use crate::engine::{
    Appended, Engine, EngineError, Idempotency, ReadBudget, StateEntry, StateKey, StateTable,
    Topic,
    memory::{MemoryBounds, MemoryEngine},
};
use proptest::test_runner::{Config, TestRunner};
use std::{sync::Arc, time::Duration};

/// Runs `cases` sequences of operations against an engine from `harness`,
/// which must have a clock of ours, and against the reference.
pub fn same_as_memory<H: Harness>(cases: u32, harness: impl Fn() -> H) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let config =
        Config { cases, failure_persistence: None, max_shrink_iters: 300, ..Config::default() };
    let run = |ops: Vec<Op>| {
        runtime.block_on(async {
            let mut pair = Pair::start(harness()).await;
            for op in &ops {
                pair.apply(op).await;
            }
            pair.compare_all().await;
            pair.tested.close().await;
        });
        Ok(())
    };
    if let Err(failure) = TestRunner::new(config).run(&ops(), run) {
        panic!("{failure}");
    }
}

/// The reference as a harness of its own, on the clock of the other.
struct Reference {
    time: TestTime,
    bounds: MemoryBounds,
}

impl Harness for Reference {
    type E = MemoryEngine;

    async fn start(&self) -> Arc<MemoryEngine> {
        Arc::new(MemoryEngine::with_bounds(self.time.clock(), self.bounds))
    }

    async fn restart(&self, _: Arc<MemoryEngine>) -> Option<Arc<MemoryEngine>> {
        None
    }

    fn time(&self) -> Option<&TestTime> {
        Some(&self.time)
    }

    async fn settle_retention(&self, engine: &MemoryEngine) {
        engine.enforce_retention().unwrap();
    }
}

/// What can be compared of a topic.
type TopicFacts = (String, TopicConfig, Timestamp);
/// What can be compared of an append.
type AppendFacts = (Vec<(PartitionId, Offset, u32)>, Timestamp, bool);

fn topic_facts(topic: &Topic) -> TopicFacts {
    (topic.name.to_string(), topic.config.clone(), topic.created)
}

fn append_facts(done: Appended) -> AppendFacts {
    let parts = done.parts.iter().map(|p| (p.partition, p.base, p.count)).collect();
    (parts, done.appended, done.repeated)
}

/// Both engines' own handles of one topic.
struct Topics {
    reference: Arc<Topic>,
    tested: Arc<Topic>,
}

struct Pair<H: Harness> {
    reference: Log<Reference>,
    tested: Log<H>,
    time: TestTime,
    /// The live topics, by slot; also one handle that was deleted.
    topics: [Option<Topics>; 3],
    deleted: Option<Topics>,
}

fn slot_name(slot: usize) -> String {
    format!("topic-{slot}")
}

fn records(size: &PartSize) -> Vec<Plain> {
    let mut random = fastrand::Rng::with_seed(size.seed);
    let record = |_| {
        let len = random.usize(size.len.0..=size.len.1);
        let mut record = if random.bool() {
            Plain::noise(len, random.u64(..))
        } else {
            Plain::text(&"abc".repeat(len.div_ceil(3)))
        };
        if random.u8(..5) == 0 {
            record = record.keyed(&random.u64(..).to_le_bytes());
        }
        if random.u8(..7) == 0 {
            record = record.header("h", b"v");
        }
        match size.time {
            Some(ms) => record.at(ms + random.i64(0..50)),
            None => record,
        }
    };
    (0..size.count).map(record).collect()
}

impl<H: Harness> Pair<H> {
    async fn start(harness: H) -> Pair<H> {
        let time = harness.time().expect("the model moves the clock").clone();
        let bounds = MemoryBounds {
            idempotency_max: harness.idempotency_max().unwrap_or(usize::MAX),
            table_max: harness.table_max().unwrap_or(usize::MAX),
        };
        let reference = Log::start(Reference { time: time.clone(), bounds }).await;
        let tested = Log::start(harness).await;
        assert!(tested.promises().dense_offsets, "gaps cannot be compared");
        Pair { reference, tested, time, topics: [None, None, None], deleted: None }
    }

    async fn apply(&mut self, op: &Op) {
        match op {
            Op::Create { slot, partitions, durability } => {
                let config = TopicConfig {
                    partitions: PartitionCount(*partitions),
                    durability: *durability,
                    max_record_bytes: limits::MAX_RECORD_BYTES,
                    ..TopicConfig::default()
                };
                self.create(*slot, &config).await;
            }
            Op::Alter { slot, retention_ms } => self.alter(*slot, *retention_ms).await,
            Op::Delete { slot } => self.delete(*slot).await,
            Op::Append { slot, parts, key } => self.append(*slot, parts, *key).await,
            Op::Read { slot, partition, at, budget } => {
                self.read(*slot, *partition, *at, *budget).await;
            }
            Op::OffsetAt { slot, partition, time } => {
                self.offset_at(*slot, *partition, *time).await;
            }
            Op::Trim { slot, partition, at } => self.trim(*slot, *partition, *at).await,
            Op::Put(changes) => self.put(changes).await,
            Op::Advance(ms) => self.time.advance(Duration::from_millis(*ms)),
            Op::Restart => {
                if self.tested.promises().durable {
                    self.tested.restart().await;
                    self.compare_views();
                }
            }
        }
    }

    async fn create(&mut self, slot: usize, config: &TopicConfig) {
        let name = name(&slot_name(slot));
        let reference = self.reference.create_topic(&name, config).await;
        let tested = self.tested.create_topic(&name, config).await;
        assert_eq!(
            tested.as_deref().map(topic_facts).map_err(Clone::clone),
            reference.as_deref().map(topic_facts).map_err(Clone::clone)
        );
        if let (Ok(reference), Ok(tested)) = (reference, tested) {
            self.topics[slot] = Some(Topics { reference, tested });
        }
    }

    /// Long retention only: what is dropped when is each engine's own affair.
    async fn alter(&mut self, slot: usize, retention_ms: u64) {
        let Some(topics) = &mut self.topics[slot] else { return };
        let retention_ms = Some(retention_ms);
        let config = TopicConfig { retention_ms, ..topics.reference.config.clone() };
        topics.reference = self.reference.alter_topic(&topics.reference, &config).await.unwrap();
        topics.tested = self.tested.alter_topic(&topics.tested, &config).await.unwrap();
        assert_eq!(topic_facts(&topics.tested), topic_facts(&topics.reference));
    }

    async fn delete(&mut self, slot: usize) {
        let Some(topics) = self.topics[slot].take() else { return };
        self.reference.delete_topic(&topics.reference).await.unwrap();
        self.tested.delete_topic(&topics.tested).await.unwrap();
        self.deleted = Some(topics);
    }

    /// The topic in the slot; the one that was deleted last if there is none.
    fn topic(&self, slot: usize) -> Option<&Topics> {
        self.topics[slot].as_ref().or(self.deleted.as_ref())
    }

    async fn append(&self, slot: usize, sizes: &[PartSize], key: Option<u8>) {
        let Some(topics) = self.topic(slot) else { return };
        let count = topics.reference.config.partitions.0;
        let mut parts: Vec<(PartitionId, Vec<Plain>)> = vec![];
        for size in sizes {
            let partition = pick(size.partition, count);
            if parts.iter().all(|(taken, _)| *taken != partition) {
                parts.push((partition, records(size)));
            }
        }
        let idempotency = key.map(|key| Idempotency {
            key: IdempotencyKey::new(format!("key-{key}")).unwrap(),
            // Few bodies, so that the same comes again.
            digest: [(sizes[0].seed % 2) as u8; 16],
            ttl: Duration::from_secs(60),
        });
        let reference = self.reference.send(&topics.reference, &parts, idempotency.clone()).await;
        let tested = self.tested.send(&topics.tested, &parts, idempotency).await;
        assert_eq!(tested.map(append_facts), reference.map(append_facts));
    }

    async fn read(&self, slot: usize, partition: u8, at: u16, budget: ReadBudget) {
        let Some(topics) = self.topic(slot) else { return };
        let partition = pick(partition, topics.reference.config.partitions.0);
        let Ok(view) = self.reference.partition(&topics.reference, partition) else {
            return self.compare_partition(topics, partition);
        };
        let from = place(at, view.tail);
        let reading = self.tested.read(&topics.tested, partition, from, budget);
        let tested = soon("a read", reading).await;
        match self.reference.read(&topics.reference, partition, from, ALL).await {
            Err(expected) => assert_eq!(tested, Err(expected)),
            Ok(_) => {
                let chunk = tested.unwrap();
                if chunk.batches.len() > 1 {
                    let records: u64 = chunk.batches.iter().map(|b| u64::from(b.count)).sum();
                    let bytes: usize = chunk.batches.iter().map(|b| b.body.len()).sum();
                    assert!(records <= budget.records.into() && bytes <= budget.bytes);
                }
                let (seen, next) =
                    self.tested.read_once(&topics.tested, partition, from, budget).await;
                let (all, _) =
                    self.reference.read_once(&topics.reference, partition, from, ALL).await;
                assert_same(&seen, &all[..seen.len().min(all.len())]);
                assert_eq!(next, from.plus(seen.len() as u64));
                assert!(next > from || from == view.tail, "no progress at {from}");
            }
        }
    }

    async fn offset_at(&self, slot: usize, partition: u8, time: i64) {
        let Some(topics) = self.topic(slot) else { return };
        let partition = pick(partition, topics.reference.config.partitions.0);
        let time = Timestamp::from_millis(time);
        assert_eq!(
            self.tested.offset_at(&topics.tested, partition, time).await,
            self.reference.offset_at(&topics.reference, partition, time).await
        );
    }

    async fn trim(&self, slot: usize, partition: u8, at: u16) {
        let Some(topics) = self.topic(slot) else { return };
        let partition = pick(partition, topics.reference.config.partitions.0);
        let view = self.reference.partition(&topics.reference, partition);
        let before = place(at, view.map_or(Offset::ZERO, |view| view.tail));
        assert_eq!(
            self.tested.trim(&topics.tested, partition, before).await,
            self.reference.trim(&topics.reference, partition, before).await
        );
        self.compare_partition(topics, partition);
    }

    async fn put(&self, changes: &[Change]) {
        let change = |change: &Change| {
            let entry = change.entry.map(|(value, ttl)| StateEntry {
                value: vec![value; usize::from(value) * 32].into(),
                expires: ttl.map(|ms| self.time.now().plus(Duration::from_millis(ms))),
            });
            (StateKey { space: "model", key: vec![change.key].into() }, entry)
        };
        let changes: Vec<_> = changes.iter().map(change).collect();
        let reference = self.reference.put(changes.clone()).await;
        assert_eq!(soon("a put", self.tested.put(changes.clone())).await, reference);
        for (key, _) in changes {
            let now = self.time.now();
            assert_eq!(self.tested.get(&key, now), self.reference.get(&key, now));
        }
        self.compare_table();
    }

    fn compare_table(&self) {
        let now = self.time.now();
        assert_eq!(self.tested.list("model", now), self.reference.list("model", now));
    }

    fn compare_partition(&self, topics: &Topics, partition: PartitionId) {
        let facts = |view: Result<crate::domain::PartitionView, EngineError>| {
            view.map(|view| (view.start, view.tail, view.trimmed_to))
        };
        assert_eq!(
            facts(self.tested.partition(&topics.tested, partition)),
            facts(self.reference.partition(&topics.reference, partition)),
            "start, tail and trimmed_to of {} {partition}",
            topics.tested.name
        );
    }

    fn compare_views(&self) {
        let facts =
            |topics: Vec<Arc<Topic>>| topics.iter().map(|t| topic_facts(t)).collect::<Vec<_>>();
        assert_eq!(facts(self.tested.topics()), facts(self.reference.topics()));
        for topics in self.topics.iter().flatten() {
            assert_eq!(self.tested.topic(&topics.tested.name).as_ref(), Ok(&topics.tested));
            for partition in topics.reference.config.partitions.ids() {
                self.compare_partition(topics, partition);
            }
        }
        self.compare_table();
    }

    async fn compare_all(&self) {
        self.compare_views();
        for topics in self.topics.iter().flatten() {
            for partition in topics.reference.config.partitions.ids() {
                let tested = self.tested.read_all(&topics.tested, partition).await;
                let reference = self.reference.read_all(&topics.reference, partition).await;
                assert_same(&tested, &reference);
            }
        }
    }
}

/// A partition, now and then one that is not there.
fn pick(raw: u8, count: u32) -> PartitionId {
    PartitionId(if raw == u8::MAX { count } else { u32::from(raw) % count })
}

/// A place from the beginning to one beyond the tail.
fn place(at: u16, tail: Offset) -> Offset {
    Offset(u64::from(at) * (tail.0 + 2) / (u64::from(u16::MAX) + 1))
}

/// As `assert_eq`, but names the first difference only.
fn assert_same(tested: &[Seen], reference: &[Seen]) {
    for (tested, reference) in tested.iter().zip(reference) {
        assert_eq!(tested, reference, "tested engine left, reference right");
    }
    assert_eq!(tested.len(), reference.len());
}
