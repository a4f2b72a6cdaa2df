//! The assignment by itself.

use super::world::topic;
use crate::{
    domain::{PartitionCount, PartitionId, TopicName},
    engine::Assignment,
    group::assign::{Contender, Stake, assign},
};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

type Counts = BTreeMap<TopicName, PartitionCount>;

fn counts(topics: &[(&str, u32)]) -> Counts {
    topics.iter().map(|(name, n)| (topic(name), PartitionCount(*n))).collect()
}

fn wants(topics: &[&str]) -> BTreeSet<TopicName> {
    topics.iter().map(|name| topic(name)).collect()
}

/// What a member holds, of which others are to have next what `bound` says.
fn stakes<'a>(me: usize, held: &'a Assignment, bound: &[Assignment]) -> Vec<Stake<'a>> {
    let next = |topic: &TopicName, p: &PartitionId| {
        let has = |all: &Assignment| all.get(topic).is_some_and(|of| of.contains(p));
        bound.iter().position(has).filter(|next| *next != me)
    };
    let each = held.iter().flat_map(|(topic, of)| of.iter().map(move |p| (topic, p)));
    each.map(|(topic, p)| Stake { topic, partition: *p, next: next(topic, p) }).collect()
}

/// From nothing, or from what they hold, with nothing on its way.
fn assigned(members: &[(BTreeSet<TopicName>, Assignment)], topics: &Counts) -> Vec<Assignment> {
    midway(members, topics, &[])
}

/// From what they hold, while they are on the way to `bound`.
fn midway(
    members: &[(BTreeSet<TopicName>, Assignment)],
    topics: &Counts,
    bound: &[Assignment],
) -> Vec<Assignment> {
    let contenders: Vec<_> = members
        .iter()
        .enumerate()
        .map(|(me, (wants, holds))| Contender { wants, holds: stakes(me, holds, bound) })
        .collect();
    assign(&contenders, topics)
}

fn size(of: &Assignment) -> usize {
    of.values().map(BTreeSet::len).sum()
}

fn count(of: &Assignment, topic: &TopicName) -> usize {
    of.get(topic).map_or(0, BTreeSet::len)
}

fn kept(before: &Assignment, after: &Assignment) -> usize {
    let same = |(topic, of): (&TopicName, &BTreeSet<PartitionId>)| {
        after.get(topic).map_or(0, |after| of.intersection(after).count())
    };
    before.iter().map(same).sum()
}

/// One owner for each partition that somebody wants, nobody has what it does
/// not want, and the balance that the file's head promises.
fn check(members: &[(BTreeSet<TopicName>, Assignment)], topics: &Counts, found: &[Assignment]) {
    for (topic, n) in topics {
        let wanted = members.iter().any(|(wants, _)| wants.contains(topic));
        let mut all: Vec<_> = found.iter().filter_map(|a| a.get(topic)).flatten().collect();
        all.sort();
        let every: Vec<_> = n.ids().collect();
        assert_eq!(all, if wanted { every.iter().collect() } else { vec![] });
    }
    for (a, (a_wants, _)) in members.iter().enumerate() {
        assert!(found[a].keys().all(|topic| a_wants.contains(topic)));
        for (b, (b_wants, _)) in members.iter().enumerate() {
            if found[a].keys().any(|topic| b_wants.contains(topic)) {
                assert!(size(&found[a]) <= size(&found[b]) + 1, "{found:?}");
            }
            if a_wants == b_wants {
                for topic in a_wants {
                    assert!(count(&found[a], topic) <= count(&found[b], topic) + 1, "{found:?}");
                }
            }
        }
    }
}

#[test]
fn a_topic_that_is_not_there_is_no_trouble() {
    let members = [(wants(&["a", "gone"]), Assignment::new())];
    let found = assigned(&members, &counts(&[("a", 2)]));
    assert_eq!(size(&found[0]), 2);
    assert_eq!(assigned(&[], &counts(&[("a", 2)])), Vec::<Assignment>::new());
}

#[test]
fn members_that_want_the_same_share_each_topic() {
    let topics = counts(&[("a", 4), ("b", 4), ("c", 1), ("d", 1)]);
    let members = vec![(wants(&["a", "b", "c", "d"]), Assignment::new()); 2];
    let found = assigned(&members, &topics);
    check(&members, &topics, &found);
    assert_eq!(found.iter().map(size).collect::<Vec<_>>(), [5, 5]);
}

#[test]
fn what_is_on_its_way_goes_on_or_goes_elsewhere_first() {
    let topics = counts(&[("a", 6)]);
    let of = |all: &[u32]| {
        Assignment::from([(topic("a"), all.iter().map(|p| PartitionId(*p)).collect())])
    };
    let mut members = vec![(wants(&["a"]), of(&[0, 1, 2, 3, 4, 5])), (wants(&["a"]), of(&[]))];
    let bound = [of(&[1, 3, 5]), of(&[0, 2, 4])];
    assert_eq!(midway(&members, &topics, &bound), bound);
    // Of the three that leave it in any case, the third member gets one.
    members.push((wants(&["a"]), of(&[])));
    let found = midway(&members, &topics, &bound);
    assert_eq!(found.iter().map(size).collect::<Vec<_>>(), [2, 2, 2]);
    assert_eq!(kept(&bound[0], &found[0]), 2);
}

/// A newcomer gets its share, and nothing else moves.
#[test]
fn a_newcomer_costs_no_more_than_its_share() {
    let topics = counts(&[("a", 13), ("b", 5), ("c", 8)]);
    let all = wants(&["a", "b", "c"]);
    let mut members = vec![];
    for _ in 0..9 {
        members.push((all.clone(), Assignment::new()));
        let found = assigned(&members, &topics);
        check(&members, &topics, &found);
        let moved: usize = members
            .iter()
            .zip(&found)
            .map(|((_, before), after)| size(before) - kept(before, after))
            .sum();
        let share = size(found.last().unwrap());
        assert!(members.len() == 1 || moved == share, "{moved} moved for a share of {share}");
        for ((_, held), found) in members.iter_mut().zip(found) {
            *held = found;
        }
    }
}

/// The measure is taken in release builds; here, that it is not quadratic.
#[test]
fn a_thousand_partitions_are_assigned_to_two_hundred_members_at_once() {
    let topics = counts(&[("a", 500), ("b", 300), ("c", 200)]);
    let mut members = vec![(wants(&["a", "b", "c"]), Assignment::new()); 199];
    let begun = Instant::now();
    let found = assigned(&members, &topics);
    for ((_, held), found) in members.iter_mut().zip(found) {
        *held = found;
    }
    members.push((wants(&["a", "b", "c"]), Assignment::new()));
    let found = assigned(&members, &topics);
    let took = begun.elapsed();
    check(&members, &topics, &found);
    assert!(took < Duration::from_secs(2), "{took:?}");
    println!("two assignments took {took:?}");
}

fn any_members() -> impl Strategy<Value = Vec<(u8, Vec<(u8, u32)>)>> {
    let held = proptest::collection::vec((0..4u8, 0..12u32), 0..12);
    proptest::collection::vec((0..16u8, held), 0..9)
}

proptest! {
    #[test]
    fn it_is_whole_balanced_sticky_and_the_same_again(
        sizes in proptest::collection::vec(0..12u32, 4),
        drawn in any_members(),
    ) {
        let names = ["a", "b", "c", "d"];
        let topics: Counts =
            names.iter().zip(sizes).filter(|(_, n)| *n > 0)
                .map(|(name, n)| (topic(name), PartitionCount(n))).collect();
        let mut taken = BTreeSet::new();
        let mut members: Vec<(BTreeSet<TopicName>, Assignment)> = vec![];
        for (mask, held) in drawn {
            let wants = names.iter().enumerate()
                .filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, n)| topic(n)).collect();
            let mut holds = Assignment::new();
            for (t, p) in held {
                if taken.insert((t, p)) {
                    holds.entry(topic(names[usize::from(t)])).or_default().insert(PartitionId(p));
                }
            }
            members.push((wants, holds));
        }
        let found = assigned(&members, &topics);
        check(&members, &topics, &found);
        // Midway: what was free is given, the rest on its way, and nothing changes.
        for (at, target) in found.iter().enumerate() {
            let free: Vec<_> = target.iter().flat_map(|(t, of)| of.iter().map(move |p| (t, *p)))
                .filter(|(t, p)| !members.iter().any(|(_, held)| held.get(*t).is_some_and(|of| of.contains(p))))
                .map(|(t, p)| (t.clone(), p)).collect();
            for (t, p) in free {
                members[at].1.entry(t).or_default().insert(p);
            }
        }
        prop_assert_eq!(&midway(&members, &topics, &found), &found);
        // Done: nothing moves any more.
        for ((_, held), found) in members.iter_mut().zip(&found) {
            held.clone_from(found);
        }
        prop_assert_eq!(assigned(&members, &topics), found);
    }
}
