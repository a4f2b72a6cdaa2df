//! Topics: made, listed, altered, deleted, made again; and what a closed
//! engine says.

use super::{
    Harness, Log,
    fixture::{ALL, P0, P1, name, soon},
    records::{Plain, pack, texts},
};
use crate::domain::{Durability, Offset, PartitionCount, PartitionId, Timestamp, TopicConfig};
use crate::engine::{Append, Engine, EngineError, Health, StateTable, Topic};
use std::{sync::Arc, time::Duration};

fn other_config() -> TopicConfig {
    TopicConfig {
        partitions: PartitionCount(3),
        retention_ms: Some(86_400_000),
        retention_bytes: Some(1 << 30),
        max_record_bytes: 4_096,
        durability: Durability::Buffered,
        keyed: true,
        ..TopicConfig::default()
    }
}

pub async fn a_created_topic_is_known_when_creation_answers<H: Harness>(log: &mut Log<H>) {
    let (name, config) = (name("orders.v1"), other_config());
    let made = soon("creating", log.create_topic(&name, &config)).await.unwrap();
    assert_eq!(log.topic(&name), Ok(made.clone()));
    assert_eq!(log.topics(), std::slice::from_ref(&made));
    assert_eq!((&made.name, &made.config), (&name, &config));
    if let Some(time) = log.harness().time() {
        assert_eq!(made.created, time.now());
    }
}

pub async fn a_taken_name_is_refused_whatever_the_settings<H: Harness>(log: &mut Log<H>) {
    let first = log.new_topic("a").await;
    let same = log.create_topic(&first.name, &first.config).await;
    let other = log.create_topic(&first.name, &other_config()).await;
    for refused in [same, other] {
        assert_eq!(refused, Err(EngineError::TopicExists(first.name.clone())));
    }
    assert_eq!(log.topic(&first.name), Ok(first));
}

pub async fn of_concurrent_creations_of_one_name_one_succeeds<H: Harness>(log: &mut Log<H>) {
    let (name, config) = (name("a"), other_config());
    let creations = (0..8).map(|_| log.create_topic(&name, &config));
    let results = soon("creating", futures_util::future::join_all(creations)).await;
    let made: Vec<_> = results.iter().filter_map(|r| r.as_ref().ok()).collect();
    assert_eq!(made.len(), 1, "{results:?}");
    assert_eq!(log.topic(&name).as_ref(), Ok(made[0]));
    let refused = Err(EngineError::TopicExists(name.clone()));
    assert_eq!(results.iter().filter(|r| **r == refused).count(), 7);
}

pub async fn an_unknown_topic_is_told_at_once<H: Harness>(log: &mut Log<H>) {
    log.new_topic("a").await;
    let unknown = name("b");
    assert_eq!(log.topic(&unknown), Err(EngineError::TopicUnknown(unknown)));
}

pub async fn topics_are_listed_in_the_order_of_their_names<H: Harness>(log: &mut Log<H>) {
    // Kafka has no two names that differ in '.' and '_' alone.
    for name in ["b", "a.b", "B", "a-b", "a", "a_c"] {
        log.new_topic(name).await;
    }
    let names: Vec<_> = log.topics().iter().map(|t| t.name.to_string()).collect();
    assert_eq!(names, ["B", "a", "a-b", "a.b", "a_c", "b"]);
}

pub async fn each_partition_begins_empty<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 5).await;
    for partition in topic.config.partitions.ids() {
        let view = log.view(&topic, partition);
        assert_eq!((view.start, view.tail, view.bytes), (Offset::ZERO, Offset::ZERO, 0));
        assert_eq!(view.trimmed_to, Offset::ZERO);
        assert_eq!(log.read_once(&topic, partition, view.tail, ALL).await, (vec![], view.tail));
    }
}

pub async fn a_partition_beyond_the_last_is_unknown<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    let partition = PartitionId(2);
    let unknown = EngineError::PartitionUnknown { topic: topic.name.clone(), partition };
    for error in errors_of_partition_calls(log, &topic, partition).await {
        assert_eq!(error, Some(unknown.clone()));
    }
}

/// What every call that names a partition answers, if it is an error.
async fn errors_of_partition_calls<H: Harness>(
    log: &Log<H>,
    topic: &Arc<Topic>,
    partition: PartitionId,
) -> [Option<EngineError>; 6] {
    [
        log.partition(topic, partition).err(),
        log.watch_tail(topic, partition).err(),
        log.read(topic, partition, Offset::ZERO, ALL).await.err(),
        log.offset_at(topic, partition, Timestamp::EPOCH).await.err(),
        log.trim(topic, partition, Offset::ZERO).await.err(),
        log.send(topic, &[(partition, texts(&["a"]))], None).await.err(),
    ]
}

pub async fn altering_changes_what_may_change_and_keeps_the_rest<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    log.say(&topic, &["kept"]).await;
    let altered = log.alter_topic(&topic, &other_config()).await.unwrap();
    let config = TopicConfig { partitions: PartitionCount(2), keyed: false, ..other_config() };
    assert_eq!(*altered, Topic { config, ..(*topic).clone() });
    assert_eq!(log.topic(&topic.name), Ok(altered.clone()));
    assert_eq!(log.said(&altered).await, ["kept"]);
}

pub async fn handles_from_before_an_alteration_still_serve<H: Harness>(log: &mut Log<H>) {
    let old = log.new_topic("a").await;
    let new = log.alter_topic(&old, &other_config()).await.unwrap();
    let part = log.say(&old, &["by the old handle"]).await;
    log.wait_for_tail(&old, P0, part.base.plus(1)).await;
    assert_eq!(log.said(&old).await, ["by the old handle"]);
    assert_eq!(log.said(&new).await, ["by the old handle"]);
    log.delete_topic(&old).await.unwrap();
    assert!(log.topic(&new.name).is_err());
}

pub async fn a_deleted_topic_is_unknown_to_every_call<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    log.say(&topic, &["gone"]).await;
    soon("deleting", log.delete_topic(&topic)).await.unwrap();
    expect_unknown(log, &topic).await;
    assert_eq!(log.topic(&topic.name), Err(EngineError::TopicUnknown(topic.name.clone())));
    assert_eq!(log.topics(), []);
}

async fn expect_unknown<H: Harness>(log: &Log<H>, topic: &Arc<Topic>) {
    let unknown = EngineError::TopicUnknown(topic.name.clone());
    for error in errors_of_partition_calls(log, topic, P1).await {
        assert_eq!(error, Some(unknown.clone()));
    }
    assert_eq!(log.alter_topic(topic, &topic.config).await, Err(unknown.clone()));
    assert_eq!(log.delete_topic(topic).await, Err(unknown));
}

pub async fn deletion_ends_every_watch_of_the_topic<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    let other = log.new_topic("b").await;
    let mut watches: Vec<_> =
        [P0, P1, P1].iter().map(|p| log.watch_tail(&topic, *p).unwrap()).collect();
    let other_watch = log.watch_tail(&other, P0).unwrap();
    log.delete_topic(&topic).await.unwrap();
    for watch in &mut watches {
        let ended = soon("the end of a watch", watch.wait_for(|_| false)).await;
        assert!(ended.is_err());
    }
    assert!(other_watch.has_changed().is_ok(), "the watch of another topic ended");
}

pub async fn deleting_one_topic_leaves_the_others<H: Harness>(log: &mut Log<H>) {
    let (a, b) = (log.new_topic("a").await, log.new_topic("b").await);
    log.say(&a, &["a"]).await;
    log.say(&b, &["b"]).await;
    log.delete_topic(&a).await.unwrap();
    assert_eq!(log.said(&b).await, ["b"]);
    log.say(&b, &["c"]).await;
    assert_eq!(log.said(&b).await, ["b", "c"]);
}

pub async fn the_same_name_again_is_another_topic<H: Harness>(log: &mut Log<H>) {
    let first = log.wide_topic("a", 2).await;
    log.say(&first, &["of the first"]).await;
    log.delete_topic(&first).await.unwrap();
    let second = log.wide_topic("a", 2).await;
    assert_ne!((first.incarnation, first.id), (second.incarnation, second.id));
    assert_ne!(first.incarnation, second.incarnation);
    assert_ne!(first.id, second.id);
    assert_eq!(log.said(&second).await, [""; 0]);
    log.say(&second, &["of the second"]).await;
    expect_unknown(log, &first).await;
    assert_eq!(log.said(&second).await, ["of the second"]);
}

pub async fn many_topics_of_many_partitions_are_kept_apart<H: Harness>(log: &mut Log<H>) {
    let mut topics = vec![];
    for i in 0..12 {
        topics.push(log.wide_topic(&format!("t{i}"), 16).await);
    }
    let label = |t: &Topic, p: PartitionId| Plain::text(&format!("{} {p}", t.name));
    for topic in &topics {
        let parts: Vec<_> =
            topic.config.partitions.ids().map(|p| (p, vec![label(topic, p)])).collect();
        log.send(topic, &parts, None).await.unwrap();
    }
    for topic in &topics {
        for partition in topic.config.partitions.ids() {
            let seen = log.read_all(topic, partition).await;
            assert_eq!(seen.len(), 1);
            assert_eq!(seen[0].record.value, label(topic, partition).value);
        }
    }
}

pub async fn topics_come_back_after_a_restart_as_they_were<H: Harness>(log: &mut Log<H>) {
    let plain = log.new_topic("plain").await;
    let set = log.create_topic(&name("set"), &other_config()).await.unwrap();
    let altered = log.new_topic("altered").await;
    let altered = log
        .alter_topic(&altered, &TopicConfig { retention_ms: Some(5_000), ..altered.config.clone() })
        .await
        .unwrap();
    let deleted = log.new_topic("deleted").await;
    log.say(&deleted, &["gone"]).await;
    log.delete_topic(&deleted).await.unwrap();
    if log.restart().await {
        log.expect_topics(&[altered, plain.clone(), set.clone()]).await;
        expect_unknown(log, &deleted).await;
        let again = log.new_topic("deleted").await;
        assert_eq!(log.said(&again).await, [""; 0]);
        for known in [&plain, &set, &deleted] {
            assert_ne!((known.id, known.incarnation), (again.id, again.incarnation));
            assert_ne!(known.id, again.id, "an id was used again");
        }
    }
}

pub async fn a_closed_engine_refuses_every_call<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    log.say(&topic, &["a"]).await;
    assert_eq!(log.health(), Health::Ready);
    log.close().await;
    for error in errors_of_partition_calls(log, &topic, P0).await {
        assert_eq!(error, Some(EngineError::Closed));
    }
    let closed = Err(EngineError::Closed);
    assert_eq!(log.create_topic(&name("b"), &topic.config).await, closed);
    assert_eq!(log.alter_topic(&topic, &topic.config).await, closed);
    assert_eq!(log.topic(&topic.name), closed);
    assert_eq!(log.delete_topic(&topic).await, Err(EngineError::Closed));
    assert_eq!(log.put(vec![]).await, Err(EngineError::Closed));
    assert!(matches!(log.health(), Health::Down(_)));
    soon("closing twice", log.close()).await;
}

pub async fn what_was_answered_before_closing_is_there_after<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic_with("a", |c| c.durability = Durability::Buffered).await;
    let records = texts(&["1"]);
    let appends = (0..50).map(|_| {
        let parts = vec![(P0, pack(&records))];
        let durability = Durability::Buffered;
        log.append(Append { topic: topic.clone(), parts, durability, idempotency: None })
    });
    let (results, ()) = tokio::join!(futures_util::future::join_all(appends), async {
        tokio::time::sleep(Duration::from_millis(1)).await;
        log.close().await;
    });
    let answered = results.iter().filter(|r| r.is_ok()).count();
    if log.restart().await {
        assert!(log.said(&topic).await.len() >= answered);
    }
}
