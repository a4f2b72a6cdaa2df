//! Readers that are confined to keys, in history and live.

use super::*;
use crate::{
    domain::{Offset, limits, partitioner},
    engine::EngineError,
};

async fn keyed_topic(broker: &Arc<Broker>, called: &str, n: u32) {
    let config = TopicConfig { keyed: true, ..partitions(n) };
    broker.ensure_topic(&name(called), &config).await.unwrap();
}

/// As [`drain`], without the steps that only moved on.
async fn found(reader: &mut Reader) -> Vec<String> {
    let mut lines = drain(reader, 100).await;
    lines.retain(|line| line != "skipped");
    lines
}

fn next_of(reader: &Reader, partition: u32) -> u64 {
    reader.cursor().topics[&name("t")].partitions[&PartitionId(partition)].next.0
}

#[tokio::test]
async fn only_records_with_the_keys_come_and_the_place_moves_past_all() {
    let broker = broker();
    topic(&broker, "t", 1).await;
    for n in 0..30 {
        let (key, value) = (format!("k{}", n % 3), n.to_string());
        publish(&broker, "t", &[keyed(&key, &value), text("without")]).await;
    }
    let mut one = open_keys(&broker, &["t"], StartAt::Earliest, &["k1"]).await;
    assert_eq!(found(&mut one).await, ["t/0: 1 4 7 10 13 16 19 22 25 28"]);
    assert_eq!(next_of(&one, 0), 60);
    let mut two = open_keys(&broker, &["t"], StartAt::Last(12), &["k0", "k2", "k2"]).await;
    assert_eq!(found(&mut two).await, ["t/0: 24 26 27 29"]);
    let mut none = open_keys(&broker, &["t"], StartAt::Earliest, &["k9"]).await;
    assert_eq!(drain(&mut none, 100).await, ["skipped"]);
    assert_eq!(next_of(&none, 0), 60);
}

#[tokio::test]
async fn a_page_counts_what_it_finds_and_goes_on_after_it() {
    let broker = broker();
    topic(&broker, "t", 1).await;
    for n in 0..10 {
        publish(&broker, "t", &[keyed("a", &n.to_string()), keyed("b", "x")]).await;
    }
    let mut reader = open_keys(&broker, &["t"], StartAt::Earliest, &["a"]).await;
    assert_eq!(told(&reader.next(budget(3)).await.unwrap().unwrap()), "t/0: 0 1 2");
    assert_eq!(next_of(&reader, 0), 5);
    assert_eq!(told(&reader.next(budget(3)).await.unwrap().unwrap()), "t/0: 3 4 5");
}

#[tokio::test]
async fn a_keyed_topic_is_read_where_its_keys_are_and_no_further() {
    let broker = broker();
    keyed_topic(&broker, "t", 8).await;
    topic(&broker, "free", 8).await;
    publish(&broker, "t", &[keyed("a", "1"), keyed("b", "2")]).await;
    // Without `keyed` a record with a key may be anywhere.
    let elsewhere = RecordDraft { partition: Some(PartitionId(7)), ..keyed("a", "3") };
    publish(&broker, "free", &[keyed("a", "1"), elsewhere]).await;
    let mut reader = open_keys(&broker, &["t"], StartAt::Earliest, &["a"]).await;
    let at = partitioner::by_key(b"a", PartitionCount(8));
    assert_eq!(found(&mut reader).await, [format!("t/{at}: 1")]);
    let places = &reader.cursor().topics[&name("t")].partitions;
    assert_eq!(places.keys().copied().collect::<Vec<_>>(), [at]);
    let mut free = open_keys(&broker, &["free"], StartAt::Earliest, &["a"]).await;
    assert_eq!(found(&mut free).await.len(), 2);
    let config = broker.topic(&name("t")).unwrap();
    let mut refused = PublishBuilder::new(&broker, config, None);
    let fault = RecordFault::PartitionNotFree;
    let error = refused.push(&super::at(0, "x")).unwrap_err();
    assert_eq!(error, BrokerError::Record { index: 0, fault });
}

#[tokio::test]
async fn too_many_keys_and_a_cursor_of_others_are_refused() {
    let broker = broker();
    keyed_topic(&broker, "t", 64).await;
    let of = |keys: Vec<String>, from| {
        let keys = keys.into_iter().map(Into::into).collect();
        let request = ReadRequest { topics: vec![name("t")], partitions: None, from, keys };
        Reader::open(&broker, request)
    };
    let latest = || ReadFrom::Start(StartAt::Latest);
    let many = |n: usize| (0..n).map(|n| format!("k{n}")).collect();
    assert!(of(many(limits::MAX_READ_KEYS), latest()).await.is_ok());
    let error = of(many(limits::MAX_READ_KEYS + 1), latest()).await.err();
    assert_eq!(error, Some(BrokerError::TooManyKeys { max: limits::MAX_READ_KEYS }));
    let cursor = of(vec!["a".into()], latest()).await.unwrap().cursor();
    assert!(of(vec!["a".into()], ReadFrom::Cursor(cursor.clone())).await.is_ok());
    let other = of(vec!["b".into()], ReadFrom::Cursor(cursor)).await.err();
    assert!(matches!(other, Some(BrokerError::CursorForeign(_))), "{other:?}");
}

#[tokio::test(start_paused = true)]
async fn a_live_reader_is_woken_by_its_keys_alone() {
    let broker = broker();
    topic(&broker, "t", 2).await;
    let mut reader = open_keys(&broker, &["t"], StartAt::Latest, &["a", "b"]).await;
    assert_eq!(soon(reader.wait()).await, None);
    for _ in 0..5 {
        publish(&broker, "t", &[keyed("x", "1"), keyed("y", "2"), text("3")]).await;
        assert_eq!(soon(reader.wait()).await, None);
    }
    // The place has moved on all the same.
    assert_eq!((0..2).map(|p| next_of(&reader, p)).sum::<u64>(), 15);
    publish(&broker, "t", &[keyed("x", "4"), keyed("a", "5"), keyed("b", "6")]).await;
    assert_eq!(soon(reader.wait()).await, Some(()));
    let mut lines = found(&mut reader).await;
    lines.sort();
    assert_eq!(lines.join(" ").replace("t/0: ", "").replace("t/1: ", "").len(), 3);
    assert_eq!((reader.behind(), soon(reader.wait()).await), (0, None));
}

#[tokio::test(start_paused = true)]
async fn readers_of_one_key_share_what_is_found() {
    let broker = broker();
    topic(&broker, "t", 1).await;
    let mut readers = vec![];
    for _ in 0..3 {
        let mut reader = open_keys(&broker, &["t"], StartAt::Latest, &["a"]).await;
        assert_eq!(soon(reader.wait()).await, None);
        readers.push(reader);
    }
    publish(&broker, "t", &[keyed("x", "1"), keyed("a", "2")]).await;
    let mut got = vec![];
    for reader in &mut readers {
        assert_eq!(soon(reader.wait()).await, Some(()));
        match reader.next(budget(10)).await.unwrap() {
            Some(ReadEvent::Records { batches, .. }) => got.extend(batches),
            other => panic!("{other:?}"),
        }
    }
    assert!(got.len() == 3 && got.iter().all(|b| Arc::ptr_eq(b, &got[0]) && b.is_shared()));
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_lets_much_lie_gets_all_of_it_in_order() {
    let broker = broker();
    topic(&broker, "t", 1).await;
    let mut reader = open_keys(&broker, &["t"], StartAt::Latest, &["a"]).await;
    assert_eq!(soon(reader.wait()).await, None);
    let mut expected = vec![];
    for n in 0..5_000 {
        let n = n.to_string();
        publish(&broker, "t", &[keyed("x", "no"), keyed("a", &n)]).await;
        expected.push(n);
        if expected.len() % 1_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut got = vec![];
    while got.len() < expected.len() {
        assert_eq!(soon(reader.wait()).await, Some(()));
        let lines = found(&mut reader).await;
        got.extend(lines.iter().flat_map(|line| line[5..].split(' ').map(str::to_owned)));
    }
    assert_eq!(got, expected);
    assert_eq!(soon(reader.wait()).await, None);
    assert_eq!(next_of(&reader, 0), 10_000);
}

#[tokio::test(start_paused = true)]
async fn what_was_found_and_then_trimmed_is_lost_and_said_so() {
    let broker = broker();
    topic(&broker, "t", 1).await;
    let mut reader = open_keys(&broker, &["t"], StartAt::Latest, &["a"]).await;
    assert_eq!(soon(reader.wait()).await, None);
    publish(&broker, "t", &[keyed("a", "1"), keyed("a", "2")]).await;
    assert_eq!(soon(reader.wait()).await, Some(()));
    broker.trim(&name("t"), None, TrimTo::Offset(Offset(1))).await.unwrap();
    assert_eq!(found(&mut reader).await, ["t/0 lost 0-0 Trimmed", "t/0: 2"]);
}

#[tokio::test(start_paused = true)]
async fn a_driver_reads_from_the_store_what_is_not_in_memory() {
    let (broker, engine) = scripted().await;
    let mut reader = open_keys(&broker, &["t"], StartAt::Latest, &["a"]).await;
    assert_eq!(soon(reader.wait()).await, None);
    engine.forgets(true);
    publish(&broker, "t", &[keyed("a", "1"), keyed("x", "2")]).await;
    assert_eq!(soon(reader.wait()).await, Some(()));
    assert_eq!(found(&mut reader).await, ["t/0: 1"]);
    // A part of the store that cannot be read is each reader's own affair.
    engine.next_read_fails(EngineError::Lost { to: Offset(3) });
    publish(&broker, "t", &[keyed("x", "3"), keyed("a", "4")]).await;
    assert_eq!(soon(reader.wait()).await, Some(()));
    assert_eq!(found(&mut reader).await, ["t/0: 4"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_drives_once_the_readers_are_gone() {
    let broker = broker();
    topic(&broker, "t", 4).await;
    for _ in 0..2 {
        let mut reader = open_keys(&broker, &["t"], StartAt::Latest, &["a"]).await;
        assert_eq!(soon(reader.wait()).await, None);
        assert_eq!(broker.tasks.len(), 4);
        drop(reader);
        broker.close(tokio::time::Instant::now() + Duration::from_secs(1)).await;
        assert_eq!((broker.tasks.len(), broker.hubs.sizes()), (0, (0, 0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_wakes_and_ends_its_readers_of_keys() {
    let broker = broker();
    topic(&broker, "t", 1).await;
    let mut reader = open_keys(&broker, &["t"], StartAt::Latest, &["a"]).await;
    assert_eq!(soon(reader.wait()).await, None);
    let t = name("t");
    let (woken, deleted) = tokio::join!(soon(reader.wait()), broker.delete_topic(&t));
    assert_eq!((woken, deleted), (Some(()), Ok(())));
    let gone = EngineError::TopicUnknown(name("t"));
    assert_eq!(reader.next(budget(1)).await.unwrap_err(), gone.into());
    drop(reader);
    broker.close(tokio::time::Instant::now() + Duration::from_secs(1)).await;
    assert!(broker.tasks.is_empty());
}
