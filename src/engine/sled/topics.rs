//! Topics made, altered, trimmed and deleted: each a change of the catalogue
//! that is durable before it is known. They block.

use super::{catalog::TopicState, meta::Change, open, store::Store};
use crate::{
    domain::{Incarnation, Offset, PartitionId, TopicConfig, TopicId, TopicName},
    engine::{EngineError, Topic},
};
use std::sync::Arc;

/// Makes a change of the catalogue. One that fails may come to be all the same.
fn commit(store: &Store, change: Change) -> Result<(), EngineError> {
    store.meta.commit(change).map_err(|error| match error {
        EngineError::Closed => EngineError::Closed,
        error => EngineError::OutcomeUnknown(error.to_string()),
    })
}

pub(super) fn create(
    store: &Store,
    name: TopicName,
    config: TopicConfig,
) -> Result<Arc<Topic>, EngineError> {
    store.may_write()?;
    let _admin = store.admin.lock();
    if store.catalog.by_name(&name).is_some() {
        return Err(EngineError::TopicExists(name));
    }
    let id = store.meta.next_topic_id()?;
    let random = || getrandom::u64().map_err(|e| EngineError::Unavailable(e.to_string()));
    let incarnation = Incarnation(random()?);
    let topic = Topic { name, id, incarnation, config, created: (store.clock)() };
    let mut change = Change::default();
    change.topic(&topic);
    change.next_topic_id(TopicId(id.0 + 1));
    commit(store, change)?;
    let active = store.volumes.active_id().unwrap_or_default();
    let state = open::made(topic, active);
    store.catalog.insert(state.clone());
    Ok(state.topic())
}

pub(super) fn delete(store: &Store, state: &TopicState) -> Result<(), EngineError> {
    let _admin = store.admin.lock();
    let topic = state.topic();
    store.catalog.find(&topic)?;
    let mut change = Change::default();
    change.remove_topic(topic.id);
    for partition in &state.partitions {
        change.forget_partition(partition.place);
        for extent in &partition.shared.read().extents {
            change.remove_extent(partition.place, extent.first);
        }
    }
    commit(store, change)?;
    store.catalog.remove(&topic);
    store.store_marks(false)
}

pub(super) fn trim(
    store: &Store,
    state: &TopicState,
    partition: PartitionId,
    before: Offset,
) -> Result<Offset, EngineError> {
    let _admin = store.admin.lock();
    store.catalog.find(&state.topic())?;
    let partition = state.partition(partition)?;
    let (start, tail) = {
        let shared = partition.shared.read();
        (shared.start, shared.tail)
    };
    if before > tail {
        return Err(EngineError::OffsetOutOfRange { asked: before, start, tail });
    }
    if before <= start {
        return Ok(start);
    }
    let mut change = Change::default();
    change.start(partition.place, before, before);
    commit(store, change)?;
    let mut shared = partition.shared.write();
    (shared.start, shared.trimmed_to) = (before, before);
    Ok(before)
}

/// Gives a topic new settings; the partition count and `keyed` stay.
pub(super) fn alter(
    store: &Store,
    state: &TopicState,
    config: TopicConfig,
) -> Result<Arc<Topic>, EngineError> {
    let _admin = store.admin.lock();
    let old = state.topic();
    let fixed = (old.config.partitions, old.config.keyed);
    let config = TopicConfig { partitions: fixed.0, keyed: fixed.1, ..config };
    let topic = Topic { config, ..Topic::clone(&old) };
    let mut change = Change::default();
    change.topic(&topic);
    commit(store, change)?;
    let topic = Arc::new(topic);
    *state.topic.write() = topic.clone();
    Ok(topic)
}
