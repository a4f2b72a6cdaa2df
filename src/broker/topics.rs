//! Use-cases on topics: make, describe, list, change, trim, delete.

use super::{Broker, BrokerError};
use crate::{
    domain::{
        Offset, PartitionId, PartitionView, Timestamp, TopicConfig, TopicDifference, TopicName,
        TopicPatch,
    },
    engine::{EngineError, Topic},
};
use std::sync::Arc;

/// What came of asking for a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ensured {
    /// It was made.
    Created(Arc<Topic>),
    /// It was there, as asked for.
    Same(Arc<Topic>),
    /// It was there with other settings, and was left alone.
    Differs(Vec<TopicDifference>),
}

/// A topic and its partitions as they stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicView {
    /// The topic.
    pub topic: Arc<Topic>,
    /// Its partitions, in order.
    pub partitions: Vec<(PartitionId, PartitionView)>,
}

/// Up to where a topic is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrimTo {
    /// Records before this offset go; of one partition alone.
    Offset(Offset),
    /// Records before the first one that is not older than this go.
    Time(Timestamp),
}

impl Broker {
    /// Makes a topic, or makes sure that it is as asked for.
    ///
    /// `TopicSettings` when settings are out of bounds, `TopicsFull` and
    /// `PartitionsFull` when there would be too many.
    pub async fn ensure_topic(
        &self,
        name: &TopicName,
        config: &TopicConfig,
    ) -> Result<Ensured, BrokerError> {
        checked(config)?;
        let _one_at_a_time = self.creation.lock().await;
        match self.engine.topic(name) {
            Ok(topic) => Ok(compared(topic, config)),
            Err(EngineError::TopicUnknown(_)) => {
                self.check_room(config)?;
                match self.engine.create_topic(name, config).await {
                    Ok(topic) => Ok(Ensured::Created(topic)),
                    // Someone beside this gateway was faster, as on a cluster.
                    Err(EngineError::TopicExists(_)) => {
                        Ok(compared(self.engine.topic(name)?, config))
                    }
                    Err(error) => Err(error.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    fn check_room(&self, config: &TopicConfig) -> Result<(), BrokerError> {
        let topics = self.engine.topics();
        if topics.len() >= self.limits.topics {
            return Err(BrokerError::TopicsFull { max: self.limits.topics });
        }
        let taken: usize = topics.iter().map(|t| t.config.partitions.0 as usize).sum();
        let left = self.limits.partitions.saturating_sub(taken);
        if config.partitions.0 as usize > left {
            return Err(BrokerError::PartitionsFull { max: self.limits.partitions, left });
        }
        Ok(())
    }

    /// Changes what `patch` names. `TopicSettings` when that is out of bounds.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        patch: &TopicPatch,
    ) -> Result<Arc<Topic>, BrokerError> {
        let _one_at_a_time = self.creation.lock().await;
        let topic = self.engine.topic(name)?;
        let config = topic.config.patched(patch);
        checked(&config)?;
        if config == topic.config {
            return Ok(topic);
        }
        Ok(self.engine.alter_topic(&topic, &config).await?)
    }

    /// Deletes a topic. Its readers are told; its disk comes back behind.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), BrokerError> {
        let topic = self.engine.topic(name)?;
        self.engine.delete_topic(&topic).await?;
        self.turns.forget(&topic);
        Ok(())
    }

    /// A topic and its partitions as they stand.
    pub async fn describe_topic(&self, name: &TopicName) -> Result<TopicView, BrokerError> {
        let topic = self.engine.topic(name)?;
        let ids: Vec<_> = topic.config.partitions.ids().collect();
        if let Err(error) = self.engine.freshen(&topic, &ids).await {
            // What was known last is still of use to who looks.
            tracing::debug!(%error, topic = %name, "described as it was last seen");
        }
        let view = |p| Ok((p, self.engine.partition(&topic, p)?));
        let partitions = topic.config.partitions.ids().map(view).collect::<Result<_, _>>();
        Ok(TopicView { partitions: partitions.map_err(BrokerError::Engine)?, topic })
    }

    /// At most `limit` topics whose names begin with `prefix` and come after
    /// `after`, by name; and whether there are more.
    #[must_use]
    pub fn list_topics(
        &self,
        prefix: &str,
        after: Option<&TopicName>,
        limit: usize,
    ) -> (Vec<Arc<Topic>>, bool) {
        let mut found: Vec<_> = (self.engine.topics().into_iter())
            .filter(|topic| topic.name.as_str().starts_with(prefix))
            .filter(|topic| after.is_none_or(|after| topic.name > *after))
            .take(limit.saturating_add(1))
            .collect();
        let more = found.len() > limit;
        found.truncate(limit);
        (found, more)
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.engine.topics().len()
    }

    /// Moves the start of one partition, or of all. Answers each one's start.
    ///
    /// `PartitionNeeded` for an offset without a partition, unless there is
    /// but one.
    pub async fn trim(
        &self,
        name: &TopicName,
        partition: Option<PartitionId>,
        to: TrimTo,
    ) -> Result<Vec<(PartitionId, Offset)>, BrokerError> {
        let topic = self.engine.topic(name)?;
        let count = topic.config.partitions;
        let partitions: Vec<PartitionId> = match (partition, to) {
            (Some(partition), _) => vec![partition],
            (None, TrimTo::Offset(_)) if count.0 > 1 => {
                return Err(BrokerError::PartitionNeeded { partitions: count.0 });
            }
            (None, _) => count.ids().collect(),
        };
        let mut starts = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let before = match to {
                TrimTo::Offset(offset) => offset,
                TrimTo::Time(time) => self.engine.offset_at(&topic, partition, time).await?,
            };
            let start = self.engine.trim(&topic, partition, before).await?;
            self.hubs.trim(topic.id, partition, start);
            starts.push((partition, start));
        }
        Ok(starts)
    }

    /// The first offset of a partition whose record is not older than `time`,
    /// and the position that goes with it.
    pub async fn offset_at(
        &self,
        name: &TopicName,
        partition: PartitionId,
        time: Timestamp,
    ) -> Result<(Offset, PartitionView), BrokerError> {
        let topic = self.engine.topic(name)?;
        let offset = self.engine.offset_at(&topic, partition, time).await?;
        Ok((offset, self.engine.partition(&topic, partition)?))
    }
}

fn checked(config: &TopicConfig) -> Result<(), BrokerError> {
    let faults = config.faults();
    if faults.is_empty() { Ok(()) } else { Err(BrokerError::TopicSettings(faults)) }
}

fn compared(topic: Arc<Topic>, asked: &TopicConfig) -> Ensured {
    let differences = topic.config.differences(asked);
    if differences.is_empty() { Ensured::Same(topic) } else { Ensured::Differs(differences) }
}
