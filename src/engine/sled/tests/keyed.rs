//! The index of keys: it finds what a look at every record finds, across runs,
//! rolls, crashes, copies and trims.

use super::*;
use crate::engine::sled::check;
use bytes::Bytes;

fn keyed(partitions: u32) -> TopicConfig {
    TopicConfig { keyed: true, ..config(partitions) }
}

fn key(i: u64) -> Vec<u8> {
    format!("user-{i}").into_bytes()
}

/// Appends records with these keys, each with a value of its own.
async fn send(engine: &SledEngine, topic: &Arc<Topic>, keys: &[Option<u64>], size: usize) {
    let mut packed = PackedRecords::default();
    for (i, of) in keys.iter().enumerate() {
        let value = noise(i as u64, size);
        let key = of.map(key);
        let draft = RecordDraft {
            partition: None,
            timestamp: None,
            key: key.as_deref().map(Cow::Borrowed),
            headers: vec![],
            kind: ValueKind::Binary,
            value: Cow::Borrowed(&value),
        };
        packed.push(&draft, 16 << 20).unwrap();
    }
    let durability = topic.config.durability;
    let parts = vec![(PartitionId(0), packed)];
    let append = Append { topic: topic.clone(), parts, durability, idempotency: None };
    engine.append(append).await.unwrap();
}

/// Offsets of the records with one of `keys`, by the index.
async fn found(engine: &SledEngine, topic: &Topic, keys: &[u64], from: u64) -> Vec<u64> {
    let keys: Vec<Bytes> = keys.iter().map(|i| key(*i).into()).collect();
    let budget = ReadBudget { records: 50, bytes: 64 << 10 };
    let tail = engine.partition(topic, PartitionId(0)).unwrap().tail;
    let (mut next, mut seen) = (Offset(from), vec![]);
    while next < tail {
        let chunk = engine.next_with_keys(topic, PartitionId(0), next, &keys, budget).await;
        let chunk = chunk.expect("a keyed topic has an index").unwrap();
        assert!(chunk.next > next, "at {next}");
        for record in chunk.batches.iter().flat_map(|b| b.iter()) {
            let (offset, record) = record.unwrap();
            assert!(keys.iter().any(|key| Some(&key[..]) == record.key));
            assert!((next..chunk.next).contains(&offset));
            seen.push(offset.0);
        }
        next = chunk.next;
    }
    seen
}

/// The same by a look at every record.
fn expected(log: &[Option<u64>], keys: &[u64], from: u64) -> Vec<u64> {
    let wanted = |(_, of): &(u64, &Option<u64>)| of.is_some_and(|key| keys.contains(&key));
    let places = (0..).zip(log).filter(wanted).map(|(at, _)| at);
    places.filter(|at| *at >= from).collect()
}

async fn agrees(engine: &SledEngine, topic: &Topic, log: &[Option<u64>], start: u64) {
    let all: Vec<u64> = (0..300).collect();
    for keys in [&[0][..], &[7], &[1, 2, 3], &[999_999], &all[200..]] {
        for from in [start, start.max(log.len() as u64 / 2), log.len() as u64 - 1] {
            let seen = found(engine, topic, keys, from).await;
            assert_eq!(seen, expected(log, keys, from), "keys {keys:?} from {from}");
        }
    }
}

/// Keys of `count` records: one hot, some without, the others many.
fn keys(rng: &mut fastrand::Rng, count: usize) -> Vec<Option<u64>> {
    let one = |rng: &mut fastrand::Rng| match rng.u8(0..10) {
        0 => None,
        1..=3 => Some(0),
        _ => Some(rng.u64(1..20_000)),
    };
    (0..count).map(|_| one(rng)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_of_a_key_is_found_across_runs_rolls_crashes_and_trims() {
    let home = Home::new();
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &keyed(1)).await.unwrap();
    let mut rng = fastrand::Rng::with_seed(3);
    let mut log = vec![];
    // Many small records, so that runs come before rolls, and then large ones.
    for (rounds, count, size) in [(70, 1_500, 20), (30, 20, 20_000)] {
        for _ in 0..rounds {
            let some = keys(&mut rng, count);
            send(&engine, &topic, &some, size).await;
            log.extend(some);
        }
        agrees(&engine, &topic, &log, 0).await;
    }
    until("volumes were sealed", || home.volumes().len() > 3).await;
    engine.close().await;
    let report = check(home.data(), |_, _| {}).unwrap();
    assert_eq!(report.findings, []);
    // What a crash leaves: nothing in memory, no mark of a clean stop.
    let path = home.data().join("marks");
    let mut marks = crate::engine::sled::marks::Marks::load(&path).unwrap().unwrap();
    marks.clean = None;
    marks.store(&path).unwrap();
    let engine = home.open().await;
    let topic = engine.topic(&name("t")).unwrap();
    agrees(&engine, &topic, &log, 0).await;
    let some = keys(&mut rng, 500);
    send(&engine, &topic, &some, 20).await;
    log.extend(some);
    // All but some of the newest goes.
    let start = log.len() as u64 - 600;
    let disk = home.disk();
    engine.trim(&topic, PartitionId(0), Offset(start)).await.unwrap();
    until("what is dead was given back", || home.disk() + (3 << 20) < disk).await;
    agrees(&engine, &topic, &log, start).await;
    engine.close().await;
    assert_eq!(check(home.data(), |_, _| {}).unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_keeps_the_index() {
    let home = Home::new();
    let engine = home.open().await;
    let kept = engine.create_topic(&name("kept"), &keyed(1)).await.unwrap();
    let gone = engine.create_topic(&name("gone"), &keyed(1)).await.unwrap();
    let mut rng = fastrand::Rng::with_seed(4);
    let mut log = vec![];
    for _ in 0..12 {
        let some = keys(&mut rng, 300);
        send(&engine, &kept, &some, 100).await;
        log.extend(some);
        send(&engine, &gone, &vec![Some(1); 200], 10_000).await;
    }
    until("volumes were sealed", || home.volumes().len() > 3).await;
    let full = home.disk();
    engine.delete_topic(&gone).await.unwrap();
    until("the disk is given back", || home.disk() < full / 2).await;
    agrees(&engine, &kept, &log, 0).await;
    engine.close().await;
    assert_eq!(check(home.data(), |_, _| {}).unwrap().findings, []);
    let engine = home.open().await;
    let kept = engine.topic(&name("kept")).unwrap();
    agrees(&engine, &kept, &log, 0).await;
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_without_the_index_says_so() {
    let home = Home::new();
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
    send(&engine, &topic, &[Some(1)], 10).await;
    let budget = ReadBudget { records: 1, bytes: 1 };
    let keys = [Bytes::from(key(1))];
    let found = engine.next_with_keys(&topic, PartitionId(0), Offset(0), &keys, budget).await;
    assert!(found.is_none());
    engine.close().await;
}
