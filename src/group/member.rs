//! One member of a group: what it asked for, and what it holds.

use crate::{
    domain::{Generation, Incarnation, MemberId, PartitionId, Principal, StartPolicy, TopicName},
    engine::{Assignment, Lease},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

/// A member as the group keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Whose it is.
    pub principal: Principal,
    /// What it wants to read.
    pub topics: BTreeSet<TopicName>,
    /// How long it may be silent.
    pub session_timeout: Duration,
    /// Where a partition begins that has no usable commit.
    pub from: StartPolicy,
    /// The generation that its coming made: who waited longest is served first.
    pub joined: Generation,
    /// Its last join. Not stored: connections do not outlive the process.
    pub session: u64,
    /// What it holds, also what it is to let go of. No topic is there without
    /// a partition.
    pub holds: BTreeMap<TopicName, Holding>,
}

/// What a member holds of one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Which topic of that name.
    pub incarnation: Incarnation,
    /// The partitions.
    pub partitions: BTreeMap<PartitionId, Held>,
}

/// A partition that a member holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The generation in which it got it: older ones are no good for it.
    pub since: Generation,
    /// If the member is to let go of it: when it is taken away.
    pub leaving: Option<Leaving>,
}

/// The end of a member's time with a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// When it is taken away, if it is not let go of before.
    pub until: Instant,
    /// Who is to have it next, if anybody wants it.
    pub to: Option<MemberId>,
}

impl Held {
    /// When it is taken away, if the member is to let go of it.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        self.leaving.as_ref().map(|leaving| leaving.until)
    }
}

impl Member {
    /// A partition that it holds of this very topic.
    #[must_use]
    pub fn held(
        &self,
        topic: &TopicName,
        incarnation: Incarnation,
        partition: PartitionId,
    ) -> Option<&Held> {
        let holding = self.holds.get(topic).filter(|h| h.incarnation == incarnation)?;
        holding.partitions.get(&partition)
    }

    /// Keeps only what `keep` says of what it holds. Answers what went.
    pub fn retain(
        &mut self,
        mut keep: impl FnMut(&TopicName, &Holding, PartitionId, &Held) -> bool,
    ) -> Vec<(TopicName, PartitionId)> {
        let mut gone = vec![];
        for (topic, holding) in &self.holds {
            for (&partition, held) in &holding.partitions {
                if !keep(topic, holding, partition, held) {
                    gone.push((topic.clone(), partition));
                }
            }
        }
        for (topic, partition) in &gone {
            if let Some(holding) = self.holds.get_mut(topic) {
                holding.partitions.remove(partition);
                if holding.partitions.is_empty() {
                    self.holds.remove(topic);
                }
            }
        }
        gone
    }

    /// Everything that it holds.
    pub fn each(&self) -> impl Iterator<Item = (&TopicName, PartitionId, &Held)> {
        self.holds.iter().flat_map(|(topic, holding)| {
            holding.partitions.iter().map(move |(partition, held)| (topic, *partition, held))
        })
    }

    /// What it is told that it holds.
    #[must_use]
    pub fn lease(&self, id: &MemberId, generation: Generation, now: Instant) -> Lease {
        let (mut assignment, mut revoking) = (Assignment::new(), Assignment::new());
        let mut ends: Option<Instant> = None;
        for (topic, partition, held) in self.each() {
            let of = if held.leaving.is_some() { &mut revoking } else { &mut assignment };
            match of.get_mut(topic) {
                Some(partitions) => drop(partitions.insert(partition)),
                None => drop(of.insert(topic.clone(), BTreeSet::from([partition]))),
            }
            ends = held.until().into_iter().chain(ends).min();
        }
        Lease {
            member: id.clone(),
            session: self.session,
            generation,
            // Both only grow, and nothing in a lease changes without one of
            // them.
            version: generation.0.saturating_add(self.session),
            assignment,
            revoking,
            grace: ends.map_or(Duration::ZERO, |ends| ends.saturating_duration_since(now)),
            session_timeout: self.session_timeout,
            from: self.from,
        }
    }
}
