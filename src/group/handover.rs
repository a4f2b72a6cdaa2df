//! How partitions move: only what has to, and only once its owner let go of it.
//!
//! ```text
//!             target is another           released, left, expired, grace over
//!   held ──────────────────────► revoking ──────────────────────► free
//!     ▲ ◄──────────────────────────┘                               │
//!     │       target is it again                                   │
//!     └────────────────────────────────────────────────────────────┘
//!                  granted to the target, in a new generation
//! ```
//!
//! What is granted was free in the generation before, so in no generation a
//! partition has two owners.

use super::{
    assign::{Contender, Stake, assign},
    member::{Held, Holding, Leaving, Member},
    state::{Group, Now},
};
use crate::domain::{Generation, Incarnation, MemberId, PartitionCount, PartitionId, TopicName};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};
use tokio::time::Instant;

/// What a group has to know of the topics that exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Which topic of that name.
    pub incarnation: Incarnation,
    /// How many partitions.
    pub partitions: PartitionCount,
}

/// The topics that exist, of those that a group wants or holds.
pub type Shapes = BTreeMap<TopicName, Shape>;

/// Who is to hold what.
type Targets = BTreeMap<TopicName, BTreeMap<PartitionId, MemberId>>;

/// Why a group changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A member is new.
    Joined(MemberId),
    /// A member came back and wants other topics.
    OtherTopics(MemberId),
    /// A member went.
    Left(MemberId),
    /// A member was silent for too long.
    Expired(MemberId),
    /// A member let go of what was being revoked.
    Released(MemberId),
    /// A member did not let go in time.
    GraceOver(MemberId),
    /// A topic is gone, or another of its name is there.
    TopicGone(TopicName),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Joined(id) => write!(f, "{id} joined"),
            Cause::OtherTopics(id) => write!(f, "{id} wants other topics"),
            Cause::Left(id) => write!(f, "{id} left"),
            Cause::Expired(id) => write!(f, "{id} expired"),
            Cause::Released(id) => write!(f, "{id} released"),
            Cause::GraceOver(id) => write!(f, "{id} did not release in time"),
            Cause::TopicGone(topic) => write!(f, "topic {topic} is gone"),
        }
    }
}

/// What a new generation changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebalance {
    /// The new generation.
    pub generation: Generation,
    /// Why it came; empty when topics were made, or after a restart.
    pub causes: Vec<Cause>,
    /// What was given to whom.
    pub granted: Vec<Moved>,
    /// What is asked back from whom.
    pub revoked: Vec<Moved>,
    /// What stays where it was to be taken from.
    pub kept: Vec<Moved>,
}

/// A partition and the member that it comes to, or goes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// The member.
    pub member: MemberId,
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} {}", self.topic, self.partition, self.member)
    }
}

impl Group {
    /// The topics that settling has to know of.
    #[must_use]
    pub fn concerned(&self) -> BTreeSet<TopicName> {
        let of = |member: &Arc<Member>| {
            let held = member.holds.keys().cloned().collect::<Vec<_>>();
            member.topics.iter().cloned().chain(held).collect::<Vec<_>>()
        };
        self.members.values().flat_map(of).collect()
    }

    /// Brings what members hold towards what they are to hold, as far as it
    /// can come now. A new generation, if anything is another than before.
    pub fn settle(&mut self, shapes: &Shapes, now: Now) -> Option<Rebalance> {
        self.drop_vanished(shapes);
        let targets = self.targets(shapes);
        let mut rebalance =
            Rebalance { generation: self.next_generation(), ..Rebalance::default() };
        let until = now.at + self.config.revoke_grace;
        for (id, member) in &mut self.members {
            mark(id, member, &targets, until, &mut rebalance);
        }
        self.grant(&targets, shapes, &mut rebalance);
        rebalance.causes = std::mem::take(&mut self.causes);
        let Rebalance { causes, granted, revoked, kept, .. } = &rebalance;
        if causes.is_empty() && granted.is_empty() && revoked.is_empty() && kept.is_empty() {
            return None;
        }
        self.generation = rebalance.generation;
        Some(rebalance)
    }

    /// What is held of topics that are there no more.
    fn drop_vanished(&mut self, shapes: &Shapes) {
        let stands = |topic: &TopicName, holding: &Holding| {
            shapes.get(topic).is_some_and(|shape| shape.incarnation == holding.incarnation)
        };
        let mut gone = BTreeSet::new();
        for member in self.members.values_mut() {
            if !member.holds.iter().all(|(topic, holding)| stands(topic, holding)) {
                let lost =
                    Arc::make_mut(member).retain(|topic, holding, _, _| stands(topic, holding));
                gone.extend(lost.into_iter().map(|(topic, _)| topic));
            }
        }
        self.causes.extend(gone.into_iter().map(Cause::TopicGone));
    }

    fn targets(&self, shapes: &Shapes) -> Targets {
        let mut members: Vec<_> = self.members.iter().collect();
        // Who waited longest is served first.
        members.sort_by_key(|(id, member)| (member.joined, *id));
        let places: BTreeMap<_, _> = members.iter().map(|(id, _)| *id).zip(0..).collect();
        let contenders: Vec<_> =
            members.iter().map(|(_, member)| contender(member, &places)).collect();
        let counts = shapes.iter().map(|(topic, shape)| (topic.clone(), shape.partitions));
        let mut targets = Targets::new();
        for ((id, _), target) in members.iter().zip(assign(&contenders, &counts.collect())) {
            for (topic, partitions) in target {
                let of = targets.entry(topic).or_default();
                of.extend(partitions.into_iter().map(|partition| (partition, (*id).clone())));
            }
        }
        targets
    }

    /// Gives what is free to whom it is to go.
    fn grant(&mut self, targets: &Targets, shapes: &Shapes, rebalance: &mut Rebalance) {
        let mut free = targets.clone();
        for (topic, partition, _) in self.members.values().flat_map(|member| member.each()) {
            if let Some(of) = free.get_mut(topic) {
                of.remove(&partition);
            }
        }
        let since = rebalance.generation;
        for (topic, partitions) in free {
            let Some(&Shape { incarnation, .. }) = shapes.get(&topic) else { continue };
            for (partition, id) in partitions {
                let Some(member) = self.members.get_mut(&id) else { continue };
                let fresh = || Holding { incarnation, partitions: BTreeMap::new() };
                let holds = &mut Arc::make_mut(member).holds;
                let holding = holds.entry(topic.clone()).or_insert_with(fresh);
                holding.partitions.insert(partition, Held { since, leaving: None });
                rebalance.granted.push(Moved { topic: topic.clone(), partition, member: id });
            }
        }
    }
}

/// Marks what a member is to let go of, and takes the mark from what it is to
/// keep after all.
fn mark(
    id: &MemberId,
    member: &mut Arc<Member>,
    targets: &Targets,
    until: Instant,
    rebalance: &mut Rebalance,
) {
    let target = |topic: &TopicName, partition| {
        targets.get(topic).and_then(|partitions| partitions.get(&partition))
    };
    let right = |to: Option<&MemberId>, held: &Held| match &held.leaving {
        None => to == Some(id),
        Some(leaving) => to != Some(id) && to == leaving.to.as_ref(),
    };
    let wrong = |(topic, partition, held): (&TopicName, PartitionId, &Held)| {
        let to = target(topic, partition);
        (!right(to, held)).then(|| (topic.clone(), partition, to.cloned()))
    };
    let changes: Vec<_> = member.each().filter_map(wrong).collect();
    if changes.is_empty() {
        return;
    }
    let holds = &mut Arc::make_mut(member).holds;
    for (topic, partition, to) in changes {
        let holding = holds.get_mut(&topic);
        let Some(held) = holding.and_then(|holding| holding.partitions.get_mut(&partition)) else {
            continue;
        };
        let moved = Moved { topic, partition, member: id.clone() };
        if to.as_ref() == Some(id) {
            held.leaving = None;
            rebalance.kept.push(moved);
        } else if let Some(leaving) = &mut held.leaving {
            // The member need not know who is next.
            leaving.to = to;
        } else {
            held.leaving = Some(Leaving { until, to });
            rebalance.revoked.push(moved);
        }
    }
}

/// A member as the assignment sees it, which knows members by their places.
fn contender<'a>(member: &'a Member, places: &BTreeMap<&MemberId, usize>) -> Contender<'a> {
    let next = |held: &Held| places.get(held.leaving.as_ref()?.to.as_ref()?).copied();
    let stake =
        |(topic, partition, held): (_, _, &Held)| Stake { topic, partition, next: next(held) };
    Contender { wants: &member.topics, holds: member.each().map(stake).collect() }
}
