//! One group as a pure state, with topics, a clock and a table around it.

use crate::{
    domain::{
        Epoch, Generation, GroupName, Incarnation, MemberId, Offset, PartitionCount, PartitionId,
        Position, Principal, StartPolicy, Timestamp, TopicName,
    },
    engine::{Assignment, Committer, GroupCommit, GroupError, Lease, MemberRef, StateEntry},
    group::{
        GroupConfig,
        handover::{Rebalance, Shape, Shapes},
        state::{Event, Group, Joining, Now},
        store::{self, Change},
    },
};
use bytes::Bytes;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use tokio::time::Instant;

pub const SESSION: Duration = Duration::from_secs(10);
pub const GRACE: Duration = Duration::from_secs(30);

pub struct World {
    pub group: Group,
    pub shapes: Shapes,
    /// What a gateway that starts now would find.
    pub table: BTreeMap<Bytes, StateEntry>,
    pub now: Now,
    /// The change that was made last.
    pub last: Option<Rebalance>,
    sessions: u64,
    incarnations: u64,
}

pub fn topic(name: &str) -> TopicName {
    TopicName::new(name).unwrap()
}

pub fn id(member: &str) -> MemberId {
    MemberId::new(member).unwrap()
}

pub fn caller(member: &str) -> MemberRef {
    let group = GroupName::new("g").unwrap();
    MemberRef { group, member: id(member), principal: Principal::ANYONE, session: None }
}

/// Partitions as `topic/number`, in order.
pub fn short(all: &Assignment) -> Vec<String> {
    let of = |(topic, of): (&TopicName, &BTreeSet<PartitionId>)| {
        of.iter().map(|p| format!("{topic}/{p}")).collect::<Vec<_>>()
    };
    all.iter().flat_map(of).collect()
}

pub fn blank(floor: Generation) -> Group {
    let config = GroupConfig { max_members: 300, revoke_grace: GRACE, ..GroupConfig::default() };
    Group::new(GroupName::new("g").unwrap(), config, floor)
}

impl World {
    /// A group over topics of so many partitions.
    pub fn new(topics: &[(&str, u32)]) -> World {
        let now = Now { at: Instant::now(), wall: Timestamp::from_millis(1_790_000_000_000) };
        let mut world = World {
            group: blank(Generation(0)),
            shapes: Shapes::new(),
            table: BTreeMap::new(),
            now,
            last: None,
            sessions: 0,
            incarnations: 0,
        };
        topics.iter().for_each(|(name, partitions)| world.make(name, *partitions));
        world
    }

    /// A topic is made, perhaps anew.
    pub fn make(&mut self, name: &str, partitions: u32) {
        self.incarnations += 1;
        let incarnation = Incarnation(self.incarnations);
        let shape = Shape { incarnation, partitions: PartitionCount(partitions) };
        self.shapes.insert(topic(name), shape);
    }

    /// One after the other, then settled at once, as an owner does it.
    pub fn all(&mut self, events: Vec<Event>) -> Vec<Result<(), GroupError>> {
        let before = self.group.clone();
        let results = events.into_iter().map(|e| self.group.apply(e, self.now)).collect();
        self.group.tick(self.now);
        self.last = self.group.settle(&self.shapes, self.now);
        for put in store::changes(&before, &self.group).puts(usize::MAX) {
            self.store(put);
        }
        if !self.group.exists && before.exists {
            self.store(vec![store::floor(self.group.floor)]);
        }
        results
    }

    pub fn store(&mut self, changes: Vec<Change>) {
        for (key, entry) in changes {
            assert!(key.key.len() <= 1 << 10);
            match entry {
                Some(entry) => {
                    assert!(entry.value.len() <= 8 << 10);
                    self.table.insert(key.key, entry);
                }
                None => drop(self.table.remove(&key.key).expect("what is removed was there")),
            }
        }
    }

    pub fn try_do(&mut self, event: Event) -> Result<(), GroupError> {
        self.all(vec![event]).remove(0)
    }

    pub fn settle(&mut self) {
        self.all(vec![]);
    }

    pub fn pass(&mut self, time: Duration) {
        self.now = Now { at: self.now.at + time, wall: self.now.wall.plus(time) };
        self.settle();
    }

    /// A gateway that knows nothing but the table.
    pub fn restart(&mut self) {
        let entries = self.table.clone();
        let config = self.group.config;
        let mut stored = store::load(entries, config, self.now).unwrap();
        let floor = stored.floor;
        self.group = stored.groups.remove(&self.group.name).unwrap_or_else(|| blank(floor));
        assert!(stored.groups.is_empty());
        self.settle();
    }

    pub fn joining(&mut self, member: &str, topics: &[&str]) -> Event {
        self.sessions += 1;
        Event::Join(Joining {
            member: id(member),
            principal: Principal::ANYONE,
            topics: topics.iter().map(|name| topic(name)).collect(),
            session_timeout: SESSION,
            from: StartPolicy::Earliest,
            session: self.sessions,
        })
    }

    pub fn join(&mut self, member: &str, topics: &[&str]) -> Lease {
        let event = self.joining(member, topics);
        self.try_do(event).unwrap();
        self.lease(member)
    }

    pub fn leave(&mut self, member: &str) {
        self.try_do(Event::Leave(caller(member))).unwrap();
    }

    pub fn lease(&self, member: &str) -> Lease {
        self.group.lease(&caller(member), self.now.at).unwrap()
    }

    /// What a member may read.
    pub fn has(&self, member: &str) -> Vec<String> {
        short(&self.lease(member).assignment)
    }

    /// What a member is to let go of.
    pub fn revoking(&self, member: &str) -> Vec<String> {
        short(&self.lease(member).revoking)
    }

    /// A member lets go of all that it is to.
    pub fn release(&mut self, member: &str) {
        let what = self.lease(member).revoking;
        self.try_do(Event::Release(caller(member), what)).unwrap();
    }

    /// Everybody lets go of what they are to, until nobody is to.
    pub fn until_stable(&mut self) {
        for _ in 0..10 {
            let names: Vec<_> = self.group.members.keys().map(|id| id.to_string()).collect();
            names.iter().for_each(|name| self.release(name));
        }
        let left = self.group.members.values().any(|m| m.each().any(|(.., h)| h.leaving.is_some()));
        assert!(!left, "it does not become stable");
    }

    pub fn place(&self, name: &str, partition: u32, epoch: u32, next: u64) -> GroupCommit {
        GroupCommit {
            topic: topic(name),
            incarnation: self.shapes[&topic(name)].incarnation,
            partition: PartitionId(partition),
            position: Position { epoch: Epoch(epoch), next: Offset(next) },
            metadata: None,
        }
    }

    /// A member commits an offset of epoch 0.
    pub fn commit(
        &mut self,
        member: &str,
        generation: Generation,
        (name, partition, next): (&str, u32, u64),
    ) -> Result<(), GroupError> {
        let commit = self.place(name, partition, 0, next);
        let by = Committer::Member(caller(member), generation);
        self.try_do(Event::Commit(by, vec![commit]))
    }

    pub fn committed(&self, name: &str, partition: u32) -> Option<u64> {
        let found = self.group.commits.get(&topic(name), PartitionId(partition));
        found.map(|commit| commit.position.next.0)
    }
}
