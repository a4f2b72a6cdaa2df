//! Opening a reader: which partitions, and where in them.

use super::{Reader, lane::Lane};
use crate::{
    broker::{Broker, BrokerError, follow::KeySet},
    domain::{Cursor, PartitionId, StartAt, TopicName, TopicPositions, limits, partitioner},
    engine::{EngineError, Topic},
};
use bytes::Bytes;
use std::sync::Arc;

/// Where a reader begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// At the same place in every partition.
    Start(StartAt),
    /// Where another reader was.
    Cursor(Cursor),
}

/// What is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadRequest {
    /// From these topics, at least one.
    pub topics: Vec<TopicName>,
    /// Only these partitions, if named.
    pub partitions: Option<Vec<PartitionId>>,
    /// From here on.
    pub from: ReadFrom,
    /// Only records with one of these keys; all of them if there is none.
    pub keys: Vec<Bytes>,
}

impl Reader {
    /// Opens a reader, at once.
    ///
    /// `Engine(TopicUnknown | PartitionUnknown | OffsetOutOfRange)`,
    /// `CursorForeign` or `CursorTopicGone` when it cannot be, `PartitionNeeded`
    /// for an offset in several partitions, `TooManyKeys` beyond the limit.
    pub async fn open(broker: &Arc<Broker>, request: ReadRequest) -> Result<Reader, BrokerError> {
        let mut lanes = vec![];
        if request.keys.len() > limits::MAX_READ_KEYS {
            return Err(BrokerError::TooManyKeys { max: limits::MAX_READ_KEYS });
        }
        let keys = KeySet::new(request.keys);
        if let ReadFrom::Cursor(cursor) = &request.from {
            check_topics(cursor, &request.topics)?;
        }
        for name in &request.topics {
            let chosen = Chosen { partitions: request.partitions.as_deref(), keys: keys.as_ref() };
            match &request.from {
                ReadFrom::Start(start) => {
                    let topic = broker.topic(name)?;
                    start_topic(broker, &topic, chosen, *start, &mut lanes).await?;
                }
                ReadFrom::Cursor(cursor) => {
                    let Some(positions) = cursor.topics.get(name) else { continue };
                    let topic = same_topic(broker, name, positions)?;
                    let ids: Vec<_> = positions.partitions.keys().copied().collect();
                    let fresh = broker.engine.freshen(&topic, &ids).await;
                    resume_topic(broker, &topic, chosen, (positions, fresh), &mut lanes)?;
                }
            }
        }
        if lanes.is_empty() {
            return Err(BrokerError::CursorForeign("there is no partition to read".to_owned()));
        }
        if let ReadFrom::Start(StartAt::Offset(_)) = request.from
            && lanes.len() > 1
        {
            return Err(BrokerError::PartitionNeeded { partitions: lanes.len() as u32 });
        }
        Ok(Reader::new(Arc::clone(broker), lanes, keys.is_some()))
    }
}

/// What of a topic is to be read.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    partitions: Option<&'a [PartitionId]>,
    keys: Option<&'a KeySet>,
}

impl Chosen<'_> {
    /// The partitions in which a keyed topic has the keys, in order; `None`
    /// where they may be in any.
    fn of_keys(&self, topic: &Topic) -> Option<Vec<PartitionId>> {
        let keys = self.keys.filter(|_| topic.config.keyed)?.keys();
        let count = topic.config.partitions;
        let mut ids: Vec<_> = keys.iter().map(|key| partitioner::by_key(key, count)).collect();
        ids.sort_unstable();
        ids.dedup();
        Some(ids)
    }

    /// Those to be read from a start on.
    fn of_topic(&self, topic: &Topic) -> Vec<PartitionId> {
        let all = || topic.config.partitions.ids().collect();
        let of_keys = self.of_keys(topic);
        match (self.partitions, of_keys) {
            (Some(chosen), _) => chosen.to_vec(),
            (None, Some(of_keys)) => of_keys,
            (None, None) => all(),
        }
    }
}

fn check_topics(cursor: &Cursor, asked: &[TopicName]) -> Result<(), BrokerError> {
    let mut asked: Vec<&TopicName> = asked.iter().collect();
    asked.sort_unstable();
    asked.dedup();
    if asked.iter().copied().eq(cursor.topics.keys()) {
        return Ok(());
    }
    let of: Vec<&str> = cursor.topics.keys().map(TopicName::as_str).collect();
    Err(BrokerError::CursorForeign(format!("the cursor is of other topics: {}", of.join(", "))))
}

/// The topic that the cursor speaks of, not another one of its name.
fn same_topic(
    broker: &Broker,
    name: &TopicName,
    positions: &TopicPositions,
) -> Result<Arc<Topic>, BrokerError> {
    match broker.engine.topic(name) {
        Ok(topic) if topic.incarnation == positions.incarnation => Ok(topic),
        Ok(_) | Err(EngineError::TopicUnknown(_)) => {
            Err(BrokerError::CursorTopicGone(name.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

async fn start_topic(
    broker: &Broker,
    topic: &Arc<Topic>,
    chosen: Chosen<'_>,
    start: StartAt,
    lanes: &mut Vec<Lane>,
) -> Result<(), BrokerError> {
    let partitions = chosen.of_topic(topic);
    if matches!(start, StartAt::Offset(_)) && partitions.len() > 1 {
        let partitions = topic.config.partitions.0;
        return Err(BrokerError::PartitionNeeded { partitions });
    }
    let fresh = broker.engine.freshen(topic, &partitions).await;
    if !matches!(start, StartAt::Earliest) {
        // Where the newest are is not known without that.
        fresh?;
    }
    for partition in partitions {
        let (mut lane, view) = Lane::open(broker, topic, partition, chosen.keys.cloned())?;
        lane.start(broker, &view, start).await?;
        lanes.push(lane);
    }
    Ok(())
}

fn resume_topic(
    broker: &Broker,
    topic: &Arc<Topic>,
    chosen: Chosen<'_>,
    (positions, fresh): (&TopicPositions, Result<(), EngineError>),
    lanes: &mut Vec<Lane>,
) -> Result<(), BrokerError> {
    let name = &topic.name;
    let foreign = |what: String| Err(BrokerError::CursorForeign(what));
    if let Some(partitions) = chosen.partitions {
        let mut chosen = partitions.to_vec();
        chosen.sort_unstable();
        if !chosen.iter().eq(positions.partitions.keys()) {
            return foreign(format!("the cursor is of other partitions of topic '{name}'"));
        }
    }
    let of_keys = chosen.of_keys(topic).filter(|_| chosen.partitions.is_none());
    if of_keys.is_some_and(|ids| !ids.iter().all(|id| positions.partitions.contains_key(id))) {
        return foreign(format!("the cursor is of other keys of topic '{name}'"));
    }
    for (partition, position) in &positions.partitions {
        if !topic.config.partitions.contains(*partition) {
            return foreign(format!("topic '{name}' has no partition {partition}"));
        }
        let (mut lane, view) = Lane::open(broker, topic, *partition, chosen.keys.cloned())?;
        if !lane.resume(&view, *position) {
            // What may be old does not say that it was never written.
            fresh?;
            let next = position.next;
            return foreign(format!(
                "offset {next} was never written in partition {partition} of topic '{name}'"
            ));
        }
        lanes.push(lane);
    }
    Ok(())
}
