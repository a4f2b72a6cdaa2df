//! What a group promises of the hand-over of partitions, and of commits.

use super::world::*;
use crate::{
    domain::Generation,
    engine::{Committer, GroupError, GroupState},
    group::state::Event,
};
use std::time::Duration;

/// m1 had all four partitions, and is asked for two of them.
fn midway() -> World {
    let mut world = World::new(&[("a", 4)]);
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    assert_eq!(world.revoking("m1"), ["a/2", "a/3"]);
    assert!(world.has("m2").is_empty());
    world
}

fn fenced(result: Result<(), GroupError>) {
    assert!(matches!(result, Err(GroupError::Fenced(_))), "{result:?}");
}

/// Everyone is heard from.
fn alive(world: &mut World) {
    let members: Vec<_> = world.group.members.keys().cloned().collect();
    members.iter().for_each(|member| world.group.heard(member, world.now.at));
}

#[test]
fn a_hand_over_waits_for_the_release() {
    let mut world = midway();
    assert_eq!(world.group.state(), GroupState::Rebalancing);
    for _ in 0..5 {
        world.pass(GRACE / 6);
        alive(&mut world);
        assert!(world.has("m2").is_empty());
    }
    world.release("m1");
    assert_eq!(world.has("m2"), ["a/2", "a/3"]);
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn a_part_that_is_released_goes_on_by_itself() {
    let mut world = midway();
    let mut what = world.lease("m1").revoking;
    what.get_mut(&topic("a")).unwrap().pop_first();
    world.try_do(Event::Release(caller("m1"), what)).unwrap();
    assert_eq!((world.has("m2"), world.revoking("m1")), (vec!["a/3".into()], vec!["a/2".into()]));
}

#[test]
fn what_is_not_being_revoked_is_not_released() {
    let mut world = midway();
    let kept = world.lease("m1").assignment;
    let generation = world.lease("m1").generation;
    world.try_do(Event::Release(caller("m1"), kept)).unwrap();
    assert_eq!(world.has("m1"), ["a/0", "a/1"]);
    assert_eq!(world.lease("m1").generation, generation);
}

#[test]
fn what_is_being_revoked_may_be_committed_until_it_is_released() {
    let mut world = midway();
    let generation = world.lease("m1").generation;
    world.commit("m1", generation, ("a", 2, 5)).unwrap();
    fenced(world.commit("m2", generation, ("a", 2, 9)));
    world.release("m1");
    assert_eq!(world.committed("a", 2), Some(5));
    let newest = world.lease("m1").generation;
    fenced(world.commit("m1", newest, ("a", 2, 6)));
    fenced(world.commit("m2", generation, ("a", 2, 6)));
    let newest = world.lease("m2").generation;
    world.commit("m2", newest, ("a", 2, 6)).unwrap();
}

#[test]
fn a_hand_over_times_out() {
    let mut world = midway();
    let ends = world.lease("m1").grace;
    assert_eq!(ends, GRACE);
    for _ in 0..3 {
        world.pass(GRACE / 3 - Duration::from_millis(1));
        alive(&mut world);
    }
    assert!(world.has("m2").is_empty());
    world.pass(Duration::from_millis(3));
    assert_eq!((world.has("m2").len(), world.has("m1").len()), (2, 2));
    let newest = world.lease("m1").generation;
    fenced(world.commit("m1", newest, ("a", 2, 6)));
}

#[test]
fn a_hand_over_survives_its_source_leaving() {
    let mut world = midway();
    world.leave("m1");
    assert_eq!(world.has("m2").len(), 4);
}

#[test]
fn a_hand_over_survives_its_source_dying() {
    let mut world = midway();
    world.pass(SESSION / 2);
    world.group.heard(&id("m2"), world.now.at);
    world.pass(SESSION / 2);
    assert_eq!(world.has("m2").len(), 4);
}

#[test]
fn a_hand_over_survives_its_target_leaving() {
    let mut world = midway();
    let first = Generation(1);
    world.leave("m2");
    assert_eq!(world.has("m1").len(), 4);
    assert!(world.revoking("m1").is_empty());
    // It simply keeps it: what it was told before still holds.
    world.commit("m1", first, ("a", 3, 1)).unwrap();
}

#[test]
fn a_target_that_leaves_is_replaced_by_another() {
    let mut world = midway();
    world.join("m3", &["a"]);
    let asked = world.revoking("m1");
    world.leave("m2");
    assert!(world.revoking("m1").iter().all(|p| asked.contains(p)));
    world.until_stable();
    assert_eq!((world.has("m1").len(), world.has("m3").len()), (2, 2));
}

#[test]
fn a_hand_over_survives_a_restart() {
    let mut world = midway();
    let before = world.lease("m1");
    world.pass(SESSION / 2);
    world.restart();
    let after = world.lease("m1");
    assert_eq!(after.revoking, before.revoking);
    assert_eq!((after.generation, after.grace), (before.generation, GRACE));
    world.release("m1");
    assert_eq!(world.has("m2").len(), 2);
}

#[test]
fn a_lost_poll_answer_loses_nothing() {
    // Answers do not move anything: the same lease is told as often as it is
    // asked for, and where it begins is what was committed.
    let mut world = World::new(&[("a", 1)]);
    let lease = world.join("m1", &["a"]);
    world.commit("m1", lease.generation, ("a", 0, 3)).unwrap();
    for _ in 0..3 {
        world.group.heard(&id("m1"), world.now.at);
        assert_eq!(world.lease("m1"), lease);
        assert_eq!(world.committed("a", 0), Some(3));
    }
}

#[test]
fn members_that_join_at_once_make_one_generation() {
    let mut world = World::new(&[("a", 100)]);
    let joins = (0..200).map(|n| world.joining(&format!("m{n}"), &["a"])).collect();
    world.all(joins);
    assert_eq!(world.group.generation, Generation(1));
    assert_eq!(world.group.state(), GroupState::Stable);
}

#[test]
fn a_commit_does_not_go_back() {
    let mut world = World::new(&[("a", 1)]);
    let generation = world.join("m1", &["a"]).generation;
    world.commit("m1", generation, ("a", 0, 5)).unwrap();
    world.commit("m1", generation, ("a", 0, 4)).unwrap();
    assert_eq!(world.committed("a", 0), Some(5));
    // By epoch first: a later one may lie lower.
    let mut by_epoch = |epoch, next| {
        let commit = world.place("a", 0, epoch, next);
        let by = Committer::Member(caller("m1"), generation);
        world.try_do(Event::Commit(by, vec![commit])).unwrap();
        world.committed("a", 0)
    };
    assert_eq!(by_epoch(2, 3), Some(3));
    assert_eq!(by_epoch(1, 9), Some(3));
}

#[test]
fn of_several_commits_all_are_made_or_none() {
    let mut world = midway();
    let generation = world.lease("m1").generation;
    let commits = vec![world.place("a", 0, 0, 1), world.place("a", 3, 0, 1)];
    world.release("m1");
    let by = Committer::Member(caller("m1"), generation);
    fenced(world.try_do(Event::Commit(by, commits)));
    assert_eq!(world.committed("a", 0), None);
}

#[test]
fn a_generation_that_has_not_been_is_fenced() {
    let mut world = World::new(&[("a", 1)]);
    let generation = world.join("m1", &["a"]).generation;
    fenced(world.commit("m1", generation.next(), ("a", 0, 1)));
}

#[test]
fn outsiders_commit_and_reset_only_while_nobody_is_in_the_group() {
    let mut world = World::new(&[("a", 1)]);
    let (five, two) = (world.place("a", 0, 0, 5), world.place("a", 0, 0, 2));
    let outside = |commit: &crate::engine::GroupCommit| {
        Event::Commit(Committer::Outsider, vec![commit.clone()])
    };
    world.try_do(outside(&five)).unwrap();
    world.try_do(outside(&two)).unwrap();
    assert_eq!(world.committed("a", 0), Some(5));
    world.try_do(Event::Reset(vec![two.clone()])).unwrap();
    assert_eq!(world.committed("a", 0), Some(2));
    world.join("m1", &["a"]);
    let full = Err(GroupError::NotEmpty(world.group.name.clone()));
    assert_eq!(world.try_do(outside(&five)), full);
    assert_eq!(world.try_do(Event::Reset(vec![five.clone()])), full);
    world.leave("m1");
    world.try_do(Event::Reset(vec![five])).unwrap();
    assert_eq!(world.committed("a", 0), Some(5));
}
