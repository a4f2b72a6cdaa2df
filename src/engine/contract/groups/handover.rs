//! How partitions come from one member to another.

use super::fixture::{GroupHarness, Site, caller, group, short};
use crate::{
    domain::Generation,
    engine::{GroupError, GroupState, Lease, contract::fixture::P0},
};

/// m1 had all four partitions and is asked for two of them, which m2 is to
/// get. What m1 was told before and is told now.
async fn midway<H: GroupHarness>(site: &Site<H>) -> (Lease, Lease) {
    site.log.wide_topic("a", 4).await;
    site.join("m1", &["a"]).await;
    let all = site.until("m1", "all partitions", |l| short(&l.assignment).len() == 4).await;
    site.join("m2", &["a"]).await;
    let asked = site.until("m1", "the revocation", |l| !l.revoking.is_empty()).await;
    assert_eq!((short(&asked.assignment).len(), short(&asked.revoking).len()), (2, 2));
    assert!(asked.generation > all.generation && asked.grace > std::time::Duration::ZERO);
    (all, asked)
}

fn number(partition: &str) -> u32 {
    partition.split_once('/').unwrap().1.parse().unwrap()
}

fn is_fenced(result: Result<(), GroupError>) {
    assert!(matches!(result, Err(GroupError::Fenced(_))), "{result:?}");
}

pub async fn a_second_member_takes_its_share_once_it_is_released<H: GroupHarness>(
    site: &mut Site<H>,
) {
    let (_, asked) = midway(site).await;
    assert!(site.renew("m2").await.unwrap().assignment.is_empty());
    let found = site.groups().describe(&group()).await.unwrap();
    assert_eq!(found.state, GroupState::Rebalancing);
    let kept = site.groups().release(&caller("m1"), &asked.revoking).await.unwrap();
    assert!(kept.revoking.is_empty());
    let got = site.until("m2", "its share", |lease| !lease.assignment.is_empty()).await;
    assert_eq!(got.assignment, asked.revoking);
    assert!(got.generation > asked.generation);
    assert_eq!(site.renew("m1").await.unwrap().assignment, asked.assignment);
}

pub async fn what_is_being_revoked_may_still_be_committed<H: GroupHarness>(site: &mut Site<H>) {
    let (all, asked) = midway(site).await;
    let leaving = number(&short(&asked.revoking)[0]);
    let place = site.place("a", leaving, 0);
    site.commit("m1", all.generation, vec![place.clone()]).await.unwrap();
    site.commit("m1", asked.generation, vec![place.clone()]).await.unwrap();
    is_fenced(site.commit("m2", asked.generation, vec![place.clone()]).await);
    site.groups().release(&caller("m1"), &asked.revoking).await.unwrap();
    let got = site.until("m2", "its share", |lease| !lease.assignment.is_empty()).await;
    is_fenced(site.commit("m1", asked.generation, vec![place.clone()]).await);
    is_fenced(site.commit("m2", asked.generation, vec![place.clone()]).await);
    site.commit("m2", got.generation, vec![place]).await.unwrap();
}

pub async fn a_release_that_never_comes_ends_with_the_grace<H: GroupHarness>(site: &mut Site<H>) {
    let (all, asked) = midway(site).await;
    assert!(asked.grace <= site.log.harness().grace());
    // m1 lives, and does not let go.
    let mut got = site.renew("m2").await.unwrap();
    while got.assignment.is_empty() {
        site.renew("m1").await.unwrap();
        let waiting = caller("m2");
        let changed = site.groups().changed(&waiting, got.version);
        let wait = std::time::Duration::from_millis(300);
        if let Ok(changed) = tokio::time::timeout(wait, changed).await {
            got = changed.unwrap();
        }
    }
    assert_eq!(got.assignment, asked.revoking);
    let late = site.place("a", number(&short(&asked.revoking)[0]), 0);
    is_fenced(site.commit("m1", all.generation, vec![late]).await);
}

pub async fn a_hand_over_survives_its_source_leaving<H: GroupHarness>(site: &mut Site<H>) {
    midway(site).await;
    site.leave("m1").await;
    site.until("m2", "everything", |lease| short(&lease.assignment).len() == 4).await;
}

pub async fn a_hand_over_survives_its_target_leaving<H: GroupHarness>(site: &mut Site<H>) {
    midway(site).await;
    site.leave("m2").await;
    let held = site.settled(&["m1"], 4).await;
    assert_eq!(held["m1"].len(), 4);
}

pub async fn a_join_does_not_fence_those_who_keep<H: GroupHarness>(site: &mut Site<H>) {
    let (all, asked) = midway(site).await;
    let kept = number(&short(&asked.assignment)[0]);
    let place = site.place("a", kept, 0);
    site.commit("m1", all.generation, vec![place.clone()]).await.unwrap();
    site.settled(&["m1", "m2"], 4).await;
    site.commit("m1", all.generation, vec![place.clone()]).await.unwrap();
    let newest = site.renew("m1").await.unwrap().generation;
    site.commit("m1", newest, vec![place.clone()]).await.unwrap();
    is_fenced(site.commit("m1", Generation(newest.0 + 1_000), vec![place]).await);
}

pub async fn the_next_owner_finds_what_was_committed<H: GroupHarness>(site: &mut Site<H>) {
    let topic = site.log.wide_topic("a", 1).await;
    site.log.say(&topic, &["1", "2", "3"]).await;
    site.join("m1", &["a"]).await;
    let lease = site.until("m1", "its partition", |l| !l.assignment.is_empty()).await;
    let place = site.place("a", P0.0, 2);
    site.commit("m1", lease.generation, vec![place.clone()]).await.unwrap();
    site.leave("m1").await;
    site.join("m2", &["a"]).await;
    site.until("m2", "its partition", |l| !l.assignment.is_empty()).await;
    assert_eq!(site.commits_of("a").await, [place]);
}
