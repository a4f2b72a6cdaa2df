//! How a use-case fails: what the engine said, or what the broker itself
//! refuses. The rooms above turn this into what a client sees.

use crate::{
    domain::{Offset, PackError, PartitionId, Position, TopicConfigError, TopicName},
    engine::{EngineError, GroupError},
};
use std::time::Duration;

/// Why a use-case was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The engine could not, or would not.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Settings out of bounds; every one of them.
    #[error("{} settings are out of bounds", .0.len())]
    TopicSettings(Vec<TopicConfigError>),
    /// The gateway has as many topics as it may.
    #[error("the gateway may have {max} topics, and has them")]
    TopicsFull {
        /// The bound.
        max: usize,
    },
    /// All topics together would have more partitions than they may.
    #[error("all topics together may have {max} partitions; {left} are left")]
    PartitionsFull {
        /// The bound.
        max: usize,
        /// How many could still be made.
        left: usize,
    },
    /// Too much is in flight: nothing was taken, and it will pass.
    #[error("too much is in flight: {0}")]
    Overloaded(Overload),
    /// One record of a publish cannot be taken; none was stored.
    #[error("record {index}: {fault}")]
    Record {
        /// Its place in the publish, from 0.
        index: usize,
        /// What is wrong with it.
        fault: RecordFault,
    },
    /// More records than one atomic publish may have.
    #[error("a publish has at most {max} records")]
    BatchTooLarge {
        /// The bound.
        max: usize,
    },
    /// A publish without records.
    #[error("there are no records")]
    BatchEmpty,
    /// The cursor is in order, but not for this request.
    #[error("{0}")]
    CursorForeign(String),
    /// The cursor's topic was deleted; one of its name may have been made since.
    #[error("topic '{0}' is not the one that the cursor speaks of")]
    CursorTopicGone(TopicName),
    /// More keys than one reader may be confined to.
    #[error("a reader is confined to at most {max} keys")]
    TooManyKeys {
        /// The bound.
        max: usize,
    },
    /// Only meaningful for one partition, and the topic has more.
    #[error("an offset is a place in one partition: say which, the topic has {partitions}")]
    PartitionNeeded {
        /// How many the topic has.
        partitions: u32,
    },
    /// The group's coordinator would not; never `GroupError::Engine`.
    #[error(transparent)]
    Group(GroupError),
    /// A member wants no topic, or too many.
    #[error("a member reads 1 to {max} topics, not {got}")]
    GroupTopics {
        /// How many it asked for.
        got: usize,
        /// The bound.
        max: usize,
    },
    /// A member's session timeout is out of bounds.
    #[error("a session timeout is from {} to {} ms", .min.as_millis(), .max.as_millis())]
    SessionTimeout {
        /// The shortest.
        min: Duration,
        /// The longest.
        max: Duration,
    },
    /// A commit says what no commit can say. Nothing of the call was stored.
    #[error("{what}")]
    CommitInvalid {
        /// Its place in the call, from 0, if it is about one.
        index: Option<usize>,
        /// What is wrong.
        what: String,
    },
    /// A place to be committed was never written, or, in a reset, is not kept any
    /// more. Nothing of the call was stored.
    #[error(
        "offset {} of epoch {} is no place in partition {partition} of topic '{topic}', \
         which has {start} to {} in epoch {}",
        .asked.next, .asked.epoch, .tail.next, .tail.epoch
    )]
    CommitOutOfRange {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: PartitionId,
        /// What was to be committed.
        asked: Position,
        /// The earliest retained offset.
        start: Offset,
        /// The next offset to be written, and its epoch.
        tail: Position,
    },
}

impl From<GroupError> for BrokerError {
    fn from(error: GroupError) -> BrokerError {
        match error {
            GroupError::Engine(error) => BrokerError::Engine(error),
            other => BrokerError::Group(other),
        }
    }
}

/// What is wrong with one record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Too large, or its headers are out of bounds.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// It insists on a partition that the topic does not have.
    #[error("the topic has no partition {0}")]
    PartitionUnknown(PartitionId),
    /// It insists on a partition, and the topic chooses by the key alone.
    #[error("the topic is keyed: a record's partition follows from its key")]
    PartitionNotFree,
}

/// Which bound was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Overload {
    /// Bytes of bodies in memory.
    #[error("request bodies in memory")]
    Bytes,
    /// Requests that wait for the engine.
    #[error("publishes waiting for the store")]
    Requests,
}
