//! How far a group has come.

use super::fixture::{GroupHarness, Site, group};
use crate::{
    domain::Generation,
    engine::{Engine, GroupCommit, GroupError, Topic, contract::fixture::soon},
};
use std::sync::Arc;

/// A topic with ten records in each partition.
async fn filled<H: GroupHarness>(site: &Site<H>, partitions: u32) -> Arc<Topic> {
    let topic = site.log.wide_topic("a", partitions).await;
    for partition in topic.config.partitions.ids() {
        let ten = crate::engine::contract::Plain::noise(10, 1);
        site.log.publish(&topic, partition, vec![ten; 10]).await;
    }
    topic
}

/// Its only member, which holds all of the topic.
async fn owner<H: GroupHarness>(site: &Site<H>, partitions: u32) -> Generation {
    filled(site, partitions).await;
    site.join("m1", &["a"]).await;
    site.until("m1", "its partitions", |lease| !lease.assignment.is_empty()).await.generation
}

fn noted(mut commit: GroupCommit, note: &str) -> GroupCommit {
    commit.metadata = Some(Arc::from(note));
    commit
}

pub async fn a_commit_is_found_when_it_is_answered<H: GroupHarness>(site: &mut Site<H>) {
    let generation = owner(site, 2).await;
    assert_eq!(site.committed("a").await, []);
    let first = noted(site.place("a", 0, 3), "by hand: ä");
    site.commit("m1", generation, vec![first.clone()]).await.unwrap();
    assert_eq!(site.commits_of("a").await, std::slice::from_ref(&first));
    let second = vec![site.place("a", 0, 4), site.place("a", 1, 10)];
    site.commit("m1", generation, second.clone()).await.unwrap();
    assert_eq!(site.commits_of("a").await, second);
    let described = soon("a description", site.groups().describe(&group())).await.unwrap();
    assert_eq!(described.commits, second);
}

pub async fn commits_are_made_together_or_not_at_all<H: GroupHarness>(site: &mut Site<H>) {
    let generation = owner(site, 3).await;
    site.join("m2", &["a"]).await;
    let held = site.settled(&["m1", "m2"], 3).await;
    let number = |p: &String| p.split_once('/').unwrap().1.parse::<u32>().unwrap();
    let (mine, other) = (number(&held["m1"][0]), number(&held["m2"][0]));
    let newest = site.renew("m1").await.unwrap().generation;
    let both = vec![site.place("a", mine, 3), site.place("a", other, 3)];
    for generation in [generation, newest] {
        let refused = site.commit("m1", generation, both.clone()).await;
        assert!(matches!(refused, Err(GroupError::Fenced(_))), "{refused:?}");
    }
    assert_eq!(site.committed("a").await, []);
}

pub async fn a_commit_does_not_go_back<H: GroupHarness>(site: &mut Site<H>) {
    let generation = owner(site, 1).await;
    for (next, stands) in [(5, 5), (3, 5), (5, 5), (6, 6), (0, 6)] {
        site.commit("m1", generation, vec![site.place("a", 0, next)]).await.unwrap();
        assert_eq!(site.committed("a").await, [(0, stands)]);
    }
}

pub async fn what_is_not_held_is_fenced<H: GroupHarness>(site: &mut Site<H>) {
    let generation = owner(site, 1).await;
    let place = vec![site.place("a", 0, 1)];
    let ahead = site.commit("m1", Generation(generation.0 + 1_000), place.clone()).await;
    assert!(matches!(ahead, Err(GroupError::Fenced(_))), "{ahead:?}");
    site.log.wide_topic("b", 1).await;
    let other = site.commit("m1", generation, vec![site.place("b", 0, 0)]).await;
    assert!(matches!(other, Err(GroupError::Fenced(_))), "{other:?}");
    site.commit("m1", generation, place).await.unwrap();
}

pub async fn outsiders_commit_only_while_nobody_is_in_the_group<H: GroupHarness>(
    site: &mut Site<H>,
) {
    filled(site, 1).await;
    site.outside(vec![site.place("a", 0, 4)]).await.unwrap();
    site.outside(vec![site.place("a", 0, 2)]).await.unwrap();
    assert_eq!(site.committed("a").await, [(0, 4)]);
    site.join("m1", &["a"]).await;
    let refused = site.outside(vec![site.place("a", 0, 5)]).await;
    assert_eq!(refused, Err(GroupError::NotEmpty(group())));
    site.leave("m1").await;
    site.outside(vec![site.place("a", 0, 5)]).await.unwrap();
    assert_eq!(site.committed("a").await, [(0, 5)]);
}

pub async fn a_reset_moves_back_while_nobody_is_in_the_group<H: GroupHarness>(site: &mut Site<H>) {
    let generation = owner(site, 2).await;
    let commits = vec![site.place("a", 0, 9), site.place("a", 1, 9)];
    site.commit("m1", generation, commits).await.unwrap();
    let back = vec![site.place("a", 0, 1)];
    let refused = soon("a reset", site.groups().reset(&group(), back.clone())).await;
    assert_eq!(refused, Err(GroupError::NotEmpty(group())));
    site.leave("m1").await;
    soon("a reset", site.groups().reset(&group(), back)).await.unwrap();
    assert_eq!(site.committed("a").await, [(0, 1), (1, 9)]);
}

pub async fn a_deleted_group_leaves_no_commits<H: GroupHarness>(site: &mut Site<H>) {
    let generation = owner(site, 1).await;
    site.commit("m1", generation, vec![site.place("a", 0, 9)]).await.unwrap();
    let refused = soon("a deletion", site.groups().delete(&group())).await;
    assert_eq!(refused, Err(GroupError::NotEmpty(group())));
    site.leave("m1").await;
    assert_eq!(site.committed("a").await, [(0, 9)]);
    soon("a deletion", site.groups().delete(&group())).await.unwrap();
    assert_eq!(site.committed("a").await, []);
    site.join("m1", &["a"]).await;
    assert_eq!(site.committed("a").await, []);
}

pub async fn commits_of_a_topic_that_was_made_again_are_not_found<H: GroupHarness>(
    site: &mut Site<H>,
) {
    let topic = filled(site, 1).await;
    site.outside(vec![site.place("a", 0, 9)]).await.unwrap();
    soon("a deletion", site.log.delete_topic(&topic)).await.unwrap();
    assert_eq!(site.committed("a").await, []);
    site.log.wide_topic("a", 1).await;
    assert_eq!(site.committed("a").await, []);
    // And the new one begins anew, though its offsets lie lower.
    site.outside(vec![site.place("a", 0, 0)]).await.unwrap();
    assert_eq!(site.committed("a").await, [(0, 0)]);
}

pub async fn commits_survive_a_restart<H: GroupHarness>(site: &mut Site<H>) {
    filled(site, 2).await;
    let commits = vec![noted(site.place("a", 0, 7), "seven"), site.place("a", 1, 2)];
    site.outside(commits.clone()).await.unwrap();
    for _ in 0..2 {
        site.restart().await;
        assert_eq!(site.commits_of("a").await, commits);
    }
}

pub async fn commits_at_once_are_all_made<H: GroupHarness>(site: &mut Site<H>) {
    let generation = owner(site, 4).await;
    let site = &*site;
    let commits = (0..40u64).map(|n| {
        let place = site.place("a", (n % 4) as u32, n / 4 + 1);
        site.commit("m1", generation, vec![place])
    });
    for done in futures_util::future::join_all(commits).await {
        done.unwrap();
    }
    assert_eq!(site.committed("a").await, [(0, 10), (1, 10), (2, 10), (3, 10)]);
}
