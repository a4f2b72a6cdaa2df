//! What a member of a group holds, what of it is read for it, and what its
//! client was told: pure decisions. Leases may come faster than the client
//! takes frames; it is told what has become of them in one go.
//!
//! ```text
//!  lease ─► note ─► turn ─► revoking, revoked ─► missing ─► places ─► placed ─► tell ─► assigned
//! ```

use crate::{
    broker::{GroupPlaces, Lease},
    domain::{Cursor, Generation, PartitionId, TopicName},
    wire::Parts,
};
use std::time::Duration;

/// What a client is to be told at once: nothing more comes of these.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// To be let go of.
    pub revoking: Parts,
    /// Not the member's any more.
    pub revoked: Parts,
}

/// One member's partitions.
#[derive(Debug)]
pub(super) struct Holding {
    lease: Lease,
    /// Held at some time since the last turn, and then not: what is known of
    /// their places is void, though they may be held again.
    dropped: Parts,
    /// The same since places were asked for.
    stale: Parts,
    /// What the client was told that it holds.
    told: Parts,
    /// And what that it is to let go of.
    revoking: Parts,
    /// Under which generation; `None` = nothing was told as yet.
    generation: Option<Generation>,
    /// Records are read of these.
    reads: Parts,
    /// Nothing is read of these until something is committed.
    waits: Parts,
    /// Topics of these are gone, whatever the lease says as yet.
    absent: Parts,
    /// Whether there are places that the client was not told.
    news: bool,
}

impl Holding {
    /// Of a member that was told nothing.
    pub fn new(lease: Lease) -> Holding {
        let none = Parts::new;
        Holding {
            lease,
            dropped: none(),
            stale: none(),
            told: none(),
            revoking: none(),
            generation: None,
            reads: none(),
            waits: none(),
            absent: none(),
            news: false,
        }
    }

    /// The newest lease.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// How long the client may take to let go.
    pub fn grace(&self) -> Duration {
        self.lease.grace
    }

    /// Takes note of a newer lease.
    pub fn note(&mut self, lease: Lease) {
        add(&mut self.dropped, &minus(&self.lease.assignment, &lease.assignment));
        // A topic that was gone may have been made again.
        self.absent.clear();
        self.lease = lease;
    }

    /// What has become of what the client has. What it does not hold any more
    /// is not read from now on.
    pub fn turn(&mut self) -> Turn {
        let dropped = std::mem::take(&mut self.dropped);
        let held = &self.lease.assignment;
        let stays = |parts: &Parts| minus(&both(parts, held), &dropped);
        let gone = minus(&self.told, &stays(&self.told));
        let (reads, waits) = (stays(&self.reads), stays(&self.waits));
        let revoking = minus(&self.lease.revoking, &self.revoking);
        let mut revoked = minus(&minus(&self.revoking, &self.lease.revoking), held);
        add(&mut revoked, &minus(&gone, &self.lease.revoking));
        self.told = minus(&self.told, &gone);
        self.revoking = self.lease.revoking.clone();
        (self.reads, self.waits) = (reads, waits);
        add(&mut self.stale, &dropped);
        Turn { revoking, revoked }
    }

    /// What it holds and has no place in.
    pub fn missing(&self) -> Parts {
        let found = [&self.reads, &self.waits, &self.absent];
        found.into_iter().fold(self.lease.assignment.clone(), |left, found| minus(&left, found))
    }

    /// Takes the places that were looked for in `asked`, as far as they still
    /// are of use.
    pub fn placed(&mut self, asked: &Parts, places: &GroupPlaces) {
        let mut stale = std::mem::take(&mut self.stale);
        add(&mut stale, &self.dropped);
        let used = minus(&both(asked, &self.lease.assignment), &stale);
        let (reads, waits) = (both(&used, &named(&places.cursor)), both(&used, &places.waiting));
        add(&mut self.absent, &minus(&minus(&used, &reads), &waits));
        add(&mut self.reads, &reads);
        add(&mut self.waits, &waits);
        self.news |= !used.is_empty();
    }

    /// Whether there is an assignment to tell: all places are known, and it is
    /// another than was told.
    pub fn is_to_tell(&self) -> bool {
        (self.news || self.generation != Some(self.lease.generation)) && self.missing().is_empty()
    }

    /// The assignment, which is told with this: its generation, all that is
    /// held, and what of that waits for a commit.
    pub fn tell(&mut self) -> (Generation, &Parts, &Parts) {
        self.news = false;
        self.generation = Some(self.lease.generation);
        self.told = self.lease.assignment.clone();
        (self.lease.generation, &self.told, &self.waits)
    }

    /// Whether records of a partition are for the client.
    pub fn reads(&self, topic: &TopicName, partition: PartitionId) -> bool {
        self.reads.get(topic).is_some_and(|partitions| partitions.contains(&partition))
    }

    /// Something was committed in these: those that waited for it have a place.
    pub fn committed(&mut self, parts: &Parts) -> bool {
        let woken = !both(&self.waits, parts).is_empty();
        self.waits = minus(&self.waits, parts);
        woken
    }

    /// A topic is gone, or is another one of its name. Whether it was read.
    pub fn lose(&mut self, topic: &TopicName) -> bool {
        self.reads.remove(topic).is_some()
    }
}

/// The partitions that a cursor names.
fn named(cursor: &Cursor) -> Parts {
    let topics = cursor.topics.iter();
    topics
        .map(|(topic, places)| (topic.clone(), places.partitions.keys().copied().collect()))
        .collect()
}

fn add(to: &mut Parts, more: &Parts) {
    for (topic, partitions) in more {
        to.entry(topic.clone()).or_default().extend(partitions);
    }
}

/// What of `all` is, or is not, in `other`. No topic is left without a
/// partition.
fn part(all: &Parts, other: &Parts, wanted: bool) -> Parts {
    let mut found = Parts::new();
    for (topic, partitions) in all {
        let others = other.get(topic);
        let is_in = |partition| others.is_some_and(|others| others.contains(partition));
        let left = partitions.iter().filter(|partition| is_in(partition) == wanted).copied();
        let left: std::collections::BTreeSet<_> = left.collect();
        if !left.is_empty() {
            found.insert(topic.clone(), left);
        }
    }
    found
}

fn minus(all: &Parts, other: &Parts) -> Parts {
    part(all, other, false)
}

fn both(all: &Parts, other: &Parts) -> Parts {
    part(all, other, true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Epoch, Incarnation, MemberId, Offset, Position, StartPolicy, TopicPositions,
    };

    fn topic() -> TopicName {
        TopicName::new("t").unwrap()
    }

    fn parts(partitions: &[u32]) -> Parts {
        let ids: std::collections::BTreeSet<_> =
            partitions.iter().map(|id| PartitionId(*id)).collect();
        if ids.is_empty() { Parts::new() } else { [(topic(), ids)].into() }
    }

    fn lease(generation: u64, assignment: &[u32], revoking: &[u32]) -> Lease {
        Lease {
            member: MemberId::new("m").unwrap(),
            session: 1,
            generation: Generation(generation),
            version: generation,
            assignment: parts(assignment),
            revoking: parts(revoking),
            grace: Duration::from_secs(30),
            session_timeout: Duration::from_secs(45),
            from: StartPolicy::Earliest,
        }
    }

    fn places(at: &[u32], waiting: &[u32]) -> GroupPlaces {
        let position = Position { epoch: Epoch(0), next: Offset(0) };
        let partitions = at.iter().map(|id| (PartitionId(*id), position)).collect();
        let positions = TopicPositions { incarnation: Incarnation(1), partitions };
        let cursor = Cursor { topics: [(topic(), positions)].into() };
        GroupPlaces { cursor, lost: vec![], waiting: parts(waiting) }
    }

    /// A member that was told that it holds these.
    fn told(held: &[u32]) -> Holding {
        let mut holding = Holding::new(lease(1, held, &[]));
        assert_eq!(holding.turn(), Turn::default());
        let missing = holding.missing();
        assert_eq!(missing, parts(held));
        holding.placed(&missing, &places(held, &[]));
        assert!(holding.is_to_tell());
        assert_eq!(holding.tell(), (Generation(1), &parts(held), &parts(&[])));
        assert!(!holding.is_to_tell());
        holding
    }

    fn reads(holding: &Holding, partition: u32) -> bool {
        holding.reads(&topic(), PartitionId(partition))
    }

    #[test]
    fn a_member_that_holds_nothing_is_told_so() {
        let mut holding = Holding::new(lease(1, &[], &[]));
        holding.turn();
        assert!(holding.is_to_tell());
        assert_eq!(holding.tell().1, &parts(&[]));
        assert!(!holding.is_to_tell());
    }

    #[test]
    fn what_is_being_revoked_is_read_no_more_and_what_stays_is() {
        let mut holding = told(&[0, 1, 2]);
        holding.note(lease(2, &[0, 2], &[1]));
        assert_eq!(holding.turn(), Turn { revoking: parts(&[1]), revoked: parts(&[]) });
        assert!(reads(&holding, 0) && !reads(&holding, 1) && reads(&holding, 2));
        // The generation is told though nothing came with it.
        assert!(holding.is_to_tell());
        assert_eq!(holding.tell().1, &parts(&[0, 2]));
        holding.note(lease(3, &[0, 2], &[]));
        assert_eq!(holding.turn(), Turn { revoking: parts(&[]), revoked: parts(&[1]) });
    }

    #[test]
    fn several_leases_are_told_as_one() {
        let mut holding = told(&[0, 1]);
        holding.note(lease(2, &[0], &[1]));
        holding.note(lease(3, &[0], &[]));
        holding.note(lease(4, &[0, 2], &[]));
        assert_eq!(holding.turn(), Turn { revoking: parts(&[]), revoked: parts(&[1]) });
        assert_eq!(holding.missing(), parts(&[2]));
        assert!(!holding.is_to_tell());
    }

    #[test]
    fn what_was_lost_and_came_back_unseen_begins_anew() {
        let mut holding = told(&[0, 1]);
        holding.note(lease(2, &[0], &[]));
        holding.note(lease(3, &[0, 1], &[]));
        assert_eq!(holding.turn(), Turn { revoking: parts(&[]), revoked: parts(&[1]) });
        assert!(!reads(&holding, 1));
        assert_eq!(holding.missing(), parts(&[1]));
    }

    #[test]
    fn what_was_to_be_let_go_of_and_is_kept_after_all_begins_at_its_commit() {
        let mut holding = told(&[0, 1]);
        holding.note(lease(2, &[0], &[1]));
        holding.turn();
        holding.tell();
        holding.note(lease(3, &[0, 1], &[]));
        assert_eq!(holding.turn(), Turn::default());
        assert_eq!(holding.missing(), parts(&[1]));
    }

    #[test]
    fn places_that_were_overtaken_are_looked_for_again() {
        let mut holding = told(&[0]);
        holding.note(lease(2, &[0, 1, 2], &[]));
        holding.turn();
        let asked = holding.missing();
        // One goes and comes back, one goes for good, while they are looked for.
        holding.note(lease(3, &[0], &[]));
        holding.turn();
        holding.note(lease(4, &[0, 1], &[]));
        holding.placed(&asked, &places(&[1, 2], &[]));
        holding.turn();
        assert!(!reads(&holding, 1) && !reads(&holding, 2));
        assert_eq!(holding.missing(), parts(&[1]));
        holding.placed(&parts(&[1]), &places(&[1], &[]));
        assert!(holding.is_to_tell() && reads(&holding, 1));
    }

    #[test]
    fn what_waits_for_a_commit_is_told_and_looked_for_when_there_is_one() {
        let mut holding = Holding::new(lease(1, &[0, 1], &[]));
        holding.turn();
        holding.placed(&parts(&[0, 1]), &places(&[0], &[1]));
        assert_eq!(holding.tell(), (Generation(1), &parts(&[0, 1]), &parts(&[1])));
        assert!(!holding.committed(&parts(&[0])));
        assert!(holding.committed(&parts(&[0, 1])));
        assert_eq!(holding.missing(), parts(&[1]));
        holding.placed(&parts(&[1]), &places(&[1], &[]));
        assert!(holding.is_to_tell() && reads(&holding, 1));
    }

    #[test]
    fn a_topic_that_is_gone_is_looked_for_once_for_each_lease() {
        let mut holding = told(&[0, 1]);
        assert!(holding.lose(&topic()));
        assert_eq!(holding.missing(), parts(&[0, 1]));
        holding.placed(&parts(&[0, 1]), &GroupPlaces::default());
        assert_eq!(holding.missing(), parts(&[]));
        assert!(!reads(&holding, 0));
        holding.note(lease(2, &[], &[]));
        assert_eq!(holding.turn(), Turn { revoking: parts(&[]), revoked: parts(&[0, 1]) });
        holding.note(lease(3, &[1], &[]));
        holding.turn();
        assert_eq!(holding.missing(), parts(&[1]));
    }
}
