//! Who is to hold which partition: a pure function of who wants what, of who
//! holds what, and of how many partitions there are.
//!
//! What it answers:
//! - Every partition of a topic that somebody wants has one owner, who wants it.
//! - No member holds two more than another that could take one of them over.
//!   Members that want the same topics are within one of each other in each of
//!   them, and in all together.
//! - Nothing moves but for that; what is on its way already goes on, or goes
//!   elsewhere first. So to ask again midway, or when all is done, changes
//!   nothing.
//! - Of two that have the same, the one that stands first is given first, and
//!   asked back last.

use crate::{
    domain::{PartitionCount, PartitionId, TopicName},
    engine::Assignment,
};
use std::collections::{BTreeMap, BTreeSet};

/// A member as the assignment sees it.
#[derive(Clone, Debug)]
pub struct Contender<'a> {
    /// What it wants to read.
    pub wants: &'a BTreeSet<TopicName>,
    /// What it holds now.
    pub holds: Vec<Stake<'a>>,
}

/// A partition that a member holds.
#[derive(Clone, Copy, Debug)]
pub struct Stake<'a> {
    /// Its topic.
    pub topic: &'a TopicName,
    /// The partition.
    pub partition: PartitionId,
    /// Who is to have it next, by place among the contenders, if the member was
    /// asked to let go of it.
    pub next: Option<usize>,
}

/// What each contender is to hold, in their order. Topics that are not in
/// `topics` do not exist.
#[must_use]
pub fn assign(
    contenders: &[Contender<'_>],
    topics: &BTreeMap<TopicName, PartitionCount>,
) -> Vec<Assignment> {
    let mut plan = Plan::new(contenders, topics);
    plan.place();
    loop {
        plan.level();
        if !plan.even_out() {
            break;
        }
    }
    plan.answer(topics)
}

/// One partition in the making.
#[derive(Clone, Copy, Default)]
struct Seat {
    owner: Option<usize>,
    /// Who holds it now.
    home: Option<usize>,
}

/// Members that want the same topics: whoever may take from one may take from
/// each of them.
#[derive(Clone)]
struct Class {
    /// Their topics, in order.
    wants: Vec<usize>,
    members: Vec<usize>,
}

/// Those who want one topic: what each has in all, what it has of the topic,
/// and which member it is. First stands who is given next, last who gives.
type Queue = BTreeSet<(usize, usize, usize)>;

/// The assignment in the making. Members and topics are their indices.
struct Plan {
    /// By topic, then partition.
    seats: Vec<Vec<Seat>>,
    classes: Vec<Class>,
    /// By member.
    class: Vec<usize>,
    /// By member: all that it has.
    load: Vec<usize>,
    /// By member, then topic.
    counts: Vec<Vec<usize>>,
}

impl Plan {
    fn new(contenders: &[Contender<'_>], topics: &BTreeMap<TopicName, PartitionCount>) -> Plan {
        let index: BTreeMap<&TopicName, usize> = topics.keys().zip(0..).collect();
        let seats = topics.values().map(|n| vec![Seat::default(); n.0 as usize]).collect();
        let mut plan = Plan {
            seats,
            classes: vec![],
            class: vec![],
            load: vec![0; contenders.len()],
            counts: vec![vec![0; topics.len()]; contenders.len()],
        };
        let mut known: BTreeMap<&BTreeSet<TopicName>, usize> = BTreeMap::new();
        for (member, contender) in contenders.iter().enumerate() {
            let class = *known.entry(contender.wants).or_insert_with(|| {
                let wants = contender.wants.iter().filter_map(|topic| index.get(topic).copied());
                plan.classes.push(Class { wants: wants.collect(), members: vec![] });
                plan.classes.len() - 1
            });
            plan.class.push(class);
            plan.classes[class].members.push(member);
        }
        for (member, contender) in contenders.iter().enumerate() {
            for stake in &contender.holds {
                if let Some(&topic) = index.get(stake.topic) {
                    plan.seat(topic, member, stake);
                }
            }
        }
        plan
    }

    /// A partition begins where it is bound for, or with whoever holds it.
    fn seat(&mut self, topic: usize, member: usize, stake: &Stake<'_>) {
        let partition = stake.partition.index();
        let wanted = |owner: &usize| {
            *owner < self.class.len() && self.wants(*owner).binary_search(&topic).is_ok()
        };
        let owner = stake.next.filter(wanted).or(Some(member).filter(wanted));
        let Some(seat) = self.seats[topic].get_mut(partition) else { return };
        if seat.home.replace(member).is_none()
            && let Some(owner) = owner
        {
            self.give(topic, partition, owner);
        }
    }

    /// What a member wants.
    fn wants(&self, member: usize) -> &[usize] {
        &self.classes[self.class[member]].wants
    }

    fn queue(&self, topic: usize) -> Queue {
        let wanting = self.classes.iter().filter(|class| class.wants.binary_search(&topic).is_ok());
        wanting
            .flat_map(|class| &class.members)
            .map(|member| self.standing(topic, *member))
            .collect()
    }

    fn standing(&self, topic: usize, member: usize) -> (usize, usize, usize) {
        (self.load[member], self.counts[member][topic], member)
    }

    /// Gives what nobody has to those who have least.
    fn place(&mut self) {
        for topic in 0..self.seats.len() {
            let mut queue = self.queue(topic);
            for partition in 0..self.seats[topic].len() {
                if self.seats[topic][partition].owner.is_none()
                    && let Some((.., member)) = queue.pop_first()
                {
                    self.give(topic, partition, member);
                    queue.insert(self.standing(topic, member));
                }
            }
        }
    }

    /// Moves from those who have most to those who have least, for as long as
    /// that brings two of them closer.
    fn level(&mut self) {
        let mut queues: Vec<Queue> = (0..self.seats.len()).map(|topic| self.queue(topic)).collect();
        while let Some((topic, from, to)) = widest(&queues) {
            for member in [from, to] {
                for &topic in self.wants(member) {
                    queues[topic].remove(&self.standing(topic, member));
                }
            }
            self.move_one(topic, from, to);
            for member in [from, to] {
                for &topic in self.wants(member) {
                    queues[topic].insert(self.standing(topic, member));
                }
            }
        }
    }

    /// Among members that want the same: has them exchange one topic's
    /// partition for another's where one has two more of a topic than another.
    /// Says whether anything was exchanged.
    fn even_out(&mut self) -> bool {
        let mut exchanged = false;
        for class in 0..self.classes.len() {
            let Class { members, wants: wanted } = self.classes[class].clone();
            if members.len() < 2 || wanted.len() < 2 {
                continue;
            }
            for &topic in &wanted {
                while let Some((from, to, back)) = self.exchange(topic, &members, &wanted) {
                    self.move_one(topic, from, to);
                    self.move_one(back, to, from);
                    exchanged = true;
                }
            }
        }
        exchanged
    }

    /// Who gives one of `topic` to whom, and of which topic one comes back.
    fn exchange(
        &self,
        topic: usize,
        members: &[usize],
        wanted: &[usize],
    ) -> Option<(usize, usize, usize)> {
        let of_topic = |member: &&usize| (self.counts[**member][topic], **member);
        let (from, to) =
            (*members.iter().max_by_key(of_topic)?, *members.iter().min_by_key(of_topic)?);
        if self.counts[from][topic] < self.counts[to][topic] + 2 {
            return None;
        }
        let surplus = |other: usize| {
            let more = self.counts[to][other].checked_sub(self.counts[from][other])?;
            (more > 0).then_some((more, std::cmp::Reverse(other)))
        };
        let (_, back) = wanted.iter().filter_map(|other| surplus(*other)).max()?;
        Some((from, to, back.0))
    }

    /// Moves the one of the topic that is best moved: back to where it is now,
    /// or one that is not there yet.
    fn move_one(&mut self, topic: usize, from: usize, to: usize) {
        let rank = |(partition, seat): (usize, &Seat)| {
            (seat.home == Some(to), seat.home != Some(from), partition)
        };
        let owned = self.seats[topic].iter().enumerate().filter(|(_, s)| s.owner == Some(from));
        if let Some((.., partition)) = owned.map(rank).max() {
            self.give(topic, partition, to);
        }
    }

    fn give(&mut self, topic: usize, partition: usize, to: usize) {
        if let Some(from) = self.seats[topic][partition].owner.replace(to) {
            self.counts[from][topic] -= 1;
            self.load[from] -= 1;
        }
        self.counts[to][topic] += 1;
        self.load[to] += 1;
    }

    fn answer(&self, topics: &BTreeMap<TopicName, PartitionCount>) -> Vec<Assignment> {
        let mut all = vec![Assignment::new(); self.class.len()];
        for (name, seats) in topics.keys().zip(&self.seats) {
            for (id, seat) in (0..).map(PartitionId).zip(seats) {
                if let Some(owner) = seat.owner {
                    all[owner].entry(name.clone()).or_default().insert(id);
                }
            }
        }
        all
    }
}

/// The widest gap that one partition's move would narrow: its topic, who gives,
/// who takes.
fn widest(queues: &[Queue]) -> Option<(usize, usize, usize)> {
    let gap = |(topic, queue): (usize, &Queue)| {
        let (most, has, from) = *queue.iter().rev().find(|(_, has, _)| *has > 0)?;
        let (least, less, to) = *queue.first()?;
        let wide = most.checked_sub(least).filter(|gap| *gap >= 2)?;
        let within = has as isize - less as isize;
        Some(((wide, within, std::cmp::Reverse(topic)), (topic, from, to)))
    };
    queues.iter().enumerate().filter_map(gap).max_by_key(|(key, _)| *key).map(|(_, found)| found)
}
