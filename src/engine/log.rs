//! The log itself: topics of partitions, appended to and read from.

use super::EngineError;
use crate::domain::{
    Durability, Epoch, IdempotencyKey, Incarnation, Offset, PackedRecords, PartitionId,
    PartitionView, RecordBatch, Timestamp, TopicConfig, TopicId, TopicName,
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// A topic as it stood when it was looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: TopicName,
    /// The engine's own short name, for its own use.
    pub id: TopicId,
    /// Tells it from an earlier topic of the same name.
    pub incarnation: Incarnation,
    /// Its settings.
    pub config: TopicConfig,
    /// When it was made.
    pub created: Timestamp,
}

/// The digest of a request's body, to tell a repeat from another request.
pub type BodyDigest = [u8; 16];

/// Makes a publish happen at most once for as long as it is remembered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// What the publisher calls the request. Scoped to the topic.
    pub key: IdempotencyKey,
    /// What the request said.
    pub digest: BodyDigest,
    /// How long the key is remembered.
    pub ttl: Duration,
}

/// Records to be appended to one topic: all of them, or none.
#[derive(Clone, Debug)]
pub struct Append {
    /// Where to.
    pub topic: Arc<Topic>,
    /// What, by partition; each partition at most once, none empty.
    pub parts: Vec<(PartitionId, PackedRecords)>,
    /// When to answer. Visibility follows the topic's own durability.
    pub durability: Durability,
    /// The request's name, if a repeat is to be noticed.
    pub idempotency: Option<Idempotency>,
}

/// Where one partition's records went: `count` offsets from `base`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendedPart {
    /// The partition.
    pub partition: PartitionId,
    /// The offset of the first record. The others follow without a gap.
    pub base: Offset,
    /// How many records.
    pub count: u32,
    /// The epoch they were written in.
    pub epoch: Epoch,
}

/// Where an append went, part by part in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// As many as the request had. Where others write to the same partition, an
    /// append to one partition alone may be answered in several pieces, in the
    /// order of its records.
    pub parts: Vec<AppendedPart>,
    /// The time of appending.
    pub appended: Timestamp,
    /// Whether an earlier request of the same key did it.
    pub repeated: bool,
}

/// How much one read may return. The first batch comes even if it alone is
/// more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadBudget {
    /// Records.
    pub records: u32,
    /// Packed bytes.
    pub bytes: usize,
}

/// Consecutive batches of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadChunk {
    /// In order, none empty.
    pub batches: Vec<RecordBatch>,
    /// Where to read next. On engines whose offsets have gaps this may lie
    /// beyond the last record, or move on without any record.
    pub next: Offset,
}

/// Where engines differ in what they promise; shown by `/readyz`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promises {
    /// Whether offsets are dense.
    pub dense_offsets: bool,
    /// Whether records outlive the process.
    pub durable: bool,
    /// Whether time retention counts from appending (else from `timestamp`).
    pub retention_by_append_time: bool,
    /// Whether the bytes of a partition are known.
    pub counts_bytes: bool,
    /// Whether an append to one partition alone, without an idempotency key, is
    /// all there or not there also when the gateway dies in the middle of it.
    /// With a key, or over several partitions, it is on every engine.
    pub whole_appends: bool,
    /// Whether the records of a publish that name neither key nor partition go to
    /// partitions in turn one by one. Else they go together to the partition whose
    /// turn it is, as Kafka's own producers have it: an append to one partition is
    /// much cheaper there than a transaction.
    pub spreads_each: bool,
}

/// Whether the engine can do its work now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// It can.
    Ready,
    /// Reads work, publishes are refused; why.
    ReadOnly(String),
    /// Nothing works; why.
    Down(String),
}

/// A durable partitioned log.
///
/// What every engine keeps, and `contract` proves:
/// - An append is atomic over all its partitions, and its offsets consecutive
///   in each. Where `whole_appends` is not promised, an append to one partition
///   without an idempotency key may leave its first records there alone if the
///   gateway dies in that instant, and only then: an answer, and any error but
///   `OutcomeUnknown`, is for all of them.
/// - **Nothing is visible before it is as durable as its topic says**: a tail
///   moves no earlier than the answer to a publish of that durability. It has
///   moved when that answers, unless another program's open transaction stands
///   before the records.
/// - A view is what this gateway knows: where others write as well, `freshen`
///   brings it up to date, and so does watching.
/// - A name that differs from another topic's in `.` and `_` alone, or begins
///   with two underscores, may be `Refused`.
/// - Readers of a partition see the same records in the same order.
/// - A topic that was created is known to `topic` when `create_topic` answers,
///   however long the engine itself takes for it.
/// - No call waits for a topic to come into being.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// `memory`, `sled` or `kafka`.
    fn name(&self) -> &'static str;

    /// Where this engine differs from others.
    fn promises(&self) -> Promises;

    /// Whether it can do its work now.
    fn health(&self) -> Health;

    /// A topic by name, without waiting. `TopicUnknown` if there is none.
    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, EngineError>;

    /// All topics in the order of their names.
    fn topics(&self) -> Vec<Arc<Topic>>;

    /// Makes a topic. `TopicExists` if the name is taken, whatever its
    /// settings. The settings were checked by the caller.
    async fn create_topic(
        &self,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError>;

    /// Gives a topic new settings. The partition count and `keyed` stay.
    async fn alter_topic(
        &self,
        topic: &Topic,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError>;

    /// Deletes a topic: unknown when this answers, its disk given back behind.
    async fn delete_topic(&self, topic: &Topic) -> Result<(), EngineError>;

    /// Appends, and answers when it is as durable as asked.
    ///
    /// With an idempotency key: a repeat answers what the first did, one with
    /// another digest is `IdempotencyConflict`, a concurrent one waits.
    async fn append(&self, append: Append) -> Result<Appended, EngineError>;

    /// Reads from `from` on, up to the tail; at the tail an empty chunk.
    /// `OffsetOutOfRange` before the start or beyond the tail.
    async fn read(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadChunk, EngineError>;

    /// As `read`, where it can be answered at once: the newest batches, as a
    /// rule. `None` says nothing but that `read` is to be asked. Never blocks.
    fn read_recent(
        &self,
        _topic: &Topic,
        _partition: PartitionId,
        _from: Offset,
        _budget: ReadBudget,
    ) -> Option<ReadChunk> {
        None
    }

    /// As `read`, but only records with one of `keys`, found by an index:
    /// `next` is the place up to which there are no others, which may lie far
    /// beyond the last of them. `None` where there is no index to ask: the
    /// caller then looks through all records.
    async fn next_with_keys(
        &self,
        _topic: &Topic,
        _partition: PartitionId,
        _from: Offset,
        _keys: &[Bytes],
        _budget: ReadBudget,
    ) -> Option<Result<ReadChunk, EngineError>> {
        None
    }

    /// A partition as readers may see it now, without waiting.
    fn partition(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<PartitionView, EngineError>;

    /// Brings what `partition` answers up to date where others write as well:
    /// what was visible anywhere when this was called is in the view when it
    /// answers. `Unavailable` if it cannot be told of one of them now, whose view
    /// is left as it is; the others are brought up to date all the same.
    async fn freshen(
        &self,
        _topic: &Topic,
        _partitions: &[PartitionId],
    ) -> Result<(), EngineError> {
        Ok(())
    }

    /// Follows a partition's tail. The sender is gone once the topic is.
    fn watch_tail(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<watch::Receiver<Offset>, EngineError>;

    /// The first offset whose record has a timestamp at or after `time`: the
    /// tail if there is none, never before the start.
    async fn offset_at(
        &self,
        topic: &Topic,
        partition: PartitionId,
        time: Timestamp,
    ) -> Result<Offset, EngineError>;

    /// Moves the start to `before` (or leaves it, if it is there already), and
    /// answers the start. Beyond the tail is `OffsetOutOfRange`.
    async fn trim(
        &self,
        topic: &Topic,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Offset, EngineError>;

    /// Ends all work: what was acknowledged is durable when this answers.
    async fn close(&self);
}
