//! Moving a group without members to other places, also back.

use super::commit;
use crate::{
    broker::{Broker, BrokerError},
    domain::{
        CommitDraft, GroupName, Offset, PartitionId, PartitionView, Position, Timestamp, TopicName,
    },
    engine::{GroupCommit, GroupError, GroupState, Topic},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Where a group is moved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetTo {
    /// The earliest record that is kept, of these topics, or of all that the
    /// group has committed in.
    Earliest(Option<BTreeSet<TopicName>>),
    /// Behind the newest record, likewise.
    Latest(Option<BTreeSet<TopicName>>),
    /// The first record that is not older than this, likewise.
    Time(Timestamp, Option<BTreeSet<TopicName>>),
    /// These places; other partitions stay as they are.
    Offsets(Vec<CommitDraft>),
}

/// What a reset does in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResetMove {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// Where the group stood, if it had committed.
    pub from: Option<Position>,
    /// Where it stands after the reset.
    pub to: Position,
}

impl Broker {
    /// Moves a group; with `dry_run` only tells what that would do.
    ///
    /// `Group(NotEmpty)` while it has members, also of a dry run;
    /// `Group(GroupUnknown)` when the topics are to be those of a group that is
    /// not there; `CommitInvalid` and `CommitOutOfRange` for places that cannot be.
    pub async fn reset_group(
        &self,
        group: &GroupName,
        to: ResetTo,
        dry_run: bool,
    ) -> Result<Vec<ResetMove>, BrokerError> {
        let stood = match self.coordinator.describe(group).await {
            Ok(found) if found.state != GroupState::Empty => {
                return Err(GroupError::NotEmpty(group.clone()).into());
            }
            Ok(found) => Some(found.commits),
            Err(GroupError::GroupUnknown(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let targets = match to {
            ResetTo::Offsets(drafts) => self.reset_offsets(drafts).await?,
            ResetTo::Earliest(of) => self.reset_all(group, &stood, of, Start::Earliest).await?,
            ResetTo::Latest(of) => self.reset_all(group, &stood, of, Start::Latest).await?,
            ResetTo::Time(time, of) => self.reset_all(group, &stood, of, Start::Time(time)).await?,
        };
        let moves = moves(&targets, stood.unwrap_or_default());
        if !dry_run {
            self.coordinator.reset(group, targets).await?;
            tracing::info!(%group, partitions = moves.len(), "group reset");
        }
        Ok(moves)
    }

    async fn reset_offsets(
        &self,
        drafts: Vec<CommitDraft>,
    ) -> Result<Vec<GroupCommit>, BrokerError> {
        commit::each_once(&drafts)?;
        let mut targets = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let (topic, view) = self.view_for(&draft).await?;
            // A reset says where to read, so it is to be something to read.
            if draft.offset < view.start {
                let asked = view.position(draft.offset);
                return Err(commit::out_of_range(draft, &view, asked));
            }
            targets.push(commit::committed_at(draft, &topic, &view)?);
        }
        Ok(targets)
    }

    async fn reset_all(
        &self,
        group: &GroupName,
        stood: &Option<Vec<GroupCommit>>,
        of: Option<BTreeSet<TopicName>>,
        start: Start,
    ) -> Result<Vec<GroupCommit>, BrokerError> {
        let named = of.is_some();
        let topics = match (of, stood) {
            (Some(of), _) => of,
            (None, Some(stood)) => stood.iter().map(|c| c.topic.clone()).collect(),
            (None, None) => return Err(GroupError::GroupUnknown(group.clone()).into()),
        };
        let mut targets = vec![];
        for name in topics {
            let topic = match self.engine.topic(&name) {
                Ok(topic) => topic,
                // It committed there once.
                Err(crate::engine::EngineError::TopicUnknown(_)) if !named => continue,
                Err(error) => return Err(error.into()),
            };
            self.reset_topic(&topic, start, &mut targets).await?;
        }
        Ok(targets)
    }

    async fn reset_topic(
        &self,
        topic: &Arc<Topic>,
        start: Start,
        targets: &mut Vec<GroupCommit>,
    ) -> Result<(), BrokerError> {
        let ids: Vec<_> = topic.config.partitions.ids().collect();
        self.engine.freshen(topic, &ids).await?;
        for partition in ids {
            let view: PartitionView = self.engine.partition(topic, partition)?;
            let next: Offset = match start {
                Start::Earliest => view.start,
                Start::Latest => view.tail,
                Start::Time(time) => self.engine.offset_at(topic, partition, time).await?,
            };
            targets.push(GroupCommit {
                topic: topic.name.clone(),
                incarnation: topic.incarnation,
                partition,
                position: view.position(next),
                metadata: None,
            });
        }
        Ok(())
    }
}

#[derive(Clone, Copy)]
enum Start {
    Earliest,
    Latest,
    Time(Timestamp),
}

/// What the targets change, seen from where the group stood.
fn moves(targets: &[GroupCommit], stood: Vec<GroupCommit>) -> Vec<ResetMove> {
    let stood: BTreeMap<_, _> =
        stood.into_iter().map(|c| ((c.topic, c.partition), (c.incarnation, c.position))).collect();
    let one = |target: &GroupCommit| {
        let (topic, partition) = (target.topic.clone(), target.partition);
        let key = (topic, partition);
        let from = stood.get(&key).filter(|(of, _)| *of == target.incarnation).map(|(_, at)| *at);
        ResetMove { topic: key.0, partition, from, to: target.position }
    };
    targets.iter().map(one).collect()
}
