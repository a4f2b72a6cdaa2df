//! Finding an offset by time: the first record at or after it, in the order of
//! the offsets, whatever the order of the times.

use super::{
    Harness, Log,
    fixture::{P0, P1, soon},
    records::{Plain, Seen},
};
use crate::domain::{Offset, PartitionId, Timestamp};
use crate::engine::{Engine, Topic};
use std::{sync::Arc, time::Duration};

async fn at<H: Harness>(log: &Log<H>, topic: &Topic, partition: PartitionId, ms: i64) -> Offset {
    let time = Timestamp::from_millis(ms);
    soon("a search", log.offset_at(topic, partition, time)).await.unwrap()
}

/// A topic whose records have these times, each record an append of its own
/// or all of them one.
async fn timed<H: Harness>(
    log: &Log<H>,
    times: &[i64],
    one_append: bool,
) -> (Arc<Topic>, Vec<Seen>) {
    let topic = log.new_topic(if one_append { "one" } else { "each" }).await;
    let records: Vec<_> = times.iter().map(|ms| Plain::text(&ms.to_string()).at(*ms)).collect();
    for records in records.chunks(if one_append { times.len() } else { 1 }) {
        log.publish(&topic, P0, records.to_vec()).await;
    }
    let seen = log.read_all(&topic, P0).await;
    (topic, seen)
}

/// What the contract asks for, by looking at every record.
fn first_at(seen: &[Seen], tail: Offset, ms: i64) -> Offset {
    let time = Some(Timestamp::from_millis(ms));
    seen.iter().find(|s| s.record.timestamp >= time).map_or(tail, |s| s.offset)
}

pub async fn a_time_is_found_exactly_between_before_and_after_all<H: Harness>(log: &mut Log<H>) {
    for one_append in [true, false] {
        let (topic, seen) = timed(log, &[1_000, 2_000, 2_000, 3_000, 5_000], one_append).await;
        let tail = log.view(&topic, P0).tail;
        for (ms, index) in [(0, 0), (1_000, 0), (1_001, 1), (2_000, 1), (2_001, 3), (5_000, 4)] {
            assert_eq!(at(log, &topic, P0, ms).await, seen[index].offset, "at {ms}");
        }
        for after in [5_001, i64::MAX] {
            assert_eq!(at(log, &topic, P0, after).await, tail);
        }
        assert_eq!(at(log, &topic, P0, i64::MIN).await, seen[0].offset);
    }
}

pub async fn in_an_empty_partition_any_time_is_the_tail<H: Harness>(log: &mut Log<H>) {
    let topic = log.wide_topic("a", 2).await;
    log.publish(&topic, P0, vec![Plain::text("elsewhere").at(7)]).await;
    for ms in [i64::MIN, 0, 7, i64::MAX] {
        assert_eq!(at(log, &topic, P1, ms).await, log.view(&topic, P1).tail);
    }
}

pub async fn times_out_of_order_give_the_first_that_is_late_enough<H: Harness>(log: &mut Log<H>) {
    let times = [50, 10, 40, 70, 20, 60, 70, 90, 5, 80];
    for one_append in [true, false] {
        let (topic, seen) = timed(log, &times, one_append).await;
        let tail = log.view(&topic, P0).tail;
        for ms in 0..100 {
            let expected = first_at(&seen, tail, ms);
            assert_eq!(at(log, &topic, P0, ms).await, expected, "at {ms}");
        }
    }
}

pub async fn records_without_a_time_are_found_by_their_appending<H: Harness>(log: &mut Log<H>) {
    let Some(time) = log.harness().time().cloned() else { return };
    let topic = log.new_topic("a").await;
    let mut appended = vec![];
    for i in 0..5 {
        let part = log.say(&topic, &[&i.to_string(), "same time"]).await;
        appended.push((time.now(), part.base));
        time.advance(Duration::from_secs(60));
    }
    for (now, base) in appended {
        assert_eq!(at(log, &topic, P0, now.millis()).await, base);
        assert_eq!(at(log, &topic, P0, now.millis() - 1).await, base);
        assert_eq!(at(log, &topic, P0, now.millis() - 59_999).await, base);
    }
}

pub async fn a_time_before_the_start_is_the_start<H: Harness>(log: &mut Log<H>) {
    let (topic, seen) = timed(log, &[100, 200, 300, 400, 500], true).await;
    log.trim(&topic, P0, seen[2].offset).await.unwrap();
    for (ms, index) in [(0, 2), (150, 2), (300, 2), (301, 3), (500, 4)] {
        assert_eq!(at(log, &topic, P0, ms).await, seen[index].offset, "at {ms}");
    }
    let tail = log.view(&topic, P0).tail;
    log.trim(&topic, P0, tail).await.unwrap();
    assert_eq!(at(log, &topic, P0, 0).await, tail);
}

pub async fn a_record_that_was_trimmed_is_not_found<H: Harness>(log: &mut Log<H>) {
    let (topic, seen) = timed(log, &[900, 100, 200, 300], false).await;
    log.trim(&topic, P0, seen[1].offset).await.unwrap();
    assert_eq!(at(log, &topic, P0, 250).await, seen[3].offset);
    assert_eq!(at(log, &topic, P0, 900).await, log.view(&topic, P0).tail);
}

/// Some megabytes, with times that mostly grow.
async fn large<H: Harness>(log: &Log<H>) -> (Arc<Topic>, Vec<Seen>) {
    let topic = log.new_topic("large").await;
    let mut random = fastrand::Rng::with_seed(7);
    let mut i = 0;
    while i < 1_500 {
        let n = random.i64(1..40);
        let record =
            |j| Plain::noise(random.usize(1..4_000), 1).at(1_000 * j + random.i64(0..9_000));
        log.publish(&topic, P0, (i..i + n).map(record).collect()).await;
        i += n;
    }
    let seen = log.read_all(&topic, P0).await;
    (topic, seen)
}

pub async fn any_time_is_found_in_a_large_partition<H: Harness>(log: &mut Log<H>) {
    let (topic, seen) = large(log).await;
    for restarted in [false, true] {
        if restarted && !log.restart().await {
            return;
        }
        let tail = log.view(&topic, P0).tail;
        for ms in (0..1_600_000).step_by(7_919) {
            let expected = first_at(&seen, tail, ms);
            assert_eq!(at(log, &topic, P0, ms).await, expected, "at {ms}, restarted: {restarted}");
        }
    }
}
