//! Topics made, altered, deleted and trimmed: in the cluster first, then in the
//! state topic, then in memory.

use super::{
    catalog::TopicState,
    cluster::Holders,
    core::Core,
    naming,
    notes::{self, TopicNote},
    settings,
};
use crate::{
    domain::{Incarnation, Offset, PartitionId, TopicConfig, TopicName},
    engine::{EngineError, Topic},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// How long all of a new topic's partitions may take to have leaders.
const LED: Duration = Duration::from_secs(15);
/// How long a deleted topic may take to be gone.
const GONE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// See [`crate::engine::Engine::create_topic`].
pub(super) async fn create(
    core: &Arc<Core>,
    name: &TopicName,
    config: &TopicConfig,
) -> Result<Arc<Topic>, EngineError> {
    let _one_at_a_time = core.admin.lock().await;
    match core.named(name) {
        Ok(_) | Err(EngineError::Refused(_)) => {
            return Err(EngineError::TopicExists(name.clone()));
        }
        Err(EngineError::TopicUnknown(_)) => {}
        Err(error) => return Err(error),
    }
    let raw = naming::raw(&core.config.topic_prefix, name);
    if naming::served(&core.config.topic_prefix, &raw).is_none() {
        let told = format!("'{name}' is a name that the cluster keeps for itself");
        return Err(EngineError::Refused(told));
    }
    let wanted = settings::wanted_when_made(config);
    let copies = config.replication_factor;
    let made = core.cluster.create(&raw, Some(name), config.partitions.0, copies, &wanted).await;
    if let Err(error) = made {
        if error == EngineError::TopicExists(name.clone()) {
            // Another gateway was faster: it is known when this answers.
            super::keeper::look(core, true).await?;
        }
        return Err(error);
    }
    core.made_again(&raw);
    let incarnation = getrandom::u64().map(Incarnation);
    let incarnation =
        incarnation.map_err(|e| EngineError::OutcomeUnknown(format!("no random numbers: {e}")))?;
    let created = core.now();
    let note = TopicNote { incarnation, created, config: config.clone() };
    core.note(vec![notes::topic_note(name.as_str(), &note)]).await?;
    let holders = led(core, &raw, config.partitions.0).await?;
    let id = naming::id(incarnation);
    let topic = Topic { name: name.clone(), id, incarnation, config: config.clone(), created };
    let shared = core.remembered(&topic);
    let state = core.catalog.add(raw, topic, shared);
    hold(&state, &holders);
    Ok(state.topic())
}

/// Waits until all partitions have leaders.
async fn led(core: &Core, raw: &str, partitions: u32) -> Result<Vec<Holders>, EngineError> {
    let deadline = Instant::now() + LED;
    loop {
        let seen = core.cluster.look_at(Some(raw.to_owned())).await;
        let holders = seen.map(|mut seen| seen.topics.remove(raw).unwrap_or_default());
        match holders {
            Ok(holders)
                if holders.len() == partitions as usize
                    && holders.iter().all(|h| !h.in_sync.is_empty()) =>
            {
                return Ok(holders);
            }
            _ if Instant::now() >= deadline => {
                let told = "the topic was made, and its partitions have no leaders yet";
                return Err(EngineError::OutcomeUnknown(told.to_owned()));
            }
            _ => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Notes who holds the partitions.
pub(super) fn hold(state: &TopicState, holders: &[Holders]) {
    for (partition, holders) in state.partitions.iter().zip(holders) {
        partition.with_shared(|shared| {
            shared.in_sync.clone_from(&holders.in_sync);
            shared.replicas = holders.replicas;
        });
    }
}

/// See [`crate::engine::Engine::alter_topic`].
pub(super) async fn alter(
    core: &Arc<Core>,
    topic: &Topic,
    config: &TopicConfig,
) -> Result<Arc<Topic>, EngineError> {
    let _one_at_a_time = core.admin.lock().await;
    let state = core.catalog.find(topic)?;
    let old = state.topic();
    let (partitions, keyed) = (old.config.partitions, old.config.keyed);
    let config = TopicConfig { partitions, keyed, ..config.clone() };
    core.cluster.alter(&state.raw, &old.name, &settings::wanted(&config)).await?;
    let (incarnation, created) = (old.incarnation, old.created);
    let note = TopicNote { incarnation, created, config: config.clone() };
    core.note(vec![notes::topic_note(old.name.as_str(), &note)]).await?;
    Ok(state.set_topic(Topic { config, ..(*old).clone() }))
}

/// See [`crate::engine::Engine::delete_topic`].
pub(super) async fn delete(core: &Arc<Core>, topic: &Topic) -> Result<(), EngineError> {
    let _one_at_a_time = core.admin.lock().await;
    let state = core.catalog.find(topic)?;
    let name = &topic.name;
    let deleted = core.cluster.delete(&state.raw, name).await;
    let was_gone = deleted == Err(EngineError::TopicUnknown(name.clone()));
    if !was_gone {
        deleted?;
    }
    core.has_deleted(&state.raw);
    core.catalog.remove(&state);
    let left =
        core.state.with(|notes| notes.to_forget(name.as_str(), &state.raw, topic.incarnation));
    forget(core, left).await?;
    let deadline = Instant::now() + GONE;
    while Instant::now() < deadline {
        let seen = core.cluster.look_at(Some(state.raw.clone())).await;
        if seen.is_ok_and(|seen| !seen.topics.contains_key(&state.raw)) {
            break;
        }
        tokio::time::sleep(LOOK).await;
    }
    if was_gone { Err(EngineError::TopicUnknown(name.clone())) } else { Ok(()) }
}

/// Takes notes away, some at a time.
pub(super) async fn forget(core: &Arc<Core>, notes: Vec<notes::Note>) -> Result<(), EngineError> {
    for some in notes.chunks(500) {
        core.note(some.to_vec()).await?;
    }
    Ok(())
}

/// See [`crate::engine::Engine::trim`].
pub(super) async fn trim(
    core: &Arc<Core>,
    topic: &Topic,
    id: PartitionId,
    before: Offset,
) -> Result<Offset, EngineError> {
    let state = core.catalog.find(topic)?;
    let partition = state.partition(id)?;
    if before > partition.tail() {
        core.marks.now(&state, vec![id]).await?;
    }
    let view = partition.view();
    if before > view.tail {
        let (start, tail) = (view.start, view.tail);
        return Err(EngineError::OffsetOutOfRange { asked: before, start, tail });
    }
    if before <= view.start {
        return Ok(view.start);
    }
    let start = core.cluster.trim(&state.raw, &topic.name, id, before).await?;
    partition.raise_start(start);
    partition.with_shared(|shared| shared.trimmed_to = shared.trimmed_to.max(before));
    core.keep_partition(&state, id).await?;
    Ok(partition.start())
}
