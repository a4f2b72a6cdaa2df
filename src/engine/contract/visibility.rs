//! When records become visible: not before they are as durable as the topic
//! says, never in part, and no later than the answer.

use super::{
    Harness, Log,
    fixture::{ALL, P0, P1, soon},
    records::{Plain, texts, values},
};
use crate::domain::{Durability, Offset};
use crate::engine::{Engine, Topic};
use std::{collections::BTreeSet, sync::Arc};

const BOTH: [Durability; 2] = [Durability::Synced, Durability::Buffered];

async fn topic_of<H: Harness>(log: &Log<H>, name: &str, durability: Durability) -> Arc<Topic> {
    log.new_topic_with(name, |config| {
        config.durability = durability;
        config.partitions = crate::domain::PartitionCount(2);
    })
    .await
}

pub async fn what_was_answered_can_be_read<H: Harness>(log: &mut Log<H>) {
    for (name, durability) in ["synced", "buffered"].into_iter().zip(BOTH) {
        let topic = topic_of(log, name, durability).await;
        let parts = [P0, P1].map(|p| (p, texts(&["x", "y"])));
        for round in 1..=10 {
            let done = log.send(&topic, &parts, None).await.unwrap();
            for part in done.parts {
                assert!(log.view(&topic, part.partition).tail >= part.base.plus(2));
                let (seen, _) = log.read_once(&topic, part.partition, part.base, ALL).await;
                assert_eq!(values(&seen), ["x", "y"], "{name}, round {round}");
            }
        }
    }
}

pub async fn a_publish_may_ask_for_more_than_its_topic<H: Harness>(log: &mut Log<H>) {
    let topic = topic_of(log, "a", Durability::Buffered).await;
    let parts = [(P0, texts(&["x"]))];
    let done = log.send_as(&topic, &parts, Durability::Synced, None).await.unwrap();
    assert!(log.view(&topic, P0).tail >= done.parts[0].base.plus(1));
    assert_eq!(log.said(&topic).await, ["x"]);
}

pub async fn a_publish_may_ask_for_less_and_is_seen_a_little_later<H: Harness>(log: &mut Log<H>) {
    let topic = topic_of(log, "a", Durability::Synced).await;
    let mut end = Offset::ZERO;
    for value in ["x", "y", "z"] {
        let parts = [(P0, texts(&[value]))];
        let done = log.send_as(&topic, &parts, Durability::Buffered, None).await.unwrap();
        end = done.parts[0].base.plus(1);
    }
    log.wait_for_tail(&topic, P0, end).await;
    assert_eq!(log.said(&topic).await, ["x", "y", "z"]);
}

pub async fn the_tail_stands_only_where_an_append_ends<H: Harness>(log: &mut Log<H>) {
    for (name, durability) in ["synced", "buffered"].into_iter().zip(BOTH) {
        let topic = topic_of(log, name, durability).await;
        let sizes = [1usize, 400, 3, 1_000, 50, 7];
        let total: usize = sizes.iter().sum();
        let appending = async {
            let mut ends = BTreeSet::from([Offset::ZERO]);
            for size in sizes {
                let part = log.publish(&topic, P0, vec![Plain::noise(300, 1); size]).await;
                ends.insert(part.base.plus(u64::from(part.count)));
            }
            ends
        };
        let following = async {
            let mut watch = log.watch_tail(&topic, P0).unwrap();
            let (mut tails, mut count, mut next) = (vec![], 0, Offset::ZERO);
            while count < total {
                let tail = *watch.borrow_and_update();
                tails.push(tail);
                while next < tail {
                    let (seen, after) = log.read_once(&topic, P0, next, ALL).await;
                    count += seen.len();
                    next = after;
                }
                if count < total {
                    soon("the tail", watch.changed()).await.unwrap();
                }
            }
            tails
        };
        let (ends, tails) = tokio::join!(appending, following);
        assert!(tails.is_sorted(), "the tail went back: {tails:?}");
        if log.promises().dense_offsets {
            assert!(tails.iter().all(|t| ends.contains(t)), "{tails:?} not all of {ends:?}");
        }
    }
}

pub async fn a_follower_sees_every_record_once_in_order<H: Harness>(log: &mut Log<H>) {
    let topic = topic_of(log, "a", Durability::Synced).await;
    let rounds = 60;
    let appending = async {
        for i in 0..rounds {
            log.say(&topic, &[&format!("{i} a"), &format!("{i} b")]).await;
        }
    };
    let follow = || async {
        let mut watch = log.watch_tail(&topic, P0).unwrap();
        let (mut said, mut next) = (vec![], Offset::ZERO);
        while said.len() < 2 * rounds {
            soon("the tail", watch.wait_for(|tail| *tail > next)).await.unwrap();
            let (seen, after) = log.read_once(&topic, P0, next, ALL).await;
            said.extend(values(&seen));
            next = after;
        }
        said
    };
    let ((), one, two) = tokio::join!(appending, follow(), follow());
    let sent: Vec<_> = (0..rounds).flat_map(|i| [format!("{i} a"), format!("{i} b")]).collect();
    assert_eq!(one, sent);
    assert_eq!(two, sent);
}

pub async fn a_watch_begins_at_the_tail_and_moves_with_it<H: Harness>(log: &mut Log<H>) {
    let topic = topic_of(log, "a", Durability::Synced).await;
    let part = log.say(&topic, &["x"]).await;
    let mut watch = log.watch_tail(&topic, P0).unwrap();
    let quiet = log.watch_tail(&topic, P1).unwrap();
    assert_eq!(*watch.borrow_and_update(), log.view(&topic, P0).tail);
    assert!(*watch.borrow() >= part.base.plus(1));
    let part = log.say(&topic, &["y"]).await;
    soon("the tail", watch.changed()).await.unwrap();
    assert!(*watch.borrow_and_update() >= part.base.plus(1));
    assert!(!quiet.has_changed().unwrap(), "the other partition's tail moved");
}

pub async fn watches_work_after_a_restart<H: Harness>(log: &mut Log<H>) {
    let topic = topic_of(log, "a", Durability::Synced).await;
    log.say(&topic, &["x"]).await;
    let tail = log.view(&topic, P0).tail;
    if log.restart().await {
        let mut watch = log.watch_tail(&topic, P0).unwrap();
        assert_eq!(*watch.borrow_and_update(), tail);
        log.say(&topic, &["y"]).await;
        soon("the tail", watch.changed()).await.unwrap();
        assert_eq!(log.said(&topic).await, ["x", "y"]);
    }
}
