//! Where readers begin, how they go on, and how they share.

use super::*;
use crate::{
    domain::{Cursor, Offset},
    engine::EngineError,
};

/// `t` with `a` to `e` in partition 0.
async fn five() -> Arc<Broker> {
    let broker = broker();
    topic(&broker, "t", 1).await;
    for value in ["a", "b", "c", "d", "e"] {
        publish(&broker, "t", &[text(value)]).await;
    }
    broker
}

async fn resume(
    broker: &Arc<Broker>,
    topic: &str,
    cursor: Cursor,
    partitions: Option<Vec<PartitionId>>,
) -> Result<Reader, BrokerError> {
    let from = ReadFrom::Cursor(cursor);
    let request = ReadRequest { topics: vec![name(topic)], partitions, from, keys: vec![] };
    Reader::open(broker, request).await
}

#[tokio::test]
async fn each_start_is_where_it_says() {
    let broker = five().await;
    for (start, first) in [
        (StartAt::Earliest, vec!["t/0: a b c d e"]),
        (StartAt::Latest, vec![]),
        (StartAt::Last(2), vec!["t/0: d e"]),
        (StartAt::Last(99), vec!["t/0: a b c d e"]),
        (StartAt::Offset(Offset(3)), vec!["t/0: d e"]),
        (StartAt::Offset(Offset(5)), vec![]),
        (StartAt::Time(Timestamp::from_millis(1_000_000)), vec!["t/0: a b c d e"]),
        (StartAt::Time(Timestamp::from_millis(1_000_001)), vec![]),
    ] {
        let mut reader = open(&broker, &["t"], start).await;
        assert_eq!(drain(&mut reader, 100).await, first, "{start:?}");
    }
}

#[tokio::test]
async fn a_start_that_cannot_be_is_refused_at_once() {
    let broker = five().await;
    topic(&broker, "two", 2).await;
    let open = async |topic: &str, partition: Option<u32>, start| {
        let partitions = partition.map(|p| vec![PartitionId(p)]);
        let from = ReadFrom::Start(start);
        let request = ReadRequest { topics: vec![name(topic)], partitions, from, keys: vec![] };
        Reader::open(&broker, request).await.err().unwrap()
    };
    let asked = Offset(6);
    let (start, tail) = (Offset(0), Offset(5));
    let out = EngineError::OffsetOutOfRange { asked, start, tail };
    assert_eq!(open("t", None, StartAt::Offset(asked)).await, out.into());
    let unknown = EngineError::TopicUnknown(name("u"));
    assert_eq!(open("u", None, StartAt::Latest).await, unknown.into());
    let partition = PartitionId(1);
    let unknown = EngineError::PartitionUnknown { topic: name("t"), partition };
    assert_eq!(open("t", Some(1), StartAt::Latest).await, unknown.into());
    let needed = BrokerError::PartitionNeeded { partitions: 2 };
    assert_eq!(open("two", None, StartAt::Offset(Offset(0))).await, needed);
}

#[tokio::test]
async fn a_cursor_goes_on_where_its_reader_was() {
    let broker = five().await;
    let mut reader = open(&broker, &["t"], StartAt::Earliest).await;
    let event = reader.next(budget(2)).await.unwrap().unwrap();
    assert_eq!(told(&event), "t/0: a b");
    let cursor = Cursor::decode(&reader.cursor().encode()).unwrap();
    let mut other = resume(&broker, "t", cursor, None).await.unwrap();
    assert_eq!(drain(&mut other, 2).await, ["t/0: c d", "t/0: e"]);
}

#[tokio::test]
async fn a_cursor_of_something_else_is_refused() {
    let broker = five().await;
    topic(&broker, "u", 1).await;
    let cursor = open(&broker, &["t"], StartAt::Latest).await.cursor();
    let foreign = |result: Result<Reader, _>| matches!(result, Err(BrokerError::CursorForeign(_)));
    assert!(foreign(resume(&broker, "u", cursor.clone(), None).await));
    let partitions = Some(vec![PartitionId(0), PartitionId(1)]);
    assert!(foreign(resume(&broker, "t", cursor.clone(), partitions).await));
    let mut beyond = cursor.clone();
    let positions = beyond.topics.get_mut(&name("t")).unwrap();
    positions.partitions.get_mut(&PartitionId(0)).unwrap().next = Offset(6);
    assert!(foreign(resume(&broker, "t", beyond, None).await));
    assert!(foreign(resume(&broker, "t", Cursor::default(), None).await));

    broker.delete_topic(&name("t")).await.unwrap();
    let gone = BrokerError::CursorTopicGone(name("t"));
    assert_eq!(resume(&broker, "t", cursor.clone(), None).await.err(), Some(gone.clone()));
    topic(&broker, "t", 1).await;
    assert_eq!(resume(&broker, "t", cursor, None).await.err(), Some(gone));
}

#[tokio::test]
async fn a_budget_may_be_exceeded_by_the_first_record_alone() {
    let broker = five().await;
    let mut reader = open(&broker, &["t"], StartAt::Earliest).await;
    let little = ReadBudget { records: 10, bytes: 1 };
    assert_eq!(told(&reader.next(little).await.unwrap().unwrap()), "t/0: a");
    assert_eq!(told(&reader.next_of_page(little, false).await.unwrap().unwrap()), "full");
    assert_eq!(told(&reader.next(little).await.unwrap().unwrap()), "t/0: b");
}

#[tokio::test]
async fn partitions_take_turns_and_share_a_page() {
    let broker = broker();
    topic(&broker, "t", 3).await;
    for i in 0..4 {
        let value = i.to_string();
        publish(&broker, "t", &[at(0, &value), at(1, &value)]).await;
    }
    let mut reader = open(&broker, &["t"], StartAt::Earliest).await;
    let lines = drain(&mut reader, 4).await;
    assert_eq!(lines, ["t/0: 0 1 2 3", "t/1: 0 1 2 3"]);
    let mut reader = open(&broker, &["t"], StartAt::Earliest).await;
    let mut lines = vec![];
    while let Some(event) = reader.next_of_page(budget(4), true).await.unwrap() {
        lines.push(told(&event));
    }
    assert_eq!(lines, ["t/0: 0 1", "t/1: 0 1", "t/0: 2 3", "t/1: 2 3"]);
}

#[tokio::test]
async fn pages_of_one_record_come_to_every_partition() {
    let broker = broker();
    topic(&broker, "t", 2).await;
    for _ in 0..50 {
        publish(&broker, "t", &[at(0, "busy")]).await;
    }
    publish(&broker, "t", &[at(1, "quiet")]).await;
    let mut cursor = open(&broker, &["t"], StartAt::Earliest).await.cursor();
    let mut pages = vec![];
    for _ in 0..4 {
        let mut reader = resume(&broker, "t", cursor, None).await.unwrap();
        pages.push(told(&reader.next(budget(1)).await.unwrap().unwrap()));
        cursor = reader.cursor();
    }
    assert!(pages.contains(&"t/1: quiet".to_owned()), "{pages:?}");
}

#[tokio::test]
async fn several_topics_are_read_as_one() {
    let broker = five().await;
    topic(&broker, "u", 1).await;
    publish(&broker, "u", &[text("x")]).await;
    let mut reader = open(&broker, &["t", "u"], StartAt::Last(1)).await;
    let mut lines = drain(&mut reader, 100).await;
    lines.sort();
    assert_eq!(lines, ["t/0: e", "u/0: x"]);
    assert_eq!(reader.cursor().topics.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_stops_at_the_tail_does_not_chase_it() {
    let broker = five().await;
    let mut reader = open(&broker, &["t"], StartAt::Last(2)).await;
    reader.stop_at_tail();
    publish(&broker, "t", &[text("late")]).await;
    assert_eq!(drain(&mut reader, 100).await, ["t/0: d e"]);
    assert_eq!(soon(reader.wait()).await, None);
}

#[tokio::test(start_paused = true)]
async fn waiting_ends_with_the_next_record_of_any_partition() {
    let broker = broker();
    topic(&broker, "t", 3).await;
    let mut reader = open(&broker, &["t"], StartAt::Latest).await;
    assert_eq!(soon(reader.wait()).await, None);
    let wait = reader.wait();
    let publish = async {
        tokio::time::sleep(Duration::from_millis(10)).await;
        publish(&broker, "t", &[at(2, "now")]).await;
    };
    let (woken, ()) = tokio::join!(soon(wait), publish);
    assert_eq!(woken, Some(()));
    assert_eq!(drain(&mut reader, 100).await, ["t/2: now"]);
}

#[tokio::test(start_paused = true)]
async fn nothing_slips_between_reading_the_tail_and_waiting() {
    let broker = broker();
    topic(&broker, "t", 1).await;
    let mut reader = open(&broker, &["t"], StartAt::Latest).await;
    assert_eq!(drain(&mut reader, 100).await, [""; 0]);
    publish(&broker, "t", &[text("between")]).await;
    assert_eq!(soon(reader.wait()).await, Some(()));
    assert_eq!(drain(&mut reader, 100).await, ["t/0: between"]);
}

#[tokio::test(start_paused = true)]
async fn deleting_the_topic_wakes_and_ends_its_readers() {
    let broker = five().await;
    let mut reader = open(&broker, &["t"], StartAt::Latest).await;
    broker.delete_topic(&name("t")).await.unwrap();
    assert_eq!(soon(reader.wait()).await, Some(()));
    let error = reader.next(budget(1)).await.unwrap_err();
    assert_eq!(error, EngineError::TopicUnknown(name("t")).into());
}

#[tokio::test(start_paused = true)]
async fn a_reader_lets_go_of_some_partitions_and_takes_over_others_where_they_are() {
    let broker = broker();
    topic(&broker, "t", 3).await;
    topic(&broker, "u", 1).await;
    let mut reader = Reader::of_nothing(&broker);
    assert_eq!(drain(&mut reader, 100).await, [""; 0]);
    assert!(soon(reader.wait()).await.is_none());
    reader.absorb(open(&broker, &["t"], StartAt::Earliest).await);
    publish(&broker, "t", &[at(0, "a"), at(1, "b"), at(2, "c")]).await;
    let mut lines = drain(&mut reader, 100).await;
    lines.sort();
    assert_eq!(lines, ["t/0: a", "t/1: b", "t/2: c"]);
    // At the tail of all, it waits for those that it still has.
    assert!(soon(reader.wait()).await.is_none());
    reader.retain(|_, partition| partition != PartitionId(1));
    publish(&broker, "t", &[at(1, "d")]).await;
    assert!(soon(reader.wait()).await.is_none());
    publish(&broker, "u", &[text("e")]).await;
    reader.absorb(open(&broker, &["u"], StartAt::Earliest).await);
    assert!(reader.reads(&name("u"), PartitionId(0)) && !reader.reads(&name("t"), PartitionId(1)));
    assert!(soon(reader.wait()).await.is_some());
    publish(&broker, "t", &[at(0, "f"), at(1, "g")]).await;
    let mut lines = drain(&mut reader, 100).await;
    lines.sort();
    assert_eq!(lines, ["t/0: f", "u/0: e"]);
    let cursor = reader.cursor();
    let held: Vec<_> = cursor.topics[&name("t")].partitions.keys().map(|p| p.0).collect();
    assert_eq!(held, [0, 2]);
    reader.retain(|_, _| false);
    assert_eq!(drain(&mut reader, 100).await, [""; 0]);
    assert!(reader.cursor().topics.is_empty());
}
