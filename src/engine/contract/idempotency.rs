//! Idempotency keys: a request that is repeated is done once, for as long as
//! its key is remembered, across restarts, and within a bound.

use super::{
    Harness, Log,
    fixture::{P0, P1, soon},
    records::{Plain, pack, texts},
};
use crate::domain::{Durability, IdempotencyKey, PartitionId};
use crate::engine::{Append, Appended, Engine, EngineError, Idempotency, Topic};
use std::{sync::Arc, time::Duration};

const TTL: Duration = Duration::from_secs(3_600);

fn request(key: &str, digest: u8) -> Option<Idempotency> {
    let key = IdempotencyKey::new(key).unwrap();
    Some(Idempotency { key, digest: [digest; 16], ttl: TTL })
}

/// Says one thing to the first partition, under a key.
async fn say<H: Harness>(
    log: &Log<H>,
    topic: &Arc<Topic>,
    value: &str,
    key: &str,
    digest: u8,
) -> Result<Appended, EngineError> {
    log.send(topic, &[(P0, texts(&[value]))], request(key, digest)).await
}

fn repeated(first: &Appended) -> Appended {
    assert!(!first.repeated);
    Appended { repeated: true, ..first.clone() }
}

pub async fn a_repeat_answers_what_the_first_did<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 3).await;
    let parts = [(PartitionId(2), texts(&["x", "y"])), (P0, texts(&["z"]))];
    let first = log.send(&topic, &parts, request("k", 1)).await.unwrap();
    log.say(&topic, &["between"]).await;
    for _ in 0..3 {
        assert_eq!(log.send(&topic, &parts, request("k", 1)).await, Ok(repeated(&first)));
    }
    assert_eq!(log.said(&topic).await, ["z", "between"]);
    assert_eq!(log.read_all(&topic, PartitionId(2)).await.len(), 2);
}

pub async fn other_keys_and_no_key_append_again<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    for key in ["k", "K", "k ", "kk"].map(str::trim_start) {
        assert!(!say(log, &topic, "x", key, 1).await.unwrap().repeated);
    }
    log.say(&topic, &["x"]).await;
    assert_eq!(log.said(&topic).await.len(), 5);
}

pub async fn the_same_key_with_another_body_conflicts<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let first = say(log, &topic, "x", "k", 1).await.unwrap();
    let other = say(log, &topic, "y", "k", 2).await;
    assert_eq!(other, Err(EngineError::IdempotencyConflict));
    assert_eq!(say(log, &topic, "x", "k", 1).await, Ok(repeated(&first)));
    assert_eq!(log.said(&topic).await, ["x"]);
}

fn append(topic: &Arc<Topic>, records: &[Plain], idempotency: Option<Idempotency>) -> Append {
    let parts = vec![(P0, pack(records)), (P1, pack(records))];
    Append { topic: topic.clone(), parts, durability: topic.config.durability, idempotency }
}

pub async fn concurrent_repeats_append_once<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    for round in 0..5 {
        let records = texts(&["x"]);
        let key = format!("k{round}");
        let all = (0..16).map(|_| log.append(append(&topic, &records, request(&key, 1))));
        let results = soon("repeats", futures_util::future::join_all(all)).await;
        let done: Vec<_> = results.into_iter().map(Result::unwrap).collect();
        assert_eq!(done.iter().filter(|d| !d.repeated).count(), 1);
        assert!(done.iter().all(|d| (&d.parts, d.appended) == (&done[0].parts, done[0].appended)));
    }
    assert_eq!(log.said(&topic).await, ["x"; 5]);
    assert_eq!(log.read_all(&topic, P1).await.len(), 5);
}

pub async fn of_concurrent_bodies_under_one_key_one_is_appended<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    let all =
        (0..8).map(|i| log.append(append(&topic, &texts(&[&i.to_string()]), request("k", i))));
    let results = soon("bodies", futures_util::future::join_all(all)).await;
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 1);
    let conflict = Err(EngineError::IdempotencyConflict);
    assert_eq!(results.iter().filter(|r| **r == conflict).count(), 7);
    let winner = results.iter().position(Result::is_ok).unwrap();
    assert_eq!(log.said(&topic).await, [winner.to_string()]);
}

pub async fn a_key_is_remembered_for_its_time_and_no_longer<H: Harness>(log: &mut Log<H>) {
    let Some(time) = log.harness().time().cloned() else { return };
    let topic = log.new_topic("a").await;
    let first = say(log, &topic, "x", "k", 1).await.unwrap();
    time.advance(TTL - Duration::from_secs(1));
    assert_eq!(say(log, &topic, "x", "k", 1).await, Ok(repeated(&first)));
    time.advance(Duration::from_secs(2));
    let again = say(log, &topic, "y", "k", 2).await.unwrap();
    assert!(!again.repeated);
    assert_eq!(say(log, &topic, "y", "k", 2).await, Ok(repeated(&again)));
    assert_eq!(log.said(&topic).await, ["x", "y"]);
}

pub async fn a_repeat_does_not_lengthen_the_time<H: Harness>(log: &mut Log<H>) {
    let Some(time) = log.harness().time().cloned() else { return };
    let topic = log.new_topic("a").await;
    say(log, &topic, "x", "k", 1).await.unwrap();
    time.advance(TTL / 2);
    assert!(say(log, &topic, "x", "k", 1).await.unwrap().repeated);
    time.advance(TTL * 3 / 4);
    assert!(!say(log, &topic, "x", "k", 1).await.unwrap().repeated);
}

pub async fn a_key_expires_though_its_append_is_not_synced_yet<H: Harness>(log: &mut Log<H>) {
    let Some(time) = log.harness().time().cloned() else { return };
    let topic = log.new_topic_with("a", |c| c.durability = Durability::Buffered).await;
    for round in 0..5 {
        assert!(!say(log, &topic, "x", "k", round).await.unwrap().repeated);
        time.advance(TTL * 2);
    }
}

pub async fn keys_are_of_their_topic<H: Harness>(log: &mut Log<H>) {
    let (a, b) = (log.new_topic("a").await, log.new_topic("b").await);
    assert!(!say(log, &a, "a", "k", 1).await.unwrap().repeated);
    assert!(!say(log, &b, "b", "k", 2).await.unwrap().repeated);
    assert!(say(log, &a, "a", "k", 1).await.unwrap().repeated);
    assert_eq!(log.said(&b).await, ["b"]);
}

pub async fn keys_go_with_their_topic<H: Harness>(log: &mut Log<H>) {
    let first = log.new_topic("a").await;
    say(log, &first, "x", "k", 1).await.unwrap();
    log.delete_topic(&first).await.unwrap();
    let second = log.new_topic("a").await;
    assert!(!say(log, &second, "y", "k", 2).await.unwrap().repeated);
    assert_eq!(log.said(&second).await, ["y"]);
}

pub async fn a_refused_append_does_not_take_the_key<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let refused = log.send(&topic, &[(P1, texts(&["x"]))], request("k", 1)).await;
    assert!(matches!(refused, Err(EngineError::PartitionUnknown { .. })));
    assert!(!say(log, &topic, "y", "k", 2).await.unwrap().repeated);
}

pub async fn keys_survive_a_restart<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let mut first = vec![];
    for i in 0..20 {
        first.push(say(log, &topic, &i.to_string(), &format!("k{i}"), i).await.unwrap());
    }
    for _ in 0..2 {
        if !log.restart().await {
            return;
        }
        for (i, first) in (0..).zip(&first) {
            let again = say(log, &topic, &i.to_string(), &format!("k{i}"), i).await;
            assert_eq!(again, Ok(repeated(first)));
        }
        let other = say(log, &topic, "x", "k3", 99).await;
        assert_eq!(other, Err(EngineError::IdempotencyConflict));
    }
    assert_eq!(log.said(&topic).await.len(), 20);
}

pub async fn a_key_expires_across_a_restart<H: Harness>(log: &mut Log<H>) {
    let Some(time) = log.harness().time().cloned() else { return };
    let topic = log.new_topic("a").await;
    say(log, &topic, "x", "k", 1).await.unwrap();
    time.advance(TTL * 2);
    if log.restart().await {
        assert!(!say(log, &topic, "y", "k", 2).await.unwrap().repeated);
    }
}

pub async fn keys_outlive_the_trimming_of_their_records<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let first = say(log, &topic, "x", "k", 1).await.unwrap();
    log.trim(&topic, P0, log.view(&topic, P0).tail).await.unwrap();
    assert_eq!(say(log, &topic, "x", "k", 1).await, Ok(repeated(&first)));
}

pub async fn when_no_more_keys_fit_new_ones_are_refused<H: Harness>(log: &mut Log<H>) {
    let Some(max) = log.harness().idempotency_max() else { return };
    let (topic, other) = (log.new_topic("a").await, log.new_topic("b").await);
    for i in 0..max {
        say(log, if i % 2 == 0 { &topic } else { &other }, "x", &format!("k{i}"), 1).await.unwrap();
    }
    let refused = say(log, &topic, "never", "one more", 1).await;
    assert_eq!(refused, Err(EngineError::IdempotencyFull(max)));
    assert!(say(log, &topic, "x", "k0", 1).await.unwrap().repeated, "known keys still serve");
    log.say(&topic, &["without a key"]).await;
    assert_eq!(log.said(&topic).await.len(), max.div_ceil(2) + 1);
    let Some(time) = log.harness().time() else { return };
    time.advance(TTL * 2);
    // Engines may sweep what has expired behind.
    let again = async {
        while say(log, &topic, "y", "one more", 1).await == Err(EngineError::IdempotencyFull(max)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("room for new keys", again).await;
    assert!(say(log, &topic, "y", "one more", 1).await.unwrap().repeated);
}
