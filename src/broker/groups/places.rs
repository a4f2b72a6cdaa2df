//! From what a member holds to where it reads: the commits, and the policy for
//! what has none, become a cursor for the one reader.

use super::place::place;
use crate::{
    broker::{Broker, BrokerError},
    domain::{
        Cursor, GroupName, LostRange, Offset, PartitionId, Position, StartPolicy, TopicName,
        TopicPositions,
    },
    engine::{Assignment, EngineError, GroupCommit, Topic},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Where a member goes on in the partitions that it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupPlaces {
    /// The places, for a reader. What it does not name is not to be read.
    pub cursor: Cursor,
    /// What the group will never see, to be told before the next record.
    pub lost: Vec<GroupLoss>,
    /// What is not read until something is committed: the policy is `none`.
    pub waiting: Assignment,
}

/// Records of one partition that a group will never see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLoss {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// Which, and why.
    pub range: LostRange,
    /// Where it goes on; `None` = nowhere, until something is committed.
    pub next: Option<Offset>,
}

/// The places, and those of them that are still to be committed.
#[derive(Default)]
pub(super) struct Found {
    pub places: GroupPlaces,
    pub chosen: Vec<GroupCommit>,
}

type Committed = BTreeMap<(TopicName, PartitionId), GroupCommit>;

impl Broker {
    /// Where `group` goes on in the partitions `of`: where `known` says, unless
    /// more was committed; else where it committed; else by `from`. Topics that
    /// are gone are left out.
    pub(super) async fn find_places(
        &self,
        group: &GroupName,
        of: &Assignment,
        known: &Cursor,
        from: StartPolicy,
    ) -> Result<Found, BrokerError> {
        let mut found = Found::default();
        if of.is_empty() {
            return Ok(found);
        }
        let commits = self.coordinator.committed(group, of).await?;
        let commits: Committed =
            commits.into_iter().map(|c| ((c.topic.clone(), c.partition), c)).collect();
        for (name, partitions) in of {
            let topic = match self.engine.topic(name) {
                Ok(topic) => topic,
                Err(EngineError::TopicUnknown(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let known = known.topics.get(name).filter(|k| k.incarnation == topic.incarnation);
            self.places_in(&topic, partitions, &commits, known, from, &mut found).await?;
        }
        Ok(found)
    }

    async fn places_in(
        &self,
        topic: &Arc<Topic>,
        partitions: &BTreeSet<PartitionId>,
        commits: &Committed,
        known: Option<&TopicPositions>,
        from: StartPolicy,
        found: &mut Found,
    ) -> Result<(), BrokerError> {
        let mut fresh = false;
        for partition in partitions.iter().copied() {
            let commit = commits.get(&(topic.name.clone(), partition));
            let commit = commit.filter(|c| c.incarnation == topic.incarnation).map(|c| c.position);
            let known = known.and_then(|k| k.partitions.get(&partition)).copied();
            if let Some(known) = known.filter(|known| is_ahead(*known, commit)) {
                found.at(topic, partition, known);
                continue;
            }
            let mut place = place(commit, &self.engine.partition(topic, partition)?, from);
            if place.chosen && !fresh {
                // What may be old does not say where the tail is, or that a
                // commit lies beyond it.
                let all: Vec<_> = partitions.iter().copied().collect();
                self.engine.freshen(topic, &all).await?;
                fresh = true;
                place = self::place(commit, &self.engine.partition(topic, partition)?, from);
            }
            if let Some(range) = place.lost {
                let next = place.at.map(|at| at.next);
                let topic = topic.name.clone();
                found.places.lost.push(GroupLoss { topic, partition, range, next });
            }
            match place.at {
                Some(at) if place.chosen => found.choose(topic, partition, at),
                Some(at) => found.at(topic, partition, at),
                None => found.wait(topic, partition),
            }
        }
        Ok(())
    }
}

/// Whether nothing beyond `known` was committed.
fn is_ahead(known: Position, commit: Option<Position>) -> bool {
    commit.is_none_or(|commit| (known.epoch, known.next) >= (commit.epoch, commit.next))
}

impl Found {
    fn at(&mut self, topic: &Topic, partition: PartitionId, at: Position) {
        let positions = self.places.cursor.topics.entry(topic.name.clone());
        let positions = positions.or_insert_with(|| TopicPositions {
            incarnation: topic.incarnation,
            partitions: BTreeMap::new(),
        });
        positions.partitions.insert(partition, at);
    }

    fn choose(&mut self, topic: &Topic, partition: PartitionId, position: Position) {
        self.at(topic, partition, position);
        self.chosen.push(GroupCommit {
            topic: topic.name.clone(),
            incarnation: topic.incarnation,
            partition,
            position,
            metadata: None,
        });
    }

    fn wait(&mut self, topic: &Topic, partition: PartitionId) {
        self.places.waiting.entry(topic.name.clone()).or_default().insert(partition);
    }
}
