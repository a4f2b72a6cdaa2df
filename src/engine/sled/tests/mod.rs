//! Tests of the engine on real stores in temporary directories, with volumes
//! so small that rolls, seals, trims and copies happen all the time.

mod contract;
mod damage;
mod keyed;
mod volumes;

use super::{OpenError, SledConfig, SledEngine};
use crate::{
    domain::{
        Clock, Durability, Offset, PackedRecords, PartitionCount, PartitionId, RecordBatch,
        RecordDraft, Timestamp, TopicConfig, TopicName, ValueKind,
    },
    engine::{Append, Appended, Engine, EngineError, ReadBudget, Topic},
    runtime::Metrics,
};
use std::{
    borrow::Cow,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// A store in a temporary directory, with a clock of its own.
struct Home {
    dir: tempfile::TempDir,
    now: Arc<AtomicI64>,
    config: SledConfig,
}

impl Home {
    fn new() -> Home {
        let dir = tempfile::tempdir().unwrap();
        let config = SledConfig {
            data_dir: dir.path().join("data"),
            roll_bytes: 4 << 20,
            open_sealed: 2,
            cache_active: 32 << 20,
            reserve_bytes: 1 << 20,
            ..SledConfig::default()
        };
        Home { dir, now: Arc::new(AtomicI64::new(1_700_000_000_000)), config }
    }

    fn data(&self) -> &Path {
        &self.config.data_dir
    }

    fn clock(&self) -> Clock {
        let now = self.now.clone();
        Arc::new(move || Timestamp::from_millis(now.load(Ordering::SeqCst)))
    }

    fn advance(&self, by: Duration) {
        self.now.fetch_add(by.as_millis() as i64, Ordering::SeqCst);
    }

    async fn try_open(&self) -> Result<Arc<SledEngine>, OpenError> {
        SledEngine::open(self.config.clone(), self.clock(), &Metrics::default()).await
    }

    async fn open(&self) -> Arc<SledEngine> {
        self.try_open().await.unwrap()
    }

    /// Bytes of all volumes.
    fn disk(&self) -> u64 {
        fn size(path: &Path) -> u64 {
            let Ok(entries) = std::fs::read_dir(path) else {
                return std::fs::metadata(path).map_or(0, |m| m.len());
            };
            entries.flatten().map(|e| size(&e.path())).sum()
        }
        size(&self.data().join("vol"))
    }

    fn volumes(&self) -> Vec<std::path::PathBuf> {
        let mut all: Vec<_> = std::fs::read_dir(self.data().join("vol"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .collect();
        all.sort();
        all
    }
}

fn name(text: &str) -> TopicName {
    TopicName::new(text).unwrap()
}

fn config(partitions: u32) -> TopicConfig {
    TopicConfig { partitions: PartitionCount(partitions), ..TopicConfig::default() }
}

/// Bytes that no compression makes small, different for each `seed`.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}

fn records(values: &[Vec<u8>]) -> PackedRecords {
    let mut packed = PackedRecords::default();
    for value in values {
        let draft = RecordDraft {
            partition: None,
            timestamp: None,
            key: None,
            headers: vec![],
            kind: ValueKind::Binary,
            value: Cow::Borrowed(value),
        };
        packed.push(&draft, 16 << 20).unwrap();
    }
    packed
}

async fn append(
    engine: &SledEngine,
    topic: &Arc<Topic>,
    partition: u32,
    values: &[Vec<u8>],
) -> Result<Appended, EngineError> {
    let parts = vec![(PartitionId(partition), records(values))];
    let durability = topic.config.durability;
    engine.append(Append { topic: topic.clone(), parts, durability, idempotency: None }).await
}

/// Every value of a partition from `from` to the tail.
async fn read_all(engine: &SledEngine, topic: &Topic, partition: u32, from: u64) -> Vec<Vec<u8>> {
    let budget = ReadBudget { records: 10_000, bytes: 1 << 20 };
    let partition = PartitionId(partition);
    let tail = engine.partition(topic, partition).unwrap().tail;
    let mut next = Offset(from);
    let mut values = vec![];
    while next < tail {
        let chunk = engine.read(topic, partition, next, budget).await.unwrap();
        assert!(chunk.next > next, "a read moves on");
        for batch in &chunk.batches {
            assert_eq!(batch.base, next);
            values.extend(batch.iter().map(|r| r.unwrap().1.value.to_vec()));
            next = batch.end();
        }
        assert_eq!(next, chunk.next);
    }
    values
}

/// Waits until `holds`: background work has no other sign of its end.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_store_is_used_by_one_process_at_a_time() {
    let home = Home::new();
    let engine = home.open().await;
    assert!(matches!(home.try_open().await, Err(OpenError::Locked(_))));
    engine.close().await;
    home.open().await.close().await;
}

#[tokio::test]
async fn a_buffered_topic_starts_an_epoch_after_a_crash_and_not_after_a_clean_stop() {
    let home = Home::new();
    let engine = home.open().await;
    let settings = TopicConfig { durability: Durability::Buffered, ..config(1) };
    let topic = engine.create_topic(&name("t"), &settings).await.unwrap();
    append(&engine, &topic, 0, &[b"a".to_vec()]).await.unwrap();
    engine.close().await;
    let epochs = |engine: &SledEngine| {
        let topic = engine.topic(&name("t")).unwrap();
        engine.partition(&topic, PartitionId(0)).unwrap().epochs
    };
    let engine = home.open().await;
    assert_eq!(epochs(&engine).len(), 1);
    engine.close().await;
    // What a crash leaves: the mark of the clean stop is gone.
    let path = home.data().join("marks");
    let mut marks = super::marks::Marks::load(&path).unwrap().unwrap();
    assert!(marks.clean.take().is_some());
    marks.store(&path).unwrap();
    let engine = home.open().await;
    let last = *epochs(&engine).last().unwrap();
    assert_eq!((last.epoch.0, last.first.0), (1, 1));
    engine.close().await;
}

#[tokio::test]
async fn a_store_of_another_format_is_refused_whatever_is_accepted_and_left_alone() {
    let mut home = Home::new();
    home.open().await.close().await;
    let path = home.data().join("marks");
    let mut marks = super::marks::Marks::load(&path).unwrap().unwrap();
    marks.format += 1;
    marks.store(&path).unwrap();
    let before = std::fs::read(home.data().join("meta/db")).unwrap();
    for accept_loss in [false, true] {
        home.config.accept_loss = accept_loss;
        let Err(refused) = home.try_open().await else { panic!("it was opened") };
        assert!(refused.to_string().contains("format"), "{refused}");
    }
    assert_eq!(std::fs::read(home.data().join("meta/db")).unwrap(), before);
}
