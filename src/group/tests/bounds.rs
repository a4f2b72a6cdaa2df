//! What clients can make grow has a bound.

use super::world::*;
use crate::{domain::Generation, engine::GroupError, group::state::Event};

#[test]
fn a_group_takes_no_more_members_than_it_may() {
    let mut world = World::new(&[("a", 2)]);
    world.group.config.max_members = 2;
    world.join("m1", &["a"]);
    world.join("m2", &["a"]);
    let third = world.joining("m3", &["a"]);
    assert_eq!(world.try_do(third), Err(GroupError::MembersFull(2)));
    // Those who are in come back all the same, and who leaves makes room.
    world.join("m2", &["a"]);
    world.leave("m1");
    world.join("m3", &["a"]);
}

#[test]
fn those_who_expired_are_remembered_up_to_a_bound() {
    let mut world = World::new(&[("a", 2)]);
    world.group.config.max_members = 3;
    for n in 0..5 {
        world.join(&format!("m{n}"), &["a"]);
        world.pass(SESSION);
    }
    world.join("last", &["a"]);
    let told = |n: u32| world.group.check(&caller(&format!("m{n}"))).map(drop).unwrap_err();
    assert!(matches!(told(0), GroupError::MemberUnknown { .. }));
    assert!((2..5).all(|n| matches!(told(n), GroupError::MemberExpired { .. })));
}

#[test]
fn a_refusal_changes_nothing() {
    let mut world = World::new(&[("a", 2)]);
    world.join("m1", &["a"]);
    let (before, table) = (format!("{:?}", world.group), world.table.clone());
    let refused = [
        Event::Leave(caller("nobody")),
        Event::Reset(vec![world.place("a", 0, 0, 1)]),
        Event::Delete,
    ];
    for event in refused {
        world.try_do(event).unwrap_err();
    }
    world.commit("m1", Generation(9), ("a", 0, 1)).unwrap_err();
    assert_eq!((format!("{:?}", world.group), &world.table), (before, &table));
}
