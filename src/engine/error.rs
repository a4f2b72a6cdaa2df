//! How an engine fails. One enum for all engines; each case says what the
//! caller can do about it, and the rooms above map it once.

use crate::domain::{Offset, PartitionId, TopicName};

/// Why an engine did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// No topic of that name, or it was deleted meanwhile.
    #[error("topic '{0}' does not exist")]
    TopicUnknown(TopicName),
    /// The name is taken.
    #[error("topic '{0}' exists")]
    TopicExists(TopicName),
    /// The topic has fewer partitions.
    #[error("topic '{topic}' has no partition {partition}")]
    PartitionUnknown {
        /// The topic.
        topic: TopicName,
        /// The partition that was asked for.
        partition: PartitionId,
    },
    /// The offset lies before the start or beyond the tail.
    #[error("offset {asked} is out of range: {start} to {tail} can be read")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        asked: Offset,
        /// The earliest retained offset.
        start: Offset,
        /// The next offset to be written.
        tail: Offset,
    },
    /// Records from the offset asked for up to `to` (exclusive) were lost in a
    /// loss that the operator accepted; reading goes on at `to`.
    #[error("records up to offset {to} were lost with a part of the store that is gone")]
    Lost {
        /// The first offset that can be read again.
        to: Offset,
    },
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used with another body")]
    IdempotencyConflict,
    /// No more idempotency keys can be remembered now.
    #[error("{0} idempotency keys are remembered, which is the bound")]
    IdempotencyFull(usize),
    /// The state table is full.
    #[error("the state table holds {0} entries, which is the bound")]
    TableFull(usize),
    /// The disk has less free space than the reserve. Nothing was written.
    #[error("the disk is full: {0}")]
    OutOfSpace(String),
    /// What keeps the log refuses it by rules of its own, and would again: the
    /// request had no effect.
    #[error("the engine refuses it: {0}")]
    Refused(String),
    /// The engine cannot serve now; the request had no effect.
    #[error("the engine is not available: {0}")]
    Unavailable(String),
    /// The request may or may not have had its effect.
    #[error("the outcome is not known: {0}")]
    OutcomeUnknown(String),
    /// What is stored is damaged. Nothing was changed.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// The engine is shutting down.
    #[error("the engine is closed")]
    Closed,
}
