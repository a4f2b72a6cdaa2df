//! The reference engine: a log in memory that is plain rather than fast. What
//! the other engines answer is compared with it, so every rule of the contract
//! can be read here in a few lines.
//!
//! One lock is held for each call and never across an `await`; so every append
//! is atomic and visible at once, and both durabilities are the same. Nothing
//! outlives the process. Records are dropped by retention only when
//! [`MemoryEngine::enforce_retention`] is called, exactly to the record.

mod keys;
mod log;
mod partition;
mod table;

use super::{EngineError, Topic};
use crate::domain::{Clock, PartitionId, Timestamp, TopicId, TopicName};
use keys::Keys;
use parking_lot::Mutex;
use partition::Partition;
use std::{collections::BTreeMap, sync::Arc};
use table::Table;

/// How much the engine remembers beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryBounds {
    /// Idempotency keys of all topics together.
    pub idempotency_max: usize,
    /// Entries of the state table.
    pub table_max: usize,
}

impl Default for MemoryBounds {
    /// A hundred thousand of either: some tens of megabytes.
    fn default() -> Self {
        MemoryBounds { idempotency_max: 100_000, table_max: 100_000 }
    }
}

/// A log in memory.
pub struct MemoryEngine {
    clock: Clock,
    /// `None` once closed.
    state: Mutex<Option<State>>,
}

struct State {
    last_id: TopicId,
    topics: BTreeMap<TopicName, LiveTopic>,
    keys: Keys,
    table: Table,
}

struct LiveTopic {
    topic: Arc<Topic>,
    partitions: Vec<Partition>,
}

impl MemoryEngine {
    /// An empty log that tells the time by `clock`, with the usual bounds.
    #[must_use]
    pub fn new(clock: Clock) -> MemoryEngine {
        MemoryEngine::with_bounds(clock, MemoryBounds::default())
    }

    /// An empty log that tells the time by `clock`, with other bounds.
    #[must_use]
    pub fn with_bounds(clock: Clock, bounds: MemoryBounds) -> MemoryEngine {
        let state = State {
            last_id: TopicId(0),
            topics: BTreeMap::new(),
            keys: Keys::new(bounds.idempotency_max),
            table: Table::new(bounds.table_max),
        };
        MemoryEngine { clock, state: Mutex::new(Some(state)) }
    }

    /// Drops the records that their topics keep no longer, exactly to the
    /// record: those appended too long ago, and the oldest ones without which
    /// a partition still has the packed bytes that it keeps.
    pub fn enforce_retention(&self) -> Result<(), EngineError> {
        let now = self.now();
        self.with_state(|state| {
            for live in state.topics.values_mut() {
                for partition in &mut live.partitions {
                    partition.enforce_retention(&live.topic.config, now)?;
                }
            }
            Ok(())
        })
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn with_state<T>(
        &self,
        work: impl FnOnce(&mut State) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        work(self.state.lock().as_mut().ok_or(EngineError::Closed)?)
    }

    fn with_partition<T>(
        &self,
        topic: &Topic,
        partition: PartitionId,
        work: impl FnOnce(&mut Partition) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        self.with_state(|state| work(state.live(topic)?.partition(partition)?))
    }
}

impl State {
    /// The topic itself, not another one that has its name by now.
    fn live(&mut self, topic: &Topic) -> Result<&mut LiveTopic, EngineError> {
        self.topics
            .get_mut(&topic.name)
            .filter(|live| live.topic.incarnation == topic.incarnation)
            .ok_or_else(|| EngineError::TopicUnknown(topic.name.clone()))
    }
}

impl LiveTopic {
    fn partition(&mut self, partition: PartitionId) -> Result<&mut Partition, EngineError> {
        let unknown =
            || EngineError::PartitionUnknown { topic: self.topic.name.clone(), partition };
        self.partitions.get_mut(partition.index()).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests;
