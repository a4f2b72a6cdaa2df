//! [`KafkaEngine`]: the contract, call by call.

use super::{
    append,
    catalog::TopicState,
    config::KafkaConfig,
    core::Core,
    keeper, marks, meters, notes,
    open::{self, JoinError},
    topics,
};
use crate::{
    domain::{Clock, Offset, PartitionId, PartitionView, Timestamp, TopicConfig, TopicName},
    engine::{
        Append, Appended, Engine, EngineError, Health, Promises, ReadBudget, ReadChunk, StateEntry,
        StateKey, StateTable, Topic,
    },
    runtime::{Metrics, TaskKind, Tasks},
};
use async_trait::async_trait;
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::sync::watch;

/// Bounds of an entry of the state table, bytes.
const STATE_KEY_BYTES: usize = 1 << 10;
const STATE_VALUE_BYTES: usize = 8 << 10;
/// For so long the cluster may say nothing before the engine counts as down.
const SILENCE: Duration = Duration::from_secs(10);
/// How long its task may take to end.
const END: Duration = Duration::from_secs(20);

/// A log in a Kafka cluster.
pub struct KafkaEngine {
    pub(super) core: Arc<Core>,
    tasks: Tasks,
}

impl KafkaEngine {
    /// Joins the cluster of `config`, and waits for it as long as that says.
    pub async fn open(
        config: KafkaConfig,
        clock: Clock,
        metrics: &Metrics,
    ) -> Result<Arc<KafkaEngine>, JoinError> {
        let (core, truncated) = open::open(config, clock).await?;
        let tasks = Tasks::default();
        tasks.spawn("kafka keeper", TaskKind::Vital, keeper::run(Arc::clone(&core), truncated));
        tasks.spawn("kafka sweeper", TaskKind::Vital, keeper::sweep_on(Arc::clone(&core)));
        meters::show(metrics, &core);
        Ok(Arc::new(KafkaEngine { core, tasks }))
    }

    /// The cluster does not have a place that should be there: learns what it
    /// has, and answers the error that is true then.
    async fn out_of_range(
        &self,
        state: &Arc<TopicState>,
        id: PartitionId,
        asked: Offset,
    ) -> Result<EngineError, EngineError> {
        let looked = Arc::clone(state);
        let start = self.core.beside(move |core| {
            let place = [(looked, id)];
            marks::ask(core.cluster.consumer(), &place, rdkafka::Offset::Beginning)
        });
        let start = start.await?.map_err(|e| EngineError::Unavailable(e.to_string()))?;
        let partition = state.partition(id)?;
        if let Some(start) = start.first().copied().flatten() {
            partition.raise_start(start);
        }
        let PartitionView { start, tail, .. } = partition.view();
        if (start..=tail).contains(&asked) {
            let told = format!("offset {asked} of partition {id} is not there now");
            return Ok(EngineError::Unavailable(told));
        }
        Ok(EngineError::OffsetOutOfRange { asked, start, tail })
    }
}

#[async_trait]
impl Engine for KafkaEngine {
    fn name(&self) -> &'static str {
        "kafka"
    }

    fn promises(&self) -> Promises {
        Promises {
            dense_offsets: false,
            durable: true,
            retention_by_append_time: false,
            counts_bytes: false,
            whole_appends: false,
            spreads_each: false,
        }
    }

    fn health(&self) -> Health {
        if self.core.catalog.is_closed() {
            return Health::Down(EngineError::Closed.to_string());
        }
        let seen = self.core.seen.lock().clone();
        let silent = seen.at.elapsed();
        if silent > SILENCE.max(self.core.config.refresh * 5) {
            let why = seen.fault.unwrap_or_default();
            return Health::Down(format!("the cluster has said nothing for {silent:?}: {why}"));
        }
        Health::Ready
    }

    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, EngineError> {
        Ok(self.core.named(name)?.topic())
    }

    fn topics(&self) -> Vec<Arc<Topic>> {
        self.core.catalog.all().iter().map(|state| state.topic()).collect()
    }

    async fn create_topic(
        &self,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError> {
        self.core.catalog.check_open()?;
        topics::create(&self.core, name, config).await
    }

    async fn alter_topic(
        &self,
        topic: &Topic,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError> {
        topics::alter(&self.core, topic, config).await
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), EngineError> {
        topics::delete(&self.core, topic).await
    }

    async fn append(&self, append: Append) -> Result<Appended, EngineError> {
        append::append(&self.core, append).await
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadChunk, EngineError> {
        let state = self.core.catalog.find(topic)?;
        let view = state.partition(partition)?.view();
        let (start, tail) = (view.start, view.tail);
        if from < start || from > tail {
            return Err(EngineError::OffsetOutOfRange { asked: from, start, tail });
        }
        if from == tail {
            return Ok(ReadChunk { batches: vec![], next: tail });
        }
        self.core.history.check_heard(&state, partition)?;
        let turn = self.core.history.turn().await?;
        let reading = Arc::clone(&state);
        let read = move |core: &Core| {
            let _turn = turn;
            core.history.read(&reading, partition, (from, tail), budget)
        };
        let read = self.core.beside(read).await?;
        if let Err(EngineError::OffsetOutOfRange { .. }) = read {
            return Err(self.out_of_range(&state, partition, from).await?);
        }
        read
    }

    fn read_recent(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Option<ReadChunk> {
        let state = self.core.catalog.find(topic).ok()?;
        let partition = state.partition(partition).ok()?;
        if from < partition.start() {
            return None;
        }
        // The tail is moved after what is newest was added.
        let tail = partition.tail();
        partition.recent.lock().read(from, tail, budget)
    }

    fn partition(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<PartitionView, EngineError> {
        Ok(self.core.catalog.find(topic)?.partition(partition)?.view())
    }

    async fn freshen(&self, topic: &Topic, partitions: &[PartitionId]) -> Result<(), EngineError> {
        let state = self.core.catalog.find(topic)?;
        let there = |id: &&PartitionId| state.partition(**id).is_ok();
        let there = partitions.iter().filter(there).copied().collect();
        self.core.marks.now(&state, there).await
    }

    fn watch_tail(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<watch::Receiver<Offset>, EngineError> {
        let state = self.core.catalog.find(topic)?;
        let tail = state.partition(partition)?.watch(&topic.name)?;
        self.core.follower.follow(&state, partition);
        Ok(tail)
    }

    async fn offset_at(
        &self,
        topic: &Topic,
        partition: PartitionId,
        time: Timestamp,
    ) -> Result<Offset, EngineError> {
        let state = self.core.catalog.find(topic)?;
        state.partition(partition)?;
        let found = self.core.beside(move |core| {
            // Below zero means something else to Kafka.
            let time = rdkafka::Offset::Offset(time.millis().max(0));
            let place = [(Arc::clone(&state), partition)];
            let found = marks::ask(core.cluster.consumer(), &place, time)
                .map_err(|e| EngineError::Unavailable(e.to_string()))?;
            Ok::<_, EngineError>((state, found.first().copied().flatten()))
        });
        let (state, found) = found.await??;
        // What others have written since is not in the view yet.
        self.core.marks.now(&state, vec![partition]).await?;
        let view = state.partition(partition)?.view();
        Ok(found.unwrap_or(view.tail).clamp(view.start, view.tail))
    }

    async fn trim(
        &self,
        topic: &Topic,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Offset, EngineError> {
        topics::trim(&self.core, topic, partition, before).await
    }

    async fn close(&self) {
        open::close(&self.core).await;
        self.tasks.join(tokio::time::Instant::now() + END).await;
    }
}

#[async_trait]
impl StateTable for KafkaEngine {
    fn get(&self, key: &StateKey, now: Timestamp) -> Option<StateEntry> {
        self.core.state.with(|notes| notes.entry(key, now))
    }

    fn list(&self, space: &'static str, now: Timestamp) -> Vec<(Bytes, StateEntry)> {
        self.core.state.with(|notes| notes.list(space, now))
    }

    async fn put(&self, changes: Vec<(StateKey, Option<StateEntry>)>) -> Result<(), EngineError> {
        self.core.catalog.check_open()?;
        let too_large = |(key, entry): &(StateKey, Option<StateEntry>)| {
            key.key.len() > STATE_KEY_BYTES
                || entry.as_ref().is_some_and(|e| e.value.len() > STATE_VALUE_BYTES)
        };
        if changes.iter().any(too_large) {
            let what =
                format!("an entry has at most {STATE_KEY_BYTES} + {STATE_VALUE_BYTES} bytes");
            return Err(EngineError::Unavailable(what));
        }
        let _in_turn = self.core.table.lock().await;
        let after = self.core.state.with(|notes| notes.table_after(&changes, self.core.now()));
        if after > self.core.config.table_max {
            return Err(EngineError::TableFull(self.core.config.table_max));
        }
        let notes = changes.iter().map(|(key, entry)| notes::entry_note(key, entry.as_ref()));
        self.core.note(notes.collect()).await
    }
}
