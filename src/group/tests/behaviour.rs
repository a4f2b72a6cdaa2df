//! What a group promises, each promise one test: members and generations.

use super::world::*;
use crate::{
    domain::{Generation, MemberId, Principal},
    engine::{Assignment, Committer, GroupError, GroupState},
    group::{handover::Cause, state::Event},
};
use std::time::Duration;

#[test]
fn every_partition_has_exactly_one_owner_once_the_group_is_stable() {
    let mut world = World::new(&[("a", 8), ("b", 3)]);
    for member in ["m1", "m2", "m3"] {
        world.join(member, &["a", "b"]);
    }
    world.until_stable();
    let mut all: Vec<_> = ["m1", "m2", "m3"].iter().flat_map(|m| world.has(m)).collect();
    all.sort();
    let every = |name: &str, n: u32| (0..n).map(|p| format!("{name}/{p}")).collect::<Vec<_>>();
    assert_eq!(all, [every("a", 8), every("b", 3)].concat());
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn shares_are_within_one_of_each_other() {
    let mut world = World::new(&[("a", 8)]);
    for n in 1..=5 {
        world.join(&format!("m{n}"), &["a"]);
        world.until_stable();
        let sizes: Vec<_> = (1..=n).map(|m| world.has(&format!("m{m}")).len()).collect();
        assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
    }
}

#[test]
fn nothing_moves_without_need() {
    let mut world = World::new(&[("a", 9)]);
    for member in ["m1", "m2"] {
        world.join(member, &["a"]);
    }
    world.until_stable();
    let before = (world.has("m1"), world.has("m2"));
    world.join("m3", &["a"]);
    // Three have to come to m3, and no more.
    assert_eq!(world.last.as_ref().unwrap().revoked.len(), 3);
    world.until_stable();
    for (member, before) in [("m1", before.0), ("m2", before.1)] {
        assert!(world.has(member).iter().all(|p| before.contains(p)));
    }
    let held = world.has("m2");
    world.leave("m3");
    assert!(held.iter().all(|p| world.has("m2").contains(p)));
    assert!(world.last.as_ref().unwrap().revoked.is_empty());
}

#[test]
fn a_join_does_not_fence_those_who_keep_their_partitions() {
    let mut world = World::new(&[("a", 4)]);
    let first = world.join("m1", &["a"]).generation;
    world.join("m2", &["a"]);
    assert_eq!(world.has("m1"), ["a/0", "a/1"]);
    world.commit("m1", first, ("a", 0, 5)).unwrap();
    world.until_stable();
    world.commit("m1", first, ("a", 0, 6)).unwrap();
    let newest = world.lease("m1").generation;
    assert!(newest > first);
    world.commit("m1", newest, ("a", 0, 7)).unwrap();
    assert_eq!(world.committed("a", 0), Some(7));
}

#[test]
fn more_members_than_partitions_leave_the_rest_idle_and_promote_them() {
    let mut world = World::new(&[("a", 2)]);
    for member in ["m1", "m2", "m3", "m4"] {
        world.join(member, &["a"]);
    }
    world.until_stable();
    assert_eq!(world.has("m3").len() + world.has("m4").len(), 0);
    let freed = world.has("m1");
    world.leave("m1");
    assert_eq!(world.has("m3"), freed);
    assert!(world.has("m4").is_empty());
}

#[test]
fn who_waited_longest_is_served_first_so_nobody_starves_under_churn() {
    let mut world = World::new(&[("a", 2)]);
    for member in ["x", "y", "patient"] {
        world.join(member, &["a"]);
    }
    world.until_stable();
    // Newcomers whose names come before theirs do not overtake.
    for n in 0..3 {
        world.join(&format!("a{n}"), &["a"]);
    }
    world.leave("x");
    assert_eq!(world.has("patient").len(), 1);
    for n in 0..3 {
        let holder = ["y", "a0", "a1", "a2"]
            .into_iter()
            .find(|m| world.group.check(&caller(m)).is_ok() && !world.has(m).is_empty())
            .unwrap();
        world.leave(holder);
        assert_eq!(world.has(&format!("a{n}")).len(), 1, "round {n}");
        world.join(&format!("0{n}"), &["a"]);
    }
}

#[test]
fn a_member_that_dies_is_replaced_after_its_timeout() {
    let mut world = World::new(&[("a", 4)]);
    for member in ["m1", "m2"] {
        world.join(member, &["a"]);
    }
    world.until_stable();
    world.pass(SESSION / 2);
    world.group.heard(&id("m2"), world.now.at);
    world.pass(SESSION / 2 - Duration::from_millis(1));
    assert_eq!(world.has("m2").len(), 2);
    world.pass(Duration::from_millis(1));
    assert_eq!(world.has("m2").len(), 4);
    let causes = &world.last.as_ref().unwrap().causes;
    assert_eq!(*causes, [Cause::Expired(id("m1"))]);
}

#[test]
fn a_member_that_leaves_is_replaced_at_once() {
    let mut world = World::new(&[("a", 4)]);
    for member in ["m1", "m2"] {
        world.join(member, &["a"]);
    }
    world.until_stable();
    world.leave("m1");
    assert_eq!(world.has("m2").len(), 4);
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn a_slow_member_that_comes_back_after_expiry_is_fenced_in_every_call() {
    let mut world = World::new(&[("a", 4)]);
    let lease = world.join("slow", &["a"]);
    world.pass(SESSION / 2);
    world.join("other", &["a"]);
    world.pass(SESSION / 2);
    let expired = |result: Result<(), GroupError>| {
        assert!(matches!(result, Err(GroupError::MemberExpired { .. })), "{result:?}");
    };
    expired(world.commit("slow", lease.generation, ("a", 0, 1)));
    expired(world.try_do(Event::Release(caller("slow"), lease.assignment.clone())));
    expired(world.try_do(Event::Leave(caller("slow"))));
    expired(world.group.check(&caller("slow")).map(drop));
    // Joined again it is a member, whose old generation is worth nothing.
    world.join("slow", &["a"]);
    world.until_stable();
    let got = *world.lease("slow").assignment[&topic("a")].first().unwrap();
    let fenced = world.commit("slow", lease.generation, ("a", got.0, 1));
    assert!(matches!(fenced, Err(GroupError::Fenced(_))), "{fenced:?}");
    let now = world.lease("slow").generation;
    world.commit("slow", now, ("a", got.0, 1)).unwrap();
}

#[test]
fn a_generation_never_repeats() {
    let mut world = World::new(&[("a", 2)]);
    let mut newest = Generation(0);
    let grows = |world: &World, newest: &mut Generation| {
        let generation = world.lease("m1").generation;
        assert!(generation > *newest, "{generation} after {newest}");
        *newest = generation;
    };
    world.join("m1", &["a"]);
    grows(&world, &mut newest);
    world.restart();
    assert_eq!(world.lease("m1").generation, newest);
    world.leave("m1");
    world.restart();
    world.join("m1", &["a"]);
    grows(&world, &mut newest);
    for (restarted, reset) in [(false, false), (true, false), (true, true)] {
        world.leave("m1");
        world.try_do(Event::Delete).unwrap();
        if reset {
            // A group again, that had no members yet.
            world.try_do(Event::Reset(vec![world.place("a", 0, 0, 1)])).unwrap();
        }
        if restarted {
            world.restart();
        }
        world.join("m1", &["a"]);
        grows(&world, &mut newest);
    }
}

#[test]
fn a_deleted_groups_commits_do_not_leak_into_a_new_one() {
    let mut world = World::new(&[("a", 2)]);
    let generation = world.join("m1", &["a"]).generation;
    world.commit("m1", generation, ("a", 0, 5)).unwrap();
    assert_eq!(world.try_do(Event::Delete), Err(GroupError::NotEmpty(world.group.name.clone())));
    world.leave("m1");
    assert_eq!(world.committed("a", 0), Some(5));
    world.try_do(Event::Delete).unwrap();
    assert!(matches!(world.try_do(Event::Delete), Err(GroupError::GroupUnknown(_))));
    for _ in 0..2 {
        world.join("m1", &["a"]);
        assert_eq!(world.committed("a", 0), None);
        world.restart();
    }
}

#[test]
fn commits_of_a_group_without_members_are_kept_for_their_time() {
    let mut world = World::new(&[("a", 2)]);
    let generation = world.join("m1", &["a"]).generation;
    world.commit("m1", generation, ("a", 0, 5)).unwrap();
    world.leave("m1");
    let kept = world.group.config.retention;
    assert_eq!(world.group.expires(), Some(world.now.wall.plus(kept)));
    world.pass(kept - Duration::from_millis(1));
    world.try_do(Event::Forget).unwrap();
    assert_eq!(world.committed("a", 0), Some(5));
    world.pass(Duration::from_millis(1));
    world.try_do(Event::Forget).unwrap();
    assert!(!world.group.exists && world.table.len() == 1, "only the floor is left");
}

#[test]
fn the_same_id_is_the_same_member_and_an_older_connection_is_replaced() {
    let mut world = World::new(&[("a", 2)]);
    let old = world.join("m1", &["a"]);
    let new = world.join("m1", &["a"]);
    assert_eq!((&old.assignment, old.generation), (&new.assignment, new.generation));
    assert!(new.session > old.session && new.version > old.version);
    let mut by = caller("m1");
    by.session = Some(old.session);
    let replaced = Err(GroupError::Replaced(id("m1")));
    assert_eq!(world.group.check(&by).map(drop), replaced);
    let commit = vec![world.place("a", 0, 0, 1)];
    let by_old = Committer::Member(by.clone(), new.generation);
    assert_eq!(world.try_do(Event::Commit(by_old, commit)), replaced);
    assert_eq!(world.try_do(Event::Leave(by.clone())), replaced);
    by.session = Some(new.session);
    assert!(world.group.check(&by).is_ok());
}

#[test]
fn another_principals_id_is_taken() {
    let mut world = World::new(&[("a", 2)]);
    world.join("m1", &["a"]);
    let mut by = caller("m1");
    by.principal = Principal::named("eve");
    let taken = Err(GroupError::MemberTaken(id("m1")));
    assert_eq!(world.try_do(Event::Leave(by)), taken);
    let Event::Join(mut joining) = world.joining("m1", &["a"]) else { unreachable!() };
    joining.principal = Principal::named("eve");
    assert_eq!(world.try_do(Event::Join(joining)), taken);
}

#[test]
fn a_member_that_never_was_is_unknown_and_one_that_left_too() {
    let mut world = World::new(&[("a", 2)]);
    let group = world.group.name.clone();
    let of_group = |result: Result<(), GroupError>| {
        assert_eq!(result, Err(GroupError::GroupUnknown(group.clone())));
    };
    of_group(world.try_do(Event::Leave(caller("m1"))));
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    world.leave("m1");
    for name in ["m1", "nobody"] {
        let member = MemberId::new(name).unwrap();
        let unknown = Err(GroupError::MemberUnknown { group: group.clone(), member });
        assert_eq!(world.try_do(Event::Leave(caller(name))), unknown);
        let nothing = Assignment::new();
        assert_eq!(world.try_do(Event::Release(caller(name), nothing)), unknown);
        assert_eq!(world.commit(name, Generation(1), ("a", 0, 1)), unknown);
    }
}

#[test]
fn members_with_different_topics_get_only_theirs() {
    let mut world = World::new(&[("a", 4), ("b", 4)]);
    world.join("only-a", &["a"]);
    world.join("both", &["a", "b"]);
    world.join("only-b", &["b"]);
    world.until_stable();
    assert!(world.has("only-a").iter().all(|p| p.starts_with("a/")));
    assert!(world.has("only-b").iter().all(|p| p.starts_with("b/")));
    let sizes = ["only-a", "both", "only-b"].map(|m| world.has(m).len());
    assert_eq!(sizes.iter().sum::<usize>(), 8);
    assert!(sizes.iter().all(|n| (2..=3).contains(n)), "{sizes:?}");
}

#[test]
fn a_member_that_comes_back_with_other_topics_lets_go_of_the_rest() {
    let mut world = World::new(&[("a", 2), ("b", 2)]);
    let first = world.join("m1", &["a"]).generation;
    world.join("m1", &["b"]);
    assert_eq!(
        (world.has("m1"), world.revoking("m1").len()),
        (vec!["b/0".into(), "b/1".into()], 2)
    );
    world.commit("m1", first, ("a", 1, 3)).unwrap();
    world.release("m1");
    assert!(world.revoking("m1").is_empty());
}

#[test]
fn topics_that_are_deleted_and_made_again_are_followed() {
    let mut world = World::new(&[("a", 2), ("b", 1)]);
    let before = world.join("m1", &["a", "b"]);
    world.commit("m1", before.generation, ("a", 0, 5)).unwrap();
    world.shapes.remove(&topic("a"));
    world.settle();
    assert_eq!(world.has("m1"), ["b/0"]);
    world.make("a", 3);
    world.settle();
    assert_eq!(world.has("m1"), ["a/0", "a/1", "a/2", "b/0"]);
    // What it held before is of no use for the new one.
    let fenced = world.commit("m1", before.generation, ("a", 0, 9));
    assert!(matches!(fenced, Err(GroupError::Fenced(_))), "{fenced:?}");
    let now = world.lease("m1").generation;
    world.commit("m1", now, ("a", 0, 1)).unwrap();
    assert_eq!(world.committed("a", 0), Some(1));
}

#[test]
fn a_topic_made_again_between_two_looks_is_another() {
    let mut world = World::new(&[("a", 1)]);
    let before = world.join("m1", &["a"]);
    world.make("a", 1);
    let stale = world.commit("m1", before.generation, ("a", 0, 9));
    assert!(matches!(stale, Err(GroupError::Fenced(_))), "{stale:?}");
    assert!(world.lease("m1").generation > before.generation);
    assert_eq!(world.has("m1"), ["a/0"]);
}

#[test]
fn after_a_restart_each_member_has_a_whole_session() {
    let mut world = World::new(&[("a", 4)]);
    let before = world.join("m1", &["a"]);
    world.pass(SESSION - Duration::from_millis(1));
    world.restart();
    world.pass(SESSION - Duration::from_millis(1));
    let after = world.lease("m1");
    assert_eq!((after.generation, after.assignment), (before.generation, before.assignment));
    world.pass(Duration::from_millis(1));
    assert_eq!(world.group.state(), GroupState::Empty);
}
