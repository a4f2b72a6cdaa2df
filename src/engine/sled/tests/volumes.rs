//! Rolls, seals, trims, retention and copies.

use super::*;
use crate::engine::sled::{check, meta::VolumeState};

/// Publishes `megabytes` of noise to partition 0 and returns the values.
async fn fill(
    engine: &SledEngine,
    topic: &Arc<Topic>,
    partition: u32,
    megabytes: u64,
) -> Vec<Vec<u8>> {
    let mut all = vec![];
    for i in 0..megabytes * 4 {
        let values: Vec<_> = (0..256).map(|j| noise(i * 256 + j, 1_000)).collect();
        append(engine, topic, partition, &values).await.unwrap();
        all.extend(values);
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn records_survive_rolls_and_reopening_in_order() {
    let home = Home::new();
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(2)).await.unwrap();
    let large = vec![noise(1, 16 << 20)];
    append(&engine, &topic, 1, &large).await.unwrap();
    let values = fill(&engine, &topic, 0, 24).await;
    until("volumes were sealed", || home.volumes().len() > 3).await;
    assert_eq!(read_all(&engine, &topic, 0, 0).await, values);
    assert_eq!(read_all(&engine, &topic, 1, 0).await, large);
    engine.close().await;
    let report = check(home.data(), |_, _| {}).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.records, values.len() as u64 + 1);
    let engine = home.open().await;
    let topic = engine.topic(&name("t")).unwrap();
    assert_eq!(read_all(&engine, &topic, 0, 0).await, values);
    assert_eq!(read_all(&engine, &topic, 0, 7_777).await, values[7_777..]);
    append(&engine, &topic, 0, &[b"more".to_vec()]).await.unwrap();
    assert_eq!(read_all(&engine, &topic, 0, values.len() as u64).await, [b"more".to_vec()]);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trimming_gives_the_disk_back_and_keeps_the_rest() {
    let home = Home::new();
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
    let values = fill(&engine, &topic, 0, 32).await;
    until("what was written is sealed", || home.volumes().len() > 4).await;
    let full = home.disk();
    let half = values.len() / 2;
    engine.trim(&topic, PartitionId(0), Offset(half as u64)).await.unwrap();
    // Of 16 MiB, all but a volume of 4 that holds both halves.
    until("the disk is given back", || home.disk() + (11 << 20) < full).await;
    assert_eq!(read_all(&engine, &topic, 0, half as u64).await, values[half..]);
    engine.close().await;
    assert_eq!(check(home.data(), |_, _| {}).unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topics_disk_is_given_back_and_what_lives_beside_it_is_copied() {
    let home = Home::new();
    let engine = home.open().await;
    let kept = engine.create_topic(&name("kept"), &config(1)).await.unwrap();
    let gone = engine.create_topic(&name("gone"), &config(1)).await.unwrap();
    let mut values = vec![];
    for i in 0..12 {
        let value = noise(i, 10_000);
        append(&engine, &kept, 0, std::slice::from_ref(&value)).await.unwrap();
        values.push(value);
        fill(&engine, &gone, 0, 2).await;
    }
    until("volumes were sealed", || home.volumes().len() > 3).await;
    let full = home.disk();
    engine.delete_topic(&gone).await.unwrap();
    until("the disk is given back", || home.disk() < full / 2).await;
    assert_eq!(read_all(&engine, &kept, 0, 0).await, values);
    engine.close().await;
    assert_eq!(check(home.data(), |_, _| {}).unwrap().findings, []);
    let engine = home.open().await;
    let kept = engine.topic(&name("kept")).unwrap();
    assert_eq!(read_all(&engine, &kept, 0, 0).await, values);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_by_size_keeps_the_disk_bounded() {
    let home = Home::new();
    let engine = home.open().await;
    let settings = TopicConfig { retention_bytes: Some(8 << 20), ..config(1) };
    let topic = engine.create_topic(&name("t"), &settings).await.unwrap();
    let values = fill(&engine, &topic, 0, 40).await;
    let start = || engine.partition(&topic, PartitionId(0)).unwrap().start.0 as usize;
    until("retention has moved the start", || start() * 1_000 > 25 << 20).await;
    // Volumes as small as these take two to three times their content; 40 MiB
    // that were all kept would be over 80.
    until("the disk is given back", || home.disk() < 48 << 20).await;
    let from = start();
    assert!((values.len() - from) * 1_000 >= 8 << 20, "no more goes than may");
    assert_eq!(read_all(&engine, &topic, 0, from as u64).await, values[from..]);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_back_loses_nothing_and_keeps_append_times_in_order() {
    let home = Home::new();
    let engine = home.open().await;
    let settings = TopicConfig { retention_ms: Some(10_000), ..config(1) };
    let topic = engine.create_topic(&name("t"), &settings).await.unwrap();
    append(&engine, &topic, 0, &[b"a".to_vec()]).await.unwrap();
    home.now.fetch_sub(3_600_000, Ordering::SeqCst);
    append(&engine, &topic, 0, &[b"b".to_vec()]).await.unwrap();
    engine.enforce_retention().await.unwrap();
    assert_eq!(read_all(&engine, &topic, 0, 0).await.len(), 2);
    home.advance(Duration::from_secs(3_600 + 11));
    engine.enforce_retention().await.unwrap();
    assert_eq!(engine.partition(&topic, PartitionId(0)).unwrap().start, Offset(2));
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_values_are_merged_behind_and_read_the_same() {
    let home = Home::new();
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
    let mut values = vec![];
    for i in 0..3_000u64 {
        home.advance(Duration::from_millis(1));
        let value = noise(i, 200);
        append(&engine, &topic, 0, std::slice::from_ref(&value)).await.unwrap();
        values.push(value);
    }
    assert_eq!(read_all(&engine, &topic, 0, 0).await, values);
    // Each record still has the time at which it was appended.
    let at = Timestamp::from_millis(1_700_000_000_000 + 1_501);
    assert_eq!(engine.offset_at(&topic, PartitionId(0), at).await.unwrap(), Offset(1_500));
    engine.close().await;
    let report = check(home.data(), |_, _| {}).unwrap();
    assert_eq!(report.findings, []);
    assert!(report.batches < 200, "{} batches", report.batches);
    let engine = home.open().await;
    let topic = engine.topic(&name("t")).unwrap();
    assert_eq!(read_all(&engine, &topic, 0, 0).await, values);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_values_of_many_partitions_are_merged_copied_and_kept() {
    const PARTITIONS: u32 = 60;
    let home = Home::new();
    let engine = home.open().await;
    let kept = engine.create_topic(&name("kept"), &config(PARTITIONS)).await.unwrap();
    let mut values = vec![vec![]; PARTITIONS as usize];
    for round in 0..30u64 {
        // More is due to be merged at once than one turn merges, and most of
        // each volume is of a topic that is gone when it is sealed.
        let gone = engine.create_topic(&name("gone"), &config(1)).await.unwrap();
        fill(&engine, &gone, 0, 2).await;
        let all: Vec<_> = (0..u64::from(PARTITIONS))
            .map(|p| noise(1_000 * round + p, 2_000 + (37 * p as usize * round as usize) % 2_000))
            .collect();
        let parts = all
            .iter()
            .zip(0..)
            .map(|(value, p)| (PartitionId(p), records(std::slice::from_ref(value))));
        let durability = kept.config.durability;
        let append =
            Append { topic: kept.clone(), parts: parts.collect(), durability, idempotency: None };
        engine.append(append).await.unwrap();
        values.iter_mut().zip(all).for_each(|(values, value)| values.push(value));
        engine.delete_topic(&gone).await.unwrap();
    }
    for again in [false, true] {
        let engine = if again { home.open().await } else { Arc::clone(&engine) };
        let kept = engine.topic(&name("kept")).unwrap();
        for (partition, values) in (0..).zip(&values) {
            assert!(read_all(&engine, &kept, partition, 0).await == *values, "{partition} {again}");
            assert!(read_all(&engine, &kept, partition, 17).await == values[17..], "{partition}");
        }
        engine.close().await;
        assert_eq!(check(home.data(), |_, _| {}).unwrap().findings, []);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_small_values_once_while_they_are_merged() {
    let home = Home::new();
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
    let value = |n: u64| noise(n, if n % 100 == 99 { 9_000 } else { 300 });
    let writing = tokio::spawn({
        let (engine, topic) = (Arc::clone(&engine), Arc::clone(&topic));
        async move {
            for n in 0..3_000 {
                append(&engine, &topic, 0, &[value(n)]).await.unwrap();
            }
        }
    });
    let mut read: u64 = 0;
    while read < 3_000 {
        // From the newest places on, where it is merged, and all the way.
        let from = read.saturating_sub(200);
        let some = read_all(&engine, &topic, 0, from).await;
        for (n, found) in (from..).zip(&some) {
            assert!(*found == value(n), "record {n} of those from {from} on");
        }
        assert!(some.len() as u64 >= read - from);
        read = from + some.len() as u64;
    }
    writing.await.unwrap();
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_old_volumes_again_and_again_does_not_grow_them() {
    let mut home = Home::new();
    home.config.open_sealed = 1;
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
    let values = fill(&engine, &topic, 0, 20).await;
    until("volumes were sealed", || home.volumes().len() > 3).await;
    let sealing = || engine.store.volumes.in_state(VolumeState::Sealing);
    until("all old volumes are sealed", || sealing().is_empty()).await;
    let budget = ReadBudget { records: 1, bytes: 1 };
    let read_both = async || {
        for from in [10, values.len() as u64 / 2] {
            engine.read(&topic, PartitionId(0), Offset(from), budget).await.unwrap();
        }
    };
    read_both().await;
    let before = home.disk();
    for _ in 0..20 {
        read_both().await;
    }
    assert!(home.disk() <= before + (4 << 20), "{} -> {}", before, home.disk());
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn small_values_before_a_mixed_batch_are_all_kept() {
    let home = Home::new();
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
    let mut values = vec![];
    let sizes: &[&[usize]] =
        &[&[10], &[20], &[30, 100_000, 40], &[50], &[60, 70], &[20_000, 15], &[5], &[900_000, 1]];
    for (i, sizes) in sizes.iter().cycle().take(80).enumerate() {
        let some: Vec<_> = sizes.iter().map(|size| noise(i as u64, *size)).collect();
        append(&engine, &topic, 0, &some).await.unwrap();
        values.extend(some);
    }
    assert_eq!(read_all(&engine, &topic, 0, 0).await, values);
    engine.close().await;
    assert_eq!(check(home.data(), |_, _| {}).unwrap().findings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_cut_short_by_a_full_disk_stops_no_later_opening() {
    let home = Home::new();
    let engine = home.open().await;
    let topic = engine.create_topic(&name("t"), &config(1)).await.unwrap();
    let values = fill(&engine, &topic, 0, 24).await;
    until("volumes were sealed", || home.volumes().len() > 3).await;
    for volume in home.volumes() {
        // More are sealed than are held open, so some are opened after this.
        std::fs::write(volume.join("snap.FFFFFFFFFFFFFFFF.generating"), b"torn").unwrap();
    }
    assert_eq!(read_all(&engine, &topic, 0, 0).await, values);
    engine.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_before_its_volume_is_sealed_gives_its_disk_back_too() {
    let home = Home::new();
    let engine = home.open().await;
    let kept = engine.create_topic(&name("kept"), &config(1)).await.unwrap();
    let mut values = vec![];
    for i in 0..6 {
        // Most of each volume is of a topic that is gone when it is sealed.
        let gone = engine.create_topic(&name("gone"), &config(1)).await.unwrap();
        let value = noise(i, 10_000);
        append(&engine, &kept, 0, std::slice::from_ref(&value)).await.unwrap();
        values.push(value);
        fill(&engine, &gone, 0, 2).await;
        engine.delete_topic(&gone).await.unwrap();
    }
    until("what is dead is given back", || home.disk() < 12 << 20).await;
    assert_eq!(read_all(&engine, &kept, 0, 0).await, values);
    engine.close().await;
    assert_eq!(check(home.data(), |_, _| {}).unwrap().findings, []);
}
