//! The log's contract, in memory.

use super::{LiveTopic, MemoryEngine, State, partition};
use crate::domain::{
    Incarnation, Offset, PartitionId, PartitionView, Timestamp, TopicConfig, TopicId, TopicName,
};
use crate::engine::{
    Append, Appended, AppendedPart, Engine, EngineError, Health, Promises, ReadBudget, ReadChunk,
    Topic,
};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

#[async_trait]
impl Engine for MemoryEngine {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn promises(&self) -> Promises {
        Promises {
            dense_offsets: true,
            durable: false,
            retention_by_append_time: true,
            counts_bytes: true,
            whole_appends: true,
            spreads_each: true,
        }
    }

    fn health(&self) -> Health {
        match *self.state.lock() {
            Some(_) => Health::Ready,
            None => Health::Down(EngineError::Closed.to_string()),
        }
    }

    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, EngineError> {
        self.with_state(|state| match state.topics.get(name) {
            Some(live) => Ok(Arc::clone(&live.topic)),
            None => Err(EngineError::TopicUnknown(name.clone())),
        })
    }

    fn topics(&self) -> Vec<Arc<Topic>> {
        let state = self.state.lock();
        let live = state.iter().flat_map(|state| state.topics.values());
        live.map(|live| Arc::clone(&live.topic)).collect()
    }

    async fn create_topic(
        &self,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError> {
        let created = self.now();
        self.with_state(|state| state.create(name, config, created))
    }

    async fn alter_topic(
        &self,
        topic: &Topic,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError> {
        self.with_state(|state| {
            let live = state.live(topic)?;
            let old = &live.topic.config;
            let (partitions, keyed) = (old.partitions, old.keyed);
            let config = TopicConfig { partitions, keyed, ..config.clone() };
            live.topic = Arc::new(Topic { config, ..(*live.topic).clone() });
            Ok(Arc::clone(&live.topic))
        })
    }

    async fn delete_topic(&self, topic: &Topic) -> Result<(), EngineError> {
        self.with_state(|state| {
            let id = state.live(topic)?.topic.id;
            state.topics.remove(&topic.name);
            state.keys.forget(id);
            Ok(())
        })
    }

    async fn append(&self, append: Append) -> Result<Appended, EngineError> {
        let now = self.now();
        self.with_state(|state| state.append(append, now))
    }

    async fn read(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadChunk, EngineError> {
        self.with_partition(topic, partition, |p| p.read(from, budget))
    }

    fn read_recent(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Option<ReadChunk> {
        self.with_partition(topic, partition, |p| p.read(from, budget)).ok()
    }

    fn partition(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<PartitionView, EngineError> {
        self.with_partition(topic, partition, |p| Ok(p.view()))
    }

    fn watch_tail(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<watch::Receiver<Offset>, EngineError> {
        self.with_partition(topic, partition, |p| Ok(p.watch()))
    }

    async fn offset_at(
        &self,
        topic: &Topic,
        partition: PartitionId,
        time: Timestamp,
    ) -> Result<Offset, EngineError> {
        self.with_partition(topic, partition, |p| p.offset_at(time))
    }

    async fn trim(
        &self,
        topic: &Topic,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Offset, EngineError> {
        self.with_partition(topic, partition, |p| p.trim(before))
    }

    async fn close(&self) {
        // With the state go the watches, which ends every follower.
        *self.state.lock() = None;
    }
}

impl State {
    fn create(
        &mut self,
        name: &TopicName,
        config: &TopicConfig,
        created: Timestamp,
    ) -> Result<Arc<Topic>, EngineError> {
        if self.topics.contains_key(name) {
            return Err(EngineError::TopicExists(name.clone()));
        }
        let id = self
            .last_id
            .0
            .checked_add(1)
            .map(TopicId)
            .ok_or_else(|| EngineError::Unavailable("every topic id was used".to_owned()))?;
        let incarnation = getrandom::u64()
            .map_err(|error| EngineError::Unavailable(format!("no random numbers: {error}")))?;
        self.last_id = id;
        let topic = Arc::new(Topic {
            name: name.clone(),
            id,
            incarnation: Incarnation(incarnation),
            config: config.clone(),
            created,
        });
        let partitions = config.partitions.ids().map(|_| partition::Partition::new()).collect();
        let live = LiveTopic { topic: Arc::clone(&topic), partitions };
        self.topics.insert(name.clone(), live);
        Ok(topic)
    }

    fn append(&mut self, append: Append, now: Timestamp) -> Result<Appended, EngineError> {
        let Append { topic, parts, idempotency, durability: _ } = append;
        self.live(&topic)?;
        if let Some(request) = &idempotency
            && let Some(done) = self.keys.look_up(topic.id, request, now)?
        {
            return Ok(done);
        }
        let live = self.live(&topic)?;
        // The clock may jump back; a partition's times of appending never do.
        let mut appended = now;
        for (partition, _) in &parts {
            appended = appended.max(live.partition(*partition)?.last_append());
        }
        let mut done = Appended { parts: vec![], appended, repeated: false };
        for (partition, records) in parts {
            let count = records.count();
            let base = live.partition(partition)?.append(records, appended);
            done.parts.push(AppendedPart { partition, base, count, epoch: partition::EPOCH });
        }
        if let Some(request) = idempotency {
            self.keys.remember(topic.id, request, done.clone(), now);
        }
        Ok(done)
    }
}
