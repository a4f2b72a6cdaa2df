//! A reader whose partitions change while it reads, as those of a group's
//! member do: what it keeps goes on where it is.

use super::{Lane, Reader};
use crate::{
    broker::Broker,
    domain::{PartitionId, TopicName},
};
use std::sync::Arc;

impl Reader {
    /// A reader of nothing as yet: `next` answers `None`, `wait` never ends.
    #[must_use]
    pub fn of_nothing(broker: &Arc<Broker>) -> Reader {
        Reader::new(Arc::clone(broker), vec![], false)
    }

    /// Whether a partition is among those that it reads.
    #[must_use]
    pub fn reads(&self, topic: &TopicName, partition: PartitionId) -> bool {
        self.lanes.iter().any(|lane| lane.partition() == partition && lane.topic().name == *topic)
    }

    /// Lets go of the partitions that are not to be `kept`. Nothing of them is
    /// answered any more.
    pub fn retain(&mut self, mut kept: impl FnMut(&TopicName, PartitionId) -> bool) {
        let before = self.lanes.len();
        self.lanes.retain(|lane| kept(&lane.topic().name, lane.partition()));
        if self.lanes.len() != before {
            self.begin_round();
        }
    }

    /// Takes over the partitions of `other`, from where it stands. Neither is
    /// a reader of keys, and `other` reads none that this one does.
    pub fn absorb(&mut self, mut other: Reader) {
        self.lanes.append(&mut other.lanes);
        // A topic's partitions lie together.
        let by = |lane: &Lane| (lane.topic().name.clone(), lane.partition());
        self.lanes.sort_by_cached_key(by);
        self.begin_round();
    }

    /// The lanes are others: whose turn it is, and what is waited for, too.
    fn begin_round(&mut self) {
        self.turn %= self.lanes.len().max(1);
        self.ready = 0;
        self.tails = None;
    }
}
