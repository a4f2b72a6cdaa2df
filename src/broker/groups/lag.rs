//! How far groups are behind: a group with each of its partitions, and the
//! metric, which is bounded in number.

use super::place::place;
use crate::{
    broker::{Broker, BrokerError},
    domain::{GroupName, MemberId, Offset, PartitionId, StartPolicy, TopicName},
    engine::{EngineError, GroupCommit, GroupDescription, GroupError, Topic},
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::Instant;

/// Pairs of group and topic whose lag is shown by name; the others are summed.
const SHOWN_PAIRS: usize = 200;
/// Groups that are looked at for the metric, those with members first.
const SHOWN_GROUPS: usize = 1_000;
/// How old what was measured may be, and how long a measurement may take.
const MEASURED_FOR: Duration = Duration::from_secs(5);
const MEASURE_LIMIT: Duration = Duration::from_secs(2);
/// The label of what is not shown by name; no group or topic can be called so.
const OTHERS: &str = "(others)";

/// A group as it stands, and where it stands in each partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupView {
    /// The group.
    pub group: GroupDescription,
    /// What it has committed in, or a member holds; by topic and partition.
    pub partitions: Vec<GroupPartition>,
}

/// One partition of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupPartition {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The earliest retained offset.
    pub start: Offset,
    /// The next offset to be written.
    pub tail: Offset,
    /// What was committed, unless in an earlier topic of this name.
    pub commit: Option<GroupCommit>,
    /// Records between what was committed and the tail, those that are gone not
    /// counted; `None` without a commit.
    pub lag: Option<u64>,
    /// Who holds it, or still has to let go of it.
    pub member: Option<MemberId>,
}

/// When lag was last measured; one at a time does.
#[derive(Debug, Default)]
pub(in crate::broker) struct Measured(tokio::sync::Mutex<Option<Instant>>);

impl Broker {
    /// A group as it stands, with what is to be read of each partition.
    pub async fn describe_group(&self, group: &GroupName) -> Result<GroupView, BrokerError> {
        let group = self.coordinator.describe(group).await?;
        let mut partitions = vec![];
        for (name, mut of) in by_topic(&group) {
            let topic = match self.engine.topic(&name) {
                Ok(topic) => topic,
                Err(EngineError::TopicUnknown(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            of.retain(|partition, _| topic.config.partitions.contains(*partition));
            let ids: Vec<_> = of.keys().copied().collect();
            if let Err(error) = self.engine.freshen(&topic, &ids).await {
                // What was known last is still of use to who looks.
                tracing::debug!(%error, topic = %name, "lag as it was last seen");
            }
            for (partition, (commit, member)) in of {
                partitions.push(self.group_partition(&topic, partition, commit, member)?);
            }
        }
        Ok(GroupView { group, partitions })
    }

    fn group_partition(
        &self,
        topic: &Topic,
        partition: PartitionId,
        commit: Option<GroupCommit>,
        member: Option<MemberId>,
    ) -> Result<GroupPartition, BrokerError> {
        let view = self.engine.partition(topic, partition)?;
        let commit = commit.filter(|commit| commit.incarnation == topic.incarnation);
        let at = commit.as_ref().map(|commit| {
            let place = place(Some(commit.position), &view, StartPolicy::Earliest);
            place.at.map_or(view.tail, |at| at.next)
        });
        let lag = at.map(|at| view.tail.since(at));
        let (start, tail) = (view.start, view.tail);
        Ok(GroupPartition {
            topic: topic.name.clone(),
            partition,
            start,
            tail,
            commit,
            lag,
            member,
        })
    }

    /// Brings the lag in the metrics up to date, unless it was not long ago. By
    /// name of at most 200 pairs of group and topic; the others are summed.
    pub async fn measure_groups(&self) {
        let Ok(mut last) = self.measured.0.try_lock() else { return };
        if last.is_some_and(|last| last.elapsed() < MEASURED_FOR) {
            return;
        }
        match tokio::time::timeout(MEASURE_LIMIT, self.lags()).await {
            Ok(Ok(lags)) => self.metrics.groups.lag(bounded(lags)),
            Ok(Err(error)) => tracing::debug!(%error, "the lag of groups is as it was"),
            Err(_) => tracing::debug!("the lag of groups took too long to measure"),
        }
        *last = Some(Instant::now());
    }

    async fn lags(&self) -> Result<Vec<(String, String, u64)>, BrokerError> {
        let mut groups = self.coordinator.list().await?;
        groups.sort_by_key(|group| group.members == 0);
        groups.truncate(SHOWN_GROUPS);
        let mut lags = vec![];
        for summary in groups {
            let view = match self.describe_group(&summary.group).await {
                Ok(view) => view,
                Err(BrokerError::Group(GroupError::GroupUnknown(_))) => continue,
                Err(error) => return Err(error),
            };
            let mut of_topics: BTreeMap<&TopicName, u64> = BTreeMap::new();
            for partition in &view.partitions {
                *of_topics.entry(&partition.topic).or_default() += partition.lag.unwrap_or(0);
            }
            let named = |(topic, lag): (&TopicName, u64)| {
                (summary.group.to_string(), topic.to_string(), lag)
            };
            lags.extend(of_topics.into_iter().map(named));
        }
        Ok(lags)
    }
}

type OfPartition = (Option<GroupCommit>, Option<MemberId>);

/// What a group has to do with, by topic and partition.
fn by_topic(group: &GroupDescription) -> BTreeMap<TopicName, BTreeMap<PartitionId, OfPartition>> {
    let mut all: BTreeMap<_, BTreeMap<_, OfPartition>> = BTreeMap::new();
    for commit in &group.commits {
        let of = all.entry(commit.topic.clone()).or_default();
        of.entry(commit.partition).or_default().0 = Some(commit.clone());
    }
    for member in &group.members {
        let lease = &member.lease;
        for (topic, partitions) in lease.assignment.iter().chain(&lease.revoking) {
            let of = all.entry(topic.clone()).or_default();
            for partition in partitions {
                of.entry(*partition).or_default().1 = Some(lease.member.clone());
            }
        }
    }
    all
}

/// The first pairs as they are, and the sum of the others under one name.
fn bounded(mut lags: Vec<(String, String, u64)>) -> Vec<(String, String, u64)> {
    if lags.len() > SHOWN_PAIRS {
        let others = lags.split_off(SHOWN_PAIRS).into_iter().map(|(_, _, lag)| lag).sum();
        lags.push((OTHERS.to_owned(), OTHERS.to_owned(), others));
    }
    lags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_shown_by_name_for_a_bounded_number_and_the_rest_is_summed() {
        let lag = |n: u64| (format!("g{n}"), "t".to_owned(), n);
        let few: Vec<_> = (0..200).map(lag).collect();
        assert_eq!(bounded(few.clone()), few);
        let many = bounded((0..203).map(lag).collect());
        assert_eq!(many.len(), 201);
        assert_eq!(many[200], (OTHERS.to_owned(), OTHERS.to_owned(), 200 + 201 + 202));
    }
}
