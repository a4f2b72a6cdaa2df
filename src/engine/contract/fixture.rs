//! What an engine brings to the suite ([`Harness`]), and what the suite makes
//! of it ([`Log`]): a running engine with words short enough for tests.

use super::{
    records::{Plain, Seen, pack, texts},
    test_time::TestTime,
};
use crate::domain::{
    Durability, Offset, PartitionCount, PartitionId, PartitionView, TopicConfig, TopicName, limits,
};
use crate::engine::{
    Append, Appended, AppendedPart, Engine, EngineError, Idempotency, ReadBudget, StateTable, Topic,
};
use std::{future::Future, ops::Deref, sync::Arc, time::Duration};

/// The first partition.
pub const P0: PartitionId = PartitionId(0);
/// The second partition.
pub const P1: PartitionId = PartitionId(1);
/// More than any test stores.
pub const ALL: ReadBudget = ReadBudget { records: u32::MAX, bytes: usize::MAX };

/// How an engine takes part in the suite. Made anew for every test.
pub trait Harness {
    /// The engine.
    type E: Engine + StateTable;

    /// A new engine that holds nothing, with the clock of [`Harness::time`].
    fn start(&self) -> impl Future<Output = Arc<Self::E>>;

    /// Closes the engine and opens it again on what it left behind; `None`
    /// where it leaves nothing. Nobody else holds `engine`.
    fn restart(&self, engine: Arc<Self::E>) -> impl Future<Output = Option<Arc<Self::E>>>;

    /// Whether an engine knows, as soon as it is open, of every change that an
    /// earlier one was told is made: brokers learn of one after the other, and
    /// any of them may be asked.
    fn opens_up_to_date(&self) -> bool {
        true
    }

    /// The clock that the engines were given; `None` where they use another.
    fn time(&self) -> Option<&TestTime>;

    /// Answers when retention has dropped what it will drop at this time.
    fn settle_retention(&self, engine: &Self::E) -> impl Future<Output = ()>;

    /// Whether `settle_retention` can do that: where another program keeps the
    /// log, it drops records when it comes to it.
    fn retention_settles(&self) -> bool {
        true
    }

    /// Bytes per partition that may outlive their retention, because the
    /// engine drops them in larger pieces.
    fn retention_slack(&self) -> u64 {
        0
    }

    /// How many idempotency keys the engines remember; `None` = no bound that
    /// a test could reach.
    fn idempotency_max(&self) -> Option<usize> {
        None
    }

    /// How many entries the state table holds; `None` as above.
    fn table_max(&self) -> Option<usize> {
        None
    }
}

/// A running engine. Derefs to it.
pub struct Log<H: Harness> {
    harness: H,
    /// `None` only while it restarts.
    engine: Option<Arc<H::E>>,
}

impl<H: Harness> Deref for Log<H> {
    type Target = H::E;

    fn deref(&self) -> &H::E {
        self.engine.as_ref().expect("the engine runs")
    }
}

/// The future's answer, which must come within seconds.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(60);
    let answer = tokio::time::timeout(limit, future).await;
    answer.unwrap_or_else(|_| panic!("{what}: no answer within {limit:?}"))
}

/// A name that is known to be one.
#[must_use]
pub fn name(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

impl<H: Harness> Log<H> {
    /// Starts an engine.
    pub async fn start(harness: H) -> Log<H> {
        let engine = Some(harness.start().await);
        Log { harness, engine }
    }

    /// The harness.
    pub fn harness(&self) -> &H {
        &self.harness
    }

    /// The engine itself, for what works over it.
    pub fn engine(&self) -> &Arc<H::E> {
        self.engine.as_ref().expect("the engine runs")
    }

    /// Closes the engine and opens it again. False where it then is an empty
    /// one, because the engine forgets.
    pub async fn restart(&mut self) -> bool {
        let engine = self.engine.take().expect("the engine runs");
        let kept = self.harness.restart(engine).await;
        let keeps = kept.is_some();
        assert_eq!(keeps, kept.as_ref().is_some_and(|e| e.promises().durable));
        self.engine = match kept {
            Some(engine) => Some(engine),
            None => Some(self.harness.start().await),
        };
        keeps
    }

    /// Waits until the engine, which was just opened, knows these topics. Looks
    /// only once where it is to know them from the beginning.
    pub async fn expect_topics(&self, expected: &[Arc<Topic>]) {
        let late = !self.harness.opens_up_to_date();
        soon("the topics as they were", async {
            while late && self.topics() != expected {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        assert_eq!(self.topics(), expected);
    }

    /// Waits for retention.
    pub async fn settle_retention(&self) {
        self.harness.settle_retention(self).await;
    }

    /// A new topic of one partition.
    pub async fn new_topic(&self, name: &str) -> Arc<Topic> {
        self.new_topic_with(name, |_| ()).await
    }

    /// A new topic of several partitions.
    pub async fn wide_topic(&self, name: &str, partitions: u32) -> Arc<Topic> {
        self.new_topic_with(name, |config| config.partitions = PartitionCount(partitions)).await
    }

    /// A new topic, set up by `set`.
    pub async fn new_topic_with(&self, of: &str, set: impl FnOnce(&mut TopicConfig)) -> Arc<Topic> {
        let max_record_bytes = limits::MAX_RECORD_BYTES;
        let mut config = TopicConfig { max_record_bytes, ..TopicConfig::default() };
        set(&mut config);
        soon("creating a topic", self.create_topic(&name(of), &config)).await.unwrap()
    }

    /// Appends to several partitions, in the way of the topic.
    pub async fn send(
        &self,
        topic: &Arc<Topic>,
        parts: &[(PartitionId, Vec<Plain>)],
        idempotency: Option<Idempotency>,
    ) -> Result<Appended, EngineError> {
        self.send_as(topic, parts, topic.config.durability, idempotency).await
    }

    /// Appends to several partitions.
    pub async fn send_as(
        &self,
        topic: &Arc<Topic>,
        parts: &[(PartitionId, Vec<Plain>)],
        durability: Durability,
        idempotency: Option<Idempotency>,
    ) -> Result<Appended, EngineError> {
        let parts = parts.iter().map(|(partition, records)| (*partition, pack(records)));
        let append =
            Append { topic: topic.clone(), parts: parts.collect(), durability, idempotency };
        soon("an append", self.append(append)).await
    }

    /// Appends records to one partition.
    pub async fn publish(
        &self,
        topic: &Arc<Topic>,
        partition: PartitionId,
        records: Vec<Plain>,
    ) -> AppendedPart {
        self.send(topic, &[(partition, records)], None).await.unwrap().parts[0]
    }

    /// Appends texts to the first partition.
    pub async fn say(&self, topic: &Arc<Topic>, values: &[&str]) -> AppendedPart {
        self.publish(topic, P0, texts(values)).await
    }

    /// The partition as it stands.
    pub fn view(&self, topic: &Topic, partition: PartitionId) -> PartitionView {
        self.partition(topic, partition).unwrap()
    }

    /// One read: its records, and where to go on. Checks that the batches are
    /// in order, full, and not before `from`.
    pub async fn read_once(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> (Vec<Seen>, Offset) {
        let chunk = soon("a read", self.read(topic, partition, from, budget)).await.unwrap();
        let (mut seen, mut next) = (vec![], from);
        for batch in &chunk.batches {
            assert!(batch.count > 0, "an empty batch was read");
            assert!(batch.base >= next, "a batch begins before the one before it ends");
            if self.promises().dense_offsets {
                assert_eq!(batch.base, next, "a gap between batches");
            }
            for item in batch.iter() {
                let (offset, record) = item.unwrap();
                seen.push(Seen { offset, record: Plain::of(&record) });
            }
            next = batch.end();
        }
        assert!(chunk.next >= next, "the next read would repeat records");
        if self.promises().dense_offsets {
            assert_eq!(chunk.next, next, "the next read would skip offsets");
        }
        (seen, chunk.next)
    }

    /// All records from `from` to the tail, read with `budget` each time.
    pub async fn read_from(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Vec<Seen> {
        let tail = self.view(topic, partition).tail;
        let (mut seen, mut from) = (vec![], from);
        while from < tail {
            let (more, next) = self.read_once(topic, partition, from, budget).await;
            assert!(next > from, "a read before the tail must make progress");
            seen.extend(more);
            from = next;
        }
        seen
    }

    /// All records of a partition.
    pub async fn read_all(&self, topic: &Topic, partition: PartitionId) -> Vec<Seen> {
        let start = self.view(topic, partition).start;
        self.read_from(topic, partition, start, ALL).await
    }

    /// The values of the first partition.
    pub async fn said(&self, topic: &Topic) -> Vec<String> {
        super::records::values(&self.read_all(topic, P0).await)
    }

    /// Waits until the tail has come to `to`.
    pub async fn wait_for_tail(&self, topic: &Topic, partition: PartitionId, to: Offset) {
        let mut tail = self.watch_tail(topic, partition).unwrap();
        soon("the tail", tail.wait_for(|tail| *tail >= to)).await.unwrap();
    }
}

/// The values of a partition from its start to its tail, as texts: for engines
/// that are not in a [`Log`].
#[cfg(feature = "kafka")]
pub async fn read_values(engine: &impl Engine, topic: &Topic, id: PartitionId) -> Vec<String> {
    let view = engine.partition(topic, id).unwrap();
    let (mut from, mut said) = (view.start, vec![]);
    while from < view.tail {
        let chunk = soon("a read", engine.read(topic, id, from, ALL)).await.unwrap();
        assert!(chunk.next > from, "a read before the tail must make progress");
        for record in chunk.batches.iter().flat_map(|batch| batch.iter()) {
            said.push(String::from_utf8_lossy(record.unwrap().1.value).into_owned());
        }
        from = chunk.next;
    }
    said
}
