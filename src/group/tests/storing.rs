//! What the table holds of a group is the group.

use super::world::*;
use crate::{
    domain::{Epoch, Generation, Incarnation, Offset, PartitionId, Position},
    engine::{EngineError, GroupCommit, StateEntry},
    group::{GroupConfig, state::Event, store},
};
use bytes::Bytes;
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

/// What of a group outlives the process.
fn lasting(world: &World) -> String {
    let group = &world.group;
    let members: Vec<_> = group
        .members
        .iter()
        .map(|(id, member)| {
            let held: Vec<_> = member
                .each()
                .map(|(t, p, h)| (t.clone(), p, h.since, h.leaving.clone().map(|l| l.to)))
                .collect();
            let incarnations: Vec<_> = member.holds.values().map(|h| h.incarnation).collect();
            (
                id.clone(),
                member.principal.clone(),
                member.topics.clone(),
                (member.session_timeout, member.from, member.joined),
                (held, incarnations),
            )
        })
        .collect();
    let commits: Vec<_> = group.commits.iter().collect();
    format!("{:?} {:?} {members:?} {commits:?}", group.generation, group.emptied)
}

fn restarted(mut world: World) {
    let before = lasting(&world);
    world.restart();
    assert_eq!(lasting(&world), before);
}

#[test]
fn a_member_of_many_topics_and_partitions_fits_several_entries() {
    let long = |n: usize| format!("{n:03}{}", "x".repeat(240));
    let mut world = World::new(&[]);
    (0..100).for_each(|n| world.make(&long(n), 64));
    let names: Vec<_> = (0..100).map(long).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    world.join("m1", &names);
    assert!(world.table.len() > 4);
    // Fewer pieces than before, and none of the old ones is left behind.
    world.join("m2", &names);
    world.until_stable();
    let before = lasting(&world);
    world.restart();
    assert_eq!(lasting(&world), before);
    world.leave("m1");
    world.leave("m2");
    assert_eq!(world.table.len(), 1);
}

#[test]
fn only_what_changed_is_written() {
    let mut world = World::new(&[("a", 8)]);
    for member in ["m1", "m2", "m3"] {
        world.join(member, &["a"]);
    }
    world.until_stable();
    let before = world.group.clone();
    let generation = world.lease("m1").generation;
    world.commit("m1", generation, ("a", 0, 5)).unwrap();
    assert_eq!(store::changes(&before, &world.group).keys().len(), 1);
    let before = world.group.clone();
    world.join("m4", &["a"]);
    // The group, the newcomer, and those who are to give: no more.
    assert!(store::changes(&before, &world.group).keys().len() <= 2 + 2);
}

/// A large change goes in several puts. Whichever of them were made when the
/// process ended: no partition has two owners, no generation comes again, and
/// in the end all is where it belongs.
#[test]
fn a_change_that_was_stored_in_part_is_no_harm() {
    for made in 0..8 {
        let mut world = World::new(&[("a", 6)]);
        for member in ["m1", "m2", "m3"] {
            world.join(member, &["a"]);
        }
        world.until_stable();
        world.join("m4", &["a"]);
        let lost = world.lease("m1").revoking;
        let before = (world.group.clone(), world.table.clone());
        // One leaves, one releases and one joins at once.
        let joining = world.joining("m5", &["a"]);
        let events = vec![Event::Leave(caller("m2")), Event::Release(caller("m1"), lost), joining];
        world.all(events).into_iter().for_each(|result| result.unwrap());
        let generation = world.group.generation;
        let puts = store::changes(&before.0, &world.group).puts(1);
        assert!(puts.len() >= 4, "{}", puts.len());
        world.table = before.1;
        puts.into_iter().take(made).for_each(|put| world.store(put));
        world.restart();
        assert!(made == 0 || world.group.generation >= generation);
        let mut owners = BTreeSet::new();
        for member in world.group.members.values() {
            assert!(member.each().all(|(t, p, _)| owners.insert((t.clone(), p))));
        }
        world.until_stable();
        let owned: usize = world.group.members.values().map(|m| m.each().count()).sum();
        assert_eq!(owned, 6);
    }
}

#[test]
fn what_no_coordinator_wrote_is_refused() {
    let world = World::new(&[]);
    let entry =
        |value: &'static [u8]| StateEntry { value: Bytes::from_static(value), expires: None };
    for (key, value) in [
        (&b"x"[..], &b"{}"[..]),
        (b"gname", b"no json"),
        (b"g\xff", b"{\"generation\":1,\"emptied\":null}"),
        (b"mg\0m\0\0\0", b"{}"),
        (b"cnobody\0t\0\0\0\0\0", b"{\"i\":1,\"e\":0,\"n\":0}"),
        (b"cg\0t\0\0\0", b"{\"i\":1,\"e\":0,\"n\":0}"),
        (b"", b""),
    ] {
        let entries = vec![(Bytes::from_static(key), entry(value))];
        let loaded = store::load(entries, GroupConfig::default(), world.now);
        assert!(matches!(loaded, Err(EngineError::Damaged(_))), "{key:?}");
    }
}

proptest! {
    #[test]
    fn any_commit_comes_back_as_it_was(
        incarnation: u64, partition: u32, epoch: u32, next: u64,
        metadata in proptest::option::of("\\PC{0,300}"),
    ) {
        let mut world = World::new(&[("a", 1)]);
        let commit = GroupCommit {
            topic: topic("a"),
            incarnation: Incarnation(incarnation),
            partition: PartitionId(partition),
            position: Position { epoch: Epoch(epoch), next: Offset(next) },
            metadata: metadata.map(Arc::from),
        };
        world.try_do(Event::Reset(vec![commit])).unwrap();
        restarted(world);
    }

    #[test]
    fn any_group_comes_back_as_it_was(
        joins in proptest::collection::vec((0..6u8, 1..8u8), 1..10), floor in 0..1_000_000u64,
    ) {
        let mut world = World::new(&[("a", 5), ("b", 3), ("c", 9)]);
        world.group = blank(Generation(floor));
        for (member, mask) in joins {
            let topics: Vec<_> = ["a", "b", "c"].into_iter().enumerate()
                .filter(|(bit, _)| mask & (1 << bit) != 0).map(|(_, name)| name).collect();
            world.join(&format!("m{member}"), &topics);
            if member == 0 {
                world.until_stable();
            }
        }
        restarted(world);
    }
}
