//! What a reader is told when records that it would have come to are gone.

use super::{scripted::Scripted, *};
use crate::{
    domain::{Epoch, EpochStart, Offset},
    engine::EngineError,
};

/// A broker over a scripted engine whose topic `t` has five records.
async fn five() -> (Arc<Broker>, Arc<Scripted>) {
    let engine = Arc::new(Scripted::new(clock()));
    let broker = broker_over(Arc::clone(&engine) as _, Limits::default());
    topic(&broker, "t", 1).await;
    for value in ["a", "b", "c", "d", "e"] {
        publish(&broker, "t", &[text(value)]).await;
    }
    (broker, engine)
}

#[tokio::test]
async fn a_reader_that_the_start_overtook_is_told() {
    let (broker, _) = five().await;
    let mut reader = open(&broker, &["t"], StartAt::Earliest).await;
    reader.next(budget(1)).await.unwrap();
    broker.trim(&name("t"), None, TrimTo::Offset(Offset(3))).await.unwrap();
    assert_eq!(drain(&mut reader, 100).await, ["t/0 lost 1-2 Trimmed", "t/0: d e"]);
}

#[tokio::test]
async fn a_cursor_taken_before_a_loss_was_told_is_told_again() {
    let (broker, _) = five().await;
    let old = open(&broker, &["t"], StartAt::Earliest).await.cursor();
    broker.trim(&name("t"), None, TrimTo::Offset(Offset(3))).await.unwrap();
    let resume = async |cursor| {
        let from = ReadFrom::Cursor(cursor);
        let request = ReadRequest { topics: vec![name("t")], partitions: None, from, keys: vec![] };
        Reader::open(&broker, request).await.unwrap()
    };
    let untold = resume(old).await.cursor();
    let lines = drain(&mut resume(untold).await, 100).await;
    assert_eq!(lines, ["t/0 lost 0-2 Trimmed", "t/0: d e"]);
}

#[tokio::test]
async fn a_part_of_the_store_that_is_gone_is_told_and_passed_over() {
    let (broker, engine) = five().await;
    let mut reader = open(&broker, &["t"], StartAt::Offset(Offset(1))).await;
    engine.next_read_fails(EngineError::Lost { to: Offset(4) });
    assert_eq!(drain(&mut reader, 100).await, ["t/0 lost 1-3 Truncated", "t/0: e"]);
}

#[tokio::test]
async fn a_reader_ahead_of_a_recovery_goes_back_to_where_its_epoch_ended() {
    let (broker, engine) = five().await;
    let mut reader = open(&broker, &["t"], StartAt::Earliest).await;
    drain(&mut reader, 100).await;
    // A recovery that kept the first three; what follows was written since.
    let epoch = |epoch, first| EpochStart { epoch: Epoch(epoch), first: Offset(first) };
    engine.has_epochs(vec![epoch(0, 0), epoch(1, 3)]);
    publish(&broker, "t", &[text("f")]).await;
    assert_eq!(drain(&mut reader, 100).await, ["t/0 lost 3-4 Truncated", "t/0: d e f"]);
    let position = reader.cursor().topics[&name("t")].partitions[&PartitionId(0)];
    assert_eq!((position.epoch, position.next), (Epoch(1), Offset(6)));
}

#[tokio::test]
async fn another_fault_of_the_engine_ends_the_reader_and_keeps_its_place() {
    let (broker, engine) = five().await;
    let mut reader = open(&broker, &["t"], StartAt::Last(1)).await;
    let fault = EngineError::Damaged("expected by the test".to_owned());
    engine.next_read_fails(fault.clone());
    assert_eq!(reader.next(budget(1)).await.unwrap_err(), fault.into());
    assert_eq!(drain(&mut reader, 100).await, ["t/0: e"]);
}
