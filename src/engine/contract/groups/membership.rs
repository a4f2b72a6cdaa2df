//! Who is in a group, and what that gives to each.

use super::fixture::{GroupHarness, Site, caller, group, request, short};
use crate::{
    domain::{GroupName, Principal},
    engine::{
        Assignment, EngineError, GroupError, GroupState,
        contract::fixture::{name, soon},
    },
};
use std::time::Duration;

pub async fn the_first_member_gets_every_partition<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 3).await;
    let lease = site.join("m1", &["a"]).await;
    assert_eq!((lease.member.as_str(), lease.session_timeout.as_secs()), ("m1", 30));
    let lease = site.until("m1", "all partitions", |l| !l.assignment.is_empty()).await;
    assert_eq!(short(&lease.assignment), ["a/0", "a/1", "a/2"]);
    assert_eq!((lease.revoking.len(), lease.grace), (0, Duration::ZERO));
    let found = site.groups().describe(&group()).await.unwrap();
    assert_eq!((found.state, found.members.len()), (GroupState::Stable, 1));
    assert_eq!((found.generation, found.expires), (lease.generation, None));
}

pub async fn a_member_without_an_id_is_given_one<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 2).await;
    let mut ids = vec![];
    for _ in 0..2 {
        let anonymous = crate::engine::JoinRequest { member: None, ..request("x", &["a"]) };
        ids.push(soon("a join", site.groups().join(anonymous)).await.unwrap().member);
    }
    assert_ne!(ids[0], ids[1]);
    site.renew(ids[0].as_str()).await.unwrap();
}

pub async fn more_members_than_partitions_leave_some_idle_until_others_leave<H: GroupHarness>(
    site: &mut Site<H>,
) {
    site.log.wide_topic("a", 2).await;
    for member in ["m1", "m2", "m3"] {
        site.join(member, &["a"]).await;
    }
    let held = site.settled(&["m1", "m2", "m3"], 2).await;
    let (idle, busy): (Vec<_>, Vec<_>) = held.keys().partition(|m| held[*m].is_empty());
    assert_eq!((idle.len(), busy.len()), (1, 2));
    site.leave(busy[0]).await;
    let rest = [idle[0].as_str(), busy[1].as_str()];
    let after = site.settled(&rest, 2).await;
    assert_eq!(after[idle[0]].len(), 1);
}

pub async fn one_that_leaves_is_replaced_at_once<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 4).await;
    site.join("m1", &["a"]).await;
    site.join("m2", &["a"]).await;
    let held = site.settled(&["m1", "m2"], 4).await;
    assert_eq!((held["m1"].len(), held["m2"].len()), (2, 2));
    site.leave("m1").await;
    site.until("m2", "what m1 held", |lease| short(&lease.assignment).len() == 4).await;
    let gone = site.renew("m1").await;
    assert!(matches!(gone, Err(GroupError::MemberUnknown { .. })), "{gone:?}");
}

pub async fn one_that_dies_is_replaced_and_told_so_in_every_call<H: GroupHarness>(
    site: &mut Site<H>,
) {
    site.log.wide_topic("a", 2).await;
    let session_timeout = site.log.harness().short_session();
    let mortal = crate::engine::JoinRequest { session_timeout, ..request("m1", &["a"]) };
    let dead = soon("a join", site.groups().join(mortal)).await.unwrap();
    site.join("m2", &["a"]).await;
    site.until("m2", "what m1 held", |lease| short(&lease.assignment).len() == 2).await;
    let expired = |result: Result<(), GroupError>| {
        assert!(matches!(result, Err(GroupError::MemberExpired { .. })), "{result:?}");
    };
    let groups = site.groups();
    expired(site.renew("m1").await.map(drop));
    expired(site.commit("m1", dead.generation, vec![site.place("a", 0, 0)]).await);
    expired(groups.release(&caller("m1"), &dead.assignment).await.map(drop));
    expired(groups.changed(&caller("m1"), dead.version).await.map(drop));
    expired(groups.leave(&caller("m1")).await);
    // It may join again.
    let again = site.join("m1", &["a"]).await;
    assert!(again.session > dead.session);
    site.settled(&["m1", "m2"], 2).await;
}

pub async fn the_same_id_is_the_same_member<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 4).await;
    site.join("m1", &["a"]).await;
    site.join("m2", &["a"]).await;
    let held = site.settled(&["m1", "m2"], 4).await;
    let before = site.renew("m1").await.unwrap();
    let again = site.join("m1", &["a"]).await;
    assert_eq!(short(&again.assignment), held["m1"]);
    assert_eq!(again.generation, before.generation);
    assert!(again.session > before.session && again.version > before.version);
    // What it was told before is still good.
    let (_, partition) = held["m1"][0].split_once('/').unwrap();
    let place = site.place("a", partition.parse().unwrap(), 0);
    site.commit("m1", before.generation, vec![place]).await.unwrap();
}

pub async fn an_older_connection_is_told_that_it_was_replaced<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 1).await;
    let first = site.join("m1", &["a"]).await;
    let mut old = caller("m1");
    old.session = Some(first.session);
    site.until("m1", "its partition", |lease| !lease.assignment.is_empty()).await;
    let first = site.groups().renew(&old).await.unwrap();
    let (waited, second) =
        tokio::join!(site.groups().changed(&old, first.version), site.join("m1", &["a"]));
    let replaced = Err(GroupError::Replaced(second.member.clone()));
    assert_eq!(waited.map(drop), replaced);
    assert_eq!(site.groups().renew(&old).await.map(drop), replaced);
    assert_eq!(site.groups().leave(&old).await, replaced);
    old.session = Some(second.session);
    site.groups().renew(&old).await.unwrap();
}

pub async fn another_principals_id_is_taken<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 1).await;
    let lease = site.join("m1", &["a"]).await;
    let eve = Principal::named("eve");
    let taken = Err(GroupError::MemberTaken(lease.member));
    let asked = crate::engine::JoinRequest { principal: eve.clone(), ..request("m1", &["a"]) };
    assert_eq!(site.groups().join(asked).await.map(drop), taken);
    let mut by = caller("m1");
    by.principal = eve;
    assert_eq!(site.groups().renew(&by).await.map(drop), taken);
    assert_eq!(site.groups().leave(&by).await, taken);
    site.renew("m1").await.unwrap();
}

pub async fn members_with_different_topics_get_theirs<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 2).await;
    site.log.wide_topic("b", 2).await;
    site.join("only-a", &["a"]).await;
    site.join("both", &["a", "b"]).await;
    let held = site.settled(&["only-a", "both"], 4).await;
    assert!(held["only-a"].iter().all(|p| p.starts_with("a/")));
    assert_eq!(held["both"].iter().filter(|p| p.starts_with("b/")).count(), 2);
}

pub async fn an_unknown_topic_is_refused<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 1).await;
    let unknown = EngineError::TopicUnknown(name("nowhere"));
    let refused = site.groups().join(request("m1", &["a", "nowhere"])).await;
    assert_eq!(refused, Err(GroupError::Engine(unknown)));
    let found = site.groups().describe(&group()).await;
    assert_eq!(found, Err(GroupError::GroupUnknown(group())));
}

pub async fn what_is_unknown_is_told<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 1).await;
    let no_group = Err(GroupError::GroupUnknown(group()));
    assert_eq!(site.groups().describe(&group()).await.map(drop), no_group);
    assert_eq!(site.groups().delete(&group()).await, no_group);
    let lease = site.join("m1", &["a"]).await;
    let stranger = caller("stranger");
    let unknown =
        Err(GroupError::MemberUnknown { group: group(), member: stranger.member.clone() });
    let groups = site.groups();
    assert_eq!(groups.renew(&stranger).await.map(drop), unknown);
    assert_eq!(groups.leave(&stranger).await, unknown);
    assert_eq!(groups.changed(&stranger, 0).await.map(drop), unknown);
    assert_eq!(groups.release(&stranger, &Assignment::new()).await.map(drop), unknown);
    let commit = site.commit("stranger", lease.generation, vec![site.place("a", 0, 0)]).await;
    assert_eq!(commit, unknown);
}

pub async fn groups_are_listed_in_the_order_of_their_names<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 1).await;
    assert_eq!(site.groups().list().await.unwrap(), []);
    for of in ["zebra", "ant", "lion"] {
        let group = GroupName::new(of).unwrap();
        let asked = crate::engine::JoinRequest { group, ..request("m1", &["a"]) };
        soon("a join", site.groups().join(asked)).await.unwrap();
    }
    let listed = site.groups().list().await.unwrap();
    let names: Vec<_> = listed.iter().map(|g| (g.group.as_str(), g.members)).collect();
    assert_eq!(names, [("ant", 1), ("lion", 1), ("zebra", 1)]);
}

pub async fn members_survive_a_restart_of_the_gateway<H: GroupHarness>(site: &mut Site<H>) {
    if !site.log.harness().keeps_members() {
        return;
    }
    site.log.wide_topic("a", 4).await;
    site.join("m1", &["a"]).await;
    site.join("m2", &["a"]).await;
    let held = site.settled(&["m1", "m2"], 4).await;
    let before = site.renew("m1").await.unwrap();
    site.restart().await;
    let after = site.renew("m1").await.unwrap();
    assert_eq!((&after.assignment, after.generation), (&before.assignment, before.generation));
    assert_eq!(site.settled(&["m1", "m2"], 4).await, held);
}

pub async fn generations_grow_whatever_happens<H: GroupHarness>(site: &mut Site<H>) {
    site.log.wide_topic("a", 2).await;
    let mut newest = site.join("m1", &["a"]).await.generation;
    for deleted in [false, true, true] {
        site.leave("m1").await;
        if deleted {
            site.groups().delete(&group()).await.unwrap();
        }
        site.restart().await;
        let generation = site.join("m1", &["a"]).await.generation;
        assert!(generation > newest, "{generation} after {newest}");
        newest = generation;
    }
}
