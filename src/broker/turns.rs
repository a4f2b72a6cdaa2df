//! Whose turn it is: records without a key go to the partitions in turn, topic
//! by topic.

use crate::{
    domain::{IdempotencyKey, PartitionCount, PartitionId, TopicId, partitioner},
    engine::Topic,
};
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// The turn of each topic that records without a key were published to.
#[derive(Default)]
pub(super) struct Turns(RwLock<HashMap<TopicId, Arc<AtomicU64>>>);

/// Gives partitions in turn.
pub(super) enum Turn {
    /// With all other publishes to the topic.
    Shared(Arc<AtomicU64>),
    /// By itself.
    Own(u64),
}

impl Turns {
    pub(super) fn of(&self, topic: &Topic) -> Turn {
        if let Some(turn) = self.0.read().get(&topic.id) {
            return Turn::Shared(Arc::clone(turn));
        }
        Turn::Shared(Arc::clone(self.0.write().entry(topic.id).or_default()))
    }

    /// A topic is gone; ids are never used again.
    pub(super) fn forget(&self, topic: &Topic) {
        self.0.write().remove(&topic.id);
    }
}

impl Turn {
    /// A turn that a repeat of the same request takes again: what the engine
    /// answers then speaks of the same partitions.
    pub(super) fn repeatable(key: &IdempotencyKey) -> Turn {
        Turn::Own(u64::from(partitioner::murmur2(key.as_str().as_bytes()).unsigned_abs()))
    }

    pub(super) fn next(&mut self, partitions: PartitionCount) -> PartitionId {
        let turn = match self {
            Turn::Shared(turn) => turn.fetch_add(1, Relaxed),
            Turn::Own(turn) => {
                *turn += 1;
                *turn
            }
        };
        partitioner::round_robin(turn, partitions)
    }
}
