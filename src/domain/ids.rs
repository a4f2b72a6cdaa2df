//! Numbers with a meaning of their own, so that one cannot be taken for
//! another. Each is a plain integer underneath; arithmetic is spelled out.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The place of a record in its partition. Unique there, growing, never
    /// used again within an [`Epoch`]. Dense in the embedded engines, with
    /// gaps on Kafka: the next offset to read is "last seen + 1".
    Offset(u64)
}
number! {
    /// Which partition of a topic, from 0.
    PartitionId(u32)
}
number! {
    /// How many partitions a topic has. Fixed when the topic is made.
    PartitionCount(u32)
}
number! {
    /// The stretch of a partition's life between two recoveries that may have
    /// lost records. Offsets may be re-used across epochs, never within one.
    Epoch(u32)
}
number! {
    /// Tells a topic from an earlier one of the same name.
    Incarnation(u64)
}
number! {
    /// Which change of a group's members or of what they hold. Grows with each,
    /// also across restarts; from 1.
    Generation(u64)
}
number! {
    /// The engine's own short name of a topic. Never used again.
    TopicId(u32)
}

impl Offset {
    /// The first offset of every partition.
    pub const ZERO: Offset = Offset(0);

    /// This offset moved on by `records`, saturating.
    #[must_use]
    pub fn plus(self, records: u64) -> Offset {
        Offset(self.0.saturating_add(records))
    }

    /// This offset moved back by `records`, not below zero.
    #[must_use]
    pub fn minus(self, records: u64) -> Offset {
        Offset(self.0.saturating_sub(records))
    }

    /// How many offsets lie from `earlier` (inclusive) to this (exclusive).
    #[must_use]
    pub fn since(self, earlier: Offset) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl PartitionId {
    /// This id as an index into a list of the topic's partitions.
    #[must_use]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl PartitionCount {
    /// Every partition of a topic with this many.
    pub fn ids(self) -> impl DoubleEndedIterator<Item = PartitionId> + ExactSizeIterator {
        (0..self.0).map(PartitionId)
    }

    /// Whether `partition` is one of them.
    #[must_use]
    pub fn contains(self, partition: PartitionId) -> bool {
        partition.0 < self.0
    }
}

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Generation {
        Generation(self.0.saturating_add(1))
    }
}

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1))
    }
}
