//! Readers at the tail: what they share, and how one that fell behind comes
//! back to it.

use super::*;
use crate::{
    domain::{Epoch, EpochStart, Offset},
    engine::EngineError,
};

/// A reader that has come to the tail, and waited there.
async fn follower(broker: &Arc<Broker>) -> Reader {
    let mut reader = open(broker, &["t"], StartAt::Latest).await;
    assert_eq!(soon(reader.wait()).await, None);
    reader
}

async fn batches(reader: &mut Reader) -> Vec<Arc<SharedBatch>> {
    match reader.next(budget(1_000)).await.unwrap() {
        Some(ReadEvent::Records { batches, .. }) => batches,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn followers_take_the_same_batches_without_the_store() {
    let (broker, engine) = scripted().await;
    let (mut one, mut two) = (follower(&broker).await, follower(&broker).await);
    publish(&broker, "t", &[text("a"), text("b")]).await;
    publish(&broker, "t", &[text("c")]).await;
    let (of_one, of_two) = (batches(&mut one).await, batches(&mut two).await);
    assert_eq!((of_one.len(), of_two.len()), (2, 2));
    for (a, b) in of_one.iter().zip(&of_two) {
        assert!(Arc::ptr_eq(a, b) && a.is_shared());
    }
    assert_eq!(engine.reads(), 0);
    assert_eq!((one.behind(), one.next(budget(1)).await.unwrap().is_none()), (0, true));
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_fell_behind_reads_from_the_store_and_returns() {
    let (broker, engine) = scripted().await;
    let (mut quick, mut slow) = (follower(&broker).await, follower(&broker).await);
    let mut seen = vec![];
    for n in 0..3_000 {
        let n = n.to_string();
        publish(&broker, "t", &[text(&n)]).await;
        batches(&mut quick).await;
        seen.push(n);
    }
    assert_eq!((engine.reads(), slow.behind()), (0, 3_000));
    let lines = drain(&mut slow, 700).await;
    let slow_saw: Vec<_> = lines.iter().flat_map(|line| line[5..].split(' ')).collect();
    assert_eq!(slow_saw, seen);
    // What the ring does not have any more came from the store, the rest not.
    assert!((1..=4).contains(&engine.reads()), "{}", engine.reads());
    publish(&broker, "t", &[text("new")]).await;
    assert!(Arc::ptr_eq(&batches(&mut slow).await[0], &batches(&mut quick).await[0]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_in_memory_is_read_once_for_all() {
    let (broker, engine) = scripted().await;
    engine.forgets(true);
    let mut readers = vec![];
    for _ in 0..20 {
        readers.push(follower(&broker).await);
    }
    publish(&broker, "t", &[text("large")]).await;
    let reads = readers.iter_mut().map(|reader| drain(reader, 10));
    for lines in futures_util::future::join_all(reads).await {
        assert_eq!(lines, ["t/0: large"]);
    }
    assert_eq!(engine.reads(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_trimmed_is_given_to_nobody() {
    let (broker, _) = scripted().await;
    let (mut quick, mut slow) = (follower(&broker).await, follower(&broker).await);
    publish(&broker, "t", &[text("a"), text("b"), text("c")]).await;
    assert_eq!(batches(&mut quick).await.len(), 1);
    broker.trim(&name("t"), None, TrimTo::Offset(Offset(2))).await.unwrap();
    assert_eq!(drain(&mut slow, 10).await, ["t/0 lost 0-1 Trimmed", "t/0: c"]);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_topic_gives_nothing_more_also_when_it_is_made_again() {
    let (broker, _) = scripted().await;
    let (mut quick, mut slow) = (follower(&broker).await, follower(&broker).await);
    publish(&broker, "t", &[text("a")]).await;
    batches(&mut quick).await;
    broker.delete_topic(&name("t")).await.unwrap();
    topic(&broker, "t", 1).await;
    let mut new = follower(&broker).await;
    publish(&broker, "t", &[text("of the new one")]).await;
    let gone = BrokerError::from(EngineError::TopicUnknown(name("t")));
    for reader in [&mut quick, &mut slow] {
        assert_eq!(reader.next(budget(1)).await.unwrap_err(), gone);
    }
    assert_eq!(drain(&mut new, 10).await, ["t/0: of the new one"]);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_under_followers_is_told_to_each() {
    let (broker, engine) = scripted().await;
    let (mut quick, mut slow) = (follower(&broker).await, follower(&broker).await);
    publish(&broker, "t", &[text("a"), text("b"), text("c")]).await;
    batches(&mut quick).await;
    // It kept the first alone; what follows was written since.
    let epoch = |epoch, first| EpochStart { epoch: Epoch(epoch), first: Offset(first) };
    engine.has_epochs(vec![epoch(0, 0), epoch(1, 1)]);
    publish(&broker, "t", &[text("d")]).await;
    assert_eq!(drain(&mut quick, 10).await, ["t/0 lost 1-2 Truncated", "t/0: b c d"]);
    // One that had not read them misses nothing.
    assert_eq!(drain(&mut slow, 10).await, ["t/0: a", "t/0: b c d"]);
    let place = quick.cursor().topics[&name("t")].partitions[&PartitionId(0)];
    assert_eq!((place.epoch, place.next), (Epoch(1), Offset(4)));
}

#[tokio::test(start_paused = true)]
async fn records_of_two_epochs_come_in_two_events() {
    let (broker, engine) = scripted().await;
    publish(&broker, "t", &[text("a"), text("b"), text("c")]).await;
    let epoch = |epoch, first| EpochStart { epoch: Epoch(epoch), first: Offset(first) };
    engine.has_epochs(vec![epoch(0, 0), epoch(1, 2)]);
    let mut reader = open(&broker, &["t"], StartAt::Earliest).await;
    for (values, of) in [("t/0: a b", 0), ("t/0: c", 1)] {
        let event = reader.next(budget(10)).await.unwrap().unwrap();
        assert_eq!(told(&event), values);
        assert!(matches!(event, ReadEvent::Records { epoch, .. } if epoch == Epoch(of)));
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_once_nobody_follows() {
    let (broker, _) = scripted().await;
    let mut readers = [follower(&broker).await, follower(&broker).await];
    publish(&broker, "t", &[text("a")]).await;
    for reader in &mut readers {
        batches(reader).await;
    }
    let (partitions, bytes) = broker.hubs.sizes();
    assert!(partitions == 1 && bytes > 0);
    drop(readers);
    assert_eq!(broker.hubs.sizes(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_reader_with_many_partitions_takes_no_turns_from_others() {
    let limits = Limits { concurrent_reads: 1, ..Limits::default() };
    let engine = Arc::new(scripted::Scripted::new(clock()));
    let broker = broker_over(engine as _, limits);
    topic(&broker, "many", 16).await;
    topic(&broker, "one", 1).await;
    for n in 0..50 {
        let all: Vec<_> = (0..16).map(|p| at(p, "x")).collect();
        publish(&broker, "many", &all).await;
        publish(&broker, "one", &[text(&n.to_string())]).await;
    }
    let mut many = open(&broker, &["many"], StartAt::Earliest).await;
    let mut one = open(&broker, &["one"], StartAt::Earliest).await;
    let (mut steps_of_many, done) = (0, std::cell::Cell::new(false));
    let wide = async {
        while !done.get() {
            assert!(many.next(budget(16)).await.unwrap().is_some());
            steps_of_many += 1;
        }
    };
    let narrow = async {
        while one.next(budget(1)).await.unwrap().is_some() {}
        done.set(true);
    };
    tokio::join!(wide, narrow);
    assert!((49..=52).contains(&steps_of_many), "{steps_of_many}");
}

#[tokio::test(start_paused = true)]
async fn one_commit_to_several_partitions_wakes_and_is_read_at_once() {
    let broker = broker();
    topic(&broker, "t", 8).await;
    let mut reader = open(&broker, &["t"], StartAt::Latest).await;
    for round in 0..3 {
        assert_eq!(soon(reader.wait()).await, None, "nothing new in round {round}");
        publish(&broker, "t", &[at(1, "a"), at(6, "b")]).await;
        assert_eq!(soon(reader.wait()).await, Some(()));
        assert_eq!(drain(&mut reader, 100).await.len(), 2);
    }
}
