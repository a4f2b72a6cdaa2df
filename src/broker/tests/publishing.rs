//! Which partition records go to, what is refused, and what a repeat is told.

use super::*;
use crate::domain::{PackError, limits, partitioner};

#[tokio::test]
async fn a_key_decides_and_without_one_partitions_take_turns() {
    let broker = broker();
    topic(&broker, "t", 3).await;
    let wanted = partitioner::by_key(b"k", PartitionCount(3)).0;
    let placed = publish(&broker, "t", &[keyed("k", "1"), keyed("k", "2")]).await;
    assert_eq!(placed, [(wanted, 0), (wanted, 1)]);
    let mut turns = vec![];
    for _ in 0..6 {
        turns.push(publish(&broker, "t", &[text("x")]).await[0].0);
    }
    assert_eq!(turns, [0, 1, 2, 0, 1, 2]);
}

#[tokio::test]
async fn answers_stand_in_the_order_of_the_records() {
    let broker = broker();
    topic(&broker, "t", 40).await;
    let asked: Vec<u32> = (0..200).map(|i| i * 7 % 40).collect();
    let drafts: Vec<_> = asked.iter().map(|p| at(*p, "x")).collect();
    let placed = publish(&broker, "t", &drafts).await;
    let mut next = [0; 40];
    for (asked, (partition, offset)) in asked.iter().zip(placed) {
        assert_eq!((partition, offset), (*asked, next[*asked as usize]));
        next[*asked as usize] += 1;
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_taken_is_named_and_leaves_nothing_behind() {
    let broker = broker();
    let topic = topic(&broker, "t", 2).await;
    let mut publish = PublishBuilder::new(&broker, topic, None);
    publish.push(&at(0, "first")).unwrap();
    let large = "x".repeat(limits::DEFAULT_RECORD_BYTES as usize + 1);
    let error = publish.push(&at(1, &large)).unwrap_err();
    let BrokerError::Record { index: 1, fault: RecordFault::Pack(fault) } = error else {
        panic!("{error}")
    };
    assert!(matches!(fault, PackError::RecordTooLarge { .. }));
    let error = publish.push(&at(2, "x")).unwrap_err();
    let fault = RecordFault::PartitionUnknown(PartitionId(2));
    assert_eq!(error, BrokerError::Record { index: 1, fault });
    // The engine takes no empty part, so none may have been left.
    let published = publish.commit(None).await.unwrap();
    assert_eq!(published.parts.len(), 1);
}

#[tokio::test]
async fn a_keyed_topic_chooses_by_key_alone() {
    let broker = broker();
    let config = TopicConfig { keyed: true, ..partitions(2) };
    broker.ensure_topic(&name("t"), &config).await.unwrap();
    let mut publish = PublishBuilder::new(&broker, broker.topic(&name("t")).unwrap(), None);
    let error = publish.push(&at(0, "x")).unwrap_err();
    let fault = RecordFault::PartitionNotFree;
    assert_eq!(error, BrokerError::Record { index: 0, fault });
    publish.push(&text("without a key")).unwrap();
}

#[tokio::test]
async fn a_publish_has_some_records_and_not_too_many() {
    let broker = broker();
    let topic = topic(&broker, "t", 1).await;
    let empty = PublishBuilder::new(&broker, Arc::clone(&topic), None);
    assert_eq!(empty.commit(None).await.unwrap_err(), BrokerError::BatchEmpty);
    let mut publish = PublishBuilder::new(&broker, topic, None);
    for _ in 0..limits::MAX_BATCH_RECORDS {
        publish.push(&text("x")).unwrap();
    }
    let max = limits::MAX_BATCH_RECORDS;
    assert_eq!(publish.push(&text("x")).unwrap_err(), BrokerError::BatchTooLarge { max });
}

#[tokio::test]
async fn a_repeat_is_told_what_the_first_did_also_without_keys() {
    let broker = broker();
    let topic = topic(&broker, "t", 5).await;
    let once = async |digest: u8| {
        let key = IdempotencyKey::new("order-17").unwrap();
        let idempotency = broker.idempotency(key, [digest; 16]);
        let mut publish = PublishBuilder::new(&broker, Arc::clone(&topic), Some(idempotency));
        for value in ["a", "b", "c"] {
            publish.push(&text(value)).unwrap();
        }
        publish.commit(None).await
    };
    let first = once(1).await.unwrap();
    publish(&broker, "t", &[text("between"), text("others")]).await;
    let again = once(1).await.unwrap();
    assert!(again.repeated && !first.repeated);
    assert!(first.records().eq(again.records()));
    let other = once(2).await.unwrap_err();
    assert_eq!(other, BrokerError::Engine(crate::engine::EngineError::IdempotencyConflict));
}

#[tokio::test]
async fn too_much_at_once_is_refused_until_something_is_done() {
    let broker = broker_with(Limits { inflight_bytes: 10, ..Limits::default() });
    let permit = broker.admit(8).unwrap();
    let refused = broker.admit(3).err();
    assert_eq!(refused, Some(BrokerError::Overloaded(Overload::Bytes)));
    drop(permit);
    assert!(broker.admit(3).is_ok());
}
