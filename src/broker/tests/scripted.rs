//! The reference engine with faults on demand.

use crate::{
    domain::{
        Clock, EpochStart, Offset, PartitionId, PartitionView, Timestamp, TopicConfig, TopicName,
    },
    engine::{
        Append, Appended, Engine, EngineError, Health, Promises, ReadBudget, ReadChunk, Topic,
        memory::MemoryEngine,
    },
};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};
use tokio::sync::watch;

/// A memory engine that fails, and recovers, when it is told to.
pub(super) struct Scripted {
    inner: MemoryEngine,
    read_fault: Mutex<Option<EngineError>>,
    epochs: Mutex<Option<Vec<EpochStart>>>,
    forgets: AtomicBool,
    reads: AtomicUsize,
}

impl Scripted {
    pub(super) fn new(clock: Clock) -> Scripted {
        let inner = MemoryEngine::new(clock);
        Scripted {
            inner,
            read_fault: Mutex::default(),
            epochs: Mutex::default(),
            forgets: AtomicBool::new(false),
            reads: AtomicUsize::new(0),
        }
    }

    pub(super) fn next_read_fails(&self, fault: EngineError) {
        *self.read_fault.lock() = Some(fault);
    }

    /// Whether it has nothing in memory that could be answered at once.
    pub(super) fn forgets(&self, forgets: bool) {
        self.forgets.store(forgets, Relaxed);
    }

    /// How often the store was read.
    pub(super) fn reads(&self) -> usize {
        self.reads.load(Relaxed)
    }

    pub(super) fn has_epochs(&self, epochs: Vec<EpochStart>) {
        *self.epochs.lock() = Some(epochs);
    }
}

#[async_trait]
impl Engine for Scripted {
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn promises(&self) -> Promises {
        self.inner.promises()
    }
    fn health(&self) -> Health {
        self.inner.health()
    }
    fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, EngineError> {
        self.inner.topic(name)
    }
    fn topics(&self) -> Vec<Arc<Topic>> {
        self.inner.topics()
    }
    async fn create_topic(
        &self,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError> {
        self.inner.create_topic(name, config).await
    }
    async fn alter_topic(
        &self,
        topic: &Topic,
        config: &TopicConfig,
    ) -> Result<Arc<Topic>, EngineError> {
        self.inner.alter_topic(topic, config).await
    }
    async fn delete_topic(&self, topic: &Topic) -> Result<(), EngineError> {
        self.inner.delete_topic(topic).await
    }
    async fn append(&self, append: Append) -> Result<Appended, EngineError> {
        self.inner.append(append).await
    }
    async fn read(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Result<ReadChunk, EngineError> {
        self.reads.fetch_add(1, Relaxed);
        // As from a disk: others get their turn meanwhile.
        tokio::task::yield_now().await;
        if let Some(fault) = self.read_fault.lock().take() {
            return Err(fault);
        }
        self.inner.read(topic, partition, from, budget).await
    }
    fn read_recent(
        &self,
        topic: &Topic,
        partition: PartitionId,
        from: Offset,
        budget: ReadBudget,
    ) -> Option<ReadChunk> {
        if self.forgets.load(Relaxed) {
            return None;
        }
        self.inner.read_recent(topic, partition, from, budget)
    }
    fn partition(&self, topic: &Topic, p: PartitionId) -> Result<PartitionView, EngineError> {
        let view = self.inner.partition(topic, p)?;
        let epochs = self.epochs.lock().clone().unwrap_or(view.epochs);
        Ok(PartitionView { epochs, ..view })
    }
    fn watch_tail(
        &self,
        topic: &Topic,
        partition: PartitionId,
    ) -> Result<watch::Receiver<Offset>, EngineError> {
        self.inner.watch_tail(topic, partition)
    }
    async fn offset_at(
        &self,
        topic: &Topic,
        partition: PartitionId,
        time: Timestamp,
    ) -> Result<Offset, EngineError> {
        self.inner.offset_at(topic, partition, time).await
    }
    async fn trim(
        &self,
        topic: &Topic,
        partition: PartitionId,
        before: Offset,
    ) -> Result<Offset, EngineError> {
        self.inner.trim(topic, partition, before).await
    }
    async fn close(&self) {
        self.inner.close().await;
    }
}
