//! Random histories of a group, held against what it promises.

use super::world::*;
use crate::{
    domain::{Generation, PartitionId, TopicName},
    engine::{Committer, GroupError},
    group::state::Event,
};
use proptest::prelude::*;
use std::{collections::BTreeMap, time::Duration};

#[derive(Clone, Debug)]
enum Op {
    Join(u8, u8),
    Leave(u8),
    Poll(u8),
    Pass(u16),
    Release(u8),
    /// Under the newest generation, or an older one.
    Commit(u8, u8, u8, u8),
    Make(u8, u8),
    Unmake(u8),
    Reset(u8, u8),
    Delete,
    Restart,
}

const TOPICS: [&str; 3] = ["a", "b", "c"];

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..6u8, 1..8u8).prop_map(|(m, t)| Op::Join(m, t)),
        2 => (0..6u8).prop_map(Op::Leave),
        8 => (0..6u8).prop_map(Op::Poll),
        4 => (1..9_000u16).prop_map(Op::Pass),
        6 => (0..6u8).prop_map(Op::Release),
        8 => (0..6u8, 0..3u8, 0..6u8, 0..5u8).prop_map(|(m, t, p, g)| Op::Commit(m, t, p, g)),
        1 => (0..3u8, 1..7u8).prop_map(|(t, n)| Op::Make(t, n)),
        1 => (0..3u8).prop_map(Op::Unmake),
        1 => (0..3u8, 0..6u8).prop_map(|(t, p)| Op::Reset(t, p)),
        1 => Just(Op::Delete),
        2 => Just(Op::Restart),
    ]
}

/// Who holds what, as one generation has it.
type Owners = BTreeMap<(TopicName, PartitionId), (String, Generation)>;

/// What must hold from one step to the next.
struct Witness {
    world: World,
    /// All generations there were, with who held what in them.
    seen: BTreeMap<Generation, Owners>,
    /// The highest offset that was committed, by partition.
    committed: BTreeMap<(TopicName, PartitionId), u64>,
    offset: u64,
}

fn name(member: u8) -> String {
    format!("m{member}")
}

impl Witness {
    fn new() -> Witness {
        let world = World::new(&[("a", 5), ("b", 2), ("c", 3)]);
        Witness { world, seen: BTreeMap::new(), committed: BTreeMap::new(), offset: 0 }
    }

    fn owners(&self) -> Owners {
        let mut owners = Owners::new();
        for (id, member) in &self.world.group.members {
            for (topic, partition, held) in member.each() {
                let owner = (id.to_string(), held.since);
                let other = owners.insert((topic.clone(), partition), owner);
                assert_eq!(other, None, "two owners in one generation");
            }
        }
        owners
    }

    fn step(&mut self, op: Op) {
        let before = self.owners();
        match op {
            Op::Join(m, mask) => {
                let topics: Vec<_> = TOPICS
                    .into_iter()
                    .enumerate()
                    .filter(|(bit, _)| mask & (1 << bit) != 0)
                    .map(|(_, t)| t)
                    .collect();
                self.world.join(&name(m), &topics);
            }
            Op::Leave(m) => drop(self.world.try_do(Event::Leave(caller(&name(m))))),
            Op::Poll(m) => {
                self.world.group.heard(&id(&name(m)), self.world.now.at);
            }
            Op::Pass(ms) => self.world.pass(Duration::from_millis(ms.into())),
            Op::Release(m) => {
                if self.world.group.check(&caller(&name(m))).is_ok() {
                    self.world.release(&name(m));
                }
            }
            Op::Commit(m, t, p, older) => self.commit(m, t, p, older),
            Op::Make(t, n) => self.world.make(TOPICS[usize::from(t)], n.into()),
            Op::Unmake(t) => drop(self.world.shapes.remove(&topic(TOPICS[usize::from(t)]))),
            Op::Reset(t, p) => self.reset(t, p),
            Op::Delete => {
                if self.world.try_do(Event::Delete).is_ok() {
                    assert_eq!(self.world.group.commits.iter().count(), 0);
                    self.committed.clear();
                }
            }
            Op::Restart => self.world.restart(),
        }
        self.world.settle();
        self.check(&before);
    }

    /// A commit counts exactly where its member holds the partition, and got
    /// it no later than in the generation it names.
    fn commit(&mut self, m: u8, t: u8, p: u8, older: u8) {
        let topic_name = topic(TOPICS[usize::from(t)]);
        let Some(shape) = self.world.shapes.get(&topic_name).copied() else { return };
        let told = Generation(self.world.group.generation.0.saturating_sub(older.into()));
        let place = (topic_name.clone(), PartitionId(p.into()));
        let may = self.owners().get(&place).is_some_and(|(owner, since)| {
            *owner == name(m) && *since <= told && {
                let member = &self.world.group.members[&id(&name(m))];
                member.holds[&topic_name].incarnation == shape.incarnation
            }
        });
        self.offset += 1;
        let commit = self.world.place(TOPICS[usize::from(t)], p.into(), 0, self.offset);
        let by = Committer::Member(caller(&name(m)), told);
        let known = self.world.group.check(&caller(&name(m))).is_ok();
        match self.world.try_do(Event::Commit(by, vec![commit])) {
            Ok(()) => {
                assert!(may, "a commit of what is not held was taken");
                self.committed.insert(place, self.offset);
            }
            Err(GroupError::Fenced(_)) => assert!(!may && known),
            Err(_) => assert!(!known),
        }
    }

    fn reset(&mut self, t: u8, p: u8) {
        let name = TOPICS[usize::from(t)];
        if self.world.shapes.contains_key(&topic(name)) {
            let to = self.world.place(name, p.into(), 0, self.offset / 2);
            let empty = self.world.group.members.is_empty();
            let done = self.world.try_do(Event::Reset(vec![to])).is_ok();
            assert_eq!(done, empty);
            if done {
                self.committed.insert((topic(name), PartitionId(p.into())), self.offset / 2);
            }
        }
    }

    fn check(&mut self, before: &Owners) {
        let (owners, generation) = (self.owners(), self.world.group.generation);
        if self.world.group.exists && generation > Generation(0) {
            let newest = self.seen.last_key_value().map(|(g, _)| *g);
            if newest.is_none_or(|newest| generation > newest) {
                self.seen.insert(generation, owners.clone());
            }
            assert_eq!(Some(&owners), self.seen.get(&generation), "a generation has two meanings");
        }
        for (place, (owner, since)) in &owners {
            match before.get(place) {
                Some((was, then)) if was == owner && then == since => {}
                _ => assert_eq!(*since, generation, "what is new has the generation it came in"),
            }
        }
        for ((topic, partition), offset) in &self.committed {
            let found = self.world.group.commits.get(topic, *partition).unwrap();
            assert_eq!(found.position.next.0, *offset);
        }
    }

    /// In the end everyone lets go, and everything is where it belongs.
    fn end(&mut self) {
        self.world.until_stable();
        let generation = self.world.group.generation;
        self.world.settle();
        assert_eq!(self.world.group.generation, generation, "it does not come to rest");
        let owners = self.owners();
        let members = &self.world.group.members;
        for (topic, shape) in &self.world.shapes {
            let wanted = members.values().any(|member| member.topics.contains(topic));
            for partition in shape.partitions.ids() {
                let owner = owners.get(&(topic.clone(), partition));
                assert_eq!(owner.is_some(), wanted, "{topic}/{partition}");
            }
        }
        for ((topic, _), (owner, _)) in &owners {
            assert!(members[&id(owner)].topics.contains(topic));
        }
        let size = |id: &str| owners.values().filter(|(owner, _)| owner == id).count();
        for (a, of_a) in members {
            for (b, of_b) in members.iter().filter(|(b, _)| *b != a) {
                if of_a.holds.keys().any(|topic| of_b.topics.contains(topic)) {
                    assert!(size(a.as_str()) <= size(b.as_str()) + 1, "{a} {b} {owners:?}");
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn every_history_keeps_what_groups_promise(
        ops in proptest::collection::vec(op(), 1..120),
    ) {
        let mut witness = Witness::new();
        for op in ops {
            witness.step(op);
        }
        witness.end();
    }
}
