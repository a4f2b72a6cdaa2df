//! Appending: all or nothing, in order, consecutive, and everything that was
//! said comes back.

use super::{
    Harness, Log,
    fixture::{P0, P1},
    records::{Plain, Seen, pack, texts, values},
};
use crate::domain::{Offset, PartitionId, Timestamp, ValueKind};
use crate::engine::{Append, AppendedPart, Engine, EngineError, Topic};
use std::{sync::Arc, time::Duration};

/// Appends the records, and expects to read exactly them.
async fn expect_back<H: Harness>(log: &Log<H>, records: Vec<Plain>) {
    let topic = log.new_topic("a").await;
    let done = log.send(&topic, &[(P0, records.clone())], None).await.unwrap();
    let base = done.parts[0].base;
    let seen = log.read_all(&topic, P0).await;
    assert_eq!(seen.len(), records.len());
    for (i, (seen, sent)) in seen.into_iter().zip(records).enumerate() {
        let record = sent.appended(done.appended);
        assert_eq!(seen, Seen { offset: base.plus(i as u64), record });
    }
}

fn end(part: AppendedPart) -> Offset {
    part.base.plus(u64::from(part.count))
}

pub async fn records_come_back_in_the_order_they_were_appended<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    for said in [&["1", "2"][..], &["3"], &["4", "5", "6"]] {
        log.say(&topic, said).await;
    }
    assert_eq!(log.said(&topic).await, ["1", "2", "3", "4", "5", "6"]);
}

pub async fn offsets_are_consecutive_within_an_append_and_grow<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let mut next = log.view(&topic, P0).tail;
    let mut expected = vec![];
    for n in [3, 1, 7, 200, 2] {
        let part = log.publish(&topic, P0, vec![Plain::text("x"); n]).await;
        assert_eq!((part.partition, part.count), (P0, n as u32));
        assert!(part.base >= next, "an offset was used twice");
        if log.promises().dense_offsets {
            assert_eq!(part.base, next);
        }
        next = end(part);
        expected.extend((0..n as u64).map(|i| part.base.plus(i)));
        assert!(log.view(&topic, P0).tail >= next, "answered before it is visible");
    }
    let seen = log.read_all(&topic, P0).await;
    assert_eq!(seen.iter().map(|s| s.offset).collect::<Vec<_>>(), expected);
}

pub async fn several_partitions_are_answered_in_the_order_asked<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 4).await;
    let asked = [PartitionId(3), P0, PartitionId(2)];
    let parts = asked.map(|p| (p, vec![Plain::text(&format!("for {p}")); p.index() + 1]));
    for _ in 0..2 {
        let done = log.send(&topic, &parts, None).await.unwrap();
        let answered: Vec<_> = done.parts.iter().map(|p| (p.partition, p.count)).collect();
        assert_eq!(answered, [(asked[0], 4), (asked[1], 1), (asked[2], 3)]);
    }
    for (partition, records) in parts {
        let seen = log.read_all(&topic, partition).await;
        assert_eq!(seen.len(), 2 * records.len());
        assert!(seen.iter().all(|s| s.record.value == records[0].value));
    }
    assert_eq!(log.read_all(&topic, P1).await, []);
}

pub async fn with_one_bad_partition_nothing_is_appended<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    let bad = PartitionId(2);
    let parts = [P0, P1, bad].map(|p| (p, texts(&["never"])));
    let refused = log.send(&topic, &parts, None).await;
    let name = topic.name.clone();
    assert_eq!(refused, Err(EngineError::PartitionUnknown { topic: name, partition: bad }));
    for partition in [P0, P1] {
        assert_eq!(log.view(&topic, partition).tail, Offset::ZERO);
    }
}

pub async fn every_kind_of_value_survives<H: Harness>(log: &mut Log<H>) {
    let json = br#"{"a": [1.0, null, "\u00e9"] }"#.to_vec();
    let records = vec![
        Plain::new(ValueKind::Json, json),
        Plain::new(ValueKind::Json, b"null".to_vec()),
        Plain::text("gr\u{fc}\u{df}e \u{1f30a}"),
        Plain::new(ValueKind::Binary, (0..=255).collect()),
        Plain::new(ValueKind::Tombstone, vec![]).keyed(b"k"),
        Plain::text("after a tombstone"),
    ];
    expect_back(log, records).await;
}

pub async fn empty_and_absent_keys_and_values_differ<H: Harness>(log: &mut Log<H>) {
    let kinds = [ValueKind::Text, ValueKind::Binary, ValueKind::Tombstone];
    let empty = kinds.map(|kind| Plain::new(kind, vec![]));
    let keyed = empty.clone().map(|record| record.keyed(b""));
    expect_back(log, [empty, keyed].concat()).await;
}

pub async fn headers_survive_in_order_with_repeats<H: Harness>(log: &mut Log<H>) {
    let mut many = Plain::text("64 headers");
    for i in 0..64 {
        many = many.header(&format!("h{i}"), &[i; 100]);
    }
    let repeated = Plain::text("repeats")
        .header("trace", b"1")
        .header("Trace", b"")
        .header("trace", &[0xff, 0])
        .header(&"n".repeat(255), b"long name");
    expect_back(log, vec![many, Plain::text("none"), repeated.keyed(b"key")]).await;
}

pub async fn times_are_the_publishers_or_else_of_appending<H: Harness>(log: &mut Log<H>) {
    let records = vec![
        Plain::text("absent"),
        Plain::text("past").at(0),
        Plain::text("future").at(253_402_300_799_999),
        Plain::text("absent too").keyed(b"k"),
        Plain::text("out of order").at(1_000).keyed(b"k"),
    ];
    if let Some(time) = log.harness().time() {
        let (topic, now) = (log.new_topic("at").await, time.now());
        let done = log.send(&topic, &[(P0, texts(&["x"]))], None).await.unwrap();
        assert_eq!(done.appended, now);
    }
    expect_back(log, records).await;
}

pub async fn times_of_appending_survive_a_restart<H: Harness>(log: &mut Log<H>) {
    let topic = log.new_topic("a").await;
    let mut sent = vec![];
    for i in 0..5 {
        let record = Plain::text(&i.to_string());
        let done = log.send(&topic, &[(P0, vec![record.clone()])], None).await.unwrap();
        sent.push(record.appended(done.appended));
        if let Some(time) = log.harness().time() {
            time.advance(Duration::from_millis(1_234));
        }
    }
    if log.restart().await {
        let seen = log.read_all(&topic, P0).await;
        assert_eq!(seen.into_iter().map(|s| s.record).collect::<Vec<_>>(), sent);
    }
}

pub async fn times_of_appending_never_go_back<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    let Some(time) = log.harness().time().cloned() else { return };
    let mut last = Timestamp::MIN;
    for restart in [false, true] {
        let first = log.send(&topic, &[(P0, texts(&["x"]))], None).await.unwrap();
        assert!(first.appended >= last);
        time.set_back(Duration::from_secs(60));
        if restart && !log.restart().await {
            return;
        }
        let parts = [P1, P0].map(|p| (p, texts(&["y"])));
        let second = log.send(&topic, &parts, None).await.unwrap();
        assert!(second.appended >= first.appended, "restart: {restart}");
        last = second.appended;
    }
    let seen = log.read_all(&topic, P0).await;
    assert!(seen.is_sorted_by_key(|s| s.record.timestamp));
}

pub async fn records_around_16_kib_survive<H: Harness>(log: &mut Log<H>) {
    let sizes = (16_300..16_400).step_by(7).chain([16_383, 16_384, 16_385, 32_768, 65_537]);
    expect_back(log, sizes.map(|size| Plain::noise(size, size as u64)).collect()).await;
}

pub async fn a_record_of_1_mib_survives<H: Harness>(log: &mut Log<H>) {
    expect_back(log, vec![Plain::noise(1 << 20, 1).keyed(b"k").header("h", b"v")]).await;
}

pub async fn a_record_of_16_mib_survives<H: Harness>(log: &mut Log<H>) {
    expect_back(log, vec![Plain::noise(16 << 20, 2)]).await;
    let topic = log.topic(&super::fixture::name("a")).unwrap();
    log.say(&topic, &["after"]).await;
    if log.restart().await {
        let seen = log.read_all(&topic, P0).await;
        assert_eq!(seen[0].record.value, Plain::noise(16 << 20, 2).value);
        assert_eq!(values(&seen[1..]), ["after"]);
    }
}

pub async fn large_and_small_records_mix_in_one_append<H: Harness>(log: &mut Log<H>) {
    let sizes = [1, 300_000, 0, 2, 16_384, 5, 1 << 20, 100, 40_000, 1];
    let records = sizes.iter().enumerate().map(|(i, size)| {
        let record = Plain::noise(*size, i as u64);
        if i % 3 == 0 { record.at(i as i64) } else { record.keyed(&[i as u8]) }
    });
    expect_back(log, records.collect()).await;
}

pub async fn ten_thousand_records_fit_one_append<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    let half = |from: usize| (from..from + 5_000).map(|i| Plain::text(&i.to_string())).collect();
    let done = log.send(&topic, &[(P1, half(5_000)), (P0, half(0))], None).await.unwrap();
    assert_eq!(done.parts.iter().map(|p| p.count).collect::<Vec<_>>(), [5_000, 5_000]);
    let said = values(&log.read_all(&topic, P1).await);
    assert_eq!(said, (5_000..10_000).map(|i| i.to_string()).collect::<Vec<_>>());
}

/// Appends `rounds` times two records, one after the other.
async fn appender<H: Harness>(log: &Log<H>, topic: &Arc<Topic>, who: usize, rounds: usize) {
    for round in 0..rounds {
        let said = [format!("{who} {round} a"), format!("{who} {round} b")];
        let records = said.map(|s| Plain::text(&s));
        let durability = topic.config.durability;
        let parts = vec![(PartitionId((who % 2) as u32), pack(&records))];
        let append = Append { topic: topic.clone(), parts, durability, idempotency: None };
        log.append(append).await.unwrap();
    }
}

pub async fn concurrent_appenders_each_keep_their_order<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    let (appenders, rounds) = (16, 12);
    let all = (0..appenders).map(|who| appender(log, &topic, who, rounds));
    super::fixture::soon("appenders", futures_util::future::join_all(all)).await;
    for partition in [P0, P1] {
        let said = values(&log.read_all(&topic, partition).await);
        assert_eq!(said.len(), appenders / 2 * rounds * 2);
        for pair in said.chunks(2) {
            let (of, b) = pair[1].rsplit_once(' ').unwrap();
            assert_eq!((pair[0].as_str(), b), (&*format!("{of} a"), "b"), "an append was torn");
        }
        for who in (partition.index()..appenders).step_by(2) {
            let prefix = format!("{who} ");
            let own: Vec<_> = said.iter().filter(|s| s.starts_with(&prefix)).collect();
            let expected = (0..rounds).flat_map(|r| ["a", "b"].map(|x| format!("{who} {r} {x}")));
            assert!(own.into_iter().eq(expected.collect::<Vec<_>>().iter()));
        }
    }
}

pub async fn records_and_offsets_go_on_after_a_restart<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    let mut sent = vec![];
    for round in 0..4 {
        for i in 0..10 {
            let record = Plain::noise(i * 997, (round * 10 + i) as u64);
            log.publish(&topic, P0, vec![record.clone()]).await;
            sent.push(record.value);
        }
        let before = (log.read_all(&topic, P0).await, log.view(&topic, P0));
        if !log.restart().await {
            return;
        }
        let view = log.view(&topic, P0);
        assert_eq!((view.start, view.tail), (before.1.start, before.1.tail));
        assert_eq!(log.read_all(&topic, P0).await, before.0);
        assert_eq!(log.view(&topic, P1).tail, Offset::ZERO);
    }
    let seen = log.read_all(&topic, P0).await;
    assert!(seen.is_sorted_by(|a, b| a.offset < b.offset));
    assert_eq!(seen.into_iter().map(|s| s.record.value).collect::<Vec<_>>(), sent);
}
