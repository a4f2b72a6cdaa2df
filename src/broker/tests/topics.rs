//! Making, listing, changing and trimming topics.

use super::*;
use crate::domain::{Offset, TopicPatch};

#[tokio::test]
async fn a_topic_is_made_once_and_then_compared() {
    let broker = broker();
    let asked = partitions(3);
    let made = broker.ensure_topic(&name("t"), &asked).await.unwrap();
    assert!(matches!(made, Ensured::Created(topic) if topic.config == asked));
    let again = broker.ensure_topic(&name("t"), &asked).await.unwrap();
    assert!(matches!(again, Ensured::Same(_)));
    let Ensured::Differs(differences) =
        broker.ensure_topic(&name("t"), &partitions(4)).await.unwrap()
    else {
        panic!("a topic of 3 partitions is not one of 4")
    };
    assert_eq!(differences[0].setting, "partitions");
}

#[tokio::test]
async fn settings_out_of_bounds_are_all_named() {
    let config = TopicConfig { max_record_bytes: 1, ..partitions(0) };
    let Err(BrokerError::TopicSettings(faults)) = broker().ensure_topic(&name("t"), &config).await
    else {
        panic!("no topic can have no partition")
    };
    assert_eq!(faults.len(), 2);
}

#[tokio::test]
async fn there_are_no_more_topics_and_partitions_than_allowed() {
    let broker = broker_with(Limits { topics: 2, partitions: 5, ..Limits::default() });
    topic(&broker, "a", 3).await;
    let error = broker.ensure_topic(&name("b"), &partitions(3)).await.unwrap_err();
    assert_eq!(error, BrokerError::PartitionsFull { max: 5, left: 2 });
    topic(&broker, "b", 1).await;
    let error = broker.ensure_topic(&name("c"), &partitions(1)).await.unwrap_err();
    assert_eq!(error, BrokerError::TopicsFull { max: 2 });
    // What is there may still be asked for, and room comes back.
    assert!(matches!(broker.ensure_topic(&name("b"), &partitions(1)).await, Ok(Ensured::Same(_))));
    broker.delete_topic(&name("a")).await.unwrap();
    topic(&broker, "c", 4).await;
}

#[tokio::test]
async fn the_list_is_cut_by_prefix_place_and_number() {
    let broker = broker();
    for called in ["b.2", "a", "b.1", "b.3"] {
        topic(&broker, called, 1).await;
    }
    let listed = |after: Option<&str>, limit| {
        let (topics, more) = broker.list_topics("b.", after.map(name).as_ref(), limit);
        (topics.iter().map(|t| t.name.to_string()).collect::<Vec<_>>(), more)
    };
    assert_eq!(listed(None, 2), (vec!["b.1".to_owned(), "b.2".to_owned()], true));
    assert_eq!(listed(Some("b.2"), 2), (vec!["b.3".to_owned()], false));
}

#[tokio::test]
async fn a_change_is_checked_and_keeps_the_rest() {
    let broker = broker();
    topic(&broker, "t", 2).await;
    let patch = TopicPatch { retention_ms: Some(Some(5_000)), ..TopicPatch::default() };
    let topic = broker.alter_topic(&name("t"), &patch).await.unwrap();
    assert_eq!(topic.config, TopicConfig { retention_ms: Some(5_000), ..partitions(2) });
    let patch = TopicPatch { retention_ms: Some(Some(1)), ..TopicPatch::default() };
    let refused = broker.alter_topic(&name("t"), &patch).await;
    assert!(matches!(refused, Err(BrokerError::TopicSettings(_))));
}

#[tokio::test]
async fn trimming_moves_the_start_of_one_partition_or_of_all() {
    let broker = broker();
    topic(&broker, "t", 2).await;
    publish(&broker, "t", &[at(0, "a"), at(0, "b"), at(1, "c")]).await;
    let trim = |partition: Option<u32>, to| broker.trim(&NAME, partition.map(PartitionId), to);
    static NAME: std::sync::LazyLock<TopicName> = std::sync::LazyLock::new(|| name("t"));
    let needed = trim(None, TrimTo::Offset(Offset(1))).await.unwrap_err();
    assert_eq!(needed, BrokerError::PartitionNeeded { partitions: 2 });
    let starts = trim(Some(0), TrimTo::Offset(Offset(1))).await.unwrap();
    assert_eq!(starts, [(PartitionId(0), Offset(1))]);
    let later = TrimTo::Time(Timestamp::from_millis(2_000_000));
    let starts = trim(None, later).await.unwrap();
    assert_eq!(starts, [(PartitionId(0), Offset(2)), (PartitionId(1), Offset(1))]);
}
